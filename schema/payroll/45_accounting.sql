/*
 * TODO: what the area is and how its tables relate.
 *
 */

CREATE TABLE payroll.gl_account_map (
    business_id        uuid        NOT NULL,
    gl_account_map_id  uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    earning_code_id    uuid,
    deduction_code_id  uuid,
    tax_code_id        uuid,
    department_id      uuid,
    item_kind          text        NOT NULL,
    side               text        NOT NULL,
    account_number     text        NOT NULL,
    account_name       text,
    cost_center_source text        NOT NULL,
    effective_from     date        NOT NULL,
    effective_until    date,
    priority           integer,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, gl_account_map_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, earning_code_id)
        REFERENCES payroll.earning_code (business_id, earning_code_id),
    FOREIGN KEY (business_id, deduction_code_id)
        REFERENCES payroll.deduction_code (business_id, deduction_code_id),
    FOREIGN KEY (business_id, tax_code_id) REFERENCES payroll.tax_code (business_id, tax_code_id),
    FOREIGN KEY (business_id, department_id)
        REFERENCES payroll.department (business_id, department_id),
    CONSTRAINT gl_account_map_item_kind_known
        CHECK (item_kind IN ('earning', 'deduction', 'tax', 'employer_tax', 'net_pay', 'accrual',
               'reimbursement')),
    CONSTRAINT gl_account_map_side_known CHECK (side IN ('debit', 'credit')),
    CONSTRAINT gl_account_map_cost_center_source_known
        CHECK (cost_center_source IN ('department', 'location', 'project', 'fixed'))
);

COMMENT ON TABLE payroll.gl_account_map IS
    'Which ledger account a code, side and segment posts to.';
-- RULE at most one code reference
-- RULE unique per item, side, department and effective_from
-- RULE every item used in a run has a debit and a credit (function)

-- FK: the gl account maps of a earning code.
CREATE INDEX gl_account_map_earning_code_idx
    ON payroll.gl_account_map (business_id, earning_code_id)
    WHERE earning_code_id IS NOT NULL;

-- FK: the gl account maps of a deduction code.
CREATE INDEX gl_account_map_deduction_code_idx
    ON payroll.gl_account_map (business_id, deduction_code_id)
    WHERE deduction_code_id IS NOT NULL;

-- FK: the gl account maps of a tax code.
CREATE INDEX gl_account_map_tax_code_idx
    ON payroll.gl_account_map (business_id, tax_code_id)
    WHERE tax_code_id IS NOT NULL;

-- FK: the gl account maps of a department.
CREATE INDEX gl_account_map_department_idx
    ON payroll.gl_account_map (business_id, department_id)
    WHERE department_id IS NOT NULL;

ALTER TABLE payroll.gl_account_map ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.gl_account_map
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.gl_account_map TO app_user;
GRANT SELECT ON payroll.gl_account_map TO app_readonly;

CREATE TRIGGER gl_account_map_touch
    BEFORE UPDATE ON payroll.gl_account_map
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.journal_entry (
    business_id               uuid              NOT NULL,
    journal_entry_id          uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    pay_run_id                uuid              NOT NULL,
    integration_connection_id uuid,
    journal_number            text              NOT NULL,
    journal_kind              text              NOT NULL,
    accounting_date           date,
    debit_amount              system_core.money,
    credit_amount             system_core.money,
    status                    text              NOT NULL DEFAULT 'draft',
    exported_at               timestamptz,
    external_reference        text,
    period_code               system_core.code,
    created_at                timestamptz       NOT NULL DEFAULT now(),
    updated_at                timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, journal_entry_id),
    UNIQUE (business_id, journal_number),
    FOREIGN KEY (business_id, pay_run_id) REFERENCES payroll.pay_run (business_id, pay_run_id),
    FOREIGN KEY (business_id, integration_connection_id)
        REFERENCES system_core.integration_connection (business_id, integration_connection_id),
    CONSTRAINT journal_entry_journal_kind_known
        CHECK (journal_kind IN ('payroll', 'accrual', 'reversal', 'tax_payment',
               'benefit_payment')),
    CONSTRAINT journal_entry_status_known
        CHECK (status IN ('draft', 'posted', 'exported', 'rejected', 'reversed')),
    CONSTRAINT journal_entry_debit_amount_credit_amount CHECK (debit_amount = credit_amount)
);

COMMENT ON TABLE payroll.journal_entry IS 'Journal entry of a run, balanced.';
-- RULE posted journals are immutable (trigger)

-- FK: the journal entrys of a pay run.
CREATE INDEX journal_entry_pay_run_idx
    ON payroll.journal_entry (business_id, pay_run_id);

-- FK: the journal entrys of a integration connection.
CREATE INDEX journal_entry_integration_connection_idx
    ON payroll.journal_entry (business_id, integration_connection_id)
    WHERE integration_connection_id IS NOT NULL;

ALTER TABLE payroll.journal_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.journal_entry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.journal_entry TO app_user;
GRANT SELECT ON payroll.journal_entry TO app_readonly;

CREATE TRIGGER journal_entry_touch
    BEFORE UPDATE ON payroll.journal_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.journal_line (
    business_id       uuid              NOT NULL,
    journal_line_id   uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    journal_entry_id  uuid              NOT NULL,
    gl_account_map_id uuid,
    department_id     uuid,
    work_location_id  uuid,
    line_no           integer,
    account_number    text              NOT NULL,
    debit_amount      system_core.money,
    credit_amount     system_core.money,
    cost_center       text,
    project_code      system_core.code,
    memo              text,
    employee_count    integer,
    source_item       text,
    created_at        timestamptz       NOT NULL DEFAULT now(),
    updated_at        timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, journal_line_id),
    UNIQUE (business_id, journal_entry_id, line_no),
    FOREIGN KEY (business_id, journal_entry_id)
        REFERENCES payroll.journal_entry (business_id, journal_entry_id),
    FOREIGN KEY (business_id, gl_account_map_id)
        REFERENCES payroll.gl_account_map (business_id, gl_account_map_id),
    FOREIGN KEY (business_id, department_id)
        REFERENCES payroll.department (business_id, department_id),
    FOREIGN KEY (business_id, work_location_id)
        REFERENCES payroll.work_location (business_id, work_location_id)
);

COMMENT ON TABLE payroll.journal_line IS 'Debit or credit of a payroll journal.';
-- RULE exactly one of debit_amount and credit_amount is above 0

-- FK: the journal lines of a gl account map.
CREATE INDEX journal_line_gl_account_map_idx
    ON payroll.journal_line (business_id, gl_account_map_id)
    WHERE gl_account_map_id IS NOT NULL;

-- FK: the journal lines of a department.
CREATE INDEX journal_line_department_idx
    ON payroll.journal_line (business_id, department_id)
    WHERE department_id IS NOT NULL;

-- FK: the journal lines of a work location.
CREATE INDEX journal_line_work_location_idx
    ON payroll.journal_line (business_id, work_location_id)
    WHERE work_location_id IS NOT NULL;

ALTER TABLE payroll.journal_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.journal_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.journal_line TO app_user;
GRANT SELECT ON payroll.journal_line TO app_readonly;

CREATE TRIGGER journal_line_touch
    BEFORE UPDATE ON payroll.journal_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
