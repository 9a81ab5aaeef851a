/*
 * TODO: what the area is and how its tables relate.
 *
 * Benefit administrators and employees: plans, rates, eligibility, enrollment, dependents,
 * accounts, carriers, ACA and COBRA.
 */

CREATE TABLE payroll.benefit_carrier (
    business_id        uuid              NOT NULL,
    benefit_carrier_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    name               text              NOT NULL,
    carrier_kind       text              NOT NULL,
    group_number       text              NOT NULL,
    feed_format        text              NOT NULL,
    feed_schedule      text,
    sender_id          text,
    receiver_id        text,
    contact_email      system_core.email,
    status             text              NOT NULL DEFAULT 'active',
    created_at         timestamptz       NOT NULL DEFAULT now(),
    updated_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, benefit_carrier_id),
    UNIQUE (business_id, name, group_number),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT benefit_carrier_carrier_kind_known
        CHECK (carrier_kind IN ('medical', 'dental', 'vision', 'life_disability', 'retirement',
               'spending_account', 'voluntary')),
    CONSTRAINT benefit_carrier_feed_format_known
        CHECK (feed_format IN ('edi_834', 'csv', 'api', 'portal')),
    CONSTRAINT benefit_carrier_status_known CHECK (status IN ('active', 'terminated'))
);

COMMENT ON TABLE payroll.benefit_carrier IS 'Insurer, record-keeper or account administrator.';
-- RULE edi_834 needs sender_id and receiver_id
-- RULE terminated carriers have no open plan year

ALTER TABLE payroll.benefit_carrier ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.benefit_carrier
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.benefit_carrier TO app_user;
GRANT SELECT ON payroll.benefit_carrier TO app_readonly;

CREATE TRIGGER benefit_carrier_touch
    BEFORE UPDATE ON payroll.benefit_carrier
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.life_event (
    business_id       uuid        NOT NULL,
    life_event_id     uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    reviewed_by       uuid,
    employee_id       uuid        NOT NULL,
    file_object_id    uuid,
    event_kind        text        NOT NULL,
    event_on          date,
    reported_at       timestamptz,
    proof_required    boolean     NOT NULL DEFAULT false,
    proof_received_on date,
    status            text        NOT NULL DEFAULT 'reported',
    allowed_changes   text[]      NOT NULL DEFAULT '{}',
    window_days       integer,
    denial_reason     text,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, life_event_id),
    FOREIGN KEY (business_id, reviewed_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT life_event_event_kind_known
        CHECK (event_kind IN ('marriage', 'divorce', 'birth', 'adoption', 'death_of_dependent',
               'loss_of_coverage', 'gain_of_coverage', 'move', 'status_change', 'medicare_entitlement')),
    CONSTRAINT life_event_status_known
        CHECK (status IN ('reported', 'awaiting_proof', 'approved', 'denied', 'expired')),
    CONSTRAINT life_event_window_days_known CHECK (window_days IN (30,60))
);

COMMENT ON TABLE payroll.life_event IS
    'Marriage, birth, loss of coverage and other qualifying change.';
-- RULE reported within window_days of event_on
-- RULE approved needs proof_received_on when proof_required

-- FK: the life events of a user account.
CREATE INDEX life_event_reviewed_by_idx
    ON payroll.life_event (business_id, reviewed_by)
    WHERE reviewed_by IS NOT NULL;

-- FK: the life events of a employee.
CREATE INDEX life_event_employee_idx
    ON payroll.life_event (business_id, employee_id);

-- FK: the life events of a file object.
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


CREATE TABLE payroll.dependent (
    business_id          uuid        NOT NULL,
    dependent_id         uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id          uuid        NOT NULL,
    relationship         text        NOT NULL,
    first_name           text        NOT NULL,
    last_name            text        NOT NULL,
    birth_date           date,
    ssn_token            text,
    sex                  text        NOT NULL,
    is_full_time_student boolean     NOT NULL DEFAULT false,
    is_disabled          boolean     NOT NULL DEFAULT false,
    medicare_eligible    boolean     NOT NULL DEFAULT false,
    verified_on          date,
    aged_out_on          date,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, dependent_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    CONSTRAINT dependent_relationship_known
        CHECK (relationship IN ('spouse', 'domestic_partner', 'child', 'stepchild', 'adopted',
               'legal_ward', 'disabled_adult_child')),
    CONSTRAINT dependent_sex_known CHECK (sex IN ('female', 'male', 'unspecified')),
    CONSTRAINT dependent_birth_date_current_date CHECK (birth_date <= current_date)
);

