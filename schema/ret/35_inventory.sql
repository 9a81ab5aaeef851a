/*
 * TODO: what the area is and how its tables relate.
 */

CREATE TABLE ret.stock_level (
    business_id              uuid                   NOT NULL,
    stock_level_id           uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    location_id              uuid                   NOT NULL,
    product_variant_id       uuid                   NOT NULL,
    consignment_agreement_id uuid,
    on_hand_qty              system_core.quantity   NOT NULL,
    available_qty            system_core.quantity   GENERATED ALWAYS AS (
                                                        on_hand_qty - committed_qty - reserved_qty
                                                        - damaged_qty - quality_hold_qty -
                                                        safety_stock_qty) STORED,
    committed_qty            system_core.quantity,
    reserved_qty             system_core.quantity,
    incoming_qty             system_core.quantity,
    damaged_qty              system_core.quantity,
    quality_hold_qty         system_core.quantity,
    safety_stock_qty         system_core.quantity,
    average_cost             system_core.unit_price,
    last_counted_at          timestamptz,
    last_sold_at             timestamptz,
    last_received_at         timestamptz,
    version_no               integer                NOT NULL,
    created_at               timestamptz            NOT NULL DEFAULT now(),
    updated_at               timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_level_id),
    UNIQUE NULLS NOT DISTINCT (business_id, location_id, product_variant_id,
            consignment_agreement_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, consignment_agreement_id)
        REFERENCES ret.consignment_agreement (business_id, consignment_agreement_id)
);

COMMENT ON TABLE ret.stock_level IS
    'Quantities of a variant at a location by state, the number every channel asks for.';
-- RULE on_hand_qty >= 0 unless offline sales are pending

-- FK: the stock levels of a product variant.
CREATE INDEX stock_level_product_variant_idx ON ret.stock_level (business_id, product_variant_id);

-- FK: the stock levels of a consignment agreement.
CREATE INDEX stock_level_consignment_agreement_idx
    ON ret.stock_level (business_id, consignment_agreement_id)
    WHERE consignment_agreement_id IS NOT NULL;

ALTER TABLE ret.stock_level ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.stock_level
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.stock_level TO app_user;
GRANT SELECT ON ret.stock_level TO app_readonly;

CREATE TRIGGER stock_level_touch
    BEFORE UPDATE ON ret.stock_level
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.stock_lot (
    business_id        uuid                   NOT NULL,
    stock_lot_id       uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    product_variant_id uuid                   NOT NULL,
    location_id        uuid                   NOT NULL,
    supplier_id        uuid,
    lot_number         text                   NOT NULL,
    manufactured_on    date,
    expires_on         date,
    best_before_on     date,
    received_on        date                   NOT NULL,
    initial_qty        system_core.quantity,
    remaining_qty      system_core.quantity,
    unit_cost          system_core.unit_price,
    status             text                   NOT NULL DEFAULT 'available',
    created_at         timestamptz            NOT NULL DEFAULT now(),
    updated_at         timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_lot_id),
    UNIQUE (business_id, product_variant_id, location_id, lot_number),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, supplier_id) REFERENCES ret.supplier (business_id, supplier_id),
    CONSTRAINT stock_lot_status_known
        CHECK (status IN ('available', 'on_hold', 'quarantined', 'recalled', 'expired',
                          'depleted')),
    CONSTRAINT stock_lot_remaining_qty_in_order CHECK (0 <= remaining_qty),
    CONSTRAINT stock_lot_remaining_qty_in_order_2 CHECK (remaining_qty <= initial_qty),
    CONSTRAINT stock_lot_expires_on_follows_manufactured_on CHECK (expires_on > manufactured_on)
);

COMMENT ON TABLE ret.stock_lot IS 'A lot with expiry and status, for tracked goods.';

-- FK: the stock lots of a location.
CREATE INDEX stock_lot_location_idx ON ret.stock_lot (business_id, location_id);

-- FK: the stock lots of a supplier.
CREATE INDEX stock_lot_supplier_idx
    ON ret.stock_lot (business_id, supplier_id)
    WHERE supplier_id IS NOT NULL;

ALTER TABLE ret.stock_lot ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.stock_lot
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.stock_lot TO app_user;
GRANT SELECT ON ret.stock_lot TO app_readonly;

