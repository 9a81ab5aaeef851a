/*
 * Vehicles: what rolls in, who owns it, and how far it has gone.
 *
 * A vehicle_configuration is a build in the vocabulary of the parts trade (year, make, model,
 * engine): part fitments and book times hang on it. A vehicle is one by VIN and plate, also the
 * shop's loaners; its check digit (ISO 3779) is verified, a wrong one is kept and shown as wrong. A
 * vin_decode is one question to a decoder with its answer; auto.apply_vin_decode() links the
 * vehicle when exactly one build remains. vehicle_ownership tells who held it when. An
 * odometer_reading that goes back or jumps is kept as suspect; trusted ones move the vehicle on.
 */

-- ISO 3779: each character has a value, each place a weight; the sum modulo 11 stands at place 9.
CREATE FUNCTION auto.vin_check_character(vin text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN vin ~ '^[A-HJ-NPR-Z0-9]{17}$' THEN (
    SELECT substr('0123456789X', 1 + (sum(w.weight * substr(
               translate(vin, 'ABCDEFGHJKLMNPRSTUVWXYZ', '12345678123457923456789'),
               w.place::integer, 1)::integer) % 11)::integer, 1)
    FROM unnest(ARRAY[8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2])
        WITH ORDINALITY AS w (weight, place)) END;
COMMENT ON FUNCTION auto.vin_check_character(text) IS
    'What should stand at place 9 of a VIN (49 CFR 565); NULL when it is none of 17 characters
     without I, O and Q.';

CREATE FUNCTION auto.vin_check_digit(vin text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(substr(vin, 9, 1) = auto.vin_check_character(vin), false);
COMMENT ON FUNCTION auto.vin_check_digit(text) IS
    'Whether a VIN has 17 characters without I, O and Q and the right check digit.';


CREATE TABLE auto.vehicle_configuration (
    business_id              uuid                 NOT NULL,
    vehicle_configuration_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    base_vehicle_code        integer              NOT NULL,
    model_year               integer,
    make_name                text                 NOT NULL,
    model_name               text                 NOT NULL,
    submodel_name            text,
    body_style               text,
    engine_code              system_core.code,
    displacement_l           system_core.quantity,
    cylinder_count           integer,
    fuel_kind                text                 NOT NULL,
    aspiration               text                 NOT NULL DEFAULT 'natural',
    transmission_kind        text                 NOT NULL,
    drive_kind               text                 NOT NULL,
    brake_system             text,
    gvwr_class               text                 NOT NULL DEFAULT 'class_1',
    created_at               timestamptz          NOT NULL DEFAULT now(),
    updated_at               timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, vehicle_configuration_id),
    UNIQUE NULLS NOT DISTINCT (business_id, base_vehicle_code, submodel_name, engine_code,
            transmission_kind, drive_kind),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT vehicle_configuration_fuel_known
        CHECK (fuel_kind IN ('gasoline', 'diesel', 'flex', 'cng', 'hybrid', 'plug_in_hybrid',
                             'battery_electric', 'fuel_cell')),
    CONSTRAINT vehicle_configuration_aspiration_known
        CHECK (aspiration IN ('natural', 'turbo', 'supercharged', 'none')),
    CONSTRAINT vehicle_configuration_transmission_known
        CHECK (transmission_kind IN ('manual', 'automatic', 'cvt', 'dct', 'single_speed')),
    CONSTRAINT vehicle_configuration_drive_known
        CHECK (drive_kind IN ('fwd', 'rwd', 'awd', 'four_wd')),
    CONSTRAINT vehicle_configuration_weight_known
        CHECK (gvwr_class IN ('class_1', 'class_2a', 'class_2b', 'class_3', 'class_4', 'class_5',
                              'class_6', 'class_7', 'class_8')),
    CONSTRAINT vehicle_configuration_year_bounded CHECK (model_year BETWEEN 1896 AND 2100),
    CONSTRAINT vehicle_configuration_electric_has_no_cylinders
        CHECK (fuel_kind NOT IN ('battery_electric', 'fuel_cell')
               OR (cylinder_count IS NULL AND displacement_l IS NULL AND aspiration = 'none')),
    CONSTRAINT vehicle_configuration_engine_plausible
        CHECK (cylinder_count BETWEEN 1 AND 16 AND displacement_l > 0)
);

COMMENT ON TABLE auto.vehicle_configuration IS
    'Year-make-model-engine build in the ACES vehicle vocabulary; target of fitment and labor
     times.';
COMMENT ON COLUMN auto.vehicle_configuration.base_vehicle_code IS
    'Year, make and model as the parts trade numbers them (ACES base vehicle).';

-- Picking a build at the counter: year, make, model.
CREATE INDEX vehicle_configuration_build_idx
    ON auto.vehicle_configuration (business_id, model_year, make_name, model_name);

ALTER TABLE auto.vehicle_configuration ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.vehicle_configuration
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.vehicle_configuration TO app_user;
GRANT SELECT ON auto.vehicle_configuration TO app_readonly;

CREATE TRIGGER vehicle_configuration_touch
    BEFORE UPDATE ON auto.vehicle_configuration
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE auto.vehicle (
    business_id              uuid               NOT NULL,
    vehicle_id               uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    vehicle_configuration_id uuid,
    vin                      text,
    is_vin_check_valid       boolean            GENERATED ALWAYS AS (
                                            auto.vin_check_digit(vin)) STORED,
    vin_tail                 text               GENERATED ALWAYS AS (right(vin, 8)) STORED,
    license_plate            text,
    plate_region             system_core.region,
    color_code               system_core.code,
    paint_code               system_core.code,
    vehicle_kind             text               NOT NULL DEFAULT 'passenger',
    usage_kind               text               NOT NULL DEFAULT 'personal',
    title_brand              text               NOT NULL DEFAULT 'clean',
    in_service_on            date,
    current_odometer         integer            NOT NULL DEFAULT 0,
    odometer_unit            text               NOT NULL DEFAULT 'mi',
    key_code                 system_core.code,
    status                   text               NOT NULL DEFAULT 'active',
    oil_spec                 text,
    refrigerant_code         text               NOT NULL DEFAULT 'r1234yf',
    created_at               timestamptz        NOT NULL DEFAULT now(),
    updated_at               timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, vehicle_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, vehicle_configuration_id)
        REFERENCES auto.vehicle_configuration (business_id, vehicle_configuration_id),
    CONSTRAINT vehicle_kind_known
        CHECK (vehicle_kind IN ('passenger', 'light_truck', 'motorcycle', 'medium_truck',
                                'heavy_truck', 'trailer', 'rv')),
    CONSTRAINT vehicle_usage_known
        CHECK (usage_kind IN ('personal', 'fleet', 'rideshare', 'loaner', 'rental', 'taxi')),
    CONSTRAINT vehicle_title_brand_known
        CHECK (title_brand IN ('clean', 'salvage', 'rebuilt', 'lemon', 'flood')),
    CONSTRAINT vehicle_odometer_unit_known CHECK (odometer_unit IN ('mi', 'km')),
    CONSTRAINT vehicle_status_known CHECK (status IN ('active', 'sold', 'totaled', 'scrapped')),
    CONSTRAINT vehicle_refrigerant_code_known
        CHECK (refrigerant_code IN ('r134a', 'r1234yf', 'r744', 'r12', 'none')),
    CONSTRAINT vehicle_vin_well_formed
        CHECK (vin ~ '^[A-HJ-NPR-Z0-9]{17}$' OR vin ~ '^[A-Z0-9-]{5,13}$'),
    CONSTRAINT vehicle_odometer_not_negative CHECK (current_odometer >= 0)
);

