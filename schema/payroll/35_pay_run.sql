/*
 * The pay run: one payment of a schedule from draft to paid, and what it paid each employee.
 *
 * A pay_run goes through a state machine. calculate_payroll() (38_pay_calculation.sql) fills its
 * paychecks and may do so again until the run is approved; what it finds wrong are
 * pay_run_exceptions, and an open blocker stops approval. A pay_run_approval is a step by somebody
 * else than the preparer and notes the hash of what was approved. Recalculation voids it.
 *
 * A paycheck is the sum of its lines: paycheck_earning, paycheck_deduction, paycheck_tax. As a
 * draft it is rewritten at will; once final, neither it nor a line changes, and it counts in the
 * ytd_accumulators, in what standing deductions and orders have taken, and in what recurring
 * earnings have paid. What was wrong in it is put right by a paycheck_correction (void_paycheck())
 * or a retro_adjustment, which a later run pays.
 *
 * gross = what is paid, reimbursements included; imputed earnings are taxed but not in it.
 * net = gross - deductions before tax - employee taxes - deductions after tax, to the cent.
 */

CREATE TABLE payroll.pay_run (
    business_id          uuid                     NOT NULL,
    pay_run_id           uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    prepared_by          uuid,
    pay_schedule_id      uuid                     NOT NULL,
    pay_period_id        uuid,
    employer_entity_id   uuid                     NOT NULL,
    run_number           text                     NOT NULL,
    run_kind             text                     NOT NULL DEFAULT 'regular',
    status               text                     NOT NULL DEFAULT 'draft',
    check_date           date                     NOT NULL,
    gross_amount         system_core.money        NOT NULL DEFAULT 0,
    net_amount           system_core.money        NOT NULL DEFAULT 0,
    employee_tax_amount  system_core.money        NOT NULL DEFAULT 0,
    employer_tax_amount  system_core.money        NOT NULL DEFAULT 0,
    deduction_amount     system_core.money        NOT NULL DEFAULT 0,
    employer_cost_amount system_core.money        NOT NULL DEFAULT 0,
    employee_count       integer                  NOT NULL DEFAULT 0,
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
    CONSTRAINT pay_run_kind_known
        CHECK (run_kind IN ('regular', 'off_cycle', 'bonus', 'correction', 'termination',
                            'gross_up', 'third_party_sick', 'historical_import')),
    CONSTRAINT pay_run_status_known
        CHECK (status IN ('draft', 'calculating', 'calculated', 'in_review', 'approved', 'funded',
                          'paid', 'partially_returned', 'reversed', 'cancelled')),
    CONSTRAINT pay_run_regular_has_period
        CHECK (run_kind <> 'regular' OR pay_period_id IS NOT NULL),
    CONSTRAINT pay_run_reconciles
        CHECK (gross_amount = net_amount + employee_tax_amount + deduction_amount),
    CONSTRAINT pay_run_costs_at_least_gross
        CHECK (employer_cost_amount >= gross_amount + employer_tax_amount),
    CONSTRAINT pay_run_people_countable CHECK (employee_count >= 0),
    CONSTRAINT pay_run_calculated_has_time
        CHECK (status IN ('draft', 'calculating', 'cancelled') OR calculated_at IS NOT NULL)
);

COMMENT ON TABLE payroll.pay_run IS 'One run of a period or an off-cycle run.';
COMMENT ON COLUMN payroll.pay_run.pay_period_id IS
    'Off-cycle runs may name the period whose inputs they pay.';
COMMENT ON COLUMN payroll.pay_run.deduction_amount IS 'Before and after tax.';
COMMENT ON COLUMN payroll.pay_run.employer_cost_amount IS
    'Gross with the employer''s taxes and contributions.';
COMMENT ON COLUMN payroll.pay_run.gross_amount IS
    'The totals are what the run paid out; a paycheck that is voided later stays in them.';

-- One regular run pays a period.
CREATE UNIQUE INDEX pay_run_regular_idx
    ON payroll.pay_run (business_id, pay_period_id)
    WHERE run_kind = 'regular' AND status NOT IN ('cancelled', 'reversed');

-- FK: what somebody prepared.
CREATE INDEX pay_run_prepared_by_idx
    ON payroll.pay_run (business_id, prepared_by)
    WHERE prepared_by IS NOT NULL;

-- FK: the runs of a schedule, the newest first.
CREATE INDEX pay_run_pay_schedule_idx
    ON payroll.pay_run (business_id, pay_schedule_id, check_date DESC);

-- FK: all runs of a period.
CREATE INDEX pay_run_pay_period_idx
    ON payroll.pay_run (business_id, pay_period_id)
    WHERE pay_period_id IS NOT NULL;

-- FK: the runs of an employer by date: its deposits, its quarters.
CREATE INDEX pay_run_employer_entity_idx
    ON payroll.pay_run (business_id, employer_entity_id, check_date);

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


