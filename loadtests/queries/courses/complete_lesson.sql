-- The tick at the end of a lesson: progress, roll-up and the record of it.
-- budget: p95 100ms
-- weight: 10
-- mode: write
-- rows: >=1
-- params: enrollment_id from courses.enrollment where status = 'active' and enrollment_id in (select p.enrollment_id from courses.lesson_progress as p)
SELECT e.business_id, n.lesson_id, r.state, r.course_pct
FROM courses.enrollment AS e
CROSS JOIN LATERAL (
    SELECT coalesce(p.next_lesson_id, x.lesson_id) AS lesson_id
    FROM courses.course_progress AS p
    CROSS JOIN LATERAL (
        SELECT d.lesson_id
        FROM courses.lesson_progress AS d
        WHERE d.business_id = %(business_id)s AND d.enrollment_id = p.enrollment_id
        ORDER BY d.last_opened_at DESC NULLS LAST
        LIMIT 1
    ) AS x
    WHERE p.business_id = %(business_id)s AND p.enrollment_id = e.enrollment_id
) AS n
CROSS JOIN LATERAL courses.record_lesson_event(
    e.enrollment_id, n.lesson_id, '{"kind": "marked", "seconds": 40}') AS r
WHERE e.business_id = %(business_id)s AND e.enrollment_id = %(enrollment_id)s
