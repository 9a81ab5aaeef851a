/*
 * TODO: what the area is and how its tables relate.
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
        CHECK (status IN ('in_service', 'out_of_service', 'retired'))
);

COMMENT ON TABLE rest.equipment IS
    'Refrigerator, hot hold, oven, dish machine or thermometer that must be kept in limits.';
-- RULE calibration_due_on is set for thermometers

-- FK: the equipments of a location.
CREATE INDEX equipment_location_idx ON rest.equipment (business_id, location_id);

-- FK: the equipments of a storage area.
CREATE INDEX equipment_storage_area_idx
    ON rest.equipment (business_id, storage_area_id)
    WHERE storage_area_id IS NOT NULL;

-- FK: the equipments of a kitchen.
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


CREATE TABLE rest.temperature_sensor (
    business_id           uuid                   NOT NULL,
    temperature_sensor_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    equipment_id          uuid                   NOT NULL,
    sensor_serial         text                   NOT NULL,
    probe_kind            text                   NOT NULL,
    sample_seconds        integer,
    alarm_low_c           system_core.quantity,
    alarm_high_c          system_core.quantity,
    alarm_delay_minutes   integer,
    calibration_offset_c  system_core.quantity,
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
        CHECK (sample_seconds BETWEEN 10 AND 3600)
);

COMMENT ON TABLE rest.temperature_sensor IS
    'Wireless probe in a piece of equipment with its alarm limits.';

-- FK: the temperature sensors of a equipment.
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


CREATE TABLE rest.temperature_reading (
    business_id            uuid                   NOT NULL,
    temperature_reading_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    temperature_sensor_id  uuid                   NOT NULL,
    read_at                timestamptz            NOT NULL DEFAULT now(),
    temperature_c          system_core.quantity,
    humidity_pct           system_core.percentage,
    is_door_open           boolean                NOT NULL DEFAULT false,
    battery_pct            system_core.percentage,
    signal_dbm             integer,
    is_out_of_range        boolean                NOT NULL DEFAULT false,
    quality                text                   NOT NULL,
    created_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, temperature_reading_id, read_at),
    UNIQUE (business_id, temperature_sensor_id, read_at),
    FOREIGN KEY (business_id, temperature_sensor_id)
        REFERENCES rest.temperature_sensor (business_id, temperature_sensor_id),
    CONSTRAINT temperature_reading_quality_known
        CHECK (quality IN ('good', 'interpolated', 'suspect')),
    CONSTRAINT temperature_reading_temperature_c_bounded CHECK (temperature_c BETWEEN -60 AND 300)
) PARTITION BY RANGE (read_at);

COMMENT ON TABLE rest.temperature_reading IS
    'Time series of a sensor (15 sensors every 5 minutes for 30 days); append only.';

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
    CONSTRAINT haccp_plan_approved_at_when CHECK (approved_at IS NOT NULL OR state = 'draft')
);

COMMENT ON TABLE rest.haccp_plan IS 'Approved HACCP plan of a site for a food process.';
-- RULE one approved version per plan_code and location

-- FK: the haccp plans by their approved by user.
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


CREATE TABLE rest.hazard_analysis (
    business_id        uuid        NOT NULL,
    hazard_analysis_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    haccp_plan_id      uuid        NOT NULL,
    step_number        integer     NOT NULL,
    process_step       text        NOT NULL,
    hazard_kind        text        NOT NULL,
    hazard_name        text        NOT NULL,
    severity           smallint,
    likelihood         smallint,
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
    CONSTRAINT hazard_analysis_likelihood_bounded CHECK (likelihood BETWEEN 1 AND 5)
);

COMMENT ON TABLE rest.hazard_analysis IS
    'Hazard at a process step, how likely and severe, and how it is prevented.';
-- RULE is_ccp only if is_significant

ALTER TABLE rest.hazard_analysis ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.hazard_analysis
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.hazard_analysis TO app_user;
GRANT SELECT ON rest.hazard_analysis TO app_readonly;

CREATE TRIGGER hazard_analysis_touch
    BEFORE UPDATE ON rest.hazard_analysis
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.critical_control_point (
    business_id               uuid                 NOT NULL,
    critical_control_point_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    hazard_analysis_id        uuid                 NOT NULL,
    ccp_code                  system_core.code     NOT NULL,
    limit_kind                text                 NOT NULL,
    limit_low                 system_core.quantity,
    limit_high                system_core.quantity,
    limit_unit                text,
    hold_seconds              integer,
    max_minutes               integer,
    monitor_method            text,
    monitor_every_minutes     integer,
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
    CONSTRAINT critical_control_point_limit_low_agrees
        CHECK (limit_low IS NOT NULL OR limit_high IS NOT NULL),
    CONSTRAINT critical_control_point_monitor_every_minutes_positive
        CHECK (monitor_every_minutes > 0)
);

COMMENT ON TABLE rest.critical_control_point IS
    'The limit, the watch and the reaction at a step that must not fail.';

-- FK: the critical control points of a hazard analysis.
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
    recorded_at               timestamptz          NOT NULL,
    temperature_c             system_core.quantity,
    limit_low_c               system_core.quantity,
    limit_high_c              system_core.quantity,
    in_limits                 boolean              NOT NULL DEFAULT false,
    minutes_late              integer,
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
    CONSTRAINT temperature_log_verified_by_staff_id_follows_recorded_by_staff
        CHECK (verified_by_staff_id <> recorded_by_staff_id),
    CONSTRAINT temperature_log_verified_at_follows_recorded_at CHECK (verified_at >= recorded_at)
);

COMMENT ON TABLE rest.temperature_log IS
    'A check by a person: cooking, holding, receiving, dish machine or thermometer calibration.';
-- RULE in_limits follows temperature_c, limit_low_c and limit_high_c

-- FK: the temperature logs by their recorded by staff.
CREATE INDEX temperature_log_recorded_by_staff_idx
    ON rest.temperature_log (business_id, recorded_by_staff_id);

-- FK: the temperature logs by their verified by staff.
CREATE INDEX temperature_log_verified_by_staff_idx
    ON rest.temperature_log (business_id, verified_by_staff_id)
    WHERE verified_by_staff_id IS NOT NULL;

-- FK: the temperature logs of a location.
CREATE INDEX temperature_log_location_idx ON rest.temperature_log (business_id, location_id);

-- FK: the temperature logs of a critical control point.
CREATE INDEX temperature_log_critical_control_point_idx
    ON rest.temperature_log (business_id, critical_control_point_id)
    WHERE critical_control_point_id IS NOT NULL;

-- FK: the temperature logs of a equipment.
CREATE INDEX temperature_log_equipment_idx
    ON rest.temperature_log (business_id, equipment_id)
    WHERE equipment_id IS NOT NULL;

-- FK: the temperature logs of a inventory item.
CREATE INDEX temperature_log_inventory_item_idx
    ON rest.temperature_log (business_id, inventory_item_id)
    WHERE inventory_item_id IS NOT NULL;

-- FK: the temperature logs of a menu item.
CREATE INDEX temperature_log_menu_item_idx
    ON rest.temperature_log (business_id, menu_item_id)
    WHERE menu_item_id IS NOT NULL;

-- FK: the temperature logs of a production batch.
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


CREATE TABLE rest.cooling_log (
    business_id         uuid                 NOT NULL,
    cooling_log_id      uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    started_by_staff_id uuid                 NOT NULL,
    location_id         uuid                 NOT NULL,
    inventory_item_id   uuid                 NOT NULL,
    production_batch_id uuid,
    container_note      text                 NOT NULL,
    method              text,
    started_at          timestamptz          NOT NULL,
    start_temp_c        system_core.quantity,
    stage1_due_at       timestamptz,
    stage1_at           timestamptz,
    stage1_temp_c       system_core.quantity,
    stage2_due_at       timestamptz,
    stage2_at           timestamptz,
    stage2_temp_c       system_core.quantity,
    outcome             text                 NOT NULL,
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
    CONSTRAINT cooling_log_stage2_at_follows_stage1_at CHECK (stage2_at > stage1_at)
);

COMMENT ON TABLE rest.cooling_log IS
    'Two-stage cooling of a batch (57 to 21 degrees C in 2 hours, to 5 within 6 hours in all).';
-- RULE stage1_due_at = started_at + 2 hours and stage2_due_at = started_at + 6 hours
-- RULE passed only if stage1_temp_c <= 21 by stage1_due_at and stage2_temp_c <= 5 by stage2_due_at

-- FK: the cooling logs by their started by staff.
CREATE INDEX cooling_log_started_by_staff_idx
    ON rest.cooling_log (business_id, started_by_staff_id);

-- FK: the cooling logs of a location.
CREATE INDEX cooling_log_location_idx ON rest.cooling_log (business_id, location_id);

-- FK: the cooling logs of a inventory item.
CREATE INDEX cooling_log_inventory_item_idx ON rest.cooling_log (business_id, inventory_item_id);

-- FK: the cooling logs of a production batch.
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
