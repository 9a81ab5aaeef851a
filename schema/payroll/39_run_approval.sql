/*
 * Approving a pay run, and what follows: totals of the year, corrections, back pay, the register.
 *
 * submit_payroll() asks the approvers in steps, approve_payroll() is one step. The run is approved
 * when all steps saw the same content, no blocker is open, and no other run has moved a total of
 * the year that it was calculated by. Then its paychecks are final: post_paychecks() brings them
 * into the accumulators, the standing deductions, the orders and the recurring earnings, and takes
 * them out again when one is voided or the run goes back to draft.
 *
 * register_differences() proves all of it from the lines.
 */

CREATE FUNCTION payroll.refresh_accumulators(
    people       uuid[],
    year         integer,
    from_quarter integer DEFAULT 1
) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
BEGIN
    INSERT INTO payroll.ytd_accumulator AS a
        (business_id, employee_id, employer_entity_id, tax_year, quarter_no, item_kind, item_code,
         jurisdiction_code, amount_mtd, amount_qtd, amount_ytd, last_paycheck_key,
         last_recalculated_at, created_at, updated_at)
    SELECT tenant, f.employee_id, f.employer_entity_id, year, f.quarter_no, f.item_kind,
           f.item_code, f.jurisdiction_code, f.amount_mtd, f.amount_qtd, f.amount_ytd,
           f.last_paycheck_key, now(), now(), now()
    FROM payroll.accumulated(people, year, from_quarter) AS f
    -- Two that refresh the same totals take them in one order.
    ORDER BY f.employee_id, f.employer_entity_id, f.quarter_no, f.item_kind, f.item_code,
             f.jurisdiction_code
    ON CONFLICT (business_id, employee_id, employer_entity_id, tax_year, quarter_no, item_kind,
                 item_code, jurisdiction_code)
    DO UPDATE SET amount_mtd = excluded.amount_mtd, amount_qtd = excluded.amount_qtd,
                  amount_ytd = excluded.amount_ytd,
                  last_recalculated_at = excluded.last_recalculated_at,
                  last_paycheck_key = excluded.last_paycheck_key,
                  is_adjusted = a.is_adjusted OR excluded.amount_ytd < a.amount_ytd
    WHERE (a.amount_mtd, a.amount_qtd, a.amount_ytd, a.last_paycheck_key)
          IS DISTINCT FROM (excluded.amount_mtd, excluded.amount_qtd, excluded.amount_ytd,
                            excluded.last_paycheck_key);
    -- What another paycheck counts in has that one's key by now; the rest counts in none.
    DELETE FROM payroll.ytd_accumulator AS a
    WHERE a.business_id = tenant AND a.employee_id = ANY (people) AND a.tax_year = year
      -- A scalar is looked up by its key; a join might read every paycheck for each total.
      AND NOT payroll.paycheck_counts((
          SELECT p.status
          FROM payroll.paycheck AS p
          WHERE p.business_id = tenant AND p.paycheck_id = a.last_paycheck_key));
END
$$;
COMMENT ON FUNCTION payroll.refresh_accumulators(uuid[], integer, integer) IS
    'Makes the totals of a year of employees of the calling tenant what their paychecks say, from a
     quarter on: those before it did not change.';

CREATE FUNCTION payroll.accumulated(
    people       uuid[],
    year         integer,
    from_quarter integer DEFAULT 1
) RETURNS TABLE (employee_id uuid, employer_entity_id uuid, quarter_no integer, item_kind text,
                 item_code text, jurisdiction_code text, amount_mtd numeric, amount_qtd numeric,
                 amount_ytd numeric, last_paycheck_key uuid)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH counted AS MATERIALIZED (
        SELECT p.paycheck_id, p.employee_id, r.employer_entity_id, p.check_date, p.check_number,
               extract(quarter FROM p.check_date)::integer AS quarter_no,
               date_trunc('month', p.check_date)
               = max(date_trunc('month', p.check_date)) OVER (
                     PARTITION BY p.employee_id, r.employer_entity_id,
                                  extract(quarter FROM p.check_date)) AS in_month
        FROM payroll.paycheck AS p
        JOIN payroll.pay_run AS r
            ON r.business_id = p.business_id AND r.pay_run_id = p.pay_run_id
        WHERE p.business_id = tenant_mgmt.current_business_id() AND p.employee_id = ANY (people)
          AND payroll.paycheck_counts(p.status)
          AND p.check_date >= make_date(year, from_quarter * 3 - 2, 1)
          AND p.check_date < make_date(year + 1, 1, 1)
    ), line AS (
        -- Line by line of each paycheck: its own index serves every branch.
        SELECT p.*, l.item_kind, l.item_code, l.jurisdiction_code, l.amount
        FROM counted AS p
        CROSS JOIN LATERAL (
            SELECT x.item_kind, c.code::text AS item_code, NULL::text AS jurisdiction_code,
                   x.amount
            FROM payroll.paycheck_earning AS e
            JOIN payroll.earning_code AS c
                ON c.business_id = e.business_id AND c.earning_code_id = e.earning_code_id
            CROSS JOIN LATERAL (VALUES ('earning', e.amount::numeric), ('hours', e.hours))
                AS x (item_kind, amount)
            WHERE e.business_id = tenant_mgmt.current_business_id()
              AND e.paycheck_id = p.paycheck_id AND (x.item_kind = 'earning' OR x.amount <> 0)
            UNION ALL
            SELECT 'deduction', c.code || x.suffix, NULL, x.amount
            FROM payroll.paycheck_deduction AS d
            JOIN payroll.deduction_code AS c
                ON c.business_id = d.business_id AND c.deduction_code_id = d.deduction_code_id
            CROSS JOIN LATERAL (VALUES ('', d.employee_amount), (':employer', d.employer_amount))
                AS x (suffix, amount)
            WHERE d.business_id = tenant_mgmt.current_business_id()
              AND d.paycheck_id = p.paycheck_id AND x.amount <> 0
            UNION ALL
            -- Wages count once, whoever pays the tax on them.
            SELECT x.item_kind, c.code || x.suffix, j.code, x.amount
            FROM payroll.paycheck_tax AS t
            JOIN payroll.tax_code AS c
                ON c.business_id = t.business_id AND c.tax_code_id = t.tax_code_id
            JOIN payroll.tax_jurisdiction AS j
                ON j.business_id = t.business_id
               AND j.tax_jurisdiction_id = t.tax_jurisdiction_id
            CROSS JOIN LATERAL (VALUES
                ('tax', CASE t.payer WHEN 'employer' THEN ':employer' ELSE '' END, t.tax_amount),
                ('taxable_wage', '', CASE WHEN c.payer <> 'both' OR t.payer = 'employee'
                                          THEN t.taxable_wages_amount END))
                AS x (item_kind, suffix, amount)
            WHERE t.business_id = tenant_mgmt.current_business_id()
              AND t.paycheck_id = p.paycheck_id AND x.amount IS NOT NULL
        ) AS l
    ), quarter AS (
        SELECT l.employee_id, l.employer_entity_id, l.quarter_no, l.item_kind, l.item_code,
               l.jurisdiction_code, coalesce(sum(l.amount) FILTER (WHERE l.in_month), 0) AS mtd,
               sum(l.amount) AS qtd,
               (array_agg(l.paycheck_id ORDER BY l.check_date DESC, l.check_number DESC))[1]
                   AS last_paycheck
        FROM line AS l
        GROUP BY l.employee_id, l.employer_entity_id, l.quarter_no, l.item_kind, l.item_code,
                 l.jurisdiction_code
    )
    SELECT q.employee_id, q.employer_entity_id, q.quarter_no, q.item_kind, q.item_code,
           q.jurisdiction_code, q.mtd, q.qtd,
           coalesce(b.amount_ytd, 0)
           + sum(q.qtd) OVER (PARTITION BY q.employee_id, q.employer_entity_id, q.item_kind,
                                           q.item_code, q.jurisdiction_code
                              ORDER BY q.quarter_no),
           q.last_paycheck
    FROM quarter AS q
    LEFT JOIN LATERAL (
        SELECT a.amount_ytd
        FROM payroll.ytd_accumulator AS a
        WHERE a.business_id = tenant_mgmt.current_business_id()
          AND a.employee_id = q.employee_id AND a.employer_entity_id = q.employer_entity_id
          AND a.tax_year = year AND a.quarter_no < from_quarter AND a.item_kind = q.item_kind
          AND a.item_code = q.item_code
          AND a.jurisdiction_code IS NOT DISTINCT FROM q.jurisdiction_code
        ORDER BY a.quarter_no DESC
        LIMIT 1
    ) AS b ON from_quarter > 1;
