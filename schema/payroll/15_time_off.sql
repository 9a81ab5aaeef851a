/*
 * TODO: what the area is and how its tables relate.
 *
 * Everyone: paid time off and protected leave with an accrual ledger.
 */

CREATE TABLE payroll.time_off_policy (
    business_id              uuid             NOT NULL,
    time_off_policy_id       uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    earning_code_id          uuid             NOT NULL,
    holiday_calendar_id      uuid,
    code                     system_core.code NOT NULL,
    name                     text             NOT NULL,
    leave_kind               text             NOT NULL,
    accrual_method           text             NOT NULL,
    accrual_per_hour_rate    system_core.rate,
    annual_cap_hours         numeric(9, 2),
    balance_cap_hours        numeric(9, 2),
    carryover_hours          numeric(9, 2),
    carryover_expires_months integer,
    waiting_days             integer,
    pays_out_on_termination  boolean          NOT NULL DEFAULT false,
    allows_negative_hours    numeric(9, 2),
    is_state_mandated        boolean          NOT NULL DEFAULT false,
    created_at               timestamptz      NOT NULL DEFAULT now(),
    updated_at               timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, time_off_policy_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id, holiday_calendar_id)
        REFERENCES system_core.holiday_calendar (business_id, holiday_calendar_id),
    CONSTRAINT time_off_policy_leave_kind_known
        CHECK (leave_kind IN ('vacation', 'sick', 'pto', 'personal', 'bereavement', 'jury',
               'parental', 'unpaid')),
    CONSTRAINT time_off_policy_accrual_method_known
        CHECK (accrual_method IN ('per_hour_worked', 'per_pay_period', 'annual_front_load',
               'anniversary', 'unlimited')),
    CONSTRAINT time_off_policy_balance_cap_hours_at_least_annual_cap_hours
        CHECK (balance_cap_hours >= annual_cap_hours),
    CONSTRAINT time_off_policy_carryover_hours_not_negative CHECK (carryover_hours >= 0)
);

COMMENT ON TABLE payroll.time_off_policy IS
    'Paid or unpaid leave plan with accrual, carry-over and payout rules.';
-- RULE mandated sick leave accrues at least 1 hour per 30 worked

-- FK: the time off policys of a earning code.
CREATE INDEX time_off_policy_earning_code_idx
    ON payroll.time_off_policy (business_id, earning_code_id);

-- FK: the time off policys of a holiday calendar.
CREATE INDEX time_off_policy_holiday_calendar_idx
    ON payroll.time_off_policy (business_id, holiday_calendar_id)
    WHERE holiday_calendar_id IS NOT NULL;

ALTER TABLE payroll.time_off_policy ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.time_off_policy
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.time_off_policy TO app_user;
GRANT SELECT ON payroll.time_off_policy TO app_readonly;

CREATE TRIGGER time_off_policy_touch
    BEFORE UPDATE ON payroll.time_off_policy
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.leave_case (
    business_id                  uuid          NOT NULL,
    leave_case_id                uuid          NOT NULL DEFAULT system_core.uuid_v7(),
    case_manager_user_account_id uuid,
    employee_id                  uuid          NOT NULL,
    case_number                  text          NOT NULL,
    leave_law                    text          NOT NULL,
    reason                       text          NOT NULL,
    is_intermittent              boolean       NOT NULL DEFAULT false,
    certification_due_on         date,
    certified_on                 date,
    entitled_weeks               integer,
    used_hours                   numeric(9, 2),
    starts_on                    date          NOT NULL,
    expected_return_on           date,
    returned_on                  date,
    benefits_continued           boolean       NOT NULL DEFAULT false,
    status                       text          NOT NULL DEFAULT 'requested',
    created_at                   timestamptz   NOT NULL DEFAULT now(),
    updated_at                   timestamptz   NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, leave_case_id),
    UNIQUE (business_id, case_number),
    FOREIGN KEY (business_id, case_manager_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    CONSTRAINT leave_case_leave_law_known
        CHECK (leave_law IN ('fmla', 'state_pfml', 'military', 'disability', 'ada',
               'workers_comp')),
    CONSTRAINT leave_case_reason_known
        CHECK (reason IN ('own_health', 'birth', 'adoption', 'family_care', 'military_family',
               'injury')),
    CONSTRAINT leave_case_status_known
        CHECK (status IN ('requested', 'designated', 'denied', 'active', 'exhausted', 'closed')),
    CONSTRAINT leave_case_entitled_weeks CHECK (entitled_weeks <= 26)
);

COMMENT ON TABLE payroll.leave_case IS
    'Protected leave: FMLA, state family leave, military, disability.';
-- RULE fmla needs 12 months and 1,250 hours (function)
-- RULE used_hours <= entitled_weeks * weekly hours

-- FK: the leave cases of a user account.
CREATE INDEX leave_case_case_manager_user_account_idx
    ON payroll.leave_case (business_id, case_manager_user_account_id)
    WHERE case_manager_user_account_id IS NOT NULL;

