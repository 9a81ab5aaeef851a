/*
 * Tires: sets, single tires, their registration with the maker, and seasonal storage.
 *
 * A tire_set is what a vehicle rolls on in a season, a tire one of it with its DOT code (TIN). A
 * tire_registration tells the maker who bought it, for recalls. A tire_storage_contract keeps a
 * set over a season; tire_storage_movement says when it came in and went out.
 */

CREATE TABLE auto.tire_set (
    business_id           uuid                 NOT NULL,
    tire_set_id           uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    stored_location_id    uuid,
    vehicle_id            uuid                 NOT NULL,
    customer_id           uuid                 NOT NULL,
    set_number            text                 NOT NULL,
    season                text                 NOT NULL DEFAULT 'all_season',
    size_text             text                 NOT NULL,
    rear_size_text        text,
    wheel_kind            text                 NOT NULL DEFAULT 'alloy',
    torque_ftlb           system_core.quantity,
    tpms_kind             text                 NOT NULL DEFAULT 'direct',
    fitment_state         text                 NOT NULL DEFAULT 'mounted',
    mounted_odometer      integer,
    rotation_due_odometer integer,
    is_staggered          boolean              GENERATED ALWAYS AS (
                                            coalesce(rear_size_text <> size_text, false)) STORED,
    condition_note        text,
    created_at            timestamptz          NOT NULL DEFAULT now(),
    updated_at            timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tire_set_id),
    UNIQUE (business_id, set_number),
    FOREIGN KEY (business_id, stored_location_id)
        REFERENCES auto.stock_location (business_id, stock_location_id),
    FOREIGN KEY (business_id, vehicle_id) REFERENCES auto.vehicle (business_id, vehicle_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES auto.customer (business_id, customer_id),
    CONSTRAINT tire_set_season_known
        CHECK (season IN ('summer', 'winter', 'all_season', 'all_weather', 'track')),
    CONSTRAINT tire_set_wheels_known
        CHECK (wheel_kind IN ('steel', 'alloy', 'forged', 'none')),
    CONSTRAINT tire_set_tpms_known CHECK (tpms_kind IN ('direct', 'indirect', 'none')),
    CONSTRAINT tire_set_state_known
        CHECK (fitment_state IN ('mounted', 'stored', 'in_transit', 'sold', 'scrapped')),
    CONSTRAINT tire_set_stored_lies_somewhere
        CHECK ((stored_location_id IS NOT NULL) = (fitment_state = 'stored')),
    CONSTRAINT tire_set_size_shape
        CHECK (size_text ~ '^[A-Z]{0,2}[0-9]{2,3}(/[0-9]{2})?[A-Z]{1,2}[0-9]{2}$'),
    CONSTRAINT tire_set_torque_plausible CHECK (torque_ftlb BETWEEN 10 AND 600),
    CONSTRAINT tire_set_rotation_later CHECK (rotation_due_odometer > mounted_odometer)
);

COMMENT ON TABLE auto.tire_set IS
    'Seasonal set of a vehicle, mounted, stored or retired, with wheel data.';

-- FK: what lies in a rack.
CREATE INDEX tire_set_stored_location_idx
    ON auto.tire_set (business_id, stored_location_id)
    WHERE stored_location_id IS NOT NULL;

-- FK: the sets of a vehicle.
CREATE INDEX tire_set_vehicle_idx ON auto.tire_set (business_id, vehicle_id);

-- FK: the sets of a customer.
CREATE INDEX tire_set_customer_idx ON auto.tire_set (business_id, customer_id);

-- A vehicle rolls on one set at a time.
CREATE UNIQUE INDEX tire_set_mounted_idx
    ON auto.tire_set (business_id, vehicle_id)
    WHERE fitment_state = 'mounted';

ALTER TABLE auto.tire_set ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.tire_set
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.tire_set TO app_user;
GRANT SELECT ON auto.tire_set TO app_readonly;

