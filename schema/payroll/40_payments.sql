/*
 * TODO: what the area is and how its tables relate.
 *
 */

CREATE TABLE payroll.employer_bank_account (
    business_id              uuid              NOT NULL,
    employer_bank_account_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    employer_entity_id       uuid              NOT NULL,
    nickname                 text,
    account_token            text,
    routing_number           text              NOT NULL,
    last4                    text,
    purpose                  text              NOT NULL,
    verification             text              NOT NULL,
    verified_at              timestamptz,
    status                   text              NOT NULL DEFAULT 'pending',
    daily_debit_limit_amount system_core.money,
    is_default               boolean           NOT NULL DEFAULT false,
    created_at               timestamptz       NOT NULL DEFAULT now(),
    updated_at               timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, employer_bank_account_id),
    FOREIGN KEY (business_id, employer_entity_id)
        REFERENCES payroll.employer_entity (business_id, employer_entity_id),
    CONSTRAINT employer_bank_account_purpose_known
        CHECK (purpose IN ('payroll', 'tax', 'garnishment', 'all')),
    CONSTRAINT employer_bank_account_verification_known
        CHECK (verification IN ('micro_deposits', 'plaid', 'manual')),
    CONSTRAINT employer_bank_account_status_known
        CHECK (status IN ('pending', 'verified', 'failed', 'closed'))
);

COMMENT ON TABLE payroll.employer_bank_account IS 'Funding account of an employer.';
-- RULE one default verified account per purpose (partial unique)
-- RULE routing_number passes the ABA checksum
-- RULE account number only as token

-- FK: the employer bank accounts of a employer entity.
CREATE INDEX employer_bank_account_employer_entity_idx
    ON payroll.employer_bank_account (business_id, employer_entity_id);

ALTER TABLE payroll.employer_bank_account ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.employer_bank_account
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.employer_bank_account TO app_user;
GRANT SELECT ON payroll.employer_bank_account TO app_readonly;

CREATE TRIGGER employer_bank_account_touch
    BEFORE UPDATE ON payroll.employer_bank_account
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.employee_bank_account (
    business_id              uuid           NOT NULL,
    employee_bank_account_id uuid           NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id              uuid           NOT NULL,
    account_token            text,
    routing_number           text           NOT NULL,
    last4                    text,
    account_kind             text           NOT NULL,
    bank_name                text,
    prenote_status           text           NOT NULL,
    prenote_sent_on          date,
    verified_at              timestamptz,
    status                   text           NOT NULL DEFAULT 'pending',
    added_by                 text           NOT NULL,
    risk_hold_until          timestamptz(6),
    created_at               timestamptz    NOT NULL DEFAULT now(),
    updated_at               timestamptz    NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, employee_bank_account_id),
    UNIQUE (business_id, employee_id, account_token),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    CONSTRAINT employee_bank_account_account_kind_known
        CHECK (account_kind IN ('checking', 'savings', 'pay_card')),
    CONSTRAINT employee_bank_account_prenote_status_known
        CHECK (prenote_status IN ('not_sent', 'sent', 'cleared', 'rejected')),
    CONSTRAINT employee_bank_account_status_known
        CHECK (status IN ('pending', 'active', 'rejected', 'removed')),
    CONSTRAINT employee_bank_account_added_by_known
        CHECK (added_by IN ('self_service', 'hr', 'import'))
);

COMMENT ON TABLE payroll.employee_bank_account IS 'Account of an employee for direct deposit.';
-- RULE routing_number passes the ABA checksum
-- RULE changes by self service hold the first payment until step-up and notice (trigger)

ALTER TABLE payroll.employee_bank_account ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.employee_bank_account
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.employee_bank_account TO app_user;
GRANT SELECT ON payroll.employee_bank_account TO app_readonly;

