SELECT tenant_mgmt.set_tenant(%(business_id)s);

-- Two years of months that are over, the oldest first: open posts look back two months.
SELECT payroll.take_headcount(m.month)
FROM (
    SELECT (date_trunc('month', %(as_of)s::timestamptz AT TIME ZONE 'UTC')
            - make_interval(months => n))::date AS month
    FROM generate_series(1, 24) AS n
    ORDER BY 1
) AS m;

-- A period's cost is taken the morning after it was paid.
SELECT payroll.take_labor_cost(o.pay_period_id, (o.check_date + 1)::timestamp AT TIME ZONE 'UTC'
                                                + interval '5 hours')
FROM payroll.pay_period AS o
WHERE o.business_id = %(business_id)s
  AND (o.check_date + 1)::timestamp AT TIME ZONE 'UTC' + interval '5 hours' <= %(as_of)s
  AND EXISTS (
      SELECT FROM payroll.paycheck AS p
      WHERE p.business_id = o.business_id AND p.pay_period_id = o.pay_period_id
        AND payroll.paycheck_counts(p.status))
ORDER BY o.check_date, o.pay_period_id;

-- What was unlike before is looked at in the review of the run; what is in review now is open.
SET LOCAL enable_nestloop = off;
SELECT payroll.find_variances(r.pay_run_id)
FROM payroll.pay_run AS r
WHERE r.business_id = %(business_id)s AND r.run_kind = 'regular' AND r.calculated_at IS NOT NULL
  AND r.status NOT IN ('cancelled', 'reversed')
  AND r.check_date > (%(as_of)s::timestamptz AT TIME ZONE 'UTC')::date - 180
ORDER BY r.check_date, r.run_number;
SET LOCAL enable_nestloop = on;

UPDATE payroll.pay_variance AS v
SET status = CASE WHEN v.reason_guess = 'missing_hours' AND n.place < 20 THEN 'error_fixed'
                  WHEN v.reason_guess <> 'unknown' OR n.place < 50 THEN 'explained'
                  ELSE 'ignored' END,
    reviewed_by = w.approver_user_account_id, reviewed_at = w.decided_at,
    explanation = CASE v.reason_guess
                      WHEN 'missing_hours' THEN CASE WHEN n.place < 20
                          THEN 'A timesheet had been left open; calculated anew'
                          ELSE 'Fewer shifts in this period' END
                      WHEN 'rate_change' THEN 'The new rate applies from this period'
                      WHEN 'bonus' THEN 'Bonus as approved'
                      WHEN 'termination' THEN 'Last pay with what was left of the leave'
                      WHEN 'new_hire' THEN 'The first periods were not whole ones'
                      WHEN 'tax_change' THEN 'New certificate since this period'
                      ELSE CASE WHEN n.place < 50 THEN 'Overtime of a colleague''s absence' END END
FROM payroll.pay_run AS r
JOIN (
    SELECT DISTINCT ON (a.pay_run_id) a.business_id, a.pay_run_id, a.approver_user_account_id,
           a.decided_at
    FROM payroll.pay_run_approval AS a
    WHERE a.business_id = %(business_id)s AND a.decided_at IS NOT NULL
    ORDER BY a.pay_run_id, a.step_no
) AS w ON w.business_id = r.business_id AND w.pay_run_id = r.pay_run_id
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(r.pay_run_id::text, 62) %% 100) AS place
) AS n
WHERE v.business_id = %(business_id)s AND r.business_id = v.business_id
  AND r.pay_run_id = v.pay_run_id AND r.status NOT IN ('draft', 'calculated', 'in_review');

-- The calendar of last year, this one and, from autumn on, the next.
SELECT payroll.plan_deadlines(e.employer_entity_id, y.year, u.user_account_id)
FROM payroll.employer_entity AS e
CROSS JOIN LATERAL (
    SELECT extract(year FROM %(as_of)s::timestamptz AT TIME ZONE 'UTC')::integer + n AS year
    FROM generate_series(-1, 1) AS n
    WHERE n < 1 OR extract(month FROM %(as_of)s::timestamptz AT TIME ZONE 'UTC') > 8
) AS y
CROSS JOIN LATERAL (
    SELECT r.prepared_by AS user_account_id
    FROM payroll.pay_run AS r
    WHERE r.business_id = e.business_id AND r.prepared_by IS NOT NULL
    ORDER BY r.check_date DESC, r.run_number
    LIMIT 1
) AS u
WHERE e.business_id = %(business_id)s
ORDER BY e.employer_entity_id, y.year;