END;
COMMENT ON FUNCTION payroll.accumulated(uuid[], integer, integer) IS
    'What the lines of the final paychecks of a year of employees of the calling tenant add up to,
     from a quarter on; what came before it is taken from the totals that are there.';


CREATE FUNCTION payroll.require_whole_paycheck() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    of_run payroll.pay_run;
    ytd    jsonb;
    moved  text;
BEGIN
    IF NOT EXISTS (
        SELECT
        FROM payroll.paycheck_sums(NEW.paycheck_id) AS s
        WHERE (s.gross, s.pretax, s.employee_tax, s.posttax, s.employer_tax, s.benefit)
              = (NEW.gross_amount, NEW.pretax_deduction_amount, NEW.employee_tax_amount,
                 NEW.posttax_deduction_amount, NEW.employer_tax_amount,
                 NEW.employer_benefit_amount)
    ) THEN
        RAISE EXCEPTION 'paycheck % is not the sum of its lines', NEW.check_number
            USING ERRCODE = 'check_violation', HINT = 'Calculate it anew.';
    END IF;
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    SELECT r.* INTO of_run
    FROM payroll.pay_run AS r
    WHERE r.business_id = NEW.business_id AND r.pay_run_id = NEW.pay_run_id;
    IF of_run.status <> 'approved' THEN
        RAISE EXCEPTION 'paycheck % becomes final with its run, which is %', NEW.check_number,
                        of_run.status
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Approve the run.';
    END IF;
    ytd := payroll.year_to_date(NEW.employee_id, of_run.employer_entity_id,
                                extract(year FROM NEW.check_date)::integer, '{taxable_wage}');
    SELECT c.code INTO moved
    FROM payroll.paycheck_tax AS t
    JOIN payroll.tax_code AS c ON c.business_id = t.business_id AND c.tax_code_id = t.tax_code_id
    JOIN payroll.tax_jurisdiction AS j
        ON j.business_id = t.business_id AND j.tax_jurisdiction_id = t.tax_jurisdiction_id
    WHERE t.business_id = NEW.business_id AND t.paycheck_id = NEW.paycheck_id
      AND t.ytd_taxable_amount - t.taxable_wages_amount
          <> coalesce((ytd ->> concat_ws(' ', 'taxable_wage', c.code, j.code))::numeric, 0)
    ORDER BY c.code
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'another pay moved the year of tax % since paycheck % was calculated',
                        moved, NEW.check_number
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Calculate the run anew.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.require_whole_paycheck() IS
    'A paycheck becomes final with its run, as the sum of its lines, and by the totals of the year
     that it was calculated by: of two runs at the same time the second is calculated anew.';

CREATE FUNCTION payroll.paycheck_sums(paycheck uuid)
    RETURNS TABLE (gross numeric, pretax numeric, employee_tax numeric, posttax numeric,
                   employer_tax numeric, benefit numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT (SELECT coalesce(sum(e.amount) FILTER (WHERE NOT e.is_imputed), 0)
            FROM payroll.paycheck_earning AS e
            WHERE e.business_id = tenant_mgmt.current_business_id() AND e.paycheck_id = paycheck),
           d.pretax, t.employee_tax, d.posttax, t.employer_tax, d.benefit
    FROM (
        SELECT coalesce(sum(x.employee_amount) FILTER (WHERE x.is_pretax), 0) AS pretax,
               coalesce(sum(x.employee_amount) FILTER (WHERE NOT x.is_pretax), 0) AS posttax,
               coalesce(sum(x.employer_amount), 0) AS benefit
        FROM payroll.paycheck_deduction AS x
        WHERE x.business_id = tenant_mgmt.current_business_id() AND x.paycheck_id = paycheck
    ) AS d
    CROSS JOIN (
        SELECT coalesce(sum(x.tax_amount) FILTER (WHERE x.payer = 'employee'), 0) AS employee_tax,
               coalesce(sum(x.tax_amount) FILTER (WHERE x.payer = 'employer'), 0) AS employer_tax
        FROM payroll.paycheck_tax AS x
        WHERE x.business_id = tenant_mgmt.current_business_id() AND x.paycheck_id = paycheck
    ) AS t;
END;
COMMENT ON FUNCTION payroll.paycheck_sums(uuid) IS
    'What the lines of a paycheck of the calling tenant add up to.';

CREATE TRIGGER paycheck_whole_when_final
    BEFORE UPDATE OF status ON payroll.paycheck
    FOR EACH ROW WHEN (OLD.status = 'draft' AND NEW.status = 'final')
    EXECUTE FUNCTION payroll.require_whole_paycheck();

CREATE FUNCTION payroll.require_returned_run() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) AND NOT EXISTS (
        SELECT
        FROM payroll.pay_run AS r
        WHERE r.business_id = NEW.business_id AND r.pay_run_id = NEW.pay_run_id
          AND r.status IN ('draft', 'cancelled')
    ) THEN
        RAISE EXCEPTION 'paycheck % is a draft again when its run is', NEW.check_number
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Return the run to draft.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.require_returned_run() IS
    'A final paycheck does not leave its approved run by itself.';

