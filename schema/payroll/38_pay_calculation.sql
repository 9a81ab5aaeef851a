/*
 * Calculating a pay run: calculate_payroll(), paycheck by paycheck.
 *
 * calculate_paycheck() writes the earnings of one employee (time, standing and one-time pay, tips,
 * back pay) and then, in this order: deductions before tax, taxes, and by their priority
 * garnishments and other deductions after tax. A draft is written anew as often as it takes; what a
 * reviewer is to see becomes an exception, and one that is no longer found is fixed.
 */

CREATE FUNCTION payroll.note_exception(
    run      uuid,
    employee uuid,
    finding  text,
    level    text,
    told     text,
    size     numeric,
    moment   timestamptz
) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
BEGIN
    UPDATE payroll.pay_run_exception AS x
    SET status = 'open', cleared_at = NULL, severity = level, message = told, amount = size
    WHERE x.business_id = tenant AND x.pay_run_exception_id = (
        SELECT y.pay_run_exception_id
        FROM payroll.pay_run_exception AS y
        WHERE y.business_id = tenant AND y.pay_run_id = run
          AND y.employee_id IS NOT DISTINCT FROM employee AND y.code = finding
          AND y.status = 'fixed'
        ORDER BY y.detected_at DESC, y.pay_run_exception_id
        LIMIT 1);
    IF FOUND THEN
        RETURN;
    END IF;
    INSERT INTO payroll.pay_run_exception
        (business_id, pay_run_id, employee_id, code, severity, message, amount, detected_at)
    VALUES (tenant, run, employee, finding, level, told, size, moment)
    ON CONFLICT (business_id, pay_run_id, employee_id, code) WHERE status <> 'fixed'
    DO NOTHING;
END
$$;
COMMENT ON FUNCTION payroll.note_exception(uuid, uuid, text, text, text, numeric, timestamptz) IS
    'Notes a finding of a run of the calling tenant: opened again where it was fixed, left as
     decided where somebody overrode or ignored it.';

