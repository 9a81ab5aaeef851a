/*
 * Attempts: a learner's try at an assessment, from the draw of its questions to its statistics.
 *
 * courses.start_attempt() (44_lesson_flow.sql) opens an assessment_attempt under the terms of the
 * learner and draws its questions by a seed that is kept, so that the draw can be repeated
 * (courses.draw_questions). Each question drawn is an attempt_response, which is saved as often as
 * the learner likes until the attempt is submitted, and then only graded. courses.grade_attempt()
 * scores what a machine can and leaves the rest to people; the attempt's score is that of its
 * responses at any time (courses.attempt_differences). A proctoring_session watches an attempt, a
 * proctoring_flag is a moment in it that looked wrong. courses.item_statistics() writes the
 * question_statistics that tell a good question from a broken one.
 */

CREATE TABLE courses.assessment_attempt (
    business_id           uuid                   NOT NULL,
    assessment_attempt_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    assessment_id         uuid                   NOT NULL,
    enrollment_id         uuid                   NOT NULL,
    attempt_no            integer                NOT NULL DEFAULT 1,
    state                 text                   NOT NULL DEFAULT 'in_progress',
    started_at            timestamptz            NOT NULL DEFAULT now(),
    due_at                timestamptz,
    submitted_at          timestamptz,
    graded_at             timestamptz,
    time_spent_seconds    integer                GENERATED ALWAYS AS (
        floor(extract(epoch FROM submitted_at - started_at))::integer) STORED,
    score                 system_core.score,
    score_pct             system_core.percentage,
    passed                boolean,
    draw_seed             bigint                 NOT NULL DEFAULT 0,
    question_order        system_core.json_array NOT NULL DEFAULT '[]',
    client_ip             inet,
    autosubmitted         boolean                NOT NULL DEFAULT false,
    void_reason           text,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, assessment_attempt_id),
    UNIQUE (business_id, assessment_id, enrollment_id, attempt_no),
    FOREIGN KEY (business_id, assessment_id)
        REFERENCES courses.assessment (business_id, assessment_id),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    CONSTRAINT assessment_attempt_state_known
        CHECK (state IN ('in_progress', 'overdue', 'submitted', 'graded', 'abandoned', 'voided')),
    CONSTRAINT assessment_attempt_counts_from_1 CHECK (attempt_no >= 1),
    CONSTRAINT assessment_attempt_due_after_start CHECK (due_at > started_at),
    CONSTRAINT assessment_attempt_submitted_after_start CHECK (submitted_at >= started_at),
    CONSTRAINT assessment_attempt_graded_after_submission CHECK (graded_at >= submitted_at),
    CONSTRAINT assessment_attempt_submitted_has_time
        CHECK (CASE WHEN state IN ('submitted', 'graded') THEN submitted_at IS NOT NULL
                    WHEN state IN ('in_progress', 'overdue', 'abandoned')
                        THEN submitted_at IS NULL
                    ELSE true END),
    CONSTRAINT assessment_attempt_graded_is_whole
        CHECK (state <> 'graded' OR (graded_at IS NOT NULL AND score_pct IS NOT NULL
                                     AND passed IS NOT NULL)),
    CONSTRAINT assessment_attempt_passed_is_judged
        CHECK (passed IS NULL OR state IN ('graded', 'voided')),
    CONSTRAINT assessment_attempt_score_not_negative CHECK (score >= 0),
    CONSTRAINT assessment_attempt_score_pct_bounded CHECK (score_pct BETWEEN 0 AND 100),
    CONSTRAINT assessment_attempt_voided_says_why
        CHECK (state <> 'voided' OR coalesce(void_reason, '') ~ '\S')
);

COMMENT ON TABLE courses.assessment_attempt IS 'A learner''s try at an assessment.';
COMMENT ON COLUMN courses.assessment_attempt.due_at IS
    'The end of the time limit or of the window, whichever is first; NULL: neither is there.';
COMMENT ON COLUMN courses.assessment_attempt.score IS
    'Sum of the points of its responses so far, not below zero; kept by a trigger.';
COMMENT ON COLUMN courses.assessment_attempt.draw_seed IS
    'Where the draw of its questions started: courses.draw_questions() repeats it.';
COMMENT ON COLUMN courses.assessment_attempt.question_order IS
    'As asked: [{"slot", "sequence", "question"}].';
COMMENT ON COLUMN courses.assessment_attempt.autosubmitted IS
    'Handed in by the clock, not by the learner.';

