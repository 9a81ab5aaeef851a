SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- Two weeks from a Sunday on; the check is dated on the Friday after next, or the banking day
-- before it. The last period is still to come, the one before it is being worked.
-- Payroll came over from the former system before last year began; of a small business with its
-- last quarter.
INSERT INTO payroll.pay_period
    (business_id, pay_period_id, pay_schedule_id, period_no, starts_on, ends_on, check_date,
     status, working_days)
SELECT d.business_id, md5('period ' || d.starts_on || d.pay_schedule_id)::uuid,
       d.pay_schedule_id, 1, d.starts_on, d.starts_on + 13, d.check_date,
       CASE WHEN n.back = 0 THEN 'future' WHEN n.back = 1 THEN 'open'
            WHEN d.check_date > %(as_of)s::date THEN 'in_processing'
            WHEN n.back < 9 THEN 'paid' ELSE 'closed' END, 10
FROM generate_series(0, 41) AS n (back)
CROSS JOIN LATERAL (
    SELECT s.business_id, s.pay_schedule_id, x.starts_on,
           CASE WHEN payroll.is_banking_day(x.starts_on + 19) THEN x.starts_on + 19
                ELSE payroll.banking_day(x.starts_on + 19, -1) END AS check_date
    FROM payroll.pay_schedule AS s
    CROSS JOIN (
        SELECT date_trunc('week', %(as_of)s::timestamp)::date + 13 - n.back * 14 AS starts_on
    ) AS x
    WHERE s.business_id = %(business_id)s
) AS d
WHERE d.check_date >= make_date(extract(year FROM %(as_of)s::date)::integer - 1, 10, 1)
   OR (SELECT count(*) FROM payroll.employee AS e WHERE e.business_id = d.business_id) >= 25;

-- Numbers, deadlines and third checks of a month follow.
UPDATE payroll.pay_period AS p
SET period_no = n.number, is_third_check_month = n.of_month > 2,
    input_deadline_at = (payroll.banking_day(p.check_date, -3) + time '12:00')
                        AT TIME ZONE b.time_zone,
    approval_deadline_at = (payroll.banking_day(p.check_date, -2) + time '16:00')
                           AT TIME ZONE b.time_zone
FROM (
    SELECT x.pay_period_id,
           row_number() OVER (PARTITION BY x.pay_schedule_id, x.tax_year
                              ORDER BY x.check_date) AS number,
           row_number() OVER (PARTITION BY x.pay_schedule_id, date_trunc('month', x.check_date)
                              ORDER BY x.check_date) AS of_month
    FROM payroll.pay_period AS x
    WHERE x.business_id = %(business_id)s
) AS n
CROSS JOIN tenant_mgmt.business AS b
WHERE p.business_id = %(business_id)s AND p.pay_period_id = n.pay_period_id
  AND b.business_id = p.business_id;

UPDATE payroll.pay_schedule AS s
SET next_check_date = n.check_date
FROM (
    SELECT x.pay_schedule_id, min(x.check_date) AS check_date
    FROM payroll.pay_period AS x
    WHERE x.business_id = %(business_id)s AND x.check_date >= %(as_of)s::date
    GROUP BY x.pay_schedule_id
) AS n
WHERE s.business_id = %(business_id)s AND s.pay_schedule_id = n.pay_schedule_id;

-- Who receives what is withheld.
INSERT INTO payroll.garnishment_agency
    (business_id, garnishment_agency_id, name, agency_kind, state_code, fips_code,
     payment_method, routing_token, requires_fips, remittance_due_days, contact_phone)
SELECT %(business_id)s::uuid, md5('agency ' || a.name || %(business_id)s)::uuid, a.name, a.kind,
       a.state, a.fips, a.method, CASE a.method WHEN 'eft' THEN 'vault:payroll/agency/' || a.place
                                                END,
       a.fips IS NOT NULL, a.days, a.phone
