-- An employee opens a pay stub: its lines with the year to date beside each.
-- budget: p95 60ms
-- weight: 12
-- mode: read
-- rows: >=1
-- params: paycheck_id from payroll.paycheck where status = 'paid'
SELECT p.check_number, p.check_date, p.gross_amount, p.net_amount, l.part, l.code, l.name, l.hours,
       l.rate, l.amount, coalesce(y.amount_ytd, 0) AS year_to_date
FROM payroll.paycheck AS p
JOIN payroll.pay_run AS r
    ON r.business_id = %(business_id)s AND r.pay_run_id = p.pay_run_id
CROSS JOIN LATERAL (
    SELECT 1 AS turn, 'earning' AS part, e.line_no, c.code::text AS code, c.name,
           NULL::text AS place, e.hours, e.rate_amount::numeric AS rate,
           e.amount::numeric AS amount
    FROM payroll.paycheck_earning AS e
    JOIN payroll.earning_code AS c
        ON c.business_id = %(business_id)s AND c.earning_code_id = e.earning_code_id
    WHERE e.business_id = %(business_id)s AND e.paycheck_id = p.paycheck_id
    UNION ALL
    SELECT 2, 'tax', 0, c.code, c.name, j.code, NULL, t.rate, t.tax_amount
    FROM payroll.paycheck_tax AS t
    JOIN payroll.tax_code AS c
        ON c.business_id = %(business_id)s AND c.tax_code_id = t.tax_code_id
    JOIN payroll.tax_jurisdiction AS j
        ON j.business_id = %(business_id)s AND j.tax_jurisdiction_id = t.tax_jurisdiction_id
    WHERE t.business_id = %(business_id)s AND t.paycheck_id = p.paycheck_id
      AND t.payer = 'employee' AND t.tax_amount > 0
    UNION ALL
    SELECT 3, 'deduction', d.line_no, c.code, c.name, NULL, NULL, NULL, d.employee_amount
    FROM payroll.paycheck_deduction AS d
    JOIN payroll.deduction_code AS c
        ON c.business_id = %(business_id)s AND c.deduction_code_id = d.deduction_code_id
    WHERE d.business_id = %(business_id)s AND d.paycheck_id = p.paycheck_id
      AND d.employee_amount > 0
) AS l
LEFT JOIN payroll.ytd_accumulator AS y
    ON y.business_id = %(business_id)s AND y.employee_id = p.employee_id
   AND y.employer_entity_id = r.employer_entity_id
   AND y.tax_year = extract(year FROM p.check_date)::integer
   AND y.quarter_no = extract(quarter FROM p.check_date)::integer
   AND y.item_kind = l.part AND y.item_code = l.code
   AND y.jurisdiction_code IS NOT DISTINCT FROM l.place
WHERE p.business_id = %(business_id)s AND p.paycheck_id = %(paycheck_id)s
ORDER BY l.turn, l.line_no, l.code
