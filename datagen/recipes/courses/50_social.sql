SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- Who is to be met in a section, in the order in which they came; who leaves in the first week
-- joins nothing.
CREATE TEMPORARY TABLE classmate ON COMMIT DROP AS
SELECT e.course_section_id, e.learner_id, e.started_at, e.status, l.time_zone,
       least(coalesce(e.withdrawn_at, e.completed_at, e.access_until), %(as_of)s::timestamptz)
           AS until_at,
       row_number() OVER (PARTITION BY e.course_section_id
                          ORDER BY e.started_at, e.learner_id) AS number
FROM (
    SELECT DISTINCT ON (x.course_section_id, x.learner_id) x.*
    FROM courses.enrollment AS x
    WHERE x.business_id = %(business_id)s AND x.course_section_id IS NOT NULL
      AND x.started_at < %(as_of)s::timestamptz - interval '9 days'
      AND coalesce(x.withdrawn_at, x.completed_at, x.access_until, 'infinity')
          > x.started_at + interval '8 days'
    ORDER BY x.course_section_id, x.learner_id, x.started_at, x.enrollment_id
) AS e
JOIN courses.learner AS l ON l.business_id = e.business_id AND l.learner_id = e.learner_id;

-- A circle in every section with at least three learners, a project team for every four where a
-- class meets, and circles that have nothing to do with a course. What a section had is closed
-- some months after its end.
INSERT INTO courses.study_group
    (business_id, study_group_id, organizer_learner_id, course_section_id, name, group_kind,
     max_members, join_policy, meeting_schedule, time_zone, goal, status, last_active_at)
WITH classes AS (
    SELECT s.course_section_id, s.status, s.delivery, s.ends_on, n.learners,
           abs(hashtextextended(s.course_section_id::text, 100) %% 1000) AS place,
           CASE WHEN s.status <> 'completed' THEN 'active'
                WHEN s.ends_on < %(as_of)s::date - 90 THEN 'closed' ELSE 'dormant' END AS standing
    FROM courses.course_section AS s
    JOIN (SELECT c.course_section_id, count(*) AS learners
          FROM classmate AS c
          GROUP BY c.course_section_id) AS n ON n.course_section_id = s.course_section_id
    WHERE s.business_id = %(business_id)s AND n.learners >= 3
)
SELECT %(business_id)s::uuid, md5('group ' || c.course_section_id)::uuid, m.learner_id,
       c.course_section_id,
       split_part('Sunday circle,Night owls,Early birds,Exam crew', ',',
                  1 + (c.place %% 4)::integer),
       'study', 8, split_part('open,open,request,invite', ',', 1 + (c.place / 4 %% 4)::integer),
       split_part('Sundays at seven in the evening,Weekdays after ten,Tuesdays before work,'
                  || 'Every evening in the last week', ',', 1 + (c.place %% 4)::integer),
       m.time_zone, 'Get through it together.', c.standing,
       least(%(as_of)s::timestamptz - interval '9 hours', c.ends_on::timestamp AT TIME ZONE 'UTC')
           - c.place %% 5 * interval '1 day'
FROM classes AS c
JOIN classmate AS m ON m.course_section_id = c.course_section_id AND m.number = 1
UNION ALL
SELECT %(business_id)s::uuid, md5(concat('team ', t.no, c.course_section_id))::uuid, NULL,
       c.course_section_id, 'Project team ' || chr(64 + t.no), 'assigned', 5, 'assigned', NULL,
       m.time_zone, 'Hand in the project.', c.standing,
       least(%(as_of)s::timestamptz - interval '11 hours', c.ends_on::timestamp AT TIME ZONE 'UTC')
           - (c.place + t.no) %% 4 * interval '1 day'
FROM classes AS c
JOIN classmate AS m ON m.course_section_id = c.course_section_id AND m.number = 1
CROSS JOIN LATERAL generate_series(1, (c.learners / 4)::integer) AS t (no)
WHERE c.delivery <> 'self_paced' AND c.learners >= 4
UNION ALL
SELECT %(business_id)s::uuid, md5('circle ' || v.no || %(business_id)s)::uuid, NULL, NULL, v.name,
       'interest', 12, v.policy, v.meets, 'America/New_York', v.goal,
       CASE v.no WHEN 4 THEN 'forming' ELSE 'active' END,
       CASE WHEN v.no < 4 THEN %(as_of)s::timestamptz - v.no * interval '26 hours' END
