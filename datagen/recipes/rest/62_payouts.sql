SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- A statement a week and channel, Monday to Sunday, deposited on the Tuesday after.
INSERT INTO rest.channel_payout
    (business_id, channel_payout_id, sales_channel_id, payout_reference, period_start, period_end,
     currency, deposited_on, state)
SELECT n.business_id, md5('payout ' || n.week || n.sales_channel_id)::uuid, n.sales_channel_id,
       n.channel_code || '-' || to_char(n.week, 'YYYYMMDD'), n.week, n.week + 6, n.currency,
       n.week + 8, 'matching'
FROM (
    SELECT DISTINCT o.business_id, s.sales_channel_id, h.channel_code, l.currency,
           date_trunc('week', o.placed_at AT TIME ZONE l.timezone)::date AS week
    FROM rest.channel_order AS o
    JOIN rest.channel_store_link AS s
        ON s.business_id = o.business_id AND s.channel_store_link_id = o.channel_store_link_id
    JOIN rest.sales_channel AS h
        ON h.business_id = s.business_id AND h.sales_channel_id = s.sales_channel_id
    JOIN rest.location AS l ON l.business_id = s.business_id AND l.location_id = s.location_id
    WHERE o.business_id = %(business_id)s AND o.state = 'delivered'
) AS n
WHERE n.week + 8 <= %(as_of)s::date;

-- Two lines in a hundred are off, one order in two hundred is forgotten.
INSERT INTO rest.channel_payout_line
    (business_id, channel_payout_line_id, channel_payout_id, line_number, channel_order_id,
     guest_check_id, external_order_id, line_kind, food_sales, tax_amount, commission_amount,
     marketing_fee, adjustment_amount, net_amount, expected_net, match_state, matched_at)
SELECT n.business_id, md5('paid ' || e.kind || n.channel_order_id)::uuid, n.channel_payout_id,
       row_number() OVER (PARTITION BY n.channel_payout_id
                          ORDER BY n.placed_at, n.channel_order_id, e.kind),
       n.channel_order_id, n.guest_check_id, n.external_order_id, e.kind,
       CASE e.kind WHEN 'order' THEN n.paid_sales WHEN 'refund' THEN -6 ELSE 0 END,
       CASE WHEN e.kind = 'order' AND NOT n.is_lost THEN n.tax_by_channel ELSE 0 END,
       CASE WHEN e.kind = 'order' AND NOT n.is_lost THEN n.commission_estimate ELSE 0 END,
       CASE WHEN e.kind = 'order' AND NOT n.is_lost THEN n.marketing ELSE 0 END,
       CASE WHEN e.kind = 'order' AND n.is_off THEN 2.5 ELSE 0 END,
       f.net, f.expected,
       CASE WHEN n.is_lost AND e.kind = 'order' THEN 'missing_in_payout'
            WHEN abs(f.net - f.expected) > 0.05 THEN 'amount_variance' ELSE 'matched' END,
       n.deposited_on::timestamp AT TIME ZONE 'UTC'
