/*
 * TODO: what the area is and how its tables relate.
 *
 * Learners under test and item writers: banks, questions, quizzes, attempts, proctoring and item
 * statistics.
 */

CREATE TABLE courses.question_bank (
    business_id           uuid                 NOT NULL,
    question_bank_id      uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    owner_user_account_id uuid                 NOT NULL,
    course_id             uuid,
    name                  text                 NOT NULL,
    visibility            text                 NOT NULL,
    question_count        integer,
    default_points        system_core.quantity,
    tags                  text[]               NOT NULL DEFAULT '{}',
    is_locked             boolean              NOT NULL DEFAULT false,
    reviewed_on           date,
    security_level        text                 NOT NULL,
    created_at            timestamptz          NOT NULL DEFAULT now(),
    updated_at            timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, question_bank_id),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    CONSTRAINT question_bank_visibility_known
        CHECK (visibility IN ('private', 'course', 'business')),
    CONSTRAINT question_bank_security_level_known
        CHECK (security_level IN ('open', 'restricted', 'secure'))
);

COMMENT ON TABLE courses.question_bank IS 'Pool of questions for a course or shared by all.';
-- RULE unique (business_id, name, course_id) nulls not distinct
-- RULE question_count kept by trigger
-- RULE secure banks are not exportable

-- FK: the question banks of a user account.
CREATE INDEX question_bank_owner_user_account_idx
    ON courses.question_bank (business_id, owner_user_account_id);

-- FK: the question banks of a course.
CREATE INDEX question_bank_course_idx
    ON courses.question_bank (business_id, course_id)
    WHERE course_id IS NOT NULL;

ALTER TABLE courses.question_bank ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.question_bank
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.question_bank TO app_user;
GRANT SELECT ON courses.question_bank TO app_readonly;

CREATE TRIGGER question_bank_touch
    BEFORE UPDATE ON courses.question_bank
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.assessment (
    business_id                    uuid                    NOT NULL,
    assessment_id                  uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    lesson_id                      uuid,
    course_id                      uuid                    NOT NULL,
    grade_category_id              uuid,
    title                          text                    NOT NULL,
    assessment_kind                text                    NOT NULL,
    opens_at                       timestamptz,
    closes_at                      timestamptz,
    time_limit_minutes             integer,
    grace_minutes                  integer,
    overdue_handling               text                    NOT NULL,
    max_attempts                   integer,
    attempt_grading                text                    NOT NULL,
    passing_pct                    system_core.percentage,
    shuffle_questions              boolean                 NOT NULL DEFAULT false,
    navigation                     text                    NOT NULL,
    review_policy                  system_core.json_object,
    delay_between_attempts_minutes integer,
    requires_proctoring            boolean                 NOT NULL DEFAULT false,
    access_code_hash               bytea,
    created_at                     timestamptz             NOT NULL DEFAULT now(),
    updated_at                     timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, assessment_id),
    FOREIGN KEY (business_id, lesson_id) REFERENCES courses.lesson (business_id, lesson_id),
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    CONSTRAINT assessment_assessment_kind_known
        CHECK (assessment_kind IN ('practice', 'graded_quiz', 'midterm', 'final', 'placement',
               'certification_exam')),
    CONSTRAINT assessment_overdue_handling_known
        CHECK (overdue_handling IN ('auto_submit', 'grace_period', 'abandon')),
    CONSTRAINT assessment_attempt_grading_known
        CHECK (attempt_grading IN ('highest', 'average', 'first', 'last')),
    CONSTRAINT assessment_navigation_known CHECK (navigation IN ('free', 'sequential')),
    CONSTRAINT assessment_closes_at_after_opens_at CHECK (closes_at > opens_at),
    CONSTRAINT assessment_passing_pct_bounded CHECK (passing_pct BETWEEN 0 AND 100),
    CONSTRAINT assessment_time_limit_minutes_bounded CHECK (time_limit_minutes BETWEEN 1 AND 1440)
);

COMMENT ON TABLE courses.assessment IS
    'Quiz, exam or survey-like check in a lesson, with its rules.';
-- RULE grace_minutes > 0 for grace_period

-- FK: the assessments of a lesson.
CREATE INDEX assessment_lesson_idx
    ON courses.assessment (business_id, lesson_id)
    WHERE lesson_id IS NOT NULL;

-- FK: the assessments of a course.
CREATE INDEX assessment_course_idx
    ON courses.assessment (business_id, course_id);

