SELECT tenant_mgmt.set_tenant(%(business_id)s);
SET LOCAL enable_nestloop = off;

INSERT INTO courses.survey
    (business_id, survey_id, title, survey_kind, is_anonymous, opens_at, closes_at, trigger_kind,
     status)
SELECT %(business_id)s, md5('survey ' || v.code || %(business_id)s)::uuid, v.title, v.kind,
       v.hidden, %(as_of)s::timestamptz + v.opens, %(as_of)s::timestamptz + v.closes, v.trigger,
       v.status
FROM (VALUES
    ('evaluation', 'How was your course?', 'course_evaluation', false, interval '-900 days',
     NULL::interval, 'completion', 'open'),
    ('pulse', 'How are you doing this month?', 'pulse', true, interval '-60 days',
     interval '-40 days', 'manual', 'closed'),
    ('exit', 'Why are you leaving?', 'exit', false, interval '-900 days', NULL, 'withdrawal',
     'open'),
    ('needs', 'What should we teach next?', 'needs', true, interval '20 days', interval '50 days',
     'manual', 'draft'))
    AS v (code, title, kind, hidden, opens, closes, trigger, status);

INSERT INTO courses.survey_question
    (business_id, survey_question_id, survey_id, sort_order, question_kind, prompt, options,
     is_required, scale_min, scale_max, show_if, construct)
SELECT %(business_id)s, md5(concat('asked ', v.code, v.number, %(business_id)s))::uuid,
       md5('survey ' || v.code || %(business_id)s)::uuid, v.number, v.kind, v.prompt,
       v.options::jsonb, v.required, v.low, v.high, v.show_if::jsonb, v.construct
FROM (VALUES
    ('evaluation', 1, 'nps', 'Would you recommend this course to a friend?', NULL, true, 0, 10,
     NULL, 'loyalty'),
    ('evaluation', 2, 'likert', 'The course was worth my time.', NULL, true, 1, 5, NULL, 'value'),
    ('evaluation', 3, 'single_choice', 'The pace was', '["too slow", "right", "too fast"]', false,
     NULL, NULL, NULL, 'pace'),
    ('evaluation', 4, 'matrix', 'How good were', '["videos", "texts", "exercises"]', false, 1, 5,
     NULL, 'material'),
    ('evaluation', 5, 'text', 'What should be better?', NULL, false, NULL, NULL,
     '{"question": 3, "is": "too fast"}', 'open'),
    ('pulse', 1, 'slider', 'How much energy do you have for learning?', NULL, true, 0, 100, NULL,
     'energy'),
    ('pulse', 2, 'multiple_choice', 'What keeps you from learning?',
     '["time", "difficulty", "technology", "nothing"]', false, NULL, NULL, NULL, 'obstacles'),
    ('exit', 1, 'single_choice', 'Why are you leaving?',
     '["time", "cost", "difficulty", "content", "personal", "job_change", "other"]', true, NULL,
     NULL, NULL, 'reason'),
    ('exit', 2, 'text', 'What else?', NULL, true, NULL, NULL, '{"question": 1, "is": "other"}',
     'open'),
    ('exit', 3, 'likert', 'I could imagine coming back.', NULL, false, 1, 5, NULL, 'loyalty'),
    ('needs', 1, 'text', 'What would you like to learn?', NULL, true, NULL, NULL, NULL, 'open'),
    ('needs', 2, 'single_choice', 'How would you like to learn it?',
     '["alone", "in a class", "both"]', false, NULL, NULL, NULL, 'format'))
    AS v (code, number, kind, prompt, options, required, low, high, show_if, construct);

-- Two in five of those who completed a course tell, within days, how it was: the better their
-- grade, the kinder. One in nine of them stops half-way.
INSERT INTO courses.survey_response
    (business_id, survey_response_id, survey_id, learner_id, enrollment_id, started_at,
     submitted_at, answers, sentiment_score, language_code, device_kind, is_complete,
     respondent_hash)
SELECT %(business_id)s, md5('told ' || r.enrollment_id)::uuid,
       md5('survey evaluation' || %(business_id)s)::uuid, r.learner_id, r.enrollment_id,
       r.started_at,
       CASE WHEN r.finished THEN r.started_at + (50 + r.place %% 240) * interval '1 second' END,
       CASE WHEN r.finished
            THEN jsonb_build_array(
                     jsonb_build_object('question', 1, 'value', r.nps),
                     jsonb_build_object('question', 2, 'value', least(5, greatest(1, r.nps / 2))),
                     jsonb_build_object('question', 3, 'value', r.pace),
                     jsonb_build_object('question', 4, 'value', jsonb_build_object(
                         'videos', least(5, 2 + r.nps / 4 + r.place %% 2),
                         'texts', least(5, 2 + r.nps / 4),
                         'exercises', least(5, 1 + r.nps / 3))))
                 || CASE r.pace WHEN 'too fast'
                        THEN jsonb_build_array(jsonb_build_object(
                            'question', 5, 'value', 'More time between the weeks, please.'))
                        ELSE '[]' END
            ELSE jsonb_build_array(jsonb_build_object('question', 1, 'value', r.nps)) END,
       round((r.nps - 5) / 5.0, 4), r.preferred_language, r.device, r.finished,
       sha256(convert_to('evaluation ' || r.enrollment_id, 'UTF8'))
