/*
 * Locations and the tax map: where a retailer keeps and sells stock, and what is owed to whom.
 *
 * A location is a store, a warehouse, a dark store or somebody else's warehouse; location_hours
 * tell when it trades, hands over and receives, a dated row overriding the weekday. Within it lie
 * bin_locations in the order in which a picker walks them, and stand the registers, each with its
 * own running receipt number. A sales_channel is how an order comes in; fulfilment_capability says
 * what a location does for the orders of a channel, and how many of them a day.
 *
 * A tax_class is how goods are treated, a tax_jurisdiction who taxes (each within the one above),
 * a tax_rate what a class owes there on a date. ret.tax_rates_at() finds the rates of an address:
 * only where the business has to register (nexus), and those of a tax holiday in place of others.
 */

CREATE SCHEMA ret;
GRANT USAGE ON SCHEMA ret TO app_user, app_readonly;
COMMENT ON SCHEMA ret IS
    'A retailer with stores and a web shop: catalogue, prices, stock, tills, orders, returns.';


CREATE FUNCTION ret.gs1_check_digit(digits text) RETURNS integer
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN (
        SELECT (10 - sum(substr(reverse(digits), place, 1)::integer
                         * CASE WHEN place % 2 = 1 THEN 3 ELSE 1 END) % 10) % 10
        FROM generate_series(1, length(digits)) AS place
    );
COMMENT ON FUNCTION ret.gs1_check_digit(text) IS
    'The digit that GS1 puts after these digits: weights 3 and 1 in turn from the right, up to
     the next ten.';


CREATE FUNCTION ret.is_gs1_number(digits text) RETURNS boolean
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN CASE WHEN digits ~ '^[0-9]{8,18}$'
                THEN right(digits, 1)::integer = ret.gs1_check_digit(left(digits, -1))
                ELSE false END;
COMMENT ON FUNCTION ret.is_gs1_number(text) IS
    'Whether a GTIN, GLN or SSCC ends with the check digit of its other digits; how long each
     is, says the table that holds it.';


CREATE TABLE ret.location (
    business_id     uuid                    NOT NULL,
    location_id     uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    manager_user_id uuid,
    location_code   system_core.code        NOT NULL,
    display_name    text                    NOT NULL,
    location_kind   text                    NOT NULL,
    gln             text,
    timezone        system_core.time_zone   NOT NULL,
    currency        system_core.currency    NOT NULL,
    address_line    text,
    city            text,
    region_code     system_core.region,
    postal_code     system_core.postal_code,
    country_code    system_core.country     NOT NULL,
    latitude        system_core.latitude,
    longitude       system_core.longitude,
    floor_area_sqm  numeric(9, 2),
    opened_on       date                    NOT NULL,
    status          text                    NOT NULL DEFAULT 'planned',
    created_at      timestamptz             NOT NULL DEFAULT now(),
    updated_at      timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, location_id),
    UNIQUE (business_id, location_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, manager_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT location_kind_known
        CHECK (location_kind IN ('store', 'warehouse', 'dark_store', 'pop_up', 'third_party',
                                 'virtual')),
    CONSTRAINT location_status_known CHECK (status IN ('planned', 'open', 'closed', 'suspended')),
    CONSTRAINT location_gln_valid CHECK (length(gln) = 13 AND ret.is_gs1_number(gln)),
    CONSTRAINT location_store_has_floor
        CHECK (location_kind <> 'store' OR coalesce(floor_area_sqm, 0) > 0),
    CONSTRAINT location_floor_positive CHECK (floor_area_sqm > 0),
    CONSTRAINT location_has_address
        CHECK (location_kind = 'virtual' OR num_nonnulls(address_line, city, postal_code) = 3),
    CONSTRAINT location_place_is_whole CHECK ((latitude IS NULL) = (longitude IS NULL))
);

COMMENT ON TABLE ret.location IS
    'A store, warehouse, dark store or third-party logistics site that holds or sells stock.';
COMMENT ON COLUMN ret.location.gln IS
    'Global Location Number by which suppliers address deliveries and notices.';
COMMENT ON COLUMN ret.location.opened_on IS 'Of a planned one, when it shall open.';

-- FK: what an account manages.
CREATE INDEX location_manager_user_idx
    ON ret.location (business_id, manager_user_id)
    WHERE manager_user_id IS NOT NULL;

ALTER TABLE ret.location ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.location
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.location TO app_user;
GRANT SELECT ON ret.location TO app_readonly;

