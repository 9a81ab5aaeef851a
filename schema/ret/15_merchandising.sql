/*
 * TODO: what the area is and how its tables relate.
 */

CREATE TABLE ret.attribute (
    business_id        uuid             NOT NULL,
    attribute_id       uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    attribute_code     system_core.code NOT NULL,
    display_name       text             NOT NULL,
    data_kind          text             NOT NULL,
    unit               text,
    allowed_values_doc jsonb,
    is_required        boolean          NOT NULL DEFAULT false,
    is_filterable      boolean          NOT NULL DEFAULT false,
    is_comparable      boolean          NOT NULL DEFAULT false,
    validation_pattern text,
    sort_order         integer          NOT NULL,
    created_at         timestamptz      NOT NULL DEFAULT now(),
    updated_at         timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, attribute_id),
    UNIQUE (business_id, attribute_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT attribute_data_kind_known
        CHECK (data_kind IN ('text', 'number', 'boolean', 'date', 'list', 'multi_list')),
    CONSTRAINT attribute_data_kind_iff
        CHECK ((allowed_values_doc IS NOT NULL) = (data_kind IN ('list', 'multi_list')))
);

COMMENT ON TABLE ret.attribute IS
    'A descriptive attribute of the catalogue and how it is filled and used.';

ALTER TABLE ret.attribute ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.attribute
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.attribute TO app_user;
GRANT SELECT ON ret.attribute TO app_readonly;

CREATE TRIGGER attribute_touch
    BEFORE UPDATE ON ret.attribute
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.product_attribute_value (
    business_id                uuid                 NOT NULL,
    product_attribute_value_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    product_id                 uuid                 NOT NULL,
    attribute_id               uuid                 NOT NULL,
    language_code              system_core.locale   NOT NULL,
    text_value                 system_core.money,
    number_value               system_core.quantity,
    boolean_value              boolean              NOT NULL DEFAULT false,
    date_value                 date,
    list_value_doc             jsonb,
    source                     text                 NOT NULL,
    approved_at                timestamptz,
    created_at                 timestamptz          NOT NULL DEFAULT now(),
    updated_at                 timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, product_attribute_value_id),
    UNIQUE NULLS NOT DISTINCT (business_id, product_id, attribute_id, language_code),
    FOREIGN KEY (business_id, product_id) REFERENCES ret.product (business_id, product_id),
    FOREIGN KEY (business_id, attribute_id) REFERENCES ret.attribute (business_id, attribute_id),
    CONSTRAINT product_attribute_value_source_known
        CHECK (source IN ('manual', 'supplier', 'import', 'enrichment'))
);

COMMENT ON TABLE ret.product_attribute_value IS
    'Value of an attribute for a product, per language where it matters.';
-- RULE exactly one value column is set, by data_kind

-- FK: the product attribute values of a attribute.
CREATE INDEX product_attribute_value_attribute_idx
    ON ret.product_attribute_value (business_id, attribute_id);

ALTER TABLE ret.product_attribute_value ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.product_attribute_value
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.product_attribute_value TO app_user;
GRANT SELECT ON ret.product_attribute_value TO app_readonly;

CREATE TRIGGER product_attribute_value_touch
    BEFORE UPDATE ON ret.product_attribute_value
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.product_media (
    business_id        uuid               NOT NULL,
    product_media_id   uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    product_id         uuid               NOT NULL,
    product_variant_id uuid,
    file_object_id     uuid               NOT NULL,
    media_kind         text               NOT NULL,
    role               text               NOT NULL,
    alt_text           text,
    position_no        integer            NOT NULL,
    width_px           integer,
    height_px          integer,
    language_code      system_core.locale,
    approved_at        timestamptz,
    created_at         timestamptz        NOT NULL DEFAULT now(),
    updated_at         timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, product_media_id),
    UNIQUE (business_id, product_id, position_no),
    FOREIGN KEY (business_id, product_id) REFERENCES ret.product (business_id, product_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT product_media_kind_known
        CHECK (media_kind IN ('image', 'video', 'model_3d', 'manual', 'size_chart')),
    CONSTRAINT product_media_role_known
        CHECK (role IN ('main', 'gallery', 'swatch', 'lifestyle', 'packaging'))
);

COMMENT ON TABLE ret.product_media IS 'Image, video or document of a product or variant.';

-- One main image per product.
CREATE UNIQUE INDEX product_media_product_id_idx
    ON ret.product_media (business_id, product_id)
    WHERE role = 'main';

-- FK: the product medias of a product variant.
CREATE INDEX product_media_product_variant_idx
    ON ret.product_media (business_id, product_variant_id)
    WHERE product_variant_id IS NOT NULL;

