/*
 * What a shop owes the environment. Refrigerant is bought and recovered in cylinders; only a
 * technician with a section 609 certificate services air conditioning, with a machine and cylinders
 * of the right refrigerant, and each service moves weight from vehicle to recovery cylinder and
 * from charge cylinder to vehicle. Waste streams say what is generated and how long it may stand;
 * manifests and their lines say what a hauler took and whether the signed copy came back. Used oil
 * is drained into tanks, burned or hauled; oil above 1000 ppm halogens counts as hazardous until
 * that is rebutted. How long a container may stand follows from the generator category of the shop.
 */

CREATE TABLE auto.refrigerant_cylinder (
    business_id                uuid                 NOT NULL,
    refrigerant_cylinder_id    uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    purchased_by_technician_id uuid,
    shop_id                    uuid                 NOT NULL,
    supplier_id                uuid,
    cylinder_serial            text                 NOT NULL,
    refrigerant_code           text                 NOT NULL,
    cylinder_kind              text                 NOT NULL,
    tare_lb                    system_core.quantity,
    water_capacity_lb          system_core.quantity NOT NULL,
    net_weight_lb              system_core.quantity NOT NULL DEFAULT 0,
    purchased_on               date,
    purchase_certificate_ref   text,
    retest_due_on              date,
    status                     text                 NOT NULL DEFAULT 'in_use',
    reclaim_shipped_on         date,
    reclaimer_epa_certificate  text,
    created_at                 timestamptz          NOT NULL DEFAULT now(),
    updated_at                 timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, refrigerant_cylinder_id),
    UNIQUE (business_id, cylinder_serial),
    FOREIGN KEY (business_id, purchased_by_technician_id)
        REFERENCES auto.technician (business_id, technician_id),
    FOREIGN KEY (business_id, shop_id) REFERENCES auto.shop (business_id, shop_id),
    FOREIGN KEY (business_id, supplier_id) REFERENCES auto.supplier (business_id, supplier_id),
    CONSTRAINT refrigerant_cylinder_refrigerant_code_known
        CHECK (refrigerant_code IN ('r134a', 'r1234yf', 'r12', 'r744', 'mixed_contaminated')),
    CONSTRAINT refrigerant_cylinder_cylinder_kind_known
        CHECK (cylinder_kind IN ('virgin', 'recovery', 'recycled', 'reclaim_outbound')),
    CONSTRAINT refrigerant_cylinder_status_known
        CHECK (status IN ('in_use', 'full', 'empty', 'returned', 'sent_to_reclaim')),
    CONSTRAINT refrigerant_cylinder_filled_to_80_percent
        CHECK (net_weight_lb BETWEEN 0 AND 0.8 * water_capacity_lb),
    CONSTRAINT refrigerant_cylinder_reclaim_names_reclaimer
        CHECK (status <> 'sent_to_reclaim' OR coalesce(reclaimer_epa_certificate, '') ~ '\S'),
    CONSTRAINT refrigerant_cylinder_over_2_lb_names_buyer
        CHECK (cylinder_kind NOT IN ('virgin', 'recycled') OR water_capacity_lb <= 2
               OR purchased_by_technician_id IS NOT NULL)
);

COMMENT ON TABLE auto.refrigerant_cylinder IS
    'Refrigerant supply or recovery cylinder with purchase proof and running weight.';
COMMENT ON COLUMN auto.refrigerant_cylinder.net_weight_lb IS
    'Refrigerant inside, moved by the services.';
COMMENT ON COLUMN auto.refrigerant_cylinder.purchased_by_technician_id IS
    'Holder of a section 609 certificate; required of what is bought filled and holds over 2 lb.';

-- FK: the refrigerant cylinders by their purchased by technician.
CREATE INDEX refrigerant_cylinder_purchased_by_technician_idx
    ON auto.refrigerant_cylinder (business_id, purchased_by_technician_id)
    WHERE purchased_by_technician_id IS NOT NULL;

-- FK: the refrigerant cylinders of a shop.
CREATE INDEX refrigerant_cylinder_shop_idx ON auto.refrigerant_cylinder (business_id, shop_id);

-- FK: the refrigerant cylinders of a supplier.
CREATE INDEX refrigerant_cylinder_supplier_idx
    ON auto.refrigerant_cylinder (business_id, supplier_id)
    WHERE supplier_id IS NOT NULL;

ALTER TABLE auto.refrigerant_cylinder ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.refrigerant_cylinder
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.refrigerant_cylinder TO app_user;
GRANT SELECT ON auto.refrigerant_cylinder TO app_readonly;

