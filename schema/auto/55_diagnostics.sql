/*
 * Diagnostics: what a scan tool reads from the computers of a vehicle.
 *
 * A technician connects a scan_tool and the vehicle answers: a diagnostic_session. Its modules
 * (engine, brakes, airbags, …) answer or stay silent: session_module. Each reports trouble codes,
 * detected_dtc, whose meaning stands in dtc_definition: P for powertrain, C for chassis, B for
 * body, U for the network between modules. With an emission code the engine module freezes the
 * conditions under which the fault set: freeze_frame.
 *
 * A code is not a fault but the place to begin: triage_dtcs orders them, silent modules and low
 * voltage first, because they make every other module complain. Clearing codes puts the lamp out
 * and repairs nothing; a permanent code stays until the vehicle's own monitor has passed, seen here
 * as a later session that no longer reports it.
 */

CREATE TABLE auto.scan_tool (
    business_id             uuid             NOT NULL,
    scan_tool_id            uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    shop_id                 uuid             NOT NULL,
    shop_equipment_id       uuid,
    tool_code               system_core.code NOT NULL,
    tool_kind               text             NOT NULL,
    vendor                  text,
    serial_number           text             NOT NULL,
    firmware_version        text,
    protocols               text[]           NOT NULL DEFAULT '{}',
    brand_coverage          text[]           NOT NULL DEFAULT '{}',
    subscription_expires_on date,
    last_seen_at            timestamptz,
    is_can_fd               boolean          NOT NULL DEFAULT false,
    is_doip                 boolean          NOT NULL DEFAULT false,
    status                  text             NOT NULL DEFAULT 'active',
    created_at              timestamptz      NOT NULL DEFAULT now(),
    updated_at              timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, scan_tool_id),
    UNIQUE (business_id, serial_number),
    FOREIGN KEY (business_id, shop_id) REFERENCES auto.shop (business_id, shop_id),
    FOREIGN KEY (business_id, shop_equipment_id)
        REFERENCES auto.shop_equipment (business_id, shop_equipment_id),
    CONSTRAINT scan_tool_kind_known
        CHECK (tool_kind IN ('generic_obd', 'oem', 'multi_brand', 'j2534_pass_thru',
                             'remote_service', 'emissions_analyzer')),
    CONSTRAINT scan_tool_status_known
        CHECK (status IN ('active', 'expired', 'repair', 'retired')),
    CONSTRAINT scan_tool_pass_thru_names_protocols
        CHECK (tool_kind <> 'j2534_pass_thru' OR cardinality(protocols) > 0)
);

COMMENT ON TABLE auto.scan_tool IS
    'Scan tool or pass-through device with software subscription and protocol coverage.';
COMMENT ON COLUMN auto.scan_tool.subscription_expires_on IS
    'Last day of the software subscription; NULL where the software was bought for good.';
COMMENT ON COLUMN auto.scan_tool.is_can_fd IS 'Speaks CAN with flexible data rate (from 2020).';
COMMENT ON COLUMN auto.scan_tool.is_doip IS 'Speaks diagnostics over IP, by Ethernet.';

-- FK: the scan tools of a shop.
CREATE INDEX scan_tool_shop_idx ON auto.scan_tool (business_id, shop_id);

-- FK: the scan tools of a shop equipment.
CREATE INDEX scan_tool_shop_equipment_idx
    ON auto.scan_tool (business_id, shop_equipment_id)
    WHERE shop_equipment_id IS NOT NULL;

ALTER TABLE auto.scan_tool ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.scan_tool
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.scan_tool TO app_user;
GRANT SELECT ON auto.scan_tool TO app_readonly;

CREATE TRIGGER scan_tool_touch
    BEFORE UPDATE ON auto.scan_tool
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER scan_tool_status_machine
    BEFORE INSERT OR UPDATE OF status ON auto.scan_tool
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["active", "expired", "repair"],
        "transitions": {
            "active":  ["expired", "repair", "retired"],
            "expired": ["active", "repair", "retired"],
            "repair":  ["active", "expired", "retired"],
            "retired": []
        }}');

CREATE FUNCTION auto.require_current_subscription() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) AND NEW.subscription_expires_on < tenant_mgmt.today() THEN
        RAISE EXCEPTION 'scan tool %: its subscription ended on %', NEW.tool_code,
                        NEW.subscription_expires_on
            USING ERRCODE = 'check_violation',
                  HINT = 'Renew the subscription, or set the status to expired.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.require_current_subscription() IS
    'A tool becomes active only while its software is paid for.';

CREATE TRIGGER scan_tool_subscribed
    BEFORE INSERT OR UPDATE OF status, subscription_expires_on ON auto.scan_tool
    FOR EACH ROW WHEN (NEW.status = 'active' AND NEW.subscription_expires_on IS NOT NULL)
    EXECUTE FUNCTION auto.require_current_subscription();