UPDATE payroll.compliance_deadline AS d
SET compliance_deadline_id = md5(concat_ws(' ', 'duty', d.employer_entity_id, d.duty_code,
                                           d.period_end))::uuid,
    status = s.status,
    completed_on = CASE WHEN s.status = 'done' THEN s.done_on END,
    note = CASE s.status WHEN 'late' THEN 'Came back; to be corrected and filed again'
                         WHEN 'not_applicable' THEN 'No wages of this account in the period' END
FROM (
    SELECT x.compliance_deadline_id, c.done_on,
           CASE WHEN c.done_on IS NOT NULL THEN 'done'
                -- What was filed a year before and not again had nothing to tell.
                WHEN x.due_on < c.today AND x.tax_filing_id IS NULL AND x.duty_code ~ '^RET-'
                THEN 'not_applicable'
                WHEN x.due_on < c.today THEN 'late'
                WHEN x.due_on < c.today + 12 THEN 'in_progress' ELSE 'upcoming' END AS status
    FROM payroll.compliance_deadline AS x
    LEFT JOIN payroll.tax_filing AS f
        ON f.business_id = x.business_id AND f.tax_filing_id = x.tax_filing_id
    LEFT JOIN payroll.tax_deposit AS t
        ON t.business_id = x.business_id AND t.tax_deposit_id = x.tax_deposit_id
    LEFT JOIN payroll.employee AS e
        ON e.business_id = x.business_id AND e.employer_entity_id = x.employer_entity_id
       AND x.duty_code = payroll.duty_code('NEWHIRE', e.employee_number)
    LEFT JOIN LATERAL (
        SELECT n.submitted_on
        FROM payroll.new_hire_report AS n
        JOIN payroll.employment_spell AS s
            ON s.business_id = n.business_id AND s.employment_spell_id = n.employment_spell_id
        WHERE n.business_id = e.business_id AND n.employee_id = e.employee_id
          AND s.hired_on = x.period_end
        LIMIT 1
    ) AS h ON true
    CROSS JOIN LATERAL (
        SELECT (%(as_of)s::timestamptz AT TIME ZONE 'UTC')::date AS today,
               CASE
                   WHEN f.tax_filing_id IS NOT NULL
                   THEN CASE WHEN f.status IN ('filed', 'accepted', 'amended')
                             THEN (f.filed_at AT TIME ZONE 'UTC')::date END
                   WHEN t.tax_deposit_id IS NOT NULL
                   THEN CASE WHEN t.status = 'settled' THEN t.settled_on END
                   WHEN e.employee_id IS NOT NULL THEN h.submitted_on
                   WHEN x.duty_code ~ '^RET-' THEN NULL
                   -- Forms and posters are done some days ahead of their day.
                   WHEN x.due_on - 4 < (%(as_of)s::timestamptz AT TIME ZONE 'UTC')::date
                   THEN x.due_on - 5 END AS done_on
    ) AS c
    WHERE x.business_id = %(business_id)s
) AS s
WHERE d.business_id = %(business_id)s AND d.compliance_deadline_id = s.compliance_deadline_id;

-- The reports of the office, of finance and of the managers.
INSERT INTO payroll.report_definition
    (business_id, report_definition_id, owner_user_account_id, code, name, report_kind, definition,
     visibility, schedule_cron, recipients, masks_pay)
SELECT %(business_id)s, md5(concat_ws(' ', 'report', d.code, %(business_id)s))::uuid,
       u.user_account_id, d.code, d.name, d.kind, d.definition::jsonb, d.visibility, d.cron,
       CASE WHEN d.cron IS NULL THEN '{}' ELSE ARRAY[d.visibility || '@' || b.slug
                                                     || '.example.com'] END,
       d.masks_pay
