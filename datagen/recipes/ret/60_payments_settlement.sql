SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- What was taken off a line, with the promotion or coupon behind it; without any, by a manager.
INSERT INTO ret.order_adjustment
    (business_id, order_adjustment_id, approved_by_user_id, sales_order_id, sales_order_line_id,
     promotion_id, coupon_id, adjustment_kind, label, amount, rate_pct, units_affected, funded_by,
     applied_at, created_at, updated_at)
SELECT l.business_id, md5('off ' || l.sales_order_line_id)::uuid,
       CASE WHEN w.kind = 'manual' THEN u.user_account_id END, l.sales_order_id,
       l.sales_order_line_id, CASE WHEN w.kind <> 'manual' THEN p.promotion_id END,
       CASE WHEN w.kind = 'coupon' THEN k.coupon_id END, w.kind,
       CASE WHEN w.kind = 'manual' THEN 'Discount by the manager' ELSE p.title END,
       -l.discount_amount,
       round(l.discount_amount * 100 / (l.quantity * l.unit_price), 0), l.quantity,
       CASE WHEN o.external_order_id IS NOT NULL THEN 'marketplace'
            WHEN l.place %% 7 = 0 THEN 'supplier' ELSE 'retailer' END,
       o.placed_at, o.placed_at, o.placed_at
FROM (
    SELECT x.*,
           ('x' || substr(md5('off ' || x.sales_order_line_id), 1, 7))::bit(28)::integer AS place
    FROM ret.sales_order_line AS x
    WHERE x.business_id = %(business_id)s AND x.discount_amount > 0
) AS l
JOIN ret.sales_order AS o
    ON o.business_id = l.business_id AND o.sales_order_id = l.sales_order_id
CROSS JOIN (
    SELECT x.user_account_id
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.status <> 'active', x.username
    LIMIT 1
) AS u
LEFT JOIN (
    SELECT x.promotion_id, x.title,
           row_number() OVER (ORDER BY x.promotion_id) - 1 AS place, count(*) OVER () AS promotions
    FROM ret.promotion AS x
    WHERE x.business_id = %(business_id)s AND x.state IN ('active', 'ended')
) AS p ON p.place = l.place %% p.promotions
LEFT JOIN (
    SELECT x.promotion_id, min(x.coupon_id::text)::uuid AS coupon_id
    FROM ret.coupon AS x
    WHERE x.business_id = %(business_id)s
    GROUP BY x.promotion_id
) AS k ON k.promotion_id = p.promotion_id
CROSS JOIN LATERAL (
    SELECT CASE WHEN p.promotion_id IS NULL OR l.place %% 20 = 9 THEN 'manual'
                WHEN k.coupon_id IS NOT NULL AND l.place %% 3 = 0 THEN 'coupon'
                ELSE 'promotion' END AS kind
) AS w;

-- Half of those who buy on the web save a card or wallet there; some cards have run out.
INSERT INTO ret.payment_token
    (business_id, payment_token_id, customer_id, provider, token_ref, method, card_brand,
     card_last4, expiry_month, expiry_year, is_default, network_token, created_via, state,
     created_at, updated_at)
SELECT c.business_id, md5('token ' || c.customer_id)::uuid, c.customer_id, 'northpay',
       'tok_' || substr(md5('token ' || c.customer_id), 1, 20), w.method,
       CASE WHEN w.method = 'card' THEN (ARRAY['visa', 'mastercard', 'amex'])[1 + c.place %% 3] END,
       CASE WHEN w.method = 'card' THEN lpad((c.place / 7 %% 10000)::text, 4, '0') END,
       CASE WHEN w.method = 'card' THEN 1 + c.place / 11 %% 12 END,
       CASE WHEN w.method = 'card' THEN extract(year FROM %(as_of)s)
                 + CASE WHEN w.is_old THEN -1 ELSE 1 + c.place / 3 %% 4 END END,
       NOT w.is_old, c.place %% 4 = 0, CASE WHEN c.place %% 5 = 0 THEN 'app' ELSE 'web' END,
       CASE WHEN w.is_old THEN 'expired' ELSE 'active' END, c.first_at, c.first_at
