/*
 * Shops: where vehicles are repaired, on what, and at which price.
 *
 * A shop is a facility with the registrations that the state and the EPA ask of it. It has bays,
 * the positions that a vehicle stands in while somebody works on it, and shop_equipment: lifts,
 * racks and machines, each with the standard that it is certified to and the date of its next
 * inspection. A bay whose lift is out of service takes no work (bay_objection).
 *
 * What an hour costs is a labor_rate, by kind of work and by who pays: the door rate on the wall
 * for customers, a contract rate for a fleet or an insurer. What a part, tire or sublet is sold at
 * follows from its cost by the price_matrix: the cheaper the part, the larger the multiplier. Rates
 * and bands are dated and never overlap, so that an old order can be priced again as it was.
 */

CREATE SCHEMA auto;
GRANT USAGE ON SCHEMA auto TO app_user, app_readonly;
COMMENT ON SCHEMA auto IS
    'An automotive service business from booking and VIN to diagnosis, authorized work, parts,
     quality check, invoice and claims, with the proof that EPA, ASE and DOT ask for.';


CREATE TABLE auto.shop (
    business_id               uuid                    NOT NULL,
    shop_id                   uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    manager_user_id           uuid,
    shop_code                 system_core.code        NOT NULL,
    name                      text                    NOT NULL,
    address_line              text                    NOT NULL,
    city                      text                    NOT NULL,
    region_code               system_core.region      NOT NULL,
    postal_code               system_core.postal_code NOT NULL,
    timezone                  system_core.time_zone   NOT NULL,
    state_registration_number text,
    epa_id_number             text,
    generator_category        text                    NOT NULL DEFAULT 'vsqg',
    weekly_hours              system_core.json_object NOT NULL DEFAULT '{}',
    overbooking_limit_pct     system_core.percentage  NOT NULL DEFAULT 110,
    shop_supplies_pct         system_core.percentage  NOT NULL DEFAULT 0,
    shop_supplies_cap_amount  system_core.money       NOT NULL DEFAULT 0,
    hazardous_waste_fee       system_core.money       NOT NULL DEFAULT 0,
    labor_tax_mode            text                    NOT NULL DEFAULT 'untaxed',
    opened_on                 date                    NOT NULL,
    created_at                timestamptz             NOT NULL DEFAULT now(),
    updated_at                timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, shop_id),
    UNIQUE (business_id, shop_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, manager_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT shop_generator_category_known CHECK (generator_category IN ('vsqg', 'sqg', 'lqg')),
    CONSTRAINT shop_labor_tax_mode_known CHECK (labor_tax_mode IN ('untaxed', 'taxed', 'split')),
    CONSTRAINT shop_supplies_bounded
        CHECK (shop_supplies_pct BETWEEN 0 AND 15 AND shop_supplies_cap_amount >= 0),
    CONSTRAINT shop_hazardous_waste_fee_not_negative CHECK (hazardous_waste_fee >= 0),
    CONSTRAINT shop_overbooking_limit_bounded CHECK (overbooking_limit_pct BETWEEN 50 AND 150),
    CONSTRAINT shop_epa_id_shape CHECK (epa_id_number ~ '^[A-Z]{2}[A-Z0-9][0-9]{9}$'),
    CONSTRAINT shop_generator_has_epa_id
        CHECK (generator_category = 'vsqg' OR epa_id_number IS NOT NULL)
);

COMMENT ON TABLE auto.shop IS
    'Repair facility with its registrations, tax identity, hours and fee policy.';
COMMENT ON COLUMN auto.shop.state_registration_number IS
    'Of the state''s bureau of automotive repair; printed on estimates and invoices.';
COMMENT ON COLUMN auto.shop.generator_category IS
    'Very small, small or large quantity generator of hazardous waste (40 CFR 262).';
COMMENT ON COLUMN auto.shop.weekly_hours IS
    '{"mon": {"opens": "07:30", "closes": "18:00"}, …, "exceptions": [{"on": "2026-12-25",
     "closed": true}]}; a day that is not named is closed.';
