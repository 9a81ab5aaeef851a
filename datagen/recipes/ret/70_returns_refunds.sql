SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

INSERT INTO ret.return_policy
    (business_id, return_policy_id, category_id, sales_channel_id, policy_code, display_name,
     window_days, exchange_window_days, requires_receipt, restocking_fee_pct, refund_methods,
     condition_required, return_shipping_paid_by, effective_from, is_active)
SELECT %(business_id)s, md5('policy ' || v.code || %(business_id)s)::uuid,
       CASE WHEN v.of_goods THEN g.category_id END, CASE WHEN v.of_web THEN w.sales_channel_id END,
       v.code, v.title, v.days, v.exchange_days, v.receipt, v.fee, v.methods, v.condition, v.payer,
       (%(as_of)s - interval '2 years')::date, v.code <> 'OLD'
FROM (VALUES
    ('STORE', 'Bought in a store', false, false, 30, 60, true, 0, 'original_tender', 'any',
     'customer'),
    ('WEB', 'Bought on the web', false, true, 45, 60, false, 0, 'original_tender', 'any',
     'retailer'),
    ('OPENED', 'Opened goods', true, false, 14, 30, true, 15, 'original_tender', 'unopened',
     'customer'),
    ('GIFT', 'Without a receipt', false, false, 30, 30, false, 0, 'store_credit', 'unworn',
     'customer'),
    ('FINAL', 'Final sale', false, false, 7, 14, true, 0, 'exchange_only', 'unopened', 'customer'),
    ('OLD', 'Before the last change', false, false, 90, NULL, false, 0, 'original_tender', 'any',
     'retailer')) AS v (code, title, of_goods, of_web, days, exchange_days, receipt, fee, methods,
                        condition, payer)
LEFT JOIN (
    SELECT x.category_id FROM ret.category AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.category_code LIMIT 1
) AS g ON true
LEFT JOIN (
    SELECT x.sales_channel_id FROM ret.sales_channel AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.channel_kind <> 'web', x.channel_code LIMIT 1
) AS w ON true;

INSERT INTO ret.return_reason
    (business_id, return_reason_id, reason_code, label, fault, is_defect, requires_photo,
     refunds_shipping, default_disposition, sort_order)
SELECT %(business_id)s, md5('reason ' || v.code || %(business_id)s)::uuid, v.code, v.label,
       v.fault, v.defect, v.photo, v.fault <> 'customer', v.disposition, v.place
FROM (VALUES
    (1, 'TOO_SMALL', 'Too small', 'customer', false, false, 'restock'),
    (2, 'TOO_LARGE', 'Too large', 'customer', false, false, 'restock'),
    (3, 'CHANGED_MIND', 'Changed their mind', 'customer', false, false, 'restock'),
    (4, 'GIFT', 'Unwanted gift', 'customer', false, false, 'restock'),
    (5, 'BETTER_PRICE', 'Found it for less', 'customer', false, false, 'restock'),
    (6, 'NOT_AS_SHOWN', 'Not as it was shown', 'product', false, false, 'inspect'),
    (7, 'POOR_QUALITY', 'Poor quality', 'product', true, true, 'inspect'),
    (8, 'DEFECTIVE', 'Does not work', 'product', true, true, 'rtv'),
    (9, 'MISSING_PARTS', 'Parts are missing', 'supplier', true, false, 'rtv'),
    (10, 'WRONG_ITEM', 'Something else was sent', 'fulfilment', false, false, 'restock'),
    (11, 'TOO_LATE', 'Came too late', 'carrier', false, false, 'restock'),
    (12, 'DAMAGED', 'Damaged on the way', 'carrier', true, true, 'scrap'),
    (13, 'REFUSED', 'Refused at the door', 'customer', false, false, 'inspect'),
    (14, 'RECALL', 'Recalled', 'supplier', true, false, 'scrap'),
    (15, 'WARRANTY', 'Broke within the warranty', 'product', true, false, 'rtv'))
    AS v (place, code, label, fault, defect, photo, disposition);

-- Of what was handed over some comes back within a month: to a store, or by post.
CREATE TEMPORARY TABLE came_back ON COMMIT DROP AS
SELECT o.business_id, o.sales_order_id, md5('return ' || o.sales_order_id)::uuid AS rma_id,
       o.customer_id, o.order_number, o.placed_at, s.register_session_id, s.register_code,
       s.business_date, s.opened_by_user_id, s.cash_enabled,
       coalesce(s.location_id, o.sold_location_id, w.location_id) AS location_id,
       s.register_session_id IS NOT NULL AS in_store, o.place, o.is_till,
       coalesce(s.opened_at + (45 + o.place %% 150) * interval '1 minute', o.back_at)
           AS requested_at
