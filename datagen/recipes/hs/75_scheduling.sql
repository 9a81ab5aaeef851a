-- A visit happens in the zone of the address and takes what its kind of job takes.
UPDATE hs.appointment AS a
SET service_territory_id = coalesce(l.service_territory_id, a.service_territory_id),
    estimated_minutes = least(greatest(j.default_minutes, 15), 300)
FROM hs.work_order AS w
JOIN hs.service_location AS l
    ON l.business_id = w.business_id AND l.service_location_id = w.service_location_id
JOIN hs.job_type AS j ON j.business_id = w.business_id AND j.job_type_id = w.job_type_id
WHERE a.business_id = %(business_id)s
  AND w.business_id = a.business_id AND w.work_order_id = a.work_order_id;

-- Work of more than a day was finished on a return; who was missed is visited again.
INSERT INTO hs.appointment (
    business_id, appointment_id, work_order_id, service_territory_id, appointment_number,
    sequence_no, visit_kind, window_start_at, window_end_at, estimated_minutes, actual_start_at,
    actual_end_at, status, created_at)
SELECT a.business_id, md5(a.appointment_id || ' again')::uuid, a.work_order_id,
       a.service_territory_id, w.work_order_number || '-2', 2, 'return', again.starts_at,
       again.starts_at + interval '2 hours', a.estimated_minutes,
       CASE WHEN a.status = 'done' THEN again.starts_at END,
       CASE WHEN a.status = 'done' THEN w.completed_at END,
       CASE WHEN a.status = 'done' THEN 'done' ELSE 'scheduled' END, a.created_at
FROM hs.appointment AS a
JOIN hs.work_order AS w ON w.business_id = a.business_id AND w.work_order_id = a.work_order_id
CROSS JOIN LATERAL (
    SELECT CASE WHEN a.status = 'done' THEN w.completed_at - interval '50 minutes'
                ELSE %(as_of)s + interval '38 hours' END AS starts_at) AS again
WHERE a.business_id = %(business_id)s
  AND (a.status = 'missed'
       OR a.status = 'done' AND w.completed_at > w.started_at + interval '10 hours');

-- What was done was promised for about the hour in which it began.
UPDATE hs.appointment AS a
SET scheduled_start_at = p.planned_at,
    scheduled_end_at = p.planned_at + a.estimated_minutes * interval '1 minute',
    window_start_at = date_trunc('hour', p.planned_at),
    window_end_at = date_trunc('hour', p.planned_at) + interval '2 hours'
FROM (SELECT x.appointment_id,
             x.actual_start_at - (abs(hashtext(x.appointment_number)) %% 40 - 10)
                                 * interval '1 minute' AS planned_at
      FROM hs.appointment AS x
      WHERE x.business_id = %(business_id)s AND x.status = 'done') AS p
WHERE a.business_id = %(business_id)s AND a.appointment_id = p.appointment_id;

