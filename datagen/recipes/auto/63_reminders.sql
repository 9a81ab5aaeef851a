-- Each vehicle that somebody holds is due for maintenance, was before, and for more by its kind.
-- What is long due was done or lapsed; what is near was sent, and booked where it has a visit.
INSERT INTO auto.service_reminder (
    business_id, service_reminder_id, vehicle_id, customer_id, fleet_account_id, reminder_kind,
    due_on, due_odometer, predicted_due_on, daily_distance_avg, send_count, last_sent_at,
    last_channel, status, booked_appointment_id, attributed_revenue_amount)
SELECT %(business_id)s, md5(d.vehicle_id || ' due ' || d.kind || d.cycle)::uuid, d.vehicle_id,
       d.customer_id, CASE WHEN d.kind = 'fleet_pm' THEN d.fleet_account_id END, d.kind, d.due_on,
       CASE WHEN d.kind IN ('maintenance', 'fleet_pm') AND d.current_odometer > 0
            THEN d.current_odometer + greatest((d.due_on - day.today) * 33, -6000)
                 + 6001 END,
       d.due_on, 20 + d.no * 7 %% 35, sent.count,
       CASE WHEN sent.count > 0
            THEN least(d.due_on - 14 + sent.count * 3, day.today - 1)
                 + TIME '15:00' AT TIME ZONE 'UTC' END,
       CASE WHEN sent.count > 0
            THEN CASE d.no %% 5 WHEN 0 THEN 'email' WHEN 1 THEN 'postal' ELSE 'sms' END END,
       d.status, CASE WHEN d.status = 'booked' THEN d.appointment_id END,
       CASE WHEN d.status = 'done' AND d.no %% 3 > 0 THEN 90 + d.no * 37 %% 420 ELSE 0 END
FROM (
    SELECT k.*, visit.appointment_id,
           CASE WHEN k.cycle = 'last' THEN CASE WHEN k.no %% 10 < 6 THEN 'done' ELSE 'lapsed' END
                WHEN k.no %% 23 = 0 THEN 'suppressed'
                WHEN visit.appointment_id IS NOT NULL AND k.kind IN ('maintenance', 'fleet_pm')
                    THEN 'booked'
                WHEN k.due_on < %(as_of)s::date + 12 THEN 'sent'
                ELSE 'pending' END AS status
    FROM (
        SELECT w.vehicle_id, w.customer_id, w.fleet_account_id, w.no, w.current_odometer,
               r.kind, r.cycle,
               %(as_of)s::date + CASE WHEN r.cycle = 'last' THEN -80 - (w.no * 37 %% 200)::integer
                                      ELSE (w.no * 53 + r.seq * 31)::integer %% 130 - 25 END
                   AS due_on
        FROM (SELECT h.vehicle_id, h.customer_id, h.fleet_account_id, v.current_odometer,
                     row_number() OVER (ORDER BY v.vin, h.vehicle_id) AS no
              FROM (SELECT DISTINCT ON (x.vehicle_id) x.*
                    FROM auto.vehicle_ownership AS x
                    WHERE x.business_id = %(business_id)s AND x.ends_on IS NULL
                      AND x.relation IN ('owner', 'lessee', 'fleet_unit')
                    ORDER BY x.vehicle_id, x.starts_on DESC, x.vehicle_ownership_id) AS h
              JOIN auto.vehicle AS v
                  ON v.business_id = h.business_id AND v.vehicle_id = h.vehicle_id) AS w
        CROSS JOIN (VALUES
            ('maintenance', 'next', 1, 1), ('maintenance', 'last', 2, 1),
            ('state_inspection', 'next', 3, 3), ('tire_changeover', 'next', 4, 2),
            ('warranty_expiry', 'next', 5, 6), ('declined_work', 'next', 6, 5),
            ('declined_work', 'last', 7, 9), ('recall', 'next', 8, 14),
            ('fleet_pm', 'next', 9, 1)) AS r (kind, cycle, seq, one_in)
        WHERE w.no %% r.one_in = 0
          AND CASE WHEN r.kind = 'fleet_pm' THEN w.fleet_account_id IS NOT NULL
                   WHEN r.kind = 'maintenance' AND r.cycle = 'next'
                       THEN w.fleet_account_id IS NULL
                   ELSE true END) AS k
    LEFT JOIN (
        SELECT DISTINCT ON (a.vehicle_id) a.vehicle_id, a.appointment_id
        FROM auto.appointment AS a
        WHERE a.business_id = %(business_id)s AND a.status IN ('requested', 'confirmed')
          AND a.starts_at > %(as_of)s
        ORDER BY a.vehicle_id, a.starts_at, a.appointment_number) AS visit
        ON visit.vehicle_id = k.vehicle_id) AS d
CROSS JOIN LATERAL (SELECT %(as_of)s::date AS today) AS day
CROSS JOIN LATERAL (
    SELECT CASE WHEN d.status IN ('pending', 'suppressed') THEN 0
                ELSE 1 + (d.no %% 3)::integer END AS count) AS sent
ON CONFLICT DO NOTHING;
