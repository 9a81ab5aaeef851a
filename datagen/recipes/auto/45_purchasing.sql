-- A part has one bin in a shop, and its lines are taken from there.
UPDATE auto.part_line AS l
SET stock_location_id = b.stock_location_id
FROM auto.repair_job AS j
JOIN auto.repair_order AS o
    ON o.business_id = j.business_id AND o.repair_order_id = j.repair_order_id
JOIN (
    SELECT x.shop_id, x.stock_location_id,
           row_number() OVER (PARTITION BY x.shop_id ORDER BY x.location_code) - 1 AS place,
           count(*) OVER (PARTITION BY x.shop_id) AS places
    FROM auto.stock_location AS x
    WHERE x.business_id = %(business_id)s AND x.location_kind = 'bin'
) AS b ON b.shop_id = o.shop_id
WHERE l.business_id = %(business_id)s AND l.part_id IS NOT NULL
  AND l.part_condition <> 'customer_supplied'
  AND l.status IN ('reserved', 'received', 'issued', 'installed', 'returned')
  AND j.business_id = l.business_id AND j.repair_job_id = l.repair_job_id
  AND b.place = abs(hashtext(l.part_id::text)) %% b.places
  AND l.stock_location_id IS DISTINCT FROM b.stock_location_id;

-- What jobs buy: all that is ordered or just came, and of what was built in 40 in 100.
INSERT INTO auto.purchase_order
    (business_id, purchase_order_id, supplier_id, shop_id, repair_order_id, po_number,
     order_kind, status, ordered_at, supplier_confirmation_ref, promised_at, delivery_mode,
     freight_amount, tax_amount)
SELECT g.business_id, g.purchase_order_id, g.supplier_id, g.shop_id, g.repair_order_id,
       'PO-' || lpad((row_number() OVER (ORDER BY g.ordered_at, g.purchase_order_id))::text, 6, '0'),
       'job',
       CASE WHEN g.waiting = g.lines AND g.dice %% 2 = 0 THEN 'sent'
            WHEN g.waiting = g.lines THEN 'confirmed'
            WHEN g.waiting > 0 THEN 'partial'
            WHEN g.ordered_at > %(as_of)s::timestamptz - interval '12 days' THEN 'received'
            ELSE 'closed' END,
       g.ordered_at,
       CASE WHEN g.waiting < g.lines OR g.dice %% 2 = 1 THEN 'SO-' || g.dice END,
       g.ordered_at + (60 + g.dice %% 300) * interval '1 minute',
       (ARRAY['hot_shot', 'route', 'route', 'route', 'pickup'])[g.dice %% 5 + 1],
       CASE g.dice %% 5 WHEN 0 THEN 7.5 ELSE 0 END, 0
FROM (
    SELECT l.business_id, o.repair_order_id, o.shop_id, s.supplier_id,
           md5('po ' || o.repair_order_id || s.supplier_id)::uuid AS purchase_order_id,
           abs(hashtext('po ' || o.repair_order_id)) %% 100000 AS dice,
           least(o.opened_at + interval '90 minutes',
                 %(as_of)s::timestamptz - interval '7 hours') AS ordered_at,
           count(*) AS lines, count(*) FILTER (WHERE l.status = 'ordered') AS waiting
    FROM auto.part_line AS l
    JOIN auto.repair_job AS j
        ON j.business_id = l.business_id AND j.repair_job_id = l.repair_job_id
    JOIN auto.repair_order AS o
        ON o.business_id = j.business_id AND o.repair_order_id = j.repair_order_id
    JOIN (
        SELECT x.supplier_id, row_number() OVER (ORDER BY x.supplier_code) - 1 AS place,
               count(*) OVER () AS places
        FROM auto.supplier AS x
        WHERE x.business_id = %(business_id)s
          AND x.supplier_kind NOT IN ('sublet', 'tool_truck', 'waste_hauler')
    ) AS s ON s.place = abs(hashtext(o.repair_order_id::text)) %% s.places
    WHERE l.business_id = %(business_id)s AND l.part_id IS NOT NULL AND l.qty > 0
      AND l.part_condition <> 'customer_supplied'
      AND (l.status IN ('ordered', 'received')
           OR (l.status IN ('issued', 'installed')
               AND abs(hashtext(l.part_line_id::text)) %% 100 < 40))
    GROUP BY l.business_id, o.repair_order_id, o.shop_id, o.opened_at, s.supplier_id
) AS g;
INSERT INTO auto.purchase_order_line
    (business_id, purchase_order_line_id, purchase_order_id, part_id, part_line_id, line_no,
     ordered_qty, confirmed_qty, received_qty, unit_cost, core_cost, eta_at, status,
     substitute_note, back_order_on)