FROM (
    SELECT x.*, m.place, m.is_till, m.is_till OR m.place %% 4 = 0 AS to_store,
           x.placed_at + CASE WHEN m.is_till THEN interval '1 day' ELSE interval '3 days' END
               + least(floor(-ln((m.place / 1000 %% 1000 + 1) / 1001.0) * 6), 22)
                 * interval '1 day'
               + m.place %% 600 * interval '1 minute' AS back_at,
           row_number() OVER (PARTITION BY m.is_till
                              ORDER BY md5('return ' || x.sales_order_id)) AS turn,
           count(*) OVER (PARTITION BY m.is_till) AS orders
    FROM ret.sales_order AS x
    CROSS JOIN LATERAL (
        SELECT ('x' || substr(md5('back ' || x.sales_order_id), 1, 7))::bit(28)::integer AS place,
               x.order_kind IN ('sale', 'exchange') AS is_till
    ) AS m
    WHERE x.business_id = %(business_id)s AND x.state IN ('fulfilled', 'completed')
      AND x.payment_state = 'paid' AND x.grand_total > 5
      AND x.placed_at < %(as_of)s - interval '3 days'
      AND NOT EXISTS (SELECT FROM ret.layaway AS l
                      WHERE l.business_id = x.business_id
                        AND l.sales_order_id = x.sales_order_id)
      AND NOT EXISTS (SELECT FROM ret.payment AS p
                      JOIN ret.payment_dispute AS d
                          ON d.business_id = p.business_id AND d.payment_id = p.payment_id
                      WHERE p.business_id = x.business_id
                        AND p.sales_order_id = x.sales_order_id)
) AS o
LEFT JOIN (
    SELECT x.location_id
    FROM ret.location AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.location_kind <> 'warehouse', x.location_code
    LIMIT 1
) AS w ON true
LEFT JOIN LATERAL (
    -- The first session after it in the store, where it can be at a register with cash.
    SELECT x.register_session_id, x.opened_at, x.business_date, x.opened_by_user_id,
           r.location_id, r.register_code, r.cash_enabled
    FROM ret.register_session AS x
    JOIN ret.register AS r ON r.business_id = x.business_id AND r.register_id = x.register_id
    WHERE x.business_id = o.business_id AND o.to_store
      AND r.location_id = coalesce(o.sold_location_id, r.location_id)
      AND x.opened_at > o.back_at - interval '12 hours'
      AND x.opened_at > o.placed_at + interval '1 minute'
      AND x.opened_at < o.placed_at + interval '29 days'
      AND x.opened_at + interval '4 hours' < least(x.closed_at, %(as_of)s)
    ORDER BY x.business_date, r.cash_enabled DESC, x.register_session_id
    LIMIT 1
) AS s ON true
WHERE o.turn <= greatest(2, o.orders * CASE WHEN o.is_till THEN 8 ELSE 22 END / 100)
  AND (s.register_session_id IS NOT NULL
       OR (NOT o.is_till AND o.back_at < %(as_of)s - interval '1 hour'));

-- At the counter it takes minutes; by post a week. Some are refused or called off.
INSERT INTO ret.return_authorisation
    (business_id, return_authorisation_id, return_location_id, sales_order_id, customer_id,
     return_policy_id, rma_number, return_kind, initiated_in, state, requested_at, approved_at,
     received_at, completed_at, has_receipt, is_outside_policy, fraud_score, created_at,
     updated_at)
SELECT b.business_id, b.rma_id, b.location_id, b.sales_order_id, b.customer_id, p.return_policy_id,
       'RMA-' || lpad(row_number() OVER (ORDER BY b.requested_at, b.rma_id)::text, 6, '0'),
       CASE WHEN b.place %% 100 < 20 THEN 'exchange' WHEN b.place %% 100 < 92 THEN 'return'
            WHEN b.place %% 100 < 96 THEN 'warranty' WHEN b.place %% 100 = 96 THEN 'recall'
            WHEN b.in_store THEN 'return' ELSE 'refused_delivery' END,
       CASE WHEN b.in_store THEN 'store' WHEN b.place %% 20 < 15 THEN 'web'
            WHEN b.place %% 20 < 18 THEN 'app' ELSE 'call_centre' END,
       s.state, b.requested_at,
       CASE WHEN s.state NOT IN ('requested', 'rejected', 'cancelled') THEN t.approved_at END,
       CASE WHEN s.state IN ('received', 'inspected', 'completed') THEN t.received_at END,
       CASE WHEN s.state = 'completed' THEN t.completed_at END, b.place %% 20 <> 7,
       b.place %% 33 = 2, round((b.place %% 6000) / 100.0, 2), b.requested_at,
       least(t.completed_at, %(as_of)s)
FROM came_back AS b
JOIN ret.return_policy AS p
    ON p.business_id = b.business_id
   AND p.policy_code = CASE WHEN b.place %% 20 = 7 AND b.customer_id IS NOT NULL THEN 'GIFT'
                            WHEN b.is_till THEN 'STORE' ELSE 'WEB' END
CROSS JOIN LATERAL (
    SELECT b.requested_at + CASE WHEN b.in_store THEN interval '1 minute'
                                 ELSE interval '2 hours' END AS approved_at,
           b.requested_at + CASE WHEN b.in_store THEN interval '2 minutes'
                                 ELSE interval '5 days' END AS received_at,
           b.requested_at + CASE WHEN b.in_store THEN interval '9 minutes'
                                 ELSE interval '7 days' END AS completed_at
) AS t
CROSS JOIN LATERAL (
    SELECT CASE WHEN t.approved_at > %(as_of)s THEN 'requested'
                WHEN NOT b.in_store AND b.place %% 40 = 1 THEN 'rejected'
                WHEN NOT b.in_store AND b.place %% 40 = 2 THEN 'cancelled'
                WHEN t.received_at > %(as_of)s
                THEN CASE WHEN b.requested_at + interval '2 days' > %(as_of)s THEN 'approved'
                          ELSE 'in_transit' END
                WHEN t.completed_at - interval '1 day' > %(as_of)s THEN 'received'
                WHEN t.completed_at > %(as_of)s THEN 'inspected'
                ELSE 'completed' END AS state
) AS s;

-- A line or two of the order, worth its share of what was paid.
INSERT INTO ret.return_line
    (business_id, return_line_id, exchange_variant_id, return_authorisation_id,
     sales_order_line_id, return_reason_id, serial_unit_id, line_number, quantity, unit_refund,
     tax_refund, condition_reported, acceptance, reception, price_difference, created_at,
     updated_at)
