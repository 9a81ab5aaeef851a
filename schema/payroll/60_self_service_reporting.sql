/*
 * TODO: what the area is and how its tables relate.
 *
 * Employees in the portal, managers and finance in reports.
 */

CREATE TABLE payroll.profile_change_request (
    business_id               uuid        NOT NULL,
    profile_change_request_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    reviewed_by               uuid,
    employee_id               uuid        NOT NULL,
    change_kind               text        NOT NULL,
    requested_at              timestamptz,
    old_values                text,
    new_values                text,
    effective_on              date,
    risk_level                text        NOT NULL,
    step_up_passed            boolean     NOT NULL DEFAULT false,
    status                    text        NOT NULL DEFAULT 'submitted',
    reviewed_at               timestamptz,
    rejection_reason          text,
    confirmation_sent_to      text,
    created_at                timestamptz NOT NULL DEFAULT now(),
    updated_at                timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, profile_change_request_id),
    FOREIGN KEY (business_id, reviewed_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    CONSTRAINT profile_change_request_change_kind_known
        CHECK (change_kind IN ('address', 'bank_account', 'legal_name', 'withholding',
               'emergency_contact', 'dependents', 'phone')),
    CONSTRAINT profile_change_request_risk_level_known
        CHECK (risk_level IN ('low', 'medium', 'high')),
    CONSTRAINT profile_change_request_status_known
        CHECK (status IN ('submitted', 'auto_approved', 'in_review', 'approved', 'rejected',
               'withdrawn')),
    CONSTRAINT profile_change_request_reviewed_at_not_before_requested_at
        CHECK (reviewed_at >= requested_at)
);

COMMENT ON TABLE payroll.profile_change_request IS
    'Change an employee asks for: address, bank, name, tax form, emergency contact.';
-- RULE bank changes are high risk and need step_up_passed
-- RULE confirmation goes to the old address (trigger)

-- FK: the profile change requests of a user account.
CREATE INDEX profile_change_request_reviewed_by_idx
    ON payroll.profile_change_request (business_id, reviewed_by)
    WHERE reviewed_by IS NOT NULL;

-- FK: the profile change requests of a employee.
CREATE INDEX profile_change_request_employee_idx
    ON payroll.profile_change_request (business_id, employee_id);

ALTER TABLE payroll.profile_change_request ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.profile_change_request
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.profile_change_request TO app_user;
GRANT SELECT ON payroll.profile_change_request TO app_readonly;

CREATE TRIGGER profile_change_request_touch
    BEFORE UPDATE ON payroll.profile_change_request
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.onboarding_task (
    business_id        uuid        NOT NULL,
    onboarding_task_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    assigned_to        uuid,
    employee_id        uuid        NOT NULL,
    checklist          text        NOT NULL,
    task_code          text        NOT NULL,
    sequence_no        integer,
    due_on             date,
    state              text        NOT NULL DEFAULT 'open',
    completed_at       timestamptz,
    blocks_first_pay   boolean     NOT NULL DEFAULT false,
    reminder_count     integer,
    form_data          text,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, onboarding_task_id),
    UNIQUE (business_id, employee_id, checklist, task_code),
    FOREIGN KEY (business_id, assigned_to)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    CONSTRAINT onboarding_task_checklist_known CHECK (checklist IN ('onboarding', 'offboarding')),
    CONSTRAINT onboarding_task_task_code_known
        CHECK (task_code IN ('personal_data', 'i9_section1', 'i9_section2', 'w4', 'state_w4',
               'direct_deposit', 'handbook', 'benefits', 'equipment', 'final_pay', 'cobra_notice',
               'exit_interview')),
    CONSTRAINT onboarding_task_state_known CHECK (state IN ('open', 'done', 'waived', 'overdue'))
);

COMMENT ON TABLE payroll.onboarding_task IS 'Step of joining or leaving for an employee.';
-- RULE completed_at is not null when done
-- RULE open blocking tasks raise a pay_run_exception

-- FK: the onboarding tasks of a user account.
CREATE INDEX onboarding_task_assigned_to_idx
    ON payroll.onboarding_task (business_id, assigned_to)
    WHERE assigned_to IS NOT NULL;

