/*
 * Surveys: what learners say when they are asked.
 *
 * A survey has survey_questions; a survey_response holds its answers as a JSON array of
 * {"question", "value"}, each checked against its question when it is handed in, and read with
 * JSON_TABLE. An anonymous survey keeps nobody's name, and shows no figures before enough have
 * answered (courses.survey_results).
 */

CREATE TABLE courses.survey (
    business_id        uuid        NOT NULL,
    survey_id          uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    course_id          uuid,
    course_section_id  uuid,
    title              text        NOT NULL,
    survey_kind        text        NOT NULL,
    is_anonymous       boolean     NOT NULL DEFAULT false,
    opens_at           timestamptz NOT NULL,
    closes_at          timestamptz,
    trigger_kind       text        NOT NULL DEFAULT 'manual',
    invited_count      integer     NOT NULL DEFAULT 0,
    response_count     integer     NOT NULL DEFAULT 0,
    minimum_group_size integer     NOT NULL DEFAULT 5,
    status             text        NOT NULL DEFAULT 'draft',
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, survey_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    FOREIGN KEY (business_id, course_section_id)
        REFERENCES courses.course_section (business_id, course_section_id),
    CONSTRAINT survey_kind_known
        CHECK (survey_kind IN ('course_evaluation', 'nps', 'pulse', 'exit', 'needs',
                               'satisfaction')),
    CONSTRAINT survey_trigger_kind_known
        CHECK (trigger_kind IN ('manual', 'completion', 'milestone', 'withdrawal', 'weekly')),
    CONSTRAINT survey_status_known CHECK (status IN ('draft', 'open', 'closed', 'archived')),
    CONSTRAINT survey_closes_after_opening CHECK (closes_at > opens_at),
    CONSTRAINT survey_answered_by_the_invited
        CHECK (response_count BETWEEN 0 AND invited_count),
    CONSTRAINT survey_groups_of_five CHECK (minimum_group_size >= CASE WHEN is_anonymous THEN 5
                                                                       ELSE 1 END)
);

COMMENT ON TABLE courses.survey IS 'Course evaluation, NPS, pulse or exit survey.';
COMMENT ON COLUMN courses.survey.response_count IS 'Complete responses; kept by them.';

-- FK: the surveys of a course.
CREATE INDEX survey_course_idx
    ON courses.survey (business_id, course_id)
    WHERE course_id IS NOT NULL;

-- FK: the surveys of a section.
CREATE INDEX survey_course_section_idx
    ON courses.survey (business_id, course_section_id)
    WHERE course_section_id IS NOT NULL;

ALTER TABLE courses.survey ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.survey
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.survey TO app_user;
GRANT SELECT ON courses.survey TO app_readonly;

CREATE TRIGGER survey_touch
    BEFORE UPDATE ON courses.survey
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER survey_state_machine
    BEFORE INSERT OR UPDATE OF status ON courses.survey
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":    ["open", "archived"],
            "open":     ["closed"],
            "closed":   ["open", "archived"],
            "archived": []
        }}');


CREATE FUNCTION courses.keep_survey() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a survey that was opened keeps what it promised'
        USING ERRCODE = 'restrict_violation',
              HINT = 'It stays as anonymous as it was, and its smallest group as large.';
END
$$;
COMMENT ON FUNCTION courses.keep_survey() IS
    'Who answered an anonymous survey answered because nobody would know.';

CREATE TRIGGER survey_kept
    BEFORE UPDATE ON courses.survey
    FOR EACH ROW WHEN (OLD.status <> 'draft'
                       AND (NEW.is_anonymous <> OLD.is_anonymous
                            OR NEW.minimum_group_size < OLD.minimum_group_size))
    EXECUTE FUNCTION courses.keep_survey();


CREATE TABLE courses.survey_question (
    business_id        uuid                    NOT NULL,
    survey_question_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    survey_id          uuid                    NOT NULL,
    sort_order         integer                 NOT NULL,
    question_kind      text                    NOT NULL,
    prompt             text                    NOT NULL,
    options            system_core.json_array,
    is_required        boolean                 NOT NULL DEFAULT false,
    scale_min          integer,
    scale_max          integer,
    show_if            system_core.json_object,
    construct          text,
    created_at         timestamptz             NOT NULL DEFAULT now(),
    updated_at         timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, survey_question_id),
    UNIQUE (business_id, survey_id, sort_order),
    FOREIGN KEY (business_id, survey_id) REFERENCES courses.survey (business_id, survey_id),
    CONSTRAINT survey_question_kind_known
        CHECK (question_kind IN ('text', 'likert', 'nps', 'single_choice', 'multiple_choice',
                                 'matrix', 'slider')),
    CONSTRAINT survey_question_choice_has_options
        CHECK ((question_kind IN ('single_choice', 'multiple_choice', 'matrix'))
               = (options IS NOT NULL)),
    CONSTRAINT survey_question_options_are_two
        CHECK (jsonb_array_length(options) >= 2),
    CONSTRAINT survey_question_scale_ends_above CHECK (scale_max > scale_min),
    CONSTRAINT survey_question_scaled_has_ends
        CHECK ((question_kind IN ('likert', 'nps', 'slider', 'matrix'))
               = (scale_min IS NOT NULL AND scale_max IS NOT NULL)),
    CONSTRAINT survey_question_nps_is_zero_to_ten
        CHECK (question_kind <> 'nps' OR (scale_min = 0 AND scale_max = 10))
);

