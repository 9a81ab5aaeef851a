/*
 * Modifiers and combos: what a guest chooses within an item, and meals sold as one.
 *
 * A modifier_group is a choice (doneness, toppings, sides) of modifier_options; an option may open
 * another group (modifier_option_group), up to five deep, never itself. menu_item_modifier_group
 * offers groups with an item or one of its sizes. A combo is a menu item made of combo_slots to be
 * filled from combo_slot_options, which may be combos again; its price is spread over its parts by
 * rest.explode_combo(), so that sales by item add up.
 */

CREATE TABLE rest.modifier_group (
    business_id        uuid              NOT NULL,
    modifier_group_id  uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    group_code         system_core.code  NOT NULL,
    display_name       text              NOT NULL,
    selection_kind     text              NOT NULL,
    min_select         integer           NOT NULL DEFAULT 0,
    max_select         integer           NOT NULL DEFAULT 1,
    required_mode      text              NOT NULL DEFAULT 'optional',
    pricing_mode       text              NOT NULL DEFAULT 'individual',
    group_price        system_core.money,
    free_quantity      integer           NOT NULL DEFAULT 0,
    extra_price_factor numeric(6,        3) NOT NULL DEFAULT 1,
    allows_duplicates  boolean           NOT NULL DEFAULT false,
    is_online_visible  boolean           NOT NULL DEFAULT true,
    sort_order         integer           NOT NULL,
    created_at         timestamptz       NOT NULL DEFAULT now(),
    updated_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, modifier_group_id),
    UNIQUE (business_id, group_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT modifier_group_selection_kind_known
        CHECK (selection_kind IN ('single', 'multiple', 'text')),
    CONSTRAINT modifier_group_required_mode_known
        CHECK (required_mode IN ('required', 'force_show', 'optional')),
    CONSTRAINT modifier_group_pricing_mode_known
        CHECK (pricing_mode IN ('none', 'individual', 'group', 'size', 'sequence')),
    CONSTRAINT modifier_group_selects_in_order CHECK (min_select BETWEEN 0 AND max_select),
    CONSTRAINT modifier_group_required_selects_some
        CHECK (required_mode <> 'required' OR min_select >= 1),
    CONSTRAINT modifier_group_single_selects_one
        CHECK (selection_kind <> 'single' OR max_select = 1),
    CONSTRAINT modifier_group_price_by_group
        CHECK ((group_price IS NOT NULL) = (pricing_mode = 'group')),
    CONSTRAINT modifier_group_amounts_not_negative
        CHECK (group_price >= 0 AND free_quantity >= 0 AND extra_price_factor >= 0)
);

COMMENT ON TABLE rest.modifier_group IS
    'A choice put to the guest (doneness, toppings, sides) with selection and pricing rules.';

ALTER TABLE rest.modifier_group ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.modifier_group
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.modifier_group TO app_user;
GRANT SELECT ON rest.modifier_group TO app_readonly;

CREATE TRIGGER modifier_group_touch
    BEFORE UPDATE ON rest.modifier_group
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.modifier_option (
    business_id        uuid                    NOT NULL,
    modifier_option_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    modifier_group_id  uuid                    NOT NULL,
    menu_item_id       uuid,
    option_code        system_core.code        NOT NULL,
    display_name       text                    NOT NULL,
    kitchen_name       text,
    price              system_core.money       NOT NULL DEFAULT 0,
    size_price_doc     system_core.json_object,
    is_default         boolean                 NOT NULL DEFAULT false,
    max_quantity       integer                 NOT NULL DEFAULT 1,
    calories           integer,
    prep_seconds       integer                 NOT NULL DEFAULT 0,
    sort_order         integer                 NOT NULL,
    is_out_of_stock    boolean                 NOT NULL DEFAULT false,
    is_active          boolean                 NOT NULL DEFAULT true,
    created_at         timestamptz             NOT NULL DEFAULT now(),
    updated_at         timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, modifier_option_id),
    UNIQUE (business_id, modifier_group_id, option_code),
    FOREIGN KEY (business_id, modifier_group_id)
        REFERENCES rest.modifier_group (business_id, modifier_group_id),
    FOREIGN KEY (business_id, menu_item_id) REFERENCES rest.menu_item (business_id, menu_item_id),
    CONSTRAINT modifier_option_taken_at_least_once CHECK (max_quantity >= 1)
);

