/*
 * Pay setup: when a company pays, what it pays for, and what it takes off.
 *
 * A pay_schedule is a rhythm of an employer for a group of its people; open_pay_period() lays its
 * pay_periods out ahead, with check dates that fall on banking days and the deadlines that lead to
 * them. An earning_code says how a kind of pay is taxed and whether it counts in the regular rate
 * that overtime is paid on; a deduction_code says what a deduction does to the tax and when it is
 * its turn. What stands for an employee are recurring_earning and employee_deduction; what comes
 * once is a variable_pay_input, which a pay run consumes.
 *
 * A garnishment_order is what a court or an agency wants withheld; it carries its own limits, for
 * they differ by state and by case. It takes effect through an employee_deduction.
 *
 * effective_until is the first day on which something no longer holds.
 */

CREATE TABLE payroll.pay_schedule (
    business_id                 uuid             NOT NULL,
    pay_schedule_id             uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    employer_entity_id          uuid             NOT NULL,
    code                        system_core.code NOT NULL,
    name                        text             NOT NULL,
    frequency                   text             NOT NULL,
    pay_group                   text             NOT NULL DEFAULT 'everybody',
    anchor_period_end           date             NOT NULL,
    days_in_arrears             integer          NOT NULL DEFAULT 5,
    funding_lead_business_days  integer          NOT NULL DEFAULT 2,
    approval_lead_business_days integer          NOT NULL DEFAULT 1,
    weekend_rule                text             NOT NULL DEFAULT 'previous_business_day',
    auto_pilot                  boolean          NOT NULL DEFAULT false,
    next_check_date             date,
    is_active                   boolean          NOT NULL DEFAULT true,
    created_at                  timestamptz      NOT NULL DEFAULT now(),
    updated_at                  timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, pay_schedule_id),
    UNIQUE (business_id, employer_entity_id, code),
    FOREIGN KEY (business_id, employer_entity_id)
        REFERENCES payroll.employer_entity (business_id, employer_entity_id),
    CONSTRAINT pay_schedule_frequency_known
        CHECK (frequency IN ('weekly', 'biweekly', 'semimonthly', 'monthly', 'quarterly')),
    CONSTRAINT pay_schedule_pay_group_known
        CHECK (pay_group IN ('everybody', 'hourly', 'salaried')),
    CONSTRAINT pay_schedule_weekend_rule_known
        CHECK (weekend_rule IN ('previous_business_day', 'next_business_day')),
    CONSTRAINT pay_schedule_funding_lead_known
        CHECK (funding_lead_business_days IN (0, 1, 2, 4)),
    CONSTRAINT pay_schedule_approval_lead_bounded
        CHECK (approval_lead_business_days BETWEEN 0 AND 5),
    CONSTRAINT pay_schedule_arrears_bounded CHECK (days_in_arrears BETWEEN 0 AND 31),
    -- Nobody is paid twice: everybody is both groups.
    CONSTRAINT pay_schedule_groups_apart EXCLUDE USING gist (
        business_id WITH =, employer_entity_id WITH =,
        int4range(CASE pay_group WHEN 'salaried' THEN 1 ELSE 0 END,
                  CASE pay_group WHEN 'hourly' THEN 0 ELSE 1 END, '[]') WITH &&)
        WHERE (is_active)
);

COMMENT ON TABLE payroll.pay_schedule IS
    'Pay calendar: frequency, anchor, processing lead, which group of an employer it pays.';
COMMENT ON COLUMN payroll.pay_schedule.pay_group IS
    'Whom it pays: everybody, or the hourly and the salaried each in their own rhythm.';
COMMENT ON COLUMN payroll.pay_schedule.anchor_period_end IS
    'The end of the first period; weeks are counted from it.';
COMMENT ON COLUMN payroll.pay_schedule.days_in_arrears IS
    'From the end of a period to its check date; 0 pays current, before the hours are worked out.';
COMMENT ON COLUMN payroll.pay_schedule.funding_lead_business_days IS
    'Banking days from the debit of the employer to the credit of the employees.';
COMMENT ON COLUMN payroll.pay_schedule.auto_pilot IS
    'Runs are made, calculated and sent to review without anybody asking.';

ALTER TABLE payroll.pay_schedule ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.pay_schedule
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.pay_schedule TO app_user;
GRANT SELECT ON payroll.pay_schedule TO app_readonly;