CREATE TABLE payroll.pay_run_approval (
    business_id              uuid               NOT NULL,
    pay_run_approval_id      uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    approver_user_account_id uuid               NOT NULL,
    pay_run_id               uuid               NOT NULL,
    step_no                  integer            NOT NULL DEFAULT 1,
    approval_role            text               NOT NULL,
    decision                 text               NOT NULL DEFAULT 'pending',
    decided_at               timestamptz,
    comment                  text,
    approved_net_amount      system_core.money,
    content_hash             system_core.sha256,
    device_note              text,
    created_at               timestamptz        NOT NULL DEFAULT now(),
    updated_at               timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, pay_run_approval_id),
    UNIQUE (business_id, pay_run_id, step_no),
    FOREIGN KEY (business_id, approver_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, pay_run_id) REFERENCES payroll.pay_run (business_id, pay_run_id)
        ON DELETE CASCADE,
    CONSTRAINT pay_run_approval_role_known
        CHECK (approval_role IN ('payroll_manager', 'finance', 'owner')),
    CONSTRAINT pay_run_approval_decision_known
        CHECK (decision IN ('pending', 'approved', 'returned', 'escalated')),
    CONSTRAINT pay_run_approval_steps_from_one CHECK (step_no BETWEEN 1 AND 9),
    CONSTRAINT pay_run_approval_decided_has_time
        CHECK ((decision = 'pending') = (decided_at IS NULL)),
    CONSTRAINT pay_run_approval_approves_what_it_saw
        CHECK ((decision = 'approved')
               = (content_hash IS NOT NULL AND approved_net_amount IS NOT NULL))
);

COMMENT ON TABLE payroll.pay_run_approval IS
    'Approval step of a run, by someone other than the preparer.';
COMMENT ON COLUMN payroll.pay_run_approval.content_hash IS
    'Of all paychecks and lines when it was approved (run_content_hash()).';
COMMENT ON COLUMN payroll.pay_run_approval.approver_user_account_id IS
    'Who is asked, and who decided.';

-- FK: what waits for somebody.
CREATE INDEX pay_run_approval_approver_user_account_idx
    ON payroll.pay_run_approval (business_id, approver_user_account_id, decision);

ALTER TABLE payroll.pay_run_approval ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.pay_run_approval
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.pay_run_approval TO app_user;
GRANT SELECT ON payroll.pay_run_approval TO app_readonly;

CREATE TRIGGER pay_run_approval_touch
    BEFORE UPDATE ON payroll.pay_run_approval
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
CREATE TRIGGER pay_run_approval_state_machine
    BEFORE INSERT OR UPDATE OF decision ON payroll.pay_run_approval
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('decision', '{
        "initial": ["pending"],
        "transitions": {
            "pending":   ["approved", "returned", "escalated"],
            "escalated": ["approved", "returned"],
            "approved":  ["returned"],
            "returned":  ["pending", "approved"]
        }}');

CREATE FUNCTION payroll.refuse_self_approval() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT
        FROM payroll.pay_run AS r
        WHERE r.business_id = NEW.business_id AND r.pay_run_id = NEW.pay_run_id
          AND r.prepared_by = NEW.approver_user_account_id
    ) THEN
        RAISE EXCEPTION 'nobody approves the pay run that they prepared'
            USING ERRCODE = 'check_violation', HINT = 'Ask a second person.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.refuse_self_approval() IS
    'Two people stand behind every pay run: who prepared it and who approves it.';

CREATE TRIGGER pay_run_approval_by_another
    BEFORE INSERT OR UPDATE OF approver_user_account_id ON payroll.pay_run_approval
    FOR EACH ROW EXECUTE FUNCTION payroll.refuse_self_approval();


CREATE TABLE payroll.pay_run_exception (
    business_id          uuid              NOT NULL,
    pay_run_exception_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    cleared_by           uuid,
    pay_run_id           uuid              NOT NULL,
    employee_id          uuid,
    code                 text              NOT NULL,
    severity             text              NOT NULL,
    message              text              NOT NULL,
    amount               system_core.money,
    detected_at          timestamptz       NOT NULL DEFAULT now(),
    status               text              NOT NULL DEFAULT 'open',
    cleared_at           timestamptz,
    override_reason      text,
    created_at           timestamptz       NOT NULL DEFAULT now(),
    updated_at           timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, pay_run_exception_id),
    FOREIGN KEY (business_id, cleared_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, pay_run_id) REFERENCES payroll.pay_run (business_id, pay_run_id)
        ON DELETE CASCADE,
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    CONSTRAINT pay_run_exception_code_known
        CHECK (code IN ('missing_tax_setup', 'negative_net', 'no_bank_account',
                        'unapproved_timesheet', 'below_minimum_wage', 'large_variance',
                        'missing_w4', 'garnishment_over_limit', 'duplicate_input', 'unfunded',
                        'new_hire_no_i9', 'onboarding_open')),
    CONSTRAINT pay_run_exception_severity_known CHECK (severity IN ('blocker', 'warning', 'info')),
    CONSTRAINT pay_run_exception_status_known
        CHECK (status IN ('open', 'fixed', 'overridden', 'ignored')),
    CONSTRAINT pay_run_exception_cleared_has_time
        CHECK ((status = 'open') = (cleared_at IS NULL)),
    CONSTRAINT pay_run_exception_cleared_after_detection CHECK (cleared_at >= detected_at),
    CONSTRAINT pay_run_exception_overridden_by_somebody_for_a_reason
        CHECK (status <> 'overridden'
               OR (cleared_by IS NOT NULL AND coalesce(override_reason, '') ~ '\S')),
    CONSTRAINT pay_run_exception_some_cannot_be_overridden
        CHECK (status <> 'overridden' OR severity <> 'blocker'
               OR code NOT IN ('missing_tax_setup', 'negative_net')),
    CONSTRAINT pay_run_exception_blockers_are_not_ignored
        CHECK (status <> 'ignored' OR severity <> 'blocker')
);

