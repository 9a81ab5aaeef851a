/*
 * How a lesson is taken: what the player calls, and what follows.
 *
 * courses.unmet_rules() says what keeps which lesson closed for an enrollment, and
 * courses.is_released() whether one is open. courses.record_lesson_event() takes what the player
 * reports and applies the lesson's completion rule; courses.record_heartbeat() does so for a film,
 * every few seconds. courses.start_attempt() opens a quiz, courses.save_answer() keeps an answer;
 * what was graded, committed by courseware or returned by a tool is reported to the lesson by
 * triggers. courses.lti_claims() is what a tool is told of a learner.
 */

CREATE FUNCTION courses.unmet_rules(
    enrollment  uuid,
    at          timestamptz DEFAULT now(),
    only_lesson uuid DEFAULT NULL
) RETURNS TABLE (lesson_id uuid, release_rule_id uuid, rule_kind text, shows_locked boolean,
                 opens_at timestamptz, message text)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH who AS (
        SELECT e.business_id, e.enrollment_id, e.learner_id, e.cohort_id, e.course_section_id,
               s.course_id,
               coalesce(e.started_at, e.enrolled_at) AS start_at
        FROM courses.enrollment AS e
        JOIN courses.course_section AS s
            ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
        WHERE e.business_id = tenant_mgmt.current_business_id()
          AND e.enrollment_id = unmet_rules.enrollment
    ), lessons AS (
        SELECT w.business_id, l.lesson_id, m.course_module_id, m.parent_module_id,
               greatest(m.unlock_after_days, coalesce(c.unlock_after_days, 0)) AS unlock_days
        FROM who AS w
        JOIN courses.course_module AS m
            ON m.business_id = w.business_id AND m.course_id = w.course_id
        LEFT JOIN courses.course_module AS c
            ON c.business_id = m.business_id AND c.course_module_id = m.parent_module_id
        JOIN courses.lesson AS l
            ON l.business_id = m.business_id AND l.course_module_id = m.course_module_id
        WHERE NOT l.is_preview
          AND (unmet_rules.only_lesson IS NULL OR l.lesson_id = unmet_rules.only_lesson)
    ), rules AS (
        SELECT l.lesson_id AS closed_lesson_id, r.*
        FROM lessons AS l
        JOIN courses.release_rule AS r
            ON r.business_id = l.business_id AND r.lesson_id = l.lesson_id AND r.is_active
        UNION ALL
        SELECT l.lesson_id, r.*
        FROM lessons AS l
        JOIN courses.release_rule AS r
            ON r.business_id = l.business_id AND r.is_active
           AND r.course_module_id IN (l.course_module_id, l.parent_module_id)
    )
    SELECT l.lesson_id, NULL::uuid, 'days_after_start', true,
           w.start_at + l.unlock_days * interval '1 day', NULL
    FROM lessons AS l
    CROSS JOIN who AS w
    WHERE l.unlock_days > 0
      AND coalesce(w.start_at + l.unlock_days * interval '1 day' > unmet_rules.at, true)
    UNION ALL
    SELECT r.closed_lesson_id, r.release_rule_id, r.rule_kind, r.shows_locked,
           CASE r.rule_kind WHEN 'days_after_start'
                            THEN w.start_at + r.offset_days * interval '1 day'
                            ELSE r.available_from END,
           r.message
    FROM rules AS r
    CROSS JOIN who AS w
    LEFT JOIN courses.lesson_progress AS p
        ON p.business_id = w.business_id AND p.enrollment_id = w.enrollment_id
       AND p.lesson_id = r.after_lesson_id
    CROSS JOIN LATERAL (
        SELECT r.cohort_id IS NOT NULL AND (
                   coalesce(w.cohort_id = r.cohort_id, false)
                   OR EXISTS (
                       SELECT
                       FROM courses.cohort_member AS c
                       JOIN courses.cohort AS k
                           ON k.business_id = c.business_id AND k.cohort_id = c.cohort_id
                       WHERE c.business_id = w.business_id AND c.cohort_id = r.cohort_id
                         AND c.learner_id = w.learner_id
                         -- A class of another section is another run of the course.
                         AND coalesce(k.course_section_id = w.course_section_id, true)
                         AND coalesce(c.joined_at, '-infinity') <= unmet_rules.at
                         AND coalesce(c.left_at, 'infinity') > unmet_rules.at)) AS is_member
    ) AS g
    WHERE (r.cohort_id IS NULL OR r.rule_kind = 'member_of' OR g.is_member)
      AND NOT coalesce(
          coalesce(r.available_from <= unmet_rules.at, r.rule_kind <> 'manual')
          AND coalesce(r.available_until > unmet_rules.at, true)
          AND CASE r.rule_kind
                  WHEN 'days_after_start'
                      THEN w.start_at + r.offset_days * interval '1 day' <= unmet_rules.at
                  WHEN 'after_item' THEN p.state IN ('completed', 'exempt')
                  WHEN 'minimum_score' THEN p.best_score_pct >= r.minimum_score_pct
                  WHEN 'member_of' THEN g.is_member
                  ELSE true END, false);
