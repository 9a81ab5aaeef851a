-- Every card of a brand is the brand's.
UPDATE rest.menu AS m
SET virtual_brand_id = v.virtual_brand_id
FROM rest.virtual_brand AS v
WHERE m.business_id = %(business_id)s
  AND v.business_id = m.business_id
  AND v.brand_code = CASE WHEN m.menu_kind = 'delivery' THEN m.menu_code ELSE 'FLAG' END;

-- The restaurant offers food and drinks, the cloud kitchen its brands' cards.
INSERT INTO rest.menu_schedule
    (business_id, menu_schedule_id, menu_id, location_id, service_mode, effective_from, priority)
SELECT m.business_id, md5('schedule ' || m.menu_id || l.location_id)::uuid, m.menu_id,
       l.location_id, CASE WHEN m.menu_kind = 'delivery' THEN 'delivery' ELSE 'all' END,
       m.effective_from, 100
FROM rest.menu AS m
JOIN rest.location AS l
    ON l.business_id = m.business_id
   AND (m.menu_kind = 'delivery') = (l.service_format = 'cloud_kitchen')
WHERE m.business_id = %(business_id)s;

-- An item stands in the groups of its category.
INSERT INTO rest.menu_group_item
    (business_id, menu_group_item_id, menu_group_id, menu_item_id, sort_order, is_featured)
SELECT g.business_id, md5('place ' || g.menu_group_id || i.menu_item_id)::uuid, g.menu_group_id,
       i.menu_item_id, n.place, n.place = 1
FROM rest.menu_group AS g
JOIN rest.menu_item AS i ON i.business_id = g.business_id AND i.sales_category = g.display_name
JOIN (
    SELECT x.menu_item_id,
           row_number() OVER (PARTITION BY x.sales_category ORDER BY x.item_code) AS place
    FROM rest.menu_item AS x
    WHERE x.business_id = %(business_id)s
) AS n ON n.menu_item_id = i.menu_item_id
WHERE g.business_id = %(business_id)s;

-- Wine comes by the glass and the bottle, sides and soft drinks small and large.
INSERT INTO rest.menu_item_size
    (business_id, menu_item_size_id, menu_item_id, size_code, display_name, price, portion_factor,
     plu, is_default, sort_order)
SELECT i.business_id, md5('size ' || z.code || i.menu_item_id)::uuid, i.menu_item_id, z.code,
       z.name, round(i.base_price * z.price_factor, 2), z.portion, i.plu || z.code,
       z.sort_order = 0, z.sort_order
FROM rest.menu_item AS i
JOIN (VALUES ('Wine', 'GL', 'Glass', 1.0, 1.0, 0), ('Wine', 'BT', 'Bottle', 4.2, 5.0, 1),
             ('Sides', 'SM', 'Small', 1.0, 1.0, 0), ('Sides', 'LG', 'Large', 1.5, 1.7, 1),
             ('Soft drinks', 'SM', 'Small', 1.0, 1.0, 0),
             ('Soft drinks', 'LG', 'Large', 1.4, 1.6, 1))
    AS z (category, code, name, price_factor, portion, sort_order)
    ON z.category = i.sales_category
WHERE i.business_id = %(business_id)s;

-- Happy hour on beer and cocktails; marketplaces pay more for what the brands sell.
INSERT INTO rest.menu_item_price
    (business_id, menu_item_price_id, menu_item_id, location_id, service_period_id, price,
     currency, price_kind, weekday_mask, effective_from, priority, approved_by_staff_id,
     approved_at)
SELECT i.business_id, md5('happy ' || i.menu_item_id || p.service_period_id)::uuid,
       i.menu_item_id, p.location_id, p.service_period_id, round(i.base_price * 0.7, 2),
       l.currency, 'happy_hour', 31, %(as_of)s::date - 200, 10, m.staff_member_id,
       %(as_of)s::timestamptz - interval '201 days'
FROM rest.menu_item AS i
JOIN rest.service_period AS p
    ON p.business_id = i.business_id AND p.period_code = 'afternoon'
