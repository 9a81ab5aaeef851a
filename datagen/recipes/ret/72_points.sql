SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- The ledger begins when the orders do that are kept: who was a member before carries points over,
-- some of which lapse. Who signs up gets a welcome, who has a birthday a gift.
CREATE TEMPORARY TABLE point_event ON COMMIT DROP AS
WITH member AS (
    SELECT a.loyalty_account_id, a.customer_id, a.enrolled_at, c.birth_date, h.place,
           s.starts_at, a.enrolled_at < s.starts_at AS is_old
    FROM ret.loyalty_account AS a
    JOIN ret.customer AS c
        ON c.business_id = a.business_id AND c.customer_id = a.customer_id
    CROSS JOIN (SELECT %(as_of)s - interval '125 days' AS starts_at) AS s
    CROSS JOIN LATERAL (
        SELECT ('x' || substr(md5('points ' || a.loyalty_account_id), 1, 7))::bit(28)::integer
                   AS place
    ) AS h
    WHERE a.business_id = %(business_id)s
), bought AS (
    SELECT m.loyalty_account_id, o.sales_order_id, e.handed_at, n.spent,
           e.handed_at + interval '30 days' AS available_at
    FROM member AS m
    JOIN ret.sales_order AS o
        ON o.business_id = %(business_id)s AND o.customer_id = m.customer_id
       AND o.placed_at > m.enrolled_at
    JOIN (
        SELECT x.sales_order_id, min(x.occurred_at) AS handed_at
        FROM ret.order_status_event AS x
        WHERE x.business_id = %(business_id)s AND x.aspect = 'order'
          AND x.to_state IN ('fulfilled', 'completed')
        GROUP BY x.sales_order_id
    ) AS e ON e.sales_order_id = o.sales_order_id
    JOIN (
        SELECT l.sales_order_id,
               round(sum(l.line_total * l.fulfilled_qty / l.quantity), 2) AS spent
        FROM ret.sales_order_line AS l
        JOIN ret.product_variant AS v
            ON v.business_id = l.business_id AND v.product_variant_id = l.product_variant_id
        JOIN ret.product AS p
            ON p.business_id = v.business_id AND p.product_id = v.product_id
           AND p.product_kind <> 'gift_card'
        WHERE l.business_id = %(business_id)s
        GROUP BY l.sales_order_id
    ) AS n ON n.sales_order_id = o.sales_order_id AND n.spent >= 1
), came_back AS (
    SELECT b.loyalty_account_id, b.sales_order_id, a.completed_at, a.return_authorisation_id,
           g.goods / nullif(o.subtotal - o.discount_total, 0) AS share
    FROM bought AS b
    JOIN ret.sales_order AS o
        ON o.business_id = %(business_id)s AND o.sales_order_id = b.sales_order_id
    JOIN ret.return_authorisation AS a
        ON a.business_id = o.business_id AND a.sales_order_id = o.sales_order_id
       AND a.state = 'completed'
    JOIN (
        SELECT r.return_authorisation_id, sum(r.quantity * r.unit_refund) AS goods
        FROM ret.return_line AS r
        WHERE r.business_id = %(business_id)s AND r.acceptance = 'accepted'
          AND r.exchange_variant_id IS NULL
        GROUP BY r.return_authorisation_id
    ) AS g ON g.return_authorisation_id = a.return_authorisation_id
), lost AS (
    SELECT c.loyalty_account_id, c.sales_order_id, c.completed_at, c.return_authorisation_id,
           least(ceil(floor(b.spent) * c.share), floor(b.spent))::integer AS points,
           least(round(b.spent * c.share, 2), b.spent) AS basis
    FROM came_back AS c
    JOIN bought AS b ON b.sales_order_id = c.sales_order_id
    WHERE c.share > 0
), doubled AS (
    SELECT b.*, r.loyalty_earn_rule_id, r.rule_code,
           least(floor(floor(b.spent) * (r.multiplier - 1)), r.max_points_per_day)::integer
               AS points
    FROM bought AS b
    JOIN ret.loyalty_earn_rule AS r
        ON r.business_id = %(business_id)s AND r.earn_kind = 'bonus_multiplier' AND r.is_active
       AND b.handed_at >= r.starts_at AND b.handed_at < r.ends_at AND b.spent >= r.min_spend
    -- What comes back in part is left out: its share of two entries is hard to read.
    WHERE NOT EXISTS (SELECT FROM lost AS l WHERE l.sales_order_id = b.sales_order_id)
      AND b.sales_order_id = (
          SELECT min(x.sales_order_id::text)::uuid FROM bought AS x
          WHERE x.loyalty_account_id = b.loyalty_account_id
            AND x.handed_at >= r.starts_at AND x.handed_at < r.ends_at)
)
SELECT m.loyalty_account_id, NULL::uuid AS sales_order_id, k.code AS rule_code, k.kind, k.points,
       0::numeric AS basis, NULL::timestamptz AS available_at, k.expires_on, k.moment, k.key,
       k.note, 0 AS step
