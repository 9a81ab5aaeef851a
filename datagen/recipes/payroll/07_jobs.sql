SELECT tenant_mgmt.set_tenant(%(business_id)s);

-- The job says the department and the rhythm of the week.
UPDATE payroll.job_assignment AS a
SET department_id = d.department_id,
    work_schedule_id = s.work_schedule_id,
    worker_category = CASE WHEN p.flsa_status = 'exempt' THEN 'full_time'
                           ELSE a.worker_category END,
    standard_hours_weekly = CASE WHEN p.flsa_status = 'exempt' THEN 40
                                 ELSE a.standard_hours_weekly END,
    fte_pct = CASE WHEN p.flsa_status = 'exempt' THEN 100 ELSE a.fte_pct END,
    is_supervisor = p.job_code IN ('LEAD', 'MGR', 'OPSMGR')
FROM payroll.job_profile AS p
CROSS JOIN payroll.department AS d
CROSS JOIN payroll.work_schedule AS s
WHERE a.business_id = %(business_id)s AND p.business_id = a.business_id
  AND p.job_profile_id = a.job_profile_id AND d.business_id = a.business_id
  AND d.code = CASE p.job_code WHEN 'CSR' THEN 'SVC' WHEN 'CASHIER' THEN 'SVC'
                               WHEN 'SERVER' THEN 'SVC' WHEN 'BARTEND' THEN 'SVC'
                               WHEN 'COOK' THEN 'OPS' WHEN 'WHSE' THEN 'WHS'
                               WHEN 'DRIVER' THEN 'WHS' WHEN 'TECH' THEN 'FAC'
                               WHEN 'LEAD' THEN 'OPS' WHEN 'BOOKKP' THEN 'FIN'
                               WHEN 'MGR' THEN 'OPS' WHEN 'OPSMGR' THEN 'ADM'
                               WHEN 'DEV' THEN 'IT' ELSE 'SAL' END
  AND s.business_id = a.business_id
  AND s.code = CASE WHEN p.flsa_status = 'exempt' THEN 'FLEX'
                    WHEN a.worker_category IN ('part_time', 'seasonal', 'on_call')
                    THEN (ARRAY['PART', 'WEEKEND'])[
                        1 + abs(hashtextextended('week ' || a.employee_id, 0) %% 2)]
                    WHEN p.job_code IN ('SERVER', 'BARTEND', 'COOK', 'LEAD') THEN 'LATE'
                    WHEN p.job_code IN ('WHSE', 'DRIVER')
                    THEN (ARRAY['EARLY', 'NIGHT', 'EARLY', 'TENS'])[
                        1 + abs(hashtextextended('week ' || a.employee_id, 0) %% 4)]
                    ELSE 'DAY' END;

-- Supervisors of the place manage the others there; without any, the longest-serving one does.
UPDATE payroll.job_assignment AS a
SET manager_employee_id = m.employee_id
FROM payroll.job_assignment AS x
CROSS JOIN LATERAL (
    SELECT y.employee_id
    FROM payroll.job_assignment AS y
    WHERE y.business_id = x.business_id AND y.work_location_id = x.work_location_id
      AND y.employee_id <> x.employee_id AND y.effective_until IS NULL
      AND (y.is_supervisor, y.effective_from, y.employee_id)
          <> (x.is_supervisor, x.effective_from, x.employee_id)
    ORDER BY y.is_supervisor DESC, y.effective_from, y.employee_id
    LIMIT 1
) AS m
WHERE a.business_id = %(business_id)s AND x.business_id = a.business_id
  AND x.job_assignment_id = a.job_assignment_id AND NOT a.is_supervisor;

-- One in twenty-five works a few hours in another job.
INSERT INTO payroll.job_assignment
    (business_id, job_assignment_id, employee_id, job_profile_id, department_id, work_location_id,
     manager_employee_id, assignment_no, is_primary, worker_category, standard_hours_weekly,
     fte_pct, effective_from, change_reason)
SELECT a.business_id, md5('second ' || a.employee_id)::uuid, a.employee_id, p.job_profile_id,
       d.department_id, a.work_location_id, a.manager_employee_id, 2, false, 'part_time', 6, 15,
       greatest(a.effective_from, %(as_of)s::date - 120), 'transfer'
FROM payroll.job_assignment AS a
JOIN payroll.job_profile AS o
    ON o.business_id = a.business_id AND o.job_profile_id = a.job_profile_id
   AND o.flsa_status = 'nonexempt'
