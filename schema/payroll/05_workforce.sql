/*
 * Workforce: who employs whom, where, and since when.
 *
 * An employer_entity is a legal employer with its own federal number; it has work_locations, whose
 * state and town decide taxes, wage floors and deadlines. An employee is a person on its payroll;
 * each employment_spell of theirs runs from hire to termination, each employee_residence is where
 * they then lived. An employment_eligibility is the Form I-9 of a hire, a new_hire_report what the
 * state was told of it. A contractor is paid on Form 1099 and is nobody's employee. Departments and
 * job_profiles say what people are hired for; 07_jobs.sql gives them jobs and pay.
 *
 * No law is written into this code. What an employer owes by federal law stands in a row of
 * employer_entity, what a state or town adds in a row of work_location; a comment names the source
 * of each default. When a law changes, the tenant changes its row.
 */

CREATE SCHEMA payroll;
GRANT USAGE ON SCHEMA payroll TO app_user, app_readonly;
COMMENT ON SCHEMA payroll IS
    'Paying people right and on time: work, time, gross to net, payment, taxes, benefits.';


CREATE TABLE payroll.employer_entity (
    business_id                  uuid              NOT NULL,
    employer_entity_id           uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    postal_address_id            uuid,
    legal_name                   text              NOT NULL,
    trade_name                   text,
    ein                          text              NOT NULL,
    entity_kind                  text              NOT NULL,
    deposit_frequency            text              NOT NULL DEFAULT 'monthly',
    form_type                    text              NOT NULL DEFAULT '941',
    naics_code                   text,
    workers_comp_carrier         text,
    is_applicable_large_employer boolean           NOT NULL DEFAULT false,
    federal_minimum_wage_amount  system_core.money NOT NULL DEFAULT 7.25,
    exempt_weekly_minimum_amount system_core.money NOT NULL DEFAULT 684,
    deposit_lookback_amount      system_core.money NOT NULL DEFAULT 50000,
    minimum_hiring_age_years     integer           NOT NULL DEFAULT 14,
    i9_section2_days             integer           NOT NULL DEFAULT 3,
    i9_hire_years                integer           NOT NULL DEFAULT 3,
    i9_termination_years         integer           NOT NULL DEFAULT 1,
    fmla_service_months          integer           NOT NULL DEFAULT 12,
    fmla_worked_hours            numeric(9, 4)     NOT NULL DEFAULT 1250,
    first_wage_on                date,
    signatory_name               text,
    status                       text              NOT NULL DEFAULT 'onboarding',
    created_at                   timestamptz       NOT NULL DEFAULT now(),
    updated_at                   timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, employer_entity_id),
    UNIQUE (business_id, ein),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, postal_address_id)
        REFERENCES system_core.postal_address (business_id, postal_address_id),
    CONSTRAINT employer_entity_kind_known
        CHECK (entity_kind IN ('c_corp', 's_corp', 'llc', 'partnership', 'sole_proprietor',
                               'nonprofit', 'government')),
    CONSTRAINT employer_entity_deposit_frequency_known
        CHECK (deposit_frequency IN ('monthly', 'semiweekly', 'next_day')),
    CONSTRAINT employer_entity_form_type_known CHECK (form_type IN ('941', '943', '944')),
    CONSTRAINT employer_entity_status_known CHECK (status IN ('onboarding', 'active', 'closed')),
    CONSTRAINT employer_entity_ein_is_nine_digits CHECK (ein ~ '^[0-9]{9}$'),
    CONSTRAINT employer_entity_naics_shape CHECK (naics_code ~ '^[0-9]{2,6}$'),
    CONSTRAINT employer_entity_limits_positive
        CHECK (federal_minimum_wage_amount > 0 AND exempt_weekly_minimum_amount > 0
               AND deposit_lookback_amount > 0 AND minimum_hiring_age_years > 0
               AND fmla_service_months > 0 AND fmla_worked_hours > 0),
    CONSTRAINT employer_entity_i9_limits_positive
        CHECK (i9_section2_days > 0 AND i9_hire_years > 0 AND i9_termination_years > 0)
);

COMMENT ON TABLE payroll.employer_entity IS
    'Legal employer with its federal identity, its deposit habits and what federal law asks of it.';
COMMENT ON COLUMN payroll.employer_entity.ein IS
    'Employer identification number, the dash left out.';
COMMENT ON COLUMN payroll.employer_entity.federal_minimum_wage_amount IS
    'Least pay for an hour; the default is that of 29 USC 206(a)(1) since 24 July 2009.';
COMMENT ON COLUMN payroll.employer_entity.exempt_weekly_minimum_amount IS
    'Least salary of an exempt employee in a week; the default is that of 29 CFR 541.600 as of
     2020, which stands again since the rule of 2024 was set aside.';
COMMENT ON COLUMN payroll.employer_entity.deposit_lookback_amount IS
    'Employment taxes of the lookback period up to which deposits are monthly; the default is that
     of 26 CFR 31.6302-1(b).';
COMMENT ON COLUMN payroll.employer_entity.minimum_hiring_age_years IS
    'The default is that of 29 CFR 570.2 for work outside of farms.';
COMMENT ON COLUMN payroll.employer_entity.i9_section2_days IS
    'Working days after the hire in which documents are seen: 8 CFR 274a.2(b)(1)(ii).';
COMMENT ON COLUMN payroll.employer_entity.i9_hire_years IS
    'A Form I-9 is kept so long after the hire, or i9_termination_years after the end of the work,
     whichever is later: 8 CFR 274a.2(b)(2)(i)(A).';
COMMENT ON COLUMN payroll.employer_entity.fmla_worked_hours IS
    'Hours worked in the last year that entitle to family leave, beside fmla_service_months of
     service: 29 USC 2611(2)(A).';