FROM (VALUES
    (1, 'Illinois State Disbursement Unit', 'child_support_sdu', 'IL', '17031', 'eft', 7,
     '+18772254377'),
    (2, 'Indiana State Central Collection Unit', 'child_support_sdu', 'IN', '18089', 'eft', 7,
     '+18008408757'),
    (3, 'California State Disbursement Unit', 'child_support_sdu', 'CA', '06001', 'eft', 7,
     '+18669013212'),
    (4, 'Internal Revenue Service', 'irs', NULL, NULL, 'portal', 30, '+18008297650'),
    (5, 'Clerk of the Circuit Court of Cook County', 'court', 'IL', NULL, 'check', 30,
     '+13126035030'),
    (6, 'Office of the Standing Chapter 13 Trustee', 'bankruptcy_trustee', 'IL', NULL, 'check',
     30, '+13122948080'),
    (7, 'Department of Education, administrative wage garnishment', 'student_loan', NULL, NULL,
     'portal', 30, '+18006213115')
) AS a (place, name, kind, state, fips, method, days, phone);

-- One in twenty has an order, half of them for support; a third of those owe a second one.
INSERT INTO payroll.garnishment_order
    (business_id, garnishment_order_id, employee_id, garnishment_agency_id, case_number,
     order_kind, received_on, effective_on, withholding_amount, withholding_percent,
     max_percent_disposable, exempt_amount, arrears_over_12_weeks, supports_second_family,
     priority, total_owed_amount, status, employer_fee_amount)
SELECT e.business_id, md5('order ' || k.turn || e.employee_id)::uuid, e.employee_id,
       a.garnishment_agency_id,
       CASE k.kind WHEN 'child_support' THEN 'D-' ELSE 'M-' END
       || upper(substr(md5('case ' || k.turn || e.employee_id), 1, 9)),
       k.kind, e.since + 20 + e.place %% 60, e.since + 27 + e.place %% 60, k.amount, k.percent,
       CASE k.kind WHEN 'child_support'
                   THEN CASE WHEN e.place %% 2 = 0 THEN 50 ELSE 60 END
                        + CASE WHEN e.place %% 5 = 0 THEN 5 ELSE 0 END
                   WHEN 'creditor' THEN 15 WHEN 'student_loan' THEN 15 END,
       CASE k.kind WHEN 'creditor' THEN 435 WHEN 'federal_tax_levy' THEN 1192.31 ELSE 0 END,
       k.kind = 'child_support' AND e.place %% 5 = 0,
       k.kind = 'child_support' AND e.place %% 2 = 0, k.turn,
       CASE k.kind WHEN 'creditor' THEN 1800 + e.place %% 40 * 100
                   WHEN 'federal_tax_levy' THEN 4200 + e.place %% 20 * 250
                   WHEN 'student_loan' THEN 9000 + e.place %% 50 * 120 END,
       CASE WHEN e.is_gone THEN 'released' ELSE 'active' END,
       CASE k.kind WHEN 'child_support' THEN 0 ELSE 12 END