FROM (
    SELECT o.business_id, o.customer_id, min(o.placed_at) AS first_at,
           ('x' || substr(md5('saves ' || o.customer_id), 1, 7))::bit(28)::integer AS place,
           row_number() OVER (ORDER BY md5('saves ' || o.customer_id)) AS turn
    FROM ret.sales_order AS o
    WHERE o.business_id = %(business_id)s AND o.customer_id IS NOT NULL
    GROUP BY o.business_id, o.customer_id
) AS c
CROSS JOIN LATERAL (
    SELECT CASE WHEN c.place %% 6 = 5 THEN 'wallet' ELSE 'card' END AS method,
           c.place %% 6 <> 5 AND c.place / 6 %% 15 = 0 AS is_old
) AS w
WHERE c.place %% 2 = 0 OR c.turn = 1;

-- What a gift card or credit note paid is in its ledger; the rest is paid by card mostly.
INSERT INTO ret.payment
    (business_id, payment_id, sales_order_id, gift_card_id, store_credit_id, payment_number,
     tender, amount, captured_amount, currency, state, authorised_at, captured_at, created_at,
     updated_at)
SELECT o.business_id, md5('stored value for ' || o.sales_order_id)::uuid, o.sales_order_id,
       v.gift_card_id, v.store_credit_id, 'P-' || o.order_number || '-9',
       CASE WHEN v.gift_card_id IS NULL THEN 'store_credit' ELSE 'gift_card' END, v.amount,
       v.amount, o.currency, 'captured', o.placed_at, o.placed_at + interval '30 seconds',
       o.placed_at, o.placed_at + interval '30 seconds'
FROM ret.sales_order AS o
JOIN (
    SELECT e.*, row_number() OVER (PARTITION BY e.sales_order_id ORDER BY e.entry_id) AS choice
    FROM (
        SELECT x.sales_order_id, x.gift_card_id, NULL::uuid AS store_credit_id, -x.amount AS amount,
               x.gift_card_entry_id AS entry_id
        FROM ret.gift_card_entry AS x
        WHERE x.business_id = %(business_id)s AND x.entry_kind = 'redeem' AND x.amount < 0
          AND x.sales_order_id IS NOT NULL
        UNION ALL
        SELECT x.sales_order_id, NULL, x.store_credit_id, -x.amount, x.store_credit_entry_id
        FROM ret.store_credit_entry AS x
        WHERE x.business_id = %(business_id)s AND x.entry_kind = 'capture' AND x.amount < 0
          AND x.sales_order_id IS NOT NULL
    ) AS e
) AS v ON v.sales_order_id = o.sales_order_id AND v.choice = 1
WHERE o.business_id = %(business_id)s AND o.payment_state = 'paid' AND v.amount <= o.grand_total
  AND NOT EXISTS (SELECT FROM ret.layaway AS l
                  WHERE l.business_id = o.business_id AND l.sales_order_id = o.sales_order_id);

INSERT INTO ret.payment
    (business_id, payment_id, sales_order_id, register_session_id, payment_token_id,
     payment_number, tender, amount, captured_amount, amount_tendered, currency, card_brand,
     card_last4, entry_mode, state, authorised_at, captured_at, processor_reference,
     processing_fee, created_at, updated_at)
SELECT o.business_id, md5('payment of ' || o.sales_order_id)::uuid, o.sales_order_id,
       t.register_session_id,
       CASE WHEN t.register_session_id IS NULL AND w.tender = k.method THEN k.payment_token_id END,
       'P-' || o.order_number, w.tender, m.amount,
       CASE WHEN m.captured_at IS NOT NULL THEN m.amount ELSE 0 END,
       CASE WHEN w.tender = 'cash' THEN ceil(m.amount / b.note) * b.note END, o.currency,
       CASE WHEN w.tender = 'card'
            THEN CASE WHEN k.method = 'card' AND t.register_session_id IS NULL THEN k.card_brand
                      ELSE (ARRAY['visa', 'visa', 'mastercard', 'amex'])[1 + o.place %% 4] END END,
       CASE WHEN w.tender = 'card'
            THEN CASE WHEN k.method = 'card' AND t.register_session_id IS NULL THEN k.card_last4
                      ELSE lpad((o.place / 13 %% 10000)::text, 4, '0') END END,
       CASE WHEN w.tender NOT IN ('card', 'wallet') THEN NULL
            WHEN t.register_session_id IS NOT NULL
            THEN CASE WHEN o.place %% 20 < 11 OR w.tender = 'wallet' THEN 'contactless'
                      WHEN o.place %% 20 < 19 THEN 'chip' ELSE 'swiped' END
            WHEN w.tender = k.method THEN 'stored' ELSE 'online' END,
       CASE WHEN o.payment_state = 'unpaid' THEN 'failed'
            WHEN m.captured_at IS NULL THEN 'authorised' ELSE 'captured' END,
       CASE WHEN o.payment_state <> 'unpaid' AND w.tender <> 'cash'
            THEN o.placed_at + interval '5 seconds' END,
       m.captured_at,
       CASE WHEN w.tender = 'marketplace' THEN 'mp_' WHEN w.tender <> 'cash' THEN 'ch_' END
           || substr(md5('charge ' || o.sales_order_id), 1, 18),
       CASE WHEN m.captured_at IS NULL THEN 0
            WHEN w.tender IN ('card', 'wallet') THEN round(m.amount * 0.019 + 0.1, 2)
            WHEN w.tender = 'bnpl' THEN round(m.amount * 0.04, 2)
            WHEN w.tender = 'marketplace' THEN round(m.amount * coalesce(h.fee_pct, 12) / 100, 2)
            ELSE 0 END,
       o.placed_at, coalesce(m.captured_at, o.placed_at + interval '5 seconds')
