SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- A register that sold something had a session that day, from half an hour before the doors open;
-- those of today are still open.
INSERT INTO ret.register_session
    (business_id, register_session_id, opened_by_user_id, register_id, session_number,
     business_date, opened_at, opening_float, is_blind_close, state, closed_at, closed_by_user_id,
     counted_cash, created_at, updated_at)
SELECT n.business_id, md5('session ' || n.register_id || n.day)::uuid, n.opener, n.register_id,
       to_char(n.day, 'YYYYMMDD') || '-1', n.day,
       n.first_at - interval '20 minutes' - n.place %% 12 * interval '1 minute',
       CASE WHEN n.cash_enabled THEN 200 ELSE 0 END, n.place %% 3 = 0,
       CASE WHEN n.is_over THEN 'closed' ELSE 'open' END,
       CASE WHEN n.is_over THEN n.shut_at END, CASE WHEN n.is_over THEN n.opener END,
       CASE WHEN n.is_over THEN CASE WHEN n.cash_enabled THEN 200 ELSE 0 END END,
       n.first_at - interval '32 minutes',
       CASE WHEN n.is_over THEN n.shut_at ELSE n.first_at - interval '32 minutes' END
FROM (
    SELECT g.*, g.shut_at <= %(as_of)s AS is_over
    FROM (
        SELECT t.business_id, t.register_id, t.day, t.cash_enabled, min(t.placed_at) AS first_at,
               (array_agg(t.cashier ORDER BY t.placed_at, t.sales_order_id))[1] AS opener,
               (t.day + time '20:20') AT TIME ZONE t.timezone
                   + h.place %% 30 * interval '1 minute' AS shut_at,
               h.place
    FROM (
        SELECT o.business_id, o.sales_order_id, o.placed_at, r.register_id, r.cash_enabled,
               r.timezone, (o.placed_at AT TIME ZONE r.timezone)::date AS day,
               coalesce(o.sold_by_user_id, u.user_account_id) AS cashier
        FROM ret.sales_order AS o
        JOIN (
            SELECT x.register_id, x.location_id, x.cash_enabled, coalesce(l.timezone, 'UTC')
                       AS timezone,
                   row_number() OVER (PARTITION BY x.location_id ORDER BY x.register_code) - 1
                       AS place,
                   count(*) OVER (PARTITION BY x.location_id) AS registers
            FROM ret.register AS x
            JOIN ret.location AS l
                ON l.business_id = x.business_id AND l.location_id = x.location_id
            WHERE x.business_id = %(business_id)s
        ) AS r ON r.location_id = o.sold_location_id
              AND r.place = ('x' || substr(md5('till ' || o.sales_order_id), 1, 7))
                            ::bit(28)::integer %% r.registers
        CROSS JOIN (
            SELECT x.user_account_id
            FROM user_mgmt.user_account AS x
            WHERE x.business_id = %(business_id)s
            ORDER BY x.status <> 'active', x.username
            LIMIT 1
        ) AS u
        WHERE o.business_id = %(business_id)s AND o.order_kind IN ('sale', 'exchange')
    ) AS t
        CROSS JOIN LATERAL (
            SELECT ('x' || substr(md5('session ' || t.register_id || t.day), 1, 7))::bit(28)
                       ::integer AS place
        ) AS h
        GROUP BY t.business_id, t.register_id, t.day, t.cash_enabled, t.timezone, h.place
    ) AS g
) AS n;

-- Where nobody sold today yet, the first register of the store has just been opened.
INSERT INTO ret.register_session
    (business_id, register_session_id, opened_by_user_id, register_id, session_number,
     business_date, opened_at, opening_float, created_at, updated_at)
SELECT r.business_id, md5('opens ' || r.register_id)::uuid, u.user_account_id, r.register_id,
       to_char((%(as_of)s AT TIME ZONE r.timezone)::date, 'YYYYMMDD') || '-2',
       (%(as_of)s AT TIME ZONE r.timezone)::date, %(as_of)s - interval '20 minutes',
       CASE WHEN r.cash_enabled THEN 200 ELSE 0 END, %(as_of)s - interval '20 minutes',
       %(as_of)s - interval '20 minutes'
FROM (
    SELECT x.*, coalesce(l.timezone, 'UTC') AS timezone,
           row_number() OVER (PARTITION BY x.location_id ORDER BY x.register_code) AS place
    FROM ret.register AS x
    JOIN ret.location AS l ON l.business_id = x.business_id AND l.location_id = x.location_id
    WHERE x.business_id = %(business_id)s AND x.status <> 'retired'
) AS r
CROSS JOIN (
    SELECT x.user_account_id
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.status <> 'active', x.username
    LIMIT 1
) AS u
WHERE r.place = 1
  AND NOT EXISTS (SELECT FROM ret.register_session AS s
                  WHERE s.business_id = r.business_id AND s.register_id = r.register_id
                    AND s.state = 'open');

