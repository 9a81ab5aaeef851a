/*
 * TODO: what the area is and how its tables relate.
 */

CREATE TABLE rest.traceability_event (
    business_id           uuid                 NOT NULL,
    traceability_event_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    stock_lot_id          uuid                 NOT NULL,
    location_id           uuid                 NOT NULL,
    vendor_id             uuid,
    occurred_at           timestamptz          NOT NULL DEFAULT now(),
    cte_kind              text                 NOT NULL,
    traceability_lot_code system_core.code,
    lot_code_source       text,
    quantity              system_core.quantity,
    unit_code             system_core.code,
    document_kind         text,
    document_number       text,
    ship_from_gln         text,
    kde_doc               jsonb,
    retain_until          date,
    created_at            timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, traceability_event_id, occurred_at),
    FOREIGN KEY (business_id, stock_lot_id) REFERENCES rest.stock_lot (business_id, stock_lot_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, vendor_id) REFERENCES rest.vendor (business_id, vendor_id),
    CONSTRAINT traceability_event_cte_kind_known
        CHECK (cte_kind IN ('receiving', 'transformation', 'shipping')),
    CONSTRAINT traceability_event_quantity_positive CHECK (quantity > 0)
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE rest.traceability_event IS
    'Critical tracking event of a listed food with its key data elements, kept 24 months; append
     only.';
-- RULE retain_until >= occurred_at + 24 months

-- FK: the traceability events of a stock lot.
CREATE INDEX traceability_event_stock_lot_idx
    ON rest.traceability_event (business_id, stock_lot_id);

-- FK: the traceability events of a location.
CREATE INDEX traceability_event_location_idx
    ON rest.traceability_event (business_id, location_id);

-- FK: the traceability events of a vendor.
CREATE INDEX traceability_event_vendor_idx
    ON rest.traceability_event (business_id, vendor_id)
    WHERE vendor_id IS NOT NULL;

ALTER TABLE rest.traceability_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.traceability_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON rest.traceability_event TO app_user;
GRANT SELECT ON rest.traceability_event TO app_readonly;

CREATE TRIGGER traceability_event_append_only
    BEFORE UPDATE OR DELETE ON rest.traceability_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('rest.traceability_event');

CREATE TABLE rest.traceability_event_default PARTITION OF rest.traceability_event DEFAULT;
ALTER TABLE rest.traceability_event_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.traceability_event_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('rest.traceability_event', 'month', behind => 3, ahead => 1);


CREATE TABLE rest.product_recall (
    business_id           uuid        NOT NULL,
    product_recall_id     uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    vendor_id             uuid,
    recall_number         text        NOT NULL,
    recall_class          text        NOT NULL,
    agency                text        NOT NULL,
    product_description   text,
    hazard_text           text,
    announced_at          timestamptz,
    received_at           timestamptz NOT NULL,
    affected_products_doc jsonb,
    instruction_text      text,
    state                 text        NOT NULL DEFAULT 'open',
    closed_at             timestamptz,
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, product_recall_id),
    UNIQUE (business_id, agency, recall_number),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, vendor_id) REFERENCES rest.vendor (business_id, vendor_id),
    CONSTRAINT product_recall_class_known
        CHECK (recall_class IN ('class_1', 'class_2', 'class_3', 'market_withdrawal')),
    CONSTRAINT product_recall_agency_known
        CHECK (agency IN ('fda', 'usda_fsis', 'vendor', 'internal')),
    CONSTRAINT product_recall_state_known
        CHECK (state IN ('open', 'investigating', 'contained', 'closed'))
);

COMMENT ON TABLE rest.product_recall IS 'A recall or withdrawal notice and its handling.';
-- RULE closed only when no recall_lot is without disposition

-- FK: the product recalls of a vendor.
CREATE INDEX product_recall_vendor_idx
    ON rest.product_recall (business_id, vendor_id)
    WHERE vendor_id IS NOT NULL;

ALTER TABLE rest.product_recall ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.product_recall
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.product_recall TO app_user;
GRANT SELECT ON rest.product_recall TO app_readonly;

