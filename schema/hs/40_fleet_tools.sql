/*
 * Fleet and tools: the trucks, who drives them, what they were found to be, and the company's own
 * tools.
 *
 * A truck is a rolling warehouse: its stock_location follows it to its branch. truck_assignment
 * says who drives it and thereby whose stock it is; truck_inspection is the driver's report, which
 * moves the odometer and takes an unsafe truck off the road; truck_maintenance is service by date
 * or mileage. A tool_asset is lent to a technician while its calibration is in date.
 */

CREATE TABLE hs.truck (
    business_id             uuid                 NOT NULL,
    truck_id                uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    branch_id               uuid                 NOT NULL,
    unit_number             system_core.code     NOT NULL,
    vin                     text                 NOT NULL,
    make                    text                 NOT NULL,
    model                   text                 NOT NULL,
    model_year              integer              NOT NULL,
    plate_number            text,
    plate_state             system_core.region,
    ownership               text                 NOT NULL DEFAULT 'owned',
    odometer_mi             system_core.quantity NOT NULL DEFAULT 0,
    gvwr_lb                 system_core.quantity,
    status                  text                 NOT NULL DEFAULT 'in_service',
    registration_expires_on date,
    insurance_expires_on    date,
    lease_ends_on           date,
    telematics_device_ref   text,
    created_at              timestamptz          NOT NULL DEFAULT now(),
    updated_at              timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, truck_id),
    UNIQUE (business_id, unit_number),
    UNIQUE (business_id, vin),
    FOREIGN KEY (business_id, branch_id) REFERENCES hs.branch (business_id, branch_id),
    CONSTRAINT truck_vin_iso_3779 CHECK (vin ~ '^[A-HJ-NPR-Z0-9]{17}$'),
    CONSTRAINT truck_ownership_known
        CHECK (ownership IN ('owned', 'leased', 'rented', 'technician_owned')),
    CONSTRAINT truck_status_known CHECK (status IN ('in_service', 'in_shop', 'spare', 'sold')),
    CONSTRAINT truck_year_plausible CHECK (model_year BETWEEN 1980 AND 2100),
    CONSTRAINT truck_measures_not_negative CHECK (odometer_mi >= 0 AND gvwr_lb > 0),
    CONSTRAINT truck_lease_ends CHECK (ownership <> 'leased' OR lease_ends_on IS NOT NULL)
);

COMMENT ON TABLE hs.truck IS 'A service vehicle: a rolling warehouse.';
COMMENT ON COLUMN hs.truck.vin IS 'Vehicle identification number: 17 characters without I, O, Q.';
COMMENT ON COLUMN hs.truck.odometer_mi IS
    'Miles driven; never fewer than before. Inspections move it.';
COMMENT ON COLUMN hs.truck.gvwr_lb IS
    'Gross vehicle weight rating: from 10,001 lb on, drivers fall under federal rules.';
COMMENT ON COLUMN hs.truck.telematics_device_ref IS 'The box in the truck, as its maker names it.';

-- FK and dispatch: the trucks of a branch that may go out.
CREATE INDEX truck_branch_idx ON hs.truck (business_id, branch_id, status);

ALTER TABLE hs.truck ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.truck
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.truck TO app_user;
GRANT SELECT ON hs.truck TO app_readonly;

CREATE TRIGGER truck_touch
    BEFORE UPDATE ON hs.truck
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER truck_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.truck
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["in_service", "spare", "in_shop"],
        "transitions": {
            "in_service": ["in_shop", "spare", "sold"],
            "in_shop":    ["in_service", "spare", "sold"],
            "spare":      ["in_service", "in_shop", "sold"],
            "sold":       []
        }}');

CREATE FUNCTION hs.refuse_odometer_back() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'truck %: the odometer stood at %, it cannot show %', OLD.unit_number,
                    OLD.odometer_mi, NEW.odometer_mi
        USING ERRCODE = 'check_violation';
END
$$;
COMMENT ON FUNCTION hs.refuse_odometer_back() IS 'An odometer never decreases.';

CREATE TRIGGER truck_odometer_forward
    BEFORE UPDATE OF odometer_mi ON hs.truck
    FOR EACH ROW WHEN (NEW.odometer_mi < OLD.odometer_mi)
    EXECUTE FUNCTION hs.refuse_odometer_back();

ALTER TABLE hs.stock_location
    ADD FOREIGN KEY (business_id, truck_id) REFERENCES hs.truck (business_id, truck_id);

