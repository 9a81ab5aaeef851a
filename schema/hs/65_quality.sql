/*
 * Quality: checklists, what they find, and what is done about it.
 *
 * An inspection_template is a version of a checklist with its inspection_template_item questions;
 * once published it stays as it is. An inspection is a checklist filled in, an inspection_response
 * one answer; score, critical failures and result of the inspection follow from the answers, and a
 * failed critical question opens a deficiency. A corrective_action answers a deficiency, an
 * incident or a complaint. A callback ties the unpaid return to the job that it mends; what
 * customers say is customer_survey where they were asked, customer_complaint where they were not.
 */

CREATE TABLE hs.inspection_template (
    business_id            uuid                   NOT NULL,
    inspection_template_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    business_unit_id       uuid,
    job_type_id            uuid,
    template_code          system_core.code       NOT NULL,
    version_no             integer                NOT NULL DEFAULT 1,
    name                   text                   NOT NULL,
    inspection_kind        text                   NOT NULL,
    scoring                text                   NOT NULL DEFAULT 'pass_fail',
    pass_threshold_pct     system_core.percentage NOT NULL DEFAULT 80,
    sampling_pct           system_core.percentage NOT NULL DEFAULT 100,
    status                 text                   NOT NULL DEFAULT 'draft',
    is_customer_facing     boolean                NOT NULL DEFAULT false,
    published_at           timestamptz,
    created_at             timestamptz            NOT NULL DEFAULT now(),
    updated_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, inspection_template_id),
    UNIQUE (business_id, template_code, version_no),
    UNIQUE (business_id, inspection_template_id, inspection_kind),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, business_unit_id)
        REFERENCES hs.business_unit (business_id, business_unit_id),
    FOREIGN KEY (business_id, job_type_id) REFERENCES hs.job_type (business_id, job_type_id),
    CONSTRAINT inspection_template_kind_known
        CHECK (inspection_kind IN ('maintenance', 'safety', 'install_qc', 'ride_along', 'truck',
                                   'home_assessment')),
    CONSTRAINT inspection_template_scoring_known
        CHECK (scoring IN ('pass_fail', 'weighted', 'none')),
    CONSTRAINT inspection_template_status_known
        CHECK (status IN ('draft', 'published', 'retired')),
    CONSTRAINT inspection_template_version_positive CHECK (version_no >= 1),
    CONSTRAINT inspection_template_threshold_bounded CHECK (pass_threshold_pct BETWEEN 0 AND 100),
    CONSTRAINT inspection_template_sampling_bounded CHECK (sampling_pct BETWEEN 0 AND 100),
    CONSTRAINT inspection_template_published_has_time
        CHECK (status <> 'published' OR published_at IS NOT NULL)
);

COMMENT ON TABLE hs.inspection_template IS
    'A version of a checklist: tune-up, safety, quality of an installation, ride-along, truck.';
COMMENT ON COLUMN hs.inspection_template.sampling_pct IS
    'Share of the jobs that it applies to which are inspected.';
COMMENT ON COLUMN hs.inspection_template.is_customer_facing IS
    'Whether the customer gets the filled checklist.';

-- One version of a checklist is in use.
CREATE UNIQUE INDEX inspection_template_published_idx
    ON hs.inspection_template (business_id, template_code)
    WHERE status = 'published';

-- FK: the checklists of a unit.
CREATE INDEX inspection_template_unit_idx
    ON hs.inspection_template (business_id, business_unit_id)
    WHERE business_unit_id IS NOT NULL;

-- FK: the checklists of a kind of job.
CREATE INDEX inspection_template_job_type_idx
    ON hs.inspection_template (business_id, job_type_id)
    WHERE job_type_id IS NOT NULL;

ALTER TABLE hs.inspection_template ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.inspection_template
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.inspection_template TO app_user;
GRANT SELECT ON hs.inspection_template TO app_readonly;

CREATE TRIGGER inspection_template_touch
    BEFORE UPDATE ON hs.inspection_template
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER inspection_template_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.inspection_template
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":     ["published", "retired"],
            "published": ["retired"],
            "retired":   []
        }}');

CREATE FUNCTION hs.keep_published_template() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RAISE EXCEPTION '% version % is %', OLD.template_code, OLD.version_no, OLD.status
            USING ERRCODE = 'restrict_violation', HINT = 'Make a new version of it.';
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
COMMENT ON FUNCTION hs.keep_published_template() IS
    'A checklist that was used says what was asked: only its status goes on.';

CREATE TRIGGER inspection_template_keep_published
    BEFORE UPDATE ON hs.inspection_template
    FOR EACH ROW WHEN (
        OLD.status <> 'draft'
        AND (OLD.business_unit_id, OLD.job_type_id, OLD.template_code, OLD.version_no, OLD.name,
             OLD.inspection_kind, OLD.scoring, OLD.pass_threshold_pct, OLD.is_customer_facing,
             OLD.published_at)
            IS DISTINCT FROM
            (NEW.business_unit_id, NEW.job_type_id, NEW.template_code, NEW.version_no, NEW.name,
             NEW.inspection_kind, NEW.scoring, NEW.pass_threshold_pct, NEW.is_customer_facing,
             NEW.published_at))
    EXECUTE FUNCTION hs.keep_published_template();

CREATE TRIGGER inspection_template_keep_used
    BEFORE DELETE ON hs.inspection_template
    FOR EACH ROW WHEN (OLD.status <> 'draft')
    EXECUTE FUNCTION hs.keep_published_template();


