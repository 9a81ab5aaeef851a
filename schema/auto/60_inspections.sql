/*
 * Inspections: the walkaround at the counter and the look over the whole vehicle on the lift.
 *
 * vehicle_checkin is what advisor and customer agree on at arrival: odometer, fuel, damage that was
 * there before. An inspection_template is a form of 30 to 60 points (inspection_template_item) with
 * limits for what is measured; once published it is never edited, a new version is written, so that
 * an old inspection still reads as it was asked. An inspection is one performed form: each
 * inspection_result is green, yellow or red, derived from the limits where something is measured;
 * counts and score follow. Its link goes to the customer with inspection_media, because a picture
 * of a worn brake pad sells brakes; red and yellow become a service_recommendation (62).
 */

CREATE TABLE auto.inspection_template (
    business_id            uuid             NOT NULL,
    inspection_template_id uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    previous_template_id   uuid,
    shop_id                uuid,
    template_code          system_core.code NOT NULL,
    name                   text             NOT NULL,
    version_no             integer          NOT NULL DEFAULT 1,
    applies_to             text             NOT NULL,
    scoring                text             NOT NULL,
    estimated_minutes      integer,
    requires_media_on_red  boolean          NOT NULL DEFAULT false,
    requires_customer_view boolean          NOT NULL DEFAULT false,
    status                 text             NOT NULL DEFAULT 'draft',
    published_at           timestamptz,
    item_count             integer          NOT NULL DEFAULT 0,
    created_at             timestamptz      NOT NULL DEFAULT now(),
    updated_at             timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, inspection_template_id),
    UNIQUE (business_id, template_code, version_no),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, previous_template_id)
        REFERENCES auto.inspection_template (business_id, inspection_template_id),
    FOREIGN KEY (business_id, shop_id) REFERENCES auto.shop (business_id, shop_id),
    CONSTRAINT inspection_template_applies_to_known
        CHECK (applies_to IN ('all', 'gasoline', 'diesel', 'hybrid', 'battery_electric',
                              'heavy_truck', 'motorcycle', 'pre_purchase', 'courtesy')),
    CONSTRAINT inspection_template_scoring_known
        CHECK (scoring IN ('traffic_light', 'pass_fail', 'numeric')),
    CONSTRAINT inspection_template_status_known
        CHECK (status IN ('draft', 'published', 'retired')),
    CONSTRAINT inspection_template_minutes_positive CHECK (estimated_minutes > 0),
    CONSTRAINT inspection_template_version_positive CHECK (version_no > 0),
    CONSTRAINT inspection_template_published_has_time
        CHECK (status <> 'published' OR published_at IS NOT NULL),
    CONSTRAINT inspection_template_follows_another
        CHECK (previous_template_id <> inspection_template_id),
    CONSTRAINT inspection_template_item_count_not_negative CHECK (item_count >= 0)
);

COMMENT ON TABLE auto.inspection_template IS
    'Multi-point form by vehicle kind with version and scoring.';
COMMENT ON COLUMN auto.inspection_template.shop_id IS 'NULL: the form of every shop.';
COMMENT ON COLUMN auto.inspection_template.item_count IS 'Its points; kept by trigger.';
COMMENT ON COLUMN auto.inspection_template.requires_media_on_red IS
    'A red point is not finished without a picture.';

-- FK: the inspection templates by their previous template.
CREATE INDEX inspection_template_previous_template_idx
    ON auto.inspection_template (business_id, previous_template_id)
    WHERE previous_template_id IS NOT NULL;

-- FK: the inspection templates of a shop.
CREATE INDEX inspection_template_shop_idx
    ON auto.inspection_template (business_id, shop_id)
    WHERE shop_id IS NOT NULL;

ALTER TABLE auto.inspection_template ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.inspection_template
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.inspection_template TO app_user;
GRANT SELECT ON auto.inspection_template TO app_readonly;

CREATE TRIGGER inspection_template_touch
    BEFORE UPDATE ON auto.inspection_template
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER inspection_template_status_machine
    BEFORE INSERT OR UPDATE OF status ON auto.inspection_template
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":     ["published", "retired"],
            "published": ["retired"],
            "retired":   []
        }}');

CREATE FUNCTION auto.publish_inspection_template() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) AND NEW.item_count = 0 THEN
        RAISE EXCEPTION 'template % version % has no points', NEW.template_code, NEW.version_no
            USING ERRCODE = 'check_violation', HINT = 'Add its points before it is published.';
    END IF;
    NEW.published_at := coalesce(NEW.published_at, now());
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.publish_inspection_template() IS
    'A template is published with its points and says when.';

CREATE TRIGGER inspection_template_publish
    BEFORE UPDATE OF status ON auto.inspection_template
    FOR EACH ROW WHEN (NEW.status = 'published' AND OLD.status = 'draft')
    EXECUTE FUNCTION auto.publish_inspection_template();

