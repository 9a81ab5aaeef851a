-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- Half days of those who turn wrenches, numbered for each; none on a day of absence.
CREATE TEMPORARY TABLE half_day ON COMMIT DROP AS
SELECT h.*, row_number() OVER (PARTITION BY h.technician_id ORDER BY h.begins) AS slot
FROM (
    SELECT t.technician_id, t.shop_id, t.nth,
           (a.today + g.day_no + p.opens) AT TIME ZONE t.timezone AS begins,
           (a.today + g.day_no + p.opens + interval '4 hours') AT TIME ZONE t.timezone AS finishes
    FROM (SELECT x.technician_id, x.shop_id, s.timezone, s.weekly_hours,
                 row_number() OVER (PARTITION BY x.shop_id ORDER BY x.employee_number) AS nth
          FROM auto.technician AS x
          JOIN auto.shop AS s ON s.business_id = x.business_id AND s.shop_id = x.shop_id
          WHERE x.business_id = %(business_id)s AND x.terminated_on IS NULL
            AND x.role NOT IN ('service_advisor', 'estimator', 'parts', 'foreman')) AS t
    CROSS JOIN generate_series(-400, 120) AS g (day_no)
    CROSS JOIN (SELECT (%(as_of)s::timestamptz AT TIME ZONE 'UTC')::date AS today) AS a
    CROSS JOIN (VALUES (TIME '08:00'), (TIME '13:00')) AS p (opens)
    WHERE extract(isodow FROM a.today + g.day_no) < CASE p.opens WHEN TIME '08:00' THEN 7
                                                                 ELSE 6 END
      AND NOT jsonb_path_exists(t.weekly_hours, '$.exceptions[*] ? (@.on == $day)',
                                jsonb_build_object('day', a.today + g.day_no))
      AND NOT EXISTS (SELECT FROM auto.technician_shift AS f
                      WHERE f.business_id = %(business_id)s
                        AND f.technician_id = t.technician_id
                        AND f.shift_on = a.today + g.day_no AND f.productive_hours = 0)
) AS h;

-- A job belongs to somebody of its shop who holds the certificates and does not check the order.
CREATE TEMPORARY TABLE floor_job ON COMMIT DROP AS
SELECT DISTINCT ON (j.repair_job_id)
       j.repair_job_id, t.technician_id, t.nth, o.shop_id, j.status, j.decided_at,
       coalesce(h.sold, 0) AS sold,
       ('x' || substr(md5(j.repair_job_id::text), 1, 7))::bit(28)::integer AS dice
FROM auto.repair_job AS j
JOIN auto.repair_order AS o
    ON o.business_id = j.business_id AND o.repair_order_id = j.repair_order_id
JOIN (SELECT DISTINCT technician_id, shop_id, nth FROM half_day) AS t ON t.shop_id = o.shop_id
LEFT JOIN (SELECT repair_job_id, sum(sold_hours) AS sold
           FROM auto.labor_line WHERE business_id = %(business_id)s AND status <> 'void'
           GROUP BY repair_job_id) AS h ON h.repair_job_id = j.repair_job_id
LEFT JOIN (
    SELECT DISTINCT l.repair_job_id, x.technician_id
    FROM auto.labor_line AS l
    JOIN auto.labor_operation AS p
        ON p.business_id = l.business_id AND p.labor_operation_id = l.labor_operation_id
    CROSS JOIN LATERAL (VALUES
        ('ase', p.required_ase_code::text, p.required_ase_code IS NOT NULL),
        ('ev_hv', NULL, p.requires_hv_certificate),
        ('epa_609', NULL, p.requires_609_certificate)) AS n (program, test_code, is_needed)
    CROSS JOIN (SELECT DISTINCT technician_id FROM half_day) AS x
    LEFT JOIN auto.technician_certification AS c
        ON c.business_id = l.business_id AND c.technician_id = x.technician_id
       AND c.program = n.program AND c.status IN ('valid', 'expiring')
       AND (n.test_code IS NULL OR c.test_code::text = n.test_code)
    WHERE l.business_id = %(business_id)s AND l.status <> 'void' AND n.is_needed
      AND c.technician_certification_id IS NULL
) AS lacks ON lacks.repair_job_id = j.repair_job_id AND lacks.technician_id = t.technician_id
LEFT JOIN (SELECT DISTINCT repair_order_id, checked_by_technician_id AS technician_id
           FROM auto.quality_check WHERE business_id = %(business_id)s) AS q
    ON q.repair_order_id = o.repair_order_id AND q.technician_id = t.technician_id
