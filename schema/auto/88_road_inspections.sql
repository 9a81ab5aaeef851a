/*
 * Inspections that let a vehicle on the road. A DOT inspection is that of a commercial vehicle
 * (49 CFR 396.17, every year, kept 14 months); a state inspection is a safety or emissions test
 * with a certificate. A failed test is repeated after repair, and the retest names the first.
 */

CREATE TABLE auto.dot_inspection (
    business_id             uuid                    NOT NULL,
    dot_inspection_id       uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    inspector_technician_id uuid                    NOT NULL,
    report_file_id          uuid,
    vehicle_id              uuid                    NOT NULL,
    fleet_account_id        uuid,
    repair_order_id         uuid,
    inspection_number       text                    NOT NULL,
    inspection_kind         text                    NOT NULL,
    inspected_on            date                    NOT NULL,
    odometer                integer,
    carrier_usdot_number    text,
    inspector_qualification text                    NOT NULL,
    item_results            system_core.json_object,
    defect_count            integer                 NOT NULL DEFAULT 0,
    out_of_service_count    integer                 NOT NULL DEFAULT 0,
    result                  text                    NOT NULL,
    decal_number            text,
    valid_until_on          date,
    retain_until_on         date,
    carrier_certified_on    date,
    created_at              timestamptz             NOT NULL DEFAULT now(),
    updated_at              timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, dot_inspection_id),
    UNIQUE (business_id, inspection_number),
    FOREIGN KEY (business_id, inspector_technician_id)
        REFERENCES auto.technician (business_id, technician_id),
    FOREIGN KEY (business_id, report_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, vehicle_id) REFERENCES auto.vehicle (business_id, vehicle_id),
    FOREIGN KEY (business_id, fleet_account_id)
        REFERENCES auto.fleet_account (business_id, fleet_account_id),
    FOREIGN KEY (business_id, repair_order_id)
        REFERENCES auto.repair_order (business_id, repair_order_id),
    CONSTRAINT dot_inspection_inspection_kind_known
        CHECK (inspection_kind IN ('annual_396_17', 'driver_post_trip', 'roadside_follow_up',
                                   'bit_90_day', 'brake_only')),
    CONSTRAINT dot_inspection_inspector_qualification_known
        CHECK (inspector_qualification IN ('training', 'experience', 'state_program')),
    CONSTRAINT dot_inspection_result_known
        CHECK (result IN ('pass', 'pass_after_repair', 'fail')),
    CONSTRAINT dot_inspection_pass_has_none_out_of_service
        CHECK (result <> 'pass' OR out_of_service_count = 0),
    CONSTRAINT dot_inspection_defects_bounded
        CHECK (out_of_service_count BETWEEN 0 AND defect_count),
    CONSTRAINT dot_inspection_annual_valid_twelve_months
        CHECK (inspection_kind <> 'annual_396_17' OR valid_until_on <= (date_trunc('month',
               inspected_on::timestamp) + interval '13 months - 1 day')::date),
    CONSTRAINT dot_inspection_annual_retained_14_months
        CHECK (inspection_kind <> 'annual_396_17'
               OR retain_until_on >= (inspected_on + interval '14 months')::date)
);

COMMENT ON TABLE auto.dot_inspection IS
    'Annual or post-repair inspection of a commercial vehicle (49 CFR 396.17) with item results.';

-- FK: the dot inspections by their inspector technician.
CREATE INDEX dot_inspection_inspector_technician_idx
    ON auto.dot_inspection (business_id, inspector_technician_id);

-- FK: the dot inspections by their report file.
CREATE INDEX dot_inspection_report_file_idx
    ON auto.dot_inspection (business_id, report_file_id)
    WHERE report_file_id IS NOT NULL;

-- FK: the dot inspections of a vehicle.
CREATE INDEX dot_inspection_vehicle_idx ON auto.dot_inspection (business_id, vehicle_id);

-- FK: the dot inspections of a fleet account.
CREATE INDEX dot_inspection_fleet_account_idx
    ON auto.dot_inspection (business_id, fleet_account_id)
    WHERE fleet_account_id IS NOT NULL;

-- FK: the dot inspections of a repair order.
CREATE INDEX dot_inspection_repair_order_idx
    ON auto.dot_inspection (business_id, repair_order_id)
    WHERE repair_order_id IS NOT NULL;

ALTER TABLE auto.dot_inspection ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.dot_inspection
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.dot_inspection TO app_user;
GRANT SELECT ON auto.dot_inspection TO app_readonly;

