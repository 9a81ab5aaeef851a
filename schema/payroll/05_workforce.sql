/*
 * TODO: what the area is and how its tables relate.
 *
 * HR and payroll administrators: employers, places, jobs, employees, contractors and the lawful
 * start of employment.
 */

CREATE SCHEMA payroll;
GRANT USAGE ON SCHEMA payroll TO app_user, app_readonly;
COMMENT ON SCHEMA payroll IS
    'Paying people right and on time: work, time, gross to net, payment, taxes, benefits.';


CREATE TABLE payroll.employer_entity (
    business_id                  uuid        NOT NULL,
    employer_entity_id           uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    postal_address_id            uuid,
    legal_name                   text,
    trade_name                   text,
    ein                          text,
    entity_kind                  text        NOT NULL,
    deposit_frequency            text        NOT NULL,
    form_type                    text        NOT NULL,
    naics_code                   text,
    workers_comp_carrier         text,
    is_applicable_large_employer boolean     NOT NULL DEFAULT false,
    first_wage_on                date,
    signatory_name               text,
    status                       text        NOT NULL DEFAULT 'onboarding',
    created_at                   timestamptz NOT NULL DEFAULT now(),
    updated_at                   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, employer_entity_id),
    UNIQUE (business_id, ein),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, postal_address_id)
        REFERENCES system_core.postal_address (business_id, postal_address_id),
    CONSTRAINT employer_entity_entity_kind_known
        CHECK (entity_kind IN ('c_corp', 's_corp', 'llc', 'partnership', 'sole_proprietor',
               'nonprofit', 'government')),
    CONSTRAINT employer_entity_deposit_frequency_known
        CHECK (deposit_frequency IN ('monthly', 'semiweekly', 'next_day')),
    CONSTRAINT employer_entity_form_type_known CHECK (form_type IN ('941', '943', '944')),
    CONSTRAINT employer_entity_status_known CHECK (status IN ('onboarding', 'active', 'closed'))
);

COMMENT ON TABLE payroll.employer_entity IS
    'Legal employer with its federal identity and deposit habits.';
-- RULE ein is 9 digits
-- RULE lookback period of 50,000 decides monthly or semiweekly (function)

-- FK: the employer entitys of a postal address.
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
    is_active            boolean           NOT NULL DEFAULT false,
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
    CONSTRAINT department_budget_annual_amount_not_negative CHECK (budget_annual_amount >= 0)
);

COMMENT ON TABLE payroll.department IS 'Cost-bearing unit of the payroll organization.';
-- RULE no cycles (trigger)

-- FK: the departments of a department.
CREATE INDEX department_parent_department_idx
    ON payroll.department (business_id, parent_department_id)
    WHERE parent_department_id IS NOT NULL;

-- FK: the departments of a user account.
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


CREATE TABLE payroll.job_profile (
    business_id             uuid              NOT NULL,
    job_profile_id          uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    job_code                system_core.code,
    title                   text              NOT NULL,
    flsa_status             text              NOT NULL,
    exemption_test          text              NOT NULL,
    eeo_category            text,
    workers_comp_class_code system_core.code,
    soc_code                text,
    pay_range_min_amount    system_core.money,
    pay_range_max_amount    system_core.money,
    is_tipped               boolean           NOT NULL DEFAULT false,
    is_active               boolean           NOT NULL DEFAULT false,
    created_at              timestamptz       NOT NULL DEFAULT now(),
    updated_at              timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, job_profile_id),
    UNIQUE (business_id, job_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT job_profile_flsa_status_known CHECK (flsa_status IN ('exempt', 'nonexempt')),
    CONSTRAINT job_profile_exemption_test_known
        CHECK (exemption_test IN ('executive', 'administrative', 'professional', 'computer',
               'outside_sales', 'none')),
    CONSTRAINT job_profile_pay_range_max_amount_at_least_pay_range_min_amount
        CHECK (pay_range_max_amount >= pay_range_min_amount)
);

COMMENT ON TABLE payroll.job_profile IS 'Job with its wage-and-hour classification and pay range.';
-- RULE exemption_test <> 'none' exactly when exempt
-- RULE tipped jobs are nonexempt

ALTER TABLE payroll.job_profile ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.job_profile
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.job_profile TO app_user;
GRANT SELECT ON payroll.job_profile TO app_readonly;

