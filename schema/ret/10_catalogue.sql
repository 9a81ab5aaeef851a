/*
 * TODO: what the area is and how its tables relate.
 */

CREATE TABLE ret.brand (
    business_id        uuid             NOT NULL,
    brand_id           uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    logo_file_id       uuid,
    brand_code         system_core.code NOT NULL,
    display_name       text             NOT NULL,
    slug               text             NOT NULL,
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
    CONSTRAINT brand_status_known CHECK (status IN ('active', 'retired'))
);

COMMENT ON TABLE ret.brand IS 'Brand owner''s or private label.';

-- FK: the brands by their logo file.
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
    slug               text,
    level_kind         text                   NOT NULL,
    path_text          text,
    depth              smallint,
    sort_order         integer                NOT NULL,
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
        CHECK (level_kind IN ('department', 'class', 'subclass', 'web'))
);

COMMENT ON TABLE ret.category IS 'Merchandise hierarchy from department to subclass.';
-- RULE no cycle through parent_category_id
-- RULE path_text is derived from the parents

-- FK: the categories by their parent category.
CREATE INDEX category_parent_category_idx
    ON ret.category (business_id, parent_category_id)
    WHERE parent_category_id IS NOT NULL;

ALTER TABLE ret.category ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.category
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.category TO app_user;
GRANT SELECT ON ret.category TO app_readonly;

CREATE TRIGGER category_touch
    BEFORE UPDATE ON ret.category
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.product (
    business_id           uuid                   NOT NULL,
    product_id            uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    main_category_id      uuid                   NOT NULL,
    brand_id              uuid,
    tax_class_id          uuid                   NOT NULL,
    product_code          system_core.code       NOT NULL,
    title                 text                   NOT NULL,
    slug                  text                   NOT NULL,
    product_kind          text                   NOT NULL,
    description           text,
    tracking              text                   NOT NULL,
    season_code           system_core.code,
    launch_on             date,
    discontinue_on        date,
    country_of_origin     text,
    hs_code               system_core.code,
    age_restriction_years integer,
    completeness_pct      system_core.percentage,
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
    CONSTRAINT product_completeness_pct_bounded CHECK (completeness_pct BETWEEN 0 AND 100),
    CONSTRAINT product_discontinue_on_follows_launch_on CHECK (discontinue_on > launch_on)
);

COMMENT ON TABLE ret.product IS
    'A style or model with its descriptive data; sold through its variants.';

-- FK: the products by their main category.
CREATE INDEX product_main_category_idx ON ret.product (business_id, main_category_id);

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


CREATE TABLE ret.product_category (
    business_id         uuid        NOT NULL,
    product_category_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    product_id          uuid        NOT NULL,
    category_id         uuid        NOT NULL,
    is_primary          boolean     NOT NULL DEFAULT false,
    sort_order          integer     NOT NULL,
    placement           text        NOT NULL,
    valid_from          timestamptz,
    valid_to            timestamptz,
    pinned              boolean     NOT NULL DEFAULT false,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, product_category_id),
    UNIQUE (business_id, product_id, category_id),
    FOREIGN KEY (business_id, product_id) REFERENCES ret.product (business_id, product_id),
    FOREIGN KEY (business_id, category_id) REFERENCES ret.category (business_id, category_id),
    CONSTRAINT product_category_placement_known CHECK (placement IN ('manual', 'rule'))
);

COMMENT ON TABLE ret.product_category IS
    'Further categories of a product (web placement, reporting).';

-- One primary per product.
CREATE UNIQUE INDEX product_category_product_id_idx
    ON ret.product_category (business_id, product_id)
    WHERE is_primary;

-- FK: the product categories of a category.
CREATE INDEX product_category_category_idx ON ret.product_category (business_id, category_id);

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
    swatch_kind       text             NOT NULL,
    position_no       integer          NOT NULL,
    is_required       boolean          NOT NULL DEFAULT false,
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
    CONSTRAINT product_option_position_no_bounded CHECK (position_no BETWEEN 1 AND 5)
);

COMMENT ON TABLE ret.product_option IS
    'An axis of variation of a product (size, colour, material).';

ALTER TABLE ret.product_option ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.product_option
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.product_option TO app_user;
GRANT SELECT ON ret.product_option TO app_readonly;

CREATE TRIGGER product_option_touch
    BEFORE UPDATE ON ret.product_option
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.product_option_value (
    business_id             uuid             NOT NULL,
    product_option_value_id uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    product_option_id       uuid             NOT NULL,
    value_code              system_core.code NOT NULL,
    display_name            text             NOT NULL,
    swatch_hex              text,
    position_no             integer          NOT NULL,
    size_sort               integer,
    standard_colour         text,
    is_active               boolean          NOT NULL DEFAULT true,
    created_at              timestamptz      NOT NULL DEFAULT now(),
    updated_at              timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, product_option_value_id),
    UNIQUE (business_id, product_option_id, value_code),
    FOREIGN KEY (business_id, product_option_id)
        REFERENCES ret.product_option (business_id, product_option_id)
);