COMMENT ON TABLE auto.vehicle IS 'A real vehicle by VIN and plate, also the shop''s own loaners.';
COMMENT ON COLUMN auto.vehicle.vin IS
    '17 characters since model year 1981, fewer before; NULL where it was never read.';
COMMENT ON COLUMN auto.vehicle.vin_tail IS
    'A column, for row security keeps an index on the expression from being used.';
COMMENT ON COLUMN auto.vehicle.is_vin_check_valid IS
    'Whether the check digit is right; a wrong one is a typing error until proven.';

-- The counter: the last eight characters of a VIN, by which shops know a car.
CREATE INDEX vehicle_vin_tail_idx
    ON auto.vehicle (business_id, vin_tail)
    WHERE vin_tail IS NOT NULL;

-- The counter: a plate.
CREATE INDEX vehicle_plate_idx
    ON auto.vehicle (business_id, license_plate)
    WHERE license_plate IS NOT NULL;

-- A VIN is one vehicle.
CREATE UNIQUE INDEX vehicle_vin_idx
    ON auto.vehicle (business_id, vin)
    WHERE vin IS NOT NULL;

-- FK: the vehicles of a build.
CREATE INDEX vehicle_vehicle_configuration_idx
    ON auto.vehicle (business_id, vehicle_configuration_id)
    WHERE vehicle_configuration_id IS NOT NULL;