CREATE TRIGGER job_profile_touch
    BEFORE UPDATE ON payroll.job_profile
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.work_location (
    business_id          uuid                  NOT NULL,
    work_location_id     uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    employer_entity_id   uuid                  NOT NULL,
    business_location_id uuid,
    postal_address_id    uuid                  NOT NULL,
    code                 system_core.code      NOT NULL,
    name                 text                  NOT NULL,
    state_code           text,
    county               text,
    municipality         text,
    school_district_code system_core.code,
    is_remote_hub        boolean               NOT NULL DEFAULT false,
    minimum_wage_amount  system_core.money,
    time_zone            system_core.time_zone,
    opened_on            date,
    closed_on            date,
    is_active            boolean               NOT NULL DEFAULT false,
    created_at           timestamptz           NOT NULL DEFAULT now(),
    updated_at           timestamptz           NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, work_location_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id, employer_entity_id)
        REFERENCES payroll.employer_entity (business_id, employer_entity_id),
    FOREIGN KEY (business_id, business_location_id)
        REFERENCES tenant_mgmt.business_location (business_id, business_location_id),
    FOREIGN KEY (business_id, postal_address_id)
        REFERENCES system_core.postal_address (business_id, postal_address_id),
    CONSTRAINT work_location_minimum_wage_amount CHECK (minimum_wage_amount >= 7.25),
    CONSTRAINT work_location_closed_on_after_opened_on CHECK (closed_on > opened_on)
);

COMMENT ON TABLE payroll.work_location IS 'Place of work that decides state and local taxes.';
-- RULE state_code is two letters

-- FK: the work locations of a employer entity.
CREATE INDEX work_location_employer_entity_idx
    ON payroll.work_location (business_id, employer_entity_id);

-- FK: the work locations of a business location.
CREATE INDEX work_location_business_location_idx
    ON payroll.work_location (business_id, business_location_id)
    WHERE business_location_id IS NOT NULL;

-- FK: the work locations of a postal address.
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


CREATE TABLE payroll.contractor (
    business_id        uuid              NOT NULL,
    contractor_id      uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    employer_entity_id uuid              NOT NULL,
    user_account_id    uuid,
    postal_address_id  uuid,
    contractor_number  text              NOT NULL,
    contractor_kind    text              NOT NULL,
    name               text              NOT NULL,
    tax_id_token       text,
    tax_id_kind        text              NOT NULL,
    w9_received_on     date,
    backup_withholding boolean           NOT NULL DEFAULT false,
    hourly_rate_amount system_core.money,
    payment_terms_days integer,
    status             text              NOT NULL DEFAULT 'onboarding',
    started_on         date,
    ended_on           date,
    created_at         timestamptz       NOT NULL DEFAULT now(),
    updated_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, contractor_id),
    UNIQUE (business_id, contractor_number),
    FOREIGN KEY (business_id, employer_entity_id)
        REFERENCES payroll.employer_entity (business_id, employer_entity_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, postal_address_id)
        REFERENCES system_core.postal_address (business_id, postal_address_id),
    CONSTRAINT contractor_contractor_kind_known
        CHECK (contractor_kind IN ('individual', 'business')),
    CONSTRAINT contractor_tax_id_kind_known CHECK (tax_id_kind IN ('ssn', 'ein', 'itin')),
    CONSTRAINT contractor_status_known CHECK (status IN ('onboarding', 'active', 'ended')),
    CONSTRAINT contractor_ended_on_after_started_on CHECK (ended_on > started_on)
);

COMMENT ON TABLE payroll.contractor IS 'Independent contractor paid on 1099.';
-- RULE no payment before w9_received_on unless backup_withholding

-- FK: the contractors of a employer entity.
CREATE INDEX contractor_employer_entity_idx
    ON payroll.contractor (business_id, employer_entity_id);

-- FK: the contractors of a user account.
CREATE INDEX contractor_user_account_idx
    ON payroll.contractor (business_id, user_account_id)
    WHERE user_account_id IS NOT NULL;

-- FK: the contractors of a postal address.
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


