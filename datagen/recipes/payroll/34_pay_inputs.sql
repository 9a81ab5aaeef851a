SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- Nine in ten get deposits; every fifth puts a part aside.
INSERT INTO payroll.employee_bank_account
    (business_id, employee_bank_account_id, employee_id, account_token, routing_number, last4,
     account_kind, bank_name, prenote_status, prenote_sent_on, verified_at, status, added_by)
SELECT x.business_id, md5(concat('account ', k.number, x.employee_id))::uuid, x.employee_id,
       'tok_' || left(md5(concat('account ', k.number, x.employee_id)), 20), b.routing,
       lpad((n.place / 7 %% 10000)::text, 4, '0'),
       CASE WHEN k.number = 2 THEN 'savings' WHEN n.place %% 25 = 3 THEN 'pay_card'
            ELSE 'checking' END, b.name, 'cleared', h.since,
       least(%(as_of)s::timestamptz, h.since::timestamp AT TIME ZONE 'UTC' + interval '5 days'),
       'active',
       CASE WHEN n.place %% 3 = 0 THEN 'hr' ELSE 'self_service' END
FROM payroll.employee AS x
JOIN (
    -- Nobody names an account before they are hired.
    SELECT s.employee_id, greatest(min(s.hired_on), %(as_of)s::date - 620) AS since
    FROM payroll.employment_spell AS s
    WHERE s.business_id = %(business_id)s
    GROUP BY s.employee_id
) AS h ON h.employee_id = x.employee_id
CROSS JOIN (VALUES (1), (2)) AS k (number)
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(concat('account ', k.number, x.employee_id), 0) %% 1000000)
               ::integer AS place,
           abs(hashtextextended(concat('deposit ', x.employee_id), 0) %% 100)::integer AS habit
) AS n
JOIN (VALUES (0, '021000021', 'JPMorgan Chase'), (1, '071000013', 'JPMorgan Chase'),
             (2, '071000039', 'Bank of America'), (3, '121000248', 'Wells Fargo'),
             (4, '091000019', 'Wells Fargo'), (5, '256074974', 'Navy Federal Credit Union'),
             (6, '122105155', 'U.S. Bank')) AS b (turn, routing, name)
    ON b.turn = n.place %% 7
WHERE x.business_id = %(business_id)s AND n.habit < CASE k.number WHEN 1 THEN 91 ELSE 19 END;

INSERT INTO payroll.direct_deposit_split
    (business_id, direct_deposit_split_id, employee_id, employee_bank_account_id, priority,
     split_kind, amount, percent, effective_from)
SELECT a.business_id, md5(concat('split ', a.employee_bank_account_id))::uuid, a.employee_id,
       a.employee_bank_account_id, CASE a.account_kind WHEN 'savings' THEN 1 ELSE 2 END,
       CASE WHEN a.account_kind <> 'savings' THEN 'remainder' WHEN n.place %% 2 = 0 THEN 'flat'
            ELSE 'percent' END,
       CASE WHEN a.account_kind = 'savings' AND n.place %% 2 = 0 THEN 50 + n.place %% 5 * 25 END,
       CASE WHEN a.account_kind = 'savings' AND n.place %% 2 = 1 THEN 5 + n.place %% 4 * 5 END,
       a.prenote_sent_on
FROM payroll.employee_bank_account AS a
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(a.employee_bank_account_id::text, 0) %% 1000)::integer AS place
) AS n
WHERE a.business_id = %(business_id)s;

-- Tips of the tipped, day by day: of the days on their timesheets, else of their usual days.
SET LOCAL enable_nestloop = off;
INSERT INTO payroll.tip_declaration
    (business_id, tip_declaration_id, employee_id, pay_period_id, timesheet_id, declared_on,
     cash_tips_amount, charged_tips_amount, pooled_out_amount, pooled_in_amount, sales_amount,
     tip_credit_hours, tip_credit_amount, source)
SELECT d.business_id, md5('tips ' || d.day || d.employee_id)::uuid, d.employee_id,
       d.pay_period_id, d.timesheet_id, d.day, round(d.sales * 0.021, 2),
       round(d.sales * (0.135 + d.place %% 40 * 0.001), 2), round(d.sales * 0.018, 2), 0, d.sales,
       d.hours, round(round(d.hours, 2) * d.credit, 2),
       CASE WHEN d.place %% 9 = 0 THEN 'self_service' ELSE 'pos' END
