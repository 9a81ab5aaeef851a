-- How much of a metered limit is left in the running period? Before a metered action.
-- budget: p95 20ms
-- weight: 15
-- mode: read
-- rows: >=1
-- params: feature_code from tenant_mgmt.plan_entitlement where kind = 'metered' AND feature_code IN (SELECT m.meter_code FROM tenant_mgmt.usage_meter AS m WHERE m.business_id = plan_entitlement.business_id) AND plan_id IN (SELECT s.plan_id FROM tenant_mgmt.subscription AS s WHERE s.business_id = plan_entitlement.business_id AND s.status IN ('trialing', 'active', 'past_due', 'non_renewing'))
SELECT e.business_id,
       e.feature_code,
       e.is_granted,
       e.overage_policy,
       e.limit_quantity,
       coalesce(p.aggregated_quantity, 0)                    AS used_quantity,
       e.limit_quantity - coalesce(p.aggregated_quantity, 0) AS remaining_quantity,
       p.period_end
FROM tenant_mgmt.v_entitlement_effective AS e
JOIN tenant_mgmt.usage_meter AS m
    ON m.business_id = e.business_id AND m.meter_code = e.feature_code
LEFT JOIN tenant_mgmt.usage_period AS p
    ON p.business_id = m.business_id
   AND p.subscription_id = e.subscription_id
   AND p.usage_meter_id = m.usage_meter_id
   AND p.period_start <= current_date
   AND p.period_end > current_date
   AND NOT p.is_closed
WHERE e.business_id = %(business_id)s
  AND e.feature_code = %(feature_code)s;
