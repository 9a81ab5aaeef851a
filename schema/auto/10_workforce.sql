/*
 * The people of a shop and what proves their skill. A technician belongs to one shop and is paid
 * by the hour, by flagged hour (flat rate), by salary or by commission. Certificates (ASE tests,
 * section 609 for refrigerant, high voltage, state inspector) decide which jobs may be dispatched
 * to whom; two of them are asked for so often that they are mirrored as flags of the technician.
 * Shifts are the planned and worked days: the productive hours of a day are what a shop can sell.
 * Equipment inspections prove that lifts, testers and machines may be used: one that fails takes
 * its equipment out of service until it is repaired.
 */

CREATE TABLE auto.technician (
    business_id           uuid                    NOT NULL,
    technician_id         uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    mentor_technician_id  uuid,
    shop_id               uuid                    NOT NULL,
    user_account_id       uuid,
    employee_number       text                    NOT NULL,
    full_name             system_core.person_name,
    role                  text                    NOT NULL DEFAULT 'technician',
    team_code             system_core.code,
    pay_plan              text                    NOT NULL DEFAULT 'hourly',
    flat_rate_amount      system_core.money       NOT NULL DEFAULT 0,
    hourly_cost_amount    system_core.money       NOT NULL DEFAULT 0,
    guarantee_hours       numeric(10, 2),
    efficiency_target_pct system_core.percentage,
    skill_groups          text[]                  NOT NULL DEFAULT '{}',
    is_hv_qualified       boolean                 NOT NULL DEFAULT false,
    is_609_certified      boolean                 NOT NULL DEFAULT false,
    hired_on              date,
    terminated_on         date,
    dispatch_status       text                    NOT NULL DEFAULT 'off',
    created_at            timestamptz             NOT NULL DEFAULT now(),
    updated_at            timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, technician_id),
    UNIQUE (business_id, employee_number),
    FOREIGN KEY (business_id, mentor_technician_id)
        REFERENCES auto.technician (business_id, technician_id),
    FOREIGN KEY (business_id, shop_id) REFERENCES auto.shop (business_id, shop_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT technician_role_known
        CHECK (role IN ('technician', 'lube', 'apprentice', 'master', 'body', 'painter',
                        'estimator', 'service_advisor', 'foreman', 'parts')),
    CONSTRAINT technician_pay_plan_known
        CHECK (pay_plan IN ('hourly', 'flat_rate', 'salary_bonus', 'commission')),
    CONSTRAINT technician_dispatch_status_known
        CHECK (dispatch_status IN ('off', 'available', 'on_job', 'waiting', 'break')),
    CONSTRAINT technician_leaves_after_hire CHECK (terminated_on >= hired_on),
    CONSTRAINT technician_is_not_own_mentor CHECK (mentor_technician_id <> technician_id),
    CONSTRAINT technician_guarantee_bounded CHECK (guarantee_hours BETWEEN 0 AND 80),
    CONSTRAINT technician_flat_rate_has_amount
        CHECK (pay_plan <> 'flat_rate' OR flat_rate_amount > 0)
);

COMMENT ON TABLE auto.technician IS
    'Technician, advisor, parts or body specialist who produces or sells hours.';
COMMENT ON COLUMN auto.technician.flat_rate_amount IS
    'Paid per flagged hour under a flat rate plan.';
COMMENT ON COLUMN auto.technician.guarantee_hours IS
    'Hours paid per week however few are flagged.';
COMMENT ON COLUMN auto.technician.is_609_certified IS
    'Mirrors the section 609 certificates in force.';
COMMENT ON COLUMN auto.technician.is_hv_qualified IS
    'Mirrors the high voltage certificates in force.';

-- FK: the technicians by their mentor technician.
CREATE INDEX technician_mentor_technician_idx
    ON auto.technician (business_id, mentor_technician_id)
    WHERE mentor_technician_id IS NOT NULL;

-- FK: the technicians of a shop.
CREATE INDEX technician_shop_idx ON auto.technician (business_id, shop_id);

-- FK: the technicians of a user account.
CREATE INDEX technician_user_account_idx
    ON auto.technician (business_id, user_account_id)
    WHERE user_account_id IS NOT NULL;

ALTER TABLE auto.technician ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.technician
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.technician TO app_user;
GRANT SELECT ON auto.technician TO app_readonly;

CREATE TRIGGER technician_touch
    BEFORE UPDATE ON auto.technician
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

