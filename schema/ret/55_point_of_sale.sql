/*
 * Point of sale: what happens at a register, from the float in the morning to the Z report.
 *
 * A register_session is one drawer's life: it opens with a float, payments and cash_movement move
 * what it should hold, a cash_count says what it does hold, and the difference is over or short.
 * A pos_transaction is one receipt of the session; pos_journal_event is the tape that the till
 * writes, and nobody rewrites it. A layaway sets goods aside while its layaway_instalment rows are
 * paid. Payments themselves, and what they put in a drawer, are in the next file.
 */

CREATE TABLE ret.register_session (
    business_id         uuid                   NOT NULL,
    register_session_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    opened_by_user_id   uuid                   NOT NULL,
    closed_by_user_id   uuid,
    register_id         uuid                   NOT NULL,
    session_number      text                   NOT NULL,
    business_date       date                   NOT NULL,
    opened_at           timestamptz            NOT NULL DEFAULT now(),
    closed_at           timestamptz,
    opening_float       system_core.money      NOT NULL DEFAULT 0,
    cash_sales          system_core.money      NOT NULL DEFAULT 0,
    cash_refunds        system_core.money      NOT NULL DEFAULT 0,
    paid_in             system_core.money      NOT NULL DEFAULT 0,
    paid_out            system_core.money      NOT NULL DEFAULT 0,
    safe_drops          system_core.money      NOT NULL DEFAULT 0,
    expected_cash       system_core.money      GENERATED ALWAYS AS (
                                              opening_float + cash_sales - cash_refunds + paid_in
                                              - paid_out - safe_drops) STORED,
    counted_cash        system_core.money,
    over_short          system_core.money      GENERATED ALWAYS AS (
                                              counted_cash - (opening_float + cash_sales
                                              - cash_refunds + paid_in - paid_out
                                              - safe_drops)) STORED,
    approval_limit      system_core.money      NOT NULL DEFAULT 50,
    tender_totals_doc   system_core.json_array,
    is_blind_close      boolean                NOT NULL DEFAULT false,
    state               text                   NOT NULL DEFAULT 'open',
    created_at          timestamptz            NOT NULL DEFAULT now(),
    updated_at          timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, register_session_id),
    UNIQUE (business_id, register_id, session_number),
    FOREIGN KEY (business_id, opened_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, closed_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, register_id) REFERENCES ret.register (business_id, register_id),
    CONSTRAINT register_session_state_known
        CHECK (state IN ('open', 'counting', 'closed', 'posted')),
    CONSTRAINT register_session_amounts_not_negative
        CHECK (least(opening_float, cash_sales, cash_refunds, paid_in, paid_out, safe_drops,
                     counted_cash, approval_limit) >= 0),
    CONSTRAINT register_session_closed_after_open CHECK (closed_at >= opened_at),
    CONSTRAINT register_session_closed_has_time
        CHECK ((closed_at IS NOT NULL) = (state IN ('closed', 'posted'))),
    CONSTRAINT register_session_closed_is_counted
        CHECK (state NOT IN ('closed', 'posted')
               OR (counted_cash IS NOT NULL AND closed_by_user_id IS NOT NULL))
);

COMMENT ON TABLE ret.register_session IS
    'A cashier''s or lane''s session from float to Z report.';
COMMENT ON COLUMN ret.register_session.expected_cash IS 'What the drawer should hold.';
COMMENT ON COLUMN ret.register_session.over_short IS
    'Above zero: more was counted than should be there; NULL until it is counted.';
COMMENT ON COLUMN ret.register_session.approval_limit IS
    'Paid out, or taken off a price, above it only with a name that approves.';
COMMENT ON COLUMN ret.register_session.tender_totals_doc IS
    'Of the close: [{"tender": "card", "expected": 310.40, "declared": 310.40}].';
COMMENT ON COLUMN ret.register_session.is_blind_close IS
    'The cashier counts without being shown what is expected.';

-- One open session per register.
CREATE UNIQUE INDEX register_session_open_idx
    ON ret.register_session (business_id, register_id)
    WHERE closed_at IS NULL;

-- The Z reports of a day.
CREATE INDEX register_session_business_date_idx
    ON ret.register_session (business_id, business_date);

-- FK: the drawers that somebody opened.
CREATE INDEX register_session_opened_by_user_idx
    ON ret.register_session (business_id, opened_by_user_id);

-- FK: the drawers that somebody counted and closed.
CREATE INDEX register_session_closed_by_user_idx
    ON ret.register_session (business_id, closed_by_user_id)
    WHERE closed_by_user_id IS NOT NULL;

ALTER TABLE ret.register_session ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.register_session
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.register_session TO app_user;
GRANT SELECT ON ret.register_session TO app_readonly;