-- FK: the employers at an address.
CREATE INDEX employer_entity_postal_address_idx
    ON payroll.employer_entity (business_id, postal_address_id)
    WHERE postal_address_id IS NOT NULL;

ALTER TABLE payroll.employer_entity ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.employer_entity
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.employer_entity TO app_user;
GRANT SELECT ON payroll.employer_entity TO app_readonly;

CREATE TRIGGER employer_entity_touch
    BEFORE UPDATE ON payroll.employer_entity
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.lookback_deposit_frequency(employer uuid, lookback_tax numeric)
    RETURNS text
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE WHEN lookback_tax <= e.deposit_lookback_amount THEN 'monthly'
                ELSE 'semiweekly' END
    FROM payroll.employer_entity AS e
    WHERE e.business_id = tenant_mgmt.current_business_id() AND e.employer_entity_id = employer;
END;
COMMENT ON FUNCTION payroll.lookback_deposit_frequency(uuid, numeric) IS
    'How often an employer of the calling tenant deposits in a year, given the employment taxes of
     its lookback period (July of the second year before to June of the last). A new employer has
     none and is monthly.';


CREATE TABLE payroll.work_location (
    business_id                  uuid                  NOT NULL,
    work_location_id             uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    employer_entity_id           uuid                  NOT NULL,
    business_location_id         uuid,
    postal_address_id            uuid                  NOT NULL,
    code                         system_core.code      NOT NULL,
    name                         text                  NOT NULL,
    state_code                   text                  NOT NULL,
    county                       text,
    municipality                 text,
    school_district_code         system_core.code,
    is_remote_hub                boolean               NOT NULL DEFAULT false,
    minimum_wage_amount          system_core.money     NOT NULL,
    tipped_minimum_wage_amount   system_core.money,
    exempt_weekly_minimum_amount system_core.money,
    final_pay_discharge_days     integer,
    final_pay_quit_days          integer,
    new_hire_report_days         integer               NOT NULL DEFAULT 20,
    schedule_notice_hours        integer,
    predictability_pay_hours     numeric(9, 4),
    time_zone                    system_core.time_zone NOT NULL,
    opened_on                    date,
    closed_on                    date,
    is_active                    boolean               NOT NULL DEFAULT true,
    created_at                   timestamptz           NOT NULL DEFAULT now(),
    updated_at                   timestamptz           NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, work_location_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id, employer_entity_id)
        REFERENCES payroll.employer_entity (business_id, employer_entity_id),
    FOREIGN KEY (business_id, business_location_id)
        REFERENCES tenant_mgmt.business_location (business_id, business_location_id),
    FOREIGN KEY (business_id, postal_address_id)
        REFERENCES system_core.postal_address (business_id, postal_address_id),
    CONSTRAINT work_location_state_is_two_letters CHECK (state_code ~ '^[A-Z]{2}$'),
    CONSTRAINT work_location_closes_after_opening CHECK (closed_on > opened_on),
    CONSTRAINT work_location_tipped_wage_within_wage
        CHECK (tipped_minimum_wage_amount > 0
               AND tipped_minimum_wage_amount <= minimum_wage_amount),
    CONSTRAINT work_location_exempt_minimum_positive CHECK (exempt_weekly_minimum_amount > 0),
    CONSTRAINT work_location_final_pay_days_not_negative
        CHECK (final_pay_discharge_days >= 0 AND final_pay_quit_days >= 0),
    CONSTRAINT work_location_new_hire_report_within_20_days
        CHECK (new_hire_report_days BETWEEN 1 AND 20),
    CONSTRAINT work_location_short_notice_is_paid
        CHECK ((schedule_notice_hours IS NULL) = (predictability_pay_hours IS NULL)),
    CONSTRAINT work_location_notice_positive
        CHECK (schedule_notice_hours > 0 AND predictability_pay_hours > 0)
);

COMMENT ON TABLE payroll.work_location IS
    'Place of work that decides state and local taxes, wage floors and deadlines.';
COMMENT ON COLUMN payroll.work_location.minimum_wage_amount IS
    'The highest of town, county, state and federal; never below the employer''s federal one.';
COMMENT ON COLUMN payroll.work_location.tipped_minimum_wage_amount IS
    'Cash wage of tipped jobs where the state gives a tip credit; NULL where it gives none.';
COMMENT ON COLUMN payroll.work_location.exempt_weekly_minimum_amount IS
    'Where the state asks more of an exempt salary than federal law does.';
COMMENT ON COLUMN payroll.work_location.final_pay_discharge_days IS
    'Days from the end by the employer to the final pay; NULL: by the next regular payday.';
COMMENT ON COLUMN payroll.work_location.final_pay_quit_days IS
    'Days from the end by the employee to the final pay; NULL: by the next regular payday.';
COMMENT ON COLUMN payroll.work_location.new_hire_report_days IS
    'Days in which the state wants to hear of a hire: 20 by 42 USC 653a(b)(2), some ask sooner.';
COMMENT ON COLUMN payroll.work_location.schedule_notice_hours IS
    'Notice that a fair workweek ordinance asks for before a shift is changed; NULL: none does.';
COMMENT ON COLUMN payroll.work_location.predictability_pay_hours IS
    'Hours of pay that a later change costs.';

-- FK: the places of an employer.
CREATE INDEX work_location_employer_entity_idx
    ON payroll.work_location (business_id, employer_entity_id);

-- FK: payroll's view of a location of the business.
CREATE INDEX work_location_business_location_idx
    ON payroll.work_location (business_id, business_location_id)
    WHERE business_location_id IS NOT NULL;

