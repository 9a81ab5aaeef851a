/*
 * Courseware that others made: packages that we play, and tools that live elsewhere.
 *
 * A scorm_package is an uploaded package with its manifest; a scorm_attempt is what a learner's
 * run of one of its SCOs committed, with the questions asked inside it
 * (courses.scorm_interactions). An lti_tool is registered by LTI 1.3 with what it may know of a
 * learner (courses.lti_claims); an lti_launch opens it from a lesson and takes the score that it
 * sends back.
 */

CREATE TABLE courses.scorm_package (
    business_id      uuid                    NOT NULL,
    scorm_package_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    lesson_id        uuid                    NOT NULL,
    file_object_id   uuid                    NOT NULL,
    standard         text                    NOT NULL,
    identifier       text                    NOT NULL,
    title            text                    NOT NULL,
    entry_point      text,
    manifest         system_core.json_object NOT NULL,
    sco_count        integer                 GENERATED ALWAYS AS (
        jsonb_array_length(jsonb_path_query_array(
            manifest, '$.organizations[*].items[*] ? (exists (@.resource))'))) STORED,
    mastery_score    system_core.score,
    max_attempts     integer,
    attempt_grading  text                    NOT NULL DEFAULT 'highest',
    imported_at      timestamptz             NOT NULL DEFAULT now(),
    validation_state text                    NOT NULL,
    package_sha256   system_core.sha256      NOT NULL,
    created_at       timestamptz             NOT NULL DEFAULT now(),
    updated_at       timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, scorm_package_id),
    UNIQUE (business_id, lesson_id, package_sha256),
    FOREIGN KEY (business_id, lesson_id) REFERENCES courses.lesson (business_id, lesson_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT scorm_package_standard_known
        CHECK (standard IN ('scorm_12', 'scorm_2004', 'cmi5', 'aicc')),
    CONSTRAINT scorm_package_attempt_grading_known
        CHECK (attempt_grading IN ('highest', 'latest', 'average', 'first')),
    CONSTRAINT scorm_package_validation_state_known
        CHECK (validation_state IN ('valid', 'warnings', 'invalid')),
    CONSTRAINT scorm_package_mastery_score_bounded CHECK (mastery_score BETWEEN 0 AND 100),
    CONSTRAINT scorm_package_attempts_positive CHECK (max_attempts > 0),
    CONSTRAINT scorm_package_launchable_has_entry
        CHECK (validation_state = 'invalid' OR coalesce(entry_point, '') ~ '\S')
);

COMMENT ON TABLE courses.scorm_package IS 'Uploaded SCORM or cmi5 package.';
COMMENT ON COLUMN courses.scorm_package.manifest IS
    'Of imsmanifest.xml or cmi5.xml: {"organizations": [{"identifier", "title", "items":
     [{"identifier", "title", "resource"}]}]}; an item with a resource is a SCO.';
COMMENT ON COLUMN courses.scorm_package.max_attempts IS 'Per learner and SCO; NULL: any number.';

-- FK: the package that a file holds.
CREATE INDEX scorm_package_file_object_idx
    ON courses.scorm_package (business_id, file_object_id);

ALTER TABLE courses.scorm_package ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.scorm_package
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.scorm_package TO app_user;
GRANT SELECT ON courses.scorm_package TO app_readonly;

