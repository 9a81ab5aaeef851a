/*
 * TODO: what the area is and how its tables relate.
 *
 * Payroll administrators: calendars, codes, standing earnings and deductions, garnishments and
 * one-time inputs.
 */

CREATE TABLE payroll.pay_schedule (
    business_id                 uuid             NOT NULL,
    pay_schedule_id             uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    employer_entity_id          uuid             NOT NULL,
    code                        system_core.code NOT NULL,
    name                        text             NOT NULL,
    frequency                   text             NOT NULL,
    anchor_period_end           date,
    days_in_arrears             integer,
    funding_lead_business_days  integer,
    approval_lead_business_days integer,
    weekend_rule                text             NOT NULL,
    auto_pilot                  boolean          NOT NULL DEFAULT false,
    next_check_date             date,
    is_active                   boolean          NOT NULL DEFAULT false,
    created_at                  timestamptz      NOT NULL DEFAULT now(),
    updated_at                  timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, pay_schedule_id),
    UNIQUE (business_id, employer_entity_id, code),
    FOREIGN KEY (business_id, employer_entity_id)
        REFERENCES payroll.employer_entity (business_id, employer_entity_id),
    CONSTRAINT pay_schedule_frequency_known
        CHECK (frequency IN ('weekly', 'biweekly', 'semimonthly', 'monthly', 'quarterly')),
    CONSTRAINT pay_schedule_weekend_rule_known
        CHECK (weekend_rule IN ('previous_business_day', 'next_business_day')),
    CONSTRAINT pay_schedule_funding_lead_business_days_known
        CHECK (funding_lead_business_days IN (0,1,2,4))
);

COMMENT ON TABLE payroll.pay_schedule IS
    'Pay calendar: frequency, anchor, processing lead, which groups it pays.';
-- RULE frequency satisfies the strictest state of its locations (function)

ALTER TABLE payroll.pay_schedule ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.pay_schedule
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.pay_schedule TO app_user;
GRANT SELECT ON payroll.pay_schedule TO app_readonly;

CREATE TRIGGER pay_schedule_touch
    BEFORE UPDATE ON payroll.pay_schedule
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.earning_code (
    business_id             uuid                 NOT NULL,
    earning_code_id         uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    code                    system_core.code     NOT NULL,
    name                    text                 NOT NULL,
    earning_kind            text                 NOT NULL,
    multiplier              system_core.quantity,
    is_supplemental         boolean              NOT NULL DEFAULT false,
    in_regular_rate         boolean              NOT NULL DEFAULT false,
    taxable_federal         boolean              NOT NULL DEFAULT false,
    taxable_social_security boolean              NOT NULL DEFAULT false,
    taxable_medicare        boolean              NOT NULL DEFAULT false,
    taxable_state           boolean              NOT NULL DEFAULT false,
    w2_box                  text,
    counts_for_401k         boolean              NOT NULL DEFAULT false,
    gl_segment              text,
    is_active               boolean              NOT NULL DEFAULT false,
    created_at              timestamptz          NOT NULL DEFAULT now(),
    updated_at              timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, earning_code_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT earning_code_earning_kind_known
        CHECK (earning_kind IN ('regular', 'overtime', 'doubletime', 'holiday', 'pto', 'bonus',
               'commission', 'tips', 'severance', 'reimbursement', 'imputed', 'piece', 'premium')),
    CONSTRAINT earning_code_multiplier_bounded CHECK (multiplier BETWEEN 0 AND 3)
);

COMMENT ON TABLE payroll.earning_code IS 'Kind of pay with its tax and overtime treatment.';
-- RULE reimbursements are not taxable
-- RULE supplemental earnings may use the 22 percent flat rate

ALTER TABLE payroll.earning_code ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.earning_code
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.earning_code TO app_user;
GRANT SELECT ON payroll.earning_code TO app_readonly;