COMMENT ON TABLE payroll.dependent IS 'Spouse, partner or child of an employee.';
-- RULE children age out at the end of the month they turn 26 unless disabled
-- RULE one spouse or partner at a time (partial unique)

-- FK: the dependents of a employee.
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


CREATE TABLE payroll.benefit_plan (
    business_id                  uuid              NOT NULL,
    benefit_plan_id              uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    benefit_carrier_id           uuid              NOT NULL,
    employer_entity_id           uuid              NOT NULL,
    plan_code                    system_core.code,
    name                         text              NOT NULL,
    plan_kind                    text              NOT NULL,
    plan_year_start              date,
    plan_year_end                date,
    minimum_value                boolean           NOT NULL DEFAULT false,
    is_self_funded               boolean           NOT NULL DEFAULT false,
    section_125                  boolean           NOT NULL DEFAULT false,
    waiting_period_days          integer,
    employer_contribution_method text              NOT NULL,
    match_formula                text,
    annual_limit_amount          system_core.money,
    is_offered                   boolean           NOT NULL DEFAULT false,
    created_at                   timestamptz       NOT NULL DEFAULT now(),
    updated_at                   timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, benefit_plan_id),
    UNIQUE (business_id, plan_code, plan_year_start),
    FOREIGN KEY (business_id, benefit_carrier_id)
        REFERENCES payroll.benefit_carrier (business_id, benefit_carrier_id),
    FOREIGN KEY (business_id, employer_entity_id)
        REFERENCES payroll.employer_entity (business_id, employer_entity_id),
    CONSTRAINT benefit_plan_plan_kind_known
        CHECK (plan_kind IN ('medical', 'dental', 'vision', 'basic_life', 'supplemental_life',
               'std', 'ltd', 'hsa', 'health_fsa', 'dependent_fsa', 'retirement_401k', 'commuter',
               'accident')),
    CONSTRAINT benefit_plan_employer_contribution_method_known
        CHECK (employer_contribution_method IN ('flat', 'percent', 'tiered', 'match')),
    CONSTRAINT benefit_plan_plan_year_end_at_least_plan_year_start
        CHECK (plan_year_end > plan_year_start)
);

COMMENT ON TABLE payroll.benefit_plan IS
    'Plan offered in a plan year with its cost-sharing and tax class.';
-- RULE waiting_period_days <= 90 (ACA)
-- RULE match_formula is set for retirement match

-- FK: the benefit plans of a benefit carrier.
CREATE INDEX benefit_plan_benefit_carrier_idx
    ON payroll.benefit_plan (business_id, benefit_carrier_id);

-- FK: the benefit plans of a employer entity.
CREATE INDEX benefit_plan_employer_entity_idx
    ON payroll.benefit_plan (business_id, employer_entity_id);

ALTER TABLE payroll.benefit_plan ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.benefit_plan
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.benefit_plan TO app_user;
GRANT SELECT ON payroll.benefit_plan TO app_readonly;

CREATE TRIGGER benefit_plan_touch
    BEFORE UPDATE ON payroll.benefit_plan
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.carrier_feed (
    business_id        uuid               NOT NULL,
    carrier_feed_id    uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    benefit_carrier_id uuid               NOT NULL,
    file_object_id     uuid,
    sent_at            timestamptz,
    feed_kind          text               NOT NULL,
    member_count       integer,
    added_count        integer,
    changed_count      integer,
    terminated_count   integer,
    rejected_count     integer,
    acknowledgement    text               NOT NULL,
    errors             text,
    file_sha256        system_core.sha256,
    period_end         date,
    created_at         timestamptz        NOT NULL DEFAULT now(),
    updated_at         timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, carrier_feed_id),
    FOREIGN KEY (business_id, benefit_carrier_id)
        REFERENCES payroll.benefit_carrier (business_id, benefit_carrier_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT carrier_feed_feed_kind_known CHECK (feed_kind IN ('full', 'changes', 'audit')),
    CONSTRAINT carrier_feed_acknowledgement_known
        CHECK (acknowledgement IN ('pending', 'accepted', 'partial', 'rejected'))
);

