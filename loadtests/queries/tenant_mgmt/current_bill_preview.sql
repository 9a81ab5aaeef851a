-- Billing page: what the next invoice will be, as items and usage stand now.
-- budget: p95 150ms
-- weight: 2
-- mode: read
-- rows: >=1
-- params: subscription_id from tenant_mgmt.subscription where status = 'active'
WITH contract AS (
    SELECT s.business_id, s.subscription_id, s.plan_id
    FROM tenant_mgmt.subscription AS s
    WHERE s.business_id = %(business_id)s AND s.subscription_id = %(subscription_id)s
), recurring AS (
    SELECT coalesce(sum(i.quantity * i.unit_price_amount * (1 - i.discount_pct / 100)), 0) AS amount
    FROM tenant_mgmt.subscription_item AS i
    WHERE i.business_id = %(business_id)s
        AND i.subscription_id = %(subscription_id)s
        AND i.effective_from <= now()
        AND (i.effective_until IS NULL OR i.effective_until > now())
), overage AS (
    SELECT coalesce(sum(greatest(least(p.overage_quantity, coalesce(t.to_quantity, p.overage_quantity))
                                 - t.from_quantity, 0) * t.unit_amount), 0) AS amount
    FROM contract AS c
    JOIN tenant_mgmt.usage_period AS p
        ON p.business_id = %(business_id)s AND p.subscription_id = c.subscription_id
        AND NOT p.is_closed
    JOIN tenant_mgmt.usage_rate_tier AS t
        ON t.business_id = %(business_id)s AND t.plan_id = c.plan_id
        AND t.usage_meter_id = p.usage_meter_id
), coupon AS (
    SELECT coalesce(max(r.percent_off), 0) AS percent_off
    FROM tenant_mgmt.coupon_redemption AS r
    WHERE r.business_id = %(business_id)s
        AND r.subscription_id = %(subscription_id)s
        AND r.revoked_at IS NULL AND (r.expires_at IS NULL OR r.expires_at > now())
)
SELECT c.business_id, c.subscription_id, recurring.amount AS recurring_amount,
       overage.amount AS overage_amount,
       round((recurring.amount + overage.amount) * (1 - coupon.percent_off / 100), 2) AS total
FROM contract AS c
CROSS JOIN recurring
CROSS JOIN overage
CROSS JOIN coupon