CREATE TRIGGER dot_inspection_touch
    BEFORE UPDATE ON auto.dot_inspection
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION auto.check_dot_inspector() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    IF NEW.inspector_qualification = 'experience' AND EXISTS (
        SELECT FROM auto.technician AS t
        WHERE t.business_id = NEW.business_id AND t.technician_id = NEW.inspector_technician_id
          AND t.hired_on <= NEW.inspected_on - interval '1 year') THEN
        RETURN NEW;
    END IF;
    IF NOT EXISTS (
        SELECT FROM auto.technician_certification AS c
        WHERE c.business_id = NEW.business_id AND c.technician_id = NEW.inspector_technician_id
          AND c.program = 'dot_brake_inspector' AND c.status IN ('valid', 'expiring')
          AND NEW.inspected_on >= coalesce(c.issued_on, '-infinity')
          AND NEW.inspected_on <= coalesce(c.expires_on, 'infinity')) THEN
        RAISE EXCEPTION 'technician % is no qualified inspector', NEW.inspector_technician_id
            USING ERRCODE = 'check_violation',
                  HINT = 'Name one with a dot_brake_inspector certificate or a year of experience.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.check_dot_inspector() IS
    'Who inspects a commercial vehicle holds a brake inspector certificate or has worked here for a
     year (49 CFR 396.19); history is imported as it was.';

CREATE TRIGGER dot_inspection_inspector
    BEFORE INSERT OR UPDATE OF inspector_technician_id, inspector_qualification, inspected_on
    ON auto.dot_inspection
    FOR EACH ROW EXECUTE FUNCTION auto.check_dot_inspector();


CREATE TABLE auto.state_inspection (
    business_id             uuid                    NOT NULL,
    state_inspection_id     uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    inspector_technician_id uuid                    NOT NULL,
    analyzer_equipment_id   uuid,
    retest_of_inspection_id uuid,
    vehicle_id              uuid                    NOT NULL,
    repair_order_id         uuid,
    diagnostic_session_id   uuid,
    program                 text                    NOT NULL,
    region_code             system_core.region,
    tested_at               timestamptz             NOT NULL,
    odometer                integer,
    mil_commanded_on        boolean                 NOT NULL DEFAULT false,
    bulb_check_ok           boolean                 NOT NULL DEFAULT false,
    unset_monitor_count     integer                 NOT NULL DEFAULT 0,
    readiness_ok            boolean                 NOT NULL DEFAULT false,
    permanent_dtc_count     integer                 NOT NULL DEFAULT 0,
    result                  text                    NOT NULL,
    certificate_number      text,
    sticker_number          text,
    fee_amount              system_core.money       NOT NULL DEFAULT 0,
    state_fee_amount        system_core.money       NOT NULL DEFAULT 0,
    valid_until_on          date,
    transmission_document   system_core.json_object,
    created_at              timestamptz             NOT NULL DEFAULT now(),
    updated_at              timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, state_inspection_id),
    FOREIGN KEY (business_id, inspector_technician_id)
        REFERENCES auto.technician (business_id, technician_id),
    FOREIGN KEY (business_id, analyzer_equipment_id)
        REFERENCES auto.shop_equipment (business_id, shop_equipment_id),
    FOREIGN KEY (business_id, retest_of_inspection_id)
        REFERENCES auto.state_inspection (business_id, state_inspection_id),
    FOREIGN KEY (business_id, vehicle_id) REFERENCES auto.vehicle (business_id, vehicle_id),
    FOREIGN KEY (business_id, repair_order_id)
        REFERENCES auto.repair_order (business_id, repair_order_id),
    FOREIGN KEY (business_id, diagnostic_session_id)
        REFERENCES auto.diagnostic_session (business_id, diagnostic_session_id),
    CONSTRAINT state_inspection_program_known
        CHECK (program IN ('safety', 'obd_emissions', 'tailpipe', 'opacity', 'vin_verification',
                           'brake_lamp')),
    CONSTRAINT state_inspection_emissions_pass_without_mil
        CHECK (program <> 'obd_emissions' OR result <> 'pass'
               OR NOT mil_commanded_on AND bulb_check_ok),
    CONSTRAINT state_inspection_ready_with_few_unset
        CHECK (NOT readiness_ok OR unset_monitor_count <= 2),
    CONSTRAINT state_inspection_counts_not_negative
        CHECK (unset_monitor_count >= 0 AND permanent_dtc_count >= 0),
    CONSTRAINT state_inspection_is_not_own_retest
        CHECK (retest_of_inspection_id <> state_inspection_id),
    CONSTRAINT state_inspection_result_known
        CHECK (result IN ('pass', 'fail', 'reject', 'waiver', 'aborted'))
);

COMMENT ON TABLE auto.state_inspection IS
    'State safety or emissions test with OBD result, certificate and sticker.';

