/*
 * Money out: batches, entries, what comes back.
 *
 * build_ach_batch() divides the net pay of a run between accounts and writes a payment_batch of
 * payment_entries that balances: what employees are credited is what the employer is debited. What
 * cannot be deposited goes out as checks. A batch is released by one person, above the account's limit
 * by two, then sent and settled; its entries go with it. No paycheck is paid more than its net,
 * whoever pays at the same time.
 *
 * A payment_return is what the bank says: a return (R) brings the money back, a notification of change
 * (C) corrects the account and brings none. reissue_payment() pays by check what came back or was
 * never cashed.
 */

CREATE TABLE payroll.payment_batch (
    business_id               uuid              NOT NULL,
    payment_batch_id          uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    pay_run_id                uuid,
    employer_bank_account_id  uuid              NOT NULL,
    released_by               uuid,
    second_released_by        uuid,
    file_object_id            uuid,
    batch_number              text              NOT NULL,
    batch_kind                text              NOT NULL,
    sec_code                  text              NOT NULL DEFAULT 'none',
    company_entry_description text              NOT NULL DEFAULT 'PAYROLL',
    effective_entry_date      date              NOT NULL,
    entry_count               integer           NOT NULL DEFAULT 0,
    total_credit_amount       system_core.money NOT NULL DEFAULT 0,
    total_debit_amount        system_core.money NOT NULL DEFAULT 0,
    entry_hash                bigint            NOT NULL DEFAULT 0,
    status                    text              NOT NULL DEFAULT 'built',
    released_at               timestamptz,
    is_same_day               boolean           NOT NULL DEFAULT false,
    trace_prefix              text              NOT NULL,
    created_at                timestamptz       NOT NULL DEFAULT now(),
    updated_at                timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, payment_batch_id),
    UNIQUE (business_id, batch_number),
    FOREIGN KEY (business_id, pay_run_id) REFERENCES payroll.pay_run (business_id, pay_run_id),
    FOREIGN KEY (business_id, employer_bank_account_id)
        REFERENCES payroll.employer_bank_account (business_id, employer_bank_account_id),
    FOREIGN KEY (business_id, released_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, second_released_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT payment_batch_kind_known
        CHECK (batch_kind IN ('ach_credit', 'ach_debit', 'check', 'pay_card', 'wire', 'tax_eft')),
    CONSTRAINT payment_batch_sec_code_known CHECK (sec_code IN ('PPD', 'CCD', 'CTX', 'none')),
    CONSTRAINT payment_batch_status_known
        CHECK (status IN ('built', 'released', 'sent', 'acknowledged', 'settled', 'rejected',
                          'cancelled')),
    CONSTRAINT payment_batch_clearing_house_has_sec_code
        CHECK ((batch_kind IN ('ach_credit', 'ach_debit', 'tax_eft')) = (sec_code <> 'none')),
    CONSTRAINT payment_batch_description_fits_the_file
        CHECK (char_length(company_entry_description) BETWEEN 1 AND 10),
    CONSTRAINT payment_batch_totals_not_negative
        CHECK (entry_count >= 0 AND total_credit_amount >= 0 AND total_debit_amount >= 0),
    CONSTRAINT payment_batch_hash_has_ten_digits CHECK (entry_hash BETWEEN 0 AND 9999999999),
    CONSTRAINT payment_batch_released_by_somebody
        CHECK (status IN ('built', 'cancelled')
               OR (released_by IS NOT NULL AND released_at IS NOT NULL)),
    CONSTRAINT payment_batch_released_by_two_people CHECK (second_released_by <> released_by),
    CONSTRAINT payment_batch_deposits_balance
        CHECK (status IN ('built', 'cancelled') OR batch_kind <> 'ach_credit'
               OR total_credit_amount = total_debit_amount),
    CONSTRAINT payment_batch_trace_prefix_is_a_bank CHECK (trace_prefix ~ '^\d{8}$')
);

COMMENT ON TABLE payroll.payment_batch IS
    'ACH file, check print run or tax payment batch of a pay run.';
COMMENT ON COLUMN payroll.payment_batch.entry_hash IS
    'As NACHA asks: the sum of the first eight digits of all routing numbers, its last ten digits.';
COMMENT ON COLUMN payroll.payment_batch.trace_prefix IS
    'First eight digits of the originating bank''s routing number.';

-- FK: the batches of a run.
CREATE INDEX payment_batch_pay_run_idx
    ON payroll.payment_batch (business_id, pay_run_id)
    WHERE pay_run_id IS NOT NULL;

-- FK: what an account pays on a day.
CREATE INDEX payment_batch_employer_bank_account_idx
    ON payroll.payment_batch (business_id, employer_bank_account_id, effective_entry_date);

-- FK: what somebody released.
CREATE INDEX payment_batch_released_by_idx
    ON payroll.payment_batch (business_id, released_by)
    WHERE released_by IS NOT NULL;

