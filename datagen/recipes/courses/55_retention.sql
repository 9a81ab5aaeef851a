SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- What was done in an enrollment on each day that is over: lessons, films, work, posts, classes.
INSERT INTO courses.engagement_day
    (business_id, engagement_day_id, enrollment_id, activity_date, login_count, active_minutes,
     content_views, video_minutes, submissions, posts, messages_sent, meeting_minutes, decile,
     is_at_risk_day)
WITH live AS (
    SELECT e.enrollment_id, e.learner_id, l.user_account_id, s.course_id, e.enrolled_at,
           least(x.ended_at, date_trunc('day', %(as_of)s::timestamptz, 'UTC')) AS until
    FROM courses.enrollment AS e
    JOIN courses.course_section AS s
        ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
    JOIN courses.learner AS l ON l.business_id = e.business_id AND l.learner_id = e.learner_id
    LEFT JOIN (
        SELECT v.enrollment_id, max(v.occurred_at) AS ended_at
        FROM courses.enrollment_status_event AS v
        WHERE v.business_id = %(business_id)s
          AND v.to_status IN ('completed', 'withdrawn', 'expired', 'failed')
        GROUP BY v.enrollment_id
    ) AS x ON x.enrollment_id = e.enrollment_id
    WHERE e.business_id = %(business_id)s AND e.started_at IS NOT NULL
), written AS (
    SELECT t.author_user_account_id AS writer, t.last_activity_at AS moment, t.discussion_forum_id
    FROM courses.discussion_topic AS t
    WHERE t.business_id = %(business_id)s
    UNION ALL
    SELECT p.author_user_account_id, p.posted_at, t.discussion_forum_id
    FROM courses.discussion_post AS p
    JOIN courses.discussion_topic AS t
        ON t.business_id = p.business_id AND t.discussion_topic_id = p.discussion_topic_id
    WHERE p.business_id = %(business_id)s
), acts (enrollment_id, moment, lesson_seconds, views, video_seconds, submissions, posts, messages,
         meeting_minutes) AS (
    SELECT p.enrollment_id, p.first_opened_at, 0, 1, 0, 0, 0, 0, 0
    FROM courses.lesson_progress AS p
    WHERE p.business_id = %(business_id)s
    UNION ALL
    SELECT p.enrollment_id, p.last_opened_at, p.seconds_spent, greatest(p.open_count - 1, 0), 0, 0,
           0, 0, 0
    FROM courses.lesson_progress AS p
    WHERE p.business_id = %(business_id)s
    UNION ALL
    SELECT v.enrollment_id, v.last_heartbeat_at, 0, 0, v.total_play_seconds, 0, 0, 0, 0
    FROM courses.video_progress AS v
    WHERE v.business_id = %(business_id)s
    UNION ALL
    SELECT a.enrollment_id, a.submitted_at, a.time_spent_seconds, 0, 0, 1, 0, 0, 0
    FROM courses.assessment_attempt AS a
    WHERE a.business_id = %(business_id)s AND a.submitted_at IS NOT NULL
    UNION ALL
    SELECT h.enrollment_id, h.submitted_at, 0, 0, 0, 1, 0, 0, 0
    FROM courses.assignment_submission AS h
    WHERE h.business_id = %(business_id)s AND h.submitted_at IS NOT NULL
    UNION ALL
    SELECT m.enrollment_id, m.joined_at, 0, 0, 0, 0, 0, m.chat_messages, m.minutes_present
    FROM courses.meeting_attendance AS m
    WHERE m.business_id = %(business_id)s AND m.joined_at IS NOT NULL
    UNION ALL
    SELECT v.enrollment_id, w.moment, 0, 0, 0, 0, 1, 0, 0
    FROM written AS w
    JOIN courses.discussion_forum AS f
        ON f.business_id = %(business_id)s AND f.discussion_forum_id = w.discussion_forum_id
    LEFT JOIN courses.course_section AS s
        ON s.business_id = f.business_id AND s.course_section_id = f.course_section_id
    JOIN live AS v
        ON v.user_account_id = w.writer AND v.course_id = coalesce(f.course_id, s.course_id)
), logins AS (
    SELECT s.learner_id, (s.started_at AT TIME ZONE 'UTC')::date AS day, count(*) AS logins
    FROM courses.learning_session AS s
    WHERE s.business_id = %(business_id)s
    GROUP BY s.learner_id, day
), days AS (
    SELECT v.learner_id, a.enrollment_id, (a.moment AT TIME ZONE 'UTC')::date AS day,
           least(480, greatest(sum(a.lesson_seconds), sum(a.video_seconds)) / 60)::integer
               AS minutes,
           sum(a.views)::integer AS views,
           least(480, sum(a.video_seconds) / 60)::integer AS video,
           sum(a.submissions)::integer AS submissions, sum(a.posts)::integer AS posts,
           sum(a.messages)::integer AS messages,
           least(480, sum(a.meeting_minutes))::integer AS meeting
    FROM acts AS a
    JOIN live AS v ON v.enrollment_id = a.enrollment_id
    WHERE a.moment >= v.enrolled_at AND a.moment < v.until
    GROUP BY v.learner_id, a.enrollment_id, day
)
SELECT %(business_id)s, md5(concat('engaged ', d.enrollment_id, d.day))::uuid, d.enrollment_id,
       d.day, coalesce(l.logins, 1), d.minutes, d.views, d.video, d.submissions, d.posts,
       d.messages, d.meeting,
       ntile(10) OVER (PARTITION BY d.day ORDER BY s.score, d.enrollment_id), s.score < 10
