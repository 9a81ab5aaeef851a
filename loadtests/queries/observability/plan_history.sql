-- The plans of one critical query, newest first, with what they took.
-- budget: p95 60ms
-- weight: 1
-- mode: read
-- rows: >=1
-- params: critical_query_id from observability.plan_capture
SELECT p.business_id, p.captured_at, p.plan_hash, p.previous_plan_hash, p.is_plan_change,
       p.root_node, p.seq_scan_tables, p.misestimate_ratio, p.planning_ms, p.execution_ms
FROM observability.plan_capture AS p
WHERE p.business_id = %(business_id)s
  AND p.critical_query_id = %(critical_query_id)s
ORDER BY p.captured_at DESC
LIMIT 20