CREATE TABLE payroll.employee (
    business_id              uuid              NOT NULL,
    employee_id              uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    primary_work_location_id uuid              NOT NULL,
    user_account_id          uuid,
    employer_entity_id       uuid              NOT NULL,
    employee_number          text              NOT NULL,
    first_name               text              NOT NULL,
    middle_name              text,
    last_name                text              NOT NULL,
    ssn_token                text,
    ssn_last4                text,
    birth_date               date,
    email                    system_core.email,
    mobile_phone             system_core.phone,
    status                   text              NOT NULL DEFAULT 'applicant',
    is_statutory             boolean           NOT NULL DEFAULT false,
    is_corporate_officer     boolean           NOT NULL DEFAULT false,
    preferred_language       text,
    created_at               timestamptz       NOT NULL DEFAULT now(),
    updated_at               timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, employee_id),
    UNIQUE (business_id, employee_number),
    UNIQUE (business_id, employer_entity_id, ssn_token),
    FOREIGN KEY (business_id, primary_work_location_id)
        REFERENCES payroll.work_location (business_id, work_location_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, employer_entity_id)
        REFERENCES payroll.employer_entity (business_id, employer_entity_id),
    CONSTRAINT employee_status_known
        CHECK (status IN ('applicant', 'onboarding', 'active', 'on_leave', 'terminated',
               'rehired'))
);

COMMENT ON TABLE payroll.employee IS 'Person on the payroll, whatever the number of jobs.';
-- RULE age at hire >= 14
-- RULE ssn is stored only as a vault token and its last four digits

-- FK: the employees of a work location.
CREATE INDEX employee_primary_work_location_idx
    ON payroll.employee (business_id, primary_work_location_id);

-- FK: the employees of a user account.
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
    hired_on               date,
    original_hire_on       date,
    adjusted_service_on    date,
    terminated_on          date,
    last_day_worked        date,
    termination_kind       text        NOT NULL,
    termination_reason     text,
    is_rehire_eligible     boolean     NOT NULL DEFAULT false,
    final_pay_due_on       date,
    notice_given_on        date,
    severance_weeks        integer,
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
    CONSTRAINT employment_spell_terminated_on_not_before_hired_on
        CHECK (terminated_on >= hired_on)
);

COMMENT ON TABLE payroll.employment_spell IS
    'Hire to termination, with reason, final pay and rehire.';
-- RULE spells of one employee do not overlap (exclusion constraint)
-- RULE final_pay_due_on follows the state rule (function)
-- RULE termination_kind is set with terminated_on

-- FK: the employment spells of a employee.
CREATE INDEX employment_spell_employee_idx
    ON payroll.employment_spell (business_id, employee_id);

-- FK: the employment spells of a employer entity.
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


CREATE TABLE payroll.job_assignment (
    business_id           uuid                   NOT NULL,
    job_assignment_id     uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    manager_employee_id   uuid,
    employee_id           uuid                   NOT NULL,
    job_profile_id        uuid                   NOT NULL,
    department_id         uuid                   NOT NULL,
    work_location_id      uuid                   NOT NULL,
    work_schedule_id      uuid,
    assignment_no         integer,
    is_primary            boolean                NOT NULL DEFAULT false,
    worker_category       text                   NOT NULL,
    standard_hours_weekly system_core.quantity,
    fte_pct               system_core.percentage,
    effective_from        date                   NOT NULL,
    effective_until       date,
    change_reason         text                   NOT NULL,
    union_code            system_core.code,
    is_supervisor         boolean                NOT NULL DEFAULT false,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, job_assignment_id),
    FOREIGN KEY (business_id, manager_employee_id)
        REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, job_profile_id)
        REFERENCES payroll.job_profile (business_id, job_profile_id),
    FOREIGN KEY (business_id, department_id)
        REFERENCES payroll.department (business_id, department_id),
    FOREIGN KEY (business_id, work_location_id)
        REFERENCES payroll.work_location (business_id, work_location_id),
    CONSTRAINT job_assignment_worker_category_known
        CHECK (worker_category IN ('full_time', 'part_time', 'seasonal', 'temporary', 'on_call',
               'intern')),
    CONSTRAINT job_assignment_change_reason_known
        CHECK (change_reason IN ('hire', 'promotion', 'transfer', 'demotion', 'reorganization',
               'rehire')),
    CONSTRAINT job_assignment_fte_pct_bounded CHECK (fte_pct BETWEEN 1 AND 100),
    CONSTRAINT job_assignment_effective_until_after_effective_from
        CHECK (effective_until > effective_from)
);

