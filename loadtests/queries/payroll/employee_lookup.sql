-- The payroll office looks somebody up: the first letters of a name, or a number.
-- budget: p95 30ms
-- weight: 6
-- mode: read
-- rows: >=1
-- params: last_name, employee_number from payroll.employee
WITH found AS (
    -- In the order of the index, so that many of one name cost no more than a page of them.
    (SELECT e.employee_id
     FROM payroll.employee AS e
     WHERE e.business_id = %(business_id)s
       AND e.last_name_normalized ^@ lower(left(%(last_name)s, 3))
     ORDER BY e.last_name_normalized USING ~<~
     LIMIT 25)
    UNION
    SELECT e.employee_id
    FROM payroll.employee AS e
    WHERE e.business_id = %(business_id)s AND e.employee_number = %(employee_number)s
)
SELECT e.business_id, e.employee_id, e.employee_number, e.last_name, e.first_name, e.status,
       p.title, d.name AS department
FROM found AS f
JOIN payroll.employee AS e ON e.business_id = %(business_id)s AND e.employee_id = f.employee_id
LEFT JOIN LATERAL (
    SELECT a.job_profile_id, a.department_id
    FROM payroll.job_assignment AS a
    WHERE a.business_id = %(business_id)s AND a.employee_id = e.employee_id AND a.is_primary
    ORDER BY a.effective_from DESC
    LIMIT 1
) AS a ON true
LEFT JOIN payroll.job_profile AS p
    ON p.business_id = %(business_id)s AND p.job_profile_id = a.job_profile_id
LEFT JOIN payroll.department AS d
    ON d.business_id = %(business_id)s AND d.department_id = a.department_id
WHERE e.business_id = %(business_id)s
ORDER BY e.last_name, e.first_name, e.employee_number
LIMIT 25
