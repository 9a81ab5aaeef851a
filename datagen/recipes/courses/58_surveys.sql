SELECT tenant_mgmt.set_tenant(%(business_id)s);

INSERT INTO courses.survey
    (business_id, survey_id, title, survey_kind, opens_at, trigger_kind, status)
SELECT %(business_id)s, md5('evaluation ' || %(business_id)s)::uuid, 'How was your course?',
       'course_evaluation', %(as_of)s::timestamptz - interval '900 days', 'completion', 'open';

INSERT INTO courses.survey_question
    (business_id, survey_question_id, survey_id, sort_order, question_kind, prompt, options,
     is_required, scale_min, scale_max, construct)
SELECT %(business_id)s, md5(concat('asked ', v.number, %(business_id)s))::uuid,
       md5('evaluation ' || %(business_id)s)::uuid, v.number, v.kind, v.prompt, v.options::jsonb,
       v.number <= 2, v.low, v.high, v.construct
FROM (VALUES
    (1, 'nps', 'Would you recommend this course to a friend?', NULL, 0, 10, 'loyalty'),
    (2, 'likert', 'The course was worth my time.', NULL, 1, 5, 'value'),
    (3, 'single_choice', 'The pace was', '["too slow", "right", "too fast"]', NULL, NULL, 'pace'),
    (4, 'text', 'What should be better?', NULL, NULL, NULL, 'open'))
    AS v (number, kind, prompt, options, low, high, construct);

-- Four in ten of those who completed a course answer, a day later.
INSERT INTO courses.survey_response
    (business_id, survey_response_id, survey_id, learner_id, enrollment_id, started_at,
     submitted_at, answers, sentiment_score, device_kind, is_complete, respondent_hash)
SELECT e.business_id, md5('answered ' || e.enrollment_id)::uuid,
       md5('evaluation ' || e.business_id)::uuid, e.learner_id, e.enrollment_id,
       e.completed_at + interval '1 day',
       e.completed_at + interval '1 day' + make_interval(secs => 60 + (h.place %% 200)::integer),
       jsonb_build_array(
           jsonb_build_object('question', 1, 'value', 4 + h.place %% 7),
           jsonb_build_object('question', 2, 'value', 2 + h.place %% 4),
           jsonb_build_object('question', 3, 'value',
                              split_part('right,right,right,too fast,too slow', ',',
                                         1 + (h.place %% 5)::integer))),
       round((h.place %% 7 - 2) / 5.0, 4), CASE WHEN h.place %% 10 < 4 THEN 'phone'
                                              ELSE 'desktop' END, true,
       sha256(convert_to('evaluation ' || e.enrollment_id, 'UTF8'))
FROM courses.enrollment AS e
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(e.enrollment_id::text, 140) %% 1000) AS place
) AS h
WHERE e.business_id = %(business_id)s AND e.status = 'completed' AND h.place < 400
  AND e.completed_at < %(as_of)s::timestamptz - interval '2 days';

UPDATE courses.survey AS s
SET invited_count = greatest(s.response_count, (
    SELECT count(*)
    FROM courses.enrollment AS e
    WHERE e.business_id = s.business_id AND e.status = 'completed'))
WHERE s.business_id = %(business_id)s;