CREATE TABLE hs.inspection_template_item (
    business_id                 uuid              NOT NULL,
    inspection_template_item_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    inspection_template_id      uuid              NOT NULL,
    suggested_task_id           uuid,
    section_name                text              NOT NULL,
    item_seq                    integer           NOT NULL,
    prompt                      text              NOT NULL,
    answer_kind                 text              NOT NULL DEFAULT 'pass_fail',
    choices                     system_core.json_array,
    unit_code                   text,
    min_value                   numeric,
    max_value                   numeric,
    weight_score                system_core.score NOT NULL DEFAULT 1,
    is_mandatory                boolean           NOT NULL DEFAULT true,
    is_critical                 boolean           NOT NULL DEFAULT false,
    requires_photo_on_fail      boolean           NOT NULL DEFAULT false,
    help_text                   text,
    created_at                  timestamptz       NOT NULL DEFAULT now(),
    updated_at                  timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, inspection_template_item_id),
    UNIQUE (business_id, inspection_template_id, item_seq),
    FOREIGN KEY (business_id, inspection_template_id)
        REFERENCES hs.inspection_template (business_id, inspection_template_id)
        ON DELETE CASCADE,
    FOREIGN KEY (business_id, suggested_task_id)
        REFERENCES hs.service_task (business_id, service_task_id),
    CONSTRAINT inspection_template_item_answer_kind_known
        CHECK (answer_kind IN ('pass_fail', 'rating', 'number', 'text', 'choice', 'photo',
                               'signature')),
    CONSTRAINT inspection_template_item_seq_positive CHECK (item_seq >= 1),
    CONSTRAINT inspection_template_item_choices_of_choice
        CHECK ((answer_kind = 'choice') = (choices IS NOT NULL)),
    CONSTRAINT inspection_template_item_offers_a_choice CHECK (choices <> '[]'),
    CONSTRAINT inspection_template_item_values_ordered CHECK (max_value >= min_value),
    CONSTRAINT inspection_template_item_limits_of_values
        CHECK (answer_kind IN ('number', 'rating') OR num_nonnulls(min_value, max_value) = 0),
    CONSTRAINT inspection_template_item_rating_has_top
        CHECK (answer_kind <> 'rating' OR (max_value IS NOT NULL AND max_value > 0)),
    CONSTRAINT inspection_template_item_weight_not_negative CHECK (weight_score >= 0)
);

COMMENT ON TABLE hs.inspection_template_item IS
    'A question of a checklist, how it is answered and how much it weighs.';
COMMENT ON COLUMN hs.inspection_template_item.suggested_task_id IS
    'The service task to offer where it fails.';
COMMENT ON COLUMN hs.inspection_template_item.choices IS 'Array of the texts to choose from.';
COMMENT ON COLUMN hs.inspection_template_item.min_value IS
    'A number outside its limits cannot pass; a rating goes up to max_value.';
COMMENT ON COLUMN hs.inspection_template_item.is_critical IS
    'Where it fails, the inspection fails and a deficiency is opened.';

-- FK: where a task is suggested.
CREATE INDEX inspection_template_item_task_idx
    ON hs.inspection_template_item (business_id, suggested_task_id)
    WHERE suggested_task_id IS NOT NULL;

ALTER TABLE hs.inspection_template_item ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.inspection_template_item
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.inspection_template_item TO app_user;
GRANT SELECT ON hs.inspection_template_item TO app_readonly;

CREATE TRIGGER inspection_template_item_touch
    BEFORE UPDATE ON hs.inspection_template_item
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION hs.keep_published_items() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    kept record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    SELECT t.template_code, t.version_no, t.status INTO kept
    FROM changed AS c
    JOIN hs.inspection_template AS t
        ON t.business_id = c.business_id AND t.inspection_template_id = c.inspection_template_id
    WHERE t.status <> 'draft'
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the questions of % version % are %', kept.template_code, kept.version_no,
                        kept.status
            USING ERRCODE = 'restrict_violation', HINT = 'Make a new version of it.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.keep_published_items() IS
    'Questions come and go with a draft only; who imports brings published checklists whole.';

CREATE TRIGGER inspection_template_item_keep_insert
    AFTER INSERT ON hs.inspection_template_item
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.keep_published_items();

CREATE TRIGGER inspection_template_item_keep_update_from
    AFTER UPDATE ON hs.inspection_template_item
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.keep_published_items();

CREATE TRIGGER inspection_template_item_keep_update_to
    AFTER UPDATE ON hs.inspection_template_item
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.keep_published_items();

CREATE TRIGGER inspection_template_item_keep_delete
    AFTER DELETE ON hs.inspection_template_item
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.keep_published_items();


CREATE TABLE hs.inspection (
    business_id             uuid             NOT NULL,
    inspection_id           uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    inspection_template_id  uuid             NOT NULL,
    inspection_kind         text             NOT NULL,
    work_order_id           uuid,
    service_location_id     uuid,
    inspector_technician_id uuid             NOT NULL,
    audited_technician_id   uuid,
    inspection_number       system_core.code NOT NULL,
    status                  text             NOT NULL DEFAULT 'scheduled',
    score_pct               system_core.percentage,
    critical_fail_count     integer          NOT NULL DEFAULT 0,
    result                  text,
    reviewer_note           text,
    scheduled_on            date             NOT NULL DEFAULT current_date,
    next_due_on             date,
    started_at              timestamptz,
    submitted_at            timestamptz,
    created_at              timestamptz      NOT NULL DEFAULT now(),
    updated_at              timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, inspection_id),
    UNIQUE (business_id, inspection_number),
    FOREIGN KEY (business_id, inspection_template_id, inspection_kind)
        REFERENCES hs.inspection_template (business_id, inspection_template_id, inspection_kind),
    FOREIGN KEY (business_id, work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id),
    FOREIGN KEY (business_id, service_location_id)
        REFERENCES hs.service_location (business_id, service_location_id),
    FOREIGN KEY (business_id, inspector_technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    FOREIGN KEY (business_id, audited_technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    CONSTRAINT inspection_status_known
        CHECK (status IN ('scheduled', 'in_progress', 'submitted', 'approved', 'rejected',
                          'void')),
    CONSTRAINT inspection_result_known CHECK (result IN ('pass', 'conditional', 'fail')),
    CONSTRAINT inspection_score_bounded CHECK (score_pct BETWEEN 0 AND 100),
    CONSTRAINT inspection_critical_not_negative CHECK (critical_fail_count >= 0),
    CONSTRAINT inspection_critical_fails
        CHECK (critical_fail_count = 0 OR (result IS NOT NULL AND result = 'fail')),
    CONSTRAINT inspection_by_another
        CHECK (inspection_kind NOT IN ('install_qc', 'ride_along')
               OR inspector_technician_id <> audited_technician_id),
    CONSTRAINT inspection_has_a_place
        CHECK (inspection_kind IN ('ride_along', 'truck')
               OR num_nonnulls(work_order_id, service_location_id) >= 1),
    CONSTRAINT inspection_started_has_time
        CHECK (status IN ('scheduled', 'void') OR started_at IS NOT NULL),
    CONSTRAINT inspection_submitted_has_time
        CHECK (status NOT IN ('submitted', 'approved', 'rejected') OR submitted_at IS NOT NULL),
    CONSTRAINT inspection_submitted_after_start CHECK (submitted_at >= started_at),
    CONSTRAINT inspection_next_due_later CHECK (next_due_on > scheduled_on)
);

COMMENT ON TABLE hs.inspection IS
    'A checklist filled in on a job, at a location, on a truck or about a technician''s work.';
COMMENT ON COLUMN hs.inspection.inspection_kind IS 'The kind of its checklist.';
COMMENT ON COLUMN hs.inspection.audited_technician_id IS 'Whose work is looked at.';
COMMENT ON COLUMN hs.inspection.score_pct IS
    'Points reached of those that count, from the answers; NULL where nothing is scored.';
COMMENT ON COLUMN hs.inspection.result IS
    'From the answers: fail with a critical failure or below the threshold of the checklist,
     conditional above it with a failure, pass with none.';

-- FK: the inspections by a checklist.
CREATE INDEX inspection_template_idx
    ON hs.inspection (business_id, inspection_template_id, inspection_kind);

-- FK: the inspections of a job.
CREATE INDEX inspection_work_order_idx
    ON hs.inspection (business_id, work_order_id)
    WHERE work_order_id IS NOT NULL;

-- FK: the history of a location, the newest first.
CREATE INDEX inspection_location_idx
    ON hs.inspection (business_id, service_location_id, scheduled_on DESC)
    WHERE service_location_id IS NOT NULL;

-- FK, and what an inspector has to do.
CREATE INDEX inspection_inspector_idx
    ON hs.inspection (business_id, inspector_technician_id, scheduled_on);

-- FK: how the work of a technician was found.
CREATE INDEX inspection_audited_idx
    ON hs.inspection (business_id, audited_technician_id, scheduled_on)
    WHERE audited_technician_id IS NOT NULL;

ALTER TABLE hs.inspection ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.inspection
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.inspection TO app_user;
GRANT SELECT ON hs.inspection TO app_readonly;

CREATE TRIGGER inspection_touch
    BEFORE UPDATE ON hs.inspection
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER inspection_number
    BEFORE INSERT ON hs.inspection
    FOR EACH ROW WHEN (NEW.inspection_number IS NULL)
    EXECUTE FUNCTION system_core.assign_document_number(
        'inspection_number', 'inspection', 'INS-', 'inspection_id');

CREATE TRIGGER inspection_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.inspection
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["scheduled", "in_progress"],
        "transitions": {
            "scheduled":   ["in_progress", "void"],
            "in_progress": ["submitted", "void"],
            "submitted":   ["approved", "rejected"],
            "rejected":    ["in_progress", "void"],
            "approved":    ["void"],
            "void":        []
        }}');

