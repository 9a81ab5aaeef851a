SELECT tenant_mgmt.set_tenant(%(business_id)s);
SET LOCAL enable_nestloop = off;

-- One attempt when the lesson was done; a second one a day later by one in four where there may be
-- one, never worse than the first. A final that was failed before is taken a day and a half ahead.
-- Who failed the course failed its final.
INSERT INTO courses.assessment_attempt
    (business_id, assessment_attempt_id, assessment_id, enrollment_id, attempt_no, state,
     started_at, due_at, submitted_at, draw_seed, question_order, client_ip)
WITH taken AS (
    SELECT p.business_id, p.enrollment_id, p.completed_at, p.last_opened_at, p.state, e.status,
           a.assessment_id, a.assessment_kind, a.time_limit_minutes, a.max_attempts,
           abs(hashtextextended(p.enrollment_id::text || a.assessment_id, 30) %% 1000) AS odd,
           coalesce(q.completed_at, e.started_at) AS open_at,
           least(coalesce(e.completed_at, e.withdrawn_at, %(as_of)s::timestamptz),
                 %(as_of)s::timestamptz) AS end_at
    FROM courses.lesson_progress AS p
    JOIN courses.assessment AS a
        ON a.business_id = p.business_id AND a.lesson_id = p.lesson_id
    JOIN courses.enrollment AS e
        ON e.business_id = p.business_id AND e.enrollment_id = p.enrollment_id
    LEFT JOIN LATERAL (
        SELECT max(x.completed_at) AS completed_at
        FROM courses.lesson_progress AS x
        WHERE x.business_id = p.business_id AND x.enrollment_id = p.enrollment_id
          AND (x.completed_at < p.last_opened_at)
    ) AS q ON true
    WHERE p.business_id = %(business_id)s
), tries AS (
    -- The one that counted.
    SELECT t.*, 1 AS turn, t.completed_at AS done_at
    FROM taken AS t
    WHERE t.state = 'completed'
    UNION ALL
    SELECT t.*, 0, t.completed_at - interval '36 hours'
    FROM taken AS t
    WHERE t.state = 'completed' AND t.assessment_kind IN ('final', 'certification_exam')
      AND t.odd %% 6 = 0 AND t.open_at < t.completed_at - interval '39 hours'
    UNION ALL
    SELECT t.*, 2, t.completed_at + interval '26 hours'
    FROM taken AS t
    WHERE t.state = 'completed' AND t.assessment_kind IN ('graded_quiz', 'practice')
      AND t.odd %% 4 = 1 AND t.end_at > t.completed_at + interval '27 hours'
    UNION ALL
    SELECT t.*, 1, t.last_opened_at
    FROM taken AS t
    WHERE t.state = 'in_progress' AND t.status = 'failed'
      AND t.assessment_kind IN ('final', 'certification_exam')
), numbered AS (
    SELECT t.*, row_number() OVER (PARTITION BY t.enrollment_id, t.assessment_id
                                   ORDER BY t.turn) AS attempt_no,
           t.done_at - least(coalesce(t.time_limit_minutes, 25) * (0.45 + t.odd %% 50 * 0.01),
                             greatest(extract(epoch FROM t.done_at - t.open_at) / 60 - 1, 1))
                       * interval '1 minute' AS started_at
    FROM tries AS t
)
SELECT n.business_id, md5('attempt ' || n.attempt_no || n.assessment_id || n.enrollment_id)::uuid,
       n.assessment_id, n.enrollment_id, n.attempt_no, 'submitted', n.started_at,
       CASE WHEN n.time_limit_minutes IS NOT NULL
            THEN n.started_at + o.minutes * interval '1 minute' END,
       n.done_at, s.seed, d.asked, ('203.0.113.' || 1 + n.odd %% 250)::inet
FROM numbered AS n
CROSS JOIN LATERAL (
    SELECT hashtextextended(n.assessment_id::text || n.enrollment_id || n.attempt_no, 0) AS seed
) AS s
CROSS JOIN LATERAL (
    SELECT coalesce(max(t.time_limit_minutes), 0) AS minutes
    FROM courses.attempt_terms(n.assessment_id, n.enrollment_id, n.started_at) AS t
) AS o
CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object('slot', q.slot_no, 'sequence', q.sequence_no,
                                        'question', q.question_id) ORDER BY q.asked_no) AS asked
    FROM courses.draw_questions(n.assessment_id, s.seed) AS q
) AS d
WHERE d.asked IS NOT NULL
ORDER BY n.enrollment_id, n.started_at, n.attempt_no;