-- FK: the work places at an address.
CREATE INDEX work_location_postal_address_idx
    ON payroll.work_location (business_id, postal_address_id);

ALTER TABLE payroll.work_location ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.work_location
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.work_location TO app_user;
GRANT SELECT ON payroll.work_location TO app_readonly;

CREATE TRIGGER work_location_touch
    BEFORE UPDATE ON payroll.work_location
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.check_wage_floor() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    floor_amount numeric;
BEGIN
    SELECT e.federal_minimum_wage_amount INTO floor_amount
    FROM payroll.employer_entity AS e
    WHERE e.business_id = NEW.business_id AND e.employer_entity_id = NEW.employer_entity_id;
    IF NEW.minimum_wage_amount < floor_amount THEN
        RAISE EXCEPTION 'minimum wage % of % is below the federal %', NEW.minimum_wage_amount,
                        NEW.code, floor_amount
            USING ERRCODE = 'check_violation',
                  CONSTRAINT = 'work_location_minimum_wage_at_least_federal';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.check_wage_floor() IS
    'A state may ask for more than federal law, never for less.';

CREATE TRIGGER work_location_wage_floor
    BEFORE INSERT OR UPDATE OF minimum_wage_amount, employer_entity_id ON payroll.work_location
    FOR EACH ROW EXECUTE FUNCTION payroll.check_wage_floor();


CREATE TABLE payroll.department (
    business_id          uuid              NOT NULL,
    department_id        uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    parent_department_id uuid,
    head_user_account_id uuid,
    code                 system_core.code  NOT NULL,
    name                 text              NOT NULL,
    cost_center          text,
    gl_segment           text,
    budget_annual_amount system_core.money,
    is_active            boolean           NOT NULL DEFAULT true,
    effective_from       date              NOT NULL,
    effective_until      date,
    created_at           timestamptz       NOT NULL DEFAULT now(),
    updated_at           timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, department_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, parent_department_id)
        REFERENCES payroll.department (business_id, department_id),
    FOREIGN KEY (business_id, head_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT department_budget_not_negative CHECK (budget_annual_amount >= 0),
    CONSTRAINT department_ends_after_start CHECK (effective_until > effective_from)
);

COMMENT ON TABLE payroll.department IS 'Cost-bearing unit of the payroll organization.';

-- FK: the units of a unit.
CREATE INDEX department_parent_department_idx
    ON payroll.department (business_id, parent_department_id)
    WHERE parent_department_id IS NOT NULL;

-- FK: the units that somebody heads.
CREATE INDEX department_head_user_account_idx
    ON payroll.department (business_id, head_user_account_id)
    WHERE head_user_account_id IS NOT NULL;

ALTER TABLE payroll.department ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.department
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.department TO app_user;
GRANT SELECT ON payroll.department TO app_readonly;

CREATE TRIGGER department_touch
    BEFORE UPDATE ON payroll.department
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.refuse_department_cycle() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- One at a time: two changes made at once may close a circle that neither of them sees.
    PERFORM pg_advisory_xact_lock(
        hashtextextended(NEW.business_id::text || ' payroll department', 0));
    IF EXISTS (
        WITH RECURSIVE line AS (
            SELECT NEW.parent_department_id AS id
            UNION   -- not ALL: a circle further on ends here, too
            SELECT x.parent_department_id
            FROM line AS l
            JOIN payroll.department AS x
                ON x.business_id = NEW.business_id AND x.department_id = l.id
            WHERE x.parent_department_id IS NOT NULL
        )
        SELECT FROM line AS l WHERE l.id = NEW.department_id) THEN
        RAISE EXCEPTION 'department % would be above itself', NEW.code
            USING ERRCODE = 'check_violation', HINT = 'Place it under a wider unit.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.refuse_department_cycle() IS 'Following it never leads back.';

CREATE TRIGGER department_no_cycle
    BEFORE INSERT OR UPDATE OF parent_department_id ON payroll.department
    FOR EACH ROW WHEN (NEW.parent_department_id IS NOT NULL)
    EXECUTE FUNCTION payroll.refuse_department_cycle();


CREATE TABLE payroll.job_profile (
    business_id             uuid              NOT NULL,
    job_profile_id          uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    job_code                system_core.code  NOT NULL,
    title                   text              NOT NULL,
    flsa_status             text              NOT NULL,
    exemption_test          text              NOT NULL DEFAULT 'none',
    eeo_category            text,
    workers_comp_class_code system_core.code,
    soc_code                text,
    pay_range_min_amount    system_core.money,
    pay_range_max_amount    system_core.money,
    is_tipped               boolean           NOT NULL DEFAULT false,
    is_active               boolean           NOT NULL DEFAULT true,
    created_at              timestamptz       NOT NULL DEFAULT now(),
    updated_at              timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, job_profile_id),
    UNIQUE (business_id, job_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT job_profile_flsa_status_known CHECK (flsa_status IN ('nonexempt', 'exempt')),
    CONSTRAINT job_profile_exemption_test_known
        CHECK (exemption_test IN ('executive', 'administrative', 'professional', 'computer',
                                  'outside_sales', 'none')),
    CONSTRAINT job_profile_exempt_by_a_test
        CHECK ((exemption_test <> 'none') = (flsa_status = 'exempt')),
    CONSTRAINT job_profile_tipped_is_nonexempt CHECK (NOT is_tipped OR flsa_status = 'nonexempt'),
    CONSTRAINT job_profile_pay_range_ordered
        CHECK (pay_range_min_amount >= 0 AND pay_range_max_amount >= pay_range_min_amount),
    CONSTRAINT job_profile_soc_shape CHECK (soc_code ~ '^[0-9]{2}-[0-9]{4}$')
);

COMMENT ON TABLE payroll.job_profile IS
    'Job with its wage-and-hour classification and pay range.';
