-- A member gets a bonus, then a point for each unit spent; some buy a reward with them.
INSERT INTO rest.loyalty_entry
    (business_id, loyalty_entry_id, loyalty_account_id, guest_check_id, entry_kind, points,
     balance_after, earn_base_amount, expires_on, occurred_at, idempotency_key)
SELECT e.business_id, md5('points ' || e.key)::uuid, e.loyalty_account_id, e.guest_check_id,
       e.kind, e.points,
       sum(e.points) OVER (PARTITION BY e.loyalty_account_id ORDER BY e.occurred_at, e.key), e.base,
       e.occurred_at::date + 365, e.occurred_at, e.key
FROM (
    SELECT a.business_id, a.loyalty_account_id, NULL::uuid AS guest_check_id, 'bonus' AS kind,
           p.enrol_bonus_points AS points, 0::numeric AS base, a.enrolled_at AS occurred_at,
           'enrol ' || a.loyalty_account_id AS key
    FROM rest.loyalty_account AS a
    JOIN rest.loyalty_program AS p
        ON p.business_id = a.business_id AND p.loyalty_program_id = a.loyalty_program_id
    WHERE a.business_id = %(business_id)s
    UNION ALL
    SELECT a.business_id, a.loyalty_account_id, c.guest_check_id, 'earn',
           floor(c.subtotal - c.discount_total)::integer, c.subtotal - c.discount_total,
           c.closed_at, 'earn ' || c.guest_check_id
    FROM rest.loyalty_account AS a
    JOIN rest.guest_check AS c
        ON c.business_id = a.business_id AND c.guest_profile_id = a.guest_profile_id
       AND c.state = 'closed' AND c.subtotal - c.discount_total >= 1
    WHERE a.business_id = %(business_id)s AND c.closed_at > a.enrolled_at
) AS e;

INSERT INTO rest.reward_issue
    (business_id, reward_issue_id, loyalty_account_id, loyalty_reward_id, issue_code,
     issue_reason, issued_at, points_spent, value_at_issue, expires_at, state)
SELECT a.business_id, md5('reward ' || a.loyalty_account_id)::uuid, a.loyalty_account_id,
       r.loyalty_reward_id, 'RW-' || a.account_number,
       CASE WHEN a.points >= 100 THEN 'points' ELSE 'birthday' END,
       %(as_of)s::timestamptz - interval '2 hours', CASE WHEN a.points >= 100 THEN 100 ELSE 0 END,
       5, %(as_of)s::timestamptz + interval '60 days', 'issued'
FROM (
    SELECT x.business_id, x.loyalty_account_id, x.account_number, sum(e.points) AS points,
           row_number() OVER (ORDER BY sum(e.points) DESC, x.account_number) AS place,
           count(*) OVER () AS accounts
    FROM rest.loyalty_account AS x
    JOIN rest.loyalty_entry AS e
        ON e.business_id = x.business_id AND e.loyalty_account_id = x.loyalty_account_id
    WHERE x.business_id = %(business_id)s
    GROUP BY x.business_id, x.loyalty_account_id, x.account_number
) AS a
JOIN rest.loyalty_reward AS r ON r.business_id = a.business_id AND r.reward_code = 'OFF5'
WHERE a.place <= greatest(1, a.accounts / 3);

INSERT INTO rest.loyalty_entry
    (business_id, loyalty_entry_id, loyalty_account_id, reward_issue_id, entry_kind, points,
     balance_after, occurred_at, idempotency_key)
SELECT i.business_id, md5('spent ' || i.reward_issue_id)::uuid, i.loyalty_account_id,
       i.reward_issue_id, 'redeem', -i.points_spent, n.points - i.points_spent, i.issued_at,
       'reward ' || i.reward_issue_id
FROM rest.reward_issue AS i
JOIN (
    SELECT e.loyalty_account_id, sum(e.points) AS points
    FROM rest.loyalty_entry AS e
    WHERE e.business_id = %(business_id)s
    GROUP BY e.loyalty_account_id
) AS n ON n.loyalty_account_id = i.loyalty_account_id
WHERE i.business_id = %(business_id)s AND i.points_spent > 0;

UPDATE rest.loyalty_account AS a
SET point_balance = n.balance, lifetime_points = n.earned, tier_spend = n.spent,
    points_expiring = n.balance, next_expiry_on = n.first_on + 365,
    loyalty_tier_id = t.loyalty_tier_id
FROM (
    SELECT e.business_id, e.loyalty_account_id, sum(e.points)::integer AS balance,
           (sum(e.points) FILTER (WHERE e.points > 0))::integer AS earned,
           sum(e.earn_base_amount) AS spent, min(e.occurred_at)::date AS first_on
    FROM rest.loyalty_entry AS e
    WHERE e.business_id = %(business_id)s
    GROUP BY e.business_id, e.loyalty_account_id
) AS n
JOIN LATERAL (
    SELECT x.loyalty_tier_id
    FROM rest.loyalty_tier AS x
    WHERE x.business_id = n.business_id AND x.qualify_spend <= n.spent
    ORDER BY x.rank_no DESC
    LIMIT 1
) AS t ON true
WHERE a.business_id = %(business_id)s AND a.loyalty_account_id = n.loyalty_account_id;