-- FK: what somebody released as the second.
CREATE INDEX payment_batch_second_released_by_idx
    ON payroll.payment_batch (business_id, second_released_by)
    WHERE second_released_by IS NOT NULL;

-- FK: the file that was sent.
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
CREATE TRIGGER payment_batch_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.payment_batch
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["built"],
        "transitions": {
            "built":        ["released", "cancelled"],
            "released":     ["sent", "cancelled"],
            "sent":         ["acknowledged", "rejected"],
            "acknowledged": ["settled", "rejected"],
            "settled":      [],
            "rejected":     [],
            "cancelled":    []
        }}');


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
    amount                    system_core.money NOT NULL,
    direction                 text              NOT NULL DEFAULT 'credit',
    routing_number            text,
    trace_number              text,
    check_number              text,
    settlement_date           date,
    status                    text              NOT NULL DEFAULT 'pending',
    addenda                   text,
    cleared_on                date,
    stale_after               date,
    created_at                timestamptz       NOT NULL DEFAULT now(),
    updated_at                timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, payment_entry_id),
    UNIQUE (business_id, trace_number),
    UNIQUE (business_id, check_number),
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
    CONSTRAINT payment_entry_amount_positive CHECK (amount > 0),
    CONSTRAINT payment_entry_one_payee
        CHECK ((payee_kind = 'employee') = (paycheck_id IS NOT NULL)
               AND (payee_kind = 'contractor') = (contractor_payment_id IS NOT NULL)
               AND (payee_kind = 'agency') = (garnishment_remittance_id IS NOT NULL)
               AND (payee_kind = 'tax_authority') = (tax_deposit_id IS NOT NULL)),
    CONSTRAINT payment_entry_account_is_an_employees
        CHECK (employee_bank_account_id IS NULL OR payee_kind = 'employee'),
    CONSTRAINT payment_entry_employer_is_debited
        CHECK ((payee_kind = 'employer_debit') = (direction = 'debit')),
    CONSTRAINT payment_entry_is_traced
        CHECK (num_nonnulls(trace_number, check_number) = 1),
    CONSTRAINT payment_entry_trace_has_fifteen_digits CHECK (trace_number ~ '^\d{15}$'),
    CONSTRAINT payment_entry_routes CHECK (payroll.is_routing_number(routing_number)),
    CONSTRAINT payment_entry_settled_has_date
        CHECK (status NOT IN ('settled', 'stale') OR settlement_date IS NOT NULL),
    CONSTRAINT payment_entry_checks_go_stale
        CHECK (check_number IS NULL OR stale_after IS NOT NULL),
    CONSTRAINT payment_entry_stale_was_not_cashed CHECK (status <> 'stale' OR cleared_on IS NULL)
);

COMMENT ON TABLE payroll.payment_entry IS
    'Single payment: deposit split, check, garnishment, contractor, tax.';
COMMENT ON COLUMN payroll.payment_entry.cleared_on IS 'When a check was cashed.';
COMMENT ON COLUMN payroll.payment_entry.settlement_date IS
    'When the deposit arrived; of a check, when it was handed out.';

-- FK: the entries of a batch.
CREATE INDEX payment_entry_payment_batch_idx
    ON payroll.payment_entry (business_id, payment_batch_id);

-- FK: how a paycheck was paid.
CREATE INDEX payment_entry_paycheck_idx
    ON payroll.payment_entry (business_id, paycheck_id)
    WHERE paycheck_id IS NOT NULL;

-- FK: the deposits of an account.
CREATE INDEX payment_entry_employee_bank_account_idx
    ON payroll.payment_entry (business_id, employee_bank_account_id)
    WHERE employee_bank_account_id IS NOT NULL;

-- FK: how a contractor was paid.
CREATE INDEX payment_entry_contractor_payment_idx
    ON payroll.payment_entry (business_id, contractor_payment_id)
    WHERE contractor_payment_id IS NOT NULL;

-- FK: how a remittance was paid.
CREATE INDEX payment_entry_garnishment_remittance_idx
    ON payroll.payment_entry (business_id, garnishment_remittance_id)
    WHERE garnishment_remittance_id IS NOT NULL;

-- FK: how a deposit was paid.
CREATE INDEX payment_entry_tax_deposit_idx
    ON payroll.payment_entry (business_id, tax_deposit_id)
    WHERE tax_deposit_id IS NOT NULL;

-- mark_stale_checks(): what was not cashed yet.
CREATE INDEX payment_entry_uncashed_idx
    ON payroll.payment_entry (business_id, stale_after)
    WHERE check_number IS NOT NULL AND status = 'settled' AND cleared_on IS NULL;

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