CREATE TRIGGER location_touch
    BEFORE UPDATE ON ret.location
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

-- A site that the business had before it came here may start as open.
CREATE TRIGGER location_state_machine
    BEFORE INSERT OR UPDATE OF status ON ret.location
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["planned", "open"],
        "transitions": {
            "planned":   ["open", "closed"],
            "open":      ["suspended", "closed"],
            "suspended": ["open", "closed"],
            "closed":    []
        }}');


CREATE TABLE ret.location_hours (
    business_id       uuid        NOT NULL,
    location_hours_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    location_id       uuid        NOT NULL,
    hours_kind        text        NOT NULL,
    rule_kind         text        NOT NULL,
    weekday           smallint,
    on_date           date,
    opens_time        time,
    closes_time       time,
    cut_off_time      time,
    note              text,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, location_hours_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    CONSTRAINT location_hours_kind_known CHECK (hours_kind IN ('trading', 'pickup', 'receiving')),
    CONSTRAINT location_hours_rule_kind_known
        CHECK (rule_kind IN ('weekly', 'holiday', 'closure')),
    CONSTRAINT location_hours_weekday_or_date CHECK (num_nonnulls(weekday, on_date) = 1),
    CONSTRAINT location_hours_weekly_has_weekday
        CHECK ((rule_kind = 'weekly') = (weekday IS NOT NULL)),
    CONSTRAINT location_hours_weekday_iso CHECK (weekday BETWEEN 1 AND 7),
    CONSTRAINT location_hours_open_has_times
        CHECK (CASE WHEN rule_kind = 'closure' THEN num_nonnulls(opens_time, closes_time) = 0
                    ELSE num_nonnulls(opens_time, closes_time) = 2 END),
    CONSTRAINT location_hours_close_after_opening CHECK (closes_time > opens_time),
    CONSTRAINT location_hours_cut_off_while_open
        CHECK (cut_off_time IS NULL
               OR coalesce(cut_off_time BETWEEN opens_time AND closes_time, false))
);

COMMENT ON TABLE ret.location_hours IS
    'Weekly hours and dated exceptions for trading, pickup and receiving.';
COMMENT ON COLUMN ret.location_hours.weekday IS 'ISO: 1 is Monday; NULL on a dated row.';
COMMENT ON COLUMN ret.location_hours.cut_off_time IS
    'What is ordered or announced later is for the next day.';

-- FK, and one row a weekday or date for each kind of hours.
CREATE UNIQUE INDEX location_hours_day_idx
    ON ret.location_hours (business_id, location_id, hours_kind, weekday, on_date)
    NULLS NOT DISTINCT;

ALTER TABLE ret.location_hours ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.location_hours
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.location_hours TO app_user;
GRANT SELECT ON ret.location_hours TO app_readonly;

CREATE TRIGGER location_hours_touch
    BEFORE UPDATE ON ret.location_hours
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.bin_location (
    business_id     uuid                 NOT NULL,
    bin_location_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    parent_bin_id   uuid,
    location_id     uuid                 NOT NULL,
    bin_code        system_core.code     NOT NULL,
    zone            text                 NOT NULL,
    aisle           text,
    bay             text,
    level_no        smallint             NOT NULL DEFAULT 0,
    walk_sequence   integer,
    is_pickable     boolean              NOT NULL DEFAULT false,
    capacity_units  system_core.quantity,
    status          text                 NOT NULL DEFAULT 'active',
    created_at      timestamptz          NOT NULL DEFAULT now(),
    updated_at      timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, bin_location_id),
    UNIQUE (business_id, location_id, bin_code),
    FOREIGN KEY (business_id, parent_bin_id)
        REFERENCES ret.bin_location (business_id, bin_location_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    CONSTRAINT bin_location_zone_known
        CHECK (zone IN ('sales_floor', 'backroom', 'receiving', 'returns', 'damaged',
                        'overstock', 'pickup_shelf')),
    CONSTRAINT bin_location_status_known CHECK (status IN ('active', 'blocked', 'retired')),
    CONSTRAINT bin_location_capacity_positive CHECK (capacity_units > 0),
    CONSTRAINT bin_location_level_not_negative CHECK (level_no >= 0),
    CONSTRAINT bin_location_walk_not_negative CHECK (walk_sequence >= 0),
    CONSTRAINT bin_location_unsellable_is_not_picked
        CHECK (NOT is_pickable OR zone NOT IN ('receiving', 'returns', 'damaged'))
);