-- Who is off comes to work first; a break ends before the day does.
CREATE TRIGGER technician_state_machine
    BEFORE INSERT OR UPDATE OF dispatch_status ON auto.technician
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('dispatch_status', '{
        "initial": ["off", "available"],
        "transitions": {
            "off":       ["available", "on_job", "waiting"],
            "available": ["on_job", "waiting", "break", "off"],
            "on_job":    ["available", "waiting", "break", "off"],
            "waiting":   ["available", "on_job", "break", "off"],
            "break":     ["available", "on_job", "waiting"]
        }}');


CREATE TABLE auto.technician_certification (
    business_id                 uuid                   NOT NULL,
    technician_certification_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    evidence_file_id            uuid,
    technician_id               uuid                   NOT NULL,
    program                     text                   NOT NULL,
    test_code                   system_core.code       NOT NULL,
    certificate_number          text                   NOT NULL,
    issuing_body                text,
    level_name                  text,
    tested_on                   date,
    issued_on                   date,
    expires_on                  date,
    issuing_region              text,
    score_pct                   system_core.percentage,
    is_master_component         boolean                NOT NULL DEFAULT false,
    recertification_due_on      date,
    status                      text                   NOT NULL DEFAULT 'pending',
    verified_at                 timestamptz,
    created_at                  timestamptz            NOT NULL DEFAULT now(),
    updated_at                  timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, technician_certification_id),
    UNIQUE (business_id, program, test_code, certificate_number),
    FOREIGN KEY (business_id, evidence_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES auto.technician (business_id, technician_id),
    CONSTRAINT technician_certification_program_known
        CHECK (program IN ('ase', 'epa_609', 'ev_hv', 'state_inspector', 'smog_technician',
                           'i_car', 'oem', 'dot_brake_inspector', 'air_brake', 'ali_lift',
                           'tia_tire')),
    CONSTRAINT technician_certification_status_known
        CHECK (status IN ('pending', 'valid', 'expiring', 'expired', 'revoked')),
    CONSTRAINT technician_certification_expires_after_issue CHECK (expires_on > issued_on),
    CONSTRAINT technician_certification_609_never_expires
        CHECK (program <> 'epa_609' OR expires_on IS NULL),
    CONSTRAINT technician_certification_ase_names_test
        CHECK (program <> 'ase' OR test_code::text ~ '^[ABCEFGHLPSTX][0-9]$'),
    CONSTRAINT technician_certification_in_force_is_verified
        CHECK (status NOT IN ('valid', 'expiring') OR verified_at IS NOT NULL)
);

COMMENT ON TABLE auto.technician_certification IS
    'ASE, section 609, HV, state inspector, I-CAR and OEM certificates with expiry and proof.';
COMMENT ON COLUMN auto.technician_certification.test_code IS
    'Test within the program, as A5 (brakes) of ASE.';

-- FK: the technician certifications by their evidence file.
CREATE INDEX technician_certification_evidence_file_idx
    ON auto.technician_certification (business_id, evidence_file_id)
    WHERE evidence_file_id IS NOT NULL;

-- FK: the technician certifications of a technician.
CREATE INDEX technician_certification_technician_idx
    ON auto.technician_certification (business_id, technician_id);

ALTER TABLE auto.technician_certification ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.technician_certification
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.technician_certification TO app_user;
GRANT SELECT ON auto.technician_certification TO app_readonly;

CREATE TRIGGER technician_certification_touch
    BEFORE UPDATE ON auto.technician_certification
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER technician_certification_state_machine
    BEFORE INSERT OR UPDATE OF status ON auto.technician_certification
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["pending", "valid"],
        "transitions": {
            "pending":  ["valid", "revoked"],
            "valid":    ["expiring", "expired", "revoked"],
            "expiring": ["valid", "expired", "revoked"],
            "expired":  ["valid"],
            "revoked":  []
        }}');

CREATE FUNCTION auto.mirror_certificates() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE auto.technician AS t
    SET is_609_certified = f.is_609_certified,
        is_hv_qualified  = f.is_hv_qualified
    FROM (
        SELECT h.business_id, h.technician_id,
               coalesce(bool_or(c.program = 'epa_609'), false) AS is_609_certified,
               coalesce(bool_or(c.program = 'ev_hv'), false)   AS is_hv_qualified
        FROM (SELECT DISTINCT business_id, technician_id FROM changed) AS h
        LEFT JOIN auto.technician_certification AS c
               ON c.business_id = h.business_id AND c.technician_id = h.technician_id
              AND c.status IN ('valid', 'expiring') AND c.program IN ('epa_609', 'ev_hv')
        GROUP BY h.business_id, h.technician_id
    ) AS f
    WHERE t.business_id = f.business_id AND t.technician_id = f.technician_id
      AND (t.is_609_certified, t.is_hv_qualified)
          IS DISTINCT FROM (f.is_609_certified, f.is_hv_qualified);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.mirror_certificates() IS
    'Lets the flags of the technicians whose certificates changed say what is in force.';

