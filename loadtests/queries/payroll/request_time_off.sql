-- An employee asks for an hour off: hours are held at once, shifts in the way are counted.
-- budget: p95 100ms
-- weight: 2
-- mode: write
-- rows: >=0
-- params: employee_id, time_off_policy_id from payroll.time_off_enrollment where ended_on IS NULL AND balance_hours - pending_hours > 4 AND EXISTS (SELECT FROM payroll.time_off_policy AS p WHERE p.business_id = time_off_enrollment.business_id AND p.time_off_policy_id = time_off_enrollment.time_off_policy_id AND time_off_enrollment.enrolled_on + p.waiting_days <= current_date + 30)
-- values: days = random_int(30, 400)
SELECT b.business_id, r.time_off_request_id, r.conflicts_found, r.hours_left
FROM payroll.v_time_off_balance AS b
CROSS JOIN LATERAL payroll.request_time_off(
    b.employee_id, b.time_off_policy_id, current_date + %(days)s::integer,
    current_date + %(days)s::integer, 1, 'hours') AS r
WHERE b.business_id = %(business_id)s AND b.employee_id = %(employee_id)s
  AND b.time_off_policy_id = %(time_off_policy_id)s AND b.available_hours >= 1