CREATE TRIGGER stock_lot_touch
    BEFORE UPDATE ON ret.stock_lot
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.serial_unit (
    business_id          uuid                   NOT NULL,
    serial_unit_id       uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    product_variant_id   uuid                   NOT NULL,
    location_id          uuid,
    stock_lot_id         uuid,
    serial_number        text                   NOT NULL,
    imei                 text,
    state                text                   NOT NULL DEFAULT 'in_stock',
    received_at          timestamptz            NOT NULL,
    sold_at              timestamptz,
    warranty_months      integer,
    warranty_ends_on     date,
    unit_cost            system_core.unit_price,
    activation_code_hash text,
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, serial_unit_id),
    UNIQUE (business_id, product_variant_id, serial_number),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, stock_lot_id) REFERENCES ret.stock_lot (business_id, stock_lot_id),
    CONSTRAINT serial_unit_state_known
        CHECK (state IN ('in_stock', 'reserved', 'in_transit', 'sold', 'returned', 'defective',
                         'lost', 'scrapped')),
    CONSTRAINT serial_unit_warranty_ends_on_agrees_sold_at
        CHECK (warranty_ends_on >= sold_at::date)
);

COMMENT ON TABLE ret.serial_unit IS
    'One serialised unit from receipt to sale, return and warranty.';
-- RULE location_id is null once sold or lost

-- FK: the serial units of a location.
CREATE INDEX serial_unit_location_idx
    ON ret.serial_unit (business_id, location_id)
    WHERE location_id IS NOT NULL;

-- FK: the serial units of a stock lot.
CREATE INDEX serial_unit_stock_lot_idx
    ON ret.serial_unit (business_id, stock_lot_id)
    WHERE stock_lot_id IS NOT NULL;

ALTER TABLE ret.serial_unit ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.serial_unit
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.serial_unit TO app_user;
GRANT SELECT ON ret.serial_unit TO app_readonly;

CREATE TRIGGER serial_unit_touch
    BEFORE UPDATE ON ret.serial_unit
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.stock_movement (
    business_id        uuid                   NOT NULL,
    stock_movement_id  uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    product_variant_id uuid                   NOT NULL,
    location_id        uuid                   NOT NULL,
    stock_lot_id       uuid,
    bin_location_id    uuid,
    occurred_at        timestamptz            NOT NULL DEFAULT now(),
    movement_kind      text                   NOT NULL,
    from_state         text                   NOT NULL DEFAULT 'none',
    to_state           text                   NOT NULL DEFAULT 'none',
    quantity           system_core.quantity,
    unit_cost          system_core.unit_price,
    value_amount       system_core.money      GENERATED ALWAYS AS (quantity * unit_cost) STORED,
    balance_after      system_core.quantity,
    source_kind        text                   NOT NULL,
    source_id          uuid,
    serial_number      text,
    is_reversal        boolean                NOT NULL DEFAULT false,
    created_at         timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_movement_id, occurred_at),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, stock_lot_id) REFERENCES ret.stock_lot (business_id, stock_lot_id),
    FOREIGN KEY (business_id, bin_location_id)
        REFERENCES ret.bin_location (business_id, bin_location_id),
    CONSTRAINT stock_movement_kind_known
        CHECK (movement_kind IN ('receipt', 'sale', 'return', 'transfer_out', 'transfer_in',
                                 'adjustment', 'count', 'damage', 'rtv', 'assembly',
                                 'disassembly', 'consignment_in', 'write_off')),
    CONSTRAINT stock_movement_from_state_known
        CHECK (from_state IN ('none', 'available', 'committed', 'reserved', 'incoming',
                              'damaged', 'quality_hold')),
    CONSTRAINT stock_movement_to_state_known
        CHECK (to_state IN ('none', 'available', 'committed', 'reserved', 'incoming', 'damaged',
                            'quality_hold')),
    CONSTRAINT stock_movement_source_kind_known
        CHECK (source_kind IN ('sale', 'return', 'receipt', 'transfer', 'adjustment', 'count',
                               'shipment', 'assembly')),
    CONSTRAINT stock_movement_quantity_positive CHECK (quantity > 0),
    CONSTRAINT stock_movement_from_state_follows_to_state CHECK (from_state <> to_state)
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE ret.stock_movement IS
    'Ledger of every change of state or place of stock, with cost; append only.';

-- FK: the stock movements of a product variant.
CREATE INDEX stock_movement_product_variant_idx
    ON ret.stock_movement (business_id, product_variant_id);