-- A learner has one attempt at an assessment open at a time.
CREATE UNIQUE INDEX assessment_attempt_open_idx
    ON courses.assessment_attempt (business_id, assessment_id, enrollment_id)
    WHERE state IN ('in_progress', 'overdue');

-- FK: the attempts in an enrollment.
CREATE INDEX assessment_attempt_enrollment_idx
    ON courses.assessment_attempt (business_id, enrollment_id, started_at);

-- What the clock is to hand in: courses.close_overdue_attempts().
CREATE INDEX assessment_attempt_due_idx
    ON courses.assessment_attempt (business_id, due_at)
    WHERE state IN ('in_progress', 'overdue');

-- What item statistics of a window read.
CREATE INDEX assessment_attempt_submitted_idx
    ON courses.assessment_attempt (business_id, assessment_id, submitted_at)
    WHERE state = 'graded';

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

CREATE FUNCTION courses.last_attempt(
    assessment uuid, enrollment uuid, OUT tried integer, OUT last_at timestamptz
)
    LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
BEGIN
    -- From the end of the index: an attempt begins when the one before is over, so the last that
    -- was handed in is the latest. Who practises every day has hundreds.
    tried := (
        SELECT a.attempt_no
        FROM courses.assessment_attempt AS a
        WHERE a.business_id = tenant AND a.assessment_id = assessment
          AND a.enrollment_id = enrollment
        ORDER BY a.attempt_no DESC
        LIMIT 1);
    last_at := (
        SELECT a.submitted_at
        FROM courses.assessment_attempt AS a
        WHERE a.business_id = tenant AND a.assessment_id = assessment
          AND a.enrollment_id = enrollment AND a.submitted_at IS NOT NULL
        ORDER BY a.attempt_no DESC
        LIMIT 1);
END
$$;
COMMENT ON FUNCTION courses.last_attempt(uuid, uuid) IS
    'How often a learner tried an assessment and when an attempt was handed in last.';

CREATE FUNCTION courses.admit_attempt() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    terms  record;
    quiz   record;
    before record;
BEGIN
    SELECT t.* INTO terms
    FROM courses.attempt_terms(NEW.assessment_id, NEW.enrollment_id, NEW.started_at) AS t;
    IF NEW.attempt_no > terms.max_attempts THEN
        RAISE EXCEPTION 'attempt % of % that are allowed', NEW.attempt_no, terms.max_attempts
            USING ERRCODE = 'check_violation', HINT = 'A teacher may grant more by an override.';
    END IF;
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    SELECT a.course_id, a.title, a.delay_between_attempts_minutes * interval '1 minute' AS delay,
           s.course_id AS taught, e.status
    INTO quiz
    FROM courses.assessment AS a
    JOIN courses.enrollment AS e
        ON e.business_id = a.business_id AND e.enrollment_id = NEW.enrollment_id
    LEFT JOIN courses.course_section AS s
        ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
    WHERE a.business_id = NEW.business_id AND a.assessment_id = NEW.assessment_id;
    SELECT l.* INTO before
    FROM courses.last_attempt(NEW.assessment_id, NEW.enrollment_id) AS l;
    IF quiz.taught <> quiz.course_id THEN
        RAISE EXCEPTION '"%" is an assessment of another course', quiz.title
            USING ERRCODE = 'check_violation';
    ELSIF quiz.status NOT IN ('active', 'failed', 'audit') THEN
        RAISE EXCEPTION 'an enrollment that is % takes no assessment', quiz.status
            USING ERRCODE = 'check_violation';
    ELSIF NEW.started_at < terms.opens_at OR NEW.started_at >= terms.closes_at THEN
        RAISE EXCEPTION '"%" is open from % to %', quiz.title, terms.opens_at, terms.closes_at
            USING ERRCODE = 'check_violation';
    ELSIF NEW.attempt_no <> coalesce(before.tried, 0) + 1 THEN
        RAISE EXCEPTION 'the next attempt at "%" is number %', quiz.title,
                        coalesce(before.tried, 0) + 1
            USING ERRCODE = 'check_violation';
    ELSIF NEW.started_at < before.last_at + quiz.delay THEN
        RAISE EXCEPTION '"%" can be tried again at %', quiz.title, before.last_at + quiz.delay
            USING ERRCODE = 'check_violation';
    END IF;
    NEW.due_at := least(NEW.started_at + terms.time_limit_minutes * interval '1 minute',
                        terms.closes_at);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.admit_attempt() IS
    'An attempt is made while the window is open for the learner, in turn, no more often than
     allowed and not sooner than the delay; it is due when the learner''s time or the window ends.
     How many there may be holds for imported history too.';

