/*
 * Organization: the offices, profit centers and zones that everything else hangs on.
 *
 * A branch is where trucks start and stock ships from; a business_unit is a trade that owns
 * revenue and licenses. A service_territory is a zone that can be dispatched to, with the postal
 * codes that it serves (territory_postal_code), so that a caller's address leads to a zone in one
 * lookup. operating_hours tell when a branch or a zone works; a dated row overrides the weekday.
 * Documents are numbered by system_core.number_sequence.
 */

CREATE SCHEMA hs;
GRANT USAGE ON SCHEMA hs TO app_user, app_readonly;
COMMENT ON SCHEMA hs IS
    'A home-services company from call to cash: customers, dispatch, work, stock, money, safety.';


CREATE TABLE hs.branch (
    business_id          uuid                    NOT NULL,
    branch_id            uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    business_location_id uuid,
    branch_code          system_core.code        NOT NULL,
    name                 text                    NOT NULL,
    address_line         text                    NOT NULL,
    city                 text                    NOT NULL,
    region_code          system_core.region,
    postal_code          system_core.postal_code NOT NULL,
    country_code         system_core.country     NOT NULL,
    time_zone            system_core.time_zone   NOT NULL,
    latitude             system_core.latitude,
    longitude            system_core.longitude,
    phone                system_core.phone,
    opened_on            date                    NOT NULL,
    closed_on            date,
    created_at           timestamptz             NOT NULL DEFAULT now(),
    updated_at           timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, branch_id),
    UNIQUE (business_id, branch_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, business_location_id)
        REFERENCES tenant_mgmt.business_location (business_id, business_location_id),
    CONSTRAINT branch_closes_after_opening CHECK (closed_on >= opened_on),
    CONSTRAINT branch_place_is_whole CHECK ((latitude IS NULL) = (longitude IS NULL))
);

COMMENT ON TABLE hs.branch IS
    'An office or warehouse that trucks start from and stock ships from.';
COMMENT ON COLUMN hs.branch.business_location_id IS
    'The same site as the platform knows it, where it does.';

-- FK: the branch at a location of the business.
CREATE INDEX branch_location_idx
    ON hs.branch (business_id, business_location_id)
    WHERE business_location_id IS NOT NULL;

ALTER TABLE hs.branch ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.branch
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.branch TO app_user;
GRANT SELECT ON hs.branch TO app_readonly;

CREATE TRIGGER branch_touch
    BEFORE UPDATE ON hs.branch
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.business_unit (
    business_id             uuid              NOT NULL,
    business_unit_id        uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    branch_id               uuid              NOT NULL,
    manager_user_account_id uuid,
    unit_code               system_core.code  NOT NULL,
    name                    text              NOT NULL,
    trade                   text              NOT NULL,
    legal_name              text,
    license_number          text,
    license_state           system_core.region,
    license_expires_on      date,
    revenue_account_code    text,
    default_terms_days      integer           NOT NULL DEFAULT 0,
    phone                   system_core.phone,
    is_active               boolean           NOT NULL DEFAULT true,
    created_at              timestamptz       NOT NULL DEFAULT now(),
    updated_at              timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, business_unit_id),
    UNIQUE (business_id, unit_code),
    FOREIGN KEY (business_id, branch_id) REFERENCES hs.branch (business_id, branch_id),
    FOREIGN KEY (business_id, manager_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT business_unit_trade_known
        CHECK (trade IN ('hvac', 'plumbing', 'electrical', 'appliance', 'garage_door',
                         'landscaping', 'pest_control', 'cleaning', 'roofing', 'handyman')),
    CONSTRAINT business_unit_license_expires
        CHECK (license_number IS NULL OR license_expires_on IS NOT NULL),
    CONSTRAINT business_unit_terms_bounded CHECK (default_terms_days BETWEEN 0 AND 120)
);

COMMENT ON TABLE hs.business_unit IS
    'A profit center by trade: it owns revenue, crews, licenses and targets.';
COMMENT ON COLUMN hs.business_unit.license_number IS
    'The contractor''s license that its work is done under.';