CREATE FUNCTION auto.refuse_template_edit() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    free CONSTANT text[] := '{status,item_count,updated_at}';
BEGIN
    IF row_security_active(TG_RELID)
       AND (TG_OP = 'DELETE' OR to_jsonb(NEW) - free <> to_jsonb(OLD) - free) THEN
        RAISE EXCEPTION 'template % version % was published and is never edited',
                        OLD.template_code, OLD.version_no
            USING ERRCODE = 'check_violation',
                  HINT = 'Write a new version that names it as previous_template_id.';
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END
$$;
COMMENT ON FUNCTION auto.refuse_template_edit() IS
    'What was inspected by a form stays readable: only its status changes after publication.';

CREATE TRIGGER inspection_template_frozen
    BEFORE UPDATE OR DELETE ON auto.inspection_template
    FOR EACH ROW WHEN (OLD.status <> 'draft')
    EXECUTE FUNCTION auto.refuse_template_edit();


CREATE TABLE auto.inspection_template_item (
    business_id                 uuid                    NOT NULL,
    inspection_template_item_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    inspection_template_id      uuid                    NOT NULL,
    canned_job_id               uuid,
    part_type_id                uuid,
    item_seq                    integer                 NOT NULL,
    section_name                text,
    name                        text                    NOT NULL,
    response_kind               text                    NOT NULL DEFAULT 'condition',
    unit_code                   text,
    wheel_positions             text[]                  NOT NULL DEFAULT '{}',
    red_below_value             system_core.quantity,
    yellow_below_value          system_core.quantity,
    is_mandatory                boolean                 NOT NULL DEFAULT false,
    is_safety_item              boolean                 NOT NULL DEFAULT false,
    canned_findings             system_core.json_object,
    help_text                   text,
    created_at                  timestamptz             NOT NULL DEFAULT now(),
    updated_at                  timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, inspection_template_item_id),
    UNIQUE (business_id, inspection_template_id, item_seq),
    FOREIGN KEY (business_id, inspection_template_id)
        REFERENCES auto.inspection_template (business_id, inspection_template_id),
    FOREIGN KEY (business_id, canned_job_id)
        REFERENCES auto.canned_job (business_id, canned_job_id),
    FOREIGN KEY (business_id, part_type_id) REFERENCES auto.part_type (business_id, part_type_id),
    CONSTRAINT inspection_template_item_response_known
        CHECK (response_kind IN ('condition', 'measurement', 'yes_no', 'text', 'photo')),
    CONSTRAINT inspection_template_item_unit_known
        CHECK (unit_code IN ('mm', 'thirty_seconds_in', 'psi', 'volt', 'cca', 'percent',
                             'degree', 'ph')),
    CONSTRAINT inspection_template_item_red_below_yellow
        CHECK (red_below_value <= yellow_below_value),
    CONSTRAINT inspection_template_item_measured_in_unit
        CHECK ((response_kind = 'measurement') = (unit_code IS NOT NULL)),
    CONSTRAINT inspection_template_item_limits_are_measured
        CHECK (response_kind = 'measurement'
               OR num_nonnulls(red_below_value, yellow_below_value) = 0),
    CONSTRAINT inspection_template_item_wheels_known
        CHECK (wheel_positions <@ ARRAY['lf', 'rf', 'lr', 'rr', 'lri', 'lro', 'rri', 'rro',
                                        'spare']),
    CONSTRAINT inspection_template_item_seq_positive CHECK (item_seq > 0)
);

COMMENT ON TABLE auto.inspection_template_item IS
    'Point to check with its measurement, limits and the job it leads to.';
COMMENT ON COLUMN auto.inspection_template_item.wheel_positions IS
    'Asked once a wheel named here; empty: asked once.';
COMMENT ON COLUMN auto.inspection_template_item.red_below_value IS
    'Below it the point is red; below yellow_below_value yellow.';
COMMENT ON COLUMN auto.inspection_template_item.canned_job_id IS
    'What is recommended where it is found red or yellow.';
COMMENT ON COLUMN auto.inspection_template_item.canned_findings IS
    'Texts to choose from: {"red": […], "yellow": […]}.';

-- FK: the inspection template items of a canned job.
CREATE INDEX inspection_template_item_canned_job_idx
    ON auto.inspection_template_item (business_id, canned_job_id)
    WHERE canned_job_id IS NOT NULL;

-- FK: the inspection template items of a part type.
CREATE INDEX inspection_template_item_part_type_idx
    ON auto.inspection_template_item (business_id, part_type_id)
    WHERE part_type_id IS NOT NULL;

ALTER TABLE auto.inspection_template_item ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.inspection_template_item
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.inspection_template_item TO app_user;
GRANT SELECT ON auto.inspection_template_item TO app_readonly;