CREATE FUNCTION hs.refuse_scored_columns() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'score and result of % follow from its answers', NEW.inspection_number
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Change hs.inspection_response instead.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION hs.refuse_scored_columns() IS
    'Nobody but the trigger of the answers scores; who imports may bring scores without answers.';

CREATE TRIGGER inspection_scored_insert
    BEFORE INSERT ON hs.inspection
    FOR EACH ROW WHEN (NEW.critical_fail_count > 0 OR NEW.score_pct IS NOT NULL
                       OR NEW.result IS NOT NULL)
    EXECUTE FUNCTION hs.refuse_scored_columns();

CREATE TRIGGER inspection_scored_update
    BEFORE UPDATE OF score_pct, critical_fail_count, result ON hs.inspection
    FOR EACH ROW WHEN (pg_trigger_depth() = 0)
    EXECUTE FUNCTION hs.refuse_scored_columns();

CREATE FUNCTION hs.require_inspection_ready() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    missing integer;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        IF EXISTS (
            SELECT FROM changed AS c
            JOIN hs.inspection_template AS t
                ON t.business_id = c.business_id
               AND t.inspection_template_id = c.inspection_template_id
            WHERE t.status <> 'published') THEN
            RAISE EXCEPTION 'an inspection needs a published checklist'
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END IF;
    SELECT count(*) INTO missing
    FROM changed AS c
    JOIN hs.inspection_template_item AS m
        ON m.business_id = c.business_id AND m.inspection_template_id = c.inspection_template_id
    WHERE c.status = 'submitted' AND m.is_mandatory
      AND NOT EXISTS (
        SELECT FROM hs.inspection_response AS r
        WHERE r.business_id = c.business_id AND r.inspection_id = c.inspection_id
          AND r.inspection_template_item_id = m.inspection_template_item_id);
    IF missing > 0 THEN
        RAISE EXCEPTION 'the inspection leaves % mandatory questions open', missing
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.require_inspection_ready() IS
    'An inspection begins with a published checklist and is submitted with every mandatory
     question answered.';

CREATE TRIGGER inspection_ready_insert
    AFTER INSERT ON hs.inspection
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.require_inspection_ready();

CREATE TRIGGER inspection_ready_update
    AFTER UPDATE ON hs.inspection
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.require_inspection_ready();


CREATE TABLE hs.inspection_response (
    business_id                 uuid        NOT NULL,
    inspection_response_id      uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    inspection_id               uuid        NOT NULL,
    inspection_template_item_id uuid        NOT NULL,
    installed_equipment_id      uuid,
    photo_file_object_id        uuid,
    verdict                     text        NOT NULL,
    severity                    text        NOT NULL DEFAULT 'none',
    answer_text                 text,
    answer_value                numeric,
    comment_text                text,
    is_flagged                  boolean     NOT NULL DEFAULT false,
    answered_at                 timestamptz NOT NULL DEFAULT now(),
    created_at                  timestamptz NOT NULL DEFAULT now(),
    updated_at                  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, inspection_response_id),
    UNIQUE NULLS NOT DISTINCT
        (business_id, inspection_id, inspection_template_item_id, installed_equipment_id),
    FOREIGN KEY (business_id, inspection_id)
        REFERENCES hs.inspection (business_id, inspection_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, inspection_template_item_id)
        REFERENCES hs.inspection_template_item (business_id, inspection_template_item_id),
    FOREIGN KEY (business_id, installed_equipment_id)
        REFERENCES hs.installed_equipment (business_id, installed_equipment_id),
    FOREIGN KEY (business_id, photo_file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT inspection_response_verdict_known
        CHECK (verdict IN ('pass', 'fail', 'not_applicable', 'info')),
    CONSTRAINT inspection_response_severity_known
        CHECK (severity IN ('none', 'minor', 'major', 'critical')),
    CONSTRAINT inspection_response_only_failures_are_severe
        CHECK (verdict IN ('fail', 'info') OR severity = 'none')
);

COMMENT ON TABLE hs.inspection_response IS
    'An answer to a question of a checklist, per piece of equipment where there are several.';
COMMENT ON COLUMN hs.inspection_response.verdict IS
    'pass and fail are scored, not_applicable and info are not.';
COMMENT ON COLUMN hs.inspection_response.is_flagged IS 'Set aside for the reviewer.';

-- FK: the answers to a question, for how often it fails.
CREATE INDEX inspection_response_item_idx
    ON hs.inspection_response (business_id, inspection_template_item_id, verdict);