FROM (
    SELECT w.*, n.place, round(w.hours * (62 + n.place %% 45), 2) AS sales,
           greatest(l.minimum_wage_amount - payroll.rate_on(a.job_assignment_id, w.day), 0)
               AS credit
    FROM (
        SELECT x.business_id, x.employee_id, p.pay_period_id, t.timesheet_id, e.work_date AS day,
               least(sum(e.hours), 24) AS hours
        FROM payroll.employee AS x
        JOIN payroll.timesheet AS t
            ON t.business_id = x.business_id AND t.employee_id = x.employee_id
        JOIN payroll.pay_period AS p
            ON p.business_id = t.business_id AND p.pay_period_id = t.pay_period_id
        JOIN payroll.timesheet_entry AS e
            ON e.business_id = t.business_id AND e.timesheet_id = t.timesheet_id
           AND e.entry_kind IN ('regular', 'overtime', 'doubletime')
        WHERE x.business_id = %(business_id)s
        GROUP BY x.business_id, x.employee_id, p.pay_period_id, t.timesheet_id, e.work_date
        UNION ALL
        SELECT x.business_id, x.employee_id, p.pay_period_id, NULL, p.starts_on + g.day,
               coalesce(nullif(a.standard_hours_weekly, 0), 40) / 5
        FROM payroll.employee AS x
        JOIN payroll.pay_schedule AS s
            ON s.business_id = x.business_id AND s.employer_entity_id = x.employer_entity_id
           AND s.is_active
        JOIN payroll.pay_period AS p
            ON p.business_id = s.business_id AND p.pay_schedule_id = s.pay_schedule_id
           AND p.ends_on < %(as_of)s::date
        CROSS JOIN (VALUES (2), (3), (4), (5), (6), (9), (10), (11), (12), (13)) AS g (day)
        JOIN payroll.job_assignment AS a
            ON a.business_id = x.business_id AND a.employee_id = x.employee_id AND a.is_primary
           AND daterange(a.effective_from, a.effective_until) @> p.starts_on + g.day
        WHERE x.business_id = %(business_id)s AND NOT EXISTS (
            SELECT
            FROM payroll.timesheet AS t
            WHERE t.business_id = x.business_id AND t.employee_id = x.employee_id
              AND t.pay_period_id = p.pay_period_id)
    ) AS w
    JOIN payroll.job_assignment AS a
        ON a.business_id = w.business_id AND a.employee_id = w.employee_id AND a.is_primary
       AND daterange(a.effective_from, a.effective_until) @> w.day
    JOIN payroll.job_profile AS f
        ON f.business_id = a.business_id AND f.job_profile_id = a.job_profile_id AND f.is_tipped
    JOIN payroll.work_location AS l
        ON l.business_id = a.business_id AND l.work_location_id = a.work_location_id
    CROSS JOIN LATERAL (
        SELECT abs(hashtextextended(concat('tips ', w.day, w.employee_id), 0) %% 1000)::integer
            AS place
    ) AS n
    WHERE w.day < %(as_of)s::date
) AS d
ON CONFLICT (business_id, employee_id, declared_on) DO NOTHING;
SET LOCAL enable_nestloop = on;

SELECT payroll.allocate_tips(p.pay_period_id)
FROM (
    SELECT x.pay_period_id
    FROM payroll.pay_period AS x
    WHERE x.business_id = %(business_id)s AND EXISTS (
        SELECT FROM payroll.tip_declaration AS t
        WHERE t.business_id = x.business_id AND t.pay_period_id = x.pay_period_id)
    ORDER BY x.pay_period_id
) AS p;

-- Hours of the hourly for whom no timesheet was kept, from the former system; overtime for one week
-- in six. Commissions each month, expenses now and then, a referral.
INSERT INTO payroll.variable_pay_input
    (business_id, variable_pay_input_id, entered_by, employee_id, pay_period_id, earning_code_id,
     hours, amount, input_kind, description, source, status, approved_at)
SELECT e.business_id, md5(concat('input ', k.code, e.pay_period_id, e.employee_id))::uuid,
       u.user_account_id, e.employee_id, e.pay_period_id, c.earning_code_id, k.hours, k.amount,
       k.kind, k.told, k.source, CASE WHEN e.ends_on < %(as_of)s::date THEN 'approved'
                                      ELSE 'draft' END,
       CASE WHEN e.ends_on < %(as_of)s::date
            THEN (e.ends_on + 2)::timestamp AT TIME ZONE 'UTC' + interval '16 hours' END