CREATE TRIGGER scorm_package_touch
    BEFORE UPDATE ON courses.scorm_package
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.scorm_attempt (
    business_id        uuid                    NOT NULL,
    scorm_attempt_id   uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    scorm_package_id   uuid                    NOT NULL,
    enrollment_id      uuid                    NOT NULL,
    attempt_no         integer                 NOT NULL DEFAULT 1,
    sco_identifier     text                    NOT NULL,
    completion_status  text                    NOT NULL DEFAULT 'not_attempted',
    success_status     text                    NOT NULL DEFAULT 'unknown',
    score_raw          system_core.score,
    score_scaled       system_core.score,
    total_time_seconds integer                 NOT NULL DEFAULT 0,
    suspend_data       text,
    lesson_location    text,
    runtime_data       system_core.json_object NOT NULL DEFAULT '{}',
    started_at         timestamptz             NOT NULL DEFAULT now(),
    last_commit_at     timestamptz             NOT NULL DEFAULT now(),
    exit_kind          text,
    created_at         timestamptz             NOT NULL DEFAULT now(),
    updated_at         timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, scorm_attempt_id),
    UNIQUE (business_id, enrollment_id, scorm_package_id, sco_identifier, attempt_no),
    FOREIGN KEY (business_id, scorm_package_id)
        REFERENCES courses.scorm_package (business_id, scorm_package_id),
    CONSTRAINT scorm_attempt_completion_status_known
        CHECK (completion_status IN ('not_attempted', 'incomplete', 'completed', 'browsed',
                                     'unknown')),
    CONSTRAINT scorm_attempt_success_status_known
        CHECK (success_status IN ('passed', 'failed', 'unknown')),
    CONSTRAINT scorm_attempt_exit_kind_known
        CHECK (exit_kind IN ('normal', 'suspend', 'time_out', 'logout')),
    CONSTRAINT scorm_attempt_counts_from_1 CHECK (attempt_no >= 1),
    CONSTRAINT scorm_attempt_score_scaled_bounded CHECK (score_scaled BETWEEN -1 AND 1),
    CONSTRAINT scorm_attempt_time_not_negative CHECK (total_time_seconds >= 0),
    CONSTRAINT scorm_attempt_suspend_data_fits CHECK (length(suspend_data) <= 64000),
    CONSTRAINT scorm_attempt_commits_after_start CHECK (last_commit_at >= started_at),
    CONSTRAINT scorm_attempt_runtime_data_is_cmi
        CHECK (jsonb_typeof(coalesce(runtime_data -> 'interactions', '[]')) = 'array'
               AND jsonb_typeof(coalesce(runtime_data -> 'objectives', '[]')) = 'array'
               AND NOT jsonb_path_exists(runtime_data,
                                         '$.interactions[*] ? (!(exists (@.id)))')
               AND NOT jsonb_path_exists(runtime_data, '$.objectives[*] ? (!(exists (@.id)))'))
);

COMMENT ON TABLE courses.scorm_attempt IS 'Run-time data of a learner in a SCO.';
COMMENT ON COLUMN courses.scorm_attempt.runtime_data IS
    'The cmi data model as committed: {"interactions": [{"id", "type", "learner_response",
     "result", "latency"}], "objectives": [{"id", "success_status", "score": {"scaled"}}]}.';
COMMENT ON COLUMN courses.scorm_attempt.suspend_data IS
    'What the SCO wrote to resume from; SCORM 2004 asks for 64,000 characters.';
COMMENT ON COLUMN courses.scorm_attempt.exit_kind IS 'NULL while it runs.';

-- FK: how a package went.
CREATE INDEX scorm_attempt_scorm_package_idx
    ON courses.scorm_attempt (business_id, scorm_package_id);

ALTER TABLE courses.scorm_attempt ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.scorm_attempt
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.scorm_attempt TO app_user;
GRANT SELECT ON courses.scorm_attempt TO app_readonly;

CREATE TRIGGER scorm_attempt_touch
    BEFORE UPDATE ON courses.scorm_attempt
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION courses.check_scorm_launch() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    package record;
BEGIN
    SELECT p.validation_state, p.max_attempts, p.title,
           jsonb_path_exists(p.manifest, '$.organizations[*].items[*] ? (@.identifier == $sco)',
                             jsonb_build_object('sco', NEW.sco_identifier)) AS is_in_it
    INTO package
    FROM courses.scorm_package AS p
    WHERE p.business_id = NEW.business_id AND p.scorm_package_id = NEW.scorm_package_id;
    IF package.validation_state = 'invalid' THEN
        RAISE EXCEPTION 'package "%" is invalid and cannot be launched', package.title
            USING ERRCODE = 'check_violation', HINT = 'Upload a package that validates.';
    END IF;
    IF NOT package.is_in_it THEN
        RAISE EXCEPTION 'package "%" has no SCO %', package.title, NEW.sco_identifier
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    IF NEW.attempt_no > package.max_attempts THEN
        RAISE EXCEPTION 'package "%" may be attempted % times', package.title,
                        package.max_attempts
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.check_scorm_launch() IS
    'Only what validated is launched, by a SCO that its manifest lists, as often as it allows.';

CREATE TRIGGER scorm_attempt_launchable
    BEFORE INSERT OR UPDATE OF scorm_package_id, sco_identifier, attempt_no
    ON courses.scorm_attempt
    FOR EACH ROW EXECUTE FUNCTION courses.check_scorm_launch();

CREATE FUNCTION courses.scorm_interactions(attempt uuid)
    RETURNS TABLE (ordinal integer, interaction_id text, interaction_type text, response text,
                   result text, latency text)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT j.ordinal, j.interaction_id, j.interaction_type, j.response, j.result, j.latency
    FROM courses.scorm_attempt AS a
    CROSS JOIN JSON_TABLE(a.runtime_data::jsonb, '$.interactions[*]' COLUMNS (
        ordinal          FOR ORDINALITY,
        interaction_id   text PATH '$.id',
        interaction_type text PATH '$.type',
        response         text PATH '$.learner_response',
        result           text PATH '$.result',
        latency          text PATH '$.latency')) AS j
    WHERE a.business_id = tenant_mgmt.current_business_id() AND a.scorm_attempt_id = attempt;