CREATE TABLE auto.diagnostic_session (
    business_id             uuid                    NOT NULL,
    diagnostic_session_id   uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    report_file_id          uuid,
    vehicle_id              uuid                    NOT NULL,
    scan_tool_id            uuid,
    repair_order_id         uuid,
    technician_id           uuid,
    session_kind            text                    NOT NULL,
    started_at              timestamptz             NOT NULL,
    ended_at                timestamptz,
    protocol                text                    NOT NULL,
    obd_standard            text                    NOT NULL,
    odometer                integer,
    battery_v               system_core.quantity,
    is_mil_on               boolean                 NOT NULL DEFAULT false,
    dtc_count               integer                 NOT NULL DEFAULT 0,
    modules_found_count     integer                 NOT NULL DEFAULT 0,
    modules_silent_count    integer                 NOT NULL DEFAULT 0,
    codes_cleared_at        timestamptz,
    distance_since_clear_km system_core.quantity,
    raw_document            system_core.json_object,
    created_at              timestamptz             NOT NULL DEFAULT now(),
    updated_at              timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, diagnostic_session_id),
    FOREIGN KEY (business_id, report_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, vehicle_id) REFERENCES auto.vehicle (business_id, vehicle_id),
    FOREIGN KEY (business_id, scan_tool_id) REFERENCES auto.scan_tool (business_id, scan_tool_id),
    FOREIGN KEY (business_id, repair_order_id)
        REFERENCES auto.repair_order (business_id, repair_order_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES auto.technician (business_id, technician_id),
    CONSTRAINT diagnostic_session_kind_known
        CHECK (session_kind IN ('pre_scan', 'in_process_scan', 'post_scan', 'diagnosis',
                                'emissions', 'health_check', 'remote', 'calibration')),
    CONSTRAINT diagnostic_session_protocol_known
        CHECK (protocol IN ('can_11', 'can_29', 'can_fd', 'j1850_pwm', 'j1850_vpw', 'iso9141',
                            'kwp2000', 'uds_doip', 'j1939')),
    CONSTRAINT diagnostic_session_obd_standard_known
        CHECK (obd_standard IN ('j1979', 'j1979_2', 'j1939', 'oem')),
    CONSTRAINT diagnostic_session_ends_after_start CHECK (ended_at >= started_at),
    CONSTRAINT diagnostic_session_of_a_repair
        CHECK (session_kind NOT IN ('pre_scan', 'in_process_scan', 'post_scan', 'calibration')
               OR repair_order_id IS NOT NULL),
    CONSTRAINT diagnostic_session_cleared_within
        CHECK (codes_cleared_at BETWEEN started_at AND ended_at),
    CONSTRAINT diagnostic_session_battery_plausible CHECK (battery_v BETWEEN 6 AND 32),
    CONSTRAINT diagnostic_session_j1939_throughout
        CHECK ((protocol = 'j1939') = (obd_standard = 'j1939')),
    CONSTRAINT diagnostic_session_counts_not_negative
        CHECK (odometer >= 0 AND dtc_count >= 0 AND modules_found_count >= 0
               AND modules_silent_count >= 0 AND distance_since_clear_km >= 0)
);

COMMENT ON TABLE auto.diagnostic_session IS
    'One connection of a tool to a vehicle: why, with which protocol, and what it found in
     summary.';
COMMENT ON COLUMN auto.diagnostic_session.ended_at IS 'NULL while the tool is connected.';
COMMENT ON COLUMN auto.diagnostic_session.is_mil_on IS
    'The malfunction indicator lamp was commanded on.';
COMMENT ON COLUMN auto.diagnostic_session.dtc_count IS
    'Its rows of detected_dtc; kept by trigger, as are the counts of modules.';
COMMENT ON COLUMN auto.diagnostic_session.distance_since_clear_km IS
    'Driven since codes were cleared: little of it says why monitors are not ready.';
COMMENT ON COLUMN auto.diagnostic_session.raw_document IS 'The report as the tool sent it.';

-- FK: the diagnostic sessions by their report file.
CREATE INDEX diagnostic_session_report_file_idx
    ON auto.diagnostic_session (business_id, report_file_id)
    WHERE report_file_id IS NOT NULL;

-- FK, history and triage: the sessions of a vehicle, the newest first.
CREATE INDEX diagnostic_session_vehicle_idx
    ON auto.diagnostic_session (business_id, vehicle_id, started_at DESC);