CREATE TRIGGER inspection_template_item_touch
    BEFORE UPDATE ON auto.inspection_template_item
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION auto.require_draft_template() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    found record;
BEGIN
    IF row_security_active(TG_RELID) THEN
        FOR found IN
            SELECT t.template_code, t.version_no, t.status
            FROM auto.inspection_template AS t
            WHERE (TG_OP <> 'DELETE' AND t.business_id = NEW.business_id
                   AND t.inspection_template_id = NEW.inspection_template_id)
               OR (TG_OP <> 'INSERT' AND t.business_id = OLD.business_id
                   AND t.inspection_template_id = OLD.inspection_template_id)
            FOR SHARE
        LOOP
            IF found.status <> 'draft' THEN
                RAISE EXCEPTION 'template % version % is %, its points are never edited',
                                found.template_code, found.version_no, found.status
                    USING ERRCODE = 'check_violation',
                          HINT = 'Write a new version that names it as previous_template_id.';
            END IF;
        END LOOP;
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END
$$;
COMMENT ON FUNCTION auto.require_draft_template() IS
    'Points are added, changed and removed while their template is a draft.';

CREATE TRIGGER inspection_template_item_of_draft
    BEFORE INSERT OR UPDATE OR DELETE ON auto.inspection_template_item
    FOR EACH ROW EXECUTE FUNCTION auto.require_draft_template();

CREATE FUNCTION auto.count_template_items() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE auto.inspection_template AS t
    SET item_count = n.items
    FROM (
        SELECT c.business_id, c.inspection_template_id,
               count(i.inspection_template_item_id) AS items
        FROM (SELECT DISTINCT x.business_id, x.inspection_template_id FROM changed AS x) AS c
        LEFT JOIN auto.inspection_template_item AS i
            ON i.business_id = c.business_id
           AND i.inspection_template_id = c.inspection_template_id
        GROUP BY c.business_id, c.inspection_template_id
    ) AS n
    WHERE t.business_id = n.business_id
      AND t.inspection_template_id = n.inspection_template_id AND t.item_count <> n.items;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.count_template_items() IS 'A template says how many points it has.';

CREATE TRIGGER inspection_template_item_counted
    AFTER INSERT ON auto.inspection_template_item
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.count_template_items();

CREATE TRIGGER inspection_template_item_discounted
    AFTER DELETE ON auto.inspection_template_item
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.count_template_items();


CREATE TABLE auto.inspection (
    business_id            uuid                 NOT NULL,
    inspection_id          uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    inspection_template_id uuid                 NOT NULL,
    repair_order_id        uuid                 NOT NULL,
    vehicle_id             uuid                 NOT NULL,
    technician_id          uuid                 NOT NULL,
    inspection_number      text                 NOT NULL,
    started_at             timestamptz          NOT NULL DEFAULT now(),
    completed_at           timestamptz,
    sent_to_customer_at    timestamptz,
    first_viewed_at        timestamptz,
    view_count             integer              NOT NULL DEFAULT 0,
    red_count              integer              NOT NULL DEFAULT 0,
    yellow_count           integer              NOT NULL DEFAULT 0,
    green_count            integer              NOT NULL DEFAULT 0,
    overall_score          system_core.score,
    share_token            text                 NOT NULL
                                                DEFAULT replace(gen_random_uuid()::text, '-', ''),
    battery_cca            system_core.quantity,
    status                 text                 NOT NULL DEFAULT 'pending',
    duration_minutes       integer              GENERATED ALWAYS AS (
        round(extract(epoch FROM completed_at - started_at) / 60)::integer) STORED,
    created_at             timestamptz          NOT NULL DEFAULT now(),
    updated_at             timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, inspection_id),
    UNIQUE (business_id, inspection_number),
    UNIQUE (business_id, share_token),
    FOREIGN KEY (business_id, inspection_template_id)
        REFERENCES auto.inspection_template (business_id, inspection_template_id),
    FOREIGN KEY (business_id, repair_order_id)
        REFERENCES auto.repair_order (business_id, repair_order_id),
    FOREIGN KEY (business_id, vehicle_id) REFERENCES auto.vehicle (business_id, vehicle_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES auto.technician (business_id, technician_id),
    CONSTRAINT inspection_status_known
        CHECK (status IN ('pending', 'in_progress', 'completed', 'sent', 'viewed', 'void')),
    CONSTRAINT inspection_completed_after_start CHECK (started_at <= completed_at),
    CONSTRAINT inspection_sent_after_completion CHECK (completed_at <= sent_to_customer_at),
    CONSTRAINT inspection_viewed_after_sending CHECK (sent_to_customer_at <= first_viewed_at),
    CONSTRAINT inspection_completed_has_time
        CHECK (status NOT IN ('completed', 'sent', 'viewed') OR completed_at IS NOT NULL),
    CONSTRAINT inspection_sent_has_time
        CHECK (status NOT IN ('sent', 'viewed') OR sent_to_customer_at IS NOT NULL),
    CONSTRAINT inspection_viewed_has_time
        CHECK (status <> 'viewed' OR first_viewed_at IS NOT NULL),
    CONSTRAINT inspection_viewed_is_counted
        CHECK ((view_count > 0) = (first_viewed_at IS NOT NULL)),
    CONSTRAINT inspection_counts_not_negative
        CHECK (red_count >= 0 AND yellow_count >= 0 AND green_count >= 0 AND view_count >= 0),
    CONSTRAINT inspection_score_of_hundred CHECK (overall_score BETWEEN 0 AND 100),
    CONSTRAINT inspection_token_not_guessable CHECK (length(share_token) >= 20)
);

