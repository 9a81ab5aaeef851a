/*
 * Whom payroll pays and from where: accounts, splits, contractors, and what agencies get.
 *
 * An employer_bank_account funds pay and carries what was agreed with its bank: limits, how long a
 * check is good, how long deposits may come back. An employee_bank_account receives deposits, divided
 * by direct_deposit_splits; one that was changed in self service is held until the employee has
 * confirmed it, for a changed account is how pay is stolen. A contractor_payment is what a contractor
 * invoiced. A garnishment_remittance is owed to an agency for what a paycheck withheld
 * (remit_garnishments()). How all of it is paid is in 42_payment_batches.sql.
 *
 * Account numbers are not kept: a token of the vault stands for them.
 */

CREATE FUNCTION payroll.is_routing_number(number text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN number IS NULL THEN NULL WHEN number ~ '^\d{9}$' THEN (
        3 * (substr(number, 1, 1)::integer + substr(number, 4, 1)::integer
             + substr(number, 7, 1)::integer)
        + 7 * (substr(number, 2, 1)::integer + substr(number, 5, 1)::integer
               + substr(number, 8, 1)::integer)
        + substr(number, 3, 1)::integer + substr(number, 6, 1)::integer
        + substr(number, 9, 1)::integer) % 10 = 0 AND number <> '000000000' ELSE false END;
COMMENT ON FUNCTION payroll.is_routing_number(text) IS
    'Nine digits that pass the checksum of the American Bankers Association.';


CREATE TABLE payroll.employer_bank_account (
    business_id              uuid              NOT NULL,
    employer_bank_account_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    employer_entity_id       uuid              NOT NULL,
    nickname                 text              NOT NULL,
    account_token            text              NOT NULL,
    routing_number           text              NOT NULL,
    last4                    text              NOT NULL,
    purpose                  text              NOT NULL DEFAULT 'all',
    verification             text              NOT NULL DEFAULT 'micro_deposits',
    verified_at              timestamptz,
    status                   text              NOT NULL DEFAULT 'pending',
    daily_debit_limit_amount system_core.money,
    dual_release_over_amount system_core.money,
    same_day_limit_amount    system_core.money NOT NULL DEFAULT 1000000,
    check_valid_days         integer           NOT NULL DEFAULT 180,
    return_banking_days      integer           NOT NULL DEFAULT 2,
    unauthorized_return_days integer           NOT NULL DEFAULT 60,
    is_default               boolean           NOT NULL DEFAULT false,
    created_at               timestamptz       NOT NULL DEFAULT now(),
    updated_at               timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, employer_bank_account_id),
    UNIQUE (business_id, employer_entity_id, account_token),
    FOREIGN KEY (business_id, employer_entity_id)
        REFERENCES payroll.employer_entity (business_id, employer_entity_id),
    CONSTRAINT employer_bank_account_purpose_known
        CHECK (purpose IN ('payroll', 'tax', 'garnishment', 'all')),
    CONSTRAINT employer_bank_account_verification_known
        CHECK (verification IN ('micro_deposits', 'plaid', 'manual')),
    CONSTRAINT employer_bank_account_status_known
        CHECK (status IN ('pending', 'verified', 'failed', 'closed')),
    CONSTRAINT employer_bank_account_routes CHECK (payroll.is_routing_number(routing_number)),
    CONSTRAINT employer_bank_account_number_as_token
        CHECK (account_token ~ '\S' AND account_token !~ '^\d+$' AND last4 ~ '^\d{4}$'),
    CONSTRAINT employer_bank_account_verified_has_time
        CHECK (status <> 'verified' OR verified_at IS NOT NULL),
    CONSTRAINT employer_bank_account_default_is_verified
        CHECK (NOT is_default OR status = 'verified'),
    CONSTRAINT employer_bank_account_limits_positive
        CHECK (coalesce(daily_debit_limit_amount, 1) > 0
               AND coalesce(dual_release_over_amount, 0) >= 0 AND same_day_limit_amount > 0
               AND check_valid_days > 0 AND return_banking_days > 0
               AND unauthorized_return_days > 0)
);

