/*
 * Enrollment: what an employee chose, whom it covers, and what it takes from the pay.
 *
 * submit_elections() saves what somebody chose in a window: the former enrollment of the same kind
 * of plan ends where the new one begins. A benefit_enrollment is priced by its rate and tier. Once
 * active it creates an employee_deduction of its plan's deduction_code; its end ends the
 * deduction, and the coverage of its enrollment_dependents with it.
 */

CREATE TABLE payroll.benefit_enrollment (
    business_id                     uuid                   NOT NULL,
    benefit_enrollment_id           uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id                     uuid                   NOT NULL,
    benefit_plan_id                 uuid                   NOT NULL,
    benefit_plan_rate_id            uuid,
    enrollment_window_id            uuid                   NOT NULL,
    plan_kind                       text                   NOT NULL,
    election                        text                   NOT NULL DEFAULT 'elected',
    coverage_tier                   text                   NOT NULL DEFAULT 'employee',
    coverage_amount                 system_core.money,
    employee_cost_per_period_amount system_core.money      NOT NULL DEFAULT 0,
    employer_cost_per_period_amount system_core.money      NOT NULL DEFAULT 0,
    effective_from                  date                   NOT NULL,
    effective_until                 date,
    contribution_percent            system_core.percentage,
    signed_at                       timestamptz,
    status                          text                   NOT NULL DEFAULT 'draft',
    end_reason                      text,
    evidence_of_insurability        text                   NOT NULL DEFAULT 'not_needed',
    created_at                      timestamptz            NOT NULL DEFAULT now(),
    updated_at                      timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, benefit_enrollment_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, benefit_plan_id)
        REFERENCES payroll.benefit_plan (business_id, benefit_plan_id),
    FOREIGN KEY (business_id, benefit_plan_id, plan_kind)
        REFERENCES payroll.benefit_plan (business_id, benefit_plan_id, plan_kind),
    FOREIGN KEY (business_id, benefit_plan_rate_id)
        REFERENCES payroll.benefit_plan_rate (business_id, benefit_plan_rate_id),
    FOREIGN KEY (business_id, enrollment_window_id)
        REFERENCES payroll.enrollment_window (business_id, enrollment_window_id),
    CONSTRAINT benefit_enrollment_election_known
        CHECK (election IN ('elected', 'waived', 'defaulted')),
    CONSTRAINT benefit_enrollment_tier_known
        CHECK (coverage_tier IN ('employee', 'employee_spouse', 'employee_children', 'family',
                                 'none')),
    CONSTRAINT benefit_enrollment_status_known
        CHECK (status IN ('draft', 'submitted', 'pending_proof', 'active', 'ended',
                          'cancelled')),
    CONSTRAINT benefit_enrollment_evidence_known
        CHECK (evidence_of_insurability IN ('not_needed', 'pending', 'approved', 'declined')),
    CONSTRAINT benefit_enrollment_contribution_bounded
        CHECK (contribution_percent BETWEEN 0 AND 100),
    CONSTRAINT benefit_enrollment_costs_not_negative
        CHECK (employee_cost_per_period_amount >= 0 AND employer_cost_per_period_amount >= 0
               AND coalesce(coverage_amount, 1) > 0),
    CONSTRAINT benefit_enrollment_waived_covers_and_costs_nothing
        CHECK ((election = 'waived') = (coverage_tier = 'none')
               AND (election <> 'waived'
                    OR employee_cost_per_period_amount = 0
                       AND employer_cost_per_period_amount = 0
                       AND num_nonnulls(benefit_plan_rate_id, coverage_amount,
                                        contribution_percent) = 0)),
    CONSTRAINT benefit_enrollment_percent_is_for_retirement
        CHECK (contribution_percent IS NULL OR plan_kind = 'retirement_401k'),
    CONSTRAINT benefit_enrollment_submitted_is_signed
        CHECK (status IN ('draft', 'cancelled') OR signed_at IS NOT NULL
               OR election = 'defaulted'),
    CONSTRAINT benefit_enrollment_in_force_is_insurable
        CHECK (status NOT IN ('active', 'ended')
               OR evidence_of_insurability IN ('not_needed', 'approved')),
    CONSTRAINT benefit_enrollment_ended_has_day_and_reason
        CHECK (status <> 'ended'
               OR effective_until IS NOT NULL AND coalesce(end_reason, '') ~ '\S'),
    CONSTRAINT benefit_enrollment_ends_after_start CHECK (effective_until > effective_from),
    CONSTRAINT benefit_enrollment_one_of_a_kind EXCLUDE USING gist (
        business_id WITH =, employee_id WITH =, plan_kind WITH =,
        daterange(effective_from, effective_until) WITH &&)
        WHERE (status IN ('active', 'ended'))
);