SELECT a.business_id, md5('line ' || l.sales_order_line_id)::uuid,
       CASE WHEN a.return_kind = 'exchange' THEN l.product_variant_id END,
       a.return_authorisation_id, l.sales_order_line_id, r.return_reason_id, l.serial_unit_id,
       l.turn, q.quantity, trunc(l.line_total / l.quantity, 2),
       trunc(l.tax_amount * q.quantity / l.quantity, 2),
       CASE WHEN r.is_defect THEN CASE WHEN l.place %% 3 = 0 THEN 'damaged' ELSE 'defective' END
            WHEN l.place %% 10 < 6 THEN 'new' WHEN l.place %% 10 < 9 THEN 'opened'
            ELSE 'used' END,
       CASE WHEN a.state IN ('requested', 'approved', 'in_transit', 'received', 'cancelled')
            THEN 'pending' WHEN a.state = 'rejected' THEN 'rejected' ELSE 'accepted' END,
       CASE WHEN a.state IN ('received', 'inspected', 'completed') THEN 'received'
            WHEN a.state IN ('cancelled', 'rejected') THEN 'expired' ELSE 'awaiting' END,
       CASE WHEN a.return_kind = 'exchange' THEN 0 END, a.requested_at, a.updated_at
FROM ret.return_authorisation AS a
JOIN (
    SELECT x.*, h.place,
           row_number() OVER (PARTITION BY x.sales_order_id ORDER BY h.place, x.line_number)
               AS turn
    FROM ret.sales_order_line AS x
    CROSS JOIN LATERAL (
        SELECT ('x' || substr(md5('back ' || x.sales_order_line_id), 1, 7))::bit(28)::integer
                   AS place
    ) AS h
    WHERE x.business_id = %(business_id)s AND x.fulfilled_qty > 0 AND x.line_total > 0
) AS l ON l.sales_order_id = a.sales_order_id
      AND l.turn <= CASE WHEN l.place %% 3 = 0 THEN 2 ELSE 1 END
JOIN ret.return_reason AS r
    ON r.business_id = a.business_id
   AND r.reason_code = CASE a.return_kind
           WHEN 'refused_delivery' THEN 'REFUSED' WHEN 'recall' THEN 'RECALL'
           WHEN 'warranty' THEN 'WARRANTY'
           ELSE (ARRAY['TOO_SMALL', 'TOO_SMALL', 'TOO_LARGE', 'TOO_LARGE', 'CHANGED_MIND',
                       'CHANGED_MIND', 'GIFT', 'BETTER_PRICE', 'NOT_AS_SHOWN', 'POOR_QUALITY',
                       'DEFECTIVE', 'MISSING_PARTS', 'WRONG_ITEM', 'TOO_LATE', 'DAMAGED'])
                    [1 + l.place / 7 %% 15] END
CROSS JOIN LATERAL (
    SELECT CASE WHEN l.place %% 4 = 0 THEN l.fulfilled_qty ELSE least(1, l.fulfilled_qty) END
               AS quantity
) AS q
WHERE a.business_id = %(business_id)s;

INSERT INTO ret.return_inspection
    (business_id, return_inspection_id, inspected_by_user_id, return_line_id, location_id,
     inspected_at, grade, disposition, resale_value, write_down_amount, serial_matches,
     seconds_spent, photo_count, note, created_at, updated_at)
SELECT r.business_id, md5('inspection ' || r.return_line_id)::uuid, u.user_account_id,
       r.return_line_id, a.return_location_id, m.moment, g.grade, g.disposition,
       round(r.quantity * r.unit_refund * g.worth, 2),
       CASE WHEN g.worth < 1 THEN round(r.quantity * l.unit_cost * (1 - g.worth), 2) ELSE 0 END,
       CASE WHEN r.serial_unit_id IS NOT NULL THEN true END, 40 + r.place %% 260,
       CASE WHEN g.grade IN ('c', 'd') THEN 1 + r.place %% 3 ELSE 0 END,
       CASE g.grade WHEN 'd' THEN 'Beyond repair' WHEN 'c' THEN 'Marks on the outside' END,
       m.moment, m.moment
FROM (
    SELECT x.*,
           ('x' || substr(md5('grade ' || x.return_line_id), 1, 7))::bit(28)::integer AS place
    FROM ret.return_line AS x
    WHERE x.business_id = %(business_id)s AND x.acceptance = 'accepted'
      AND x.reception = 'received'
) AS r
JOIN ret.return_authorisation AS a
    ON a.business_id = r.business_id AND a.return_authorisation_id = r.return_authorisation_id
JOIN ret.sales_order_line AS l
    ON l.business_id = r.business_id AND l.sales_order_line_id = r.sales_order_line_id
CROSS JOIN (
    SELECT x.user_account_id
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.status <> 'active', x.username
    LIMIT 1
) AS u
CROSS JOIN LATERAL (
    SELECT CASE WHEN a.initiated_in = 'store' THEN a.received_at + interval '4 minutes'
                ELSE a.received_at + interval '20 hours' END AS moment
) AS m
CROSS JOIN LATERAL (
    SELECT v.*
    FROM (VALUES ('a', 'restock', 1.0, 0, 60), ('b', 'restock', 0.9, 60, 72),
                 ('c', 'outlet', 0.6, 72, 82), ('c', 'rtv', 0.5, 82, 92),
                 ('d', 'scrap', 0.0, 92, 97), ('c', 'refurbish', 0.7, 97, 100))
        AS v (grade, disposition, worth, low, high)
    WHERE r.place %% 100 >= v.low AND r.place %% 100 < v.high
) AS g;

UPDATE ret.return_authorisation AS a
SET refund_total = n.worth
FROM (
    SELECT r.return_authorisation_id,
           sum(r.line_refund) FILTER (WHERE r.exchange_variant_id IS NULL) AS worth
    FROM ret.return_line AS r
    WHERE r.business_id = %(business_id)s AND r.acceptance = 'accepted'
    GROUP BY r.return_authorisation_id
) AS n
WHERE a.business_id = %(business_id)s AND a.return_authorisation_id = n.return_authorisation_id
  AND a.state = 'completed' AND n.worth > 0;

UPDATE ret.sales_order_line AS l
SET returned_qty = r.quantity
FROM ret.return_line AS r
JOIN ret.return_authorisation AS a
    ON a.business_id = r.business_id AND a.return_authorisation_id = r.return_authorisation_id
   AND a.state = 'completed'