COMMENT ON TABLE payroll.employer_bank_account IS 'Funding account of an employer.';
COMMENT ON COLUMN payroll.employer_bank_account.dual_release_over_amount IS
    'Above this two people release a batch; NULL: one does.';
COMMENT ON COLUMN payroll.employer_bank_account.same_day_limit_amount IS
    'Of one entry that settles the same day.';
COMMENT ON COLUMN payroll.employer_bank_account.check_valid_days IS
    'After these a check that was not cashed is stale, and unclaimed property of the payee.';
COMMENT ON COLUMN payroll.employer_bank_account.return_banking_days IS
    'Banking days within which a deposit may come back; as unauthorized (R10), calendar days.';

-- One default account of an employer for a purpose.
CREATE UNIQUE INDEX employer_bank_account_default_idx
    ON payroll.employer_bank_account (business_id, employer_entity_id, purpose)
    WHERE is_default;

ALTER TABLE payroll.employer_bank_account ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.employer_bank_account
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.employer_bank_account TO app_user;
GRANT SELECT ON payroll.employer_bank_account TO app_readonly;

CREATE TRIGGER employer_bank_account_touch
    BEFORE UPDATE ON payroll.employer_bank_account
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
CREATE TRIGGER employer_bank_account_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.employer_bank_account
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["pending"],
        "transitions": {
            "pending":  ["verified", "failed", "closed"],
            "failed":   ["pending", "closed"],
            "verified": ["closed"],
            "closed":   []
        }}');

CREATE FUNCTION payroll.funding_account(employer uuid, wanted text) RETURNS uuid
    LANGUAGE sql STABLE
    RETURN (
        SELECT b.employer_bank_account_id
        FROM payroll.employer_bank_account AS b
        WHERE b.business_id = tenant_mgmt.current_business_id()
          AND b.employer_entity_id = employer AND b.status = 'verified'
          AND b.purpose IN (wanted, 'all')
        ORDER BY b.is_default DESC, b.purpose = 'all', b.verified_at, b.employer_bank_account_id
        LIMIT 1);
COMMENT ON FUNCTION payroll.funding_account(uuid, text) IS
    'The account that an employer of the calling tenant pays a purpose from.';


CREATE TABLE payroll.employee_bank_account (
    business_id              uuid        NOT NULL,
    employee_bank_account_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id              uuid        NOT NULL,
    account_token            text        NOT NULL,
    routing_number           text        NOT NULL,
    last4                    text        NOT NULL,
    account_kind             text        NOT NULL DEFAULT 'checking',
    bank_name                text,
    prenote_status           text        NOT NULL DEFAULT 'not_sent',
    prenote_sent_on          date,
    verified_at              timestamptz,
    status                   text        NOT NULL DEFAULT 'pending',
    added_by                 text        NOT NULL DEFAULT 'hr',
    risk_hold_until          timestamptz,
    created_at               timestamptz NOT NULL DEFAULT now(),
    updated_at               timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, employee_bank_account_id),
    UNIQUE (business_id, employee_id, account_token),
    UNIQUE (business_id, employee_id, employee_bank_account_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    CONSTRAINT employee_bank_account_kind_known
        CHECK (account_kind IN ('checking', 'savings', 'pay_card')),
    CONSTRAINT employee_bank_account_prenote_status_known
        CHECK (prenote_status IN ('not_sent', 'sent', 'cleared', 'rejected')),
    CONSTRAINT employee_bank_account_status_known
        CHECK (status IN ('pending', 'active', 'rejected', 'removed')),
    CONSTRAINT employee_bank_account_added_by_known
        CHECK (added_by IN ('self_service', 'hr', 'import')),
    CONSTRAINT employee_bank_account_routes CHECK (payroll.is_routing_number(routing_number)),
    CONSTRAINT employee_bank_account_number_as_token
        CHECK (account_token ~ '\S' AND account_token !~ '^\d+$' AND last4 ~ '^\d{4}$'),
    CONSTRAINT employee_bank_account_prenote_has_date
        CHECK (prenote_status = 'not_sent' OR prenote_sent_on IS NOT NULL),
    CONSTRAINT employee_bank_account_active_prenote_not_rejected
        CHECK (status <> 'active' OR prenote_status <> 'rejected')
);

