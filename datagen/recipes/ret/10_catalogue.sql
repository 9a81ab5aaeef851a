SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- The tree: a class lies within its department, a subclass within its class, by their codes.
UPDATE ret.category AS c
SET parent_category_id = p.category_id
FROM ret.category AS p
WHERE c.business_id = %(business_id)s AND p.business_id = c.business_id
  AND c.level_kind = 'class' AND p.category_code = left(c.category_code, 3);

UPDATE ret.category AS c
SET parent_category_id = p.category_id
FROM ret.category AS p
WHERE c.business_id = %(business_id)s AND p.business_id = c.business_id
  AND c.level_kind = 'subclass' AND p.category_code = left(c.category_code, 5);

-- What kind of goods it is says where it lies and how it is taxed; brands take turns.
UPDATE ret.product AS p
SET main_category_id = c.category_id,
    tax_class_id = t.tax_class_id,
    brand_id = CASE WHEN p.product_kind IN ('bundle', 'gift_card') THEN NULL
                    ELSE b.brand_id END
FROM (
    SELECT x.product_id,
           split_part('MEN-11,GRO-11,ELE-11,HOM-11,MEN-21,SHO-11,ELE-21,GRO-12,SPO-11,TOY-11,'
                      'WOM-11,HOM-21,BEA-11,ELE-12,GRO-21,MEN-12,TOY-21,GRO-22,GIF-11,GIF-21,'
                      'SHO-21,HOM-12,BEA-21,TOY-12,SPO-12,WOM-21,SPO-22,ELE-22,HOM-22,TOY-22,'
                      'WOM-22,BEA-12,SPO-21,GIF-12,SHO-12,GRO-21,BEA-22,GIF-22,GRO-11,GIF-21',
                      ',', 1 + substr(x.product_code, 2)::integer %% 40) AS category_code,
           substr(x.product_code, 2)::integer AS number
    FROM ret.product AS x
    WHERE x.business_id = %(business_id)s
) AS n
JOIN ret.category AS c
    ON c.business_id = %(business_id)s AND c.category_code = n.category_code
JOIN ret.tax_class AS t
    ON t.business_id = %(business_id)s
   AND t.tax_class_code = CASE WHEN n.category_code = 'GRO-22' THEN 'ALCOHOL'
                               WHEN n.category_code = 'GIF-11' THEN 'GIFT'
                               WHEN n.category_code LIKE 'GRO%%' THEN 'FOOD'
                               WHEN left(n.category_code, 3) IN ('MEN', 'WOM', 'SHO') THEN 'CLOTH'
                               ELSE 'STD' END
JOIN (
    SELECT x.brand_id, row_number() OVER (ORDER BY x.brand_code) - 1 AS place,
           count(*) OVER () AS brand_count
    FROM ret.brand AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
) AS b ON b.place = n.number * 7 %% b.brand_count
WHERE p.business_id = %(business_id)s AND p.product_id = n.product_id;

-- A product lies in its main category, and every other one in a category of the web shop too.
INSERT INTO ret.product_category
    (business_id, product_category_id, product_id, category_id, is_primary, sort_order, placement,
     valid_from, pinned)
SELECT p.business_id, md5('in ' || c.category_id || p.product_id)::uuid, p.product_id,
       c.category_id, c.category_id = p.main_category_id, n.number,
       CASE WHEN c.category_id = p.main_category_id THEN 'manual' ELSE 'rule' END,
       CASE WHEN c.level_kind = 'web' THEN p.launch_on::timestamptz END,
       c.level_kind = 'web' AND n.number %% 20 = 4
FROM ret.product AS p
CROSS JOIN LATERAL (SELECT substr(p.product_code, 2)::integer AS number) AS n
JOIN ret.category AS c
    ON c.business_id = p.business_id
   AND (c.category_id = p.main_category_id
        OR n.number %% 5 IN (0, 3) AND c.category_code = 'WEB-' || split_part(
            'NEW,SALE,IDEAS,BEST,SUMMER,SCHOOL,KITCHEN,OUTDOOR,LOCAL,LAST', ',',
            1 + n.number %% 10))
WHERE p.business_id = %(business_id)s;

-- Apparel in six or seven sizes and two to four colors: what the load left out of the grid.
INSERT INTO ret.product_variant
    (business_id, product_variant_id, product_id, sku, title, unit_of_measure, weight_g,
     length_mm, width_mm, height_mm, list_price, standard_cost, average_cost, currency, abc_class,
     is_weighed, requires_shipping, status, created_at)
SELECT v.business_id, md5('variant ' || x.cell || p.product_id)::uuid, p.product_id,
       p.product_code || '-' || lpad(x.cell::text, 2, '0'), p.title, v.unit_of_measure,
       v.weight_g, v.length_mm, v.width_mm, v.height_mm, v.list_price, v.standard_cost,
       v.average_cost, v.currency, CASE WHEN x.cell %% 6 IN (2, 3) THEN 'a' ELSE 'b' END,
       v.is_weighed, v.requires_shipping, v.status, v.created_at
