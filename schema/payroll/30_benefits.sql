/*
 * Benefits: what a company offers its people, what it costs, and who chose what.
 *
 * A benefit_plan of a benefit_carrier is offered for a plan year; benefit_plan_rates say what a
 * coverage tier costs and who pays how much of it, eligibility_rules who may join and from when
 * (payroll.eligible_from()). Elections are made in an enrollment_window: open enrollment for
 * everybody, a new hire's own, or the one that an approved life_event opens, for before-tax
 * elections stand for a plan year unless life changes (26 CFR 1.125-4).
 *
 * A benefit_enrollment is one election. It is priced by its rate and, once active, taken from the
 * pay through an employee_deduction that it creates and ends. enrollment_dependents are the
 * dependents that it covers; the tier must allow each of them.
 *
 * effective_until and covered_until are the first day without; aged_out_on is the last one with.
 */

CREATE TABLE payroll.benefit_carrier (
    business_id        uuid              NOT NULL,
    benefit_carrier_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    name               text              NOT NULL,
    carrier_kind       text              NOT NULL,
    group_number       text              NOT NULL,
    feed_format        text              NOT NULL,
    feed_schedule      system_core.cron,
    sender_id          text,
    receiver_id        text,
    contact_email      system_core.email,
    status             text              NOT NULL DEFAULT 'active',
    created_at         timestamptz       NOT NULL DEFAULT now(),
    updated_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, benefit_carrier_id),
    UNIQUE (business_id, name, group_number),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT benefit_carrier_kind_known
        CHECK (carrier_kind IN ('medical', 'dental', 'vision', 'life_disability', 'retirement',
                                'spending_account', 'voluntary')),
    CONSTRAINT benefit_carrier_feed_format_known
        CHECK (feed_format IN ('edi_834', 'csv', 'api', 'portal')),
    CONSTRAINT benefit_carrier_status_known CHECK (status IN ('active', 'terminated')),
    CONSTRAINT benefit_carrier_interchange_has_both_ends
        CHECK (feed_format <> 'edi_834' OR num_nonnulls(sender_id, receiver_id) = 2)
);

COMMENT ON TABLE payroll.benefit_carrier IS 'Insurer, record-keeper or account administrator.';
COMMENT ON COLUMN payroll.benefit_carrier.feed_format IS
    'How it hears of members: an 834 interchange, a file, a call, or somebody types them in.';

ALTER TABLE payroll.benefit_carrier ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.benefit_carrier
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.benefit_carrier TO app_user;
GRANT SELECT ON payroll.benefit_carrier TO app_readonly;

CREATE TRIGGER benefit_carrier_touch
    BEFORE UPDATE ON payroll.benefit_carrier
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
CREATE TRIGGER benefit_carrier_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.benefit_carrier
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["active"],
        "transitions": {
            "active":     ["terminated"],
            "terminated": ["active"]
        }}');


