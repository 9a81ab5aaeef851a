-- A customer taps the link of an estimate and approves the work that it offers.
-- budget: p95 150ms
-- weight: 4
-- mode: write
-- rows: >=0
-- params: repair_order_id from auto.repair_order where status IN ('checked_in', 'diagnosis', 'awaiting_authorization', 'authorized', 'awaiting_parts', 'in_progress')
WITH offer AS (
    SELECT e.repair_order_id, e.estimate_id,
           (SELECT array_agg(j.repair_job_id)
            FROM auto.repair_job AS j
            WHERE j.business_id = %(business_id)s AND j.repair_order_id = e.repair_order_id
              AND j.status IN ('proposed', 'approved')) AS jobs
    FROM auto.estimate AS e
    WHERE e.business_id = %(business_id)s AND e.repair_order_id = %(repair_order_id)s
      AND e.status IN ('sent', 'viewed', 'partly_approved', 'approved')
      AND (e.expires_at IS NULL OR e.expires_at > now())
)
SELECT a.business_id, a.repair_order_id, a.customer_authorization_id, a.decision,
       a.authorized_total
FROM offer
CROSS JOIN LATERAL auto.record_authorization(
    visit    => offer.repair_order_id,
    offer    => offer.estimate_id,
    jobs     => coalesce(offer.jobs, '{}'),
    decision => 'approved',
    method   => 'sms_link') AS a
WHERE a.business_id = %(business_id)s;
