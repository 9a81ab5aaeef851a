/*
 * Carts and orders: from a basket to a sale on any channel.
 *
 * A cart with its cart_lines is what a shopper gathers, or a till sale that was parked; what it
 * costs follows from its lines. A sales_order is a sale, from the till receipt to the shipped web
 * order; a sales_order_line is a variant sold, at the price of that moment, with how much of it
 * was handed over, called off and taken back. A bundle is a line of its own at price 0; its
 * components name it as their parent and carry the price. order_address keeps where it goes as it
 * was told then, order_tax_line the tax of each line and of shipping. The amounts of an order are
 * the sums of its lines and taxes (ret.recalculate_orders) and are never typed in: a discount on
 * the whole order is spread over the lines. Once the sale is completed they stand.
 * order_status_event is the trail of every order; fraud_review is what was thought of it before
 * it left.
 */

CREATE TABLE ret.cart (
    business_id        uuid                   NOT NULL,
    cart_id            uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    pickup_location_id uuid,
    sales_channel_id   uuid                   NOT NULL,
    customer_id        uuid,
    register_id        uuid,
    cart_token         text                   NOT NULL,
    cart_kind          text                   NOT NULL DEFAULT 'online',
    email              system_core.email,
    currency           system_core.currency   NOT NULL,
    subtotal           system_core.money      NOT NULL DEFAULT 0,
    discount_total     system_core.money      NOT NULL DEFAULT 0,
    shipping_total     system_core.money      NOT NULL DEFAULT 0,
    tax_total          system_core.money      NOT NULL DEFAULT 0,
    grand_total        system_core.money      GENERATED ALWAYS AS (
                                                subtotal - discount_total + shipping_total +
                                                tax_total) STORED,
    item_count         integer                NOT NULL DEFAULT 0,
    coupon_codes_doc   system_core.json_array,
    last_activity_at   timestamptz            NOT NULL DEFAULT now(),
    checkout_step      text                   NOT NULL DEFAULT 'cart',
    state              text                   NOT NULL DEFAULT 'active',
    abandoned_at       timestamptz,
    created_at         timestamptz            NOT NULL DEFAULT now(),
    updated_at         timestamptz            NOT NULL DEFAULT now(),
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
    CONSTRAINT cart_abandoned_has_time CHECK ((abandoned_at IS NOT NULL) = (state = 'abandoned')),
    CONSTRAINT cart_amounts_not_negative
        CHECK (subtotal >= 0 AND discount_total >= 0 AND shipping_total >= 0 AND tax_total >= 0),
    CONSTRAINT cart_discount_within_subtotal CHECK (discount_total <= subtotal),
    CONSTRAINT cart_items_not_negative CHECK (item_count >= 0),
    CONSTRAINT cart_parked_at_a_register
        CHECK (cart_kind <> 'parked_sale' OR register_id IS NOT NULL)
);

COMMENT ON TABLE ret.cart IS
    'A basket in progress on any channel, also a sale that was parked at a register.';
COMMENT ON COLUMN ret.cart.cart_token IS 'What the shopper''s browser or app knows the cart by.';
COMMENT ON COLUMN ret.cart.item_count IS 'Pieces in the cart; a weighed good counts once.';
COMMENT ON COLUMN ret.cart.coupon_codes_doc IS
    'Codes that were entered: [{"code", "accepted", "reason"}].';
COMMENT ON COLUMN ret.cart.pickup_location_id IS 'Where the shopper wants to fetch it.';
COMMENT ON COLUMN ret.cart.tax_total IS 'An estimate; the order has the tax that counts.';

-- The carts that may still become orders, those that were left longest first.
CREATE INDEX cart_active_idx
    ON ret.cart (business_id, last_activity_at)
    WHERE state = 'active';

-- FK: what will be fetched at a location.
CREATE INDEX cart_pickup_location_idx
    ON ret.cart (business_id, pickup_location_id)
    WHERE pickup_location_id IS NOT NULL;

-- FK: the carts of a channel.
CREATE INDEX cart_sales_channel_idx ON ret.cart (business_id, sales_channel_id);

-- FK: the carts of a customer, the last used first.
CREATE INDEX cart_customer_idx
    ON ret.cart (business_id, customer_id, last_activity_at DESC)
    WHERE customer_id IS NOT NULL;

-- FK: the sales parked at a register.
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

CREATE TRIGGER cart_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.cart
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["active"],
        "transitions": {
            "active":    ["converted", "abandoned", "merged", "expired"],
            "abandoned": ["active", "converted", "merged", "expired"],
            "expired":   [],
            "merged":    [],
            "converted": []
        }}');


CREATE TABLE ret.cart_line (
    business_id        uuid                   NOT NULL,
    cart_line_id       uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    cart_id            uuid                   NOT NULL,
    product_variant_id uuid                   NOT NULL,
    line_number        integer                NOT NULL,
    quantity           system_core.quantity   NOT NULL DEFAULT 1,
    unit_price         system_core.unit_price NOT NULL,
    compare_at_price   system_core.money,
    discount_amount    system_core.money      NOT NULL DEFAULT 0,
    line_total         system_core.money      GENERATED ALWAYS AS (
                                            round(quantity * unit_price, 2) - discount_amount)
                                                  STORED,
    fulfilment_choice  text                   NOT NULL DEFAULT 'ship',
    is_gift            boolean                NOT NULL DEFAULT false,
    gift_message       text,
    added_at           timestamptz            NOT NULL DEFAULT now(),
    price_seen_at      timestamptz            NOT NULL DEFAULT now(),
    created_at         timestamptz            NOT NULL DEFAULT now(),
    updated_at         timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, cart_line_id),
    UNIQUE (business_id, cart_id, line_number),
    FOREIGN KEY (business_id, cart_id) REFERENCES ret.cart (business_id, cart_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    CONSTRAINT cart_line_fulfilment_choice_known
        CHECK (fulfilment_choice IN ('ship', 'pickup', 'carry_out', 'local_delivery')),
    CONSTRAINT cart_line_quantity_positive CHECK (quantity > 0),
    CONSTRAINT cart_line_price_not_negative CHECK (unit_price >= 0),
    CONSTRAINT cart_line_discount_within_price
        CHECK (discount_amount BETWEEN 0 AND round(quantity * unit_price, 2)),
    CONSTRAINT cart_line_compares_with_more CHECK (compare_at_price >= unit_price),
    CONSTRAINT cart_line_message_with_gift CHECK (gift_message IS NULL OR is_gift)
);

