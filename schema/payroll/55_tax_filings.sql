/*
 * TODO: what the area is and how its tables relate.
 *
 */




CREATE TABLE payroll.tax_filing (
    business_id             uuid              NOT NULL,
    tax_filing_id           uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    signed_by               uuid,
    amends_tax_filing_id    uuid,
    employer_tax_account_id uuid              NOT NULL,
    file_object_id          uuid,
    form_code               system_core.code,
    tax_year                integer,
    quarter_no              integer,
    period_start            date,
    period_end              date,
    due_on                  date,
    filed_at                timestamptz,
    method                  text              NOT NULL,
    status                  text              NOT NULL DEFAULT 'not_due',
    total_tax_amount        system_core.money,
    total_deposits_amount   system_core.money,
    balance_due_amount      system_core.money,
    submission_id           text,
    rejection_codes         text[]            NOT NULL DEFAULT '{}',
    created_at              timestamptz       NOT NULL DEFAULT now(),
    updated_at              timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tax_filing_id),
    FOREIGN KEY (business_id, signed_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, amends_tax_filing_id)
        REFERENCES payroll.tax_filing (business_id, tax_filing_id),
    FOREIGN KEY (business_id, employer_tax_account_id)
        REFERENCES payroll.employer_tax_account (business_id, employer_tax_account_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT tax_filing_method_known CHECK (method IN ('efile', 'paper', 'portal')),
    CONSTRAINT tax_filing_status_known
        CHECK (status IN ('not_due', 'preparing', 'ready', 'filed', 'accepted', 'rejected',
               'amended')),
    CONSTRAINT tax_filing_balance_due_amount_total_tax_amount_tota
        CHECK (balance_due_amount = total_tax_amount - total_deposits_amount)
);

COMMENT ON TABLE payroll.tax_filing IS 'Return of a period: 941, 940, state wage report, local.';
-- RULE unique (business_id, employer_tax_account_id, form_code, period_start, submission_id) nulls not distinct
-- RULE accepted needs submission_id

-- FK: the tax filings of a user account.
CREATE INDEX tax_filing_signed_by_idx
    ON payroll.tax_filing (business_id, signed_by)
    WHERE signed_by IS NOT NULL;

-- FK: the tax filings of a tax filing.
CREATE INDEX tax_filing_amends_tax_filing_idx
    ON payroll.tax_filing (business_id, amends_tax_filing_id)
    WHERE amends_tax_filing_id IS NOT NULL;

-- FK: the tax filings of a employer tax account.
CREATE INDEX tax_filing_employer_tax_account_idx
    ON payroll.tax_filing (business_id, employer_tax_account_id);

-- FK: the tax filings of a file object.
CREATE INDEX tax_filing_file_object_idx
    ON payroll.tax_filing (business_id, file_object_id)
    WHERE file_object_id IS NOT NULL;

ALTER TABLE payroll.tax_filing ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.tax_filing
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.tax_filing TO app_user;
GRANT SELECT ON payroll.tax_filing TO app_readonly;

CREATE TRIGGER tax_filing_touch
    BEFORE UPDATE ON payroll.tax_filing
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER tax_filing_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.tax_filing
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["not_due"],
        "transitions": {
            "not_due":   ["preparing"],
            "preparing": ["ready"],
            "ready":     ["filed", "preparing"],
            "filed":     ["accepted", "rejected"],
            "rejected":  ["preparing"],
            "accepted":  ["amended"],
            "amended":   []
        }}');


CREATE TABLE payroll.wage_statement (
    business_id                uuid        NOT NULL,
    wage_statement_id          uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    corrects_wage_statement_id uuid,
    employer_entity_id         uuid        NOT NULL,
    employee_id                uuid,
    contractor_id              uuid,
    file_object_id             uuid,
    tax_year                   integer,
    form_kind                  text        NOT NULL,
    control_number             text        NOT NULL,
    status                     text        NOT NULL DEFAULT 'draft',
    furnished_on               date,
    delivery                   text        NOT NULL,
    transmitted_at             timestamptz,
    state_copies               integer,
    is_third_party_sick_pay    boolean     NOT NULL DEFAULT false,
    is_retirement_plan         boolean     NOT NULL DEFAULT false,
    created_at                 timestamptz NOT NULL DEFAULT now(),
    updated_at                 timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, wage_statement_id),
    FOREIGN KEY (business_id, corrects_wage_statement_id)
        REFERENCES payroll.wage_statement (business_id, wage_statement_id),
    FOREIGN KEY (business_id, employer_entity_id)
        REFERENCES payroll.employer_entity (business_id, employer_entity_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, contractor_id)
        REFERENCES payroll.contractor (business_id, contractor_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT wage_statement_form_kind_known
        CHECK (form_kind IN ('w2', 'w2c', '1099_nec', '1099_misc')),
    CONSTRAINT wage_statement_status_known
        CHECK (status IN ('draft', 'reviewed', 'furnished', 'transmitted', 'accepted',
               'corrected', 'void')),
    CONSTRAINT wage_statement_delivery_known CHECK (delivery IN ('electronic', 'mail', 'both'))
);

