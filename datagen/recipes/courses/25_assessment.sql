SELECT tenant_mgmt.set_tenant(%(business_id)s);
SET LOCAL enable_nestloop = off;

-- A bank for the quizzes of each course; every second course keeps another for its final.
INSERT INTO courses.question_bank
    (business_id, question_bank_id, owner_user_account_id, course_id, name, visibility,
     default_points, tags, reviewed_on, security_level)
SELECT c.business_id, md5(t.kind || ' bank ' || c.course_id)::uuid, c.owner_user_account_id,
       c.course_id, t.name || c.title, t.visibility, t.points, ARRAY[t.kind, c.level],
       %(as_of)s::date - 30 - (h.place %% 200)::integer, t.security
FROM courses.course AS c
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(c.course_id::text, 10) %% 1000) AS place
) AS h
CROSS JOIN (VALUES
    ('quiz', 'Questions: ', 'course', 2, 'open'),
    ('final', 'Final: ', 'private', 10, 'secure'))
    AS t (kind, name, visibility, points, security)
WHERE c.business_id = %(business_id)s AND c.status IN ('published', 'archived')
  AND (t.kind = 'quiz' OR h.place %% 2 = 0);

INSERT INTO courses.question_bank
    (business_id, question_bank_id, owner_user_account_id, name, visibility, tags, reviewed_on)
SELECT u.business_id, md5('shared bank ' || u.business_id)::uuid, u.user_account_id,
       'Study skills', 'business', ARRAY['shared'], %(as_of)s::date - 100
FROM user_mgmt.user_account AS u
WHERE u.business_id = %(business_id)s AND u.account_kind = 'staff'
ORDER BY u.username
LIMIT 1;

-- Twenty-six questions in a bank for quizzes, fourteen in one for a final. The kinds come in
-- turn; one in fifteen replaced an earlier version. What is written last is still in review.
INSERT INTO courses.question
    (business_id, question_id, question_bank_id, author_user_account_id, previous_version_id,
     learning_outcome_id, question_kind, stem, points, version_no, status, difficulty_estimate,
     time_estimate_seconds, scoring, penalty_pct, feedback_general, interaction)
SELECT b.business_id,
       md5('question ' || n.no || '.' || v.no || b.question_bank_id)::uuid, b.question_bank_id,
       b.owner_user_account_id,
       CASE v.no WHEN 2 THEN md5('question ' || n.no || '.1' || b.question_bank_id)::uuid END,
       o.learning_outcome_id, k.kind,
       CASE WHEN v.no < g.versions THEN regexp_replace(s.stem, '[?.]$', ', and why\&')
            ELSE s.stem END,
       b.default_points, v.no,
       CASE WHEN v.no < g.versions THEN 'retired' WHEN k.kind IN ('hotspot', 'code')
            THEN split_part('reviewed,draft', ',', (1 + h.place %% 2)::integer) ELSE 'live' END,
       0.08 + h.place %% 62 * 0.01, 30 + h.place %% 7 * 15,
       CASE WHEN k.kind IN ('essay', 'code') THEN 'manual'
            WHEN k.kind IN ('multiple_choice', 'matching', 'ordering', 'fill_blank') THEN 'partial'
            WHEN b.security_level = 'secure' AND k.kind = 'true_false' THEN 'negative_marking'
            ELSE 'all_or_nothing' END,
       CASE WHEN b.security_level = 'secure' AND k.kind = 'true_false' THEN 25 ELSE 0 END,
       'See the lesson on ' || lower(t.topic) || '.',
       CASE k.kind
           WHEN 'fill_blank'
           THEN jsonb_build_object('text', 'First you {{1}} the case, then you {{2}} the result.')
           WHEN 'hotspot'
           THEN '{"image": "overview.png", "areas": [{"id": "start", "x": 40, "y": 60,
                                                      "width": 120, "height": 50}]}'::jsonb
           WHEN 'code'
           THEN '{"language": "python", "tests": [{"input": "3", "expected": "6"},
                                                  {"input": "0", "expected": "0"}]}'::jsonb END