CREATE TRIGGER pay_schedule_touch
    BEFORE UPDATE ON payroll.pay_schedule
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
CREATE FUNCTION payroll.pay_periods_a_year(frequency text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE frequency
        WHEN 'weekly' THEN 52
        WHEN 'biweekly' THEN 26
        WHEN 'semimonthly' THEN 24
        WHEN 'monthly' THEN 12
        WHEN 'quarterly' THEN 4
        WHEN 'annual' THEN 1
    END;
COMMENT ON FUNCTION payroll.pay_periods_a_year(text) IS 'How often a rhythm pays in a year.';

CREATE FUNCTION payroll.is_banking_day(day date) RETURNS boolean
    LANGUAGE sql STABLE
    RETURN extract(isodow FROM day) < 6 AND NOT EXISTS (
        SELECT
        FROM system_core.holiday_calendar AS c
        JOIN system_core.holiday AS h
            ON h.business_id = c.business_id AND h.holiday_calendar_id = c.holiday_calendar_id
        WHERE c.business_id = tenant_mgmt.current_business_id() AND c.is_default
          AND h.kind IN ('public', 'bank') AND coalesce(h.observed_date, h.holiday_date) = day);
COMMENT ON FUNCTION payroll.is_banking_day(date) IS
    'Whether banks settle that day: a weekday that the calling tenant''s default calendar does not
     close. A day that only the company is closed is one.';

CREATE FUNCTION payroll.banking_day(day date, steps integer) RETURNS date
    LANGUAGE plpgsql STABLE STRICT AS $$
DECLARE
    candidate date    := day;
    passed    integer := 0;
BEGIN
    IF steps = 0 THEN
        RETURN day;
    END IF;
    -- Day by day until it is found, mostly the first or second one.
    FOR n IN 1 .. 2 * abs(steps) + 14 LOOP
        candidate := candidate + sign(steps)::integer;
        IF payroll.is_banking_day(candidate) THEN
            passed := passed + 1;
            IF passed = abs(steps) THEN
                RETURN candidate;
            END IF;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.banking_day(date, integer) IS
    'The n-th banking day of the calling tenant after a date; before it where n is negative.';


CREATE TABLE payroll.pay_period (
    business_id          uuid        NOT NULL,
    pay_period_id        uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    pay_schedule_id      uuid        NOT NULL,
    period_no            integer     NOT NULL,
    tax_year             integer     NOT NULL
                                     GENERATED ALWAYS AS
                                         (extract(year FROM check_date)::integer) STORED,
    starts_on            date        NOT NULL,
    ends_on              date        NOT NULL,
    check_date           date        NOT NULL,
    input_deadline_at    timestamptz,
    approval_deadline_at timestamptz,
    status               text        NOT NULL DEFAULT 'future',
    working_days         integer     NOT NULL DEFAULT 0,
    is_third_check_month boolean     NOT NULL DEFAULT false,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, pay_period_id),
    UNIQUE (business_id, pay_schedule_id, starts_on),
    FOREIGN KEY (business_id, pay_schedule_id)
        REFERENCES payroll.pay_schedule (business_id, pay_schedule_id),
    CONSTRAINT pay_period_status_known
        CHECK (status IN ('future', 'open', 'in_processing', 'paid', 'closed')),
    CONSTRAINT pay_period_ends_after_start CHECK (ends_on >= starts_on),
    CONSTRAINT pay_period_check_date_not_before_start CHECK (check_date >= starts_on),
    CONSTRAINT pay_period_number_positive CHECK (period_no BETWEEN 1 AND 53),
    CONSTRAINT pay_period_working_days_fit
        CHECK (working_days BETWEEN 0 AND ends_on - starts_on + 1),
    CONSTRAINT pay_period_approval_after_input CHECK (approval_deadline_at >= input_deadline_at),
    CONSTRAINT pay_period_no_overlap EXCLUDE USING gist (
        business_id WITH =, pay_schedule_id WITH =, daterange(starts_on, ends_on, '[]') WITH &&)
);

COMMENT ON TABLE payroll.pay_period IS
    'One period of a schedule with its check date and deadlines.';
COMMENT ON COLUMN payroll.pay_period.period_no IS 'By check date within the tax year.';
COMMENT ON COLUMN payroll.pay_period.tax_year IS
    'Wages are income of the year in which they are paid, not in which they were earned.';
COMMENT ON COLUMN payroll.pay_period.is_third_check_month IS
    'One more check date in its month than usual: monthly deductions are not taken from it.';

-- The check dates of a schedule in order: which is next, which is the first of a month.
CREATE INDEX pay_period_check_date_idx
    ON payroll.pay_period (business_id, pay_schedule_id, check_date);

ALTER TABLE payroll.pay_period ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.pay_period
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.pay_period TO app_user;
GRANT SELECT ON payroll.pay_period TO app_readonly;

CREATE TRIGGER pay_period_touch
    BEFORE UPDATE ON payroll.pay_period
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
CREATE TRIGGER pay_period_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.pay_period
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["future", "open"],
        "transitions": {
            "future":        ["open"],
            "open":          ["in_processing"],
            "in_processing": ["open", "paid"],
            "paid":          ["closed"],
            "closed":        []
        }}');

CREATE FUNCTION payroll.require_arrears() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    arrears integer;
BEGIN
    SELECT s.days_in_arrears INTO arrears
    FROM payroll.pay_schedule AS s
    WHERE s.business_id = NEW.business_id AND s.pay_schedule_id = NEW.pay_schedule_id;
    IF arrears > 0 THEN
        RAISE EXCEPTION 'check date % lies before the end of its period, %', NEW.check_date,
                        NEW.ends_on
            USING ERRCODE = 'check_violation',
                  HINT = 'Only a schedule without days in arrears pays current.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.require_arrears() IS
    'Pay comes after the period it is for, unless the schedule pays current.';

CREATE TRIGGER pay_period_in_arrears
    BEFORE INSERT OR UPDATE OF check_date, ends_on, pay_schedule_id ON payroll.pay_period
    FOR EACH ROW WHEN (NEW.check_date < NEW.ends_on)
    EXECUTE FUNCTION payroll.require_arrears();