END;
COMMENT ON FUNCTION courses.scorm_interactions(uuid) IS
    'The questions that courseware asked in an attempt, and how they were answered.';

CREATE FUNCTION courses.scorm_objectives(attempt uuid)
    RETURNS TABLE (objective_id text, success_status text, score_scaled numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT j.objective_id, j.success_status, j.score_scaled
    FROM courses.scorm_attempt AS a
    CROSS JOIN JSON_TABLE(a.runtime_data::jsonb, '$.objectives[*]' COLUMNS (
        objective_id   text    PATH '$.id',
        success_status text    PATH '$.success_status',
        score_scaled   numeric PATH '$.score.scaled')) AS j
    WHERE a.business_id = tenant_mgmt.current_business_id() AND a.scorm_attempt_id = attempt;
END;
COMMENT ON FUNCTION courses.scorm_objectives(uuid) IS
    'The objectives of an attempt as the courseware judged them.';


CREATE TABLE courses.lti_tool (
    business_id               uuid             NOT NULL,
    lti_tool_id               uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    integration_connection_id uuid,
    name                      text             NOT NULL,
    client_identifier         text             NOT NULL,
    deployment_code           system_core.code NOT NULL,
    issuer                    system_core.url  NOT NULL,
    login_url                 system_core.url  NOT NULL,
    jwks_url                  system_core.url  NOT NULL,
    target_url                system_core.url  NOT NULL,
    placements                text[]           NOT NULL DEFAULT '{}',
    privacy_level             text             NOT NULL DEFAULT 'anonymous',
    services                  text[]           NOT NULL DEFAULT '{}',
    status                    text             NOT NULL DEFAULT 'testing',
    key_rotated_at            timestamptz,
    created_at                timestamptz      NOT NULL DEFAULT now(),
    updated_at                timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, lti_tool_id),
    UNIQUE (business_id, issuer, client_identifier, deployment_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, integration_connection_id)
        REFERENCES system_core.integration_connection (business_id, integration_connection_id),
    CONSTRAINT lti_tool_privacy_level_known
        CHECK (privacy_level IN ('anonymous', 'name_only', 'email_only', 'public')),
    CONSTRAINT lti_tool_status_known CHECK (status IN ('active', 'disabled', 'testing')),
    CONSTRAINT lti_tool_placements_known
        CHECK (placements <@ ARRAY['lesson', 'assignment', 'course_navigation', 'editor_button',
                                   'link_selection']),
    CONSTRAINT lti_tool_services_known
        CHECK (services <@ ARRAY['scores', 'line_items', 'results', 'names_and_roles',
                                 'deep_linking']),
    CONSTRAINT lti_tool_urls_use_https
        CHECK (issuer LIKE 'https://%' AND login_url LIKE 'https://%'
               AND jwks_url LIKE 'https://%' AND target_url LIKE 'https://%'),
    CONSTRAINT lti_tool_anonymous_has_no_roster
        CHECK (privacy_level <> 'anonymous'
               OR services <@ ARRAY['scores', 'line_items', 'results', 'deep_linking'])
);

COMMENT ON TABLE courses.lti_tool IS 'External tool registered by LTI 1.3.';
COMMENT ON COLUMN courses.lti_tool.privacy_level IS
    'What of a learner the tool is told: courses.lti_claims() sends no more.';
COMMENT ON COLUMN courses.lti_tool.services IS
    'Of LTI Advantage: what the tool may call us for.';

-- FK: the tools of a connection.
CREATE INDEX lti_tool_integration_connection_idx
    ON courses.lti_tool (business_id, integration_connection_id)
    WHERE integration_connection_id IS NOT NULL;

ALTER TABLE courses.lti_tool ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.lti_tool
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.lti_tool TO app_user;
GRANT SELECT ON courses.lti_tool TO app_readonly;