CREATE FUNCTION hs.place_with_truck() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    SELECT t.branch_id INTO NEW.branch_id
    FROM hs.truck AS t
    WHERE t.business_id = NEW.business_id AND t.truck_id = NEW.truck_id;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION hs.place_with_truck() IS
    'The stock on a truck belongs to the truck''s branch.';

CREATE TRIGGER stock_location_with_truck
    BEFORE INSERT OR UPDATE OF truck_id, branch_id ON hs.stock_location
    FOR EACH ROW WHEN (NEW.truck_id IS NOT NULL)
    EXECUTE FUNCTION hs.place_with_truck();

CREATE FUNCTION hs.move_place_of_truck() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE hs.stock_location AS l
    SET branch_id = NEW.branch_id
    WHERE l.business_id = NEW.business_id AND l.truck_id = NEW.truck_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.move_place_of_truck() IS
    'When a truck changes its branch, so does its stock.';

CREATE TRIGGER truck_moves_place
    AFTER UPDATE OF branch_id ON hs.truck
    FOR EACH ROW WHEN (NEW.branch_id <> OLD.branch_id)
    EXECUTE FUNCTION hs.move_place_of_truck();


CREATE TABLE hs.truck_assignment (
    business_id         uuid                 NOT NULL,
    truck_assignment_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    truck_id            uuid                 NOT NULL,
    technician_id       uuid                 NOT NULL,
    assignment_kind     text                 NOT NULL DEFAULT 'permanent',
    starts_at           timestamptz          NOT NULL DEFAULT now(),
    ends_at             timestamptz,
    odometer_start_mi   system_core.quantity NOT NULL,
    odometer_end_mi     system_core.quantity,
    handover_condition  text                 NOT NULL DEFAULT 'clean',
    handover_note       text,
    created_at          timestamptz          NOT NULL DEFAULT now(),
    updated_at          timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, truck_assignment_id),
    FOREIGN KEY (business_id, truck_id) REFERENCES hs.truck (business_id, truck_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    CONSTRAINT truck_assignment_kind_known
        CHECK (assignment_kind IN ('permanent', 'temporary', 'pool')),
    CONSTRAINT truck_assignment_condition_known
        CHECK (handover_condition IN ('clean', 'needs_cleaning', 'damage_noted')),
    CONSTRAINT truck_assignment_ends_after_start CHECK (ends_at > starts_at),
    CONSTRAINT truck_assignment_odometer_not_negative CHECK (odometer_start_mi >= 0),
    CONSTRAINT truck_assignment_odometer_forward CHECK (odometer_end_mi >= odometer_start_mi),
    CONSTRAINT truck_assignment_odometer_ends_with_it
        CHECK (odometer_end_mi IS NULL OR ends_at IS NOT NULL),
    CONSTRAINT truck_assignment_damage_is_told
        CHECK (handover_condition <> 'damage_noted' OR handover_note IS NOT NULL),
    CONSTRAINT truck_assignment_one_driver EXCLUDE USING gist (
        business_id WITH =, truck_id WITH =, tstzrange(starts_at, ends_at) WITH &&)
);

COMMENT ON TABLE hs.truck_assignment IS
    'Who drives which truck, and when; it decides whose stock lies on it.';
COMMENT ON COLUMN hs.truck_assignment.ends_at IS 'NULL while it lasts.';

-- FK and history: the trucks of a technician, the newest first.
CREATE INDEX truck_assignment_technician_idx
    ON hs.truck_assignment (business_id, technician_id, starts_at DESC);

-- FK: the drivers of a truck, the newest first.
CREATE INDEX truck_assignment_truck_idx
    ON hs.truck_assignment (business_id, truck_id, starts_at DESC);

ALTER TABLE hs.truck_assignment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.truck_assignment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.truck_assignment TO app_user;
GRANT SELECT ON hs.truck_assignment TO app_readonly;

CREATE TRIGGER truck_assignment_touch
    BEFORE UPDATE ON hs.truck_assignment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION hs.require_truck_on_the_road() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    stands record;
BEGIN
    IF NOT row_security_active(TG_RELID) OR NEW.ends_at < now() THEN
        RETURN NEW;
    END IF;
    SELECT t.unit_number, t.status INTO stands
    FROM hs.truck AS t
    WHERE t.business_id = NEW.business_id AND t.truck_id = NEW.truck_id
    FOR SHARE;
    IF stands.status IN ('in_shop', 'sold') THEN
        RAISE EXCEPTION 'truck % is out of service (%), nobody drives it', stands.unit_number,
                        stands.status
            USING ERRCODE = 'check_violation', HINT = 'Assign a spare truck.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION hs.require_truck_on_the_road() IS
    'A truck that is in the shop or sold is not assigned; what is past may be noted.';

