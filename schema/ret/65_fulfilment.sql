/*
 * TODO: what the area is and how its tables relate.
 */

CREATE TABLE ret.sourcing_rule (
    business_id          uuid                 NOT NULL,
    sourcing_rule_id     uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    sales_channel_id     uuid,
    category_id          uuid,
    rule_name            text                 NOT NULL,
    strategy             text                 NOT NULL,
    max_splits           integer,
    min_safety_qty       system_core.quantity,
    max_distance_km      numeric(9, 2),
    excluded_regions_doc jsonb,
    weight_no            integer              NOT NULL,
    priority_no          integer              NOT NULL,
    effective_from       date                 NOT NULL,
    is_active            boolean              NOT NULL DEFAULT true,
    created_at           timestamptz          NOT NULL DEFAULT now(),
    updated_at           timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, sourcing_rule_id),
    UNIQUE (business_id, rule_name),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, sales_channel_id)
        REFERENCES ret.sales_channel (business_id, sales_channel_id),
    FOREIGN KEY (business_id, category_id) REFERENCES ret.category (business_id, category_id),
    CONSTRAINT sourcing_rule_strategy_known
        CHECK (strategy IN ('nearest', 'most_stock', 'warehouse_first', 'store_first',
                            'lowest_cost', 'clear_overstock', 'single_package')),
    CONSTRAINT sourcing_rule_max_splits_bounded CHECK (max_splits BETWEEN 1 AND 5),
    CONSTRAINT sourcing_rule_weight_no_not_negative CHECK (weight_no >= 0)
);

COMMENT ON TABLE ret.sourcing_rule IS
    'How an order line finds its location (nearest, most stock, store first, split limits).';

-- FK: the sourcing rules of a sales channel.
CREATE INDEX sourcing_rule_sales_channel_idx
    ON ret.sourcing_rule (business_id, sales_channel_id)
    WHERE sales_channel_id IS NOT NULL;

-- FK: the sourcing rules of a category.
CREATE INDEX sourcing_rule_category_idx
    ON ret.sourcing_rule (business_id, category_id)
    WHERE category_id IS NOT NULL;

ALTER TABLE ret.sourcing_rule ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.sourcing_rule
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.sourcing_rule TO app_user;
GRANT SELECT ON ret.sourcing_rule TO app_readonly;

CREATE TRIGGER sourcing_rule_touch
    BEFORE UPDATE ON ret.sourcing_rule
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.stock_reservation (
    business_id          uuid                 NOT NULL,
    stock_reservation_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    location_id          uuid                 NOT NULL,
    product_variant_id   uuid                 NOT NULL,
    cart_line_id         uuid,
    sales_order_line_id  uuid,
    stock_lot_id         uuid,
    quantity             system_core.quantity NOT NULL,
    reservation_kind     text                 NOT NULL,
    created_for          text                 NOT NULL,
    reserved_at          timestamptz,
    expires_at           timestamptz,
    released_at          timestamptz,
    fulfilled_at         timestamptz,
    state                text                 NOT NULL DEFAULT 'active',
    release_reason       text,
    created_at           timestamptz          NOT NULL DEFAULT now(),
    updated_at           timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_reservation_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, cart_line_id) REFERENCES ret.cart_line (business_id, cart_line_id),
    FOREIGN KEY (business_id, sales_order_line_id)
        REFERENCES ret.sales_order_line (business_id, sales_order_line_id),
    FOREIGN KEY (business_id, stock_lot_id) REFERENCES ret.stock_lot (business_id, stock_lot_id),
    CONSTRAINT stock_reservation_kind_known
        CHECK (reservation_kind IN ('soft', 'hard', 'backorder', 'preorder')),
    CONSTRAINT stock_reservation_created_for_known
        CHECK (created_for IN ('cart', 'order', 'pickup', 'transfer')),
    CONSTRAINT stock_reservation_state_known
        CHECK (state IN ('active', 'released', 'expired', 'fulfilled')),
    CONSTRAINT stock_reservation_quantity_positive CHECK (quantity > 0),
    CONSTRAINT stock_reservation_one_of_cart_line_id_sales_order_line_id
        CHECK (num_nonnulls(cart_line_id, sales_order_line_id) = 1)
);