ALTER TABLE payroll.onboarding_task ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.onboarding_task
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.onboarding_task TO app_user;
GRANT SELECT ON payroll.onboarding_task TO app_readonly;

CREATE TRIGGER onboarding_task_touch
    BEFORE UPDATE ON payroll.onboarding_task
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.delivery_consent (
    business_id         uuid        NOT NULL,
    delivery_consent_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id         uuid        NOT NULL,
    document_kind       text        NOT NULL,
    is_electronic       boolean     NOT NULL DEFAULT false,
    consented_at        timestamptz,
    withdrawn_at        timestamptz,
    disclosure_version  text,
    demonstrated_access boolean     NOT NULL DEFAULT false,
    email_used          text,
    ip_address          inet,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, delivery_consent_id),
    UNIQUE (business_id, employee_id, document_kind, consented_at),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    CONSTRAINT delivery_consent_document_kind_known
        CHECK (document_kind IN ('pay_stub', 'w2', '1095c', '1099', 'benefit_notice')),
    CONSTRAINT delivery_consent_withdrawn_at_after_consented_at
        CHECK (withdrawn_at > consented_at)
);

COMMENT ON TABLE payroll.delivery_consent IS
    'Consent to electronic pay stubs and year-end forms, with withdrawal.';
-- RULE electronic W-2 needs demonstrated_access

ALTER TABLE payroll.delivery_consent ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.delivery_consent
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.delivery_consent TO app_user;
GRANT SELECT ON payroll.delivery_consent TO app_readonly;

CREATE TRIGGER delivery_consent_touch
    BEFORE UPDATE ON payroll.delivery_consent
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.employee_document (
    business_id          uuid           NOT NULL,
    employee_document_id uuid           NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id          uuid           NOT NULL,
    file_object_id       uuid           NOT NULL,
    paycheck_id          uuid,
    wage_statement_id    uuid,
    document_kind        text           NOT NULL,
    title                text           NOT NULL,
    published_at         timestamptz,
    available_until      timestamptz(6),
    first_viewed_at      timestamptz,
    view_count           integer,
    requires_signature   boolean        NOT NULL DEFAULT false,
    signed_at            timestamptz,
    tax_year             integer,
    created_at           timestamptz    NOT NULL DEFAULT now(),
    updated_at           timestamptz    NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, employee_document_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, paycheck_id) REFERENCES payroll.paycheck (business_id, paycheck_id),
    FOREIGN KEY (business_id, wage_statement_id)
        REFERENCES payroll.wage_statement (business_id, wage_statement_id),
    CONSTRAINT employee_document_document_kind_known
        CHECK (document_kind IN ('pay_stub', 'w2', '1095c', 'offer_letter', 'policy',
               'benefit_confirmation', 'verification_letter')),
    CONSTRAINT employee_document_first_viewed_at_not_before_published_at
        CHECK (first_viewed_at >= published_at)
);

COMMENT ON TABLE payroll.employee_document IS
    'Pay stub, form, letter or policy published to an employee.';
-- RULE pay stubs carry a paycheck
-- RULE signed_at is not null only when requires_signature
-- RULE pay stubs stay available 4 years

-- FK: the employee documents of a employee.
CREATE INDEX employee_document_employee_idx
    ON payroll.employee_document (business_id, employee_id);

-- FK: the employee documents of a file object.
CREATE INDEX employee_document_file_object_idx
    ON payroll.employee_document (business_id, file_object_id);

-- FK: the employee documents of a paycheck.
CREATE INDEX employee_document_paycheck_idx
    ON payroll.employee_document (business_id, paycheck_id)
    WHERE paycheck_id IS NOT NULL;

-- FK: the employee documents of a wage statement.
CREATE INDEX employee_document_wage_statement_idx
    ON payroll.employee_document (business_id, wage_statement_id)
    WHERE wage_statement_id IS NOT NULL;

ALTER TABLE payroll.employee_document ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.employee_document
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.employee_document TO app_user;
GRANT SELECT ON payroll.employee_document TO app_readonly;