CREATE TRIGGER employee_bank_account_touch
    BEFORE UPDATE ON payroll.employee_bank_account
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.contractor_payment (
    business_id               uuid              NOT NULL,
    contractor_payment_id     uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    contractor_id             uuid              NOT NULL,
    pay_run_id                uuid,
    department_id             uuid,
    payment_number            text              NOT NULL,
    paid_on                   date,
    hours                     numeric(9, 2),
    rate_amount               system_core.money,
    amount                    system_core.money,
    reimbursement_amount      system_core.money,
    backup_withholding_amount system_core.money,
    wage_category             text              NOT NULL,
    invoice_reference         text,
    status                    text              NOT NULL DEFAULT 'draft',
    counts_on_1099            boolean           NOT NULL DEFAULT false,
    created_at                timestamptz       NOT NULL DEFAULT now(),
    updated_at                timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, contractor_payment_id),
    UNIQUE (business_id, payment_number),
    FOREIGN KEY (business_id, contractor_id)
        REFERENCES payroll.contractor (business_id, contractor_id),
    FOREIGN KEY (business_id, pay_run_id) REFERENCES payroll.pay_run (business_id, pay_run_id),
    FOREIGN KEY (business_id, department_id)
        REFERENCES payroll.department (business_id, department_id),
    CONSTRAINT contractor_payment_wage_category_known
        CHECK (wage_category IN ('nonemployee', 'rent', 'other')),
    CONSTRAINT contractor_payment_status_known
        CHECK (status IN ('draft', 'approved', 'paid', 'voided'))
);

COMMENT ON TABLE payroll.contractor_payment IS 'Payment to a contractor.';
-- RULE backup withholding = 24 percent when required
-- RULE reimbursements do not count on 1099

-- FK: the contractor payments of a contractor.
CREATE INDEX contractor_payment_contractor_idx
    ON payroll.contractor_payment (business_id, contractor_id);

-- FK: the contractor payments of a pay run.
CREATE INDEX contractor_payment_pay_run_idx
    ON payroll.contractor_payment (business_id, pay_run_id)
    WHERE pay_run_id IS NOT NULL;

-- FK: the contractor payments of a department.
CREATE INDEX contractor_payment_department_idx
    ON payroll.contractor_payment (business_id, department_id)
    WHERE department_id IS NOT NULL;

ALTER TABLE payroll.contractor_payment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.contractor_payment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.contractor_payment TO app_user;
GRANT SELECT ON payroll.contractor_payment TO app_readonly;

CREATE TRIGGER contractor_payment_touch
    BEFORE UPDATE ON payroll.contractor_payment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.garnishment_remittance (
    business_id               uuid              NOT NULL,
    garnishment_remittance_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    garnishment_agency_id     uuid              NOT NULL,
    garnishment_order_id      uuid              NOT NULL,
    paycheck_deduction_id     uuid,
    withheld_on               date,
    due_on                    date,
    remitted_on               date,
    amount                    system_core.money,
    case_reference            text,
    method                    text              NOT NULL,
    confirmation_number       text              NOT NULL,
    status                    text              NOT NULL DEFAULT 'due',
    employer_fee_amount       system_core.money,
    created_at                timestamptz       NOT NULL DEFAULT now(),
    updated_at                timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, garnishment_remittance_id),
    FOREIGN KEY (business_id, garnishment_agency_id)
        REFERENCES payroll.garnishment_agency (business_id, garnishment_agency_id),
    FOREIGN KEY (business_id, garnishment_order_id)
        REFERENCES payroll.garnishment_order (business_id, garnishment_order_id),
    FOREIGN KEY (business_id, paycheck_deduction_id)
        REFERENCES payroll.paycheck_deduction (business_id, paycheck_deduction_id),
    CONSTRAINT garnishment_remittance_method_known CHECK (method IN ('eft', 'check', 'portal')),
    CONSTRAINT garnishment_remittance_status_known
        CHECK (status IN ('due', 'scheduled', 'remitted', 'returned', 'late'))
);