COMMENT ON TABLE payroll.wage_statement IS 'Year-end form of a person: W-2, W-2c, 1099-NEC.';
-- RULE exactly one of employee_id and contractor_id
-- RULE one original per person, employer and year (partial unique)
-- RULE furnished_on <= 31 January of the next year or marked late
-- RULE electronic needs delivery_consent (trigger)

-- FK: the wage statements of a wage statement.
CREATE INDEX wage_statement_corrects_wage_statement_idx
    ON payroll.wage_statement (business_id, corrects_wage_statement_id)
    WHERE corrects_wage_statement_id IS NOT NULL;

-- FK: the wage statements of a employer entity.
CREATE INDEX wage_statement_employer_entity_idx
    ON payroll.wage_statement (business_id, employer_entity_id);

-- FK: the wage statements of a employee.
CREATE INDEX wage_statement_employee_idx
    ON payroll.wage_statement (business_id, employee_id)
    WHERE employee_id IS NOT NULL;

-- FK: the wage statements of a contractor.
CREATE INDEX wage_statement_contractor_idx
    ON payroll.wage_statement (business_id, contractor_id)
    WHERE contractor_id IS NOT NULL;

-- FK: the wage statements of a file object.
CREATE INDEX wage_statement_file_object_idx
    ON payroll.wage_statement (business_id, file_object_id)
    WHERE file_object_id IS NOT NULL;

ALTER TABLE payroll.wage_statement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.wage_statement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.wage_statement TO app_user;
GRANT SELECT ON payroll.wage_statement TO app_readonly;

CREATE TRIGGER wage_statement_touch
    BEFORE UPDATE ON payroll.wage_statement
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.tax_filing_line (
    business_id        uuid              NOT NULL,
    tax_filing_line_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    tax_filing_id      uuid              NOT NULL,
    employee_id        uuid,
    line_code          system_core.code,
    description        text,
    amount             system_core.money,
    wage_amount        system_core.money,
    worker_count       integer,
    liability_date     date,
    sort_order         integer,
    is_computed        boolean           NOT NULL DEFAULT false,
    override_reason    text,
    created_at         timestamptz       NOT NULL DEFAULT now(),
    updated_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tax_filing_line_id),
    FOREIGN KEY (business_id, tax_filing_id)
        REFERENCES payroll.tax_filing (business_id, tax_filing_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id)
);

COMMENT ON TABLE payroll.tax_filing_line IS 'Line, box or worker row of a return.';
-- RULE unique (business_id, tax_filing_id, line_code, employee_id, liability_date) nulls not distinct
-- RULE override_reason is not null when not is_computed
-- RULE worker rows only on wage reports

-- FK: the tax filing lines of a tax filing.
CREATE INDEX tax_filing_line_tax_filing_idx
    ON payroll.tax_filing_line (business_id, tax_filing_id);

-- FK: the tax filing lines of a employee.
CREATE INDEX tax_filing_line_employee_idx
    ON payroll.tax_filing_line (business_id, employee_id)
    WHERE employee_id IS NOT NULL;

ALTER TABLE payroll.tax_filing_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.tax_filing_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.tax_filing_line TO app_user;
GRANT SELECT ON payroll.tax_filing_line TO app_readonly;

