-- An employee opens the week in the app: each day's shift, hours paid and what is to be explained.
-- budget: p95 80ms
-- weight: 10
-- mode: read
-- rows: >=7
-- params: employee_id, day=shift_date from payroll.scheduled_shift where status IN ('worked', 'published', 'confirmed')
WITH day AS (
    SELECT payroll.week_start(%(day)s, 'sunday') + n.number AS on_date
    FROM generate_series(0, 6) AS n (number)
), paid AS (
    SELECT e.work_date, t.status, sum(e.hours) AS hours,
           sum(e.hours) FILTER (WHERE e.entry_kind IN ('overtime', 'doubletime')) AS overtime
    FROM payroll.timesheet AS t
    JOIN payroll.timesheet_entry AS e
        ON e.business_id = t.business_id AND e.timesheet_id = t.timesheet_id
       AND e.work_date BETWEEN payroll.week_start(%(day)s, 'sunday')
                           AND payroll.week_start(%(day)s, 'sunday') + 6
       AND (e.in_punch_key IS NOT NULL OR e.is_manual OR e.entry_kind IN ('pto', 'holiday'))
    WHERE t.business_id = %(business_id)s AND t.employee_id = %(employee_id)s
    GROUP BY e.work_date, t.status
)
SELECT %(business_id)s::uuid AS business_id, d.on_date, s.starts_at, s.ends_at,
       s.status AS shift_status, p.hours, coalesce(p.overtime, 0) AS overtime,
       p.status AS sheet_status, x.kinds AS exceptions
FROM day AS d
LEFT JOIN payroll.scheduled_shift AS s
    ON s.business_id = %(business_id)s AND s.employee_id = %(employee_id)s
   AND s.shift_date = d.on_date AND s.status NOT IN ('draft', 'cancelled', 'swapped')
   AND s.starts_at >= d.on_date - interval '1 day' AND s.starts_at < d.on_date + interval '2 days'
LEFT JOIN paid AS p ON p.work_date = d.on_date
LEFT JOIN LATERAL (
    SELECT array_agg(y.kind ORDER BY y.kind) AS kinds
    FROM payroll.attendance_exception AS y
    WHERE y.business_id = %(business_id)s AND y.employee_id = %(employee_id)s
      AND y.exception_date = d.on_date AND y.status = 'open'
) AS x ON true
ORDER BY d.on_date, s.starts_at
