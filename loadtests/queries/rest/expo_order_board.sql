-- The expediter's board refreshes: every open course of the kitchen and what it waits for.
-- budget: p95 80ms
-- weight: 12
-- mode: read
-- rows: >=1
-- params: kitchen_id from rest.kitchen_ticket where state IN ('fired', 'in_progress', 'ready')
SELECT b.business_id, b.guest_order_id, b.order_number, b.service_mode, b.pickup_name,
       b.promised_at, b.course_number, b.course_kind, b.course_state, b.age_seconds, b.stations,
       b.stations_done, b.is_complete, b.progress, b.waits_for, b.waits_for_station
FROM rest.v_expo_board AS b
WHERE b.business_id = %(business_id)s AND b.kitchen_id = %(kitchen_id)s
ORDER BY b.fired_at, b.order_number, b.course_number
LIMIT 60