COMMENT ON TABLE payroll.job_assignment IS
    'Job, department, location and manager of an employee over time; concurrent jobs allowed.';
-- RULE one primary assignment at any time (exclusion constraint)
-- RULE no one manages themselves

-- FK: the job assignments of a employee.
CREATE INDEX job_assignment_manager_employee_idx
    ON payroll.job_assignment (business_id, manager_employee_id)
    WHERE manager_employee_id IS NOT NULL;

-- FK: the job assignments of a employee.
CREATE INDEX job_assignment_employee_idx
    ON payroll.job_assignment (business_id, employee_id);

-- FK: the job assignments of a job profile.
CREATE INDEX job_assignment_job_profile_idx
    ON payroll.job_assignment (business_id, job_profile_id);

-- FK: the job assignments of a department.
CREATE INDEX job_assignment_department_idx
    ON payroll.job_assignment (business_id, department_id);

-- FK: the job assignments of a work location.
CREATE INDEX job_assignment_work_location_idx
    ON payroll.job_assignment (business_id, work_location_id);

-- FK: the job assignments of a work schedule.
CREATE INDEX job_assignment_work_schedule_idx
    ON payroll.job_assignment (business_id, work_schedule_id)
    WHERE work_schedule_id IS NOT NULL;

ALTER TABLE payroll.job_assignment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.job_assignment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.job_assignment TO app_user;
GRANT SELECT ON payroll.job_assignment TO app_readonly;

CREATE TRIGGER job_assignment_touch
    BEFORE UPDATE ON payroll.job_assignment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.employee_residence (
    business_id           uuid             NOT NULL,
    employee_residence_id uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id           uuid             NOT NULL,
    postal_address_id     uuid             NOT NULL,
    state_code            text,
    county                text,
    municipality          text,
    school_district_code  system_core.code,
    psd_code              system_core.code,
    effective_from        date             NOT NULL,
    effective_until       date,
    geocode_confirmed     boolean          NOT NULL DEFAULT false,
    source                text             NOT NULL,
    is_mailing_address    boolean          NOT NULL DEFAULT false,
    created_at            timestamptz      NOT NULL DEFAULT now(),
    updated_at            timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, employee_residence_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, postal_address_id)
        REFERENCES system_core.postal_address (business_id, postal_address_id),
    CONSTRAINT employee_residence_source_known CHECK (source IN ('self_service', 'import', 'hr'))
);

COMMENT ON TABLE payroll.employee_residence IS
    'Home address over time: decides resident state and local tax.';
-- RULE residences do not overlap (exclusion constraint)
-- RULE state_code is two letters
-- RULE source self_service came through profile_change_request

-- FK: the employee residences of a employee.
CREATE INDEX employee_residence_employee_idx
    ON payroll.employee_residence (business_id, employee_id);

-- FK: the employee residences of a postal address.
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


CREATE TABLE payroll.employment_eligibility (
    business_id               uuid        NOT NULL,
    employment_eligibility_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    verified_by               uuid,
    employee_id               uuid        NOT NULL,
    file_object_id            uuid,
    section1_signed_on        date,
    section2_signed_on        date,
    citizenship_status        text        NOT NULL,
    list_kind                 text        NOT NULL,
    document_titles           text[]      NOT NULL DEFAULT '{}',
    document_expires_on       date,
    everify_case_number       text        NOT NULL,
    everify_result            text        NOT NULL,
    reverify_due_on           date,
    retention_until           date,
    status                    text        NOT NULL DEFAULT 'section1',
    created_at                timestamptz NOT NULL DEFAULT now(),
    updated_at                timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, employment_eligibility_id),
    FOREIGN KEY (business_id, verified_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
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
        CHECK (status IN ('section1', 'complete', 'reverify', 'void'))
);

COMMENT ON TABLE payroll.employment_eligibility IS
    'Form I-9 with documents, dates and re-verification.';
-- RULE section1 by the first day of work; section2 within 3 business days
-- RULE reverify_due_on is not null when document_expires_on is set for authorized_alien
-- RULE retention_until = greatest(hire + 3 years, termination + 1 year)

-- FK: the employment eligibilitys of a user account.
CREATE INDEX employment_eligibility_verified_by_idx
    ON payroll.employment_eligibility (business_id, verified_by)
    WHERE verified_by IS NOT NULL;

