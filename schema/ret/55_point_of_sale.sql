/*
 * TODO: what the area is and how its tables relate.
 */

CREATE TABLE ret.register_session (
    business_id         uuid              NOT NULL,
    register_session_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    opened_by_user_id   uuid              NOT NULL,
    closed_by_user_id   uuid,
    register_id         uuid              NOT NULL,
    session_number      text              NOT NULL,
    business_date       date,
    opened_at           timestamptz       NOT NULL,
    closed_at           timestamptz,
    opening_float       system_core.money,
    cash_sales          system_core.money,
    cash_refunds        system_core.money,
    paid_in             system_core.money,
    paid_out            system_core.money,
    safe_drops          system_core.money,
    expected_cash       system_core.money GENERATED ALWAYS AS (
                                              opening_float + cash_sales - cash_refunds + paid_in
                                              - paid_out - safe_drops) STORED,
    counted_cash        system_core.money,
    over_short          system_core.money GENERATED ALWAYS AS (
                                              counted_cash - opening_float + cash_sales -
                                              cash_refunds + paid_in - paid_out - safe_drops)
                                              STORED,
    tender_totals_doc   jsonb,
    is_blind_close      boolean           NOT NULL DEFAULT false,
    state               text              NOT NULL DEFAULT 'open',
    created_at          timestamptz       NOT NULL DEFAULT now(),
    updated_at          timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, register_session_id),
    UNIQUE (business_id, register_id, session_number),
    FOREIGN KEY (business_id, opened_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, closed_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, register_id) REFERENCES ret.register (business_id, register_id),
    CONSTRAINT register_session_state_known
        CHECK (state IN ('open', 'counting', 'closed', 'posted'))
);

COMMENT ON TABLE ret.register_session IS
    'A cashier''s or lane''s session from float to Z report.';

-- One open session per register.
CREATE UNIQUE INDEX register_session_register_id_idx
    ON ret.register_session (business_id, register_id)
    WHERE closed_at IS NULL;

-- FK: the register sessions by their opened by user.
CREATE INDEX register_session_opened_by_user_idx
    ON ret.register_session (business_id, opened_by_user_id);

-- FK: the register sessions by their closed by user.
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


CREATE TABLE ret.cash_movement (
    business_id         uuid              NOT NULL,
    cash_movement_id    uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    actor_user_id       uuid              NOT NULL,
    approved_by_user_id uuid,
    register_session_id uuid              NOT NULL,
    movement_kind       text              NOT NULL,
    amount              system_core.money,
    occurred_at         timestamptz       NOT NULL,
    reason_text         text,
    reference_number    text,
    bag_number          text,
    running_balance     system_core.money NOT NULL DEFAULT 0,
    witness_name        text,
    created_at          timestamptz       NOT NULL DEFAULT now(),
    updated_at          timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, cash_movement_id),
    FOREIGN KEY (business_id, actor_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, approved_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, register_session_id)
        REFERENCES ret.register_session (business_id, register_session_id),
    CONSTRAINT cash_movement_kind_known
        CHECK (movement_kind IN ('float_in', 'paid_in', 'paid_out', 'safe_drop', 'bank_deposit',
                                 'no_sale', 'correction'))
);

COMMENT ON TABLE ret.cash_movement IS 'Paid-in, paid-out, drop, float change or no-sale.';
-- RULE amount > 0 except no_sale
-- RULE paid_out above the limit needs approved_by_user_id

-- FK: the cash movements by their actor user.
CREATE INDEX cash_movement_actor_user_idx ON ret.cash_movement (business_id, actor_user_id);

-- FK: the cash movements by their approved by user.
CREATE INDEX cash_movement_approved_by_user_idx
    ON ret.cash_movement (business_id, approved_by_user_id)
    WHERE approved_by_user_id IS NOT NULL;

-- FK: the cash movements of a register session.
CREATE INDEX cash_movement_register_session_idx
    ON ret.cash_movement (business_id, register_session_id);

ALTER TABLE ret.cash_movement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.cash_movement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.cash_movement TO app_user;
GRANT SELECT ON ret.cash_movement TO app_readonly;