JOIN rest.location AS l
    ON l.business_id = p.business_id AND l.location_id = p.location_id
   AND l.service_format = 'full_service'
CROSS JOIN (
    SELECT x.staff_member_id
    FROM rest.staff_member AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.employee_number
    LIMIT 1
) AS m
WHERE i.business_id = %(business_id)s AND i.sales_category IN ('Beer', 'Cocktails');

INSERT INTO rest.menu_item_price
    (business_id, menu_item_price_id, menu_item_id, sales_channel_id, price, currency, price_kind,
     effective_from, priority)
SELECT i.business_id, md5('channel ' || i.menu_item_id || c.sales_channel_id)::uuid,
       i.menu_item_id, c.sales_channel_id, round(i.base_price * 1.15, 2), l.currency, 'channel',
       %(as_of)s::date - 200, 50
FROM rest.menu_item AS i
JOIN rest.sales_channel AS c
    ON c.business_id = i.business_id AND c.channel_kind = 'marketplace'
CROSS JOIN (
    SELECT x.currency
    FROM rest.location AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.location_code
    LIMIT 1
) AS l
WHERE i.business_id = %(business_id)s AND i.sales_category IN ('Wings', 'Bowls', 'Burgers', 'Meals');

-- What a site offers is what stands on its cards; two items are out, two are counted down.
INSERT INTO rest.menu_item_location
    (business_id, menu_item_location_id, menu_item_id, location_id, stock_mode, remaining_qty,
     out_since, out_reason, daily_limit)
SELECT o.business_id, md5('offer ' || o.menu_item_id || o.location_id)::uuid, o.menu_item_id,
       o.location_id,
       CASE WHEN i.display_name IN ('Beef tartare', 'Poke bowl') THEN 'out_of_stock'
            WHEN i.display_name IN ('Ribeye 12 oz', 'Duck confit') THEN 'countdown'
            ELSE 'unlimited' END,
       CASE WHEN i.display_name IN ('Ribeye 12 oz', 'Duck confit') THEN 14 END,
       CASE WHEN i.display_name IN ('Beef tartare', 'Poke bowl')
            THEN %(as_of)s::timestamptz - interval '2 hours' END,
       CASE WHEN i.display_name IN ('Beef tartare', 'Poke bowl') THEN 'sold out' END,
       CASE WHEN i.display_name IN ('Ribeye 12 oz', 'Duck confit') THEN 40 END
FROM (
    SELECT DISTINCT p.business_id, p.menu_item_id, s.location_id
    FROM rest.menu_schedule AS s
    JOIN rest.menu_group AS g ON g.business_id = s.business_id AND g.menu_id = s.menu_id
    JOIN rest.menu_group_item AS p
        ON p.business_id = g.business_id AND p.menu_group_id = g.menu_group_id
    WHERE s.business_id = %(business_id)s
) AS o
JOIN rest.menu_item AS i ON i.business_id = o.business_id AND i.menu_item_id = o.menu_item_id;

-- A brand sells what stands on its card under names of its own.
INSERT INTO rest.brand_menu_item
    (business_id, brand_menu_item_id, virtual_brand_id, menu_item_id, listing_name, listing_price,
     external_category, packaging_cost, is_hero, sort_order, status)
SELECT p.business_id, md5('listing ' || m.virtual_brand_id || i.menu_item_id)::uuid,
       m.virtual_brand_id, i.menu_item_id, i.display_name || ' to go',
       round(i.base_price * 1.12, 2), g.display_name, 0.65, p.is_featured, p.sort_order, 'live'
FROM rest.menu AS m
JOIN rest.menu_group AS g ON g.business_id = m.business_id AND g.menu_id = m.menu_id
JOIN rest.menu_group_item AS p
    ON p.business_id = g.business_id AND p.menu_group_id = g.menu_group_id
JOIN rest.menu_item AS i ON i.business_id = p.business_id AND i.menu_item_id = p.menu_item_id
WHERE m.business_id = %(business_id)s AND m.menu_kind = 'delivery';