-- FK: the diagnostic sessions of a scan tool.
CREATE INDEX diagnostic_session_scan_tool_idx
    ON auto.diagnostic_session (business_id, scan_tool_id)
    WHERE scan_tool_id IS NOT NULL;

-- FK: the diagnostic sessions of a repair order.
CREATE INDEX diagnostic_session_repair_order_idx
    ON auto.diagnostic_session (business_id, repair_order_id)
    WHERE repair_order_id IS NOT NULL;

-- FK: the diagnostic sessions of a technician.
CREATE INDEX diagnostic_session_technician_idx
    ON auto.diagnostic_session (business_id, technician_id)
    WHERE technician_id IS NOT NULL;

ALTER TABLE auto.diagnostic_session ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.diagnostic_session
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.diagnostic_session TO app_user;
GRANT SELECT ON auto.diagnostic_session TO app_readonly;

CREATE TRIGGER diagnostic_session_touch
    BEFORE UPDATE ON auto.diagnostic_session
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

ALTER TABLE auto.quality_check ADD FOREIGN KEY (business_id, post_scan_session_id)
    REFERENCES auto.diagnostic_session (business_id, diagnostic_session_id);


CREATE TABLE auto.session_module (
    business_id           uuid             NOT NULL,
    session_module_id     uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    diagnostic_session_id uuid             NOT NULL,
    module_address        text             NOT NULL,
    module_code           text             NOT NULL,
    module_name           text,
    hardware_number       text,
    software_number       text,
    calibration_id        text,
    cvn_code              system_core.code,
    responded             boolean          NOT NULL DEFAULT false,
    response_ms           integer,
    dtc_count             integer          NOT NULL DEFAULT 0,
    is_update_available   boolean          NOT NULL DEFAULT false,
    created_at            timestamptz      NOT NULL DEFAULT now(),
    updated_at            timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, session_module_id),
    UNIQUE (business_id, diagnostic_session_id, module_address),
    FOREIGN KEY (business_id, diagnostic_session_id)
        REFERENCES auto.diagnostic_session (business_id, diagnostic_session_id),
    CONSTRAINT session_module_code_known
        CHECK (module_code IN ('ecm', 'tcm', 'abs', 'srs', 'bcm', 'eps', 'bms', 'hvac',
                               'gateway', 'adas', 'ipc', 'tpms', 'dcdc', 'obc')),
    CONSTRAINT session_module_silent_reports_nothing CHECK (responded OR dtc_count = 0),
    CONSTRAINT session_module_calibration_is_verified
        CHECK ((calibration_id IS NULL) = (cvn_code IS NULL)),
    CONSTRAINT session_module_address_hexadecimal CHECK (module_address ~ '^[0-9A-F]{2,8}$'),
    CONSTRAINT session_module_counts_not_negative CHECK (dtc_count >= 0 AND response_ms >= 0)
);

COMMENT ON TABLE auto.session_module IS
    'Control module that answered, or stayed silent, with software and calibration identity.';
COMMENT ON COLUMN auto.session_module.module_address IS
    'Where it answers on the bus, hexadecimal: 7E8 is the engine.';
COMMENT ON COLUMN auto.session_module.calibration_id IS
    'Software identity (service 09), which an emission inspection compares with its CVN.';
COMMENT ON COLUMN auto.session_module.cvn_code IS
    'Calibration verification number: the checksum of the software that runs.';

ALTER TABLE auto.session_module ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.session_module
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.session_module TO app_user;
GRANT SELECT ON auto.session_module TO app_readonly;

CREATE TRIGGER session_module_touch
    BEFORE UPDATE ON auto.session_module
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION auto.count_session_modules() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE auto.diagnostic_session AS s
    SET modules_found_count = n.found, modules_silent_count = n.silent
    FROM (
        SELECT c.business_id, c.diagnostic_session_id,
               count(*) FILTER (WHERE m.responded) AS found,
               count(*) FILTER (WHERE NOT m.responded) AS silent
        FROM (SELECT DISTINCT x.business_id, x.diagnostic_session_id FROM changed AS x) AS c
        LEFT JOIN auto.session_module AS m
            ON m.business_id = c.business_id
           AND m.diagnostic_session_id = c.diagnostic_session_id
        GROUP BY c.business_id, c.diagnostic_session_id
    ) AS n
    WHERE s.business_id = n.business_id
      AND s.diagnostic_session_id = n.diagnostic_session_id
      AND (s.modules_found_count, s.modules_silent_count) IS DISTINCT FROM (n.found, n.silent);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.count_session_modules() IS
    'A session says how many modules answered and how many stayed silent.';

CREATE TRIGGER session_module_counted
    AFTER INSERT ON auto.session_module
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.count_session_modules();

CREATE TRIGGER session_module_recounted
    AFTER UPDATE ON auto.session_module
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.count_session_modules();