CREATE TRIGGER register_session_touch
    BEFORE UPDATE ON ret.register_session
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER register_session_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.register_session
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["open"],
        "transitions": {
            "open":     ["counting"],
            "counting": ["open", "closed"],
            "closed":   ["counting", "posted"],
            "posted":   []
        }}');

CREATE FUNCTION ret.keep_posted_session() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'session % is posted, it is not changed', OLD.session_number
        USING ERRCODE = 'check_violation', HINT = 'Book the difference in the next session.';
END
$$;
COMMENT ON FUNCTION ret.keep_posted_session() IS 'What the books have taken over stands.';

CREATE TRIGGER register_session_posted_stands
    BEFORE UPDATE ON ret.register_session
    FOR EACH ROW WHEN (OLD.state = 'posted')
    EXECUTE FUNCTION ret.keep_posted_session();

CREATE FUNCTION ret.require_open_session() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    found_state text;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    SELECT s.state INTO found_state
    FROM ret.register_session AS s
    WHERE s.business_id = NEW.business_id AND s.register_session_id = NEW.register_session_id;
    IF found_state <> 'open' THEN
        RAISE EXCEPTION 'the register session is %', found_state
            USING ERRCODE = 'check_violation', HINT = 'Open a session on the register.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.require_open_session() IS
    'Receipts come out of an open session; imported history may be older.';


CREATE TABLE ret.cash_movement (
    business_id         uuid              NOT NULL,
    cash_movement_id    uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    actor_user_id       uuid              NOT NULL,
    approved_by_user_id uuid,
    register_session_id uuid              NOT NULL,
    movement_kind       text              NOT NULL,
    amount              system_core.money NOT NULL DEFAULT 0,
    occurred_at         timestamptz       NOT NULL DEFAULT now(),
    reason_text         text,
    reference_number    text,
    bag_number          text,
    running_balance     system_core.money NOT NULL DEFAULT 0,
    witness_name        text,
    created_at          timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, cash_movement_id),
    FOREIGN KEY (business_id, actor_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, approved_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, register_session_id)
        REFERENCES ret.register_session (business_id, register_session_id),
    CONSTRAINT cash_movement_kind_known
        CHECK (movement_kind IN ('float_in', 'paid_in', 'paid_out', 'safe_drop', 'bank_deposit',
                                 'no_sale', 'correction')),
    CONSTRAINT cash_movement_amount_by_kind
        CHECK (CASE WHEN movement_kind = 'no_sale' THEN amount = 0 ELSE amount > 0 END),
    CONSTRAINT cash_movement_has_reason
        CHECK (movement_kind NOT IN ('paid_out', 'correction') OR reason_text IS NOT NULL),
    CONSTRAINT cash_movement_bag_for_deposits
        CHECK (bag_number IS NULL OR movement_kind IN ('safe_drop', 'bank_deposit')),
    CONSTRAINT cash_movement_approved_by_another CHECK (approved_by_user_id <> actor_user_id)
);

COMMENT ON TABLE ret.cash_movement IS
    'Paid-in, paid-out, drop, float change or no-sale; append only.';
COMMENT ON COLUMN ret.cash_movement.movement_kind IS
    'float_in brings change into the drawer, correction adds what a count found beyond the books,
     safe_drop and bank_deposit take cash to the safe or the bank.';
COMMENT ON COLUMN ret.cash_movement.running_balance IS
    'What the drawer should hold after it; the database fills it in.';

-- FK: who moves cash, for losses.
CREATE INDEX cash_movement_actor_user_idx ON ret.cash_movement (business_id, actor_user_id);

-- FK: what somebody approved.
CREATE INDEX cash_movement_approved_by_user_idx
    ON ret.cash_movement (business_id, approved_by_user_id)
    WHERE approved_by_user_id IS NOT NULL;

-- FK: the movements of a drawer in order.
CREATE INDEX cash_movement_register_session_idx
    ON ret.cash_movement (business_id, register_session_id, occurred_at);

ALTER TABLE ret.cash_movement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.cash_movement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON ret.cash_movement TO app_user;
GRANT SELECT ON ret.cash_movement TO app_readonly;

CREATE TRIGGER cash_movement_append_only
    BEFORE UPDATE OR DELETE ON ret.cash_movement
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('ret.cash_movement');