FROM tenant_mgmt.business AS b
CROSS JOIN (VALUES
    ('REGISTER', 'Payroll register', 'register', 'payroll', NULL, false,
     '{"columns": ["check_number", "employee_number", "name", "gross", "taxes", "deductions",
                   "net"]}'),
    ('REGISTER-RUN', 'Totals by run', 'register', 'finance', '0 7 * * 1', false,
     '{"columns": ["run_number", "gross", "taxes", "deductions", "net", "employer_taxes"],
       "group_by": ["run_number"]}'),
    ('TEAM-PAY', 'Hours and pay of my team', 'register', 'managers', '0 6 * * 1', true,
     '{"columns": ["check_date", "name", "hours", "gross"]}'),
    ('COST-DEPT', 'Labor cost by department', 'labor_cost', 'finance', '0 6 2 * *', false,
     '{"columns": ["department", "regular_hours", "overtime_hours", "total_cost", "budget"],
       "group_by": ["department"]}'),
    ('OVERTIME', 'Overtime by place', 'labor_cost', 'managers', '0 6 * * 2', true,
     '{"columns": ["place", "regular_hours", "overtime_hours"], "group_by": ["place"]}'),
    ('TAX-OPEN', 'Taxes that are owed', 'tax_liability', 'payroll', '0 6 * * 3', false,
     '{"columns": ["tax", "due_on", "total"], "filters": {"status": "open"},
       "group_by": ["tax", "due_on"]}'),
    ('DEDUCTIONS', 'Deductions by code', 'deduction', 'payroll', '0 7 1 * *', false,
     '{"columns": ["deduction", "employee_amount", "employer_amount"],
       "group_by": ["deduction"]}'),
    ('BENEFIT-COST', 'What benefits cost', 'benefit_cost', 'finance', NULL, false,
     '{"columns": ["deduction", "employee_amount", "employer_amount"],
       "group_by": ["deduction"]}'),
    ('HOURS', 'Hours by employee', 'time', 'managers', '0 6 * * 1', true,
     '{"columns": ["period_end", "name", "regular_hours", "overtime_hours", "pto_hours"]}'),
    ('HEADCOUNT', 'Heads, hires and leavers', 'headcount', 'managers', '0 6 3 * *', true,
     '{"columns": ["month", "department", "headcount", "hires", "terminations"],
       "group_by": ["month", "department"]}'),
    ('MY-CHECKS', 'Checks by day', 'custom', 'private', NULL, false,
     '{"columns": ["check_date", "net"], "group_by": ["check_date"]}')
) AS d (code, name, kind, visibility, cron, masks_pay, definition)
CROSS JOIN LATERAL (
    SELECT CASE d.visibility WHEN 'finance' THEN max(a.approver_user_account_id::text)::uuid
                             ELSE min(a.approver_user_account_id::text)::uuid END
               AS user_account_id
    FROM payroll.pay_run_approval AS a
    WHERE a.business_id = b.business_id
) AS u
WHERE b.business_id = %(business_id)s;

-- Scheduled ones ran on their weeks and months, the others when somebody looked at a run.
CREATE TEMPORARY TABLE finished ON COMMIT DROP AS
SELECT d.business_id, md5(concat_ws(' ', 'run', d.code, t.started_at, t.run_number,
                                     d.business_id))::uuid
           AS report_run_id,
       d.report_definition_id,
       CASE WHEN d.schedule_cron IS NULL THEN d.owner_user_account_id END AS run_by, t.started_at,
       t.started_at + (CASE WHEN n.place = 1 THEN 30000 ELSE 180 + 17 * n.place END)
                      * interval '1 millisecond' AS finished_at,
       jsonb_build_object('since', t.since, 'until', t.until) AS parameters,
       CASE WHEN n.place = 1 THEN 0 ELSE c.rows END AS row_count,
       CASE WHEN d.schedule_cron IS NULL THEN 'screen' WHEN d.visibility = 'finance' THEN 'xlsx'
            WHEN d.visibility = 'managers' THEN 'pdf' ELSE 'csv' END AS format,
       CASE WHEN n.place = 1 THEN 'failed' ELSE 'done' END AS status,
       CASE WHEN n.place = 1 THEN 'canceling statement due to statement timeout' END
           AS error_detail,
       CASE WHEN d.masks_pay AND d.report_kind = 'register' AND n.place <> 1
            THEN greatest(0, c.rows - 6) ELSE 0 END AS rows_masked