FROM (
    SELECT e.enrollment_id, e.learner_id, l.preferred_language, n.place, n.place %% 9 <> 4
               AND n.number > 1 OR n.number = 1 AS finished,
           e.completed_at + (3 + n.place %% 70) * interval '1 hour' AS started_at,
           least(10, greatest(0, round((coalesce(e.final_grade_pct, 75) - 40) / 6)
                                 + n.place %% 4 - 2))::integer AS nps,
           split_part('right,right,right,too fast,too slow', ',', 1 + (n.place %% 5)::integer)
               AS pace,
           split_part('phone,phone,desktop,desktop,tablet', ',', 1 + (n.place / 5 %% 5)::integer)
               AS device
    FROM (
        SELECT h.enrollment_id, h.place,
               row_number() OVER (ORDER BY h.place, h.enrollment_id) AS number
        FROM (
            SELECT x.enrollment_id,
                   abs(hashtextextended(x.enrollment_id::text, 140) %% 1000)::integer AS place
            FROM courses.enrollment AS x
            WHERE x.business_id = %(business_id)s AND x.status = 'completed'
              AND x.completed_at < %(as_of)s::timestamptz - interval '4 days'
              AND x.completed_at > %(as_of)s::timestamptz - interval '890 days'
        ) AS h
    ) AS n
    JOIN courses.enrollment AS e
        ON e.business_id = %(business_id)s AND e.enrollment_id = n.enrollment_id
    JOIN courses.learner AS l ON l.business_id = e.business_id AND l.learner_id = e.learner_id
    WHERE n.place < 400 OR n.number <= 2
) AS r;

-- Half of those who were learning when the pulse was taken answered it; nobody knows who.
INSERT INTO courses.survey_response
    (business_id, survey_response_id, survey_id, started_at, submitted_at, answers,
     sentiment_score, language_code, device_kind, is_complete, respondent_hash)
SELECT %(business_id)s, md5('pulse ' || r.learner_id)::uuid,
       md5('survey pulse' || %(business_id)s)::uuid, r.started_at,
       r.started_at + (20 + r.place %% 60) * interval '1 second',
       jsonb_build_array(
           jsonb_build_object('question', 1, 'value', 20 + r.place %% 79),
           jsonb_build_object('question', 2, 'value', CASE
               WHEN r.place %% 79 > 50 THEN '["nothing"]'::jsonb
               WHEN r.place %% 3 = 0 THEN '["time", "difficulty"]' ELSE '["time"]' END)),
       round((20 + r.place %% 79 - 50) / 50.0, 4), 'en',
       CASE WHEN r.place %% 3 = 0 THEN 'phone' ELSE 'desktop' END, true,
       sha256(convert_to('pulse ' || r.learner_id, 'UTF8'))
FROM (
    SELECT DISTINCT e.learner_id, h.place,
           %(as_of)s::timestamptz - interval '59 days' + (h.place %% 400) * interval '1 hour'
               AS started_at
    FROM courses.enrollment AS e
    CROSS JOIN LATERAL (
        SELECT abs(hashtextextended(e.learner_id::text, 141) %% 1000)::integer AS place
    ) AS h
    WHERE e.business_id = %(business_id)s AND h.place < 500
      AND e.started_at < %(as_of)s::timestamptz - interval '60 days'
      AND e.status IN ('active', 'completed', 'paused')
) AS r;

-- One in three of those who left says why, which is what was noted.
INSERT INTO courses.survey_response
    (business_id, survey_response_id, survey_id, learner_id, enrollment_id, started_at,
     submitted_at, answers, sentiment_score, language_code, device_kind, is_complete,
     respondent_hash)
SELECT e.business_id, md5('left ' || e.enrollment_id)::uuid,
       md5('survey exit' || e.business_id)::uuid, e.learner_id, e.enrollment_id,
       e.withdrawn_at + interval '4 minutes', e.withdrawn_at + interval '5 minutes',
       jsonb_build_array(
           jsonb_build_object('question', 1, 'value', e.withdrawal_reason),
           jsonb_build_object('question', 3, 'value', 1 + h.place %% 5))
           || CASE e.withdrawal_reason WHEN 'other'
                  THEN jsonb_build_array(jsonb_build_object(
                      'question', 2, 'value', 'The class that I had booked was called off.'))
                  ELSE '[]' END,
       -0.2, l.preferred_language, 'desktop', true,
       sha256(convert_to('exit ' || e.enrollment_id, 'UTF8'))
FROM courses.enrollment AS e
JOIN courses.learner AS l ON l.business_id = e.business_id AND l.learner_id = e.learner_id
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(e.enrollment_id::text, 142) %% 1000)::integer AS place
) AS h
WHERE e.business_id = %(business_id)s AND e.status = 'withdrawn' AND h.place < 340
  AND e.withdrawal_reason IS NOT NULL
  AND e.withdrawn_at < %(as_of)s::timestamptz - interval '1 hour'
  AND e.withdrawn_at > %(as_of)s::timestamptz - interval '890 days';

-- Everybody was asked whom a survey was for.
UPDATE courses.survey AS s
SET invited_count = greatest(s.response_count, n.asked)
FROM (
    SELECT count(*) FILTER (WHERE e.status = 'completed') AS completed,
           count(*) FILTER (WHERE e.status = 'withdrawn') AS withdrawn,
           count(DISTINCT e.learner_id) FILTER (
               WHERE e.started_at < %(as_of)s::timestamptz - interval '60 days'
                     AND e.status IN ('active', 'completed', 'paused')) AS learning
    FROM courses.enrollment AS e
    WHERE e.business_id = %(business_id)s
) AS c
CROSS JOIN LATERAL (VALUES
    ('course_evaluation', c.completed), ('exit', c.withdrawn), ('pulse', c.learning))
    AS n (kind, asked)
WHERE s.business_id = %(business_id)s AND s.survey_kind = n.kind;
