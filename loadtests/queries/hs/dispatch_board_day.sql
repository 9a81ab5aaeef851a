-- A dispatcher opens the board of a branch for a day: visits, customers, who goes, how it stands.
-- budget: p95 150ms
-- weight: 10
-- mode: read
-- rows: >=1
-- params: service_territory_id, window_start_at from hs.appointment where status <> 'cancelled'
WITH day AS (
    SELECT b.branch_id, b.time_zone, local.midnight AT TIME ZONE b.time_zone AS begins_at,
           (local.midnight + interval '1 day') AT TIME ZONE b.time_zone AS ends_at
    FROM hs.service_territory AS z
    JOIN hs.branch AS b ON b.business_id = %(business_id)s AND b.branch_id = z.branch_id
    CROSS JOIN LATERAL (
        SELECT date_trunc('day', %(window_start_at)s::timestamptz AT TIME ZONE b.time_zone)
                   AS midnight) AS local
    WHERE z.business_id = %(business_id)s
      AND z.service_territory_id = %(service_territory_id)s
)
SELECT a.business_id, a.appointment_id, a.appointment_number, a.status, a.confirmation_status,
       a.window_start_at, a.window_end_at, a.scheduled_start_at, a.scheduled_end_at,
       w.work_order_number, w.summary, w.priority, c.display_name, l.address_line, l.city,
       l.latitude, l.longitude, g.technician_id, t.full_name, g.assignment_role,
       g.status AS assignment_status
FROM hs.appointment AS a
JOIN hs.service_territory AS z
    ON z.business_id = %(business_id)s
   AND z.service_territory_id = a.service_territory_id
   AND z.branch_id = (SELECT d.branch_id FROM day AS d)
JOIN hs.work_order AS w
    ON w.business_id = %(business_id)s AND w.work_order_id = a.work_order_id
JOIN hs.service_location AS l
    ON l.business_id = %(business_id)s AND l.service_location_id = w.service_location_id
JOIN hs.customer AS c ON c.business_id = %(business_id)s AND c.customer_id = w.customer_id
LEFT JOIN hs.appointment_assignment AS g
    ON g.business_id = %(business_id)s AND g.appointment_id = a.appointment_id
   AND g.status <> 'removed'
LEFT JOIN hs.technician AS t
    ON t.business_id = %(business_id)s AND t.technician_id = g.technician_id
WHERE a.business_id = %(business_id)s
  AND a.window_start_at >= (SELECT d.begins_at FROM day AS d)
  AND a.window_start_at < (SELECT d.ends_at FROM day AS d)
  AND a.status <> 'cancelled'
ORDER BY t.full_name NULLS FIRST, a.scheduled_start_at