COMMENT ON COLUMN payroll.job_profile.exemption_test IS
    'The duties that free the job from overtime; a title or a salary alone never does.';
COMMENT ON COLUMN payroll.job_profile.pay_range_min_amount IS
    'Pay of a year; a compa-ratio compares with the middle of the range.';

ALTER TABLE payroll.job_profile ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.job_profile
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.job_profile TO app_user;
GRANT SELECT ON payroll.job_profile TO app_readonly;

CREATE TRIGGER job_profile_touch
    BEFORE UPDATE ON payroll.job_profile
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.contractor (
    business_id        uuid                  NOT NULL,
    contractor_id      uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    employer_entity_id uuid                  NOT NULL,
    user_account_id    uuid,
    postal_address_id  uuid,
    contractor_number  text                  NOT NULL,
    contractor_kind    text                  NOT NULL,
    name               text                  NOT NULL,
    tax_id_token       system_core.vault_ref,
    tax_id_kind        text                  NOT NULL DEFAULT 'ssn',
    w9_received_on     date,
    backup_withholding boolean               NOT NULL DEFAULT false,
    hourly_rate_amount system_core.money,
    payment_terms_days integer               NOT NULL DEFAULT 30,
    status             text                  NOT NULL DEFAULT 'onboarding',
    started_on         date,
    ended_on           date,
    created_at         timestamptz           NOT NULL DEFAULT now(),
    updated_at         timestamptz           NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, contractor_id),
    UNIQUE (business_id, contractor_number),
    FOREIGN KEY (business_id, employer_entity_id)
        REFERENCES payroll.employer_entity (business_id, employer_entity_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, postal_address_id)
        REFERENCES system_core.postal_address (business_id, postal_address_id),
    CONSTRAINT contractor_kind_known CHECK (contractor_kind IN ('individual', 'business')),
    CONSTRAINT contractor_tax_id_kind_known CHECK (tax_id_kind IN ('ssn', 'ein', 'itin')),
    CONSTRAINT contractor_status_known CHECK (status IN ('onboarding', 'active', 'ended')),
    CONSTRAINT contractor_ends_after_start CHECK (ended_on > started_on),
    CONSTRAINT contractor_ended_has_date CHECK (status <> 'ended' OR ended_on IS NOT NULL),
    CONSTRAINT contractor_w9_brings_a_number
        CHECK (w9_received_on IS NULL OR tax_id_token IS NOT NULL),
    CONSTRAINT contractor_terms_not_negative
        CHECK (hourly_rate_amount > 0 AND payment_terms_days >= 0)
);

COMMENT ON TABLE payroll.contractor IS 'Independent contractor, paid on Form 1099.';
COMMENT ON COLUMN payroll.contractor.tax_id_token IS
    'Where the number lies in the vault; it is never stored here.';
COMMENT ON COLUMN payroll.contractor.backup_withholding IS
    'Tax is held back from each payment, for want of a correct number.';

-- FK: the contractors of an employer.
CREATE INDEX contractor_employer_entity_idx
    ON payroll.contractor (business_id, employer_entity_id);

-- FK: the contractor behind a login.
CREATE INDEX contractor_user_account_idx
    ON payroll.contractor (business_id, user_account_id)
    WHERE user_account_id IS NOT NULL;

-- FK: the contractors at an address.
CREATE INDEX contractor_postal_address_idx
    ON payroll.contractor (business_id, postal_address_id)
    WHERE postal_address_id IS NOT NULL;

ALTER TABLE payroll.contractor ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.contractor
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.contractor TO app_user;
GRANT SELECT ON payroll.contractor TO app_readonly;

CREATE TRIGGER contractor_touch
    BEFORE UPDATE ON payroll.contractor
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.contractor_may_be_paid(
    contractor uuid,
    on_date    date DEFAULT current_date
) RETURNS boolean
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(bool_or(coalesce(c.w9_received_on <= on_date, false) OR c.backup_withholding),
                    false)
    FROM payroll.contractor AS c
    WHERE c.business_id = tenant_mgmt.current_business_id() AND c.contractor_id = contractor
      AND c.status <> 'onboarding';
END;
COMMENT ON FUNCTION payroll.contractor_may_be_paid(uuid, date) IS
    'Whether a contractor of the calling tenant may be paid that day: with a Form W-9 received, or
     with tax held back from what is paid without one.';


CREATE TABLE payroll.employee (
    business_id              uuid                    NOT NULL,
    employee_id              uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    employer_entity_id       uuid                    NOT NULL,
    primary_work_location_id uuid                    NOT NULL,
    user_account_id          uuid,
    employee_number          text                    NOT NULL,
    first_name               system_core.person_name NOT NULL,
    middle_name              text,
    last_name                system_core.person_name NOT NULL,
    last_name_normalized     text                    NOT NULL GENERATED ALWAYS AS (
                                                         lower(last_name)) STORED,
    ssn_token                system_core.vault_ref,
    ssn_last4                text,
    birth_date               date,
    email                    system_core.email,
    mobile_phone             system_core.phone,
    status                   text                    NOT NULL DEFAULT 'applicant',
    is_statutory             boolean                 NOT NULL DEFAULT false,
    is_corporate_officer     boolean                 NOT NULL DEFAULT false,
    preferred_language       system_core.locale      NOT NULL DEFAULT 'en-US',
    created_at               timestamptz             NOT NULL DEFAULT now(),
    updated_at               timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, employee_id),
    UNIQUE (business_id, employee_number),
    UNIQUE (business_id, employer_entity_id, ssn_token),
    FOREIGN KEY (business_id, employer_entity_id)
        REFERENCES payroll.employer_entity (business_id, employer_entity_id),
    FOREIGN KEY (business_id, primary_work_location_id)
        REFERENCES payroll.work_location (business_id, work_location_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT employee_status_known
        CHECK (status IN ('applicant', 'onboarding', 'active', 'on_leave', 'terminated',
                          'rehired')),
    CONSTRAINT employee_ssn_known_by_its_last_four
        CHECK ((ssn_token IS NULL) = (ssn_last4 IS NULL) AND ssn_last4 ~ '^[0-9]{4}$'),
    CONSTRAINT employee_number_is_visible CHECK (employee_number ~ '^\S+$')
);

