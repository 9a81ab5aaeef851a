/*
 * After the run: year-to-date totals, back pay, corrections, and tips.
 *
 * A ytd_accumulator is what an employee earned, was withheld and worked in a quarter and the year
 * so far, item by item; limits and wage bases are asked of it. It is made of final paychecks only
 * (refresh_accumulators() in 39_run_approval.sql) and proven by register_differences(). A
 * retro_adjustment is the difference that a later change of rate or hours makes to a paycheck, a
 * paycheck_correction takes one back or writes it anew. A tip_declaration is what an employee says
 * to have got of guests, and what the employer adds where that does not reach the minimum wage.
 */

CREATE TABLE payroll.ytd_accumulator (
    business_id          uuid                 NOT NULL,
    ytd_accumulator_id   uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id          uuid                 NOT NULL,
    employer_entity_id   uuid                 NOT NULL,
    tax_year             integer              NOT NULL,
    quarter_no           integer              NOT NULL,
    item_kind            text                 NOT NULL,
    item_code            system_core.code     NOT NULL,
    jurisdiction_code    system_core.code,
    amount_mtd           system_core.quantity NOT NULL DEFAULT 0,
    amount_qtd           system_core.quantity NOT NULL DEFAULT 0,
    amount_ytd           system_core.quantity NOT NULL DEFAULT 0,
    last_paycheck_key    uuid,
    last_recalculated_at timestamptz          NOT NULL DEFAULT now(),
    is_adjusted          boolean              NOT NULL DEFAULT false,
    created_at           timestamptz          NOT NULL DEFAULT now(),
    updated_at           timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, ytd_accumulator_id),
    UNIQUE NULLS NOT DISTINCT (business_id, employee_id, employer_entity_id, tax_year, quarter_no,
                               item_kind, item_code, jurisdiction_code),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, employer_entity_id)
        REFERENCES payroll.employer_entity (business_id, employer_entity_id),
    CONSTRAINT ytd_accumulator_item_kind_known
        CHECK (item_kind IN ('earning', 'deduction', 'tax', 'taxable_wage', 'hours')),
    CONSTRAINT ytd_accumulator_quarter_bounded CHECK (quarter_no BETWEEN 1 AND 4),
    CONSTRAINT ytd_accumulator_taxes_have_jurisdiction
        CHECK ((item_kind IN ('tax', 'taxable_wage')) = (jurisdiction_code IS NOT NULL)),
    CONSTRAINT ytd_accumulator_first_quarter_is_the_year
        CHECK (quarter_no > 1 OR amount_ytd = amount_qtd)
) WITH (fillfactor = 60);  -- every pay of the year updates its totals

COMMENT ON TABLE payroll.ytd_accumulator IS
    'Year, quarter and month totals per employee and item: the basis of limits and wage bases.';
COMMENT ON COLUMN payroll.ytd_accumulator.item_code IS
    'Code of the earning, deduction or tax; with :employer behind it what the employer paid.';
COMMENT ON COLUMN payroll.ytd_accumulator.amount_mtd IS
    'Of the month in which the employee was last paid in the quarter.';
COMMENT ON COLUMN payroll.ytd_accumulator.amount_ytd IS 'Of the year to the end of the quarter.';
COMMENT ON COLUMN payroll.ytd_accumulator.is_adjusted IS
    'A paycheck that had counted in it was taken back.';

-- FK, and quarter_wage_report: the wages of a quarter of an employer by item.
CREATE INDEX ytd_accumulator_quarter_idx
    ON payroll.ytd_accumulator
       (business_id, employer_entity_id, tax_year, quarter_no, item_kind, item_code);

ALTER TABLE payroll.ytd_accumulator ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.ytd_accumulator
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.ytd_accumulator TO app_user;
GRANT SELECT ON payroll.ytd_accumulator TO app_readonly;