COMMENT ON TABLE ret.bin_location IS
    'A shelf, rack, backroom or returns bin in a location, in walk order.';
COMMENT ON COLUMN ret.bin_location.parent_bin_id IS
    'The rack or room that it is part of, of the same location.';
COMMENT ON COLUMN ret.bin_location.level_no IS 'Shelf board counted from the floor, which is 0.';
COMMENT ON COLUMN ret.bin_location.walk_sequence IS
    'Its place on the shortest way through the location; a pick list is sorted by it.';

-- FK: the bins of a rack or room.
CREATE INDEX bin_location_parent_bin_idx
    ON ret.bin_location (business_id, parent_bin_id)
    WHERE parent_bin_id IS NOT NULL;

-- Serves ret.store_pick_queue: the bins of a location as a picker passes them.
CREATE INDEX bin_location_walk_idx
    ON ret.bin_location (business_id, location_id, walk_sequence)
    WHERE is_pickable;

ALTER TABLE ret.bin_location ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.bin_location
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.bin_location TO app_user;
GRANT SELECT ON ret.bin_location TO app_readonly;

CREATE TRIGGER bin_location_touch
    BEFORE UPDATE ON ret.bin_location
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER bin_location_state_machine
    BEFORE INSERT OR UPDATE OF status ON ret.bin_location
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["active", "blocked"],
        "transitions": {
            "active":  ["blocked", "retired"],
            "blocked": ["active", "retired"],
            "retired": []
        }}');

CREATE FUNCTION ret.place_bin() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    above record;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        -- Two moves at once in one location could close a circle that neither of them sees.
        PERFORM FROM ret.location AS l
        WHERE l.business_id = NEW.business_id AND l.location_id = NEW.location_id
        FOR NO KEY UPDATE;
    END IF;
    WITH RECURSIVE line AS (
        SELECT b.bin_location_id, b.parent_bin_id, b.location_id
        FROM ret.bin_location AS b
        WHERE b.business_id = NEW.business_id AND b.bin_location_id = NEW.parent_bin_id
        UNION
        SELECT b.bin_location_id, b.parent_bin_id, b.location_id
        FROM line AS l
        JOIN ret.bin_location AS b
            ON b.business_id = NEW.business_id AND b.bin_location_id = l.parent_bin_id
    )
    SELECT coalesce(bool_or(l.bin_location_id = NEW.bin_location_id), false)
               OR NEW.parent_bin_id = NEW.bin_location_id AS is_cycle,
           bool_or(l.location_id <> NEW.location_id) AS is_elsewhere
    INTO above
    FROM line AS l;
    IF above.is_cycle THEN
        RAISE EXCEPTION 'bin % would be within itself', NEW.bin_code
            USING ERRCODE = 'check_violation', HINT = 'Place it in a bin that is not within it.';
    ELSIF above.is_elsewhere OR TG_OP = 'UPDATE' AND NEW.location_id <> OLD.location_id
          AND EXISTS (SELECT FROM ret.bin_location AS b
                      WHERE b.business_id = NEW.business_id
                        AND b.parent_bin_id = NEW.bin_location_id) THEN
        RAISE EXCEPTION 'bin % and the bin around it are in different locations', NEW.bin_code
            USING ERRCODE = 'check_violation', HINT = 'A rack does not leave its shelves behind.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.place_bin() IS
    'A bin is within bins of its own location, and never within itself.';

CREATE TRIGGER bin_location_place
    BEFORE INSERT ON ret.bin_location
    FOR EACH ROW WHEN (NEW.parent_bin_id IS NOT NULL) EXECUTE FUNCTION ret.place_bin();

CREATE TRIGGER bin_location_replace
    BEFORE UPDATE OF parent_bin_id, location_id ON ret.bin_location
    FOR EACH ROW EXECUTE FUNCTION ret.place_bin();


