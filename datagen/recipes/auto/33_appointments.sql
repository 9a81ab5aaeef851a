-- Who comes with which vehicle: holders of vehicles in turn, with the primary contact; a fleet's
-- unit on its account.
CREATE TEMPORARY TABLE holder ON COMMIT DROP AS
SELECT w.vehicle_id, w.customer_id, w.fleet_account_id, k.customer_contact_id,
       row_number() OVER (ORDER BY v.vin, w.vehicle_ownership_id) - 1 AS no,
       count(*) OVER () AS size
FROM auto.vehicle_ownership AS w
JOIN auto.vehicle AS v ON v.business_id = w.business_id AND v.vehicle_id = w.vehicle_id
LEFT JOIN auto.customer_contact AS k
    ON k.business_id = w.business_id AND k.customer_id = w.customer_id AND k.is_primary
WHERE w.business_id = %(business_id)s
  AND w.relation IN ('owner', 'lessee', 'fleet_unit') AND w.ends_on IS NULL;

UPDATE auto.appointment AS a
SET customer_id = h.customer_id, vehicle_id = h.vehicle_id,
    customer_contact_id = h.customer_contact_id, fleet_account_id = h.fleet_account_id
FROM (SELECT x.appointment_id, right(x.appointment_number, 6)::integer AS no
      FROM auto.appointment AS x WHERE x.business_id = %(business_id)s) AS n
JOIN holder AS h ON h.no = (n.no * 7919::bigint) %% h.size
WHERE a.business_id = %(business_id)s AND a.appointment_id = n.appointment_id;

-- Who received no vehicle that way comes with its own contact.
UPDATE auto.appointment AS a
SET customer_contact_id = k.customer_contact_id
FROM auto.customer_contact AS k
WHERE a.business_id = %(business_id)s AND a.customer_contact_id IS NULL
  AND k.business_id = a.business_id AND k.customer_id = a.customer_id AND k.is_primary;

-- Arrivals are densest between 7:30 and 9:30 of the shop, on Saturdays all in the morning; Sunday
-- is closed. What is due today lies ahead. Vehicles are promised for the late afternoon.
UPDATE auto.appointment AS a
SET planned_hours = auto.requested_hours(a.requested_services),
    starts_at = n.starts_at,
    ends_at = n.starts_at + interval '30 minutes',
    confirmed_at = CASE WHEN a.confirmed_at IS NOT NULL AND n.starts_at <= %(as_of)s
                        THEN n.starts_at - (18 + n.no %% 60) * interval '1 hour'
                        ELSE a.confirmed_at END,
    arrived_at = CASE WHEN a.arrived_at IS NOT NULL
                      THEN n.starts_at + (n.no * 13 %% 35 - 12) * interval '1 minute' END,
    ready_promise_at = CASE
        WHEN a.status IN ('confirmed', 'arrived', 'in_service', 'completed')
        THEN n.starts_at + interval '7 hours'
             + floor(auto.requested_hours(a.requested_services) / 4) * interval '1 day' END
FROM (SELECT x.appointment_id, x.no,
             CASE WHEN x.is_today
                  THEN greatest(%(as_of)s + interval '15 minutes',
                                (x.on_day + TIME '07:30') AT TIME ZONE x.timezone)
                       + x.no * 7 %% 180 * interval '1 minute'
                  ELSE (x.on_day + TIME '07:30'
                        + CASE WHEN x.no %% 10 < 6 THEN x.no * 17 %% 120
                               WHEN extract(isodow FROM x.on_day) = 6 THEN x.no * 17 %% 240
                               ELSE 120 + x.no * 17 %% 420 END * interval '1 minute')
                       AT TIME ZONE x.timezone END AS starts_at
      FROM (SELECT y.appointment_id, y.starts_at, s.timezone,
                   right(y.appointment_number, 6)::integer AS no,
                   y.starts_at BETWEEN %(as_of)s AND %(as_of)s + interval '12 hours' AS is_today,
                   d.on_day + CASE WHEN extract(isodow FROM d.on_day) < 7 THEN 0
                                   WHEN y.starts_at > %(as_of)s THEN 1 ELSE -2 END
                       + CASE WHEN y.starts_at BETWEEN %(as_of)s
                                               AND %(as_of)s + interval '12 hours'
                                   AND (%(as_of)s AT TIME ZONE s.timezone)::time > '14:30'
                              THEN CASE extract(isodow FROM d.on_day)
                                       WHEN 6 THEN 2 ELSE 1 END
                              ELSE 0 END AS on_day
            FROM auto.appointment AS y
            JOIN auto.shop AS s ON s.business_id = y.business_id AND s.shop_id = y.shop_id
            CROSS JOIN LATERAL (
                SELECT (CASE WHEN y.starts_at BETWEEN %(as_of)s
                                              AND %(as_of)s + interval '12 hours'
                             THEN %(as_of)s ELSE y.starts_at END
                        AT TIME ZONE s.timezone)::date AS on_day) AS d
            WHERE y.business_id = %(business_id)s) AS x) AS n
WHERE a.business_id = %(business_id)s AND a.appointment_id = n.appointment_id;

-- The advisors and the bays of the shop in turn.
UPDATE auto.appointment AS a
SET advisor_technician_id = t.technician_id
FROM (SELECT x.shop_id, x.technician_id,
             row_number() OVER (PARTITION BY x.shop_id ORDER BY x.employee_number) - 1 AS no,
             count(*) OVER (PARTITION BY x.shop_id) AS size
      FROM auto.technician AS x
      WHERE x.business_id = %(business_id)s AND x.role = 'service_advisor') AS t