FROM (
    SELECT x.*,
           ('x' || substr(md5('pays ' || x.sales_order_id), 1, 7))::bit(28)::integer AS place
    FROM ret.sales_order AS x
    WHERE x.business_id = %(business_id)s AND x.grand_total > 0
) AS o
JOIN ret.sales_channel AS h
    ON h.business_id = o.business_id AND h.sales_channel_id = o.sales_channel_id
LEFT JOIN ret.payment_token AS k
    ON k.business_id = o.business_id AND k.customer_id = o.customer_id AND k.state = 'active'
LEFT JOIN (
    SELECT x.sales_order_id, x.register_session_id, r.cash_enabled
    FROM ret.pos_transaction AS x
    JOIN ret.register_session AS s
        ON s.business_id = x.business_id AND s.register_session_id = x.register_session_id
    JOIN ret.register AS r ON r.business_id = s.business_id AND r.register_id = s.register_id
    WHERE x.business_id = %(business_id)s AND x.transaction_kind IN ('sale', 'exchange')
) AS t ON t.sales_order_id = o.sales_order_id
LEFT JOIN (
    SELECT e.sales_order_id, min(e.occurred_at) AS captured_at
    FROM ret.order_status_event AS e
    WHERE e.business_id = %(business_id)s AND e.aspect = 'payment' AND e.to_state = 'paid'
    GROUP BY e.sales_order_id
) AS c ON c.sales_order_id = o.sales_order_id
LEFT JOIN ret.payment AS v
    ON v.business_id = o.business_id AND v.sales_order_id = o.sales_order_id
CROSS JOIN LATERAL (
    SELECT o.grand_total - coalesce(v.captured_amount, 0) AS amount,
           CASE WHEN o.payment_state = 'paid'
                THEN coalesce(c.captured_at, o.placed_at + interval '5 seconds') END AS captured_at
) AS m
CROSS JOIN LATERAL (
    SELECT CASE WHEN o.external_order_id IS NOT NULL THEN 'marketplace'
                WHEN t.cash_enabled AND o.place %% 100 < 46 AND m.amount < 250 THEN 'cash'
                WHEN t.register_session_id IS NOT NULL
                THEN CASE WHEN o.place %% 100 < 90 THEN 'card' ELSE 'wallet' END
                WHEN k.method IS NOT NULL AND o.place %% 100 < 70 THEN k.method
                WHEN o.place %% 100 < 80 THEN 'card'
                WHEN o.place %% 100 < 87 THEN 'wallet'
                ELSE 'bnpl' END AS tender
) AS w
CROSS JOIN LATERAL (SELECT CASE WHEN o.place %% 3 = 0 THEN 20 ELSE 5 END AS note) AS b
WHERE m.amount > 0 AND (o.payment_state IN ('paid', 'authorised') OR o.place %% 2 = 0)
  AND NOT EXISTS (SELECT FROM ret.layaway AS l
                  WHERE l.business_id = o.business_id AND l.sales_order_id = o.sales_order_id);

-- A layaway is paid in parts, by card.
INSERT INTO ret.payment
    (business_id, payment_id, sales_order_id, layaway_id, payment_number, tender, amount,
     captured_amount, currency, card_brand, card_last4, entry_mode, state, authorised_at,
     captured_at, processor_reference, processing_fee, created_at, updated_at)
