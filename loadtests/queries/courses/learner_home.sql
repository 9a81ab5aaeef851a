-- The dashboard after signing in: live courses, what is next, what is due, the streak.
-- budget: p95 120ms
-- weight: 30
-- mode: read
-- rows: >=1
-- params: learner_id from courses.enrollment where status = 'active' and course_section_id is not null
SELECT d.business_id, d.enrollment_id, d.course, d.section, d.progress_pct, d.pace, d.next_lesson,
       d.next_due, d.next_due_at, d.next_meeting_at, d.current_streak_days, d.spendable_points
FROM courses.v_learner_dashboard AS d
WHERE d.business_id = %(business_id)s AND d.learner_id = %(learner_id)s
ORDER BY d.next_due_at NULLS LAST, d.enrollment_id