ALTER TABLE auto.vehicle ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.vehicle
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.vehicle TO app_user;
GRANT SELECT ON auto.vehicle TO app_readonly;

CREATE TRIGGER vehicle_touch
    BEFORE UPDATE ON auto.vehicle
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION auto.refuse_odometer_back() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- A new instrument cluster begins anew; its reading says so.
    IF EXISTS (SELECT FROM auto.odometer_reading AS r
               WHERE r.business_id = NEW.business_id AND r.vehicle_id = NEW.vehicle_id
                 AND r.odometer = NEW.current_odometer
                 AND r.suspect_reason = 'cluster_replaced') THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the odometer of % stood at %, it cannot show %',
                    coalesce(OLD.license_plate, OLD.vin, 'the vehicle'), OLD.current_odometer,
                    NEW.current_odometer
        USING ERRCODE = 'check_violation',
              HINT = 'Record a reading with the reason cluster_replaced first.';
END
$$;
COMMENT ON FUNCTION auto.refuse_odometer_back() IS
    'An odometer never goes back, unless its cluster was replaced and the reading says so.';

CREATE TRIGGER vehicle_odometer_forward
    BEFORE UPDATE OF current_odometer ON auto.vehicle
    FOR EACH ROW WHEN (NEW.current_odometer < OLD.current_odometer)
    EXECUTE FUNCTION auto.refuse_odometer_back();


CREATE TABLE auto.vin_decode (
    business_id                      uuid                    NOT NULL,
    vin_decode_id                    uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    matched_vehicle_configuration_id uuid,
    confirmed_by_user_id             uuid,
    vehicle_id                       uuid,
    vin_submitted                    text                    NOT NULL,
    capture_mode                     text                    NOT NULL,
    provider                         text                    NOT NULL,
    requested_at                     timestamptz             NOT NULL DEFAULT now(),
    response_ms                      integer,
    wmi_code                         system_core.code,
    vds_code                         system_core.code,
    model_year_code                  text,
    plant_code                       text,
    check_digit_ok                   boolean                 GENERATED ALWAYS AS (
                                            coalesce(auto.vin_check_digit(vin_submitted), false))
                                            STORED,
    error_codes                      text[]                  NOT NULL DEFAULT '{}',
    response_document                system_core.json_object NOT NULL DEFAULT '{}',
    match_confidence_score           system_core.probability,
    ambiguity_count                  integer                 NOT NULL DEFAULT 0,
    created_at                       timestamptz             NOT NULL DEFAULT now(),
    updated_at                       timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, vin_decode_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, matched_vehicle_configuration_id)
        REFERENCES auto.vehicle_configuration (business_id, vehicle_configuration_id),
    FOREIGN KEY (business_id, confirmed_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, vehicle_id) REFERENCES auto.vehicle (business_id, vehicle_id),
    CONSTRAINT vin_decode_capture_known
        CHECK (capture_mode IN ('typed', 'barcode', 'camera_ocr', 'obd_mode_09', 'plate_lookup')),
    CONSTRAINT vin_decode_provider_known CHECK (provider IN ('vpic', 'commercial', 'oem')),
    CONSTRAINT vin_decode_vin_shape CHECK (vin_submitted ~ '^[A-HJ-NPR-Z0-9*]{11,17}$'),
    CONSTRAINT vin_decode_counts_not_negative CHECK (ambiguity_count >= 0 AND response_ms >= 0),
    CONSTRAINT vin_decode_choice_is_confirmed
        CHECK (ambiguity_count <= 1 OR matched_vehicle_configuration_id IS NULL
               OR confirmed_by_user_id IS NOT NULL)
);