CREATE TRIGGER cash_movement_touch
    BEFORE UPDATE ON ret.cash_movement
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.cash_count (
    business_id         uuid                 NOT NULL,
    cash_count_id       uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    counted_by_user_id  uuid                 NOT NULL,
    register_session_id uuid                 NOT NULL,
    count_kind          text                 NOT NULL,
    counted_at          timestamptz,
    currency            system_core.currency,
    denominations_doc   jsonb,
    counted_total       system_core.money    NOT NULL DEFAULT 0,
    expected_total      system_core.money    NOT NULL DEFAULT 0,
    variance_amount     system_core.money    GENERATED ALWAYS AS (
                                                 counted_total - expected_total) STORED,
    variance_reason     text,
    is_accepted         boolean              NOT NULL DEFAULT false,
    created_at          timestamptz          NOT NULL DEFAULT now(),
    updated_at          timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, cash_count_id),
    FOREIGN KEY (business_id, counted_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, register_session_id)
        REFERENCES ret.register_session (business_id, register_session_id),
    CONSTRAINT cash_count_kind_known
        CHECK (count_kind IN ('opening', 'spot', 'closing', 'recount'))
);

COMMENT ON TABLE ret.cash_count IS 'Denomination count at opening, spot check or close.';
-- RULE counted_total equals the sum of denominations_doc

-- FK: the cash counts by their counted by user.
CREATE INDEX cash_count_counted_by_user_idx ON ret.cash_count (business_id, counted_by_user_id);

-- FK: the cash counts of a register session.
CREATE INDEX cash_count_register_session_idx ON ret.cash_count (business_id, register_session_id);

ALTER TABLE ret.cash_count ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.cash_count
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.cash_count TO app_user;
GRANT SELECT ON ret.cash_count TO app_readonly;

CREATE TRIGGER cash_count_touch
    BEFORE UPDATE ON ret.cash_count
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.pos_transaction (
    business_id         uuid              NOT NULL,
    pos_transaction_id  uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    cashier_user_id     uuid              NOT NULL,
    register_session_id uuid              NOT NULL,
    sales_order_id      uuid,
    customer_id         uuid,
    receipt_number      text              NOT NULL,
    transaction_kind    text              NOT NULL,
    business_date       date,
    started_at          timestamptz       NOT NULL,
    completed_at        timestamptz,
    item_count          integer           NOT NULL DEFAULT 0,
    gross_total         system_core.money NOT NULL DEFAULT 0,
    discount_total      system_core.money NOT NULL DEFAULT 0,
    tax_total           system_core.money NOT NULL DEFAULT 0,
    net_total           system_core.money NOT NULL DEFAULT 0,
    scan_seconds        integer,
    is_offline          boolean           NOT NULL DEFAULT false,
    synced_at           timestamptz,
    receipt_delivery    text              NOT NULL,
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
    CONSTRAINT pos_transaction_sales_order_id_given
        CHECK (NOT (transaction_kind = 'sale' AND transaction_kind = 'exchange') OR
               sales_order_id IS NOT NULL)
);

COMMENT ON TABLE ret.pos_transaction IS
    'A receipt: sale, return, exchange, void, layaway payment or no-sale.';
-- RULE synced_at is set only for offline receipts

-- FK: the pos transactions by their cashier user.
CREATE INDEX pos_transaction_cashier_user_idx
    ON ret.pos_transaction (business_id, cashier_user_id);

-- FK: the pos transactions of a sales order.
CREATE INDEX pos_transaction_sales_order_idx
    ON ret.pos_transaction (business_id, sales_order_id)
    WHERE sales_order_id IS NOT NULL;

-- FK: the pos transactions of a customer.
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


CREATE TABLE ret.pos_journal_event (
    business_id          uuid                 NOT NULL,
    pos_journal_event_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    actor_user_id        uuid,
    register_session_id  uuid                 NOT NULL,
    occurred_at          timestamptz          NOT NULL DEFAULT now(),
    event_kind           text                 NOT NULL,
    receipt_number       text,
    barcode              text,
    quantity             system_core.quantity,
    amount               system_core.money,
    approver_name        text,
    duration_ms          integer,
    payload              jsonb,
    created_at           timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, pos_journal_event_id, occurred_at),
    FOREIGN KEY (business_id, actor_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, register_session_id)
        REFERENCES ret.register_session (business_id, register_session_id),
    CONSTRAINT pos_journal_event_kind_known
        CHECK (event_kind IN ('scan', 'manual_key', 'price_override', 'line_void', 'coupon',
                              'age_check', 'weight_check', 'tender', 'drawer_open',
                              'return_scan', 'assist_request', 'receipt_reprint'))
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE ret.pos_journal_event IS
    'Electronic journal: every scan, override, void line, age check and tender at the till;
     append only.';
