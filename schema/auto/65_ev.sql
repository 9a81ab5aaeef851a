/*
 * High voltage: traction batteries, their health, and switching them off.
 *
 * An hv_battery_pack is the battery that is in a vehicle, or was; an hv_battery_test measures its
 * health, its isolation and its cells, and the limits decide what the result may be. Nobody works
 * on high voltage before an hv_power_down is verified by a second person: plug out, wait, measured
 * below 60 V.
 */

CREATE TABLE auto.hv_battery_pack (
    business_id            uuid                   NOT NULL,
    hv_battery_pack_id     uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    vehicle_id             uuid                   NOT NULL,
    pack_serial            text                   NOT NULL,
    chemistry              text                   NOT NULL,
    usable_kwh             system_core.quantity   NOT NULL,
    gross_kwh              system_core.quantity   NOT NULL,
    nominal_v              system_core.quantity   NOT NULL,
    module_count           integer                NOT NULL DEFAULT 0,
    cell_count             integer                NOT NULL DEFAULT 0,
    thermal_kind           text                   NOT NULL,
    installed_on           date                   NOT NULL,
    removed_on             date,
    origin                 text                   NOT NULL DEFAULT 'factory',
    disposition            text                   NOT NULL DEFAULT 'in_service',
    warranty_soh_floor_pct system_core.percentage NOT NULL DEFAULT 70,
    created_at             timestamptz            NOT NULL DEFAULT now(),
    updated_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, hv_battery_pack_id),
    UNIQUE (business_id, pack_serial),
    FOREIGN KEY (business_id, vehicle_id) REFERENCES auto.vehicle (business_id, vehicle_id),
    CONSTRAINT hv_battery_pack_chemistry_known
        CHECK (chemistry IN ('nmc', 'nca', 'lfp', 'nimh', 'lto', 'solid_state')),
    CONSTRAINT hv_battery_pack_cooling_known
        CHECK (thermal_kind IN ('air', 'liquid', 'refrigerant')),
    CONSTRAINT hv_battery_pack_origin_known
        CHECK (origin IN ('factory', 'warranty_replacement', 'remanufactured', 'salvage')),
    CONSTRAINT hv_battery_pack_disposition_known
        CHECK (disposition IN ('in_service', 'core_return', 'recycler', 'quarantine')),
    CONSTRAINT hv_battery_pack_usable_within_gross
        CHECK (usable_kwh > 0 AND usable_kwh <= gross_kwh),
    CONSTRAINT hv_battery_pack_voltage_plausible CHECK (nominal_v BETWEEN 60 AND 1000),
    CONSTRAINT hv_battery_pack_removed_after_installing CHECK (removed_on >= installed_on),
    CONSTRAINT hv_battery_pack_removed_goes_somewhere
        CHECK ((removed_on IS NOT NULL) = (disposition <> 'in_service')),
    CONSTRAINT hv_battery_pack_floor_bounded CHECK (warranty_soh_floor_pct BETWEEN 50 AND 100)
);

COMMENT ON TABLE auto.hv_battery_pack IS
    'Traction battery installed in an EV, PHEV or hybrid, with chemistry and serial history.';

-- FK: the packs of a vehicle.
CREATE INDEX hv_battery_pack_vehicle_idx ON auto.hv_battery_pack (business_id, vehicle_id);

-- A vehicle has one pack at a time.
CREATE UNIQUE INDEX hv_battery_pack_fitted_idx
    ON auto.hv_battery_pack (business_id, vehicle_id)
    WHERE removed_on IS NULL;

ALTER TABLE auto.hv_battery_pack ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.hv_battery_pack
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.hv_battery_pack TO app_user;
GRANT SELECT ON auto.hv_battery_pack TO app_readonly;

CREATE TRIGGER hv_battery_pack_touch
    BEFORE UPDATE ON auto.hv_battery_pack
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE auto.hv_battery_test (
    business_id              uuid                    NOT NULL,
    hv_battery_test_id       uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    hv_battery_pack_id       uuid                    NOT NULL,
    diagnostic_session_id    uuid,
    repair_job_id            uuid,
    technician_id            uuid                    NOT NULL,
    tested_at                timestamptz             NOT NULL DEFAULT now(),
    test_kind                text                    NOT NULL,
    soh_pct                  system_core.percentage,
    soc_pct                  system_core.percentage,
    isolation_kohm           system_core.quantity,
    max_cell_v               system_core.quantity,
    min_cell_v               system_core.quantity,
    cell_delta_mv            system_core.quantity    GENERATED ALWAYS AS (
                                            round((max_cell_v - min_cell_v) * 1000, 4)) STORED,
    max_module_c             system_core.quantity,
    internal_resistance_mohm system_core.quantity,
    fast_charge_count        integer                 NOT NULL DEFAULT 0,
    cell_voltages            system_core.json_array,
    result                   text                    NOT NULL,
    created_at               timestamptz             NOT NULL DEFAULT now(),
    updated_at               timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, hv_battery_test_id),
    FOREIGN KEY (business_id, hv_battery_pack_id)
        REFERENCES auto.hv_battery_pack (business_id, hv_battery_pack_id),
    FOREIGN KEY (business_id, diagnostic_session_id)
        REFERENCES auto.diagnostic_session (business_id, diagnostic_session_id),
    FOREIGN KEY (business_id, repair_job_id)
        REFERENCES auto.repair_job (business_id, repair_job_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES auto.technician (business_id, technician_id),
    CONSTRAINT hv_battery_test_kind_known
        CHECK (test_kind IN ('soh_report', 'capacity_discharge', 'isolation', 'cell_balance',
                             'dc_fast_charge', 'thermal_scan')),
    CONSTRAINT hv_battery_test_result_known
        CHECK (result IN ('pass', 'monitor', 'fail', 'quarantine')),
    CONSTRAINT hv_battery_test_health_bounded
        CHECK (soh_pct BETWEEN 0 AND 110 AND soc_pct BETWEEN 0 AND 100),
    CONSTRAINT hv_battery_test_cells_in_order CHECK (max_cell_v >= min_cell_v),
    CONSTRAINT hv_battery_test_measures_not_negative
        CHECK (isolation_kohm >= 0 AND internal_resistance_mohm >= 0 AND fast_charge_count >= 0)
);