CREATE FUNCTION ret.move_cash() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    alone numeric;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    UPDATE ret.register_session AS s
    SET paid_in = s.paid_in + CASE WHEN NEW.movement_kind IN ('float_in', 'paid_in', 'correction')
                                   THEN NEW.amount ELSE 0 END,
        paid_out = s.paid_out
            + CASE WHEN NEW.movement_kind = 'paid_out' THEN NEW.amount ELSE 0 END,
        safe_drops = s.safe_drops + CASE WHEN NEW.movement_kind IN ('safe_drop', 'bank_deposit')
                                         THEN NEW.amount ELSE 0 END
    WHERE s.business_id = NEW.business_id AND s.register_session_id = NEW.register_session_id
      AND s.state IN ('open', 'counting')
    RETURNING s.expected_cash, s.approval_limit INTO NEW.running_balance, alone;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the drawer is closed'
            USING ERRCODE = 'check_violation', HINT = 'Open a session on the register.';
    ELSIF NEW.running_balance < 0 THEN
        RAISE EXCEPTION 'the drawer does not hold %', NEW.amount
            USING ERRCODE = 'check_violation', HINT = 'Take out no more than lies in it.';
    ELSIF NEW.movement_kind = 'paid_out' AND NEW.amount > alone
          AND NEW.approved_by_user_id IS NULL THEN
        RAISE EXCEPTION 'paying out % needs an approval, only % goes without', NEW.amount, alone
            USING ERRCODE = 'check_violation', HINT = 'Name who approves it.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.move_cash() IS
    'A movement changes what its drawer should hold and notes what it then is; not out of a closed
     drawer, not more than it holds, not above the limit alone. Imports bring their balances.';

CREATE TRIGGER cash_movement_moves_cash
    BEFORE INSERT ON ret.cash_movement
    FOR EACH ROW EXECUTE FUNCTION ret.move_cash();


CREATE FUNCTION ret.denominations_total(denominations jsonb) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(sum(d.value * d.pieces), 0)
    FROM JSON_TABLE(denominations, '$[*]' COLUMNS (
        value  numeric PATH '$.value' ERROR ON ERROR,
        pieces integer PATH '$.count' ERROR ON ERROR)) AS d;
END;
COMMENT ON FUNCTION ret.denominations_total(jsonb) IS
    'What notes and coins come to: [{"value": 20, "count": 7}, {"value": 0.25, "count": 40}].';


CREATE TABLE ret.cash_count (
    business_id         uuid                   NOT NULL,
    cash_count_id       uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    counted_by_user_id  uuid                   NOT NULL,
    register_session_id uuid                   NOT NULL,
    count_kind          text                   NOT NULL,
    counted_at          timestamptz            NOT NULL DEFAULT now(),
    currency            system_core.currency   NOT NULL,
    denominations_doc   system_core.json_array NOT NULL,
    counted_total       system_core.money      NOT NULL,
    expected_total      system_core.money      NOT NULL DEFAULT 0,
    variance_amount     system_core.money      GENERATED ALWAYS AS (
                                                 counted_total - expected_total) STORED,
    variance_reason     text,
    is_accepted         boolean                NOT NULL DEFAULT false,
    created_at          timestamptz            NOT NULL DEFAULT now(),
    updated_at          timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, cash_count_id),
    FOREIGN KEY (business_id, counted_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, register_session_id)
        REFERENCES ret.register_session (business_id, register_session_id),
    CONSTRAINT cash_count_kind_known
        CHECK (count_kind IN ('opening', 'spot', 'closing', 'recount')),
    CONSTRAINT cash_count_not_negative CHECK (counted_total >= 0),
    CONSTRAINT cash_count_adds_up
        CHECK (counted_total = ret.denominations_total(denominations_doc)),
    CONSTRAINT cash_count_accepted_is_explained
        CHECK (NOT is_accepted OR counted_total = expected_total OR variance_reason IS NOT NULL)
);

COMMENT ON TABLE ret.cash_count IS 'Denomination count at opening, spot check or close.';
COMMENT ON COLUMN ret.cash_count.denominations_doc IS
    'Count per note and coin: [{"value": 20, "count": 7}].';
COMMENT ON COLUMN ret.cash_count.expected_total IS
    'What the drawer should have held then; the database fills it in.';
COMMENT ON COLUMN ret.cash_count.is_accepted IS
    'A manager takes the count as it is; a difference then has a reason.';

-- FK: who counts.
CREATE INDEX cash_count_counted_by_user_idx ON ret.cash_count (business_id, counted_by_user_id);

-- FK: the counts of a drawer.
CREATE INDEX cash_count_register_session_idx ON ret.cash_count (business_id, register_session_id);

ALTER TABLE ret.cash_count ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.cash_count
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.cash_count TO app_user;
GRANT SELECT ON ret.cash_count TO app_readonly;