CREATE FUNCTION payroll.match_formula_fits(formula jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT count(*) > 0
       AND coalesce(bool_and(t.up_to > t.below AND t.up_to <= 100 AND t.matched >= 0
                             AND t.matched <= 200), false)
    FROM (
        SELECT j.up_to, j.matched, coalesce(lag(j.up_to) OVER (ORDER BY j.turn), 0) AS below
        FROM JSON_TABLE(formula, '$[*]' COLUMNS (
                 turn    FOR ORDINALITY,
                 up_to   numeric PATH '$.up_to_percent',
                 matched numeric PATH '$.match_percent')) AS j
    ) AS t;
END;
COMMENT ON FUNCTION payroll.match_formula_fits(jsonb) IS
    'Whether the tiers of a match rise, end within the pay, and match up to twice. NULL of none, so
     that a plan without a match passes.';

CREATE TABLE payroll.benefit_plan (
    business_id                  uuid              NOT NULL,
    benefit_plan_id              uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    benefit_carrier_id           uuid              NOT NULL,
    employer_entity_id           uuid              NOT NULL,
    plan_code                    system_core.code  NOT NULL,
    name                         text              NOT NULL,
    plan_kind                    text              NOT NULL,
    plan_year_start              date              NOT NULL,
    plan_year_end                date              NOT NULL,
    minimum_value                boolean           NOT NULL DEFAULT false,
    is_self_funded               boolean           NOT NULL DEFAULT false,
    section_125                  boolean           NOT NULL DEFAULT false,
    waiting_period_days          integer           NOT NULL DEFAULT 0,
    employer_contribution_method text              NOT NULL DEFAULT 'tiered',
    match_formula system_core.json_array,
    annual_limit_amount          system_core.money,
    is_offered                   boolean           NOT NULL DEFAULT true,
    created_at                   timestamptz       NOT NULL DEFAULT now(),
    updated_at                   timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, benefit_plan_id),
    UNIQUE (business_id, plan_code, plan_year_start),
    UNIQUE (business_id, benefit_plan_id, plan_kind),
    FOREIGN KEY (business_id, benefit_carrier_id)
        REFERENCES payroll.benefit_carrier (business_id, benefit_carrier_id),
    FOREIGN KEY (business_id, employer_entity_id)
        REFERENCES payroll.employer_entity (business_id, employer_entity_id),
    CONSTRAINT benefit_plan_kind_known
        CHECK (plan_kind IN ('medical', 'dental', 'vision', 'basic_life', 'supplemental_life',
                             'std', 'ltd', 'hsa', 'health_fsa', 'dependent_fsa',
                             'retirement_401k', 'commuter', 'accident')),
    CONSTRAINT benefit_plan_employer_contribution_method_known
        CHECK (employer_contribution_method IN ('flat', 'percent', 'tiered', 'match')),
    CONSTRAINT benefit_plan_year_ends_after_start CHECK (plan_year_end > plan_year_start),
    CONSTRAINT benefit_plan_year_is_at_most_a_year
        CHECK (plan_year_end < plan_year_start + interval '1 year'),
    CONSTRAINT benefit_plan_waiting_at_most_90_days CHECK (waiting_period_days BETWEEN 0 AND 90),
    CONSTRAINT benefit_plan_match_has_formula
        CHECK ((employer_contribution_method = 'match') = (match_formula IS NOT NULL)),
    CONSTRAINT benefit_plan_match_is_for_retirement
        CHECK (match_formula IS NULL OR plan_kind = 'retirement_401k'),
    CONSTRAINT benefit_plan_match_formula_fits CHECK (payroll.match_formula_fits(match_formula)),
    CONSTRAINT benefit_plan_limit_positive CHECK (annual_limit_amount > 0),
    CONSTRAINT benefit_plan_minimum_value_is_medical
        CHECK (NOT minimum_value OR plan_kind = 'medical'),
    CONSTRAINT benefit_plan_deferrals_are_no_cafeteria
        CHECK (NOT section_125 OR plan_kind NOT IN ('retirement_401k', 'commuter'))
);

COMMENT ON TABLE payroll.benefit_plan IS
    'Plan offered in a plan year with its cost-sharing and tax class.';
COMMENT ON COLUMN payroll.benefit_plan.minimum_value IS
    'It pays at least 60 percent of what is covered (26 USC 36B(c)(2)(C)(ii)).';
COMMENT ON COLUMN payroll.benefit_plan.waiting_period_days IS
    'At most 90 (42 USC 300gg-7).';
COMMENT ON COLUMN payroll.benefit_plan.match_formula IS
    'Tiers of the match, rising: [{"up_to_percent": 3, "match_percent": 100},
     {"up_to_percent": 5, "match_percent": 50}] matches 4 percent of who defers 5.';
COMMENT ON COLUMN payroll.benefit_plan.annual_limit_amount IS
    'What law lets an employee put in in the plan year: account plans and 401(k).';

-- FK: what a carrier has been bought for.
CREATE INDEX benefit_plan_benefit_carrier_idx
    ON payroll.benefit_plan (business_id, benefit_carrier_id);

-- FK: what an employer offers in a year, by kind.
CREATE INDEX benefit_plan_employer_entity_idx
    ON payroll.benefit_plan (business_id, employer_entity_id, plan_kind, plan_year_start);

ALTER TABLE payroll.benefit_plan ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.benefit_plan
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.benefit_plan TO app_user;
GRANT SELECT ON payroll.benefit_plan TO app_readonly;

