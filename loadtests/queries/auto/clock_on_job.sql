-- The technician taps start on the tablet: the open entry is closed, the new one runs.
-- budget: p95 80ms
-- weight: 5
-- mode: write
-- rows: >=1
-- params: technician_id, repair_job_id from auto.job_dispatch where status IN ('planned', 'dispatched', 'accepted', 'active', 'paused')
SELECT c.business_id, c.labor_clock_entry_id, c.technician_id, c.repair_job_id, c.clocked_in_at
FROM tenant_mgmt.business AS here
CROSS JOIN LATERAL auto.clock_on(
    %(technician_id)s::uuid, %(repair_job_id)s::uuid, 'diagnosis') AS c
WHERE here.business_id = %(business_id)s