CREATE TRIGGER refrigerant_cylinder_touch
    BEFORE UPDATE ON auto.refrigerant_cylinder
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER refrigerant_cylinder_state_machine
    BEFORE INSERT OR UPDATE OF status ON auto.refrigerant_cylinder
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["in_use", "full", "empty"],
        "transitions": {
            "in_use":          ["full", "empty", "returned", "sent_to_reclaim"],
            "full":            ["in_use", "returned", "sent_to_reclaim"],
            "empty":           ["in_use", "returned"],
            "sent_to_reclaim": ["empty", "returned"],
            "returned":        []
        }}');

CREATE FUNCTION auto.check_cylinder_buyer() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) AND NOT EXISTS (
        SELECT FROM auto.technician_certification AS c
        WHERE c.business_id = NEW.business_id
          AND c.technician_id = NEW.purchased_by_technician_id
          AND c.program = 'epa_609' AND c.status IN ('valid', 'expiring')
          AND coalesce(c.issued_on, '-infinity') <= coalesce(NEW.purchased_on, 'infinity')) THEN
        RAISE EXCEPTION 'technician % may not buy refrigerant', NEW.purchased_by_technician_id
            USING ERRCODE = 'check_violation',
                  HINT = 'Name a buyer with a section 609 certificate.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.check_cylinder_buyer() IS
    'Who buys refrigerant holds a section 609 certificate; history is imported as it was.';

CREATE TRIGGER refrigerant_cylinder_buyer
    BEFORE INSERT OR UPDATE OF purchased_by_technician_id, purchased_on
    ON auto.refrigerant_cylinder
    FOR EACH ROW WHEN (NEW.purchased_by_technician_id IS NOT NULL)
    EXECUTE FUNCTION auto.check_cylinder_buyer();


CREATE TABLE auto.refrigerant_service (
    business_id            uuid                   NOT NULL,
    refrigerant_service_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    machine_equipment_id   uuid                   NOT NULL,
    recovery_cylinder_id   uuid,
    charge_cylinder_id     uuid,
    repair_job_id          uuid                   NOT NULL,
    vehicle_id             uuid                   NOT NULL,
    technician_id          uuid                   NOT NULL,
    serviced_at            timestamptz            NOT NULL,
    refrigerant_code       text                   NOT NULL,
    identifier_result      text                   NOT NULL,
    purity_pct             system_core.percentage,
    recovered_lb           system_core.quantity   NOT NULL DEFAULT 0,
    charged_lb             system_core.quantity   NOT NULL DEFAULT 0,
    oil_added_oz           system_core.quantity,
    spec_charge_lb         system_core.quantity,
    leak_found             boolean                NOT NULL DEFAULT false,
    leak_method            text,
    leak_component         text,
    vent_temp_c            system_core.quantity,
    certificate_number     text,
    high_side_psi          system_core.quantity,
    low_side_psi           system_core.quantity,
    created_at             timestamptz            NOT NULL DEFAULT now(),
    updated_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, refrigerant_service_id),
    FOREIGN KEY (business_id, machine_equipment_id)
        REFERENCES auto.shop_equipment (business_id, shop_equipment_id),
    FOREIGN KEY (business_id, recovery_cylinder_id)
        REFERENCES auto.refrigerant_cylinder (business_id, refrigerant_cylinder_id),
    FOREIGN KEY (business_id, charge_cylinder_id)
        REFERENCES auto.refrigerant_cylinder (business_id, refrigerant_cylinder_id),
    FOREIGN KEY (business_id, repair_job_id)
        REFERENCES auto.repair_job (business_id, repair_job_id),
    FOREIGN KEY (business_id, vehicle_id) REFERENCES auto.vehicle (business_id, vehicle_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES auto.technician (business_id, technician_id),
    CONSTRAINT refrigerant_service_refrigerant_code_known
        CHECK (refrigerant_code IN ('r134a', 'r1234yf', 'r12', 'r744')),
    CONSTRAINT refrigerant_service_identifier_result_known
        CHECK (identifier_result IN ('pure', 'contaminated', 'not_tested')),
    CONSTRAINT refrigerant_service_leak_method_known
        CHECK (leak_method IN ('dye', 'electronic', 'nitrogen', 'vacuum_decay', 'none')),
    CONSTRAINT refrigerant_service_charge_within_spec
        CHECK (charged_lb <= 1.1 * spec_charge_lb),
    CONSTRAINT refrigerant_service_weights_not_negative
        CHECK (recovered_lb >= 0 AND charged_lb >= 0),
    CONSTRAINT refrigerant_service_contaminated_not_charged
        CHECK (identifier_result <> 'contaminated' OR charged_lb = 0)
);

COMMENT ON TABLE auto.refrigerant_service IS
    'Recovery, leak test and charge of one vehicle by a section 609 technician.';

-- FK: the refrigerant services by their machine equipment.
CREATE INDEX refrigerant_service_machine_equipment_idx
    ON auto.refrigerant_service (business_id, machine_equipment_id);