CREATE TRIGGER session_module_discounted
    AFTER DELETE ON auto.session_module
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.count_session_modules();


CREATE TABLE auto.dtc_definition (
    business_id          uuid             NOT NULL,
    dtc_definition_id    uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    dtc_code             system_core.code NOT NULL,
    failure_type_byte    text,
    code_system          text             NOT NULL GENERATED ALWAYS AS (
        CASE left(dtc_code, 1) WHEN 'P' THEN 'powertrain' WHEN 'C' THEN 'chassis'
                               WHEN 'B' THEN 'body' ELSE 'network' END) STORED,
    authority            text             NOT NULL,
    make_name            text,
    description          text             NOT NULL,
    is_emission_related  boolean          NOT NULL DEFAULT false,
    default_severity     text             NOT NULL,
    mil_behavior         text             NOT NULL,
    enable_criteria_text text,
    typical_causes       text[]           NOT NULL DEFAULT '{}',
    created_at           timestamptz      NOT NULL DEFAULT now(),
    updated_at           timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, dtc_definition_id),
    UNIQUE NULLS NOT DISTINCT (business_id, dtc_code, failure_type_byte, make_name),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT dtc_definition_authority_known
        CHECK (authority IN ('sae_generic', 'manufacturer')),
    CONSTRAINT dtc_definition_severity_known
        CHECK (default_severity IN ('info', 'service_soon', 'stop_safely', 'do_not_drive')),
    CONSTRAINT dtc_definition_mil_behavior_known
        CHECK (mil_behavior IN ('none', 'type_a', 'type_b', 'type_c')),
    CONSTRAINT dtc_definition_make_of_its_authority
        CHECK ((authority = 'manufacturer') = (make_name IS NOT NULL)),
    CONSTRAINT dtc_definition_code_j2012 CHECK (dtc_code ~ '^[PCBU][0-3][0-9A-F]{3}$'),
    CONSTRAINT dtc_definition_failure_type_is_byte
        CHECK (failure_type_byte ~ '^[0-9A-F]{2}$')
);

COMMENT ON TABLE auto.dtc_definition IS
    'Trouble code vocabulary: generic J2012 codes and manufacturer codes with failure type.';
COMMENT ON COLUMN auto.dtc_definition.failure_type_byte IS
    'How the part failed (J2012-DA): 11 short to ground, 13 open, 62 does not compare, …';
COMMENT ON COLUMN auto.dtc_definition.mil_behavior IS
    'type_a lights the lamp at once, type_b on the second trip, type_c another lamp.';
COMMENT ON COLUMN auto.dtc_definition.make_name IS 'Whose code it is; NULL: everybody''s.';

ALTER TABLE auto.dtc_definition ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.dtc_definition
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.dtc_definition TO app_user;
GRANT SELECT ON auto.dtc_definition TO app_readonly;

CREATE TRIGGER dtc_definition_touch
    BEFORE UPDATE ON auto.dtc_definition
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE auto.detected_dtc (
    business_id           uuid             NOT NULL,
    detected_dtc_id       uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    diagnostic_session_id uuid             NOT NULL,
    session_module_id     uuid,
    vehicle_id            uuid             NOT NULL,
    dtc_definition_id     uuid,
    repair_job_id         uuid,
    dtc_code              system_core.code NOT NULL,
    failure_type_byte     text,
    obd_service           text             NOT NULL,
    status_byte           integer,
    is_current            boolean          NOT NULL DEFAULT false,
    is_mil_request        boolean          NOT NULL DEFAULT false,
    occurrence_count      integer          NOT NULL DEFAULT 1,
    first_seen_odometer   integer,
    warmup_cycles_count   integer          NOT NULL DEFAULT 0,
    severity              text             NOT NULL,
    resolution            text             NOT NULL DEFAULT 'open',
    detected_at           timestamptz      NOT NULL DEFAULT now(),
    resolved_at           timestamptz,
    created_at            timestamptz      NOT NULL DEFAULT now(),
    updated_at            timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, detected_dtc_id),
    UNIQUE NULLS NOT DISTINCT (business_id, diagnostic_session_id, session_module_id,
            dtc_code, failure_type_byte, obd_service),
    FOREIGN KEY (business_id, diagnostic_session_id)
        REFERENCES auto.diagnostic_session (business_id, diagnostic_session_id),
    FOREIGN KEY (business_id, session_module_id)
        REFERENCES auto.session_module (business_id, session_module_id),
    FOREIGN KEY (business_id, vehicle_id) REFERENCES auto.vehicle (business_id, vehicle_id),
    FOREIGN KEY (business_id, dtc_definition_id)
        REFERENCES auto.dtc_definition (business_id, dtc_definition_id),
    FOREIGN KEY (business_id, repair_job_id)
        REFERENCES auto.repair_job (business_id, repair_job_id),
    CONSTRAINT detected_dtc_obd_service_known
        CHECK (obd_service IN ('stored_03', 'pending_07', 'permanent_0a', 'uds_19')),
    CONSTRAINT detected_dtc_severity_known
        CHECK (severity IN ('info', 'service_soon', 'stop_safely', 'do_not_drive')),
    CONSTRAINT detected_dtc_resolution_known
        CHECK (resolution IN ('open', 'repaired', 'cleared_only', 'no_fault_found', 'returned')),
    CONSTRAINT detected_dtc_status_is_byte CHECK (status_byte BETWEEN 0 AND 255),
    CONSTRAINT detected_dtc_current_is_bit_0
        CHECK (status_byte IS NULL OR is_current = (status_byte & 1 = 1)),
    CONSTRAINT detected_dtc_code_j2012 CHECK (dtc_code ~ '^[PCBU][0-3][0-9A-F]{3}$'),
    CONSTRAINT detected_dtc_failure_type_is_byte CHECK (failure_type_byte ~ '^[0-9A-F]{2}$'),
    CONSTRAINT detected_dtc_permanent_not_cleared
        CHECK (obd_service <> 'permanent_0a' OR resolution <> 'cleared_only'),
    CONSTRAINT detected_dtc_resolved_has_time
        CHECK ((resolution = 'open') = (resolved_at IS NULL)),
    CONSTRAINT detected_dtc_resolved_after_detected CHECK (resolved_at >= detected_at),
    CONSTRAINT detected_dtc_counts_not_negative
        CHECK (occurrence_count >= 0 AND warmup_cycles_count >= 0
               AND first_seen_odometer >= 0)
);