CREATE TRIGGER paycheck_unsettled_with_run
    BEFORE UPDATE OF status ON payroll.paycheck
    FOR EACH ROW WHEN (OLD.status = 'final' AND NEW.status = 'draft')
    EXECUTE FUNCTION payroll.require_returned_run();

CREATE FUNCTION payroll.post_paychecks() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    moved record;
BEGIN
    -- What begins to count (1) and what no longer does (-1).
    IF NOT EXISTS (
        SELECT
        FROM changed AS c
        JOIN former AS f ON f.business_id = c.business_id AND f.paycheck_id = c.paycheck_id
        WHERE payroll.paycheck_counts(c.status) <> payroll.paycheck_counts(f.status)
    ) THEN
        RETURN NULL;
    END IF;
    UPDATE payroll.employee_deduction AS e
    SET taken_to_date_amount = greatest(e.taken_to_date_amount + s.taken, 0),
        arrears_amount = greatest(e.arrears_amount + s.arrears, 0)
    FROM (
        SELECT d.business_id, d.employee_deduction_id, sum(m.sign * d.employee_amount) AS taken,
               sum(m.sign * (CASE WHEN k.arrears_allowed THEN d.short_amount ELSE 0 END
                             - d.arrears_recovered_amount)) AS arrears
        FROM (
            SELECT c.business_id, c.paycheck_id,
                   CASE WHEN payroll.paycheck_counts(c.status) THEN 1 ELSE -1 END AS sign
            FROM changed AS c
            JOIN former AS f ON f.business_id = c.business_id AND f.paycheck_id = c.paycheck_id
            WHERE payroll.paycheck_counts(c.status) <> payroll.paycheck_counts(f.status)
        ) AS m
        JOIN payroll.paycheck_deduction AS d
            ON d.business_id = m.business_id AND d.paycheck_id = m.paycheck_id
        JOIN payroll.deduction_code AS k
            ON k.business_id = d.business_id AND k.deduction_code_id = d.deduction_code_id
        WHERE d.employee_deduction_id IS NOT NULL
        GROUP BY d.business_id, d.employee_deduction_id
    ) AS s
    WHERE e.business_id = s.business_id AND e.employee_deduction_id = s.employee_deduction_id
      AND (s.taken <> 0 OR s.arrears <> 0);

    UPDATE payroll.garnishment_order AS o
    SET withheld_to_date_amount = greatest(o.withheld_to_date_amount + s.taken, 0),
        status = CASE
            WHEN o.status IN ('active', 'suspended')
                 AND o.withheld_to_date_amount + s.taken >= o.total_owed_amount THEN 'satisfied'
            WHEN o.status = 'satisfied'
                 AND o.withheld_to_date_amount + s.taken < o.total_owed_amount THEN 'active'
            ELSE o.status END
    FROM (
        SELECT e.business_id, e.garnishment_order_id, sum(m.sign * d.employee_amount) AS taken
        FROM (
            SELECT c.business_id, c.paycheck_id,
                   CASE WHEN payroll.paycheck_counts(c.status) THEN 1 ELSE -1 END AS sign
            FROM changed AS c
            JOIN former AS f ON f.business_id = c.business_id AND f.paycheck_id = c.paycheck_id
            WHERE payroll.paycheck_counts(c.status) <> payroll.paycheck_counts(f.status)
        ) AS m
        JOIN payroll.paycheck_deduction AS d
            ON d.business_id = m.business_id AND d.paycheck_id = m.paycheck_id
        JOIN payroll.employee_deduction AS e
            ON e.business_id = d.business_id AND e.employee_deduction_id = d.employee_deduction_id
        WHERE e.garnishment_order_id IS NOT NULL
        GROUP BY e.business_id, e.garnishment_order_id
    ) AS s
    WHERE o.business_id = s.business_id AND o.garnishment_order_id = s.garnishment_order_id
      AND s.taken <> 0;

    UPDATE payroll.recurring_earning AS r
    SET paid_to_date_amount = greatest(r.paid_to_date_amount + s.paid, 0)
    FROM (
        SELECT e.business_id, e.recurring_earning_id, sum(m.sign * e.amount) AS paid
        FROM (
            SELECT c.business_id, c.paycheck_id,
                   CASE WHEN payroll.paycheck_counts(c.status) THEN 1 ELSE -1 END AS sign
            FROM changed AS c
            JOIN former AS f ON f.business_id = c.business_id AND f.paycheck_id = c.paycheck_id
            WHERE payroll.paycheck_counts(c.status) <> payroll.paycheck_counts(f.status)
        ) AS m
        JOIN payroll.paycheck_earning AS e
            ON e.business_id = m.business_id AND e.paycheck_id = m.paycheck_id
        WHERE e.recurring_earning_id IS NOT NULL
        GROUP BY e.business_id, e.recurring_earning_id
    ) AS s
    WHERE r.business_id = s.business_id AND r.recurring_earning_id = s.recurring_earning_id;

    FOR moved IN
        SELECT extract(year FROM c.check_date)::integer AS year,
               min(extract(quarter FROM c.check_date))::integer AS from_quarter,
               array_agg(DISTINCT c.employee_id) AS people
        FROM changed AS c
        JOIN former AS f ON f.business_id = c.business_id AND f.paycheck_id = c.paycheck_id
        WHERE payroll.paycheck_counts(c.status) <> payroll.paycheck_counts(f.status)
        GROUP BY extract(year FROM c.check_date)
    LOOP
        PERFORM payroll.refresh_accumulators(moved.people, moved.year, moved.from_quarter);
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.post_paychecks() IS
    'What becomes final counts in the totals of the year, in what standing deductions and orders
     have taken and what recurring earnings have paid; what is voided or a draft again, no longer.
     An order that has all it is owed is satisfied.';

