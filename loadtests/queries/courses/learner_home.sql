-- The dashboard after signing in: live courses, what is next, what is due, the streak.
-- budget: p95 120ms
-- weight: 30
-- mode: read
-- rows: >=1
-- params: learner_id from courses.enrollment where status = 'active' and course_section_id is not null
SELECT d.business_id, d.enrollment_id, d.course, d.section, d.progress_pct, d.pace, d.next_lesson,
       d.next_due, d.next_due_at, d.next_meeting_at, d.current_streak_days, d.spendable_points
FROM (
    SELECT e.business_id, e.learner_id, e.enrollment_id, c.title AS course, s.title AS section,
           e.status, p.lessons_done, p.lessons_total, e.progress_pct, p.pace, p.days_behind,
           p.next_lesson_id, l.title AS next_lesson, d.due_at AS next_due_at, d.title AS next_due,
           m.starts_at AS next_meeting_at, t.current_streak_days, t.spendable_points
    FROM courses.enrollment AS e
    JOIN courses.course_section AS s
        ON s.business_id = %(business_id)s AND s.course_section_id = e.course_section_id
    JOIN courses.course AS c ON c.business_id = %(business_id)s AND c.course_id = s.course_id
    LEFT JOIN courses.course_progress AS p
        ON p.business_id = %(business_id)s AND p.enrollment_id = e.enrollment_id
    LEFT JOIN courses.lesson AS l
        ON l.business_id = %(business_id)s AND l.lesson_id = p.next_lesson_id
    LEFT JOIN courses.learner_standing AS t
        ON t.business_id = %(business_id)s AND t.learner_id = e.learner_id
    LEFT JOIN LATERAL (
        SELECT a.due_at, a.title
        FROM courses.assignment AS a
        WHERE a.business_id = %(business_id)s AND a.course_id = s.course_id AND a.due_at > now()
        ORDER BY a.due_at
        LIMIT 1
    ) AS d ON true
    LEFT JOIN LATERAL (
        SELECT x.starts_at
        FROM courses.class_meeting AS x
        WHERE x.business_id = %(business_id)s AND x.course_section_id = s.course_section_id
          AND x.starts_at > now() AND x.status = 'scheduled'
        ORDER BY x.starts_at
        LIMIT 1
    ) AS m ON true
    WHERE e.status IN ('active', 'audit', 'paused')
) AS d
WHERE d.business_id = %(business_id)s AND d.learner_id = %(learner_id)s
ORDER BY d.next_due_at NULLS LAST, d.enrollment_id
