/*
 * Installed equipment: what stands at the customer's site and what was done to it.
 *
 * An equipment_model is what a maker sells; installed_equipment is one unit of it at a location,
 * perhaps part of a system (its parent). equipment_measurement keeps the readings taken on site
 * with a verdict that follows from the target. equipment_warranty says who pays when it fails and
 * warranty_claim what was asked of them. Refrigerant is accounted for by the pound (40 CFR 82
 * subpart F): a refrigerant_cylinder holds it and refrigerant_transaction moves it, by certified
 * technicians only; the weight of a cylinder follows its transactions.
 */

CREATE TABLE hs.equipment_model (
    business_id           uuid                    NOT NULL,
    equipment_model_id    uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    manufacturer_name     text                    NOT NULL,
    model_number          text                    NOT NULL,
    equipment_kind        text                    NOT NULL,
    fuel                  text                    NOT NULL DEFAULT 'none',
    capacity_btuh         integer,
    efficiency_rating     text,
    refrigerant_code      text,
    factory_charge_lb     system_core.quantity,
    parts_warranty_months integer                 NOT NULL DEFAULT 60,
    labor_warranty_months integer                 NOT NULL DEFAULT 12,
    expected_life_years   integer                 NOT NULL DEFAULT 15,
    specification         system_core.json_object NOT NULL DEFAULT '{}',
    discontinued_on       date,
    created_at            timestamptz             NOT NULL DEFAULT now(),
    updated_at            timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, equipment_model_id),
    UNIQUE (business_id, manufacturer_name, model_number),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT equipment_model_kind_known
        CHECK (equipment_kind IN ('furnace', 'air_conditioner', 'heat_pump', 'boiler',
                                  'water_heater', 'mini_split', 'generator', 'panel', 'softener',
                                  'sump_pump', 'appliance', 'garage_opener')),
    CONSTRAINT equipment_model_fuel_known
        CHECK (fuel IN ('gas', 'electric', 'oil', 'propane', 'solar', 'none')),
    CONSTRAINT equipment_model_capacity_positive CHECK (capacity_btuh > 0),
    CONSTRAINT equipment_model_refrigerant_shape CHECK (refrigerant_code ~ '^R-[0-9]{2,4}[A-Z]?$'),
    CONSTRAINT equipment_model_charge_not_negative CHECK (factory_charge_lb >= 0),
    CONSTRAINT equipment_model_charge_of_refrigerant
        CHECK (factory_charge_lb IS NULL OR refrigerant_code IS NOT NULL),
    CONSTRAINT equipment_model_warranty_bounded
        CHECK (parts_warranty_months BETWEEN 0 AND 480
               AND labor_warranty_months BETWEEN 0 AND 480),
    CONSTRAINT equipment_model_life_bounded CHECK (expected_life_years BETWEEN 1 AND 60)
);

COMMENT ON TABLE hs.equipment_model IS
    'A maker''s model with its ratings, factory charge and terms of warranty.';
COMMENT ON COLUMN hs.equipment_model.capacity_btuh IS 'British thermal units an hour.';
COMMENT ON COLUMN hs.equipment_model.efficiency_rating IS
    'As the maker states it: 16 SEER2, 96 AFUE.';
COMMENT ON COLUMN hs.equipment_model.specification IS
    'Ratings and nameplate data by kind: {"voltage": 240, "mca": 22.1, "tons": 3}.';

ALTER TABLE hs.equipment_model ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.equipment_model
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.equipment_model TO app_user;
GRANT SELECT ON hs.equipment_model TO app_readonly;

CREATE TRIGGER equipment_model_touch
    BEFORE UPDATE ON hs.equipment_model
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

-- What a stock item is installed as.
ALTER TABLE hs.stock_item ADD FOREIGN KEY (business_id, equipment_model_id)
    REFERENCES hs.equipment_model (business_id, equipment_model_id);


CREATE TABLE hs.installed_equipment (
    business_id              uuid                 NOT NULL,
    installed_equipment_id   uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    service_location_id      uuid                 NOT NULL,
    equipment_model_id       uuid,
    serialized_unit_id       uuid,
    parent_equipment_id      uuid,
    installing_work_order_id uuid,
    asset_tag                system_core.code     NOT NULL,
    serial_number            text,
    placement                text,
    condition                text                 NOT NULL DEFAULT 'good',
    status                   text                 NOT NULL DEFAULT 'active',
    refrigerant_code         text,
    full_charge_lb           system_core.quantity,
    charge_method            text,
    installed_on             date                 NOT NULL,
    manufactured_on          date,
    last_serviced_on         date,
    next_service_due_on      date,
    removed_on               date,
    replacement_target_year  integer,
    created_at               timestamptz          NOT NULL DEFAULT now(),
    updated_at               timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, installed_equipment_id),
    UNIQUE (business_id, asset_tag),
    FOREIGN KEY (business_id, service_location_id)
        REFERENCES hs.service_location (business_id, service_location_id),
    FOREIGN KEY (business_id, equipment_model_id)
        REFERENCES hs.equipment_model (business_id, equipment_model_id),
    FOREIGN KEY (business_id, serialized_unit_id)
        REFERENCES hs.serialized_unit (business_id, serialized_unit_id),
    FOREIGN KEY (business_id, parent_equipment_id)
        REFERENCES hs.installed_equipment (business_id, installed_equipment_id),
    FOREIGN KEY (business_id, installing_work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id),
    CONSTRAINT installed_equipment_condition_known
        CHECK (condition IN ('new', 'good', 'fair', 'poor', 'failed')),
    CONSTRAINT installed_equipment_status_known
        CHECK (status IN ('active', 'inactive', 'removed', 'scrapped')),
    CONSTRAINT installed_equipment_charge_method_known
        CHECK (charge_method IN ('manufacturer', 'calculated', 'measured', 'range')),
    CONSTRAINT installed_equipment_not_its_own_parent
        CHECK (parent_equipment_id <> installed_equipment_id),
    CONSTRAINT installed_equipment_refrigerant_shape
        CHECK (refrigerant_code ~ '^R-[0-9]{2,4}[A-Z]?$'),
    CONSTRAINT installed_equipment_charge_positive CHECK (full_charge_lb > 0),
    CONSTRAINT installed_equipment_charge_of_refrigerant
        CHECK (full_charge_lb IS NULL OR refrigerant_code IS NOT NULL),
    CONSTRAINT installed_equipment_charge_known_somehow
        CHECK ((full_charge_lb IS NULL) = (charge_method IS NULL)),
    CONSTRAINT installed_equipment_made_before_installed CHECK (manufactured_on <= installed_on),
    CONSTRAINT installed_equipment_serviced_after_install CHECK (last_serviced_on >= installed_on),
    CONSTRAINT installed_equipment_removed_after_install CHECK (removed_on >= installed_on),
    CONSTRAINT installed_equipment_removed_has_day
        CHECK ((status IN ('removed', 'scrapped')) = (removed_on IS NOT NULL)),
    CONSTRAINT installed_equipment_target_year_bounded
        CHECK (replacement_target_year BETWEEN 2000 AND 2200)
);

