/*
 * TODO: what the area is and how its tables relate.
 *
 * The pay run: from draft through calculation, checks and approval to paychecks with full detail.
 */

CREATE TABLE payroll.pay_run (
    business_id          uuid                     NOT NULL,
    pay_run_id           uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    prepared_by          uuid,
    pay_schedule_id      uuid                     NOT NULL,
    pay_period_id        uuid,
    employer_entity_id   uuid                     NOT NULL,
    run_number           text                     NOT NULL,
    run_kind             text                     NOT NULL,
    status               text                     NOT NULL DEFAULT 'draft',
    check_date           date,
    gross_amount         system_core.money,
    net_amount           system_core.money,
    employee_tax_amount  system_core.money,
    employer_tax_amount  system_core.money,
    deduction_amount     system_core.money,
    employer_cost_amount system_core.money,
    employee_count       integer,
    calculated_at        timestamptz,
    calculation_ms       system_core.milliseconds,
    created_at           timestamptz              NOT NULL DEFAULT now(),
    updated_at           timestamptz              NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, pay_run_id),
    UNIQUE (business_id, run_number),
    FOREIGN KEY (business_id, prepared_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, pay_schedule_id)
        REFERENCES payroll.pay_schedule (business_id, pay_schedule_id),
    FOREIGN KEY (business_id, pay_period_id)
        REFERENCES payroll.pay_period (business_id, pay_period_id),
    FOREIGN KEY (business_id, employer_entity_id)
        REFERENCES payroll.employer_entity (business_id, employer_entity_id),
    CONSTRAINT pay_run_run_kind_known
        CHECK (run_kind IN ('regular', 'off_cycle', 'bonus', 'correction', 'termination',
               'gross_up', 'third_party_sick', 'historical_import')),
    CONSTRAINT pay_run_status_known
        CHECK (status IN ('draft', 'calculating', 'calculated', 'in_review', 'approved', 'funded',
               'paid', 'partially_returned', 'reversed', 'cancelled')),
    CONSTRAINT pay_run_gross_amount_net_amount_employee_tax_amo
        CHECK (gross_amount = net_amount + employee_tax_amount + deduction_amount)
);

COMMENT ON TABLE payroll.pay_run IS 'One run of a period or an off-cycle run.';
-- RULE one regular run per pay period (partial unique)
-- RULE totals equal the sums of paychecks (trigger)

-- FK: the pay runs of a user account.
CREATE INDEX pay_run_prepared_by_idx
    ON payroll.pay_run (business_id, prepared_by)
    WHERE prepared_by IS NOT NULL;

-- FK: the pay runs of a pay schedule.
CREATE INDEX pay_run_pay_schedule_idx
    ON payroll.pay_run (business_id, pay_schedule_id);

-- FK: the pay runs of a pay period.
CREATE INDEX pay_run_pay_period_idx
    ON payroll.pay_run (business_id, pay_period_id)
    WHERE pay_period_id IS NOT NULL;

-- FK: the pay runs of a employer entity.
CREATE INDEX pay_run_employer_entity_idx
    ON payroll.pay_run (business_id, employer_entity_id);

ALTER TABLE payroll.pay_run ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.pay_run
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.pay_run TO app_user;
GRANT SELECT ON payroll.pay_run TO app_readonly;

CREATE TRIGGER pay_run_touch
    BEFORE UPDATE ON payroll.pay_run
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER pay_run_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.pay_run
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":              ["calculating", "cancelled"],
            "calculating":        ["calculated", "draft"],
            "calculated":         ["in_review", "calculating", "draft", "cancelled"],
            "in_review":          ["approved", "draft", "cancelled"],
            "approved":           ["funded", "draft", "cancelled"],
            "funded":             ["paid"],
            "paid":               ["partially_returned", "reversed"],
            "partially_returned": ["paid", "reversed"],
            "reversed":           [],
            "cancelled":          []
        }}');