CREATE TRIGGER ytd_accumulator_touch
    BEFORE UPDATE ON payroll.ytd_accumulator
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TABLE payroll.retro_adjustment (
    business_id            uuid              NOT NULL,
    retro_adjustment_id    uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    original_paycheck_id   uuid              NOT NULL,
    paid_in_pay_run_id     uuid,
    employee_id            uuid              NOT NULL,
    compensation_rate_id   uuid,
    reason                 text              NOT NULL,
    from_date              date              NOT NULL,
    to_date                date              NOT NULL,
    old_amount             system_core.money NOT NULL DEFAULT 0,
    new_amount             system_core.money NOT NULL DEFAULT 0,
    difference_amount      system_core.money NOT NULL
                                             GENERATED ALWAYS AS
                                                 (new_amount - old_amount
                                                  + overtime_effect_amount) STORED,
    overtime_effect_amount system_core.money NOT NULL DEFAULT 0,
    consented_on           date,
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
    CONSTRAINT retro_adjustment_ends_after_start CHECK (to_date >= from_date),
    CONSTRAINT retro_adjustment_approved_has_time
        CHECK (status NOT IN ('approved', 'paid') OR approved_at IS NOT NULL),
    CONSTRAINT retro_adjustment_paid_in_run
        CHECK (status <> 'paid' OR paid_in_pay_run_id IS NOT NULL),
    CONSTRAINT retro_adjustment_recovered_with_consent
        CHECK (status NOT IN ('approved', 'paid') OR difference_amount >= 0
               OR consented_on IS NOT NULL)
);

COMMENT ON TABLE payroll.retro_adjustment IS
    'Back pay or recovery from a change made after payment.';
COMMENT ON COLUMN payroll.retro_adjustment.new_amount IS
    'What the time of the paycheck is worth now but for overtime; old_amount what was paid for it.';
COMMENT ON COLUMN payroll.retro_adjustment.overtime_effect_amount IS
    'What overtime is worth more, because the regular rate moved.';
COMMENT ON COLUMN payroll.retro_adjustment.consented_on IS
    'When the employee agreed in writing that pay is taken back. Some states want it, so it is asked
     for everywhere.';

-- FK: what a paycheck is adjusted by.
CREATE INDEX retro_adjustment_original_paycheck_idx
    ON payroll.retro_adjustment (business_id, original_paycheck_id);

-- FK: what a run pays of the past.
CREATE INDEX retro_adjustment_paid_in_pay_run_idx
    ON payroll.retro_adjustment (business_id, paid_in_pay_run_id)
    WHERE paid_in_pay_run_id IS NOT NULL;

-- FK: what an employee is still owed, at every calculation.
CREATE INDEX retro_adjustment_employee_idx
    ON payroll.retro_adjustment (business_id, employee_id, status);

-- FK: what a change of rate caused.
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
CREATE TRIGGER retro_adjustment_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.retro_adjustment
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["proposed"],
        "transitions": {
            "proposed": ["approved", "waived"],
            "approved": ["proposed", "paid", "waived"],
            "paid":     ["approved"],
            "waived":   []
        }}');

CREATE FUNCTION payroll.require_own_paycheck() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT
        FROM payroll.paycheck AS p
        WHERE p.business_id = NEW.business_id AND p.paycheck_id = NEW.original_paycheck_id
          AND p.employee_id = NEW.employee_id AND p.status <> 'draft'
    ) THEN
        RAISE EXCEPTION 'a retro adjustment is of a final paycheck of the same employee'
            USING ERRCODE = 'check_violation',
                  HINT = 'A draft is calculated anew instead.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.require_own_paycheck() IS
    'What is paid later belongs to a paycheck that the employee got.';

CREATE TRIGGER retro_adjustment_own_paycheck
    BEFORE INSERT OR UPDATE OF original_paycheck_id, employee_id ON payroll.retro_adjustment
    FOR EACH ROW EXECUTE FUNCTION payroll.require_own_paycheck();


