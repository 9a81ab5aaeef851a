/*
 * TODO: what the area is and how its tables relate.
 *
 * Teachers and learners: assignments, submissions, rubrics, peer review, similarity, gradebook.
 */

CREATE TABLE courses.grade_category (
    business_id        uuid                   NOT NULL,
    grade_category_id  uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    parent_category_id uuid,
    course_id          uuid                   NOT NULL,
    name               text                   NOT NULL,
    weight_pct         system_core.percentage,
    aggregation        text                   NOT NULL,
    drop_lowest        integer,
    drop_highest       integer,
    keep_best          integer,
    sort_order         integer,
    excludes_empty     boolean                NOT NULL DEFAULT false,
    created_at         timestamptz            NOT NULL DEFAULT now(),
    updated_at         timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, grade_category_id),
    UNIQUE (business_id, course_id, name),
    FOREIGN KEY (business_id, parent_category_id)
        REFERENCES courses.grade_category (business_id, grade_category_id),
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    CONSTRAINT grade_category_aggregation_known
        CHECK (aggregation IN ('weighted_mean', 'mean', 'sum', 'median', 'highest', 'natural'))
);

COMMENT ON TABLE courses.grade_category IS 'Weighted group of graded items in a course.';
-- RULE weights of siblings sum to 100 for weighted_mean (deferred trigger)
-- RULE drop_lowest + drop_highest < number of items

-- FK: the grade categorys of a grade category.
CREATE INDEX grade_category_parent_category_idx
    ON courses.grade_category (business_id, parent_category_id)
    WHERE parent_category_id IS NOT NULL;

ALTER TABLE courses.grade_category ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.grade_category
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.grade_category TO app_user;
GRANT SELECT ON courses.grade_category TO app_readonly;

CREATE TRIGGER grade_category_touch
    BEFORE UPDATE ON courses.grade_category
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.rubric (
    business_id           uuid                 NOT NULL,
    rubric_id             uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    owner_user_account_id uuid                 NOT NULL,
    course_id             uuid,
    title                 text                 NOT NULL,
    scoring               text                 NOT NULL,
    total_points          system_core.quantity,
    visibility            text                 NOT NULL,
    version_no            integer,
    is_locked             boolean              NOT NULL DEFAULT false,
    hides_points          boolean              NOT NULL DEFAULT false,
    description           text,
    created_at            timestamptz          NOT NULL DEFAULT now(),
    updated_at            timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, rubric_id),
    UNIQUE (business_id, title, version_no),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    CONSTRAINT rubric_scoring_known
        CHECK (scoring IN ('points', 'percentage', 'levels_only', 'holistic')),
    CONSTRAINT rubric_visibility_known CHECK (visibility IN ('private', 'course', 'business'))
);

COMMENT ON TABLE courses.rubric IS 'Scoring guide for assignments or essays.';
-- RULE total_points equals the sum of criteria (trigger)
-- RULE locked once used

-- FK: the rubrics of a user account.
CREATE INDEX rubric_owner_user_account_idx
    ON courses.rubric (business_id, owner_user_account_id);

-- FK: the rubrics of a course.
CREATE INDEX rubric_course_idx
    ON courses.rubric (business_id, course_id)
    WHERE course_id IS NOT NULL;

ALTER TABLE courses.rubric ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.rubric
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.rubric TO app_user;
GRANT SELECT ON courses.rubric TO app_readonly;

CREATE TRIGGER rubric_touch
    BEFORE UPDATE ON courses.rubric
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.grading_scheme (
    business_id       uuid                   NOT NULL,
    grading_scheme_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    name              text                   NOT NULL,
    scheme_kind       text                   NOT NULL,
    bands             text,
    pass_mark_pct     system_core.percentage,
    rounds_to         integer,
    is_default        boolean                NOT NULL DEFAULT false,
    valid_from        date,
    retired_on        date,
    created_at        timestamptz            NOT NULL DEFAULT now(),
    updated_at        timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, grading_scheme_id),
    UNIQUE (business_id, name),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT grading_scheme_scheme_kind_known
        CHECK (scheme_kind IN ('letter', 'pass_fail', 'points', 'competency', 'gpa'))
);

