/*
 * Progress: how far a learner is, lesson by lesson and in the whole.
 *
 * A lesson_progress is the state of a lesson for an enrollment and never falls back from completed;
 * course_progress is its roll-up and equals its lessons at any time
 * (courses.course_progress_differences). A video_progress keeps which seconds of a film were seen,
 * so that skipping to the end is not watching it. An outcome_mastery is what all evidence says of a
 * learner and a learning outcome. A learning_goal is what a learner set out to do. The raw record
 * of what happened is in 42_study_record.sql, the functions that players call in
 * 44_lesson_flow.sql.
 */

CREATE TABLE courses.lesson_progress (
    business_id        uuid                   NOT NULL,
    lesson_progress_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    enrollment_id      uuid                   NOT NULL,
    lesson_id          uuid                   NOT NULL,
    state              text                   NOT NULL DEFAULT 'not_started',
    first_opened_at    timestamptz,
    last_opened_at     timestamptz,
    completed_at       timestamptz,
    seconds_spent      integer                NOT NULL DEFAULT 0,
    open_count         integer                NOT NULL DEFAULT 0,
    scroll_pct         system_core.percentage NOT NULL DEFAULT 0,
    best_score_pct     system_core.percentage,
    completion_source  text,
    is_bookmarked      boolean                NOT NULL DEFAULT false,
    created_at         timestamptz            NOT NULL DEFAULT now(),
    updated_at         timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, lesson_progress_id),
    UNIQUE (business_id, enrollment_id, lesson_id),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    FOREIGN KEY (business_id, lesson_id) REFERENCES courses.lesson (business_id, lesson_id),
    CONSTRAINT lesson_progress_state_known
        CHECK (state IN ('not_started', 'in_progress', 'completed', 'failed', 'exempt')),
    CONSTRAINT lesson_progress_completion_source_known
        CHECK (completion_source IN ('rule', 'manual', 'import', 'scorm', 'lti')),
    CONSTRAINT lesson_progress_completed_has_time
        CHECK ((state = 'completed') = (completed_at IS NOT NULL)),
    CONSTRAINT lesson_progress_completed_has_source
        CHECK (state <> 'completed' OR completion_source IS NOT NULL),
    CONSTRAINT lesson_progress_completed_after_opening CHECK (completed_at >= first_opened_at),
    CONSTRAINT lesson_progress_started_was_opened
        CHECK (state NOT IN ('in_progress', 'failed') OR first_opened_at IS NOT NULL),
    CONSTRAINT lesson_progress_opened_in_order CHECK (last_opened_at >= first_opened_at),
    CONSTRAINT lesson_progress_counts_not_negative CHECK (seconds_spent >= 0 AND open_count >= 0),
    CONSTRAINT lesson_progress_scroll_bounded CHECK (scroll_pct BETWEEN 0 AND 100),
    CONSTRAINT lesson_progress_best_score_bounded CHECK (best_score_pct BETWEEN 0 AND 100)
);

COMMENT ON TABLE courses.lesson_progress IS 'State of a lesson for a learner.';
COMMENT ON COLUMN courses.lesson_progress.completion_source IS
    'What completed it: the lesson''s own rule, a teacher, courseware, an outside tool.';

-- FK: how a lesson goes.
CREATE INDEX lesson_progress_lesson_idx
    ON courses.lesson_progress (business_id, lesson_id);

ALTER TABLE courses.lesson_progress ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.lesson_progress
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.lesson_progress TO app_user;
GRANT SELECT ON courses.lesson_progress TO app_readonly;

CREATE TRIGGER lesson_progress_touch
    BEFORE UPDATE ON courses.lesson_progress
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER lesson_progress_state_machine
    BEFORE INSERT OR UPDATE OF state ON courses.lesson_progress
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["not_started", "in_progress", "completed", "failed", "exempt"],
        "transitions": {
            "not_started": ["in_progress", "completed", "failed", "exempt"],
            "in_progress": ["completed", "failed", "exempt"],
            "failed":      ["completed", "exempt"],
            "exempt":      ["in_progress", "completed"],
            "completed":   []
        }}');

CREATE FUNCTION courses.keep_lesson_progress() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what a learner has done of a lesson does not fall back'
        USING ERRCODE = 'check_violation';
END
$$;
COMMENT ON FUNCTION courses.keep_lesson_progress() IS
    'Time spent, how far somebody scrolled, the best score and when it was done only grow or stay.';

CREATE TRIGGER lesson_progress_kept
    BEFORE UPDATE ON courses.lesson_progress
    FOR EACH ROW WHEN (
        NEW.seconds_spent < OLD.seconds_spent OR NEW.open_count < OLD.open_count
        OR NEW.scroll_pct < OLD.scroll_pct
        OR coalesce(NEW.best_score_pct, -1) < coalesce(OLD.best_score_pct, -1)
        OR (OLD.completed_at IS NOT NULL AND NEW.completed_at IS DISTINCT FROM OLD.completed_at)
        OR NEW.first_opened_at > OLD.first_opened_at OR NEW.last_opened_at < OLD.last_opened_at
        OR (NEW.enrollment_id, NEW.lesson_id) IS DISTINCT FROM (OLD.enrollment_id, OLD.lesson_id))
    EXECUTE FUNCTION courses.keep_lesson_progress();