CREATE TRIGGER earning_code_touch
    BEFORE UPDATE ON payroll.earning_code
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.deduction_code (
    business_id           uuid              NOT NULL,
    deduction_code_id     uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    benefit_plan_id       uuid,
    code                  system_core.code  NOT NULL,
    name                  text              NOT NULL,
    category              text              NOT NULL,
    tax_treatment         text              NOT NULL,
    calculation           text              NOT NULL,
    annual_limit_amount   system_core.money,
    catch_up_limit_amount system_core.money,
    priority              integer,
    arrears_allowed       boolean           NOT NULL DEFAULT false,
    w2_box_code           system_core.code,
    gl_segment            text,
    is_active             boolean           NOT NULL DEFAULT false,
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, deduction_code_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT deduction_code_category_known
        CHECK (category IN ('health', 'dental', 'vision', 'hsa', 'fsa', 'retirement_pretax',
               'roth', 'garnishment', 'union_dues', 'loan', 'charity', 'life_over_50k', 'other')),
    CONSTRAINT deduction_code_tax_treatment_known
        CHECK (tax_treatment IN ('section_125', 'deferral_401k', 'post_tax', 'employer_only')),
    CONSTRAINT deduction_code_calculation_known
        CHECK (calculation IN ('flat', 'percent_gross', 'percent_disposable', 'per_hour',
               'tiered'))
);

COMMENT ON TABLE payroll.deduction_code IS
    'Kind of deduction or employer contribution with its order and tax effect.';
-- RULE priority between 1 and 999, taxes before all
-- RULE catch_up_limit_amount only for retirement kinds

-- FK: the deduction codes of a benefit plan.
CREATE INDEX deduction_code_benefit_plan_idx
    ON payroll.deduction_code (business_id, benefit_plan_id)
    WHERE benefit_plan_id IS NOT NULL;

ALTER TABLE payroll.deduction_code ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.deduction_code
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.deduction_code TO app_user;
GRANT SELECT ON payroll.deduction_code TO app_readonly;

CREATE TRIGGER deduction_code_touch
    BEFORE UPDATE ON payroll.deduction_code
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.garnishment_agency (
    business_id           uuid              NOT NULL,
    garnishment_agency_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    postal_address_id     uuid,
    name                  text              NOT NULL,
    agency_kind           text              NOT NULL,
    state_code            text,
    fips_code             system_core.code,
    payment_method        text              NOT NULL,
    routing_token         text,
    requires_fips         boolean           NOT NULL DEFAULT false,
    remittance_due_days   integer,
    contact_phone         system_core.phone,
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, garnishment_agency_id),
    UNIQUE (business_id, name, state_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, postal_address_id)
        REFERENCES system_core.postal_address (business_id, postal_address_id),
    CONSTRAINT garnishment_agency_agency_kind_known
        CHECK (agency_kind IN ('child_support_sdu', 'irs', 'state_tax', 'court',
               'bankruptcy_trustee', 'student_loan', 'creditor')),
    CONSTRAINT garnishment_agency_payment_method_known
        CHECK (payment_method IN ('eft', 'check', 'portal'))
);

COMMENT ON TABLE payroll.garnishment_agency IS
    'Court, agency or creditor that receives withheld money.';
-- RULE remittance_due_days <= 7 for child support
-- RULE fips_code is not null when requires_fips

-- FK: the garnishment agencys of a postal address.
CREATE INDEX garnishment_agency_postal_address_idx
    ON payroll.garnishment_agency (business_id, postal_address_id)
    WHERE postal_address_id IS NOT NULL;

ALTER TABLE payroll.garnishment_agency ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.garnishment_agency
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.garnishment_agency TO app_user;
GRANT SELECT ON payroll.garnishment_agency TO app_readonly;

CREATE TRIGGER garnishment_agency_touch
    BEFORE UPDATE ON payroll.garnishment_agency
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.pay_period (
    business_id          uuid        NOT NULL,
    pay_period_id        uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    pay_schedule_id      uuid        NOT NULL,
    period_no            integer,
    tax_year             integer,
    starts_on            date        NOT NULL,
    ends_on              date        NOT NULL,
    check_date           date,
    input_deadline_at    timestamptz,
    approval_deadline_at timestamptz,
    status               text        NOT NULL DEFAULT 'future',
    working_days         integer,
    is_third_check_month date,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, pay_period_id),
    UNIQUE (business_id, pay_schedule_id, starts_on),
    FOREIGN KEY (business_id, pay_schedule_id)
        REFERENCES payroll.pay_schedule (business_id, pay_schedule_id),
    CONSTRAINT pay_period_status_known
        CHECK (status IN ('future', 'open', 'in_processing', 'paid', 'closed'))
);