END;
COMMENT ON FUNCTION courses.unmet_rules(uuid, timestamptz, uuid) IS
    'What keeps lessons of an enrollment''s course closed: rules of the lesson, its module and its
     chapter that are not met, and the drip of modules; a rule with a cohort holds for its members
     only. A preview is never closed.';

CREATE FUNCTION courses.is_released(
    lesson_id     uuid,
    enrollment_id uuid,
    at            timestamptz DEFAULT now()
) RETURNS boolean
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT EXISTS (
            SELECT
            FROM courses.enrollment AS e
            JOIN courses.course_section AS s
                ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
            JOIN courses.lesson AS l
                ON l.business_id = e.business_id AND l.lesson_id = is_released.lesson_id
               AND l.is_published
            JOIN courses.course_module AS m
                ON m.business_id = l.business_id AND m.course_module_id = l.course_module_id
               AND m.course_id = s.course_id AND m.is_published
            LEFT JOIN courses.course_module AS c
                ON c.business_id = m.business_id AND c.course_module_id = m.parent_module_id
            WHERE e.business_id = tenant_mgmt.current_business_id()
              AND e.enrollment_id = is_released.enrollment_id AND coalesce(c.is_published, true)
        ) AND NOT EXISTS (
            SELECT
            FROM courses.unmet_rules(is_released.enrollment_id, is_released.at,
                                     is_released.lesson_id) AS u
        )
    );
END
$$;
COMMENT ON FUNCTION courses.is_released(uuid, uuid, timestamptz) IS
    'Whether a lesson is open for an enrollment: published with its module and chapter, in the
     course, and every rule that holds for the learner is met: drip, dates, prior items, scores,
     groups.';


CREATE FUNCTION courses.record_lesson_event(
    enrollment_id uuid,
    lesson_id     uuid,
    event         jsonb,
    moment        timestamptz DEFAULT now()
) RETURNS TABLE (state text, course_pct numeric)
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    tenant  CONSTANT uuid := tenant_mgmt.current_business_id();
    kind    CONSTANT text := event ->> 'kind';
    source  CONSTANT text := coalesce(event ->> 'source',
                                      CASE kind WHEN 'marked' THEN 'manual' ELSE 'rule' END);
    spent   CONSTANT integer := coalesce((event ->> 'seconds')::integer, 0);
    scored  CONSTANT numeric := (event ->> 'score_pct')::numeric;
    passed  CONSTANT boolean := (event ->> 'passed')::boolean;
    opened  boolean := kind = 'opened';
    who     record;
    page    record;
    had     record;
    scroll  numeric;
    seconds integer;
    reached text;