-- What each learner answered: right where ability meets difficulty, the other way round in the
-- broken one of sixty; and enough of it where the lesson or the course asked for a pass.
INSERT INTO courses.attempt_response
    (business_id, attempt_response_id, assessment_attempt_id, question_id, assessment_slot_id,
     sequence_no, response, max_points, first_answered_at, last_saved_at, time_spent_seconds,
     change_count, is_flagged)
WITH asked AS (
    SELECT a.business_id, a.assessment_attempt_id, a.enrollment_id, a.attempt_no, a.started_at,
           a.submitted_at, q.assessment_kind, e.status, e.learner_id, j.slot_no, j.sequence_no,
           j.question_id, j.asked_no, j.slots,
           abs(hashtextextended(a.assessment_attempt_id::text || j.question_id, 31) %% 10000)
               / 10000.0 AS luck,
           p.state = 'completed' AND p.completed_at = a.submitted_at
               AND (q.assessment_kind IN ('final', 'certification_exam')
                    OR q.assessment_id = md5('assessment 4.4' || q.course_id)::uuid)
               AS has_passed,
           q.assessment_kind IN ('final', 'certification_exam')
               AND (p.state <> 'completed' OR p.completed_at <> a.submitted_at) AS has_failed
    FROM courses.assessment_attempt AS a
    JOIN courses.assessment AS q
        ON q.business_id = a.business_id AND q.assessment_id = a.assessment_id
    JOIN courses.enrollment AS e
        ON e.business_id = a.business_id AND e.enrollment_id = a.enrollment_id
    JOIN courses.lesson_progress AS p
        ON p.business_id = a.business_id AND p.enrollment_id = a.enrollment_id
       AND p.lesson_id = q.lesson_id
    CROSS JOIN LATERAL (
        SELECT x.*, jsonb_array_length(a.question_order) AS slots
        FROM JSON_TABLE(a.question_order::jsonb, '$[*]' COLUMNS (
            asked_no FOR ORDINALITY,
            slot_no     integer PATH '$.slot',
            sequence_no integer PATH '$.sequence',
            question_id uuid    PATH '$.question')) AS x
    ) AS j
    WHERE a.business_id = %(business_id)s AND a.state = 'submitted'
), chances AS (
    SELECT k.*, x.question_kind, x.time_estimate_seconds, s.assessment_slot_id, s.max_points,
           1 / (1 + exp(-(0.9 + b.place %% 80 * 0.01) * (t.ability - t.difficulty))) AS chance,
           b.place %% 60 = 7 AS is_broken
    FROM asked AS k
    JOIN courses.question AS x
        ON x.business_id = k.business_id AND x.question_id = k.question_id
    JOIN courses.assessment_attempt AS a
        ON a.business_id = k.business_id AND a.assessment_attempt_id = k.assessment_attempt_id
    JOIN courses.assessment_slot AS s
        ON s.business_id = k.business_id AND s.assessment_id = a.assessment_id
       AND s.slot_no = k.slot_no
    CROSS JOIN LATERAL (
        SELECT abs(hashtextextended(k.question_id::text, 32) %% 1000) AS place
    ) AS b
    CROSS JOIN LATERAL (
        -- A sum of four throws stands for a normal one.
        SELECT (abs(hashtextextended(k.learner_id::text, 33) %% 1000)
                + abs(hashtextextended(k.learner_id::text, 34) %% 1000)
                + abs(hashtextextended(k.learner_id::text, 35) %% 1000)
                + abs(hashtextextended(k.learner_id::text, 36) %% 1000)) / 577.0 - 3.46
                + 1.1 + 0.7 * (k.attempt_no - 1) AS ability,
               ln(x.difficulty_estimate / (1 - x.difficulty_estimate)) + 0.6 AS difficulty
    ) AS t
), ranked AS (
    SELECT c.*, CASE WHEN c.is_broken THEN 1 - c.chance ELSE c.chance END AS odds,
           row_number() OVER (PARTITION BY c.assessment_attempt_id
                              ORDER BY c.luck - c.chance, c.question_id) AS place
    FROM chances AS c
), decided AS (
    SELECT r.*,
           CASE WHEN r.has_failed THEN r.place <= r.slots * 0.35
                ELSE r.luck < r.odds OR (r.has_passed AND r.place <= ceil(r.slots * 0.8)) END
               AS is_right,
           NOT r.has_passed AND r.luck > 0.965 AS is_omitted,
           abs(hashtextextended(r.assessment_attempt_id::text || r.question_id, 37) %% 1000) AS odd
    FROM ranked AS r
)
SELECT d.business_id, md5('answer ' || d.question_id || d.assessment_attempt_id)::uuid,
       d.assessment_attempt_id, d.question_id, d.assessment_slot_id, d.sequence_no, p.answer,
       d.max_points, CASE WHEN p.answer IS NOT NULL THEN w.moment END,
       CASE WHEN p.answer IS NOT NULL
            THEN least(w.moment + d.odd %% 9 / 8 * interval '40 seconds', d.submitted_at) END,
       least(d.time_estimate_seconds * (6 + d.odd %% 9) / 10,
             extract(epoch FROM d.submitted_at - d.started_at) / d.slots)::integer,
       CASE WHEN p.answer IS NOT NULL THEN d.odd %% 9 / 8 ELSE 0 END, d.odd %% 23 = 0
