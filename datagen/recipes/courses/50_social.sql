SELECT tenant_mgmt.set_tenant(%(business_id)s);

-- A study group in every section with at least three learners; the first eight are in it.
INSERT INTO courses.study_group
    (business_id, study_group_id, course_section_id, name, goal, meeting_schedule, status,
     last_active_at)
SELECT s.business_id, md5('group ' || s.course_section_id)::uuid, s.course_section_id,
       split_part('Sunday circle,Night owls,Early birds,Exam crew', ',',
                  1 + abs(hashtextextended(s.course_section_id::text, 100) %% 4)::integer),
       'Get through it together.', 'Sundays at seven in the evening', 'active',
       %(as_of)s::timestamptz - interval '3 days'
FROM courses.course_section AS s
WHERE s.business_id = %(business_id)s
  AND 3 <= (SELECT count(*) FROM courses.enrollment AS e
            WHERE e.business_id = s.business_id AND e.course_section_id = s.course_section_id
              AND e.started_at IS NOT NULL);

INSERT INTO courses.study_group_member
    (business_id, study_group_member_id, study_group_id, learner_id, role, joined_at, status)
SELECT g.business_id, md5(concat('member ', g.study_group_id, e.learner_id))::uuid,
       g.study_group_id, e.learner_id, CASE e.number WHEN 1 THEN 'organizer' ELSE 'member' END,
       e.started_at + interval '2 days', 'active'
FROM courses.study_group AS g
JOIN (
    SELECT x.course_section_id, x.learner_id, min(x.started_at) AS started_at,
           row_number() OVER (PARTITION BY x.course_section_id
                              ORDER BY min(x.started_at), x.learner_id) AS number
    FROM courses.enrollment AS x
    WHERE x.business_id = %(business_id)s AND x.started_at IS NOT NULL
    GROUP BY x.course_section_id, x.learner_id
) AS e ON e.course_section_id = g.course_section_id AND e.number <= 8
WHERE g.business_id = %(business_id)s;

INSERT INTO courses.course_announcement
    (business_id, course_announcement_id, course_section_id, instructor_id, title, body,
     publish_at, recipient_count, read_count, status)
SELECT i.business_id, md5('welcome ' || i.section_instructor_id)::uuid, i.course_section_id,
       i.instructor_id, 'Welcome', 'Good to have you here. Begin with the first module.',
       s.starts_on::timestamp AT TIME ZONE 'UTC', n.learners, n.learners * 4 / 5, 'sent'
FROM courses.section_instructor AS i
JOIN courses.course_section AS s
    ON s.business_id = i.business_id AND s.course_section_id = i.course_section_id
CROSS JOIN LATERAL (
    SELECT count(*)::integer AS learners
    FROM courses.enrollment AS e
    WHERE e.business_id = i.business_id AND e.course_section_id = i.course_section_id
      AND e.started_at IS NOT NULL
) AS n
WHERE i.business_id = %(business_id)s AND s.starts_on < %(as_of)s::timestamptz::date;

INSERT INTO courses.lesson_note
    (business_id, lesson_note_id, learner_id, lesson_id, body, color, noted_at)
SELECT p.business_id, md5('note ' || p.lesson_progress_id)::uuid, e.learner_id, p.lesson_id,
       split_part('Look at this again before the quiz.,Ask about the second example.,'
                  || 'This is what the book calls a lemma.', ',', 1 + (h.place %% 3)::integer),
       split_part('yellow,green,blue,pink', ',', 1 + (h.place %% 4)::integer), p.last_opened_at
FROM courses.lesson_progress AS p
JOIN courses.enrollment AS e
    ON e.business_id = p.business_id AND e.enrollment_id = p.enrollment_id
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(p.lesson_progress_id::text, 101) %% 1000) AS place
) AS h
WHERE p.business_id = %(business_id)s AND p.last_opened_at IS NOT NULL AND h.place < 120;