COMMENT ON TABLE hs.installed_equipment IS
    'A unit at a location, with its system, charge of refrigerant and dates of service.';
COMMENT ON COLUMN hs.installed_equipment.parent_equipment_id IS
    'The system that it is part of, at the same location: a coil of its heat pump.';
COMMENT ON COLUMN hs.installed_equipment.full_charge_lb IS
    'What 40 CFR 82.152 calls the full charge; the base of the leak rate.';
COMMENT ON COLUMN hs.installed_equipment.charge_method IS 'How the full charge was found.';

-- FK: what stands at a location.
CREATE INDEX installed_equipment_location_idx
    ON hs.installed_equipment (business_id, service_location_id, status);

-- FK: the units of a model (recalls).
CREATE INDEX installed_equipment_model_idx
    ON hs.installed_equipment (business_id, equipment_model_id)
    WHERE equipment_model_id IS NOT NULL;

-- FK: a piece from stock stands in one place.
CREATE UNIQUE INDEX installed_equipment_unit_idx
    ON hs.installed_equipment (business_id, serialized_unit_id)
    WHERE serialized_unit_id IS NOT NULL;

-- FK: the parts of a system.
CREATE INDEX installed_equipment_parent_idx
    ON hs.installed_equipment (business_id, parent_equipment_id)
    WHERE parent_equipment_id IS NOT NULL;

-- FK: what a work order installed.
CREATE INDEX installed_equipment_work_order_idx
    ON hs.installed_equipment (business_id, installing_work_order_id)
    WHERE installing_work_order_id IS NOT NULL;

-- Service reminders: what is due next.
CREATE INDEX installed_equipment_due_idx
    ON hs.installed_equipment (business_id, next_service_due_on)
    WHERE status = 'active';

ALTER TABLE hs.installed_equipment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.installed_equipment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.installed_equipment TO app_user;
GRANT SELECT ON hs.installed_equipment TO app_readonly;

CREATE TRIGGER installed_equipment_touch
    BEFORE UPDATE ON hs.installed_equipment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER installed_equipment_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.installed_equipment
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["active", "inactive"],
        "transitions": {
            "active":   ["inactive", "removed"],
            "inactive": ["active", "removed"],
            "removed":  ["scrapped"],
            "scrapped": []
        }}');

CREATE FUNCTION hs.require_parent_on_site() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    stray record;
BEGIN
    SELECT e.asset_tag INTO stray
    FROM changed AS c
    JOIN hs.installed_equipment AS e
        ON e.business_id = c.business_id
       AND (e.installed_equipment_id = c.installed_equipment_id
            OR e.parent_equipment_id = c.installed_equipment_id)
    JOIN hs.installed_equipment AS system
        ON system.business_id = e.business_id
       AND system.installed_equipment_id = e.parent_equipment_id
    WHERE system.service_location_id <> e.service_location_id
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'unit % is part of a system at another location', stray.asset_tag
            USING ERRCODE = 'check_violation',
                  HINT = 'Move the parts together with their system.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.require_parent_on_site() IS
    'A unit stands where the system stands that it is part of.';

CREATE TRIGGER installed_equipment_parent_on_site_insert
    AFTER INSERT ON hs.installed_equipment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.require_parent_on_site();

CREATE TRIGGER installed_equipment_parent_on_site_update
    AFTER UPDATE ON hs.installed_equipment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.require_parent_on_site();

-- Work orders came first; what they serviced and photographed is known only now.
ALTER TABLE hs.work_order_equipment ADD FOREIGN KEY (business_id, installed_equipment_id)
    REFERENCES hs.installed_equipment (business_id, installed_equipment_id);
ALTER TABLE hs.work_order_media ADD FOREIGN KEY (business_id, installed_equipment_id)
    REFERENCES hs.installed_equipment (business_id, installed_equipment_id);