COMMENT ON TABLE payroll.employee IS 'Person on the payroll, whatever the number of jobs.';
COMMENT ON COLUMN payroll.employee.last_name_normalized IS
    'To search by: a column, for row security keeps an index on the expression from being used.';
COMMENT ON COLUMN payroll.employee.ssn_token IS
    'Where the social security number lies in the vault; only its last four digits stand here.';
COMMENT ON COLUMN payroll.employee.is_statutory IS
    'Contractor by common law, employee for social security (box 13 of Form W-2).';

-- Directory of the payroll office: the first letters of a last name.
CREATE INDEX employee_last_name_idx
    ON payroll.employee (business_id, last_name_normalized text_pattern_ops);

-- FK: the people of a place.
CREATE INDEX employee_primary_work_location_idx
    ON payroll.employee (business_id, primary_work_location_id);

-- FK: the payroll record behind a login; my week, my balance.
CREATE INDEX employee_user_account_idx
    ON payroll.employee (business_id, user_account_id)
    WHERE user_account_id IS NOT NULL;

ALTER TABLE payroll.employee ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.employee
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.employee TO app_user;
GRANT SELECT ON payroll.employee TO app_readonly;

CREATE TRIGGER employee_touch
    BEFORE UPDATE ON payroll.employee
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.employment_spell (
    business_id            uuid        NOT NULL,
    employment_spell_id    uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id            uuid        NOT NULL,
    employer_entity_id     uuid        NOT NULL,
    hired_on               date        NOT NULL,
    original_hire_on       date,
    adjusted_service_on    date,
    terminated_on          date,
    last_day_worked        date,
    termination_kind       text,
    termination_reason     text,
    is_rehire_eligible     boolean     NOT NULL DEFAULT true,
    final_pay_due_on       date,
    notice_given_on        date,
    severance_weeks        integer     NOT NULL DEFAULT 0,
    unemployment_contested boolean     NOT NULL DEFAULT false,
    created_at             timestamptz NOT NULL DEFAULT now(),
    updated_at             timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, employment_spell_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, employer_entity_id)
        REFERENCES payroll.employer_entity (business_id, employer_entity_id),
    CONSTRAINT employment_spell_termination_kind_known
        CHECK (termination_kind IN ('voluntary', 'involuntary', 'layoff', 'retirement', 'death',
                                    'end_of_contract')),
    CONSTRAINT employment_spell_ends_after_hire CHECK (terminated_on >= hired_on),
    CONSTRAINT employment_spell_first_hire_first CHECK (original_hire_on <= hired_on),
    CONSTRAINT employment_spell_last_work_before_end
        CHECK (last_day_worked BETWEEN hired_on AND terminated_on),
    CONSTRAINT employment_spell_end_has_kind
        CHECK ((terminated_on IS NULL) = (termination_kind IS NULL)),
    CONSTRAINT employment_spell_final_pay_follows_end CHECK (final_pay_due_on >= terminated_on),
    CONSTRAINT employment_spell_notice_before_end CHECK (notice_given_on <= terminated_on),
    CONSTRAINT employment_spell_severance_not_negative CHECK (severance_weeks >= 0),
    CONSTRAINT employment_spell_one_at_a_time EXCLUDE USING gist (
        business_id WITH =, employee_id WITH =,
        daterange(hired_on, terminated_on, '[]') WITH &&)
);

COMMENT ON TABLE payroll.employment_spell IS
    'Hire to termination, with reason, final pay and rehire.';
COMMENT ON COLUMN payroll.employment_spell.adjusted_service_on IS
    'Where service is counted from, when earlier spells are bridged; NULL: the hire.';
COMMENT ON COLUMN payroll.employment_spell.unemployment_contested IS
    'The employer objected to the claim for unemployment insurance.';

-- FK: the spells of somebody, the present one first: service, eligibility.
CREATE INDEX employment_spell_employee_idx
    ON payroll.employment_spell (business_id, employee_id, hired_on DESC);

-- FK: hires and ends of an employer.
CREATE INDEX employment_spell_employer_entity_idx
    ON payroll.employment_spell (business_id, employer_entity_id);

ALTER TABLE payroll.employment_spell ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.employment_spell
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.employment_spell TO app_user;
GRANT SELECT ON payroll.employment_spell TO app_readonly;

CREATE TRIGGER employment_spell_touch
    BEFORE UPDATE ON payroll.employment_spell
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.check_hiring_age() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    hire record;
BEGIN
    SELECT p.employee_number, s.hired_on, e.minimum_hiring_age_years INTO hire
    FROM changed AS c
    JOIN payroll.employee AS p
        ON p.business_id = c.business_id AND p.employee_id = c.employee_id
    JOIN payroll.employment_spell AS s
        ON s.business_id = p.business_id AND s.employee_id = p.employee_id
    JOIN payroll.employer_entity AS e
        ON e.business_id = s.business_id AND e.employer_entity_id = s.employer_entity_id
    WHERE s.hired_on < p.birth_date + make_interval(years => e.minimum_hiring_age_years)
    ORDER BY s.hired_on
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'employee % was younger than % when hired on %', hire.employee_number,
                        hire.minimum_hiring_age_years, hire.hired_on
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.check_hiring_age() IS
    'Nobody is hired below the age that their employer''s row states.';