WHERE l.business_id = %(business_id)s AND r.business_id = l.business_id
  AND r.sales_order_line_id = l.sales_order_line_id AND r.acceptance = 'accepted';

-- Goods lie on the shelf again, or are held for repair, outlet or supplier; replacements leave.
INSERT INTO ret.stock_movement
    (business_id, stock_movement_id, product_variant_id, location_id, occurred_at, movement_kind,
     from_state, to_state, quantity, unit_cost, source_kind, source_id, created_at)
SELECT %(business_id)s, md5(m.kind || ' back ' || m.return_line_id)::uuid, m.product_variant_id,
       m.location_id, m.moment, m.kind, m.from_state, m.to_state, m.quantity, m.unit_cost,
       'return', m.return_authorisation_id, m.moment
FROM (
    SELECT r.return_line_id, l.product_variant_id, i.location_id, k.moment, k.kind, k.from_state,
           k.to_state, r.quantity, l.unit_cost, a.return_authorisation_id
    FROM ret.return_authorisation AS a
    JOIN ret.return_line AS r
        ON r.business_id = a.business_id AND r.return_authorisation_id = a.return_authorisation_id
       AND r.acceptance = 'accepted'
    JOIN ret.sales_order_line AS l
        ON l.business_id = r.business_id AND l.sales_order_line_id = r.sales_order_line_id
    JOIN ret.return_inspection AS i
        ON i.business_id = r.business_id AND i.return_line_id = r.return_line_id
    CROSS JOIN LATERAL (VALUES
        ('return', 'none', CASE i.disposition WHEN 'restock' THEN 'available'
                                              ELSE 'quality_hold' END,
         a.completed_at, i.disposition IN ('restock', 'outlet', 'rtv', 'refurbish')),
        ('sale', 'available', 'none', a.completed_at + interval '1 second',
         r.exchange_variant_id IS NOT NULL))
        AS k (kind, from_state, to_state, moment, happened)
    WHERE a.business_id = %(business_id)s AND a.state = 'completed' AND k.happened
) AS m
ORDER BY m.moment, m.kind, m.return_line_id;

-- What is brought to a store has a receipt there.
INSERT INTO ret.pos_transaction
    (business_id, pos_transaction_id, cashier_user_id, register_session_id, sales_order_id,
     customer_id, receipt_number, transaction_kind, business_date, started_at, completed_at,
     item_count, gross_total, tax_total, net_total, created_at, updated_at)
SELECT b.business_id, md5('return receipt ' || b.rma_id)::uuid, b.opened_by_user_id,
       b.register_session_id, b.sales_order_id, b.customer_id,
       b.register_code || '-' || replace(a.rma_number, 'RMA-', 'R'),
       CASE WHEN a.return_kind = 'exchange' THEN 'exchange' ELSE 'return' END, b.business_date,
       a.requested_at, a.completed_at, n.items, -(n.worth - n.taxes), -n.taxes, -n.worth,
       a.requested_at, a.completed_at
FROM came_back AS b
JOIN ret.return_authorisation AS a
    ON a.business_id = b.business_id AND a.return_authorisation_id = b.rma_id
   AND a.state = 'completed'
JOIN (
    SELECT r.return_authorisation_id, ceil(sum(r.quantity))::integer AS items,
           coalesce(sum(r.line_refund) FILTER (WHERE r.exchange_variant_id IS NULL), 0) AS worth,
           coalesce(sum(r.tax_refund) FILTER (WHERE r.exchange_variant_id IS NULL), 0) AS taxes
    FROM ret.return_line AS r
    WHERE r.business_id = %(business_id)s
    GROUP BY r.return_authorisation_id
) AS n ON n.return_authorisation_id = a.return_authorisation_id
WHERE b.in_store;

UPDATE ret.return_authorisation AS a
SET pos_transaction_id = t.pos_transaction_id
FROM ret.pos_transaction AS t
WHERE a.business_id = %(business_id)s AND t.business_id = a.business_id
  AND t.pos_transaction_id = md5('return receipt ' || a.return_authorisation_id)::uuid;

-- Without a receipt the worth is given as a credit; its refund is the entry that issues it.
INSERT INTO ret.store_credit
    (business_id, store_credit_id, customer_id, credit_number, credit_kind, currency, issued_at,
     expires_on, reason_text, created_at, updated_at)
SELECT a.business_id, md5('credit for ' || a.return_authorisation_id)::uuid, a.customer_id,
       'SC-' || a.rma_number, 'return', o.currency, a.completed_at,
       (a.completed_at AT TIME ZONE 'UTC')::date + 365, 'Return ' || a.rma_number,
       a.completed_at, a.completed_at
FROM ret.return_authorisation AS a
JOIN ret.return_policy AS p
    ON p.business_id = a.business_id AND p.return_policy_id = a.return_policy_id
   AND p.refund_methods = 'store_credit'
JOIN ret.sales_order AS o
    ON o.business_id = a.business_id AND o.sales_order_id = a.sales_order_id
WHERE a.business_id = %(business_id)s AND a.state = 'completed' AND a.refund_total > 0;

-- The worth goes back the way it was paid; a processor takes a day. Some others were charged too
-- much, or waited too long for a parcel.
INSERT INTO ret.refund
    (business_id, refund_id, approved_by_user_id, payment_id, return_authorisation_id,
     sales_order_id, register_session_id, store_credit_id, refund_number, refund_method, reason,
     amount, tax_amount, shipping_amount, currency, requested_at, completed_at,
     processor_reference, state, created_at, updated_at)