-- FK: the refrigerant services by their recovery cylinder.
CREATE INDEX refrigerant_service_recovery_cylinder_idx
    ON auto.refrigerant_service (business_id, recovery_cylinder_id)
    WHERE recovery_cylinder_id IS NOT NULL;

-- FK: the refrigerant services by their charge cylinder.
CREATE INDEX refrigerant_service_charge_cylinder_idx
    ON auto.refrigerant_service (business_id, charge_cylinder_id)
    WHERE charge_cylinder_id IS NOT NULL;

-- FK: the refrigerant services of a repair job.
CREATE INDEX refrigerant_service_repair_job_idx
    ON auto.refrigerant_service (business_id, repair_job_id);

-- FK: the refrigerant services of a vehicle.
CREATE INDEX refrigerant_service_vehicle_idx
    ON auto.refrigerant_service (business_id, vehicle_id);

-- FK: the refrigerant services of a technician.
CREATE INDEX refrigerant_service_technician_idx
    ON auto.refrigerant_service (business_id, technician_id);

ALTER TABLE auto.refrigerant_service ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.refrigerant_service
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.refrigerant_service TO app_user;
GRANT SELECT ON auto.refrigerant_service TO app_readonly;

CREATE TRIGGER refrigerant_service_touch
    BEFORE UPDATE ON auto.refrigerant_service
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION auto.check_refrigerant_service() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    IF NOT EXISTS (
        SELECT FROM auto.technician_certification AS c
        WHERE c.business_id = NEW.business_id AND c.technician_id = NEW.technician_id
          AND c.program = 'epa_609' AND c.status IN ('valid', 'expiring')
          AND coalesce(c.issued_on, '-infinity') <= NEW.serviced_at::date) THEN
        RAISE EXCEPTION 'technician % holds no section 609 certificate', NEW.technician_id
            USING ERRCODE = 'check_violation',
                  HINT = 'Let a certified technician service air conditioning.';
    END IF;
    IF NOT EXISTS (
        SELECT FROM auto.shop_equipment AS e
        WHERE e.business_id = NEW.business_id
          AND e.shop_equipment_id = NEW.machine_equipment_id
          AND e.equipment_kind = 'refrigerant_machine'
          AND e.refrigerant_code = NEW.refrigerant_code) THEN
        RAISE EXCEPTION 'the machine does not handle %', NEW.refrigerant_code
            USING ERRCODE = 'check_violation',
                  HINT = 'Use a refrigerant machine for this refrigerant.';
    END IF;
    IF EXISTS (
        SELECT FROM auto.refrigerant_cylinder AS c
        WHERE c.business_id = NEW.business_id
          AND (c.refrigerant_cylinder_id = NEW.charge_cylinder_id
               AND c.refrigerant_code <> NEW.refrigerant_code
               OR c.refrigerant_cylinder_id = NEW.recovery_cylinder_id
               AND c.refrigerant_code <> CASE NEW.identifier_result
                       WHEN 'contaminated' THEN 'mixed_contaminated'
                       ELSE NEW.refrigerant_code END)) THEN
        RAISE EXCEPTION 'a cylinder does not hold %', NEW.refrigerant_code
            USING ERRCODE = 'check_violation',
                  HINT = 'Contaminated refrigerant goes to a mixed_contaminated cylinder.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.check_refrigerant_service() IS
    'A section 609 technician services with machine and cylinders of the refrigerant; history is
     imported as it was.';

CREATE TRIGGER refrigerant_service_check
    BEFORE INSERT OR UPDATE ON auto.refrigerant_service
    FOR EACH ROW EXECUTE FUNCTION auto.check_refrigerant_service();

CREATE FUNCTION auto.move_refrigerant() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active('auto.refrigerant_service') THEN
        RETURN NULL;
    END IF;
    PERFORM 1 FROM auto.refrigerant_cylinder AS c
    JOIN (SELECT business_id, recovery_cylinder_id AS id FROM made
          UNION SELECT business_id, charge_cylinder_id FROM made) AS m
      ON m.business_id = c.business_id AND m.id = c.refrigerant_cylinder_id
    ORDER BY c.refrigerant_cylinder_id FOR NO KEY UPDATE OF c;
    UPDATE auto.refrigerant_cylinder AS c
    SET net_weight_lb = c.net_weight_lb + m.moved_lb
    FROM (
        SELECT w.business_id, w.id, sum(w.lb) AS moved_lb
        FROM (SELECT business_id, recovery_cylinder_id AS id, recovered_lb AS lb FROM made
              UNION ALL
              SELECT business_id, charge_cylinder_id, -charged_lb FROM made) AS w
        WHERE w.id IS NOT NULL
        GROUP BY w.business_id, w.id
    ) AS m
    WHERE c.business_id = m.business_id AND c.refrigerant_cylinder_id = m.id
      AND m.moved_lb <> 0;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.move_refrigerant() IS
    'Moves what services recovered and charged in and out of their cylinders, locked in order.';