-- Every till sale has its receipt; one in fifty was sold while the line was down.
INSERT INTO ret.pos_transaction
    (business_id, pos_transaction_id, cashier_user_id, register_session_id, sales_order_id,
     customer_id, receipt_number, transaction_kind, business_date, started_at, completed_at,
     item_count, gross_total, discount_total, tax_total, net_total, scan_seconds, is_offline,
     synced_at, receipt_delivery, created_at, updated_at)
SELECT t.business_id, md5('receipt ' || t.sales_order_id)::uuid,
       coalesce(t.sold_by_user_id, t.opened_by_user_id), t.register_session_id, t.sales_order_id,
       t.customer_id,
       t.register_code || '-' || lpad(row_number() OVER (PARTITION BY t.register_id
                                                         ORDER BY t.placed_at, t.sales_order_id)
                                      ::text, 8, '0'),
       t.order_kind, t.business_date, t.placed_at - t.seconds * interval '1 second',
       t.placed_at + interval '40 seconds', t.items, t.subtotal, t.discount_total, t.tax_total,
       t.subtotal - t.discount_total + t.tax_total, t.seconds, t.place %% 50 = 0,
       CASE WHEN t.place %% 50 = 0
            THEN least(t.placed_at + (20 + t.place %% 90) * interval '1 minute', %(as_of)s) END,
       CASE WHEN t.place %% 20 < 10 THEN 'print'
            WHEN t.customer_id IS NOT NULL AND t.place %% 20 < 17 THEN 'email'
            WHEN t.customer_id IS NOT NULL AND t.place %% 20 = 17 THEN 'both' ELSE 'none' END,
       t.placed_at, t.placed_at + interval '40 seconds'
FROM (
    SELECT o.*, s.register_session_id, s.opened_by_user_id, s.business_date, r.register_id,
           r.register_code, ceil(n.items)::integer AS items,
           (12 + 4 * n.items + h.place %% 30)::integer AS seconds, h.place
    FROM ret.sales_order AS o
    CROSS JOIN LATERAL (
        SELECT ('x' || substr(md5('receipt ' || o.sales_order_id), 1, 7))::bit(28)::integer
                   AS place
    ) AS h
    JOIN (
        SELECT x.register_id, x.location_id, x.register_code,
               coalesce(l.timezone, 'UTC') AS timezone,
               row_number() OVER (PARTITION BY x.location_id ORDER BY x.register_code) - 1
                   AS place,
               count(*) OVER (PARTITION BY x.location_id) AS registers
        FROM ret.register AS x
        JOIN ret.location AS l
            ON l.business_id = x.business_id AND l.location_id = x.location_id
        WHERE x.business_id = %(business_id)s
    ) AS r ON r.location_id = o.sold_location_id
          AND r.place = ('x' || substr(md5('till ' || o.sales_order_id), 1, 7))::bit(28)::integer
                        %% r.registers
    JOIN ret.register_session AS s
        ON s.business_id = o.business_id AND s.register_id = r.register_id
       AND s.business_date = (o.placed_at AT TIME ZONE r.timezone)::date
       AND s.session_number LIKE '%%-1'
    JOIN (
        SELECT l.sales_order_id, sum(l.quantity) AS items
        FROM ret.sales_order_line AS l
        WHERE l.business_id = %(business_id)s
        GROUP BY l.sales_order_id
    ) AS n ON n.sales_order_id = o.sales_order_id
    WHERE o.business_id = %(business_id)s AND o.order_kind IN ('sale', 'exchange')
) AS t;

UPDATE ret.register AS r
SET receipt_sequence = n.receipts
FROM (
    SELECT s.register_id, count(*) AS receipts
    FROM ret.pos_transaction AS t
    JOIN ret.register_session AS s
        ON s.business_id = t.business_id AND s.register_session_id = t.register_session_id
    WHERE t.business_id = %(business_id)s
    GROUP BY s.register_id
) AS n
WHERE r.business_id = %(business_id)s AND r.register_id = n.register_id
  AND r.receipt_sequence < n.receipts;

-- A drawer is opened to give change, somebody is trained, a basket is given up.
INSERT INTO ret.pos_transaction
    (business_id, pos_transaction_id, cashier_user_id, register_session_id, receipt_number,
     transaction_kind, business_date, started_at, completed_at, item_count, gross_total,
     net_total, receipt_delivery, voided_at, created_at, updated_at)