SELECT p.business_id, md5('refund ' || p.payment_id)::uuid,
       CASE WHEN n.reason <> 'return' THEN u.user_account_id END,
       CASE WHEN n.credit_id IS NULL THEN p.payment_id END, n.rma_id, p.sales_order_id,
       CASE WHEN p.tender = 'cash' AND n.credit_id IS NULL THEN n.register_session_id END,
       n.credit_id, 'F-' || substr(p.payment_number, 3),
       CASE WHEN n.credit_id IS NULL THEN 'original_tender' ELSE 'store_credit' END, n.reason,
       m.amount, least(n.taxes, m.amount),
       CASE WHEN n.reason = 'shipping' THEN m.amount ELSE 0 END, p.currency, n.moment,
       CASE WHEN s.state = 'completed' THEN s.moment END,
       CASE WHEN s.asks_processor AND s.state = 'completed'
            THEN 're_' || substr(md5('refund ' || p.payment_id), 1, 18) END,
       s.state, n.moment, least(s.moment, %(as_of)s)
FROM (
    SELECT a.sales_order_id, a.return_authorisation_id AS rma_id, 'return' AS reason,
           a.refund_total AS amount, coalesce(t.taxes, 0) AS taxes, a.completed_at AS moment,
           CASE WHEN b.cash_enabled THEN b.register_session_id END AS register_session_id,
           c.store_credit_id AS credit_id
    FROM ret.return_authorisation AS a
    JOIN came_back AS b ON b.rma_id = a.return_authorisation_id
    LEFT JOIN ret.store_credit AS c
        ON c.business_id = a.business_id
       AND c.store_credit_id = md5('credit for ' || a.return_authorisation_id)::uuid
    LEFT JOIN (
        SELECT r.return_authorisation_id, sum(r.tax_refund) AS taxes
        FROM ret.return_line AS r
        WHERE r.business_id = %(business_id)s AND r.exchange_variant_id IS NULL
        GROUP BY r.return_authorisation_id
    ) AS t ON t.return_authorisation_id = a.return_authorisation_id
    WHERE a.business_id = %(business_id)s AND a.state = 'completed' AND a.refund_total > 0
    UNION ALL
    SELECT o.sales_order_id, NULL, CASE WHEN o.shipping_total > 0 THEN 'shipping'
                                        ELSE 'price_adjustment' END,
           CASE WHEN o.shipping_total > 0 THEN o.shipping_total
                ELSE round(o.subtotal * 0.1, 2) END, 0, o.placed_at + interval '4 days', NULL,
           NULL
    FROM ret.sales_order AS o
    WHERE o.business_id = %(business_id)s AND o.order_kind IN ('ship_to_home', 'pickup')
      AND o.state IN ('fulfilled', 'completed') AND o.payment_state = 'paid'
      AND o.placed_at < %(as_of)s - interval '6 days' AND o.subtotal > 10
      AND ('x' || substr(md5('adjust ' || o.sales_order_id), 1, 7))::bit(28)::integer %% 70 = 0
      AND NOT EXISTS (SELECT FROM came_back AS b WHERE b.sales_order_id = o.sales_order_id)
      AND NOT EXISTS (SELECT FROM ret.layaway AS l
                      WHERE l.business_id = o.business_id
                        AND l.sales_order_id = o.sales_order_id)
      AND NOT EXISTS (SELECT FROM ret.payment_dispute AS d
                      JOIN ret.payment AS p
                          ON p.business_id = d.business_id AND p.payment_id = d.payment_id
                      WHERE p.business_id = o.business_id
                        AND p.sales_order_id = o.sales_order_id)
) AS n
JOIN (
    SELECT x.*, row_number() OVER (PARTITION BY x.sales_order_id
                                   ORDER BY x.captured_amount DESC, x.payment_id) AS choice
    FROM ret.payment AS x
    WHERE x.business_id = %(business_id)s AND x.captured_amount > 0
) AS p ON p.sales_order_id = n.sales_order_id AND p.choice = 1
CROSS JOIN (
    SELECT x.user_account_id
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.status <> 'active', x.username
    LIMIT 1
) AS u
CROSS JOIN LATERAL (SELECT least(n.amount, p.captured_amount) AS amount) AS m
CROSS JOIN LATERAL (
    SELECT k.moment, k.asks_processor,
           CASE WHEN p.tender = 'cash' AND n.credit_id IS NULL
                THEN CASE WHEN n.register_session_id IS NULL THEN 'approved' ELSE 'completed' END
                WHEN NOT k.asks_processor THEN 'completed'
                WHEN k.moment > %(as_of)s THEN 'processing'
                WHEN ('x' || substr(md5('fails ' || p.payment_id), 1, 7))::bit(28)::integer
                     %% 90 = 0 THEN 'failed'
                ELSE 'completed' END AS state
    FROM (
        SELECT n.moment + CASE WHEN q.asks THEN interval '1 day' ELSE interval '0' END AS moment,
               q.asks AS asks_processor
        FROM (SELECT n.credit_id IS NULL
                     AND p.tender NOT IN ('cash', 'gift_card', 'store_credit') AS asks) AS q
    ) AS k
) AS s;

-- Cards and credits are worth it again, each after what it paid.
INSERT INTO ret.gift_card_entry
    (business_id, gift_card_entry_id, gift_card_id, sales_order_id, location_id, entry_kind,
     amount, occurred_at, idempotency_key, created_at)
SELECT f.business_id, md5('entry of ' || f.refund_id)::uuid, p.gift_card_id, f.sales_order_id,
       a.return_location_id, 'refund', f.amount, f.completed_at, 'refund ' || f.refund_id,
       f.completed_at
FROM ret.refund AS f
JOIN ret.payment AS p
    ON p.business_id = f.business_id AND p.payment_id = f.payment_id AND p.tender = 'gift_card'
LEFT JOIN ret.return_authorisation AS a
    ON a.business_id = f.business_id AND a.return_authorisation_id = f.return_authorisation_id
WHERE f.business_id = %(business_id)s AND f.state = 'completed'
ORDER BY p.gift_card_id, f.completed_at, f.refund_id;

