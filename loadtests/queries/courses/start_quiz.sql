-- A learner starts a quiz: its questions are drawn from the bank and wait for their answers.
-- budget: p95 150ms
-- weight: 6
-- mode: write
-- rows: >=1
-- params: enrollment_id from courses.enrollment where status = 'active' and mod(abs(hashtext(enrollment_id::text)), 2) = 0 and enrollment_id in (select p.enrollment_id from courses.lesson_progress as p join courses.assessment as a on a.business_id = p.business_id and a.lesson_id = p.lesson_id where a.assessment_kind = 'practice')
SELECT e.business_id, t.assessment_attempt_id
FROM courses.enrollment AS e
JOIN courses.course_section AS s
    ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
JOIN courses.assessment AS a
    ON a.business_id = s.business_id AND a.course_id = s.course_id
   AND a.assessment_kind = 'practice'
CROSS JOIN LATERAL courses.start_attempt(a.assessment_id, e.enrollment_id)
    AS t (assessment_attempt_id)
WHERE e.business_id = %(business_id)s AND e.enrollment_id = %(enrollment_id)s
