-- A reviewer corrects one employee and has that paycheck calculated anew, the others left alone.
-- budget: p95 200ms
-- weight: 3
-- mode: write
-- rows: >=1
-- params: paycheck_id from payroll.paycheck where status = 'draft' and pay_run_id in (select pay_run_id from payroll.pay_run where status = 'calculated')
SELECT p.business_id,
       payroll.calculate_paycheck(p.pay_run_id, p.employee_id) AS paycheck_id
FROM payroll.paycheck AS p
WHERE p.business_id = %(business_id)s AND p.paycheck_id = %(paycheck_id)s
