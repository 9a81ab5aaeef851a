/*
 * TODO: what the area is and how its tables relate.
 *
 */

CREATE TABLE payroll.tax_jurisdiction (
    business_id            uuid             NOT NULL,
    tax_jurisdiction_id    uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    parent_jurisdiction_id uuid,
    code                   system_core.code NOT NULL,
    name                   text             NOT NULL,
    level                  text             NOT NULL,
    fips_code              system_core.code,
    psd_code               system_core.code,
    taxes_residents        boolean          NOT NULL DEFAULT false,
    taxes_nonresidents     boolean          NOT NULL DEFAULT false,
    courtesy_withholding   boolean          NOT NULL DEFAULT false,
    supplemental_rate      system_core.rate,
    effective_from         date             NOT NULL,
    created_at             timestamptz      NOT NULL DEFAULT now(),
    updated_at             timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tax_jurisdiction_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, parent_jurisdiction_id)
        REFERENCES payroll.tax_jurisdiction (business_id, tax_jurisdiction_id),
    CONSTRAINT tax_jurisdiction_level_known
        CHECK (level IN ('federal', 'state', 'county', 'city', 'school_district',
               'transit_district'))
);

COMMENT ON TABLE payroll.tax_jurisdiction IS
    'Federal, state, county, city or school district that taxes this tenant''s wages.';
-- RULE parent level is higher (trigger)
-- RULE only jurisdictions in use are copied from the platform's catalog

-- FK: the tax jurisdictions of a tax jurisdiction.
CREATE INDEX tax_jurisdiction_parent_jurisdiction_idx
    ON payroll.tax_jurisdiction (business_id, parent_jurisdiction_id)
    WHERE parent_jurisdiction_id IS NOT NULL;

ALTER TABLE payroll.tax_jurisdiction ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.tax_jurisdiction
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.tax_jurisdiction TO app_user;
GRANT SELECT ON payroll.tax_jurisdiction TO app_readonly;

CREATE TRIGGER tax_jurisdiction_touch
    BEFORE UPDATE ON payroll.tax_jurisdiction
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.tax_code (
    business_id           uuid              NOT NULL,
    tax_code_id           uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    tax_jurisdiction_id   uuid              NOT NULL,
    code                  system_core.code  NOT NULL,
    name                  text              NOT NULL,
    tax_kind              text              NOT NULL,
    payer                 text              NOT NULL,
    wage_base_amount      system_core.money,
    annual_max_tax_amount system_core.money,
    frequency             text              NOT NULL,
    is_experience_rated   boolean           NOT NULL DEFAULT false,
    filing_form           text,
    rounding              text              NOT NULL,
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tax_code_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id, tax_jurisdiction_id)
        REFERENCES payroll.tax_jurisdiction (business_id, tax_jurisdiction_id),
    CONSTRAINT tax_code_tax_kind_known
        CHECK (tax_kind IN ('income', 'social_security', 'medicare', 'additional_medicare',
               'futa', 'sui', 'sdi', 'pfml', 'local_income', 'local_services', 'transit',
               'employment_training')),
    CONSTRAINT tax_code_payer_known CHECK (payer IN ('employee', 'employer', 'both')),
    CONSTRAINT tax_code_frequency_known
        CHECK (frequency IN ('per_check', 'annual_flat', 'quarterly')),
    CONSTRAINT tax_code_rounding_known CHECK (rounding IN ('cent', 'dollar')),
    CONSTRAINT tax_code_filing_form_is_not_null CHECK (filing_form IS NOT NULL)
);

COMMENT ON TABLE payroll.tax_code IS
    'Tax of a jurisdiction: income, social security, Medicare, unemployment, family leave, local services.';
-- RULE wage_base_amount > 0 for social_security, futa and sui

-- FK: the tax codes of a tax jurisdiction.
CREATE INDEX tax_code_tax_jurisdiction_idx
    ON payroll.tax_code (business_id, tax_jurisdiction_id);

