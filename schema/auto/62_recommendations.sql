/*
 * Recommendations: work that a vehicle needs and nobody has sold yet.
 *
 * A service_recommendation comes from a red or yellow point, a trouble code, a maintenance
 * interval, a recall or telematics. It is quoted, then approved into a repair_job, declined or put off; what
 * was declined is followed up, and worth more than a new customer: mv_declined_work says how much
 * lies there. A vehicle is told the same thing once: findings that repeat renew the open
 * recommendation.
 */

CREATE TABLE auto.service_recommendation (
    business_id                  uuid              NOT NULL,
    service_recommendation_id    uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    converted_repair_job_id      uuid,
    recommended_by_technician_id uuid,
    vehicle_id                   uuid              NOT NULL,
    inspection_result_id         uuid,
    detected_dtc_id              uuid,
    maintenance_interval_id      uuid,
    canned_job_id                uuid,
    title                        text              NOT NULL,
    urgency                      text              NOT NULL,
    recommended_on               date              NOT NULL DEFAULT tenant_mgmt.today(),
    due_odometer                 integer,
    due_on                       date,
    quoted_amount                system_core.money NOT NULL DEFAULT 0,
    status                       text              NOT NULL DEFAULT 'open',
    declined_reason              text,
    decline_count                integer           NOT NULL DEFAULT 0,
    follow_up_on                 date,
    valid_until_on               date,
    source_kind                  text              NOT NULL,
    created_at                   timestamptz       NOT NULL DEFAULT now(),
    updated_at                   timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, service_recommendation_id),
    FOREIGN KEY (business_id, converted_repair_job_id)
        REFERENCES auto.repair_job (business_id, repair_job_id),
    FOREIGN KEY (business_id, recommended_by_technician_id)
        REFERENCES auto.technician (business_id, technician_id),
    FOREIGN KEY (business_id, vehicle_id) REFERENCES auto.vehicle (business_id, vehicle_id),
    FOREIGN KEY (business_id, inspection_result_id)
        REFERENCES auto.inspection_result (business_id, inspection_result_id),
    FOREIGN KEY (business_id, detected_dtc_id)
        REFERENCES auto.detected_dtc (business_id, detected_dtc_id),
    FOREIGN KEY (business_id, maintenance_interval_id)
        REFERENCES auto.maintenance_interval (business_id, maintenance_interval_id),
    FOREIGN KEY (business_id, canned_job_id)
        REFERENCES auto.canned_job (business_id, canned_job_id),
    CONSTRAINT service_recommendation_urgency_known
        CHECK (urgency IN ('safety_now', 'soon', 'monitor', 'maintenance')),
    CONSTRAINT service_recommendation_status_known
        CHECK (status IN ('open', 'quoted', 'approved', 'declined', 'deferred', 'done', 'expired')),
    CONSTRAINT service_recommendation_reason_known
        CHECK (declined_reason IN ('price', 'time', 'second_opinion', 'selling_vehicle',
                                   'did_elsewhere', 'other')),
    CONSTRAINT service_recommendation_source_known
        CHECK (source_kind IN ('inspection', 'dtc', 'interval', 'recall', 'history', 'telematics')),
    CONSTRAINT service_recommendation_sold_has_job
        CHECK (status NOT IN ('approved', 'done') OR converted_repair_job_id IS NOT NULL),
    CONSTRAINT service_recommendation_declined_has_reason
        CHECK (status <> 'declined' OR declined_reason IS NOT NULL),
    CONSTRAINT service_recommendation_amounts_not_negative
        CHECK (quoted_amount >= 0 AND decline_count >= 0 AND due_odometer >= 0),
    CONSTRAINT service_recommendation_valid_after_recommended
        CHECK (valid_until_on >= recommended_on)
);

COMMENT ON TABLE auto.service_recommendation IS
    'Work advised on a vehicle, from inspection, code, mileage or recall, until sold or lapsed.';