CREATE TRIGGER benefit_plan_touch
    BEFORE UPDATE ON payroll.benefit_plan
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.require_active_carrier() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    carrier_status text;
BEGIN
    -- The carrier's row is held: it cannot be terminated meanwhile.
    SELECT c.status INTO carrier_status
    FROM payroll.benefit_carrier AS c
    WHERE c.business_id = NEW.business_id AND c.benefit_carrier_id = NEW.benefit_carrier_id
    FOR NO KEY UPDATE;
    IF carrier_status = 'terminated' THEN
        RAISE EXCEPTION 'plan % is offered by a carrier that is terminated', NEW.plan_code
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.require_active_carrier() IS
    'No plan is offered of a carrier that the company has left.';

CREATE TRIGGER benefit_plan_active_carrier
    BEFORE INSERT OR UPDATE OF benefit_carrier_id, is_offered ON payroll.benefit_plan
    FOR EACH ROW WHEN (NEW.is_offered)
    EXECUTE FUNCTION payroll.require_active_carrier();

CREATE FUNCTION payroll.refuse_open_plan_year() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    open_plan text;
BEGIN
    SELECT min(p.plan_code) INTO open_plan
    FROM payroll.benefit_plan AS p
    WHERE p.business_id = NEW.business_id AND p.benefit_carrier_id = NEW.benefit_carrier_id
      AND p.is_offered;
    IF open_plan IS NOT NULL THEN
        RAISE EXCEPTION 'carrier % still has an open plan year: %', NEW.name, open_plan
            USING ERRCODE = 'check_violation', HINT = 'Stop offering its plans first.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.refuse_open_plan_year() IS
    'A terminated carrier has no plan that is offered.';

CREATE TRIGGER benefit_carrier_no_open_plan_year
    BEFORE UPDATE OF status ON payroll.benefit_carrier
    FOR EACH ROW WHEN (NEW.status = 'terminated')
    EXECUTE FUNCTION payroll.refuse_open_plan_year();

CREATE FUNCTION payroll.match_tiers(plan uuid)
    RETURNS TABLE (tier_no integer, from_percent numeric, up_to_percent numeric,
                   match_percent numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT j.turn, coalesce(lag(j.up_to) OVER (ORDER BY j.turn), 0), j.up_to, j.matched
    FROM payroll.benefit_plan AS p
    CROSS JOIN JSON_TABLE(p.match_formula::jsonb, '$[*]' COLUMNS (
                   turn    FOR ORDINALITY,
                   up_to   numeric PATH '$.up_to_percent',
                   matched numeric PATH '$.match_percent')) AS j
    WHERE p.business_id = tenant_mgmt.current_business_id() AND p.benefit_plan_id = plan
    ORDER BY j.turn;
END;
COMMENT ON FUNCTION payroll.match_tiers(uuid) IS
    'The tiers of a plan''s match of the calling tenant: which percents of pay, when deferred, are
     matched by how much.';

CREATE FUNCTION payroll.employer_match(plan uuid, contribution_percent numeric) RETURNS numeric
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT coalesce(round(sum(greatest(least(contribution_percent, t.up_to_percent)
                                           - t.from_percent, 0) * t.match_percent / 100), 4), 0)
        FROM payroll.match_tiers(plan) AS t);
END
$$;
COMMENT ON FUNCTION payroll.employer_match(uuid, numeric) IS
    'What percent of pay the employer adds for who defers so many percent; 0 without a match.';


CREATE TABLE payroll.benefit_plan_rate (
    business_id           uuid              NOT NULL,
    benefit_plan_rate_id  uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    benefit_plan_id       uuid              NOT NULL,
    coverage_tier         text              NOT NULL,
    age_from              integer           NOT NULL DEFAULT 0,
    age_to                integer,
    tobacco_user          boolean           NOT NULL DEFAULT false,
    premium_amount        system_core.money NOT NULL,
    employee_share_amount system_core.money NOT NULL,
    employer_share_amount system_core.money NOT NULL,
    rate_basis            text              NOT NULL DEFAULT 'per_month',
    effective_from        date              NOT NULL,
    effective_until       date,
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, benefit_plan_rate_id),
    FOREIGN KEY (business_id, benefit_plan_id)
        REFERENCES payroll.benefit_plan (business_id, benefit_plan_id),
    CONSTRAINT benefit_plan_rate_tier_known
        CHECK (coverage_tier IN ('employee', 'employee_spouse', 'employee_children', 'family')),
    CONSTRAINT benefit_plan_rate_basis_known
        CHECK (rate_basis IN ('per_month', 'per_period', 'per_1000_covered')),
    CONSTRAINT benefit_plan_rate_shares_make_premium
        CHECK (premium_amount = employee_share_amount + employer_share_amount),
    CONSTRAINT benefit_plan_rate_shares_not_negative
        CHECK (employee_share_amount >= 0 AND employer_share_amount >= 0),
    CONSTRAINT benefit_plan_rate_ages_ordered CHECK (age_from >= 0 AND age_to >= age_from),
    CONSTRAINT benefit_plan_rate_ends_after_start CHECK (effective_until > effective_from),
    CONSTRAINT benefit_plan_rate_one_at_a_time EXCLUDE USING gist (
        business_id WITH =, benefit_plan_id WITH =, coverage_tier WITH =,
        (tobacco_user::integer) WITH =, int4range(age_from, age_to, '[]') WITH &&,
        daterange(effective_from, effective_until) WITH &&)
);