COMMENT ON TABLE courses.grading_scheme IS 'How percentages become letters and points.';
-- RULE bands cover 0 to 100 without gap or overlap (function)
-- RULE one default per business

ALTER TABLE courses.grading_scheme ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.grading_scheme
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.grading_scheme TO app_user;
GRANT SELECT ON courses.grading_scheme TO app_readonly;

CREATE TRIGGER grading_scheme_touch
    BEFORE UPDATE ON courses.grading_scheme
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.assignment (
    business_id              uuid                 NOT NULL,
    assignment_id            uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    course_id                uuid                 NOT NULL,
    lesson_id                uuid,
    rubric_id                uuid,
    grade_category_id        uuid,
    title                    text                 NOT NULL,
    instructions             text,
    submission_kinds         text[]               NOT NULL DEFAULT '{}',
    points_possible          system_core.quantity,
    opens_at                 timestamptz,
    due_at                   timestamptz,
    late_until               timestamptz(6),
    late_penalty_pct_per_day system_core.quantity,
    max_resubmissions        integer,
    is_group                 boolean              NOT NULL DEFAULT false,
    peer_reviews_required    integer,
    anonymous_grading        boolean              NOT NULL DEFAULT false,
    similarity_check         boolean              NOT NULL DEFAULT false,
    grace_hours              numeric(9, 2),
    created_at               timestamptz          NOT NULL DEFAULT now(),
    updated_at               timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, assignment_id),
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    FOREIGN KEY (business_id, lesson_id) REFERENCES courses.lesson (business_id, lesson_id),
    FOREIGN KEY (business_id, rubric_id) REFERENCES courses.rubric (business_id, rubric_id),
    FOREIGN KEY (business_id, grade_category_id)
        REFERENCES courses.grade_category (business_id, grade_category_id),
    CONSTRAINT assignment_due_at_opens_at_and_late_until_due_at
        CHECK (due_at > opens_at AND late_until >= due_at),
    CONSTRAINT assignment_points_possible_not_negative CHECK (points_possible >= 0),
    CONSTRAINT assignment_late_penalty_pct_per_day_bounded
        CHECK (late_penalty_pct_per_day BETWEEN 0 AND 100),
    CONSTRAINT assignment_peer_reviews_required_bounded
        CHECK (peer_reviews_required BETWEEN 0 AND 10)
);

COMMENT ON TABLE courses.assignment IS 'Task to hand in.';

-- FK: the assignments of a course.
CREATE INDEX assignment_course_idx
    ON courses.assignment (business_id, course_id);

-- FK: the assignments of a lesson.
CREATE INDEX assignment_lesson_idx
    ON courses.assignment (business_id, lesson_id)
    WHERE lesson_id IS NOT NULL;

-- FK: the assignments of a rubric.
CREATE INDEX assignment_rubric_idx
    ON courses.assignment (business_id, rubric_id)
    WHERE rubric_id IS NOT NULL;

-- FK: the assignments of a grade category.
CREATE INDEX assignment_grade_category_idx
    ON courses.assignment (business_id, grade_category_id)
    WHERE grade_category_id IS NOT NULL;

ALTER TABLE courses.assignment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.assignment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.assignment TO app_user;
GRANT SELECT ON courses.assignment TO app_readonly;

CREATE TRIGGER assignment_touch
    BEFORE UPDATE ON courses.assignment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.rubric_criterion (
    business_id         uuid                   NOT NULL,
    rubric_criterion_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    rubric_id           uuid                   NOT NULL,
    learning_outcome_id uuid,
    sort_order          integer,
    description         text,
    long_description    text,
    max_points          system_core.quantity,
    weight_pct          system_core.percentage,
    is_required         boolean                NOT NULL DEFAULT false,
    ignore_for_scoring  boolean                NOT NULL DEFAULT false,
    mastery_points      system_core.quantity,
    created_at          timestamptz            NOT NULL DEFAULT now(),
    updated_at          timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, rubric_criterion_id),
    UNIQUE (business_id, rubric_id, sort_order),
    FOREIGN KEY (business_id, rubric_id) REFERENCES courses.rubric (business_id, rubric_id),
    FOREIGN KEY (business_id, learning_outcome_id)
        REFERENCES courses.learning_outcome (business_id, learning_outcome_id),
    CONSTRAINT rubric_criterion_max_points_not_negative CHECK (max_points >= 0),
    CONSTRAINT rubric_criterion_mastery_points_max_points CHECK (mastery_points <= max_points)
);