CREATE TRIGGER truck_assignment_on_the_road
    BEFORE INSERT OR UPDATE OF truck_id, technician_id, starts_at ON hs.truck_assignment
    FOR EACH ROW EXECUTE FUNCTION hs.require_truck_on_the_road();


CREATE TABLE hs.truck_inspection (
    business_id             uuid                 NOT NULL,
    truck_inspection_id     uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    truck_id                uuid                 NOT NULL,
    inspector_technician_id uuid                 NOT NULL,
    inspection_kind         text                 NOT NULL,
    inspected_at            timestamptz          NOT NULL DEFAULT now(),
    inspected_on            date                 NOT NULL,
    odometer_mi             system_core.quantity NOT NULL,
    result                  text                 NOT NULL,
    is_safe_to_operate      boolean              NOT NULL,
    certified_by_name       system_core.person_name,
    certified_at            timestamptz,
    note_text               text,
    created_at              timestamptz          NOT NULL DEFAULT now(),
    updated_at              timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, truck_inspection_id),
    FOREIGN KEY (business_id, truck_id) REFERENCES hs.truck (business_id, truck_id),
    FOREIGN KEY (business_id, inspector_technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    CONSTRAINT truck_inspection_kind_known
        CHECK (inspection_kind IN ('pre_trip', 'post_trip', 'monthly', 'annual')),
    CONSTRAINT truck_inspection_result_known
        CHECK (result IN ('satisfactory', 'defects_noted', 'out_of_service')),
    CONSTRAINT truck_inspection_out_of_service_is_unsafe
        CHECK (result <> 'out_of_service' OR NOT is_safe_to_operate),
    CONSTRAINT truck_inspection_satisfactory_is_safe
        CHECK (result <> 'satisfactory' OR is_safe_to_operate),
    CONSTRAINT truck_inspection_defects_are_told
        CHECK (result = 'satisfactory' OR note_text IS NOT NULL),
    CONSTRAINT truck_inspection_certified_after CHECK (certified_at >= inspected_at),
    CONSTRAINT truck_inspection_certified_by_somebody
        CHECK ((certified_at IS NULL) = (certified_by_name IS NULL)),
    CONSTRAINT truck_inspection_day_of_its_time
        CHECK (inspected_on - (inspected_at AT TIME ZONE 'UTC')::date BETWEEN -1 AND 1),
    CONSTRAINT truck_inspection_odometer_not_negative CHECK (odometer_mi >= 0)
);

COMMENT ON TABLE hs.truck_inspection IS
    'A driver''s inspection report before or after a trip (49 CFR 396.11).';
COMMENT ON COLUMN hs.truck_inspection.inspected_on IS 'The day where the truck stands.';
COMMENT ON COLUMN hs.truck_inspection.certified_by_name IS
    'Who certified that defects were repaired or need no repair.';

-- One report before the trip a truck and day.
CREATE UNIQUE INDEX truck_inspection_pre_trip_idx
    ON hs.truck_inspection (business_id, truck_id, inspected_on)
    WHERE inspection_kind = 'pre_trip';

-- FK and state: the reports of a truck, the newest first.
CREATE INDEX truck_inspection_truck_idx
    ON hs.truck_inspection (business_id, truck_id, inspected_at DESC);

-- FK: the reports of a technician.
CREATE INDEX truck_inspection_inspector_idx
    ON hs.truck_inspection (business_id, inspector_technician_id);

ALTER TABLE hs.truck_inspection ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.truck_inspection
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.truck_inspection TO app_user;
GRANT SELECT ON hs.truck_inspection TO app_readonly;

