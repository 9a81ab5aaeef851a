/*
 * Menus: what can be sold, where, when, and for how much.
 *
 * A menu is a card in numbered revisions, one of them published, offered by menu_schedule at a
 * location and daypart. It is divided into menu_groups, nested, in which menu_items are placed
 * (menu_group_item); a placement may rename and reprice. An item has sizes and dated prices by
 * location, channel and daypart: rest.resolve_item_price() picks the one that counts.
 * menu_item_location says whether a location can sell it at this moment: offered, counted down, or
 * out ("86"). A virtual brand sells core items under its own names (brand_menu_item).
 */

CREATE TABLE rest.menu (
    business_id       uuid                    NOT NULL,
    menu_id           uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    virtual_brand_id  uuid,
    menu_code         system_core.code        NOT NULL,
    display_name      text                    NOT NULL,
    menu_kind         text                    NOT NULL,
    revision_no       integer                 NOT NULL DEFAULT 1,
    price_mode        text                    NOT NULL DEFAULT 'tax_exclusive',
    default_language  system_core.locale      NOT NULL DEFAULT 'en-US',
    translations_doc  system_core.json_object NOT NULL DEFAULT '{}',
    effective_from    date                    NOT NULL,
    effective_to      date,
    is_online_visible boolean                 NOT NULL DEFAULT false,
    published_at      timestamptz,
    state             text                    NOT NULL DEFAULT 'draft',
    created_at        timestamptz             NOT NULL DEFAULT now(),
    updated_at        timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, menu_id),
    UNIQUE (business_id, menu_code, revision_no),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, virtual_brand_id)
        REFERENCES rest.virtual_brand (business_id, virtual_brand_id),
    CONSTRAINT menu_kind_known
        CHECK (menu_kind IN ('food', 'drinks', 'wine', 'kids', 'catering', 'delivery', 'tasting')),
    CONSTRAINT menu_price_mode_known CHECK (price_mode IN ('tax_exclusive', 'tax_inclusive')),
    CONSTRAINT menu_state_known CHECK (state IN ('draft', 'published', 'archived')),
    CONSTRAINT menu_published_has_time CHECK (published_at IS NOT NULL OR state = 'draft'),
    CONSTRAINT menu_ends_after_start CHECK (effective_to >= effective_from),
    CONSTRAINT menu_revision_positive CHECK (revision_no >= 1)
);

COMMENT ON TABLE rest.menu IS
    'A published card (food, drinks, delivery, catering) of the business or one brand.';

-- One published revision per menu code.
CREATE UNIQUE INDEX menu_published_idx
    ON rest.menu (business_id, menu_code)
    WHERE state = 'published';

-- FK: the cards of a brand.
CREATE INDEX menu_virtual_brand_idx
    ON rest.menu (business_id, virtual_brand_id)
    WHERE virtual_brand_id IS NOT NULL;

ALTER TABLE rest.menu ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.menu
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.menu TO app_user;
GRANT SELECT ON rest.menu TO app_readonly;

CREATE TRIGGER menu_touch
    BEFORE UPDATE ON rest.menu
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER menu_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.menu
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["draft"],
        "transitions": {
            "draft":     ["published", "archived"],
            "published": ["archived"],
            "archived":  []
        }}');


CREATE TABLE rest.menu_schedule (
    business_id       uuid        NOT NULL,
    menu_schedule_id  uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    menu_id           uuid        NOT NULL,
    location_id       uuid        NOT NULL,
    service_period_id uuid,
    weekday_mask      smallint    NOT NULL DEFAULT 127,
    starts_time       time,
    ends_time         time,
    service_mode      text        NOT NULL DEFAULT 'all',
    effective_from    date        NOT NULL,
    effective_to      date,
    priority          integer     NOT NULL DEFAULT 100,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, menu_schedule_id),
    FOREIGN KEY (business_id, menu_id) REFERENCES rest.menu (business_id, menu_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, service_period_id)
        REFERENCES rest.service_period (business_id, service_period_id),
    CONSTRAINT menu_schedule_service_mode_known
        CHECK (service_mode IN ('all', 'dine_in', 'takeout', 'delivery', 'kiosk')),
    CONSTRAINT menu_schedule_weekdays_in_mask CHECK (weekday_mask BETWEEN 1 AND 127),
    CONSTRAINT menu_schedule_ends_after_start CHECK (effective_to >= effective_from),
    CONSTRAINT menu_schedule_times_are_whole
        CHECK ((starts_time IS NULL) = (ends_time IS NULL)),
    CONSTRAINT menu_schedule_by_period_or_time
        CHECK (service_period_id IS NULL OR starts_time IS NULL)
);

