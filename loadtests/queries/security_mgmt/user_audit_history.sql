-- What did a user do in the 30 days up to a moment?
-- budget: p95 120ms
-- weight: 3
-- mode: read
-- rows: >=1
-- params: actor_user_account_id, recorded_at from security_mgmt.audit_record where actor_user_account_id IS NOT NULL
SELECT r.business_id, r.chain_seq, r.recorded_at, r.action, r.schema_name, r.table_name,
       r.entity_id, r.client_ip, r.reason
FROM security_mgmt.audit_record AS r
WHERE r.business_id = %(business_id)s
  AND r.actor_user_account_id = %(actor_user_account_id)s
  AND r.recorded_at > %(recorded_at)s::timestamptz - interval '30 days'
  AND r.recorded_at <= %(recorded_at)s::timestamptz
ORDER BY r.recorded_at DESC
LIMIT 200;
