/*
 * The catalogue: what a retailer sells, from the brand down to the barcode.
 *
 * A category is a node of the merchandise hierarchy (department, class, subclass) or of the web
 * shop's tree; its path is derived from the nodes above it. A product is a style or model of a
 * brand in one main category and as many others as product_category says. Its product_options are
 * the axes along which it varies (size, color), product_option_values the points on an axis. What
 * is stocked, priced and sold is a product_variant: one value on each axis
 * (variant_option_value), no two variants of a product with the same combination.
 * variant_barcodes lead from a scan to the variant and the units in the pack. A bundle is a
 * variant that consists of others (bundle_component) and shares its price out among them.
 */

CREATE FUNCTION ret.keep_parent() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%: % does not change', TG_ARGV[0], TG_ARGV[1]
        USING ERRCODE = 'check_violation', HINT = 'Add a new row and retire this one.';
END
$$;
COMMENT ON FUNCTION ret.keep_parent() IS
    'Refuses to move a row to another parent, whose rows lean on it; the arguments are the table
     and the column.';


CREATE TABLE ret.brand (
    business_id        uuid             NOT NULL,
    brand_id           uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    logo_file_id       uuid,
    brand_code         system_core.code NOT NULL,
    display_name       text             NOT NULL,
    slug               system_core.slug NOT NULL,
    gs1_company_prefix text,
    is_private_label   boolean          NOT NULL DEFAULT false,
    owner_name         text,
    website_url        system_core.url,
    description        text,
    status             text             NOT NULL DEFAULT 'active',
    created_at         timestamptz      NOT NULL DEFAULT now(),
    updated_at         timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, brand_id),
    UNIQUE (business_id, brand_code),
    UNIQUE (business_id, slug),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, logo_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT brand_status_known CHECK (status IN ('active', 'retired')),
    CONSTRAINT brand_prefix_is_digits CHECK (gs1_company_prefix ~ '^[0-9]{6,12}$')
);

COMMENT ON TABLE ret.brand IS 'The name on the goods: a manufacturer''s or the retailer''s own.';
COMMENT ON COLUMN ret.brand.gs1_company_prefix IS
    'What the article numbers of its owner begin with.';
COMMENT ON COLUMN ret.brand.is_private_label IS 'Made for this retailer and sold nowhere else.';

-- FK: the logo.
CREATE INDEX brand_logo_file_idx
    ON ret.brand (business_id, logo_file_id)
    WHERE logo_file_id IS NOT NULL;

ALTER TABLE ret.brand ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.brand
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.brand TO app_user;
GRANT SELECT ON ret.brand TO app_readonly;

CREATE TRIGGER brand_touch
    BEFORE UPDATE ON ret.brand
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.category (
    business_id        uuid                   NOT NULL,
    category_id        uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    parent_category_id uuid,
    category_code      system_core.code       NOT NULL,
    display_name       text                   NOT NULL,
    slug               system_core.slug       NOT NULL,
    level_kind         text                   NOT NULL,
    path_text          text                   NOT NULL DEFAULT '',
    depth              smallint               NOT NULL DEFAULT 0,
    sort_order         integer                NOT NULL DEFAULT 0,
    target_margin_pct  system_core.percentage,
    shrink_target_pct  system_core.percentage,
    is_visible_online  boolean                NOT NULL DEFAULT false,
    created_at         timestamptz            NOT NULL DEFAULT now(),
    updated_at         timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, category_id),
    UNIQUE (business_id, category_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, parent_category_id)
        REFERENCES ret.category (business_id, category_id),
    CONSTRAINT category_level_kind_known
        CHECK (level_kind IN ('department', 'class', 'subclass', 'web')),
    CONSTRAINT category_department_is_top
        CHECK (level_kind <> 'department' OR parent_category_id IS NULL),
    CONSTRAINT category_depth_bounded CHECK (depth BETWEEN 0 AND 8),
    CONSTRAINT category_targets_bounded
        CHECK (target_margin_pct BETWEEN 0 AND 100 AND shrink_target_pct BETWEEN 0 AND 100)
);

COMMENT ON TABLE ret.category IS
    'Merchandise hierarchy from department to subclass, and the tree of the web shop.';
COMMENT ON COLUMN ret.category.path_text IS
    'Names from the top down to itself, kept by a trigger: Men > Shirts > Polo.';