FROM ret.product AS p
JOIN ret.product_variant AS v
    ON v.business_id = p.business_id AND v.product_id = p.product_id
   AND v.sku = p.product_code || '-00'
CROSS JOIN LATERAL generate_series(
    1, CASE v.unit_of_measure WHEN 'pair' THEN 7 ELSE 6 END
       * (2 + substr(p.product_code, 2)::integer %% 3) - 1) AS x (cell)
WHERE p.business_id = %(business_id)s AND p.product_kind = 'configurable'
ON CONFLICT (business_id, sku) DO NOTHING;

-- The axes: size and color of apparel, one axis of whatever else comes in several variants.
INSERT INTO ret.product_option
    (business_id, product_option_id, product_id, option_code, display_name, option_kind,
     swatch_kind, position_no, size_scale)
SELECT p.business_id, md5('axis ' || k.option_code || p.product_id)::uuid, p.product_id,
       k.option_code, k.display_name, k.option_kind,
       CASE k.option_kind WHEN 'colour' THEN 'colour' ELSE 'none' END, k.position_no,
       CASE WHEN k.option_kind <> 'size' OR p.product_kind <> 'configurable' THEN NULL
            WHEN c.category_code LIKE 'SHO%%' THEN 'EU shoe'
            WHEN c.category_code = 'MEN-21' THEN 'waist' ELSE 'alpha' END
FROM ret.product AS p
JOIN ret.category AS c ON c.business_id = p.business_id AND c.category_id = p.main_category_id
JOIN (
    SELECT v.product_id
    FROM ret.product_variant AS v
    WHERE v.business_id = %(business_id)s
    GROUP BY v.product_id
    HAVING count(*) > 1
) AS n ON n.product_id = p.product_id
JOIN (VALUES ('configurable', 'SIZE', 'Size', 'size', 1),
             ('configurable', 'COLOR', 'Color', 'colour', 2),
             ('gift_card', 'AMOUNT', 'Amount', 'other', 1),
             ('bundle', 'SIZE', 'Size', 'size', 1),
             ('food', 'PACK', 'Pack', 'capacity', 1),
             ('goods', 'COLOR', 'Color', 'colour', 1))
    AS k (goods, option_code, display_name, option_kind, position_no)
    ON k.goods = CASE WHEN p.product_kind <> 'simple' THEN p.product_kind
                      WHEN left(c.category_code, 3) IN ('GRO', 'BEA') THEN 'food'
                      ELSE 'goods' END
WHERE p.business_id = %(business_id)s;

-- The points on each axis, as many as the variants need.
INSERT INTO ret.product_option_value
    (business_id, product_option_value_id, product_option_id, value_code, display_name,
     swatch_hex, position_no, size_sort, standard_colour)
SELECT o.business_id, md5('point ' || x.place || o.product_option_id)::uuid, o.product_option_id,
       n.value_code, n.display_name, n.swatch_hex, x.place,
       CASE o.option_kind WHEN 'size' THEN x.place * 10 END, n.standard_colour
FROM ret.product_option AS o
JOIN ret.product AS p ON p.business_id = o.business_id AND p.product_id = o.product_id
JOIN (
    SELECT v.product_id, count(*)::integer AS variant_count
    FROM ret.product_variant AS v
    WHERE v.business_id = %(business_id)s
    GROUP BY v.product_id
) AS c ON c.product_id = o.product_id
CROSS JOIN LATERAL generate_series(
    1, CASE WHEN p.product_kind <> 'configurable' THEN c.variant_count
            WHEN o.option_kind = 'colour' THEN 2 + substr(p.product_code, 2)::integer %% 3
            WHEN o.size_scale = 'EU shoe' THEN 7 ELSE 6 END) AS x (place)
