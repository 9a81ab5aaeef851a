SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- The tree: a topic lies within the one whose code is the beginning of its own.
UPDATE courses.subject_area AS a
SET parent_subject_area_id = p.subject_area_id
FROM courses.subject_area AS p
WHERE a.business_id = %(business_id)s AND p.business_id = a.business_id
  AND a.code LIKE '%%-%%' AND p.code = regexp_replace(a.code, '-[^-]+$', '');

-- The number at the end of a course's code says what kind of course it is.
UPDATE courses.course AS c
SET subject_area_id = a.subject_area_id
FROM courses.subject_area AS a
WHERE c.business_id = %(business_id)s AND a.business_id = c.business_id
  AND a.code = split_part(
      'TECH-DATA-SQL,TECH-DATA-SQL,TECH-DATA,TECH-DATA,TECH-DATA,TECH-DATA,TECH-DEV,TECH-DEV,'
      'TECH-DEV,TECH-DEV,TECH-DEV,TECH-CLOUD,TECH-CLOUD,TECH-CLOUD,TECH-CLOUD,BUS-FIN,BUS-FIN,'
      'BUS-FIN,BUS-FIN,BUS-MGT,BUS-MGT,BUS-MGT,BUS-MGT,BUS-MKT,BUS-MKT,BUS-MKT,DES,DES,DES-UX,'
      'DES-UX,LANG,LANG,LANG,LANG,HEALTH,HEALTH,COMP,COMP,COMP,PERS', ',',
      1 + right(c.course_code, 3)::integer - 100);

-- Outcomes belong to the topic of their course, and build on the simplest one of it.
UPDATE courses.learning_outcome AS o
SET subject_area_id = c.subject_area_id, parent_outcome_id = p.learning_outcome_id
FROM courses.course AS c
LEFT JOIN courses.learning_outcome AS p
    ON p.business_id = c.business_id
   AND p.code = 'LO-' || lpad((right(c.course_code, 3)::integer - 100)::text, 2, '0') || '-1'
WHERE o.business_id = %(business_id)s AND c.business_id = o.business_id AND c.version_no = 1
  AND split_part(o.code, '-', 2)::integer = right(c.course_code, 3)::integer - 100
  AND o.learning_outcome_id IS DISTINCT FROM p.learning_outcome_id;

UPDATE courses.learning_outcome AS o
SET subject_area_id = c.subject_area_id
FROM courses.course AS c
WHERE o.business_id = %(business_id)s AND c.business_id = o.business_id AND c.version_no = 1
  AND o.subject_area_id IS NULL
  AND split_part(o.code, '-', 2)::integer = right(c.course_code, 3)::integer - 100;

-- A course assesses its own outcomes and touches some of the others of its topic.
INSERT INTO courses.course_outcome
    (business_id, course_outcome_id, course_id, learning_outcome_id, coverage, weight_pct,
     sort_order, evidence_minimum, is_required_for_completion, added_in_version)
SELECT n.business_id, md5('teaches ' || n.course_id || n.learning_outcome_id)::uuid, n.course_id,
       n.learning_outcome_id,
       CASE WHEN n.is_own THEN CASE WHEN n.place = 3 THEN 'mastered' ELSE 'assessed' END
            WHEN n.place %% 2 = 0 THEN 'reinforced' ELSE 'introduced' END,
       CASE WHEN n.is_own THEN round(80.0 / n.own, 2) ELSE 5 END, n.place,
       CASE WHEN n.is_own THEN 1 + n.place %% 3 ELSE 0 END, n.is_own AND n.place <= 2, 1
FROM (
    SELECT c.business_id, c.course_id, o.learning_outcome_id, k.is_own,
           count(*) FILTER (WHERE k.is_own) OVER (PARTITION BY c.course_id) AS own,
           row_number() OVER (PARTITION BY c.course_id, k.is_own ORDER BY o.code) AS place
    FROM courses.course AS c
    JOIN courses.learning_outcome AS o
        ON o.business_id = c.business_id AND o.subject_area_id = c.subject_area_id
    CROSS JOIN LATERAL (
        SELECT split_part(o.code, '-', 2)::integer = right(c.course_code, 3)::integer - 100
                   AS is_own
    ) AS k
    WHERE c.business_id = %(business_id)s
) AS n
WHERE n.is_own OR n.place <= 2;

-- What comes before what; alternatives where two ways lead to the same.
INSERT INTO courses.course_prerequisite
    (business_id, course_prerequisite_id, course_id, required_course_id, requirement_kind,
     minimum_grade_pct, group_no, is_corequisite, waivable, validity_months, note)
SELECT c.business_id, md5('needs ' || p.kind || c.course_id || r.course_id)::uuid, c.course_id,
       r.course_id, p.kind, CASE p.kind WHEN 'minimum_grade' THEN 70 END, p.alternative,
       p.beside, p.waivable, CASE WHEN p.code = 35 THEN 24 END,
       CASE WHEN p.beside THEN 'May be taken at the same time' END