-- FK: the stock movements of a location.
CREATE INDEX stock_movement_location_idx ON ret.stock_movement (business_id, location_id);

-- FK: the stock movements of a stock lot.
CREATE INDEX stock_movement_stock_lot_idx
    ON ret.stock_movement (business_id, stock_lot_id)
    WHERE stock_lot_id IS NOT NULL;

-- FK: the stock movements of a bin location.
CREATE INDEX stock_movement_bin_location_idx
    ON ret.stock_movement (business_id, bin_location_id)
    WHERE bin_location_id IS NOT NULL;

ALTER TABLE ret.stock_movement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.stock_movement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON ret.stock_movement TO app_user;
GRANT SELECT ON ret.stock_movement TO app_readonly;

CREATE TRIGGER stock_movement_append_only
    BEFORE UPDATE OR DELETE ON ret.stock_movement
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('ret.stock_movement');

CREATE TABLE ret.stock_movement_default PARTITION OF ret.stock_movement DEFAULT;
ALTER TABLE ret.stock_movement_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.stock_movement_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('ret.stock_movement', 'month', behind => 3, ahead => 1);


CREATE TABLE ret.stock_adjustment (
    business_id         uuid                 NOT NULL,
    stock_adjustment_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    entered_by_user_id  uuid                 NOT NULL,
    approved_by_user_id uuid,
    location_id         uuid                 NOT NULL,
    adjustment_number   text                 NOT NULL,
    reason              text,
    entered_at          timestamptz,
    approved_at         timestamptz,
    line_count          integer              NOT NULL DEFAULT 0,
    units_net           system_core.quantity,
    value_net           system_core.money,
    police_report_ref   text,
    state               text                 NOT NULL DEFAULT 'draft',
    created_at          timestamptz          NOT NULL DEFAULT now(),
    updated_at          timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_adjustment_id),
    UNIQUE (business_id, adjustment_number),
    FOREIGN KEY (business_id, entered_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, approved_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    CONSTRAINT stock_adjustment_reason_known
        CHECK (reason IN ('damage', 'theft_known', 'theft_unknown', 'expired', 'found',
                          'donation', 'own_use', 'data_error', 'recall')),
    CONSTRAINT stock_adjustment_state_known
        CHECK (state IN ('draft', 'pending_approval', 'posted', 'rejected')),
    CONSTRAINT stock_adjustment_it_iff CHECK ((approved_at IS NOT NULL) = (state = 'posted'))
);

COMMENT ON TABLE ret.stock_adjustment IS
    'A correction, damage, theft, donation or own-use write-off, approved.';
-- RULE approver differs from user who entered

-- FK: the stock adjustments by their entered by user.
CREATE INDEX stock_adjustment_entered_by_user_idx
    ON ret.stock_adjustment (business_id, entered_by_user_id);

-- FK: the stock adjustments by their approved by user.
CREATE INDEX stock_adjustment_approved_by_user_idx
    ON ret.stock_adjustment (business_id, approved_by_user_id)
    WHERE approved_by_user_id IS NOT NULL;

-- FK: the stock adjustments of a location.
CREATE INDEX stock_adjustment_location_idx ON ret.stock_adjustment (business_id, location_id);

ALTER TABLE ret.stock_adjustment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.stock_adjustment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.stock_adjustment TO app_user;
GRANT SELECT ON ret.stock_adjustment TO app_readonly;

CREATE TRIGGER stock_adjustment_touch
    BEFORE UPDATE ON ret.stock_adjustment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.stock_adjustment_line (
    business_id              uuid                   NOT NULL,
    stock_adjustment_line_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    stock_adjustment_id      uuid                   NOT NULL,
    product_variant_id       uuid                   NOT NULL,
    stock_lot_id             uuid,
    serial_unit_id           uuid,
    bin_location_id          uuid,
    line_number              integer                NOT NULL,
    quantity_delta           system_core.quantity,
    unit_cost                system_core.unit_price,
    value_delta              system_core.money      GENERATED ALWAYS AS (
                                                        quantity_delta * unit_cost) STORED,
    before_qty               system_core.quantity,
    after_qty                system_core.quantity,
    note                     text,
    created_at               timestamptz            NOT NULL DEFAULT now(),
    updated_at               timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_adjustment_line_id),
    UNIQUE (business_id, stock_adjustment_id, line_number),
    FOREIGN KEY (business_id, stock_adjustment_id)
        REFERENCES ret.stock_adjustment (business_id, stock_adjustment_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, stock_lot_id) REFERENCES ret.stock_lot (business_id, stock_lot_id),
    FOREIGN KEY (business_id, serial_unit_id)
        REFERENCES ret.serial_unit (business_id, serial_unit_id),
    FOREIGN KEY (business_id, bin_location_id)
        REFERENCES ret.bin_location (business_id, bin_location_id),
    CONSTRAINT stock_adjustment_line_quantity_delta_follows CHECK (quantity_delta <> 0)
);