CREATE TRIGGER employee_document_touch
    BEFORE UPDATE ON payroll.employee_document
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.pay_inquiry (
    business_id        uuid                 NOT NULL,
    pay_inquiry_id     uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    assigned_to        uuid,
    employee_id        uuid                 NOT NULL,
    paycheck_id        uuid,
    inquiry_number     text                 NOT NULL,
    topic              text                 NOT NULL,
    opened_at          timestamptz,
    question           text,
    status             text                 NOT NULL DEFAULT 'open',
    first_response_at  timestamptz,
    resolved_at        timestamptz,
    resolution         text                 NOT NULL,
    amount_at_issue    system_core.quantity,
    satisfaction_score system_core.score,
    created_at         timestamptz          NOT NULL DEFAULT now(),
    updated_at         timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, pay_inquiry_id),
    UNIQUE (business_id, inquiry_number),
    FOREIGN KEY (business_id, assigned_to)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, paycheck_id) REFERENCES payroll.paycheck (business_id, paycheck_id),
    CONSTRAINT pay_inquiry_topic_known
        CHECK (topic IN ('missing_hours', 'wrong_rate', 'tax', 'deduction', 'direct_deposit',
               'time_off', 'benefits', 'form_copy')),
    CONSTRAINT pay_inquiry_status_known
        CHECK (status IN ('open', 'waiting_employee', 'resolved', 'escalated', 'reopened')),
    CONSTRAINT pay_inquiry_resolution_known
        CHECK (resolution IN ('explained', 'corrected', 'no_error', 'retro_paid')),
    CONSTRAINT pay_inquiry_first_response_at_not_before_opened_at
        CHECK (first_response_at >= opened_at),
    CONSTRAINT pay_inquiry_satisfaction_score_bounded CHECK (satisfaction_score BETWEEN 1 AND 5)
);

COMMENT ON TABLE payroll.pay_inquiry IS 'Question or dispute of an employee about pay.';
-- RULE resolution is set when resolved

-- FK: the pay inquirys of a user account.
CREATE INDEX pay_inquiry_assigned_to_idx
    ON payroll.pay_inquiry (business_id, assigned_to)
    WHERE assigned_to IS NOT NULL;

-- FK: the pay inquirys of a employee.
CREATE INDEX pay_inquiry_employee_idx
    ON payroll.pay_inquiry (business_id, employee_id);

-- FK: the pay inquirys of a paycheck.
CREATE INDEX pay_inquiry_paycheck_idx
    ON payroll.pay_inquiry (business_id, paycheck_id)
    WHERE paycheck_id IS NOT NULL;

ALTER TABLE payroll.pay_inquiry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.pay_inquiry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.pay_inquiry TO app_user;
GRANT SELECT ON payroll.pay_inquiry TO app_readonly;

CREATE TRIGGER pay_inquiry_touch
    BEFORE UPDATE ON payroll.pay_inquiry
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.self_service_event (
    business_id           uuid                     NOT NULL,
    self_service_event_id uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id           uuid                     NOT NULL,
    occurred_at           timestamptz              NOT NULL,
    action                text                     NOT NULL,
    channel               text                     NOT NULL,
    document_key          uuid,
    duration_ms           system_core.milliseconds,
    result                text                     NOT NULL,
    ip_address            inet,
    app_version           text,
    created_at            timestamptz              NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, self_service_event_id, occurred_at),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    CONSTRAINT self_service_event_action_known
        CHECK (action IN ('login', 'view_pay_stub', 'download_w2', 'view_time_off',
               'request_time_off', 'edit_bank', 'edit_withholding', 'view_benefits', 'clock_in',
               'clock_out', 'open_inquiry')),
    CONSTRAINT self_service_event_channel_known
        CHECK (channel IN ('web', 'ios', 'android', 'kiosk')),
    CONSTRAINT self_service_event_result_known CHECK (result IN ('ok', 'denied', 'error')),
    CONSTRAINT self_service_event_duration_ms_not_negative CHECK (duration_ms >= 0)
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE payroll.self_service_event IS 'What employees do in the portal; append only.';
-- RULE append only
-- RULE edit_bank events carry result denied when step-up failed

-- FK: the self service events of a employee.
CREATE INDEX self_service_event_employee_idx
    ON payroll.self_service_event (business_id, employee_id);

ALTER TABLE payroll.self_service_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.self_service_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON payroll.self_service_event TO app_user;
GRANT SELECT ON payroll.self_service_event TO app_readonly;