CREATE TABLE courses.course_progress (
    business_id             uuid        NOT NULL,
    course_progress_id      uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    enrollment_id           uuid        NOT NULL,
    next_lesson_id          uuid,
    lessons_total           integer     NOT NULL DEFAULT 0,
    lessons_done            integer     NOT NULL DEFAULT 0,
    required_done           integer     NOT NULL DEFAULT 0,
    minutes_spent           integer     NOT NULL DEFAULT 0,
    current_grade_pct       system_core.percentage,
    last_activity_at        timestamptz,
    pace                    text        NOT NULL DEFAULT 'on_track',
    days_behind             integer     NOT NULL DEFAULT 0,
    predicted_completion_on date,
    predicted_grade_pct     system_core.percentage,
    recomputed_at           timestamptz NOT NULL DEFAULT now(),
    created_at              timestamptz NOT NULL DEFAULT now(),
    updated_at              timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, course_progress_id),
    UNIQUE (business_id, enrollment_id),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    FOREIGN KEY (business_id, next_lesson_id) REFERENCES courses.lesson (business_id, lesson_id),
    CONSTRAINT course_progress_pace_known
        CHECK (pace IN ('ahead', 'on_track', 'behind', 'stalled')),
    CONSTRAINT course_progress_done_at_most_all
        CHECK (required_done BETWEEN 0 AND lessons_done AND lessons_done <= lessons_total),
    CONSTRAINT course_progress_next_is_left
        CHECK ((next_lesson_id IS NULL) = (lessons_done = lessons_total)),
    CONSTRAINT course_progress_times_not_negative
        CHECK (minutes_spent >= 0 AND days_behind >= 0),
    CONSTRAINT course_progress_behind_by_days CHECK (pace <> 'behind' OR days_behind > 0),
    CONSTRAINT course_progress_grade_bounded CHECK (current_grade_pct BETWEEN 0 AND 100),
    CONSTRAINT course_progress_predicted_grade_bounded
        CHECK (predicted_grade_pct BETWEEN 0 AND 100)
);

COMMENT ON TABLE courses.course_progress IS
    'Current roll-up of an enrollment: lessons, time, grade, pace, forecast.';
COMMENT ON COLUMN courses.course_progress.lessons_total IS
    'Published lessons of the course, which change when content is released.';
COMMENT ON COLUMN courses.course_progress.required_done IS
    'Done lessons of modules that are neither optional nor without requirement.';
COMMENT ON COLUMN courses.course_progress.pace IS
    'Against the dates of the section, or the due date of who paces themselves, at recomputed_at;
     stalled: nothing for 14 days.';
COMMENT ON COLUMN courses.course_progress.predicted_completion_on IS
    'At the rate so far.';

-- FK: who stands before a lesson.
CREATE INDEX course_progress_next_lesson_idx
    ON courses.course_progress (business_id, next_lesson_id)
    WHERE next_lesson_id IS NOT NULL;

-- Who falls behind, for whoever looks after them.
CREATE INDEX course_progress_behind_idx
    ON courses.course_progress (business_id, days_behind DESC)
    WHERE pace IN ('behind', 'stalled');

ALTER TABLE courses.course_progress ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.course_progress
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.course_progress TO app_user;
GRANT SELECT ON courses.course_progress TO app_readonly;