COMMENT ON TABLE payroll.pay_period IS
    'One period of a schedule with its check date and deadlines.';
-- RULE periods of a schedule do not overlap (exclusion constraint)
-- RULE check_date >= ends_on or paid current
-- RULE tax_year is the year of check_date

ALTER TABLE payroll.pay_period ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.pay_period
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.pay_period TO app_user;
GRANT SELECT ON payroll.pay_period TO app_readonly;

CREATE TRIGGER pay_period_touch
    BEFORE UPDATE ON payroll.pay_period
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.recurring_earning (
    business_id          uuid              NOT NULL,
    recurring_earning_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    approved_by          uuid,
    employee_id          uuid              NOT NULL,
    earning_code_id      uuid              NOT NULL,
    amount               system_core.money,
    unit                 text              NOT NULL,
    effective_from       date              NOT NULL,
    effective_until      date,
    total_goal_amount    system_core.money,
    paid_to_date_amount  system_core.money,
    cost_center          text,
    note                 text,
    created_at           timestamptz       NOT NULL DEFAULT now(),
    updated_at           timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, recurring_earning_id),
    FOREIGN KEY (business_id, approved_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, earning_code_id)
        REFERENCES payroll.earning_code (business_id, earning_code_id),
    CONSTRAINT recurring_earning_unit_known
        CHECK (unit IN ('per_period', 'per_month', 'per_hour', 'percent_of_base')),
    CONSTRAINT recurring_earning_amount_positive CHECK (amount > 0),
    CONSTRAINT recurring_earning_paid_to_date_amount_total_goal_amount
        CHECK (paid_to_date_amount <= total_goal_amount)
);

COMMENT ON TABLE payroll.recurring_earning IS
    'Standing earning of an employee: car allowance, phone, guaranteed bonus.';
-- RULE no overlap of the same code (exclusion constraint)

-- FK: the recurring earnings of a user account.
CREATE INDEX recurring_earning_approved_by_idx
    ON payroll.recurring_earning (business_id, approved_by)
    WHERE approved_by IS NOT NULL;

-- FK: the recurring earnings of a employee.
CREATE INDEX recurring_earning_employee_idx
    ON payroll.recurring_earning (business_id, employee_id);

-- FK: the recurring earnings of a earning code.
CREATE INDEX recurring_earning_earning_code_idx
    ON payroll.recurring_earning (business_id, earning_code_id);

ALTER TABLE payroll.recurring_earning ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.recurring_earning
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.recurring_earning TO app_user;
GRANT SELECT ON payroll.recurring_earning TO app_readonly;

CREATE TRIGGER recurring_earning_touch
    BEFORE UPDATE ON payroll.recurring_earning
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.garnishment_order (
    business_id             uuid                   NOT NULL,
    garnishment_order_id    uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    order_file_object_id    uuid,
    employee_id             uuid                   NOT NULL,
    garnishment_agency_id   uuid                   NOT NULL,
    case_number             text                   NOT NULL,
    order_kind              text                   NOT NULL,
    received_on             date,
    effective_on            date,
    withholding_amount      system_core.money,
    withholding_percent     system_core.percentage,
    max_percent_disposable  system_core.quantity,
    arrears_over_12_weeks   boolean                NOT NULL DEFAULT false,
    supports_second_family  boolean                NOT NULL DEFAULT false,
    priority                integer,
    total_owed_amount       system_core.money,
    withheld_to_date_amount system_core.money,
    status                  text                   NOT NULL DEFAULT 'pending',
    employer_fee_amount     system_core.money,
    created_at              timestamptz            NOT NULL DEFAULT now(),
    updated_at              timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, garnishment_order_id),
    UNIQUE (business_id, employee_id, case_number),
    FOREIGN KEY (business_id, order_file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, garnishment_agency_id)
        REFERENCES payroll.garnishment_agency (business_id, garnishment_agency_id),
    CONSTRAINT garnishment_order_order_kind_known
        CHECK (order_kind IN ('child_support', 'spousal_support', 'federal_tax_levy',
               'state_tax_levy', 'creditor', 'student_loan', 'bankruptcy')),
    CONSTRAINT garnishment_order_status_known
        CHECK (status IN ('pending', 'active', 'suspended', 'satisfied', 'released')),
    CONSTRAINT garnishment_order_withheld_to_date_amount_total_owed_amoun
        CHECK (withheld_to_date_amount <= total_owed_amount)
);

