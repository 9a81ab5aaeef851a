-- What a user did in the thirty days before a moment.
-- budget: p95 120ms
-- weight: 2
-- mode: read
-- rows: >=1
-- params: actor_id=actor_user_account_id, until=recorded_at from security_mgmt.audit_record where actor_user_account_id IS NOT NULL
SELECT r.business_id, r.recorded_at, r.action, r.schema_name, r.table_name, r.entity_id, r.reason,
       r.client_ip
FROM security_mgmt.audit_record AS r
WHERE r.business_id = %(business_id)s
  AND r.actor_user_account_id = %(actor_id)s
  AND r.recorded_at > %(until)s::timestamptz - interval '30 days'
  AND r.recorded_at <= %(until)s::timestamptz
ORDER BY r.recorded_at DESC
LIMIT 200