COMMENT ON TABLE courses.rubric_criterion IS 'Row of a rubric, tied to an outcome.';

-- FK: the rubric criterions of a learning outcome.
CREATE INDEX rubric_criterion_learning_outcome_idx
    ON courses.rubric_criterion (business_id, learning_outcome_id)
    WHERE learning_outcome_id IS NOT NULL;

ALTER TABLE courses.rubric_criterion ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.rubric_criterion
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.rubric_criterion TO app_user;
GRANT SELECT ON courses.rubric_criterion TO app_readonly;

CREATE TRIGGER rubric_criterion_touch
    BEFORE UPDATE ON courses.rubric_criterion
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.assignment_submission (
    business_id              uuid                   NOT NULL,
    assignment_submission_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    graded_by                uuid,
    assignment_id            uuid                   NOT NULL,
    enrollment_id            uuid                   NOT NULL,
    study_group_id           uuid,
    submission_no            integer,
    state                    text                   NOT NULL DEFAULT 'draft',
    submission_kind          text                   NOT NULL,
    body_text                text,
    submitted_at             timestamptz,
    days_late                integer,
    penalty_pct              system_core.percentage,
    raw_points               system_core.quantity,
    final_points             system_core.quantity,
    graded_at                timestamptz,
    feedback                 text,
    feedback_released_at     timestamptz,
    word_count               integer,
    created_at               timestamptz            NOT NULL DEFAULT now(),
    updated_at               timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, assignment_submission_id),
    UNIQUE (business_id, assignment_id, enrollment_id, submission_no),
    FOREIGN KEY (business_id, graded_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, assignment_id)
        REFERENCES courses.assignment (business_id, assignment_id),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    CONSTRAINT assignment_submission_state_known
        CHECK (state IN ('draft', 'submitted', 'late', 'returned', 'graded', 'excused',
               'missing')),
    CONSTRAINT assignment_submission_submission_kind_known
        CHECK (submission_kind IN ('text', 'file', 'url', 'code', 'media')),
    CONSTRAINT assignment_submission_final_points_raw_points_penalty_pct
        CHECK (final_points = raw_points * (1 - penalty_pct / 100)),
    CONSTRAINT assignment_submission_graded_at_not_before_submitted_at
        CHECK (graded_at >= submitted_at),
    CONSTRAINT assignment_submission_feedback_released_at_not_before_graded_at
        CHECK (feedback_released_at >= graded_at)
);

COMMENT ON TABLE courses.assignment_submission IS
    'Work handed in by a learner or group, in a version.';

-- FK: the assignment submissions of a user account.
CREATE INDEX assignment_submission_graded_by_idx
    ON courses.assignment_submission (business_id, graded_by)
    WHERE graded_by IS NOT NULL;

-- FK: the assignment submissions of a enrollment.
CREATE INDEX assignment_submission_enrollment_idx
    ON courses.assignment_submission (business_id, enrollment_id);

-- FK: the assignment submissions of a study group.
CREATE INDEX assignment_submission_study_group_idx
    ON courses.assignment_submission (business_id, study_group_id)
    WHERE study_group_id IS NOT NULL;

ALTER TABLE courses.assignment_submission ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.assignment_submission
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.assignment_submission TO app_user;
GRANT SELECT ON courses.assignment_submission TO app_readonly;

CREATE TRIGGER assignment_submission_touch
    BEFORE UPDATE ON courses.assignment_submission
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER assignment_submission_state_machine
    BEFORE INSERT OR UPDATE OF state ON courses.assignment_submission
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["draft"],
        "transitions": {
            "draft":     ["submitted", "late", "missing"],
            "submitted": ["graded", "returned"],
            "late":      ["graded", "returned"],
            "returned":  ["draft", "submitted"],
            "missing":   ["late", "excused"],
            "graded":    ["returned", "excused"],
            "excused":   []
        }}');