CREATE TABLE payroll.paycheck_correction (
    business_id             uuid              NOT NULL,
    paycheck_correction_id  uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    original_paycheck_id    uuid              NOT NULL,
    replacement_paycheck_id uuid,
    requested_by            uuid              NOT NULL,
    approved_by             uuid,
    correction_kind         text              NOT NULL,
    reason                  text              NOT NULL,
    requested_at            timestamptz       NOT NULL DEFAULT now(),
    approved_at             timestamptz,
    net_recovered_amount    system_core.money NOT NULL DEFAULT 0,
    recovery_method         text              NOT NULL DEFAULT 'none',
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
    CONSTRAINT paycheck_correction_kind_known
        CHECK (correction_kind IN ('void', 'reverse', 'reissue', 'amount_change',
                                   'stop_payment')),
    CONSTRAINT paycheck_correction_recovery_method_known
        CHECK (recovery_method IN ('ach_reversal', 'next_pay', 'repayment', 'none')),
    CONSTRAINT paycheck_correction_status_known
        CHECK (status IN ('requested', 'approved', 'done', 'failed', 'refused')),
    CONSTRAINT paycheck_correction_by_two CHECK (approved_by <> requested_by),
    CONSTRAINT paycheck_correction_approved_by_somebody
        CHECK ((approved_by IS NULL) = (approved_at IS NULL)
               AND (status NOT IN ('approved', 'done') OR approved_by IS NOT NULL)),
    CONSTRAINT paycheck_correction_approved_after_request CHECK (approved_at >= requested_at),
    CONSTRAINT paycheck_correction_replaces_another
        CHECK (replacement_paycheck_id <> original_paycheck_id),
    CONSTRAINT paycheck_correction_recovers_somehow
        CHECK (net_recovered_amount >= 0
               AND (net_recovered_amount = 0 OR recovery_method <> 'none')),
    CONSTRAINT paycheck_correction_amends_a_past_quarter
        CHECK (NOT amends_filing OR reverses_quarter),
    CONSTRAINT paycheck_correction_has_reason CHECK (reason ~ '\S')
);

COMMENT ON TABLE payroll.paycheck_correction IS
    'Void, reversal or reissue of a paycheck with its tax effects.';
COMMENT ON COLUMN payroll.paycheck_correction.reverses_quarter IS
    'The paycheck is of an earlier quarter than the correction.';
COMMENT ON COLUMN payroll.paycheck_correction.amends_filing IS
    'The return of that quarter was filed and is to be amended (941-X).';

-- A paycheck is voided once.
CREATE UNIQUE INDEX paycheck_correction_void_idx
    ON payroll.paycheck_correction (business_id, original_paycheck_id)
    WHERE correction_kind = 'void' AND status = 'done';

-- FK: what was put right in a paycheck.
CREATE INDEX paycheck_correction_original_paycheck_idx
    ON payroll.paycheck_correction (business_id, original_paycheck_id);

-- FK: what a paycheck was written instead of.
CREATE INDEX paycheck_correction_replacement_paycheck_idx
    ON payroll.paycheck_correction (business_id, replacement_paycheck_id)
    WHERE replacement_paycheck_id IS NOT NULL;

-- FK: what somebody asked for.
CREATE INDEX paycheck_correction_requested_by_idx
    ON payroll.paycheck_correction (business_id, requested_by);

-- FK: what somebody approved.
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
CREATE TRIGGER paycheck_correction_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.paycheck_correction
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["requested"],
        "transitions": {
            "requested": ["approved", "refused"],
            "approved":  ["done", "failed"],
            "failed":    ["approved"],
            "done":      [],
            "refused":   []
        }}');

CREATE FUNCTION payroll.require_reversal_in_time() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    last_day date;
BEGIN
    SELECT payroll.banking_day(p.check_date, 5) INTO last_day
    FROM payroll.paycheck AS p
    WHERE p.business_id = NEW.business_id AND p.paycheck_id = NEW.original_paycheck_id;
    IF (NEW.requested_at AT TIME ZONE 'UTC')::date > last_day THEN
        RAISE EXCEPTION 'the bank takes a deposit back until %', last_day
            USING ERRCODE = 'check_violation',
                  HINT = 'Recover it from the next pay or by repayment.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.require_reversal_in_time() IS
    'A direct deposit can be reversed within five banking days of its settlement.';