COMMENT ON TABLE rest.menu_schedule IS
    'When, where and for which service mode a menu is offered.';
COMMENT ON COLUMN rest.menu_schedule.priority IS 'The lowest number wins where two apply.';

-- FK: where a menu is offered.
CREATE INDEX menu_schedule_menu_idx ON rest.menu_schedule (business_id, menu_id);

-- FK: what a location offers, the most important first.
CREATE INDEX menu_schedule_location_idx
    ON rest.menu_schedule (business_id, location_id, priority);

-- FK: what a daypart offers.
CREATE INDEX menu_schedule_service_period_idx
    ON rest.menu_schedule (business_id, service_period_id)
    WHERE service_period_id IS NOT NULL;

ALTER TABLE rest.menu_schedule ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.menu_schedule
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.menu_schedule TO app_user;
GRANT SELECT ON rest.menu_schedule TO app_readonly;

CREATE TRIGGER menu_schedule_touch
    BEFORE UPDATE ON rest.menu_schedule
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.menu_group (
    business_id       uuid        NOT NULL,
    menu_group_id     uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    parent_group_id   uuid,
    menu_id           uuid        NOT NULL,
    display_name      text        NOT NULL,
    pos_name          text,
    pos_colour        text,
    description       text,
    course_default    text        NOT NULL DEFAULT 'none',
    depth             smallint    NOT NULL DEFAULT 0,
    sort_order        integer     NOT NULL,
    is_online_visible boolean     NOT NULL DEFAULT true,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, menu_group_id),
    UNIQUE NULLS NOT DISTINCT (business_id, menu_id, parent_group_id, display_name),
    FOREIGN KEY (business_id, parent_group_id)
        REFERENCES rest.menu_group (business_id, menu_group_id),
    FOREIGN KEY (business_id, menu_id) REFERENCES rest.menu (business_id, menu_id),
    CONSTRAINT menu_group_course_default_known
        CHECK (course_default IN ('none', 'drinks', 'starter', 'main', 'side', 'dessert')),
    CONSTRAINT menu_group_depth_bounded CHECK (depth BETWEEN 0 AND 4),
    CONSTRAINT menu_group_root_has_no_depth CHECK ((parent_group_id IS NULL) = (depth = 0)),
    CONSTRAINT menu_group_not_its_own_parent CHECK (parent_group_id <> menu_group_id)
);

COMMENT ON TABLE rest.menu_group IS 'Section of a menu, nested to any sensible depth.';
COMMENT ON COLUMN rest.menu_group.depth IS
    'Levels above it, kept by a trigger; 0 stands on the card itself.';

-- FK: the groups within a group.
CREATE INDEX menu_group_parent_group_idx
    ON rest.menu_group (business_id, parent_group_id)
    WHERE parent_group_id IS NOT NULL;

ALTER TABLE rest.menu_group ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.menu_group
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.menu_group TO app_user;
GRANT SELECT ON rest.menu_group TO app_readonly;

CREATE TRIGGER menu_group_touch
    BEFORE UPDATE ON rest.menu_group
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION rest.place_menu_group() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    above record;
BEGIN
    IF NEW.parent_group_id IS NULL THEN
        NEW.depth := 0;
        RETURN NEW;
    END IF;
    WITH RECURSIVE line AS (
        SELECT g.menu_group_id, g.parent_group_id, g.menu_id, g.depth, 1 AS step
        FROM rest.menu_group AS g
        WHERE g.business_id = NEW.business_id AND g.menu_group_id = NEW.parent_group_id
        UNION ALL
        SELECT g.menu_group_id, g.parent_group_id, g.menu_id, g.depth, l.step + 1
        FROM line AS l
        JOIN rest.menu_group AS g
            ON g.business_id = NEW.business_id AND g.menu_group_id = l.parent_group_id
        WHERE l.step < 8
    )
    SELECT bool_or(l.menu_group_id = NEW.menu_group_id) AS is_cycle,
           bool_or(l.menu_id <> NEW.menu_id)            AS is_foreign,
           max(l.step)                                  AS depth
    INTO above
    FROM line AS l;
    IF above.is_cycle THEN
        RAISE EXCEPTION 'group % would be above itself', NEW.display_name
            USING ERRCODE = 'check_violation', HINT = 'Place it under a group that is not in it.';
    ELSIF above.is_foreign THEN
        RAISE EXCEPTION 'group % and its parent stand on different menus', NEW.display_name
            USING ERRCODE = 'check_violation', HINT = 'Copy the group to the other menu.';
    END IF;
    NEW.depth := above.depth;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.place_menu_group() IS
    'The depth of a group follows from its parents, which are of its menu and never itself.';