COMMENT ON TABLE auto.vin_decode IS
    'Each decode of a VIN with provider answer, confidence and the configuration chosen.';

-- FK: the answers that led to a build.
CREATE INDEX vin_decode_matched_vehicle_configuration_idx
    ON auto.vin_decode (business_id, matched_vehicle_configuration_id)
    WHERE matched_vehicle_configuration_id IS NOT NULL;

-- FK: what an account confirmed.
CREATE INDEX vin_decode_confirmed_by_user_idx
    ON auto.vin_decode (business_id, confirmed_by_user_id)
    WHERE confirmed_by_user_id IS NOT NULL;

-- FK: the decodes of a vehicle.
CREATE INDEX vin_decode_vehicle_idx
    ON auto.vin_decode (business_id, vehicle_id)
    WHERE vehicle_id IS NOT NULL;

ALTER TABLE auto.vin_decode ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.vin_decode
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.vin_decode TO app_user;
GRANT SELECT ON auto.vin_decode TO app_readonly;

CREATE TRIGGER vin_decode_touch
    BEFORE UPDATE ON auto.vin_decode
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE auto.vehicle_ownership (
    business_id          uuid        NOT NULL,
    vehicle_ownership_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    driver_contact_id    uuid,
    vehicle_id           uuid        NOT NULL,
    customer_id          uuid        NOT NULL,
    fleet_account_id     uuid,
    relation             text        NOT NULL DEFAULT 'owner',
    starts_on            date        NOT NULL,
    ends_on              date,
    unit_number          text,
    cost_center          text,
    department_name      text,
    lease_ends_on        date,
    lease_distance_limit integer,
    is_billing_party     boolean     NOT NULL DEFAULT true,
    acquired_odometer    integer,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, vehicle_ownership_id),
    FOREIGN KEY (business_id, driver_contact_id)
        REFERENCES auto.customer_contact (business_id, customer_contact_id),
    FOREIGN KEY (business_id, vehicle_id) REFERENCES auto.vehicle (business_id, vehicle_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES auto.customer (business_id, customer_id),
    FOREIGN KEY (business_id, fleet_account_id)
        REFERENCES auto.fleet_account (business_id, fleet_account_id),
    CONSTRAINT vehicle_ownership_relation_known
        CHECK (relation IN ('owner', 'lessee', 'driver', 'fleet_unit', 'loaner_pool')),
    CONSTRAINT vehicle_ownership_ends_after_start CHECK (ends_on >= starts_on),
    CONSTRAINT vehicle_ownership_fleet_unit_has_fleet
        CHECK (relation <> 'fleet_unit' OR fleet_account_id IS NOT NULL),
    CONSTRAINT vehicle_ownership_lease_limit_positive CHECK (lease_distance_limit > 0),
    CONSTRAINT vehicle_ownership_one_holder EXCLUDE USING gist (
        business_id WITH =, vehicle_id WITH =, daterange(starts_on, ends_on, '[]') WITH &&)
        WHERE (relation IN ('owner', 'lessee', 'loaner_pool'))
);

COMMENT ON TABLE auto.vehicle_ownership IS
    'Who held the vehicle when, with fleet unit number and driver.';

-- A unit number means one vehicle of a fleet at a time.
CREATE UNIQUE INDEX vehicle_ownership_unit_idx
    ON auto.vehicle_ownership (business_id, fleet_account_id, unit_number)
    WHERE ends_on IS NULL;

-- FK: what a contact drives.
CREATE INDEX vehicle_ownership_driver_contact_idx
    ON auto.vehicle_ownership (business_id, driver_contact_id)
    WHERE driver_contact_id IS NOT NULL;