BEGIN
    IF kind IS NULL OR kind NOT IN ('opened', 'scrolled', 'time', 'watched', 'submitted',
                                    'graded', 'marked', 'exempted') OR spent < 0 THEN
        RAISE EXCEPTION 'this is no lesson event: %', event
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = '{"kind": "opened" … "exempted", "seconds", "scroll_pct", "watched_pct",'
                         ' "score_pct", "passed", "source"}';
    END IF;
    SELECT e.learner_id, e.status INTO who
    FROM courses.enrollment AS e
    WHERE e.business_id = tenant AND e.enrollment_id = record_lesson_event.enrollment_id
    FOR NO KEY UPDATE;
    IF who.status IS NULL OR who.status NOT IN ('active', 'audit', 'completed', 'failed') THEN
        RAISE EXCEPTION 'an enrollment that is % takes no lessons', coalesce(who.status, 'unknown')
            USING ERRCODE = 'check_violation';
    END IF;
    IF kind NOT IN ('graded', 'marked', 'exempted')
       AND NOT courses.is_released(record_lesson_event.lesson_id,
                                   record_lesson_event.enrollment_id, moment) THEN
        RAISE EXCEPTION 'this lesson is not open yet'
            USING ERRCODE = 'check_violation',
                  HINT = 'courses.unmet_rules() says what keeps it closed.';
    END IF;
    SELECT l.completion_rule, l.minimum_seconds, l.minimum_watch_pct, l.lesson_kind INTO page
    FROM courses.lesson AS l
    WHERE l.business_id = tenant AND l.lesson_id = record_lesson_event.lesson_id;
    SELECT p.* INTO had
    FROM courses.lesson_progress AS p
    WHERE p.business_id = tenant AND p.enrollment_id = record_lesson_event.enrollment_id
      AND p.lesson_id = record_lesson_event.lesson_id;
    scroll := least(greatest(coalesce((event ->> 'scroll_pct')::numeric, 0),
                             coalesce(had.scroll_pct, 0)), 100);
    seconds := coalesce(had.seconds_spent, 0) + spent;
    reached := CASE
        WHEN had.state = 'completed' THEN 'completed'
        WHEN kind = 'exempted' THEN 'exempt'
        WHEN kind = 'marked' OR CASE page.completion_rule
                 WHEN 'viewed' THEN true
                 WHEN 'scrolled' THEN scroll >= 95
                 WHEN 'minimum_time' THEN seconds >= page.minimum_seconds
                 WHEN 'minimum_watch'
                     THEN coalesce((event ->> 'watched_pct')::numeric, 0)
                          >= page.minimum_watch_pct
                 WHEN 'submitted' THEN kind IN ('submitted', 'graded')
                 WHEN 'passed' THEN coalesce(passed, false)
                 ELSE false END
            THEN 'completed'
        WHEN had.state = 'exempt' THEN 'exempt'
        WHEN kind = 'graded' AND page.completion_rule = 'passed' AND NOT coalesce(passed, true)
            THEN 'failed'
        ELSE coalesce(nullif(had.state, 'not_started'), 'in_progress') END;
    INSERT INTO courses.lesson_progress AS p
        (business_id, enrollment_id, lesson_id, state, first_opened_at, last_opened_at,
         completed_at, seconds_spent, open_count, scroll_pct, best_score_pct, completion_source)
    VALUES (tenant, record_lesson_event.enrollment_id, record_lesson_event.lesson_id, reached,
            moment, moment, CASE WHEN reached = 'completed' THEN moment END, spent,
            opened::integer, scroll, scored,
            CASE WHEN reached = 'completed' THEN source END)
    ON CONFLICT (business_id, enrollment_id, lesson_id)
    DO UPDATE SET state = reached,
                  first_opened_at = coalesce(p.first_opened_at, moment),
                  last_opened_at = greatest(p.last_opened_at, moment),
                  completed_at = CASE WHEN reached = 'completed'
                                      THEN coalesce(p.completed_at,
                                                    greatest(p.first_opened_at, moment)) END,
                  seconds_spent = p.seconds_spent + spent,
                  open_count = p.open_count + opened::integer,
                  scroll_pct = scroll,
                  best_score_pct = greatest(p.best_score_pct, scored),
                  completion_source = CASE WHEN reached = 'completed'
                                           THEN coalesce(p.completion_source, source) END;
    IF opened OR kind = 'graded' OR reached IS DISTINCT FROM had.state THEN
        INSERT INTO courses.learning_statement
            (business_id, learner_id, enrollment_id, stored_at, occurred_at, verb, object_kind,
             object_id, score_scaled, success, duration_seconds)
        VALUES (tenant, who.learner_id, record_lesson_event.enrollment_id,
                greatest(moment, now()), moment,
                CASE WHEN kind = 'graded' AND passed THEN 'passed'
                     WHEN kind = 'graded' AND NOT passed THEN 'failed'
                     WHEN reached = 'completed' AND had.state IS DISTINCT FROM 'completed'
                         THEN 'completed'
                     ELSE 'experienced' END,
                'lesson', record_lesson_event.lesson_id, round(scored / 100, 6), passed,
                nullif(spent, 0));
    END IF;
    RETURN QUERY
        SELECT reached, e.progress_pct::numeric
        FROM courses.enrollment AS e
        WHERE e.business_id = tenant AND e.enrollment_id = record_lesson_event.enrollment_id;
