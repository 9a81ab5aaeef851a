SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- What the ledger says came was ordered the day before: an order a vendor, site and day.
INSERT INTO rest.purchase_order
    (business_id, purchase_order_id, ordered_by_staff_id, location_id, vendor_id, po_number,
     order_source, state, ordered_at, confirmed_at, requested_delivery_on, delivered_on, currency)
SELECT d.business_id, md5(d.location_id::text || d.vendor_id || d.day || 'order')::uuid,
       s.staff_member_id, d.location_id, d.vendor_id,
       'PO-' || d.vendor_code || '-' || to_char(d.day, 'YYMMDD') || '-' || d.location_code,
       CASE extract(day FROM d.day)::integer %% 3 WHEN 0 THEN 'manual' ELSE 'par_suggestion' END,
       'confirmed', d.came_at - interval '22 hours', d.came_at - interval '20 hours', w.day, d.day,
       'USD'
FROM (
    SELECT m.business_id, a.location_id, l.location_code, i.vendor_id, v.vendor_code,
           v.delivery_weekday_mask, m.business_date AS day, min(m.occurred_at) AS came_at
    FROM rest.stock_movement AS m
    JOIN rest.storage_area AS a
        ON a.business_id = m.business_id AND a.storage_area_id = m.storage_area_id
    JOIN rest.location AS l
        ON l.business_id = a.business_id AND l.location_id = a.location_id
    JOIN rest.vendor_item AS i
        ON i.business_id = m.business_id AND i.inventory_item_id = m.inventory_item_id
       AND i.is_preferred
    JOIN rest.vendor AS v ON v.business_id = i.business_id AND v.vendor_id = i.vendor_id
    WHERE m.business_id = %(business_id)s AND m.movement_kind = 'receipt' AND m.quantity > 0
      AND m.source_kind = 'goods_receipt_line' AND m.source_id IS NOT NULL AND NOT m.is_reversal
    GROUP BY m.business_id, a.location_id, l.location_code, i.vendor_id, v.vendor_code,
             v.delivery_weekday_mask, m.business_date
) AS d
-- What came on another day than the vendor's was late.
CROSS JOIN LATERAL (
    SELECT max(x.day::date) AS day
    FROM generate_series(d.day - 6, d.day, interval '1 day') AS x (day)
    WHERE (d.delivery_weekday_mask >> (extract(isodow FROM x.day)::integer - 1)) & 1 = 1
) AS w
CROSS JOIN (
    SELECT x.staff_member_id
    FROM rest.staff_member AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
    ORDER BY x.employee_number, x.staff_member_id
    LIMIT 1
) AS s;

INSERT INTO rest.purchase_order_line
    (business_id, purchase_order_line_id, purchase_order_id, vendor_item_id, line_number,
     suggested_packs, ordered_packs, confirmed_packs, pack_price)
SELECT n.business_id, md5(n.source_id || 'ordered')::uuid, n.purchase_order_id, n.vendor_item_id,
       n.place, n.packs, n.packs, n.packs, n.price
FROM (
    SELECT o.business_id, o.purchase_order_id, m.source_id, i.vendor_item_id,
           row_number() OVER (PARTITION BY o.purchase_order_id
                              ORDER BY i.vendor_sku, m.source_id) AS place,
           -- Four lines in a hundred come a pack short.
           m.quantity / i.stock_qty_per_pack
           + (('x' || substr(md5(m.source_id || 'came'), 1, 7))::bit(28)::integer %% 25 = 7)
             ::integer AS packs,
           round(m.unit_cost * i.stock_qty_per_pack, 2) AS price
    FROM rest.stock_movement AS m
    JOIN rest.storage_area AS a
        ON a.business_id = m.business_id AND a.storage_area_id = m.storage_area_id
    JOIN rest.vendor_item AS i
        ON i.business_id = m.business_id AND i.inventory_item_id = m.inventory_item_id
       AND i.is_preferred
    JOIN rest.purchase_order AS o
        ON o.business_id = m.business_id
       AND o.purchase_order_id
           = md5(a.location_id::text || i.vendor_id || m.business_date || 'order')::uuid
    WHERE m.business_id = %(business_id)s AND m.movement_kind = 'receipt' AND m.quantity > 0
      AND m.source_kind = 'goods_receipt_line' AND m.source_id IS NOT NULL AND NOT m.is_reversal
) AS n;

