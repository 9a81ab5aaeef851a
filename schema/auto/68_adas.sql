/*
 * Driver assistance: alignment, sensors, and their calibration.
 *
 * An adas_sensor is a camera, radar or lidar of a vehicle with its state: calibrated, or required
 * after work that moved it. calibration_requirement says which work on which build asks for which
 * calibration; adas_calibration is one attempt with its set-up. A wheel_alignment that changed toe
 * or thrust moves what the sensors call straight ahead, so it makes their calibration required. No
 * order is handed over while one is.
 */

CREATE FUNCTION auto.is_inside_specification(readings jsonb, specification jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT NOT EXISTS (
        SELECT
        FROM jsonb_each(specification) AS s (angle, bounds)
        WHERE NOT coalesce((readings ->> s.angle)::numeric
                           BETWEEN (s.bounds ->> 0)::numeric AND (s.bounds ->> 1)::numeric,
                           false));
END;
COMMENT ON FUNCTION auto.is_inside_specification(jsonb, jsonb) IS
    'Whether every angle that the specification bounds, {"toe_fl": [-0.1, 0.1]}, was read and lies
     inside.';


CREATE TABLE auto.wheel_alignment (
    business_id               uuid                    NOT NULL,
    wheel_alignment_id        uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    printout_file_id          uuid,
    repair_job_id             uuid                    NOT NULL,
    vehicle_id                uuid                    NOT NULL,
    technician_id             uuid                    NOT NULL,
    bay_id                    uuid,
    measured_at               timestamptz             NOT NULL DEFAULT now(),
    alignment_kind            text                    NOT NULL DEFAULT 'four_wheel',
    ride_height_ok            boolean                 NOT NULL DEFAULT false,
    steering_angle_reset      boolean                 NOT NULL DEFAULT false,
    before_readings           system_core.json_object NOT NULL DEFAULT '{}',
    after_readings            system_core.json_object NOT NULL DEFAULT '{}',
    specification             system_core.json_object NOT NULL DEFAULT '{}',
    thrust_angle_deg          system_core.quantity,
    total_toe_front_deg       system_core.quantity,
    total_toe_rear_deg        system_core.quantity,
    cross_camber_deg          system_core.quantity,
    result                    text                    NOT NULL,
    requires_adas_calibration boolean                 NOT NULL DEFAULT false,
    comment_text              text,
    created_at                timestamptz             NOT NULL DEFAULT now(),
    updated_at                timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, wheel_alignment_id),
    FOREIGN KEY (business_id, printout_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, repair_job_id)
        REFERENCES auto.repair_job (business_id, repair_job_id),
    FOREIGN KEY (business_id, vehicle_id) REFERENCES auto.vehicle (business_id, vehicle_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES auto.technician (business_id, technician_id),
    FOREIGN KEY (business_id, bay_id) REFERENCES auto.bay (business_id, bay_id),
    CONSTRAINT wheel_alignment_kind_known
        CHECK (alignment_kind IN ('two_wheel', 'thrust', 'four_wheel', 'check_only')),
    CONSTRAINT wheel_alignment_result_known
        CHECK (result IN ('in_spec', 'adjusted', 'parts_needed', 'not_adjustable')),
    CONSTRAINT wheel_alignment_thrust_bounded CHECK (abs(thrust_angle_deg) <= 5),
    CONSTRAINT wheel_alignment_good_is_inside
        CHECK (result NOT IN ('in_spec', 'adjusted')
               OR auto.is_inside_specification(after_readings, specification))
);

COMMENT ON TABLE auto.wheel_alignment IS
    'Alignment before and after readings per wheel against specification.';

-- FK: the printout.
CREATE INDEX wheel_alignment_printout_file_idx
    ON auto.wheel_alignment (business_id, printout_file_id)
    WHERE printout_file_id IS NOT NULL;

-- FK: the alignments of a job.
CREATE INDEX wheel_alignment_repair_job_idx ON auto.wheel_alignment (business_id, repair_job_id);

-- FK: the alignments of a vehicle.
CREATE INDEX wheel_alignment_vehicle_idx ON auto.wheel_alignment (business_id, vehicle_id);

-- FK: what a technician aligned.
CREATE INDEX wheel_alignment_technician_idx ON auto.wheel_alignment (business_id, technician_id);

-- FK: what was aligned in a bay.
CREATE INDEX wheel_alignment_bay_idx
    ON auto.wheel_alignment (business_id, bay_id)
    WHERE bay_id IS NOT NULL;

ALTER TABLE auto.wheel_alignment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.wheel_alignment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.wheel_alignment TO app_user;
GRANT SELECT ON auto.wheel_alignment TO app_readonly;

CREATE TRIGGER wheel_alignment_touch
    BEFORE UPDATE ON auto.wheel_alignment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE auto.adas_sensor (
    business_id        uuid        NOT NULL,
    adas_sensor_id     uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    vehicle_id         uuid        NOT NULL,
    part_id            uuid,
    sensor_kind        text        NOT NULL,
    position           text        NOT NULL,
    serves_functions   text[]      NOT NULL DEFAULT '{}',
    module_address     text,
    sensor_serial      text,
    calibration_state  text        NOT NULL DEFAULT 'unknown',
    last_calibrated_on date,
    requirement_reason text,
    replaced_on        date,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, adas_sensor_id),
    UNIQUE (business_id, vehicle_id, sensor_kind, position),
    FOREIGN KEY (business_id, vehicle_id) REFERENCES auto.vehicle (business_id, vehicle_id),
    FOREIGN KEY (business_id, part_id) REFERENCES auto.part (business_id, part_id),
    CONSTRAINT adas_sensor_kind_known
        CHECK (sensor_kind IN ('front_camera', 'front_radar', 'corner_radar', 'rear_radar',
                               'surround_camera', 'lidar', 'ultrasonic', 'night_vision',
                               'steering_angle', 'driver_monitor')),
    CONSTRAINT adas_sensor_position_known
        CHECK (position IN ('front', 'front_left', 'front_right', 'rear', 'rear_left',
                            'rear_right', 'left_mirror', 'right_mirror', 'windshield', 'cabin')),
    CONSTRAINT adas_sensor_calibration_state_known
        CHECK (calibration_state IN ('calibrated', 'required', 'failed', 'unknown')),
    CONSTRAINT adas_sensor_calibrated_has_date
        CHECK (calibration_state <> 'calibrated' OR last_calibrated_on IS NOT NULL),
    CONSTRAINT adas_sensor_required_has_reason
        CHECK (calibration_state <> 'required' OR requirement_reason IS NOT NULL)
);

