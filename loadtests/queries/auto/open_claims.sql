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
FROM (
    SELECT x.business_id, x.claim_kind, x.claim_id, x.claim_number, x.payer_name, x.status,
           x.customer_id, x.vehicle_id, x.shop_id, x.opened_at,
           floor(extract(epoch FROM now() - x.opened_at) / 86400)::integer AS age_days,
           x.next_deadline_at, x.next_deadline_at < now() AS is_late, x.claimed_amount,
           x.approved_amount, x.paid_amount,
           greatest(x.approved_amount - x.borne_amount - x.paid_amount, 0)::system_core.money
               AS short_amount
    FROM (
        SELECT c.business_id, 'insurance' AS claim_kind, c.insurance_claim_id AS claim_id,
               c.claim_number, n.name AS payer_name, c.status, c.customer_id, c.vehicle_id, c.shop_id,
               c.assigned_at AS opened_at,
               CASE WHEN c.status IN ('estimate_submitted', 'supplement_submitted')
                    THEN e.submitted_at + n.supplement_approval_hours * interval '1 hour'
                    WHEN c.status IN ('assigned', 'estimating') THEN c.assigned_at + interval '2 days'
                    ELSE c.assigned_at + n.cycle_time_target_days * interval '1 day' END
                   AS next_deadline_at,
               coalesce(e.claimed, 0) AS claimed_amount, coalesce(e.approved, 0) AS approved_amount,
               coalesce(p.amount, 0) AS paid_amount,
               c.deductible_amount + coalesce(p.given_up, 0) AS borne_amount
        FROM auto.insurance_claim AS c
        JOIN auto.insurer AS n ON n.business_id = %(business_id)s AND n.insurer_id = c.insurer_id
        LEFT JOIN LATERAL (
            SELECT (array_agg(v.total_amount ORDER BY v.supplement_no DESC))[1] AS claimed,
                   (array_agg(v.total_amount ORDER BY v.supplement_no DESC)
                        FILTER (WHERE v.status IN ('approved', 'partly_approved')))[1] AS approved,
                   max(v.submitted_at) FILTER (WHERE v.status = 'submitted') AS submitted_at
            FROM auto.damage_estimate AS v
            WHERE v.business_id = %(business_id)s
              AND v.insurance_claim_id = c.insurance_claim_id
              AND v.status IN ('submitted', 'approved', 'partly_approved')
        ) AS e ON true
        LEFT JOIN LATERAL (
            SELECT sum(y.net_amount) AS amount,
                   sum(y.betterment_deducted_amount
                       + CASE y.short_pay_status WHEN 'written_off' THEN y.rate_cut_amount
                                                 ELSE 0 END) AS given_up
            FROM auto.claim_payment AS y
            WHERE y.business_id = %(business_id)s AND y.insurance_claim_id = c.insurance_claim_id
        ) AS p ON true
        WHERE c.status NOT IN ('settled', 'denied', 'withdrawn')
        UNION ALL
        SELECT w.business_id, 'warranty', w.warranty_claim_id, w.claim_number, g.name, w.status,
               o.customer_id, o.vehicle_id, o.shop_id, w.created_at,
               CASE WHEN w.status IN ('draft', 'preauthorized', 'queried')
                    THEN o.completed_at + make_interval(days => g.filing_window_days)
                    WHEN w.status IN ('approved', 'partly_approved')
                    THEN w.decided_on::timestamp AT TIME ZONE 'UTC' + interval '30 days'
                    ELSE w.submitted_at + interval '30 days' END,
               w.claimed_amount, w.approved_amount, coalesce(p.amount, 0), coalesce(p.given_up, 0)
        FROM auto.warranty_claim AS w
        JOIN auto.warranty_program AS g
            ON g.business_id = %(business_id)s AND g.warranty_program_id = w.warranty_program_id
        JOIN auto.repair_job AS j
            ON j.business_id = %(business_id)s AND j.repair_job_id = w.repair_job_id
        JOIN auto.repair_order AS o
            ON o.business_id = %(business_id)s AND o.repair_order_id = j.repair_order_id
        LEFT JOIN LATERAL (
            SELECT sum(y.net_amount) AS amount,
                   sum(y.deductible_deducted_amount
                       + CASE y.short_pay_status WHEN 'written_off' THEN y.rate_cut_amount
                                                 ELSE 0 END) AS given_up
            FROM auto.claim_payment AS y
            WHERE y.business_id = %(business_id)s AND y.warranty_claim_id = w.warranty_claim_id
        ) AS p ON true
        WHERE w.status NOT IN ('paid', 'denied')
    ) AS x
) AS c
JOIN auto.customer AS u ON u.business_id = c.business_id AND u.customer_id = c.customer_id
JOIN auto.vehicle AS v ON v.business_id = c.business_id AND v.vehicle_id = c.vehicle_id
WHERE c.business_id = %(business_id)s
  AND u.business_id = %(business_id)s
  AND v.business_id = %(business_id)s
ORDER BY c.next_deadline_at, c.claim_id
LIMIT 200;
