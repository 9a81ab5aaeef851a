SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- A delivery is billed the day after, once. Of a hundred invoices 92 match; three bill more than
-- came, the others another price.
CREATE TEMPORARY TABLE billing ON COMMIT DROP AS
SELECT r.business_id, md5('invoice ' || r.goods_receipt_id)::uuid AS supplier_invoice_id,
       r.goods_receipt_id, r.purchase_order_id, r.supplier_id, s.currency, s.payment_terms_days,
       s.early_discount_pct, r.arrived_at::date + 1 AS invoice_date,
       'RE-' || substr(s.supplier_code, 5) || '-' || lpad(r.place::text, 6, '0')
           AS invoice_number, r.place,
       CASE WHEN r.place <= greatest(1, r.receipts / 33) THEN 'qty_variance'
            WHEN r.place <= greatest(3, r.receipts / 33 + r.receipts / 20) THEN 'price_variance'
            WHEN r.arrived_at > %(as_of)s - interval '4 days' THEN 'unmatched'
            ELSE 'matched' END AS finding
FROM (
    SELECT x.*, row_number() OVER (ORDER BY md5('bill ' || x.goods_receipt_id)) AS place,
           count(*) OVER () AS receipts
    FROM ret.goods_receipt AS x
    WHERE x.business_id = %(business_id)s AND x.state = 'completed'
      AND x.arrived_at < %(as_of)s - interval '30 hours'
) AS r
JOIN ret.supplier AS s ON s.business_id = r.business_id AND s.supplier_id = r.supplier_id;

ANALYZE billing;

INSERT INTO ret.supplier_invoice
    (business_id, supplier_invoice_id, supplier_id, purchase_order_id, goods_receipt_id,
     invoice_number, invoice_kind, invoice_date, due_date, currency, match_state, discount_date)
SELECT b.business_id, b.supplier_invoice_id, b.supplier_id, b.purchase_order_id,
       b.goods_receipt_id, b.invoice_number, 'invoice', b.invoice_date,
       b.invoice_date + coalesce(b.payment_terms_days, 30), b.currency, b.finding,
       CASE WHEN b.early_discount_pct > 0
            THEN b.invoice_date + least(10, coalesce(b.payment_terms_days, 30)) END
FROM billing AS b;

INSERT INTO ret.supplier_invoice_line
    (business_id, supplier_invoice_line_id, supplier_invoice_id, purchase_order_line_id,
     goods_receipt_line_id, line_number, description, billed_qty, billed_cost, expected_amount,
     qty_variance, price_variance, match_state, gl_account)
SELECT l.business_id, md5('billed ' || l.goods_receipt_line_id)::uuid, b.supplier_invoice_id,
       l.purchase_order_line_id, l.goods_receipt_line_id, l.line_number, p.supplier_sku, n.qty,
       n.cost, CASE WHEN b.finding = 'unmatched' THEN 0
                    ELSE round(l.accepted_qty * l.unit_cost, 2) END,
       CASE WHEN b.finding <> 'unmatched' THEN n.qty - l.accepted_qty END,
       CASE WHEN b.finding <> 'unmatched'
            THEN round(n.qty * n.cost, 2) - round(n.qty * l.unit_cost, 2) END,
       CASE WHEN l.line_number = n.first AND b.finding <> 'matched' THEN b.finding
            WHEN b.finding = 'unmatched' THEN 'unmatched' ELSE 'matched' END, '1200'
FROM billing AS b
JOIN (
    SELECT x.*, min(x.line_number) FILTER (WHERE x.accepted_qty > 0)
                    OVER (PARTITION BY x.goods_receipt_id) AS first
    FROM ret.goods_receipt_line AS x
    WHERE x.business_id = %(business_id)s
) AS l ON l.goods_receipt_id = b.goods_receipt_id
JOIN ret.purchase_order_line AS o
    ON o.business_id = l.business_id AND o.purchase_order_line_id = l.purchase_order_line_id
JOIN ret.supplier_product AS p
    ON p.business_id = o.business_id AND p.supplier_product_id = o.supplier_product_id
CROSS JOIN LATERAL (
    SELECT l.first,
           l.accepted_qty + CASE WHEN b.finding = 'qty_variance' AND l.line_number = l.first
                                 THEN 6 ELSE 0 END AS qty,
           round(l.unit_cost * CASE WHEN b.finding = 'price_variance' AND l.line_number = l.first
                                    THEN 1.06 ELSE 1 END, 4) AS cost
) AS n
WHERE l.accepted_qty > 0;

