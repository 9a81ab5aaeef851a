-- The privacy desk's screen: a request, what is processed, and which columns have to be handled.
-- budget: p95 60ms
-- weight: 2
-- mode: read
-- rows: >=1
-- params: data_subject_request_id from security_mgmt.data_subject_request
SELECT r.business_id, r.request_number, r.request_kind, r.regime, r.status, r.received_at,
       coalesce(r.extended_until, r.due_at)         AS answer_until,
       coalesce(r.extended_until, r.due_at) - now() AS time_left,
       a.display_name                               AS handler,
       p.activities, c.rules
FROM security_mgmt.data_subject_request AS r
LEFT JOIN user_mgmt.user_account AS a
    ON a.business_id = r.business_id AND a.user_account_id = r.handler_user_account_id
CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object('name', x.name, 'basis', x.legal_basis,
                                        'retention', x.retention_rule) ORDER BY x.name)
               AS activities
    FROM security_mgmt.processing_activity AS x
    WHERE x.business_id = r.business_id AND x.status = 'active'
) AS p
CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object('table', x.schema_name || '.' || x.table_name,
                                        'column', x.column_name, 'action', x.erasure_action))
               AS rules
    FROM security_mgmt.data_classification_rule AS x
    WHERE x.business_id = r.business_id AND x.data_class IN ('personal', 'special', 'phi')
) AS c
WHERE r.business_id = %(business_id)s
  AND r.data_subject_request_id = %(data_subject_request_id)s