CREATE TABLE hs.equipment_measurement (
    business_id              uuid                 NOT NULL,
    equipment_measurement_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    installed_equipment_id   uuid                 NOT NULL,
    work_order_id            uuid,
    technician_id            uuid,
    tool_asset_id            uuid,
    parameter                text                 NOT NULL,
    measured_value           system_core.quantity NOT NULL,
    unit_code                text                 NOT NULL,
    target_min               system_core.quantity,
    target_max               system_core.quantity,
    verdict                  text                 GENERATED ALWAYS AS (
                                 CASE WHEN target_min IS NULL AND target_max IS NULL THEN NULL
                                      WHEN measured_value >= coalesce(target_min, measured_value)
                                       AND measured_value <= coalesce(target_max, measured_value)
                                      THEN 'pass'
                                      WHEN measured_value >= coalesce(
                                               target_min - 0.1 * abs(target_min), measured_value)
                                       AND measured_value <= coalesce(
                                               target_max + 0.1 * abs(target_max), measured_value)
                                      THEN 'warning'
                                      ELSE 'fail' END) STORED,
    ambient_temp_f           numeric(6, 2),
    is_as_found              boolean              NOT NULL DEFAULT true,
    note_text                text,
    measured_at              timestamptz          NOT NULL DEFAULT now(),
    created_at               timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, equipment_measurement_id, measured_at),
    FOREIGN KEY (business_id, installed_equipment_id)
        REFERENCES hs.installed_equipment (business_id, installed_equipment_id),
    FOREIGN KEY (business_id, work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    FOREIGN KEY (business_id, tool_asset_id)
        REFERENCES hs.tool_asset (business_id, tool_asset_id),
    CONSTRAINT equipment_measurement_parameter_known
        CHECK (parameter IN ('supply_temp', 'return_temp', 'superheat', 'subcooling',
                             'suction_psi', 'discharge_psi', 'static_pressure', 'gas_manifold',
                             'co_ppm', 'amp_draw', 'voltage', 'water_ph', 'hardness')),
    CONSTRAINT equipment_measurement_target_in_order CHECK (target_max >= target_min)
) PARTITION BY RANGE (measured_at);

COMMENT ON TABLE hs.equipment_measurement IS
    'A reading taken on site, with what it should have been; append only.';
COMMENT ON COLUMN hs.equipment_measurement.verdict IS
    'pass within the target, warning within a tenth of its bound beyond, else fail; NULL without
     a target.';
COMMENT ON COLUMN hs.equipment_measurement.is_as_found IS 'Before anything was adjusted.';

-- FK: the readings of a unit over time.
CREATE INDEX equipment_measurement_equipment_idx
    ON hs.equipment_measurement (business_id, installed_equipment_id, parameter, measured_at);

-- FK: what was measured on a job.
CREATE INDEX equipment_measurement_work_order_idx
    ON hs.equipment_measurement (business_id, work_order_id)
    WHERE work_order_id IS NOT NULL;

-- FK: what a technician measured.
CREATE INDEX equipment_measurement_technician_idx
    ON hs.equipment_measurement (business_id, technician_id)
    WHERE technician_id IS NOT NULL;

-- FK: the readings of a tool that turned out to be off.
CREATE INDEX equipment_measurement_tool_idx
    ON hs.equipment_measurement (business_id, tool_asset_id, measured_at)
    WHERE tool_asset_id IS NOT NULL;

ALTER TABLE hs.equipment_measurement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.equipment_measurement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON hs.equipment_measurement TO app_user;
GRANT SELECT ON hs.equipment_measurement TO app_readonly;

CREATE TRIGGER equipment_measurement_append_only
    BEFORE UPDATE OR DELETE ON hs.equipment_measurement
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('hs.equipment_measurement');

CREATE FUNCTION hs.require_tool_in_calibration() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    overdue record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    SELECT t.asset_number, t.calibration_due_on INTO overdue
    FROM changed AS c
    JOIN hs.tool_asset AS t
        ON t.business_id = c.business_id AND t.tool_asset_id = c.tool_asset_id
    WHERE t.calibration_due_on < c.measured_at::date
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'tool % was due for calibration on %', overdue.asset_number,
                        overdue.calibration_due_on
            USING ERRCODE = 'check_violation',
                  HINT = 'Measure again with a tool in calibration.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.require_tool_in_calibration() IS
    'A reading by a tool past its calibration is no reading. History is not asked: the tool knows
     only when it is due next.';

CREATE TRIGGER equipment_measurement_calibrated
    AFTER INSERT ON hs.equipment_measurement
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.require_tool_in_calibration();

CREATE TABLE hs.equipment_measurement_default PARTITION OF hs.equipment_measurement DEFAULT;
ALTER TABLE hs.equipment_measurement_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.equipment_measurement_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('hs.equipment_measurement', 'month', behind => 3, ahead => 1);


CREATE TABLE hs.equipment_warranty (
    business_id              uuid                    NOT NULL,
    equipment_warranty_id    uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    installed_equipment_id   uuid                    NOT NULL,
    administrator_vendor_id  uuid,
    warranty_kind            text                    NOT NULL,
    policy_number            text,
    starts_on                date                    NOT NULL,
    ends_on                  date                    NOT NULL,
    registered_on            date,
    registration_deadline_on date,
    is_registered            boolean                 NOT NULL
        GENERATED ALWAYS AS (registered_on IS NOT NULL) STORED,
    is_transferable          boolean                 NOT NULL DEFAULT false,
    coverage                 system_core.json_object NOT NULL DEFAULT '{"components": []}',
    deductible_amount        system_core.money       NOT NULL DEFAULT 0,
    status                   text                    NOT NULL DEFAULT 'active',
    created_at               timestamptz             NOT NULL DEFAULT now(),
    updated_at               timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, equipment_warranty_id),
    UNIQUE (business_id, installed_equipment_id, warranty_kind, starts_on),
    FOREIGN KEY (business_id, installed_equipment_id)
        REFERENCES hs.installed_equipment (business_id, installed_equipment_id),
    FOREIGN KEY (business_id, administrator_vendor_id)
        REFERENCES hs.vendor (business_id, vendor_id),
    CONSTRAINT equipment_warranty_kind_known
        CHECK (warranty_kind IN ('manufacturer_parts', 'manufacturer_compressor', 'labor',
                                 'extended', 'workmanship')),
    CONSTRAINT equipment_warranty_status_known
        CHECK (status IN ('pending_registration', 'active', 'expired', 'void', 'exhausted')),
    CONSTRAINT equipment_warranty_ends_after_start CHECK (ends_on > starts_on),
    CONSTRAINT equipment_warranty_registered_in_time
        CHECK (registered_on <= registration_deadline_on),
    CONSTRAINT equipment_warranty_pending_has_deadline
        CHECK (status <> 'pending_registration'
               OR (registered_on IS NULL AND registration_deadline_on IS NOT NULL)),
    CONSTRAINT equipment_warranty_components_listed
        CHECK (coalesce(jsonb_typeof(coverage -> 'components'), 'array') = 'array'),
    CONSTRAINT equipment_warranty_deductible_not_negative CHECK (deductible_amount >= 0)
);

