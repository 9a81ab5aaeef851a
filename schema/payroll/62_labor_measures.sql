/*
 * Measures of labor: how many people, at what cost, and whose pay is unlike before.
 *
 *   every month   take_headcount       a headcount_snapshot per department and location
 *   every period  take_labor_cost      a labor_cost_snapshot per department and location
 *   every run     find_variances       a pay_variance per employee and measure out of the usual
 *
 * Each may be taken again, after a correction say, and then says what is true by then. A paycheck
 * line that names no department or location belongs to those of the employee's primary job.
 * mv_labor_cost_monthly and mv_pay_equity are read through v_labor_cost_monthly and v_pay_equity.
 */

CREATE FUNCTION payroll.post_of(employee uuid, day date)
    RETURNS TABLE (job_assignment_id uuid, department_id uuid, work_location_id uuid,
                   fte_pct numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT a.job_assignment_id, a.department_id, a.work_location_id, a.fte_pct::numeric
    FROM payroll.job_assignment AS a
    WHERE a.business_id = tenant_mgmt.current_business_id() AND a.employee_id = employee
    ORDER BY a.is_primary DESC, a.effective_from <= day DESC,
             abs(a.effective_from - day), a.job_assignment_id
    LIMIT 1;
END;
COMMENT ON FUNCTION payroll.post_of(uuid, date) IS
    'The primary job of an employee of the calling tenant on a day, the last one before it where
     there is none, else the first.';


CREATE TABLE payroll.headcount_snapshot (
    business_id            uuid                   NOT NULL,
    headcount_snapshot_id  uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    department_id          uuid                   NOT NULL,
    work_location_id       uuid                   NOT NULL,
    snapshot_month         date                   NOT NULL,
    headcount              integer                NOT NULL,
    fte                    system_core.quantity   NOT NULL,
    hires                  integer                NOT NULL DEFAULT 0,
    terminations           integer                NOT NULL DEFAULT 0,
    voluntary_terminations integer                NOT NULL DEFAULT 0,
    transfers_in           integer                NOT NULL DEFAULT 0,
    transfers_out          integer                NOT NULL DEFAULT 0,
    average_tenure_months  integer                NOT NULL DEFAULT 0,
    open_positions         integer                NOT NULL DEFAULT 0,
    turnover_pct           system_core.percentage GENERATED ALWAYS AS (
        round(200.0 * terminations
              / nullif(2 * headcount - hires + terminations - transfers_in + transfers_out, 0),
              4)) STORED,
    created_at             timestamptz            NOT NULL DEFAULT now(),
    updated_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, headcount_snapshot_id),
    UNIQUE (business_id, snapshot_month, department_id, work_location_id),
    FOREIGN KEY (business_id, department_id)
        REFERENCES payroll.department (business_id, department_id),
    FOREIGN KEY (business_id, work_location_id)
        REFERENCES payroll.work_location (business_id, work_location_id),
    CONSTRAINT headcount_snapshot_of_a_month
        CHECK (extract(day FROM snapshot_month) = 1),
    CONSTRAINT headcount_snapshot_voluntary_within_all
        CHECK (voluntary_terminations <= terminations),
    CONSTRAINT headcount_snapshot_countable
        CHECK (headcount >= 0 AND fte >= 0 AND hires >= 0 AND voluntary_terminations >= 0
               AND transfers_in >= 0 AND transfers_out >= 0 AND average_tenure_months >= 0
               AND open_positions >= 0),
    -- Who was there before the month is who is there after it, without who came, with who went.
    CONSTRAINT headcount_snapshot_began_with_somebody_or_none
        CHECK (headcount - hires + terminations - transfers_in + transfers_out >= 0)
);

COMMENT ON TABLE payroll.headcount_snapshot IS
    'Heads, FTE, hires and leavers per month, department and location.';
COMMENT ON COLUMN payroll.headcount_snapshot.headcount IS 'At the end of the month.';
COMMENT ON COLUMN payroll.headcount_snapshot.open_positions IS
    'Posts that were left in three months and that nobody has come for.';
COMMENT ON COLUMN payroll.headcount_snapshot.turnover_pct IS
    'Leavers of the month in percent of the mean of heads before and after it.';

-- FK: the months of a department.
CREATE INDEX headcount_snapshot_department_idx
    ON payroll.headcount_snapshot (business_id, department_id);

-- FK: the months of a place.
CREATE INDEX headcount_snapshot_work_location_idx
    ON payroll.headcount_snapshot (business_id, work_location_id);

ALTER TABLE payroll.headcount_snapshot ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.headcount_snapshot
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.headcount_snapshot TO app_user;
GRANT SELECT ON payroll.headcount_snapshot TO app_readonly;