WHERE j.business_id = %(business_id)s
  AND j.status IN ('approved', 'in_progress', 'waiting', 'done')
ORDER BY j.repair_job_id, lacks.technician_id IS NOT NULL, q.technician_id IS NOT NULL,
         md5(j.repair_job_id || t.technician_id::text);

UPDATE auto.repair_job AS j
SET lead_technician_id = f.technician_id
FROM floor_job AS f
WHERE j.business_id = %(business_id)s AND j.repair_job_id = f.repair_job_id
  AND j.lead_technician_id IS DISTINCT FROM f.technician_id;

UPDATE auto.labor_line AS l
SET technician_id = f.technician_id
FROM floor_job AS f
WHERE l.business_id = %(business_id)s AND l.repair_job_id = f.repair_job_id
  AND l.technician_id <> f.technician_id;

-- Worked jobs queue up behind the half day of their decision and end before the moment; whoever
-- works at the moment took the last half day. Approved and waiting jobs lie ahead.
INSERT INTO auto.job_dispatch (business_id, job_dispatch_id, repair_job_id, technician_id, bay_id,
                               planned_window, planned_hours, split_pct, priority_rank,
                               dispatched_at, accepted_at, started_at, finished_at, status,
                               pause_reason, created_at, updated_at)
SELECT %(business_id)s, md5('dispatch' || p.repair_job_id)::uuid, p.repair_job_id,
       p.technician_id, b.bay_id, tstzrange(h.begins, h.finishes), nullif(p.sold, 0), 100,
       10 + p.dice %% 5, least(h.begins, %(as_of)s) - interval '50 minutes',
       CASE WHEN p.state NOT IN ('planned', 'dispatched')
            THEN least(h.begins, %(as_of)s) - interval '40 minutes' END,
       CASE p.state WHEN 'paused' THEN least(h.begins, %(as_of)s) - interval '30 minutes'
                    WHEN 'active' THEN h.begins WHEN 'done' THEN h.begins END,
       CASE WHEN p.state = 'done'
            THEN h.begins + least(greatest(p.sold / (80 + p.dice %% 55) * 100, 0.4), 3.9)
                            * interval '1 hour' END,
       p.state, CASE WHEN p.state = 'paused' THEN CASE p.status WHEN 'waiting' THEN 'parts'
                                                              ELSE 'other_job' END END,
       least(h.begins, %(as_of)s) - interval '50 minutes', least(h.begins, %(as_of)s)
FROM (
    SELECT w.*, CASE w.line WHEN 'past' THEN 'done' WHEN 'now' THEN 'active'
                            ELSE CASE WHEN w.status IN ('waiting', 'in_progress') THEN 'paused'
                                      WHEN w.nth_of_line > 4 THEN 'planned'
                                      ELSE 'dispatched' END END AS state,
           CASE w.line WHEN 'past' THEN least(
                    w.nth_of_line + max(w.due_slot - w.nth_of_line) OVER (
                        PARTITION BY w.technician_id, w.line ORDER BY w.nth_of_line),
                    w.last_slot - 1 - (w.size_of_line - w.nth_of_line))
                WHEN 'now' THEN w.last_slot
                ELSE w.last_slot + w.nth_of_line END AS slot
    FROM (
        SELECT r.*, l.last_slot,
               row_number() OVER (PARTITION BY r.technician_id, r.line
                                  ORDER BY r.decided_at, r.repair_job_id) AS nth_of_line,
               count(*) OVER (PARTITION BY r.technician_id, r.line) AS size_of_line,
               coalesce(s.due_slot, l.last_slot) AS due_slot
        FROM (
            SELECT f.*, CASE WHEN f.status = 'done' THEN 'past'
                             WHEN f.status = 'in_progress' AND row_number() OVER (
                                      PARTITION BY f.technician_id, f.status
                                      ORDER BY f.decided_at, f.repair_job_id) = 1 THEN 'now'
                             ELSE 'ahead' END AS line
            FROM floor_job AS f
        ) AS r
        JOIN (SELECT technician_id, max(slot) AS last_slot FROM half_day
              WHERE begins <= %(as_of)s GROUP BY technician_id) AS l
            ON l.technician_id = r.technician_id
        LEFT JOIN (SELECT f.repair_job_id, min(x.slot) AS due_slot
                   FROM floor_job AS f
                   JOIN half_day AS x ON x.technician_id = f.technician_id
                                     AND x.begins >= f.decided_at
                   GROUP BY f.repair_job_id) AS s
            ON s.repair_job_id = r.repair_job_id
    ) AS w
) AS p
JOIN half_day AS h ON h.technician_id = p.technician_id AND h.slot = p.slot
LEFT JOIN (
    SELECT x.bay_id, x.shop_id,
           row_number() OVER (PARTITION BY x.shop_id
                              ORDER BY x.bay_kind = 'paint_booth', x.bay_code) AS nth
    FROM auto.bay AS x
    LEFT JOIN auto.shop_equipment AS e
        ON e.business_id = x.business_id AND e.shop_equipment_id = x.lift_equipment_id
    WHERE x.business_id = %(business_id)s AND x.status IN ('open', 'occupied')
      AND coalesce(e.status, '') NOT IN ('out_of_service', 'retired')
) AS b ON b.shop_id = p.shop_id AND b.nth = p.nth;