COMMENT ON TABLE auto.detected_dtc IS
    'A trouble code as read from a module in a session, with its status bits.';
COMMENT ON COLUMN auto.detected_dtc.status_byte IS
    'Status bits (ISO 14229): 1 failed now, 4 pending, 8 confirmed, 128 asks for the lamp.';
COMMENT ON COLUMN auto.detected_dtc.obd_service IS
    'How it was read; a permanent code (0A) survives clearing.';
COMMENT ON COLUMN auto.detected_dtc.severity IS 'Of its definition where none is given.';
COMMENT ON COLUMN auto.detected_dtc.resolution IS
    'cleared_only: erased without a repair; returned: seen again after one.';
COMMENT ON COLUMN auto.detected_dtc.repair_job_id IS 'The job that cured it.';

-- FK: the detected dtcs of a session module.
CREATE INDEX detected_dtc_session_module_idx
    ON auto.detected_dtc (business_id, session_module_id)
    WHERE session_module_id IS NOT NULL;

-- FK, history and triage: the codes of a vehicle, the newest first.
CREATE INDEX detected_dtc_vehicle_idx
    ON auto.detected_dtc (business_id, vehicle_id, detected_at DESC);

-- Triage: where this code was cured before.
CREATE INDEX detected_dtc_cured_idx
    ON auto.detected_dtc (business_id, dtc_code, resolved_at DESC)
    WHERE repair_job_id IS NOT NULL;

-- FK: the detected dtcs of a dtc definition.
CREATE INDEX detected_dtc_dtc_definition_idx
    ON auto.detected_dtc (business_id, dtc_definition_id)
    WHERE dtc_definition_id IS NOT NULL;

-- FK: the detected dtcs of a repair job.
CREATE INDEX detected_dtc_repair_job_idx
    ON auto.detected_dtc (business_id, repair_job_id)
    WHERE repair_job_id IS NOT NULL;

ALTER TABLE auto.detected_dtc ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.detected_dtc
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.detected_dtc TO app_user;
GRANT SELECT ON auto.detected_dtc TO app_readonly;

CREATE TRIGGER detected_dtc_touch
    BEFORE UPDATE ON auto.detected_dtc
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION auto.define_detected_dtc() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    found record;
BEGIN
    SELECT d.dtc_definition_id, d.default_severity INTO found
    FROM auto.dtc_definition AS d
    LEFT JOIN auto.vehicle AS v
        ON v.business_id = NEW.business_id AND v.vehicle_id = NEW.vehicle_id
    LEFT JOIN auto.vehicle_configuration AS c
        ON c.business_id = NEW.business_id
       AND c.vehicle_configuration_id = v.vehicle_configuration_id
    WHERE d.business_id = NEW.business_id AND d.dtc_code = NEW.dtc_code
      AND (d.make_name IS NULL OR d.make_name = c.make_name)
      AND (d.failure_type_byte IS NULL OR d.failure_type_byte = NEW.failure_type_byte)
    ORDER BY d.make_name NULLS LAST, d.failure_type_byte NULLS LAST
    LIMIT 1;
    NEW.dtc_definition_id := coalesce(NEW.dtc_definition_id, found.dtc_definition_id);
    NEW.severity := coalesce(NEW.severity, found.default_severity, 'service_soon');
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.define_detected_dtc() IS
    'Finds the meaning of a code, the make''s own before the generic one, and its severity; an
     unknown code is to be looked at soon.';