COMMENT ON TABLE rest.modifier_option IS 'One choice of a group; may itself be a menu item.';
COMMENT ON COLUMN rest.modifier_option.price IS
    'Below zero for a substitution that is cheaper than what it replaces.';
COMMENT ON COLUMN rest.modifier_option.size_price_doc IS 'Price per size code where it differs.';

-- FK: the options that are an item themselves.
CREATE INDEX modifier_option_menu_item_idx
    ON rest.modifier_option (business_id, menu_item_id)
    WHERE menu_item_id IS NOT NULL;

ALTER TABLE rest.modifier_option ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.modifier_option
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.modifier_option TO app_user;
GRANT SELECT ON rest.modifier_option TO app_readonly;

CREATE TRIGGER modifier_option_touch
    BEFORE UPDATE ON rest.modifier_option
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.modifier_option_group (
    business_id              uuid        NOT NULL,
    modifier_option_group_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    child_group_id           uuid        NOT NULL,
    modifier_option_id       uuid        NOT NULL,
    depth                    smallint    NOT NULL DEFAULT 1,
    min_select_override      integer,
    max_select_override      integer,
    inherits_free_quantity   boolean     NOT NULL DEFAULT false,
    sort_order               integer     NOT NULL,
    effective_from           date        NOT NULL DEFAULT current_date,
    is_active                boolean     NOT NULL DEFAULT true,
    created_at               timestamptz NOT NULL DEFAULT now(),
    updated_at               timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, modifier_option_group_id),
    UNIQUE (business_id, modifier_option_id, child_group_id),
    FOREIGN KEY (business_id, child_group_id)
        REFERENCES rest.modifier_group (business_id, modifier_group_id),
    FOREIGN KEY (business_id, modifier_option_id)
        REFERENCES rest.modifier_option (business_id, modifier_option_id),
    CONSTRAINT modifier_option_group_depth_bounded CHECK (depth BETWEEN 1 AND 5),
    CONSTRAINT modifier_option_group_override_in_order
        CHECK (min_select_override >= 0 AND max_select_override >= min_select_override)
);

COMMENT ON TABLE rest.modifier_option_group IS
    'The group that opens when an option is picked (nested modifiers).';
COMMENT ON COLUMN rest.modifier_option_group.depth IS
    'How deep the group opens; kept by a trigger.';

-- FK: the options that open a group.
CREATE INDEX modifier_option_group_child_group_idx
    ON rest.modifier_option_group (business_id, child_group_id);

ALTER TABLE rest.modifier_option_group ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.modifier_option_group
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.modifier_option_group TO app_user;
GRANT SELECT ON rest.modifier_option_group TO app_readonly;

CREATE TRIGGER modifier_option_group_touch
    BEFORE UPDATE ON rest.modifier_option_group
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION rest.nest_modifier_group() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    above record;
BEGIN
    WITH RECURSIVE line AS (
        SELECT o.modifier_group_id, 1 AS step
        FROM rest.modifier_option AS o
        WHERE o.business_id = NEW.business_id AND o.modifier_option_id = NEW.modifier_option_id
        UNION
        SELECT o.modifier_group_id, l.step + 1
        FROM line AS l
        JOIN rest.modifier_option_group AS n
            ON n.business_id = NEW.business_id AND n.child_group_id = l.modifier_group_id
        JOIN rest.modifier_option AS o
            ON o.business_id = n.business_id AND o.modifier_option_id = n.modifier_option_id
        WHERE l.step < 7
    )
    SELECT bool_or(l.modifier_group_id = NEW.child_group_id) AS is_cycle, max(l.step) AS depth
    INTO above
    FROM line AS l;
    IF above.is_cycle THEN
        RAISE EXCEPTION 'a modifier group would open itself'
            USING ERRCODE = 'check_violation', HINT = 'Copy the group instead of nesting it.';
    END IF;
    NEW.depth := above.depth;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.nest_modifier_group() IS
    'A group that an option opens is none of those that led there; its depth is how many did.';

