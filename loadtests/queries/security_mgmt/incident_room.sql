-- The page of an incident: its timeline, what is to be done, and the alerts that belong to it.
-- budget: p95 100ms
-- weight: 2
-- mode: read
-- rows: >=1
-- params: incident_id from security_mgmt.incident
SELECT i.business_id, i.incident_number, i.title, i.category, i.severity, i.phase,
       i.detected_at, i.declared_at, i.contained_at, i.is_suspected_breach,
       timeline.entries, task.tasks, alert.alerts
FROM security_mgmt.incident AS i
CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object(
               'no', e.entry_no, 'kind', e.entry_kind, 'at', e.happened_at,
               'summary', e.summary, 'supersedes', e.supersedes_no) ORDER BY e.entry_no) AS entries
    FROM security_mgmt.incident_timeline_entry AS e
    WHERE e.business_id = %(business_id)s AND e.incident_id = i.incident_id
) AS timeline
CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object(
               'no', t.step_no, 'title', t.title, 'phase', t.task_phase, 'state', t.state,
               'mandatory', t.is_mandatory, 'due', t.due_at) ORDER BY t.step_no) AS tasks
    FROM security_mgmt.incident_task AS t
    WHERE t.business_id = %(business_id)s AND t.incident_id = i.incident_id
) AS task
CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object(
               'number', a.alert_number, 'severity', a.severity, 'status', a.status,
               'relation', l.relation, 'events', a.event_count) ORDER BY l.linked_at) AS alerts
    FROM security_mgmt.incident_alert AS l
    JOIN security_mgmt.security_alert AS a
        ON a.business_id = %(business_id)s AND a.security_alert_id = l.security_alert_id
    WHERE l.business_id = %(business_id)s
        AND l.incident_id = i.incident_id
        AND l.unlinked_at IS NULL
) AS alert
WHERE i.business_id = %(business_id)s
    AND i.incident_id = %(incident_id)s