CREATE TRIGGER paycheck_correction_reversal_in_time
    BEFORE INSERT OR UPDATE OF recovery_method, requested_at ON payroll.paycheck_correction
    FOR EACH ROW WHEN (NEW.recovery_method = 'ach_reversal')
    EXECUTE FUNCTION payroll.require_reversal_in_time();


CREATE TABLE payroll.tip_declaration (
    business_id                uuid              NOT NULL,
    tip_declaration_id         uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id                uuid              NOT NULL,
    pay_period_id              uuid              NOT NULL,
    timesheet_id               uuid,
    declared_on                date              NOT NULL,
    cash_tips_amount           system_core.money NOT NULL DEFAULT 0,
    charged_tips_amount        system_core.money NOT NULL DEFAULT 0,
    pooled_out_amount          system_core.money NOT NULL DEFAULT 0,
    pooled_in_amount           system_core.money NOT NULL DEFAULT 0,
    sales_amount               system_core.money NOT NULL DEFAULT 0,
    allocated_tips_amount      system_core.money NOT NULL DEFAULT 0,
    tip_credit_hours           numeric(9, 2)     NOT NULL DEFAULT 0,
    tip_credit_amount          system_core.money NOT NULL DEFAULT 0,
    minimum_wage_makeup_amount system_core.money NOT NULL DEFAULT 0,
    source                     text              NOT NULL DEFAULT 'pos',
    created_at                 timestamptz       NOT NULL DEFAULT now(),
    updated_at                 timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tip_declaration_id),
    UNIQUE (business_id, employee_id, declared_on),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, pay_period_id)
        REFERENCES payroll.pay_period (business_id, pay_period_id),
    FOREIGN KEY (business_id, timesheet_id)
        REFERENCES payroll.timesheet (business_id, timesheet_id),
    CONSTRAINT tip_declaration_source_known CHECK (source IN ('pos', 'self_service', 'import')),
    CONSTRAINT tip_declaration_amounts_not_negative
        CHECK (cash_tips_amount >= 0 AND charged_tips_amount >= 0 AND pooled_out_amount >= 0
               AND pooled_in_amount >= 0 AND sales_amount >= 0 AND allocated_tips_amount >= 0
               AND tip_credit_hours >= 0 AND tip_credit_amount >= 0
               AND minimum_wage_makeup_amount >= 0),
    CONSTRAINT tip_declaration_pools_what_there_was
        CHECK (pooled_out_amount <= cash_tips_amount + charged_tips_amount),
    CONSTRAINT tip_declaration_day_has_24_hours CHECK (tip_credit_hours <= 24),
    CONSTRAINT tip_declaration_credit_is_for_hours
        CHECK (tip_credit_amount = 0 OR tip_credit_hours > 0)
);

COMMENT ON TABLE payroll.tip_declaration IS
    'Tips declared by a tipped employee, pooled and allocated.';
COMMENT ON COLUMN payroll.tip_declaration.cash_tips_amount IS
    'Kept by the employee: taxed through the paycheck, not paid by it. Charged ones are both.';
COMMENT ON COLUMN payroll.tip_declaration.allocated_tips_amount IS
    'What is missing of the expected share of sales: reported in W-2 box 8, not withheld from.';
COMMENT ON COLUMN payroll.tip_declaration.tip_credit_amount IS
    'What the employer counts of the tips towards the minimum wage of the hours.';
COMMENT ON COLUMN payroll.tip_declaration.minimum_wage_makeup_amount IS
    'What the employer adds where cash wage and tips stay below the minimum wage.';

-- FK: the tips of a period, at every calculation.
CREATE INDEX tip_declaration_pay_period_idx
    ON payroll.tip_declaration (business_id, pay_period_id, employee_id);