ALTER TABLE payroll.tax_code ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.tax_code
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.tax_code TO app_user;
GRANT SELECT ON payroll.tax_code TO app_readonly;

CREATE TRIGGER tax_code_touch
    BEFORE UPDATE ON payroll.tax_code
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.withholding_election (
    business_id              uuid              NOT NULL,
    withholding_election_id  uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id              uuid              NOT NULL,
    tax_jurisdiction_id      uuid              NOT NULL,
    file_object_id           uuid,
    form_version             text              NOT NULL,
    filing_status            text              NOT NULL,
    step2_multiple_jobs      boolean           NOT NULL DEFAULT false,
    dependents_amount        system_core.money,
    other_income_amount      system_core.money,
    deductions_amount        system_core.money,
    extra_withholding_amount system_core.money,
    allowances               integer,
    is_exempt                boolean           NOT NULL DEFAULT false,
    exempt_expires_on        date,
    signed_at                timestamptz,
    effective_from           date              NOT NULL,
    effective_until          date,
    created_at               timestamptz       NOT NULL DEFAULT now(),
    updated_at               timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, withholding_election_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, tax_jurisdiction_id)
        REFERENCES payroll.tax_jurisdiction (business_id, tax_jurisdiction_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT withholding_election_form_version_known
        CHECK (form_version IN ('w4_2020', 'w4_pre_2020', 'state')),
    CONSTRAINT withholding_election_filing_status_known
        CHECK (filing_status IN ('single', 'married_joint', 'head_of_household',
               'married_separate')),
    CONSTRAINT withholding_election_dependents_amount_and_other_income_amoun
        CHECK (dependents_amount >= 0 AND other_income_amount >= 0 AND deductions_amount >= 0 AND
               extra_withholding_amount >= 0)
);

COMMENT ON TABLE payroll.withholding_election IS
    'W-4 or state certificate of an employee, as signed.';
-- RULE elections per jurisdiction do not overlap (exclusion constraint)
-- RULE exempt_expires_on = 15 February of the next year when is_exempt
-- RULE an IRS lock-in letter overrides (trigger)

-- FK: the withholding elections of a employee.
CREATE INDEX withholding_election_employee_idx
    ON payroll.withholding_election (business_id, employee_id);

-- FK: the withholding elections of a tax jurisdiction.
CREATE INDEX withholding_election_tax_jurisdiction_idx
    ON payroll.withholding_election (business_id, tax_jurisdiction_id);

-- FK: the withholding elections of a file object.
CREATE INDEX withholding_election_file_object_idx
    ON payroll.withholding_election (business_id, file_object_id)
    WHERE file_object_id IS NOT NULL;

ALTER TABLE payroll.withholding_election ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.withholding_election
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.withholding_election TO app_user;
GRANT SELECT ON payroll.withholding_election TO app_readonly;

CREATE TRIGGER withholding_election_touch
    BEFORE UPDATE ON payroll.withholding_election
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.tax_reciprocity (
    business_id              uuid        NOT NULL,
    tax_reciprocity_id       uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    work_jurisdiction_id     uuid        NOT NULL,
    resident_jurisdiction_id uuid        NOT NULL,
    agreement_kind           text        NOT NULL,
    certificate_form         text,
    withhold_for             text        NOT NULL,
    effective_from           date        NOT NULL,
    effective_until          date,
    threshold_days           integer,
    notes                    text,
    created_at               timestamptz NOT NULL DEFAULT now(),
    updated_at               timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tax_reciprocity_id),
    UNIQUE (business_id, work_jurisdiction_id, resident_jurisdiction_id, effective_from),
    FOREIGN KEY (business_id, work_jurisdiction_id)
        REFERENCES payroll.tax_jurisdiction (business_id, tax_jurisdiction_id),
    FOREIGN KEY (business_id, resident_jurisdiction_id)
        REFERENCES payroll.tax_jurisdiction (business_id, tax_jurisdiction_id),
    CONSTRAINT tax_reciprocity_agreement_kind_known
        CHECK (agreement_kind IN ('full', 'credit', 'convenience_of_employer')),
    CONSTRAINT tax_reciprocity_withhold_for_known
        CHECK (withhold_for IN ('work', 'resident', 'both')),
    CONSTRAINT tax_reciprocity_threshold_days_bounded CHECK (threshold_days BETWEEN 0 AND 183)
);