COMMENT ON TABLE ret.stock_adjustment_line IS
    'Variant, lot or serial of an adjustment with quantity and cost.';

-- FK: the stock adjustment lines of a product variant.
CREATE INDEX stock_adjustment_line_product_variant_idx
    ON ret.stock_adjustment_line (business_id, product_variant_id);

-- FK: the stock adjustment lines of a stock lot.
CREATE INDEX stock_adjustment_line_stock_lot_idx
    ON ret.stock_adjustment_line (business_id, stock_lot_id)
    WHERE stock_lot_id IS NOT NULL;

-- FK: the stock adjustment lines of a serial unit.
CREATE INDEX stock_adjustment_line_serial_unit_idx
    ON ret.stock_adjustment_line (business_id, serial_unit_id)
    WHERE serial_unit_id IS NOT NULL;

-- FK: the stock adjustment lines of a bin location.
CREATE INDEX stock_adjustment_line_bin_location_idx
    ON ret.stock_adjustment_line (business_id, bin_location_id)
    WHERE bin_location_id IS NOT NULL;

ALTER TABLE ret.stock_adjustment_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.stock_adjustment_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.stock_adjustment_line TO app_user;
GRANT SELECT ON ret.stock_adjustment_line TO app_readonly;

CREATE TRIGGER stock_adjustment_line_touch
    BEFORE UPDATE ON ret.stock_adjustment_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.stock_transfer (
    business_id          uuid              NOT NULL,
    stock_transfer_id    uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    from_location_id     uuid              NOT NULL,
    to_location_id       uuid              NOT NULL,
    requested_by_user_id uuid              NOT NULL,
    transfer_number      text              NOT NULL,
    transfer_kind        text              NOT NULL,
    state                text              NOT NULL DEFAULT 'draft',
    requested_at         timestamptz       NOT NULL,
    shipped_at           timestamptz,
    expected_at          timestamptz,
    received_at          timestamptz       NOT NULL,
    carrier_name         text,
    tracking_number      text,
    carton_count         integer           NOT NULL DEFAULT 0,
    total_cost           system_core.money,
    created_at           timestamptz       NOT NULL DEFAULT now(),
    updated_at           timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_transfer_id),
    UNIQUE (business_id, transfer_number),
    FOREIGN KEY (business_id, from_location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, to_location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, requested_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT stock_transfer_kind_known
        CHECK (transfer_kind IN ('replenishment', 'rebalancing', 'customer_order',
                                 'return_to_dc', 'recall')),
    CONSTRAINT stock_transfer_state_known
        CHECK (state IN ('draft', 'requested', 'approved', 'picking', 'in_transit',
                         'partly_received', 'received', 'cancelled')),
    CONSTRAINT stock_transfer_from_location_id_follows_to_location_id
        CHECK (from_location_id <> to_location_id),
    CONSTRAINT stock_transfer_requested_at_in_order CHECK (requested_at <= shipped_at),
    CONSTRAINT stock_transfer_shipped_at_in_order CHECK (shipped_at <= received_at)
);

COMMENT ON TABLE ret.stock_transfer IS
    'Goods moving between locations: request, pick, ship, receive.';

-- FK: the stock transfers by their from location.
CREATE INDEX stock_transfer_from_location_idx
    ON ret.stock_transfer (business_id, from_location_id);

-- FK: the stock transfers by their to location.
CREATE INDEX stock_transfer_to_location_idx ON ret.stock_transfer (business_id, to_location_id);

-- FK: the stock transfers by their requested by user.
CREATE INDEX stock_transfer_requested_by_user_idx
    ON ret.stock_transfer (business_id, requested_by_user_id);