COMMENT ON COLUMN hs.business_unit.default_terms_days IS
    'Days until its invoices are due; 0 is due on receipt.';

-- FK: the units of a branch.
CREATE INDEX business_unit_branch_idx ON hs.business_unit (business_id, branch_id);

-- FK: what an account manages.
CREATE INDEX business_unit_manager_idx
    ON hs.business_unit (business_id, manager_user_account_id)
    WHERE manager_user_account_id IS NOT NULL;

ALTER TABLE hs.business_unit ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.business_unit
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.business_unit TO app_user;
GRANT SELECT ON hs.business_unit TO app_readonly;

CREATE TRIGGER business_unit_touch
    BEFORE UPDATE ON hs.business_unit
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.service_territory (
    business_id             uuid                   NOT NULL,
    service_territory_id    uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    branch_id               uuid                   NOT NULL,
    parent_territory_id     uuid,
    territory_code          system_core.code       NOT NULL,
    name                    text                   NOT NULL,
    priority_rank           integer                NOT NULL DEFAULT 1,
    boundary                jsonb,
    centroid_lat            system_core.latitude,
    centroid_lng            system_core.longitude,
    max_drive_minutes       integer                NOT NULL DEFAULT 60,
    trip_fee                system_core.money      NOT NULL DEFAULT 0,
    emergency_surcharge_pct system_core.percentage NOT NULL DEFAULT 0,
    is_active               boolean                NOT NULL DEFAULT true,
    created_at              timestamptz            NOT NULL DEFAULT now(),
    updated_at              timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, service_territory_id),
    UNIQUE (business_id, territory_code),
    FOREIGN KEY (business_id, branch_id) REFERENCES hs.branch (business_id, branch_id),
    FOREIGN KEY (business_id, parent_territory_id)
        REFERENCES hs.service_territory (business_id, service_territory_id),
    CONSTRAINT service_territory_not_its_own_parent
        CHECK (parent_territory_id <> service_territory_id),
    CONSTRAINT service_territory_drive_bounded CHECK (max_drive_minutes BETWEEN 5 AND 240),
    CONSTRAINT service_territory_rank_positive CHECK (priority_rank > 0),
    CONSTRAINT service_territory_fee_not_negative CHECK (trip_fee >= 0),
    CONSTRAINT service_territory_surcharge_bounded
        CHECK (emergency_surcharge_pct BETWEEN 0 AND 500),
    CONSTRAINT service_territory_boundary_is_polygon
        CHECK (boundary ->> 'type' IN ('Polygon', 'MultiPolygon')),
    CONSTRAINT service_territory_centroid_is_whole
        CHECK ((centroid_lat IS NULL) = (centroid_lng IS NULL))
);

COMMENT ON TABLE hs.service_territory IS
    'A zone that is dispatched to, with what it costs and how far one drives for it.';
COMMENT ON COLUMN hs.service_territory.boundary IS
    'GeoJSON polygon, for maps; postal codes decide what belongs to it.';
COMMENT ON COLUMN hs.service_territory.priority_rank IS
    '1 is served first when capacity is short.';

-- FK: the zones of a branch, in order of priority.
CREATE INDEX service_territory_branch_idx
    ON hs.service_territory (business_id, branch_id, priority_rank);

-- FK: the zones within a zone.
CREATE INDEX service_territory_parent_idx
    ON hs.service_territory (business_id, parent_territory_id)
    WHERE parent_territory_id IS NOT NULL;

ALTER TABLE hs.service_territory ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.service_territory
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.service_territory TO app_user;
GRANT SELECT ON hs.service_territory TO app_readonly;