FROM (VALUES
    (1, 'Career changers', 'open', 'First Monday of the month', 'A new job within a year.'),
    (2, 'Statistics reading circle', 'request', 'Every other Thursday', 'One book a quarter.'),
    (3, 'Parents who study', 'invite', NULL, 'Find the time.'),
    (4, 'Conversation table', 'open', NULL, 'Speak, do not only read.'))
    AS v (no, name, policy, meets, goal);

-- The first eight are in the circle of their section, and every four in a team. Who withdrew left
-- it; where a group is closed everybody did.
INSERT INTO courses.study_group_member
    (business_id, study_group_member_id, study_group_id, learner_id, role, joined_at, left_at,
     contribution_score, invited_by_key, status, peer_rating, is_muted)
WITH places AS (
    SELECT g.study_group_id, g.group_kind, g.status AS standing, g.join_policy,
           g.organizer_learner_id, c.learner_id, c.until_at, c.number,
           c.started_at + (1 + c.number %% 6) * interval '1 day' AS joined_at,
           c.status = 'withdrawn' AS is_gone
    FROM courses.study_group AS g
    JOIN classmate AS c ON c.course_section_id = g.course_section_id
    WHERE g.business_id = %(business_id)s
      AND g.study_group_id = CASE g.group_kind
              WHEN 'study' THEN md5('group ' || c.course_section_id)::uuid
              ELSE md5(concat('team ', (c.number + 3) / 4, c.course_section_id))::uuid END
      AND (c.number <= 8 OR g.group_kind = 'assigned')
), judged AS (
    SELECT p.*, abs(hashtextextended(concat(p.study_group_id, p.learner_id), 102) %% 1000) AS place,
           CASE WHEN p.is_gone OR p.standing = 'closed' THEN p.until_at END AS left_at
    FROM places AS p
)
SELECT %(business_id)s, md5(concat('member ', j.study_group_id, j.learner_id))::uuid,
       j.study_group_id, j.learner_id,
       CASE WHEN j.learner_id = j.organizer_learner_id THEN 'organizer'
            WHEN j.number = 2 THEN 'note_taker' ELSE 'member' END,
       j.joined_at, j.left_at, 5 + j.place %% 90,
       CASE WHEN j.join_policy = 'invite' AND j.learner_id <> j.organizer_learner_id
            THEN j.organizer_learner_id END,
       CASE WHEN j.left_at IS NULL THEN 'active' WHEN j.is_gone AND j.place %% 5 = 0 THEN 'removed'
            ELSE 'left' END,
       CASE WHEN j.place %% 3 > 0 THEN 3 + (j.place %% 7 > 1)::integer + (j.place %% 7 > 4)::integer
       END, j.place %% 25 = 6
FROM judged AS j
WHERE j.joined_at < coalesce(j.left_at, %(as_of)s::timestamptz - interval '1 day');

-- Every learner who has begun something is in a circle of one of the first three kinds of interest
-- with one in two; the last of a circle that is asked or invited into still wait.
INSERT INTO courses.study_group_member
    (business_id, study_group_member_id, study_group_id, learner_id, role, joined_at,
     contribution_score, status)
WITH known AS (
    SELECT l.learner_id, min(e.enrolled_at) AS since
    FROM courses.learner AS l
    JOIN courses.enrollment AS e
        ON e.business_id = l.business_id AND e.learner_id = l.learner_id
    WHERE l.business_id = %(business_id)s AND l.status <> 'withdrawn'
    GROUP BY l.learner_id
    HAVING min(e.enrolled_at) < %(as_of)s::timestamptz - interval '3 days'
), numbered AS (
    SELECT k.*, row_number() OVER (ORDER BY md5('circle ' || k.learner_id)) AS place
    FROM known AS k
), placed AS (
    SELECT n.*, 1 + n.place %% 3 AS circle,
           row_number() OVER (PARTITION BY n.place %% 3 ORDER BY n.since, n.learner_id) AS number
    FROM numbered AS n
    WHERE n.place <= 6 OR n.place %% 2 = 0
)
SELECT %(business_id)s, md5(concat('in circle ', p.learner_id))::uuid,
       md5('circle ' || p.circle || %(business_id)s)::uuid, p.learner_id,
       CASE p.number WHEN 1 THEN 'organizer' ELSE 'member' END,
       CASE WHEN w.status = 'active'
            THEN least(p.since + p.number * interval '2 days',
                       %(as_of)s::timestamptz - interval '20 hours') END,
       CASE WHEN w.status = 'active' THEN p.place * 7 %% 60 ELSE 0 END, w.status
