/*
 * Inventory: what a kitchen buys, makes, stores and uses up.
 *
 * An inventory_item is counted in its stock unit; recipes use another unit, and unit_conversions
 * lead from one to the other: general ones within a dimension, measured ones of an item across
 * (a cup of flour weighs 125 g). It lies in storage_areas, as stock_lots where its date matters.
 *
 * stock_movement is the ledger, which is only ever added to. A stock_level is the sum of the
 * movements of an item in an area, a lot holds the sum of its own: the ledger's trigger keeps both
 * and nobody else writes them; rest.stock_differences() proves it. What is used up leaves the lots
 * that expire first, by rest.consume_stock(); what comes in enters by rest.receive_stock(). What is
 * sold beyond the books leaves an area below zero until the next count: a guest is not refused a
 * dish because a delivery was not booked.
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
    decimals           smallint         NOT NULL DEFAULT 2,
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
    CONSTRAINT unit_of_measure_factor_to_base_positive CHECK (factor_to_base > 0),
    CONSTRAINT unit_of_measure_base_is_one
        CHECK (NOT is_base OR (factor_to_base IS NOT NULL AND factor_to_base = 1)),
    CONSTRAINT unit_of_measure_only_trade_units_vary
        CHECK (factor_to_base IS NOT NULL OR unit_system = 'trade'),
    CONSTRAINT unit_of_measure_decimals_bounded CHECK (decimals BETWEEN 0 AND 4)
);

COMMENT ON TABLE rest.unit_of_measure IS
    'Unit in which is bought, counted or cooked, with its factor to the base of its dimension.';
COMMENT ON COLUMN rest.unit_of_measure.factor_to_base IS
    'NULL where only the item says how much it is, as of a case or a bunch.';

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
        CHECK (count_frequency IN ('daily', 'weekly', 'period')),
    CONSTRAINT inventory_category_target_bounded CHECK (target_cost_pct BETWEEN 0 AND 100)
);

COMMENT ON TABLE rest.inventory_category IS
    'Produce, meat, spirits: what is costed and counted together, with its ledger account.';
COMMENT ON COLUMN rest.inventory_category.target_cost_pct IS
    'What the category may cost, in percent of the sales that it goes into.';
COMMENT ON COLUMN rest.inventory_category.is_tcs_default IS
    'New items of it need time and temperature control for safety.';

-- FK: the categories within a category.
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

CREATE FUNCTION rest.refuse_category_cycle() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    is_cycle boolean;
BEGIN
    -- Two moves at once could close a circle that neither of them sees.
    PERFORM pg_advisory_xact_lock(
        hashtextextended('rest.inventory_category ' || NEW.business_id, 0));
    WITH RECURSIVE line AS (
        SELECT NEW.parent_category_id AS inventory_category_id
        UNION
        SELECT c.parent_category_id
        FROM line AS l
        JOIN rest.inventory_category AS c
            ON c.business_id = NEW.business_id
           AND c.inventory_category_id = l.inventory_category_id
        WHERE c.parent_category_id IS NOT NULL
    )
    SELECT bool_or(l.inventory_category_id = NEW.inventory_category_id) INTO is_cycle
    FROM line AS l;
    IF is_cycle THEN
        RAISE EXCEPTION 'category % would be above itself', NEW.category_code
            USING ERRCODE = 'check_violation',
                  HINT = 'Place it under a category that is not in it.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.refuse_category_cycle() IS 'No category stands above itself.';

CREATE TRIGGER inventory_category_no_cycle
    BEFORE INSERT OR UPDATE OF parent_category_id ON rest.inventory_category
    FOR EACH ROW WHEN (NEW.parent_category_id IS NOT NULL)
    EXECUTE FUNCTION rest.refuse_category_cycle();


CREATE TABLE rest.inventory_item (
    business_id           uuid                   NOT NULL,
    inventory_item_id     uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    inventory_category_id uuid                   NOT NULL,
    stock_unit_id         uuid                   NOT NULL,
    recipe_unit_id        uuid                   NOT NULL,
    item_code             system_core.code       NOT NULL,
    display_name          text                   NOT NULL,
    item_kind             text                   NOT NULL,
    storage_temp_class    text                   NOT NULL,
    is_tcs                boolean                NOT NULL DEFAULT false,
    on_traceability_list  boolean                NOT NULL DEFAULT false,
    shelf_life_days       integer,
    opened_life_hours     numeric(9, 2),
    default_yield_pct     system_core.percentage NOT NULL DEFAULT 100,
    average_cost          system_core.unit_price NOT NULL DEFAULT 0,
    last_cost             system_core.unit_price,
    cost_method           text                   NOT NULL DEFAULT 'average',
    abc_class             text                   NOT NULL DEFAULT 'c',
    reorder_mode          text                   NOT NULL DEFAULT 'par',
    gtin                  text,
    is_active             boolean                NOT NULL DEFAULT true,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, inventory_item_id),
    UNIQUE (business_id, item_code),
    FOREIGN KEY (business_id, inventory_category_id)
        REFERENCES rest.inventory_category (business_id, inventory_category_id),
    FOREIGN KEY (business_id, stock_unit_id)
        REFERENCES rest.unit_of_measure (business_id, unit_of_measure_id),
    FOREIGN KEY (business_id, recipe_unit_id)
        REFERENCES rest.unit_of_measure (business_id, unit_of_measure_id),
    CONSTRAINT inventory_item_kind_known
        CHECK (item_kind IN ('ingredient', 'prep', 'packaging', 'supply', 'resale')),
    CONSTRAINT inventory_item_storage_temp_class_known
        CHECK (storage_temp_class IN ('frozen', 'chilled', 'ambient', 'dry')),
    CONSTRAINT inventory_item_cost_method_known
        CHECK (cost_method IN ('average', 'fifo', 'last')),
    CONSTRAINT inventory_item_abc_class_known CHECK (abc_class IN ('a', 'b', 'c')),
    CONSTRAINT inventory_item_reorder_mode_known
        CHECK (reorder_mode IN ('par', 'min_max', 'none')),
    CONSTRAINT inventory_item_yield_bounded
        CHECK (default_yield_pct > 0 AND default_yield_pct <= 100),
    CONSTRAINT inventory_item_cost_not_negative CHECK (average_cost >= 0 AND last_cost >= 0),
    CONSTRAINT inventory_item_lives_on CHECK (shelf_life_days >= 0 AND opened_life_hours > 0),
    CONSTRAINT inventory_item_controlled_is_cold_or_hot
        CHECK (NOT is_tcs OR storage_temp_class <> 'dry'),
    CONSTRAINT inventory_item_gtin_is_digits CHECK (gtin ~ '^[0-9]{8,14}$')
);

COMMENT ON TABLE rest.inventory_item IS
    'Ingredient, prep item, packaging or supply that is bought, made, counted and costed.';
COMMENT ON COLUMN rest.inventory_item.stock_unit_id IS
    'The unit of all its quantities and costs in stock; it stays once something has moved.';
COMMENT ON COLUMN rest.inventory_item.is_tcs IS
    'Needs time and temperature control for safety.';
COMMENT ON COLUMN rest.inventory_item.on_traceability_list IS
    'Food whose lots the law wants traced from supplier to guest.';
COMMENT ON COLUMN rest.inventory_item.opened_life_hours IS 'How long it keeps once it is open.';
COMMENT ON COLUMN rest.inventory_item.default_yield_pct IS
    'What is left of it after trimming, in percent of what was bought.';
COMMENT ON COLUMN rest.inventory_item.average_cost IS
    'Cost of a stock unit, weighed over what lies there; receipts move it.';
COMMENT ON COLUMN rest.inventory_item.abc_class IS
    'By its share of the spending: a is counted most often.';

-- FK: the items of a category.
CREATE INDEX inventory_item_inventory_category_idx
    ON rest.inventory_item (business_id, inventory_category_id);

-- FK: the items that are counted in a unit.
CREATE INDEX inventory_item_stock_unit_idx ON rest.inventory_item (business_id, stock_unit_id);

-- FK: the items that are cooked in a unit.
CREATE INDEX inventory_item_recipe_unit_idx ON rest.inventory_item (business_id, recipe_unit_id);

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
    CONSTRAINT unit_conversion_factor_positive CHECK (factor > 0),
    CONSTRAINT unit_conversion_goes_elsewhere CHECK (from_unit_id <> to_unit_id),
    CONSTRAINT unit_conversion_measured_has_date
        CHECK (source <> 'measured' OR measured_on IS NOT NULL),
    CONSTRAINT unit_conversion_only_items_weigh
        CHECK (inventory_item_id IS NOT NULL
               OR conversion_kind NOT IN ('density', 'each_weight', 'cooked')),
    CONSTRAINT unit_conversion_tolerance_bounded CHECK (tolerance_pct BETWEEN 0 AND 100)
);

COMMENT ON TABLE rest.unit_conversion IS
    'Factor between two units, general or measured for one item (each to gram, volume to weight,
     case to each).';
COMMENT ON COLUMN rest.unit_conversion.factor IS
    'One of the from-unit is so many of the to-unit.';
COMMENT ON COLUMN rest.unit_conversion.conversion_kind IS
    'Cooked tells what is left of the raw weight; quantities in stock are not converted by it.';

-- FK: the conversions out of a unit.
CREATE INDEX unit_conversion_from_unit_idx ON rest.unit_conversion (business_id, from_unit_id);

-- FK: the conversions into a unit.
CREATE INDEX unit_conversion_to_unit_idx ON rest.unit_conversion (business_id, to_unit_id);

ALTER TABLE rest.unit_conversion ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.unit_conversion
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.unit_conversion TO app_user;
GRANT SELECT ON rest.unit_conversion TO app_readonly;

CREATE TRIGGER unit_conversion_touch
    BEFORE UPDATE ON rest.unit_conversion
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION rest.check_unit_conversion() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    units record;
BEGIN
    SELECT f.unit_code AS from_code, f.dimension AS from_dimension, t.unit_code AS to_code,
           t.dimension AS to_dimension, f.factor_to_base / t.factor_to_base AS factor
    INTO units
    FROM rest.unit_of_measure AS f
    JOIN rest.unit_of_measure AS t
        ON t.business_id = f.business_id AND t.unit_of_measure_id = NEW.to_unit_id
    WHERE f.business_id = NEW.business_id AND f.unit_of_measure_id = NEW.from_unit_id;
    IF NEW.inventory_item_id IS NULL AND units.from_dimension <> units.to_dimension THEN
        RAISE EXCEPTION 'from % to % the dimension changes, only an item can tell the factor',
                        units.from_code, units.to_code
            USING ERRCODE = 'check_violation', HINT = 'Name the item that it was measured for.';
    ELSIF NEW.conversion_kind <> 'cooked'
          AND units.from_dimension = units.to_dimension
          AND abs(NEW.factor - units.factor) > units.factor / 1000 THEN
        RAISE EXCEPTION 'one % is % %, not %', units.from_code, trim_scale(units.factor),
                        units.to_code, trim_scale(NEW.factor)
            USING ERRCODE = 'check_violation',
                  HINT = 'Both units have a factor to the base of their dimension already.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.check_unit_conversion() IS
    'Only an item leads across dimensions, and within one nothing contradicts the base factors.';

CREATE TRIGGER unit_conversion_check
    BEFORE INSERT OR UPDATE OF from_unit_id, to_unit_id, factor, inventory_item_id,
                               conversion_kind
    ON rest.unit_conversion
    FOR EACH ROW EXECUTE FUNCTION rest.check_unit_conversion();


CREATE TABLE rest.storage_area (
    business_id     uuid                 NOT NULL,
    storage_area_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    location_id     uuid                 NOT NULL,
    area_code       system_core.code     NOT NULL,
    display_name    text                 NOT NULL,
    storage_kind    text                 NOT NULL,
    temp_min_c      numeric(6, 2),
    temp_max_c      numeric(6, 2),
    count_sequence  integer              NOT NULL DEFAULT 0,
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
    CONSTRAINT storage_area_range_is_a_range CHECK (temp_max_c > temp_min_c)
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
    on_hand_qty       system_core.quantity   NOT NULL DEFAULT 0,
    reserved_qty      system_core.quantity   NOT NULL DEFAULT 0,
    theoretical_qty   system_core.quantity,
    par_qty           system_core.quantity,
    min_qty           system_core.quantity,
    max_qty           system_core.quantity,
    average_cost      system_core.unit_price NOT NULL DEFAULT 0,
    last_counted_at   timestamptz,
    last_moved_at     timestamptz,
    shelf_sequence    integer                NOT NULL DEFAULT 0,
    created_at        timestamptz            NOT NULL DEFAULT now(),
    updated_at        timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_level_id),
    UNIQUE (business_id, inventory_item_id, storage_area_id),
    FOREIGN KEY (business_id, inventory_item_id)
        REFERENCES rest.inventory_item (business_id, inventory_item_id),
    FOREIGN KEY (business_id, storage_area_id)
        REFERENCES rest.storage_area (business_id, storage_area_id),
    CONSTRAINT stock_level_par_between_min_and_max
        CHECK (min_qty >= 0 AND min_qty <= par_qty AND par_qty <= max_qty AND min_qty <= max_qty),
    CONSTRAINT stock_level_reserved_not_negative CHECK (reserved_qty >= 0),
    CONSTRAINT stock_level_cost_not_negative CHECK (average_cost >= 0)
);

COMMENT ON TABLE rest.stock_level IS
    'How much of an item lies in a storage area, and how much should: the sum of the ledger.';
COMMENT ON COLUMN rest.stock_level.on_hand_qty IS
    'Kept by stock_movement, nothing else writes it; below zero where more was sold than booked.';
COMMENT ON COLUMN rest.stock_level.reserved_qty IS
    'Lies there but is picked for another site.';
COMMENT ON COLUMN rest.stock_level.theoretical_qty IS
    'What the books said at the last count, before it was put right; NULL before the first.';
COMMENT ON COLUMN rest.stock_level.shelf_sequence IS
    'Where on the shelf it lies: the order in which it is counted.';

-- FK and count sheets: what lies in an area, in shelf order.
CREATE INDEX stock_level_storage_area_idx
    ON rest.stock_level (business_id, storage_area_id, shelf_sequence);

ALTER TABLE rest.stock_level ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.stock_level
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.stock_level TO app_user;
GRANT SELECT ON rest.stock_level TO app_readonly;

CREATE TRIGGER stock_level_touch
    BEFORE UPDATE ON rest.stock_level
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION rest.refuse_stock_by_hand() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() < 2 AND row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'what lies there follows the ledger, nobody writes it'
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Count it, or book it by rest.receive_stock() or rest.consume_stock().';
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
COMMENT ON FUNCTION rest.refuse_stock_by_hand() IS
    'Lets only the trigger of the ledger write what a level or a lot holds.';

CREATE TRIGGER stock_level_starts_empty
    BEFORE INSERT ON rest.stock_level
    FOR EACH ROW WHEN (NEW.on_hand_qty <> 0)
    EXECUTE FUNCTION rest.refuse_stock_by_hand();

CREATE TRIGGER stock_level_follows
    BEFORE UPDATE ON rest.stock_level
    FOR EACH ROW WHEN (NEW.on_hand_qty <> OLD.on_hand_qty
                       OR NEW.inventory_item_id <> OLD.inventory_item_id
                       OR NEW.storage_area_id <> OLD.storage_area_id)
    EXECUTE FUNCTION rest.refuse_stock_by_hand();

CREATE TRIGGER stock_level_ends_empty
    BEFORE DELETE ON rest.stock_level
    FOR EACH ROW WHEN (OLD.on_hand_qty <> 0)
    EXECUTE FUNCTION rest.refuse_stock_by_hand();


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
    opened_at             timestamptz,
    discard_at            timestamptz,
    initial_qty           system_core.quantity   NOT NULL,
    remaining_qty         system_core.quantity   NOT NULL DEFAULT 0,
    unit_cost             system_core.unit_price NOT NULL DEFAULT 0,
    status                text                   NOT NULL DEFAULT 'available',
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_lot_id),
    UNIQUE (business_id, inventory_item_id, storage_area_id, lot_code),
    -- A movement names lot, item and area together.
    UNIQUE (business_id, stock_lot_id, inventory_item_id, storage_area_id),
    FOREIGN KEY (business_id, inventory_item_id)
        REFERENCES rest.inventory_item (business_id, inventory_item_id),
    FOREIGN KEY (business_id, storage_area_id)
        REFERENCES rest.storage_area (business_id, storage_area_id),
    CONSTRAINT stock_lot_source_kind_known
        CHECK (source_kind IN ('receipt', 'production', 'transfer', 'opening')),
    CONSTRAINT stock_lot_status_known
        CHECK (status IN ('available', 'quarantined', 'recalled', 'expired', 'depleted')),
    CONSTRAINT stock_lot_holds_part_of_what_came
        CHECK (initial_qty > 0 AND remaining_qty BETWEEN 0 AND initial_qty),
    CONSTRAINT stock_lot_depleted_is_empty CHECK (status <> 'depleted' OR remaining_qty = 0),
    CONSTRAINT stock_lot_used_after_receipt CHECK (use_by_on >= received_on),
    CONSTRAINT stock_lot_discarded_after_opening
        CHECK (opened_at IS NULL OR discard_at > opened_at),
    CONSTRAINT stock_lot_cost_not_negative CHECK (unit_cost >= 0)
);

COMMENT ON TABLE rest.stock_lot IS
    'A received or produced lot with use-by date and traceability lot code.';
COMMENT ON COLUMN rest.stock_lot.use_by_on IS 'The last day on which it may be used.';
COMMENT ON COLUMN rest.stock_lot.discard_at IS
    'When what is open must be thrown away; from then on it is not used.';
COMMENT ON COLUMN rest.stock_lot.remaining_qty IS
    'The sum of its movements, kept by the ledger; nothing else writes it.';
COMMENT ON COLUMN rest.stock_lot.status IS
    'Quarantined and recalled lots stay on the books and out of the pans until somebody decides.';

-- FK: the lots of an area.
CREATE INDEX stock_lot_storage_area_idx ON rest.stock_lot (business_id, storage_area_id);

-- Consumption: what is left of an item, the one that expires first in front.
CREATE INDEX stock_lot_first_expired_idx
    ON rest.stock_lot (business_id, inventory_item_id, use_by_on, received_on, lot_code)
    WHERE remaining_qty > 0;

-- Recalls: the lots of a traceability code.
CREATE INDEX stock_lot_traceability_idx
    ON rest.stock_lot (business_id, traceability_lot_code)
    WHERE traceability_lot_code IS NOT NULL;

ALTER TABLE rest.stock_lot ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.stock_lot
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.stock_lot TO app_user;
GRANT SELECT ON rest.stock_lot TO app_readonly;

CREATE TRIGGER stock_lot_touch
    BEFORE UPDATE ON rest.stock_lot
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER stock_lot_state_machine
    BEFORE INSERT OR UPDATE OF status ON rest.stock_lot
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["available", "quarantined"],
        "transitions": {
            "available":   ["quarantined", "recalled", "expired", "depleted"],
            "quarantined": ["available", "recalled", "expired", "depleted"],
            "recalled":    ["available", "quarantined"],
            "expired":     ["recalled", "depleted"],
            "depleted":    ["available", "recalled"]
        }}');

CREATE TRIGGER stock_lot_starts_empty
    BEFORE INSERT ON rest.stock_lot
    FOR EACH ROW WHEN (NEW.remaining_qty <> 0)
    EXECUTE FUNCTION rest.refuse_stock_by_hand();

CREATE TRIGGER stock_lot_follows
    BEFORE UPDATE ON rest.stock_lot
    FOR EACH ROW WHEN (NEW.remaining_qty <> OLD.remaining_qty)
    EXECUTE FUNCTION rest.refuse_stock_by_hand();

CREATE FUNCTION rest.date_opened_lot() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.discard_at := NEW.opened_at + make_interval(secs => 3600 * (
        SELECT i.opened_life_hours
        FROM rest.inventory_item AS i
        WHERE i.business_id = NEW.business_id AND i.inventory_item_id = NEW.inventory_item_id
    )::double precision);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.date_opened_lot() IS
    'What is opened is thrown away after the hours that the item keeps.';

CREATE TRIGGER stock_lot_opened
    BEFORE INSERT OR UPDATE OF opened_at ON rest.stock_lot
    FOR EACH ROW WHEN (NEW.opened_at IS NOT NULL AND NEW.discard_at IS NULL)
    EXECUTE FUNCTION rest.date_opened_lot();


CREATE TABLE rest.stock_movement (
    business_id       uuid                   NOT NULL,
    stock_movement_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    inventory_item_id uuid                   NOT NULL,
    storage_area_id   uuid                   NOT NULL,
    stock_lot_id      uuid,
    occurred_at       timestamptz            NOT NULL DEFAULT now(),
    business_date     date                   NOT NULL,
    movement_kind     text                   NOT NULL,
    quantity          system_core.quantity   NOT NULL,
    unit_cost         system_core.unit_price NOT NULL,
    -- No domain: PostgreSQL 17.12 takes a trigger's row for another type where one is generated.
    value_amount      numeric(14,2)          NOT NULL
        GENERATED ALWAYS AS (quantity * unit_cost) STORED,
    balance_after     system_core.quantity   NOT NULL,
    source_kind       text                   NOT NULL,
    source_id         uuid                   NOT NULL,
    is_reversal       boolean                NOT NULL DEFAULT false,
    created_at        timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_movement_id, occurred_at),
    FOREIGN KEY (business_id, inventory_item_id)
        REFERENCES rest.inventory_item (business_id, inventory_item_id),
    FOREIGN KEY (business_id, storage_area_id)
        REFERENCES rest.storage_area (business_id, storage_area_id),
    FOREIGN KEY (business_id, stock_lot_id, inventory_item_id, storage_area_id)
        REFERENCES rest.stock_lot (business_id, stock_lot_id, inventory_item_id, storage_area_id),
    CONSTRAINT stock_movement_kind_known
        CHECK (movement_kind IN ('receipt', 'sale', 'waste', 'transfer_out', 'transfer_in',
                                 'production_in', 'production_out', 'count_adjustment',
                                 'vendor_return', 'staff_meal')),
    CONSTRAINT stock_movement_source_kind_known
        CHECK (source_kind IN ('check_item', 'goods_receipt_line', 'waste_log',
                               'stock_transfer_line', 'production_batch',
                               'inventory_count_line')),
    CONSTRAINT stock_movement_moves_something CHECK (quantity <> 0),
    -- A reversal goes the other way.
    CONSTRAINT stock_movement_sign_by_kind
        CHECK (CASE WHEN movement_kind IN ('receipt', 'transfer_in', 'production_in')
                    THEN (quantity > 0) <> is_reversal
                    WHEN movement_kind = 'count_adjustment' THEN true
                    ELSE (quantity < 0) <> is_reversal END),
    CONSTRAINT stock_movement_cost_not_negative CHECK (unit_cost >= 0)
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE rest.stock_movement IS
    'Ledger of every quantity that moved, with cost and source document; append only.';
COMMENT ON COLUMN rest.stock_movement.stock_lot_id IS
    'NULL where no lots are kept, or more left than the lots held.';
COMMENT ON COLUMN rest.stock_movement.movement_kind IS
    'production_out are ingredients that go into a batch, production_in is what it makes.';
COMMENT ON COLUMN rest.stock_movement.quantity IS
    'In the stock unit of the item; out is negative.';
COMMENT ON COLUMN rest.stock_movement.balance_after IS
    'What then lay in the area, in the order in which it was booked.';
COMMENT ON COLUMN rest.stock_movement.source_id IS
    'Key of the document in the table that source_kind names.';

-- FK and usage: the movements of an item in order.
CREATE INDEX stock_movement_inventory_item_idx
    ON rest.stock_movement (business_id, inventory_item_id, occurred_at);

-- FK: the movements of an area.
CREATE INDEX stock_movement_storage_area_idx
    ON rest.stock_movement (business_id, storage_area_id, occurred_at);

-- FK and recalls: where a lot went.
CREATE INDEX stock_movement_stock_lot_idx
    ON rest.stock_movement (business_id, stock_lot_id, occurred_at)
    WHERE stock_lot_id IS NOT NULL;

-- Reversal: what a document moved.
CREATE INDEX stock_movement_source_idx ON rest.stock_movement (business_id, source_id);

ALTER TABLE rest.stock_movement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.stock_movement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON rest.stock_movement TO app_user;
GRANT SELECT ON rest.stock_movement TO app_readonly;

CREATE TRIGGER stock_movement_append_only
    BEFORE UPDATE OR DELETE ON rest.stock_movement
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('rest.stock_movement');

CREATE FUNCTION rest.post_lot(moved rest.stock_movement) RETURNS numeric
    LANGUAGE plpgsql AS $$
DECLARE
    lot rest.stock_lot;
BEGIN
    SELECT l.* INTO lot
    FROM rest.stock_lot AS l
    WHERE l.business_id = moved.business_id AND l.stock_lot_id = moved.stock_lot_id
    FOR UPDATE;
    IF moved.movement_kind IN ('sale', 'staff_meal', 'production_out', 'transfer_out')
       AND NOT moved.is_reversal
       AND (lot.status IN ('quarantined', 'recalled', 'expired')
            OR lot.use_by_on < moved.business_date OR lot.discard_at <= moved.occurred_at) THEN
        RAISE EXCEPTION 'lot % is %, it is not used', lot.lot_code,
                        CASE WHEN lot.status IN ('quarantined', 'recalled') THEN lot.status
                             ELSE 'past its date' END
            USING ERRCODE = 'check_violation', HINT = 'Throw it away, or return it to its vendor.';
    ELSIF lot.remaining_qty + moved.quantity NOT BETWEEN 0 AND lot.initial_qty THEN
        RAISE EXCEPTION 'lot % holds % of %, it cannot be changed by %', lot.lot_code,
                        lot.remaining_qty, lot.initial_qty, moved.quantity
            USING ERRCODE = 'check_violation', HINT = 'Book the rest on another lot or on none.';
    END IF;
    UPDATE rest.stock_lot AS l
    SET remaining_qty = l.remaining_qty + moved.quantity,
        status = CASE WHEN l.remaining_qty + moved.quantity > 0
                      THEN CASE l.status WHEN 'depleted' THEN 'available' ELSE l.status END
                      WHEN l.status = 'recalled' THEN l.status ELSE 'depleted' END
    WHERE l.business_id = moved.business_id AND l.stock_lot_id = moved.stock_lot_id;
    RETURN lot.unit_cost;
END
$$;
COMMENT ON FUNCTION rest.post_lot(rest.stock_movement) IS
    'A movement changes what its lot holds, and is refused where the lot may not be used or does
     not hold it; returns what a unit of the lot cost. A recalled lot stays recalled to the end.';

CREATE FUNCTION rest.book_stock_movement() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    comes_in CONSTANT boolean := NEW.movement_kind IN ('receipt', 'production_in', 'transfer_in')
                                 AND NOT NEW.is_reversal AND NEW.quantity > 0;
    item     rest.inventory_item;
    level    rest.stock_level;
    lot_cost numeric;
BEGIN
    IF NOT row_security_active('rest.stock_movement') THEN
        RETURN NEW;
    END IF;
    -- Two receipts of an item take turns: the second weighs what the first has added.
    IF comes_in AND NEW.movement_kind <> 'transfer_in' THEN
        PERFORM FROM rest.inventory_item AS i
        WHERE i.business_id = NEW.business_id AND i.inventory_item_id = NEW.inventory_item_id
        FOR NO KEY UPDATE;
    END IF;
    SELECT i.* INTO item
    FROM rest.inventory_item AS i
    WHERE i.business_id = NEW.business_id AND i.inventory_item_id = NEW.inventory_item_id;
    IF comes_in THEN
        NEW.unit_cost := coalesce(NEW.unit_cost, item.last_cost, item.average_cost);
    END IF;
    NEW.business_date := coalesce(NEW.business_date, (
        SELECT rest.business_date(a.location_id, NEW.occurred_at)
        FROM rest.storage_area AS a
        WHERE a.business_id = NEW.business_id AND a.storage_area_id = NEW.storage_area_id));

    INSERT INTO rest.stock_level AS l
        (business_id, inventory_item_id, storage_area_id, on_hand_qty, average_cost,
         last_moved_at)
    VALUES (NEW.business_id, NEW.inventory_item_id, NEW.storage_area_id, NEW.quantity,
            coalesce(NEW.unit_cost, item.average_cost), NEW.occurred_at)
    ON CONFLICT (business_id, inventory_item_id, storage_area_id) DO UPDATE
    SET on_hand_qty = l.on_hand_qty + excluded.on_hand_qty,
        last_moved_at = greatest(l.last_moved_at, excluded.last_moved_at),
        average_cost = CASE WHEN comes_in
            THEN (greatest(l.on_hand_qty, 0) * l.average_cost
                  + excluded.on_hand_qty * excluded.average_cost)
                 / (greatest(l.on_hand_qty, 0) + excluded.on_hand_qty)
            ELSE l.average_cost END
    RETURNING l.* INTO level;
    NEW.balance_after := level.on_hand_qty;

    IF NEW.stock_lot_id IS NOT NULL THEN
        lot_cost := rest.post_lot(ROW(NEW.*)::rest.stock_movement);
    END IF;
    NEW.unit_cost := coalesce(NEW.unit_cost,
                              CASE item.cost_method WHEN 'fifo' THEN lot_cost
                                                    WHEN 'last' THEN item.last_cost END,
                              level.average_cost);

    IF comes_in AND NEW.movement_kind <> 'transfer_in' THEN
        UPDATE rest.inventory_item AS i
        SET last_cost = NEW.unit_cost,
            average_cost = (b.before * i.average_cost + NEW.quantity * NEW.unit_cost)
                           / (b.before + NEW.quantity)
        FROM (
            SELECT greatest(sum(x.on_hand_qty) - NEW.quantity, 0) AS before
            FROM rest.stock_level AS x
            WHERE x.business_id = NEW.business_id
              AND x.inventory_item_id = NEW.inventory_item_id
        ) AS b
        WHERE i.business_id = NEW.business_id AND i.inventory_item_id = NEW.inventory_item_id;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.book_stock_movement() IS
    'A movement changes its level and its lot and notes what then lies there; its cost is that of
     the item''s method where none is given, and what comes in moves the average. Imported history
     brings its own levels.';

CREATE TRIGGER stock_movement_book
    BEFORE INSERT ON rest.stock_movement
    FOR EACH ROW EXECUTE FUNCTION rest.book_stock_movement();

CREATE TABLE rest.stock_movement_default PARTITION OF rest.stock_movement DEFAULT;
ALTER TABLE rest.stock_movement_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.stock_movement_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('rest.stock_movement', 'month', behind => 3, ahead => 1);


CREATE FUNCTION rest.keep_stock_unit() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM rest.stock_movement AS m
               WHERE m.business_id = NEW.business_id
                 AND m.inventory_item_id = NEW.inventory_item_id) THEN
        RAISE EXCEPTION 'item % has moved, it is counted in its unit', NEW.item_code
            USING ERRCODE = 'restrict_violation', HINT = 'Make a new item in the other unit.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.keep_stock_unit() IS
    'The unit of quantities that are booked already does not change under them.';

CREATE TRIGGER inventory_item_keeps_unit
    BEFORE UPDATE OF stock_unit_id ON rest.inventory_item
    FOR EACH ROW WHEN (NEW.stock_unit_id <> OLD.stock_unit_id)
    EXECUTE FUNCTION rest.keep_stock_unit();


CREATE FUNCTION rest.convert_qty(item uuid, amount numeric, from_unit uuid, to_unit uuid)
    RETURNS numeric
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    factor numeric;
BEGIN
    IF from_unit = to_unit THEN
        RETURN amount;
    END IF;
    -- Within a dimension there is nothing to look for.
    SELECT f.factor_to_base / t.factor_to_base INTO factor
    FROM rest.unit_of_measure AS f
    JOIN rest.unit_of_measure AS t
        ON t.business_id = f.business_id AND t.unit_of_measure_id = to_unit
       AND t.dimension = f.dimension
    WHERE f.business_id = tenant AND f.unit_of_measure_id = from_unit;
    IF factor IS NOT NULL THEN
        RETURN amount * factor;
    END IF;
    -- Units with a factor are one node for each dimension, others stand for themselves; edges are
    -- the conversions of the item and the general ones, in both directions.
    WITH RECURSIVE unit AS (
        SELECT u.unit_of_measure_id AS id, coalesce(u.factor_to_base, 1) AS factor,
               CASE WHEN u.factor_to_base IS NULL THEN u.unit_of_measure_id::text
                    ELSE u.dimension END AS node
        FROM rest.unit_of_measure AS u
        WHERE u.business_id = tenant
    ), edge AS (
        SELECT d.from_node, d.to_node, d.factor,
               (c.inventory_item_id IS NULL)::integer AS is_general
        FROM rest.unit_conversion AS c
        JOIN unit AS f ON f.id = c.from_unit_id
        JOIN unit AS t ON t.id = c.to_unit_id
        CROSS JOIN LATERAL (VALUES
            (f.node, t.node, c.factor * t.factor / f.factor),
            (t.node, f.node, f.factor / (c.factor * t.factor))) AS d (from_node, to_node, factor)
        WHERE c.business_id = tenant AND c.is_active AND c.conversion_kind <> 'cooked'
          AND (c.inventory_item_id = item OR c.inventory_item_id IS NULL) AND f.node <> t.node
    ), path AS (
        SELECT u.node, u.factor, ARRAY[u.node] AS nodes, 0 AS general
        FROM unit AS u
        WHERE u.id = from_unit
        UNION ALL
        SELECT e.to_node, p.factor * e.factor, p.nodes || e.to_node, p.general + e.is_general
        FROM path AS p
        JOIN edge AS e ON e.from_node = p.node
        WHERE cardinality(p.nodes) < 5 AND NOT e.to_node = ANY (p.nodes)
    )
    SELECT p.factor / u.factor INTO factor
    FROM path AS p
    JOIN unit AS u ON u.id = to_unit AND u.node = p.node
    ORDER BY cardinality(p.nodes), p.general, p.nodes, p.factor
    LIMIT 1;
    IF factor IS NULL THEN
        RAISE EXCEPTION 'no way leads from % to % for %',
                        coalesce((SELECT u.unit_code::text FROM rest.unit_of_measure AS u
                                  WHERE u.business_id = tenant
                                    AND u.unit_of_measure_id = from_unit), 'no unit'),
                        coalesce((SELECT u.unit_code::text FROM rest.unit_of_measure AS u
                                  WHERE u.business_id = tenant
                                    AND u.unit_of_measure_id = to_unit), 'no unit'),
                        coalesce((SELECT i.item_code::text FROM rest.inventory_item AS i
                                  WHERE i.business_id = tenant
                                    AND i.inventory_item_id = item), 'any item')
            USING ERRCODE = 'check_violation',
                  HINT = 'Weigh it once and note the factor in rest.unit_conversion.';
    END IF;
    RETURN amount * factor;
END
$$;
COMMENT ON FUNCTION rest.convert_qty(uuid, numeric, uuid, uuid) IS
    'An amount in another unit: through the base factors within a dimension, through what was
     measured for the item across; raises when no way leads there. Not rounded.';


CREATE FUNCTION rest.home_area(item uuid, place uuid) RETURNS uuid
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT a.storage_area_id
    FROM rest.storage_area AS a
    JOIN rest.inventory_item AS i ON i.business_id = a.business_id AND i.inventory_item_id = item
    LEFT JOIN rest.stock_level AS l
        ON l.business_id = a.business_id AND l.storage_area_id = a.storage_area_id
       AND l.inventory_item_id = i.inventory_item_id
    WHERE a.business_id = tenant_mgmt.current_business_id() AND a.location_id = place
      AND a.is_active
    ORDER BY l.stock_level_id IS NULL,
             a.storage_kind <> ALL (CASE i.storage_temp_class
                 WHEN 'frozen' THEN ARRAY['freezer']
                 WHEN 'chilled' THEN ARRAY['walk_in', 'reach_in', 'commissary']
                 ELSE ARRAY['dry', 'bar', 'line', 'commissary'] END),
             a.count_sequence, a.area_code
    LIMIT 1;
END;
COMMENT ON FUNCTION rest.home_area(uuid, uuid) IS
    'Where an item belongs at a site: where it lies already, or else where it is as cold as it
     wants.';


CREATE FUNCTION rest.receive_stock(
    item       uuid,
    area       uuid,
    amount     numeric,
    cost       numeric,
    kind       text DEFAULT 'receipt',
    source     text DEFAULT 'goods_receipt_line',
    source_ref uuid DEFAULT NULL,
    lot        text DEFAULT NULL,
    use_by     date DEFAULT NULL,
    trace_code text DEFAULT NULL,
    happened   timestamptz DEFAULT now()
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    made   uuid;
BEGIN
    -- The order of all bookings: item, level, lot.
    PERFORM FROM rest.inventory_item AS i
    WHERE i.business_id = tenant AND i.inventory_item_id = item
    FOR NO KEY UPDATE;
    PERFORM FROM rest.stock_level AS l
    WHERE l.business_id = tenant AND l.inventory_item_id = item AND l.storage_area_id = area
    FOR UPDATE;
    IF lot IS NOT NULL THEN
        INSERT INTO rest.stock_lot AS l
            (business_id, inventory_item_id, storage_area_id, lot_code, traceability_lot_code,
             source_kind, received_on, use_by_on, initial_qty, unit_cost)
        SELECT tenant, item, area, lot, trace_code,
               CASE kind WHEN 'receipt' THEN 'receipt' WHEN 'production_in' THEN 'production'
                         WHEN 'transfer_in' THEN 'transfer' ELSE 'opening' END,
               d.today, coalesce(use_by, d.today + i.shelf_life_days), amount, coalesce(cost, 0)
        FROM rest.inventory_item AS i
        JOIN rest.storage_area AS a ON a.business_id = i.business_id AND a.storage_area_id = area
        CROSS JOIN LATERAL (
            SELECT rest.business_date(a.location_id, happened) AS today
        ) AS d
        WHERE i.business_id = tenant AND i.inventory_item_id = item
        ON CONFLICT (business_id, inventory_item_id, storage_area_id, lot_code) DO UPDATE
        SET initial_qty = l.initial_qty + excluded.initial_qty
        RETURNING l.stock_lot_id INTO made;
    END IF;
    INSERT INTO rest.stock_movement
        (business_id, inventory_item_id, storage_area_id, stock_lot_id, occurred_at,
         movement_kind, quantity, unit_cost, source_kind, source_id)
    VALUES (tenant, item, area, made, happened, kind, amount, cost, source, source_ref);
    RETURN made;
END
$$;
COMMENT ON FUNCTION rest.receive_stock(
    uuid, uuid, numeric, numeric, text, text, uuid, text, date, text, timestamptz
) IS
    'Books what comes into an area, in its stock unit and at the cost of one, as a lot where one is
     named (more of a lot that is there adds to it); returns the lot. Without a date the lot keeps
     as long as the item does.';


CREATE FUNCTION rest.consume_stock(
    item          uuid,
    place         uuid,
    amount        numeric,
    kind          text DEFAULT 'sale',
    source        text DEFAULT 'check_item',
    source_ref    uuid DEFAULT NULL,
    happened      timestamptz DEFAULT now(),
    may_run_short boolean DEFAULT false,
    any_lot       boolean DEFAULT false,
    only_area     uuid DEFAULT NULL,
    only_lot      uuid DEFAULT NULL
) RETURNS SETOF rest.stock_movement
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  CONSTANT uuid := tenant_mgmt.current_business_id();
    today   CONSTANT date := rest.business_date(place, happened);
    missing numeric := round(amount, 4);
    part    record;
BEGIN
    IF amount <= 0 THEN
        RAISE EXCEPTION 'what is used up is more than zero, not %', amount
            USING ERRCODE = 'check_violation',
                  HINT = 'rest.reverse_stock() puts back what a document took.';
    END IF;
    -- Whoever else takes of the item at this site waits here, in the order of the areas.
    PERFORM FROM rest.stock_level AS l
    JOIN rest.storage_area AS a
        ON a.business_id = l.business_id AND a.storage_area_id = l.storage_area_id
    WHERE l.business_id = tenant AND l.inventory_item_id = item AND a.location_id = place
    ORDER BY l.storage_area_id
    FOR UPDATE OF l;

    -- A recall that is being written is waited for, and then seen: it takes lots by their keys too.
    PERFORM FROM rest.stock_lot AS l
    JOIN rest.storage_area AS a
        ON a.business_id = l.business_id AND a.storage_area_id = l.storage_area_id
    WHERE l.business_id = tenant AND l.inventory_item_id = item AND a.location_id = place
      AND l.remaining_qty > 0
    ORDER BY l.stock_lot_id
    FOR UPDATE OF l;

    -- First what expires first, then what lies there without a lot, then what is not there.
    FOR part IN
        WITH lot AS (
            SELECT l.storage_area_id, l.stock_lot_id, l.remaining_qty AS held,
                   l.use_by_on, l.received_on, l.lot_code, a.count_sequence,
                   any_lot OR (l.status = 'available' AND coalesce(l.use_by_on >= today, true)
                               AND coalesce(l.discard_at > happened, true)) AS is_usable,
                   -- Less than the lots hold, where more was sold than they held before they came.
                   v.on_hand_qty - coalesce(sum(l.remaining_qty) OVER (
                       PARTITION BY l.storage_area_id
                       ORDER BY l.use_by_on NULLS LAST, l.received_on, l.lot_code
                       ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS on_books
            FROM rest.stock_lot AS l
            JOIN rest.stock_level AS v
                ON v.business_id = l.business_id AND v.inventory_item_id = l.inventory_item_id
               AND v.storage_area_id = l.storage_area_id
            JOIN rest.storage_area AS a
                ON a.business_id = l.business_id AND a.storage_area_id = l.storage_area_id
            WHERE l.business_id = tenant AND l.inventory_item_id = item
              AND a.location_id = place AND l.remaining_qty > 0
        )
        SELECT l.storage_area_id, l.stock_lot_id,
               CASE WHEN may_run_short THEN l.held ELSE least(l.held, l.on_books) END AS held,
               row_number() OVER (ORDER BY l.use_by_on NULLS LAST, l.received_on, l.lot_code,
                                           l.count_sequence, l.storage_area_id) AS turn
        FROM lot AS l
        WHERE l.is_usable AND (only_area IS NULL OR l.storage_area_id = only_area)
          AND (only_lot IS NULL OR l.stock_lot_id = only_lot)
          AND (may_run_short OR l.on_books > 0)
        UNION ALL
        SELECT v.storage_area_id, NULL, v.on_hand_qty - coalesce(sum(l.held), 0),
               1000000 + row_number() OVER (ORDER BY v.storage_area_id)
        FROM rest.stock_level AS v
        JOIN rest.storage_area AS a
            ON a.business_id = v.business_id AND a.storage_area_id = v.storage_area_id
        LEFT JOIN lot AS l ON l.storage_area_id = v.storage_area_id
        WHERE v.business_id = tenant AND v.inventory_item_id = item AND a.location_id = place
          AND only_lot IS NULL AND (only_area IS NULL OR v.storage_area_id = only_area)
        GROUP BY v.storage_area_id, v.on_hand_qty
        HAVING v.on_hand_qty > coalesce(sum(l.held), 0)
        UNION ALL
        SELECT coalesce(only_area, rest.home_area(item, place)), NULL, missing, 2000000
        WHERE may_run_short
        ORDER BY turn
    LOOP
        EXIT WHEN missing = 0;
        RETURN QUERY
            INSERT INTO rest.stock_movement
                (business_id, inventory_item_id, storage_area_id, stock_lot_id, occurred_at,
                 business_date, movement_kind, quantity, source_kind, source_id)
            VALUES (tenant, item, part.storage_area_id, part.stock_lot_id, happened, today, kind,
                    -least(part.held, missing), source, source_ref)
            RETURNING *;
        missing := missing - least(part.held, missing);
    END LOOP;
    IF missing > 0 THEN
        RAISE EXCEPTION '% is short of %: % of % is missing',
                        (SELECT l.display_name FROM rest.location AS l
                         WHERE l.business_id = tenant AND l.location_id = place),
                        (SELECT i.item_code FROM rest.inventory_item AS i
                         WHERE i.business_id = tenant AND i.inventory_item_id = item),
                        missing, round(amount, 4)
            USING ERRCODE = 'check_violation',
                  HINT = 'Lots that are recalled, quarantined or past their date are not used.';
    END IF;
END
$$;
COMMENT ON FUNCTION rest.consume_stock(
    uuid, uuid, numeric, text, text, uuid, timestamptz, boolean, boolean, uuid, uuid
) IS
    'Takes an amount of an item, in its stock unit, out of a site: from the lots that expire first,
     never one that is recalled, quarantined or past its date (unless any_lot, as waste does), then
     from what has no lot. Where it is not there it is refused, or booked below zero if it
     may_run_short, as a sale may. Returns the movements.';


CREATE FUNCTION rest.reverse_stock(
    source text, source_ref uuid, happened timestamptz DEFAULT now()
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    booked integer;
BEGIN
    PERFORM FROM rest.stock_level AS l
    WHERE l.business_id = tenant AND (l.inventory_item_id, l.storage_area_id) IN (
        SELECT m.inventory_item_id, m.storage_area_id
        FROM rest.stock_movement AS m
        WHERE m.business_id = tenant AND m.source_kind = source AND m.source_id = source_ref)
    ORDER BY l.inventory_item_id, l.storage_area_id
    FOR UPDATE;
    INSERT INTO rest.stock_movement
        (business_id, inventory_item_id, storage_area_id, stock_lot_id, occurred_at,
         movement_kind, quantity, unit_cost, source_kind, source_id, is_reversal)
    SELECT tenant, m.inventory_item_id, m.storage_area_id, m.stock_lot_id, happened,
           m.movement_kind, -sum(m.quantity), m.unit_cost, source, source_ref, true
    FROM rest.stock_movement AS m
    WHERE m.business_id = tenant AND m.source_kind = source AND m.source_id = source_ref
    GROUP BY m.inventory_item_id, m.storage_area_id, m.stock_lot_id, m.movement_kind, m.unit_cost
    HAVING sum(m.quantity) <> 0
    ORDER BY m.inventory_item_id, m.storage_area_id, m.stock_lot_id;
    GET DIAGNOSTICS booked = ROW_COUNT;
    RETURN booked;
END
$$;
COMMENT ON FUNCTION rest.reverse_stock(text, uuid, timestamptz) IS
    'Books the opposite of what a document moved, once however often it is called, back into the
     lots that it was taken from; returns how many movements that took.';


CREATE FUNCTION rest.expire_lots(moment timestamptz DEFAULT now()) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    past   uuid[];
    ended  integer;
BEGIN
    SELECT array_agg(l.stock_lot_id) INTO past
    FROM rest.stock_lot AS l
    JOIN rest.storage_area AS a
        ON a.business_id = l.business_id AND a.storage_area_id = l.storage_area_id
    WHERE l.business_id = tenant AND l.remaining_qty > 0
      AND l.status IN ('available', 'quarantined')
      AND (l.use_by_on < rest.business_date(a.location_id, moment) OR l.discard_at <= moment);
    -- First the levels, then the lots, each in the order of rest.consume_stock().
    PERFORM FROM rest.stock_level AS v
    WHERE v.business_id = tenant AND (v.inventory_item_id, v.storage_area_id) IN (
        SELECT l.inventory_item_id, l.storage_area_id
        FROM rest.stock_lot AS l
        WHERE l.business_id = tenant AND l.stock_lot_id = ANY (past))
    ORDER BY v.inventory_item_id, v.storage_area_id
    FOR UPDATE;
    PERFORM FROM rest.stock_lot AS l
    WHERE l.business_id = tenant AND l.stock_lot_id = ANY (past)
    ORDER BY l.stock_lot_id
    FOR UPDATE;
    UPDATE rest.stock_lot AS l
    SET status = 'expired'
    WHERE l.business_id = tenant AND l.stock_lot_id = ANY (past) AND l.remaining_qty > 0
      AND l.status IN ('available', 'quarantined');
    GET DIAGNOSTICS ended = ROW_COUNT;
    RETURN ended;
END
$$;
COMMENT ON FUNCTION rest.expire_lots(timestamptz) IS
    'Marks the lots that are past their date at a moment, on the business day of their own site;
     they wait to be thrown away. Nothing hangs on it: a lot past its date is not used whether it
     was marked or not.';


CREATE FUNCTION rest.stock_differences()
    RETURNS TABLE (inventory_item_id uuid, storage_area_id uuid, stock_lot_id uuid, said numeric,
                   found numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(l.inventory_item_id, m.inventory_item_id),
           coalesce(l.storage_area_id, m.storage_area_id), NULL::uuid,
           coalesce(l.on_hand_qty, 0), coalesce(m.quantity, 0)
    FROM (
        SELECT x.inventory_item_id, x.storage_area_id, x.on_hand_qty
        FROM rest.stock_level AS x
        WHERE x.business_id = tenant_mgmt.current_business_id()
    ) AS l
    FULL JOIN (
        SELECT x.inventory_item_id, x.storage_area_id, sum(x.quantity) AS quantity
        FROM rest.stock_movement AS x
        WHERE x.business_id = tenant_mgmt.current_business_id()
        GROUP BY x.inventory_item_id, x.storage_area_id
    ) AS m USING (inventory_item_id, storage_area_id)
    WHERE coalesce(l.on_hand_qty, 0) <> coalesce(m.quantity, 0)
    UNION ALL
    SELECT l.inventory_item_id, l.storage_area_id, l.stock_lot_id, l.remaining_qty,
           coalesce(m.quantity, 0)
    FROM rest.stock_lot AS l
    LEFT JOIN (
        SELECT x.stock_lot_id, sum(x.quantity) AS quantity
        FROM rest.stock_movement AS x
        WHERE x.business_id = tenant_mgmt.current_business_id() AND x.stock_lot_id IS NOT NULL
        GROUP BY x.stock_lot_id
    ) AS m ON m.stock_lot_id = l.stock_lot_id
    WHERE l.business_id = tenant_mgmt.current_business_id()
      AND l.remaining_qty <> coalesce(m.quantity, 0);
END;
COMMENT ON FUNCTION rest.stock_differences() IS
    'Proves the stock: levels (without a lot) and lots that are not the sum of the ledger; no row
     when all agree.';