COMMENT ON TABLE payroll.benefit_enrollment IS 'Election or waiver of an employee in a plan.';
COMMENT ON COLUMN payroll.benefit_enrollment.plan_kind IS
    'That of the plan, filled in by a trigger: of each kind somebody has one at a time.';
COMMENT ON COLUMN payroll.benefit_enrollment.election IS
    'defaulted: nothing was said and the plan decides; last year''s coverage goes on.';
COMMENT ON COLUMN payroll.benefit_enrollment.employee_cost_per_period_amount IS
    'As deducted: a monthly share is taken in halves from the first two pays of a month.';
COMMENT ON COLUMN payroll.benefit_enrollment.evidence_of_insurability IS
    'What the insurer says to life coverage above the amount that everybody gets.';

-- FK: what an employee is enrolled in.
CREATE INDEX benefit_enrollment_employee_idx
    ON payroll.benefit_enrollment (business_id, employee_id, effective_from);

-- FK: the members of a plan: the census, the carrier's feed.
CREATE INDEX benefit_enrollment_benefit_plan_idx
    ON payroll.benefit_enrollment (business_id, benefit_plan_id, plan_kind, status);

-- FK: who pays a rate.
CREATE INDEX benefit_enrollment_benefit_plan_rate_idx
    ON payroll.benefit_enrollment (business_id, benefit_plan_rate_id)
    WHERE benefit_plan_rate_id IS NOT NULL;

-- FK: the elections of a window; count_elections(), submit_elections(). The status comes before
-- the employee, so that what was cancelled, as each election is that gave way, is not read.
CREATE INDEX benefit_enrollment_enrollment_window_idx
    ON payroll.benefit_enrollment (business_id, enrollment_window_id, status, employee_id);

ALTER TABLE payroll.benefit_enrollment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.benefit_enrollment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.benefit_enrollment TO app_user;
GRANT SELECT ON payroll.benefit_enrollment TO app_readonly;

CREATE TRIGGER benefit_enrollment_touch
    BEFORE UPDATE ON payroll.benefit_enrollment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
CREATE TRIGGER benefit_enrollment_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.benefit_enrollment
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft", "submitted"],
        "transitions": {
            "draft":         ["submitted", "cancelled"],
            "submitted":     ["pending_proof", "active", "cancelled"],
            "pending_proof": ["active", "cancelled"],
            "active":        ["ended", "cancelled"],
            "ended":         ["cancelled"],
            "cancelled":     []
        }}');

CREATE FUNCTION payroll.pay_rhythm(employee uuid) RETURNS text
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN coalesce((
        SELECT s.frequency
        FROM payroll.employee AS e
        JOIN payroll.pay_schedule AS s
            ON s.business_id = e.business_id AND s.employer_entity_id = e.employer_entity_id
           AND s.is_active
        WHERE e.business_id = tenant_mgmt.current_business_id() AND e.employee_id = employee
          AND (s.pay_group = 'everybody'
               OR s.pay_group = CASE WHEN EXISTS (
                      SELECT
                      FROM payroll.job_assignment AS a
                      JOIN payroll.compensation_rate AS c
                          ON c.business_id = a.business_id
                         AND c.job_assignment_id = a.job_assignment_id
                      WHERE a.business_id = e.business_id AND a.employee_id = e.employee_id
                        AND a.is_primary AND c.pay_basis = 'salary'
                        AND c.effective_until IS NULL) THEN 'salaried' ELSE 'hourly' END)
        ORDER BY s.code
        LIMIT 1), 'biweekly');
END
$$;
COMMENT ON FUNCTION payroll.pay_rhythm(uuid) IS
    'How often an employee of the calling tenant is paid: the frequency of the schedule of their
     group; every other week where none is set up yet.';

CREATE FUNCTION payroll.enrollment_cost(rate uuid, coverage numeric, rhythm text)
    RETURNS TABLE (employee_amount numeric, employer_amount numeric, frequency text)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT round(r.employee_share_amount * f.factor, 2),
           round(r.employer_share_amount * f.factor, 2),
           CASE WHEN r.rate_basis <> 'per_period' AND rhythm = 'biweekly'
                THEN 'first_two_of_month' ELSE 'every_period' END
    FROM payroll.benefit_plan_rate AS r
    CROSS JOIN LATERAL (
        SELECT CASE r.rate_basis WHEN 'per_1000_covered' THEN coalesce(coverage, 0) / 1000
                                 ELSE 1 END
               * CASE WHEN r.rate_basis = 'per_period' THEN 1
                      WHEN rhythm = 'biweekly' THEN 0.5
                      ELSE 12.0 / payroll.pay_periods_a_year(rhythm) END AS factor
    ) AS f
    WHERE r.business_id = tenant_mgmt.current_business_id() AND r.benefit_plan_rate_id = rate;