-- FK: the leave cases of a employee.
CREATE INDEX leave_case_employee_idx
    ON payroll.leave_case (business_id, employee_id);

ALTER TABLE payroll.leave_case ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.leave_case
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.leave_case TO app_user;
GRANT SELECT ON payroll.leave_case TO app_readonly;

CREATE TRIGGER leave_case_touch
    BEFORE UPDATE ON payroll.leave_case
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.accrual_tier (
    business_id         uuid                 NOT NULL,
    accrual_tier_id     uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    time_off_policy_id  uuid                 NOT NULL,
    tier_no             integer,
    from_service_months integer,
    to_service_months   integer,
    hours_per_year      system_core.quantity,
    hours_per_period    system_core.quantity,
    max_balance_hours   numeric(9, 2),
    front_load_hours    numeric(9, 2),
    created_at          timestamptz          NOT NULL DEFAULT now(),
    updated_at          timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, accrual_tier_id),
    UNIQUE (business_id, time_off_policy_id, tier_no),
    FOREIGN KEY (business_id, time_off_policy_id)
        REFERENCES payroll.time_off_policy (business_id, time_off_policy_id),
    CONSTRAINT accrual_tier_hours_per_year_bounded CHECK (hours_per_year BETWEEN 0 AND 520)
);

COMMENT ON TABLE payroll.accrual_tier IS 'Accrual rate by length of service.';
-- RULE tiers are contiguous from 0 (trigger)

ALTER TABLE payroll.accrual_tier ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.accrual_tier
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.accrual_tier TO app_user;
GRANT SELECT ON payroll.accrual_tier TO app_readonly;

CREATE TRIGGER accrual_tier_touch
    BEFORE UPDATE ON payroll.accrual_tier
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.time_off_enrollment (
    business_id            uuid          NOT NULL,
    time_off_enrollment_id uuid          NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id            uuid          NOT NULL,
    time_off_policy_id     uuid          NOT NULL,
    enrolled_on            date,
    ended_on               date,
    balance_hours          numeric(9, 2),
    pending_hours          numeric(9, 2),
    accrued_ytd_hours      numeric(9, 2),
    used_ytd_hours         numeric(9, 2),
    carryover_hours        numeric(9, 2),
    last_posted_on         date,
    next_tier_on           date,
    created_at             timestamptz   NOT NULL DEFAULT now(),
    updated_at             timestamptz   NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, time_off_enrollment_id),
    UNIQUE (business_id, employee_id, time_off_policy_id, enrolled_on),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, time_off_policy_id)
        REFERENCES payroll.time_off_policy (business_id, time_off_policy_id)
);

COMMENT ON TABLE payroll.time_off_enrollment IS
    'Employee in a policy with the balance as of the last posting.';
-- RULE balance_hours is never below minus the policy's allows_negative_hours (trigger)
-- RULE balance equals the ledger sum (checked nightly)

-- FK: the time off enrollments of a time off policy.
CREATE INDEX time_off_enrollment_time_off_policy_idx
    ON payroll.time_off_enrollment (business_id, time_off_policy_id);

ALTER TABLE payroll.time_off_enrollment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.time_off_enrollment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.time_off_enrollment TO app_user;
GRANT SELECT ON payroll.time_off_enrollment TO app_readonly;

CREATE TRIGGER time_off_enrollment_touch
    BEFORE UPDATE ON payroll.time_off_enrollment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.time_off_request (
    business_id              uuid                 NOT NULL,
    time_off_request_id      uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    decided_by               uuid,
    employee_id              uuid                 NOT NULL,
    time_off_policy_id       uuid                 NOT NULL,
    leave_case_id            uuid,
    starts_on                date                 NOT NULL,
    ends_on                  date                 NOT NULL,
    hours_requested          system_core.quantity,
    day_part                 text                 NOT NULL,
    status                   text                 NOT NULL DEFAULT 'draft',
    submitted_at             timestamptz,
    decided_at               timestamptz,
    denial_reason            text,
    conflicts_found          integer,
    employee_note            text,
    balance_at_request_hours numeric(9, 2),
    created_at               timestamptz          NOT NULL DEFAULT now(),
    updated_at               timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, time_off_request_id),
    FOREIGN KEY (business_id, decided_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, time_off_policy_id)
        REFERENCES payroll.time_off_policy (business_id, time_off_policy_id),
    FOREIGN KEY (business_id, leave_case_id)
        REFERENCES payroll.leave_case (business_id, leave_case_id),
    CONSTRAINT time_off_request_day_part_known
        CHECK (day_part IN ('full', 'first_half', 'second_half', 'hours')),
    CONSTRAINT time_off_request_status_known
        CHECK (status IN ('draft', 'submitted', 'approved', 'denied', 'cancelled', 'taken',
               'partly_taken')),
    CONSTRAINT time_off_request_ends_on_not_before_starts_on CHECK (ends_on >= starts_on),
    CONSTRAINT time_off_request_decided_at_not_before_submitted_at
        CHECK (decided_at >= submitted_at),
    CONSTRAINT time_off_request_hours_requested_positive CHECK (hours_requested > 0)
);