FROM (VALUES
    (1, 0, 'minimum_grade', NULL::integer, false, false),
    (2, 6, 'course_completed', NULL, false, true),
    (4, 2, 'minimum_grade', NULL, false, false),
    (4, 3, 'course_completed', NULL, true, true),
    (5, 18, 'course_completed', 1, false, true),
    (5, 2, 'course_completed', 1, false, true),
    (8, 6, 'course_completed', 1, false, true),
    (8, 7, 'course_completed', 1, false, true),
    (9, 6, 'course_completed', 1, false, false),
    (9, 7, 'course_completed', 1, false, false),
    (10, 9, 'course_completed', NULL, false, false),
    (12, 11, 'course_completed', NULL, false, true),
    (13, 12, 'course_completed', 1, false, false),
    (13, 11, 'minimum_grade', 1, false, false),
    (14, 11, 'course_completed', NULL, false, true),
    (16, 15, 'course_completed', NULL, true, true),
    (17, 16, 'course_completed', NULL, false, true),
    (21, 20, 'course_completed', NULL, false, true),
    (24, 23, 'course_completed', NULL, false, true),
    (25, 23, 'course_completed', NULL, true, true),
    (29, 28, 'course_completed', NULL, false, false),
    (29, 27, 'course_completed', 2, false, false),
    (29, 26, 'course_completed', 2, false, false),
    (31, 30, 'course_completed', 1, false, false),
    (31, 30, 'placement_test', 1, false, false),
    (35, 34, 'course_completed', NULL, false, false))
    AS p (code, required, kind, alternative, beside, waivable)
JOIN courses.course AS c
    ON c.business_id = %(business_id)s AND right(c.course_code, 3)::integer = 100 + p.code
JOIN courses.course AS r
    ON r.business_id = c.business_id AND right(r.course_code, 3)::integer = 100 + p.required
   AND r.version_no = c.version_no;

INSERT INTO courses.course_prerequisite
    (business_id, course_prerequisite_id, course_id, requirement_kind, waivable, note)
SELECT c.business_id, md5('asks ' || c.course_id)::uuid, c.course_id, 'instructor_consent', true,
       'Show two projects of your own'
FROM courses.course AS c
WHERE c.business_id = %(business_id)s AND c.level = 'advanced'
  AND right(c.course_code, 3)::integer %% 3 = 1;

-- A program is a core that is taken, a choice, and what closes it.
UPDATE courses.program AS p
SET subject_area_id = a.subject_area_id
FROM courses.subject_area AS a
WHERE p.business_id = %(business_id)s AND a.business_id = p.business_id
  AND a.code = CASE p.program_code WHEN 'DATA-CERT' THEN 'TECH-DATA' WHEN 'WEB-DEV' THEN 'TECH-DEV'
                                   WHEN 'CLOUD-OPS' THEN 'TECH-CLOUD' WHEN 'MGMT-DIP' THEN 'BUS'
                                   WHEN 'ONBOARD' THEN 'PERS' ELSE 'COMP' END;

INSERT INTO courses.program_requirement
    (business_id, program_requirement_id, program_id, requirement_kind, title, sort_order,
     choose_count, minimum_credits)
SELECT p.business_id, md5('part ' || e.kind || p.program_id)::uuid, p.program_id, e.kind, e.title,
       e.place, CASE e.kind WHEN 'choose_n' THEN 1 END, CASE e.kind WHEN 'credits' THEN 2 END
FROM courses.program AS p
CROSS JOIN (VALUES ('group', 'Core courses', 1), ('choose_n', 'One of these', 2),
                   ('credits', 'Free choice', 3)) AS e (kind, title, place)
WHERE p.business_id = %(business_id)s
  AND (e.kind = 'group' OR p.program_kind NOT IN ('onboarding', 'compliance'));

INSERT INTO courses.program_requirement
    (business_id, program_requirement_id, program_id, parent_requirement_id, course_id,
     requirement_kind, title, sort_order, minimum_grade_pct, recommended_term, is_optional)
SELECT n.business_id, md5('takes ' || n.program_id || n.course_id)::uuid, n.program_id,
       md5('part ' || CASE WHEN n.place <= n.core THEN 'group'
                           WHEN n.place <= n.core + 2 THEN 'choose_n' ELSE 'credits' END
           || n.program_id)::uuid,
       n.course_id, 'course', n.title, n.place, CASE WHEN n.place = 1 THEN 60 END,
       'Term ' || (1 + n.place / 3)::text, n.place > n.core
FROM (
    SELECT p.business_id, p.program_id, c.course_id, c.title,
           CASE WHEN p.program_kind IN ('onboarding', 'compliance') THEN 99 ELSE 2 END AS core,
           row_number() OVER (PARTITION BY p.program_id
                              ORDER BY c.level = 'advanced', c.course_code) AS place
    FROM courses.program AS p
    JOIN courses.subject_area AS a
        ON a.business_id = p.business_id
       AND CASE p.program_code WHEN 'DATA-CERT' THEN a.path LIKE 'technology/data%%'
                               WHEN 'WEB-DEV' THEN a.path IN ('technology/software-development',
                                                              'design', 'design/user-experience')
                               WHEN 'CLOUD-OPS' THEN a.path LIKE 'technology/%%'
                               WHEN 'MGMT-DIP' THEN a.path LIKE 'business%%'
                               WHEN 'ONBOARD' THEN a.path IN ('personal-skills',
                                                              'compliance-and-safety')
                               ELSE a.path = 'compliance-and-safety' END
    JOIN courses.course AS c
        ON c.business_id = a.business_id AND c.subject_area_id = a.subject_area_id
       AND c.status = 'published'
    WHERE p.business_id = %(business_id)s
) AS n
WHERE n.place <= CASE WHEN n.core = 99 THEN 4 ELSE 8 END;