COMMENT ON TABLE ret.stock_reservation IS
    'A hold of stock for a cart, order or transfer, with an expiry.';
-- RULE soft holds need expires_at
-- RULE active reservations never exceed on_hand_qty unless backorder or preorder

-- FK: the stock reservations of a location.
CREATE INDEX stock_reservation_location_idx ON ret.stock_reservation (business_id, location_id);

-- FK: the stock reservations of a product variant.
CREATE INDEX stock_reservation_product_variant_idx
    ON ret.stock_reservation (business_id, product_variant_id);

-- FK: the stock reservations of a cart line.
CREATE INDEX stock_reservation_cart_line_idx
    ON ret.stock_reservation (business_id, cart_line_id)
    WHERE cart_line_id IS NOT NULL;

-- FK: the stock reservations of a sales order line.
CREATE INDEX stock_reservation_sales_order_line_idx
    ON ret.stock_reservation (business_id, sales_order_line_id)
    WHERE sales_order_line_id IS NOT NULL;

-- FK: the stock reservations of a stock lot.
CREATE INDEX stock_reservation_stock_lot_idx
    ON ret.stock_reservation (business_id, stock_lot_id)
    WHERE stock_lot_id IS NOT NULL;

ALTER TABLE ret.stock_reservation ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.stock_reservation
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.stock_reservation TO app_user;
GRANT SELECT ON ret.stock_reservation TO app_readonly;

CREATE TRIGGER stock_reservation_touch
    BEFORE UPDATE ON ret.stock_reservation
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.fulfilment_order (
    business_id         uuid        NOT NULL,
    fulfilment_order_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    sales_order_id      uuid        NOT NULL,
    location_id         uuid        NOT NULL,
    sourcing_rule_id    uuid,
    fulfilment_number   text        NOT NULL,
    method              text,
    state               text        NOT NULL DEFAULT 'scheduled',
    request_state       text        NOT NULL DEFAULT 'unsubmitted',
    routed_at           timestamptz,
    accepted_at         timestamptz,
    promise_at          timestamptz,
    ready_at            timestamptz,
    completed_at        timestamptz,
    reject_reason       text,
    reroute_count       integer     NOT NULL DEFAULT 0,
    priority_no         integer     NOT NULL,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, fulfilment_order_id),
    UNIQUE (business_id, fulfilment_number),
    FOREIGN KEY (business_id, sales_order_id)
        REFERENCES ret.sales_order (business_id, sales_order_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, sourcing_rule_id)
        REFERENCES ret.sourcing_rule (business_id, sourcing_rule_id),
    CONSTRAINT fulfilment_order_method_known
        CHECK (method IN ('ship', 'pickup', 'curbside', 'local_delivery', 'transfer_to_store',
                          'digital')),
    CONSTRAINT fulfilment_order_state_known
        CHECK (state IN ('scheduled', 'open', 'on_hold', 'picking', 'packed', 'ready',
                         'in_progress', 'completed', 'rejected', 'cancelled')),
    CONSTRAINT fulfilment_order_request_state_known
        CHECK (request_state IN ('unsubmitted', 'submitted', 'accepted', 'rejected')),
    CONSTRAINT fulfilment_order_reject_reason_known
        CHECK (reject_reason IN ('none', 'no_stock', 'damaged', 'too_busy', 'closed')),
    CONSTRAINT fulfilment_order_routed_at_in_order CHECK (routed_at <= accepted_at),
    CONSTRAINT fulfilment_order_accepted_at_in_order CHECK (accepted_at <= ready_at),
    CONSTRAINT fulfilment_order_ready_at_in_order CHECK (ready_at <= completed_at),
    CONSTRAINT fulfilment_order_state_iff CHECK ((reject_reason <> 'none') = (state = 'rejected'))
);

COMMENT ON TABLE ret.fulfilment_order IS
    'The part of an order one location must ship or hand over.';

-- FK: the fulfilment orders of a sales order.
CREATE INDEX fulfilment_order_sales_order_idx
    ON ret.fulfilment_order (business_id, sales_order_id);

-- FK: the fulfilment orders of a location.
CREATE INDEX fulfilment_order_location_idx ON ret.fulfilment_order (business_id, location_id);