COMMENT ON COLUMN auto.shop.overbooking_limit_pct IS
    'How much of a day''s published productive hours may be booked; some customers never come.';
COMMENT ON COLUMN auto.shop.shop_supplies_pct IS
    'Of labor and parts, charged for rags, cleaners and small parts up to shop_supplies_cap_amount
     an order.';
COMMENT ON COLUMN auto.shop.labor_tax_mode IS
    'Whether labor is taxed; split: only where it is sold together with parts.';

-- FK: the shops that somebody manages.
CREATE INDEX shop_manager_user_idx
    ON auto.shop (business_id, manager_user_id)
    WHERE manager_user_id IS NOT NULL;

ALTER TABLE auto.shop ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.shop
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.shop TO app_user;
GRANT SELECT ON auto.shop TO app_readonly;

CREATE TRIGGER shop_touch
    BEFORE UPDATE ON auto.shop
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE auto.shop_equipment (
    business_id               uuid                 NOT NULL,
    shop_equipment_id         uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    shop_id                   uuid                 NOT NULL,
    equipment_number          text                 NOT NULL,
    equipment_kind            text                 NOT NULL,
    manufacturer              text,
    model_name                text,
    serial_number             text,
    certification_standard    text                 NOT NULL DEFAULT 'none',
    refrigerant_code          text                 NOT NULL DEFAULT 'none',
    capacity_lb               system_core.quantity,
    installed_on              date,
    inspection_interval_days  integer,
    next_inspection_on        date,
    status                    text                 NOT NULL DEFAULT 'in_service',
    owner_certificate_sent_on date,
    created_at                timestamptz          NOT NULL DEFAULT now(),
    updated_at                timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, shop_equipment_id),
    UNIQUE (business_id, equipment_number),
    FOREIGN KEY (business_id, shop_id) REFERENCES auto.shop (business_id, shop_id),
    CONSTRAINT shop_equipment_kind_known
        CHECK (equipment_kind IN ('lift', 'alignment_rack', 'tire_changer', 'balancer',
                                  'refrigerant_machine', 'brake_lathe', 'gas_analyzer',
                                  'brake_tester', 'calibration_frame', 'hv_insulation_tester',
                                  'battery_tester', 'compressor', 'oil_tank', 'spray_gun_washer')),
    CONSTRAINT shop_equipment_standard_known
        CHECK (certification_standard IN ('ali_ctl', 'sae_j2788', 'sae_j2843', 'sae_j2851',
                                          'sae_j3030', 'bar_97', 'none')),
    CONSTRAINT shop_equipment_refrigerant_known
        CHECK (refrigerant_code IN ('r134a', 'r1234yf', 'r744', 'r12', 'none')),
    CONSTRAINT shop_equipment_status_known
        CHECK (status IN ('in_service', 'due', 'out_of_service', 'retired')),
    CONSTRAINT shop_equipment_inspected_after_installation
        CHECK (next_inspection_on > installed_on),
    CONSTRAINT shop_equipment_interval_bounded
        CHECK (inspection_interval_days BETWEEN 1 AND 1830),
    CONSTRAINT shop_equipment_capacity_positive CHECK (capacity_lb > 0),
    CONSTRAINT shop_equipment_refrigerant_only_of_machines
        CHECK ((equipment_kind = 'refrigerant_machine') = (refrigerant_code <> 'none')),
    CONSTRAINT shop_equipment_refrigerant_machine_certified
        CHECK (equipment_kind <> 'refrigerant_machine' OR certification_standard IN (
                   'sae_j2788', 'sae_j2843', 'sae_j2851', 'sae_j3030')),
    CONSTRAINT shop_equipment_standard_fits_kind
        CHECK (CASE certification_standard
                   WHEN 'ali_ctl' THEN equipment_kind IN ('lift', 'alignment_rack')
                   WHEN 'bar_97' THEN equipment_kind = 'gas_analyzer'
                   WHEN 'none' THEN true
                   ELSE equipment_kind = 'refrigerant_machine' END)
);

