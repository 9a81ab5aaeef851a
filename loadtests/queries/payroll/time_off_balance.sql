-- The balance card in the app: what is left of each plan and what comes next.
-- budget: p95 40ms
-- weight: 8
-- mode: read
-- rows: >=1
-- params: employee_id from payroll.time_off_enrollment where ended_on IS NULL
SELECT b.business_id, b.code, b.name, b.balance_hours, b.pending_hours, b.projected_hours,
       b.available_hours, b.used_ytd_hours, b.next_tier_on, r.starts_on AS next_off_on, r.status
FROM payroll.v_time_off_balance AS b
LEFT JOIN LATERAL (
    SELECT x.starts_on, x.status
    FROM payroll.time_off_request AS x
    WHERE x.business_id = b.business_id AND x.employee_id = b.employee_id
      AND x.time_off_policy_id = b.time_off_policy_id AND x.status IN ('submitted', 'approved')
    ORDER BY x.starts_on
    LIMIT 1
) AS r ON true
WHERE b.business_id = %(business_id)s AND b.employee_id = %(employee_id)s
ORDER BY b.code