-- RULE approver_name is set for price_override above the limit

-- FK: the pos journal events by their actor user.
CREATE INDEX pos_journal_event_actor_user_idx
    ON ret.pos_journal_event (business_id, actor_user_id)
    WHERE actor_user_id IS NOT NULL;

-- FK: the pos journal events of a register session.
CREATE INDEX pos_journal_event_register_session_idx
    ON ret.pos_journal_event (business_id, register_session_id);

ALTER TABLE ret.pos_journal_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.pos_journal_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON ret.pos_journal_event TO app_user;
GRANT SELECT ON ret.pos_journal_event TO app_readonly;

CREATE TRIGGER pos_journal_event_append_only
    BEFORE UPDATE OR DELETE ON ret.pos_journal_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('ret.pos_journal_event');

CREATE TABLE ret.pos_journal_event_default PARTITION OF ret.pos_journal_event DEFAULT;
ALTER TABLE ret.pos_journal_event_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.pos_journal_event_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('ret.pos_journal_event', 'month', behind => 3, ahead => 1);


CREATE TABLE ret.layaway (
    business_id      uuid              NOT NULL,
    layaway_id       uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    customer_id      uuid              NOT NULL,
    sales_order_id   uuid              NOT NULL,
    location_id      uuid              NOT NULL,
    layaway_number   text              NOT NULL,
    opened_at        timestamptz       NOT NULL,
    total_amount     system_core.money NOT NULL DEFAULT 0,
    deposit_amount   system_core.money NOT NULL DEFAULT 0,
    balance_amount   system_core.money NOT NULL DEFAULT 0,
    fee_amount       system_core.money NOT NULL DEFAULT 0,
    instalment_count integer           NOT NULL DEFAULT 0,
    final_due_on     date,
    grace_days       integer,
    cancelled_fee    system_core.money NOT NULL DEFAULT 0,
    state            text              NOT NULL DEFAULT 'open',
    closed_at        timestamptz,
    created_at       timestamptz       NOT NULL DEFAULT now(),
    updated_at       timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, layaway_id),
    UNIQUE (business_id, layaway_number),
    FOREIGN KEY (business_id, customer_id) REFERENCES ret.customer (business_id, customer_id),
    FOREIGN KEY (business_id, sales_order_id)
        REFERENCES ret.sales_order (business_id, sales_order_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    CONSTRAINT layaway_state_known
        CHECK (state IN ('open', 'paid', 'collected', 'defaulted', 'cancelled'))
);

COMMENT ON TABLE ret.layaway IS 'Goods set aside against instalments.';
-- RULE deposit_amount >= 10 percent of total_amount
-- RULE balance_amount = 0 before collected

-- FK: the layaways of a customer.
CREATE INDEX layaway_customer_idx ON ret.layaway (business_id, customer_id);

-- FK: the layaways of a sales order.
CREATE INDEX layaway_sales_order_idx ON ret.layaway (business_id, sales_order_id);

-- FK: the layaways of a location.
CREATE INDEX layaway_location_idx ON ret.layaway (business_id, location_id);

ALTER TABLE ret.layaway ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.layaway
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.layaway TO app_user;
GRANT SELECT ON ret.layaway TO app_readonly;

CREATE TRIGGER layaway_touch
    BEFORE UPDATE ON ret.layaway
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.layaway_instalment (
    business_id           uuid              NOT NULL,
    layaway_instalment_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    layaway_id            uuid              NOT NULL,
    pos_transaction_id    uuid,
    instalment_no         integer           NOT NULL,
    due_on                date,
    due_amount            system_core.money NOT NULL DEFAULT 0,
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
    CONSTRAINT layaway_instalment_paid_amount_precedes_due_amount
        CHECK (paid_amount <= due_amount + late_fee)
);

COMMENT ON TABLE ret.layaway_instalment IS 'Due and paid amounts of a layaway plan.';

-- FK: the layaway instalments of a pos transaction.
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