CREATE TRIGGER headcount_snapshot_touch
    BEFORE UPDATE ON payroll.headcount_snapshot
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.headcount_moves(first_day date)
    RETURNS TABLE (department_id uuid, work_location_id uuid, move text, employee_id uuid,
                   fte numeric, tenure_months integer, is_voluntary boolean)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH spell AS (
        -- Who is there at the end of a day: hired by then, and not gone with it.
        SELECT s.employee_id, s.hired_on, s.terminated_on,
               s.termination_kind IN ('voluntary', 'retirement') AS is_voluntary,
               s.hired_on < first_day AS at_start,
               (first_day + interval '1 month')::date - 1 AS last_day,
               coalesce(s.terminated_on > (first_day + interval '1 month')::date - 1, true)
                   AS at_end
        FROM payroll.employment_spell AS s
        WHERE s.business_id = tenant_mgmt.current_business_id()
          AND s.hired_on < (first_day + interval '1 month')::date
          AND (s.terminated_on IS NULL OR s.terminated_on >= first_day)
    ), placed AS (
        SELECT s.employee_id, s.hired_on, s.last_day, s.is_voluntary, s.at_start, s.at_end,
               b.department_id AS from_department, b.work_location_id AS from_place,
               e.department_id AS to_department, e.work_location_id AS to_place, e.fte_pct,
               (b.department_id, b.work_location_id)
               IS DISTINCT FROM (e.department_id, e.work_location_id) AS has_moved
        FROM spell AS s
        CROSS JOIN LATERAL payroll.post_of(
            s.employee_id, CASE WHEN s.at_start THEN first_day - 1 ELSE s.hired_on END) AS b
        CROSS JOIN LATERAL payroll.post_of(
            s.employee_id, CASE WHEN s.at_end THEN s.last_day ELSE s.hired_on END) AS e
    )
    SELECT p.to_department, p.to_place, 'head', p.employee_id, p.fte_pct / 100,
           (extract(year FROM age(p.last_day, p.hired_on)) * 12
            + extract(month FROM age(p.last_day, p.hired_on)))::integer, false
    FROM placed AS p
    WHERE p.at_end
    UNION ALL
    -- Who came in the month came to where they are at its end.
    SELECT CASE WHEN p.at_end THEN p.to_department ELSE p.from_department END,
           CASE WHEN p.at_end THEN p.to_place ELSE p.from_place END, 'hire', p.employee_id, 0, 0,
           false
    FROM placed AS p
    WHERE NOT p.at_start
    UNION ALL
    SELECT p.from_department, p.from_place, 'leaver', p.employee_id, 0, 0, p.is_voluntary
    FROM placed AS p
    WHERE NOT p.at_end
    UNION ALL
    SELECT p.from_department, p.from_place, 'out', p.employee_id, 0, 0, false
    FROM placed AS p
    WHERE p.at_start AND p.at_end AND p.has_moved
    UNION ALL
    SELECT p.to_department, p.to_place, 'in', p.employee_id, 0, 0, false
    FROM placed AS p
    WHERE p.at_start AND p.at_end AND p.has_moved;
END;
COMMENT ON FUNCTION payroll.headcount_moves(date) IS
    'Who of the calling tenant was where at the end of a month, and who came, went and moved in it,
     so that the heads before the month and the moves are the heads after it.';

CREATE FUNCTION payroll.take_headcount(month date) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant    CONSTANT uuid := tenant_mgmt.current_business_id();
    first_day CONSTANT date := date_trunc('month', month::timestamp)::date;
    written   integer;
BEGIN
    -- Two that take the same month at once take turns.
    PERFORM pg_advisory_xact_lock(hashtextextended(concat_ws(' ', tenant, 'headcount',
                                                             first_day), 0));
    DELETE FROM payroll.headcount_snapshot AS h
    WHERE h.business_id = tenant AND h.snapshot_month = first_day;
    INSERT INTO payroll.headcount_snapshot
        (business_id, headcount_snapshot_id, department_id, work_location_id, snapshot_month,
         headcount, fte, hires, terminations, voluntary_terminations, transfers_in, transfers_out,
         average_tenure_months, open_positions)
    SELECT tenant,
           md5(concat_ws(' ', 'headcount', m.department_id, m.work_location_id, first_day))::uuid,
           m.department_id, m.work_location_id, first_day,
           count(*) FILTER (WHERE m.move = 'head'), sum(m.fte),
           count(*) FILTER (WHERE m.move = 'hire'), count(*) FILTER (WHERE m.move = 'leaver'),
           count(*) FILTER (WHERE m.is_voluntary), count(*) FILTER (WHERE m.move = 'in'),
           count(*) FILTER (WHERE m.move = 'out'),
           coalesce(round(avg(m.tenure_months) FILTER (WHERE m.move = 'head')), 0),
           greatest(0, count(*) FILTER (WHERE m.move = 'leaver')
                       - count(*) FILTER (WHERE m.move = 'hire') + coalesce((
               SELECT sum(h.terminations - h.hires)
               FROM payroll.headcount_snapshot AS h
               WHERE h.business_id = tenant AND h.department_id = m.department_id
                 AND h.work_location_id = m.work_location_id
                 AND h.snapshot_month >= (first_day - interval '2 months')::date
                 AND h.snapshot_month < first_day), 0))
    FROM payroll.headcount_moves(first_day) AS m
    GROUP BY m.department_id, m.work_location_id;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END
$$;
COMMENT ON FUNCTION payroll.take_headcount(date) IS
    'Takes the snapshots of the month of a day for the calling tenant, anew; returns how many.';


