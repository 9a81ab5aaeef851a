/*
 * Recalls: what a maker must mend, and whether it was.
 *
 * A recall_campaign is a recall of a regulator or maker with the range of VINs that it covers;
 * auto.find_recalls() finds those of a vehicle and opens a vehicle_recall, which is told to the
 * customer, referred to a dealer or remedied. A vehicle that must not be driven is not handed over
 * before somebody acknowledged it. v_vehicle_timeline is the history of a vehicle across areas.
 */

CREATE TABLE auto.recall_campaign (
    business_id           uuid                   NOT NULL,
    recall_campaign_id    uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    campaign_number       text                   NOT NULL,
    oem_campaign_code     system_core.code,
    regulator             text                   NOT NULL,
    fmvss_number          text,
    component_name        text                   NOT NULL,
    defect_summary        text                   NOT NULL,
    consequence_text      text,
    remedy_text           text,
    risk_level            text                   NOT NULL DEFAULT 'normal',
    reported_on           date                   NOT NULL,
    owner_letter_on       date,
    vin_ranges            system_core.json_array NOT NULL DEFAULT '[]',
    remedy_available_on   date,
    is_tire_recall        boolean                NOT NULL DEFAULT false,
    labor_allowance_hours numeric(10, 2),
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, recall_campaign_id),
    UNIQUE (business_id, regulator, campaign_number),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT recall_campaign_regulator_known
        CHECK (regulator IN ('nhtsa', 'epa', 'carb', 'transport_canada', 'manufacturer')),
    CONSTRAINT recall_campaign_risk_known
        CHECK (risk_level IN ('normal', 'park_outside', 'do_not_drive', 'stop_sale')),
    CONSTRAINT recall_campaign_letter_after_report CHECK (owner_letter_on >= reported_on),
    CONSTRAINT recall_campaign_standard_of_nhtsa
        CHECK (fmvss_number IS NULL OR regulator = 'nhtsa')
);

COMMENT ON TABLE auto.recall_campaign IS
    'Safety recall, emissions recall or service campaign with remedy and affected build range.';

ALTER TABLE auto.recall_campaign ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.recall_campaign
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.recall_campaign TO app_user;
GRANT SELECT ON auto.recall_campaign TO app_readonly;

CREATE TRIGGER recall_campaign_touch
    BEFORE UPDATE ON auto.recall_campaign
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE auto.vehicle_recall (
    business_id          uuid        NOT NULL,
    vehicle_recall_id    uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    notified_contact_id  uuid,
    vehicle_id           uuid        NOT NULL,
    recall_campaign_id   uuid        NOT NULL,
    repair_job_id        uuid,
    status               text        NOT NULL DEFAULT 'open',
    found_at             timestamptz NOT NULL DEFAULT now(),
    lookup_source        text        NOT NULL DEFAULT 'vin_api',
    notified_at          timestamptz,
    acknowledgement_text text,
    remedied_on          date,
    remedied_by_text     text,
    next_check_on        date,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, vehicle_recall_id),
    UNIQUE (business_id, vehicle_id, recall_campaign_id),
    FOREIGN KEY (business_id, notified_contact_id)
        REFERENCES auto.customer_contact (business_id, customer_contact_id),
    FOREIGN KEY (business_id, vehicle_id) REFERENCES auto.vehicle (business_id, vehicle_id),
    FOREIGN KEY (business_id, recall_campaign_id)
        REFERENCES auto.recall_campaign (business_id, recall_campaign_id),
    FOREIGN KEY (business_id, repair_job_id)
        REFERENCES auto.repair_job (business_id, repair_job_id),
    CONSTRAINT vehicle_recall_status_known
        CHECK (status IN ('open', 'notified', 'referred_to_dealer', 'remedied', 'not_applicable',
                          'declined')),
    CONSTRAINT vehicle_recall_source_known
        CHECK (lookup_source IN ('vin_api', 'dealer_portal', 'customer_letter', 'tire_tin')),
    CONSTRAINT vehicle_recall_remedied_has_date
        CHECK ((remedied_on IS NOT NULL) = (status = 'remedied')),
    CONSTRAINT vehicle_recall_notified_has_time
        CHECK (status <> 'notified' OR notified_at IS NOT NULL)
);

COMMENT ON TABLE auto.vehicle_recall IS
    'State of one recall on one vehicle: found, told to the customer, referred or done.';

-- FK: who was told.
CREATE INDEX vehicle_recall_notified_contact_idx
    ON auto.vehicle_recall (business_id, notified_contact_id)
    WHERE notified_contact_id IS NOT NULL;

