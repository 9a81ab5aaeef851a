-- A learner hands a quiz in: it is scored at once, and lesson, course and outcomes know of it.
-- budget: p95 250ms
-- weight: 5
-- mode: write
-- rows: >=1
-- params: enrollment_id from courses.enrollment where status = 'active' and enrollment_id in (select p.enrollment_id from courses.lesson_progress as p join courses.assessment as a on a.business_id = p.business_id and a.lesson_id = p.lesson_id where a.assessment_kind = 'practice') and enrollment_id not in (select t.enrollment_id from courses.assessment_attempt as t where t.state = 'in_progress' and t.client_ip is null)
SELECT e.business_id, t.assessment_attempt_id, x.state
FROM courses.enrollment AS e
JOIN courses.course_section AS s
    ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
JOIN courses.assessment AS a
    ON a.business_id = s.business_id AND a.course_id = s.course_id
   AND a.assessment_kind = 'practice'
CROSS JOIN LATERAL courses.start_attempt(a.assessment_id, e.enrollment_id, NULL, '192.0.2.7')
    AS t (assessment_attempt_id)
CROSS JOIN LATERAL courses.submit_attempt(t.assessment_attempt_id) AS x (state)
WHERE e.business_id = %(business_id)s AND e.enrollment_id = %(enrollment_id)s