COMMENT ON TABLE payroll.garnishment_order IS
    'Order to withhold: support, levy, creditor, loan, with limits and priority.';
-- RULE max_percent_disposable between 50 and 65 for support, 25 for creditors, 15 for student loans
-- RULE support comes before all but earlier tax levies (function)

-- FK: the garnishment orders of a file object.
CREATE INDEX garnishment_order_order_file_object_idx
    ON payroll.garnishment_order (business_id, order_file_object_id)
    WHERE order_file_object_id IS NOT NULL;

-- FK: the garnishment orders of a garnishment agency.
CREATE INDEX garnishment_order_garnishment_agency_idx
    ON payroll.garnishment_order (business_id, garnishment_agency_id);

ALTER TABLE payroll.garnishment_order ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.garnishment_order
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.garnishment_order TO app_user;
GRANT SELECT ON payroll.garnishment_order TO app_readonly;

CREATE TRIGGER garnishment_order_touch
    BEFORE UPDATE ON payroll.garnishment_order
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.variable_pay_input (
    business_id           uuid              NOT NULL,
    variable_pay_input_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    entered_by            uuid,
    employee_id           uuid              NOT NULL,
    pay_period_id         uuid              NOT NULL,
    earning_code_id       uuid              NOT NULL,
    pay_run_id            uuid,
    import_batch_id       uuid,
    hours                 numeric(9, 2),
    amount                system_core.money,
    units                 text,
    rate_amount           system_core.money,
    input_kind            text              NOT NULL,
    desired_net_amount    system_core.money,
    description           text,
    source                text              NOT NULL,
    status                text              NOT NULL DEFAULT 'draft',
    approved_at           timestamptz,
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, variable_pay_input_id),
    FOREIGN KEY (business_id, entered_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, pay_period_id)
        REFERENCES payroll.pay_period (business_id, pay_period_id),
    FOREIGN KEY (business_id, earning_code_id)
        REFERENCES payroll.earning_code (business_id, earning_code_id),
    FOREIGN KEY (business_id, import_batch_id)
        REFERENCES system_core.import_batch (business_id, import_batch_id),
    CONSTRAINT variable_pay_input_input_kind_known
        CHECK (input_kind IN ('bonus', 'commission', 'tips', 'reimbursement', 'hours',
               'correction', 'gross_up')),
    CONSTRAINT variable_pay_input_source_known
        CHECK (source IN ('manual', 'import', 'api', 'timesheet')),
    CONSTRAINT variable_pay_input_status_known
        CHECK (status IN ('draft', 'approved', 'consumed', 'rejected')),
    CONSTRAINT variable_pay_input_num_nonnulls_amount_hours_units_desired
        CHECK (num_nonnulls(amount, hours, units, desired_net_amount) >= 1)
);

COMMENT ON TABLE payroll.variable_pay_input IS
    'One-time pay for a period: bonus, commission, tips, reimbursement, hours import.';
-- RULE desired_net_amount is not null exactly for gross_up
-- RULE consumed inputs carry a pay_run

-- FK: the variable pay inputs of a user account.
CREATE INDEX variable_pay_input_entered_by_idx
    ON payroll.variable_pay_input (business_id, entered_by)
    WHERE entered_by IS NOT NULL;

-- FK: the variable pay inputs of a employee.
CREATE INDEX variable_pay_input_employee_idx
    ON payroll.variable_pay_input (business_id, employee_id);

-- FK: the variable pay inputs of a pay period.
CREATE INDEX variable_pay_input_pay_period_idx
    ON payroll.variable_pay_input (business_id, pay_period_id);

-- FK: the variable pay inputs of a earning code.
CREATE INDEX variable_pay_input_earning_code_idx
    ON payroll.variable_pay_input (business_id, earning_code_id);

