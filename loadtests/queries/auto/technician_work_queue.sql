-- The technician looks at what comes next: live jobs in order, with concern and running clock.
-- budget: p95 80ms
-- weight: 5
-- mode: read
-- rows: >=1
-- params: technician_id from auto.job_dispatch where status IN ('planned', 'dispatched', 'accepted', 'active', 'paused')
SELECT q.business_id, q.job_dispatch_id, q.repair_job_id, q.job_name, q.complaint_text,
       q.book_hours, q.planned_window, q.status, q.pause_reason, q.clocked_in_at
FROM auto.v_technician_work_queue AS q
WHERE q.business_id = %(business_id)s
  AND q.technician_id = %(technician_id)s
ORDER BY q.priority_rank, q.planned_window, q.job_dispatch_id