COMMENT ON TABLE auto.adas_sensor IS
    'Camera, radar, lidar or ultrasonic sensor fitted to a vehicle and its calibration state.';

-- FK: the sensors of a part.
CREATE INDEX adas_sensor_part_idx
    ON auto.adas_sensor (business_id, part_id)
    WHERE part_id IS NOT NULL;

-- What keeps a vehicle from being handed over.
CREATE INDEX adas_sensor_uncalibrated_idx
    ON auto.adas_sensor (business_id, vehicle_id)
    WHERE calibration_state IN ('required', 'failed');

ALTER TABLE auto.adas_sensor ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.adas_sensor
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.adas_sensor TO app_user;
GRANT SELECT ON auto.adas_sensor TO app_readonly;

CREATE TRIGGER adas_sensor_touch
    BEFORE UPDATE ON auto.adas_sensor
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE FUNCTION auto.alignment_corrections(p_wheel_alignment_id uuid)
    RETURNS TABLE (angle text, before_deg numeric, after_deg numeric, corrected_deg numeric,
                   is_inside boolean)
    LANGUAGE sql STABLE AS $$
    SELECT a.angle, b.degrees, a.degrees, a.degrees - b.degrees,
           a.degrees BETWEEN (w.specification -> a.angle ->> 0)::numeric
                         AND (w.specification -> a.angle ->> 1)::numeric
    FROM auto.wheel_alignment AS w
    CROSS JOIN JSON_TABLE(
        w.after_readings, '$.keyvalue()'
        COLUMNS (angle text PATH '$.key', degrees numeric PATH '$.value')) AS a
    LEFT JOIN JSON_TABLE(
        w.before_readings, '$.keyvalue()'
        COLUMNS (angle text PATH '$.key', degrees numeric PATH '$.value')) AS b
        ON b.angle = a.angle
    WHERE w.business_id = tenant_mgmt.current_business_id()
      AND w.wheel_alignment_id = p_wheel_alignment_id
    ORDER BY a.angle
