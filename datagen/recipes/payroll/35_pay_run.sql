-- rounds: 2
SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- Run by run, in the order in which they were paid: calculated, reviewed, approved, paid. What one
-- run makes final is what the next one goes on from. The first ones of every tenant come in a round
-- of their own: by their lines the planner knows what the others are like.
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
        WHERE r.business_id = tenant AND r.status = 'draft'
        ORDER BY r.check_date, r.run_number
        LIMIT CASE %(round)s WHEN 1 THEN 4 END
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
WHERE r.business_id = %(business_id)s
  AND r.calculation_ms IS DISTINCT FROM 140 + r.employee_count * 17.5;

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