CREATE TRIGGER employment_spell_hiring_age_on_insert
    AFTER INSERT ON payroll.employment_spell
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION payroll.check_hiring_age();

CREATE TRIGGER employment_spell_hiring_age_on_update
    AFTER UPDATE ON payroll.employment_spell
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION payroll.check_hiring_age();

CREATE TRIGGER employee_hiring_age
    AFTER UPDATE ON payroll.employee
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION payroll.check_hiring_age();

CREATE FUNCTION payroll.service_months(employee uuid, on_date date DEFAULT current_date)
    RETURNS integer
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT (extract(year FROM a.length) * 12 + extract(month FROM a.length))::integer
    FROM (
        SELECT age(on_date, coalesce(s.adjusted_service_on, s.hired_on)) AS length
        FROM payroll.employment_spell AS s
        WHERE s.business_id = tenant_mgmt.current_business_id()
          AND s.employee_id = service_months.employee
          AND s.hired_on <= on_date AND coalesce(s.terminated_on >= on_date, true)
        ORDER BY s.hired_on DESC
        LIMIT 1
    ) AS a;
END;
COMMENT ON FUNCTION payroll.service_months(uuid, date) IS
    'Whole months of service of an employee of the calling tenant on a day; NULL for who is not
     employed then.';

CREATE FUNCTION payroll.final_pay_due(spell uuid) RETURNS date
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    fact   record;
BEGIN
    SELECT s.terminated_on, s.employer_entity_id,
           CASE WHEN s.termination_kind IN ('involuntary', 'layoff') THEN l.final_pay_discharge_days
                ELSE l.final_pay_quit_days END AS days
    INTO fact
    FROM payroll.employment_spell AS s
    JOIN payroll.employee AS p ON p.business_id = s.business_id AND p.employee_id = s.employee_id
    JOIN payroll.work_location AS l
        ON l.business_id = p.business_id AND l.work_location_id = p.primary_work_location_id
    WHERE s.business_id = tenant AND s.employment_spell_id = spell;
    RETURN coalesce(
        fact.terminated_on + fact.days,
        (SELECT min(p.check_date)
         FROM payroll.pay_period AS p
         JOIN payroll.pay_schedule AS c
             ON c.business_id = p.business_id AND c.pay_schedule_id = p.pay_schedule_id
         WHERE c.business_id = tenant AND c.employer_entity_id = fact.employer_entity_id
           AND c.is_active AND p.ends_on >= fact.terminated_on
           AND p.check_date >= fact.terminated_on));
END
$$;
COMMENT ON FUNCTION payroll.final_pay_due(uuid) IS
    'When the final pay of a spell of the calling tenant is due: so many days after its end as the
     state of the work place says for a discharge or a quit, else the next regular payday. NULL
     while the spell lasts or no payday is planned.';

CREATE FUNCTION payroll.set_final_pay() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    UPDATE payroll.employment_spell AS s
    SET final_pay_due_on = CASE WHEN s.terminated_on IS NOT NULL
                                THEN payroll.final_pay_due(s.employment_spell_id) END
    WHERE s.business_id = NEW.business_id AND s.employment_spell_id = NEW.employment_spell_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.set_final_pay() IS
    'Notes when the final pay is due as soon as an end is known; imported spells bring it.';

CREATE TRIGGER employment_spell_final_pay_on_insert
    AFTER INSERT ON payroll.employment_spell
    FOR EACH ROW WHEN (NEW.terminated_on IS NOT NULL AND NEW.final_pay_due_on IS NULL)
    EXECUTE FUNCTION payroll.set_final_pay();

CREATE TRIGGER employment_spell_final_pay_on_update
    AFTER UPDATE OF terminated_on, termination_kind ON payroll.employment_spell
    FOR EACH ROW WHEN ((OLD.terminated_on, OLD.termination_kind)
                       IS DISTINCT FROM (NEW.terminated_on, NEW.termination_kind))
    EXECUTE FUNCTION payroll.set_final_pay();


CREATE TABLE payroll.employee_residence (
    business_id           uuid             NOT NULL,
    employee_residence_id uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id           uuid             NOT NULL,
    postal_address_id     uuid             NOT NULL,
    state_code            text             NOT NULL,
    county                text,
    municipality          text,
    school_district_code  system_core.code,
    psd_code              system_core.code,
    effective_from        date             NOT NULL,
    effective_until       date,
    geocode_confirmed     boolean          NOT NULL DEFAULT false,
    source                text             NOT NULL DEFAULT 'hr',
    is_mailing_address    boolean          NOT NULL DEFAULT true,
    created_at            timestamptz      NOT NULL DEFAULT now(),
    updated_at            timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, employee_residence_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, postal_address_id)
        REFERENCES system_core.postal_address (business_id, postal_address_id),
    CONSTRAINT employee_residence_source_known CHECK (source IN ('self_service', 'import', 'hr')),
    CONSTRAINT employee_residence_state_is_two_letters CHECK (state_code ~ '^[A-Z]{2}$'),
    CONSTRAINT employee_residence_ends_after_start CHECK (effective_until > effective_from),
    CONSTRAINT employee_residence_one_at_a_time EXCLUDE USING gist (
        business_id WITH =, employee_id WITH =,
        daterange(effective_from, effective_until) WITH &&)
);

COMMENT ON TABLE payroll.employee_residence IS
    'Home address over time: decides resident state and local tax.';
COMMENT ON COLUMN payroll.employee_residence.effective_until IS 'The first day elsewhere.';
COMMENT ON COLUMN payroll.employee_residence.psd_code IS
    'Political subdivision of Pennsylvania, which levies the local earned income tax.';

