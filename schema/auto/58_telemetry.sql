/*
 * Telemetry: what the vehicle says of itself beyond codes, and what is written into it.
 *
 * The engine module tests its emission controls while it is driven. readiness_monitor says which of
 * those monitors have run since codes were cleared; readiness_verdict whether an emission
 * inspection accepts it. monitor_test_result is the figure that a monitor measured, with its
 * limits: a catalyst that passes by a hair is sold before it fails. live_data_sample is the stream
 * of parameters during a road test; both are append-only and partitioned by month. module_programming is software
 * written into a module, under battery support, with the security log that keys demand.
 *
 * load_scan_report takes the document of a scan tool apart into all of these tables at once.
 */

CREATE TABLE auto.readiness_monitor (
    business_id           uuid        NOT NULL,
    readiness_monitor_id  uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    diagnostic_session_id uuid        NOT NULL,
    monitor_code          text        NOT NULL,
    scope                 text        NOT NULL,
    ignition_kind         text        NOT NULL,
    is_supported          boolean     NOT NULL DEFAULT false,
    is_complete           boolean     NOT NULL DEFAULT false,
    is_continuous         boolean     NOT NULL GENERATED ALWAYS AS (
        monitor_code IN ('misfire', 'fuel_system', 'components')) STORED,
    module_address        text        NOT NULL,
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, readiness_monitor_id),
    UNIQUE (business_id, diagnostic_session_id, monitor_code, scope, module_address),
    FOREIGN KEY (business_id, diagnostic_session_id)
        REFERENCES auto.diagnostic_session (business_id, diagnostic_session_id),
    CONSTRAINT readiness_monitor_code_known
        CHECK (monitor_code IN ('misfire', 'fuel_system', 'components', 'catalyst',
                                'heated_catalyst', 'evap', 'secondary_air', 'oxygen_sensor',
                                'oxygen_heater', 'egr_vvt', 'nmhc_catalyst',
                                'nox_aftertreatment', 'boost_pressure', 'exhaust_gas_sensor',
                                'pm_filter')),
    CONSTRAINT readiness_monitor_scope_known CHECK (scope IN ('since_clear', 'this_drive_cycle')),
    CONSTRAINT readiness_monitor_ignition_kind_known
        CHECK (ignition_kind IN ('spark', 'compression')),
    CONSTRAINT readiness_monitor_complete_is_supported CHECK (is_supported OR NOT is_complete),
    CONSTRAINT readiness_monitor_of_its_ignition
        CHECK (CASE ignition_kind
               WHEN 'spark' THEN monitor_code NOT IN ('nmhc_catalyst', 'nox_aftertreatment',
                   'boost_pressure', 'exhaust_gas_sensor', 'pm_filter')
               ELSE monitor_code NOT IN ('catalyst', 'heated_catalyst', 'evap',
                   'secondary_air', 'oxygen_sensor', 'oxygen_heater') END)
);

COMMENT ON TABLE auto.readiness_monitor IS
    'Supported and complete state of one OBD monitor in a session (service 01 PID 01 and 41).';
COMMENT ON COLUMN auto.readiness_monitor.is_continuous IS
    'Runs whenever the engine does; the others need their drive cycle.';
COMMENT ON COLUMN auto.readiness_monitor.scope IS
    'PID 01 counts since codes were cleared, PID 41 in this drive cycle.';

ALTER TABLE auto.readiness_monitor ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.readiness_monitor
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.readiness_monitor TO app_user;
GRANT SELECT ON auto.readiness_monitor TO app_readonly;

