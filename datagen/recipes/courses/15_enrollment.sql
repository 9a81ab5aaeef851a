SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- A class is a class, at the smallest scale too: where no four completed one together, some who
-- completed another at that time of their own are moved into the largest.
WITH done AS (
    SELECT e.enrollment_id, e.learner_id, e.course_section_id, s.section_code, s.starts_on,
           s.ends_on,
           row_number() OVER (PARTITION BY e.learner_id ORDER BY e.enrollment_id) AS turn
    FROM courses.enrollment AS e
    JOIN courses.course_section AS s
        ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
    WHERE e.business_id = %(business_id)s AND e.status = 'completed' AND s.status = 'completed'
      AND s.delivery <> 'self_paced' AND s.ends_on - s.starts_on >= 56
), class AS (
    SELECT d.course_section_id, d.starts_on, d.ends_on, count(*) AS many
    FROM done AS d
    GROUP BY d.course_section_id, d.section_code, d.starts_on, d.ends_on
    ORDER BY many DESC, d.section_code
    LIMIT 1
), moved AS (
    SELECT d.enrollment_id, k.course_section_id, k.many, k.starts_on - d.starts_on AS later,
           k.ends_on, k.ends_on - d.ends_on AS done_later,
           row_number() OVER (ORDER BY d.enrollment_id) AS number
    FROM done AS d
    CROSS JOIN class AS k
    WHERE d.turn = 1 AND NOT EXISTS (
        SELECT
        FROM courses.enrollment AS x
        WHERE x.business_id = %(business_id)s AND x.learner_id = d.learner_id
          AND x.course_section_id = k.course_section_id)
)
UPDATE courses.enrollment AS e
SET course_section_id = m.course_section_id, due_on = m.ends_on,
    enrolled_at = e.enrolled_at + m.later * interval '1 day',
    started_at = e.started_at + m.later * interval '1 day',
    completed_at = e.completed_at + m.done_later * interval '1 day'
FROM moved AS m
WHERE e.business_id = %(business_id)s AND e.enrollment_id = m.enrollment_id
  AND m.many + m.number <= 4;

UPDATE courses.learner AS l
SET first_enrolled_at = n.first_at
FROM (
    SELECT e.learner_id, min(e.enrolled_at) AS first_at
    FROM courses.enrollment AS e
    WHERE e.business_id = %(business_id)s
    GROUP BY e.learner_id
) AS n
WHERE l.business_id = %(business_id)s AND l.learner_id = n.learner_id
  AND l.first_enrolled_at <> n.first_at;

-- The two who have been at it for the longest are past the middle, at the smallest scale too.
UPDATE courses.enrollment AS e
SET progress_pct = 60
FROM (
    SELECT x.enrollment_id, row_number() OVER (ORDER BY x.started_at, x.enrollment_id) AS number
    FROM courses.enrollment AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
      AND x.course_section_id IS NOT NULL AND x.started_at IS NOT NULL
) AS n
WHERE e.business_id = %(business_id)s AND e.enrollment_id = n.enrollment_id AND n.number <= 2
  AND e.progress_pct < 60;

-- Seats: some more than were taken; every third section to come is full.
UPDATE courses.course_section AS s
SET seat_limit = n.seats, cancellation_minimum = least(s.cancellation_minimum, n.seats)
FROM (
    SELECT x.course_section_id,
           CASE WHEN x.status = 'open' AND x.enrolled_count > 0
                 AND row_number() OVER (PARTITION BY x.status ORDER BY x.enrolled_count DESC,
                                                                       x.section_code) %% 3 = 1
                THEN x.enrolled_count
                ELSE greatest(12 + h.place %% 4 * 6, x.enrolled_count + 1 + h.place %% 5) END
               AS seats
    FROM courses.course_section AS x
    CROSS JOIN LATERAL (
        SELECT ('x' || substr(md5(x.section_code), 1, 7))::bit(28)::integer AS place
    ) AS h
    WHERE x.business_id = %(business_id)s AND x.delivery <> 'self_paced'
) AS n
WHERE s.business_id = %(business_id)s AND s.course_section_id = n.course_section_id;

-- One learner in twenty has an adjustment, some of them two.
INSERT INTO courses.learner_accommodation
    (business_id, learner_accommodation_id, learner_id, approved_by, accommodation,
     time_multiplier, extra_attempts, deadline_extension_days, valid_from, valid_until,
     documentation_on_file, status, review_on)
