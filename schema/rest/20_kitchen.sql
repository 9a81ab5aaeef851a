/*
 * Kitchens and brands: where food is made, under which names it is sold, and how much at a time.
 *
 * A kitchen belongs to a location and has prep_stations, each with a screen. A virtual_brand is a
 * concept under its own name; a cloud kitchen cooks for several at once and brand_kitchen says from
 * when, how long and with what share of the capacity. kitchen_capacity_slot is the promise book:
 * orders and minutes that a quarter of an hour can take and has taken. channel_store_link is the
 * listing of a brand at a location on a marketplace, with its commission and whether it is online.
 */

CREATE TABLE rest.kitchen (
    business_id         uuid             NOT NULL,
    kitchen_id          uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    location_id         uuid             NOT NULL,
    kitchen_code        system_core.code NOT NULL,
    display_name        text             NOT NULL,
    kitchen_kind        text             NOT NULL,
    hood_count          integer          NOT NULL DEFAULT 0,
    max_parallel_orders integer          NOT NULL DEFAULT 20,
    throttle_state      text             NOT NULL DEFAULT 'normal',
    throttle_changed_at timestamptz      NOT NULL DEFAULT now(),
    quoted_prep_minutes integer          NOT NULL DEFAULT 15,
    expo_mode           text             NOT NULL DEFAULT 'single_level',
    is_active           boolean          NOT NULL DEFAULT true,
    created_at          timestamptz      NOT NULL DEFAULT now(),
    updated_at          timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, kitchen_id),
    UNIQUE (business_id, kitchen_code),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    CONSTRAINT kitchen_kind_known
        CHECK (kitchen_kind IN ('restaurant', 'cloud', 'commissary', 'shared')),
    CONSTRAINT kitchen_throttle_state_known
        CHECK (throttle_state IN ('normal', 'busy', 'paused')),
    CONSTRAINT kitchen_expo_mode_known CHECK (expo_mode IN ('none', 'single_level', 'two_level')),
    CONSTRAINT kitchen_quote_bounded CHECK (quoted_prep_minutes BETWEEN 1 AND 180),
    CONSTRAINT kitchen_takes_orders CHECK (max_parallel_orders > 0)
);

COMMENT ON TABLE rest.kitchen IS
    'Production kitchen of a site that may cook for several brands at once.';
COMMENT ON COLUMN rest.kitchen.throttle_state IS
    'busy lengthens the quoted times, paused takes no channel order at all.';

-- FK: the kitchens of a location.
CREATE INDEX kitchen_location_idx ON rest.kitchen (business_id, location_id);

ALTER TABLE rest.kitchen ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.kitchen
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.kitchen TO app_user;
GRANT SELECT ON rest.kitchen TO app_readonly;

CREATE TRIGGER kitchen_touch
    BEFORE UPDATE ON rest.kitchen
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.prep_station (
    business_id        uuid             NOT NULL,
    prep_station_id    uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    display_device_id  uuid,
    backup_station_id  uuid,
    kitchen_id         uuid             NOT NULL,
    station_code       system_core.code NOT NULL,
    display_name       text             NOT NULL,
    station_kind       text             NOT NULL,
    parallel_capacity  integer          NOT NULL DEFAULT 4,
    warn_after_seconds integer          NOT NULL DEFAULT 480,
    late_after_seconds integer          NOT NULL DEFAULT 720,
    bump_mode          text             NOT NULL DEFAULT 'ticket',
    auto_bump_minutes  integer,
    sequence_no        integer          NOT NULL,
    is_expo            boolean          NOT NULL DEFAULT false,
    state              text             NOT NULL DEFAULT 'open',
    created_at         timestamptz      NOT NULL DEFAULT now(),
    updated_at         timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, prep_station_id),
    UNIQUE (business_id, kitchen_id, station_code),
    FOREIGN KEY (business_id, display_device_id)
        REFERENCES rest.pos_device (business_id, pos_device_id),
    FOREIGN KEY (business_id, backup_station_id)
        REFERENCES rest.prep_station (business_id, prep_station_id),
    FOREIGN KEY (business_id, kitchen_id) REFERENCES rest.kitchen (business_id, kitchen_id),
    CONSTRAINT prep_station_kind_known
        CHECK (station_kind IN ('grill', 'fry', 'hot', 'cold', 'pizza', 'bakery', 'bar',
                                'beverage', 'assembly', 'expo')),
    CONSTRAINT prep_station_bump_mode_known CHECK (bump_mode IN ('item', 'ticket', 'two_step')),
    CONSTRAINT prep_station_state_known CHECK (state IN ('open', 'closed', 'down')),
    CONSTRAINT prep_station_late_after_warning CHECK (late_after_seconds > warn_after_seconds),
    CONSTRAINT prep_station_warning_positive CHECK (warn_after_seconds > 0),
    CONSTRAINT prep_station_capacity_positive CHECK (parallel_capacity > 0),
    CONSTRAINT prep_station_not_its_own_backup CHECK (backup_station_id <> prep_station_id),
    CONSTRAINT prep_station_expo_is_expo CHECK (is_expo = (station_kind = 'expo'))
);

