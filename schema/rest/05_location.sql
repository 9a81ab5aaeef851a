/*
 * Locations: the sites of a restaurant business, when they serve, and what stands in them.
 *
 * A location is a restaurant, a bar, a commissary or a cloud kitchen. Its business day rolls over
 * at closeout_hour, not at midnight: a bar's Friday ends on Saturday at four. location_hours tell
 * when each service mode is open, a dated row overrides the weekday; a service_period is a daypart
 * (lunch, dinner) that menus, prices and booking pace hang on. A floor_plan is divided into
 * dining_areas with their dining_tables, whose state the host stand colors; tables of one
 * join_group stand side by side and may seat one party together. A pos_device is anything with a
 * cable: terminal, kitchen screen, printer, drawer.
 */

CREATE SCHEMA rest;
GRANT USAGE ON SCHEMA rest TO app_user, app_readonly;
COMMENT ON SCHEMA rest IS
    'A restaurant company from table to till: guests, menus, checks, kitchen, stock, food safety.';


CREATE TABLE rest.location (
    business_id               uuid                    NOT NULL,
    location_id               uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    manager_user_id           uuid,
    location_code             system_core.code        NOT NULL,
    display_name              text                    NOT NULL,
    service_format            text                    NOT NULL,
    timezone                  system_core.time_zone   NOT NULL,
    currency                  system_core.currency    NOT NULL,
    closeout_hour             smallint                NOT NULL DEFAULT 4,
    address_line              text                    NOT NULL,
    city                      text                    NOT NULL,
    region_code               system_core.region,
    postal_code               system_core.postal_code NOT NULL,
    latitude                  system_core.latitude,
    longitude                 system_core.longitude,
    seat_count                integer                 NOT NULL DEFAULT 0,
    health_permit_number      text,
    liquor_licence_expires_on date,
    status                    text                    NOT NULL DEFAULT 'planned',
    created_at                timestamptz             NOT NULL DEFAULT now(),
    updated_at                timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, location_id),
    UNIQUE (business_id, location_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, manager_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT location_service_format_known
        CHECK (service_format IN ('full_service', 'quick_service', 'fast_casual', 'bar', 'cafe',
                                  'food_truck', 'cloud_kitchen', 'commissary')),
    CONSTRAINT location_status_known
        CHECK (status IN ('planned', 'open', 'temporarily_closed', 'closed')),
    CONSTRAINT location_closeout_hour_bounded CHECK (closeout_hour BETWEEN 0 AND 12),
    CONSTRAINT location_without_guests_has_no_seats
        CHECK (service_format NOT IN ('cloud_kitchen', 'commissary') OR seat_count = 0),
    CONSTRAINT location_seats_not_negative CHECK (seat_count >= 0),
    CONSTRAINT location_place_is_whole CHECK ((latitude IS NULL) = (longitude IS NULL))
);

COMMENT ON TABLE rest.location IS
    'A restaurant, bar, commissary or cloud-kitchen site with its own business day, permits and
     tax place.';
COMMENT ON COLUMN rest.location.closeout_hour IS
    'The local hour at which the business day rolls over to the next date.';

-- FK: what an account manages.
CREATE INDEX location_manager_user_idx
    ON rest.location (business_id, manager_user_id)
    WHERE manager_user_id IS NOT NULL;

ALTER TABLE rest.location ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.location
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.location TO app_user;
GRANT SELECT ON rest.location TO app_readonly;

CREATE TRIGGER location_touch
    BEFORE UPDATE ON rest.location
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.location_hours (
    business_id        uuid        NOT NULL,
    location_hours_id  uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    location_id        uuid        NOT NULL,
    service_mode       text        NOT NULL,
    rule_kind          text        NOT NULL,
    weekday            smallint,
    on_date            date,
    opens_time         time,
    closes_time        time,
    crosses_midnight   boolean     NOT NULL DEFAULT false,
    last_order_minutes integer     NOT NULL DEFAULT 30,
    note               text,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, location_hours_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    CONSTRAINT location_hours_service_mode_known
        CHECK (service_mode IN ('dine_in', 'takeout', 'delivery', 'curbside', 'bar')),
    CONSTRAINT location_hours_rule_kind_known
        CHECK (rule_kind IN ('weekly', 'holiday', 'closure')),
    CONSTRAINT location_hours_weekday_or_date CHECK (num_nonnulls(weekday, on_date) = 1),
    CONSTRAINT location_hours_weekly_has_weekday
        CHECK ((rule_kind = 'weekly') = (weekday IS NOT NULL)),
    CONSTRAINT location_hours_weekday_iso CHECK (weekday BETWEEN 1 AND 7),
    CONSTRAINT location_hours_times_are_whole
        CHECK ((opens_time IS NULL) = (closes_time IS NULL)),
    CONSTRAINT location_hours_closed_without_times
        CHECK (rule_kind = 'closure' OR opens_time IS NOT NULL),
    CONSTRAINT location_hours_close_after_opening
        CHECK (crosses_midnight OR closes_time > opens_time),
    CONSTRAINT location_hours_last_order_bounded CHECK (last_order_minutes BETWEEN 0 AND 180)
);

