SELECT tenant_mgmt.set_tenant(%(business_id)s);

-- What lessons show of each day of an enrollment.
INSERT INTO courses.engagement_day
    (business_id, engagement_day_id, enrollment_id, activity_date, login_count, active_minutes,
     content_views, decile, is_at_risk_day)
WITH days AS (
    SELECT p.enrollment_id, (p.last_opened_at AT TIME ZONE 'UTC')::date AS day,
           least(sum(p.seconds_spent) / 60, 480)::integer AS minutes,
           sum(p.open_count)::integer AS views
    FROM courses.lesson_progress AS p
    WHERE p.business_id = %(business_id)s AND p.last_opened_at < %(as_of)s::timestamptz
    GROUP BY p.enrollment_id, day
)
SELECT %(business_id)s, md5(concat('engaged ', d.enrollment_id, d.day))::uuid, d.enrollment_id,
       d.day, 1, d.minutes, d.views,
       ntile(10) OVER (PARTITION BY d.day ORDER BY d.minutes, d.enrollment_id), d.minutes < 5
FROM days AS d;

-- Two coaches share the learners.
INSERT INTO courses.advisor_assignment
    (business_id, advisor_assignment_id, advisor_user_account_id, learner_id, assigned_from,
     next_contact_due_on)
SELECT l.business_id, md5('advisor ' || l.learner_id)::uuid, a.user_account_id, l.learner_id,
       (%(as_of)s::timestamptz AT TIME ZONE 'UTC')::date - 200,
       (%(as_of)s::timestamptz AT TIME ZONE 'UTC')::date
           + abs(hashtextextended(l.learner_id::text, 120) %% 30)::integer - 5
FROM courses.learner AS l
JOIN (
    SELECT i.user_account_id, row_number() OVER (ORDER BY i.instructor_id) AS number
    FROM courses.instructor AS i
    WHERE i.business_id = %(business_id)s
) AS a ON a.number = 1 + abs(hashtextextended(l.learner_id::text, 121) %% 2)
WHERE l.business_id = %(business_id)s AND a.user_account_id IS DISTINCT FROM l.user_account_id;

INSERT INTO courses.retention_model
    (business_id, retention_model_id, code, version_no, model_kind, weights, threshold_high,
     threshold_medium, trained_on, auc, fairness_gap, status)
SELECT %(business_id)s, md5(v.code || %(business_id)s)::uuid, v.code, 1, v.kind, v.weights::jsonb,
       0.6, 0.3, (%(as_of)s::timestamptz AT TIME ZONE 'UTC')::date - 120, v.auc, 0.04, v.status
FROM (VALUES
    ('leaving', 'logistic', 0.8120, 'active',
     '{"bias": -2.6, "days_inactive": 0.9, "missed_deadlines": 0.4, "low_grade": 1.2,
       "low_progress": 1.5, "low_engagement": 0.6}'),
    ('inactive-rule', 'rules', NULL, 'shadow', '{"bias": -3, "days_inactive": 1.5}'))
    AS v (code, kind, auc, status, weights);

-- Six Mondays of scores, as they were made, and the alerts that came of them.
SELECT courses.score_retention(
    m.retention_model_id,
    (date_trunc('week', %(as_of)s::timestamptz, 'UTC') AT TIME ZONE 'UTC')::date - 7 * w.n)
FROM courses.retention_model AS m
CROSS JOIN generate_series(6, 1, -1) AS w (n)
WHERE m.business_id = %(business_id)s
ORDER BY m.code, w.n DESC;

-- Every alert was followed by a call four hours later.
UPDATE courses.early_alert AS a
SET status = 'acknowledged', acknowledged_at = a.raised_at + interval '3 hours'
WHERE a.business_id = %(business_id)s AND a.status = 'open' AND a.assigned_to IS NOT NULL;

INSERT INTO courses.intervention
    (business_id, intervention_id, performed_by, enrollment_id, early_alert_id, method,
     performed_at, duration_minutes, outcome, plan)
SELECT a.business_id, md5('call ' || a.early_alert_id)::uuid, a.assigned_to, a.enrollment_id,
       a.early_alert_id, 'call', a.raised_at + interval '4 hours', 12, 'agreed_plan',
       'Two lessons before Sunday, then we speak again.'
FROM courses.early_alert AS a
WHERE a.business_id = %(business_id)s AND a.assigned_to IS NOT NULL;
