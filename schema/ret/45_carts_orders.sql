/*
 * TODO: what the area is and how its tables relate.
 */

CREATE TABLE ret.cart (
    business_id        uuid                 NOT NULL,
    cart_id            uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    pickup_location_id uuid,
    sales_channel_id   uuid                 NOT NULL,
    customer_id        uuid,
    register_id        uuid,
    cart_token         text                 NOT NULL,
    cart_kind          text                 NOT NULL,
    email              system_core.email,
    currency           system_core.currency,
    subtotal           system_core.money,
    discount_total     system_core.money    NOT NULL DEFAULT 0,
    shipping_total     system_core.money    NOT NULL DEFAULT 0,
    tax_total          system_core.money    NOT NULL DEFAULT 0,
    grand_total        system_core.money    GENERATED ALWAYS AS (
                                                subtotal - discount_total + shipping_total +
                                                tax_total) STORED,
    item_count         integer              NOT NULL DEFAULT 0,
    coupon_codes_doc   jsonb,
    last_activity_at   timestamptz,
    checkout_step      text                 NOT NULL,
    state              text                 NOT NULL DEFAULT 'active',
    abandoned_at       timestamptz,
    created_at         timestamptz          NOT NULL DEFAULT now(),
    updated_at         timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, cart_id),
    UNIQUE (business_id, cart_token),
    FOREIGN KEY (business_id, pickup_location_id)
        REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, sales_channel_id)
        REFERENCES ret.sales_channel (business_id, sales_channel_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES ret.customer (business_id, customer_id),
    FOREIGN KEY (business_id, register_id) REFERENCES ret.register (business_id, register_id),
    CONSTRAINT cart_kind_known
        CHECK (cart_kind IN ('online', 'parked_sale', 'quote', 'save_for_later')),
    CONSTRAINT cart_checkout_step_known
        CHECK (checkout_step IN ('cart', 'address', 'shipping', 'payment', 'review', 'done')),
    CONSTRAINT cart_state_known
        CHECK (state IN ('active', 'converted', 'abandoned', 'merged', 'expired')),
    CONSTRAINT cart_state_iff CHECK ((abandoned_at IS NOT NULL) = (state = 'abandoned'))
);

COMMENT ON TABLE ret.cart IS
    'A basket in progress on any channel, also a parked sale at a register.';

-- FK: the carts by their pickup location.
CREATE INDEX cart_pickup_location_idx
    ON ret.cart (business_id, pickup_location_id)
    WHERE pickup_location_id IS NOT NULL;

-- FK: the carts of a sales channel.
CREATE INDEX cart_sales_channel_idx ON ret.cart (business_id, sales_channel_id);

-- FK: the carts of a customer.
CREATE INDEX cart_customer_idx
    ON ret.cart (business_id, customer_id)
    WHERE customer_id IS NOT NULL;

-- FK: the carts of a register.
CREATE INDEX cart_register_idx
    ON ret.cart (business_id, register_id)
    WHERE register_id IS NOT NULL;

ALTER TABLE ret.cart ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.cart
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.cart TO app_user;
GRANT SELECT ON ret.cart TO app_readonly;

CREATE TRIGGER cart_touch
    BEFORE UPDATE ON ret.cart
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.cart_line (
    business_id        uuid                   NOT NULL,
    cart_line_id       uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    cart_id            uuid                   NOT NULL,
    product_variant_id uuid                   NOT NULL,
    line_number        integer                NOT NULL,
    quantity           system_core.quantity,
    unit_price         system_core.unit_price,
    compare_at_price   system_core.money,
    discount_amount    system_core.money      NOT NULL DEFAULT 0,
    line_total         system_core.money      GENERATED ALWAYS AS (
                                                  quantity * unit_price - discount_amount) STORED,
    fulfilment_choice  text                   NOT NULL,
    is_gift            boolean                NOT NULL DEFAULT false,
    gift_message       text,
    added_at           timestamptz,
    price_seen_at      timestamptz,
    created_at         timestamptz            NOT NULL DEFAULT now(),
    updated_at         timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, cart_line_id),
    UNIQUE (business_id, cart_id, line_number),
    FOREIGN KEY (business_id, cart_id) REFERENCES ret.cart (business_id, cart_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    CONSTRAINT cart_line_fulfilment_choice_known
        CHECK (fulfilment_choice IN ('ship', 'pickup', 'carry_out', 'local_delivery')),
    CONSTRAINT cart_line_quantity_positive CHECK (quantity > 0)
);