CREATE TABLE courses.grade_item (
    business_id         uuid                   NOT NULL,
    grade_item_id       uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    course_section_id   uuid                   NOT NULL,
    grade_category_id   uuid,
    assessment_id       uuid,
    assignment_id       uuid,
    lti_tool_id         uuid,
    title               text                   NOT NULL,
    item_kind           text                   NOT NULL,
    max_points          system_core.quantity,
    weight_override_pct system_core.percentage,
    pass_points         system_core.quantity,
    is_extra_credit     boolean                NOT NULL DEFAULT false,
    hidden_until        timestamptz(6),
    is_locked           boolean                NOT NULL DEFAULT false,
    sort_order          integer,
    scale_name          text,
    created_at          timestamptz            NOT NULL DEFAULT now(),
    updated_at          timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, grade_item_id),
    UNIQUE (business_id, course_section_id, title),
    FOREIGN KEY (business_id, course_section_id)
        REFERENCES courses.course_section (business_id, course_section_id),
    FOREIGN KEY (business_id, grade_category_id)
        REFERENCES courses.grade_category (business_id, grade_category_id),
    FOREIGN KEY (business_id, assessment_id)
        REFERENCES courses.assessment (business_id, assessment_id),
    FOREIGN KEY (business_id, assignment_id)
        REFERENCES courses.assignment (business_id, assignment_id),
    FOREIGN KEY (business_id, lti_tool_id) REFERENCES courses.lti_tool (business_id, lti_tool_id),
    CONSTRAINT grade_item_item_kind_known
        CHECK (item_kind IN ('assessment', 'assignment', 'attendance', 'discussion', 'manual',
               'external', 'course_total'))
);

COMMENT ON TABLE courses.grade_item IS 'Column of the gradebook.';
-- RULE one source per item_kind (check)
-- RULE max_points > 0 except course_total

-- FK: the grade items of a grade category.
CREATE INDEX grade_item_grade_category_idx
    ON courses.grade_item (business_id, grade_category_id)
    WHERE grade_category_id IS NOT NULL;

-- FK: the grade items of a assessment.
CREATE INDEX grade_item_assessment_idx
    ON courses.grade_item (business_id, assessment_id)
    WHERE assessment_id IS NOT NULL;

-- FK: the grade items of a assignment.
CREATE INDEX grade_item_assignment_idx
    ON courses.grade_item (business_id, assignment_id)
    WHERE assignment_id IS NOT NULL;

-- FK: the grade items of a lti tool.
CREATE INDEX grade_item_lti_tool_idx
    ON courses.grade_item (business_id, lti_tool_id)
    WHERE lti_tool_id IS NOT NULL;

ALTER TABLE courses.grade_item ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.grade_item
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.grade_item TO app_user;
GRANT SELECT ON courses.grade_item TO app_readonly;

CREATE TRIGGER grade_item_touch
    BEFORE UPDATE ON courses.grade_item
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.rubric_rating (
    business_id         uuid                 NOT NULL,
    rubric_rating_id    uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    rubric_criterion_id uuid                 NOT NULL,
    sort_order          integer,
    label               text,
    description         text,
    points              system_core.quantity,
    range_minimum       system_core.quantity,
    is_mastery          boolean              NOT NULL DEFAULT false,
    color_hex           text,
    created_at          timestamptz          NOT NULL DEFAULT now(),
    updated_at          timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, rubric_rating_id),
    UNIQUE (business_id, rubric_criterion_id, sort_order),
    FOREIGN KEY (business_id, rubric_criterion_id)
        REFERENCES courses.rubric_criterion (business_id, rubric_criterion_id),
    CONSTRAINT rubric_rating_range_minimum_points CHECK (range_minimum <= points)
);

COMMENT ON TABLE courses.rubric_rating IS 'Level of achievement in a criterion.';
-- RULE points <= the criterion's max_points (trigger)

ALTER TABLE courses.rubric_rating ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.rubric_rating
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.rubric_rating TO app_user;
GRANT SELECT ON courses.rubric_rating TO app_readonly;