-- The clock follows the dispatch: it runs while its half day lasts, else it was stopped then.
INSERT INTO auto.labor_clock_entry (business_id, labor_clock_entry_id, technician_id,
                                    repair_job_id, job_dispatch_id, technician_shift_id,
                                    clocked_in_at, clocked_out_at, clock_kind, flagged_hours,
                                    source, is_approved, created_at, updated_at)
SELECT c.business_id, md5('clock' || c.job_dispatch_id)::uuid, c.technician_id, c.repair_job_id,
       c.job_dispatch_id, f.technician_shift_id, c.started_at, c.stops_at, 'job',
       CASE WHEN c.status = 'done'
            THEN least(c.planned_hours,
                       round(extract(epoch FROM c.stops_at - c.started_at) / 3600 * 1.44, 2)) END,
       CASE WHEN c.status = 'active' AND c.stops_at IS NOT NULL THEN 'auto_close'
            ELSE 'tablet' END,
       c.status = 'done', c.started_at, coalesce(c.stops_at, c.started_at)
FROM (
    SELECT d.*, CASE WHEN d.status = 'done' THEN d.finished_at
                     WHEN upper(d.planned_window) <= %(as_of)s
                     THEN upper(d.planned_window) END AS stops_at
    FROM auto.job_dispatch AS d
    WHERE d.business_id = %(business_id)s AND d.status IN ('active', 'done')
) AS c
LEFT JOIN auto.technician_shift AS f
    ON f.business_id = c.business_id AND f.technician_id = c.technician_id
   AND f.starts_at <= c.started_at AND f.ends_at > c.started_at AND f.status = 'worked';

-- Whose clock runs is on a job, who has no shift at the moment is off.
UPDATE auto.technician AS t
SET dispatch_status = n.state
FROM (
    SELECT x.technician_id,
           CASE WHEN EXISTS (SELECT FROM auto.labor_clock_entry AS c
                             WHERE c.business_id = x.business_id
                               AND c.technician_id = x.technician_id
                               AND c.clocked_out_at IS NULL) THEN 'on_job'
                WHEN EXISTS (SELECT FROM auto.technician_shift AS f
                             WHERE f.business_id = x.business_id
                               AND f.technician_id = x.technician_id
                               AND f.starts_at <= %(as_of)s AND f.ends_at > %(as_of)s
                               AND f.shift_kind NOT IN ('vacation', 'sick')
                               AND f.status <> 'cancelled') THEN 'available'
                ELSE 'off' END AS state
    FROM auto.technician AS x
    WHERE x.business_id = %(business_id)s
) AS n
WHERE t.business_id = %(business_id)s AND t.technician_id = n.technician_id
  AND t.dispatch_status <> n.state;

-- Where the work came to whoever checked it, a colleague of the shop who did none of it checked.
UPDATE auto.quality_check AS q
SET checked_by_technician_id = n.technician_id
FROM (
    SELECT DISTINCT ON (c.quality_check_id) c.quality_check_id, t.technician_id
    FROM auto.quality_check AS c
    JOIN auto.technician AS t ON t.business_id = c.business_id
    WHERE c.business_id = %(business_id)s
      AND EXISTS (SELECT FROM auto.repair_job AS j
                  WHERE j.business_id = c.business_id AND j.repair_order_id = c.repair_order_id
                    AND j.lead_technician_id = c.checked_by_technician_id)
      AND NOT EXISTS (SELECT FROM auto.repair_job AS j
                      WHERE j.business_id = c.business_id
                        AND j.repair_order_id = c.repair_order_id
                        AND j.lead_technician_id = t.technician_id)
    ORDER BY c.quality_check_id, t.employee_number
) AS n
WHERE q.business_id = %(business_id)s AND q.quality_check_id = n.quality_check_id;