COMMENT ON TABLE auto.shop_equipment IS
    'Lifts, alignment racks, refrigerant machines, gas analyzers, balancers and targets with
     certification state.';
COMMENT ON COLUMN auto.shop_equipment.certification_standard IS
    'ALI for lifts, SAE J2788 (R-134a), J2843 (R-1234yf), J2851 (recovery only) and J3030 (both) for
     refrigerant machines, BAR-97 for gas analyzers.';
COMMENT ON COLUMN auto.shop_equipment.status IS
    'due: still used, but its inspection is near or late.';
COMMENT ON COLUMN auto.shop_equipment.owner_certificate_sent_on IS
    'When the EPA was told of a refrigerant machine (40 CFR 82.42).';

-- FK: what a shop has, and of which kind.
CREATE INDEX shop_equipment_shop_idx
    ON auto.shop_equipment (business_id, shop_id, equipment_kind);

-- certificate_watch: what is to be inspected next.
CREATE INDEX shop_equipment_inspection_idx
    ON auto.shop_equipment (business_id, next_inspection_on)
    WHERE status <> 'retired' AND next_inspection_on IS NOT NULL;

ALTER TABLE auto.shop_equipment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.shop_equipment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.shop_equipment TO app_user;
GRANT SELECT ON auto.shop_equipment TO app_readonly;

CREATE TRIGGER shop_equipment_touch
    BEFORE UPDATE ON auto.shop_equipment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER shop_equipment_status_machine
    BEFORE INSERT OR UPDATE OF status ON auto.shop_equipment
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["in_service", "due", "out_of_service"],
        "transitions": {
            "in_service":     ["due", "out_of_service", "retired"],
            "due":            ["in_service", "out_of_service", "retired"],
            "out_of_service": ["in_service", "retired"],
            "retired":        []
        }}');


CREATE TABLE auto.bay (
    business_id            uuid                 NOT NULL,
    bay_id                 uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    lift_equipment_id      uuid,
    shop_id                uuid                 NOT NULL,
    bay_code               system_core.code     NOT NULL,
    bay_kind               text                 NOT NULL,
    lift_capacity_lb       system_core.quantity,
    ceiling_clearance_in   system_core.quantity,
    has_ev_charger         boolean              NOT NULL DEFAULT false,
    has_exhaust_extraction boolean              NOT NULL DEFAULT false,
    is_level_certified     boolean              NOT NULL DEFAULT false,
    floor_flatness_mm      system_core.quantity,
    daily_capacity_hours   numeric(10, 2)       NOT NULL DEFAULT 8,
    status                 text                 NOT NULL DEFAULT 'open',
    display_seq            integer              NOT NULL DEFAULT 1,
    created_at             timestamptz          NOT NULL DEFAULT now(),
    updated_at             timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, bay_id),
    UNIQUE (business_id, shop_id, bay_code),
    FOREIGN KEY (business_id, lift_equipment_id)
        REFERENCES auto.shop_equipment (business_id, shop_equipment_id),
    FOREIGN KEY (business_id, shop_id) REFERENCES auto.shop (business_id, shop_id),
    CONSTRAINT bay_kind_known
        CHECK (bay_kind IN ('two_post', 'four_post', 'alignment', 'flat', 'quick_lube', 'adas',
                            'ev', 'paint_booth', 'frame', 'wash')),
    CONSTRAINT bay_status_known
        CHECK (status IN ('open', 'occupied', 'out_of_service', 'retired')),
    CONSTRAINT bay_adas_is_level CHECK (bay_kind <> 'adas' OR is_level_certified),
    CONSTRAINT bay_level_was_measured
        CHECK (NOT is_level_certified OR floor_flatness_mm IS NOT NULL),
    CONSTRAINT bay_measures_positive
        CHECK (lift_capacity_lb > 0 AND ceiling_clearance_in > 0 AND floor_flatness_mm >= 0),
    CONSTRAINT bay_capacity_within_day CHECK (daily_capacity_hours BETWEEN 0 AND 24)
);