CREATE TRIGGER readiness_monitor_touch
    BEFORE UPDATE ON auto.readiness_monitor
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE auto.monitor_test_result (
    business_id            uuid                   NOT NULL,
    monitor_test_result_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    diagnostic_session_id  uuid                   NOT NULL,
    vehicle_id             uuid                   NOT NULL,
    measured_at            timestamptz            NOT NULL DEFAULT now(),
    monitor_id_code        system_core.code       NOT NULL,
    test_id_code           system_core.code       NOT NULL,
    component_name         text,
    unit_scaling_code      system_core.code,
    test_value             system_core.quantity   NOT NULL,
    min_limit              system_core.quantity,
    max_limit              system_core.quantity,
    margin_pct             system_core.percentage GENERATED ALWAYS AS (
        round(100 * least(test_value - min_limit, max_limit - test_value)
              / nullif(max_limit - min_limit, 0), 4)) STORED,
    passed                 boolean                NOT NULL GENERATED ALWAYS AS (
        test_value >= coalesce(min_limit, test_value)
        AND test_value <= coalesce(max_limit, test_value)) STORED,
    module_address         text                   NOT NULL,
    created_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, monitor_test_result_id, measured_at),
    UNIQUE (business_id, diagnostic_session_id, module_address, monitor_id_code,
            test_id_code, measured_at),
    FOREIGN KEY (business_id, diagnostic_session_id)
        REFERENCES auto.diagnostic_session (business_id, diagnostic_session_id),
    FOREIGN KEY (business_id, vehicle_id) REFERENCES auto.vehicle (business_id, vehicle_id),
    CONSTRAINT monitor_test_result_limits_in_order CHECK (min_limit <= max_limit)
) PARTITION BY RANGE (measured_at);

COMMENT ON TABLE auto.monitor_test_result IS
    'On-board monitoring test values with limits (service 06); append only.';
COMMENT ON COLUMN auto.monitor_test_result.monitor_id_code IS
    'MID of service 06, e.g. 21: catalyst.';
COMMENT ON COLUMN auto.monitor_test_result.test_id_code IS 'TID: which test of the monitor.';
COMMENT ON COLUMN auto.monitor_test_result.margin_pct IS
    'Distance to the nearer limit in percent of the range; negative where it failed.';
COMMENT ON COLUMN auto.monitor_test_result.unit_scaling_code IS
    'Unit and scaling identifier by which the raw value was converted.';

-- FK: the monitor test results of a vehicle.
CREATE INDEX monitor_test_result_vehicle_idx
    ON auto.monitor_test_result (business_id, vehicle_id);

ALTER TABLE auto.monitor_test_result ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.monitor_test_result
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON auto.monitor_test_result TO app_user;
GRANT SELECT ON auto.monitor_test_result TO app_readonly;

CREATE TRIGGER monitor_test_result_append_only
    BEFORE UPDATE OR DELETE ON auto.monitor_test_result
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('auto.monitor_test_result');

CREATE TABLE auto.monitor_test_result_default PARTITION OF auto.monitor_test_result DEFAULT;
ALTER TABLE auto.monitor_test_result_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.monitor_test_result_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions(
    'auto.monitor_test_result', 'month', behind => 13, ahead => 3);


CREATE TABLE auto.live_data_sample (
    business_id           uuid                 NOT NULL,
    live_data_sample_id   uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    diagnostic_session_id uuid                 NOT NULL,
    vehicle_id            uuid                 NOT NULL,
    sampled_at            timestamptz          NOT NULL DEFAULT now(),
    recording_no          integer              NOT NULL,
    pid_code              system_core.code     NOT NULL,
    pid_name              text,
    module_address        text                 NOT NULL,
    numeric_value         system_core.quantity,
    text_value            text,
    unit_code             system_core.code,
    is_out_of_range       boolean              NOT NULL DEFAULT false,
    trigger_event         text,
    created_at            timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, live_data_sample_id, sampled_at),
    UNIQUE (business_id, diagnostic_session_id, module_address, pid_code, sampled_at),
    FOREIGN KEY (business_id, diagnostic_session_id)
        REFERENCES auto.diagnostic_session (business_id, diagnostic_session_id),
    FOREIGN KEY (business_id, vehicle_id) REFERENCES auto.vehicle (business_id, vehicle_id),
    CONSTRAINT live_data_sample_one_value
        CHECK (num_nonnulls(numeric_value, text_value) = 1)
) PARTITION BY RANGE (sampled_at);

COMMENT ON TABLE auto.live_data_sample IS
    'Streamed parameter values recorded during a road test or stationary diagnosis; append only.';