FROM days AS d
LEFT JOIN logins AS l ON l.learner_id = d.learner_id AND l.day = d.day
CROSS JOIN LATERAL (
    SELECT least(100, 0.5 * least(d.minutes, 100) + 2 * least(d.views, 10)
                      + 10 * least(d.submissions, 2) + 5 * least(d.posts, 3)
                      + least(d.messages, 5) + 0.25 * least(d.meeting, 90)) AS score
) AS s;

-- Three coaches share the learners from their first enrollment on. One learner in eight was handed
-- over a while ago; one in ten is helped with money too.
INSERT INTO courses.advisor_assignment
    (business_id, advisor_assignment_id, advisor_user_account_id, learner_id, program_id,
     assigned_from, assigned_until, assignment_kind, caseload_weight, reason, next_contact_due_on)
WITH coaches AS (
    SELECT i.user_account_id, row_number() OVER (ORDER BY i.instructor_id) AS number,
           least(count(*) OVER (), 3) AS size
    FROM courses.instructor AS i
    WHERE i.business_id = %(business_id)s
), learners AS (
    SELECT l.learner_id, l.user_account_id, l.status, p.program_id,
           abs(hashtextextended(l.learner_id::text, 121) %% 1000) AS place,
           coalesce((l.first_enrolled_at AT TIME ZONE 'UTC')::date, %(as_of)s::date - 30) AS begun
    FROM courses.learner AS l
    LEFT JOIN (
        SELECT e.learner_id, min(e.program_id::text)::uuid AS program_id
        FROM courses.enrollment AS e
        WHERE e.business_id = %(business_id)s AND e.program_id IS NOT NULL
        GROUP BY e.learner_id
    ) AS p ON p.learner_id = l.learner_id
    WHERE l.business_id = %(business_id)s
)
SELECT %(business_id)s, md5(concat('advisor ', k.part, l.learner_id))::uuid, c.user_account_id,
       l.learner_id, l.program_id, k.since, k.until, k.kind,
       CASE WHEN l.status IN ('dormant', 'graduated') THEN 0.25
            ELSE 1 + (l.place %% 3) * 0.25 END,
       k.reason,
       CASE WHEN k.until IS NULL THEN %(as_of)s::date + (l.place %% 30)::integer - 5 END
FROM learners AS l
CROSS JOIN LATERAL (
    SELECT l.place %% 8 = 0 AND l.begun < %(as_of)s::date - 120 AS handed_over
) AS h
CROSS JOIN LATERAL (VALUES
    (1, 'academic', l.begun, CASE WHEN h.handed_over THEN %(as_of)s::date - 90 END,
     'new_learner', true),
    (2, 'academic', %(as_of)s::date - 90, NULL, 'reassignment', h.handed_over),
    (3, 'financial', l.begun, NULL, 'specialism', l.place %% 10 = 3))
    AS k (part, kind, since, until, reason, applies)