SELECT s.business_id, md5(k.kind || s.register_session_id)::uuid, s.opened_by_user_id,
       s.register_session_id, upper(left(k.kind, 1)) || to_char(s.business_date, 'YYMMDD'),
       k.kind, s.business_date, k.moment, k.moment + interval '30 seconds',
       CASE k.kind WHEN 'no_sale' THEN 0 ELSE 1 + s.place %% 3 END,
       CASE k.kind WHEN 'no_sale' THEN 0 ELSE 12.99 * (1 + s.place %% 3) END,
       CASE k.kind WHEN 'no_sale' THEN 0 ELSE 12.99 * (1 + s.place %% 3) END, 'none',
       CASE WHEN k.kind = 'void' THEN k.moment + interval '25 seconds' END, k.moment, k.moment
FROM (
    SELECT x.*,
           ('x' || substr(md5('extra ' || x.register_session_id), 1, 7))::bit(28)::integer AS place
    FROM ret.register_session AS x
    WHERE x.business_id = %(business_id)s
) AS s
CROSS JOIN LATERAL (VALUES ('no_sale', 3, 9), ('void', 11, 7), ('training', 60, 5))
    AS v (kind, rare, minutes)
CROSS JOIN LATERAL (
    SELECT v.kind, s.opened_at + (v.minutes + s.place %% 8) * interval '1 minute' AS moment
) AS k
WHERE s.place %% v.rare = 0;

-- The tape: everything is scanned, some is keyed, taken off again or sold for less.
INSERT INTO ret.pos_journal_event
    (business_id, pos_journal_event_id, actor_user_id, register_session_id, occurred_at,
     event_kind, receipt_number, barcode, quantity, amount, approver_name, duration_ms, payload,
     created_at)
SELECT t.business_id, md5(e.kind || l.sales_order_line_id)::uuid, t.cashier_user_id,
       t.register_session_id, e.moment, e.kind, t.receipt_number,
       CASE WHEN e.kind IN ('scan', 'manual_key', 'return_scan', 'line_void')
            THEN coalesce(b.barcode, l.sku_sold) END,
       CASE WHEN e.kind IN ('scan', 'manual_key', 'line_void') THEN l.quantity END,
       CASE e.kind WHEN 'price_override' THEN round(l.quantity * (l.list_price - l.unit_price), 2)
                   ELSE round(l.quantity * l.unit_price, 2) END,
       CASE WHEN e.kind = 'price_override' THEN u.display_name END,
       300 + l.place %% 900, jsonb_build_object('line', l.line_number), e.moment
FROM (
    SELECT x.*,
           ('x' || substr(md5('tape ' || x.sales_order_line_id), 1, 7))::bit(28)::integer AS place
    FROM ret.sales_order_line AS x
    WHERE x.business_id = %(business_id)s
) AS l
JOIN ret.pos_transaction AS t
    ON t.business_id = l.business_id AND t.sales_order_id = l.sales_order_id
LEFT JOIN (
    SELECT x.product_variant_id, min(x.barcode) AS barcode
    FROM ret.variant_barcode AS x
    WHERE x.business_id = %(business_id)s AND x.is_primary
    GROUP BY x.product_variant_id
) AS b ON b.product_variant_id = l.product_variant_id
CROSS JOIN (
    SELECT x.display_name
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.status <> 'active', x.username
    LIMIT 1
) AS u
CROSS JOIN LATERAL (
    SELECT v.kind, t.started_at + (l.line_number * 3 + v.later) * interval '1 second' AS moment
    FROM (VALUES ('scan', 0, l.place %% 25 <> 1), ('manual_key', 0, l.place %% 25 = 1),
                 ('line_void', 2, l.place %% 60 = 2),
                 ('price_override', 1, l.price_source = 'override'),
                 ('coupon', 1, l.discount_amount > 0 AND l.place %% 3 = 0),
                 ('age_check', 1, l.place %% 150 = 3)) AS v (kind, later, happened)
    WHERE v.happened
) AS e;

INSERT INTO ret.pos_journal_event
    (business_id, pos_journal_event_id, actor_user_id, register_session_id, occurred_at,
     event_kind, receipt_number, amount, duration_ms, created_at)
SELECT t.business_id, md5(e.kind || t.pos_transaction_id)::uuid, t.cashier_user_id,
       t.register_session_id, t.completed_at + e.later * interval '1 second', e.kind,
       t.receipt_number, CASE WHEN e.kind = 'tender' THEN t.net_total END,
       1500 + t.place %% 9000, t.completed_at + e.later * interval '1 second'
FROM (
    SELECT x.*,
           ('x' || substr(md5('tape ' || x.pos_transaction_id), 1, 7))::bit(28)::integer AS place
    FROM ret.pos_transaction AS x
    WHERE x.business_id = %(business_id)s
) AS t
CROSS JOIN LATERAL (VALUES
    ('tender', -8, t.sales_order_id IS NOT NULL),
    ('drawer_open', -6, t.transaction_kind = 'no_sale'),
    ('assist_request', -20, t.sales_order_id IS NOT NULL AND t.place %% 40 = 0),
    ('receipt_reprint', 60, t.sales_order_id IS NOT NULL AND t.place %% 70 = 1))
    AS e (kind, later, happened)