COMMENT ON COLUMN auto.live_data_sample.recording_no IS 'Recording of the session, from 1.';
COMMENT ON COLUMN auto.live_data_sample.pid_code IS
    'Parameter of service 01 (0C engine speed) or of the maker.';
COMMENT ON COLUMN auto.live_data_sample.trigger_event IS
    'What the technician marked: misfire felt.';

-- FK: the live data samples of a vehicle.
CREATE INDEX live_data_sample_vehicle_idx ON auto.live_data_sample (business_id, vehicle_id);

ALTER TABLE auto.live_data_sample ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.live_data_sample
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON auto.live_data_sample TO app_user;
GRANT SELECT ON auto.live_data_sample TO app_readonly;

CREATE TRIGGER live_data_sample_append_only
    BEFORE UPDATE OR DELETE ON auto.live_data_sample
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('auto.live_data_sample');

CREATE FUNCTION auto.require_sample_in_session() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    outside record;
BEGIN
    SELECT c.sampled_at, s.started_at, s.ended_at INTO outside
    FROM changed AS c
    JOIN auto.diagnostic_session AS s
        ON s.business_id = c.business_id AND s.diagnostic_session_id = c.diagnostic_session_id
    WHERE c.sampled_at < s.started_at OR c.sampled_at > s.ended_at
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'a sample of % lies outside its session, which lasted from % to %',
                        outside.sampled_at, outside.started_at,
                        coalesce(outside.ended_at::text, 'now')
            USING ERRCODE = 'check_violation',
                  HINT = 'Compare the clocks of tool and server, or open a new session.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.require_sample_in_session() IS
    'What was sampled was sampled while the tool was connected.';

CREATE TRIGGER live_data_sample_in_session
    AFTER INSERT ON auto.live_data_sample
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.require_sample_in_session();

CREATE TABLE auto.live_data_sample_default PARTITION OF auto.live_data_sample DEFAULT;
ALTER TABLE auto.live_data_sample_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.live_data_sample_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions(
    'auto.live_data_sample', 'month', behind => 13, ahead => 3);


CREATE TABLE auto.module_programming (
    business_id             uuid                 NOT NULL,
    module_programming_id   uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    repair_job_id           uuid                 NOT NULL,
    session_module_id       uuid,
    scan_tool_id            uuid                 NOT NULL,
    technician_id           uuid                 NOT NULL,
    diagnostic_session_id   uuid,
    programming_kind        text                 NOT NULL,
    module_code             system_core.code,
    from_calibration_id     text,
    to_calibration_id       text,
    bulletin_ref            text,
    security_credential_ref text,
    battery_support_v       system_core.quantity,
    started_at              timestamptz          NOT NULL,
    ended_at                timestamptz,
    attempt_no              integer              NOT NULL DEFAULT 1,
    result                  text                 NOT NULL,
    error_text              text,
    server_session_ref      text,
    created_at              timestamptz          NOT NULL DEFAULT now(),
    updated_at              timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, module_programming_id),
    FOREIGN KEY (business_id, repair_job_id)
        REFERENCES auto.repair_job (business_id, repair_job_id),
    FOREIGN KEY (business_id, session_module_id)
        REFERENCES auto.session_module (business_id, session_module_id),
    FOREIGN KEY (business_id, scan_tool_id) REFERENCES auto.scan_tool (business_id, scan_tool_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES auto.technician (business_id, technician_id),
    FOREIGN KEY (business_id, diagnostic_session_id)
        REFERENCES auto.diagnostic_session (business_id, diagnostic_session_id),
    CONSTRAINT module_programming_kind_known
        CHECK (programming_kind IN ('reflash', 'variant_coding', 'initial_setup',
                                    'immobilizer_key', 'sensor_reset', 'adaptation_reset')),
    CONSTRAINT module_programming_result_known
        CHECK (result IN ('success', 'failed_recoverable', 'failed_bricked', 'aborted')),
    CONSTRAINT module_programming_battery_supported
        CHECK (battery_support_v BETWEEN 11.5 AND 16.5),
    CONSTRAINT module_programming_key_has_credential
        CHECK (programming_kind <> 'immobilizer_key' OR security_credential_ref IS NOT NULL),
    CONSTRAINT module_programming_ends_after_start CHECK (ended_at > started_at),
    CONSTRAINT module_programming_attempt_positive CHECK (attempt_no > 0),
    CONSTRAINT module_programming_reflash_changes_software
        CHECK (programming_kind <> 'reflash' OR result <> 'success'
               OR (to_calibration_id IS NOT NULL
                   AND to_calibration_id IS DISTINCT FROM from_calibration_id)),
    CONSTRAINT module_programming_failure_is_told
        CHECK (result = 'success' OR coalesce(error_text, '') ~ '\S')
);