INSERT INTO ret.store_credit_entry
    (business_id, store_credit_entry_id, store_credit_id, sales_order_id, entry_kind, amount,
     occurred_at, originator_kind, idempotency_key, created_at)
SELECT f.business_id, md5('entry of ' || f.refund_id)::uuid,
       coalesce(f.store_credit_id, p.store_credit_id), f.sales_order_id,
       CASE WHEN f.store_credit_id IS NULL THEN 'adjust' ELSE 'issue' END, f.amount,
       f.completed_at, 'return', 'refund ' || f.refund_id, f.completed_at
FROM ret.refund AS f
LEFT JOIN ret.payment AS p
    ON p.business_id = f.business_id AND p.payment_id = f.payment_id
   AND p.tender = 'store_credit'
WHERE f.business_id = %(business_id)s AND f.state = 'completed'
  AND coalesce(f.store_credit_id, p.store_credit_id) IS NOT NULL
ORDER BY coalesce(f.store_credit_id, p.store_credit_id), f.completed_at, f.refund_id;

UPDATE ret.payment AS p
SET refunded_amount = f.amount,
    state = CASE WHEN f.amount = p.captured_amount THEN 'refunded' ELSE 'partly_refunded' END,
    updated_at = f.completed_at
FROM ret.refund AS f
WHERE p.business_id = %(business_id)s AND f.business_id = p.business_id
  AND f.payment_id = p.payment_id AND f.state = 'completed';

-- The trail of an order tells that goods came back, and money went.
INSERT INTO ret.order_status_event
    (business_id, order_status_event_id, sales_order_id, occurred_at, aspect, from_state, to_state,
     actor_kind, created_at)
SELECT a.business_id, md5('event ' || e.to_state || a.return_authorisation_id)::uuid,
       a.sales_order_id, e.moment, 'return', e.from_state, e.to_state, e.actor, e.moment
FROM ret.return_authorisation AS a
CROSS JOIN LATERAL (VALUES
    (NULL, 'requested', a.requested_at, 'customer', true),
    ('requested', 'received', a.received_at, 'staff', a.received_at IS NOT NULL),
    ('received', 'completed', a.completed_at, 'staff', a.completed_at IS NOT NULL))
    AS e (from_state, to_state, moment, actor, happened)
WHERE a.business_id = %(business_id)s AND e.happened;

INSERT INTO ret.order_status_event
    (business_id, order_status_event_id, sales_order_id, occurred_at, aspect, from_state, to_state,
     actor_kind, created_at)
SELECT f.business_id, md5('event refunded ' || f.refund_id)::uuid, f.sales_order_id,
       f.completed_at, 'payment', 'paid',
       CASE WHEN f.amount = o.paid_total THEN 'refunded' ELSE 'partly_refunded' END, 'system',
       f.completed_at
FROM ret.refund AS f
JOIN ret.sales_order AS o
    ON o.business_id = f.business_id AND o.sales_order_id = f.sales_order_id
WHERE f.business_id = %(business_id)s AND f.state = 'completed';

UPDATE ret.sales_order AS o
SET refunded_total = f.amount,
    payment_state = CASE WHEN f.amount = o.paid_total THEN 'refunded' ELSE 'partly_refunded' END
FROM ret.refund AS f
WHERE o.business_id = %(business_id)s AND f.business_id = o.business_id
  AND f.sales_order_id = o.sales_order_id AND f.state = 'completed';

-- An order of which everything came back is returned.
INSERT INTO ret.order_status_event
    (business_id, order_status_event_id, sales_order_id, occurred_at, aspect, from_state, to_state,
     actor_kind, created_at)
SELECT o.business_id, md5('event returned ' || o.sales_order_id)::uuid, o.sales_order_id,
       greatest(n.moment, e.latest), 'order', o.state, 'returned', 'system',
       greatest(n.moment, e.latest)
FROM ret.sales_order AS o
JOIN (
    SELECT x.sales_order_id, max(x.occurred_at) AS latest
    FROM ret.order_status_event AS x
    WHERE x.business_id = %(business_id)s AND x.aspect = 'order'
    GROUP BY x.sales_order_id
) AS e ON e.sales_order_id = o.sales_order_id
JOIN (
    SELECT a.sales_order_id, max(a.completed_at) AS moment
    FROM ret.return_authorisation AS a
    WHERE a.business_id = %(business_id)s AND a.state = 'completed'
    GROUP BY a.sales_order_id
) AS n ON n.sales_order_id = o.sales_order_id
WHERE o.business_id = %(business_id)s AND o.state IN ('fulfilled', 'completed')
  AND NOT EXISTS (SELECT FROM ret.sales_order_line AS l
                  WHERE l.business_id = o.business_id AND l.sales_order_id = o.sales_order_id
                    AND l.returned_qty < l.fulfilled_qty AND l.line_total > 0);

UPDATE ret.sales_order AS o
SET state = 'returned', updated_at = e.occurred_at
FROM ret.order_status_event AS e
WHERE o.business_id = %(business_id)s AND e.business_id = o.business_id
  AND e.sales_order_id = o.sales_order_id AND e.to_state = 'returned' AND e.aspect = 'order'
  AND o.state = e.from_state;

-- The processor was asked, and takes it out of a payout.
INSERT INTO ret.payment_attempt
    (business_id, payment_attempt_id, payment_id, attempted_at, operation, amount, outcome,
     response_code, decline_reason, latency_ms, gateway_reference, created_at)
SELECT f.business_id, md5('attempt refund ' || f.refund_id)::uuid, f.payment_id, f.requested_at,
       'refund', f.amount,
       CASE f.state WHEN 'completed' THEN 'approved' WHEN 'failed' THEN 'declined'
                    ELSE 'pending' END,
       CASE f.state WHEN 'completed' THEN '00' WHEN 'failed' THEN '57' END,
       CASE WHEN f.state = 'failed' THEN 'card closed' END, 650, f.processor_reference,
       f.requested_at
