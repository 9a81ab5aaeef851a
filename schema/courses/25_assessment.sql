/*
 * Assessments: what is asked, and under which rules.
 *
 * A question_bank is a pool of questions. A question is a version: once it is live it does not
 * change, for somebody's grade rests on it; courses.revise_question() makes the next version,
 * which retires the one before when it goes live. Its answer_options are the choices, the accepted
 * answers, the pairs or the blanks. An assessment is a quiz or exam of a course; its
 * assessment_slots are fixed questions or draws from a bank. An assessment_override gives one
 * learner or cohort other dates, time or attempts, often for a learner_accommodation
 * (courses.apply_accommodation); courses.attempt_terms() says what holds for whom. The attempts
 * are in 27_attempts.sql.
 */

CREATE TABLE courses.question_bank (
    business_id           uuid                 NOT NULL,
    question_bank_id      uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    owner_user_account_id uuid                 NOT NULL,
    course_id             uuid,
    name                  text                 NOT NULL,
    visibility            text                 NOT NULL DEFAULT 'private',
    question_count        integer              NOT NULL DEFAULT 0,
    default_points        system_core.quantity NOT NULL DEFAULT 1,
    tags                  text[]               NOT NULL DEFAULT '{}',
    is_locked             boolean              NOT NULL DEFAULT false,
    reviewed_on           date,
    security_level        text                 NOT NULL DEFAULT 'open',
    created_at            timestamptz          NOT NULL DEFAULT now(),
    updated_at            timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, question_bank_id),
    UNIQUE NULLS NOT DISTINCT (business_id, name, course_id),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    CONSTRAINT question_bank_visibility_known
        CHECK (visibility IN ('private', 'course', 'business')),
    CONSTRAINT question_bank_security_level_known
        CHECK (security_level IN ('open', 'restricted', 'secure')),
    CONSTRAINT question_bank_of_course_has_course
        CHECK (visibility <> 'course' OR course_id IS NOT NULL),
    CONSTRAINT question_bank_secure_is_not_for_all
        CHECK (security_level <> 'secure' OR visibility <> 'business'),
    CONSTRAINT question_bank_count_not_negative CHECK (question_count >= 0),
    CONSTRAINT question_bank_default_points_positive CHECK (default_points > 0)
);

COMMENT ON TABLE courses.question_bank IS 'Pool of questions for a course or shared by all.';
COMMENT ON COLUMN courses.question_bank.question_count IS
    'Its questions that are not retired; courses.question_bank_differences() proves it.';
COMMENT ON COLUMN courses.question_bank.tags IS
    'What its questions are about; a slot that draws may ask for banks by it.';
COMMENT ON COLUMN courses.question_bank.security_level IS
    'The questions of a secure bank leave it in attempts only (courses.export_question_bank).';

-- FK: the banks of somebody.
CREATE INDEX question_bank_owner_user_account_idx
    ON courses.question_bank (business_id, owner_user_account_id);

-- FK: the banks of a course.
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


CREATE FUNCTION courses.is_interaction(question_kind text, interaction jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE question_kind
        WHEN 'hotspot' THEN coalesce(
            jsonb_path_exists(interaction, '$.image ? (@.type() == "string")')
            AND jsonb_path_exists(interaction, '$.areas[0]')
            AND NOT jsonb_path_exists(interaction,
                '$.areas[*] ? (!(exists (@.x) && exists (@.y) && @.width > 0 && @.height > 0))'),
            false)
        WHEN 'code' THEN coalesce(
            jsonb_path_exists(interaction, '$.language ? (@.type() == "string")')
            AND jsonb_path_exists(interaction, '$.tests[0]')
            AND NOT jsonb_path_exists(interaction,
                '$.tests[*] ? (!(exists (@.input) && exists (@.expected)))'),
            false)
        WHEN 'fill_blank' THEN coalesce(
            jsonb_path_exists(interaction, '$.text ? (@ like_regex "\\{\\{[0-9]+\\}\\}")'), false)
        ELSE true END;
COMMENT ON FUNCTION courses.is_interaction(text, jsonb) IS
    'Whether a document is the body of a question of that kind: hotspot {"image", "areas": [{"id",
     "x", "y", "width", "height"}]}, code {"language", "tests": [{"input", "expected"}]}, fill_blank
     {"text": "… {{1}} …"}; the other kinds need none.';