COMMENT ON TABLE hs.equipment_warranty IS
    'Who pays for what when a unit fails: the maker, an insurer, or the own workmanship.';
COMMENT ON COLUMN hs.equipment_warranty.coverage IS
    '{"components": [{"component": "compressor", "months": 120, "labor_cap": 800}]}: what is
     covered, for how many months from the start, and how much labor is paid.';

-- FK: what an administrator covers.
CREATE INDEX equipment_warranty_vendor_idx
    ON hs.equipment_warranty (business_id, administrator_vendor_id)
    WHERE administrator_vendor_id IS NOT NULL;

-- Registrations that must not be missed.
CREATE INDEX equipment_warranty_deadline_idx
    ON hs.equipment_warranty (business_id, registration_deadline_on)
    WHERE status = 'pending_registration';

ALTER TABLE hs.equipment_warranty ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.equipment_warranty
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.equipment_warranty TO app_user;
GRANT SELECT ON hs.equipment_warranty TO app_readonly;

CREATE TRIGGER equipment_warranty_touch
    BEFORE UPDATE ON hs.equipment_warranty
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER equipment_warranty_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.equipment_warranty
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["pending_registration", "active"],
        "transitions": {
            "pending_registration": ["active", "expired", "void"],
            "active":               ["expired", "void", "exhausted"],
            "expired":              [],
            "void":                 [],
            "exhausted":            []
        }}');


CREATE FUNCTION hs.find_coverage(of_equipment uuid, part text, failed_on date) RETURNS TABLE (
    equipment_warranty_id uuid,
    warranty_kind         text,
    component             text,
    covered_until         date,
    labor_cap_amount      system_core.money,
    deductible_amount     system_core.money
)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT w.equipment_warranty_id, w.warranty_kind, c.component, term.ends_on,
           c.labor_cap::system_core.money, w.deductible_amount
    FROM hs.equipment_warranty AS w
    CROSS JOIN LATERAL JSON_TABLE(w.coverage, '$.components[*]' COLUMNS (
        component text    PATH '$.component',
        months    integer PATH '$.months',
        labor_cap numeric PATH '$.labor_cap'
    )) AS c
    CROSS JOIN LATERAL (
        SELECT least(w.ends_on,
                     (w.starts_on + make_interval(months => c.months))::date) AS ends_on) AS term
    WHERE w.business_id = tenant_mgmt.current_business_id()
      AND w.installed_equipment_id = of_equipment AND w.status IN ('active', 'expired')
      AND (c.component = part OR c.component = 'all')
      AND failed_on >= w.starts_on AND failed_on < term.ends_on
    ORDER BY w.deductible_amount, term.ends_on DESC;
END;
COMMENT ON FUNCTION hs.find_coverage(uuid, text, date) IS
    'The tenant''s warranties that cover a failed part of a unit on the day that it failed, the
     cheapest for the customer first. What has expired since still covers that day.';


CREATE TABLE hs.warranty_claim (
    business_id           uuid              NOT NULL,
    warranty_claim_id     uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    equipment_warranty_id uuid              NOT NULL,
    work_order_id         uuid              NOT NULL,
    vendor_id             uuid,
    replacement_unit_id   uuid,
    claim_number          system_core.code  NOT NULL,
    failed_part_number    text,
    failed_part_serial    text,
    diagnosis_text        text,
    status                text              NOT NULL DEFAULT 'draft',
    parts_claimed_amount  system_core.money NOT NULL DEFAULT 0,
    labor_claimed_amount  system_core.money NOT NULL DEFAULT 0,
    credited_amount       system_core.money NOT NULL DEFAULT 0,
    failure_on            date              NOT NULL,
    submitted_on          date,
    credited_on           date,
    part_return_due_on    date,
    part_returned_on      date,
    denial_reason         text,
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, warranty_claim_id),
    UNIQUE (business_id, claim_number),
    FOREIGN KEY (business_id, equipment_warranty_id)
        REFERENCES hs.equipment_warranty (business_id, equipment_warranty_id),
    FOREIGN KEY (business_id, work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id),
    FOREIGN KEY (business_id, vendor_id) REFERENCES hs.vendor (business_id, vendor_id),
    FOREIGN KEY (business_id, replacement_unit_id)
        REFERENCES hs.serialized_unit (business_id, serialized_unit_id),
    CONSTRAINT warranty_claim_status_known
        CHECK (status IN ('draft', 'submitted', 'info_requested', 'approved', 'denied',
                          'credited', 'closed')),
    CONSTRAINT warranty_claim_amounts_not_negative
        CHECK (parts_claimed_amount >= 0 AND labor_claimed_amount >= 0 AND credited_amount >= 0),
    CONSTRAINT warranty_claim_credit_within_claim
        CHECK (credited_amount <= parts_claimed_amount + labor_claimed_amount),
    CONSTRAINT warranty_claim_submitted_has_day
        CHECK (status = 'draft' OR submitted_on IS NOT NULL),
    CONSTRAINT warranty_claim_submitted_after_failure CHECK (submitted_on >= failure_on),
    CONSTRAINT warranty_claim_credited_has_day
        CHECK (status <> 'credited' OR credited_on IS NOT NULL),
    CONSTRAINT warranty_claim_credit_has_day
        CHECK (credited_amount = 0 OR credited_on IS NOT NULL),
    CONSTRAINT warranty_claim_credited_after_submission CHECK (credited_on >= submitted_on),
    CONSTRAINT warranty_claim_denied_has_reason
        CHECK (status <> 'denied' OR denial_reason IS NOT NULL)
);