-- FK: the assessments of a grade category.
CREATE INDEX assessment_grade_category_idx
    ON courses.assessment (business_id, grade_category_id)
    WHERE grade_category_id IS NOT NULL;

ALTER TABLE courses.assessment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.assessment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.assessment TO app_user;
GRANT SELECT ON courses.assessment TO app_readonly;

CREATE TRIGGER assessment_touch
    BEFORE UPDATE ON courses.assessment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.question (
    business_id            uuid                   NOT NULL,
    question_id            uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    previous_version_id    uuid,
    author_user_account_id uuid                   NOT NULL,
    question_bank_id       uuid                   NOT NULL,
    learning_outcome_id    uuid,
    question_kind          text                   NOT NULL,
    stem                   text,
    points                 system_core.quantity,
    version_no             integer,
    status                 text                   NOT NULL DEFAULT 'draft',
    difficulty_estimate    system_core.quantity,
    time_estimate_seconds  integer,
    scoring                text                   NOT NULL,
    penalty_pct            system_core.percentage,
    feedback_general       text,
    interaction            text,
    is_shuffle_allowed     boolean                NOT NULL DEFAULT false,
    created_at             timestamptz            NOT NULL DEFAULT now(),
    updated_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, question_id),
    FOREIGN KEY (business_id, previous_version_id)
        REFERENCES courses.question (business_id, question_id),
    FOREIGN KEY (business_id, author_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, question_bank_id)
        REFERENCES courses.question_bank (business_id, question_bank_id),
    FOREIGN KEY (business_id, learning_outcome_id)
        REFERENCES courses.learning_outcome (business_id, learning_outcome_id),
    CONSTRAINT question_question_kind_known
        CHECK (question_kind IN ('single_choice', 'multiple_choice', 'true_false', 'short_answer',
               'numeric', 'essay', 'matching', 'ordering', 'fill_blank', 'hotspot', 'code',
               'file_upload')),
    CONSTRAINT question_status_known CHECK (status IN ('draft', 'reviewed', 'live', 'retired')),
    CONSTRAINT question_scoring_known
        CHECK (scoring IN ('all_or_nothing', 'partial', 'negative_marking', 'manual')),
    CONSTRAINT question_points_positive CHECK (points > 0),
    CONSTRAINT question_difficulty_estimate_bounded CHECK (difficulty_estimate BETWEEN 0 AND 1),
    CONSTRAINT question_penalty_pct_bounded CHECK (penalty_pct BETWEEN 0 AND 100)
);

COMMENT ON TABLE courses.question IS 'Question in a version, with type, scoring and metadata.';
-- RULE live questions are immutable, a change makes a new version (trigger)

-- FK: the questions of a question.
CREATE INDEX question_previous_version_idx
    ON courses.question (business_id, previous_version_id)
    WHERE previous_version_id IS NOT NULL;

-- FK: the questions of a user account.
CREATE INDEX question_author_user_account_idx
    ON courses.question (business_id, author_user_account_id);

-- FK: the questions of a question bank.
CREATE INDEX question_question_bank_idx
    ON courses.question (business_id, question_bank_id);

-- FK: the questions of a learning outcome.
CREATE INDEX question_learning_outcome_idx
    ON courses.question (business_id, learning_outcome_id)
    WHERE learning_outcome_id IS NOT NULL;

ALTER TABLE courses.question ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.question
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.question TO app_user;
GRANT SELECT ON courses.question TO app_readonly;

CREATE TRIGGER question_touch
    BEFORE UPDATE ON courses.question
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.assessment_override (
    business_id              uuid        NOT NULL,
    assessment_override_id   uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    assessment_id            uuid        NOT NULL,
    learner_id               uuid,
    cohort_id                uuid,
    learner_accommodation_id uuid,
    opens_at                 timestamptz,
    closes_at                timestamptz,
    time_limit_minutes       integer,
    extra_attempts           integer,
    access_code_hash         bytea,
    reason                   text,
    granted_at               timestamptz,
    expires_at               timestamptz,
    created_at               timestamptz NOT NULL DEFAULT now(),
    updated_at               timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, assessment_override_id),
    FOREIGN KEY (business_id, assessment_id)
        REFERENCES courses.assessment (business_id, assessment_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, cohort_id) REFERENCES courses.cohort (business_id, cohort_id),
    FOREIGN KEY (business_id, learner_accommodation_id)
        REFERENCES courses.learner_accommodation (business_id, learner_accommodation_id),
    CONSTRAINT assessment_override_closes_at_after_opens_at CHECK (closes_at > opens_at),
    CONSTRAINT assessment_override_extra_attempts_bounded CHECK (extra_attempts BETWEEN 0 AND 20)
);