COMMENT ON TABLE ret.cart_line IS 'Variant in a cart with the price shown and its hold.';

-- FK: the cart lines of a product variant.
CREATE INDEX cart_line_product_variant_idx ON ret.cart_line (business_id, product_variant_id);

ALTER TABLE ret.cart_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.cart_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.cart_line TO app_user;
GRANT SELECT ON ret.cart_line TO app_readonly;

CREATE TRIGGER cart_line_touch
    BEFORE UPDATE ON ret.cart_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.sales_order (
    business_id       uuid                 NOT NULL,
    sales_order_id    uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    sold_location_id  uuid,
    sold_by_user_id   uuid,
    sales_channel_id  uuid                 NOT NULL,
    customer_id       uuid,
    cart_id           uuid,
    order_number      text                 NOT NULL,
    order_kind        text                 NOT NULL,
    state             text                 NOT NULL DEFAULT 'pending',
    payment_state     text                 NOT NULL DEFAULT 'unpaid',
    placed_at         timestamptz,
    currency          system_core.currency,
    subtotal          system_core.money,
    discount_total    system_core.money    NOT NULL DEFAULT 0,
    shipping_total    system_core.money    NOT NULL DEFAULT 0,
    tax_total         system_core.money    NOT NULL DEFAULT 0,
    grand_total       system_core.money    GENERATED ALWAYS AS (
                                               subtotal - discount_total + shipping_total +
                                               tax_total) STORED,
    paid_total        system_core.money    NOT NULL DEFAULT 0,
    refunded_total    system_core.money    NOT NULL DEFAULT 0,
    cost_total        system_core.money    NOT NULL DEFAULT 0,
    external_order_id text,
    idempotency_key   text                 NOT NULL,
    created_at        timestamptz          NOT NULL DEFAULT now(),
    updated_at        timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, sales_order_id),
    UNIQUE (business_id, order_number),
    UNIQUE (business_id, idempotency_key),
    FOREIGN KEY (business_id, sold_location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, sold_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, sales_channel_id)
        REFERENCES ret.sales_channel (business_id, sales_channel_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES ret.customer (business_id, customer_id),
    FOREIGN KEY (business_id, cart_id) REFERENCES ret.cart (business_id, cart_id),
    CONSTRAINT sales_order_kind_known
        CHECK (order_kind IN ('sale', 'web', 'pickup', 'ship_to_home', 'endless_aisle',
                              'exchange', 'wholesale')),
    CONSTRAINT sales_order_state_known
        CHECK (state IN ('pending', 'confirmed', 'on_hold', 'processing', 'partly_fulfilled',
                         'fulfilled', 'completed', 'cancelled', 'returned')),
    CONSTRAINT sales_order_payment_state_known
        CHECK (payment_state IN ('unpaid', 'authorised', 'partly_paid', 'paid',
                                 'partly_refunded', 'refunded')),
    CONSTRAINT sales_order_refunded_total_precedes_paid_total CHECK (refunded_total <= paid_total)
);

COMMENT ON TABLE ret.sales_order IS
    'A sale on any channel, from till receipt to shipped web order.';

-- FK: the sales orders by their sold location.
CREATE INDEX sales_order_sold_location_idx
    ON ret.sales_order (business_id, sold_location_id)
    WHERE sold_location_id IS NOT NULL;

-- FK: the sales orders by their sold by user.
CREATE INDEX sales_order_sold_by_user_idx
    ON ret.sales_order (business_id, sold_by_user_id)
    WHERE sold_by_user_id IS NOT NULL;

-- FK: the sales orders of a sales channel.
CREATE INDEX sales_order_sales_channel_idx ON ret.sales_order (business_id, sales_channel_id);

-- FK: the sales orders of a customer.
CREATE INDEX sales_order_customer_idx
    ON ret.sales_order (business_id, customer_id)
    WHERE customer_id IS NOT NULL;