COMMENT ON TABLE rest.location_hours IS
    'Weekly opening hours and dated exceptions per service mode.';
COMMENT ON COLUMN rest.location_hours.weekday IS 'ISO: 1 is Monday; NULL on a dated row.';
COMMENT ON COLUMN rest.location_hours.crosses_midnight IS
    'Closes on the next date: 18:00 to 02:00.';
COMMENT ON COLUMN rest.location_hours.last_order_minutes IS
    'Minutes before closing at which the kitchen takes its last order.';

-- FK, and one row a weekday or date in each mode of service.
CREATE UNIQUE INDEX location_hours_day_idx
    ON rest.location_hours (business_id, location_id, service_mode, weekday, on_date)
    NULLS NOT DISTINCT;

ALTER TABLE rest.location_hours ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.location_hours
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.location_hours TO app_user;
GRANT SELECT ON rest.location_hours TO app_readonly;

CREATE TRIGGER location_hours_touch
    BEFORE UPDATE ON rest.location_hours
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.service_period (
    business_id         uuid        NOT NULL,
    service_period_id   uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    location_id         uuid        NOT NULL,
    period_code         text        NOT NULL,
    display_name        text        NOT NULL,
    weekday_mask        smallint    NOT NULL DEFAULT 127,
    starts_time         time        NOT NULL,
    ends_time           time        NOT NULL,
    target_turn_minutes integer     NOT NULL DEFAULT 90,
    covers_target       integer     NOT NULL DEFAULT 0,
    sort_order          integer     NOT NULL,
    is_active           boolean     NOT NULL DEFAULT true,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, service_period_id),
    UNIQUE (business_id, location_id, period_code),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    CONSTRAINT service_period_code_known
        CHECK (period_code IN ('breakfast', 'brunch', 'lunch', 'afternoon', 'happy_hour',
                               'dinner', 'late_night')),
    CONSTRAINT service_period_weekdays_in_mask CHECK (weekday_mask BETWEEN 1 AND 127),
    CONSTRAINT service_period_turn_bounded CHECK (target_turn_minutes BETWEEN 10 AND 360),
    CONSTRAINT service_period_covers_not_negative CHECK (covers_target >= 0),
    CONSTRAINT service_period_takes_time CHECK (ends_time <> starts_time)
);

COMMENT ON TABLE rest.service_period IS
    'Dayparts (breakfast, lunch, happy hour, dinner, late) that drive menus, prices, booking pace
     and forecasts.';
COMMENT ON COLUMN rest.service_period.weekday_mask IS
    'Bit 0 is Monday: 127 is every day, 96 the weekend.';
COMMENT ON COLUMN rest.service_period.ends_time IS 'Before starts_time when it runs past midnight.';
COMMENT ON COLUMN rest.service_period.target_turn_minutes IS
    'How long a party is expected to keep its table.';

ALTER TABLE rest.service_period ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.service_period
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.service_period TO app_user;
GRANT SELECT ON rest.service_period TO app_readonly;