-- Orders beyond the ledger: one a vendor that is about to come, one that is being written, one
-- that was called off; without a ledger also six weeks of deliveries.
INSERT INTO rest.purchase_order
    (business_id, purchase_order_id, ordered_by_staff_id, location_id, vendor_id, po_number,
     order_source, state, ordered_at, confirmed_at, requested_delivery_on, delivered_on, currency)
SELECT v.business_id, md5(v.vendor_id::text || l.location_id || 'plan' || w.week)::uuid,
       s.staff_member_id, l.location_id, v.vendor_id,
       'PO-' || v.vendor_code || '-' || to_char(d.day, 'YYMMDD') || '-' || l.location_code
       || CASE w.week WHEN -1 THEN '-B' WHEN 1 THEN '-C' ELSE '-A' END,
       CASE w.week WHEN 1 THEN 'manual' ELSE 'forecast' END,
       CASE w.week WHEN -1 THEN 'draft' WHEN 0 THEN 'submitted' WHEN 1 THEN 'cancelled'
                   ELSE 'confirmed' END,
       CASE WHEN w.week >= 0 THEN t.ordered END,
       CASE WHEN w.week >= 2 THEN t.ordered + interval '2 hours' END, d.day,
       CASE WHEN w.week >= 2 THEN d.day END, 'USD'
FROM rest.vendor AS v
CROSS JOIN generate_series(-1, 6) AS w (week)
CROSS JOIN LATERAL (
    SELECT min(x.day::date) AS day
    FROM generate_series((%(as_of)s)::date + 1 - 7 * w.week, (%(as_of)s)::date + 7 - 7 * w.week,
                         interval '1 day') AS x (day)
    WHERE (v.delivery_weekday_mask >> (extract(isodow FROM x.day)::integer - 1)) & 1 = 1
) AS d
CROSS JOIN LATERAL (
    SELECT least(d.day::timestamp AT TIME ZONE 'UTC' - interval '9 hours',
                 (%(as_of)s)::timestamptz - interval '3 hours') AS ordered
) AS t
CROSS JOIN (
    SELECT x.location_id, x.location_code
    FROM rest.location AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.location_code
    LIMIT 1
) AS l
CROSS JOIN (
    SELECT x.staff_member_id
    FROM rest.staff_member AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
    ORDER BY x.employee_number, x.staff_member_id
    LIMIT 1
) AS s
WHERE v.business_id = %(business_id)s AND v.status = 'approved'
  AND EXISTS (SELECT FROM rest.vendor_item AS i
              WHERE i.business_id = v.business_id AND i.vendor_id = v.vendor_id)
  AND (w.week < 2 OR NOT EXISTS (
      SELECT FROM rest.stock_movement AS m
      WHERE m.business_id = v.business_id AND m.movement_kind = 'receipt'
        AND m.source_kind = 'goods_receipt_line'));

INSERT INTO rest.purchase_order_line
    (business_id, purchase_order_line_id, purchase_order_id, vendor_item_id, line_number,
     suggested_packs, ordered_packs, confirmed_packs, pack_price, state)
SELECT o.business_id, md5(o.purchase_order_id || 'line' || i.vendor_item_id)::uuid,
       o.purchase_order_id, i.vendor_item_id, i.place, n.packs, n.packs,
       CASE WHEN o.confirmed_at IS NOT NULL THEN n.packs END,
       rest.vendor_price(i.vendor_item_id, n.packs,
                         coalesce(o.ordered_at, (%(as_of)s)::timestamptz)::date),
       CASE o.state WHEN 'cancelled' THEN 'cancelled' ELSE 'open' END