SELECT l.business_id, md5('part ' || p.number || l.layaway_id)::uuid, l.sales_order_id,
       l.layaway_id, 'P-' || l.layaway_number || '-' || p.number, 'card', p.amount, p.amount,
       o.currency, 'visa',
       lpad((('x' || substr(md5('card ' || l.layaway_id), 1, 7))::bit(28)::integer %% 10000)::text,
            4, '0'),
       'chip', 'captured', p.moment, p.moment,
       'ch_' || substr(md5('part ' || p.number || l.layaway_id), 1, 18),
       round(p.amount * 0.019 + 0.1, 2), p.moment, p.moment
FROM ret.layaway AS l
JOIN ret.sales_order AS o
    ON o.business_id = l.business_id AND o.sales_order_id = l.sales_order_id
JOIN (
    SELECT x.layaway_id, 0 AS number, x.deposit_amount AS amount, x.opened_at AS moment
    FROM ret.layaway AS x
    WHERE x.business_id = %(business_id)s
    UNION ALL
    SELECT i.layaway_id, i.instalment_no, i.paid_amount, i.paid_at
    FROM ret.layaway_instalment AS i
    WHERE i.business_id = %(business_id)s AND i.paid_amount > 0
) AS p ON p.layaway_id = l.layaway_id
WHERE l.business_id = %(business_id)s;

-- What was captured was paid; a layaway that runs is paid in part.
UPDATE ret.sales_order AS o
SET paid_total = n.paid,
    payment_state = CASE WHEN n.paid >= o.grand_total THEN 'paid' ELSE 'partly_paid' END
FROM (
    SELECT p.sales_order_id, sum(p.captured_amount) AS paid
    FROM ret.payment AS p
    WHERE p.business_id = %(business_id)s
    GROUP BY p.sales_order_id
) AS n
WHERE o.business_id = %(business_id)s AND o.sales_order_id = n.sales_order_id
  AND n.paid > 0 AND o.paid_total <> n.paid;

INSERT INTO ret.order_status_event
    (business_id, order_status_event_id, sales_order_id, occurred_at, aspect, from_state, to_state,
     actor_kind, created_at)
SELECT o.business_id, md5('event partly_paid ' || o.sales_order_id)::uuid, o.sales_order_id,
       l.opened_at, 'payment', 'authorised', 'partly_paid', 'system', l.opened_at
FROM ret.sales_order AS o
JOIN ret.layaway AS l
    ON l.business_id = o.business_id AND l.sales_order_id = o.sales_order_id AND l.state = 'open'
WHERE o.business_id = %(business_id)s AND o.payment_state = 'partly_paid';

-- Every call to the processor; four cards in a hundred are declined at first.
INSERT INTO ret.payment_attempt
    (business_id, payment_attempt_id, payment_id, attempted_at, operation, amount, outcome,
     response_code, decline_reason, three_ds_result, latency_ms, gateway_reference, payload,
     created_at)
SELECT p.business_id, md5('attempt ' || a.operation || a.outcome || p.payment_id)::uuid,
       p.payment_id, a.moment, a.operation, p.amount, a.outcome,
       CASE a.outcome WHEN 'approved' THEN '00' ELSE (ARRAY['51', '05', '14'])[1 + p.place %% 3]
                      END,
       CASE WHEN a.outcome = 'declined'
            THEN (ARRAY['insufficient funds', 'do not honor', 'invalid number'])[1 + p.place %% 3]
            END,
       CASE WHEN p.register_session_id IS NULL AND a.operation = 'authorise'
            THEN CASE WHEN p.place %% 4 = 0 THEN 'challenge passed' ELSE 'frictionless' END END,
       240 + p.place %% 1300, p.processor_reference,
       jsonb_build_object('network', coalesce(p.card_brand, p.tender)), a.moment
FROM (
    SELECT x.*, coalesce(x.authorised_at, x.created_at) AS asked_at,
           ('x' || substr(md5('attempt ' || x.payment_id), 1, 7))::bit(28)::integer AS place
    FROM ret.payment AS x
    WHERE x.business_id = %(business_id)s AND x.tender IN ('card', 'wallet', 'bnpl')
) AS p
CROSS JOIN LATERAL (VALUES
    ('authorise', 'declined', p.asked_at - interval '2 seconds',
     p.state = 'failed' OR p.place / 100 %% 25 = 0),
    ('authorise', 'approved', p.asked_at, p.state <> 'failed'),
    ('capture', 'approved', p.captured_at, p.captured_amount > 0))
    AS a (operation, outcome, moment, happened)