CREATE TRIGGER paycheck_post
    AFTER UPDATE ON payroll.paycheck
    REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION payroll.post_paychecks();


CREATE FUNCTION payroll.run_content_hash(run uuid) RETURNS bytea
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (
        SELECT sha256(convert_to(coalesce(string_agg(concat_ws('|', p.check_number, p.check_date,
                   p.gross_amount, p.pretax_deduction_amount, p.employee_tax_amount,
                   p.posttax_deduction_amount, p.net_amount, p.employer_tax_amount,
                   p.employer_benefit_amount, p.payment_method, l.lines),
                   E'\n' ORDER BY p.check_number), ''), 'UTF8'))
        FROM payroll.paycheck AS p
        CROSS JOIN LATERAL (
            SELECT string_agg(x.line, ';' ORDER BY x.line) AS lines
            FROM (
                SELECT concat_ws(',', 'e', e.line_no, e.earning_code_id, e.hours, e.rate_amount,
                                 e.amount) AS line
                FROM payroll.paycheck_earning AS e
                WHERE e.business_id = p.business_id AND e.paycheck_id = p.paycheck_id
                UNION ALL
                SELECT concat_ws(',', 'd', d.line_no, d.deduction_code_id, d.employee_amount,
                                 d.employer_amount)
                FROM payroll.paycheck_deduction AS d
                WHERE d.business_id = p.business_id AND d.paycheck_id = p.paycheck_id
                UNION ALL
                SELECT concat_ws(',', 't', t.tax_code_id, t.payer, t.taxable_wages_amount,
                                 t.tax_amount)
                FROM payroll.paycheck_tax AS t
                WHERE t.business_id = p.business_id AND t.paycheck_id = p.paycheck_id
            ) AS x
        ) AS l
        WHERE p.business_id = tenant_mgmt.current_business_id() AND p.pay_run_id = run);
END
$$;
COMMENT ON FUNCTION payroll.run_content_hash(uuid) IS
    'A hash of everything that a run of the calling tenant pays and withholds.';

CREATE FUNCTION payroll.require_approval() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    open_blockers integer;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    SELECT count(*) INTO open_blockers
    FROM payroll.pay_run_exception AS x
    WHERE x.business_id = NEW.business_id AND x.pay_run_id = NEW.pay_run_id
      AND x.severity = 'blocker' AND x.status = 'open';
    IF open_blockers > 0 THEN
        RAISE EXCEPTION 'run % has % open blockers', NEW.run_number, open_blockers
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Fix what they tell and calculate anew, or override them with a reason.';
    END IF;
    IF NOT coalesce((
        SELECT bool_and(a.decision = 'approved'
                        AND a.content_hash = payroll.run_content_hash(NEW.pay_run_id))
        FROM payroll.pay_run_approval AS a
        WHERE a.business_id = NEW.business_id AND a.pay_run_id = NEW.pay_run_id), false)
    THEN
        RAISE EXCEPTION 'run % is not approved by all of its steps as it now is', NEW.run_number
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'approve_payroll() takes the steps one after the other.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.require_approval() IS
    'No run is approved with an open blocker, without its steps, or other than its steps saw it.';

CREATE TRIGGER pay_run_takes_its_steps
    BEFORE UPDATE OF status ON payroll.pay_run
    FOR EACH ROW WHEN (NEW.status = 'approved' AND OLD.status <> 'approved')
    EXECUTE FUNCTION payroll.require_approval();

CREATE FUNCTION payroll.follow_pay_run() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- Whoever approved saw something else than what is now calculated.
    IF NEW.status IN ('draft', 'calculating') THEN
        UPDATE payroll.pay_run_approval AS a
        SET decision = 'returned', decided_at = now(), content_hash = NULL,
            approved_net_amount = NULL,
            comment = coalesce(a.comment || '; ', '') || 'void: the run is calculated anew'
        WHERE a.business_id = NEW.business_id AND a.pay_run_id = NEW.pay_run_id
          AND a.decision <> 'returned';
    END IF;

    IF NEW.status = 'approved' THEN
        UPDATE payroll.paycheck AS p
        SET status = 'final'
        WHERE p.business_id = NEW.business_id AND p.pay_run_id = NEW.pay_run_id
          AND p.status = 'draft';
        UPDATE payroll.variable_pay_input AS v
        SET status = 'consumed'
        WHERE v.business_id = NEW.business_id AND v.pay_run_id = NEW.pay_run_id
          AND v.status = 'approved';
        UPDATE payroll.retro_adjustment AS a
        SET status = 'paid'
        WHERE a.business_id = NEW.business_id AND a.paid_in_pay_run_id = NEW.pay_run_id
          AND a.status = 'approved';
    ELSIF OLD.status = 'approved' AND NEW.status IN ('draft', 'cancelled') THEN
        UPDATE payroll.paycheck AS p
        SET status = 'draft'
        WHERE p.business_id = NEW.business_id AND p.pay_run_id = NEW.pay_run_id
          AND p.status = 'final';
        UPDATE payroll.variable_pay_input AS v
        SET status = 'approved'
        WHERE v.business_id = NEW.business_id AND v.pay_run_id = NEW.pay_run_id
          AND v.status = 'consumed';
        UPDATE payroll.retro_adjustment AS a
        SET status = 'approved'
        WHERE a.business_id = NEW.business_id AND a.paid_in_pay_run_id = NEW.pay_run_id
          AND a.status = 'paid';
    ELSIF NEW.status = 'paid' AND OLD.status = 'funded' THEN
        UPDATE payroll.paycheck AS p
        SET status = 'paid'
        WHERE p.business_id = NEW.business_id AND p.pay_run_id = NEW.pay_run_id
          AND p.status = 'final';
    ELSIF NEW.status = 'reversed' THEN
        UPDATE payroll.paycheck AS p
        SET status = 'voided'
        WHERE p.business_id = NEW.business_id AND p.pay_run_id = NEW.pay_run_id
          AND payroll.paycheck_counts(p.status);
    END IF;

    IF NEW.status = 'cancelled' THEN
        -- Another run may pay what this one had taken up.
        DELETE FROM payroll.paycheck AS p
        WHERE p.business_id = NEW.business_id AND p.pay_run_id = NEW.pay_run_id
          AND p.status = 'draft';
        UPDATE payroll.variable_pay_input AS v
        SET pay_run_id = NULL
        WHERE v.business_id = NEW.business_id AND v.pay_run_id = NEW.pay_run_id
          AND v.status = 'approved';
        UPDATE payroll.retro_adjustment AS a
        SET paid_in_pay_run_id = NULL
        WHERE a.business_id = NEW.business_id AND a.paid_in_pay_run_id = NEW.pay_run_id
          AND a.status = 'approved';
    END IF;

    IF NEW.run_kind = 'regular' THEN
        UPDATE payroll.pay_period AS p
        SET status = n.status
        FROM (SELECT CASE NEW.status
                  WHEN 'calculating' THEN 'in_processing' WHEN 'draft' THEN 'open'
                  WHEN 'cancelled' THEN 'open' WHEN 'paid' THEN 'paid' END AS status) AS n
        WHERE p.business_id = NEW.business_id AND p.pay_period_id = NEW.pay_period_id
          AND (p.status, n.status) IN (('open', 'in_processing'), ('in_processing', 'open'),
                                       ('in_processing', 'paid'));
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.follow_pay_run() IS
    'Paychecks, inputs, back pay, approvals and the period go where their run goes.';