-- FK: the fulfilment orders of a sourcing rule.
CREATE INDEX fulfilment_order_sourcing_rule_idx
    ON ret.fulfilment_order (business_id, sourcing_rule_id)
    WHERE sourcing_rule_id IS NOT NULL;

ALTER TABLE ret.fulfilment_order ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.fulfilment_order
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.fulfilment_order TO app_user;
GRANT SELECT ON ret.fulfilment_order TO app_readonly;

CREATE TRIGGER fulfilment_order_touch
    BEFORE UPDATE ON ret.fulfilment_order
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.fulfilment_order_line (
    business_id              uuid                 NOT NULL,
    fulfilment_order_line_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    fulfilment_order_id      uuid                 NOT NULL,
    sales_order_line_id      uuid                 NOT NULL,
    quantity                 system_core.quantity NOT NULL,
    picked_qty               system_core.quantity,
    packed_qty               system_core.quantity,
    shipped_qty              system_core.quantity,
    short_qty                system_core.quantity,
    substitution_allowed     boolean              NOT NULL DEFAULT false,
    state                    text                 NOT NULL DEFAULT 'open',
    short_reason             text,
    created_at               timestamptz          NOT NULL DEFAULT now(),
    updated_at               timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, fulfilment_order_line_id),
    UNIQUE (business_id, fulfilment_order_id, sales_order_line_id),
    FOREIGN KEY (business_id, fulfilment_order_id)
        REFERENCES ret.fulfilment_order (business_id, fulfilment_order_id),
    FOREIGN KEY (business_id, sales_order_line_id)
        REFERENCES ret.sales_order_line (business_id, sales_order_line_id),
    CONSTRAINT fulfilment_order_line_state_known
        CHECK (state IN ('open', 'picked', 'packed', 'shipped', 'short', 'cancelled')),
    CONSTRAINT fulfilment_order_line_picked_qty_precedes_short_qty
        CHECK (picked_qty + short_qty <= quantity),
    CONSTRAINT fulfilment_order_line_shipped_qty_in_order CHECK (shipped_qty <= packed_qty),
    CONSTRAINT fulfilment_order_line_packed_qty_in_order CHECK (packed_qty <= picked_qty)
);

COMMENT ON TABLE ret.fulfilment_order_line IS 'Quantity of an order line to be fulfilled here.';

-- FK: the fulfilment order lines of a sales order line.
CREATE INDEX fulfilment_order_line_sales_order_line_idx
    ON ret.fulfilment_order_line (business_id, sales_order_line_id);

ALTER TABLE ret.fulfilment_order_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.fulfilment_order_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.fulfilment_order_line TO app_user;
GRANT SELECT ON ret.fulfilment_order_line TO app_readonly;

CREATE TRIGGER fulfilment_order_line_touch
    BEFORE UPDATE ON ret.fulfilment_order_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.fulfilment_hold (
    business_id         uuid        NOT NULL,
    fulfilment_hold_id  uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    released_by_user_id uuid,
    fulfilment_order_id uuid        NOT NULL,
    hold_reason         text        NOT NULL,
    note                text,
    held_at             timestamptz,
    release_due_at      timestamptz,
    released_at         timestamptz,
    is_automatic        boolean     NOT NULL DEFAULT false,
    notified_at         timestamptz,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, fulfilment_hold_id),
    FOREIGN KEY (business_id, released_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, fulfilment_order_id)
        REFERENCES ret.fulfilment_order (business_id, fulfilment_order_id),
    CONSTRAINT fulfilment_hold_reason_known
        CHECK (hold_reason IN ('awaiting_payment', 'high_risk', 'incorrect_address',
                               'out_of_stock', 'awaiting_return_items', 'unknown_delivery_date',
                               'customer_request', 'other')),
    CONSTRAINT fulfilment_hold_released_at_follows_held_at CHECK (released_at >= held_at)
);

COMMENT ON TABLE ret.fulfilment_hold IS 'Why a fulfilment may not start.';
-- RULE one open hold per fulfilment_order_id and hold_reason (partial unique)

-- FK: the fulfilment holds by their released by user.
CREATE INDEX fulfilment_hold_released_by_user_idx
    ON ret.fulfilment_hold (business_id, released_by_user_id)
    WHERE released_by_user_id IS NOT NULL;