COMMENT ON TABLE auto.inspection IS 'One performed inspection with its share link and score.';
COMMENT ON COLUMN auto.inspection.share_token IS
    'Secret part of the link that the customer opens without signing in.';
COMMENT ON COLUMN auto.inspection.overall_score IS
    'Of 100: green counts whole, yellow half, red nothing; kept by trigger as are the counts.';
COMMENT ON COLUMN auto.inspection.battery_cca IS 'Cold cranking amperes that the battery gave.';

-- FK: the inspections of an inspection template.
CREATE INDEX inspection_inspection_template_idx
    ON auto.inspection (business_id, inspection_template_id);

-- FK: the inspections of a repair order.
CREATE INDEX inspection_repair_order_idx ON auto.inspection (business_id, repair_order_id);

-- FK, timeline and wear: the inspections of a vehicle, the newest first.
CREATE INDEX inspection_vehicle_idx
    ON auto.inspection (business_id, vehicle_id, started_at DESC);

-- FK: the inspections of a technician.
CREATE INDEX inspection_technician_idx ON auto.inspection (business_id, technician_id);

ALTER TABLE auto.inspection ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.inspection
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.inspection TO app_user;
GRANT SELECT ON auto.inspection TO app_readonly;

CREATE TRIGGER inspection_touch
    BEFORE UPDATE ON auto.inspection
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER inspection_number
    BEFORE INSERT ON auto.inspection
    FOR EACH ROW WHEN (NEW.inspection_number IS NULL)
    EXECUTE FUNCTION system_core.assign_document_number(
        'inspection_number', 'auto_inspection', 'MPI-', 'inspection_id');

CREATE TRIGGER inspection_status_machine
    BEFORE INSERT OR UPDATE OF status ON auto.inspection
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["pending", "in_progress"],
        "transitions": {
            "pending":     ["in_progress", "void"],
            "in_progress": ["completed", "void"],
            "completed":   ["sent", "in_progress", "void"],
            "sent":        ["viewed", "void"],
            "viewed":      ["void"],
            "void":        []
        }}');

CREATE FUNCTION auto.complete_inspection() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    unanswered record;
BEGIN
    IF row_security_active(TG_RELID) THEN
        SELECT count(*) AS points, min(i.name) AS name INTO unanswered
        FROM auto.inspection_template_item AS i
        CROSS JOIN LATERAL unnest(
            CASE WHEN cardinality(i.wheel_positions) = 0 THEN '{none}'
                 ELSE i.wheel_positions END) AS w (position)
        WHERE i.business_id = NEW.business_id
          AND i.inspection_template_id = NEW.inspection_template_id AND i.is_mandatory
          AND NOT EXISTS (
              SELECT FROM auto.inspection_result AS r
              WHERE r.business_id = NEW.business_id AND r.inspection_id = NEW.inspection_id
                AND r.inspection_template_item_id = i.inspection_template_item_id
                AND r.wheel_position = w.position AND r.condition <> 'not_inspected');
        IF unanswered.points > 0 THEN
            RAISE EXCEPTION 'inspection %: % mandatory points are not answered, e.g. %',
                            NEW.inspection_number, unanswered.points, unanswered.name
                USING ERRCODE = 'check_violation',
                      HINT = 'Answer each mandatory point, or say that it is not applicable.';
        END IF;
    END IF;
    NEW.completed_at := coalesce(NEW.completed_at, now());
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.complete_inspection() IS
    'An inspection is complete when every mandatory point is answered at every wheel it is asked
     for.';

CREATE TRIGGER inspection_complete
    BEFORE UPDATE OF status ON auto.inspection
    FOR EACH ROW WHEN (NEW.status = 'completed' AND OLD.status <> 'completed')
    EXECUTE FUNCTION auto.complete_inspection();