CREATE FUNCTION payroll.open_pay_period(
    schedule uuid,
    through  date,
    moment   timestamptz DEFAULT now()
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    plan    payroll.pay_schedule;
    zone    text;
    first   date;
    last    date;
    pays_on date;
    usual   integer;
    made    integer := 0;
BEGIN
    SELECT s.* INTO plan
    FROM payroll.pay_schedule AS s
    WHERE s.business_id = tenant AND s.pay_schedule_id = schedule
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such pay schedule' USING ERRCODE = 'no_data_found';
    END IF;
    SELECT b.time_zone INTO zone FROM tenant_mgmt.business AS b WHERE b.business_id = tenant;
    usual := CASE plan.frequency WHEN 'weekly' THEN 4 WHEN 'biweekly' THEN 2
                                 WHEN 'semimonthly' THEN 2 ELSE 1 END;
    SELECT max(p.ends_on) + 1 INTO first
    FROM payroll.pay_period AS p
    WHERE p.business_id = tenant AND p.pay_schedule_id = schedule;
    first := coalesce(first, CASE plan.frequency
        WHEN 'weekly' THEN plan.anchor_period_end - 6
        WHEN 'biweekly' THEN plan.anchor_period_end - 13
        WHEN 'semimonthly' THEN date_trunc('month', plan.anchor_period_end)::date
             + CASE WHEN extract(day FROM plan.anchor_period_end) > 15 THEN 15 ELSE 0 END
        WHEN 'monthly' THEN date_trunc('month', plan.anchor_period_end)::date
        ELSE date_trunc('quarter', plan.anchor_period_end)::date END);
    WHILE first <= through LOOP
        last := CASE plan.frequency
            WHEN 'weekly' THEN first + 6
            WHEN 'biweekly' THEN first + 13
            WHEN 'semimonthly' THEN CASE WHEN extract(day FROM first) < 15 THEN first + 14
                ELSE (date_trunc('month', first) + interval '1 month')::date - 1 END
            WHEN 'monthly' THEN (date_trunc('month', first) + interval '1 month')::date - 1
            ELSE (date_trunc('quarter', first) + interval '3 months')::date - 1 END;
        pays_on := last + plan.days_in_arrears;
        IF NOT payroll.is_banking_day(pays_on) THEN
            pays_on := payroll.banking_day(
                pays_on, CASE plan.weekend_rule WHEN 'next_business_day' THEN 1 ELSE -1 END);
            -- Shifted back into a period that pays in arrears: forward, then.
            IF pays_on < last AND plan.days_in_arrears > 0 THEN
                pays_on := payroll.banking_day(last, 1);
            END IF;
        END IF;
        INSERT INTO payroll.pay_period
            (business_id, pay_schedule_id, period_no, starts_on, ends_on, check_date,
             input_deadline_at, approval_deadline_at, status, working_days,
             is_third_check_month)
        SELECT tenant, schedule,
               1 + count(*) FILTER (WHERE p.tax_year = extract(year FROM pays_on)),
               first, last, pays_on,
               (payroll.banking_day(pays_on, -plan.funding_lead_business_days
                                             - plan.approval_lead_business_days)
                + time '12:00') AT TIME ZONE zone,
               (payroll.banking_day(pays_on, -plan.funding_lead_business_days)
                + time '16:00') AT TIME ZONE zone,
               CASE WHEN first <= (moment AT TIME ZONE zone)::date THEN 'open'
                    ELSE 'future' END,
               (SELECT count(*) FROM generate_series(0, last - first) AS d
                WHERE extract(isodow FROM first + d) < 6),
               count(*) FILTER (WHERE date_trunc('month', p.check_date)
                                      = date_trunc('month', pays_on)) >= usual
        FROM payroll.pay_period AS p
        WHERE p.business_id = tenant AND p.pay_schedule_id = schedule;
        made := made + 1;
        first := last + 1;
    END LOOP;
    -- What was laid out earlier has begun meanwhile.
    UPDATE payroll.pay_period AS p
    SET status = 'open'
    WHERE p.business_id = tenant AND p.pay_schedule_id = schedule AND p.status = 'future'
      AND p.starts_on <= (moment AT TIME ZONE zone)::date;
    UPDATE payroll.pay_schedule AS s
    SET next_check_date = (
        SELECT min(p.check_date)
        FROM payroll.pay_period AS p
        WHERE p.business_id = tenant AND p.pay_schedule_id = schedule
          AND p.check_date >= (moment AT TIME ZONE zone)::date)
    WHERE s.business_id = tenant AND s.pay_schedule_id = schedule;
    RETURN made;
END
$$;
COMMENT ON FUNCTION payroll.open_pay_period(uuid, date, timestamptz) IS
    'Lays out the periods of a schedule of the calling tenant until one holds the date: check dates
     on banking days, deadlines by the leads before them. Opens those that have begun. How many
     are new. Two at once lay them out once.';


CREATE TABLE payroll.earning_code (
    business_id             uuid                 NOT NULL,
    earning_code_id         uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    code                    system_core.code     NOT NULL,
    name                    text                 NOT NULL,
    earning_kind            text                 NOT NULL,
    multiplier              system_core.quantity NOT NULL DEFAULT 1,
    is_supplemental         boolean              NOT NULL DEFAULT false,
    in_regular_rate         boolean              NOT NULL DEFAULT false,
    taxable_federal         boolean              NOT NULL DEFAULT true,
    taxable_social_security boolean              NOT NULL DEFAULT true,
    taxable_medicare        boolean              NOT NULL DEFAULT true,
    taxable_state           boolean              NOT NULL DEFAULT true,
    w2_box                  text,
    counts_for_401k         boolean              NOT NULL DEFAULT false,
    gl_segment              text,
    is_default              boolean              NOT NULL DEFAULT false,
    is_active               boolean              NOT NULL DEFAULT true,
    created_at              timestamptz          NOT NULL DEFAULT now(),
    updated_at              timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, earning_code_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT earning_code_kind_known
        CHECK (earning_kind IN ('regular', 'overtime', 'doubletime', 'holiday', 'pto', 'bonus',
                                'commission', 'tips', 'severance', 'reimbursement', 'imputed',
                                'piece', 'premium')),
    CONSTRAINT earning_code_multiplier_bounded CHECK (multiplier BETWEEN 0 AND 3),
    CONSTRAINT earning_code_overtime_pays_more
        CHECK (CASE earning_kind WHEN 'overtime' THEN multiplier >= 1.5
                                 WHEN 'doubletime' THEN multiplier >= 2 ELSE true END),
    CONSTRAINT earning_code_reimbursement_not_taxable
        CHECK (earning_kind <> 'reimbursement'
               OR NOT (taxable_federal OR taxable_social_security OR taxable_medicare
                       OR taxable_state OR counts_for_401k OR in_regular_rate)),
    CONSTRAINT earning_code_supplemental_is_not_time
        CHECK (NOT is_supplemental
               OR earning_kind NOT IN ('regular', 'holiday', 'pto', 'reimbursement', 'imputed')),
    CONSTRAINT earning_code_premium_on_overtime_not_in_regular_rate
        CHECK (NOT in_regular_rate OR earning_kind NOT IN ('overtime', 'doubletime', 'imputed'))
);

COMMENT ON TABLE payroll.earning_code IS 'Kind of pay with its tax and overtime treatment.';
COMMENT ON COLUMN payroll.earning_code.is_supplemental IS
    'May be withheld from at the flat rate of its jurisdiction instead of through the tables.';
COMMENT ON COLUMN payroll.earning_code.in_regular_rate IS
    'Counts in the hourly rate that overtime is a multiple of: premiums, promised bonuses.';
COMMENT ON COLUMN payroll.earning_code.w2_box IS 'Box of the W-2 beside the wage boxes, 12-C.';
COMMENT ON COLUMN payroll.earning_code.is_default IS
    'What payroll pays by where nobody names a code: a salary, tips, the makeup of a minimum wage.';

-- The code of a kind that payroll chooses.
CREATE UNIQUE INDEX earning_code_default_idx
    ON payroll.earning_code (business_id, earning_kind)
    WHERE is_default;

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
    catch_up_from_age     integer,
    priority              integer           NOT NULL,
    arrears_allowed       boolean           NOT NULL DEFAULT false,
    w2_box_code           system_core.code,
    gl_segment            text,
    is_active             boolean           NOT NULL DEFAULT true,
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, deduction_code_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT deduction_code_category_known
        CHECK (category IN ('health', 'dental', 'vision', 'hsa', 'fsa', 'retirement_pretax',
                            'roth', 'garnishment', 'union_dues', 'loan', 'charity',
                            'life_over_50k', 'other')),
    CONSTRAINT deduction_code_tax_treatment_known
        CHECK (tax_treatment IN ('section_125', 'deferral_401k', 'post_tax', 'employer_only')),
    CONSTRAINT deduction_code_calculation_known
        CHECK (calculation IN ('flat', 'percent_gross', 'percent_disposable', 'per_hour',
                               'tiered')),
    CONSTRAINT deduction_code_priority_bounded CHECK (priority BETWEEN 1 AND 999),
    CONSTRAINT deduction_code_limits_positive
        CHECK (annual_limit_amount > 0 AND coalesce(catch_up_limit_amount, 1) > 0),
    CONSTRAINT deduction_code_catch_up_is_for_retirement
        CHECK (catch_up_limit_amount IS NULL OR category IN ('retirement_pretax', 'roth')),
    CONSTRAINT deduction_code_catch_up_is_whole
        CHECK ((catch_up_limit_amount IS NULL) = (catch_up_from_age IS NULL)
               AND (catch_up_limit_amount IS NULL OR annual_limit_amount IS NOT NULL)),
    CONSTRAINT deduction_code_treatment_fits
        CHECK (CASE category
                   WHEN 'retirement_pretax' THEN tax_treatment = 'deferral_401k'
                   WHEN 'roth' THEN tax_treatment = 'post_tax'
                   WHEN 'garnishment' THEN tax_treatment = 'post_tax'
                   ELSE tax_treatment <> 'deferral_401k' END),
    CONSTRAINT deduction_code_disposable_is_for_garnishments
        CHECK (calculation <> 'percent_disposable' OR category = 'garnishment')
);