COMMENT ON TABLE auto.bay IS
    'Physical work position with lift, clearance and the special work it can host.';
COMMENT ON COLUMN auto.bay.lift_equipment_id IS
    'The lift or rack that is bolted to its floor; NULL: work is done on the ground.';
COMMENT ON COLUMN auto.bay.is_level_certified IS
    'Its floor was measured level enough to aim cameras and radars in.';
COMMENT ON COLUMN auto.bay.floor_flatness_mm IS 'Largest deviation that was measured.';
COMMENT ON COLUMN auto.bay.daily_capacity_hours IS 'Labor hours that fit into a day of the bay.';

-- FK; a lift stands in one bay.
CREATE UNIQUE INDEX bay_lift_equipment_idx
    ON auto.bay (business_id, lift_equipment_id)
    WHERE lift_equipment_id IS NOT NULL;

ALTER TABLE auto.bay ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.bay
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.bay TO app_user;
GRANT SELECT ON auto.bay TO app_readonly;

CREATE TRIGGER bay_touch
    BEFORE UPDATE ON auto.bay
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER bay_status_machine
    BEFORE INSERT OR UPDATE OF status ON auto.bay
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["open", "out_of_service"],
        "transitions": {
            "open":           ["occupied", "out_of_service", "retired"],
            "occupied":       ["open", "out_of_service"],
            "out_of_service": ["open", "retired"],
            "retired":        []
        }}');

CREATE FUNCTION auto.require_own_lift() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM auto.shop_equipment AS e
        WHERE e.business_id = NEW.business_id AND e.shop_equipment_id = NEW.lift_equipment_id
          AND e.shop_id = NEW.shop_id AND e.equipment_kind IN ('lift', 'alignment_rack'))
    THEN
        RAISE EXCEPTION 'bay %: its lift is no lift or rack of its shop', NEW.bay_code
            USING ERRCODE = 'check_violation',
                  HINT = 'Name equipment of the kind lift or alignment_rack of the same shop.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.require_own_lift() IS
    'The lift of a bay lifts vehicles, and stands in the same shop.';

CREATE TRIGGER bay_lift_is_own
    BEFORE INSERT OR UPDATE OF lift_equipment_id, shop_id ON auto.bay
    FOR EACH ROW WHEN (NEW.lift_equipment_id IS NOT NULL)
    EXECUTE FUNCTION auto.require_own_lift();

CREATE FUNCTION auto.bay_objection(of_bay uuid) RETURNS text
    LANGUAGE sql STABLE
    RETURN (
        SELECT CASE
                   WHEN b.status IN ('out_of_service', 'retired')
                       THEN format('bay %s is %s', b.bay_code, replace(b.status, '_', ' '))
                   WHEN e.status IN ('out_of_service', 'retired')
                       THEN format('bay %s: lift %s is %s', b.bay_code, e.equipment_number,
                                   replace(e.status, '_', ' '))
               END
        FROM auto.bay AS b
        LEFT JOIN auto.shop_equipment AS e
            ON e.business_id = b.business_id AND e.shop_equipment_id = b.lift_equipment_id
        WHERE b.business_id = tenant_mgmt.current_business_id() AND b.bay_id = of_bay);
COMMENT ON FUNCTION auto.bay_objection(uuid) IS
    'Why a bay of the calling tenant takes no work, NULL where it does: it or its lift is out of
     service or retired. An occupied bay takes work for later.';

CREATE FUNCTION auto.bay_is_usable(of_bay uuid) RETURNS boolean
    LANGUAGE sql STABLE
    RETURN EXISTS (
        SELECT FROM auto.bay AS b
        WHERE b.business_id = tenant_mgmt.current_business_id() AND b.bay_id = of_bay
          AND auto.bay_objection(b.bay_id) IS NULL);