CREATE TRIGGER product_recall_touch
    BEFORE UPDATE ON rest.product_recall
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.recall_lot (
    business_id           uuid                 NOT NULL,
    recall_lot_id         uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    handled_by_staff_id   uuid,
    product_recall_id     uuid                 NOT NULL,
    stock_lot_id          uuid                 NOT NULL,
    matched_by            text                 NOT NULL,
    matched_at            timestamptz,
    on_hand_qty           system_core.quantity,
    used_qty              system_core.quantity,
    exposed_order_count   integer              NOT NULL DEFAULT 0,
    disposition           text,
    disposed_at           timestamptz,
    credit_claimed_amount system_core.money    NOT NULL DEFAULT 0,
    note                  text,
    created_at            timestamptz          NOT NULL DEFAULT now(),
    updated_at            timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, recall_lot_id),
    UNIQUE (business_id, product_recall_id, stock_lot_id),
    FOREIGN KEY (business_id, handled_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, product_recall_id)
        REFERENCES rest.product_recall (business_id, product_recall_id),
    FOREIGN KEY (business_id, stock_lot_id) REFERENCES rest.stock_lot (business_id, stock_lot_id),
    CONSTRAINT recall_lot_matched_by_known
        CHECK (matched_by IN ('lot_code', 'gtin', 'date_range', 'manual')),
    CONSTRAINT recall_lot_disposition_known
        CHECK (disposition IN ('pending', 'quarantined', 'returned', 'destroyed', 'already_used',
                               'cleared'))
);

COMMENT ON TABLE rest.recall_lot IS
    'One of our lots caught by a recall: what is left, what was served, what was done.';
-- RULE disposed_at is set unless pending or quarantined

-- FK: the recall lots by their handled by staff.
CREATE INDEX recall_lot_handled_by_staff_idx
    ON rest.recall_lot (business_id, handled_by_staff_id)
    WHERE handled_by_staff_id IS NOT NULL;

-- FK: the recall lots of a stock lot.
CREATE INDEX recall_lot_stock_lot_idx ON rest.recall_lot (business_id, stock_lot_id);

ALTER TABLE rest.recall_lot ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.recall_lot
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.recall_lot TO app_user;
GRANT SELECT ON rest.recall_lot TO app_readonly;

CREATE TRIGGER recall_lot_touch
    BEFORE UPDATE ON rest.recall_lot
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.corrective_action (
    business_id               uuid                 NOT NULL,
    corrective_action_id      uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    assigned_staff_id         uuid                 NOT NULL,
    verified_by_staff_id      uuid,
    temperature_log_id        uuid,
    cooling_log_id            uuid,
    checklist_run_id          uuid,
    inspection_violation_id   uuid,
    recall_lot_id             uuid,
    food_safety_incident_id   uuid,
    equipment_id              uuid,
    critical_control_point_id uuid,
    action_number             text                 NOT NULL,
    trigger_kind              text                 NOT NULL,
    deviation_text            text,
    action_text               text,
    product_disposition       text,
    discarded_qty             system_core.quantity,
    opened_at                 timestamptz          NOT NULL,
    due_at                    timestamptz,
    completed_at              timestamptz,
    verified_at               timestamptz,
    root_cause                text,
    preventive_step           text,
    state                     text                 NOT NULL DEFAULT 'open',
    created_at                timestamptz          NOT NULL DEFAULT now(),
    updated_at                timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, corrective_action_id),
    UNIQUE (business_id, action_number),
    FOREIGN KEY (business_id, assigned_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, verified_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, temperature_log_id)
        REFERENCES rest.temperature_log (business_id, temperature_log_id),
    FOREIGN KEY (business_id, cooling_log_id)
        REFERENCES rest.cooling_log (business_id, cooling_log_id),
    FOREIGN KEY (business_id, checklist_run_id)
        REFERENCES rest.checklist_run (business_id, checklist_run_id),
    FOREIGN KEY (business_id, inspection_violation_id)
        REFERENCES rest.inspection_violation (business_id, inspection_violation_id),
    FOREIGN KEY (business_id, recall_lot_id)
        REFERENCES rest.recall_lot (business_id, recall_lot_id),
    FOREIGN KEY (business_id, food_safety_incident_id)
        REFERENCES rest.food_safety_incident (business_id, food_safety_incident_id),
    FOREIGN KEY (business_id, equipment_id) REFERENCES rest.equipment (business_id, equipment_id),
    FOREIGN KEY (business_id, critical_control_point_id)
        REFERENCES rest.critical_control_point (business_id, critical_control_point_id),
    CONSTRAINT corrective_action_trigger_kind_known
        CHECK (trigger_kind IN ('ccp_deviation', 'cooling_failure', 'checklist_failure',
                                'violation', 'recall', 'incident', 'sensor_alarm')),
    CONSTRAINT corrective_action_product_disposition_known
        CHECK (product_disposition IN ('none', 'discarded', 'reheated', 'recooked', 'held',
                                       'returned', 'relabelled')),
    CONSTRAINT corrective_action_state_known
        CHECK (state IN ('open', 'in_progress', 'completed', 'verified', 'overdue')),
    CONSTRAINT corrective_action_opened_at_in_order CHECK (opened_at <= completed_at),
    CONSTRAINT corrective_action_completed_at_in_order CHECK (completed_at <= verified_at),
    CONSTRAINT corrective_action_verified_by_staff_id_follows_assigned_staff_i
        CHECK (verified_by_staff_id <> assigned_staff_id)
);