CREATE TABLE auto.inspection_result (
    business_id                 uuid                 NOT NULL,
    inspection_result_id        uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    inspection_id               uuid                 NOT NULL,
    inspection_template_item_id uuid                 NOT NULL,
    wheel_position              text                 NOT NULL DEFAULT 'none',
    condition                   text                 NOT NULL,
    measured_value              system_core.quantity,
    unit_code                   system_core.code,
    finding_text                text,
    answered_at                 timestamptz,
    projected_due_on            date,
    is_safety_critical          boolean              NOT NULL DEFAULT false,
    previous_value              system_core.quantity,
    wear_per_1000_mi            system_core.quantity,
    created_at                  timestamptz          NOT NULL DEFAULT now(),
    updated_at                  timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, inspection_result_id),
    UNIQUE (business_id, inspection_id, inspection_template_item_id, wheel_position),
    FOREIGN KEY (business_id, inspection_id)
        REFERENCES auto.inspection (business_id, inspection_id),
    FOREIGN KEY (business_id, inspection_template_item_id)
        REFERENCES auto.inspection_template_item (business_id, inspection_template_item_id),
    CONSTRAINT inspection_result_wheel_known
        CHECK (wheel_position IN ('none', 'lf', 'rf', 'lr', 'rr', 'lri', 'lro', 'rri', 'rro',
                                  'spare')),
    CONSTRAINT inspection_result_condition_known
        CHECK (condition IN ('green', 'yellow', 'red', 'not_applicable', 'not_inspected')),
    CONSTRAINT inspection_result_finding_is_told
        CHECK (condition NOT IN ('red', 'yellow') OR coalesce(finding_text, '') ~ '\S'),
    CONSTRAINT inspection_result_answered_has_time
        CHECK (condition = 'not_inspected' OR answered_at IS NOT NULL)
);

COMMENT ON TABLE auto.inspection_result IS 'Answer to one point, per wheel position where asked.';
COMMENT ON COLUMN auto.inspection_result.condition IS
    'Follows from measured_value where the point has limits.';
COMMENT ON COLUMN auto.inspection_result.previous_value IS
    'What the same point of this vehicle measured the last time.';
COMMENT ON COLUMN auto.inspection_result.wear_per_1000_mi IS
    'Lost since the previous value per 1,000 miles driven; it projects the due date.';
COMMENT ON COLUMN auto.inspection_result.projected_due_on IS
    'When the red limit is reached at this wear.';

-- FK: the inspection results of an inspection template item.
CREATE INDEX inspection_result_inspection_template_item_idx
    ON auto.inspection_result (business_id, inspection_template_item_id);

ALTER TABLE auto.inspection_result ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.inspection_result
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.inspection_result TO app_user;
GRANT SELECT ON auto.inspection_result TO app_readonly;

CREATE TRIGGER inspection_result_touch
    BEFORE UPDATE ON auto.inspection_result
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION auto.judge_inspection_result() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    point        record;
    red_below    numeric;
    yellow_below numeric;
BEGIN
    SELECT i.name, i.unit_code, i.wheel_positions, i.red_below_value, i.yellow_below_value,
           i.is_safety_item, t.applies_to
    INTO point
    FROM auto.inspection_template_item AS i
    JOIN auto.inspection_template AS t
        ON t.business_id = i.business_id AND t.inspection_template_id = i.inspection_template_id
    WHERE i.business_id = NEW.business_id
      AND i.inspection_template_item_id = NEW.inspection_template_item_id;
    IF NOT FOUND THEN
        RETURN NEW; -- The foreign key refuses it.
    END IF;
    IF cardinality(point.wheel_positions) > 0 AND NEW.wheel_position <> ALL (point.wheel_positions)
       OR cardinality(point.wheel_positions) = 0 AND NEW.wheel_position <> 'none' THEN
        RAISE EXCEPTION 'point "%" is not asked for wheel %', point.name, NEW.wheel_position
            USING ERRCODE = 'check_violation',
                  HINT = 'Answer it for each of its wheel_positions, or none if it has none.';
    END IF;
    NEW.unit_code := coalesce(NEW.unit_code, point.unit_code);
    NEW.is_safety_critical := NEW.is_safety_critical OR point.is_safety_item;

    red_below := point.red_below_value;
    yellow_below := point.yellow_below_value;
    IF point.unit_code = 'thirty_seconds_in' AND point.applies_to = 'heavy_truck'
       AND NEW.wheel_position IN ('lf', 'rf') THEN
        red_below := greatest(red_below, 4);
        yellow_below := greatest(yellow_below, 6);
    END IF;
    IF NEW.measured_value IS NOT NULL AND num_nonnulls(red_below, yellow_below) > 0 THEN
        NEW.condition := CASE
            WHEN NEW.measured_value < red_below
                THEN CASE WHEN NEW.wheel_position = 'spare' THEN 'yellow' ELSE 'red' END
            WHEN NEW.measured_value < yellow_below THEN 'yellow'
            ELSE 'green' END;
        IF NEW.condition IN ('red', 'yellow') THEN
            NEW.finding_text := coalesce(NEW.finding_text, format(
                '%s: %s %s, limit %s', point.name, trim_scale(NEW.measured_value),
                replace(point.unit_code, '_', ' '),
                trim_scale(CASE NEW.condition WHEN 'red' THEN red_below
                           ELSE coalesce(yellow_below, red_below) END)));
        END IF;
    END IF;
    IF NEW.condition <> 'not_inspected' THEN
        NEW.answered_at := coalesce(NEW.answered_at, now());
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.judge_inspection_result() IS
    'A measured point is judged by its limits, and its finding worded. A steering tire of a heavy
     truck needs 4/32 in where others need 2 (49 CFR 393.75); a worn spare is no more than yellow,
     it is not on the road.';

