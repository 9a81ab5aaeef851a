/*
 * TODO: what the area is and how its tables relate.
 */

CREATE TABLE rest.inventory_count (
    business_id          uuid              NOT NULL,
    inventory_count_id   uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    started_by_staff_id  uuid              NOT NULL,
    approved_by_staff_id uuid,
    location_id          uuid              NOT NULL,
    count_number         text              NOT NULL,
    count_kind           text              NOT NULL,
    business_date        date,
    started_at           timestamptz       NOT NULL,
    submitted_at         timestamptz       NOT NULL,
    approved_at          timestamptz,
    state                text              NOT NULL DEFAULT 'draft',
    line_count           integer           NOT NULL DEFAULT 0,
    counted_value        system_core.money,
    variance_value       system_core.money,
    freezes_stock        boolean           NOT NULL DEFAULT false,
    created_at           timestamptz       NOT NULL DEFAULT now(),
    updated_at           timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, inventory_count_id),
    UNIQUE (business_id, location_id, count_number),
    FOREIGN KEY (business_id, started_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, approved_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    CONSTRAINT inventory_count_kind_known
        CHECK (count_kind IN ('full', 'spot', 'category', 'key_items')),
    CONSTRAINT inventory_count_state_known
        CHECK (state IN ('draft', 'counting', 'submitted', 'approved', 'cancelled')),
    CONSTRAINT inventory_count_state_iff CHECK ((approved_at IS NOT NULL) = (state = 'approved'))
);

COMMENT ON TABLE rest.inventory_count IS
    'A count of a site, full or partial, from freeze to approval.';
-- RULE approver differs from counter

-- FK: the inventory counts by their started by staff.
CREATE INDEX inventory_count_started_by_staff_idx
    ON rest.inventory_count (business_id, started_by_staff_id);

-- FK: the inventory counts by their approved by staff.
CREATE INDEX inventory_count_approved_by_staff_idx
    ON rest.inventory_count (business_id, approved_by_staff_id)
    WHERE approved_by_staff_id IS NOT NULL;

ALTER TABLE rest.inventory_count ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.inventory_count
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.inventory_count TO app_user;
GRANT SELECT ON rest.inventory_count TO app_readonly;

CREATE TRIGGER inventory_count_touch
    BEFORE UPDATE ON rest.inventory_count
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.inventory_count_line (
    business_id             uuid                   NOT NULL,
    inventory_count_line_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    inventory_count_id      uuid                   NOT NULL,
    inventory_item_id       uuid                   NOT NULL,
    storage_area_id         uuid                   NOT NULL,
    unit_of_measure_id      uuid                   NOT NULL,
    reason_code_id          uuid,
    sequence_no             integer                NOT NULL,
    expected_qty            system_core.quantity,
    counted_qty             system_core.quantity,
    counted_unit_qty        system_core.quantity,
    recount_qty             system_core.quantity,
    unit_cost               system_core.unit_price,
    variance_qty            system_core.quantity   GENERATED ALWAYS AS (
                                                       counted_qty - expected_qty) STORED,
    variance_value          system_core.money,
    counted_at              timestamptz,
    created_at              timestamptz            NOT NULL DEFAULT now(),
    updated_at              timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, inventory_count_line_id),
    UNIQUE (business_id, inventory_count_id, inventory_item_id, storage_area_id),
    FOREIGN KEY (business_id, inventory_count_id)
        REFERENCES rest.inventory_count (business_id, inventory_count_id),
    FOREIGN KEY (business_id, inventory_item_id)
        REFERENCES rest.inventory_item (business_id, inventory_item_id),
    FOREIGN KEY (business_id, storage_area_id)
        REFERENCES rest.storage_area (business_id, storage_area_id),
    FOREIGN KEY (business_id, unit_of_measure_id)
        REFERENCES rest.unit_of_measure (business_id, unit_of_measure_id),
    FOREIGN KEY (business_id, reason_code_id)
        REFERENCES rest.reason_code (business_id, reason_code_id),
    CONSTRAINT inventory_count_line_counted_qty_not_negative CHECK (counted_qty >= 0)
);

COMMENT ON TABLE rest.inventory_count_line IS
    'Counted against expected quantity of an item in an area.';

-- FK: the inventory count lines of a inventory item.
CREATE INDEX inventory_count_line_inventory_item_idx
    ON rest.inventory_count_line (business_id, inventory_item_id);

-- FK: the inventory count lines of a storage area.
CREATE INDEX inventory_count_line_storage_area_idx
    ON rest.inventory_count_line (business_id, storage_area_id);

-- FK: the inventory count lines of a unit of measure.
CREATE INDEX inventory_count_line_unit_of_measure_idx
    ON rest.inventory_count_line (business_id, unit_of_measure_id);

