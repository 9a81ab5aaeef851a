SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- Sections to come that are full have a queue, those under way what is left of one.
INSERT INTO courses.waitlist_entry
    (business_id, waitlist_entry_id, course_section_id, learner_id, position, requested_at,
     offered_at, offer_expires_at, accepted_at, status, priority_reason, notification_count)
SELECT n.business_id, md5('waits ' || n.course_section_id || n.learner_id)::uuid,
       n.course_section_id, n.learner_id, n.place, n.asked,
       CASE WHEN n.status IN ('waiting', 'removed') THEN NULL ELSE n.asked + interval '3 days' END,
       CASE WHEN n.status IN ('waiting', 'removed') THEN NULL ELSE n.asked + interval '5 days' END,
       NULL, n.status,
       CASE WHEN n.place = 1 AND n.odd %% 3 = 0 THEN 'program_required'
            WHEN n.odd %% 11 = 0 THEN 'returning' ELSE 'none' END,
       CASE WHEN n.status IN ('waiting', 'removed') THEN 0 ELSE 1 END
FROM (
    SELECT s.business_id, s.course_section_id, l.learner_id, p.place, h.odd,
           CASE s.status
               WHEN 'full' THEN 'waiting'
               ELSE split_part('expired,declined,removed', ',', 1 + h.odd %% 3) END
               AS status,
           CASE s.status
               WHEN 'full' THEN %(as_of)s::timestamptz - (60 - p.place * 5) * interval '2 hours'
               ELSE s.starts_on::timestamptz - (20 - p.place * 2) * interval '1 day' END AS asked
    FROM (
        SELECT x.*, row_number() OVER (PARTITION BY x.status ORDER BY x.section_code) AS number
        FROM courses.course_section AS x
        WHERE x.business_id = %(business_id)s AND x.delivery <> 'self_paced'
          AND x.status IN ('full', 'running', 'completed')
    ) AS s
    CROSS JOIN LATERAL (
        SELECT y.learner_id, row_number() OVER (
                   ORDER BY md5(s.course_section_id::text || y.learner_id)) AS place
        FROM courses.learner AS y
        WHERE y.business_id = s.business_id
          AND NOT EXISTS (
              SELECT FROM courses.enrollment AS e
              WHERE e.business_id = y.business_id AND e.learner_id = y.learner_id
                AND e.course_section_id = s.course_section_id)
    ) AS p
    JOIN courses.learner AS l ON l.business_id = s.business_id AND l.learner_id = p.learner_id
    CROSS JOIN LATERAL (
        SELECT ('x' || substr(md5(l.learner_id::text), 1, 7))::bit(28)::integer AS odd
    ) AS h
    WHERE p.place <= CASE s.status WHEN 'full' THEN 4 ELSE 2 END
      AND (s.status = 'full' OR s.number %% 4 = 1)
) AS n;

-- Some got in from the queue.
INSERT INTO courses.waitlist_entry
    (business_id, waitlist_entry_id, course_section_id, learner_id, position, requested_at,
     offered_at, offer_expires_at, accepted_at, status, notification_count)
SELECT e.business_id, md5('came in ' || e.enrollment_id)::uuid, e.course_section_id, e.learner_id,
       1, e.enrolled_at - interval '6 days', e.enrolled_at - interval '20 hours',
       e.enrolled_at + interval '28 hours', e.enrolled_at, 'accepted', 1
FROM (
    SELECT x.*, row_number() OVER (ORDER BY md5(x.enrollment_id::text)) AS place,
           count(*) OVER () AS seats
    FROM courses.enrollment AS x
    JOIN courses.course_section AS s
        ON s.business_id = x.business_id AND s.course_section_id = x.course_section_id
       AND s.delivery <> 'self_paced' AND s.status IN ('running', 'completed')
    WHERE x.business_id = %(business_id)s AND x.started_at IS NOT NULL
) AS e
WHERE e.place <= greatest(1, e.seats / 50);