FROM decided AS d
CROSS JOIN LATERAL (
    SELECT d.started_at + (d.submitted_at - d.started_at)
                          * ((d.asked_no - 0.5) / d.slots)::double precision AS moment
) AS w
LEFT JOIN (
    SELECT o.question_id,
           jsonb_agg(jsonb_build_object('option', o.answer_option_id) ORDER BY o.sort_order)
               FILTER (WHERE o.is_correct) AS correct,
           jsonb_agg(jsonb_build_object('option', o.answer_option_id) ORDER BY o.sort_order)
               FILTER (WHERE NOT o.is_correct) AS wrong,
           jsonb_agg(jsonb_build_object('option', o.answer_option_id, 'text', o.match_text)
                     ORDER BY o.sort_order) AS pairs,
           jsonb_agg(jsonb_build_object(
                         'option', o.answer_option_id, 'text',
                         CASE o.sort_order WHEN 1 THEN n.second WHEN 2 THEN n.first
                                           ELSE o.match_text END)
                     ORDER BY o.sort_order) AS swapped,
           jsonb_agg(jsonb_build_object('option', o.answer_option_id, 'order', o.sort_order)
                     ORDER BY o.sort_order) AS ordered,
           jsonb_agg(jsonb_build_object('option', o.answer_option_id,
                                        'order', CASE o.sort_order WHEN 2 THEN 3 WHEN 3 THEN 2
                                                                   ELSE o.sort_order END)
                     ORDER BY o.sort_order) AS reordered,
           jsonb_agg(jsonb_build_object('option', o.answer_option_id, 'text',
                                        split_part(o.option_text, '|', 1))
                     ORDER BY o.sort_order) AS filled,
           jsonb_agg(jsonb_build_object('option', o.answer_option_id, 'text',
                                        CASE o.sort_order WHEN 1
                                             THEN split_part(o.option_text, '|', 1)
                                             ELSE 'send' END)
                     ORDER BY o.sort_order) AS half_filled,
           min(split_part(o.option_text, '|', 1)) AS word, min(o.numeric_value) AS number
    FROM courses.answer_option AS o
    LEFT JOIN (
        SELECT x.question_id, max(x.match_text) FILTER (WHERE x.sort_order = 1) AS first,
               max(x.match_text) FILTER (WHERE x.sort_order = 2) AS second
        FROM courses.answer_option AS x
        WHERE x.business_id = %(business_id)s
        GROUP BY x.question_id
    ) AS n ON n.question_id = o.question_id
    WHERE o.business_id = %(business_id)s
    GROUP BY o.question_id
) AS o ON o.question_id = d.question_id
CROSS JOIN LATERAL (
    SELECT CASE WHEN d.is_omitted THEN NULL ELSE CASE d.question_kind
        WHEN 'multiple_choice' THEN CASE WHEN d.is_right THEN o.correct
                                         ELSE jsonb_build_array(o.correct -> 0) END
        WHEN 'short_answer' THEN jsonb_build_array(jsonb_build_object(
            'text', CASE WHEN d.is_right THEN o.word ELSE 'publish' END))
        WHEN 'numeric' THEN jsonb_build_array(jsonb_build_object(
            'number', CASE WHEN d.is_right THEN o.number ELSE o.number + 10 END))
        WHEN 'matching' THEN CASE WHEN d.is_right THEN o.pairs ELSE o.swapped END
        WHEN 'ordering' THEN CASE WHEN d.is_right THEN o.ordered ELSE o.reordered END
        WHEN 'fill_blank' THEN CASE WHEN d.is_right THEN o.filled ELSE o.half_filled END
        WHEN 'essay' THEN jsonb_build_array(jsonb_build_object(
            'text', split_part(
                'I would take the simple way first, for its mistakes are easy to see.|'
                'Both can be right; it depends on who reads the result and how often.|'
                'The elaborate way, but only once the simple one has shown where it breaks.', '|',
                (1 + d.odd %% 3)::integer)))
        ELSE CASE WHEN d.is_right THEN o.correct
                  ELSE jsonb_build_array(
                      o.wrong -> (d.odd %% jsonb_array_length(o.wrong))::integer) END
        END END AS parts
) AS c
CROSS JOIN LATERAL (
    SELECT CASE WHEN c.parts IS NOT NULL THEN jsonb_build_object('parts', c.parts) END AS answer
) AS p;