FROM rest.purchase_order AS o
JOIN (
    SELECT x.*, row_number() OVER (PARTITION BY x.vendor_id
                                   ORDER BY NOT x.is_preferred, x.vendor_sku) AS place
    FROM rest.vendor_item AS x
    WHERE x.business_id = %(business_id)s
) AS i ON i.vendor_id = o.vendor_id AND i.place <= 12
CROSS JOIN LATERAL (
    SELECT 2 + ('x' || substr(md5(o.purchase_order_id || i.vendor_sku), 1, 7))::bit(28)::integer
               %% 5 AS packs
) AS n
WHERE o.business_id = %(business_id)s
  AND NOT EXISTS (SELECT FROM rest.purchase_order_line AS l
                  WHERE l.business_id = o.business_id
                    AND l.purchase_order_id = o.purchase_order_id);

-- On every tenth order of the ledger there was also something that came too warm and went back.
INSERT INTO rest.purchase_order_line
    (business_id, purchase_order_line_id, purchase_order_id, vendor_item_id, line_number,
     suggested_packs, ordered_packs, confirmed_packs, pack_price)
SELECT o.business_id, md5(o.purchase_order_id || 'warm')::uuid, o.purchase_order_id,
       i.vendor_item_id, 99, 1, 1, 1, i.current_price
FROM (
    SELECT x.*, row_number() OVER (ORDER BY md5(x.po_number), x.purchase_order_id) AS place
    FROM rest.purchase_order AS x
    WHERE x.business_id = %(business_id)s AND x.delivered_on IS NOT NULL
      AND EXISTS (SELECT FROM rest.vendor_item AS z
                  JOIN rest.inventory_item AS c
                      ON c.business_id = z.business_id
                     AND c.inventory_item_id = z.inventory_item_id
                  WHERE z.business_id = x.business_id AND z.vendor_id = x.vendor_id
                    AND c.storage_temp_class = 'chilled')
) AS o
JOIN LATERAL (
    SELECT z.vendor_item_id, z.current_price
    FROM rest.vendor_item AS z
    JOIN rest.inventory_item AS c
        ON c.business_id = z.business_id AND c.inventory_item_id = z.inventory_item_id
    WHERE z.business_id = o.business_id AND z.vendor_id = o.vendor_id
      AND c.storage_temp_class = 'chilled'
    ORDER BY md5(o.po_number || z.vendor_sku), z.vendor_item_id
    LIMIT 1
) AS i ON true
WHERE o.place %% 10 = 1;

UPDATE rest.vendor_item AS i
SET last_ordered_on = n.day
FROM (
    SELECT l.vendor_item_id, max(o.ordered_at)::date AS day
    FROM rest.purchase_order_line AS l
    JOIN rest.purchase_order AS o
        ON o.business_id = l.business_id AND o.purchase_order_id = l.purchase_order_id
    WHERE l.business_id = %(business_id)s AND o.state <> 'cancelled'
    GROUP BY l.vendor_item_id
) AS n
WHERE i.business_id = %(business_id)s AND i.vendor_item_id = n.vendor_item_id;

INSERT INTO rest.goods_receipt
    (business_id, goods_receipt_id, received_by_staff_id, vendor_id, location_id,
     purchase_order_id, receipt_number, received_at, delivery_note_number, truck_temp_c,
     driver_name, carton_count, condition_ok, state)
SELECT o.business_id, md5(o.purchase_order_id || 'receipt')::uuid, o.ordered_by_staff_id,
       o.vendor_id, o.location_id, o.purchase_order_id, 'GR' || substr(o.po_number, 3),
       o.confirmed_at + interval '20 hours', 'DN' || substr(o.po_number, 3),
       1.5 + length(o.po_number) %% 4 * 0.6, 'Driver ' || substr(o.po_number, 4, 3),
       greatest(ceil(n.packs)::integer, 1), true, 'checking'
FROM rest.purchase_order AS o
JOIN (
    SELECT l.purchase_order_id, sum(l.ordered_packs) AS packs
    FROM rest.purchase_order_line AS l
    WHERE l.business_id = %(business_id)s
    GROUP BY l.purchase_order_id
) AS n ON n.purchase_order_id = o.purchase_order_id
WHERE o.business_id = %(business_id)s AND o.delivered_on IS NOT NULL;

-- What the ledger has came as it says; of what it does not have, four lines in a hundred come
-- short and one goes back.
INSERT INTO rest.goods_receipt_line
    (business_id, goods_receipt_line_id, goods_receipt_id, inventory_item_id,
     purchase_order_line_id, stock_lot_id, reject_reason_id, line_number, received_packs,
     accepted_packs, rejected_packs, stock_qty, unit_cost, product_temp_c, temp_limit_c,
     use_by_on, traceability_lot_code, discrepancy)