END;
COMMENT ON FUNCTION payroll.enrollment_cost(uuid, numeric, text) IS
    'What a rate of the calling tenant costs employee and employer a pay, and from which pays it is
     taken: with 26 pays a year half a month''s share from the first two of a month.';

CREATE FUNCTION payroll.rate_of_plan(plan uuid, tier text, employee uuid, day date) RETURNS uuid
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT r.benefit_plan_rate_id
        FROM payroll.benefit_plan_rate AS r
        JOIN payroll.employee AS e
            ON e.business_id = r.business_id AND e.employee_id = rate_of_plan.employee
        WHERE r.business_id = tenant_mgmt.current_business_id() AND r.benefit_plan_id = plan
          AND r.coverage_tier = tier AND NOT r.tobacco_user
          AND daterange(r.effective_from, r.effective_until) @> day
          AND int4range(r.age_from, r.age_to, '[]')
              @> coalesce(extract(year FROM age(day, e.birth_date))::integer, r.age_from)
        ORDER BY r.age_from
        LIMIT 1);
END
$$;
COMMENT ON FUNCTION payroll.rate_of_plan(uuid, text, uuid, date) IS
    'The rate of a tier of a plan of the calling tenant at the age that the employee then has.';

CREATE FUNCTION payroll.price_enrollment() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    plan   record;
    chosen record;
BEGIN
    SELECT p.plan_code, p.plan_kind, p.plan_year_start, p.plan_year_end INTO plan
    FROM payroll.benefit_plan AS p
    WHERE p.business_id = NEW.business_id AND p.benefit_plan_id = NEW.benefit_plan_id;
    NEW.plan_kind := plan.plan_kind;
    IF NEW.effective_from NOT BETWEEN plan.plan_year_start AND plan.plan_year_end THEN
        RAISE EXCEPTION 'plan % is offered from % to %, not on %', plan.plan_code,
                        plan.plan_year_start, plan.plan_year_end, NEW.effective_from
            USING ERRCODE = 'check_violation', HINT = 'Elect the plan of that year.';
    END IF;
    SELECT w.employee_id, w.coverage_effective_on, w.status, w.opens_on, w.closes_on INTO chosen
    FROM payroll.enrollment_window AS w
    WHERE w.business_id = NEW.business_id AND w.enrollment_window_id = NEW.enrollment_window_id;
    IF chosen.employee_id <> NEW.employee_id THEN
        RAISE EXCEPTION 'the enrollment window is that of another employee'
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.effective_from < chosen.coverage_effective_on THEN
        RAISE EXCEPTION 'coverage elected in this window begins on %, not on %',
                        chosen.coverage_effective_on, NEW.effective_from
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.benefit_plan_rate_id IS NOT NULL AND NOT EXISTS (
        SELECT
        FROM payroll.benefit_plan_rate AS r
        WHERE r.business_id = NEW.business_id
          AND r.benefit_plan_rate_id = NEW.benefit_plan_rate_id
          AND r.benefit_plan_id = NEW.benefit_plan_id AND r.coverage_tier = NEW.coverage_tier
    ) THEN
        RAISE EXCEPTION 'the rate is not one of the tier % of the plan', NEW.coverage_tier
            USING ERRCODE = 'check_violation';
    END IF;
    -- History brings its prices.
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    IF NEW.status = 'submitted' AND chosen.status NOT IN ('open', 'extended') THEN
        RAISE EXCEPTION 'the enrollment window is %', chosen.status
            USING ERRCODE = 'check_violation', HINT = 'Extend it, or open a correction window.';
    END IF;
    IF NEW.election <> 'waived' THEN
        NEW.benefit_plan_rate_id := coalesce(
            NEW.benefit_plan_rate_id,
            payroll.rate_of_plan(NEW.benefit_plan_id, NEW.coverage_tier, NEW.employee_id,
                                 NEW.effective_from));
        IF NEW.benefit_plan_rate_id IS NOT NULL THEN
            SELECT c.employee_amount, c.employer_amount
            INTO NEW.employee_cost_per_period_amount, NEW.employer_cost_per_period_amount
            FROM payroll.enrollment_cost(NEW.benefit_plan_rate_id, NEW.coverage_amount,
                                         payroll.pay_rhythm(NEW.employee_id)) AS c;
        END IF;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.price_enrollment() IS
    'Takes the kind of the plan, keeps to its year and to the window, and sets what the election
     costs a pay by the rate of its tier and the age of the employee. A plan without rates costs
     what was elected.';

CREATE TRIGGER benefit_enrollment_price
    BEFORE INSERT OR UPDATE OF benefit_plan_id, benefit_plan_rate_id, enrollment_window_id,
        plan_kind, coverage_tier, coverage_amount, effective_from, employee_id
    ON payroll.benefit_enrollment
    FOR EACH ROW EXECUTE FUNCTION payroll.price_enrollment();