CREATE TRIGGER tire_set_touch
    BEFORE UPDATE ON auto.tire_set
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER tire_set_state_machine
    BEFORE INSERT OR UPDATE OF fitment_state ON auto.tire_set
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('fitment_state', '{
        "initial": ["mounted", "stored", "in_transit"],
        "transitions": {
            "mounted":    ["stored", "in_transit", "sold", "scrapped"],
            "stored":     ["mounted", "in_transit", "sold", "scrapped"],
            "in_transit": ["mounted", "stored", "sold", "scrapped"],
            "sold":       [],
            "scrapped":   []
        }}');


CREATE TABLE auto.tire (
    business_id                 uuid                 NOT NULL,
    tire_id                     uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    sold_part_line_id           uuid,
    tire_set_id                 uuid,
    part_id                     uuid,
    tin_code                    text                 NOT NULL,
    brand_code                  system_core.code,
    model_name                  text,
    wheel_position              text,
    load_index                  integer,
    speed_rating                text,
    utqg_treadwear              integer,
    manufactured_week_year_code text                 GENERATED ALWAYS AS (
                                            right(tin_code, 4)) STORED,
    manufactured_on             date,
    tread_new_mm                system_core.quantity,
    tread_inner_mm              system_core.quantity,
    tread_center_mm             system_core.quantity,
    tread_outer_mm              system_core.quantity,
    tpms_sensor_ref             text,
    road_hazard_until_on        date,
    status                      text                 NOT NULL DEFAULT 'in_use',
    created_at                  timestamptz          NOT NULL DEFAULT now(),
    updated_at                  timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tire_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, sold_part_line_id)
        REFERENCES auto.part_line (business_id, part_line_id),
    FOREIGN KEY (business_id, tire_set_id) REFERENCES auto.tire_set (business_id, tire_set_id),
    FOREIGN KEY (business_id, part_id) REFERENCES auto.part (business_id, part_id),
    CONSTRAINT tire_position_known
        CHECK (wheel_position IN ('lf', 'rf', 'lr', 'rr', 'lri', 'lro', 'rri', 'rro', 'spare',
                                  'loose')),
    CONSTRAINT tire_status_known
        CHECK (status IN ('in_use', 'stored', 'repaired', 'scrapped', 'claimed')),
    CONSTRAINT tire_tin_shape
        CHECK (tin_code ~ '^[A-Z0-9]{4,9}(0[1-9]|[1-4][0-9]|5[0-3])[0-9]{2}$'),
    CONSTRAINT tire_tread_within_new
        CHECK (tread_inner_mm BETWEEN 0 AND tread_new_mm
               AND tread_center_mm BETWEEN 0 AND tread_new_mm
               AND tread_outer_mm BETWEEN 0 AND tread_new_mm),
    CONSTRAINT tire_load_plausible CHECK (load_index BETWEEN 50 AND 160),
    CONSTRAINT tire_in_use_is_somewhere
        CHECK (status <> 'in_use' OR tire_set_id IS NULL OR wheel_position IS NOT NULL)
);

COMMENT ON TABLE auto.tire IS 'Single tire with its DOT number, wear and sensor.';
COMMENT ON COLUMN auto.tire.tin_code IS
    'Tire identification number without spaces; its last four digits are week and year (49 CFR
     574.5).';

-- FK: the tires of a sale.
CREATE INDEX tire_sold_part_line_idx
    ON auto.tire (business_id, sold_part_line_id)
    WHERE sold_part_line_id IS NOT NULL;

-- FK: the tires of a set.
CREATE INDEX tire_tire_set_idx
    ON auto.tire (business_id, tire_set_id)
    WHERE tire_set_id IS NOT NULL;

-- FK: the tires of a part number.
CREATE INDEX tire_part_idx
    ON auto.tire (business_id, part_id)
    WHERE part_id IS NOT NULL;

-- A wheel of a set carries one tire.
CREATE UNIQUE INDEX tire_wheel_idx
    ON auto.tire (business_id, tire_set_id, wheel_position)
    WHERE status = 'in_use' AND wheel_position <> 'loose';

