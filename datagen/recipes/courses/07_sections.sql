SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- One person leads all runs of a course; every third run has an assistant, every fifth a grader.
INSERT INTO courses.section_instructor
    (business_id, section_instructor_id, course_section_id, instructor_id, role, load_pct,
     pay_basis, pay_amount, can_grade, can_edit_content, assigned_from, assigned_until)
SELECT s.business_id, md5('teaches ' || r.role || s.course_section_id)::uuid, s.course_section_id,
       i.instructor_id, r.role, CASE r.role WHEN 'lead' THEN 80 WHEN 'grader' THEN 10 ELSE 30 END,
       b.basis,
       CASE b.basis WHEN 'hourly' THEN i.hourly_rate_amount WHEN 'flat' THEN 250 END,
       r.role <> 'co_teacher', r.role IN ('lead', 'co_teacher'), s.starts_on - 14, s.ends_on + 14
FROM (
    SELECT x.*, dense_rank() OVER (ORDER BY x.course_id) AS course_place,
           row_number() OVER (ORDER BY x.section_code) AS place
    FROM courses.course_section AS x
    WHERE x.business_id = %(business_id)s
) AS s
CROSS JOIN (VALUES ('lead', 0), ('teaching_assistant', 1), ('grader', 2)) AS r (role, step)
JOIN (
    SELECT x.*, row_number() OVER (ORDER BY x.display_name, x.instructor_id) - 1 AS place,
           count(*) OVER () AS people
    FROM courses.instructor AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
) AS i ON i.place = (s.course_place + r.step * 5) %% i.people
CROSS JOIN LATERAL (
    SELECT CASE WHEN i.engagement = 'volunteer' THEN 'none'
                WHEN r.role <> 'lead' THEN 'flat'
                WHEN i.engagement = 'contractor' THEN 'revenue_share'
                WHEN s.delivery = 'self_paced' THEN 'none' ELSE 'hourly' END AS basis
) AS b
WHERE r.role = 'lead' OR (r.role = 'teaching_assistant' AND s.place %% 3 = 0)
   OR (r.role = 'grader' AND s.place %% 5 = 0);