CREATE FUNCTION payroll.require_open_window() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) AND NOT EXISTS (
        SELECT
        FROM payroll.enrollment_window AS w
        WHERE w.business_id = NEW.business_id
          AND w.enrollment_window_id = NEW.enrollment_window_id
          AND w.status IN ('open', 'extended')
    ) THEN
        RAISE EXCEPTION 'the enrollment window is not open'
            USING ERRCODE = 'check_violation', HINT = 'Extend it, or open a correction window.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.require_open_window() IS
    'A draft is submitted while its window is open.';

CREATE TRIGGER benefit_enrollment_submitted_in_window
    BEFORE UPDATE OF status ON payroll.benefit_enrollment
    FOR EACH ROW WHEN (OLD.status = 'draft' AND NEW.status = 'submitted')
    EXECUTE FUNCTION payroll.require_open_window();

CREATE FUNCTION payroll.count_elections() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        -- Few updates change who has elected; the others need not wait for the window.
        IF NOT EXISTS (
            SELECT
            FROM changed AS n
            JOIN former AS o
                ON o.business_id = n.business_id
               AND o.benefit_enrollment_id = n.benefit_enrollment_id
            WHERE (n.enrollment_window_id, n.employee_id, n.status IN ('draft', 'cancelled'))
                  <> (o.enrollment_window_id, o.employee_id, o.status IN ('draft', 'cancelled'))
        ) THEN
            RETURN NULL;
        END IF;
    ELSIF NOT EXISTS (SELECT FROM changed) THEN
        RETURN NULL;
    END IF;
    -- Two who elect at once count one after the other: each alone would not see the other.
    PERFORM FROM payroll.enrollment_window AS w
    WHERE (w.business_id, w.enrollment_window_id) IN (
        SELECT x.business_id, x.enrollment_window_id FROM changed AS x)
    ORDER BY w.enrollment_window_id
    FOR NO KEY UPDATE;
    UPDATE payroll.enrollment_window AS w
    SET submitted_count = s.people, invited_count = greatest(w.invited_count, s.people)
    FROM (
        SELECT c.business_id, c.enrollment_window_id, count(DISTINCT e.employee_id) AS people
        FROM (SELECT DISTINCT x.business_id, x.enrollment_window_id FROM changed AS x) AS c
        LEFT JOIN payroll.benefit_enrollment AS e
            ON e.business_id = c.business_id
           AND e.enrollment_window_id = c.enrollment_window_id
           AND e.status IN ('submitted', 'pending_proof', 'active', 'ended')
        GROUP BY c.business_id, c.enrollment_window_id
    ) AS s
    WHERE w.business_id = s.business_id AND w.enrollment_window_id = s.enrollment_window_id
      AND w.submitted_count <> s.people;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.count_elections() IS
    'A window counts the people who elected in it.';

CREATE TRIGGER benefit_enrollment_counted_on_insert
    AFTER INSERT ON payroll.benefit_enrollment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION payroll.count_elections();

CREATE TRIGGER benefit_enrollment_counted_on_update
    AFTER UPDATE ON payroll.benefit_enrollment
    REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION payroll.count_elections();

CREATE FUNCTION payroll.plan_deduction_code(plan uuid) RETURNS uuid
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT c.deduction_code_id
        FROM payroll.benefit_plan AS p
        JOIN payroll.deduction_code AS c
            ON c.business_id = p.business_id AND c.is_active
        LEFT JOIN payroll.benefit_plan AS l
            ON l.business_id = c.business_id AND l.benefit_plan_id = c.benefit_plan_id
        WHERE p.business_id = tenant_mgmt.current_business_id() AND p.benefit_plan_id = plan
          AND (l.benefit_plan_id = p.benefit_plan_id OR l.plan_code = p.plan_code
               OR l.plan_kind = p.plan_kind)
        ORDER BY (l.benefit_plan_id = p.benefit_plan_id) DESC, (l.plan_code = p.plan_code) DESC,
                 c.priority, c.code
        LIMIT 1);
END
$$;
COMMENT ON FUNCTION payroll.plan_deduction_code(uuid) IS
    'By which code a plan of the calling tenant is taken from the pay: its own, that of the same
     plan in another year, or that of a plan of the same kind.';

