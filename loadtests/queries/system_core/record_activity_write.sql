-- Every saved change: the activity and the event that reports it.
-- budget: p95 20ms
-- weight: 8
-- mode: write
-- rows: >=1
-- params: schema_name, table_name from system_core.entity_type where is_activity_tracked
-- values: entity_id = uuid()
SELECT here.business_id,
       system_core.record_activity(
           %(schema_name)s, %(table_name)s, %(entity_id)s, 'update',
           '[{"column": "status", "old": "open", "new": "done"}]') AS activity_event_id
FROM tenant_mgmt.business AS here
WHERE here.business_id = %(business_id)s