COMMENT ON COLUMN ret.category.depth IS 'Levels above it, kept by a trigger; 0 is the top.';
COMMENT ON COLUMN ret.category.target_margin_pct IS 'Gross margin that its buyer plans for.';
COMMENT ON COLUMN ret.category.shrink_target_pct IS
    'Share of sales that may be lost to theft, damage and error.';

-- FK: the categories within one, in order.
CREATE INDEX category_parent_category_idx
    ON ret.category (business_id, parent_category_id, sort_order)
    WHERE parent_category_id IS NOT NULL;

ALTER TABLE ret.category ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.category
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.category TO app_user;
GRANT SELECT ON ret.category TO app_readonly;

CREATE TRIGGER category_touch
    BEFORE UPDATE ON ret.category
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION ret.place_category() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    above    ret.category;
    is_cycle boolean;
BEGIN
    IF NEW.parent_category_id IS NULL THEN
        NEW.path_text := NEW.display_name;
        NEW.depth := 0;
        RETURN NEW;
    END IF;
    -- Two moves at once could close a circle that neither of them sees.
    PERFORM pg_advisory_xact_lock(hashtextextended('ret.category ' || NEW.business_id, 0));
    SELECT c.* INTO above
    FROM ret.category AS c
    WHERE c.business_id = NEW.business_id AND c.category_id = NEW.parent_category_id;
    WITH RECURSIVE line AS (
        SELECT NEW.parent_category_id AS category_id
        UNION
        SELECT c.parent_category_id
        FROM line AS l
        JOIN ret.category AS c
            ON c.business_id = NEW.business_id AND c.category_id = l.category_id
        WHERE c.parent_category_id IS NOT NULL
    )
    SELECT bool_or(l.category_id = NEW.category_id) INTO is_cycle
    FROM line AS l;
    IF is_cycle THEN
        RAISE EXCEPTION 'category % would be within itself', NEW.category_code
            USING ERRCODE = 'check_violation',
                  HINT = 'Place it in a category that is not within it.';
    ELSIF above.level_kind <> (CASE NEW.level_kind WHEN 'class' THEN 'department'
                                                   WHEN 'subclass' THEN 'class'
                                                   ELSE 'web' END) THEN
        RAISE EXCEPTION 'a % does not lie within a %', NEW.level_kind, above.level_kind
            USING ERRCODE = 'check_violation',
                  HINT = 'Department, class, subclass; web categories lie within each other.';
    END IF;
    NEW.path_text := concat_ws(' > ', above.path_text, NEW.display_name);
    NEW.depth := coalesce(above.depth, 0) + 1;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.place_category() IS
    'The path and depth of a category follow from the ones above it, which are of the level
     above and never itself.';

CREATE TRIGGER category_place
    BEFORE INSERT OR UPDATE OF parent_category_id, display_name, level_kind, path_text, depth
    ON ret.category
    FOR EACH ROW EXECUTE FUNCTION ret.place_category();

CREATE FUNCTION ret.move_subcategories() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- Placing them anew derives their paths, and in turn those of what lies within them.
    UPDATE ret.category AS c
    SET parent_category_id = NEW.category_id
    WHERE c.business_id = NEW.business_id AND c.parent_category_id = NEW.category_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.move_subcategories() IS
    'What lies within a category moves and is renamed with it.';

CREATE TRIGGER category_move_subcategories
    AFTER UPDATE OF parent_category_id, display_name, level_kind ON ret.category
    FOR EACH ROW
    WHEN (OLD.path_text <> NEW.path_text OR OLD.level_kind <> NEW.level_kind)
    EXECUTE FUNCTION ret.move_subcategories();


