SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- Comps and discounts: one check in ten gets something off.
INSERT INTO rest.check_adjustment
    (business_id, check_adjustment_id, guest_check_id, discount_id, reason_code_id,
     approved_by_staff_id, adjustment_kind, label, basis_amount, rate_pct, amount, sequence_no,
     applied_at)
SELECT c.business_id, md5('off ' || c.guest_check_id)::uuid, c.guest_check_id, d.discount_id,
       CASE WHEN d.discount_kind = 'comp' THEN r.reason_code_id END,
       CASE WHEN d.discount_kind = 'comp' THEN m.staff_member_id END,
       CASE WHEN d.discount_kind = 'comp' THEN 'comp' ELSE 'discount' END, d.display_name,
       n.gross, CASE WHEN d.discount_kind = 'percent' THEN d.discount_value END,
       -round(n.gross * CASE WHEN d.discount_kind = 'percent' THEN d.discount_value ELSE 12 END
              / 100, 2), 1, c.opened_at + interval '10 minutes'
FROM (
    SELECT x.guest_check_id, sum(i.gross_amount) AS gross,
           ('x' || substr(md5(x.guest_check_id || 'off'), 1, 7))::bit(28)::integer AS place
    FROM rest.guest_check AS x
    JOIN rest.check_item AS i
        ON i.business_id = x.business_id AND i.guest_check_id = x.guest_check_id
       AND i.state <> 'voided'
    WHERE x.business_id = %(business_id)s AND x.state = 'open'
    GROUP BY x.guest_check_id
) AS n
JOIN rest.guest_check AS c
    ON c.business_id = %(business_id)s AND c.guest_check_id = n.guest_check_id
JOIN rest.discount AS d
    ON d.business_id = c.business_id
   AND d.discount_code = CASE WHEN n.place %% 1000 < 12 THEN 'D03'
                              WHEN n.place %% 1000 < 60 THEN 'D00' ELSE 'D08' END
CROSS JOIN (
    SELECT x.reason_code_id
    FROM rest.reason_code AS x
    WHERE x.business_id = %(business_id)s AND x.reason_group = 'comp'
    ORDER BY x.code
    LIMIT 1
) AS r
CROSS JOIN (
    SELECT x.staff_member_id
    FROM rest.staff_member AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
    ORDER BY x.employee_number
    LIMIT 1
) AS m
WHERE n.place %% 1000 < 100;

-- A large party's gratuity, and the packaging of what goes out.
INSERT INTO rest.check_adjustment
    (business_id, check_adjustment_id, guest_check_id, service_charge_id, adjustment_kind, label,
     basis_amount, rate_pct, amount, sequence_no, applied_at)
SELECT c.business_id, md5(h.charge_kind || c.guest_check_id)::uuid, c.guest_check_id,
       h.service_charge_id,
       CASE WHEN h.charge_kind = 'auto_gratuity' THEN 'auto_gratuity' ELSE 'service_charge' END,
       h.display_name, n.gross, CASE WHEN h.amount_basis = 'percent' THEN h.charge_value END,
       CASE WHEN h.amount_basis = 'percent' THEN round(n.gross * h.charge_value / 100, 2)
            ELSE h.charge_value END,
       CASE WHEN h.charge_kind = 'auto_gratuity' THEN 90 ELSE 80 END,
       c.opened_at + interval '10 minutes'
FROM rest.guest_check AS c
JOIN rest.guest_order AS o
    ON o.business_id = c.business_id AND o.guest_order_id = c.guest_order_id
JOIN LATERAL (
    SELECT coalesce(sum(i.gross_amount), 0) AS gross
    FROM rest.check_item AS i
    WHERE i.business_id = c.business_id AND i.guest_check_id = c.guest_check_id
      AND i.state <> 'voided'
) AS n ON true
JOIN rest.service_charge AS h
    ON h.business_id = o.business_id
   AND ((h.charge_kind = 'auto_gratuity' AND o.service_mode = 'dine_in'
         AND o.guest_count >= h.min_party_size)
        OR (h.charge_kind = 'packaging' AND o.service_mode = 'takeout'))