COMMENT ON TABLE payroll.deduction_code IS
    'Kind of deduction or employer contribution with its order and tax effect.';
COMMENT ON COLUMN payroll.deduction_code.tax_treatment IS
    'section_125 lowers every taxed wage, deferral_401k the income-taxed one only.';
COMMENT ON COLUMN payroll.deduction_code.priority IS
    'Turn within what is left of the pay, low first. Taxes come before all of them.';
COMMENT ON COLUMN payroll.deduction_code.catch_up_limit_amount IS
    'On top of the annual limit from the year in which the employee reaches catch_up_from_age.';
COMMENT ON COLUMN payroll.deduction_code.arrears_allowed IS
    'What the pay was too small for is taken from a later one.';

-- FK: the deductions through which a plan is paid.
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

CREATE TABLE payroll.recurring_earning (
    business_id          uuid              NOT NULL,
    recurring_earning_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    approved_by          uuid,
    employee_id          uuid              NOT NULL,
    earning_code_id      uuid              NOT NULL,
    amount               system_core.money NOT NULL,
    unit                 text              NOT NULL DEFAULT 'per_period',
    effective_from       date              NOT NULL,
    effective_until      date,
    total_goal_amount    system_core.money,
    paid_to_date_amount  system_core.money NOT NULL DEFAULT 0,
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
    CONSTRAINT recurring_earning_ends_after_start CHECK (effective_until > effective_from),
    CONSTRAINT recurring_earning_paid_not_negative CHECK (paid_to_date_amount >= 0),
    CONSTRAINT recurring_earning_paid_up_to_goal CHECK (paid_to_date_amount <= total_goal_amount),
    CONSTRAINT recurring_earning_no_overlap EXCLUDE USING gist (
        business_id WITH =, employee_id WITH =, earning_code_id WITH =,
        daterange(effective_from, effective_until) WITH &&)
);

COMMENT ON TABLE payroll.recurring_earning IS
    'Standing earning of an employee: car allowance, phone, guaranteed bonus.';
COMMENT ON COLUMN payroll.recurring_earning.amount IS
    'Money, or percent of the base pay of the period where the unit says so.';
COMMENT ON COLUMN payroll.recurring_earning.total_goal_amount IS
    'It ends by itself once so much is paid; a sign-on bonus in six parts.';

-- FK: what somebody approved.
CREATE INDEX recurring_earning_approved_by_idx
    ON payroll.recurring_earning (business_id, approved_by)
    WHERE approved_by IS NOT NULL;

-- FK: what an employee is paid beside wages, at every calculation.
CREATE INDEX recurring_earning_employee_idx
    ON payroll.recurring_earning (business_id, employee_id, effective_from);

-- FK: who gets a kind of pay.
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