CREATE TRIGGER cash_count_touch
    BEFORE UPDATE ON ret.cash_count
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION ret.expect_cash() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    drawer record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    SELECT s.state, s.opening_float, s.expected_cash INTO drawer
    FROM ret.register_session AS s
    WHERE s.business_id = NEW.business_id AND s.register_session_id = NEW.register_session_id
    FOR NO KEY UPDATE;
    IF drawer.state NOT IN ('open', 'counting') THEN
        RAISE EXCEPTION 'the drawer is %, it is not counted', drawer.state
            USING ERRCODE = 'check_violation', HINT = 'Count it before it is closed.';
    END IF;
    NEW.expected_total := CASE NEW.count_kind WHEN 'opening' THEN drawer.opening_float
                                              ELSE drawer.expected_cash END;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.expect_cash() IS
    'A count is held against what the drawer should hold, not against what the counter says.';

CREATE TRIGGER cash_count_expects
    BEFORE INSERT ON ret.cash_count
    FOR EACH ROW EXECUTE FUNCTION ret.expect_cash();


CREATE TABLE ret.pos_transaction (
    business_id         uuid              NOT NULL,
    pos_transaction_id  uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    cashier_user_id     uuid              NOT NULL,
    register_session_id uuid              NOT NULL,
    sales_order_id      uuid,
    customer_id         uuid,
    receipt_number      text              NOT NULL,
    transaction_kind    text              NOT NULL,
    business_date       date              NOT NULL,
    started_at          timestamptz       NOT NULL DEFAULT now(),
    completed_at        timestamptz,
    item_count          integer           NOT NULL DEFAULT 0,
    gross_total         system_core.money NOT NULL DEFAULT 0,
    discount_total      system_core.money NOT NULL DEFAULT 0,
    tax_total           system_core.money NOT NULL DEFAULT 0,
    net_total           system_core.money NOT NULL DEFAULT 0,
    scan_seconds        integer,
    is_offline          boolean           NOT NULL DEFAULT false,
    synced_at           timestamptz,
    receipt_delivery    text              NOT NULL DEFAULT 'print',
    voided_at           timestamptz,
    fiscal_signature    text,
    created_at          timestamptz       NOT NULL DEFAULT now(),
    updated_at          timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, pos_transaction_id),
    UNIQUE (business_id, register_session_id, receipt_number),
    FOREIGN KEY (business_id, cashier_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, register_session_id)
        REFERENCES ret.register_session (business_id, register_session_id),
    FOREIGN KEY (business_id, sales_order_id)
        REFERENCES ret.sales_order (business_id, sales_order_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES ret.customer (business_id, customer_id),
    CONSTRAINT pos_transaction_kind_known
        CHECK (transaction_kind IN ('sale', 'return', 'exchange', 'void', 'layaway', 'gift_card',
                                    'no_sale', 'training')),
    CONSTRAINT pos_transaction_receipt_delivery_known
        CHECK (receipt_delivery IN ('print', 'email', 'none', 'both')),
    CONSTRAINT pos_transaction_completed_at_follows_started_at CHECK (completed_at >= started_at),
    CONSTRAINT pos_transaction_sale_has_order
        CHECK (transaction_kind NOT IN ('sale', 'exchange') OR sales_order_id IS NOT NULL),
    CONSTRAINT pos_transaction_nothing_sold
        CHECK (transaction_kind NOT IN ('no_sale', 'training')
               OR (sales_order_id IS NULL AND customer_id IS NULL)),
    CONSTRAINT pos_transaction_no_sale_is_empty
        CHECK (transaction_kind <> 'no_sale' OR (item_count = 0 AND net_total = 0)),
    CONSTRAINT pos_transaction_totals_agree
        CHECK (net_total = gross_total - discount_total + tax_total),
    CONSTRAINT pos_transaction_only_offline_syncs CHECK (synced_at IS NULL OR is_offline),
    CONSTRAINT pos_transaction_synced_after_start CHECK (synced_at >= started_at),
    CONSTRAINT pos_transaction_void_has_time
        CHECK ((transaction_kind = 'void') = (voided_at IS NOT NULL)),
    CONSTRAINT pos_transaction_voided_after_start CHECK (voided_at >= started_at),
    CONSTRAINT pos_transaction_counts_not_negative CHECK (item_count >= 0 AND scan_seconds >= 0)
);

COMMENT ON TABLE ret.pos_transaction IS
    'A receipt: sale, return, exchange, void, layaway payment or no-sale.';
COMMENT ON COLUMN ret.pos_transaction.gross_total IS
    'Before discounts and tax; below zero where goods come back.';
COMMENT ON COLUMN ret.pos_transaction.net_total IS 'What the customer paid, tax included.';
COMMENT ON COLUMN ret.pos_transaction.scan_seconds IS
    'From the first scan to the tender, for staffing.';
