SELECT tenant_mgmt.set_tenant(%(business_id)s);

INSERT INTO courses.nudge_campaign
    (business_id, nudge_campaign_id, name, trigger_kind, trigger_value, holdout_pct, starts_on,
     ends_on, status, goal_metric)
SELECT %(business_id)s, md5(v.kind || %(business_id)s)::uuid, v.name, v.kind, v.value, 10,
       (%(as_of)s::timestamptz AT TIME ZONE 'UTC')::date - 180,
       (%(as_of)s::timestamptz AT TIME ZONE 'UTC')::date + v.days, v.status, v.goal
FROM (VALUES
    ('We miss you', 'inactive_days', 7, 90, 'running', 'return_visit'),
    ('Almost there', 'near_completion', 80, 90, 'running', 'completion'),
    ('Keep your streak', 'streak_at_risk', 3, -20, 'ended', 'return_visit'))
    AS v (name, kind, value, days, status, goal);

-- Who did nothing for a week before a score was nudged on that day, one in ten not, to compare.
INSERT INTO courses.nudge_delivery
    (business_id, nudge_delivery_id, nudge_campaign_id, learner_id, enrollment_id, sent_at, arm,
     channel, opened_at, clicked_at)
SELECT s.business_id, md5('nudge ' || s.retention_score_id)::uuid,
       md5('inactive_days' || %(business_id)s)::uuid, e.learner_id, e.enrollment_id, t.sent_at,
       CASE WHEN h.arm < 10 THEN 'holdout' ELSE 'treatment' END,
       CASE WHEN h.arm < 10 THEN 'none' ELSE 'email' END,
       CASE WHEN h.arm >= 10 AND h.place %% 100 < 38 THEN t.sent_at + interval '95 minutes' END,
       CASE WHEN h.arm >= 10 AND h.place %% 100 < 12 THEN t.sent_at + interval '97 minutes' END
FROM courses.retention_score AS s
JOIN courses.retention_model AS m
    ON m.business_id = s.business_id AND m.retention_model_id = s.retention_model_id
   AND m.status = 'active'
JOIN courses.enrollment AS e
    ON e.business_id = s.business_id AND e.enrollment_id = s.enrollment_id
CROSS JOIN LATERAL (
    SELECT abs(hashtextextended(e.learner_id::text, 130) %% 100) AS arm,
           abs(hashtextextended(concat(s.enrollment_id, s.scored_on), 131) %% 1000) AS place
) AS h
CROSS JOIN LATERAL (
    SELECT s.scored_on::timestamp AT TIME ZONE 'UTC' + interval '16 hours' AS sent_at
) AS t
WHERE s.business_id = %(business_id)s AND s.days_inactive >= 7;