CREATE FUNCTION payroll.require_built_batch() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    batch record;
BEGIN
    SELECT b.batch_number, b.status, b.is_same_day, a.same_day_limit_amount INTO batch
    FROM payroll.payment_batch AS b
    JOIN payroll.employer_bank_account AS a
        ON a.business_id = b.business_id
       AND a.employer_bank_account_id = b.employer_bank_account_id
    WHERE b.business_id = NEW.business_id AND b.payment_batch_id = NEW.payment_batch_id
    FOR NO KEY UPDATE OF b;
    IF batch.status <> 'built' AND row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'batch % is % and its entries do not change', batch.batch_number,
                        batch.status
            USING ERRCODE = 'restrict_violation', HINT = 'Build another batch.';
    END IF;
    IF batch.is_same_day AND NEW.amount > batch.same_day_limit_amount THEN
        RAISE EXCEPTION 'an entry of % settles the same day up to %', NEW.amount,
                        batch.same_day_limit_amount
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.require_built_batch() IS
    'Entries are written until their batch is released; those of the same day stay within the limit
     of the bank.';

CREATE TRIGGER payment_entry_of_built
    BEFORE INSERT OR UPDATE OF payment_batch_id, amount, direction, paycheck_id,
                               employee_bank_account_id, routing_number, payee_kind
    ON payroll.payment_entry
    FOR EACH ROW EXECUTE FUNCTION payroll.require_built_batch();

CREATE FUNCTION payroll.refuse_second_payment() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    over record;
BEGIN
    -- In a fixed order: who pays the same people at the same time waits here.
    PERFORM FROM payroll.paycheck AS p
    WHERE (p.business_id, p.paycheck_id) IN (SELECT c.business_id, c.paycheck_id
                                             FROM changed AS c)
    ORDER BY p.paycheck_id
    FOR NO KEY UPDATE;
    SELECT p.check_number, p.net_amount, sum(e.amount) AS paid INTO over
    FROM (SELECT DISTINCT c.business_id, c.paycheck_id FROM changed AS c
          WHERE c.paycheck_id IS NOT NULL) AS c
    JOIN payroll.paycheck AS p
        ON p.business_id = c.business_id AND p.paycheck_id = c.paycheck_id
    JOIN payroll.payment_entry AS e
        ON e.business_id = p.business_id AND e.paycheck_id = p.paycheck_id
       AND e.status IN ('pending', 'sent', 'settled')
    GROUP BY p.check_number, p.net_amount
    HAVING sum(e.amount) > p.net_amount
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'paycheck % pays % net and would be paid %', over.check_number,
                        over.net_amount, over.paid
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.refuse_second_payment() IS
    'What is paid of a paycheck and has not come back is at most its net pay.';

CREATE TRIGGER payment_entry_paid_once
    AFTER INSERT ON payroll.payment_entry
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION payroll.refuse_second_payment();

CREATE FUNCTION payroll.keep_batch_totals() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE payroll.payment_batch AS b
    SET entry_count = s.entries, total_credit_amount = s.credit, total_debit_amount = s.debit,
        entry_hash = s.hash
    FROM (
        SELECT c.business_id, c.payment_batch_id, count(e.payment_entry_id) AS entries,
               coalesce(sum(e.amount) FILTER (WHERE e.direction = 'credit'), 0) AS credit,
               coalesce(sum(e.amount) FILTER (WHERE e.direction = 'debit'), 0) AS debit,
               coalesce(sum(left(e.routing_number, 8)::bigint), 0)::bigint % 10000000000 AS hash
        FROM (SELECT DISTINCT x.business_id, x.payment_batch_id FROM changed AS x) AS c
        LEFT JOIN payroll.payment_entry AS e
            ON e.business_id = c.business_id AND e.payment_batch_id = c.payment_batch_id
        GROUP BY c.business_id, c.payment_batch_id
    ) AS s
    WHERE b.business_id = s.business_id AND b.payment_batch_id = s.payment_batch_id
      AND (b.entry_count, b.total_credit_amount, b.total_debit_amount, b.entry_hash)
          IS DISTINCT FROM (s.entries, s.credit, s.debit, s.hash);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.keep_batch_totals() IS
    'Count, totals and hash of a batch are those of its entries.';

CREATE TRIGGER payment_entry_added_to_batch
    AFTER INSERT ON payroll.payment_entry
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION payroll.keep_batch_totals();

CREATE TRIGGER payment_entry_changed_in_batch
    AFTER UPDATE ON payroll.payment_entry
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION payroll.keep_batch_totals();

CREATE TRIGGER payment_entry_taken_from_batch
    AFTER DELETE ON payroll.payment_entry
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION payroll.keep_batch_totals();

CREATE FUNCTION payroll.require_release() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    account payroll.employer_bank_account;
    of_day  numeric;