FROM payroll.report_definition AS d
CROSS JOIN LATERAL (
    SELECT (w.day + interval '6 hours 2 minutes') AT TIME ZONE 'UTC' AS started_at,
           (w.day - w.length)::date AS since,
           w.day::date AS until, NULL AS run_number
    FROM (
        SELECT x.day,
               CASE WHEN split_part(d.schedule_cron, ' ', 3) <> '*' THEN interval '1 month'
                    ELSE interval '7 days' END AS length
        FROM generate_series(date_trunc('day', %(as_of)s::timestamptz AT TIME ZONE 'UTC')
                             - interval '380 days',
                             date_trunc('day', %(as_of)s::timestamptz AT TIME ZONE 'UTC'),
                             interval '1 day') AS x (day)
        WHERE split_part(d.schedule_cron, ' ', 3) IN ('*', extract(day FROM x.day)::text)
          AND split_part(d.schedule_cron, ' ', 5) IN ('*', extract(isodow FROM x.day)::text)
    ) AS w
    UNION ALL
    SELECT r.calculated_at + interval '95 minutes', r.check_date, r.check_date + 1,
           r.run_number
    FROM payroll.pay_run AS r
    WHERE d.schedule_cron IS NULL AND r.business_id = d.business_id
      AND r.calculated_at > %(as_of)s::timestamptz - interval '380 days'
      AND abs(hashtextextended(d.code || r.run_number, 62) %% 4) < 2
) AS t
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(concat(d.code, t.started_at, d.business_id), 63) %% 60) AS place
) AS n
CROSS JOIN LATERAL (
    SELECT CASE
               WHEN d.report_kind IN ('register', 'custom') THEN (
                   SELECT CASE WHEN d.definition::jsonb ? 'group_by'
                               THEN count(DISTINCT p.pay_run_id) ELSE count(*) END
                   FROM payroll.paycheck AS p
                   WHERE p.business_id = d.business_id AND p.check_date >= t.since
                     AND p.check_date < t.until)
               WHEN d.report_kind = 'headcount' THEN (
                   SELECT count(DISTINCT h.department_id)
                   FROM payroll.headcount_snapshot AS h
                   WHERE h.business_id = d.business_id AND h.snapshot_month >= t.since
                     AND h.snapshot_month < t.until)
               ELSE (
                   SELECT count(DISTINCT a.department_id)
                   FROM payroll.job_assignment AS a
                   WHERE a.business_id = d.business_id AND a.effective_from < t.until)
           END AS rows
) AS c
WHERE d.business_id = %(business_id)s AND t.started_at + interval '1 minute' <= %(as_of)s;

-- Files of reports are kept for a quarter.
INSERT INTO system_core.file_object
    (business_id, file_object_id, storage_location_id, uploaded_by, file_name, media_type,
     size_bytes, sha256, storage_key, classification, scan_status, uploaded_at)
SELECT r.business_id, md5('file of ' || r.report_run_id)::uuid, s.storage_location_id,
       d.owner_user_account_id,
       lower(d.code) || to_char(r.started_at AT TIME ZONE 'UTC', '"-"YYYYMMDD".') || r.format,
       m.media_type, 9000 + r.row_count * 140,
       sha256(convert_to(r.report_run_id::text, 'UTF8')), 'reports/' || r.report_run_id,
       'confidential', 'clean', r.finished_at
FROM finished AS r
JOIN payroll.report_definition AS d
    ON d.business_id = r.business_id AND d.report_definition_id = r.report_definition_id
JOIN (VALUES
    ('csv', 'text/csv'), ('pdf', 'application/pdf'),
    ('xlsx', 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet')
) AS m (format, media_type) ON m.format = r.format
CROSS JOIN (
    SELECT x.storage_location_id
    FROM system_core.storage_location AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.is_default DESC, x.name
    LIMIT 1
) AS s
WHERE r.business_id = %(business_id)s AND r.status = 'done'
  AND r.started_at > %(as_of)s::timestamptz - interval '90 days';

INSERT INTO system_core.file_version
    (business_id, file_version_id, file_object_id, version_no, uploaded_by, size_bytes, sha256,
     storage_key, is_current, uploaded_at)
SELECT f.business_id, md5('first version ' || f.file_object_id)::uuid, f.file_object_id, 1,
       f.uploaded_by, f.size_bytes, f.sha256, f.storage_key, true, f.uploaded_at
FROM system_core.file_object AS f
WHERE f.business_id = %(business_id)s AND f.storage_key LIKE 'reports/%%';

INSERT INTO payroll.report_run
    (business_id, report_run_id, report_definition_id, run_by, file_object_id, started_at,
     finished_at, parameters, row_count, format, status, error_detail, rows_masked)
SELECT r.business_id, r.report_run_id, r.report_definition_id, r.run_by, f.file_object_id,
       r.started_at, r.finished_at, r.parameters, r.row_count, r.format, r.status,
       r.error_detail, r.rows_masked
FROM finished AS r
LEFT JOIN system_core.file_object AS f
    ON f.business_id = r.business_id
   AND f.file_object_id = md5('file of ' || r.report_run_id)::uuid;

UPDATE payroll.report_definition AS d
SET last_run_at = r.started_at
FROM (
    SELECT x.report_definition_id, max(x.started_at) AS started_at
    FROM payroll.report_run AS x
    WHERE x.business_id = %(business_id)s
    GROUP BY x.report_definition_id
) AS r
WHERE d.business_id = %(business_id)s AND d.report_definition_id = r.report_definition_id;
