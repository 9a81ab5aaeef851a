/*
 * TODO: what the area is and how its tables relate.
 */

CREATE TABLE rest.safety_checklist (
    business_id         uuid                   NOT NULL,
    safety_checklist_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    location_id         uuid,
    checklist_code      system_core.code       NOT NULL,
    title               text                   NOT NULL,
    checklist_kind      text                   NOT NULL,
    version_no          integer                NOT NULL,
    frequency           text                   NOT NULL,
    due_time            time,
    items_doc           jsonb,
    item_count          integer                NOT NULL DEFAULT 0,
    passing_score_pct   system_core.percentage,
    effective_from      date                   NOT NULL,
    is_active           boolean                NOT NULL DEFAULT true,
    created_at          timestamptz            NOT NULL DEFAULT now(),
    updated_at          timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, safety_checklist_id),
    UNIQUE (business_id, checklist_code, version_no),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    CONSTRAINT safety_checklist_kind_known
        CHECK (checklist_kind IN ('opening', 'closing', 'line_check', 'cleaning', 'receiving',
                                  'self_inspection', 'manager_walk')),
    CONSTRAINT safety_checklist_frequency_known
        CHECK (frequency IN ('each_shift', 'daily', 'weekly', 'monthly'))
);

COMMENT ON TABLE rest.safety_checklist IS
    'Template of an opening, line, cleaning or self-inspection checklist.';
-- RULE item_count equals the length of items_doc

-- FK: the safety checklists of a location.
CREATE INDEX safety_checklist_location_idx
    ON rest.safety_checklist (business_id, location_id)
    WHERE location_id IS NOT NULL;

ALTER TABLE rest.safety_checklist ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.safety_checklist
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.safety_checklist TO app_user;
GRANT SELECT ON rest.safety_checklist TO app_readonly;

CREATE TRIGGER safety_checklist_touch
    BEFORE UPDATE ON rest.safety_checklist
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.checklist_run (
    business_id           uuid                   NOT NULL,
    checklist_run_id      uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    performed_by_staff_id uuid,
    reviewed_by_staff_id  uuid,
    safety_checklist_id   uuid                   NOT NULL,
    location_id           uuid                   NOT NULL,
    business_date         date                   NOT NULL,
    due_at                timestamptz            NOT NULL,
    started_at            timestamptz            NOT NULL,
    completed_at          timestamptz,
    state                 text                   NOT NULL DEFAULT 'pending',
    score_pct             system_core.percentage,
    failed_count          integer                NOT NULL DEFAULT 0,
    answers_doc           jsonb,
    signature_name        text,
    minutes_late          integer,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, checklist_run_id),
    UNIQUE (business_id, safety_checklist_id, location_id, due_at),
    FOREIGN KEY (business_id, performed_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, reviewed_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, safety_checklist_id)
        REFERENCES rest.safety_checklist (business_id, safety_checklist_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    CONSTRAINT checklist_run_state_known
        CHECK (state IN ('pending', 'in_progress', 'completed', 'missed', 'failed')),
    CONSTRAINT checklist_run_completed_at_follows_started_at CHECK (completed_at >= started_at)
);

COMMENT ON TABLE rest.checklist_run IS 'One execution of a checklist with its answers.';
-- RULE state = failed when score_pct < passing_score_pct

-- FK: the checklist runs by their performed by staff.
CREATE INDEX checklist_run_performed_by_staff_idx
    ON rest.checklist_run (business_id, performed_by_staff_id)
    WHERE performed_by_staff_id IS NOT NULL;

-- FK: the checklist runs by their reviewed by staff.
CREATE INDEX checklist_run_reviewed_by_staff_idx
    ON rest.checklist_run (business_id, reviewed_by_staff_id)
    WHERE reviewed_by_staff_id IS NOT NULL;

-- FK: the checklist runs of a location.
CREATE INDEX checklist_run_location_idx ON rest.checklist_run (business_id, location_id);

ALTER TABLE rest.checklist_run ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.checklist_run
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.checklist_run TO app_user;
GRANT SELECT ON rest.checklist_run TO app_readonly;