COMMENT ON TABLE courses.survey_question IS 'Question of a survey.';
COMMENT ON COLUMN courses.survey_question.options IS
    'Array of texts: the choices, or the lines of a matrix.';
COMMENT ON COLUMN courses.survey_question.show_if IS
    '{"question": sort_order, "is": value}: asked, and required, only then.';

ALTER TABLE courses.survey_question ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.survey_question
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.survey_question TO app_user;
GRANT SELECT ON courses.survey_question TO app_readonly;

CREATE TRIGGER survey_question_touch
    BEFORE UPDATE ON courses.survey_question
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.survey_response (
    business_id        uuid                   NOT NULL,
    survey_response_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    survey_id          uuid                   NOT NULL,
    learner_id         uuid,
    enrollment_id      uuid,
    submitted_at       timestamptz,
    started_at         timestamptz            NOT NULL DEFAULT now(),
    answers            system_core.json_array NOT NULL DEFAULT '[]',
    nps_score          integer,
    sentiment_score    numeric(5,4),
    language_code      system_core.locale     NOT NULL DEFAULT 'en',
    device_kind        text                   NOT NULL DEFAULT 'desktop',
    is_complete        boolean                NOT NULL DEFAULT false,
    respondent_hash    system_core.sha256     NOT NULL,
    completion_seconds integer                GENERATED ALWAYS AS (
        floor(extract(epoch FROM submitted_at - started_at))::integer) STORED,
    created_at         timestamptz            NOT NULL DEFAULT now(),
    updated_at         timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, survey_response_id),
    UNIQUE (business_id, survey_id, respondent_hash),
    FOREIGN KEY (business_id, survey_id) REFERENCES courses.survey (business_id, survey_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    CONSTRAINT survey_response_device_kind_known
        CHECK (device_kind IN ('desktop', 'phone', 'tablet')),
    CONSTRAINT survey_response_nps_bounded CHECK (nps_score BETWEEN 0 AND 10),
    CONSTRAINT survey_response_sentiment_bounded CHECK (sentiment_score BETWEEN -1 AND 1),
    CONSTRAINT survey_response_complete_was_submitted
        CHECK (is_complete = (submitted_at IS NOT NULL)),
    CONSTRAINT survey_response_submitted_after_start CHECK (submitted_at >= started_at)
);

COMMENT ON TABLE courses.survey_response IS
    'Filled survey with answers as JSON, read with JSON_TABLE.';
COMMENT ON COLUMN courses.survey_response.answers IS
    'Array of {"question": sort_order, "value"}, see courses.survey_faults.';
COMMENT ON COLUMN courses.survey_response.respondent_hash IS
    'SHA-256 of survey and person with a secret of the application: one response of each, though
     nobody can tell whose.';

-- FK: what a learner answered.
CREATE INDEX survey_response_learner_idx
    ON courses.survey_response (business_id, learner_id)
    WHERE learner_id IS NOT NULL;

-- FK: what was answered about an enrollment.
CREATE INDEX survey_response_enrollment_idx
    ON courses.survey_response (business_id, enrollment_id)
    WHERE enrollment_id IS NOT NULL;

ALTER TABLE courses.survey_response ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.survey_response
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.survey_response TO app_user;
GRANT SELECT ON courses.survey_response TO app_readonly;