-- FK: the fulfilment holds of a fulfilment order.
CREATE INDEX fulfilment_hold_fulfilment_order_idx
    ON ret.fulfilment_hold (business_id, fulfilment_order_id);

ALTER TABLE ret.fulfilment_hold ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.fulfilment_hold
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.fulfilment_hold TO app_user;
GRANT SELECT ON ret.fulfilment_hold TO app_readonly;

CREATE TRIGGER fulfilment_hold_touch
    BEFORE UPDATE ON ret.fulfilment_hold
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.pick_list (
    business_id            uuid        NOT NULL,
    pick_list_id           uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    picker_user_id         uuid,
    location_id            uuid        NOT NULL,
    pick_number            text        NOT NULL,
    pick_kind              text        NOT NULL,
    created_for_cut_off_at timestamptz,
    assigned_at            timestamptz,
    started_at             timestamptz NOT NULL,
    completed_at           timestamptz,
    line_count             integer     NOT NULL DEFAULT 0,
    unit_count             integer     NOT NULL DEFAULT 0,
    short_count            integer     NOT NULL DEFAULT 0,
    pick_seconds           integer,
    state                  text        NOT NULL DEFAULT 'open',
    created_at             timestamptz NOT NULL DEFAULT now(),
    updated_at             timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, pick_list_id),
    UNIQUE (business_id, pick_number),
    FOREIGN KEY (business_id, picker_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    CONSTRAINT pick_list_pick_kind_known
        CHECK (pick_kind IN ('single', 'batch', 'zone', 'wave', 'store_pick')),
    CONSTRAINT pick_list_state_known
        CHECK (state IN ('open', 'assigned', 'picking', 'picked', 'cancelled')),
    CONSTRAINT pick_list_assigned_at_in_order CHECK (assigned_at <= started_at),
    CONSTRAINT pick_list_started_at_in_order CHECK (started_at <= completed_at)
);

COMMENT ON TABLE ret.pick_list IS 'A wave or single-order pick in walk order.';

-- FK: the pick lists by their picker user.
CREATE INDEX pick_list_picker_user_idx
    ON ret.pick_list (business_id, picker_user_id)
    WHERE picker_user_id IS NOT NULL;

-- FK: the pick lists of a location.
CREATE INDEX pick_list_location_idx ON ret.pick_list (business_id, location_id);

ALTER TABLE ret.pick_list ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.pick_list
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.pick_list TO app_user;
GRANT SELECT ON ret.pick_list TO app_readonly;

CREATE TRIGGER pick_list_touch
    BEFORE UPDATE ON ret.pick_list
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.pick_list_line (
    business_id              uuid                 NOT NULL,
    pick_list_line_id        uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    pick_list_id             uuid                 NOT NULL,
    fulfilment_order_line_id uuid                 NOT NULL,
    product_variant_id       uuid                 NOT NULL,
    bin_location_id          uuid,
    stock_lot_id             uuid,
    serial_unit_id           uuid,
    walk_sequence            integer              NOT NULL,
    required_qty             system_core.quantity,
    picked_qty               system_core.quantity,
    short_qty                system_core.quantity,
    scanned_barcode          text,
    picked_at                timestamptz,
    exception_kind           text                 NOT NULL,
    tote_code                system_core.code,
    created_at               timestamptz          NOT NULL DEFAULT now(),
    updated_at               timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, pick_list_line_id),
    UNIQUE (business_id, pick_list_id, walk_sequence),
    FOREIGN KEY (business_id, pick_list_id) REFERENCES ret.pick_list (business_id, pick_list_id),
    FOREIGN KEY (business_id, fulfilment_order_line_id)
        REFERENCES ret.fulfilment_order_line (business_id, fulfilment_order_line_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, bin_location_id)
        REFERENCES ret.bin_location (business_id, bin_location_id),
    FOREIGN KEY (business_id, stock_lot_id) REFERENCES ret.stock_lot (business_id, stock_lot_id),
    FOREIGN KEY (business_id, serial_unit_id)
        REFERENCES ret.serial_unit (business_id, serial_unit_id),
    CONSTRAINT pick_list_line_exception_kind_known
        CHECK (exception_kind IN ('none', 'not_found', 'damaged', 'wrong_bin', 'substituted'))
);