WHERE a.business_id = %(business_id)s AND a.shop_id = t.shop_id
  AND right(a.appointment_number, 6)::integer %% t.size = t.no;

UPDATE auto.appointment AS a
SET planned_bay_id = b.bay_id
FROM (SELECT x.shop_id, x.bay_id,
             row_number() OVER (PARTITION BY x.shop_id ORDER BY x.display_seq, x.bay_id) - 1 AS no,
             count(*) OVER (PARTITION BY x.shop_id) AS size
      FROM auto.bay AS x
      WHERE x.business_id = %(business_id)s AND x.bay_kind NOT IN ('paint_booth', 'adas')
        AND x.status IN ('open', 'occupied')) AS b
WHERE a.business_id = %(business_id)s AND a.shop_id = b.shop_id
  AND a.status NOT IN ('requested', 'cancelled')
  AND right(a.appointment_number, 6)::integer %% b.size = b.no;

-- The loaners go round among who asked for one and came more than a week ago. Of those whose
-- vehicle is in the shop now each has another one, but for the last, which is kept for who comes.
CREATE TEMPORARY TABLE loan ON COMMIT DROP AS
WITH car AS (
    SELECT v.vehicle_id, row_number() OVER (ORDER BY v.usage_kind = 'loaner' DESC, v.vin,
                                                     v.vehicle_id) - 1 AS no,
           greatest(least(count(*) FILTER (WHERE v.usage_kind = 'loaner') OVER (), 6), 2) AS size
    FROM auto.vehicle AS v WHERE v.business_id = %(business_id)s
), wish AS (
    SELECT a.appointment_id, a.customer_id, a.status, a.starts_at, a.arrived_at,
           row_number() OVER (ORDER BY a.starts_at, a.appointment_number) AS no,
           row_number() OVER (PARTITION BY a.status
                              ORDER BY a.starts_at DESC, a.appointment_number) - 1 AS of_status
    FROM auto.appointment AS a
    WHERE a.business_id = %(business_id)s AND a.needs_loaner
      AND (a.status IN ('confirmed', 'in_service')
           OR a.status = 'completed' AND a.starts_at < %(as_of)s - interval '8 days')
)
SELECT w.*, c.vehicle_id,
       w.starts_at - lag(w.starts_at) OVER (PARTITION BY c.vehicle_id ORDER BY w.no) AS gap
FROM wish AS w
JOIN car AS c
    ON CASE w.status WHEN 'completed' THEN c.no = w.no %% c.size
                     WHEN 'in_service' THEN c.no = w.of_status AND c.no < c.size - 1
                     ELSE c.no = c.size - 1 END;

UPDATE auto.loaner_agreement AS l
SET loaner_vehicle_id = coalesce(
    (SELECT o.vehicle_id FROM loan AS o ORDER BY o.no LIMIT 1), l.loaner_vehicle_id)
WHERE l.business_id = %(business_id)s;

INSERT INTO auto.loaner_agreement (
    business_id, loaner_agreement_id, loaner_vehicle_id, customer_id, appointment_id,
    agreement_number, out_at, due_at, returned_at, odometer_out, odometer_in_reading,
    fuel_out_pct, fuel_returned_pct, insurance_policy_ref, license_verified, damage_notes,
    daily_charge_amount, payer, toll_fine_amount, status)
SELECT %(business_id)s, md5(o.appointment_id || ' loaner')::uuid, o.vehicle_id, o.customer_id,
       o.appointment_id, 'LA' || lpad((o.no + 1)::text, 6, '0'), t.out_at, t.due_at,
       CASE WHEN s.status = 'returned' THEN t.out_at + (6 + o.no * 7 %% 50) * interval '1 hour' END,
       CASE WHEN s.status <> 'reserved' THEN 2000 + o.no * 70 END,
       CASE WHEN s.status = 'returned' THEN 2000 + o.no * 70 + 12 + o.no * 11 %% 58 END,
       100, CASE WHEN s.status = 'returned' THEN 100 - o.no * 5 %% 40 END,
       'POL-' || (10000 + o.no), s.status <> 'reserved',
       CASE WHEN s.status = 'returned' AND o.no %% 17 = 0 THEN 'Scratch on the rear bumper' END,
       CASE WHEN o.no %% 6 = 0 THEN 39 ELSE 0 END,
       CASE WHEN o.no %% 6 = 0 THEN 'customer' WHEN o.no %% 9 = 0 THEN 'warranty'
            WHEN o.no %% 13 = 0 THEN 'insurer' ELSE 'shop' END,
       CASE WHEN s.status = 'returned' AND o.no %% 19 = 0 THEN 6.4 ELSE 0 END, s.status
FROM loan AS o
CROSS JOIN LATERAL (
    SELECT coalesce(o.arrived_at, o.starts_at) + interval '20 minutes' AS out_at,
           coalesce(o.arrived_at, o.starts_at) + (20 + o.no * 7 %% 40) * interval '1 hour'
               AS due_at) AS t
CROSS JOIN LATERAL (
    SELECT CASE WHEN o.status = 'confirmed' THEN 'reserved'
                WHEN o.status = 'completed' THEN 'returned'
                WHEN t.due_at < %(as_of)s THEN 'overdue' ELSE 'out' END AS status) AS s
WHERE coalesce(o.gap > interval '84 hours', true);