CREATE TABLE payroll.garnishment_agency (
    business_id           uuid              NOT NULL,
    garnishment_agency_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    postal_address_id     uuid,
    name                  text              NOT NULL,
    agency_kind           text              NOT NULL,
    state_code            text,
    fips_code             system_core.code,
    payment_method        text              NOT NULL DEFAULT 'eft',
    routing_token         text,
    requires_fips         boolean           NOT NULL DEFAULT false,
    remittance_due_days   integer           NOT NULL DEFAULT 7,
    contact_phone         system_core.phone,
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, garnishment_agency_id),
    UNIQUE NULLS NOT DISTINCT (business_id, name, state_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, postal_address_id)
        REFERENCES system_core.postal_address (business_id, postal_address_id),
    CONSTRAINT garnishment_agency_kind_known
        CHECK (agency_kind IN ('child_support_sdu', 'irs', 'state_tax', 'court',
                               'bankruptcy_trustee', 'student_loan', 'creditor')),
    CONSTRAINT garnishment_agency_payment_method_known
        CHECK (payment_method IN ('eft', 'check', 'portal')),
    CONSTRAINT garnishment_agency_state_is_two_letters CHECK (state_code ~ '^[A-Z]{2}$'),
    CONSTRAINT garnishment_agency_state_has_its_state
        CHECK (agency_kind NOT IN ('child_support_sdu', 'state_tax') OR state_code IS NOT NULL),
    CONSTRAINT garnishment_agency_due_days_bounded CHECK (remittance_due_days BETWEEN 0 AND 60),
    CONSTRAINT garnishment_agency_support_within_a_week
        CHECK (agency_kind <> 'child_support_sdu' OR remittance_due_days <= 7),
    CONSTRAINT garnishment_agency_fips_where_required
        CHECK (NOT requires_fips OR fips_code IS NOT NULL),
    CONSTRAINT garnishment_agency_transfer_has_account
        CHECK (payment_method <> 'eft' OR routing_token IS NOT NULL)
);

COMMENT ON TABLE payroll.garnishment_agency IS
    'Court, agency or creditor that receives withheld money.';
COMMENT ON COLUMN payroll.garnishment_agency.remittance_due_days IS
    'Days from the check date within which the money is to be there; federal law says seven
     business days for support.';
COMMENT ON COLUMN payroll.garnishment_agency.fips_code IS
    'Place of the order, which the addenda of a support payment name.';

-- FK: the agencies at an address.
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

CREATE TABLE payroll.garnishment_order (
    business_id             uuid                   NOT NULL,
    garnishment_order_id    uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    order_file_object_id    uuid,
    employee_id             uuid                   NOT NULL,
    garnishment_agency_id   uuid                   NOT NULL,
    case_number             text                   NOT NULL,
    order_kind              text                   NOT NULL,
    received_on             date                   NOT NULL,
    effective_on            date                   NOT NULL,
    withholding_amount      system_core.money,
    withholding_percent     system_core.percentage,
    max_percent_disposable  system_core.percentage,
    exempt_amount           system_core.money      NOT NULL DEFAULT 0,
    arrears_over_12_weeks   boolean                NOT NULL DEFAULT false,
    supports_second_family  boolean                NOT NULL DEFAULT false,
    priority                integer                NOT NULL DEFAULT 1,
    total_owed_amount       system_core.money,
    withheld_to_date_amount system_core.money      NOT NULL DEFAULT 0,
    status                  text                   NOT NULL DEFAULT 'pending',
    employer_fee_amount     system_core.money      NOT NULL DEFAULT 0,
    created_at              timestamptz            NOT NULL DEFAULT now(),
    updated_at              timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, garnishment_order_id),
    UNIQUE (business_id, employee_id, case_number),
    FOREIGN KEY (business_id, order_file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, garnishment_agency_id)
        REFERENCES payroll.garnishment_agency (business_id, garnishment_agency_id),
    CONSTRAINT garnishment_order_kind_known
        CHECK (order_kind IN ('child_support', 'spousal_support', 'federal_tax_levy',
                              'state_tax_levy', 'creditor', 'student_loan', 'bankruptcy')),
    CONSTRAINT garnishment_order_status_known
        CHECK (status IN ('pending', 'active', 'suspended', 'satisfied', 'released')),
    CONSTRAINT garnishment_order_says_how_much
        CHECK (num_nonnulls(withholding_amount, withholding_percent) = 1
               OR (num_nonnulls(withholding_amount, withholding_percent) = 0
                   AND order_kind IN ('federal_tax_levy', 'state_tax_levy'))),
    CONSTRAINT garnishment_order_amounts_not_negative
        CHECK (withholding_amount > 0 AND exempt_amount >= 0 AND employer_fee_amount >= 0),
    CONSTRAINT garnishment_order_percent_bounded
        CHECK (withholding_percent > 0 AND withholding_percent <= 100),
    CONSTRAINT garnishment_order_limit_by_kind
        CHECK (CASE
                   WHEN order_kind IN ('child_support', 'spousal_support')
                   THEN coalesce(max_percent_disposable, 0) BETWEEN 50
                        AND CASE WHEN supports_second_family THEN 50 ELSE 60 END
                            + CASE WHEN arrears_over_12_weeks THEN 5 ELSE 0 END
                   WHEN order_kind = 'creditor'
                   THEN coalesce(max_percent_disposable, 0) BETWEEN 1 AND 25
                   WHEN order_kind = 'student_loan'
                   THEN coalesce(max_percent_disposable, 0) BETWEEN 1 AND 15
                   ELSE coalesce(max_percent_disposable, 100) BETWEEN 1 AND 100 END),
    CONSTRAINT garnishment_order_second_family_is_for_support
        CHECK (order_kind IN ('child_support', 'spousal_support')
               OR NOT (supports_second_family OR arrears_over_12_weeks)),
    CONSTRAINT garnishment_order_withheld_up_to_owed
        CHECK (withheld_to_date_amount BETWEEN 0 AND total_owed_amount),
    CONSTRAINT garnishment_order_effective_after_receipt CHECK (effective_on >= received_on),
    CONSTRAINT garnishment_order_priority_positive CHECK (priority BETWEEN 1 AND 99)
);

COMMENT ON TABLE payroll.garnishment_order IS
    'Order to withhold: support, levy, creditor, loan, with limits and priority.';
COMMENT ON COLUMN payroll.garnishment_order.max_percent_disposable IS
    'Share of the disposable earnings that this and what goes before it may take. Of support 50 for
     who supports a second family, else 60, five more in arrears; of creditors 25 or what the state
     says; of student loans 15.';