-- FK: the sales orders of a cart.
CREATE INDEX sales_order_cart_idx
    ON ret.sales_order (business_id, cart_id)
    WHERE cart_id IS NOT NULL;

ALTER TABLE ret.sales_order ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.sales_order
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.sales_order TO app_user;
GRANT SELECT ON ret.sales_order TO app_readonly;

CREATE TRIGGER sales_order_touch
    BEFORE UPDATE ON ret.sales_order
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.sales_order_line (
    business_id           uuid                   NOT NULL,
    sales_order_line_id   uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    bundle_parent_line_id uuid,
    sales_order_id        uuid                   NOT NULL,
    product_variant_id    uuid                   NOT NULL,
    serial_unit_id        uuid,
    line_number           integer                NOT NULL,
    product_title         text,
    sku_sold              text,
    quantity              system_core.quantity,
    unit_price            system_core.unit_price,
    list_price            system_core.money,
    price_source          text                   NOT NULL,
    discount_amount       system_core.money      NOT NULL DEFAULT 0,
    tax_amount            system_core.money      NOT NULL DEFAULT 0,
    line_total            system_core.money      NOT NULL DEFAULT 0,
    unit_cost             system_core.unit_price,
    fulfilled_qty         system_core.quantity,
    cancelled_qty         system_core.quantity,
    returned_qty          system_core.quantity,
    fulfilment_choice     text                   NOT NULL,
    override_reason       text,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, sales_order_line_id),
    UNIQUE (business_id, sales_order_id, line_number),
    FOREIGN KEY (business_id, bundle_parent_line_id)
        REFERENCES ret.sales_order_line (business_id, sales_order_line_id),
    FOREIGN KEY (business_id, sales_order_id)
        REFERENCES ret.sales_order (business_id, sales_order_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, serial_unit_id)
        REFERENCES ret.serial_unit (business_id, serial_unit_id),
    CONSTRAINT sales_order_line_price_source_known
        CHECK (price_source IN ('base', 'price_book', 'promotion', 'override', 'markdown')),
    CONSTRAINT sales_order_line_fulfilment_choice_known
        CHECK (fulfilment_choice IN ('carry_out', 'ship', 'pickup', 'local_delivery', 'digital')),
    CONSTRAINT sales_order_line_quantity_positive CHECK (quantity > 0),
    CONSTRAINT sales_order_line_fulfilled_qty_precedes_cancelled_qty
        CHECK (fulfilled_qty + cancelled_qty <= quantity),
    CONSTRAINT sales_order_line_returned_qty_precedes_fulfilled_qty
        CHECK (returned_qty <= fulfilled_qty),
    CONSTRAINT sales_order_line_price_source_iff
        CHECK ((override_reason IS NOT NULL) = (price_source = 'override'))
);

COMMENT ON TABLE ret.sales_order_line IS 'Variant sold with its price, cost and progress.';

-- FK: the sales order lines by their bundle parent line.
CREATE INDEX sales_order_line_bundle_parent_line_idx
    ON ret.sales_order_line (business_id, bundle_parent_line_id)
    WHERE bundle_parent_line_id IS NOT NULL;

-- FK: the sales order lines of a product variant.
CREATE INDEX sales_order_line_product_variant_idx
    ON ret.sales_order_line (business_id, product_variant_id);

-- FK: the sales order lines of a serial unit.
CREATE INDEX sales_order_line_serial_unit_idx
    ON ret.sales_order_line (business_id, serial_unit_id)
    WHERE serial_unit_id IS NOT NULL;

ALTER TABLE ret.sales_order_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.sales_order_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.sales_order_line TO app_user;
GRANT SELECT ON ret.sales_order_line TO app_readonly;