CREATE TRIGGER menu_group_place
    BEFORE INSERT OR UPDATE OF parent_group_id, menu_id ON rest.menu_group
    FOR EACH ROW EXECUTE FUNCTION rest.place_menu_group();


CREATE TABLE rest.menu_item (
    business_id       uuid                    NOT NULL,
    menu_item_id      uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    photo_file_id     uuid,
    virtual_brand_id  uuid,
    item_code         system_core.code        NOT NULL,
    display_name      text                    NOT NULL,
    kitchen_name      text,
    plu               text,
    item_kind         text                    NOT NULL,
    pricing_strategy  text                    NOT NULL DEFAULT 'base',
    base_price        system_core.money,
    tax_class         text                    NOT NULL,
    sales_category    text,
    default_course    text                    NOT NULL DEFAULT 'none',
    prep_seconds      integer                 NOT NULL DEFAULT 300,
    calories          integer,
    nutrition_doc     system_core.json_object,
    is_discountable   boolean                 NOT NULL DEFAULT true,
    is_age_restricted boolean                 NOT NULL DEFAULT false,
    status            text                    NOT NULL DEFAULT 'active',
    created_at        timestamptz             NOT NULL DEFAULT now(),
    updated_at        timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, menu_item_id),
    UNIQUE (business_id, item_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, photo_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, virtual_brand_id)
        REFERENCES rest.virtual_brand (business_id, virtual_brand_id),
    CONSTRAINT menu_item_kind_known
        CHECK (item_kind IN ('food', 'drink', 'alcohol', 'combo', 'retail', 'open_item',
                             'gift_card')),
    CONSTRAINT menu_item_pricing_strategy_known
        CHECK (pricing_strategy IN ('base', 'size', 'time', 'menu_specific', 'open', 'market')),
    CONSTRAINT menu_item_tax_class_known
        CHECK (tax_class IN ('food', 'prepared_food', 'alcohol', 'soft_drink', 'merchandise')),
    CONSTRAINT menu_item_default_course_known
        CHECK (default_course IN ('none', 'drinks', 'starter', 'main', 'side', 'dessert')),
    CONSTRAINT menu_item_status_known CHECK (status IN ('active', 'seasonal', 'retired')),
    CONSTRAINT menu_item_alcohol_is_restricted
        CHECK (item_kind <> 'alcohol' OR (is_age_restricted AND tax_class = 'alcohol')),
    CONSTRAINT menu_item_open_price_only_when_open
        CHECK (base_price >= 0 AND base_price IS NOT NULL
               OR pricing_strategy IN ('open', 'market') AND base_price IS NULL),
    CONSTRAINT menu_item_prep_not_negative CHECK (prep_seconds >= 0 AND calories >= 0)
);

COMMENT ON TABLE rest.menu_item IS 'Something a guest can order.';
COMMENT ON COLUMN rest.menu_item.kitchen_name IS 'The short name on the kitchen''s screen.';
COMMENT ON COLUMN rest.menu_item.base_price IS 'NULL where the server types it in.';
COMMENT ON COLUMN rest.menu_item.prep_seconds IS 'Until a station has learned better.';

-- FK: the photo.
CREATE INDEX menu_item_photo_file_idx
    ON rest.menu_item (business_id, photo_file_id)
    WHERE photo_file_id IS NOT NULL;

-- FK: the items that only one brand has.
CREATE INDEX menu_item_virtual_brand_idx
    ON rest.menu_item (business_id, virtual_brand_id)
    WHERE virtual_brand_id IS NOT NULL;

ALTER TABLE rest.menu_item ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.menu_item
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.menu_item TO app_user;
GRANT SELECT ON rest.menu_item TO app_readonly;

