/*
 * Returns and refunds: goods that come back, and the money that goes out for them.
 *
 * A return_policy says how long and on which terms, a return_reason why and who is to blame. A
 * return_authorisation goes from request to close with its return_line rows; a return_inspection
 * grades what arrived and sends it back to the shelf, to an outlet or to scrap. process_return()
 * figures what the lines are worth and makes the refund rows: never more than the order was paid,
 * also when two desks give back at once. Exchanges name what replaces the goods.
 */

CREATE TABLE ret.return_policy (
    business_id             uuid                   NOT NULL,
    return_policy_id        uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    category_id             uuid,
    sales_channel_id        uuid,
    policy_code             text                   NOT NULL,
    display_name            text                   NOT NULL,
    window_days             integer                NOT NULL DEFAULT 30,
    exchange_window_days    integer,
    requires_receipt        boolean                NOT NULL DEFAULT false,
    restocking_fee_pct      system_core.percentage NOT NULL DEFAULT 0,
    refund_methods          text                   NOT NULL,
    condition_required      text                   NOT NULL,
    holiday_extension_until timestamptz,
    return_shipping_paid_by text                   NOT NULL,
    effective_from          date                   NOT NULL,
    is_active               boolean                NOT NULL DEFAULT true,
    created_at              timestamptz            NOT NULL DEFAULT now(),
    updated_at              timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, return_policy_id),
    UNIQUE (business_id, policy_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, category_id) REFERENCES ret.category (business_id, category_id),
    FOREIGN KEY (business_id, sales_channel_id)
        REFERENCES ret.sales_channel (business_id, sales_channel_id),
    CONSTRAINT return_policy_refund_methods_known
        CHECK (refund_methods IN ('original_tender', 'store_credit', 'exchange_only')),
    CONSTRAINT return_policy_condition_required_known
        CHECK (condition_required IN ('any', 'unworn', 'unopened')),
    CONSTRAINT return_policy_return_shipping_paid_by_known
        CHECK (return_shipping_paid_by IN ('retailer', 'customer')),
    CONSTRAINT return_policy_window_days_bounded CHECK (window_days BETWEEN 0 AND 730),
    CONSTRAINT return_policy_restocking_fee_pct_bounded
        CHECK (restocking_fee_pct BETWEEN 0 AND 50),
    CONSTRAINT return_policy_exchange_window_bounded CHECK (exchange_window_days BETWEEN 0 AND 730)
);

COMMENT ON TABLE ret.return_policy IS
    'Return window, conditions and fees by category and channel.';
COMMENT ON COLUMN ret.return_policy.category_id IS
    'NULL: for all goods; likewise the channel. The policy that says more goes before.';
COMMENT ON COLUMN ret.return_policy.exchange_window_days IS 'NULL: as long as for a return.';
COMMENT ON COLUMN ret.return_policy.holiday_extension_until IS
    'What was bought before may be returned until then, however long ago.';
COMMENT ON COLUMN ret.return_policy.restocking_fee_pct IS
    'Kept where the customer changed their mind; never where the goods or the delivery failed.';

-- FK: the terms of a category.
CREATE INDEX return_policy_category_idx
    ON ret.return_policy (business_id, category_id)
    WHERE category_id IS NOT NULL;

-- FK: the terms of a channel.
CREATE INDEX return_policy_sales_channel_idx
    ON ret.return_policy (business_id, sales_channel_id)
    WHERE sales_channel_id IS NOT NULL;

ALTER TABLE ret.return_policy ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.return_policy
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.return_policy TO app_user;
GRANT SELECT ON ret.return_policy TO app_readonly;

CREATE TRIGGER return_policy_touch
    BEFORE UPDATE ON ret.return_policy
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.return_reason (
    business_id         uuid        NOT NULL,
    return_reason_id    uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    reason_code         text        NOT NULL,
    label               text        NOT NULL,
    fault               text        NOT NULL,
    is_defect           boolean     NOT NULL DEFAULT false,
    requires_photo      boolean     NOT NULL DEFAULT false,
    refunds_shipping    boolean     NOT NULL DEFAULT false,
    default_disposition text,
    sort_order          integer     NOT NULL,
    is_active           boolean     NOT NULL DEFAULT true,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, return_reason_id),
    UNIQUE (business_id, reason_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT return_reason_fault_known
        CHECK (fault IN ('customer', 'product', 'fulfilment', 'carrier', 'supplier')),
    CONSTRAINT return_reason_default_disposition_known
        CHECK (default_disposition IN ('restock', 'inspect', 'rtv', 'scrap'))
);

COMMENT ON TABLE ret.return_reason IS 'Why goods come back, and who is to blame.';
COMMENT ON COLUMN ret.return_reason.default_disposition IS
    'What usually becomes of the goods; the inspection decides.';

ALTER TABLE ret.return_reason ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.return_reason
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.return_reason TO app_user;
GRANT SELECT ON ret.return_reason TO app_readonly;

CREATE TRIGGER return_reason_touch
    BEFORE UPDATE ON ret.return_reason
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.return_authorisation (
    business_id             uuid              NOT NULL,
    return_authorisation_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    return_location_id      uuid,
    return_shipment_id      uuid,
    sales_order_id          uuid              NOT NULL,
    customer_id             uuid,
    return_policy_id        uuid,
    pos_transaction_id      uuid,
    rma_number              text              NOT NULL,
    return_kind             text              NOT NULL,
    initiated_in            text              NOT NULL,
    state                   text              NOT NULL DEFAULT 'requested',
    requested_at            timestamptz       NOT NULL DEFAULT now(),
    approved_at             timestamptz,
    received_at             timestamptz,
    completed_at            timestamptz,
    refund_total            system_core.money NOT NULL DEFAULT 0,
    fee_total               system_core.money NOT NULL DEFAULT 0,
    has_receipt             boolean           NOT NULL DEFAULT false,
    is_outside_policy       boolean           NOT NULL DEFAULT false,
    fraud_score             numeric(9, 4),
    created_at              timestamptz       NOT NULL DEFAULT now(),
    updated_at              timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, return_authorisation_id),
    UNIQUE (business_id, rma_number),
    FOREIGN KEY (business_id, return_location_id)
        REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, return_shipment_id)
        REFERENCES ret.shipment (business_id, shipment_id),
    FOREIGN KEY (business_id, sales_order_id)
        REFERENCES ret.sales_order (business_id, sales_order_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES ret.customer (business_id, customer_id),
    FOREIGN KEY (business_id, return_policy_id)
        REFERENCES ret.return_policy (business_id, return_policy_id),
    FOREIGN KEY (business_id, pos_transaction_id)
        REFERENCES ret.pos_transaction (business_id, pos_transaction_id),
    CONSTRAINT return_authorisation_return_kind_known
        CHECK (return_kind IN ('return', 'exchange', 'warranty', 'recall', 'refused_delivery')),
    CONSTRAINT return_authorisation_initiated_in_known
        CHECK (initiated_in IN ('store', 'web', 'app', 'call_centre')),
    CONSTRAINT return_authorisation_state_known
        CHECK (state IN ('requested', 'approved', 'rejected', 'in_transit', 'received',
                         'inspected', 'completed', 'cancelled')),
    CONSTRAINT return_authorisation_requested_at_in_order CHECK (requested_at <= received_at),
    CONSTRAINT return_authorisation_received_at_in_order CHECK (received_at <= completed_at),
    CONSTRAINT return_authorisation_requested_before_done CHECK (requested_at <= completed_at),
    CONSTRAINT return_authorisation_approved_after_request CHECK (approved_at >= requested_at),
    CONSTRAINT return_authorisation_received_has_time
        CHECK ((received_at IS NOT NULL) = (state IN ('received', 'inspected', 'completed'))),
    CONSTRAINT return_authorisation_completed_has_time
        CHECK ((completed_at IS NOT NULL) = (state = 'completed')),
    CONSTRAINT return_authorisation_exception_is_approved
        CHECK (NOT is_outside_policy OR approved_at IS NOT NULL
               OR state IN ('requested', 'rejected', 'cancelled')),
    CONSTRAINT return_authorisation_amounts_not_negative
        CHECK (refund_total >= 0 AND fee_total >= 0),
    CONSTRAINT return_authorisation_fraud_score_bounded CHECK (fraud_score BETWEEN 0 AND 100)
);

COMMENT ON TABLE ret.return_authorisation IS
    'Return or exchange, in store or by post, from request to close.';
COMMENT ON COLUMN ret.return_authorisation.pos_transaction_id IS
    'The receipt of the return, where it was taken at a till.';
COMMENT ON COLUMN ret.return_authorisation.is_outside_policy IS
    'Too late or not as the policy asks; goes on only when somebody approves it.';
COMMENT ON COLUMN ret.return_authorisation.fraud_score IS
    '0 to 100 of the risk service: serial returners, worn goods, foreign receipts.';

-- What a store or the service desk has to work on.
CREATE INDEX return_authorisation_open_idx
    ON ret.return_authorisation (business_id, state, requested_at)
    WHERE state NOT IN ('completed', 'rejected', 'cancelled');

