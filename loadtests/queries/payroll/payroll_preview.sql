-- The reviewer opens a run: each check beside the one before it, and what is to be looked at.
-- budget: p95 280ms
-- weight: 4
-- mode: read
-- growth: linear, it shows every paycheck of the run
-- rows: >=1
-- params: pay_run_id from payroll.pay_run where employee_count > 0
SELECT r.run_number, r.status, r.gross_amount AS run_gross, r.net_amount AS run_net,
       r.employer_cost_amount, e.employee_number, e.last_name, e.first_name, p.hours_worked,
       p.gross_amount, p.employee_tax_amount,
       p.pretax_deduction_amount + p.posttax_deduction_amount AS deduction_amount, p.net_amount,
       p.net_amount - f.net_amount AS change, x.worst, x.told
FROM payroll.pay_run AS r
JOIN payroll.paycheck AS p
    ON p.business_id = %(business_id)s AND p.pay_run_id = r.pay_run_id
JOIN payroll.employee AS e
    ON e.business_id = %(business_id)s AND e.employee_id = p.employee_id
LEFT JOIN LATERAL (
    SELECT c.net_amount
    FROM payroll.paycheck AS c
    WHERE c.business_id = %(business_id)s AND c.employee_id = p.employee_id
      AND c.check_date < p.check_date AND c.status IN ('final', 'paid', 'reissued')
    ORDER BY c.check_date DESC
    LIMIT 1
) AS f ON true
LEFT JOIN (
    SELECT y.employee_id, min(y.severity) AS worst,
           string_agg(y.code, ', ' ORDER BY y.severity, y.code) AS told
    FROM payroll.pay_run_exception AS y
    WHERE y.business_id = %(business_id)s AND y.pay_run_id = %(pay_run_id)s
      AND y.status = 'open'
    GROUP BY y.employee_id
) AS x ON x.employee_id = p.employee_id
WHERE r.business_id = %(business_id)s AND r.pay_run_id = %(pay_run_id)s
ORDER BY x.worst, abs(p.net_amount - f.net_amount) DESC NULLS LAST, e.employee_number