CREATE TRIGGER rubric_rating_touch
    BEFORE UPDATE ON courses.rubric_rating
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.peer_review (
    business_id              uuid                 NOT NULL,
    peer_review_id           uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    reviewer_enrollment_id   uuid                 NOT NULL,
    assignment_submission_id uuid                 NOT NULL,
    assigned_at              timestamptz,
    due_at                   timestamptz,
    completed_at             timestamptz,
    state                    text                 NOT NULL DEFAULT 'assigned',
    overall_points           system_core.quantity,
    comment                  text,
    helpfulness_rating       integer,
    calibration_error        system_core.quantity,
    is_anonymous             boolean              NOT NULL DEFAULT false,
    flagged_reason           text,
    created_at               timestamptz          NOT NULL DEFAULT now(),
    updated_at               timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, peer_review_id),
    UNIQUE (business_id, assignment_submission_id, reviewer_enrollment_id),
    FOREIGN KEY (business_id, reviewer_enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    FOREIGN KEY (business_id, assignment_submission_id)
        REFERENCES courses.assignment_submission (business_id, assignment_submission_id),
    CONSTRAINT peer_review_state_known
        CHECK (state IN ('assigned', 'in_progress', 'completed', 'missed', 'reassigned')),
    CONSTRAINT peer_review_completed_at_not_before_assigned_at CHECK (completed_at >= assigned_at),
    CONSTRAINT peer_review_helpfulness_rating_bounded CHECK (helpfulness_rating BETWEEN 1 AND 5)
);

COMMENT ON TABLE courses.peer_review IS 'Review of a submission by a fellow learner.';
-- RULE reviewers do not review their own work (trigger)

-- FK: the peer reviews of a enrollment.
CREATE INDEX peer_review_reviewer_enrollment_idx
    ON courses.peer_review (business_id, reviewer_enrollment_id);

ALTER TABLE courses.peer_review ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.peer_review
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.peer_review TO app_user;
GRANT SELECT ON courses.peer_review TO app_readonly;

CREATE TRIGGER peer_review_touch
    BEFORE UPDATE ON courses.peer_review
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.similarity_report (
    business_id              uuid                    NOT NULL,
    similarity_report_id     uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    reviewed_by              uuid,
    assignment_submission_id uuid                    NOT NULL,
    provider                 text,
    requested_at             timestamptz,
    completed_at             timestamptz,
    similarity_pct           system_core.percentage,
    largest_match_pct        system_core.percentage,
    match_count              integer,
    matches                  system_core.json_object,
    ai_writing_pct           system_core.percentage,
    status                   text                    NOT NULL DEFAULT 'pending',
    decision                 text                    NOT NULL,
    decided_at               timestamptz,
    created_at               timestamptz             NOT NULL DEFAULT now(),
    updated_at               timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, similarity_report_id),
    FOREIGN KEY (business_id, reviewed_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, assignment_submission_id)
        REFERENCES courses.assignment_submission (business_id, assignment_submission_id),
    CONSTRAINT similarity_report_status_known
        CHECK (status IN ('pending', 'ready', 'failed', 'excluded')),
    CONSTRAINT similarity_report_decision_known
        CHECK (decision IN ('none', 'cleared', 'discussed', 'referred', 'misconduct')),
    CONSTRAINT similarity_report_similarity_pct_bounded
        CHECK (similarity_pct BETWEEN 0 AND 100 AND ai_writing_pct BETWEEN 0 AND 100),
    CONSTRAINT similarity_report_largest_match_pct_similarity_pct
        CHECK (largest_match_pct <= similarity_pct)
);

COMMENT ON TABLE courses.similarity_report IS 'Originality check of a submission.';
-- RULE misconduct needs a reviewer

-- FK: the similarity reports of a user account.
CREATE INDEX similarity_report_reviewed_by_idx
    ON courses.similarity_report (business_id, reviewed_by)
    WHERE reviewed_by IS NOT NULL;

-- FK: the similarity reports of a assignment submission.
CREATE INDEX similarity_report_assignment_submission_idx
    ON courses.similarity_report (business_id, assignment_submission_id);