CREATE TABLE payroll.labor_cost_snapshot (
    business_id            uuid                   NOT NULL,
    labor_cost_snapshot_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    pay_period_id          uuid                   NOT NULL,
    department_id          uuid                   NOT NULL,
    work_location_id       uuid                   NOT NULL,
    regular_hours          numeric(12, 4)         NOT NULL DEFAULT 0,
    overtime_hours         numeric(12, 4)         NOT NULL DEFAULT 0,
    gross_amount           system_core.money      NOT NULL DEFAULT 0,
    overtime_amount        system_core.money      NOT NULL DEFAULT 0,
    employer_tax_amount    system_core.money      NOT NULL DEFAULT 0,
    benefit_amount         system_core.money      NOT NULL DEFAULT 0,
    total_cost_amount      system_core.money      NOT NULL
                                                  GENERATED ALWAYS AS
                                                      (gross_amount + employer_tax_amount
                                                       + benefit_amount) STORED,
    budget_amount          system_core.money,
    overtime_pct           system_core.percentage NOT NULL
                                                  GENERATED ALWAYS AS (
                                                      coalesce(round(
                                                          overtime_hours * 100
                                                          / nullif(regular_hours + overtime_hours,
                                                                   0), 4), 0)) STORED,
    cost_per_hour_amount   system_core.money      GENERATED ALWAYS AS (
                                                      round((gross_amount + employer_tax_amount
                                                             + benefit_amount)
                                                            / nullif(regular_hours
                                                                     + overtime_hours, 0), 2))
                                                  STORED,
    computed_at            timestamptz            NOT NULL,
    created_at             timestamptz            NOT NULL DEFAULT now(),
    updated_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, labor_cost_snapshot_id),
    UNIQUE (business_id, pay_period_id, department_id, work_location_id),
    FOREIGN KEY (business_id, pay_period_id)
        REFERENCES payroll.pay_period (business_id, pay_period_id),
    FOREIGN KEY (business_id, department_id)
        REFERENCES payroll.department (business_id, department_id),
    FOREIGN KEY (business_id, work_location_id)
        REFERENCES payroll.work_location (business_id, work_location_id),
    CONSTRAINT labor_cost_snapshot_hours_not_negative
        CHECK (regular_hours >= 0 AND overtime_hours >= 0),
    CONSTRAINT labor_cost_snapshot_overtime_pct_bounded CHECK (overtime_pct BETWEEN 0 AND 100),
    CONSTRAINT labor_cost_snapshot_budget_not_negative CHECK (budget_amount >= 0)
);

COMMENT ON TABLE payroll.labor_cost_snapshot IS
    'Cost per period, department and location against budget.';
COMMENT ON COLUMN payroll.labor_cost_snapshot.benefit_amount IS
    'What the employer contributes; what employees pay is in the gross.';
COMMENT ON COLUMN payroll.labor_cost_snapshot.budget_amount IS
    'The department''s budget of a year for the days of the period, by heads paid at the place.';
COMMENT ON COLUMN payroll.labor_cost_snapshot.cost_per_hour_amount IS
    'NULL where only salaries without hours were paid.';

-- FK: the periods of a department.
CREATE INDEX labor_cost_snapshot_department_idx
    ON payroll.labor_cost_snapshot (business_id, department_id);

-- FK: the periods of a place.
CREATE INDEX labor_cost_snapshot_work_location_idx
    ON payroll.labor_cost_snapshot (business_id, work_location_id);

ALTER TABLE payroll.labor_cost_snapshot ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.labor_cost_snapshot
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.labor_cost_snapshot TO app_user;
GRANT SELECT ON payroll.labor_cost_snapshot TO app_readonly;

