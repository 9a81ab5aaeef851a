/*
 * TODO: what the area is and how its tables relate.
 */

CREATE TABLE rest.recipe (
    business_id      uuid                   NOT NULL,
    recipe_id        uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    yield_unit_id    uuid                   NOT NULL,
    produces_item_id uuid,
    recipe_code      system_core.code       NOT NULL,
    display_name     text                   NOT NULL,
    recipe_kind      text                   NOT NULL,
    version_no       integer                NOT NULL,
    yield_qty        system_core.quantity,
    portion_count    integer                NOT NULL DEFAULT 0,
    prep_minutes     integer,
    cook_minutes     integer,
    shelf_life_hours numeric(9, 2),
    target_cost_pct  system_core.percentage,
    current_cost     system_core.quantity,
    method_doc       jsonb,
    effective_from   date                   NOT NULL,
    effective_to     date,
    state            text                   NOT NULL DEFAULT 'draft',
    created_at       timestamptz            NOT NULL DEFAULT now(),
    updated_at       timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, recipe_id),
    UNIQUE (business_id, recipe_code, version_no),
    FOREIGN KEY (business_id, yield_unit_id)
        REFERENCES rest.unit_of_measure (business_id, unit_of_measure_id),
    FOREIGN KEY (business_id, produces_item_id)
        REFERENCES rest.inventory_item (business_id, inventory_item_id),
    CONSTRAINT recipe_kind_known
        CHECK (recipe_kind IN ('menu', 'prep', 'modifier', 'packaging', 'staff_meal')),
    CONSTRAINT recipe_state_known CHECK (state IN ('draft', 'approved', 'retired')),
    CONSTRAINT recipe_yield_qty_positive CHECK (yield_qty > 0),
    CONSTRAINT recipe_portion_count_positive CHECK (portion_count > 0),
    CONSTRAINT recipe_recipe_kind_iff
        CHECK ((produces_item_id IS NOT NULL) = (recipe_kind = 'prep'))
);

COMMENT ON TABLE rest.recipe IS
    'A versioned recipe for a dish, prep item, modifier or packaging set.';
-- RULE one approved version per recipe_code at a time

-- FK: the recipes by their yield unit.
CREATE INDEX recipe_yield_unit_idx ON rest.recipe (business_id, yield_unit_id);

-- FK: the recipes by their produces item.
CREATE INDEX recipe_produces_item_idx
    ON rest.recipe (business_id, produces_item_id)
    WHERE produces_item_id IS NOT NULL;

ALTER TABLE rest.recipe ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.recipe
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.recipe TO app_user;
GRANT SELECT ON rest.recipe TO app_readonly;

CREATE TRIGGER recipe_touch
    BEFORE UPDATE ON rest.recipe
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.recipe_line (
    business_id        uuid                   NOT NULL,
    recipe_line_id     uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    sub_recipe_id      uuid,
    recipe_id          uuid                   NOT NULL,
    unit_of_measure_id uuid                   NOT NULL,
    inventory_item_id  uuid,
    line_number        integer                NOT NULL,
    quantity           system_core.quantity,
    prep_yield_pct     system_core.percentage,
    cook_loss_pct      system_core.percentage,
    gross_qty          system_core.quantity,
    is_optional        boolean                NOT NULL DEFAULT false,
    is_garnish         boolean                NOT NULL DEFAULT false,
    cost_at_save       system_core.quantity,
    preparation_note   text,
    created_at         timestamptz            NOT NULL DEFAULT now(),
    updated_at         timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, recipe_line_id),
    UNIQUE (business_id, recipe_id, line_number),
    FOREIGN KEY (business_id, sub_recipe_id) REFERENCES rest.recipe (business_id, recipe_id),
    FOREIGN KEY (business_id, recipe_id) REFERENCES rest.recipe (business_id, recipe_id),
    FOREIGN KEY (business_id, unit_of_measure_id)
        REFERENCES rest.unit_of_measure (business_id, unit_of_measure_id),
    FOREIGN KEY (business_id, inventory_item_id)
        REFERENCES rest.inventory_item (business_id, inventory_item_id),
    CONSTRAINT recipe_line_one_of_inventory_item_id_sub_recipe_id
        CHECK (num_nonnulls(inventory_item_id, sub_recipe_id) = 1)
);