WHERE e.happened;

-- Some sales were set aside for six weeks before they were collected.
INSERT INTO ret.layaway
    (business_id, layaway_id, customer_id, sales_order_id, location_id, layaway_number, opened_at,
     total_amount, deposit_amount, balance_amount, fee_amount, instalment_count, final_due_on,
     state, closed_at, created_at, updated_at)
SELECT o.business_id, md5('layaway ' || o.sales_order_id)::uuid, o.customer_id, o.sales_order_id,
       o.sold_location_id, 'LA-' || lpad(o.place::text, 5, '0'),
       o.placed_at - interval '42 days', o.grand_total, round(o.grand_total * 0.2, 2), 0, 0, 3,
       o.placed_at::date, 'collected', o.placed_at + interval '1 minute',
       o.placed_at - interval '42 days', o.placed_at + interval '1 minute'
FROM (
    SELECT x.*, row_number() OVER (ORDER BY md5('layaway ' || x.sales_order_id)) AS place,
           count(*) OVER () AS sales
    FROM ret.sales_order AS x
    WHERE x.business_id = %(business_id)s AND x.order_kind = 'sale' AND x.customer_id IS NOT NULL
      AND x.grand_total > 25 AND x.payment_state = 'paid'
      -- What a card or credit paid at once is no layaway.
      AND NOT EXISTS (SELECT FROM ret.gift_card_entry AS e
                      WHERE e.business_id = x.business_id AND e.sales_order_id = x.sales_order_id)
      AND NOT EXISTS (SELECT FROM ret.store_credit_entry AS e
                      WHERE e.business_id = x.business_id AND e.sales_order_id = x.sales_order_id)
) AS o
WHERE o.place <= greatest(1, o.sales / 120);

-- Of those that wait some are held against a deposit.
INSERT INTO ret.layaway
    (business_id, layaway_id, customer_id, sales_order_id, location_id, layaway_number, opened_at,
     total_amount, deposit_amount, balance_amount, fee_amount, instalment_count, final_due_on,
     state, created_at, updated_at)
SELECT o.business_id, md5('layaway ' || o.sales_order_id)::uuid, o.customer_id, o.sales_order_id,
       o.sold_location_id, 'LA-' || lpad((50000 + o.place)::text, 5, '0'),
       o.placed_at + interval '1 hour', o.grand_total, round(o.grand_total * 0.2, 2),
       o.grand_total - round(o.grand_total * 0.2, 2), 0, 3, o.placed_at::date + 42, 'open',
       o.placed_at + interval '1 hour', o.placed_at + interval '1 hour'
FROM (
    SELECT x.*, row_number() OVER (ORDER BY md5('layaway ' || x.sales_order_id)) AS place
    FROM ret.sales_order AS x
    WHERE x.business_id = %(business_id)s AND x.state = 'on_hold'
      AND x.customer_id IS NOT NULL AND x.sold_location_id IS NOT NULL
      AND x.grand_total > 25 AND x.payment_state = 'authorised'
      AND x.placed_at < %(as_of)s - interval '2 hours'
) AS o;

INSERT INTO ret.layaway_instalment
    (business_id, layaway_instalment_id, layaway_id, pos_transaction_id, instalment_no, due_on,
     due_amount, paid_amount, paid_at, reminder_sent_at, state, created_at, updated_at)
SELECT l.business_id, md5('instalment ' || n.number || l.layaway_id)::uuid, l.layaway_id,
       CASE WHEN n.number = 3 THEN t.pos_transaction_id END, n.number,
       (l.opened_at + n.number * interval '14 days')::date, p.due,
       CASE WHEN l.state = 'collected' THEN p.due ELSE 0 END,
       CASE WHEN l.state = 'collected' THEN l.opened_at + n.number * interval '14 days' END,
       CASE WHEN l.state = 'collected'
            THEN l.opened_at + n.number * interval '14 days' - interval '3 days' END,
       CASE WHEN l.state = 'collected' THEN 'paid' ELSE 'due' END,
       l.opened_at,
       CASE WHEN l.state = 'collected' THEN l.opened_at + n.number * interval '14 days'
            ELSE l.opened_at END
FROM ret.layaway AS l
CROSS JOIN generate_series(1, 3) AS n (number)
CROSS JOIN LATERAL (
    SELECT CASE WHEN n.number < 3 THEN round((l.total_amount - l.deposit_amount) / 3, 2)
                ELSE l.total_amount - l.deposit_amount
                     - 2 * round((l.total_amount - l.deposit_amount) / 3, 2) END AS due
) AS p
LEFT JOIN ret.pos_transaction AS t
    ON t.business_id = l.business_id AND t.sales_order_id = l.sales_order_id
WHERE l.business_id = %(business_id)s;
