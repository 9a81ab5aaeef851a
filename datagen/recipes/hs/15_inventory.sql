-- Transfers go from the main warehouse to the trucks in turn.
UPDATE hs.stock_transfer AS t
SET from_location_id = w.stock_location_id, to_location_id = k.stock_location_id
FROM (
    SELECT x.stock_transfer_id, row_number() OVER (ORDER BY x.transfer_number) AS place
    FROM hs.stock_transfer AS x
    WHERE x.business_id = %(business_id)s
) AS n
CROSS JOIN (
    SELECT l.stock_location_id
    FROM hs.stock_location AS l
    WHERE l.business_id = %(business_id)s AND l.location_kind = 'warehouse'
    ORDER BY l.location_code
    LIMIT 1
) AS w
JOIN (
    SELECT l.stock_location_id, row_number() OVER (ORDER BY l.location_code) AS place,
           count(*) OVER () AS trucks
    FROM hs.stock_location AS l
    WHERE l.business_id = %(business_id)s AND l.location_kind = 'truck'
) AS k ON k.place = n.place %% k.trucks + 1
WHERE t.business_id = %(business_id)s AND t.stock_transfer_id = n.stock_transfer_id;

-- Three of the forty items that trucks carry on each transfer.
WITH carried AS MATERIALIZED (
    SELECT x.stock_item_id, x.list_price, x.sku
    FROM hs.stock_item AS x
    WHERE x.business_id = %(business_id)s AND NOT x.is_serialized AND x.is_active
    ORDER BY x.sku
    LIMIT 40
)
INSERT INTO hs.stock_transfer_line
    (business_id, stock_transfer_line_id, stock_transfer_id, stock_item_id, line_no,
     requested_qty, picked_qty, received_qty, unit_cost, shortage_reason, is_backordered)
SELECT t.business_id, md5(t.stock_transfer_id || ' line ' || i.line_no)::uuid,
       t.stock_transfer_id, i.stock_item_id, i.line_no, i.asked,
       CASE WHEN t.status IN ('in_transit', 'received') THEN i.asked - i.missing ELSE 0 END,
       CASE WHEN t.status = 'received' THEN i.asked - i.missing ELSE 0 END,
       round(i.list_price * 0.55, 2),
       CASE WHEN i.missing > 0 AND t.status IN ('in_transit', 'received') THEN 'shelf empty' END,
       i.missing > 0 AND t.status IN ('in_transit', 'received')
FROM hs.stock_transfer AS t
CROSS JOIN LATERAL (
    SELECT c.*, row_number() OVER (ORDER BY c.draw, c.stock_item_id) AS line_no,
           2 + c.draw %% 4 AS asked, CASE WHEN c.draw %% 25 = 0 THEN 1 ELSE 0 END AS missing
    FROM (
        SELECT x.stock_item_id, x.list_price,
               abs(hashtext(t.transfer_number || x.sku)) AS draw
        FROM carried AS x
    ) AS c
    ORDER BY c.draw, c.stock_item_id
    LIMIT 3
) AS i
WHERE t.business_id = %(business_id)s;

-- Single pieces: three of each serialized item, the third was installed. Other tenants have the
-- same serial numbers.
INSERT INTO hs.serialized_unit
    (business_id, serialized_unit_id, stock_item_id, stock_location_id, serial_number, status,
     unit_cost, lot_number, received_on, warranty_starts_on, installed_on)
SELECT i.business_id, md5(i.stock_item_id || ' piece ' || n)::uuid, i.stock_item_id,
       CASE WHEN n < 3 THEN w.stock_location_id END,
       i.sku || '-SN' || n, CASE WHEN n < 3 THEN 'in_stock' ELSE 'installed' END,
       round(i.list_price * 0.6, 2), 'OPENING', w.today - 100,
       CASE WHEN n = 3 THEN w.today - 10 END, CASE WHEN n = 3 THEN w.today - 10 END
FROM hs.stock_item AS i
CROSS JOIN generate_series(1, 3) AS n
CROSS JOIN (
    SELECT l.stock_location_id,
           (SELECT max(x.last_counted_on) + 1 FROM hs.stock_location AS x
            WHERE x.business_id = %(business_id)s) AS today
    FROM hs.stock_location AS l
    WHERE l.business_id = %(business_id)s AND l.location_kind = 'warehouse'
    ORDER BY l.location_code
    LIMIT 1
) AS w
WHERE i.business_id = %(business_id)s AND i.is_serialized;

-- Openings: the main warehouse has every item and covers all that will leave it, the others have
-- some; a truck carries most of the first forty items. Pieces open one by one.
WITH item AS MATERIALIZED (
    SELECT x.stock_item_id, x.list_price, x.sku, row_number() OVER (ORDER BY x.sku) AS rank
    FROM hs.stock_item AS x
    WHERE x.business_id = %(business_id)s AND NOT x.is_serialized AND x.is_active
)
INSERT INTO hs.stock_movement
    (business_id, stock_movement_id, stock_item_id, to_location_id, serialized_unit_id,
     movement_kind, moved_qty, unit_cost, reason_note, moved_at)