FROM (
    SELECT o.*, p.channel_payout_id, p.deposited_on, c.guest_check_id,
           round(o.items_subtotal * s.marketing_fee_pct / 100, 2) AS marketing,
           v.place %% 200 = 7 AS is_lost, v.place %% 50 = 3 AS is_off, v.place,
           CASE WHEN v.place %% 200 = 7 THEN 0 ELSE o.items_subtotal END AS paid_sales,
           row_number() OVER (ORDER BY md5(o.channel_order_id::text)) AS turn
    FROM rest.channel_order AS o
    JOIN rest.channel_store_link AS s
        ON s.business_id = o.business_id AND s.channel_store_link_id = o.channel_store_link_id
    JOIN rest.location AS l ON l.business_id = s.business_id AND l.location_id = s.location_id
    JOIN rest.channel_payout AS p
        ON p.business_id = s.business_id AND p.sales_channel_id = s.sales_channel_id
       AND p.period_start
           = date_trunc('week', o.placed_at AT TIME ZONE l.timezone)::date
    JOIN rest.guest_check AS c
        ON c.business_id = o.business_id AND c.guest_order_id = o.guest_order_id
       AND c.check_number = '1'
    CROSS JOIN LATERAL (
        SELECT ('x' || substr(md5(o.channel_order_id || 'paid'), 1, 7))::bit(28)::integer AS place
    ) AS v
    WHERE o.business_id = %(business_id)s AND o.state = 'delivered'
) AS n
CROSS JOIN (VALUES ('order'), ('tip'), ('refund')) AS e (kind)
CROSS JOIN LATERAL (
    SELECT CASE e.kind WHEN 'tip' THEN n.guest_tip WHEN 'refund' THEN -6
                       ELSE CASE WHEN n.is_lost THEN 0
                                 ELSE n.items_subtotal - n.commission_estimate - n.marketing END
                            - CASE WHEN n.is_off THEN 2.5 ELSE 0 END END AS net,
           CASE e.kind WHEN 'tip' THEN n.guest_tip WHEN 'refund' THEN 0
                       ELSE n.items_subtotal - n.commission_estimate - n.marketing END AS expected
) AS f
WHERE e.kind = 'order' OR (e.kind = 'tip' AND n.guest_tip > 0)
   OR (e.kind = 'refund' AND (n.turn = 1 OR n.turn %% 25 = 0));

UPDATE rest.channel_payout AS p
SET gross_sales = n.sales, commission_total = n.commission, marketing_total = n.marketing,
    adjustment_total = n.other, tax_remitted_total = n.tax, tips_total = n.tips,
    net_payout = n.net, state = CASE WHEN n.is_clean THEN 'reconciled' ELSE p.state END
FROM (
    SELECT l.channel_payout_id, sum(l.food_sales) AS sales, sum(l.commission_amount) AS commission,
           sum(l.marketing_fee) AS marketing, sum(l.adjustment_amount) AS other,
           sum(l.tax_amount) AS tax, sum(l.net_amount) AS net,
           coalesce(sum(l.net_amount) FILTER (WHERE l.line_kind = 'tip'), 0) AS tips,
           bool_and(l.match_state = 'matched') AS is_clean
    FROM rest.channel_payout_line AS l
    WHERE l.business_id = %(business_id)s
    GROUP BY l.channel_payout_id
) AS n
WHERE p.business_id = %(business_id)s AND p.channel_payout_id = n.channel_payout_id;

-- Every refund that was charged is contested.
INSERT INTO rest.channel_order_dispute
    (business_id, channel_order_dispute_id, channel_order_id, channel_payout_line_id,
     opened_by_staff_id, dispute_kind, charged_amount, claimed_at, evidence_due_at, evidence_note,
     state, recovered_amount, resolved_at)
SELECT l.business_id, md5('dispute ' || l.channel_payout_line_id)::uuid, l.channel_order_id,
       l.channel_payout_line_id, m.staff_member_id,
       (ARRAY['missing_item', 'late', 'quality', 'never_arrived'])[1 + n.place %% 4],
       -l.net_amount, l.matched_at, l.matched_at + interval '7 days',
       CASE WHEN n.state <> 'open' THEN 'Photo of the sealed bag' END, n.state,
       CASE WHEN n.state = 'won' THEN -l.net_amount ELSE 0 END,
       CASE WHEN n.state IN ('won', 'lost')
            THEN least(l.matched_at + interval '5 days', %(as_of)s::timestamptz) END
FROM rest.channel_payout_line AS l
CROSS JOIN LATERAL (
    SELECT v.place, (ARRAY['won', 'lost', 'submitted', 'won', 'open'])[1 + v.place %% 5] AS state
    FROM (SELECT ('x' || substr(md5(l.channel_payout_line_id::text), 1, 7))::bit(28)::integer
                     AS place) AS v
) AS n
CROSS JOIN (
    SELECT x.staff_member_id
    FROM rest.staff_member AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
    ORDER BY x.employee_number
    LIMIT 1
) AS m
WHERE l.business_id = %(business_id)s AND l.line_kind = 'refund';
