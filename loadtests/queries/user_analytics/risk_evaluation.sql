-- How risky is what this user is about to do, and what follows? Each sign-in and move of money.
-- budget: p95 60ms
-- weight: 6
-- mode: write
-- rows: >=1
-- params: user_account_id from user_mgmt.user_account where status = 'active'
-- values: action_kind = choice('sign_in', 'sign_in', 'money_move', 'export')
-- values: signal = choice('page_view', 'record_open', 'export')
-- values: magnitude = random_int(1, 60)
SELECT here.business_id,
       r.score,
       r.decision
FROM tenant_mgmt.business AS here
CROSS JOIN LATERAL user_analytics.score_user(
    user_account_id => %(user_account_id)s::uuid,
    action_kind     => %(action_kind)s,
    context         => jsonb_build_object(
        'ip', '203.0.113.40', 'country_code', 'US', 'latitude', 41.9, 'longitude', -87.6,
        'signal', %(signal)s::text, 'magnitude', %(magnitude)s::integer)) AS r
WHERE here.business_id = %(business_id)s
