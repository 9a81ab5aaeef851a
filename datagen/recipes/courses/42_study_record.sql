SELECT tenant_mgmt.set_tenant(%(business_id)s);
SET LOCAL enable_nestloop = off;

-- Each lesson was begun, gone on with, and finished; quizzes were passed or failed.
INSERT INTO courses.learning_statement
    (business_id, learning_statement_id, learner_id, enrollment_id, stored_at, statement_key,
     occurred_at, verb, object_kind, object_id, result, context, platform, duration_seconds)
SELECT e.business_id, md5('stated ' || s.no || p.lesson_progress_id)::uuid, e.learner_id,
       e.enrollment_id, s.moment + interval '2 seconds',
       md5('statement ' || s.no || p.lesson_progress_id)::uuid, s.moment, s.verb,
       CASE WHEN s.no = 2 THEN 'media' ELSE 'lesson' END,
       CASE WHEN s.no = 2 THEN md5('item 0' || p.lesson_id)::uuid ELSE p.lesson_id END,
       CASE s.no WHEN 3 THEN jsonb_build_object('completion', true, 'duration',
                                                'PT' || p.seconds_spent || 'S') END,
       jsonb_build_object('platform', d.platform, 'language', 'en',
                          'extensions', jsonb_build_object(
                              'https://school.example/xapi/device', d.device)),
       d.platform, CASE WHEN s.no = 2 THEN least(p.seconds_spent, 600) END
FROM courses.lesson_progress AS p
JOIN courses.enrollment AS e
    ON e.business_id = p.business_id AND e.enrollment_id = p.enrollment_id
JOIN courses.lesson AS l ON l.business_id = p.business_id AND l.lesson_id = p.lesson_id
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(p.lesson_progress_id::text, 80) %% 1000) AS place
) AS h
CROSS JOIN LATERAL (
    SELECT CASE WHEN h.place %% 10 < 4 THEN 'mobile app' ELSE 'web player' END AS platform,
           CASE WHEN h.place %% 10 < 4 THEN 'phone' WHEN h.place %% 10 < 5 THEN 'tablet'
                ELSE 'desktop' END AS device
) AS d
CROSS JOIN LATERAL (VALUES
    (1, 'experienced', p.first_opened_at),
    (2, CASE WHEN l.lesson_kind IN ('video', 'audio') THEN 'progressed' END,
     p.first_opened_at + (p.last_opened_at - p.first_opened_at) / 2),
    (3, CASE WHEN p.state = 'completed' THEN 'completed' END, p.completed_at))
    AS s (no, verb, moment)
WHERE p.business_id = %(business_id)s AND s.verb IS NOT NULL AND s.moment IS NOT NULL
  AND s.moment < %(as_of)s::timestamptz - interval '3 seconds';

INSERT INTO courses.learning_statement
    (business_id, learning_statement_id, learner_id, enrollment_id, stored_at, statement_key,
     occurred_at, verb, object_kind, object_id, result, platform)
SELECT a.business_id, md5('stated ' || s.verb || a.assessment_attempt_id)::uuid, e.learner_id,
       e.enrollment_id, s.moment + interval '1 second',
       md5('statement ' || s.verb || a.assessment_attempt_id)::uuid, s.moment, s.verb,
       'assessment', a.assessment_id,
       CASE WHEN s.verb <> 'attempted'
            THEN jsonb_build_object('score', jsonb_build_object(
                     'scaled', round(a.score_pct / 100, 4), 'raw', a.score),
                     'success', a.passed, 'completion', true,
                     'duration', 'PT' || a.time_spent_seconds || 'S') END,
       'web player'
FROM courses.assessment_attempt AS a
JOIN courses.enrollment AS e
    ON e.business_id = a.business_id AND e.enrollment_id = a.enrollment_id
CROSS JOIN LATERAL (VALUES
    ('attempted', a.started_at),
    (CASE WHEN a.passed THEN 'passed' ELSE 'failed' END,
     CASE WHEN a.state = 'graded' THEN a.graded_at END)) AS s (verb, moment)
WHERE a.business_id = %(business_id)s AND s.moment < %(as_of)s::timestamptz - interval '3 seconds';

-- One statement in four hundred was sent by mistake, and voided an hour later.
INSERT INTO courses.learning_statement
    (business_id, learning_statement_id, learner_id, enrollment_id, stored_at, statement_key,
     occurred_at, verb, object_kind, platform, voids_statement_key)
SELECT s.business_id, md5('voids ' || s.statement_key)::uuid, s.learner_id, s.enrollment_id,
       s.stored_at + interval '1 hour', md5('voiding ' || s.statement_key)::uuid,
       s.occurred_at + interval '1 hour', 'voided', s.object_kind, s.platform, s.statement_key
FROM courses.learning_statement AS s
WHERE s.business_id = %(business_id)s AND s.verb = 'progressed'
  AND abs(hashtextextended(s.statement_key::text, 81) %% 400) = 7
  AND s.stored_at + interval '1 hour' < %(as_of)s::timestamptz;

-- The lessons of a day are a session, or two where more than half an hour lay between.
INSERT INTO courses.learning_session
    (business_id, learning_session_id, learner_id, started_at, ended_at, active_seconds,
     idle_seconds, device_kind, pages_viewed, lessons_completed, network_quality, entry_point,
     timezone_offset_minutes, app_version)
