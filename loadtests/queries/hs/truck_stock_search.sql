-- A technician searches a part: on the own truck first, then on trucks and shelves of the branch.
-- budget: p95 150ms
-- weight: 6
-- mode: read
-- rows: >=1
-- params: technician_id from hs.truck_assignment where ends_at IS NULL
-- params: term=name from hs.stock_item where is_active
SELECT i.business_id, i.stock_item_id, i.sku, i.name, i.uom, l.stock_location_id, l.name AS place,
       l.location_kind, l.truck_id = own.truck_id AS is_own_truck,
       driver.full_name AS driver_name, driver.mobile_phone AS driver_phone,
       b.on_hand_qty - b.reserved_qty AS available_qty, b.bin_label
FROM (
    SELECT a.truck_id, t.branch_id
    FROM hs.truck_assignment AS a
    JOIN hs.truck AS t ON t.business_id = a.business_id AND t.truck_id = a.truck_id
    WHERE a.business_id = %(business_id)s
        AND a.technician_id = %(technician_id)s
        AND a.starts_at <= now()
        AND (a.ends_at IS NULL OR a.ends_at > now())
    ORDER BY a.starts_at DESC
    LIMIT 1
) AS own
CROSS JOIN (
    -- Items with a word that begins as the last one typed: row security lets an index find these.
    SELECT DISTINCT w.entity_id
    FROM system_core.search_word AS w
    WHERE w.business_id = %(business_id)s AND w.found_in = 'hs.stock_item'
      AND w.word ^@ lower(substring(%(term)s FROM '([[:alnum:]]+)[^[:alnum:]]*$'))
) AS w
JOIN hs.stock_item AS i
    ON i.business_id = %(business_id)s
    AND i.stock_item_id = w.entity_id
    AND i.sku || ' ' || i.name ILIKE '%%' || %(term)s || '%%'
    AND i.is_active
JOIN hs.stock_balance AS b
    ON b.business_id = i.business_id AND b.stock_item_id = i.stock_item_id
    AND b.on_hand_qty > b.reserved_qty
JOIN hs.stock_location AS l
    ON l.business_id = b.business_id AND l.stock_location_id = b.stock_location_id
    AND l.location_kind IN ('truck', 'warehouse')
    AND l.is_active
LEFT JOIN LATERAL (
    SELECT p.full_name, p.mobile_phone
    FROM hs.truck_assignment AS a
    JOIN hs.technician AS p
        ON p.business_id = a.business_id AND p.technician_id = a.technician_id
    WHERE a.business_id = l.business_id
        AND a.truck_id = l.truck_id
        AND a.starts_at <= now()
        AND (a.ends_at IS NULL OR a.ends_at > now())
) AS driver ON true
ORDER BY l.truck_id = own.truck_id DESC NULLS LAST, l.branch_id = own.branch_id DESC,
         available_qty DESC, i.sku, l.stock_location_id
LIMIT 25