CREATE TABLE ret.product (
    business_id           uuid                   NOT NULL,
    product_id            uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    main_category_id      uuid                   NOT NULL,
    brand_id              uuid,
    tax_class_id          uuid                   NOT NULL,
    product_code          system_core.code       NOT NULL,
    title                 text                   NOT NULL,
    slug                  system_core.slug       NOT NULL,
    product_kind          text                   NOT NULL,
    description           text,
    tracking              text                   NOT NULL DEFAULT 'none',
    season_code           system_core.code,
    launch_on             date,
    discontinue_on        date,
    country_of_origin     system_core.country,
    hs_code               text,
    age_restriction_years integer,
    completeness_pct      system_core.percentage NOT NULL DEFAULT 0,
    status                text                   NOT NULL DEFAULT 'draft',
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, product_id),
    UNIQUE (business_id, product_code),
    UNIQUE (business_id, slug),
    FOREIGN KEY (business_id, main_category_id) REFERENCES ret.category (business_id, category_id),
    FOREIGN KEY (business_id, brand_id) REFERENCES ret.brand (business_id, brand_id),
    FOREIGN KEY (business_id, tax_class_id) REFERENCES ret.tax_class (business_id, tax_class_id),
    CONSTRAINT product_kind_known
        CHECK (product_kind IN ('simple', 'configurable', 'bundle', 'gift_card', 'service',
                                'subscription')),
    CONSTRAINT product_tracking_known CHECK (tracking IN ('none', 'lot', 'serial')),
    CONSTRAINT product_status_known
        CHECK (status IN ('draft', 'review', 'active', 'phase_out', 'discontinued')),
    CONSTRAINT product_completeness_bounded CHECK (completeness_pct BETWEEN 0 AND 100),
    CONSTRAINT product_discontinued_after_launch CHECK (discontinue_on > launch_on),
    CONSTRAINT product_age_restriction_bounded CHECK (age_restriction_years BETWEEN 1 AND 99),
    CONSTRAINT product_hs_code_is_digits CHECK (hs_code ~ '^[0-9]{6,10}$'),
    CONSTRAINT product_only_goods_are_tracked
        CHECK (tracking = 'none' OR product_kind IN ('simple', 'configurable'))
);

COMMENT ON TABLE ret.product IS
    'A style or model with its descriptive data; sold through its variants.';
COMMENT ON COLUMN ret.product.tracking IS
    'Whether its stock is told apart by lot (expiry) or by serial number.';
COMMENT ON COLUMN ret.product.season_code IS 'The season it is bought for, such as FW26.';
COMMENT ON COLUMN ret.product.hs_code IS 'Customs heading of the Harmonized System, no dots.';
COMMENT ON COLUMN ret.product.age_restriction_years IS
    'The cashier asks for proof of this age; NULL is for everybody.';
COMMENT ON COLUMN ret.product.completeness_pct IS
    'Share of what its category asks for that is filled in.';

-- FK, and the products of a category by their titles.
CREATE INDEX product_main_category_idx ON ret.product (business_id, main_category_id, title);

-- FK: the products of a brand.
CREATE INDEX product_brand_idx
    ON ret.product (business_id, brand_id)
    WHERE brand_id IS NOT NULL;

-- FK: the products of a tax class.
CREATE INDEX product_tax_class_idx ON ret.product (business_id, tax_class_id);

ALTER TABLE ret.product ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.product
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.product TO app_user;
GRANT SELECT ON ret.product TO app_readonly;

CREATE TRIGGER product_touch
    BEFORE UPDATE ON ret.product
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER product_words
    AFTER INSERT OR UPDATE OF title, description OR DELETE ON ret.product
    FOR EACH ROW EXECUTE FUNCTION system_core.keep_search_words(
        'ret.product', 'product_id', 'title', 'description');

-- A catalogue that is taken over from elsewhere may start as active.
CREATE TRIGGER product_state_machine
    BEFORE INSERT OR UPDATE OF status ON ret.product
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft", "review", "active"],
        "transitions": {
            "draft":        ["review", "active", "discontinued"],
            "review":       ["draft", "active", "discontinued"],
            "active":       ["phase_out", "discontinued"],
            "phase_out":    ["active", "discontinued"],
            "discontinued": []
        }}');


CREATE TABLE ret.product_category (
    business_id         uuid        NOT NULL,
    product_category_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    product_id          uuid        NOT NULL,
    category_id         uuid        NOT NULL,
    is_primary          boolean     NOT NULL DEFAULT false,
    sort_order          integer     NOT NULL DEFAULT 0,
    placement           text        NOT NULL DEFAULT 'manual',
    valid_from          timestamptz,
    valid_to            timestamptz,
    pinned              boolean     NOT NULL DEFAULT false,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, product_category_id),
    UNIQUE (business_id, product_id, category_id),
    FOREIGN KEY (business_id, product_id) REFERENCES ret.product (business_id, product_id),
    FOREIGN KEY (business_id, category_id) REFERENCES ret.category (business_id, category_id),
    CONSTRAINT product_category_placement_known CHECK (placement IN ('manual', 'rule')),
    CONSTRAINT product_category_ends_after_start CHECK (valid_to > valid_from)
);

COMMENT ON TABLE ret.product_category IS
    'Further categories of a product (web placement, reporting).';