FROM courses.question_bank AS b
LEFT JOIN courses.course AS c ON c.business_id = b.business_id AND c.course_id = b.course_id
CROSS JOIN LATERAL (
    SELECT CASE b.security_level WHEN 'secure' THEN 14
                ELSE CASE WHEN b.course_id IS NULL THEN 8 ELSE 26 END END AS many
) AS m
CROSS JOIN generate_series(1, 26) AS n (no)
CROSS JOIN generate_series(1, 2) AS v (no)
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(b.question_bank_id::text, n.no) %% 1000) AS place
) AS h
CROSS JOIN LATERAL (
    SELECT CASE WHEN h.place %% 15 = 0 AND n.no < 25 THEN 2 ELSE 1 END AS versions
) AS g
CROSS JOIN LATERAL (
    SELECT CASE WHEN n.no = 8 AND b.security_level = 'open' THEN 'essay'
                ELSE split_part('single_choice,single_choice,multiple_choice,true_false,'
                                'single_choice,short_answer,numeric,single_choice,matching,'
                                'single_choice,ordering,fill_blank,single_choice,'
                                'multiple_choice,true_false,single_choice,single_choice,'
                                'multiple_choice,true_false,single_choice,numeric,'
                                'single_choice,single_choice,matching,hotspot,code', ',', n.no)
                END AS kind
) AS k
LEFT JOIN LATERAL (
    SELECT x.learning_outcome_id, y.statement
    FROM courses.course_outcome AS x
    JOIN courses.learning_outcome AS y
        ON y.business_id = x.business_id AND y.learning_outcome_id = x.learning_outcome_id
    WHERE x.business_id = b.business_id AND x.course_id = b.course_id
    ORDER BY md5(n.no %% 4 || y.code)
    LIMIT 1
) AS o ON true
CROSS JOIN LATERAL (
    SELECT coalesce(regexp_replace(o.statement, '^(Explain|Use|Compare ways of handling|'
                                   'Plan and carry out work with) ', ''), c.title,
                    'studying') AS topic
) AS t
CROSS JOIN LATERAL (
    SELECT CASE k.kind
        WHEN 'multiple_choice'
            THEN 'Which two of these belong to careful work with ' || t.topic || '?'
        WHEN 'true_false' THEN split_part(
            'A result on @ that nobody can repeat is of little use.|'
            'With @ a small example first saves time later.|'
            'Work with @ is done once the numbers look right.', '|',
            (1 + h.place %% 3)::integer)
        WHEN 'short_answer' THEN 'In one word: what do you do with a result on ' || t.topic
                                 || ' before you pass it on?'
        WHEN 'numeric' THEN 'A task on ' || t.topic || ' takes ' || 10 + h.place %% 9
                            || ' minutes a case. How many minutes do 12 cases take?'
        WHEN 'matching' THEN 'Match each step of work with ' || t.topic || ' with its purpose.'
        WHEN 'ordering' THEN 'Put the steps of work with ' || t.topic || ' in order.'
        WHEN 'fill_blank' THEN 'Fill in what is done with a case on ' || t.topic || '.'
        WHEN 'essay' THEN 'You are asked to decide between two ways of handling ' || t.topic
                          || '. Decide, and explain what would change your mind.'
        WHEN 'hotspot' THEN 'Click where work with ' || t.topic || ' begins.'
        WHEN 'code' THEN 'Write a function that doubles its input, and test it.'
        ELSE split_part(
            'What do you do first when you work with @?|What is a common mistake with @?|'
            'A colleague''s result on @ differs from yours. What do you do first?|'
            'Which source on @ do you trust most?|When is a simple way of handling @ enough?|'
            'Who should check your work on @?', '|', 1 + n.no %% 6) END AS text
) AS w
CROSS JOIN LATERAL (
    SELECT replace(w.text, '@', t.topic)
           || CASE WHEN n.no > 13 AND k.kind NOT IN ('code', 'hotspot')
                   THEN ' (Case ' || n.no - 12 || ')' ELSE '' END AS stem
) AS s
WHERE b.business_id = %(business_id)s AND n.no <= m.many AND v.no <= g.versions;

-- Choices, pairs, items in order, blanks. A live version is written with its options at once.
INSERT INTO courses.answer_option
    (business_id, answer_option_id, question_id, sort_order, option_text, is_correct, credit_pct,
     match_text, numeric_value, tolerance, feedback)