FROM placed AS p
CROSS JOIN LATERAL (
    SELECT CASE WHEN p.number <= 6 OR p.circle = 1 THEN 'active'
                WHEN p.circle = 2 THEN 'requested' ELSE 'invited' END AS status
) AS w
WHERE p.number <= 12;

UPDATE courses.study_group AS g
SET organizer_learner_id = m.learner_id
FROM courses.study_group_member AS m
WHERE g.business_id = %(business_id)s AND g.group_kind = 'interest'
  AND m.business_id = g.business_id AND m.study_group_id = g.study_group_id
  AND m.role = 'organizer' AND m.status = 'active';

-- The circles read together this month, each member for their own; none is at the goal yet.
INSERT INTO courses.challenge
    (business_id, challenge_id, title, challenge_kind, goal_metric, goal_value, starts_at, ends_at,
     reward_points, rules, status)
VALUES (%(business_id)s, md5('circles read ' || %(business_id)s)::uuid, 'Circles read together',
        'team', 'minutes', 3000, %(as_of)s::timestamptz - interval '12 days',
        %(as_of)s::timestamptz + interval '18 days', 80,
        'What all members of a circle read is added up.', 'running');

INSERT INTO courses.challenge_entry
    (business_id, challenge_entry_id, challenge_id, learner_id, study_group_id, joined_at,
     progress_value, state)
SELECT c.business_id, md5('reads ' || m.study_group_member_id)::uuid, c.challenge_id, m.learner_id,
       m.study_group_id, greatest(c.starts_at, m.joined_at) + interval '2 hours',
       least(n.minutes, c.goal_value - 1), CASE WHEN n.minutes > 0 THEN 'active' ELSE 'joined' END
FROM courses.challenge AS c
JOIN courses.study_group AS g ON g.business_id = c.business_id AND g.group_kind = 'interest'
JOIN courses.study_group_member AS m
    ON m.business_id = g.business_id AND m.study_group_id = g.study_group_id
   AND m.status = 'active'
CROSS JOIN LATERAL (
    SELECT coalesce(sum(s.active_seconds), 0) / 60 AS minutes
    FROM courses.learning_session AS s
    WHERE s.business_id = c.business_id AND s.learner_id = m.learner_id
      AND s.started_at >= c.starts_at
) AS n
WHERE c.business_id = %(business_id)s AND c.challenge_kind = 'team' AND c.status = 'running';

-- Who is in a program has a mentor in it, and one learner in nine has one without.
INSERT INTO courses.mentor_pairing
    (business_id, mentor_pairing_id, mentee_learner_id, mentor_user_account_id, program_id,
     started_on, ended_on, status, match_score, focus, meetings_planned, meetings_held,
     mentee_rating, mentor_rating, end_reason)
WITH mentors AS (
    SELECT i.user_account_id, row_number() OVER (ORDER BY md5(i.instructor_id::text)) - 1 AS number,
           count(*) OVER () AS all_of
    FROM courses.instructor AS i
    WHERE i.business_id = %(business_id)s AND i.status <> 'ended'
), wanted AS (
    SELECT e.learner_id, e.program_id, e.enrolled_at, e.status,
           coalesce(e.withdrawn_at, %(as_of)s::timestamptz) AS until_at
    FROM courses.enrollment AS e
    WHERE e.business_id = %(business_id)s AND e.program_id IS NOT NULL
    UNION ALL
    SELECT l.learner_id, NULL, min(e.enrolled_at), 'active', %(as_of)s::timestamptz
    FROM courses.learner AS l
    JOIN courses.enrollment AS e
        ON e.business_id = l.business_id AND e.learner_id = l.learner_id
    WHERE l.business_id = %(business_id)s AND l.status <> 'withdrawn'
      AND abs(hashtextextended(l.learner_id::text, 103) %% 9) = 2
    GROUP BY l.learner_id
    HAVING min(e.enrolled_at) < %(as_of)s::timestamptz - interval '30 days'
), begun AS (
    SELECT w.*, (w.enrolled_at AT TIME ZONE 'UTC')::date + 9 + (h.place %% 12)::integer
                    AS started_on,
           (w.until_at AT TIME ZONE 'UTC')::date AS until_on, h.place
    FROM wanted AS w
    CROSS JOIN LATERAL (
        SELECT abs(hashtextextended(concat('mentor ', w.learner_id, w.program_id), 104) %% 1000)
            AS place
    ) AS h
), judged AS (
    SELECT b.*, CASE WHEN b.status = 'withdrawn' THEN 'ended_early'
                     WHEN b.started_on >= %(as_of)s::date - 1 OR b.place %% 11 = 3 THEN 'proposed'
                     WHEN b.status = 'paused' THEN 'paused'
                     WHEN b.started_on + 150 < %(as_of)s::date THEN 'completed'
                     ELSE 'active' END AS state
    FROM begun AS b
), dated AS (
    SELECT j.*, CASE j.state WHEN 'ended_early' THEN greatest(j.until_on, j.started_on)
                             WHEN 'completed' THEN j.started_on + 140 + (j.place %% 10)::integer
                END AS ended_on
    FROM judged AS j
)
SELECT %(business_id)s, md5(concat('mentor of ', d.learner_id, d.program_id))::uuid, d.learner_id,
       m.user_account_id, d.program_id,
       CASE WHEN d.state <> 'proposed' THEN d.started_on END, d.ended_on, d.state,
       55 + d.place %% 45,
       split_part('A plan for the year,The first job,How to learn,Speaking up,Choosing a topic',
                  ',', 1 + (d.place %% 5)::integer),
       6, CASE d.state WHEN 'proposed' THEN 0 WHEN 'completed' THEN 6
               ELSE least(5, (coalesce(d.ended_on, %(as_of)s::date) - d.started_on) / 23) END,
       CASE WHEN d.state = 'completed' OR (d.state = 'ended_early' AND d.place %% 2 = 0)
            THEN 3 + (d.place %% 3)::integer END,
       CASE WHEN d.state = 'completed' THEN 4 + (d.place %% 2)::integer END,
       CASE WHEN d.state = 'ended_early' THEN 'Left the program.' END