CREATE TRIGGER detected_dtc_defined
    BEFORE INSERT ON auto.detected_dtc
    FOR EACH ROW WHEN (NEW.dtc_definition_id IS NULL OR NEW.severity IS NULL)
    EXECUTE FUNCTION auto.define_detected_dtc();

CREATE FUNCTION auto.count_detected_dtcs() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE auto.diagnostic_session AS s
    SET dtc_count = n.codes
    FROM (
        SELECT c.business_id, c.diagnostic_session_id, count(d.detected_dtc_id) AS codes
        FROM (SELECT DISTINCT x.business_id, x.diagnostic_session_id FROM changed AS x) AS c
        LEFT JOIN auto.detected_dtc AS d
            ON d.business_id = c.business_id
           AND d.diagnostic_session_id = c.diagnostic_session_id
        GROUP BY c.business_id, c.diagnostic_session_id
    ) AS n
    WHERE s.business_id = n.business_id
      AND s.diagnostic_session_id = n.diagnostic_session_id AND s.dtc_count <> n.codes;

    UPDATE auto.session_module AS m
    SET dtc_count = n.codes
    FROM (
        SELECT c.business_id, c.session_module_id, count(d.detected_dtc_id) AS codes
        FROM (SELECT DISTINCT x.business_id, x.session_module_id FROM changed AS x
              WHERE x.session_module_id IS NOT NULL) AS c
        LEFT JOIN auto.detected_dtc AS d
            ON d.business_id = c.business_id AND d.session_module_id = c.session_module_id
        GROUP BY c.business_id, c.session_module_id
    ) AS n
    WHERE m.business_id = n.business_id
      AND m.session_module_id = n.session_module_id AND m.dtc_count <> n.codes;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.count_detected_dtcs() IS
    'Sessions and modules say how many codes they reported.';

CREATE TRIGGER detected_dtc_counted
    AFTER INSERT ON auto.detected_dtc
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.count_detected_dtcs();

CREATE TRIGGER detected_dtc_discounted
    AFTER DELETE ON auto.detected_dtc
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.count_detected_dtcs();

CREATE FUNCTION auto.require_monitor_passed() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) AND NOT EXISTS (
        SELECT FROM auto.diagnostic_session AS s
        JOIN auto.diagnostic_session AS o
            ON o.business_id = NEW.business_id
           AND o.diagnostic_session_id = NEW.diagnostic_session_id
        WHERE s.business_id = NEW.business_id AND s.vehicle_id = NEW.vehicle_id
          AND s.started_at > o.started_at AND s.ended_at IS NOT NULL
          AND NOT EXISTS (
              SELECT FROM auto.detected_dtc AS d
              WHERE d.business_id = s.business_id
                AND d.diagnostic_session_id = s.diagnostic_session_id
                AND d.dtc_code = NEW.dtc_code AND d.obd_service = 'permanent_0a')) THEN
        RAISE EXCEPTION 'permanent code % is still stored in the vehicle', NEW.dtc_code
            USING ERRCODE = 'check_violation',
                  HINT = 'Drive until its monitor has run, then scan again: a session without the'
                         ' code resolves it.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.require_monitor_passed() IS
    'A permanent code stays open until a later session no longer reports it.';

CREATE TRIGGER detected_dtc_permanent_stays
    BEFORE UPDATE OF resolution ON auto.detected_dtc
    FOR EACH ROW WHEN (NEW.obd_service = 'permanent_0a' AND OLD.resolution = 'open'
                       AND NEW.resolution IN ('repaired', 'no_fault_found'))
    EXECUTE FUNCTION auto.require_monitor_passed();

