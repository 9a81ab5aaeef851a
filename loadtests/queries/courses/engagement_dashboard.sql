-- A program manager looks at how engaged each section was in the last weeks, and who came back.
-- budget: p95 300ms
-- weight: 1
-- mode: read
-- rows: >=1
SELECT w.business_id, w.week, s.section_code, s.title, w.active_learners, w.average_score,
       w.deciles[1] AS lowest_tenth, w.deciles[5] AS median, w.deciles[9] AS highest_tenth,
       w.return_pct,
       w.active_learners - lag(w.active_learners) OVER (
           PARTITION BY w.course_section_id ORDER BY w.week) AS change
FROM courses.v_engagement_weekly AS w
JOIN courses.course_section AS s
    ON s.business_id = %(business_id)s AND s.course_section_id = w.course_section_id
WHERE w.business_id = %(business_id)s
  AND w.week > (SELECT max(x.week) - 84
                FROM courses.v_engagement_weekly AS x
                WHERE x.business_id = %(business_id)s)
ORDER BY w.week DESC, w.active_learners DESC, s.section_code
LIMIT 200
