/*
 * Recipes: what a dish is made of, what that costs and what a sale uses up.
 *
 * A recipe is a version of a dish, a prep item, a modifier or packaging; its recipe_lines name
 * ingredients and other recipes with what trimming and cooking take away. An approved version is
 * frozen: who cooks differently writes the next one. recipe_usage says what a sold item, size or
 * modifier consumes, so rest.deplete_for_check_item() can take it out of stock. rest.recipe_cost()
 * builds the tree of costs that a recipe_cost_snapshot keeps. A yield_test measures what is lost;
 * a production_batch turns ingredients into a lot of a prep item.
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
    yield_qty        system_core.quantity   NOT NULL,
    portion_count    integer                NOT NULL DEFAULT 1,
    prep_minutes     integer,
    cook_minutes     integer,
    shelf_life_hours numeric(9, 2),
    target_cost_pct  system_core.percentage,
    current_cost     system_core.quantity,
    method_doc       system_core.json_array,
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
    CONSTRAINT recipe_prep_makes_an_item
        CHECK ((produces_item_id IS NOT NULL) = (recipe_kind = 'prep')),
    CONSTRAINT recipe_version_no_positive CHECK (version_no > 0),
    CONSTRAINT recipe_takes_time
        CHECK (prep_minutes >= 0 AND cook_minutes >= 0 AND shelf_life_hours > 0),
    CONSTRAINT recipe_cost_not_negative CHECK (current_cost >= 0),
    CONSTRAINT recipe_ends_after_it_begins CHECK (effective_to >= effective_from)
);

COMMENT ON TABLE rest.recipe IS
    'A versioned recipe for a dish, prep item, modifier or packaging set.';
COMMENT ON COLUMN rest.recipe.produces_item_id IS 'The stock item that a batch of it becomes.';
COMMENT ON COLUMN rest.recipe.yield_qty IS 'What one batch makes, in yield_unit_id.';
COMMENT ON COLUMN rest.recipe.portion_count IS 'How many portions one batch is.';
COMMENT ON COLUMN rest.recipe.current_cost IS 'Of a portion, as the last snapshot found it.';
COMMENT ON COLUMN rest.recipe.method_doc IS
    'Steps in their order: {text, minutes, temperature_c, equipment}.';

-- One approved version of a recipe at a time.
CREATE UNIQUE INDEX recipe_one_approved_idx
    ON rest.recipe (business_id, recipe_code)
    WHERE state = 'approved';

-- FK: the recipes that yield in a unit.
CREATE INDEX recipe_yield_unit_idx ON rest.recipe (business_id, yield_unit_id);

-- FK: how a prep item is made.
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

CREATE TRIGGER recipe_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.recipe
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["draft"],
        "transitions": {
            "draft":    ["approved", "retired"],
            "approved": ["retired"],
            "retired":  []
        }}');

CREATE FUNCTION rest.freeze_recipe() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'recipe % version % is %, it is not changed',
                    OLD.recipe_code, OLD.version_no, OLD.state
        USING ERRCODE = 'restrict_violation', HINT = 'Write the next version.';
END
$$;
COMMENT ON FUNCTION rest.freeze_recipe() IS
    'What was approved stays as it was: sold dishes were made and costed by it.';

CREATE TRIGGER recipe_frozen
    BEFORE UPDATE ON rest.recipe
    FOR EACH ROW WHEN (OLD.state <> 'draft'
        AND (NEW.recipe_code, NEW.version_no, NEW.recipe_kind, NEW.produces_item_id,
             NEW.yield_unit_id, NEW.yield_qty, NEW.portion_count, NEW.method_doc,
             NEW.shelf_life_hours, NEW.effective_from)
            IS DISTINCT FROM
            (OLD.recipe_code, OLD.version_no, OLD.recipe_kind, OLD.produces_item_id,
             OLD.yield_unit_id, OLD.yield_qty, OLD.portion_count, OLD.method_doc,
             OLD.shelf_life_hours, OLD.effective_from))
    EXECUTE FUNCTION rest.freeze_recipe();

CREATE TRIGGER recipe_kept
    BEFORE DELETE ON rest.recipe
    FOR EACH ROW WHEN (OLD.state <> 'draft')
    EXECUTE FUNCTION rest.freeze_recipe();

CREATE FUNCTION rest.check_recipe_approval() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM rest.recipe_line AS l
                   WHERE l.business_id = NEW.business_id AND l.recipe_id = NEW.recipe_id) THEN
        RAISE EXCEPTION 'recipe % version % has no ingredients', NEW.recipe_code, NEW.version_no
            USING ERRCODE = 'check_violation', HINT = 'Write its lines, then approve it.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.check_recipe_approval() IS 'Nobody approves an empty recipe.';

CREATE TRIGGER recipe_approval
    BEFORE UPDATE OF state ON rest.recipe
    FOR EACH ROW WHEN (NEW.state = 'approved' AND OLD.state <> 'approved')
    EXECUTE FUNCTION rest.check_recipe_approval();


CREATE TABLE rest.recipe_line (
    business_id        uuid                   NOT NULL,
    recipe_line_id     uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    sub_recipe_id      uuid,
    recipe_id          uuid                   NOT NULL,
    unit_of_measure_id uuid                   NOT NULL,
    inventory_item_id  uuid,
    line_number        integer                NOT NULL,
    quantity           system_core.quantity   NOT NULL,
    prep_yield_pct     system_core.percentage NOT NULL DEFAULT 100,
    cook_loss_pct      system_core.percentage NOT NULL DEFAULT 0,
    gross_qty          system_core.quantity   GENERATED ALWAYS AS (
                                                  quantity * 10000
                                                  / nullif(prep_yield_pct * (100 - cook_loss_pct),
                                                           0)) STORED,
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
    CONSTRAINT recipe_line_is_item_or_recipe
        CHECK (num_nonnulls(inventory_item_id, sub_recipe_id) = 1),
    CONSTRAINT recipe_line_not_itself CHECK (sub_recipe_id <> recipe_id),
    CONSTRAINT recipe_line_quantity_positive CHECK (quantity > 0),
    CONSTRAINT recipe_line_prep_yield_bounded
        CHECK (prep_yield_pct > 0 AND prep_yield_pct <= 100),
    CONSTRAINT recipe_line_cook_loss_leaves_something CHECK (cook_loss_pct < 100),
    CONSTRAINT recipe_line_cost_not_negative CHECK (cost_at_save >= 0)
);

COMMENT ON TABLE rest.recipe_line IS
    'Ingredient or sub-recipe with net quantity, prep yield and cooking loss.';
COMMENT ON COLUMN rest.recipe_line.quantity IS 'What of it is in the finished batch.';
COMMENT ON COLUMN rest.recipe_line.cook_loss_pct IS
    'Below zero where it swells, as rice does.';
COMMENT ON COLUMN rest.recipe_line.gross_qty IS
    'What is taken out of the cold room for it, before trimming and cooking.';
COMMENT ON COLUMN rest.recipe_line.is_optional IS
    'Only on request: it is neither costed nor used up by a sale.';

-- FK: the recipes that a recipe goes into; walked to find cycles.
CREATE INDEX recipe_line_sub_recipe_idx
    ON rest.recipe_line (business_id, sub_recipe_id)
    WHERE sub_recipe_id IS NOT NULL;

-- FK: the lines that are measured in a unit.
CREATE INDEX recipe_line_unit_of_measure_idx
    ON rest.recipe_line (business_id, unit_of_measure_id);

-- FK: the recipes that use an item.
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

CREATE FUNCTION rest.check_recipe_line() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    frozen rest.recipe;
BEGIN
    -- Imported history brings approved recipes with their lines.
    IF row_security_active('rest.recipe_line') THEN
        -- Whoever approves the recipe waits for the line, and the line for the approval.
        PERFORM FROM rest.recipe AS r
        WHERE r.business_id = coalesce(NEW.business_id, OLD.business_id)
          AND r.recipe_id IN (NEW.recipe_id, OLD.recipe_id)
        ORDER BY r.recipe_id
        FOR NO KEY UPDATE;
        SELECT r.* INTO frozen
        FROM rest.recipe AS r
        WHERE r.business_id = coalesce(NEW.business_id, OLD.business_id)
          AND r.recipe_id IN (NEW.recipe_id, OLD.recipe_id) AND r.state <> 'draft'
        ORDER BY r.recipe_id
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'recipe % version % is %, its lines stand',
                            frozen.recipe_code, frozen.version_no, frozen.state
                USING ERRCODE = 'restrict_violation', HINT = 'Write the next version.';
        END IF;
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    IF NEW.sub_recipe_id IS NOT NULL THEN
        -- Two lines that close a cycle only together may touch no recipe in common, so row locks
        -- would not stop them: a tenant nests recipes one at a time.
        PERFORM pg_advisory_xact_lock(hashtext('rest.recipe_line'),
                                      hashtext(NEW.business_id::text));
        IF EXISTS (
            WITH RECURSIVE inside AS (
                SELECT NEW.sub_recipe_id AS recipe_id
                UNION
                SELECT l.sub_recipe_id
                FROM inside AS i
                JOIN rest.recipe_line AS l
                    ON l.business_id = NEW.business_id AND l.recipe_id = i.recipe_id
                WHERE l.sub_recipe_id IS NOT NULL AND l.recipe_line_id <> NEW.recipe_line_id
            )
            SELECT FROM inside AS i WHERE i.recipe_id = NEW.recipe_id
        ) THEN
            RAISE EXCEPTION 'recipe % would go into itself', (
                SELECT r.recipe_code FROM rest.recipe AS r
                WHERE r.business_id = NEW.business_id AND r.recipe_id = NEW.recipe_id)
                USING ERRCODE = 'check_violation',
                      HINT = 'A recipe that it contains, however deep, already contains it.';
        END IF;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.check_recipe_line() IS
    'Only drafts change, and no recipe is part of itself.';

CREATE TRIGGER recipe_line_check
    BEFORE INSERT OR UPDATE OR DELETE ON rest.recipe_line
    FOR EACH ROW EXECUTE FUNCTION rest.check_recipe_line();


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
    CONSTRAINT recipe_usage_uses_recipe_or_item
        CHECK (num_nonnulls(recipe_id, inventory_item_id) = 1),
    CONSTRAINT recipe_usage_of_item_or_modifier
        CHECK (num_nonnulls(menu_item_id, modifier_option_id) = 1),
    CONSTRAINT recipe_usage_quantity_positive CHECK (quantity > 0 AND portions > 0),
    CONSTRAINT recipe_usage_recipe_by_portion
        CHECK ((portions IS NOT NULL) = (recipe_id IS NOT NULL)),
    CONSTRAINT recipe_usage_item_by_quantity
        CHECK ((quantity IS NOT NULL) = (inventory_item_id IS NOT NULL)),
    CONSTRAINT recipe_usage_size_is_named
        CHECK (CASE usage_kind WHEN 'size' THEN menu_item_size_id IS NOT NULL
                               WHEN 'packaging' THEN true
                               ELSE menu_item_size_id IS NULL END),
    CONSTRAINT recipe_usage_size_of_an_item
        CHECK (menu_item_size_id IS NULL OR menu_item_id IS NOT NULL),
    CONSTRAINT recipe_usage_kind_fits
        CHECK (CASE usage_kind WHEN 'modifier' THEN modifier_option_id IS NOT NULL
                               WHEN 'packaging' THEN true
                               ELSE menu_item_id IS NOT NULL END),
    CONSTRAINT recipe_usage_ends_after_it_begins CHECK (effective_to >= effective_from)
);

COMMENT ON TABLE rest.recipe_usage IS 'What a sold item, size or modifier consumes.';
COMMENT ON COLUMN rest.recipe_usage.portions IS 'Of the recipe, for one that is sold.';
COMMENT ON COLUMN rest.recipe_usage.quantity IS
    'Of the item, in unit_of_measure_id, for one that is sold.';
COMMENT ON COLUMN rest.recipe_usage.usage_kind IS
    'What a size uses stands in place of what the item uses; packaging comes on top.';
COMMENT ON COLUMN rest.recipe_usage.depletes_on IS
    'sale: unless the line is voided; fire: once the kitchen has it, voided or not; production:
     not by a sale at all, a batch has used it.';
COMMENT ON COLUMN rest.recipe_usage.effective_to IS 'The last day.';

-- FK: what a recipe is sold as.
CREATE INDEX recipe_usage_recipe_idx
    ON rest.recipe_usage (business_id, recipe_id)
    WHERE recipe_id IS NOT NULL;

-- FK: what uses an item straight from the shelf.
CREATE INDEX recipe_usage_inventory_item_idx
    ON rest.recipe_usage (business_id, inventory_item_id)
    WHERE inventory_item_id IS NOT NULL;

-- FK: what a sold item uses up.
CREATE INDEX recipe_usage_menu_item_idx
    ON rest.recipe_usage (business_id, menu_item_id)
    WHERE menu_item_id IS NOT NULL;

-- FK: what a size uses up.
CREATE INDEX recipe_usage_menu_item_size_idx
    ON rest.recipe_usage (business_id, menu_item_size_id)
    WHERE menu_item_size_id IS NOT NULL;

-- FK: what a modifier uses up.
CREATE INDEX recipe_usage_modifier_option_idx
    ON rest.recipe_usage (business_id, modifier_option_id)
    WHERE modifier_option_id IS NOT NULL;

-- FK: the usages that are measured in a unit.
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
    business_id             uuid                    NOT NULL,
    recipe_cost_snapshot_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    recipe_id               uuid                    NOT NULL,
    location_id             uuid                    NOT NULL,
    computed_at             timestamptz             NOT NULL DEFAULT now(),
    ingredient_cost         system_core.quantity    NOT NULL,
    packaging_cost          system_core.money,
    labour_cost             system_core.money,
    cost_per_portion        system_core.quantity    NOT NULL,
    menu_price              system_core.money,
    food_cost_pct           system_core.percentage,
    margin_amount           system_core.money,
    cost_change_pct         system_core.percentage,
    cost_tree_doc           system_core.json_object NOT NULL,
    created_at              timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, recipe_cost_snapshot_id, computed_at),
    UNIQUE (business_id, recipe_id, location_id, computed_at),
    FOREIGN KEY (business_id, recipe_id) REFERENCES rest.recipe (business_id, recipe_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    CONSTRAINT recipe_cost_snapshot_ingredient_cost_not_negative CHECK (ingredient_cost >= 0),
    CONSTRAINT recipe_cost_snapshot_costs_not_negative
        CHECK (packaging_cost >= 0 AND labour_cost >= 0 AND cost_per_portion >= 0)
) PARTITION BY RANGE (computed_at);

COMMENT ON TABLE rest.recipe_cost_snapshot IS
    'Cost of a recipe at a site on a day, down to the tree it was built from; append only.';
COMMENT ON COLUMN rest.recipe_cost_snapshot.ingredient_cost IS 'Of a whole batch.';
COMMENT ON COLUMN rest.recipe_cost_snapshot.packaging_cost IS 'Of one portion that goes out.';
COMMENT ON COLUMN rest.recipe_cost_snapshot.menu_price IS
    'What the dish was sold for; NULL where the recipe is not sold by itself.';
COMMENT ON COLUMN rest.recipe_cost_snapshot.cost_change_pct IS 'Against the snapshot before.';
COMMENT ON COLUMN rest.recipe_cost_snapshot.cost_tree_doc IS
    'As rest.recipe_cost() builds it: each line with its amounts and its cost in the batch.';

-- FK: the costs at a site.
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

SELECT system_core.create_partitions('rest.recipe_cost_snapshot', 'month', behind => 3,
                                     ahead => 1);


CREATE TABLE rest.yield_test (
    business_id         uuid                   NOT NULL,
    yield_test_id       uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    tested_by_staff_id  uuid                   NOT NULL,
    inventory_item_id   uuid                   NOT NULL,
    unit_of_measure_id  uuid                   NOT NULL,
    tested_on           date                   NOT NULL,
    test_kind           text                   NOT NULL,
    as_purchased_qty    system_core.quantity   NOT NULL,
    usable_qty          system_core.quantity   NOT NULL,
    byproduct_qty       system_core.quantity   NOT NULL DEFAULT 0,
    waste_qty           system_core.quantity   NOT NULL DEFAULT 0,
    yield_pct           system_core.percentage GENERATED ALWAYS AS (
                                                   100 * usable_qty
                                                   / nullif(as_purchased_qty, 0)) STORED,
    as_purchased_cost   system_core.unit_price NOT NULL,
    edible_portion_cost system_core.unit_price GENERATED ALWAYS AS (
                                                   as_purchased_cost * as_purchased_qty
                                                   / nullif(usable_qty, 0)) STORED,
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
    CONSTRAINT yield_test_parts_fit_in_the_whole
        CHECK (usable_qty + byproduct_qty + waste_qty <= as_purchased_qty),
    CONSTRAINT yield_test_leaves_something CHECK (usable_qty > 0),
    CONSTRAINT yield_test_nothing_below_zero
        CHECK (byproduct_qty >= 0 AND waste_qty >= 0 AND as_purchased_cost >= 0)
);

COMMENT ON TABLE rest.yield_test IS
    'Measured loss from as-purchased to usable weight (butcher, trim, cooking test).';
COMMENT ON COLUMN rest.yield_test.byproduct_qty IS 'What goes into something else, as bones.';
COMMENT ON COLUMN rest.yield_test.as_purchased_cost IS 'Of one unit as it came.';
COMMENT ON COLUMN rest.yield_test.edible_portion_cost IS
    'Of one usable unit: the cost as purchased over the yield.';
COMMENT ON COLUMN rest.yield_test.is_accepted IS
    'Whether the item takes the measured yield over as its own.';

-- FK: who tests.
CREATE INDEX yield_test_tested_by_staff_idx ON rest.yield_test (business_id, tested_by_staff_id);

-- FK: what was measured of an item.
CREATE INDEX yield_test_inventory_item_idx ON rest.yield_test (business_id, inventory_item_id);

-- FK: the tests in a unit.
CREATE INDEX yield_test_unit_of_measure_idx ON rest.yield_test (business_id, unit_of_measure_id);

ALTER TABLE rest.yield_test ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.yield_test
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.yield_test TO app_user;
GRANT SELECT ON rest.yield_test TO app_readonly;

CREATE TRIGGER yield_test_touch
    BEFORE UPDATE ON rest.yield_test
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION rest.take_over_yield() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE rest.inventory_item AS i
    SET default_yield_pct = NEW.yield_pct
    WHERE i.business_id = NEW.business_id AND i.inventory_item_id = NEW.inventory_item_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.take_over_yield() IS
    'An accepted trim test becomes the yield of its item; recipes keep what they were written
     with.';

CREATE TRIGGER yield_test_accepted
    AFTER INSERT OR UPDATE OF is_accepted ON rest.yield_test
    FOR EACH ROW WHEN (NEW.is_accepted AND NEW.test_kind = 'trim')
    EXECUTE FUNCTION rest.take_over_yield();


CREATE TABLE rest.production_batch (
    business_id         uuid                   NOT NULL,
    production_batch_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    output_lot_id       uuid,
    cook_staff_id       uuid                   NOT NULL,
    recipe_id           uuid                   NOT NULL,
    kitchen_id          uuid                   NOT NULL,
    unit_of_measure_id  uuid                   NOT NULL,
    batch_number        text                   NOT NULL,
    business_date       date                   NOT NULL,
    planned_qty         system_core.quantity   NOT NULL,
    actual_qty          system_core.quantity,
    yield_variance_pct  system_core.percentage GENERATED ALWAYS AS (
                                                   100 * (actual_qty - planned_qty)
                                                   / nullif(planned_qty, 0)) STORED,
    state               text                   NOT NULL DEFAULT 'planned',
    started_at          timestamptz,
    completed_at        timestamptz,
    use_by_at           timestamptz,
    batch_cost          system_core.money,
    label_count         integer                NOT NULL DEFAULT 0,
    input_lots_doc      system_core.json_array NOT NULL DEFAULT '[]',
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
    CONSTRAINT production_batch_used_after_completion CHECK (use_by_at > completed_at),
    CONSTRAINT production_batch_started_has_time
        CHECK (state NOT IN ('started', 'cooling', 'completed') OR started_at IS NOT NULL),
    CONSTRAINT production_batch_completed_made_a_lot
        CHECK (state <> 'completed'
               OR (actual_qty IS NOT NULL AND output_lot_id IS NOT NULL
                   AND completed_at IS NOT NULL)),
    CONSTRAINT production_batch_completed_after_start CHECK (completed_at >= started_at),
    CONSTRAINT production_batch_makes_something CHECK (planned_qty > 0 AND actual_qty > 0),
    CONSTRAINT production_batch_not_negative CHECK (batch_cost >= 0 AND label_count >= 0)
);

COMMENT ON TABLE rest.production_batch IS
    'A batch of a prep recipe with planned and real yield and the lot it made.';
COMMENT ON COLUMN rest.production_batch.planned_qty IS 'In unit_of_measure_id, as actual_qty.';
COMMENT ON COLUMN rest.production_batch.batch_cost IS 'Of the ingredients that went into it.';
COMMENT ON COLUMN rest.production_batch.input_lots_doc IS
    'For trace-back, what really went into it: [{stock_lot_id, inventory_item_id, quantity}].';

-- FK: the batch that a lot came from.
CREATE INDEX production_batch_output_lot_idx
    ON rest.production_batch (business_id, output_lot_id)
    WHERE output_lot_id IS NOT NULL;

-- FK: what a cook made.
CREATE INDEX production_batch_cook_staff_idx
    ON rest.production_batch (business_id, cook_staff_id);

-- FK: the batches of a recipe.
CREATE INDEX production_batch_recipe_idx ON rest.production_batch (business_id, recipe_id);

-- FK: the batches in a unit.
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

CREATE TRIGGER production_batch_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.production_batch
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["planned", "started"],
        "transitions": {
            "planned":   ["started", "discarded"],
            "started":   ["cooling", "completed", "discarded"],
            "cooling":   ["completed", "discarded"],
            "completed": [],
            "discarded": []
        }}');

CREATE FUNCTION rest.check_batch_recipe() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    plan rest.recipe;
BEGIN
    SELECT r.* INTO plan
    FROM rest.recipe AS r
    WHERE r.business_id = NEW.business_id AND r.recipe_id = NEW.recipe_id;
    IF plan.recipe_kind <> 'prep' OR plan.state <> 'approved' THEN
        RAISE EXCEPTION 'recipe % is % and %, no batch is made of it',
                        plan.recipe_code, plan.recipe_kind, plan.state
            USING ERRCODE = 'check_violation',
                  HINT = 'A batch follows the approved recipe of a prep item.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.check_batch_recipe() IS 'Batches are made of approved prep recipes.';

CREATE TRIGGER production_batch_of_prep
    BEFORE INSERT OR UPDATE OF recipe_id ON rest.production_batch
    FOR EACH ROW EXECUTE FUNCTION rest.check_batch_recipe();


CREATE FUNCTION rest.explode_recipe(recipe uuid, batches numeric, place uuid DEFAULT NULL)
    RETURNS TABLE (inventory_item_id uuid, quantity numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH RECURSIVE part AS (
        SELECT recipe AS recipe_id, batches AS batches, NULL::uuid AS from_stock
        UNION ALL
        SELECT r.recipe_id,
               p.batches * rest.convert_qty(r.produces_item_id, l.gross_qty, l.unit_of_measure_id,
                                            r.yield_unit_id) / r.yield_qty,
               -- What is prepared ahead at the site comes out of its own lots.
               (SELECT r.produces_item_id
                WHERE EXISTS (SELECT FROM rest.stock_level AS v
                              JOIN rest.storage_area AS a
                                  ON a.business_id = v.business_id
                                 AND a.storage_area_id = v.storage_area_id
                              WHERE v.business_id = r.business_id
                                AND v.inventory_item_id = r.produces_item_id
                                AND a.location_id = place))
        FROM part AS p
        JOIN rest.recipe_line AS l
            ON l.business_id = tenant_mgmt.current_business_id() AND l.recipe_id = p.recipe_id
           AND NOT l.is_optional
        JOIN rest.recipe AS r
            ON r.business_id = l.business_id AND r.recipe_id = l.sub_recipe_id
        WHERE p.from_stock IS NULL
    )
    SELECT u.item, sum(u.amount)
    FROM (
        SELECT l.inventory_item_id AS item,
               p.batches * rest.convert_qty(i.inventory_item_id, l.gross_qty,
                                            l.unit_of_measure_id, i.stock_unit_id) AS amount
        FROM part AS p
        JOIN rest.recipe_line AS l
            ON l.business_id = tenant_mgmt.current_business_id() AND l.recipe_id = p.recipe_id
           AND NOT l.is_optional
        JOIN rest.inventory_item AS i
            ON i.business_id = l.business_id AND i.inventory_item_id = l.inventory_item_id
        WHERE p.from_stock IS NULL
        UNION ALL
        SELECT p.from_stock,
               p.batches * rest.convert_qty(i.inventory_item_id, r.yield_qty, r.yield_unit_id,
                                            i.stock_unit_id)
        FROM part AS p
        JOIN rest.recipe AS r
            ON r.business_id = tenant_mgmt.current_business_id() AND r.recipe_id = p.recipe_id
        JOIN rest.inventory_item AS i
            ON i.business_id = r.business_id AND i.inventory_item_id = p.from_stock
    ) AS u
    GROUP BY u.item
    ORDER BY u.item;
END;
COMMENT ON FUNCTION rest.explode_recipe(uuid, numeric, uuid) IS
    'What some batches of a recipe take out of stock, in stock units, before trimming and cooking:
     through sub-recipes down to the ingredients, or to the prep items that the site keeps.';


CREATE FUNCTION rest.cost_node(recipe uuid, batches numeric, place uuid, moment timestamptz)
    RETURNS jsonb
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    head   rest.recipe;
    line   record;
    lines  jsonb := '[]';
    total  numeric := 0;
    amount numeric;
    price  numeric;
    child  jsonb;
BEGIN
    SELECT r.* INTO head
    FROM rest.recipe AS r
    WHERE r.business_id = tenant AND r.recipe_id = recipe;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no recipe %', recipe USING ERRCODE = 'no_data_found';
    END IF;
    FOR line IN
        SELECT l.line_number, l.quantity, l.gross_qty, l.prep_yield_pct, l.cook_loss_pct,
               l.unit_of_measure_id, l.sub_recipe_id, s.produces_item_id, s.yield_unit_id,
               s.yield_qty, i.inventory_item_id, i.item_code, i.display_name, i.stock_unit_id,
               i.average_cost, u.unit_code
        FROM rest.recipe_line AS l
        JOIN rest.unit_of_measure AS u
            ON u.business_id = l.business_id AND u.unit_of_measure_id = l.unit_of_measure_id
        LEFT JOIN rest.recipe AS s
            ON s.business_id = l.business_id AND s.recipe_id = l.sub_recipe_id
        LEFT JOIN rest.inventory_item AS i
            ON i.business_id = l.business_id AND i.inventory_item_id = l.inventory_item_id
        WHERE l.business_id = tenant AND l.recipe_id = recipe AND NOT l.is_optional
        ORDER BY l.line_number
    LOOP
        child := jsonb_build_object(
            'line', line.line_number, 'unit', line.unit_code,
            'quantity', round(batches * line.quantity, 4),
            'gross_qty', round(batches * line.gross_qty, 4),
            'prep_yield_pct', line.prep_yield_pct, 'cook_loss_pct', line.cook_loss_pct);
        IF line.sub_recipe_id IS NOT NULL THEN
            amount := batches * rest.convert_qty(line.produces_item_id, line.gross_qty,
                                                 line.unit_of_measure_id, line.yield_unit_id);
            child := child || rest.cost_node(line.sub_recipe_id, amount / line.yield_qty, place,
                                             moment);
        ELSE
            amount := batches * rest.convert_qty(line.inventory_item_id, line.gross_qty,
                                                 line.unit_of_measure_id, line.stock_unit_id);
            -- As the ledger of the site had it at that moment, or else as the business has it.
            SELECT m.unit_cost INTO price
            FROM rest.stock_movement AS m
            JOIN rest.storage_area AS a
                ON a.business_id = m.business_id AND a.storage_area_id = m.storage_area_id
            WHERE m.business_id = tenant AND m.inventory_item_id = line.inventory_item_id
              AND a.location_id = place AND m.occurred_at <= moment
            ORDER BY m.occurred_at DESC, m.stock_movement_id DESC
            LIMIT 1;
            price := coalesce(price, line.average_cost);
            child := child || jsonb_build_object(
                'item_id', line.inventory_item_id, 'item_code', line.item_code,
                'name', line.display_name, 'stock_qty', round(amount, 4), 'unit_cost', price,
                'cost', round(amount * price, 4));
        END IF;
        total := total + (child ->> 'cost')::numeric;
        lines := lines || child;
    END LOOP;
    RETURN jsonb_build_object('recipe_id', recipe, 'recipe_code', head.recipe_code,
                              'version_no', head.version_no, 'name', head.display_name,
                              'batches', round(batches, 6), 'cost', total, 'lines', lines);
END
$$;
COMMENT ON FUNCTION rest.cost_node(uuid, numeric, uuid, timestamptz) IS
    'The cost tree of some batches of a recipe; costs of nested lines are those in the whole.';


CREATE FUNCTION rest.recipe_cost(
    recipe uuid, place uuid, moment timestamptz DEFAULT now(),
    OUT cost_per_portion numeric, OUT cost_tree jsonb
)
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    cost_tree := rest.cost_node(recipe, 1, place, moment);
    SELECT round((cost_tree ->> 'cost')::numeric / r.portion_count, 4) INTO cost_per_portion
    FROM rest.recipe AS r
    WHERE r.business_id = tenant_mgmt.current_business_id() AND r.recipe_id = recipe;
END
$$;
COMMENT ON FUNCTION rest.recipe_cost(uuid, uuid, timestamptz) IS
    'What a portion costs at a site at a moment, with prep yields, cooking losses and units, and
     the tree that the cost of a batch was built from.';


CREATE FUNCTION rest.snapshot_recipe_cost(
    recipe uuid, place uuid, moment timestamptz DEFAULT now()
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant    CONSTANT uuid := tenant_mgmt.current_business_id();
    found     record;
    packaging numeric;
    sold_for  numeric;
    before    numeric;
    made      uuid;
BEGIN
    PERFORM FROM rest.recipe AS r
    WHERE r.business_id = tenant AND r.recipe_id = recipe
    FOR NO KEY UPDATE;
    SELECT c.cost_per_portion, c.cost_tree INTO found
    FROM rest.recipe_cost(recipe, place, moment) AS c;
    SELECT m.base_price,
           (SELECT sum(i.average_cost
                       * rest.convert_qty(i.inventory_item_id, p.quantity, p.unit_of_measure_id,
                                          i.stock_unit_id))
            FROM rest.recipe_usage AS p
            JOIN rest.inventory_item AS i
                ON i.business_id = p.business_id AND i.inventory_item_id = p.inventory_item_id
            WHERE p.business_id = m.business_id AND p.menu_item_id = m.menu_item_id
              AND p.usage_kind = 'packaging' AND p.is_active)
    INTO sold_for, packaging
    FROM rest.recipe_usage AS u
    JOIN rest.menu_item AS m
        ON m.business_id = u.business_id AND m.menu_item_id = u.menu_item_id
    WHERE u.business_id = tenant AND u.recipe_id = recipe AND u.usage_kind = 'item'
      AND u.is_active AND u.portions = 1
    ORDER BY u.effective_from DESC, u.recipe_usage_id
    LIMIT 1;
    SELECT s.cost_per_portion INTO before
    FROM rest.recipe_cost_snapshot AS s
    WHERE s.business_id = tenant AND s.recipe_id = recipe AND s.location_id = place
      AND s.computed_at < moment
    ORDER BY s.computed_at DESC
    LIMIT 1;
    INSERT INTO rest.recipe_cost_snapshot
        (business_id, recipe_cost_snapshot_id, recipe_id, location_id, computed_at,
         ingredient_cost, packaging_cost, cost_per_portion, menu_price, food_cost_pct,
         margin_amount, cost_change_pct, cost_tree_doc, created_at)
    -- There is one of a recipe, a site and a moment, so its key may follow from them.
    VALUES (tenant, md5(recipe || place::text || extract(epoch FROM moment))::uuid, recipe, place,
            moment, (found.cost_tree ->> 'cost')::numeric, coalesce(packaging, 0),
            found.cost_per_portion, sold_for,
            round(100 * found.cost_per_portion / nullif(sold_for, 0), 4),
            sold_for - found.cost_per_portion - coalesce(packaging, 0),
            round(100 * (found.cost_per_portion - before) / nullif(before, 0), 4),
            found.cost_tree, now())
    RETURNING recipe_cost_snapshot_id INTO made;
    UPDATE rest.recipe AS r
    SET current_cost = found.cost_per_portion
    WHERE r.business_id = tenant AND r.recipe_id = recipe
      AND NOT EXISTS (SELECT FROM rest.recipe_cost_snapshot AS s
                      WHERE s.business_id = tenant AND s.recipe_id = recipe
                        AND s.computed_at > moment);
    RETURN made;
END
$$;
COMMENT ON FUNCTION rest.snapshot_recipe_cost(uuid, uuid, timestamptz) IS
    'Keeps what a recipe costs at a site, against what its dish is sold for.';


CREATE VIEW rest.v_recipe_cost_driver
    WITH (security_invoker = true) AS
SELECT e.business_id, e.recipe_id, e.location_id,
       e.recipe_cost_snapshot_id AS earlier_snapshot_id, e.computed_at AS earlier_at,
       s.recipe_cost_snapshot_id AS later_snapshot_id, s.computed_at AS later_at,
       d.item_id AS inventory_item_id, d.name, d.cost_before, d.cost_after,
       d.cost_after - d.cost_before AS cost_change
FROM rest.recipe_cost_snapshot AS e
JOIN rest.recipe_cost_snapshot AS s
    ON s.business_id = e.business_id AND s.recipe_id = e.recipe_id
   AND s.location_id = e.location_id AND s.computed_at > e.computed_at
CROSS JOIN LATERAL (
    SELECT x.item_id, max(x.name) AS name,
           coalesce(sum(x.cost) FILTER (WHERE NOT x.is_later), 0) AS cost_before,
           coalesce(sum(x.cost) FILTER (WHERE x.is_later), 0) AS cost_after
    FROM (
        -- Strict: a lax path would visit what is in an array twice.
        SELECT b.item_id, b.name, b.cost, false AS is_later
        FROM JSON_TABLE(e.cost_tree_doc::jsonb, 'strict $.** ? (exists (@.item_id))' COLUMNS (
            item_id uuid    PATH '$.item_id',
            name    text    PATH '$.name',
            cost    numeric PATH '$.cost')) AS b
        UNION ALL
        SELECT a.item_id, a.name, a.cost, true
        FROM JSON_TABLE(s.cost_tree_doc::jsonb, 'strict $.** ? (exists (@.item_id))' COLUMNS (
            item_id uuid    PATH '$.item_id',
            name    text    PATH '$.name',
            cost    numeric PATH '$.cost')) AS a
    ) AS x
    GROUP BY x.item_id
) AS d
WHERE e.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW rest.v_recipe_cost_driver IS
    'Between any two snapshots of a recipe at a site: what each ingredient, however deep it is
     nested, cost in a batch before and after.';
GRANT SELECT ON rest.v_recipe_cost_driver TO app_user, app_readonly;


CREATE FUNCTION rest.deplete_for_check_item(line uuid) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    sold   record;
    part   record;
    booked integer := 0;
BEGIN
    -- Two devices that settle the line at once deplete it once.
    PERFORM FROM rest.check_item AS i
    WHERE i.business_id = tenant AND i.check_item_id = line
    FOR NO KEY UPDATE;
    SELECT i.menu_item_id, i.menu_item_size_id, i.quantity, i.state, i.sent_at, o.location_id,
           o.service_mode, d.business_date
    INTO sold
    FROM rest.check_item AS i
    JOIN rest.guest_check AS c
        ON c.business_id = i.business_id AND c.guest_check_id = i.guest_check_id
    JOIN rest.guest_order AS o
        ON o.business_id = c.business_id AND o.guest_order_id = c.guest_order_id
    JOIN rest.business_day AS d
        ON d.business_id = o.business_id AND d.business_day_id = o.business_day_id
    WHERE i.business_id = tenant AND i.check_item_id = line;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no line %', line USING ERRCODE = 'no_data_found';
    END IF;
    IF EXISTS (SELECT FROM rest.stock_movement AS m
               WHERE m.business_id = tenant AND m.source_kind = 'check_item'
                 AND m.source_id = line) THEN
        RETURN 0;
    END IF;
    -- Items in the order of their keys, so that two sales wait for each other and never lock up.
    FOR part IN
        WITH used AS (
            SELECT u.recipe_id, u.inventory_item_id, u.unit_of_measure_id,
                   CASE WHEN u.recipe_id IS NULL THEN u.quantity ELSE u.portions END
                   * sold.quantity * coalesce(m.factor, 1) AS amount
            FROM rest.recipe_usage AS u
            LEFT JOIN LATERAL (
                SELECT sum(x.quantity * CASE WHEN x.pre_modifier IN ('no', 'allergy') THEN -1
                                             ELSE 1 END) AS factor
                FROM rest.check_item_modifier AS x
                WHERE x.business_id = tenant AND x.check_item_id = line
                  AND x.modifier_option_id = u.modifier_option_id
            ) AS m ON true
            WHERE u.business_id = tenant AND u.is_active
              AND u.service_mode IN (
                  'all', CASE WHEN sold.service_mode IN ('curbside', 'drive_thru') THEN 'takeout'
                              ELSE sold.service_mode END)
              AND sold.business_date >= u.effective_from
              AND coalesce(sold.business_date <= u.effective_to, true)
              AND (u.depletes_on = 'sale' AND sold.state <> 'voided'
                   OR u.depletes_on = 'fire' AND (sold.state <> 'voided'
                                                  OR sold.sent_at IS NOT NULL))
              AND (m.factor IS NOT NULL
                   OR u.menu_item_id = sold.menu_item_id
                   AND (u.menu_item_size_id = sold.menu_item_size_id
                        OR u.menu_item_size_id IS NULL
                        AND (u.usage_kind = 'packaging' OR NOT EXISTS (
                            SELECT FROM rest.recipe_usage AS z
                            WHERE z.business_id = tenant AND z.is_active
                              AND z.usage_kind = 'size'
                              AND z.menu_item_size_id = sold.menu_item_size_id))))
        )
        SELECT y.item, sum(y.amount) AS amount
        FROM (
            SELECT e.inventory_item_id AS item, e.quantity AS amount
            FROM used AS u
            JOIN rest.recipe AS r ON r.business_id = tenant AND r.recipe_id = u.recipe_id
            CROSS JOIN LATERAL rest.explode_recipe(
                u.recipe_id, u.amount / r.portion_count, sold.location_id) AS e
            UNION ALL
            SELECT u.inventory_item_id,
                   rest.convert_qty(u.inventory_item_id, u.amount, u.unit_of_measure_id,
                                    i.stock_unit_id)
            FROM used AS u
            JOIN rest.inventory_item AS i
                ON i.business_id = tenant AND i.inventory_item_id = u.inventory_item_id
        ) AS y
        GROUP BY y.item
        -- What a guest leaves out is not used, but nothing comes back for it.
        HAVING round(sum(y.amount), 4) > 0
        ORDER BY y.item
    LOOP
        -- What was served was there, whatever the books say.
        booked := booked + (
            SELECT count(*)
            FROM rest.consume_stock(part.item, sold.location_id, part.amount, 'sale',
                                    'check_item', line, may_run_short => true));
    END LOOP;
    RETURN booked;
END
$$;
COMMENT ON FUNCTION rest.deplete_for_check_item(uuid) IS
    'Takes what a sold line is made of out of the stock of its site, the lots that expire first
     first: through the recipes of the item or its size, their sub-recipes, its modifiers (a "no"
     takes away) and packaging. Books once however often it is called; returns the movements.';


CREATE FUNCTION rest.complete_batch(
    batch uuid, made_qty numeric, moment timestamptz DEFAULT now()
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    work   rest.production_batch;
    plan   rest.recipe;
    place  uuid;
    part   record;
    inputs jsonb := '[]';
    cost   numeric := 0;
    amount numeric;
    lot    uuid;
BEGIN
    SELECT b.* INTO work
    FROM rest.production_batch AS b
    WHERE b.business_id = tenant AND b.production_batch_id = batch
    FOR UPDATE;
    IF NOT FOUND OR work.state NOT IN ('started', 'cooling') THEN
        RAISE EXCEPTION 'batch % is %, it is not completed',
                        coalesce(work.batch_number, batch::text), coalesce(work.state, 'unknown')
            USING ERRCODE = 'check_violation', HINT = 'A batch ends once, after its start.';
    END IF;
    SELECT r.* INTO plan
    FROM rest.recipe AS r
    WHERE r.business_id = tenant AND r.recipe_id = work.recipe_id;
    SELECT k.location_id INTO place
    FROM rest.kitchen AS k
    WHERE k.business_id = tenant AND k.kitchen_id = work.kitchen_id;
    -- Ingredients went in for what was planned, whatever came out.
    FOR part IN
        SELECT m.stock_lot_id, m.inventory_item_id, -m.quantity AS quantity,
               -m.quantity * m.unit_cost AS cost
        FROM rest.explode_recipe(
            work.recipe_id,
            rest.convert_qty(plan.produces_item_id, work.planned_qty, work.unit_of_measure_id,
                             plan.yield_unit_id) / plan.yield_qty, place) AS e
        CROSS JOIN LATERAL rest.consume_stock(
            e.inventory_item_id, place, e.quantity, 'production_out', 'production_batch', batch,
            moment, may_run_short => true) AS m
    LOOP
        inputs := inputs || jsonb_build_object('stock_lot_id', part.stock_lot_id,
                                               'inventory_item_id', part.inventory_item_id,
                                               'quantity', part.quantity);
        cost := cost + part.cost;
    END LOOP;
    SELECT rest.convert_qty(i.inventory_item_id, made_qty, work.unit_of_measure_id,
                            i.stock_unit_id) INTO amount
    FROM rest.inventory_item AS i
    WHERE i.business_id = tenant AND i.inventory_item_id = plan.produces_item_id;
    lot := rest.receive_stock(
        plan.produces_item_id, rest.home_area(plan.produces_item_id, place), amount,
        cost / nullif(amount, 0), 'production_in', 'production_batch', batch,
        lot => work.batch_number,
        use_by => rest.business_date(place, moment
                                            + plan.shelf_life_hours * interval '1 hour'),
        happened => moment);
    UPDATE rest.production_batch AS b
    SET state = 'completed', actual_qty = made_qty, output_lot_id = lot, completed_at = moment,
        use_by_at = moment + plan.shelf_life_hours * interval '1 hour', batch_cost = cost,
        input_lots_doc = inputs
    WHERE b.business_id = tenant AND b.production_batch_id = batch;
    RETURN lot;
END
$$;
COMMENT ON FUNCTION rest.complete_batch(uuid, numeric, timestamptz) IS
    'Ends a batch: its ingredients leave the stock, first what expires first, and what it made
     comes in as a lot at their cost; returns the lot.';
