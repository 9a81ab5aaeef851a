-- The head of the school opens the funnel: which courses were looked at, bought and finished.
-- budget: p95 300ms
-- weight: 1
-- mode: read
-- rows: >=1
SELECT f.business_id, c.course_code, c.title, sum(f.viewed) AS viewed, sum(f.ordered) AS ordered,
       sum(f.enrolled) AS enrolled, sum(f.started) AS started, sum(f.half_done) AS half_done,
       sum(f.completed) AS completed,
       round(100.0 * sum(f.completed) / nullif(sum(f.enrolled), 0), 1) AS completion_pct
FROM courses.v_course_funnel AS f
JOIN courses.course AS c
    ON c.business_id = %(business_id)s AND c.course_id = f.course_id
WHERE f.business_id = %(business_id)s
  AND f.month > (SELECT max(x.month) - interval '12 months'
                 FROM courses.v_course_funnel AS x
                 WHERE x.business_id = %(business_id)s)
GROUP BY f.business_id, c.course_code, c.title
ORDER BY enrolled DESC, c.course_code, c.title
LIMIT 100