CROSS JOIN LATERAL (
    SELECT 1 + (substr(p.product_code, 2)::integer + x.place) %% 8 AS hue
) AS h
CROSS JOIN LATERAL (
    SELECT CASE WHEN o.option_kind = 'colour'
                THEN split_part('BLACK,NAVY,WHITE,CHERRY,FOREST,SAND,STONE,SKY', ',', h.hue)
                WHEN o.size_scale = 'EU shoe' THEN (38 + x.place)::text
                WHEN o.size_scale = 'waist' THEN (26 + x.place * 2)::text
                WHEN o.size_scale = 'alpha' THEN split_part('XS,S,M,L,XL,XXL', ',', x.place)
                WHEN o.option_code = 'AMOUNT' THEN (x.place * 25)::text
                WHEN o.option_code = 'PACK' THEN 'X' || (x.place * 2 - 1)
                ELSE split_part('S,M,L', ',', x.place) END AS value_code,
           CASE WHEN o.option_kind = 'colour'
                THEN split_part('Black,Navy,White,Cherry,Forest,Sand,Stone,Sky', ',', h.hue)
                WHEN o.size_scale = 'EU shoe' THEN (38 + x.place)::text
                WHEN o.size_scale = 'waist' THEN (26 + x.place * 2)::text
                WHEN o.size_scale = 'alpha' THEN split_part('XS,S,M,L,XL,XXL', ',', x.place)
                WHEN o.option_code = 'AMOUNT' THEN (x.place * 25)::text
                WHEN o.option_code = 'PACK' THEN 'Pack of ' || (x.place * 2 - 1)
                ELSE split_part('Small,Medium,Large', ',', x.place) END AS display_name,
           CASE WHEN o.option_kind = 'colour'
                THEN split_part('1d1d1b,1f2a44,ffffff,b3262e,2f6b3c,c9b28f,8a8d8f,7fb2d9', ',',
                                h.hue) END AS swatch_hex,
           CASE WHEN o.option_kind = 'colour'
                THEN split_part('black,blue,white,red,green,beige,grey,blue', ',', h.hue)
                END AS standard_colour
) AS n
WHERE o.business_id = %(business_id)s;

-- A variant is a cell of the grid: its number in the SKU says which.
INSERT INTO ret.variant_option_value
    (business_id, variant_option_value_id, product_variant_id, product_option_id,
     product_option_value_id, position_no)
SELECT v.business_id, md5('value ' || o.product_option_id || v.product_variant_id)::uuid,
       v.product_variant_id, o.product_option_id, w.product_option_value_id, o.position_no
FROM ret.product_variant AS v
JOIN ret.product AS p ON p.business_id = v.business_id AND p.product_id = v.product_id
JOIN ret.product_option AS o ON o.business_id = v.business_id AND o.product_id = v.product_id
CROSS JOIN LATERAL (
    SELECT right(v.sku, 2)::integer AS number,
           CASE v.unit_of_measure WHEN 'pair' THEN 7 ELSE 6 END AS size_count
) AS c
JOIN ret.product_option_value AS w
    ON w.business_id = o.business_id AND w.product_option_id = o.product_option_id
   AND w.position_no = 1 + CASE WHEN p.product_kind <> 'configurable' THEN c.number
                                WHEN o.option_kind = 'size' THEN c.number %% c.size_count
                                ELSE c.number / c.size_count END
WHERE v.business_id = %(business_id)s;

UPDATE ret.product_variant AS v
SET title = v.title || ', ' || n.choice
FROM (
    SELECT x.product_variant_id,
           string_agg(w.display_name, ', ' ORDER BY x.position_no DESC) AS choice
    FROM ret.variant_option_value AS x
    JOIN ret.product_option_value AS w
        ON w.business_id = x.business_id
       AND w.product_option_value_id = x.product_option_value_id
    WHERE x.business_id = %(business_id)s
    GROUP BY x.product_variant_id
) AS n
WHERE v.business_id = %(business_id)s AND v.product_variant_id = n.product_variant_id;

-- A pack of three costs less than three.
UPDATE ret.product_variant AS v
SET list_price = floor(v.list_price * n.units * 0.92) + 0.99,
    standard_cost = round(v.standard_cost * n.units * 0.92, 2),
    average_cost = round(v.average_cost * n.units * 0.92, 4),
    weight_g = v.weight_g * n.units
FROM (
    SELECT x.product_variant_id, w.position_no * 2 - 1 AS units
    FROM ret.variant_option_value AS x
    JOIN ret.product_option AS o
        ON o.business_id = x.business_id AND o.product_option_id = x.product_option_id
    JOIN ret.product_option_value AS w
        ON w.business_id = x.business_id
       AND w.product_option_value_id = x.product_option_value_id
    WHERE x.business_id = %(business_id)s AND o.option_code = 'PACK' AND w.position_no > 1
) AS n
WHERE v.business_id = %(business_id)s AND v.product_variant_id = n.product_variant_id;

-- Every unit has an EAN of its brand, weighed goods and gift cards a code of the store; two in
-- five have one on the case as well, and some an older one that is still scanned.
WITH numbered AS (
    SELECT v.product_variant_id, v.product_id, v.is_weighed, v.weight_g, v.created_at,
           p.product_kind, p.launch_on,
           coalesce(b.gs1_company_prefix, '4099999') AS prefix,
           row_number() OVER (ORDER BY v.sku) AS number
    FROM ret.product_variant AS v
    JOIN ret.product AS p ON p.business_id = v.business_id AND p.product_id = v.product_id
    LEFT JOIN ret.brand AS b ON b.business_id = p.business_id AND b.brand_id = p.brand_id
    WHERE v.business_id = %(business_id)s
), coded AS (
    SELECT n.*, n.is_weighed OR n.product_kind = 'gift_card' AS is_own,
           n.prefix || lpad(n.number::text, 5, '0') AS digits
    FROM numbered AS n
)
INSERT INTO ret.variant_barcode
    (business_id, variant_barcode_id, product_variant_id, barcode, symbology, pack_level,
     units_per_pack, gross_weight_g, is_primary, assigned_on, retired_on)