COMMENT ON TABLE payroll.benefit_plan_rate IS
    'Premium per coverage tier, age band or salary unit.';
COMMENT ON COLUMN payroll.benefit_plan_rate.rate_basis IS
    'per_1000_covered: a month, for each 1,000 of coverage_amount.';
COMMENT ON COLUMN payroll.benefit_plan_rate.age_to IS 'The last age of the band; NULL: no end.';

-- FK: the price of a tier on a day.
CREATE INDEX benefit_plan_rate_benefit_plan_idx
    ON payroll.benefit_plan_rate (business_id, benefit_plan_id, coverage_tier, effective_from);

ALTER TABLE payroll.benefit_plan_rate ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.benefit_plan_rate
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.benefit_plan_rate TO app_user;
GRANT SELECT ON payroll.benefit_plan_rate TO app_readonly;

CREATE TRIGGER benefit_plan_rate_touch
    BEFORE UPDATE ON payroll.benefit_plan_rate
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.check_tobacco_surcharge() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    dear record;
BEGIN
    SELECT s.coverage_tier, s.premium_amount, n.premium_amount AS usual INTO dear
    FROM (SELECT DISTINCT c.business_id, c.benefit_plan_id FROM changed AS c) AS p
    JOIN payroll.benefit_plan_rate AS s
        ON s.business_id = p.business_id AND s.benefit_plan_id = p.benefit_plan_id
       AND s.tobacco_user
    JOIN payroll.benefit_plan_rate AS n
        ON n.business_id = s.business_id AND n.benefit_plan_id = s.benefit_plan_id
       AND n.coverage_tier = s.coverage_tier AND NOT n.tobacco_user
       AND int4range(n.age_from, n.age_to, '[]') && int4range(s.age_from, s.age_to, '[]')
       AND daterange(n.effective_from, n.effective_until)
           && daterange(s.effective_from, s.effective_until)
    WHERE s.premium_amount > n.premium_amount * 1.5
    ORDER BY s.coverage_tier, s.premium_amount DESC
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'tier % costs tobacco users % and others %', dear.coverage_tier,
                        dear.premium_amount, dear.usual
            USING ERRCODE = 'check_violation',
                  HINT = 'The surcharge is at most half of the premium.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.check_tobacco_surcharge() IS
    'Smokers pay at most half more (26 CFR 54.9802-1(f)(5)).';

CREATE TRIGGER benefit_plan_rate_tobacco_on_insert
    AFTER INSERT ON payroll.benefit_plan_rate
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION payroll.check_tobacco_surcharge();

CREATE TRIGGER benefit_plan_rate_tobacco_on_update
    AFTER UPDATE ON payroll.benefit_plan_rate
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION payroll.check_tobacco_surcharge();