CREATE TABLE payroll.ytd_accumulator (
    business_id          uuid                 NOT NULL,
    ytd_accumulator_id   uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id          uuid                 NOT NULL,
    employer_entity_id   uuid                 NOT NULL,
    tax_year             integer,
    quarter_no           integer,
    item_kind            text                 NOT NULL,
    item_code            system_core.code,
    jurisdiction_code    system_core.code,
    amount_mtd           system_core.quantity,
    amount_qtd           system_core.quantity,
    amount_ytd           system_core.quantity,
    last_paycheck_key    uuid,
    last_recalculated_at timestamptz,
    is_adjusted          boolean              NOT NULL DEFAULT false,
    created_at           timestamptz          NOT NULL DEFAULT now(),
    updated_at           timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, ytd_accumulator_id),
    UNIQUE (business_id, employee_id, employer_entity_id, tax_year, quarter_no, item_kind, item_code, jurisdiction_code),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, employer_entity_id)
        REFERENCES payroll.employer_entity (business_id, employer_entity_id),
    CONSTRAINT ytd_accumulator_item_kind_known
        CHECK (item_kind IN ('earning', 'deduction', 'tax', 'taxable_wage', 'hours')),
    CONSTRAINT ytd_accumulator_quarter_no_bounded CHECK (quarter_no BETWEEN 1 AND 4)
);

COMMENT ON TABLE payroll.ytd_accumulator IS
    'Year, quarter and month totals per employee and item: the basis of limits and wage bases.';
-- RULE equals the sums of final paycheck lines (checked by function)

-- FK: the ytd accumulators of a employer entity.
CREATE INDEX ytd_accumulator_employer_entity_idx
    ON payroll.ytd_accumulator (business_id, employer_entity_id);

ALTER TABLE payroll.ytd_accumulator ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.ytd_accumulator
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.ytd_accumulator TO app_user;
GRANT SELECT ON payroll.ytd_accumulator TO app_readonly;

CREATE TRIGGER ytd_accumulator_touch
    BEFORE UPDATE ON payroll.ytd_accumulator
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.tip_declaration (
    business_id                uuid              NOT NULL,
    tip_declaration_id         uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id                uuid              NOT NULL,
    pay_period_id              uuid              NOT NULL,
    timesheet_id               uuid,
    declared_on                date,
    cash_tips_amount           system_core.money,
    charged_tips_amount        system_core.money,
    pooled_out_amount          system_core.money,
    pooled_in_amount           system_core.money,
    sales_amount               system_core.money,
    allocated_tips_amount      system_core.money,
    tip_credit_hours           numeric(9, 2),
    tip_credit_amount          system_core.money,
    minimum_wage_makeup_amount system_core.money,
    source                     text              NOT NULL,
    created_at                 timestamptz       NOT NULL DEFAULT now(),
    updated_at                 timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tip_declaration_id),
    UNIQUE (business_id, employee_id, declared_on),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, pay_period_id)
        REFERENCES payroll.pay_period (business_id, pay_period_id),
    FOREIGN KEY (business_id, timesheet_id)
        REFERENCES payroll.timesheet (business_id, timesheet_id),
    CONSTRAINT tip_declaration_source_known CHECK (source IN ('pos', 'self_service', 'import'))
);

COMMENT ON TABLE payroll.tip_declaration IS
    'Tips declared by a tipped employee, pooled and allocated.';
-- RULE tip credit per hour <= minimum wage - cash wage
-- RULE allocated tips when declared < 8 percent of sales (function)
-- RULE makeup is paid when wages and tips stay below the minimum wage

-- FK: the tip declarations of a pay period.
CREATE INDEX tip_declaration_pay_period_idx
    ON payroll.tip_declaration (business_id, pay_period_id);

-- FK: the tip declarations of a timesheet.
CREATE INDEX tip_declaration_timesheet_idx
    ON payroll.tip_declaration (business_id, timesheet_id)
    WHERE timesheet_id IS NOT NULL;

ALTER TABLE payroll.tip_declaration ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.tip_declaration
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.tip_declaration TO app_user;
GRANT SELECT ON payroll.tip_declaration TO app_readonly;

