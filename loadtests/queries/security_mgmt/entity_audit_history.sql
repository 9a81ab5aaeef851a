-- Who changed this record, and what? The newest 50 changes with the columns that differ.
-- budget: p95 80ms
-- weight: 5
-- mode: read
-- rows: >=1
-- params: schema_name, table_name, entity_id from security_mgmt.audit_record
SELECT r.business_id, r.chain_seq, r.recorded_at, r.action, r.actor_kind, a.display_name,
       r.reason,
       (SELECT jsonb_object_agg(c.column_name, jsonb_build_array(c.old_value, c.new_value))
        FROM security_mgmt.audit_changed_columns(r.old_row, r.new_row) AS c) AS columns
FROM (
    SELECT x.*
    FROM security_mgmt.audit_record AS x
    WHERE x.business_id = %(business_id)s
      AND x.schema_name = %(schema_name)s
      AND x.table_name = %(table_name)s
      AND x.entity_id = %(entity_id)s
    ORDER BY x.recorded_at DESC
    LIMIT 50
) AS r
LEFT JOIN user_mgmt.user_account AS a
    ON a.business_id = %(business_id)s AND a.user_account_id = r.actor_user_account_id
ORDER BY r.recorded_at DESC, r.chain_seq DESC;
