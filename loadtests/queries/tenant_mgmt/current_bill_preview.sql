-- Billing page: what the next invoice will be, as items, usage and coupons stand now.
-- budget: p95 150ms
-- weight: 2
-- mode: read
-- rows: >=1
-- params: subscription_id from tenant_mgmt.subscription where status = 'active'
SELECT s.business_id, s.subscription_id, recurring.amount AS recurring_amount,
       usage.amount AS usage_amount, discount.amount AS discount_amount,
       recurring.amount + usage.amount - discount.amount AS total_amount
FROM tenant_mgmt.subscription AS s
CROSS JOIN LATERAL (
    SELECT coalesce(round(sum(
               i.quantity * i.unit_price_amount * (1 - i.discount_pct / 100)), 2), 0) AS amount
    FROM tenant_mgmt.subscription_item AS i
    WHERE i.business_id = %(business_id)s
      AND i.subscription_id = s.subscription_id
      AND i.effective_from <= now()
      AND (i.effective_until > now() OR i.effective_until IS NULL)
) AS recurring
CROSS JOIN LATERAL (
    SELECT coalesce(sum(tenant_mgmt.usage_amount(
               p.business_id, s.plan_id, p.usage_meter_id, p.overage_quantity)), 0) AS amount
    FROM tenant_mgmt.usage_period AS p
    WHERE p.business_id = %(business_id)s
      AND p.subscription_id = s.subscription_id
      AND NOT p.is_closed
      AND p.period_start <= (now() AT TIME ZONE 'UTC')::date
      AND p.period_end > (now() AT TIME ZONE 'UTC')::date
) AS usage
CROSS JOIN LATERAL (
    SELECT least(recurring.amount + usage.amount, coalesce(sum(CASE c.discount_kind
               WHEN 'percent' THEN round(
                   (recurring.amount + usage.amount) * c.percent_off / 100, 2)
               WHEN 'amount' THEN c.amount_off
               ELSE recurring.amount END), 0)) AS amount
    FROM tenant_mgmt.coupon_redemption AS c
    WHERE c.business_id = %(business_id)s
      AND c.subscription_id = s.subscription_id
      AND c.revoked_at IS NULL
      AND (c.expires_at > now() OR c.expires_at IS NULL)
      AND (c.duration = 'forever' OR c.months_remaining > 0
           OR (c.duration = 'once' AND c.total_discounted_amount = 0))
) AS discount
WHERE s.business_id = %(business_id)s AND s.subscription_id = %(subscription_id)s