WITH steps AS (
    SELECT e.learner_id, p.lesson_progress_id, p.first_opened_at AS opened_at,
           greatest(p.last_opened_at, p.completed_at) AS left_at,
           (p.completed_at IS NOT NULL)::integer AS done, p.open_count,
           max(greatest(p.last_opened_at, p.completed_at)) OVER (
               PARTITION BY e.learner_id ORDER BY p.first_opened_at, p.lesson_progress_id
               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before_at
    FROM courses.lesson_progress AS p
    JOIN courses.enrollment AS e
        ON e.business_id = p.business_id AND e.enrollment_id = p.enrollment_id
    WHERE p.business_id = %(business_id)s AND p.first_opened_at IS NOT NULL
), numbered AS (
    SELECT s.*, count(*) FILTER (WHERE s.before_at IS NULL
                                       OR s.opened_at > s.before_at + interval '30 minutes')
               OVER (PARTITION BY s.learner_id ORDER BY s.opened_at, s.lesson_progress_id)
               AS session
    FROM steps AS s
), sessions AS (
    SELECT n.learner_id, n.session, min(n.opened_at) - interval '40 seconds' AS started_at,
           least(max(n.left_at) + interval '95 seconds',
                 %(as_of)s::timestamptz - interval '1 minute') AS ended_at,
           sum(n.done) AS done, sum(n.open_count) AS pages
    FROM numbered AS n
    GROUP BY n.learner_id, n.session
)
SELECT %(business_id)s, md5('session ' || s.session || s.learner_id)::uuid, s.learner_id,
       s.started_at, s.ended_at, t.seconds - t.seconds * (h.place %% 22) / 100,
       t.seconds * (h.place %% 22) / 100,
       CASE WHEN h.place %% 100 < 40 THEN 'phone' WHEN h.place %% 100 < 88 THEN 'desktop'
            WHEN h.place %% 100 < 97 THEN 'tablet' WHEN h.place %% 100 < 98 THEN 'tv'
            ELSE 'offline_app' END,
       s.pages, s.done,
       CASE WHEN h.place %% 100 >= 98 THEN 'offline'
            ELSE split_part('good,good,good,good,good,good,fair,fair,poor', ',',
                            (1 + h.place %% 9)::integer) END,
       split_part('direct,direct,email,direct,push,direct,calendar,search', ',',
                  (1 + h.place %% 8)::integer),
       split_part('-300,-360,60,-480,0', ',', (1 + h.learner %% 5)::integer)::integer,
       '4.' || h.place %% 7 || '.0'
FROM sessions AS s
CROSS JOIN LATERAL (
    SELECT floor(extract(epoch FROM s.ended_at - s.started_at))::integer AS seconds
) AS t
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(s.learner_id::text, s.session) %% 1000) AS place,
           abs(hashtextextended(s.learner_id::text, 82) %% 1000) AS learner
) AS h
WHERE s.ended_at > s.started_at;

-- How far each live enrollment was on each of the last thirty days.
INSERT INTO courses.progress_snapshot
    (business_id, progress_snapshot_id, enrollment_id, snapshot_date, progress_pct, grade_pct,
     minutes_that_day, lessons_that_day, days_since_active, on_pace, cumulative_minutes)
SELECT %(business_id)s, md5('day ' || d.day || n.enrollment_id)::uuid, n.enrollment_id,
       d.day, round(100.0 * n.done / n.lessons_total, 4), n.grade, least(n.minutes, 1440),
       n.lessons, d.day - n.last_day, n.done >= n.expected * 0.85,
       greatest(n.all_minutes, least(n.minutes, 1440))
FROM (
    SELECT x.day::date AS day, x.day AS opened, x.day + interval '1 day' AS closed
    FROM generate_series(date_trunc('day', %(as_of)s::timestamptz, 'UTC') - interval '30 days',
                         date_trunc('day', %(as_of)s::timestamptz, 'UTC') - interval '1 day',
                         interval '1 day') AS x (day)
) AS d
CROSS JOIN LATERAL (
    SELECT e.enrollment_id, g.lessons_total,
           count(*) FILTER (WHERE p.completed_at < d.closed) AS done,
           count(*) FILTER (WHERE p.completed_at >= d.opened AND p.completed_at < d.closed)
               AS lessons,
           coalesce(sum(p.seconds_spent) FILTER (WHERE p.last_opened_at >= d.opened
                                                       AND p.last_opened_at < d.closed), 0) / 60
               AS minutes,
           coalesce(sum(p.seconds_spent) FILTER (WHERE p.last_opened_at < d.closed), 0) / 60
               AS all_minutes,
           max((p.last_opened_at AT TIME ZONE 'UTC')::date)
               FILTER (WHERE p.last_opened_at < d.closed) AS last_day,
           round(avg(p.best_score_pct) FILTER (WHERE p.completed_at < d.closed), 4) AS grade,
           g.lessons_total * least(greatest(
               (d.day - s.starts_on)::numeric / greatest(s.ends_on - s.starts_on, 1), 0), 1)
               AS expected
    FROM courses.enrollment AS e
    JOIN courses.course_section AS s
        ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
    JOIN courses.course_progress AS g
        ON g.business_id = e.business_id AND g.enrollment_id = e.enrollment_id
       AND g.lessons_total > 0
    LEFT JOIN courses.lesson_progress AS p
        ON p.business_id = e.business_id AND p.enrollment_id = e.enrollment_id
    WHERE e.business_id = %(business_id)s AND e.started_at < d.closed
      AND e.status NOT IN ('requested', 'pending_payment')
      AND coalesce(e.completed_at, e.withdrawn_at,
                   CASE WHEN e.status = 'expired' THEN e.access_until
                        WHEN e.status = 'failed' THEN s.ends_on::timestamptz END,
                   'infinity') >= d.opened
    GROUP BY e.enrollment_id, g.lessons_total, s.starts_on, s.ends_on
) AS n;