COMMENT ON COLUMN payroll.garnishment_order.exempt_amount IS
    'What it leaves the employee of a pay at least: thirty hours of the minimum wage a week, or
     the amount of the table that came with the levy.';
COMMENT ON COLUMN payroll.garnishment_order.withholding_amount IS
    'A pay. A levy without amount and percent takes all that is not exempt.';

-- FK: the document of an order.
CREATE INDEX garnishment_order_order_file_object_idx
    ON payroll.garnishment_order (business_id, order_file_object_id)
    WHERE order_file_object_id IS NOT NULL;

-- FK: the orders that an agency collects.
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
CREATE TRIGGER garnishment_order_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.garnishment_order
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["pending"],
        "transitions": {
            "pending":   ["active", "released"],
            "active":    ["suspended", "satisfied", "released"],
            "suspended": ["active", "satisfied", "released"],
            "satisfied": ["active", "released"],
            "released":  []
        }}');

CREATE FUNCTION payroll.require_standing_deduction() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) AND NOT EXISTS (
        SELECT
        FROM payroll.employee_deduction AS d
        WHERE d.business_id = NEW.business_id
          AND d.garnishment_order_id = NEW.garnishment_order_id
    ) THEN
        RAISE EXCEPTION 'order % takes effect through a standing deduction, and has none',
                        NEW.case_number
            USING ERRCODE = 'check_violation',
                  HINT = 'Enter the employee''s deduction that names the order first.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.require_standing_deduction() IS
    'An order that is in force is withheld: payroll finds it through the deduction.';

CREATE TRIGGER garnishment_order_takes_effect
    BEFORE UPDATE OF status ON payroll.garnishment_order
    FOR EACH ROW WHEN (NEW.status = 'active' AND OLD.status <> 'active')
    EXECUTE FUNCTION payroll.require_standing_deduction();

CREATE FUNCTION payroll.garnishment_rank(order_kind text, received_on date, support_since date)
    RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN order_kind IN ('federal_tax_levy', 'state_tax_levy')
        THEN CASE WHEN received_on < support_since THEN 1 ELSE 3 END
        WHEN order_kind IN ('child_support', 'spousal_support') THEN 2
        WHEN order_kind = 'bankruptcy' THEN 4
        WHEN order_kind = 'student_loan' THEN 5
        ELSE 6 END;
COMMENT ON FUNCTION payroll.garnishment_rank(text, date, date) IS
    'The turn of a kind of order, low first: support comes before all but a tax levy that was
     received before the first support order; then trustees, student loans, creditors.';


CREATE TABLE payroll.variable_pay_input (
    business_id           uuid                   NOT NULL,
    variable_pay_input_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    entered_by            uuid,
    employee_id           uuid                   NOT NULL,
    pay_period_id         uuid                   NOT NULL,
    earning_code_id       uuid                   NOT NULL,
    pay_run_id            uuid,
    import_batch_id       uuid,
    hours                 numeric(9, 2),
    amount                system_core.money,
    units                 system_core.quantity,
    rate_amount           system_core.unit_price,
    input_kind            text                   NOT NULL,
    desired_net_amount    system_core.money,
    description           text,
    source                text                   NOT NULL DEFAULT 'manual',
    status                text                   NOT NULL DEFAULT 'draft',
    approved_at           timestamptz,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
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
    CONSTRAINT variable_pay_input_kind_known
        CHECK (input_kind IN ('bonus', 'commission', 'tips', 'reimbursement', 'hours',
                              'correction', 'gross_up')),
    CONSTRAINT variable_pay_input_source_known
        CHECK (source IN ('manual', 'import', 'api', 'timesheet')),
    CONSTRAINT variable_pay_input_status_known
        CHECK (status IN ('draft', 'approved', 'consumed', 'rejected')),
    CONSTRAINT variable_pay_input_says_something
        CHECK (num_nonnulls(amount, hours, units, desired_net_amount) >= 1),
    CONSTRAINT variable_pay_input_net_is_for_gross_up
        CHECK ((desired_net_amount IS NOT NULL) = (input_kind = 'gross_up')),
    CONSTRAINT variable_pay_input_hours_are_hours
        CHECK (input_kind <> 'hours' OR hours IS NOT NULL),
    CONSTRAINT variable_pay_input_units_have_rate CHECK (units IS NULL OR rate_amount IS NOT NULL),
    CONSTRAINT variable_pay_input_only_corrections_take_back
        CHECK (input_kind = 'correction'
               OR (coalesce(amount, 0) >= 0 AND coalesce(hours, 0) >= 0
                   AND coalesce(units, 0) >= 0 AND coalesce(desired_net_amount, 1) > 0)),
    CONSTRAINT variable_pay_input_approved_has_time
        CHECK (status NOT IN ('approved', 'consumed') OR approved_at IS NOT NULL),
    CONSTRAINT variable_pay_input_consumed_by_run
        CHECK (status <> 'consumed' OR pay_run_id IS NOT NULL)
);

COMMENT ON TABLE payroll.variable_pay_input IS
    'One-time pay for a period: bonus, commission, tips, reimbursement, hours import.';
COMMENT ON COLUMN payroll.variable_pay_input.pay_run_id IS
    'The run that pays it: chosen for an off-cycle run, taken up by the regular one.';
COMMENT ON COLUMN payroll.variable_pay_input.hours IS
    'Paid at rate_amount, or at the rate of the primary job times the code''s multiplier.';
COMMENT ON COLUMN payroll.variable_pay_input.desired_net_amount IS
    'What the employee is to get after taxes; gross_up() finds the gross.';

-- FK: what somebody entered.
CREATE INDEX variable_pay_input_entered_by_idx
    ON payroll.variable_pay_input (business_id, entered_by)
    WHERE entered_by IS NOT NULL;

-- FK: what an employee gets in a period, at every calculation.
CREATE INDEX variable_pay_input_employee_idx
    ON payroll.variable_pay_input (business_id, employee_id, pay_period_id);

