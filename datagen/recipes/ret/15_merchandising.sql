SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- What is said of goods by department; a number or choice follows from the product's own number.
INSERT INTO ret.product_attribute_value
    (business_id, product_attribute_value_id, product_id, attribute_id, language_code, text_value,
     number_value, boolean_value, date_value, list_value_doc, source, approved_at)
SELECT p.business_id, md5('said ' || a.attribute_id || p.product_id)::uuid, p.product_id,
       a.attribute_id, CASE a.attribute_code WHEN 'highlight' THEN 'en' END,
       CASE a.attribute_code WHEN 'players' THEN '2-' || (4 + n.number %% 3)
                             WHEN 'highlight' THEN p.title || ' at its best'
                             WHEN 'origin_region'
                             THEN split_part('Coast,Highlands,Valley,Islands', ',',
                                             1 + n.number %% 4)
                             WHEN 'assembly_note' THEN 'No tools needed' END,
       CASE WHEN a.data_kind = 'number'
            THEN CASE a.attribute_code WHEN 'alcohol' THEN 12 + (n.number %% 5) * 0.5
                                       WHEN 'age_from' THEN 3 + n.number %% 9
                                       WHEN 'warranty' THEN 12 * (1 + n.number %% 3)
                                       WHEN 'net_weight' THEN 250 * (1 + n.number %% 4)
                                       WHEN 'battery_life' THEN 6 + n.number %% 30
                                       WHEN 'piece_count' THEN 50 * (1 + n.number %% 20)
                                       ELSE 20 + n.number %% 180 END END,
       CASE WHEN a.data_kind = 'boolean' THEN n.number %% 3 > 0 END,
       CASE WHEN a.data_kind = 'date' THEN p.launch_on END,
       CASE WHEN a.data_kind IN ('list', 'multi_list')
            THEN jsonb_build_array(a.allowed_values_doc
                     -> (n.number %% jsonb_array_length(a.allowed_values_doc)) -> 'code')
                 || CASE WHEN a.data_kind = 'multi_list' AND n.number %% 2 = 0
                         THEN jsonb_build_array(a.allowed_values_doc
                                  -> ((n.number + 1) %% jsonb_array_length(a.allowed_values_doc))
                                  -> 'code')
                         ELSE '[]' END END,
       CASE n.number %% 4 WHEN 0 THEN 'supplier' WHEN 1 THEN 'import' WHEN 2 THEN 'enrichment'
                          ELSE 'manual' END,
       CASE WHEN n.number %% 7 > 0 AND p.status <> 'draft'
            THEN p.launch_on::timestamptz - interval '9 days' END
FROM ret.product AS p
JOIN ret.category AS c ON c.business_id = p.business_id AND c.category_id = p.main_category_id
CROSS JOIN LATERAL (SELECT substr(p.product_code, 2)::integer AS number) AS n
JOIN (VALUES ('MEN', '{material,fit,care,collar,fabric_weight,season,vegan}'::text[]),
             ('WOM', '{material,fit,care,collar,fabric_weight,season,vegan}'),
             ('SHO', '{material,care,waterproof,heel_height,season,vegan}'),
             ('ELE', '{battery_life,wireless,power,connectivity,warranty,waterproof}'),
             ('HOM', '{material,power,dishwasher_safe,warranty,assembly_note,piece_count}'),
             ('GRO', '{roast,organic,allergens,origin_region,net_weight,shelf_life,vegan}'),
             ('BEA', '{skin_type,vegan,organic,net_weight,shelf_life,allergens}'),
             ('SPO', '{material,waterproof,warranty,age_from,vegan}'),
             ('TOY', '{age_from,players,piece_count,material,assembly_note}'),
             ('GIF', '{material,season,organic,piece_count}'))
    AS d (department, codes) ON d.department = left(c.category_code, 3)
JOIN ret.attribute AS a
    ON a.business_id = p.business_id
   AND (a.attribute_code = ANY (d.codes) OR a.attribute_code IN ('first_sold', 'highlight')
        OR c.category_code = 'GRO-22' AND a.attribute_code IN ('alcohol', 'grape'))
   AND (a.attribute_code <> 'roast' OR c.category_code = 'GRO-11')
WHERE p.business_id = %(business_id)s AND p.product_kind <> 'gift_card';

-- Three pictures of each product, a swatch of apparel with a chart of its sizes, a manual of
-- what has a plug; the bytes are files that are there.
INSERT INTO ret.product_media
    (business_id, product_media_id, product_id, product_variant_id, file_object_id, media_kind,
     role, alt_text, position_no, width_px, height_px, language_code, approved_at)
SELECT p.business_id, md5('media ' || k.place || p.product_id)::uuid, p.product_id,
       CASE k.role WHEN 'swatch' THEN v.product_variant_id END, f.file_object_id, k.media_kind,
       k.role, p.title || ', ' || k.shows, k.place,
       CASE k.media_kind WHEN 'image' THEN 1600 END, CASE k.media_kind WHEN 'image' THEN 1600 END,
       CASE WHEN k.media_kind IN ('manual', 'size_chart') THEN 'en' END,
       CASE WHEN p.status NOT IN ('draft', 'review')
            THEN p.launch_on::timestamptz - interval '7 days' END