CREATE FUNCTION payroll.follow_enrollment() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    code    uuid;
    rhythm  text;
    takes   text := 'every_period';
    matched numeric := 0;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    IF NEW.status = 'active' THEN
        IF NEW.election = 'waived'
           OR (NEW.employee_cost_per_period_amount = 0
               AND NEW.employer_cost_per_period_amount = 0
               AND coalesce(NEW.contribution_percent, 0) = 0) THEN
            RETURN NULL;
        END IF;
        code := payroll.plan_deduction_code(NEW.benefit_plan_id);
        IF code IS NULL THEN
            RAISE EXCEPTION 'no deduction code belongs to the plan'
                USING ERRCODE = 'check_violation',
                      HINT = 'Name the plan in a deduction_code first.';
        END IF;
        rhythm := payroll.pay_rhythm(NEW.employee_id);
        IF NEW.benefit_plan_rate_id IS NOT NULL THEN
            SELECT c.frequency INTO takes
            FROM payroll.enrollment_cost(NEW.benefit_plan_rate_id, NEW.coverage_amount,
                                         rhythm) AS c;
        END IF;
        IF NEW.contribution_percent IS NOT NULL THEN
            matched := payroll.employer_match(NEW.benefit_plan_id, NEW.contribution_percent);
        END IF;
        INSERT INTO payroll.employee_deduction
            (business_id, employee_id, deduction_code_id, benefit_enrollment_id, amount, percent,
             employer_amount, employer_percent, effective_from, effective_until, frequency)
        VALUES
            (NEW.business_id, NEW.employee_id, code, NEW.benefit_enrollment_id,
             CASE WHEN NEW.contribution_percent IS NULL
                  THEN NEW.employee_cost_per_period_amount END,
             NEW.contribution_percent, NEW.employer_cost_per_period_amount, matched,
             NEW.effective_from, NEW.effective_until, takes);
        RETURN NULL;
    END IF;
    -- A pay that is being calculated may be about to take it: the DELETE looks once that is done.
    PERFORM FROM payroll.employee_deduction AS d
    WHERE d.business_id = NEW.business_id
      AND d.benefit_enrollment_id = NEW.benefit_enrollment_id AND NEW.status = 'cancelled'
    ORDER BY d.employee_deduction_id
    FOR UPDATE;
    -- What never took anything has no reason to stay; what did ends where the coverage does.
    DELETE FROM payroll.employee_deduction AS d
    WHERE d.business_id = NEW.business_id
      AND d.benefit_enrollment_id = NEW.benefit_enrollment_id
      AND NEW.status = 'cancelled' AND d.taken_to_date_amount = 0
      AND NOT EXISTS (
          SELECT
          FROM payroll.paycheck_deduction AS p
          WHERE p.business_id = d.business_id
            AND p.employee_deduction_id = d.employee_deduction_id);
    UPDATE payroll.employee_deduction AS d
    SET effective_until = greatest(coalesce(NEW.effective_until, d.effective_from + 1),
                                   d.effective_from + 1),
        stop_reason = coalesce(NEW.end_reason, 'Election cancelled')
    WHERE d.business_id = NEW.business_id
      AND d.benefit_enrollment_id = NEW.benefit_enrollment_id;
    UPDATE payroll.enrollment_dependent AS d
    SET covered_until = greatest(coalesce(NEW.effective_until, d.covered_from + 1),
                                 d.covered_from + 1),
        end_reason = CASE WHEN NEW.end_reason ILIKE '%employment%' THEN 'termination'
                          ELSE 'voluntary' END
    WHERE d.business_id = NEW.business_id
      AND d.benefit_enrollment_id = NEW.benefit_enrollment_id
      AND coalesce(d.covered_until > NEW.effective_until, d.covered_until IS NULL);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.follow_enrollment() IS
    'An active enrollment is taken from the pay: by amount, or by percent with the match of its
     plan. Its end ends the deduction and the coverage of dependents. Imported enrollments bring
     both.';

CREATE TRIGGER benefit_enrollment_deduction
    AFTER UPDATE OF status, effective_until ON payroll.benefit_enrollment
    FOR EACH ROW WHEN ((OLD.status <> NEW.status
                        AND (NEW.status IN ('active', 'ended')
                             OR (NEW.status = 'cancelled' AND OLD.status IN ('active', 'ended'))))
                       OR (NEW.status = 'ended' AND NEW.effective_until <> OLD.effective_until))
    EXECUTE FUNCTION payroll.follow_enrollment();


