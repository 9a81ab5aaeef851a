SELECT tenant_mgmt.set_tenant(%(business_id)s);
SET LOCAL enable_nestloop = off;

-- Each learner did the first lessons of the course, as many as the enrollment's progress says and
-- the drip allows, in the evenings between start and end. Who withdrew had stopped up to ten days
-- before.
INSERT INTO courses.lesson_progress
    (business_id, lesson_progress_id, enrollment_id, lesson_id, state, first_opened_at,
     last_opened_at, completed_at, seconds_spent, open_count, scroll_pct, completion_source,
     is_bookmarked)
WITH whole AS (
    SELECT e.business_id, e.enrollment_id, e.status, e.progress_pct, e.started_at,
           CASE e.status
               WHEN 'completed' THEN e.completed_at
               WHEN 'withdrawn'
               THEN e.withdrawn_at - least(interval '10 days',
                                           (e.withdrawn_at - e.started_at) * 0.4)
               WHEN 'expired' THEN e.access_until - interval '1 day'
               WHEN 'failed' THEN s.ends_on::timestamp AT TIME ZONE 'UTC'
               ELSE %(as_of)s::timestamptz - (h.place %% 11) * (h.place %% 3) * interval '9 hours'
                    - interval '2 hours' END AS wanted_end,
           h.place
    FROM courses.enrollment AS e
    JOIN courses.course_section AS s
        ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
    CROSS JOIN LATERAL (
        SELECT abs(hashtextextended(e.enrollment_id::text, 20) %% 1000) AS place
    ) AS h
    WHERE e.business_id = %(business_id)s AND e.started_at < %(as_of)s::timestamptz
      AND e.status NOT IN ('requested', 'pending_payment')
), spans AS (
    SELECT w.*, least(coalesce(w.wanted_end, %(as_of)s::timestamptz),
                      %(as_of)s::timestamptz - interval '20 minutes') AS end_at
    FROM whole AS w
), outline AS (
    SELECT o.enrollment_id, o.lesson_id, o.place AS no,
           greatest(m.unlock_after_days, coalesce(c.unlock_after_days, 0)) AS unlock_days,
           l.estimated_minutes, l.lesson_kind,
           count(*) OVER (PARTITION BY o.enrollment_id) AS lessons
    FROM courses.outline(ARRAY(SELECT s.enrollment_id FROM spans AS s
                               WHERE s.end_at > s.started_at + interval '1 hour')) AS o
    JOIN courses.lesson AS l
        ON l.business_id = %(business_id)s AND l.lesson_id = o.lesson_id
    JOIN courses.course_module AS m
        ON m.business_id = %(business_id)s AND m.course_module_id = l.course_module_id
    LEFT JOIN courses.course_module AS c
        ON c.business_id = %(business_id)s AND c.course_module_id = m.parent_module_id
), reach AS (
    SELECT s.*, min(o.lessons) AS lessons,
           CASE WHEN s.status = 'completed' THEN min(o.lessons)
                ELSE least(ceil(coalesce(s.progress_pct, 0) / 100 * min(o.lessons)),
                           min(o.lessons) - 1,
                           count(*) FILTER (
                               WHERE s.started_at + o.unlock_days * interval '1 day'
                                     + interval '1 hour' < s.end_at)) END::integer AS done
    FROM spans AS s
    JOIN outline AS o ON o.enrollment_id = s.enrollment_id
    GROUP BY s.business_id, s.enrollment_id, s.status, s.progress_pct, s.started_at, s.wanted_end,
             s.place, s.end_at
), linear AS (
    SELECT r.*, o.lesson_id, o.no, o.estimated_minutes, o.lesson_kind,
           r.started_at + o.unlock_days * interval '1 day' AS unlocked_at,
           r.started_at + (r.end_at - r.started_at) * (o.no / (r.done + 0.4)) AS at,
           abs(hashtextextended(r.enrollment_id::text || o.lesson_id, 21) %% 1000) AS odd
    FROM reach AS r
    JOIN outline AS o ON o.enrollment_id = r.enrollment_id AND o.no <= r.done + 1
    WHERE o.no <= r.done
       OR ((r.place %% 4 > 0 OR r.status = 'failed')
           AND r.started_at + o.unlock_days * interval '1 day' + interval '1 hour' < r.end_at)
), evenings AS (
    SELECT l.*, greatest(
               l.started_at + l.no * interval '2 minutes',
               l.unlocked_at + l.no * interval '2 minutes',
               least(date_trunc('day', l.at) + interval '18 hours 40 minutes'
                         + l.place %% 80 * interval '1 minute'
                         + row_number() OVER (PARTITION BY l.enrollment_id,
                                                           date_trunc('day', l.at)
                                              ORDER BY l.no) * interval '21 minutes',
                     l.end_at - (l.done + 1 - l.no) * interval '3 minutes')) AS done_at
    FROM linear AS l
), opened AS (
    SELECT e.*, greatest(
               e.started_at, e.unlocked_at,
               coalesce(lag(e.done_at) OVER (PARTITION BY e.enrollment_id ORDER BY e.no),
                        e.started_at),
               e.done_at - e.estimated_minutes * (0.6 + e.odd %% 90 * 0.01)
                           * interval '1 minute') AS opened_at
    FROM evenings AS e
)
SELECT o.business_id, md5('progress ' || o.enrollment_id || o.lesson_id)::uuid, o.enrollment_id,
       o.lesson_id, CASE WHEN o.no <= o.done THEN 'completed' ELSE 'in_progress' END,
       least(o.opened_at, o.done_at), o.done_at, CASE WHEN o.no <= o.done THEN o.done_at END,
       CASE WHEN o.no <= o.done
            THEN o.estimated_minutes * (36 + o.odd %% 50)
            ELSE o.estimated_minutes * (6 + o.odd %% 20) END,
       1 + o.odd %% 3,
       CASE WHEN o.lesson_kind IN ('page', 'reading')
            THEN CASE WHEN o.no <= o.done THEN 100 ELSE o.odd %% 90 END ELSE 0 END,
       CASE WHEN o.no <= o.done
            THEN CASE o.lesson_kind WHEN 'scorm' THEN 'scorm' WHEN 'external_tool' THEN 'lti'
                                    ELSE 'rule' END END,
       o.odd %% 31 = 0
FROM opened AS o;