COMMENT ON COLUMN auto.service_recommendation.converted_repair_job_id IS 'The job it was sold as.';
COMMENT ON COLUMN auto.service_recommendation.decline_count IS
    'How often it was declined; kept by trigger.';
COMMENT ON COLUMN auto.service_recommendation.valid_until_on IS 'Last day of the quoted price.';

-- One open recommendation a vehicle and canned job.
CREATE UNIQUE INDEX service_recommendation_open_job_idx
    ON auto.service_recommendation (business_id, vehicle_id, canned_job_id)
    WHERE status IN ('open', 'quoted') AND canned_job_id IS NOT NULL;

-- Without a canned job: the same advice once.
CREATE UNIQUE INDEX service_recommendation_open_title_idx
    ON auto.service_recommendation (business_id, vehicle_id, title)
    WHERE status IN ('open', 'quoted') AND canned_job_id IS NULL;

-- Follow-up: what was declined or put off and is to be asked again.
CREATE INDEX service_recommendation_follow_up_idx
    ON auto.service_recommendation (business_id, follow_up_on)
    WHERE status IN ('declined', 'deferred');

-- FK: the service recommendations by their converted repair job.
CREATE INDEX service_recommendation_converted_repair_job_idx
    ON auto.service_recommendation (business_id, converted_repair_job_id)
    WHERE converted_repair_job_id IS NOT NULL;

-- FK: the service recommendations by their recommended by technician.
CREATE INDEX service_recommendation_recommended_by_technician_idx
    ON auto.service_recommendation (business_id, recommended_by_technician_id)
    WHERE recommended_by_technician_id IS NOT NULL;

-- FK and timeline: the recommendations of a vehicle, the newest first.
CREATE INDEX service_recommendation_vehicle_idx
    ON auto.service_recommendation (business_id, vehicle_id, recommended_on DESC);

-- FK: the service recommendations of an inspection result.
CREATE INDEX service_recommendation_inspection_result_idx
    ON auto.service_recommendation (business_id, inspection_result_id)
    WHERE inspection_result_id IS NOT NULL;

-- FK: the service recommendations of a detected dtc.
CREATE INDEX service_recommendation_detected_dtc_idx
    ON auto.service_recommendation (business_id, detected_dtc_id)
    WHERE detected_dtc_id IS NOT NULL;

-- FK: the service recommendations of a maintenance interval.
CREATE INDEX service_recommendation_maintenance_interval_idx
    ON auto.service_recommendation (business_id, maintenance_interval_id)
    WHERE maintenance_interval_id IS NOT NULL;

-- FK: the service recommendations of a canned job.
CREATE INDEX service_recommendation_canned_job_idx
    ON auto.service_recommendation (business_id, canned_job_id)
    WHERE canned_job_id IS NOT NULL;

ALTER TABLE auto.service_recommendation ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.service_recommendation
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.service_recommendation TO app_user;
GRANT SELECT ON auto.service_recommendation TO app_readonly;

CREATE TRIGGER service_recommendation_touch
    BEFORE UPDATE ON auto.service_recommendation
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER service_recommendation_status_machine
    BEFORE INSERT OR UPDATE OF status ON auto.service_recommendation
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["open", "quoted"],
        "transitions": {
            "open":     ["quoted", "approved", "declined", "deferred", "expired"],
            "quoted":   ["approved", "declined", "deferred", "expired", "open"],
            "approved": ["done", "declined"],
            "declined": ["quoted", "approved", "expired"],
            "deferred": ["quoted", "approved", "declined", "expired"],
            "done":     [],
            "expired":  ["open"]
        }}');

CREATE FUNCTION auto.count_decline() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.decline_count := OLD.decline_count + 1;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.count_decline() IS 'Counts how often a recommendation was declined.';

