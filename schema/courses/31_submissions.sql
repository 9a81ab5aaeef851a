/*
 * Submissions: what learners hand in, and what is said about it.
 *
 * An assignment_submission is one version of somebody's work; courses.hand_in() says whether it is
 * in time and what lateness costs. A peer_review is a fellow learner's reading of it, given out in
 * a ring by courses.assign_peer_reviews(); a similarity_report what a service found copied. A
 * rubric_score is the judgment on one criterion: the final ones of a work make its points, and are
 * evidence of the outcomes that the criteria measure.
 */

CREATE TABLE courses.assignment_submission (
    business_id              uuid                   NOT NULL,
    assignment_submission_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    assignment_id            uuid                   NOT NULL,
    enrollment_id            uuid                   NOT NULL,
    study_group_id uuid,
    graded_by uuid,
    submission_no            integer                NOT NULL DEFAULT 1,
    state                    text                   NOT NULL DEFAULT 'draft',
    submission_kind          text                   NOT NULL DEFAULT 'text',
    body_text text,
    submitted_at timestamptz,
    days_late                integer                NOT NULL DEFAULT 0,
    penalty_pct              system_core.percentage NOT NULL DEFAULT 0,
    raw_points system_core.quantity,
    final_points             system_core.quantity   GENERATED ALWAYS AS (
        round(raw_points * (1 - penalty_pct / 100), 4)) STORED,
    graded_at timestamptz,
    feedback text,
    feedback_released_at timestamptz,
    word_count               integer                GENERATED ALWAYS AS (
        regexp_count(body_text, '\S+')) STORED,
    created_at               timestamptz            NOT NULL DEFAULT now(),
    updated_at               timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, assignment_submission_id),
    UNIQUE (business_id, assignment_id, enrollment_id, submission_no),
    FOREIGN KEY (business_id, assignment_id)
        REFERENCES courses.assignment (business_id, assignment_id),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    FOREIGN KEY (business_id, graded_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT assignment_submission_state_known
        CHECK (state IN ('draft', 'submitted', 'late', 'returned', 'graded', 'excused',
                         'missing')),
    CONSTRAINT assignment_submission_kind_known
        CHECK (submission_kind IN ('text', 'file', 'url', 'code', 'media')),
    CONSTRAINT assignment_submission_counts_from_1 CHECK (submission_no >= 1),
    CONSTRAINT assignment_submission_days_late_not_negative CHECK (days_late >= 0),
    CONSTRAINT assignment_submission_penalty_is_a_share CHECK (penalty_pct BETWEEN 0 AND 100),
    CONSTRAINT assignment_submission_penalty_for_lateness
        CHECK (penalty_pct = 0 OR days_late > 0),
    CONSTRAINT assignment_submission_points_not_negative CHECK (raw_points >= 0),
    CONSTRAINT assignment_submission_handed_in_has_time
        CHECK (CASE WHEN state IN ('submitted', 'late', 'returned', 'graded')
                        THEN submitted_at IS NOT NULL
                    WHEN state IN ('draft', 'missing') THEN submitted_at IS NULL END),
    CONSTRAINT assignment_submission_graded_is_whole
        CHECK (state <> 'graded' OR (graded_at IS NOT NULL AND raw_points IS NOT NULL)),
    CONSTRAINT assignment_submission_graded_after_submission CHECK (graded_at >= submitted_at),
    CONSTRAINT assignment_submission_feedback_after_grade
        CHECK (feedback_released_at >= graded_at),
    CONSTRAINT assignment_submission_in_time_is_not_late
        CHECK (CASE state WHEN 'submitted' THEN days_late = 0 WHEN 'late' THEN days_late > 0 END)
);

COMMENT ON TABLE courses.assignment_submission IS
    'Work handed in by a learner or group, in a version.';
COMMENT ON COLUMN courses.assignment_submission.study_group_id IS
    'The group whose work it is; each member has a row of it, for each gets a grade.';
COMMENT ON COLUMN courses.assignment_submission.days_late IS 'Days begun after the grace.';
COMMENT ON COLUMN courses.assignment_submission.raw_points IS
    'Before the penalty; the sum of the rubric scores where it is judged by a rubric.';

-- FK: what a learner handed in.
CREATE INDEX assignment_submission_enrollment_idx
    ON courses.assignment_submission (business_id, enrollment_id);

-- FK: what a group handed in.
CREATE INDEX assignment_submission_study_group_idx
    ON courses.assignment_submission (business_id, study_group_id)
    WHERE study_group_id IS NOT NULL;

-- FK: what somebody graded.
CREATE INDEX assignment_submission_graded_by_idx
    ON courses.assignment_submission (business_id, graded_by)
    WHERE graded_by IS NOT NULL;

-- The queue of graders, the oldest first: courses.v_grading_queue.
CREATE INDEX assignment_submission_queue_idx
    ON courses.assignment_submission (business_id, submitted_at)
    WHERE state IN ('submitted', 'late');

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

