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

-- Run by run, in the order in which they were paid: calculated, reviewed, approved, paid. What one
-- run makes final is what the next one goes on from.
DO $$
DECLARE
    tenant   CONSTANT uuid := tenant_mgmt.current_business_id();
    today    CONSTANT date := %(as_of)s::date;
    run      record;
    turn     integer;
    told     timestamptz;
    approver uuid;
    runs     integer := 0;
    bounced  uuid;
    paid     record;
BEGIN
    SELECT x.user_account_id INTO approver
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = tenant AND x.account_kind = 'staff'
    ORDER BY x.user_account_id
    OFFSET 1
    LIMIT 1;
    IF approver IS NULL THEN
        RETURN;
    END IF;
    -- However few runs there were, a deposit of one of them came back.
    SELECT r.pay_run_id INTO bounced
    FROM payroll.pay_run AS r
    WHERE r.business_id = tenant AND r.run_kind = 'regular' AND r.check_date < today - 10
      AND abs(hashtextextended(concat('path ', r.pay_run_id), 0) %% 1000) %% 24 <> 2
    ORDER BY hashtextextended(concat('bounced ', r.pay_run_id), 0), r.pay_run_id
    LIMIT 1;
    FOR run IN
        SELECT r.*, abs(hashtextextended(concat('path ', r.pay_run_id), 0) %% 1000)::integer
                        AS place
        FROM payroll.pay_run AS r
        WHERE r.business_id = tenant
        ORDER BY r.check_date, r.run_number
    LOOP
        -- Plans made for empty tables would hold for full ones.
        runs := runs + 1;
        IF runs IN (2, 4, 12, 50) THEN
            DISCARD PLANS;
        END IF;
        told := payroll.banking_day(run.check_date, -3)::timestamp AT TIME ZONE 'UTC'
                + interval '15 hours';
        IF told > %(as_of)s::timestamptz THEN
            told := %(as_of)s::timestamptz - interval '40 minutes';
        END IF;
        -- What the functions note as now is when this run was prepared.
        PERFORM set_config('harness.moment', told::text, true);

        -- One in eighty had worked an hour more than the run before it paid.
        INSERT INTO payroll.retro_adjustment
            (business_id, retro_adjustment_id, original_paycheck_id, employee_id, reason,
             from_date, to_date, old_amount, new_amount, status, approved_at, explanation)
        SELECT tenant, md5(concat('retro ', p.paycheck_id))::uuid, p.paycheck_id, p.employee_id,
               'late_hours', d.starts_on, d.ends_on, e.amount, e.amount + e.rate_amount, 'approved',
               told - interval '1 day', 'One hour was entered after the run'
        FROM payroll.paycheck AS p
        JOIN payroll.pay_run AS o
            ON o.business_id = tenant AND o.pay_run_id = p.pay_run_id
           AND o.run_kind = 'regular' AND o.employer_entity_id = run.employer_entity_id
        JOIN payroll.pay_period AS d
            ON d.business_id = tenant AND d.pay_period_id = p.pay_period_id
           AND d.ends_on = (SELECT y.starts_on - 1 FROM payroll.pay_period AS y
                            WHERE y.business_id = tenant AND y.pay_period_id = run.pay_period_id)
        CROSS JOIN LATERAL (
            SELECT y.amount, round(y.rate_amount, 2) AS rate_amount
            FROM payroll.paycheck_earning AS y
            WHERE y.business_id = tenant AND y.paycheck_id = p.paycheck_id
              AND y.rate_amount > 0 AND y.hours > 0
            ORDER BY y.line_no
            LIMIT 1
        ) AS e
        WHERE p.business_id = tenant AND run.run_kind = 'regular'
          AND payroll.paycheck_counts(p.status)
          AND p.employee_id IN (SELECT w FROM payroll.people_of_run(run.pay_run_id) AS w)
          AND abs(hashtextextended(concat('retro ', p.paycheck_id), 0) %% 80) = 0;

        PERFORM payroll.calculate_payroll(run.pay_run_id, told);
        -- The newest stand where a payroll office has them: calculated, or in review.
        IF run.check_date > today THEN
            turn := row_number FROM (
                SELECT x.employer_entity_id,
                       row_number() OVER (ORDER BY x.employer_entity_id)
                FROM payroll.employer_entity AS x
                WHERE x.business_id = tenant
            ) AS n
            WHERE n.employer_entity_id = run.employer_entity_id;
            IF turn %% 2 = 0 THEN
                PERFORM payroll.submit_payroll(run.pay_run_id, ARRAY[approver]);
            END IF;
            CONTINUE;
        END IF;
        FOR turn IN 1 .. CASE WHEN run.place %% 20 = 3 THEN 2 ELSE 1 END LOOP
            UPDATE payroll.pay_run_exception AS x
            SET status = CASE WHEN x.severity = 'blocker'
                                   AND x.code NOT IN ('negative_net', 'missing_tax_setup')
                              THEN 'overridden'
                              WHEN x.severity <> 'blocker' THEN 'ignored' ELSE 'fixed' END,
                cleared_at = told + interval '5 hours', cleared_by = approver,
                override_reason = CASE WHEN x.severity = 'blocker'
                                       THEN 'Reviewed with the supervisor' END
            WHERE x.business_id = tenant AND x.pay_run_id = run.pay_run_id
              AND x.status = 'open';
            PERFORM payroll.submit_payroll(run.pay_run_id, CASE WHEN run.place %% 3 = 0
                THEN ARRAY[approver, approver] ELSE ARRAY[approver] END);
            PERFORM payroll.approve_payroll(run.pay_run_id, 1, approver,
                                            told + interval '26 hours');
            IF run.place %% 3 = 0 THEN
                PERFORM payroll.approve_payroll(run.pay_run_id, 2, approver,
                                                told + interval '29 hours');
            END IF;
            -- One in twenty was returned once, and calculated again.
            IF run.place %% 20 = 3 AND turn = 1 THEN
                UPDATE payroll.pay_run AS r
                SET status = 'draft'
                WHERE r.business_id = tenant AND r.pay_run_id = run.pay_run_id;
                PERFORM payroll.calculate_payroll(run.pay_run_id, told + interval '4 hours');
            END IF;
        END LOOP;
        UPDATE payroll.pay_run AS r
        SET status = 'funded'
        WHERE r.business_id = tenant AND r.pay_run_id = run.pay_run_id;
        UPDATE payroll.pay_run AS r
        SET status = 'paid'
        WHERE r.business_id = tenant AND r.pay_run_id = run.pay_run_id;

        -- Of one in seventy a deposit came back, and was sent again.
        IF run.place %% 70 = 9 OR run.pay_run_id = bounced THEN
            FOR turn IN 1 .. 2 LOOP
                UPDATE payroll.paycheck AS p
                SET status = CASE turn WHEN 1 THEN 'returned' ELSE 'reissued' END
                WHERE p.business_id = tenant AND p.paycheck_id = (
                    SELECT x.paycheck_id
                    FROM payroll.paycheck AS x
                    WHERE x.business_id = tenant AND x.pay_run_id = run.pay_run_id
                    ORDER BY x.check_number
                    LIMIT 1);
                UPDATE payroll.pay_run AS r
                SET status = CASE turn WHEN 1 THEN 'partially_returned' ELSE 'paid' END
                WHERE r.business_id = tenant AND r.pay_run_id = run.pay_run_id;
            END LOOP;
        END IF;
        -- In one run of twenty-four a check was written for somebody who was on unpaid leave.
        IF run.place %% 24 = 2 AND run.run_kind = 'regular' THEN
            SELECT p.paycheck_id INTO paid
            FROM payroll.paycheck AS p
            WHERE p.business_id = tenant AND p.pay_run_id = run.pay_run_id
              AND NOT EXISTS (
                  SELECT
                  FROM payroll.paycheck_earning AS e
                  WHERE e.business_id = tenant AND e.paycheck_id = p.paycheck_id
                    AND (e.variable_pay_input_id IS NOT NULL OR e.is_retro))
              AND p.net_amount > 0
            ORDER BY hashtextextended(p.paycheck_id::text, 0), p.paycheck_id
            LIMIT 1;
            IF FOUND THEN
                PERFORM payroll.void_paycheck(
                    paid.paycheck_id, 'Was on unpaid leave; the deposit was reversed',
                    run.prepared_by, approver, 'ach_reversal',
                    run.check_date::timestamp AT TIME ZONE 'UTC' + interval '20 hours');
            END IF;
        END IF;
    END LOOP;
    PERFORM set_config('harness.moment', %(as_of)s::timestamptz::text, true);
END
$$;

-- Keys and measures that follow from the data, instead of from the clock.
UPDATE payroll.pay_run AS r
SET calculation_ms = 140 + r.employee_count * 17.5
WHERE r.business_id = %(business_id)s;

UPDATE payroll.pay_run_approval AS a
SET pay_run_approval_id = md5(concat('approval ', a.step_no, a.pay_run_id))::uuid,
    decided_at = CASE WHEN a.decision = 'returned'
                      THEN r.calculated_at + interval '26 hours' ELSE a.decided_at END
FROM payroll.pay_run AS r
WHERE a.business_id = %(business_id)s AND r.business_id = a.business_id
  AND r.pay_run_id = a.pay_run_id;

UPDATE payroll.pay_run_exception AS x
SET pay_run_exception_id = md5(concat('finding ', x.code, x.pay_run_id, x.employee_id))::uuid
WHERE x.business_id = %(business_id)s;

UPDATE payroll.paycheck_correction AS c
SET paycheck_correction_id = md5(concat('correction ', c.original_paycheck_id))::uuid
WHERE c.business_id = %(business_id)s;