CREATE TRIGGER pay_run_followed
    AFTER UPDATE OF status ON payroll.pay_run
    FOR EACH ROW WHEN (OLD.status <> NEW.status)
    EXECUTE FUNCTION payroll.follow_pay_run();


CREATE FUNCTION payroll.start_pay_run(
    period   uuid,
    preparer uuid,
    kind     text DEFAULT 'regular',
    pays_on  date DEFAULT NULL
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    run    uuid;
    plan   record;
BEGIN
    SELECT s.pay_schedule_id, s.employer_entity_id, p.pay_period_id,
           coalesce(pays_on, p.check_date) AS check_date INTO plan
    FROM payroll.pay_period AS p
    JOIN payroll.pay_schedule AS s
        ON s.business_id = p.business_id AND s.pay_schedule_id = p.pay_schedule_id
    WHERE p.business_id = tenant AND p.pay_period_id = period
    FOR NO KEY UPDATE OF p;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such pay period' USING ERRCODE = 'no_data_found';
    END IF;
    -- Numbers are given out one at a time.
    PERFORM FROM payroll.employer_entity AS e
    WHERE e.business_id = tenant
    ORDER BY e.employer_entity_id
    FOR NO KEY UPDATE;
    INSERT INTO payroll.pay_run
        (business_id, prepared_by, pay_schedule_id, pay_period_id, employer_entity_id, run_number,
         run_kind, check_date)
    SELECT tenant, preparer, plan.pay_schedule_id, plan.pay_period_id, plan.employer_entity_id,
           format('PR-%s-%s', extract(year FROM plan.check_date),
                  lpad((1 + coalesce(max(split_part(r.run_number, '-', 3)::integer), 0))::text,
                       4, '0')),
           kind, plan.check_date
    FROM payroll.pay_run AS r
    WHERE r.business_id = tenant
      AND r.run_number ~ format('^PR-%s-\d+$', extract(year FROM plan.check_date))
    RETURNING pay_run_id INTO run;
    RETURN run;
END
$$;
COMMENT ON FUNCTION payroll.start_pay_run(uuid, uuid, text, date) IS
    'Starts a run of a period of the calling tenant with the next number of its year.';

CREATE FUNCTION payroll.submit_payroll(run uuid, approvers uuid[]) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
BEGIN
    IF cardinality(approvers) NOT BETWEEN 1 AND 3 THEN
        RAISE EXCEPTION 'a run is approved in one to three steps'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    UPDATE payroll.pay_run AS r
    SET status = 'in_review'
    WHERE r.business_id = tenant AND r.pay_run_id = run AND r.status = 'calculated';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'only a calculated run is submitted'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    DELETE FROM payroll.pay_run_approval AS a
    WHERE a.business_id = tenant AND a.pay_run_id = run AND a.step_no > cardinality(approvers);
    INSERT INTO payroll.pay_run_approval AS a
        (business_id, pay_run_id, step_no, approver_user_account_id, approval_role)
    SELECT tenant, run, s.step, s.approver,
           (ARRAY['payroll_manager', 'finance', 'owner'])[s.step]
    FROM unnest(approvers) WITH ORDINALITY AS s (approver, step)
    ON CONFLICT (business_id, pay_run_id, step_no) DO UPDATE
    SET approver_user_account_id = excluded.approver_user_account_id, decision = 'pending',
        decided_at = NULL, content_hash = NULL, approved_net_amount = NULL
    WHERE a.decision = 'returned';
END
$$;
COMMENT ON FUNCTION payroll.submit_payroll(uuid, uuid[]) IS
    'Asks for the approval of a calculated run of the calling tenant: the payroll manager, then
     finance, then the owner, as many as are named.';

CREATE FUNCTION payroll.approve_payroll(
    run      uuid,
    step     integer,
    approver uuid,
    moment   timestamptz DEFAULT now()
) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    of_run payroll.pay_run;
    asked  payroll.pay_run_approval;
BEGIN
    SELECT r.* INTO of_run
    FROM payroll.pay_run AS r
    WHERE r.business_id = tenant AND r.pay_run_id = run
    FOR NO KEY UPDATE;
    IF of_run.status IS DISTINCT FROM 'in_review' THEN
        RAISE EXCEPTION 'a run is approved while it is in review, not %',
                        coalesce(of_run.status, 'missing')
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Submit it first.';
    END IF;
    SELECT a.* INTO asked
    FROM payroll.pay_run_approval AS a
    WHERE a.business_id = tenant AND a.pay_run_id = run AND a.step_no = step
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the run has no step %', step USING ERRCODE = 'no_data_found';
    END IF;
    IF EXISTS (
        SELECT
        FROM payroll.pay_run_approval AS a
        WHERE a.business_id = tenant AND a.pay_run_id = run AND a.step_no < step
          AND a.decision <> 'approved'
    ) THEN
        RAISE EXCEPTION 'step % waits for the steps before it', step
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF EXISTS (
        SELECT
        FROM payroll.pay_run_exception AS x
        WHERE x.business_id = tenant AND x.pay_run_id = run AND x.severity = 'blocker'
          AND x.status = 'open'
    ) THEN
        RAISE EXCEPTION 'run % has open blockers', of_run.run_number
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Fix what they tell and calculate anew, or override them with a reason.';
    END IF;
    -- The people in a fixed order: two runs of the same people become final one after the other.
    PERFORM FROM payroll.employee AS e
    WHERE e.business_id = tenant AND e.employee_id IN (
        SELECT p.employee_id
        FROM payroll.paycheck AS p
        WHERE p.business_id = tenant AND p.pay_run_id = run)
    ORDER BY e.employee_id
    FOR NO KEY UPDATE;
    UPDATE payroll.pay_run_approval AS a
    SET decision = 'approved', approver_user_account_id = approver, decided_at = moment,
        content_hash = payroll.run_content_hash(run), approved_net_amount = of_run.net_amount
    WHERE a.business_id = tenant AND a.pay_run_approval_id = asked.pay_run_approval_id;
    IF NOT EXISTS (
        SELECT
        FROM payroll.pay_run_approval AS a
        WHERE a.business_id = tenant AND a.pay_run_id = run AND a.decision <> 'approved'
    ) THEN
        UPDATE payroll.pay_run AS r
        SET status = 'approved'
        WHERE r.business_id = tenant AND r.pay_run_id = run;
    END IF;
END
$$;
COMMENT ON FUNCTION payroll.approve_payroll(uuid, integer, uuid, timestamptz) IS
    'One step of the approval of a run of the calling tenant: refuses open blockers, the preparer
     and a step out of turn, and freezes the hash of what was seen. The last step makes it final.';


CREATE FUNCTION payroll.void_paycheck(
    paycheck  uuid,
    reason    text,
    requester uuid,
    approver  uuid,
    recovery  text DEFAULT 'none',
    moment    timestamptz DEFAULT now()
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant     CONSTANT uuid := tenant_mgmt.current_business_id();
    target     payroll.paycheck;
    employer   uuid;
    correction uuid;
    is_past    boolean;
    is_filed   boolean;
BEGIN
    SELECT r.employer_entity_id INTO employer
    FROM payroll.paycheck AS p
    JOIN payroll.pay_run AS r ON r.business_id = p.business_id AND r.pay_run_id = p.pay_run_id
    WHERE p.business_id = tenant AND p.paycheck_id = paycheck
    FOR NO KEY UPDATE OF r;
    SELECT p.* INTO target
    FROM payroll.paycheck AS p
    WHERE p.business_id = tenant AND p.paycheck_id = paycheck
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such paycheck' USING ERRCODE = 'no_data_found';
    END IF;
    IF NOT payroll.paycheck_counts(target.status) THEN
        RAISE EXCEPTION 'paycheck % is % and is not voided', target.check_number, target.status
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = CASE target.status WHEN 'draft' THEN 'Calculate its run anew.'
                                            ELSE 'It was voided before.' END;
    END IF;
    PERFORM FROM payroll.employee AS e
    WHERE e.business_id = tenant AND e.employee_id = target.employee_id
    FOR NO KEY UPDATE;
    is_past := date_trunc('quarter', target.check_date)
               < date_trunc('quarter', (moment AT TIME ZONE 'UTC')::date);
    is_filed := is_past AND EXISTS (
        SELECT
        FROM payroll.tax_filing AS f
        JOIN payroll.employer_tax_account AS a
            ON a.business_id = f.business_id
           AND a.employer_tax_account_id = f.employer_tax_account_id
           AND a.employer_entity_id = employer
        WHERE f.business_id = tenant AND f.status IN ('filed', 'accepted')
          AND target.check_date BETWEEN f.period_start AND f.period_end);
    INSERT INTO payroll.paycheck_correction
        (business_id, original_paycheck_id, requested_by, correction_kind, reason, requested_at,
         net_recovered_amount, recovery_method, reverses_quarter, amends_filing)
    VALUES
        (tenant, paycheck, requester, 'void', reason, moment,
         CASE recovery WHEN 'none' THEN 0 ELSE target.net_amount END, recovery, is_past, is_filed)
    RETURNING paycheck_correction_id INTO correction;
    UPDATE payroll.paycheck_correction AS c
    SET status = 'approved', approved_by = approver, approved_at = moment
    WHERE c.business_id = tenant AND c.paycheck_correction_id = correction;
    UPDATE payroll.paycheck AS p
    SET status = 'voided'
    WHERE p.business_id = tenant AND p.paycheck_id = paycheck;
    -- What it paid once is to be paid again, by another run.
    UPDATE payroll.variable_pay_input AS v
    SET status = 'approved', pay_run_id = NULL
    WHERE v.business_id = tenant AND v.pay_run_id = target.pay_run_id
      AND v.employee_id = target.employee_id AND v.status = 'consumed';
    UPDATE payroll.retro_adjustment AS a
    SET status = 'approved', paid_in_pay_run_id = NULL
    WHERE a.business_id = tenant AND a.paid_in_pay_run_id = target.pay_run_id
      AND a.employee_id = target.employee_id AND a.status = 'paid';
    UPDATE payroll.paycheck_correction AS c
    SET status = 'done'
    WHERE c.business_id = tenant AND c.paycheck_correction_id = correction;
    RETURN correction;
END
$$;
COMMENT ON FUNCTION payroll.void_paycheck(uuid, text, uuid, uuid, text, timestamptz) IS
    'Takes a final paycheck of the calling tenant back, on the word of two people: it counts no
     longer in the year, in deductions, orders and standing earnings; its inputs and back pay wait
     for another run. Says whether a filed quarter is to be amended.';

CREATE FUNCTION payroll.propose_retro(
    changed_rate uuid,
    cause        text DEFAULT 'late_rate_change'
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    made   integer;
BEGIN
    INSERT INTO payroll.retro_adjustment
        (business_id, original_paycheck_id, employee_id, compensation_rate_id, reason, from_date,
         to_date, old_amount, new_amount, overtime_effect_amount, explanation)
    SELECT tenant, c.paycheck_id, c.employee_id, changed_rate, cause, c.starts_on, c.ends_on,
           c.paid_usual + c.known_usual, c.due_usual, c.due_extra - c.paid_extra - c.known_extra,
           format('Rate from %s, applied after check %s', c.effective_from, c.check_number)
    FROM (
        SELECT p.paycheck_id, p.employee_id, p.check_number, r.effective_from,
               greatest(d.starts_on, r.effective_from) AS starts_on, d.ends_on,
               due.usual AS due_usual, due.extra AS due_extra, paid.usual AS paid_usual,
               paid.extra AS paid_extra, known.usual AS known_usual, known.extra AS known_extra
        FROM payroll.compensation_rate AS r
        JOIN payroll.job_assignment AS a
            ON a.business_id = r.business_id AND a.job_assignment_id = r.job_assignment_id
        JOIN payroll.paycheck AS p
            ON p.business_id = a.business_id AND p.employee_id = a.employee_id
           AND payroll.paycheck_counts(p.status)
        JOIN payroll.pay_run AS u
            ON u.business_id = p.business_id AND u.pay_run_id = p.pay_run_id
           AND u.run_kind = 'regular'
        JOIN payroll.pay_period AS d
            ON d.business_id = p.business_id AND d.pay_period_id = p.pay_period_id
           AND daterange(d.starts_on, d.ends_on, '[]')
               && daterange(r.effective_from, r.effective_until)
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(t.amount) FILTER (WHERE NOT t.is_overtime), 0) AS usual,
                   coalesce(sum(t.amount) FILTER (WHERE t.is_overtime), 0) AS extra
            FROM payroll.time_pay(p.employee_id, p.pay_period_id) AS t
            WHERE t.job_assignment_id = a.job_assignment_id
        ) AS due
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(e.amount) FILTER (
                       WHERE k.earning_kind NOT IN ('overtime', 'doubletime')), 0) AS usual,
                   coalesce(sum(e.amount) FILTER (
                       WHERE k.earning_kind IN ('overtime', 'doubletime')), 0) AS extra
            FROM payroll.paycheck_earning AS e
            JOIN payroll.earning_code AS k
                ON k.business_id = e.business_id AND k.earning_code_id = e.earning_code_id
            WHERE e.business_id = tenant AND e.paycheck_id = p.paycheck_id
              AND e.job_assignment_id = a.job_assignment_id AND NOT e.is_retro
        ) AS paid
        CROSS JOIN LATERAL (
            -- What was proposed for it before is not proposed again.
            SELECT coalesce(sum(x.new_amount - x.old_amount), 0) AS usual,
                   coalesce(sum(x.overtime_effect_amount), 0) AS extra
            FROM payroll.retro_adjustment AS x
            WHERE x.business_id = tenant AND x.original_paycheck_id = p.paycheck_id
              AND x.status <> 'waived'
        ) AS known
        WHERE r.business_id = tenant AND r.compensation_rate_id = changed_rate
    ) AS c
    WHERE c.due_usual + c.due_extra
          <> c.paid_usual + c.known_usual + c.paid_extra + c.known_extra
    ORDER BY c.starts_on;
    GET DIAGNOSTICS made = ROW_COUNT;
    RETURN made;