-- What matched is paid when it is due, at the discount's day where there is one; a third of the
-- variances was accepted, a third is disputed.
UPDATE ret.supplier_invoice AS i
SET subtotal = n.subtotal, match_state = n.match_state,
    variance_total = CASE WHEN n.match_state IN ('matched', 'unmatched') THEN 0
                          ELSE n.variance END,
    paid_on = CASE WHEN n.is_paid THEN n.pays_on END,
    paid_amount = CASE WHEN n.is_paid THEN n.subtotal ELSE 0 END
FROM (
    SELECT t.*, t.match_state IN ('matched', 'approved') AND t.pays_on <= %(as_of)s::date - 1
                AND t.subtotal > 0 AS is_paid
    FROM (
        SELECT b.supplier_invoice_id, l.subtotal, l.variance,
               CASE WHEN b.finding IN ('matched', 'unmatched') THEN b.finding
                    WHEN b.place %% 3 = 0 THEN 'approved'
                    WHEN b.place %% 3 = 1 THEN 'disputed' ELSE b.finding END AS match_state,
               CASE WHEN b.early_discount_pct > 0 AND b.place %% 4 <> 0
                    THEN b.invoice_date + least(9, coalesce(b.payment_terms_days, 30))
                    ELSE b.invoice_date + coalesce(b.payment_terms_days, 30) END AS pays_on
        FROM billing AS b
        JOIN (
            SELECT x.supplier_invoice_id, sum(x.line_amount) AS subtotal,
                   sum(CASE WHEN x.qty_variance > 0 THEN x.line_amount - x.expected_amount
                            ELSE x.price_variance END) AS variance
            FROM ret.supplier_invoice_line AS x
            WHERE x.business_id = %(business_id)s
            GROUP BY x.supplier_invoice_id
        ) AS l ON l.supplier_invoice_id = b.supplier_invoice_id
    ) AS t
) AS n
WHERE i.business_id = %(business_id)s AND i.supplier_invoice_id = n.supplier_invoice_id;

UPDATE ret.purchase_order_line AS o
SET invoiced_qty = n.quantity
FROM (
    SELECT l.purchase_order_line_id, sum(l.billed_qty) AS quantity
    FROM ret.supplier_invoice_line AS l
    JOIN ret.supplier_invoice AS i
        ON i.business_id = l.business_id AND i.supplier_invoice_id = l.supplier_invoice_id
       AND i.match_state NOT IN ('unmatched', 'disputed')
    WHERE l.business_id = %(business_id)s
    GROUP BY l.purchase_order_line_id
) AS n
WHERE o.business_id = %(business_id)s AND o.purchase_order_line_id = n.purchase_order_line_id;

-- What came damaged goes back: asked for the day after, authorised, sent and credited as far as
-- there was time.
CREATE TEMPORARY TABLE going_back ON COMMIT DROP AS
SELECT n.*, CASE WHEN n.place %% 7 = 6 THEN 'rejected'
                 WHEN n.age > 16 AND n.place %% 4 <> 3 THEN 'credited'
                 WHEN n.age > 8 THEN 'shipped' WHEN n.age > 4 THEN 'authorised'
                 WHEN n.age > 2 THEN 'requested' ELSE 'draft' END AS state
FROM (
    SELECT r.business_id, r.goods_receipt_id, r.location_id, r.supplier_id,
           r.received_by_user_id, r.completed_at, g.credit,
           row_number() OVER (ORDER BY r.receipt_number) AS place,
           extract(day FROM %(as_of)s - r.completed_at) AS age
    FROM ret.goods_receipt AS r
    JOIN (
        SELECT x.goods_receipt_id, sum(round(x.damaged_qty * round(x.unit_cost, 2), 2)) AS credit
        FROM ret.goods_receipt_line AS x
        WHERE x.business_id = %(business_id)s AND x.damaged_qty > 0
        GROUP BY x.goods_receipt_id
    ) AS g ON g.goods_receipt_id = r.goods_receipt_id
    WHERE r.business_id = %(business_id)s AND r.state = 'completed'
) AS n;

INSERT INTO ret.supplier_return
    (business_id, supplier_return_id, requested_by_user_id, supplier_id, location_id,
     supplier_agreement_id, rtv_number, supplier_rma_number, return_kind, requested_at,
     authorised_at, shipped_at, credited_at, expected_credit, received_credit, tracking_number,
     state)
SELECT b.business_id, md5('back ' || b.goods_receipt_id)::uuid, b.received_by_user_id,
       b.supplier_id, b.location_id, a.supplier_agreement_id,
       'RTV-' || lpad(b.place::text, 6, '0'),
       CASE WHEN b.state IN ('authorised', 'shipped', 'credited')
            THEN 'RMA' || upper(substr(md5(b.goods_receipt_id::text), 1, 8)) END,
       'defective', b.completed_at + interval '20 hours',
       CASE WHEN b.state IN ('authorised', 'shipped', 'credited')
            THEN b.completed_at + interval '3 days' END,
       CASE WHEN b.state IN ('shipped', 'credited') THEN b.completed_at + interval '6 days' END,
       CASE WHEN b.state = 'credited' THEN b.completed_at + interval '15 days' END, b.credit,
       CASE WHEN b.state = 'credited' THEN b.credit ELSE 0 END,
       CASE WHEN b.state IN ('shipped', 'credited')
            THEN 'RT' || upper(substr(md5('t' || b.goods_receipt_id), 1, 10)) END, b.state