COMMENT ON TABLE ret.pick_list_line IS 'A stop of the pick: bin, lot, serial, quantity.';
-- RULE picked_qty + short_qty = required_qty once picked

-- FK: the pick list lines of a fulfilment order line.
CREATE INDEX pick_list_line_fulfilment_order_line_idx
    ON ret.pick_list_line (business_id, fulfilment_order_line_id);

-- FK: the pick list lines of a product variant.
CREATE INDEX pick_list_line_product_variant_idx
    ON ret.pick_list_line (business_id, product_variant_id);

-- FK: the pick list lines of a bin location.
CREATE INDEX pick_list_line_bin_location_idx
    ON ret.pick_list_line (business_id, bin_location_id)
    WHERE bin_location_id IS NOT NULL;

-- FK: the pick list lines of a stock lot.
CREATE INDEX pick_list_line_stock_lot_idx
    ON ret.pick_list_line (business_id, stock_lot_id)
    WHERE stock_lot_id IS NOT NULL;

-- FK: the pick list lines of a serial unit.
CREATE INDEX pick_list_line_serial_unit_idx
    ON ret.pick_list_line (business_id, serial_unit_id)
    WHERE serial_unit_id IS NOT NULL;

ALTER TABLE ret.pick_list_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.pick_list_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.pick_list_line TO app_user;
GRANT SELECT ON ret.pick_list_line TO app_readonly;

CREATE TRIGGER pick_list_line_touch
    BEFORE UPDATE ON ret.pick_list_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.pickup_order (
    business_id            uuid             NOT NULL,
    pickup_order_id        uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    shelf_bin_id           uuid,
    handed_over_by_user_id uuid,
    fulfilment_order_id    uuid             NOT NULL,
    pickup_code            system_core.code NOT NULL,
    ready_at               timestamptz,
    notified_at            timestamptz,
    hold_until             timestamptz,
    customer_arrived_at    timestamptz,
    is_curbside            boolean          NOT NULL DEFAULT false,
    vehicle_note           text,
    handed_over_at         timestamptz,
    id_check               text             NOT NULL,
    collector_name         text,
    wait_seconds           integer,
    reminder_count         integer          NOT NULL DEFAULT 0,
    state                  text             NOT NULL DEFAULT 'preparing',
    created_at             timestamptz      NOT NULL DEFAULT now(),
    updated_at             timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, pickup_order_id),
    UNIQUE (business_id, fulfilment_order_id),
    FOREIGN KEY (business_id, shelf_bin_id)
        REFERENCES ret.bin_location (business_id, bin_location_id),
    FOREIGN KEY (business_id, handed_over_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, fulfilment_order_id)
        REFERENCES ret.fulfilment_order (business_id, fulfilment_order_id),
    CONSTRAINT pickup_order_id_check_known
        CHECK (id_check IN ('none', 'code', 'photo_id', 'signature')),
    CONSTRAINT pickup_order_state_known
        CHECK (state IN ('preparing', 'ready', 'arrived', 'collected', 'expired',
                         'returned_to_stock')),
    CONSTRAINT pickup_order_ready_at_in_order CHECK (ready_at <= customer_arrived_at),
    CONSTRAINT pickup_order_customer_arrived_at_in_order
        CHECK (customer_arrived_at <= handed_over_at)
);

COMMENT ON TABLE ret.pickup_order IS
    'Buy online, pick up in store: ready, notified, waiting, handed over or returned to shelf.';

-- One row a pickup code.
CREATE UNIQUE INDEX pickup_order_pickup_code_idx
    ON ret.pickup_order (business_id, pickup_code)
    WHERE state IN ('ready', 'arrived');

-- FK: the pickup orders by their shelf bin.
CREATE INDEX pickup_order_shelf_bin_idx
    ON ret.pickup_order (business_id, shelf_bin_id)
    WHERE shelf_bin_id IS NOT NULL;

-- FK: the pickup orders by their handed over by user.
CREATE INDEX pickup_order_handed_over_by_user_idx
    ON ret.pickup_order (business_id, handed_over_by_user_id)
    WHERE handed_over_by_user_id IS NOT NULL;