CREATE TRIGGER refrigerant_service_move
    AFTER INSERT ON auto.refrigerant_service
    REFERENCING NEW TABLE AS made
    FOR EACH STATEMENT EXECUTE FUNCTION auto.move_refrigerant();


CREATE TABLE auto.waste_stream (
    business_id             uuid                 NOT NULL,
    waste_stream_id         uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    hauler_supplier_id      uuid,
    shop_id                 uuid                 NOT NULL,
    stream_code             system_core.code     NOT NULL,
    name                    text                 NOT NULL,
    waste_kind              text                 NOT NULL,
    epa_waste_codes         text[]               NOT NULL DEFAULT '{}',
    dot_shipping_name       text,
    un_number               text,
    is_hazardous            boolean              NOT NULL DEFAULT false,
    is_universal_waste      boolean              NOT NULL DEFAULT false,
    is_mixed_with_solvent   boolean              NOT NULL DEFAULT false,
    is_hauled_over_200_mi   boolean              NOT NULL DEFAULT false,
    container_kind          text                 NOT NULL,
    accumulation_limit_days integer,
    accumulation_started_on date,
    on_site_kg              system_core.quantity,
    determination_text      text,
    created_at              timestamptz          NOT NULL DEFAULT now(),
    updated_at              timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, waste_stream_id),
    UNIQUE (business_id, shop_id, stream_code),
    FOREIGN KEY (business_id, hauler_supplier_id)
        REFERENCES auto.supplier (business_id, supplier_id),
    FOREIGN KEY (business_id, shop_id) REFERENCES auto.shop (business_id, shop_id),
    CONSTRAINT waste_stream_waste_kind_known
        CHECK (waste_kind IN ('used_oil', 'oil_filters', 'antifreeze', 'solvent', 'paint',
                              'lead_acid_battery', 'hv_battery', 'brake_cleaner', 'fluorescent',
                              'contaminated_rags', 'scrap_tires', 'catalytic_converter')),
    CONSTRAINT waste_stream_container_kind_known
        CHECK (container_kind IN ('drum_55', 'tank', 'tote', 'pail', 'pallet', 'rack')),
    CONSTRAINT waste_stream_hazardous_has_codes
        CHECK (NOT is_hazardous OR cardinality(epa_waste_codes) > 0 AND un_number IS NOT NULL),
    CONSTRAINT waste_stream_accumulation_bounded
        CHECK (accumulation_limit_days > 0
               AND (NOT is_universal_waste OR accumulation_limit_days <= 365)),
    CONSTRAINT waste_stream_mixed_oil_is_hazardous
        CHECK (waste_kind <> 'used_oil' OR NOT is_mixed_with_solvent OR is_hazardous),
    CONSTRAINT waste_stream_on_site_not_negative CHECK (on_site_kg >= 0)
);

COMMENT ON TABLE auto.waste_stream IS
    'Waste kind generated, its codes, container limits and accumulation clock.';
COMMENT ON COLUMN auto.waste_stream.accumulation_limit_days IS
    'Days that a container may stand: 90 for a large generator, 180 for a small one (270 beyond
     200 miles), 365 for universal waste; a very small generator has no limit.';
COMMENT ON COLUMN auto.waste_stream.is_mixed_with_solvent IS
    'Used oil with solvent in it is no longer used oil but hazardous waste (40 CFR 279.10).';

-- FK: the waste streams by their hauler supplier.
CREATE INDEX waste_stream_hauler_supplier_idx
    ON auto.waste_stream (business_id, hauler_supplier_id)
    WHERE hauler_supplier_id IS NOT NULL;

ALTER TABLE auto.waste_stream ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.waste_stream
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.waste_stream TO app_user;
GRANT SELECT ON auto.waste_stream TO app_readonly;

CREATE TRIGGER waste_stream_touch
    BEFORE UPDATE ON auto.waste_stream
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION auto.accumulation_limit(
    generator_category text, is_hazardous boolean, is_universal_waste boolean,
    is_hauled_over_200_mi boolean
) RETURNS integer
    LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN is_universal_waste THEN 365
                WHEN NOT is_hazardous THEN NULL
                WHEN generator_category = 'lqg' THEN 90
                WHEN generator_category = 'sqg' AND is_hauled_over_200_mi THEN 270
                WHEN generator_category = 'sqg' THEN 180 END;
COMMENT ON FUNCTION auto.accumulation_limit(text, boolean, boolean, boolean) IS
    'Days that waste may stand at a generator (40 CFR 262.16, 262.17, 273.15); NULL without limit.';