CREATE TRIGGER labor_cost_snapshot_touch
    BEFORE UPDATE ON payroll.labor_cost_snapshot
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.labor_cost_of(period uuid)
    RETURNS TABLE (paycheck_id uuid, employee_id uuid, department_id uuid, work_location_id uuid,
                   regular_hours numeric, overtime_hours numeric, gross_amount numeric,
                   overtime_amount numeric, employer_tax_amount numeric, benefit_amount numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH line AS (
        SELECT p.paycheck_id, p.employee_id, p.employer_tax_amount, p.employer_benefit_amount,
               coalesce(e.department_id, j.department_id, h.department_id) AS department_id,
               coalesce(e.work_location_id, j.work_location_id, h.work_location_id)
                   AS work_location_id,
               CASE WHEN e.is_imputed THEN 0 ELSE e.amount END AS amount,
               CASE WHEN c.earning_kind IN ('regular', 'premium', 'piece')
                    THEN coalesce(e.hours, 0) ELSE 0 END AS regular_hours,
               CASE WHEN c.earning_kind IN ('overtime', 'doubletime')
                    THEN coalesce(e.hours, 0) ELSE 0 END AS overtime_hours,
               CASE WHEN c.earning_kind IN ('overtime', 'doubletime') THEN e.amount ELSE 0 END
                   AS overtime_amount
        FROM payroll.paycheck AS p
        JOIN payroll.pay_period AS o
            ON o.business_id = p.business_id AND o.pay_period_id = p.pay_period_id
        JOIN payroll.paycheck_earning AS e
            ON e.business_id = p.business_id AND e.paycheck_id = p.paycheck_id
        JOIN payroll.earning_code AS c
            ON c.business_id = e.business_id AND c.earning_code_id = e.earning_code_id
        LEFT JOIN payroll.job_assignment AS j
            ON j.business_id = e.business_id AND j.job_assignment_id = e.job_assignment_id
        CROSS JOIN LATERAL payroll.post_of(p.employee_id, o.ends_on) AS h
        WHERE p.business_id = tenant_mgmt.current_business_id() AND p.pay_period_id = period
          AND payroll.paycheck_counts(p.status)
    ), grouped AS (
        SELECT l.paycheck_id, l.employee_id, l.department_id, l.work_location_id,
               l.employer_tax_amount AS tax, l.employer_benefit_amount AS benefit,
               greatest(0, sum(l.regular_hours)) AS regular_hours,
               greatest(0, sum(l.overtime_hours)) AS overtime_hours,
               sum(l.amount) AS amount, sum(l.overtime_amount) AS overtime_amount
        FROM line AS l
        GROUP BY l.paycheck_id, l.employee_id, l.department_id, l.work_location_id,
                 l.employer_tax_amount, l.employer_benefit_amount
    ), running AS (
        SELECT g.*,
               -- Shares by what was earned; where that is nothing the last group bears it all.
               coalesce(sum(g.amount) OVER before_it / nullif(sum(g.amount) OVER whole, 0), 0)
                   AS share_before,
               CASE WHEN row_number() OVER in_order = count(*) OVER whole THEN 1
                    ELSE coalesce(sum(g.amount) OVER in_order
                                  / nullif(sum(g.amount) OVER whole, 0), 0) END AS share_after
        FROM grouped AS g
        WINDOW whole AS (PARTITION BY g.paycheck_id),
               in_order AS (PARTITION BY g.paycheck_id
                            ORDER BY g.department_id, g.work_location_id),
               before_it AS (PARTITION BY g.paycheck_id
                             ORDER BY g.department_id, g.work_location_id
                             ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    )
    SELECT r.paycheck_id, r.employee_id, r.department_id, r.work_location_id, r.regular_hours,
           r.overtime_hours, r.amount, r.overtime_amount,
           round(r.tax * r.share_after, 2) - round(r.tax * r.share_before, 2),
           round(r.benefit * r.share_after, 2) - round(r.benefit * r.share_before, 2)
    FROM running AS r;
END;
COMMENT ON FUNCTION payroll.labor_cost_of(uuid) IS
    'What each paycheck of a period of the calling tenant cost which department and location. The
     employer''s taxes and contributions are shared by what was earned there, to the cent.';

CREATE FUNCTION payroll.take_labor_cost(period uuid, moment timestamptz DEFAULT now())
    RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  CONSTANT uuid := tenant_mgmt.current_business_id();
    days    integer;
    written integer;
BEGIN
    SELECT o.ends_on - o.starts_on + 1 INTO days
    FROM payroll.pay_period AS o
    WHERE o.business_id = tenant AND o.pay_period_id = period
    FOR NO KEY UPDATE;   -- Two that take it at once take turns.
    IF days IS NULL THEN
        RAISE EXCEPTION 'there is no pay period %', period USING ERRCODE = 'no_data_found';
    END IF;
    DELETE FROM payroll.labor_cost_snapshot AS s
    WHERE s.business_id = tenant AND s.pay_period_id = period;
    INSERT INTO payroll.labor_cost_snapshot
        (business_id, labor_cost_snapshot_id, pay_period_id, department_id, work_location_id,
         regular_hours, overtime_hours, gross_amount, overtime_amount, employer_tax_amount,
         benefit_amount, budget_amount, computed_at)
    SELECT tenant,
           md5(concat_ws(' ', 'labor cost', period, c.department_id, c.work_location_id))::uuid,
           period, c.department_id, c.work_location_id, c.regular_hours, c.overtime_hours, c.gross,
           c.overtime, c.tax, c.benefit,
           round(d.budget_annual_amount * days / 365 * c.heads
                 / sum(c.heads) OVER (PARTITION BY c.department_id), 2),
           moment
    FROM (
        SELECT x.department_id, x.work_location_id, count(DISTINCT x.employee_id) AS heads,
               sum(x.regular_hours) AS regular_hours, sum(x.overtime_hours) AS overtime_hours,
               sum(x.gross_amount) AS gross, sum(x.overtime_amount) AS overtime,
               sum(x.employer_tax_amount) AS tax, sum(x.benefit_amount) AS benefit
        FROM payroll.labor_cost_of(period) AS x
        GROUP BY x.department_id, x.work_location_id
    ) AS c
    JOIN payroll.department AS d
        ON d.business_id = tenant AND d.department_id = c.department_id;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END
$$;
COMMENT ON FUNCTION payroll.take_labor_cost(uuid, timestamptz) IS
    'Takes the snapshots of a pay period of the calling tenant, anew; returns how many.';


CREATE TABLE payroll.pay_variance (
    business_id     uuid                   NOT NULL,
    pay_variance_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    pay_run_id      uuid                   NOT NULL,
    employee_id     uuid                   NOT NULL,
    paycheck_id     uuid,
    reviewed_by     uuid,
    measure         text                   NOT NULL,
    current_value   system_core.quantity   NOT NULL,
    expected_value  system_core.quantity   NOT NULL,
    difference      system_core.quantity   NOT NULL
                                           GENERATED ALWAYS AS (current_value - expected_value)
                                           STORED,
    difference_pct  system_core.percentage GENERATED ALWAYS AS (
                                               least(99999, round((current_value - expected_value)
                                                   * 100 / nullif(abs(expected_value), 0), 4)))
                                           STORED,
    z_score         system_core.score,
    reason_guess    text                   NOT NULL DEFAULT 'unknown',
    status          text                   NOT NULL DEFAULT 'open',
    reviewed_at     timestamptz,
    explanation     text,
    created_at      timestamptz            NOT NULL DEFAULT now(),
    updated_at      timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, pay_variance_id),
    UNIQUE (business_id, pay_run_id, employee_id, measure),
    FOREIGN KEY (business_id, pay_run_id) REFERENCES payroll.pay_run (business_id, pay_run_id)
        ON DELETE CASCADE,
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, paycheck_id) REFERENCES payroll.paycheck (business_id, paycheck_id)
        ON DELETE CASCADE,
    FOREIGN KEY (business_id, reviewed_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT pay_variance_measure_known
        CHECK (measure IN ('net', 'gross', 'hours', 'overtime', 'tax', 'deduction')),
    CONSTRAINT pay_variance_reason_known
        CHECK (reason_guess IN ('new_hire', 'termination', 'rate_change', 'bonus',
                                'missing_hours', 'tax_change', 'unknown')),
    CONSTRAINT pay_variance_status_known
        CHECK (status IN ('open', 'explained', 'error_fixed', 'ignored')),
    CONSTRAINT pay_variance_differs CHECK (current_value <> expected_value),
    CONSTRAINT pay_variance_reviewed_unless_open
        CHECK ((status = 'open') = (reviewed_at IS NULL)),
    CONSTRAINT pay_variance_reviewed_by_somebody
        CHECK (status = 'open' OR reviewed_by IS NOT NULL),
    CONSTRAINT pay_variance_explained_has_words
        CHECK (status <> 'explained' OR coalesce(explanation, '') ~ '\S')
);

COMMENT ON TABLE payroll.pay_variance IS
    'Unusual difference of an employee''s pay against earlier periods.';
COMMENT ON COLUMN payroll.pay_variance.expected_value IS
    'The mean of the last six regular paychecks; overtime and hours in hours, the rest in money.';
COMMENT ON COLUMN payroll.pay_variance.z_score IS
    'Standard deviations of those six; NULL where they were all the same.';
COMMENT ON COLUMN payroll.pay_variance.reason_guess IS
    'What else happened to the employee by then; the reviewer says what it was.';

-- What is to be looked at.
CREATE INDEX pay_variance_open_idx
    ON payroll.pay_variance (business_id, pay_run_id)
    WHERE status = 'open';

-- FK: what was unusual about an employee.
CREATE INDEX pay_variance_employee_idx
    ON payroll.pay_variance (business_id, employee_id);

-- FK: what was unusual about a paycheck.
CREATE INDEX pay_variance_paycheck_idx
    ON payroll.pay_variance (business_id, paycheck_id)
    WHERE paycheck_id IS NOT NULL;

-- FK: what somebody has looked at.
CREATE INDEX pay_variance_reviewed_by_idx
    ON payroll.pay_variance (business_id, reviewed_by)
    WHERE reviewed_by IS NOT NULL;

ALTER TABLE payroll.pay_variance ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.pay_variance
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.pay_variance TO app_user;
GRANT SELECT ON payroll.pay_variance TO app_readonly;

CREATE TRIGGER pay_variance_touch
    BEFORE UPDATE ON payroll.pay_variance
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
CREATE TRIGGER pay_variance_own_paycheck
    BEFORE INSERT OR UPDATE OF employee_id, paycheck_id ON payroll.pay_variance
    FOR EACH ROW WHEN (NEW.paycheck_id IS NOT NULL)
    EXECUTE FUNCTION payroll.require_paycheck_of_employee();
CREATE TRIGGER pay_variance_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.pay_variance
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["open"],
        "transitions": {
            "open":        ["explained", "error_fixed", "ignored"],
            "ignored":     ["explained", "error_fixed"],
            "explained":   [],
            "error_fixed": []
        }}');

