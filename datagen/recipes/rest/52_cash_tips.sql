SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- Cards are loaded, redeemed by payments, and worth what is left.
INSERT INTO rest.gift_card_entry
    (business_id, gift_card_entry_id, gift_card_id, location_id, entry_kind, amount,
     balance_after, occurred_at, idempotency_key)
SELECT g.business_id, md5('activate ' || g.gift_card_id)::uuid, g.gift_card_id,
       g.sold_location_id, 'activate', g.initial_amount + coalesce(p.spent, 0),
       g.initial_amount + coalesce(p.spent, 0), g.activated_at, 'activate ' || g.gift_card_id
FROM rest.gift_card AS g
LEFT JOIN (
    SELECT x.gift_card_id, sum(x.amount + x.tip_amount) AS spent
    FROM rest.check_payment AS x
    WHERE x.business_id = %(business_id)s AND x.gift_card_id IS NOT NULL
    GROUP BY x.gift_card_id
) AS p ON p.gift_card_id = g.gift_card_id
WHERE g.business_id = %(business_id)s;

INSERT INTO rest.gift_card_entry
    (business_id, gift_card_entry_id, gift_card_id, guest_check_id, entry_kind, amount,
     balance_after, occurred_at, idempotency_key)
SELECT p.business_id, md5('redeem ' || p.check_payment_id)::uuid, p.gift_card_id,
       p.guest_check_id, 'redeem', -(p.amount + p.tip_amount),
       a.amount - sum(p.amount + p.tip_amount) OVER (
           PARTITION BY p.gift_card_id ORDER BY p.captured_at, p.check_payment_id),
       p.captured_at, 'payment ' || p.check_payment_id
FROM rest.check_payment AS p
JOIN rest.gift_card_entry AS a
    ON a.business_id = p.business_id AND a.gift_card_id = p.gift_card_id
   AND a.entry_kind = 'activate'
WHERE p.business_id = %(business_id)s AND p.gift_card_id IS NOT NULL;

UPDATE rest.gift_card AS g
SET initial_amount = n.loaded, balance_amount = n.worth,
    status = CASE WHEN n.worth = 0 THEN 'depleted' ELSE g.status END
FROM (
    SELECT e.gift_card_id, sum(e.amount) AS worth,
           sum(e.amount) FILTER (WHERE e.entry_kind = 'activate') AS loaded
    FROM rest.gift_card_entry AS e
    WHERE e.business_id = %(business_id)s
    GROUP BY e.gift_card_id
) AS n
WHERE g.business_id = %(business_id)s AND g.gift_card_id = n.gift_card_id;

-- What was paid in cash lies in the drawer; above 400 most of it is dropped in the safe.
INSERT INTO rest.cash_drawer_event
    (business_id, cash_drawer_event_id, cash_drawer_session_id, actor_staff_id, check_payment_id,
     event_kind, amount, occurred_at, running_balance)
SELECT p.business_id, md5('cash ' || p.check_payment_id)::uuid, p.cash_drawer_session_id,
       coalesce(p.taken_by_staff_id, d.opened_by_staff_id), p.check_payment_id, 'sale',
       p.amount + p.tip_amount, p.captured_at,
       d.opening_float + sum(p.amount + p.tip_amount) OVER (
           PARTITION BY p.cash_drawer_session_id ORDER BY p.captured_at, p.check_payment_id)
FROM rest.check_payment AS p
JOIN rest.cash_drawer_session AS d
    ON d.business_id = p.business_id AND d.cash_drawer_session_id = p.cash_drawer_session_id
WHERE p.business_id = %(business_id)s;

INSERT INTO rest.cash_drawer_event
    (business_id, cash_drawer_event_id, cash_drawer_session_id, actor_staff_id, event_kind, amount,
     occurred_at, running_balance, note)
SELECT d.business_id, md5('drop ' || d.cash_drawer_session_id)::uuid, d.cash_drawer_session_id,
       d.opened_by_staff_id, 'safe_drop', floor(n.cash / 100) * 100, n.latest + interval '1 hour',
       d.opening_float + n.cash - floor(n.cash / 100) * 100, 'Evening drop'
FROM rest.cash_drawer_session AS d
JOIN (
    SELECT e.cash_drawer_session_id, sum(e.amount) AS cash, max(e.occurred_at) AS latest
    FROM rest.cash_drawer_event AS e
    WHERE e.business_id = %(business_id)s
    GROUP BY e.cash_drawer_session_id
) AS n ON n.cash_drawer_session_id = d.cash_drawer_session_id AND n.cash >= 200
WHERE d.business_id = %(business_id)s;

INSERT INTO rest.cash_drawer_event
    (business_id, cash_drawer_event_id, cash_drawer_session_id, actor_staff_id, event_kind, amount,
     occurred_at, running_balance, note)
SELECT d.business_id, md5('opened ' || d.cash_drawer_session_id)::uuid, d.cash_drawer_session_id,
       d.opened_by_staff_id, 'no_sale', 0, d.opened_at + interval '5 minutes', d.opening_float,
       'Change for the floor'
FROM rest.cash_drawer_session AS d
WHERE d.business_id = %(business_id)s;

UPDATE rest.cash_drawer_session AS d
SET cash_sales = coalesce(n.sales, 0), drops_total = coalesce(n.drops, 0)
FROM (
    SELECT e.cash_drawer_session_id, sum(e.amount) FILTER (WHERE e.event_kind = 'sale') AS sales,
           sum(e.amount) FILTER (WHERE e.event_kind = 'safe_drop') AS drops
    FROM rest.cash_drawer_event AS e
    WHERE e.business_id = %(business_id)s
    GROUP BY e.cash_drawer_session_id
) AS n
WHERE d.business_id = %(business_id)s AND d.cash_drawer_session_id = n.cash_drawer_session_id;