END
$$;
COMMENT ON FUNCTION courses.record_lesson_event(uuid, uuid, jsonb, timestamptz) IS
    'Takes what the player reports of a lesson, {"kind", "seconds", "scroll_pct", "watched_pct",
     "score_pct", "passed", "source"}, applies the completion rule, and returns how the lesson and
     the course stand. Points and streaks follow from the progress that it writes. A closed lesson
     is refused; of a completed one, time and openings are still counted.';


CREATE FUNCTION courses.record_heartbeat(
    enrollment uuid,
    item       uuid,
    from_s     integer,
    to_s       integer,
    speed      numeric DEFAULT 1,
    captions   text DEFAULT NULL,
    moment     timestamptz DEFAULT now()
) RETURNS TABLE (watched_pct numeric, position_seconds integer)
    LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    film   record;
    seen   record;
BEGIN
    SELECT i.duration_seconds, i.lesson_id, l.minimum_watch_pct, e.learner_id,
           p.state AS lesson_state, v.video_progress_id IS NOT NULL AS is_begun
    INTO film
    FROM courses.content_item AS i
    JOIN courses.enrollment AS e
        ON e.business_id = tenant AND e.enrollment_id = record_heartbeat.enrollment
    LEFT JOIN courses.video_progress AS v
        ON v.business_id = tenant AND v.enrollment_id = e.enrollment_id
       AND v.content_item_id = i.content_item_id
    LEFT JOIN courses.lesson AS l
        ON l.business_id = tenant AND l.lesson_id = i.lesson_id
       AND l.completion_rule = 'minimum_watch'
    LEFT JOIN courses.lesson_progress AS p
        ON p.business_id = tenant AND p.enrollment_id = e.enrollment_id
       AND p.lesson_id = l.lesson_id
    WHERE i.business_id = tenant AND i.content_item_id = item
      AND i.content_kind IN ('video', 'audio');
    IF NOT FOUND OR from_s < 0 OR to_s < from_s OR to_s - from_s > 3600 THEN
        RAISE EXCEPTION 'nothing to watch from % to %', from_s, to_s
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- All heartbeats but the first find their row: ON CONFLICT DO UPDATE would make and check a new
    -- one each time only to throw it away.
    IF NOT film.is_begun THEN
        INSERT INTO courses.video_progress
            (business_id, enrollment_id, content_item_id, duration_seconds, last_heartbeat_at)
        VALUES (tenant, enrollment, item, film.duration_seconds, moment)
        ON CONFLICT (business_id, enrollment_id, content_item_id) DO NOTHING;
    END IF;
    UPDATE courses.video_progress AS v
    SET position_seconds = least(to_s, v.duration_seconds),
        watched_ranges = courses.merge_watched_ranges(
            v.watched_ranges, least(from_s, v.duration_seconds), least(to_s, v.duration_seconds)),
        total_play_seconds = v.total_play_seconds + (to_s - from_s),
        rewind_count = v.rewind_count + (from_s < v.position_seconds)::integer,
        average_speed = CASE WHEN v.total_play_seconds + to_s > from_s THEN
            round((v.average_speed * v.total_play_seconds + speed * (to_s - from_s))
                  / (v.total_play_seconds + to_s - from_s), 2)
            ELSE speed END,
        caption_language = coalesce(captions, v.caption_language),
        last_heartbeat_at = greatest(v.last_heartbeat_at, moment)
    WHERE v.business_id = tenant AND v.enrollment_id = record_heartbeat.enrollment
      AND v.content_item_id = item
    RETURNING v.watched_pct, v.position_seconds, v.completed_at INTO seen;
    INSERT INTO courses.learning_statement
        (business_id, learner_id, enrollment_id, stored_at, occurred_at, verb, object_kind,
         object_id, duration_seconds)
    VALUES (tenant, film.learner_id, enrollment, greatest(moment, now()), moment, 'progressed',
            'media', item, to_s - from_s);
    IF seen.watched_pct >= 95 AND seen.completed_at IS NULL THEN
        UPDATE courses.video_progress AS v
        SET completed_at = moment
        WHERE v.business_id = tenant AND v.enrollment_id = record_heartbeat.enrollment
          AND v.content_item_id = item;
    END IF;
    -- The lesson hears of it once, when enough was seen.
    IF seen.watched_pct >= film.minimum_watch_pct
       AND film.lesson_state IS DISTINCT FROM 'completed' THEN
        PERFORM courses.record_lesson_event(
            enrollment, film.lesson_id,
            jsonb_build_object('kind', 'watched', 'watched_pct', seen.watched_pct), moment);
    END IF;
    RETURN QUERY SELECT seen.watched_pct::numeric, seen.position_seconds::integer;