-- FK: where somebody lived on a day.
CREATE INDEX employee_residence_employee_idx
    ON payroll.employee_residence (business_id, employee_id, effective_from);

-- FK: who lives at an address.
CREATE INDEX employee_residence_postal_address_idx
    ON payroll.employee_residence (business_id, postal_address_id);

ALTER TABLE payroll.employee_residence ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.employee_residence
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.employee_residence TO app_user;
GRANT SELECT ON payroll.employee_residence TO app_readonly;

CREATE TRIGGER employee_residence_touch
    BEFORE UPDATE ON payroll.employee_residence
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.check_residence_source() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) AND NOT EXISTS (
        SELECT
        FROM payroll.profile_change_request AS r
        WHERE r.business_id = NEW.business_id AND r.employee_id = NEW.employee_id
          AND r.change_kind = 'address' AND r.status IN ('approved', 'auto_approved')) THEN
        RAISE EXCEPTION 'no approved change of address of this employee asks for the residence'
            USING ERRCODE = 'check_violation',
                  HINT = 'Approve the profile_change_request first, or enter it as hr.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.check_residence_source() IS
    'What self-service brings was asked for in a profile_change_request and approved.';

CREATE TRIGGER employee_residence_source
    BEFORE INSERT ON payroll.employee_residence
    FOR EACH ROW WHEN (NEW.source = 'self_service')
    EXECUTE FUNCTION payroll.check_residence_source();


CREATE TABLE payroll.employment_eligibility (
    business_id               uuid        NOT NULL,
    employment_eligibility_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id               uuid        NOT NULL,
    verified_by               uuid,
    file_object_id            uuid,
    section1_signed_on        date,
    section1_due_on           date,
    section2_signed_on        date,
    section2_due_on           date,
    is_late                   boolean     NOT NULL GENERATED ALWAYS AS (
        coalesce(section1_signed_on > section1_due_on OR section2_signed_on > section2_due_on,
                 false)) STORED,
    citizenship_status        text        NOT NULL,
    list_kind                 text,
    document_titles           text[]      NOT NULL DEFAULT '{}',
    document_expires_on       date,
    everify_case_number       text,
    everify_result            text        NOT NULL DEFAULT 'not_run',
    reverify_due_on           date,
    retention_until           date,
    status                    text        NOT NULL DEFAULT 'section1',
    created_at                timestamptz NOT NULL DEFAULT now(),
    updated_at                timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, employment_eligibility_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, verified_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT employment_eligibility_citizenship_status_known
        CHECK (citizenship_status IN ('citizen', 'noncitizen_national', 'permanent_resident',
                                      'authorized_alien')),
    CONSTRAINT employment_eligibility_list_kind_known
        CHECK (list_kind IN ('list_a', 'list_b_and_c')),
    CONSTRAINT employment_eligibility_everify_result_known
        CHECK (everify_result IN ('employment_authorized', 'tentative_nonconfirmation',
                                  'final_nonconfirmation', 'not_run')),
    CONSTRAINT employment_eligibility_status_known
        CHECK (status IN ('section1', 'complete', 'reverify', 'void')),
    CONSTRAINT employment_eligibility_complete_is_signed
        CHECK (status IN ('section1', 'void')
               OR section1_signed_on IS NOT NULL AND section2_signed_on IS NOT NULL
                  AND verified_by IS NOT NULL AND list_kind IS NOT NULL),
    CONSTRAINT employment_eligibility_documents_of_their_list
        CHECK (section2_signed_on IS NULL
               OR cardinality(document_titles) = CASE list_kind WHEN 'list_a' THEN 1 ELSE 2 END),
    CONSTRAINT employment_eligibility_permit_is_seen_again
        CHECK (citizenship_status <> 'authorized_alien' OR document_expires_on IS NULL
               OR reverify_due_on IS NOT NULL),
    CONSTRAINT employment_eligibility_seen_again_in_time
        CHECK (reverify_due_on <= document_expires_on),
    CONSTRAINT employment_eligibility_case_when_run
        CHECK (everify_result = 'not_run' OR everify_case_number IS NOT NULL)
);

COMMENT ON TABLE payroll.employment_eligibility IS
    'Form I-9 with documents, dates and re-verification.';
COMMENT ON COLUMN payroll.employment_eligibility.is_late IS
    'Signed after it was due. A late signature is told, not refused: who could not enter the day
     of signing would enter another one.';
COMMENT ON COLUMN payroll.employment_eligibility.list_kind IS
    'One document of list A shows identity and permission; else one of list B and one of list C.';

-- FK: the forms that somebody verified.
CREATE INDEX employment_eligibility_verified_by_idx
    ON payroll.employment_eligibility (business_id, verified_by)
    WHERE verified_by IS NOT NULL;

-- FK: the forms of an employee.
CREATE INDEX employment_eligibility_employee_idx
    ON payroll.employment_eligibility (business_id, employee_id);

-- FK: the form that a file holds.
CREATE INDEX employment_eligibility_file_object_idx
    ON payroll.employment_eligibility (business_id, file_object_id)
    WHERE file_object_id IS NOT NULL;

-- What has to be seen again, the most urgent first.
CREATE INDEX employment_eligibility_reverify_idx
    ON payroll.employment_eligibility (business_id, reverify_due_on)
    WHERE reverify_due_on IS NOT NULL AND status <> 'void';

ALTER TABLE payroll.employment_eligibility ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.employment_eligibility
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.employment_eligibility TO app_user;
GRANT SELECT ON payroll.employment_eligibility TO app_readonly;