COMMENT ON TABLE hs.warranty_claim IS
    'What was asked of a maker or administrator for a failed part, and what came of it.';
COMMENT ON COLUMN hs.warranty_claim.vendor_id IS 'The distributor who handles it.';

-- FK: the claims on a warranty.
CREATE INDEX warranty_claim_warranty_idx
    ON hs.warranty_claim (business_id, equipment_warranty_id);

-- FK: the claims of a job.
CREATE INDEX warranty_claim_work_order_idx ON hs.warranty_claim (business_id, work_order_id);

-- FK: what a vendor owes.
CREATE INDEX warranty_claim_vendor_idx
    ON hs.warranty_claim (business_id, vendor_id, status)
    WHERE vendor_id IS NOT NULL;

-- FK: what a piece from stock replaced.
CREATE INDEX warranty_claim_unit_idx
    ON hs.warranty_claim (business_id, replacement_unit_id)
    WHERE replacement_unit_id IS NOT NULL;

ALTER TABLE hs.warranty_claim ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.warranty_claim
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.warranty_claim TO app_user;
GRANT SELECT ON hs.warranty_claim TO app_readonly;

CREATE TRIGGER warranty_claim_touch
    BEFORE UPDATE ON hs.warranty_claim
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER warranty_claim_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.warranty_claim
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":          ["submitted"],
            "submitted":      ["info_requested", "approved", "denied"],
            "info_requested": ["submitted", "denied"],
            "approved":       ["credited", "denied"],
            "denied":         ["submitted", "closed"],
            "credited":       ["closed"],
            "closed":         []
        }}');

CREATE FUNCTION hs.require_failure_in_warranty() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    outside record;
BEGIN
    SELECT c.claim_number, c.failure_on, w.starts_on, w.ends_on INTO outside
    FROM (SELECT DISTINCT t.business_id, t.equipment_warranty_id FROM changed AS t) AS touched
    JOIN hs.equipment_warranty AS w
        ON w.business_id = touched.business_id
       AND w.equipment_warranty_id = touched.equipment_warranty_id
    JOIN hs.warranty_claim AS c
        ON c.business_id = w.business_id AND c.equipment_warranty_id = w.equipment_warranty_id
    WHERE c.failure_on < w.starts_on OR c.failure_on >= w.ends_on
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'claim %: the failure on % is outside the warranty from % to %',
                        outside.claim_number, outside.failure_on, outside.starts_on,
                        outside.ends_on
            USING ERRCODE = 'check_violation',
                  HINT = 'hs.find_coverage() lists what covers a part on a day.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.require_failure_in_warranty() IS
    'A claim is about a failure within its warranty, whichever of the two is edited.';

CREATE TRIGGER warranty_claim_in_warranty_insert
    AFTER INSERT ON hs.warranty_claim
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.require_failure_in_warranty();

CREATE TRIGGER warranty_claim_in_warranty_update
    AFTER UPDATE ON hs.warranty_claim
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.require_failure_in_warranty();

CREATE TRIGGER equipment_warranty_holds_claims
    AFTER UPDATE ON hs.equipment_warranty
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.require_failure_in_warranty();


CREATE TABLE hs.refrigerant_cylinder (
    business_id             uuid                 NOT NULL,
    refrigerant_cylinder_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    stock_location_id       uuid,
    vendor_id               uuid,
    custodian_technician_id uuid,
    cylinder_number         system_core.code     NOT NULL,
    refrigerant_code        text                 NOT NULL,
    cylinder_kind           text                 NOT NULL DEFAULT 'virgin',
    tare_lb                 system_core.quantity NOT NULL,
    capacity_lb             system_core.quantity NOT NULL,
    net_lb                  system_core.quantity NOT NULL DEFAULT 0,
    status                  text                 NOT NULL DEFAULT 'in_stock',
    lot_number              text,
    purchase_cost           system_core.money    NOT NULL DEFAULT 0,
    received_on             date                 NOT NULL,
    hydrotest_due_on        date,
    created_at              timestamptz          NOT NULL DEFAULT now(),
    updated_at              timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, refrigerant_cylinder_id),
    UNIQUE (business_id, cylinder_number),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, stock_location_id)
        REFERENCES hs.stock_location (business_id, stock_location_id),
    FOREIGN KEY (business_id, vendor_id) REFERENCES hs.vendor (business_id, vendor_id),
    FOREIGN KEY (business_id, custodian_technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    CONSTRAINT refrigerant_cylinder_kind_known
        CHECK (cylinder_kind IN ('virgin', 'recovery', 'recycled', 'reclaimed')),
    CONSTRAINT refrigerant_cylinder_status_known
        CHECK (status IN ('in_stock', 'on_truck', 'empty', 'returned', 'quarantined')),
    CONSTRAINT refrigerant_cylinder_refrigerant_shape
        CHECK (refrigerant_code ~ '^R-[0-9]{2,4}[A-Z]?$'),
    CONSTRAINT refrigerant_cylinder_weights_positive CHECK (tare_lb > 0 AND capacity_lb > 0),
    CONSTRAINT refrigerant_cylinder_net_within_capacity CHECK (net_lb BETWEEN 0 AND capacity_lb),
    CONSTRAINT refrigerant_cylinder_recovery_at_most_80_percent
        CHECK (cylinder_kind <> 'recovery' OR net_lb <= 0.8 * capacity_lb),
    CONSTRAINT refrigerant_cylinder_empty_is_empty CHECK (status <> 'empty' OR net_lb = 0),
    CONSTRAINT refrigerant_cylinder_on_truck_has_custodian
        CHECK (status <> 'on_truck' OR custodian_technician_id IS NOT NULL),
    CONSTRAINT refrigerant_cylinder_tested_after_receipt CHECK (hydrotest_due_on > received_on),
    CONSTRAINT refrigerant_cylinder_cost_not_negative CHECK (purchase_cost >= 0)
);