CREATE TABLE ret.sales_channel (
    business_id      uuid                   NOT NULL,
    sales_channel_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    channel_code     system_core.code       NOT NULL,
    display_name     text                   NOT NULL,
    channel_kind     text                   NOT NULL,
    provider         text                   NOT NULL DEFAULT 'own',
    currency         system_core.currency   NOT NULL,
    default_language system_core.locale     NOT NULL DEFAULT 'en-US',
    order_prefix     text                   NOT NULL,
    fee_pct          system_core.percentage NOT NULL DEFAULT 0,
    remits_tax       boolean                NOT NULL DEFAULT false,
    is_active        boolean                NOT NULL DEFAULT true,
    created_at       timestamptz            NOT NULL DEFAULT now(),
    updated_at       timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, sales_channel_id),
    UNIQUE (business_id, channel_code),
    UNIQUE (business_id, order_prefix),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT sales_channel_kind_known
        CHECK (channel_kind IN ('store', 'web', 'mobile_app', 'marketplace', 'social', 'phone',
                                'wholesale')),
    CONSTRAINT sales_channel_provider_known
        CHECK (provider IN ('own', 'amazon', 'ebay', 'etsy', 'instagram', 'tiktok', 'shopify',
                            'other')),
    CONSTRAINT sales_channel_fee_bounded CHECK (fee_pct BETWEEN 0 AND 100),
    CONSTRAINT sales_channel_prefix_shape CHECK (order_prefix ~ '^[A-Z][A-Z0-9]{0,5}$'),
    CONSTRAINT sales_channel_store_is_own CHECK (channel_kind <> 'store' OR provider = 'own'),
    CONSTRAINT sales_channel_marketplace_is_not_own
        CHECK (channel_kind <> 'marketplace' OR provider <> 'own'),
    CONSTRAINT sales_channel_own_tax_is_ours CHECK (NOT remits_tax OR provider <> 'own')
);

COMMENT ON TABLE ret.sales_channel IS
    'Store, web shop, app, marketplace, social or wholesale channel.';
COMMENT ON COLUMN ret.sales_channel.order_prefix IS 'What the numbers of its orders begin with.';
COMMENT ON COLUMN ret.sales_channel.fee_pct IS 'What the provider keeps of a sale.';
COMMENT ON COLUMN ret.sales_channel.remits_tax IS
    'The provider collects sales tax and pays it to the state, as marketplaces have to.';

ALTER TABLE ret.sales_channel ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.sales_channel
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.sales_channel TO app_user;
GRANT SELECT ON ret.sales_channel TO app_readonly;

CREATE TRIGGER sales_channel_touch
    BEFORE UPDATE ON ret.sales_channel
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.register (
    business_id          uuid              NOT NULL,
    register_id          uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    location_id          uuid              NOT NULL,
    register_code        system_core.code  NOT NULL,
    register_kind        text              NOT NULL,
    display_name         text              NOT NULL,
    device_serial        text,
    app_version          text,
    last_seen_at         timestamptz,
    offline_limit_amount system_core.money NOT NULL DEFAULT 0,
    receipt_sequence     bigint            NOT NULL DEFAULT 0,
    cash_enabled         boolean           NOT NULL DEFAULT false,
    status               text              NOT NULL DEFAULT 'active',
    created_at           timestamptz       NOT NULL DEFAULT now(),
    updated_at           timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, register_id),
    UNIQUE (business_id, location_id, register_code),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    CONSTRAINT register_kind_known
        CHECK (register_kind IN ('fixed', 'mobile', 'self_checkout', 'kiosk')),
    CONSTRAINT register_status_known CHECK (status IN ('active', 'offline', 'retired')),
    CONSTRAINT register_receipt_sequence_not_negative CHECK (receipt_sequence >= 0),
    CONSTRAINT register_offline_limit_not_negative CHECK (offline_limit_amount >= 0)
);

COMMENT ON TABLE ret.register IS 'A checkout lane, mobile POS or self-checkout of a store.';
COMMENT ON COLUMN ret.register.offline_limit_amount IS
    'The largest card sale that it may take while it cannot ask the processor; 0 is none.';
COMMENT ON COLUMN ret.register.receipt_sequence IS
    'The number of its last receipt; auditors want no gap in it and no number twice.';

-- A device is one register at a time.
CREATE UNIQUE INDEX register_device_idx
    ON ret.register (business_id, device_serial)
    WHERE device_serial IS NOT NULL AND status <> 'retired';

ALTER TABLE ret.register ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.register
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.register TO app_user;
GRANT SELECT ON ret.register TO app_readonly;

CREATE TRIGGER register_touch
    BEFORE UPDATE ON ret.register
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER register_state_machine
    BEFORE INSERT OR UPDATE OF status ON ret.register
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["active"],
        "transitions": {
            "active":  ["offline", "retired"],
            "offline": ["active", "retired"],
            "retired": []
        }}');