CREATE TRIGGER course_progress_touch
    BEFORE UPDATE ON courses.course_progress
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION courses.outline(enrollments uuid[])
    RETURNS TABLE (enrollment_id uuid, course_module_id uuid, lesson_id uuid, place bigint,
                   is_required boolean, requirement text, minimum_score_pct numeric,
                   points numeric, state text, best_score_pct numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT e.enrollment_id, m.course_module_id, l.lesson_id,
           row_number() OVER (
               PARTITION BY e.enrollment_id
               ORDER BY coalesce(c.sort_order, m.sort_order), c.course_module_id IS NOT NULL,
                        m.sort_order, m.course_module_id, l.sort_order),
           NOT m.is_optional AND NOT coalesce(c.is_optional, false) AND m.requirement <> 'none',
           m.requirement, m.minimum_score_pct::numeric, l.points_possible::numeric,
           coalesce(p.state, 'not_started'), p.best_score_pct::numeric
    FROM courses.enrollment AS e
    JOIN courses.course_section AS s
        ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
    JOIN courses.course_module AS m
        ON m.business_id = s.business_id AND m.course_id = s.course_id AND m.is_published
    LEFT JOIN courses.course_module AS c
        ON c.business_id = m.business_id AND c.course_module_id = m.parent_module_id
    JOIN courses.lesson AS l
        ON l.business_id = m.business_id AND l.course_module_id = m.course_module_id
       AND l.is_published
    LEFT JOIN courses.lesson_progress AS p
        ON p.business_id = e.business_id AND p.enrollment_id = e.enrollment_id
       AND p.lesson_id = l.lesson_id
    WHERE e.business_id = tenant_mgmt.current_business_id()
      AND e.enrollment_id = ANY (enrollments) AND coalesce(c.is_published, true);
END;
COMMENT ON FUNCTION courses.outline(uuid[]) IS
    'The published lessons of the courses of enrollments in their order, with how each stands; what
     is in an unpublished chapter is not published.';

CREATE FUNCTION courses.progress_tally(enrollments uuid[])
    RETURNS TABLE (enrollment_id uuid, lessons_total integer, lessons_done integer,
                   required_done integer, minutes_spent integer, current_grade_pct numeric,
                   last_activity_at timestamptz, next_lesson_id uuid, is_complete boolean)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH lessons AS (
        SELECT o.*, o.state IN ('completed', 'exempt') AS is_done
        FROM courses.outline(enrollments) AS o
    ), modules AS (
        SELECT o.enrollment_id, o.course_module_id,
               NOT bool_or(o.is_required)
               OR CASE min(o.requirement)
                      WHEN 'one_item' THEN bool_or(o.is_done)
                      WHEN 'minimum_score'
                          THEN coalesce(avg(o.best_score_pct) >= min(o.minimum_score_pct), false)
                      ELSE bool_and(o.is_done) END AS is_done
        FROM lessons AS o
        GROUP BY o.enrollment_id, o.course_module_id
    ), whole AS (
        SELECT m.enrollment_id, bool_and(m.is_done) AS is_complete
        FROM modules AS m
        GROUP BY m.enrollment_id
    ), counted AS (
        SELECT o.enrollment_id, count(*) AS total, count(*) FILTER (WHERE o.is_done) AS done,
               count(*) FILTER (WHERE o.is_done AND o.is_required) AS required,
               round(sum(o.best_score_pct * o.points) FILTER (WHERE o.points > 0)
                     / nullif(sum(o.points) FILTER (WHERE o.points > 0
                                                    AND o.best_score_pct IS NOT NULL), 0), 4)
                   AS grade,
               (array_agg(o.lesson_id ORDER BY o.place) FILTER (WHERE NOT o.is_done))[1] AS next
        FROM lessons AS o
        GROUP BY o.enrollment_id
    ), spent AS (
        SELECT p.enrollment_id, sum(p.seconds_spent) / 60 AS minutes,
               max(greatest(p.last_opened_at, p.completed_at)) AS last_at
        FROM courses.lesson_progress AS p
        WHERE p.business_id = tenant_mgmt.current_business_id()
          AND p.enrollment_id = ANY (enrollments)
        GROUP BY p.enrollment_id
    )
    SELECT e.enrollment_id, coalesce(c.total, 0)::integer, coalesce(c.done, 0)::integer,
           coalesce(c.required, 0)::integer, coalesce(t.minutes, 0)::integer, c.grade, t.last_at,
           c.next, coalesce(w.is_complete, false)
    FROM courses.enrollment AS e
    LEFT JOIN counted AS c ON c.enrollment_id = e.enrollment_id
    LEFT JOIN whole AS w ON w.enrollment_id = e.enrollment_id
    LEFT JOIN spent AS t ON t.enrollment_id = e.enrollment_id
    WHERE e.business_id = tenant_mgmt.current_business_id()
      AND e.enrollment_id = ANY (enrollments);
END;
COMMENT ON FUNCTION courses.progress_tally(uuid[]) IS
    'What course_progress says of enrollments, counted anew from their lessons, and whether every
     module is done by its own requirement. The grade weighs lessons by their points.';

CREATE FUNCTION courses.recompute_course_progress(
    enrollments uuid[],
    moment      timestamptz DEFAULT now()
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  CONSTANT uuid    := tenant_mgmt.current_business_id();
    today   CONSTANT date    := (moment AT TIME ZONE 'UTC')::date;
    is_live CONSTANT boolean := row_security_active('courses.enrollment');
    written integer;
BEGIN
    -- Two lessons done at once are counted one after the other, and the second sees both.
    PERFORM
    FROM courses.enrollment AS e
    WHERE e.business_id = tenant AND e.enrollment_id = ANY (enrollments)
    ORDER BY e.enrollment_id
    FOR NO KEY UPDATE;
    INSERT INTO courses.course_progress AS p
        (business_id, enrollment_id, next_lesson_id, lessons_total, lessons_done, required_done,
         minutes_spent, current_grade_pct, last_activity_at, pace, days_behind,
         predicted_completion_on, predicted_grade_pct, recomputed_at)
    SELECT tenant, t.enrollment_id, t.next_lesson_id, t.lessons_total, t.lessons_done,
           t.required_done, t.minutes_spent, t.current_grade_pct, t.last_activity_at,
           CASE WHEN t.next_lesson_id IS NULL THEN 'on_track'
                WHEN t.last_activity_at < moment - interval '14 days' THEN 'stalled'
                WHEN b.days_behind > 0 THEN 'behind'
                WHEN t.lessons_done > d.expected + 0.1 * t.lessons_total THEN 'ahead'
                ELSE 'on_track' END,
           b.days_behind,
           CASE WHEN t.next_lesson_id IS NOT NULL AND t.lessons_done > 0
                THEN today + least(3650, ceil((t.lessons_total - t.lessons_done)
                                              * greatest(today - d.from_on, 1)::numeric
                                              / t.lessons_done))::integer END,
           t.current_grade_pct, moment
    FROM courses.progress_tally(enrollments) AS t
    JOIN courses.enrollment AS e
        ON e.business_id = tenant AND e.enrollment_id = t.enrollment_id
    LEFT JOIN courses.course_section AS s
        ON s.business_id = tenant AND s.course_section_id = e.course_section_id
    CROSS JOIN LATERAL (
        SELECT greatest(s.starts_on, (coalesce(e.started_at, e.enrolled_at, moment)
                                      AT TIME ZONE 'UTC')::date) AS from_on,
               coalesce(e.due_on, s.ends_on) AS to_on
    ) AS w
    CROSS JOIN LATERAL (
        SELECT w.from_on, greatest(w.to_on - w.from_on, 1) AS days,
               t.lessons_total * least(greatest((today - w.from_on)::numeric
                                                / greatest(w.to_on - w.from_on, 1), 0), 1)
                   AS expected
    ) AS d
    CROSS JOIN LATERAL (
        SELECT CASE WHEN t.next_lesson_id IS NULL OR w.to_on IS NULL THEN 0
                    ELSE greatest(floor((d.expected - t.lessons_done) * d.days
                                        / nullif(t.lessons_total, 0)), 0) END::integer
                   AS days_behind
    ) AS b
    ON CONFLICT (business_id, enrollment_id)
    DO UPDATE SET next_lesson_id = excluded.next_lesson_id,
                  lessons_total = excluded.lessons_total, lessons_done = excluded.lessons_done,
                  required_done = excluded.required_done, minutes_spent = excluded.minutes_spent,
                  current_grade_pct = excluded.current_grade_pct,
                  last_activity_at = excluded.last_activity_at, pace = excluded.pace,
                  days_behind = excluded.days_behind,
                  predicted_completion_on = excluded.predicted_completion_on,
                  predicted_grade_pct = excluded.predicted_grade_pct,
                  recomputed_at = excluded.recomputed_at
    WHERE p.business_id = excluded.business_id;
    GET DIAGNOSTICS written = ROW_COUNT;
    UPDATE courses.enrollment AS e
    SET progress_pct = n.progress_pct,
        started_at = coalesce(e.started_at, n.started_at),
        status = CASE WHEN n.is_completed THEN 'completed' ELSE e.status END,
        completed_at = CASE WHEN n.is_completed THEN moment ELSE e.completed_at END
    FROM courses.progress_tally(enrollments) AS t
    CROSS JOIN LATERAL (
        SELECT round(100.0 * t.lessons_done / nullif(t.lessons_total, 0), 2) AS progress_pct,
               (SELECT min(p.first_opened_at)
                FROM courses.lesson_progress AS p
                WHERE p.business_id = tenant AND p.enrollment_id = t.enrollment_id) AS started_at,
               t.is_complete AND is_live AND (
                   SELECT x.status = 'active'
                   FROM courses.enrollment AS x
                   WHERE x.business_id = tenant AND x.enrollment_id = t.enrollment_id)
                   AS is_completed
    ) AS n
    WHERE e.business_id = tenant AND e.enrollment_id = t.enrollment_id
      AND e.status <> 'completed'
      AND (e.progress_pct IS DISTINCT FROM n.progress_pct OR n.is_completed
           OR (e.started_at IS NULL AND n.started_at IS NOT NULL));
    RETURN written;
END
$$;
COMMENT ON FUNCTION courses.recompute_course_progress(uuid[], timestamptz) IS
    'Brings the roll-up of enrollments up to their lessons, with pace and forecast as of a moment,
     and tells the enrollment: how far, and completed once every module is done. Returns how many.';

CREATE FUNCTION courses.follow_lesson_progress() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    touched uuid[];
BEGIN
    IF NOT row_security_active('courses.lesson_progress') THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'DELETE' THEN
        SELECT array_agg(DISTINCT f.enrollment_id) INTO touched FROM former AS f;
    ELSE
        SELECT array_agg(DISTINCT c.enrollment_id) INTO touched FROM changed AS c;
    END IF;
    IF touched IS NOT NULL THEN
        PERFORM courses.recompute_course_progress(touched);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.follow_lesson_progress() IS
    'Every change of a lesson is in the roll-up at once. Imported history is rolled up by whoever
     imports it (courses.recompute_course_progress).';

CREATE TRIGGER lesson_progress_rolled_up
    AFTER INSERT ON courses.lesson_progress
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.follow_lesson_progress();

CREATE TRIGGER lesson_progress_rolled_up_anew
    AFTER UPDATE ON courses.lesson_progress
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.follow_lesson_progress();

CREATE TRIGGER lesson_progress_rolled_up_less
    AFTER DELETE ON courses.lesson_progress
    REFERENCING OLD TABLE AS former
    FOR EACH STATEMENT EXECUTE FUNCTION courses.follow_lesson_progress();

CREATE FUNCTION courses.follow_content_release() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    modules uuid[];
    touched uuid[];
BEGIN
    IF NOT row_security_active('courses.lesson') THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'DELETE' THEN
        SELECT array_agg(DISTINCT f.course_module_id) INTO modules FROM former AS f;
    ELSE
        SELECT array_agg(DISTINCT c.course_module_id) INTO modules FROM changed AS c;
    END IF;
    SELECT array_agg(p.enrollment_id) INTO touched
    FROM courses.course_progress AS p
    JOIN courses.enrollment AS e
        ON e.business_id = p.business_id AND e.enrollment_id = p.enrollment_id
    JOIN courses.course_section AS s
        ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
    WHERE p.business_id = tenant_mgmt.current_business_id()
      AND s.course_id IN (
          SELECT m.course_id
          FROM courses.course_module AS m
          WHERE m.business_id = tenant_mgmt.current_business_id()
            AND m.course_module_id = ANY (modules));
    IF touched IS NOT NULL THEN
        PERFORM courses.recompute_course_progress(touched);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.follow_content_release() IS
    'A lesson that is published, withdrawn or moved counts for everybody in its course at once.';

CREATE TRIGGER lesson_released
    AFTER INSERT ON courses.lesson
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.follow_content_release();

CREATE TRIGGER lesson_released_anew
    AFTER UPDATE ON courses.lesson
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.follow_content_release();

CREATE TRIGGER lesson_withdrawn
    AFTER DELETE ON courses.lesson
    REFERENCING OLD TABLE AS former
    FOR EACH STATEMENT EXECUTE FUNCTION courses.follow_content_release();

CREATE TRIGGER course_module_released
    AFTER UPDATE ON courses.course_module
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.follow_content_release();

CREATE FUNCTION courses.course_progress_differences()
    RETURNS TABLE (enrollment_id uuid, said text, found text)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH known AS (
        SELECT e.enrollment_id
        FROM courses.course_progress AS e
        WHERE e.business_id = tenant_mgmt.current_business_id()
        UNION
        SELECT e.enrollment_id
        FROM courses.lesson_progress AS e
        WHERE e.business_id = tenant_mgmt.current_business_id()
    )
    SELECT t.enrollment_id,
           p.lessons_done || '/' || p.lessons_total || ', ' || p.minutes_spent || ' min',
           t.lessons_done || '/' || t.lessons_total || ', ' || t.minutes_spent || ' min'
    FROM courses.progress_tally(ARRAY(SELECT k.enrollment_id FROM known AS k)) AS t
    LEFT JOIN courses.course_progress AS p
        ON p.business_id = tenant_mgmt.current_business_id()
       AND p.enrollment_id = t.enrollment_id
    WHERE (p.lessons_total, p.lessons_done, p.required_done, p.minutes_spent,
           p.current_grade_pct::numeric, p.last_activity_at, p.next_lesson_id)
          IS DISTINCT FROM
          (t.lessons_total, t.lessons_done, t.required_done, t.minutes_spent,
           t.current_grade_pct, t.last_activity_at, t.next_lesson_id);
END;
COMMENT ON FUNCTION courses.course_progress_differences() IS
    'Proves the roll-ups: enrollments whose course_progress is not what their lessons say.';


-- What follows is in PL/pgSQL, which keeps plans: a heartbeat asks each of them several times.
CREATE FUNCTION courses.merge_watched_ranges(ranges jsonb, new_from integer, new_to integer)
    RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN (
        SELECT coalesce(jsonb_agg(jsonb_build_array(lower(m.part), upper(m.part))
                                  ORDER BY lower(m.part)), '[]')
        FROM unnest((
            SELECT range_agg(int4range(w.start_s, w.end_s))
            FROM (SELECT j.start_s, j.end_s
                  FROM JSON_TABLE(ranges, '$[*]' COLUMNS (
                      start_s integer PATH '$[0]',
                      end_s   integer PATH '$[1]')) AS j
                  UNION ALL
                  SELECT new_from, new_to) AS w
            WHERE w.start_s < w.end_s
        )) AS m (part)
    );
END
$$;
COMMENT ON FUNCTION courses.merge_watched_ranges(jsonb, integer, integer) IS
    'The seconds watched, [[from, to], …], with one stretch more: sorted, and what overlaps or
     touches is one.';

CREATE FUNCTION courses.watched_seconds(ranges jsonb) RETURNS integer
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN (
        SELECT coalesce(sum(j.end_s - j.start_s), 0)
        FROM JSON_TABLE(ranges, '$[*]' COLUMNS (
            start_s integer PATH '$[0]',
            end_s   integer PATH '$[1]')) AS j
    );
END
$$;
COMMENT ON FUNCTION courses.watched_seconds(jsonb) IS
    'How many different seconds were watched, by ranges that do not overlap.';

CREATE FUNCTION courses.are_watched_ranges(ranges jsonb, duration integer) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN (
        SELECT coalesce(bool_and(coalesce(
                   r.start_s > coalesce(r.last_end, -1) AND r.start_s < r.end_s
                   AND r.end_s <= duration AND r.more IS NULL, false)), true)
        FROM (
            SELECT j.start_s, j.end_s, j.more, lag(j.end_s) OVER (ORDER BY j.ordinal) AS last_end
            FROM JSON_TABLE(ranges, '$[*]' COLUMNS (
                ordinal FOR ORDINALITY,
                start_s integer PATH '$[0]',
                end_s   integer PATH '$[1]',
                more    jsonb   PATH '$[2]')) AS j
        ) AS r
    );
END
$$;
COMMENT ON FUNCTION courses.are_watched_ranges(jsonb, integer) IS
    'Whether a list is of [from, to] within the film, in order and with a gap between each two.';


CREATE TABLE courses.video_progress (
    business_id        uuid                   NOT NULL,
    video_progress_id  uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    enrollment_id      uuid                   NOT NULL,
    content_item_id    uuid                   NOT NULL,
    position_seconds   integer                NOT NULL DEFAULT 0,
    duration_seconds   integer                NOT NULL,
    watched_ranges     system_core.json_array NOT NULL DEFAULT '[]',
    unique_seconds     integer                GENERATED ALWAYS AS (
        courses.watched_seconds(watched_ranges)) STORED,
    watched_pct        system_core.percentage GENERATED ALWAYS AS (
        round(100.0 * courses.watched_seconds(watched_ranges) / duration_seconds, 4)) STORED,
    total_play_seconds integer                NOT NULL DEFAULT 0,
    rewind_count       integer                NOT NULL DEFAULT 0,
    pause_count        integer                NOT NULL DEFAULT 0,
    average_speed      numeric(4, 2)          NOT NULL DEFAULT 1,
    caption_language   system_core.locale,
    last_heartbeat_at  timestamptz            NOT NULL DEFAULT now(),
    completed_at       timestamptz,
    created_at         timestamptz            NOT NULL DEFAULT now(),
    updated_at         timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, video_progress_id),
    UNIQUE (business_id, enrollment_id, content_item_id),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    FOREIGN KEY (business_id, content_item_id)
        REFERENCES courses.content_item (business_id, content_item_id),
    CONSTRAINT video_progress_duration_positive CHECK (duration_seconds > 0),
    CONSTRAINT video_progress_position_within
        CHECK (position_seconds BETWEEN 0 AND duration_seconds),
    CONSTRAINT video_progress_ranges_within
        CHECK (courses.are_watched_ranges(watched_ranges, duration_seconds)),
    CONSTRAINT video_progress_counts_not_negative
        CHECK (total_play_seconds >= 0 AND rewind_count >= 0 AND pause_count >= 0),
    CONSTRAINT video_progress_speed_bounded CHECK (average_speed BETWEEN 0.25 AND 4)
);

COMMENT ON TABLE courses.video_progress IS
    'Watched parts, position and speed of a learner in a video.';
COMMENT ON COLUMN courses.video_progress.watched_ranges IS
    'Seconds seen, [[from, to], …]; courses.merge_watched_ranges() adds to it.';
COMMENT ON COLUMN courses.video_progress.total_play_seconds IS
    'Seconds of film that were played, those seen twice twice.';

-- FK: who watched a film: courses.retention_curve().
CREATE INDEX video_progress_content_item_idx
    ON courses.video_progress (business_id, content_item_id);

ALTER TABLE courses.video_progress ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.video_progress
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.video_progress TO app_user;
GRANT SELECT ON courses.video_progress TO app_readonly;

CREATE TRIGGER video_progress_touch
    BEFORE UPDATE ON courses.video_progress
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION courses.retention_curve(item uuid, step integer DEFAULT 10)
    RETURNS TABLE (second integer, viewers bigint)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT g.second, count(j.start_s)
    FROM courses.content_item AS i
    CROSS JOIN generate_series(0, i.duration_seconds - 1, step) AS g (second)
    LEFT JOIN (
        courses.video_progress AS p
        CROSS JOIN JSON_TABLE(p.watched_ranges::jsonb, '$[*]' COLUMNS (
            start_s integer PATH '$[0]',
            end_s   integer PATH '$[1]')) AS j
    ) ON p.business_id = i.business_id AND p.content_item_id = i.content_item_id
        AND g.second >= j.start_s AND g.second < j.end_s
    WHERE i.business_id = tenant_mgmt.current_business_id() AND i.content_item_id = item
    GROUP BY g.second
    ORDER BY g.second;
END;
COMMENT ON FUNCTION courses.retention_curve(uuid, integer) IS
    'How many saw each moment of a film, in steps of seconds: where people leave, and what they
     see.';


CREATE FUNCTION courses.mastery_score(
    calculation text,
    decay_pct   numeric,
    n_required  integer,
    evidence    jsonb
) RETURNS numeric
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        WITH seen AS (
            SELECT j.pct, row_number() OVER (ORDER BY j.at DESC, j.ordinal DESC) AS from_last,
                   row_number() OVER (ORDER BY j.pct DESC) AS from_best
            FROM JSON_TABLE(evidence, '$[*]' COLUMNS (
                ordinal FOR ORDINALITY,
                pct     numeric PATH '$.pct',
                at      text    PATH '$.at')) AS j
            WHERE j.pct IS NOT NULL
        )
        SELECT round(CASE calculation
                   WHEN 'highest' THEN max(s.pct)
                   WHEN 'latest' THEN max(s.pct) FILTER (WHERE s.from_last = 1)
                   WHEN 'average' THEN avg(s.pct)
                   WHEN 'decaying_average'
                       THEN CASE WHEN count(*) = 1 THEN max(s.pct)
                                 ELSE max(s.pct) FILTER (WHERE s.from_last = 1) * decay_pct / 100
                                      + avg(s.pct) FILTER (WHERE s.from_last > 1)
                                        * (1 - decay_pct / 100) END
                   ELSE coalesce(max(s.pct) FILTER (WHERE s.from_best = n_required), 0) END, 4)
        FROM seen AS s
        HAVING count(*) > 0
    );
