-- A supervisor approves the hours of the team: who sent what, with overtime and open questions.
-- budget: p95 150ms
-- weight: 4
-- mode: read
-- rows: >=1
-- params: employee_id, pay_period_id from payroll.timesheet where status IN ('open', 'submitted', 'approved', 'rejected') AND EXISTS (SELECT FROM payroll.job_assignment AS a WHERE a.business_id = timesheet.business_id AND a.employee_id = timesheet.employee_id AND a.is_primary AND a.manager_employee_id IS NOT NULL)
WITH supervisor AS (
    SELECT a.manager_employee_id
    FROM payroll.job_assignment AS a
    WHERE a.business_id = %(business_id)s AND a.employee_id = %(employee_id)s AND a.is_primary
    ORDER BY a.effective_from DESC
    LIMIT 1
)
SELECT t.business_id, t.timesheet_id, t.status, e.employee_number, e.last_name, e.first_name,
       t.regular_hours, t.overtime_hours + t.doubletime_hours AS overtime_hours, t.pto_hours,
       t.employee_attested, t.submitted_at, x.open_exceptions, x.lacks_a_punch
FROM supervisor AS s
JOIN payroll.job_assignment AS a
    ON a.business_id = %(business_id)s AND a.manager_employee_id = s.manager_employee_id
   AND a.is_primary
JOIN payroll.timesheet AS t
    ON t.business_id = %(business_id)s AND t.employee_id = a.employee_id
   AND t.pay_period_id = %(pay_period_id)s
JOIN payroll.employee AS e ON e.business_id = %(business_id)s AND e.employee_id = t.employee_id
LEFT JOIN LATERAL (
    SELECT count(*) AS open_exceptions,
           coalesce(bool_or(y.kind = 'missing_punch'), false) AS lacks_a_punch
    FROM payroll.attendance_exception AS y
    WHERE y.business_id = %(business_id)s AND y.timesheet_id = t.timesheet_id AND y.status = 'open'
) AS x ON true
WHERE t.business_id = %(business_id)s
ORDER BY (t.status = 'submitted') DESC, x.open_exceptions DESC, e.last_name, e.employee_number
LIMIT 60