COMMENT ON TABLE ret.cart_line IS
    'A variant in a cart at the price that was shown; stock_reservation may hold it.';
COMMENT ON COLUMN ret.cart_line.price_seen_at IS 'When the shopper was last shown this price.';
COMMENT ON COLUMN ret.cart_line.compare_at_price IS 'The struck-through price beside it.';

-- FK: how wanted a variant is.
CREATE INDEX cart_line_product_variant_idx ON ret.cart_line (business_id, product_variant_id);

ALTER TABLE ret.cart_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.cart_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.cart_line TO app_user;
GRANT SELECT ON ret.cart_line TO app_readonly;

CREATE TRIGGER cart_line_touch
    BEFORE UPDATE ON ret.cart_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION ret.refigure_carts() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active('ret.cart') THEN
        RETURN NULL;
    END IF;
    UPDATE ret.cart AS c
    SET subtotal = n.subtotal, discount_total = n.discounts, item_count = n.items,
        last_activity_at = greatest(c.last_activity_at, now())
    FROM (
        SELECT x.business_id, x.cart_id, coalesce(sum(round(l.quantity * l.unit_price, 2)), 0)
                   AS subtotal,
               coalesce(sum(l.discount_amount), 0) AS discounts,
               coalesce(sum(CASE WHEN l.quantity <> trunc(l.quantity) THEN 1
                                 ELSE l.quantity END), 0) AS items
        FROM (SELECT DISTINCT d.business_id, d.cart_id FROM changed AS d) AS x
        LEFT JOIN ret.cart_line AS l
            ON l.business_id = x.business_id AND l.cart_id = x.cart_id
        GROUP BY x.business_id, x.cart_id
    ) AS n
    WHERE c.business_id = n.business_id AND c.cart_id = n.cart_id
      AND (c.subtotal, c.discount_total, c.item_count) <> (n.subtotal, n.discounts, n.items);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.refigure_carts() IS
    'A cart costs what its lines cost; imported carts bring their figures.';

CREATE TRIGGER cart_line_refigure_on_insert
    AFTER INSERT ON ret.cart_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.refigure_carts();

CREATE TRIGGER cart_line_refigure_on_update
    AFTER UPDATE ON ret.cart_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.refigure_carts();

CREATE TRIGGER cart_line_refigure_on_delete
    AFTER DELETE ON ret.cart_line
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.refigure_carts();

CREATE FUNCTION ret.require_open_cart() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    found_state text;
BEGIN
    IF row_security_active(TG_RELID) THEN
        SELECT c.state INTO found_state
        FROM ret.cart AS c
        WHERE c.business_id = NEW.business_id AND c.cart_id = NEW.cart_id
        FOR SHARE;
        IF found_state NOT IN ('active', 'abandoned') THEN
            RAISE EXCEPTION 'the cart is %, nothing is put into it', found_state
                USING ERRCODE = 'check_violation', HINT = 'Begin another cart.';
        END IF;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.require_open_cart() IS 'What became an order is changed there.';

CREATE TRIGGER cart_line_in_open_cart
    BEFORE INSERT OR UPDATE OF product_variant_id, quantity, unit_price, discount_amount
    ON ret.cart_line
    FOR EACH ROW EXECUTE FUNCTION ret.require_open_cart();


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
    placed_at         timestamptz          NOT NULL DEFAULT now(),
    currency          system_core.currency NOT NULL,
    subtotal          system_core.money    NOT NULL DEFAULT 0,
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
    CONSTRAINT sales_order_amounts_not_negative
        CHECK (subtotal >= 0 AND discount_total >= 0 AND shipping_total >= 0 AND tax_total >= 0
               AND paid_total >= 0 AND refunded_total >= 0 AND cost_total >= 0),
    CONSTRAINT sales_order_discount_within_subtotal CHECK (discount_total <= subtotal),
    CONSTRAINT sales_order_refunds_what_was_paid CHECK (refunded_total <= paid_total),
    CONSTRAINT sales_order_unpaid_took_nothing
        CHECK (payment_state NOT IN ('unpaid', 'authorised') OR paid_total = 0),
    CONSTRAINT sales_order_refunded_gave_all_back
        CHECK (payment_state <> 'refunded' OR refunded_total = paid_total),
    CONSTRAINT sales_order_till_sale_has_place
        CHECK (order_kind <> 'sale' OR sold_location_id IS NOT NULL)
);

COMMENT ON TABLE ret.sales_order IS
    'A sale on any channel, from the till receipt to the shipped web order.';
COMMENT ON COLUMN ret.sales_order.sold_location_id IS
    'The store that sold it or where it is fetched; none where it is shipped to a web shopper.';
COMMENT ON COLUMN ret.sales_order.subtotal IS 'Its lines at their price, before discounts.';
COMMENT ON COLUMN ret.sales_order.tax_total IS
    'Tax on top of the prices; tax that is in the prices is in the subtotal.';
COMMENT ON COLUMN ret.sales_order.paid_total IS 'Captured, before refunds.';
COMMENT ON COLUMN ret.sales_order.external_order_id IS 'What the marketplace calls it.';
COMMENT ON COLUMN ret.sales_order.idempotency_key IS
    'Of the client that sent it; sent again, it is the same order.';

-- One row an order of a channel: an import that is repeated changes nothing.
CREATE UNIQUE INDEX sales_order_external_idx
    ON ret.sales_order (business_id, sales_channel_id, external_order_id)
    WHERE external_order_id IS NOT NULL;