COMMENT ON TABLE payroll.pay_run_exception IS 'Blocker or warning found in a run.';
COMMENT ON COLUMN payroll.pay_run_exception.status IS
    'fixed: a later calculation no longer found it.';

-- A finding of a run and employee is told once; what was decided on it holds for recalculations.
CREATE UNIQUE INDEX pay_run_exception_once_idx
    ON payroll.pay_run_exception (business_id, pay_run_id, employee_id, code) NULLS NOT DISTINCT
    WHERE status <> 'fixed';

-- FK: the findings of a run; what stops its approval.
CREATE INDEX pay_run_exception_pay_run_idx
    ON payroll.pay_run_exception (business_id, pay_run_id, severity);

-- FK: what somebody cleared.
CREATE INDEX pay_run_exception_cleared_by_idx
    ON payroll.pay_run_exception (business_id, cleared_by)
    WHERE cleared_by IS NOT NULL;

-- FK: the findings about an employee.
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
CREATE TRIGGER pay_run_exception_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.pay_run_exception
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["open"],
        "transitions": {
            "open":       ["fixed", "overridden", "ignored"],
            "fixed":      ["open"],
            "overridden": [],
            "ignored":    []
        }}');


CREATE TABLE payroll.paycheck (
    business_id              uuid                 NOT NULL,
    paycheck_id              uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    pay_run_id               uuid                 NOT NULL,
    employee_id              uuid                 NOT NULL,
    pay_period_id            uuid,
    check_number             text                 NOT NULL,
    check_date               date                 NOT NULL,
    status                   text                 NOT NULL DEFAULT 'draft',
    gross_amount             system_core.money    NOT NULL DEFAULT 0,
    pretax_deduction_amount  system_core.money    NOT NULL DEFAULT 0,
    taxable_federal_amount   system_core.money    NOT NULL DEFAULT 0,
    employee_tax_amount      system_core.money    NOT NULL DEFAULT 0,
    posttax_deduction_amount system_core.money    NOT NULL DEFAULT 0,
    net_amount               system_core.money    NOT NULL DEFAULT 0,
    employer_tax_amount      system_core.money    NOT NULL DEFAULT 0,
    employer_benefit_amount  system_core.money    NOT NULL DEFAULT 0,
    hours_worked             system_core.quantity NOT NULL DEFAULT 0,
    payment_method           text                 NOT NULL DEFAULT 'direct_deposit',
    work_state               text,
    resident_state           text,
    created_at               timestamptz          NOT NULL DEFAULT now(),
    updated_at               timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, paycheck_id),
    UNIQUE (business_id, pay_run_id, employee_id),
    UNIQUE (business_id, check_number),
    FOREIGN KEY (business_id, pay_run_id) REFERENCES payroll.pay_run (business_id, pay_run_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, pay_period_id)
        REFERENCES payroll.pay_period (business_id, pay_period_id),
    CONSTRAINT paycheck_status_known
        CHECK (status IN ('draft', 'final', 'paid', 'voided', 'returned', 'reissued')),
    CONSTRAINT paycheck_payment_method_known
        CHECK (payment_method IN ('direct_deposit', 'check', 'pay_card', 'mixed')),
    CONSTRAINT paycheck_reconciles
        CHECK (net_amount = gross_amount - pretax_deduction_amount - employee_tax_amount
                            - posttax_deduction_amount),
    CONSTRAINT paycheck_net_not_negative CHECK (net_amount >= 0),
    CONSTRAINT paycheck_amounts_not_negative
        CHECK (gross_amount >= 0 AND pretax_deduction_amount >= 0 AND taxable_federal_amount >= 0
               AND employee_tax_amount >= 0 AND posttax_deduction_amount >= 0
               AND employer_tax_amount >= 0 AND employer_benefit_amount >= 0
               AND hours_worked >= 0),
    CONSTRAINT paycheck_states_are_two_letters
        CHECK (work_state ~ '^[A-Z]{2}$' AND coalesce(resident_state, 'XX') ~ '^[A-Z]{2}$')
) WITH (fillfactor = 70);  -- written, calculated, made final and paid

COMMENT ON TABLE payroll.paycheck IS 'Pay of one employee in one run.';
COMMENT ON COLUMN payroll.paycheck.work_state IS 'Where the primary job was, on the check date.';
COMMENT ON COLUMN payroll.paycheck.status IS
    'draft counts nowhere; returned: the bank sent the money back; reissued: it was sent again.';