CREATE TRIGGER checklist_run_touch
    BEFORE UPDATE ON rest.checklist_run
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.food_label (
    business_id         uuid                 NOT NULL,
    food_label_id       uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    printed_by_staff_id uuid                 NOT NULL,
    location_id         uuid                 NOT NULL,
    inventory_item_id   uuid,
    production_batch_id uuid,
    stock_lot_id        uuid,
    label_code          system_core.code     NOT NULL,
    label_kind          text                 NOT NULL,
    prepared_at         timestamptz,
    use_by_at           timestamptz,
    quantity            system_core.quantity,
    printed_at          timestamptz,
    state               text                 NOT NULL DEFAULT 'active',
    discarded_at        timestamptz,
    created_at          timestamptz          NOT NULL DEFAULT now(),
    updated_at          timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, food_label_id),
    UNIQUE (business_id, label_code),
    FOREIGN KEY (business_id, printed_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, inventory_item_id)
        REFERENCES rest.inventory_item (business_id, inventory_item_id),
    FOREIGN KEY (business_id, production_batch_id)
        REFERENCES rest.production_batch (business_id, production_batch_id),
    FOREIGN KEY (business_id, stock_lot_id) REFERENCES rest.stock_lot (business_id, stock_lot_id),
    CONSTRAINT food_label_kind_known
        CHECK (label_kind IN ('prep', 'opened', 'thawed', 'time_hold_hot', 'time_hold_cold')),
    CONSTRAINT food_label_state_known CHECK (state IN ('active', 'used', 'discarded', 'expired'))
);

COMMENT ON TABLE rest.food_label IS
    'Date-marking label: prepared, opened or held by time, with its discard moment.';
-- RULE use_by_at is at most 7 days after prepared_at for prep, opened and thawed
-- RULE use_by_at is at most 4 hours after for time_hold_hot and 6 for time_hold_cold

-- FK: the food labels by their printed by staff.
CREATE INDEX food_label_printed_by_staff_idx
    ON rest.food_label (business_id, printed_by_staff_id);

-- FK: the food labels of a location.
CREATE INDEX food_label_location_idx ON rest.food_label (business_id, location_id);

-- FK: the food labels of a inventory item.
CREATE INDEX food_label_inventory_item_idx
    ON rest.food_label (business_id, inventory_item_id)
    WHERE inventory_item_id IS NOT NULL;

-- FK: the food labels of a production batch.
CREATE INDEX food_label_production_batch_idx
    ON rest.food_label (business_id, production_batch_id)
    WHERE production_batch_id IS NOT NULL;

-- FK: the food labels of a stock lot.
CREATE INDEX food_label_stock_lot_idx
    ON rest.food_label (business_id, stock_lot_id)
    WHERE stock_lot_id IS NOT NULL;

ALTER TABLE rest.food_label ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.food_label
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.food_label TO app_user;
GRANT SELECT ON rest.food_label TO app_readonly;

CREATE TRIGGER food_label_touch
    BEFORE UPDATE ON rest.food_label
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.food_safety_incident (
    business_id             uuid        NOT NULL,
    food_safety_incident_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    reported_by_staff_id    uuid,
    location_id             uuid        NOT NULL,
    guest_order_id          uuid,
    guest_profile_id        uuid,
    menu_item_id            uuid,
    incident_number         text        NOT NULL,
    incident_kind           text        NOT NULL,
    severity                text        NOT NULL,
    occurred_at             timestamptz NOT NULL,
    reported_at             timestamptz,
    people_affected         integer,
    symptoms                text,
    regulator_notified_at   timestamptz,
    root_cause              text,
    state                   text        NOT NULL DEFAULT 'open',
    closed_at               timestamptz,
    created_at              timestamptz NOT NULL DEFAULT now(),
    updated_at              timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, food_safety_incident_id),
    UNIQUE (business_id, incident_number),
    FOREIGN KEY (business_id, reported_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, guest_order_id)
        REFERENCES rest.guest_order (business_id, guest_order_id),
    FOREIGN KEY (business_id, guest_profile_id)
        REFERENCES rest.guest_profile (business_id, guest_profile_id),
    FOREIGN KEY (business_id, menu_item_id) REFERENCES rest.menu_item (business_id, menu_item_id),
    CONSTRAINT food_safety_incident_kind_known
        CHECK (incident_kind IN ('illness_complaint', 'allergic_reaction', 'foreign_object',
                                 'temperature_abuse', 'pest', 'employee_illness', 'contamination')),
    CONSTRAINT food_safety_incident_severity_known
        CHECK (severity IN ('minor', 'moderate', 'serious', 'critical')),
    CONSTRAINT food_safety_incident_state_known
        CHECK (state IN ('open', 'investigating', 'closed')),
    CONSTRAINT food_safety_incident_reported_at_follows_occurred_at
        CHECK (reported_at >= occurred_at)
);

COMMENT ON TABLE rest.food_safety_incident IS
    'Illness complaint, allergic reaction, foreign object or contamination.';
-- RULE serious and critical need regulator_notified_at or a reason before closing

-- FK: the food safety incidents by their reported by staff.
CREATE INDEX food_safety_incident_reported_by_staff_idx
    ON rest.food_safety_incident (business_id, reported_by_staff_id)
    WHERE reported_by_staff_id IS NOT NULL;

