/*
 * Merchandising: how goods are described, shown, grouped, published and ranged.
 *
 * An attribute is one thing that can be said of goods (material, wattage); a
 * product_attribute_value says it of a product, in a language where that matters. product_media
 * are its pictures and papers, product_relations what goes with it or in place of it. A collection
 * groups products by hand or by rule (collection_product). product_channel_listing publishes a
 * product on a channel, assortment_item ranges a variant in a location: only what is ranged there
 * is counted, replenished and missed.
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
    sort_order         integer          NOT NULL DEFAULT 0,
    created_at         timestamptz      NOT NULL DEFAULT now(),
    updated_at         timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, attribute_id),
    UNIQUE (business_id, attribute_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT attribute_data_kind_known
        CHECK (data_kind IN ('text', 'number', 'boolean', 'date', 'list', 'multi_list')),
    CONSTRAINT attribute_list_has_values
        CHECK ((allowed_values_doc IS NOT NULL) = (data_kind IN ('list', 'multi_list'))),
    CONSTRAINT attribute_values_are_labelled
        CHECK (jsonb_typeof(allowed_values_doc) = 'array'
               AND allowed_values_doc @? '$[0]'
               AND NOT allowed_values_doc @? '$[*] ? (!(@.code.type() == "string"
                                                      && @.label.type() == "object"))'),
    CONSTRAINT attribute_unit_is_of_numbers CHECK (unit IS NULL OR data_kind = 'number'),
    CONSTRAINT attribute_pattern_is_of_texts
        CHECK (validation_pattern IS NULL OR data_kind = 'text'),
    -- A pattern that is no regular expression fails here and not when a product is saved.
    CONSTRAINT attribute_pattern_compiles
        CHECK (CASE WHEN '' ~ validation_pattern THEN true ELSE true END)
);

COMMENT ON TABLE ret.attribute IS
    'A descriptive attribute of the catalogue and how it is filled and used.';
COMMENT ON COLUMN ret.attribute.allowed_values_doc IS
    'What may be chosen: [{"code": "cotton", "label": {"en": "Cotton", "de": "Baumwolle"}}].';
COMMENT ON COLUMN ret.attribute.is_filterable IS 'A facet of the category page.';
COMMENT ON COLUMN ret.attribute.is_comparable IS 'A line of the table that compares products.';
COMMENT ON COLUMN ret.attribute.validation_pattern IS
    'Regular expression that every text of it matches.';

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
    language_code              system_core.locale,
    text_value                 text,
    number_value               system_core.quantity,
    boolean_value              boolean,
    date_value                 date,
    list_value_doc             jsonb,
    source                     text                 NOT NULL DEFAULT 'manual',
    approved_at                timestamptz,
    created_at                 timestamptz          NOT NULL DEFAULT now(),
    updated_at                 timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, product_attribute_value_id),
    UNIQUE NULLS NOT DISTINCT (business_id, product_id, attribute_id, language_code),
    FOREIGN KEY (business_id, product_id) REFERENCES ret.product (business_id, product_id),
    FOREIGN KEY (business_id, attribute_id) REFERENCES ret.attribute (business_id, attribute_id),
    CONSTRAINT product_attribute_value_source_known
        CHECK (source IN ('manual', 'supplier', 'import', 'enrichment')),
    CONSTRAINT product_attribute_value_is_one
        CHECK (num_nonnulls(text_value, number_value, boolean_value, date_value,
                            list_value_doc) = 1),
    CONSTRAINT product_attribute_value_only_text_has_language
        CHECK (language_code IS NULL OR text_value IS NOT NULL)
);

COMMENT ON TABLE ret.product_attribute_value IS
    'Value of an attribute for a product, per language where it matters.';
COMMENT ON COLUMN ret.product_attribute_value.language_code IS 'NULL is for all languages.';
COMMENT ON COLUMN ret.product_attribute_value.list_value_doc IS
    'Codes chosen among those of the attribute: ["cotton", "linen"].';
COMMENT ON COLUMN ret.product_attribute_value.approved_at IS
    'When a person agreed to what a supplier or a program filled in.';

-- FK; serves ret.product_listing_page: the products by the values of a facet.
CREATE INDEX product_attribute_value_attribute_idx
    ON ret.product_attribute_value (business_id, attribute_id, product_id);

ALTER TABLE ret.product_attribute_value ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.product_attribute_value
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.product_attribute_value TO app_user;
GRANT SELECT ON ret.product_attribute_value TO app_readonly;

CREATE TRIGGER product_attribute_value_touch
    BEFORE UPDATE ON ret.product_attribute_value
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION ret.check_attribute_value() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    told ret.attribute;
    held CONSTANT text := CASE WHEN NEW.text_value IS NOT NULL THEN 'text'
                               WHEN NEW.number_value IS NOT NULL THEN 'number'
                               WHEN NEW.boolean_value IS NOT NULL THEN 'boolean'
                               WHEN NEW.date_value IS NOT NULL THEN 'date'
                               WHEN NEW.list_value_doc IS NOT NULL THEN 'list' END;
BEGIN
    -- The attribute does not change its kind or values meanwhile.
    SELECT a.* INTO told
    FROM ret.attribute AS a
    WHERE a.business_id = NEW.business_id AND a.attribute_id = NEW.attribute_id
    FOR SHARE;
    IF held <> replace(told.data_kind, 'multi_list', 'list') THEN
        RAISE EXCEPTION 'attribute % takes a %, not a %', told.attribute_code, told.data_kind,
                        held
            USING ERRCODE = 'check_violation', HINT = 'Fill in the column of its kind.';
    ELSIF held = 'text' AND NEW.text_value !~ told.validation_pattern THEN
        RAISE EXCEPTION 'attribute %: "%" does not match %', told.attribute_code,
                        NEW.text_value, told.validation_pattern
            USING ERRCODE = 'check_violation', HINT = 'Write it as the pattern asks.';
    ELSIF held = 'list' AND NOT ret.are_chosen_codes(NEW.list_value_doc, told.allowed_values_doc,
                                                     told.data_kind = 'multi_list') THEN
        RAISE EXCEPTION 'attribute %: % is not a choice of its values', told.attribute_code,
                        NEW.list_value_doc
            USING ERRCODE = 'check_violation',
                  HINT = 'A list takes one code, a multi_list one or more, each once.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.check_attribute_value() IS
    'A value is of its attribute''s kind, matches its pattern, and is among its values.';

CREATE FUNCTION ret.are_chosen_codes(chosen jsonb, allowed jsonb, may_be_many boolean)
    RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN jsonb_typeof(chosen) = 'array'
                THEN (SELECT count(*) > 0 AND count(*) = count(DISTINCT c.code)
                             AND (may_be_many OR count(*) = 1)
                             AND coalesce(bool_and(allowed @> jsonb_build_array(
                                     jsonb_build_object('code', c.code))), false)
                      FROM jsonb_array_elements(chosen) AS c (code))
                ELSE false END;
COMMENT ON FUNCTION ret.are_chosen_codes(jsonb, jsonb, boolean) IS
    'Whether an array names codes of allowed_values_doc, each once, and one alone if not many.';

CREATE TRIGGER product_attribute_value_check
    BEFORE INSERT OR UPDATE OF attribute_id, text_value, number_value, boolean_value, date_value,
                               list_value_doc
    ON ret.product_attribute_value
    FOR EACH ROW EXECUTE FUNCTION ret.check_attribute_value();

CREATE FUNCTION ret.keep_attribute_values() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM ret.product_attribute_value AS v
        WHERE v.business_id = NEW.business_id AND v.attribute_id = NEW.attribute_id
          AND (NEW.data_kind <> OLD.data_kind
               OR v.text_value !~ NEW.validation_pattern
               OR NOT ret.are_chosen_codes(v.list_value_doc, NEW.allowed_values_doc,
                                           NEW.data_kind = 'multi_list')
                  AND v.list_value_doc IS NOT NULL)) THEN
        RAISE EXCEPTION 'attribute % has values that would not fit', NEW.attribute_code
            USING ERRCODE = 'check_violation', HINT = 'Change the values first.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.keep_attribute_values() IS
    'The kind, pattern and codes of an attribute stay such that the values it has are valid.';

CREATE TRIGGER attribute_keep_values
    BEFORE UPDATE OF data_kind, validation_pattern, allowed_values_doc ON ret.attribute
    FOR EACH ROW EXECUTE FUNCTION ret.keep_attribute_values();


CREATE TABLE ret.product_media (
    business_id        uuid               NOT NULL,
    product_media_id   uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    product_id         uuid               NOT NULL,
    product_variant_id uuid,
    file_object_id     uuid               NOT NULL,
    media_kind         text               NOT NULL,
    role               text               NOT NULL DEFAULT 'gallery',
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
        CHECK (role IN ('main', 'gallery', 'swatch', 'lifestyle', 'packaging')),
    CONSTRAINT product_media_position_positive CHECK (position_no >= 1),
    CONSTRAINT product_media_has_both_sides
        CHECK (num_nonnulls(width_px, height_px) <> 1 AND width_px > 0 AND height_px > 0),
    CONSTRAINT product_media_main_is_an_image CHECK (role <> 'main' OR media_kind = 'image')
);

COMMENT ON TABLE ret.product_media IS 'Image, video or document of a product or variant.';
COMMENT ON COLUMN ret.product_media.product_variant_id IS
    'Shown when that variant is chosen; NULL for the product as a whole.';
COMMENT ON COLUMN ret.product_media.alt_text IS 'What a screen reader says in its place.';
COMMENT ON COLUMN ret.product_media.language_code IS 'Of a manual or chart; NULL without words.';

-- One main image per product.
CREATE UNIQUE INDEX product_media_main_idx
    ON ret.product_media (business_id, product_id)
    WHERE role = 'main';

-- FK: the pictures of a variant.
CREATE INDEX product_media_product_variant_idx
    ON ret.product_media (business_id, product_variant_id)
    WHERE product_variant_id IS NOT NULL;

-- FK: where a file is shown.
CREATE INDEX product_media_file_object_idx ON ret.product_media (business_id, file_object_id);

ALTER TABLE ret.product_media ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.product_media
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.product_media TO app_user;
GRANT SELECT ON ret.product_media TO app_readonly;

CREATE TRIGGER product_media_touch
    BEFORE UPDATE ON ret.product_media
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION ret.check_media_variant() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM ret.product_variant AS v
        WHERE v.business_id = NEW.business_id AND v.product_variant_id = NEW.product_variant_id
          AND v.product_id <> NEW.product_id) THEN
        RAISE EXCEPTION 'the variant is of another product'
            USING ERRCODE = 'check_violation', HINT = 'Choose a variant of the product.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.check_media_variant() IS 'Media of a variant are media of its product.';

CREATE TRIGGER product_media_check
    BEFORE INSERT OR UPDATE OF product_id, product_variant_id ON ret.product_media
    FOR EACH ROW WHEN (NEW.product_variant_id IS NOT NULL)
    EXECUTE FUNCTION ret.check_media_variant();


CREATE TABLE ret.product_relation (
    business_id         uuid          NOT NULL,
    product_relation_id uuid          NOT NULL DEFAULT system_core.uuid_v7(),
    from_product_id     uuid          NOT NULL,
    to_product_id       uuid          NOT NULL,
    relation_kind       text          NOT NULL,
    source              text          NOT NULL DEFAULT 'manual',
    score               numeric(9, 4),
    position_no         integer       NOT NULL DEFAULT 1,
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
    CONSTRAINT product_relation_is_to_another CHECK (from_product_id <> to_product_id),
    CONSTRAINT product_relation_score_bounded CHECK (score BETWEEN 0 AND 1),
    CONSTRAINT product_relation_learned_has_score
        CHECK (source <> 'basket_affinity' OR score IS NOT NULL),
    CONSTRAINT product_relation_ends_after_start CHECK (valid_to > valid_from)
);

COMMENT ON TABLE ret.product_relation IS
    'Cross-sell, up-sell, accessory or substitute, manual or learned.';
COMMENT ON COLUMN ret.product_relation.score IS
    'How strong it is, of 1; what is learned from baskets has one.';

-- FK: what leads to a product.
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
    business_id     uuid                    NOT NULL,
    collection_id   uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    banner_file_id  uuid,
    collection_code system_core.code        NOT NULL,
    title           text                    NOT NULL,
    slug            system_core.slug        NOT NULL,
    collection_kind text                    NOT NULL,
    rule_doc        system_core.json_object,
    sort_rule       text                    NOT NULL DEFAULT 'manual',
    starts_at       timestamptz             NOT NULL,
    ends_at         timestamptz,
    is_published    boolean                 NOT NULL DEFAULT false,
    product_count   integer                 NOT NULL DEFAULT 0,
    created_at      timestamptz             NOT NULL DEFAULT now(),
    updated_at      timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, collection_id),
    UNIQUE (business_id, collection_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, banner_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT collection_kind_known CHECK (collection_kind IN ('manual', 'rule')),
    CONSTRAINT collection_sort_rule_known
        CHECK (sort_rule IN ('manual', 'best_selling', 'newest', 'price', 'margin')),
    CONSTRAINT collection_rule_iff_by_rule
        CHECK ((rule_doc IS NOT NULL) = (collection_kind = 'rule')),
    CONSTRAINT collection_rule_is_a_tree CHECK (rule_doc ?| '{all,any,not}'),
    CONSTRAINT collection_ends_after_start CHECK (ends_at > starts_at),
    CONSTRAINT collection_count_not_negative CHECK (product_count >= 0)
);

COMMENT ON TABLE ret.collection IS
    'A curated or rule-driven group of products (season, campaign, outlet).';
COMMENT ON COLUMN ret.collection.rule_doc IS
    'Tree of all, any and not over attributes, prices and stock:
     {"all": [{"attribute": "season", "is": "SS26"}, {"price": {"under": 50}}]}.';
COMMENT ON COLUMN ret.collection.product_count IS
    'Products in it and not removed, kept by a trigger.';

-- FK: the banner.
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
    source                text        NOT NULL DEFAULT 'manual',
    added_at              timestamptz NOT NULL DEFAULT now(),
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
    CONSTRAINT collection_product_position_positive CHECK (position_no > 0),
    CONSTRAINT collection_product_removed_after_added CHECK (removed_at >= added_at),
    CONSTRAINT collection_product_rule_is_told
        CHECK ((matched_rule IS NOT NULL) = (source = 'rule'))
);

COMMENT ON TABLE ret.collection_product IS 'Membership and order of a product in a collection.';
COMMENT ON COLUMN ret.collection_product.is_pinned IS
    'Keeps its position whatever the sort rule of the collection says.';
COMMENT ON COLUMN ret.collection_product.matched_rule IS 'The branch of the rule that let it in.';

-- FK: the collections of a product.
CREATE INDEX collection_product_product_idx ON ret.collection_product (business_id, product_id);

-- The products of a collection in order.
CREATE INDEX collection_product_order_idx
    ON ret.collection_product (business_id, collection_id, position_no)
    WHERE removed_at IS NULL;

ALTER TABLE ret.collection_product ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.collection_product
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.collection_product TO app_user;
GRANT SELECT ON ret.collection_product TO app_readonly;

CREATE TRIGGER collection_product_touch
    BEFORE UPDATE ON ret.collection_product
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION ret.count_collection() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- In the order of the keys, so that two importers wait for each other and do not deadlock.
    PERFORM FROM ret.collection AS c
    WHERE (c.business_id, c.collection_id) IN (
        SELECT x.business_id, x.collection_id FROM changed_rows AS x)
    ORDER BY c.business_id, c.collection_id
    FOR NO KEY UPDATE;
    UPDATE ret.collection AS c
    SET product_count = n.product_count
    FROM (
        SELECT t.business_id, t.collection_id,
               count(p.collection_product_id) AS product_count
        FROM (SELECT DISTINCT x.business_id, x.collection_id FROM changed_rows AS x) AS t
        LEFT JOIN ret.collection_product AS p
            ON p.business_id = t.business_id AND p.collection_id = t.collection_id
           AND p.removed_at IS NULL
        GROUP BY t.business_id, t.collection_id
    ) AS n
    WHERE c.business_id = n.business_id AND c.collection_id = n.collection_id
      AND c.product_count <> n.product_count;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.count_collection() IS
    'Counts the products of the collections that changed, which are locked meanwhile.';

CREATE TRIGGER collection_product_added
    AFTER INSERT ON ret.collection_product
    REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ret.count_collection();

CREATE TRIGGER collection_product_changed
    AFTER UPDATE ON ret.collection_product
    REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ret.count_collection();

CREATE TRIGGER collection_product_deleted
    AFTER DELETE ON ret.collection_product
    REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION ret.count_collection();

CREATE TRIGGER collection_product_keep_collection
    BEFORE UPDATE OF collection_id ON ret.collection_product
    FOR EACH ROW WHEN (OLD.collection_id <> NEW.collection_id)
    EXECUTE FUNCTION ret.keep_parent('ret.collection_product', 'collection_id');


CREATE TABLE ret.product_channel_listing (
    business_id                uuid        NOT NULL,
    product_channel_listing_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    product_id                 uuid        NOT NULL,
    sales_channel_id           uuid        NOT NULL,
    listing_state              text        NOT NULL DEFAULT 'draft',
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
        CHECK (listing_state IN ('draft', 'scheduled', 'published', 'hidden', 'rejected')),
    CONSTRAINT product_channel_listing_published_has_time
        CHECK (listing_state <> 'published' OR published_at IS NOT NULL),
    CONSTRAINT product_channel_listing_scheduled_has_time
        CHECK (listing_state <> 'scheduled' OR available_from IS NOT NULL),
    CONSTRAINT product_channel_listing_rejected_says_why
        CHECK (listing_state <> 'rejected' OR sync_error IS NOT NULL),
    CONSTRAINT product_channel_listing_ends_after_start CHECK (available_to > available_from),
    CONSTRAINT product_channel_listing_limit_positive CHECK (buy_limit > 0)
);

COMMENT ON TABLE ret.product_channel_listing IS
    'Whether, when and how a product is published on a channel.';
COMMENT ON COLUMN ret.product_channel_listing.listing_title IS
    'The title on this channel; NULL is that of the product.';
COMMENT ON COLUMN ret.product_channel_listing.external_listing_id IS
    'What the marketplace calls it.';
COMMENT ON COLUMN ret.product_channel_listing.buy_limit IS 'Units that one order may have.';
COMMENT ON COLUMN ret.product_channel_listing.sync_error IS
    'What the marketplace answered last; NULL when it took the listing.';

-- The marketplace's name of a listing leads to one.
CREATE UNIQUE INDEX product_channel_listing_external_idx
    ON ret.product_channel_listing (business_id, sales_channel_id, external_listing_id)
    WHERE external_listing_id IS NOT NULL;

-- FK; serves ret.product_search and ret.product_listing_page: what a channel shows.
CREATE INDEX product_channel_listing_sales_channel_idx
    ON ret.product_channel_listing (business_id, sales_channel_id, listing_state, product_id);

ALTER TABLE ret.product_channel_listing ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.product_channel_listing
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.product_channel_listing TO app_user;
GRANT SELECT ON ret.product_channel_listing TO app_readonly;

CREATE TRIGGER product_channel_listing_touch
    BEFORE UPDATE ON ret.product_channel_listing
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER product_channel_listing_state_machine
    BEFORE INSERT OR UPDATE OF listing_state ON ret.product_channel_listing
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('listing_state', '{
        "initial": ["draft", "scheduled", "published"],
        "transitions": {
            "draft":     ["scheduled", "published"],
            "scheduled": ["draft", "published", "hidden", "rejected"],
            "published": ["hidden", "rejected"],
            "hidden":    ["draft", "published"],
            "rejected":  ["draft", "published"]
        }}');

CREATE FUNCTION ret.check_listing() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    shown ret.product;
BEGIN
    -- The product is not discontinued meanwhile.
    SELECT p.* INTO shown
    FROM ret.product AS p
    WHERE p.business_id = NEW.business_id AND p.product_id = NEW.product_id
    FOR SHARE;
    IF shown.status NOT IN ('active', 'phase_out') THEN
        RAISE EXCEPTION 'product % is %, it is not published', shown.product_code, shown.status
            USING ERRCODE = 'check_violation', HINT = 'Publish it once it is active.';
    ELSIF NOT EXISTS (
        SELECT FROM ret.product_variant AS v
        WHERE v.business_id = NEW.business_id AND v.product_id = NEW.product_id
          AND v.status <> 'discontinued' AND v.list_price > 0) THEN
        RAISE EXCEPTION 'product % has no variant with a price', shown.product_code
            USING ERRCODE = 'check_violation', HINT = 'Price one before you publish it.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.check_listing() IS
    'What is published is on sale and has at least one variant with a price.';

CREATE TRIGGER product_channel_listing_check
    BEFORE INSERT OR UPDATE OF listing_state ON ret.product_channel_listing
    FOR EACH ROW WHEN (NEW.listing_state = 'published')
    EXECUTE FUNCTION ret.check_listing();

CREATE FUNCTION ret.hide_listings() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE ret.product_channel_listing AS l
    SET listing_state = 'hidden'
    WHERE l.business_id = NEW.business_id AND l.product_id = NEW.product_id
      AND l.listing_state IN ('scheduled', 'published');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.hide_listings() IS 'What is discontinued disappears from every channel.';

CREATE TRIGGER product_hide_listings
    AFTER UPDATE OF status ON ret.product
    FOR EACH ROW WHEN (NEW.status = 'discontinued' AND OLD.status <> 'discontinued')
    EXECUTE FUNCTION ret.hide_listings();


CREATE TABLE ret.assortment_item (
    business_id        uuid        NOT NULL,
    assortment_item_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    home_bin_id        uuid,
    location_id        uuid        NOT NULL,
    product_variant_id uuid        NOT NULL,
    range_status       text        NOT NULL DEFAULT 'planned',
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
    CONSTRAINT assortment_item_ends_after_start CHECK (ranged_to > ranged_from),
    CONSTRAINT assortment_item_minimum_fits CHECK (presentation_min <= shelf_capacity),
    CONSTRAINT assortment_item_counts_not_negative
        CHECK (facings > 0 AND shelf_capacity > 0 AND presentation_min >= 0),
    CONSTRAINT assortment_item_facings_fit CHECK (facings <= shelf_capacity),
    CONSTRAINT assortment_item_ranged_has_start
        CHECK (range_status = 'planned' OR ranged_from IS NOT NULL),
    CONSTRAINT assortment_item_delisted_has_end
        CHECK (range_status NOT IN ('delisting', 'delisted') OR ranged_to IS NOT NULL)
);

COMMENT ON TABLE ret.assortment_item IS
    'That a location ranges a variant: facings, home bin and range dates.';
COMMENT ON COLUMN ret.assortment_item.home_bin_id IS 'Where it lies for the customer.';
COMMENT ON COLUMN ret.assortment_item.facings IS 'How many stand side by side in front.';
COMMENT ON COLUMN ret.assortment_item.presentation_min IS
    'Below this the shelf looks empty, however few are sold.';
COMMENT ON COLUMN ret.assortment_item.is_core IS
    'Ranged in every store of its size; the store does not delist it.';

-- FK: what lies in a bin.
CREATE INDEX assortment_item_home_bin_idx
    ON ret.assortment_item (business_id, home_bin_id)
    WHERE home_bin_id IS NOT NULL;

-- FK: where a variant is ranged.
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

CREATE TRIGGER assortment_item_state_machine
    BEFORE INSERT OR UPDATE OF range_status ON ret.assortment_item
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('range_status', '{
        "initial": ["planned", "ranged"],
        "transitions": {
            "planned":   ["ranged", "delisted"],
            "ranged":    ["delisting", "delisted"],
            "delisting": ["ranged", "delisted"],
            "delisted":  ["planned"]
        }}');

CREATE FUNCTION ret.check_home_bin() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM ret.bin_location AS b
        WHERE b.business_id = NEW.business_id AND b.bin_location_id = NEW.home_bin_id
          AND (b.location_id <> NEW.location_id OR b.status = 'retired')) THEN
        RAISE EXCEPTION 'the home bin is retired or in another location'
            USING ERRCODE = 'check_violation', HINT = 'Choose a bin of the location.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.check_home_bin() IS 'A variant lies at home in a bin of its location.';

CREATE TRIGGER assortment_item_check_bin
    BEFORE INSERT OR UPDATE OF home_bin_id, location_id ON ret.assortment_item
    FOR EACH ROW WHEN (NEW.home_bin_id IS NOT NULL)
    EXECUTE FUNCTION ret.check_home_bin();