FROM dated AS d
JOIN mentors AS m ON m.number = d.place %% m.all_of
JOIN courses.learner AS l ON l.business_id = %(business_id)s AND l.learner_id = d.learner_id
WHERE m.user_account_id IS DISTINCT FROM l.user_account_id;

-- What the lead of a section tells it, from the first day to the last weeks: sent when it is due,
-- ready for the next two weeks, a draft for the weeks after.
INSERT INTO courses.course_announcement
    (business_id, course_announcement_id, course_section_id, instructor_id, cohort_id, title, body,
     publish_at, expires_at, channel, is_pinned, recipient_count, read_count,
     requires_acknowledgement, acknowledged_count, status)
WITH messages AS (
    SELECT i.instructor_id, s.course_section_id, v.*, k.cohort_id,
           (s.starts_on + v.day)::timestamp AT TIME ZONE 'UTC' + interval '14 hours' AS moment,
           abs(hashtextextended(concat(s.course_section_id, v.no), 105) %% 1000) AS place
    FROM courses.section_instructor AS i
    JOIN courses.course_section AS s
        ON s.business_id = i.business_id AND s.course_section_id = i.course_section_id
    CROSS JOIN (VALUES
        (1, 0, 'Welcome', 'Good to have you here. Begin with the first module.', 'in_app', false,
         NULL),
        (2, 1, 'How we work together', 'Please read the rules of the class and confirm them.',
         'all', true, NULL),
        (3, 10, 'The first assignment is out', 'It is due in two weeks. Ask in the forum.', 'email',
         false, 14),
        (4, 31, 'Office hours move to Thursday', 'Six in the evening, in the same room.', 'push',
         false, 7),
        (5, 70, 'The final assessment opens next week', 'Look at the review module first.', 'all',
         true, 14)) AS v (no, day, title, body, channel, is_pinned, days)
    LEFT JOIN courses.cohort AS k
        ON k.business_id = s.business_id AND k.course_section_id = s.course_section_id
       AND k.status = 'running' AND v.no = 3
    WHERE i.business_id = %(business_id)s AND i.role = 'lead'
      AND s.status IN ('open', 'full', 'running', 'completed')
), timed AS (
    SELECT m.*, CASE WHEN m.moment < %(as_of)s::timestamptz - interval '1 hour'
                     THEN CASE WHEN m.no = 4 AND m.place %% 5 = 2 THEN 'withdrawn' ELSE 'sent' END
                     WHEN m.moment < %(as_of)s::timestamptz + interval '14 days' THEN 'scheduled'
                     WHEN m.moment < %(as_of)s::timestamptz + interval '40 days' THEN 'draft'
                END AS status
    FROM messages AS m
), reached AS (
    SELECT t.no, t.course_section_id, count(*)::integer AS learners
    FROM timed AS t
    JOIN courses.enrollment AS e
        ON e.business_id = %(business_id)s AND e.course_section_id = t.course_section_id
       AND e.enrolled_at < t.moment
       AND e.status NOT IN ('requested', 'pending_payment')
       AND coalesce(e.withdrawn_at, e.completed_at, 'infinity') > t.moment
       AND (t.cohort_id IS NULL OR e.cohort_id = t.cohort_id)
    WHERE t.status IN ('sent', 'withdrawn')
    GROUP BY t.no, t.course_section_id
)
SELECT %(business_id)s, md5(concat('announced ', t.no, t.course_section_id))::uuid,
       t.course_section_id, t.instructor_id, t.cohort_id, t.title, t.body,
       CASE WHEN t.status <> 'draft' THEN t.moment END,
       CASE WHEN t.status <> 'draft' THEN t.moment + make_interval(days => t.days) END,
       t.channel, t.is_pinned, coalesce(r.learners, 0), n.readers, t.no = 2,
       CASE WHEN t.no = 2 THEN n.readers - n.readers / 6 ELSE 0 END, t.status