END
$$;
COMMENT ON FUNCTION courses.record_heartbeat(
    uuid, uuid, integer, integer, numeric, text, timestamptz) IS
    'A stretch of a film that a learner just watched: adds it to what was seen, keeps the position
     to resume from, and completes the lesson once its share is reached. Two devices at once add
     up.';


CREATE FUNCTION courses.start_attempt(
    assessment_id uuid,
    enrollment_id uuid,
    access_code   text DEFAULT NULL,
    client_ip     inet DEFAULT NULL,
    moment        timestamptz DEFAULT now()
) RETURNS uuid
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    quiz   record;
    terms  record;
    turn   integer;
    began  timestamptz;
    seed   bigint;
    made   uuid;
BEGIN
    -- Who starts twice at once, as with a double click, gets one attempt.
    PERFORM
    FROM courses.enrollment AS e
    WHERE e.business_id = tenant AND e.enrollment_id = start_attempt.enrollment_id
    FOR NO KEY UPDATE;
    SELECT a.assessment_attempt_id INTO made
    FROM courses.assessment_attempt AS a
    WHERE a.business_id = tenant AND a.assessment_id = start_attempt.assessment_id
      AND a.enrollment_id = start_attempt.enrollment_id
      AND a.state IN ('in_progress', 'overdue');
    IF FOUND AND courses.submit_attempt(made, moment, by_clock => true)
                 IN ('in_progress', 'overdue') THEN
        RETURN made;
    END IF;
    SELECT q.lesson_id, q.title INTO quiz
    FROM courses.assessment AS q
    WHERE q.business_id = tenant AND q.assessment_id = start_attempt.assessment_id;
    IF quiz.lesson_id IS NOT NULL
       AND NOT courses.is_released(quiz.lesson_id, start_attempt.enrollment_id, moment) THEN
        RAISE EXCEPTION '"%" is not open yet', quiz.title USING ERRCODE = 'check_violation';
    END IF;
    SELECT t.* INTO terms
    FROM courses.attempt_terms(start_attempt.assessment_id, start_attempt.enrollment_id,
                               moment) AS t;
    IF terms.access_code_hash IS NOT NULL
       AND sha256(convert_to(coalesce(access_code, ''), 'UTF8')) <> terms.access_code_hash THEN
        RAISE EXCEPTION 'the access code of "%" is another one', quiz.title
            USING ERRCODE = 'invalid_password';
    END IF;
    -- Who waited for the lock began when the attempt before was in.
    SELECT coalesce(l.tried, 0) + 1, greatest(l.last_at, moment)
    INTO turn, began
    FROM courses.last_attempt(start_attempt.assessment_id, start_attempt.enrollment_id) AS l;
    seed := hashtextextended(start_attempt.assessment_id::text
                             || start_attempt.enrollment_id || turn, 0);
    INSERT INTO courses.assessment_attempt
        (business_id, assessment_id, enrollment_id, attempt_no, started_at, draw_seed,
         question_order, client_ip)
    SELECT tenant, start_attempt.assessment_id, start_attempt.enrollment_id, turn, began, seed,
           coalesce(jsonb_agg(jsonb_build_object('slot', d.slot_no, 'sequence', d.sequence_no,
                                                 'question', d.question_id)
                    ORDER BY d.asked_no), '[]'), start_attempt.client_ip
    FROM courses.draw_questions(start_attempt.assessment_id, seed) AS d
    RETURNING assessment_attempt_id INTO made;
    INSERT INTO courses.attempt_response
        (business_id, assessment_attempt_id, question_id, assessment_slot_id, sequence_no,
         max_points)
    SELECT tenant, made, d.question_id, d.assessment_slot_id, d.sequence_no, d.max_points
    FROM courses.draw_questions(start_attempt.assessment_id, seed) AS d
    ORDER BY d.asked_no;
    IF NOT FOUND THEN
        RAISE EXCEPTION '"%" has no live question', quiz.title USING ERRCODE = 'check_violation';
    END IF;
    RETURN made;