CREATE FUNCTION payroll.write_earnings(paycheck uuid) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    pay    record;
BEGIN
    SELECT p.employee_id, p.pay_run_id, p.pay_period_id, p.check_date, r.run_kind,
           (SELECT count(*) FROM payroll.pay_period AS x
            WHERE x.business_id = tenant AND x.pay_schedule_id = r.pay_schedule_id
              AND x.check_date <= p.check_date
              AND x.check_date >= date_trunc('month', p.check_date)::date) AS check_of_month
    INTO pay
    FROM payroll.paycheck AS p
    JOIN payroll.pay_run AS r ON r.business_id = tenant AND r.pay_run_id = p.pay_run_id
    WHERE p.business_id = tenant AND p.paycheck_id = paycheck;
    IF pay.run_kind = 'regular' THEN
        INSERT INTO payroll.paycheck_earning
            (business_id, paycheck_id, earning_code_id, job_assignment_id, department_id,
             work_location_id, line_no, hours, rate_amount, amount, regular_rate_amount, units,
             project_code, created_at, updated_at)
        SELECT tenant, paycheck, t.earning_code_id, t.job_assignment_id, t.department_id,
               t.work_location_id,
               row_number() OVER (ORDER BY a.is_primary DESC, a.assignment_no, t.is_overtime,
                                           c.code, t.rate_amount, t.department_id,
                                           t.project_code, t.job_assignment_id, t.amount),
               t.hours, t.rate_amount, t.amount, t.regular_rate_amount, t.units, t.project_code,
               now(), now()
        FROM payroll.time_pay(pay.employee_id, pay.pay_period_id) AS t
        JOIN payroll.earning_code AS c
            ON c.business_id = tenant AND c.earning_code_id = t.earning_code_id
        JOIN payroll.job_assignment AS a
            ON a.business_id = tenant AND a.job_assignment_id = t.job_assignment_id;
        -- The regular run takes up what is approved for its period.
        UPDATE payroll.variable_pay_input AS v
        SET pay_run_id = pay.pay_run_id
        WHERE v.business_id = tenant AND v.employee_id = pay.employee_id
          AND v.pay_period_id = pay.pay_period_id AND v.status = 'approved'
          AND v.pay_run_id IS NULL;
        UPDATE payroll.retro_adjustment AS a
        SET paid_in_pay_run_id = pay.pay_run_id
        WHERE a.business_id = tenant AND a.employee_id = pay.employee_id
          AND a.status = 'approved' AND a.paid_in_pay_run_id IS NULL;
    END IF;

    INSERT INTO payroll.paycheck_earning
        (business_id, paycheck_id, earning_code_id, recurring_earning_id, variable_pay_input_id,
         line_no, hours, rate_amount, amount, units, is_retro, for_period_start, is_imputed,
         description, created_at, updated_at)
    SELECT tenant, paycheck, n.earning_code_id, n.recurring_earning_id, n.variable_pay_input_id,
           (SELECT count(*) FROM payroll.paycheck_earning AS x
            WHERE x.business_id = tenant AND x.paycheck_id = paycheck)
           + row_number() OVER (ORDER BY n.turn, c.code, n.sorts_by),
           n.hours, n.rate_amount, n.amount, n.units, n.is_retro, n.for_period_start,
           n.is_imputed OR c.earning_kind = 'imputed', n.description, now(), now()
    FROM (
        SELECT 1 AS turn, v.earning_code_id, NULL::uuid AS recurring_earning_id,
               v.variable_pay_input_id, v.variable_pay_input_id::text AS sorts_by, v.hours,
               w.rate_amount, v.units, false AS is_retro, NULL::date AS for_period_start,
               false AS is_imputed, v.description,
               CASE WHEN v.desired_net_amount IS NOT NULL
                    THEN payroll.gross_up(v.desired_net_amount, v.employee_id, pay.check_date)
                    WHEN v.units IS NOT NULL THEN round(v.units * w.rate_amount, 2)
                    WHEN v.hours IS NOT NULL THEN round(v.hours * w.rate_amount, 2)
                    ELSE v.amount END AS amount
        FROM payroll.variable_pay_input AS v
        JOIN payroll.earning_code AS k
            ON k.business_id = v.business_id AND k.earning_code_id = v.earning_code_id
        CROSS JOIN LATERAL (
            SELECT CASE WHEN v.units IS NOT NULL THEN v.rate_amount
                        WHEN v.hours IS NOT NULL
                        THEN coalesce(v.rate_amount, round(k.multiplier * payroll.primary_rate(
                                 v.employee_id, pay.check_date), 6), 0) END AS rate_amount
        ) AS w
        WHERE v.business_id = tenant AND v.employee_id = pay.employee_id
          AND v.pay_run_id = pay.pay_run_id AND v.status = 'approved'
        UNION ALL
        SELECT 2, r.earning_code_id, r.recurring_earning_id, NULL, r.recurring_earning_id::text,
               NULL, NULL, NULL, false, NULL, false, r.note,
               least(round(CASE r.unit
                         WHEN 'per_hour' THEN r.amount * b.hours
                         WHEN 'percent_of_base' THEN b.base * r.amount / 100
                         ELSE r.amount END, 2), r.total_goal_amount - r.paid_to_date_amount)
        FROM payroll.recurring_earning AS r
        CROSS JOIN (
            SELECT coalesce(sum(e.hours) FILTER (WHERE k.earning_kind
                       IN ('regular', 'overtime', 'doubletime', 'premium')), 0) AS hours,
                   coalesce(sum(e.amount) FILTER (WHERE k.earning_kind = 'regular'), 0) AS base
            FROM payroll.paycheck_earning AS e
            JOIN payroll.earning_code AS k
                ON k.business_id = e.business_id AND k.earning_code_id = e.earning_code_id
            WHERE e.business_id = tenant AND e.paycheck_id = paycheck
        ) AS b
        WHERE r.business_id = tenant AND r.employee_id = pay.employee_id
          AND pay.run_kind = 'regular' AND r.approved_by IS NOT NULL
          AND daterange(r.effective_from, r.effective_until) @> pay.check_date
          AND (r.unit <> 'per_month' OR pay.check_of_month = 1)
        UNION ALL
        SELECT t.turn, k.earning_code_id, NULL, NULL, t.turn::text, NULL, NULL, NULL, false, NULL,
               t.turn = 4, t.description, t.amount
        FROM (
            SELECT sum(d.cash_tips_amount) AS cash,
                   sum(d.charged_tips_amount + d.pooled_in_amount - d.pooled_out_amount) AS charged,
                   sum(d.minimum_wage_makeup_amount) AS makeup
            FROM payroll.tip_declaration AS d
            WHERE d.business_id = tenant AND d.employee_id = pay.employee_id
              AND d.pay_period_id = pay.pay_period_id AND pay.run_kind = 'regular'
        ) AS s
        CROSS JOIN LATERAL (VALUES
            (3, 'tips', greatest(s.charged, 0), 'Tips paid through payroll'),
            (4, 'tips', s.cash + least(s.charged, 0), 'Tips kept in cash'),
            (5, 'premium', s.makeup, 'Makeup to the minimum wage')
        ) AS t (turn, kind, amount, description)
        JOIN payroll.earning_code AS k
            ON k.business_id = tenant AND k.earning_kind = t.kind AND k.is_default
        UNION ALL
        SELECT 6, k.earning_code_id, NULL, NULL, a.from_date || a.retro_adjustment_id::text, NULL,
               NULL, NULL, true, a.from_date, false, a.explanation, a.difference_amount
        FROM payroll.retro_adjustment AS a
        JOIN payroll.earning_code AS k
            ON k.business_id = tenant AND k.earning_kind = 'regular' AND k.is_default
        WHERE a.business_id = tenant AND a.employee_id = pay.employee_id
          AND a.paid_in_pay_run_id = pay.pay_run_id AND a.status = 'approved'
    ) AS n
    JOIN payroll.earning_code AS c
        ON c.business_id = tenant AND c.earning_code_id = n.earning_code_id
    WHERE n.amount <> 0;
