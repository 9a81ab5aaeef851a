/*
 * Keeping food out of the danger zone, and proving it.
 *
 * Equipment must be kept within limits; a temperature_sensor in it sends a temperature_reading
 * every few minutes, and rest.watch_readings() opens a corrective_action (87_recalls.sql) where
 * one stays out of its limits. A haccp_plan of a site lists hazards (hazard_analysis); those that
 * must not fail are watched at a critical_control_point. What people measure is a temperature_log;
 * food that is cooled down in two stages has a cooling_log, whose outcome follows from its limits.
 * rest.v_haccp_due is what must be measured next.
 */

CREATE TABLE rest.equipment (
    business_id        uuid                 NOT NULL,
    equipment_id       uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    location_id        uuid                 NOT NULL,
    storage_area_id    uuid,
    kitchen_id         uuid,
    asset_tag          text                 NOT NULL,
    display_name       text                 NOT NULL,
    equipment_kind     text                 NOT NULL,
    manufacturer       text,
    model_number       text,
    serial_number      text,
    installed_on       date,
    service_due_on     date,
    calibration_due_on date,
    temp_min_c         system_core.quantity,
    temp_max_c         system_core.quantity,
    status             text                 NOT NULL DEFAULT 'in_service',
    created_at         timestamptz          NOT NULL DEFAULT now(),
    updated_at         timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, equipment_id),
    UNIQUE (business_id, asset_tag),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, storage_area_id)
        REFERENCES rest.storage_area (business_id, storage_area_id),
    FOREIGN KEY (business_id, kitchen_id) REFERENCES rest.kitchen (business_id, kitchen_id),
    CONSTRAINT equipment_kind_known
        CHECK (equipment_kind IN ('walk_in_cooler', 'reach_in', 'freezer', 'hot_hold',
                                  'blast_chiller', 'fryer', 'oven', 'dish_machine',
                                  'ice_machine', 'thermometer')),
    CONSTRAINT equipment_status_known
        CHECK (status IN ('in_service', 'out_of_service', 'retired')),
    CONSTRAINT equipment_thermometer_is_calibrated
        CHECK (equipment_kind <> 'thermometer' OR calibration_due_on IS NOT NULL),
    CONSTRAINT equipment_limits_in_order CHECK (temp_max_c > temp_min_c),
    CONSTRAINT equipment_serviced_after_installation CHECK (service_due_on >= installed_on)
);

COMMENT ON TABLE rest.equipment IS
    'Refrigerator, hot hold, oven, dish machine or thermometer that must be kept in limits.';
COMMENT ON COLUMN rest.equipment.temp_min_c IS
    'What it must be kept above; checks without limits of their own take it.';
COMMENT ON COLUMN rest.equipment.temp_max_c IS 'What it must be kept below.';
COMMENT ON COLUMN rest.equipment.calibration_due_on IS
    'When it is next compared with ice water; a thermometer always has it.';

-- FK: the equipment of a site.
CREATE INDEX equipment_location_idx ON rest.equipment (business_id, location_id);

-- FK: what keeps a storage area cold.
CREATE INDEX equipment_storage_area_idx
    ON rest.equipment (business_id, storage_area_id)
    WHERE storage_area_id IS NOT NULL;

-- FK: the equipment of a kitchen.
CREATE INDEX equipment_kitchen_idx
    ON rest.equipment (business_id, kitchen_id)
    WHERE kitchen_id IS NOT NULL;

ALTER TABLE rest.equipment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.equipment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.equipment TO app_user;
GRANT SELECT ON rest.equipment TO app_readonly;

CREATE TRIGGER equipment_touch
    BEFORE UPDATE ON rest.equipment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER equipment_state_machine
    BEFORE INSERT OR UPDATE OF status ON rest.equipment
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["in_service", "out_of_service"],
        "transitions": {
            "in_service":     ["out_of_service", "retired"],
            "out_of_service": ["in_service", "retired"],
            "retired":        []
        }}');


CREATE TABLE rest.temperature_sensor (
    business_id           uuid                   NOT NULL,
    temperature_sensor_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    equipment_id          uuid                   NOT NULL,
    sensor_serial         text                   NOT NULL,
    probe_kind            text                   NOT NULL,
    sample_seconds        integer                NOT NULL DEFAULT 300,
    alarm_low_c           system_core.quantity,
    alarm_high_c          system_core.quantity,
    alarm_delay_minutes   integer                NOT NULL DEFAULT 30,
    calibration_offset_c  system_core.quantity   NOT NULL DEFAULT 0,
    battery_pct           system_core.percentage,
    last_reading_c        system_core.quantity,
    last_reading_at       timestamptz,
    status                text                   NOT NULL DEFAULT 'active',
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, temperature_sensor_id),
    UNIQUE (business_id, sensor_serial),
    FOREIGN KEY (business_id, equipment_id) REFERENCES rest.equipment (business_id, equipment_id),
    CONSTRAINT temperature_sensor_probe_kind_known
        CHECK (probe_kind IN ('air', 'glycol', 'surface', 'door')),
    CONSTRAINT temperature_sensor_status_known
        CHECK (status IN ('active', 'silent', 'faulty', 'retired')),
    CONSTRAINT temperature_sensor_alarm_high_c_follows_alarm_low_c
        CHECK (alarm_high_c > alarm_low_c),
    CONSTRAINT temperature_sensor_sample_seconds_bounded
        CHECK (sample_seconds BETWEEN 10 AND 3600),
    CONSTRAINT temperature_sensor_has_a_limit
        CHECK (probe_kind = 'door' OR num_nonnulls(alarm_low_c, alarm_high_c) > 0),
    CONSTRAINT temperature_sensor_alarm_delay_bounded
        CHECK (alarm_delay_minutes BETWEEN 0 AND 1440),
    CONSTRAINT temperature_sensor_calibration_offset_bounded
        CHECK (calibration_offset_c BETWEEN -10 AND 10),
    CONSTRAINT temperature_sensor_battery_bounded CHECK (battery_pct BETWEEN 0 AND 100),
    CONSTRAINT temperature_sensor_last_reading_is_whole
        CHECK (num_nonnulls(last_reading_c, last_reading_at) IN (0, 2))
);

COMMENT ON TABLE rest.temperature_sensor IS
    'Wireless probe in a piece of equipment with its alarm limits.';
