-- The history tab of a vehicle: what happened to it, latest first.
-- budget: p95 250ms
-- weight: 5
-- mode: read
-- rows: >=1
-- params: vehicle_id from auto.odometer_reading
SELECT t.business_id, t.happened_at, t.kind, t.title, t.source_id
FROM auto.v_vehicle_timeline AS t
WHERE t.business_id = %(business_id)s AND t.vehicle_id = %(vehicle_id)s
ORDER BY t.happened_at DESC NULLS LAST, t.source_id
LIMIT 100