CREATE TABLE courses.question (
    business_id            uuid                   NOT NULL,
    question_id            uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    question_bank_id       uuid                   NOT NULL,
    author_user_account_id uuid                   NOT NULL,
    previous_version_id    uuid,
    learning_outcome_id    uuid,
    question_kind          text                   NOT NULL,
    stem                   text                   NOT NULL,
    points                 system_core.quantity   NOT NULL DEFAULT 1,
    version_no             integer                NOT NULL DEFAULT 1,
    status                 text                   NOT NULL DEFAULT 'draft',
    difficulty_estimate    system_core.probability,
    time_estimate_seconds  integer,
    scoring                text                   NOT NULL DEFAULT 'all_or_nothing',
    penalty_pct            system_core.percentage NOT NULL DEFAULT 0,
    feedback_general       text,
    interaction            system_core.json_object,
    is_shuffle_allowed     boolean                NOT NULL DEFAULT true,
    created_at             timestamptz            NOT NULL DEFAULT now(),
    updated_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, question_id),
    FOREIGN KEY (business_id, question_bank_id)
        REFERENCES courses.question_bank (business_id, question_bank_id),
    FOREIGN KEY (business_id, author_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, previous_version_id)
        REFERENCES courses.question (business_id, question_id),
    FOREIGN KEY (business_id, learning_outcome_id)
        REFERENCES courses.learning_outcome (business_id, learning_outcome_id),
    CONSTRAINT question_kind_known
        CHECK (question_kind IN ('single_choice', 'multiple_choice', 'true_false', 'short_answer',
                                 'numeric', 'essay', 'matching', 'ordering', 'fill_blank',
                                 'hotspot', 'code', 'file_upload')),
    CONSTRAINT question_status_known CHECK (status IN ('draft', 'reviewed', 'live', 'retired')),
    CONSTRAINT question_scoring_known
        CHECK (scoring IN ('all_or_nothing', 'partial', 'negative_marking', 'manual')),
    CONSTRAINT question_read_by_people_is_scored_by_people
        CHECK (question_kind NOT IN ('essay', 'code', 'file_upload') OR scoring = 'manual'),
    CONSTRAINT question_points_positive CHECK (points > 0),
    CONSTRAINT question_difficulty_bounded CHECK (difficulty_estimate BETWEEN 0 AND 1),
    CONSTRAINT question_penalty_bounded CHECK (penalty_pct BETWEEN 0 AND 100),
    CONSTRAINT question_penalty_for_negative_marking
        CHECK ((scoring = 'negative_marking') = (penalty_pct > 0)),
    CONSTRAINT question_time_positive CHECK (time_estimate_seconds > 0),
    CONSTRAINT question_first_version_has_none_before
        CHECK ((version_no = 1) = (previous_version_id IS NULL) AND version_no >= 1),
    CONSTRAINT question_interaction_fits
        CHECK (status = 'draft' OR courses.is_interaction(question_kind, interaction))
);

COMMENT ON TABLE courses.question IS 'Question in a version, with type, scoring and metadata.';
COMMENT ON COLUMN courses.question.difficulty_estimate IS
    'What its author expects to be the share that fails; question_statistic says what was.';
COMMENT ON COLUMN courses.question.penalty_pct IS
    'Of its points, taken for a wrong answer; nothing is taken for none.';
COMMENT ON COLUMN courses.question.interaction IS
    'The body of hotspot, code and fill_blank, see courses.is_interaction().';

-- A version has one next.
CREATE UNIQUE INDEX question_previous_version_idx
    ON courses.question (business_id, previous_version_id)
    WHERE previous_version_id IS NOT NULL;

-- Serves start_quiz, and the FK: the questions that a draw from a bank chooses from.
CREATE INDEX question_bank_status_idx
    ON courses.question (business_id, question_bank_id, status);

-- FK: what somebody wrote.
CREATE INDEX question_author_user_account_idx
    ON courses.question (business_id, author_user_account_id);

-- FK: what measures an outcome.
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

CREATE TRIGGER question_state_machine
    BEFORE INSERT OR UPDATE OF status ON courses.question
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":    ["reviewed", "retired"],
            "reviewed": ["draft", "live", "retired"],
            "live":     ["retired"],
            "retired":  []
        }}');

CREATE FUNCTION courses.seal_question() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'question % is %: it does not change', OLD.question_id, OLD.status
        USING ERRCODE = 'check_violation',
              HINT = 'courses.revise_question() makes the next version.';
END
$$;
COMMENT ON FUNCTION courses.seal_question() IS
    'A question that learners were asked stays as they read it; grades rest on it.';

CREATE TRIGGER question_sealed
    BEFORE UPDATE ON courses.question
    FOR EACH ROW WHEN (
        OLD.status IN ('live', 'retired')
        AND (NEW.question_kind, NEW.stem, NEW.points, NEW.version_no, NEW.scoring,
             NEW.penalty_pct, NEW.interaction, NEW.previous_version_id, NEW.question_bank_id)
            IS DISTINCT FROM
            (OLD.question_kind, OLD.stem, OLD.points, OLD.version_no, OLD.scoring,
             OLD.penalty_pct, OLD.interaction, OLD.previous_version_id, OLD.question_bank_id))
    EXECUTE FUNCTION courses.seal_question();

CREATE TRIGGER question_kept
    BEFORE DELETE ON courses.question
    FOR EACH ROW WHEN (OLD.status IN ('live', 'retired'))
    EXECUTE FUNCTION courses.seal_question();

