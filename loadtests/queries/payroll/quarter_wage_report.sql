-- The rows of a state's wage report: each employee's wages of the quarter, total and taxable.
-- budget: p95 300ms
-- weight: 1
-- mode: read
-- growth: linear, every employee of the quarter stands in it
-- rows: >=1
-- params: employer_tax_account_id from payroll.employer_tax_account where status = 'active' and experience_rate is not null and (employer_entity_id, tax_code_id) in (select r.employer_entity_id, t.tax_code_id from payroll.paycheck_tax as t join payroll.paycheck as p using (business_id, paycheck_id) join payroll.pay_run as r using (business_id, pay_run_id) where p.status = 'paid')
SELECT a.account_number, q.tax_year, q.quarter_no, e.employee_number, e.last_name, e.first_name,
       e.ssn_last4, g.amount AS total_wages, w.amount_qtd AS taxable_wages,
       round(w.amount_qtd * a.experience_rate, 2) AS contribution
FROM payroll.employer_tax_account AS a
JOIN payroll.tax_code AS c
    ON c.business_id = %(business_id)s AND c.tax_code_id = a.tax_code_id
CROSS JOIN LATERAL (
    SELECT y.tax_year, y.quarter_no
    FROM payroll.ytd_accumulator AS y
    WHERE y.business_id = %(business_id)s AND y.employer_entity_id = a.employer_entity_id
      AND y.item_kind = 'taxable_wage' AND y.item_code = c.code
    ORDER BY y.tax_year DESC, y.quarter_no DESC
    LIMIT 1
) AS q
JOIN payroll.ytd_accumulator AS w
    ON w.business_id = %(business_id)s AND w.employer_entity_id = a.employer_entity_id
   AND w.tax_year = q.tax_year AND w.quarter_no = q.quarter_no AND w.item_kind = 'taxable_wage'
   AND w.item_code = c.code
JOIN payroll.employee AS e
    ON e.business_id = %(business_id)s AND e.employee_id = w.employee_id
CROSS JOIN LATERAL (
    SELECT sum(y.amount_qtd) AS amount
    FROM payroll.ytd_accumulator AS y
    JOIN payroll.earning_code AS k
        ON k.business_id = %(business_id)s AND k.code = y.item_code
       AND k.earning_kind <> 'reimbursement'
    WHERE y.business_id = %(business_id)s AND y.employee_id = w.employee_id
      AND y.employer_entity_id = a.employer_entity_id AND y.tax_year = q.tax_year
      AND y.quarter_no = q.quarter_no AND y.item_kind = 'earning'
) AS g
WHERE a.business_id = %(business_id)s
  AND a.employer_tax_account_id = %(employer_tax_account_id)s
ORDER BY e.last_name, e.employee_number