COMMENT ON TABLE courses.assessment_override IS
    'Different dates, time or attempts for one learner or group.';
-- RULE exactly one of learner_id and cohort_id
-- RULE unique per assessment and subject

-- FK: the assessment overrides of a assessment.
CREATE INDEX assessment_override_assessment_idx
    ON courses.assessment_override (business_id, assessment_id);

-- FK: the assessment overrides of a learner.
CREATE INDEX assessment_override_learner_idx
    ON courses.assessment_override (business_id, learner_id)
    WHERE learner_id IS NOT NULL;

-- FK: the assessment overrides of a cohort.
CREATE INDEX assessment_override_cohort_idx
    ON courses.assessment_override (business_id, cohort_id)
    WHERE cohort_id IS NOT NULL;

-- FK: the assessment overrides of a learner accommodation.
CREATE INDEX assessment_override_learner_accommodation_idx
    ON courses.assessment_override (business_id, learner_accommodation_id)
    WHERE learner_accommodation_id IS NOT NULL;

ALTER TABLE courses.assessment_override ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.assessment_override
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.assessment_override TO app_user;
GRANT SELECT ON courses.assessment_override TO app_readonly;

CREATE TRIGGER assessment_override_touch
    BEFORE UPDATE ON courses.assessment_override
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.assessment_attempt (
    business_id           uuid                    NOT NULL,
    assessment_attempt_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    assessment_id         uuid                    NOT NULL,
    enrollment_id         uuid                    NOT NULL,
    attempt_no            integer,
    state                 text                    NOT NULL DEFAULT 'in_progress',
    started_at            timestamptz,
    due_at                timestamptz,
    submitted_at          timestamptz,
    graded_at             timestamptz,
    time_spent_seconds    integer,
    score                 system_core.score,
    score_pct             system_core.percentage,
    passed                boolean                 NOT NULL DEFAULT false,
    question_order        system_core.json_object,
    client_ip             inet,
    autosubmitted         boolean                 NOT NULL DEFAULT false,
    void_reason           text,
    created_at            timestamptz             NOT NULL DEFAULT now(),
    updated_at            timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, assessment_attempt_id),
    UNIQUE (business_id, assessment_id, enrollment_id, attempt_no),
    FOREIGN KEY (business_id, assessment_id)
        REFERENCES courses.assessment (business_id, assessment_id),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    CONSTRAINT assessment_attempt_state_known
        CHECK (state IN ('in_progress', 'overdue', 'submitted', 'graded', 'abandoned', 'voided')),
    CONSTRAINT assessment_attempt_submitted_at_not_before_started_at
        CHECK (submitted_at >= started_at),
    CONSTRAINT assessment_attempt_score_pct_bounded CHECK (score_pct BETWEEN 0 AND 100)
);

COMMENT ON TABLE courses.assessment_attempt IS 'A learner''s try at an assessment.';
-- RULE attempt_no is at most the assessment's max_attempts plus override (trigger)

-- FK: the assessment attempts of a enrollment.
CREATE INDEX assessment_attempt_enrollment_idx
    ON courses.assessment_attempt (business_id, enrollment_id);

ALTER TABLE courses.assessment_attempt ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.assessment_attempt
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.assessment_attempt TO app_user;
GRANT SELECT ON courses.assessment_attempt TO app_readonly;

CREATE TRIGGER assessment_attempt_touch
    BEFORE UPDATE ON courses.assessment_attempt
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER assessment_attempt_state_machine
    BEFORE INSERT OR UPDATE OF state ON courses.assessment_attempt
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["in_progress"],
        "transitions": {
            "in_progress": ["submitted", "overdue", "abandoned", "voided"],
            "overdue":     ["submitted", "abandoned"],
            "submitted":   ["graded", "voided"],
            "graded":      ["voided"],
            "abandoned":   [],
            "voided":      []
        }}');