CREATE TABLE payroll.enrollment_dependent (
    business_id             uuid        NOT NULL,
    enrollment_dependent_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    benefit_enrollment_id   uuid        NOT NULL,
    dependent_id            uuid        NOT NULL,
    covered_from            date        NOT NULL,
    covered_until           date,
    primary_care_provider   text,
    is_court_ordered        boolean     NOT NULL DEFAULT false,
    proof_status            text        NOT NULL DEFAULT 'not_needed',
    end_reason              text,
    cobra_eligible          boolean     NOT NULL DEFAULT false,
    created_at              timestamptz NOT NULL DEFAULT now(),
    updated_at              timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, enrollment_dependent_id),
    UNIQUE (business_id, benefit_enrollment_id, dependent_id, covered_from),
    FOREIGN KEY (business_id, benefit_enrollment_id)
        REFERENCES payroll.benefit_enrollment (business_id, benefit_enrollment_id),
    FOREIGN KEY (business_id, dependent_id)
        REFERENCES payroll.dependent (business_id, dependent_id),
    CONSTRAINT enrollment_dependent_proof_status_known
        CHECK (proof_status IN ('not_needed', 'pending', 'received', 'rejected')),
    CONSTRAINT enrollment_dependent_end_reason_known
        CHECK (end_reason IN ('aged_out', 'divorce', 'death', 'voluntary', 'termination')),
    CONSTRAINT enrollment_dependent_ends_after_start CHECK (covered_until > covered_from),
    CONSTRAINT enrollment_dependent_end_has_reason
        CHECK ((covered_until IS NULL) = (end_reason IS NULL)),
    CONSTRAINT enrollment_dependent_continues_what_ended
        CHECK (NOT cobra_eligible
               OR coalesce(end_reason, '') IN ('aged_out', 'divorce', 'termination')),
    CONSTRAINT enrollment_dependent_covered_once EXCLUDE USING gist (
        business_id WITH =, benefit_enrollment_id WITH =, dependent_id WITH =,
        daterange(covered_from, covered_until) WITH &&)
);

COMMENT ON TABLE payroll.enrollment_dependent IS 'Dependent covered under an enrollment.';
COMMENT ON COLUMN payroll.enrollment_dependent.is_court_ordered IS
    'A medical support order: the employee cannot drop the child.';

-- FK: by what a dependent is covered.
CREATE INDEX enrollment_dependent_dependent_idx
    ON payroll.enrollment_dependent (business_id, dependent_id);

-- submit_elections(): the few for whom a court ordered coverage.
CREATE INDEX enrollment_dependent_ordered_idx
    ON payroll.enrollment_dependent (business_id, dependent_id)
    WHERE is_court_ordered;

ALTER TABLE payroll.enrollment_dependent ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.enrollment_dependent
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.enrollment_dependent TO app_user;
GRANT SELECT ON payroll.enrollment_dependent TO app_readonly;

CREATE TRIGGER enrollment_dependent_touch
    BEFORE UPDATE ON payroll.enrollment_dependent
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.tier_allows(tier text, relationship text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN relationship IN ('spouse', 'domestic_partner')
                THEN tier IN ('employee_spouse', 'family')
                ELSE tier IN ('employee_children', 'family') END;
COMMENT ON FUNCTION payroll.tier_allows(text, text) IS
    'Whether a tier covers a spouse, or a child.';

CREATE FUNCTION payroll.check_covered_dependent() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    fact record;
BEGIN
    SELECT e.employee_id, e.coverage_tier, e.effective_from, d.employee_id AS parent,
           d.relationship, d.first_name, d.aged_out_on
    INTO fact
    FROM payroll.benefit_enrollment AS e
    JOIN payroll.dependent AS d
        ON d.business_id = e.business_id AND d.dependent_id = NEW.dependent_id
    WHERE e.business_id = NEW.business_id
      AND e.benefit_enrollment_id = NEW.benefit_enrollment_id;
    IF fact.employee_id <> fact.parent THEN
        RAISE EXCEPTION '% belongs to another employee', fact.first_name
            USING ERRCODE = 'check_violation';
    ELSIF NOT payroll.tier_allows(fact.coverage_tier, fact.relationship) THEN
        RAISE EXCEPTION 'tier % does not cover %, a %', fact.coverage_tier, fact.first_name,
                        fact.relationship
            USING ERRCODE = 'check_violation';
    ELSIF NEW.covered_from < fact.effective_from THEN
        RAISE EXCEPTION '% would be covered before the enrollment begins', fact.first_name
            USING ERRCODE = 'check_violation';
    ELSIF NEW.covered_from > fact.aged_out_on OR NEW.covered_until > fact.aged_out_on + 1 THEN
        RAISE EXCEPTION '% ages out on %', fact.first_name, fact.aged_out_on
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.check_covered_dependent() IS
    'A dependent is covered by an enrollment of their own employee whose tier allows them, from its
     begin at the earliest, and no longer than to the month in which they turn 26.';

CREATE TRIGGER enrollment_dependent_fits
    BEFORE INSERT OR UPDATE OF benefit_enrollment_id, dependent_id, covered_from, covered_until
    ON payroll.enrollment_dependent
    FOR EACH ROW EXECUTE FUNCTION payroll.check_covered_dependent();

CREATE FUNCTION payroll.refuse_dropping_ordered() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT
        FROM payroll.benefit_enrollment AS o
        JOIN payroll.benefit_enrollment AS n
            ON n.business_id = o.business_id AND n.employee_id = o.employee_id
           AND n.plan_kind = o.plan_kind
           AND n.status IN ('submitted', 'pending_proof', 'active')
        JOIN payroll.enrollment_dependent AS x
            ON x.business_id = n.business_id
           AND x.benefit_enrollment_id = n.benefit_enrollment_id
           AND x.dependent_id = NEW.dependent_id AND x.is_court_ordered
           AND daterange(x.covered_from, x.covered_until) @> NEW.covered_until
        WHERE o.business_id = NEW.business_id
          AND o.benefit_enrollment_id = NEW.benefit_enrollment_id
    ) THEN
        RAISE EXCEPTION 'a court ordered this coverage: the employee cannot end it'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.refuse_dropping_ordered() IS
    'A medical support order holds until the court lifts it (29 USC 1169(a)): at the end of the
     transaction the child is covered by another election of the same kind.';