CREATE FUNCTION ret.keep_receipt_sequence() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.receipt_sequence < OLD.receipt_sequence
       OR NEW.receipt_sequence > OLD.receipt_sequence AND NEW.status = 'retired' THEN
        RAISE EXCEPTION 'register %: receipt % cannot follow %', NEW.register_code,
                        NEW.receipt_sequence, OLD.receipt_sequence
            USING ERRCODE = 'check_violation',
                  HINT = 'Numbers only rise, and a retired register prints none.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.keep_receipt_sequence() IS
    'The receipt number of a register never falls, and stands once the register is retired.';

CREATE TRIGGER register_receipts
    BEFORE UPDATE OF receipt_sequence ON ret.register
    FOR EACH ROW EXECUTE FUNCTION ret.keep_receipt_sequence();


CREATE TABLE ret.fulfilment_capability (
    business_id              uuid                 NOT NULL,
    fulfilment_capability_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    location_id              uuid                 NOT NULL,
    sales_channel_id         uuid                 NOT NULL,
    capability               text                 NOT NULL,
    is_enabled               boolean              NOT NULL DEFAULT true,
    daily_capacity           integer,
    booked_today             integer              NOT NULL DEFAULT 0,
    lead_minutes             integer              NOT NULL DEFAULT 0,
    cut_off_time             time,
    priority_no              integer              NOT NULL DEFAULT 100,
    safety_buffer_qty        system_core.quantity NOT NULL DEFAULT 0,
    radius_km                numeric(9, 2),
    created_at               timestamptz          NOT NULL DEFAULT now(),
    updated_at               timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, fulfilment_capability_id),
    UNIQUE (business_id, location_id, sales_channel_id, capability),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, sales_channel_id)
        REFERENCES ret.sales_channel (business_id, sales_channel_id),
    CONSTRAINT fulfilment_capability_capability_known
        CHECK (capability IN ('ship_from', 'pickup', 'curbside', 'local_delivery',
                              'endless_aisle')),
    CONSTRAINT fulfilment_capability_within_capacity CHECK (booked_today <= daily_capacity),
    CONSTRAINT fulfilment_capability_booked_not_negative CHECK (booked_today >= 0),
    CONSTRAINT fulfilment_capability_lead_not_negative CHECK (lead_minutes >= 0),
    CONSTRAINT fulfilment_capability_buffer_not_negative CHECK (safety_buffer_qty >= 0),
    CONSTRAINT fulfilment_capability_radius_of_delivery
        CHECK (radius_km IS NULL OR radius_km > 0 AND capability = 'local_delivery')
);

COMMENT ON TABLE ret.fulfilment_capability IS
    'What a location can do for online orders: ship, pick up, curbside, local delivery, with
     capacity.';
COMMENT ON COLUMN ret.fulfilment_capability.daily_capacity IS 'Orders; NULL is without limit.';
COMMENT ON COLUMN ret.fulfilment_capability.booked_today IS
    'Orders of this day; set to 0 by ret.start_fulfilment_day().';
COMMENT ON COLUMN ret.fulfilment_capability.lead_minutes IS
    'From the order until it can be handed over.';
COMMENT ON COLUMN ret.fulfilment_capability.priority_no IS
    'The lowest number is asked first where several locations could serve.';
COMMENT ON COLUMN ret.fulfilment_capability.safety_buffer_qty IS
    'Units of a variant that this channel leaves for the customers in the store.';

-- FK, and who serves a channel: the locations in the order in which they are asked.
CREATE INDEX fulfilment_capability_sales_channel_idx
    ON ret.fulfilment_capability (business_id, sales_channel_id, capability, priority_no);

ALTER TABLE ret.fulfilment_capability ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.fulfilment_capability
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.fulfilment_capability TO app_user;
GRANT SELECT ON ret.fulfilment_capability TO app_readonly;

CREATE TRIGGER fulfilment_capability_touch
    BEFORE UPDATE ON ret.fulfilment_capability
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION ret.start_fulfilment_day(location uuid) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    changed integer;
BEGIN
    UPDATE ret.fulfilment_capability AS c
    SET booked_today = 0
    WHERE c.business_id = tenant_mgmt.current_business_id()
      AND c.location_id = start_fulfilment_day.location
      AND c.booked_today <> 0;
    GET DIAGNOSTICS changed = ROW_COUNT;
    RETURN changed;
END
$$;
COMMENT ON FUNCTION ret.start_fulfilment_day(uuid) IS
    'Frees the capacity of a location for a new day; a scheduler calls it at its midnight.';