-- FK: what comes back to a location.
CREATE INDEX return_authorisation_return_location_idx
    ON ret.return_authorisation (business_id, return_location_id)
    WHERE return_location_id IS NOT NULL;

-- FK: the return in a parcel.
CREATE INDEX return_authorisation_return_shipment_idx
    ON ret.return_authorisation (business_id, return_shipment_id)
    WHERE return_shipment_id IS NOT NULL;

-- FK: the returns of an order.
CREATE INDEX return_authorisation_sales_order_idx
    ON ret.return_authorisation (business_id, sales_order_id);

-- FK: the latest returns of a customer.
CREATE INDEX return_authorisation_customer_idx
    ON ret.return_authorisation (business_id, customer_id, requested_at)
    WHERE customer_id IS NOT NULL;

-- FK: the use of a policy.
CREATE INDEX return_authorisation_return_policy_idx
    ON ret.return_authorisation (business_id, return_policy_id)
    WHERE return_policy_id IS NOT NULL;

-- FK: the return on a receipt.
CREATE INDEX return_authorisation_pos_transaction_idx
    ON ret.return_authorisation (business_id, pos_transaction_id)
    WHERE pos_transaction_id IS NOT NULL;

ALTER TABLE ret.return_authorisation ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.return_authorisation
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.return_authorisation TO app_user;
GRANT SELECT ON ret.return_authorisation TO app_readonly;

CREATE TRIGGER return_authorisation_touch
    BEFORE UPDATE ON ret.return_authorisation
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

-- At the counter a return is received as soon as it is asked for.
CREATE TRIGGER return_authorisation_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.return_authorisation
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["requested", "approved", "received"],
        "transitions": {
            "requested":  ["approved", "rejected", "cancelled"],
            "approved":   ["in_transit", "received", "cancelled"],
            "in_transit": ["received", "cancelled"],
            "received":   ["inspected"],
            "inspected":  ["completed"],
            "completed":  [],
            "rejected":   [],
            "cancelled":  []
        }}');


CREATE TABLE ret.return_line (
    business_id             uuid                 NOT NULL,
    return_line_id          uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    exchange_variant_id     uuid,
    return_authorisation_id uuid                 NOT NULL,
    sales_order_line_id     uuid                 NOT NULL,
    return_reason_id        uuid                 NOT NULL,
    serial_unit_id          uuid,
    line_number             integer              NOT NULL,
    quantity                system_core.quantity NOT NULL,
    unit_refund             system_core.money    NOT NULL DEFAULT 0,
    tax_refund              system_core.money    NOT NULL DEFAULT 0,
    fee_amount              system_core.money    NOT NULL DEFAULT 0,
    line_refund             system_core.money    GENERATED ALWAYS AS (
                                                     quantity * unit_refund + tax_refund -
                                                     fee_amount) STORED,
    condition_reported      text                 NOT NULL,
    acceptance              text                 NOT NULL DEFAULT 'pending',
    reception               text                 NOT NULL DEFAULT 'awaiting',
    price_difference        system_core.money,
    comment_text            text,
    created_at              timestamptz          NOT NULL DEFAULT now(),
    updated_at              timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, return_line_id),
    UNIQUE (business_id, return_authorisation_id, line_number),
    FOREIGN KEY (business_id, exchange_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, return_authorisation_id)
        REFERENCES ret.return_authorisation (business_id, return_authorisation_id),
    FOREIGN KEY (business_id, sales_order_line_id)
        REFERENCES ret.sales_order_line (business_id, sales_order_line_id),
    FOREIGN KEY (business_id, return_reason_id)
        REFERENCES ret.return_reason (business_id, return_reason_id),
    FOREIGN KEY (business_id, serial_unit_id)
        REFERENCES ret.serial_unit (business_id, serial_unit_id),
    CONSTRAINT return_line_condition_reported_known
        CHECK (condition_reported IN ('new', 'opened', 'used', 'damaged', 'defective')),
    CONSTRAINT return_line_acceptance_known
        CHECK (acceptance IN ('pending', 'accepted', 'rejected', 'manual_review')),
    CONSTRAINT return_line_reception_known
        CHECK (reception IN ('awaiting', 'received', 'lost', 'expired')),
    CONSTRAINT return_line_quantity_positive CHECK (quantity > 0),
    CONSTRAINT return_line_amounts_not_negative
        CHECK (unit_refund >= 0 AND tax_refund >= 0
               AND fee_amount BETWEEN 0 AND quantity * unit_refund + tax_refund),
    CONSTRAINT return_line_serial_is_one CHECK (serial_unit_id IS NULL OR quantity = 1),
    CONSTRAINT return_line_difference_of_exchange
        CHECK (price_difference IS NULL OR exchange_variant_id IS NOT NULL)
);

COMMENT ON TABLE ret.return_line IS
    'Order line coming back, what it is worth and what replaces it.';
COMMENT ON COLUMN ret.return_line.unit_refund IS
    'What one unit cost after all discounts; without tax.';
COMMENT ON COLUMN ret.return_line.price_difference IS
    'What the replacement costs more than the return is worth; below zero it is given back.';

-- FK: what replaces returned goods.
CREATE INDEX return_line_exchange_variant_idx
    ON ret.return_line (business_id, exchange_variant_id)
    WHERE exchange_variant_id IS NOT NULL;

-- FK: what came back of an order line.
CREATE INDEX return_line_sales_order_line_idx
    ON ret.return_line (business_id, sales_order_line_id);

-- FK: what comes back for a reason.
CREATE INDEX return_line_return_reason_idx ON ret.return_line (business_id, return_reason_id);

-- FK: the returns of a unit.
CREATE INDEX return_line_serial_unit_idx
    ON ret.return_line (business_id, serial_unit_id)
    WHERE serial_unit_id IS NOT NULL;

ALTER TABLE ret.return_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.return_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.return_line TO app_user;
GRANT SELECT ON ret.return_line TO app_readonly;

CREATE TRIGGER return_line_touch
    BEFORE UPDATE ON ret.return_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER return_line_acceptance_machine
    BEFORE INSERT OR UPDATE OF acceptance ON ret.return_line
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('acceptance', '{
        "initial": ["pending", "accepted", "manual_review"],
        "transitions": {
            "pending":       ["accepted", "rejected", "manual_review"],
            "manual_review": ["accepted", "rejected"],
            "accepted":      ["rejected"],
            "rejected":      []
        }}');

CREATE TRIGGER return_line_reception_machine
    BEFORE INSERT OR UPDATE OF reception ON ret.return_line
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('reception', '{
        "initial": ["awaiting", "received"],
        "transitions": {
            "awaiting": ["received", "lost", "expired"],
            "lost":     ["received"],
            "expired":  ["received"],
            "received": []
        }}');

CREATE FUNCTION ret.limit_returns() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    sold record;
    gone numeric;
BEGIN
    -- Two returns of the same goods wait for each other at the order line.
    SELECT l.sales_order_id, l.sku_sold, coalesce(l.fulfilled_qty, 0) AS had,
           coalesce(l.returned_qty, 0) AS back, a.sales_order_id AS returns_order, a.state
    INTO sold
    FROM ret.sales_order_line AS l
    JOIN ret.return_authorisation AS a
        ON a.business_id = l.business_id
       AND a.return_authorisation_id = NEW.return_authorisation_id
    WHERE l.business_id = NEW.business_id AND l.sales_order_line_id = NEW.sales_order_line_id
    FOR NO KEY UPDATE OF l;
    IF sold.sales_order_id <> sold.returns_order THEN
        RAISE EXCEPTION 'the line is of another order'
            USING ERRCODE = 'check_violation', HINT = 'Return lines of the order of the return.';
    ELSIF sold.state IN ('completed', 'rejected', 'cancelled') THEN
        IF row_security_active(TG_RELID) THEN
            RAISE EXCEPTION 'the return is %, nothing is added to it', sold.state
                USING ERRCODE = 'check_violation', HINT = 'Open another return.';
        END IF;
        -- What imported history gave back is in the order line.
        RETURN NEW;
    END IF;
    SELECT coalesce(sum(r.quantity), 0) INTO gone
    FROM ret.return_line AS r
    JOIN ret.return_authorisation AS a
        ON a.business_id = r.business_id
       AND a.return_authorisation_id = r.return_authorisation_id
       AND a.state NOT IN ('completed', 'rejected', 'cancelled')
    WHERE r.business_id = NEW.business_id AND r.sales_order_line_id = NEW.sales_order_line_id
      AND r.return_line_id <> NEW.return_line_id AND r.acceptance <> 'rejected'
      AND r.reception NOT IN ('lost', 'expired');
    IF NEW.quantity > sold.had - sold.back - gone THEN
        RAISE EXCEPTION 'of % only % can still come back, not %', sold.sku_sold,
                        sold.had - sold.back - gone, NEW.quantity
            USING ERRCODE = 'check_violation',
                  HINT = 'Other returns of the line count, also those under way.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.limit_returns() IS
    'No more comes back than was handed over and neither came back nor is on its way.';