CREATE TRIGGER modifier_option_group_nest
    BEFORE INSERT OR UPDATE OF modifier_option_id, child_group_id ON rest.modifier_option_group
    FOR EACH ROW EXECUTE FUNCTION rest.nest_modifier_group();


CREATE TABLE rest.menu_item_modifier_group (
    business_id                 uuid        NOT NULL,
    menu_item_modifier_group_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    menu_item_id                uuid        NOT NULL,
    modifier_group_id           uuid        NOT NULL,
    menu_item_size_id           uuid,
    sort_order                  integer     NOT NULL,
    min_select_override         integer,
    max_select_override         integer,
    free_quantity_override      integer,
    is_hidden_online            boolean     NOT NULL DEFAULT false,
    shows_on_kds                boolean     NOT NULL DEFAULT true,
    effective_from              date        NOT NULL DEFAULT current_date,
    created_at                  timestamptz NOT NULL DEFAULT now(),
    updated_at                  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, menu_item_modifier_group_id),
    UNIQUE NULLS NOT DISTINCT (business_id, menu_item_id, menu_item_size_id, modifier_group_id),
    FOREIGN KEY (business_id, menu_item_id) REFERENCES rest.menu_item (business_id, menu_item_id),
    FOREIGN KEY (business_id, modifier_group_id)
        REFERENCES rest.modifier_group (business_id, modifier_group_id),
    FOREIGN KEY (business_id, menu_item_size_id)
        REFERENCES rest.menu_item_size (business_id, menu_item_size_id),
    CONSTRAINT menu_item_modifier_group_override_in_order
        CHECK (min_select_override >= 0 AND max_select_override >= min_select_override)
);

COMMENT ON TABLE rest.menu_item_modifier_group IS
    'The groups offered with an item or one of its sizes.';

-- FK: the items that offer a group.
CREATE INDEX menu_item_modifier_group_modifier_group_idx
    ON rest.menu_item_modifier_group (business_id, modifier_group_id);

-- FK: the groups of a size.
CREATE INDEX menu_item_modifier_group_menu_item_size_idx
    ON rest.menu_item_modifier_group (business_id, menu_item_size_id)
    WHERE menu_item_size_id IS NOT NULL;

ALTER TABLE rest.menu_item_modifier_group ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.menu_item_modifier_group
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.menu_item_modifier_group TO app_user;
GRANT SELECT ON rest.menu_item_modifier_group TO app_readonly;

CREATE TRIGGER menu_item_modifier_group_touch
    BEFORE UPDATE ON rest.menu_item_modifier_group
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.combo (
    business_id     uuid                   NOT NULL,
    combo_id        uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    menu_item_id    uuid                   NOT NULL,
    combo_code      system_core.code       NOT NULL,
    pricing_mode    text                   NOT NULL,
    fixed_price     system_core.money,
    discount_pct    system_core.percentage NOT NULL DEFAULT 0,
    allows_nested   boolean                NOT NULL DEFAULT false,
    max_depth       integer                NOT NULL DEFAULT 1,
    allocation_rule text                   NOT NULL DEFAULT 'pro_rata',
    valid_from      timestamptz,
    valid_to        timestamptz,
    is_active       boolean                NOT NULL DEFAULT true,
    created_at      timestamptz            NOT NULL DEFAULT now(),
    updated_at      timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, combo_id),
    UNIQUE (business_id, menu_item_id),
    FOREIGN KEY (business_id, menu_item_id) REFERENCES rest.menu_item (business_id, menu_item_id),
    CONSTRAINT combo_pricing_mode_known
        CHECK (pricing_mode IN ('fixed', 'sum_less_discount', 'cheapest_free')),
    CONSTRAINT combo_allocation_rule_known
        CHECK (allocation_rule IN ('pro_rata', 'to_main', 'standalone_price')),
    CONSTRAINT combo_fixed_has_price CHECK ((fixed_price IS NOT NULL) = (pricing_mode = 'fixed')),
    CONSTRAINT combo_depth_bounded CHECK (max_depth BETWEEN 1 AND 3),
    CONSTRAINT combo_nests_only_when_allowed CHECK (allows_nested OR max_depth = 1),
    CONSTRAINT combo_discount_bounded CHECK (discount_pct BETWEEN 0 AND 90),
    CONSTRAINT combo_ends_after_start CHECK (valid_to > valid_from)
);