END
$$;
COMMENT ON FUNCTION payroll.propose_retro(uuid, text) IS
    'Proposes, paycheck by paycheck, the difference between what time was paid and what it is worth
     by a rate of the calling tenant that came after it was paid; overtime apart. How many.';


CREATE VIEW payroll.v_pay_register WITH (security_invoker = true) AS
SELECT p.business_id, p.pay_run_id, p.paycheck_id, r.run_number, r.run_kind, p.check_number,
       p.check_date, p.status, p.employee_id, e.employee_number, e.last_name, e.first_name,
       p.hours_worked, n.regular_amount, n.overtime_amount, n.time_off_amount,
       n.supplemental_amount, n.other_amount, n.imputed_amount, p.gross_amount,
       p.pretax_deduction_amount, t.income_tax_amount, t.social_security_amount,
       t.medicare_amount, t.other_tax_amount, p.employee_tax_amount, d.garnished_amount,
       p.posttax_deduction_amount, p.net_amount, p.employer_tax_amount,
       p.employer_benefit_amount
FROM payroll.paycheck AS p
JOIN payroll.pay_run AS r ON r.business_id = p.business_id AND r.pay_run_id = p.pay_run_id
JOIN payroll.employee AS e ON e.business_id = p.business_id AND e.employee_id = p.employee_id
CROSS JOIN LATERAL (
    SELECT coalesce(sum(x.amount) FILTER (WHERE NOT x.is_imputed
               AND c.earning_kind IN ('regular', 'piece', 'premium')), 0) AS regular_amount,
           coalesce(sum(x.amount) FILTER (WHERE NOT x.is_imputed
               AND c.earning_kind IN ('overtime', 'doubletime')), 0) AS overtime_amount,
           coalesce(sum(x.amount) FILTER (WHERE NOT x.is_imputed
               AND c.earning_kind IN ('holiday', 'pto')), 0) AS time_off_amount,
           coalesce(sum(x.amount) FILTER (WHERE NOT x.is_imputed
               AND c.earning_kind IN ('bonus', 'commission', 'severance')), 0)
               AS supplemental_amount,
           coalesce(sum(x.amount) FILTER (WHERE NOT x.is_imputed
               AND c.earning_kind IN ('tips', 'reimbursement', 'imputed')), 0) AS other_amount,
           coalesce(sum(x.amount) FILTER (WHERE x.is_imputed), 0) AS imputed_amount
    FROM payroll.paycheck_earning AS x
    JOIN payroll.earning_code AS c
        ON c.business_id = x.business_id AND c.earning_code_id = x.earning_code_id
    WHERE x.business_id = p.business_id AND x.paycheck_id = p.paycheck_id
) AS n
CROSS JOIN LATERAL (
    SELECT coalesce(sum(x.tax_amount) FILTER (
               WHERE c.tax_kind IN ('income', 'local_income')), 0) AS income_tax_amount,
           coalesce(sum(x.tax_amount) FILTER (
               WHERE c.tax_kind = 'social_security'), 0) AS social_security_amount,
           coalesce(sum(x.tax_amount) FILTER (
               WHERE c.tax_kind IN ('medicare', 'additional_medicare')), 0) AS medicare_amount,
           coalesce(sum(x.tax_amount) FILTER (
               WHERE c.tax_kind NOT IN ('income', 'local_income', 'social_security', 'medicare',
                                        'additional_medicare')), 0) AS other_tax_amount
    FROM payroll.paycheck_tax AS x
    JOIN payroll.tax_code AS c
        ON c.business_id = x.business_id AND c.tax_code_id = x.tax_code_id
    WHERE x.business_id = p.business_id AND x.paycheck_id = p.paycheck_id
      AND x.payer = 'employee'
) AS t
CROSS JOIN LATERAL (
    SELECT coalesce(sum(x.employee_amount) FILTER (
               WHERE x.disposable_earnings_amount IS NOT NULL), 0) AS garnished_amount
    FROM payroll.paycheck_deduction AS x
    WHERE x.business_id = p.business_id AND x.paycheck_id = p.paycheck_id
) AS d;
COMMENT ON VIEW payroll.v_pay_register IS
    'Earnings, taxes, deductions and net per paycheck of a run.';