CREATE TRIGGER self_service_event_append_only
    BEFORE UPDATE OR DELETE ON payroll.self_service_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('payroll.self_service_event');

CREATE TABLE payroll.self_service_event_default PARTITION OF payroll.self_service_event DEFAULT;
ALTER TABLE payroll.self_service_event_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.self_service_event_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('payroll.self_service_event', 'month', behind => 13, ahead => 3);


CREATE TABLE payroll.report_definition (
    business_id           uuid             NOT NULL,
    report_definition_id  uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    owner_user_account_id uuid             NOT NULL,
    code                  system_core.code NOT NULL,
    name                  text             NOT NULL,
    report_kind           text             NOT NULL,
    definition            text,
    visibility            text             NOT NULL,
    schedule_cron         text,
    recipients            text[]           NOT NULL DEFAULT '{}',
    masks_pay             boolean          NOT NULL DEFAULT false,
    last_run_at           timestamptz,
    is_active             boolean          NOT NULL DEFAULT false,
    created_at            timestamptz      NOT NULL DEFAULT now(),
    updated_at            timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, report_definition_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT report_definition_report_kind_known
        CHECK (report_kind IN ('register', 'labor_cost', 'tax_liability', 'deduction', 'time',
               'headcount', 'benefit_cost', 'custom')),
    CONSTRAINT report_definition_visibility_known
        CHECK (visibility IN ('private', 'payroll', 'finance', 'managers'))
);

COMMENT ON TABLE payroll.report_definition IS
    'Saved payroll report with its columns, filters and schedule.';
-- RULE manager reports mask pay outside their line
-- RULE definition names only allowed columns (function)

-- FK: the report definitions of a user account.
CREATE INDEX report_definition_owner_user_account_idx
    ON payroll.report_definition (business_id, owner_user_account_id);

ALTER TABLE payroll.report_definition ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.report_definition
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.report_definition TO app_user;
GRANT SELECT ON payroll.report_definition TO app_readonly;

CREATE TRIGGER report_definition_touch
    BEFORE UPDATE ON payroll.report_definition
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.headcount_snapshot (
    business_id            uuid                   NOT NULL,
    headcount_snapshot_id  uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    department_id          uuid                   NOT NULL,
    work_location_id       uuid                   NOT NULL,
    snapshot_month         date,
    headcount              integer,
    fte                    system_core.quantity,
    hires                  integer,
    terminations           integer,
    voluntary_terminations integer,
    transfers_in           integer,
    transfers_out          integer,
    average_tenure_months  integer,
    open_positions         integer,
    turnover_pct           system_core.percentage,
    created_at             timestamptz            NOT NULL DEFAULT now(),
    updated_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, headcount_snapshot_id),
    UNIQUE (business_id, snapshot_month, department_id, work_location_id),
    FOREIGN KEY (business_id, department_id)
        REFERENCES payroll.department (business_id, department_id),
    FOREIGN KEY (business_id, work_location_id)
        REFERENCES payroll.work_location (business_id, work_location_id),
    CONSTRAINT headcount_snapshot_voluntary_terminations_terminations
        CHECK (voluntary_terminations <= terminations)
);

COMMENT ON TABLE payroll.headcount_snapshot IS
    'Heads, FTE, hires and leavers per month, department and location.';
-- RULE snapshot_month is the first of a month

-- FK: the headcount snapshots of a department.
CREATE INDEX headcount_snapshot_department_idx
    ON payroll.headcount_snapshot (business_id, department_id);

-- FK: the headcount snapshots of a work location.
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


CREATE TABLE payroll.labor_cost_snapshot (
    business_id            uuid                   NOT NULL,
    labor_cost_snapshot_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    pay_period_id          uuid                   NOT NULL,
    department_id          uuid                   NOT NULL,
    work_location_id       uuid                   NOT NULL,
    regular_hours          numeric(9, 2),
    overtime_hours         numeric(9, 2),
    gross_amount           system_core.money,
    overtime_amount        system_core.money,
    employer_tax_amount    system_core.money,
    benefit_amount         system_core.money,
    total_cost_amount      system_core.money,
    budget_amount          system_core.money,
    overtime_pct           system_core.percentage,
    cost_per_hour_amount   system_core.money,
    computed_at            timestamptz,
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
    CONSTRAINT labor_cost_snapshot_total_cost_amount_gross_amount_employer
        CHECK (total_cost_amount = gross_amount + employer_tax_amount + benefit_amount),
    CONSTRAINT labor_cost_snapshot_overtime_pct_bounded CHECK (overtime_pct BETWEEN 0 AND 100)
);