CREATE TRIGGER survey_response_touch
    BEFORE UPDATE ON courses.survey_response
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION courses.survey_faults(of_survey uuid, answers jsonb)
    RETURNS TABLE (question integer, fault text)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH given AS (
        -- A null in the document is no answer.
        SELECT a.question, nullif(a.value, 'null') AS value
        FROM JSON_TABLE(answers, '$[*]'
                        COLUMNS (question integer PATH '$.question',
                                 value jsonb PATH '$.value')) AS a
    ), asked AS (
        SELECT q.*
        FROM courses.survey_question AS q
        WHERE q.business_id = tenant_mgmt.current_business_id() AND q.survey_id = of_survey
    )
    SELECT g.question, 'is not asked'
    FROM given AS g
    WHERE NOT EXISTS (SELECT FROM asked AS q WHERE q.sort_order = g.question)
    UNION ALL
    SELECT g.question, 'is answered twice'
    FROM given AS g
    GROUP BY g.question
    HAVING count(*) > 1
    UNION ALL
    SELECT q.sort_order, 'is not answered'
    FROM asked AS q
    WHERE q.is_required
      AND NOT EXISTS (SELECT FROM given AS g
                      WHERE g.question = q.sort_order AND g.value IS NOT NULL)
      AND (q.show_if IS NULL
           OR EXISTS (SELECT FROM given AS g
                      WHERE g.question = (q.show_if ->> 'question')::integer
                        AND g.value = q.show_if -> 'is'))
    UNION ALL
    SELECT g.question, 'is answered by something else'
    FROM given AS g
    JOIN asked AS q ON q.sort_order = g.question
    WHERE g.value IS NOT NULL AND NOT coalesce(CASE
        WHEN q.question_kind = 'text' THEN jsonb_typeof(g.value) = 'string'
        WHEN q.question_kind IN ('likert', 'nps')
            THEN jsonb_typeof(g.value) = 'number' AND g.value::text ~ '^-?\d+$'
                 AND g.value BETWEEN to_jsonb(q.scale_min) AND to_jsonb(q.scale_max)
        WHEN q.question_kind = 'slider'
            THEN jsonb_typeof(g.value) = 'number'
                 AND g.value BETWEEN to_jsonb(q.scale_min) AND to_jsonb(q.scale_max)
        WHEN q.question_kind = 'single_choice'
            THEN jsonb_typeof(g.value) = 'string' AND q.options @> g.value
        WHEN q.question_kind = 'multiple_choice'
            THEN jsonb_typeof(g.value) = 'array' AND q.options @> g.value
        ELSE jsonb_typeof(g.value) = 'object'
             AND q.options @> (SELECT coalesce(jsonb_agg(k), '[]')
                               FROM jsonb_object_keys(CASE jsonb_typeof(g.value)
                                                          WHEN 'object' THEN g.value
                                                          ELSE '{}' END) AS k)
             AND NOT EXISTS (
                 SELECT
                 FROM jsonb_each(CASE jsonb_typeof(g.value) WHEN 'object' THEN g.value
                                                            ELSE '{}' END) AS e
                 WHERE jsonb_typeof(e.value) <> 'number'
                    OR NOT e.value BETWEEN to_jsonb(q.scale_min) AND to_jsonb(q.scale_max))
        END, false);
END;
COMMENT ON FUNCTION courses.survey_faults(uuid, jsonb) IS
    'What is wrong with answers to a survey: questions that are not asked, answered twice, required
     and not answered, or answered by what their kind, scale or options do not allow.';

CREATE FUNCTION courses.take_response() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    asked record;
    wrong record;
BEGIN
    SELECT s.is_anonymous, s.status, s.opens_at, s.closes_at, s.title INTO asked
    FROM courses.survey AS s
    WHERE s.business_id = NEW.business_id AND s.survey_id = NEW.survey_id
    FOR NO KEY UPDATE;
    IF asked.is_anonymous AND (NEW.learner_id IS NOT NULL OR NEW.enrollment_id IS NOT NULL) THEN
        RAISE EXCEPTION 'survey "%" is anonymous', asked.title
            USING ERRCODE = 'check_violation', HINT = 'Keep neither learner nor enrollment.';
    END IF;
    IF row_security_active(TG_RELID) AND asked.status <> 'open' THEN
        RAISE EXCEPTION 'survey "%" is %', asked.title, asked.status
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.started_at < asked.opens_at OR NEW.submitted_at < asked.opens_at
       OR NEW.submitted_at > asked.closes_at THEN
        RAISE EXCEPTION 'survey "%" takes no answers then', asked.title
            USING ERRCODE = 'check_violation',
                  HINT = 'It is answered from its opening to its close.';
    END IF;
    IF NEW.is_complete THEN
        SELECT f.question, f.fault INTO wrong
        FROM courses.survey_faults(NEW.survey_id, NEW.answers) AS f
        ORDER BY f.question, f.fault
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'question % %', wrong.question, wrong.fault
                USING ERRCODE = 'check_violation';
        END IF;
        SELECT a.value::integer INTO NEW.nps_score
        FROM JSON_TABLE(NEW.answers, '$[*]' COLUMNS (question integer PATH '$.question',
                                                     value text PATH '$.value')) AS a
        JOIN courses.survey_question AS q
            ON q.business_id = NEW.business_id AND q.survey_id = NEW.survey_id
           AND q.sort_order = a.question AND q.question_kind = 'nps'
        ORDER BY q.sort_order
        LIMIT 1;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.take_response() IS
    'A response is given while the survey is open; complete, its answers fit the questions, and its
     score is the first question of that kind. One of an anonymous survey names nobody.';