COMMENT ON TABLE auto.hv_battery_test IS
    'State-of-health, isolation and cell-balance test of a traction battery.';
COMMENT ON COLUMN auto.hv_battery_test.cell_voltages IS
    'What each cell read: [{"cell": 1, "volts": 3.71, "celsius": 24}].';

-- FK: the health of a pack over time.
CREATE INDEX hv_battery_test_hv_battery_pack_idx
    ON auto.hv_battery_test (business_id, hv_battery_pack_id, tested_at DESC);

-- FK: the tests of a scan.
CREATE INDEX hv_battery_test_diagnostic_session_idx
    ON auto.hv_battery_test (business_id, diagnostic_session_id)
    WHERE diagnostic_session_id IS NOT NULL;

-- FK: the tests of a job.
CREATE INDEX hv_battery_test_repair_job_idx
    ON auto.hv_battery_test (business_id, repair_job_id)
    WHERE repair_job_id IS NOT NULL;

-- FK: what a technician tested.
CREATE INDEX hv_battery_test_technician_idx ON auto.hv_battery_test (business_id, technician_id);

ALTER TABLE auto.hv_battery_test ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.hv_battery_test
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.hv_battery_test TO app_user;
GRANT SELECT ON auto.hv_battery_test TO app_readonly;

CREATE TRIGGER hv_battery_test_touch
    BEFORE UPDATE ON auto.hv_battery_test
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION auto.judge_battery() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    pack record;
BEGIN
    SELECT p.nominal_v, p.vehicle_id INTO pack
    FROM auto.hv_battery_pack AS p
    WHERE p.business_id = NEW.business_id AND p.hv_battery_pack_id = NEW.hv_battery_pack_id;
    -- ISO 6469-3: 500 ohm a volt; below, the body of the vehicle may be live.
    IF NEW.isolation_kohm * 1000 < pack.nominal_v * 500
       AND NEW.result NOT IN ('fail', 'quarantine') THEN
        NEW.result := 'fail';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.judge_battery() IS
    'An isolation below 500 ohm a volt of the pack fails, whatever was entered.';

CREATE TRIGGER hv_battery_test_judge
    BEFORE INSERT OR UPDATE OF isolation_kohm, result ON auto.hv_battery_test
    FOR EACH ROW WHEN (NEW.isolation_kohm IS NOT NULL)
    EXECUTE FUNCTION auto.judge_battery();

CREATE FUNCTION auto.outlying_cells(p_hv_battery_test_id uuid)
    RETURNS TABLE (cell integer, volts numeric, celsius numeric, deviations numeric)
    LANGUAGE sql STABLE AS $$
    SELECT n.cell, n.volts, n.celsius, round((n.volts - n.middle) / n.spread, 1)
    FROM (
        SELECT c.*, avg(c.volts) OVER () AS middle, nullif(stddev_pop(c.volts) OVER (), 0) AS spread
        FROM auto.hv_battery_test AS t
        CROSS JOIN JSON_TABLE(
            t.cell_voltages, '$[*]'
            COLUMNS (cell integer PATH '$.cell', volts numeric PATH '$.volts',
                     celsius numeric PATH '$.celsius')) AS c
        WHERE t.business_id = tenant_mgmt.current_business_id()
          AND t.hv_battery_test_id = p_hv_battery_test_id
    ) AS n
    WHERE abs(n.volts - n.middle) > 3 * n.spread
    ORDER BY abs(n.volts - n.middle) DESC, n.cell
$$;
COMMENT ON FUNCTION auto.outlying_cells(uuid) IS
    'The cells of a test more than three standard deviations from the mean voltage, the worst
     first: a weak cell shows here before the pack is low.';