CREATE TABLE payroll.eligibility_rule (
    business_id            uuid                 NOT NULL,
    eligibility_rule_id    uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    benefit_plan_id        uuid                 NOT NULL,
    job_profile_id         uuid,
    work_location_id       uuid,
    worker_categories      text[]               NOT NULL DEFAULT '{full_time}',
    minimum_hours_weekly   system_core.quantity NOT NULL DEFAULT 30,
    measurement            text                 NOT NULL DEFAULT 'monthly',
    waiting_rule           text                 NOT NULL DEFAULT 'first_of_month_after',
    waiting_days           integer              NOT NULL DEFAULT 30,
    ends                   text                 NOT NULL DEFAULT 'end_of_month',
    age_minimum            integer              NOT NULL DEFAULT 0,
    service_months_minimum integer              NOT NULL DEFAULT 0,
    priority               integer              NOT NULL,
    created_at             timestamptz          NOT NULL DEFAULT now(),
    updated_at             timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, eligibility_rule_id),
    UNIQUE (business_id, benefit_plan_id, priority),
    FOREIGN KEY (business_id, benefit_plan_id)
        REFERENCES payroll.benefit_plan (business_id, benefit_plan_id),
    FOREIGN KEY (business_id, job_profile_id)
        REFERENCES payroll.job_profile (business_id, job_profile_id),
    FOREIGN KEY (business_id, work_location_id)
        REFERENCES payroll.work_location (business_id, work_location_id),
    CONSTRAINT eligibility_rule_measurement_known
        CHECK (measurement IN ('monthly', 'look_back')),
    CONSTRAINT eligibility_rule_waiting_rule_known
        CHECK (waiting_rule IN ('date_of_hire', 'first_of_month_after', 'days_after')),
    CONSTRAINT eligibility_rule_ends_known CHECK (ends IN ('last_day_worked', 'end_of_month')),
    CONSTRAINT eligibility_rule_waiting_bounded CHECK (waiting_days BETWEEN 0 AND 90),
    CONSTRAINT eligibility_rule_categories_known
        CHECK (worker_categories <@ ARRAY['full_time', 'part_time', 'seasonal', 'temporary',
                                          'on_call', 'intern']
               AND cardinality(worker_categories) > 0),
    CONSTRAINT eligibility_rule_minimums_not_negative
        CHECK (minimum_hours_weekly BETWEEN 0 AND 40 AND age_minimum BETWEEN 0 AND 21
               AND service_months_minimum BETWEEN 0 AND 12)
);

COMMENT ON TABLE payroll.eligibility_rule IS
    'Who may join a plan: class, hours, location, waiting.';
COMMENT ON COLUMN payroll.eligibility_rule.priority IS
    'Low first; the first rule that fits the primary job of an employee decides.';
COMMENT ON COLUMN payroll.eligibility_rule.age_minimum IS
    'At most 21, with at most a year of service: 26 USC 410(a)(1)(A).';
COMMENT ON COLUMN payroll.eligibility_rule.ends IS 'How long coverage lasts after the work ends.';

-- FK: the plans that are for a job.
CREATE INDEX eligibility_rule_job_profile_idx
    ON payroll.eligibility_rule (business_id, job_profile_id)
    WHERE job_profile_id IS NOT NULL;

-- FK: the plans that are for a place.
CREATE INDEX eligibility_rule_work_location_idx
    ON payroll.eligibility_rule (business_id, work_location_id)
    WHERE work_location_id IS NOT NULL;

ALTER TABLE payroll.eligibility_rule ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.eligibility_rule
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.eligibility_rule TO app_user;
GRANT SELECT ON payroll.eligibility_rule TO app_readonly;

CREATE TRIGGER eligibility_rule_touch
    BEFORE UPDATE ON payroll.eligibility_rule
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.check_hours_minimum() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT
        FROM payroll.benefit_plan AS p
        JOIN payroll.employer_entity AS e
            ON e.business_id = p.business_id AND e.employer_entity_id = p.employer_entity_id
        WHERE p.business_id = NEW.business_id AND p.benefit_plan_id = NEW.benefit_plan_id
          AND p.plan_kind = 'medical' AND e.is_applicable_large_employer
    ) THEN
        RAISE EXCEPTION 'a large employer offers medical coverage from 30 hours a week on, not %',
                        NEW.minimum_hours_weekly
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.check_hours_minimum() IS
    'Who works 30 hours a week is full time by law (26 USC 4980H(c)(4)).';

CREATE TRIGGER eligibility_rule_hours_minimum
    BEFORE INSERT OR UPDATE OF minimum_hours_weekly, benefit_plan_id ON payroll.eligibility_rule
    FOR EACH ROW WHEN (NEW.minimum_hours_weekly > 30)
    EXECUTE FUNCTION payroll.check_hours_minimum();