CREATE TRIGGER lti_tool_touch
    BEFORE UPDATE ON courses.lti_tool
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.lti_launch (
    business_id       uuid                    NOT NULL,
    lti_launch_id     uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    lti_tool_id       uuid                    NOT NULL,
    lesson_id         uuid,
    enrollment_id     uuid,
    launched_at       timestamptz             NOT NULL DEFAULT now(),
    message_type      text                    NOT NULL DEFAULT 'resource_link',
    nonce_hash        system_core.sha256      NOT NULL,
    state             text                    NOT NULL DEFAULT 'started',
    claims            system_core.json_object NOT NULL DEFAULT '{}',
    score_given       system_core.quantity,
    score_maximum     system_core.quantity,
    activity_progress text                    NOT NULL DEFAULT 'initialized',
    failure_reason    text,
    duration_ms       system_core.milliseconds,
    created_at        timestamptz             NOT NULL DEFAULT now(),
    updated_at        timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, lti_launch_id, launched_at),
    FOREIGN KEY (business_id, lti_tool_id) REFERENCES courses.lti_tool (business_id, lti_tool_id),
    FOREIGN KEY (business_id, lesson_id) REFERENCES courses.lesson (business_id, lesson_id),
    CONSTRAINT lti_launch_message_type_known
        CHECK (message_type IN ('resource_link', 'deep_linking', 'submission_review')),
    CONSTRAINT lti_launch_state_known
        CHECK (state IN ('started', 'validated', 'completed', 'failed')),
    CONSTRAINT lti_launch_activity_progress_known
        CHECK (activity_progress IN ('initialized', 'started', 'in_progress', 'submitted',
                                     'completed')),
    CONSTRAINT lti_launch_score_at_most_maximum CHECK (score_given <= score_maximum),
    CONSTRAINT lti_launch_score_has_maximum
        CHECK (score_given IS NULL OR (score_given >= 0 AND coalesce(score_maximum, 0) > 0)),
    CONSTRAINT lti_launch_failed_says_why
        CHECK (state <> 'failed' OR coalesce(failure_reason, '') ~ '\S'),
    CONSTRAINT lti_launch_only_valid_scores
        CHECK (score_given IS NULL OR state IN ('validated', 'completed'))
) PARTITION BY RANGE (launched_at);

COMMENT ON TABLE courses.lti_launch IS 'Launch of a tool with its context and returned score.';
COMMENT ON COLUMN courses.lti_launch.claims IS
    'The custom and context claims of the launch; what names the learner is not stored.';
COMMENT ON COLUMN courses.lti_launch.score_given IS 'By the Assignment and Grade Services.';

-- FK: the launches of a tool.
CREATE INDEX lti_launch_lti_tool_idx
    ON courses.lti_launch (business_id, lti_tool_id, launched_at);

-- FK: the launches from a lesson.
CREATE INDEX lti_launch_lesson_idx
    ON courses.lti_launch (business_id, lesson_id)
    WHERE lesson_id IS NOT NULL;

-- FK: what a learner launched in a course.
CREATE INDEX lti_launch_enrollment_idx
    ON courses.lti_launch (business_id, enrollment_id)
    WHERE enrollment_id IS NOT NULL;

-- A nonce of the last day is not taken again.
CREATE INDEX lti_launch_nonce_idx
    ON courses.lti_launch (business_id, nonce_hash, launched_at);

ALTER TABLE courses.lti_launch ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.lti_launch
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE ON courses.lti_launch TO app_user;
GRANT SELECT ON courses.lti_launch TO app_readonly;

CREATE TRIGGER lti_launch_touch
    BEFORE UPDATE ON courses.lti_launch
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER lti_launch_state_machine
    BEFORE INSERT OR UPDATE OF state ON courses.lti_launch
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["started"],
        "transitions": {
            "started":   ["validated", "failed"],
            "validated": ["completed", "failed"],
            "completed": [],
            "failed":    []
        }}');

CREATE FUNCTION courses.refuse_replayed_nonce() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- Unique across partitions there is no index for: two that replay at once wait here.
    PERFORM pg_advisory_xact_lock(
        hashtextextended(NEW.business_id || encode(NEW.nonce_hash, 'hex'), 1));
    IF EXISTS (
        SELECT FROM courses.lti_launch AS l
        WHERE l.business_id = NEW.business_id AND l.nonce_hash = NEW.nonce_hash
          AND l.launched_at > NEW.launched_at - interval '1 day'
          AND l.launched_at < NEW.launched_at + interval '1 day')
    THEN
        RAISE EXCEPTION 'the nonce of this launch was used within a day'
            USING ERRCODE = 'unique_violation', HINT = 'A replayed launch is refused.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.refuse_replayed_nonce() IS
    'A nonce is used once per business and day: who replays a launch is refused.';

CREATE TRIGGER lti_launch_nonce_is_new
    BEFORE INSERT ON courses.lti_launch
    FOR EACH ROW EXECUTE FUNCTION courses.refuse_replayed_nonce();

CREATE TABLE courses.lti_launch_default PARTITION OF courses.lti_launch DEFAULT;
ALTER TABLE courses.lti_launch_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.lti_launch_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('courses.lti_launch', 'month', behind => 13, ahead => 3);