END
$$;
COMMENT ON FUNCTION payroll.write_earnings(uuid) IS
    'Writes the earnings of an empty draft paycheck of the calling tenant: time, one-time and
     standing pay, tips, back pay. Inputs and back pay are thereby taken up by its run.';

CREATE FUNCTION payroll.calculate_paycheck(
    run      uuid,
    employee uuid,
    moment   timestamptz DEFAULT now()
) RETURNS uuid
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    tenant   CONSTANT uuid := tenant_mgmt.current_business_id();
    place    uuid;
    of_run   payroll.pay_run;
    paycheck uuid;
    sums     record;
    found    record;
    room     numeric;
    pretax   numeric;
    taxes    numeric;
    posttax  numeric;
    short    numeric;
    problems text;
    cut      numeric;
BEGIN
    SELECT r.* INTO of_run
    FROM payroll.pay_run AS r
    WHERE r.business_id = tenant AND r.pay_run_id = run
    FOR NO KEY UPDATE;
    IF of_run.status IS NULL OR of_run.status NOT IN ('calculating', 'calculated') THEN
        RAISE EXCEPTION 'a run is calculated before it is reviewed, not while it is %',
                        coalesce(of_run.status, 'missing')
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Return it to draft first.';
    END IF;
    UPDATE payroll.pay_run_exception AS x
    SET status = 'fixed', cleared_at = greatest(moment, x.detected_at)
    WHERE x.business_id = tenant AND x.pay_run_id = run AND x.employee_id = employee
      AND x.status = 'open';

    -- The draft keeps its key; its lines are written anew.
    place := payroll.work_place(employee, of_run.check_date);
    INSERT INTO payroll.paycheck AS p
        (business_id, pay_run_id, employee_id, pay_period_id, check_number, check_date,
         payment_method, work_state, resident_state)
    SELECT tenant, run, employee, of_run.pay_period_id,
           of_run.run_number || '-' || e.employee_number, of_run.check_date,
           CASE WHEN EXISTS (
                    SELECT
                    FROM payroll.employee_bank_account AS b
                    WHERE b.business_id = tenant AND b.employee_id = employee
                      AND b.status = 'active') THEN 'direct_deposit' ELSE 'check' END,
           l.state_code, coalesce((
               SELECT x.state_code
               FROM payroll.employee_residence AS x
               WHERE x.business_id = tenant AND x.employee_id = employee
                 AND daterange(x.effective_from, x.effective_until) @> of_run.check_date
               LIMIT 1), l.state_code)
    FROM payroll.employee AS e
    LEFT JOIN payroll.work_location AS l
        ON l.business_id = tenant AND l.work_location_id = place
    WHERE e.business_id = tenant AND e.employee_id = employee
    ON CONFLICT (business_id, pay_run_id, employee_id) DO UPDATE
    SET check_date = excluded.check_date, pay_period_id = excluded.pay_period_id,
        payment_method = excluded.payment_method, work_state = excluded.work_state,
        resident_state = excluded.resident_state
    RETURNING p.paycheck_id INTO paycheck;
    DELETE FROM payroll.paycheck_tax AS t
    WHERE t.business_id = tenant AND t.paycheck_id = paycheck;
    DELETE FROM payroll.paycheck_deduction AS d
    WHERE d.business_id = tenant AND d.paycheck_id = paycheck;
    DELETE FROM payroll.paycheck_earning AS e
    WHERE e.business_id = tenant AND e.paycheck_id = paycheck;

    PERFORM payroll.write_earnings(paycheck);
    SELECT coalesce(sum(e.amount) FILTER (WHERE NOT e.is_imputed), 0) AS gross,
           coalesce(sum(e.amount) FILTER (WHERE e.is_imputed), 0) AS imputed,
           coalesce(sum(e.amount) FILTER (WHERE c.earning_kind IN ('regular', 'overtime',
               'doubletime', 'premium', 'piece', 'tips', 'commission')), 0) AS worked_amount,
           coalesce(sum(e.hours) FILTER (WHERE c.earning_kind IN ('regular', 'overtime',
               'doubletime', 'premium', 'piece') AND e.amount >= 0), 0) AS worked_hours,
           count(*) AS lines
    INTO sums
    FROM payroll.paycheck_earning AS e
    JOIN payroll.earning_code AS c
        ON c.business_id = e.business_id AND c.earning_code_id = e.earning_code_id
    WHERE e.business_id = tenant AND e.paycheck_id = paycheck;
    IF sums.gross < 0 THEN
        PERFORM payroll.note_exception(run, employee, 'negative_net', 'blocker',
            format('Recoveries exceed the pay by %s', -sums.gross), -sums.gross, moment);
        -- What is taken back waits for a pay that holds it.
        DELETE FROM payroll.paycheck_earning AS e
        WHERE e.business_id = tenant AND e.paycheck_id = paycheck AND e.amount < 0;
        SELECT coalesce(sum(e.amount) FILTER (WHERE NOT e.is_imputed), 0) INTO sums.gross
        FROM payroll.paycheck_earning AS e
        WHERE e.business_id = tenant AND e.paycheck_id = paycheck;
    END IF;
    IF sums.lines = 0 THEN
        DELETE FROM payroll.paycheck AS p
        WHERE p.business_id = tenant AND p.paycheck_id = paycheck;
        PERFORM payroll.find_exceptions(run, employee, NULL, moment);
        RETURN NULL;
    END IF;
    -- Deductions before tax may leave too little for the taxes that the rest owes: less of them.
    room := sums.gross;
    FOR attempt IN 1 .. 12 LOOP
        pretax := payroll.take_deductions(paycheck, true, room);
        SELECT coalesce(sum(t.tax_amount) FILTER (WHERE t.payer = 'employee'
                                                    AND t.problem IS NULL), 0),
               string_agg(t.problem, '; ' ORDER BY t.problem)
        INTO taxes, problems
        FROM payroll.calculate_taxes(paycheck) AS t;
        short := taxes + pretax - sums.gross;
        EXIT WHEN short <= 0 OR pretax = 0;
        room := CASE WHEN attempt < 11 THEN greatest(0, pretax - short) ELSE 0 END;
    END LOOP;
    IF problems IS NOT NULL THEN
        PERFORM payroll.note_exception(run, employee, 'missing_tax_setup', 'blocker', problems,
                                       NULL, moment);
    END IF;
    IF short > 0 THEN
        -- Tips kept in cash owe taxes that the cash wage cannot pay; income tax yields first.
        PERFORM payroll.note_exception(
            run, employee, 'negative_net', CASE WHEN sums.imputed > 0 THEN 'warning'
                                                ELSE 'blocker' END,
            format('Taxes of %s exceed the pay by %s and were not withheld', taxes, short), short,
            moment);
        FOR found IN
            SELECT t.paycheck_tax_id, t.tax_amount
            FROM payroll.paycheck_tax AS t
            JOIN payroll.tax_code AS c
                ON c.business_id = tenant AND c.tax_code_id = t.tax_code_id
            WHERE t.business_id = tenant AND t.paycheck_id = paycheck AND t.payer = 'employee'
            ORDER BY c.tax_kind NOT IN ('income', 'local_income'), c.code
        LOOP
            cut := least(short, found.tax_amount);
            UPDATE payroll.paycheck_tax AS t
            SET tax_amount = t.tax_amount - cut,
                additional_amount = least(t.additional_amount, t.tax_amount - cut),
                calculation_trace = t.calculation_trace::jsonb || jsonb_build_object(
                    'step', 'not withheld: the pay does not hold it', 'amount', -cut)
            WHERE t.business_id = tenant AND t.paycheck_tax_id = found.paycheck_tax_id
              AND cut > 0;
            short := short - cut;
            taxes := taxes - cut;
        END LOOP;
    END IF;
    posttax := payroll.take_deductions(paycheck, false, sums.gross - pretax - taxes);

    UPDATE payroll.paycheck AS p
    SET hours_worked = sums.worked_hours, gross_amount = sums.gross,
        pretax_deduction_amount = pretax, employee_tax_amount = taxes,
        posttax_deduction_amount = posttax, net_amount = sums.gross - pretax - taxes - posttax,
        taxable_federal_amount = w.federal, employer_tax_amount = w.employer_tax,
        employer_benefit_amount = w.benefit
    FROM (
        SELECT (t.wages ->> 'federal')::numeric + (t.wages ->> 'federal_supplemental')::numeric
                   AS federal,
               coalesce((SELECT sum(x.tax_amount)
                         FROM payroll.paycheck_tax AS x
                         WHERE x.business_id = tenant AND x.paycheck_id = paycheck
                           AND x.payer = 'employer'), 0) AS employer_tax,
               coalesce((SELECT sum(x.employer_amount)
                         FROM payroll.paycheck_deduction AS x
                         WHERE x.business_id = tenant AND x.paycheck_id = paycheck), 0) AS benefit
        FROM (SELECT payroll.taxed_wages(paycheck) AS wages) AS t
    ) AS w
    WHERE p.business_id = tenant AND p.paycheck_id = paycheck;
    PERFORM payroll.find_exceptions(run, employee, paycheck, moment);
    RETURN paycheck;
