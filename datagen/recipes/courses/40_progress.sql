SELECT tenant_mgmt.set_tenant(%(business_id)s);
SET LOCAL enable_nestloop = off;

-- A lesson opens for a class on the day it begins.
INSERT INTO courses.release_rule
    (business_id, release_rule_id, course_module_id, cohort_id, rule_kind, available_from,
     message)
SELECT k.business_id, md5('class begins ' || k.cohort_id)::uuid,
       md5('module 2' || s.course_id)::uuid, k.cohort_id, 'on_date',
       (k.starts_on - 1)::timestamp AT TIME ZONE 'UTC', 'Opens when the class begins.'
FROM courses.cohort AS k
JOIN courses.course_section AS s
    ON s.business_id = k.business_id AND s.course_section_id = k.course_section_id
JOIN courses.course_module AS m
    ON m.business_id = s.business_id
   AND m.course_module_id = md5('module 2' || s.course_id)::uuid
WHERE k.business_id = %(business_id)s
  AND NOT EXISTS (
      SELECT
      FROM courses.enrollment AS e
      JOIN courses.lesson AS l
          ON l.business_id = m.business_id AND l.course_module_id = m.course_module_id
      JOIN courses.lesson_progress AS p
          ON p.business_id = e.business_id AND p.enrollment_id = e.enrollment_id
         AND p.lesson_id = l.lesson_id
      WHERE e.business_id = k.business_id AND e.cohort_id = k.cohort_id
        AND p.first_opened_at < (k.starts_on - 1)::timestamp AT TIME ZONE 'UTC');

-- Films: who finished the lesson saw its share of it and mostly all, one in six saw parts twice;
-- who did not left in the first fifth.
INSERT INTO courses.video_progress
    (business_id, video_progress_id, enrollment_id, content_item_id, position_seconds,
     duration_seconds, watched_ranges, total_play_seconds, rewind_count, pause_count,
     average_speed, caption_language, last_heartbeat_at, completed_at)
SELECT p.business_id, md5('watched ' || p.enrollment_id || i.content_item_id)::uuid,
       p.enrollment_id, i.content_item_id, s.upto, i.duration_seconds, w.ranges,
       s.upto - s.gap + s.again, CASE WHEN s.again > 0 THEN 1 ELSE 0 END, (h.place %% 4)::integer,
       CASE WHEN h.place %% 10 < 3 THEN 1.25 + h.place %% 2 * 0.25 ELSE 1 END,
       CASE WHEN h.place %% 5 = 0 THEN i.language_code END, p.last_opened_at,
       CASE WHEN (s.upto - s.gap) * 100.0 / i.duration_seconds >= 95 THEN p.last_opened_at END
FROM courses.lesson_progress AS p
JOIN courses.lesson AS l ON l.business_id = p.business_id AND l.lesson_id = p.lesson_id
JOIN courses.content_item AS i
    ON i.business_id = l.business_id AND i.lesson_id = l.lesson_id
   AND i.content_kind IN ('video', 'audio') AND i.duration_seconds > 60
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(p.enrollment_id::text || i.content_item_id, 60) %% 1000) AS place
) AS h
CROSS JOIN LATERAL (
    SELECT CASE WHEN p.state = 'completed'
                THEN i.duration_seconds * CASE WHEN h.place < 720 THEN 100
                                               ELSE 84 + h.place %% 15 END / 100
                ELSE i.duration_seconds * (3 + h.place %% 16) / 100 END::integer AS upto,
           CASE WHEN p.state = 'completed' AND h.place < 720 AND h.place %% 8 = 0
                THEN i.duration_seconds / 25 ELSE 0 END AS gap,
           CASE WHEN h.place %% 6 = 1 THEN 30 ELSE 0 END AS again
) AS s
CROSS JOIN LATERAL (
    SELECT CASE WHEN s.gap > 0
                THEN jsonb_build_array(jsonb_build_array(0, s.upto / 2),
                                       jsonb_build_array(s.upto / 2 + s.gap, s.upto))
                ELSE jsonb_build_array(jsonb_build_array(0, s.upto)) END AS ranges
) AS w
WHERE p.business_id = %(business_id)s AND s.upto > 1;

-- The roll-ups: the rows by names of their own, the figures as they are always counted.
INSERT INTO courses.course_progress
    (business_id, course_progress_id, enrollment_id, recomputed_at)
SELECT e.business_id, md5('roll-up ' || e.enrollment_id)::uuid, e.enrollment_id,
       %(as_of)s::timestamptz
FROM courses.enrollment AS e
WHERE e.business_id = %(business_id)s AND e.course_section_id IS NOT NULL
  AND e.status NOT IN ('requested', 'pending_payment');

SELECT courses.recompute_course_progress(ARRAY(
    SELECT p.enrollment_id
    FROM courses.course_progress AS p
    WHERE p.business_id = %(business_id)s
    ORDER BY p.enrollment_id), %(as_of)s::timestamptz);