CREATE FUNCTION payroll.find_variances(run uuid) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    made   integer;
BEGIN
    PERFORM
    FROM payroll.pay_run AS r
    WHERE r.business_id = tenant AND r.pay_run_id = run
    FOR NO KEY UPDATE;   -- It is not calculated, nor looked at by another, meanwhile.
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no run %', run USING ERRCODE = 'no_data_found';
    END IF;
    -- What nobody has looked at yet is found anew; a decision stands.
    DELETE FROM payroll.pay_variance AS v
    WHERE v.business_id = tenant AND v.pay_run_id = run AND v.status = 'open';
    WITH of_run AS MATERIALIZED (
        SELECT r.check_date, o.starts_on, o.ends_on
        FROM payroll.pay_run AS r
        JOIN payroll.pay_period AS o
            ON o.business_id = r.business_id AND o.pay_period_id = r.pay_period_id
        WHERE r.business_id = tenant AND r.pay_run_id = run AND r.run_kind = 'regular'
    ), ranked AS MATERIALIZED (
        SELECT p.paycheck_id, p.pay_run_id,
               row_number() OVER (PARTITION BY p.employee_id, p.pay_run_id = run
                                  ORDER BY p.check_date DESC, p.paycheck_id) AS place
        FROM of_run AS o
        JOIN payroll.paycheck AS p ON p.business_id = tenant
        JOIN payroll.pay_run AS y
            ON y.business_id = tenant AND y.pay_run_id = p.pay_run_id AND y.run_kind = 'regular'
        WHERE (p.pay_run_id = run AND p.status <> 'voided')
           OR (payroll.paycheck_counts(p.status) AND p.check_date < o.check_date)
    ), overtime AS MATERIALIZED (
        SELECT e.paycheck_id, sum(e.hours) AS hours
        FROM payroll.earning_code AS c
        JOIN payroll.paycheck_earning AS e
            ON e.business_id = tenant AND e.earning_code_id = c.earning_code_id
        WHERE c.business_id = tenant AND c.earning_kind IN ('overtime', 'doubletime')
          AND e.paycheck_id = ANY (ARRAY(SELECT k.paycheck_id FROM ranked AS k
                                         WHERE k.place <= 6))
        GROUP BY e.paycheck_id
    ), figure AS MATERIALIZED (
        -- The paychecks of the run and the last six before it of the same people.
        SELECT p.paycheck_id, p.pay_run_id, p.employee_id, p.check_date, p.hours_worked::numeric
                   AS hours, p.net_amount::numeric AS net, p.gross_amount::numeric AS gross,
               p.employee_tax_amount::numeric AS tax, coalesce(v.hours, 0) AS overtime,
               (p.pretax_deduction_amount + p.posttax_deduction_amount)::numeric AS deduction
        FROM ranked AS k
        JOIN payroll.paycheck AS p
            ON p.business_id = tenant AND p.paycheck_id = k.paycheck_id
        LEFT JOIN overtime AS v ON v.paycheck_id = p.paycheck_id
        WHERE k.place <= 6
    )
    INSERT INTO payroll.pay_variance
        (business_id, pay_variance_id, pay_run_id, employee_id, paycheck_id, measure,
         current_value, expected_value, z_score, reason_guess)
    SELECT tenant, md5(concat_ws(' ', 'variance', m.measure, p.paycheck_id))::uuid, run,
           p.employee_id, p.paycheck_id, m.measure, m.amount, u.usual,
           least(99999, greatest(-99999, round((m.amount - u.usual) / nullif(u.spread, 0), 4))),
           CASE
               WHEN EXISTS (
                   SELECT
                   FROM payroll.employment_spell AS s
                   WHERE s.business_id = tenant AND s.employee_id = p.employee_id
                     AND s.terminated_on BETWEEN o.starts_on AND o.ends_on) THEN 'termination'
               WHEN EXISTS (
                   SELECT
                   FROM payroll.employment_spell AS s
                   WHERE s.business_id = tenant AND s.employee_id = p.employee_id
                     AND s.hired_on > o.starts_on - 90) THEN 'new_hire'
               WHEN m.amount > u.usual AND EXISTS (
                   SELECT
                   FROM payroll.paycheck_earning AS e
                   JOIN payroll.earning_code AS c
                       ON c.business_id = e.business_id AND c.earning_code_id = e.earning_code_id
                      AND c.earning_kind IN ('bonus', 'commission')
                   WHERE e.business_id = tenant AND e.paycheck_id = p.paycheck_id) THEN 'bonus'
               WHEN m.amount < u.usual AND p.hours < u.hours * 0.8 THEN 'missing_hours'
               WHEN EXISTS (
                   SELECT
                   FROM payroll.compensation_rate AS c
                   JOIN payroll.job_assignment AS a
                       ON a.business_id = c.business_id
                      AND a.job_assignment_id = c.job_assignment_id
                   WHERE a.business_id = tenant AND a.employee_id = p.employee_id
                     AND c.reason <> 'hire'
                     AND c.effective_from BETWEEN o.starts_on - 30 AND o.ends_on)
                   THEN 'rate_change'
               WHEN m.measure IN ('tax', 'net') AND EXISTS (
                   SELECT
                   FROM payroll.withholding_election AS w
                   WHERE w.business_id = tenant AND w.employee_id = p.employee_id
                     AND w.effective_from BETWEEN o.starts_on - 30 AND p.check_date)
                   THEN 'tax_change'
               ELSE 'unknown' END
    FROM of_run AS o
    JOIN figure AS p ON p.pay_run_id = run
    JOIN LATERAL (
        SELECT x.measure, x.amount
        FROM (VALUES ('net', p.net), ('gross', p.gross), ('hours', p.hours),
                     ('overtime', p.overtime), ('tax', p.tax), ('deduction', p.deduction))
            AS x (measure, amount)
    ) AS m ON true
    JOIN (
        SELECT f.employee_id, x.measure, round(avg(x.amount), 4) AS usual,
               stddev_samp(x.amount) AS spread, avg(f.hours) AS hours
        FROM figure AS f
        CROSS JOIN LATERAL (
            VALUES ('net', f.net), ('gross', f.gross), ('hours', f.hours),
                   ('overtime', f.overtime), ('tax', f.tax), ('deduction', f.deduction)
        ) AS x (measure, amount)
        WHERE f.pay_run_id <> run
        GROUP BY f.employee_id, x.measure
        -- Fewer say nothing about what is usual.
        HAVING count(*) >= 3
    ) AS u ON u.employee_id = p.employee_id AND u.measure = m.measure
    WHERE u.usual > 0
      AND (abs(m.amount - u.usual) > 0.5 * u.usual
           OR (abs(m.amount - u.usual) > 0.2 * u.usual
               AND abs(m.amount - u.usual) > 3 * u.spread))
      -- A few hours of overtime more are no surprise.
      AND (m.measure <> 'overtime' OR m.amount - u.usual > 10)
    ON CONFLICT (business_id, pay_run_id, employee_id, measure) DO NOTHING;
    GET DIAGNOSTICS made = ROW_COUNT;
    RETURN made;