COMMENT ON TABLE payroll.tax_reciprocity IS
    'Agreement between work and home state, and the certificate that triggers it.';
-- RULE work and resident jurisdictions differ

-- FK: the tax reciprocitys of a tax jurisdiction.
CREATE INDEX tax_reciprocity_resident_jurisdiction_idx
    ON payroll.tax_reciprocity (business_id, resident_jurisdiction_id);

ALTER TABLE payroll.tax_reciprocity ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.tax_reciprocity
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.tax_reciprocity TO app_user;
GRANT SELECT ON payroll.tax_reciprocity TO app_readonly;

CREATE TRIGGER tax_reciprocity_touch
    BEFORE UPDATE ON payroll.tax_reciprocity
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.tax_rate_version (
    business_id               uuid              NOT NULL,
    tax_rate_version_id       uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    tax_code_id               uuid              NOT NULL,
    tax_year                  integer,
    effective_from            date              NOT NULL,
    effective_until           date,
    rate                      system_core.rate,
    employer_rate             system_core.rate,
    wage_base_amount          system_core.money,
    standard_deduction_amount system_core.money,
    allowance_amount          system_core.money,
    formula                   text              NOT NULL,
    parameters                text,
    published_reference       text,
    checksum                  text,
    created_at                timestamptz       NOT NULL DEFAULT now(),
    updated_at                timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tax_rate_version_id),
    FOREIGN KEY (business_id, tax_code_id) REFERENCES payroll.tax_code (business_id, tax_code_id),
    CONSTRAINT tax_rate_version_formula_known
        CHECK (formula IN ('flat', 'bracket', 'table', 'fixed_amount')),
    CONSTRAINT tax_rate_version_rate_bounded CHECK (rate BETWEEN 0 AND 0.5)
);

COMMENT ON TABLE payroll.tax_rate_version IS
    'Dated rate or table of a tax code with its allowances.';
-- RULE versions of a code do not overlap (exclusion constraint)
-- RULE a version used by a final paycheck is immutable (trigger)

-- FK: the tax rate versions of a tax code.
CREATE INDEX tax_rate_version_tax_code_idx
    ON payroll.tax_rate_version (business_id, tax_code_id);

ALTER TABLE payroll.tax_rate_version ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.tax_rate_version
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.tax_rate_version TO app_user;
GRANT SELECT ON payroll.tax_rate_version TO app_readonly;