FROM ret.refund AS f
JOIN ret.payment AS p ON p.business_id = f.business_id AND p.payment_id = f.payment_id
WHERE f.business_id = %(business_id)s AND p.tender IN ('card', 'wallet', 'bnpl');

INSERT INTO ret.processor_payout_entry
    (business_id, processor_payout_entry_id, processor_payout_id, payment_id, entry_number,
     entry_kind, gross_amount, occurred_on, processor_reference, expected_amount, match_state,
     created_at, updated_at)
SELECT f.business_id, md5('entry ' || f.refund_id)::uuid, y.processor_payout_id, f.payment_id,
       'B' || substr(md5('entry ' || f.refund_id), 1, 8), 'refund', -f.amount, f.refunded_on,
       f.processor_reference, CASE WHEN y.arrived_on IS NULL THEN 0 ELSE -f.amount END,
       CASE WHEN y.arrived_on IS NULL THEN 'unmatched' ELSE 'matched' END, y.created_at,
       y.created_at
FROM (
    SELECT x.*, (x.completed_at AT TIME ZONE 'UTC')::date AS refunded_on,
           CASE p.tender WHEN 'marketplace' THEN h.channel_code WHEN 'bnpl' THEN 'splitly'
                         ELSE 'northpay' END AS provider
    FROM ret.refund AS x
    JOIN ret.payment AS p ON p.business_id = x.business_id AND p.payment_id = x.payment_id
    JOIN ret.sales_order AS o
        ON o.business_id = x.business_id AND o.sales_order_id = x.sales_order_id
    JOIN ret.sales_channel AS h
        ON h.business_id = o.business_id AND h.sales_channel_id = o.sales_channel_id
    WHERE x.business_id = %(business_id)s AND x.state = 'completed'
      AND p.tender NOT IN ('cash', 'gift_card', 'store_credit')
) AS f
JOIN (
    SELECT x.*, lag(x.period_end) OVER (PARTITION BY x.provider ORDER BY x.period_end) AS before
    FROM ret.processor_payout AS x
    WHERE x.business_id = %(business_id)s
) AS y ON y.provider = f.provider AND f.refunded_on <= y.period_end
      AND (y.before IS NULL OR f.refunded_on > y.before);

UPDATE ret.processor_payout AS p
SET state = 'reconciled', updated_at = (p.arrived_on + 1)::timestamptz
WHERE p.business_id = %(business_id)s AND p.state = 'paid' AND p.arrived_on < %(as_of)s::date
  AND NOT EXISTS (SELECT FROM ret.processor_payout_entry AS e
                  WHERE e.business_id = p.business_id
                    AND e.processor_payout_id = p.processor_payout_id
                    AND e.match_state <> 'matched');

-- What else went through a drawer; at the end of the day all but the float is dropped in the safe.
INSERT INTO ret.cash_movement
    (business_id, cash_movement_id, actor_user_id, approved_by_user_id, register_session_id,
     movement_kind, amount, occurred_at, reason_text, reference_number, bag_number, witness_name,
     running_balance, created_at)
SELECT s.business_id, md5(k.kind || s.register_session_id)::uuid, s.opened_by_user_id, NULL,
       s.register_session_id, k.kind, k.amount, k.moment, k.reason,
       CASE WHEN k.kind = 'paid_out' THEN 'V-' || to_char(s.business_date, 'MMDD') END,
       CASE WHEN k.kind = 'safe_drop'
            THEN 'BAG' || upper(substr(md5('bag ' || s.register_session_id), 1, 6)) END,
       CASE WHEN k.kind = 'safe_drop' AND s.place %% 2 = 0 THEN u.display_name END,
       -- The others are before the first sale, the drop is after the last one.
       s.opening_float + CASE WHEN k.kind = 'safe_drop' THEN s.cash - s.refunds ELSE 0 END
           + sum(CASE WHEN k.kind = 'paid_in' THEN k.amount ELSE -k.amount END)
                 OVER (PARTITION BY s.register_session_id ORDER BY k.moment),
       k.moment
FROM (
    SELECT x.*, r.cash_enabled, coalesce(c.cash, 0) AS cash, coalesce(f.cash, 0) AS refunds,
           ('x' || substr(md5('cash ' || x.register_session_id), 1, 7))::bit(28)::integer AS place
    FROM ret.register_session AS x
    JOIN ret.register AS r
        ON r.business_id = x.business_id AND r.register_id = x.register_id AND r.cash_enabled
    LEFT JOIN (
        SELECT p.register_session_id, sum(p.captured_amount) AS cash
        FROM ret.payment AS p
        WHERE p.business_id = %(business_id)s AND p.tender = 'cash'
        GROUP BY p.register_session_id
    ) AS c ON c.register_session_id = x.register_session_id
    LEFT JOIN (
        SELECT g.register_session_id, sum(g.amount) AS cash
        FROM ret.refund AS g
        WHERE g.business_id = %(business_id)s AND g.state = 'completed'
        GROUP BY g.register_session_id
    ) AS f ON f.register_session_id = x.register_session_id
    WHERE x.business_id = %(business_id)s
) AS s
CROSS JOIN (
    SELECT x.display_name
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.status <> 'active', x.username
    LIMIT 1
) AS u
CROSS JOIN LATERAL (VALUES
    ('paid_in', CASE WHEN s.refunds - s.cash > 100 THEN ceil((s.refunds - s.cash) / 100) * 100
                     ELSE 20 END,
     s.opened_at + interval '9 minutes', 'Change from the bank',
     s.place %% 15 = 0 OR s.refunds - s.cash > 100),
    ('paid_out', 8 + s.place %% 30, s.opened_at + interval '14 minutes',
     (ARRAY['Stamps', 'Cleaning', 'Courier', 'Milk and coffee'])[1 + s.place %% 4],
     s.place %% 8 = 1),
    ('no_sale', 0.00, s.opened_at + interval '12 minutes', 'Change for a customer',
     s.place %% 3 = 0),
    ('safe_drop', floor((s.cash - s.refunds) / 20) * 20, s.closed_at - interval '12 minutes',
     'End of the day', s.closed_at IS NOT NULL AND s.cash - s.refunds >= 20))
    AS k (kind, amount, moment, reason, happened)