ALTER TABLE ret.stock_transfer ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.stock_transfer
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.stock_transfer TO app_user;
GRANT SELECT ON ret.stock_transfer TO app_readonly;

CREATE TRIGGER stock_transfer_touch
    BEFORE UPDATE ON ret.stock_transfer
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.stock_transfer_line (
    business_id            uuid                   NOT NULL,
    stock_transfer_line_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    stock_transfer_id      uuid                   NOT NULL,
    product_variant_id     uuid                   NOT NULL,
    stock_lot_id           uuid,
    line_number            integer                NOT NULL,
    requested_qty          system_core.quantity,
    shipped_qty            system_core.quantity,
    received_qty           system_core.quantity,
    damaged_qty            system_core.quantity,
    cancelled_qty          system_core.quantity,
    unit_cost              system_core.unit_price,
    variance_reason        text,
    serials_doc            jsonb,
    created_at             timestamptz            NOT NULL DEFAULT now(),
    updated_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_transfer_line_id),
    UNIQUE (business_id, stock_transfer_id, line_number),
    FOREIGN KEY (business_id, stock_transfer_id)
        REFERENCES ret.stock_transfer (business_id, stock_transfer_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, stock_lot_id) REFERENCES ret.stock_lot (business_id, stock_lot_id),
    CONSTRAINT stock_transfer_line_variance_reason_known
        CHECK (variance_reason IN ('none', 'short', 'over', 'damaged', 'wrong_item', 'lost')),
    CONSTRAINT stock_transfer_line_received_qty_when
        CHECK (received_qty + damaged_qty <= shipped_qty OR variance_reason = 'over'),
    CONSTRAINT stock_transfer_line_shipped_qty_precedes_requested_qty
        CHECK (shipped_qty <= requested_qty)
);

COMMENT ON TABLE ret.stock_transfer_line IS
    'Variant of a transfer with shipped, received and damaged quantity.';

-- FK: the stock transfer lines of a product variant.
CREATE INDEX stock_transfer_line_product_variant_idx
    ON ret.stock_transfer_line (business_id, product_variant_id);

-- FK: the stock transfer lines of a stock lot.
CREATE INDEX stock_transfer_line_stock_lot_idx
    ON ret.stock_transfer_line (business_id, stock_lot_id)
    WHERE stock_lot_id IS NOT NULL;

ALTER TABLE ret.stock_transfer_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.stock_transfer_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.stock_transfer_line TO app_user;
GRANT SELECT ON ret.stock_transfer_line TO app_readonly;

CREATE TRIGGER stock_transfer_line_touch
    BEFORE UPDATE ON ret.stock_transfer_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.cycle_count (
    business_id      uuid                 NOT NULL,
    cycle_count_id   uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    assigned_user_id uuid                 NOT NULL,
    recount_user_id  uuid,
    location_id      uuid                 NOT NULL,
    category_id      uuid,
    count_number     text                 NOT NULL,
    count_kind       text                 NOT NULL,
    trigger_kind     text                 NOT NULL,
    state            text                 NOT NULL DEFAULT 'requested',
    requested_at     timestamptz          NOT NULL,
    started_at       timestamptz          NOT NULL,
    completed_at     timestamptz,
    freeze_at        timestamptz,
    lines_total      integer              NOT NULL DEFAULT 0,
    lines_accurate   integer,
    variance_units   system_core.quantity,
    variance_value   system_core.money,
    created_at       timestamptz          NOT NULL DEFAULT now(),
    updated_at       timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, cycle_count_id),
    UNIQUE (business_id, count_number),
    FOREIGN KEY (business_id, assigned_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, recount_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, category_id) REFERENCES ret.category (business_id, category_id),
    CONSTRAINT cycle_count_kind_known
        CHECK (count_kind IN ('cycle', 'full', 'spot', 'blind', 'rfid')),
    CONSTRAINT cycle_count_trigger_kind_known
        CHECK (trigger_kind IN ('schedule', 'abc', 'negative_stock', 'high_value', 'zero_stock',
                                'manual')),
    CONSTRAINT cycle_count_state_known
        CHECK (state IN ('requested', 'counting', 'counted', 'investigating', 'ready_to_review',
                         'reviewed', 'completed', 'cancelled')),
    CONSTRAINT cycle_count_lines_accurate_precedes_lines_total
        CHECK (lines_accurate <= lines_total)
);