-- FK: the pay stubs of an employee, the newest first.
CREATE INDEX paycheck_employee_idx
    ON payroll.paycheck (business_id, employee_id, check_date DESC);

-- FK: who was paid for a period.
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
CREATE TRIGGER paycheck_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.paycheck
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":    ["final"],
            "final":    ["draft", "paid", "voided"],
            "paid":     ["returned", "voided"],
            "returned": ["reissued", "voided"],
            "reissued": ["voided"],
            "voided":   []
        }}');

CREATE FUNCTION payroll.paycheck_counts(status text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN status IN ('final', 'paid', 'returned', 'reissued');
COMMENT ON FUNCTION payroll.paycheck_counts(text) IS
    'Whether a paycheck of this status is wages: neither a draft nor voided.';

CREATE FUNCTION payroll.refuse_change_of_final() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'paycheck % is % and does not change', OLD.check_number, OLD.status
        USING ERRCODE = 'restrict_violation',
              HINT = 'Void it, or pay the difference as a retro adjustment.';
END
$$;
COMMENT ON FUNCTION payroll.refuse_change_of_final() IS
    'What was paid stays as it was paid; only its status goes on.';

CREATE TRIGGER paycheck_final_stays
    BEFORE UPDATE ON payroll.paycheck
    FOR EACH ROW WHEN (OLD.status <> 'draft'
                       AND (OLD.pay_run_id, OLD.employee_id, OLD.pay_period_id, OLD.check_number,
                            OLD.check_date, OLD.gross_amount, OLD.pretax_deduction_amount,
                            OLD.taxable_federal_amount, OLD.employee_tax_amount,
                            OLD.posttax_deduction_amount, OLD.net_amount, OLD.employer_tax_amount,
                            OLD.employer_benefit_amount, OLD.hours_worked, OLD.payment_method,
                            OLD.work_state, OLD.resident_state)
                           IS DISTINCT FROM
                           (NEW.pay_run_id, NEW.employee_id, NEW.pay_period_id, NEW.check_number,
                            NEW.check_date, NEW.gross_amount, NEW.pretax_deduction_amount,
                            NEW.taxable_federal_amount, NEW.employee_tax_amount,
                            NEW.posttax_deduction_amount, NEW.net_amount, NEW.employer_tax_amount,
                            NEW.employer_benefit_amount, NEW.hours_worked, NEW.payment_method,
                            NEW.work_state, NEW.resident_state))
    EXECUTE FUNCTION payroll.refuse_change_of_final();

CREATE TRIGGER paycheck_final_not_deleted
    BEFORE DELETE ON payroll.paycheck
    FOR EACH ROW WHEN (OLD.status <> 'draft')
    EXECUTE FUNCTION payroll.refuse_change_of_final();

CREATE TRIGGER paycheck_keeps_its_run
    BEFORE UPDATE OF pay_run_id, employee_id ON payroll.paycheck
    FOR EACH ROW WHEN ((OLD.pay_run_id, OLD.employee_id)
                       IS DISTINCT FROM (NEW.pay_run_id, NEW.employee_id))
    EXECUTE FUNCTION payroll.refuse_change_of_final();

CREATE FUNCTION payroll.keep_run_totals() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE payroll.pay_run AS r
    SET gross_amount = s.gross, net_amount = s.net, employee_tax_amount = s.employee_tax,
        employer_tax_amount = s.employer_tax, deduction_amount = s.deduction,
        employer_cost_amount = s.cost, employee_count = s.people
    FROM (
        SELECT c.business_id, c.pay_run_id, count(p.paycheck_id) AS people,
               coalesce(sum(p.gross_amount), 0) AS gross,
               coalesce(sum(p.net_amount), 0) AS net,
               coalesce(sum(p.employee_tax_amount), 0) AS employee_tax,
               coalesce(sum(p.employer_tax_amount), 0) AS employer_tax,
               coalesce(sum(p.pretax_deduction_amount + p.posttax_deduction_amount), 0)
                   AS deduction,
               coalesce(sum(p.gross_amount + p.employer_tax_amount + p.employer_benefit_amount), 0)
                   AS cost
        FROM (SELECT DISTINCT x.business_id, x.pay_run_id FROM changed AS x) AS c
        -- Of a run that is being calculated they are summed once, at the end.
        JOIN payroll.pay_run AS o
            ON o.business_id = c.business_id AND o.pay_run_id = c.pay_run_id
           AND o.status <> 'calculating'
        LEFT JOIN payroll.paycheck AS p
            ON p.business_id = c.business_id AND p.pay_run_id = c.pay_run_id
        GROUP BY c.business_id, c.pay_run_id
    ) AS s
    WHERE r.business_id = s.business_id AND r.pay_run_id = s.pay_run_id
      AND (r.gross_amount, r.net_amount, r.employee_tax_amount, r.employer_tax_amount,
           r.deduction_amount, r.employer_cost_amount, r.employee_count)
          IS DISTINCT FROM (s.gross, s.net, s.employee_tax, s.employer_tax, s.deduction, s.cost,
                            s.people);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.keep_run_totals() IS
    'The totals of a run are the sums of its paychecks; while it is being calculated they stand
     still.';

CREATE TRIGGER paycheck_added_to_run
    AFTER INSERT ON payroll.paycheck
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION payroll.keep_run_totals();

CREATE TRIGGER paycheck_changed_in_run
    AFTER UPDATE ON payroll.paycheck
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION payroll.keep_run_totals();

CREATE TRIGGER paycheck_taken_from_run
    AFTER DELETE ON payroll.paycheck
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION payroll.keep_run_totals();

CREATE FUNCTION payroll.sum_calculated_run() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    SELECT count(*), coalesce(sum(p.gross_amount), 0), coalesce(sum(p.net_amount), 0),
           coalesce(sum(p.employee_tax_amount), 0), coalesce(sum(p.employer_tax_amount), 0),
           coalesce(sum(p.pretax_deduction_amount + p.posttax_deduction_amount), 0),
           coalesce(sum(p.gross_amount + p.employer_tax_amount + p.employer_benefit_amount), 0)
    INTO NEW.employee_count, NEW.gross_amount, NEW.net_amount, NEW.employee_tax_amount,
         NEW.employer_tax_amount, NEW.deduction_amount, NEW.employer_cost_amount
    FROM payroll.paycheck AS p
    WHERE p.business_id = NEW.business_id AND p.pay_run_id = NEW.pay_run_id;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.sum_calculated_run() IS
    'Sums a run when its calculation ends: once, instead of once per paycheck, so that a run of
     thousands costs no more for each of them than one of ten.';

CREATE TRIGGER pay_run_summed_when_calculated
    BEFORE UPDATE OF status ON payroll.pay_run
    FOR EACH ROW WHEN (OLD.status = 'calculating' AND NEW.status <> 'calculating')
    EXECUTE FUNCTION payroll.sum_calculated_run();

CREATE FUNCTION payroll.require_draft_paycheck() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    line   record;
    target payroll.paycheck;
BEGIN
    IF TG_OP = 'DELETE' THEN
        line := OLD;
    ELSE
        line := NEW;
    END IF;
    IF NOT row_security_active(TG_RELID) THEN
        RETURN line;
    END IF;
    SELECT p.* INTO target
    FROM payroll.paycheck AS p
    WHERE p.business_id = line.business_id AND p.paycheck_id = line.paycheck_id
    FOR SHARE;
    IF target.status <> 'draft' THEN
        RAISE EXCEPTION 'paycheck % is % and its lines do not change', target.check_number,
                        target.status
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Void it, or pay the difference as a retro adjustment.';
    END IF;
    RETURN line;
END
$$;
COMMENT ON FUNCTION payroll.require_draft_paycheck() IS
    'Lines are written while their paycheck is a draft. Imported history brings its lines.';


CREATE TABLE payroll.paycheck_earning (
    business_id           uuid                   NOT NULL,
    paycheck_earning_id   uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    paycheck_id           uuid                   NOT NULL,
    earning_code_id       uuid                   NOT NULL,
    job_assignment_id     uuid,
    department_id         uuid,
    work_location_id      uuid,
    recurring_earning_id  uuid,
    variable_pay_input_id uuid,
    line_no               integer                NOT NULL,
    hours                 numeric(9, 4),
    rate_amount           system_core.unit_price,
    amount                system_core.money      NOT NULL,
    regular_rate_amount   system_core.unit_price,
    is_retro              boolean                NOT NULL DEFAULT false,
    for_period_start      date,
    units                 system_core.quantity,
    project_code          system_core.code,
    is_imputed            boolean                NOT NULL DEFAULT false,
    description           text,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, paycheck_earning_id),
    UNIQUE (business_id, paycheck_id, line_no),
    FOREIGN KEY (business_id, paycheck_id) REFERENCES payroll.paycheck (business_id, paycheck_id)
        ON DELETE CASCADE,
    FOREIGN KEY (business_id, earning_code_id)
        REFERENCES payroll.earning_code (business_id, earning_code_id),
    FOREIGN KEY (business_id, job_assignment_id)
        REFERENCES payroll.job_assignment (business_id, job_assignment_id),
    FOREIGN KEY (business_id, department_id)
        REFERENCES payroll.department (business_id, department_id),
    FOREIGN KEY (business_id, work_location_id)
        REFERENCES payroll.work_location (business_id, work_location_id),
    FOREIGN KEY (business_id, recurring_earning_id)
        REFERENCES payroll.recurring_earning (business_id, recurring_earning_id),
    FOREIGN KEY (business_id, variable_pay_input_id)
        REFERENCES payroll.variable_pay_input (business_id, variable_pay_input_id),
    CONSTRAINT paycheck_earning_hours_times_rate
        CHECK (units IS NOT NULL OR amount = round(hours * rate_amount, 2)),
    CONSTRAINT paycheck_earning_units_times_rate CHECK (amount = round(units * rate_amount, 2)),
    CONSTRAINT paycheck_earning_overtime_pays_half_more
        CHECK (rate_amount >= round(1.5 * regular_rate_amount, 6)),
    CONSTRAINT paycheck_earning_only_corrections_take_back
        CHECK (amount >= 0 OR is_retro OR variable_pay_input_id IS NOT NULL),
    CONSTRAINT paycheck_earning_has_one_reason
        CHECK (num_nonnulls(recurring_earning_id, variable_pay_input_id) <= 1),
    CONSTRAINT paycheck_earning_retro_names_its_period
        CHECK (NOT is_retro OR for_period_start IS NOT NULL)
);