ALTER TABLE auto.tire ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.tire
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.tire TO app_user;
GRANT SELECT ON auto.tire TO app_readonly;

CREATE TRIGGER tire_touch
    BEFORE UPDATE ON auto.tire
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION auto.tire_age_years(tin_code text, on_day date) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT extract(year FROM on_day)::integer - 2000 - right(tin_code, 2)::integer;
END;
COMMENT ON FUNCTION auto.tire_age_years(text, date) IS
    'How old a tire is by the year in its TIN, for tires made since 2000.';

CREATE FUNCTION auto.refuse_old_tire() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID)
       AND auto.tire_age_years(NEW.tin_code, tenant_mgmt.today()) > 10
       AND EXISTS (SELECT FROM auto.part_line AS l
                   WHERE l.business_id = NEW.business_id
                     AND l.part_line_id = NEW.sold_part_line_id
                     AND l.part_condition IN ('new', 'oem')) THEN
        RAISE EXCEPTION 'tire % was made more than ten years ago, it is not sold as new',
                        NEW.tin_code
            USING ERRCODE = 'check_violation', HINT = 'Sell a newer one.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.refuse_old_tire() IS 'A tire older than ten years is not sold as new.';

CREATE TRIGGER tire_not_too_old
    BEFORE INSERT OR UPDATE OF sold_part_line_id, tin_code ON auto.tire
    FOR EACH ROW WHEN (NEW.sold_part_line_id IS NOT NULL)
    EXECUTE FUNCTION auto.refuse_old_tire();


CREATE TABLE auto.tire_registration (
    business_id          uuid                    NOT NULL,
    tire_registration_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    tire_id              uuid                    NOT NULL,
    customer_id          uuid                    NOT NULL,
    invoice_id           uuid,
    shop_id              uuid                    NOT NULL,
    tin_code             text                    NOT NULL,
    seller_name          text,
    purchaser_name       text                    NOT NULL,
    purchaser_address    system_core.json_object,
    sold_on              date                    NOT NULL,
    method               text                    NOT NULL DEFAULT 'dealer_submitted',
    submitted_on         date,
    due_on               date                    NOT NULL,
    registrar_ref        text,
    status               text                    NOT NULL DEFAULT 'pending',
    rejected_reason      text,
    batch_ref            text,
    created_at           timestamptz             NOT NULL DEFAULT now(),
    updated_at           timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tire_registration_id),
    UNIQUE (business_id, tire_id),
    FOREIGN KEY (business_id, tire_id) REFERENCES auto.tire (business_id, tire_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES auto.customer (business_id, customer_id),
    FOREIGN KEY (business_id, invoice_id) REFERENCES auto.invoice (business_id, invoice_id),
    FOREIGN KEY (business_id, shop_id) REFERENCES auto.shop (business_id, shop_id),
    CONSTRAINT tire_registration_method_known
        CHECK (method IN ('electronic', 'paper_form_given', 'dealer_submitted')),
    CONSTRAINT tire_registration_status_known
        CHECK (status IN ('pending', 'submitted', 'accepted', 'rejected', 'form_handed_over')),
    CONSTRAINT tire_registration_submitted_after_sale CHECK (submitted_on >= sold_on),
    CONSTRAINT tire_registration_submitted_has_date
        CHECK (status IN ('pending', 'form_handed_over') OR submitted_on IS NOT NULL),
    CONSTRAINT tire_registration_due_within_six_months
        CHECK (due_on BETWEEN sold_on AND sold_on + 184),
    CONSTRAINT tire_registration_rejected_is_told
        CHECK (status <> 'rejected' OR coalesce(rejected_reason, '') ~ '\S'),
    CONSTRAINT tire_registration_form_is_handed_over
        CHECK (status <> 'form_handed_over' OR method = 'paper_form_given')
);

COMMENT ON TABLE auto.tire_registration IS
    'First-purchase registration of a new tire sent to the maker or its designee (49 CFR 574).';

-- FK: what a customer registered.
CREATE INDEX tire_registration_customer_idx ON auto.tire_registration (business_id, customer_id);