CREATE TRIGGER truck_inspection_touch
    BEFORE UPDATE ON hs.truck_inspection
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION hs.heed_inspections() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    is_now CONSTANT boolean := row_security_active('hs.truck_inspection');
BEGIN
    UPDATE hs.truck AS t
    SET odometer_mi = greatest(t.odometer_mi, c.odometer_mi),
        status = CASE WHEN is_now AND c.is_unsafe AND t.status IN ('in_service', 'spare')
                      THEN 'in_shop' ELSE t.status END
    FROM (
        SELECT x.business_id, x.truck_id, max(x.odometer_mi) AS odometer_mi,
               (array_agg(NOT x.is_safe_to_operate ORDER BY x.inspected_at DESC))[1] AS is_unsafe
        FROM changed AS x
        GROUP BY x.business_id, x.truck_id
    ) AS c
    WHERE t.business_id = c.business_id AND t.truck_id = c.truck_id
      AND (t.odometer_mi < c.odometer_mi
           OR (is_now AND c.is_unsafe AND t.status IN ('in_service', 'spare')));
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.heed_inspections() IS
    'A report moves the odometer; an unsafe truck goes to the shop. Imported history leaves the
     truck where it is.';

CREATE TRIGGER truck_inspection_heed
    AFTER INSERT ON hs.truck_inspection
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.heed_inspections();

CREATE FUNCTION hs.require_safe_truck() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) AND EXISTS (
        SELECT FROM (
            SELECT i.is_safe_to_operate, i.certified_at
            FROM hs.truck_inspection AS i
            WHERE i.business_id = NEW.business_id AND i.truck_id = NEW.truck_id
            ORDER BY i.inspected_at DESC
            LIMIT 1
        ) AS latest
        WHERE NOT latest.is_safe_to_operate AND latest.certified_at IS NULL) THEN
        RAISE EXCEPTION 'truck % was found unsafe and nobody certified its repair',
                        NEW.unit_number
            USING ERRCODE = 'check_violation',
                  HINT = 'Certify the last inspection, or inspect it again.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION hs.require_safe_truck() IS
    'A truck comes back from the shop when its last inspection is safe or certified as repaired.';

CREATE TRIGGER truck_returns_safe
    BEFORE UPDATE OF status ON hs.truck
    FOR EACH ROW WHEN (OLD.status = 'in_shop' AND NEW.status IN ('in_service', 'spare'))
    EXECUTE FUNCTION hs.require_safe_truck();


CREATE TABLE hs.truck_maintenance (
    business_id          uuid              NOT NULL,
    truck_maintenance_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    truck_id             uuid              NOT NULL,
    vendor_id            uuid,
    service_kind         text              NOT NULL,
    status               text              NOT NULL DEFAULT 'due',
    due_on               date,
    due_odometer_mi      system_core.quantity,
    performed_on         date,
    odometer_mi          system_core.quantity,
    next_due_odometer_mi system_core.quantity,
    cost_amount          system_core.money NOT NULL DEFAULT 0,
    downtime_days        integer           NOT NULL DEFAULT 0,
    invoice_ref          text,
    created_at           timestamptz       NOT NULL DEFAULT now(),
    updated_at           timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, truck_maintenance_id),
    FOREIGN KEY (business_id, truck_id) REFERENCES hs.truck (business_id, truck_id),
    FOREIGN KEY (business_id, vendor_id) REFERENCES hs.vendor (business_id, vendor_id),
    CONSTRAINT truck_maintenance_kind_known
        CHECK (service_kind IN ('oil_change', 'tires', 'brakes', 'inspection', 'repair',
                                'recall', 'body', 'upfit')),
    CONSTRAINT truck_maintenance_status_known
        CHECK (status IN ('due', 'scheduled', 'in_shop', 'done', 'waived')),
    CONSTRAINT truck_maintenance_is_due_somehow
        CHECK (num_nonnulls(due_on, due_odometer_mi) > 0),
    CONSTRAINT truck_maintenance_done_has_day
        CHECK ((status = 'done') = (performed_on IS NOT NULL)),
    CONSTRAINT truck_maintenance_done_has_odometer
        CHECK ((status = 'done') = (odometer_mi IS NOT NULL)),
    CONSTRAINT truck_maintenance_next_is_later CHECK (next_due_odometer_mi > odometer_mi),
    CONSTRAINT truck_maintenance_amounts_not_negative
        CHECK (cost_amount >= 0 AND downtime_days >= 0 AND due_odometer_mi >= 0)
);

COMMENT ON TABLE hs.truck_maintenance IS 'Service or repair of a truck, due by day or mileage.';

-- FK: the service book of a truck.
CREATE INDEX truck_maintenance_truck_idx
    ON hs.truck_maintenance (business_id, truck_id, due_on);

-- FK: what a shop did.
CREATE INDEX truck_maintenance_vendor_idx
    ON hs.truck_maintenance (business_id, vendor_id)
    WHERE vendor_id IS NOT NULL;