SELECT %(business_id)s, md5('barcode ' || k.what || c.product_variant_id)::uuid,
       c.product_variant_id,
       CASE WHEN c.is_own THEN '21' || lpad(c.number::text, 6, '0')
            WHEN k.what = 'case'
            THEN '1' || c.digits || ret.gs1_check_digit('1' || c.digits)
            WHEN k.what = 'old' THEN '07' || lpad(c.number::text, 9, '0')
                                     || ret.gs1_check_digit('07' || lpad(c.number::text, 9, '0'))
            ELSE c.digits || ret.gs1_check_digit(c.digits) END,
       CASE WHEN c.is_own THEN 'in_store' WHEN k.what = 'case' THEN 'gtin14'
            WHEN k.what = 'old' THEN 'upca' ELSE 'ean13' END,
       CASE k.what WHEN 'case' THEN 'case' ELSE 'each' END,
       CASE k.what WHEN 'case' THEN 6 * (1 + c.number %% 3) ELSE 1 END,
       CASE k.what WHEN 'case' THEN c.weight_g * 6 * (1 + c.number %% 3) + 400 END,
       k.what = 'unit', c.launch_on - 14,
       CASE k.what WHEN 'old' THEN c.launch_on + 30 END
FROM coded AS c
JOIN (VALUES ('unit'), ('case'), ('old')) AS k (what)
    ON k.what = 'unit'
    OR NOT c.is_own AND (k.what = 'case' AND c.number %% 5 < 2
                         OR k.what = 'old' AND c.number %% 40 = 7);

-- A bundle is three things of other kinds that cost less together.
INSERT INTO ret.bundle_component
    (business_id, bundle_component_id, bundle_variant_id, component_variant_id, quantity,
     choice_group, min_choices, max_choices, price_share_pct, sort_order)
SELECT b.business_id, md5('part ' || b.product_variant_id || c.product_variant_id)::uuid,
       b.product_variant_id, c.product_variant_id, CASE k.place WHEN 2 THEN 2 ELSE 1 END,
       CASE WHEN k.place < 3 THEN 'fixed' ELSE 'treat' END, CASE k.place WHEN 3 THEN 1 END,
       CASE k.place WHEN 3 THEN 1 END, CASE k.place WHEN 1 THEN 40 WHEN 2 THEN 35 ELSE 25 END,
       k.place
FROM (
    SELECT v.business_id, v.product_variant_id, row_number() OVER (ORDER BY v.sku) AS number
    FROM ret.product_variant AS v
    JOIN ret.product AS p ON p.business_id = v.business_id AND p.product_id = v.product_id
    WHERE v.business_id = %(business_id)s AND p.product_kind = 'bundle'
) AS b
CROSS JOIN generate_series(1, 3) AS k (place)
JOIN (
    SELECT v.product_variant_id, row_number() OVER (ORDER BY v.sku) AS number,
           count(*) OVER () AS variant_count
    FROM ret.product_variant AS v
    JOIN ret.product AS p ON p.business_id = v.business_id AND p.product_id = v.product_id
    JOIN ret.category AS c ON c.business_id = p.business_id AND c.category_id = p.main_category_id
    WHERE v.business_id = %(business_id)s AND p.product_kind = 'simple' AND NOT v.is_weighed
      AND p.age_restriction_years IS NULL AND v.status = 'active' AND v.list_price < 60
      AND right(v.sku, 2) = '00'
) AS c ON c.number = 1 + (b.number * 3 + k.place) %% c.variant_count;

UPDATE ret.product_variant AS v
SET list_price = floor(n.price * 0.9) + 0.99, standard_cost = n.cost, average_cost = n.cost,
    weight_g = n.weight_g
FROM (
    SELECT b.bundle_variant_id, sum(c.list_price * b.quantity) AS price,
           sum(c.standard_cost * b.quantity) AS cost, sum(c.weight_g * b.quantity) AS weight_g
    FROM ret.bundle_component AS b
    JOIN ret.product_variant AS c
        ON c.business_id = b.business_id AND c.product_variant_id = b.component_variant_id
    WHERE b.business_id = %(business_id)s
    GROUP BY b.bundle_variant_id
) AS n
WHERE v.business_id = %(business_id)s AND v.product_variant_id = n.bundle_variant_id;