COMMENT ON TABLE payroll.employee_bank_account IS 'Account of an employee for direct deposit.';
COMMENT ON COLUMN payroll.employee_bank_account.risk_hold_until IS
    'Until then pay goes out as a check: the employee has not confirmed the change.';
COMMENT ON COLUMN payroll.employee_bank_account.prenote_status IS
    'An entry of nothing, sent ahead to see whether the account exists.';

ALTER TABLE payroll.employee_bank_account ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.employee_bank_account
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.employee_bank_account TO app_user;
GRANT SELECT ON payroll.employee_bank_account TO app_readonly;

CREATE TRIGGER employee_bank_account_touch
    BEFORE UPDATE ON payroll.employee_bank_account
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
CREATE TRIGGER employee_bank_account_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.employee_bank_account
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["pending"],
        "transitions": {
            "pending":  ["active", "rejected", "removed"],
            "active":   ["rejected", "removed"],
            "rejected": ["pending", "removed"],
            "removed":  []
        }}');

CREATE FUNCTION payroll.hold_changed_account() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    -- Until the pay after next notice: three banking days for the employee to object.
    NEW.risk_hold_until := greatest(NEW.risk_hold_until,
        payroll.banking_day((now() AT TIME ZONE 'UTC')::date, 3)::timestamp AT TIME ZONE 'UTC');
    NEW.prenote_status := 'sent';
    NEW.prenote_sent_on := (now() AT TIME ZONE 'UTC')::date;
    NEW.verified_at := NULL;
    INSERT INTO system_core.outbox_event
        (business_id, topic, event_type, aggregate_schema, aggregate_table, aggregate_id, payload)
    VALUES (NEW.business_id, 'payroll', 'employee_bank_account.changed', 'payroll',
            'employee_bank_account', NEW.employee_bank_account_id,
            jsonb_build_object('employee_id', NEW.employee_id, 'last4', NEW.last4,
                               'held_until', NEW.risk_hold_until));
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.hold_changed_account() IS
    'An account that is added or changed in self service is held for the first payment, prenoted,
     and its owner is told.';

CREATE TRIGGER employee_bank_account_added_is_held
    BEFORE INSERT ON payroll.employee_bank_account
    FOR EACH ROW WHEN (NEW.added_by = 'self_service')
    EXECUTE FUNCTION payroll.hold_changed_account();

CREATE TRIGGER employee_bank_account_changed_is_held
    BEFORE UPDATE OF account_token, routing_number ON payroll.employee_bank_account
    FOR EACH ROW WHEN (NEW.added_by = 'self_service'
                       AND (OLD.account_token, OLD.routing_number)
                           IS DISTINCT FROM (NEW.account_token, NEW.routing_number))
    EXECUTE FUNCTION payroll.hold_changed_account();


CREATE TABLE payroll.direct_deposit_split (
    business_id              uuid                   NOT NULL,
    direct_deposit_split_id  uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id              uuid                   NOT NULL,
    employee_bank_account_id uuid                   NOT NULL,
    priority                 integer                NOT NULL DEFAULT 1,
    split_kind               text                   NOT NULL DEFAULT 'remainder',
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
    -- The account is the employee's own.
    FOREIGN KEY (business_id, employee_id, employee_bank_account_id)
        REFERENCES payroll.employee_bank_account
                   (business_id, employee_id, employee_bank_account_id),
    CONSTRAINT direct_deposit_split_kind_known
        CHECK (split_kind IN ('flat', 'percent', 'remainder')),
    CONSTRAINT direct_deposit_split_says_how_much
        CHECK ((split_kind = 'flat') = (amount IS NOT NULL)
               AND (split_kind = 'percent') = (percent IS NOT NULL)),
    CONSTRAINT direct_deposit_split_amount_positive CHECK (amount > 0),
    CONSTRAINT direct_deposit_split_percent_bounded CHECK (percent > 0 AND percent <= 100),
    CONSTRAINT direct_deposit_split_priority_positive CHECK (priority >= 1),
    CONSTRAINT direct_deposit_split_ends_after_start CHECK (effective_until > effective_from)
);