END
$$;
COMMENT ON FUNCTION courses.mastery_score(text, numeric, integer, jsonb) IS
    'What evidence, [{"pct", "at"}], says by the calculation of an outcome: the best, the latest,
     the mean, the latest weighed by decay_pct against the mean of those before, or what was reached
     n_required times.';


CREATE TABLE courses.outcome_mastery (
    business_id         uuid                   NOT NULL,
    outcome_mastery_id  uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    learner_id          uuid                   NOT NULL,
    learning_outcome_id uuid                   NOT NULL,
    course_section_id   uuid,
    score_pct           system_core.percentage,
    level               text                   NOT NULL DEFAULT 'no_evidence',
    evidence            system_core.json_array NOT NULL DEFAULT '[]',
    evidence_count      integer                GENERATED ALWAYS AS (
        jsonb_array_length(evidence)) STORED,
    last_evidence_at    timestamptz,
    is_mastered         boolean                NOT NULL DEFAULT false,
    mastered_at         timestamptz,
    decayed_score_pct   system_core.percentage,
    confidence          system_core.probability,
    created_at          timestamptz            NOT NULL DEFAULT now(),
    updated_at          timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, outcome_mastery_id),
    UNIQUE NULLS NOT DISTINCT (business_id, learner_id, learning_outcome_id, course_section_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, learning_outcome_id)
        REFERENCES courses.learning_outcome (business_id, learning_outcome_id),
    FOREIGN KEY (business_id, course_section_id)
        REFERENCES courses.course_section (business_id, course_section_id),
    CONSTRAINT outcome_mastery_level_known
        CHECK (level IN ('no_evidence', 'beginning', 'developing', 'proficient', 'advanced')),
    CONSTRAINT outcome_mastery_score_bounded
        CHECK (score_pct BETWEEN 0 AND 100 AND decayed_score_pct BETWEEN 0 AND 100),
    CONSTRAINT outcome_mastery_mastered_has_time
        CHECK (NOT is_mastered OR mastered_at IS NOT NULL),
    CONSTRAINT outcome_mastery_no_evidence_no_score
        CHECK ((level = 'no_evidence') = (score_pct IS NULL)),
    CONSTRAINT outcome_mastery_evidence_is_scored
        CHECK (NOT jsonb_path_exists(evidence,
            '$[*] ? (!(exists (@.pct) && exists (@.at) && exists (@.source)))'))
);

