/*
 * Where parts lie: the places of a shop that hold something to count.
 *
 * A stock_location is a bin or shelf, the counter, the tire rack, the hazmat cabinet for solvents
 * and airbags, the core shelf for old units that go back for their deposit, the return shelf, or
 * the staging place of a vehicle's parts. Places nest (cabinet, shelf, bin) within one shop. How
 * much lies where is told by stock_balance, why by stock_movement.
 */

CREATE TABLE auto.stock_location (
    business_id         uuid                 NOT NULL,
    stock_location_id   uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    parent_location_id  uuid,
    shop_id             uuid                 NOT NULL,
    location_code       system_core.code     NOT NULL,
    location_kind       text                 NOT NULL,
    aisle_code          system_core.code,
    is_pickable         boolean              NOT NULL DEFAULT true,
    max_weight_lb       system_core.quantity,
    flammable_limit_gal system_core.quantity,
    last_counted_on     date,
    count_interval_days integer,
    is_active           boolean              NOT NULL DEFAULT true,
    created_at          timestamptz          NOT NULL DEFAULT now(),
    updated_at          timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_location_id),
    UNIQUE (business_id, shop_id, location_code),
    FOREIGN KEY (business_id, parent_location_id)
        REFERENCES auto.stock_location (business_id, stock_location_id),
    FOREIGN KEY (business_id, shop_id) REFERENCES auto.shop (business_id, shop_id),
    CONSTRAINT stock_location_kind_known
        CHECK (location_kind IN ('bin', 'counter', 'tire_rack', 'core_shelf', 'hazmat_cabinet',
                                 'will_call', 'return_shelf', 'vehicle_staging')),
    CONSTRAINT stock_location_hazmat_is_limited
        CHECK (location_kind <> 'hazmat_cabinet' OR flammable_limit_gal IS NOT NULL),
    CONSTRAINT stock_location_limits_positive
        CHECK (max_weight_lb > 0 AND flammable_limit_gal > 0),
    CONSTRAINT stock_location_count_interval_positive CHECK (count_interval_days > 0),
    CONSTRAINT stock_location_not_its_own_parent
        CHECK (parent_location_id <> stock_location_id)
);

COMMENT ON TABLE auto.stock_location IS
    'Bin, counter, tire rack, core shelf or hazmat cabinet of a shop.';
COMMENT ON COLUMN auto.stock_location.is_pickable IS
    'Parts are taken from here for jobs; not from the core and return shelves.';
COMMENT ON COLUMN auto.stock_location.flammable_limit_gal IS
    'What the fire code lets one cabinet hold (29 CFR 1910.106: 60 gallons of flammables).';
COMMENT ON COLUMN auto.stock_location.count_interval_days IS
    'NULL where nobody counts in cycles.';

-- FK: the stock locations by their parent location.
CREATE INDEX stock_location_parent_location_idx
    ON auto.stock_location (business_id, parent_location_id)
    WHERE parent_location_id IS NOT NULL;

ALTER TABLE auto.stock_location ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.stock_location
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.stock_location TO app_user;
GRANT SELECT ON auto.stock_location TO app_readonly;

CREATE TRIGGER stock_location_touch
    BEFORE UPDATE ON auto.stock_location
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION auto.require_place_in_shop() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    SELECT c.location_code AS child, p.location_code AS parent INTO wrong
    FROM changed AS x
    JOIN auto.stock_location AS p
        ON p.business_id = x.business_id
       AND p.stock_location_id IN (x.parent_location_id, x.stock_location_id)
    JOIN auto.stock_location AS c
        ON c.business_id = p.business_id AND c.parent_location_id = p.stock_location_id
    WHERE c.shop_id <> p.shop_id
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'place % lies in %, which is in another shop', wrong.child, wrong.parent
            USING ERRCODE = 'check_violation',
                  HINT = 'Name a place of the same shop, or none.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.require_place_in_shop() IS
    'Refuses a place within a place of another shop, from both sides.';

CREATE TRIGGER stock_location_in_shop_insert
    AFTER INSERT ON auto.stock_location
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.require_place_in_shop();

CREATE TRIGGER stock_location_in_shop_update
    AFTER UPDATE ON auto.stock_location
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.require_place_in_shop();