CREATE FUNCTION auto.resolve_permanent_dtcs() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        UPDATE auto.detected_dtc AS d
        SET resolution = 'repaired', resolved_at = NEW.ended_at
        FROM auto.diagnostic_session AS o
        WHERE d.business_id = NEW.business_id AND d.vehicle_id = NEW.vehicle_id
          AND d.obd_service = 'permanent_0a' AND d.resolution = 'open'
          AND d.detected_at <= NEW.ended_at
          AND o.business_id = d.business_id
          AND o.diagnostic_session_id = d.diagnostic_session_id
          AND o.started_at < NEW.started_at
          AND NOT EXISTS (
              SELECT FROM auto.detected_dtc AS n
              WHERE n.business_id = NEW.business_id
                AND n.diagnostic_session_id = NEW.diagnostic_session_id
                AND n.dtc_code = d.dtc_code AND n.obd_service = 'permanent_0a')
          AND EXISTS (
              SELECT FROM auto.session_module AS m
              WHERE m.business_id = NEW.business_id
                AND m.diagnostic_session_id = NEW.diagnostic_session_id
                AND m.module_code = 'ecm' AND m.responded);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.resolve_permanent_dtcs() IS
    'A session that ends, in which the engine module answered, resolves the permanent codes that it
     no longer reports.';

CREATE TRIGGER diagnostic_session_resolves_permanent
    AFTER UPDATE OF ended_at ON auto.diagnostic_session
    FOR EACH ROW WHEN (OLD.ended_at IS NULL AND NEW.ended_at IS NOT NULL)
    EXECUTE FUNCTION auto.resolve_permanent_dtcs();

CREATE FUNCTION auto.triage_dtcs(p_diagnostic_session_id uuid) RETURNS TABLE (
    dtc_code          text,
    is_root_candidate boolean,
    severity          text,
    seen_before_count bigint,
    last_fix_text     text
)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH code AS (
        SELECT d.dtc_code::text AS dtc_code, d.vehicle_id, s.started_at,
               v.vehicle_configuration_id,
               bool_or(d.is_current) AS is_current,
               bool_or(d.obd_service IN ('stored_03', 'permanent_0a')
                       OR d.status_byte & 8 = 8) AS is_confirmed,
               max(array_position(ARRAY['info', 'service_soon', 'stop_safely', 'do_not_drive'],
                                  d.severity)) AS severity_rank,
               min(d.first_seen_odometer) AS first_seen_odometer,
               d.dtc_code ~ '^(U0[0-2]|P056)' AS is_common_cause
        FROM auto.detected_dtc AS d
        JOIN auto.diagnostic_session AS s
            ON s.business_id = d.business_id
           AND s.diagnostic_session_id = d.diagnostic_session_id
        JOIN auto.vehicle AS v
            ON v.business_id = d.business_id AND v.vehicle_id = d.vehicle_id
        WHERE d.business_id = tenant_mgmt.current_business_id()
          AND d.diagnostic_session_id = p_diagnostic_session_id
        GROUP BY d.dtc_code, d.vehicle_id, s.started_at, v.vehicle_configuration_id
    ), ranked AS (
        SELECT c.*,
               bool_or(c.is_common_cause AND c.is_current) OVER () AS has_common_cause,
               min(c.first_seen_odometer) OVER () AS earliest_odometer
        FROM code AS c
    )
    SELECT r.dtc_code,
           (r.is_current OR r.is_confirmed)
               AND CASE WHEN r.has_common_cause THEN r.is_common_cause AND r.is_current
                        ELSE r.first_seen_odometer IS NULL
                             OR r.first_seen_odometer = r.earliest_odometer END,
           (ARRAY['info', 'service_soon', 'stop_safely', 'do_not_drive'])[r.severity_rank],
           (SELECT count(DISTINCT e.diagnostic_session_id)
            FROM auto.detected_dtc AS e
            JOIN auto.diagnostic_session AS s
                ON s.business_id = e.business_id
               AND s.diagnostic_session_id = e.diagnostic_session_id
            WHERE e.business_id = tenant_mgmt.current_business_id()
              AND e.vehicle_id = r.vehicle_id AND e.dtc_code::text = r.dtc_code
              AND s.started_at < r.started_at),
           (SELECT j.correction_text
            FROM auto.detected_dtc AS f
            JOIN auto.repair_job AS j
                ON j.business_id = f.business_id AND j.repair_job_id = f.repair_job_id
            JOIN auto.vehicle AS w
                ON w.business_id = f.business_id AND w.vehicle_id = f.vehicle_id
            WHERE f.business_id = tenant_mgmt.current_business_id()
              AND f.dtc_code::text = r.dtc_code AND f.repair_job_id IS NOT NULL
              AND f.resolution = 'repaired' AND j.correction_text IS NOT NULL
              AND (w.vehicle_id = r.vehicle_id
                   OR w.vehicle_configuration_id = r.vehicle_configuration_id)
            ORDER BY f.resolved_at DESC, f.detected_dtc_id
            LIMIT 1)
    FROM ranked AS r
    ORDER BY r.severity_rank DESC, r.is_common_cause DESC, r.is_current DESC,
             r.is_confirmed DESC, r.dtc_code;