-- What is due, by day.
CREATE INDEX truck_maintenance_due_idx
    ON hs.truck_maintenance (business_id, due_on)
    WHERE status IN ('due', 'scheduled');

ALTER TABLE hs.truck_maintenance ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.truck_maintenance
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.truck_maintenance TO app_user;
GRANT SELECT ON hs.truck_maintenance TO app_readonly;

CREATE TRIGGER truck_maintenance_touch
    BEFORE UPDATE ON hs.truck_maintenance
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER truck_maintenance_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.truck_maintenance
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["due", "scheduled", "in_shop"],
        "transitions": {
            "due":       ["scheduled", "in_shop", "done", "waived"],
            "scheduled": ["due", "in_shop", "done", "waived"],
            "in_shop":   ["done", "scheduled"],
            "done":      [],
            "waived":    []
        }}');


CREATE TABLE hs.tool_asset (
    business_id               uuid              NOT NULL,
    tool_asset_id             uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    branch_id                 uuid              NOT NULL,
    holder_technician_id      uuid,
    asset_number              system_core.code  NOT NULL,
    name                      text              NOT NULL,
    tool_kind                 text              NOT NULL,
    manufacturer_name         text,
    serial_number             text,
    status                    text              NOT NULL DEFAULT 'available',
    purchased_on              date              NOT NULL,
    purchase_cost             system_core.money NOT NULL DEFAULT 0,
    calibration_interval_days integer,
    calibration_due_on        date,
    retired_on                date,
    created_at                timestamptz       NOT NULL DEFAULT now(),
    updated_at                timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tool_asset_id),
    UNIQUE (business_id, asset_number),
    FOREIGN KEY (business_id, branch_id) REFERENCES hs.branch (business_id, branch_id),
    FOREIGN KEY (business_id, holder_technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    CONSTRAINT tool_asset_kind_known
        CHECK (tool_kind IN ('power_tool', 'meter', 'combustion_analyzer', 'recovery_machine',
                             'vacuum_pump', 'camera', 'ladder', 'press_tool', 'safety')),
    CONSTRAINT tool_asset_status_known
        CHECK (status IN ('available', 'checked_out', 'in_calibration', 'lost', 'retired')),
    CONSTRAINT tool_asset_held_while_checked_out
        CHECK ((status = 'checked_out') = (holder_technician_id IS NOT NULL)),
    CONSTRAINT tool_asset_calibrated_has_due
        CHECK ((calibration_interval_days IS NULL) = (calibration_due_on IS NULL)),
    CONSTRAINT tool_asset_interval_positive CHECK (calibration_interval_days > 0),
    CONSTRAINT tool_asset_retired_has_day
        CHECK ((status = 'retired') = (retired_on IS NOT NULL)),
    CONSTRAINT tool_asset_retired_after_purchase CHECK (retired_on >= purchased_on),
    CONSTRAINT tool_asset_cost_not_negative CHECK (purchase_cost >= 0)
);

COMMENT ON TABLE hs.tool_asset IS
    'A tool or test instrument of the company, with its home and its calibration.';
COMMENT ON COLUMN hs.tool_asset.calibration_interval_days IS
    'NULL for tools that are not calibrated.';
COMMENT ON COLUMN hs.tool_asset.holder_technician_id IS 'Who has it while it is checked out.';

-- FK: the tools of a branch by kind.
CREATE INDEX tool_asset_branch_idx ON hs.tool_asset (business_id, branch_id, tool_kind);

-- FK: what a technician holds.
CREATE INDEX tool_asset_holder_idx
    ON hs.tool_asset (business_id, holder_technician_id)
    WHERE holder_technician_id IS NOT NULL;

-- Calibrations that come due.
CREATE INDEX tool_asset_calibration_idx
    ON hs.tool_asset (business_id, calibration_due_on)
    WHERE calibration_due_on IS NOT NULL AND status IN ('available', 'checked_out');

ALTER TABLE hs.tool_asset ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.tool_asset
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.tool_asset TO app_user;
GRANT SELECT ON hs.tool_asset TO app_readonly;

CREATE TRIGGER tool_asset_touch
    BEFORE UPDATE ON hs.tool_asset
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER tool_asset_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.tool_asset
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["available", "in_calibration"],
        "transitions": {
            "available":      ["checked_out", "in_calibration", "lost", "retired"],
            "checked_out":    ["available", "in_calibration", "lost"],
            "in_calibration": ["available", "retired"],
            "lost":           ["available", "retired"],
            "retired":        []
        }}');