CREATE FUNCTION auto.determine_waste_stream() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    limit_days integer;
BEGIN
    IF NEW.waste_kind = 'used_oil' AND NEW.is_mixed_with_solvent THEN
        NEW.is_hazardous := true;
    END IF;
    SELECT auto.accumulation_limit(s.generator_category, NEW.is_hazardous,
                                   NEW.is_universal_waste, NEW.is_hauled_over_200_mi)
    INTO limit_days
    FROM auto.shop AS s
    WHERE s.business_id = NEW.business_id AND s.shop_id = NEW.shop_id;
    IF NEW.accumulation_limit_days > limit_days THEN
        RAISE EXCEPTION 'stream % may stand % days at most', NEW.stream_code, limit_days
            USING ERRCODE = 'check_violation',
                  HINT = 'The limit follows from the generator category of the shop.';
    END IF;
    NEW.accumulation_limit_days := coalesce(NEW.accumulation_limit_days, limit_days);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.determine_waste_stream() IS
    'Used oil mixed with solvent becomes hazardous; the limit is that of the generator category.';

CREATE TRIGGER waste_stream_determine
    BEFORE INSERT OR UPDATE ON auto.waste_stream
    FOR EACH ROW EXECUTE FUNCTION auto.determine_waste_stream();

CREATE FUNCTION auto.tighten_waste_limits() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE auto.waste_stream AS w
    SET accumulation_limit_days = least(w.accumulation_limit_days, l.days)
    FROM auto.waste_stream AS x
    CROSS JOIN LATERAL (
        SELECT auto.accumulation_limit(NEW.generator_category, x.is_hazardous,
                                       x.is_universal_waste, x.is_hauled_over_200_mi) AS days
    ) AS l
    WHERE x.business_id = NEW.business_id AND x.shop_id = NEW.shop_id
      AND w.business_id = x.business_id AND w.waste_stream_id = x.waste_stream_id
      AND (w.accumulation_limit_days > l.days
           OR w.accumulation_limit_days IS NULL AND l.days IS NOT NULL);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.tighten_waste_limits() IS
    'A shop that generates more lets its containers stand no longer than its category allows.';

CREATE TRIGGER shop_tighten_waste_limits
    AFTER UPDATE OF generator_category ON auto.shop
    FOR EACH ROW WHEN (NEW.generator_category <> OLD.generator_category)
    EXECUTE FUNCTION auto.tighten_waste_limits();


CREATE TABLE auto.waste_manifest (
    business_id              uuid              NOT NULL,
    waste_manifest_id        uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    transporter_supplier_id  uuid              NOT NULL,
    signed_copy_file_id      uuid,
    signed_by_user_id        uuid,
    shop_id                  uuid              NOT NULL,
    manifest_tracking_number text              NOT NULL,
    manifest_kind            text              NOT NULL,
    generator_epa_id         text,
    transporter_epa_id       text,
    facility_epa_id          text,
    facility_name            text,
    emergency_phone          system_core.phone,
    shipped_on               date,
    transporter_signed_at    timestamptz,
    facility_received_on     date,
    copy_due_on              date,
    exception_report_on      date,
    discrepancy_kind         text              NOT NULL DEFAULT 'none',
    submission_mode          text              NOT NULL,
    status                   text              NOT NULL DEFAULT 'draft',
    retain_until_on          date,
    created_at               timestamptz       NOT NULL DEFAULT now(),
    updated_at               timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, waste_manifest_id),
    UNIQUE (business_id, manifest_tracking_number),
    FOREIGN KEY (business_id, transporter_supplier_id)
        REFERENCES auto.supplier (business_id, supplier_id),
    FOREIGN KEY (business_id, signed_copy_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, signed_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, shop_id) REFERENCES auto.shop (business_id, shop_id),
    CONSTRAINT waste_manifest_manifest_kind_known
        CHECK (manifest_kind IN ('epa_8700_22', 'bill_of_lading', 'universal_waste',
                                 'recycling_receipt')),
    CONSTRAINT waste_manifest_discrepancy_kind_known
        CHECK (discrepancy_kind IN ('none', 'quantity', 'type', 'residue', 'rejection')),
    CONSTRAINT waste_manifest_submission_mode_known
        CHECK (submission_mode IN ('paper', 'hybrid', 'electronic')),
    CONSTRAINT waste_manifest_status_known
        CHECK (status IN ('draft', 'signed', 'in_transit', 'received', 'exception', 'closed')),
    CONSTRAINT waste_manifest_received_after_shipped CHECK (facility_received_on >= shipped_on),
    CONSTRAINT waste_manifest_retained_three_years
        CHECK (retain_until_on >= shipped_on + interval '3 years'),
    CONSTRAINT waste_manifest_number_of_epa
        CHECK (manifest_kind <> 'epa_8700_22'
               OR manifest_tracking_number ~ '^[0-9]{9}[A-Z]{3}$')
);

COMMENT ON TABLE auto.waste_manifest IS
    'Uniform hazardous waste manifest or bill of lading with signatures and exception clock.';

