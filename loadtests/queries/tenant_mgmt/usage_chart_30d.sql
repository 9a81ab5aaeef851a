-- The usage chart: a meter by day and dimension over the 30 days up to an event.
-- budget: p95 120ms
-- weight: 3
-- mode: read
-- rows: >=1
-- growth: linear, it adds up every event of a meter in 30 days
-- params: usage_meter_id, event_at from tenant_mgmt.usage_event
SELECT e.business_id,
       (e.event_at AT TIME ZONE 'UTC')::date AS usage_date,
       property.dimension,
       property.value,
       count(*)                              AS event_count,
       sum(e.quantity)                       AS quantity
FROM tenant_mgmt.usage_event AS e
LEFT JOIN JSON_TABLE(e.properties, '$.keyvalue()' COLUMNS (
    dimension text PATH '$.key',
    value     text PATH '$.value'
)) AS property ON true
WHERE e.business_id = %(business_id)s
  AND e.usage_meter_id = %(usage_meter_id)s
  AND e.event_at > %(event_at)s::timestamptz - interval '30 days'
  AND e.event_at <= %(event_at)s::timestamptz
GROUP BY e.business_id, usage_date, property.dimension, property.value
ORDER BY usage_date, property.dimension, quantity DESC;
