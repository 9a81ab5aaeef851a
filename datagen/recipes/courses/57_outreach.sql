SELECT tenant_mgmt.set_tenant(%(business_id)s);

INSERT INTO courses.nudge_campaign
    (business_id, nudge_campaign_id, notification_template_id, name, trigger_kind, trigger_value,
     segment, holdout_pct, max_per_learner_week, starts_on, ends_on, status, goal_metric)
SELECT %(business_id)s, md5('campaign ' || v.kind || %(business_id)s)::uuid,
       (SELECT t.notification_template_id
        FROM system_core.notification_template AS t
        WHERE t.business_id = %(business_id)s
        ORDER BY t.code
        LIMIT 1),
       v.name, v.kind, v.value, v.segment::jsonb, v.holdout, v.at_most, %(as_of)s::date + v.since,
       %(as_of)s::date + v.until, v.status, v.goal
FROM (VALUES
    ('We miss you', 'inactive_days', 7, '{"status": ["active", "audit"]}', 10, 2, -420, 90,
     'running', 'return_visit'),
    ('Almost there', 'near_completion', 80, '{"progress_from": 80}', 20, 2, -420, 90, 'running',
     'completion'),
    ('Keep your streak', 'streak_at_risk', 1, '{}', 10, 3, -420, -20, 'ended', 'return_visit'),
    ('New this week', 'new_content', 1, '{"segment": ["individual"]}', 10, 1, -60, 120, 'paused',
     'lesson_completed'),
    ('Hand it in', 'deadline_near', 2, '{"delivery": ["live_online", "classroom"]}', 15, 2, 14, 120,
     'draft', 'submission'))
    AS v (name, kind, value, segment, holdout, at_most, since, until, status, goal);

-- Who was about to be nudged, one after the other, as courses.send_nudge does it: whether they were
-- depends on what came before. One delivery in four was opened, more of those that led somewhere.
DO $$
DECLARE
    tenant  CONSTANT uuid := %(business_id)s;
    as_of   CONSTANT timestamptz := %(as_of)s;
    due     record;
    given   text;
    why     text;
    opened  timestamptz;
    reached timestamptz;