CREATE TRIGGER menu_item_touch
    BEFORE UPDATE ON rest.menu_item
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.menu_group_item (
    business_id           uuid              NOT NULL,
    menu_group_item_id    uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    menu_group_id         uuid              NOT NULL,
    menu_item_id          uuid              NOT NULL,
    sort_order            integer           NOT NULL,
    display_name_override text,
    price_override        system_core.money,
    is_featured           boolean           NOT NULL DEFAULT false,
    visible_pos           boolean           NOT NULL DEFAULT true,
    visible_online        boolean           NOT NULL DEFAULT true,
    visible_kiosk         boolean           NOT NULL DEFAULT true,
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, menu_group_item_id),
    UNIQUE (business_id, menu_group_id, menu_item_id),
    FOREIGN KEY (business_id, menu_group_id)
        REFERENCES rest.menu_group (business_id, menu_group_id),
    FOREIGN KEY (business_id, menu_item_id) REFERENCES rest.menu_item (business_id, menu_item_id),
    CONSTRAINT menu_group_item_price_not_negative CHECK (price_override >= 0)
);

COMMENT ON TABLE rest.menu_group_item IS
    'Placement of an item in a group with its own name, price and visibility there.';

-- FK: where an item stands.
CREATE INDEX menu_group_item_menu_item_idx ON rest.menu_group_item (business_id, menu_item_id);

ALTER TABLE rest.menu_group_item ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.menu_group_item
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.menu_group_item TO app_user;
GRANT SELECT ON rest.menu_group_item TO app_readonly;

CREATE TRIGGER menu_group_item_touch
    BEFORE UPDATE ON rest.menu_group_item
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.menu_item_size (
    business_id       uuid              NOT NULL,
    menu_item_size_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    menu_item_id      uuid              NOT NULL,
    size_code         system_core.code  NOT NULL,
    display_name      text              NOT NULL,
    price             system_core.money NOT NULL,
    portion_factor    numeric(6,        3) NOT NULL DEFAULT 1,
    plu               text,
    calories          integer,
    is_default        boolean           NOT NULL DEFAULT false,
    sort_order        integer           NOT NULL,
    is_active         boolean           NOT NULL DEFAULT true,
    created_at        timestamptz       NOT NULL DEFAULT now(),
    updated_at        timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, menu_item_size_id),
    UNIQUE (business_id, menu_item_id, size_code),
    FOREIGN KEY (business_id, menu_item_id) REFERENCES rest.menu_item (business_id, menu_item_id),
    CONSTRAINT menu_item_size_portion_positive CHECK (portion_factor > 0),
    CONSTRAINT menu_item_size_price_not_negative CHECK (price >= 0)
);

COMMENT ON TABLE rest.menu_item_size IS
    'Portion or size of an item with price and recipe factor.';
COMMENT ON COLUMN rest.menu_item_size.portion_factor IS
    'Of the recipe of the item: a half bottle is 0.5.';

-- One size is the default of an item.
CREATE UNIQUE INDEX menu_item_size_default_idx
    ON rest.menu_item_size (business_id, menu_item_id)
    WHERE is_default;

ALTER TABLE rest.menu_item_size ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.menu_item_size
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.menu_item_size TO app_user;
GRANT SELECT ON rest.menu_item_size TO app_readonly;