JOIN coaches AS c ON c.number = 1 + (l.place + k.part) %% c.size
WHERE k.applies AND c.user_account_id IS DISTINCT FROM l.user_account_id;

INSERT INTO courses.retention_model
    (business_id, retention_model_id, code, version_no, model_kind, features, weights,
     threshold_high, threshold_medium, trained_on, auc, fairness_gap, status)
SELECT %(business_id)s, md5(concat(v.code, v.version, %(business_id)s))::uuid, v.code, v.version,
       v.kind, jsonb_build_object('window_days', 14), v.weights::jsonb, 0.6, 0.3,
       %(as_of)s::date - v.age, v.auc, v.gap, v.status
FROM (VALUES
    ('leaving', 1, 'logistic', 520, 0.7440, 0.0710, 'retired',
     '{"bias": -2.2, "days_inactive": 1.1, "low_progress": 1}'),
    ('leaving', 2, 'logistic', 150, 0.8120, 0.0400, 'active',
     '{"bias": -2.6, "days_inactive": 0.9, "missed_deadlines": 0.4, "low_grade": 1.2,
       "low_progress": 1.5, "low_engagement": 0.6}'),
    ('inactive-rule', 1, 'rules', NULL, NULL, NULL, 'shadow',
     '{"bias": -3, "days_inactive": 1.5}'))
    AS v (code, version, kind, age, auc, gap, status, weights);

-- Thirteen Mondays of scores.
INSERT INTO courses.retention_score
    (business_id, retention_score_id, enrollment_id, retention_model_id, scored_on,
     dropout_probability, band, previous_probability, drivers, days_inactive, missed_deadlines,
     grade_trend, predicted_last_active_on, is_actionable)
SELECT m.business_id, md5(concat('score ', m.retention_model_id, s.enrollment_id, w.monday))::uuid,
       s.enrollment_id, m.retention_model_id, w.monday, s.dropout_probability, 'low',
       lag(s.dropout_probability) OVER (PARTITION BY m.retention_model_id, s.enrollment_id
                                        ORDER BY w.monday),
       s.drivers, s.days_inactive, s.missed_deadlines, s.grade_trend, s.predicted_last_active_on,
       s.is_actionable
FROM courses.retention_model AS m
CROSS JOIN (
    SELECT (date_trunc('week', %(as_of)s::timestamptz, 'UTC') AT TIME ZONE 'UTC')::date - 7 * n
               AS monday
    FROM generate_series(0, 12) AS n
) AS w
CROSS JOIN LATERAL courses.weigh_retention(m.retention_model_id, w.monday) AS s
WHERE m.business_id = %(business_id)s AND m.status IN ('active', 'shadow');

-- What was raised: by scores that rose, by instructors, by absence and by what a course costs; not
-- again within four weeks. Within three weeks it is over one way or another.
INSERT INTO courses.early_alert
    (business_id, early_alert_id, raised_by, enrollment_id, alert_kind, severity, raised_at,
     detail, status, acknowledged_at, resolved_at, resolution, dedupe_key)
