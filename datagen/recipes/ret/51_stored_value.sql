SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- Of old cards most was spent before the orders that are kept; some was forgotten. Three orders in
-- a hundred are paid with a card.
CREATE TEMPORARY TABLE card_event ON COMMIT DROP AS
WITH card AS (
    SELECT g.gift_card_id, g.card_kind, g.expires_on, g.created_at + interval '1 day' AS sold_at,
           h.place, (ARRAY[25, 50, 50, 75, 100, 30])[1 + h.place / 7 %% 6]::numeric AS worth,
           g.created_at < %(as_of)s - interval '150 days' AS is_old,
           l.location_id, l.register_label
    FROM ret.gift_card AS g
    CROSS JOIN LATERAL (
        SELECT ('x' || substr(md5('card ' || g.gift_card_id), 1, 7))::bit(28)::integer AS place
    ) AS h
    LEFT JOIN (
        SELECT x.location_id, x.location_code || ' till 1' AS register_label,
               row_number() OVER (ORDER BY x.location_code) - 1 AS turn, count(*) OVER () AS places
        FROM ret.location AS x
        WHERE x.business_id = %(business_id)s AND x.location_kind = 'store' AND x.status = 'open'
    ) AS l ON l.turn = h.place / 3 %% l.places AND g.card_kind = 'physical'
    -- Some blanks still hang at the till.
    WHERE g.business_id = %(business_id)s AND h.place %% 23 <> 5
), spendable AS (
    SELECT c.*, row_number() OVER (ORDER BY md5('spends ' || c.gift_card_id)) - 1 AS turn,
           count(*) OVER () AS cards
    FROM card AS c
    WHERE c.card_kind <> 'promotional' AND NOT c.is_old AND c.place %% 31 <> 4
), paid AS (
    SELECT o.*, row_number() OVER (ORDER BY o.placed_at, o.sales_order_id) - 1 AS turn
    FROM ret.sales_order AS o
    WHERE o.business_id = %(business_id)s AND o.payment_state = 'paid' AND o.grand_total >= 8
      AND o.external_order_id IS NULL
      AND ('x' || substr(md5('gift ' || o.sales_order_id), 1, 7))::bit(28)::integer %% 100 < 4
      AND NOT EXISTS (SELECT FROM ret.layaway AS l
                      WHERE l.business_id = o.business_id
                        AND l.sales_order_id = o.sales_order_id)
), spent AS (
    -- The first orders take what a card holds, the last what they leave.
    SELECT s.gift_card_id, p.sales_order_id, p.placed_at, p.sold_location_id,
           least(s.worth, sum(p.grand_total) OVER w)
           - least(s.worth, sum(p.grand_total) OVER w - p.grand_total) AS amount
    FROM paid AS p
    JOIN spendable AS s ON s.turn = p.turn %% s.cards AND s.sold_at < p.placed_at
    WINDOW w AS (PARTITION BY s.gift_card_id ORDER BY p.placed_at, p.sales_order_id
                 ROWS UNBOUNDED PRECEDING)
)
SELECT c.gift_card_id, e.kind, e.amount, e.moment, NULL::uuid AS sales_order_id, c.location_id,
       c.register_label, concat_ws(' ', e.kind, e.step, c.gift_card_id) AS key, e.note, e.step
FROM card AS c
CROSS JOIN LATERAL (VALUES
    (1, 'activate', c.worth, c.sold_at, true, NULL),
    (2, 'redeem', -round(c.worth * (40 + c.place %% 50) / 100, 2), c.sold_at + interval '9 days',
     c.is_old AND c.card_kind <> 'promotional', 'Before the orders that are kept'),
    (3, 'redeem', -(c.worth - round(c.worth * (40 + c.place %% 50) / 100, 2)),
     c.sold_at + interval '23 days',
     c.is_old AND c.card_kind <> 'promotional' AND c.place %% 4 > 0,
     'Before the orders that are kept'),
    (4, 'block', 0, c.sold_at + interval '40 days',
     NOT c.is_old AND c.place %% 31 = 4 AND c.sold_at < %(as_of)s - interval '41 days',
     'Reported lost'),
    (5, 'expire', -c.worth, (c.expires_on + 1)::timestamptz + interval '3 hours',
     c.expires_on < %(as_of)s::date - 1, 'Good until ' || c.expires_on))
    AS e (step, kind, amount, moment, happened, note)
WHERE e.happened AND c.sold_at < %(as_of)s
UNION ALL
SELECT s.gift_card_id, 'redeem', -s.amount, s.placed_at + interval '30 seconds',
       s.sales_order_id, s.sold_location_id, NULL,
       'payment ' || md5('stored value for ' || s.sales_order_id)::uuid, NULL, 6
FROM spent AS s
WHERE s.amount > 0;

INSERT INTO ret.gift_card_entry
    (business_id, gift_card_entry_id, gift_card_id, sales_order_id, location_id, entry_kind,
     amount, occurred_at, register_label, authorisation_code, idempotency_key, note, created_at)
SELECT %(business_id)s, md5(e.key)::uuid, e.gift_card_id, e.sales_order_id, e.location_id, e.kind,
       e.amount, e.moment, e.register_label,
       CASE WHEN e.kind = 'redeem' THEN upper(substr(md5('ok ' || e.key), 1, 6)) END, e.key,
       e.note, e.moment