CREATE TRIGGER service_period_touch
    BEFORE UPDATE ON rest.service_period
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.pos_device (
    business_id          uuid             NOT NULL,
    pos_device_id        uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    location_id          uuid             NOT NULL,
    device_code          system_core.code NOT NULL,
    device_kind          text             NOT NULL,
    display_name         text             NOT NULL,
    serial_number        text             NOT NULL,
    app_version          text             NOT NULL,
    ip_address           inet,
    paired_at            timestamptz      NOT NULL DEFAULT now(),
    last_seen_at         timestamptz,
    offline_mode_allowed boolean          NOT NULL DEFAULT false,
    pending_sync_count   integer          NOT NULL DEFAULT 0,
    status               text             NOT NULL DEFAULT 'active',
    created_at           timestamptz      NOT NULL DEFAULT now(),
    updated_at           timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, pos_device_id),
    UNIQUE (business_id, device_code),
    UNIQUE (business_id, serial_number),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    CONSTRAINT pos_device_kind_known
        CHECK (device_kind IN ('terminal', 'handheld', 'kiosk', 'kds_screen', 'receipt_printer',
                               'kitchen_printer', 'cash_drawer', 'card_reader')),
    CONSTRAINT pos_device_status_known CHECK (status IN ('active', 'offline', 'retired')),
    CONSTRAINT pos_device_backlog_not_negative CHECK (pending_sync_count >= 0)
);

COMMENT ON TABLE rest.pos_device IS
    'Terminal, handheld, kiosk, kitchen screen, printer or cash drawer registered at a site.';
COMMENT ON COLUMN rest.pos_device.pending_sync_count IS
    'Records it took while offline and has not handed over yet.';

-- FK: the devices of a site by kind.
CREATE INDEX pos_device_location_idx ON rest.pos_device (business_id, location_id, device_kind);

ALTER TABLE rest.pos_device ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.pos_device
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.pos_device TO app_user;
GRANT SELECT ON rest.pos_device TO app_readonly;

CREATE TRIGGER pos_device_touch
    BEFORE UPDATE ON rest.pos_device
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.floor_plan (
    business_id        uuid        NOT NULL,
    floor_plan_id      uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    background_file_id uuid,
    location_id        uuid        NOT NULL,
    plan_name          text        NOT NULL,
    layout_kind        text        NOT NULL DEFAULT 'standard',
    effective_from     date        NOT NULL,
    effective_to       date,
    canvas_width       integer     NOT NULL DEFAULT 1000,
    canvas_height      integer     NOT NULL DEFAULT 600,
    is_default         boolean     NOT NULL DEFAULT false,
    published_at       timestamptz,
    note               text,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, floor_plan_id),
    UNIQUE (business_id, location_id, plan_name),
    FOREIGN KEY (business_id, background_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    CONSTRAINT floor_plan_layout_kind_known
        CHECK (layout_kind IN ('standard', 'seasonal', 'event')),
    CONSTRAINT floor_plan_ends_after_start CHECK (effective_to > effective_from),
    CONSTRAINT floor_plan_canvas_has_area CHECK (canvas_width > 0 AND canvas_height > 0)
);

COMMENT ON TABLE rest.floor_plan IS
    'A dated layout of the dining room (standard, patio season, private hire).';

-- One default plan per location.
CREATE UNIQUE INDEX floor_plan_default_idx
    ON rest.floor_plan (business_id, location_id)
    WHERE is_default;

-- FK: the plan drawn over a picture.
CREATE INDEX floor_plan_background_file_idx
    ON rest.floor_plan (business_id, background_file_id)
    WHERE background_file_id IS NOT NULL;

ALTER TABLE rest.floor_plan ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.floor_plan
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.floor_plan TO app_user;
GRANT SELECT ON rest.floor_plan TO app_readonly;

CREATE TRIGGER floor_plan_touch
    BEFORE UPDATE ON rest.floor_plan
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.dining_area (
    business_id         uuid             NOT NULL,
    dining_area_id      uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    floor_plan_id       uuid             NOT NULL,
    area_code           system_core.code NOT NULL,
    display_name        text             NOT NULL,
    area_kind           text             NOT NULL,
    revenue_centre_code system_core.code,
    is_outdoor          boolean          NOT NULL DEFAULT false,
    is_accessible       boolean          NOT NULL DEFAULT false,
    is_bookable         boolean          NOT NULL DEFAULT true,
    sort_order          integer          NOT NULL,
    created_at          timestamptz      NOT NULL DEFAULT now(),
    updated_at          timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, dining_area_id),
    UNIQUE (business_id, floor_plan_id, area_code),
    FOREIGN KEY (business_id, floor_plan_id)
        REFERENCES rest.floor_plan (business_id, floor_plan_id),
    CONSTRAINT dining_area_kind_known
        CHECK (area_kind IN ('dining_room', 'bar', 'patio', 'counter', 'private_room',
                             'drive_thru'))
);