SELECT q.business_id, md5('option ' || t.no || q.question_id)::uuid, q.question_id, t.no,
       CASE q.question_kind WHEN 'numeric' THEN NULL
            WHEN 'single_choice' THEN split_part(split_part(
                'Say what is to be decided,Open the tool that you know best,Ask for more time,'
                'Show the result|To skip the check of the input,To start with a small example,'
                'To ask somebody to read it,To write down what you assumed|'
                'Compare what went in,Take the mean of both,Do yours again but faster,'
                'Ask who has worked here longer|'
                'An example that you can repeat,The first hit of a search,'
                'What everybody in the office says,The newest post|'
                'When it answers the question,Never,When nobody will read it,'
                'When there is time left|'
                'Somebody who did not write it,Nobody,The one who wrote it,'
                'Whoever asked for it', '|',
                1 + CASE WHEN q.stem LIKE 'What do you do%%' THEN 0
                         WHEN q.stem LIKE 'What is a common%%' THEN 1
                         WHEN q.stem LIKE 'A colleague%%' THEN 2
                         WHEN q.stem LIKE 'Which source%%' THEN 3
                         WHEN q.stem LIKE 'When is%%' THEN 4 ELSE 5 END), ',', t.no)
            WHEN 'multiple_choice' THEN split_part(
                'To check what comes in,To note what was assumed,To trust round numbers,'
                'To change the method until the result fits', ',', t.no)
            WHEN 'true_false' THEN split_part('True,False', ',', t.no)
            WHEN 'short_answer' THEN split_part('check|verify,review', ',', t.no)
            WHEN 'matching' THEN split_part('Prepare,Carry out,Check,Report', ',', t.no)
            WHEN 'ordering' THEN split_part('Say what is to be decided,Collect what is needed,'
                                            'Do the work,Check the result', ',', t.no)
            ELSE split_part('describe|state,check|verify', ',', t.no) END,
       c.is_correct,
       CASE WHEN q.question_kind = 'multiple_choice'
            THEN CASE WHEN c.is_correct THEN 50 ELSE -50 END
            WHEN c.is_correct THEN 100 ELSE 0 END,
       CASE q.question_kind
           WHEN 'matching' THEN split_part('Know the case,Get a result,Find mistakes,Be understood',
                                           ',', t.no) END,
       CASE q.question_kind
           WHEN 'numeric' THEN 12 * (regexp_match(q.stem, 'takes (\d+) minutes'))[1]::numeric END,
       CASE q.question_kind WHEN 'numeric' THEN 0.5 END,
       CASE WHEN q.question_kind = 'single_choice' AND NOT c.is_correct
            THEN 'Look at the example in the lesson again.' END
FROM courses.question AS q
JOIN (VALUES ('single_choice', 4), ('multiple_choice', 4), ('true_false', 2), ('short_answer', 1),
             ('numeric', 1), ('matching', 4), ('ordering', 4), ('fill_blank', 2))
    AS k (kind, many) ON k.kind = q.question_kind
CROSS JOIN generate_series(1, 4) AS t (no)
CROSS JOIN LATERAL (
    SELECT CASE q.question_kind
               WHEN 'multiple_choice' THEN t.no <= 2
               WHEN 'true_false' THEN t.no = CASE WHEN q.stem LIKE '%%look right%%' THEN 2
                                                  ELSE 1 END
               WHEN 'single_choice' THEN t.no = 1
               WHEN 'short_answer' THEN true WHEN 'numeric' THEN true
               ELSE false END AS is_correct
) AS c
WHERE q.business_id = %(business_id)s AND t.no <= k.many;

-- Practice in the second chapter, quizzes in the third and fourth, the final in the last.
INSERT INTO courses.assessment
    (business_id, assessment_id, course_id, lesson_id, title, assessment_kind, time_limit_minutes,
     grace_minutes, overdue_handling, max_attempts, attempt_grading, passing_pct,
     shuffle_questions, navigation, review_policy, delay_between_attempts_minutes,
     requires_proctoring)