CREATE FUNCTION courses.respect_bank_lock() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) AND EXISTS (
        SELECT FROM courses.question_bank AS b
        WHERE b.business_id = NEW.business_id AND b.question_bank_id = NEW.question_bank_id
          AND b.is_locked)
    THEN
        RAISE EXCEPTION 'the bank of this question is locked'
            USING ERRCODE = 'check_violation', HINT = 'Its owner unlocks it.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.respect_bank_lock() IS
    'While an exam runs its bank is locked: no question comes in and none changes.';

CREATE TRIGGER question_bank_unlocked
    BEFORE INSERT OR UPDATE ON courses.question
    FOR EACH ROW EXECUTE FUNCTION courses.respect_bank_lock();

CREATE FUNCTION courses.retire_previous_version() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE courses.question AS q
    SET status = 'retired'
    WHERE q.business_id = NEW.business_id AND q.question_id = NEW.previous_version_id
      AND q.status <> 'retired';
    -- A quiz that nobody has taken yet asks the new version; what was asked stays as it was.
    UPDATE courses.assessment_slot AS s
    SET question_id = NEW.question_id
    WHERE s.business_id = NEW.business_id AND s.question_id = NEW.previous_version_id
      AND NOT EXISTS (
          SELECT FROM courses.assessment_attempt AS a
          WHERE a.business_id = s.business_id AND a.assessment_id = s.assessment_id);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.retire_previous_version() IS
    'A version that goes live retires the one before, also in quizzes that nobody took yet.';

CREATE TRIGGER question_follows_previous
    AFTER UPDATE OF status ON courses.question
    FOR EACH ROW WHEN (NEW.status = 'live' AND OLD.status <> 'live'
                       AND NEW.previous_version_id IS NOT NULL)
    EXECUTE FUNCTION courses.retire_previous_version();

CREATE FUNCTION courses.count_questions() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        UPDATE courses.question_bank AS b
        SET question_count = b.question_count + n.more
        FROM (SELECT q.business_id, q.question_bank_id, count(*) AS more
              FROM changed AS q
              WHERE q.status <> 'retired'
              GROUP BY q.business_id, q.question_bank_id) AS n
        WHERE b.business_id = n.business_id AND b.question_bank_id = n.question_bank_id;
    ELSIF TG_OP = 'DELETE' THEN
        UPDATE courses.question_bank AS b
        SET question_count = b.question_count - n.less
        FROM (SELECT q.business_id, q.question_bank_id, count(*) AS less
              FROM former AS q
              WHERE q.status <> 'retired'
              GROUP BY q.business_id, q.question_bank_id) AS n
        WHERE b.business_id = n.business_id AND b.question_bank_id = n.question_bank_id;
    ELSE
        UPDATE courses.question_bank AS b
        SET question_count = b.question_count + n.more
        FROM (SELECT q.business_id, q.question_bank_id, sum(q.one) AS more
              FROM (SELECT c.business_id, c.question_bank_id, 1 AS one
                    FROM changed AS c WHERE c.status <> 'retired'
                    UNION ALL
                    SELECT f.business_id, f.question_bank_id, -1
                    FROM former AS f WHERE f.status <> 'retired') AS q
              GROUP BY q.business_id, q.question_bank_id
              HAVING sum(q.one) <> 0) AS n
        WHERE b.business_id = n.business_id AND b.question_bank_id = n.question_bank_id;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.count_questions() IS
    'Keeps how many questions a bank has that are not retired.';

CREATE TRIGGER question_counted
    AFTER INSERT ON courses.question
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.count_questions();

CREATE TRIGGER question_counted_anew
    AFTER UPDATE ON courses.question
    REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.count_questions();

CREATE TRIGGER question_counted_less
    AFTER DELETE ON courses.question
    REFERENCING OLD TABLE AS former
    FOR EACH STATEMENT EXECUTE FUNCTION courses.count_questions();

CREATE FUNCTION courses.question_bank_differences()
    RETURNS TABLE (question_bank_id uuid, said integer, found bigint)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT b.question_bank_id, b.question_count, count(q.question_id)
    FROM courses.question_bank AS b
    LEFT JOIN courses.question AS q
        ON q.business_id = b.business_id AND q.question_bank_id = b.question_bank_id
       AND q.status <> 'retired'
    WHERE b.business_id = tenant_mgmt.current_business_id()
    GROUP BY b.question_bank_id, b.question_count
    HAVING b.question_count <> count(q.question_id);
END;
COMMENT ON FUNCTION courses.question_bank_differences() IS
    'Proves the banks: those whose count is not that of their questions.';