SELECT l.business_id, md5(l.stock_location_id || ' opens ' || i.stock_item_id)::uuid,
       i.stock_item_id, l.stock_location_id, NULL, 'opening',
       CASE WHEN l.location_kind = 'truck' THEN 5 + i.draw %% 8
            ELSE 20 + i.draw %% 60 END
       + CASE WHEN l.place = 1 AND l.location_kind = 'warehouse'
              THEN coalesce(o.quantity, 0) ELSE 0 END,
       round(i.list_price * 0.55, 2), 'Opening stock', l.today - interval '110 days'
FROM (
    SELECT x.business_id, x.stock_location_id, x.location_kind, x.location_code,
           row_number() OVER (PARTITION BY x.location_kind ORDER BY x.location_code) AS place,
           max(x.last_counted_on) OVER () + 1 + time '08:00' AS today
    FROM hs.stock_location AS x
    WHERE x.business_id = %(business_id)s
) AS l
JOIN LATERAL (
    SELECT x.stock_item_id, x.list_price, abs(hashtext(l.location_code || x.sku)) AS draw
    FROM item AS x
    WHERE CASE l.location_kind
        WHEN 'warehouse' THEN l.place = 1 OR abs(hashtext(l.location_code || x.sku)) %% 4 = 0
        WHEN 'truck' THEN x.rank <= 40
            AND (x.rank <= 6 OR abs(hashtext(l.location_code || x.sku)) %% 8 < 5)
        ELSE false END
) AS i ON true
LEFT JOIN (
    SELECT t.from_location_id, x.stock_item_id, sum(x.picked_qty) AS quantity
    FROM hs.stock_transfer AS t
    JOIN hs.stock_transfer_line AS x
        ON x.business_id = t.business_id AND x.stock_transfer_id = t.stock_transfer_id
    WHERE t.business_id = %(business_id)s
    GROUP BY t.from_location_id, x.stock_item_id
) AS o ON o.from_location_id = l.stock_location_id AND o.stock_item_id = i.stock_item_id
UNION ALL
SELECT u.business_id, md5(u.serialized_unit_id || ' opens')::uuid, u.stock_item_id,
       w.stock_location_id, u.serialized_unit_id, 'opening', 1, u.unit_cost, 'Opening stock',
       u.received_on + time '08:00'
FROM hs.serialized_unit AS u
CROSS JOIN (
    SELECT l.stock_location_id
    FROM hs.stock_location AS l
    WHERE l.business_id = %(business_id)s AND l.location_kind = 'warehouse'
    ORDER BY l.location_code
    LIMIT 1
) AS w
WHERE u.business_id = %(business_id)s;

-- What transfers brought.
INSERT INTO hs.stock_movement
    (business_id, stock_movement_id, stock_item_id, from_location_id, to_location_id,
     movement_kind, moved_qty, unit_cost, source_kind, source_ref, moved_at)
SELECT t.business_id, md5(l.stock_transfer_line_id || ' moves')::uuid, l.stock_item_id,
       t.from_location_id, t.to_location_id, 'transfer', l.received_qty, l.unit_cost,
       'transfer', t.transfer_number, t.received_at
FROM hs.stock_transfer AS t
JOIN hs.stock_transfer_line AS l
    ON l.business_id = t.business_id AND l.stock_transfer_id = t.stock_transfer_id
WHERE t.business_id = %(business_id)s AND t.status = 'received' AND l.received_qty > 0;

-- Issues to jobs never exceed what a truck opened with. Few items make most of the usage: six
-- runners are used four times each, the next dozen once, a third of the others.
INSERT INTO hs.stock_movement
    (business_id, stock_movement_id, stock_item_id, from_location_id, work_order_id,
     actor_user_account_id, movement_kind, moved_qty, unit_cost, source_kind, source_ref,
     moved_at)
SELECT u.business_id, md5(u.stock_movement_id || ' used ' || u.n)::uuid, u.stock_item_id,
       u.to_location_id, j.work_order_id, a.user_account_id, 'issue', 1, u.average_cost,
       'work_order', u.sku || '/' || u.n, u.moved_at + u.days * interval '1 day'
