-- One scrape of the exporter, every 15 seconds.
-- budget: p95 100ms
-- weight: 3
-- mode: read
-- rows: >=10
SELECT %(business_id)s::uuid AS business_id, m.metric, m.labels, m.value
FROM observability.export_metrics() AS m
WHERE tenant_mgmt.current_business_id() = %(business_id)s