CREATE TABLE courses.answer_option (
    business_id       uuid                   NOT NULL,
    answer_option_id  uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    question_id       uuid                   NOT NULL,
    sort_order        integer                NOT NULL,
    option_text       text,
    is_correct        boolean                NOT NULL DEFAULT false,
    credit_pct        system_core.percentage NOT NULL DEFAULT 0,
    match_text        text,
    numeric_value     numeric(18, 6),
    tolerance         numeric(18, 6),
    feedback          text,
    is_fixed_position boolean                NOT NULL DEFAULT false,
    created_at        timestamptz            NOT NULL DEFAULT now(),
    updated_at        timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, answer_option_id),
    UNIQUE (business_id, question_id, sort_order),
    FOREIGN KEY (business_id, question_id) REFERENCES courses.question (business_id, question_id),
    CONSTRAINT answer_option_sort_order_not_negative CHECK (sort_order >= 0),
    CONSTRAINT answer_option_credit_bounded CHECK (credit_pct BETWEEN -100 AND 100),
    CONSTRAINT answer_option_correct_has_credit CHECK (NOT is_correct OR credit_pct > 0),
    CONSTRAINT answer_option_says_something
        CHECK (num_nonnulls(option_text, numeric_value) > 0),
    CONSTRAINT answer_option_tolerance_of_number
        CHECK ((tolerance IS NULL) = (numeric_value IS NULL)),
    CONSTRAINT answer_option_tolerance_not_negative CHECK (tolerance >= 0)
);

COMMENT ON TABLE courses.answer_option IS 'Choice, match pair or accepted answer.';
COMMENT ON COLUMN courses.answer_option.option_text IS
    'The choice, the left of a pair, the item to order, the accepted answers of a blank or short
     answer ("colour|color").';
COMMENT ON COLUMN courses.answer_option.match_text IS 'The right of a pair.';
COMMENT ON COLUMN courses.answer_option.sort_order IS
    'As written, which is the right order of an ordering question.';
COMMENT ON COLUMN courses.answer_option.credit_pct IS
    'Of the question''s points: those of the right options sum to 100, a wrong one may take some.';
COMMENT ON COLUMN courses.answer_option.is_fixed_position IS
    'Not shuffled, as "none of the above".';

ALTER TABLE courses.answer_option ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.answer_option
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.answer_option TO app_user;
GRANT SELECT ON courses.answer_option TO app_readonly;

CREATE TRIGGER answer_option_touch
    BEFORE UPDATE ON courses.answer_option
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION courses.seal_options() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    question uuid;
    sealed   text;
BEGIN
    IF TG_OP = 'DELETE' THEN
        question := OLD.question_id;
    ELSE
        question := NEW.question_id;
    END IF;
    SELECT q.status INTO sealed
    FROM courses.question AS q
    WHERE q.business_id = tenant_mgmt.current_business_id() AND q.question_id = question
      AND q.status IN ('live', 'retired');
    IF FOUND AND row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'question % is %: its options do not change', question, sealed
            USING ERRCODE = 'check_violation',
                  HINT = 'courses.revise_question() makes the next version.';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.seal_options() IS
    'The options of a question that learners were asked stay as they read them.';

CREATE TRIGGER answer_option_sealed
    BEFORE INSERT OR UPDATE OR DELETE ON courses.answer_option
    FOR EACH ROW EXECUTE FUNCTION courses.seal_options();

CREATE FUNCTION courses.require_correct_option() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    asked   record;
    correct integer;
BEGIN
    -- As it is at the end of the transaction, not as it was when the row was written.
    SELECT q.question_kind, q.status INTO asked
    FROM courses.question AS q
    WHERE q.business_id = NEW.business_id AND q.question_id = NEW.question_id;
    IF asked.status = 'draft'
       OR asked.question_kind NOT IN ('single_choice', 'multiple_choice', 'true_false')
    THEN
        RETURN NULL;
    END IF;
    SELECT count(*) INTO correct
    FROM courses.answer_option AS o
    WHERE o.business_id = NEW.business_id AND o.question_id = NEW.question_id AND o.is_correct;
    IF correct = 0 OR (correct > 1 AND asked.question_kind <> 'multiple_choice') THEN
        RAISE EXCEPTION 'question %: % has % correct options', NEW.question_id,
                        asked.question_kind, correct
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.require_correct_option() IS
    'At the end of a transaction a choice question past its draft can be answered rightly, a single
     choice in one way.';

CREATE CONSTRAINT TRIGGER question_can_be_answered
    AFTER INSERT OR UPDATE ON courses.question
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.status <> 'draft')
    EXECUTE FUNCTION courses.require_correct_option();

CREATE CONSTRAINT TRIGGER answer_option_leaves_answerable
    AFTER UPDATE ON courses.answer_option
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION courses.require_correct_option();