COMMENT ON TABLE auto.module_programming IS
    'Reflash, variant coding or key programming of a module, with the security log.';
COMMENT ON COLUMN auto.module_programming.security_credential_ref IS
    'Registered locksmith or technician (NASTF) whose credential opened the immobilizer.';
COMMENT ON COLUMN auto.module_programming.battery_support_v IS
    'Voltage held by the supply meanwhile: a drop below bricks the module.';

-- FK: the module programmings of a repair job.
CREATE INDEX module_programming_repair_job_idx
    ON auto.module_programming (business_id, repair_job_id);

-- FK: the module programmings of a session module.
CREATE INDEX module_programming_session_module_idx
    ON auto.module_programming (business_id, session_module_id)
    WHERE session_module_id IS NOT NULL;

-- FK: the module programmings of a scan tool.
CREATE INDEX module_programming_scan_tool_idx
    ON auto.module_programming (business_id, scan_tool_id);

-- FK: the module programmings of a technician.
CREATE INDEX module_programming_technician_idx
    ON auto.module_programming (business_id, technician_id);

-- FK: the module programmings of a diagnostic session.
CREATE INDEX module_programming_diagnostic_session_idx
    ON auto.module_programming (business_id, diagnostic_session_id)
    WHERE diagnostic_session_id IS NOT NULL;

ALTER TABLE auto.module_programming ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.module_programming
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.module_programming TO app_user;
GRANT SELECT ON auto.module_programming TO app_readonly;

CREATE TRIGGER module_programming_touch
    BEFORE UPDATE ON auto.module_programming
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE FUNCTION auto.readiness_verdict(p_diagnostic_session_id uuid, p_region_code text)
    RETURNS TABLE (readiness_ok boolean, unset_count integer, missing text[])
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH monitor AS (
        SELECT m.monitor_code, m.ignition_kind, bool_and(m.is_complete) AS is_complete,
               c.model_year
        FROM auto.readiness_monitor AS m
        JOIN auto.diagnostic_session AS s
            ON s.business_id = m.business_id
           AND s.diagnostic_session_id = m.diagnostic_session_id
        JOIN auto.vehicle AS v
            ON v.business_id = s.business_id AND v.vehicle_id = s.vehicle_id
        LEFT JOIN auto.vehicle_configuration AS c
            ON c.business_id = v.business_id
           AND c.vehicle_configuration_id = v.vehicle_configuration_id
        WHERE m.business_id = tenant_mgmt.current_business_id()
          AND m.diagnostic_session_id = p_diagnostic_session_id
          AND m.scope = 'since_clear' AND m.is_supported
        GROUP BY m.monitor_code, m.ignition_kind, c.model_year
    ), verdict AS (
        SELECT count(*) AS supported, count(*) FILTER (WHERE NOT m.is_complete) AS unset,
               count(*) FILTER (WHERE NOT m.is_complete AND m.monitor_code <> 'evap')
                   AS unset_but_evap,
               bool_or(m.ignition_kind = 'compression') AS is_diesel,
               coalesce(max(m.model_year), 2001) AS model_year,
               coalesce(array_agg(m.monitor_code ORDER BY m.monitor_code)
                        FILTER (WHERE NOT m.is_complete), '{}') AS missing
        FROM monitor AS m
    )
    SELECT v.supported > 0 AND CASE
               WHEN p_region_code <> 'CA' OR p_region_code IS NULL
                   THEN v.unset <= CASE WHEN v.model_year >= 2001 THEN 1 ELSE 2 END
               WHEN v.is_diesel
                   THEN v.unset <= CASE WHEN v.model_year >= 2007 THEN 2 ELSE 0 END
               WHEN v.model_year >= 2000 THEN v.unset_but_evap = 0
               ELSE v.unset <= 1 END,
           v.unset::integer, v.missing
    FROM verdict AS v;