CREATE FUNCTION payroll.eligible_from(employee uuid, plan uuid, on_date date) RETURNS date
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT CASE WHEN w.may_from <= p.plan_year_end THEN w.may_from END
        FROM payroll.employee AS e
        JOIN payroll.benefit_plan AS p
            ON p.business_id = e.business_id AND p.employer_entity_id = e.employer_entity_id
        JOIN payroll.employment_spell AS s
            ON s.business_id = e.business_id AND s.employee_id = e.employee_id
           AND daterange(s.hired_on, s.terminated_on, '[]') @> on_date
        JOIN payroll.job_assignment AS a
            ON a.business_id = e.business_id AND a.employee_id = e.employee_id AND a.is_primary
           AND daterange(a.effective_from, a.effective_until) @> on_date
        JOIN payroll.eligibility_rule AS r
            ON r.business_id = p.business_id AND r.benefit_plan_id = p.benefit_plan_id
           AND a.worker_category = ANY (r.worker_categories)
           AND a.standard_hours_weekly >= r.minimum_hours_weekly
           AND coalesce(r.job_profile_id = a.job_profile_id, true)
           AND coalesce(r.work_location_id = a.work_location_id, true)
        CROSS JOIN LATERAL (
            SELECT greatest(
                       p.plan_year_start,
                       CASE r.waiting_rule
                           WHEN 'date_of_hire' THEN s.hired_on
                           WHEN 'days_after' THEN s.hired_on + r.waiting_days
                           -- Never later than the law lets anybody wait.
                           ELSE least((date_trunc('month', s.hired_on + r.waiting_days)
                                       + interval '1 month')::date, s.hired_on + 90) END,
                       (e.birth_date + make_interval(years => r.age_minimum))::date,
                       (s.hired_on + make_interval(months => r.service_months_minimum))::date)
                   AS may_from
        ) AS w
        WHERE e.business_id = tenant_mgmt.current_business_id() AND e.employee_id = employee
          AND p.benefit_plan_id = plan AND p.is_offered
        ORDER BY r.priority
        LIMIT 1
    );
END
$$;
COMMENT ON FUNCTION payroll.eligible_from(uuid, uuid, date) IS
    'From which day an employee of the calling tenant may be covered by a plan, by the job that
     they hold on a date; NULL for who may not join, or not within the year of the plan.';


CREATE TABLE payroll.life_event (
    business_id       uuid        NOT NULL,
    life_event_id     uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    reviewed_by       uuid,
    employee_id       uuid        NOT NULL,
    file_object_id    uuid,
    event_kind        text        NOT NULL,
    event_on          date        NOT NULL,
    reported_at       timestamptz NOT NULL DEFAULT now(),
    proof_required    boolean     NOT NULL DEFAULT true,
    proof_received_on date,
    status            text        NOT NULL DEFAULT 'reported',
    allowed_changes   text[]      NOT NULL DEFAULT '{}',
    window_days       integer     NOT NULL DEFAULT 30,
    denial_reason     text,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, life_event_id),
    FOREIGN KEY (business_id, reviewed_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT life_event_kind_known
        CHECK (event_kind IN ('marriage', 'divorce', 'birth', 'adoption', 'death_of_dependent',
                              'loss_of_coverage', 'gain_of_coverage', 'move', 'status_change',
                              'medicare_entitlement')),
    CONSTRAINT life_event_status_known
        CHECK (status IN ('reported', 'awaiting_proof', 'approved', 'denied', 'expired')),
    CONSTRAINT life_event_window_known CHECK (window_days IN (30, 60)),
    CONSTRAINT life_event_changes_known
        CHECK (allowed_changes <@ ARRAY['enroll', 'drop', 'change_tier', 'add_dependent',
                                        'remove_dependent', 'change_contribution']),
    -- A day of grace for the time zones between the event and the clock.
    CONSTRAINT life_event_reported_in_time
        CHECK (status IN ('denied', 'expired')
               OR (reported_at AT TIME ZONE 'UTC')::date <= event_on + window_days + 1),
    CONSTRAINT life_event_approved_is_proven
        CHECK (status <> 'approved' OR NOT proof_required OR proof_received_on IS NOT NULL),
    CONSTRAINT life_event_denied_has_reason
        CHECK (status <> 'denied' OR coalesce(denial_reason, '') ~ '\S')
);

COMMENT ON TABLE payroll.life_event IS
    'Marriage, birth, loss of coverage and other qualifying change.';
COMMENT ON COLUMN payroll.life_event.window_days IS
    'Days from the event in which it is reported and elections are made.';
COMMENT ON COLUMN payroll.life_event.allowed_changes IS
    'What is consistent with the event; a birth does not let anybody drop dental.';