WHERE a.happened;

-- A few charges are disputed; those of long ago were decided.
INSERT INTO ret.payment_dispute
    (business_id, payment_dispute_id, payment_id, dispute_reference, reason, disputed_amount,
     opened_at, evidence_due_at, submitted_at, state, fee_amount, closed_at, created_at,
     updated_at)
SELECT p.business_id, md5('dispute ' || p.payment_id)::uuid, p.payment_id,
       'dp_' || substr(md5('dispute ' || p.payment_id), 1, 16),
       (ARRAY['fraud', 'not_received', 'not_as_described', 'duplicate', 'credit_not_processed'])
           [1 + p.turn %% 5],
       p.captured_amount, s.opened_at, s.opened_at + interval '14 days',
       CASE WHEN s.state <> 'evidence_required' THEN s.opened_at + interval '4 days' END,
       s.state, 15, CASE WHEN s.state IN ('won', 'lost') THEN s.opened_at + interval '25 days' END,
       s.opened_at, s.opened_at
FROM (
    SELECT x.*, row_number() OVER (ORDER BY md5('dispute ' || x.payment_id)) AS turn,
           count(*) OVER () AS payments
    FROM ret.payment AS x
    WHERE x.business_id = %(business_id)s AND x.tender IN ('card', 'wallet')
      AND x.captured_at < %(as_of)s - interval '8 days' AND x.layaway_id IS NULL
) AS p
CROSS JOIN LATERAL (
    SELECT m.opened_at,
           CASE WHEN m.opened_at < %(as_of)s - interval '25 days'
                THEN CASE WHEN p.turn %% 3 = 0 THEN 'won' ELSE 'lost' END
                WHEN m.opened_at < %(as_of)s - interval '4 days' THEN 'processing'
                ELSE 'evidence_required' END AS state
    FROM (SELECT p.captured_at + interval '6 days' AS opened_at) AS m
) AS s
WHERE p.turn <= greatest(2, p.payments * 3 / 1000);

-- The processor pays out two days after, a marketplace after a week.
INSERT INTO ret.processor_payout
    (business_id, processor_payout_id, sales_channel_id, payout_reference, provider, period_start,
     period_end, currency, arrived_on, bank_reference, state, created_at, updated_at)
SELECT n.business_id, md5('payout ' || n.provider || n.ends_on)::uuid, n.sales_channel_id,
       'po_' || substr(md5('payout ' || n.provider || n.ends_on || n.business_id), 1, 14),
       n.provider, n.starts_on, n.ends_on, n.currency,
       CASE WHEN n.ends_on + 2 <= %(as_of)s::date THEN n.ends_on + 2 END,
       CASE WHEN n.ends_on + 2 <= %(as_of)s::date
            THEN 'WIRE' || upper(substr(md5('wire ' || n.provider || n.ends_on), 1, 8)) END,
       CASE WHEN n.ends_on + 2 <= %(as_of)s::date THEN 'paid'
            WHEN n.ends_on + 1 <= %(as_of)s::date THEN 'sent' ELSE 'expected' END,
       least((n.ends_on + 1)::timestamptz, %(as_of)s),
       least((n.ends_on + 1)::timestamptz, %(as_of)s)
FROM (
    SELECT DISTINCT p.business_id, p.currency,
           CASE p.tender WHEN 'marketplace' THEN h.channel_code WHEN 'bnpl' THEN 'splitly'
                         ELSE 'northpay' END AS provider,
           CASE WHEN p.tender = 'marketplace' THEN o.sales_channel_id END AS sales_channel_id,
           CASE WHEN p.tender IN ('marketplace', 'bnpl')
                THEN date_trunc('week', p.captured_at, 'UTC')::date
                ELSE (p.captured_at AT TIME ZONE 'UTC')::date END AS starts_on,
           CASE WHEN p.tender IN ('marketplace', 'bnpl')
                THEN date_trunc('week', p.captured_at, 'UTC')::date + 6
                ELSE (p.captured_at AT TIME ZONE 'UTC')::date END AS ends_on
    FROM ret.payment AS p
    JOIN ret.sales_order AS o
        ON o.business_id = p.business_id AND o.sales_order_id = p.sales_order_id
    JOIN ret.sales_channel AS h
        ON h.business_id = o.business_id AND h.sales_channel_id = o.sales_channel_id
    WHERE p.business_id = %(business_id)s AND p.captured_amount > 0
      AND p.tender IN ('card', 'wallet', 'bnpl', 'marketplace')
) AS n;