-- What is still to be done, the oldest first.
CREATE INDEX sales_order_open_idx
    ON ret.sales_order (business_id, placed_at)
    WHERE state IN ('pending', 'confirmed', 'on_hold', 'processing', 'partly_fulfilled');

-- The sales of a period, for figures by day.
CREATE INDEX sales_order_placed_idx ON ret.sales_order (business_id, placed_at);

-- FK: what a store sold, the newest first.
CREATE INDEX sales_order_sold_location_idx
    ON ret.sales_order (business_id, sold_location_id, placed_at DESC)
    WHERE sold_location_id IS NOT NULL;

-- FK: what somebody sold.
CREATE INDEX sales_order_sold_by_user_idx
    ON ret.sales_order (business_id, sold_by_user_id)
    WHERE sold_by_user_id IS NOT NULL;

-- FK: the orders of a channel, the newest first.
CREATE INDEX sales_order_sales_channel_idx
    ON ret.sales_order (business_id, sales_channel_id, placed_at DESC);

-- FK: the orders of a customer, the newest first.
CREATE INDEX sales_order_customer_idx
    ON ret.sales_order (business_id, customer_id, placed_at DESC)
    WHERE customer_id IS NOT NULL;

-- FK: what became of a cart.
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

CREATE TRIGGER sales_order_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.sales_order
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["pending", "confirmed"],
        "transitions": {
            "pending":          ["confirmed", "on_hold", "completed", "cancelled"],
            "confirmed":        ["on_hold", "processing", "partly_fulfilled", "fulfilled",
                                 "cancelled"],
            "on_hold":          ["confirmed", "processing", "cancelled"],
            "processing":       ["on_hold", "partly_fulfilled", "fulfilled", "cancelled"],
            "partly_fulfilled": ["on_hold", "processing", "fulfilled"],
            "fulfilled":        ["completed", "returned"],
            "completed":        ["returned"],
            "cancelled":        [],
            "returned":         []
        }}');

CREATE TRIGGER sales_order_payment_state_machine
    BEFORE INSERT OR UPDATE OF payment_state ON ret.sales_order
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('payment_state', '{
        "initial": ["unpaid"],
        "transitions": {
            "unpaid":          ["authorised", "partly_paid", "paid"],
            "authorised":      ["unpaid", "partly_paid", "paid"],
            "partly_paid":     ["unpaid", "paid", "partly_refunded", "refunded"],
            "paid":            ["partly_paid", "partly_refunded", "refunded"],
            "partly_refunded": ["refunded"],
            "refunded":        []
        }}');

CREATE FUNCTION ret.freeze_order() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'order % is %, its amounts stand', OLD.order_number, OLD.state
            USING ERRCODE = 'check_violation', HINT = 'Take goods back, or sell in another order.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.freeze_order() IS 'What a customer was charged is not changed afterwards.';

CREATE TRIGGER sales_order_frozen
    BEFORE UPDATE ON ret.sales_order
    FOR EACH ROW WHEN (OLD.state IN ('completed', 'returned', 'cancelled')
        AND (NEW.subtotal, NEW.discount_total, NEW.shipping_total, NEW.tax_total, NEW.currency)
            IS DISTINCT FROM (OLD.subtotal, OLD.discount_total, OLD.shipping_total, OLD.tax_total,
                              OLD.currency))
    EXECUTE FUNCTION ret.freeze_order();


CREATE TABLE ret.sales_order_line (
    business_id           uuid                   NOT NULL,
    sales_order_line_id   uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    bundle_parent_line_id uuid,
    sales_order_id        uuid                   NOT NULL,
    product_variant_id    uuid                   NOT NULL,
    serial_unit_id        uuid,
    line_number           integer                NOT NULL,
    product_title         text                   NOT NULL,
    sku_sold              text                   NOT NULL,
    quantity              system_core.quantity   NOT NULL,
    unit_price            system_core.unit_price NOT NULL,
    list_price            system_core.money,
    price_source          text                   NOT NULL DEFAULT 'base',
    discount_amount       system_core.money      NOT NULL DEFAULT 0,
    tax_amount            system_core.money      NOT NULL DEFAULT 0,
    line_total            system_core.money      GENERATED ALWAYS AS (
                                            round(quantity * unit_price, 2) - discount_amount)
                                                     STORED,
    unit_cost             system_core.unit_price NOT NULL DEFAULT 0,
    fulfilled_qty         system_core.quantity   NOT NULL DEFAULT 0,
    cancelled_qty         system_core.quantity   NOT NULL DEFAULT 0,
    returned_qty          system_core.quantity   NOT NULL DEFAULT 0,
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
    CONSTRAINT sales_order_line_price_not_negative CHECK (unit_price >= 0 AND unit_cost >= 0),
    CONSTRAINT sales_order_line_discount_within_price
        CHECK (discount_amount BETWEEN 0 AND round(quantity * unit_price, 2)),
    CONSTRAINT sales_order_line_progress_not_negative
        CHECK (fulfilled_qty >= 0 AND cancelled_qty >= 0 AND returned_qty >= 0),
    CONSTRAINT sales_order_line_fulfils_what_was_sold
        CHECK (fulfilled_qty + cancelled_qty <= quantity),
    CONSTRAINT sales_order_line_returns_what_was_fulfilled
        CHECK (returned_qty <= fulfilled_qty),
    CONSTRAINT sales_order_line_override_has_reason
        CHECK ((override_reason IS NOT NULL) = (price_source = 'override')),
    CONSTRAINT sales_order_line_serial_is_one_piece
        CHECK (serial_unit_id IS NULL OR quantity = 1),
    CONSTRAINT sales_order_line_not_its_own_bundle
        CHECK (bundle_parent_line_id <> sales_order_line_id)
);

COMMENT ON TABLE ret.sales_order_line IS
    'A variant sold: price and cost of that moment, and how much of it went out and came back.';
