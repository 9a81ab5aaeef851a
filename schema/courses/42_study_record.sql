/*
 * The record of studying: what happened, when, and what it came to day by day.
 *
 * A learning_statement says that a learner did something to something, in the form of xAPI; it
 * never changes, and one that was wrong is voided by another. A learning_session is a continuous
 * stretch on one device. A progress_snapshot is how far an enrollment was on a day:
 * courses.take_progress_snapshots() writes them, and they draw the trend lines;
 * courses.v_progress_fall shows where a line falls, which only a release of content explains.
 */

CREATE FUNCTION courses.iso_seconds(duration text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT round(coalesce(m.part[1]::numeric, 0) * 86400 + coalesce(m.part[2]::numeric, 0) * 3600
                 + coalesce(m.part[3]::numeric, 0) * 60 + coalesce(m.part[4]::numeric, 0))::integer
    FROM (SELECT regexp_match(
              duration,
              '^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$') AS part) AS m
    WHERE m.part IS NOT NULL AND duration ~ '\d';
END;
COMMENT ON FUNCTION courses.iso_seconds(text) IS
    'Seconds of a duration of ISO 8601 in days or less, PT1H12M; NULL where it is none.';

CREATE FUNCTION courses.read_result(result jsonb)
    RETURNS TABLE (score_scaled numeric, success boolean, response text, duration_seconds integer)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT j.score_scaled, j.success, j.response, courses.iso_seconds(j.duration)
    FROM JSON_TABLE(result, '$' COLUMNS (
        score_scaled numeric PATH '$.score.scaled',
        success      boolean PATH '$.success',
        response     text    PATH '$.response',
        duration     text    PATH '$.duration')) AS j;
END;
COMMENT ON FUNCTION courses.read_result(jsonb) IS
    'Score, success, answer and duration of an xAPI result.';


CREATE TABLE courses.learning_statement (
    business_id           uuid        NOT NULL,
    learning_statement_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    learner_id            uuid        NOT NULL,
    enrollment_id         uuid,
    stored_at             timestamptz NOT NULL DEFAULT now(),
    statement_key         uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    occurred_at           timestamptz NOT NULL DEFAULT now(),
    verb                  text        NOT NULL,
    object_kind           text        NOT NULL,
    object_id             uuid,
    result                system_core.json_object,
    context               system_core.json_object,
    platform              text,
    score_scaled          numeric(7, 6),
    success               boolean,
    duration_seconds      integer,
    voids_statement_key   uuid,
    created_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, learning_statement_id, stored_at),
    UNIQUE (business_id, statement_key, stored_at),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    CONSTRAINT learning_statement_verb_known
        CHECK (verb IN ('launched', 'experienced', 'attempted', 'answered', 'completed', 'passed',
                        'failed', 'progressed', 'interacted', 'commented', 'voided')),
    CONSTRAINT learning_statement_object_kind_known
        CHECK (object_kind IN ('course', 'lesson', 'content', 'question', 'assessment',
                               'discussion', 'media', 'tool')),
    CONSTRAINT learning_statement_score_bounded CHECK (score_scaled BETWEEN -1 AND 1),
    CONSTRAINT learning_statement_stored_after_it_occurred CHECK (occurred_at <= stored_at),
    CONSTRAINT learning_statement_duration_not_negative CHECK (duration_seconds >= 0),
    CONSTRAINT learning_statement_voids_a_statement
        CHECK ((verb = 'voided') = (voids_statement_key IS NOT NULL)),
    CONSTRAINT learning_statement_not_of_itself CHECK (voids_statement_key <> statement_key),
    CONSTRAINT learning_statement_result_is_xapi
        CHECK (NOT jsonb_path_exists(result, '$.keyvalue() ? (!(@.key == "score"
                   || @.key == "success" || @.key == "completion" || @.key == "response"
                   || @.key == "duration" || @.key == "extensions"))')),
    CONSTRAINT learning_statement_context_is_xapi
        CHECK (NOT jsonb_path_exists(context, '$.keyvalue() ? (!(@.key == "registration"
                   || @.key == "instructor" || @.key == "team" || @.key == "contextActivities"
                   || @.key == "revision" || @.key == "platform" || @.key == "language"
                   || @.key == "statement" || @.key == "extensions"))'))
) PARTITION BY RANGE (stored_at);

COMMENT ON TABLE courses.learning_statement IS
    'XAPI-style statement of what a learner did; append only.';