CREATE FUNCTION auto.compare_inspection_result() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    before record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    SELECT r.measured_value, n.started_at - i.started_at AS since,
           (n.started_at AT TIME ZONE 'UTC')::date AS today, p.red_below_value,
           m.odometer_in_reading - o.odometer_in_reading AS driven
    INTO before
    FROM auto.inspection AS n
    JOIN auto.repair_order AS m
        ON m.business_id = n.business_id AND m.repair_order_id = n.repair_order_id
    JOIN auto.inspection AS i
        ON i.business_id = n.business_id AND i.vehicle_id = n.vehicle_id
       AND i.started_at < n.started_at AND i.status <> 'void'
    JOIN auto.repair_order AS o
        ON o.business_id = i.business_id AND o.repair_order_id = i.repair_order_id
    JOIN auto.inspection_result AS r
        ON r.business_id = i.business_id AND r.inspection_id = i.inspection_id
       AND r.inspection_template_item_id = NEW.inspection_template_item_id
       AND r.wheel_position = NEW.wheel_position AND r.measured_value IS NOT NULL
    JOIN auto.inspection_template_item AS p
        ON p.business_id = r.business_id
       AND p.inspection_template_item_id = r.inspection_template_item_id
    WHERE n.business_id = NEW.business_id AND n.inspection_id = NEW.inspection_id
    ORDER BY i.started_at DESC
    LIMIT 1;
    NEW.previous_value := before.measured_value;
    NEW.wear_per_1000_mi := CASE WHEN before.driven > 0
        THEN round((before.measured_value - NEW.measured_value) * 1000 / before.driven, 4) END;
    -- As fast as since the last time, until the red limit; at most ten years ahead.
    NEW.projected_due_on := CASE WHEN before.measured_value > NEW.measured_value
        THEN before.today + least(3650, greatest(0, ceil(
            (NEW.measured_value - before.red_below_value)
            / (before.measured_value - NEW.measured_value)
            * extract(epoch FROM before.since) / 86400)))::integer END;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.compare_inspection_result() IS
    'Compares a measurement with the last one at the same point and wheel of the vehicle: its wear
     per distance, and when it reaches the red limit at this pace.';

CREATE TRIGGER inspection_result_compared
    BEFORE INSERT OR UPDATE OF measured_value ON auto.inspection_result
    FOR EACH ROW WHEN (NEW.measured_value IS NOT NULL)
    EXECUTE FUNCTION auto.compare_inspection_result();

CREATE TRIGGER inspection_result_judged
    BEFORE INSERT OR UPDATE OF inspection_template_item_id, wheel_position, condition,
                               measured_value
    ON auto.inspection_result
    FOR EACH ROW EXECUTE FUNCTION auto.judge_inspection_result();

CREATE FUNCTION auto.score_inspections() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- Parallel answers to one inspection count one after the other.
    PERFORM FROM auto.inspection AS i
    WHERE (i.business_id, i.inspection_id)
          IN (SELECT x.business_id, x.inspection_id FROM changed AS x)
    ORDER BY i.inspection_id
    FOR UPDATE;
    UPDATE auto.inspection AS i
    SET red_count = n.red, yellow_count = n.yellow, green_count = n.green,
        overall_score = round(100 * (n.green + 0.5 * n.yellow)
                              / nullif(n.green + n.yellow + n.red, 0), 2)
    FROM (
        SELECT c.business_id, c.inspection_id,
               count(*) FILTER (WHERE r.condition = 'red') AS red,
               count(*) FILTER (WHERE r.condition = 'yellow') AS yellow,
               count(*) FILTER (WHERE r.condition = 'green') AS green
        FROM (SELECT DISTINCT x.business_id, x.inspection_id FROM changed AS x) AS c
        LEFT JOIN auto.inspection_result AS r
            ON r.business_id = c.business_id AND r.inspection_id = c.inspection_id
        GROUP BY c.business_id, c.inspection_id
    ) AS n
    WHERE i.business_id = n.business_id AND i.inspection_id = n.inspection_id
      AND (i.red_count, i.yellow_count, i.green_count)
          IS DISTINCT FROM (n.red, n.yellow, n.green);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.score_inspections() IS
    'An inspection counts its colors; the score gives a green point whole and a yellow one half.';

CREATE TRIGGER inspection_result_scored
    AFTER INSERT ON auto.inspection_result
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.score_inspections();