CREATE TABLE courses.answer_option (
    business_id       uuid                   NOT NULL,
    answer_option_id  uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    question_id       uuid                   NOT NULL,
    sort_order        integer,
    option_text       text,
    is_correct        boolean                NOT NULL DEFAULT false,
    credit_pct        system_core.percentage,
    match_text        text,
    numeric_value     system_core.quantity,
    tolerance         system_core.quantity,
    feedback          text,
    is_fixed_position boolean                NOT NULL DEFAULT false,
    created_at        timestamptz            NOT NULL DEFAULT now(),
    updated_at        timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, answer_option_id),
    UNIQUE (business_id, question_id, sort_order),
    FOREIGN KEY (business_id, question_id) REFERENCES courses.question (business_id, question_id),
    CONSTRAINT answer_option_credit_pct_bounded CHECK (credit_pct BETWEEN -100 AND 100)
);

COMMENT ON TABLE courses.answer_option IS 'Choice, match pair or accepted answer.';
-- RULE choice questions have a correct option (deferred trigger)
-- RULE tolerance >= 0 for numeric

ALTER TABLE courses.answer_option ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.answer_option
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.answer_option TO app_user;
GRANT SELECT ON courses.answer_option TO app_readonly;

CREATE TRIGGER answer_option_touch
    BEFORE UPDATE ON courses.answer_option
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.assessment_slot (
    business_id        uuid                 NOT NULL,
    assessment_slot_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    draw_from_bank_id  uuid,
    assessment_id      uuid                 NOT NULL,
    question_id        uuid,
    slot_no            integer,
    page_no            integer,
    section_title      text,
    max_points         system_core.quantity,
    draw_count         integer,
    draw_tags          text[]               NOT NULL DEFAULT '{}',
    requires_previous  boolean              NOT NULL DEFAULT false,
    is_extra_credit    boolean              NOT NULL DEFAULT false,
    weight             system_core.quantity,
    created_at         timestamptz          NOT NULL DEFAULT now(),
    updated_at         timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, assessment_slot_id),
    UNIQUE (business_id, assessment_id, slot_no),
    FOREIGN KEY (business_id, draw_from_bank_id)
        REFERENCES courses.question_bank (business_id, question_bank_id),
    FOREIGN KEY (business_id, assessment_id)
        REFERENCES courses.assessment (business_id, assessment_id),
    FOREIGN KEY (business_id, question_id) REFERENCES courses.question (business_id, question_id),
    CONSTRAINT assessment_slot_draw_count_bounded CHECK (draw_count BETWEEN 1 AND 50),
    CONSTRAINT assessment_slot_max_points_not_negative CHECK (max_points >= 0)
);

COMMENT ON TABLE courses.assessment_slot IS
    'Place in an assessment: a fixed question or a random draw.';
-- RULE exactly one of question_id and draw_from_bank_id

-- FK: the assessment slots of a question bank.
CREATE INDEX assessment_slot_draw_from_bank_idx
    ON courses.assessment_slot (business_id, draw_from_bank_id)
    WHERE draw_from_bank_id IS NOT NULL;

-- FK: the assessment slots of a question.
CREATE INDEX assessment_slot_question_idx
    ON courses.assessment_slot (business_id, question_id)
    WHERE question_id IS NOT NULL;

ALTER TABLE courses.assessment_slot ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.assessment_slot
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.assessment_slot TO app_user;
GRANT SELECT ON courses.assessment_slot TO app_readonly;

CREATE TRIGGER assessment_slot_touch
    BEFORE UPDATE ON courses.assessment_slot
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.question_statistic (
    business_id           uuid                   NOT NULL,
    question_statistic_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    question_id           uuid                   NOT NULL,
    assessment_id         uuid,
    window_start          date,
    window_end            date,
    attempt_count         integer,
    facility_index        system_core.score,
    discrimination_index  system_core.score,
    point_biserial        system_core.quantity,
    average_seconds       integer,
    omit_pct              system_core.percentage,
    option_distribution   text,
    differential_flag     boolean                NOT NULL DEFAULT false,
    quality               text                   NOT NULL,
    computed_at           timestamptz,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, question_statistic_id),
    FOREIGN KEY (business_id, question_id) REFERENCES courses.question (business_id, question_id),
    FOREIGN KEY (business_id, assessment_id)
        REFERENCES courses.assessment (business_id, assessment_id),
    CONSTRAINT question_statistic_quality_known
        CHECK (quality IN ('good', 'too_easy', 'too_hard', 'ambiguous', 'broken')),
    CONSTRAINT question_statistic_facility_index_bounded CHECK (facility_index BETWEEN 0 AND 1),
    CONSTRAINT question_statistic_discrimination_index_bounded
        CHECK (discrimination_index BETWEEN -1 AND 1 AND point_biserial BETWEEN -1 AND 1),
    CONSTRAINT question_statistic_attempt_count_not_negative CHECK (attempt_count >= 0)
);