END
$$;
COMMENT ON FUNCTION payroll.find_variances(uuid) IS
    'Finds in a regular run of the calling tenant what is unlike the last six paychecks of an
     employee: by half, or by a fifth and three standard deviations. Returns how much is open.';


CREATE MATERIALIZED VIEW payroll.mv_labor_cost_monthly AS
SELECT coalesce(c.business_id, h.business_id) AS business_id,
       coalesce(c.department_id, h.department_id) AS department_id,
       coalesce(c.work_location_id, h.work_location_id) AS work_location_id,
       coalesce(c.month, h.snapshot_month) AS month,
       coalesce(c.gross, 0) AS gross_amount, coalesce(c.total, 0) AS total_cost_amount,
       coalesce(c.budget, 0) AS budget_amount, coalesce(c.overtime, 0) AS overtime_amount,
       coalesce(c.overtime_hours, 0) AS overtime_hours,
       coalesce(c.regular_hours, 0) AS regular_hours,
       round(coalesce(c.overtime_hours, 0) * 100
             / nullif(c.regular_hours + c.overtime_hours, 0), 2) AS overtime_pct,
       h.headcount, h.fte,
       round(c.total / nullif(h.fte, 0), 2) AS cost_per_fte_amount
FROM (
    SELECT s.business_id, s.department_id, s.work_location_id,
           date_trunc('month', o.check_date::timestamp)::date AS month,
           sum(s.gross_amount) AS gross, sum(s.total_cost_amount) AS total,
           sum(s.budget_amount) AS budget, sum(s.overtime_amount) AS overtime,
           sum(s.overtime_hours) AS overtime_hours, sum(s.regular_hours) AS regular_hours
    FROM payroll.labor_cost_snapshot AS s
    JOIN payroll.pay_period AS o
        ON o.business_id = s.business_id AND o.pay_period_id = s.pay_period_id
    GROUP BY s.business_id, s.department_id, s.work_location_id,
             date_trunc('month', o.check_date::timestamp)
) AS c
FULL JOIN payroll.headcount_snapshot AS h
    ON h.business_id = c.business_id AND h.department_id = c.department_id
   AND h.work_location_id = c.work_location_id AND h.snapshot_month = c.month
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW payroll.mv_labor_cost_monthly IS
    'Cost, overtime and headcount per department, location and month of the check date.';