COMMENT ON TABLE payroll.carrier_feed IS 'File sent to a carrier with members, changes and errors.';
-- RULE added_count + changed_count + terminated_count <= member_count for changes
-- RULE errors is not empty when rejected_count > 0
-- RULE full feed at least monthly (view)

-- FK: the carrier feeds of a benefit carrier.
CREATE INDEX carrier_feed_benefit_carrier_idx
    ON payroll.carrier_feed (business_id, benefit_carrier_id);

-- FK: the carrier feeds of a file object.
CREATE INDEX carrier_feed_file_object_idx
    ON payroll.carrier_feed (business_id, file_object_id)
    WHERE file_object_id IS NOT NULL;

ALTER TABLE payroll.carrier_feed ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.carrier_feed
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.carrier_feed TO app_user;
GRANT SELECT ON payroll.carrier_feed TO app_readonly;

CREATE TRIGGER carrier_feed_touch
    BEFORE UPDATE ON payroll.carrier_feed
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.enrollment_window (
    business_id           uuid        NOT NULL,
    enrollment_window_id  uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id           uuid,
    life_event_id         uuid,
    window_kind           text        NOT NULL,
    opens_on              date,
    closes_on             date,
    coverage_effective_on date,
    status                text        NOT NULL DEFAULT 'scheduled',
    plan_year             integer,
    invited_count         integer,
    submitted_count       integer,
    reminder_stage        text,
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, enrollment_window_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, life_event_id)
        REFERENCES payroll.life_event (business_id, life_event_id),
    CONSTRAINT enrollment_window_window_kind_known
        CHECK (window_kind IN ('open_enrollment', 'new_hire', 'life_event', 'correction')),
    CONSTRAINT enrollment_window_status_known
        CHECK (status IN ('scheduled', 'open', 'closed', 'extended')),
    CONSTRAINT enrollment_window_closes_on_after_opens_on CHECK (closes_on > opens_on),
    CONSTRAINT enrollment_window_submitted_count_invited_count
        CHECK (submitted_count <= invited_count)
);

COMMENT ON TABLE payroll.enrollment_window IS
    'Open enrollment, new-hire or life-event window of a person or all.';
-- RULE employee_id is null only for open_enrollment
-- RULE life_event windows last 30 or 60 days

-- FK: the enrollment windows of a employee.
CREATE INDEX enrollment_window_employee_idx
    ON payroll.enrollment_window (business_id, employee_id)
    WHERE employee_id IS NOT NULL;

-- FK: the enrollment windows of a life event.
CREATE INDEX enrollment_window_life_event_idx
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


CREATE TABLE payroll.benefit_plan_rate (
    business_id           uuid              NOT NULL,
    benefit_plan_rate_id  uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    benefit_plan_id       uuid              NOT NULL,
    coverage_tier         text              NOT NULL,
    age_from              integer,
    age_to                integer,
    tobacco_user          boolean           NOT NULL DEFAULT false,
    premium_amount        system_core.money,
    employee_share_amount system_core.money,
    employer_share_amount system_core.money,
    rate_basis            text              NOT NULL,
    effective_from        date              NOT NULL,
    effective_until       date,
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, benefit_plan_rate_id),
    FOREIGN KEY (business_id, benefit_plan_id)
        REFERENCES payroll.benefit_plan (business_id, benefit_plan_id),
    CONSTRAINT benefit_plan_rate_coverage_tier_known
        CHECK (coverage_tier IN ('employee', 'employee_spouse', 'employee_children', 'family')),
    CONSTRAINT benefit_plan_rate_rate_basis_known
        CHECK (rate_basis IN ('per_month', 'per_period', 'per_1000_covered')),
    CONSTRAINT benefit_plan_rate_premium_amount_employee_share_amount_emp
        CHECK (premium_amount = employee_share_amount + employer_share_amount)
);

COMMENT ON TABLE payroll.benefit_plan_rate IS 'Premium per coverage tier, age band or salary unit.';
-- RULE rate rows of one tier and age do not overlap (exclusion constraint)
-- RULE tobacco surcharge <= 50 percent

-- FK: the benefit plan rates of a benefit plan.
CREATE INDEX benefit_plan_rate_benefit_plan_idx
    ON payroll.benefit_plan_rate (business_id, benefit_plan_id);