COMMENT ON TABLE courses.outcome_mastery IS
    'A learner''s proficiency in an outcome from all evidence.';
COMMENT ON COLUMN courses.outcome_mastery.evidence IS
    'What it rests on, in order: [{"source", "id", "pct", "at"}], one entry per source and id.';
COMMENT ON COLUMN courses.outcome_mastery.mastered_at IS
    'When it was first mastered; it stays when the score falls.';
COMMENT ON COLUMN courses.outcome_mastery.decayed_score_pct IS
    'The latest evidence weighed by two thirds, whatever the outcome''s own calculation.';
COMMENT ON COLUMN courses.outcome_mastery.confidence IS 'Grows with the evidence: n / (n + 1).';

-- FK: who masters an outcome.
CREATE INDEX outcome_mastery_learning_outcome_idx
    ON courses.outcome_mastery (business_id, learning_outcome_id, is_mastered);

-- FK: what a section masters.
CREATE INDEX outcome_mastery_course_section_idx
    ON courses.outcome_mastery (business_id, course_section_id)
    WHERE course_section_id IS NOT NULL;

ALTER TABLE courses.outcome_mastery ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.outcome_mastery
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.outcome_mastery TO app_user;
GRANT SELECT ON courses.outcome_mastery TO app_readonly;

CREATE TRIGGER outcome_mastery_touch
    BEFORE UPDATE ON courses.outcome_mastery
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION courses.judge_mastery() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    outcome record;
BEGIN
    SELECT coalesce(o.mastery_threshold_pct, 70) AS threshold, o.calculation, o.decay_pct,
           o.n_required
    INTO outcome
    FROM courses.learning_outcome AS o
    WHERE o.business_id = NEW.business_id AND o.learning_outcome_id = NEW.learning_outcome_id;
    NEW.score_pct := courses.mastery_score(outcome.calculation, coalesce(outcome.decay_pct, 65),
                                           coalesce(outcome.n_required, 1), NEW.evidence);
    NEW.decayed_score_pct := courses.mastery_score('decaying_average', 66.6667, 1, NEW.evidence);
    NEW.last_evidence_at := (
        SELECT max(j.at)
        FROM JSON_TABLE(NEW.evidence::jsonb, '$[*]' COLUMNS (at timestamptz PATH '$.at')) AS j);
    NEW.confidence := round(jsonb_array_length(NEW.evidence)::numeric
                            / (jsonb_array_length(NEW.evidence) + 1), 6);
    NEW.is_mastered := coalesce(NEW.score_pct >= outcome.threshold, false);
    IF NEW.is_mastered THEN
        NEW.mastered_at := coalesce(NEW.mastered_at, NEW.last_evidence_at);
    END IF;
    NEW.level := CASE
        WHEN NEW.score_pct IS NULL THEN 'no_evidence'
        WHEN NEW.score_pct >= outcome.threshold + (100 - outcome.threshold) / 2 THEN 'advanced'
        WHEN NEW.is_mastered THEN 'proficient'
        WHEN NEW.score_pct >= outcome.threshold / 2 THEN 'developing'
        ELSE 'beginning' END;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.judge_mastery() IS
    'Score, level and mastery follow from the evidence and the outcome''s own rule, for everybody.';