COMMENT ON TABLE rest.recipe_line IS
    'Ingredient or sub-recipe with net quantity, prep yield and cooking loss.';
-- RULE gross_qty = quantity / (prep_yield_pct / 100) / (1 - cook_loss_pct / 100)
-- RULE no cycle of sub-recipes

-- FK: the recipe lines by their sub recipe.
CREATE INDEX recipe_line_sub_recipe_idx
    ON rest.recipe_line (business_id, sub_recipe_id)
    WHERE sub_recipe_id IS NOT NULL;

-- FK: the recipe lines of a unit of measure.
CREATE INDEX recipe_line_unit_of_measure_idx
    ON rest.recipe_line (business_id, unit_of_measure_id);

-- FK: the recipe lines of a inventory item.
CREATE INDEX recipe_line_inventory_item_idx
    ON rest.recipe_line (business_id, inventory_item_id)
    WHERE inventory_item_id IS NOT NULL;

ALTER TABLE rest.recipe_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.recipe_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.recipe_line TO app_user;
GRANT SELECT ON rest.recipe_line TO app_readonly;

CREATE TRIGGER recipe_line_touch
    BEFORE UPDATE ON rest.recipe_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.recipe_usage (
    business_id        uuid                 NOT NULL,
    recipe_usage_id    uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    recipe_id          uuid,
    inventory_item_id  uuid,
    menu_item_id       uuid,
    menu_item_size_id  uuid,
    modifier_option_id uuid,
    unit_of_measure_id uuid                 NOT NULL,
    usage_kind         text                 NOT NULL,
    portions           system_core.quantity,
    quantity           system_core.quantity,
    service_mode       text                 NOT NULL,
    depletes_on        text                 NOT NULL,
    effective_from     date                 NOT NULL,
    effective_to       date,
    is_active          boolean              NOT NULL DEFAULT true,
    created_at         timestamptz          NOT NULL DEFAULT now(),
    updated_at         timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, recipe_usage_id),
    FOREIGN KEY (business_id, recipe_id) REFERENCES rest.recipe (business_id, recipe_id),
    FOREIGN KEY (business_id, inventory_item_id)
        REFERENCES rest.inventory_item (business_id, inventory_item_id),
    FOREIGN KEY (business_id, menu_item_id) REFERENCES rest.menu_item (business_id, menu_item_id),
    FOREIGN KEY (business_id, menu_item_size_id)
        REFERENCES rest.menu_item_size (business_id, menu_item_size_id),
    FOREIGN KEY (business_id, modifier_option_id)
        REFERENCES rest.modifier_option (business_id, modifier_option_id),
    FOREIGN KEY (business_id, unit_of_measure_id)
        REFERENCES rest.unit_of_measure (business_id, unit_of_measure_id),
    CONSTRAINT recipe_usage_kind_known
        CHECK (usage_kind IN ('item', 'size', 'modifier', 'packaging')),
    CONSTRAINT recipe_usage_service_mode_known
        CHECK (service_mode IN ('all', 'dine_in', 'takeout', 'delivery')),
    CONSTRAINT recipe_usage_depletes_on_known
        CHECK (depletes_on IN ('sale', 'fire', 'production')),
    CONSTRAINT recipe_usage_one_of_recipe_id_inventory_item_id
        CHECK (num_nonnulls(recipe_id, inventory_item_id) = 1),
    CONSTRAINT recipe_usage_one_of_menu_item_id_modifier_option_id
        CHECK (num_nonnulls(menu_item_id, modifier_option_id) = 1),
    CONSTRAINT recipe_usage_quantity_positive CHECK (quantity > 0)
);

COMMENT ON TABLE rest.recipe_usage IS 'What a sold item, size or modifier consumes.';

-- FK: the recipe usages of a recipe.
CREATE INDEX recipe_usage_recipe_idx
    ON rest.recipe_usage (business_id, recipe_id)
    WHERE recipe_id IS NOT NULL;

-- FK: the recipe usages of a inventory item.
CREATE INDEX recipe_usage_inventory_item_idx
    ON rest.recipe_usage (business_id, inventory_item_id)
    WHERE inventory_item_id IS NOT NULL;

-- FK: the recipe usages of a menu item.
CREATE INDEX recipe_usage_menu_item_idx
    ON rest.recipe_usage (business_id, menu_item_id)
    WHERE menu_item_id IS NOT NULL;

