/*
 * TODO: what the area is and how its tables relate.
 */

CREATE TABLE rest.unit_of_measure (
    business_id        uuid             NOT NULL,
    unit_of_measure_id uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    unit_code          system_core.code NOT NULL,
    display_name       text             NOT NULL,
    symbol             text,
    dimension          text             NOT NULL,
    factor_to_base     numeric(18, 9),
    is_base            boolean          NOT NULL DEFAULT false,
    decimals           smallint,
    unit_system        text             NOT NULL,
    created_at         timestamptz      NOT NULL DEFAULT now(),
    updated_at         timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, unit_of_measure_id),
    UNIQUE (business_id, unit_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT unit_of_measure_dimension_known
        CHECK (dimension IN ('mass', 'volume', 'count', 'length')),
    CONSTRAINT unit_of_measure_unit_system_known
        CHECK (unit_system IN ('metric', 'us', 'imperial', 'trade')),
    CONSTRAINT unit_of_measure_factor_to_base_positive CHECK (factor_to_base > 0)
);

COMMENT ON TABLE rest.unit_of_measure IS 'Unit with its factor to the base of its dimension.';

-- One base unit per dimension.
CREATE UNIQUE INDEX unit_of_measure_dimension_idx
    ON rest.unit_of_measure (business_id, dimension)
    WHERE is_base;

ALTER TABLE rest.unit_of_measure ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.unit_of_measure
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.unit_of_measure TO app_user;
GRANT SELECT ON rest.unit_of_measure TO app_readonly;

CREATE TRIGGER unit_of_measure_touch
    BEFORE UPDATE ON rest.unit_of_measure
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.inventory_category (
    business_id           uuid                   NOT NULL,
    inventory_category_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    parent_category_id    uuid,
    category_code         system_core.code       NOT NULL,
    display_name          text                   NOT NULL,
    cost_group            text                   NOT NULL,
    gl_account            text,
    count_frequency       text                   NOT NULL,
    target_cost_pct       system_core.percentage,
    is_tcs_default        boolean                NOT NULL DEFAULT false,
    sort_order            integer                NOT NULL,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, inventory_category_id),
    UNIQUE (business_id, category_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, parent_category_id)
        REFERENCES rest.inventory_category (business_id, inventory_category_id),
    CONSTRAINT inventory_category_cost_group_known
        CHECK (cost_group IN ('food', 'beverage', 'alcohol', 'packaging', 'supplies', 'cleaning')),
    CONSTRAINT inventory_category_count_frequency_known
        CHECK (count_frequency IN ('daily', 'weekly', 'period'))
);

COMMENT ON TABLE rest.inventory_category IS 'Cost category with ledger account and count rhythm.';
-- RULE no cycle through parent_category_id

-- FK: the inventory categories by their parent category.
CREATE INDEX inventory_category_parent_category_idx
    ON rest.inventory_category (business_id, parent_category_id)
    WHERE parent_category_id IS NOT NULL;

ALTER TABLE rest.inventory_category ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.inventory_category
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.inventory_category TO app_user;
GRANT SELECT ON rest.inventory_category TO app_readonly;