COMMENT ON COLUMN rest.temperature_sensor.probe_kind IS
    'What it measures: air swings with the door, glycol follows the food.';
COMMENT ON COLUMN rest.temperature_sensor.alarm_delay_minutes IS
    'How long it may stay out of its limits (a defrost, a delivery) before somebody must act.';
COMMENT ON COLUMN rest.temperature_sensor.calibration_offset_c IS
    'What the gateway adds to the raw value; readings come corrected.';
COMMENT ON COLUMN rest.temperature_sensor.last_reading_at IS
    'Kept by the readings, as are last_reading_c, battery_pct and the status silent.';

-- FK: the sensors in a piece of equipment.
CREATE INDEX temperature_sensor_equipment_idx
    ON rest.temperature_sensor (business_id, equipment_id);

ALTER TABLE rest.temperature_sensor ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.temperature_sensor
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.temperature_sensor TO app_user;
GRANT SELECT ON rest.temperature_sensor TO app_readonly;

CREATE TRIGGER temperature_sensor_touch
    BEFORE UPDATE ON rest.temperature_sensor
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER temperature_sensor_state_machine
    BEFORE INSERT OR UPDATE OF status ON rest.temperature_sensor
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["active"],
        "transitions": {
            "active":  ["silent", "faulty", "retired"],
            "silent":  ["active", "faulty", "retired"],
            "faulty":  ["active", "retired"],
            "retired": []
        }}');


CREATE TABLE rest.temperature_reading (
    business_id            uuid                   NOT NULL,
    temperature_reading_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    temperature_sensor_id  uuid                   NOT NULL,
    read_at                timestamptz            NOT NULL DEFAULT now(),
    temperature_c          system_core.quantity   NOT NULL,
    humidity_pct           system_core.percentage,
    is_door_open           boolean                NOT NULL DEFAULT false,
    battery_pct            system_core.percentage,
    signal_dbm             integer,
    is_out_of_range        boolean                NOT NULL DEFAULT false,
    quality                text                   NOT NULL DEFAULT 'good',
    created_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, temperature_reading_id, read_at),
    UNIQUE (business_id, temperature_sensor_id, read_at),
    FOREIGN KEY (business_id, temperature_sensor_id)
        REFERENCES rest.temperature_sensor (business_id, temperature_sensor_id),
    CONSTRAINT temperature_reading_quality_known
        CHECK (quality IN ('good', 'interpolated', 'suspect')),
    CONSTRAINT temperature_reading_temperature_c_bounded
        CHECK (temperature_c BETWEEN -60 AND 300),
    CONSTRAINT temperature_reading_shares_bounded
        CHECK (humidity_pct BETWEEN 0 AND 100 AND battery_pct BETWEEN 0 AND 100),
    CONSTRAINT temperature_reading_signal_bounded CHECK (signal_dbm BETWEEN -150 AND 0)
) PARTITION BY RANGE (read_at);

COMMENT ON TABLE rest.temperature_reading IS
    'What a sensor measured at a moment, a row every few minutes; append only.';
COMMENT ON COLUMN rest.temperature_reading.is_out_of_range IS
    'Beyond the alarm limits that its sensor had then; set as it comes in.';
COMMENT ON COLUMN rest.temperature_reading.quality IS
    'Suspect readings are shown, and neither start nor end an alarm.';
-- Its UNIQUE serves the curve of a sensor, read backwards from its last reading.

ALTER TABLE rest.temperature_reading ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.temperature_reading
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON rest.temperature_reading TO app_user;
GRANT SELECT ON rest.temperature_reading TO app_readonly;

CREATE TRIGGER temperature_reading_append_only
    BEFORE UPDATE OR DELETE ON rest.temperature_reading
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('rest.temperature_reading');

CREATE TABLE rest.temperature_reading_default PARTITION OF rest.temperature_reading DEFAULT;
ALTER TABLE rest.temperature_reading_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.temperature_reading_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('rest.temperature_reading', 'month', behind => 3, ahead => 1);

CREATE FUNCTION rest.judge_reading() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    SELECT NEW.temperature_c < s.alarm_low_c IS TRUE OR NEW.temperature_c > s.alarm_high_c IS TRUE
    INTO NEW.is_out_of_range
    FROM rest.temperature_sensor AS s
    WHERE s.business_id = NEW.business_id AND s.temperature_sensor_id = NEW.temperature_sensor_id;
    -- Of an unknown sensor nothing is known; the foreign key says so.
    NEW.is_out_of_range := coalesce(NEW.is_out_of_range, false);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.judge_reading() IS
    'Compares a reading with the limits of its sensor; an import brings its own judgement.';

CREATE TRIGGER temperature_reading_judge
    BEFORE INSERT ON rest.temperature_reading
    FOR EACH ROW WHEN (row_security_active('rest.temperature_reading'))
    EXECUTE FUNCTION rest.judge_reading();

CREATE FUNCTION rest.responsible_staff(site uuid) RETURNS uuid
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT s.staff_member_id
    FROM rest.location AS l
    JOIN rest.staff_member AS s
        ON s.business_id = l.business_id AND s.status = 'active'
    WHERE l.business_id = tenant_mgmt.current_business_id() AND l.location_id = site
    ORDER BY s.user_account_id = l.manager_user_id DESC NULLS LAST,
             s.home_location_id = l.location_id DESC,
             EXISTS (SELECT FROM rest.staff_job AS j
                     JOIN rest.job_role AS r
                         ON r.business_id = j.business_id AND r.job_role_id = j.job_role_id
                     WHERE j.business_id = s.business_id
                       AND j.staff_member_id = s.staff_member_id
                       AND r.department = 'management') DESC,
             s.hired_on, s.staff_member_id
    LIMIT 1;
END;
COMMENT ON FUNCTION rest.responsible_staff(uuid) IS
    'Who answers for the food of a site: its manager, else somebody of the management there, else
     who has worked there longest.';

CREATE FUNCTION rest.watch_readings() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  uuid;
    alarm   record;
    key     uuid;
    answers uuid;