-- What the graded attempts say of each outcome.
INSERT INTO courses.outcome_mastery
    (business_id, outcome_mastery_id, learner_id, learning_outcome_id, course_section_id,
     evidence)
SELECT n.business_id,
       md5('mastery ' || n.learner_id || n.learning_outcome_id || n.course_section_id)::uuid,
       n.learner_id, n.learning_outcome_id, n.course_section_id,
       jsonb_agg(jsonb_build_object(
           'source', 'assessment', 'id', n.assessment_attempt_id, 'pct', n.pct,
           'at', to_char(n.submitted_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
           ORDER BY n.submitted_at, n.assessment_attempt_id)
FROM (
    SELECT a.business_id, e.learner_id, q.learning_outcome_id, e.course_section_id,
           a.assessment_attempt_id, a.submitted_at,
           round(greatest(100 * sum(r.points_awarded) / sum(r.max_points), 0), 2) AS pct
    FROM courses.assessment_attempt AS a
    JOIN courses.enrollment AS e
        ON e.business_id = a.business_id AND e.enrollment_id = a.enrollment_id
    JOIN courses.attempt_response AS r
        ON r.business_id = a.business_id AND r.assessment_attempt_id = a.assessment_attempt_id
    JOIN courses.question AS q
        ON q.business_id = r.business_id AND q.question_id = r.question_id
    WHERE a.business_id = %(business_id)s AND a.state = 'graded'
      AND q.learning_outcome_id IS NOT NULL
    GROUP BY a.business_id, e.learner_id, q.learning_outcome_id, e.course_section_id,
             a.assessment_attempt_id, a.submitted_at
) AS n
GROUP BY n.business_id, n.learner_id, n.learning_outcome_id, n.course_section_id;

-- One learner in three set a goal; some were given one.
INSERT INTO courses.learning_goal
    (business_id, learning_goal_id, learner_id, course_id, title, goal_kind, target_value,
     current_value, starts_on, due_on, status, reached_at, reminder_weekday, set_by)
SELECT e.business_id, md5('goal ' || e.learner_id)::uuid, e.learner_id,
       CASE WHEN t.kind IN ('finish_by', 'score_at_least') THEN e.course_id END,
       CASE t.kind WHEN 'finish_by' THEN 'Finish ' || e.title
                   WHEN 'score_at_least' THEN t.target || ' percent in ' || e.title
                   WHEN 'minutes_per_week' THEN t.target || ' minutes a week'
                   ELSE t.target || ' lessons a week' END,
       t.kind, t.target, d.value, d.begins,
       CASE WHEN t.kind = 'finish_by' OR e.place %% 2 = 0 THEN d.begins + 60 END,
       s.status, CASE WHEN s.status = 'reached' THEN e.completed_at END,
       CASE WHEN t.kind LIKE '%%_per_week' THEN 1 + (e.place %% 7)::integer END,
       split_part('learner,learner,learner,advisor,learner,employer,system', ',',
                  (1 + e.place %% 7)::integer)
FROM (
    SELECT DISTINCT ON (x.learner_id) x.*, c.course_id, c.title, p.current_grade_pct,
           p.minutes_spent, abs(hashtextextended(x.learner_id::text, 61) %% 1000) AS place
    FROM courses.enrollment AS x
    JOIN courses.course_section AS k
        ON k.business_id = x.business_id AND k.course_section_id = x.course_section_id
    JOIN courses.course AS c ON c.business_id = k.business_id AND c.course_id = k.course_id
    JOIN courses.course_progress AS p
        ON p.business_id = x.business_id AND p.enrollment_id = x.enrollment_id
    WHERE x.business_id = %(business_id)s AND x.started_at < %(as_of)s::timestamptz
    ORDER BY x.learner_id, x.started_at DESC, x.enrollment_id
) AS e
CROSS JOIN LATERAL (
    SELECT split_part('minutes_per_week,finish_by,score_at_least,lessons_per_week', ',',
                      (1 + e.place %% 4)::integer) AS kind,
           split_part('90,1,80,3', ',', (1 + e.place %% 4)::integer)::numeric AS target
) AS t
CROSS JOIN LATERAL (
    SELECT (e.started_at AT TIME ZONE 'UTC')::date AS begins,
           CASE t.kind WHEN 'finish_by' THEN CASE WHEN e.status = 'completed' THEN 1 ELSE 0 END
                       WHEN 'score_at_least' THEN coalesce(e.current_grade_pct, 0)
                       WHEN 'minutes_per_week' THEN least(e.minutes_spent / 4, 240)
                       ELSE 1 + e.place %% 5 END AS value
) AS d
CROSS JOIN LATERAL (
    SELECT CASE WHEN e.status = 'completed' AND e.completed_at IS NOT NULL AND d.value >= t.target
                THEN 'reached'
                WHEN e.status = 'withdrawn' THEN 'abandoned'
                WHEN (t.kind = 'finish_by' OR e.place %% 2 = 0)
                     AND d.begins + 60 < %(as_of)s::date THEN 'missed'
                ELSE 'active' END AS status
) AS s
WHERE e.place %% 3 = 0;