COMMENT ON TABLE rest.combo IS
    'A meal deal; sold as a menu item, priced as a whole and allocated back to its parts.';
COMMENT ON COLUMN rest.combo.allocation_rule IS
    'How its price is spread: by the parts'' own prices, all to the main, or at their own price with
     the difference on the main.';

ALTER TABLE rest.combo ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.combo
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.combo TO app_user;
GRANT SELECT ON rest.combo TO app_readonly;

CREATE TRIGGER combo_touch
    BEFORE UPDATE ON rest.combo
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.combo_slot (
    business_id    uuid             NOT NULL,
    combo_slot_id  uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    combo_id       uuid             NOT NULL,
    slot_code      system_core.code NOT NULL,
    display_name   text             NOT NULL,
    min_choices    integer          NOT NULL DEFAULT 1,
    max_choices    integer          NOT NULL DEFAULT 1,
    is_optional    boolean          NOT NULL DEFAULT false,
    course_default text             NOT NULL DEFAULT 'none',
    upsell_prompt  text,
    sort_order     integer          NOT NULL,
    created_at     timestamptz      NOT NULL DEFAULT now(),
    updated_at     timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, combo_slot_id),
    UNIQUE (business_id, combo_id, slot_code),
    FOREIGN KEY (business_id, combo_id) REFERENCES rest.combo (business_id, combo_id),
    CONSTRAINT combo_slot_course_default_known
        CHECK (course_default IN ('none', 'drinks', 'starter', 'main', 'side', 'dessert')),
    CONSTRAINT combo_slot_choices_in_order
        CHECK (min_choices BETWEEN 0 AND max_choices AND max_choices >= 1),
    CONSTRAINT combo_slot_optional_takes_none CHECK (is_optional = (min_choices = 0))
);

COMMENT ON TABLE rest.combo_slot IS 'A position of the combo to be filled (main, side, drink).';

ALTER TABLE rest.combo_slot ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.combo_slot
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.combo_slot TO app_user;
GRANT SELECT ON rest.combo_slot TO app_readonly;

CREATE TRIGGER combo_slot_touch
    BEFORE UPDATE ON rest.combo_slot
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.combo_slot_option (
    business_id          uuid              NOT NULL,
    combo_slot_option_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    nested_combo_id      uuid,
    combo_slot_id        uuid              NOT NULL,
    menu_item_id         uuid,
    menu_item_size_id    uuid,
    upcharge_amount      system_core.money NOT NULL DEFAULT 0,
    included_quantity    integer           NOT NULL DEFAULT 1,
    allocated_price      system_core.money,
    is_default           boolean           NOT NULL DEFAULT false,
    sort_order           integer           NOT NULL,
    valid_from           timestamptz,
    valid_to             timestamptz,
    is_active            boolean           NOT NULL DEFAULT true,
    created_at           timestamptz       NOT NULL DEFAULT now(),
    updated_at           timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, combo_slot_option_id),
    FOREIGN KEY (business_id, nested_combo_id) REFERENCES rest.combo (business_id, combo_id),
    FOREIGN KEY (business_id, combo_slot_id)
        REFERENCES rest.combo_slot (business_id, combo_slot_id),
    FOREIGN KEY (business_id, menu_item_id) REFERENCES rest.menu_item (business_id, menu_item_id),
    FOREIGN KEY (business_id, menu_item_size_id)
        REFERENCES rest.menu_item_size (business_id, menu_item_size_id),
    CONSTRAINT combo_slot_option_item_or_combo
        CHECK (num_nonnulls(menu_item_id, nested_combo_id) = 1),
    CONSTRAINT combo_slot_option_upcharge_not_negative CHECK (upcharge_amount >= 0),
    CONSTRAINT combo_slot_option_size_of_item
        CHECK (menu_item_size_id IS NULL OR menu_item_id IS NOT NULL),
    CONSTRAINT combo_slot_option_quantity_positive CHECK (included_quantity >= 1),
    CONSTRAINT combo_slot_option_ends_after_start CHECK (valid_to > valid_from)
);

