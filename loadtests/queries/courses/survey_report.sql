-- The report of a survey: how each value was answered, with its share, from the answers' JSON.
-- budget: p95 300ms
-- weight: 1
-- mode: read
-- rows: >=1
-- growth: linear, it counts every answer to the survey
-- params: survey_id from courses.survey where response_count > 0 and not is_anonymous
SELECT q.business_id, q.sort_order, q.question_kind, q.prompt, a.value, count(*) AS answers,
       round(100.0 * count(*) / sum(count(*)) OVER (PARTITION BY q.sort_order), 1) AS share_pct,
       round(avg(r.sentiment_score), 3) AS sentiment
FROM courses.survey_response AS r
CROSS JOIN LATERAL JSON_TABLE(r.answers, '$[*]' COLUMNS (
    question integer PATH '$.question',
    NESTED PATH '$.value[*]' COLUMNS (value text PATH '$')
)) AS a
JOIN courses.survey_question AS q
    ON q.business_id = r.business_id AND q.survey_id = r.survey_id AND q.sort_order = a.question
WHERE r.business_id = %(business_id)s AND r.survey_id = %(survey_id)s AND r.is_complete
  AND a.value IS NOT NULL
GROUP BY q.business_id, q.sort_order, q.question_kind, q.prompt, a.value
ORDER BY q.sort_order, answers DESC, a.value