CREATE TRIGGER sales_order_line_touch
    BEFORE UPDATE ON ret.sales_order_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.order_address (
    business_id      uuid                    NOT NULL,
    order_address_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    sales_order_id   uuid                    NOT NULL,
    address_role     text                    NOT NULL,
    recipient_name   text,
    company_name     text,
    line_1           text,
    line_2           text,
    city             text,
    region_code      system_core.region,
    postal_code      system_core.postal_code,
    country_code     system_core.country,
    phone            system_core.phone,
    email            system_core.email,
    latitude         system_core.latitude,
    longitude        system_core.longitude,
    delivery_note    text,
    created_at       timestamptz             NOT NULL DEFAULT now(),
    updated_at       timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, order_address_id),
    UNIQUE (business_id, sales_order_id, address_role),
    FOREIGN KEY (business_id, sales_order_id)
        REFERENCES ret.sales_order (business_id, sales_order_id),
    CONSTRAINT order_address_role_known
        CHECK (address_role IN ('shipping', 'billing', 'pickup_contact'))
);

COMMENT ON TABLE ret.order_address IS 'Shipping or billing address as it was at order time.';

ALTER TABLE ret.order_address ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.order_address
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.order_address TO app_user;
GRANT SELECT ON ret.order_address TO app_readonly;

CREATE TRIGGER order_address_touch
    BEFORE UPDATE ON ret.order_address
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.order_tax_line (
    business_id         uuid                   NOT NULL,
    order_tax_line_id   uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    sales_order_id      uuid                   NOT NULL,
    sales_order_line_id uuid,
    tax_rate_id         uuid                   NOT NULL,
    tax_jurisdiction_id uuid                   NOT NULL,
    tax_target          text                   NOT NULL,
    taxable_amount      system_core.money      NOT NULL DEFAULT 0,
    rate_pct            system_core.percentage,
    tax_amount          system_core.money      NOT NULL DEFAULT 0,
    is_inclusive        boolean                NOT NULL DEFAULT false,
    is_exempt           boolean                NOT NULL DEFAULT false,
    collected_by        text                   NOT NULL,
    rounding_amount     system_core.money      NOT NULL DEFAULT 0,
    calculated_at       timestamptz,
    created_at          timestamptz            NOT NULL DEFAULT now(),
    updated_at          timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, order_tax_line_id),
    FOREIGN KEY (business_id, sales_order_id)
        REFERENCES ret.sales_order (business_id, sales_order_id),
    FOREIGN KEY (business_id, sales_order_line_id)
        REFERENCES ret.sales_order_line (business_id, sales_order_line_id),
    FOREIGN KEY (business_id, tax_rate_id) REFERENCES ret.tax_rate (business_id, tax_rate_id),
    FOREIGN KEY (business_id, tax_jurisdiction_id)
        REFERENCES ret.tax_jurisdiction (business_id, tax_jurisdiction_id),
    CONSTRAINT order_tax_line_tax_target_known CHECK (tax_target IN ('line', 'shipping', 'fee')),
    CONSTRAINT order_tax_line_collected_by_known
        CHECK (collected_by IN ('retailer', 'marketplace')),
    CONSTRAINT order_tax_line_tax_target_iff
        CHECK ((sales_order_line_id IS NOT NULL) = (tax_target = 'line')),
    CONSTRAINT order_tax_line_tax_amount_when CHECK (NOT (is_exempt) OR tax_amount = 0),
    CONSTRAINT order_tax_line_taxable_amount_not_negative CHECK (taxable_amount >= 0)
);

COMMENT ON TABLE ret.order_tax_line IS 'Tax of a line or of shipping by jurisdiction and rate.';

-- FK: the order tax lines of a sales order.
CREATE INDEX order_tax_line_sales_order_idx ON ret.order_tax_line (business_id, sales_order_id);

-- FK: the order tax lines of a sales order line.
CREATE INDEX order_tax_line_sales_order_line_idx
    ON ret.order_tax_line (business_id, sales_order_line_id)
    WHERE sales_order_line_id IS NOT NULL;

-- FK: the order tax lines of a tax rate.
CREATE INDEX order_tax_line_tax_rate_idx ON ret.order_tax_line (business_id, tax_rate_id);

-- FK: the order tax lines of a tax jurisdiction.
CREATE INDEX order_tax_line_tax_jurisdiction_idx
    ON ret.order_tax_line (business_id, tax_jurisdiction_id);

ALTER TABLE ret.order_tax_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.order_tax_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.order_tax_line TO app_user;
GRANT SELECT ON ret.order_tax_line TO app_readonly;