CREATE TRIGGER menu_item_size_touch
    BEFORE UPDATE ON rest.menu_item_size
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.menu_item_price (
    business_id          uuid                 NOT NULL,
    menu_item_price_id   uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    approved_by_staff_id uuid,
    menu_item_id         uuid                 NOT NULL,
    menu_item_size_id    uuid,
    location_id          uuid,
    sales_channel_id     uuid,
    service_period_id    uuid,
    price                system_core.money    NOT NULL,
    currency             system_core.currency NOT NULL,
    price_kind           text                 NOT NULL,
    weekday_mask         smallint             NOT NULL DEFAULT 127,
    effective_from       date                 NOT NULL,
    effective_to         date,
    priority             integer              NOT NULL DEFAULT 100,
    approved_at          timestamptz,
    created_at           timestamptz          NOT NULL DEFAULT now(),
    updated_at           timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, menu_item_price_id),
    FOREIGN KEY (business_id, approved_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, menu_item_id) REFERENCES rest.menu_item (business_id, menu_item_id),
    FOREIGN KEY (business_id, menu_item_size_id)
        REFERENCES rest.menu_item_size (business_id, menu_item_size_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, sales_channel_id)
        REFERENCES rest.sales_channel (business_id, sales_channel_id),
    FOREIGN KEY (business_id, service_period_id)
        REFERENCES rest.service_period (business_id, service_period_id),
    CONSTRAINT menu_item_price_kind_known
        CHECK (price_kind IN ('regular', 'happy_hour', 'channel', 'location', 'event')),
    CONSTRAINT menu_item_price_not_negative CHECK (price >= 0),
    CONSTRAINT menu_item_price_weekdays_in_mask CHECK (weekday_mask BETWEEN 1 AND 127),
    CONSTRAINT menu_item_price_ends_after_start CHECK (effective_to >= effective_from),
    CONSTRAINT menu_item_price_kind_has_scope
        CHECK (CASE price_kind WHEN 'channel' THEN sales_channel_id IS NOT NULL
                               WHEN 'location' THEN location_id IS NOT NULL
                               WHEN 'happy_hour' THEN service_period_id IS NOT NULL
                               ELSE true END),
    CONSTRAINT menu_item_price_approval_is_whole
        CHECK ((approved_at IS NULL) = (approved_by_staff_id IS NULL)),
    CONSTRAINT menu_item_price_one_a_scope EXCLUDE USING gist (
        business_id WITH =, menu_item_id WITH =, priority WITH =,
        (coalesce(menu_item_size_id, '00000000-0000-0000-0000-000000000000')) WITH =,
        (coalesce(location_id, '00000000-0000-0000-0000-000000000000')) WITH =,
        (coalesce(sales_channel_id, '00000000-0000-0000-0000-000000000000')) WITH =,
        (coalesce(service_period_id, '00000000-0000-0000-0000-000000000000')) WITH =,
        daterange(effective_from, effective_to, '[]') WITH &&)
);

COMMENT ON TABLE rest.menu_item_price IS
    'Dated price of an item or size by site, channel or daypart (happy hour, delivery mark-up,
     event).';
COMMENT ON COLUMN rest.menu_item_price.priority IS
    'Decides between scopes that are equally narrow: the lowest number wins.';

-- FK: what a manager approved.
CREATE INDEX menu_item_price_approved_by_staff_idx
    ON rest.menu_item_price (business_id, approved_by_staff_id)
    WHERE approved_by_staff_id IS NOT NULL;

-- FK: every price of an item, to pick from.
CREATE INDEX menu_item_price_menu_item_idx ON rest.menu_item_price (business_id, menu_item_id);

-- FK: the prices of a size.
CREATE INDEX menu_item_price_menu_item_size_idx
    ON rest.menu_item_price (business_id, menu_item_size_id)
    WHERE menu_item_size_id IS NOT NULL;

-- FK: the prices of a location.
CREATE INDEX menu_item_price_location_idx
    ON rest.menu_item_price (business_id, location_id)
    WHERE location_id IS NOT NULL;

-- FK: the prices of a channel.
CREATE INDEX menu_item_price_sales_channel_idx
    ON rest.menu_item_price (business_id, sales_channel_id)
    WHERE sales_channel_id IS NOT NULL;

-- FK: the prices of a daypart.
CREATE INDEX menu_item_price_service_period_idx
    ON rest.menu_item_price (business_id, service_period_id)
    WHERE service_period_id IS NOT NULL;

ALTER TABLE rest.menu_item_price ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.menu_item_price
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.menu_item_price TO app_user;
GRANT SELECT ON rest.menu_item_price TO app_readonly;

CREATE TRIGGER menu_item_price_touch
    BEFORE UPDATE ON rest.menu_item_price
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.menu_item_location (
    business_id           uuid                 NOT NULL,
    menu_item_location_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    menu_item_id          uuid                 NOT NULL,
    location_id           uuid                 NOT NULL,
    is_offered            boolean              NOT NULL DEFAULT true,
    stock_mode            text                 NOT NULL DEFAULT 'unlimited',
    remaining_qty         system_core.quantity,
    out_since             timestamptz,
    back_at               timestamptz,
    out_reason            text,
    daily_limit           integer,
    prep_seconds_override integer,
    version_no            integer              NOT NULL DEFAULT 1,
    created_at            timestamptz          NOT NULL DEFAULT now(),
    updated_at            timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, menu_item_location_id),
    UNIQUE (business_id, menu_item_id, location_id),
    FOREIGN KEY (business_id, menu_item_id) REFERENCES rest.menu_item (business_id, menu_item_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    CONSTRAINT menu_item_location_stock_mode_known
        CHECK (stock_mode IN ('unlimited', 'countdown', 'out_of_stock')),
    CONSTRAINT menu_item_location_out_has_time
        CHECK ((out_since IS NOT NULL) = (stock_mode = 'out_of_stock')),
    CONSTRAINT menu_item_location_counts_only_down
        CHECK ((remaining_qty IS NOT NULL) = (stock_mode = 'countdown')),
    CONSTRAINT menu_item_location_never_below_zero CHECK (remaining_qty >= 0),
    CONSTRAINT menu_item_location_limit_positive CHECK (daily_limit > 0),
    CONSTRAINT menu_item_location_back_after_out CHECK (back_at > out_since)
);