COMMENT ON TABLE rest.prep_station IS
    'A station that makes or assembles (grill, fry, salad, pizza, bar, expo) and its screen
     settings.';
COMMENT ON COLUMN rest.prep_station.parallel_capacity IS
    'Tickets it cooks at a time; beyond, each one waits.';
COMMENT ON COLUMN rest.prep_station.backup_station_id IS
    'Takes its tickets while it is closed or down.';
COMMENT ON COLUMN rest.prep_station.bump_mode IS
    'What one touch finishes: an item, the ticket, or first started and then done.';

-- FK: what a screen shows.
CREATE INDEX prep_station_display_device_idx
    ON rest.prep_station (business_id, display_device_id)
    WHERE display_device_id IS NOT NULL;

-- FK: whom a station stands in for.
CREATE INDEX prep_station_backup_station_idx
    ON rest.prep_station (business_id, backup_station_id)
    WHERE backup_station_id IS NOT NULL;

ALTER TABLE rest.prep_station ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.prep_station
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.prep_station TO app_user;
GRANT SELECT ON rest.prep_station TO app_readonly;

CREATE TRIGGER prep_station_touch
    BEFORE UPDATE ON rest.prep_station
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.virtual_brand (
    business_id             uuid                   NOT NULL,
    virtual_brand_id        uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    logo_file_id            uuid,
    brand_code              system_core.code       NOT NULL,
    display_name            text                   NOT NULL,
    cuisine                 text,
    brand_kind              text                   NOT NULL,
    launched_on             date,
    retired_on              date,
    royalty_pct             system_core.percentage NOT NULL DEFAULT 0,
    target_food_cost_pct    system_core.percentage NOT NULL DEFAULT 30,
    packaging_budget_amount system_core.money      NOT NULL DEFAULT 0,
    storefront_slug         system_core.slug       NOT NULL,
    status                  text                   NOT NULL DEFAULT 'pilot',
    created_at              timestamptz            NOT NULL DEFAULT now(),
    updated_at              timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, virtual_brand_id),
    UNIQUE (business_id, brand_code),
    UNIQUE (business_id, storefront_slug),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, logo_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT virtual_brand_kind_known CHECK (brand_kind IN ('flagship', 'virtual', 'licensed')),
    CONSTRAINT virtual_brand_status_known
        CHECK (status IN ('pilot', 'live', 'paused', 'retired')),
    CONSTRAINT virtual_brand_royalty_bounded CHECK (royalty_pct BETWEEN 0 AND 50),
    CONSTRAINT virtual_brand_food_cost_bounded CHECK (target_food_cost_pct BETWEEN 5 AND 80),
    CONSTRAINT virtual_brand_retires_after_launch CHECK (retired_on > launched_on),
    CONSTRAINT virtual_brand_retired_has_date
        CHECK ((status = 'retired') = (retired_on IS NOT NULL))
);

COMMENT ON TABLE rest.virtual_brand IS
    'A concept sold under its own name from one or more kitchens.';

-- FK: the logo.
CREATE INDEX virtual_brand_logo_file_idx
    ON rest.virtual_brand (business_id, logo_file_id)
    WHERE logo_file_id IS NOT NULL;

ALTER TABLE rest.virtual_brand ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.virtual_brand
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.virtual_brand TO app_user;
GRANT SELECT ON rest.virtual_brand TO app_readonly;

CREATE TRIGGER virtual_brand_touch
    BEFORE UPDATE ON rest.virtual_brand
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.brand_kitchen (
    business_id          uuid                   NOT NULL,
    brand_kitchen_id     uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    virtual_brand_id     uuid                   NOT NULL,
    kitchen_id           uuid                   NOT NULL,
    live_from            timestamptz            NOT NULL,
    live_to              timestamptz,
    capacity_share_pct   system_core.percentage NOT NULL DEFAULT 100,
    opens_time           time,
    closes_time          time,
    prep_minutes_uplift  integer                NOT NULL DEFAULT 0,
    order_limit_per_hour integer,
    status               text                   NOT NULL DEFAULT 'onboarding',
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, brand_kitchen_id),
    UNIQUE (business_id, virtual_brand_id, kitchen_id, live_from),
    FOREIGN KEY (business_id, virtual_brand_id)
        REFERENCES rest.virtual_brand (business_id, virtual_brand_id),
    FOREIGN KEY (business_id, kitchen_id) REFERENCES rest.kitchen (business_id, kitchen_id),
    CONSTRAINT brand_kitchen_status_known
        CHECK (status IN ('onboarding', 'live', 'paused', 'ended')),
    CONSTRAINT brand_kitchen_ends_after_start CHECK (live_to > live_from),
    CONSTRAINT brand_kitchen_ended_has_end CHECK (status <> 'ended' OR live_to IS NOT NULL),
    CONSTRAINT brand_kitchen_share_bounded CHECK (capacity_share_pct BETWEEN 0 AND 100),
    CONSTRAINT brand_kitchen_limit_positive CHECK (order_limit_per_hour > 0)
);