-- From here on what belongs to an attempt is looked up by key.
SET LOCAL enable_nestloop = on;

-- A machine scores them; a teacher reads the essays within three days.
UPDATE courses.attempt_response AS r
SET points_awarded = CASE WHEN s.by_hand THEN NULL ELSE round(s.share * r.max_points, 4) END,
    is_correct = CASE WHEN s.by_hand THEN NULL ELSE s.share >= 1 END,
    needs_manual_grading = s.by_hand
FROM courses.assessment_attempt AS a
CROSS JOIN LATERAL courses.score_responses(a.assessment_attempt_id) AS s
WHERE a.business_id = %(business_id)s AND r.business_id = a.business_id
  AND r.attempt_response_id = s.attempt_response_id;

UPDATE courses.attempt_response AS r
SET points_awarded = r.max_points * (2 + h.place %% 3) / 4,
    is_correct = h.place %% 3 = 2, needs_manual_grading = false, graded_by = g.user_account_id,
    grader_comment = split_part('Say what would change your mind.|Good, with an example it '
                                'would be better.|Clear and complete.', '|',
                                (1 + h.place %% 3)::integer)
FROM courses.assessment_attempt AS a
JOIN courses.assessment AS q
    ON q.business_id = a.business_id AND q.assessment_id = a.assessment_id
JOIN courses.course AS c ON c.business_id = q.business_id AND c.course_id = q.course_id
CROSS JOIN LATERAL (SELECT c.owner_user_account_id AS user_account_id) AS g
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(a.assessment_attempt_id::text, 38) %% 1000) AS place
) AS h
WHERE a.business_id = %(business_id)s AND r.business_id = a.business_id
  AND r.assessment_attempt_id = a.assessment_attempt_id AND r.needs_manual_grading
  AND a.submitted_at + interval '80 hours' < %(as_of)s::timestamptz;

UPDATE courses.assessment_attempt AS a
SET state = 'graded',
    graded_at = a.submitted_at + CASE WHEN x.was_read
        THEN (30 + abs(hashtextextended(a.assessment_attempt_id::text, 39) %% 45))
             * interval '1 hour'
        ELSE interval '2 seconds' END,
    passed = a.score_pct >= q.passing_pct
FROM courses.assessment AS q, (
    SELECT r.assessment_attempt_id, bool_or(r.graded_by IS NOT NULL) AS was_read
    FROM courses.attempt_response AS r
    WHERE r.business_id = %(business_id)s
    GROUP BY r.assessment_attempt_id
    HAVING NOT bool_or(r.needs_manual_grading)
) AS x
WHERE a.business_id = %(business_id)s AND q.business_id = a.business_id
  AND q.assessment_id = a.assessment_id AND x.assessment_attempt_id = a.assessment_attempt_id
  AND a.state = 'submitted';

-- Some began to practice and left; some are at it right now: one at least, where there are two, and
-- one at least is not.
INSERT INTO courses.assessment_attempt
    (business_id, assessment_attempt_id, assessment_id, enrollment_id, attempt_no, state,
     started_at, draw_seed, question_order)