-- FK: the waste manifests by their transporter supplier.
CREATE INDEX waste_manifest_transporter_supplier_idx
    ON auto.waste_manifest (business_id, transporter_supplier_id);

-- FK: the waste manifests by their signed copy file.
CREATE INDEX waste_manifest_signed_copy_file_idx
    ON auto.waste_manifest (business_id, signed_copy_file_id)
    WHERE signed_copy_file_id IS NOT NULL;

-- FK: the waste manifests by their signed by user.
CREATE INDEX waste_manifest_signed_by_user_idx
    ON auto.waste_manifest (business_id, signed_by_user_id)
    WHERE signed_by_user_id IS NOT NULL;

-- FK: the waste manifests of a shop.
CREATE INDEX waste_manifest_shop_idx ON auto.waste_manifest (business_id, shop_id);

ALTER TABLE auto.waste_manifest ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.waste_manifest
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.waste_manifest TO app_user;
GRANT SELECT ON auto.waste_manifest TO app_readonly;

CREATE TRIGGER waste_manifest_touch
    BEFORE UPDATE ON auto.waste_manifest
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER waste_manifest_state_machine
    BEFORE INSERT OR UPDATE OF status ON auto.waste_manifest
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":      ["signed"],
            "signed":     ["in_transit"],
            "in_transit": ["received", "exception"],
            "exception":  ["received", "closed"],
            "received":   ["closed"],
            "closed":     []
        }}');


CREATE TABLE auto.waste_manifest_line (
    business_id            uuid                 NOT NULL,
    waste_manifest_line_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    waste_manifest_id      uuid                 NOT NULL,
    waste_stream_id        uuid                 NOT NULL,
    line_no                integer              NOT NULL,
    dot_description        text,
    un_number              text,
    hazard_class           text,
    packing_group          text                 NOT NULL,
    container_count        integer              NOT NULL DEFAULT 1,
    container_kind         text                 NOT NULL,
    total_qty              system_core.quantity,
    unit_code              text                 NOT NULL,
    waste_codes            text[]               NOT NULL DEFAULT '{}',
    management_method_code system_core.code,
    received_qty           system_core.quantity,
    density_kg_per_l       system_core.quantity,
    created_at             timestamptz          NOT NULL DEFAULT now(),
    updated_at             timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, waste_manifest_line_id),
    UNIQUE (business_id, waste_manifest_id, line_no),
    FOREIGN KEY (business_id, waste_manifest_id)
        REFERENCES auto.waste_manifest (business_id, waste_manifest_id),
    FOREIGN KEY (business_id, waste_stream_id)
        REFERENCES auto.waste_stream (business_id, waste_stream_id),
    CONSTRAINT waste_manifest_line_packing_group_known
        CHECK (packing_group IN ('i', 'ii', 'iii', 'none')),
    CONSTRAINT waste_manifest_line_container_kind_known
        CHECK (container_kind IN ('dm', 'tt', 'dt', 'cm', 'cw', 'ba')),
    CONSTRAINT waste_manifest_line_unit_code_known
        CHECK (unit_code IN ('g', 'k', 'l', 'p', 'y', 't')),
    CONSTRAINT waste_manifest_line_container_count_positive CHECK (container_count > 0),
    CONSTRAINT waste_manifest_line_total_qty_positive CHECK (total_qty > 0),
    CONSTRAINT waste_manifest_line_at_most_six_codes CHECK (cardinality(waste_codes) <= 6)
);

COMMENT ON TABLE auto.waste_manifest_line IS
    'Waste line of a manifest with description, container and quantity.';

-- FK: the waste manifest lines of a waste stream.
CREATE INDEX waste_manifest_line_waste_stream_idx
    ON auto.waste_manifest_line (business_id, waste_stream_id);

ALTER TABLE auto.waste_manifest_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.waste_manifest_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.waste_manifest_line TO app_user;
GRANT SELECT ON auto.waste_manifest_line TO app_readonly;

CREATE TRIGGER waste_manifest_line_touch
    BEFORE UPDATE ON auto.waste_manifest_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION auto.note_quantity_discrepancies() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE auto.waste_manifest AS m
    SET discrepancy_kind = CASE WHEN l.differs THEN 'quantity' ELSE 'none' END
    FROM (
        SELECT x.business_id, x.waste_manifest_id,
               coalesce(bool_or(abs(x.received_qty - x.total_qty) > 0.1 * x.total_qty),
                        false) AS differs
        FROM auto.waste_manifest_line AS x
        WHERE (x.business_id, x.waste_manifest_id) IN (
            SELECT c.business_id, c.waste_manifest_id FROM changed AS c)
        GROUP BY x.business_id, x.waste_manifest_id
    ) AS l
    WHERE m.business_id = l.business_id AND m.waste_manifest_id = l.waste_manifest_id
      AND m.discrepancy_kind = CASE WHEN l.differs THEN 'none' ELSE 'quantity' END;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.note_quantity_discrepancies() IS
    'A quantity received that differs by more than a tenth is a discrepancy of the manifest until
     it is corrected; other kinds stay as somebody noted them.';