-- The days from today on: visits go round the technicians of the branch, one after the other.
CREATE TEMPORARY TABLE packed ON COMMIT DROP AS
WITH crew AS (
    SELECT t.branch_id, t.technician_id,
           row_number() OVER (PARTITION BY t.branch_id ORDER BY t.employee_number) - 1 AS no,
           count(*) OVER (PARTITION BY t.branch_id) AS size
    FROM hs.technician AS t
    WHERE t.business_id = %(business_id)s AND t.is_dispatchable AND t.trade_level <> 'apprentice'
), visit AS (
    SELECT a.appointment_id, z.branch_id, a.estimated_minutes, a.status, b.time_zone,
           day.visit_on + (extract(isodow FROM day.visit_on) = 7)::integer AS visit_on,
           CASE WHEN j.job_class IN ('install', 'sales', 'emergency') THEN j.job_class
                WHEN j.job_class = 'maintenance' THEN 'maintenance'
                ELSE 'demand' END AS job_class,
           a.service_territory_id, w.business_unit_id
    FROM hs.appointment AS a
    JOIN hs.work_order AS w
        ON w.business_id = a.business_id AND w.work_order_id = a.work_order_id
    JOIN hs.job_type AS j ON j.business_id = w.business_id AND j.job_type_id = w.job_type_id
    JOIN hs.service_territory AS z
        ON z.business_id = a.business_id AND z.service_territory_id = a.service_territory_id
    JOIN hs.branch AS b ON b.business_id = z.business_id AND b.branch_id = z.branch_id
    CROSS JOIN LATERAL (
        SELECT (a.window_start_at AT TIME ZONE 'UTC')::date AS visit_on) AS day
    WHERE a.business_id = %(business_id)s AND a.status <> 'done'
), dealt AS (
    SELECT v.*, row_number() OVER (
               PARTITION BY v.branch_id, v.visit_on, v.status IN ('missed', 'cancelled')
               ORDER BY v.status = 'tentative', hashtext(v.appointment_id::text)) - 1 AS no
    FROM visit AS v
), placed AS (
    SELECT d.*, c.technician_id,
           coalesce(sum(d.estimated_minutes + 25) OVER (
               PARTITION BY c.technician_id, d.visit_on, d.status IN ('missed', 'cancelled')
               ORDER BY d.no ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS begins
    FROM dealt AS d
    LEFT JOIN crew AS c ON c.branch_id = d.branch_id AND c.no = d.no %% c.size
)
SELECT p.appointment_id, p.status, p.visit_on, p.job_class, p.service_territory_id,
       p.business_unit_id, p.estimated_minutes, w.arrival_window_id,
       fits.technician_id,
       (p.visit_on + w.starts_time) AT TIME ZONE p.time_zone AS window_start_at,
       (p.visit_on + w.ends_time) AT TIME ZONE p.time_zone AS window_end_at,
       CASE WHEN fits.technician_id IS NOT NULL
            THEN (p.visit_on + TIME '08:00' + p.begins * interval '1 minute')
                 AT TIME ZONE p.time_zone END AS planned_at
FROM placed AS p
CROSS JOIN LATERAL (
    SELECT CASE WHEN p.begins + p.estimated_minutes <= 570 THEN p.technician_id END
               AS technician_id) AS fits
JOIN hs.arrival_window AS w
    ON w.business_id = %(business_id)s
   AND w.window_code = CASE WHEN p.job_class IN ('install', 'sales', 'emergency') THEN 'DAY'
                            WHEN p.begins < 240 AND fits.technician_id IS NOT NULL THEN 'AM'
                            ELSE 'PM' END;

UPDATE hs.appointment AS a
SET arrival_window_id = p.arrival_window_id,
    window_start_at = p.window_start_at,
    window_end_at = p.window_end_at,
    scheduled_start_at = p.planned_at,
    scheduled_end_at = p.planned_at + a.estimated_minutes * interval '1 minute'
FROM packed AS p
WHERE a.business_id = %(business_id)s AND a.appointment_id = p.appointment_id;

-- One in eight was moved before; what is soon has been confirmed or asked for.
UPDATE hs.appointment AS a
SET rescheduled_count = (abs(hashtext(a.appointment_number)) %% 8 = 0)::integer,
    confirmation_status = CASE
        WHEN a.status IN ('confirmed', 'dispatched', 'in_progress', 'done') THEN 'confirmed'
        WHEN a.status IN ('scheduled', 'missed') THEN 'sent'
        ELSE 'unsent' END
WHERE a.business_id = %(business_id)s;

-- Who was on what is over: round the technicians of the branch; who is on what comes: as packed.
INSERT INTO hs.appointment_assignment (
    business_id, appointment_assignment_id, appointment_id, technician_id, assignment_role,
    status, planned_start_at, planned_end_at, assigned_at, accepted_at, departed_at, arrived_at,
    completed_at, split_pct)
SELECT a.business_id, md5(a.appointment_id || ' lead')::uuid, a.appointment_id, c.technician_id,
       'lead', 'done', a.scheduled_start_at, a.scheduled_end_at,
       a.scheduled_start_at - interval '20 hours', a.scheduled_start_at - interval '15 hours',
       a.actual_start_at - (8 + abs(hashtext(a.appointment_number)) %% 40) * interval '1 minute',
       a.actual_start_at, a.actual_end_at, 100
FROM (SELECT x.*, z.branch_id,
             row_number() OVER (PARTITION BY z.branch_id ORDER BY x.actual_start_at) AS no
      FROM hs.appointment AS x
      JOIN hs.service_territory AS z
          ON z.business_id = x.business_id AND z.service_territory_id = x.service_territory_id
      WHERE x.business_id = %(business_id)s AND x.status = 'done') AS a
JOIN (SELECT t.branch_id, t.technician_id,
             row_number() OVER (PARTITION BY t.branch_id ORDER BY t.employee_number) - 1 AS no,
             count(*) OVER (PARTITION BY t.branch_id) AS size
      FROM hs.technician AS t
      WHERE t.business_id = %(business_id)s AND t.trade_level <> 'apprentice') AS c
    ON c.branch_id = a.branch_id AND c.no = a.no %% c.size;

INSERT INTO hs.appointment_assignment (
    business_id, appointment_assignment_id, appointment_id, technician_id, assignment_role,
    status, planned_start_at, planned_end_at, assigned_at, accepted_at, departed_at, arrived_at,
    split_pct)
SELECT a.business_id, md5(a.appointment_id || ' lead')::uuid, a.appointment_id, p.technician_id,
       'lead',
       CASE a.status WHEN 'in_progress' THEN 'on_site' WHEN 'dispatched' THEN 'en_route'
                     WHEN 'missed' THEN 'removed' WHEN 'confirmed' THEN 'accepted'
                     ELSE 'assigned' END,
       a.scheduled_start_at, a.scheduled_end_at,
       least(%(as_of)s, a.scheduled_start_at) - interval '16 hours',
       CASE WHEN a.status <> 'scheduled'
            THEN least(%(as_of)s, a.scheduled_start_at) - interval '12 hours' END,
       CASE a.status WHEN 'in_progress' THEN a.actual_start_at - interval '22 minutes'
                     WHEN 'dispatched' THEN %(as_of)s - interval '15 minutes' END,
       CASE a.status WHEN 'in_progress' THEN a.actual_start_at END,
       100
FROM packed AS p
JOIN hs.appointment AS a
    ON a.business_id = %(business_id)s AND a.appointment_id = p.appointment_id
WHERE p.technician_id IS NOT NULL AND a.status NOT IN ('tentative', 'cancelled')
  -- Some of tomorrow and later is still to be given out.
  AND NOT (a.status = 'scheduled' AND abs(hashtext(a.appointment_number)) %% 5 = 0);

-- An apprentice rides along with some.
INSERT INTO hs.appointment_assignment (
    business_id, appointment_assignment_id, appointment_id, technician_id, assignment_role,
    status, planned_start_at, planned_end_at, assigned_at, arrived_at, completed_at, split_pct)
SELECT g.business_id, md5(g.appointment_id || ' trainee')::uuid, g.appointment_id,
       t.technician_id, 'trainee', 'done', g.planned_start_at, g.planned_end_at, g.assigned_at,
       g.arrived_at, g.completed_at, 0
FROM hs.appointment_assignment AS g
JOIN hs.technician AS l ON l.business_id = g.business_id AND l.technician_id = g.technician_id
JOIN LATERAL (SELECT x.technician_id
              FROM hs.technician AS x
              WHERE x.business_id = l.business_id AND x.branch_id = l.branch_id
                AND x.trade_level = 'apprentice'
              ORDER BY x.employee_number LIMIT 1) AS t ON true
WHERE g.business_id = %(business_id)s AND g.status = 'done'
  AND abs(hashtext(g.appointment_id::text)) %% 6 = 0;

-- A week back and two ahead of every zone and unit, by window and class.
INSERT INTO hs.capacity_plan (
    business_id, capacity_plan_id, service_territory_id, business_unit_id, arrival_window_id,
    plan_on, job_class, planned_minutes, overbook_pct, emergency_reserve_minutes, is_closed,
    closed_reason, created_at)
SELECT z.business_id, md5(concat_ws(' ', z.service_territory_id, u.business_unit_id, k.job_class,
                                    k.window_code, d.plan_on))::uuid,
       z.service_territory_id, u.business_unit_id, w.arrival_window_id, d.plan_on, k.job_class,
       k.minutes + abs(hashtext(z.territory_code || u.unit_code || d.plan_on)) %% 5 * 30,
       CASE WHEN k.job_class = 'maintenance' THEN 10 ELSE 0 END,
       CASE WHEN k.job_class = 'demand' THEN 60 ELSE 0 END,
       closed.is_closed, CASE WHEN closed.is_closed THEN 'Training day' END,
       %(as_of)s - interval '20 days'
FROM hs.service_territory AS z
CROSS JOIN (SELECT %(as_of)s::date AS today) AS f
CROSS JOIN generate_series(f.today - 7, f.today + 14, interval '1 day') AS g (at)
CROSS JOIN LATERAL (SELECT g.at::date AS plan_on) AS d
CROSS JOIN (VALUES ('demand', 'AM', 360), ('demand', 'PM', 420), ('maintenance', 'AM', 240),
                   ('maintenance', 'PM', 300), ('install', 'DAY', 960), ('sales', 'DAY', 240),
                   ('emergency', 'DAY', 480)) AS k (job_class, window_code, minutes)
JOIN hs.business_unit AS u ON u.business_id = z.business_id
JOIN hs.arrival_window AS w
    ON w.business_id = z.business_id AND w.window_code = k.window_code
CROSS JOIN LATERAL (
    SELECT abs(hashtext(u.unit_code || d.plan_on)) %% 30 = 0 AND d.plan_on < f.today
               AS is_closed) AS closed
WHERE z.business_id = %(business_id)s
  AND (extract(isodow FROM d.plan_on) < 7 OR k.job_class = 'emergency');

-- Visits take the time of the plan that they were sold from, as long as it lasts.
UPDATE hs.appointment AS a
SET capacity_plan_id = sold.capacity_plan_id
FROM (SELECT p.appointment_id, c.capacity_plan_id, c.sellable_minutes,
             sum(p.estimated_minutes) OVER (
                 PARTITION BY c.capacity_plan_id ORDER BY p.appointment_id) AS taken
      FROM packed AS p
      JOIN hs.capacity_plan AS c
          ON c.business_id = %(business_id)s
         AND c.service_territory_id = p.service_territory_id
         AND c.business_unit_id = p.business_unit_id
         AND c.arrival_window_id = p.arrival_window_id
         AND c.plan_on = p.visit_on AND c.job_class = p.job_class AND NOT c.is_closed
      WHERE p.status IN ('scheduled', 'confirmed', 'dispatched', 'in_progress')) AS sold
WHERE a.business_id = %(business_id)s AND a.appointment_id = sold.appointment_id
  AND sold.taken <= sold.sellable_minutes;

-- What has been sold of a window is half of it to nearly all.
UPDATE hs.capacity_plan AS c
SET planned_minutes = ceil((c.booked_minutes / t.share + c.emergency_reserve_minutes) / 15) * 15
FROM (SELECT x.capacity_plan_id,
             0.5 + abs(hashtext(x.capacity_plan_id::text)) %% 48 / 100.0 AS share
      FROM hs.capacity_plan AS x
      WHERE x.business_id = %(business_id)s AND x.booked_minutes > 0) AS t
WHERE c.business_id = %(business_id)s AND c.capacity_plan_id = t.capacity_plan_id
  AND abs(hashtext(c.capacity_plan_id::text)) %% 4 > 0;

-- Half of them were held online first; one hold in three came to nothing.
INSERT INTO hs.booking_hold (
    business_id, booking_hold_id, capacity_plan_id, session_ref, held_minutes, status, channel,
    held_at, expires_at, converted_at, created_at)
SELECT a.business_id, md5(a.appointment_id || ' hold')::uuid, a.capacity_plan_id,
       'web-' || left(md5(a.appointment_id::text), 12), a.estimated_minutes, 'converted',
       CASE WHEN abs(hashtext(a.appointment_number)) %% 4 = 0 THEN 'agent' ELSE 'web_widget' END,
       t.at, t.at + interval '10 minutes', t.at + interval '3 minutes', t.at
FROM hs.appointment AS a
CROSS JOIN LATERAL (
    SELECT least(%(as_of)s, a.window_start_at)
           - (20 + abs(hashtext(a.appointment_number)) %% 200) * interval '1 hour' AS at) AS t
WHERE a.business_id = %(business_id)s AND a.capacity_plan_id IS NOT NULL
  AND abs(hashtext(a.appointment_number)) %% 2 = 0;
UPDATE hs.appointment AS a
SET booking_hold_id = h.booking_hold_id
FROM hs.booking_hold AS h
WHERE a.business_id = %(business_id)s AND h.business_id = a.business_id
  AND h.booking_hold_id = md5(a.appointment_id || ' hold')::uuid;

INSERT INTO hs.booking_hold (
    business_id, booking_hold_id, capacity_plan_id, session_ref, held_minutes, status, channel,
    held_at, expires_at, released_at, created_at)
SELECT c.business_id, md5(c.capacity_plan_id || ' lost')::uuid, c.capacity_plan_id,
       'web-' || left(md5(c.capacity_plan_id::text), 12), 60,
       CASE WHEN n.no / 9 %% 3 = 0 THEN 'released' ELSE 'expired' END,
       CASE WHEN n.no / 9 %% 5 = 0 THEN 'portal' ELSE 'web_widget' END,
       t.at, t.at + interval '10 minutes',
       CASE WHEN n.no / 9 %% 3 = 0 THEN t.at + interval '4 minutes' END, t.at
FROM hs.capacity_plan AS c
CROSS JOIN LATERAL (SELECT abs(hashtext(c.capacity_plan_id::text)) AS no) AS n
CROSS JOIN LATERAL (
    SELECT least(%(as_of)s, c.plan_on::timestamptz)
           - (2 + n.no %% 120) * interval '1 hour' AS at) AS t
WHERE c.business_id = %(business_id)s AND n.no %% 9 = 0;

-- A storm: within an hour ten times as many asked for one morning as it had room for.
INSERT INTO hs.booking_hold (
    business_id, booking_hold_id, capacity_plan_id, session_ref, held_minutes, status, channel,
    held_at, expires_at, created_at)
SELECT c.business_id, md5(c.capacity_plan_id || ' storm ' || n.no)::uuid, c.capacity_plan_id,
       'storm-' || left(md5(c.capacity_plan_id || ' ' || n.no), 12), 60, 'expired', 'web_widget',
       t.at, t.at + interval '10 minutes', t.at
FROM (SELECT x.* FROM hs.capacity_plan AS x
      WHERE x.business_id = %(business_id)s AND x.job_class = 'demand'
        AND x.plan_on < %(as_of)s::date
      ORDER BY x.plan_on DESC, x.capacity_plan_id LIMIT 1) AS c
CROSS JOIN generate_series(1, 60) AS n (no)
CROSS JOIN LATERAL (
    SELECT c.plan_on::timestamptz - interval '5 hours' + n.no * interval '1 minute' AS at) AS t;

-- The board's history.
INSERT INTO hs.dispatch_event (
    business_id, dispatch_event_id, appointment_id, technician_id, event_kind, previous_state,
    new_state, shift_minutes, reason_note, is_customer_notified, source, occurred_at, created_at)
SELECT a.business_id, md5(a.appointment_id || ' ' || e.kind)::uuid, a.appointment_id,
       e.technician_id, e.kind,
       CASE WHEN e.kind IN ('rescheduled', 'cancelled', 'no_access')
            THEN jsonb_build_object('status', 'scheduled',
                                    'window_start_at', a.window_start_at - e.shift,
                                    'window_end_at', a.window_end_at - e.shift) END,
       CASE WHEN e.kind <> 'cancelled'
            THEN jsonb_strip_nulls(jsonb_build_object(
                     'status', a.status, 'technician_id', e.technician_id,
                     'window_start_at', a.window_start_at, 'window_end_at', a.window_end_at)) END,
       CASE WHEN e.kind = 'rescheduled' THEN extract(epoch FROM e.shift)::integer / 60 END,
       CASE WHEN e.kind = 'running_late' THEN 'The stop before took longer' END,
       e.kind IN ('eta_sent', 'rescheduled', 'confirmed', 'running_late', 'cancelled'),
       e.source, e.at, e.at
FROM hs.appointment AS a
LEFT JOIN hs.appointment_assignment AS g
    ON g.business_id = a.business_id AND g.appointment_id = a.appointment_id
   AND g.assignment_role = 'lead'
CROSS JOIN LATERAL (VALUES
    ('assigned', g.technician_id, g.assigned_at, interval '0',
     CASE WHEN abs(hashtext(a.appointment_number)) %% 3 = 0 THEN 'optimizer'
          ELSE 'dispatcher' END),
    ('rescheduled', NULL, CASE WHEN a.rescheduled_count > 0
                               THEN least(%(as_of)s, a.window_start_at) - interval '26 hours' END,
     interval '1 day', 'customer'),
    ('confirmed', NULL, CASE WHEN a.confirmation_status = 'confirmed'
                             THEN least(%(as_of)s, a.window_start_at) - interval '18 hours' END,
     interval '0', 'customer'),
    ('eta_sent', g.technician_id, coalesce(g.departed_at, g.arrived_at - interval '20 minutes'),
     interval '0', 'system'),
    ('running_late', g.technician_id,
     CASE WHEN a.actual_start_at > a.scheduled_start_at + interval '25 minutes'
          THEN a.scheduled_start_at END, interval '0', 'technician'),
    ('no_access', g.technician_id,
     CASE WHEN a.status = 'missed' THEN a.window_end_at END, interval '0', 'technician'),
    ('cancelled', NULL, CASE WHEN a.status = 'cancelled'
                             THEN least(%(as_of)s, a.window_start_at) - interval '6 hours' END,
     interval '0', 'customer')
) AS e (kind, technician_id, at, shift, source)
WHERE a.business_id = %(business_id)s AND e.at IS NOT NULL;
