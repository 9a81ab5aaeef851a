-- Privacy desk: a request with its clock, what is processed and how personal data is erased.
-- budget: p95 60ms
-- weight: 1
-- mode: read
-- rows: >=1
-- params: request_number from security_mgmt.data_subject_request
SELECT q.business_id, q.request_number, q.request_kind, q.status, d.regime, q.received_at,
       coalesce(q.extended_until, q.due_at) AS due_at, s.display_name AS subject_name,
       h.display_name AS handler_name, q.systems_searched, activity.activities, rule.places
FROM security_mgmt.data_subject_request AS q
JOIN security_mgmt.privacy_deadline AS d
    ON d.business_id = q.business_id AND d.privacy_deadline_id = q.privacy_deadline_id
LEFT JOIN user_mgmt.user_account AS s
    ON s.business_id = q.business_id AND s.user_account_id = q.subject_user_account_id
LEFT JOIN user_mgmt.user_account AS h
    ON h.business_id = q.business_id AND h.user_account_id = q.handler_user_account_id
CROSS JOIN (
    SELECT jsonb_agg(jsonb_build_object(
               'name', p.name, 'basis', p.legal_basis, 'retention', p.retention_rule)
               ORDER BY p.name) AS activities
    FROM security_mgmt.processing_activity AS p
    WHERE p.business_id = %(business_id)s AND p.status = 'active'
) AS activity
CROSS JOIN (
    SELECT jsonb_agg(jsonb_build_object(
               'table', r.schema_name || '.' || r.table_name, 'column', r.column_name,
               'export', r.export_allowed, 'erasure', r.erasure_action)
               ORDER BY r.schema_name, r.table_name, r.column_name) AS places
    FROM security_mgmt.data_classification_rule AS r
    WHERE r.business_id = %(business_id)s
      AND r.data_class NOT IN ('public', 'internal')
) AS rule
WHERE q.business_id = %(business_id)s
  AND q.request_number = %(request_number)s;