CREATE TRIGGER technician_certification_mirror_insert
    AFTER INSERT ON auto.technician_certification
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.mirror_certificates();
CREATE TRIGGER technician_certification_mirror_update
    AFTER UPDATE ON auto.technician_certification
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.mirror_certificates();
CREATE TRIGGER technician_certification_mirror_delete
    AFTER DELETE ON auto.technician_certification
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.mirror_certificates();


CREATE TABLE auto.technician_shift (
    business_id         uuid           NOT NULL,
    technician_shift_id uuid           NOT NULL DEFAULT system_core.uuid_v7(),
    approved_by_user_id uuid,
    technician_id       uuid           NOT NULL,
    shop_id             uuid           NOT NULL,
    shift_on            date           NOT NULL,
    starts_at           timestamptz    NOT NULL,
    ends_at             timestamptz    NOT NULL,
    shift_kind          text           NOT NULL DEFAULT 'regular',
    break_minutes       integer        NOT NULL DEFAULT 0,
    productive_hours    numeric(10, 2) NOT NULL DEFAULT 0,
    sold_hours          numeric(10, 2) NOT NULL DEFAULT 0,
    status              text           NOT NULL DEFAULT 'planned',
    attendance_in_at    timestamptz,
    attendance_out_at   timestamptz,
    created_at          timestamptz    NOT NULL DEFAULT now(),
    updated_at          timestamptz    NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, technician_shift_id),
    FOREIGN KEY (business_id, approved_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES auto.technician (business_id, technician_id),
    FOREIGN KEY (business_id, shop_id) REFERENCES auto.shop (business_id, shop_id),
    CONSTRAINT technician_shift_kind_known
        CHECK (shift_kind IN ('regular', 'overtime', 'saturday', 'training', 'vacation', 'sick',
                              'unpaid')),
    CONSTRAINT technician_shift_status_known
        CHECK (status IN ('planned', 'published', 'worked', 'absent', 'cancelled')),
    CONSTRAINT technician_shift_ends_after_start CHECK (ends_at > starts_at),
    CONSTRAINT technician_shift_leaves_after_arrival
        CHECK (attendance_out_at > attendance_in_at),
    CONSTRAINT technician_shift_hours_bounded
        CHECK (productive_hours BETWEEN 0 AND 24 AND sold_hours >= 0),
    CONSTRAINT technician_shift_break_bounded CHECK (break_minutes BETWEEN 0 AND 480),
    CONSTRAINT technician_shift_absence_produces_nothing
        CHECK (shift_kind NOT IN ('training', 'vacation', 'sick', 'unpaid')
               OR productive_hours = 0),
    EXCLUDE USING gist (business_id WITH =, technician_id WITH =,
                        tstzrange(starts_at, ends_at) WITH &&)
        WHERE (status <> 'cancelled')
);

COMMENT ON TABLE auto.technician_shift IS
    'Planned or worked day of a technician, absence included; capacity is the sum of productive
     hours.';

-- FK: the technician shifts by their approved by user.
CREATE INDEX technician_shift_approved_by_user_idx
    ON auto.technician_shift (business_id, approved_by_user_id)
    WHERE approved_by_user_id IS NOT NULL;

-- The shifts of a technician, newest first; the shift that is worked now (clock_on).
CREATE INDEX technician_shift_technician_idx
    ON auto.technician_shift (business_id, technician_id, starts_at DESC);

-- The capacity of a shop's day (close_shop_day).
CREATE INDEX technician_shift_shop_idx
    ON auto.technician_shift (business_id, shop_id, shift_on);

ALTER TABLE auto.technician_shift ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.technician_shift
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.technician_shift TO app_user;
GRANT SELECT ON auto.technician_shift TO app_readonly;