CREATE TRIGGER return_line_limit
    BEFORE INSERT OR UPDATE OF quantity, sales_order_line_id ON ret.return_line
    FOR EACH ROW WHEN (NEW.acceptance <> 'rejected')
    EXECUTE FUNCTION ret.limit_returns();


CREATE TABLE ret.return_inspection (
    business_id          uuid              NOT NULL,
    return_inspection_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    inspected_by_user_id uuid              NOT NULL,
    return_line_id       uuid              NOT NULL,
    location_id          uuid              NOT NULL,
    stock_lot_id         uuid,
    inspected_at         timestamptz       NOT NULL DEFAULT now(),
    grade                text              NOT NULL,
    disposition          text              NOT NULL,
    resale_value         system_core.money,
    write_down_amount    system_core.money NOT NULL DEFAULT 0,
    serial_matches       boolean,
    seconds_spent        integer,
    photo_count          integer           NOT NULL DEFAULT 0,
    note                 text,
    created_at           timestamptz       NOT NULL DEFAULT now(),
    updated_at           timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, return_inspection_id),
    FOREIGN KEY (business_id, inspected_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, return_line_id)
        REFERENCES ret.return_line (business_id, return_line_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, stock_lot_id) REFERENCES ret.stock_lot (business_id, stock_lot_id),
    CONSTRAINT return_inspection_grade_known CHECK (grade IN ('a', 'b', 'c', 'd')),
    CONSTRAINT return_inspection_disposition_known
        CHECK (disposition IN ('restock', 'refurbish', 'outlet', 'rtv', 'donate', 'recycle',
                               'scrap')),
    CONSTRAINT return_inspection_write_down_amount_not_negative CHECK (write_down_amount >= 0),
    CONSTRAINT return_inspection_restock_as_new
        CHECK (disposition <> 'restock' OR grade IN ('a', 'b')),
    CONSTRAINT return_inspection_counts_not_negative
        CHECK (photo_count >= 0 AND seconds_spent >= 0 AND resale_value >= 0)
);

COMMENT ON TABLE ret.return_inspection IS 'Grading of a returned unit and where it goes.';
COMMENT ON COLUMN ret.return_inspection.grade IS
    'a: as new, b: opened but whole, c: marked, d: broken.';
COMMENT ON COLUMN ret.return_inspection.serial_matches IS
    'It is the unit that was sold; NULL for goods without serial numbers.';
COMMENT ON COLUMN ret.return_inspection.write_down_amount IS 'What it lost against its cost.';

-- FK: who inspects.
CREATE INDEX return_inspection_inspected_by_user_idx
    ON ret.return_inspection (business_id, inspected_by_user_id);

-- FK: the grading of a line.
CREATE INDEX return_inspection_return_line_idx
    ON ret.return_inspection (business_id, return_line_id);

-- FK: what is inspected in a location.
CREATE INDEX return_inspection_location_idx ON ret.return_inspection (business_id, location_id);

-- FK: what came back of a lot.
CREATE INDEX return_inspection_stock_lot_idx
    ON ret.return_inspection (business_id, stock_lot_id)
    WHERE stock_lot_id IS NOT NULL;

ALTER TABLE ret.return_inspection ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.return_inspection
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.return_inspection TO app_user;
GRANT SELECT ON ret.return_inspection TO app_readonly;

CREATE TRIGGER return_inspection_touch
    BEFORE UPDATE ON ret.return_inspection
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION ret.inspect_received() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    line record;
BEGIN
    SELECT r.reception, r.serial_unit_id INTO line
    FROM ret.return_line AS r
    WHERE r.business_id = NEW.business_id AND r.return_line_id = NEW.return_line_id;
    IF line.reception <> 'received' THEN
        RAISE EXCEPTION 'the line is %, it is not inspected', line.reception
            USING ERRCODE = 'check_violation', HINT = 'Receive it first.';
    ELSIF (line.serial_unit_id IS NULL) <> (NEW.serial_matches IS NULL) THEN
        RAISE EXCEPTION 'whether the serial number matches is said for serialised goods only'
            USING ERRCODE = 'check_violation', HINT = 'Compare it with the unit of the line.';
    ELSIF NOT NEW.serial_matches AND NEW.disposition = 'restock' THEN
        RAISE EXCEPTION 'a unit that was not sold here is not restocked'
            USING ERRCODE = 'check_violation', HINT = 'Reject the line.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.inspect_received() IS
    'What arrived is inspected, and the serial number of serialised goods with it.';

CREATE TRIGGER return_inspection_of_received
    BEFORE INSERT OR UPDATE ON ret.return_inspection
    FOR EACH ROW EXECUTE FUNCTION ret.inspect_received();


CREATE TABLE ret.refund (
    business_id             uuid                 NOT NULL,
    refund_id               uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    approved_by_user_id     uuid,
    payment_id              uuid,
    return_authorisation_id uuid,
    sales_order_id          uuid                 NOT NULL,
    store_credit_id         uuid,
    gift_card_id            uuid,
    register_session_id     uuid,
    refund_number           text                 NOT NULL,
    refund_method           text                 NOT NULL,
    reason                  text                 NOT NULL,
    amount                  system_core.money    NOT NULL,
    tax_amount              system_core.money    NOT NULL DEFAULT 0,
    shipping_amount         system_core.money    NOT NULL DEFAULT 0,
    currency                system_core.currency NOT NULL,
    requested_at            timestamptz          NOT NULL DEFAULT now(),
    completed_at            timestamptz,
    processor_reference     text,
    state                   text                 NOT NULL DEFAULT 'pending',
    created_at              timestamptz          NOT NULL DEFAULT now(),
    updated_at              timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, refund_id),
    UNIQUE (business_id, refund_number),
    FOREIGN KEY (business_id, approved_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, payment_id) REFERENCES ret.payment (business_id, payment_id),
    FOREIGN KEY (business_id, return_authorisation_id)
        REFERENCES ret.return_authorisation (business_id, return_authorisation_id),
    FOREIGN KEY (business_id, sales_order_id)
        REFERENCES ret.sales_order (business_id, sales_order_id),
    FOREIGN KEY (business_id, store_credit_id)
        REFERENCES ret.store_credit (business_id, store_credit_id),
    FOREIGN KEY (business_id, gift_card_id) REFERENCES ret.gift_card (business_id, gift_card_id),
    FOREIGN KEY (business_id, register_session_id)
        REFERENCES ret.register_session (business_id, register_session_id),
    CONSTRAINT refund_method_known
        CHECK (refund_method IN ('original_tender', 'cash', 'store_credit', 'gift_card',
                                 'bank_transfer')),
    CONSTRAINT refund_reason_known
        CHECK (reason IN ('return', 'price_adjustment', 'cancelled_order', 'shipping',
                          'goodwill', 'duplicate')),
    CONSTRAINT refund_state_known
        CHECK (state IN ('pending', 'approved', 'processing', 'completed', 'failed', 'rejected')),
    CONSTRAINT refund_amount_positive CHECK (amount > 0),
    CONSTRAINT refund_original_tender_is_named
        CHECK ((payment_id IS NOT NULL) = (refund_method = 'original_tender')),
    CONSTRAINT refund_store_credit_is_named
        CHECK ((store_credit_id IS NOT NULL) = (refund_method = 'store_credit')),
    CONSTRAINT refund_gift_card_is_named
        CHECK ((gift_card_id IS NOT NULL) = (refund_method = 'gift_card')),
    CONSTRAINT refund_cash_out_of_a_drawer
        CHECK (refund_method <> 'cash' OR register_session_id IS NOT NULL),
    CONSTRAINT refund_parts_within_amount
        CHECK (tax_amount >= 0 AND shipping_amount >= 0
               AND tax_amount + shipping_amount <= amount),
    CONSTRAINT refund_return_is_named
        CHECK (reason <> 'return' OR return_authorisation_id IS NOT NULL),
    CONSTRAINT refund_goodwill_is_approved
        CHECK (reason <> 'goodwill' OR approved_by_user_id IS NOT NULL),
    CONSTRAINT refund_completed_has_time
        CHECK ((completed_at IS NOT NULL) = (state = 'completed')),
    CONSTRAINT refund_completed_after_request CHECK (completed_at >= requested_at)
);

COMMENT ON TABLE ret.refund IS
    'Money, credit or gift card given back for a return or correction.';
COMMENT ON COLUMN ret.refund.amount IS 'With the tax and the shipping in it.';
COMMENT ON COLUMN ret.refund.register_session_id IS 'Whose drawer the cash comes out of.';

-- What has still to be sent to the processor.
CREATE INDEX refund_open_idx
    ON ret.refund (business_id, state, requested_at)
    WHERE state IN ('pending', 'approved', 'processing');

-- A payout names the refund as the processor does.
CREATE INDEX refund_processor_reference_idx
    ON ret.refund (business_id, processor_reference)
    WHERE processor_reference IS NOT NULL;