SELECT g.business_id, coalesce(m.source_id, md5(p.purchase_order_line_id || 'received')::uuid),
       g.goods_receipt_id, i.inventory_item_id, p.purchase_order_line_id, m.stock_lot_id,
       CASE WHEN n.is_warm THEN w.reason_code_id END, p.line_number, n.came,
       CASE WHEN n.is_warm THEN 0 ELSE n.came END, CASE WHEN n.is_warm THEN n.came ELSE 0 END,
       CASE WHEN n.is_warm THEN 0 ELSE coalesce(m.quantity, n.came * i.stock_qty_per_pack) END,
       coalesce(m.unit_cost, p.pack_price / i.stock_qty_per_pack),
       CASE WHEN n.is_warm THEN 9.5 WHEN c.storage_temp_class = 'frozen' THEN -19
            WHEN c.storage_temp_class = 'chilled' THEN 3 END,
       CASE WHEN n.is_warm OR c.storage_temp_class = 'chilled' THEN 5
            WHEN c.storage_temp_class = 'frozen' THEN -15 END,
       CASE WHEN m.stock_lot_id IS NOT NULL THEN l.use_by_on
            ELSE g.received_at::date + coalesce(c.shelf_life_days, 30) END,
       CASE WHEN m.stock_lot_id IS NOT NULL THEN l.traceability_lot_code
            ELSE 'TLC-' || substr(md5(p.purchase_order_line_id::text), 1, 10) END,
       CASE WHEN n.is_warm THEN 'warm' WHEN n.came < p.ordered_packs THEN 'short'
            ELSE 'none' END
FROM rest.goods_receipt AS g
JOIN rest.purchase_order_line AS p
    ON p.business_id = g.business_id AND p.purchase_order_id = g.purchase_order_id
JOIN rest.vendor_item AS i
    ON i.business_id = p.business_id AND i.vendor_item_id = p.vendor_item_id
JOIN rest.inventory_item AS c
    ON c.business_id = i.business_id AND c.inventory_item_id = i.inventory_item_id
LEFT JOIN (
    SELECT x.*, md5(x.source_id || 'ordered')::uuid AS ordered
    FROM rest.stock_movement AS x
    WHERE x.business_id = %(business_id)s AND x.movement_kind = 'receipt' AND x.quantity > 0
      AND x.source_kind = 'goods_receipt_line' AND NOT x.is_reversal
) AS m ON m.ordered = p.purchase_order_line_id
LEFT JOIN rest.stock_lot AS l
    ON l.business_id = m.business_id AND l.stock_lot_id = m.stock_lot_id
CROSS JOIN LATERAL (
    SELECT ('x' || substr(md5(p.purchase_order_line_id || 'came'), 1, 7))::bit(28)::integer
           %% 100 AS chance
) AS x
CROSS JOIN LATERAL (
    SELECT CASE WHEN m.source_id IS NOT NULL THEN m.quantity / i.stock_qty_per_pack
                WHEN x.chance BETWEEN 1 AND 4 AND p.ordered_packs > 1 THEN p.ordered_packs - 1
                ELSE p.ordered_packs END::numeric(14, 4) AS came,
           m.source_id IS NULL AND (p.line_number = 99 OR x.chance = 0) AS is_warm
) AS n
CROSS JOIN (
    SELECT x.reason_code_id
    FROM rest.reason_code AS x
    WHERE x.business_id = %(business_id)s AND x.reason_group = 'receipt_reject'
    ORDER BY x.code, x.reason_code_id
    LIMIT 1
) AS w
WHERE g.business_id = %(business_id)s;

UPDATE rest.purchase_order_line AS p
SET received_packs = l.accepted_packs,
    state = CASE WHEN l.accepted_packs >= p.ordered_packs THEN 'received' ELSE 'short' END
FROM rest.goods_receipt_line AS l
WHERE p.business_id = %(business_id)s
  AND l.business_id = p.business_id AND l.purchase_order_line_id = p.purchase_order_line_id;

