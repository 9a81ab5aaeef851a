-- The player shows the outline: chapters, lessons, what is done and what is still locked.
-- budget: p95 100ms
-- weight: 25
-- mode: read
-- rows: >=1
-- params: enrollment_id from courses.enrollment where started_at is not null and course_section_id is not null
SELECT e.business_id, m.course_module_id, m.title AS module, l.lesson_id, l.title, l.lesson_kind,
       l.estimated_minutes, coalesce(p.state, 'not_started') AS state, p.best_score_pct,
       u.rule_kind AS locked_by, u.opens_at, u.message
FROM courses.enrollment AS e
JOIN courses.course_section AS s
    ON s.business_id = %(business_id)s AND s.course_section_id = e.course_section_id
JOIN courses.course_module AS m
    ON m.business_id = %(business_id)s AND m.course_id = s.course_id AND m.is_published
LEFT JOIN courses.course_module AS c
    ON c.business_id = %(business_id)s AND c.course_module_id = m.parent_module_id
JOIN courses.lesson AS l
    ON l.business_id = %(business_id)s AND l.course_module_id = m.course_module_id
   AND l.is_published
LEFT JOIN courses.lesson_progress AS p
    ON p.business_id = %(business_id)s AND p.enrollment_id = e.enrollment_id
   AND p.lesson_id = l.lesson_id
LEFT JOIN (
    SELECT DISTINCT ON (x.lesson_id) x.lesson_id, x.rule_kind, x.opens_at, x.message,
           x.shows_locked
    FROM courses.unmet_rules(%(enrollment_id)s) AS x
    ORDER BY x.lesson_id, x.shows_locked, x.opens_at DESC NULLS FIRST
) AS u ON u.lesson_id = l.lesson_id
WHERE e.business_id = %(business_id)s AND e.enrollment_id = %(enrollment_id)s
  AND coalesce(u.shows_locked, true) AND coalesce(c.is_published, true)
ORDER BY coalesce(c.sort_order, m.sort_order), c.course_module_id IS NOT NULL, m.sort_order,
         l.sort_order