-- One charge in a hundred costs more than was agreed; the first one always, to have one.
INSERT INTO ret.processor_payout_entry
    (business_id, processor_payout_entry_id, processor_payout_id, payment_id, entry_number,
     entry_kind, gross_amount, fee_amount, occurred_on, processor_reference, expected_amount,
     match_state, created_at, updated_at)
SELECT p.business_id, md5('entry ' || p.payment_id)::uuid, y.processor_payout_id, p.payment_id,
       lpad(row_number() OVER (PARTITION BY y.processor_payout_id
                               ORDER BY p.captured_at, p.payment_id)::text, 4, '0'),
       'charge', p.captured_amount,
       p.processing_fee + CASE WHEN p.turn %% 100 = 1 THEN 0.25 ELSE 0 END, p.captured_on,
       p.processor_reference,
       CASE WHEN y.arrived_on IS NULL THEN 0 ELSE p.captured_amount - p.processing_fee END,
       CASE WHEN y.arrived_on IS NULL THEN 'unmatched'
            WHEN p.turn %% 100 = 1 THEN 'variance' ELSE 'matched' END,
       y.created_at, y.created_at
FROM (
    SELECT x.*, (x.captured_at AT TIME ZONE 'UTC')::date AS captured_on,
           CASE x.tender WHEN 'marketplace' THEN h.channel_code WHEN 'bnpl' THEN 'splitly'
                         ELSE 'northpay' END AS provider,
           CASE WHEN x.tender IN ('marketplace', 'bnpl')
                THEN date_trunc('week', x.captured_at, 'UTC')::date + 6
                ELSE (x.captured_at AT TIME ZONE 'UTC')::date END AS ends_on,
           row_number() OVER (ORDER BY x.captured_at, x.payment_id) AS turn
    FROM ret.payment AS x
    JOIN ret.sales_order AS o
        ON o.business_id = x.business_id AND o.sales_order_id = x.sales_order_id
    JOIN ret.sales_channel AS h
        ON h.business_id = o.business_id AND h.sales_channel_id = o.sales_channel_id
    WHERE x.business_id = %(business_id)s AND x.captured_amount > 0
      AND x.tender IN ('card', 'wallet', 'bnpl', 'marketplace')
) AS p
JOIN ret.processor_payout AS y
    ON y.business_id = p.business_id AND y.provider = p.provider AND y.period_end = p.ends_on;

-- The bank takes back what is disputed, and the processor asks for its fees.
INSERT INTO ret.processor_payout_entry
    (business_id, processor_payout_entry_id, processor_payout_id, payment_id, payment_dispute_id,
     entry_number, entry_kind, gross_amount, fee_amount, occurred_on, processor_reference,
     expected_amount, match_state, created_at, updated_at)
SELECT d.business_id, md5('entry ' || k.kind || d.payment_dispute_id)::uuid, y.processor_payout_id,
       d.payment_id, d.payment_dispute_id,
       k.prefix || substr(md5(d.payment_dispute_id::text), 1, 6), k.kind, k.gross, k.fee,
       y.period_end, d.dispute_reference,
       CASE WHEN y.arrived_on IS NULL THEN 0 ELSE k.gross - k.fee END,
       CASE WHEN y.arrived_on IS NULL THEN 'unmatched' ELSE 'matched' END, y.created_at,
       y.created_at
FROM ret.payment_dispute AS d
CROSS JOIN LATERAL (VALUES
    ('dispute', 'D', -d.disputed_amount, d.fee_amount, d.opened_at, true),
    ('dispute_reversal', 'R', d.disputed_amount, 0, d.closed_at, d.state = 'won'))
    AS k (kind, prefix, gross, fee, moment, happened)
JOIN (
    SELECT x.*, lag(x.period_end) OVER (ORDER BY x.period_end) AS before
    FROM ret.processor_payout AS x
    WHERE x.business_id = %(business_id)s AND x.provider = 'northpay'
) AS y ON (k.moment AT TIME ZONE 'UTC')::date <= y.period_end
      AND (y.before IS NULL OR (k.moment AT TIME ZONE 'UTC')::date > y.before)