WHERE k.happened AND k.moment <= %(as_of)s;

-- What drawers hold is their float and what went in and out; some are over or short.
UPDATE ret.register_session AS s
SET cash_sales = n.sales, cash_refunds = n.refunds, paid_in = n.paid_in, paid_out = n.paid_out,
    safe_drops = n.drops,
    counted_cash = CASE WHEN s.closed_at IS NULL THEN NULL WHEN NOT n.cash_enabled THEN 0
                        ELSE greatest(0, s.opening_float + n.sales - n.refunds + n.paid_in
                                         - n.paid_out - n.drops + n.over) END,
    tender_totals_doc = CASE WHEN s.closed_at IS NOT NULL THEN n.tenders END,
    state = CASE WHEN s.closed_at < %(as_of)s - interval '1 day' THEN 'posted' ELSE s.state END
FROM (
    SELECT x.register_session_id, r.cash_enabled, coalesce(p.cash, 0) AS sales,
           coalesce(f.cash, 0) AS refunds, coalesce(m.paid_in, 0) AS paid_in,
           coalesce(m.paid_out, 0) AS paid_out, coalesce(m.drops, 0) AS drops,
           p.tenders,
           CASE WHEN h.place %% 50 = 7 THEN (h.place / 50 %% 41 - 20)::numeric
                WHEN h.place %% 10 < 4 THEN 0
                ELSE round((h.place / 7 %% 61 + h.place / 427 %% 61 - 60) * 0.05, 2) END AS over
    FROM ret.register_session AS x
    JOIN ret.register AS r ON r.business_id = x.business_id AND r.register_id = x.register_id
    CROSS JOIN LATERAL (
        SELECT ('x' || substr(md5('over ' || x.register_session_id), 1, 7))::bit(28)::integer
                   AS place
    ) AS h
    LEFT JOIN (
        SELECT g.register_session_id, sum(g.amount) FILTER (WHERE g.tender = 'cash') AS cash,
               jsonb_agg(jsonb_build_object('tender', g.tender, 'expected', g.amount,
                                            'declared', g.amount) ORDER BY g.tender)
                   FILTER (WHERE g.tender <> 'cash') AS tenders
        FROM (
            SELECT y.register_session_id, y.tender, sum(y.captured_amount) AS amount
            FROM ret.payment AS y
            WHERE y.business_id = %(business_id)s AND y.register_session_id IS NOT NULL
            GROUP BY y.register_session_id, y.tender
        ) AS g
        GROUP BY g.register_session_id
    ) AS p ON p.register_session_id = x.register_session_id
    LEFT JOIN (
        SELECT g.register_session_id, sum(g.amount) AS cash
        FROM ret.refund AS g
        WHERE g.business_id = %(business_id)s AND g.state = 'completed'
        GROUP BY g.register_session_id
    ) AS f ON f.register_session_id = x.register_session_id
    LEFT JOIN (
        SELECT g.register_session_id,
               sum(g.amount) FILTER (WHERE g.movement_kind = 'paid_in') AS paid_in,
               sum(g.amount) FILTER (WHERE g.movement_kind = 'paid_out') AS paid_out,
               sum(g.amount) FILTER (WHERE g.movement_kind = 'safe_drop') AS drops
        FROM ret.cash_movement AS g
        WHERE g.business_id = %(business_id)s
        GROUP BY g.register_session_id
    ) AS m ON m.register_session_id = x.register_session_id
    WHERE x.business_id = %(business_id)s
) AS n
WHERE s.business_id = %(business_id)s AND s.register_session_id = n.register_session_id;

INSERT INTO ret.cash_count
    (business_id, cash_count_id, counted_by_user_id, register_session_id, count_kind, counted_at,
     currency, denominations_doc, counted_total, expected_total, variance_reason, is_accepted,
     created_at, updated_at)
SELECT s.business_id, md5(k.kind || s.register_session_id)::uuid, s.opened_by_user_id,
       s.register_session_id, k.kind, k.moment, coalesce(l.currency, b.currency_code),
       jsonb_build_array(
           jsonb_build_object('value', 20, 'count', floor(k.counted / 20)::integer),
           jsonb_build_object('value', 1, 'count', floor(k.counted - 20 * floor(k.counted / 20))
                                                   ::integer),
           jsonb_build_object('value', 0.01, 'count',
                              ((k.counted - floor(k.counted)) * 100)::integer)),
       k.counted, k.expected,
       CASE WHEN abs(k.counted - k.expected) >= 10 THEN 'A note was given as change by mistake'
            WHEN k.counted <> k.expected THEN 'Change' END,
       s.closed_at IS NOT NULL, k.moment, k.moment
FROM ret.register_session AS s
JOIN ret.register AS r
    ON r.business_id = s.business_id AND r.register_id = s.register_id AND r.cash_enabled
JOIN ret.location AS l ON l.business_id = r.business_id AND l.location_id = r.location_id
JOIN tenant_mgmt.business AS b ON b.business_id = s.business_id
CROSS JOIN LATERAL (VALUES
    ('opening', s.opened_at + interval '2 minutes', s.opening_float::numeric,
     s.opening_float::numeric, true),
    ('closing', s.closed_at - interval '5 minutes', s.counted_cash, s.expected_cash,
     s.closed_at IS NOT NULL)) AS k (kind, moment, counted, expected, happened)
WHERE s.business_id = %(business_id)s AND k.happened;
