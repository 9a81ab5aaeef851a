/*
 * TODO: what the area is and how its tables relate.
 */

CREATE TABLE ret.return_policy (
    business_id             uuid                   NOT NULL,
    return_policy_id        uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    category_id             uuid,
    sales_channel_id        uuid,
    policy_code             text                   NOT NULL,
    display_name            text                   NOT NULL,
    window_days             integer,
    exchange_window_days    integer,
    requires_receipt        boolean                NOT NULL DEFAULT false,
    restocking_fee_pct      system_core.percentage,
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
        CHECK (restocking_fee_pct BETWEEN 0 AND 50)
);

COMMENT ON TABLE ret.return_policy IS
    'Return window, conditions and fees by category and channel.';

-- FK: the return policies of a category.
CREATE INDEX return_policy_category_idx
    ON ret.return_policy (business_id, category_id)
    WHERE category_id IS NOT NULL;

-- FK: the return policies of a sales channel.
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
    label               text,
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
    requested_at            timestamptz       NOT NULL,
    approved_at             timestamptz,
    received_at             timestamptz       NOT NULL,
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
    CONSTRAINT return_authorisation_received_at_in_order CHECK (received_at <= completed_at)
);

COMMENT ON TABLE ret.return_authorisation IS
    'Return or exchange, in store or by post, from request to close.';
-- RULE is_outside_policy needs an approval

-- FK: the return authorisations by their return location.
CREATE INDEX return_authorisation_return_location_idx
    ON ret.return_authorisation (business_id, return_location_id)
    WHERE return_location_id IS NOT NULL;

-- FK: the return authorisations by their return shipment.
CREATE INDEX return_authorisation_return_shipment_idx
    ON ret.return_authorisation (business_id, return_shipment_id)
    WHERE return_shipment_id IS NOT NULL;

-- FK: the return authorisations of a sales order.
CREATE INDEX return_authorisation_sales_order_idx
    ON ret.return_authorisation (business_id, sales_order_id);

-- FK: the return authorisations of a customer.
CREATE INDEX return_authorisation_customer_idx
    ON ret.return_authorisation (business_id, customer_id)
    WHERE customer_id IS NOT NULL;

-- FK: the return authorisations of a return policy.
CREATE INDEX return_authorisation_return_policy_idx
    ON ret.return_authorisation (business_id, return_policy_id)
    WHERE return_policy_id IS NOT NULL;

-- FK: the return authorisations of a pos transaction.
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


CREATE TABLE ret.return_line (
    business_id             uuid                 NOT NULL,
    return_line_id          uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    exchange_variant_id     uuid,
    return_authorisation_id uuid                 NOT NULL,
    sales_order_line_id     uuid                 NOT NULL,
    return_reason_id        uuid                 NOT NULL,
    serial_unit_id          uuid,
    line_number             integer              NOT NULL,
    quantity                system_core.quantity,
    unit_refund             system_core.money,
    tax_refund              system_core.money,
    fee_amount              system_core.money    NOT NULL DEFAULT 0,
    line_refund             system_core.money    GENERATED ALWAYS AS (
                                                     quantity * unit_refund + tax_refund -
                                                     fee_amount) STORED,
    condition_reported      text                 NOT NULL,
    acceptance              text                 NOT NULL,
    reception               text                 NOT NULL,
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
        CHECK (reception IN ('awaiting', 'received', 'lost', 'expired'))
);

COMMENT ON TABLE ret.return_line IS
    'Order line coming back, what it is worth and what replaces it.';
-- RULE quantity <= fulfilled_qty - returned_qty of the order line

-- FK: the return lines by their exchange variant.
CREATE INDEX return_line_exchange_variant_idx
    ON ret.return_line (business_id, exchange_variant_id)
    WHERE exchange_variant_id IS NOT NULL;

-- FK: the return lines of a sales order line.
CREATE INDEX return_line_sales_order_line_idx
    ON ret.return_line (business_id, sales_order_line_id);