CREATE TRIGGER inventory_category_touch
    BEFORE UPDATE ON rest.inventory_category
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.inventory_item (
    business_id           uuid                   NOT NULL,
    inventory_item_id     uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    stock_unit_id         uuid                   NOT NULL,
    recipe_unit_id        uuid                   NOT NULL,
    inventory_category_id uuid                   NOT NULL,
    item_code             system_core.code       NOT NULL,
    display_name          text                   NOT NULL,
    item_kind             text                   NOT NULL,
    storage_temp_class    text                   NOT NULL,
    is_tcs                boolean                NOT NULL DEFAULT false,
    on_traceability_list  boolean                NOT NULL DEFAULT false,
    shelf_life_days       integer,
    opened_life_hours     numeric(9, 2),
    default_yield_pct     system_core.percentage,
    average_cost          system_core.unit_price,
    last_cost             system_core.unit_price,
    cost_method           text,
    abc_class             text                   NOT NULL,
    reorder_mode          text                   NOT NULL,
    gtin                  text,
    is_active             boolean                NOT NULL DEFAULT true,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, inventory_item_id),
    UNIQUE (business_id, item_code),
    FOREIGN KEY (business_id, stock_unit_id)
        REFERENCES rest.unit_of_measure (business_id, unit_of_measure_id),
    FOREIGN KEY (business_id, recipe_unit_id)
        REFERENCES rest.unit_of_measure (business_id, unit_of_measure_id),
    FOREIGN KEY (business_id, inventory_category_id)
        REFERENCES rest.inventory_category (business_id, inventory_category_id),
    CONSTRAINT inventory_item_kind_known
        CHECK (item_kind IN ('ingredient', 'prep', 'packaging', 'supply', 'resale')),
    CONSTRAINT inventory_item_storage_temp_class_known
        CHECK (storage_temp_class IN ('frozen', 'chilled', 'ambient', 'dry')),
    CONSTRAINT inventory_item_cost_method_known
        CHECK (cost_method IN ('average', 'fifo', 'last')),
    CONSTRAINT inventory_item_abc_class_known CHECK (abc_class IN ('a', 'b', 'c')),
    CONSTRAINT inventory_item_reorder_mode_known
        CHECK (reorder_mode IN ('par', 'min_max', 'none')),
    CONSTRAINT inventory_item_average_cost_not_negative CHECK (average_cost >= 0)
);

COMMENT ON TABLE rest.inventory_item IS
    'Ingredient, prep item, packaging or supply that is bought, made, counted and costed.';
-- RULE default_yield_pct > 0 and <= 100

-- FK: the inventory items by their stock unit.
CREATE INDEX inventory_item_stock_unit_idx ON rest.inventory_item (business_id, stock_unit_id);

-- FK: the inventory items by their recipe unit.
CREATE INDEX inventory_item_recipe_unit_idx ON rest.inventory_item (business_id, recipe_unit_id);

-- FK: the inventory items of a inventory category.
CREATE INDEX inventory_item_inventory_category_idx
    ON rest.inventory_item (business_id, inventory_category_id);

ALTER TABLE rest.inventory_item ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.inventory_item
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.inventory_item TO app_user;
GRANT SELECT ON rest.inventory_item TO app_readonly;

CREATE TRIGGER inventory_item_touch
    BEFORE UPDATE ON rest.inventory_item
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.unit_conversion (
    business_id        uuid                   NOT NULL,
    unit_conversion_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    from_unit_id       uuid                   NOT NULL,
    to_unit_id         uuid                   NOT NULL,
    inventory_item_id  uuid,
    factor             numeric(18, 9)         NOT NULL,
    conversion_kind    text                   NOT NULL,
    source             text                   NOT NULL,
    measured_on        date,
    tolerance_pct      system_core.percentage,
    note               text,
    is_active          boolean                NOT NULL DEFAULT true,
    created_at         timestamptz            NOT NULL DEFAULT now(),
    updated_at         timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, unit_conversion_id),
    UNIQUE NULLS NOT DISTINCT (business_id, inventory_item_id, from_unit_id, to_unit_id),
    FOREIGN KEY (business_id, from_unit_id)
        REFERENCES rest.unit_of_measure (business_id, unit_of_measure_id),
    FOREIGN KEY (business_id, to_unit_id)
        REFERENCES rest.unit_of_measure (business_id, unit_of_measure_id),
    FOREIGN KEY (business_id, inventory_item_id)
        REFERENCES rest.inventory_item (business_id, inventory_item_id),
    CONSTRAINT unit_conversion_kind_known
        CHECK (conversion_kind IN ('standard', 'density', 'each_weight', 'pack', 'cooked')),
    CONSTRAINT unit_conversion_source_known CHECK (source IN ('standard', 'measured', 'vendor')),
    CONSTRAINT unit_conversion_factor_positive CHECK (factor > 0)
);

COMMENT ON TABLE rest.unit_conversion IS
    'Factor between two units, general or measured for one item (each to gram, volume to weight,
     case to each).';
-- RULE crossing dimensions needs inventory_item_id

-- FK: the unit conversions by their from unit.
CREATE INDEX unit_conversion_from_unit_idx ON rest.unit_conversion (business_id, from_unit_id);

-- FK: the unit conversions by their to unit.
CREATE INDEX unit_conversion_to_unit_idx ON rest.unit_conversion (business_id, to_unit_id);