COMMENT ON COLUMN ret.pos_transaction.fiscal_signature IS
    'Of the fiscal device, where the law asks for one.';

-- A receipt is scanned at the return desk of any store.
CREATE INDEX pos_transaction_receipt_idx ON ret.pos_transaction (business_id, receipt_number);

-- The receipts of a day.
CREATE INDEX pos_transaction_business_date_idx
    ON ret.pos_transaction (business_id, business_date);

-- FK: the receipts of a cashier.
CREATE INDEX pos_transaction_cashier_user_idx
    ON ret.pos_transaction (business_id, cashier_user_id);

-- FK: the receipts of an order.
CREATE INDEX pos_transaction_sales_order_idx
    ON ret.pos_transaction (business_id, sales_order_id)
    WHERE sales_order_id IS NOT NULL;

-- FK: the receipts of a customer.
CREATE INDEX pos_transaction_customer_idx
    ON ret.pos_transaction (business_id, customer_id)
    WHERE customer_id IS NOT NULL;

ALTER TABLE ret.pos_transaction ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.pos_transaction
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.pos_transaction TO app_user;
GRANT SELECT ON ret.pos_transaction TO app_readonly;

CREATE TRIGGER pos_transaction_touch
    BEFORE UPDATE ON ret.pos_transaction
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

-- What was sold while the line was down may come in after the close.
CREATE TRIGGER pos_transaction_in_open_session
    BEFORE INSERT ON ret.pos_transaction
    FOR EACH ROW WHEN (NOT NEW.is_offline) EXECUTE FUNCTION ret.require_open_session();

CREATE FUNCTION ret.keep_receipt() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'receipt % was printed, its amounts stand', OLD.receipt_number
        USING ERRCODE = 'check_violation', HINT = 'Void it, or take the goods back.';
END
$$;
COMMENT ON FUNCTION ret.keep_receipt() IS 'What a completed receipt says stands.';

CREATE TRIGGER pos_transaction_receipt_stands
    BEFORE UPDATE ON ret.pos_transaction
    FOR EACH ROW WHEN (OLD.completed_at IS NOT NULL
                       AND (OLD.receipt_number, OLD.register_session_id, OLD.completed_at,
                            OLD.item_count, OLD.gross_total, OLD.discount_total, OLD.tax_total)
                           IS DISTINCT FROM
                           (NEW.receipt_number, NEW.register_session_id, NEW.completed_at,
                            NEW.item_count, NEW.gross_total, NEW.discount_total, NEW.tax_total))
    EXECUTE FUNCTION ret.keep_receipt();


CREATE TABLE ret.pos_journal_event (
    business_id          uuid                    NOT NULL,
    pos_journal_event_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    actor_user_id        uuid,
    register_session_id  uuid                    NOT NULL,
    occurred_at          timestamptz             NOT NULL DEFAULT now(),
    event_kind           text                    NOT NULL,
    receipt_number       text,
    barcode              text,
    quantity             system_core.quantity,
    amount               system_core.money,
    approver_name        text,
    duration_ms          integer,
    payload              system_core.json_object,
    created_at           timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, pos_journal_event_id, occurred_at),
    FOREIGN KEY (business_id, actor_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, register_session_id)
        REFERENCES ret.register_session (business_id, register_session_id),
    CONSTRAINT pos_journal_event_kind_known
        CHECK (event_kind IN ('scan', 'manual_key', 'price_override', 'line_void', 'coupon',
                              'age_check', 'weight_check', 'tender', 'drawer_open',
                              'return_scan', 'assist_request', 'receipt_reprint')),
    CONSTRAINT pos_journal_event_scan_has_barcode
        CHECK (event_kind NOT IN ('scan', 'return_scan') OR barcode IS NOT NULL),
    CONSTRAINT pos_journal_event_override_has_amount
        CHECK (event_kind <> 'price_override' OR amount IS NOT NULL),
    CONSTRAINT pos_journal_event_duration_not_negative CHECK (duration_ms >= 0)
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE ret.pos_journal_event IS
    'Electronic journal: every scan, override, void line, age check and tender at the till;
     append only.';
COMMENT ON COLUMN ret.pos_journal_event.amount IS
    'Of the line or tender; of a price_override what it takes off the price.';
COMMENT ON COLUMN ret.pos_journal_event.payload IS
    'Detail of the event as the register recorded it.';

-- What happened on a receipt.
CREATE INDEX pos_journal_event_receipt_idx
    ON ret.pos_journal_event (business_id, receipt_number)
    WHERE receipt_number IS NOT NULL;

-- FK: what a cashier did, for losses.
CREATE INDEX pos_journal_event_actor_user_idx
    ON ret.pos_journal_event (business_id, actor_user_id)
    WHERE actor_user_id IS NOT NULL;