COMMENT ON TABLE payroll.direct_deposit_split IS 'How net pay is divided between accounts.';
COMMENT ON COLUMN payroll.direct_deposit_split.percent IS 'Of the whole net pay.';

-- One account gets what is left.
CREATE UNIQUE INDEX direct_deposit_split_remainder_idx
    ON payroll.direct_deposit_split (business_id, employee_id)
    WHERE split_kind = 'remainder' AND effective_until IS NULL;

-- FK: what goes to an account.
CREATE INDEX direct_deposit_split_employee_bank_account_idx
    ON payroll.direct_deposit_split (business_id, employee_id, employee_bank_account_id);

ALTER TABLE payroll.direct_deposit_split ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.direct_deposit_split
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.direct_deposit_split TO app_user;
GRANT SELECT ON payroll.direct_deposit_split TO app_readonly;

CREATE TRIGGER direct_deposit_split_touch
    BEFORE UPDATE ON payroll.direct_deposit_split
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.require_splits_within_pay() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    total numeric;
BEGIN
    SELECT sum(s.percent) INTO total
    FROM payroll.direct_deposit_split AS s
    WHERE s.business_id = NEW.business_id AND s.employee_id = NEW.employee_id
      AND daterange(s.effective_from, s.effective_until)
          && daterange(NEW.effective_from, NEW.effective_until);
    IF total > 100 THEN
        RAISE EXCEPTION 'the splits of an employee take % percent of the pay', total
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.require_splits_within_pay() IS
    'At the end of a transaction the percents of an employee are at most the whole pay.';

CREATE CONSTRAINT TRIGGER direct_deposit_split_within_pay
    AFTER INSERT OR UPDATE ON payroll.direct_deposit_split
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.percent IS NOT NULL)
    EXECUTE FUNCTION payroll.require_splits_within_pay();

CREATE FUNCTION payroll.split_net_pay(
    employee uuid,
    net      numeric,
    day      date,
    moment   timestamptz
) RETURNS TABLE (employee_bank_account_id uuid, amount numeric)
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    remaining numeric := net;
    part      numeric;
    s         record;
BEGIN
    FOR s IN
        SELECT d.*, b.status = 'active'
                    AND coalesce(b.risk_hold_until <= moment, true) AS is_open
        FROM payroll.direct_deposit_split AS d
        JOIN payroll.employee_bank_account AS b
            ON b.business_id = d.business_id
           AND b.employee_bank_account_id = d.employee_bank_account_id
        WHERE d.business_id = tenant_mgmt.current_business_id() AND d.employee_id = employee
          AND daterange(d.effective_from, d.effective_until) @> day
        ORDER BY d.split_kind = 'remainder', d.priority
    LOOP
        part := least(remaining, CASE s.split_kind WHEN 'flat' THEN s.amount
                                      WHEN 'percent' THEN round(net * s.percent / 100, 2)
                                      ELSE remaining END);
        -- What an account cannot take goes out as a check, with what no split names.
        IF part > 0 AND s.is_open THEN
            RETURN QUERY SELECT s.employee_bank_account_id, part;
            remaining := remaining - part;
        END IF;
    END LOOP;
    IF remaining > 0 THEN
        RETURN QUERY SELECT NULL::uuid, remaining;
    END IF;
