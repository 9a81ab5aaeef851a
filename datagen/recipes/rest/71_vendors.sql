SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

INSERT INTO rest.vendor
    (business_id, vendor_id, vendor_code, legal_name, vendor_kind, order_method, account_number,
     gln, payment_terms_days, minimum_order_amount, order_cutoff_time, delivery_weekday_mask,
     lead_days, approved_until_on, rating_score, status)
SELECT %(business_id)s, md5(%(business_id)s::uuid || v.code)::uuid, v.code, v.name, v.kind,
       v.method, 'A-' || (4000 + v.place * 37),
       CASE v.method WHEN 'edi' THEN '061414100' || (4000 + v.place) END, v.terms, v.least,
       '16:00', v.days, 1, (%(as_of)s)::date + 200, 3.5 + v.place %% 4 * 0.4, v.status
FROM (VALUES
    (1, 'LAKE', 'Lakeside Foodservice Inc.', 'broadline', 'edi', 30, 50, 127, 'approved'),
    (2, 'GREEN', 'Green Market Produce LLC', 'produce', 'portal', 14, 20, 127, 'approved'),
    (3, 'PRIME', 'Prime Cut Meats Co.', 'meat', 'email', 21, 20, 63, 'approved'),
    (4, 'HARBOR', 'Harbor Fish Company', 'seafood', 'phone', 14, 20, 62, 'approved'),
    (5, 'BOXES', 'Box and Bag Supply', 'packaging', 'portal', 30, 0, 31, 'approved'),
    (6, 'CELLAR', 'North Cellar Beverages', 'beverage', 'email', 30, 0, 63, 'approved'),
    (7, 'OLDMILL', 'Old Mill Bakery', 'bakery', 'phone', 7, 0, 127, 'on_hold'),
    (8, 'FARM', 'Prairie Acre Farm', 'local_farm', 'phone', 7, 0, 42, 'trial')
) AS v (place, code, name, kind, method, terms, least, days, status);

-- The house buys what it does not make: cans, dairy and dry goods of the broadline, drinks of the
-- cellar, boxes of their maker, and fresh food of three. What keeps comes in packs of ten, what
-- does not by the pound. One item in four has a second vendor.
INSERT INTO rest.vendor_item
    (business_id, vendor_item_id, pack_unit_id, vendor_id, inventory_item_id, vendor_sku,
     description, gtin, brand_name, pack_count, pack_size, stock_qty_per_pack, current_price,
     is_preferred)
SELECT i.business_id, md5(i.inventory_item_id || v.vendor_code)::uuid, i.stock_unit_id,
       v.vendor_id, i.inventory_item_id, v.vendor_code || '-' || i.item_code,
       i.display_name || CASE i.pack WHEN 1 THEN ', by weight' ELSE ', 2 x 5' END, i.gtin,
       CASE i.place %% 3 WHEN 0 THEN 'House' WHEN 1 THEN 'Best of the day' END,
       CASE i.pack WHEN 1 THEN 1 ELSE 2 END, CASE i.pack WHEN 1 THEN 1 ELSE 5 END, i.pack,
       greatest(round(i.pack * i.average_cost * (1 + 0.04 * n.turn), 2), 0.5), n.turn = 0
FROM (
    SELECT x.*, c.category_code,
           ('x' || substr(md5(x.item_code || 'vendor'), 1, 7))::bit(28)::integer AS place,
           CASE WHEN x.shelf_life_days <= 20 THEN 1 ELSE 10 END AS pack
    FROM rest.inventory_item AS x
    JOIN rest.inventory_category AS c
        ON c.business_id = x.business_id AND c.inventory_category_id = x.inventory_category_id
    WHERE x.business_id = %(business_id)s AND x.is_active AND x.item_kind <> 'prep'
) AS i
CROSS JOIN (VALUES (0), (1)) AS n (turn)
JOIN rest.vendor AS v
    ON v.business_id = i.business_id
   AND v.vendor_code = CASE WHEN n.turn = 1 AND i.storage_temp_class = 'chilled' THEN 'FARM'
                            WHEN n.turn = 1 THEN 'OLDMILL'
                            WHEN i.item_kind IN ('packaging', 'supply') THEN 'BOXES'
                            WHEN i.item_kind = 'resale' THEN 'CELLAR'
                            WHEN i.category_code = 'PRODUCE' THEN 'GREEN'
                            WHEN i.category_code IN ('MEAT', 'POULTRY') THEN 'PRIME'
                            WHEN i.category_code = 'SEAFOOD' THEN 'HARBOR' ELSE 'LAKE' END
WHERE n.turn = 0 OR i.place %% 4 = 0;

-- Fresh food has a price each week, a walk whose steps are 5 in a hundred for produce; what the
-- others deliver was agreed for months.
INSERT INTO rest.vendor_item_price
    (business_id, vendor_item_price_id, vendor_item_id, price, currency, price_kind, min_packs,
     change_pct, source, effective_from, effective_to)
SELECT p.business_id, md5(p.vendor_item_id || 'price' || p.week)::uuid, p.vendor_item_id, p.price,
       'USD', 'market', 1,
       round(100 * (p.price / lag(p.price) OVER by_week - 1), 4), 'price_file', p.begins,
       CASE WHEN p.week > 0 THEN p.begins + 6 END
FROM (
    SELECT i.business_id, i.vendor_item_id, w.week,
           date_trunc('week', %(as_of)s::timestamptz)::date - 7 * w.week AS begins,
           greatest(round(i.current_price * exp(coalesce(sum(
               CASE v.vendor_kind WHEN 'produce' THEN 0.05 ELSE 0.015 END * 1.732
               * ((('x' || substr(md5(i.vendor_item_id || 'walk' || w.week), 1, 7))
                   ::bit(28)::integer %% 2001) / 1000.0 - 1))
               OVER (PARTITION BY i.vendor_item_id ORDER BY w.week
                     ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)), 2), 0.01) AS price
    FROM rest.vendor_item AS i
    JOIN rest.vendor AS v ON v.business_id = i.business_id AND v.vendor_id = i.vendor_id
    CROSS JOIN generate_series(0, 8) AS w (week)
    WHERE i.business_id = %(business_id)s
      AND v.vendor_kind IN ('produce', 'meat', 'seafood', 'local_farm')
) AS p
WINDOW by_week AS (PARTITION BY p.vendor_item_id ORDER BY p.week DESC);

INSERT INTO rest.vendor_item_price
    (business_id, vendor_item_price_id, vendor_item_id, price, currency, price_kind, min_packs,
     change_pct, source, effective_from, effective_to)
SELECT i.business_id, md5(i.vendor_item_id || 'price' || n.turn)::uuid, i.vendor_item_id,
       round(i.current_price * n.share, 2), 'USD', 'contract', n.packs,
       CASE n.turn WHEN 1 THEN 3 END, 'price_file', (%(as_of)s)::date - n.begun,
       (%(as_of)s)::date - n.ended
FROM rest.vendor_item AS i
JOIN rest.vendor AS v ON v.business_id = i.business_id AND v.vendor_id = i.vendor_id
CROSS JOIN (VALUES (0, 0.97, 1, 180, 61), (1, 1.0, 1, 60, NULL), (2, 0.98, 40, 60, NULL))
    AS n (turn, share, packs, begun, ended)
WHERE i.business_id = %(business_id)s
  AND v.vendor_kind NOT IN ('produce', 'meat', 'seafood', 'local_farm');