-- FK: the recipe usages of a menu item size.
CREATE INDEX recipe_usage_menu_item_size_idx
    ON rest.recipe_usage (business_id, menu_item_size_id)
    WHERE menu_item_size_id IS NOT NULL;

-- FK: the recipe usages of a modifier option.
CREATE INDEX recipe_usage_modifier_option_idx
    ON rest.recipe_usage (business_id, modifier_option_id)
    WHERE modifier_option_id IS NOT NULL;

-- FK: the recipe usages of a unit of measure.
CREATE INDEX recipe_usage_unit_of_measure_idx
    ON rest.recipe_usage (business_id, unit_of_measure_id);

ALTER TABLE rest.recipe_usage ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.recipe_usage
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.recipe_usage TO app_user;
GRANT SELECT ON rest.recipe_usage TO app_readonly;

CREATE TRIGGER recipe_usage_touch
    BEFORE UPDATE ON rest.recipe_usage
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.recipe_cost_snapshot (
    business_id             uuid                   NOT NULL,
    recipe_cost_snapshot_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    recipe_id               uuid                   NOT NULL,
    location_id             uuid                   NOT NULL,
    computed_at             timestamptz            NOT NULL DEFAULT now(),
    ingredient_cost         system_core.quantity,
    packaging_cost          system_core.money,
    labour_cost             system_core.money,
    cost_per_portion        system_core.quantity,
    menu_price              system_core.money,
    food_cost_pct           system_core.percentage,
    margin_amount           system_core.money      NOT NULL DEFAULT 0,
    cost_change_pct         system_core.percentage,
    cost_tree_doc           jsonb,
    created_at              timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, recipe_cost_snapshot_id, computed_at),
    UNIQUE (business_id, recipe_id, location_id, computed_at),
    FOREIGN KEY (business_id, recipe_id) REFERENCES rest.recipe (business_id, recipe_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    CONSTRAINT recipe_cost_snapshot_ingredient_cost_not_negative CHECK (ingredient_cost >= 0)
) PARTITION BY RANGE (computed_at);

COMMENT ON TABLE rest.recipe_cost_snapshot IS
    'Cost of a recipe at a site on a day, down to the tree it was built from; append only.';

-- FK: the recipe cost snapshots of a location.
CREATE INDEX recipe_cost_snapshot_location_idx
    ON rest.recipe_cost_snapshot (business_id, location_id);

ALTER TABLE rest.recipe_cost_snapshot ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.recipe_cost_snapshot
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON rest.recipe_cost_snapshot TO app_user;
GRANT SELECT ON rest.recipe_cost_snapshot TO app_readonly;

CREATE TRIGGER recipe_cost_snapshot_append_only
    BEFORE UPDATE OR DELETE ON rest.recipe_cost_snapshot
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('rest.recipe_cost_snapshot');

CREATE TABLE rest.recipe_cost_snapshot_default PARTITION OF rest.recipe_cost_snapshot DEFAULT;
ALTER TABLE rest.recipe_cost_snapshot_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.recipe_cost_snapshot_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('rest.recipe_cost_snapshot', 'month', behind => 3, ahead => 1);


CREATE TABLE rest.yield_test (
    business_id         uuid                   NOT NULL,
    yield_test_id       uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    tested_by_staff_id  uuid                   NOT NULL,
    inventory_item_id   uuid                   NOT NULL,
    unit_of_measure_id  uuid                   NOT NULL,
    tested_on           date,
    test_kind           text                   NOT NULL,
    as_purchased_qty    system_core.quantity,
    usable_qty          system_core.quantity,
    byproduct_qty       system_core.quantity,
    waste_qty           system_core.quantity,
    yield_pct           system_core.percentage GENERATED ALWAYS AS (
                                                   100 * usable_qty / as_purchased_qty) STORED,
    as_purchased_cost   system_core.unit_price,
    edible_portion_cost system_core.unit_price,
    is_accepted         boolean                NOT NULL DEFAULT false,
    note                text,
    created_at          timestamptz            NOT NULL DEFAULT now(),
    updated_at          timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, yield_test_id),
    FOREIGN KEY (business_id, tested_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, inventory_item_id)
        REFERENCES rest.inventory_item (business_id, inventory_item_id),
    FOREIGN KEY (business_id, unit_of_measure_id)
        REFERENCES rest.unit_of_measure (business_id, unit_of_measure_id),
    CONSTRAINT yield_test_kind_known
        CHECK (test_kind IN ('trim', 'cook', 'thaw', 'drain', 'portion')),
    CONSTRAINT yield_test_usable_qty_precedes_byproduct_qty
        CHECK (usable_qty + byproduct_qty + waste_qty <= as_purchased_qty)
);