CREATE FUNCTION courses.revise_question(
    question uuid,
    author   uuid,
    changes  jsonb DEFAULT '{}'
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    made   uuid;
BEGIN
    INSERT INTO courses.question
        (business_id, question_bank_id, author_user_account_id, previous_version_id,
         learning_outcome_id, question_kind, stem, points, version_no, difficulty_estimate,
         time_estimate_seconds, scoring, penalty_pct, feedback_general, interaction,
         is_shuffle_allowed)
    SELECT tenant, q.question_bank_id, author, q.question_id, q.learning_outcome_id,
           q.question_kind, coalesce(changes ->> 'stem', q.stem),
           coalesce((changes ->> 'points')::numeric, q.points), q.version_no + 1,
           q.difficulty_estimate, q.time_estimate_seconds,
           coalesce(changes ->> 'scoring', q.scoring),
           coalesce((changes ->> 'penalty_pct')::numeric, q.penalty_pct),
           coalesce(changes ->> 'feedback_general', q.feedback_general),
           coalesce(changes -> 'interaction', q.interaction), q.is_shuffle_allowed
    FROM courses.question AS q
    WHERE q.business_id = tenant AND q.question_id = question AND q.status = 'live'
    RETURNING question_id INTO made;
    IF made IS NULL THEN
        RAISE EXCEPTION 'question % is not live', question
            USING ERRCODE = 'check_violation', HINT = 'A draft is edited as it is.';
    END IF;
    INSERT INTO courses.answer_option
        (business_id, question_id, sort_order, option_text, is_correct, credit_pct, match_text,
         numeric_value, tolerance, feedback, is_fixed_position)
    SELECT tenant, made, o.sort_order, o.option_text, o.is_correct, o.credit_pct, o.match_text,
           o.numeric_value, o.tolerance, o.feedback, o.is_fixed_position
    FROM courses.answer_option AS o
    WHERE o.business_id = tenant AND o.question_id = question;
    RETURN made;
END
$$;
COMMENT ON FUNCTION courses.revise_question(uuid, uuid, jsonb) IS
    'Drafts the next version of a live question, with its options; changes may name stem, points,
     scoring, penalty_pct, feedback_general and interaction. A version has one next.';

CREATE FUNCTION courses.export_question_bank(bank uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    pool   record;
BEGIN
    SELECT b.name, b.security_level INTO pool
    FROM courses.question_bank AS b
    WHERE b.business_id = tenant AND b.question_bank_id = bank;
    IF pool.security_level = 'secure' THEN
        RAISE EXCEPTION 'bank "%" is secure and is not exported', pool.name
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN jsonb_build_object('name', pool.name, 'questions', coalesce((
        SELECT jsonb_agg(jsonb_build_object(
                   'kind', q.question_kind, 'stem', q.stem, 'points', q.points,
                   'scoring', q.scoring, 'interaction', q.interaction, 'options', o.options)
               ORDER BY q.question_id)
        FROM courses.question AS q
        LEFT JOIN LATERAL (
            SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
                       'text', a.option_text, 'credit', a.credit_pct, 'match', a.match_text,
                       'number', a.numeric_value, 'tolerance', a.tolerance))
                   ORDER BY a.sort_order) AS options
            FROM courses.answer_option AS a
            WHERE a.business_id = q.business_id AND a.question_id = q.question_id
        ) AS o ON true
        WHERE q.business_id = tenant AND q.question_bank_id = bank AND q.status <> 'retired'),
        '[]'));
END
$$;
COMMENT ON FUNCTION courses.export_question_bank(uuid) IS
    'The questions of a bank for another system, with their answers; refused for a secure bank.';


CREATE TABLE courses.assessment (
    business_id                    uuid                    NOT NULL,
    assessment_id                  uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    course_id                      uuid                    NOT NULL,
    lesson_id                      uuid,
    grade_category_id              uuid,
    title                          text                    NOT NULL,
    assessment_kind                text                    NOT NULL,
    opens_at                       timestamptz,
    closes_at                      timestamptz,
    time_limit_minutes             integer,
    grace_minutes                  integer                 NOT NULL DEFAULT 0,
    overdue_handling               text                    NOT NULL DEFAULT 'auto_submit',
    max_attempts                   integer,
    attempt_grading                text                    NOT NULL DEFAULT 'highest',
    passing_pct                    system_core.percentage  NOT NULL DEFAULT 60,
    shuffle_questions              boolean                 NOT NULL DEFAULT false,
    navigation                     text                    NOT NULL DEFAULT 'free',
    review_policy                  system_core.json_object NOT NULL DEFAULT '{}',
    delay_between_attempts_minutes integer                 NOT NULL DEFAULT 0,
    requires_proctoring            boolean                 NOT NULL DEFAULT false,
    access_code_hash               system_core.sha256,
    created_at                     timestamptz             NOT NULL DEFAULT now(),
    updated_at                     timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, assessment_id),
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    FOREIGN KEY (business_id, lesson_id) REFERENCES courses.lesson (business_id, lesson_id),
    CONSTRAINT assessment_kind_known
        CHECK (assessment_kind IN ('practice', 'graded_quiz', 'midterm', 'final', 'placement',
                                   'certification_exam')),
    CONSTRAINT assessment_overdue_handling_known
        CHECK (overdue_handling IN ('auto_submit', 'grace_period', 'abandon')),
    CONSTRAINT assessment_attempt_grading_known
        CHECK (attempt_grading IN ('highest', 'average', 'first', 'last')),
    CONSTRAINT assessment_navigation_known CHECK (navigation IN ('free', 'sequential')),
    CONSTRAINT assessment_closes_after_opening CHECK (closes_at > opens_at),
    CONSTRAINT assessment_passing_bounded CHECK (passing_pct BETWEEN 0 AND 100),
    CONSTRAINT assessment_time_limit_up_to_a_day CHECK (time_limit_minutes BETWEEN 1 AND 1440),
    CONSTRAINT assessment_grace_for_grace_period
        CHECK ((overdue_handling = 'grace_period') = (grace_minutes > 0) AND grace_minutes >= 0),
    CONSTRAINT assessment_attempts_positive CHECK (max_attempts > 0),
    CONSTRAINT assessment_delay_not_negative CHECK (delay_between_attempts_minutes >= 0),
    CONSTRAINT assessment_review_policy_known
        CHECK (review_policy - ARRAY['during', 'after_submission', 'after_close'] = '{}')
);