WITH spans AS (
    SELECT e.enrollment_id, e.course_section_id, e.started_at, e.status, e.withdrawal_reason,
           x.ended_at, least(x.ended_at, %(as_of)s::timestamptz) AS until,
           abs(hashtextextended(e.enrollment_id::text, 151) %% 1000) AS place
    FROM courses.enrollment AS e
    LEFT JOIN (
        SELECT v.enrollment_id, max(v.occurred_at) AS ended_at
        FROM courses.enrollment_status_event AS v
        WHERE v.business_id = %(business_id)s
          AND v.to_status IN ('completed', 'withdrawn', 'expired', 'failed')
        GROUP BY v.enrollment_id
    ) AS x ON x.enrollment_id = e.enrollment_id
    WHERE e.business_id = %(business_id)s AND e.started_at < %(as_of)s::timestamptz
), teachers AS (
    SELECT DISTINCT ON (i.course_section_id) i.course_section_id, t.user_account_id
    FROM courses.section_instructor AS i
    JOIN courses.instructor AS t
        ON t.business_id = i.business_id AND t.instructor_id = i.instructor_id
    WHERE i.business_id = %(business_id)s
    ORDER BY i.course_section_id, t.instructor_id
), concerns AS (
    SELECT s.enrollment_id, t.user_account_id,
           s.started_at + (s.until - s.started_at) * (0.3 + 0.4 * s.place / 1000) AS raised_at,
           row_number() OVER (ORDER BY s.status IN ('withdrawn', 'failed', 'active') DESC,
                                       s.place, s.enrollment_id) AS number,
           count(*) OVER () AS all_of_them
    FROM spans AS s
    JOIN teachers AS t ON t.course_section_id = s.course_section_id
    WHERE s.until > s.started_at
), absences AS (
    SELECT t.enrollment_id, k.ends_at + interval '2 hours' AS raised_at, t.status,
           lag(t.status) OVER (PARTITION BY t.enrollment_id ORDER BY k.starts_at) AS last_status
    FROM courses.meeting_attendance AS t
    JOIN courses.class_meeting AS k
        ON k.business_id = t.business_id AND k.class_meeting_id = t.class_meeting_id
    WHERE t.business_id = %(business_id)s AND k.status = 'ended'
), raised (enrollment_id, raised_by, alert_kind, severity, raised_at, detail, dedupe_key) AS (
    SELECT r.enrollment_id, NULL::uuid, r.alert_kind, r.severity, r.raised_at, r.detail,
           r.dedupe_key
    FROM courses.retention_model AS m
    CROSS JOIN generate_series(
        date_trunc('week', %(as_of)s::timestamptz, 'UTC') - interval '84 days',
        date_trunc('week', %(as_of)s::timestamptz, 'UTC'), interval '7 days') AS w (monday)
    CROSS JOIN LATERAL courses.risen_risks(m.retention_model_id,
                                           (w.monday AT TIME ZONE 'UTC')::date) AS r
    WHERE m.business_id = %(business_id)s AND m.status = 'active'
    UNION ALL
    SELECT c.enrollment_id, c.user_account_id, 'teacher_concern', 'medium', c.raised_at,
           'Answers in class have become short; something is going on.',
           'teacher ' || c.enrollment_id
    FROM concerns AS c
    WHERE c.number <= 1 + c.all_of_them / 25
    UNION ALL
    (SELECT DISTINCT ON (a.enrollment_id) a.enrollment_id, NULL::uuid, 'attendance', 'medium',
           a.raised_at, 'Missed two classes in a row.', 'absent ' || a.enrollment_id
    FROM absences AS a
    JOIN spans AS s ON s.enrollment_id = a.enrollment_id
    WHERE a.status = 'absent' AND a.last_status = 'absent' AND a.raised_at >= s.started_at
      AND a.raised_at < s.until
    ORDER BY a.enrollment_id, a.raised_at)
    UNION ALL
    SELECT s.enrollment_id, NULL::uuid, 'financial', 'high', s.ended_at - interval '3 days',
           'A payment was missed and the learner asked what leaving costs.',
           'costs ' || s.enrollment_id
    FROM spans AS s
    WHERE s.status = 'withdrawn' AND s.withdrawal_reason = 'cost'
      AND s.ended_at - interval '3 days' > s.started_at
), spaced AS (
    SELECT r.*, lag(r.raised_at) OVER (PARTITION BY r.enrollment_id, r.alert_kind
                                       ORDER BY r.raised_at) AS last_at
    FROM raised AS r
), followed AS (
    SELECT r.*, s.status AS became, h.place,
           r.raised_at + (2 + h.place %% 30) * interval '1 hour' AS acknowledged_at,
           CASE WHEN s.ended_at < r.raised_at + interval '15 days' THEN 'ended'
                WHEN h.place %% 10 < 2 AND r.raised_by IS NULL THEN 'dismissed'
                ELSE 'lived' END AS fate,
           s.ended_at
    FROM spaced AS r
    JOIN spans AS s ON s.enrollment_id = r.enrollment_id
    CROSS JOIN LATERAL (
        SELECT abs(hashtextextended(r.dedupe_key, 150) %% 1000) AS place
    ) AS h
    WHERE r.last_at IS NULL OR r.raised_at > r.last_at + interval '28 days'
), ended AS (
    SELECT f.*,
           CASE f.fate WHEN 'ended' THEN greatest(f.ended_at, f.acknowledged_at)
                       WHEN 'dismissed' THEN f.acknowledged_at + interval '1 day'
                       ELSE f.raised_at + (15 + f.place %% 6) * interval '1 day' END AS over_at,
           f.acknowledged_at + (1 + f.place %% 20) * interval '1 hour' AS helped_at
    FROM followed AS f
)
SELECT %(business_id)s, md5('alert ' || n.dedupe_key)::uuid, n.raised_by, n.enrollment_id,
       n.alert_kind, n.severity, n.raised_at, n.detail,
       CASE WHEN n.over_at < %(as_of)s::timestamptz
            THEN CASE n.fate WHEN 'dismissed' THEN 'dismissed' ELSE 'resolved' END
            WHEN n.fate = 'lived' AND n.helped_at < %(as_of)s::timestamptz THEN 'in_intervention'
            WHEN n.acknowledged_at < %(as_of)s::timestamptz THEN 'acknowledged'
            ELSE 'open' END,
       CASE WHEN n.acknowledged_at < %(as_of)s::timestamptz THEN n.acknowledged_at END,
       CASE WHEN n.over_at < %(as_of)s::timestamptz THEN n.over_at END,
       CASE WHEN n.over_at >= %(as_of)s::timestamptz THEN NULL
            WHEN n.fate = 'dismissed' THEN 'false_alarm'
            WHEN n.fate = 'ended' AND n.became <> 'completed' THEN 'withdrew'
            WHEN EXISTS (
                SELECT
                FROM courses.engagement_day AS d
                WHERE d.business_id = %(business_id)s AND d.enrollment_id = n.enrollment_id
                  AND d.activity_date > (n.raised_at AT TIME ZONE 'UTC')::date
                  AND d.activity_date <= (n.over_at AT TIME ZONE 'UTC')::date)
            THEN 're_engaged'
            ELSE 'supported' END,
       n.dedupe_key