-- FK: the gift card that was given instead.
CREATE INDEX refund_gift_card_idx
    ON ret.refund (business_id, gift_card_id)
    WHERE gift_card_id IS NOT NULL;

-- FK: the cash that went out of a drawer.
CREATE INDEX refund_register_session_idx
    ON ret.refund (business_id, register_session_id)
    WHERE register_session_id IS NOT NULL;

-- FK: what somebody approved.
CREATE INDEX refund_approved_by_user_idx
    ON ret.refund (business_id, approved_by_user_id)
    WHERE approved_by_user_id IS NOT NULL;

-- FK: the refunds of a payment.
CREATE INDEX refund_payment_idx
    ON ret.refund (business_id, payment_id)
    WHERE payment_id IS NOT NULL;

-- FK: the refunds of a return.
CREATE INDEX refund_return_authorisation_idx
    ON ret.refund (business_id, return_authorisation_id)
    WHERE return_authorisation_id IS NOT NULL;

-- FK: the refunds of an order.
CREATE INDEX refund_sales_order_idx ON ret.refund (business_id, sales_order_id);

-- FK: the credit that was given instead.
CREATE INDEX refund_store_credit_idx
    ON ret.refund (business_id, store_credit_id)
    WHERE store_credit_id IS NOT NULL;

ALTER TABLE ret.refund ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.refund
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.refund TO app_user;
GRANT SELECT ON ret.refund TO app_readonly;

CREATE TRIGGER refund_touch
    BEFORE UPDATE ON ret.refund
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER refund_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.refund
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["pending", "approved", "completed"],
        "transitions": {
            "pending":    ["approved", "rejected"],
            "approved":   ["processing", "completed", "failed", "rejected"],
            "processing": ["completed", "failed"],
            "failed":     ["approved", "rejected"],
            "completed":  [],
            "rejected":   []
        }}');

CREATE FUNCTION ret.limit_order_refunds() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    over record;
BEGIN
    -- Two refunds at once wait for each other at the order, then at the payment.
    PERFORM FROM ret.sales_order AS o
    WHERE (o.business_id, o.sales_order_id) IN (SELECT c.business_id, c.sales_order_id
                                                FROM changed AS c)
    ORDER BY o.sales_order_id
    FOR NO KEY UPDATE;
    PERFORM FROM ret.payment AS p
    WHERE (p.business_id, p.payment_id) IN (SELECT c.business_id, c.payment_id FROM changed AS c)
    ORDER BY p.payment_id
    FOR NO KEY UPDATE;
    SELECT o.order_number AS what, o.paid_total AS taken, sum(f.amount) AS given INTO over
    FROM ret.sales_order AS o
    JOIN ret.refund AS f
        ON f.business_id = o.business_id AND f.sales_order_id = o.sales_order_id
       AND f.state NOT IN ('failed', 'rejected')
    WHERE (o.business_id, o.sales_order_id) IN (SELECT c.business_id, c.sales_order_id
                                                FROM changed AS c)
    GROUP BY o.business_id, o.sales_order_id, o.order_number, o.paid_total
    HAVING sum(f.amount) > o.paid_total
    ORDER BY o.order_number
    LIMIT 1;
    IF NOT FOUND THEN
        SELECT p.payment_number AS what, p.captured_amount AS taken, sum(f.amount) AS given
        INTO over
        FROM ret.payment AS p
        JOIN ret.refund AS f
            ON f.business_id = p.business_id AND f.payment_id = p.payment_id
           AND f.state NOT IN ('failed', 'rejected')
        WHERE (p.business_id, p.payment_id) IN (SELECT c.business_id, c.payment_id
                                                FROM changed AS c)
        GROUP BY p.business_id, p.payment_id, p.payment_number, p.captured_amount
        HAVING sum(f.amount) > p.captured_amount
        ORDER BY p.payment_number
        LIMIT 1;
    END IF;
    IF FOUND THEN
        RAISE EXCEPTION '% was paid %, refunds would give back %', over.what, over.taken,
                        over.given
            USING ERRCODE = 'check_violation', HINT = 'Refund what is left of it.';
    ELSIF EXISTS (SELECT FROM changed AS c
                  JOIN ret.payment AS p
                      ON p.business_id = c.business_id AND p.payment_id = c.payment_id
                  WHERE p.sales_order_id <> c.sales_order_id)
    THEN
        RAISE EXCEPTION 'the payment is of another order'
            USING ERRCODE = 'check_violation', HINT = 'Refund a payment of the order.';
    END IF;
    IF row_security_active(TG_RELID) THEN
        PERFORM ret.post_refunds(ARRAY(SELECT c.refund_id FROM changed AS c
                                       WHERE c.state = 'completed'));
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.limit_order_refunds() IS
    'Refunds give back at most what the order and the payment took, also when two are asked for at
     once; one that is asked for counts until it fails.';


CREATE FUNCTION ret.post_refunds(refunds uuid[]) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    dry    record;
BEGIN
    UPDATE ret.payment AS p
    SET refunded_amount = n.given,
        state = CASE WHEN n.given = p.captured_amount THEN 'refunded' ELSE 'partly_refunded' END
    FROM (
        SELECT f.business_id, f.payment_id, sum(f.amount) AS given
        FROM ret.refund AS f
        WHERE f.business_id = tenant AND f.state = 'completed'
          AND f.payment_id IN (SELECT x.payment_id FROM ret.refund AS x
                               WHERE x.business_id = tenant AND x.refund_id = ANY (refunds))
        GROUP BY f.business_id, f.payment_id
    ) AS n
    WHERE p.business_id = n.business_id AND p.payment_id = n.payment_id
      AND p.refunded_amount <> n.given;

    UPDATE ret.sales_order AS o
    SET refunded_total = n.given,
        payment_state = ret.payment_state_for(o.grand_total, o.paid_total, n.given, false)
    FROM (
        SELECT f.business_id, f.sales_order_id, sum(f.amount) AS given
        FROM ret.refund AS f
        WHERE f.business_id = tenant AND f.state = 'completed'
          AND f.sales_order_id IN (SELECT x.sales_order_id FROM ret.refund AS x
                                   WHERE x.business_id = tenant AND x.refund_id = ANY (refunds))
        GROUP BY f.business_id, f.sales_order_id
    ) AS n
    WHERE o.business_id = n.business_id AND o.sales_order_id = n.sales_order_id
      AND o.refunded_total <> n.given;

    PERFORM FROM ret.register_session AS s
    WHERE s.business_id = tenant
      AND s.register_session_id IN (SELECT x.register_session_id FROM ret.refund AS x
                                    WHERE x.business_id = tenant AND x.refund_id = ANY (refunds))
    ORDER BY s.register_session_id
    FOR NO KEY UPDATE;
    WITH cash AS (
        SELECT f.register_session_id, sum(f.amount) AS given
        FROM ret.refund AS f
        LEFT JOIN ret.payment AS p
            ON p.business_id = f.business_id AND p.payment_id = f.payment_id
        WHERE f.business_id = tenant AND f.state = 'completed'
          AND (f.refund_method = 'cash' OR p.tender = 'cash')
          AND f.register_session_id IN (SELECT x.register_session_id FROM ret.refund AS x
                                        WHERE x.business_id = tenant
                                          AND x.refund_id = ANY (refunds))
        GROUP BY f.register_session_id
    )
    UPDATE ret.register_session AS s
    SET cash_refunds = c.given
    FROM cash AS c
    WHERE s.business_id = tenant AND s.register_session_id = c.register_session_id
      AND s.cash_refunds <> c.given;
    SELECT s.state, s.expected_cash INTO dry
    FROM ret.register_session AS s
    JOIN ret.refund AS f
        ON f.business_id = s.business_id AND f.register_session_id = s.register_session_id
    WHERE s.business_id = tenant AND f.refund_id = ANY (refunds)
      AND (s.state <> 'open' OR s.expected_cash < 0)
    ORDER BY s.register_session_id
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the drawer is % and would hold %', dry.state, dry.expected_cash
            USING ERRCODE = 'check_violation', HINT = 'Refund out of an open drawer that has it.';
    ELSIF EXISTS (SELECT FROM ret.refund AS f
                  JOIN ret.payment AS p
                      ON p.business_id = f.business_id AND p.payment_id = f.payment_id
                  WHERE f.business_id = tenant AND f.refund_id = ANY (refunds)
                    AND p.tender = 'cash' AND f.register_session_id IS NULL)
    THEN
        RAISE EXCEPTION 'cash is given back out of a drawer'
            USING ERRCODE = 'check_violation', HINT = 'Name the register session.';
    END IF;

    INSERT INTO ret.gift_card_entry
        (business_id, gift_card_id, sales_order_id, entry_kind, amount, occurred_at,
         idempotency_key)
    SELECT tenant, coalesce(f.gift_card_id, p.gift_card_id), f.sales_order_id,
           CASE WHEN f.gift_card_id IS NULL THEN 'refund' ELSE 'load' END, f.amount,
           f.completed_at, 'refund ' || f.refund_id
    FROM ret.refund AS f
    LEFT JOIN ret.payment AS p ON p.business_id = f.business_id AND p.payment_id = f.payment_id
    WHERE f.business_id = tenant AND f.refund_id = ANY (refunds)
      AND coalesce(f.gift_card_id, p.gift_card_id) IS NOT NULL
      AND NOT EXISTS (SELECT FROM ret.gift_card_entry AS e
                      WHERE e.business_id = tenant
                        AND e.idempotency_key = 'refund ' || f.refund_id)
    ORDER BY coalesce(f.gift_card_id, p.gift_card_id), f.refund_id;
    INSERT INTO ret.store_credit_entry
        (business_id, store_credit_id, sales_order_id, entry_kind, amount, occurred_at,
         originator_kind, idempotency_key)
    SELECT tenant, coalesce(f.store_credit_id, p.store_credit_id), f.sales_order_id,
           CASE WHEN f.store_credit_id IS NULL THEN 'adjust' ELSE 'issue' END, f.amount,
           f.completed_at, 'return', 'refund ' || f.refund_id
    FROM ret.refund AS f
    LEFT JOIN ret.payment AS p ON p.business_id = f.business_id AND p.payment_id = f.payment_id
    WHERE f.business_id = tenant AND f.refund_id = ANY (refunds)
      AND coalesce(f.store_credit_id, p.store_credit_id) IS NOT NULL
      AND NOT EXISTS (SELECT FROM ret.store_credit_entry AS e
                      WHERE e.business_id = tenant
                        AND e.idempotency_key = 'refund ' || f.refund_id)
    ORDER BY coalesce(f.store_credit_id, p.store_credit_id), f.refund_id;
    -- Points that paid come back in the share that is refunded, good at least as long as new ones.
    INSERT INTO ret.loyalty_entry
        (business_id, loyalty_account_id, sales_order_id, entry_kind, points, expires_on,
         occurred_at, idempotency_key, note)
    SELECT tenant, x.loyalty_account_id, f.sales_order_id, 'adjust',
           floor(-x.points * f.amount / p.captured_amount),
           ret.business_day(f.completed_at) + g.point_expiry_days, f.completed_at,
           'refund ' || f.refund_id, 'Refund ' || f.refund_number
    FROM ret.refund AS f
    JOIN ret.payment AS p
        ON p.business_id = f.business_id AND p.payment_id = f.payment_id AND p.tender = 'loyalty'
    JOIN ret.loyalty_entry AS x
        ON x.business_id = p.business_id AND x.idempotency_key = 'payment ' || p.payment_id
    JOIN ret.loyalty_account AS a
        ON a.business_id = x.business_id AND a.loyalty_account_id = x.loyalty_account_id
    JOIN ret.loyalty_program AS g
        ON g.business_id = a.business_id AND g.loyalty_program_id = a.loyalty_program_id
    WHERE f.business_id = tenant AND f.refund_id = ANY (refunds)
      AND floor(-x.points * f.amount / p.captured_amount) > 0
      AND NOT EXISTS (SELECT FROM ret.loyalty_entry AS e
                      WHERE e.business_id = tenant
                        AND e.idempotency_key = 'refund ' || f.refund_id)
    ORDER BY x.loyalty_account_id, f.refund_id;