BEGIN
    IF NOT row_security_active('rest.temperature_reading') THEN
        RETURN NULL;
    END IF;
    tenant := tenant_mgmt.current_business_id();
    -- Two gateways that report the same sensor wait for each other.
    PERFORM FROM rest.temperature_sensor AS s
    WHERE s.business_id = tenant
      AND s.temperature_sensor_id IN (SELECT a.temperature_sensor_id FROM added AS a)
    ORDER BY s.temperature_sensor_id
    FOR NO KEY UPDATE;
    UPDATE rest.temperature_sensor AS s
    SET last_reading_c = n.temperature_c, last_reading_at = n.read_at,
        battery_pct = coalesce(n.battery_pct, s.battery_pct),
        status = CASE s.status WHEN 'silent' THEN 'active' ELSE s.status END
    FROM (
        SELECT DISTINCT ON (a.temperature_sensor_id)
               a.temperature_sensor_id, a.temperature_c, a.read_at, a.battery_pct
        FROM added AS a
        ORDER BY a.temperature_sensor_id, a.read_at DESC
    ) AS n
    WHERE s.business_id = tenant AND s.temperature_sensor_id = n.temperature_sensor_id
      AND (s.last_reading_at IS NULL OR s.last_reading_at < n.read_at);

    -- A gateway may send hours at once: every stretch that the new readings touch is looked at. A
    -- stretch ends with a reading within limits.
    FOR alarm IN
        SELECT q.equipment_id, q.location_id, q.display_name, q.asset_tag, w.begins_at,
               w.reached_at, w.worst_c, w.alarm_delay_minutes
        FROM (
            SELECT g.equipment_id, g.alarm_delay_minutes, min(g.read_at) AS begins_at,
                   min(g.read_at) FILTER (WHERE g.read_at >= g.first_at + g.delay) AS reached_at,
                   bool_or(g.is_new) AS is_new,
                   (array_agg(g.temperature_c ORDER BY g.excess DESC, g.read_at))[1] AS worst_c
            FROM (
                SELECT k.*, min(k.read_at) FILTER (WHERE k.is_out_of_range) OVER (
                           PARTITION BY k.temperature_sensor_id, k.stretch) AS first_at
                FROM (
                    SELECT s.equipment_id, s.alarm_delay_minutes, r.temperature_sensor_id,
                           r.read_at, r.temperature_c, r.is_out_of_range,
                           s.alarm_delay_minutes * interval '1 minute' AS delay,
                           greatest(r.temperature_c - s.alarm_high_c,
                                    s.alarm_low_c - r.temperature_c) AS excess,
                           n.first_at IS NOT NULL AND r.read_at >= n.first_at AS is_new,
                           count(*) FILTER (WHERE NOT r.is_out_of_range) OVER (
                               PARTITION BY r.temperature_sensor_id ORDER BY r.read_at) AS stretch
                    FROM (
                        SELECT a.temperature_sensor_id, min(a.read_at) AS first_at,
                               max(a.read_at) AS last_at
                        FROM added AS a
                        GROUP BY a.temperature_sensor_id
                        HAVING bool_or(a.is_out_of_range AND a.quality <> 'suspect')
                    ) AS n
                    JOIN rest.temperature_sensor AS s
                        ON s.business_id = tenant
                       AND s.temperature_sensor_id = n.temperature_sensor_id
                    JOIN rest.temperature_reading AS r
                        ON r.business_id = tenant
                       AND r.temperature_sensor_id = n.temperature_sensor_id
                       AND r.read_at >= n.first_at - (s.alarm_delay_minutes + 60)
                                                     * interval '1 minute'
                       AND r.read_at <= n.last_at + (s.alarm_delay_minutes + 60)
                                                    * interval '1 minute'
                    WHERE r.quality <> 'suspect' AND s.status <> 'retired'
                ) AS k
            ) AS g
            WHERE g.is_out_of_range
            GROUP BY g.temperature_sensor_id, g.stretch, g.equipment_id, g.alarm_delay_minutes
        ) AS w
        JOIN rest.equipment AS q
            ON q.business_id = tenant AND q.equipment_id = w.equipment_id
           AND q.status = 'in_service'
        WHERE w.is_new AND w.reached_at IS NOT NULL
        ORDER BY q.equipment_id, w.begins_at
    LOOP
        -- Two sensors of one cooler open one action.
        PERFORM FROM rest.equipment AS q
        WHERE q.business_id = tenant AND q.equipment_id = alarm.equipment_id
        FOR NO KEY UPDATE;
        CONTINUE WHEN EXISTS (
            SELECT FROM rest.corrective_action AS c
            WHERE c.business_id = tenant AND c.equipment_id = alarm.equipment_id
              AND c.trigger_kind = 'sensor_alarm'
              AND (c.state IN ('open', 'in_progress', 'overdue')
                   OR c.opened_at >= alarm.begins_at
                      AND c.opened_at <= alarm.reached_at));
        answers := rest.responsible_staff(alarm.location_id);
        IF answers IS NULL THEN
            -- Readings are kept even where nobody works who could act on them.
            RAISE WARNING '% is out of its limits since %, and nobody answers for its site',
                          alarm.asset_tag, alarm.begins_at;
            CONTINUE;
        END IF;
        key := system_core.uuid_v7();
        INSERT INTO rest.corrective_action
            (business_id, corrective_action_id, assigned_staff_id, equipment_id, action_number,
             trigger_kind, deviation_text, opened_at)
        VALUES (tenant, key, answers, alarm.equipment_id,
                system_core.number_document(tenant, 'rest.corrective_action', 'CA-', key),
                'sensor_alarm',
                format('%s was out of its limits for more than %s minutes: %s degrees C',
                       alarm.display_name, alarm.alarm_delay_minutes,
                       trim_scale(alarm.worst_c)),
                alarm.reached_at);
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.watch_readings() IS
    'Keeps the last reading of a sensor, and opens one corrective action where equipment stays out
     of its limits for the alarm delay of the sensor, also when readings come late or in bulk.';

CREATE TRIGGER temperature_reading_watch
    AFTER INSERT ON rest.temperature_reading
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION rest.watch_readings();