-- FK: who held a vehicle, the newest first.
CREATE INDEX vehicle_ownership_vehicle_idx
    ON auto.vehicle_ownership (business_id, vehicle_id, starts_on DESC);

-- FK: the vehicles of a customer.
CREATE INDEX vehicle_ownership_customer_idx ON auto.vehicle_ownership (business_id, customer_id);

-- FK: the units of a fleet.
CREATE INDEX vehicle_ownership_fleet_account_idx
    ON auto.vehicle_ownership (business_id, fleet_account_id)
    WHERE fleet_account_id IS NOT NULL;

ALTER TABLE auto.vehicle_ownership ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.vehicle_ownership
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.vehicle_ownership TO app_user;
GRANT SELECT ON auto.vehicle_ownership TO app_readonly;

CREATE TRIGGER vehicle_ownership_touch
    BEFORE UPDATE ON auto.vehicle_ownership
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE auto.odometer_reading (
    business_id         uuid                 NOT NULL,
    odometer_reading_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    read_by_user_id     uuid,
    vehicle_id          uuid                 NOT NULL,
    read_at             timestamptz          NOT NULL DEFAULT now(),
    odometer            integer              NOT NULL,
    engine_hours        numeric(10, 2),
    source              text                 NOT NULL,
    is_suspect          boolean              NOT NULL DEFAULT false,
    suspect_reason      text,
    distance_per_day_mi system_core.quantity,
    source_ref          text,
    created_at          timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, odometer_reading_id, read_at),
    UNIQUE (business_id, vehicle_id, source, read_at),
    FOREIGN KEY (business_id, read_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, vehicle_id) REFERENCES auto.vehicle (business_id, vehicle_id),
    CONSTRAINT odometer_reading_source_known
        CHECK (source IN ('check_in', 'obd', 'telematics', 'customer', 'state_inspection',
                          'invoice', 'photo_ocr')),
    CONSTRAINT odometer_reading_suspect_reason_known
        CHECK (suspect_reason IN ('rollback', 'jump', 'unit_mismatch', 'cluster_replaced')),
    CONSTRAINT odometer_reading_not_negative CHECK (odometer >= 0 AND engine_hours >= 0),
    CONSTRAINT odometer_reading_suspect_is_told
        CHECK ((suspect_reason IS NOT NULL) = is_suspect)
) PARTITION BY RANGE (read_at);

COMMENT ON TABLE auto.odometer_reading IS
    'Time series of odometer and engine hours from check-in, scans, telematics and gauges; append
     only.';

-- FK: what an account read.
CREATE INDEX odometer_reading_read_by_user_idx
    ON auto.odometer_reading (business_id, read_by_user_id)
    WHERE read_by_user_id IS NOT NULL;

ALTER TABLE auto.odometer_reading ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.odometer_reading
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON auto.odometer_reading TO app_user;
GRANT SELECT ON auto.odometer_reading TO app_readonly;

CREATE TRIGGER odometer_reading_append_only
    BEFORE UPDATE OR DELETE ON auto.odometer_reading
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('auto.odometer_reading');

CREATE FUNCTION auto.judge_reading() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    before record;
    days   numeric;
BEGIN
    SELECT r.odometer, r.read_at INTO before
    FROM auto.odometer_reading AS r
    WHERE r.business_id = NEW.business_id AND r.vehicle_id = NEW.vehicle_id
      AND r.read_at < NEW.read_at AND NOT r.is_suspect
    ORDER BY r.read_at DESC
    LIMIT 1;
    IF NOT FOUND OR NEW.is_suspect THEN
        RETURN NEW;
    END IF;
    days := greatest(extract(epoch FROM NEW.read_at - before.read_at) / 86400, 1);
    NEW.distance_per_day_mi := round((NEW.odometer - before.odometer) / days, 2);
    NEW.suspect_reason := CASE WHEN NEW.odometer < before.odometer THEN 'rollback'
                               WHEN NEW.distance_per_day_mi > 1500 THEN 'jump' END;
    NEW.is_suspect := NEW.suspect_reason IS NOT NULL;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.judge_reading() IS
    'A reading below the last trusted one, or more than 1,500 miles a day above it, is suspect.';