END;
COMMENT ON FUNCTION auto.readiness_verdict(uuid, text) IS
    'Whether an emission inspection of a region accepts a session of the current tenant, by the
     supported monitors that have not run since codes were cleared. Federal: one from model year
     2001 (also where the year is unknown), two before. California: gasoline from 2000 only evap,
     before any one; diesel from 2007 two, before none. Nothing reported is not ready.';


CREATE FUNCTION auto.load_scan_report(
    p_vehicle_id uuid, p_session_kind text, p_document jsonb, p_scan_tool_id uuid DEFAULT NULL,
    p_repair_order_id uuid DEFAULT NULL, p_technician_id uuid DEFAULT NULL
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    session uuid;
    starts  timestamptz;
    ends    timestamptz;
BEGIN
    IF jsonb_typeof(p_document -> 'modules') IS DISTINCT FROM 'array' THEN
        RAISE EXCEPTION 'the scan report has no list of modules'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Send {"started_at": …, "modules": […], "codes": […], "monitors": […]}.';
    END IF;
    starts := coalesce((p_document ->> 'started_at')::timestamptz, now());
    IF p_document ->> 'ended_at' IS NOT NULL THEN
        ends := greatest(starts, (p_document ->> 'ended_at')::timestamptz);
    END IF;

    INSERT INTO auto.diagnostic_session
        (business_id, vehicle_id, scan_tool_id, repair_order_id, technician_id, session_kind,
         started_at, protocol, obd_standard, odometer, battery_v, is_mil_on,
         distance_since_clear_km, raw_document)
    VALUES (tenant, p_vehicle_id, p_scan_tool_id, p_repair_order_id, p_technician_id,
            p_session_kind, starts, coalesce(p_document ->> 'protocol', 'can_11'),
            coalesce(p_document ->> 'obd_standard', 'j1979'),
            (p_document ->> 'odometer')::integer, (p_document ->> 'battery_v')::numeric,
            coalesce((p_document ->> 'mil_on')::boolean, false),
            (p_document ->> 'distance_since_clear_km')::numeric, p_document)
    RETURNING diagnostic_session_id INTO session;

    INSERT INTO auto.session_module
        (business_id, diagnostic_session_id, module_address, module_code, module_name,
         hardware_number, software_number, calibration_id, cvn_code, responded, response_ms)
    SELECT tenant, session, m.address, m.code, m.name, m.hardware, m.software, m.calibration_id,
           m.cvn, m.responded, m.response_ms
    FROM JSON_TABLE(p_document, '$.modules[*]' COLUMNS (
        address        text    PATH '$.address',
        code           text    PATH '$.code',
        name           text    PATH '$.name',
        hardware       text    PATH '$.hardware',
        software       text    PATH '$.software',
        calibration_id text    PATH '$.calibration_id',
        cvn            text    PATH '$.cvn',
        responded      boolean PATH '$.responded' DEFAULT true ON EMPTY,
        response_ms    integer PATH '$.response_ms')) AS m;

    INSERT INTO auto.detected_dtc
        (business_id, diagnostic_session_id, session_module_id, vehicle_id, dtc_code,
         failure_type_byte, obd_service, status_byte, is_current, is_mil_request,
         occurrence_count, first_seen_odometer, warmup_cycles_count, severity, detected_at)
    SELECT tenant, session, m.session_module_id, p_vehicle_id, c.code, c.failure_type, c.service,
           c.status, coalesce(c.status & 1 = 1, c.service = 'stored_03'),
           coalesce(c.status & 128 = 128, false), c.occurrences, c.first_seen_odometer, c.warmups,
           NULL, starts
    FROM JSON_TABLE(p_document, '$.codes[*]' COLUMNS (
        code                text    PATH '$.code',
        module              text    PATH '$.module',
        failure_type        text    PATH '$.failure_type',
        service             text    PATH '$.service' DEFAULT 'stored_03' ON EMPTY,
        status              integer PATH '$.status',
        occurrences         integer PATH '$.occurrences' DEFAULT 1 ON EMPTY,
        first_seen_odometer integer PATH '$.first_seen_odometer',
        warmups             integer PATH '$.warmups' DEFAULT 0 ON EMPTY)) AS c
    LEFT JOIN auto.session_module AS m
        ON m.business_id = tenant AND m.diagnostic_session_id = session
       AND m.module_address = c.module
    ON CONFLICT (business_id, diagnostic_session_id, session_module_id, dtc_code,
                 failure_type_byte, obd_service) DO NOTHING;

    INSERT INTO auto.freeze_frame
        (business_id, detected_dtc_id, frame_no, captured_at, engine_rpm, calc_load_pct,
         coolant_temp_c, short_fuel_trim_pct, long_fuel_trim_pct, map_kpa, vehicle_speed_kmh,
         fuel_system_status, parameters)
    SELECT tenant, d.detected_dtc_id, row_number() OVER (PARTITION BY d.detected_dtc_id) - 1,
           starts, f.rpm, f.load, f.coolant, f.short_trim, f.long_trim, f.map, f.speed,
           f.fuel_system, f.parameters
    FROM JSON_TABLE(p_document, '$.codes[*]' COLUMNS (
        code         text PATH '$.code',
        module       text PATH '$.module',
        service      text PATH '$.service' DEFAULT 'stored_03' ON EMPTY,
        failure_type text PATH '$.failure_type',
        NESTED PATH '$.frames[*]' COLUMNS (
            rpm         numeric PATH '$.rpm',
            load        numeric PATH '$.load',
            coolant     numeric PATH '$.coolant',
            short_trim  numeric PATH '$.short_trim',
            long_trim   numeric PATH '$.long_trim',
            map         numeric PATH '$.map',
            speed       numeric PATH '$.speed',
            fuel_system text    PATH '$.fuel_system' DEFAULT 'closed' ON EMPTY,
            parameters  jsonb   PATH '$.parameters'))) AS f
    JOIN auto.detected_dtc AS d
        ON d.business_id = tenant AND d.diagnostic_session_id = session
       AND d.dtc_code = f.code AND d.obd_service = f.service
       AND d.failure_type_byte IS NOT DISTINCT FROM f.failure_type
    JOIN auto.session_module AS m
        ON m.business_id = tenant AND m.session_module_id = d.session_module_id
       AND m.module_address = f.module
    WHERE f.fuel_system IS NOT NULL;

    INSERT INTO auto.readiness_monitor
        (business_id, diagnostic_session_id, monitor_code, scope, ignition_kind, is_supported,
         is_complete, module_address)
    SELECT tenant, session, r.monitor, r.scope, r.ignition, r.supported,
           r.supported AND r.complete, r.module
    FROM JSON_TABLE(p_document, '$.monitors[*]' COLUMNS (
        monitor   text    PATH '$.monitor',
        scope     text    PATH '$.scope' DEFAULT 'since_clear' ON EMPTY,
        ignition  text    PATH '$.ignition' DEFAULT 'spark' ON EMPTY,
        supported boolean PATH '$.supported' DEFAULT true ON EMPTY,
        complete  boolean PATH '$.complete' DEFAULT false ON EMPTY,
        module    text    PATH '$.module' DEFAULT '7E8' ON EMPTY)) AS r
    ON CONFLICT (business_id, diagnostic_session_id, monitor_code, scope, module_address)
        DO NOTHING;

    -- Last, so that permanent codes that are gone are seen to be gone.
    UPDATE auto.diagnostic_session AS s
    SET ended_at = ends
    WHERE s.business_id = tenant AND s.diagnostic_session_id = session AND ends IS NOT NULL;
    RETURN session;
END
$$;
COMMENT ON FUNCTION auto.load_scan_report(uuid, text, jsonb, uuid, uuid, uuid) IS
    'Takes a full-system report apart for the current tenant: one session, then its modules, codes,
     freeze frames and monitors, one statement each; returns the session. A code or monitor that the
     report repeats counts once; without ended_at the tool stays connected.';