SELECT l.business_id, md5('adjusts ' || k.kind || l.learner_id)::uuid, l.learner_id,
       a.user_account_id, k.kind,
       CASE k.kind WHEN 'extra_time' THEN 1.25 + l.place %% 3 * 0.25 END,
       CASE k.kind WHEN 'extra_attempts' THEN 1 + l.place %% 2 END,
       CASE k.kind WHEN 'flexible_deadline' THEN 3 + l.place %% 5 END,
       %(as_of)s::date - 300 + l.place::integer %% 90,
       CASE WHEN l.place %% 4 <> 0 THEN %(as_of)s::date + 90 + l.place::integer %% 200 END,
       l.place %% 7 <> 3, CASE WHEN l.place %% 7 = 3 THEN 'requested' ELSE 'approved' END,
       %(as_of)s::date + 60
FROM (
    SELECT x.*, row_number() OVER (ORDER BY md5(x.learner_id::text)) AS place,
           count(*) OVER () AS people
    FROM courses.learner AS x
    WHERE x.business_id = %(business_id)s
) AS l
CROSS JOIN (
    SELECT x.user_account_id
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = %(business_id)s AND x.account_kind = 'staff' AND x.status = 'active'
    ORDER BY x.username
    LIMIT 1
) AS a
CROSS JOIN LATERAL (
    SELECT split_part('extra_time,captions,flexible_deadline,extra_time,breaks,extra_attempts,'
                      'reader,large_print', ',', (1 + l.place %% 8)::integer)
    UNION
    SELECT 'extra_time' WHERE l.place %% 3 = 0
) AS k (kind)
WHERE l.place <= greatest(3, l.people / 20);

-- Classes that go through a course together.
INSERT INTO courses.cohort
    (business_id, cohort_id, course_section_id, lead_instructor_id, code, name, cohort_kind,
     starts_on, ends_on, capacity, meeting_pattern, status)
SELECT s.business_id, md5('class ' || s.course_section_id)::uuid, s.course_section_id,
       t.instructor_id, s.section_code || '-CLASS',
       'Class of ' || to_char(s.starts_on, 'FMMonth YYYY'), 'class', s.starts_on, s.ends_on, s.seat_limit,
       'Weekly, ' || split_part('Monday,Tuesday,Wednesday,Thursday', ',', 1 + s.seat_limit %% 4)
           || ' evening',
       CASE s.status WHEN 'completed' THEN 'finished' WHEN 'running' THEN 'running'
                     WHEN 'cancelled' THEN 'cancelled' ELSE 'forming' END
FROM courses.course_section AS s
JOIN courses.course AS c ON c.business_id = s.business_id AND c.course_id = s.course_id
JOIN courses.section_instructor AS t
    ON t.business_id = s.business_id AND t.course_section_id = s.course_section_id
   AND t.role = 'lead'
WHERE s.business_id = %(business_id)s AND c.delivery = 'cohort' AND s.status <> 'planned';

UPDATE courses.enrollment AS e
SET cohort_id = k.cohort_id
FROM courses.cohort AS k
WHERE e.business_id = %(business_id)s AND k.business_id = e.business_id
  AND k.course_section_id = e.course_section_id AND courses.holds_seat(e.status);

-- One learner in eight is in a program; each program has an advising group.
INSERT INTO courses.cohort
    (business_id, cohort_id, program_id, code, name, cohort_kind, starts_on, capacity,
     meeting_pattern, status)
SELECT p.business_id, md5('group ' || p.program_id)::uuid, p.program_id,
       p.program_code || '-' || p.catalog_year, p.title || ', this year',
       CASE WHEN p.program_kind IN ('onboarding', 'compliance') THEN 'company' ELSE 'advising' END,
       %(as_of)s::date - 300, NULL, 'Monthly', 'running'
FROM courses.program AS p
WHERE p.business_id = %(business_id)s AND p.status = 'published';

INSERT INTO courses.enrollment
    (business_id, enrollment_id, learner_id, program_id, cohort_id, enrollment_number, status,
     enrolled_at, started_at, due_on, withdrawn_at, withdrawal_reason, progress_pct, source)
SELECT p.business_id, md5('in program ' || l.learner_id)::uuid, l.learner_id, p.program_id,
       md5('group ' || p.program_id)::uuid, 'P-' || lpad(l.place::text, 5, '0'), k.status,
       k.moment, k.moment + interval '2 days',
       (k.moment + make_interval(months => p.max_duration_months))::date,
       CASE k.status WHEN 'withdrawn' THEN k.moment + interval '40 days' END,
       CASE k.status WHEN 'withdrawn' THEN 'time' END,
       CASE k.status WHEN 'withdrawn' THEN 10 ELSE 5 + l.place %% 60 END,
       CASE WHEN p.program_kind IN ('onboarding', 'compliance') THEN 'bulk' ELSE 'self' END
