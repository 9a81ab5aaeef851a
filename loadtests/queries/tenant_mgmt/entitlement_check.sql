-- May the tenant use this feature? Before every gated API call.
-- budget: p95 15ms
-- weight: 20
-- mode: read
-- rows: >=1
-- params: feature_code from tenant_mgmt.plan_entitlement where plan_id IN (SELECT s.plan_id FROM tenant_mgmt.subscription AS s WHERE s.business_id = plan_entitlement.business_id AND s.status IN ('trialing', 'active', 'past_due', 'non_renewing'))
SELECT e.business_id,
       e.feature_code,
       e.is_granted,
       e.limit_quantity,
       e.config_value,
       e.source,
       e.valid_until
FROM tenant_mgmt.v_entitlement_effective AS e
WHERE e.business_id = %(business_id)s
  AND e.feature_code = %(feature_code)s;