COMMENT ON FUNCTION auto.bay_is_usable(uuid) IS
    'Whether a bay is there and takes work; bay_objection() tells why not.';


CREATE TABLE auto.labor_rate (
    business_id                   uuid              NOT NULL,
    labor_rate_id                 uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    shop_id                       uuid              NOT NULL,
    fleet_account_id              uuid,
    insurer_id                    uuid,
    rate_code                     system_core.code  NOT NULL,
    name                          text              NOT NULL,
    work_kind                     text              NOT NULL,
    payer_kind                    text              NOT NULL,
    hourly_rate_amount            system_core.money NOT NULL,
    refinish_material_rate_amount system_core.money,
    posted_on_sign                boolean           NOT NULL DEFAULT false,
    is_default                    boolean           NOT NULL DEFAULT false,
    effective_on                  date              NOT NULL,
    ends_on                       date,
    created_at                    timestamptz       NOT NULL DEFAULT now(),
    updated_at                    timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, labor_rate_id),
    FOREIGN KEY (business_id, shop_id) REFERENCES auto.shop (business_id, shop_id),
    CONSTRAINT labor_rate_work_known
        CHECK (work_kind IN ('mechanical', 'diagnostic', 'electrical', 'ev_high_voltage', 'body',
                             'refinish', 'frame', 'glass', 'aluminum', 'calibration', 'detail')),
    CONSTRAINT labor_rate_payer_known
        CHECK (payer_kind IN ('customer', 'warranty', 'insurance', 'fleet', 'internal')),
    CONSTRAINT labor_rate_amount_positive CHECK (hourly_rate_amount > 0),
    CONSTRAINT labor_rate_material_only_of_refinish
        CHECK (refinish_material_rate_amount IS NULL
               OR work_kind = 'refinish' AND refinish_material_rate_amount >= 0),
    CONSTRAINT labor_rate_fleet_pays_as_fleet
        CHECK (fleet_account_id IS NULL OR payer_kind = 'fleet'),
    CONSTRAINT labor_rate_insurer_pays_as_insurance
        CHECK (insurer_id IS NULL OR payer_kind = 'insurance'),
    CONSTRAINT labor_rate_ends_after_begin CHECK (ends_on > effective_on),
    CONSTRAINT labor_rate_one_at_a_time EXCLUDE USING gist (
        business_id WITH =, shop_id WITH =, work_kind WITH =, payer_kind WITH =,
        coalesce(fleet_account_id, '00000000-0000-0000-0000-000000000000') WITH =,
        coalesce(insurer_id, '00000000-0000-0000-0000-000000000000') WITH =,
        daterange(effective_on, ends_on) WITH &&)
);

COMMENT ON TABLE auto.labor_rate IS
    'Posted hourly door rate by kind of work and payer, effective-dated.';
COMMENT ON COLUMN auto.labor_rate.fleet_account_id IS
    'NULL: every fleet without a rate of its own.';
COMMENT ON COLUMN auto.labor_rate.insurer_id IS 'NULL: every insurer without a rate of its own.';
COMMENT ON COLUMN auto.labor_rate.refinish_material_rate_amount IS
    'Paint and materials per refinish hour.';
COMMENT ON COLUMN auto.labor_rate.posted_on_sign IS
    'Shown on the wall where customers see it, as states ask for.';
COMMENT ON COLUMN auto.labor_rate.is_default IS 'Taken where a job names no kind of work.';
COMMENT ON COLUMN auto.labor_rate.ends_on IS 'The first day on which it no longer holds.';

-- FK, price_job: the rate of a shop for a kind of work and a payer on a day.
CREATE INDEX labor_rate_shop_idx
    ON auto.labor_rate (business_id, shop_id, work_kind, payer_kind, effective_on);

-- A shop has one default for a payer, as long as it holds.
CREATE UNIQUE INDEX labor_rate_default_idx
    ON auto.labor_rate (business_id, shop_id, payer_kind)
    WHERE is_default AND ends_on IS NULL AND fleet_account_id IS NULL AND insurer_id IS NULL;