UPDATE rest.goods_receipt AS g
SET total_value = n.total,
    state = CASE WHEN n.accepted = 0 THEN 'rejected'
                 WHEN n.issues THEN 'accepted_with_issues' ELSE 'accepted' END
FROM (
    SELECT l.goods_receipt_id, round(sum(l.stock_qty * l.unit_cost), 2) AS total,
           sum(l.accepted_packs) AS accepted, bool_or(l.discrepancy <> 'none') AS issues
    FROM rest.goods_receipt_line AS l
    WHERE l.business_id = %(business_id)s
    GROUP BY l.goods_receipt_id
) AS n
WHERE g.business_id = %(business_id)s AND g.goods_receipt_id = n.goods_receipt_id;

-- What went back whole is awaited still; what is missing is for a week, and then no more.
UPDATE rest.purchase_order AS o
SET state = CASE WHEN n.came = 0 THEN 'confirmed' WHEN n.is_short THEN 'partly_received'
                 ELSE 'received' END,
    delivered_on = CASE WHEN n.came > 0 THEN o.delivered_on END
FROM (
    SELECT l.purchase_order_id, sum(l.received_packs) AS came,
           bool_or(l.state = 'short') AS is_short
    FROM rest.purchase_order_line AS l
    WHERE l.business_id = %(business_id)s
    GROUP BY l.purchase_order_id
) AS n
WHERE o.business_id = %(business_id)s AND o.purchase_order_id = n.purchase_order_id
  AND o.delivered_on IS NOT NULL;

UPDATE rest.purchase_order AS o
SET state = 'closed'
WHERE o.business_id = %(business_id)s
  AND (o.state = 'partly_received' AND o.delivered_on < (%(as_of)s)::date - 7
       OR o.state = 'received' AND o.delivered_on < (%(as_of)s)::date - 14);

-- The invoice bills what was ordered; one line in thirty at another price.
INSERT INTO rest.vendor_invoice
    (business_id, vendor_invoice_id, vendor_id, location_id, goods_receipt_id, invoice_number,
     invoice_kind, invoice_date, due_date, currency, variance_limit, ocr_confidence)
SELECT g.business_id, md5(g.goods_receipt_id || 'invoice')::uuid, g.vendor_id, g.location_id,
       g.goods_receipt_id, 'INV' || substr(g.receipt_number, 3), 'invoice', g.received_at::date,
       g.received_at::date + v.payment_terms_days, 'USD', 5, 0.97
FROM rest.goods_receipt AS g
JOIN rest.vendor AS v ON v.business_id = g.business_id AND v.vendor_id = g.vendor_id
WHERE g.business_id = %(business_id)s AND g.state <> 'rejected';

INSERT INTO rest.vendor_invoice_line
    (business_id, vendor_invoice_line_id, vendor_invoice_id, goods_receipt_line_id,
     vendor_item_id, inventory_category_id, line_number, description, billed_packs, billed_price,
     gl_account)
SELECT v.business_id, md5(l.goods_receipt_line_id || 'billed')::uuid, v.vendor_invoice_id,
       l.goods_receipt_line_id, p.vendor_item_id, c.inventory_category_id, l.line_number,
       i.description, p.ordered_packs,
       CASE WHEN ('x' || substr(md5(l.goods_receipt_line_id || 'p'), 1, 7))::bit(28)::integer
                 %% 30 = 0
            THEN round(p.pack_price * 1.05, 2) ELSE p.pack_price END,
       CASE c.item_kind WHEN 'packaging' THEN '5300' WHEN 'supply' THEN '6200'
                        WHEN 'resale' THEN '5200' ELSE '5100' END
FROM rest.vendor_invoice AS v
JOIN rest.goods_receipt_line AS l
    ON l.business_id = v.business_id AND l.goods_receipt_id = v.goods_receipt_id
JOIN rest.purchase_order_line AS p
    ON p.business_id = l.business_id AND p.purchase_order_line_id = l.purchase_order_line_id
JOIN rest.vendor_item AS i
    ON i.business_id = p.business_id AND i.vendor_item_id = p.vendor_item_id
JOIN rest.inventory_item AS c
    ON c.business_id = i.business_id AND c.inventory_item_id = i.inventory_item_id