CREATE TABLE ret.tax_class (
    business_id       uuid             NOT NULL,
    tax_class_id      uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    tax_class_code    system_core.code NOT NULL,
    display_name      text             NOT NULL,
    external_tax_code system_core.code,
    is_shipping       boolean          NOT NULL DEFAULT false,
    is_exempt         boolean          NOT NULL DEFAULT false,
    is_default        boolean          NOT NULL DEFAULT false,
    description       text,
    created_at        timestamptz      NOT NULL DEFAULT now(),
    updated_at        timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tax_class_id),
    UNIQUE (business_id, tax_class_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT tax_class_default_is_goods CHECK (NOT is_default OR NOT (is_exempt OR is_shipping))
);

COMMENT ON TABLE ret.tax_class IS
    'Tax treatment of goods (standard, reduced, food, clothing, exempt, gift card).';
COMMENT ON COLUMN ret.tax_class.external_tax_code IS
    'What the tax engine or the marketplace calls it.';
COMMENT ON COLUMN ret.tax_class.is_shipping IS 'Of freight and delivery charges, not of goods.';
COMMENT ON COLUMN ret.tax_class.is_exempt IS 'Never taxed, whatever the rates say.';

-- What a new product gets: one default class per business.
CREATE UNIQUE INDEX tax_class_default_idx
    ON ret.tax_class (business_id)
    WHERE is_default;

ALTER TABLE ret.tax_class ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.tax_class
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.tax_class TO app_user;
GRANT SELECT ON ret.tax_class TO app_readonly;

CREATE TRIGGER tax_class_touch
    BEFORE UPDATE ON ret.tax_class
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.tax_jurisdiction (
    business_id            uuid                NOT NULL,
    tax_jurisdiction_id    uuid                NOT NULL DEFAULT system_core.uuid_v7(),
    parent_jurisdiction_id uuid,
    jurisdiction_code      system_core.code    NOT NULL,
    display_name           text                NOT NULL,
    level_kind             text                NOT NULL,
    country_code           system_core.country NOT NULL,
    region_code            system_core.region,
    postal_pattern         text,
    sourcing_rule          text                NOT NULL DEFAULT 'destination',
    registration_number    text,
    nexus_since            date,
    created_at             timestamptz         NOT NULL DEFAULT now(),
    updated_at             timestamptz         NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tax_jurisdiction_id),
    UNIQUE (business_id, jurisdiction_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, parent_jurisdiction_id)
        REFERENCES ret.tax_jurisdiction (business_id, tax_jurisdiction_id),
    CONSTRAINT tax_jurisdiction_level_kind_known
        CHECK (level_kind IN ('country', 'state', 'county', 'city', 'district')),
    CONSTRAINT tax_jurisdiction_sourcing_rule_known
        CHECK (sourcing_rule IN ('origin', 'destination')),
    CONSTRAINT tax_jurisdiction_country_is_top
        CHECK (level_kind <> 'country'
               OR num_nonnulls(parent_jurisdiction_id, region_code, postal_pattern) = 0),
    CONSTRAINT tax_jurisdiction_state_has_region
        CHECK (level_kind = 'country' OR region_code IS NOT NULL),
    CONSTRAINT tax_jurisdiction_local_has_pattern
        CHECK (level_kind IN ('country', 'state') OR postal_pattern IS NOT NULL),
    -- A pattern that is no regular expression fails here and not when a customer checks out.
    CONSTRAINT tax_jurisdiction_pattern_compiles
        CHECK (CASE WHEN '' ~ postal_pattern THEN true ELSE true END)
);

COMMENT ON TABLE ret.tax_jurisdiction IS 'Country, state, county, city or district that taxes.';
COMMENT ON COLUMN ret.tax_jurisdiction.postal_pattern IS
    'Regular expression of the postal codes in it: ^606 for what begins so.';
COMMENT ON COLUMN ret.tax_jurisdiction.sourcing_rule IS
    'Whether a delivery is taxed where it comes from or where it goes to.';
COMMENT ON COLUMN ret.tax_jurisdiction.nexus_since IS
    'From when on the business has to collect its tax; NULL where it does not.';

-- FK: the jurisdictions within one.
CREATE INDEX tax_jurisdiction_parent_jurisdiction_idx
    ON ret.tax_jurisdiction (business_id, parent_jurisdiction_id)
    WHERE parent_jurisdiction_id IS NOT NULL;

-- Serves ret.tax_rates_at: who taxes at an address.
CREATE INDEX tax_jurisdiction_place_idx
    ON ret.tax_jurisdiction (business_id, country_code, region_code)
    WHERE nexus_since IS NOT NULL;