CREATE CONSTRAINT TRIGGER enrollment_dependent_ordered_stays
    AFTER UPDATE OF covered_until, end_reason ON payroll.enrollment_dependent
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.is_court_ordered AND NEW.is_court_ordered
                       AND OLD.covered_until IS NULL AND NEW.end_reason = 'voluntary')
    EXECUTE FUNCTION payroll.refuse_dropping_ordered();

CREATE FUNCTION payroll.refuse_smaller_tier() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    left_out record;
BEGIN
    SELECT d.first_name, d.relationship INTO left_out
    FROM payroll.enrollment_dependent AS x
    JOIN payroll.dependent AS d
        ON d.business_id = x.business_id AND d.dependent_id = x.dependent_id
    WHERE x.business_id = NEW.business_id AND x.covered_until IS NULL
      AND x.benefit_enrollment_id = NEW.benefit_enrollment_id
      AND NOT payroll.tier_allows(NEW.coverage_tier, d.relationship)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'tier % does not cover %, a %', NEW.coverage_tier, left_out.first_name,
                        left_out.relationship
            USING ERRCODE = 'check_violation', HINT = 'End their coverage first.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.refuse_smaller_tier() IS
    'An election does not shrink below those whom it covers.';

CREATE TRIGGER benefit_enrollment_tier_covers_all
    AFTER UPDATE OF coverage_tier ON payroll.benefit_enrollment
    FOR EACH ROW WHEN (OLD.coverage_tier <> NEW.coverage_tier)
    EXECUTE FUNCTION payroll.refuse_smaller_tier();


CREATE FUNCTION payroll.submit_elections(
    employee   uuid,
    win        uuid,
    elections  jsonb,
    moment     timestamptz DEFAULT now()
) RETURNS SETOF uuid
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    tenant  CONSTANT uuid := tenant_mgmt.current_business_id();
    chosen  record;
    starts  date;
    may     date;
    made    uuid;
    kind    text;
    proof   boolean;
