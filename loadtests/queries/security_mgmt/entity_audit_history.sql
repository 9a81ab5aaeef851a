-- Who changed this record? Its newest fifty entries.
-- budget: p95 80ms
-- weight: 3
-- mode: read
-- rows: >=1
-- params: schema_name, table_name, entity_id from security_mgmt.audit_record where entity_id IS NOT NULL
SELECT r.business_id, r.recorded_at, r.chain_seq, r.action, r.actor_kind, a.display_name,
       r.reason, r.old_row, r.new_row
FROM security_mgmt.audit_record AS r
LEFT JOIN user_mgmt.user_account AS a
    ON a.business_id = r.business_id AND a.user_account_id = r.actor_user_account_id
WHERE r.business_id = %(business_id)s
  AND r.schema_name = %(schema_name)s
  AND r.table_name = %(table_name)s
  AND r.entity_id = %(entity_id)s
ORDER BY r.recorded_at DESC
LIMIT 50