FROM member AS m
CROSS JOIN LATERAL (
    SELECT make_date(extract(year FROM %(as_of)s)::integer,
                     extract(month FROM m.birth_date)::integer,
                     least(extract(day FROM m.birth_date)::integer, 28)) AS birthday
) AS d
CROSS JOIN LATERAL (VALUES
    (NULL, 'adjust', 60 + m.place %% 640, m.starts_at,
     (m.starts_at + (20 + m.place / 7 %% 345) * interval '1 day')::date,
     'carry over ' || m.loyalty_account_id, 'Carried over', m.is_old AND m.place %% 5 > 0),
    ('WELCOME', 'bonus', 100, m.enrolled_at, m.enrolled_at::date + 365,
     concat_ws(' ', 'sign_up', extract(year FROM m.enrolled_at), m.loyalty_account_id),
     'Sign up', NOT m.is_old),
    ('BIRTHDAY', 'bonus', 50, d.birthday + interval '8 hours', d.birthday + 365,
     concat_ws(' ', 'birthday', extract(year FROM %(as_of)s), m.loyalty_account_id),
     'Birthday',
     d.birthday + interval '8 hours' > greatest(m.enrolled_at, m.starts_at)
     AND d.birthday < %(as_of)s::date))
    AS k (code, kind, points, moment, expires_on, key, note, happened)
WHERE k.happened
UNION ALL
SELECT b.loyalty_account_id, b.sales_order_id, 'SPEND', 'pending', floor(b.spent)::integer,
       b.spent, b.available_at, b.handed_at::date + 365, b.handed_at,
       'order ' || b.sales_order_id, NULL, 1
FROM bought AS b
UNION ALL
SELECT d.loyalty_account_id, d.sales_order_id, d.rule_code, 'pending', d.points, 0,
       d.available_at, d.handed_at::date + 365, d.handed_at,
       'order ' || d.sales_order_id || ' ' || d.rule_code, NULL, 2
FROM doubled AS d
UNION ALL
SELECT l.loyalty_account_id, l.sales_order_id, NULL, 'reverse', -l.points, -l.basis, NULL, NULL,
       l.completed_at, 'return ' || l.return_authorisation_id, 'Goods came back', 3
FROM lost AS l
WHERE l.points > 0
UNION ALL
-- What waited long enough is confirmed in the night, without what came back before.
SELECT n.loyalty_account_id, n.sales_order_id, NULL, 'earn', n.points, 0, NULL,
       n.handed_at::date + 365, n.confirmed_at, 'earn ' || n.sales_order_id, NULL, 4
FROM (
    SELECT b.*, date_trunc('day', b.available_at, 'UTC') + interval '26 hours' AS confirmed_at,
           floor(b.spent)::integer + coalesce(d.points, 0) - coalesce(l.points, 0) AS points
    FROM bought AS b
    LEFT JOIN (
        SELECT x.sales_order_id, sum(x.points)::integer AS points
        FROM doubled AS x GROUP BY x.sales_order_id
    ) AS d ON d.sales_order_id = b.sales_order_id
    LEFT JOIN (
        SELECT x.sales_order_id, sum(x.points)::integer AS points
        FROM lost AS x GROUP BY x.sales_order_id
    ) AS l ON l.sales_order_id = b.sales_order_id
) AS n
WHERE n.points > 0 AND n.confirmed_at <= %(as_of)s;

-- Four in nine of those who have enough buy the dearest reward that they can, in the last five
-- weeks, most something off their next purchase; points that lapsed since are not counted on.
CREATE TEMPORARY TABLE point_use ON COMMIT DROP AS
SELECT DISTINCT ON (m.loyalty_account_id) m.loyalty_account_id, m.customer_id, m.used_at,
       m.card_number, r.loyalty_reward_id, r.points_cost, r.reward_kind, r.reward_value,
       r.display_name, r.valid_days, md5('buys ' || m.loyalty_account_id)::uuid AS issue_id
FROM (
    SELECT a.loyalty_account_id, a.customer_id, a.card_number,
           %(as_of)s - (1 + h.place / 3 %% 35) * interval '1 day'
               - h.place %% 500 * interval '1 minute' AS used_at
    FROM ret.loyalty_account AS a
    CROSS JOIN LATERAL (
        SELECT ('x' || substr(md5('buys ' || a.loyalty_account_id), 1, 7))::bit(28)::integer
                   AS place
    ) AS h
    WHERE a.business_id = %(business_id)s AND a.state = 'active' AND h.place %% 9 < 4
) AS m
JOIN LATERAL (
    SELECT coalesce(sum(e.points), 0) AS points
    FROM point_event AS e
    WHERE e.loyalty_account_id = m.loyalty_account_id AND e.moment < m.used_at
      AND e.kind IN ('adjust', 'bonus', 'earn') AND e.expires_on >= %(as_of)s::date
) AS n ON true
JOIN ret.loyalty_reward AS r
    ON r.business_id = %(business_id)s AND r.is_active AND r.min_tier_rank IS NULL
   AND r.points_cost <= n.points AND r.starts_at < m.used_at