COMMENT ON TABLE payroll.garnishment_remittance IS 'Payment of withheld amounts to an agency.';
-- RULE due_on is at most the agency's remittance_due_days after withheld_on (trigger)
-- RULE amount equals the deduction line
-- RULE remitted_on is not null when remitted

-- FK: the garnishment remittances of a garnishment agency.
CREATE INDEX garnishment_remittance_garnishment_agency_idx
    ON payroll.garnishment_remittance (business_id, garnishment_agency_id);

-- FK: the garnishment remittances of a garnishment order.
CREATE INDEX garnishment_remittance_garnishment_order_idx
    ON payroll.garnishment_remittance (business_id, garnishment_order_id);

-- FK: the garnishment remittances of a paycheck deduction.
CREATE INDEX garnishment_remittance_paycheck_deduction_idx
    ON payroll.garnishment_remittance (business_id, paycheck_deduction_id)
    WHERE paycheck_deduction_id IS NOT NULL;

ALTER TABLE payroll.garnishment_remittance ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.garnishment_remittance
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.garnishment_remittance TO app_user;
GRANT SELECT ON payroll.garnishment_remittance TO app_readonly;

CREATE TRIGGER garnishment_remittance_touch
    BEFORE UPDATE ON payroll.garnishment_remittance
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.payment_batch (
    business_id               uuid              NOT NULL,
    payment_batch_id          uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    pay_run_id                uuid,
    employer_bank_account_id  uuid              NOT NULL,
    file_object_id            uuid,
    batch_number              text              NOT NULL,
    batch_kind                text              NOT NULL,
    sec_code                  text              NOT NULL,
    company_entry_description text,
    effective_entry_date      date,
    entry_count               integer,
    total_credit_amount       system_core.money,
    total_debit_amount        system_core.money,
    entry_hash                bytea,
    status                    text              NOT NULL DEFAULT 'built',
    released_at               timestamptz,
    is_same_day               boolean           NOT NULL DEFAULT false,
    trace_prefix              text,
    created_at                timestamptz       NOT NULL DEFAULT now(),
    updated_at                timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, payment_batch_id),
    UNIQUE (business_id, batch_number),
    FOREIGN KEY (business_id, pay_run_id) REFERENCES payroll.pay_run (business_id, pay_run_id),
    FOREIGN KEY (business_id, employer_bank_account_id)
        REFERENCES payroll.employer_bank_account (business_id, employer_bank_account_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT payment_batch_batch_kind_known
        CHECK (batch_kind IN ('ach_credit', 'ach_debit', 'check', 'pay_card', 'wire', 'tax_eft')),
    CONSTRAINT payment_batch_sec_code_known CHECK (sec_code IN ('PPD', 'CCD', 'CTX', 'none')),
    CONSTRAINT payment_batch_status_known
        CHECK (status IN ('built', 'released', 'sent', 'acknowledged', 'settled', 'rejected',
               'cancelled'))
);

COMMENT ON TABLE payroll.payment_batch IS
    'ACH file, check print run or tax payment batch of a pay run.';
-- RULE totals equal the entries (trigger)
-- RULE same-day entries <= 1,000,000 each
-- RULE release needs two people above the limit

-- FK: the payment batchs of a pay run.
CREATE INDEX payment_batch_pay_run_idx
    ON payroll.payment_batch (business_id, pay_run_id)
    WHERE pay_run_id IS NOT NULL;

-- FK: the payment batchs of a employer bank account.
CREATE INDEX payment_batch_employer_bank_account_idx
    ON payroll.payment_batch (business_id, employer_bank_account_id);

-- FK: the payment batchs of a file object.
CREATE INDEX payment_batch_file_object_idx
    ON payroll.payment_batch (business_id, file_object_id)
    WHERE file_object_id IS NOT NULL;

ALTER TABLE payroll.payment_batch ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.payment_batch
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.payment_batch TO app_user;
GRANT SELECT ON payroll.payment_batch TO app_readonly;