CREATE TRIGGER inspection_result_rescored
    AFTER UPDATE ON auto.inspection_result
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.score_inspections();

CREATE TRIGGER inspection_result_unscored
    AFTER DELETE ON auto.inspection_result
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.score_inspections();


CREATE TABLE auto.vehicle_checkin (
    business_id            uuid                    NOT NULL,
    vehicle_checkin_id     uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    received_by_user_id    uuid,
    signature_file_id      uuid,
    repair_order_id        uuid                    NOT NULL,
    vehicle_id             uuid                    NOT NULL,
    customer_contact_id    uuid,
    checked_in_at          timestamptz             NOT NULL DEFAULT now(),
    odometer               integer,
    fuel_level_pct         system_core.percentage,
    soc_pct                system_core.percentage,
    warning_lights         text[]                  NOT NULL DEFAULT '{}',
    damage_marks           system_core.json_object,
    personal_items_text    text,
    wheel_lock_key         text                    NOT NULL DEFAULT 'none',
    valet_key              boolean                 NOT NULL DEFAULT false,
    plate_photo_ocr        text,
    dash_message_text      text,
    parts_return_requested boolean                 NOT NULL DEFAULT false,
    created_at             timestamptz             NOT NULL DEFAULT now(),
    updated_at             timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, vehicle_checkin_id),
    UNIQUE (business_id, repair_order_id),
    FOREIGN KEY (business_id, received_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, signature_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, repair_order_id)
        REFERENCES auto.repair_order (business_id, repair_order_id),
    FOREIGN KEY (business_id, vehicle_id) REFERENCES auto.vehicle (business_id, vehicle_id),
    FOREIGN KEY (business_id, customer_contact_id)
        REFERENCES auto.customer_contact (business_id, customer_contact_id),
    CONSTRAINT vehicle_checkin_wheel_lock_key_known
        CHECK (wheel_lock_key IN ('present', 'missing', 'none')),
    CONSTRAINT vehicle_checkin_fuel_of_tank CHECK (fuel_level_pct BETWEEN 0 AND 100),
    CONSTRAINT vehicle_checkin_charge_of_battery CHECK (soc_pct BETWEEN 0 AND 100),
    CONSTRAINT vehicle_checkin_odometer_not_negative CHECK (odometer >= 0)
);

COMMENT ON TABLE auto.vehicle_checkin IS
    'Walkaround at arrival: odometer, fuel, warning lights, damage marks, belongings and
     signature.';
COMMENT ON COLUMN auto.vehicle_checkin.soc_pct IS 'Charge of the traction battery.';
COMMENT ON COLUMN auto.vehicle_checkin.wheel_lock_key IS
    'none: the wheels have no lock; missing: it has, and nobody can take them off.';
COMMENT ON COLUMN auto.vehicle_checkin.parts_return_requested IS
    'The customer wants the replaced parts back, as the law of many states grants.';

-- FK: the vehicle checkins by their received by user.
CREATE INDEX vehicle_checkin_received_by_user_idx
    ON auto.vehicle_checkin (business_id, received_by_user_id)
    WHERE received_by_user_id IS NOT NULL;

-- FK: the vehicle checkins by their signature file.
CREATE INDEX vehicle_checkin_signature_file_idx
    ON auto.vehicle_checkin (business_id, signature_file_id)
    WHERE signature_file_id IS NOT NULL;

-- FK: the vehicle checkins of a vehicle.
CREATE INDEX vehicle_checkin_vehicle_idx ON auto.vehicle_checkin (business_id, vehicle_id);

-- FK: the vehicle checkins of a customer contact.
CREATE INDEX vehicle_checkin_customer_contact_idx
    ON auto.vehicle_checkin (business_id, customer_contact_id)
    WHERE customer_contact_id IS NOT NULL;

ALTER TABLE auto.vehicle_checkin ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.vehicle_checkin
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.vehicle_checkin TO app_user;
GRANT SELECT ON auto.vehicle_checkin TO app_readonly;

CREATE TRIGGER vehicle_checkin_touch
    BEFORE UPDATE ON auto.vehicle_checkin
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION auto.require_trusted_odometer() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    trusted integer;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    SELECT r.odometer INTO trusted
    FROM auto.odometer_reading AS r
    WHERE r.business_id = NEW.business_id AND r.vehicle_id = NEW.vehicle_id
      AND NOT r.is_suspect AND r.odometer IS NOT NULL AND r.read_at <= NEW.checked_in_at
    ORDER BY r.read_at DESC
    LIMIT 1;
    IF NEW.odometer < trusted AND NOT EXISTS (
        SELECT FROM auto.odometer_reading AS r
        WHERE r.business_id = NEW.business_id AND r.vehicle_id = NEW.vehicle_id
          AND r.is_suspect AND r.odometer = NEW.odometer) THEN
        RAISE EXCEPTION 'the odometer stood at %, it cannot show %', trusted, NEW.odometer
            USING ERRCODE = 'check_violation',
                  HINT = 'Read it again; where it is right, record it as a suspect reading first.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.require_trusted_odometer() IS
    'An odometer below the last trusted reading is flagged (a suspect odometer_reading) before a
     check-in takes it: a typing error otherwise, or a rolled back odometer (49 CFR 580).';