-- FK: the registrations of an invoice.
CREATE INDEX tire_registration_invoice_idx
    ON auto.tire_registration (business_id, invoice_id)
    WHERE invoice_id IS NOT NULL;

-- FK: the registrations of a shop.
CREATE INDEX tire_registration_shop_idx ON auto.tire_registration (business_id, shop_id);

-- What is due to be sent to the makers.
CREATE INDEX tire_registration_due_idx
    ON auto.tire_registration (business_id, due_on)
    WHERE status IN ('pending', 'rejected');

ALTER TABLE auto.tire_registration ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.tire_registration
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.tire_registration TO app_user;
GRANT SELECT ON auto.tire_registration TO app_readonly;

CREATE TRIGGER tire_registration_touch
    BEFORE UPDATE ON auto.tire_registration
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER tire_registration_status_machine
    BEFORE INSERT OR UPDATE OF status ON auto.tire_registration
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["pending", "form_handed_over"],
        "transitions": {
            "pending":          ["submitted", "form_handed_over"],
            "submitted":        ["accepted", "rejected"],
            "rejected":         ["submitted"],
            "accepted":         [],
            "form_handed_over": []
        }}');

CREATE FUNCTION auto.require_tin_of_tire() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    stamped text;
BEGIN
    SELECT t.tin_code INTO stamped
    FROM auto.tire AS t
    WHERE t.business_id = NEW.business_id AND t.tire_id = NEW.tire_id;
    IF stamped <> NEW.tin_code THEN
        RAISE EXCEPTION 'the tire carries %, not %', stamped, NEW.tin_code
            USING ERRCODE = 'check_violation', HINT = 'Read the number from the sidewall again.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.require_tin_of_tire() IS
    'A recall finds the buyer by the number on the tire, so that is what is registered.';

CREATE TRIGGER tire_registration_tin
    BEFORE INSERT OR UPDATE OF tire_id, tin_code ON auto.tire_registration
    FOR EACH ROW EXECUTE FUNCTION auto.require_tin_of_tire();


CREATE TABLE auto.tire_storage_contract (
    business_id              uuid              NOT NULL,
    tire_storage_contract_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    customer_id              uuid              NOT NULL,
    tire_set_id              uuid              NOT NULL,
    shop_id                  uuid              NOT NULL,
    invoice_id               uuid,
    contract_number          system_core.code  NOT NULL,
    season_code              system_core.code,
    starts_on                date              NOT NULL,
    ends_on                  date              NOT NULL,
    fee_amount               system_core.money NOT NULL DEFAULT 0,
    billing_mode             text              NOT NULL DEFAULT 'per_season',
    includes_changeover      boolean           NOT NULL DEFAULT false,
    includes_wash            boolean           NOT NULL DEFAULT false,
    liability_limit          system_core.money NOT NULL DEFAULT 0,
    next_changeover_on       date,
    status                   text              NOT NULL DEFAULT 'quoted',
    abandoned_notice_on      date,
    created_at               timestamptz       NOT NULL DEFAULT now(),
    updated_at               timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tire_storage_contract_id),
    UNIQUE (business_id, contract_number),
    FOREIGN KEY (business_id, customer_id) REFERENCES auto.customer (business_id, customer_id),
    FOREIGN KEY (business_id, tire_set_id) REFERENCES auto.tire_set (business_id, tire_set_id),
    FOREIGN KEY (business_id, shop_id) REFERENCES auto.shop (business_id, shop_id),
    FOREIGN KEY (business_id, invoice_id) REFERENCES auto.invoice (business_id, invoice_id),
    CONSTRAINT tire_storage_contract_billing_known
        CHECK (billing_mode IN ('per_season', 'annual', 'with_changeover')),
    CONSTRAINT tire_storage_contract_status_known
        CHECK (status IN ('quoted', 'active', 'retrieved', 'overdue', 'abandoned', 'ended')),
    CONSTRAINT tire_storage_contract_ends_after_start CHECK (ends_on > starts_on),
    CONSTRAINT tire_storage_contract_amounts_not_negative
        CHECK (fee_amount >= 0 AND liability_limit >= 0),
    CONSTRAINT tire_storage_contract_abandoned_was_told
        CHECK (status <> 'abandoned' OR abandoned_notice_on IS NOT NULL),
    CONSTRAINT tire_storage_contract_one_a_season EXCLUDE USING gist (
        business_id WITH =, tire_set_id WITH =, daterange(starts_on, ends_on) WITH &&)
);

