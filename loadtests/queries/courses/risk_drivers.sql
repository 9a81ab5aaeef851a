-- What drives people away: how often and how much each feature weighed in the last scores.
-- budget: p95 300ms
-- weight: 1
-- mode: read
-- rows: >=1
-- growth: linear, it weighs every score of four weeks
SELECT s.business_id, s.band, d.feature, count(*) AS enrollments,
       round(avg(d.contribution), 4) AS mean_contribution,
       count(*) FILTER (WHERE d.place = 1) AS as_the_first
FROM courses.retention_score AS s
JOIN courses.retention_model AS m
    ON m.business_id = s.business_id AND m.retention_model_id = s.retention_model_id
   AND m.status = 'active'
CROSS JOIN LATERAL JSON_TABLE(s.drivers, '$[*]' COLUMNS (
    place        FOR ORDINALITY,
    feature      text    PATH '$.feature',
    contribution numeric PATH '$.contribution'
)) AS d
WHERE s.business_id = %(business_id)s
  AND s.scored_on > (SELECT max(x.scored_on) - 28
                     FROM courses.retention_score AS x
                     WHERE x.business_id = %(business_id)s)
GROUP BY s.business_id, s.band, d.feature
ORDER BY s.band, enrollments DESC, d.feature