COMMENT ON COLUMN ret.product_category.is_primary IS
    'The one that its page in the web shop names as where it lies.';
COMMENT ON COLUMN ret.product_category.pinned IS 'Stands in front of what only sells well.';

-- One primary category per product.
CREATE UNIQUE INDEX product_category_primary_idx
    ON ret.product_category (business_id, product_id)
    WHERE is_primary;

-- FK; serves ret.product_listing_page: the products of a category, pinned ones first.
CREATE INDEX product_category_category_idx
    ON ret.product_category (business_id, category_id, pinned DESC, sort_order);

ALTER TABLE ret.product_category ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.product_category
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.product_category TO app_user;
GRANT SELECT ON ret.product_category TO app_readonly;

CREATE TRIGGER product_category_touch
    BEFORE UPDATE ON ret.product_category
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.product_option (
    business_id       uuid             NOT NULL,
    product_option_id uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    product_id        uuid             NOT NULL,
    option_code       system_core.code NOT NULL,
    display_name      text             NOT NULL,
    option_kind       text             NOT NULL,
    swatch_kind       text             NOT NULL DEFAULT 'none',
    position_no       integer          NOT NULL,
    is_required       boolean          NOT NULL DEFAULT true,
    size_scale        text,
    created_at        timestamptz      NOT NULL DEFAULT now(),
    updated_at        timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, product_option_id),
    UNIQUE (business_id, product_id, option_code),
    FOREIGN KEY (business_id, product_id) REFERENCES ret.product (business_id, product_id),
    CONSTRAINT product_option_kind_known
        CHECK (option_kind IN ('size', 'colour', 'material', 'style', 'capacity', 'other')),
    CONSTRAINT product_option_swatch_kind_known
        CHECK (swatch_kind IN ('none', 'colour', 'image')),
    CONSTRAINT product_option_position_bounded CHECK (position_no BETWEEN 1 AND 5),
    CONSTRAINT product_option_scale_is_of_sizes
        CHECK (size_scale IS NULL OR option_kind = 'size')
);

COMMENT ON TABLE ret.product_option IS
    'An axis of variation of a product (size, color, material).';
COMMENT ON COLUMN ret.product_option.is_required IS
    'A variant needs a value on it before its combination counts.';
COMMENT ON COLUMN ret.product_option.size_scale IS
    'The scale that its sizes are of: US shoe, EU apparel, alpha.';

ALTER TABLE ret.product_option ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.product_option
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.product_option TO app_user;
GRANT SELECT ON ret.product_option TO app_readonly;

CREATE TRIGGER product_option_touch
    BEFORE UPDATE ON ret.product_option
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER product_option_keep_product
    BEFORE UPDATE OF product_id ON ret.product_option
    FOR EACH ROW WHEN (OLD.product_id <> NEW.product_id)
    EXECUTE FUNCTION ret.keep_parent('ret.product_option', 'product_id');


CREATE TABLE ret.product_option_value (
    business_id             uuid             NOT NULL,
    product_option_value_id uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    product_option_id       uuid             NOT NULL,
    value_code              system_core.code NOT NULL,
    display_name            text             NOT NULL,
    swatch_hex              text,
    position_no             integer          NOT NULL DEFAULT 1,
    size_sort               integer,
    standard_colour         text,
    is_active               boolean          NOT NULL DEFAULT true,
    created_at              timestamptz      NOT NULL DEFAULT now(),
    updated_at              timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, product_option_value_id),
    UNIQUE (business_id, product_option_id, value_code),
    FOREIGN KEY (business_id, product_option_id)
        REFERENCES ret.product_option (business_id, product_option_id),
    CONSTRAINT product_option_value_swatch_is_hex CHECK (swatch_hex ~ '^[0-9A-Fa-f]{6}$'),
    CONSTRAINT product_option_value_position_positive CHECK (position_no >= 1)
);

COMMENT ON TABLE ret.product_option_value IS 'A value on an axis (M, navy).';
COMMENT ON COLUMN ret.product_option_value.size_sort IS
    'Order of sizes across products, so that a facet lists S before XL.';
COMMENT ON COLUMN ret.product_option_value.standard_colour IS
    'The plain color that a shopper filters by: blue for midnight navy.';

ALTER TABLE ret.product_option_value ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.product_option_value
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.product_option_value TO app_user;
GRANT SELECT ON ret.product_option_value TO app_readonly;

