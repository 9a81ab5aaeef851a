-- The advisor types a VIN at the counter: which car is it, whose, and what was done to it last?
-- budget: p95 50ms
-- weight: 10
-- mode: read
-- rows: >=1
-- params: vin from auto.vehicle
SELECT v.business_id, v.vehicle_id, v.vin, v.license_plate, v.current_odometer, v.status,
       held.customer_id, held.display_name, recent.repair_orders
FROM auto.vehicle AS v
LEFT JOIN LATERAL (
    SELECT c.customer_id, c.display_name
    FROM auto.vehicle_ownership AS o
    JOIN auto.customer AS c
        ON c.business_id = %(business_id)s AND c.customer_id = o.customer_id
    WHERE o.business_id = %(business_id)s AND o.vehicle_id = v.vehicle_id
    ORDER BY o.ends_on DESC NULLS FIRST, o.starts_on DESC
    LIMIT 1
) AS held ON true
CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object(
               'number', w.ro_number, 'status', w.status, 'opened_at', w.opened_at)
           ORDER BY w.opened_at DESC) AS repair_orders
    FROM (
        SELECT r.ro_number, r.status, r.opened_at
        FROM auto.repair_order AS r
        WHERE r.business_id = %(business_id)s AND r.vehicle_id = v.vehicle_id
        ORDER BY r.opened_at DESC
        LIMIT 5
    ) AS w
) AS recent
WHERE v.business_id = %(business_id)s
  AND v.vin_tail = right(%(vin)s, 8);