ALTER TABLE payroll.benefit_plan_rate ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.benefit_plan_rate
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.benefit_plan_rate TO app_user;
GRANT SELECT ON payroll.benefit_plan_rate TO app_readonly;

CREATE TRIGGER benefit_plan_rate_touch
    BEFORE UPDATE ON payroll.benefit_plan_rate
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.eligibility_rule (
    business_id            uuid                 NOT NULL,
    eligibility_rule_id    uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    benefit_plan_id        uuid                 NOT NULL,
    job_profile_id         uuid,
    work_location_id       uuid,
    worker_categories      text[]               NOT NULL DEFAULT '{}',
    minimum_hours_weekly   system_core.quantity,
    measurement            text                 NOT NULL,
    waiting_rule           text                 NOT NULL,
    waiting_days           integer,
    ends                   text                 NOT NULL,
    age_minimum            integer,
    service_months_minimum integer,
    priority               integer,
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
    CONSTRAINT eligibility_rule_measurement_known CHECK (measurement IN ('monthly', 'look_back')),
    CONSTRAINT eligibility_rule_waiting_rule_known
        CHECK (waiting_rule IN ('date_of_hire', 'first_of_month_after', 'days_after')),
    CONSTRAINT eligibility_rule_ends_known CHECK (ends IN ('last_day_worked', 'end_of_month')),
    CONSTRAINT eligibility_rule_waiting_days_bounded CHECK (waiting_days BETWEEN 0 AND 90)
);

COMMENT ON TABLE payroll.eligibility_rule IS
    'Who may join a plan: class, hours, location, waiting.';
-- RULE minimum_hours_weekly <= 30 for medical of large employers

-- FK: the eligibility rules of a job profile.
CREATE INDEX eligibility_rule_job_profile_idx
    ON payroll.eligibility_rule (business_id, job_profile_id)
    WHERE job_profile_id IS NOT NULL;

-- FK: the eligibility rules of a work location.
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


CREATE TABLE payroll.beneficiary_designation (
    business_id                uuid                   NOT NULL,
    beneficiary_designation_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id                uuid                   NOT NULL,
    benefit_plan_id            uuid                   NOT NULL,
    dependent_id               uuid,
    beneficiary_name           text,
    relationship               text,
    designation                text                   NOT NULL,
    share_pct                  system_core.percentage,
    date_of_birth              date,
    is_trust                   boolean                NOT NULL DEFAULT false,
    spousal_consent_on         date,
    effective_from             date                   NOT NULL,
    superseded_at              timestamptz,
    created_at                 timestamptz            NOT NULL DEFAULT now(),
    updated_at                 timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, beneficiary_designation_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, benefit_plan_id)
        REFERENCES payroll.benefit_plan (business_id, benefit_plan_id),
    FOREIGN KEY (business_id, dependent_id)
        REFERENCES payroll.dependent (business_id, dependent_id),
    CONSTRAINT beneficiary_designation_designation_known
        CHECK (designation IN ('primary', 'contingent')),
    CONSTRAINT beneficiary_designation_share_pct_positive CHECK (share_pct > 0)
);

COMMENT ON TABLE payroll.beneficiary_designation IS
    'Who receives life or retirement money and in which share.';
-- RULE primary and contingent shares each sum to 100 (deferred trigger)
-- RULE spousal_consent_on is not null when a 401k spouse is not primary

-- FK: the beneficiary designations of a employee.
CREATE INDEX beneficiary_designation_employee_idx
    ON payroll.beneficiary_designation (business_id, employee_id);

-- FK: the beneficiary designations of a benefit plan.
CREATE INDEX beneficiary_designation_benefit_plan_idx
    ON payroll.beneficiary_designation (business_id, benefit_plan_id);

-- FK: the beneficiary designations of a dependent.
CREATE INDEX beneficiary_designation_dependent_idx
    ON payroll.beneficiary_designation (business_id, dependent_id)
    WHERE dependent_id IS NOT NULL;

ALTER TABLE payroll.beneficiary_designation ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.beneficiary_designation
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.beneficiary_designation TO app_user;
GRANT SELECT ON payroll.beneficiary_designation TO app_readonly;

