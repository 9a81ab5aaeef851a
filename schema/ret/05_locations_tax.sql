/*
 * TODO: what the area is and how its tables relate.
 */

CREATE SCHEMA ret;
GRANT USAGE ON SCHEMA ret TO app_user, app_readonly;
COMMENT ON SCHEMA ret IS
    'omnichannel retail: catalogue and prices, multi-location inventory, point of sale and paym';


CREATE TABLE ret.location (
    business_id     uuid                    NOT NULL,
    location_id     uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    manager_user_id uuid,
    location_code   system_core.code        NOT NULL,
    display_name    text                    NOT NULL,
    location_kind   text                    NOT NULL,
    gln             text,
    timezone        system_core.time_zone,
    currency        system_core.currency,
    address_line    text,
    city            text,
    region_code     system_core.region,
    postal_code     system_core.postal_code,
    country_code    system_core.country,
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
    CONSTRAINT location_status_known CHECK (status IN ('planned', 'open', 'closed', 'suspended'))
);

COMMENT ON TABLE ret.location IS
    'A store, warehouse, dark store or third-party logistics site that holds or sells stock.';
-- RULE gln is 13 digits with a valid check digit
-- RULE floor_area_sqm > 0 for stores

-- FK: the locations by their manager user.
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
    CONSTRAINT location_hours_one_of_weekday_on_date CHECK (num_nonnulls(weekday, on_date) = 1),
    CONSTRAINT location_hours_closes_time_when
        CHECK (closes_time > opens_time OR rule_kind = 'closure')
);

COMMENT ON TABLE ret.location_hours IS
    'Weekly hours and dated exceptions for trading, pickup and receiving.';

-- FK: the location hours of a location.
CREATE INDEX location_hours_location_idx ON ret.location_hours (business_id, location_id);

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
    level_no        smallint             NOT NULL,
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
    CONSTRAINT bin_location_capacity_units_positive CHECK (capacity_units > 0)
);

COMMENT ON TABLE ret.bin_location IS
    'A shelf, rack, backroom or returns bin in a location, in walk order.';
-- RULE no cycle through parent_bin_id

-- FK: the bin locations by their parent bin.
CREATE INDEX bin_location_parent_bin_idx
    ON ret.bin_location (business_id, parent_bin_id)
    WHERE parent_bin_id IS NOT NULL;

ALTER TABLE ret.bin_location ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.bin_location
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.bin_location TO app_user;
GRANT SELECT ON ret.bin_location TO app_readonly;

CREATE TRIGGER bin_location_touch
    BEFORE UPDATE ON ret.bin_location
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.sales_channel (
    business_id      uuid                   NOT NULL,
    sales_channel_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    channel_code     system_core.code       NOT NULL,
    display_name     text                   NOT NULL,
    channel_kind     text                   NOT NULL,
    provider         text                   NOT NULL,
    currency         system_core.currency,
    default_language text,
    order_prefix     text                   NOT NULL,
    fee_pct          system_core.percentage,
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
    CONSTRAINT sales_channel_fee_pct_bounded CHECK (fee_pct BETWEEN 0 AND 100)
);

COMMENT ON TABLE ret.sales_channel IS
    'Store, web shop, app, marketplace, social or wholesale channel.';

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
    receipt_sequence     bigint,
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
    CONSTRAINT register_receipt_sequence_not_negative CHECK (receipt_sequence >= 0)
);

COMMENT ON TABLE ret.register IS 'A checkout lane, mobile POS or self-checkout of a store.';

ALTER TABLE ret.register ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.register
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.register TO app_user;
GRANT SELECT ON ret.register TO app_readonly;

CREATE TRIGGER register_touch
    BEFORE UPDATE ON ret.register
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.fulfilment_capability (
    business_id              uuid                 NOT NULL,
    fulfilment_capability_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    location_id              uuid                 NOT NULL,
    sales_channel_id         uuid                 NOT NULL,
    capability               text                 NOT NULL,
    is_enabled               boolean              NOT NULL DEFAULT true,
    daily_capacity           integer,
    booked_today             integer,
    lead_minutes             integer,
    cut_off_time             time,
    priority_no              integer              NOT NULL,
    safety_buffer_qty        system_core.quantity,
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
    CONSTRAINT fulfilment_capability_booked_today_precedes_daily_capacity
        CHECK (booked_today <= daily_capacity),
    CONSTRAINT fulfilment_capability_lead_minutes_not_negative CHECK (lead_minutes >= 0)
);