FROM (
    SELECT x.business_id, x.employee_id, p.pay_period_id, p.ends_on, p.check_date, r.pay_basis,
           f.job_code, a.standard_hours_weekly, n.place,
           least(1, (least(p.ends_on, s.terminated_on) - greatest(p.starts_on, s.hired_on) + 1)
                    / 14.0) AS share,
           NOT EXISTS (
               SELECT
               FROM payroll.timesheet AS t
               WHERE t.business_id = x.business_id AND t.employee_id = x.employee_id
                 AND t.pay_period_id = p.pay_period_id) AS has_no_sheet
    FROM payroll.employee AS x
    JOIN payroll.employment_spell AS s
        ON s.business_id = x.business_id AND s.employee_id = x.employee_id
    JOIN payroll.pay_schedule AS d
        ON d.business_id = x.business_id AND d.employer_entity_id = x.employer_entity_id
       AND d.is_active
    JOIN payroll.pay_period AS p
        ON p.business_id = d.business_id AND p.pay_schedule_id = d.pay_schedule_id
       AND p.status <> 'future'
       AND daterange(p.starts_on, p.ends_on, '[]') && daterange(s.hired_on, s.terminated_on, '[]')
    JOIN payroll.job_assignment AS a
        ON a.business_id = x.business_id AND a.employee_id = x.employee_id AND a.is_primary
       AND daterange(a.effective_from, a.effective_until)
           @> greatest(p.starts_on, s.hired_on)
    JOIN payroll.job_profile AS f
        ON f.business_id = a.business_id AND f.job_profile_id = a.job_profile_id
    JOIN payroll.compensation_rate AS r
        ON r.business_id = a.business_id AND r.job_assignment_id = a.job_assignment_id
       AND daterange(r.effective_from, r.effective_until) @> greatest(p.starts_on, s.hired_on)
    CROSS JOIN LATERAL (
        SELECT abs(hashtextextended(concat('input ', p.pay_period_id, x.employee_id), 0)
                   %% 10000)::integer AS place
    ) AS n
    WHERE x.business_id = %(business_id)s
) AS e
CROSS JOIN LATERAL (VALUES
    ('REG', CASE WHEN e.pay_basis = 'hourly' AND e.has_no_sheet
                 THEN round(e.standard_hours_weekly * 2 * e.share
                            * (CASE WHEN e.place %% 5 = 0 THEN 0.9 ELSE 1 END), 2) END,
     NULL::numeric, 'hours', 'Hours of the former system', 'import'),
    ('OT', CASE WHEN e.pay_basis = 'hourly' AND e.has_no_sheet AND e.share = 1
                     AND e.standard_hours_weekly >= 40 AND e.place %% 100 < 33
                THEN 1 + e.place %% 28 * 0.25 END,
     NULL, 'hours', 'Overtime of the former system', 'import'),
    ('COMM', NULL, CASE WHEN e.job_code = 'OUTSALES' AND extract(day FROM e.check_date) <= 14
                        THEN 350 + e.place %% 1900 + 0.25 END,
     'commission', 'Commission of last month', 'import'),
    ('EXPENSE', NULL, CASE WHEN e.place %% 100 < 4 THEN 14 + e.place %% 160 + 0.85 END,
     'reimbursement', 'Receipts of the period', 'api'),
    ('REFERRAL', NULL, CASE WHEN e.place %% 400 = 77 THEN 500 END, 'bonus',
     'Referred somebody who stayed for ninety days', 'manual')
) AS k (code, hours, amount, kind, told, source)
JOIN payroll.earning_code AS c ON c.business_id = e.business_id AND c.code = k.code
CROSS JOIN (
    SELECT x.user_account_id
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = %(business_id)s AND x.account_kind = 'staff'
    ORDER BY x.user_account_id
    LIMIT 1
) AS u
WHERE k.hours > 0 OR k.amount > 0;

-- A regular run of each period that has ended; in December a bonus run for the salaried. The first
-- employer also looks ahead at the period under way.
INSERT INTO payroll.pay_run
    (business_id, pay_run_id, prepared_by, pay_schedule_id, pay_period_id, employer_entity_id,
     run_number, run_kind, check_date)