-- WHERE certificate_number IS NOT NULL: one a certificate number.
CREATE UNIQUE INDEX state_inspection_region_code_certificate_number_idx
    ON auto.state_inspection (business_id, region_code, certificate_number)
    WHERE certificate_number IS NOT NULL;

-- FK: the state inspections by their inspector technician.
CREATE INDEX state_inspection_inspector_technician_idx
    ON auto.state_inspection (business_id, inspector_technician_id);

-- FK: the state inspections by their analyzer equipment.
CREATE INDEX state_inspection_analyzer_equipment_idx
    ON auto.state_inspection (business_id, analyzer_equipment_id)
    WHERE analyzer_equipment_id IS NOT NULL;

-- FK: the state inspections by their retest of inspection.
CREATE INDEX state_inspection_retest_of_inspection_idx
    ON auto.state_inspection (business_id, retest_of_inspection_id)
    WHERE retest_of_inspection_id IS NOT NULL;

-- FK: the state inspections of a vehicle.
CREATE INDEX state_inspection_vehicle_idx ON auto.state_inspection (business_id, vehicle_id);

-- FK: the state inspections of a repair order.
CREATE INDEX state_inspection_repair_order_idx
    ON auto.state_inspection (business_id, repair_order_id)
    WHERE repair_order_id IS NOT NULL;

-- FK: the state inspections of a diagnostic session.
CREATE INDEX state_inspection_diagnostic_session_idx
    ON auto.state_inspection (business_id, diagnostic_session_id)
    WHERE diagnostic_session_id IS NOT NULL;

ALTER TABLE auto.state_inspection ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.state_inspection
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.state_inspection TO app_user;
GRANT SELECT ON auto.state_inspection TO app_readonly;

CREATE TRIGGER state_inspection_touch
    BEFORE UPDATE ON auto.state_inspection
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION auto.unset_monitors_allowed(model_year integer) RETURNS integer
    LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN model_year >= 2001 THEN 1 WHEN model_year >= 1996 OR model_year IS NULL THEN 2
                ELSE 0 END;
COMMENT ON FUNCTION auto.unset_monitors_allowed(integer) IS
    'How many monitors may be unset: one from model year 2001, two from 1996; a vehicle whose year
     is not known is judged by the milder rule.';

CREATE FUNCTION auto.check_state_inspection() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    year_of_model integer;
BEGIN
    IF NEW.readiness_ok THEN
        SELECT c.model_year INTO year_of_model
        FROM auto.vehicle AS v
        LEFT JOIN auto.vehicle_configuration AS c
          ON c.business_id = v.business_id
         AND c.vehicle_configuration_id = v.vehicle_configuration_id
        WHERE v.business_id = NEW.business_id AND v.vehicle_id = NEW.vehicle_id;
        IF NEW.unset_monitor_count > auto.unset_monitors_allowed(year_of_model) THEN
            RAISE EXCEPTION '% monitors are unset, model year % allows %',
                NEW.unset_monitor_count, year_of_model, auto.unset_monitors_allowed(year_of_model)
                USING ERRCODE = 'check_violation',
                      HINT = 'Complete a drive cycle and test again.';
        END IF;
    END IF;
    IF NEW.retest_of_inspection_id IS NOT NULL THEN
        IF NOT EXISTS (
            SELECT FROM auto.state_inspection AS f
            WHERE f.business_id = NEW.business_id
              AND f.state_inspection_id = NEW.retest_of_inspection_id
              AND f.vehicle_id = NEW.vehicle_id AND f.program = NEW.program
              AND f.result IN ('fail', 'reject')
              AND NEW.tested_at > f.tested_at
              AND NEW.tested_at <= f.tested_at + interval '60 days') THEN
            RAISE EXCEPTION 'a retest repeats a failed test of the vehicle within 60 days'
                USING ERRCODE = 'check_violation';
        END IF;
    ELSIF NEW.fee_amount = 0 AND EXISTS (
        SELECT FROM auto.state_inspection AS f
        WHERE f.business_id = NEW.business_id AND f.vehicle_id = NEW.vehicle_id
          AND f.program = NEW.program AND f.result IN ('fail', 'reject')
          AND f.state_inspection_id <> NEW.state_inspection_id
          AND NEW.tested_at > f.tested_at
          AND NEW.tested_at <= f.tested_at + interval '60 days') THEN
        RAISE EXCEPTION 'a free retest names the failed inspection'
            USING ERRCODE = 'check_violation', COLUMN = 'retest_of_inspection_id';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.check_state_inspection() IS
    'Readiness allows what the model year allows; a retest names the failed test of the same vehicle
     and program within 60 days, and a free one cannot do without.';

CREATE TRIGGER state_inspection_check
    BEFORE INSERT OR UPDATE ON auto.state_inspection
    FOR EACH ROW EXECUTE FUNCTION auto.check_state_inspection();