FROM (
    SELECT h.business_id, h.employee_id, h.since, h.state_code, h.is_gone,
           (abs(h.drawn) %% 1000)::integer AS place,
           -- Those first whose pay an order has long been taken from; of four one has gone since.
           row_number() OVER (ORDER BY h.is_new, h.turn * CASE WHEN h.is_gone THEN 4 ELSE 1 END,
                                       h.drawn, h.employee_id) AS turn,
           count(*) OVER () AS people
    FROM (
        SELECT d.*, row_number() OVER (PARTITION BY d.is_new, d.is_gone
                                       ORDER BY d.drawn, d.employee_id) AS turn
        FROM (
            SELECT x.business_id, x.employee_id, max(s.hired_on) AS since, l.state_code,
                   bool_and(s.terminated_on IS NOT NULL) AS is_gone,
                   max(s.hired_on) > %(as_of)s::date - 200 AS is_new,
                   hashtextextended('order ' || x.employee_id, 0) AS drawn
            FROM payroll.employee AS x
            JOIN payroll.employment_spell AS s
                ON s.business_id = x.business_id AND s.employee_id = x.employee_id
            JOIN payroll.work_location AS l
                ON l.business_id = x.business_id
               AND l.work_location_id = x.primary_work_location_id
            WHERE x.business_id = %(business_id)s
            GROUP BY x.business_id, x.employee_id, l.state_code
        ) AS d
    ) AS h
) AS e
CROSS JOIN LATERAL (VALUES
    (1, CASE WHEN e.turn %% 2 = 1 THEN 'child_support' WHEN e.turn %% 6 = 2 THEN 'creditor'
             WHEN e.turn %% 6 = 4 THEN 'federal_tax_levy' ELSE 'student_loan' END,
     CASE WHEN e.turn %% 2 = 1 THEN 140 + e.place %% 12 * 15
          WHEN e.turn %% 6 = 4 THEN 150 + e.place %% 5 * 10 END,
     CASE WHEN e.turn %% 2 = 0 AND e.turn %% 6 <> 4 THEN 15 END),
    (2, CASE WHEN e.turn %% 6 = 1 THEN 'creditor' END, NULL, 15)
) AS k (turn, kind, amount, percent)
JOIN payroll.garnishment_agency AS a
    ON a.business_id = e.business_id
   AND a.agency_kind = CASE k.kind WHEN 'child_support' THEN 'child_support_sdu'
                                   WHEN 'federal_tax_levy' THEN 'irs'
                                   WHEN 'creditor' THEN 'court' ELSE 'student_loan' END
   AND (k.kind <> 'child_support'
        OR a.state_code = CASE WHEN e.state_code IN ('IN', 'CA') THEN e.state_code ELSE 'IL' END)
WHERE e.turn <= greatest(1, round(e.people * 0.05)) AND k.kind IS NOT NULL;

-- What is taken from people beside the benefits that they elect (30_benefits.sql): savings after
-- tax, a few loans, gifts, orders.
INSERT INTO payroll.employee_deduction
    (business_id, employee_deduction_id, employee_id, deduction_code_id, garnishment_order_id,
     amount, percent, employer_amount, employer_percent, effective_from, effective_until,
     goal_amount, frequency, stop_reason)
SELECT e.business_id, md5('deduction ' || k.code || k.turn || e.employee_id)::uuid,
       e.employee_id, c.deduction_code_id, k.garnishment_order_id, k.amount, k.percent,
       k.employer_amount, k.employer_percent, greatest(k.since, e.since), e.until, k.goal,
       k.frequency, CASE WHEN e.until IS NOT NULL THEN 'Employment ended' END
