-- An employee saves elections of four plans, with the family, in a window that is open to them.
-- budget: p95 150ms
-- weight: 2
-- mode: write
-- rows: >=1
-- params: enrollment_window_id, employee_id from payroll.enrollment_window where status in ('open', 'extended') and employee_id is not null
SELECT w.business_id, e.benefit_enrollment_id
FROM payroll.enrollment_window AS w
JOIN payroll.employee AS p
    ON p.business_id = %(business_id)s AND p.employee_id = w.employee_id
CROSS JOIN LATERAL (
    SELECT CASE WHEN count(*) > 0 THEN 'family' ELSE 'employee' END AS tier,
           coalesce(jsonb_agg(d.dependent_id ORDER BY d.dependent_id), '[]') AS members
    FROM payroll.dependent AS d
    WHERE d.business_id = %(business_id)s AND d.employee_id = w.employee_id
      AND d.ended_on IS NULL AND d.birth_date <= w.coverage_effective_on
      AND coalesce(d.aged_out_on > w.coverage_effective_on, true)
) AS f
CROSS JOIN LATERAL (
    SELECT jsonb_agg(CASE k.plan_kind
               WHEN 'retirement_401k'
               THEN jsonb_build_object('plan', k.benefit_plan_id, 'contribution_percent', 5)
               ELSE jsonb_build_object('plan', k.benefit_plan_id, 'tier', f.tier,
                                       'dependents', f.members) END ORDER BY k.plan_kind) AS told
    FROM (
        SELECT DISTINCT ON (b.plan_kind) b.plan_kind, b.benefit_plan_id
        FROM payroll.benefit_plan AS b
        WHERE b.business_id = %(business_id)s AND b.employer_entity_id = p.employer_entity_id
          AND b.plan_kind IN ('medical', 'dental', 'vision', 'retirement_401k')
          AND w.coverage_effective_on BETWEEN b.plan_year_start AND b.plan_year_end
          AND payroll.eligible_from(w.employee_id, b.benefit_plan_id, current_date) IS NOT NULL
        ORDER BY b.plan_kind, b.plan_code DESC
    ) AS k
) AS c
CROSS JOIN LATERAL payroll.submit_elections(w.employee_id, w.enrollment_window_id, c.told)
    AS e (benefit_enrollment_id)
WHERE w.business_id = %(business_id)s AND w.employee_id = %(employee_id)s
  AND w.enrollment_window_id = %(enrollment_window_id)s