CREATE TABLE rest.haccp_plan (
    business_id         uuid             NOT NULL,
    haccp_plan_id       uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    approved_by_user_id uuid,
    location_id         uuid             NOT NULL,
    plan_code           system_core.code NOT NULL,
    version_no          integer          NOT NULL,
    title               text             NOT NULL,
    process_kind        text             NOT NULL,
    product_scope       text,
    team_doc            jsonb,
    requires_variance   boolean          NOT NULL DEFAULT false,
    effective_from      date             NOT NULL,
    review_due_on       date,
    approved_at         timestamptz,
    state               text             NOT NULL DEFAULT 'draft',
    created_at          timestamptz      NOT NULL DEFAULT now(),
    updated_at          timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, haccp_plan_id),
    UNIQUE (business_id, location_id, plan_code, version_no),
    FOREIGN KEY (business_id, approved_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    CONSTRAINT haccp_plan_process_kind_known
        CHECK (process_kind IN ('no_cook', 'same_day', 'complex', 'reduced_oxygen', 'sushi_rice',
                                'sous_vide')),
    CONSTRAINT haccp_plan_state_known CHECK (state IN ('draft', 'approved', 'superseded')),
    CONSTRAINT haccp_plan_approved_unless_draft
        CHECK ((state = 'draft') = (approved_at IS NULL)),
    CONSTRAINT haccp_plan_version_positive CHECK (version_no > 0),
    CONSTRAINT haccp_plan_reviewed_after_start CHECK (review_due_on > effective_from)
);

COMMENT ON TABLE rest.haccp_plan IS
    'HACCP plan of a site for a way of making food; one version of it is in force.';
COMMENT ON COLUMN rest.haccp_plan.team_doc IS 'The HACCP team: who, in which role, trained how.';
COMMENT ON COLUMN rest.haccp_plan.requires_variance IS
    'The authority must agree to the process beforehand (reduced oxygen, sushi rice).';

-- One version of a plan is in force; also finds it.
CREATE UNIQUE INDEX haccp_plan_in_force_key
    ON rest.haccp_plan (business_id, location_id, plan_code)
    WHERE state = 'approved';

-- FK: who approved plans.
CREATE INDEX haccp_plan_approved_by_user_idx
    ON rest.haccp_plan (business_id, approved_by_user_id)
    WHERE approved_by_user_id IS NOT NULL;

ALTER TABLE rest.haccp_plan ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.haccp_plan
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.haccp_plan TO app_user;
GRANT SELECT ON rest.haccp_plan TO app_readonly;

CREATE TRIGGER haccp_plan_touch
    BEFORE UPDATE ON rest.haccp_plan
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER haccp_plan_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.haccp_plan
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["draft"],
        "transitions": {
            "draft":      ["approved"],
            "approved":   ["superseded"],
            "superseded": []
        }}');


CREATE TABLE rest.hazard_analysis (
    business_id        uuid        NOT NULL,
    hazard_analysis_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    haccp_plan_id      uuid        NOT NULL,
    step_number        integer     NOT NULL,
    process_step       text        NOT NULL,
    hazard_kind        text        NOT NULL,
    hazard_name        text        NOT NULL,
    severity           smallint    NOT NULL,
    likelihood         smallint    NOT NULL,
    is_significant     boolean     NOT NULL DEFAULT false,
    preventive_measure text,
    is_ccp             boolean     NOT NULL DEFAULT false,
    justification      text,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, hazard_analysis_id),
    UNIQUE (business_id, haccp_plan_id, step_number, hazard_name),
    FOREIGN KEY (business_id, haccp_plan_id)
        REFERENCES rest.haccp_plan (business_id, haccp_plan_id),
    CONSTRAINT hazard_analysis_process_step_known
        CHECK (process_step IN ('receive', 'store', 'thaw', 'prepare', 'cook', 'cool', 'reheat',
                                'hot_hold', 'cold_hold', 'serve', 'deliver')),
    CONSTRAINT hazard_analysis_hazard_kind_known
        CHECK (hazard_kind IN ('biological', 'chemical', 'physical', 'allergen')),
    CONSTRAINT hazard_analysis_severity_bounded CHECK (severity BETWEEN 1 AND 5),
    CONSTRAINT hazard_analysis_likelihood_bounded CHECK (likelihood BETWEEN 1 AND 5),
    CONSTRAINT hazard_analysis_ccp_is_significant CHECK (is_significant OR NOT is_ccp),
    CONSTRAINT hazard_analysis_step_positive CHECK (step_number > 0)
);

COMMENT ON TABLE rest.hazard_analysis IS
    'Hazard at a process step, how likely and severe, and how it is prevented.';
COMMENT ON COLUMN rest.hazard_analysis.is_ccp IS
    'Nothing later makes the food safe again: the step is watched at a critical control point.';
COMMENT ON COLUMN rest.hazard_analysis.justification IS 'Why it is significant, or is not.';

ALTER TABLE rest.hazard_analysis ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.hazard_analysis
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.hazard_analysis TO app_user;
GRANT SELECT ON rest.hazard_analysis TO app_readonly;

CREATE TRIGGER hazard_analysis_touch
    BEFORE UPDATE ON rest.hazard_analysis
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION rest.refuse_approved_plan_change() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    known record;
BEGIN
    -- Waits for an approval that is under way.
    SELECT p.plan_code, p.version_no, p.state INTO known
    FROM rest.haccp_plan AS p
    WHERE p.business_id = coalesce(NEW.business_id, OLD.business_id)
      AND p.haccp_plan_id IN (OLD.haccp_plan_id, NEW.haccp_plan_id)
    ORDER BY p.state = 'draft', p.haccp_plan_id
    LIMIT 1
    FOR SHARE;
    IF known.state <> 'draft' AND row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'version % of plan % is %, its hazards stand', known.version_no,
                        known.plan_code, known.state
            USING ERRCODE = 'check_violation', HINT = 'Write a new version of the plan.';
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
COMMENT ON FUNCTION rest.refuse_approved_plan_change() IS
    'What was approved is what an inspector sees: hazards change while their plan is a draft.';

CREATE TRIGGER hazard_analysis_plan_stands
    BEFORE INSERT OR UPDATE OR DELETE ON rest.hazard_analysis
    FOR EACH ROW EXECUTE FUNCTION rest.refuse_approved_plan_change();