COMMENT ON TABLE hs.refrigerant_cylinder IS
    'A tracked cylinder: what it holds, who keeps it, and until when it may be filled.';
COMMENT ON COLUMN hs.refrigerant_cylinder.net_lb IS
    'Refrigerant in it; follows its transactions.';
COMMENT ON COLUMN hs.refrigerant_cylinder.hydrotest_due_on IS
    'After this day nothing is filled into it.';

-- FK: the cylinders at a location of stock.
CREATE INDEX refrigerant_cylinder_location_idx
    ON hs.refrigerant_cylinder (business_id, stock_location_id)
    WHERE stock_location_id IS NOT NULL;

-- FK: the cylinders of a vendor.
CREATE INDEX refrigerant_cylinder_vendor_idx
    ON hs.refrigerant_cylinder (business_id, vendor_id)
    WHERE vendor_id IS NOT NULL;

-- FK: what a technician keeps.
CREATE INDEX refrigerant_cylinder_custodian_idx
    ON hs.refrigerant_cylinder (business_id, custodian_technician_id)
    WHERE custodian_technician_id IS NOT NULL;

ALTER TABLE hs.refrigerant_cylinder ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.refrigerant_cylinder
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.refrigerant_cylinder TO app_user;
GRANT SELECT ON hs.refrigerant_cylinder TO app_readonly;

CREATE TRIGGER refrigerant_cylinder_touch
    BEFORE UPDATE ON hs.refrigerant_cylinder
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.refrigerant_transaction (
    business_id                uuid                   NOT NULL,
    refrigerant_transaction_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    refrigerant_cylinder_id    uuid                   NOT NULL,
    technician_id              uuid                   NOT NULL,
    installed_equipment_id     uuid,
    work_order_id              uuid,
    transaction_kind           text                   NOT NULL,
    refrigerant_code           text                   NOT NULL,
    weight_before_lb           system_core.quantity   NOT NULL,
    weight_after_lb            system_core.quantity   NOT NULL,
    -- No domain: PostgreSQL 17.12 takes a trigger's row for another type where one is generated.
    quantity_lb                numeric(14,4)          NOT NULL
        GENERATED ALWAYS AS (abs(weight_before_lb - weight_after_lb)) STORED,
    purpose                    text,
    leak_rate_pct              system_core.percentage,
    leak_rate_method           text,
    reclaimer_name             text,
    reclaimer_epa_id           text,
    performed_at               timestamptz            NOT NULL DEFAULT now(),
    created_at                 timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, refrigerant_transaction_id, performed_at),
    FOREIGN KEY (business_id, refrigerant_cylinder_id)
        REFERENCES hs.refrigerant_cylinder (business_id, refrigerant_cylinder_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    FOREIGN KEY (business_id, installed_equipment_id)
        REFERENCES hs.installed_equipment (business_id, installed_equipment_id),
    FOREIGN KEY (business_id, work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id),
    CONSTRAINT refrigerant_transaction_kind_known
        CHECK (transaction_kind IN ('charge', 'recover', 'transfer_in', 'transfer_out',
                                    'reclaim_shipment', 'disposal')),
    CONSTRAINT refrigerant_transaction_purpose_known
        CHECK (purpose IN ('leak_repair', 'new_install', 'retrofit', 'disposal', 'top_off')),
    CONSTRAINT refrigerant_transaction_method_known
        CHECK (leak_rate_method IN ('annualizing', 'rolling_average')),
    CONSTRAINT refrigerant_transaction_weights_not_negative
        CHECK (weight_before_lb >= 0 AND weight_after_lb >= 0),
    CONSTRAINT refrigerant_transaction_moves_something
        CHECK (weight_before_lb <> weight_after_lb),
    CONSTRAINT refrigerant_transaction_fills_or_empties
        CHECK ((transaction_kind IN ('recover', 'transfer_in'))
               = (weight_after_lb > weight_before_lb)),
    CONSTRAINT refrigerant_transaction_names_equipment
        CHECK (transaction_kind NOT IN ('charge', 'recover')
               OR installed_equipment_id IS NOT NULL AND purpose IS NOT NULL),
    CONSTRAINT refrigerant_transaction_shipment_names_reclaimer
        CHECK (transaction_kind <> 'reclaim_shipment'
               OR num_nonnulls(reclaimer_name, reclaimer_epa_id) = 2),
    CONSTRAINT refrigerant_transaction_leak_rate_of_charge
        CHECK (leak_rate_pct IS NULL
               OR transaction_kind = 'charge' AND leak_rate_method IS NOT NULL),
    CONSTRAINT refrigerant_transaction_leak_rate_not_negative CHECK (leak_rate_pct >= 0)
) PARTITION BY RANGE (performed_at);

COMMENT ON TABLE hs.refrigerant_transaction IS
    'Every pound charged, recovered, moved or sent for reclaim (40 CFR 82 subpart F, kept three
     years); append only.';
COMMENT ON COLUMN hs.refrigerant_transaction.weight_before_lb IS
    'Refrigerant in the cylinder before, without its tare.';
COMMENT ON COLUMN hs.refrigerant_transaction.leak_rate_pct IS
    'Of the unit''s full charge, a year; found when a unit at or above the tenant''s threshold is
     charged for another reason than a new installation.';

-- FK, and the chain of weights of a cylinder.
CREATE INDEX refrigerant_transaction_cylinder_idx
    ON hs.refrigerant_transaction (business_id, refrigerant_cylinder_id, performed_at);

-- FK, and the leak rate: what a unit was charged with over time.
CREATE INDEX refrigerant_transaction_equipment_idx
    ON hs.refrigerant_transaction (business_id, installed_equipment_id, performed_at)
    WHERE installed_equipment_id IS NOT NULL;

-- FK: what a technician handled.
CREATE INDEX refrigerant_transaction_technician_idx
    ON hs.refrigerant_transaction (business_id, technician_id, performed_at);