END
$$;
COMMENT ON FUNCTION payroll.split_net_pay(uuid, numeric, date, timestamptz) IS
    'Divides net pay between the accounts of an employee of the calling tenant, to the cent: flat
     amounts and percents by priority, then the remainder; without an account: a check.';


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
    amount                    system_core.money NOT NULL,
    reimbursement_amount      system_core.money NOT NULL DEFAULT 0,
    backup_withholding_amount system_core.money NOT NULL DEFAULT 0,
    net_amount                system_core.money NOT NULL
                                                GENERATED ALWAYS AS (
                                                    amount + reimbursement_amount
                                                    - backup_withholding_amount) STORED,
    wage_category             text              NOT NULL DEFAULT 'nonemployee',
    invoice_reference         text,
    status                    text              NOT NULL DEFAULT 'draft',
    counts_on_1099            boolean           NOT NULL DEFAULT true,
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
        CHECK (status IN ('draft', 'approved', 'paid', 'voided')),
    CONSTRAINT contractor_payment_hours_times_rate
        CHECK (amount = round(hours * rate_amount, 2)),
    CONSTRAINT contractor_payment_pays_something
        CHECK (amount >= 0 AND reimbursement_amount >= 0
               AND amount + reimbursement_amount > 0),
    CONSTRAINT contractor_payment_withheld_within_amount
        CHECK (backup_withholding_amount BETWEEN 0 AND amount),
    CONSTRAINT contractor_payment_paid_has_date CHECK (status <> 'paid' OR paid_on IS NOT NULL)
);

COMMENT ON TABLE payroll.contractor_payment IS 'Payment to a contractor.';
COMMENT ON COLUMN payroll.contractor_payment.counts_on_1099 IS
    'The amount does; what was reimbursed never.';

-- FK: the payments of a contractor; the sum of a year.
CREATE INDEX contractor_payment_contractor_idx
    ON payroll.contractor_payment (business_id, contractor_id, paid_on);

-- FK: the contractors who were paid with a run.
CREATE INDEX contractor_payment_pay_run_idx
    ON payroll.contractor_payment (business_id, pay_run_id)
    WHERE pay_run_id IS NOT NULL;

-- FK: what contractors cost a department.
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
CREATE TRIGGER contractor_payment_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.contractor_payment
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":    ["approved", "voided"],
            "approved": ["paid", "draft", "voided"],
            "paid":     ["voided"],
            "voided":   []
        }}');

CREATE FUNCTION payroll.withhold_backup() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    payee payroll.contractor;
    rate  numeric;
BEGIN
    SELECT c.* INTO payee
    FROM payroll.contractor AS c
    WHERE c.business_id = NEW.business_id AND c.contractor_id = NEW.contractor_id;
    IF payee.backup_withholding THEN
        SELECT r.backup_withholding_rate INTO rate
        FROM payroll.tax_jurisdiction AS j
        CROSS JOIN LATERAL payroll.deposit_rule_on(
            j.tax_jurisdiction_id,
            coalesce(NEW.paid_on, (now() AT TIME ZONE 'UTC')::date)) AS r
        WHERE j.business_id = NEW.business_id AND j.level = 'federal'
        LIMIT 1;
        IF rate IS NULL THEN
            RAISE EXCEPTION 'contractor % is to be withheld from, and no rule says how much',
                            payee.contractor_number
                USING ERRCODE = 'object_not_in_prerequisite_state',
                      HINT = 'Add the rate to the deposit_rule of the federation.';
        END IF;
        NEW.backup_withholding_amount := round(NEW.amount * rate, 2);
    ELSIF payee.w9_received_on IS NULL AND NEW.status IN ('approved', 'paid') THEN
        RAISE EXCEPTION 'contractor % has handed in no W-9', payee.contractor_number
            USING ERRCODE = 'check_violation', HINT = 'Wait for it, or withhold.';
    ELSE
        NEW.backup_withholding_amount := 0;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.withhold_backup() IS
    'Who is subject to backup withholding is paid less by the rate of the rule; nobody is paid
     without a W-9 or that.';

CREATE TRIGGER contractor_payment_backup
    BEFORE INSERT OR UPDATE OF amount, contractor_id, backup_withholding_amount, paid_on, status
    ON payroll.contractor_payment
    FOR EACH ROW WHEN (NEW.status <> 'voided')
    EXECUTE FUNCTION payroll.withhold_backup();