CREATE TRIGGER tip_declaration_touch
    BEFORE UPDATE ON payroll.tip_declaration
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.pay_run_approval (
    business_id              uuid              NOT NULL,
    pay_run_approval_id      uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    approver_user_account_id uuid              NOT NULL,
    pay_run_id               uuid              NOT NULL,
    step_no                  integer,
    approval_role            text              NOT NULL,
    decision                 text              NOT NULL,
    decided_at               timestamptz,
    comment                  text,
    approved_net_amount      system_core.money,
    content_hash             bytea,
    device_note              text,
    created_at               timestamptz       NOT NULL DEFAULT now(),
    updated_at               timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, pay_run_approval_id),
    UNIQUE (business_id, pay_run_id, step_no),
    FOREIGN KEY (business_id, approver_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, pay_run_id) REFERENCES payroll.pay_run (business_id, pay_run_id),
    CONSTRAINT pay_run_approval_approval_role_known
        CHECK (approval_role IN ('payroll_manager', 'finance', 'owner')),
    CONSTRAINT pay_run_approval_decision_known
        CHECK (decision IN ('pending', 'approved', 'returned', 'escalated'))
);

COMMENT ON TABLE payroll.pay_run_approval IS
    'Approval step of a run, by someone other than the preparer.';
-- RULE approver differs from the run's prepared_by (trigger)
-- RULE recalculation after approval voids approvals (trigger: content_hash)

-- FK: the pay run approvals of a user account.
CREATE INDEX pay_run_approval_approver_user_account_idx
    ON payroll.pay_run_approval (business_id, approver_user_account_id);

ALTER TABLE payroll.pay_run_approval ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.pay_run_approval
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.pay_run_approval TO app_user;
GRANT SELECT ON payroll.pay_run_approval TO app_readonly;

CREATE TRIGGER pay_run_approval_touch
    BEFORE UPDATE ON payroll.pay_run_approval
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.pay_run_exception (
    business_id          uuid              NOT NULL,
    pay_run_exception_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    cleared_by           uuid,
    pay_run_id           uuid              NOT NULL,
    employee_id          uuid,
    code                 text              NOT NULL,
    severity             text              NOT NULL,
    message              text,
    amount               system_core.money,
    detected_at          timestamptz,
    status               text              NOT NULL DEFAULT 'open',
    cleared_at           timestamptz,
    override_reason      text,
    created_at           timestamptz       NOT NULL DEFAULT now(),
    updated_at           timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, pay_run_exception_id),
    FOREIGN KEY (business_id, cleared_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, pay_run_id) REFERENCES payroll.pay_run (business_id, pay_run_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    CONSTRAINT pay_run_exception_code_known
        CHECK (code IN ('missing_tax_setup', 'negative_net', 'no_bank_account',
               'unapproved_timesheet', 'below_minimum_wage', 'large_variance', 'missing_w4',
               'garnishment_over_limit', 'duplicate_input', 'unfunded', 'new_hire_no_i9')),
    CONSTRAINT pay_run_exception_severity_known CHECK (severity IN ('blocker', 'warning', 'info')),
    CONSTRAINT pay_run_exception_status_known
        CHECK (status IN ('open', 'fixed', 'overridden', 'ignored')),
    CONSTRAINT pay_run_exception_cleared_at_not_before_detected_at
        CHECK (cleared_at >= detected_at)
);

COMMENT ON TABLE payroll.pay_run_exception IS 'Blocker or warning found in a run.';
-- RULE open blockers stop approval (trigger)
-- RULE overriding needs a reason and is refused for blockers missing_tax_setup and negative_net

-- FK: the pay run exceptions of a user account.
CREATE INDEX pay_run_exception_cleared_by_idx
    ON payroll.pay_run_exception (business_id, cleared_by)
    WHERE cleared_by IS NOT NULL;

-- FK: the pay run exceptions of a pay run.
CREATE INDEX pay_run_exception_pay_run_idx
    ON payroll.pay_run_exception (business_id, pay_run_id);

-- FK: the pay run exceptions of a employee.
CREATE INDEX pay_run_exception_employee_idx
    ON payroll.pay_run_exception (business_id, employee_id)
    WHERE employee_id IS NOT NULL;

ALTER TABLE payroll.pay_run_exception ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.pay_run_exception
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.pay_run_exception TO app_user;
GRANT SELECT ON payroll.pay_run_exception TO app_readonly;