COMMENT ON TABLE rest.menu_item_location IS
    'Whether a site can sell the item now: offered, counted down or 86.';
COMMENT ON COLUMN rest.menu_item_location.stock_mode IS
    'out_of_stock is what a kitchen calls 86: no screen or listing sells it.';
COMMENT ON COLUMN rest.menu_item_location.version_no IS
    'Rises with every change; a screen that shows an older one is stale.';

-- FK: what a location can sell.
CREATE INDEX menu_item_location_location_idx
    ON rest.menu_item_location (business_id, location_id);

ALTER TABLE rest.menu_item_location ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.menu_item_location
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.menu_item_location TO app_user;
GRANT SELECT ON rest.menu_item_location TO app_readonly;

CREATE TRIGGER menu_item_location_touch
    BEFORE UPDATE ON rest.menu_item_location
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION rest.count_down() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.version_no := OLD.version_no + 1;
    IF NEW.stock_mode = 'countdown' AND NEW.remaining_qty = 0 THEN
        NEW.stock_mode := 'out_of_stock';
        NEW.remaining_qty := NULL;
        NEW.out_since := now();
        NEW.out_reason := coalesce(NEW.out_reason, 'sold out');
    ELSIF NEW.stock_mode <> 'out_of_stock' THEN
        NEW.out_since := NULL;
        NEW.out_reason := NULL;
        NEW.back_at := NULL;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.count_down() IS
    'The last portion takes an item off the menu; putting it back clears why it was off.';

CREATE TRIGGER menu_item_location_count_down
    BEFORE UPDATE ON rest.menu_item_location
    FOR EACH ROW EXECUTE FUNCTION rest.count_down();


CREATE TABLE rest.brand_menu_item (
    business_id        uuid              NOT NULL,
    brand_menu_item_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    virtual_brand_id   uuid              NOT NULL,
    menu_item_id       uuid              NOT NULL,
    listing_name       text              NOT NULL,
    listing_price      system_core.money NOT NULL,
    description        text,
    external_category  text,
    packaging_cost     system_core.money NOT NULL DEFAULT 0,
    is_hero            boolean           NOT NULL DEFAULT false,
    sort_order         integer           NOT NULL,
    status             text              NOT NULL DEFAULT 'draft',
    created_at         timestamptz       NOT NULL DEFAULT now(),
    updated_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, brand_menu_item_id),
    UNIQUE (business_id, virtual_brand_id, listing_name),
    FOREIGN KEY (business_id, virtual_brand_id)
        REFERENCES rest.virtual_brand (business_id, virtual_brand_id),
    FOREIGN KEY (business_id, menu_item_id) REFERENCES rest.menu_item (business_id, menu_item_id),
    CONSTRAINT brand_menu_item_status_known CHECK (status IN ('draft', 'live', 'hidden')),
    CONSTRAINT brand_menu_item_prices_not_negative
        CHECK (listing_price >= 0 AND packaging_cost >= 0)
);

COMMENT ON TABLE rest.brand_menu_item IS
    'A core item sold by a virtual brand under another name and price.';

-- FK: the names an item is sold under.
CREATE INDEX brand_menu_item_menu_item_idx ON rest.brand_menu_item (business_id, menu_item_id);

ALTER TABLE rest.brand_menu_item ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.brand_menu_item
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.brand_menu_item TO app_user;
GRANT SELECT ON rest.brand_menu_item TO app_readonly;