FROM (
    SELECT m.business_id, m.stock_movement_id, m.stock_item_id, m.to_location_id, m.moved_at,
           i.average_cost, i.sku, n,
           1 + abs(hashtext(m.stock_movement_id || ' on ' || n)) %% 108 AS days,
           row_number() OVER (ORDER BY i.sku, m.to_location_id, n) AS place
    FROM hs.stock_movement AS m
    JOIN (
        SELECT x.stock_item_id, x.average_cost, x.sku, row_number() OVER (ORDER BY x.sku) AS rank
        FROM hs.stock_item AS x
        WHERE x.business_id = %(business_id)s AND NOT x.is_serialized AND x.is_active
    ) AS i USING (stock_item_id)
    JOIN hs.stock_location AS l
        ON l.business_id = m.business_id AND l.stock_location_id = m.to_location_id
       AND l.location_kind = 'truck'
    CROSS JOIN generate_series(1, 5) AS n
    WHERE m.business_id = %(business_id)s AND m.movement_kind = 'opening'
      AND n <= CASE WHEN i.rank <= 6 THEN 5 WHEN i.rank <= 18 THEN 1
                    ELSE (i.rank %% 3 = 0)::integer END
) AS u
LEFT JOIN (
    SELECT x.work_order_id, row_number() OVER (ORDER BY x.work_order_id) AS place,
           count(*) OVER () AS jobs
    FROM hs.work_order AS x
    WHERE x.business_id = %(business_id)s
) AS j ON j.place = u.place %% j.jobs + 1
LEFT JOIN (
    SELECT min(x.user_account_id::text)::uuid AS user_account_id
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = %(business_id)s
) AS a ON true
UNION ALL
SELECT s.business_id, md5(s.serialized_unit_id || ' used')::uuid, s.stock_item_id,
       o.to_location_id, NULL, NULL, 'issue', 1, s.unit_cost, 'work_order', s.serial_number,
       s.installed_on + time '11:00'
FROM hs.serialized_unit AS s
JOIN hs.stock_movement AS o
    ON o.business_id = s.business_id AND o.serialized_unit_id = s.serialized_unit_id
   AND o.movement_kind = 'opening'
WHERE s.business_id = %(business_id)s AND s.status = 'installed';

-- One count in fifty was off by one.
INSERT INTO hs.stock_movement
    (business_id, stock_movement_id, stock_item_id, from_location_id, movement_kind, moved_qty,
     unit_cost, source_kind, source_ref, reason_note, moved_at)
SELECT b.business_id, md5(b.stock_item_id || ' counted ' || b.stock_location_id)::uuid,
       b.stock_item_id, b.stock_location_id, 'adjustment', 1, i.average_cost, 'count',
       l.location_code, 'Count was one short', l.last_counted_on + time '17:00'
FROM hs.stock_balance AS b
JOIN hs.stock_item AS i ON i.business_id = b.business_id AND i.stock_item_id = b.stock_item_id
JOIN hs.stock_location AS l
    ON l.business_id = b.business_id AND l.stock_location_id = b.stock_location_id
   AND l.location_kind = 'warehouse'
WHERE b.business_id = %(business_id)s AND NOT i.is_serialized
  AND abs(hashtext(i.sku || l.location_code)) %% 50 = 0;

-- How much should lie where: one truck shelf in five is below its minimum. What is shipped is
-- reserved where it comes from. The ledger's trigger made the rows: their keys are made stable.
UPDATE hs.stock_balance AS b
SET stock_balance_id = md5(b.stock_item_id || ' at ' || b.stock_location_id)::uuid,
    min_qty = t.least_qty,
    max_qty = t.least_qty + CASE WHEN t.is_truck THEN 6 ELSE 60 END,
    reserved_qty = least(t.shipped_qty, b.on_hand_qty),
    bin_label = chr(65 + t.draw %% 8) || '-' || (1 + t.draw %% 40),
    last_counted_at = t.last_counted_on + time '17:00'
FROM (
    SELECT x.stock_balance_id, l.location_kind = 'truck' AS is_truck, l.last_counted_on,
           abs(hashtext(i.sku || l.location_code || 'bin')) AS draw,
           CASE WHEN i.is_serialized THEN 0
                WHEN l.location_kind <> 'truck' THEN 10
                WHEN abs(hashtext(i.sku || l.location_code || 'min')) %% 5 = 0
                    THEN greatest(x.on_hand_qty, 0) + 2
                ELSE least(2, greatest(x.on_hand_qty, 0)) END AS least_qty,
           coalesce((
               SELECT sum(k.picked_qty)
               FROM hs.stock_transfer AS t
               JOIN hs.stock_transfer_line AS k
                   ON k.business_id = t.business_id
                  AND k.stock_transfer_id = t.stock_transfer_id
               WHERE t.business_id = x.business_id AND t.status = 'in_transit'
                 AND t.from_location_id = x.stock_location_id
                 AND k.stock_item_id = x.stock_item_id), 0) AS shipped_qty
    FROM hs.stock_balance AS x
    JOIN hs.stock_item AS i
        ON i.business_id = x.business_id AND i.stock_item_id = x.stock_item_id
    JOIN hs.stock_location AS l
        ON l.business_id = x.business_id AND l.stock_location_id = x.stock_location_id
    WHERE x.business_id = %(business_id)s
) AS t
WHERE b.business_id = %(business_id)s AND b.stock_balance_id = t.stock_balance_id;