COMMENT ON TABLE rest.brand_kitchen IS
    'A kitchen hosting a brand: dates, hours and share of capacity.';
COMMENT ON COLUMN rest.brand_kitchen.capacity_share_pct IS
    'Of the kitchen''s slots; the live brands of a kitchen share at most 100.';

-- FK: the brands of a kitchen.
CREATE INDEX brand_kitchen_kitchen_idx ON rest.brand_kitchen (business_id, kitchen_id);

ALTER TABLE rest.brand_kitchen ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.brand_kitchen
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.brand_kitchen TO app_user;
GRANT SELECT ON rest.brand_kitchen TO app_readonly;

CREATE TRIGGER brand_kitchen_touch
    BEFORE UPDATE ON rest.brand_kitchen
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION rest.check_kitchen_shares() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    over record;
BEGIN
    -- One writer a kitchen at a time: two that each see 100 would make 200.
    PERFORM FROM rest.kitchen AS k
    WHERE (k.business_id, k.kitchen_id) IN (SELECT c.business_id, c.kitchen_id FROM changed AS c)
    ORDER BY k.business_id, k.kitchen_id
    FOR NO KEY UPDATE;
    SELECT k.display_name, sum(b.capacity_share_pct) AS share INTO over
    FROM rest.brand_kitchen AS b
    JOIN rest.kitchen AS k ON k.business_id = b.business_id AND k.kitchen_id = b.kitchen_id
    WHERE b.status = 'live'
      AND (b.business_id, b.kitchen_id) IN (SELECT c.business_id, c.kitchen_id FROM changed AS c)
    GROUP BY b.business_id, b.kitchen_id, k.display_name
    HAVING sum(b.capacity_share_pct) > 100
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the live brands of kitchen % would share % percent of it',
                        over.display_name, round(over.share, 1)
            USING ERRCODE = 'check_violation', HINT = 'Lower the share of another brand first.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.check_kitchen_shares() IS
    'The live brands of a kitchen share at most all of it, also when two are added at once.';

CREATE TRIGGER brand_kitchen_shares_on_insert
    AFTER INSERT ON rest.brand_kitchen
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.check_kitchen_shares();

CREATE TRIGGER brand_kitchen_shares_on_update
    AFTER UPDATE ON rest.brand_kitchen
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.check_kitchen_shares();


CREATE TABLE rest.kitchen_capacity_slot (
    business_id              uuid        NOT NULL,
    kitchen_capacity_slot_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    kitchen_id               uuid        NOT NULL,
    virtual_brand_id         uuid,
    slot_starts_at           timestamptz NOT NULL,
    slot_minutes             integer     NOT NULL DEFAULT 15,
    max_orders               integer     NOT NULL,
    max_prep_minutes         integer     NOT NULL,
    booked_orders            integer     NOT NULL DEFAULT 0,
    booked_prep_minutes      integer     NOT NULL DEFAULT 0,
    closed_by                text        NOT NULL DEFAULT 'none',
    recalculated_at          timestamptz,
    created_at               timestamptz NOT NULL DEFAULT now(),
    updated_at               timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, kitchen_capacity_slot_id),
    UNIQUE NULLS NOT DISTINCT (business_id, kitchen_id, virtual_brand_id, slot_starts_at),
    FOREIGN KEY (business_id, kitchen_id) REFERENCES rest.kitchen (business_id, kitchen_id),
    FOREIGN KEY (business_id, virtual_brand_id)
        REFERENCES rest.virtual_brand (business_id, virtual_brand_id),
    CONSTRAINT kitchen_capacity_slot_closed_by_known
        CHECK (closed_by IN ('none', 'manager', 'auto_throttle', 'outage')),
    CONSTRAINT kitchen_capacity_slot_length_known CHECK (slot_minutes IN (5, 10, 15, 30)),
    CONSTRAINT kitchen_capacity_slot_never_oversold
        CHECK (booked_orders BETWEEN 0 AND max_orders
               AND booked_prep_minutes BETWEEN 0 AND max_prep_minutes)
);