CREATE TRIGGER brand_menu_item_touch
    BEFORE UPDATE ON rest.brand_menu_item
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE FUNCTION rest.resolve_item_price(
    item         uuid,
    size         uuid DEFAULT NULL,
    place        uuid DEFAULT NULL,
    channel      uuid DEFAULT NULL,
    moment       timestamptz DEFAULT now(),
    OUT price    system_core.money,
    OUT source   text
)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH here AS (
        SELECT moment AT TIME ZONE coalesce(
                   (SELECT l.timezone
                    FROM rest.location AS l
                    WHERE l.business_id = tenant_mgmt.current_business_id()
                      AND l.location_id = place), 'UTC') AS local
    ), candidates AS (
        SELECT p.price, p.price_kind AS source,
               -- The narrower scope wins: size, then daypart, channel and location.
               num_nonnulls(p.menu_item_size_id) * 8 + num_nonnulls(p.service_period_id) * 4
               + num_nonnulls(p.sales_channel_id) * 2 + num_nonnulls(p.location_id) AS narrowness,
               p.priority
        FROM here AS h
        CROSS JOIN rest.menu_item_price AS p
        LEFT JOIN rest.service_period AS s
            ON s.business_id = p.business_id AND s.service_period_id = p.service_period_id
        WHERE p.business_id = tenant_mgmt.current_business_id() AND p.menu_item_id = item
          AND (p.menu_item_size_id IS NULL OR p.menu_item_size_id = size)
          AND (p.location_id IS NULL OR p.location_id = place)
          AND (p.sales_channel_id IS NULL OR p.sales_channel_id = channel)
          AND h.local::date >= p.effective_from
          AND (p.effective_to IS NULL OR h.local::date <= p.effective_to)
          AND (p.weekday_mask >> (extract(isodow FROM h.local)::integer - 1)) & 1 = 1
          AND (p.service_period_id IS NULL
               OR (s.starts_time < s.ends_time
                   AND h.local::time >= s.starts_time AND h.local::time < s.ends_time)
               OR (s.starts_time > s.ends_time
                   AND (h.local::time >= s.starts_time OR h.local::time < s.ends_time)))
        UNION ALL
        SELECT z.price, 'size', -1, 0
        FROM rest.menu_item_size AS z
        WHERE z.business_id = tenant_mgmt.current_business_id() AND z.menu_item_id = item
          AND z.menu_item_size_id = size
        UNION ALL
        SELECT m.base_price, CASE WHEN m.base_price IS NULL THEN m.pricing_strategy ELSE 'base' END,
               -2, 0
        FROM rest.menu_item AS m
        WHERE m.business_id = tenant_mgmt.current_business_id() AND m.menu_item_id = item
    )
    SELECT c.price, c.source
    FROM candidates AS c
    ORDER BY c.narrowness DESC, c.priority
    LIMIT 1;
END;
COMMENT ON FUNCTION rest.resolve_item_price(uuid, uuid, uuid, uuid, timestamptz) IS
    'What an item costs in a size, at a location, on a channel, at a moment, and which rule said so:
     the narrowest dated price, else the size''s, else the item''s own; NULL where it is open.';


CREATE VIEW rest.v_menu_item_sellable WITH (security_invoker = true) AS
SELECT o.business_id, o.location_id, s.service_mode, m.menu_id, m.display_name AS menu_name,
       g.menu_group_id, g.display_name AS group_name, i.menu_item_id, i.item_code,
       coalesce(p.display_name_override, i.display_name) AS display_name,
       coalesce(p.price_override, (rest.resolve_item_price(i.menu_item_id, NULL,
                                                           o.location_id)).price) AS price,
       o.stock_mode, o.remaining_qty, p.visible_pos, p.visible_online, p.visible_kiosk,
       g.sort_order AS group_order, p.sort_order AS item_order
FROM rest.menu AS m
JOIN rest.menu_schedule AS s ON s.business_id = m.business_id AND s.menu_id = m.menu_id
JOIN rest.menu_group AS g ON g.business_id = m.business_id AND g.menu_id = m.menu_id
JOIN rest.menu_group_item AS p
    ON p.business_id = g.business_id AND p.menu_group_id = g.menu_group_id
JOIN rest.menu_item AS i ON i.business_id = p.business_id AND i.menu_item_id = p.menu_item_id
JOIN rest.menu_item_location AS o
    ON o.business_id = i.business_id AND o.menu_item_id = i.menu_item_id
   AND o.location_id = s.location_id
WHERE m.state = 'published' AND i.status <> 'retired' AND o.is_offered
  AND o.stock_mode <> 'out_of_stock';
COMMENT ON VIEW rest.v_menu_item_sellable IS
    'What a location can sell now: on a published card that it offers, not out, with its price.';
GRANT SELECT ON rest.v_menu_item_sellable TO app_user, app_readonly;
