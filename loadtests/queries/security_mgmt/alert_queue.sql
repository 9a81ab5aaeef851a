-- The analyst's queue: open alerts, the worst and then the oldest first, 50 per page.
-- budget: p95 60ms
-- weight: 5
-- mode: read
-- rows: >=1
SELECT a.business_id, a.security_alert_id, a.alert_number, a.severity, a.status, a.risk_points,
       a.event_count, a.first_event_at, a.last_event_at, r.code AS rule_code, r.name AS rule_name,
       r.attack_technique, u.display_name AS assigned_to
FROM security_mgmt.security_alert AS a
JOIN security_mgmt.detection_rule AS r
    ON r.business_id = %(business_id)s AND r.detection_rule_id = a.detection_rule_id
LEFT JOIN user_mgmt.user_account AS u
    ON u.business_id = %(business_id)s AND u.user_account_id = a.assigned_to_user_account_id
WHERE a.business_id = %(business_id)s
    AND a.status IN ('new', 'triage', 'escalated')
ORDER BY a.severity_rank, a.first_event_at
LIMIT 50
