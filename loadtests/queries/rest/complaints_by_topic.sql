-- A manager reads what guests complain about: topics by week, out of the feedback's documents
-- of the last twelve weeks.
-- budget: p95 300ms
-- weight: 1
-- mode: read
-- rows: >=1
-- growth: linear, it counts every complaint of twelve weeks
SELECT f.business_id, date_trunc('week', f.received_at, 'UTC')::date AS week_start, t.topic,
       count(*) AS complaints, round(avg(t.score), 4) AS mean_score,
       round(avg(f.overall_rating), 2) AS mean_rating
FROM rest.guest_feedback AS f
CROSS JOIN JSON_TABLE(f.topics_doc, '$[*]' COLUMNS (
    topic text PATH '$.topic',
    score numeric PATH '$.score'
)) AS t
WHERE f.business_id = %(business_id)s AND t.score < 0
  AND f.received_at > (SELECT max(x.received_at) - interval '12 weeks'
                       FROM rest.guest_feedback AS x
                       WHERE x.business_id = %(business_id)s)
GROUP BY f.business_id, date_trunc('week', f.received_at, 'UTC')::date, t.topic
ORDER BY week_start DESC, complaints DESC, t.topic
LIMIT 200