SELECT l.business_id, md5('po of ' || l.part_line_id)::uuid, p.purchase_order_id, l.part_id,
       l.part_line_id,
       row_number() OVER (PARTITION BY p.purchase_order_id ORDER BY l.part_line_id),
       l.qty, CASE WHEN p.status <> 'sent' THEN l.qty END,
       CASE WHEN l.status = 'ordered' THEN 0 ELSE l.qty END,
       coalesce(l.unit_cost, 18 + d.dice %% 90), part.core_charge_amount,
       CASE WHEN l.status = 'ordered'
            THEN %(as_of)s::timestamptz + (d.dice %% 2400 - 300) * interval '1 minute'
            ELSE p.promised_at END,
       CASE WHEN l.status <> 'ordered' THEN 'received' WHEN d.dice %% 6 = 0 THEN 'backordered'
            ELSE 'open' END, NULL,
       CASE WHEN l.status = 'ordered' AND d.dice %% 6 = 0
            THEN %(as_of)s::date + 1 + d.dice %% 12 END
FROM auto.part_line AS l
JOIN auto.repair_job AS j ON j.business_id = l.business_id AND j.repair_job_id = l.repair_job_id
JOIN auto.part AS part ON part.business_id = l.business_id AND part.part_id = l.part_id
JOIN (
    SELECT x.supplier_id, row_number() OVER (ORDER BY x.supplier_code) - 1 AS place,
           count(*) OVER () AS places
    FROM auto.supplier AS x
    WHERE x.business_id = %(business_id)s
      AND x.supplier_kind NOT IN ('sublet', 'tool_truck', 'waste_hauler')
) AS s ON s.place = abs(hashtext(j.repair_order_id::text)) %% s.places
JOIN auto.purchase_order AS p
    ON p.business_id = l.business_id
   AND p.purchase_order_id = md5('po ' || j.repair_order_id || s.supplier_id)::uuid
CROSS JOIN LATERAL (SELECT abs(hashtext('d' || l.part_line_id)) AS dice) AS d
WHERE l.business_id = %(business_id)s AND l.qty > 0
  AND l.part_condition <> 'customer_supplied'
  AND (l.status IN ('ordered', 'received')
       OR (l.status IN ('issued', 'installed')
           AND abs(hashtext(l.part_line_id::text)) %% 100 < 40));

-- Orders for the shelf: one for three cars, over eleven months; the newest are still on their way.
INSERT INTO auto.purchase_order
    (business_id, purchase_order_id, supplier_id, shop_id, po_number, order_kind, status,
     ordered_at, supplier_confirmation_ref, promised_at, delivery_mode, freight_amount,
     tax_amount)
SELECT %(business_id)s, md5('stock po ' || n.n || %(business_id)s)::uuid, s.supplier_id, h.shop_id,
       'PS-' || lpad(n.n::text, 6, '0'),
       CASE WHEN n.n %% 20 = 19 THEN 'emergency' ELSE 'stock' END, t.status,
       CASE WHEN t.status <> 'draft' THEN t.at END,
       CASE WHEN t.status NOT IN ('draft', 'sent', 'cancelled') THEN 'SO-9' || n.n END,
       CASE WHEN t.status <> 'draft' THEN t.at + interval '26 hours' END,
       CASE n.n %% 4 WHEN 0 THEN 'freight' ELSE 'route' END, CASE n.n %% 4 WHEN 0 THEN 38 ELSE 0 END, 0
FROM (
    SELECT generate_series(0, greatest(6, count(*) / 3)) AS n, greatest(6, count(*) / 3) AS top
    FROM auto.repair_order WHERE business_id = %(business_id)s
) AS n
CROSS JOIN LATERAL (
    SELECT %(as_of)s::timestamptz - interval '5 hours' - (n.n * 330.0 / n.top) * interval '1 day'
               AS at,
           CASE WHEN n.n = 0 THEN 'draft' WHEN n.n = 1 THEN 'sent' WHEN n.n = 2 THEN 'confirmed'
                WHEN n.n = 3 THEN 'partial' WHEN n.n %% 50 = 7 THEN 'cancelled'
                WHEN n.n * 330.0 / n.top < 12 THEN 'received' ELSE 'closed' END AS status
) AS t
JOIN (
    SELECT x.supplier_id, row_number() OVER (ORDER BY x.supplier_code) - 1 AS place,
           count(*) OVER () AS places
    FROM auto.supplier AS x
    WHERE x.business_id = %(business_id)s
      AND x.supplier_kind NOT IN ('sublet', 'tool_truck', 'waste_hauler')
) AS s ON s.place = n.n %% s.places
JOIN (
    SELECT x.shop_id, row_number() OVER (ORDER BY x.shop_code) - 1 AS place,
           count(*) OVER () AS places
    FROM auto.shop AS x
    WHERE x.business_id = %(business_id)s
) AS h ON h.place = n.n / 2 %% h.places;
INSERT INTO auto.purchase_order_line
    (business_id, purchase_order_line_id, purchase_order_id, part_id, line_no, ordered_qty,
     confirmed_qty, received_qty, cancelled_qty, unit_cost, core_cost, eta_at, status)