-- FK: what is entered for a period.
CREATE INDEX variable_pay_input_pay_period_idx
    ON payroll.variable_pay_input (business_id, pay_period_id);

-- FK: the inputs of a kind of pay.
CREATE INDEX variable_pay_input_earning_code_idx
    ON payroll.variable_pay_input (business_id, earning_code_id);

-- FK: what a run pays.
CREATE INDEX variable_pay_input_pay_run_idx
    ON payroll.variable_pay_input (business_id, pay_run_id)
    WHERE pay_run_id IS NOT NULL;

-- FK: what came with an import, to take it back.
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
CREATE TRIGGER variable_pay_input_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.variable_pay_input
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":    ["approved", "rejected"],
            "approved": ["draft", "consumed", "rejected"],
            "consumed": ["approved"],
            "rejected": []
        }}');

CREATE FUNCTION payroll.refuse_change_of_consumed() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what a run paid is not changed'
        USING ERRCODE = 'restrict_violation',
              HINT = 'Enter a correction, or void the paycheck.';
END
$$;
COMMENT ON FUNCTION payroll.refuse_change_of_consumed() IS
    'A consumed input explains a paycheck and stays as it was.';

CREATE TRIGGER variable_pay_input_consumed_stays
    BEFORE UPDATE ON payroll.variable_pay_input
    FOR EACH ROW WHEN (OLD.status = 'consumed' AND NEW.status = 'consumed'
                       AND (OLD.employee_id, OLD.earning_code_id, OLD.amount, OLD.hours, OLD.units,
                            OLD.rate_amount, OLD.desired_net_amount, OLD.pay_run_id)
                           IS DISTINCT FROM
                           (NEW.employee_id, NEW.earning_code_id, NEW.amount, NEW.hours, NEW.units,
                            NEW.rate_amount, NEW.desired_net_amount, NEW.pay_run_id))
    EXECUTE FUNCTION payroll.refuse_change_of_consumed();

CREATE TRIGGER variable_pay_input_consumed_not_deleted
    BEFORE DELETE ON payroll.variable_pay_input
    FOR EACH ROW WHEN (OLD.status = 'consumed')
    EXECUTE FUNCTION payroll.refuse_change_of_consumed();


CREATE TABLE payroll.employee_deduction (
    business_id           uuid                   NOT NULL,
    employee_deduction_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id           uuid                   NOT NULL,
    deduction_code_id     uuid                   NOT NULL,
    benefit_enrollment_id uuid,
    garnishment_order_id  uuid,
    amount                system_core.money,
    percent               system_core.percentage,
    employer_amount       system_core.money      NOT NULL DEFAULT 0,
    employer_percent      system_core.percentage NOT NULL DEFAULT 0,
    effective_from        date                   NOT NULL,
    effective_until       date,
    goal_amount           system_core.money,
    taken_to_date_amount  system_core.money      NOT NULL DEFAULT 0,
    arrears_amount        system_core.money      NOT NULL DEFAULT 0,
    frequency             text                   NOT NULL DEFAULT 'every_period',
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
    CONSTRAINT employee_deduction_amount_or_percent CHECK (num_nonnulls(amount, percent) = 1),
    CONSTRAINT employee_deduction_percent_bounded
        CHECK (percent BETWEEN 0 AND 100 AND coalesce(employer_percent, 0) BETWEEN 0 AND 100),
    CONSTRAINT employee_deduction_amounts_not_negative
        CHECK (coalesce(amount, 0) >= 0 AND employer_amount >= 0 AND employer_percent >= 0
               AND coalesce(goal_amount, 0) >= 0 AND taken_to_date_amount >= 0
               AND arrears_amount >= 0),
    CONSTRAINT employee_deduction_taken_up_to_goal CHECK (taken_to_date_amount <= goal_amount),
    CONSTRAINT employee_deduction_of_plan_or_order
        CHECK (num_nonnulls(benefit_enrollment_id, garnishment_order_id) <= 1),
    CONSTRAINT employee_deduction_ends_after_start CHECK (effective_until > effective_from)
);

COMMENT ON TABLE payroll.employee_deduction IS
    'Standing deduction of an employee with limits and arrears.';
COMMENT ON COLUMN payroll.employee_deduction.employer_percent IS
    'Of the same wages as the employee''s percent: the match of a retirement plan.';
COMMENT ON COLUMN payroll.employee_deduction.goal_amount IS
    'It ends by itself once so much is taken; the balance of a loan.';
COMMENT ON COLUMN payroll.employee_deduction.arrears_amount IS
    'What earlier pays were too small for and a later one is to make up.';

-- FK: what is taken from an employee, at every calculation.
CREATE INDEX employee_deduction_employee_idx
    ON payroll.employee_deduction (business_id, employee_id, effective_from);

-- FK: from whom a kind of deduction is taken.
CREATE INDEX employee_deduction_deduction_code_idx
    ON payroll.employee_deduction (business_id, deduction_code_id);

-- FK: how an enrollment is paid.
CREATE INDEX employee_deduction_benefit_enrollment_idx
    ON payroll.employee_deduction (business_id, benefit_enrollment_id)
    WHERE benefit_enrollment_id IS NOT NULL;

-- FK: an order is withheld once.
CREATE UNIQUE INDEX employee_deduction_garnishment_order_idx
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
CREATE FUNCTION payroll.require_own_garnishment() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT
        FROM payroll.garnishment_order AS o
        JOIN payroll.deduction_code AS c
            ON c.business_id = NEW.business_id AND c.deduction_code_id = NEW.deduction_code_id
        WHERE o.business_id = NEW.business_id
          AND o.garnishment_order_id = NEW.garnishment_order_id
          AND o.employee_id = NEW.employee_id AND c.category = 'garnishment'
    ) THEN
        RAISE EXCEPTION 'an order is withheld from its employee, by a code for garnishments'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.require_own_garnishment() IS
    'The deduction of an order is of the same employee and of category garnishment.';