CREATE TRIGGER tax_filing_line_touch
    BEFORE UPDATE ON payroll.tax_filing_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.tax_notice (
    business_id             uuid              NOT NULL,
    tax_notice_id           uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    assigned_to             uuid,
    employer_tax_account_id uuid,
    tax_filing_id           uuid,
    file_object_id          uuid,
    notice_code             system_core.code,
    received_on             date,
    notice_date             date,
    notice_kind             text              NOT NULL,
    amount                  system_core.money,
    response_due_on         date,
    responded_on            date,
    status                  text              NOT NULL DEFAULT 'new',
    resolution              text,
    abated_amount           system_core.money,
    created_at              timestamptz       NOT NULL DEFAULT now(),
    updated_at              timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tax_notice_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, assigned_to)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, employer_tax_account_id)
        REFERENCES payroll.employer_tax_account (business_id, employer_tax_account_id),
    FOREIGN KEY (business_id, tax_filing_id)
        REFERENCES payroll.tax_filing (business_id, tax_filing_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT tax_notice_notice_kind_known
        CHECK (notice_kind IN ('balance_due', 'rate_change', 'missing_return', 'penalty',
               'lock_in_letter', 'name_ssn_mismatch', 'audit')),
    CONSTRAINT tax_notice_status_known
        CHECK (status IN ('new', 'researching', 'responded', 'abated', 'paid', 'closed')),
    CONSTRAINT tax_notice_response_due_on_not_before_notice_date
        CHECK (response_due_on >= notice_date),
    CONSTRAINT tax_notice_abated_amount_amount CHECK (abated_amount <= amount)
);

COMMENT ON TABLE payroll.tax_notice IS 'Letter from an agency with amount, deadline and answer.';
-- RULE rate_change notices update employer_tax_account (function)

-- FK: the tax notices of a user account.
CREATE INDEX tax_notice_assigned_to_idx
    ON payroll.tax_notice (business_id, assigned_to)
    WHERE assigned_to IS NOT NULL;

-- FK: the tax notices of a employer tax account.
CREATE INDEX tax_notice_employer_tax_account_idx
    ON payroll.tax_notice (business_id, employer_tax_account_id)
    WHERE employer_tax_account_id IS NOT NULL;

-- FK: the tax notices of a tax filing.
CREATE INDEX tax_notice_tax_filing_idx
    ON payroll.tax_notice (business_id, tax_filing_id)
    WHERE tax_filing_id IS NOT NULL;

-- FK: the tax notices of a file object.
CREATE INDEX tax_notice_file_object_idx
    ON payroll.tax_notice (business_id, file_object_id)
    WHERE file_object_id IS NOT NULL;

ALTER TABLE payroll.tax_notice ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.tax_notice
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.tax_notice TO app_user;
GRANT SELECT ON payroll.tax_notice TO app_readonly;

CREATE TRIGGER tax_notice_touch
    BEFORE UPDATE ON payroll.tax_notice
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.wage_statement_box (
    business_id           uuid              NOT NULL,
    wage_statement_box_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    wage_statement_id     uuid              NOT NULL,
    tax_jurisdiction_id   uuid,
    box_code              system_core.code,
    sub_code              system_core.code,
    label                 text,
    amount                system_core.money,
    state_id              text,
    locality_name         text,
    source                text              NOT NULL,
    sort_order            integer,
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, wage_statement_box_id),
    FOREIGN KEY (business_id, wage_statement_id)
        REFERENCES payroll.wage_statement (business_id, wage_statement_id),
    FOREIGN KEY (business_id, tax_jurisdiction_id)
        REFERENCES payroll.tax_jurisdiction (business_id, tax_jurisdiction_id),
    CONSTRAINT wage_statement_box_source_known CHECK (source IN ('computed', 'manual'))
);

COMMENT ON TABLE payroll.wage_statement_box IS
    'Box amount of a year-end form, with code and jurisdiction.';
-- RULE unique (business_id, wage_statement_id, box_code, sub_code, state_id, locality_name) nulls not distinct
-- RULE at most four box 12 codes per form
-- RULE box 3 + box 7 <= social security wage base

-- FK: the wage statement boxs of a wage statement.
CREATE INDEX wage_statement_box_wage_statement_idx
    ON payroll.wage_statement_box (business_id, wage_statement_id);

-- FK: the wage statement boxs of a tax jurisdiction.
CREATE INDEX wage_statement_box_tax_jurisdiction_idx
    ON payroll.wage_statement_box (business_id, tax_jurisdiction_id)
    WHERE tax_jurisdiction_id IS NOT NULL;

ALTER TABLE payroll.wage_statement_box ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.wage_statement_box
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.wage_statement_box TO app_user;
GRANT SELECT ON payroll.wage_statement_box TO app_readonly;

CREATE TRIGGER wage_statement_box_touch
    BEFORE UPDATE ON payroll.wage_statement_box
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