-- FK: the vehicles of a campaign.
CREATE INDEX vehicle_recall_recall_campaign_idx
    ON auto.vehicle_recall (business_id, recall_campaign_id);

-- FK: the job that remedied it.
CREATE INDEX vehicle_recall_repair_job_idx
    ON auto.vehicle_recall (business_id, repair_job_id)
    WHERE repair_job_id IS NOT NULL;

ALTER TABLE auto.vehicle_recall ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.vehicle_recall
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.vehicle_recall TO app_user;
GRANT SELECT ON auto.vehicle_recall TO app_readonly;

CREATE TRIGGER vehicle_recall_touch
    BEFORE UPDATE ON auto.vehicle_recall
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER vehicle_recall_status_machine
    BEFORE INSERT OR UPDATE OF status ON auto.vehicle_recall
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["open", "not_applicable"],
        "transitions": {
            "open":               ["notified", "remedied", "not_applicable"],
            "notified":           ["referred_to_dealer", "remedied", "declined",
                                   "not_applicable"],
            "referred_to_dealer": ["remedied", "declined"],
            "declined":           ["notified", "remedied"],
            "remedied":           [],
            "not_applicable":     ["open"]
        }}');


CREATE FUNCTION auto.find_recalls(of_vehicle uuid) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    found_count integer;
BEGIN
    INSERT INTO auto.vehicle_recall (business_id, vehicle_id, recall_campaign_id, next_check_on)
    SELECT v.business_id, v.vehicle_id, c.recall_campaign_id, tenant_mgmt.today() + 90
    FROM auto.vehicle AS v
    JOIN auto.recall_campaign AS c ON c.business_id = v.business_id
    JOIN LATERAL JSON_TABLE(c.vin_ranges, '$[*]' COLUMNS (
        low text PATH '$.from', high text PATH '$.to')) AS span
        ON v.vin BETWEEN span.low AND span.high
    WHERE v.business_id = tenant_mgmt.current_business_id() AND v.vehicle_id = of_vehicle
    GROUP BY v.business_id, v.vehicle_id, c.recall_campaign_id
    ON CONFLICT (business_id, vehicle_id, recall_campaign_id) DO NOTHING;
    GET DIAGNOSTICS found_count = ROW_COUNT;
    RETURN found_count;
END
$$;
COMMENT ON FUNCTION auto.find_recalls(uuid) IS
    'Opens the recalls whose ranges of VINs hold the vehicle''s; returns how many are new.';


CREATE VIEW auto.v_vehicle_timeline WITH (security_invoker = true) AS
SELECT o.business_id, o.vehicle_id, o.opened_at AS happened_at, 'visit' AS kind,
       o.ro_number || ': ' || o.status AS title, o.repair_order_id AS source_id
FROM auto.repair_order AS o
UNION ALL
SELECT r.business_id, r.vehicle_id, r.read_at, 'odometer', r.odometer || ' by ' || r.source,
       r.odometer_reading_id
FROM auto.odometer_reading AS r
UNION ALL
SELECT s.business_id, s.vehicle_id, s.started_at, 'scan',
       s.session_kind || coalesce(': ' || d.codes, ''), s.diagnostic_session_id
FROM auto.diagnostic_session AS s
LEFT JOIN LATERAL (
    SELECT string_agg(x.dtc_code, ', ' ORDER BY x.dtc_code) AS codes
    FROM auto.detected_dtc AS x
    WHERE x.business_id = s.business_id AND x.diagnostic_session_id = s.diagnostic_session_id
) AS d ON true
UNION ALL
SELECT i.business_id, i.vehicle_id, i.started_at, 'inspection', i.inspection_number,
       i.inspection_id
FROM auto.inspection AS i
UNION ALL
SELECT w.business_id, w.vehicle_id, w.found_at, 'recall', c.component_name || ': ' || w.status,
       w.vehicle_recall_id
FROM auto.vehicle_recall AS w
JOIN auto.recall_campaign AS c
    ON c.business_id = w.business_id AND c.recall_campaign_id = w.recall_campaign_id
UNION ALL
SELECT n.business_id, n.vehicle_id, n.created_at, 'recommendation', n.status,
       n.service_recommendation_id
FROM auto.service_recommendation AS n;
COMMENT ON VIEW auto.v_vehicle_timeline IS
    'A vehicle''s visits, readings, scans, inspections, recalls and recommendations in one line of
     time.';
GRANT SELECT ON auto.v_vehicle_timeline TO app_user, app_readonly;
