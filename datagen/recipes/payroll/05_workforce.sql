SELECT tenant_mgmt.set_tenant(%(business_id)s);

-- Staff sign in with accounts of their own, one each.
UPDATE payroll.employee AS e
SET user_account_id = u.user_account_id
FROM (
    SELECT x.employee_id, row_number() OVER (ORDER BY x.employee_number) AS place
    FROM payroll.employee AS x
    WHERE x.business_id = %(business_id)s AND x.status <> 'terminated'
) AS p
JOIN (
    SELECT x.user_account_id, row_number() OVER (ORDER BY x.user_account_id) AS place
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = %(business_id)s AND x.account_kind = 'staff' AND x.status = 'active'
) AS u ON u.place = p.place
WHERE e.business_id = %(business_id)s AND e.employee_id = p.employee_id;

UPDATE payroll.department AS d
SET parent_department_id = t.department_id
FROM payroll.department AS t
WHERE d.business_id = %(business_id)s AND t.business_id = d.business_id
  AND t.code = CASE d.code WHEN 'FIN' THEN 'ADM' WHEN 'IT' THEN 'ADM' WHEN 'SVC' THEN 'OPS'
                           WHEN 'WHS' THEN 'OPS' WHEN 'FAC' THEN 'OPS' END;

-- Who came back had left before.
INSERT INTO payroll.employment_spell
    (business_id, employment_spell_id, employee_id, employer_entity_id, hired_on,
     original_hire_on, terminated_on, last_day_worked, termination_kind, termination_reason,
     notice_given_on, final_pay_due_on)
SELECT s.business_id, md5('former ' || s.employee_id)::uuid, s.employee_id, s.employer_entity_id,
       s.hired_on - 600, s.hired_on - 600, s.hired_on - 150, s.hired_on - 150, 'voluntary',
       'Went back to school', s.hired_on - 164, s.hired_on - 143
FROM payroll.employment_spell AS s
JOIN payroll.employee AS e ON e.business_id = s.business_id AND e.employee_id = s.employee_id
WHERE s.business_id = %(business_id)s AND e.status = 'rehired';

UPDATE payroll.employment_spell AS s
SET original_hire_on = s.hired_on - 600, adjusted_service_on = s.hired_on - 450
FROM payroll.employee AS e
WHERE s.business_id = %(business_id)s AND e.business_id = s.business_id
  AND e.employee_id = s.employee_id AND e.status = 'rehired' AND s.terminated_on IS NULL;

-- The law of the place says when the last check is due; the next payday is told by 22_time.sql.
UPDATE payroll.employment_spell AS s
SET final_pay_due_on = s.terminated_on
                       + CASE WHEN s.termination_kind IN ('involuntary', 'layoff')
                              THEN l.final_pay_discharge_days ELSE l.final_pay_quit_days END
FROM payroll.employee AS e
JOIN payroll.work_location AS l
    ON l.business_id = e.business_id AND l.work_location_id = e.primary_work_location_id
WHERE s.business_id = %(business_id)s AND e.business_id = s.business_id
  AND e.employee_id = s.employee_id AND s.terminated_on IS NOT NULL
  AND s.final_pay_due_on IS NULL;

-- A home is near the work: across a state line for some who work in Hammond.
UPDATE payroll.employee_residence AS r
SET state_code = CASE WHEN l.state_code = 'IN' AND n.place < 25 THEN 'IL' ELSE l.state_code END,
    county = CASE WHEN l.state_code = 'IN' AND n.place < 25 THEN 'Cook' ELSE l.county END,
    municipality = CASE WHEN l.state_code = 'IN' AND n.place < 25 THEN 'Lansing'
                        WHEN n.place %% 3 = 0 THEN l.municipality
                        ELSE (CASE l.state_code WHEN 'IL' THEN ARRAY['Cicero', 'Lisle', 'Aurora']
                                                WHEN 'IN' THEN ARRAY['Munster', 'Highland', 'Gary']
                                                ELSE ARRAY['Alameda', 'Hayward', 'Berkeley'] END
                             )[1 + n.place %% 3] END,
    effective_from = s.hired_on