FROM ended AS n;

-- What was done about an alert; who did not answer was written to two days later.
INSERT INTO courses.intervention
    (business_id, intervention_id, performed_by, enrollment_id, early_alert_id, method,
     performed_at, duration_minutes, outcome, follow_up_on, plan)
SELECT a.business_id, md5('call ' || s.step || a.early_alert_id)::uuid, a.assigned_to,
       a.enrollment_id, a.early_alert_id, s.method, s.moment,
       CASE WHEN s.method <> 'email' THEN 5 + (h.place %% 40)::integer END, s.outcome,
       CASE WHEN s.outcome IN ('no_answer', 'agreed_plan')
            THEN (s.moment AT TIME ZONE 'UTC')::date + CASE s.outcome WHEN 'no_answer' THEN 2
                                                                      ELSE 14 END END,
       CASE WHEN s.outcome = 'agreed_plan'
            THEN CASE a.alert_kind
                     WHEN 'failing' THEN 'An hour with a tutor each week until the exam.'
                     WHEN 'missed_deadline' THEN 'Hand in the open work by Sunday, a week late.'
                     WHEN 'financial' THEN 'Pay in three parts, the first next month.'
                     ELSE 'Two lessons before Sunday, then we speak again.' END END
FROM courses.early_alert AS a
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(a.dedupe_key, 150) %% 1000) AS place
) AS h
CROSS JOIN LATERAL (
    SELECT a.acknowledged_at + (1 + h.place %% 20) * interval '1 hour' AS helped_at,
           CASE a.alert_kind
               WHEN 'financial' THEN 'financial_help' WHEN 'failing' THEN 'tutoring'
               WHEN 'missed_deadline' THEN 'extension' WHEN 'teacher_concern' THEN 'meeting'
               ELSE split_part('call,call,email,peer_support,plan', ',',
                               1 + (h.place / 7 %% 5)::integer) END AS method,
           CASE WHEN h.place / 10 < 40 THEN 'reached' WHEN h.place / 10 < 68 THEN 'agreed_plan'
                WHEN h.place / 10 < 88 THEN 'no_answer' WHEN h.place / 10 < 95 THEN 'declined'
                ELSE 'escalated' END AS outcome
) AS f
CROSS JOIN LATERAL (VALUES
    (1, f.helped_at, f.method, f.outcome),
    (2, CASE WHEN f.outcome = 'no_answer' THEN f.helped_at + interval '2 days' END, 'email',
     'reached'))
    AS s (step, moment, method, outcome)
