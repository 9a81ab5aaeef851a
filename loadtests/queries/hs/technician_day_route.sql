-- The technician opens the day in the app: stops in order, whom to call, how to get in.
-- budget: p95 80ms
-- weight: 5
-- mode: read
-- rows: >=1
-- params: technician_id, route_on from hs.route_plan where status IN ('published', 'in_progress')
SELECT r.business_id, r.stop_seq, r.stop_kind, r.status, r.appointment_number, r.window_start_at,
       r.window_end_at, r.planned_arrival_at, r.planned_departure_at, r.actual_arrival_at,
       r.inbound_drive_minutes, r.work_order_number, r.summary, r.address_line, r.city,
       r.gate_code, r.access_instructions, r.customer_name, r.customer_phone
FROM hs.v_technician_day_route AS r
WHERE r.business_id = %(business_id)s
  AND r.technician_id = %(technician_id)s
  AND r.route_on = %(route_on)s::date
ORDER BY r.stop_seq