BEGIN
    SELECT a.* INTO account
    FROM payroll.employer_bank_account AS a
    WHERE a.business_id = NEW.business_id
      AND a.employer_bank_account_id = NEW.employer_bank_account_id
    FOR NO KEY UPDATE;
    IF NEW.total_credit_amount > account.dual_release_over_amount
       AND NEW.second_released_by IS NULL THEN
        RAISE EXCEPTION 'two people release a batch of %, above %', NEW.total_credit_amount,
                        account.dual_release_over_amount
            USING ERRCODE = 'check_violation';
    END IF;
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    IF account.status <> 'verified' THEN
        RAISE EXCEPTION 'account % is % and pays nothing', account.nickname, account.status
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    SELECT coalesce(sum(b.total_credit_amount), 0) INTO of_day
    FROM payroll.payment_batch AS b
    WHERE b.business_id = NEW.business_id
      AND b.employer_bank_account_id = NEW.employer_bank_account_id
      AND b.effective_entry_date = NEW.effective_entry_date
      AND b.payment_batch_id <> NEW.payment_batch_id
      AND b.status IN ('released', 'sent', 'acknowledged', 'settled');
    IF of_day + NEW.total_credit_amount > account.daily_debit_limit_amount THEN
        RAISE EXCEPTION 'account % pays at most % a day', account.nickname,
                        account.daily_debit_limit_amount
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.require_release() IS
    'Above the limit of the account two people release a batch; a day''s batches stay within what
     the bank debits a day.';

CREATE TRIGGER payment_batch_released
    BEFORE UPDATE OF status ON payroll.payment_batch
    FOR EACH ROW WHEN (OLD.status = 'built' AND NEW.status = 'released')
    EXECUTE FUNCTION payroll.require_release();

CREATE FUNCTION payroll.follow_batch() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE payroll.payment_entry AS e
    SET status = n.next,
        settlement_date = CASE n.next WHEN 'settled' THEN NEW.effective_entry_date
                                      ELSE e.settlement_date END
    FROM (VALUES ('pending', 'sent', 'sent'), ('sent', 'settled', 'settled'),
                 ('pending', 'cancelled', 'voided'), ('sent', 'rejected', 'returned'))
        AS n (before, batch, next)
    WHERE e.business_id = NEW.business_id AND e.payment_batch_id = NEW.payment_batch_id
      AND n.batch = NEW.status AND e.status = n.before;
    IF NEW.status = 'settled' THEN
        UPDATE payroll.garnishment_remittance AS r
        SET status = 'remitted', remitted_on = NEW.effective_entry_date,
            confirmation_number = coalesce(r.confirmation_number, e.trace_number, e.check_number)
        FROM payroll.payment_entry AS e
        WHERE e.business_id = NEW.business_id AND e.payment_batch_id = NEW.payment_batch_id
          AND r.business_id = e.business_id
          AND r.garnishment_remittance_id = e.garnishment_remittance_id
          AND r.status = 'scheduled';
        UPDATE payroll.contractor_payment AS c
        SET status = 'paid', paid_on = NEW.effective_entry_date
        FROM payroll.payment_entry AS e
        WHERE e.business_id = NEW.business_id AND e.payment_batch_id = NEW.payment_batch_id
          AND c.business_id = e.business_id
          AND c.contractor_payment_id = e.contractor_payment_id AND c.status = 'approved';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.follow_batch() IS
    'Entries go where their batch goes, and so do the remittances and invoices that they pay.';

CREATE TRIGGER payment_batch_followed
    AFTER UPDATE OF status ON payroll.payment_batch
    FOR EACH ROW WHEN (OLD.status <> NEW.status)
    EXECUTE FUNCTION payroll.follow_batch();


CREATE TABLE payroll.payment_return (
    business_id               uuid                    NOT NULL,
    payment_return_id         uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    payment_entry_id          uuid                    NOT NULL,
    returned_on               date                    NOT NULL,
    return_code               text                    NOT NULL,
    is_notification_of_change boolean                 NOT NULL
                                                      GENERATED ALWAYS AS
                                                          (return_code LIKE 'C%') STORED,
    amount                    system_core.money       NOT NULL DEFAULT 0,
    corrected_data            system_core.json_object,
    action                    text                    NOT NULL,
    resolved_at               timestamptz,
    addenda                   text,
    created_at                timestamptz             NOT NULL DEFAULT now(),
    updated_at                timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, payment_return_id),
    FOREIGN KEY (business_id, payment_entry_id)
        REFERENCES payroll.payment_entry (business_id, payment_entry_id),
    CONSTRAINT payment_return_code_known
        CHECK (return_code IN ('R01', 'R02', 'R03', 'R04', 'R05', 'R10', 'R16', 'R20', 'R29',
                               'C01', 'C02', 'C03', 'C05')),
    CONSTRAINT payment_return_action_known
        CHECK (action IN ('reissue_check', 'update_account', 'contact_employee', 'write_off')),
    CONSTRAINT payment_return_notification_returns_no_money
        CHECK ((return_code LIKE 'C%') = (amount = 0)),
    CONSTRAINT payment_return_notification_corrects
        CHECK ((return_code LIKE 'C%') = (corrected_data IS NOT NULL)),
    CONSTRAINT payment_return_amount_not_negative CHECK (amount >= 0)
);