CREATE TRIGGER assessment_attempt_admitted
    BEFORE INSERT ON courses.assessment_attempt
    FOR EACH ROW EXECUTE FUNCTION courses.admit_attempt();


CREATE FUNCTION courses.draw_questions(assessment uuid, seed bigint)
    RETURNS TABLE (asked_no integer, assessment_slot_id uuid, slot_no integer, page_no integer,
                   sequence_no integer, question_id uuid, max_points numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH pool AS (
        SELECT s.assessment_slot_id, s.slot_no, s.page_no, s.max_points, s.question_id,
               coalesce(s.draw_count, 1) AS wanted, 1 AS place
        FROM courses.assessment_slot AS s
        WHERE s.business_id = tenant_mgmt.current_business_id()
          AND s.assessment_id = draw_questions.assessment AND s.question_id IS NOT NULL
        UNION ALL
        SELECT s.assessment_slot_id, s.slot_no, s.page_no, s.max_points, q.question_id,
               s.draw_count, row_number() OVER (
                   PARTITION BY s.assessment_slot_id
                   ORDER BY hashtextextended(q.question_id::text, draw_questions.seed),
                            q.question_id)
        FROM courses.assessment_slot AS s
        JOIN courses.question AS q
            ON q.business_id = s.business_id AND q.question_bank_id = s.draw_from_bank_id
           AND q.status = 'live'
        LEFT JOIN courses.learning_outcome AS o
            ON o.business_id = q.business_id AND o.learning_outcome_id = q.learning_outcome_id
        WHERE s.business_id = tenant_mgmt.current_business_id()
          AND s.assessment_id = draw_questions.assessment
          AND (s.draw_tags = '{}' OR o.code = ANY (s.draw_tags))
          AND NOT EXISTS (
              SELECT
              FROM courses.assessment_slot AS f
              WHERE f.business_id = s.business_id AND f.assessment_id = s.assessment_id
                AND f.question_id = q.question_id)
    ), drawn AS (
        -- Two slots may draw from one bank: a question is asked once, by the first.
        SELECT DISTINCT ON (p.question_id) p.*
        FROM pool AS p
        WHERE p.place <= p.wanted
        ORDER BY p.question_id, p.slot_no
    )
    SELECT row_number() OVER (
               ORDER BY d.page_no,
                        CASE WHEN a.shuffle_questions
                             THEN hashtextextended(d.question_id::text, draw_questions.seed + 1)
                             END,
                        d.slot_no, d.place)::integer,
           d.assessment_slot_id, d.slot_no, d.page_no, d.place::integer, d.question_id,
           d.max_points
    FROM drawn AS d
    CROSS JOIN courses.assessment AS a
    WHERE a.business_id = tenant_mgmt.current_business_id()
      AND a.assessment_id = draw_questions.assessment
    ORDER BY 1;
END;
COMMENT ON FUNCTION courses.draw_questions(uuid, bigint) IS
    'The questions of an assessment in the order in which they are asked: fixed ones, and of a bank
     those that come first by a hash of the question and the seed. The same seed draws the same
     questions of the same bank.';


CREATE FUNCTION courses.is_response(response jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN coalesce(jsonb_typeof(response -> 'parts'), 'none') = 'array'
           AND jsonb_array_length(response -> 'parts') <= 100
           AND NOT jsonb_path_exists(response, '$.parts[*] ? (@.type() <> "object")')
           AND NOT jsonb_path_exists(response, '$.parts[*].keyvalue() ? (!(@.key == "option"
               || @.key == "text" || @.key == "number" || @.key == "order" || @.key == "x"
               || @.key == "y"))');
COMMENT ON FUNCTION courses.is_response(jsonb) IS
    'Whether a document is an answer: {"parts": [{…}]}, a part naming an option that was chosen, the
     text or number that was entered, both for a pair or a blank, the place of an item in an order,
     or the x and y of a spot.';


CREATE TABLE courses.attempt_response (
    business_id           uuid                 NOT NULL,
    attempt_response_id   uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    assessment_attempt_id uuid                 NOT NULL,
    question_id           uuid                 NOT NULL,
    assessment_slot_id    uuid                 NOT NULL,
    graded_by             uuid,
    sequence_no           integer              NOT NULL DEFAULT 1,
    response              system_core.json_object,
    response_text         text                 GENERATED ALWAYS AS (
        response #>> '{parts,0,text}') STORED,
    is_correct            boolean,
    points_awarded        system_core.quantity,
    max_points            system_core.quantity NOT NULL DEFAULT 1,
    first_answered_at     timestamptz,
    last_saved_at         timestamptz,
    time_spent_seconds    integer              NOT NULL DEFAULT 0,
    change_count          integer              NOT NULL DEFAULT 0,
    is_flagged            boolean              NOT NULL DEFAULT false,
    grader_comment        text,
    needs_manual_grading  boolean              NOT NULL DEFAULT false,
    created_at            timestamptz          NOT NULL DEFAULT now(),
    updated_at            timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, attempt_response_id),
    UNIQUE (business_id, assessment_attempt_id, assessment_slot_id, sequence_no),
    FOREIGN KEY (business_id, assessment_attempt_id)
        REFERENCES courses.assessment_attempt (business_id, assessment_attempt_id),
    FOREIGN KEY (business_id, question_id) REFERENCES courses.question (business_id, question_id),
    FOREIGN KEY (business_id, assessment_slot_id)
        REFERENCES courses.assessment_slot (business_id, assessment_slot_id),
    FOREIGN KEY (business_id, graded_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT attempt_response_is_answer CHECK (courses.is_response(response)),
    CONSTRAINT attempt_response_points_at_most_maximum
        CHECK (points_awarded BETWEEN -max_points AND max_points),
    CONSTRAINT attempt_response_maximum_not_negative CHECK (max_points >= 0),
    CONSTRAINT attempt_response_changes_not_negative CHECK (change_count >= 0),
    CONSTRAINT attempt_response_time_not_negative CHECK (time_spent_seconds >= 0),
    CONSTRAINT attempt_response_answered_has_time
        CHECK (response IS NULL OR (first_answered_at IS NOT NULL AND last_saved_at IS NOT NULL)),
    CONSTRAINT attempt_response_saved_after_first CHECK (last_saved_at >= first_answered_at),
    CONSTRAINT attempt_response_waiting_has_no_points
        CHECK (NOT needs_manual_grading OR points_awarded IS NULL),
    CONSTRAINT attempt_response_correct_is_judged
        CHECK (is_correct IS NULL OR points_awarded IS NOT NULL),
    CONSTRAINT attempt_response_sequence_counts_from_1 CHECK (sequence_no >= 1)
);

COMMENT ON TABLE courses.attempt_response IS 'Answer to one question in an attempt, with score.';
COMMENT ON COLUMN courses.attempt_response.sequence_no IS
    'Which of the questions that its slot drew.';
COMMENT ON COLUMN courses.attempt_response.response IS
    'See courses.is_response(); NULL: left out.';
COMMENT ON COLUMN courses.attempt_response.response_text IS 'What a grader of an essay reads.';

-- FK: how a question was answered.
CREATE INDEX attempt_response_question_idx
    ON courses.attempt_response (business_id, question_id);

-- FK: how a slot was answered.
CREATE INDEX attempt_response_assessment_slot_idx
    ON courses.attempt_response (business_id, assessment_slot_id);

-- FK: what somebody graded.
CREATE INDEX attempt_response_graded_by_idx
    ON courses.attempt_response (business_id, graded_by)
    WHERE graded_by IS NOT NULL;

-- What waits for a grader.
CREATE INDEX attempt_response_to_grade_idx
    ON courses.attempt_response (business_id, last_saved_at)
    WHERE needs_manual_grading;

ALTER TABLE courses.attempt_response ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.attempt_response
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.attempt_response TO app_user;
GRANT SELECT ON courses.attempt_response TO app_readonly;

CREATE TRIGGER attempt_response_touch
    BEFORE UPDATE ON courses.attempt_response
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION courses.freeze_response() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    try record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    -- FOR SHARE: what is saved while the attempt is handed in is in it, or refused.
    SELECT a.state, a.due_at, a.question_order INTO try
    FROM courses.assessment_attempt AS a
    WHERE a.business_id = NEW.business_id
      AND a.assessment_attempt_id = NEW.assessment_attempt_id
    FOR SHARE;
    IF try.state <> 'in_progress' THEN
        RAISE EXCEPTION 'the attempt is %: its answers do not change', try.state
            USING ERRCODE = 'check_violation', HINT = 'Only grades do.';
    ELSIF NEW.last_saved_at > try.due_at THEN
        RAISE EXCEPTION 'the time of this attempt ended at %', try.due_at
            USING ERRCODE = 'check_violation';
    ELSIF TG_OP = 'INSERT' AND NOT jsonb_path_exists(
        try.question_order, '$[*] ? (@.question == $asked)',
        jsonb_build_object('asked', NEW.question_id))
    THEN
        RAISE EXCEPTION 'this attempt does not ask question %', NEW.question_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.freeze_response() IS
    'Answers are given while the attempt runs, to the questions that it drew; afterwards only what a
     grader writes changes.';

CREATE TRIGGER attempt_response_in_time
    BEFORE INSERT ON courses.attempt_response
    FOR EACH ROW EXECUTE FUNCTION courses.freeze_response();

CREATE TRIGGER attempt_response_frozen
    BEFORE UPDATE ON courses.attempt_response
    FOR EACH ROW WHEN (
        (NEW.assessment_attempt_id, NEW.question_id, NEW.assessment_slot_id, NEW.sequence_no,
         NEW.response::jsonb, NEW.max_points, NEW.first_answered_at, NEW.last_saved_at,
         NEW.time_spent_seconds, NEW.change_count)
        IS DISTINCT FROM
        (OLD.assessment_attempt_id, OLD.question_id, OLD.assessment_slot_id, OLD.sequence_no,
         OLD.response::jsonb, OLD.max_points, OLD.first_answered_at, OLD.last_saved_at,
         OLD.time_spent_seconds, OLD.change_count))
    EXECUTE FUNCTION courses.freeze_response();

CREATE FUNCTION courses.attempt_totals(attempts uuid[])
    RETURNS TABLE (assessment_attempt_id uuid, score numeric, score_pct numeric, to_grade bigint)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT r.assessment_attempt_id,
           CASE WHEN count(r.points_awarded) > 0 THEN greatest(sum(r.points_awarded), 0) END,
           CASE WHEN count(r.points_awarded) > 0
                 AND sum(r.max_points) FILTER (WHERE NOT s.is_extra_credit) > 0
                THEN round(least(greatest(
                    100 * sum(r.points_awarded * s.weight)
                    / sum(r.max_points * s.weight) FILTER (WHERE NOT s.is_extra_credit),
                    0), 100), 4) END,
           count(*) FILTER (WHERE r.needs_manual_grading)
    FROM courses.attempt_response AS r
    JOIN courses.assessment_slot AS s
        ON s.business_id = r.business_id AND s.assessment_slot_id = r.assessment_slot_id
    WHERE r.business_id = tenant_mgmt.current_business_id()
      AND r.assessment_attempt_id = ANY (attempts)
    GROUP BY r.assessment_attempt_id;
END;
COMMENT ON FUNCTION courses.attempt_totals(uuid[]) IS
    'Points and weighted percentage of attempts by their responses: extra credit adds points and
     asks for none; neither goes below zero nor the percentage above 100. NULL: nothing is scored
     yet.';

CREATE FUNCTION courses.keep_attempt_score() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    touched uuid[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(DISTINCT c.assessment_attempt_id) INTO touched
        FROM changed AS c
        WHERE c.points_awarded IS NOT NULL;
    ELSE
        SELECT array_agg(DISTINCT c.assessment_attempt_id) INTO touched
        FROM changed AS c
        JOIN former AS f
            ON f.business_id = c.business_id AND f.attempt_response_id = c.attempt_response_id
           AND (f.points_awarded, f.max_points) IS DISTINCT FROM (c.points_awarded, c.max_points);
    END IF;
    IF touched IS NULL THEN
        RETURN NULL;
    END IF;
    UPDATE courses.assessment_attempt AS a
    SET score = t.score, score_pct = t.score_pct,
        passed = CASE WHEN a.state = 'graded' THEN t.score_pct >= q.passing_pct ELSE a.passed END
    FROM courses.attempt_totals(touched) AS t,
         courses.assessment AS q
    WHERE a.business_id = tenant_mgmt.current_business_id()
      AND a.assessment_attempt_id = t.assessment_attempt_id
      AND q.business_id = a.business_id AND q.assessment_id = a.assessment_id
      AND (a.score, a.score_pct) IS DISTINCT FROM (t.score, t.score_pct);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.keep_attempt_score() IS
    'An attempt''s score is that of its responses, also when one is graded anew later.';

CREATE TRIGGER attempt_response_scored
    AFTER INSERT ON courses.attempt_response
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.keep_attempt_score();

CREATE TRIGGER attempt_response_scored_anew
    AFTER UPDATE ON courses.attempt_response
    REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.keep_attempt_score();

CREATE FUNCTION courses.attempt_differences()
    RETURNS TABLE (assessment_attempt_id uuid, said numeric, found numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT a.assessment_attempt_id, a.score_pct, t.score_pct
    FROM courses.assessment_attempt AS a
    LEFT JOIN courses.attempt_totals(ARRAY(
        SELECT x.assessment_attempt_id
        FROM courses.assessment_attempt AS x
        WHERE x.business_id = tenant_mgmt.current_business_id())) AS t
        ON t.assessment_attempt_id = a.assessment_attempt_id
    WHERE a.business_id = tenant_mgmt.current_business_id()
      AND (a.score, a.score_pct) IS DISTINCT FROM (t.score, t.score_pct)
      AND (a.score IS NOT NULL OR t.score IS NOT NULL);
END;
COMMENT ON FUNCTION courses.attempt_differences() IS
    'Proves the attempts: those whose score is not that of their responses.';


CREATE FUNCTION courses.score_responses(attempt uuid)
    RETURNS TABLE (attempt_response_id uuid, share numeric, by_hand boolean)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH answered AS (
        SELECT r.business_id, r.attempt_response_id, r.question_id, r.response::jsonb AS response,
               q.question_kind, q.scoring, q.penalty_pct, q.interaction::jsonb AS interaction
        FROM courses.attempt_response AS r
        JOIN courses.question AS q
            ON q.business_id = r.business_id AND q.question_id = r.question_id
        WHERE r.business_id = tenant_mgmt.current_business_id()
          AND r.assessment_attempt_id = attempt
    ), parts AS (
        SELECT a.attempt_response_id, j.option_id, btrim(lower(j.entered)) AS entered, j.number,
               j.place, j.x, j.y
        FROM answered AS a
        CROSS JOIN JSON_TABLE(a.response, '$.parts[*]' COLUMNS (
            option_id uuid    PATH '$.option',
            entered   text    PATH '$.text',
            number    numeric PATH '$.number',
            place     integer PATH '$.order',
            x         numeric PATH '$.x',
            y         numeric PATH '$.y')) AS j
    ), options AS (
        SELECT a.attempt_response_id, a.question_kind, o.answer_option_id, o.is_correct,
               o.credit_pct, o.match_text, o.numeric_value, o.tolerance,
               string_to_array(lower(o.option_text), '|') AS accepted,
               row_number() OVER (PARTITION BY a.attempt_response_id ORDER BY o.sort_order)
                   AS place
        FROM answered AS a
        JOIN courses.answer_option AS o
            ON o.business_id = a.business_id AND o.question_id = a.question_id
    ), judged AS (
        -- Per option: whether the answer has it, and whether that is right.
        SELECT o.*, h.is_chosen,
               CASE o.question_kind
                   WHEN 'matching' THEN h.has_match
                   WHEN 'ordering' THEN h.has_place
                   WHEN 'fill_blank' THEN h.has_text
                   WHEN 'short_answer' THEN h.is_accepted
                   WHEN 'numeric' THEN h.is_near
                   ELSE h.is_chosen = o.is_correct END AS is_right
        FROM options AS o
        CROSS JOIN LATERAL (
            SELECT coalesce(bool_or(p.option_id = o.answer_option_id), false) AS is_chosen,
                   coalesce(bool_or(p.option_id = o.answer_option_id
                                    AND p.entered = lower(o.match_text)), false) AS has_match,
                   coalesce(bool_or(p.option_id = o.answer_option_id AND p.place = o.place),
                            false) AS has_place,
                   coalesce(bool_or(p.option_id = o.answer_option_id
                                    AND p.entered = ANY (o.accepted)), false) AS has_text,
                   coalesce(bool_or(p.entered = ANY (o.accepted)), false) AS is_accepted,
                   coalesce(bool_or(abs(p.number - o.numeric_value) <= o.tolerance), false)
                       AS is_near
            FROM parts AS p
            WHERE p.attempt_response_id = o.attempt_response_id
        ) AS h
    ), summed AS (
        SELECT j.attempt_response_id,
               avg(j.is_right::integer) AS right_share,
               bool_and(j.is_right) AS is_all_right,
               coalesce(sum(j.credit_pct) FILTER (WHERE j.is_chosen), 0) / 100 AS chosen_credit,
               coalesce(max(j.credit_pct) FILTER (WHERE j.is_right), 0) / 100 AS best_credit
        FROM judged AS j
        GROUP BY j.attempt_response_id
    ), spots AS (
        SELECT p.attempt_response_id,
               bool_or(p.x BETWEEN z.x AND z.x + z.width AND p.y BETWEEN z.y AND z.y + z.height)
                   AS is_inside
        FROM parts AS p
        JOIN answered AS a ON a.attempt_response_id = p.attempt_response_id
        CROSS JOIN JSON_TABLE(a.interaction, '$.areas[*]' COLUMNS (
            x      numeric PATH '$.x',
            y      numeric PATH '$.y',
            width  numeric PATH '$.width',
            height numeric PATH '$.height')) AS z
        WHERE a.question_kind = 'hotspot'
        GROUP BY p.attempt_response_id
    ), earned AS (
        SELECT a.attempt_response_id, a.scoring, a.penalty_pct,
               EXISTS (SELECT FROM parts AS p
                       WHERE p.attempt_response_id = a.attempt_response_id) AS is_answered,
               CASE a.question_kind
                   WHEN 'single_choice' THEN coalesce(s.chosen_credit, 0)
                   WHEN 'true_false' THEN coalesce(s.chosen_credit, 0)
                   WHEN 'multiple_choice'
                       THEN CASE WHEN a.scoring = 'all_or_nothing' THEN s.is_all_right::integer
                                 ELSE s.chosen_credit END
                   WHEN 'short_answer' THEN s.best_credit
                   WHEN 'numeric' THEN s.best_credit
                   WHEN 'hotspot' THEN coalesce(h.is_inside, false)::integer
                   ELSE s.right_share END AS share
        FROM answered AS a
        LEFT JOIN summed AS s ON s.attempt_response_id = a.attempt_response_id
        LEFT JOIN spots AS h ON h.attempt_response_id = a.attempt_response_id
    )
    SELECT e.attempt_response_id,
           CASE WHEN NOT e.is_answered OR e.scoring = 'manual' THEN 0
                WHEN e.scoring = 'all_or_nothing' THEN (coalesce(e.share, 0) >= 1)::integer
                WHEN e.scoring = 'partial' THEN least(greatest(coalesce(e.share, 0), 0), 1)
                WHEN coalesce(e.share, 0) > 0 THEN least(e.share, 1)
                ELSE -e.penalty_pct / 100 END,
           e.scoring = 'manual' AND e.is_answered
    FROM earned AS e;
END;
COMMENT ON FUNCTION courses.score_responses(uuid) IS
    'What each answer of an attempt earns of its points, from -1 to 1, and which of them people
     read: all or nothing, the share that is right, or a penalty for what is wrong. Nothing is taken
     for what was left out.';

CREATE FUNCTION courses.grade_attempt(
    attempt uuid,
    moment  timestamptz DEFAULT now()
) RETURNS numeric
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    try    record;
BEGIN
    SELECT a.state, q.passing_pct INTO try
    FROM courses.assessment_attempt AS a
    JOIN courses.assessment AS q
        ON q.business_id = a.business_id AND q.assessment_id = a.assessment_id
    WHERE a.business_id = tenant AND a.assessment_attempt_id = attempt
    FOR NO KEY UPDATE OF a;
    IF try.state IS DISTINCT FROM 'submitted' AND try.state IS DISTINCT FROM 'graded' THEN
        RAISE EXCEPTION 'attempt % is %, not submitted', attempt, coalesce(try.state, 'unknown')
            USING ERRCODE = 'check_violation';
    END IF;
    -- What a person graded stays.
    UPDATE courses.attempt_response AS r
    SET points_awarded = CASE WHEN s.by_hand THEN NULL ELSE round(s.share * r.max_points, 4) END,
        is_correct = CASE WHEN s.by_hand THEN NULL ELSE s.share >= 1 END,
        needs_manual_grading = s.by_hand
    FROM courses.score_responses(attempt) AS s
    WHERE r.business_id = tenant AND r.attempt_response_id = s.attempt_response_id
      AND r.graded_by IS NULL;
    UPDATE courses.assessment_attempt AS a
    SET state = 'graded', graded_at = moment, score_pct = coalesce(t.score_pct, 0),
        score = coalesce(t.score, 0), passed = coalesce(t.score_pct, 0) >= try.passing_pct
    FROM courses.attempt_totals(ARRAY[attempt]) AS t
    WHERE a.business_id = tenant AND a.assessment_attempt_id = attempt
      AND a.state = 'submitted' AND t.to_grade = 0;
    RETURN (SELECT a.score_pct
            FROM courses.assessment_attempt AS a
            WHERE a.business_id = tenant AND a.assessment_attempt_id = attempt);
END
$$;
COMMENT ON FUNCTION courses.grade_attempt(uuid, timestamptz) IS
    'Scores what a machine can, in one statement, and marks what people are to read; the attempt is
     graded once nothing waits. Returns the percentage so far. Asked again, it scores anew, for a
     question that was found to be wrong.';

CREATE FUNCTION courses.grade_response(
    response uuid,
    points   numeric,
    grader   uuid,
    comment  text DEFAULT NULL,
    moment   timestamptz DEFAULT now()
) RETURNS numeric
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    try    uuid;
BEGIN
    SELECT a.assessment_attempt_id INTO try
    FROM courses.attempt_response AS r
    JOIN courses.assessment_attempt AS a
        ON a.business_id = r.business_id AND a.assessment_attempt_id = r.assessment_attempt_id
       AND a.state IN ('submitted', 'graded')
    WHERE r.business_id = tenant AND r.attempt_response_id = grade_response.response
    FOR NO KEY UPDATE OF a;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'response % is of no submitted attempt', response
            USING ERRCODE = 'check_violation';
    END IF;
    UPDATE courses.attempt_response AS r
    SET points_awarded = points, is_correct = points >= r.max_points, needs_manual_grading = false,
        graded_by = grader, grader_comment = coalesce(comment, r.grader_comment)
    WHERE r.business_id = tenant AND r.attempt_response_id = grade_response.response;
    RETURN courses.grade_attempt(try, moment);
END
$$;
COMMENT ON FUNCTION courses.grade_response(uuid, numeric, uuid, text, timestamptz) IS
    'A grader''s points for one answer; the last that was waited for makes the attempt graded.';

CREATE FUNCTION courses.submit_attempt(
    attempt  uuid,
    moment   timestamptz DEFAULT now(),
    by_clock boolean DEFAULT false
) RETURNS text
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    try    record;
    reached text;
BEGIN
    SELECT a.state, a.started_at, a.due_at, q.overdue_handling,
           a.due_at + q.grace_minutes * interval '1 minute' AS last_at
    INTO try
    FROM courses.assessment_attempt AS a
    JOIN courses.assessment AS q
        ON q.business_id = a.business_id AND q.assessment_id = a.assessment_id
    WHERE a.business_id = tenant AND a.assessment_attempt_id = attempt
    FOR NO KEY UPDATE OF a;
    IF try.state IS NULL OR try.state NOT IN ('in_progress', 'overdue') THEN
        RETURN try.state;
    END IF;
    -- Whose transaction waited for an attempt before has a now() that is sooner than its start.
    moment := greatest(moment, try.started_at);
    reached := CASE
        WHEN moment <= coalesce(try.due_at, 'infinity')
            THEN CASE WHEN by_clock THEN try.state ELSE 'submitted' END
        WHEN try.overdue_handling = 'auto_submit' THEN 'submitted'
        WHEN try.overdue_handling = 'abandon' OR moment > try.last_at THEN 'abandoned'
        WHEN by_clock THEN 'overdue'
        ELSE 'submitted' END;
    UPDATE courses.assessment_attempt AS a
    SET state = reached,
        -- What the clock hands in was handed in when time was up.
        submitted_at = CASE WHEN reached <> 'submitted' THEN NULL
                            WHEN try.overdue_handling = 'auto_submit'
                                THEN least(moment, try.due_at)
                            ELSE moment END,
        autosubmitted = reached = 'submitted' AND try.overdue_handling = 'auto_submit'
                        AND coalesce(moment > try.due_at, false)
    WHERE a.business_id = tenant AND a.assessment_attempt_id = attempt AND a.state <> reached;
    IF reached = 'submitted' THEN
        PERFORM courses.grade_attempt(attempt, moment);
        SELECT a.state INTO reached
        FROM courses.assessment_attempt AS a
        WHERE a.business_id = tenant AND a.assessment_attempt_id = attempt;
    END IF;
    RETURN reached;
END
$$;
COMMENT ON FUNCTION courses.submit_attempt(uuid, timestamptz, boolean) IS
    'Hands an attempt in and grades it; returns the state that it reached. After its time it is
     taken as it stood, in the grace period as it is, or not at all, as the assessment says. Asked
     again, it changes nothing.';

CREATE FUNCTION courses.close_overdue_attempts(moment timestamptz DEFAULT now())
    RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    late   uuid;
    closed integer := 0;
BEGIN
    FOR late IN
        SELECT a.assessment_attempt_id
        FROM courses.assessment_attempt AS a
        WHERE a.business_id = tenant_mgmt.current_business_id()
          AND a.state IN ('in_progress', 'overdue') AND a.due_at < moment
        ORDER BY a.assessment_attempt_id
    LOOP
        IF courses.submit_attempt(late, moment, by_clock => true)
           NOT IN ('in_progress', 'overdue') THEN
            closed := closed + 1;
        END IF;
    END LOOP;
    RETURN closed;
END
$$;
COMMENT ON FUNCTION courses.close_overdue_attempts(timestamptz) IS
    'Run by the clock: what ran out of time is handed in, waits in its grace period or is given up;
     returns how many were closed.';