-- FK: the food safety incidents of a location.
CREATE INDEX food_safety_incident_location_idx
    ON rest.food_safety_incident (business_id, location_id);

-- FK: the food safety incidents of a guest order.
CREATE INDEX food_safety_incident_guest_order_idx
    ON rest.food_safety_incident (business_id, guest_order_id)
    WHERE guest_order_id IS NOT NULL;

-- FK: the food safety incidents of a guest profile.
CREATE INDEX food_safety_incident_guest_profile_idx
    ON rest.food_safety_incident (business_id, guest_profile_id)
    WHERE guest_profile_id IS NOT NULL;

-- FK: the food safety incidents of a menu item.
CREATE INDEX food_safety_incident_menu_item_idx
    ON rest.food_safety_incident (business_id, menu_item_id)
    WHERE menu_item_id IS NOT NULL;

ALTER TABLE rest.food_safety_incident ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.food_safety_incident
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.food_safety_incident TO app_user;
GRANT SELECT ON rest.food_safety_incident TO app_readonly;

CREATE TRIGGER food_safety_incident_touch
    BEFORE UPDATE ON rest.food_safety_incident
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.health_inspection (
    business_id          uuid                    NOT NULL,
    health_inspection_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    report_file_id       uuid,
    location_id          uuid                    NOT NULL,
    inspection_number    text                    NOT NULL,
    agency               text                    NOT NULL,
    inspection_kind      text                    NOT NULL,
    inspected_on         date                    NOT NULL,
    inspector_name       system_core.person_name,
    score                numeric(9, 4),
    grade                text,
    result               text                    NOT NULL,
    critical_count       integer                 NOT NULL DEFAULT 0,
    follow_up_due_on     date,
    created_at           timestamptz             NOT NULL DEFAULT now(),
    updated_at           timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, health_inspection_id),
    UNIQUE (business_id, agency, inspection_number),
    FOREIGN KEY (business_id, report_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    CONSTRAINT health_inspection_kind_known
        CHECK (inspection_kind IN ('routine', 'follow_up', 'complaint', 'pre_opening',
                                   'third_party')),
    CONSTRAINT health_inspection_result_known
        CHECK (result IN ('pass', 'conditional', 'fail', 'closure')),
    CONSTRAINT health_inspection_score_bounded CHECK (score BETWEEN 0 AND 100)
);

COMMENT ON TABLE rest.health_inspection IS
    'Visit of the health authority or an auditor with score and grade.';
-- RULE follow_up_due_on is set when result is not pass

-- FK: the health inspections by their report file.
CREATE INDEX health_inspection_report_file_idx
    ON rest.health_inspection (business_id, report_file_id)
    WHERE report_file_id IS NOT NULL;

-- FK: the health inspections of a location.
CREATE INDEX health_inspection_location_idx ON rest.health_inspection (business_id, location_id);

ALTER TABLE rest.health_inspection ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.health_inspection
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.health_inspection TO app_user;
GRANT SELECT ON rest.health_inspection TO app_readonly;

CREATE TRIGGER health_inspection_touch
    BEFORE UPDATE ON rest.health_inspection
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.inspection_violation (
    business_id             uuid        NOT NULL,
    inspection_violation_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    health_inspection_id    uuid        NOT NULL,
    code_reference          text        NOT NULL,
    category                text        NOT NULL,
    description             text,
    points_deducted         integer,
    is_repeat               boolean     NOT NULL DEFAULT false,
    corrected_on_site       boolean     NOT NULL DEFAULT false,
    due_on                  date,
    corrected_on            date,
    created_at              timestamptz NOT NULL DEFAULT now(),
    updated_at              timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, inspection_violation_id),
    UNIQUE (business_id, health_inspection_id, code_reference),
    FOREIGN KEY (business_id, health_inspection_id)
        REFERENCES rest.health_inspection (business_id, health_inspection_id),
    CONSTRAINT inspection_violation_category_known
        CHECK (category IN ('priority', 'priority_foundation', 'core')),
    CONSTRAINT inspection_violation_corrected_on_given
        CHECK (NOT (corrected_on_site) OR corrected_on IS NOT NULL)
);

COMMENT ON TABLE rest.inspection_violation IS 'A finding of an inspection with its due date.';

ALTER TABLE rest.inspection_violation ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.inspection_violation
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.inspection_violation TO app_user;
GRANT SELECT ON rest.inspection_violation TO app_readonly;

CREATE TRIGGER inspection_violation_touch
    BEFORE UPDATE ON rest.inspection_violation
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
