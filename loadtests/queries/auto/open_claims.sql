-- The claims desk opens its list in the morning: what is late first, with what is still short.
-- budget: p95 250ms
-- weight: 1
-- mode: read
-- rows: >=1
SELECT c.business_id,
       c.claim_kind,
       c.claim_id,
       c.claim_number,
       c.payer_name,
       c.status,
       c.age_days,
       c.next_deadline_at,
       c.is_late,
       c.claimed_amount,
       c.approved_amount,
       c.paid_amount,
       c.short_amount,
       u.display_name AS customer_name,
       v.vin
FROM auto.v_open_claims AS c
JOIN auto.customer AS u ON u.business_id = c.business_id AND u.customer_id = c.customer_id
JOIN auto.vehicle AS v ON v.business_id = c.business_id AND v.vehicle_id = c.vehicle_id
WHERE c.business_id = %(business_id)s
  AND u.business_id = %(business_id)s
  AND v.business_id = %(business_id)s
ORDER BY c.next_deadline_at, c.claim_id
LIMIT 200;