FROM timed AS t
LEFT JOIN reached AS r ON r.no = t.no AND r.course_section_id = t.course_section_id
CROSS JOIN LATERAL (
    SELECT round(coalesce(r.learners, 0) * (60 + t.place %% 40) / 100.0)::integer AS readers
) AS n
WHERE t.status IS NOT NULL;

-- What learners note beside one lesson in eight that they took: at a place in the film, or at a
-- sentence of the page. Most keep it to themselves; a note in five was written for others.
INSERT INTO courses.lesson_note
    (business_id, lesson_note_id, learner_id, lesson_id, content_item_id, body, anchor_seconds,
     anchor_text, color, visibility, noted_at, updated_on, like_count, is_flashcard)
WITH items AS (
    SELECT DISTINCT ON (i.lesson_id) i.lesson_id, i.content_item_id, i.content_kind,
           i.duration_seconds
    FROM courses.content_item AS i
    WHERE i.business_id = %(business_id)s AND i.lesson_id IS NOT NULL
    ORDER BY i.lesson_id, i.content_kind NOT IN ('video', 'audio'), i.sort_order, i.content_item_id
), opened AS (
    SELECT DISTINCT ON (e.learner_id, p.lesson_id) p.lesson_progress_id, e.learner_id, p.lesson_id,
           p.first_opened_at + (p.last_opened_at - p.first_opened_at) * 0.7 AS noted_at,
           row_number() OVER (ORDER BY md5(p.lesson_progress_id::text)) AS number,
           abs(hashtextextended(p.lesson_progress_id::text, 101) %% 1000) AS place
    FROM courses.lesson_progress AS p
    JOIN courses.enrollment AS e
        ON e.business_id = p.business_id AND e.enrollment_id = p.enrollment_id
    WHERE p.business_id = %(business_id)s AND p.last_opened_at < %(as_of)s::timestamptz
    ORDER BY e.learner_id, p.lesson_id, p.first_opened_at, p.lesson_progress_id
)
SELECT %(business_id)s, md5('note ' || o.lesson_progress_id)::uuid, o.learner_id, o.lesson_id,
       i.content_item_id,
       split_part('Look at this again before the quiz.|Ask about the second example.|'
                  || 'This is what the book calls a lemma.|The order of the steps matters here.|'
                  || 'Works only while the list is sorted.|Compare with chapter two.|'
                  || 'Three reasons: cost, time, habit.|My own words: measure first, then change.|'
                  || 'Not clear to me why this holds.|Good picture, keep it.|'
                  || 'Try this with our own figures.', '|', 1 + (o.place %% 11)::integer),
       CASE WHEN i.content_kind IN ('video', 'audio')
            THEN (i.duration_seconds * (3 + o.place %% 14) / 100)::integer END,
       CASE WHEN i.content_kind = 'html' THEN 'the second step' END,
       split_part('yellow,yellow,green,blue,pink', ',', 1 + (o.place %% 5)::integer), v.visibility,
       o.noted_at,
       CASE WHEN o.place %% 7 = 2
            THEN least((o.noted_at AT TIME ZONE 'UTC')::date + 1 + (o.place %% 9)::integer,
                       (%(as_of)s::timestamptz AT TIME ZONE 'UTC')::date) END,
       CASE WHEN v.visibility <> 'private' THEN (60 / (1 + o.place %% 37))::integer / 4 ELSE 0 END,
       o.place %% 9 = 4
FROM opened AS o
LEFT JOIN items AS i ON i.lesson_id = o.lesson_id
CROSS JOIN LATERAL (
    SELECT CASE WHEN o.place %% 10 < 8 THEN 'private' WHEN o.place %% 10 = 8 THEN 'group'
                ELSE 'public' END AS visibility
) AS v
WHERE o.place < 120 OR o.number <= 2;