-- FK: what was found on a piece of equipment.
CREATE INDEX inspection_response_equipment_idx
    ON hs.inspection_response (business_id, installed_equipment_id)
    WHERE installed_equipment_id IS NOT NULL;

-- FK: the answer that a photo proves.
CREATE INDEX inspection_response_photo_idx
    ON hs.inspection_response (business_id, photo_file_object_id)
    WHERE photo_file_object_id IS NOT NULL;

ALTER TABLE hs.inspection_response ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.inspection_response
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.inspection_response TO app_user;
GRANT SELECT ON hs.inspection_response TO app_readonly;

CREATE TRIGGER inspection_response_touch
    BEFORE UPDATE ON hs.inspection_response
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION hs.require_fitting_answers() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    SELECT m.prompt, CASE
               WHEN m.inspection_template_id <> i.inspection_template_id
                   THEN 'is no question of the checklist'
               WHEN m.requires_photo_on_fail AND c.verdict = 'fail'
                    AND c.photo_file_object_id IS NULL THEN 'failed and needs a photo'
               WHEN c.verdict = 'pass' AND NOT c.answer_value BETWEEN
                    coalesce(m.min_value, c.answer_value) AND coalesce(m.max_value, c.answer_value)
                   THEN 'cannot pass with ' || c.answer_value
               WHEN m.answer_kind = 'number' AND c.verdict IN ('pass', 'fail')
                    AND c.answer_value IS NULL THEN 'needs a number'
               WHEN m.answer_kind = 'choice' AND NOT EXISTS (
                    SELECT FROM JSON_TABLE(m.choices::jsonb, '$[*]' COLUMNS (
                        choice text PATH '$')) AS o
                    WHERE o.choice = c.answer_text) AND c.answer_text IS NOT NULL
                   THEN 'has no choice ' || c.answer_text
               WHEN row_security_active(TG_RELID) AND i.status <> 'in_progress'
                   THEN 'is not answered while the inspection is ' || i.status
           END AS objection
    INTO wrong
    FROM changed AS c
    JOIN hs.inspection AS i
        ON i.business_id = c.business_id AND i.inspection_id = c.inspection_id
    JOIN hs.inspection_template_item AS m
        ON m.business_id = c.business_id
       AND m.inspection_template_item_id = c.inspection_template_item_id
    ORDER BY objection NULLS LAST
    LIMIT 1;
    IF wrong.objection IS NOT NULL THEN
        RAISE EXCEPTION '"%" %', wrong.prompt, wrong.objection
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.require_fitting_answers() IS
    'An answer belongs to the checklist, keeps its limits and choices, shows a photo where a
     failure asks for one, and is given while the inspection is in progress.';

CREATE TRIGGER inspection_response_fits_insert
    AFTER INSERT ON hs.inspection_response
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.require_fitting_answers();

CREATE TRIGGER inspection_response_fits_update
    AFTER UPDATE ON hs.inspection_response
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.require_fitting_answers();

CREATE FUNCTION hs.score_inspections() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- One writer of an inspection at a time, so that two answers do not miss each other.
    PERFORM FROM hs.inspection AS i
    WHERE (i.business_id, i.inspection_id) IN (
        SELECT c.business_id, c.inspection_id FROM changed AS c)
    ORDER BY i.business_id, i.inspection_id
    FOR NO KEY UPDATE;

    UPDATE hs.inspection AS i
    SET score_pct = n.score, critical_fail_count = n.critical,
        result = CASE WHEN n.critical > 0 OR n.score < n.threshold THEN 'fail'
                      WHEN n.score IS NULL THEN NULL
                      WHEN n.failed > 0 THEN 'conditional' ELSE 'pass' END
    FROM (
        SELECT c.business_id, c.inspection_id, t.pass_threshold_pct AS threshold,
               count(*) FILTER (WHERE r.verdict = 'fail'
                                AND (m.is_critical OR r.severity = 'critical')) AS critical,
               count(*) FILTER (WHERE r.verdict = 'fail') AS failed,
               round(100 * sum(w.weight * w.reached) / nullif(sum(w.weight), 0), 4) AS score
        FROM (SELECT DISTINCT x.business_id, x.inspection_id FROM changed AS x) AS c
        JOIN hs.inspection AS s
            ON s.business_id = c.business_id AND s.inspection_id = c.inspection_id
        JOIN hs.inspection_template AS t
            ON t.business_id = s.business_id
           AND t.inspection_template_id = s.inspection_template_id
        LEFT JOIN hs.inspection_response AS r
            ON r.business_id = c.business_id AND r.inspection_id = c.inspection_id
        LEFT JOIN hs.inspection_template_item AS m
            ON m.business_id = c.business_id
           AND m.inspection_template_item_id = r.inspection_template_item_id
        CROSS JOIN LATERAL (
            SELECT CASE WHEN r.verdict IN ('pass', 'fail')
                        THEN CASE t.scoring WHEN 'none' THEN 0
                                            WHEN 'weighted' THEN m.weight_score ELSE 1 END
                        ELSE 0 END AS weight,
                   CASE WHEN t.scoring = 'weighted' AND m.answer_kind = 'rating'
                            THEN least(greatest(r.answer_value, 0) / m.max_value, 1)
                        WHEN r.verdict = 'pass' THEN 1 ELSE 0 END AS reached
        ) AS w
        GROUP BY c.business_id, c.inspection_id, t.pass_threshold_pct
    ) AS n
    WHERE i.business_id = n.business_id AND i.inspection_id = n.inspection_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.score_inspections() IS
    'Scores the inspections whose answers changed: share of the passed questions, by weight where
     the checklist weighs, a rating by the part of its top that it reaches.';

CREATE TRIGGER inspection_response_score_insert
    AFTER INSERT ON hs.inspection_response
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.score_inspections();

CREATE TRIGGER inspection_response_score_update_from
    AFTER UPDATE ON hs.inspection_response
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.score_inspections();

CREATE TRIGGER inspection_response_score_update_to
    AFTER UPDATE ON hs.inspection_response
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.score_inspections();

CREATE TRIGGER inspection_response_score_delete
    AFTER DELETE ON hs.inspection_response
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.score_inspections();