COMMENT ON TABLE rest.kitchen_capacity_slot IS
    'Quarter-hour promise capacity of a kitchen against the load already booked (order
     throttling).';
COMMENT ON COLUMN rest.kitchen_capacity_slot.virtual_brand_id IS
    'NULL for the kitchen as a whole.';

-- FK: the slots of a brand.
CREATE INDEX kitchen_capacity_slot_virtual_brand_idx
    ON rest.kitchen_capacity_slot (business_id, virtual_brand_id)
    WHERE virtual_brand_id IS NOT NULL;

ALTER TABLE rest.kitchen_capacity_slot ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.kitchen_capacity_slot
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.kitchen_capacity_slot TO app_user;
GRANT SELECT ON rest.kitchen_capacity_slot TO app_readonly;

CREATE TRIGGER kitchen_capacity_slot_touch
    BEFORE UPDATE ON rest.kitchen_capacity_slot
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.channel_store_link (
    business_id             uuid                   NOT NULL,
    channel_store_link_id   uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    sales_channel_id        uuid                   NOT NULL,
    location_id             uuid                   NOT NULL,
    kitchen_id              uuid                   NOT NULL,
    virtual_brand_id        uuid,
    external_store_id       text                   NOT NULL,
    listing_name            text                   NOT NULL,
    status                  text                   NOT NULL DEFAULT 'pending',
    paused_until            timestamptz,
    pause_reason            text                   NOT NULL DEFAULT 'none',
    commission_pct          system_core.percentage NOT NULL DEFAULT 0,
    delivery_commission_pct system_core.percentage NOT NULL DEFAULT 0,
    marketing_fee_pct       system_core.percentage NOT NULL DEFAULT 0,
    price_markup_pct        system_core.percentage NOT NULL DEFAULT 0,
    prep_minutes            integer                NOT NULL DEFAULT 15,
    auto_accept             boolean                NOT NULL DEFAULT false,
    credential_ref          system_core.vault_ref,
    last_heartbeat_at       timestamptz,
    created_at              timestamptz            NOT NULL DEFAULT now(),
    updated_at              timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, channel_store_link_id),
    UNIQUE (business_id, sales_channel_id, external_store_id),
    FOREIGN KEY (business_id, sales_channel_id)
        REFERENCES rest.sales_channel (business_id, sales_channel_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, kitchen_id) REFERENCES rest.kitchen (business_id, kitchen_id),
    FOREIGN KEY (business_id, virtual_brand_id)
        REFERENCES rest.virtual_brand (business_id, virtual_brand_id),
    CONSTRAINT channel_store_link_status_known
        CHECK (status IN ('pending', 'online', 'paused', 'offline', 'deactivated')),
    CONSTRAINT channel_store_link_pause_reason_known
        CHECK (pause_reason IN ('none', 'too_busy', 'closed_early', 'item_shortage', 'technical',
                                'tablet_offline')),
    CONSTRAINT channel_store_link_pause_has_end_only_when_paused
        CHECK (paused_until IS NULL OR status = 'paused'),
    CONSTRAINT channel_store_link_commission_bounded CHECK (commission_pct BETWEEN 0 AND 40),
    CONSTRAINT channel_store_link_fees_bounded
        CHECK (delivery_commission_pct BETWEEN 0 AND 40 AND marketing_fee_pct BETWEEN 0 AND 40
               AND price_markup_pct BETWEEN 0 AND 60),
    CONSTRAINT channel_store_link_prep_bounded CHECK (prep_minutes BETWEEN 1 AND 180),
    CONSTRAINT channel_store_link_pause_has_reason
        CHECK (status <> 'paused' OR pause_reason <> 'none')
);

COMMENT ON TABLE rest.channel_store_link IS
    'The listing of a brand at a site on a channel: external store id, state and commission
     terms.';
COMMENT ON COLUMN rest.channel_store_link.price_markup_pct IS
    'Put on menu prices here, to cover the commission.';

-- FK: the listings of a site.
CREATE INDEX channel_store_link_location_idx
    ON rest.channel_store_link (business_id, location_id);

-- FK: the listings that a kitchen cooks for.
CREATE INDEX channel_store_link_kitchen_idx ON rest.channel_store_link (business_id, kitchen_id);

-- FK: the listings of a brand.
CREATE INDEX channel_store_link_virtual_brand_idx
    ON rest.channel_store_link (business_id, virtual_brand_id)
    WHERE virtual_brand_id IS NOT NULL;

ALTER TABLE rest.channel_store_link ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.channel_store_link
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.channel_store_link TO app_user;
GRANT SELECT ON rest.channel_store_link TO app_readonly;

CREATE TRIGGER channel_store_link_touch
    BEFORE UPDATE ON rest.channel_store_link
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