FROM payroll.employee AS e
JOIN payroll.work_location AS l
    ON l.business_id = e.business_id AND l.work_location_id = e.primary_work_location_id
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended('home ' || e.employee_id, 0) %% 100)::integer AS place
) AS n
JOIN LATERAL (
    SELECT min(x.hired_on) AS hired_on
    FROM payroll.employment_spell AS x
    WHERE x.business_id = e.business_id AND x.employee_id = e.employee_id
) AS s ON true
WHERE r.business_id = %(business_id)s AND e.business_id = r.business_id
  AND e.employee_id = r.employee_id;

-- Some have moved since: half a year ago, within their state.
WITH moved AS (
    UPDATE payroll.employee_residence AS r
    SET effective_until = %(as_of)s::date - 180
    WHERE r.business_id = %(business_id)s AND r.effective_from < %(as_of)s::date - 200
      AND abs(hashtextextended('moved ' || r.employee_id, 0) %% 100) < 20
    RETURNING r.*
)
INSERT INTO payroll.employee_residence
    (business_id, employee_residence_id, employee_id, postal_address_id, state_code, county,
     municipality, effective_from, geocode_confirmed, source)
SELECT r.business_id, md5('moved ' || r.employee_id)::uuid, r.employee_id, r.postal_address_id,
       r.state_code, r.county, r.municipality, %(as_of)s::date - 180, true, 'hr'
FROM moved AS r
ORDER BY r.employee_id;

-- The form is filled in on the first day and completed within three; one in thirty late.
UPDATE payroll.employment_eligibility AS f
SET section1_signed_on = s.hired_on,
    section1_due_on = s.hired_on,
    section2_signed_on = CASE WHEN n.place < 3 THEN d.due_on + 2
                              ELSE least(s.hired_on + n.place %% 3, d.due_on) END,
    section2_due_on = d.due_on,
    retention_until = greatest(s.hired_on + interval '3 years',
                               s.terminated_on + interval '1 year'),
    document_titles = CASE WHEN f.citizenship_status = 'authorized_alien'
                           THEN ARRAY['Employment Authorization Document']
                           WHEN f.citizenship_status = 'permanent_resident'
                           THEN ARRAY['Permanent Resident Card']
                           WHEN f.list_kind = 'list_a' THEN ARRAY['U.S. Passport']
                           ELSE ARRAY['Driver''s license', 'Social Security card'] END,
    document_expires_on = CASE WHEN f.citizenship_status = 'authorized_alien'
                               THEN greatest(s.hired_on, %(as_of)s::date) + 200 + n.place END,
    reverify_due_on = CASE WHEN f.citizenship_status = 'authorized_alien'
                           THEN greatest(s.hired_on, %(as_of)s::date) + 200 + n.place END,
    status = 'complete'
FROM payroll.employment_spell AS s
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended('i9 ' || s.employee_id, 0) %% 100)::integer AS place
) AS n
CROSS JOIN LATERAL (
    SELECT system_core.add_working_days(s.hired_on, 3) AS due_on
) AS d
WHERE f.business_id = %(business_id)s AND s.business_id = f.business_id
  AND s.employee_id = f.employee_id
  AND s.hired_on = (SELECT max(x.hired_on) FROM payroll.employment_spell AS x
                    WHERE x.business_id = s.business_id AND x.employee_id = s.employee_id);

INSERT INTO payroll.new_hire_report
    (business_id, new_hire_report_id, employee_id, employment_spell_id, state_code, due_on,
     submitted_on, method, confirmation_number, status, medical_coverage_available)
SELECT s.business_id, md5('hire ' || s.employment_spell_id)::uuid, s.employee_id,
       s.employment_spell_id, l.state_code, s.hired_on + l.new_hire_report_days,
       s.hired_on + 3 + n.place %% 12,
       (ARRAY['file_upload', 'web_form', 'api'])[1 + n.place %% 3],
       l.state_code || '-' || upper(substr(md5(s.employment_spell_id::text), 1, 10)), 'submitted',
       n.place %% 3 = 0
FROM payroll.employment_spell AS s
JOIN payroll.employee AS e ON e.business_id = s.business_id AND e.employee_id = s.employee_id
JOIN payroll.work_location AS l
    ON l.business_id = e.business_id AND l.work_location_id = e.primary_work_location_id
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended('hire ' || s.employment_spell_id, 0) %% 100)::integer AS place
) AS n
WHERE s.business_id = %(business_id)s AND s.hired_on > %(as_of)s::date - 1000;