ALTER TABLE ret.tax_jurisdiction ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.tax_jurisdiction
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.tax_jurisdiction TO app_user;
GRANT SELECT ON ret.tax_jurisdiction TO app_readonly;

CREATE TRIGGER tax_jurisdiction_touch
    BEFORE UPDATE ON ret.tax_jurisdiction
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION ret.nest_tax_jurisdiction() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    levels CONSTANT text[] := '{country,state,county,city,district}';
    above  ret.tax_jurisdiction;
BEGIN
    SELECT j.* INTO above
    FROM ret.tax_jurisdiction AS j
    WHERE j.business_id = NEW.business_id
      AND j.tax_jurisdiction_id = NEW.parent_jurisdiction_id
    FOR SHARE;
    IF array_position(levels, above.level_kind) >= array_position(levels, NEW.level_kind)
       OR above.country_code <> NEW.country_code OR above.region_code <> NEW.region_code THEN
        RAISE EXCEPTION '% % cannot lie within % %', NEW.level_kind, NEW.jurisdiction_code,
                        above.level_kind, above.jurisdiction_code
            USING ERRCODE = 'check_violation',
                  HINT = 'A jurisdiction lies within a larger one of its country and region.';
    ELSIF TG_OP = 'UPDATE' AND EXISTS (
        SELECT FROM ret.tax_jurisdiction AS j
        WHERE j.business_id = NEW.business_id
          AND j.parent_jurisdiction_id = NEW.tax_jurisdiction_id
          AND (array_position(levels, j.level_kind) <= array_position(levels, NEW.level_kind)
               OR j.country_code <> NEW.country_code OR j.region_code <> NEW.region_code)) THEN
        RAISE EXCEPTION '% % has others within it that would not fit', NEW.level_kind,
                        NEW.jurisdiction_code
            USING ERRCODE = 'check_violation', HINT = 'Move those within it first.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.nest_tax_jurisdiction() IS
    'A jurisdiction lies within a larger one of the same country and region; with levels that
     only fall there is no circle.';

CREATE TRIGGER tax_jurisdiction_nest
    BEFORE INSERT OR UPDATE OF parent_jurisdiction_id, level_kind, country_code, region_code
    ON ret.tax_jurisdiction
    FOR EACH ROW EXECUTE FUNCTION ret.nest_tax_jurisdiction();


CREATE TABLE ret.tax_rate (
    business_id         uuid                   NOT NULL,
    tax_rate_id         uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    tax_jurisdiction_id uuid                   NOT NULL,
    tax_class_id        uuid                   NOT NULL,
    tax_name            text                   NOT NULL,
    rate_pct            system_core.percentage NOT NULL,
    rate_kind           text                   NOT NULL DEFAULT 'percent',
    min_amount          system_core.money      NOT NULL DEFAULT 0,
    max_amount          system_core.money,
    is_compound         boolean                NOT NULL DEFAULT false,
    is_inclusive        boolean                NOT NULL DEFAULT false,
    is_holiday          boolean                NOT NULL DEFAULT false,
    effective_from      date                   NOT NULL,
    effective_to        date,
    created_at          timestamptz            NOT NULL DEFAULT now(),
    updated_at          timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tax_rate_id),
    FOREIGN KEY (business_id, tax_jurisdiction_id)
        REFERENCES ret.tax_jurisdiction (business_id, tax_jurisdiction_id),
    FOREIGN KEY (business_id, tax_class_id) REFERENCES ret.tax_class (business_id, tax_class_id),
    CONSTRAINT tax_rate_kind_known CHECK (rate_kind IN ('percent', 'per_unit', 'threshold')),
    CONSTRAINT tax_rate_ends_after_start CHECK (effective_to >= effective_from),
    CONSTRAINT tax_rate_rate_bounded CHECK (rate_pct BETWEEN 0 AND 50),
    CONSTRAINT tax_rate_max_over_min CHECK (max_amount > min_amount),
    CONSTRAINT tax_rate_min_not_negative CHECK (min_amount >= 0),
    CONSTRAINT tax_rate_threshold_has_amount CHECK (rate_kind <> 'threshold' OR min_amount > 0),
    CONSTRAINT tax_rate_holiday_ends CHECK (NOT is_holiday OR effective_to IS NOT NULL),
    CONSTRAINT tax_rate_no_overlap EXCLUDE USING gist (
        business_id WITH =, tax_jurisdiction_id WITH =, tax_class_id WITH =, tax_name WITH =,
        daterange(effective_from, effective_to, '[]') WITH &&)
);