WHERE c.business_id = %(business_id)s AND c.state = 'open';

INSERT INTO rest.check_tax
    (business_id, check_tax_id, guest_check_id, tax_rate_id, taxable_amount, rate_pct, tax_amount,
     is_inclusive, is_exempt, exemption_reference, remitted_by)
SELECT %(business_id)s, md5('tax ' || t.tax_rate_id || t.guest_check_id)::uuid, t.guest_check_id,
       t.tax_rate_id, t.taxable_amount, t.rate_pct, t.tax_amount, t.is_inclusive, t.is_exempt,
       t.exemption_reference, t.remitted_by
FROM rest.taxes_of_checks(ARRAY(SELECT c.guest_check_id
                                FROM rest.guest_check AS c
                                WHERE c.business_id = %(business_id)s
                                  AND c.state = 'open')) AS t;

SELECT rest.recalculate_checks(ARRAY(SELECT c.guest_check_id
                                     FROM rest.guest_check AS c
                                     WHERE c.business_id = %(business_id)s AND c.state = 'open'));

-- Paid by card mostly; what a marketplace sold, it collects; cash goes in the drawer of the day.
INSERT INTO rest.check_payment
    (business_id, check_payment_id, guest_check_id, business_day_id, cash_drawer_session_id,
     gift_card_id, payment_number, tender, amount, tip_amount, amount_tendered, currency,
     card_brand, card_last4, entry_mode, state, authorised_at, captured_at, processor_reference,
     settlement_batch, processing_fee, taken_by_staff_id)
SELECT c.business_id, md5('payment of ' || c.guest_check_id)::uuid, c.guest_check_id,
       o.business_day_id, CASE WHEN t.tender = 'cash' THEN w.cash_drawer_session_id END,
       CASE WHEN t.tender = 'gift_card' THEN g.gift_card_id END, 'P' || o.order_number, t.tender,
       c.balance_due, k.tip,
       CASE WHEN t.tender = 'cash' THEN ceil((c.balance_due + k.tip) / 5) * 5 END, c.currency,
       CASE WHEN t.tender = 'card' THEN CASE WHEN n.place %% 3 = 0 THEN 'mastercard'
                                             WHEN n.place %% 7 = 1 THEN 'amex' ELSE 'visa' END END,
       CASE WHEN t.tender = 'card' THEN lpad((n.place %% 10000)::text, 4, '0') END,
       CASE WHEN t.tender <> 'card' THEN NULL WHEN h.channel_kind = 'in_store'
            THEN CASE WHEN n.place %% 2 = 0 THEN 'contactless' ELSE 'chip' END
            ELSE 'online' END,
       'captured', k.moment, k.moment + interval '20 seconds',
       CASE WHEN t.tender = 'card' THEN 'ch_' || substr(md5(c.guest_check_id::text), 1, 18) END,
       CASE WHEN t.tender = 'card' THEN 'B' || to_char(d.business_date, 'YYYYMMDD') END,
       CASE WHEN t.tender = 'card' THEN round((c.balance_due + k.tip) * 0.026 + 0.1, 2)
            ELSE 0 END, o.server_staff_id
FROM (
    SELECT x.guest_check_id,
           ('x' || substr(md5(x.guest_check_id || 'pay'), 1, 7))::bit(28)::integer AS place
    FROM rest.guest_check AS x
    WHERE x.business_id = %(business_id)s AND x.state = 'open' AND x.balance_due > 0
) AS n
JOIN rest.guest_check AS c
    ON c.business_id = %(business_id)s AND c.guest_check_id = n.guest_check_id
JOIN rest.guest_order AS o
    ON o.business_id = c.business_id AND o.guest_order_id = c.guest_order_id
JOIN rest.business_day AS d
    ON d.business_id = o.business_id AND d.business_day_id = o.business_day_id
JOIN rest.sales_channel AS h
    ON h.business_id = o.business_id AND h.sales_channel_id = o.sales_channel_id
