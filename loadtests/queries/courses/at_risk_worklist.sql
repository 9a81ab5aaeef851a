-- An advisor's list: learners who are likely to leave, with what drives it and open alerts.
-- budget: p95 150ms
-- weight: 5
-- mode: read
-- rows: >=1
-- params: advisor_user_account_id from courses.advisor_assignment where assigned_until is null and learner_id in (select e.learner_id from courses.enrollment as e join courses.retention_score as s on s.business_id = e.business_id and s.enrollment_id = e.enrollment_id where e.status = 'active')
SELECT a.business_id, a.learner_id, l.learner_number, e.enrollment_id, s.scored_on,
       s.dropout_probability, s.band, s.drivers, x.early_alert_id, x.status
FROM courses.advisor_assignment AS a
JOIN courses.learner AS l ON l.business_id = %(business_id)s AND l.learner_id = a.learner_id
JOIN courses.enrollment AS e
    ON e.business_id = %(business_id)s AND e.learner_id = a.learner_id AND e.status = 'active'
CROSS JOIN LATERAL (
    SELECT r.scored_on, r.dropout_probability, r.band, r.drivers
    FROM courses.retention_score AS r
    WHERE r.business_id = %(business_id)s AND r.enrollment_id = e.enrollment_id
    ORDER BY r.scored_on DESC
    LIMIT 1
) AS s
LEFT JOIN courses.early_alert AS x
    ON x.business_id = %(business_id)s AND x.enrollment_id = e.enrollment_id
   AND x.status IN ('open', 'acknowledged', 'in_intervention')
WHERE a.business_id = %(business_id)s
  AND a.advisor_user_account_id = %(advisor_user_account_id)s
  AND (a.assigned_until IS NULL OR a.assigned_until > current_date)
ORDER BY s.dropout_probability DESC, e.enrollment_id
LIMIT 50