-- FK: the variable pay inputs of a pay run.
CREATE INDEX variable_pay_input_pay_run_idx
    ON payroll.variable_pay_input (business_id, pay_run_id)
    WHERE pay_run_id IS NOT NULL;

-- FK: the variable pay inputs of a import batch.
CREATE INDEX variable_pay_input_import_batch_idx
    ON payroll.variable_pay_input (business_id, import_batch_id)
    WHERE import_batch_id IS NOT NULL;

ALTER TABLE payroll.variable_pay_input ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.variable_pay_input
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.variable_pay_input TO app_user;
GRANT SELECT ON payroll.variable_pay_input TO app_readonly;

CREATE TRIGGER variable_pay_input_touch
    BEFORE UPDATE ON payroll.variable_pay_input
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.employee_deduction (
    business_id           uuid                   NOT NULL,
    employee_deduction_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id           uuid                   NOT NULL,
    deduction_code_id     uuid                   NOT NULL,
    benefit_enrollment_id uuid,
    garnishment_order_id  uuid,
    amount                system_core.money,
    percent               system_core.percentage,
    employer_amount       system_core.money,
    employer_percent      system_core.percentage,
    effective_from        date                   NOT NULL,
    effective_until       date,
    goal_amount           system_core.money,
    taken_to_date_amount  system_core.money,
    arrears_amount        system_core.money,
    frequency             text                   NOT NULL,
    stop_reason           text,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, employee_deduction_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, deduction_code_id)
        REFERENCES payroll.deduction_code (business_id, deduction_code_id),
    FOREIGN KEY (business_id, garnishment_order_id)
        REFERENCES payroll.garnishment_order (business_id, garnishment_order_id),
    CONSTRAINT employee_deduction_frequency_known
        CHECK (frequency IN ('every_period', 'first_two_of_month', 'monthly')),
    CONSTRAINT employee_deduction_percent_bounded CHECK (percent BETWEEN 0 AND 100),
    CONSTRAINT employee_deduction_taken_to_date_amount_goal_amount
        CHECK (taken_to_date_amount <= goal_amount)
);

COMMENT ON TABLE payroll.employee_deduction IS
    'Standing deduction of an employee with limits and arrears.';
-- RULE exactly one of amount and percent
-- RULE at most one of benefit_enrollment_id and garnishment_order_id

-- FK: the employee deductions of a employee.
CREATE INDEX employee_deduction_employee_idx
    ON payroll.employee_deduction (business_id, employee_id);

-- FK: the employee deductions of a deduction code.
CREATE INDEX employee_deduction_deduction_code_idx
    ON payroll.employee_deduction (business_id, deduction_code_id);

-- FK: the employee deductions of a benefit enrollment.
CREATE INDEX employee_deduction_benefit_enrollment_idx
    ON payroll.employee_deduction (business_id, benefit_enrollment_id)
    WHERE benefit_enrollment_id IS NOT NULL;

-- FK: the employee deductions of a garnishment order.
CREATE INDEX employee_deduction_garnishment_order_idx
    ON payroll.employee_deduction (business_id, garnishment_order_id)
    WHERE garnishment_order_id IS NOT NULL;

ALTER TABLE payroll.employee_deduction ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.employee_deduction
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.employee_deduction TO app_user;
GRANT SELECT ON payroll.employee_deduction TO app_readonly;

CREATE TRIGGER employee_deduction_touch
    BEFORE UPDATE ON payroll.employee_deduction
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


-- Closes the circle with an earlier file.
ALTER TABLE payroll.timesheet
    ADD FOREIGN KEY (business_id, pay_period_id) REFERENCES payroll.pay_period (business_id, pay_period_id);

-- Closes the circle with an earlier file.
ALTER TABLE payroll.pay_premium_rule
    ADD FOREIGN KEY (business_id, earning_code_id) REFERENCES payroll.earning_code (business_id, earning_code_id);

-- Closes the circle with an earlier file.
ALTER TABLE payroll.timesheet_entry
    ADD FOREIGN KEY (business_id, earning_code_id) REFERENCES payroll.earning_code (business_id, earning_code_id);

-- Closes the circle with an earlier file.
ALTER TABLE payroll.time_off_policy
    ADD FOREIGN KEY (business_id, earning_code_id) REFERENCES payroll.earning_code (business_id, earning_code_id);