CREATE TRIGGER product_option_value_touch
    BEFORE UPDATE ON ret.product_option_value
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER product_option_value_keep_option
    BEFORE UPDATE OF product_option_id ON ret.product_option_value
    FOR EACH ROW WHEN (OLD.product_option_id <> NEW.product_option_id)
    EXECUTE FUNCTION ret.keep_parent('ret.product_option_value', 'product_option_id');


CREATE TABLE ret.product_variant (
    business_id        uuid                   NOT NULL,
    product_variant_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    product_id         uuid                   NOT NULL,
    sku                text                   NOT NULL,
    title              text                   NOT NULL,
    unit_of_measure    text                   NOT NULL DEFAULT 'each',
    weight_g           integer,
    length_mm          integer,
    width_mm           integer,
    height_mm          integer,
    standard_cost      system_core.unit_price NOT NULL DEFAULT 0,
    average_cost       system_core.unit_price NOT NULL DEFAULT 0,
    list_price         system_core.money      NOT NULL,
    currency           system_core.currency   NOT NULL,
    abc_class          text                   NOT NULL DEFAULT 'c',
    is_weighed         boolean                NOT NULL DEFAULT false,
    requires_shipping  boolean                NOT NULL DEFAULT true,
    hazmat_class       text,
    status             text                   NOT NULL DEFAULT 'active',
    created_at         timestamptz            NOT NULL DEFAULT now(),
    updated_at         timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, product_variant_id),
    UNIQUE (business_id, sku),
    FOREIGN KEY (business_id, product_id) REFERENCES ret.product (business_id, product_id),
    CONSTRAINT product_variant_unit_of_measure_known
        CHECK (unit_of_measure IN ('each', 'pair', 'kg', 'g', 'm', 'l', 'pack')),
    CONSTRAINT product_variant_abc_class_known CHECK (abc_class IN ('a', 'b', 'c')),
    CONSTRAINT product_variant_status_known
        CHECK (status IN ('active', 'phase_out', 'discontinued')),
    CONSTRAINT product_variant_sku_shape CHECK (sku ~ '^[A-Za-z0-9][A-Za-z0-9._/-]{0,39}$'),
    CONSTRAINT product_variant_price_not_negative CHECK (list_price >= 0),
    CONSTRAINT product_variant_cost_not_negative
        CHECK (standard_cost >= 0 AND average_cost >= 0),
    CONSTRAINT product_variant_weighed_by_weight
        CHECK (NOT is_weighed OR unit_of_measure IN ('kg', 'g')),
    CONSTRAINT product_variant_measures_positive
        CHECK (weight_g > 0 AND length_mm > 0 AND width_mm > 0 AND height_mm > 0)
);

COMMENT ON TABLE ret.product_variant IS
    'The stock keeping unit: what is stocked, priced and sold.';
COMMENT ON COLUMN ret.product_variant.standard_cost IS 'What the buyer plans that a unit costs.';
COMMENT ON COLUMN ret.product_variant.average_cost IS
    'Moving average of what was paid, kept by receipts; stock is valued with it.';
COMMENT ON COLUMN ret.product_variant.list_price IS 'What it costs where no price book says else.';
COMMENT ON COLUMN ret.product_variant.abc_class IS
    'By turnover: a is counted and replenished the most often.';
COMMENT ON COLUMN ret.product_variant.is_weighed IS 'Put on the scale at the till.';
COMMENT ON COLUMN ret.product_variant.hazmat_class IS
    'UN class that a carrier has to know of; NULL for harmless goods.';

-- FK: the variants of a product.
CREATE INDEX product_variant_product_idx ON ret.product_variant (business_id, product_id);

ALTER TABLE ret.product_variant ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.product_variant
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.product_variant TO app_user;
GRANT SELECT ON ret.product_variant TO app_readonly;

CREATE TRIGGER product_variant_touch
    BEFORE UPDATE ON ret.product_variant
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER product_variant_state_machine
    BEFORE INSERT OR UPDATE OF status ON ret.product_variant
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["active"],
        "transitions": {
            "active":       ["phase_out", "discontinued"],
            "phase_out":    ["active", "discontinued"],
            "discontinued": []
        }}');

CREATE TRIGGER product_variant_keep_product
    BEFORE UPDATE OF product_id ON ret.product_variant
    FOR EACH ROW WHEN (OLD.product_id <> NEW.product_id)
    EXECUTE FUNCTION ret.keep_parent('ret.product_variant', 'product_id');