COMMENT ON TABLE auto.tire_storage_contract IS
    'Paid seasonal storage of one or more sets with changeover plan.';

-- FK: the contracts of a customer.
CREATE INDEX tire_storage_contract_customer_idx
    ON auto.tire_storage_contract (business_id, customer_id);

-- FK: the seasons of a set.
CREATE INDEX tire_storage_contract_tire_set_idx
    ON auto.tire_storage_contract (business_id, tire_set_id);

-- FK: the contracts of a shop.
CREATE INDEX tire_storage_contract_shop_idx ON auto.tire_storage_contract (business_id, shop_id);

-- FK: the contract of an invoice.
CREATE INDEX tire_storage_contract_invoice_idx
    ON auto.tire_storage_contract (business_id, invoice_id)
    WHERE invoice_id IS NOT NULL;

ALTER TABLE auto.tire_storage_contract ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.tire_storage_contract
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.tire_storage_contract TO app_user;
GRANT SELECT ON auto.tire_storage_contract TO app_readonly;

CREATE TRIGGER tire_storage_contract_touch
    BEFORE UPDATE ON auto.tire_storage_contract
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER tire_storage_contract_status_machine
    BEFORE INSERT OR UPDATE OF status ON auto.tire_storage_contract
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["quoted", "active"],
        "transitions": {
            "quoted":    ["active", "ended"],
            "active":    ["retrieved", "overdue"],
            "overdue":   ["retrieved", "abandoned"],
            "retrieved": ["active", "ended"],
            "abandoned": ["ended"],
            "ended":     []
        }}');

CREATE FUNCTION auto.require_notice() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) AND NEW.abandoned_notice_on > tenant_mgmt.today() - 30 THEN
        RAISE EXCEPTION 'the owner of % was told on %, the set is theirs for thirty days',
                        NEW.contract_number, NEW.abandoned_notice_on
            USING ERRCODE = 'check_violation', HINT = 'Wait until the notice has run out.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.require_notice() IS
    'A set is abandoned thirty days after its owner was told.';

CREATE TRIGGER tire_storage_contract_notice
    BEFORE INSERT OR UPDATE OF status, abandoned_notice_on ON auto.tire_storage_contract
    FOR EACH ROW WHEN (NEW.status = 'abandoned')
    EXECUTE FUNCTION auto.require_notice();


CREATE TABLE auto.tire_storage_movement (
    business_id              uuid                 NOT NULL,
    tire_storage_movement_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    from_location_id         uuid,
    to_location_id           uuid,
    tire_set_id              uuid                 NOT NULL,
    tire_storage_contract_id uuid,
    technician_id            uuid,
    moved_at                 timestamptz          NOT NULL DEFAULT now(),
    movement_kind            text                 NOT NULL,
    label_code               system_core.code,
    tread_min_mm             system_core.quantity,
    pressure_set_psi         system_core.quantity,
    damage_text              text,
    photo_count              integer              NOT NULL DEFAULT 0,
    scanned_ok               boolean              NOT NULL DEFAULT false,
    reason_text              text,
    created_at               timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tire_storage_movement_id, moved_at),
    FOREIGN KEY (business_id, from_location_id)
        REFERENCES auto.stock_location (business_id, stock_location_id),
    FOREIGN KEY (business_id, to_location_id)
        REFERENCES auto.stock_location (business_id, stock_location_id),
    FOREIGN KEY (business_id, tire_set_id) REFERENCES auto.tire_set (business_id, tire_set_id),
    FOREIGN KEY (business_id, tire_storage_contract_id)
        REFERENCES auto.tire_storage_contract (business_id, tire_storage_contract_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES auto.technician (business_id, technician_id),
    CONSTRAINT tire_storage_movement_kind_known
        CHECK (movement_kind IN ('check_in', 'rerack', 'pick_for_changeover', 'check_out',
                                 'inventory_scan', 'scrap')),
    CONSTRAINT tire_storage_movement_goes_elsewhere CHECK (from_location_id <> to_location_id),
    CONSTRAINT tire_storage_movement_in_goes_to_a_rack
        CHECK (movement_kind NOT IN ('check_in', 'rerack') OR to_location_id IS NOT NULL),
    CONSTRAINT tire_storage_movement_out_comes_from_a_rack
        CHECK (movement_kind NOT IN ('check_out', 'pick_for_changeover', 'rerack')
               OR from_location_id IS NOT NULL),
    CONSTRAINT tire_storage_movement_measures_not_negative
        CHECK (tread_min_mm >= 0 AND pressure_set_psi >= 0 AND photo_count >= 0)
) PARTITION BY RANGE (moved_at);