UPDATE rest.cash_drawer_session AS d
SET state = 'counting'
FROM rest.business_day AS b
WHERE d.business_id = %(business_id)s
  AND b.business_id = d.business_id AND b.business_day_id = d.business_day_id
  AND b.state = 'closed';

-- Counted to a dollar or two, now and then off by more: also once in the last weeks.
UPDATE rest.cash_drawer_session AS d
SET state = 'closed', closed_by_staff_id = d.opened_by_staff_id,
    closed_at = d.opened_at + interval '15 hours',
    counted_cash = d.expected_cash + CASE WHEN n.place %% 31 = 17 OR n.is_off THEN -22.5
                                          WHEN n.place %% 3 = 0 THEN 0
                                          ELSE (n.place %% 9 - 4) * 0.5 END,
    denomination_doc = jsonb_build_object('100', 0, '20', floor(d.expected_cash / 20)::integer,
                                          'coins', 'rest')
FROM (
    SELECT x.cash_drawer_session_id, h.place,
           r.is_recent AND row_number() OVER (PARTITION BY r.is_recent ORDER BY h.place) = 1
               AS is_off
    FROM rest.cash_drawer_session AS x
    CROSS JOIN LATERAL (
        SELECT ('x' || substr(md5(x.cash_drawer_session_id::text), 1, 7))::bit(28)::integer
                   AS place
    ) AS h
    CROSS JOIN LATERAL (SELECT x.opened_at >= %(as_of)s - interval '27 days' AS is_recent) AS r
    WHERE x.business_id = %(business_id)s AND x.state = 'counting'
) AS n
WHERE d.business_id = %(business_id)s AND d.cash_drawer_session_id = n.cash_drawer_session_id;

UPDATE rest.business_day AS b
SET cash_expected = n.expected, cash_counted = n.counted
FROM (
    SELECT d.business_day_id, sum(d.expected_cash) AS expected, sum(d.counted_cash) AS counted
    FROM rest.cash_drawer_session AS d
    WHERE d.business_id = %(business_id)s AND d.state = 'closed'
    GROUP BY d.business_day_id
) AS n
WHERE b.business_id = %(business_id)s AND b.business_day_id = n.business_day_id
  AND b.state = 'closed';

-- What was dropped goes to the bank on the next day; the first day brings the float.
INSERT INTO rest.cash_deposit
    (business_id, cash_deposit_id, business_day_id, prepared_by_staff_id, bag_number, amount,
     prepared_at, picked_up_at, bank_confirmed_at, bank_confirmed_amount, state)
SELECT d.business_id, md5('bag ' || d.cash_drawer_session_id)::uuid, d.business_day_id,
       d.closed_by_staff_id,
       'BAG' || to_char(b.business_date, 'YYMMDD') || substr(md5(d.business_day_id::text), 1, 4),
       CASE WHEN d.drops_total > 0 THEN d.drops_total ELSE 50 END, d.closed_at,
       d.closed_at + interval '9 hours',
       CASE WHEN b.business_date < %(as_of)s::date - 2 THEN d.closed_at + interval '20 hours' END,
       CASE WHEN b.business_date < %(as_of)s::date - 2
            THEN CASE WHEN d.drops_total > 0 THEN d.drops_total ELSE 50 END END,
       CASE WHEN b.business_date < %(as_of)s::date - 2 THEN 'confirmed' ELSE 'in_transit' END
FROM rest.cash_drawer_session AS d
JOIN rest.business_day AS b
    ON b.business_id = d.business_id AND b.business_day_id = d.business_day_id
WHERE d.business_id = %(business_id)s AND d.state = 'closed';

INSERT INTO rest.tip_pool_share
    (business_id, tip_pool_share_id, tip_pool_id, job_role_id, share_points, contributes, receives,
     effective_from)
SELECT p.business_id, md5('counts ' || p.tip_pool_id || j.job_role_id)::uuid, p.tip_pool_id,
       j.job_role_id, n.points, j.is_tipped, true, p.effective_from
FROM rest.tip_pool AS p
JOIN rest.job_role AS j ON j.business_id = p.business_id
JOIN (VALUES ('SERVER', 10), ('BARTENDER', 8), ('RUNNER', 5), ('HOST', 4), ('DISH', 2),
             ('LINE', 3), ('SUPER', 3)) AS n (code, points) ON n.code = j.job_code
WHERE p.business_id = %(business_id)s;

-- Every closed day is shared out.
INSERT INTO rest.tip_distribution
    (business_id, tip_distribution_id, tip_pool_id, business_day_id, staff_member_id, hours_worked,
     points, tips_collected, contributed_amount, received_amount, computed_at, state)
SELECT b.business_id, md5('tips ' || b.business_day_id || s.staff_member_id)::uuid,
       p.tip_pool_id, b.business_day_id, s.staff_member_id, s.hours, s.points, s.tips, s.given,
       s.received, b.closed_at, 'paid'
FROM rest.business_day AS b
JOIN rest.tip_pool AS p ON p.business_id = b.business_id AND p.location_id = b.location_id
CROSS JOIN LATERAL rest.tip_shares(p.tip_pool_id, b.business_day_id) AS s
WHERE b.business_id = %(business_id)s AND b.state = 'closed';