COMMENT ON TABLE ret.tax_rate IS
    'Rate of a tax class in a jurisdiction, dated, with thresholds and tax holidays.';
COMMENT ON COLUMN ret.tax_rate.rate_pct IS
    'Percent of the amount; of a per_unit tax, hundredths of the currency for each unit sold.';
COMMENT ON COLUMN ret.tax_rate.rate_kind IS
    'A percent applies to the whole price of a unit, a threshold to what is over min_amount.';
COMMENT ON COLUMN ret.tax_rate.min_amount IS 'A unit that costs less is not taxed by it.';
COMMENT ON COLUMN ret.tax_rate.max_amount IS
    'A unit that costs this or more is not taxed by it; NULL is without limit.';
COMMENT ON COLUMN ret.tax_rate.is_compound IS 'Taken of the amount with the other taxes on it.';
COMMENT ON COLUMN ret.tax_rate.is_inclusive IS 'The price on the tag contains it.';
COMMENT ON COLUMN ret.tax_rate.is_holiday IS
    'While it is effective, it stands in place of the other rates of its jurisdiction and class.';
COMMENT ON COLUMN ret.tax_rate.effective_to IS 'Its last day; NULL where no end is known.';

-- FK, and what a class owes in a jurisdiction.
CREATE INDEX tax_rate_tax_jurisdiction_idx
    ON ret.tax_rate (business_id, tax_jurisdiction_id, tax_class_id);

-- FK: the rates of a class.
CREATE INDEX tax_rate_tax_class_idx ON ret.tax_rate (business_id, tax_class_id);

ALTER TABLE ret.tax_rate ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.tax_rate
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.tax_rate TO app_user;
GRANT SELECT ON ret.tax_rate TO app_readonly;

CREATE TRIGGER tax_rate_touch
    BEFORE UPDATE ON ret.tax_rate
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE FUNCTION ret.tax_rates_at(
    country   text,
    region    text,
    postal    text,
    tax_class uuid,
    on_day    date,
    sourcing  text DEFAULT NULL
)
    RETURNS TABLE (
        tax_rate_id         uuid,
        tax_jurisdiction_id uuid,
        level_kind          text,
        tax_name            text,
        rate_pct            numeric,
        rate_kind           text,
        min_amount          numeric,
        max_amount          numeric,
        is_compound         boolean,
        is_inclusive        boolean
    )
    LANGUAGE sql STABLE ROWS 4
BEGIN ATOMIC
    SELECT n.tax_rate_id, n.tax_jurisdiction_id, n.level_kind, n.tax_name, n.rate_pct,
           n.rate_kind, n.min_amount, n.max_amount, n.is_compound, n.is_inclusive
    FROM (
        SELECT r.tax_rate_id, r.tax_jurisdiction_id, j.level_kind, r.tax_name, r.rate_pct,
               r.rate_kind, r.min_amount, r.max_amount, r.is_compound, r.is_inclusive,
               r.is_holiday,
               bool_or(r.is_holiday) OVER (PARTITION BY r.tax_jurisdiction_id) AS in_holiday
        FROM ret.tax_jurisdiction AS j
        JOIN ret.tax_rate AS r
            ON r.business_id = j.business_id AND r.tax_jurisdiction_id = j.tax_jurisdiction_id
        JOIN ret.tax_class AS c
            ON c.business_id = r.business_id AND c.tax_class_id = r.tax_class_id
        WHERE j.business_id = tenant_mgmt.current_business_id()
          AND j.country_code = country
          AND (j.region_code IS NULL OR j.region_code = region)
          AND (j.postal_pattern IS NULL OR postal ~ j.postal_pattern)
          AND j.nexus_since <= on_day
          AND (sourcing IS NULL OR j.sourcing_rule = sourcing)
          AND r.tax_class_id = tax_class
          AND NOT c.is_exempt
          AND daterange(r.effective_from, r.effective_to, '[]') @> on_day
    ) AS n
    WHERE n.is_holiday = n.in_holiday
    ORDER BY n.is_compound,
             array_position('{country,state,county,city,district}'::text[], n.level_kind),
             n.tax_name;
END;
COMMENT ON FUNCTION ret.tax_rates_at(text, text, text, uuid, date, text) IS
    'The rates that goods of a class owe at an address on a day, compound ones last: of the
     jurisdictions around it where the business has nexus, those with the sourcing rule if one is
     given. For a delivery, ask with the address of origin for "origin" and with that of the
     customer for "destination".';
