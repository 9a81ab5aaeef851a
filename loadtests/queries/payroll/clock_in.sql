-- At shift change somebody clocks in at a kiosk: known, at a clock of the place, and on the plan.
-- budget: p95 60ms
-- weight: 12
-- mode: write
-- rows: >=1
-- params: employee_id, work_location_id from payroll.scheduled_shift where status IN ('published', 'confirmed')
WITH known AS (
    SELECT e.business_id, e.employee_id, c.time_clock_id
    FROM payroll.employee AS e
    JOIN payroll.time_clock AS c
        ON c.business_id = %(business_id)s AND c.work_location_id = %(work_location_id)s
       AND c.clock_kind = 'kiosk' AND c.is_active
    WHERE e.business_id = %(business_id)s AND e.employee_id = %(employee_id)s
      AND e.status IN ('active', 'rehired', 'on_leave')
    ORDER BY c.code
    LIMIT 1
), made AS (
    INSERT INTO payroll.clock_punch
        (business_id, employee_id, time_clock_id, punched_at, recorded_at, punch_kind, source)
    SELECT k.business_id, k.employee_id, k.time_clock_id, clock_timestamp(), clock_timestamp(),
           'in', 'kiosk'
    FROM known AS k
    RETURNING business_id, clock_punch_id, employee_id, punched_at
)
SELECT m.business_id, m.clock_punch_id, m.punched_at, s.starts_at, s.ends_at
FROM made AS m
LEFT JOIN LATERAL (
    SELECT x.starts_at, x.ends_at
    FROM payroll.scheduled_shift AS x
    WHERE x.business_id = %(business_id)s AND x.employee_id = m.employee_id
      AND x.status IN ('published', 'confirmed') AND x.ends_at > m.punched_at
    ORDER BY x.starts_at
    LIMIT 1
) AS s ON true