CREATE TRIGGER pay_run_exception_touch
    BEFORE UPDATE ON payroll.pay_run_exception
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.paycheck (
    business_id              uuid                 NOT NULL,
    paycheck_id              uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    pay_run_id               uuid                 NOT NULL,
    employee_id              uuid                 NOT NULL,
    pay_period_id            uuid,
    check_number             text                 NOT NULL,
    check_date               date,
    status                   text                 NOT NULL DEFAULT 'draft',
    gross_amount             system_core.money,
    pretax_deduction_amount  system_core.money,
    taxable_federal_amount   system_core.money,
    employee_tax_amount      system_core.money,
    posttax_deduction_amount system_core.money,
    net_amount               system_core.money,
    employer_tax_amount      system_core.money,
    employer_benefit_amount  system_core.money,
    hours_worked             system_core.quantity,
    payment_method           text                 NOT NULL,
    work_state               text,
    resident_state           text,
    created_at               timestamptz          NOT NULL DEFAULT now(),
    updated_at               timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, paycheck_id),
    UNIQUE (business_id, pay_run_id, employee_id),
    FOREIGN KEY (business_id, pay_run_id) REFERENCES payroll.pay_run (business_id, pay_run_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, pay_period_id)
        REFERENCES payroll.pay_period (business_id, pay_period_id),
    CONSTRAINT paycheck_status_known
        CHECK (status IN ('draft', 'final', 'paid', 'voided', 'returned', 'reissued')),
    CONSTRAINT paycheck_payment_method_known
        CHECK (payment_method IN ('direct_deposit', 'check', 'pay_card', 'mixed')),
    CONSTRAINT paycheck_net_amount_gross_amount_pretax_deduction
        CHECK (net_amount = gross_amount - pretax_deduction_amount - employee_tax_amount -
               posttax_deduction_amount),
    CONSTRAINT paycheck_net_amount_not_negative CHECK (net_amount >= 0)
);

COMMENT ON TABLE payroll.paycheck IS 'Pay of one employee in one run.';
-- RULE final paychecks are immutable (trigger)

-- FK: the paychecks of a employee.
CREATE INDEX paycheck_employee_idx
    ON payroll.paycheck (business_id, employee_id);

-- FK: the paychecks of a pay period.
CREATE INDEX paycheck_pay_period_idx
    ON payroll.paycheck (business_id, pay_period_id)
    WHERE pay_period_id IS NOT NULL;

ALTER TABLE payroll.paycheck ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.paycheck
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.paycheck TO app_user;
GRANT SELECT ON payroll.paycheck TO app_readonly;

CREATE TRIGGER paycheck_touch
    BEFORE UPDATE ON payroll.paycheck
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.paycheck_earning (
    business_id         uuid              NOT NULL,
    paycheck_earning_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    paycheck_id         uuid              NOT NULL,
    earning_code_id     uuid              NOT NULL,
    job_assignment_id   uuid,
    department_id       uuid,
    work_location_id    uuid,
    line_no             integer,
    hours               numeric(9, 2),
    rate_amount         system_core.money,
    amount              system_core.money,
    regular_rate_amount system_core.money,
    is_retro            boolean           NOT NULL DEFAULT false,
    for_period_start    date,
    units               text,
    project_code        system_core.code,
    is_imputed          boolean           NOT NULL DEFAULT false,
    description         text,
    created_at          timestamptz       NOT NULL DEFAULT now(),
    updated_at          timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, paycheck_earning_id),
    UNIQUE (business_id, paycheck_id, line_no),
    FOREIGN KEY (business_id, paycheck_id) REFERENCES payroll.paycheck (business_id, paycheck_id),
    FOREIGN KEY (business_id, earning_code_id)
        REFERENCES payroll.earning_code (business_id, earning_code_id),
    FOREIGN KEY (business_id, job_assignment_id)
        REFERENCES payroll.job_assignment (business_id, job_assignment_id),
    FOREIGN KEY (business_id, department_id)
        REFERENCES payroll.department (business_id, department_id),
    FOREIGN KEY (business_id, work_location_id)
        REFERENCES payroll.work_location (business_id, work_location_id)
);

COMMENT ON TABLE payroll.paycheck_earning IS 'Earning line with hours, rate and place of work.';
-- RULE amount = round(hours * rate_amount, 2) when hourly
-- RULE overtime rate >= 1.5 * regular_rate_amount
-- RULE imputed lines add no net pay

-- FK: the paycheck earnings of a earning code.
CREATE INDEX paycheck_earning_earning_code_idx
    ON payroll.paycheck_earning (business_id, earning_code_id);

-- FK: the paycheck earnings of a job assignment.
CREATE INDEX paycheck_earning_job_assignment_idx
    ON payroll.paycheck_earning (business_id, job_assignment_id)
    WHERE job_assignment_id IS NOT NULL;