CREATE TRIGGER waste_manifest_line_discrepancy_insert
    AFTER INSERT ON auto.waste_manifest_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.note_quantity_discrepancies();

CREATE TRIGGER waste_manifest_line_discrepancy_update
    AFTER UPDATE ON auto.waste_manifest_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.note_quantity_discrepancies();


CREATE TABLE auto.used_oil_transaction (
    business_id             uuid                 NOT NULL,
    used_oil_transaction_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    transporter_supplier_id uuid,
    tank_equipment_id       uuid,
    shop_id                 uuid                 NOT NULL,
    repair_order_id         uuid,
    occurred_at             timestamptz          NOT NULL,
    transaction_kind        text                 NOT NULL,
    volume_gal              system_core.quantity,
    tank_level_gal          system_core.quantity,
    transporter_epa_id      text,
    bill_of_lading_ref      text,
    halogen_test_ppm        system_core.quantity,
    halogen_result          text                 NOT NULL DEFAULT 'below_1000',
    payment_received_amount system_core.money    NOT NULL DEFAULT 0,
    heater_btu_rating       integer,
    spill_report_ref        text,
    note_text               text,
    created_at              timestamptz          NOT NULL DEFAULT now(),
    updated_at              timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, used_oil_transaction_id),
    FOREIGN KEY (business_id, transporter_supplier_id)
        REFERENCES auto.supplier (business_id, supplier_id),
    FOREIGN KEY (business_id, tank_equipment_id)
        REFERENCES auto.shop_equipment (business_id, shop_equipment_id),
    FOREIGN KEY (business_id, shop_id) REFERENCES auto.shop (business_id, shop_id),
    FOREIGN KEY (business_id, repair_order_id)
        REFERENCES auto.repair_order (business_id, repair_order_id),
    CONSTRAINT used_oil_transaction_transaction_kind_known
        CHECK (transaction_kind IN ('drain_in', 'filter_drain', 'diy_accepted', 'heater_burned',
                                    'hauled', 'spill', 'tank_gauge')),
    CONSTRAINT used_oil_transaction_halogen_result_known
        CHECK (halogen_result IN ('below_1000', 'above_1000', 'rebutted')),
    CONSTRAINT used_oil_transaction_halogens_block_hauling
        CHECK (transaction_kind <> 'hauled' OR halogen_result <> 'above_1000'),
    CONSTRAINT used_oil_transaction_halogen_result_as_tested
        CHECK (halogen_test_ppm <= 1000 OR halogen_result <> 'below_1000'),
    CONSTRAINT used_oil_transaction_heater_bounded
        CHECK (transaction_kind <> 'heater_burned'
               OR heater_btu_rating IS NOT NULL AND heater_btu_rating BETWEEN 1 AND 500000),
    CONSTRAINT used_oil_transaction_hauled_has_transporter_epa_id
        CHECK (NOT (transaction_kind = 'hauled') OR (transporter_epa_id IS NOT NULL AND
               bill_of_lading_ref IS NOT NULL))
);

COMMENT ON TABLE auto.used_oil_transaction IS
    'Oil drained in, burned in a heater, or hauled away by a registered transporter (40 CFR 279).';

-- FK: the used oil transactions by their transporter supplier.
CREATE INDEX used_oil_transaction_transporter_supplier_idx
    ON auto.used_oil_transaction (business_id, transporter_supplier_id)
    WHERE transporter_supplier_id IS NOT NULL;

-- FK: the used oil transactions by their tank equipment.
CREATE INDEX used_oil_transaction_tank_equipment_idx
    ON auto.used_oil_transaction (business_id, tank_equipment_id)
    WHERE tank_equipment_id IS NOT NULL;

-- FK: the used oil transactions of a shop.
CREATE INDEX used_oil_transaction_shop_idx ON auto.used_oil_transaction (business_id, shop_id);

-- FK: the used oil transactions of a repair order.
CREATE INDEX used_oil_transaction_repair_order_idx
    ON auto.used_oil_transaction (business_id, repair_order_id)
    WHERE repair_order_id IS NOT NULL;

ALTER TABLE auto.used_oil_transaction ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.used_oil_transaction
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.used_oil_transaction TO app_user;
GRANT SELECT ON auto.used_oil_transaction TO app_readonly;

-- The halogen test that counts: the newest of a shop.
CREATE INDEX used_oil_transaction_halogen_idx
    ON auto.used_oil_transaction (business_id, shop_id, occurred_at)
    WHERE halogen_test_ppm IS NOT NULL;

CREATE TRIGGER used_oil_transaction_touch
    BEFORE UPDATE ON auto.used_oil_transaction
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION auto.check_used_oil() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    tank auto.shop_equipment;
    last_result text;