CREATE FUNCTION hs.require_calibrated_tool() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'the calibration of tool % lapsed on %', NEW.asset_number,
                        NEW.calibration_due_on
            USING ERRCODE = 'check_violation', HINT = 'Have it calibrated before it is lent.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION hs.require_calibrated_tool() IS
    'A tool whose calibration lapsed is not lent: its readings would not stand.';

CREATE TRIGGER tool_asset_lent_calibrated
    BEFORE UPDATE OF status, holder_technician_id ON hs.tool_asset
    FOR EACH ROW WHEN (NEW.holder_technician_id IS DISTINCT FROM OLD.holder_technician_id
                       AND NEW.holder_technician_id IS NOT NULL
                       AND NEW.calibration_due_on < current_date)
    EXECUTE FUNCTION hs.require_calibrated_tool();


CREATE VIEW hs.v_truck_restock_need WITH (security_invoker = true) AS
    WITH inbound AS (
        SELECT t.business_id, t.to_location_id, l.stock_item_id, sum(l.picked_qty) AS quantity
        FROM hs.stock_transfer AS t
        JOIN hs.stock_transfer_line AS l
            ON l.business_id = t.business_id AND l.stock_transfer_id = t.stock_transfer_id
        WHERE t.business_id = tenant_mgmt.current_business_id() AND t.status = 'in_transit'
        GROUP BY t.business_id, t.to_location_id, l.stock_item_id
    )
    SELECT place.business_id,
           place.stock_location_id,
           truck.truck_id,
           truck.unit_number,
           place.branch_id,
           driver.technician_id,
           i.stock_item_id,
           i.sku,
           i.name                                    AS item_name,
           b.on_hand_qty,
           coalesce(inbound.quantity, 0)             AS in_transit_qty,
           b.min_qty,
           b.max_qty,
           coalesce(b.max_qty, b.min_qty) - there.quantity AS needed_qty,
           source.stock_location_id                  AS source_location_id,
           source.name                               AS source_name,
           source.available_qty                      AS source_available_qty
    FROM hs.stock_location AS place
    JOIN hs.truck AS truck
        ON truck.business_id = place.business_id AND truck.truck_id = place.truck_id
       AND truck.status <> 'sold'
    JOIN hs.stock_balance AS b
        ON b.business_id = place.business_id AND b.stock_location_id = place.stock_location_id
    JOIN hs.stock_item AS i
        ON i.business_id = b.business_id AND i.stock_item_id = b.stock_item_id
       AND i.is_active AND i.reorder_policy = 'min_max'
    LEFT JOIN inbound
        ON inbound.business_id = b.business_id AND inbound.to_location_id = b.stock_location_id
       AND inbound.stock_item_id = b.stock_item_id
    CROSS JOIN LATERAL (
        SELECT b.on_hand_qty - b.reserved_qty + coalesce(inbound.quantity, 0) AS quantity
    ) AS there
    LEFT JOIN LATERAL (
        SELECT a.technician_id
        FROM hs.truck_assignment AS a
        WHERE a.business_id = truck.business_id AND a.truck_id = truck.truck_id
          AND a.starts_at <= now() AND (a.ends_at IS NULL OR a.ends_at > now())
    ) AS driver ON true
    LEFT JOIN LATERAL (
        SELECT l.stock_location_id, l.name, s.on_hand_qty - s.reserved_qty AS available_qty
        FROM hs.stock_balance AS s
        JOIN hs.stock_location AS l
            ON l.business_id = s.business_id AND l.stock_location_id = s.stock_location_id
           AND l.location_kind = 'warehouse' AND l.is_active
        WHERE s.business_id = b.business_id AND s.stock_item_id = b.stock_item_id
          AND s.on_hand_qty > s.reserved_qty
        ORDER BY (l.branch_id = place.branch_id) DESC, available_qty DESC, l.stock_location_id
        LIMIT 1
    ) AS source ON true
    WHERE place.business_id = tenant_mgmt.current_business_id()
      AND place.location_kind = 'truck' AND place.is_active
      AND there.quantity < b.min_qty;
COMMENT ON VIEW hs.v_truck_restock_need IS
    'What is below its minimum on a truck, net of what is on its way to it, how much fills it up,
     and the warehouse to take it from: of the truck''s branch where it has the item.';
GRANT SELECT ON hs.v_truck_restock_need TO app_user, app_readonly;