COMMENT ON TABLE courses.assessment IS
    'Quiz, exam or survey-like check in a lesson, with its rules.';
COMMENT ON COLUMN courses.assessment.max_attempts IS 'NULL: any number.';
COMMENT ON COLUMN courses.assessment.attempt_grading IS 'Which of several attempts counts.';
COMMENT ON COLUMN courses.assessment.review_policy IS
    'What the learner sees "during" it, "after_submission" and "after_close": each a list of
     "score", "answers", "feedback", "solutions".';
COMMENT ON COLUMN courses.assessment.access_code_hash IS
    'SHA-256 of what the proctor says aloud in the room.';

-- FK: the assessments of a lesson.
CREATE INDEX assessment_lesson_idx
    ON courses.assessment (business_id, lesson_id)
    WHERE lesson_id IS NOT NULL;

-- FK: the assessments of a course.
CREATE INDEX assessment_course_idx
    ON courses.assessment (business_id, course_id);

-- FK: what counts in a category of grades.
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

CREATE FUNCTION courses.check_assessment_lesson() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT
        FROM courses.lesson AS l
        JOIN courses.course_module AS m
            ON m.business_id = l.business_id AND m.course_module_id = l.course_module_id
        WHERE l.business_id = NEW.business_id AND l.lesson_id = NEW.lesson_id
          AND m.course_id = NEW.course_id AND l.lesson_kind = 'assessment')
    THEN
        RAISE EXCEPTION 'assessment "%" is not on an assessment lesson of its course', NEW.title
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.check_assessment_lesson() IS
    'An assessment is taken on an assessment lesson of its own course.';

CREATE TRIGGER assessment_lesson_fits
    BEFORE INSERT OR UPDATE OF lesson_id, course_id ON courses.assessment
    FOR EACH ROW WHEN (NEW.lesson_id IS NOT NULL)
    EXECUTE FUNCTION courses.check_assessment_lesson();


CREATE TABLE courses.assessment_slot (
    business_id        uuid                 NOT NULL,
    assessment_slot_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    assessment_id      uuid                 NOT NULL,
    question_id        uuid,
    draw_from_bank_id  uuid,
    slot_no            integer              NOT NULL,
    page_no            integer              NOT NULL DEFAULT 1,
    section_title      text,
    max_points         system_core.quantity NOT NULL DEFAULT 1,
    draw_count         integer,
    draw_tags          text[]               NOT NULL DEFAULT '{}',
    requires_previous  boolean              NOT NULL DEFAULT false,
    is_extra_credit    boolean              NOT NULL DEFAULT false,
    weight             system_core.rate     NOT NULL DEFAULT 1,
    created_at         timestamptz          NOT NULL DEFAULT now(),
    updated_at         timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, assessment_slot_id),
    UNIQUE (business_id, assessment_id, slot_no),
    FOREIGN KEY (business_id, assessment_id)
        REFERENCES courses.assessment (business_id, assessment_id),
    FOREIGN KEY (business_id, question_id) REFERENCES courses.question (business_id, question_id),
    FOREIGN KEY (business_id, draw_from_bank_id)
        REFERENCES courses.question_bank (business_id, question_bank_id),
    CONSTRAINT assessment_slot_asks_or_draws
        CHECK (num_nonnulls(question_id, draw_from_bank_id) = 1),
    CONSTRAINT assessment_slot_draw_says_how_many
        CHECK ((draw_from_bank_id IS NULL) = (draw_count IS NULL)),
    CONSTRAINT assessment_slot_draw_count_bounded CHECK (draw_count BETWEEN 1 AND 50),
    CONSTRAINT assessment_slot_tags_of_draw
        CHECK (draw_from_bank_id IS NOT NULL OR draw_tags = '{}'),
    CONSTRAINT assessment_slot_points_not_negative CHECK (max_points >= 0),
    CONSTRAINT assessment_slot_weight_positive CHECK (weight > 0),
    CONSTRAINT assessment_slot_counts_from_1 CHECK (slot_no >= 1 AND page_no >= 1)
);

