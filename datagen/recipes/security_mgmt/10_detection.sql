-- An alert is about events that there are: every n-th, with what has the same key within a day.
WITH event AS (
    SELECT e.correlation_key, e.occurred_at,
           row_number() OVER (ORDER BY e.occurred_at, e.security_event_id) AS place,
           count(*) OVER () AS total
    FROM security_mgmt.security_event AS e
    WHERE e.business_id = %(business_id)s
), alert AS (
    SELECT a.security_alert_id,
           row_number() OVER (ORDER BY a.first_event_at, a.security_alert_id) AS place,
           count(*) OVER () AS total
    FROM security_mgmt.security_alert AS a
    WHERE a.business_id = %(business_id)s
), about AS (
    SELECT alert.security_alert_id, event.correlation_key, event.occurred_at AS began_at
    FROM alert
    JOIN event ON event.place = 1 + (alert.place - 1) * event.total / alert.total
), behind AS (
    SELECT b.security_alert_id, b.correlation_key, min(e.occurred_at) AS first_at,
           max(e.occurred_at) AS last_at, count(*) AS event_count,
           jsonb_agg(jsonb_build_object(
               'id', e.security_event_id, 'at', e.occurred_at, 'activity', e.activity,
               'outcome', e.outcome, 'src_ip', host(e.src_ip)) ORDER BY e.occurred_at) AS samples
    FROM about AS b
    JOIN security_mgmt.security_event AS e
        ON e.business_id = %(business_id)s AND e.correlation_key = b.correlation_key
        AND e.occurred_at >= b.began_at AND e.occurred_at < b.began_at + interval '1 day'
    GROUP BY b.security_alert_id, b.correlation_key
)
UPDATE security_mgmt.security_alert AS a
SET correlation_keys = ARRAY[b.correlation_key],
    first_event_at = b.first_at,
    last_event_at = b.last_at,
    event_count = b.event_count,
    sample_events = security_mgmt.newest_samples('[]', b.samples),
    acknowledged_at = b.last_at + (a.acknowledged_at - a.first_event_at),
    closed_at = b.last_at + (a.closed_at - a.first_event_at)
FROM behind AS b
WHERE a.business_id = %(business_id)s AND a.security_alert_id = b.security_alert_id;

-- Rules that were never in force have raised nothing.
UPDATE security_mgmt.security_alert AS a
SET detection_rule_id = (
    SELECT x.detection_rule_id FROM security_mgmt.detection_rule AS x
    WHERE x.business_id = a.business_id AND x.status = 'active'
    ORDER BY md5(x.code || a.alert_number) LIMIT 1)
FROM security_mgmt.detection_rule AS r
WHERE a.business_id = %(business_id)s
  AND r.business_id = a.business_id AND r.detection_rule_id = a.detection_rule_id
  AND r.status IN ('draft', 'testing');
UPDATE security_mgmt.detection_rule AS r
SET false_positive_pct = NULL
WHERE r.business_id = %(business_id)s AND r.status IN ('draft', 'testing');

-- Numbers go on after the last one.
INSERT INTO system_core.number_sequence
    (business_id, number_sequence_id, sequence_code, prefix, next_value)
SELECT a.business_id, md5(a.business_id || ' security_alert')::uuid, 'security_alert', 'ALR-',
       count(*) + 1
FROM security_mgmt.security_alert AS a
WHERE a.business_id = %(business_id)s
GROUP BY a.business_id;