FROM ret.product AS p
CROSS JOIN LATERAL (SELECT substr(p.product_code, 2)::integer AS number) AS n
JOIN (VALUES (1, 'image', 'main', 'front', NULL), (2, 'image', 'gallery', 'detail', NULL),
             (3, 'image', 'lifestyle', 'in use', NULL),
             (4, 'image', 'swatch', 'close up', 'configurable'),
             (5, 'size_chart', 'gallery', 'sizes', 'configurable'),
             (6, 'manual', 'packaging', 'manual', 'serial'))
    AS k (place, media_kind, role, shows, only_for)
    ON k.only_for IS NULL OR k.only_for IN (p.product_kind, p.tracking)
LEFT JOIN ret.product_variant AS v
    ON v.business_id = p.business_id AND v.product_id = p.product_id
   AND v.sku = p.product_code || '-00'
JOIN (
    SELECT x.file_object_id,
           row_number() OVER (ORDER BY x.media_type NOT LIKE 'image/%%', x.file_object_id) - 1
               AS place,
           greatest(count(*) FILTER (WHERE x.media_type LIKE 'image/%%') OVER (),
                    least(count(*) OVER (), 1)) AS file_count
    FROM system_core.file_object AS x
    WHERE x.business_id = %(business_id)s AND x.deleted_at IS NULL
) AS f ON f.place = (n.number * 3 + k.place) %% f.file_count
WHERE p.business_id = %(business_id)s;

-- What goes with a product, what is better and what is alike.
INSERT INTO ret.product_relation
    (business_id, product_relation_id, from_product_id, to_product_id, relation_kind, source,
     score, position_no, valid_from)
SELECT p.business_id, md5('leads ' || k.kind || p.product_id)::uuid, p.product_id, o.product_id,
       k.kind, CASE k.kind WHEN 'cross_sell' THEN 'basket_affinity'
                           WHEN 'accessory' THEN 'supplier' ELSE 'manual' END,
       CASE k.kind WHEN 'cross_sell' THEN 0.05 + (p.number * 13 %% 60) / 100.0 END, k.place,
       greatest(p.launch_on, o.launch_on)::timestamptz
FROM (
    SELECT x.*, row_number() OVER (ORDER BY x.product_code) - 1 AS number,
           count(*) OVER () AS product_count
    FROM ret.product AS x
    WHERE x.business_id = %(business_id)s AND x.product_kind <> 'gift_card'
) AS p
JOIN (VALUES (1, 'cross_sell', 7), (2, 'accessory', 3), (3, 'substitute', 39))
    AS k (place, kind, step) ON k.place < 3 OR p.number %% 3 > 0
JOIN (
    SELECT x.product_id, x.launch_on, row_number() OVER (ORDER BY x.product_code) - 1 AS number
    FROM ret.product AS x
    WHERE x.business_id = %(business_id)s AND x.product_kind <> 'gift_card'
) AS o ON o.number = (p.number + k.step) %% p.product_count AND o.product_id <> p.product_id;

-- By hand one in sixteen; by rule what the department has under 60.
INSERT INTO ret.collection_product
    (business_id, collection_product_id, collection_id, product_id, position_no, is_pinned,
     source, added_at, removed_at, matched_rule)
SELECT c.business_id, md5('member ' || c.collection_id || p.product_id)::uuid, c.collection_id,
       p.product_id, row_number() OVER (PARTITION BY c.collection_id ORDER BY p.product_code),
       c.collection_kind = 'manual' AND p.number %% 11 = 0, c.collection_kind, c.starts_at,
       CASE WHEN c.collection_kind = 'manual' AND p.number %% 23 = 5
            THEN least(c.starts_at + interval '15 days', %(as_of)s) END,
       CASE c.collection_kind WHEN 'rule' THEN '$.all' END
FROM (
    SELECT x.*, row_number() OVER (ORDER BY x.collection_code) AS number
    FROM ret.collection AS x
    WHERE x.business_id = %(business_id)s
) AS c
JOIN (
    SELECT x.business_id, x.product_id, x.product_code, g.category_code,
           substr(x.product_code, 2)::integer AS number, v.price
    FROM ret.product AS x
    JOIN ret.category AS g ON g.business_id = x.business_id AND g.category_id = x.main_category_id
    JOIN (
        SELECT w.product_id, min(w.list_price) AS price
        FROM ret.product_variant AS w
        WHERE w.business_id = %(business_id)s
        GROUP BY w.product_id
    ) AS v ON v.product_id = x.product_id
    WHERE x.business_id = %(business_id)s AND x.status IN ('active', 'phase_out')
) AS p
    ON p.business_id = c.business_id
   AND CASE c.collection_kind
           WHEN 'manual' THEN (p.number * 5 + c.number * 3) %% 16 = 0
           ELSE p.price < 60 AND left(p.category_code, 3) = substr(c.collection_code, 3) END;