-- FK: the product medias of a file object.
CREATE INDEX product_media_file_object_idx ON ret.product_media (business_id, file_object_id);

ALTER TABLE ret.product_media ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.product_media
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.product_media TO app_user;
GRANT SELECT ON ret.product_media TO app_readonly;

CREATE TRIGGER product_media_touch
    BEFORE UPDATE ON ret.product_media
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.product_relation (
    business_id         uuid          NOT NULL,
    product_relation_id uuid          NOT NULL DEFAULT system_core.uuid_v7(),
    from_product_id     uuid          NOT NULL,
    to_product_id       uuid          NOT NULL,
    relation_kind       text          NOT NULL,
    source              text          NOT NULL,
    score               numeric(9, 4),
    position_no         integer       NOT NULL,
    valid_from          timestamptz,
    valid_to            timestamptz,
    is_active           boolean       NOT NULL DEFAULT true,
    created_at          timestamptz   NOT NULL DEFAULT now(),
    updated_at          timestamptz   NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, product_relation_id),
    UNIQUE (business_id, from_product_id, to_product_id, relation_kind),
    FOREIGN KEY (business_id, from_product_id) REFERENCES ret.product (business_id, product_id),
    FOREIGN KEY (business_id, to_product_id) REFERENCES ret.product (business_id, product_id),
    CONSTRAINT product_relation_kind_known
        CHECK (relation_kind IN ('cross_sell', 'up_sell', 'accessory', 'substitute',
                                 'replacement')),
    CONSTRAINT product_relation_source_known
        CHECK (source IN ('manual', 'basket_affinity', 'supplier')),
    CONSTRAINT product_relation_from_product_id_follows_to_product_id
        CHECK (from_product_id <> to_product_id),
    CONSTRAINT product_relation_score_bounded CHECK (score BETWEEN 0 AND 1)
);

COMMENT ON TABLE ret.product_relation IS
    'Cross-sell, up-sell, accessory or substitute, manual or learned.';

-- FK: the product relations by their to product.
CREATE INDEX product_relation_to_product_idx ON ret.product_relation (business_id, to_product_id);

ALTER TABLE ret.product_relation ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.product_relation
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.product_relation TO app_user;
GRANT SELECT ON ret.product_relation TO app_readonly;

CREATE TRIGGER product_relation_touch
    BEFORE UPDATE ON ret.product_relation
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.collection (
    business_id     uuid             NOT NULL,
    collection_id   uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    banner_file_id  uuid,
    collection_code system_core.code NOT NULL,
    title           text             NOT NULL,
    slug            text,
    collection_kind text             NOT NULL,
    rule_doc        jsonb,
    sort_rule       text             NOT NULL,
    starts_at       timestamptz      NOT NULL,
    ends_at         timestamptz,
    is_published    boolean          NOT NULL DEFAULT false,
    product_count   integer          NOT NULL DEFAULT 0,
    created_at      timestamptz      NOT NULL DEFAULT now(),
    updated_at      timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, collection_id),
    UNIQUE (business_id, collection_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, banner_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT collection_kind_known CHECK (collection_kind IN ('manual', 'rule')),
    CONSTRAINT collection_sort_rule_known
        CHECK (sort_rule IN ('manual', 'best_selling', 'newest', 'price', 'margin')),
    CONSTRAINT collection_collection_kind_iff
        CHECK ((rule_doc IS NOT NULL) = (collection_kind = 'rule')),
    CONSTRAINT collection_ends_at_follows_starts_at CHECK (ends_at > starts_at)
);

COMMENT ON TABLE ret.collection IS
    'A curated or rule-driven group of products (season, campaign, outlet).';

-- FK: the collections by their banner file.
CREATE INDEX collection_banner_file_idx
    ON ret.collection (business_id, banner_file_id)
    WHERE banner_file_id IS NOT NULL;

ALTER TABLE ret.collection ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.collection
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.collection TO app_user;
GRANT SELECT ON ret.collection TO app_readonly;

CREATE TRIGGER collection_touch
    BEFORE UPDATE ON ret.collection
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.collection_product (
    business_id           uuid        NOT NULL,
    collection_product_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    collection_id         uuid        NOT NULL,
    product_id            uuid        NOT NULL,
    position_no           integer     NOT NULL,
    is_pinned             boolean     NOT NULL DEFAULT false,
    source                text        NOT NULL,
    added_at              timestamptz,
    removed_at            timestamptz,
    matched_rule          text,
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, collection_product_id),
    UNIQUE (business_id, collection_id, product_id),
    FOREIGN KEY (business_id, collection_id)
        REFERENCES ret.collection (business_id, collection_id),
    FOREIGN KEY (business_id, product_id) REFERENCES ret.product (business_id, product_id),
    CONSTRAINT collection_product_source_known CHECK (source IN ('manual', 'rule')),
    CONSTRAINT collection_product_position_no_positive CHECK (position_no > 0)
);