$$;
COMMENT ON FUNCTION auto.alignment_corrections(uuid) IS
    'Each angle of an alignment before and after, by how much it was moved, and whether it lies
     inside its specification (NULL where that bounds it not).';

CREATE FUNCTION auto.require_calibration() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE auto.adas_sensor AS x
    SET calibration_state = 'required', requirement_reason = 'alignment'
    FROM changed AS a
    WHERE x.business_id = a.business_id AND x.vehicle_id = a.vehicle_id
      AND a.requires_adas_calibration AND row_security_active('auto.wheel_alignment')
      AND x.sensor_kind IN ('front_camera', 'front_radar', 'corner_radar', 'rear_radar',
                            'steering_angle')
      AND x.calibration_state <> 'required';
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.require_calibration() IS
    'An alignment that changed toe or thrust asks for the calibration of camera, radar and steering
     angle. Imported history leaves the sensors as they are.';

CREATE TRIGGER wheel_alignment_requires_calibration
    AFTER INSERT ON auto.wheel_alignment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.require_calibration();


CREATE TABLE auto.calibration_requirement (
    business_id                uuid                    NOT NULL,
    calibration_requirement_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    vehicle_configuration_id   uuid,
    labor_operation_id         uuid                    NOT NULL,
    sensor_kind                text                    NOT NULL,
    trigger_event              text                    NOT NULL,
    method                     text                    NOT NULL,
    target_part_number         text,
    min_space_ft               system_core.quantity,
    min_speed_mph              system_core.quantity,
    standard_hours             numeric(10, 2)          NOT NULL DEFAULT 1,
    oem_document_ref           text,
    prerequisites              system_core.json_object NOT NULL DEFAULT '{}',
    effective_on               date                    NOT NULL,
    retired_on                 date,
    created_at                 timestamptz             NOT NULL DEFAULT now(),
    updated_at                 timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, calibration_requirement_id),
    FOREIGN KEY (business_id, vehicle_configuration_id)
        REFERENCES auto.vehicle_configuration (business_id, vehicle_configuration_id),
    FOREIGN KEY (business_id, labor_operation_id)
        REFERENCES auto.labor_operation (business_id, labor_operation_id),
    CONSTRAINT calibration_requirement_sensor_known
        CHECK (sensor_kind IN ('front_camera', 'front_radar', 'corner_radar', 'rear_radar',
                               'surround_camera', 'lidar', 'ultrasonic', 'night_vision',
                               'steering_angle', 'driver_monitor')),
    CONSTRAINT calibration_requirement_event_known
        CHECK (trigger_event IN ('windshield_replace', 'bumper_remove', 'alignment',
                                 'ride_height', 'collision', 'airbag_deploy', 'module_replace',
                                 'battery_disconnect')),
    CONSTRAINT calibration_requirement_method_known
        CHECK (method IN ('static', 'dynamic', 'static_then_dynamic', 'self_learn')),
    CONSTRAINT calibration_requirement_static_has_target
        CHECK (method NOT IN ('static', 'static_then_dynamic') OR target_part_number IS NOT NULL),
    CONSTRAINT calibration_requirement_dynamic_has_speed
        CHECK (method NOT IN ('dynamic', 'static_then_dynamic') OR min_speed_mph > 0),
    CONSTRAINT calibration_requirement_retires_later CHECK (retired_on > effective_on)
);

COMMENT ON TABLE auto.calibration_requirement IS
    'Rule: this operation on this build requires this calibration, by OEM procedure.';

-- FK: what a build asks for.
CREATE INDEX calibration_requirement_vehicle_configuration_idx
    ON auto.calibration_requirement (business_id, vehicle_configuration_id)
    WHERE vehicle_configuration_id IS NOT NULL;