CREATE TRIGGER beneficiary_designation_touch
    BEFORE UPDATE ON payroll.beneficiary_designation
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.spending_account (
    business_id                 uuid              NOT NULL,
    spending_account_id         uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id                 uuid              NOT NULL,
    benefit_plan_id             uuid              NOT NULL,
    account_kind                text              NOT NULL,
    plan_year                   integer,
    annual_election_amount      system_core.money,
    employee_contributed_amount system_core.money,
    employer_contributed_amount system_core.money,
    paid_out_amount             system_core.money,
    carryover_amount            system_core.money,
    grace_until                 date,
    runout_until                date,
    hdhp_confirmed              boolean           NOT NULL DEFAULT false,
    status                      text              NOT NULL DEFAULT 'open',
    created_at                  timestamptz       NOT NULL DEFAULT now(),
    updated_at                  timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, spending_account_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, benefit_plan_id)
        REFERENCES payroll.benefit_plan (business_id, benefit_plan_id),
    CONSTRAINT spending_account_account_kind_known
        CHECK (account_kind IN ('hsa', 'health_fsa', 'dependent_fsa', 'limited_fsa', 'commuter')),
    CONSTRAINT spending_account_status_known
        CHECK (status IN ('open', 'runout', 'forfeited', 'closed'))
);

COMMENT ON TABLE payroll.spending_account IS 'HSA, FSA or commuter account of a plan year.';
-- RULE contributions <= statutory limit of the year
-- RULE hsa needs hdhp_confirmed
-- RULE health fsa pays up to the whole election from day one
-- RULE paid_out_amount <= annual_election_amount + carryover_amount for an FSA, <= contributions for an HSA (trigger)

-- FK: the spending accounts of a employee.
CREATE INDEX spending_account_employee_idx
    ON payroll.spending_account (business_id, employee_id);

-- FK: the spending accounts of a benefit plan.
CREATE INDEX spending_account_benefit_plan_idx
    ON payroll.spending_account (business_id, benefit_plan_id);

ALTER TABLE payroll.spending_account ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.spending_account
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.spending_account TO app_user;
GRANT SELECT ON payroll.spending_account TO app_readonly;

CREATE TRIGGER spending_account_touch
    BEFORE UPDATE ON payroll.spending_account
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.benefit_enrollment (
    business_id                     uuid                   NOT NULL,
    benefit_enrollment_id           uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id                     uuid                   NOT NULL,
    benefit_plan_id                 uuid                   NOT NULL,
    benefit_plan_rate_id            uuid,
    enrollment_window_id            uuid                   NOT NULL,
    election                        text                   NOT NULL,
    coverage_tier                   text                   NOT NULL,
    coverage_amount                 system_core.money,
    employee_cost_per_period_amount system_core.money,
    employer_cost_per_period_amount system_core.money,
    effective_from                  date                   NOT NULL,
    effective_until                 date,
    contribution_percent            system_core.percentage,
    signed_at                       timestamptz,
    status                          text                   NOT NULL DEFAULT 'draft',
    end_reason                      text,
    evidence_of_insurability        text                   NOT NULL,
    created_at                      timestamptz            NOT NULL DEFAULT now(),
    updated_at                      timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, benefit_enrollment_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, benefit_plan_id)
        REFERENCES payroll.benefit_plan (business_id, benefit_plan_id),
    FOREIGN KEY (business_id, benefit_plan_rate_id)
        REFERENCES payroll.benefit_plan_rate (business_id, benefit_plan_rate_id),
    FOREIGN KEY (business_id, enrollment_window_id)
        REFERENCES payroll.enrollment_window (business_id, enrollment_window_id),
    CONSTRAINT benefit_enrollment_election_known
        CHECK (election IN ('elected', 'waived', 'defaulted')),
    CONSTRAINT benefit_enrollment_coverage_tier_known
        CHECK (coverage_tier IN ('employee', 'employee_spouse', 'employee_children', 'family',
               'none')),
    CONSTRAINT benefit_enrollment_status_known
        CHECK (status IN ('draft', 'submitted', 'pending_proof', 'active', 'ended', 'cancelled')),
    CONSTRAINT benefit_enrollment_evidence_of_insurability_known
        CHECK (evidence_of_insurability IN ('not_needed', 'pending', 'approved', 'declined')),
    CONSTRAINT benefit_enrollment_contribution_percent_bounded
        CHECK (contribution_percent BETWEEN 0 AND 100)
);