CREATE TRIGGER survey_response_taken
    BEFORE INSERT OR UPDATE OF survey_id, answers, is_complete, learner_id, enrollment_id,
                               started_at, submitted_at
    ON courses.survey_response
    FOR EACH ROW EXECUTE FUNCTION courses.take_response();

CREATE FUNCTION courses.keep_response() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a response that was handed in is not changed'
        USING ERRCODE = 'restrict_violation';
END
$$;
COMMENT ON FUNCTION courses.keep_response() IS 'What was answered stays what was answered.';

CREATE TRIGGER survey_response_kept
    BEFORE UPDATE ON courses.survey_response
    FOR EACH ROW WHEN (OLD.is_complete
                       AND (NEW.answers, NEW.survey_id, NEW.is_complete, NEW.nps_score,
                            NEW.submitted_at)
                           IS DISTINCT FROM (OLD.answers, OLD.survey_id, OLD.is_complete,
                                             OLD.nps_score, OLD.submitted_at))
    EXECUTE FUNCTION courses.keep_response();

CREATE FUNCTION courses.count_responses() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE courses.survey AS s
    SET response_count = n.found, invited_count = greatest(s.invited_count, n.found)
    FROM (
        SELECT t.business_id, t.survey_id, count(r.survey_response_id) AS found
        FROM (SELECT DISTINCT c.business_id, c.survey_id FROM changed AS c) AS t
        LEFT JOIN courses.survey_response AS r
            ON r.business_id = t.business_id AND r.survey_id = t.survey_id AND r.is_complete
        GROUP BY t.business_id, t.survey_id
    ) AS n
    WHERE s.business_id = n.business_id AND s.survey_id = n.survey_id
      AND s.response_count <> n.found;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.count_responses() IS
    'A survey knows how many answered; who came by a link was invited by it.';

CREATE TRIGGER survey_response_counted
    AFTER INSERT ON courses.survey_response
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.count_responses();

CREATE TRIGGER survey_response_counted_anew
    AFTER UPDATE ON courses.survey_response
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.count_responses();

CREATE TRIGGER survey_response_counted_less
    AFTER DELETE ON courses.survey_response
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.count_responses();

CREATE FUNCTION courses.seal_survey() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active('courses.survey_question') AND EXISTS (
           SELECT
           FROM courses.survey AS s
           WHERE s.business_id = coalesce(NEW.business_id, OLD.business_id)
             AND s.survey_id = coalesce(NEW.survey_id, OLD.survey_id) AND s.status <> 'draft') THEN
        RAISE EXCEPTION 'a survey that was opened keeps its questions'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
COMMENT ON FUNCTION courses.seal_survey() IS
    'Answers are read by the questions that were asked.';

CREATE TRIGGER survey_question_sealed
    BEFORE INSERT OR UPDATE OR DELETE ON courses.survey_question
    FOR EACH ROW EXECUTE FUNCTION courses.seal_survey();

CREATE FUNCTION courses.survey_results(of_survey uuid)
    RETURNS TABLE (question integer, construct text, answers bigint, average numeric,
                   promoters bigint, detractors bigint)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT q.sort_order, q.construct, count(*),
           round(avg(a.value::numeric) FILTER (
               WHERE q.question_kind IN ('likert', 'nps', 'slider')), 4),
           count(*) FILTER (WHERE q.question_kind = 'nps' AND a.value IN ('9', '10')),
           count(*) FILTER (WHERE q.question_kind = 'nps'
                                  AND a.value IN ('0', '1', '2', '3', '4', '5', '6'))
    FROM courses.survey AS s
    JOIN courses.survey_question AS q
        ON q.business_id = s.business_id AND q.survey_id = s.survey_id
    JOIN courses.survey_response AS r
        ON r.business_id = s.business_id AND r.survey_id = s.survey_id AND r.is_complete
    CROSS JOIN LATERAL JSON_TABLE(
        r.answers, '$[*]' COLUMNS (question integer PATH '$.question',
                                   value text PATH '$.value')) AS a
    WHERE s.business_id = tenant_mgmt.current_business_id() AND s.survey_id = of_survey
      AND a.question = q.sort_order AND a.value IS NOT NULL
    GROUP BY s.business_id, s.survey_id, s.is_anonymous, s.minimum_group_size, q.business_id,
             q.survey_question_id, q.sort_order, q.construct
    HAVING NOT s.is_anonymous OR count(*) >= s.minimum_group_size
    ORDER BY q.sort_order;
END;
COMMENT ON FUNCTION courses.survey_results(uuid) IS
    'How often and how on average each question was answered, with promoters and detractors of an
     NPS; of an anonymous survey only what enough people answered.';