-- FK: the employment eligibilitys of a employee.
CREATE INDEX employment_eligibility_employee_idx
    ON payroll.employment_eligibility (business_id, employee_id);

-- FK: the employment eligibilitys of a file object.
CREATE INDEX employment_eligibility_file_object_idx
    ON payroll.employment_eligibility (business_id, file_object_id)
    WHERE file_object_id IS NOT NULL;

ALTER TABLE payroll.employment_eligibility ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.employment_eligibility
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.employment_eligibility TO app_user;
GRANT SELECT ON payroll.employment_eligibility TO app_readonly;

CREATE TRIGGER employment_eligibility_touch
    BEFORE UPDATE ON payroll.employment_eligibility
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.new_hire_report (
    business_id                uuid        NOT NULL,
    new_hire_report_id         uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id                uuid        NOT NULL,
    employment_spell_id        uuid        NOT NULL,
    state_code                 text,
    due_on                     date,
    submitted_on               date,
    method                     text        NOT NULL,
    confirmation_number        text        NOT NULL,
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
        CHECK (status IN ('due', 'submitted', 'rejected', 'late'))
);

COMMENT ON TABLE payroll.new_hire_report IS 'State new-hire report due within 20 days of hire.';
-- RULE due_on is 20 days after hire or the state's shorter limit
-- RULE submitted_on is not null when submitted

-- FK: the new hire reports of a employee.
CREATE INDEX new_hire_report_employee_idx
    ON payroll.new_hire_report (business_id, employee_id);

ALTER TABLE payroll.new_hire_report ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.new_hire_report
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.new_hire_report TO app_user;
GRANT SELECT ON payroll.new_hire_report TO app_readonly;

CREATE TRIGGER new_hire_report_touch
    BEFORE UPDATE ON payroll.new_hire_report
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.compensation_rate (
    business_id          uuid                   NOT NULL,
    compensation_rate_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    approved_by          uuid,
    job_assignment_id    uuid                   NOT NULL,
    pay_basis            text                   NOT NULL,
    rate_amount          system_core.money,
    annualized_amount    system_core.money,
    currency_code        system_core.currency   NOT NULL,
    pay_frequency_basis  text                   NOT NULL,
    effective_from       date                   NOT NULL,
    effective_until      date,
    reason               text                   NOT NULL,
    change_pct           system_core.percentage,
    compa_ratio          system_core.quantity,
    approved_at          timestamptz,
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, compensation_rate_id),
    FOREIGN KEY (business_id, approved_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, job_assignment_id)
        REFERENCES payroll.job_assignment (business_id, job_assignment_id),
    CONSTRAINT compensation_rate_pay_basis_known
        CHECK (pay_basis IN ('hourly', 'salary', 'piece', 'commission_only', 'day_rate')),
    CONSTRAINT compensation_rate_pay_frequency_basis_known
        CHECK (pay_frequency_basis IN ('hour', 'week', 'biweek', 'semimonth', 'month', 'year',
               'unit')),
    CONSTRAINT compensation_rate_reason_known
        CHECK (reason IN ('hire', 'merit', 'promotion', 'market', 'minimum_wage', 'correction')),
    CONSTRAINT compensation_rate_rate_amount_positive CHECK (rate_amount > 0)
);

COMMENT ON TABLE payroll.compensation_rate IS 'Effective-dated pay rate of an assignment.';
-- RULE rate ranges of an assignment do not overlap (exclusion constraint)
-- RULE exempt salary >= 684 a week
-- RULE hourly rate not below the location's minimum wage unless tipped (trigger)

-- FK: the compensation rates of a user account.
CREATE INDEX compensation_rate_approved_by_idx
    ON payroll.compensation_rate (business_id, approved_by)
    WHERE approved_by IS NOT NULL;

-- FK: the compensation rates of a job assignment.
CREATE INDEX compensation_rate_job_assignment_idx
    ON payroll.compensation_rate (business_id, job_assignment_id);

ALTER TABLE payroll.compensation_rate ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.compensation_rate
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.compensation_rate TO app_user;
GRANT SELECT ON payroll.compensation_rate TO app_readonly;

CREATE TRIGGER compensation_rate_touch
    BEFORE UPDATE ON payroll.compensation_rate
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