COMMENT ON TABLE payroll.benefit_enrollment IS 'Election or waiver of an employee in a plan.';
-- RULE one active enrollment per plan kind and employee (exclusion constraint)
-- RULE effective_from >= the window's coverage_effective_on
-- RULE waived has no cost

-- FK: the benefit enrollments of a employee.
CREATE INDEX benefit_enrollment_employee_idx
    ON payroll.benefit_enrollment (business_id, employee_id);

-- FK: the benefit enrollments of a benefit plan.
CREATE INDEX benefit_enrollment_benefit_plan_idx
    ON payroll.benefit_enrollment (business_id, benefit_plan_id);

-- FK: the benefit enrollments of a benefit plan rate.
CREATE INDEX benefit_enrollment_benefit_plan_rate_idx
    ON payroll.benefit_enrollment (business_id, benefit_plan_rate_id)
    WHERE benefit_plan_rate_id IS NOT NULL;

-- FK: the benefit enrollments of a enrollment window.
CREATE INDEX benefit_enrollment_enrollment_window_idx
    ON payroll.benefit_enrollment (business_id, enrollment_window_id);

ALTER TABLE payroll.benefit_enrollment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.benefit_enrollment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.benefit_enrollment TO app_user;
GRANT SELECT ON payroll.benefit_enrollment TO app_readonly;

CREATE TRIGGER benefit_enrollment_touch
    BEFORE UPDATE ON payroll.benefit_enrollment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.enrollment_dependent (
    business_id             uuid        NOT NULL,
    enrollment_dependent_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    benefit_enrollment_id   uuid        NOT NULL,
    dependent_id            uuid        NOT NULL,
    covered_from            date,
    covered_until           date,
    primary_care_provider   text,
    is_court_ordered        boolean     NOT NULL DEFAULT false,
    proof_status            text        NOT NULL,
    end_reason              text        NOT NULL,
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
    CONSTRAINT enrollment_dependent_covered_until_after_covered_from
        CHECK (covered_until > covered_from)
);

COMMENT ON TABLE payroll.enrollment_dependent IS 'Dependent covered under an enrollment.';
-- RULE tier must allow the relationship (trigger)

-- FK: the enrollment dependents of a dependent.
CREATE INDEX enrollment_dependent_dependent_idx
    ON payroll.enrollment_dependent (business_id, dependent_id);

ALTER TABLE payroll.enrollment_dependent ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.enrollment_dependent
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.enrollment_dependent TO app_user;
GRANT SELECT ON payroll.enrollment_dependent TO app_readonly;

CREATE TRIGGER enrollment_dependent_touch
    BEFORE UPDATE ON payroll.enrollment_dependent
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.aca_employee_month (
    business_id                           uuid                 NOT NULL,
    aca_employee_month_id                 uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id                           uuid                 NOT NULL,
    employer_entity_id                    uuid                 NOT NULL,
    benefit_enrollment_id                 uuid,
    tax_year                              integer,
    month_no                              integer,
    is_full_time                          boolean              NOT NULL DEFAULT false,
    hours_of_service                      system_core.quantity,
    offer_code                            system_core.code,
    employee_required_contribution_amount system_core.money,
    safe_harbor_code                      system_core.code,
    measurement_period                    text                 NOT NULL,
    covered                               boolean              NOT NULL DEFAULT false,
    is_locked                             boolean              NOT NULL DEFAULT false,
    furnished_on                          date,
    created_at                            timestamptz          NOT NULL DEFAULT now(),
    updated_at                            timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, aca_employee_month_id),
    UNIQUE (business_id, employee_id, employer_entity_id, tax_year, month_no),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, employer_entity_id)
        REFERENCES payroll.employer_entity (business_id, employer_entity_id),
    FOREIGN KEY (business_id, benefit_enrollment_id)
        REFERENCES payroll.benefit_enrollment (business_id, benefit_enrollment_id),
    CONSTRAINT aca_employee_month_measurement_period_known
        CHECK (measurement_period IN ('initial', 'standard', 'administrative', 'stability',
               'none')),
    CONSTRAINT aca_employee_month_month_no_bounded CHECK (month_no BETWEEN 1 AND 12)
);

COMMENT ON TABLE payroll.aca_employee_month IS
    'Offer, cost and safe harbour of an employee in a month (Form 1095-C lines 14 to 16).';