LEFT JOIN LATERAL (
    SELECT x.cash_drawer_session_id
    FROM rest.cash_drawer_session AS x
    WHERE x.business_id = o.business_id AND x.business_day_id = o.business_day_id
    ORDER BY x.session_number
    LIMIT 1
) AS w ON true
LEFT JOIN LATERAL (
    SELECT x.gift_card_id
    FROM rest.gift_card AS x
    WHERE x.business_id = o.business_id AND x.status = 'active'
    ORDER BY md5(c.guest_check_id || x.card_number_hash)
    LIMIT 1
) AS g ON true
CROSS JOIN LATERAL (
    SELECT CASE WHEN h.channel_kind = 'marketplace' THEN 'marketplace'
                WHEN n.place %% 100 < 16 AND w.cash_drawer_session_id IS NOT NULL THEN 'cash'
                WHEN n.place %% 100 < 18 AND g.gift_card_id IS NOT NULL AND c.balance_due < 40
                THEN 'gift_card' ELSE 'card' END AS tender
) AS t
CROSS JOIN LATERAL (
    SELECT CASE WHEN t.tender <> 'card' THEN 0
                WHEN o.service_mode = 'dine_in'
                THEN round(c.subtotal * (11 + n.place %% 9 + n.place %% 7) / 100, 2)
                ELSE round(c.subtotal * 0.05, 2) END AS tip,
           coalesce(o.completed_at, o.opened_at + interval '3 minutes') AS moment
) AS k
WHERE o.state = 'completed' OR (o.state = 'ready' AND n.place %% 3 = 0);

-- Three cards in a hundred are declined once before another try goes through.
INSERT INTO rest.payment_attempt
    (business_id, payment_attempt_id, check_payment_id, attempted_at, operation, amount, outcome,
     response_code, decline_reason, latency_ms, network_reference)
SELECT p.business_id, md5('attempt ' || a.number || p.check_payment_id)::uuid, p.check_payment_id,
       p.captured_at - a.number * interval '15 seconds', 'capture', p.amount + p.tip_amount,
       CASE a.number WHEN 0 THEN 'approved' ELSE 'declined' END,
       CASE a.number WHEN 0 THEN '00' ELSE '51' END,
       CASE a.number WHEN 1 THEN 'insufficient funds' END,
       420 + ('x' || substr(md5(p.check_payment_id || 'ms'), 1, 7))::bit(28)::integer %% 1400,
       p.processor_reference
FROM rest.check_payment AS p
CROSS JOIN (VALUES (0), (1)) AS a (number)
WHERE p.business_id = %(business_id)s AND p.tender = 'card'
  AND (a.number = 0
       OR ('x' || substr(md5(p.check_payment_id || 'no'), 1, 7))::bit(28)::integer %% 100 < 3);

-- Some money goes back.
INSERT INTO rest.payment_refund
    (business_id, payment_refund_id, check_payment_id, reason_code_id, requested_by_staff_id,
     approved_by_staff_id, refund_number, amount, method, state, requested_at, completed_at)
SELECT p.business_id, md5('refund ' || p.check_payment_id)::uuid, p.check_payment_id,
       r.reason_code_id, p.taken_by_staff_id,
       CASE WHEN m.staff_member_id <> coalesce(p.taken_by_staff_id, p.check_payment_id)
            THEN m.staff_member_id END,
       'F-' || p.payment_number || '-' || substr(md5(p.check_payment_id::text), 1, 6),
       round(p.amount / 4, 2), 'original_tender', 'pending', p.captured_at + interval '1 hour',
       NULL
FROM rest.check_payment AS p
CROSS JOIN (
    SELECT x.reason_code_id
    FROM rest.reason_code AS x
    WHERE x.business_id = %(business_id)s AND x.reason_group = 'refund'
    ORDER BY x.code
    LIMIT 1
) AS r
CROSS JOIN (
    SELECT x.staff_member_id
    FROM rest.staff_member AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
    ORDER BY x.employee_number
    LIMIT 1
) AS m
JOIN (
    SELECT x.check_payment_id, row_number() OVER (ORDER BY md5(x.check_payment_id::text)) AS place,
           count(*) OVER () AS payments
    FROM rest.check_payment AS x
    WHERE x.business_id = %(business_id)s AND x.tender = 'card' AND x.amount > 4
) AS n ON n.check_payment_id = p.check_payment_id AND n.place <= greatest(1, n.payments / 45)
WHERE p.business_id = %(business_id)s;