SELECT c.business_id, md5('assessment ' || t.lesson || c.course_id)::uuid, c.course_id,
       l.lesson_id, c.title || ': ' || lower(l.title),
       CASE WHEN t.kind = 'final' AND c.title ~ '(Certified|Safety|Compliance|Privacy|Training)'
            THEN 'certification_exam' ELSE t.kind END,
       t.minutes, t.grace, t.overdue, t.attempts, t.counts, t.passing, t.kind <> 'practice',
       CASE t.kind WHEN 'final' THEN 'sequential' ELSE 'free' END,
       CASE t.kind WHEN 'final' THEN '{"after_submission": ["score"]}'::jsonb
            WHEN 'practice'
            THEN '{"during": ["feedback"], "after_submission": ["score", "answers", "feedback",
                   "solutions"]}'::jsonb
            ELSE '{"after_submission": ["score", "answers", "feedback"],
                   "after_close": ["solutions"]}'::jsonb END,
       t.delay,
       t.kind = 'final' AND (abs(hashtextextended(c.course_id::text, 11) %% 3) = 0
                             OR c.course_id = b.course_id)
FROM courses.course AS c
LEFT JOIN (
    -- The course that most completed is one of those whose final is watched.
    SELECT s.course_id
    FROM courses.enrollment AS e
    JOIN courses.course_section AS s
        ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
    WHERE e.business_id = %(business_id)s AND e.status = 'completed'
    GROUP BY s.course_id
    ORDER BY count(*) DESC, s.course_id
    LIMIT 1
) AS b ON true
CROSS JOIN (VALUES
    ('2.4', 'practice', NULL, 0, 'auto_submit', NULL, 'highest', 50, 0),
    ('3.5', 'graded_quiz', 20, 0, 'auto_submit', 3, 'highest', 60, 0),
    ('4.4', 'graded_quiz', 30, 5, 'grace_period', 2, 'highest', 60, 0),
    ('6.3', 'final', 60, 0, 'auto_submit', 3, 'last', 60, 1440))
    AS t (lesson, kind, minutes, grace, overdue, attempts, counts, passing, delay)
JOIN courses.lesson AS l
    ON l.business_id = c.business_id
   AND l.lesson_id = md5('lesson ' || t.lesson || c.course_id)::uuid
WHERE c.business_id = %(business_id)s AND c.status IN ('published', 'archived');

-- Some courses let those pass over the beginning who know it.
INSERT INTO courses.assessment
    (business_id, assessment_id, course_id, title, assessment_kind, time_limit_minutes,
     max_attempts, attempt_grading, passing_pct, shuffle_questions)
SELECT c.business_id, md5('assessment placement' || c.course_id)::uuid, c.course_id,
       c.title || ': placement', 'placement', 25, 1, 'first', 80, true
FROM courses.course AS c
WHERE c.business_id = %(business_id)s AND c.status = 'published'
  AND abs(hashtextextended(c.course_id::text, 12) %% 5) = 0;

INSERT INTO courses.assessment_slot
    (business_id, assessment_slot_id, assessment_id, question_id, draw_from_bank_id, slot_no,
     page_no, section_title, max_points, draw_count)
SELECT a.business_id, md5('slot ' || t.no || a.assessment_id)::uuid, a.assessment_id,
       CASE WHEN t.question IS NOT NULL THEN q.question_id END,
       CASE WHEN t.draws IS NOT NULL
            THEN CASE WHEN t.kind = 'final' THEN coalesce(x.question_bank_id, b.question_bank_id)
                      ELSE b.question_bank_id END END,
       t.no, t.page, t.section,
       CASE WHEN t.kind = 'final' THEN 10 WHEN t.section = 'In your own words' THEN 6 ELSE 2 END,
       t.draws
FROM courses.assessment AS a
JOIN (VALUES
    ('2.4', 'practice', 1, 1, NULL, NULL, 5),
    ('3.5', 'quiz', 1, 1, NULL, 1, NULL),
    ('3.5', 'quiz', 2, 1, NULL, NULL, 5),
    ('4.4', 'quiz', 1, 1, 'Choosing', 3, NULL),
    ('4.4', 'quiz', 2, 1, 'Choosing', 4, NULL),
    ('4.4', 'quiz', 3, 1, 'Choosing', 5, NULL),
    ('4.4', 'quiz', 4, 1, 'Choosing', 9, NULL),
    ('4.4', 'quiz', 5, 1, 'Choosing', 10, NULL),
    ('4.4', 'quiz', 6, 2, 'In your own words', 8, NULL),
    ('6.3', 'final', 1, 1, NULL, NULL, 10),
    ('placement', 'quiz', 1, 1, NULL, NULL, 8))
    AS t (lesson, kind, no, page, section, question, draws)
    ON a.assessment_id = md5('assessment ' || t.lesson || a.course_id)::uuid