COMMENT ON TABLE payroll.labor_cost_snapshot IS
    'Cost per period, department and location against budget.';

-- FK: the labor cost snapshots of a department.
CREATE INDEX labor_cost_snapshot_department_idx
    ON payroll.labor_cost_snapshot (business_id, department_id);

-- FK: the labor cost snapshots of a work location.
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


CREATE TABLE payroll.pay_variance (
    business_id     uuid                   NOT NULL,
    pay_variance_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    reviewed_by     uuid,
    pay_run_id      uuid                   NOT NULL,
    employee_id     uuid                   NOT NULL,
    paycheck_id     uuid,
    measure         text                   NOT NULL,
    current_value   system_core.quantity,
    expected_value  system_core.quantity,
    difference      system_core.quantity,
    difference_pct  system_core.percentage,
    z_score         system_core.score,
    reason_guess    text                   NOT NULL,
    status          text                   NOT NULL DEFAULT 'open',
    reviewed_at     timestamptz,
    explanation     text,
    created_at      timestamptz            NOT NULL DEFAULT now(),
    updated_at      timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, pay_variance_id),
    UNIQUE (business_id, pay_run_id, employee_id, measure),
    FOREIGN KEY (business_id, reviewed_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, pay_run_id) REFERENCES payroll.pay_run (business_id, pay_run_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, paycheck_id) REFERENCES payroll.paycheck (business_id, paycheck_id),
    CONSTRAINT pay_variance_measure_known
        CHECK (measure IN ('net', 'gross', 'hours', 'overtime', 'tax', 'deduction')),
    CONSTRAINT pay_variance_reason_guess_known
        CHECK (reason_guess IN ('new_hire', 'termination', 'rate_change', 'bonus',
               'missing_hours', 'tax_change', 'unknown')),
    CONSTRAINT pay_variance_status_known
        CHECK (status IN ('open', 'explained', 'error_fixed', 'ignored')),
    CONSTRAINT pay_variance_difference_current_value_expected_value
        CHECK (difference = current_value - expected_value)
);

COMMENT ON TABLE payroll.pay_variance IS
    'Unusual difference of an employee''s pay against earlier periods.';
-- RULE reviewed_at is not null unless open

-- FK: the pay variances of a user account.
CREATE INDEX pay_variance_reviewed_by_idx
    ON payroll.pay_variance (business_id, reviewed_by)
    WHERE reviewed_by IS NOT NULL;

-- FK: the pay variances of a employee.
CREATE INDEX pay_variance_employee_idx
    ON payroll.pay_variance (business_id, employee_id);

-- FK: the pay variances of a paycheck.
CREATE INDEX pay_variance_paycheck_idx
    ON payroll.pay_variance (business_id, paycheck_id)
    WHERE paycheck_id IS NOT NULL;

ALTER TABLE payroll.pay_variance ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.pay_variance
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.pay_variance TO app_user;
GRANT SELECT ON payroll.pay_variance TO app_readonly;

CREATE TRIGGER pay_variance_touch
    BEFORE UPDATE ON payroll.pay_variance
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.compliance_deadline (
    business_id            uuid              NOT NULL,
    compliance_deadline_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    owner_user_account_id  uuid,
    employer_entity_id     uuid              NOT NULL,
    tax_filing_id          uuid,
    tax_deposit_id         uuid,
    duty_code              system_core.code,
    title                  text              NOT NULL,
    jurisdiction_code      system_core.code,
    period_end             date,
    due_on                 date,
    reminder_days          bigint[]          NOT NULL DEFAULT '{}',
    status                 text              NOT NULL DEFAULT 'upcoming',
    completed_on           date,
    penalty_risk_amount    system_core.money,
    note                   text,
    created_at             timestamptz       NOT NULL DEFAULT now(),
    updated_at             timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, compliance_deadline_id),
    UNIQUE (business_id, employer_entity_id, duty_code, period_end),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, employer_entity_id)
        REFERENCES payroll.employer_entity (business_id, employer_entity_id),
    FOREIGN KEY (business_id, tax_filing_id)
        REFERENCES payroll.tax_filing (business_id, tax_filing_id),
    FOREIGN KEY (business_id, tax_deposit_id)
        REFERENCES payroll.tax_deposit (business_id, tax_deposit_id),
    CONSTRAINT compliance_deadline_status_known
        CHECK (status IN ('upcoming', 'in_progress', 'done', 'late', 'not_applicable'))
);