COMMENT ON COLUMN courses.learning_statement.statement_key IS
    'The id that the sender gave it: sent twice, it is known.';
COMMENT ON COLUMN courses.learning_statement.object_id IS
    'Row of object_kind; without a foreign key, for the record outlives what it is about.';
COMMENT ON COLUMN courses.learning_statement.result IS
    'Of xAPI: score, success, completion, response, duration, extensions.';
COMMENT ON COLUMN courses.learning_statement.score_scaled IS
    'As success and duration_seconds, read from the result where there is one.';

-- FK: what a learner did, the latest first.
CREATE INDEX learning_statement_learner_idx
    ON courses.learning_statement (business_id, learner_id, stored_at DESC);

-- FK: what was done in an enrollment.
CREATE INDEX learning_statement_enrollment_idx
    ON courses.learning_statement (business_id, enrollment_id, occurred_at)
    WHERE enrollment_id IS NOT NULL;

-- Whether a statement was voided.
CREATE INDEX learning_statement_voids_idx
    ON courses.learning_statement (business_id, voids_statement_key)
    WHERE voids_statement_key IS NOT NULL;

ALTER TABLE courses.learning_statement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.learning_statement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON courses.learning_statement TO app_user;
GRANT SELECT ON courses.learning_statement TO app_readonly;

CREATE TRIGGER learning_statement_append_only
    BEFORE UPDATE OR DELETE ON courses.learning_statement
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('courses.learning_statement');

CREATE FUNCTION courses.read_statement() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    found record;
BEGIN
    SELECT r.* INTO found FROM courses.read_result(NEW.result) AS r;
    NEW.score_scaled := coalesce(found.score_scaled, NEW.score_scaled);
    NEW.success := coalesce(found.success, NEW.success);
    NEW.duration_seconds := coalesce(found.duration_seconds, NEW.duration_seconds);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.read_statement() IS
    'Score, success and duration stand beside the document that says them.';

CREATE TRIGGER learning_statement_read
    BEFORE INSERT ON courses.learning_statement
    FOR EACH ROW WHEN (NEW.result IS NOT NULL)
    EXECUTE FUNCTION courses.read_statement();

CREATE FUNCTION courses.check_voiding() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    target record;
BEGIN
    PERFORM pg_advisory_xact_lock(
        hashtextextended(NEW.business_id::text || NEW.voids_statement_key, 2));
    SELECT s.verb, s.learner_id INTO target
    FROM courses.learning_statement AS s
    WHERE s.business_id = NEW.business_id AND s.statement_key = NEW.voids_statement_key;
    IF NOT FOUND OR target.learner_id <> NEW.learner_id THEN
        RAISE EXCEPTION 'there is no statement % of this learner', NEW.voids_statement_key
            USING ERRCODE = 'foreign_key_violation';
    ELSIF target.verb = 'voided' THEN
        RAISE EXCEPTION 'a voiding statement cannot be voided'
            USING ERRCODE = 'check_violation', HINT = 'Send the first statement again.';
    ELSIF EXISTS (
        SELECT FROM courses.learning_statement AS s
        WHERE s.business_id = NEW.business_id
          AND s.voids_statement_key = NEW.voids_statement_key)
    THEN
        RAISE EXCEPTION 'statement % is voided already', NEW.voids_statement_key
            USING ERRCODE = 'unique_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.check_voiding() IS
    'What is voided is a statement of the same learner, once, and no voiding: as xAPI has it.';

CREATE TRIGGER learning_statement_voids
    BEFORE INSERT ON courses.learning_statement
    FOR EACH ROW WHEN (NEW.verb = 'voided' AND NEW.voids_statement_key IS NOT NULL)
    EXECUTE FUNCTION courses.check_voiding();

CREATE TABLE courses.learning_statement_default PARTITION OF courses.learning_statement DEFAULT;
ALTER TABLE courses.learning_statement_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.learning_statement_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions(
    'courses.learning_statement', 'month', behind => 13, ahead => 3);

CREATE VIEW courses.v_learning_record WITH (security_invoker = true) AS
SELECT s.business_id, s.learner_id, s.enrollment_id, s.statement_key, s.occurred_at, s.verb,
       s.object_kind, s.object_id, s.score_scaled, s.success, s.duration_seconds, r.response,
       c.language, c.platform, c.extensions
FROM courses.learning_statement AS s
LEFT JOIN JSON_TABLE(s.result::jsonb, '$' COLUMNS (response text PATH '$.response')) AS r ON true
LEFT JOIN JSON_TABLE(s.context::jsonb, '$' COLUMNS (
    language   text  PATH '$.language',
    platform   text  PATH '$.platform',
    extensions jsonb PATH '$.extensions')) AS c ON true