BEGIN
    FOR due IN
        WITH active AS (
            SELECT d.enrollment_id, d.activity_date AS day,
                   lead(d.activity_date) OVER (PARTITION BY d.enrollment_id
                                               ORDER BY d.activity_date) AS next_day
            FROM courses.engagement_day AS d
            WHERE d.business_id = tenant
        ), live AS (
            SELECT e.enrollment_id, e.learner_id, e.completed_at,
                   coalesce((SELECT max(v.occurred_at)
                             FROM courses.enrollment_status_event AS v
                             WHERE v.business_id = tenant AND v.enrollment_id = e.enrollment_id
                               AND v.to_status IN ('completed', 'withdrawn', 'expired', 'failed')),
                            as_of) AS until
            FROM courses.enrollment AS e
            WHERE e.business_id = tenant AND e.started_at IS NOT NULL
        ), wanted AS (
            SELECT 'inactive_days' AS kind, a.enrollment_id, a.day + 7 AS day
            FROM active AS a
            WHERE a.next_day > a.day + 7 OR a.next_day IS NULL
            UNION ALL
            SELECT 'streak_at_risk', a.enrollment_id, a.day + 1
            FROM active AS a
            WHERE (a.next_day > a.day + 1 OR a.next_day IS NULL)
              AND abs(hashtextextended(concat(a.enrollment_id, a.day), 160) %% 12) = 0
            UNION ALL
            SELECT 'near_completion', l.enrollment_id, (l.completed_at AT TIME ZONE 'UTC')::date - 5
            FROM live AS l
            JOIN active AS a
                ON a.enrollment_id = l.enrollment_id
               AND a.day < (l.completed_at AT TIME ZONE 'UTC')::date - 5
            GROUP BY l.enrollment_id, l.completed_at
            UNION ALL
            SELECT 'new_content', a.enrollment_id, a.day + 3
            FROM active AS a
            WHERE abs(hashtextextended(concat(a.enrollment_id, a.day), 161) %% 15) = 0
        )
        SELECT c.nudge_campaign_id, c.holdout_pct, c.goal_metric, l.learner_id, w.enrollment_id,
               t.sent_at, h.place,
               split_part('email,email,email,push,push,in_app,sms', ',',
                          1 + (h.place / 3 %% 7)::integer) AS channel
        FROM wanted AS w
        JOIN live AS l ON l.enrollment_id = w.enrollment_id
        JOIN courses.nudge_campaign AS c
            ON c.business_id = tenant AND c.trigger_kind = w.kind
           AND w.day BETWEEN c.starts_on AND c.ends_on
        CROSS JOIN LATERAL (
            SELECT abs(hashtextextended(concat(w.kind, w.enrollment_id, w.day), 162) %% 1000)
                       AS place
        ) AS h
        CROSS JOIN LATERAL (
            SELECT w.day::timestamp AT TIME ZONE 'UTC' + interval '15 hours'
                   + (h.place %% 7) * interval '1 hour'
                   + (h.place %% 60) * interval '1 minute' AS sent_at
        ) AS t
        WHERE t.sent_at < l.until AND t.sent_at < as_of
        ORDER BY t.sent_at, c.nudge_campaign_id, w.enrollment_id
    LOOP
        given := courses.nudge_arm(due.nudge_campaign_id, due.learner_id, due.holdout_pct);
        why := courses.nudge_obstacle(due.nudge_campaign_id, due.learner_id, due.channel,
                                      due.sent_at);
        reached := CASE due.goal_metric
            WHEN 'return_visit' THEN (
                SELECT min(s.started_at)
                FROM courses.learning_session AS s
                WHERE s.business_id = tenant AND s.learner_id = due.learner_id
                  AND s.started_at > due.sent_at)
            WHEN 'completion' THEN (
                SELECT e.completed_at
                FROM courses.enrollment AS e
                WHERE e.business_id = tenant AND e.enrollment_id = due.enrollment_id
                  AND e.completed_at > due.sent_at)
            ELSE (
                SELECT min(p.completed_at)
                FROM courses.lesson_progress AS p
                WHERE p.business_id = tenant AND p.enrollment_id = due.enrollment_id
                  AND p.completed_at > due.sent_at) END;
        reached := CASE WHEN reached <= due.sent_at + interval '7 days' AND reached < as_of
                        THEN reached END;
        opened := CASE WHEN given = 'treatment' AND why = 'none'
                            AND due.place < CASE WHEN reached IS NULL THEN 260 ELSE 620 END
                       THEN due.sent_at + (4 + due.place) * interval '1 minute' END;
        opened := CASE WHEN opened < as_of - interval '10 minutes' THEN opened END;
        INSERT INTO courses.nudge_delivery
            (business_id, nudge_delivery_id, nudge_campaign_id, learner_id, enrollment_id, sent_at,
             arm, variant, channel, opened_at, clicked_at, converted_at, unsubscribed,
             suppressed_reason, created_at)
        VALUES (tenant, md5(concat('nudge ', due.nudge_campaign_id, due.enrollment_id,
                                   due.sent_at AT TIME ZONE 'UTC'))::uuid,
                due.nudge_campaign_id, due.learner_id, due.enrollment_id, due.sent_at, given,
                CASE WHEN due.place %% 2 = 0 THEN 'a' ELSE 'b' END,
                CASE WHEN given = 'holdout' OR why <> 'none' THEN 'none' ELSE due.channel END,
                opened, CASE WHEN due.place %% 3 = 0 THEN opened + interval '2 minutes' END,
                reached, opened IS NOT NULL AND due.place %% 50 = 7, why,
                due.sent_at);
    END LOOP;
END
$$;
