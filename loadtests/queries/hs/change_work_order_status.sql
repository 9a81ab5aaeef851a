-- The technician taps en route in the app, or that it goes back to the board.
-- budget: p95 100ms
-- weight: 6
-- mode: write
-- rows: >=0
-- params: work_order_id from hs.work_order where status IN ('dispatched', 'en_route')
-- values: client_event_ref = text('tap-')
WITH job AS (
    SELECT w.work_order_id, w.status
    FROM hs.work_order AS w
    WHERE w.business_id = %(business_id)s AND w.work_order_id = %(work_order_id)s
      AND w.status IN ('dispatched', 'en_route')
    FOR UPDATE
)
SELECT m.business_id, m.work_order_id, m.status, m.first_dispatched_at
FROM job
CROSS JOIN LATERAL hs.transition_work_order(
    of_work_order    => job.work_order_id,
    to_status        => CASE job.status WHEN 'dispatched' THEN 'en_route' ELSE 'dispatched' END,
    actor_role       => 'technician',
    client_event_ref => %(client_event_ref)s) AS m
WHERE m.business_id = %(business_id)s;