WHERE s.verb <> 'voided'
  AND NOT EXISTS (
      SELECT
      FROM courses.learning_statement AS v
      WHERE v.business_id = s.business_id AND v.voids_statement_key = s.statement_key);
COMMENT ON VIEW courses.v_learning_record IS
    'What learners did, without what was voided, with what the documents say of it.';
GRANT SELECT ON courses.v_learning_record TO app_user, app_readonly;


CREATE TABLE courses.learning_session (
    business_id             uuid        NOT NULL,
    learning_session_id     uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    learner_id              uuid        NOT NULL,
    started_at              timestamptz NOT NULL,
    ended_at                timestamptz NOT NULL,
    active_seconds          integer     NOT NULL,
    idle_seconds            integer     NOT NULL DEFAULT 0,
    device_kind             text        NOT NULL,
    pages_viewed            integer     NOT NULL DEFAULT 0,
    lessons_completed       integer     NOT NULL DEFAULT 0,
    network_quality         text        NOT NULL DEFAULT 'good',
    entry_point             text        NOT NULL DEFAULT 'direct',
    timezone_offset_minutes integer     NOT NULL DEFAULT 0,
    app_version             text,
    created_at              timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, learning_session_id, started_at),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    CONSTRAINT learning_session_device_kind_known
        CHECK (device_kind IN ('desktop', 'phone', 'tablet', 'tv', 'offline_app')),
    CONSTRAINT learning_session_network_quality_known
        CHECK (network_quality IN ('good', 'fair', 'poor', 'offline')),
    CONSTRAINT learning_session_entry_point_known
        CHECK (entry_point IN ('direct', 'email', 'push', 'search', 'calendar')),
    CONSTRAINT learning_session_ended_after_start CHECK (ended_at >= started_at),
    CONSTRAINT learning_session_is_active_or_idle
        CHECK (abs(extract(epoch FROM ended_at - started_at)
                   - (active_seconds + idle_seconds)) <= 2),
    CONSTRAINT learning_session_counts_not_negative
        CHECK (active_seconds >= 0 AND idle_seconds >= 0 AND pages_viewed >= 0
               AND lessons_completed >= 0),
    CONSTRAINT learning_session_offset_on_earth
        CHECK (timezone_offset_minutes BETWEEN -720 AND 840)
) PARTITION BY RANGE (started_at);

COMMENT ON TABLE courses.learning_session IS
    'Continuous study period on one device, written when it has ended; append only.';
COMMENT ON COLUMN courses.learning_session.idle_seconds IS
    'Without input or film; half an hour of it ends a session.';
COMMENT ON COLUMN courses.learning_session.timezone_offset_minutes IS
    'Of the device, east of UTC: when people study by their own clock.';

-- FK: when a learner studied, the latest first.
CREATE INDEX learning_session_learner_idx
    ON courses.learning_session (business_id, learner_id, started_at DESC);

ALTER TABLE courses.learning_session ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.learning_session
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON courses.learning_session TO app_user;
GRANT SELECT ON courses.learning_session TO app_readonly;

CREATE TRIGGER learning_session_append_only
    BEFORE UPDATE OR DELETE ON courses.learning_session
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('courses.learning_session');

CREATE TABLE courses.learning_session_default PARTITION OF courses.learning_session DEFAULT;
ALTER TABLE courses.learning_session_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.learning_session_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('courses.learning_session', 'month', behind => 13, ahead => 3);


CREATE TABLE courses.progress_snapshot (
    business_id          uuid                   NOT NULL,
    progress_snapshot_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    enrollment_id        uuid                   NOT NULL,
    snapshot_date        date                   NOT NULL,
    progress_pct         system_core.percentage NOT NULL DEFAULT 0,
    grade_pct            system_core.percentage,
    minutes_that_day     integer                NOT NULL DEFAULT 0,
    lessons_that_day     integer                NOT NULL DEFAULT 0,
    active_flag          boolean                GENERATED ALWAYS AS (
        minutes_that_day > 0 OR lessons_that_day > 0) STORED,
    days_since_active    integer,
    on_pace              boolean                NOT NULL DEFAULT true,
    cumulative_minutes   integer                NOT NULL DEFAULT 0,
    created_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, progress_snapshot_id, snapshot_date),
    UNIQUE (business_id, enrollment_id, snapshot_date),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    CONSTRAINT progress_snapshot_progress_bounded CHECK (progress_pct BETWEEN 0 AND 100),
    CONSTRAINT progress_snapshot_grade_bounded CHECK (grade_pct BETWEEN 0 AND 100),
    CONSTRAINT progress_snapshot_minutes_of_a_day CHECK (minutes_that_day BETWEEN 0 AND 1440),
    CONSTRAINT progress_snapshot_counts_not_negative
        CHECK (lessons_that_day >= 0 AND days_since_active >= 0
               AND cumulative_minutes >= minutes_that_day)
) PARTITION BY RANGE (snapshot_date);