END
$$;
COMMENT ON FUNCTION courses.start_attempt(uuid, uuid, text, inet, timestamptz) IS
    'Opens an attempt and draws its questions, or returns the one that is open. The lesson is to be
     released, the window open, the code right and an attempt left, all by the terms of the
     learner.';

CREATE FUNCTION courses.save_answer(
    attempt  uuid,
    question uuid,
    response jsonb,
    spent    integer DEFAULT 0,
    moment   timestamptz DEFAULT now()
) RETURNS integer
    LANGUAGE sql VOLATILE
BEGIN ATOMIC
    -- The attempt first, as who hands it in locks it: the two never wait for each other.
    SELECT a.assessment_attempt_id
    FROM courses.assessment_attempt AS a
    WHERE a.business_id = tenant_mgmt.current_business_id()
      AND a.assessment_attempt_id = save_answer.attempt
    FOR SHARE;
    UPDATE courses.attempt_response AS r
    SET response = save_answer.response,
        first_answered_at = coalesce(r.first_answered_at, save_answer.moment),
        last_saved_at = greatest(r.last_saved_at, save_answer.moment),
        time_spent_seconds = r.time_spent_seconds + save_answer.spent,
        change_count = r.change_count
            + (r.response IS DISTINCT FROM save_answer.response
               AND r.response IS NOT NULL)::integer
    WHERE r.business_id = tenant_mgmt.current_business_id()
      AND r.assessment_attempt_id = save_answer.attempt
      AND r.question_id = save_answer.question
    RETURNING r.change_count;
END;
COMMENT ON FUNCTION courses.save_answer(uuid, uuid, jsonb, integer, timestamptz) IS
    'Keeps an answer as it is now, as often as the player likes; returns how often it was changed.';


CREATE FUNCTION courses.report_graded_attempt() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    PERFORM courses.observe_outcomes(NEW.assessment_attempt_id);
    PERFORM r.state
    FROM courses.assessment AS q
    JOIN courses.enrollment AS e
        ON e.business_id = q.business_id AND e.enrollment_id = NEW.enrollment_id
       AND e.status IN ('active', 'audit', 'completed', 'failed')
    CROSS JOIN LATERAL courses.record_lesson_event(
        NEW.enrollment_id, q.lesson_id,
        jsonb_build_object('kind', 'graded', 'score_pct', NEW.score_pct, 'passed', NEW.passed,
                           'seconds', CASE WHEN OLD.state = 'graded' THEN 0
                                           ELSE NEW.time_spent_seconds END),
        greatest(NEW.graded_at, NEW.submitted_at)) AS r
    WHERE q.business_id = NEW.business_id AND q.assessment_id = NEW.assessment_id
      AND q.lesson_id IS NOT NULL;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.report_graded_attempt() IS
    'A graded attempt is evidence of outcomes, and its lesson knows the score and whether it was
     passed; so it is when it is graded anew.';

CREATE TRIGGER assessment_attempt_reported
    AFTER UPDATE ON courses.assessment_attempt
    FOR EACH ROW WHEN (NEW.state = 'graded'
                       AND (OLD.state, OLD.score_pct) IS DISTINCT FROM (NEW.state, NEW.score_pct))
    EXECUTE FUNCTION courses.report_graded_attempt();