CREATE TABLE payroll.garnishment_remittance (
    business_id               uuid              NOT NULL,
    garnishment_remittance_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    garnishment_agency_id     uuid              NOT NULL,
    garnishment_order_id      uuid              NOT NULL,
    paycheck_deduction_id     uuid,
    withheld_on               date              NOT NULL,
    due_on                    date              NOT NULL,
    remitted_on               date,
    amount                    system_core.money NOT NULL,
    case_reference            text              NOT NULL,
    method                    text              NOT NULL,
    confirmation_number       text,
    status                    text              NOT NULL DEFAULT 'due',
    employer_fee_amount       system_core.money NOT NULL DEFAULT 0,
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
        CHECK (status IN ('due', 'scheduled', 'remitted', 'returned', 'late')),
    CONSTRAINT garnishment_remittance_amount_positive
        CHECK (amount > 0 AND employer_fee_amount >= 0),
    CONSTRAINT garnishment_remittance_due_after_withholding CHECK (due_on >= withheld_on),
    CONSTRAINT garnishment_remittance_remitted_has_date
        CHECK (status <> 'remitted' OR remitted_on IS NOT NULL),
    CONSTRAINT garnishment_remittance_remitted_after_withholding
        CHECK (remitted_on >= withheld_on)
);

COMMENT ON TABLE payroll.garnishment_remittance IS 'Payment of withheld amounts to an agency.';
COMMENT ON COLUMN payroll.garnishment_remittance.employer_fee_amount IS
    'What the employer may keep for its trouble, beside the amount.';

-- What a line withheld is remitted once.
CREATE UNIQUE INDEX garnishment_remittance_line_idx
    ON payroll.garnishment_remittance (business_id, paycheck_deduction_id)
    WHERE paycheck_deduction_id IS NOT NULL;

-- FK: what an agency gets, the most urgent first.
CREATE INDEX garnishment_remittance_garnishment_agency_idx
    ON payroll.garnishment_remittance (business_id, garnishment_agency_id, due_on);

-- FK: what was sent for an order.
CREATE INDEX garnishment_remittance_garnishment_order_idx
    ON payroll.garnishment_remittance (business_id, garnishment_order_id);

ALTER TABLE payroll.garnishment_remittance ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.garnishment_remittance
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.garnishment_remittance TO app_user;
GRANT SELECT ON payroll.garnishment_remittance TO app_readonly;

CREATE TRIGGER garnishment_remittance_touch
    BEFORE UPDATE ON payroll.garnishment_remittance
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
CREATE TRIGGER garnishment_remittance_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.garnishment_remittance
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["due"],
        "transitions": {
            "due":       ["scheduled", "remitted", "late"],
            "late":      ["scheduled", "remitted"],
            "scheduled": ["remitted", "returned", "late"],
            "remitted":  ["returned"],
            "returned":  ["scheduled", "remitted"]
        }}');

CREATE FUNCTION payroll.require_remittance_of_order() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    of_order record;
    withheld record;
BEGIN
    SELECT o.garnishment_agency_id, o.case_number, o.employee_id, a.name, a.remittance_due_days
    INTO of_order
    FROM payroll.garnishment_order AS o
    JOIN payroll.garnishment_agency AS a
        ON a.business_id = o.business_id AND a.garnishment_agency_id = o.garnishment_agency_id
    WHERE o.business_id = NEW.business_id AND o.garnishment_order_id = NEW.garnishment_order_id;
    IF of_order.garnishment_agency_id IS DISTINCT FROM NEW.garnishment_agency_id THEN
        RAISE EXCEPTION 'case % is collected by %', of_order.case_number, of_order.name
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.due_on > NEW.withheld_on + of_order.remittance_due_days THEN
        RAISE EXCEPTION '% wants its money within % days', of_order.name,
                        of_order.remittance_due_days
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.paycheck_deduction_id IS NOT NULL THEN
        SELECT d.employee_amount, e.garnishment_order_id INTO withheld
        FROM payroll.paycheck_deduction AS d
        LEFT JOIN payroll.employee_deduction AS e
            ON e.business_id = d.business_id AND e.employee_deduction_id = d.employee_deduction_id
        WHERE d.business_id = NEW.business_id
          AND d.paycheck_deduction_id = NEW.paycheck_deduction_id;
        IF withheld.employee_amount IS DISTINCT FROM NEW.amount
           OR withheld.garnishment_order_id IS DISTINCT FROM NEW.garnishment_order_id THEN
            RAISE EXCEPTION 'the line withheld % for its order, not %', withheld.employee_amount,
                            NEW.amount
                USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.require_remittance_of_order() IS
    'What was withheld for an order goes to its agency, in time and to the cent.';