END
$$;
COMMENT ON FUNCTION payroll.calculate_paycheck(uuid, uuid, timestamptz) IS
    'Calculates the paycheck of an employee in a run of the calling tenant, gross to net, anew, and
     notes what is wrong with it; its key, or NULL where there is nothing to pay.';

CREATE FUNCTION payroll.find_exceptions(
    run      uuid,
    employee uuid,
    paycheck uuid,
    moment   timestamptz
) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    found  record;
BEGIN
    FOR found IN
        WITH pay AS (
            SELECT r.pay_period_id, r.check_date, r.run_kind, p.net_amount, p.hours_worked,
                   p.payment_method, l.minimum_wage_amount, d.starts_on, d.ends_on
            FROM payroll.pay_run AS r
            LEFT JOIN payroll.paycheck AS p
                ON p.business_id = r.business_id AND p.paycheck_id = paycheck
            LEFT JOIN payroll.pay_period AS d
                ON d.business_id = r.business_id AND d.pay_period_id = r.pay_period_id
            LEFT JOIN payroll.work_location AS l
                ON l.business_id = r.business_id
               AND l.work_location_id = payroll.work_place(employee, r.check_date)
            WHERE r.business_id = tenant AND r.pay_run_id = run
        ), usual AS (
            SELECT avg(x.net_amount) AS net, count(*) AS checks
            FROM (
                SELECT p.net_amount
                FROM payroll.paycheck AS p
                JOIN payroll.pay_run AS r
                    ON r.business_id = p.business_id AND r.pay_run_id = p.pay_run_id
                   AND r.run_kind = 'regular'
                CROSS JOIN pay
                WHERE p.business_id = tenant AND p.employee_id = employee
                  AND payroll.paycheck_counts(p.status) AND p.check_date < pay.check_date
                ORDER BY p.check_date DESC
                LIMIT 6
            ) AS x
        )
        SELECT 'unapproved_timesheet' AS code, 'blocker' AS severity,
               format('Timesheet is %s', t.status) AS message, NULL::numeric AS amount
        FROM pay
        JOIN payroll.timesheet AS t
            ON t.business_id = tenant AND t.employee_id = employee
           AND t.pay_period_id = pay.pay_period_id AND t.status NOT IN ('approved', 'locked')
        WHERE pay.run_kind = 'regular'
        UNION ALL
        SELECT 'no_bank_account', 'info', 'Paid by check: no active account', NULL
        FROM pay
        WHERE pay.payment_method = 'check'
        UNION ALL
        SELECT 'missing_w4', 'warning', 'No federal certificate: withheld from as single', NULL
        FROM pay
        JOIN payroll.tax_jurisdiction AS j ON j.business_id = tenant AND j.level = 'federal'
        WHERE pay.net_amount IS NOT NULL
          AND payroll.election_of(employee, j.tax_jurisdiction_id, pay.check_date) IS NULL
        UNION ALL
        SELECT 'below_minimum_wage', 'blocker',
               format('%s for %s hours are less than %s an hour', w.amount, w.hours,
                      pay.minimum_wage_amount),
               round(w.hours * pay.minimum_wage_amount - w.amount, 2)
        FROM pay
        CROSS JOIN LATERAL (
            SELECT sum(e.amount) AS amount,
                   sum(e.hours) FILTER (WHERE c.earning_kind NOT IN ('holiday', 'pto')) AS hours
            FROM payroll.paycheck_earning AS e
            JOIN payroll.earning_code AS c
                ON c.business_id = e.business_id AND c.earning_code_id = e.earning_code_id
            WHERE e.business_id = tenant AND e.paycheck_id = paycheck AND NOT e.is_retro
              AND c.earning_kind NOT IN ('holiday', 'pto', 'reimbursement', 'imputed',
                                         'severance')
        ) AS w
        WHERE pay.run_kind = 'regular' AND w.hours > 0
          AND w.amount < round(w.hours * pay.minimum_wage_amount, 2)
          AND NOT EXISTS (
              SELECT
              FROM payroll.job_assignment AS a
              JOIN payroll.job_profile AS f
                  ON f.business_id = a.business_id AND f.job_profile_id = a.job_profile_id
                 AND f.flsa_status = 'exempt'
              WHERE a.business_id = tenant AND a.employee_id = employee AND a.is_primary
                AND daterange(a.effective_from, a.effective_until) @> pay.ends_on)
        UNION ALL
        SELECT 'large_variance', 'warning',
               format('Net of %s, usually about %s', pay.net_amount, round(usual.net, 2)),
               pay.net_amount - round(usual.net, 2)
        FROM pay
        CROSS JOIN usual
        WHERE pay.run_kind = 'regular' AND usual.checks >= 3 AND usual.net > 0
          AND abs(pay.net_amount - usual.net) > usual.net * 0.4
        UNION ALL
        SELECT 'garnishment_over_limit', 'warning', 'An order gets less than it asks for',
               sum(g.short)
        FROM (
            SELECT greatest(0, coalesce(o.withholding_amount, 0) - d.employee_amount) AS short
            FROM payroll.paycheck_deduction AS d
            JOIN payroll.employee_deduction AS s
                ON s.business_id = tenant AND s.employee_deduction_id = d.employee_deduction_id
            JOIN payroll.garnishment_order AS o
                ON o.business_id = tenant AND o.garnishment_order_id = s.garnishment_order_id
            WHERE d.business_id = tenant AND d.paycheck_id = paycheck
              AND d.limit_hit IN ('disposable_earnings', 'net_pay')
        ) AS g
        HAVING count(*) > 0
        UNION ALL
        SELECT 'duplicate_input', 'warning', 'Two inputs of the same code and amount',
               max(v.amount)
        FROM payroll.variable_pay_input AS v
        WHERE v.business_id = tenant AND v.pay_run_id = run AND v.employee_id = employee
          AND v.status = 'approved' AND v.amount IS NOT NULL
        GROUP BY v.earning_code_id, v.amount
        HAVING count(*) > 1
        UNION ALL
        SELECT 'new_hire_no_i9', 'warning', 'Form I-9 is not complete', NULL
        FROM pay
        JOIN payroll.employment_spell AS s
            ON s.business_id = tenant AND s.employee_id = employee
           AND s.hired_on BETWEEN pay.starts_on AND pay.ends_on
        WHERE NOT EXISTS (
            SELECT
            FROM payroll.employment_eligibility AS i
            WHERE i.business_id = tenant AND i.employee_id = employee
              AND i.status IN ('complete', 'reverify'))
        UNION ALL
        SELECT 'onboarding_open', 'blocker',
               format('Before the first pay: %s', string_agg(t.task_code, ', '
                                                             ORDER BY t.sequence_no)), NULL
        FROM payroll.onboarding_task AS t
        WHERE t.business_id = tenant AND t.employee_id = employee AND t.blocks_first_pay
          AND t.state IN ('open', 'overdue')
          AND NOT EXISTS (
              SELECT
              FROM payroll.paycheck AS p
              WHERE p.business_id = tenant AND p.employee_id = employee
                AND payroll.paycheck_counts(p.status))
        HAVING count(*) > 0
    LOOP
        PERFORM payroll.note_exception(run, employee, found.code, found.severity, found.message,
                                       found.amount, moment);
    END LOOP;
