-- The booking page lists the windows of the next two weeks that a job at an address fits into.
-- budget: p95 120ms
-- weight: 8
-- mode: read
-- rows: >=1
-- params: service_location_id from hs.service_location where service_territory_id IN (SELECT z.service_territory_id FROM hs.service_territory AS z WHERE z.business_id = service_location.business_id AND z.is_active)
-- params: job_type_id from hs.job_type where default_minutes <= 240 AND is_active
SELECT here.business_id, s.capacity_plan_id, s.plan_on, w.label,
       s.free_minutes, s.surcharge_amount, s.rank
FROM tenant_mgmt.business AS here
CROSS JOIN LATERAL hs.find_available_slots(
    %(service_location_id)s::uuid, %(job_type_id)s::uuid, current_date, 14) AS s
JOIN hs.arrival_window AS w
    ON w.business_id = %(business_id)s AND w.arrival_window_id = s.arrival_window_id
WHERE here.business_id = %(business_id)s
ORDER BY s.rank
