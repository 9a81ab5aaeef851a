-- A customer confirms a slot online; another tap of the same visit of the page moves the booking.
-- budget: p95 120ms
-- weight: 6
-- mode: write
-- rows: >=1
-- params: technician_shift_id from auto.technician_shift where status = 'published' AND shift_on > current_date AND extract(isodow FROM shift_on) < 7 AND (SELECT sum(f.productive_hours) FROM auto.technician_shift AS f WHERE f.business_id = technician_shift.business_id AND f.shop_id = technician_shift.shop_id AND f.shift_on = technician_shift.shift_on AND f.status = 'published') >= 3 + (SELECT coalesce(sum(a.planned_hours), 0) FROM auto.appointment AS a JOIN auto.shop AS s ON s.business_id = a.business_id AND s.shop_id = a.shop_id WHERE a.business_id = technician_shift.business_id AND a.shop_id = technician_shift.shop_id AND (a.starts_at AT TIME ZONE s.timezone)::date = technician_shift.shift_on)
-- params: customer_id from auto.customer where status = 'active'
-- values: session_no = random_int(1, 20)
SELECT b.business_id, b.appointment_id, b.appointment_number, b.starts_at, b.ends_at, b.status
FROM auto.technician_shift AS f
JOIN auto.shop AS s ON s.business_id = f.business_id AND s.shop_id = f.shop_id
CROSS JOIN LATERAL auto.book_appointment(
    s.shop_id, %(customer_id)s::uuid,
    (SELECT w.vehicle_id
     FROM auto.vehicle_ownership AS w
     WHERE w.business_id = %(business_id)s AND w.customer_id = %(customer_id)s::uuid
       AND w.ends_on IS NULL
     ORDER BY w.vehicle_ownership_id
     LIMIT 1),
    (f.shift_on + TIME '10:00') AT TIME ZONE s.timezone,
    '{"services": [{"code": "WIPER", "label": "Wiper blades", "hours": 0.1, "answers": {}}]}',
    'load-' || %(session_no)s::integer) AS b
WHERE f.business_id = %(business_id)s
  AND f.technician_shift_id = %(technician_shift_id)s::uuid