COMMENT ON TABLE rest.combo_slot_option IS
    'Item, size or nested combo allowed in a slot with its up-charge.';
COMMENT ON COLUMN rest.combo_slot_option.allocated_price IS
    'A price of its own within the combo, instead of the item''s.';

-- FK: the slots that a combo fills.
CREATE INDEX combo_slot_option_nested_combo_idx
    ON rest.combo_slot_option (business_id, nested_combo_id)
    WHERE nested_combo_id IS NOT NULL;

-- FK: what fills a slot.
CREATE INDEX combo_slot_option_combo_slot_idx
    ON rest.combo_slot_option (business_id, combo_slot_id);

-- FK: the combos an item is part of.
CREATE INDEX combo_slot_option_menu_item_idx
    ON rest.combo_slot_option (business_id, menu_item_id)
    WHERE menu_item_id IS NOT NULL;

-- FK: the combos a size is part of.
CREATE INDEX combo_slot_option_menu_item_size_idx
    ON rest.combo_slot_option (business_id, menu_item_size_id)
    WHERE menu_item_size_id IS NOT NULL;

ALTER TABLE rest.combo_slot_option ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.combo_slot_option
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.combo_slot_option TO app_user;
GRANT SELECT ON rest.combo_slot_option TO app_readonly;

CREATE TRIGGER combo_slot_option_touch
    BEFORE UPDATE ON rest.combo_slot_option
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION rest.refuse_combo_cycle() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    below  integer;
    deepest integer;
BEGIN
    SELECT c.max_depth INTO deepest
    FROM rest.combo_slot AS l
    JOIN rest.combo AS c ON c.business_id = l.business_id AND c.combo_id = l.combo_id
    WHERE l.business_id = NEW.business_id AND l.combo_slot_id = NEW.combo_slot_id;
    WITH RECURSIVE inner_combo AS (
        SELECT NEW.nested_combo_id AS combo_id, 2 AS level
        UNION
        SELECT o.nested_combo_id, i.level + 1
        FROM inner_combo AS i
        JOIN rest.combo_slot AS l ON l.business_id = NEW.business_id AND l.combo_id = i.combo_id
        JOIN rest.combo_slot_option AS o
            ON o.business_id = l.business_id AND o.combo_slot_id = l.combo_slot_id
           AND o.nested_combo_id IS NOT NULL
        WHERE i.level < 6
    )
    SELECT max(i.level) INTO below
    FROM inner_combo AS i;
    IF below > deepest THEN
        RAISE EXCEPTION 'the combo would nest % deep, its limit is %', below, deepest
            USING ERRCODE = 'check_violation', HINT = 'A combo never contains itself.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.refuse_combo_cycle() IS
    'A combo nests no deeper than its max_depth allows, so never within itself.';

CREATE TRIGGER combo_slot_option_no_cycle
    BEFORE INSERT OR UPDATE OF nested_combo_id, combo_slot_id ON rest.combo_slot_option
    FOR EACH ROW WHEN (NEW.nested_combo_id IS NOT NULL)
    EXECUTE FUNCTION rest.refuse_combo_cycle();


