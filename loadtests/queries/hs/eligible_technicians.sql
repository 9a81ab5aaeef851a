-- A dispatcher asks who can make a visit, the best first.
-- budget: p95 250ms
-- weight: 4
-- mode: read
-- rows: >=0
-- params: appointment_id from hs.appointment where status IN ('scheduled', 'confirmed') AND scheduled_start_at BETWEEN now() AND now() + interval '6 days'
SELECT here.business_id, e.technician_id, t.full_name, e.skill_gap_count,
       e.drive_minutes, e.free_minutes, e.suitability_score
FROM tenant_mgmt.business AS here
CROSS JOIN LATERAL hs.eligible_technicians(%(appointment_id)s::uuid) AS e
JOIN hs.technician AS t
    ON t.business_id = %(business_id)s AND t.technician_id = e.technician_id
WHERE here.business_id = %(business_id)s
ORDER BY e.suitability_score DESC