CREATE TRIGGER employment_eligibility_touch
    BEFORE UPDATE ON payroll.employment_eligibility
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.set_eligibility_dates() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    hire record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    SELECT s.hired_on, s.terminated_on, e.i9_section2_days, e.i9_hire_years, e.i9_termination_years
    INTO hire
    FROM payroll.employment_spell AS s
    JOIN payroll.employer_entity AS e
        ON e.business_id = s.business_id AND e.employer_entity_id = s.employer_entity_id
    WHERE s.business_id = NEW.business_id AND s.employee_id = NEW.employee_id
    ORDER BY s.hired_on DESC
    LIMIT 1;
    IF NOT FOUND THEN
        RETURN NEW;
    END IF;
    NEW.section1_due_on := hire.hired_on;
    NEW.section2_due_on := coalesce(
        system_core.add_working_days(hire.hired_on, hire.i9_section2_days),
        -- Without a calendar the weekend alone is free.
        (SELECT d.day::date
         FROM generate_series((hire.hired_on + 1)::timestamp,
                              (hire.hired_on + 2 * hire.i9_section2_days + 7)::timestamp,
                              '1 day') AS d (day)
         WHERE extract(isodow FROM d.day) < 6
         ORDER BY d.day
         OFFSET hire.i9_section2_days - 1
         LIMIT 1));
    NEW.retention_until := greatest(
        hire.hired_on + make_interval(years => hire.i9_hire_years),
        hire.terminated_on + make_interval(years => hire.i9_termination_years));
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.set_eligibility_dates() IS
    'By when a form is signed and how long it is kept follow from the latest hire and its end.
     Imported forms bring these days.';

CREATE TRIGGER employment_eligibility_dates
    BEFORE INSERT OR UPDATE ON payroll.employment_eligibility
    FOR EACH ROW EXECUTE FUNCTION payroll.set_eligibility_dates();

CREATE FUNCTION payroll.follow_spell() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM changed) THEN
        UPDATE payroll.employment_eligibility AS f
        SET retention_until = f.retention_until   -- its own trigger counts anew
        FROM changed AS c
        WHERE f.business_id = c.business_id AND f.employee_id = c.employee_id
          AND f.status <> 'void';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.follow_spell() IS
    'A form is kept longer when its employee leaves: its dates follow the spell.';

CREATE TRIGGER employment_spell_keeps_forms_on_insert
    AFTER INSERT ON payroll.employment_spell
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION payroll.follow_spell();

CREATE TRIGGER employment_spell_keeps_forms_on_update
    AFTER UPDATE ON payroll.employment_spell
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION payroll.follow_spell();


CREATE TABLE payroll.new_hire_report (
    business_id                uuid        NOT NULL,
    new_hire_report_id         uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id                uuid        NOT NULL,
    employment_spell_id        uuid        NOT NULL,
    state_code                 text        NOT NULL,
    due_on                     date        NOT NULL,
    submitted_on               date,
    method                     text        NOT NULL DEFAULT 'file_upload',
    confirmation_number        text,
    status                     text        NOT NULL DEFAULT 'due',
    rejection_reason           text,
    medical_coverage_available boolean     NOT NULL DEFAULT false,
    created_at                 timestamptz NOT NULL DEFAULT now(),
    updated_at                 timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, new_hire_report_id),
    UNIQUE (business_id, employment_spell_id, state_code),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, employment_spell_id)
        REFERENCES payroll.employment_spell (business_id, employment_spell_id),
    CONSTRAINT new_hire_report_method_known
        CHECK (method IN ('file_upload', 'web_form', 'api', 'fax')),
    CONSTRAINT new_hire_report_status_known
        CHECK (status IN ('due', 'submitted', 'rejected', 'late')),
    CONSTRAINT new_hire_report_state_is_two_letters CHECK (state_code ~ '^[A-Z]{2}$'),
    CONSTRAINT new_hire_report_submitted_has_date
        CHECK (status <> 'submitted' OR submitted_on IS NOT NULL),
    CONSTRAINT new_hire_report_rejected_has_reason
        CHECK (status <> 'rejected' OR coalesce(rejection_reason, '') ~ '\S')
);

COMMENT ON TABLE payroll.new_hire_report IS
    'What a state is told of a hire, so that it finds who owes child support.';

-- FK: the reports of an employee.
CREATE INDEX new_hire_report_employee_idx
    ON payroll.new_hire_report (business_id, employee_id);

-- What is to be sent, the most urgent first.
CREATE INDEX new_hire_report_open_idx
    ON payroll.new_hire_report (business_id, due_on)
    WHERE status <> 'submitted';

ALTER TABLE payroll.new_hire_report ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.new_hire_report
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.new_hire_report TO app_user;
GRANT SELECT ON payroll.new_hire_report TO app_readonly;

CREATE TRIGGER new_hire_report_touch
    BEFORE UPDATE ON payroll.new_hire_report
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.set_report_due() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    SELECT s.hired_on + l.new_hire_report_days INTO NEW.due_on
    FROM payroll.employment_spell AS s
    JOIN payroll.employee AS p ON p.business_id = s.business_id AND p.employee_id = s.employee_id
    JOIN payroll.work_location AS l
        ON l.business_id = p.business_id AND l.work_location_id = p.primary_work_location_id
    WHERE s.business_id = NEW.business_id AND s.employment_spell_id = NEW.employment_spell_id
      AND s.employee_id = NEW.employee_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the reported spell is not one of the reported employee'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.set_report_due() IS
    'A report is due so many days after the hire as the state of the work place says.';

CREATE TRIGGER new_hire_report_due
    BEFORE INSERT OR UPDATE OF employment_spell_id, due_on ON payroll.new_hire_report
    FOR EACH ROW EXECUTE FUNCTION payroll.set_report_due();