COMMENT ON TABLE auto.tire_storage_movement IS
    'In, out and re-rack of a stored set with condition at hand-over; append only.';

-- FK: what left a rack.
CREATE INDEX tire_storage_movement_from_location_idx
    ON auto.tire_storage_movement (business_id, from_location_id)
    WHERE from_location_id IS NOT NULL;

-- FK: what came to a rack.
CREATE INDEX tire_storage_movement_to_location_idx
    ON auto.tire_storage_movement (business_id, to_location_id)
    WHERE to_location_id IS NOT NULL;

-- FK: where a set has been, the newest first.
CREATE INDEX tire_storage_movement_tire_set_idx
    ON auto.tire_storage_movement (business_id, tire_set_id, moved_at DESC);

-- FK: the movements of a contract.
CREATE INDEX tire_storage_movement_tire_storage_contract_idx
    ON auto.tire_storage_movement (business_id, tire_storage_contract_id)
    WHERE tire_storage_contract_id IS NOT NULL;

-- FK: what somebody moved.
CREATE INDEX tire_storage_movement_technician_idx
    ON auto.tire_storage_movement (business_id, technician_id)
    WHERE technician_id IS NOT NULL;

ALTER TABLE auto.tire_storage_movement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.tire_storage_movement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON auto.tire_storage_movement TO app_user;
GRANT SELECT ON auto.tire_storage_movement TO app_readonly;

CREATE TRIGGER tire_storage_movement_append_only
    BEFORE UPDATE OR DELETE ON auto.tire_storage_movement
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('auto.tire_storage_movement');

CREATE FUNCTION auto.rack_sets() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE auto.tire_set AS x
    SET fitment_state = CASE WHEN m.movement_kind IN ('check_in', 'rerack') THEN 'stored'
                             WHEN m.movement_kind = 'scrap' THEN 'scrapped'
                             ELSE 'in_transit' END,
        stored_location_id = CASE WHEN m.movement_kind IN ('check_in', 'rerack')
                                  THEN m.to_location_id END
    FROM (
        SELECT DISTINCT ON (c.business_id, c.tire_set_id) c.*
        FROM changed AS c
        WHERE c.movement_kind <> 'inventory_scan'
        ORDER BY c.business_id, c.tire_set_id, c.moved_at DESC
    ) AS m
    WHERE x.business_id = m.business_id AND x.tire_set_id = m.tire_set_id
      AND row_security_active('auto.tire_storage_movement');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.rack_sets() IS
    'A set lies where it was moved last. Imported history leaves the sets where they are.';

CREATE TRIGGER tire_storage_movement_racks
    AFTER INSERT ON auto.tire_storage_movement
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.rack_sets();

CREATE TABLE auto.tire_storage_movement_default PARTITION OF auto.tire_storage_movement DEFAULT;
ALTER TABLE auto.tire_storage_movement_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.tire_storage_movement_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions(
    'auto.tire_storage_movement', 'month', behind => 3, ahead => 1);