FROM (
    SELECT x.learner_id,
           row_number() OVER (ORDER BY md5('p' || x.learner_id::text)) AS place,
           count(*) OVER () AS people
    FROM courses.learner AS x
    WHERE x.business_id = %(business_id)s
) AS l
JOIN (
    SELECT x.*, row_number() OVER (ORDER BY x.program_code) - 1 AS number,
           count(*) OVER () AS all_of
    FROM courses.program AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'published'
) AS p ON p.number = l.place %% p.all_of
CROSS JOIN LATERAL (
    SELECT CASE WHEN l.place %% 9 = 4 THEN 'withdrawn' WHEN l.place %% 13 = 5 THEN 'paused'
                ELSE 'active' END AS status,
           date_trunc('day', %(as_of)s::timestamptz) - (60 + l.place * 17 %% 180) * interval '1 day'
               + interval '15 hours' AS moment
) AS k
WHERE l.place <= greatest(4, l.people / 8);

-- Who learns signs in; some who were put on a roster have not accepted the invitation yet.
INSERT INTO user_mgmt.user_account
    (business_id, user_account_id, username, email, display_name, account_kind, status, locale,
     time_zone, activated_at, last_login_at)
SELECT l.business_id, md5('account ' || l.learner_id)::uuid,
       lower(n.first || '.' || n.last || '.' || n.number) || '.t'
           || right(replace(l.business_id::text, '-', ''), 8),
       lower(n.first || '.' || n.last || n.number) || '@'
           || CASE WHEN l.segment = 'corporate'
                   THEN lower(split_part(l.employer_name, ' ', 1)) || '.example'
                   ELSE split_part('mail.example,post.example,inbox.example', ',',
                                   1 + n.place %% 3) END,
       n.first || ' ' || n.last, 'learner', 'active',
       l.preferred_language || CASE l.preferred_language WHEN 'en' THEN '-US' WHEN 'de' THEN '-DE'
                                                         ELSE '-ES' END,
       l.time_zone, b.began - interval '1 day',
       greatest(b.began, %(as_of)s::timestamptz - (n.place %% 40) * interval '9 hours')
FROM courses.learner AS l
CROSS JOIN LATERAL (
    SELECT ('x' || substr(md5(l.learner_id::text), 1, 7))::bit(28)::integer AS place
) AS p
CROSS JOIN LATERAL (
    SELECT p.place, (right(l.learner_number, 5)::integer + 11)::text AS number,
           split_part('Ada,Ben,Chloe,David,Emma,Felix,Grace,Hannah,Isaac,Julia,Kofi,Leila,Marcus,'
                      'Nadia,Oscar,Paula,Quinn,Rosa,Simon,Tara,Umar,Vera,Will,Ximena,Yusuf,Zoe',
                      ',', 1 + p.place %% 26) AS first,
           split_part('Abbott,Bauer,Chen,Dubois,Eriksen,Fontaine,Garcia,Hughes,Ivanova,Jensen,'
                      'Kowalski,Lopez,Murphy,Novak,Okafor,Patel,Quist,Rossi,Schmidt,Torres,'
                      'Underwood,Vargas,Wagner,Xu,Young,Zimmer,Brooks,Diaz,Flores', ',',
                      1 + p.place / 26 %% 29) AS last
) AS n
LEFT JOIN (
    SELECT e.learner_id, min(e.enrolled_at) AS enrolled_at
    FROM courses.enrollment AS e
    WHERE e.business_id = %(business_id)s
    GROUP BY e.learner_id
) AS e ON e.learner_id = l.learner_id
CROSS JOIN LATERAL (
    SELECT coalesce(e.enrolled_at, %(as_of)s::timestamptz
                                   - (10 + p.place %% 200) * interval '1 day') AS began
) AS b
WHERE l.business_id = %(business_id)s
  AND (e.learner_id IS NOT NULL OR l.segment <> 'corporate');

UPDATE courses.learner AS l
SET user_account_id = a.user_account_id
FROM user_mgmt.user_account AS a
WHERE l.business_id = %(business_id)s AND a.business_id = l.business_id
  AND a.user_account_id = md5('account ' || l.learner_id)::uuid;

INSERT INTO courses.cohort_member
    (business_id, cohort_member_id, cohort_id, learner_id, role, joined_at, left_at, leave_reason,
     seat_no, source)
SELECT e.business_id, md5('member ' || e.enrollment_id)::uuid, k.cohort_id, e.learner_id,
       CASE WHEN row_number() OVER (PARTITION BY k.cohort_id ORDER BY e.enrolled_at,
                                                                      e.enrollment_id) = 1
            THEN 'leader' ELSE 'member' END,
       e.enrolled_at, coalesce(e.withdrawn_at, e.completed_at),
       CASE e.status WHEN 'withdrawn' THEN 'dropped' WHEN 'completed' THEN 'completed' END,
       row_number() OVER (PARTITION BY k.cohort_id ORDER BY e.enrolled_at, e.enrollment_id),
       'enrollment'