SELECT p.business_id, md5(p.purchase_order_id || ' line ' || n.n)::uuid, p.purchase_order_id,
       part.part_id, n.n, q.qty, CASE WHEN p.status NOT IN ('draft', 'sent') THEN q.qty END,
       CASE WHEN p.status IN ('received', 'closed') OR (p.status = 'partial' AND n.n = 1)
            THEN q.qty WHEN p.status = 'partial' AND n.n = 2 THEN 1 ELSE 0 END,
       CASE p.status WHEN 'cancelled' THEN q.qty ELSE 0 END,
       12 + abs(hashtext(part.part_id::text)) %% 8000 / 100.0, part.core_charge_amount, p.promised_at,
       CASE WHEN p.status IN ('received', 'closed') OR (p.status = 'partial' AND n.n = 1)
            THEN 'received' WHEN p.status = 'partial' AND n.n = 2 THEN 'partial'
            WHEN p.status = 'cancelled' THEN 'cancelled' ELSE 'open' END
FROM auto.purchase_order AS p
CROSS JOIN generate_series(1, 3) AS n (n)
CROSS JOIN LATERAL (SELECT abs(hashtext(p.po_number)) + n.n * 37 AS dice) AS d
CROSS JOIN LATERAL (SELECT (ARRAY[4, 6, 8, 12, 24])[d.dice %% 5 + 1] AS qty) AS q
JOIN (
    SELECT x.part_id, x.core_charge_amount, row_number() OVER (ORDER BY x.part_id) - 1 AS place,
           count(*) OVER () AS places
    FROM auto.part AS x
    WHERE x.business_id = %(business_id)s
) AS part ON part.place = d.dice %% part.places
WHERE p.business_id = %(business_id)s AND p.order_kind IN ('stock', 'emergency');

-- Suppliers bill what they delivered; it is paid a month later.
UPDATE auto.purchase_order AS p
SET supplier_invoice_ref = 'INV-' || right(p.po_number, 6),
    invoiced_on = least(p.ordered_at::date + 2, %(as_of)s::date),
    paid_on = CASE WHEN p.ordered_at < %(as_of)s::timestamptz - interval '35 days'
                   THEN p.ordered_at::date + 32 END
WHERE p.business_id = %(business_id)s AND p.status = 'closed';

-- What arrived, into the part's bin; one in twenty-five came wrong first and was refused.
INSERT INTO auto.goods_receipt
    (business_id, goods_receipt_id, purchase_order_line_id, stock_location_id, received_at,
     packing_slip_ref, received_qty, rejected_qty, reject_reason, unit_cost, label_printed,
     invoice_matched_at)
SELECT l.business_id, md5(l.purchase_order_line_id || ' came ' || t.turn)::uuid,
       l.purchase_order_line_id, b.stock_location_id,
       p.ordered_at + (CASE t.turn WHEN 0 THEN 30 ELSE 60 + d.dice %% 240 END) * interval '1 minute',
       'PS' || right(p.po_number, 6), CASE t.turn WHEN 0 THEN 0 ELSE l.received_qty END,
       CASE t.turn WHEN 0 THEN 1 ELSE 0 END,
       CASE WHEN t.turn = 1 THEN 'none' WHEN d.dice %% 2 = 0 THEN 'wrong_part' ELSE 'damaged' END,
       l.unit_cost * CASE d.dice %% 12 WHEN 0 THEN 1.04 ELSE 1 END, true,
       p.invoiced_on + interval '20 hours'
FROM auto.purchase_order_line AS l
JOIN auto.purchase_order AS p
    ON p.business_id = l.business_id AND p.purchase_order_id = l.purchase_order_id