-- RULE offer_code in 1A to 1U, safe_harbor_code in 2A to 2H
-- RULE full time means 130 hours of service

-- FK: the aca employee months of a employer entity.
CREATE INDEX aca_employee_month_employer_entity_idx
    ON payroll.aca_employee_month (business_id, employer_entity_id);

-- FK: the aca employee months of a benefit enrollment.
CREATE INDEX aca_employee_month_benefit_enrollment_idx
    ON payroll.aca_employee_month (business_id, benefit_enrollment_id)
    WHERE benefit_enrollment_id IS NOT NULL;

ALTER TABLE payroll.aca_employee_month ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.aca_employee_month
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.aca_employee_month TO app_user;
GRANT SELECT ON payroll.aca_employee_month TO app_readonly;

CREATE TRIGGER aca_employee_month_touch
    BEFORE UPDATE ON payroll.aca_employee_month
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.cobra_case (
    business_id           uuid                   NOT NULL,
    cobra_case_id         uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id           uuid                   NOT NULL,
    dependent_id          uuid,
    benefit_enrollment_id uuid                   NOT NULL,
    employment_spell_id   uuid,
    event_kind            text                   NOT NULL,
    event_on              date,
    notice_due_on         date,
    notice_sent_on        date,
    election_deadline_on  date,
    elected_on            date,
    coverage_months       integer,
    premium_amount        system_core.money,
    admin_fee_pct         system_core.percentage,
    paid_through_on       date,
    status                text                   NOT NULL DEFAULT 'pending_notice',
    end_reason            text,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, cobra_case_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, dependent_id)
        REFERENCES payroll.dependent (business_id, dependent_id),
    FOREIGN KEY (business_id, benefit_enrollment_id)
        REFERENCES payroll.benefit_enrollment (business_id, benefit_enrollment_id),
    FOREIGN KEY (business_id, employment_spell_id)
        REFERENCES payroll.employment_spell (business_id, employment_spell_id),
    CONSTRAINT cobra_case_event_kind_known
        CHECK (event_kind IN ('termination', 'reduced_hours', 'divorce', 'death', 'medicare',
               'aged_out')),
    CONSTRAINT cobra_case_status_known
        CHECK (status IN ('pending_notice', 'offered', 'elected', 'declined', 'lapsed', 'ended')),
    CONSTRAINT cobra_case_coverage_months_known CHECK (coverage_months IN (18,29,36))
);

COMMENT ON TABLE payroll.cobra_case IS 'Continuation coverage after a qualifying event.';
-- RULE notice within 44 days of the event
-- RULE election within 60 days of the notice
-- RULE admin_fee_pct <= 2, or <= 50 in months 19 to 29 of a disability extension

-- FK: the cobra cases of a employee.
CREATE INDEX cobra_case_employee_idx
    ON payroll.cobra_case (business_id, employee_id);

-- FK: the cobra cases of a dependent.
CREATE INDEX cobra_case_dependent_idx
    ON payroll.cobra_case (business_id, dependent_id)
    WHERE dependent_id IS NOT NULL;

-- FK: the cobra cases of a benefit enrollment.
CREATE INDEX cobra_case_benefit_enrollment_idx
    ON payroll.cobra_case (business_id, benefit_enrollment_id);

-- FK: the cobra cases of a employment spell.
CREATE INDEX cobra_case_employment_spell_idx
    ON payroll.cobra_case (business_id, employment_spell_id)
    WHERE employment_spell_id IS NOT NULL;

ALTER TABLE payroll.cobra_case ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.cobra_case
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.cobra_case TO app_user;
GRANT SELECT ON payroll.cobra_case TO app_readonly;

CREATE TRIGGER cobra_case_touch
    BEFORE UPDATE ON payroll.cobra_case
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


-- Closes the circle with an earlier file.
ALTER TABLE payroll.deduction_code
    ADD FOREIGN KEY (business_id, benefit_plan_id) REFERENCES payroll.benefit_plan (business_id, benefit_plan_id);

-- Closes the circle with an earlier file.
ALTER TABLE payroll.employee_deduction
    ADD FOREIGN KEY (business_id, benefit_enrollment_id) REFERENCES payroll.benefit_enrollment (business_id, benefit_enrollment_id);