GRANT SELECT ON payroll.v_pay_register TO app_user, app_readonly;

CREATE VIEW payroll.v_run_blockers WITH (security_invoker = true) AS
SELECT x.business_id, x.pay_run_id, r.run_number, r.status, x.severity, x.code,
       count(*) AS findings, count(DISTINCT x.employee_id) AS people, sum(x.amount) AS amount,
       min(x.detected_at) AS open_since
FROM payroll.pay_run_exception AS x
JOIN payroll.pay_run AS r ON r.business_id = x.business_id AND r.pay_run_id = x.pay_run_id
WHERE x.status = 'open'
GROUP BY x.business_id, x.pay_run_id, r.run_number, r.status, x.severity, x.code;
COMMENT ON VIEW payroll.v_run_blockers IS 'Open exceptions by severity per run.';
GRANT SELECT ON payroll.v_run_blockers TO app_user, app_readonly;


CREATE FUNCTION payroll.register_differences()
    RETURNS TABLE (what text, key uuid, item text, said numeric, found numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH paycheck AS MATERIALIZED (
        SELECT p.*, s.gross, s.pretax, s.employee_tax, s.posttax, s.employer_tax, s.benefit
        FROM payroll.paycheck AS p
        CROSS JOIN LATERAL payroll.paycheck_sums(p.paycheck_id) AS s
        WHERE p.business_id = tenant_mgmt.current_business_id()
    )
    SELECT 'paycheck', p.paycheck_id, x.item, x.said, x.found
    FROM paycheck AS p
    CROSS JOIN LATERAL (VALUES
        ('gross', p.gross_amount::numeric, p.gross),
        ('deductions before tax', p.pretax_deduction_amount, p.pretax),
        ('employee taxes', p.employee_tax_amount, p.employee_tax),
        ('deductions after tax', p.posttax_deduction_amount, p.posttax),
        ('net', p.net_amount, p.gross - p.pretax - p.employee_tax - p.posttax),
        ('employer taxes', p.employer_tax_amount, p.employer_tax),
        ('employer benefits', p.employer_benefit_amount, p.benefit)) AS x (item, said, found)
    WHERE x.said <> x.found
    UNION ALL
    SELECT 'run', r.pay_run_id, x.item, x.said, x.found
    FROM payroll.pay_run AS r
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(p.gross), 0) AS gross,
               coalesce(sum(p.gross - p.pretax - p.employee_tax - p.posttax), 0) AS net,
               coalesce(sum(p.employee_tax), 0) AS employee_tax,
               coalesce(sum(p.employer_tax), 0) AS employer_tax,
               coalesce(sum(p.pretax + p.posttax), 0) AS deduction,
               coalesce(sum(p.gross + p.employer_tax + p.benefit), 0) AS cost,
               count(*) AS people
        FROM paycheck AS p
        WHERE p.pay_run_id = r.pay_run_id
    ) AS s
    CROSS JOIN LATERAL (VALUES
        ('gross', r.gross_amount::numeric, s.gross), ('net', r.net_amount, s.net),
        ('employee taxes', r.employee_tax_amount, s.employee_tax),
        ('employer taxes', r.employer_tax_amount, s.employer_tax),
        ('deductions', r.deduction_amount, s.deduction),
        ('employer cost', r.employer_cost_amount, s.cost),
        ('employees', r.employee_count, s.people)) AS x (item, said, found)
    WHERE r.business_id = tenant_mgmt.current_business_id() AND x.said <> x.found
    UNION ALL
    SELECT 'year', coalesce(a.employee_id, f.employee_id),
           concat_ws(' ', coalesce(a.tax_year, f.tax_year), x.span,
                     coalesce(a.quarter_no, f.quarter_no), coalesce(a.item_kind, f.item_kind),
                     coalesce(a.item_code, f.item_code)), x.said, x.found
    FROM (
        SELECT y.*
        FROM payroll.ytd_accumulator AS y
        WHERE y.business_id = tenant_mgmt.current_business_id()
    ) AS a
    FULL JOIN (
        SELECT y.tax_year, t.*
        FROM (
            SELECT extract(year FROM p.check_date)::integer AS tax_year,
                   array_agg(DISTINCT p.employee_id) AS people
            FROM paycheck AS p
            GROUP BY extract(year FROM p.check_date)
        ) AS y
        CROSS JOIN LATERAL payroll.accumulated(y.people, y.tax_year) AS t
    ) AS f
        ON f.employee_id = a.employee_id AND f.employer_entity_id = a.employer_entity_id
       AND f.tax_year = a.tax_year AND f.quarter_no = a.quarter_no
       AND f.item_kind = a.item_kind AND f.item_code = a.item_code
       AND coalesce(f.jurisdiction_code, '') = coalesce(a.jurisdiction_code, '')
    CROSS JOIN LATERAL (VALUES
        ('month of quarter', a.amount_mtd::numeric, f.amount_mtd),
        ('quarter', a.amount_qtd, f.amount_qtd),
        ('year to quarter', a.amount_ytd, f.amount_ytd)) AS x (span, said, found)
    WHERE coalesce(x.said, 0) <> coalesce(x.found, 0);
END;
COMMENT ON FUNCTION payroll.register_differences() IS
    'Proves the register of the calling tenant: paychecks that are not the sum of their lines, runs
     that are not the sum of their paychecks, and year-to-date totals that are not the sum of the
     final ones.';