COMMENT ON TABLE ret.product_option_value IS 'A value on an axis (M, navy).';
-- RULE swatch_hex is six hexadecimal digits

ALTER TABLE ret.product_option_value ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.product_option_value
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.product_option_value TO app_user;
GRANT SELECT ON ret.product_option_value TO app_readonly;

CREATE TRIGGER product_option_value_touch
    BEFORE UPDATE ON ret.product_option_value
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.product_variant (
    business_id        uuid                   NOT NULL,
    product_variant_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    product_id         uuid                   NOT NULL,
    sku                text                   NOT NULL,
    title              text                   NOT NULL,
    unit_of_measure    text                   NOT NULL,
    weight_g           integer,
    length_mm          integer,
    width_mm           integer,
    height_mm          integer,
    standard_cost      system_core.unit_price,
    average_cost       system_core.unit_price,
    list_price         system_core.money,
    currency           system_core.currency,
    abc_class          text                   NOT NULL,
    is_weighed         boolean                NOT NULL DEFAULT false,
    requires_shipping  boolean                NOT NULL DEFAULT false,
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
    CONSTRAINT product_variant_list_price_not_negative CHECK (list_price >= 0),
    CONSTRAINT product_variant_standard_cost_not_negative CHECK (standard_cost >= 0),
    CONSTRAINT product_variant_unit_of_measure_implied
        CHECK (NOT (is_weighed) OR (unit_of_measure IN ('kg', 'g')))
);

COMMENT ON TABLE ret.product_variant IS
    'The stock keeping unit: what is stocked, priced and sold.';

-- FK: the product variants of a product.
CREATE INDEX product_variant_product_idx ON ret.product_variant (business_id, product_id);

ALTER TABLE ret.product_variant ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.product_variant
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.product_variant TO app_user;
GRANT SELECT ON ret.product_variant TO app_readonly;

CREATE TRIGGER product_variant_touch
    BEFORE UPDATE ON ret.product_variant
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.variant_option_value (
    business_id             uuid        NOT NULL,
    variant_option_value_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    product_variant_id      uuid        NOT NULL,
    product_option_id       uuid        NOT NULL,
    product_option_value_id uuid        NOT NULL,
    position_no             integer     NOT NULL,
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
-- RULE the value belongs to the option and the option to the variant's product
-- RULE combination_hash is unique per product

-- FK: the variant option values of a product option.
CREATE INDEX variant_option_value_product_option_idx
    ON ret.variant_option_value (business_id, product_option_id);

-- FK: the variant option values of a product option value.
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


CREATE TABLE ret.variant_barcode (
    business_id        uuid        NOT NULL,
    variant_barcode_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    product_variant_id uuid        NOT NULL,
    barcode            text        NOT NULL,
    symbology          text        NOT NULL,
    pack_level         text        NOT NULL,
    units_per_pack     integer,
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
    CONSTRAINT variant_barcode_units_per_pack_follows CHECK (units_per_pack >= 1)
);

COMMENT ON TABLE ret.variant_barcode IS 'GTIN or in-store code of a unit, inner or case.';
-- RULE GTIN check digit is valid except in_store

-- One primary each-level barcode per product variant.
CREATE UNIQUE INDEX variant_barcode_product_variant_id_idx
    ON ret.variant_barcode (business_id, product_variant_id)
    WHERE is_primary;

-- FK: the variant barcodes of a product variant.
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


CREATE TABLE ret.bundle_component (
    business_id          uuid                   NOT NULL,
    bundle_component_id  uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    bundle_variant_id    uuid                   NOT NULL,
    component_variant_id uuid                   NOT NULL,
    quantity             system_core.quantity   NOT NULL,
    is_optional          boolean                NOT NULL DEFAULT false,
    choice_group         text                   NOT NULL,
    min_choices          integer,
    max_choices          integer,
    price_share_pct      system_core.percentage,
    ships_separately     boolean                NOT NULL DEFAULT false,
    sort_order           integer                NOT NULL,
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, bundle_component_id),
    UNIQUE (business_id, bundle_variant_id, component_variant_id, choice_group),
    FOREIGN KEY (business_id, bundle_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, component_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    CONSTRAINT bundle_component_quantity_positive CHECK (quantity > 0)
);

COMMENT ON TABLE ret.bundle_component IS
    'What a bundle or kit contains and how its price is shared out.';
-- RULE no bundle contains itself at any depth

-- FK: the bundle components by their component variant.
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