JOIN payroll.job_profile AS p ON p.business_id = a.business_id AND p.job_code = 'CSR'
JOIN payroll.department AS d ON d.business_id = a.business_id AND d.code = 'SVC'
WHERE a.business_id = %(business_id)s AND a.effective_until IS NULL AND o.job_code <> 'CSR'
  AND abs(hashtextextended('second ' || a.employee_id, 0) %% 25) = 0;

-- A rate at the hire, and each February or March what the year was worth: 2 to 5 percent.
INSERT INTO payroll.compensation_rate
    (business_id, compensation_rate_id, job_assignment_id, approved_by, pay_basis, rate_amount,
     pay_frequency_basis, effective_from, effective_until, reason, approved_at)
SELECT r.business_id, md5('rate ' || r.step || r.job_assignment_id)::uuid, r.job_assignment_id,
       u.user_account_id, r.pay_basis, r.rate, r.frequency, r.effective_from, r.effective_until,
       CASE WHEN r.step = 0 THEN 'hire' WHEN r.rate = r.minimum THEN 'minimum_wage'
            WHEN r.place %% 5 = 0 THEN 'market' ELSE 'merit' END,
       (r.effective_from - 10)::timestamp AT TIME ZONE 'UTC' + interval '15 hours'
FROM (
    SELECT x.*,
           coalesce(lead(x.effective_from) OVER (PARTITION BY x.job_assignment_id
                                                 ORDER BY x.effective_from),
                    x.job_ends) AS effective_until,
           CASE WHEN x.pay_basis = 'hourly'
                THEN greatest(x.minimum, round(x.base * (1 + x.raise * (x.step - x.steps)), 2))
                ELSE greatest(x.minimum, round(x.base * (1 + x.raise * (x.step - x.steps)), -2))
                END AS rate
    FROM (
        SELECT a.business_id, a.job_assignment_id, a.effective_until AS job_ends, v.step, n.place,
               greatest(a.effective_from, v.day) AS effective_from,
               max(v.step) OVER (PARTITION BY a.job_assignment_id) AS steps,
               0.02 + n.place %% 4 * 0.01 AS raise,
               CASE WHEN p.flsa_status = 'exempt' THEN 'salary' ELSE 'hourly' END AS pay_basis,
               CASE WHEN p.flsa_status = 'exempt' THEN 'year' ELSE 'hour' END AS frequency,
               CASE WHEN p.job_code = 'OUTSALES' THEN 0
                    WHEN p.flsa_status = 'exempt'
                    THEN 52 * coalesce(l.exempt_weekly_minimum_amount,
                                       e.exempt_weekly_minimum_amount)
                    WHEN p.is_tipped
                    THEN coalesce(l.tipped_minimum_wage_amount, l.minimum_wage_amount)
                    ELSE l.minimum_wage_amount END AS minimum,
               (p.pay_range_min_amount
                + (p.pay_range_max_amount - p.pay_range_min_amount) * (0.15 + n.place * 0.007))
               / CASE WHEN p.flsa_status = 'exempt' THEN 1 ELSE 2080 END AS base
        FROM payroll.job_assignment AS a
        JOIN payroll.job_profile AS p
            ON p.business_id = a.business_id AND p.job_profile_id = a.job_profile_id
        JOIN payroll.work_location AS l
            ON l.business_id = a.business_id AND l.work_location_id = a.work_location_id
        JOIN payroll.employer_entity AS e
            ON e.business_id = l.business_id AND e.employer_entity_id = l.employer_entity_id
        CROSS JOIN LATERAL (
            SELECT abs(hashtextextended('rate ' || a.job_assignment_id, 0) %% 100)::integer
                AS place
        ) AS n
        CROSS JOIN LATERAL (
            SELECT 0 AS step, a.effective_from AS day
            UNION ALL
            SELECT y.number,
                   make_date(extract(year FROM %(as_of)s::date)::integer - 3 + y.number,
                             2 + n.place %% 2, 1)
            FROM generate_series(1, 3) AS y (number)
        ) AS v
        WHERE a.business_id = %(business_id)s
          AND (v.step = 0 OR v.day > a.effective_from + 90 AND v.day < %(as_of)s::date
                             AND coalesce(v.day < a.effective_until, true))
    ) AS x
) AS r
LEFT JOIN LATERAL (
    SELECT y.user_account_id
    FROM user_mgmt.user_account AS y
    WHERE y.business_id = r.business_id AND y.account_kind = 'staff' AND y.status = 'active'
    ORDER BY y.user_account_id
    LIMIT 1
) AS u ON true
WHERE r.rate > 0 AND u.user_account_id IS NOT NULL
ORDER BY r.job_assignment_id, r.effective_from;