BEGIN
    -- Two submissions of one employee wait for each other: the later one replaces the former.
    PERFORM FROM payroll.employee AS e
    WHERE e.business_id = tenant AND e.employee_id = employee
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such employee' USING ERRCODE = 'no_data_found';
    END IF;
    SELECT w.coverage_effective_on INTO starts
    FROM payroll.enrollment_window AS w
    WHERE w.business_id = tenant AND w.enrollment_window_id = win
      AND w.status IN ('open', 'extended');
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the enrollment window is not open' USING ERRCODE = 'check_violation';
    END IF;
    FOR chosen IN
        SELECT j.plan, j.election, coalesce(j.tier, 'employee') AS tier, j.coverage, j.percent,
               j.amount, j.dependents
        FROM JSON_TABLE(elections, '$[*]' COLUMNS (
                 turn       FOR ORDINALITY,
                 plan       uuid    PATH '$.plan',
                 election   text    PATH '$.election' DEFAULT 'elected' ON EMPTY,
                 tier       text    PATH '$.tier',
                 coverage   numeric PATH '$.coverage_amount',
                 percent    numeric PATH '$.contribution_percent',
                 amount     numeric PATH '$.per_period_amount',
                 dependents jsonb   PATH '$.dependents')) AS j
        ORDER BY j.turn
    LOOP
        SELECT p.plan_kind,
               p.plan_kind = 'supplemental_life' AND coalesce(chosen.coverage, 0) > 100000
        INTO kind, proof
        FROM payroll.benefit_plan AS p
        WHERE p.business_id = tenant AND p.benefit_plan_id = chosen.plan;
        may := payroll.eligible_from(employee, chosen.plan, (moment AT TIME ZONE 'UTC')::date);
        IF may IS NULL THEN
            RAISE EXCEPTION 'the employee may not join this plan'
                USING ERRCODE = 'check_violation';
        END IF;
        -- What was chosen before gives way: it ends, or was never more than a plan.
        UPDATE payroll.benefit_enrollment AS e
        SET status = CASE WHEN e.effective_from < greatest(starts, may) THEN 'ended'
                          ELSE 'cancelled' END,
            effective_until = CASE WHEN e.effective_from < greatest(starts, may)
                                   THEN greatest(starts, may) ELSE e.effective_until END,
            end_reason = 'Elected anew'
        WHERE e.business_id = tenant AND e.employee_id = employee AND e.plan_kind = kind
          -- What was to end later, for an election of next year say, ends earlier, or never began.
          AND e.status IN ('active', 'ended')
          AND coalesce(e.effective_until > greatest(starts, may), true);
        UPDATE payroll.benefit_enrollment AS e
        SET status = 'cancelled', end_reason = 'Elected anew'
        WHERE e.business_id = tenant AND e.employee_id = employee AND e.plan_kind = kind
          AND e.enrollment_window_id = win AND e.status IN ('draft', 'submitted', 'pending_proof');
        INSERT INTO payroll.benefit_enrollment
            (business_id, employee_id, benefit_plan_id, enrollment_window_id, plan_kind,
             election, coverage_tier, coverage_amount, contribution_percent,
             employee_cost_per_period_amount, effective_from, signed_at, status,
             evidence_of_insurability)
        VALUES
            (tenant, employee, chosen.plan, win, kind, chosen.election,
             CASE chosen.election WHEN 'waived' THEN 'none' ELSE chosen.tier END,
             chosen.coverage, chosen.percent, coalesce(chosen.amount, 0),
             greatest(starts, may), moment, 'submitted',
             CASE WHEN proof THEN 'pending' ELSE 'not_needed' END)
        RETURNING benefit_enrollment_id INTO made;
        INSERT INTO payroll.enrollment_dependent
            (business_id, benefit_enrollment_id, dependent_id, covered_from, proof_status,
             is_court_ordered)
        SELECT tenant, made, j.dependent, greatest(starts, may),
               CASE WHEN d.verified_on IS NULL THEN 'pending' ELSE 'received' END,
               -- What a court ordered holds in the plan that is elected now, too. Of all others
               -- the elections of the past are not read.
               CASE WHEN EXISTS (
                   SELECT
                   FROM payroll.enrollment_dependent AS o
                   WHERE o.business_id = tenant AND o.dependent_id = j.dependent
                     AND o.is_court_ordered)
               THEN coalesce((
                   SELECT x.is_court_ordered
                   FROM payroll.enrollment_dependent AS x
                   JOIN payroll.benefit_enrollment AS e
                       ON e.business_id = x.business_id AND e.plan_kind = kind
                      AND e.benefit_enrollment_id = x.benefit_enrollment_id
                   WHERE x.business_id = tenant AND x.dependent_id = j.dependent
                   ORDER BY x.covered_from DESC, x.created_at DESC, x.enrollment_dependent_id DESC
                   LIMIT 1), false)
               ELSE false END
        FROM JSON_TABLE(coalesce(chosen.dependents, '[]'), '$[*]'
                        COLUMNS (dependent uuid PATH '$')) AS j
        JOIN payroll.dependent AS d
            ON d.business_id = tenant AND d.dependent_id = j.dependent;
        UPDATE payroll.benefit_enrollment AS e
        SET status = CASE WHEN proof OR EXISTS (
                SELECT
                FROM payroll.enrollment_dependent AS d
                WHERE d.business_id = tenant AND d.benefit_enrollment_id = made
                  AND d.proof_status = 'pending') THEN 'pending_proof' ELSE 'active' END
        WHERE e.business_id = tenant AND e.benefit_enrollment_id = made;
        RETURN NEXT made;
    END LOOP;
END
$$;
COMMENT ON FUNCTION payroll.submit_elections(uuid, uuid, jsonb, timestamptz) IS
    'Saves what an employee of the calling tenant elects in an open window: [{"plan", "election",
     "tier", "coverage_amount", "contribution_percent", "per_period_amount", "dependents": [id]}].
     Former elections of the same kinds give way. What needs no proof is active at once and taken
     from the pay; supplemental life above 100,000 waits for the insurer, an unverified dependent
     for a document. Returns the enrollments in the order of the elections.';


-- What earlier files point to here.
ALTER TABLE payroll.deduction_code
    ADD FOREIGN KEY (business_id, benefit_plan_id)
        REFERENCES payroll.benefit_plan (business_id, benefit_plan_id);

ALTER TABLE payroll.employee_deduction
    ADD FOREIGN KEY (business_id, benefit_enrollment_id)
        REFERENCES payroll.benefit_enrollment (business_id, benefit_enrollment_id);