CREATE TABLE hs.deficiency (
    business_id            uuid             NOT NULL,
    deficiency_id          uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    inspection_id          uuid,
    inspection_response_id uuid,
    service_location_id    uuid             NOT NULL,
    installed_equipment_id uuid,
    estimate_id            uuid,
    found_on_work_order_id uuid,
    deficiency_number      system_core.code NOT NULL,
    category               text             NOT NULL,
    severity               text             NOT NULL,
    status                 text             NOT NULL DEFAULT 'open',
    description            text             NOT NULL,
    is_red_tagged          boolean          NOT NULL DEFAULT false,
    declined_by_name       system_core.person_name,
    found_on               date             NOT NULL DEFAULT current_date,
    target_on              date,
    resolved_on            date,
    created_at             timestamptz      NOT NULL DEFAULT now(),
    updated_at             timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, deficiency_id),
    UNIQUE (business_id, deficiency_number),
    UNIQUE (business_id, inspection_response_id),
    FOREIGN KEY (business_id, inspection_id)
        REFERENCES hs.inspection (business_id, inspection_id),
    FOREIGN KEY (business_id, inspection_response_id)
        REFERENCES hs.inspection_response (business_id, inspection_response_id),
    FOREIGN KEY (business_id, service_location_id)
        REFERENCES hs.service_location (business_id, service_location_id),
    FOREIGN KEY (business_id, installed_equipment_id)
        REFERENCES hs.installed_equipment (business_id, installed_equipment_id),
    FOREIGN KEY (business_id, estimate_id) REFERENCES hs.estimate (business_id, estimate_id),
    FOREIGN KEY (business_id, found_on_work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id),
    CONSTRAINT deficiency_category_known
        CHECK (category IN ('safety', 'code', 'performance', 'cosmetic', 'workmanship')),
    CONSTRAINT deficiency_severity_known CHECK (severity IN ('minor', 'major', 'critical')),
    CONSTRAINT deficiency_status_known
        CHECK (status IN ('open', 'quoted', 'approved', 'resolved', 'declined', 'deferred')),
    CONSTRAINT deficiency_answer_of_an_inspection
        CHECK (inspection_response_id IS NULL OR inspection_id IS NOT NULL),
    CONSTRAINT deficiency_danger_is_red_tagged
        CHECK (is_red_tagged OR category <> 'safety' OR severity <> 'critical'),
    CONSTRAINT deficiency_declined_by_somebody
        CHECK (status <> 'declined' OR declined_by_name IS NOT NULL),
    CONSTRAINT deficiency_quoted_in_an_estimate
        CHECK (status <> 'quoted' OR estimate_id IS NOT NULL),
    CONSTRAINT deficiency_resolved_after_found CHECK (resolved_on >= found_on),
    CONSTRAINT deficiency_resolved_has_day CHECK ((status = 'resolved') = (resolved_on IS NOT NULL))
);

COMMENT ON TABLE hs.deficiency IS
    'A finding that needs work or the customer''s decision: a danger, a breach of code, poor work.';
COMMENT ON COLUMN hs.deficiency.inspection_response_id IS
    'The answer that opened it, once; NULL where somebody wrote it down.';
COMMENT ON COLUMN hs.deficiency.is_red_tagged IS
    'Shut off and tagged until mended; always so for a critical danger.';
COMMENT ON COLUMN hs.deficiency.declined_by_name IS
    'Who would not have it mended, for the day that it matters.';

-- FK: what an inspection found.
CREATE INDEX deficiency_inspection_idx
    ON hs.deficiency (business_id, inspection_id)
    WHERE inspection_id IS NOT NULL;

-- FK: what is known about a location, the newest first.
CREATE INDEX deficiency_location_idx
    ON hs.deficiency (business_id, service_location_id, found_on DESC);

-- What is still to be done or decided, the most urgent first.
CREATE INDEX deficiency_open_idx
    ON hs.deficiency (business_id, target_on, severity)
    WHERE status IN ('open', 'quoted', 'approved', 'deferred');

-- FK: what is wrong with a piece of equipment.
CREATE INDEX deficiency_equipment_idx
    ON hs.deficiency (business_id, installed_equipment_id)
    WHERE installed_equipment_id IS NOT NULL;

-- FK: what an estimate would mend.
CREATE INDEX deficiency_estimate_idx
    ON hs.deficiency (business_id, estimate_id)
    WHERE estimate_id IS NOT NULL;

-- FK, and whether a job may end: red tags without a decision.
CREATE INDEX deficiency_work_order_idx
    ON hs.deficiency (business_id, found_on_work_order_id, is_red_tagged)
    WHERE found_on_work_order_id IS NOT NULL;

ALTER TABLE hs.deficiency ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.deficiency
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.deficiency TO app_user;
GRANT SELECT ON hs.deficiency TO app_readonly;

CREATE TRIGGER deficiency_touch
    BEFORE UPDATE ON hs.deficiency
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER deficiency_number
    BEFORE INSERT ON hs.deficiency
    FOR EACH ROW WHEN (NEW.deficiency_number IS NULL)
    EXECUTE FUNCTION system_core.assign_document_number(
        'deficiency_number', 'deficiency', 'DEF-', 'deficiency_id');

CREATE TRIGGER deficiency_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.deficiency
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["open"],
        "transitions": {
            "open":     ["quoted", "approved", "resolved", "declined", "deferred"],
            "quoted":   ["approved", "declined", "deferred"],
            "approved": ["resolved", "deferred"],
            "deferred": ["open", "quoted", "approved", "declined"],
            "declined": ["quoted", "approved"],
            "resolved": []
        }}');

CREATE FUNCTION hs.open_deficiencies() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    INSERT INTO hs.deficiency
        (business_id, inspection_id, inspection_response_id, service_location_id,
         installed_equipment_id, found_on_work_order_id, category, severity, description,
         is_red_tagged, found_on)
    SELECT c.business_id, c.inspection_id, c.inspection_response_id, p.service_location_id,
           c.installed_equipment_id, i.work_order_id, k.category, 'critical',
           concat_ws(': ', m.prompt, coalesce(c.comment_text, c.answer_text)),
           k.category = 'safety', (c.answered_at AT TIME ZONE b.time_zone)::date
    FROM changed AS c
    JOIN hs.inspection AS i
        ON i.business_id = c.business_id AND i.inspection_id = c.inspection_id
    JOIN hs.inspection_template_item AS m
        ON m.business_id = c.business_id
       AND m.inspection_template_item_id = c.inspection_template_item_id
    JOIN tenant_mgmt.business AS b ON b.business_id = c.business_id
    LEFT JOIN hs.work_order AS w
        ON w.business_id = i.business_id AND w.work_order_id = i.work_order_id
    CROSS JOIN LATERAL (
        SELECT coalesce(i.service_location_id, w.service_location_id) AS service_location_id
    ) AS p
    CROSS JOIN LATERAL (
        SELECT CASE i.inspection_kind WHEN 'safety' THEN 'safety'
                                      WHEN 'install_qc' THEN 'workmanship'
                                      WHEN 'ride_along' THEN 'workmanship'
                                      ELSE 'performance' END AS category
    ) AS k
    WHERE c.verdict = 'fail' AND (m.is_critical OR c.severity = 'critical')
      AND p.service_location_id IS NOT NULL
    ON CONFLICT (business_id, inspection_response_id) DO NOTHING;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.open_deficiencies() IS
    'Opens one deficiency for a failed critical answer at a customer''s place; a truck is mended
     in its own way. Who imports brings the findings along.';