-- FK: the return lines of a return reason.
CREATE INDEX return_line_return_reason_idx ON ret.return_line (business_id, return_reason_id);

-- FK: the return lines of a serial unit.
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


CREATE TABLE ret.return_inspection (
    business_id          uuid              NOT NULL,
    return_inspection_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    inspected_by_user_id uuid              NOT NULL,
    return_line_id       uuid              NOT NULL,
    location_id          uuid              NOT NULL,
    stock_lot_id         uuid,
    inspected_at         timestamptz       NOT NULL,
    grade                text,
    disposition          text,
    resale_value         system_core.money,
    write_down_amount    system_core.money NOT NULL DEFAULT 0,
    serial_matches       boolean           NOT NULL DEFAULT false,
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
    CONSTRAINT return_inspection_write_down_amount_not_negative CHECK (write_down_amount >= 0)
);

COMMENT ON TABLE ret.return_inspection IS 'Grading of a returned unit and where it goes.';
-- RULE restock only for grade a or b
-- RULE serial_matches is set for serialised goods

-- FK: the return inspections by their inspected by user.
CREATE INDEX return_inspection_inspected_by_user_idx
    ON ret.return_inspection (business_id, inspected_by_user_id);

-- FK: the return inspections of a return line.
CREATE INDEX return_inspection_return_line_idx
    ON ret.return_inspection (business_id, return_line_id);

-- FK: the return inspections of a location.
CREATE INDEX return_inspection_location_idx ON ret.return_inspection (business_id, location_id);

-- FK: the return inspections of a stock lot.
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


CREATE TABLE ret.refund (
    business_id             uuid                 NOT NULL,
    refund_id               uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    approved_by_user_id     uuid,
    payment_id              uuid,
    return_authorisation_id uuid,
    sales_order_id          uuid                 NOT NULL,
    store_credit_id         uuid,
    refund_number           text                 NOT NULL,
    refund_method           text,
    reason                  text,
    amount                  system_core.money,
    tax_amount              system_core.money    NOT NULL DEFAULT 0,
    shipping_amount         system_core.money    NOT NULL DEFAULT 0,
    currency                system_core.currency,
    requested_at            timestamptz          NOT NULL,
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
    CONSTRAINT refund_method_known
        CHECK (refund_method IN ('original_tender', 'cash', 'store_credit', 'gift_card',
                                 'bank_transfer')),
    CONSTRAINT refund_reason_known
        CHECK (reason IN ('return', 'price_adjustment', 'cancelled_order', 'shipping',
                          'goodwill', 'duplicate')),
    CONSTRAINT refund_state_known
        CHECK (state IN ('pending', 'approved', 'processing', 'completed', 'failed', 'rejected')),
    CONSTRAINT refund_amount_positive CHECK (amount > 0),
    CONSTRAINT refund_refund_method_iff
        CHECK ((payment_id IS NOT NULL) = (refund_method = 'original_tender'))
);

COMMENT ON TABLE ret.refund IS
    'Money, credit or gift card given back for a return or correction.';
-- RULE completed refunds of an order never exceed its paid_total

-- FK: the refunds by their approved by user.
CREATE INDEX refund_approved_by_user_idx
    ON ret.refund (business_id, approved_by_user_id)
    WHERE approved_by_user_id IS NOT NULL;

-- FK: the refunds of a payment.
CREATE INDEX refund_payment_idx
    ON ret.refund (business_id, payment_id)
    WHERE payment_id IS NOT NULL;

-- FK: the refunds of a return authorisation.
CREATE INDEX refund_return_authorisation_idx
    ON ret.refund (business_id, return_authorisation_id)
    WHERE return_authorisation_id IS NOT NULL;

-- FK: the refunds of a sales order.
CREATE INDEX refund_sales_order_idx ON ret.refund (business_id, sales_order_id);

-- FK: the refunds of a store credit.
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