FROM card_event AS e
ORDER BY e.gift_card_id, e.moment, e.step;

-- One known customer in twelve, and at least one, got a credit for something that went wrong or was
-- traded in; six in ten of those who buy again pay with it.
CREATE TEMPORARY TABLE credit_event ON COMMIT DROP AS
WITH known AS (
    SELECT c.business_id, c.customer_id, c.created_at, h.place,
           row_number() OVER (ORDER BY h.place %% 12 <> 3, md5('credit ' || c.customer_id))
               AS number
    FROM ret.customer AS c
    CROSS JOIN LATERAL (
        SELECT ('x' || substr(md5('credit ' || c.customer_id), 1, 7))::bit(28)::integer AS place
    ) AS h
    WHERE c.business_id = %(business_id)s AND c.status = 'active' AND NOT c.is_guest
      AND c.created_at < %(as_of)s - interval '30 days'
), credit AS (
    SELECT k.business_id, k.customer_id, k.place, k.number,
           (ARRAY[10, 15, 20, 25, 40, 60])[1 + k.place / 13 %% 6]::numeric AS worth,
           (ARRAY['goodwill', 'price_adjustment', 'goodwill', 'trade_in'])[1 + k.place / 12 %% 4]
               AS kind,
           greatest(k.created_at + interval '2 days',
                    %(as_of)s - (20 + k.place / 17 %% 460) * interval '1 day') AS issued_at
    FROM known AS k
    WHERE k.place %% 12 = 3 OR k.number = 1
), bought AS (
    SELECT DISTINCT ON (c.customer_id) c.customer_id, o.sales_order_id, o.placed_at, o.grand_total
    FROM credit AS c
    JOIN ret.sales_order AS o
        ON o.business_id = c.business_id AND o.customer_id = c.customer_id
       AND o.placed_at > c.issued_at + interval '1 day'
       AND o.placed_at < c.issued_at + interval '320 days'
       AND o.payment_state = 'paid' AND o.grand_total >= 8 AND o.external_order_id IS NULL
    WHERE c.place / 5 %% 10 < 6
      AND NOT EXISTS (SELECT FROM ret.gift_card_entry AS e
                      WHERE e.business_id = o.business_id
                        AND e.sales_order_id = o.sales_order_id)
      AND NOT EXISTS (SELECT FROM ret.layaway AS l
                      WHERE l.business_id = o.business_id
                        AND l.sales_order_id = o.sales_order_id)
    ORDER BY c.customer_id, o.placed_at, o.sales_order_id
)
SELECT c.customer_id, md5('credit of ' || c.customer_id)::uuid AS store_credit_id, c.kind, c.worth,
       c.issued_at, 'SC-' || lpad(c.number::text, 5, '0') AS credit_number, c.place,
       b.sales_order_id, b.placed_at, least(c.worth, b.grand_total) AS spent
FROM credit AS c
LEFT JOIN bought AS b ON b.customer_id = c.customer_id;

INSERT INTO ret.store_credit
    (business_id, store_credit_id, customer_id, credit_number, credit_kind, currency, issued_at,
     expires_on, reason_text, created_at, updated_at)
SELECT b.business_id, e.store_credit_id, e.customer_id, e.credit_number, e.kind, b.currency_code,
       e.issued_at, e.issued_at::date + 365,
       CASE e.kind WHEN 'goodwill'
            THEN (ARRAY['Delivery came a week late', 'Wrong size was sent twice',
                        'Waited half an hour at the pick-up desk'])[1 + e.place / 4 %% 3]
            WHEN 'price_adjustment' THEN 'Cheaper within two weeks'
            ELSE 'Old device taken back' END,
       e.issued_at, e.issued_at
FROM credit_event AS e
JOIN tenant_mgmt.business AS b ON b.business_id = %(business_id)s;

INSERT INTO ret.store_credit_entry
    (business_id, store_credit_entry_id, actor_user_id, store_credit_id, sales_order_id,
     entry_kind, amount, occurred_at, originator_kind, idempotency_key, note, created_at)
SELECT %(business_id)s, md5(k.kind || ' credit ' || e.customer_id)::uuid,
       CASE WHEN k.origin = 'manual' THEN u.user_account_id END, e.store_credit_id,
       CASE WHEN k.origin = 'order' THEN e.sales_order_id END, k.kind, k.amount, k.moment,
       k.origin,
       CASE WHEN k.kind = 'capture'
            THEN 'payment ' || md5('stored value for ' || e.sales_order_id)::uuid
            ELSE k.kind || ' ' || e.store_credit_id END,
       k.note, k.moment
FROM credit_event AS e
CROSS JOIN (
    SELECT x.user_account_id
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.status <> 'active', x.username
    LIMIT 1
) AS u
CROSS JOIN LATERAL (VALUES
    (1, 'issue', e.worth, e.issued_at, 'manual', true, NULL),
    (2, 'void', -e.worth, e.issued_at + interval '2 hours', 'manual',
     e.sales_order_id IS NULL AND e.place / 3 %% 11 = 2, 'Issued twice by mistake'),
    (3, 'capture', -e.spent, e.placed_at + interval '30 seconds', 'order',
     e.sales_order_id IS NOT NULL, NULL))
    AS k (step, kind, amount, moment, origin, happened, note)
WHERE k.happened
ORDER BY e.store_credit_id, k.moment, k.step;