CREATE FUNCTION courses.check_submission() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    task record;
BEGIN
    SELECT a.title, a.course_id, a.points_possible, a.submission_kinds, a.max_resubmissions,
           s.course_id AS taken
    INTO task
    FROM courses.assignment AS a
    JOIN courses.enrollment AS e
        ON e.business_id = a.business_id AND e.enrollment_id = NEW.enrollment_id
    LEFT JOIN courses.course_section AS s
        ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
    WHERE a.business_id = NEW.business_id AND a.assignment_id = NEW.assignment_id;
    IF task.taken IS DISTINCT FROM task.course_id THEN
        RAISE EXCEPTION 'assignment % is of a course that this enrollment does not take',
                        task.title
            USING ERRCODE = 'check_violation';
    ELSIF NEW.raw_points > task.points_possible THEN
        RAISE EXCEPTION 'assignment % is worth % points, not %', task.title,
                        trim_scale(task.points_possible), trim_scale(NEW.raw_points)
            USING ERRCODE = 'check_violation';
    ELSIF TG_OP = 'INSERT' AND row_security_active(TG_RELID) THEN
        IF NOT NEW.submission_kind = ANY (task.submission_kinds) THEN
            RAISE EXCEPTION 'assignment % takes %, not %', task.title,
                            array_to_string(task.submission_kinds, ', '), NEW.submission_kind
                USING ERRCODE = 'check_violation';
        ELSIF NEW.submission_no > task.max_resubmissions + 1 THEN
            RAISE EXCEPTION 'assignment % takes % resubmissions', task.title,
                            task.max_resubmissions
                USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.check_submission() IS
    'Work is for a task of the course that is taken, of a kind and version that it takes, and worth
     no more than the task.';

CREATE TRIGGER assignment_submission_fits_task
    BEFORE INSERT OR UPDATE OF assignment_id, enrollment_id, raw_points
    ON courses.assignment_submission
    FOR EACH ROW EXECUTE FUNCTION courses.check_submission();

