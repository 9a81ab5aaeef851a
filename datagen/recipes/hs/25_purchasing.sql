-- Orders for stock come to warehouses, what is bought on the way to trucks.
UPDATE hs.purchase_order AS p
SET ship_to_location_id = l.stock_location_id
FROM (
    SELECT x.purchase_order_id, x.po_kind,
           row_number() OVER (PARTITION BY x.po_kind ORDER BY x.po_number) AS place
    FROM hs.purchase_order AS x
    WHERE x.business_id = %(business_id)s
) AS n
JOIN (
    SELECT x.stock_location_id, x.location_kind,
           row_number() OVER (PARTITION BY x.location_kind ORDER BY x.location_code) AS place,
           count(*) OVER (PARTITION BY x.location_kind) AS places
    FROM hs.stock_location AS x
    WHERE x.business_id = %(business_id)s AND x.location_kind IN ('warehouse', 'truck')
) AS l ON l.location_kind = CASE n.po_kind WHEN 'stock' THEN 'warehouse' ELSE 'truck' END
      AND l.place = n.place %% l.places + 1
WHERE p.business_id = %(business_id)s AND p.purchase_order_id = n.purchase_order_id;

-- Every other purchase on the way is for a job.
UPDATE hs.purchase_order AS p
SET po_kind = 'job', work_order_id = j.work_order_id
FROM (
    SELECT x.purchase_order_id, row_number() OVER (ORDER BY x.po_number) AS place
    FROM hs.purchase_order AS x
    WHERE x.business_id = %(business_id)s AND x.po_kind = 'field_purchase'
) AS n
JOIN (
    SELECT x.work_order_id, row_number() OVER (ORDER BY x.work_order_id) AS place,
           count(*) OVER () AS jobs
    FROM hs.work_order AS x
    WHERE x.business_id = %(business_id)s
) AS j ON j.place = n.place %% j.jobs + 1
WHERE p.business_id = %(business_id)s AND p.purchase_order_id = n.purchase_order_id
  AND n.place %% 2 = 0;

-- Single pieces are ordered by hand and with their serial numbers; these orders are of parts.
UPDATE hs.purchase_order_line AS l
SET stock_item_id = part.stock_item_id,
    description = part.name,
    unit_cost = round(part.list_price * 0.56, 2)
FROM (
    SELECT x.purchase_order_line_id, row_number() OVER (ORDER BY p.po_number, x.line_no) AS place
    FROM hs.purchase_order_line AS x
    JOIN hs.purchase_order AS p
        ON p.business_id = x.business_id AND p.purchase_order_id = x.purchase_order_id
    WHERE x.business_id = %(business_id)s
) AS n
JOIN (
    SELECT i.stock_item_id, i.name, i.list_price, row_number() OVER (ORDER BY i.sku) AS place,
           count(*) OVER () AS parts
    FROM hs.stock_item AS i
    WHERE i.business_id = %(business_id)s AND NOT i.is_serialized AND i.is_active
) AS part ON part.place = n.place %% part.parts + 1
WHERE l.business_id = %(business_id)s AND l.purchase_order_line_id = n.purchase_order_line_id;

-- Nothing arrived of orders that were not sent; of orders on their way two in three are being
-- counted or went back.
DELETE FROM hs.goods_receipt AS r
USING hs.purchase_order AS p
WHERE r.business_id = %(business_id)s
  AND p.business_id = r.business_id AND p.purchase_order_id = r.purchase_order_id
  AND (p.status IN ('draft', 'approved', 'cancelled')
       OR (p.status = 'sent' AND abs(hashtext(p.po_number)) %% 3 = 0));
UPDATE hs.goods_receipt AS r
SET stock_location_id = p.ship_to_location_id
FROM hs.purchase_order AS p
WHERE r.business_id = %(business_id)s
  AND p.business_id = r.business_id AND p.purchase_order_id = r.purchase_order_id
  AND r.stock_location_id <> p.ship_to_location_id;

-- What arrived: everything, of partial receipts the first line and half of the others; one line
-- in forty was damaged and is taken off the order.
INSERT INTO hs.goods_receipt_line
    (business_id, goods_receipt_line_id, goods_receipt_id, purchase_order_line_id, line_no,
     accepted_qty, rejected_qty, reject_reason, unit_cost)
SELECT r.business_id, md5(r.goods_receipt_id || ' of ' || l.purchase_order_line_id)::uuid,
       r.goods_receipt_id, l.purchase_order_line_id, l.line_no, l.ordered_qty - d.rejected_qty -
       CASE WHEN p.status = 'partially_received' AND l.line_no > 1
            THEN ceil(l.ordered_qty / 2) ELSE 0 END,
       d.rejected_qty, CASE WHEN d.rejected_qty > 0 THEN 'damaged in transit' END, l.unit_cost
