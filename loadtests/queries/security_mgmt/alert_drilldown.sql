-- The events behind an alert, newest first.
-- budget: p95 150ms
-- weight: 3
-- mode: read
-- rows: >=1
-- params: security_alert_id from security_mgmt.security_alert
SELECT e.business_id, e.security_event_id, e.occurred_at, e.class, e.activity, e.outcome,
       e.severity, e.src_ip, e.dst_ip, e.target_kind, e.target_id, e.actor_user_account_id, e.raw
FROM security_mgmt.security_alert AS a
JOIN security_mgmt.security_event AS e
    ON e.business_id = %(business_id)s
    AND e.correlation_key = ANY (a.correlation_keys)
    AND e.occurred_at BETWEEN a.first_event_at AND a.last_event_at
WHERE a.business_id = %(business_id)s
    AND a.security_alert_id = %(security_alert_id)s
ORDER BY e.occurred_at DESC
LIMIT 200