CREATE TABLE rest.critical_control_point (
    business_id               uuid                 NOT NULL,
    critical_control_point_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    hazard_analysis_id        uuid                 NOT NULL,
    ccp_code                  system_core.code     NOT NULL,
    limit_kind                text                 NOT NULL,
    limit_low                 system_core.quantity,
    limit_high                system_core.quantity,
    limit_unit                text                 NOT NULL DEFAULT 'C',
    hold_seconds              integer,
    max_minutes               integer,
    monitor_method            text,
    monitor_every_minutes     integer              NOT NULL DEFAULT 240,
    corrective_instruction    text,
    verification_method       text,
    retention_months          integer,
    is_active                 boolean              NOT NULL DEFAULT true,
    created_at                timestamptz          NOT NULL DEFAULT now(),
    updated_at                timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, critical_control_point_id),
    UNIQUE (business_id, ccp_code),
    FOREIGN KEY (business_id, hazard_analysis_id)
        REFERENCES rest.hazard_analysis (business_id, hazard_analysis_id),
    CONSTRAINT critical_control_point_limit_kind_known
        CHECK (limit_kind IN ('min_temp', 'max_temp', 'time_temp', 'ph', 'water_activity',
                              'visual')),
    CONSTRAINT critical_control_point_has_a_limit
        CHECK (limit_low IS NOT NULL OR limit_high IS NOT NULL),
    CONSTRAINT critical_control_point_limit_of_its_kind
        CHECK (CASE limit_kind WHEN 'min_temp' THEN limit_low IS NOT NULL
                               WHEN 'max_temp' THEN limit_high IS NOT NULL
                               ELSE true END),
    CONSTRAINT critical_control_point_limits_in_order CHECK (limit_high >= limit_low),
    CONSTRAINT critical_control_point_times_positive
        CHECK (hold_seconds >= 0 AND max_minutes > 0 AND retention_months > 0),
    CONSTRAINT critical_control_point_monitor_every_minutes_positive
        CHECK (monitor_every_minutes > 0)
);

COMMENT ON TABLE rest.critical_control_point IS
    'The limit, the watch and the reaction at a step that must not fail.';
COMMENT ON COLUMN rest.critical_control_point.limit_unit IS
    'Unit of its limits: C for degrees Celsius, else pH, aw or minutes.';
COMMENT ON COLUMN rest.critical_control_point.hold_seconds IS
    'How long the limit must be met (74 degrees C for 15 seconds).';
COMMENT ON COLUMN rest.critical_control_point.max_minutes IS
    'How long food may stay beyond the limit where time is the control.';
COMMENT ON COLUMN rest.critical_control_point.monitor_every_minutes IS
    'How often somebody checks while the site trades, see rest.v_haccp_due.';
COMMENT ON COLUMN rest.critical_control_point.retention_months IS
    'How long its records are kept, as the authority of the site asks.';

-- FK: how a hazard is watched.
CREATE INDEX critical_control_point_hazard_analysis_idx
    ON rest.critical_control_point (business_id, hazard_analysis_id);

ALTER TABLE rest.critical_control_point ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.critical_control_point
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.critical_control_point TO app_user;
GRANT SELECT ON rest.critical_control_point TO app_readonly;

CREATE TRIGGER critical_control_point_touch
    BEFORE UPDATE ON rest.critical_control_point
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION rest.approve_haccp_plan(plan uuid, approver uuid) RETURNS rest.haccp_plan
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    known  rest.haccp_plan;
    open_hazard text;
BEGIN
    SELECT p.* INTO known
    FROM rest.haccp_plan AS p
    WHERE p.business_id = tenant AND p.haccp_plan_id = plan;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such plan' USING ERRCODE = 'no_data_found';
    END IF;
    -- All versions of it: two approvals at once wait for each other.
    PERFORM FROM rest.haccp_plan AS p
    WHERE p.business_id = tenant AND p.location_id = known.location_id
      AND p.plan_code = known.plan_code
    ORDER BY p.haccp_plan_id
    FOR UPDATE;
    SELECT p.* INTO known
    FROM rest.haccp_plan AS p
    WHERE p.business_id = tenant AND p.haccp_plan_id = plan;
    IF known.state <> 'draft' THEN
        RAISE EXCEPTION 'version % of plan % is %', known.version_no, known.plan_code, known.state
            USING ERRCODE = 'check_violation';
    ELSIF NOT EXISTS (SELECT FROM rest.hazard_analysis AS h
                      WHERE h.business_id = tenant AND h.haccp_plan_id = plan) THEN
        RAISE EXCEPTION 'plan % analyses no hazard', known.plan_code
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT h.hazard_name INTO open_hazard
    FROM rest.hazard_analysis AS h
    WHERE h.business_id = tenant AND h.haccp_plan_id = plan
      AND (h.is_ccp AND NOT EXISTS (
               SELECT FROM rest.critical_control_point AS c
               WHERE c.business_id = tenant AND c.hazard_analysis_id = h.hazard_analysis_id
                 AND c.is_active)
           OR h.is_significant AND NOT h.is_ccp AND coalesce(h.preventive_measure, '') !~ '\S')
    ORDER BY h.step_number, h.hazard_name
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'plan % does not control %', known.plan_code, open_hazard
            USING ERRCODE = 'check_violation',
                  HINT = 'Watch it at a critical control point, or say how it is prevented.';
    END IF;
    UPDATE rest.haccp_plan AS p
    SET state = 'superseded'
    WHERE p.business_id = tenant AND p.location_id = known.location_id
      AND p.plan_code = known.plan_code AND p.state = 'approved';
    UPDATE rest.haccp_plan AS p
    SET state = 'approved', approved_at = now(), approved_by_user_id = approver
    WHERE p.business_id = tenant AND p.haccp_plan_id = plan
    RETURNING p.* INTO known;
    RETURN known;
END
$$;
COMMENT ON FUNCTION rest.approve_haccp_plan(uuid, uuid) IS
    'Puts a version of a plan in force instead of the one before, once every significant hazard is
     prevented or watched at a critical control point.';