COMMENT ON TABLE courses.assessment_slot IS
    'Place in an assessment: a fixed question or a random draw.';
COMMENT ON COLUMN courses.assessment_slot.max_points IS 'Of each question that it asks.';
COMMENT ON COLUMN courses.assessment_slot.draw_tags IS
    'Outcomes by code: the draw takes questions that measure one of them; empty is any.';
COMMENT ON COLUMN courses.assessment_slot.requires_previous IS
    'Shown only once the question before it is answered.';

-- FK: what draws from a bank.
CREATE INDEX assessment_slot_draw_from_bank_idx
    ON courses.assessment_slot (business_id, draw_from_bank_id)
    WHERE draw_from_bank_id IS NOT NULL;

-- FK: where a question is asked.
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

CREATE FUNCTION courses.seal_slots() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    quiz uuid;
BEGIN
    IF TG_OP = 'DELETE' THEN
        quiz := OLD.assessment_id;
    ELSE
        quiz := NEW.assessment_id;
    END IF;
    IF row_security_active(TG_RELID) AND EXISTS (
        SELECT FROM courses.assessment_attempt AS a
        WHERE a.business_id = tenant_mgmt.current_business_id() AND a.assessment_id = quiz)
    THEN
        RAISE EXCEPTION 'an assessment that was attempted keeps its questions'
            USING ERRCODE = 'check_violation', HINT = 'Copy it for the next run.';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.seal_slots() IS
    'All who take an assessment are asked by the same plan.';

CREATE TRIGGER assessment_slot_sealed
    BEFORE INSERT OR DELETE OR UPDATE OF question_id, draw_from_bank_id, draw_count, max_points,
        weight, is_extra_credit
    ON courses.assessment_slot
    FOR EACH ROW EXECUTE FUNCTION courses.seal_slots();


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
    extra_attempts           integer     NOT NULL DEFAULT 0,
    access_code_hash         system_core.sha256,
    reason                   text,
    granted_at               timestamptz NOT NULL DEFAULT now(),
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
    CONSTRAINT assessment_override_for_one CHECK (num_nonnulls(learner_id, cohort_id) = 1),
    CONSTRAINT assessment_override_closes_after_opening CHECK (closes_at > opens_at),
    CONSTRAINT assessment_override_extra_attempts_bounded CHECK (extra_attempts BETWEEN 0 AND 20),
    CONSTRAINT assessment_override_time_limit_up_to_a_day
        CHECK (time_limit_minutes BETWEEN 1 AND 1440),
    CONSTRAINT assessment_override_accommodates_a_learner
        CHECK (learner_accommodation_id IS NULL OR learner_id IS NOT NULL),
    CONSTRAINT assessment_override_expires_after_grant CHECK (expires_at > granted_at)
);

COMMENT ON TABLE courses.assessment_override IS
    'Different dates, time or attempts for one learner or group.';
COMMENT ON COLUMN courses.assessment_override.learner_accommodation_id IS
    'The accommodation that it carries out, whose confidential reason it does not repeat.';

-- One override of a learner or cohort for an assessment.
CREATE UNIQUE INDEX assessment_override_learner_idx
    ON courses.assessment_override (business_id, assessment_id, learner_id)
    WHERE learner_id IS NOT NULL;
CREATE UNIQUE INDEX assessment_override_cohort_idx
    ON courses.assessment_override (business_id, assessment_id, cohort_id)
    WHERE cohort_id IS NOT NULL;

-- FK: what a learner was granted.
CREATE INDEX assessment_override_of_learner_idx
    ON courses.assessment_override (business_id, learner_id)
    WHERE learner_id IS NOT NULL;

-- FK: what a cohort was granted.
CREATE INDEX assessment_override_of_cohort_idx
    ON courses.assessment_override (business_id, cohort_id)
    WHERE cohort_id IS NOT NULL;

-- FK: where an accommodation is applied.
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