ALTER TABLE rest.unit_conversion ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.unit_conversion
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.unit_conversion TO app_user;
GRANT SELECT ON rest.unit_conversion TO app_readonly;

CREATE TRIGGER unit_conversion_touch
    BEFORE UPDATE ON rest.unit_conversion
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.storage_area (
    business_id     uuid                 NOT NULL,
    storage_area_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    location_id     uuid                 NOT NULL,
    area_code       system_core.code     NOT NULL,
    display_name    text                 NOT NULL,
    storage_kind    text                 NOT NULL,
    temp_min_c      system_core.quantity,
    temp_max_c      system_core.quantity,
    count_sequence  integer,
    is_locked       boolean              NOT NULL DEFAULT false,
    is_active       boolean              NOT NULL DEFAULT true,
    created_at      timestamptz          NOT NULL DEFAULT now(),
    updated_at      timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, storage_area_id),
    UNIQUE (business_id, location_id, area_code),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    CONSTRAINT storage_area_storage_kind_known
        CHECK (storage_kind IN ('walk_in', 'freezer', 'dry', 'bar', 'line', 'reach_in',
                                'commissary')),
    CONSTRAINT storage_area_temp_max_c_follows_temp_min_c CHECK (temp_max_c > temp_min_c)
);

COMMENT ON TABLE rest.storage_area IS
    'Walk-in, freezer, dry store, bar or line where stock sits and is counted in shelf order.';

ALTER TABLE rest.storage_area ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.storage_area
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.storage_area TO app_user;
GRANT SELECT ON rest.storage_area TO app_readonly;

CREATE TRIGGER storage_area_touch
    BEFORE UPDATE ON rest.storage_area
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.stock_level (
    business_id       uuid                   NOT NULL,
    stock_level_id    uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    inventory_item_id uuid                   NOT NULL,
    storage_area_id   uuid                   NOT NULL,
    on_hand_qty       system_core.quantity   NOT NULL,
    reserved_qty      system_core.quantity,
    theoretical_qty   system_core.quantity,
    par_qty           system_core.quantity,
    min_qty           system_core.quantity,
    max_qty           system_core.quantity,
    average_cost      system_core.unit_price,
    last_counted_at   timestamptz,
    last_moved_at     timestamptz,
    shelf_sequence    integer,
    created_at        timestamptz            NOT NULL DEFAULT now(),
    updated_at        timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_level_id),
    UNIQUE (business_id, inventory_item_id, storage_area_id),
    FOREIGN KEY (business_id, inventory_item_id)
        REFERENCES rest.inventory_item (business_id, inventory_item_id),
    FOREIGN KEY (business_id, storage_area_id)
        REFERENCES rest.storage_area (business_id, storage_area_id),
    CONSTRAINT stock_level_min_qty_in_order CHECK (min_qty <= par_qty),
    CONSTRAINT stock_level_par_qty_in_order CHECK (par_qty <= max_qty),
    CONSTRAINT stock_level_reserved_qty_not_negative CHECK (reserved_qty >= 0)
);

COMMENT ON TABLE rest.stock_level IS 'On-hand, theoretical and par of an item in a storage area.';

-- FK: the stock levels of a storage area.
CREATE INDEX stock_level_storage_area_idx ON rest.stock_level (business_id, storage_area_id);

ALTER TABLE rest.stock_level ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.stock_level
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.stock_level TO app_user;
GRANT SELECT ON rest.stock_level TO app_readonly;

CREATE TRIGGER stock_level_touch
    BEFORE UPDATE ON rest.stock_level
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.stock_lot (
    business_id           uuid                   NOT NULL,
    stock_lot_id          uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    inventory_item_id     uuid                   NOT NULL,
    storage_area_id       uuid                   NOT NULL,
    lot_code              system_core.code       NOT NULL,
    traceability_lot_code system_core.code,
    source_kind           text                   NOT NULL,
    received_on           date                   NOT NULL,
    use_by_on             date,
    opened_at             timestamptz            NOT NULL,
    discard_at            timestamptz,
    initial_qty           system_core.quantity,
    remaining_qty         system_core.quantity,
    unit_cost             system_core.unit_price,
    status                text                   NOT NULL DEFAULT 'available',
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_lot_id),
    UNIQUE (business_id, inventory_item_id, storage_area_id, lot_code),
    FOREIGN KEY (business_id, inventory_item_id)
        REFERENCES rest.inventory_item (business_id, inventory_item_id),
    FOREIGN KEY (business_id, storage_area_id)
        REFERENCES rest.storage_area (business_id, storage_area_id),
    CONSTRAINT stock_lot_source_kind_known
        CHECK (source_kind IN ('receipt', 'production', 'transfer', 'opening')),
    CONSTRAINT stock_lot_status_known
        CHECK (status IN ('available', 'quarantined', 'recalled', 'expired', 'depleted')),
    CONSTRAINT stock_lot_remaining_qty_in_order CHECK (0 <= remaining_qty),
    CONSTRAINT stock_lot_remaining_qty_in_order_2 CHECK (remaining_qty <= initial_qty),
    CONSTRAINT stock_lot_use_by_on_follows_received_on CHECK (use_by_on >= received_on)
);