ALTER TABLE ret.pickup_order ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.pickup_order
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.pickup_order TO app_user;
GRANT SELECT ON ret.pickup_order TO app_readonly;

CREATE TRIGGER pickup_order_touch
    BEFORE UPDATE ON ret.pickup_order
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.carrier_service (
    business_id          uuid             NOT NULL,
    carrier_service_id   uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    carrier_code         system_core.code NOT NULL,
    service_code         system_core.code NOT NULL,
    display_name         text             NOT NULL,
    service_level        text             NOT NULL,
    min_days             integer,
    max_days             integer,
    max_weight_g         integer,
    max_length_mm        integer,
    account_ref          text,
    tracking_url_pattern text,
    supports_returns     boolean          NOT NULL DEFAULT false,
    is_active            boolean          NOT NULL DEFAULT true,
    created_at           timestamptz      NOT NULL DEFAULT now(),
    updated_at           timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, carrier_service_id),
    UNIQUE (business_id, carrier_code, service_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT carrier_service_level_known
        CHECK (service_level IN ('economy', 'standard', 'express', 'same_day', 'freight')),
    CONSTRAINT carrier_service_max_days_follows_min_days CHECK (max_days >= min_days)
);

COMMENT ON TABLE ret.carrier_service IS
    'A carrier''s service with its speed, limits and contract.';

ALTER TABLE ret.carrier_service ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.carrier_service
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.carrier_service TO app_user;
GRANT SELECT ON ret.carrier_service TO app_readonly;

CREATE TRIGGER carrier_service_touch
    BEFORE UPDATE ON ret.carrier_service
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.shipping_zone (
    business_id         uuid             NOT NULL,
    shipping_zone_id    uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    zone_code           system_core.code NOT NULL,
    display_name        text             NOT NULL,
    country_codes       text[]           NOT NULL DEFAULT '{}',
    region_codes        text[]           NOT NULL DEFAULT '{}',
    postal_patterns_doc jsonb,
    is_domestic         boolean          NOT NULL DEFAULT false,
    is_remote           boolean          NOT NULL DEFAULT false,
    priority_no         integer          NOT NULL,
    created_at          timestamptz      NOT NULL DEFAULT now(),
    updated_at          timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, shipping_zone_id),
    UNIQUE (business_id, zone_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id)
);

COMMENT ON TABLE ret.shipping_zone IS 'Countries, regions and postcodes that share rates.';

ALTER TABLE ret.shipping_zone ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.shipping_zone
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.shipping_zone TO app_user;
GRANT SELECT ON ret.shipping_zone TO app_readonly;

CREATE TRIGGER shipping_zone_touch
    BEFORE UPDATE ON ret.shipping_zone
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.shipping_rate (
    business_id        uuid                 NOT NULL,
    shipping_rate_id   uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    shipping_zone_id   uuid                 NOT NULL,
    carrier_service_id uuid                 NOT NULL,
    sales_channel_id   uuid,
    rate_name          text                 NOT NULL,
    rate_basis         text                 NOT NULL,
    min_value          system_core.quantity,
    max_value          system_core.quantity,
    price              system_core.money,
    free_from_amount   system_core.money    NOT NULL DEFAULT 0,
    handling_fee       system_core.money    NOT NULL DEFAULT 0,
    effective_from     date                 NOT NULL,
    effective_to       date,
    is_active          boolean              NOT NULL DEFAULT true,
    created_at         timestamptz          NOT NULL DEFAULT now(),
    updated_at         timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, shipping_rate_id),
    FOREIGN KEY (business_id, shipping_zone_id)
        REFERENCES ret.shipping_zone (business_id, shipping_zone_id),
    FOREIGN KEY (business_id, carrier_service_id)
        REFERENCES ret.carrier_service (business_id, carrier_service_id),
    FOREIGN KEY (business_id, sales_channel_id)
        REFERENCES ret.sales_channel (business_id, sales_channel_id),
    CONSTRAINT shipping_rate_basis_known
        CHECK (rate_basis IN ('flat', 'weight', 'value', 'item_count', 'live')),
    CONSTRAINT shipping_rate_price_not_negative CHECK (price >= 0),
    CONSTRAINT shipping_rate_max_value_follows_min_value CHECK (max_value > min_value)
);