COMMENT ON TABLE payroll.time_off_request IS
    'Request for days or hours off with decision and coverage.';
-- RULE approved requests of one employee do not overlap (exclusion constraint)

-- FK: the time off requests of a user account.
CREATE INDEX time_off_request_decided_by_idx
    ON payroll.time_off_request (business_id, decided_by)
    WHERE decided_by IS NOT NULL;

-- FK: the time off requests of a employee.
CREATE INDEX time_off_request_employee_idx
    ON payroll.time_off_request (business_id, employee_id);

-- FK: the time off requests of a time off policy.
CREATE INDEX time_off_request_time_off_policy_idx
    ON payroll.time_off_request (business_id, time_off_policy_id);

-- FK: the time off requests of a leave case.
CREATE INDEX time_off_request_leave_case_idx
    ON payroll.time_off_request (business_id, leave_case_id)
    WHERE leave_case_id IS NOT NULL;

ALTER TABLE payroll.time_off_request ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.time_off_request
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.time_off_request TO app_user;
GRANT SELECT ON payroll.time_off_request TO app_readonly;

CREATE TRIGGER time_off_request_touch
    BEFORE UPDATE ON payroll.time_off_request
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER time_off_request_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.time_off_request
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":        ["submitted", "cancelled"],
            "submitted":    ["approved", "denied", "cancelled"],
            "approved":     ["taken", "partly_taken", "cancelled"],
            "denied":       [],
            "cancelled":    [],
            "taken":        [],
            "partly_taken": []
        }}');


CREATE TABLE payroll.time_off_ledger_entry (
    business_id              uuid          NOT NULL,
    time_off_ledger_entry_id uuid          NOT NULL DEFAULT system_core.uuid_v7(),
    time_off_enrollment_id   uuid          NOT NULL,
    time_off_request_id      uuid,
    paycheck_id              uuid,
    entry_date               date          NOT NULL,
    entry_kind               text          NOT NULL,
    hours                    numeric(9, 2),
    balance_after_hours      numeric(9, 2),
    pay_period_key           uuid,
    reason                   text,
    posted_at                timestamptz,
    posted_by_job            text,
    is_reversed              boolean       NOT NULL DEFAULT false,
    created_at               timestamptz   NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, time_off_ledger_entry_id, entry_date),
    FOREIGN KEY (business_id, time_off_enrollment_id)
        REFERENCES payroll.time_off_enrollment (business_id, time_off_enrollment_id),
    FOREIGN KEY (business_id, time_off_request_id)
        REFERENCES payroll.time_off_request (business_id, time_off_request_id),
    CONSTRAINT time_off_ledger_entry_entry_kind_known
        CHECK (entry_kind IN ('accrual', 'use', 'carryover', 'expiry', 'payout', 'adjustment',
               'transfer', 'reversal'))
) PARTITION BY RANGE (entry_date);

COMMENT ON TABLE payroll.time_off_ledger_entry IS
    'Accrual, use, carry-over, expiry, payout or correction in hours; append only.';
-- RULE hours <> 0, sign fits entry_kind
-- RULE balance_after_hours is the previous balance plus hours (trigger)
-- RULE append only, corrected by reversal

-- FK: the time off ledger entrys of a time off enrollment.
CREATE INDEX time_off_ledger_entry_time_off_enrollment_idx
    ON payroll.time_off_ledger_entry (business_id, time_off_enrollment_id);

-- FK: the time off ledger entrys of a time off request.
CREATE INDEX time_off_ledger_entry_time_off_request_idx
    ON payroll.time_off_ledger_entry (business_id, time_off_request_id)
    WHERE time_off_request_id IS NOT NULL;

-- FK: the time off ledger entrys of a paycheck.
CREATE INDEX time_off_ledger_entry_paycheck_idx
    ON payroll.time_off_ledger_entry (business_id, paycheck_id)
    WHERE paycheck_id IS NOT NULL;

ALTER TABLE payroll.time_off_ledger_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.time_off_ledger_entry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON payroll.time_off_ledger_entry TO app_user;
GRANT SELECT ON payroll.time_off_ledger_entry TO app_readonly;

CREATE TRIGGER time_off_ledger_entry_append_only
    BEFORE UPDATE OR DELETE ON payroll.time_off_ledger_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('payroll.time_off_ledger_entry');

CREATE TABLE payroll.time_off_ledger_entry_default PARTITION OF payroll.time_off_ledger_entry DEFAULT;
ALTER TABLE payroll.time_off_ledger_entry_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.time_off_ledger_entry_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('payroll.time_off_ledger_entry', 'month', behind => 13, ahead => 3);