COMMENT ON TABLE courses.progress_snapshot IS
    'Daily progress of each live enrollment for trend lines; append only.';
COMMENT ON COLUMN courses.progress_snapshot.days_since_active IS 'NULL: never was.';

ALTER TABLE courses.progress_snapshot ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.progress_snapshot
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON courses.progress_snapshot TO app_user;
GRANT SELECT ON courses.progress_snapshot TO app_readonly;

CREATE TRIGGER progress_snapshot_append_only
    BEFORE UPDATE OR DELETE ON courses.progress_snapshot
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('courses.progress_snapshot');

CREATE TABLE courses.progress_snapshot_default PARTITION OF courses.progress_snapshot DEFAULT;
ALTER TABLE courses.progress_snapshot_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.progress_snapshot_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions(
    'courses.progress_snapshot', 'month', behind => 13, ahead => 3);

CREATE FUNCTION courses.take_progress_snapshots(on_date date) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  CONSTANT uuid := tenant_mgmt.current_business_id();
    opened  CONSTANT timestamptz := on_date::timestamp AT TIME ZONE 'UTC';
    written integer;
BEGIN
    INSERT INTO courses.progress_snapshot
        (business_id, enrollment_id, snapshot_date, progress_pct, grade_pct, minutes_that_day,
         lessons_that_day, days_since_active, on_pace, cumulative_minutes)
    SELECT tenant, p.enrollment_id, on_date,
           round(100.0 * p.lessons_done / nullif(p.lessons_total, 0), 4), p.current_grade_pct,
           least(d.minutes, 1440), d.lessons,
           greatest(on_date - (p.last_activity_at AT TIME ZONE 'UTC')::date, 0),
           p.pace IN ('on_track', 'ahead'), greatest(p.minutes_spent, least(d.minutes, 1440))
    FROM courses.course_progress AS p
    JOIN courses.enrollment AS e
        ON e.business_id = tenant AND e.enrollment_id = p.enrollment_id
       AND e.status IN ('active', 'paused', 'audit')
    CROSS JOIN LATERAL (
        SELECT (SELECT coalesce(sum(s.duration_seconds), 0) / 60
                FROM courses.learning_statement AS s
                WHERE s.business_id = tenant AND s.enrollment_id = p.enrollment_id
                  AND s.occurred_at >= opened AND s.occurred_at < opened + interval '1 day')
                   AS minutes,
               (SELECT count(*)
                FROM courses.lesson_progress AS l
                WHERE l.business_id = tenant AND l.enrollment_id = p.enrollment_id
                  AND l.completed_at >= opened AND l.completed_at < opened + interval '1 day')
                   AS lessons
    ) AS d
    WHERE p.business_id = tenant AND p.lessons_total > 0
    ON CONFLICT (business_id, enrollment_id, snapshot_date) DO NOTHING;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END
$$;
COMMENT ON FUNCTION courses.take_progress_snapshots(date) IS
    'Writes how far each live enrollment is on a day (UTC); run again, it adds who is missing.';

CREATE VIEW courses.v_progress_fall WITH (security_invoker = true) AS
SELECT s.business_id, s.enrollment_id, s.snapshot_date, s.last_pct, s.progress_pct,
       s.lessons_that_day
FROM (
    SELECT x.business_id, x.enrollment_id, x.snapshot_date, x.progress_pct, x.lessons_that_day,
           lag(x.progress_pct) OVER (
               PARTITION BY x.business_id, x.enrollment_id ORDER BY x.snapshot_date) AS last_pct
    FROM courses.progress_snapshot AS x
) AS s
WHERE s.progress_pct < s.last_pct;
COMMENT ON VIEW courses.v_progress_fall IS
    'Days on which an enrollment was less far than the day before: only released content explains
     it.';
GRANT SELECT ON courses.v_progress_fall TO app_user, app_readonly;