CREATE TABLE rest.temperature_log (
    business_id               uuid                 NOT NULL,
    temperature_log_id        uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    recorded_by_staff_id      uuid                 NOT NULL,
    verified_by_staff_id      uuid,
    location_id               uuid                 NOT NULL,
    critical_control_point_id uuid,
    equipment_id              uuid,
    inventory_item_id         uuid,
    menu_item_id              uuid,
    production_batch_id       uuid,
    log_kind                  text                 NOT NULL,
    due_at                    timestamptz,
    recorded_at               timestamptz          NOT NULL DEFAULT now(),
    temperature_c             system_core.quantity NOT NULL,
    limit_low_c               system_core.quantity,
    limit_high_c              system_core.quantity,
    in_limits                 boolean              GENERATED ALWAYS AS (
                                  temperature_c >= coalesce(limit_low_c, temperature_c)
                                  AND temperature_c <= coalesce(limit_high_c, temperature_c))
                                  STORED,
    minutes_late              integer              GENERATED ALWAYS AS (
                                  CASE WHEN due_at IS NOT NULL THEN greatest(0, floor(
                                      extract(epoch FROM recorded_at - due_at) / 60))::integer
                                  END) STORED,
    thermometer_serial        text,
    reading_source            text                 NOT NULL,
    verified_at               timestamptz,
    note                      text,
    created_at                timestamptz          NOT NULL DEFAULT now(),
    updated_at                timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, temperature_log_id),
    FOREIGN KEY (business_id, recorded_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, verified_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, critical_control_point_id)
        REFERENCES rest.critical_control_point (business_id, critical_control_point_id),
    FOREIGN KEY (business_id, equipment_id) REFERENCES rest.equipment (business_id, equipment_id),
    FOREIGN KEY (business_id, inventory_item_id)
        REFERENCES rest.inventory_item (business_id, inventory_item_id),
    FOREIGN KEY (business_id, menu_item_id) REFERENCES rest.menu_item (business_id, menu_item_id),
    FOREIGN KEY (business_id, production_batch_id)
        REFERENCES rest.production_batch (business_id, production_batch_id),
    CONSTRAINT temperature_log_kind_known
        CHECK (log_kind IN ('cook', 'reheat', 'hot_hold', 'cold_hold', 'receiving', 'ambient',
                            'dish_machine', 'thermometer_check')),
    CONSTRAINT temperature_log_reading_source_known
        CHECK (reading_source IN ('probe', 'infrared', 'sensor', 'manual')),
    CONSTRAINT temperature_log_verified_by_another
        CHECK (verified_by_staff_id <> recorded_by_staff_id),
    CONSTRAINT temperature_log_verified_after_recording CHECK (verified_at >= recorded_at),
    CONSTRAINT temperature_log_verification_is_whole
        CHECK (num_nonnulls(verified_at, verified_by_staff_id) IN (0, 2)),
    CONSTRAINT temperature_log_limits_in_order CHECK (limit_high_c >= limit_low_c),
    CONSTRAINT temperature_log_temperature_bounded CHECK (temperature_c BETWEEN -60 AND 300),
    CONSTRAINT temperature_log_thermometer_is_named
        CHECK (log_kind <> 'thermometer_check' OR coalesce(thermometer_serial, '') ~ '\S')
);

COMMENT ON TABLE rest.temperature_log IS
    'A check by a person: cooking, holding, receiving, dish machine or thermometer calibration.';
COMMENT ON COLUMN rest.temperature_log.limit_low_c IS
    'The limit that stood then; where none is given, that of the control point or the equipment.';
COMMENT ON COLUMN rest.temperature_log.due_at IS 'When the check was due; none for an extra one.';

-- FK: who checked.
CREATE INDEX temperature_log_recorded_by_staff_idx
    ON rest.temperature_log (business_id, recorded_by_staff_id);

-- FK: who verified checks.
CREATE INDEX temperature_log_verified_by_staff_idx
    ON rest.temperature_log (business_id, verified_by_staff_id)
    WHERE verified_by_staff_id IS NOT NULL;

-- FK: the log of a site, newest first.
CREATE INDEX temperature_log_location_idx
    ON rest.temperature_log (business_id, location_id, recorded_at);

-- FK: the checks of a control point; rest.v_haccp_due takes the last.
CREATE INDEX temperature_log_critical_control_point_idx
    ON rest.temperature_log (business_id, critical_control_point_id, recorded_at)
    WHERE critical_control_point_id IS NOT NULL;

-- FK: the checks of equipment.
CREATE INDEX temperature_log_equipment_idx
    ON rest.temperature_log (business_id, equipment_id)
    WHERE equipment_id IS NOT NULL;

-- FK: the checks of an ingredient.
CREATE INDEX temperature_log_inventory_item_idx
    ON rest.temperature_log (business_id, inventory_item_id)
    WHERE inventory_item_id IS NOT NULL;

-- FK: the checks of a dish.
CREATE INDEX temperature_log_menu_item_idx
    ON rest.temperature_log (business_id, menu_item_id)
    WHERE menu_item_id IS NOT NULL;

-- FK: the checks of a batch.
CREATE INDEX temperature_log_production_batch_idx
    ON rest.temperature_log (business_id, production_batch_id)
    WHERE production_batch_id IS NOT NULL;

ALTER TABLE rest.temperature_log ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.temperature_log
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.temperature_log TO app_user;
GRANT SELECT ON rest.temperature_log TO app_readonly;

CREATE TRIGGER temperature_log_touch
    BEFORE UPDATE ON rest.temperature_log
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION rest.set_check_limits() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    known record;
BEGIN
    SELECT c.limit_low, c.limit_high INTO known
    FROM rest.critical_control_point AS c
    WHERE c.business_id = NEW.business_id
      AND c.critical_control_point_id = NEW.critical_control_point_id
      AND c.limit_kind IN ('min_temp', 'max_temp', 'time_temp') AND c.limit_unit = 'C';
    IF NOT FOUND THEN
        SELECT q.temp_min_c AS limit_low, q.temp_max_c AS limit_high INTO known
        FROM rest.equipment AS q
        WHERE q.business_id = NEW.business_id AND q.equipment_id = NEW.equipment_id;
    END IF;
    IF FOUND THEN
        NEW.limit_low_c := known.limit_low;
        NEW.limit_high_c := known.limit_high;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.set_check_limits() IS
    'A check without limits takes those of its control point, else those of its equipment.';

CREATE TRIGGER temperature_log_limits
    BEFORE INSERT ON rest.temperature_log
    FOR EACH ROW
    WHEN (NEW.limit_low_c IS NULL AND NEW.limit_high_c IS NULL
          AND (NEW.critical_control_point_id IS NOT NULL OR NEW.equipment_id IS NOT NULL))
    EXECUTE FUNCTION rest.set_check_limits();

CREATE FUNCTION rest.refuse_verified_log_change() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the check of % is verified, it stands', OLD.recorded_at
        USING ERRCODE = 'check_violation', HINT = 'Record another check.';
END
$$;
COMMENT ON FUNCTION rest.refuse_verified_log_change() IS 'A verified check is evidence.';

CREATE TRIGGER temperature_log_verified_stands
    BEFORE UPDATE OR DELETE ON rest.temperature_log
    FOR EACH ROW WHEN (OLD.verified_at IS NOT NULL)
    EXECUTE FUNCTION rest.refuse_verified_log_change();