-- Lets it be refreshed concurrently; labor_cost_months: the months of a department.
CREATE UNIQUE INDEX mv_labor_cost_monthly_idx
    ON payroll.mv_labor_cost_monthly (business_id, department_id, work_location_id, month);

-- The months of a tenant, the newest first.
CREATE INDEX mv_labor_cost_monthly_month_idx
    ON payroll.mv_labor_cost_monthly (business_id, month DESC);

GRANT SELECT ON payroll.labor_cost_snapshot, payroll.headcount_snapshot, payroll.pay_period
    TO matview_owner;

CREATE VIEW payroll.v_labor_cost_monthly WITH (security_barrier = true) AS
SELECT m.business_id, m.department_id, m.work_location_id, m.month, m.gross_amount,
       m.total_cost_amount, m.budget_amount, m.overtime_amount, m.overtime_hours, m.regular_hours,
       m.overtime_pct, m.headcount, m.fte, m.cost_per_fte_amount
FROM payroll.mv_labor_cost_monthly AS m
WHERE m.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW payroll.v_labor_cost_monthly IS 'The tenant''s own part of mv_labor_cost_monthly.';
GRANT SELECT ON payroll.v_labor_cost_monthly TO app_user, app_readonly;


CREATE MATERIALIZED VIEW payroll.mv_pay_equity AS
SELECT g.business_id, g.level, g.group_code, g.pay_grade, g.people, g.compa_ratio_mean,
       g.compa_ratio_low, g.compa_ratio_median, g.compa_ratio_high, g.pay_low_amount,
       g.pay_median_amount, g.pay_high_amount,
       round((g.pay_high_amount - g.pay_low_amount) * 100 / nullif(g.pay_median_amount, 0), 2)
           AS spread_pct