COMMENT ON TABLE courses.question_statistic IS 'Item analysis of a question over a window.';
-- RULE unique (business_id, question_id, assessment_id, window_start) nulls not distinct

-- FK: the question statistics of a question.
CREATE INDEX question_statistic_question_idx
    ON courses.question_statistic (business_id, question_id);

-- FK: the question statistics of a assessment.
CREATE INDEX question_statistic_assessment_idx
    ON courses.question_statistic (business_id, assessment_id)
    WHERE assessment_id IS NOT NULL;

ALTER TABLE courses.question_statistic ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.question_statistic
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.question_statistic TO app_user;
GRANT SELECT ON courses.question_statistic TO app_readonly;

CREATE TRIGGER question_statistic_touch
    BEFORE UPDATE ON courses.question_statistic
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.proctoring_session (
    business_id              uuid              NOT NULL,
    proctoring_session_id    uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    reviewed_by              uuid,
    recording_file_object_id uuid,
    assessment_attempt_id    uuid              NOT NULL,
    mode                     text              NOT NULL,
    identity_verified        boolean           NOT NULL DEFAULT false,
    id_document_kind         text              NOT NULL,
    room_scan_done           boolean           NOT NULL DEFAULT false,
    browser_locked           boolean           NOT NULL DEFAULT false,
    started_at               timestamptz,
    ended_at                 timestamptz,
    integrity_score          system_core.score,
    verdict                  text              NOT NULL,
    reviewed_at              timestamptz,
    retention_until          date,
    consent_given            boolean           NOT NULL DEFAULT false,
    created_at               timestamptz       NOT NULL DEFAULT now(),
    updated_at               timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, proctoring_session_id),
    FOREIGN KEY (business_id, reviewed_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, recording_file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, assessment_attempt_id)
        REFERENCES courses.assessment_attempt (business_id, assessment_attempt_id),
    CONSTRAINT proctoring_session_mode_known
        CHECK (mode IN ('live', 'recorded', 'automated', 'in_person')),
    CONSTRAINT proctoring_session_verdict_known
        CHECK (verdict IN ('clear', 'review', 'violation', 'inconclusive')),
    CONSTRAINT proctoring_session_integrity_score_bounded
        CHECK (integrity_score BETWEEN 0 AND 100)
);

COMMENT ON TABLE courses.proctoring_session IS
    'Supervised attempt: identity check, recording, verdict.';
-- RULE consent_given before started_at
-- RULE violation needs a reviewer
-- RULE retention_until <= ended_at + 180 days

-- FK: the proctoring sessions of a user account.
CREATE INDEX proctoring_session_reviewed_by_idx
    ON courses.proctoring_session (business_id, reviewed_by)
    WHERE reviewed_by IS NOT NULL;

-- FK: the proctoring sessions of a file object.
CREATE INDEX proctoring_session_recording_file_object_idx
    ON courses.proctoring_session (business_id, recording_file_object_id)
    WHERE recording_file_object_id IS NOT NULL;

-- FK: the proctoring sessions of a assessment attempt.
CREATE INDEX proctoring_session_assessment_attempt_idx
    ON courses.proctoring_session (business_id, assessment_attempt_id);

ALTER TABLE courses.proctoring_session ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.proctoring_session
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.proctoring_session TO app_user;
GRANT SELECT ON courses.proctoring_session TO app_readonly;