COMMENT ON TABLE payroll.payment_return IS 'ACH return or notification of change.';
COMMENT ON COLUMN payroll.payment_return.corrected_data IS
    'What the bank has instead: {"routing_number", "account_token", "last4", "account_kind"}.';

-- FK: what came back of an entry; the money only once.
CREATE UNIQUE INDEX payment_return_once_idx
    ON payroll.payment_return (business_id, payment_entry_id)
    WHERE return_code LIKE 'R%';

-- FK: all that a bank said about an entry.
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

CREATE FUNCTION payroll.require_return_in_time() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    entry    record;
    last_day date;
BEGIN
    SELECT e.amount, e.trace_number, b.effective_entry_date AS day, a.return_banking_days,
           a.unauthorized_return_days INTO entry
    FROM payroll.payment_entry AS e
    JOIN payroll.payment_batch AS b
        ON b.business_id = e.business_id AND b.payment_batch_id = e.payment_batch_id
    JOIN payroll.employer_bank_account AS a
        ON a.business_id = b.business_id
       AND a.employer_bank_account_id = b.employer_bank_account_id
    WHERE e.business_id = NEW.business_id AND e.payment_entry_id = NEW.payment_entry_id;
    IF entry.trace_number IS NULL THEN
        RAISE EXCEPTION 'a check is not returned through the clearing house'
            USING ERRCODE = 'check_violation';
    END IF;
    last_day := CASE NEW.return_code WHEN 'R10' THEN entry.day + entry.unauthorized_return_days
                                     ELSE payroll.banking_day(entry.day,
                                                              entry.return_banking_days) END;
    IF NEW.returned_on > last_day OR NEW.returned_on < entry.day THEN
        RAISE EXCEPTION 'a deposit of % comes back until %', entry.day, last_day
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.return_code LIKE 'R%' AND NEW.amount <> entry.amount THEN
        RAISE EXCEPTION 'the entry was of %, not %', entry.amount, NEW.amount
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.require_return_in_time() IS
    'A deposit comes back whole, within the days that were agreed with the bank.';

CREATE TRIGGER payment_return_in_time
    BEFORE INSERT OR UPDATE OF payment_entry_id, returned_on, return_code, amount
    ON payroll.payment_return
    FOR EACH ROW EXECUTE FUNCTION payroll.require_return_in_time();

CREATE FUNCTION payroll.follow_return() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    entry payroll.payment_entry;
BEGIN
    SELECT e.* INTO entry
    FROM payroll.payment_entry AS e
    WHERE e.business_id = NEW.business_id AND e.payment_entry_id = NEW.payment_entry_id
    FOR NO KEY UPDATE;
    IF NEW.is_notification_of_change THEN
        UPDATE payroll.employee_bank_account AS b
        SET routing_number = coalesce(NEW.corrected_data ->> 'routing_number', b.routing_number),
            account_token = coalesce(NEW.corrected_data ->> 'account_token', b.account_token),
            last4 = coalesce(NEW.corrected_data ->> 'last4', b.last4),
            account_kind = coalesce(NEW.corrected_data ->> 'account_kind', b.account_kind)
        WHERE b.business_id = NEW.business_id
          AND b.employee_bank_account_id = entry.employee_bank_account_id;
        RETURN NULL;
    END IF;
    UPDATE payroll.payment_entry AS e
    SET status = 'returned'
    WHERE e.business_id = NEW.business_id AND e.payment_entry_id = NEW.payment_entry_id
      AND e.status <> 'returned';
    -- An account that does not exist, is closed or frozen gets nothing any more.
    UPDATE payroll.employee_bank_account AS b
    SET status = 'rejected'
    WHERE b.business_id = NEW.business_id AND b.status = 'active'
      AND b.employee_bank_account_id = entry.employee_bank_account_id
      AND NEW.return_code IN ('R02', 'R03', 'R04', 'R16', 'R20');
    UPDATE payroll.garnishment_remittance AS r
    SET status = 'returned'
    WHERE r.business_id = NEW.business_id AND r.status IN ('scheduled', 'remitted')
      AND r.garnishment_remittance_id = entry.garnishment_remittance_id;
    UPDATE payroll.paycheck AS p
    SET status = 'returned'
    WHERE p.business_id = NEW.business_id AND p.paycheck_id = entry.paycheck_id
      AND p.status = 'paid';
    UPDATE payroll.pay_run AS r
    SET status = 'partially_returned'
    FROM payroll.paycheck AS p
    WHERE p.business_id = NEW.business_id AND p.paycheck_id = entry.paycheck_id
      AND p.status = 'returned' AND r.business_id = p.business_id
      AND r.pay_run_id = p.pay_run_id AND r.status = 'paid';
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.follow_return() IS
    'What came back is returned, with its paycheck and run, and a dead account is not used again; a
     notification of change corrects the account and returns nothing.';