-- On the web and in the app everything that is on sale, two in five on the marketplace.
INSERT INTO ret.product_channel_listing
    (business_id, product_channel_listing_id, product_id, sales_channel_id, listing_state,
     published_at, available_from, available_to, external_listing_id, listing_title, seo_title,
     seo_description, buy_limit, last_synced_at, sync_error)
SELECT p.business_id, md5('listing ' || c.sales_channel_id || p.product_id)::uuid, p.product_id,
       c.sales_channel_id, s.state,
       CASE WHEN s.state IN ('published', 'hidden', 'rejected')
            THEN p.launch_on::timestamptz + interval '9 hours' END,
       CASE s.state WHEN 'scheduled' THEN %(as_of)s::timestamptz + interval '20 days'
                    WHEN 'draft' THEN NULL ELSE p.launch_on::timestamptz END,
       CASE WHEN s.state <> 'scheduled' THEN p.discontinue_on::timestamptz END,
       CASE WHEN c.channel_kind = 'marketplace' AND s.state <> 'draft'
            THEN 'MX' || lpad(n.number::text, 8, '0') END,
       CASE WHEN c.channel_kind = 'marketplace' THEN p.title || ' - new' END,
       CASE WHEN c.channel_kind = 'web' THEN p.title || ' online' END,
       CASE WHEN c.channel_kind = 'web' THEN 'Order ' || p.title || ', ready today' END,
       CASE WHEN n.number %% 10 = 3 THEN 5 END,
       CASE WHEN c.channel_kind = 'marketplace' AND s.state <> 'draft'
            THEN %(as_of)s::timestamptz - (5 + n.number %% 50) * interval '1 minute' END,
       CASE s.state WHEN 'rejected' THEN 'Image is smaller than 1000 pixels' END
FROM ret.product AS p
CROSS JOIN LATERAL (SELECT substr(p.product_code, 2)::integer AS number) AS n
JOIN ret.sales_channel AS c
    ON c.business_id = p.business_id
   AND (c.channel_kind IN ('web', 'mobile_app')
        OR c.channel_kind = 'marketplace' AND n.number %% 5 < 2)
CROSS JOIN LATERAL (
    SELECT CASE p.status WHEN 'draft' THEN 'draft' WHEN 'review' THEN 'scheduled'
                         WHEN 'discontinued' THEN 'hidden'
                         ELSE CASE WHEN c.channel_kind = 'marketplace' AND n.number %% 30 = 10
                                   THEN 'rejected' ELSE 'published' END END AS state
) AS s
WHERE p.business_id = %(business_id)s;

-- The large store ranges everything that has a shelf, the middle one 70 %%, the small one 40 %%.
INSERT INTO ret.assortment_item
    (business_id, assortment_item_id, home_bin_id, location_id, product_variant_id, range_status,
     ranged_from, ranged_to, facings, shelf_capacity, presentation_min, planogram_ref, is_core,
     last_reviewed_at)
SELECT l.business_id, md5('ranged ' || l.location_id || v.product_variant_id)::uuid,
       b.bin_location_id, l.location_id, v.product_variant_id,
       CASE v.product_status WHEN 'discontinued' THEN 'delisted' WHEN 'phase_out' THEN 'delisting'
                             WHEN 'active' THEN 'ranged' ELSE 'planned' END,
       greatest(v.launch_on, l.opened_on), v.discontinue_on,
       CASE v.abc_class WHEN 'a' THEN 3 WHEN 'b' THEN 2 ELSE 1 END,
       CASE v.abc_class WHEN 'a' THEN 24 WHEN 'b' THEN 12 ELSE 6 END,
       CASE v.abc_class WHEN 'a' THEN 6 WHEN 'b' THEN 3 ELSE 1 END,
       'PG-' || left(v.category_code, 3) || '-' || l.location_code, v.abc_class = 'a',
       %(as_of)s::timestamptz - (3 + v.number %% 80) * interval '1 day'
FROM ret.location AS l
JOIN (
    SELECT x.business_id, x.product_variant_id, x.abc_class, p.status AS product_status,
           p.launch_on, p.discontinue_on, c.category_code,
           row_number() OVER (ORDER BY x.sku) AS number
    FROM ret.product_variant AS x
    JOIN ret.product AS p ON p.business_id = x.business_id AND p.product_id = x.product_id
    JOIN ret.category AS c ON c.business_id = p.business_id AND c.category_id = p.main_category_id
    WHERE x.business_id = %(business_id)s
) AS v
    ON v.business_id = l.business_id
   AND v.number * 7 %% 10 < CASE l.location_code WHEN 'S1' THEN 10 WHEN 'S2' THEN 7 ELSE 4 END
JOIN (
    SELECT x.location_id, x.bin_location_id,
           row_number() OVER (PARTITION BY x.location_id ORDER BY x.bin_code) - 1 AS place,
           count(*) OVER (PARTITION BY x.location_id) AS bin_count
    FROM ret.bin_location AS x
    WHERE x.business_id = %(business_id)s AND x.zone = 'sales_floor' AND x.status = 'active'
) AS b ON b.location_id = l.location_id AND b.place = v.number %% b.bin_count
WHERE l.business_id = %(business_id)s AND l.location_kind = 'store';