CREATE TABLE ret.variant_option_value (
    business_id             uuid        NOT NULL,
    variant_option_value_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    product_variant_id      uuid        NOT NULL,
    product_option_id       uuid        NOT NULL,
    product_option_value_id uuid        NOT NULL,
    position_no             integer     NOT NULL DEFAULT 1,
    label_override          text,
    combination_hash        text,
    created_at              timestamptz NOT NULL DEFAULT now(),
    updated_at              timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, variant_option_value_id),
    UNIQUE (business_id, product_variant_id, product_option_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, product_option_id)
        REFERENCES ret.product_option (business_id, product_option_id),
    FOREIGN KEY (business_id, product_option_value_id)
        REFERENCES ret.product_option_value (business_id, product_option_value_id)
);

COMMENT ON TABLE ret.variant_option_value IS
    'The value of a variant on each axis of its product.';
COMMENT ON COLUMN ret.variant_option_value.label_override IS
    'What the label says in place of the name of the value.';
COMMENT ON COLUMN ret.variant_option_value.combination_hash IS
    'Of all values of the variant, kept by a trigger, on each of its rows; NULL until it has one
     on every required axis.';

-- FK, and no combination twice: an option is of one product, so its variants are told apart.
CREATE UNIQUE INDEX variant_option_value_combination_idx
    ON ret.variant_option_value (business_id, product_option_id, combination_hash);

-- FK: the variants with a value (all that is navy).
CREATE INDEX variant_option_value_product_option_value_idx
    ON ret.variant_option_value (business_id, product_option_value_id);

ALTER TABLE ret.variant_option_value ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.variant_option_value
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.variant_option_value TO app_user;
GRANT SELECT ON ret.variant_option_value TO app_readonly;

CREATE TRIGGER variant_option_value_touch
    BEFORE UPDATE ON ret.variant_option_value
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION ret.check_variant_option() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM ret.product_option_value AS v
        WHERE v.business_id = NEW.business_id
          AND v.product_option_value_id = NEW.product_option_value_id
          AND v.product_option_id = NEW.product_option_id) THEN
        RAISE EXCEPTION 'the value is not on this axis'
            USING ERRCODE = 'check_violation', HINT = 'Choose a value of the option.';
    ELSIF NOT EXISTS (
        SELECT FROM ret.product_option AS o
        JOIN ret.product_variant AS v
            ON v.business_id = o.business_id AND v.product_id = o.product_id
        WHERE o.business_id = NEW.business_id
          AND o.product_option_id = NEW.product_option_id
          AND v.product_variant_id = NEW.product_variant_id) THEN
        RAISE EXCEPTION 'the axis and the variant are of different products'
            USING ERRCODE = 'check_violation', HINT = 'Choose an option of the product.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.check_variant_option() IS
    'The value is on the axis, and the axis is one of the variant''s product.';

CREATE TRIGGER variant_option_value_check
    BEFORE INSERT OR UPDATE OF product_variant_id, product_option_id, product_option_value_id
    ON ret.variant_option_value
    FOR EACH ROW EXECUTE FUNCTION ret.check_variant_option();

CREATE FUNCTION ret.hash_combinations() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- The update below comes back here once more, with nothing to change, and then with no rows.
    IF NOT EXISTS (SELECT FROM changed_rows) THEN
        RETURN NULL;
    END IF;
    UPDATE ret.variant_option_value AS w
    SET combination_hash = n.combination_hash
    FROM (
        SELECT v.business_id, v.product_variant_id,
               CASE WHEN count(*) FILTER (WHERE x.is_required) = r.required_count
                    THEN md5(string_agg(v.product_option_value_id::text, ' '
                                        ORDER BY v.product_option_id)) END AS combination_hash
        FROM ret.variant_option_value AS v
        JOIN ret.product_option AS x
            ON x.business_id = v.business_id AND x.product_option_id = v.product_option_id
        JOIN (
            SELECT o.business_id, o.product_id,
                   count(*) FILTER (WHERE o.is_required) AS required_count
            FROM ret.product_option AS o
            GROUP BY o.business_id, o.product_id
        ) AS r ON r.business_id = x.business_id AND r.product_id = x.product_id
        WHERE (v.business_id, v.product_variant_id) IN (
            SELECT c.business_id, c.product_variant_id FROM changed_rows AS c)
        GROUP BY v.business_id, v.product_variant_id, r.required_count
    ) AS n
    WHERE w.business_id = n.business_id
      AND w.product_variant_id = n.product_variant_id
      AND w.combination_hash IS DISTINCT FROM n.combination_hash;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.hash_combinations() IS
    'Writes the hash of a variant''s whole combination onto each of its rows, where a unique index
     refuses the second variant with the same one.';