-- FK: the tips of a timesheet.
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
CREATE FUNCTION payroll.settle_tip_credit() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    minimum   numeric;
    cash_wage numeric;
BEGIN
    SELECT l.minimum_wage_amount, payroll.rate_on(a.job_assignment_id, NEW.declared_on)
    INTO minimum, cash_wage
    FROM payroll.job_assignment AS a
    JOIN payroll.work_location AS l
        ON l.business_id = a.business_id AND l.work_location_id = a.work_location_id
    WHERE a.business_id = NEW.business_id AND a.employee_id = NEW.employee_id
      AND daterange(a.effective_from, a.effective_until) @> NEW.declared_on
    ORDER BY a.is_primary DESC, a.effective_from DESC
    LIMIT 1;
    IF NEW.tip_credit_amount
       > round(NEW.tip_credit_hours * greatest(minimum - cash_wage, 0), 2) THEN
        RAISE EXCEPTION 'a tip credit of % for % hours at a cash wage of % exceeds the minimum '
                        'wage of %', NEW.tip_credit_amount, NEW.tip_credit_hours, cash_wage, minimum
            USING ERRCODE = 'check_violation';
    END IF;
    NEW.minimum_wage_makeup_amount := coalesce(greatest(0, round(
        NEW.tip_credit_hours * (minimum - cash_wage)
        - (NEW.cash_tips_amount + NEW.charged_tips_amount - NEW.pooled_out_amount
           + NEW.pooled_in_amount), 2)), 0);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.settle_tip_credit() IS
    'The credit of an hour is at most what the cash wage lacks of the minimum wage of the place;
     what tips do not fill of that, the employer makes up.';

CREATE TRIGGER tip_declaration_settle_credit
    BEFORE INSERT OR UPDATE ON payroll.tip_declaration
    FOR EACH ROW EXECUTE FUNCTION payroll.settle_tip_credit();

CREATE FUNCTION payroll.allocate_tips(period uuid, expected_percent numeric DEFAULT 8)
    RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    allocated integer;
BEGIN
    -- What a place's declarations lack of the expected share of its sales, by whom lacks most.
    UPDATE payroll.tip_declaration AS d
    SET allocated_tips_amount = s.share
    FROM (
        SELECT x.tip_declaration_id,
               CASE WHEN x.place_lack > 0 AND x.lack > 0
                    THEN round(x.place_lack * x.lack
                               / sum(x.lack) FILTER (WHERE x.lack > 0) OVER by_place, 2)
                    ELSE 0 END AS share
        FROM (
            SELECT t.tip_declaration_id, e.primary_work_location_id AS place,
                   t.sales_amount * expected_percent / 100 - t.declared AS lack,
                   sum(t.sales_amount * expected_percent / 100 - t.declared)
                       OVER (PARTITION BY e.primary_work_location_id) AS place_lack
            FROM (
                SELECT y.*, y.cash_tips_amount + y.charged_tips_amount - y.pooled_out_amount
                            + y.pooled_in_amount AS declared
                FROM payroll.tip_declaration AS y
                WHERE y.business_id = tenant_mgmt.current_business_id()
                  AND y.pay_period_id = period
            ) AS t
            JOIN payroll.employee AS e
                ON e.business_id = t.business_id AND e.employee_id = t.employee_id
        ) AS x
        WINDOW by_place AS (PARTITION BY x.place)
    ) AS s
    -- The period once more: whatever the plan, it goes through the period's declarations at most.
    WHERE d.business_id = tenant_mgmt.current_business_id() AND d.pay_period_id = period
      AND d.tip_declaration_id = s.tip_declaration_id
      AND d.allocated_tips_amount <> s.share;
    GET DIAGNOSTICS allocated = ROW_COUNT;
    RETURN allocated;
END
$$;
COMMENT ON FUNCTION payroll.allocate_tips(uuid, numeric) IS
    'Where the tips declared at a place in a period of the calling tenant stay below the expected
     share of its sales, allocates the rest among who declared less than theirs; how many
     declarations changed. Asked again, it comes to the same.';