COMMENT ON TABLE ret.fulfilment_capability IS
    'What a location can do for online orders: ship, pick up, curbside, local delivery, with
     capacity.';

-- FK: the fulfilment capabilities of a sales channel.
CREATE INDEX fulfilment_capability_sales_channel_idx
    ON ret.fulfilment_capability (business_id, sales_channel_id);

ALTER TABLE ret.fulfilment_capability ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.fulfilment_capability
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.fulfilment_capability TO app_user;
GRANT SELECT ON ret.fulfilment_capability TO app_readonly;

CREATE TRIGGER fulfilment_capability_touch
    BEFORE UPDATE ON ret.fulfilment_capability
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


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
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id)
);

COMMENT ON TABLE ret.tax_class IS
    'Tax treatment of goods (standard, reduced, food, clothing, exempt, gift card).';
-- RULE one default class (partial unique)

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
    country_code           system_core.country,
    region_code            system_core.region,
    postal_pattern         text,
    sourcing_rule          text                NOT NULL,
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
        CHECK (sourcing_rule IN ('origin', 'destination'))
);

COMMENT ON TABLE ret.tax_jurisdiction IS 'Country, state, county, city or district that taxes.';
-- RULE no cycle through parent_jurisdiction_id
-- RULE tax is charged only where nexus_since is reached

-- FK: the tax jurisdictions by their parent jurisdiction.
CREATE INDEX tax_jurisdiction_parent_jurisdiction_idx
    ON ret.tax_jurisdiction (business_id, parent_jurisdiction_id)
    WHERE parent_jurisdiction_id IS NOT NULL;

ALTER TABLE ret.tax_jurisdiction ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.tax_jurisdiction
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.tax_jurisdiction TO app_user;
GRANT SELECT ON ret.tax_jurisdiction TO app_readonly;

CREATE TRIGGER tax_jurisdiction_touch
    BEFORE UPDATE ON ret.tax_jurisdiction
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.tax_rate (
    business_id         uuid                   NOT NULL,
    tax_rate_id         uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    tax_jurisdiction_id uuid                   NOT NULL,
    tax_class_id        uuid                   NOT NULL,
    tax_name            text                   NOT NULL,
    rate_pct            system_core.percentage,
    rate_kind           text                   NOT NULL,
    min_amount          system_core.money      NOT NULL DEFAULT 0,
    max_amount          system_core.money      NOT NULL DEFAULT 0,
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
    CONSTRAINT tax_rate_rate_pct_bounded CHECK (rate_pct BETWEEN 0 AND 50),
    CONSTRAINT tax_rate_max_amount_follows_min_amount CHECK (max_amount > min_amount),
    CONSTRAINT tax_rate_no_overlap EXCLUDE USING gist (
        business_id WITH =, tax_jurisdiction_id WITH =, tax_class_id WITH =,
        (coalesce(tax_name, '')) WITH =,
        daterange(effective_from, effective_to, '[]') WITH &&)
);

COMMENT ON TABLE ret.tax_rate IS
    'Rate of a tax class in a jurisdiction, dated, with thresholds and tax holidays.';

-- FK: the tax rates of a tax jurisdiction.
CREATE INDEX tax_rate_tax_jurisdiction_idx ON ret.tax_rate (business_id, tax_jurisdiction_id);

-- FK: the tax rates of a tax class.
CREATE INDEX tax_rate_tax_class_idx ON ret.tax_rate (business_id, tax_class_id);

ALTER TABLE ret.tax_rate ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.tax_rate
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.tax_rate TO app_user;
GRANT SELECT ON ret.tax_rate TO app_readonly;

CREATE TRIGGER tax_rate_touch
    BEFORE UPDATE ON ret.tax_rate
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