CREATE TRIGGER variant_option_value_added
    AFTER INSERT ON ret.variant_option_value
    REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ret.hash_combinations();

CREATE TRIGGER variant_option_value_changed
    AFTER UPDATE ON ret.variant_option_value
    REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ret.hash_combinations();

CREATE TRIGGER variant_option_value_removed
    AFTER DELETE ON ret.variant_option_value
    REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ret.hash_combinations();

CREATE TRIGGER variant_option_value_keep_variant
    BEFORE UPDATE OF product_variant_id ON ret.variant_option_value
    FOR EACH ROW WHEN (OLD.product_variant_id <> NEW.product_variant_id)
    EXECUTE FUNCTION ret.keep_parent('ret.variant_option_value', 'product_variant_id');


CREATE TABLE ret.variant_barcode (
    business_id        uuid        NOT NULL,
    variant_barcode_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    product_variant_id uuid        NOT NULL,
    barcode            text        NOT NULL,
    symbology          text        NOT NULL,
    pack_level         text        NOT NULL DEFAULT 'each',
    units_per_pack     integer     NOT NULL DEFAULT 1,
    gross_weight_g     integer,
    is_primary         boolean     NOT NULL DEFAULT false,
    assigned_on        date,
    retired_on         date,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, variant_barcode_id),
    UNIQUE (business_id, barcode),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    CONSTRAINT variant_barcode_symbology_known
        CHECK (symbology IN ('ean13', 'upca', 'gtin14', 'ean8', 'code128', 'in_store')),
    CONSTRAINT variant_barcode_pack_level_known
        CHECK (pack_level IN ('each', 'inner', 'case', 'pallet')),
    CONSTRAINT variant_barcode_pack_has_units CHECK (units_per_pack >= 1),
    CONSTRAINT variant_barcode_each_is_one CHECK (pack_level <> 'each' OR units_per_pack = 1),
    CONSTRAINT variant_barcode_weight_positive CHECK (gross_weight_g > 0),
    CONSTRAINT variant_barcode_primary_is_in_use CHECK (NOT is_primary OR retired_on IS NULL),
    CONSTRAINT variant_barcode_retired_after_assigned CHECK (retired_on >= assigned_on)
);

COMMENT ON TABLE ret.variant_barcode IS 'GTIN or in-store code of a unit, inner or case.';
COMMENT ON COLUMN ret.variant_barcode.units_per_pack IS
    'How many units a scan of it stands for.';
COMMENT ON COLUMN ret.variant_barcode.retired_on IS
    'Still scanned, as goods with it may lie in a store, but printed no more.';

-- One primary barcode per variant and unit.
CREATE UNIQUE INDEX variant_barcode_primary_idx
    ON ret.variant_barcode (business_id, product_variant_id)
    WHERE is_primary AND pack_level = 'each';

-- FK: the barcodes of a variant.
CREATE INDEX variant_barcode_product_variant_idx
    ON ret.variant_barcode (business_id, product_variant_id);

ALTER TABLE ret.variant_barcode ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.variant_barcode
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.variant_barcode TO app_user;
GRANT SELECT ON ret.variant_barcode TO app_readonly;

CREATE TRIGGER variant_barcode_touch
    BEFORE UPDATE ON ret.variant_barcode
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION ret.check_barcode() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    places CONSTANT integer := CASE NEW.symbology WHEN 'ean13' THEN 13 WHEN 'upca' THEN 12
                                                  WHEN 'gtin14' THEN 14 WHEN 'ean8' THEN 8 END;
BEGIN
    IF places IS NULL THEN
        -- A code of the store's own, or Code 128 with letters in it: only its length is known.
        IF NEW.barcode !~ '^[ -~]{4,48}$' THEN
            RAISE EXCEPTION 'barcode % is not 4 to 48 printable characters', NEW.barcode
                USING ERRCODE = 'check_violation', HINT = 'Scan it again.';
        END IF;
    ELSIF length(NEW.barcode) <> places OR NEW.barcode !~ '^[0-9]+$' THEN
        RAISE EXCEPTION 'a barcode of kind % has % digits, not %', NEW.symbology, places,
                        NEW.barcode
            USING ERRCODE = 'check_violation', HINT = 'Check the symbology.';
    ELSIF NOT ret.is_gs1_number(NEW.barcode) THEN
        RAISE EXCEPTION 'barcode % should end with %', NEW.barcode,
                        ret.gs1_check_digit(left(NEW.barcode, -1))
            USING ERRCODE = 'check_violation', HINT = 'A digit is wrong; scan it again.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.check_barcode() IS
    'A GTIN has the length of its symbology and a valid check digit; a code of the store''s own
     and Code 128 are free.';