FROM (
    SELECT p.business_id, s.level,
           CASE s.level WHEN 'job' THEN min(p.job_code) ELSE 'grade ' || min(p.pay_grade) END
               AS group_code,
           min(p.pay_grade) AS pay_grade, count(*) AS people,
           -- How many of a grade are in none of its jobs that are told of.
           count(*) FILTER (WHERE p.in_job < 5) AS in_small_jobs,
           round(avg(p.compa_ratio), 4) AS compa_ratio_mean,
           -- Quartiles: the lowest and the highest would be somebody.
           round((percentile_cont(0.25) WITHIN GROUP
                  (ORDER BY p.compa_ratio::double precision))::numeric, 4) AS compa_ratio_low,
           round((percentile_cont(0.5) WITHIN GROUP
                  (ORDER BY p.compa_ratio::double precision))::numeric, 4) AS compa_ratio_median,
           round((percentile_cont(0.75) WITHIN GROUP
                  (ORDER BY p.compa_ratio::double precision))::numeric, 4) AS compa_ratio_high,
           round((percentile_cont(0.25) WITHIN GROUP
                  (ORDER BY p.pay::double precision))::numeric, 2) AS pay_low_amount,
           round((percentile_cont(0.5) WITHIN GROUP
                  (ORDER BY p.pay::double precision))::numeric, 2) AS pay_median_amount,
           round((percentile_cont(0.75) WITHIN GROUP
                  (ORDER BY p.pay::double precision))::numeric, 2) AS pay_high_amount
    FROM (
        SELECT a.business_id, f.job_code::text AS job_code, c.annualized_amount AS pay,
               c.annualized_amount
               / nullif((f.pay_range_min_amount + f.pay_range_max_amount) / 2, 0) AS compa_ratio,
               width_bucket((f.pay_range_min_amount + f.pay_range_max_amount) / 2,
                            ARRAY[32000, 40000, 50000, 65000, 85000, 110000]::numeric[]) + 1
                   AS pay_grade,
               count(*) OVER (PARTITION BY a.business_id, f.job_profile_id) AS in_job
        FROM payroll.job_assignment AS a
        JOIN payroll.job_profile AS f
            ON f.business_id = a.business_id AND f.job_profile_id = a.job_profile_id
           AND f.pay_range_max_amount IS NOT NULL AND f.pay_range_min_amount IS NOT NULL
        JOIN payroll.compensation_rate AS c
            ON c.business_id = a.business_id AND c.job_assignment_id = a.job_assignment_id
           AND c.effective_from <= current_date
           AND (c.effective_until IS NULL OR c.effective_until > current_date)
           AND c.pay_basis IN ('hourly', 'salary')
        JOIN payroll.employee AS e
            ON e.business_id = a.business_id AND e.employee_id = a.employee_id
           AND e.status IN ('active', 'on_leave', 'rehired')
        WHERE a.is_primary AND a.effective_from <= current_date
          AND (a.effective_until IS NULL OR a.effective_until > current_date)
    ) AS p
    CROSS JOIN unnest('{job,grade}'::text[]) AS s (level)
    GROUP BY p.business_id, s.level,
             CASE s.level WHEN 'job' THEN p.job_code ELSE p.pay_grade::text END
    HAVING count(*) >= 5
) AS g
-- A grade less its jobs would tell of one to four people what the jobs do not.
WHERE g.level = 'job' OR g.in_small_jobs = 0 OR g.in_small_jobs >= 5
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW payroll.mv_pay_equity IS
    'Compa-ratio and spread of pay per job, and per grade (jobs of about the same pay range).
     Groups of under five people are not in it, nor can they be inferred.';

-- Lets it be refreshed concurrently.
CREATE UNIQUE INDEX mv_pay_equity_idx
    ON payroll.mv_pay_equity (business_id, level, group_code);

GRANT SELECT ON payroll.job_assignment, payroll.job_profile, payroll.compensation_rate,
    payroll.employee TO matview_owner;

CREATE VIEW payroll.v_pay_equity WITH (security_barrier = true) AS
SELECT m.business_id, m.level, m.group_code, m.pay_grade, m.people, m.compa_ratio_mean,
       m.compa_ratio_low, m.compa_ratio_median, m.compa_ratio_high, m.pay_low_amount,
       m.pay_median_amount, m.pay_high_amount, m.spread_pct
FROM payroll.mv_pay_equity AS m
WHERE m.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW payroll.v_pay_equity IS 'The tenant''s own part of mv_pay_equity.';
GRANT SELECT ON payroll.v_pay_equity TO app_user, app_readonly;