-- FK: the tape of a session, and its overrides and voids for the Z report.
CREATE INDEX pos_journal_event_register_session_idx
    ON ret.pos_journal_event (business_id, register_session_id, event_kind);

ALTER TABLE ret.pos_journal_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.pos_journal_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON ret.pos_journal_event TO app_user;
GRANT SELECT ON ret.pos_journal_event TO app_readonly;

CREATE TRIGGER pos_journal_event_append_only
    BEFORE UPDATE OR DELETE ON ret.pos_journal_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('ret.pos_journal_event');

CREATE FUNCTION ret.approve_override() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    alone numeric;
BEGIN
    SELECT s.approval_limit INTO alone
    FROM ret.register_session AS s
    WHERE s.business_id = NEW.business_id AND s.register_session_id = NEW.register_session_id;
    IF NEW.amount > alone THEN
        RAISE EXCEPTION 'taking % off a price needs an approver, only % goes without',
                        NEW.amount, alone
            USING ERRCODE = 'check_violation', HINT = 'Name who approves it.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.approve_override() IS
    'A price goes down further than the limit of the session only with an approver.';

CREATE TRIGGER pos_journal_event_override_approved
    BEFORE INSERT ON ret.pos_journal_event
    FOR EACH ROW WHEN (NEW.event_kind = 'price_override' AND NEW.approver_name IS NULL)
    EXECUTE FUNCTION ret.approve_override();

CREATE TABLE ret.pos_journal_event_default PARTITION OF ret.pos_journal_event DEFAULT;
ALTER TABLE ret.pos_journal_event_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.pos_journal_event_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('ret.pos_journal_event', 'month', behind => 3, ahead => 1);


CREATE TABLE ret.layaway (
    business_id         uuid                   NOT NULL,
    layaway_id          uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    customer_id         uuid                   NOT NULL,
    sales_order_id      uuid                   NOT NULL,
    location_id         uuid                   NOT NULL,
    layaway_number      text                   NOT NULL,
    opened_at           timestamptz            NOT NULL DEFAULT now(),
    total_amount        system_core.money      NOT NULL,
    deposit_amount      system_core.money      NOT NULL,
    minimum_deposit_pct system_core.percentage NOT NULL DEFAULT 10,
    balance_amount      system_core.money      NOT NULL DEFAULT 0,
    fee_amount          system_core.money      NOT NULL DEFAULT 0,
    instalment_count    integer                NOT NULL DEFAULT 1,
    final_due_on        date                   NOT NULL,
    grace_days          integer                NOT NULL DEFAULT 7,
    cancelled_fee       system_core.money      NOT NULL DEFAULT 0,
    state               text                   NOT NULL DEFAULT 'open',
    closed_at           timestamptz,
    created_at          timestamptz            NOT NULL DEFAULT now(),
    updated_at          timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, layaway_id),
    UNIQUE (business_id, layaway_number),
    FOREIGN KEY (business_id, customer_id) REFERENCES ret.customer (business_id, customer_id),
    FOREIGN KEY (business_id, sales_order_id)
        REFERENCES ret.sales_order (business_id, sales_order_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    CONSTRAINT layaway_state_known
        CHECK (state IN ('open', 'paid', 'collected', 'defaulted', 'cancelled')),
    CONSTRAINT layaway_deposit_is_enough
        CHECK (total_amount > 0 AND deposit_amount <= total_amount
               AND deposit_amount >= round(total_amount * minimum_deposit_pct / 100, 2)),
    CONSTRAINT layaway_deposit_pct_bounded CHECK (minimum_deposit_pct BETWEEN 0 AND 100),
    CONSTRAINT layaway_amounts_not_negative
        CHECK (least(balance_amount, fee_amount, cancelled_fee, grace_days) >= 0
               AND instalment_count > 0),
    CONSTRAINT layaway_paid_before_collected
        CHECK (state NOT IN ('paid', 'collected') OR balance_amount = 0),
    CONSTRAINT layaway_fee_when_given_up
        CHECK (cancelled_fee = 0 OR state IN ('defaulted', 'cancelled')),
    CONSTRAINT layaway_closed_has_time
        CHECK ((closed_at IS NOT NULL) = (state IN ('collected', 'defaulted', 'cancelled'))),
    CONSTRAINT layaway_closed_after_opening CHECK (closed_at >= opened_at)
);

COMMENT ON TABLE ret.layaway IS 'Goods set aside against instalments.';
COMMENT ON COLUMN ret.layaway.minimum_deposit_pct IS
    'Of the total that is paid at once, as the law or the store asks.';
COMMENT ON COLUMN ret.layaway.balance_amount IS
    'Still to be paid, from the deposit and the instalments; at zero the goods may be collected.';