FROM going_back AS b
LEFT JOIN (
    SELECT x.supplier_id, min(x.supplier_agreement_id::text)::uuid AS supplier_agreement_id
    FROM ret.supplier_agreement AS x
    WHERE x.business_id = %(business_id)s AND x.agreement_kind = 'return_allowance'
      AND x.state = 'active'
    GROUP BY x.supplier_id
) AS a ON a.supplier_id = b.supplier_id;

INSERT INTO ret.supplier_return_line
    (business_id, supplier_return_line_id, supplier_return_id, product_variant_id, stock_lot_id,
     goods_receipt_line_id, line_number, return_qty, accepted_qty, unit_credit, defect_reason,
     disposition)
SELECT l.business_id, md5('back ' || l.goods_receipt_line_id)::uuid,
       md5('back ' || l.goods_receipt_id)::uuid, l.product_variant_id, l.stock_lot_id,
       l.goods_receipt_line_id,
       row_number() OVER (PARTITION BY l.goods_receipt_id ORDER BY l.line_number), l.damaged_qty,
       CASE b.state WHEN 'credited' THEN l.damaged_qty WHEN 'rejected' THEN 0 END,
       round(l.unit_cost, 2), 'Crushed in transit', 'return'
FROM ret.goods_receipt_line AS l
JOIN going_back AS b ON b.goods_receipt_id = l.goods_receipt_id
WHERE l.business_id = %(business_id)s AND l.damaged_qty > 0;

INSERT INTO ret.stock_movement
    (business_id, stock_movement_id, location_id, product_variant_id, stock_lot_id, occurred_at,
     movement_kind, from_state, to_state, quantity, unit_cost, source_kind, source_id)
SELECT l.business_id, md5('gone ' || l.supplier_return_line_id)::uuid, r.location_id,
       l.product_variant_id, l.stock_lot_id, r.shipped_at, 'rtv', 'damaged', 'none',
       l.return_qty, g.landed_unit_cost, 'return', r.supplier_return_id
FROM ret.supplier_return AS r
JOIN ret.supplier_return_line AS l
    ON l.business_id = r.business_id AND l.supplier_return_id = r.supplier_return_id
JOIN ret.goods_receipt_line AS g
    ON g.business_id = l.business_id AND g.goods_receipt_line_id = l.goods_receipt_line_id
WHERE r.business_id = %(business_id)s AND r.shipped_at IS NOT NULL
ORDER BY r.shipped_at, r.location_id, l.product_variant_id, l.supplier_return_line_id;

-- The credit comes as a credit note.
INSERT INTO ret.supplier_invoice
    (business_id, supplier_invoice_id, supplier_id, goods_receipt_id, invoice_number,
     invoice_kind, invoice_date, due_date, currency, subtotal, match_state)
SELECT r.business_id, md5('credit ' || r.supplier_return_id)::uuid, r.supplier_id,
       b.goods_receipt_id, 'GS-' || r.rtv_number, 'credit_note', r.credited_at::date,
       r.credited_at::date, s.currency, r.received_credit, 'matched'
FROM ret.supplier_return AS r
JOIN going_back AS b ON r.supplier_return_id = md5('back ' || b.goods_receipt_id)::uuid
JOIN ret.supplier AS s ON s.business_id = r.business_id AND s.supplier_id = r.supplier_id
WHERE r.business_id = %(business_id)s AND r.state = 'credited' AND r.received_credit > 0;

INSERT INTO ret.supplier_invoice_line
    (business_id, supplier_invoice_line_id, supplier_invoice_id, goods_receipt_line_id,
     line_number, description, billed_qty, billed_cost, expected_amount, qty_variance,
     price_variance, match_state, gl_account)
SELECT l.business_id, md5('credited ' || l.supplier_return_line_id)::uuid,
       md5('credit ' || l.supplier_return_id)::uuid, l.goods_receipt_line_id, l.line_number,
       'Credit: ' || l.defect_reason, l.accepted_qty, l.unit_credit, l.line_credit, 0, 0,
       'matched', '1200'
FROM ret.supplier_return_line AS l
JOIN ret.supplier_invoice AS i
    ON i.business_id = l.business_id
   AND i.supplier_invoice_id = md5('credit ' || l.supplier_return_id)::uuid
WHERE l.business_id = %(business_id)s AND l.accepted_qty > 0;