CREATE TRIGGER garnishment_remittance_of_order
    BEFORE INSERT OR UPDATE OF garnishment_agency_id, garnishment_order_id, amount, due_on,
                               withheld_on, paycheck_deduction_id
    ON payroll.garnishment_remittance
    FOR EACH ROW EXECUTE FUNCTION payroll.require_remittance_of_order();

CREATE FUNCTION payroll.remit_garnishments(run uuid) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    made   integer;
BEGIN
    INSERT INTO payroll.garnishment_remittance
        (business_id, garnishment_agency_id, garnishment_order_id, paycheck_deduction_id,
         withheld_on, due_on, amount, case_reference, method, employer_fee_amount)
    SELECT tenant, o.garnishment_agency_id, o.garnishment_order_id, d.paycheck_deduction_id,
           p.check_date, p.check_date + a.remittance_due_days, d.employee_amount, o.case_number,
           a.payment_method, o.employer_fee_amount
    FROM payroll.paycheck AS p
    JOIN payroll.paycheck_deduction AS d
        ON d.business_id = tenant AND d.paycheck_id = p.paycheck_id AND d.employee_amount > 0
    JOIN payroll.employee_deduction AS e
        ON e.business_id = tenant AND e.employee_deduction_id = d.employee_deduction_id
    JOIN payroll.garnishment_order AS o
        ON o.business_id = tenant AND o.garnishment_order_id = e.garnishment_order_id
    JOIN payroll.garnishment_agency AS a
        ON a.business_id = tenant AND a.garnishment_agency_id = o.garnishment_agency_id
    WHERE p.business_id = tenant AND p.pay_run_id = run
      AND payroll.paycheck_counts(p.status)
    ORDER BY p.check_number, d.line_no
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS made = ROW_COUNT;
    RETURN made;
END
$$;
COMMENT ON FUNCTION payroll.remit_garnishments(uuid) IS
    'What a run of the calling tenant withheld for orders is due to their agencies. How many are
     new; asked again, none.';

CREATE VIEW payroll.v_garnishment_status WITH (security_invoker = true) AS
SELECT o.business_id, o.garnishment_order_id, o.employee_id, o.case_number, o.order_kind, o.status,
       a.name AS agency, o.total_owed_amount, o.withheld_to_date_amount,
       coalesce(r.remitted, 0) AS remitted_amount,
       o.withheld_to_date_amount - coalesce(r.remitted, 0) AS held_amount,
       o.total_owed_amount - o.withheld_to_date_amount AS remaining_amount, r.next_due_on
FROM payroll.garnishment_order AS o
JOIN payroll.garnishment_agency AS a
    ON a.business_id = o.business_id AND a.garnishment_agency_id = o.garnishment_agency_id
LEFT JOIN LATERAL (
    SELECT sum(x.amount) FILTER (WHERE x.status = 'remitted') AS remitted,
           min(x.due_on) FILTER (WHERE x.status <> 'remitted') AS next_due_on
    FROM payroll.garnishment_remittance AS x
    WHERE x.business_id = o.business_id AND x.garnishment_order_id = o.garnishment_order_id
) AS r ON true;
COMMENT ON VIEW payroll.v_garnishment_status IS
    'Orders with withheld, remitted and remaining amounts; held is withheld and not remitted yet.';
GRANT SELECT ON payroll.v_garnishment_status TO app_user, app_readonly;