-- FK: the paycheck earnings of a department.
CREATE INDEX paycheck_earning_department_idx
    ON payroll.paycheck_earning (business_id, department_id)
    WHERE department_id IS NOT NULL;

-- FK: the paycheck earnings of a work location.
CREATE INDEX paycheck_earning_work_location_idx
    ON payroll.paycheck_earning (business_id, work_location_id)
    WHERE work_location_id IS NOT NULL;

ALTER TABLE payroll.paycheck_earning ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.paycheck_earning
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.paycheck_earning TO app_user;
GRANT SELECT ON payroll.paycheck_earning TO app_readonly;

CREATE TRIGGER paycheck_earning_touch
    BEFORE UPDATE ON payroll.paycheck_earning
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.paycheck_deduction (
    business_id                uuid              NOT NULL,
    paycheck_deduction_id      uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    paycheck_id                uuid              NOT NULL,
    deduction_code_id          uuid              NOT NULL,
    employee_deduction_id      uuid,
    line_no                    integer,
    employee_amount            system_core.money,
    employer_amount            system_core.money,
    basis_amount               system_core.money,
    disposable_earnings_amount system_core.money,
    is_pretax                  boolean           NOT NULL DEFAULT false,
    arrears_recovered_amount   system_core.money,
    short_amount               system_core.money,
    limit_hit                  text              NOT NULL,
    ytd_employee_amount        system_core.money,
    created_at                 timestamptz       NOT NULL DEFAULT now(),
    updated_at                 timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, paycheck_deduction_id),
    UNIQUE (business_id, paycheck_id, line_no),
    FOREIGN KEY (business_id, paycheck_id) REFERENCES payroll.paycheck (business_id, paycheck_id),
    FOREIGN KEY (business_id, deduction_code_id)
        REFERENCES payroll.deduction_code (business_id, deduction_code_id),
    FOREIGN KEY (business_id, employee_deduction_id)
        REFERENCES payroll.employee_deduction (business_id, employee_deduction_id),
    CONSTRAINT paycheck_deduction_limit_hit_known
        CHECK (limit_hit IN ('none', 'annual', 'per_period', 'disposable_earnings', 'net_pay')),
    CONSTRAINT paycheck_deduction_employee_amount_not_negative CHECK (employee_amount >= 0)
);

COMMENT ON TABLE payroll.paycheck_deduction IS 'Deduction or employer contribution line.';
-- RULE garnishments <= allowed share of disposable earnings
-- RULE short_amount goes to arrears when the code allows

-- FK: the paycheck deductions of a deduction code.
CREATE INDEX paycheck_deduction_deduction_code_idx
    ON payroll.paycheck_deduction (business_id, deduction_code_id);

-- FK: the paycheck deductions of a employee deduction.
CREATE INDEX paycheck_deduction_employee_deduction_idx
    ON payroll.paycheck_deduction (business_id, employee_deduction_id)
    WHERE employee_deduction_id IS NOT NULL;

ALTER TABLE payroll.paycheck_deduction ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.paycheck_deduction
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.paycheck_deduction TO app_user;
GRANT SELECT ON payroll.paycheck_deduction TO app_readonly;

CREATE TRIGGER paycheck_deduction_touch
    BEFORE UPDATE ON payroll.paycheck_deduction
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.paycheck_tax (
    business_id          uuid              NOT NULL,
    paycheck_tax_id      uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    paycheck_id          uuid              NOT NULL,
    tax_code_id          uuid              NOT NULL,
    tax_jurisdiction_id  uuid              NOT NULL,
    tax_rate_version_id  uuid              NOT NULL,
    payer                text              NOT NULL,
    gross_wages_amount   system_core.money,
    subject_wages_amount system_core.money,
    taxable_wages_amount system_core.money,
    tax_amount           system_core.money,
    ytd_taxable_amount   system_core.money,
    method               text              NOT NULL,
    rate                 system_core.rate,
    additional_amount    system_core.money,
    calculation_trace    text,
    created_at           timestamptz       NOT NULL DEFAULT now(),
    updated_at           timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, paycheck_tax_id),
    UNIQUE (business_id, paycheck_id, tax_code_id, tax_jurisdiction_id, payer),
    FOREIGN KEY (business_id, paycheck_id) REFERENCES payroll.paycheck (business_id, paycheck_id),
    FOREIGN KEY (business_id, tax_code_id) REFERENCES payroll.tax_code (business_id, tax_code_id),
    FOREIGN KEY (business_id, tax_jurisdiction_id)
        REFERENCES payroll.tax_jurisdiction (business_id, tax_jurisdiction_id),
    FOREIGN KEY (business_id, tax_rate_version_id)
        REFERENCES payroll.tax_rate_version (business_id, tax_rate_version_id),
    CONSTRAINT paycheck_tax_payer_known CHECK (payer IN ('employee', 'employer')),
    CONSTRAINT paycheck_tax_method_known
        CHECK (method IN ('percentage', 'wage_bracket', 'supplemental_flat', 'aggregate',
               'exempt')),
    CONSTRAINT paycheck_tax_taxable_wages_amount_subject_wages_amoun
        CHECK (taxable_wages_amount <= subject_wages_amount)
);