CREATE TRIGGER service_territory_touch
    BEFORE UPDATE ON hs.service_territory
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.territory_postal_code (
    business_id              uuid                    NOT NULL,
    territory_postal_code_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    service_territory_id     uuid                    NOT NULL,
    country_code             system_core.country     NOT NULL,
    postal_code              system_core.postal_code NOT NULL,
    coverage                 text                    NOT NULL DEFAULT 'primary',
    drive_minutes            integer                 NOT NULL DEFAULT 20,
    surcharge_amount         system_core.money       NOT NULL DEFAULT 0,
    effective_on             date                    NOT NULL DEFAULT current_date,
    ends_on                  date,
    created_at               timestamptz             NOT NULL DEFAULT now(),
    updated_at               timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, territory_postal_code_id),
    FOREIGN KEY (business_id, service_territory_id)
        REFERENCES hs.service_territory (business_id, service_territory_id),
    CONSTRAINT territory_postal_code_coverage_known
        CHECK (coverage IN ('primary', 'overflow', 'excluded')),
    CONSTRAINT territory_postal_code_ends_after_begin CHECK (ends_on > effective_on),
    CONSTRAINT territory_postal_code_drive_bounded CHECK (drive_minutes BETWEEN 0 AND 240),
    CONSTRAINT territory_postal_code_surcharge_not_negative CHECK (surcharge_amount >= 0)
);

COMMENT ON TABLE hs.territory_postal_code IS
    'A postal code that a zone serves, serves when the first is full, or does not serve.';
COMMENT ON COLUMN hs.territory_postal_code.drive_minutes IS
    'Typical drive from the zone''s branch.';

-- A postal code has one primary zone today; resolves an address in one lookup.
CREATE UNIQUE INDEX territory_postal_code_primary_idx
    ON hs.territory_postal_code (business_id, country_code, postal_code)
    WHERE coverage = 'primary' AND ends_on IS NULL;

-- Overflow and exclusions of an address.
CREATE INDEX territory_postal_code_address_idx
    ON hs.territory_postal_code (business_id, country_code, postal_code, coverage);

-- FK: the postal codes of a zone.
CREATE INDEX territory_postal_code_territory_idx
    ON hs.territory_postal_code (business_id, service_territory_id);

ALTER TABLE hs.territory_postal_code ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.territory_postal_code
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.territory_postal_code TO app_user;
GRANT SELECT ON hs.territory_postal_code TO app_readonly;

CREATE TRIGGER territory_postal_code_touch
    BEFORE UPDATE ON hs.territory_postal_code
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.operating_hours (
    business_id                uuid                   NOT NULL,
    operating_hours_id         uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    branch_id                  uuid                   NOT NULL,
    service_territory_id       uuid,
    weekday                    integer,
    specific_on                date,
    opens_time                 time,
    closes_time                time,
    is_closed                  boolean                NOT NULL DEFAULT false,
    hours_kind                 text                   NOT NULL DEFAULT 'standard',
    label                      text,
    after_hours_multiplier_pct system_core.percentage NOT NULL DEFAULT 100,
    created_at                 timestamptz            NOT NULL DEFAULT now(),
    updated_at                 timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, operating_hours_id),
    UNIQUE NULLS NOT DISTINCT
        (business_id, branch_id, service_territory_id, hours_kind, weekday, specific_on),
    FOREIGN KEY (business_id, branch_id) REFERENCES hs.branch (business_id, branch_id),
    FOREIGN KEY (business_id, service_territory_id)
        REFERENCES hs.service_territory (business_id, service_territory_id),
    CONSTRAINT operating_hours_kind_known CHECK (hours_kind IN ('standard', 'emergency', 'phone')),
    CONSTRAINT operating_hours_of_one_day CHECK (num_nonnulls(weekday, specific_on) = 1),
    CONSTRAINT operating_hours_weekday_iso CHECK (weekday BETWEEN 1 AND 7),
    CONSTRAINT operating_hours_open_has_times
        CHECK (is_closed OR num_nonnulls(opens_time, closes_time) = 2),
    CONSTRAINT operating_hours_close_after_opening
        CHECK (is_closed OR closes_time > opens_time),
    CONSTRAINT operating_hours_multiplier_bounded
        CHECK (after_hours_multiplier_pct BETWEEN 100 AND 400)
);

COMMENT ON TABLE hs.operating_hours IS
    'When a branch, or one of its zones, works; a dated row overrides the weekday''s.';