CREATE TRIGGER inspection_response_open_insert
    AFTER INSERT ON hs.inspection_response
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.open_deficiencies();

CREATE TRIGGER inspection_response_open_update
    AFTER UPDATE ON hs.inspection_response
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.open_deficiencies();


CREATE TABLE hs.callback (
    business_id               uuid              NOT NULL,
    callback_id               uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    original_work_order_id    uuid              NOT NULL,
    callback_work_order_id    uuid              NOT NULL,
    responsible_technician_id uuid,
    cause                     text              NOT NULL,
    days_since_original       integer           NOT NULL,
    is_chargeable             boolean           NOT NULL DEFAULT false,
    labor_cost                system_core.money NOT NULL DEFAULT 0,
    material_cost             system_core.money NOT NULL DEFAULT 0,
    resolution_note           text,
    reported_on               date              NOT NULL DEFAULT current_date,
    reviewed_on               date,
    created_at                timestamptz       NOT NULL DEFAULT now(),
    updated_at                timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, callback_id),
    UNIQUE (business_id, callback_work_order_id),
    FOREIGN KEY (business_id, original_work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id),
    FOREIGN KEY (business_id, callback_work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id),
    FOREIGN KEY (business_id, responsible_technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    CONSTRAINT callback_cause_known
        CHECK (cause IN ('workmanship', 'part_failure', 'misdiagnosis', 'customer_education',
                         'manufacturer_defect', 'not_related')),
    CONSTRAINT callback_is_another_job CHECK (original_work_order_id <> callback_work_order_id),
    CONSTRAINT callback_after_the_original CHECK (days_since_original >= 0),
    CONSTRAINT callback_costs_not_negative CHECK (labor_cost >= 0 AND material_cost >= 0),
    CONSTRAINT callback_own_fault_is_free
        CHECK (NOT is_chargeable OR cause NOT IN ('workmanship', 'misdiagnosis')),
    CONSTRAINT callback_reviewed_after_report CHECK (reviewed_on >= reported_on)
);

COMMENT ON TABLE hs.callback IS
    'A return to mend own work: which job, after how long, why, and what it cost.';
COMMENT ON COLUMN hs.callback.days_since_original IS
    'From the completion of the original job to the report; derived where it is not given.';

-- FK: how often a job was come back to.
CREATE INDEX callback_original_idx ON hs.callback (business_id, original_work_order_id);

-- FK: the callbacks of a technician, for the score card.
CREATE INDEX callback_technician_idx
    ON hs.callback (business_id, responsible_technician_id, reported_on)
    WHERE responsible_technician_id IS NOT NULL;

ALTER TABLE hs.callback ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.callback
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.callback TO app_user;
GRANT SELECT ON hs.callback TO app_readonly;

CREATE TRIGGER callback_touch
    BEFORE UPDATE ON hs.callback
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION hs.count_days_since_original() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    SELECT NEW.reported_on - (w.completed_at AT TIME ZONE b.time_zone)::date
    INTO NEW.days_since_original
    FROM hs.work_order AS w
    JOIN tenant_mgmt.business AS b ON b.business_id = w.business_id
    WHERE w.business_id = NEW.business_id AND w.work_order_id = NEW.original_work_order_id;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION hs.count_days_since_original() IS
    'Days from the completion of the original job to the report of the callback.';

CREATE TRIGGER callback_days_since_original
    BEFORE INSERT ON hs.callback
    FOR EACH ROW WHEN (NEW.days_since_original IS NULL)
    EXECUTE FUNCTION hs.count_days_since_original();


CREATE TABLE hs.customer_survey (
    business_id         uuid        NOT NULL,
    customer_survey_id  uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    work_order_id       uuid        NOT NULL,
    customer_contact_id uuid,
    technician_id       uuid,
    channel             text        NOT NULL,
    nps_score           integer,
    csat_score          integer,
    comment_text        text,
    is_review_posted    boolean     NOT NULL DEFAULT false,
    review_site         text        NOT NULL DEFAULT 'none',
    review_rating_score integer,
    follow_up_status    text        NOT NULL DEFAULT 'none',
    sent_at             timestamptz NOT NULL DEFAULT now(),
    responded_at        timestamptz,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, customer_survey_id),
    UNIQUE (business_id, work_order_id, channel),
    FOREIGN KEY (business_id, work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id),
    FOREIGN KEY (business_id, customer_contact_id)
        REFERENCES hs.customer_contact (business_id, customer_contact_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    CONSTRAINT customer_survey_channel_known CHECK (channel IN ('sms', 'email')),
    CONSTRAINT customer_survey_review_site_known
        CHECK (review_site IN ('google', 'facebook', 'yelp', 'bbb', 'none')),
    CONSTRAINT customer_survey_follow_up_known
        CHECK (follow_up_status IN ('none', 'open', 'done')),
    CONSTRAINT customer_survey_nps_bounded CHECK (nps_score BETWEEN 0 AND 10),
    CONSTRAINT customer_survey_csat_bounded CHECK (csat_score BETWEEN 1 AND 5),
    CONSTRAINT customer_survey_review_bounded CHECK (review_rating_score BETWEEN 1 AND 5),
    CONSTRAINT customer_survey_answered_after_sending CHECK (responded_at >= sent_at),
    CONSTRAINT customer_survey_scores_are_answers
        CHECK (responded_at IS NOT NULL OR num_nonnulls(nps_score, csat_score, comment_text) = 0),
    CONSTRAINT customer_survey_review_is_somewhere
        CHECK (is_review_posted = (review_site <> 'none')),
    CONSTRAINT customer_survey_review_has_rating
        CHECK (is_review_posted = (review_rating_score IS NOT NULL))
);

COMMENT ON TABLE hs.customer_survey IS
    'A question after a job, its answer, and what followed: a public review or a call back.';
COMMENT ON COLUMN hs.customer_survey.nps_score IS
    'Would you recommend us, 0 to 10: up to 6 detracts, from 9 promotes.';
COMMENT ON COLUMN hs.customer_survey.technician_id IS 'Whom the answer is about.';