COMMENT ON COLUMN ret.sales_order_line.bundle_parent_line_id IS
    'The bundle that it was sold with, a line at price 0; the components carry the price.';
COMMENT ON COLUMN ret.sales_order_line.list_price IS 'Of a piece without any reduction.';
COMMENT ON COLUMN ret.sales_order_line.discount_amount IS
    'Of the whole line, with its share of discounts on the order.';
COMMENT ON COLUMN ret.sales_order_line.tax_amount IS 'The sum of its tax lines on top.';
COMMENT ON COLUMN ret.sales_order_line.line_total IS 'After discounts, before tax on top.';
COMMENT ON COLUMN ret.sales_order_line.unit_cost IS 'What a piece cost when it was sold.';

-- FK: the components of a bundle that was sold.
CREATE INDEX sales_order_line_bundle_parent_line_idx
    ON ret.sales_order_line (business_id, bundle_parent_line_id)
    WHERE bundle_parent_line_id IS NOT NULL;

-- FK: the sales of a variant.
CREATE INDEX sales_order_line_product_variant_idx
    ON ret.sales_order_line (business_id, product_variant_id);

-- FK: where a serial number went.
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
    recipient_name   system_core.person_name NOT NULL,
    company_name     text,
    line_1           text                    NOT NULL,
    line_2           text,
    city             text                    NOT NULL,
    region_code      system_core.region,
    postal_code      system_core.postal_code,
    country_code     system_core.country     NOT NULL,
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
        CHECK (address_role IN ('shipping', 'billing', 'pickup_contact')),
    CONSTRAINT order_address_coordinates_in_pairs
        CHECK ((latitude IS NULL) = (longitude IS NULL))
);

COMMENT ON TABLE ret.order_address IS
    'Where an order goes, who pays it or who fetches it, as it was told when it was placed.';
COMMENT ON COLUMN ret.order_address.delivery_note IS 'For the carrier: gate code, back door.';

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
    rate_pct            system_core.percentage NOT NULL,
    tax_amount          system_core.money      NOT NULL DEFAULT 0,
    is_inclusive        boolean                NOT NULL DEFAULT false,
    is_exempt           boolean                NOT NULL DEFAULT false,
    collected_by        text                   NOT NULL DEFAULT 'retailer',
    rounding_amount     system_core.money      NOT NULL DEFAULT 0,
    calculated_at       timestamptz            NOT NULL DEFAULT now(),
    created_at          timestamptz            NOT NULL DEFAULT now(),
    updated_at          timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, order_tax_line_id),
    UNIQUE NULLS NOT DISTINCT (business_id, sales_order_id, sales_order_line_id, tax_target,
            tax_rate_id),
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
    CONSTRAINT order_tax_line_line_when_of_a_line
        CHECK ((sales_order_line_id IS NOT NULL) = (tax_target = 'line')),
    CONSTRAINT order_tax_line_exempt_pays_none CHECK (NOT is_exempt OR tax_amount = 0),
    CONSTRAINT order_tax_line_amounts_not_negative
        CHECK (taxable_amount >= 0 AND tax_amount >= 0 AND rate_pct >= 0)
);

COMMENT ON TABLE ret.order_tax_line IS
    'Tax of a line or of shipping by jurisdiction and rate, with who remits it.';
COMMENT ON COLUMN ret.order_tax_line.rate_pct IS
    'As it was then; of a tax per unit, hundredths of the currency for each unit.';
COMMENT ON COLUMN ret.order_tax_line.collected_by IS
    'The marketplace remits the tax of its orders itself; it is in no filing of the retailer.';
COMMENT ON COLUMN ret.order_tax_line.rounding_amount IS
    'Cents that were moved here so that the order''s tax adds up.';

-- FK: the taxes of a line.
CREATE INDEX order_tax_line_sales_order_line_idx
    ON ret.order_tax_line (business_id, sales_order_line_id)
    WHERE sales_order_line_id IS NOT NULL;

-- FK: what a rate brought in.
CREATE INDEX order_tax_line_tax_rate_idx ON ret.order_tax_line (business_id, tax_rate_id);

-- FK: what is to be filed in a jurisdiction, by time.
CREATE INDEX order_tax_line_tax_jurisdiction_idx
    ON ret.order_tax_line (business_id, tax_jurisdiction_id, calculated_at);

ALTER TABLE ret.order_tax_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.order_tax_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.order_tax_line TO app_user;
GRANT SELECT ON ret.order_tax_line TO app_readonly;

CREATE TRIGGER order_tax_line_touch
    BEFORE UPDATE ON ret.order_tax_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.order_status_event (
    business_id           uuid                    NOT NULL,
    order_status_event_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    actor_user_id         uuid,
    sales_order_id        uuid                    NOT NULL,
    occurred_at           timestamptz             NOT NULL DEFAULT now(),
    aspect                text                    NOT NULL,
    from_state            text,
    to_state              text                    NOT NULL,
    actor_kind            text                    NOT NULL DEFAULT 'system',
    source_device         text,
    note                  text,
    payload               system_core.json_object,
    created_at            timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, order_status_event_id, occurred_at),
    FOREIGN KEY (business_id, actor_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, sales_order_id)
        REFERENCES ret.sales_order (business_id, sales_order_id),
    CONSTRAINT order_status_event_aspect_known
        CHECK (aspect IN ('order', 'payment', 'fulfilment', 'return')),
    CONSTRAINT order_status_event_actor_kind_known
        CHECK (actor_kind IN ('staff', 'customer', 'system', 'channel')),
    CONSTRAINT order_status_event_changes_something CHECK (from_state <> to_state)
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE ret.order_status_event IS
    'Every change of order, payment, fulfilment or return state with who made it; append only.';
COMMENT ON COLUMN ret.order_status_event.from_state IS 'NULL for the first state.';
COMMENT ON COLUMN ret.order_status_event.payload IS
    'Details of the change, such as the fulfilment that moved.';