-- FK: what somebody reviewed.
CREATE INDEX life_event_reviewed_by_idx
    ON payroll.life_event (business_id, reviewed_by)
    WHERE reviewed_by IS NOT NULL;

-- FK: the events of an employee, the newest first.
CREATE INDEX life_event_employee_idx
    ON payroll.life_event (business_id, employee_id, event_on DESC);

-- FK: the event that a document proves.
CREATE INDEX life_event_file_object_idx
    ON payroll.life_event (business_id, file_object_id)
    WHERE file_object_id IS NOT NULL;

ALTER TABLE payroll.life_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.life_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.life_event TO app_user;
GRANT SELECT ON payroll.life_event TO app_readonly;

CREATE TRIGGER life_event_touch
    BEFORE UPDATE ON payroll.life_event
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
CREATE TRIGGER life_event_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.life_event
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["reported", "expired"],
        "transitions": {
            "reported":       ["awaiting_proof", "approved", "denied", "expired"],
            "awaiting_proof": ["approved", "denied", "expired"],
            "approved":       [],
            "denied":         [],
            "expired":        []
        }}');


CREATE TABLE payroll.enrollment_window (
    business_id           uuid        NOT NULL,
    enrollment_window_id  uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id           uuid,
    life_event_id         uuid,
    window_kind           text        NOT NULL,
    opens_on              date        NOT NULL,
    closes_on             date        NOT NULL,
    coverage_effective_on date        NOT NULL,
    status                text        NOT NULL DEFAULT 'scheduled',
    plan_year             integer     NOT NULL,
    invited_count         integer     NOT NULL DEFAULT 0,
    submitted_count       integer     NOT NULL DEFAULT 0,
    reminder_stage        text        NOT NULL DEFAULT 'none',
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, enrollment_window_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, life_event_id)
        REFERENCES payroll.life_event (business_id, life_event_id),
    CONSTRAINT enrollment_window_kind_known
        CHECK (window_kind IN ('open_enrollment', 'new_hire', 'life_event', 'correction')),
    CONSTRAINT enrollment_window_status_known
        CHECK (status IN ('scheduled', 'open', 'closed', 'extended')),
    CONSTRAINT enrollment_window_reminder_stage_known
        CHECK (reminder_stage IN ('none', 'opening', 'halfway', 'last_days')),
    CONSTRAINT enrollment_window_closes_after_opening CHECK (closes_on > opens_on),
    CONSTRAINT enrollment_window_everybody_in_open_enrollment
        CHECK ((employee_id IS NULL) = (window_kind = 'open_enrollment')),
    CONSTRAINT enrollment_window_life_event_has_event
        CHECK ((life_event_id IS NOT NULL) = (window_kind = 'life_event')),
    CONSTRAINT enrollment_window_life_event_lasts_30_or_60_days
        CHECK (window_kind <> 'life_event' OR status = 'extended'
               OR closes_on - opens_on IN (30, 60)),
    CONSTRAINT enrollment_window_submitted_up_to_invited
        CHECK (submitted_count BETWEEN 0 AND invited_count),
    CONSTRAINT enrollment_window_plan_year_of_coverage
        CHECK (plan_year = extract(year FROM coverage_effective_on))
);

COMMENT ON TABLE payroll.enrollment_window IS
    'Open enrollment, new-hire or life-event window of a person or all.';
COMMENT ON COLUMN payroll.enrollment_window.invited_count IS
    'People who may elect in it; who is hired meanwhile joins them.';
COMMENT ON COLUMN payroll.enrollment_window.submitted_count IS
    'People with an election that is neither a draft nor cancelled; kept by a trigger.';

-- One open enrollment for a plan year.
CREATE UNIQUE INDEX enrollment_window_open_enrollment_idx
    ON payroll.enrollment_window (business_id, plan_year)
    WHERE window_kind = 'open_enrollment';

-- FK: the windows of an employee: what can be elected now.
CREATE INDEX enrollment_window_employee_idx
    ON payroll.enrollment_window (business_id, employee_id, opens_on)
    WHERE employee_id IS NOT NULL;

-- FK: an event opens one window.
CREATE UNIQUE INDEX enrollment_window_life_event_idx
    ON payroll.enrollment_window (business_id, life_event_id)
    WHERE life_event_id IS NOT NULL;

ALTER TABLE payroll.enrollment_window ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.enrollment_window
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.enrollment_window TO app_user;
GRANT SELECT ON payroll.enrollment_window TO app_readonly;