-- FK: what an operation asks for.
CREATE INDEX calibration_requirement_labor_operation_idx
    ON auto.calibration_requirement (business_id, labor_operation_id);

ALTER TABLE auto.calibration_requirement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.calibration_requirement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.calibration_requirement TO app_user;
GRANT SELECT ON auto.calibration_requirement TO app_readonly;

CREATE TRIGGER calibration_requirement_touch
    BEFORE UPDATE ON auto.calibration_requirement
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE auto.adas_calibration (
    business_id                uuid                   NOT NULL,
    adas_calibration_id        uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    pre_scan_session_id        uuid,
    post_scan_session_id       uuid,
    report_file_id             uuid,
    repair_job_id              uuid                   NOT NULL,
    adas_sensor_id             uuid                   NOT NULL,
    technician_id              uuid                   NOT NULL,
    bay_id                     uuid,
    calibration_requirement_id uuid,
    wheel_alignment_id         uuid,
    method                     text                   NOT NULL,
    attempt_no                 integer                NOT NULL DEFAULT 1,
    started_at                 timestamptz            NOT NULL DEFAULT now(),
    completed_at               timestamptz,
    target_distance_mm         system_core.quantity,
    target_height_mm           system_core.quantity,
    floor_slope_deg            system_core.quantity,
    light_level_lux            system_core.quantity,
    fuel_level_pct             system_core.percentage,
    tire_pressure_ok           boolean                NOT NULL DEFAULT false,
    road_distance_mi           system_core.quantity,
    yaw_before_deg             system_core.quantity,
    yaw_after_deg              system_core.quantity,
    result                     text                   NOT NULL,
    failure_reason             text,
    created_at                 timestamptz            NOT NULL DEFAULT now(),
    updated_at                 timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, adas_calibration_id),
    UNIQUE (business_id, repair_job_id, adas_sensor_id, attempt_no),
    FOREIGN KEY (business_id, pre_scan_session_id)
        REFERENCES auto.diagnostic_session (business_id, diagnostic_session_id),
    FOREIGN KEY (business_id, post_scan_session_id)
        REFERENCES auto.diagnostic_session (business_id, diagnostic_session_id),
    FOREIGN KEY (business_id, report_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, repair_job_id)
        REFERENCES auto.repair_job (business_id, repair_job_id),
    FOREIGN KEY (business_id, adas_sensor_id)
        REFERENCES auto.adas_sensor (business_id, adas_sensor_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES auto.technician (business_id, technician_id),
    FOREIGN KEY (business_id, bay_id) REFERENCES auto.bay (business_id, bay_id),
    FOREIGN KEY (business_id, calibration_requirement_id)
        REFERENCES auto.calibration_requirement (business_id, calibration_requirement_id),
    FOREIGN KEY (business_id, wheel_alignment_id)
        REFERENCES auto.wheel_alignment (business_id, wheel_alignment_id),
    CONSTRAINT adas_calibration_method_known
        CHECK (method IN ('static', 'dynamic', 'static_then_dynamic', 'self_learn')),
    CONSTRAINT adas_calibration_result_known
        CHECK (result IN ('pass', 'fail', 'aborted', 'sublet')),
    CONSTRAINT adas_calibration_ends_after_start CHECK (completed_at > started_at),
    CONSTRAINT adas_calibration_failed_is_told
        CHECK (result NOT IN ('fail', 'aborted') OR coalesce(failure_reason, '') ~ '\S'),
    CONSTRAINT adas_calibration_passed_is_complete
        CHECK (result <> 'pass' OR completed_at IS NOT NULL),
    CONSTRAINT adas_calibration_floor_is_level
        CHECK (result <> 'pass' OR method NOT IN ('static', 'static_then_dynamic')
               OR coalesce(abs(floor_slope_deg), 0) <= 1),
    CONSTRAINT adas_calibration_attempt_positive CHECK (attempt_no >= 1)
);

COMMENT ON TABLE auto.adas_calibration IS
    'One calibration run with set-up evidence, environment, pre and post scans and outcome.';