-- FK: what somebody did.
CREATE INDEX order_status_event_actor_user_idx
    ON ret.order_status_event (business_id, actor_user_id)
    WHERE actor_user_id IS NOT NULL;

-- FK: how an order went.
CREATE INDEX order_status_event_sales_order_idx
    ON ret.order_status_event (business_id, sales_order_id, occurred_at);

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


CREATE FUNCTION ret.note_order_state() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    actor CONSTANT uuid := nullif(current_setting('app.user_account_id', true), '');
BEGIN
    IF NOT row_security_active('ret.sales_order') THEN
        RETURN NULL;
    ELSIF TG_OP = 'INSERT' THEN
        INSERT INTO ret.order_status_event
            (business_id, sales_order_id, occurred_at, aspect, to_state, actor_kind,
             actor_user_id)
        SELECT o.business_id, o.sales_order_id, clock_timestamp(), 'order', o.state,
               CASE WHEN coalesce(actor, o.sold_by_user_id) IS NOT NULL THEN 'staff'
                    WHEN o.external_order_id IS NOT NULL THEN 'channel'
                    WHEN o.customer_id IS NOT NULL THEN 'customer'
                    ELSE 'system' END, coalesce(actor, o.sold_by_user_id)
        FROM changed AS o;
    ELSE
        INSERT INTO ret.order_status_event
            (business_id, sales_order_id, occurred_at, aspect, from_state, to_state, actor_kind,
             actor_user_id)
        SELECT o.business_id, o.sales_order_id, clock_timestamp(), a.aspect, a.from_state,
               a.to_state, CASE WHEN actor IS NULL THEN 'system' ELSE 'staff' END, actor
        FROM changed AS o
        JOIN former AS f
            ON f.business_id = o.business_id AND f.sales_order_id = o.sales_order_id
        CROSS JOIN LATERAL (VALUES ('order', f.state, o.state),
                                   ('payment', f.payment_state, o.payment_state))
            AS a (aspect, from_state, to_state)
        WHERE a.from_state <> a.to_state;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.note_order_state() IS
    'Every change of an order''s states is written down with who is signed in; imported history
     brings its own trail.';

CREATE TRIGGER sales_order_note_first_state
    AFTER INSERT ON ret.sales_order
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.note_order_state();

CREATE TRIGGER sales_order_note_state
    AFTER UPDATE ON ret.sales_order
    REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.note_order_state();


CREATE TABLE ret.fraud_review (
    business_id      uuid                   NOT NULL,
    fraud_review_id  uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    reviewer_user_id uuid,
    sales_order_id   uuid                   NOT NULL,
    provider         text                   NOT NULL,
    risk_score       numeric(9, 4)          NOT NULL,
    risk_level       text                   NOT NULL,
    signals_doc      system_core.json_array,
    avs_result       text,
    cvv_result       text,
    ip_country       system_core.country,
    velocity_count   integer                NOT NULL DEFAULT 0,
    scored_at        timestamptz            NOT NULL DEFAULT now(),
    decision         text                   NOT NULL DEFAULT 'pending',
    decided_at       timestamptz,
    was_chargeback   boolean                NOT NULL DEFAULT false,
    created_at       timestamptz            NOT NULL DEFAULT now(),
    updated_at       timestamptz            NOT NULL DEFAULT now(),
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
    CONSTRAINT fraud_review_decided_has_time
        CHECK ((decided_at IS NOT NULL) = (decision <> 'pending')),
    CONSTRAINT fraud_review_decided_after_scoring CHECK (decided_at >= scored_at),
    CONSTRAINT fraud_review_velocity_not_negative CHECK (velocity_count >= 0)
);

COMMENT ON TABLE ret.fraud_review IS
    'How risky an order looked before it left, and what was decided about it.';
COMMENT ON COLUMN ret.fraud_review.signals_doc IS 'What spoke for it: [{"signal", "weight"}].';
COMMENT ON COLUMN ret.fraud_review.velocity_count IS
    'Orders of this shopper, card or address within a day.';
COMMENT ON COLUMN ret.fraud_review.was_chargeback IS
    'The cardholder disputed it later: what the scores are measured by.';

-- What waits for a decision, the longest first.
CREATE INDEX fraud_review_pending_idx
    ON ret.fraud_review (business_id, scored_at)
    WHERE decision = 'pending';

-- FK: what somebody decided.
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

CREATE TRIGGER fraud_review_state_machine
    BEFORE INSERT OR UPDATE OF decision ON ret.fraud_review
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('decision', '{
        "initial": ["pending", "accept"],
        "transitions": {
            "pending":   ["accept", "reject", "cancelled"],
            "accept":    [],
            "reject":    [],
            "cancelled": []
        }}');

CREATE FUNCTION ret.hold_risky_order() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    latest text;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    SELECT r.decision INTO latest
    FROM ret.fraud_review AS r
    WHERE r.business_id = NEW.business_id AND r.sales_order_id = NEW.sales_order_id
      AND r.decision <> 'cancelled'
    ORDER BY r.scored_at DESC
    LIMIT 1;
    IF latest IN ('pending', 'reject') THEN
        RAISE EXCEPTION 'order % does not leave: its fraud review says %', NEW.order_number, latest
            USING ERRCODE = 'check_violation', HINT = 'Decide the review first, or cancel.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.hold_risky_order() IS
    'Nothing is picked or handed over while a review is open or where it was rejected.';

CREATE TRIGGER sales_order_reviewed
    BEFORE UPDATE OF state ON ret.sales_order
    FOR EACH ROW WHEN (NEW.state <> OLD.state
        AND NEW.state IN ('processing', 'partly_fulfilled', 'fulfilled', 'completed'))
    EXECUTE FUNCTION ret.hold_risky_order();