CREATE TRIGGER order_tax_line_touch
    BEFORE UPDATE ON ret.order_tax_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.order_status_event (
    business_id           uuid        NOT NULL,
    order_status_event_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    actor_user_id         uuid,
    sales_order_id        uuid        NOT NULL,
    occurred_at           timestamptz NOT NULL DEFAULT now(),
    aspect                text        NOT NULL,
    from_state            text,
    to_state              text,
    actor_kind            text        NOT NULL,
    source_device         text,
    note                  text,
    payload               jsonb,
    created_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, order_status_event_id, occurred_at),
    FOREIGN KEY (business_id, actor_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, sales_order_id)
        REFERENCES ret.sales_order (business_id, sales_order_id),
    CONSTRAINT order_status_event_aspect_known
        CHECK (aspect IN ('order', 'payment', 'fulfilment', 'return')),
    CONSTRAINT order_status_event_actor_kind_known
        CHECK (actor_kind IN ('staff', 'customer', 'system', 'channel')),
    CONSTRAINT order_status_event_from_state_follows_to_state CHECK (from_state <> to_state)
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE ret.order_status_event IS
    'Every change of order, payment or fulfilment state with actor; append only.';

-- FK: the order status events by their actor user.
CREATE INDEX order_status_event_actor_user_idx
    ON ret.order_status_event (business_id, actor_user_id)
    WHERE actor_user_id IS NOT NULL;

-- FK: the order status events of a sales order.
CREATE INDEX order_status_event_sales_order_idx
    ON ret.order_status_event (business_id, sales_order_id);

ALTER TABLE ret.order_status_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.order_status_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON ret.order_status_event TO app_user;
GRANT SELECT ON ret.order_status_event TO app_readonly;

CREATE TRIGGER order_status_event_append_only
    BEFORE UPDATE OR DELETE ON ret.order_status_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('ret.order_status_event');

CREATE TABLE ret.order_status_event_default PARTITION OF ret.order_status_event DEFAULT;
ALTER TABLE ret.order_status_event_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.order_status_event_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('ret.order_status_event', 'month', behind => 3, ahead => 1);


CREATE TABLE ret.fraud_review (
    business_id      uuid          NOT NULL,
    fraud_review_id  uuid          NOT NULL DEFAULT system_core.uuid_v7(),
    reviewer_user_id uuid,
    sales_order_id   uuid          NOT NULL,
    provider         text          NOT NULL,
    risk_score       numeric(9, 4),
    risk_level       text          NOT NULL,
    signals_doc      jsonb,
    avs_result       text,
    cvv_result       text,
    ip_country       text,
    velocity_count   integer       NOT NULL DEFAULT 0,
    scored_at        timestamptz   NOT NULL,
    decision         text          NOT NULL,
    decided_at       timestamptz,
    was_chargeback   boolean       NOT NULL DEFAULT false,
    created_at       timestamptz   NOT NULL DEFAULT now(),
    updated_at       timestamptz   NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, fraud_review_id),
    UNIQUE (business_id, sales_order_id, scored_at),
    FOREIGN KEY (business_id, reviewer_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, sales_order_id)
        REFERENCES ret.sales_order (business_id, sales_order_id),
    CONSTRAINT fraud_review_risk_level_known CHECK (risk_level IN ('low', 'medium', 'high')),
    CONSTRAINT fraud_review_decision_known
        CHECK (decision IN ('pending', 'accept', 'reject', 'cancelled')),
    CONSTRAINT fraud_review_risk_score_bounded CHECK (risk_score BETWEEN 0 AND 100),
    CONSTRAINT fraud_review_decided_at_when CHECK (decided_at IS NOT NULL OR decision = 'pending')
);

COMMENT ON TABLE ret.fraud_review IS 'Risk score of an order and the decision on it.';

-- FK: the fraud reviews by their reviewer user.
CREATE INDEX fraud_review_reviewer_user_idx
    ON ret.fraud_review (business_id, reviewer_user_id)
    WHERE reviewer_user_id IS NOT NULL;

ALTER TABLE ret.fraud_review ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.fraud_review
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.fraud_review TO app_user;
GRANT SELECT ON ret.fraud_review TO app_readonly;

CREATE TRIGGER fraud_review_touch
    BEFORE UPDATE ON ret.fraud_review
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
