-- A teacher opens the gradebook: a line for each learner, a cell for each item, total and letter.
-- budget: p95 300ms
-- weight: 6
-- mode: read
-- rows: >=1
-- params: course_section_id from courses.enrollment where started_at is not null and course_section_id is not null and status in ('active', 'completed')
SELECT e.business_id, e.enrollment_id, l.learner_number, u.display_name, e.status,
       jsonb_object_agg(i.grade_item_id, jsonb_build_object(
           'points', n.points, 'letter', n.letter, 'status', coalesce(n.status, 'ungraded'),
           'late', coalesce(n.is_late, false), 'posted', n.posted_at IS NOT NULL)
           ORDER BY i.sort_order) FILTER (WHERE i.item_kind <> 'course_total') AS cells,
       max(n.points) FILTER (WHERE i.item_kind = 'course_total') AS total_pct,
       max(n.letter) FILTER (WHERE i.item_kind = 'course_total') AS total_letter
FROM courses.enrollment AS e
JOIN courses.learner AS l
    ON l.business_id = e.business_id AND l.learner_id = e.learner_id
LEFT JOIN user_mgmt.user_account AS u
    ON u.business_id = l.business_id AND u.user_account_id = l.user_account_id
LEFT JOIN courses.grade_item AS i
    ON i.business_id = e.business_id AND i.course_section_id = e.course_section_id
LEFT JOIN courses.grade_entry AS n
    ON n.business_id = e.business_id AND n.grade_item_id = i.grade_item_id
   AND n.enrollment_id = e.enrollment_id
WHERE e.business_id = %(business_id)s AND e.course_section_id = %(course_section_id)s
  AND e.status NOT IN ('requested', 'pending_payment', 'withdrawn')
GROUP BY e.business_id, e.enrollment_id, l.learner_number, u.display_name, e.status
ORDER BY l.learner_number, e.enrollment_id