CREATE TRIGGER service_recommendation_declined
    BEFORE UPDATE OF status ON auto.service_recommendation
    FOR EACH ROW WHEN (NEW.status = 'declined' AND OLD.status <> 'declined')
    EXECUTE FUNCTION auto.count_decline();

CREATE FUNCTION auto.recommend_from_results() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active('auto.inspection_result')
       OR NOT EXISTS (SELECT FROM changed AS c WHERE c.condition IN ('red', 'yellow')) THEN
        RETURN NULL;
    END IF;
    WITH finding AS (
        SELECT DISTINCT ON (n.vehicle_id, i.canned_job_id, i.name)
               c.business_id, n.vehicle_id, n.technician_id, c.inspection_result_id,
               i.canned_job_id, i.name AS title, coalesce(j.fixed_price, 0) AS quoted_amount,
               CASE WHEN c.condition = 'yellow' THEN 'soon'
                    WHEN c.is_safety_critical THEN 'safety_now' ELSE 'soon' END AS urgency
        FROM changed AS c
        JOIN auto.inspection AS n
            ON n.business_id = c.business_id AND n.inspection_id = c.inspection_id
        JOIN auto.inspection_template_item AS i
            ON i.business_id = c.business_id
           AND i.inspection_template_item_id = c.inspection_template_item_id
        LEFT JOIN auto.canned_job AS j
            ON j.business_id = i.business_id AND j.canned_job_id = i.canned_job_id
        WHERE c.condition IN ('red', 'yellow')
        ORDER BY n.vehicle_id, i.canned_job_id, i.name, c.condition, c.wheel_position
    ), of_job AS (
        INSERT INTO auto.service_recommendation AS s
            (business_id, vehicle_id, recommended_by_technician_id, inspection_result_id,
             canned_job_id, title, urgency, quoted_amount, source_kind)
        SELECT DISTINCT ON (f.vehicle_id, f.canned_job_id)
               f.business_id, f.vehicle_id, f.technician_id, f.inspection_result_id,
               f.canned_job_id, f.title, f.urgency, f.quoted_amount, 'inspection'
        FROM finding AS f
        WHERE f.canned_job_id IS NOT NULL
        ORDER BY f.vehicle_id, f.canned_job_id, f.urgency, f.title
        ON CONFLICT (business_id, vehicle_id, canned_job_id)
            WHERE status IN ('open', 'quoted') AND canned_job_id IS NOT NULL
        DO UPDATE SET inspection_result_id = excluded.inspection_result_id,
                      urgency = CASE WHEN excluded.urgency = 'safety_now' THEN 'safety_now'
                                     WHEN s.urgency = 'safety_now' THEN s.urgency
                                     ELSE excluded.urgency END
    )
    INSERT INTO auto.service_recommendation AS s
        (business_id, vehicle_id, recommended_by_technician_id, inspection_result_id, title,
         urgency, source_kind)
    SELECT f.business_id, f.vehicle_id, f.technician_id, f.inspection_result_id, f.title,
           f.urgency, 'inspection'
    FROM finding AS f
    WHERE f.canned_job_id IS NULL
    ORDER BY f.vehicle_id, f.title
    ON CONFLICT (business_id, vehicle_id, title)
        WHERE status IN ('open', 'quoted') AND canned_job_id IS NULL
    DO UPDATE SET inspection_result_id = excluded.inspection_result_id,
                  urgency = CASE WHEN excluded.urgency = 'safety_now' THEN 'safety_now'
                                 WHEN s.urgency = 'safety_now' THEN s.urgency
                                 ELSE excluded.urgency END;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.recommend_from_results() IS
    'A red or yellow point is recommended once a vehicle and job; found again, the open
     recommendation names the newest finding and never loses its urgency. Imported results bring
     their recommendations along.';

CREATE TRIGGER inspection_result_recommends
    AFTER INSERT ON auto.inspection_result
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.recommend_from_results();

CREATE TRIGGER inspection_result_recommends_anew
    AFTER UPDATE ON auto.inspection_result
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.recommend_from_results();