CREATE TRIGGER payment_batch_touch
    BEFORE UPDATE ON payroll.payment_batch
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.direct_deposit_split (
    business_id              uuid                   NOT NULL,
    direct_deposit_split_id  uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id              uuid                   NOT NULL,
    employee_bank_account_id uuid                   NOT NULL,
    priority                 integer,
    split_kind               text                   NOT NULL,
    amount                   system_core.money,
    percent                  system_core.percentage,
    effective_from           date                   NOT NULL,
    effective_until          date,
    last_used_on             date,
    created_at               timestamptz            NOT NULL DEFAULT now(),
    updated_at               timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, direct_deposit_split_id),
    UNIQUE (business_id, employee_id, priority),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, employee_bank_account_id)
        REFERENCES payroll.employee_bank_account (business_id, employee_bank_account_id),
    CONSTRAINT direct_deposit_split_split_kind_known
        CHECK (split_kind IN ('flat', 'percent', 'remainder'))
);

COMMENT ON TABLE payroll.direct_deposit_split IS 'How net pay is divided between accounts.';
-- RULE exactly one remainder split per employee (partial unique)
-- RULE percents sum to at most 100 (deferred trigger)

-- FK: the direct deposit splits of a employee bank account.
CREATE INDEX direct_deposit_split_employee_bank_account_idx
    ON payroll.direct_deposit_split (business_id, employee_bank_account_id);

ALTER TABLE payroll.direct_deposit_split ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.direct_deposit_split
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.direct_deposit_split TO app_user;
GRANT SELECT ON payroll.direct_deposit_split TO app_readonly;

CREATE TRIGGER direct_deposit_split_touch
    BEFORE UPDATE ON payroll.direct_deposit_split
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.payment_entry (
    business_id               uuid              NOT NULL,
    payment_entry_id          uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    payment_batch_id          uuid              NOT NULL,
    paycheck_id               uuid,
    employee_bank_account_id  uuid,
    contractor_payment_id     uuid,
    garnishment_remittance_id uuid,
    tax_deposit_id            uuid,
    payee_kind                text              NOT NULL,
    amount                    system_core.money,
    direction                 text              NOT NULL,
    trace_number              text              NOT NULL,
    check_number              text              NOT NULL,
    settlement_date           date,
    status                    text              NOT NULL DEFAULT 'pending',
    addenda                   text,
    cleared_on                date,
    stale_after               date,
    created_at                timestamptz       NOT NULL DEFAULT now(),
    updated_at                timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, payment_entry_id),
    UNIQUE (business_id, trace_number),
    FOREIGN KEY (business_id, payment_batch_id)
        REFERENCES payroll.payment_batch (business_id, payment_batch_id),
    FOREIGN KEY (business_id, paycheck_id) REFERENCES payroll.paycheck (business_id, paycheck_id),
    FOREIGN KEY (business_id, employee_bank_account_id)
        REFERENCES payroll.employee_bank_account (business_id, employee_bank_account_id),
    FOREIGN KEY (business_id, contractor_payment_id)
        REFERENCES payroll.contractor_payment (business_id, contractor_payment_id),
    FOREIGN KEY (business_id, garnishment_remittance_id)
        REFERENCES payroll.garnishment_remittance (business_id, garnishment_remittance_id),
    CONSTRAINT payment_entry_payee_kind_known
        CHECK (payee_kind IN ('employee', 'contractor', 'agency', 'tax_authority',
               'employer_debit')),
    CONSTRAINT payment_entry_direction_known CHECK (direction IN ('credit', 'debit')),
    CONSTRAINT payment_entry_status_known
        CHECK (status IN ('pending', 'sent', 'settled', 'returned', 'reissued', 'voided',
               'stale')),
    CONSTRAINT payment_entry_amount_positive CHECK (amount > 0)
);