COMMENT ON TABLE rest.yield_test IS
    'Measured loss from as-purchased to usable weight (butcher, trim, cooking test).';
-- RULE edible_portion_cost = as_purchased_cost / (yield_pct / 100)

-- FK: the yield tests by their tested by staff.
CREATE INDEX yield_test_tested_by_staff_idx ON rest.yield_test (business_id, tested_by_staff_id);

-- FK: the yield tests of a inventory item.
CREATE INDEX yield_test_inventory_item_idx ON rest.yield_test (business_id, inventory_item_id);

-- FK: the yield tests of a unit of measure.
CREATE INDEX yield_test_unit_of_measure_idx ON rest.yield_test (business_id, unit_of_measure_id);

ALTER TABLE rest.yield_test ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.yield_test
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.yield_test TO app_user;
GRANT SELECT ON rest.yield_test TO app_readonly;

CREATE TRIGGER yield_test_touch
    BEFORE UPDATE ON rest.yield_test
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.production_batch (
    business_id         uuid                   NOT NULL,
    production_batch_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    output_lot_id       uuid,
    cook_staff_id       uuid                   NOT NULL,
    recipe_id           uuid                   NOT NULL,
    kitchen_id          uuid                   NOT NULL,
    unit_of_measure_id  uuid                   NOT NULL,
    batch_number        text                   NOT NULL,
    business_date       date,
    planned_qty         system_core.quantity,
    actual_qty          system_core.quantity,
    yield_variance_pct  system_core.percentage,
    state               text                   NOT NULL DEFAULT 'planned',
    started_at          timestamptz            NOT NULL,
    completed_at        timestamptz,
    use_by_at           timestamptz,
    batch_cost          system_core.money,
    label_count         integer                NOT NULL DEFAULT 0,
    input_lots_doc      jsonb,
    created_at          timestamptz            NOT NULL DEFAULT now(),
    updated_at          timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, production_batch_id),
    UNIQUE (business_id, kitchen_id, batch_number),
    FOREIGN KEY (business_id, output_lot_id) REFERENCES rest.stock_lot (business_id, stock_lot_id),
    FOREIGN KEY (business_id, cook_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, recipe_id) REFERENCES rest.recipe (business_id, recipe_id),
    FOREIGN KEY (business_id, kitchen_id) REFERENCES rest.kitchen (business_id, kitchen_id),
    FOREIGN KEY (business_id, unit_of_measure_id)
        REFERENCES rest.unit_of_measure (business_id, unit_of_measure_id),
    CONSTRAINT production_batch_state_known
        CHECK (state IN ('planned', 'started', 'cooling', 'completed', 'discarded')),
    CONSTRAINT production_batch_use_by_at_follows_completed_at CHECK (use_by_at > completed_at)
);

COMMENT ON TABLE rest.production_batch IS
    'A batch of a prep recipe with planned and real yield and the lot it made.';
-- RULE actual_qty and output_lot_id are set once completed

-- FK: the production batches by their output lot.
CREATE INDEX production_batch_output_lot_idx
    ON rest.production_batch (business_id, output_lot_id)
    WHERE output_lot_id IS NOT NULL;

-- FK: the production batches by their cook staff.
CREATE INDEX production_batch_cook_staff_idx
    ON rest.production_batch (business_id, cook_staff_id);

-- FK: the production batches of a recipe.
CREATE INDEX production_batch_recipe_idx ON rest.production_batch (business_id, recipe_id);

-- FK: the production batches of a unit of measure.
CREATE INDEX production_batch_unit_of_measure_idx
    ON rest.production_batch (business_id, unit_of_measure_id);

ALTER TABLE rest.production_batch ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.production_batch
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.production_batch TO app_user;
GRANT SELECT ON rest.production_batch TO app_readonly;

CREATE TRIGGER production_batch_touch
    BEFORE UPDATE ON rest.production_batch
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