COMMENT ON TABLE payroll.paycheck_earning IS 'Earning line with hours, rate and place of work.';
COMMENT ON COLUMN payroll.paycheck_earning.regular_rate_amount IS
    'On overtime: the average of the workweek that its rate is a multiple of.';
COMMENT ON COLUMN payroll.paycheck_earning.is_imputed IS
    'Income that is taxed but not paid: tips kept in cash, insurance above the free amount.';

-- FK: what was paid by a code.
CREATE INDEX paycheck_earning_earning_code_idx
    ON payroll.paycheck_earning (business_id, earning_code_id);

-- FK: what a job earned.
CREATE INDEX paycheck_earning_job_assignment_idx
    ON payroll.paycheck_earning (business_id, job_assignment_id)
    WHERE job_assignment_id IS NOT NULL;

-- FK: the labor cost of a department.
CREATE INDEX paycheck_earning_department_idx
    ON payroll.paycheck_earning (business_id, department_id)
    WHERE department_id IS NOT NULL;

-- FK: the labor cost of a place.
CREATE INDEX paycheck_earning_work_location_idx
    ON payroll.paycheck_earning (business_id, work_location_id)
    WHERE work_location_id IS NOT NULL;

-- FK: what a standing earning has paid.
CREATE INDEX paycheck_earning_recurring_earning_idx
    ON payroll.paycheck_earning (business_id, recurring_earning_id)
    WHERE recurring_earning_id IS NOT NULL;