CREATE FUNCTION courses.report_courseware() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    PERFORM r.state
    FROM courses.scorm_package AS p
    CROSS JOIN LATERAL courses.record_lesson_event(
        NEW.enrollment_id, p.lesson_id,
        jsonb_build_object(
            'kind', CASE WHEN NEW.success_status = 'unknown' THEN 'submitted' ELSE 'graded' END,
            'source', 'scorm',
            'score_pct', round(100 * greatest(NEW.score_scaled, 0), 4),
            'passed', CASE NEW.success_status WHEN 'passed' THEN true WHEN 'failed' THEN false
                                              END), NEW.last_commit_at) AS r
    WHERE p.business_id = NEW.business_id AND p.scorm_package_id = NEW.scorm_package_id
      -- Every SCO of the package is done, this one with it.
      AND p.sco_count = (
          SELECT count(DISTINCT a.sco_identifier)
          FROM courses.scorm_attempt AS a
          WHERE a.business_id = NEW.business_id AND a.scorm_package_id = p.scorm_package_id
            AND a.enrollment_id = NEW.enrollment_id AND a.completion_status = 'completed');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.report_courseware() IS
    'A package whose SCOs are all completed is handed in on its lesson, or graded where it judges.';

CREATE TRIGGER scorm_attempt_reported
    AFTER INSERT OR UPDATE OF completion_status, success_status, score_scaled
    ON courses.scorm_attempt
    FOR EACH ROW WHEN (NEW.completion_status = 'completed')
    EXECUTE FUNCTION courses.report_courseware();

CREATE FUNCTION courses.report_tool_score() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active('courses.lti_launch') THEN
        PERFORM r.state
        FROM courses.record_lesson_event(
            NEW.enrollment_id, NEW.lesson_id,
            jsonb_build_object('kind', 'graded', 'source', 'lti',
                               'score_pct', round(100 * NEW.score_given / NEW.score_maximum, 4),
                               'passed', true)) AS r;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.report_tool_score() IS
    'A score that a tool returned with its activity completed counts on the lesson; a tool tells no
     pass mark.';

CREATE TRIGGER lti_launch_reported
    AFTER UPDATE ON courses.lti_launch
    FOR EACH ROW WHEN (NEW.score_given IS NOT NULL AND NEW.activity_progress = 'completed'
                       AND NEW.enrollment_id IS NOT NULL AND NEW.lesson_id IS NOT NULL
                       AND OLD.score_given IS DISTINCT FROM NEW.score_given)
    EXECUTE FUNCTION courses.report_tool_score();


CREATE FUNCTION courses.lti_claims(tool uuid, enrollment uuid, lesson uuid DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT jsonb_strip_nulls(jsonb_build_object(
               'sub', encode(sha256(convert_to(t.lti_tool_id::text || l.learner_id, 'UTF8')),
                             'hex'),
               'aud', t.client_identifier,
               'https://purl.imsglobal.org/spec/lti/claim/deployment_id', t.deployment_code,
               'https://purl.imsglobal.org/spec/lti/claim/version', '1.3.0',
               'https://purl.imsglobal.org/spec/lti/claim/target_link_uri', t.target_url,
               'https://purl.imsglobal.org/spec/lti/claim/roles', jsonb_build_array(
                   'http://purl.imsglobal.org/vocab/lis/v2/membership#Learner'),
               'https://purl.imsglobal.org/spec/lti/claim/resource_link',
               CASE WHEN lti_claims.lesson IS NOT NULL
                    THEN jsonb_build_object('id', lti_claims.lesson) END,
               'https://purl.imsglobal.org/spec/lti/claim/context',
               jsonb_build_object('id', s.course_section_id, 'title', s.title),
               'name', CASE WHEN t.privacy_level IN ('name_only', 'public')
                            THEN u.display_name END,
               'email', CASE WHEN t.privacy_level IN ('email_only', 'public') THEN u.email END))
    FROM courses.lti_tool AS t
    JOIN courses.enrollment AS e
        ON e.business_id = t.business_id AND e.enrollment_id = lti_claims.enrollment
    JOIN courses.learner AS l
        ON l.business_id = e.business_id AND l.learner_id = e.learner_id
    LEFT JOIN user_mgmt.user_account AS u
        ON u.business_id = l.business_id AND u.user_account_id = l.user_account_id
    LEFT JOIN courses.course_section AS s
        ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
    WHERE t.business_id = tenant_mgmt.current_business_id() AND t.lti_tool_id = tool
      AND t.status <> 'disabled';
END;
COMMENT ON FUNCTION courses.lti_claims(uuid, uuid, uuid) IS
    'What a launch tells a tool: no more of the learner than its privacy level allows, and a subject
     that another tool cannot match. NULL for a tool that is disabled.';
