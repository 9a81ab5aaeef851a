-- The owner confirms another plan: proration, items, contract and event in one go.
-- budget: p95 200ms
-- weight: 1
-- mode: write
-- rows: >=0
-- params: subscription_id from tenant_mgmt.subscription where status IN ('trialing', 'active', 'past_due', 'non_renewing')
-- params: plan_id from tenant_mgmt.plan
SELECT c.business_id,
       c.subscription_change_id,
       c.change_kind,
       c.credit,
       c.charge
FROM tenant_mgmt.change_plan(%(subscription_id)s::uuid, %(plan_id)s::uuid) AS c
WHERE c.business_id = %(business_id)s;
