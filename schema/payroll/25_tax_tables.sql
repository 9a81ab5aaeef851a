/*
 * Tax tables: who taxes wages, by which dated rates, and what employees elected.
 *
 * Nothing that a law says stands in a function. A tax_jurisdiction levies tax_codes; a
 * tax_rate_version is what a code says from a date on (rate, wage base, deductions, constants),
 * with tax_brackets where it is a table. A new year is new rows. An employer_tax_account is the
 * registration with an agency and brings the rate that the employer earned by its layoffs. A
 * withholding_election is an employee's certificate (W-4 or the state's), a tax_reciprocity what
 * two states agreed on for who lives in one and works in the other.
 *
 * income_withholding() is the percentage method for automated payroll of IRS Publication 15-T,
 * which states follow with constants of their own; federal_withholding() asks it for the federal
 * income tax. A version that a final paycheck was calculated by does not change any more.
 *
 * effective_until is the first day on which something no longer holds.
 * Codes: the federal jurisdiction is US, a state's is its two letters, a school district's is the
 * district's; counties and cities are found by their name within the state.
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
    taxes_residents        boolean          NOT NULL DEFAULT true,
    taxes_nonresidents     boolean          NOT NULL DEFAULT true,
    courtesy_withholding   boolean          NOT NULL DEFAULT false,
    supplemental_rate      system_core.rate,
    slowest_pay_frequency  text,
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
                         'transit_district')),
    CONSTRAINT tax_jurisdiction_slowest_pay_frequency_known
        CHECK (slowest_pay_frequency IN ('weekly', 'biweekly', 'semimonthly', 'monthly')),
    CONSTRAINT tax_jurisdiction_only_federal_stands_alone
        CHECK ((level = 'federal') = (parent_jurisdiction_id IS NULL)),
    CONSTRAINT tax_jurisdiction_state_is_two_letters
        CHECK (level <> 'state' OR code ~ '^[A-Z]{2}$'),
    CONSTRAINT tax_jurisdiction_supplemental_rate_bounded
        CHECK (supplemental_rate BETWEEN 0 AND 0.5),
    CONSTRAINT tax_jurisdiction_taxes_somebody CHECK (taxes_residents OR taxes_nonresidents)
);

COMMENT ON TABLE payroll.tax_jurisdiction IS
    'Federal, state, county, city or school district that taxes this tenant''s wages: only those
     in use, copied from the platform''s catalog.';
COMMENT ON COLUMN payroll.tax_jurisdiction.courtesy_withholding IS
    'The tax of the home is withheld also where the job does not oblige the employer to.';
COMMENT ON COLUMN payroll.tax_jurisdiction.supplemental_rate IS
    'Flat rate for bonuses and the like; NULL: they go through the tables with the wages.';
COMMENT ON COLUMN payroll.tax_jurisdiction.slowest_pay_frequency IS
    'The longest rhythm that the state''s wage law lets an employer pay in.';

-- FK: what lies within a jurisdiction.
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
CREATE FUNCTION payroll.require_higher_parent() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    levels CONSTANT text[] := ARRAY['federal', 'state', 'county', 'city'];
    upper  text;
BEGIN
    SELECT j.level INTO upper
    FROM payroll.tax_jurisdiction AS j
    WHERE j.business_id = NEW.business_id
      AND j.tax_jurisdiction_id = NEW.parent_jurisdiction_id;
    -- Districts lie within a state, county or city; nothing lies within a district.
    IF coalesce(array_position(levels, upper), 9) >= coalesce(array_position(levels, NEW.level), 5)
       OR (upper = 'federal' AND NEW.level <> 'state') THEN
        RAISE EXCEPTION 'a jurisdiction of level % does not lie within a % one', NEW.level, upper
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.require_higher_parent() IS
    'A jurisdiction lies within one of a higher level, a state within the federation alone; so
     there is no circle.';

CREATE TRIGGER tax_jurisdiction_within_higher
    BEFORE INSERT OR UPDATE OF level, parent_jurisdiction_id ON payroll.tax_jurisdiction
    FOR EACH ROW WHEN (NEW.parent_jurisdiction_id IS NOT NULL)
    EXECUTE FUNCTION payroll.require_higher_parent();

CREATE FUNCTION payroll.pay_frequency_findings(schedule uuid)
    RETURNS TABLE (state_code text, frequency text, slowest_allowed text)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT DISTINCT l.state_code, s.frequency, j.slowest_pay_frequency
    FROM payroll.pay_schedule AS s
    JOIN payroll.work_location AS l
        ON l.business_id = s.business_id AND l.employer_entity_id = s.employer_entity_id
       AND l.is_active
    JOIN payroll.tax_jurisdiction AS j
        ON j.business_id = l.business_id AND j.level = 'state' AND j.code = l.state_code
    WHERE s.business_id = tenant_mgmt.current_business_id() AND s.pay_schedule_id = schedule
      AND payroll.pay_periods_a_year(s.frequency)
          < payroll.pay_periods_a_year(j.slowest_pay_frequency);
END;
COMMENT ON FUNCTION payroll.pay_frequency_findings(uuid) IS
    'The states of a schedule''s places that want people paid more often than it pays: none, where
     it satisfies the strictest of them.';

CREATE FUNCTION payroll.missing_jurisdictions()
    RETURNS TABLE (state_code text, workplaces bigint, homes bigint)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT u.state_code, count(*) FILTER (WHERE u.is_work), count(*) FILTER (WHERE NOT u.is_work)
    FROM (
        SELECT l.state_code, true AS is_work
        FROM payroll.work_location AS l
        WHERE l.business_id = tenant_mgmt.current_business_id() AND l.is_active
        UNION ALL
        SELECT r.state_code, false
        FROM payroll.employee_residence AS r
        WHERE r.business_id = tenant_mgmt.current_business_id() AND r.effective_until IS NULL
    ) AS u
    WHERE u.state_code IS NOT NULL AND NOT EXISTS (
        SELECT
        FROM payroll.tax_jurisdiction AS j
        WHERE j.business_id = tenant_mgmt.current_business_id() AND j.level = 'state'
          AND j.code = u.state_code)
    GROUP BY u.state_code;
END;
COMMENT ON FUNCTION payroll.missing_jurisdictions() IS
    'States in which somebody of the calling tenant works or lives and that are still to be copied
     from the catalog.';


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
    frequency             text              NOT NULL DEFAULT 'per_check',
    is_experience_rated   boolean           NOT NULL DEFAULT false,
    filing_form           text              NOT NULL,
    rounding              text              NOT NULL DEFAULT 'cent',
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tax_code_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id, tax_jurisdiction_id)
        REFERENCES payroll.tax_jurisdiction (business_id, tax_jurisdiction_id),
    CONSTRAINT tax_code_kind_known
        CHECK (tax_kind IN ('income', 'social_security', 'medicare', 'additional_medicare',
                            'futa', 'sui', 'sdi', 'pfml', 'local_income', 'local_services',
                            'transit', 'employment_training')),
    CONSTRAINT tax_code_payer_known CHECK (payer IN ('employee', 'employer', 'both')),
    CONSTRAINT tax_code_frequency_known
        CHECK (frequency IN ('per_check', 'annual_flat', 'quarterly')),
    CONSTRAINT tax_code_rounding_known CHECK (rounding IN ('cent', 'dollar')),
    CONSTRAINT tax_code_payer_fits
        CHECK (CASE WHEN tax_kind IN ('income', 'additional_medicare', 'local_income')
                    THEN payer = 'employee'
                    WHEN tax_kind = 'futa' THEN payer = 'employer'
                    WHEN tax_kind IN ('social_security', 'medicare') THEN payer = 'both'
                    ELSE true END),
    CONSTRAINT tax_code_base_where_there_is_one
        CHECK (tax_kind NOT IN ('social_security', 'futa', 'sui')
               OR coalesce(wage_base_amount, 0) > 0),
    CONSTRAINT tax_code_amounts_positive
        CHECK (wage_base_amount > 0 AND coalesce(annual_max_tax_amount, 1) > 0),
    CONSTRAINT tax_code_employers_earn_their_rate
        CHECK (NOT is_experience_rated OR payer <> 'employee'),
    CONSTRAINT tax_code_form_is_named CHECK (filing_form ~ '\S')
);

COMMENT ON TABLE payroll.tax_code IS
    'Tax of a jurisdiction: income, social security, Medicare, unemployment, family leave, local
     services.';
COMMENT ON COLUMN payroll.tax_code.wage_base_amount IS
    'Wages of a year and employer beyond which nothing is due; the version of a year goes first.';
COMMENT ON COLUMN payroll.tax_code.is_experience_rated IS
    'The employer''s rate is the one of its account, not of the table.';
COMMENT ON COLUMN payroll.tax_code.frequency IS
    'annual_flat and quarterly are taken whole from the first pay of the year or quarter.';

-- FK: what a jurisdiction levies, at every calculation.
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

CREATE TABLE payroll.tax_rate_version (
    business_id               uuid                    NOT NULL,
    tax_rate_version_id       uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    tax_code_id               uuid                    NOT NULL,
    tax_year                  integer                 NOT NULL,
    effective_from            date                    NOT NULL,
    effective_until           date,
    rate                      system_core.rate        NOT NULL DEFAULT 0,
    employer_rate             system_core.rate        NOT NULL DEFAULT 0,
    wage_base_amount          system_core.money,
    standard_deduction_amount system_core.money       NOT NULL DEFAULT 0,
    allowance_amount          system_core.money       NOT NULL DEFAULT 0,
    formula                   text                    NOT NULL,
    parameters                system_core.json_object NOT NULL DEFAULT '{}',
    published_reference       text,
    checksum                  text,
    created_at                timestamptz             NOT NULL DEFAULT now(),
    updated_at                timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tax_rate_version_id),
    FOREIGN KEY (business_id, tax_code_id) REFERENCES payroll.tax_code (business_id, tax_code_id),
    CONSTRAINT tax_rate_version_formula_known
        CHECK (formula IN ('flat', 'bracket', 'table', 'fixed_amount')),
    CONSTRAINT tax_rate_version_rate_bounded
        CHECK (rate BETWEEN 0 AND 0.5 AND employer_rate BETWEEN 0 AND 0.5),
    CONSTRAINT tax_rate_version_amounts_not_negative
        CHECK (standard_deduction_amount >= 0 AND allowance_amount >= 0
               AND coalesce(wage_base_amount, 1) > 0),
    CONSTRAINT tax_rate_version_ends_after_start CHECK (effective_until > effective_from),
    CONSTRAINT tax_rate_version_of_its_year
        CHECK (extract(year FROM effective_from) <= tax_year),
    CONSTRAINT tax_rate_version_fixed_amount_is_said
        CHECK (formula <> 'fixed_amount' OR parameters ? 'amount'),
    CONSTRAINT tax_rate_version_no_overlap EXCLUDE USING gist (
        business_id WITH =, tax_code_id WITH =,
        daterange(effective_from, effective_until) WITH &&)
);

COMMENT ON TABLE payroll.tax_rate_version IS
    'Dated rate or table of a tax code with its allowances.';
COMMENT ON COLUMN payroll.tax_rate_version.standard_deduction_amount IS
    'Of a year, taken off the annualized wages before the rate or the table.';
COMMENT ON COLUMN payroll.tax_rate_version.allowance_amount IS
    'Of a year, for each allowance of a certificate that counts allowances.';
COMMENT ON COLUMN payroll.tax_rate_version.formula IS
    'flat: a rate on the wages; bracket: a percentage-method table; table: an amount by wages and
     pay frequency; fixed_amount: parameters.amount a pay, quarter or year.';
COMMENT ON COLUMN payroll.tax_rate_version.parameters IS
    'Constants of the code: adjustment (by filing status or "other", line 1g of Pub 15-T worksheet
     1A), wages_above (taxed only above these wages of a year), amount (of a fixed one),
     allowance_credit (off the tax for each allowance), supplemental_over with
     supplemental_over_rate (for what a year''s bonuses exceed), taxes_deferrals and
     taxes_section_125 (states that do not follow the federal exemption).';

-- FK: the version of a code that holds on a day.
CREATE INDEX tax_rate_version_tax_code_idx
    ON payroll.tax_rate_version (business_id, tax_code_id, effective_from);

ALTER TABLE payroll.tax_rate_version ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.tax_rate_version
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.tax_rate_version TO app_user;
GRANT SELECT ON payroll.tax_rate_version TO app_readonly;

CREATE TRIGGER tax_rate_version_touch
    BEFORE UPDATE ON payroll.tax_rate_version
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TABLE payroll.tax_bracket (
    business_id         uuid              NOT NULL,
    tax_bracket_id      uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    tax_rate_version_id uuid              NOT NULL,
    filing_status       text              NOT NULL DEFAULT 'any',
    step2_checked       boolean           NOT NULL DEFAULT false,
    bracket_no          integer           NOT NULL,
    from_amount         system_core.money NOT NULL,
    to_amount           system_core.money,
    base_tax_amount     system_core.money NOT NULL DEFAULT 0,
    marginal_rate       system_core.rate  NOT NULL DEFAULT 0,
    pay_frequency       text              NOT NULL DEFAULT 'annual',
    created_at          timestamptz       NOT NULL DEFAULT now(),
    updated_at          timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tax_bracket_id),
    UNIQUE (business_id, tax_rate_version_id, filing_status, step2_checked, pay_frequency,
            bracket_no),
    FOREIGN KEY (business_id, tax_rate_version_id)
        REFERENCES payroll.tax_rate_version (business_id, tax_rate_version_id)
        ON DELETE CASCADE,
    CONSTRAINT tax_bracket_filing_status_known
        CHECK (filing_status IN ('single', 'married_joint', 'head_of_household',
                                 'married_separate', 'any')),
    CONSTRAINT tax_bracket_pay_frequency_known
        CHECK (pay_frequency IN ('annual', 'weekly', 'biweekly', 'semimonthly', 'monthly')),
    CONSTRAINT tax_bracket_marginal_rate_bounded CHECK (marginal_rate BETWEEN 0 AND 0.6),
    CONSTRAINT tax_bracket_numbered_from_one CHECK (bracket_no >= 1),
    CONSTRAINT tax_bracket_first_starts_at_zero CHECK ((bracket_no = 1) = (from_amount = 0)),
    CONSTRAINT tax_bracket_amounts_not_negative CHECK (from_amount >= 0 AND base_tax_amount >= 0),
    CONSTRAINT tax_bracket_ends_above_start CHECK (to_amount > from_amount)
);

COMMENT ON TABLE payroll.tax_bracket IS
    'Bracket of an annual percentage-method table by filing status.';
COMMENT ON COLUMN payroll.tax_bracket.from_amount IS 'The wages at the bracket''s foot, taxed 0.';
COMMENT ON COLUMN payroll.tax_bracket.to_amount IS 'Exclusive; NULL in the last bracket alone.';
COMMENT ON COLUMN payroll.tax_bracket.base_tax_amount IS 'The tax on from_amount.';
COMMENT ON COLUMN payroll.tax_bracket.step2_checked IS
    'For who ticked two jobs on the W-4: a table with half the width.';

ALTER TABLE payroll.tax_bracket ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.tax_bracket
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.tax_bracket TO app_user;
GRANT SELECT ON payroll.tax_bracket TO app_readonly;

CREATE TRIGGER tax_bracket_touch
    BEFORE UPDATE ON payroll.tax_bracket
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
CREATE FUNCTION payroll.require_contiguous_brackets() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    of_table payroll.tax_bracket;
    wrong    integer;
BEGIN
    of_table := CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    SELECT b.bracket_no INTO wrong
    FROM (
        SELECT x.bracket_no, x.from_amount, x.to_amount,
               row_number() OVER numbered AS place,
               lag(x.to_amount) OVER numbered AS former,
               lead(x.bracket_no) OVER numbered IS NULL AS is_last
        FROM payroll.tax_bracket AS x
        WHERE x.business_id = of_table.business_id
          AND x.tax_rate_version_id = of_table.tax_rate_version_id
          AND x.filing_status = of_table.filing_status
          AND x.step2_checked = of_table.step2_checked
          AND x.pay_frequency = of_table.pay_frequency
        WINDOW numbered AS (ORDER BY x.bracket_no)
    ) AS b
    WHERE b.bracket_no <> b.place OR (b.place > 1 AND b.from_amount IS DISTINCT FROM b.former)
       OR b.is_last <> (b.to_amount IS NULL)
    ORDER BY b.bracket_no
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'bracket % of the table does not follow on the one before it', wrong
            USING ERRCODE = 'check_violation',
                  HINT = 'Each starts where the former ends; the last one is open.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.require_contiguous_brackets() IS
    'The brackets of a table cover all wages once; asked at commit, when the table is whole.';

CREATE CONSTRAINT TRIGGER tax_bracket_contiguous
    AFTER INSERT OR UPDATE OR DELETE ON payroll.tax_bracket
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION payroll.require_contiguous_brackets();


CREATE FUNCTION payroll.tax_version(code uuid, day date) RETURNS uuid
    LANGUAGE sql STABLE
    RETURN (
        SELECT v.tax_rate_version_id
        FROM payroll.tax_rate_version AS v
        WHERE v.business_id = tenant_mgmt.current_business_id() AND v.tax_code_id = code
          AND daterange(v.effective_from, v.effective_until) @> day
        LIMIT 1);
COMMENT ON FUNCTION payroll.tax_version(uuid, date) IS
    'What a tax code of the calling tenant says on a day; NULL where the tables have a gap.';

CREATE FUNCTION payroll.bracket_tax(
    version       uuid,
    filing_status text,
    step2_checked boolean,
    pay_frequency text,
    wages         numeric
) RETURNS numeric
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (
        SELECT b.base_tax_amount + (wages - b.from_amount) * b.marginal_rate
        FROM payroll.tax_bracket AS b
        WHERE b.business_id = tenant_mgmt.current_business_id()
          AND b.tax_rate_version_id = version
          AND b.filing_status IN (bracket_tax.filing_status, 'any',
              -- Who is married and files separately is withheld from like the single.
              CASE bracket_tax.filing_status WHEN 'married_separate' THEN 'single' END)
          AND b.step2_checked <= bracket_tax.step2_checked
          AND b.pay_frequency = bracket_tax.pay_frequency
          AND b.from_amount <= greatest(wages, 0)
          AND (b.to_amount IS NULL OR b.to_amount > greatest(wages, 0))
        ORDER BY b.filing_status = bracket_tax.filing_status DESC, b.filing_status <> 'any' DESC,
                 b.step2_checked DESC
        LIMIT 1);
END
$$;
COMMENT ON FUNCTION payroll.bracket_tax(uuid, text, boolean, text, numeric) IS
    'The tax of a table of the calling tenant on wages of its frequency; the table for all where
     the filing status has none of its own, the plain one where there is none for two jobs.';

CREATE FUNCTION payroll.income_withholding(
    version       uuid,
    taxable_wages numeric,
    frequency     text,
    election      jsonb
) RETURNS numeric
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    periods    CONSTANT integer := payroll.pay_periods_a_year(frequency);
    status     CONSTANT text    := coalesce(election ->> 'filing_status', 'single');
    two_jobs   CONSTANT boolean := coalesce((election ->> 'step2_multiple_jobs')::boolean, false);
    allowances CONSTANT integer := coalesce((election ->> 'allowances')::integer, 0);
    of_day     payroll.tax_rate_version;
    annual     numeric;
    tax        numeric;
BEGIN
    IF coalesce((election ->> 'is_exempt')::boolean, false) THEN
        RETURN 0;
    END IF;
    SELECT v.* INTO of_day
    FROM payroll.tax_rate_version AS v
    WHERE v.business_id = tenant_mgmt.current_business_id() AND v.tax_rate_version_id = version;
    IF of_day.formula = 'table' THEN
        tax := payroll.bracket_tax(version, status, two_jobs, frequency, taxable_wages);
    ELSE
        -- Step 1: the wages of a year with other income, less deductions and allowances.
        annual := greatest(taxable_wages, 0) * periods
                  + coalesce((election ->> 'other_income_amount')::numeric, 0)
                  - coalesce((election ->> 'deductions_amount')::numeric, 0)
                  - of_day.standard_deduction_amount
                  - CASE WHEN two_jobs THEN 0
                         WHEN election ->> 'form_version' = 'w4_pre_2020' THEN 0
                         ELSE coalesce((of_day.parameters -> 'adjustment' ->> status)::numeric,
                                       (of_day.parameters -> 'adjustment' ->> 'other')::numeric,
                                       0) END
                  - allowances * of_day.allowance_amount;
        -- Step 2: the tax of the year by the table, and of the pay.
        tax := CASE of_day.formula
                   WHEN 'flat' THEN greatest(annual, 0) * of_day.rate
                   ELSE payroll.bracket_tax(version, status, two_jobs, 'annual',
                                            greatest(annual, 0)) END / periods;
    END IF;
    IF tax IS NULL THEN
        RAISE EXCEPTION 'no table for % % in the tax tables', status, frequency
            USING ERRCODE = 'no_data_found', HINT = 'Load the table for this filing status.';
    END IF;
    -- Step 3: credits for dependents; step 4: what the employee wants on top.
    RETURN round(greatest(
        tax - (coalesce((election ->> 'dependents_amount')::numeric, 0)
               + allowances * coalesce((of_day.parameters ->> 'allowance_credit')::numeric, 0))
              / periods, 0)
        + coalesce((election ->> 'extra_withholding_amount')::numeric, 0), 2);
END
$$;
COMMENT ON FUNCTION payroll.income_withholding(uuid, numeric, text, jsonb) IS
    'Income tax on the wages of a pay by a version of the calling tenant''s tables: the percentage
     method for automated payroll of Pub 15-T, worksheet 1A. The election has the columns of
     withholding_election; without one an employee is single and claims nothing.';

CREATE FUNCTION payroll.federal_withholding(
    taxable_wages numeric,
    frequency     text,
    election      jsonb,
    on_date       date
) RETURNS numeric
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    version uuid;
BEGIN
    SELECT payroll.tax_version(c.tax_code_id, on_date) INTO version
    FROM payroll.tax_jurisdiction AS j
    JOIN payroll.tax_code AS c
        ON c.business_id = j.business_id AND c.tax_jurisdiction_id = j.tax_jurisdiction_id
       AND c.tax_kind = 'income'
    WHERE j.business_id = tenant_mgmt.current_business_id() AND j.level = 'federal';
    IF version IS NULL THEN
        RAISE EXCEPTION 'no federal income tax table for %', on_date
            USING ERRCODE = 'no_data_found', HINT = 'Load the tables of the year.';
    END IF;
    RETURN payroll.income_withholding(version, taxable_wages, frequency, election);
END
$$;
COMMENT ON FUNCTION payroll.federal_withholding(numeric, text, jsonb, date) IS
    'Federal income tax to withhold from the wages of a pay, by the calling tenant''s tables of the
     day: percentage method of Pub 15-T with the steps of the W-4.';


CREATE TABLE payroll.employer_tax_account (
    business_id              uuid             NOT NULL,
    employer_tax_account_id  uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    employer_entity_id       uuid             NOT NULL,
    tax_jurisdiction_id      uuid             NOT NULL,
    tax_code_id              uuid,
    account_number           text,
    status                   text             NOT NULL DEFAULT 'applied_for',
    experience_rate          system_core.rate,
    experience_rate_from     date,
    deposit_frequency        text             NOT NULL,
    filing_frequency         text             NOT NULL DEFAULT 'quarterly',
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
        CHECK (experience_rate BETWEEN 0 AND 0.2),
    CONSTRAINT employer_tax_account_rate_has_date
        CHECK ((experience_rate IS NULL) = (experience_rate_from IS NULL)),
    CONSTRAINT employer_tax_account_active_has_number
        CHECK (status NOT IN ('active', 'closed') OR coalesce(account_number, '') ~ '\S')
);

COMMENT ON TABLE payroll.employer_tax_account IS
    'Registration of an employer with an agency: account, rate, deposit rhythm.';
COMMENT ON COLUMN payroll.employer_tax_account.tax_code_id IS
    'The one tax that the account is for; NULL: all of the jurisdiction.';
COMMENT ON COLUMN payroll.employer_tax_account.is_reimbursable_employer IS
    'Pays the state back for claims instead of contributions: nothing is due on wages.';

-- One open account per employer and tax.
CREATE UNIQUE INDEX employer_tax_account_open_idx
    ON payroll.employer_tax_account
       (business_id, employer_entity_id, tax_jurisdiction_id, tax_code_id) NULLS NOT DISTINCT
    WHERE status <> 'closed';

-- FK: the accounts with an agency.
CREATE INDEX employer_tax_account_tax_jurisdiction_idx
    ON payroll.employer_tax_account (business_id, tax_jurisdiction_id);

-- FK: the accounts for a tax.
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

CREATE TABLE payroll.withholding_election (
    business_id              uuid              NOT NULL,
    withholding_election_id  uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id              uuid              NOT NULL,
    tax_jurisdiction_id      uuid              NOT NULL,
    file_object_id           uuid,
    form_version             text              NOT NULL,
    filing_status            text              NOT NULL DEFAULT 'single',
    step2_multiple_jobs      boolean           NOT NULL DEFAULT false,
    dependents_amount        system_core.money NOT NULL DEFAULT 0,
    other_income_amount      system_core.money NOT NULL DEFAULT 0,
    deductions_amount        system_core.money NOT NULL DEFAULT 0,
    extra_withholding_amount system_core.money NOT NULL DEFAULT 0,
    allowances               integer           NOT NULL DEFAULT 0,
    is_exempt                boolean           NOT NULL DEFAULT false,
    exempt_expires_on        date,
    is_locked_in             boolean           NOT NULL DEFAULT false,
    lock_in_released_on      date,
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
    CONSTRAINT withholding_election_amounts_not_negative
        CHECK (dependents_amount >= 0 AND other_income_amount >= 0 AND deductions_amount >= 0
               AND extra_withholding_amount >= 0 AND allowances >= 0),
    CONSTRAINT withholding_election_new_form_has_no_allowances
        CHECK (form_version <> 'w4_2020' OR allowances = 0),
    CONSTRAINT withholding_election_old_form_has_no_steps
        CHECK (form_version <> 'w4_pre_2020'
               OR (NOT step2_multiple_jobs AND dependents_amount = 0 AND other_income_amount = 0
                   AND deductions_amount = 0)),
    CONSTRAINT withholding_election_exemption_expires
        CHECK (is_exempt = (exempt_expires_on IS NOT NULL)),
    CONSTRAINT withholding_election_exempt_until_15_february
        CHECK (exempt_expires_on
               = make_date(extract(year FROM effective_from)::integer + 1, 2, 15)),
    CONSTRAINT withholding_election_ends_after_start CHECK (effective_until > effective_from),
    CONSTRAINT withholding_election_release_is_of_lock_in
        CHECK (is_locked_in OR lock_in_released_on IS NULL),
    CONSTRAINT withholding_election_locked_is_not_exempt CHECK (NOT (is_locked_in AND is_exempt)),
    CONSTRAINT withholding_election_signed_unless_locked
        CHECK (is_locked_in OR signed_at IS NOT NULL),
    CONSTRAINT withholding_election_no_overlap EXCLUDE USING gist (
        business_id WITH =, employee_id WITH =, tax_jurisdiction_id WITH =,
        daterange(effective_from, effective_until) WITH &&)
);

COMMENT ON TABLE payroll.withholding_election IS
    'W-4 or state certificate of an employee, as signed.';
COMMENT ON COLUMN payroll.withholding_election.dependents_amount IS 'Step 3: a credit of a year.';
COMMENT ON COLUMN payroll.withholding_election.extra_withholding_amount IS
    'Step 4(c): on top of each pay.';
COMMENT ON COLUMN payroll.withholding_election.exempt_expires_on IS
    'From the next day on an exempt employee is withheld from as single, until a new form.';
COMMENT ON COLUMN payroll.withholding_election.is_locked_in IS
    'Put down by a letter of the tax agency, which no certificate of the employee overrides until
     the agency releases it.';

-- FK: the certificates of an employee, the newest first.
CREATE INDEX withholding_election_employee_idx
    ON payroll.withholding_election
       (business_id, employee_id, tax_jurisdiction_id, effective_from DESC);

-- FK: the certificates for a jurisdiction.
CREATE INDEX withholding_election_tax_jurisdiction_idx
    ON payroll.withholding_election (business_id, tax_jurisdiction_id);

-- FK: the signed form.
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
CREATE FUNCTION payroll.supersede_election() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    former payroll.withholding_election;
BEGIN
    SELECT e.* INTO former
    FROM payroll.withholding_election AS e
    WHERE e.business_id = NEW.business_id AND e.employee_id = NEW.employee_id
      AND e.tax_jurisdiction_id = NEW.tax_jurisdiction_id
      AND e.effective_from < NEW.effective_from
      AND daterange(e.effective_from, e.effective_until) @> NEW.effective_from
    ORDER BY e.effective_from DESC
    LIMIT 1
    FOR NO KEY UPDATE;
    IF former.is_locked_in AND NOT NEW.is_locked_in
       AND coalesce(former.lock_in_released_on > NEW.effective_from, true) THEN
        RAISE EXCEPTION 'the tax agency locked the withholding of this employee in'
            USING ERRCODE = 'check_violation',
                  HINT = 'A certificate counts again once the agency released the lock-in.';
    END IF;
    UPDATE payroll.withholding_election AS e
    SET effective_until = NEW.effective_from
    WHERE e.business_id = NEW.business_id
      AND e.withholding_election_id = former.withholding_election_id;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.supersede_election() IS
    'A new certificate ends the one before it, unless the tax agency locked that in.';

CREATE TRIGGER withholding_election_supersede
    BEFORE INSERT ON payroll.withholding_election
    FOR EACH ROW EXECUTE FUNCTION payroll.supersede_election();

CREATE FUNCTION payroll.election_of(employee uuid, jurisdiction uuid, day date) RETURNS jsonb
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT to_jsonb(e) || jsonb_build_object(
                   'is_exempt', e.is_exempt AND day <= e.exempt_expires_on)
        FROM payroll.withholding_election AS e
        WHERE e.business_id = tenant_mgmt.current_business_id() AND e.employee_id = employee
          AND e.tax_jurisdiction_id = jurisdiction
          AND daterange(e.effective_from, e.effective_until) @> day);
END
$$;
COMMENT ON FUNCTION payroll.election_of(uuid, uuid, date) IS
    'The certificate of an employee of the calling tenant that holds on a day, as a document; an
     exemption that has expired no longer counts. NULL where there is none.';


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
    threshold_days           integer     NOT NULL DEFAULT 0,
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
    CONSTRAINT tax_reciprocity_kind_fits
        CHECK (CASE agreement_kind WHEN 'full' THEN withhold_for = 'resident'
                                   WHEN 'credit' THEN withhold_for = 'both'
                                   ELSE withhold_for <> 'resident' END),
    CONSTRAINT tax_reciprocity_between_two
        CHECK (work_jurisdiction_id <> resident_jurisdiction_id),
    CONSTRAINT tax_reciprocity_threshold_bounded CHECK (threshold_days BETWEEN 0 AND 183),
    CONSTRAINT tax_reciprocity_ends_after_start CHECK (effective_until > effective_from)
);

COMMENT ON TABLE payroll.tax_reciprocity IS
    'Agreement between work and home state, and the certificate that triggers it.';
COMMENT ON COLUMN payroll.tax_reciprocity.agreement_kind IS
    'full: the home alone taxes; credit: the home takes what the work state took off its own;
     convenience_of_employer: the work state taxes also what is worked from home.';
COMMENT ON COLUMN payroll.tax_reciprocity.certificate_form IS
    'Form with which the employee claims it; on file as an exempt election for the work state.
     NULL: it holds by itself.';
COMMENT ON COLUMN payroll.tax_reciprocity.threshold_days IS
    'Days of work in a year that the work state lets pass untaxed.';

-- FK: what a state agreed on for its residents.
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