FROM courses.enrollment AS e
JOIN courses.cohort AS k
    ON k.business_id = e.business_id
   AND (k.course_section_id = e.course_section_id OR k.program_id = e.program_id)
WHERE e.business_id = %(business_id)s AND e.enrolled_at IS NOT NULL;

-- What became of each enrollment, step by step.
INSERT INTO courses.enrollment_status_event
    (business_id, enrollment_status_event_id, enrollment_id, occurred_at, from_status, to_status,
     cause, reason, progress_pct_then)
SELECT e.business_id, md5('step ' || s.step || e.enrollment_id)::uuid, e.enrollment_id, s.moment,
       lag(s.status) OVER (PARTITION BY e.enrollment_id ORDER BY s.step), s.status,
       CASE WHEN s.status = 'requested'
            THEN CASE e.source WHEN 'self' THEN 'learner' ELSE 'admin' END
            WHEN s.status IN ('completed', 'failed') THEN 'completion_rule'
            WHEN s.status = 'expired' THEN 'expiry'
            WHEN s.status IN ('withdrawn', 'paused') THEN 'learner'
            WHEN s.step = 3 THEN 'payment'
            ELSE CASE e.source WHEN 'self' THEN 'learner' ELSE 'admin' END END,
       CASE s.status WHEN 'withdrawn' THEN e.withdrawal_reason END,
       CASE WHEN s.step < 4 THEN 0 ELSE e.progress_pct END
FROM courses.enrollment AS e
LEFT JOIN courses.course_section AS x
    ON x.business_id = e.business_id AND x.course_section_id = e.course_section_id
CROSS JOIN LATERAL (
    SELECT coalesce(e.enrolled_at, date_trunc('day', %(as_of)s::timestamptz)
           - (1 + ('x' || substr(md5(e.enrollment_id::text), 1, 7))::bit(28)::integer %% 20)
             * interval '1 day') AS moment
) AS b
CROSS JOIN LATERAL (VALUES
    (1, 'requested', b.moment - interval '6 minutes'),
    (2, CASE WHEN e.source = 'self' AND e.enrolled_at IS NOT NULL THEN 'pending_payment' END,
     b.moment - interval '5 minutes'),
    (3, CASE WHEN e.status NOT IN ('requested', 'pending_payment') THEN 'active' END, b.moment),
    (4, CASE WHEN e.status NOT IN ('requested', 'pending_payment', 'active') THEN e.status END,
     CASE e.status WHEN 'completed' THEN e.completed_at WHEN 'withdrawn' THEN e.withdrawn_at
                   WHEN 'expired' THEN e.access_until
                   WHEN 'failed'
                   THEN least(coalesce(x.ends_on::timestamptz, %(as_of)s::timestamptz)
                              + interval '2 days', %(as_of)s::timestamptz - interval '1 day')
                   ELSE least(coalesce(e.started_at, b.moment) + interval '6 days',
                              %(as_of)s::timestamptz - interval '1 hour') END))
    AS s (step, status, moment)
WHERE e.business_id = %(business_id)s AND s.status IS NOT NULL;

-- Who has nothing under way is dormant after half a year; who finished a program's worth is done.
UPDATE courses.learner AS l
SET status = n.status
FROM (
    SELECT x.learner_id,
           CASE WHEN count(*) FILTER (WHERE e.status NOT IN ('completed', 'withdrawn', 'expired',
                                                             'failed')) > 0 THEN 'active'
                WHEN count(*) FILTER (WHERE e.status = 'completed') >= 6 THEN 'graduated'
                WHEN count(*) FILTER (WHERE e.status <> 'withdrawn') = 0 THEN 'withdrawn'
                WHEN max(greatest(e.completed_at, e.access_until))
                     < %(as_of)s::timestamptz - interval '180 days' THEN 'dormant'
                ELSE 'active' END AS status
    FROM courses.learner AS x
    JOIN courses.enrollment AS e
        ON e.business_id = x.business_id AND e.learner_id = x.learner_id
    WHERE x.business_id = %(business_id)s
    GROUP BY x.learner_id
) AS n
WHERE l.business_id = %(business_id)s AND l.learner_id = n.learner_id AND l.status <> n.status;

INSERT INTO system_core.number_sequence
    (business_id, number_sequence_id, sequence_code, prefix, next_value)
SELECT %(business_id)s, md5('enrollment numbers ' || %(business_id)s)::uuid, 'enrollment', 'E-',
       1 + coalesce(max(substr(e.enrollment_number, 3)::bigint), 0)
FROM courses.enrollment AS e
WHERE e.business_id = %(business_id)s AND e.enrollment_number LIKE 'E-%%';