CREATE FUNCTION courses.lateness(assignment uuid, moment timestamptz)
    RETURNS TABLE (days_late integer, penalty_pct numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT d.days, least(d.days * a.late_penalty_pct_per_day, 100)
    FROM courses.assignment AS a
    CROSS JOIN LATERAL (
        SELECT greatest(ceil(extract(epoch FROM moment - a.due_at - a.grace_hours
                                                * interval '1 hour') / 86400), 0)::integer AS days
    ) AS d
    WHERE a.business_id = tenant_mgmt.current_business_id()
      AND a.assignment_id = lateness.assignment;
END;
COMMENT ON FUNCTION courses.lateness(uuid, timestamptz) IS
    'How many days work of a moment is late, each begun one whole, and what that costs.';

CREATE FUNCTION courses.stamp_submission() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    task record;
    due  record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    IF OLD.state = 'returned' THEN
        -- What was said of the work before holds for that; the grade comes anew.
        NEW.raw_points := NULL;
        NEW.graded_at := NULL;
        NEW.graded_by := NULL;
        NEW.feedback_released_at := NULL;
    END IF;
    IF NEW.state IN ('draft', 'missing') THEN
        NEW.submitted_at := NULL;
        NEW.days_late := 0;
        NEW.penalty_pct := 0;
    ELSIF NEW.state IN ('submitted', 'late') THEN
        IF NEW.submitted_at IS NULL OR OLD.state = 'returned'
                                       AND NEW.submitted_at = OLD.submitted_at THEN
            NEW.submitted_at := now();
        END IF;
        SELECT a.title, a.opens_at, a.late_until INTO task
        FROM courses.assignment AS a
        WHERE a.business_id = NEW.business_id AND a.assignment_id = NEW.assignment_id;
        SELECT l.days_late, l.penalty_pct INTO due
        FROM courses.lateness(NEW.assignment_id, NEW.submitted_at) AS l;
        IF NEW.submitted_at < task.opens_at OR NEW.submitted_at > task.late_until THEN
            RAISE EXCEPTION 'assignment % does not take work at %', task.title, NEW.submitted_at
                USING ERRCODE = 'check_violation';
        ELSIF (NEW.state = 'late') <> (due.days_late > 0) AND OLD.state <> 'returned' THEN
            RAISE EXCEPTION 'handed in at %, assignment % is % days late', NEW.submitted_at,
                            task.title, due.days_late
                USING ERRCODE = 'check_violation', HINT = 'Let courses.hand_in() decide.';
        END IF;
        -- Work that a teacher gave back to be improved is not late for that.
        NEW.days_late := CASE WHEN OLD.state = 'returned' THEN 0 ELSE due.days_late END;
        NEW.penalty_pct := CASE WHEN OLD.state = 'returned' THEN 0 ELSE due.penalty_pct END;
    ELSIF NEW.state = 'graded' THEN
        NEW.graded_at := coalesce(NEW.graded_at, now());
        IF EXISTS (SELECT FROM courses.assignment AS a
                   JOIN courses.rubric AS r
                       ON r.business_id = a.business_id AND r.rubric_id = a.rubric_id
                   JOIN courses.rubric_criterion AS c
                       ON c.business_id = r.business_id AND c.rubric_id = r.rubric_id
                      AND c.is_required
                   WHERE a.business_id = NEW.business_id AND a.assignment_id = NEW.assignment_id
                     AND NOT EXISTS (
                         SELECT FROM courses.rubric_score AS s
                         WHERE s.business_id = NEW.business_id
                           AND s.assignment_submission_id = NEW.assignment_submission_id
                           AND s.rubric_criterion_id = c.rubric_criterion_id AND s.is_final)) THEN
            RAISE EXCEPTION 'a criterion of the rubric is not scored yet'
                USING ERRCODE = 'check_violation';
        END IF;
        NEW.raw_points := coalesce(courses.rubric_points(NEW.assignment_submission_id),
                                   NEW.raw_points);
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.stamp_submission() IS
    'Handing in notes the time, whether it is late and what that costs; grading takes the rubric''s
     points. Imported history brings its own.';

CREATE TRIGGER assignment_submission_stamped
    BEFORE UPDATE OF state ON courses.assignment_submission
    FOR EACH ROW WHEN (NEW.state <> OLD.state)
    EXECUTE FUNCTION courses.stamp_submission();

CREATE FUNCTION courses.hand_in(submission uuid, moment timestamptz DEFAULT now()) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    result text;
BEGIN
    UPDATE courses.assignment_submission AS s
    SET submitted_at = moment,
        state = CASE WHEN s.state = 'returned' OR (
                         SELECT l.days_late FROM courses.lateness(s.assignment_id, moment) AS l) = 0
                     THEN 'submitted' ELSE 'late' END
    WHERE s.business_id = tenant AND s.assignment_submission_id = submission
      AND s.state IN ('draft', 'returned', 'missing')
    RETURNING s.state INTO result;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'submission % cannot be handed in', submission
            USING ERRCODE = 'check_violation', HINT = 'It is handed in already, or unknown.';
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION courses.hand_in(uuid, timestamptz) IS
    'Hands work in, in time or late as the task says; returns which.';

CREATE FUNCTION courses.mark_missing(assignment uuid, moment timestamptz DEFAULT now())
    RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    marked integer;
BEGIN
    -- Who never began has a draft first: a state machine has one beginning.
    INSERT INTO courses.assignment_submission
        (business_id, assignment_id, enrollment_id, submission_kind)
    SELECT tenant, a.assignment_id, e.enrollment_id, a.submission_kinds[1]
    FROM courses.assignment AS a
    JOIN courses.course_section AS s
        ON s.business_id = a.business_id AND s.course_id = a.course_id
    JOIN courses.enrollment AS e
        ON e.business_id = s.business_id AND e.course_section_id = s.course_section_id
       AND e.status = 'active' AND e.enrolled_at < a.due_at
    WHERE a.business_id = tenant AND a.assignment_id = mark_missing.assignment
      AND NOT EXISTS (SELECT FROM courses.assignment_submission AS x
                      WHERE x.business_id = tenant AND x.assignment_id = a.assignment_id
                        AND x.enrollment_id = e.enrollment_id)
      AND coalesce(a.late_until, a.due_at + a.grace_hours * interval '1 hour') < moment
    ON CONFLICT (business_id, assignment_id, enrollment_id, submission_no) DO NOTHING;
    UPDATE courses.assignment_submission AS x
    SET state = 'missing'
    FROM courses.assignment AS a
    WHERE a.business_id = tenant AND a.assignment_id = mark_missing.assignment
      AND x.business_id = tenant AND x.assignment_id = a.assignment_id AND x.state = 'draft'
      AND x.submission_no = 1
      AND coalesce(a.late_until, a.due_at + a.grace_hours * interval '1 hour') < moment;
    GET DIAGNOSTICS marked = ROW_COUNT;
    RETURN marked;
END
$$;
COMMENT ON FUNCTION courses.mark_missing(uuid, timestamptz) IS
    'After the last moment of a task, who handed nothing in is missing; returns how many.';


CREATE TABLE courses.peer_review (
    business_id              uuid        NOT NULL,
    peer_review_id           uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    assignment_submission_id uuid        NOT NULL,
    reviewer_enrollment_id   uuid        NOT NULL,
    assigned_at              timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz,
    completed_at timestamptz,
    state                    text        NOT NULL DEFAULT 'assigned',
    overall_points system_core.quantity,
    comment text,
    helpfulness_rating integer,
    calibration_error system_core.quantity,
    is_anonymous             boolean     NOT NULL DEFAULT true,
    flagged_reason text,
    created_at               timestamptz NOT NULL DEFAULT now(),
    updated_at               timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, peer_review_id),
    UNIQUE (business_id, assignment_submission_id, reviewer_enrollment_id),
    FOREIGN KEY (business_id, assignment_submission_id)
        REFERENCES courses.assignment_submission (business_id, assignment_submission_id),
    FOREIGN KEY (business_id, reviewer_enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    CONSTRAINT peer_review_state_known
        CHECK (state IN ('assigned', 'in_progress', 'completed', 'missed', 'reassigned')),
    CONSTRAINT peer_review_completed_after_assignment CHECK (completed_at >= assigned_at),
    CONSTRAINT peer_review_due_after_assignment CHECK (due_at > assigned_at),
    CONSTRAINT peer_review_completed_is_whole
        CHECK ((state = 'completed') = (completed_at IS NOT NULL)
               AND (state <> 'completed' OR overall_points IS NOT NULL)),
    CONSTRAINT peer_review_helpful_when_read
        CHECK (helpfulness_rating IS NULL OR state = 'completed'),
    CONSTRAINT peer_review_helpfulness_bounded CHECK (helpfulness_rating BETWEEN 1 AND 5),
    CONSTRAINT peer_review_points_not_negative CHECK (overall_points >= 0)
);

COMMENT ON TABLE courses.peer_review IS 'Review of a submission by a fellow learner.';
COMMENT ON COLUMN courses.peer_review.calibration_error IS
    'How far its points were from the teacher''s; below 0 was too strict.';

-- FK: what a learner still has to read.
CREATE INDEX peer_review_reviewer_idx
    ON courses.peer_review (business_id, reviewer_enrollment_id, state);

ALTER TABLE courses.peer_review ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.peer_review
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.peer_review TO app_user;
GRANT SELECT ON courses.peer_review TO app_readonly;

CREATE TRIGGER peer_review_touch
    BEFORE UPDATE ON courses.peer_review
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION courses.check_peer_review() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    work record;
BEGIN
    SELECT w.enrollment_id, w.study_group_id, e.learner_id, e.course_section_id,
           r.learner_id AS reader_id, r.course_section_id AS reader_section_id,
           a.points_possible,
           EXISTS (SELECT FROM courses.assignment_submission AS g
                   WHERE g.business_id = w.business_id AND g.assignment_id = w.assignment_id
                     AND g.enrollment_id = r.enrollment_id
                     AND g.study_group_id = w.study_group_id) AS is_of_group
    INTO work
    FROM courses.assignment_submission AS w
    JOIN courses.assignment AS a
        ON a.business_id = w.business_id AND a.assignment_id = w.assignment_id
    JOIN courses.enrollment AS e
        ON e.business_id = w.business_id AND e.enrollment_id = w.enrollment_id
    JOIN courses.enrollment AS r
        ON r.business_id = w.business_id AND r.enrollment_id = NEW.reviewer_enrollment_id
    WHERE w.business_id = NEW.business_id
      AND w.assignment_submission_id = NEW.assignment_submission_id;
    IF work.reader_id = work.learner_id OR work.is_of_group THEN
        RAISE EXCEPTION 'nobody reviews work of their own' USING ERRCODE = 'check_violation';
    ELSIF work.reader_section_id IS DISTINCT FROM work.course_section_id THEN
        RAISE EXCEPTION 'a reviewer is of the same section' USING ERRCODE = 'check_violation';
    ELSIF NEW.overall_points > work.points_possible THEN
        RAISE EXCEPTION 'the work is worth % points, not %', trim_scale(work.points_possible),
                        trim_scale(NEW.overall_points)
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.check_peer_review() IS
    'Fellow learners of a section read each other''s work, never their own nor their group''s.';

CREATE TRIGGER peer_review_by_a_fellow
    BEFORE INSERT OR UPDATE OF assignment_submission_id, reviewer_enrollment_id, overall_points
    ON courses.peer_review
    FOR EACH ROW EXECUTE FUNCTION courses.check_peer_review();

CREATE FUNCTION courses.assign_peer_reviews(
    assignment uuid,
    section    uuid,
    due_at     timestamptz,
    moment     timestamptz DEFAULT now()
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    given  integer;
BEGIN
    WITH works AS (
        SELECT w.assignment_submission_id, w.enrollment_id, a.peer_reviews_required AS turns,
               row_number() OVER (ORDER BY hashtextextended(w.enrollment_id::text, 0),
                                           w.enrollment_id) - 1 AS place,
               count(*) OVER () AS many
        FROM courses.assignment AS a
        JOIN (
            SELECT DISTINCT ON (x.enrollment_id) x.*
            FROM courses.assignment_submission AS x
            WHERE x.business_id = tenant
              AND x.assignment_id = assign_peer_reviews.assignment
              AND x.state IN ('submitted', 'late', 'graded')
            ORDER BY x.enrollment_id, x.submission_no DESC
        ) AS w ON true
        JOIN courses.enrollment AS e
            ON e.business_id = tenant AND e.enrollment_id = w.enrollment_id
           AND e.course_section_id = section
        WHERE a.business_id = tenant AND a.assignment_id = assign_peer_reviews.assignment
          AND NOT a.is_group
    )
    INSERT INTO courses.peer_review
        (business_id, assignment_submission_id, reviewer_enrollment_id, assigned_at, due_at)
    SELECT tenant, w.assignment_submission_id, r.enrollment_id, moment,
           assign_peer_reviews.due_at
    FROM works AS w
    CROSS JOIN LATERAL generate_series(1, least(w.turns, w.many - 1)) AS t (turn)
    JOIN works AS r ON r.place = (w.place + t.turn) % w.many
    ON CONFLICT (business_id, assignment_submission_id, reviewer_enrollment_id) DO NOTHING;
    GET DIAGNOSTICS given = ROW_COUNT;
    RETURN given;
END
$$;
COMMENT ON FUNCTION courses.assign_peer_reviews(uuid, uuid, timestamptz, timestamptz) IS
    'Gives what was handed in to fellow learners in a ring: each work is read as often as the task
     asks, and each learner reads as many. Returns how many reviews are new.';


CREATE TABLE courses.similarity_report (
    business_id              uuid                   NOT NULL,
    similarity_report_id     uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    assignment_submission_id uuid                   NOT NULL,
    reviewed_by uuid,
    provider                 text                   NOT NULL,
    requested_at             timestamptz            NOT NULL DEFAULT now(),
    completed_at timestamptz,
    similarity_pct system_core.percentage,
    largest_match_pct system_core.percentage,
    match_count              integer                NOT NULL DEFAULT 0,
    matches                  system_core.json_array NOT NULL DEFAULT '[]',
    ai_writing_pct system_core.percentage,
    status                   text                   NOT NULL DEFAULT 'pending',
    decision                 text                   NOT NULL DEFAULT 'none',
    decided_at timestamptz,
    created_at               timestamptz            NOT NULL DEFAULT now(),
    updated_at               timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, similarity_report_id),
    FOREIGN KEY (business_id, assignment_submission_id)
        REFERENCES courses.assignment_submission (business_id, assignment_submission_id),
    FOREIGN KEY (business_id, reviewed_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT similarity_report_status_known
        CHECK (status IN ('pending', 'ready', 'failed', 'excluded')),
    CONSTRAINT similarity_report_decision_known
        CHECK (decision IN ('none', 'cleared', 'discussed', 'referred', 'misconduct')),
    CONSTRAINT similarity_report_shares_bounded
        CHECK (similarity_pct BETWEEN 0 AND 100 AND ai_writing_pct BETWEEN 0 AND 100),
    CONSTRAINT similarity_report_match_within_all
        CHECK (largest_match_pct BETWEEN 0 AND similarity_pct),
    CONSTRAINT similarity_report_matches_counted
        CHECK (match_count = jsonb_array_length(matches)),
    CONSTRAINT similarity_report_ready_is_whole
        CHECK (status <> 'ready' OR (completed_at IS NOT NULL AND similarity_pct IS NOT NULL)),
    CONSTRAINT similarity_report_completed_after_request CHECK (completed_at >= requested_at),
    CONSTRAINT similarity_report_decided_by_a_person
        CHECK ((decision <> 'none') = (decided_at IS NOT NULL)
               AND (decision <> 'misconduct' OR reviewed_by IS NOT NULL)),
    CONSTRAINT similarity_report_decided_after_report
        CHECK (decision = 'none' OR decided_at >= completed_at)
);

COMMENT ON TABLE courses.similarity_report IS 'Originality check of a submission.';
COMMENT ON COLUMN courses.similarity_report.matches IS '[{"source", "pct"}], the largest first.';
COMMENT ON COLUMN courses.similarity_report.decision IS
    'What a person made of it; a share proves nothing by itself.';

-- FK: the reports of a work.
CREATE INDEX similarity_report_submission_idx
    ON courses.similarity_report (business_id, assignment_submission_id);

-- FK: what somebody decided.
CREATE INDEX similarity_report_reviewed_by_idx
    ON courses.similarity_report (business_id, reviewed_by)
    WHERE reviewed_by IS NOT NULL;

ALTER TABLE courses.similarity_report ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.similarity_report
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.similarity_report TO app_user;
GRANT SELECT ON courses.similarity_report TO app_readonly;

CREATE TRIGGER similarity_report_touch
    BEFORE UPDATE ON courses.similarity_report
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.rubric_score (
    business_id              uuid                 NOT NULL,
    rubric_score_id          uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    rubric_criterion_id      uuid                 NOT NULL,
    rubric_rating_id uuid,
    assignment_submission_id uuid,
    attempt_response_id uuid,
    peer_review_id uuid,
    assessor_user_account_id uuid                 NOT NULL,
    points                   system_core.quantity NOT NULL DEFAULT 0,
    comment text,
    assessed_at              timestamptz          NOT NULL DEFAULT now(),
    assessor_kind            text                 NOT NULL DEFAULT 'instructor',
    is_final                 boolean              NOT NULL DEFAULT false,
    confidence_pct system_core.percentage,
    moderation_difference system_core.quantity,
    created_at               timestamptz          NOT NULL DEFAULT now(),
    updated_at               timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, rubric_score_id),
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
    FOREIGN KEY (business_id, assessor_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT rubric_score_assessor_kind_known
        CHECK (assessor_kind IN ('instructor', 'peer', 'self', 'automatic')),
    CONSTRAINT rubric_score_of_one_work
        CHECK (num_nonnulls(assignment_submission_id, attempt_response_id) = 1),
    CONSTRAINT rubric_score_of_a_peer_is_in_a_review
        CHECK ((assessor_kind = 'peer') = (peer_review_id IS NOT NULL)
               AND (peer_review_id IS NULL OR assignment_submission_id IS NOT NULL)),
    CONSTRAINT rubric_score_final_is_no_learners
        CHECK (NOT is_final OR assessor_kind IN ('instructor', 'automatic')),
    CONSTRAINT rubric_score_points_not_negative CHECK (points >= 0),
    CONSTRAINT rubric_score_confidence_is_a_share CHECK (confidence_pct BETWEEN 0 AND 100)
);

COMMENT ON TABLE courses.rubric_score IS
    'Rating given on a criterion for a submission or response.';
COMMENT ON COLUMN courses.rubric_score.is_final IS
    'Makes the grade; the others are of peers, of the learner, or a second opinion.';
COMMENT ON COLUMN courses.rubric_score.moderation_difference IS
    'Second opinion less first, where two graders read it.';

-- One final score per criterion of a submission; also its foreign key for final ones.
CREATE UNIQUE INDEX rubric_score_final_of_submission_idx
    ON courses.rubric_score (business_id, assignment_submission_id, rubric_criterion_id)
    WHERE is_final AND assignment_submission_id IS NOT NULL;

-- And of an answer.
CREATE UNIQUE INDEX rubric_score_final_of_response_idx
    ON courses.rubric_score (business_id, attempt_response_id, rubric_criterion_id)
    WHERE is_final AND attempt_response_id IS NOT NULL;

-- FK: all that was said of a submission.
CREATE INDEX rubric_score_submission_idx
    ON courses.rubric_score (business_id, assignment_submission_id)
    WHERE assignment_submission_id IS NOT NULL;

-- FK: all that was said of an answer.
CREATE INDEX rubric_score_response_idx
    ON courses.rubric_score (business_id, attempt_response_id)
    WHERE attempt_response_id IS NOT NULL;

-- FK: how a criterion was met by all.
CREATE INDEX rubric_score_criterion_idx
    ON courses.rubric_score (business_id, rubric_criterion_id);

-- FK: how often a level was given.
CREATE INDEX rubric_score_rating_idx
    ON courses.rubric_score (business_id, rubric_rating_id)
    WHERE rubric_rating_id IS NOT NULL;

-- FK: the scores of a peer review.
CREATE INDEX rubric_score_peer_review_idx
    ON courses.rubric_score (business_id, peer_review_id)
    WHERE peer_review_id IS NOT NULL;

-- FK: how strictly somebody judges.
CREATE INDEX rubric_score_assessor_idx
    ON courses.rubric_score (business_id, assessor_user_account_id);

ALTER TABLE courses.rubric_score ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.rubric_score
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.rubric_score TO app_user;
GRANT SELECT ON courses.rubric_score TO app_readonly;

CREATE TRIGGER rubric_score_touch
    BEFORE UPDATE ON courses.rubric_score
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION courses.check_rubric_score() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    by_rule record;
BEGIN
    SELECT c.rubric_id, c.description, c.max_points, l.rubric_rating_id, l.label, l.points,
           coalesce(l.range_minimum, l.points) AS fewest, r.scoring, a.rubric_id AS asked,
           v.assignment_submission_id AS reviewed
    INTO by_rule
    FROM courses.rubric_criterion AS c
    JOIN courses.rubric AS r ON r.business_id = c.business_id AND r.rubric_id = c.rubric_id
    LEFT JOIN courses.rubric_rating AS l
        ON l.business_id = c.business_id AND l.rubric_criterion_id = c.rubric_criterion_id
       AND l.rubric_rating_id = ANY (ARRAY[NEW.rubric_rating_id])
    LEFT JOIN courses.assignment_submission AS w
        ON w.business_id = c.business_id
       AND w.assignment_submission_id = ANY (ARRAY[NEW.assignment_submission_id])
    LEFT JOIN courses.assignment AS a
        ON a.business_id = c.business_id AND a.assignment_id = w.assignment_id
    LEFT JOIN courses.peer_review AS v
        ON v.business_id = c.business_id
       AND v.peer_review_id = ANY (ARRAY[NEW.peer_review_id])
    WHERE c.business_id = NEW.business_id AND c.rubric_criterion_id = NEW.rubric_criterion_id;
    IF NEW.assignment_submission_id IS NOT NULL
       AND by_rule.asked IS DISTINCT FROM by_rule.rubric_id THEN
        RAISE EXCEPTION 'criterion % is not in the rubric of this assignment', by_rule.description
            USING ERRCODE = 'check_violation';
    ELSIF NEW.rubric_rating_id IS NOT NULL AND by_rule.rubric_rating_id IS NULL THEN
        RAISE EXCEPTION 'the level is of another criterion than %', by_rule.description
            USING ERRCODE = 'check_violation';
    ELSIF by_rule.reviewed <> NEW.assignment_submission_id THEN
        RAISE EXCEPTION 'the peer review is of another work' USING ERRCODE = 'check_violation';
    ELSIF NEW.points > by_rule.max_points THEN
        RAISE EXCEPTION 'criterion % gives at most % points, not %', by_rule.description,
                        trim_scale(by_rule.max_points), trim_scale(NEW.points)
            USING ERRCODE = 'check_violation';
    ELSIF by_rule.rubric_rating_id IS NOT NULL AND by_rule.scoring <> 'levels_only'
          AND NEW.points NOT BETWEEN by_rule.fewest AND by_rule.points THEN
        RAISE EXCEPTION 'level % gives % to % points, not %', by_rule.label,
                        trim_scale(by_rule.fewest), trim_scale(by_rule.points),
                        trim_scale(NEW.points)
            USING ERRCODE = 'check_violation';
    END IF;
    -- The first use locks the rubric.
    UPDATE courses.rubric AS r
    SET is_locked = true
    WHERE r.business_id = NEW.business_id AND r.rubric_id = by_rule.rubric_id AND NOT r.is_locked;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.check_rubric_score() IS
    'A score is on a criterion of the rubric that the task names, within its level, and from then on
     the rubric stays as it is.';

CREATE TRIGGER rubric_score_within_level
    BEFORE INSERT OR UPDATE ON courses.rubric_score
    FOR EACH ROW EXECUTE FUNCTION courses.check_rubric_score();

CREATE FUNCTION courses.rubric_share(work uuid) RETURNS numeric
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE min(r.scoring)
               WHEN 'levels_only' THEN NULL
               WHEN 'percentage' THEN sum(s.points / nullif(c.max_points, 0)
                                          * coalesce(c.weight_pct, t.even))
                                      / nullif(max(t.weights), 0)
               ELSE sum(s.points) / nullif(max(r.total_points), 0) END
    FROM courses.rubric_score AS s
    JOIN courses.rubric_criterion AS c
        ON c.business_id = s.business_id AND c.rubric_criterion_id = s.rubric_criterion_id
       AND NOT c.ignore_for_scoring
    JOIN courses.rubric AS r ON r.business_id = c.business_id AND r.rubric_id = c.rubric_id
    CROSS JOIN LATERAL (
        SELECT 100.0 / count(*) AS even, sum(coalesce(x.weight_pct, 100.0 / y.many)) AS weights
        FROM courses.rubric_criterion AS x
        CROSS JOIN LATERAL (
            SELECT count(*) AS many
            FROM courses.rubric_criterion AS z
            WHERE z.business_id = r.business_id AND z.rubric_id = r.rubric_id
              AND NOT z.ignore_for_scoring
        ) AS y
        WHERE x.business_id = r.business_id AND x.rubric_id = r.rubric_id
          AND NOT x.ignore_for_scoring
    ) AS t
    WHERE s.business_id = tenant_mgmt.current_business_id() AND s.is_final
      AND (s.assignment_submission_id = work OR s.attempt_response_id = work);
END;
COMMENT ON FUNCTION courses.rubric_share(uuid) IS
    'What part of all there is the final scores of a submission or answer give, 0 to 1; NULL where
     nobody scored it or the rubric gives no points.';

CREATE FUNCTION courses.rubric_points(submission uuid) RETURNS numeric
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT round(a.points_possible * courses.rubric_share(w.assignment_submission_id), 4)
    FROM courses.assignment_submission AS w
    JOIN courses.assignment AS a
        ON a.business_id = w.business_id AND a.assignment_id = w.assignment_id
    WHERE w.business_id = tenant_mgmt.current_business_id()
      AND w.assignment_submission_id = submission;
END;
COMMENT ON FUNCTION courses.rubric_points(uuid) IS
    'The points of a submission by its final rubric scores: their sum, where the task is worth as
     much as its rubric, else in proportion.';

CREATE FUNCTION courses.follow_rubric_scores() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    tenant uuid;
    answer record;
BEGIN
    IF NOT row_security_active('courses.rubric_score')
       OR NOT EXISTS (SELECT FROM changed) THEN
        RETURN NULL;
    END IF;
    tenant := tenant_mgmt.current_business_id();
    -- Two graders of a work wait for each other: the sum has the scores of both.
    PERFORM w.assignment_submission_id
    FROM courses.assignment_submission AS w
    WHERE w.business_id = tenant
      AND w.assignment_submission_id IN (SELECT c.assignment_submission_id FROM changed AS c)
    ORDER BY w.assignment_submission_id
    FOR NO KEY UPDATE;
    UPDATE courses.assignment_submission AS w
    SET raw_points = n.points
    FROM (
        SELECT k.assignment_submission_id, courses.rubric_points(k.assignment_submission_id)
                   AS points
        FROM (SELECT DISTINCT c.assignment_submission_id FROM changed AS c) AS k
    ) AS n
    WHERE w.business_id = tenant AND w.assignment_submission_id = n.assignment_submission_id
      AND n.points IS NOT NULL AND w.raw_points IS DISTINCT FROM n.points;
    FOR answer IN
        SELECT c.attempt_response_id, courses.rubric_share(c.attempt_response_id) AS share,
               (array_agg(c.assessor_user_account_id ORDER BY c.assessed_at DESC))[1] AS grader
        FROM changed AS c
        WHERE c.attempt_response_id IS NOT NULL AND c.is_final
        GROUP BY c.attempt_response_id
        HAVING NOT EXISTS (
            SELECT FROM courses.rubric_criterion AS x
            WHERE x.business_id = tenant AND x.is_required
              AND x.rubric_id IN (
                  SELECT y.rubric_id FROM courses.rubric_criterion AS y
                  WHERE y.business_id = tenant
                    AND y.rubric_criterion_id = ANY (array_agg(c.rubric_criterion_id)))
              AND NOT EXISTS (SELECT FROM courses.rubric_score AS s
                              WHERE s.business_id = tenant AND s.is_final
                                AND s.attempt_response_id = c.attempt_response_id
                                AND s.rubric_criterion_id = x.rubric_criterion_id))
    LOOP
        PERFORM courses.grade_response(r.attempt_response_id, round(answer.share * r.max_points, 4),
                                       answer.grader)
        FROM courses.attempt_response AS r
        WHERE r.business_id = tenant AND r.attempt_response_id = answer.attempt_response_id
          AND answer.share IS NOT NULL;
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.follow_rubric_scores() IS
    'The points of a work are those of its final scores; an answer whose required criteria are all
     scored is graded.';

CREATE TRIGGER rubric_score_summed
    AFTER INSERT ON courses.rubric_score
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.follow_rubric_scores();

CREATE TRIGGER rubric_score_summed_anew
    AFTER UPDATE ON courses.rubric_score
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.follow_rubric_scores();

CREATE TRIGGER rubric_score_summed_less
    AFTER DELETE ON courses.rubric_score
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.follow_rubric_scores();

CREATE FUNCTION courses.observe_rubric_score() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    INSERT INTO courses.outcome_mastery AS m
        (business_id, learner_id, learning_outcome_id, course_section_id, evidence)
    SELECT NEW.business_id, e.learner_id, c.learning_outcome_id, e.course_section_id,
           jsonb_build_array(jsonb_build_object(
               'source', 'rubric', 'id', NEW.rubric_score_id,
               'pct', round(100 * NEW.points / c.max_points, 2),
               'at', to_char(NEW.assessed_at AT TIME ZONE 'UTC',
                             'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')))
    FROM courses.rubric_criterion AS c
    LEFT JOIN courses.assignment_submission AS w
        ON w.business_id = c.business_id
       AND w.assignment_submission_id = ANY (ARRAY[NEW.assignment_submission_id])
    LEFT JOIN courses.attempt_response AS r
        ON r.business_id = c.business_id
       AND r.attempt_response_id = ANY (ARRAY[NEW.attempt_response_id])
    LEFT JOIN courses.assessment_attempt AS a
        ON a.business_id = c.business_id AND a.assessment_attempt_id = r.assessment_attempt_id
    JOIN courses.enrollment AS e
        ON e.business_id = c.business_id
       AND e.enrollment_id = coalesce(w.enrollment_id, a.enrollment_id)
    WHERE c.business_id = NEW.business_id AND c.rubric_criterion_id = NEW.rubric_criterion_id
      AND c.learning_outcome_id IS NOT NULL AND c.max_points > 0
    ON CONFLICT (business_id, learner_id, learning_outcome_id, course_section_id)
    DO UPDATE SET evidence = courses.evidence_with(m.evidence, excluded.evidence)
    WHERE m.business_id = excluded.business_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.observe_rubric_score() IS
    'A final score on a criterion is evidence of its outcome, or replaces what it said before.';

CREATE TRIGGER rubric_score_observed
    AFTER INSERT OR UPDATE OF points, is_final ON courses.rubric_score
    FOR EACH ROW WHEN (NEW.is_final)
    EXECUTE FUNCTION courses.observe_rubric_score();


CREATE FUNCTION courses.rubric_differences()
    RETURNS TABLE (thing text, id uuid, said numeric, found numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'rubric', r.rubric_id, r.total_points, coalesce(sum(c.max_points), 0)
    FROM courses.rubric AS r
    LEFT JOIN courses.rubric_criterion AS c
        ON c.business_id = r.business_id AND c.rubric_id = r.rubric_id AND NOT c.ignore_for_scoring
    WHERE r.business_id = tenant_mgmt.current_business_id()
    GROUP BY r.rubric_id, r.total_points
    HAVING r.total_points <> coalesce(sum(c.max_points), 0)
    UNION ALL
    SELECT 'submission', w.assignment_submission_id, w.raw_points, p.points
    FROM courses.assignment_submission AS w
    CROSS JOIN LATERAL (
        SELECT courses.rubric_points(w.assignment_submission_id) AS points
    ) AS p
    WHERE w.business_id = tenant_mgmt.current_business_id() AND w.state = 'graded'
      AND w.raw_points <> p.points;
END;
COMMENT ON FUNCTION courses.rubric_differences() IS
    'Proves the rubrics: those that are not worth the sum of their criteria, and graded work that is
     not worth its final scores.';