CREATE FUNCTION ret.require_everything_handed_over() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) AND EXISTS (
        SELECT FROM ret.sales_order_line AS l
        WHERE l.business_id = NEW.business_id AND l.sales_order_id = NEW.sales_order_id
          AND l.fulfilled_qty + l.cancelled_qty < l.quantity
          AND NOT EXISTS (SELECT FROM ret.sales_order_line AS c
                          WHERE c.business_id = l.business_id
                            AND c.bundle_parent_line_id = l.sales_order_line_id)
    ) THEN
        RAISE EXCEPTION 'order % is not %: something is still to be handed over',
                        NEW.order_number, NEW.state
            USING ERRCODE = 'check_violation', HINT = 'Fulfil or cancel its lines first.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.require_everything_handed_over() IS
    'An order is done when each of its lines was handed over or called off.';

CREATE TRIGGER sales_order_handed_over
    BEFORE UPDATE OF state ON ret.sales_order
    FOR EACH ROW WHEN (NEW.state <> OLD.state AND NEW.state IN ('fulfilled', 'completed'))
    EXECUTE FUNCTION ret.require_everything_handed_over();


CREATE FUNCTION ret.order_figures(orders uuid[])
    RETURNS TABLE (
        sales_order_id uuid,
        subtotal       numeric,
        discounts      numeric,
        taxes          numeric,
        costs          numeric,
        wanted         numeric,
        fulfilled      numeric,
        cancelled      numeric,
        returned       numeric
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT o.sales_order_id, coalesce(l.subtotal, 0), coalesce(l.discounts, 0),
           coalesce(t.taxes, 0), coalesce(l.costs, 0), coalesce(l.wanted, 0),
           coalesce(l.fulfilled, 0), coalesce(l.cancelled, 0), coalesce(l.returned, 0)
    FROM ret.sales_order AS o
    LEFT JOIN LATERAL (
        -- A bundle is handed over piece by piece: its components count, it does not.
        SELECT sum(round(x.quantity * x.unit_price, 2)) AS subtotal,
               sum(x.discount_amount) AS discounts,
               sum(round(x.quantity * x.unit_cost, 2)) AS costs,
               sum(x.quantity) FILTER (WHERE NOT x.is_bundle) AS wanted,
               sum(x.fulfilled_qty) FILTER (WHERE NOT x.is_bundle) AS fulfilled,
               sum(x.cancelled_qty) FILTER (WHERE NOT x.is_bundle) AS cancelled,
               sum(x.returned_qty) FILTER (WHERE NOT x.is_bundle) AS returned
        FROM (
            SELECT i.*, EXISTS (SELECT FROM ret.sales_order_line AS c
                                WHERE c.business_id = i.business_id
                                  AND c.bundle_parent_line_id = i.sales_order_line_id)
                       AS is_bundle
            FROM ret.sales_order_line AS i
            WHERE i.business_id = o.business_id AND i.sales_order_id = o.sales_order_id
        ) AS x
    ) AS l ON true
    LEFT JOIN LATERAL (
        SELECT sum(x.tax_amount) AS taxes
        FROM ret.order_tax_line AS x
        WHERE x.business_id = o.business_id AND x.sales_order_id = o.sales_order_id
          AND NOT x.is_inclusive
    ) AS t ON true
    WHERE o.business_id = tenant_mgmt.current_business_id() AND o.sales_order_id = ANY (orders);
END;
COMMENT ON FUNCTION ret.order_figures(uuid[]) IS
    'What orders cost and how far they are, from their lines and taxes.';


CREATE FUNCTION ret.recalculate_orders(orders uuid[]) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
BEGIN
    PERFORM FROM ret.sales_order AS o
    WHERE o.business_id = tenant AND o.sales_order_id = ANY (orders)
    ORDER BY o.sales_order_id
    FOR NO KEY UPDATE;
    UPDATE ret.sales_order_line AS l
    SET tax_amount = n.tax_amount
    FROM (
        SELECT x.sales_order_line_id, coalesce(sum(t.tax_amount), 0) AS tax_amount
        FROM ret.sales_order_line AS x
        LEFT JOIN ret.order_tax_line AS t
            ON t.business_id = x.business_id AND t.sales_order_line_id = x.sales_order_line_id
           AND NOT t.is_inclusive
        WHERE x.business_id = tenant AND x.sales_order_id = ANY (orders)
        GROUP BY x.sales_order_line_id
    ) AS n
    WHERE l.business_id = tenant AND l.sales_order_line_id = n.sales_order_line_id
      AND l.tax_amount <> n.tax_amount;
    UPDATE ret.sales_order AS o
    SET subtotal = n.subtotal, discount_total = n.discounts, tax_total = n.taxes,
        cost_total = n.costs, state = n.state
    FROM (
        SELECT f.*,
               CASE WHEN f.wanted = 0 THEN x.state
                    WHEN x.state IN ('confirmed', 'on_hold', 'processing')
                         AND f.cancelled = f.wanted
                    THEN 'cancelled'
                    WHEN x.state IN ('confirmed', 'processing', 'partly_fulfilled')
                         AND f.fulfilled + f.cancelled = f.wanted
                    THEN 'fulfilled'
                    WHEN x.state IN ('confirmed', 'processing') AND f.fulfilled > 0
                    THEN 'partly_fulfilled'
                    WHEN x.state IN ('fulfilled', 'completed')
                         AND f.fulfilled > 0 AND f.returned = f.fulfilled
                    THEN 'returned'
                    ELSE x.state END AS state
        FROM ret.order_figures(orders) AS f
        JOIN ret.sales_order AS x
            ON x.business_id = tenant AND x.sales_order_id = f.sales_order_id
    ) AS n
    WHERE o.business_id = tenant AND o.sales_order_id = n.sales_order_id
      AND (o.subtotal, o.discount_total, o.tax_total, o.cost_total, o.state)
          <> (n.subtotal, n.discounts, n.taxes, n.costs, n.state);
END
$$;
COMMENT ON FUNCTION ret.recalculate_orders(uuid[]) IS
    'Writes what orders cost anew from their lines and taxes, and their state with it: partly
     fulfilled, fulfilled, cancelled, returned.';


CREATE FUNCTION ret.refigure_orders() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    orders uuid[];
BEGIN
    IF NOT row_security_active('ret.sales_order') THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(DISTINCT x.sales_order_id) INTO orders
    FROM changed AS x;
    IF orders IS NOT NULL THEN
        PERFORM ret.recalculate_orders(orders);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.refigure_orders() IS
    'An order is figured anew once per statement that changes its lines or taxes; imported orders
     bring their figures.';

CREATE TRIGGER sales_order_line_refigure_on_insert
    AFTER INSERT ON ret.sales_order_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.refigure_orders();

CREATE TRIGGER sales_order_line_refigure_on_update
    AFTER UPDATE ON ret.sales_order_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.refigure_orders();

CREATE TRIGGER sales_order_line_refigure_on_delete
    AFTER DELETE ON ret.sales_order_line
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.refigure_orders();

CREATE TRIGGER order_tax_line_refigure_on_insert
    AFTER INSERT ON ret.order_tax_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.refigure_orders();

CREATE TRIGGER order_tax_line_refigure_on_update
    AFTER UPDATE ON ret.order_tax_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.refigure_orders();

CREATE TRIGGER order_tax_line_refigure_on_delete
    AFTER DELETE ON ret.order_tax_line
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.refigure_orders();


CREATE FUNCTION ret.order_differences()
    RETURNS TABLE (sales_order_id uuid, figure text, said numeric, found numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT o.sales_order_id, v.figure, v.said, v.found
    FROM ret.sales_order AS o
    JOIN ret.order_figures(ARRAY(SELECT x.sales_order_id
                                 FROM ret.sales_order AS x
                                 WHERE x.business_id = tenant_mgmt.current_business_id())) AS n
        ON n.sales_order_id = o.sales_order_id
    CROSS JOIN LATERAL (VALUES ('subtotal', o.subtotal::numeric, n.subtotal),
                               ('discount_total', o.discount_total, n.discounts),
                               ('tax_total', o.tax_total, n.taxes),
                               ('cost_total', o.cost_total, n.costs)) AS v (figure, said, found)
    WHERE o.business_id = tenant_mgmt.current_business_id() AND v.said <> v.found;
END;
COMMENT ON FUNCTION ret.order_differences() IS
    'Orders with a figure that is not the sum of its lines and taxes; there should be none.';


CREATE FUNCTION ret.taxes_of_orders(orders uuid[])
    RETURNS TABLE (
        sales_order_id      uuid,
        sales_order_line_id uuid,
        tax_rate_id         uuid,
        tax_jurisdiction_id uuid,
        tax_target          text,
        taxable_amount      numeric,
        rate_pct            numeric,
        tax_amount          numeric,
        is_inclusive        boolean,
        is_exempt           boolean,
        collected_by        text
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH sale AS (
        SELECT o.business_id, o.sales_order_id, o.customer_id, o.placed_at::date AS placed_on,
               o.shipping_total, c.remits_tax, w.country_code AS origin_country,
               w.region_code AS origin_region, w.postal_code AS origin_postal,
               a.country_code AS goal_country, a.region_code AS goal_region,
               a.postal_code AS goal_postal
        FROM ret.sales_order AS o
        JOIN ret.sales_channel AS c
            ON c.business_id = o.business_id AND c.sales_channel_id = o.sales_channel_id
        LEFT JOIN ret.location AS w
            ON w.business_id = o.business_id AND w.location_id = o.sold_location_id
        LEFT JOIN ret.order_address AS a
            ON a.business_id = o.business_id AND a.sales_order_id = o.sales_order_id
           AND a.address_role = 'shipping'
        WHERE o.business_id = tenant_mgmt.current_business_id()
          AND o.sales_order_id = ANY (orders)
    ), target AS (
        SELECT o.*, l.sales_order_line_id, p.tax_class_id, k.is_exempt,
               l.line_total::numeric AS base, l.quantity::numeric AS quantity,
               l.fulfilment_choice IN ('ship', 'local_delivery', 'digital') AS travels
        FROM sale AS o
        JOIN ret.sales_order_line AS l
            ON l.business_id = o.business_id AND l.sales_order_id = o.sales_order_id
           AND l.line_total > 0
        JOIN ret.product_variant AS v
            ON v.business_id = l.business_id AND v.product_variant_id = l.product_variant_id
        JOIN ret.product AS p ON p.business_id = v.business_id AND p.product_id = v.product_id
        JOIN ret.tax_class AS k
            ON k.business_id = p.business_id AND k.tax_class_id = p.tax_class_id
        UNION ALL
        SELECT o.*, NULL, k.tax_class_id, k.is_exempt, o.shipping_total::numeric, 1, true
        FROM sale AS o
        JOIN ret.tax_class AS k ON k.business_id = o.business_id AND k.is_shipping
        WHERE o.shipping_total > 0
    ), placed AS (
        -- Where it is taxed: at the store, or where it goes where the jurisdiction says so.
        SELECT t.*, j.tax_jurisdiction_id, j.country_code AS taxing_country,
               j.region_code AS taxing_region, j.postal_pattern,
               CASE WHEN w.at_goal THEN t.goal_country ELSE t.origin_country END AS country_code,
               CASE WHEN w.at_goal THEN t.goal_region ELSE t.origin_region END AS region_code,
               CASE WHEN w.at_goal THEN t.goal_postal ELSE t.origin_postal END AS postal_code
        FROM target AS t
        JOIN ret.tax_jurisdiction AS j
            ON j.business_id = t.business_id AND j.nexus_since <= t.placed_on
        CROSS JOIN LATERAL (SELECT t.travels AND t.goal_country IS NOT NULL
                                   AND (j.sourcing_rule = 'destination'
                                        OR t.origin_country IS NULL) AS at_goal) AS w
    ), rated AS (
        SELECT t.*, r.tax_rate_id, r.rate_pct::numeric AS rate_pct, r.rate_kind, r.is_compound,
               r.is_inclusive, r.is_holiday, r.min_amount::numeric AS min_amount,
               t.is_exempt OR EXISTS (
                   SELECT FROM ret.tax_exemption AS e
                   WHERE e.business_id = t.business_id AND e.customer_id = t.customer_id
                     AND e.tax_jurisdiction_id = t.tax_jurisdiction_id AND e.status = 'valid'
                     AND t.placed_on BETWEEN coalesce(e.issued_on, '-infinity')
                                         AND coalesce(e.expires_on, 'infinity')) AS pays_none,
               bool_or(r.is_holiday)
                   OVER (PARTITION BY t.sales_order_id, t.sales_order_line_id, t.tax_class_id,
                                      t.tax_jurisdiction_id) AS on_holiday
        FROM placed AS t
        JOIN ret.tax_rate AS r
            ON r.business_id = t.business_id AND r.tax_class_id = t.tax_class_id
           AND r.tax_jurisdiction_id = t.tax_jurisdiction_id
           AND t.placed_on BETWEEN r.effective_from AND coalesce(r.effective_to, 'infinity')
           AND (r.rate_kind = 'threshold'
                OR t.base / t.quantity >= r.min_amount
                   AND (r.max_amount IS NULL OR t.base / t.quantity < r.max_amount))
        WHERE t.country_code = t.taxing_country
          AND (t.taxing_region IS NULL OR t.region_code = t.taxing_region)
          AND (t.postal_pattern IS NULL OR t.postal_code ~ t.postal_pattern)
    ), due AS (
        -- A tax holiday takes the place of the ordinary rate.
        SELECT r.*, CASE WHEN r.pays_none THEN 0
                         WHEN r.rate_kind = 'per_unit' THEN r.rate_pct / 100 * r.quantity
                         WHEN r.is_inclusive THEN r.base - r.base / (1 + r.rate_pct / 100)
                         WHEN r.rate_kind = 'threshold'
                         THEN greatest(r.base - r.min_amount * r.quantity, 0) * r.rate_pct / 100
                         ELSE r.base * r.rate_pct / 100 END AS plain
        FROM rated AS r
        WHERE r.is_holiday = r.on_holiday
    ), stacked AS (
        SELECT d.*, coalesce(sum(round(d.plain, 2)) FILTER (WHERE NOT d.is_compound)
                       OVER (PARTITION BY d.sales_order_id, d.sales_order_line_id), 0) AS below
        FROM due AS d
    )
    SELECT s.sales_order_id, s.sales_order_line_id, s.tax_rate_id, s.tax_jurisdiction_id,
           CASE WHEN s.sales_order_line_id IS NULL THEN 'shipping' ELSE 'line' END,
           CASE WHEN s.rate_kind = 'threshold'
                THEN greatest(s.base - s.min_amount * s.quantity, 0)
                WHEN s.is_compound THEN s.base + s.below
                ELSE s.base END,
           s.rate_pct,
           round(CASE WHEN s.is_compound AND NOT s.pays_none AND NOT s.is_inclusive
                           AND s.rate_kind = 'percent'
                      THEN (s.base + s.below) * s.rate_pct / 100
                      ELSE s.plain END, 2),
           s.is_inclusive, s.pays_none,
           CASE WHEN s.remits_tax THEN 'marketplace' ELSE 'retailer' END
    FROM stacked AS s;
END;
COMMENT ON FUNCTION ret.taxes_of_orders(uuid[]) IS
    'The taxes of orders by the jurisdictions of the store or of where they go: class rates of that
     date, price bands and thresholds, holidays, exemptions, compound and inclusive rates.';


CREATE FUNCTION ret.calculate_tax(sales_order uuid) RETURNS numeric
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
BEGIN
    PERFORM FROM ret.sales_order AS o
    WHERE o.business_id = tenant AND o.sales_order_id = calculate_tax.sales_order
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no order %', calculate_tax.sales_order
            USING ERRCODE = 'no_data_found', HINT = 'Place the order first.';
    END IF;
    DELETE FROM ret.order_tax_line AS t
    WHERE t.business_id = tenant AND t.sales_order_id = calculate_tax.sales_order;
    INSERT INTO ret.order_tax_line
        (business_id, sales_order_id, sales_order_line_id, tax_rate_id, tax_jurisdiction_id,
         tax_target, taxable_amount, rate_pct, tax_amount, is_inclusive, is_exempt, collected_by)
    SELECT tenant, t.sales_order_id, t.sales_order_line_id, t.tax_rate_id, t.tax_jurisdiction_id,
           t.tax_target, t.taxable_amount, t.rate_pct, t.tax_amount, t.is_inclusive, t.is_exempt,
           t.collected_by
    FROM ret.taxes_of_orders(ARRAY[calculate_tax.sales_order]) AS t;
    RETURN (SELECT o.tax_total
            FROM ret.sales_order AS o
            WHERE o.business_id = tenant AND o.sales_order_id = calculate_tax.sales_order);
END
$$;
COMMENT ON FUNCTION ret.calculate_tax(uuid) IS
    'Taxes an order anew and returns the tax on top of its prices.';


CREATE FUNCTION ret.rejection_reasons(since timestamptz, until timestamptz)
    RETURNS TABLE (signal text, orders bigint, average_weight numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT s.signal, count(DISTINCT r.sales_order_id), round(avg(s.weight), 2)
    FROM ret.fraud_review AS r
    CROSS JOIN LATERAL JSON_TABLE(r.signals_doc::jsonb, '$[*]' COLUMNS (
        signal text    PATH '$.signal',
        weight numeric PATH '$.weight')) AS s
    WHERE r.business_id = tenant_mgmt.current_business_id() AND r.decision = 'reject'
      AND r.decided_at >= since AND r.decided_at < until
    GROUP BY s.signal
    ORDER BY count(DISTINCT r.sales_order_id) DESC, avg(s.weight) DESC, s.signal;
END;
COMMENT ON FUNCTION ret.rejection_reasons(timestamptz, timestamptz) IS
    'What spoke against the orders that were rejected, the most frequent first.';