CREATE TRIGGER proctoring_session_touch
    BEFORE UPDATE ON courses.proctoring_session
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.attempt_response (
    business_id           uuid                 NOT NULL,
    attempt_response_id   uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    graded_by             uuid,
    assessment_attempt_id uuid                 NOT NULL,
    question_id           uuid                 NOT NULL,
    assessment_slot_id    uuid                 NOT NULL,
    sequence_no           integer,
    response              text,
    response_text         text,
    is_correct            boolean              NOT NULL DEFAULT false,
    points_awarded        system_core.quantity,
    max_points            system_core.quantity,
    first_answered_at     timestamptz,
    last_saved_at         timestamptz,
    time_spent_seconds    integer,
    change_count          integer,
    is_flagged            boolean              NOT NULL DEFAULT false,
    grader_comment        text,
    needs_manual_grading  boolean              NOT NULL DEFAULT false,
    created_at            timestamptz          NOT NULL DEFAULT now(),
    updated_at            timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, attempt_response_id),
    UNIQUE (business_id, assessment_attempt_id, assessment_slot_id, sequence_no),
    FOREIGN KEY (business_id, graded_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, assessment_attempt_id)
        REFERENCES courses.assessment_attempt (business_id, assessment_attempt_id),
    FOREIGN KEY (business_id, question_id) REFERENCES courses.question (business_id, question_id),
    FOREIGN KEY (business_id, assessment_slot_id)
        REFERENCES courses.assessment_slot (business_id, assessment_slot_id),
    CONSTRAINT attempt_response_points_awarded_max_points CHECK (points_awarded <= max_points),
    CONSTRAINT attempt_response_change_count_not_negative CHECK (change_count >= 0)
);

COMMENT ON TABLE courses.attempt_response IS 'Answer to one question in an attempt, with score.';
-- RULE no change after submission except grading columns (trigger)

-- FK: the attempt responses of a user account.
CREATE INDEX attempt_response_graded_by_idx
    ON courses.attempt_response (business_id, graded_by)
    WHERE graded_by IS NOT NULL;

-- FK: the attempt responses of a question.
CREATE INDEX attempt_response_question_idx
    ON courses.attempt_response (business_id, question_id);

-- FK: the attempt responses of a assessment slot.
CREATE INDEX attempt_response_assessment_slot_idx
    ON courses.attempt_response (business_id, assessment_slot_id);

ALTER TABLE courses.attempt_response ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.attempt_response
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.attempt_response TO app_user;
GRANT SELECT ON courses.attempt_response TO app_readonly;

CREATE TRIGGER attempt_response_touch
    BEFORE UPDATE ON courses.attempt_response
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.proctoring_flag (
    business_id           uuid                 NOT NULL,
    proctoring_flag_id    uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    proctoring_session_id uuid                 NOT NULL,
    flagged_at            timestamptz          NOT NULL,
    flag_kind             text                 NOT NULL,
    severity              text                 NOT NULL,
    offset_seconds        integer,
    duration_seconds      integer,
    confidence            system_core.quantity,
    reviewed              boolean              NOT NULL DEFAULT false,
    reviewer_decision     text                 NOT NULL,
    evidence_ref          text,
    created_at            timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, proctoring_flag_id, flagged_at),
    FOREIGN KEY (business_id, proctoring_session_id)
        REFERENCES courses.proctoring_session (business_id, proctoring_session_id),
    CONSTRAINT proctoring_flag_flag_kind_known
        CHECK (flag_kind IN ('multiple_faces', 'no_face', 'gaze_away', 'phone', 'second_voice',
               'tab_switch', 'copy_paste', 'network_change', 'screen_share')),
    CONSTRAINT proctoring_flag_severity_known CHECK (severity IN ('low', 'medium', 'high')),
    CONSTRAINT proctoring_flag_reviewer_decision_known
        CHECK (reviewer_decision IN ('dismissed', 'confirmed', 'unclear', 'pending')),
    CONSTRAINT proctoring_flag_confidence_bounded CHECK (confidence BETWEEN 0 AND 1),
    CONSTRAINT proctoring_flag_offset_seconds_not_negative CHECK (offset_seconds >= 0)
) PARTITION BY RANGE (flagged_at);

COMMENT ON TABLE courses.proctoring_flag IS
    'Suspicious moment in a supervised attempt; append only.';
-- RULE reviewer_decision <> 'pending' when reviewed

-- FK: the proctoring flags of a proctoring session.
CREATE INDEX proctoring_flag_proctoring_session_idx
    ON courses.proctoring_flag (business_id, proctoring_session_id);

ALTER TABLE courses.proctoring_flag ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.proctoring_flag
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON courses.proctoring_flag TO app_user;
GRANT SELECT ON courses.proctoring_flag TO app_readonly;

CREATE TRIGGER proctoring_flag_append_only
    BEFORE UPDATE OR DELETE ON courses.proctoring_flag
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('courses.proctoring_flag');

CREATE TABLE courses.proctoring_flag_default PARTITION OF courses.proctoring_flag DEFAULT;
ALTER TABLE courses.proctoring_flag_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.proctoring_flag_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('courses.proctoring_flag', 'month', behind => 13, ahead => 3);