-- FK: where an input was paid.
CREATE INDEX paycheck_earning_variable_pay_input_idx
    ON payroll.paycheck_earning (business_id, variable_pay_input_id)
    WHERE variable_pay_input_id IS NOT NULL;

ALTER TABLE payroll.paycheck_earning ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.paycheck_earning
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.paycheck_earning TO app_user;
GRANT SELECT ON payroll.paycheck_earning TO app_readonly;

CREATE TRIGGER paycheck_earning_touch
    BEFORE UPDATE ON payroll.paycheck_earning
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
CREATE TRIGGER paycheck_earning_of_draft
    BEFORE INSERT OR UPDATE OR DELETE ON payroll.paycheck_earning
    FOR EACH ROW EXECUTE FUNCTION payroll.require_draft_paycheck();


CREATE TABLE payroll.paycheck_deduction (
    business_id                uuid              NOT NULL,
    paycheck_deduction_id      uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    paycheck_id                uuid              NOT NULL,
    deduction_code_id          uuid              NOT NULL,
    employee_deduction_id      uuid,
    line_no                    integer           NOT NULL,
    employee_amount            system_core.money NOT NULL DEFAULT 0,
    employer_amount            system_core.money NOT NULL DEFAULT 0,
    basis_amount               system_core.money,
    disposable_earnings_amount system_core.money,
    is_pretax                  boolean           NOT NULL DEFAULT false,
    arrears_recovered_amount   system_core.money NOT NULL DEFAULT 0,
    short_amount               system_core.money NOT NULL DEFAULT 0,
    limit_hit                  text              NOT NULL DEFAULT 'none',
    ytd_employee_amount        system_core.money NOT NULL DEFAULT 0,
    created_at                 timestamptz       NOT NULL DEFAULT now(),
    updated_at                 timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, paycheck_deduction_id),
    UNIQUE (business_id, paycheck_id, line_no),
    FOREIGN KEY (business_id, paycheck_id) REFERENCES payroll.paycheck (business_id, paycheck_id)
        ON DELETE CASCADE,
    FOREIGN KEY (business_id, deduction_code_id)
        REFERENCES payroll.deduction_code (business_id, deduction_code_id),
    FOREIGN KEY (business_id, employee_deduction_id)
        REFERENCES payroll.employee_deduction (business_id, employee_deduction_id),
    CONSTRAINT paycheck_deduction_limit_known
        CHECK (limit_hit IN ('none', 'annual', 'per_period', 'disposable_earnings', 'net_pay')),
    CONSTRAINT paycheck_deduction_amounts_not_negative
        CHECK (employee_amount >= 0 AND employer_amount >= 0 AND short_amount >= 0),
    CONSTRAINT paycheck_deduction_recovers_within_amount
        CHECK (arrears_recovered_amount BETWEEN 0 AND employee_amount),
    CONSTRAINT paycheck_deduction_short_by_a_limit
        CHECK (short_amount = 0 OR limit_hit <> 'none'),
    CONSTRAINT paycheck_deduction_within_disposable
        CHECK (employee_amount <= disposable_earnings_amount),
    CONSTRAINT paycheck_deduction_garnished_after_tax
        CHECK (disposable_earnings_amount IS NULL OR NOT is_pretax)
);