-- FK: what a contact answered.
CREATE INDEX customer_survey_contact_idx
    ON hs.customer_survey (business_id, customer_contact_id)
    WHERE customer_contact_id IS NOT NULL;

-- FK: what customers say about a technician.
CREATE INDEX customer_survey_technician_idx
    ON hs.customer_survey (business_id, technician_id, responded_at)
    WHERE technician_id IS NOT NULL;

-- Unhappy customers who still wait for a call.
CREATE INDEX customer_survey_follow_up_idx
    ON hs.customer_survey (business_id, responded_at)
    WHERE follow_up_status = 'open';

ALTER TABLE hs.customer_survey ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.customer_survey
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.customer_survey TO app_user;
GRANT SELECT ON hs.customer_survey TO app_readonly;

CREATE TRIGGER customer_survey_touch
    BEFORE UPDATE ON hs.customer_survey
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION hs.follow_up_detractor() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.follow_up_status := 'open';
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION hs.follow_up_detractor() IS
    'Who would not recommend us is called, unless that was done.';

CREATE TRIGGER customer_survey_follow_up
    BEFORE INSERT OR UPDATE OF nps_score ON hs.customer_survey
    FOR EACH ROW WHEN (NEW.nps_score <= 6 AND NEW.follow_up_status = 'none')
    EXECUTE FUNCTION hs.follow_up_detractor();


CREATE TABLE hs.customer_complaint (
    business_id           uuid              NOT NULL,
    customer_complaint_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    customer_id           uuid              NOT NULL,
    work_order_id         uuid,
    technician_id         uuid,
    owner_user_account_id uuid,
    complaint_number      system_core.code  NOT NULL,
    channel               text              NOT NULL,
    category              text              NOT NULL,
    severity              text              NOT NULL DEFAULT 'medium',
    status                text              NOT NULL DEFAULT 'open',
    description           text              NOT NULL,
    resolution            text,
    cost_amount           system_core.money NOT NULL DEFAULT 0,
    received_at           timestamptz       NOT NULL DEFAULT now(),
    respond_by_at         timestamptz       NOT NULL,
    first_response_at     timestamptz,
    resolved_at           timestamptz,
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, customer_complaint_id),
    UNIQUE (business_id, complaint_number),
    FOREIGN KEY (business_id, customer_id) REFERENCES hs.customer (business_id, customer_id),
    FOREIGN KEY (business_id, work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT customer_complaint_channel_known
        CHECK (channel IN ('phone', 'email', 'review', 'agency', 'portal')),
    CONSTRAINT customer_complaint_category_known
        CHECK (category IN ('workmanship', 'price', 'conduct', 'damage', 'delay', 'billing')),
    CONSTRAINT customer_complaint_severity_known CHECK (severity IN ('low', 'medium', 'high')),
    CONSTRAINT customer_complaint_status_known
        CHECK (status IN ('open', 'investigating', 'resolved', 'escalated', 'closed')),
    CONSTRAINT customer_complaint_resolution_known
        CHECK (resolution IN ('refund', 'redo', 'credit', 'apology', 'no_action',
                              'insurance_claim')),
    CONSTRAINT customer_complaint_resolution_has_time
        CHECK ((resolution IS NULL) = (resolved_at IS NULL)),
    CONSTRAINT customer_complaint_resolved_has_resolution
        CHECK ((status IN ('resolved', 'closed')) = (resolution IS NOT NULL)),
    CONSTRAINT customer_complaint_due_after_receipt CHECK (respond_by_at >= received_at),
    CONSTRAINT customer_complaint_answered_after_receipt CHECK (first_response_at >= received_at),
    CONSTRAINT customer_complaint_resolved_after_receipt CHECK (resolved_at >= received_at),
    CONSTRAINT customer_complaint_cost_not_negative CHECK (cost_amount >= 0)
);

COMMENT ON TABLE hs.customer_complaint IS
    'A complaint with who takes care of it, until when, how it ended and what it cost.';
COMMENT ON COLUMN hs.customer_complaint.technician_id IS 'Whom it is about.';

-- FK: what a customer complained about.
CREATE INDEX customer_complaint_customer_idx
    ON hs.customer_complaint (business_id, customer_id, received_at DESC);

-- FK: the complaints about a job.
CREATE INDEX customer_complaint_work_order_idx
    ON hs.customer_complaint (business_id, work_order_id)
    WHERE work_order_id IS NOT NULL;

-- FK: the complaints about a technician.
CREATE INDEX customer_complaint_technician_idx
    ON hs.customer_complaint (business_id, technician_id)
    WHERE technician_id IS NOT NULL;

-- FK: what an account takes care of.
CREATE INDEX customer_complaint_owner_idx
    ON hs.customer_complaint (business_id, owner_user_account_id)
    WHERE owner_user_account_id IS NOT NULL;

-- Who still waits for a first answer, the most urgent first.
CREATE INDEX customer_complaint_unanswered_idx
    ON hs.customer_complaint (business_id, respond_by_at)
    WHERE first_response_at IS NULL;

ALTER TABLE hs.customer_complaint ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.customer_complaint
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.customer_complaint TO app_user;
GRANT SELECT ON hs.customer_complaint TO app_readonly;

CREATE TRIGGER customer_complaint_touch
    BEFORE UPDATE ON hs.customer_complaint
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER customer_complaint_number
    BEFORE INSERT ON hs.customer_complaint
    FOR EACH ROW WHEN (NEW.complaint_number IS NULL)
    EXECUTE FUNCTION system_core.assign_document_number(
        'complaint_number', 'customer_complaint', 'CMP-', 'customer_complaint_id');

CREATE TRIGGER customer_complaint_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.customer_complaint
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["open"],
        "transitions": {
            "open":          ["investigating", "resolved", "escalated"],
            "investigating": ["resolved", "escalated"],
            "escalated":     ["investigating", "resolved"],
            "resolved":      ["investigating", "closed"],
            "closed":        []
        }}');