COMMENT ON TABLE rest.dining_area IS
    'Room, bar, patio or counter of a floor plan; also the revenue centre of its sales.';

ALTER TABLE rest.dining_area ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.dining_area
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.dining_area TO app_user;
GRANT SELECT ON rest.dining_area TO app_readonly;

CREATE TRIGGER dining_area_touch
    BEFORE UPDATE ON rest.dining_area
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.dining_table (
    business_id      uuid          NOT NULL,
    dining_table_id  uuid          NOT NULL DEFAULT system_core.uuid_v7(),
    dining_area_id   uuid          NOT NULL,
    table_number     text          NOT NULL,
    min_covers       integer       NOT NULL DEFAULT 1,
    max_covers       integer       NOT NULL,
    shape            text          NOT NULL,
    pos_x            numeric(9, 2) NOT NULL DEFAULT 0,
    pos_y            numeric(9, 2) NOT NULL DEFAULT 0,
    rotation_deg     integer       NOT NULL DEFAULT 0,
    join_group       text,
    is_accessible    boolean       NOT NULL DEFAULT false,
    is_bookable      boolean       NOT NULL DEFAULT true,
    state            text          NOT NULL DEFAULT 'available',
    state_changed_at timestamptz   NOT NULL DEFAULT now(),
    created_at       timestamptz   NOT NULL DEFAULT now(),
    updated_at       timestamptz   NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, dining_table_id),
    UNIQUE (business_id, dining_area_id, table_number),
    FOREIGN KEY (business_id, dining_area_id)
        REFERENCES rest.dining_area (business_id, dining_area_id),
    CONSTRAINT dining_table_shape_known
        CHECK (shape IN ('round', 'square', 'rectangle', 'booth', 'bar_seat', 'banquette')),
    CONSTRAINT dining_table_state_known
        CHECK (state IN ('available', 'reserved', 'occupied', 'dirty', 'blocked')),
    CONSTRAINT dining_table_seats_somebody CHECK (min_covers >= 1),
    CONSTRAINT dining_table_covers_in_order CHECK (max_covers BETWEEN min_covers AND 60),
    CONSTRAINT dining_table_rotation_bounded CHECK (rotation_deg BETWEEN 0 AND 359)
);

COMMENT ON TABLE rest.dining_table IS
    'A table or bar seat with capacity, live state and position on the plan.';
COMMENT ON COLUMN rest.dining_table.join_group IS
    'Tables with the same word stand side by side and may seat one party together.';

-- Seating a large party: the tables that may be joined.
CREATE INDEX dining_table_join_group_idx
    ON rest.dining_table (business_id, dining_area_id, join_group)
    WHERE join_group IS NOT NULL;

ALTER TABLE rest.dining_table ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.dining_table
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.dining_table TO app_user;
GRANT SELECT ON rest.dining_table TO app_readonly;

CREATE TRIGGER dining_table_touch
    BEFORE UPDATE ON rest.dining_table
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER dining_table_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.dining_table
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["available", "reserved", "occupied", "dirty", "blocked"],
        "transitions": {
            "available": ["reserved", "occupied", "blocked"],
            "reserved":  ["available", "occupied", "blocked"],
            "occupied":  ["dirty", "available"],
            "dirty":     ["available", "blocked"],
            "blocked":   ["available"]
        }}');

CREATE FUNCTION rest.stamp_table_state() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        NEW.state_changed_at := now();
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.stamp_table_state() IS
    'The host stand shows for how long a table has been dirty or occupied; imported history brings
     its times.';

CREATE TRIGGER dining_table_state_stamp
    BEFORE UPDATE OF state ON rest.dining_table
    FOR EACH ROW WHEN (NEW.state <> OLD.state)
    EXECUTE FUNCTION rest.stamp_table_state();


CREATE FUNCTION rest.business_date(location uuid, moment timestamptz) RETURNS date
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT (moment AT TIME ZONE l.timezone - make_interval(hours => l.closeout_hour))::date
    FROM rest.location AS l
    WHERE l.business_id = tenant_mgmt.current_business_id() AND l.location_id = location;
END;
COMMENT ON FUNCTION rest.business_date(uuid, timestamptz) IS
    'The business day that a moment belongs to at a location: what happens after midnight and
     before closeout_hour belongs to the evening before.';