COMMENT ON TABLE payroll.compliance_deadline IS
    'Dated duty: deposit, return, W-2, 1095-C, ACA, EEO, new-hire, poster.';
-- RULE completed_on is not null when done
-- RULE late when due_on < current_date and not done

-- FK: the compliance deadlines of a user account.
CREATE INDEX compliance_deadline_owner_user_account_idx
    ON payroll.compliance_deadline (business_id, owner_user_account_id)
    WHERE owner_user_account_id IS NOT NULL;

-- FK: the compliance deadlines of a tax filing.
CREATE INDEX compliance_deadline_tax_filing_idx
    ON payroll.compliance_deadline (business_id, tax_filing_id)
    WHERE tax_filing_id IS NOT NULL;

-- FK: the compliance deadlines of a tax deposit.
CREATE INDEX compliance_deadline_tax_deposit_idx
    ON payroll.compliance_deadline (business_id, tax_deposit_id)
    WHERE tax_deposit_id IS NOT NULL;

ALTER TABLE payroll.compliance_deadline ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.compliance_deadline
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.compliance_deadline TO app_user;
GRANT SELECT ON payroll.compliance_deadline TO app_readonly;

CREATE TRIGGER compliance_deadline_touch
    BEFORE UPDATE ON payroll.compliance_deadline
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.report_run (
    business_id          uuid                     NOT NULL,
    report_run_id        uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    run_by               uuid,
    report_definition_id uuid                     NOT NULL,
    file_object_id       uuid,
    started_at           timestamptz              NOT NULL,
    finished_at          timestamptz,
    parameters           system_core.json_object,
    row_count            integer,
    format               text                     NOT NULL,
    status               text                     NOT NULL DEFAULT 'running',
    duration_ms          system_core.milliseconds,
    error_detail         text,
    rows_masked          integer,
    created_at           timestamptz              NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, report_run_id, started_at),
    FOREIGN KEY (business_id, run_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, report_definition_id)
        REFERENCES payroll.report_definition (business_id, report_definition_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT report_run_format_known CHECK (format IN ('screen', 'csv', 'xlsx', 'pdf')),
    CONSTRAINT report_run_status_known
        CHECK (status IN ('running', 'done', 'failed', 'cancelled')),
    CONSTRAINT report_run_finished_at_not_before_started_at CHECK (finished_at >= started_at),
    CONSTRAINT report_run_row_count_not_negative CHECK (row_count >= 0),
    CONSTRAINT report_run_duration_ms_not_negative CHECK (duration_ms >= 0)
) PARTITION BY RANGE (started_at);

COMMENT ON TABLE payroll.report_run IS
    'Execution of a report with parameters and size; append only.';

-- FK: the report runs of a user account.
CREATE INDEX report_run_run_by_idx
    ON payroll.report_run (business_id, run_by)
    WHERE run_by IS NOT NULL;

-- FK: the report runs of a report definition.
CREATE INDEX report_run_report_definition_idx
    ON payroll.report_run (business_id, report_definition_id);

-- FK: the report runs of a file object.
CREATE INDEX report_run_file_object_idx
    ON payroll.report_run (business_id, file_object_id)
    WHERE file_object_id IS NOT NULL;

ALTER TABLE payroll.report_run ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.report_run
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON payroll.report_run TO app_user;
GRANT SELECT ON payroll.report_run TO app_readonly;

CREATE TRIGGER report_run_append_only
    BEFORE UPDATE OR DELETE ON payroll.report_run
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('payroll.report_run');

CREATE TABLE payroll.report_run_default PARTITION OF payroll.report_run DEFAULT;
ALTER TABLE payroll.report_run_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.report_run_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('payroll.report_run', 'month', behind => 13, ahead => 3);