COMMENT ON TABLE rest.corrective_action IS
    'What was done about a deviation, what happened to the food, and who verified it.';
-- RULE exactly one source document is set, equipment_id for sensor_alarm

-- FK: the corrective actions by their assigned staff.
CREATE INDEX corrective_action_assigned_staff_idx
    ON rest.corrective_action (business_id, assigned_staff_id);

-- FK: the corrective actions by their verified by staff.
CREATE INDEX corrective_action_verified_by_staff_idx
    ON rest.corrective_action (business_id, verified_by_staff_id)
    WHERE verified_by_staff_id IS NOT NULL;

-- FK: the corrective actions of a temperature log.
CREATE INDEX corrective_action_temperature_log_idx
    ON rest.corrective_action (business_id, temperature_log_id)
    WHERE temperature_log_id IS NOT NULL;

-- FK: the corrective actions of a cooling log.
CREATE INDEX corrective_action_cooling_log_idx
    ON rest.corrective_action (business_id, cooling_log_id)
    WHERE cooling_log_id IS NOT NULL;

-- FK: the corrective actions of a checklist run.
CREATE INDEX corrective_action_checklist_run_idx
    ON rest.corrective_action (business_id, checklist_run_id)
    WHERE checklist_run_id IS NOT NULL;

-- FK: the corrective actions of a inspection violation.
CREATE INDEX corrective_action_inspection_violation_idx
    ON rest.corrective_action (business_id, inspection_violation_id)
    WHERE inspection_violation_id IS NOT NULL;

-- FK: the corrective actions of a recall lot.
CREATE INDEX corrective_action_recall_lot_idx
    ON rest.corrective_action (business_id, recall_lot_id)
    WHERE recall_lot_id IS NOT NULL;

-- FK: the corrective actions of a food safety incident.
CREATE INDEX corrective_action_food_safety_incident_idx
    ON rest.corrective_action (business_id, food_safety_incident_id)
    WHERE food_safety_incident_id IS NOT NULL;

-- FK: the corrective actions of a equipment.
CREATE INDEX corrective_action_equipment_idx
    ON rest.corrective_action (business_id, equipment_id)
    WHERE equipment_id IS NOT NULL;

-- FK: the corrective actions of a critical control point.
CREATE INDEX corrective_action_critical_control_point_idx
    ON rest.corrective_action (business_id, critical_control_point_id)
    WHERE critical_control_point_id IS NOT NULL;

ALTER TABLE rest.corrective_action ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.corrective_action
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.corrective_action TO app_user;
GRANT SELECT ON rest.corrective_action TO app_readonly;

CREATE TRIGGER corrective_action_touch
    BEFORE UPDATE ON rest.corrective_action
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