CREATE TRIGGER employee_deduction_own_garnishment
    BEFORE INSERT OR UPDATE OF employee_id, deduction_code_id, garnishment_order_id
    ON payroll.employee_deduction
    FOR EACH ROW WHEN (NEW.garnishment_order_id IS NOT NULL)
    EXECUTE FUNCTION payroll.require_own_garnishment();


CREATE FUNCTION payroll.unit_rate(
    pay_basis    text,
    rate         numeric,
    annualized   numeric,
    weekly_hours numeric
) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE pay_basis
               WHEN 'salary' THEN round(annualized / (52 * coalesce(nullif(weekly_hours, 0), 40)),
                                        6)
               ELSE rate END;
COMMENT ON FUNCTION payroll.unit_rate(text, numeric, numeric, numeric) IS
    'What a rate pays: for an hour to the hourly and, by the usual hours, the salaried; else for a
     piece or a day.';

CREATE FUNCTION payroll.rate_on(assignment uuid, day date) RETURNS numeric
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (
        SELECT payroll.unit_rate(r.pay_basis, r.rate_amount, r.annualized_amount,
                                 a.standard_hours_weekly)
        FROM payroll.compensation_rate AS r
        JOIN payroll.job_assignment AS a
            ON a.business_id = r.business_id AND a.job_assignment_id = r.job_assignment_id
        WHERE r.business_id = tenant_mgmt.current_business_id()
          AND r.job_assignment_id = assignment
          AND daterange(r.effective_from, r.effective_until) @> day
        ORDER BY r.effective_from DESC
        LIMIT 1);
END
$$;
COMMENT ON FUNCTION payroll.rate_on(uuid, date) IS
    'The rate of an assignment of the calling tenant on a day: of an hour for the hourly and, by
     the usual hours, the salaried; else of a piece or a day.';

CREATE FUNCTION payroll.regular_rate(employee uuid, workweek_start date) RETURNS numeric
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH entry AS (
        SELECT e.work_date, e.hours, e.piece_count, e.entry_kind, r.pay_basis,
               o.regular_rate_method = 'rate_in_effect' AS by_rate_in_effect,
               -- A premium that does not count is no part of what the hour earned.
               coalesce(CASE WHEN c.earning_kind <> 'premium' OR c.in_regular_rate
                             THEN e.rate_override_amount END,
                        payroll.unit_rate(r.pay_basis, r.rate_amount, r.annualized_amount,
                                          a.standard_hours_weekly), 0) AS rate
        FROM payroll.timesheet AS t
        JOIN payroll.timesheet_entry AS e
            ON e.business_id = t.business_id AND e.timesheet_id = t.timesheet_id
        JOIN payroll.job_assignment AS a
            ON a.business_id = e.business_id AND a.job_assignment_id = e.job_assignment_id
        JOIN payroll.earning_code AS c
            ON c.business_id = e.business_id AND c.earning_code_id = e.earning_code_id
        LEFT JOIN payroll.overtime_rule AS o
            ON o.business_id = e.business_id AND o.overtime_rule_id = e.overtime_rule_id
        LEFT JOIN payroll.compensation_rate AS r
            ON r.business_id = e.business_id AND r.job_assignment_id = e.job_assignment_id
           AND daterange(r.effective_from, r.effective_until) @> e.work_date
        WHERE t.business_id = tenant_mgmt.current_business_id() AND t.employee_id = employee
          AND e.work_date BETWEEN workweek_start AND workweek_start + 6
          AND e.entry_kind IN ('regular', 'overtime', 'doubletime', 'training', 'travel')
    ), promised AS (
        SELECT coalesce(sum(v.amount * 7.0 / (p.ends_on - p.starts_on + 1)), 0) AS amount
        FROM payroll.variable_pay_input AS v
        JOIN payroll.earning_code AS c
            ON c.business_id = v.business_id AND c.earning_code_id = v.earning_code_id
        JOIN payroll.pay_period AS p
            ON p.business_id = v.business_id AND p.pay_period_id = v.pay_period_id
        WHERE v.business_id = tenant_mgmt.current_business_id() AND v.employee_id = employee
          AND v.status IN ('approved', 'consumed') AND c.in_regular_rate AND v.amount > 0
          AND workweek_start BETWEEN p.starts_on AND p.ends_on
    )
    SELECT round(CASE
        WHEN bool_and(by_rate_in_effect) FILTER (WHERE entry_kind = 'overtime')
        THEN sum(rate * hours) FILTER (WHERE entry_kind = 'overtime')
             / sum(hours) FILTER (WHERE entry_kind = 'overtime')
        ELSE (sum(CASE pay_basis
                      WHEN 'piece' THEN coalesce(piece_count, 0) * rate
                      WHEN 'day_rate'
                      THEN rate * hours / (SELECT sum(d.hours) FROM entry AS d
                                           WHERE d.work_date = entry.work_date)
                      WHEN 'commission_only' THEN 0
                      ELSE hours * rate END)
              + (SELECT p.amount FROM promised AS p))
             / nullif(sum(hours), 0) END, 6)
    FROM entry;
END;
COMMENT ON FUNCTION payroll.regular_rate(uuid, date) IS
    'What an hour of a workweek earned an employee of the calling tenant on average, over all rates
     with premiums and promised bonuses, but not the extra of overtime: what overtime is a multiple
     of. The rate in effect where the overtime rule says so. NULL without hours.';


-- What earlier files point to here.
ALTER TABLE payroll.timesheet
    ADD FOREIGN KEY (business_id, pay_period_id)
        REFERENCES payroll.pay_period (business_id, pay_period_id);

ALTER TABLE payroll.pay_premium_rule
    ADD FOREIGN KEY (business_id, earning_code_id)
        REFERENCES payroll.earning_code (business_id, earning_code_id);

ALTER TABLE payroll.timesheet_entry
    ADD FOREIGN KEY (business_id, earning_code_id)
        REFERENCES payroll.earning_code (business_id, earning_code_id);

ALTER TABLE payroll.time_off_policy
    ADD FOREIGN KEY (business_id, earning_code_id)
        REFERENCES payroll.earning_code (business_id, earning_code_id);