CREATE TRIGGER vehicle_checkin_odometer_trusted
    BEFORE INSERT OR UPDATE OF odometer ON auto.vehicle_checkin
    FOR EACH ROW WHEN (NEW.odometer IS NOT NULL)
    EXECUTE FUNCTION auto.require_trusted_odometer();


CREATE TABLE auto.inspection_media (
    business_id          uuid                    NOT NULL,
    inspection_media_id  uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    inspection_id        uuid,
    inspection_result_id uuid,
    vehicle_checkin_id   uuid,
    file_object_id       uuid,
    media_kind           text                    NOT NULL,
    captured_at          timestamptz             NOT NULL DEFAULT now(),
    caption              text,
    annotations          system_core.json_object,
    display_seq          integer                 NOT NULL DEFAULT 1,
    is_customer_visible  boolean                 NOT NULL DEFAULT false,
    duration_seconds     integer,
    plate_blurred        boolean                 NOT NULL DEFAULT false,
    upload_status        text                    NOT NULL DEFAULT 'pending',
    device_ref           text,
    created_at           timestamptz             NOT NULL DEFAULT now(),
    updated_at           timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, inspection_media_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, inspection_id)
        REFERENCES auto.inspection (business_id, inspection_id),
    FOREIGN KEY (business_id, inspection_result_id)
        REFERENCES auto.inspection_result (business_id, inspection_result_id),
    FOREIGN KEY (business_id, vehicle_checkin_id)
        REFERENCES auto.vehicle_checkin (business_id, vehicle_checkin_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT inspection_media_kind_known
        CHECK (media_kind IN ('photo', 'video', 'audio', 'thermal', 'borescope')),
    CONSTRAINT inspection_media_upload_known
        CHECK (upload_status IN ('pending', 'uploaded', 'failed')),
    CONSTRAINT inspection_media_uploaded_has_file
        CHECK (upload_status <> 'uploaded' OR file_object_id IS NOT NULL),
    CONSTRAINT inspection_media_lasts_if_played
        CHECK (duration_seconds IS NULL OR media_kind IN ('video', 'audio')),
    CONSTRAINT inspection_media_duration_positive CHECK (duration_seconds > 0),
    CONSTRAINT inspection_media_of_one_look
        CHECK (num_nonnulls(inspection_id, vehicle_checkin_id) = 1),
    CONSTRAINT inspection_media_point_of_inspection
        CHECK (inspection_result_id IS NULL OR inspection_id IS NOT NULL)
);

COMMENT ON TABLE auto.inspection_media IS
    'Photo or clip taken at a point, with annotation and customer visibility.';
COMMENT ON COLUMN auto.inspection_media.plate_blurred IS
    'Plates of others are made unreadable; the customer sees pictures of the own vehicle only, as
     each belongs to an inspection or check-in.';
COMMENT ON COLUMN auto.inspection_media.annotations IS 'Arrows and circles drawn on the picture.';

-- FK and the customer's page: the media of an inspection in their order.
CREATE INDEX inspection_media_inspection_idx
    ON auto.inspection_media (business_id, inspection_id, display_seq)
    WHERE inspection_id IS NOT NULL;

-- FK: the media of an inspection result.
CREATE INDEX inspection_media_inspection_result_idx
    ON auto.inspection_media (business_id, inspection_result_id)
    WHERE inspection_result_id IS NOT NULL;

-- FK: the media of a vehicle checkin.
CREATE INDEX inspection_media_vehicle_checkin_idx
    ON auto.inspection_media (business_id, vehicle_checkin_id)
    WHERE vehicle_checkin_id IS NOT NULL;

-- FK: the media of a file object.
CREATE INDEX inspection_media_file_object_idx
    ON auto.inspection_media (business_id, file_object_id)
    WHERE file_object_id IS NOT NULL;

ALTER TABLE auto.inspection_media ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.inspection_media
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.inspection_media TO app_user;
GRANT SELECT ON auto.inspection_media TO app_readonly;

CREATE TRIGGER inspection_media_touch
    BEFORE UPDATE ON auto.inspection_media
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER inspection_media_upload_machine
    BEFORE INSERT OR UPDATE OF upload_status ON auto.inspection_media
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('upload_status', '{
        "initial": ["pending", "uploaded"],
        "transitions": {
            "pending":  ["uploaded", "failed"],
            "failed":   ["pending", "uploaded"],
            "uploaded": []
        }}');