-- FK: the contract rates of a fleet.
CREATE INDEX labor_rate_fleet_account_idx
    ON auto.labor_rate (business_id, fleet_account_id)
    WHERE fleet_account_id IS NOT NULL;

-- FK: the contract rates of an insurer.
CREATE INDEX labor_rate_insurer_idx
    ON auto.labor_rate (business_id, insurer_id)
    WHERE insurer_id IS NOT NULL;

ALTER TABLE auto.labor_rate ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.labor_rate
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.labor_rate TO app_user;
GRANT SELECT ON auto.labor_rate TO app_readonly;

CREATE TRIGGER labor_rate_touch
    BEFORE UPDATE ON auto.labor_rate
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE auto.price_matrix (
    business_id     uuid                   NOT NULL,
    price_matrix_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    shop_id         uuid                   NOT NULL,
    matrix_code     system_core.code       NOT NULL,
    matrix_kind     text                   NOT NULL,
    payer_kind      text                   NOT NULL,
    min_cost        system_core.money      NOT NULL DEFAULT 0,
    max_cost        system_core.money,
    multiplier      system_core.quantity   NOT NULL,
    margin_pct      system_core.percentage NOT NULL GENERATED ALWAYS AS (
                        round(100 * (1 - 1 / multiplier), 4)) STORED,
    rounding        text                   NOT NULL DEFAULT 'none',
    effective_on    date                   NOT NULL,
    ends_on         date,
    created_at      timestamptz            NOT NULL DEFAULT now(),
    updated_at      timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, price_matrix_id),
    FOREIGN KEY (business_id, shop_id) REFERENCES auto.shop (business_id, shop_id),
    CONSTRAINT price_matrix_kind_known
        CHECK (matrix_kind IN ('parts', 'tires', 'sublet', 'labor')),
    CONSTRAINT price_matrix_payer_known
        CHECK (payer_kind IN ('customer', 'warranty', 'insurance', 'fleet', 'internal')),
    CONSTRAINT price_matrix_rounding_known CHECK (rounding IN ('none', 'to_49_99', 'to_dollar')),
    CONSTRAINT price_matrix_sells_above_cost CHECK (multiplier >= 1),
    CONSTRAINT price_matrix_band_is_whole CHECK (min_cost >= 0 AND max_cost > min_cost),
    CONSTRAINT price_matrix_ends_after_begin CHECK (ends_on > effective_on),
    CONSTRAINT price_matrix_one_band_of_a_cost EXCLUDE USING gist (
        business_id WITH =, shop_id WITH =, matrix_code WITH =, payer_kind WITH =,
        numrange(min_cost, max_cost) WITH &&, daterange(effective_on, ends_on) WITH &&)
);

COMMENT ON TABLE auto.price_matrix IS 'One cost band of a named parts or labor markup matrix.';
COMMENT ON COLUMN auto.price_matrix.max_cost IS 'The first cost above the band; NULL: no end.';
COMMENT ON COLUMN auto.price_matrix.multiplier IS 'Price = cost * multiplier, then rounded.';
COMMENT ON COLUMN auto.price_matrix.margin_pct IS 'The share of the price that is profit.';
COMMENT ON COLUMN auto.price_matrix.rounding IS
    'to_49_99: up to the next .49 or .99; to_dollar: to the nearest.';
COMMENT ON COLUMN auto.price_matrix.ends_on IS 'The first day on which it no longer holds.';

-- FK, price_job: the bands of a shop for a kind of thing sold and a payer.
CREATE INDEX price_matrix_shop_idx
    ON auto.price_matrix (business_id, shop_id, matrix_kind, payer_kind, min_cost);

ALTER TABLE auto.price_matrix ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.price_matrix
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.price_matrix TO app_user;
GRANT SELECT ON auto.price_matrix TO app_readonly;

CREATE TRIGGER price_matrix_touch
    BEFORE UPDATE ON auto.price_matrix
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