COMMENT ON TABLE payroll.paycheck_deduction IS 'Deduction or employer contribution line.';
COMMENT ON COLUMN payroll.paycheck_deduction.basis_amount IS 'The wages that a percent was of.';
COMMENT ON COLUMN payroll.paycheck_deduction.disposable_earnings_amount IS
    'On garnishments: the pay after taxes that limits are shares of.';
COMMENT ON COLUMN payroll.paycheck_deduction.short_amount IS
    'What was due but not taken; it goes to arrears where the code allows that.';

-- FK: what was taken by a code.
CREATE INDEX paycheck_deduction_deduction_code_idx
    ON payroll.paycheck_deduction (business_id, deduction_code_id);

-- FK: what a standing deduction has taken.
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
CREATE TRIGGER paycheck_deduction_of_draft
    BEFORE INSERT OR UPDATE OR DELETE ON payroll.paycheck_deduction
    FOR EACH ROW EXECUTE FUNCTION payroll.require_draft_paycheck();

CREATE FUNCTION payroll.require_garnishment_limit() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    allowed numeric;
BEGIN
    SELECT round(NEW.disposable_earnings_amount * o.max_percent_disposable / 100, 2) INTO allowed
    FROM payroll.employee_deduction AS d
    JOIN payroll.garnishment_order AS o
        ON o.business_id = d.business_id AND o.garnishment_order_id = d.garnishment_order_id
    WHERE d.business_id = NEW.business_id AND d.employee_deduction_id = NEW.employee_deduction_id;
    IF NEW.employee_amount > allowed THEN
        RAISE EXCEPTION 'an order may take % of disposable earnings of %, not %', allowed,
                        NEW.disposable_earnings_amount, NEW.employee_amount
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.require_garnishment_limit() IS
    'No order takes more than its share of the disposable earnings.';

CREATE TRIGGER paycheck_deduction_within_order
    BEFORE INSERT OR UPDATE ON payroll.paycheck_deduction
    FOR EACH ROW WHEN (NEW.disposable_earnings_amount IS NOT NULL)
    EXECUTE FUNCTION payroll.require_garnishment_limit();


CREATE TABLE payroll.paycheck_tax (
    business_id          uuid                   NOT NULL,
    paycheck_tax_id      uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    paycheck_id          uuid                   NOT NULL,
    tax_code_id          uuid                   NOT NULL,
    tax_jurisdiction_id  uuid                   NOT NULL,
    tax_rate_version_id  uuid                   NOT NULL,
    payer                text                   NOT NULL,
    gross_wages_amount   system_core.money      NOT NULL DEFAULT 0,
    subject_wages_amount system_core.money      NOT NULL DEFAULT 0,
    taxable_wages_amount system_core.money      NOT NULL DEFAULT 0,
    tax_amount           system_core.money      NOT NULL DEFAULT 0,
    ytd_taxable_amount   system_core.money      NOT NULL DEFAULT 0,
    method               text                   NOT NULL DEFAULT 'percentage',
    rate                 system_core.rate,
    additional_amount    system_core.money      NOT NULL DEFAULT 0,
    calculation_trace    system_core.json_array NOT NULL DEFAULT '[]',
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, paycheck_tax_id),
    UNIQUE (business_id, paycheck_id, tax_code_id, tax_jurisdiction_id, payer),
    FOREIGN KEY (business_id, paycheck_id) REFERENCES payroll.paycheck (business_id, paycheck_id)
        ON DELETE CASCADE,
    FOREIGN KEY (business_id, tax_code_id) REFERENCES payroll.tax_code (business_id, tax_code_id),
    FOREIGN KEY (business_id, tax_jurisdiction_id)
        REFERENCES payroll.tax_jurisdiction (business_id, tax_jurisdiction_id),
    FOREIGN KEY (business_id, tax_rate_version_id)
        REFERENCES payroll.tax_rate_version (business_id, tax_rate_version_id),
    CONSTRAINT paycheck_tax_payer_known CHECK (payer IN ('employee', 'employer')),
    CONSTRAINT paycheck_tax_method_known
        CHECK (method IN ('percentage', 'wage_bracket', 'supplemental_flat', 'aggregate',
                          'exempt')),
    CONSTRAINT paycheck_tax_amounts_not_negative
        CHECK (gross_wages_amount >= 0 AND subject_wages_amount >= 0 AND taxable_wages_amount >= 0
               AND tax_amount >= 0 AND additional_amount >= 0),
    CONSTRAINT paycheck_tax_taxable_within_subject
        CHECK (taxable_wages_amount <= subject_wages_amount),
    CONSTRAINT paycheck_tax_year_holds_this_pay CHECK (ytd_taxable_amount >= taxable_wages_amount),
    CONSTRAINT paycheck_tax_exempt_pays_nothing CHECK (method <> 'exempt' OR tax_amount = 0)
);

COMMENT ON TABLE payroll.paycheck_tax IS 'Tax line: who pays, on which wages, at which rate.';
COMMENT ON COLUMN payroll.paycheck_tax.gross_wages_amount IS
    'All wages of the pay; subject: what this tax looks at after what is exempt from it; taxable:
     what of it lies within the wage base of the year.';