COMMENT ON TABLE payroll.payment_entry IS
    'Single payment: deposit split, check, garnishment, contractor, tax.';
-- RULE exactly one payee reference (check constraint)
-- RULE uncashed checks become stale after 180 days (escheat)

-- FK: the payment entrys of a payment batch.
CREATE INDEX payment_entry_payment_batch_idx
    ON payroll.payment_entry (business_id, payment_batch_id);

-- FK: the payment entrys of a paycheck.
CREATE INDEX payment_entry_paycheck_idx
    ON payroll.payment_entry (business_id, paycheck_id)
    WHERE paycheck_id IS NOT NULL;

-- FK: the payment entrys of a employee bank account.
CREATE INDEX payment_entry_employee_bank_account_idx
    ON payroll.payment_entry (business_id, employee_bank_account_id)
    WHERE employee_bank_account_id IS NOT NULL;

-- FK: the payment entrys of a contractor payment.
CREATE INDEX payment_entry_contractor_payment_idx
    ON payroll.payment_entry (business_id, contractor_payment_id)
    WHERE contractor_payment_id IS NOT NULL;

-- FK: the payment entrys of a garnishment remittance.
CREATE INDEX payment_entry_garnishment_remittance_idx
    ON payroll.payment_entry (business_id, garnishment_remittance_id)
    WHERE garnishment_remittance_id IS NOT NULL;

-- FK: the payment entrys of a tax deposit.
CREATE INDEX payment_entry_tax_deposit_idx
    ON payroll.payment_entry (business_id, tax_deposit_id)
    WHERE tax_deposit_id IS NOT NULL;

ALTER TABLE payroll.payment_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.payment_entry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.payment_entry TO app_user;
GRANT SELECT ON payroll.payment_entry TO app_readonly;

CREATE TRIGGER payment_entry_touch
    BEFORE UPDATE ON payroll.payment_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER payment_entry_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.payment_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["pending"],
        "transitions": {
            "pending":  ["sent", "voided"],
            "sent":     ["settled", "returned"],
            "settled":  ["returned", "stale"],
            "returned": ["reissued", "voided"],
            "stale":    ["reissued", "voided"],
            "reissued": [],
            "voided":   []
        }}');


CREATE TABLE payroll.payment_return (
    business_id               uuid              NOT NULL,
    payment_return_id         uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    payment_entry_id          uuid              NOT NULL,
    returned_on               date,
    return_code               text              NOT NULL,
    is_notification_of_change boolean           NOT NULL DEFAULT false,
    amount                    system_core.money,
    corrected_data            text,
    action                    text              NOT NULL,
    resolved_at               timestamptz,
    addenda                   text,
    created_at                timestamptz       NOT NULL DEFAULT now(),
    updated_at                timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, payment_return_id),
    FOREIGN KEY (business_id, payment_entry_id)
        REFERENCES payroll.payment_entry (business_id, payment_entry_id),
    CONSTRAINT payment_return_return_code_known
        CHECK (return_code IN ('R01', 'R02', 'R03', 'R04', 'R05', 'R10', 'R16', 'R20', 'R29',
               'C01', 'C02', 'C03', 'C05')),
    CONSTRAINT payment_return_action_known
        CHECK (action IN ('reissue_check', 'update_account', 'contact_employee', 'write_off'))
);

COMMENT ON TABLE payroll.payment_return IS 'ACH return or notification of change.';
-- RULE notification codes start with C and return no money
-- RULE returned within 2 banking days, 60 for R10
-- RULE corrected_data is not null for notifications

-- FK: the payment returns of a payment entry.
CREATE INDEX payment_return_payment_entry_idx
    ON payroll.payment_return (business_id, payment_entry_id);

ALTER TABLE payroll.payment_return ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.payment_return
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.payment_return TO app_user;
GRANT SELECT ON payroll.payment_return TO app_readonly;

CREATE TRIGGER payment_return_touch
    BEFORE UPDATE ON payroll.payment_return
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