ALTER TABLE courses.similarity_report ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.similarity_report
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.similarity_report TO app_user;
GRANT SELECT ON courses.similarity_report TO app_readonly;

CREATE TRIGGER similarity_report_touch
    BEFORE UPDATE ON courses.similarity_report
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.grade_entry (
    business_id      uuid                 NOT NULL,
    grade_entry_id   uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    graded_by        uuid,
    grade_item_id    uuid                 NOT NULL,
    enrollment_id    uuid                 NOT NULL,
    points           system_core.quantity,
    percentage       system_core.quantity,
    letter           text,
    status           text                 NOT NULL DEFAULT 'ungraded',
    original_points  system_core.quantity,
    override_reason  text,
    graded_at        timestamptz,
    posted_at        timestamptz,
    feedback         text,
    is_late          boolean              NOT NULL DEFAULT false,
    attempts_counted integer,
    created_at       timestamptz          NOT NULL DEFAULT now(),
    updated_at       timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, grade_entry_id),
    UNIQUE (business_id, grade_item_id, enrollment_id),
    FOREIGN KEY (business_id, graded_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, grade_item_id)
        REFERENCES courses.grade_item (business_id, grade_item_id),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    CONSTRAINT grade_entry_status_known
        CHECK (status IN ('ungraded', 'graded', 'excused', 'incomplete', 'missing', 'overridden')),
    CONSTRAINT grade_entry_posted_at_not_before_graded_at CHECK (posted_at >= graded_at)
);

COMMENT ON TABLE courses.grade_entry IS 'Grade of a learner for an item.';
-- RULE override_reason is not null when overridden
-- RULE points between 0 and one and a half times the item's max_points (trigger)

-- FK: the grade entrys of a user account.
CREATE INDEX grade_entry_graded_by_idx
    ON courses.grade_entry (business_id, graded_by)
    WHERE graded_by IS NOT NULL;

-- FK: the grade entrys of a enrollment.
CREATE INDEX grade_entry_enrollment_idx
    ON courses.grade_entry (business_id, enrollment_id);

ALTER TABLE courses.grade_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.grade_entry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.grade_entry TO app_user;
GRANT SELECT ON courses.grade_entry TO app_readonly;

CREATE TRIGGER grade_entry_touch
    BEFORE UPDATE ON courses.grade_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.rubric_score (
    business_id              uuid                   NOT NULL,
    rubric_score_id          uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    assessor_user_account_id uuid                   NOT NULL,
    rubric_criterion_id      uuid                   NOT NULL,
    rubric_rating_id         uuid,
    assignment_submission_id uuid,
    attempt_response_id      uuid,
    peer_review_id           uuid,
    points                   system_core.quantity,
    comment                  text,
    assessed_at              timestamptz,
    assessor_kind            text                   NOT NULL,
    is_final                 boolean                NOT NULL DEFAULT false,
    confidence_pct           system_core.percentage,
    moderation_difference    system_core.quantity,
    created_at               timestamptz            NOT NULL DEFAULT now(),
    updated_at               timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, rubric_score_id),
    FOREIGN KEY (business_id, assessor_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, rubric_criterion_id)
        REFERENCES courses.rubric_criterion (business_id, rubric_criterion_id),
    FOREIGN KEY (business_id, rubric_rating_id)
        REFERENCES courses.rubric_rating (business_id, rubric_rating_id),
    FOREIGN KEY (business_id, assignment_submission_id)
        REFERENCES courses.assignment_submission (business_id, assignment_submission_id),
    FOREIGN KEY (business_id, attempt_response_id)
        REFERENCES courses.attempt_response (business_id, attempt_response_id),
    FOREIGN KEY (business_id, peer_review_id)
        REFERENCES courses.peer_review (business_id, peer_review_id),
    CONSTRAINT rubric_score_assessor_kind_known
        CHECK (assessor_kind IN ('instructor', 'peer', 'self', 'automatic'))
);

COMMENT ON TABLE courses.rubric_score IS
    'Rating given on a criterion for a submission or response.';
-- RULE exactly one of assignment_submission_id and attempt_response_id
-- RULE points between 0 and the criterion's max
-- RULE one final score per criterion and work (partial unique)