WHERE v.business_id = %(business_id)s;

UPDATE rest.vendor_invoice AS v
SET subtotal = n.billed
FROM (
    SELECT l.vendor_invoice_id, sum(l.line_amount) AS billed
    FROM rest.vendor_invoice_line AS l
    WHERE l.business_id = %(business_id)s
    GROUP BY l.vendor_invoice_id
) AS n
WHERE v.business_id = %(business_id)s AND v.vendor_invoice_id = n.vendor_invoice_id;

-- Those of the last two days wait for the match.
SELECT rest.match_invoice(v.vendor_invoice_id)
FROM rest.vendor_invoice AS v
WHERE v.business_id = %(business_id)s AND v.invoice_date < (%(as_of)s)::date - 2
ORDER BY v.invoice_number, v.vendor_invoice_id;

-- What was billed and did not come is credited within a week.
INSERT INTO rest.vendor_invoice
    (business_id, vendor_invoice_id, vendor_id, location_id, goods_receipt_id, invoice_number,
     invoice_kind, invoice_date, due_date, currency, variance_limit)
SELECT v.business_id, md5(v.vendor_invoice_id || 'credit')::uuid, v.vendor_id, v.location_id,
       v.goods_receipt_id, 'CM' || substr(v.invoice_number, 4), 'credit_memo',
       v.invoice_date + 7, v.invoice_date + 7, 'USD', 5
FROM rest.vendor_invoice AS v
WHERE v.business_id = %(business_id)s AND v.match_state = 'qty_variance'
  AND v.invoice_date < (%(as_of)s)::date - 9;

INSERT INTO rest.vendor_invoice_line
    (business_id, vendor_invoice_line_id, vendor_invoice_id, goods_receipt_line_id,
     vendor_item_id, inventory_category_id, line_number, description, billed_packs, billed_price,
     gl_account)
SELECT c.business_id, md5(l.vendor_invoice_line_id || 'credited')::uuid, c.vendor_invoice_id,
       l.goods_receipt_line_id, l.vendor_item_id, l.inventory_category_id, l.line_number,
       l.description, l.qty_variance, p.pack_price, l.gl_account
FROM rest.vendor_invoice AS v
JOIN rest.vendor_invoice AS c
    ON c.business_id = v.business_id
   AND c.vendor_invoice_id = md5(v.vendor_invoice_id || 'credit')::uuid
JOIN rest.vendor_invoice_line AS l
    ON l.business_id = v.business_id AND l.vendor_invoice_id = v.vendor_invoice_id
JOIN rest.goods_receipt_line AS g
    ON g.business_id = l.business_id AND g.goods_receipt_line_id = l.goods_receipt_line_id
JOIN rest.purchase_order_line AS p
    ON p.business_id = g.business_id AND p.purchase_order_line_id = g.purchase_order_line_id
WHERE v.business_id = %(business_id)s AND l.qty_variance > 0;

SELECT rest.match_invoice(v.vendor_invoice_id)
FROM rest.vendor_invoice AS v
WHERE v.business_id = %(business_id)s AND v.invoice_kind = 'credit_memo'
ORDER BY v.invoice_number, v.vendor_invoice_id;

-- What agrees, what was credited and what was explained is paid; other prices are disputed.
UPDATE rest.vendor_invoice AS v
SET match_state = 'approved',
    approval_reason = CASE WHEN v.match_state = 'qty_variance' THEN 'Credited'
                           WHEN v.match_state = 'price_variance' THEN 'Agreed by phone'
                           END,
    paid_on = CASE WHEN v.due_date < (%(as_of)s)::date THEN v.due_date END
WHERE v.business_id = %(business_id)s
  AND v.invoice_date < (%(as_of)s)::date - CASE v.match_state WHEN 'matched' THEN 3
                                                              WHEN 'qty_variance' THEN 9
                                                              ELSE 20 END
  AND v.match_state <> 'unmatched';

UPDATE rest.vendor_invoice AS v
SET match_state = 'disputed'
WHERE v.business_id = %(business_id)s AND v.match_state = 'price_variance'
  AND v.invoice_date < (%(as_of)s)::date - 10;