ORDER BY m.loyalty_account_id,
         (r.reward_code LIKE 'PCT%%' AND m.card_number ~ '[0-6]$') DESC, r.points_cost DESC,
         r.reward_code;

INSERT INTO ret.reward_issue
    (business_id, reward_issue_id, loyalty_account_id, loyalty_reward_id, issue_code, issued_at,
     issue_reason, points_spent, value_at_issue, expires_at, state, created_at, updated_at)
SELECT %(business_id)s, u.issue_id, u.loyalty_account_id, u.loyalty_reward_id,
       'RW-' || upper(substr(md5(u.issue_id::text), 1, 10)), u.used_at, 'points', u.points_cost,
       u.reward_value, u.used_at + u.valid_days * interval '1 day', 'issued', u.used_at, u.used_at
FROM point_use AS u;

-- What was taken off an item of a member was a reward in one case of five: one that was bought
-- where there is one, or one that service gave. The first each, to have one.
CREATE TEMPORARY TABLE reward_use ON COMMIT DROP AS
SELECT x.*
FROM (
    SELECT a.order_adjustment_id, o.placed_at, m.loyalty_account_id, i.reward_issue_id,
           r.loyalty_reward_id, r.reward_value, r.display_name, r.valid_days,
           md5('service ' || a.order_adjustment_id)::uuid AS service_id, a.rate_pct,
           row_number() OVER (PARTITION BY m.loyalty_account_id
                              ORDER BY i.reward_issue_id IS NULL, o.placed_at,
                                       a.order_adjustment_id) AS turn,
           row_number() OVER (ORDER BY i.reward_issue_id IS NULL,
                                       md5('reward ' || a.order_adjustment_id)) AS place,
           count(*) OVER () AS adjustments
    FROM ret.order_adjustment AS a
    JOIN ret.sales_order AS o
        ON o.business_id = a.business_id AND o.sales_order_id = a.sales_order_id
       AND o.state IN ('fulfilled', 'completed') AND o.external_order_id IS NULL
    JOIN ret.loyalty_account AS m
        ON m.business_id = o.business_id AND m.customer_id = o.customer_id
       AND m.enrolled_at < o.placed_at - interval '5 days'
    LEFT JOIN ret.loyalty_reward AS w
        ON w.business_id = a.business_id
       AND w.reward_code = 'PCT' || round(a.rate_pct)::text
    LEFT JOIN ret.reward_issue AS i
        ON i.business_id = a.business_id AND i.loyalty_account_id = m.loyalty_account_id
       AND i.loyalty_reward_id = w.loyalty_reward_id
       AND o.placed_at > i.issued_at + interval '1 hour' AND o.placed_at < i.expires_at
    JOIN ret.loyalty_reward AS r
        ON r.business_id = a.business_id
       AND r.reward_code = CASE WHEN i.reward_issue_id IS NULL THEN 'SORRY' ELSE 'PCT' END
                           || round(a.rate_pct)::text
    WHERE a.business_id = %(business_id)s AND a.adjustment_kind IN ('promotion', 'manual')
      AND a.sales_order_line_id IS NOT NULL
) AS x
WHERE x.turn = 1 AND (x.reward_issue_id IS NOT NULL OR x.place <= greatest(1, x.adjustments / 5));

INSERT INTO ret.reward_issue
    (business_id, reward_issue_id, loyalty_account_id, loyalty_reward_id, issue_code, issued_at,
     issue_reason, value_at_issue, expires_at, state, created_at, updated_at)
SELECT %(business_id)s, u.service_id, u.loyalty_account_id, u.loyalty_reward_id,
       'RW-' || upper(substr(md5(u.service_id::text), 1, 10)), u.placed_at - interval '4 days',
       'service', u.reward_value,
       u.placed_at - interval '4 days' + u.valid_days * interval '1 day', 'issued',
       u.placed_at - interval '4 days', u.placed_at - interval '4 days'
FROM reward_use AS u
WHERE u.reward_issue_id IS NULL;

UPDATE ret.order_adjustment AS a
SET adjustment_kind = 'reward', promotion_id = NULL, coupon_id = NULL,
    approved_by_user_id = NULL, funded_by = 'retailer', label = u.display_name,
    reward_issue_id = coalesce(u.reward_issue_id, u.service_id)
