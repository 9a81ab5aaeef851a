-- A manager looks at a department: cost against budget, overtime and heads by month and place.
-- budget: p95 100ms
-- weight: 3
-- mode: read
-- rows: >=1
-- growth: linear, the year to date adds up every month and place of the department
-- params: department_id from payroll.headcount_snapshot
SELECT m.month, w.name AS place, m.total_cost_amount, m.budget_amount,
       m.total_cost_amount - m.budget_amount AS over_amount, m.overtime_hours, m.overtime_pct,
       m.headcount, m.fte, m.cost_per_fte_amount,
       sum(m.total_cost_amount) OVER (
           PARTITION BY m.work_location_id, date_trunc('year', m.month::timestamp)
           ORDER BY m.month) AS year_to_date_amount
FROM payroll.v_labor_cost_monthly AS m
JOIN payroll.work_location AS w
    ON w.business_id = %(business_id)s AND w.work_location_id = m.work_location_id
WHERE m.business_id = %(business_id)s AND m.department_id = %(department_id)s
ORDER BY m.month DESC, w.name
LIMIT 36