CROSS JOIN LATERAL (SELECT abs(hashtext(l.purchase_order_line_id::text)) AS dice) AS d
JOIN (
    SELECT x.shop_id, x.stock_location_id,
           row_number() OVER (PARTITION BY x.shop_id ORDER BY x.location_code) - 1 AS place,
           count(*) OVER (PARTITION BY x.shop_id) AS places
    FROM auto.stock_location AS x
    WHERE x.business_id = %(business_id)s AND x.location_kind = 'bin'
) AS b ON b.shop_id = p.shop_id AND b.place = abs(hashtext(l.part_id::text)) %% b.places
JOIN (VALUES (0), (1)) AS t (turn) ON t.turn = 1 OR d.dice %% 25 = 0
WHERE l.business_id = %(business_id)s AND l.received_qty > 0;

-- An advisor asks three suppliers for what a job needs; the one that got the order was selected.
INSERT INTO auto.parts_quote
    (business_id, parts_quote_id, supplier_id, repair_job_id, part_id, part_type_id, inquiry_ref,
     requested_at, responded_at, quoted_brand, quoted_part_number, unit_cost, core_cost,
     list_price, available_qty, eta_at, condition, response_document, outcome, expires_at)
SELECT a.business_id, md5(a.part_line_id || ' quote ' || s.turn)::uuid, s.supplier_id,
       a.repair_job_id, a.part_id, a.part_type_id, a.inquiry_ref, a.asked_at,
       CASE WHEN o.outcome IN ('pending', 'expired') AND s.turn = 2 THEN NULL
            ELSE a.asked_at + (2 + s.turn) * interval '40 seconds' END,
       a.brand_code, a.part_number, v.cost, a.core_charge_amount, v.cost * 1.6,
       CASE o.outcome WHEN 'no_stock' THEN 0 ELSE a.qty + 2 + s.turn END, v.eta_at, 'new',
       jsonb_build_object('lines', jsonb_build_array(
           jsonb_build_object('part_number', a.part_number, 'brand', a.brand_code,
                              'unit_cost', v.cost, 'core_cost', a.core_charge_amount,
                              'available_qty',
                              CASE o.outcome WHEN 'no_stock' THEN 0 ELSE a.qty + 2 END,
                              'warehouse', 'HUB', 'cutoff', '16:00', 'eta_at', v.eta_at),
           jsonb_build_object('part_number', a.part_number, 'brand', a.brand_code,
                              'unit_cost', round(v.cost * 0.94, 2), 'freight', 9,
                              'core_cost', a.core_charge_amount,
                              'available_qty',
                              CASE o.outcome WHEN 'no_stock' THEN 0 ELSE a.qty + 20 END,
                              'warehouse', 'DC', 'cutoff', '18:00',
                              'eta_at', v.eta_at + interval '1 day'))),
       o.outcome, a.asked_at + interval '2 days'
FROM (
    SELECT l.*, part.part_type_id, part.brand_code, part.part_number, part.core_charge_amount,
           x.supplier_id AS chosen_id, coalesce(x.unit_cost, 25) AS cost,
           'INQ-' || lpad((row_number() OVER (ORDER BY l.part_line_id))::text, 6, '0')
               AS inquiry_ref,
           coalesce(x.ordered_at - interval '20 minutes',
                    %(as_of)s::timestamptz
                    - (abs(hashtext('q' || l.part_line_id)) %% 9000 + 5) * interval '1 minute')
               AS asked_at
    FROM auto.part_line AS l
    JOIN auto.part AS part ON part.business_id = l.business_id AND part.part_id = l.part_id
    LEFT JOIN (
        SELECT pl.business_id, pl.part_line_id, pl.unit_cost, p.supplier_id, p.ordered_at
        FROM auto.purchase_order_line AS pl
        JOIN auto.purchase_order AS p
            ON p.business_id = pl.business_id AND p.purchase_order_id = pl.purchase_order_id
        WHERE pl.business_id = %(business_id)s
    ) AS x ON x.business_id = l.business_id AND x.part_line_id = l.part_line_id
    WHERE l.business_id = %(business_id)s
      AND ((x.part_line_id IS NOT NULL AND abs(hashtext('q' || l.part_line_id)) %% 100 < 20)
           OR l.status IN ('ordered', 'needed')
           OR (l.status = 'quoted' AND abs(hashtext('q' || l.part_line_id)) %% 100 < 10))
) AS a
CROSS JOIN LATERAL (
    SELECT y.supplier_id,
           row_number() OVER (ORDER BY (y.supplier_id = a.chosen_id) IS TRUE DESC,
                                       md5(y.supplier_id || a.part_line_id::text)) - 1 AS turn
    FROM auto.supplier AS y
    WHERE y.business_id = a.business_id
      AND y.supplier_kind NOT IN ('sublet', 'tool_truck', 'waste_hauler')
    ORDER BY 2
    LIMIT 3
) AS s
CROSS JOIN LATERAL (
    SELECT CASE WHEN a.chosen_id IS NOT NULL AND s.turn = 0 THEN 'selected'
                WHEN s.turn = 2 AND abs(hashtext(a.part_line_id::text)) %% 4 = 0 THEN 'no_stock'
                WHEN a.chosen_id IS NOT NULL THEN 'rejected'
                WHEN a.asked_at < %(as_of)s::timestamptz - interval '2 days' THEN 'expired'
                ELSE 'pending' END AS outcome
) AS o
CROSS JOIN LATERAL (
    SELECT round((a.cost * (1 + s.turn * 0.06))::numeric, 2) AS cost,
           a.asked_at + (120 + s.turn * 90) * interval '1 minute' AS eta_at
) AS v;
UPDATE auto.purchase_order_line AS l
SET parts_quote_id = md5(l.part_line_id || ' quote 0')::uuid
FROM auto.parts_quote AS q
WHERE l.business_id = %(business_id)s
  AND q.business_id = l.business_id AND q.outcome = 'selected'
  AND q.parts_quote_id = md5(l.part_line_id || ' quote 0')::uuid;