CREATE TRIGGER technician_shift_touch
    BEFORE UPDATE ON auto.technician_shift
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER technician_shift_state_machine
    BEFORE UPDATE OF status ON auto.technician_shift
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["planned"],
        "transitions": {
            "planned":   ["published", "worked", "absent", "cancelled"],
            "published": ["planned", "worked", "absent", "cancelled"],
            "worked":    ["absent"],
            "absent":    ["worked"],
            "cancelled": []
        }}');


CREATE TABLE auto.equipment_inspection (
    business_id             uuid                    NOT NULL,
    equipment_inspection_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    certificate_file_id     uuid,
    shop_equipment_id       uuid                    NOT NULL,
    technician_id           uuid,
    inspection_kind         text                    NOT NULL,
    inspected_on            date                    NOT NULL,
    inspector_name          system_core.person_name,
    inspector_credential    text,
    result                  text                    NOT NULL,
    findings_text           text,
    reference_value         system_core.quantity,
    measured_value          system_core.quantity,
    tag_number              text,
    valid_until_on          date,
    repaired_on             date,
    created_at              timestamptz             NOT NULL DEFAULT now(),
    updated_at              timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, equipment_inspection_id),
    FOREIGN KEY (business_id, certificate_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, shop_equipment_id)
        REFERENCES auto.shop_equipment (business_id, shop_equipment_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES auto.technician (business_id, technician_id),
    CONSTRAINT equipment_inspection_kind_known
        CHECK (inspection_kind IN ('annual_lift', 'calibration', 'leak_check', 'daily_span',
                                   'safety_walk')),
    CONSTRAINT equipment_inspection_result_known
        CHECK (result IN ('pass', 'conditional', 'fail')),
    CONSTRAINT equipment_inspection_valid_after_inspection
        CHECK (valid_until_on > inspected_on),
    CONSTRAINT equipment_inspection_repaired_after_inspection
        CHECK (repaired_on >= inspected_on),
    CONSTRAINT equipment_inspection_annual_lift_has_credential
        CHECK (inspection_kind <> 'annual_lift' OR coalesce(inspector_credential, '') ~ '\S')
);

COMMENT ON TABLE auto.equipment_inspection IS
    'Annual lift inspection, daily tester check or calibration of shop equipment.';

-- FK: the equipment inspections by their certificate file.
CREATE INDEX equipment_inspection_certificate_file_idx
    ON auto.equipment_inspection (business_id, certificate_file_id)
    WHERE certificate_file_id IS NOT NULL;

-- FK: the equipment inspections of a shop equipment.
CREATE INDEX equipment_inspection_shop_equipment_idx
    ON auto.equipment_inspection (business_id, shop_equipment_id);

-- FK: the equipment inspections of a technician.
CREATE INDEX equipment_inspection_technician_idx
    ON auto.equipment_inspection (business_id, technician_id)
    WHERE technician_id IS NOT NULL;

ALTER TABLE auto.equipment_inspection ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.equipment_inspection
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.equipment_inspection TO app_user;
GRANT SELECT ON auto.equipment_inspection TO app_readonly;

CREATE TRIGGER equipment_inspection_touch
    BEFORE UPDATE ON auto.equipment_inspection
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION auto.apply_equipment_inspections() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE auto.shop_equipment AS e
    SET status = CASE WHEN f.is_broken THEN 'out_of_service' ELSE 'in_service' END
    FROM (
        SELECT h.business_id, h.shop_equipment_id,
               coalesce(bool_or(i.result = 'fail' AND i.repaired_on IS NULL), false) AS is_broken
        FROM (SELECT DISTINCT business_id, shop_equipment_id FROM changed
              WHERE result = 'fail') AS h
        LEFT JOIN auto.equipment_inspection AS i
               ON i.business_id = h.business_id AND i.shop_equipment_id = h.shop_equipment_id
        GROUP BY h.business_id, h.shop_equipment_id
    ) AS f
    WHERE e.business_id = f.business_id AND e.shop_equipment_id = f.shop_equipment_id
      AND (f.is_broken AND e.status IN ('in_service', 'due')
           OR NOT f.is_broken AND e.status = 'out_of_service');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.apply_equipment_inspections() IS
    'Takes equipment with a failed inspection out of service until every one is repaired.';

CREATE TRIGGER equipment_inspection_apply_insert
    AFTER INSERT ON auto.equipment_inspection
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.apply_equipment_inspections();
CREATE TRIGGER equipment_inspection_apply_update
    AFTER UPDATE ON auto.equipment_inspection
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.apply_equipment_inspections();