BEGIN
    IF NEW.tank_equipment_id IS NOT NULL THEN
        SELECT * INTO tank
        FROM auto.shop_equipment AS e
        WHERE e.business_id = NEW.business_id AND e.shop_equipment_id = NEW.tank_equipment_id;
        IF tank.equipment_kind <> 'oil_tank' OR tank.shop_id <> NEW.shop_id THEN
            RAISE EXCEPTION 'equipment % is no oil tank of the shop', tank.equipment_number
                USING ERRCODE = 'check_violation';
        END IF;
        IF NEW.tank_level_gal * 7.4 > tank.capacity_lb THEN
            RAISE EXCEPTION 'tank % holds % gallons at most', tank.equipment_number,
                floor(tank.capacity_lb / 7.4)
                USING ERRCODE = 'check_violation',
                      HINT = 'Have oil hauled away before more is drained.';
        END IF;
    END IF;
    IF NEW.transaction_kind = 'hauled' AND NEW.halogen_result <> 'rebutted'
        AND row_security_active(TG_RELID) THEN
        SELECT t.halogen_result INTO last_result
        FROM auto.used_oil_transaction AS t
        WHERE t.business_id = NEW.business_id AND t.shop_id = NEW.shop_id
          AND t.tank_equipment_id IS NOT DISTINCT FROM NEW.tank_equipment_id
          AND t.used_oil_transaction_id <> NEW.used_oil_transaction_id
          AND t.halogen_test_ppm IS NOT NULL AND t.occurred_at <= NEW.occurred_at
        ORDER BY t.occurred_at DESC, t.used_oil_transaction_id DESC
        LIMIT 1;
        IF last_result = 'above_1000' THEN
            RAISE EXCEPTION 'the oil was tested above 1000 ppm of halogens'
                USING ERRCODE = 'check_violation',
                      HINT = 'Rebut the presumption of mixing, or ship it as hazardous waste.';
        END IF;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.check_used_oil() IS
    'Oil stands in a tank of the shop up to its capacity (7.4 lb a gallon), and leaves only when its
     last halogen test was low or rebutted.';

CREATE TRIGGER used_oil_transaction_check
    BEFORE INSERT OR UPDATE ON auto.used_oil_transaction
    FOR EACH ROW EXECUTE FUNCTION auto.check_used_oil();


CREATE VIEW auto.v_waste_clock WITH (security_invoker = true) AS
SELECT s.business_id, s.shop_id, 'container' AS clock_kind, s.waste_stream_id AS subject_id,
       s.stream_code::text AS subject_code,
       s.accumulation_started_on + s.accumulation_limit_days AS due_on
FROM auto.waste_stream AS s
WHERE s.accumulation_started_on IS NOT NULL AND s.accumulation_limit_days IS NOT NULL
UNION ALL
SELECT m.business_id, m.shop_id, 'signed_copy', m.waste_manifest_id,
       m.manifest_tracking_number, coalesce(m.copy_due_on, m.shipped_on + 35)
FROM auto.waste_manifest AS m
WHERE m.status IN ('in_transit', 'exception') AND m.signed_copy_file_id IS NULL
UNION ALL
SELECT m.business_id, m.shop_id, 'exception_report', m.waste_manifest_id,
       m.manifest_tracking_number, m.shipped_on + 45
FROM auto.waste_manifest AS m
WHERE m.status IN ('in_transit', 'exception') AND m.exception_report_on IS NULL;
COMMENT ON VIEW auto.v_waste_clock IS
    'When a container must leave, a signed copy must be back and an exception be reported.';
GRANT SELECT ON auto.v_waste_clock TO app_user, app_readonly;


CREATE VIEW auto.v_certificate_watch WITH (security_invoker = true) AS
SELECT c.business_id, t.shop_id, 'technician' AS holder_kind, c.technician_id AS holder_id,
       t.full_name::text AS holder_name, c.program AS certificate_kind,
       c.expires_on AS lapses_on, c.status
FROM auto.technician_certification AS c
JOIN auto.technician AS t
  ON t.business_id = c.business_id AND t.technician_id = c.technician_id
WHERE t.terminated_on IS NULL AND c.status <> 'revoked'
  AND c.expires_on <= tenant_mgmt.today() + 90
UNION ALL
SELECT e.business_id, e.shop_id, 'equipment', e.shop_equipment_id,
       e.equipment_number, e.equipment_kind, e.next_inspection_on, e.status
FROM auto.shop_equipment AS e
WHERE e.status <> 'retired' AND e.next_inspection_on <= tenant_mgmt.today() + 30;
COMMENT ON VIEW auto.v_certificate_watch IS
    'Certificates that lapse within 90 days and equipment due for inspection within 30.';
GRANT SELECT ON auto.v_certificate_watch TO app_user, app_readonly;