-- FK: the inventory count lines of a reason code.
CREATE INDEX inventory_count_line_reason_code_idx
    ON rest.inventory_count_line (business_id, reason_code_id)
    WHERE reason_code_id IS NOT NULL;

ALTER TABLE rest.inventory_count_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.inventory_count_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.inventory_count_line TO app_user;
GRANT SELECT ON rest.inventory_count_line TO app_readonly;

CREATE TRIGGER inventory_count_line_touch
    BEFORE UPDATE ON rest.inventory_count_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.waste_log (
    business_id          uuid                   NOT NULL,
    waste_log_id         uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    recorded_by_staff_id uuid                   NOT NULL,
    location_id          uuid                   NOT NULL,
    reason_code_id       uuid                   NOT NULL,
    inventory_item_id    uuid,
    menu_item_id         uuid,
    check_item_id        uuid,
    unit_of_measure_id   uuid,
    occurred_at          timestamptz            NOT NULL,
    business_date        date,
    waste_kind           text                   NOT NULL,
    quantity             system_core.quantity,
    unit_cost            system_core.unit_price,
    value_amount         system_core.money      GENERATED ALWAYS AS (quantity * unit_cost) STORED,
    disposal             text                   NOT NULL,
    note                 text,
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, waste_log_id),
    FOREIGN KEY (business_id, recorded_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, reason_code_id)
        REFERENCES rest.reason_code (business_id, reason_code_id),
    FOREIGN KEY (business_id, inventory_item_id)
        REFERENCES rest.inventory_item (business_id, inventory_item_id),
    FOREIGN KEY (business_id, menu_item_id) REFERENCES rest.menu_item (business_id, menu_item_id),
    FOREIGN KEY (business_id, check_item_id)
        REFERENCES rest.check_item (business_id, check_item_id),
    FOREIGN KEY (business_id, unit_of_measure_id)
        REFERENCES rest.unit_of_measure (business_id, unit_of_measure_id),
    CONSTRAINT waste_log_waste_kind_known
        CHECK (waste_kind IN ('spoilage', 'trim', 'overproduction', 'dropped', 'returned_dish',
                              'expired', 'staff_meal', 'donation')),
    CONSTRAINT waste_log_disposal_known
        CHECK (disposal IN ('bin', 'compost', 'donated', 'oil_recycler')),
    CONSTRAINT waste_log_one_of_inventory_item_id_menu_item_id
        CHECK (num_nonnulls(inventory_item_id, menu_item_id) = 1),
    CONSTRAINT waste_log_quantity_positive CHECK (quantity > 0)
);

COMMENT ON TABLE rest.waste_log IS
    'Food thrown away, donated or eaten by staff, as ingredient or as dish.';

-- FK: the waste logs by their recorded by staff.
CREATE INDEX waste_log_recorded_by_staff_idx
    ON rest.waste_log (business_id, recorded_by_staff_id);

-- FK: the waste logs of a location.
CREATE INDEX waste_log_location_idx ON rest.waste_log (business_id, location_id);

-- FK: the waste logs of a reason code.
CREATE INDEX waste_log_reason_code_idx ON rest.waste_log (business_id, reason_code_id);

-- FK: the waste logs of a inventory item.
CREATE INDEX waste_log_inventory_item_idx
    ON rest.waste_log (business_id, inventory_item_id)
    WHERE inventory_item_id IS NOT NULL;

-- FK: the waste logs of a menu item.
CREATE INDEX waste_log_menu_item_idx
    ON rest.waste_log (business_id, menu_item_id)
    WHERE menu_item_id IS NOT NULL;

-- FK: the waste logs of a check item.
CREATE INDEX waste_log_check_item_idx
    ON rest.waste_log (business_id, check_item_id)
    WHERE check_item_id IS NOT NULL;

-- FK: the waste logs of a unit of measure.
CREATE INDEX waste_log_unit_of_measure_idx
    ON rest.waste_log (business_id, unit_of_measure_id)
    WHERE unit_of_measure_id IS NOT NULL;

ALTER TABLE rest.waste_log ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.waste_log
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.waste_log TO app_user;
GRANT SELECT ON rest.waste_log TO app_readonly;