END
$$;
COMMENT ON FUNCTION ret.post_refunds(uuid[]) IS
    'What completed refunds give back is refunded on payment and order, lies no more in the drawer
     if it is cash, and is worth something on the gift card, the credit or the account of points.';

CREATE TRIGGER refund_limit_on_insert
    AFTER INSERT ON ret.refund
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.limit_order_refunds();

CREATE TRIGGER refund_limit_on_update
    AFTER UPDATE ON ret.refund
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.limit_order_refunds();

CREATE FUNCTION ret.keep_refund() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'refund % is completed, it stands', OLD.refund_number
        USING ERRCODE = 'check_violation', HINT = 'Charge the customer again.';
END
$$;
COMMENT ON FUNCTION ret.keep_refund() IS 'Money that was given back is gone.';

CREATE TRIGGER refund_completed_stands
    BEFORE UPDATE OR DELETE ON ret.refund
    FOR EACH ROW WHEN (OLD.state = 'completed')
    EXECUTE FUNCTION ret.keep_refund();


CREATE FUNCTION ret.returnable_lines(sales_order uuid)
    RETURNS TABLE (
        sales_order_line_id uuid,
        product_variant_id  uuid,
        still_returnable    numeric,
        unit_refund         numeric,
        unit_tax            numeric
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT l.sales_order_line_id, l.product_variant_id,
           greatest(coalesce(l.fulfilled_qty, 0) - coalesce(l.returned_qty, 0)
                    - coalesce(b.under_way, 0), 0),
           -- Cut, not rounded: the parts never come to more than the whole.
           trunc((l.quantity * l.unit_price - l.discount_amount) / l.quantity, 2),
           coalesce(t.tax, 0) / l.quantity
    FROM ret.sales_order_line AS l
    LEFT JOIN LATERAL (
        SELECT sum(r.quantity) AS under_way
        FROM ret.return_line AS r
        JOIN ret.return_authorisation AS a
            ON a.business_id = r.business_id
           AND a.return_authorisation_id = r.return_authorisation_id
        WHERE r.business_id = l.business_id AND r.sales_order_line_id = l.sales_order_line_id
          AND a.state NOT IN ('completed', 'rejected', 'cancelled')
          AND r.acceptance <> 'rejected' AND r.reception NOT IN ('lost', 'expired')
    ) AS b ON true
    LEFT JOIN LATERAL (
        SELECT sum(x.tax_amount) AS tax
        FROM ret.order_tax_line AS x
        WHERE x.business_id = l.business_id AND x.sales_order_line_id = l.sales_order_line_id
          AND NOT x.is_inclusive
    ) AS t ON true
    WHERE l.business_id = tenant_mgmt.current_business_id() AND l.sales_order_id = sales_order;
END;
COMMENT ON FUNCTION ret.returnable_lines(uuid) IS
    'What of an order can still come back, and what a unit of it is worth after discounts; tax that
     the price includes is part of the unit.';


CREATE FUNCTION ret.value_return(rma uuid) RETURNS void
    LANGUAGE sql
BEGIN ATOMIC
    UPDATE ret.return_line AS r
    SET unit_refund = n.unit_refund,
        tax_refund = trunc(n.unit_tax * r.quantity, 2),
        fee_amount = CASE WHEN x.fault = 'customer' AND a.return_kind = 'return'
                          THEN round(r.quantity * n.unit_refund
                                     * coalesce(p.restocking_fee_pct, 0) / 100, 2)
                          ELSE 0 END,
        price_difference = CASE WHEN r.exchange_variant_id IS NOT NULL
                                THEN round(r.quantity * (v.list_price - n.unit_refund), 2) END
    FROM ret.return_authorisation AS a
    CROSS JOIN LATERAL ret.returnable_lines(a.sales_order_id) AS n
    JOIN ret.return_line AS l
        ON l.business_id = a.business_id AND l.return_authorisation_id = a.return_authorisation_id
       AND l.sales_order_line_id = n.sales_order_line_id
    JOIN ret.return_reason AS x
        ON x.business_id = l.business_id AND x.return_reason_id = l.return_reason_id
    LEFT JOIN ret.return_policy AS p
        ON p.business_id = a.business_id AND p.return_policy_id = a.return_policy_id
    LEFT JOIN ret.product_variant AS v
        ON v.business_id = l.business_id AND v.product_variant_id = l.exchange_variant_id
    WHERE a.business_id = tenant_mgmt.current_business_id() AND a.return_authorisation_id = rma
      AND r.business_id = l.business_id AND r.return_line_id = l.return_line_id
      AND l.acceptance = 'accepted' AND l.reception = 'received';
END;
COMMENT ON FUNCTION ret.value_return(uuid) IS
    'Says what the accepted lines of a return are worth: their share of what was paid, less the fee
     of the policy where the customer changed their mind.';


CREATE FUNCTION ret.restock_return(rma uuid) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    units  numeric;
BEGIN
    -- In the order of the variants, as every other writer of stock.
    INSERT INTO ret.stock_movement
        (business_id, product_variant_id, location_id, stock_lot_id, occurred_at, movement_kind,
         from_state, to_state, quantity, unit_cost, source_kind, source_id, serial_number)
    SELECT tenant, l.product_variant_id, i.location_id, i.stock_lot_id, now(), 'return', 'none',
           CASE i.disposition WHEN 'restock' THEN 'available' ELSE 'quality_hold' END,
           r.quantity, l.unit_cost, 'return', rma,
           CASE WHEN i.serial_matches THEN u.serial_number END
    FROM ret.return_line AS r
    JOIN ret.sales_order_line AS l
        ON l.business_id = r.business_id AND l.sales_order_line_id = r.sales_order_line_id
    JOIN ret.return_inspection AS i
        ON i.business_id = r.business_id AND i.return_line_id = r.return_line_id
    LEFT JOIN ret.serial_unit AS u
        ON u.business_id = r.business_id AND u.serial_unit_id = r.serial_unit_id
    WHERE r.business_id = tenant AND r.return_authorisation_id = rma
      AND r.acceptance = 'accepted' AND r.reception = 'received'
      AND i.disposition IN ('restock', 'refurbish', 'outlet', 'rtv')
    ORDER BY l.product_variant_id, i.location_id, r.line_number;
    INSERT INTO ret.stock_movement
        (business_id, product_variant_id, location_id, occurred_at, movement_kind, from_state,
         to_state, quantity, unit_cost, source_kind, source_id)
    SELECT tenant, r.exchange_variant_id, a.return_location_id, now(), 'sale', 'available', 'none',
           r.quantity, v.average_cost, 'return', rma
    FROM ret.return_line AS r
    JOIN ret.return_authorisation AS a
        ON a.business_id = r.business_id AND a.return_authorisation_id = r.return_authorisation_id
    JOIN ret.product_variant AS v
        ON v.business_id = r.business_id AND v.product_variant_id = r.exchange_variant_id
    WHERE r.business_id = tenant AND r.return_authorisation_id = rma
      AND r.acceptance = 'accepted' AND r.reception = 'received'
      AND a.return_location_id IS NOT NULL
    ORDER BY r.exchange_variant_id, r.line_number;
    -- Units that come into no stock are here all the same.
    UPDATE ret.serial_unit AS u
    SET state = 'returned', location_id = i.location_id
    FROM ret.return_line AS r
    JOIN ret.return_inspection AS i
        ON i.business_id = r.business_id AND i.return_line_id = r.return_line_id
    WHERE r.business_id = tenant AND r.return_authorisation_id = rma
      AND r.acceptance = 'accepted' AND i.serial_matches
      AND u.business_id = r.business_id AND u.serial_unit_id = r.serial_unit_id
      AND u.state = 'sold';
    SELECT sum(r.quantity) INTO units
    FROM ret.return_line AS r
    JOIN ret.return_inspection AS i
        ON i.business_id = r.business_id AND i.return_line_id = r.return_line_id
    WHERE r.business_id = tenant AND r.return_authorisation_id = rma
      AND r.acceptance = 'accepted' AND i.disposition = 'restock';
    RETURN coalesce(units, 0)::integer;
END
$$;
COMMENT ON FUNCTION ret.restock_return(uuid) IS
    'Books returned goods by their inspection: on the shelf, or held for repair, outlet or
     supplier; what is scrapped or given away comes into no stock. Replacements leave the store.
     Returns the units that can be sold again.';


CREATE FUNCTION ret.refund_return(rma uuid, total numeric, tax numeric) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    back   record;
    credit uuid;
    unpaid numeric;
BEGIN
    SELECT a.sales_order_id, a.rma_number, a.customer_id, o.currency, p.refund_methods,
           t.register_session_id
    INTO back
    FROM ret.return_authorisation AS a
    JOIN ret.sales_order AS o
        ON o.business_id = a.business_id AND o.sales_order_id = a.sales_order_id
    LEFT JOIN ret.return_policy AS p
        ON p.business_id = a.business_id AND p.return_policy_id = a.return_policy_id
    LEFT JOIN ret.pos_transaction AS t
        ON t.business_id = a.business_id AND t.pos_transaction_id = a.pos_transaction_id
    WHERE a.business_id = tenant AND a.return_authorisation_id = rma;
    IF back.refund_methods = 'store_credit' THEN
        IF back.customer_id IS NULL THEN
            RAISE EXCEPTION 'return % gives store credit, and nobody to owe it to',
                            back.rma_number
                USING ERRCODE = 'check_violation', HINT = 'Say who the customer is.';
        END IF;
        -- Its refund is the entry that issues it.
        INSERT INTO ret.store_credit
            (business_id, customer_id, credit_number, credit_kind, currency, issued_at,
             reason_text)
        VALUES (tenant, back.customer_id, 'SC-' || back.rma_number, 'return', back.currency,
                now(), 'Return ' || back.rma_number)
        RETURNING store_credit_id INTO credit;
        INSERT INTO ret.refund
            (business_id, return_authorisation_id, sales_order_id, store_credit_id, refund_number,
             refund_method, reason, amount, tax_amount, currency, state, completed_at)
        VALUES (tenant, rma, back.sales_order_id, credit, back.rma_number || '-1', 'store_credit',
                'return', total, tax, back.currency, 'completed', now());
        RETURN;
    END IF;
    WITH payable AS (
        SELECT p.payment_id, p.tender, p.captured_amount - coalesce(f.given, 0) AS remains,
               CASE p.tender
                   WHEN 'gift_card' THEN ret.gift_card_takes(g.state, 'refund')
                   WHEN 'store_credit' THEN ret.store_credit_takes(c.state, 'adjust')
                   WHEN 'loyalty' THEN coalesce(a.state, 'closed') <> 'closed'
                   WHEN 'cash' THEN back.register_session_id IS NOT NULL
                   ELSE false END AS at_once,
               coalesce(sum(p.captured_amount - coalesce(f.given, 0))
                        OVER (ORDER BY p.captured_at, p.payment_id
                              ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before,
               row_number() OVER (ORDER BY p.captured_at, p.payment_id) AS place
        FROM ret.payment AS p
        LEFT JOIN LATERAL (
            SELECT sum(x.amount) AS given
            FROM ret.refund AS x
            WHERE x.business_id = p.business_id AND x.payment_id = p.payment_id
              AND x.state NOT IN ('failed', 'rejected')
        ) AS f ON true
        LEFT JOIN ret.gift_card AS g
            ON g.business_id = p.business_id AND g.gift_card_id = p.gift_card_id
        LEFT JOIN ret.store_credit AS c
            ON c.business_id = p.business_id AND c.store_credit_id = p.store_credit_id
        LEFT JOIN ret.loyalty_entry AS e
            ON e.business_id = p.business_id AND e.idempotency_key = 'payment ' || p.payment_id
        LEFT JOIN ret.loyalty_account AS a
            ON a.business_id = p.business_id AND a.loyalty_account_id = e.loyalty_account_id
        WHERE p.business_id = tenant AND p.sales_order_id = back.sales_order_id
          AND p.captured_amount > 0
    ), made AS (
        INSERT INTO ret.refund
            (business_id, return_authorisation_id, sales_order_id, payment_id, register_session_id,
             refund_number, refund_method, reason, amount, tax_amount, currency, state,
             completed_at)
        SELECT tenant, rma, back.sales_order_id, y.payment_id,
               CASE WHEN y.tender = 'cash' THEN back.register_session_id END,
               back.rma_number || '-' || y.place, 'original_tender', 'return', n.amount,
               least(round(tax * n.amount / total, 2), n.amount), back.currency, n.state,
               CASE WHEN n.state = 'completed' THEN now() END
        FROM payable AS y
        CROSS JOIN LATERAL (
            SELECT least(y.remains, total - y.before) AS amount,
                   -- Cash goes over the counter, cards and credits are here; a processor has to
                   -- be asked, and for a card that expired the desk finds another way.
                   CASE WHEN y.at_once THEN 'completed' ELSE 'approved' END AS state
        ) AS n
        WHERE n.amount > 0
        RETURNING amount
    )
    SELECT total - coalesce(sum(m.amount), 0) INTO unpaid FROM made AS m;
    IF unpaid > 0 THEN
        RAISE EXCEPTION 'return % is worth %, which the order has not left of what was paid',
                        back.rma_number, total
            USING ERRCODE = 'check_violation', HINT = 'Look at the refunds that it had before.';
    END IF;
END
$$;
COMMENT ON FUNCTION ret.refund_return(uuid, numeric, numeric) IS
    'Gives the worth of a return back the way it was paid, the first payment first, or as store
     credit where the policy says so.';


CREATE FUNCTION ret.process_return(rma uuid, OUT refund_total numeric, OUT restocked integer)
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    back   record;
    worth  record;
BEGIN
    SELECT a.rma_number, a.state, a.return_kind, a.requested_at, a.has_receipt,
           a.is_outside_policy, a.customer_id, o.sales_order_id, o.subtotal - o.discount_total
           AS goods, p.requires_receipt, p.refund_methods,
           greatest(o.placed_at + CASE WHEN a.return_kind = 'exchange'
                                       THEN coalesce(p.exchange_window_days, p.window_days)
                                       ELSE p.window_days END * interval '1 day',
                    p.holiday_extension_until) AS ends_at
    INTO back
    FROM ret.return_authorisation AS a
    JOIN ret.sales_order AS o
        ON o.business_id = a.business_id AND o.sales_order_id = a.sales_order_id
    LEFT JOIN ret.return_policy AS p
        ON p.business_id = a.business_id AND p.return_policy_id = a.return_policy_id
    WHERE a.business_id = tenant AND a.return_authorisation_id = rma
    FOR NO KEY UPDATE OF o, a;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such return' USING ERRCODE = 'no_data_found';
    ELSIF back.state <> 'inspected' THEN
        RAISE EXCEPTION 'return % is %, it is not processed', back.rma_number, back.state
            USING ERRCODE = 'check_violation', HINT = 'Receive and inspect it, once.';
    ELSIF back.return_kind IN ('return', 'exchange') AND NOT back.is_outside_policy THEN
        IF back.requested_at > back.ends_at THEN
            RAISE EXCEPTION 'return % came after %, when its window ended', back.rma_number,
                            to_char(back.ends_at, 'YYYY-MM-DD')
                USING ERRCODE = 'check_violation', HINT = 'An exception needs an approval.';
        ELSIF back.requires_receipt AND NOT back.has_receipt THEN
            RAISE EXCEPTION 'return % has no receipt', back.rma_number
                USING ERRCODE = 'check_violation', HINT = 'An exception needs an approval.';
        ELSIF back.refund_methods = 'exchange_only' AND back.return_kind = 'return' THEN
            RAISE EXCEPTION 'return % may only be exchanged', back.rma_number
                USING ERRCODE = 'check_violation', HINT = 'Choose what replaces the goods.';
        END IF;
    END IF;
    IF EXISTS (SELECT FROM ret.return_line AS r
               WHERE r.business_id = tenant AND r.return_authorisation_id = rma
                 AND (r.acceptance IN ('pending', 'manual_review')
                      OR (r.acceptance = 'accepted' AND r.reception = 'received'
                          AND NOT EXISTS (SELECT FROM ret.return_inspection AS i
                                          WHERE i.business_id = r.business_id
                                            AND i.return_line_id = r.return_line_id))))
    THEN
        RAISE EXCEPTION 'return % has lines that nobody decided on', back.rma_number
            USING ERRCODE = 'check_violation', HINT = 'Inspect them, accept or reject them.';
    END IF;

    PERFORM ret.value_return(rma);
    SELECT coalesce(sum(CASE WHEN r.exchange_variant_id IS NULL THEN r.line_refund
                             ELSE greatest(-r.price_difference, 0) END), 0) AS money,
           coalesce(sum(r.tax_refund) FILTER (WHERE r.exchange_variant_id IS NULL), 0) AS tax,
           coalesce(sum(r.fee_amount), 0) AS fees,
           coalesce(sum(r.quantity * r.unit_refund)
                    FILTER (WHERE r.exchange_variant_id IS NULL), 0) AS goods
    INTO worth
    FROM ret.return_line AS r
    WHERE r.business_id = tenant AND r.return_authorisation_id = rma
      AND r.acceptance = 'accepted' AND r.reception = 'received';
    restocked := ret.restock_return(rma);
    UPDATE ret.return_authorisation AS a
    SET state = 'completed', completed_at = now(), refund_total = worth.money,
        fee_total = worth.fees
    WHERE a.business_id = tenant AND a.return_authorisation_id = rma;
    UPDATE ret.sales_order_line AS l
    SET returned_qty = coalesce(l.returned_qty, 0) + n.quantity
    FROM (
        SELECT r.sales_order_line_id, sum(r.quantity) AS quantity
        FROM ret.return_line AS r
        WHERE r.business_id = tenant AND r.return_authorisation_id = rma
          AND r.acceptance = 'accepted' AND r.reception = 'received'
        GROUP BY r.sales_order_line_id
    ) AS n
    WHERE l.business_id = tenant AND l.sales_order_line_id = n.sales_order_line_id;
    IF worth.money > 0 THEN
        PERFORM ret.refund_return(rma, worth.money, least(worth.tax, worth.money));
    END IF;
    PERFORM ret.reverse_points(back.sales_order_id, rma,
                               CASE WHEN back.goods > 0 THEN worth.goods / back.goods ELSE 0 END);
    refund_total := worth.money;
END
$$;
COMMENT ON FUNCTION ret.process_return(uuid) IS
    'Closes an inspected return: within the window of its policy or approved, worth its share of
     what was paid, refunded, its goods restocked or held, the points of the order taken back.';


CREATE FUNCTION ret.settle_refund(refund uuid, reference text, outcome text DEFAULT 'approved')
    RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    sent   record;
    became text;
BEGIN
    SELECT f.state, f.payment_id, f.amount, f.refund_number INTO sent
    FROM ret.refund AS f
    WHERE f.business_id = tenant AND f.refund_id = refund
    FOR UPDATE;
    IF sent.payment_id IS NULL THEN
        RAISE EXCEPTION 'refund % goes through no processor', sent.refund_number
            USING ERRCODE = 'check_violation', HINT = 'It is completed where it is handed out.';
    END IF;
    became := CASE outcome WHEN 'approved' THEN 'completed'
                           WHEN 'pending' THEN 'processing' ELSE 'failed' END;
    UPDATE ret.refund AS f
    SET state = became, processor_reference = reference,
        completed_at = CASE WHEN became = 'completed' THEN now() END
    WHERE f.business_id = tenant AND f.refund_id = refund;
    INSERT INTO ret.payment_attempt
        (business_id, payment_id, operation, amount, outcome, decline_reason, gateway_reference)
    VALUES (tenant, sent.payment_id, 'refund', sent.amount, outcome,
            CASE WHEN outcome = 'declined' THEN 'refused by the issuer' END, reference);
    RETURN became;
END
$$;
COMMENT ON FUNCTION ret.settle_refund(uuid, text, text) IS
    'Writes down what the processor answered to a refund, and completes it when it was approved.';


CREATE FUNCTION ret.reconcile_payout(payout uuid) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    paid   text;
    wrong  integer;
BEGIN
    SELECT p.state INTO paid
    FROM ret.processor_payout AS p
    WHERE p.business_id = tenant AND p.processor_payout_id = payout
    FOR NO KEY UPDATE;
    IF paid IS NULL OR paid NOT IN ('sent', 'paid') THEN
        RAISE EXCEPTION 'the payout is %, it is not reconciled', coalesce(paid, 'not there')
            USING ERRCODE = 'check_violation', HINT = 'Reconcile what was sent, once.';
    END IF;
    UPDATE ret.processor_payout_entry AS e
    SET payment_id = n.payment_id, payment_dispute_id = n.payment_dispute_id,
        expected_amount = coalesce(n.expected, 0),
        match_state = CASE WHEN n.expected IS NULL THEN 'unknown'
                           WHEN n.expected = e.gross_amount - e.fee_amount THEN 'matched'
                           ELSE 'variance' END
    FROM (
        SELECT x.processor_payout_entry_id,
               coalesce(x.payment_id, y.payment_id, f.payment_id, d.payment_id) AS payment_id,
               coalesce(x.payment_dispute_id, d.payment_dispute_id) AS payment_dispute_id,
               CASE WHEN x.entry_kind = 'charge' THEN y.captured_amount - y.processing_fee
                    WHEN x.entry_kind = 'refund' THEN -f.amount
                    WHEN x.entry_kind = 'dispute' THEN -d.disputed_amount - d.fee_amount
                    WHEN x.entry_kind = 'dispute_reversal' THEN d.disputed_amount
                    -- What the processor takes or holds is as it says; adjustments are asked for.
                    WHEN x.entry_kind = 'adjustment' THEN nullif(x.expected_amount, 0)
                    ELSE x.gross_amount - x.fee_amount END AS expected
        FROM ret.processor_payout_entry AS x
        LEFT JOIN ret.payment AS y
            ON y.business_id = x.business_id AND y.processor_reference = x.processor_reference
           AND x.entry_kind = 'charge' AND y.captured_amount > 0
        LEFT JOIN ret.refund AS f
            ON f.business_id = x.business_id AND f.processor_reference = x.processor_reference
           AND x.entry_kind = 'refund' AND f.state = 'completed'
        LEFT JOIN ret.payment_dispute AS d
            ON d.business_id = x.business_id AND d.dispute_reference = x.processor_reference
           AND x.entry_kind IN ('dispute', 'dispute_reversal')
        WHERE x.business_id = tenant AND x.processor_payout_id = payout
    ) AS n
    WHERE e.business_id = tenant AND e.processor_payout_entry_id = n.processor_payout_entry_id;
    SELECT count(*) INTO wrong
    FROM ret.processor_payout_entry AS e
    WHERE e.business_id = tenant AND e.processor_payout_id = payout AND e.match_state <> 'matched';
    IF wrong = 0 AND paid = 'paid' THEN
        UPDATE ret.processor_payout AS p
        SET state = 'reconciled'
        WHERE p.business_id = tenant AND p.processor_payout_id = payout;
    END IF;
    RETURN wrong;
END
$$;
COMMENT ON FUNCTION ret.reconcile_payout(uuid) IS
    'Matches the entries of a payout to payments, refunds and disputes by what the processor calls
     them; when all agree and the money arrived, it is reconciled. Returns the exceptions.';


CREATE FUNCTION ret.close_register(
    session       uuid,
    closer        uuid,
    denominations jsonb,
    declared      jsonb DEFAULT '[]',
    reason        text DEFAULT NULL
) RETURNS numeric
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    cash   CONSTANT numeric := ret.denominations_total(denominations);
    drawer record;
    short  numeric;
BEGIN
    SELECT s.state, s.expected_cash, s.session_number, l.currency INTO drawer
    FROM ret.register_session AS s
    JOIN ret.register AS r ON r.business_id = s.business_id AND r.register_id = s.register_id
    JOIN ret.location AS l ON l.business_id = r.business_id AND l.location_id = r.location_id
    WHERE s.business_id = tenant AND s.register_session_id = session
    FOR UPDATE OF s;
    IF drawer.state IS NULL OR drawer.state NOT IN ('open', 'counting') THEN
        RAISE EXCEPTION 'session % is %, it is not closed', drawer.session_number,
                        coalesce(drawer.state, 'not there')
            USING ERRCODE = 'check_violation', HINT = 'It was closed before.';
    END IF;
    UPDATE ret.register_session AS s
    SET state = 'counting'
    WHERE s.business_id = tenant AND s.register_session_id = session AND s.state = 'open';
    INSERT INTO ret.cash_count
        (business_id, register_session_id, counted_by_user_id, count_kind, currency,
         denominations_doc, counted_total, variance_reason)
    VALUES (tenant, session, closer, 'closing', coalesce(drawer.currency, 'USD'), denominations,
            cash, reason);
    UPDATE ret.register_session AS s
    SET state = 'closed', closed_at = now(), closed_by_user_id = closer, counted_cash = cash,
        tender_totals_doc = (
            SELECT jsonb_agg(jsonb_build_object(
                       'tender', coalesce(t.tender, d.tender), 'expected',
                       CASE t.tender WHEN 'cash' THEN drawer.expected_cash
                                     ELSE coalesce(t.taken - t.given, 0) END,
                       'declared', CASE t.tender WHEN 'cash' THEN cash
                                                 ELSE coalesce(d.declared, 0) END)
                   ORDER BY coalesce(t.tender, d.tender))
            FROM ret.session_tenders(session) AS t
            FULL JOIN JSON_TABLE(declared, '$[*]' COLUMNS (
                tender   text PATH '$.tender',
                declared numeric PATH '$.declared')) AS d ON d.tender = t.tender)
    WHERE s.business_id = tenant AND s.register_session_id = session
    RETURNING s.over_short INTO short;
    RETURN short;
END
$$;
COMMENT ON FUNCTION ret.close_register(uuid, uuid, jsonb, jsonb, text) IS
    'Counts a drawer and closes its session with what was expected and declared per tender; returns
     what is over, or short below zero.';


CREATE FUNCTION ret.session_tenders(session uuid)
    RETURNS TABLE (tender text, taken numeric, given numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT m.tender, sum(m.taken), sum(m.given)
    FROM (
        SELECT p.tender, p.captured_amount AS taken, 0 AS given
        FROM ret.payment AS p
        WHERE p.business_id = tenant_mgmt.current_business_id()
          AND p.register_session_id = session AND p.captured_amount > 0
        UNION ALL
        SELECT coalesce(p.tender, f.refund_method), 0, f.amount
        FROM ret.refund AS f
        LEFT JOIN ret.payment AS p
            ON p.business_id = f.business_id AND p.payment_id = f.payment_id
        WHERE f.business_id = tenant_mgmt.current_business_id()
          AND f.register_session_id = session AND f.state = 'completed'
        UNION ALL
        SELECT 'cash', 0, 0
    ) AS m
    GROUP BY m.tender;
END;
COMMENT ON FUNCTION ret.session_tenders(uuid) IS
    'What a session took and gave back by tender; cash is always there.';


CREATE VIEW ret.v_register_reconciliation WITH (security_invoker = true) AS
SELECT s.business_id, r.location_id, s.register_session_id, r.register_code, s.session_number,
       s.business_date, s.state, s.is_blind_close, t.tender, t.taken, t.given AS refunded,
       CASE t.tender WHEN 'cash' THEN s.expected_cash ELSE t.taken - t.given END AS expected,
       CASE t.tender WHEN 'cash' THEN s.counted_cash ELSE d.declared END AS counted,
       CASE t.tender WHEN 'cash' THEN s.over_short ELSE d.declared - t.taken + t.given END
           AS over_short,
       c.receipts, c.voids, j.overrides, j.override_amount, j.drawer_openings
FROM ret.register_session AS s
JOIN ret.register AS r ON r.business_id = s.business_id AND r.register_id = s.register_id
CROSS JOIN LATERAL ret.session_tenders(s.register_session_id) AS t
LEFT JOIN LATERAL (
    SELECT sum(x.declared) AS declared
    FROM JSON_TABLE(s.tender_totals_doc::jsonb, '$[*]' COLUMNS (
        tender   text PATH '$.tender',
        declared numeric PATH '$.declared')) AS x
    WHERE x.tender = t.tender
) AS d ON true
CROSS JOIN LATERAL (
    SELECT count(*) AS receipts, count(*) FILTER (WHERE x.transaction_kind = 'void') AS voids
    FROM ret.pos_transaction AS x
    WHERE x.business_id = s.business_id AND x.register_session_id = s.register_session_id
) AS c
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE x.event_kind = 'price_override') AS overrides,
           coalesce(sum(x.amount) FILTER (WHERE x.event_kind = 'price_override'), 0)
               AS override_amount,
           count(*) FILTER (WHERE x.event_kind = 'drawer_open') AS drawer_openings
    FROM ret.pos_journal_event AS x
    WHERE x.business_id = s.business_id AND x.register_session_id = s.register_session_id
) AS j;
COMMENT ON VIEW ret.v_register_reconciliation IS
    'The Z report of a session, one row per tender: expected, counted, over or short, with its
     receipts, voids and overrides.';
GRANT SELECT ON ret.v_register_reconciliation TO app_user, app_readonly;


CREATE VIEW ret.v_order_overview WITH (security_invoker = true) AS
SELECT o.business_id, o.sales_order_id, o.order_number, o.order_kind, o.state, o.payment_state,
       o.placed_at, h.channel_code, h.display_name AS channel_name, o.customer_id,
       c.customer_number, c.display_name AS customer_name, o.currency, o.grand_total, o.paid_total,
       o.refunded_total, l.units, l.units_fulfilled, l.units_returned, f.parts, f.parts_done,
       f.promise_at, s.tracking_numbers, s.last_delivered_at, a.open_returns, r.refunds_open,
       r.refund_open_total
FROM ret.sales_order AS o
JOIN ret.sales_channel AS h
    ON h.business_id = o.business_id AND h.sales_channel_id = o.sales_channel_id
LEFT JOIN ret.customer AS c ON c.business_id = o.business_id AND c.customer_id = o.customer_id
CROSS JOIN LATERAL (
    SELECT sum(x.quantity) AS units, sum(x.fulfilled_qty) AS units_fulfilled,
           sum(x.returned_qty) AS units_returned
    FROM ret.sales_order_line AS x
    WHERE x.business_id = o.business_id AND x.sales_order_id = o.sales_order_id
) AS l
CROSS JOIN LATERAL (
    SELECT count(*) AS parts, count(*) FILTER (WHERE x.state = 'completed') AS parts_done,
           min(x.promise_at) FILTER (WHERE x.state NOT IN ('completed', 'rejected', 'cancelled'))
               AS promise_at
    FROM ret.fulfilment_order AS x
    WHERE x.business_id = o.business_id AND x.sales_order_id = o.sales_order_id
) AS f
CROSS JOIN LATERAL (
    SELECT array_agg(y.tracking_number ORDER BY y.shipment_number)
               FILTER (WHERE y.tracking_number IS NOT NULL) AS tracking_numbers,
           max(y.delivered_at) AS last_delivered_at
    FROM ret.fulfilment_order AS x
    JOIN ret.shipment AS y
        ON y.business_id = x.business_id AND y.fulfilment_order_id = x.fulfilment_order_id
    WHERE x.business_id = o.business_id AND x.sales_order_id = o.sales_order_id
      AND y.direction = 'outbound'
) AS s
CROSS JOIN LATERAL (
    SELECT count(*) AS open_returns
    FROM ret.return_authorisation AS x
    WHERE x.business_id = o.business_id AND x.sales_order_id = o.sales_order_id
      AND x.state NOT IN ('completed', 'rejected', 'cancelled')
) AS a
CROSS JOIN LATERAL (
    SELECT count(*) AS refunds_open, coalesce(sum(x.amount), 0) AS refund_open_total
    FROM ret.refund AS x
    WHERE x.business_id = o.business_id AND x.sales_order_id = o.sales_order_id
      AND x.state IN ('pending', 'approved', 'processing')
) AS r;
COMMENT ON VIEW ret.v_order_overview IS
    'An order as the service desk sees it: who, where, how far, in which parcels, and what came or
     goes back.';
GRANT SELECT ON ret.v_order_overview TO app_user, app_readonly;