CREATE TRIGGER enrollment_window_touch
    BEFORE UPDATE ON payroll.enrollment_window
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
CREATE TRIGGER enrollment_window_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.enrollment_window
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["scheduled", "open"],
        "transitions": {
            "scheduled": ["open"],
            "open":      ["closed", "extended"],
            "extended":  ["closed"],
            "closed":    ["extended"]
        }}');

CREATE FUNCTION payroll.open_event_window() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    covered_on CONSTANT date := CASE
        -- A child is covered from the day it is there: 29 CFR 2590.701-6(b)(3).
        WHEN NEW.event_kind IN ('birth', 'adoption') THEN NEW.event_on
        ELSE (date_trunc('month', NEW.event_on) + interval '1 month')::date END;
BEGIN
    IF row_security_active(TG_RELID) THEN
        INSERT INTO payroll.enrollment_window
            (business_id, employee_id, life_event_id, window_kind, opens_on, closes_on,
             coverage_effective_on, status, plan_year, invited_count)
        VALUES
            (NEW.business_id, NEW.employee_id, NEW.life_event_id, 'life_event', NEW.event_on,
             NEW.event_on + NEW.window_days, covered_on, 'open',
             extract(year FROM covered_on), 1);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.open_event_window() IS
    'An approved event lets its employee elect anew, with coverage from the event for a child and
     from the next first of a month for the rest.';

CREATE TRIGGER life_event_opens_window
    AFTER UPDATE OF status ON payroll.life_event
    FOR EACH ROW WHEN (OLD.status <> 'approved' AND NEW.status = 'approved')
    EXECUTE FUNCTION payroll.open_event_window();


CREATE TABLE payroll.dependent (
    business_id          uuid        NOT NULL,
    dependent_id         uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id          uuid        NOT NULL,
    relationship         text        NOT NULL,
    first_name system_core.person_name NOT NULL,
    last_name system_core.person_name NOT NULL,
    birth_date           date        NOT NULL,
    ssn_token system_core.vault_ref,
    sex                  text        NOT NULL DEFAULT 'unspecified',
    is_full_time_student boolean     NOT NULL DEFAULT false,
    is_disabled          boolean     NOT NULL DEFAULT false,
    medicare_eligible    boolean     NOT NULL DEFAULT false,
    verified_on          date,
    ended_on             date,
    aged_out_on          date
        GENERATED ALWAYS AS (
            CASE WHEN relationship NOT IN ('spouse', 'domestic_partner', 'disabled_adult_child')
                      AND NOT is_disabled
                 THEN (date_trunc('month', birth_date + interval '26 years')
                       + interval '1 month' - interval '1 day')::date END) STORED,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, dependent_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    CONSTRAINT dependent_relationship_known
        CHECK (relationship IN ('spouse', 'domestic_partner', 'child', 'stepchild', 'adopted',
                                'legal_ward', 'disabled_adult_child')),
    CONSTRAINT dependent_sex_known CHECK (sex IN ('female', 'male', 'unspecified')),
    CONSTRAINT dependent_is_born CHECK (birth_date <= current_date),
    CONSTRAINT dependent_ends_after_birth CHECK (ended_on >= birth_date),
    CONSTRAINT dependent_disabled_child_is_disabled
        CHECK (relationship <> 'disabled_adult_child' OR is_disabled)
);

COMMENT ON TABLE payroll.dependent IS 'Spouse, partner or child of an employee.';
COMMENT ON COLUMN payroll.dependent.ended_on IS 'The day of a divorce or a death.';
COMMENT ON COLUMN payroll.dependent.aged_out_on IS
    'The last day on which a child may be covered: the end of the month in which it turns 26; NULL
     for spouses and the disabled.';

-- One spouse or partner at a time.
CREATE UNIQUE INDEX dependent_one_partner_idx
    ON payroll.dependent (business_id, employee_id)
    WHERE relationship IN ('spouse', 'domestic_partner') AND ended_on IS NULL;

-- FK: the family of an employee.
CREATE INDEX dependent_employee_idx
    ON payroll.dependent (business_id, employee_id);

ALTER TABLE payroll.dependent ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.dependent
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.dependent TO app_user;
GRANT SELECT ON payroll.dependent TO app_readonly;

CREATE TRIGGER dependent_touch
    BEFORE UPDATE ON payroll.dependent
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