COMMENT ON TABLE ret.collection_product IS 'Membership and order of a product in a collection.';

-- FK: the collection products of a product.
CREATE INDEX collection_product_product_idx ON ret.collection_product (business_id, product_id);

ALTER TABLE ret.collection_product ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.collection_product
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.collection_product TO app_user;
GRANT SELECT ON ret.collection_product TO app_readonly;

CREATE TRIGGER collection_product_touch
    BEFORE UPDATE ON ret.collection_product
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.product_channel_listing (
    business_id                uuid        NOT NULL,
    product_channel_listing_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    product_id                 uuid        NOT NULL,
    sales_channel_id           uuid        NOT NULL,
    listing_state              text        NOT NULL,
    published_at               timestamptz,
    available_from             timestamptz,
    available_to               timestamptz,
    external_listing_id        text,
    listing_title              text,
    listing_text               text,
    seo_title                  text,
    seo_description            text,
    buy_limit                  integer,
    last_synced_at             timestamptz,
    sync_error                 text,
    created_at                 timestamptz NOT NULL DEFAULT now(),
    updated_at                 timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, product_channel_listing_id),
    UNIQUE (business_id, product_id, sales_channel_id),
    FOREIGN KEY (business_id, product_id) REFERENCES ret.product (business_id, product_id),
    FOREIGN KEY (business_id, sales_channel_id)
        REFERENCES ret.sales_channel (business_id, sales_channel_id),
    CONSTRAINT product_channel_listing_state_known
        CHECK (listing_state IN ('draft', 'scheduled', 'published', 'hidden', 'rejected'))
);

COMMENT ON TABLE ret.product_channel_listing IS
    'Whether, when and how a product is published on a channel.';
-- RULE published needs at least one priced variant

-- One row a external listing id.
CREATE UNIQUE INDEX product_channel_listing_sales_channel_id_external_listing_id_idx
    ON ret.product_channel_listing (business_id, sales_channel_id, external_listing_id)
    WHERE external_listing_id IS NOT NULL;

-- FK: the product channel listings of a sales channel.
CREATE INDEX product_channel_listing_sales_channel_idx
    ON ret.product_channel_listing (business_id, sales_channel_id);

ALTER TABLE ret.product_channel_listing ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.product_channel_listing
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.product_channel_listing TO app_user;
GRANT SELECT ON ret.product_channel_listing TO app_readonly;

CREATE TRIGGER product_channel_listing_touch
    BEFORE UPDATE ON ret.product_channel_listing
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.assortment_item (
    business_id        uuid        NOT NULL,
    assortment_item_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    home_bin_id        uuid,
    location_id        uuid        NOT NULL,
    product_variant_id uuid        NOT NULL,
    range_status       text        NOT NULL,
    ranged_from        date,
    ranged_to          date,
    facings            integer,
    shelf_capacity     integer,
    presentation_min   integer,
    planogram_ref      text,
    is_core            boolean     NOT NULL DEFAULT false,
    last_reviewed_at   timestamptz,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, assortment_item_id),
    UNIQUE (business_id, location_id, product_variant_id),
    FOREIGN KEY (business_id, home_bin_id)
        REFERENCES ret.bin_location (business_id, bin_location_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    CONSTRAINT assortment_item_range_status_known
        CHECK (range_status IN ('planned', 'ranged', 'delisting', 'delisted')),
    CONSTRAINT assortment_item_ranged_to_follows_ranged_from CHECK (ranged_to > ranged_from),
    CONSTRAINT assortment_item_presentation_min_precedes_shelf_capacity
        CHECK (presentation_min <= shelf_capacity)
);

COMMENT ON TABLE ret.assortment_item IS
    'That a location ranges a variant: facings, home bin and range dates.';

-- FK: the assortment items by their home bin.
CREATE INDEX assortment_item_home_bin_idx
    ON ret.assortment_item (business_id, home_bin_id)
    WHERE home_bin_id IS NOT NULL;

-- FK: the assortment items of a product variant.
CREATE INDEX assortment_item_product_variant_idx
    ON ret.assortment_item (business_id, product_variant_id);

ALTER TABLE ret.assortment_item ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.assortment_item
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.assortment_item TO app_user;
GRANT SELECT ON ret.assortment_item TO app_readonly;

CREATE TRIGGER assortment_item_touch
    BEFORE UPDATE ON ret.assortment_item
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