COMMENT ON TABLE ret.shipping_rate IS 'Price of a service to a zone by weight or value.';
-- RULE exclusion: no overlapping value range per zone, service, channel and rate_basis while effective

-- FK: the shipping rates of a shipping zone.
CREATE INDEX shipping_rate_shipping_zone_idx ON ret.shipping_rate (business_id, shipping_zone_id);

-- FK: the shipping rates of a carrier service.
CREATE INDEX shipping_rate_carrier_service_idx
    ON ret.shipping_rate (business_id, carrier_service_id);

-- FK: the shipping rates of a sales channel.
CREATE INDEX shipping_rate_sales_channel_idx
    ON ret.shipping_rate (business_id, sales_channel_id)
    WHERE sales_channel_id IS NOT NULL;

ALTER TABLE ret.shipping_rate ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.shipping_rate
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.shipping_rate TO app_user;
GRANT SELECT ON ret.shipping_rate TO app_readonly;

CREATE TRIGGER shipping_rate_touch
    BEFORE UPDATE ON ret.shipping_rate
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.shipment (
    business_id         uuid              NOT NULL,
    shipment_id         uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    label_file_id       uuid,
    fulfilment_order_id uuid              NOT NULL,
    carrier_service_id  uuid              NOT NULL,
    shipment_number     text              NOT NULL,
    tracking_number     text,
    direction           text              NOT NULL,
    package_kind        text              NOT NULL,
    weight_g            integer,
    declared_value      system_core.money,
    label_cost          system_core.money,
    charged_amount      system_core.money NOT NULL DEFAULT 0,
    packed_at           timestamptz,
    shipped_at          timestamptz,
    estimated_at        timestamptz,
    delivered_at        timestamptz,
    delivery_attempts   integer,
    state               text              NOT NULL DEFAULT 'label_created',
    signed_by           text,
    created_at          timestamptz       NOT NULL DEFAULT now(),
    updated_at          timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, shipment_id),
    UNIQUE (business_id, shipment_number),
    FOREIGN KEY (business_id, label_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, fulfilment_order_id)
        REFERENCES ret.fulfilment_order (business_id, fulfilment_order_id),
    FOREIGN KEY (business_id, carrier_service_id)
        REFERENCES ret.carrier_service (business_id, carrier_service_id),
    CONSTRAINT shipment_direction_known CHECK (direction IN ('outbound', 'return')),
    CONSTRAINT shipment_package_kind_known
        CHECK (package_kind IN ('box', 'mailer', 'pallet', 'envelope')),
    CONSTRAINT shipment_state_known
        CHECK (state IN ('label_created', 'manifested', 'in_transit', 'out_for_delivery',
                         'delivered', 'exception', 'returned', 'lost')),
    CONSTRAINT shipment_packed_at_in_order CHECK (packed_at <= shipped_at),
    CONSTRAINT shipment_shipped_at_in_order CHECK (shipped_at <= delivered_at)
);

COMMENT ON TABLE ret.shipment IS 'A parcel with label, cost and delivery times.';

-- One row a tracking number.
CREATE UNIQUE INDEX shipment_carrier_service_id_tracking_number_idx
    ON ret.shipment (business_id, carrier_service_id, tracking_number)
    WHERE tracking_number IS NOT NULL;

-- FK: the shipments by their label file.
CREATE INDEX shipment_label_file_idx
    ON ret.shipment (business_id, label_file_id)
    WHERE label_file_id IS NOT NULL;

-- FK: the shipments of a fulfilment order.
CREATE INDEX shipment_fulfilment_order_idx ON ret.shipment (business_id, fulfilment_order_id);

-- FK: the shipments of a carrier service.
CREATE INDEX shipment_carrier_service_idx ON ret.shipment (business_id, carrier_service_id);

ALTER TABLE ret.shipment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.shipment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.shipment TO app_user;
GRANT SELECT ON ret.shipment TO app_readonly;