JOIN courses.question_bank AS b
    ON b.business_id = a.business_id
   AND b.question_bank_id = md5('quiz bank ' || a.course_id)::uuid
LEFT JOIN courses.question_bank AS x
    ON x.business_id = a.business_id
   AND x.question_bank_id = md5('final bank ' || a.course_id)::uuid
LEFT JOIN courses.question AS q
    ON q.business_id = b.business_id AND q.question_bank_id = b.question_bank_id
   AND q.status = 'live'
   AND q.question_id IN (md5('question ' || t.question || '.1' || b.question_bank_id)::uuid,
                         md5('question ' || t.question || '.2' || b.question_bank_id)::uuid)
WHERE a.business_id = %(business_id)s;

-- What approved accommodations are carried out by, and what teachers granted by hand.
INSERT INTO courses.assessment_override
    (business_id, assessment_override_id, assessment_id, learner_id, learner_accommodation_id,
     closes_at, time_limit_minutes, extra_attempts, reason, granted_at, expires_at)
SELECT DISTINCT ON (a.assessment_id, c.learner_id)
       a.business_id, md5('override ' || a.assessment_id || c.learner_id)::uuid, a.assessment_id,
       c.learner_id, c.learner_accommodation_id, NULL::timestamptz,
       CASE c.accommodation
           WHEN 'extra_time'
           THEN least(1440, ceil(a.time_limit_minutes * c.time_multiplier))::integer END,
       CASE c.accommodation WHEN 'extra_attempts' THEN c.extra_attempts ELSE 0 END,
       'Accommodation', k.moment, nullif(greatest(
           (c.valid_until + 1)::timestamp AT TIME ZONE 'UTC', k.moment), k.moment)
FROM courses.learner_accommodation AS c
JOIN courses.enrollment AS e
    ON e.business_id = c.business_id AND e.learner_id = c.learner_id AND e.status = 'active'
JOIN courses.course_section AS s
    ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
JOIN courses.assessment AS a
    ON a.business_id = s.business_id AND a.course_id = s.course_id
CROSS JOIN LATERAL (
    SELECT greatest((c.valid_from::timestamp + interval '9 hours') AT TIME ZONE 'UTC',
                    e.enrolled_at) AS moment
) AS k
WHERE c.business_id = %(business_id)s AND c.status = 'approved'
  AND k.moment < %(as_of)s::timestamptz
  AND CASE c.accommodation WHEN 'extra_time' THEN a.time_limit_minutes IS NOT NULL
                           WHEN 'extra_attempts' THEN a.max_attempts IS NOT NULL
                           ELSE false END
ORDER BY a.assessment_id, c.learner_id, c.accommodation DESC, c.learner_accommodation_id;

INSERT INTO courses.assessment_override
    (business_id, assessment_override_id, assessment_id, learner_id, extra_attempts, reason,
     granted_at)
SELECT a.business_id, md5('override ' || a.assessment_id || e.learner_id)::uuid, a.assessment_id,
       e.learner_id, 1, split_part('The connection broke off|Was ill that week|Asked in time', '|',
                                   (1 + e.place %% 3)::integer), e.moment
FROM (
    SELECT x.business_id, x.learner_id, s.course_id,
           coalesce(x.started_at, x.enrolled_at) + interval '6 days' AS moment,
           row_number() OVER (ORDER BY md5('grants' || x.enrollment_id)) AS place,
           count(*) OVER () AS seats
    FROM courses.enrollment AS x
    JOIN courses.course_section AS s
        ON s.business_id = x.business_id AND s.course_section_id = x.course_section_id
    WHERE x.business_id = %(business_id)s AND x.status IN ('active', 'completed')
) AS e
JOIN courses.assessment AS a
    ON a.business_id = e.business_id
   AND a.assessment_id = md5('assessment 3.5' || e.course_id)::uuid
WHERE e.place <= greatest(2, e.seats / 50) AND e.moment < %(as_of)s::timestamptz
ON CONFLICT DO NOTHING;