CREATE TRIGGER outcome_mastery_judged
    BEFORE INSERT OR UPDATE ON courses.outcome_mastery
    FOR EACH ROW EXECUTE FUNCTION courses.judge_mastery();

CREATE FUNCTION courses.judge_mastery_anew() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE courses.outcome_mastery AS m
    SET evidence = m.evidence
    WHERE m.business_id = NEW.business_id AND m.learning_outcome_id = NEW.learning_outcome_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.judge_mastery_anew() IS
    'A new threshold or calculation of an outcome holds for the evidence that there is.';

CREATE TRIGGER learning_outcome_rule_changed
    AFTER UPDATE OF mastery_threshold_pct, calculation, decay_pct, n_required
    ON courses.learning_outcome
    FOR EACH ROW WHEN (
        (NEW.mastery_threshold_pct, NEW.calculation, NEW.decay_pct, NEW.n_required)
        IS DISTINCT FROM
        (OLD.mastery_threshold_pct, OLD.calculation, OLD.decay_pct, OLD.n_required))
    EXECUTE FUNCTION courses.judge_mastery_anew();

-- An upsert of a cluster takes immutable functions alone, no query and no variable.
CREATE FUNCTION courses.evidence_with(known jsonb, added jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(jsonb_agg(j.entry ORDER BY j.ordinal), '[]')
    FROM JSON_TABLE(known || added, '$[*]' COLUMNS (
        ordinal FOR ORDINALITY,
        entry   jsonb PATH '$',
        id      text  PATH '$.id')) AS j
    WHERE j.id IS DISTINCT FROM added -> 0 ->> 'id' OR j.ordinal > jsonb_array_length(known);
END;
COMMENT ON FUNCTION courses.evidence_with(jsonb, jsonb) IS
    'Evidence of an outcome with more of it, which replaces what the same source said before.';


CREATE FUNCTION courses.observe_outcomes(attempt uuid) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    written integer;
BEGIN
    INSERT INTO courses.outcome_mastery AS m
        (business_id, learner_id, learning_outcome_id, course_section_id, evidence)
    SELECT tenant, e.learner_id, q.learning_outcome_id, e.course_section_id,
           jsonb_build_array(jsonb_build_object(
               'source', 'assessment', 'id', attempt,
               'pct', round(greatest(100 * sum(r.points_awarded) / sum(r.max_points), 0), 2),
               'at', to_char(a.submitted_at AT TIME ZONE 'UTC',
                             'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')))
    FROM courses.assessment_attempt AS a
    JOIN courses.enrollment AS e
        ON e.business_id = tenant AND e.enrollment_id = a.enrollment_id
    JOIN courses.attempt_response AS r
        ON r.business_id = tenant AND r.assessment_attempt_id = a.assessment_attempt_id
    JOIN courses.question AS q ON q.business_id = tenant AND q.question_id = r.question_id
    WHERE a.business_id = tenant AND a.assessment_attempt_id = attempt AND a.state = 'graded'
      AND q.learning_outcome_id IS NOT NULL
    GROUP BY e.learner_id, q.learning_outcome_id, e.course_section_id, a.submitted_at
    HAVING sum(r.max_points) > 0
    ON CONFLICT (business_id, learner_id, learning_outcome_id, course_section_id)
    DO UPDATE SET evidence = courses.evidence_with(m.evidence, excluded.evidence)
    WHERE m.business_id = excluded.business_id;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END
$$;
COMMENT ON FUNCTION courses.observe_outcomes(uuid) IS
    'Adds a graded attempt to the evidence of the outcomes that its questions measure, or replaces
     what it said before it was graded anew; returns how many outcomes.';


CREATE MATERIALIZED VIEW courses.mv_outcome_attainment AS
SELECT m.business_id, m.learning_outcome_id, p.program_id, t.term, count(*) AS learners,
       count(*) FILTER (WHERE m.level = 'no_evidence') AS no_evidence,
       count(*) FILTER (WHERE m.level = 'beginning') AS beginning,
       count(*) FILTER (WHERE m.level = 'developing') AS developing,
       count(*) FILTER (WHERE m.level = 'proficient') AS proficient,
       count(*) FILTER (WHERE m.level = 'advanced') AS advanced,
       round(100.0 * count(*) FILTER (WHERE m.is_mastered) / count(*), 4) AS mastered_pct,
       round(avg(m.score_pct), 4) AS average_pct
FROM courses.outcome_mastery AS m
LEFT JOIN courses.course_section AS s
    ON s.business_id = m.business_id AND s.course_section_id = m.course_section_id
LEFT JOIN (
    SELECT DISTINCT e.business_id, e.learner_id, e.program_id
    FROM courses.enrollment AS e
    WHERE e.program_id IS NOT NULL
) AS p ON p.business_id = m.business_id AND p.learner_id = m.learner_id
CROSS JOIN LATERAL (
    SELECT coalesce(s.starts_on, (m.last_evidence_at AT TIME ZONE 'UTC')::date) AS day
) AS d
CROSS JOIN LATERAL (
    SELECT extract(year FROM d.day)::text || CASE WHEN extract(month FROM d.day) < 5 THEN '-spring'
                                                  WHEN extract(month FROM d.day) < 9 THEN '-summer'
                                                  ELSE '-fall' END AS term
) AS t
GROUP BY m.business_id, m.learning_outcome_id, p.program_id, t.term
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW courses.mv_outcome_attainment IS
    'Per outcome, program of the learner and term: how many reached which level, the share that
     mastered it, and the mean.';

-- Lets it be refreshed concurrently.
CREATE UNIQUE INDEX mv_outcome_attainment_idx
    ON courses.mv_outcome_attainment (business_id, learning_outcome_id, program_id, term)
    NULLS NOT DISTINCT;

GRANT USAGE ON SCHEMA courses TO matview_owner;
GRANT SELECT ON courses.outcome_mastery, courses.course_section, courses.enrollment
    TO matview_owner;

CREATE VIEW courses.v_outcome_attainment WITH (security_barrier = true) AS
SELECT m.business_id, m.learning_outcome_id, m.program_id, m.term, m.learners, m.no_evidence,
       m.beginning, m.developing, m.proficient, m.advanced, m.mastered_pct, m.average_pct
FROM courses.mv_outcome_attainment AS m
WHERE m.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW courses.v_outcome_attainment IS
    'The tenant''s own part of mv_outcome_attainment.';
GRANT SELECT ON courses.v_outcome_attainment TO app_user, app_readonly;


CREATE TABLE courses.learning_goal (
    business_id         uuid                 NOT NULL,
    learning_goal_id    uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    learner_id          uuid                 NOT NULL,
    course_id           uuid,
    learning_outcome_id uuid,
    certification_id    uuid,
    title               text                 NOT NULL,
    goal_kind           text                 NOT NULL,
    target_value        system_core.quantity NOT NULL,
    current_value       system_core.quantity NOT NULL DEFAULT 0,
    starts_on           date                 NOT NULL,
    due_on              date,
    status              text                 NOT NULL DEFAULT 'active',
    reached_at          timestamptz,
    reminder_weekday    integer,
    set_by              text                 NOT NULL DEFAULT 'learner',
    created_at          timestamptz          NOT NULL DEFAULT now(),
    updated_at          timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, learning_goal_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    FOREIGN KEY (business_id, learning_outcome_id)
        REFERENCES courses.learning_outcome (business_id, learning_outcome_id),
    FOREIGN KEY (business_id, certification_id)
        REFERENCES courses.certification (business_id, certification_id),
    CONSTRAINT learning_goal_kind_known
        CHECK (goal_kind IN ('minutes_per_week', 'finish_by', 'score_at_least',
                             'earn_credential', 'lessons_per_week')),
    CONSTRAINT learning_goal_status_known
        CHECK (status IN ('active', 'reached', 'missed', 'abandoned')),
    CONSTRAINT learning_goal_set_by_known
        CHECK (set_by IN ('learner', 'advisor', 'employer', 'system')),
    CONSTRAINT learning_goal_target_positive CHECK (target_value > 0),
    CONSTRAINT learning_goal_current_not_negative CHECK (current_value >= 0),
    CONSTRAINT learning_goal_score_bounded
        CHECK (goal_kind <> 'score_at_least' OR target_value <= 100),
    CONSTRAINT learning_goal_due_after_start CHECK (due_on > starts_on),
    CONSTRAINT learning_goal_finish_by_has_date
        CHECK (goal_kind <> 'finish_by' OR (due_on IS NOT NULL AND course_id IS NOT NULL)),
    CONSTRAINT learning_goal_credential_is_named
        CHECK (goal_kind <> 'earn_credential' OR certification_id IS NOT NULL),
    CONSTRAINT learning_goal_reached_has_time
        CHECK ((status = 'reached') = (reached_at IS NOT NULL)),
    CONSTRAINT learning_goal_missed_was_due CHECK (status <> 'missed' OR due_on IS NOT NULL),
    CONSTRAINT learning_goal_weekday_iso CHECK (reminder_weekday BETWEEN 1 AND 7)
);

COMMENT ON TABLE courses.learning_goal IS 'Goal a learner sets or is given, with check-ins.';
COMMENT ON COLUMN courses.learning_goal.target_value IS
    'Minutes or lessons a week, a percentage; 1 for what is done or not.';
COMMENT ON COLUMN courses.learning_goal.reminder_weekday IS 'ISO: 1 is Monday.';

-- FK: the goals of a learner, the open ones first.
CREATE INDEX learning_goal_learner_idx
    ON courses.learning_goal (business_id, learner_id, status);

-- FK: who wants what of a course.
CREATE INDEX learning_goal_course_idx
    ON courses.learning_goal (business_id, course_id)
    WHERE course_id IS NOT NULL;

-- FK: who works on an outcome.
CREATE INDEX learning_goal_learning_outcome_idx
    ON courses.learning_goal (business_id, learning_outcome_id)
    WHERE learning_outcome_id IS NOT NULL;

-- FK: who wants a certification.
CREATE INDEX learning_goal_certification_idx
    ON courses.learning_goal (business_id, certification_id)
    WHERE certification_id IS NOT NULL;

ALTER TABLE courses.learning_goal ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.learning_goal
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.learning_goal TO app_user;
GRANT SELECT ON courses.learning_goal TO app_readonly;

CREATE TRIGGER learning_goal_touch
    BEFORE UPDATE ON courses.learning_goal
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER learning_goal_state_machine
    BEFORE INSERT OR UPDATE OF status ON courses.learning_goal
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["active"],
        "transitions": {
            "active":    ["reached", "missed", "abandoned"],
            "missed":    ["reached"],
            "reached":   [],
            "abandoned": ["active"]
        }}');