CREATE FUNCTION courses.attempt_terms(
    assessment uuid,
    enrollment uuid,
    moment     timestamptz DEFAULT now()
) RETURNS TABLE (opens_at timestamptz, closes_at timestamptz, time_limit_minutes integer,
                 max_attempts integer, access_code_hash bytea)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(o.opens_at, a.opens_at),
           coalesce(o.closes_at, a.closes_at + n.more_days * interval '1 day'),
           coalesce(o.time_limit_minutes,
                    CASE WHEN a.time_limit_minutes IS NOT NULL
                         THEN least(1440, ceil(a.time_limit_minutes * n.multiplier))::integer
                         END),
           a.max_attempts + coalesce(o.extra_attempts, 0) + n.more_attempts,
           coalesce(o.access_code_hash, a.access_code_hash)::bytea
    FROM courses.assessment AS a
    JOIN courses.enrollment AS e
        ON e.business_id = a.business_id AND e.enrollment_id = attempt_terms.enrollment
    LEFT JOIN LATERAL (
        SELECT x.*
        FROM courses.assessment_override AS x
        WHERE x.business_id = a.business_id AND x.assessment_id = a.assessment_id
          AND (x.learner_id = e.learner_id OR x.cohort_id = e.cohort_id)
          AND (x.expires_at IS NULL OR x.expires_at > moment)
        ORDER BY x.learner_id IS NULL, x.assessment_override_id
        LIMIT 1
    ) AS o ON true
    CROSS JOIN LATERAL (
        SELECT coalesce(max(c.time_multiplier)
                            FILTER (WHERE c.accommodation = 'extra_time'), 1) AS multiplier,
               coalesce(max(c.extra_attempts)
                            FILTER (WHERE c.accommodation = 'extra_attempts'), 0) AS more_attempts,
               coalesce(max(c.deadline_extension_days)
                            FILTER (WHERE c.accommodation = 'flexible_deadline'), 0) AS more_days
        FROM courses.learner_accommodation AS c
        WHERE c.business_id = e.business_id AND c.learner_id = e.learner_id
          AND c.status = 'approved' AND o.learner_accommodation_id IS NULL
          AND coalesce(c.valid_from, '-infinity') <= (moment AT TIME ZONE 'UTC')::date
          AND coalesce(c.valid_until, 'infinity') >= (moment AT TIME ZONE 'UTC')::date
    ) AS n
    WHERE a.business_id = tenant_mgmt.current_business_id()
      AND a.assessment_id = attempt_terms.assessment;
END;
COMMENT ON FUNCTION courses.attempt_terms(uuid, uuid, timestamptz) IS
    'Window, time and attempts that hold for a learner: the override for the learner or else for the
     cohort over the assessment''s own, and approved accommodations that no override carries out.';

CREATE FUNCTION courses.apply_accommodation(
    accommodation uuid,
    moment        timestamptz DEFAULT now()
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    granted record;
    written integer;
BEGIN
    SELECT c.* INTO granted
    FROM courses.learner_accommodation AS c
    WHERE c.business_id = tenant
      AND c.learner_accommodation_id = apply_accommodation.accommodation;
    IF granted.status IS DISTINCT FROM 'approved' THEN
        RAISE EXCEPTION 'accommodation % is not approved', accommodation
            USING ERRCODE = 'check_violation';
    END IF;
    INSERT INTO courses.assessment_override AS o
        (business_id, assessment_id, learner_id, learner_accommodation_id, closes_at,
         time_limit_minutes, extra_attempts, reason, granted_at, expires_at)
    SELECT DISTINCT tenant, a.assessment_id, granted.learner_id,
           apply_accommodation.accommodation,
           CASE WHEN granted.accommodation = 'flexible_deadline'
                THEN a.closes_at + granted.deadline_extension_days * interval '1 day' END,
           CASE WHEN granted.accommodation = 'extra_time'
                THEN least(1440, ceil(a.time_limit_minutes * granted.time_multiplier))::integer
                END,
           CASE WHEN granted.accommodation = 'extra_attempts' AND a.max_attempts IS NOT NULL
                THEN granted.extra_attempts ELSE 0 END,
           'Accommodation', moment,
           nullif(greatest((granted.valid_until + 1)::timestamp AT TIME ZONE 'UTC', moment), moment)
    FROM courses.enrollment AS e
    JOIN courses.course_section AS s
        ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
    JOIN courses.assessment AS a
        ON a.business_id = s.business_id AND a.course_id = s.course_id
    WHERE e.business_id = tenant AND e.learner_id = granted.learner_id
      AND e.status IN ('active', 'paused', 'audit')
      AND CASE granted.accommodation
              WHEN 'extra_time' THEN a.time_limit_minutes IS NOT NULL
              WHEN 'extra_attempts' THEN a.max_attempts IS NOT NULL
              WHEN 'flexible_deadline' THEN a.closes_at IS NOT NULL
              ELSE false END
    ON CONFLICT (business_id, assessment_id, learner_id) WHERE learner_id IS NOT NULL
    DO UPDATE SET closes_at = coalesce(excluded.closes_at, o.closes_at),
                  time_limit_minutes = coalesce(excluded.time_limit_minutes,
                                                o.time_limit_minutes),
                  extra_attempts = greatest(excluded.extra_attempts, o.extra_attempts),
                  expires_at = excluded.expires_at
    WHERE o.learner_accommodation_id IS NOT NULL;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END
$$;
COMMENT ON FUNCTION courses.apply_accommodation(uuid, timestamptz) IS
    'Writes an approved accommodation of time, attempts or deadlines into overrides of the
     assessments that the learner has ahead; what a teacher granted by hand stays. Returns how
     many it wrote.';