CREATE FUNCTION auto.recommend_from_dtcs() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active('auto.detected_dtc') THEN
        INSERT INTO auto.service_recommendation AS s
            (business_id, vehicle_id, recommended_by_technician_id, detected_dtc_id, title,
             urgency, source_kind)
        SELECT DISTINCT ON (c.vehicle_id, c.dtc_code)
               c.business_id, c.vehicle_id, n.technician_id, c.detected_dtc_id,
               'Diagnose ' || c.dtc_code || coalesce(': ' || d.description, ''),
               CASE WHEN c.severity IN ('stop_safely', 'do_not_drive') THEN 'safety_now'
                    WHEN c.severity = 'info' THEN 'monitor' ELSE 'soon' END,
               'dtc'
        FROM changed AS c
        JOIN auto.diagnostic_session AS n
            ON n.business_id = c.business_id
           AND n.diagnostic_session_id = c.diagnostic_session_id
        LEFT JOIN auto.dtc_definition AS d
            ON d.business_id = c.business_id AND d.dtc_definition_id = c.dtc_definition_id
        WHERE c.resolution = 'open'
        ORDER BY c.vehicle_id, c.dtc_code, c.detected_dtc_id
        ON CONFLICT (business_id, vehicle_id, title)
            WHERE status IN ('open', 'quoted') AND canned_job_id IS NULL
        DO UPDATE SET detected_dtc_id = excluded.detected_dtc_id;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.recommend_from_dtcs() IS
    'A code that is read is recommended to be diagnosed, once a vehicle and code: read again, the
     open recommendation names the newest reading.';

CREATE TRIGGER detected_dtc_recommends
    AFTER INSERT ON auto.detected_dtc
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.recommend_from_dtcs();


CREATE MATERIALIZED VIEW auto.mv_declined_work AS
SELECT s.business_id, date_trunc('month', s.recommended_on::timestamp)::date AS month_start,
       s.urgency, s.canned_job_id, coalesce(j.name, 'Other work') AS job_name,
       count(*) AS declined_count,
       count(*) FILTER (WHERE s.status IN ('declined', 'deferred')) AS open_count,
       coalesce(sum(s.quoted_amount) FILTER (WHERE s.status IN ('declined', 'deferred')), 0)
           AS open_amount,
       count(*) FILTER (WHERE s.status IN ('approved', 'done')) AS converted_count,
       coalesce(sum(s.quoted_amount) FILTER (WHERE s.status IN ('approved', 'done')), 0)
           AS converted_amount
FROM auto.service_recommendation AS s
LEFT JOIN auto.canned_job AS j
    ON j.business_id = s.business_id AND j.canned_job_id = s.canned_job_id
WHERE s.status IN ('declined', 'deferred') OR s.decline_count > 0
GROUP BY s.business_id, month_start, s.urgency, s.canned_job_id, j.name
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW auto.mv_declined_work IS
    'Work that was declined or put off by month of advice, urgency and job: what of it is open, what
     was sold later; read through v_declined_work.';

-- Lets it be refreshed concurrently.
CREATE UNIQUE INDEX mv_declined_work_idx
    ON auto.mv_declined_work (business_id, month_start, urgency, canned_job_id)
    NULLS NOT DISTINCT;

GRANT USAGE ON SCHEMA auto TO matview_owner;
GRANT SELECT ON auto.service_recommendation, auto.canned_job TO matview_owner;

CREATE VIEW auto.v_declined_work WITH (security_barrier = true) AS
SELECT m.business_id, m.month_start, m.urgency, m.canned_job_id, m.job_name, m.declined_count,
       m.open_count, m.open_amount, m.converted_count, m.converted_amount
FROM auto.mv_declined_work AS m
WHERE m.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW auto.v_declined_work IS 'The tenant''s own part of mv_declined_work.';
GRANT SELECT ON auto.v_declined_work TO app_user, app_readonly;