WHERE d.business_id = %(business_id)s AND k.happened;

INSERT INTO ret.processor_payout_entry
    (business_id, processor_payout_entry_id, processor_payout_id, entry_number, entry_kind,
     gross_amount, occurred_on, processor_reference, expected_amount, match_state, created_at,
     updated_at)
SELECT y.business_id, md5('fee ' || y.processor_payout_id)::uuid, y.processor_payout_id, 'F0001',
       'fee', -19, y.period_end, 'monthly fee', CASE WHEN y.arrived_on IS NULL THEN 0 ELSE -19 END,
       CASE WHEN y.arrived_on IS NULL THEN 'unmatched' ELSE 'matched' END, y.created_at,
       y.created_at
FROM (
    SELECT x.*, row_number() OVER (PARTITION BY date_trunc('month', x.period_end::timestamp)
                                   ORDER BY x.period_end) AS turn
    FROM ret.processor_payout AS x
    WHERE x.business_id = %(business_id)s AND x.provider = 'northpay'
) AS y
WHERE y.turn = 1;

-- A return for each month and jurisdiction: those that were due are paid.
INSERT INTO ret.tax_filing
    (business_id, tax_filing_id, filed_by_user_id, tax_jurisdiction_id, period_start, period_end,
     filing_frequency, gross_sales, exempt_sales, tax_collected, marketplace_collected,
     vendor_discount, due_on, filed_at, paid_at, confirmation_number, state, created_at,
     updated_at)
SELECT n.business_id, md5('filing ' || n.tax_jurisdiction_id || n.month)::uuid,
       CASE WHEN n.is_paid THEN u.user_account_id END, n.tax_jurisdiction_id, n.month,
       (n.month + interval '1 month - 1 day')::date, 'monthly',
       CASE WHEN n.is_over THEN n.gross ELSE 0 END, CASE WHEN n.is_over THEN n.exempt ELSE 0 END,
       CASE WHEN n.is_over THEN n.own ELSE 0 END, CASE WHEN n.is_over THEN n.others ELSE 0 END,
       CASE WHEN n.is_over THEN round(n.own * 0.0175, 2) ELSE 0 END, n.due_on,
       CASE WHEN n.is_paid THEN n.due_on - interval '4 days' + interval '15 hours' END,
       CASE WHEN n.is_paid THEN n.due_on - interval '2 days' + interval '15 hours' END,
       CASE WHEN n.is_paid
            THEN upper(substr(md5('filed ' || n.tax_jurisdiction_id || n.month), 1, 10)) END,
       CASE WHEN n.is_paid THEN 'paid' WHEN n.is_over THEN 'calculated' ELSE 'open' END,
       n.first_at, n.first_at
FROM (
    SELECT g.*, g.due_on <= %(as_of)s::date AS is_paid,
           (g.month + interval '1 month')::timestamp AT TIME ZONE g.time_zone <= %(as_of)s
               AS is_over
    FROM (
        SELECT t.business_id, t.tax_jurisdiction_id, m.month, m.time_zone,
               (m.month + interval '1 month 19 days')::date AS due_on,
               sum(t.taxable_amount) AS gross,
               coalesce(sum(t.taxable_amount) FILTER (WHERE t.is_exempt), 0) AS exempt,
               coalesce(sum(t.tax_amount) FILTER (WHERE t.collected_by = 'retailer'), 0) AS own,
               coalesce(sum(t.tax_amount) FILTER (WHERE t.collected_by = 'marketplace'), 0)
                   AS others,
               min(o.placed_at) AS first_at
        FROM ret.order_tax_line AS t
        JOIN ret.sales_order AS o
            ON o.business_id = t.business_id AND o.sales_order_id = t.sales_order_id
           AND o.state NOT IN ('pending', 'cancelled')
        JOIN tenant_mgmt.business AS b ON b.business_id = t.business_id
        CROSS JOIN LATERAL (
            SELECT date_trunc('month', o.placed_at AT TIME ZONE b.time_zone)::date AS month,
                   b.time_zone
        ) AS m
        WHERE t.business_id = %(business_id)s
        GROUP BY t.business_id, t.tax_jurisdiction_id, m.month, m.time_zone
    ) AS g
) AS n
CROSS JOIN (
    SELECT x.user_account_id
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.status <> 'active', x.username
    LIMIT 1
) AS u;
