/*
 * TODO: what the area is and how its tables relate.
 *
 * Learners and analysts: lesson and video progress, sessions, xAPI statements, mastery and daily
 * snapshots.
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
    seconds_spent      integer,
    open_count         integer,
    scroll_pct         system_core.percentage,
    best_score_pct     system_core.percentage,
    completion_source  text                   NOT NULL,
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
    CONSTRAINT lesson_progress_completed_at_not_before_first_opened_at
        CHECK (completed_at >= first_opened_at),
    CONSTRAINT lesson_progress_scroll_pct_bounded CHECK (scroll_pct BETWEEN 0 AND 100)
);

COMMENT ON TABLE courses.lesson_progress IS 'State of a lesson for a learner.';
-- RULE a completed lesson does not fall back (trigger)

-- FK: the lesson progresss of a lesson.
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


CREATE TABLE courses.video_progress (
    business_id        uuid                   NOT NULL,
    video_progress_id  uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    enrollment_id      uuid                   NOT NULL,
    content_item_id    uuid                   NOT NULL,
    position_seconds   integer,
    duration_seconds   integer,
    watched_ranges     text,
    unique_seconds     integer,
    watched_pct        system_core.percentage,
    total_play_seconds integer,
    rewind_count       integer,
    pause_count        integer,
    average_speed      system_core.quantity,
    caption_language   text,
    last_heartbeat_at  timestamptz,
    completed_at       timestamptz,
    created_at         timestamptz            NOT NULL DEFAULT now(),
    updated_at         timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, video_progress_id),
    UNIQUE (business_id, enrollment_id, content_item_id),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    FOREIGN KEY (business_id, content_item_id)
        REFERENCES courses.content_item (business_id, content_item_id),
    CONSTRAINT video_progress_position_seconds_duration_seconds
        CHECK (position_seconds <= duration_seconds),
    CONSTRAINT video_progress_average_speed_bounded CHECK (average_speed BETWEEN 0.25 AND 4)
);

COMMENT ON TABLE courses.video_progress IS
    'Watched parts, position and speed of a learner in a video.';
-- RULE watched_pct = unique_seconds / duration_seconds

-- FK: the video progresss of a content item.
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


CREATE TABLE courses.learning_statement (
    business_id           uuid                 NOT NULL,
    learning_statement_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    learner_id            uuid                 NOT NULL,
    enrollment_id         uuid,
    stored_at             timestamptz          NOT NULL,
    statement_key         uuid,
    occurred_at           timestamptz          NOT NULL,
    verb                  text                 NOT NULL,
    object_kind           text                 NOT NULL,
    object_id             text,
    result                text,
    context               text,
    platform              text,
    score_scaled          system_core.quantity,
    success               boolean              NOT NULL DEFAULT false,
    duration_seconds      integer,
    voids_statement_key   uuid,
    created_at            timestamptz          NOT NULL DEFAULT now(),
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
    CONSTRAINT learning_statement_score_scaled_bounded CHECK (score_scaled BETWEEN -1 AND 1),
    CONSTRAINT learning_statement_occurred_at_stored_at CHECK (occurred_at <= stored_at)
) PARTITION BY RANGE (stored_at);

COMMENT ON TABLE courses.learning_statement IS
    'XAPI-style statement of what a learner did; append only.';
-- RULE statements never change; voiding adds a statement

-- FK: the learning statements of a learner.
CREATE INDEX learning_statement_learner_idx
    ON courses.learning_statement (business_id, learner_id);

-- FK: the learning statements of a enrollment.
CREATE INDEX learning_statement_enrollment_idx
    ON courses.learning_statement (business_id, enrollment_id)
    WHERE enrollment_id IS NOT NULL;

ALTER TABLE courses.learning_statement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.learning_statement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON courses.learning_statement TO app_user;
GRANT SELECT ON courses.learning_statement TO app_readonly;

CREATE TRIGGER learning_statement_append_only
    BEFORE UPDATE OR DELETE ON courses.learning_statement
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('courses.learning_statement');

CREATE TABLE courses.learning_statement_default PARTITION OF courses.learning_statement DEFAULT;
ALTER TABLE courses.learning_statement_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.learning_statement_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('courses.learning_statement', 'month', behind => 13, ahead => 3);


CREATE TABLE courses.learning_session (
    business_id             uuid        NOT NULL,
    learning_session_id     uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    learner_id              uuid        NOT NULL,
    started_at              timestamptz NOT NULL,
    ended_at                timestamptz,
    active_seconds          integer,
    idle_seconds            integer,
    device_kind             text        NOT NULL,
    pages_viewed            integer,
    lessons_completed       integer,
    network_quality         text        NOT NULL,
    entry_point             text        NOT NULL,
    timezone_offset_minutes integer,
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
    CONSTRAINT learning_session_ended_at_not_before_started_at CHECK (ended_at >= started_at),
    CONSTRAINT learning_session_lessons_completed_not_negative CHECK (lessons_completed >= 0)
) PARTITION BY RANGE (started_at);

COMMENT ON TABLE courses.learning_session IS 'Continuous study period on one device; append only.';
-- RULE active_seconds + idle_seconds = session length within rounding

-- FK: the learning sessions of a learner.
CREATE INDEX learning_session_learner_idx
    ON courses.learning_session (business_id, learner_id);

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


CREATE TABLE courses.course_progress (
    business_id             uuid                   NOT NULL,
    course_progress_id      uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    next_lesson_id          uuid,
    enrollment_id           uuid                   NOT NULL,
    lessons_total           bigint,
    lessons_done            integer,
    required_done           integer,
    minutes_spent           integer,
    current_grade_pct       system_core.percentage,
    last_activity_at        timestamptz,
    pace                    text                   NOT NULL,
    days_behind             integer,
    predicted_completion_on date,
    predicted_grade_pct     system_core.percentage,
    recomputed_at           timestamptz,
    created_at              timestamptz            NOT NULL DEFAULT now(),
    updated_at              timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, course_progress_id),
    UNIQUE (business_id, enrollment_id),
    FOREIGN KEY (business_id, next_lesson_id) REFERENCES courses.lesson (business_id, lesson_id),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    CONSTRAINT course_progress_pace_known
        CHECK (pace IN ('ahead', 'on_track', 'behind', 'stalled')),
    CONSTRAINT course_progress_lessons_done_lessons_total CHECK (lessons_done <= lessons_total),
    CONSTRAINT course_progress_current_grade_pct_bounded
        CHECK (current_grade_pct BETWEEN 0 AND 100)
);

COMMENT ON TABLE courses.course_progress IS
    'Current roll-up of an enrollment: lessons, time, grade, pace, forecast.';

-- FK: the course progresss of a lesson.
CREATE INDEX course_progress_next_lesson_idx
    ON courses.course_progress (business_id, next_lesson_id)
    WHERE next_lesson_id IS NOT NULL;

ALTER TABLE courses.course_progress ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.course_progress
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.course_progress TO app_user;
GRANT SELECT ON courses.course_progress TO app_readonly;

CREATE TRIGGER course_progress_touch
    BEFORE UPDATE ON courses.course_progress
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.outcome_mastery (
    business_id         uuid                    NOT NULL,
    outcome_mastery_id  uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    learner_id          uuid                    NOT NULL,
    learning_outcome_id uuid                    NOT NULL,
    course_section_id   uuid,
    score_pct           system_core.percentage,
    level               text                    NOT NULL,
    evidence_count      integer,
    evidence            system_core.json_object,
    last_evidence_at    timestamptz,
    is_mastered         boolean                 NOT NULL DEFAULT false,
    mastered_at         timestamptz,
    decayed_score_pct   system_core.percentage,
    confidence          system_core.quantity,
    created_at          timestamptz             NOT NULL DEFAULT now(),
    updated_at          timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, outcome_mastery_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, learning_outcome_id)
        REFERENCES courses.learning_outcome (business_id, learning_outcome_id),
    FOREIGN KEY (business_id, course_section_id)
        REFERENCES courses.course_section (business_id, course_section_id),
    CONSTRAINT outcome_mastery_level_known
        CHECK (level IN ('no_evidence', 'beginning', 'developing', 'proficient', 'advanced'))
);

COMMENT ON TABLE courses.outcome_mastery IS
    'A learner''s proficiency in an outcome from all evidence.';
-- RULE unique (business_id, learner_id, learning_outcome_id, course_section_id) nulls not distinct
-- RULE is_mastered when score_pct >= the outcome's threshold (trigger)
-- RULE mastered_at is not null when is_mastered

-- FK: the outcome masterys of a learner.
CREATE INDEX outcome_mastery_learner_idx
    ON courses.outcome_mastery (business_id, learner_id);

-- FK: the outcome masterys of a learning outcome.
CREATE INDEX outcome_mastery_learning_outcome_idx
    ON courses.outcome_mastery (business_id, learning_outcome_id);

-- FK: the outcome masterys of a course section.
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


CREATE TABLE courses.progress_snapshot (
    business_id          uuid                   NOT NULL,
    progress_snapshot_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    enrollment_id        uuid                   NOT NULL,
    snapshot_date        date                   NOT NULL,
    progress_pct         system_core.percentage,
    grade_pct            system_core.percentage,
    minutes_that_day     integer,
    lessons_that_day     integer,
    active_flag          boolean                NOT NULL DEFAULT false,
    days_since_active    integer,
    on_pace              boolean                NOT NULL DEFAULT false,
    cumulative_minutes   integer,
    created_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, progress_snapshot_id, snapshot_date),
    UNIQUE (business_id, enrollment_id, snapshot_date),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    CONSTRAINT progress_snapshot_minutes_that_day_bounded
        CHECK (minutes_that_day BETWEEN 0 AND 1440)
) PARTITION BY RANGE (snapshot_date);

COMMENT ON TABLE courses.progress_snapshot IS
    'Daily progress of each live enrollment for trend lines; append only.';
-- RULE progress_pct never falls except after a content release (view reports)

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

SELECT system_core.create_partitions('courses.progress_snapshot', 'month', behind => 13, ahead => 3);


CREATE TABLE courses.learning_goal (
    business_id         uuid                 NOT NULL,
    learning_goal_id    uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    learner_id          uuid                 NOT NULL,
    course_id           uuid,
    learning_outcome_id uuid,
    certification_id    uuid,
    title               text                 NOT NULL,
    goal_kind           text                 NOT NULL,
    target_value        system_core.quantity,
    current_value       system_core.quantity,
    starts_on           date                 NOT NULL,
    due_on              date,
    status              text                 NOT NULL DEFAULT 'active',
    reached_at          timestamptz,
    reminder_weekday    integer,
    set_by              text                 NOT NULL,
    created_at          timestamptz          NOT NULL DEFAULT now(),
    updated_at          timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, learning_goal_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    FOREIGN KEY (business_id, learning_outcome_id)
        REFERENCES courses.learning_outcome (business_id, learning_outcome_id),
    FOREIGN KEY (business_id, certification_id)
        REFERENCES courses.certification (business_id, certification_id),
    CONSTRAINT learning_goal_goal_kind_known
        CHECK (goal_kind IN ('minutes_per_week', 'finish_by', 'score_at_least', 'earn_credential',
               'lessons_per_week')),
    CONSTRAINT learning_goal_status_known
        CHECK (status IN ('active', 'reached', 'missed', 'abandoned')),
    CONSTRAINT learning_goal_set_by_known
        CHECK (set_by IN ('learner', 'advisor', 'employer', 'system')),
    CONSTRAINT learning_goal_target_value_positive CHECK (target_value > 0),
    CONSTRAINT learning_goal_due_on_after_starts_on CHECK (due_on > starts_on)
);

COMMENT ON TABLE courses.learning_goal IS 'Goal a learner sets or is given, with check-ins.';
-- RULE reached_at is not null when reached

-- FK: the learning goals of a learner.
CREATE INDEX learning_goal_learner_idx
    ON courses.learning_goal (business_id, learner_id);

-- FK: the learning goals of a course.
CREATE INDEX learning_goal_course_idx
    ON courses.learning_goal (business_id, course_id)
    WHERE course_id IS NOT NULL;

-- FK: the learning goals of a learning outcome.
CREATE INDEX learning_goal_learning_outcome_idx
    ON courses.learning_goal (business_id, learning_outcome_id)
    WHERE learning_outcome_id IS NOT NULL;

-- FK: the learning goals of a certification.
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