COMMENT ON TABLE rest.stock_lot IS
    'A received or produced lot with use-by date and traceability lot code.';

-- FK: the stock lots of a storage area.
CREATE INDEX stock_lot_storage_area_idx ON rest.stock_lot (business_id, storage_area_id);

ALTER TABLE rest.stock_lot ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.stock_lot
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.stock_lot TO app_user;
GRANT SELECT ON rest.stock_lot TO app_readonly;

CREATE TRIGGER stock_lot_touch
    BEFORE UPDATE ON rest.stock_lot
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.stock_movement (
    business_id       uuid                   NOT NULL,
    stock_movement_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    inventory_item_id uuid                   NOT NULL,
    storage_area_id   uuid                   NOT NULL,
    stock_lot_id      uuid,
    occurred_at       timestamptz            NOT NULL DEFAULT now(),
    business_date     date,
    movement_kind     text                   NOT NULL,
    quantity          system_core.quantity,
    unit_cost         system_core.unit_price,
    value_amount      system_core.money      GENERATED ALWAYS AS (quantity * unit_cost) STORED,
    balance_after     system_core.quantity,
    source_kind       text                   NOT NULL,
    source_id         uuid,
    is_reversal       boolean                NOT NULL DEFAULT false,
    created_at        timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_movement_id, occurred_at),
    FOREIGN KEY (business_id, inventory_item_id)
        REFERENCES rest.inventory_item (business_id, inventory_item_id),
    FOREIGN KEY (business_id, storage_area_id)
        REFERENCES rest.storage_area (business_id, storage_area_id),
    FOREIGN KEY (business_id, stock_lot_id) REFERENCES rest.stock_lot (business_id, stock_lot_id),
    CONSTRAINT stock_movement_kind_known
        CHECK (movement_kind IN ('receipt', 'sale', 'waste', 'transfer_out', 'transfer_in',
                                 'production_in', 'production_out', 'count_adjustment',
                                 'vendor_return', 'staff_meal')),
    CONSTRAINT stock_movement_source_kind_known
        CHECK (source_kind IN ('check_item', 'goods_receipt_line', 'waste_log',
                               'stock_transfer_line', 'production_batch', 'inventory_count_line'))
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE rest.stock_movement IS
    'Ledger of every quantity that moved, with cost and source document; append only.';
-- RULE quantity <> 0 and its sign follows movement_kind

-- FK: the stock movements of a inventory item.
CREATE INDEX stock_movement_inventory_item_idx
    ON rest.stock_movement (business_id, inventory_item_id);

-- FK: the stock movements of a storage area.
CREATE INDEX stock_movement_storage_area_idx
    ON rest.stock_movement (business_id, storage_area_id);

-- FK: the stock movements of a stock lot.
CREATE INDEX stock_movement_stock_lot_idx
    ON rest.stock_movement (business_id, stock_lot_id)
    WHERE stock_lot_id IS NOT NULL;

ALTER TABLE rest.stock_movement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.stock_movement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON rest.stock_movement TO app_user;
GRANT SELECT ON rest.stock_movement TO app_readonly;

CREATE TRIGGER stock_movement_append_only
    BEFORE UPDATE OR DELETE ON rest.stock_movement
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('rest.stock_movement');

CREATE TABLE rest.stock_movement_default PARTITION OF rest.stock_movement DEFAULT;
ALTER TABLE rest.stock_movement_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.stock_movement_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('rest.stock_movement', 'month', behind => 3, ahead => 1);