CREATE TRIGGER payment_return_followed
    AFTER INSERT ON payroll.payment_return
    FOR EACH ROW EXECUTE FUNCTION payroll.follow_return();


CREATE FUNCTION payroll.start_batch(
    bank       uuid,
    run        uuid,
    kind       text,
    sec        text,
    number     text,
    pays_on    date,
    told       text DEFAULT 'PAYROLL'
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    made uuid;
BEGIN
    INSERT INTO payroll.payment_batch
        (business_id, pay_run_id, employer_bank_account_id, batch_number, batch_kind, sec_code,
         company_entry_description, effective_entry_date, trace_prefix)
    SELECT a.business_id, run, bank, number, kind, sec, told, pays_on, left(a.routing_number, 8)
    FROM payroll.employer_bank_account AS a
    WHERE a.business_id = tenant_mgmt.current_business_id() AND a.employer_bank_account_id = bank
    -- Trace and check numbers of an account are given out one batch after the other.
    FOR NO KEY UPDATE
    RETURNING payment_batch_id INTO made;
    RETURN made;
END
$$;
COMMENT ON FUNCTION payroll.start_batch(uuid, uuid, text, text, text, date, text) IS
    'An empty batch of an account of the calling tenant.';

CREATE FUNCTION payroll.last_number(bank uuid, of_checks boolean) RETURNS bigint
    LANGUAGE sql STABLE
    RETURN (
        SELECT coalesce(max(CASE WHEN of_checks THEN split_part(e.check_number, '-', 2)::bigint
                                 ELSE right(e.trace_number, 7)::bigint END),
                        CASE WHEN of_checks THEN 1000 ELSE 0 END)
        FROM payroll.payment_batch AS b
        JOIN payroll.employer_bank_account AS a
            ON a.business_id = b.business_id
           AND a.employer_bank_account_id = b.employer_bank_account_id
        JOIN payroll.employer_bank_account AS own
            ON own.business_id = a.business_id AND own.employer_bank_account_id = bank
           AND left(own.routing_number, 8) = left(a.routing_number, 8)
        JOIN payroll.payment_entry AS e
            ON e.business_id = b.business_id AND e.payment_batch_id = b.payment_batch_id
        WHERE b.business_id = tenant_mgmt.current_business_id()
          AND CASE WHEN of_checks THEN e.check_number LIKE own.last4 || '-%'
                   ELSE e.trace_number IS NOT NULL END);
COMMENT ON FUNCTION payroll.last_number(uuid, boolean) IS
    'The last trace or check number that an account of the calling tenant gave out.';

CREATE FUNCTION payroll.build_ach_batch(
    run    uuid,
    bank   uuid DEFAULT NULL,
    moment timestamptz DEFAULT now()
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant   CONSTANT uuid := tenant_mgmt.current_business_id();
    of_run   payroll.pay_run;
    account  payroll.employer_bank_account;
    deposits uuid;
    checks   uuid;
BEGIN
    SELECT r.* INTO of_run
    FROM payroll.pay_run AS r
    WHERE r.business_id = tenant AND r.pay_run_id = run
    FOR NO KEY UPDATE;
    IF coalesce(of_run.status, '') NOT IN ('approved', 'funded', 'paid') THEN
        RAISE EXCEPTION 'a run is paid once it is approved, not %',
                        coalesce(of_run.status, 'missing')
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF EXISTS (
        SELECT
        FROM payroll.payment_batch AS b
        WHERE b.business_id = tenant AND b.pay_run_id = run
          AND b.batch_kind IN ('ach_credit', 'check') AND b.status NOT IN ('rejected', 'cancelled')
    ) THEN
        RAISE EXCEPTION 'the batch of run % is built', of_run.run_number
            USING ERRCODE = 'unique_violation';
    END IF;
    SELECT a.* INTO account
    FROM payroll.employer_bank_account AS a
    WHERE a.business_id = tenant AND a.status = 'verified'
      AND a.employer_entity_id = of_run.employer_entity_id
      AND a.employer_bank_account_id = coalesce(
              bank, payroll.funding_account(of_run.employer_entity_id, 'payroll'));
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the employer of run % has no verified account to pay from',
                        of_run.run_number
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    deposits := payroll.start_batch(
        account.employer_bank_account_id, run, 'ach_credit', 'PPD',
        'ACH-' || of_run.run_number || payroll.attempt(run, 'ach_credit'), of_run.check_date);
    INSERT INTO payroll.payment_entry
        (business_id, payment_batch_id, paycheck_id, employee_bank_account_id, payee_kind, amount,
         routing_number, trace_number)
    SELECT tenant, deposits, s.paycheck_id, s.account, 'employee', s.amount, s.routing_number,
           left(account.routing_number, 8) || lpad((n.last + row_number() OVER (
               ORDER BY s.check_number, s.account))::text, 7, '0')
    FROM (
        SELECT p.paycheck_id, p.check_number, d.employee_bank_account_id AS account,
               b.routing_number, sum(d.amount) AS amount
        FROM payroll.paycheck AS p
        CROSS JOIN LATERAL payroll.split_net_pay(p.employee_id, p.net_amount, p.check_date,
                                                 moment) AS d
        JOIN payroll.employee_bank_account AS b
            ON b.business_id = tenant
           AND b.employee_bank_account_id = d.employee_bank_account_id
        WHERE p.business_id = tenant AND p.pay_run_id = run AND p.net_amount > 0
          AND p.status IN ('final', 'paid') AND p.payment_method <> 'check'
        GROUP BY p.paycheck_id, p.check_number, d.employee_bank_account_id, b.routing_number
    ) AS s
    CROSS JOIN (SELECT payroll.last_number(account.employer_bank_account_id, false) AS last) AS n;
    IF FOUND THEN
        INSERT INTO payroll.payment_entry
            (business_id, payment_batch_id, payee_kind, amount, direction, routing_number,
             trace_number)
        SELECT tenant, deposits, 'employer_debit', b.total_credit_amount, 'debit',
               account.routing_number,
               left(account.routing_number, 8) || lpad((payroll.last_number(
                   account.employer_bank_account_id, false) + 1)::text, 7, '0')
        FROM payroll.payment_batch AS b
        WHERE b.business_id = tenant AND b.payment_batch_id = deposits;
        UPDATE payroll.direct_deposit_split AS s
        SET last_used_on = of_run.check_date
        FROM payroll.payment_entry AS e
        JOIN payroll.paycheck AS p
            ON p.business_id = tenant AND p.paycheck_id = e.paycheck_id
        WHERE e.business_id = tenant AND e.payment_batch_id = deposits
          AND s.business_id = tenant AND s.employee_id = p.employee_id
          AND s.employee_bank_account_id = e.employee_bank_account_id
          AND coalesce(s.last_used_on < of_run.check_date, true);
    END IF;
    -- The rest of each pay by check.
    IF EXISTS (
        SELECT
        FROM payroll.paycheck AS p
        WHERE p.business_id = tenant AND p.pay_run_id = run AND p.status IN ('final', 'paid')
          AND p.net_amount > payroll.paid_of(p.paycheck_id)
    ) THEN
        checks := payroll.start_batch(
            account.employer_bank_account_id, run, 'check', 'none',
            'CHK-' || of_run.run_number || payroll.attempt(run, 'check'), of_run.check_date);
        INSERT INTO payroll.payment_entry
            (business_id, payment_batch_id, paycheck_id, payee_kind, amount, check_number,
             stale_after)
        SELECT tenant, checks, p.paycheck_id, 'employee',
               p.net_amount - payroll.paid_of(p.paycheck_id),
               account.last4 || '-' || n.last + row_number() OVER (ORDER BY p.check_number),
               of_run.check_date + account.check_valid_days
        FROM payroll.paycheck AS p
        CROSS JOIN (
            SELECT payroll.last_number(account.employer_bank_account_id, true) AS last
        ) AS n
        WHERE p.business_id = tenant AND p.pay_run_id = run AND p.status IN ('final', 'paid')
          AND p.net_amount > payroll.paid_of(p.paycheck_id);
    END IF;
    RETURN deposits;
END
$$;
COMMENT ON FUNCTION payroll.build_ach_batch(uuid, uuid, timestamptz) IS
    'Pays a run of the calling tenant: deposits by the splits of each employee, balanced by a debit
     of the employer, and a print run of checks for what no account takes. Two at once build it
     once.';

CREATE FUNCTION payroll.attempt(run uuid, kind text) RETURNS text
    LANGUAGE sql STABLE
    RETURN (
        SELECT CASE count(*) WHEN 0 THEN '' ELSE '-' || count(*) + 1 END
        FROM payroll.payment_batch AS b
        WHERE b.business_id = tenant_mgmt.current_business_id() AND b.pay_run_id = run
          AND b.batch_kind = kind);
COMMENT ON FUNCTION payroll.attempt(uuid, text) IS
    'What tells the number of another batch of a run of the calling tenant from the first.';

CREATE FUNCTION payroll.paid_of(paycheck uuid) RETURNS numeric
    LANGUAGE sql STABLE
    RETURN (
        SELECT coalesce(sum(e.amount), 0)
        FROM payroll.payment_entry AS e
        WHERE e.business_id = tenant_mgmt.current_business_id() AND e.paycheck_id = paycheck
          AND e.status IN ('pending', 'sent', 'settled'));
COMMENT ON FUNCTION payroll.paid_of(uuid) IS
    'What of a paycheck of the calling tenant is paid or on its way.';

CREATE FUNCTION payroll.reissue_payment(entry uuid, pays_on date) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  CONSTANT uuid := tenant_mgmt.current_business_id();
    former  payroll.payment_entry;
    batch   payroll.payment_batch;
    account payroll.employer_bank_account;
    made    uuid;
BEGIN
    SELECT e.* INTO former
    FROM payroll.payment_entry AS e
    WHERE e.business_id = tenant AND e.payment_entry_id = entry
    FOR NO KEY UPDATE;
    IF coalesce(former.status, '') NOT IN ('returned', 'stale') OR former.paycheck_id IS NULL THEN
        RAISE EXCEPTION 'what came back or was not cashed is paid again, not what is %',
                        coalesce(former.status, 'missing')
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    SELECT b.* INTO batch
    FROM payroll.payment_batch AS b
    WHERE b.business_id = tenant AND b.payment_batch_id = former.payment_batch_id;
    SELECT a.* INTO account
    FROM payroll.employer_bank_account AS a
    WHERE a.business_id = tenant AND a.employer_bank_account_id = batch.employer_bank_account_id;
    UPDATE payroll.payment_entry AS e
    SET status = 'reissued'
    WHERE e.business_id = tenant AND e.payment_entry_id = entry;
    made := payroll.start_batch(
        account.employer_bank_account_id, batch.pay_run_id, 'check', 'none',
        'RE-' || coalesce(former.trace_number, former.check_number), pays_on, 'REISSUE');
    INSERT INTO payroll.payment_entry
        (business_id, payment_batch_id, paycheck_id, payee_kind, amount, check_number, stale_after)
    VALUES (tenant, made, former.paycheck_id, 'employee', former.amount,
            account.last4 || '-' || payroll.last_number(account.employer_bank_account_id, true) + 1,
            pays_on + account.check_valid_days);
    UPDATE payroll.payment_return AS r
    SET resolved_at = pays_on::timestamp AT TIME ZONE 'UTC'
    WHERE r.business_id = tenant AND r.payment_entry_id = entry AND r.resolved_at IS NULL;
    UPDATE payroll.paycheck AS p
    SET status = 'reissued'
    WHERE p.business_id = tenant AND p.paycheck_id = former.paycheck_id AND p.status = 'returned';
    UPDATE payroll.pay_run AS r
    SET status = 'paid'
    WHERE r.business_id = tenant AND r.pay_run_id = batch.pay_run_id
      AND r.status = 'partially_returned' AND NOT EXISTS (
          SELECT
          FROM payroll.paycheck AS p
          WHERE p.business_id = tenant AND p.pay_run_id = r.pay_run_id
            AND p.status = 'returned');
    RETURN made;
END
$$;
COMMENT ON FUNCTION payroll.reissue_payment(uuid, date) IS
    'Pays a deposit of the calling tenant that came back, or a check that went stale, by a new
     check; its paycheck is reissued, and its run paid when nothing else is out.';

CREATE FUNCTION payroll.mark_stale_checks(day date) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    made integer;
BEGIN
    UPDATE payroll.payment_entry AS e
    SET status = 'stale'
    WHERE e.business_id = tenant_mgmt.current_business_id() AND e.check_number IS NOT NULL
      AND e.status = 'settled' AND e.cleared_on IS NULL AND e.stale_after < day;
    GET DIAGNOSTICS made = ROW_COUNT;
    RETURN made;
END
$$;
COMMENT ON FUNCTION payroll.mark_stale_checks(date) IS
    'Checks of the calling tenant that nobody cashed in time are stale: unclaimed property that goes
     to the state unless they are reissued. How many.';

CREATE FUNCTION payroll.payment_differences()
    RETURNS TABLE (what text, number text, said numeric, found numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT x.what, b.batch_number, x.said, x.found
    FROM payroll.payment_batch AS b
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(e.amount) FILTER (WHERE e.direction = 'credit'), 0) AS credit,
               coalesce(sum(e.amount) FILTER (WHERE e.direction = 'debit'), 0) AS debit,
               count(*) AS entries,
               coalesce(sum(left(e.routing_number, 8)::bigint), 0) % 10000000000 AS hash
        FROM payroll.payment_entry AS e
        WHERE e.business_id = b.business_id AND e.payment_batch_id = b.payment_batch_id
    ) AS s
    CROSS JOIN LATERAL (VALUES
        ('credits', b.total_credit_amount::numeric, s.credit),
        ('debits', b.total_debit_amount, s.debit), ('entries', b.entry_count, s.entries),
        ('hash', b.entry_hash, s.hash)) AS x (what, said, found)
    WHERE b.business_id = tenant_mgmt.current_business_id() AND x.said <> x.found
    UNION ALL
    SELECT 'overpaid', p.check_number, p.net_amount, payroll.paid_of(p.paycheck_id)
    FROM payroll.paycheck AS p
    WHERE p.business_id = tenant_mgmt.current_business_id()
      AND payroll.paid_of(p.paycheck_id) > p.net_amount;
END;
COMMENT ON FUNCTION payroll.payment_differences() IS
    'Proves the payments of the calling tenant: batches that are not the sum of their entries, and
     paychecks that were paid more than their net.';