WITH last AS (
    SELECT a.assessment_attempt_id, a.assessment_id, a.enrollment_id, a.attempt_no,
           a.submitted_at, e.status = 'active' AS is_active, h.place,
           row_number() OVER (PARTITION BY e.status = 'active'
                              ORDER BY a.enrollment_id, a.assessment_id) AS number
    FROM courses.assessment_attempt AS a
    JOIN courses.assessment AS q
        ON q.business_id = a.business_id AND q.assessment_id = a.assessment_id
       AND q.assessment_kind = 'practice'
    JOIN courses.enrollment AS e
        ON e.business_id = a.business_id AND e.enrollment_id = a.enrollment_id
    CROSS JOIN LATERAL (
        SELECT abs(hashtextextended(a.assessment_attempt_id::text, 40) %% 1000) AS place
    ) AS h
    WHERE a.business_id = %(business_id)s
      AND NOT EXISTS (
          SELECT FROM courses.assessment_attempt AS n
          WHERE n.business_id = a.business_id AND n.assessment_id = a.assessment_id
            AND n.enrollment_id = a.enrollment_id AND n.attempt_no > a.attempt_no)
), next AS (
    SELECT l.*, l.is_active AND (l.number = 1 OR l.place %% 12 < 8) AS is_at_it
    FROM last AS l
    WHERE CASE WHEN l.is_active AND l.number <= 2 THEN l.number = 1
               ELSE l.place %% 4 = 0 OR (l.is_active AND l.place %% 2 = 0) END
)
SELECT %(business_id)s, md5('left ' || a.assessment_attempt_id)::uuid, a.assessment_id,
       a.enrollment_id, a.attempt_no + 1,
       CASE WHEN a.is_at_it THEN 'in_progress' ELSE 'abandoned' END,
       CASE WHEN a.is_at_it
            THEN %(as_of)s::timestamptz - (4 + a.place %% 9) * interval '1 minute'
            ELSE a.submitted_at + interval '20 minutes' END,
       hashtextextended(a.assessment_attempt_id::text, 1), d.asked
FROM next AS a
CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object('slot', x.slot_no, 'sequence', x.sequence_no,
                                        'question', x.question_id) ORDER BY x.asked_no) AS asked
    FROM courses.draw_questions(a.assessment_id,
                                hashtextextended(a.assessment_attempt_id::text, 1)) AS x
) AS d;

-- What they were asked waits for an answer.
INSERT INTO courses.attempt_response
    (business_id, attempt_response_id, assessment_attempt_id, question_id, assessment_slot_id,
     sequence_no, max_points)
SELECT a.business_id, md5('open ' || j.question_id || a.assessment_attempt_id)::uuid,
       a.assessment_attempt_id, j.question_id, s.assessment_slot_id, j.sequence_no, s.max_points
FROM courses.assessment_attempt AS a
CROSS JOIN JSON_TABLE(a.question_order::jsonb, '$[*]' COLUMNS (
    slot_no     integer PATH '$.slot',
    sequence_no integer PATH '$.sequence',
    question_id uuid    PATH '$.question')) AS j
JOIN courses.assessment_slot AS s
    ON s.business_id = a.business_id AND s.assessment_id = a.assessment_id
   AND s.slot_no = j.slot_no
WHERE a.business_id = %(business_id)s AND a.state IN ('in_progress', 'abandoned');

-- One attempt in a hundred was not the learner's own.
UPDATE courses.assessment_attempt AS a
SET state = 'voided', void_reason = 'Answers of another learner, word by word'
WHERE a.business_id = %(business_id)s AND a.state = 'graded' AND a.attempt_no > 1
  AND abs(hashtextextended(a.assessment_attempt_id::text, 41) %% 25) = 0
  AND EXISTS (
      SELECT FROM courses.assessment AS q
      WHERE q.business_id = a.business_id AND q.assessment_id = a.assessment_id
        AND q.assessment_kind IN ('graded_quiz', 'practice'));

-- The lesson knows the best of them, and who failed its test.
UPDATE courses.lesson_progress AS p
SET best_score_pct = n.best,
    state = CASE WHEN p.state = 'in_progress' AND l.completion_rule = 'passed' AND NOT n.passed
                 THEN 'failed' ELSE p.state END
FROM courses.lesson AS l, (
    SELECT a.enrollment_id, q.lesson_id, max(a.score_pct) AS best, bool_or(a.passed) AS passed
    FROM courses.assessment_attempt AS a
    JOIN courses.assessment AS q
        ON q.business_id = a.business_id AND q.assessment_id = a.assessment_id
    WHERE a.business_id = %(business_id)s AND a.state = 'graded'
    GROUP BY a.enrollment_id, q.lesson_id
) AS n
WHERE p.business_id = %(business_id)s AND l.business_id = p.business_id
  AND l.lesson_id = p.lesson_id AND n.enrollment_id = p.enrollment_id
  AND n.lesson_id = p.lesson_id;