COMMENT ON COLUMN ret.layaway.grace_days IS
    'An instalment is late only so many days after it is due.';
COMMENT ON COLUMN ret.layaway.cancelled_fee IS 'Kept when the customer gives up.';

-- FK: what a customer has set aside.
CREATE INDEX layaway_customer_idx ON ret.layaway (business_id, customer_id);

-- FK: the layaway of an order.
CREATE INDEX layaway_sales_order_idx ON ret.layaway (business_id, sales_order_id);

-- FK: what is set aside in a store.
CREATE INDEX layaway_location_idx ON ret.layaway (business_id, location_id);

ALTER TABLE ret.layaway ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.layaway
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.layaway TO app_user;
GRANT SELECT ON ret.layaway TO app_readonly;

CREATE TRIGGER layaway_touch
    BEFORE UPDATE ON ret.layaway
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER layaway_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.layaway
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["open"],
        "transitions": {
            "open":      ["paid", "defaulted", "cancelled"],
            "paid":      ["collected", "cancelled"],
            "collected": [],
            "defaulted": [],
            "cancelled": []
        }}');


CREATE TABLE ret.layaway_instalment (
    business_id           uuid              NOT NULL,
    layaway_instalment_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    layaway_id            uuid              NOT NULL,
    pos_transaction_id    uuid,
    instalment_no         integer           NOT NULL,
    due_on                date              NOT NULL,
    due_amount            system_core.money NOT NULL,
    paid_amount           system_core.money NOT NULL DEFAULT 0,
    paid_at               timestamptz,
    late_fee              system_core.money NOT NULL DEFAULT 0,
    reminder_sent_at      timestamptz,
    state                 text              NOT NULL DEFAULT 'due',
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, layaway_instalment_id),
    UNIQUE (business_id, layaway_id, instalment_no),
    FOREIGN KEY (business_id, layaway_id) REFERENCES ret.layaway (business_id, layaway_id),
    FOREIGN KEY (business_id, pos_transaction_id)
        REFERENCES ret.pos_transaction (business_id, pos_transaction_id),
    CONSTRAINT layaway_instalment_state_known CHECK (state IN ('due', 'paid', 'late', 'waived')),
    CONSTRAINT layaway_instalment_not_overpaid CHECK (paid_amount <= due_amount + late_fee),
    CONSTRAINT layaway_instalment_amounts_bounded
        CHECK (due_amount > 0 AND paid_amount >= 0 AND late_fee >= 0),
    CONSTRAINT layaway_instalment_numbered_from_one CHECK (instalment_no >= 1),
    CONSTRAINT layaway_instalment_paid_in_full
        CHECK ((state = 'paid') = (paid_amount = due_amount + late_fee)),
    CONSTRAINT layaway_instalment_paid_has_time
        CHECK ((paid_at IS NOT NULL) = (paid_amount > 0))
);

COMMENT ON TABLE ret.layaway_instalment IS 'Due and paid amounts of a layaway plan.';
COMMENT ON COLUMN ret.layaway_instalment.paid_at IS 'Last paid on; a part may be paid before.';

-- Who has to be reminded.
CREATE INDEX layaway_instalment_due_idx
    ON ret.layaway_instalment (business_id, due_on)
    WHERE state IN ('due', 'late');

-- FK: the receipt that an instalment was paid on.
CREATE INDEX layaway_instalment_pos_transaction_idx
    ON ret.layaway_instalment (business_id, pos_transaction_id)
    WHERE pos_transaction_id IS NOT NULL;

ALTER TABLE ret.layaway_instalment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.layaway_instalment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.layaway_instalment TO app_user;
GRANT SELECT ON ret.layaway_instalment TO app_readonly;

CREATE TRIGGER layaway_instalment_touch
    BEFORE UPDATE ON ret.layaway_instalment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER layaway_instalment_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.layaway_instalment
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["due"],
        "transitions": {
            "due":    ["paid", "late", "waived"],
            "late":   ["paid", "waived"],
            "paid":   [],
            "waived": []
        }}');