CREATE TRIGGER odometer_reading_judge
    BEFORE INSERT ON auto.odometer_reading
    FOR EACH ROW EXECUTE FUNCTION auto.judge_reading();

CREATE FUNCTION auto.move_odometers() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE auto.vehicle AS v
    SET current_odometer = n.odometer
    FROM (
        SELECT r.business_id, r.vehicle_id, max(r.odometer) AS odometer
        FROM changed AS r
        WHERE NOT r.is_suspect
        GROUP BY r.business_id, r.vehicle_id
    ) AS n
    WHERE v.business_id = n.business_id AND v.vehicle_id = n.vehicle_id
      AND v.current_odometer < n.odometer;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.move_odometers() IS 'A trusted reading moves its vehicle on.';

CREATE TRIGGER odometer_reading_move
    AFTER INSERT ON auto.odometer_reading
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.move_odometers();

CREATE TABLE auto.odometer_reading_default PARTITION OF auto.odometer_reading DEFAULT;
ALTER TABLE auto.odometer_reading_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.odometer_reading_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('auto.odometer_reading', 'month', behind => 3, ahead => 1);


CREATE FUNCTION auto.apply_vin_decode(decode uuid) RETURNS auto.vehicle
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    asked  auto.vin_decode;
    known  auto.vehicle;
    builds uuid[];
BEGIN
    SELECT d.* INTO asked
    FROM auto.vin_decode AS d
    WHERE d.business_id = tenant AND d.vin_decode_id = decode
    FOR UPDATE;
    IF NOT FOUND OR asked.vehicle_id IS NULL THEN
        RAISE EXCEPTION 'there is no decode of a vehicle to apply' USING ERRCODE = 'no_data_found';
    END IF;
    -- The builds that agree with most of what the provider answered.
    SELECT array_agg(b.vehicle_configuration_id) INTO builds
    FROM (
        SELECT c.vehicle_configuration_id,
               rank() OVER (ORDER BY (c.engine_code IS NOT DISTINCT FROM a.engine)::integer
                                     + (c.drive_kind IS NOT DISTINCT FROM a.drive)::integer
                                     + (c.fuel_kind IS NOT DISTINCT FROM a.fuel)::integer
                                     + (c.submodel_name IS NOT DISTINCT FROM a.submodel)::integer
                                     DESC) AS place
        FROM JSON_TABLE(asked.response_document, '$' COLUMNS (
            model_year integer PATH '$.model_year', make text PATH '$.make',
            model text PATH '$.model', submodel text PATH '$.submodel',
            engine text PATH '$.engine_code', drive text PATH '$.drive',
            fuel text PATH '$.fuel')) AS a
        JOIN auto.vehicle_configuration AS c
            ON c.business_id = tenant AND c.model_year = a.model_year
           AND lower(c.make_name) = lower(a.make) AND lower(c.model_name) = lower(a.model)
    ) AS b
    WHERE b.place = 1;
    UPDATE auto.vin_decode AS d
    SET ambiguity_count = coalesce(cardinality(builds), 0),
        matched_vehicle_configuration_id = CASE WHEN cardinality(builds) = 1 THEN builds[1] END,
        match_confidence_score = CASE WHEN cardinality(builds) > 0
                                      THEN 1.0 / cardinality(builds) ELSE 0 END
    WHERE d.business_id = tenant AND d.vin_decode_id = decode;
    UPDATE auto.vehicle AS v
    SET vehicle_configuration_id = builds[1], vin = coalesce(v.vin, asked.vin_submitted)
    WHERE v.business_id = tenant AND v.vehicle_id = asked.vehicle_id AND cardinality(builds) = 1;
    SELECT v.* INTO known
    FROM auto.vehicle AS v
    WHERE v.business_id = tenant AND v.vehicle_id = asked.vehicle_id;
    RETURN known;
END
$$;
COMMENT ON FUNCTION auto.apply_vin_decode(uuid) IS
    'Reads what a decoder answered and links the vehicle when exactly one build agrees best; else
     ambiguity_count tells how many remain to choose from.';