CREATE TABLE hs.corrective_action (
    business_id           uuid              NOT NULL,
    corrective_action_id  uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    deficiency_id         uuid,
    safety_incident_id    uuid,
    customer_complaint_id uuid,
    owner_user_account_id uuid,
    action_number         system_core.code  NOT NULL,
    action_kind           text              NOT NULL,
    status                text              NOT NULL DEFAULT 'open',
    description           text              NOT NULL,
    cost_amount           system_core.money NOT NULL DEFAULT 0,
    is_effective          boolean,
    assigned_on           date              NOT NULL DEFAULT current_date,
    due_on                date              NOT NULL,
    completed_on          date,
    verified_on           date,
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, corrective_action_id),
    UNIQUE (business_id, action_number),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, deficiency_id)
        REFERENCES hs.deficiency (business_id, deficiency_id),
    FOREIGN KEY (business_id, safety_incident_id)
        REFERENCES hs.safety_incident (business_id, safety_incident_id),
    FOREIGN KEY (business_id, customer_complaint_id)
        REFERENCES hs.customer_complaint (business_id, customer_complaint_id),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT corrective_action_kind_known
        CHECK (action_kind IN ('rework', 'retrain', 'process_change', 'discipline',
                               'engineering_control', 'ppe', 'vendor_action')),
    CONSTRAINT corrective_action_status_known
        CHECK (status IN ('open', 'in_progress', 'done', 'verified', 'overdue', 'cancelled')),
    CONSTRAINT corrective_action_answers_one_thing
        CHECK (num_nonnulls(deficiency_id, safety_incident_id, customer_complaint_id) = 1),
    CONSTRAINT corrective_action_due_after_assignment CHECK (due_on >= assigned_on),
    CONSTRAINT corrective_action_completed_after_assignment CHECK (completed_on >= assigned_on),
    CONSTRAINT corrective_action_verified_after_completion CHECK (verified_on >= completed_on),
    CONSTRAINT corrective_action_completed_has_day
        CHECK ((status IN ('done', 'verified')) = (completed_on IS NOT NULL)),
    CONSTRAINT corrective_action_verified_has_day
        CHECK ((status = 'verified') = (verified_on IS NOT NULL)),
    CONSTRAINT corrective_action_verified_tells_effect
        CHECK ((status = 'verified') = (is_effective IS NOT NULL)),
    CONSTRAINT corrective_action_cost_not_negative CHECK (cost_amount >= 0)
);

COMMENT ON TABLE hs.corrective_action IS
    'What somebody has to do about a deficiency, an incident or a complaint, and whether it
     helped.';
COMMENT ON COLUMN hs.corrective_action.is_effective IS
    'Found when it was verified: did the cause go away.';

-- FK: what is done about a deficiency.
CREATE INDEX corrective_action_deficiency_idx
    ON hs.corrective_action (business_id, deficiency_id)
    WHERE deficiency_id IS NOT NULL;

-- FK, and whether an incident may be closed.
CREATE INDEX corrective_action_incident_idx
    ON hs.corrective_action (business_id, safety_incident_id, status)
    WHERE safety_incident_id IS NOT NULL;

-- FK: what is done about a complaint.
CREATE INDEX corrective_action_complaint_idx
    ON hs.corrective_action (business_id, customer_complaint_id)
    WHERE customer_complaint_id IS NOT NULL;

-- FK: what an account has to do.
CREATE INDEX corrective_action_owner_idx
    ON hs.corrective_action (business_id, owner_user_account_id, due_on)
    WHERE owner_user_account_id IS NOT NULL;

-- What is open, by due date; what becomes overdue.
CREATE INDEX corrective_action_open_idx
    ON hs.corrective_action (business_id, due_on)
    WHERE status IN ('open', 'in_progress', 'overdue');

ALTER TABLE hs.corrective_action ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.corrective_action
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.corrective_action TO app_user;
GRANT SELECT ON hs.corrective_action TO app_readonly;

CREATE TRIGGER corrective_action_touch
    BEFORE UPDATE ON hs.corrective_action
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER corrective_action_number
    BEFORE INSERT ON hs.corrective_action
    FOR EACH ROW WHEN (NEW.action_number IS NULL)
    EXECUTE FUNCTION system_core.assign_document_number(
        'action_number', 'corrective_action', 'CA-', 'corrective_action_id');

CREATE TRIGGER corrective_action_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.corrective_action
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["open"],
        "transitions": {
            "open":        ["in_progress", "done", "overdue", "cancelled"],
            "in_progress": ["done", "overdue", "cancelled"],
            "overdue":     ["in_progress", "done", "cancelled"],
            "done":        ["in_progress", "verified"],
            "verified":    [],
            "cancelled":   []
        }}');

CREATE FUNCTION hs.require_open_incident() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    closed text;
BEGIN
    -- Whoever closes one of these incidents waits for this lock, and then sees the action.
    PERFORM FROM hs.safety_incident AS i
    WHERE (i.business_id, i.safety_incident_id) IN (
        SELECT c.business_id, c.safety_incident_id FROM changed AS c)
    FOR SHARE;
    SELECT i.incident_number INTO closed
    FROM changed AS c
    JOIN hs.safety_incident AS i
        ON i.business_id = c.business_id AND i.safety_incident_id = c.safety_incident_id
    WHERE c.status IN ('open', 'in_progress', 'overdue') AND i.status = 'closed'
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'incident % is closed', closed
            USING ERRCODE = 'check_violation', HINT = 'Investigate it again first.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.require_open_incident() IS 'A closed incident has no open action.';

CREATE TRIGGER corrective_action_open_incident_insert
    AFTER INSERT ON hs.corrective_action
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.require_open_incident();

CREATE TRIGGER corrective_action_open_incident_update
    AFTER UPDATE ON hs.corrective_action
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.require_open_incident();

CREATE FUNCTION hs.require_actions_done() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    left_open integer;
BEGIN
    SELECT count(*) INTO left_open FROM hs.corrective_action AS a
    WHERE a.business_id = NEW.business_id AND a.safety_incident_id = NEW.safety_incident_id
      AND a.status IN ('open', 'in_progress', 'overdue');
    IF left_open > 0 THEN
        RAISE EXCEPTION 'incident % has % open corrective actions', NEW.incident_number, left_open
            USING ERRCODE = 'check_violation', HINT = 'Do or cancel them first.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION hs.require_actions_done() IS
    'An incident is closed when everything was done that it called for.';

CREATE TRIGGER safety_incident_actions_done
    BEFORE UPDATE OF status ON hs.safety_incident
    FOR EACH ROW WHEN (NEW.status = 'closed' AND OLD.status <> 'closed')
    EXECUTE FUNCTION hs.require_actions_done();


CREATE FUNCTION hs.mark_overdue_actions(on_day date DEFAULT current_date) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    moved integer;
BEGIN
    UPDATE hs.corrective_action AS a SET status = 'overdue'
    WHERE a.business_id = tenant_mgmt.current_business_id()
      AND a.status IN ('open', 'in_progress') AND a.due_on < on_day;
    GET DIAGNOSTICS moved = ROW_COUNT;
    RETURN moved;
END
$$;
COMMENT ON FUNCTION hs.mark_overdue_actions(date) IS
    'Marks the tenant''s actions whose due day has passed; returns how many.';
