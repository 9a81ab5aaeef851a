-- The owner confirms another plan: proration, items, contract and event in one go.
-- budget: p95 200ms
-- weight: 1
-- mode: write
-- rows: >=1
-- params: subscription_id from tenant_mgmt.subscription where status IN ('trialing', 'active', 'past_due', 'non_renewing')
-- params: plan_id from tenant_mgmt.plan
SELECT c.business_id,
       c.subscription_change_id,
       c.change_kind,
       c.credit,
       c.charge
FROM tenant_mgmt.subscription AS s
CROSS JOIN LATERAL (
    -- Whoever has the plan already takes the next one: another it always is.
    SELECT p.plan_id
    FROM tenant_mgmt.plan AS p
    WHERE p.business_id = %(business_id)s AND p.plan_id <> s.plan_id
    ORDER BY p.plan_id < %(plan_id)s, p.plan_id
    LIMIT 1
) AS target
CROSS JOIN LATERAL tenant_mgmt.change_plan(s.subscription_id, target.plan_id) AS c
WHERE s.business_id = %(business_id)s AND s.subscription_id = %(subscription_id)s
  AND c.business_id = %(business_id)s;