COMMENT ON TABLE ret.cycle_count IS 'A planned or triggered count by zone, class or discrepancy.';
-- RULE recount user differs from first counter

-- FK: the cycle counts by their assigned user.
CREATE INDEX cycle_count_assigned_user_idx ON ret.cycle_count (business_id, assigned_user_id);

-- FK: the cycle counts by their recount user.
CREATE INDEX cycle_count_recount_user_idx
    ON ret.cycle_count (business_id, recount_user_id)
    WHERE recount_user_id IS NOT NULL;

-- FK: the cycle counts of a location.
CREATE INDEX cycle_count_location_idx ON ret.cycle_count (business_id, location_id);

-- FK: the cycle counts of a category.
CREATE INDEX cycle_count_category_idx
    ON ret.cycle_count (business_id, category_id)
    WHERE category_id IS NOT NULL;

ALTER TABLE ret.cycle_count ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.cycle_count
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.cycle_count TO app_user;
GRANT SELECT ON ret.cycle_count TO app_readonly;

CREATE TRIGGER cycle_count_touch
    BEFORE UPDATE ON ret.cycle_count
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.cycle_count_line (
    business_id         uuid                 NOT NULL,
    cycle_count_line_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    cycle_count_id      uuid                 NOT NULL,
    product_variant_id  uuid                 NOT NULL,
    bin_location_id     uuid,
    stock_lot_id        uuid,
    line_number         integer              NOT NULL,
    expected_qty        system_core.quantity,
    counted_qty         system_core.quantity,
    recount_qty         system_core.quantity,
    final_qty           system_core.quantity,
    variance_qty        system_core.quantity GENERATED ALWAYS AS (final_qty - expected_qty) STORED,
    variance_value      system_core.money,
    root_cause          text                 NOT NULL,
    counted_at          timestamptz,
    state               text                 NOT NULL DEFAULT 'open',
    created_at          timestamptz          NOT NULL DEFAULT now(),
    updated_at          timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, cycle_count_line_id),
    UNIQUE (business_id, cycle_count_id, line_number),
    FOREIGN KEY (business_id, cycle_count_id)
        REFERENCES ret.cycle_count (business_id, cycle_count_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, bin_location_id)
        REFERENCES ret.bin_location (business_id, bin_location_id),
    FOREIGN KEY (business_id, stock_lot_id) REFERENCES ret.stock_lot (business_id, stock_lot_id),
    CONSTRAINT cycle_count_line_root_cause_known
        CHECK (root_cause IN ('none', 'miscounted', 'missing_transaction', 'misplaced', 'theft',
                              'damage', 'receiving_error', 'found')),
    CONSTRAINT cycle_count_line_state_known
        CHECK (state IN ('open', 'counted', 'recount', 'accepted', 'adjusted')),
    CONSTRAINT cycle_count_line_counted_qty_not_negative CHECK (counted_qty >= 0)
);

COMMENT ON TABLE ret.cycle_count_line IS
    'Expected against counted quantity, with recount and root cause.';

-- FK: the cycle count lines of a product variant.
CREATE INDEX cycle_count_line_product_variant_idx
    ON ret.cycle_count_line (business_id, product_variant_id);

-- FK: the cycle count lines of a bin location.
CREATE INDEX cycle_count_line_bin_location_idx
    ON ret.cycle_count_line (business_id, bin_location_id)
    WHERE bin_location_id IS NOT NULL;

-- FK: the cycle count lines of a stock lot.
CREATE INDEX cycle_count_line_stock_lot_idx
    ON ret.cycle_count_line (business_id, stock_lot_id)
    WHERE stock_lot_id IS NOT NULL;

ALTER TABLE ret.cycle_count_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.cycle_count_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.cycle_count_line TO app_user;
GRANT SELECT ON ret.cycle_count_line TO app_readonly;