CREATE TRIGGER variant_barcode_check
    BEFORE INSERT OR UPDATE OF barcode, symbology ON ret.variant_barcode
    FOR EACH ROW EXECUTE FUNCTION ret.check_barcode();


CREATE TABLE ret.bundle_component (
    business_id          uuid                   NOT NULL,
    bundle_component_id  uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    bundle_variant_id    uuid                   NOT NULL,
    component_variant_id uuid                   NOT NULL,
    quantity             system_core.quantity   NOT NULL,
    is_optional          boolean                NOT NULL DEFAULT false,
    choice_group         text                   NOT NULL DEFAULT 'fixed',
    min_choices          integer,
    max_choices          integer,
    price_share_pct      system_core.percentage,
    ships_separately     boolean                NOT NULL DEFAULT false,
    sort_order           integer                NOT NULL DEFAULT 0,
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, bundle_component_id),
    UNIQUE (business_id, bundle_variant_id, component_variant_id, choice_group),
    FOREIGN KEY (business_id, bundle_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, component_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    CONSTRAINT bundle_component_quantity_positive CHECK (quantity > 0),
    CONSTRAINT bundle_component_share_bounded CHECK (price_share_pct BETWEEN 0 AND 100),
    CONSTRAINT bundle_component_choices_in_order
        CHECK (num_nonnulls(min_choices, max_choices) <> 1
               AND min_choices >= 0 AND max_choices >= greatest(min_choices, 1)),
    CONSTRAINT bundle_component_fixed_is_no_choice
        CHECK (choice_group <> 'fixed' OR min_choices IS NULL)
);

COMMENT ON TABLE ret.bundle_component IS
    'What a bundle or kit contains and how its price is shared out.';
COMMENT ON COLUMN ret.bundle_component.choice_group IS
    'Components of a group are chosen among (any three of six teas); fixed is always in it.';
COMMENT ON COLUMN ret.bundle_component.min_choices IS
    'How many of its group the customer chooses at least; the same on all rows of the group.';
COMMENT ON COLUMN ret.bundle_component.price_share_pct IS
    'Its part of the bundle''s price, for sales by category and for returns; NULL shares by list
     price.';

-- FK: the bundles that a variant is part of.
CREATE INDEX bundle_component_component_variant_idx
    ON ret.bundle_component (business_id, component_variant_id);

ALTER TABLE ret.bundle_component ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.bundle_component
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.bundle_component TO app_user;
GRANT SELECT ON ret.bundle_component TO app_readonly;

CREATE TRIGGER bundle_component_touch
    BEFORE UPDATE ON ret.bundle_component
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION ret.check_bundle() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    is_cycle boolean;
BEGIN
    -- Two additions at once could close a circle that neither of them sees.
    PERFORM pg_advisory_xact_lock(hashtextextended('ret.bundle ' || NEW.business_id, 0));
    WITH RECURSIVE part AS (
        SELECT NEW.component_variant_id AS product_variant_id
        UNION
        SELECT c.component_variant_id
        FROM part AS p
        JOIN ret.bundle_component AS c
            ON c.business_id = NEW.business_id AND c.bundle_variant_id = p.product_variant_id
           AND c.bundle_component_id <> NEW.bundle_component_id
    )
    SELECT bool_or(p.product_variant_id = NEW.bundle_variant_id) INTO is_cycle
    FROM part AS p;
    IF is_cycle THEN
        RAISE EXCEPTION 'the bundle would contain itself'
            USING ERRCODE = 'check_violation',
                  HINT = 'Take the component out of what it consists of.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.check_bundle() IS 'No bundle contains itself, at any depth.';

CREATE TRIGGER bundle_component_check
    BEFORE INSERT OR UPDATE OF bundle_variant_id, component_variant_id ON ret.bundle_component
    FOR EACH ROW EXECUTE FUNCTION ret.check_bundle();