COMMENT ON TABLE payroll.paycheck_tax IS 'Tax line: who pays, on which wages, at which rate.';
-- RULE ytd_taxable_amount <= wage base where there is one
-- RULE additional Medicare 0.9 percent only above 200,000

-- FK: the paycheck taxs of a tax code.
CREATE INDEX paycheck_tax_tax_code_idx
    ON payroll.paycheck_tax (business_id, tax_code_id);

-- FK: the paycheck taxs of a tax jurisdiction.
CREATE INDEX paycheck_tax_tax_jurisdiction_idx
    ON payroll.paycheck_tax (business_id, tax_jurisdiction_id);

-- FK: the paycheck taxs of a tax rate version.
CREATE INDEX paycheck_tax_tax_rate_version_idx
    ON payroll.paycheck_tax (business_id, tax_rate_version_id);

ALTER TABLE payroll.paycheck_tax ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.paycheck_tax
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.paycheck_tax TO app_user;
GRANT SELECT ON payroll.paycheck_tax TO app_readonly;

CREATE TRIGGER paycheck_tax_touch
    BEFORE UPDATE ON payroll.paycheck_tax
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.retro_adjustment (
    business_id            uuid              NOT NULL,
    retro_adjustment_id    uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    original_paycheck_id   uuid              NOT NULL,
    paid_in_pay_run_id     uuid,
    employee_id            uuid              NOT NULL,
    compensation_rate_id   uuid,
    reason                 text              NOT NULL,
    from_date              date,
    to_date                date,
    old_amount             system_core.money,
    new_amount             system_core.money,
    difference_amount      system_core.money,
    overtime_effect_amount system_core.money,
    status                 text              NOT NULL DEFAULT 'proposed',
    approved_at            timestamptz,
    explanation            text,
    created_at             timestamptz       NOT NULL DEFAULT now(),
    updated_at             timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, retro_adjustment_id),
    FOREIGN KEY (business_id, original_paycheck_id)
        REFERENCES payroll.paycheck (business_id, paycheck_id),
    FOREIGN KEY (business_id, paid_in_pay_run_id)
        REFERENCES payroll.pay_run (business_id, pay_run_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, compensation_rate_id)
        REFERENCES payroll.compensation_rate (business_id, compensation_rate_id),
    CONSTRAINT retro_adjustment_reason_known
        CHECK (reason IN ('late_rate_change', 'late_hours', 'correction', 'union_agreement',
               'minimum_wage')),
    CONSTRAINT retro_adjustment_status_known
        CHECK (status IN ('proposed', 'approved', 'paid', 'waived')),
    CONSTRAINT retro_adjustment_difference_amount_new_amount_old_amount
        CHECK (difference_amount = new_amount - old_amount + overtime_effect_amount)
);

COMMENT ON TABLE payroll.retro_adjustment IS
    'Back pay or recovery from a change made after payment.';
-- RULE recovery needs written consent where the state says so
-- RULE paid needs paid_in_pay_run_id

-- FK: the retro adjustments of a paycheck.
CREATE INDEX retro_adjustment_original_paycheck_idx
    ON payroll.retro_adjustment (business_id, original_paycheck_id);

-- FK: the retro adjustments of a pay run.
CREATE INDEX retro_adjustment_paid_in_pay_run_idx
    ON payroll.retro_adjustment (business_id, paid_in_pay_run_id)
    WHERE paid_in_pay_run_id IS NOT NULL;