CREATE TRIGGER cycle_count_line_touch
    BEFORE UPDATE ON ret.cycle_count_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.replenishment_rule (
    business_id           uuid                   NOT NULL,
    replenishment_rule_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    source_location_id    uuid,
    location_id           uuid                   NOT NULL,
    product_variant_id    uuid                   NOT NULL,
    supplier_id           uuid,
    method                text                   NOT NULL,
    min_qty               system_core.quantity,
    max_qty               system_core.quantity,
    reorder_point         system_core.quantity,
    safety_stock_qty      system_core.quantity,
    days_of_cover         system_core.quantity,
    review_every_days     integer,
    order_multiple        integer,
    service_level_pct     system_core.percentage,
    is_active             boolean                NOT NULL DEFAULT true,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, replenishment_rule_id),
    UNIQUE (business_id, location_id, product_variant_id),
    FOREIGN KEY (business_id, source_location_id)
        REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, supplier_id) REFERENCES ret.supplier (business_id, supplier_id),
    CONSTRAINT replenishment_rule_method_known
        CHECK (method IN ('min_max', 'reorder_point', 'days_of_cover', 'demand_driven',
                          'presentation')),
    CONSTRAINT replenishment_rule_max_qty_follows_min_qty CHECK (max_qty >= min_qty),
    CONSTRAINT replenishment_rule_one_of_source_location_id_supplier_id
        CHECK (num_nonnulls(source_location_id, supplier_id) = 1),
    CONSTRAINT replenishment_rule_service_level_pct_bounded
        CHECK (service_level_pct BETWEEN 50 AND 99.9)
);

COMMENT ON TABLE ret.replenishment_rule IS
    'How a variant is refilled at a location and from where.';

-- FK: the replenishment rules by their source location.
CREATE INDEX replenishment_rule_source_location_idx
    ON ret.replenishment_rule (business_id, source_location_id)
    WHERE source_location_id IS NOT NULL;

-- FK: the replenishment rules of a product variant.
CREATE INDEX replenishment_rule_product_variant_idx
    ON ret.replenishment_rule (business_id, product_variant_id);

-- FK: the replenishment rules of a supplier.
CREATE INDEX replenishment_rule_supplier_idx
    ON ret.replenishment_rule (business_id, supplier_id)
    WHERE supplier_id IS NOT NULL;

ALTER TABLE ret.replenishment_rule ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.replenishment_rule
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.replenishment_rule TO app_user;
GRANT SELECT ON ret.replenishment_rule TO app_readonly;

CREATE TRIGGER replenishment_rule_touch
    BEFORE UPDATE ON ret.replenishment_rule
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.replenishment_suggestion (
    business_id                 uuid                   NOT NULL,
    replenishment_suggestion_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    replenishment_rule_id       uuid                   NOT NULL,
    location_id                 uuid                   NOT NULL,
    product_variant_id          uuid                   NOT NULL,
    run_at                      timestamptz            NOT NULL,
    suggested_qty               system_core.quantity,
    accepted_qty                system_core.quantity,
    on_hand_qty                 system_core.quantity,
    on_order_qty                system_core.quantity,
    forecast_qty                system_core.quantity,
    days_cover_after            system_core.quantity,
    stockout_risk_pct           system_core.percentage,
    inputs_doc                  jsonb,
    state                       text                   NOT NULL DEFAULT 'proposed',
    decided_at                  timestamptz,
    created_at                  timestamptz            NOT NULL DEFAULT now(),
    updated_at                  timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, replenishment_suggestion_id),
    UNIQUE (business_id, replenishment_rule_id, run_at),
    FOREIGN KEY (business_id, replenishment_rule_id)
        REFERENCES ret.replenishment_rule (business_id, replenishment_rule_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    CONSTRAINT replenishment_suggestion_state_known
        CHECK (state IN ('proposed', 'accepted', 'changed', 'rejected', 'expired')),
    CONSTRAINT replenishment_suggestion_decided_at_when
        CHECK (decided_at IS NOT NULL OR state = 'proposed')
);

COMMENT ON TABLE ret.replenishment_suggestion IS
    'A proposed transfer or order line with the reasons behind it.';
-- RULE suggested_qty > 0 and a multiple of order_multiple

-- FK: the replenishment suggestions of a location.
CREATE INDEX replenishment_suggestion_location_idx
    ON ret.replenishment_suggestion (business_id, location_id);

-- FK: the replenishment suggestions of a product variant.
CREATE INDEX replenishment_suggestion_product_variant_idx
    ON ret.replenishment_suggestion (business_id, product_variant_id);

ALTER TABLE ret.replenishment_suggestion ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.replenishment_suggestion
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.replenishment_suggestion TO app_user;
GRANT SELECT ON ret.replenishment_suggestion TO app_readonly;

CREATE TRIGGER replenishment_suggestion_touch
    BEFORE UPDATE ON ret.replenishment_suggestion
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