CREATE FUNCTION auto.hold_bay_for_fire_watch() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE auto.bay AS b
    SET status = 'out_of_service'
    FROM auto.hv_battery_pack AS p
    JOIN auto.repair_order AS o
        ON o.business_id = p.business_id AND o.vehicle_id = p.vehicle_id
       AND o.status NOT IN ('closed', 'cancelled')
    WHERE p.business_id = NEW.business_id AND p.hv_battery_pack_id = NEW.hv_battery_pack_id
      AND b.business_id = o.business_id AND b.bay_id = o.current_bay_id
      AND b.status IN ('open', 'occupied') AND row_security_active(TG_RELID);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.hold_bay_for_fire_watch() IS
    'A pack in quarantine closes the bay that its vehicle stands in: fire watch.';

CREATE TRIGGER hv_battery_test_fire_watch
    AFTER INSERT ON auto.hv_battery_test
    FOR EACH ROW WHEN (NEW.result = 'quarantine')
    EXECUTE FUNCTION auto.hold_bay_for_fire_watch();


CREATE TABLE auto.hv_power_down (
    business_id               uuid                    NOT NULL,
    hv_power_down_id          uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    isolated_by_technician_id uuid                    NOT NULL,
    verified_by_technician_id uuid,
    repair_job_id             uuid                    NOT NULL,
    vehicle_id                uuid                    NOT NULL,
    started_at                timestamptz             NOT NULL DEFAULT now(),
    service_plug_removed_at   timestamptz,
    wait_minutes              integer                 NOT NULL DEFAULT 10,
    verified_zero_at          timestamptz,
    measured_v                system_core.quantity,
    ppe_check                 system_core.json_object NOT NULL DEFAULT '{}',
    lock_number               text                    NOT NULL,
    glove_class               text                    NOT NULL DEFAULT 'class_0',
    glove_test_expires_on     date                    NOT NULL,
    re_energized_at           timestamptz,
    status                    text                    NOT NULL DEFAULT 'planned',
    created_at                timestamptz             NOT NULL DEFAULT now(),
    updated_at                timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, hv_power_down_id),
    FOREIGN KEY (business_id, isolated_by_technician_id)
        REFERENCES auto.technician (business_id, technician_id),
    FOREIGN KEY (business_id, verified_by_technician_id)
        REFERENCES auto.technician (business_id, technician_id),
    FOREIGN KEY (business_id, repair_job_id)
        REFERENCES auto.repair_job (business_id, repair_job_id),
    FOREIGN KEY (business_id, vehicle_id) REFERENCES auto.vehicle (business_id, vehicle_id),
    CONSTRAINT hv_power_down_glove_class_known
        CHECK (glove_class IN ('class_00', 'class_0', 'class_1')),
    CONSTRAINT hv_power_down_status_known
        CHECK (status IN ('planned', 'isolated', 'verified', 're_energized', 'aborted')),
    CONSTRAINT hv_power_down_moves_in_order
        CHECK (service_plug_removed_at >= started_at
               AND verified_zero_at >= service_plug_removed_at
               AND re_energized_at >= verified_zero_at),
    CONSTRAINT hv_power_down_zero_is_measured
        CHECK (verified_zero_at IS NULL OR (measured_v IS NOT NULL AND measured_v < 60)),
    CONSTRAINT hv_power_down_waited
        CHECK (verified_zero_at IS NULL
               OR verified_zero_at >= service_plug_removed_at
                                      + make_interval(mins => wait_minutes)),
    CONSTRAINT hv_power_down_second_person
        CHECK (verified_by_technician_id <> isolated_by_technician_id),
    CONSTRAINT hv_power_down_verified_by_somebody
        CHECK (status NOT IN ('verified', 're_energized')
               OR (verified_zero_at IS NOT NULL AND verified_by_technician_id IS NOT NULL)),
    CONSTRAINT hv_power_down_gloves_in_test
        CHECK (glove_test_expires_on >= (started_at AT TIME ZONE 'UTC')::date)
);

COMMENT ON TABLE auto.hv_power_down IS
    'High-voltage lockout: who isolated, verified absence of voltage and re-energized.';

-- FK: what a technician isolated.
CREATE INDEX hv_power_down_isolated_by_technician_idx
    ON auto.hv_power_down (business_id, isolated_by_technician_id);

-- FK: what a technician verified.
CREATE INDEX hv_power_down_verified_by_technician_idx
    ON auto.hv_power_down (business_id, verified_by_technician_id)
    WHERE verified_by_technician_id IS NOT NULL;

-- FK: the lock-outs of a job.
CREATE INDEX hv_power_down_repair_job_idx ON auto.hv_power_down (business_id, repair_job_id);

-- FK: the lock-outs of a vehicle.
CREATE INDEX hv_power_down_vehicle_idx ON auto.hv_power_down (business_id, vehicle_id);

ALTER TABLE auto.hv_power_down ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.hv_power_down
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.hv_power_down TO app_user;
GRANT SELECT ON auto.hv_power_down TO app_readonly;

CREATE TRIGGER hv_power_down_touch
    BEFORE UPDATE ON auto.hv_power_down
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER hv_power_down_status_machine
    BEFORE INSERT OR UPDATE OF status ON auto.hv_power_down
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["planned"],
        "transitions": {
            "planned":      ["isolated", "aborted"],
            "isolated":     ["verified", "aborted"],
            "verified":     ["re_energized"],
            "re_energized": [],
            "aborted":      []
        }}');