END
$$;
COMMENT ON FUNCTION payroll.find_exceptions(uuid, uuid, uuid, timestamptz) IS
    'Notes what a reviewer is to see about an employee in a run of the calling tenant.';

CREATE FUNCTION payroll.people_of_run(run uuid) RETURNS SETOF uuid
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH of_run AS (
        SELECT r.*, p.starts_on, p.ends_on, s.pay_group
        FROM payroll.pay_run AS r
        JOIN payroll.pay_schedule AS s
            ON s.business_id = r.business_id AND s.pay_schedule_id = r.pay_schedule_id
        LEFT JOIN payroll.pay_period AS p
            ON p.business_id = r.business_id AND p.pay_period_id = r.pay_period_id
        WHERE r.business_id = tenant_mgmt.current_business_id() AND r.pay_run_id = run
    )
    SELECT e.employee_id
    FROM of_run AS r
    JOIN payroll.employee AS e
        ON e.business_id = r.business_id AND e.employer_entity_id = r.employer_entity_id
    CROSS JOIN LATERAL (
        SELECT EXISTS (
                   SELECT
                   FROM payroll.compensation_rate AS c
                   JOIN payroll.job_assignment AS a
                       ON a.business_id = c.business_id
                      AND a.job_assignment_id = c.job_assignment_id
                   WHERE a.business_id = r.business_id AND a.employee_id = e.employee_id
                     AND a.is_primary AND c.pay_basis = 'salary'
                     AND daterange(c.effective_from, c.effective_until)
                         && daterange(r.starts_on, r.ends_on, '[]')) AS is_salaried
    ) AS b
    WHERE r.run_kind = 'regular'
      AND r.pay_group IN ('everybody', CASE WHEN b.is_salaried THEN 'salaried' ELSE 'hourly' END)
      AND EXISTS (
          SELECT
          FROM payroll.employment_spell AS s
          WHERE s.business_id = r.business_id AND s.employee_id = e.employee_id
            AND daterange(s.hired_on, s.terminated_on, '[]')
                && daterange(r.starts_on, r.ends_on, '[]'))
    UNION
    SELECT v.employee_id
    FROM of_run AS r
    JOIN payroll.variable_pay_input AS v
        ON v.business_id = r.business_id AND v.status = 'approved'
       AND (v.pay_run_id = r.pay_run_id
            OR (v.pay_run_id IS NULL AND r.run_kind = 'regular'
                AND v.pay_period_id = r.pay_period_id))
    UNION
    SELECT a.employee_id
    FROM of_run AS r
    JOIN payroll.retro_adjustment AS a
        ON a.business_id = r.business_id AND a.status = 'approved'
       AND a.paid_in_pay_run_id = r.pay_run_id;