SELECT r.business_id, md5(concat('run ', r.run_kind, r.pay_period_id))::uuid, u.user_account_id,
       r.pay_schedule_id, r.pay_period_id, r.employer_entity_id,
       format('PR-%%s-%%s', extract(year FROM r.check_date), lpad(row_number() OVER (
           PARTITION BY extract(year FROM r.check_date)
           ORDER BY r.check_date, r.run_kind DESC, r.employer_entity_id)::text, 4, '0')),
       r.run_kind, r.check_date
FROM (
    SELECT p.business_id, p.pay_schedule_id, p.pay_period_id, s.employer_entity_id, k.run_kind,
           CASE k.run_kind WHEN 'regular' THEN p.check_date
                           ELSE payroll.banking_day(p.check_date, 3) END AS check_date
    FROM payroll.pay_period AS p
    JOIN payroll.pay_schedule AS s
        ON s.business_id = p.business_id AND s.pay_schedule_id = p.pay_schedule_id
    CROSS JOIN (VALUES ('regular'), ('bonus')) AS k (run_kind)
    WHERE p.business_id = %(business_id)s
      AND (p.ends_on < %(as_of)s::date
           OR (p.starts_on < %(as_of)s::date - 2 AND p.starts_on + 13 >= %(as_of)s::date
               AND s.employer_entity_id = (SELECT e.employer_entity_id
                                           FROM payroll.employer_entity AS e
                                           WHERE e.business_id = %(business_id)s
                                           ORDER BY e.employer_entity_id
                                           LIMIT 1)))
      AND (k.run_kind = 'regular'
           OR (extract(month FROM p.check_date) = 12 AND extract(day FROM p.check_date) < 15
               AND p.check_date < %(as_of)s::date - 10))
) AS r
CROSS JOIN (
    SELECT x.user_account_id
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = %(business_id)s AND x.account_kind = 'staff'
    ORDER BY x.user_account_id
    LIMIT 1
) AS u;

INSERT INTO payroll.variable_pay_input
    (business_id, variable_pay_input_id, entered_by, employee_id, pay_period_id, earning_code_id,
     pay_run_id, amount, input_kind, description, source, status, approved_at)
SELECT r.business_id, md5(concat('bonus ', r.pay_run_id, x.employee_id))::uuid, r.prepared_by,
       x.employee_id, r.pay_period_id, c.earning_code_id, r.pay_run_id,
       round(q.annualized_amount * (0.02 + n.place %% 5 * 0.005), -1), 'bonus', 'Year-end bonus',
       'manual', 'approved',
       (r.check_date - 12)::timestamp AT TIME ZONE 'UTC' + interval '17 hours'
FROM payroll.pay_run AS r
JOIN payroll.employee AS x
    ON x.business_id = r.business_id AND x.employer_entity_id = r.employer_entity_id
JOIN payroll.earning_code AS c ON c.business_id = r.business_id AND c.code = 'BONUS'
JOIN payroll.job_assignment AS a
    ON a.business_id = x.business_id AND a.employee_id = x.employee_id AND a.is_primary
   AND daterange(a.effective_from, a.effective_until) @> r.check_date
JOIN payroll.compensation_rate AS q
    ON q.business_id = a.business_id AND q.job_assignment_id = a.job_assignment_id
   AND q.pay_basis = 'salary' AND daterange(q.effective_from, q.effective_until) @> r.check_date
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(concat('bonus ', x.employee_id), 0) %% 100)::integer AS place
) AS n
WHERE r.business_id = %(business_id)s AND r.run_kind = 'bonus';

-- The drafts get keys that follow from run and employee; calculating keeps them.
INSERT INTO payroll.paycheck
    (business_id, paycheck_id, pay_run_id, employee_id, pay_period_id, check_number, check_date)
SELECT r.business_id, md5(concat('paycheck ', r.pay_run_id, x.employee_id))::uuid, r.pay_run_id,
       x.employee_id, r.pay_period_id, r.run_number || '-' || x.employee_number, r.check_date
FROM payroll.pay_run AS r
CROSS JOIN LATERAL payroll.people_of_run(r.pay_run_id) AS p (employee_id)
JOIN payroll.employee AS x ON x.business_id = r.business_id AND x.employee_id = p.employee_id
WHERE r.business_id = %(business_id)s;