CREATE TABLE rest.cooling_log (
    business_id         uuid                 NOT NULL,
    cooling_log_id      uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    started_by_staff_id uuid                 NOT NULL,
    location_id         uuid                 NOT NULL,
    inventory_item_id   uuid                 NOT NULL,
    production_batch_id uuid,
    container_note      text                 NOT NULL,
    method              text,
    started_at          timestamptz          NOT NULL DEFAULT now(),
    start_temp_c        system_core.quantity,
    stage1_limit_c      system_core.quantity NOT NULL DEFAULT 21,
    stage1_minutes      integer              NOT NULL DEFAULT 120,
    stage2_limit_c      system_core.quantity NOT NULL DEFAULT 5,
    stage2_minutes      integer              NOT NULL DEFAULT 360,
    stage1_due_at       timestamptz          NOT NULL,
    stage1_at           timestamptz,
    stage1_temp_c       system_core.quantity,
    stage2_due_at       timestamptz          NOT NULL,
    stage2_at           timestamptz,
    stage2_temp_c       system_core.quantity,
    outcome             text                 NOT NULL DEFAULT 'in_progress',
    created_at          timestamptz          NOT NULL DEFAULT now(),
    updated_at          timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, cooling_log_id),
    FOREIGN KEY (business_id, started_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, inventory_item_id)
        REFERENCES rest.inventory_item (business_id, inventory_item_id),
    FOREIGN KEY (business_id, production_batch_id)
        REFERENCES rest.production_batch (business_id, production_batch_id),
    CONSTRAINT cooling_log_method_known
        CHECK (method IN ('ice_bath', 'blast_chiller', 'shallow_pan', 'ice_paddle')),
    CONSTRAINT cooling_log_outcome_known
        CHECK (outcome IN ('in_progress', 'passed', 'failed_stage1', 'failed_stage2', 'reheated',
                           'discarded')),
    CONSTRAINT cooling_log_stages_in_order
        CHECK (stage1_at >= started_at AND stage2_at > stage1_at),
    CONSTRAINT cooling_log_stages_are_whole
        CHECK (num_nonnulls(stage1_at, stage1_temp_c) IN (0, 2)
               AND num_nonnulls(stage2_at, stage2_temp_c) IN (0, 2)
               AND (stage2_at IS NULL OR stage1_at IS NOT NULL)),
    CONSTRAINT cooling_log_limits_in_order
        CHECK (stage1_limit_c > stage2_limit_c
               AND stage1_minutes > 0 AND stage2_minutes > stage1_minutes),
    CONSTRAINT cooling_log_due_as_limited
        CHECK (stage1_due_at - started_at = stage1_minutes * interval '1 minute'
               AND stage2_due_at - started_at = stage2_minutes * interval '1 minute'),
    CONSTRAINT cooling_log_passed_within_limits
        CHECK (outcome <> 'passed'
               OR (coalesce(stage1_temp_c <= stage1_limit_c AND stage1_at <= stage1_due_at, false)
                   AND coalesce(stage2_temp_c <= stage2_limit_c AND stage2_at <= stage2_due_at,
                                false)))
);

COMMENT ON TABLE rest.cooling_log IS
    'Two-stage cooling of a batch (57 to 21 degrees C in 2 hours, to 5 within 6 hours in all).';
COMMENT ON COLUMN rest.cooling_log.stage1_limit_c IS
    'The limits that the authority of the site sets; the defaults are those of the FDA Food Code.';
COMMENT ON COLUMN rest.cooling_log.stage1_minutes IS 'From the start to the end of stage 1.';
COMMENT ON COLUMN rest.cooling_log.stage2_minutes IS 'From the start to the end of stage 2.';
COMMENT ON COLUMN rest.cooling_log.stage1_due_at IS 'Follows from the start, as stage2_due_at.';
COMMENT ON COLUMN rest.cooling_log.outcome IS
    'Follows from what was measured, until a failed batch is reheated or discarded.';

-- FK: who cooled.
CREATE INDEX cooling_log_started_by_staff_idx
    ON rest.cooling_log (business_id, started_by_staff_id);

-- FK: the coolings of a site.
CREATE INDEX cooling_log_location_idx ON rest.cooling_log (business_id, location_id, started_at);

-- What is cooling down now, see rest.v_haccp_due.
CREATE INDEX cooling_log_in_progress_idx
    ON rest.cooling_log (business_id, stage1_due_at)
    WHERE outcome = 'in_progress';

-- FK: the coolings of an item.
CREATE INDEX cooling_log_inventory_item_idx ON rest.cooling_log (business_id, inventory_item_id);

-- FK: the coolings of a batch.
CREATE INDEX cooling_log_production_batch_idx
    ON rest.cooling_log (business_id, production_batch_id)
    WHERE production_batch_id IS NOT NULL;

ALTER TABLE rest.cooling_log ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.cooling_log
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.cooling_log TO app_user;
GRANT SELECT ON rest.cooling_log TO app_readonly;

CREATE TRIGGER cooling_log_touch
    BEFORE UPDATE ON rest.cooling_log
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION rest.derive_cooling() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.stage1_due_at := NEW.started_at + NEW.stage1_minutes * interval '1 minute';
    NEW.stage2_due_at := NEW.started_at + NEW.stage2_minutes * interval '1 minute';
    IF TG_OP = 'UPDATE' AND OLD.outcome <> 'in_progress' THEN
        IF (OLD.started_at, OLD.stage1_at, OLD.stage1_temp_c, OLD.stage2_at, OLD.stage2_temp_c,
            OLD.stage1_limit_c, OLD.stage2_limit_c, OLD.stage1_minutes, OLD.stage2_minutes)
           IS DISTINCT FROM
           (NEW.started_at, NEW.stage1_at, NEW.stage1_temp_c, NEW.stage2_at, NEW.stage2_temp_c,
            NEW.stage1_limit_c, NEW.stage2_limit_c, NEW.stage1_minutes, NEW.stage2_minutes)
        THEN
            RAISE EXCEPTION 'the cooling of % ended: %, what was measured stands',
                            OLD.container_note, OLD.outcome
                USING ERRCODE = 'check_violation', HINT = 'A reheated batch is cooled anew.';
        END IF;
        RETURN NEW;
    ELSIF NEW.outcome IN ('reheated', 'discarded') THEN
        RETURN NEW;
    END IF;
    -- Food that is measured too warm before a stage is due may be measured again.
    NEW.outcome := CASE
        WHEN NEW.stage1_at > NEW.stage1_due_at THEN 'failed_stage1'
        WHEN NEW.stage1_temp_c > NEW.stage1_limit_c
             AND (NEW.stage1_at = NEW.stage1_due_at OR NEW.stage2_at IS NOT NULL)
        THEN 'failed_stage1'
        WHEN NEW.stage2_at IS NULL THEN 'in_progress'
        WHEN NEW.stage2_at > NEW.stage2_due_at THEN 'failed_stage2'
        WHEN NEW.stage2_temp_c <= NEW.stage2_limit_c THEN 'passed'
        WHEN NEW.stage2_at = NEW.stage2_due_at THEN 'failed_stage2'
        ELSE 'in_progress' END;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.derive_cooling() IS
    'Says when the stages of a cooling are due, and whether they were met: a stage fails when it is
     measured late or still too warm at its end. What ended is not measured again.';