END;
COMMENT ON FUNCTION auto.triage_dtcs(uuid) IS
    'The codes of a session of the current tenant, the worst first. A root candidate is failing or
     confirmed; where a network or supply code fails now, only those are, else the codes that were
     first seen first. With how often the vehicle had the code before, and what cured it last on
     this vehicle or one of the same build.';


CREATE TABLE auto.freeze_frame (
    business_id         uuid                    NOT NULL,
    freeze_frame_id     uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    detected_dtc_id     uuid                    NOT NULL,
    frame_no            integer                 NOT NULL,
    captured_at         timestamptz,
    engine_rpm          system_core.quantity,
    calc_load_pct       system_core.percentage,
    coolant_temp_c      system_core.quantity,
    intake_temp_c       system_core.quantity,
    short_fuel_trim_pct system_core.percentage,
    long_fuel_trim_pct  system_core.percentage,
    map_kpa             system_core.quantity,
    vehicle_speed_kmh   system_core.quantity,
    spark_advance_deg   system_core.quantity,
    fuel_system_status  text                    NOT NULL DEFAULT 'open_cold',
    runtime_seconds     integer,
    parameters          system_core.json_object,
    created_at          timestamptz             NOT NULL DEFAULT now(),
    updated_at          timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, freeze_frame_id),
    UNIQUE (business_id, detected_dtc_id, frame_no),
    FOREIGN KEY (business_id, detected_dtc_id)
        REFERENCES auto.detected_dtc (business_id, detected_dtc_id),
    CONSTRAINT freeze_frame_fuel_system_status_known
        CHECK (fuel_system_status IN ('open_cold', 'closed', 'open_load', 'open_fault',
                                      'closed_fault')),
    CONSTRAINT freeze_frame_rpm_bounded CHECK (engine_rpm BETWEEN 0 AND 16383.75),
    CONSTRAINT freeze_frame_load_bounded CHECK (calc_load_pct BETWEEN 0 AND 100),
    CONSTRAINT freeze_frame_long_trim_bounded CHECK (long_fuel_trim_pct BETWEEN -100 AND 99.2),
    CONSTRAINT freeze_frame_short_trim_bounded
        CHECK (short_fuel_trim_pct BETWEEN -100 AND 99.2),
    CONSTRAINT freeze_frame_coolant_bounded CHECK (coolant_temp_c BETWEEN -40 AND 215),
    CONSTRAINT freeze_frame_intake_bounded CHECK (intake_temp_c BETWEEN -40 AND 215),
    CONSTRAINT freeze_frame_pressure_bounded CHECK (map_kpa BETWEEN 0 AND 255),
    CONSTRAINT freeze_frame_speed_bounded CHECK (vehicle_speed_kmh BETWEEN 0 AND 255),
    CONSTRAINT freeze_frame_spark_bounded CHECK (spark_advance_deg BETWEEN -64 AND 63.5),
    CONSTRAINT freeze_frame_numbers_not_negative CHECK (frame_no >= 0 AND runtime_seconds >= 0)
);

COMMENT ON TABLE auto.freeze_frame IS
    'Operating conditions stored by the module when the code set (service 02).';
COMMENT ON COLUMN auto.freeze_frame.long_fuel_trim_pct IS
    'Fuel that the module learned to add (lean) or to take away (rich).';
COMMENT ON COLUMN auto.freeze_frame.parameters IS 'Further parameters, each with value and unit.';

ALTER TABLE auto.freeze_frame ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.freeze_frame
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.freeze_frame TO app_user;
GRANT SELECT ON auto.freeze_frame TO app_readonly;

CREATE TRIGGER freeze_frame_touch
    BEFORE UPDATE ON auto.freeze_frame
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE VIEW auto.v_freeze_frame_parameter WITH (security_invoker = true) AS
SELECT f.business_id, d.dtc_code, f.detected_dtc_id, f.freeze_frame_id, f.frame_no, p.pid, p.value,
       p.unit,
       p.value - first_value(p.value) OVER (
           PARTITION BY f.business_id, f.detected_dtc_id, p.pid ORDER BY f.frame_no)
           AS since_first_frame
FROM auto.freeze_frame AS f
JOIN auto.detected_dtc AS d
    ON d.business_id = f.business_id AND d.detected_dtc_id = f.detected_dtc_id
CROSS JOIN JSON_TABLE(
    f.parameters, '$.keyvalue()'
    COLUMNS (pid text PATH '$.key', value numeric PATH '$.value.value',
             unit text PATH '$.value.unit')) AS p;
COMMENT ON VIEW auto.v_freeze_frame_parameter IS
    'Further PIDs of the frames of a code, a row each, with what changed since its first frame.';
GRANT SELECT ON auto.v_freeze_frame_parameter TO app_user, app_readonly;
