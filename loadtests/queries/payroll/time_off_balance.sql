-- The balance card in the app: what is left of each plan and what comes next.
-- budget: p95 40ms
-- weight: 8
-- mode: read
-- rows: >=1
-- params: employee_id from payroll.time_off_enrollment where ended_on IS NULL
SELECT b.business_id, b.code, b.name, b.balance_hours, b.pending_hours, b.projected_hours,
       b.available_hours, b.used_ytd_hours, b.next_tier_on, r.starts_on AS next_off_on, r.status
FROM (
    SELECT e.business_id, e.time_off_enrollment_id, e.employee_id, p.time_off_policy_id, p.code,
           p.name, p.leave_kind, e.balance_hours, e.pending_hours,
           e.balance_hours - e.pending_hours AS projected_hours,
           CASE WHEN p.accrual_method <> 'unlimited'
                THEN e.balance_hours - e.pending_hours + p.allows_negative_hours END AS available_hours,
           e.accrued_ytd_hours, e.used_ytd_hours, e.enrolled_on + p.waiting_days AS usable_from,
           e.last_posted_on, e.next_tier_on
    FROM payroll.time_off_enrollment AS e
    JOIN payroll.time_off_policy AS p
        ON p.business_id = %(business_id)s AND p.time_off_policy_id = e.time_off_policy_id
    WHERE e.ended_on IS NULL
) AS b
LEFT JOIN LATERAL (
    SELECT x.starts_on, x.status
    FROM payroll.time_off_request AS x
    WHERE x.business_id = %(business_id)s AND x.employee_id = b.employee_id
      AND x.time_off_policy_id = b.time_off_policy_id AND x.status IN ('submitted', 'approved')
    ORDER BY x.starts_on
    LIMIT 1
) AS r ON true
WHERE b.business_id = %(business_id)s AND b.employee_id = %(employee_id)s
ORDER BY b.code