CREATE TRIGGER tax_rate_version_touch
    BEFORE UPDATE ON payroll.tax_rate_version
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.employer_tax_account (
    business_id              uuid             NOT NULL,
    employer_tax_account_id  uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    employer_entity_id       uuid             NOT NULL,
    tax_jurisdiction_id      uuid             NOT NULL,
    tax_code_id              uuid,
    account_number           text             NOT NULL,
    status                   text             NOT NULL DEFAULT 'applied_for',
    experience_rate          system_core.rate,
    experience_rate_from     date,
    deposit_frequency        text             NOT NULL,
    filing_frequency         text             NOT NULL,
    power_of_attorney_on     date,
    eftps_enrolled           boolean          NOT NULL DEFAULT false,
    is_reimbursable_employer boolean          NOT NULL DEFAULT false,
    third_party_access_on    date,
    created_at               timestamptz      NOT NULL DEFAULT now(),
    updated_at               timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, employer_tax_account_id),
    UNIQUE (business_id, employer_entity_id, tax_jurisdiction_id, account_number),
    FOREIGN KEY (business_id, employer_entity_id)
        REFERENCES payroll.employer_entity (business_id, employer_entity_id),
    FOREIGN KEY (business_id, tax_jurisdiction_id)
        REFERENCES payroll.tax_jurisdiction (business_id, tax_jurisdiction_id),
    FOREIGN KEY (business_id, tax_code_id) REFERENCES payroll.tax_code (business_id, tax_code_id),
    CONSTRAINT employer_tax_account_status_known
        CHECK (status IN ('applied_for', 'active', 'closed', 'exempt')),
    CONSTRAINT employer_tax_account_deposit_frequency_known
        CHECK (deposit_frequency IN ('next_day', 'semiweekly', 'monthly', 'quarterly', 'annual',
               'accelerated')),
    CONSTRAINT employer_tax_account_filing_frequency_known
        CHECK (filing_frequency IN ('quarterly', 'annual', 'monthly')),
    CONSTRAINT employer_tax_account_experience_rate_bounded
        CHECK (experience_rate BETWEEN 0 AND 0.2)
);

COMMENT ON TABLE payroll.employer_tax_account IS
    'Registration of an employer with an agency: account, rate, deposit rhythm.';
-- RULE active needs account_number

-- FK: the employer tax accounts of a tax jurisdiction.
CREATE INDEX employer_tax_account_tax_jurisdiction_idx
    ON payroll.employer_tax_account (business_id, tax_jurisdiction_id);

-- FK: the employer tax accounts of a tax code.
CREATE INDEX employer_tax_account_tax_code_idx
    ON payroll.employer_tax_account (business_id, tax_code_id)
    WHERE tax_code_id IS NOT NULL;

ALTER TABLE payroll.employer_tax_account ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.employer_tax_account
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.employer_tax_account TO app_user;
GRANT SELECT ON payroll.employer_tax_account TO app_readonly;

CREATE TRIGGER employer_tax_account_touch
    BEFORE UPDATE ON payroll.employer_tax_account
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE payroll.tax_bracket (
    business_id         uuid              NOT NULL,
    tax_bracket_id      uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    tax_rate_version_id uuid              NOT NULL,
    filing_status       text              NOT NULL,
    step2_checked       boolean           NOT NULL DEFAULT false,
    bracket_no          integer,
    from_amount         system_core.money,
    to_amount           system_core.money,
    base_tax_amount     system_core.money,
    marginal_rate       system_core.rate,
    pay_frequency       text              NOT NULL,
    created_at          timestamptz       NOT NULL DEFAULT now(),
    updated_at          timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tax_bracket_id),
    UNIQUE (business_id, tax_rate_version_id, filing_status, step2_checked, pay_frequency, bracket_no),
    FOREIGN KEY (business_id, tax_rate_version_id)
        REFERENCES payroll.tax_rate_version (business_id, tax_rate_version_id),
    CONSTRAINT tax_bracket_filing_status_known
        CHECK (filing_status IN ('single', 'married_joint', 'head_of_household',
               'married_separate', 'any')),
    CONSTRAINT tax_bracket_pay_frequency_known
        CHECK (pay_frequency IN ('annual', 'weekly', 'biweekly', 'semimonthly', 'monthly')),
    CONSTRAINT tax_bracket_marginal_rate_bounded CHECK (marginal_rate BETWEEN 0 AND 0.6)
);

COMMENT ON TABLE payroll.tax_bracket IS
    'Bracket of an annual percentage-method table by filing status.';
-- RULE brackets are contiguous (trigger)
-- RULE last to_amount is null

ALTER TABLE payroll.tax_bracket ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.tax_bracket
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.tax_bracket TO app_user;
GRANT SELECT ON payroll.tax_bracket TO app_readonly;

CREATE TRIGGER tax_bracket_touch
    BEFORE UPDATE ON payroll.tax_bracket
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
