-- The advisor moves an order to where it waits for parts, or back when they are there.
-- budget: p95 100ms
-- weight: 6
-- mode: write
-- rows: >=0
-- params: repair_order_id from auto.repair_order where status IN ('authorized', 'awaiting_parts')
-- values: client_event_ref = text('tap-')
WITH visit AS (
    SELECT o.repair_order_id, o.status
    FROM auto.repair_order AS o
    WHERE o.business_id = %(business_id)s AND o.repair_order_id = %(repair_order_id)s
      AND o.status IN ('authorized', 'awaiting_parts')
    FOR NO KEY UPDATE
)
SELECT m.business_id, m.repair_order_id, m.status, m.version
FROM visit
CROSS JOIN LATERAL auto.transition_repair_order(
    visit            => visit.repair_order_id,
    target           => CASE visit.status WHEN 'authorized' THEN 'awaiting_parts'
                                          ELSE 'authorized' END,
    reason           => 'parts_delay',
    client_event_ref => %(client_event_ref)s) AS m
WHERE m.business_id = %(business_id)s;