FROM hs.goods_receipt AS r
JOIN hs.purchase_order AS p
    ON p.business_id = r.business_id AND p.purchase_order_id = r.purchase_order_id
JOIN hs.purchase_order_line AS l
    ON l.business_id = p.business_id AND l.purchase_order_id = p.purchase_order_id
CROSS JOIN LATERAL (
    SELECT CASE WHEN r.status = 'posted' AND l.line_no = 1
                     AND abs(hashtext(p.po_number)) %% 40 = 0 THEN 1 ELSE 0 END AS rejected_qty
) AS d
WHERE r.business_id = %(business_id)s;
UPDATE hs.purchase_order_line AS l
SET received_qty = g.accepted_qty,
    cancelled_qty = g.rejected_qty,
    billed_qty = CASE WHEN p.status IN ('billed', 'closed') THEN g.accepted_qty ELSE 0 END
FROM hs.goods_receipt_line AS g
JOIN hs.goods_receipt AS r
    ON r.business_id = g.business_id AND r.goods_receipt_id = g.goods_receipt_id
JOIN hs.purchase_order AS p
    ON p.business_id = r.business_id AND p.purchase_order_id = r.purchase_order_id
WHERE l.business_id = %(business_id)s
  AND g.business_id = l.business_id AND g.purchase_order_line_id = l.purchase_order_line_id
  AND r.status = 'posted';

-- The ledger of it; what was sent back came and went.
INSERT INTO hs.stock_movement
    (business_id, stock_movement_id, stock_item_id, from_location_id, to_location_id,
     movement_kind, moved_qty, unit_cost, source_kind, source_ref, moved_at)
SELECT g.business_id, md5(g.goods_receipt_line_id || ' comes')::uuid, l.stock_item_id, NULL,
       r.stock_location_id, 'receipt', g.accepted_qty, g.unit_cost, 'purchase_order',
       r.receipt_number, r.received_at
FROM hs.goods_receipt_line AS g
JOIN hs.goods_receipt AS r
    ON r.business_id = g.business_id AND r.goods_receipt_id = g.goods_receipt_id
JOIN hs.purchase_order_line AS l
    ON l.business_id = g.business_id AND l.purchase_order_line_id = g.purchase_order_line_id
WHERE g.business_id = %(business_id)s AND r.status IN ('posted', 'reversed')
  AND g.accepted_qty > 0;
INSERT INTO hs.stock_movement
    (business_id, stock_movement_id, stock_item_id, from_location_id, to_location_id,
     movement_kind, moved_qty, unit_cost, source_kind, source_ref, moved_at)
SELECT g.business_id, md5(g.goods_receipt_line_id || ' goes')::uuid, l.stock_item_id,
       r.stock_location_id, NULL, 'return', g.accepted_qty, g.unit_cost, 'vendor_return',
       r.receipt_number, r.received_at + interval '2 hours'
FROM hs.goods_receipt_line AS g
JOIN hs.goods_receipt AS r
    ON r.business_id = g.business_id AND r.goods_receipt_id = g.goods_receipt_id
JOIN hs.purchase_order_line AS l
    ON l.business_id = g.business_id AND l.purchase_order_line_id = g.purchase_order_line_id
WHERE g.business_id = %(business_id)s AND r.status = 'reversed' AND g.accepted_qty > 0;

-- When an item was last bought where.
UPDATE hs.vendor_item AS v
SET last_purchased_on = b.ordered_on
FROM (
    SELECT p.vendor_id, l.stock_item_id, max(p.ordered_on) AS ordered_on
    FROM hs.purchase_order_line AS l
    JOIN hs.purchase_order AS p
        ON p.business_id = l.business_id AND p.purchase_order_id = l.purchase_order_id
    WHERE l.business_id = %(business_id)s AND l.received_qty > 0
    GROUP BY p.vendor_id, l.stock_item_id
) AS b
WHERE v.business_id = %(business_id)s
  AND v.vendor_id = b.vendor_id AND v.stock_item_id = b.stock_item_id;

-- Balances that orders and receipts made have stable keys, too.
UPDATE hs.stock_balance AS b
SET stock_balance_id = md5(b.stock_item_id || ' at ' || b.stock_location_id)::uuid
WHERE b.business_id = %(business_id)s
  AND b.stock_balance_id <> md5(b.stock_item_id || ' at ' || b.stock_location_id)::uuid;