-- FK: the refrigerant of a job.
CREATE INDEX refrigerant_transaction_work_order_idx
    ON hs.refrigerant_transaction (business_id, work_order_id)
    WHERE work_order_id IS NOT NULL;

ALTER TABLE hs.refrigerant_transaction ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.refrigerant_transaction
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON hs.refrigerant_transaction TO app_user;
GRANT SELECT ON hs.refrigerant_transaction TO app_readonly;

CREATE TRIGGER refrigerant_transaction_append_only
    BEFORE UPDATE OR DELETE ON hs.refrigerant_transaction
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('hs.refrigerant_transaction');

CREATE FUNCTION hs.leak_threshold_lb() RETURNS numeric
    LANGUAGE sql STABLE
    RETURN coalesce((system_core.effective_setting('hs', 'leak_threshold_lb') #>> '{}')::numeric,
                    50);
COMMENT ON FUNCTION hs.leak_threshold_lb() IS
    'Full charge from which the tenant watches leaks: its setting hs/leak_threshold_lb, else the
     50 lb of 40 CFR 82.157; rules on newer refrigerants set it lower.';

CREATE FUNCTION hs.leak_rate(
    of_equipment uuid,
    added_lb     numeric,
    added_at     timestamptz,
    method       text
) RETURNS system_core.percentage
    LANGUAGE sql STABLE
    RETURN (
        SELECT CASE method
            WHEN 'annualizing' THEN
                added_lb / e.full_charge_lb * 365
                / least(365, greatest(1, added_at::date - coalesce(
                      (SELECT max(t.performed_at)::date
                       FROM hs.refrigerant_transaction AS t
                       WHERE t.business_id = e.business_id
                         AND t.installed_equipment_id = e.installed_equipment_id
                         AND t.transaction_kind = 'charge' AND t.performed_at < added_at),
                      added_at::date - 365))) * 100
            WHEN 'rolling_average' THEN
                (added_lb + coalesce(
                    (SELECT sum(t.quantity_lb)
                     FROM hs.refrigerant_transaction AS t
                     WHERE t.business_id = e.business_id
                       AND t.installed_equipment_id = e.installed_equipment_id
                       AND t.transaction_kind = 'charge'
                       AND t.purpose IN ('leak_repair', 'top_off')
                       AND t.performed_at < added_at
                       AND t.performed_at >= added_at - interval '365 days'), 0))
                / e.full_charge_lb * 100
        END::system_core.percentage
        FROM hs.installed_equipment AS e
        WHERE e.business_id = tenant_mgmt.current_business_id()
          AND e.installed_equipment_id = of_equipment);
COMMENT ON FUNCTION hs.leak_rate(uuid, numeric, timestamptz, text) IS
    'Leak rate of the tenant''s unit by 40 CFR 82.152 when so much is added: annualizing over the
     days since it was charged before (at most a year), or all that was added in the last 365
     days; NULL without a full charge.';

CREATE FUNCTION hs.follow_refrigerant() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    cylinder hs.refrigerant_cylinder;
    unit     hs.installed_equipment;
    before   record;
BEGIN
    SELECT c.* INTO cylinder
    FROM hs.refrigerant_cylinder AS c
    WHERE c.business_id = NEW.business_id
      AND c.refrigerant_cylinder_id = NEW.refrigerant_cylinder_id
    FOR NO KEY UPDATE;
    SELECT e.* INTO unit
    FROM hs.installed_equipment AS e
    WHERE e.business_id = NEW.business_id
      AND e.installed_equipment_id = NEW.installed_equipment_id;
    NEW.refrigerant_code := coalesce(NEW.refrigerant_code, cylinder.refrigerant_code);
    IF NEW.refrigerant_code <> cylinder.refrigerant_code THEN
        RAISE EXCEPTION 'cylinder % holds %, not %', cylinder.cylinder_number,
                        cylinder.refrigerant_code, NEW.refrigerant_code
            USING ERRCODE = 'check_violation',
                  HINT = 'Refrigerants are never mixed; take another cylinder.';
    ELSIF NEW.transaction_kind = 'charge' AND NEW.refrigerant_code <> unit.refrigerant_code THEN
        RAISE EXCEPTION 'unit % runs on %, not %', unit.asset_tag, unit.refrigerant_code,
                        NEW.refrigerant_code
            USING ERRCODE = 'check_violation',
                  HINT = 'A retrofit changes the unit''s refrigerant first.';
    END IF;

    IF row_security_active(TG_RELID) THEN
        SELECT t.weight_after_lb, t.performed_at INTO before
        FROM hs.refrigerant_transaction AS t
        WHERE t.business_id = NEW.business_id
          AND t.refrigerant_cylinder_id = NEW.refrigerant_cylinder_id
        ORDER BY t.performed_at DESC
        LIMIT 1;
        IF NEW.performed_at < before.performed_at
            OR NEW.weight_before_lb <> coalesce(before.weight_after_lb, cylinder.net_lb) THEN
            RAISE EXCEPTION 'cylinder % held % lb since %', cylinder.cylinder_number,
                            coalesce(before.weight_after_lb, cylinder.net_lb),
                            coalesce(before.performed_at::date, cylinder.received_on)
                USING ERRCODE = 'check_violation',
                      HINT = 'Book what is missing first, as a transfer or a disposal.';
        END IF;
        IF cylinder.status IN ('returned', 'quarantined') THEN
            RAISE EXCEPTION 'cylinder % is %', cylinder.cylinder_number, cylinder.status
                USING ERRCODE = 'check_violation';
        END IF;
        IF NEW.weight_after_lb > NEW.weight_before_lb
            AND cylinder.hydrotest_due_on < NEW.performed_at::date THEN
            RAISE EXCEPTION 'cylinder % was due for its test on %', cylinder.cylinder_number,
                            cylinder.hydrotest_due_on
                USING ERRCODE = 'check_violation',
                      HINT = 'It may be emptied but not filled.';
        END IF;
        IF NOT EXISTS (
            SELECT FROM hs.technician_certification AS c
            JOIN hs.certification_type AS k
                ON k.business_id = c.business_id
               AND k.certification_type_id = c.certification_type_id
            WHERE c.business_id = NEW.business_id AND c.technician_id = NEW.technician_id
              AND k.regime = 'epa_608' AND c.status IN ('valid', 'expiring')
              AND c.issued_on <= NEW.performed_at::date
              AND (c.expires_on IS NULL OR c.expires_on > NEW.performed_at::date)) THEN
            RAISE EXCEPTION 'the technician holds no valid EPA 608 certificate on %',
                            NEW.performed_at::date
                USING ERRCODE = 'check_violation',
                      HINT = 'Only certified technicians handle refrigerant (40 CFR 82.161).';
        END IF;
        IF NEW.transaction_kind = 'charge' AND NEW.purpose IN ('leak_repair', 'top_off')
            AND unit.full_charge_lb >= hs.leak_threshold_lb() THEN
            NEW.leak_rate_method := coalesce(NEW.leak_rate_method, 'annualizing');
            NEW.leak_rate_pct := hs.leak_rate(
                NEW.installed_equipment_id, abs(NEW.weight_before_lb - NEW.weight_after_lb),
                NEW.performed_at, NEW.leak_rate_method);
        END IF;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION hs.follow_refrigerant() IS
    'Refrigerant is that of the cylinder and, when charged, of the unit. Done now, the weight
     follows from the transaction before, the technician is certified on that day, the cylinder
     may be filled, and a unit at or above the tenant''s threshold gets its leak rate.';

CREATE TRIGGER refrigerant_transaction_followed
    BEFORE INSERT ON hs.refrigerant_transaction
    FOR EACH ROW EXECUTE FUNCTION hs.follow_refrigerant();

CREATE FUNCTION hs.weigh_cylinder() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE hs.refrigerant_cylinder AS c
    SET net_lb = newest.weight_after_lb,
        status = CASE WHEN newest.weight_after_lb > 0 AND c.status = 'empty' THEN 'in_stock'
                      ELSE c.status END
    FROM (SELECT DISTINCT t.business_id, t.refrigerant_cylinder_id FROM changed AS t) AS touched
    CROSS JOIN LATERAL (
        SELECT t.weight_after_lb
        FROM hs.refrigerant_transaction AS t
        WHERE t.business_id = touched.business_id
          AND t.refrigerant_cylinder_id = touched.refrigerant_cylinder_id
        ORDER BY t.performed_at DESC
        LIMIT 1
    ) AS newest
    WHERE c.business_id = touched.business_id
      AND c.refrigerant_cylinder_id = touched.refrigerant_cylinder_id
      AND c.net_lb <> newest.weight_after_lb;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.weigh_cylinder() IS 'A cylinder holds what its last transaction left in it.';

CREATE TRIGGER refrigerant_transaction_weighed
    AFTER INSERT ON hs.refrigerant_transaction
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.weigh_cylinder();

CREATE FUNCTION hs.require_transaction_of_weight() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.net_lb <> (SELECT t.weight_after_lb
                      FROM hs.refrigerant_transaction AS t
                      WHERE t.business_id = NEW.business_id
                        AND t.refrigerant_cylinder_id = NEW.refrigerant_cylinder_id
                      ORDER BY t.performed_at DESC
                      LIMIT 1) THEN
        RAISE EXCEPTION 'the weight of cylinder % follows its transactions', NEW.cylinder_number
            USING ERRCODE = 'check_violation',
                  HINT = 'Every pound is accounted for: write a refrigerant_transaction.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION hs.require_transaction_of_weight() IS
    'No weight without a transaction once there is one.';

CREATE TRIGGER refrigerant_cylinder_weight_accounted
    BEFORE UPDATE OF net_lb ON hs.refrigerant_cylinder
    FOR EACH ROW WHEN (NEW.net_lb <> OLD.net_lb)
    EXECUTE FUNCTION hs.require_transaction_of_weight();

CREATE TABLE hs.refrigerant_transaction_default PARTITION OF hs.refrigerant_transaction DEFAULT;
ALTER TABLE hs.refrigerant_transaction_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.refrigerant_transaction_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions(
    'hs.refrigerant_transaction', 'month', behind => 3, ahead => 1);


CREATE VIEW hs.v_leak_watch WITH (security_invoker = true) AS
SELECT e.business_id, e.installed_equipment_id, e.asset_tag, e.service_location_id,
       e.refrigerant_code, e.full_charge_lb, t.performed_at, t.quantity_lb, t.leak_rate_pct,
       t.leak_rate_method, t.work_order_id,
       (t.performed_at + interval '30 days')::date AS repair_due_on
FROM hs.installed_equipment AS e
CROSS JOIN LATERAL (
    SELECT x.performed_at, x.quantity_lb, x.leak_rate_pct, x.leak_rate_method, x.work_order_id
    FROM hs.refrigerant_transaction AS x
    WHERE x.business_id = e.business_id
      AND x.installed_equipment_id = e.installed_equipment_id
      AND x.transaction_kind = 'charge'
    ORDER BY x.performed_at DESC
    LIMIT 1
) AS t
WHERE e.status = 'active' AND e.full_charge_lb >= hs.leak_threshold_lb()
  AND t.leak_rate_pct > coalesce(
      (system_core.effective_setting('hs', 'leak_rate_limit_pct') #>> '{}')::numeric, 10);
COMMENT ON VIEW hs.v_leak_watch IS
    'Units that leak faster than the tenant''s limit (setting hs/leak_rate_limit_pct, else the 10 %
     for comfort cooling) by their last charge; repair and verification are due in 30 days.';
GRANT SELECT ON hs.v_leak_watch TO app_user, app_readonly;