END;
COMMENT ON FUNCTION payroll.people_of_run(uuid) IS
    'Whom a run of the calling tenant pays: a regular one the group of its schedule that was
     employed in the period, and whoever an input or back pay of it is for.';

CREATE FUNCTION payroll.calculate_payroll(run uuid, moment timestamptz DEFAULT now())
    RETURNS TABLE (employee_id uuid, status text)
    LANGUAGE plpgsql
    -- All that is looked up for a person is found by key: planned once, not for each of them.
    SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    tenant  CONSTANT uuid        := tenant_mgmt.current_business_id();
    started CONSTANT timestamptz := clock_timestamp();
    of_run  payroll.pay_run;
    person  uuid;
    took_ms numeric;
BEGIN
    SELECT r.* INTO of_run
    FROM payroll.pay_run AS r
    WHERE r.business_id = tenant AND r.pay_run_id = run
    FOR NO KEY UPDATE;
    IF of_run.status IS NULL OR of_run.status NOT IN ('draft', 'calculated', 'in_review')
       OR of_run.run_kind = 'historical_import' THEN
        RAISE EXCEPTION 'run % is % and is not calculated',
                        coalesce(of_run.run_number, 'unknown'),
                        coalesce(of_run.status, 'missing')
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Until it is approved, a run is calculated as often as it takes.';
    END IF;
    IF of_run.status = 'in_review' THEN
        UPDATE payroll.pay_run AS r
        SET status = 'draft'
        WHERE r.business_id = tenant AND r.pay_run_id = run;
    END IF;
    UPDATE payroll.pay_run AS r
    SET status = 'calculating'
    WHERE r.business_id = tenant AND r.pay_run_id = run;
    DELETE FROM payroll.paycheck AS p
    WHERE p.business_id = tenant AND p.pay_run_id = run AND p.status = 'draft'
      AND p.employee_id NOT IN (SELECT x FROM payroll.people_of_run(run) AS x);
    FOR person IN
        SELECT e.employee_id
        FROM payroll.people_of_run(run) AS x
        JOIN payroll.employee AS e ON e.business_id = tenant AND e.employee_id = x
        ORDER BY e.employee_number, e.employee_id
    LOOP
        PERFORM payroll.calculate_paycheck(run, person, moment);
    END LOOP;
    took_ms := round(extract(epoch FROM clock_timestamp() - started) * 1000, 3);
    UPDATE payroll.pay_run AS r
    SET status = 'calculated', calculated_at = moment,
        calculation_ms = took_ms
    WHERE r.business_id = tenant AND r.pay_run_id = run;
    RETURN QUERY
    SELECT e.employee_id,
           CASE WHEN bool_or(x.severity = 'blocker') THEN 'blocked'
                WHEN bool_or(x.severity = 'warning') THEN 'warning' ELSE 'ok' END
    FROM payroll.people_of_run(run) AS p
    JOIN payroll.employee AS e ON e.business_id = tenant AND e.employee_id = p
    LEFT JOIN payroll.pay_run_exception AS x
        ON x.business_id = tenant AND x.pay_run_id = run AND x.employee_id = e.employee_id
       AND x.status = 'open'
    GROUP BY e.employee_id, e.employee_number
    ORDER BY e.employee_number;
END
$$;
COMMENT ON FUNCTION payroll.calculate_payroll(uuid, timestamptz) IS
    'Gross to net for every employee of a run of the calling tenant, again and again until it is
     approved; for each whether it is ok, has a warning or is blocked.';