CREATE FUNCTION rest.explode_combo(meal uuid, choices uuid[])
    RETURNS TABLE (
        combo_slot_option_id uuid,
        menu_item_id         uuid,
        depth                integer,
        allocated_price      numeric
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH RECURSIVE part AS (
        SELECT o.combo_slot_option_id, o.menu_item_id, o.nested_combo_id, l.course_default,
               1 AS depth, o.included_quantity, o.upcharge_amount, l.sort_order AS slot_order,
               coalesce(o.allocated_price, z.price, i.base_price, 0) * o.included_quantity AS own
        FROM rest.combo_slot AS l
        JOIN rest.combo_slot_option AS o
            ON o.business_id = l.business_id AND o.combo_slot_id = l.combo_slot_id
        LEFT JOIN rest.menu_item AS i
            ON i.business_id = o.business_id AND i.menu_item_id = o.menu_item_id
        LEFT JOIN rest.menu_item_size AS z
            ON z.business_id = o.business_id AND z.menu_item_size_id = o.menu_item_size_id
        WHERE l.business_id = tenant_mgmt.current_business_id() AND l.combo_id = meal
          AND o.combo_slot_option_id = ANY (choices)
        UNION ALL
        SELECT o.combo_slot_option_id, o.menu_item_id, o.nested_combo_id, l.course_default,
               p.depth + 1, o.included_quantity * p.included_quantity, o.upcharge_amount,
               p.slot_order,
               coalesce(o.allocated_price, z.price, i.base_price, 0)
               * o.included_quantity * p.included_quantity
        FROM part AS p
        JOIN rest.combo_slot AS l
            ON l.business_id = tenant_mgmt.current_business_id() AND l.combo_id = p.nested_combo_id
        JOIN rest.combo_slot_option AS o
            ON o.business_id = l.business_id AND o.combo_slot_id = l.combo_slot_id
        LEFT JOIN rest.menu_item AS i
            ON i.business_id = o.business_id AND i.menu_item_id = o.menu_item_id
        LEFT JOIN rest.menu_item_size AS z
            ON z.business_id = o.business_id AND z.menu_item_size_id = o.menu_item_size_id
        WHERE o.combo_slot_option_id = ANY (choices) AND p.depth < 3
    ), leaf AS (
        SELECT p.*,
               row_number() OVER (ORDER BY (p.course_default = 'main') DESC, p.own DESC,
                                           p.combo_slot_option_id) AS rank_no,
               sum(p.own) OVER () AS together,
               min(p.own) OVER () AS cheapest
        FROM part AS p
        WHERE p.menu_item_id IS NOT NULL
    ), priced AS (
        SELECT f.*, c.allocation_rule,
               (SELECT sum(p.upcharge_amount) FROM part AS p) + CASE c.pricing_mode
                   WHEN 'fixed' THEN c.fixed_price
                   WHEN 'sum_less_discount' THEN round(f.together * (1 - c.discount_pct / 100), 2)
                   ELSE f.together - f.cheapest END AS whole
        FROM leaf AS f
        JOIN rest.combo AS c
            ON c.business_id = tenant_mgmt.current_business_id() AND c.combo_id = meal
    ), shared AS (
        SELECT p.*, CASE p.allocation_rule
                   WHEN 'to_main' THEN 0
                   WHEN 'standalone_price' THEN p.own
                   ELSE round(p.whole * CASE WHEN p.together = 0 THEN 1.0 / count(*) OVER ()
                                             ELSE p.own / p.together END, 2) END AS share
        FROM priced AS p
    )
    -- The main takes what rounding and the rule leave over, so that the parts sum to the whole.
    SELECT s.combo_slot_option_id, s.menu_item_id, s.depth,
           CASE WHEN s.rank_no = 1 THEN s.whole - sum(s.share) OVER () + s.share ELSE s.share END
    FROM shared AS s
    ORDER BY s.slot_order, s.depth, s.combo_slot_option_id;
END;
COMMENT ON FUNCTION rest.explode_combo(uuid, uuid[]) IS
    'The items of a combo for the options that were chosen, nested ones too, each with its part of
     the price; the parts sum to the price of the whole to the cent.';