-- FK: the retro adjustments of a employee.
CREATE INDEX retro_adjustment_employee_idx
    ON payroll.retro_adjustment (business_id, employee_id);

-- FK: the retro adjustments of a compensation rate.
CREATE INDEX retro_adjustment_compensation_rate_idx
    ON payroll.retro_adjustment (business_id, compensation_rate_id)
    WHERE compensation_rate_id IS NOT NULL;

ALTER TABLE payroll.retro_adjustment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.retro_adjustment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.retro_adjustment TO app_user;
GRANT SELECT ON payroll.retro_adjustment TO app_readonly;

CREATE TRIGGER retro_adjustment_touch
    BEFORE UPDATE ON payroll.retro_adjustment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.paycheck_correction (
    business_id             uuid              NOT NULL,
    paycheck_correction_id  uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    original_paycheck_id    uuid              NOT NULL,
    replacement_paycheck_id uuid,
    requested_by            uuid              NOT NULL,
    approved_by             uuid,
    correction_kind         text              NOT NULL,
    reason                  text,
    requested_at            timestamptz,
    approved_at             timestamptz,
    net_recovered_amount    system_core.money,
    recovery_method         text              NOT NULL,
    reverses_quarter        boolean           NOT NULL DEFAULT false,
    amends_filing           boolean           NOT NULL DEFAULT false,
    status                  text              NOT NULL DEFAULT 'requested',
    created_at              timestamptz       NOT NULL DEFAULT now(),
    updated_at              timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, paycheck_correction_id),
    FOREIGN KEY (business_id, original_paycheck_id)
        REFERENCES payroll.paycheck (business_id, paycheck_id),
    FOREIGN KEY (business_id, replacement_paycheck_id)
        REFERENCES payroll.paycheck (business_id, paycheck_id),
    FOREIGN KEY (business_id, requested_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, approved_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT paycheck_correction_correction_kind_known
        CHECK (correction_kind IN ('void', 'reverse', 'reissue', 'amount_change', 'stop_payment')),
    CONSTRAINT paycheck_correction_recovery_method_known
        CHECK (recovery_method IN ('ach_reversal', 'next_pay', 'repayment', 'none')),
    CONSTRAINT paycheck_correction_status_known
        CHECK (status IN ('requested', 'approved', 'done', 'failed', 'refused'))
);

COMMENT ON TABLE payroll.paycheck_correction IS
    'Void, reversal or reissue of a paycheck with its tax effects.';
-- RULE one final void per paycheck (partial unique)
-- RULE ach reversal within 5 banking days
-- RULE approver differs from requester
-- RULE amends_filing when the quarter is filed

-- FK: the paycheck corrections of a paycheck.
CREATE INDEX paycheck_correction_original_paycheck_idx
    ON payroll.paycheck_correction (business_id, original_paycheck_id);

-- FK: the paycheck corrections of a paycheck.
CREATE INDEX paycheck_correction_replacement_paycheck_idx
    ON payroll.paycheck_correction (business_id, replacement_paycheck_id)
    WHERE replacement_paycheck_id IS NOT NULL;

-- FK: the paycheck corrections of a user account.
CREATE INDEX paycheck_correction_requested_by_idx
    ON payroll.paycheck_correction (business_id, requested_by);

-- FK: the paycheck corrections of a user account.
CREATE INDEX paycheck_correction_approved_by_idx
    ON payroll.paycheck_correction (business_id, approved_by)
    WHERE approved_by IS NOT NULL;

ALTER TABLE payroll.paycheck_correction ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.paycheck_correction
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.paycheck_correction TO app_user;
GRANT SELECT ON payroll.paycheck_correction TO app_readonly;

CREATE TRIGGER paycheck_correction_touch
    BEFORE UPDATE ON payroll.paycheck_correction
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


-- Closes the circle with an earlier file.
ALTER TABLE payroll.time_off_ledger_entry
    ADD FOREIGN KEY (business_id, paycheck_id) REFERENCES payroll.paycheck (business_id, paycheck_id);

-- Closes the circle with an earlier file.
ALTER TABLE payroll.variable_pay_input
    ADD FOREIGN KEY (business_id, pay_run_id) REFERENCES payroll.pay_run (business_id, pay_run_id);