CREATE FUNCTION ret.refigure_layaways() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- Two tills that take instalments at once wait for each other here.
    PERFORM FROM ret.layaway AS l
    WHERE (l.business_id, l.layaway_id) IN (SELECT c.business_id, c.layaway_id FROM changed AS c)
    ORDER BY l.layaway_id
    FOR NO KEY UPDATE;
    UPDATE ret.layaway AS l
    SET balance_amount = n.balance,
        state = CASE WHEN n.balance = 0 AND l.state = 'open' THEN 'paid' ELSE l.state END
    FROM (
        SELECT i.business_id, i.layaway_id,
               sum(CASE WHEN i.state = 'waived' THEN 0
                        ELSE i.due_amount + i.late_fee - i.paid_amount END) AS balance
        FROM ret.layaway_instalment AS i
        WHERE (i.business_id, i.layaway_id) IN (SELECT c.business_id, c.layaway_id
                                                FROM changed AS c)
        GROUP BY i.business_id, i.layaway_id
    ) AS n
    WHERE l.business_id = n.business_id AND l.layaway_id = n.layaway_id
      AND l.state IN ('open', 'paid')
      AND (l.balance_amount <> n.balance OR n.balance = 0 AND l.state = 'open');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.refigure_layaways() IS
    'What a layaway still owes is what its instalments do; when nothing is owed it is paid.';

CREATE TRIGGER layaway_instalment_refigure_on_insert
    AFTER INSERT ON ret.layaway_instalment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.refigure_layaways();

CREATE TRIGGER layaway_instalment_refigure_on_update
    AFTER UPDATE ON ret.layaway_instalment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.refigure_layaways();


CREATE FUNCTION ret.open_layaway(
    sales_order uuid,
    store       uuid,
    deposit     numeric,
    instalments integer,
    first_due   date,
    fee         numeric DEFAULT 0
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    sold   record;
    rest   numeric;
    made   uuid := system_core.uuid_v7();
BEGIN
    SELECT o.customer_id, o.grand_total, o.order_number INTO sold
    FROM ret.sales_order AS o
    WHERE o.business_id = tenant AND o.sales_order_id = sales_order
    FOR NO KEY UPDATE;
    IF sold.customer_id IS NULL THEN
        RAISE EXCEPTION 'an order is set aside for a customer'
            USING ERRCODE = 'check_violation', HINT = 'Put the customer on the order first.';
    ELSIF EXISTS (SELECT FROM ret.layaway AS l
                  WHERE l.business_id = tenant AND l.sales_order_id = sales_order
                    AND l.state NOT IN ('defaulted', 'cancelled'))
    THEN
        RAISE EXCEPTION 'order % is set aside already', sold.order_number
            USING ERRCODE = 'check_violation', HINT = 'Take instalments for its layaway.';
    END IF;
    rest := sold.grand_total + fee - deposit;
    INSERT INTO ret.layaway
        (business_id, layaway_id, customer_id, sales_order_id, location_id, layaway_number,
         total_amount, deposit_amount, balance_amount, fee_amount, instalment_count, final_due_on)
    VALUES (tenant, made, sold.customer_id, sales_order, store,
            system_core.number_document(tenant, 'ret.layaway', 'LA-', made), sold.grand_total,
            deposit, rest, fee, instalments,
            (first_due + (instalments - 1) * interval '1 month')::date);
    INSERT INTO ret.layaway_instalment
        (business_id, layaway_id, instalment_no, due_on, due_amount)
    SELECT tenant, made, n, (first_due + (n - 1) * interval '1 month')::date,
           -- The last one bears the cents.
           CASE WHEN n < instalments THEN round(rest / instalments, 2)
                ELSE rest - round(rest / instalments, 2) * (instalments - 1) END
    FROM generate_series(1, instalments) AS n;
    RETURN made;
END
$$;
COMMENT ON FUNCTION ret.open_layaway(uuid, uuid, numeric, integer, date, numeric) IS
    'Sets an order aside: the deposit now, the rest with the fee in monthly instalments that add up
     to the cent. The deposit itself is taken as a payment.';


CREATE FUNCTION ret.open_register(register uuid, cashier uuid, opening_cash numeric)
    RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    today  date;
    made   uuid;
BEGIN
    SELECT (now() AT TIME ZONE coalesce(l.timezone, 'UTC'))::date INTO today
    FROM ret.register AS r
    JOIN ret.location AS l ON l.business_id = r.business_id AND l.location_id = r.location_id
    WHERE r.business_id = tenant AND r.register_id = register AND r.status <> 'retired'
    FOR NO KEY UPDATE OF r;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such register in use' USING ERRCODE = 'no_data_found';
    END IF;
    INSERT INTO ret.register_session
        (business_id, register_id, opened_by_user_id, session_number, business_date, opening_float)
    SELECT tenant, register, cashier,
           to_char(today, 'YYYYMMDD') || '-' || (1 + count(*)), today, opening_cash
    FROM ret.register_session AS s
    WHERE s.business_id = tenant AND s.register_id = register AND s.business_date = today
    RETURNING register_session_id INTO made;
    RETURN made;
END
$$;
COMMENT ON FUNCTION ret.open_register(uuid, uuid, numeric) IS
    'Opens the next session of the day of a register; a register has one open session at most.';