-- FK: the rubric scores of a user account.
CREATE INDEX rubric_score_assessor_user_account_idx
    ON courses.rubric_score (business_id, assessor_user_account_id);

-- FK: the rubric scores of a rubric criterion.
CREATE INDEX rubric_score_rubric_criterion_idx
    ON courses.rubric_score (business_id, rubric_criterion_id);

-- FK: the rubric scores of a rubric rating.
CREATE INDEX rubric_score_rubric_rating_idx
    ON courses.rubric_score (business_id, rubric_rating_id)
    WHERE rubric_rating_id IS NOT NULL;

-- FK: the rubric scores of a assignment submission.
CREATE INDEX rubric_score_assignment_submission_idx
    ON courses.rubric_score (business_id, assignment_submission_id)
    WHERE assignment_submission_id IS NOT NULL;

-- FK: the rubric scores of a attempt response.
CREATE INDEX rubric_score_attempt_response_idx
    ON courses.rubric_score (business_id, attempt_response_id)
    WHERE attempt_response_id IS NOT NULL;

-- FK: the rubric scores of a peer review.
CREATE INDEX rubric_score_peer_review_idx
    ON courses.rubric_score (business_id, peer_review_id)
    WHERE peer_review_id IS NOT NULL;

ALTER TABLE courses.rubric_score ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.rubric_score
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.rubric_score TO app_user;
GRANT SELECT ON courses.rubric_score TO app_readonly;

CREATE TRIGGER rubric_score_touch
    BEFORE UPDATE ON courses.rubric_score
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.grade_change_event (
    business_id           uuid                 NOT NULL,
    grade_change_event_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    changed_by            uuid,
    grade_entry_id        uuid                 NOT NULL,
    changed_at            timestamptz          NOT NULL,
    old_points            system_core.quantity,
    new_points            system_core.quantity,
    old_letter            text,
    new_letter            text,
    cause                 text                 NOT NULL,
    reason                text,
    visible_to_learner    boolean              NOT NULL DEFAULT false,
    request_id            text,
    created_at            timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, grade_change_event_id, changed_at),
    FOREIGN KEY (business_id, changed_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, grade_entry_id)
        REFERENCES courses.grade_entry (business_id, grade_entry_id),
    CONSTRAINT grade_change_event_cause_known
        CHECK (cause IN ('auto_grade', 'instructor', 'regrade', 'override', 'late_penalty',
               'import', 'lti_return'))
) PARTITION BY RANGE (changed_at);

COMMENT ON TABLE courses.grade_change_event IS
    'Every change of a grade, by whom and why; append only.';
-- RULE old and new differ
-- RULE reason is not null for override and regrade
-- RULE append only

-- FK: the grade change events of a user account.
CREATE INDEX grade_change_event_changed_by_idx
    ON courses.grade_change_event (business_id, changed_by)
    WHERE changed_by IS NOT NULL;

-- FK: the grade change events of a grade entry.
CREATE INDEX grade_change_event_grade_entry_idx
    ON courses.grade_change_event (business_id, grade_entry_id);

ALTER TABLE courses.grade_change_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.grade_change_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON courses.grade_change_event TO app_user;
GRANT SELECT ON courses.grade_change_event TO app_readonly;

CREATE TRIGGER grade_change_event_append_only
    BEFORE UPDATE OR DELETE ON courses.grade_change_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('courses.grade_change_event');

CREATE TABLE courses.grade_change_event_default PARTITION OF courses.grade_change_event DEFAULT;
ALTER TABLE courses.grade_change_event_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.grade_change_event_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('courses.grade_change_event', 'month', behind => 13, ahead => 3);


-- Closes the circle with an earlier file.
ALTER TABLE courses.course_section
    ADD FOREIGN KEY (business_id, grading_scheme_id) REFERENCES courses.grading_scheme (business_id, grading_scheme_id);

-- Closes the circle with an earlier file.
ALTER TABLE courses.assessment
    ADD FOREIGN KEY (business_id, grade_category_id) REFERENCES courses.grade_category (business_id, grade_category_id);