COMMENT ON COLUMN payroll.paycheck_tax.ytd_taxable_amount IS 'Of the year, this pay included.';
COMMENT ON COLUMN payroll.paycheck_tax.additional_amount IS
    'What the employee wants withheld on top; within tax_amount.';
COMMENT ON COLUMN payroll.paycheck_tax.calculation_trace IS
    'How it was computed: [{"step", "amount"}] in order.';

-- FK: what a tax collected.
CREATE INDEX paycheck_tax_tax_code_idx
    ON payroll.paycheck_tax (business_id, tax_code_id);

-- FK: what a jurisdiction collected.
CREATE INDEX paycheck_tax_tax_jurisdiction_idx
    ON payroll.paycheck_tax (business_id, tax_jurisdiction_id);

-- FK: what a version was used for, before it is changed.
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
CREATE TRIGGER paycheck_tax_of_draft
    BEFORE INSERT OR UPDATE OR DELETE ON payroll.paycheck_tax
    FOR EACH ROW EXECUTE FUNCTION payroll.require_draft_paycheck();

CREATE FUNCTION payroll.require_tax_by_its_code() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    levied record;
BEGIN
    SELECT c.code, c.payer, v.tax_code_id = c.tax_code_id AS is_own_version,
           c.tax_jurisdiction_id = NEW.tax_jurisdiction_id AS is_own_jurisdiction,
           coalesce(v.wage_base_amount, c.wage_base_amount) AS base INTO levied
    FROM payroll.tax_code AS c
    JOIN payroll.tax_rate_version AS v
        ON v.business_id = c.business_id AND v.tax_rate_version_id = NEW.tax_rate_version_id
    WHERE c.business_id = NEW.business_id AND c.tax_code_id = NEW.tax_code_id;
    IF NOT levied.is_own_version OR NOT levied.is_own_jurisdiction
       OR levied.payer NOT IN ('both', NEW.payer) THEN
        RAISE EXCEPTION 'tax % is paid by % to its own jurisdiction by its own table', levied.code,
                        levied.payer
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.ytd_taxable_amount > levied.base THEN
        RAISE EXCEPTION 'tax % has a wage base of %, not %', levied.code, levied.base,
                        NEW.ytd_taxable_amount
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.require_tax_by_its_code() IS
    'A tax line follows a table of its code, is paid by whom the code says, and stays within the
     wage base of the year.';

CREATE TRIGGER paycheck_tax_by_its_code
    BEFORE INSERT OR UPDATE OF tax_code_id, tax_jurisdiction_id, tax_rate_version_id, payer,
                               ytd_taxable_amount ON payroll.paycheck_tax
    FOR EACH ROW EXECUTE FUNCTION payroll.require_tax_by_its_code();

CREATE FUNCTION payroll.refuse_change_of_used_table() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    line CONSTANT jsonb := to_jsonb(CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END);
BEGIN
    IF EXISTS (
        SELECT
        FROM payroll.paycheck_tax AS t
        JOIN payroll.paycheck AS p
            ON p.business_id = t.business_id AND p.paycheck_id = t.paycheck_id
           AND p.status <> 'draft'
        WHERE t.business_id = (line ->> 'business_id')::uuid
          AND t.tax_rate_version_id = (line ->> 'tax_rate_version_id')::uuid
    ) THEN
        RAISE EXCEPTION 'final paychecks were calculated by this tax table'
            USING ERRCODE = 'restrict_violation',
                  HINT = 'End it and load a new version from the day on which it changed.';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;
COMMENT ON FUNCTION payroll.refuse_change_of_used_table() IS
    'A version that final paychecks follow can be ended, not changed: what was withheld stays
     explained.';

CREATE TRIGGER tax_rate_version_used_stays
    BEFORE UPDATE ON payroll.tax_rate_version
    FOR EACH ROW WHEN ((OLD.tax_code_id, OLD.tax_year, OLD.effective_from, OLD.rate,
                        OLD.employer_rate, OLD.wage_base_amount, OLD.standard_deduction_amount,
                        OLD.allowance_amount, OLD.formula, OLD.parameters)
                       IS DISTINCT FROM
                       (NEW.tax_code_id, NEW.tax_year, NEW.effective_from, NEW.rate,
                        NEW.employer_rate, NEW.wage_base_amount, NEW.standard_deduction_amount,
                        NEW.allowance_amount, NEW.formula, NEW.parameters))
    EXECUTE FUNCTION payroll.refuse_change_of_used_table();

CREATE TRIGGER tax_bracket_used_stays
    BEFORE INSERT OR UPDATE OR DELETE ON payroll.tax_bracket
    FOR EACH ROW EXECUTE FUNCTION payroll.refuse_change_of_used_table();


-- What earlier files point to here.
ALTER TABLE payroll.time_off_ledger_entry
    ADD FOREIGN KEY (business_id, paycheck_id)
        REFERENCES payroll.paycheck (business_id, paycheck_id);

ALTER TABLE payroll.variable_pay_input
    ADD FOREIGN KEY (business_id, pay_run_id) REFERENCES payroll.pay_run (business_id, pay_run_id);