SELECT rest.recalculate_checks(ARRAY(SELECT c.guest_check_id
                                     FROM rest.guest_check AS c
                                     WHERE c.business_id = %(business_id)s AND c.state = 'open'));

UPDATE rest.guest_check AS c
SET state = CASE WHEN c.state = 'open' THEN 'paid' ELSE c.state END
FROM rest.guest_order AS o
WHERE c.business_id = %(business_id)s
  AND o.business_id = c.business_id AND o.guest_order_id = c.guest_order_id
  AND o.state = 'completed' AND c.state = 'open' AND c.balance_due = 0;

UPDATE rest.guest_check AS c
SET state = 'closed', closed_at = o.completed_at, printed_at = o.completed_at
FROM rest.guest_order AS o
WHERE c.business_id = %(business_id)s
  AND o.business_id = c.business_id AND o.guest_order_id = c.guest_order_id
  AND o.state = 'completed' AND c.state = 'paid';

-- Checks that were split and merged leave a trail.
INSERT INTO rest.check_transfer
    (business_id, check_transfer_id, from_check_id, from_staff_id, to_staff_id, transfer_kind,
     occurred_at, reason_note)
SELECT c.business_id, md5('handed over ' || c.guest_check_id)::uuid, c.guest_check_id,
       c.owner_staff_id, s.staff_member_id, 'change_server', c.opened_at + interval '20 minutes',
       'End of shift'
FROM (
    SELECT x.*, row_number() OVER (ORDER BY md5(x.guest_check_id::text)) AS place,
           count(*) OVER () AS checks
    FROM rest.guest_check AS x
    WHERE x.business_id = %(business_id)s
) AS c
CROSS JOIN (
    SELECT x.staff_member_id
    FROM rest.staff_member AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
    ORDER BY x.employee_number DESC
    LIMIT 1
) AS s
WHERE c.place <= greatest(1, c.checks / 20);

-- What a guest has spent, and how often.
UPDATE rest.guest_profile AS g
SET visit_count = n.visits, lifetime_spend = n.spent, last_visit_at = n.latest
FROM (
    SELECT c.guest_profile_id, count(*)::integer AS visits, sum(c.grand_total) AS spent,
           max(c.opened_at) AS latest
    FROM rest.guest_check AS c
    WHERE c.business_id = %(business_id)s AND c.state = 'closed'
    GROUP BY c.guest_profile_id
) AS n
WHERE g.business_id = %(business_id)s AND g.guest_profile_id = n.guest_profile_id;

-- The totals of a day are those of its checks.
UPDATE rest.business_day AS d
SET gross_sales = n.gross, net_sales = n.net, tax_collected = n.taxes, discount_total = n.discounts,
    tips_total = n.tips, cover_count = n.covers, order_count = n.orders, void_total = n.voided
FROM (
    SELECT o.business_day_id, sum(c.subtotal) AS gross, sum(c.subtotal - c.discount_total) AS net,
           sum(c.tax_total) AS taxes, sum(c.discount_total) AS discounts, sum(c.tip_total) AS tips,
           sum(o.guest_count) AS covers, count(*) AS orders,
           coalesce(sum(v.voided), 0) AS voided
    FROM rest.guest_order AS o
    JOIN rest.guest_check AS c
        ON c.business_id = o.business_id AND c.guest_order_id = o.guest_order_id
       AND c.state <> 'voided'
    LEFT JOIN LATERAL (
        SELECT sum(i.gross_amount) AS voided
        FROM rest.check_item AS i
        WHERE i.business_id = c.business_id AND i.guest_check_id = c.guest_check_id
          AND i.state = 'voided'
    ) AS v ON true
    WHERE o.business_id = %(business_id)s
    GROUP BY o.business_day_id
) AS n
WHERE d.business_id = %(business_id)s AND d.business_day_id = n.business_day_id;