-- Of stock that came, one delivery in ten went back in part: overstock, defective, or not needed.
INSERT INTO auto.supplier_return
    (business_id, supplier_return_id, supplier_id, part_id, goods_receipt_id, return_number,
     return_kind, qty, reason_text, rga_number, requested_on, picked_up_on,
     expected_credit_amount, restocking_fee_amount, credited_amount, credited_on,
     credit_memo_ref, status)
SELECT r.business_id, md5(r.goods_receipt_id || ' back')::uuid, r.supplier_id, r.part_id,
       r.goods_receipt_id,
       'SR-' || lpad((row_number() OVER (ORDER BY r.received_at, r.goods_receipt_id))::text, 6, '0'),
       r.kind, 1, CASE r.kind WHEN 'defective' THEN 'Leaks out of the box' ELSE 'Not needed' END,
       CASE WHEN s.status NOT IN ('requested', 'denied') THEN 'RGA' || r.dice %% 100000 END,
       r.received_at::date + 1,
       CASE WHEN s.status IN ('picked_up', 'credited') THEN r.received_at::date + 3 END,
       m.credit, r.unit_cost - m.credit,
       CASE s.status WHEN 'credited' THEN m.credit ELSE 0 END,
       CASE s.status WHEN 'credited' THEN r.received_at::date + 17 END,
       CASE s.status WHEN 'credited' THEN 'CM-' || r.dice %% 100000 END, s.status
FROM (
    SELECT g.*, p.supplier_id, l.part_id, abs(hashtext('r' || g.goods_receipt_id)) AS dice,
           (ARRAY['overstock', 'defective', 'new_return'])[
               abs(hashtext('r' || g.goods_receipt_id)) / 7 %% 3 + 1] AS kind,
           row_number() OVER (ORDER BY g.received_at DESC, g.goods_receipt_id) AS place
    FROM auto.goods_receipt AS g
    JOIN auto.purchase_order_line AS l
        ON l.business_id = g.business_id AND l.purchase_order_line_id = g.purchase_order_line_id
    JOIN auto.purchase_order AS p
        ON p.business_id = l.business_id AND p.purchase_order_id = l.purchase_order_id
    WHERE g.business_id = %(business_id)s AND g.received_qty >= 4 AND l.part_line_id IS NULL
      AND g.received_at < %(as_of)s::timestamptz - interval '2 days'
) AS r
CROSS JOIN LATERAL (
    SELECT round((r.unit_cost * CASE r.kind WHEN 'defective' THEN 1 ELSE 0.85 END)::numeric, 2)
               AS credit
) AS m
CROSS JOIN LATERAL (
    SELECT CASE WHEN r.received_at < %(as_of)s::timestamptz - interval '20 days'
                THEN CASE r.dice %% 15 WHEN 0 THEN 'denied' ELSE 'credited' END
                WHEN r.received_at < %(as_of)s::timestamptz - interval '5 days' THEN 'picked_up'
                ELSE (ARRAY['requested', 'authorized', 'staged'])[r.dice %% 3 + 1] END AS status
) AS s
WHERE r.dice %% 10 = 0 OR r.place = 1;