-- FK: the scan before.
CREATE INDEX adas_calibration_pre_scan_session_idx
    ON auto.adas_calibration (business_id, pre_scan_session_id)
    WHERE pre_scan_session_id IS NOT NULL;

-- FK: the scan after.
CREATE INDEX adas_calibration_post_scan_session_idx
    ON auto.adas_calibration (business_id, post_scan_session_id)
    WHERE post_scan_session_id IS NOT NULL;

-- FK: the report.
CREATE INDEX adas_calibration_report_file_idx
    ON auto.adas_calibration (business_id, report_file_id)
    WHERE report_file_id IS NOT NULL;

-- FK: the attempts on a sensor.
CREATE INDEX adas_calibration_adas_sensor_idx
    ON auto.adas_calibration (business_id, adas_sensor_id);

-- FK: what a technician calibrated.
CREATE INDEX adas_calibration_technician_idx
    ON auto.adas_calibration (business_id, technician_id);

-- FK: what was calibrated in a bay.
CREATE INDEX adas_calibration_bay_idx
    ON auto.adas_calibration (business_id, bay_id)
    WHERE bay_id IS NOT NULL;

-- FK: how a requirement was met.
CREATE INDEX adas_calibration_calibration_requirement_idx
    ON auto.adas_calibration (business_id, calibration_requirement_id)
    WHERE calibration_requirement_id IS NOT NULL;

-- FK: the calibrations after an alignment.
CREATE INDEX adas_calibration_wheel_alignment_idx
    ON auto.adas_calibration (business_id, wheel_alignment_id)
    WHERE wheel_alignment_id IS NOT NULL;

ALTER TABLE auto.adas_calibration ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.adas_calibration
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.adas_calibration TO app_user;
GRANT SELECT ON auto.adas_calibration TO app_readonly;

CREATE TRIGGER adas_calibration_touch
    BEFORE UPDATE ON auto.adas_calibration
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION auto.judge_calibration() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    fault text;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    SELECT d.dtc_code INTO fault
    FROM auto.adas_sensor AS x
    JOIN auto.session_module AS m
        ON m.business_id = x.business_id AND m.module_address = x.module_address
       AND m.diagnostic_session_id = NEW.post_scan_session_id
    JOIN auto.detected_dtc AS d
        ON d.business_id = m.business_id AND d.session_module_id = m.session_module_id
    WHERE x.business_id = NEW.business_id AND x.adas_sensor_id = NEW.adas_sensor_id
    LIMIT 1;
    IF NEW.post_scan_session_id IS NULL OR fault IS NOT NULL THEN
        RAISE EXCEPTION 'the calibration did not pass: %',
                        coalesce('its module still reports ' || fault, 'there is no scan after it')
            USING ERRCODE = 'check_violation',
                  HINT = 'Scan after the calibration and name the scan.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.judge_calibration() IS
    'A calibration has passed when a scan after it finds no fault in the sensor''s module.';

CREATE TRIGGER adas_calibration_judge
    BEFORE INSERT OR UPDATE OF result ON auto.adas_calibration
    FOR EACH ROW WHEN (NEW.result = 'pass')
    EXECUTE FUNCTION auto.judge_calibration();

CREATE FUNCTION auto.set_sensor_state() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE auto.adas_sensor AS x
    SET calibration_state = CASE c.result WHEN 'pass' THEN 'calibrated' ELSE 'failed' END,
        last_calibrated_on = CASE c.result WHEN 'pass' THEN tenant_mgmt.today()
                                           ELSE x.last_calibrated_on END,
        requirement_reason = CASE c.result WHEN 'pass' THEN NULL ELSE x.requirement_reason END
    FROM changed AS c
    WHERE x.business_id = c.business_id AND x.adas_sensor_id = c.adas_sensor_id
      AND c.result IN ('pass', 'fail') AND row_security_active('auto.adas_calibration');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.set_sensor_state() IS
    'A calibration that passed frees the sensor, one that failed marks it.';

CREATE TRIGGER adas_calibration_sets_sensor
    AFTER INSERT ON auto.adas_calibration
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.set_sensor_state();