CREATE TRIGGER cooling_log_derive
    BEFORE INSERT OR UPDATE ON rest.cooling_log
    FOR EACH ROW EXECUTE FUNCTION rest.derive_cooling();

-- After the outcome is derived, so on every update: triggers run in the order of their names.
CREATE TRIGGER cooling_log_state_machine
    BEFORE INSERT OR UPDATE ON rest.cooling_log
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('outcome', '{
        "initial": ["in_progress", "passed", "failed_stage1", "failed_stage2"],
        "transitions": {
            "in_progress":   ["passed", "failed_stage1", "failed_stage2", "discarded"],
            "passed":        [],
            "failed_stage1": ["reheated", "discarded"],
            "failed_stage2": ["discarded"],
            "reheated":      [],
            "discarded":     []
        }}');

CREATE FUNCTION rest.answer_failed_cooling() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    key CONSTANT uuid := system_core.uuid_v7();
BEGIN
    IF NOT row_security_active(TG_RELID)
       OR EXISTS (SELECT FROM rest.corrective_action AS c
                  WHERE c.business_id = NEW.business_id AND c.cooling_log_id = NEW.cooling_log_id)
    THEN
        RETURN NULL;
    END IF;
    INSERT INTO rest.corrective_action
        (business_id, corrective_action_id, assigned_staff_id, cooling_log_id, action_number,
         trigger_kind, deviation_text, opened_at)
    VALUES (NEW.business_id, key, NEW.started_by_staff_id, NEW.cooling_log_id,
            system_core.number_document(NEW.business_id, 'rest.corrective_action', 'CA-', key),
            'cooling_failure',
            CASE NEW.outcome
                WHEN 'failed_stage1' THEN
                    format('%s: %s degrees C after stage 1', NEW.container_note,
                           trim_scale(NEW.stage1_temp_c))
                ELSE format('%s: %s degrees C after stage 2', NEW.container_note,
                            trim_scale(NEW.stage2_temp_c)) END,
            coalesce(NEW.stage2_at, NEW.stage1_at));
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.answer_failed_cooling() IS
    'A cooling that fails opens a corrective action of whoever cooled.';

CREATE TRIGGER cooling_log_failure
    AFTER INSERT OR UPDATE ON rest.cooling_log
    FOR EACH ROW WHEN (NEW.outcome IN ('failed_stage1', 'failed_stage2'))
    EXECUTE FUNCTION rest.answer_failed_cooling();


CREATE VIEW rest.v_haccp_due WITH (security_invoker = true) AS
-- The checks of a site fall due while it trades: the first of a day one interval after opening.
SELECT p.business_id, p.location_id, 'check' AS due_kind, c.critical_control_point_id,
       NULL::uuid AS cooling_log_id, c.ccp_code::text AS label, h.process_step, d.due_at,
       d.due_at < now() AS is_overdue,
       floor(extract(epoch FROM now() - d.due_at) / 60)::integer AS minutes_late,
       c.limit_low, c.limit_high, c.limit_unit
FROM rest.haccp_plan AS p
JOIN rest.hazard_analysis AS h
    ON h.business_id = p.business_id AND h.haccp_plan_id = p.haccp_plan_id
JOIN rest.critical_control_point AS c
    ON c.business_id = h.business_id AND c.hazard_analysis_id = h.hazard_analysis_id
   AND c.is_active
JOIN LATERAL (
    SELECT max(b.opened_at) AS opened_at
    FROM rest.business_day AS b
    WHERE b.business_id = p.business_id AND b.location_id = p.location_id
      AND b.state IN ('open', 'reopened')
) AS b ON b.opened_at IS NOT NULL
LEFT JOIN LATERAL (
    SELECT t.recorded_at
    FROM rest.temperature_log AS t
    WHERE t.business_id = c.business_id
      AND t.critical_control_point_id = c.critical_control_point_id
    ORDER BY t.recorded_at DESC
    LIMIT 1
) AS l ON true
CROSS JOIN LATERAL (
    SELECT greatest(b.opened_at, l.recorded_at)
           + c.monitor_every_minutes * interval '1 minute' AS due_at
) AS d
WHERE p.state = 'approved'
UNION ALL
SELECT g.business_id, g.location_id, 'cooling_' || s.stage, NULL, g.cooling_log_id,
       i.display_name || ': ' || g.container_note, 'cool', s.due_at, s.due_at < now(),
       floor(extract(epoch FROM now() - s.due_at) / 60)::integer, NULL, s.limit_c, 'C'
FROM rest.cooling_log AS g
JOIN rest.inventory_item AS i
    ON i.business_id = g.business_id AND i.inventory_item_id = g.inventory_item_id
CROSS JOIN LATERAL (
    SELECT CASE WHEN w.is_first THEN 'stage1' ELSE 'stage2' END AS stage,
           CASE WHEN w.is_first THEN g.stage1_due_at ELSE g.stage2_due_at END AS due_at,
           CASE WHEN w.is_first THEN g.stage1_limit_c ELSE g.stage2_limit_c END AS limit_c
    FROM (SELECT coalesce(g.stage1_temp_c > g.stage1_limit_c, true) AS is_first) AS w
) AS s
WHERE g.outcome = 'in_progress';
COMMENT ON VIEW rest.v_haccp_due IS
    'What must be measured next at each site: checks of the plans in force and stages of coolings,
     with the limit to meet; minutes_late is below zero until it is due.';
GRANT SELECT ON rest.v_haccp_due TO app_user, app_readonly;