FROM reward_use AS u
WHERE a.business_id = %(business_id)s AND a.order_adjustment_id = u.order_adjustment_id;

UPDATE ret.reward_issue AS i
SET state = 'used', used_at = u.placed_at, updated_at = u.placed_at
FROM reward_use AS u
WHERE i.business_id = %(business_id)s
  AND i.reward_issue_id = coalesce(u.reward_issue_id, u.service_id);

-- A birthday brings a reward of its own for a month; most let it lapse.
INSERT INTO ret.reward_issue
    (business_id, reward_issue_id, loyalty_account_id, loyalty_reward_id, issue_code, issued_at,
     issue_reason, value_at_issue, expires_at, state, created_at, updated_at)
SELECT %(business_id)s, md5('birthday ' || e.loyalty_account_id)::uuid, e.loyalty_account_id,
       r.loyalty_reward_id, 'RW-' || upper(substr(md5('birthday ' || e.loyalty_account_id), 1, 10)),
       e.moment, 'birthday', r.reward_value, e.moment + r.valid_days * interval '1 day',
       CASE WHEN e.moment + r.valid_days * interval '1 day' <= %(as_of)s THEN 'expired'
            ELSE 'issued' END, e.moment, e.moment
FROM point_event AS e
JOIN ret.loyalty_reward AS r ON r.business_id = %(business_id)s AND r.reward_code = 'BDAY'
WHERE e.rule_code = 'BIRTHDAY';

-- The ledger of each account, as it went. What was carried over and not spent in time lapses.
INSERT INTO ret.loyalty_entry
    (business_id, loyalty_entry_id, loyalty_account_id, sales_order_id, loyalty_earn_rule_id,
     reward_issue_id, entry_kind, points, basis_amount, available_at, expires_on, occurred_at,
     idempotency_key, note, created_at)
SELECT %(business_id)s, md5('points ' || e.key)::uuid, e.loyalty_account_id, e.sales_order_id,
       r.loyalty_earn_rule_id, e.reward_issue_id, e.kind, e.points, e.basis, e.available_at,
       e.expires_on, e.moment, e.key, e.note, e.moment
FROM (
    SELECT x.*, NULL::uuid AS reward_issue_id
    FROM point_event AS x
    UNION ALL
    SELECT u.loyalty_account_id, NULL, NULL, 'redeem', -u.points_cost, 0, NULL, NULL, u.used_at,
           'reward ' || u.issue_id, u.display_name, 5, u.issue_id
    FROM point_use AS u
    UNION ALL
    SELECT x.loyalty_account_id, NULL, NULL, 'expire',
           -(x.points - coalesce(u.points_cost, 0)), 0, NULL, NULL, k.moment,
           concat_ws(' ', 'expire', x.expires_on, x.loyalty_account_id),
           'Not spent by ' || x.expires_on, 6, NULL
    FROM point_event AS x
    -- Where the fill's moment is before three, the job was early that night.
    CROSS JOIN LATERAL (
        SELECT least((x.expires_on + 1)::timestamptz + interval '3 hours', %(as_of)s) AS moment
    ) AS k
    LEFT JOIN point_use AS u
        ON u.loyalty_account_id = x.loyalty_account_id AND u.used_at < k.moment
    WHERE x.kind = 'adjust' AND x.expires_on < %(as_of)s::date
      AND x.points > coalesce(u.points_cost, 0)
) AS e
LEFT JOIN ret.loyalty_earn_rule AS r
    ON r.business_id = %(business_id)s AND r.rule_code = e.rule_code
ORDER BY e.loyalty_account_id, e.moment, e.step, e.key;

-- Credits that nobody spent within a year lapse too, after what came back on them.
INSERT INTO ret.store_credit_entry
    (business_id, store_credit_entry_id, store_credit_id, entry_kind, amount, occurred_at,
     originator_kind, idempotency_key, note, created_at)
SELECT c.business_id, md5('expire ' || c.store_credit_id)::uuid, c.store_credit_id, 'expire',
       -c.balance_amount, k.moment, 'manual', 'expire ' || c.store_credit_id,
       'Good until ' || c.expires_on, k.moment
FROM ret.store_credit AS c
CROSS JOIN LATERAL (
    SELECT least((c.expires_on + 1)::timestamptz + interval '3 hours', %(as_of)s) AS moment
) AS k
WHERE c.business_id = %(business_id)s AND c.expires_on < %(as_of)s::date
  AND c.balance_amount > 0
ORDER BY c.store_credit_id;

-- Rewards that were bought and not used in time are over.
UPDATE ret.reward_issue AS i
SET state = 'expired', updated_at = i.expires_at
WHERE i.business_id = %(business_id)s AND i.state = 'issued' AND i.expires_at <= %(as_of)s;

SELECT ret.qualify_tiers(%(as_of)s);