COMMENT ON COLUMN hs.operating_hours.weekday IS 'ISO: 1 is Monday.';
COMMENT ON COLUMN hs.operating_hours.after_hours_multiplier_pct IS
    'What work outside these hours costs, in percent of the price.';

-- FK: the hours of a zone.
CREATE INDEX operating_hours_territory_idx
    ON hs.operating_hours (business_id, service_territory_id)
    WHERE service_territory_id IS NOT NULL;

ALTER TABLE hs.operating_hours ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.operating_hours
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.operating_hours TO app_user;
GRANT SELECT ON hs.operating_hours TO app_readonly;

CREATE TRIGGER operating_hours_touch
    BEFORE UPDATE ON hs.operating_hours
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION hs.require_hours_of_own_branch() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM hs.service_territory AS t
                   WHERE t.business_id = NEW.business_id
                     AND t.service_territory_id = NEW.service_territory_id
                     AND t.branch_id = NEW.branch_id) THEN
        RAISE EXCEPTION 'the territory belongs to another branch'
            USING ERRCODE = 'check_violation',
                  HINT = 'State the hours at the branch that the territory belongs to.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION hs.require_hours_of_own_branch() IS
    'Hours of a territory stand under the branch that it belongs to.';

CREATE TRIGGER operating_hours_of_own_branch
    BEFORE INSERT OR UPDATE OF branch_id, service_territory_id ON hs.operating_hours
    FOR EACH ROW WHEN (NEW.service_territory_id IS NOT NULL)
    EXECUTE FUNCTION hs.require_hours_of_own_branch();


CREATE FUNCTION hs.territory_of(address_country text, address_postal_code text, on_day date)
    RETURNS uuid
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT p.service_territory_id
        FROM hs.territory_postal_code AS p
        JOIN hs.service_territory AS t
            ON t.business_id = p.business_id AND t.service_territory_id = p.service_territory_id
        WHERE p.business_id = tenant_mgmt.current_business_id()
          AND p.country_code = address_country AND p.postal_code = address_postal_code
          AND p.coverage IN ('primary', 'overflow') AND t.is_active
          AND p.effective_on <= on_day AND (p.ends_on IS NULL OR p.ends_on > on_day)
          AND NOT EXISTS (SELECT FROM hs.territory_postal_code AS x
                          WHERE x.business_id = p.business_id
                            AND x.service_territory_id = p.service_territory_id
                            AND x.country_code = p.country_code
                            AND x.postal_code = p.postal_code
                            AND x.coverage = 'excluded'
                            AND x.effective_on <= on_day
                            AND (x.ends_on IS NULL OR x.ends_on > on_day))
        ORDER BY p.coverage = 'primary' DESC, t.priority_rank, p.drive_minutes
        LIMIT 1);
END
$$;
COMMENT ON FUNCTION hs.territory_of(text, text, date) IS
    'The tenant''s zone that serves an address on a day: the primary one, else the nearest that
     takes its overflow; NULL where nobody drives.';


CREATE FUNCTION hs.hours_on(of_branch uuid, of_territory uuid, on_day date, kind text)
    RETURNS TABLE (opens_time time, closes_time time, is_closed boolean, label text)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT h.opens_time, h.closes_time, h.is_closed, h.label
    FROM hs.operating_hours AS h
    WHERE h.business_id = tenant_mgmt.current_business_id() AND h.branch_id = of_branch
      AND (h.service_territory_id = of_territory OR h.service_territory_id IS NULL)
      AND h.hours_kind = kind
      AND (h.specific_on = on_day OR h.weekday = extract(isodow FROM on_day))
    ORDER BY h.specific_on IS NOT NULL DESC, h.service_territory_id IS NOT NULL DESC
    LIMIT 1;
END;
COMMENT ON FUNCTION hs.hours_on(uuid, uuid, date, text) IS
    'The tenant''s hours of a kind on a day: a dated row before the weekday''s, the zone''s before
     the branch''s; no row where none are stated.';