FROM (
    SELECT x.business_id, x.employee_id, min(s.hired_on) AS since,
           -- The last pay comes a week or two after the end.
           CASE WHEN bool_and(s.terminated_on IS NOT NULL)
                THEN max(s.terminated_on) + 30 END AS until,
           (SELECT a.worker_category = 'full_time'
            FROM payroll.job_assignment AS a
            WHERE a.business_id = x.business_id AND a.employee_id = x.employee_id
            ORDER BY a.is_primary DESC, a.effective_from DESC, a.job_assignment_id
            LIMIT 1) AS is_full_time,
           abs(hashtextextended('deduction ' || x.employee_id, 0) %% 1000)::integer AS place
    FROM payroll.employee AS x
    JOIN payroll.employment_spell AS s
        ON s.business_id = x.business_id AND s.employee_id = x.employee_id
    WHERE x.business_id = %(business_id)s
    GROUP BY x.business_id, x.employee_id
) AS e
CROSS JOIN LATERAL (
    SELECT 'ROTH401K' AS code, '' AS turn, NULL::uuid AS garnishment_order_id,
           NULL::numeric AS amount, (2 + e.place %% 4)::numeric AS percent,
           0::numeric AS employer_amount, 0::numeric AS employer_percent, e.since + 90 AS since,
           NULL::numeric AS goal, 'every_period' AS frequency
    WHERE e.is_full_time AND e.place %% 100 BETWEEN 44 AND 58
    UNION ALL
    SELECT 'LOAN401K', '', NULL, 55 + e.place %% 6 * 10, NULL, 0, 0, e.since + 400, 3000,
           'every_period'
    WHERE e.is_full_time AND e.place %% 100 BETWEEN 10 AND 15
    UNION ALL
    SELECT 'CHARITY', '', NULL, 5 + e.place %% 4 * 5, NULL, 0, 0, e.since + 60, NULL,
           'every_period'
    WHERE e.place %% 100 BETWEEN 20 AND 25
    UNION ALL
    SELECT 'UNIFORM', '', NULL, 4.50, NULL, 0, 0, e.since, 90, 'every_period'
    WHERE NOT e.is_full_time AND e.place %% 100 < 30
    UNION ALL
    SELECT CASE o.order_kind WHEN 'child_support' THEN 'GARN-SUP'
                             WHEN 'federal_tax_levy' THEN 'GARN-LEVY' ELSE 'GARN-CRED' END,
           o.case_number, o.garnishment_order_id,
           CASE WHEN o.withholding_percent IS NULL THEN coalesce(o.withholding_amount, 0) END,
           o.withholding_percent, 0, 0, o.effective_on, NULL, 'every_period'
    FROM payroll.garnishment_order AS o
    WHERE o.business_id = e.business_id AND o.employee_id = e.employee_id
) AS k
JOIN payroll.deduction_code AS c ON c.business_id = e.business_id AND c.code = k.code
WHERE coalesce(greatest(k.since, e.since) < e.until, true);

-- Managers have a phone stipend, sales people a car allowance; some were signed on in six parts.
INSERT INTO payroll.recurring_earning
    (business_id, recurring_earning_id, approved_by, employee_id, earning_code_id, amount, unit,
     effective_from, effective_until, total_goal_amount, cost_center, note)
SELECT e.business_id, md5('recurring ' || k.code || e.employee_id)::uuid, u.user_account_id,
       e.employee_id, c.earning_code_id, k.amount, k.unit, e.since, e.until, k.goal, NULL, k.note
FROM (
    SELECT x.business_id, x.employee_id, min(s.hired_on) AS since,
           CASE WHEN bool_and(s.terminated_on IS NOT NULL)
                THEN max(s.terminated_on) + 1 END AS until,
           abs(hashtextextended('recurring ' || x.employee_id, 0) %% 1000)::integer AS place
    FROM payroll.employee AS x
    JOIN payroll.employment_spell AS s
        ON s.business_id = x.business_id AND s.employee_id = x.employee_id
    JOIN payroll.job_assignment AS a
        ON a.business_id = x.business_id AND a.employee_id = x.employee_id AND a.is_primary
    JOIN payroll.job_profile AS p
        ON p.business_id = a.business_id AND p.job_profile_id = a.job_profile_id
       AND p.flsa_status = 'exempt'
    WHERE x.business_id = %(business_id)s
    GROUP BY x.business_id, x.employee_id
) AS e
CROSS JOIN LATERAL (VALUES
    ('PHONE', 45, 'per_month', NULL::numeric, 'Phone stipend', true),
    ('PUE', 62, 'per_month', NULL, 'Personal use of a company car', e.place %% 4 = 0),
    ('GTL', 3.60, 'per_month', NULL, 'Group term life above 50,000', e.place %% 3 = 0),
    ('SIGNON', 500, 'per_period', 3000, 'Sign-on bonus in six parts', e.place %% 5 = 0)
) AS k (code, amount, unit, goal, note, is_given)
JOIN payroll.earning_code AS c ON c.business_id = e.business_id AND c.code = k.code
CROSS JOIN (
    SELECT x.user_account_id
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = %(business_id)s AND x.account_kind = 'staff'
    ORDER BY x.user_account_id
    LIMIT 1
) AS u
WHERE k.is_given AND coalesce(e.since < e.until, true);