CREATE TRIGGER waste_log_touch
    BEFORE UPDATE ON rest.waste_log
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.stock_transfer (
    business_id           uuid                 NOT NULL,
    stock_transfer_id     uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    from_location_id      uuid                 NOT NULL,
    to_location_id        uuid                 NOT NULL,
    requested_by_staff_id uuid                 NOT NULL,
    transfer_number       text                 NOT NULL,
    transfer_kind         text                 NOT NULL,
    state                 text                 NOT NULL DEFAULT 'requested',
    requested_at          timestamptz          NOT NULL,
    shipped_at            timestamptz,
    received_at           timestamptz          NOT NULL,
    vehicle_temp_c        system_core.quantity,
    temperature_ok        boolean              NOT NULL DEFAULT false,
    total_value           system_core.money,
    created_at            timestamptz          NOT NULL DEFAULT now(),
    updated_at            timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_transfer_id),
    UNIQUE (business_id, transfer_number),
    FOREIGN KEY (business_id, from_location_id)
        REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, to_location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, requested_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    CONSTRAINT stock_transfer_kind_known
        CHECK (transfer_kind IN ('commissary', 'inter_store', 'return')),
    CONSTRAINT stock_transfer_state_known
        CHECK (state IN ('requested', 'approved', 'picked', 'in_transit', 'received', 'cancelled')),
    CONSTRAINT stock_transfer_from_location_id_follows_to_location_id
        CHECK (from_location_id <> to_location_id),
    CONSTRAINT stock_transfer_requested_at_in_order CHECK (requested_at <= shipped_at),
    CONSTRAINT stock_transfer_shipped_at_in_order CHECK (shipped_at <= received_at)
);

COMMENT ON TABLE rest.stock_transfer IS 'Goods moved between commissary and sites.';

-- FK: the stock transfers by their from location.
CREATE INDEX stock_transfer_from_location_idx
    ON rest.stock_transfer (business_id, from_location_id);

-- FK: the stock transfers by their to location.
CREATE INDEX stock_transfer_to_location_idx ON rest.stock_transfer (business_id, to_location_id);

-- FK: the stock transfers by their requested by staff.
CREATE INDEX stock_transfer_requested_by_staff_idx
    ON rest.stock_transfer (business_id, requested_by_staff_id);

ALTER TABLE rest.stock_transfer ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.stock_transfer
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.stock_transfer TO app_user;
GRANT SELECT ON rest.stock_transfer TO app_readonly;

CREATE TRIGGER stock_transfer_touch
    BEFORE UPDATE ON rest.stock_transfer
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.stock_transfer_line (
    business_id            uuid                   NOT NULL,
    stock_transfer_line_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    stock_transfer_id      uuid                   NOT NULL,
    inventory_item_id      uuid                   NOT NULL,
    unit_of_measure_id     uuid                   NOT NULL,
    stock_lot_id           uuid,
    line_number            integer                NOT NULL,
    requested_qty          system_core.quantity,
    shipped_qty            system_core.quantity,
    received_qty           system_core.quantity,
    unit_cost              system_core.unit_price,
    line_value             system_core.money,
    discrepancy_kind       text                   NOT NULL,
    note                   text,
    created_at             timestamptz            NOT NULL DEFAULT now(),
    updated_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_transfer_line_id),
    UNIQUE (business_id, stock_transfer_id, line_number),
    FOREIGN KEY (business_id, stock_transfer_id)
        REFERENCES rest.stock_transfer (business_id, stock_transfer_id),
    FOREIGN KEY (business_id, inventory_item_id)
        REFERENCES rest.inventory_item (business_id, inventory_item_id),
    FOREIGN KEY (business_id, unit_of_measure_id)
        REFERENCES rest.unit_of_measure (business_id, unit_of_measure_id),
    FOREIGN KEY (business_id, stock_lot_id) REFERENCES rest.stock_lot (business_id, stock_lot_id),
    CONSTRAINT stock_transfer_line_discrepancy_kind_known
        CHECK (discrepancy_kind IN ('none', 'short', 'over', 'damaged', 'warm')),
    CONSTRAINT stock_transfer_line_received_qty_when
        CHECK (received_qty <= shipped_qty OR discrepancy_kind = 'over')
);

COMMENT ON TABLE rest.stock_transfer_line IS
    'Item and lot of a transfer with the quantity short or warm on arrival.';

-- FK: the stock transfer lines of a inventory item.
CREATE INDEX stock_transfer_line_inventory_item_idx
    ON rest.stock_transfer_line (business_id, inventory_item_id);

-- FK: the stock transfer lines of a unit of measure.
CREATE INDEX stock_transfer_line_unit_of_measure_idx
    ON rest.stock_transfer_line (business_id, unit_of_measure_id);

-- FK: the stock transfer lines of a stock lot.
CREATE INDEX stock_transfer_line_stock_lot_idx
    ON rest.stock_transfer_line (business_id, stock_lot_id)
    WHERE stock_lot_id IS NOT NULL;

ALTER TABLE rest.stock_transfer_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.stock_transfer_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.stock_transfer_line TO app_user;
GRANT SELECT ON rest.stock_transfer_line TO app_readonly;

CREATE TRIGGER stock_transfer_line_touch
    BEFORE UPDATE ON rest.stock_transfer_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