CREATE TRIGGER shipment_touch
    BEFORE UPDATE ON ret.shipment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.shipment_line (
    business_id              uuid                 NOT NULL,
    shipment_line_id         uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    shipment_id              uuid                 NOT NULL,
    fulfilment_order_line_id uuid                 NOT NULL,
    stock_lot_id             uuid,
    serial_unit_id           uuid,
    line_number              integer              NOT NULL,
    quantity                 system_core.quantity,
    unit_value               system_core.money,
    customs_description      text,
    hs_code                  system_core.code,
    origin_country           text,
    weight_g                 integer,
    created_at               timestamptz          NOT NULL DEFAULT now(),
    updated_at               timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, shipment_line_id),
    UNIQUE (business_id, shipment_id, line_number),
    FOREIGN KEY (business_id, shipment_id) REFERENCES ret.shipment (business_id, shipment_id),
    FOREIGN KEY (business_id, fulfilment_order_line_id)
        REFERENCES ret.fulfilment_order_line (business_id, fulfilment_order_line_id),
    FOREIGN KEY (business_id, stock_lot_id) REFERENCES ret.stock_lot (business_id, stock_lot_id),
    FOREIGN KEY (business_id, serial_unit_id)
        REFERENCES ret.serial_unit (business_id, serial_unit_id),
    CONSTRAINT shipment_line_quantity_positive CHECK (quantity > 0)
);

COMMENT ON TABLE ret.shipment_line IS 'What a parcel contains.';

-- FK: the shipment lines of a fulfilment order line.
CREATE INDEX shipment_line_fulfilment_order_line_idx
    ON ret.shipment_line (business_id, fulfilment_order_line_id);

-- FK: the shipment lines of a stock lot.
CREATE INDEX shipment_line_stock_lot_idx
    ON ret.shipment_line (business_id, stock_lot_id)
    WHERE stock_lot_id IS NOT NULL;

-- FK: the shipment lines of a serial unit.
CREATE INDEX shipment_line_serial_unit_idx
    ON ret.shipment_line (business_id, serial_unit_id)
    WHERE serial_unit_id IS NOT NULL;

ALTER TABLE ret.shipment_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.shipment_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.shipment_line TO app_user;
GRANT SELECT ON ret.shipment_line TO app_readonly;

CREATE TRIGGER shipment_line_touch
    BEFORE UPDATE ON ret.shipment_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.shipment_tracking_event (
    business_id                uuid                  NOT NULL,
    shipment_tracking_event_id uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    shipment_id                uuid                  NOT NULL,
    occurred_at                timestamptz           NOT NULL DEFAULT now(),
    carrier_status_code        system_core.code,
    status                     text                  NOT NULL DEFAULT 'pre_transit',
    city                       text,
    country_code               system_core.country,
    latitude                   system_core.latitude,
    longitude                  system_core.longitude,
    description                text,
    received_at                timestamptz           NOT NULL,
    payload                    jsonb,
    created_at                 timestamptz           NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, shipment_tracking_event_id, occurred_at),
    FOREIGN KEY (business_id, shipment_id) REFERENCES ret.shipment (business_id, shipment_id),
    CONSTRAINT shipment_tracking_event_status_known
        CHECK (status IN ('pre_transit', 'in_transit', 'out_for_delivery', 'delivered',
                          'failed_attempt', 'exception', 'returned')),
    CONSTRAINT shipment_tracking_event_received_at_follows_occurred_at
        CHECK (received_at >= occurred_at)
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE ret.shipment_tracking_event IS 'Carrier scan stream; append only.';

-- FK: the shipment tracking events of a shipment.
CREATE INDEX shipment_tracking_event_shipment_idx
    ON ret.shipment_tracking_event (business_id, shipment_id);

ALTER TABLE ret.shipment_tracking_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.shipment_tracking_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON ret.shipment_tracking_event TO app_user;
GRANT SELECT ON ret.shipment_tracking_event TO app_readonly;

CREATE TRIGGER shipment_tracking_event_append_only
    BEFORE UPDATE OR DELETE ON ret.shipment_tracking_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('ret.shipment_tracking_event');

CREATE TABLE ret.shipment_tracking_event_default PARTITION OF ret.shipment_tracking_event DEFAULT;
ALTER TABLE ret.shipment_tracking_event_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.shipment_tracking_event_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions(
    'ret.shipment_tracking_event', 'month', behind => 3, ahead => 1);