WHERE a.business_id = %(business_id)s AND a.status IN ('in_intervention', 'resolved')
  AND a.assigned_to IS NOT NULL
  AND s.moment < least(a.resolved_at, %(as_of)s::timestamptz);

-- One enrollment in twenty was looked after before anything was wrong.
INSERT INTO courses.intervention
    (business_id, intervention_id, performed_by, enrollment_id, method, performed_at,
     duration_minutes, outcome, follow_up_on, plan)
SELECT n.business_id, md5('check ' || n.enrollment_id)::uuid, a.advisor_user_account_id,
       n.enrollment_id, split_part('meeting,plan,peer_support', ',', 1 + (n.place %% 3)::integer),
       n.moment, 15 + (n.place %% 30)::integer, 'agreed_plan',
       (n.moment AT TIME ZONE 'UTC')::date + 14, 'Write down each Sunday what comes next.'
FROM (
    SELECT e.business_id, e.enrollment_id, e.learner_id, h.place,
           e.started_at + (least(e.completed_at, e.withdrawn_at, %(as_of)s::timestamptz)
                           - e.started_at) * 0.4 AS moment,
           row_number() OVER (ORDER BY h.place, e.enrollment_id) AS number,
           count(*) OVER () AS all_of_them
    FROM courses.enrollment AS e
    CROSS JOIN LATERAL (
        SELECT abs(hashtextextended(e.enrollment_id::text, 152) %% 1000) AS place
    ) AS h
    WHERE e.business_id = %(business_id)s AND e.started_at < %(as_of)s::timestamptz
      AND e.status IN ('active', 'completed', 'withdrawn')
) AS n
JOIN courses.advisor_assignment AS a
    ON a.business_id = n.business_id AND a.learner_id = n.learner_id
   AND a.assignment_kind = 'academic'
   AND a.assigned_from <= (n.moment AT TIME ZONE 'UTC')::date
   AND (a.assigned_until IS NULL OR a.assigned_until > (n.moment AT TIME ZONE 'UTC')::date)
WHERE n.number <= 1 + n.all_of_them / 20;

SELECT courses.judge_interventions(%(as_of)s::timestamptz);

-- When each advisor last spoke with a learner, and what they agreed to look at next.
UPDATE courses.advisor_assignment AS a
SET last_contact_at = n.last_at, next_contact_due_on = coalesce(n.follow_up_on,
                                                                a.next_contact_due_on)
FROM (
    SELECT DISTINCT ON (x.advisor_assignment_id) x.advisor_assignment_id,
           i.performed_at AS last_at,
           CASE WHEN i.follow_up_on >= %(as_of)s::date - 3 THEN i.follow_up_on END AS follow_up_on
    FROM courses.advisor_assignment AS x
    JOIN courses.enrollment AS e
        ON e.business_id = x.business_id AND e.learner_id = x.learner_id
    JOIN courses.intervention AS i
        ON i.business_id = e.business_id AND i.enrollment_id = e.enrollment_id
       AND i.performed_by = x.advisor_user_account_id AND i.outcome <> 'no_answer'
       AND (i.performed_at AT TIME ZONE 'UTC')::date >= x.assigned_from
       AND ((i.performed_at AT TIME ZONE 'UTC')::date < x.assigned_until
            OR x.assigned_until IS NULL)
    WHERE x.business_id = %(business_id)s
    ORDER BY x.advisor_assignment_id, i.performed_at DESC
) AS n
WHERE a.business_id = %(business_id)s AND a.advisor_assignment_id = n.advisor_assignment_id;
