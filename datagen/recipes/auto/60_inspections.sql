-- The points of a form; longer forms have more of them. Points of every wheel are asked four times.
INSERT INTO auto.inspection_template_item
    (business_id, inspection_template_item_id, inspection_template_id, canned_job_id, item_seq,
     section_name, name, response_kind, unit_code, wheel_positions, red_below_value,
     yellow_below_value, is_mandatory, is_safety_item, canned_findings, created_at, updated_at)
SELECT t.business_id, md5(t.inspection_template_id || p.name)::uuid, t.inspection_template_id,
       j.canned_job_id, p.seq, p.section, p.name,
       CASE WHEN p.unit IS NULL THEN 'condition' ELSE 'measurement' END, p.unit,
       CASE WHEN p.wheels THEN '{lf,rf,lr,rr}'::text[] ELSE '{}' END, p.red, p.yellow,
       p.seq <= 20, p.section IN ('Tires', 'Brakes', 'Steering and suspension'),
       '{}', %(as_of)s::timestamptz - interval '420 days',
       %(as_of)s::timestamptz - interval '420 days'
FROM auto.inspection_template AS t
CROSS JOIN (VALUES
    (1, 'Tires', 'Tread depth', 'thirty_seconds_in', true, 3, 5, 'tires'),
    (2, 'Tires', 'Tire pressure', 'psi', true, 24, 29, 'tires'),
    (3, 'Brakes', 'Brake pad thickness', 'mm', true, 3, 5, 'brakes'),
    (4, 'Brakes', 'Rotor condition', NULL, false, NULL, NULL, 'brakes'),
    (5, 'Brakes', 'Brake hoses and lines', NULL, false, NULL, NULL, 'brakes'),
    (6, 'Brakes', 'Brake fluid', NULL, false, NULL, NULL, 'brakes'),
    (7, 'Electrical', 'Battery voltage at rest', 'volt', false, 12.0, 12.4, 'electrical'),
    (8, 'Electrical', 'Battery terminals', NULL, false, NULL, NULL, 'electrical'),
    (9, 'Lights', 'Headlamps', NULL, false, NULL, NULL, NULL),
    (10, 'Lights', 'Brake lamps', NULL, false, NULL, NULL, NULL),
    (11, 'Lights', 'Turn signals', NULL, false, NULL, NULL, NULL),
    (12, 'Visibility', 'Wiper blades', NULL, false, NULL, NULL, NULL),
    (13, 'Visibility', 'Windshield', NULL, false, NULL, NULL, NULL),
    (14, 'Under the hood', 'Engine air filter', NULL, false, NULL, NULL, 'maintenance'),
    (15, 'Under the hood', 'Cabin air filter', NULL, false, NULL, NULL, 'maintenance'),
    (16, 'Under the hood', 'Drive belts', NULL, false, NULL, NULL, 'engine'),
    (17, 'Under the hood', 'Coolant hoses', NULL, false, NULL, NULL, 'engine'),
    (18, 'Under the hood', 'Oil level and condition', NULL, false, NULL, NULL, 'maintenance'),
    (19, 'Steering and suspension', 'Ball joints', NULL, false, NULL, NULL, 'alignment'),
    (20, 'Steering and suspension', 'Tie rod ends', NULL, false, NULL, NULL, 'alignment'),
    (21, 'Steering and suspension', 'Shocks and struts', NULL, false, NULL, NULL, NULL),
    (22, 'Steering and suspension', 'Wheel bearings', NULL, false, NULL, NULL, NULL),
    (23, 'Underbody', 'Exhaust system', NULL, false, NULL, NULL, NULL),
    (24, 'Underbody', 'Engine oil leaks', NULL, false, NULL, NULL, 'engine'),
    (25, 'Underbody', 'Transmission leaks', NULL, false, NULL, NULL, NULL),
    (26, 'Underbody', 'Axle boots', NULL, false, NULL, NULL, NULL),
    (27, 'Interior', 'Horn', NULL, false, NULL, NULL, NULL),
    (28, 'Interior', 'Seat belts', NULL, false, NULL, NULL, NULL),
    (29, 'Interior', 'Parking brake', NULL, false, NULL, NULL, NULL),
    (30, 'Interior', 'Air conditioning', NULL, false, NULL, NULL, 'hvac'),
    (31, 'Body', 'Doors and latches', NULL, false, NULL, NULL, NULL),
    (32, 'Body', 'Rust and corrosion', NULL, false, NULL, NULL, NULL),
    (33, 'Road test', 'Engine performance', NULL, false, NULL, NULL, NULL),
    (34, 'Road test', 'Vibration and noise', NULL, false, NULL, NULL, NULL))
    AS p (seq, section, name, unit, wheels, red, yellow, job_group)
LEFT JOIN (
    SELECT DISTINCT ON (x.job_group) x.job_group, x.canned_job_id
    FROM auto.canned_job AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.job_group, x.job_code
) AS j ON j.job_group = p.job_group
WHERE t.business_id = %(business_id)s AND (p.seq <= 28 OR t.applies_to <> 'courtesy')
ORDER BY t.template_code, t.version_no, p.seq;

-- An inspection is of its order's vehicle, by a technician, soon after arrival.
UPDATE auto.inspection AS i
SET repair_order_id = o.repair_order_id, vehicle_id = o.vehicle_id, started_at = n.starts_at,
    inspection_template_id = t.inspection_template_id,
    completed_at = n.starts_at + (i.completed_at - i.started_at),
    sent_to_customer_at = n.starts_at + (i.sent_to_customer_at - i.started_at),
    first_viewed_at = n.starts_at + (i.first_viewed_at - i.started_at)
FROM (
    SELECT x.inspection_id, row_number() OVER (ORDER BY x.inspection_number) AS place
    FROM auto.inspection AS x
    WHERE x.business_id = %(business_id)s
) AS p
JOIN (
    SELECT r.repair_order_id, r.vehicle_id, r.opened_at,
           row_number() OVER (ORDER BY r.status IN ('scheduled', 'cancelled'), r.opened_at DESC,
                                       r.repair_order_id) AS place,
           count(*) OVER () AS orders
    FROM auto.repair_order AS r
    WHERE r.business_id = %(business_id)s
) AS o ON o.place = (p.place - 1) %% o.orders + 1
CROSS JOIN LATERAL (
    SELECT least(o.opened_at + interval '20 minutes',
                 %(as_of)s::timestamptz - interval '70 minutes') AS starts_at
) AS n
JOIN (
    SELECT x.inspection_template_id, row_number() OVER (ORDER BY x.template_code) - 1 AS place,
           count(*) OVER () AS templates
    FROM auto.inspection_template AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'published'
) AS t ON t.place = p.place %% t.templates
WHERE i.business_id = %(business_id)s AND i.inspection_id = p.inspection_id;

-- The answers: 6 %% red, 15 %% yellow; tread is worn by the distance driven on the set.
INSERT INTO auto.inspection_result
    (business_id, inspection_result_id, inspection_id, inspection_template_item_id,
     wheel_position, condition, measured_value, finding_text, answered_at, created_at, updated_at)
SELECT i.business_id, md5(i.inspection_id || p.name || w.position)::uuid, i.inspection_id,
       p.inspection_template_item_id, w.position, c.condition,
       CASE p.unit_code
           WHEN 'thirty_seconds_in' THEN greatest(1, round(
               10.5 - (coalesce(o.odometer_in_reading, 0) %% 48000) / 6000.0
               - get_byte(b.byte, 4) / 255.0, 1))
           WHEN 'volt' THEN CASE c.condition WHEN 'red' THEN 11.8 WHEN 'yellow' THEN 12.2
                            ELSE 12.6 END
           WHEN 'psi' THEN CASE c.condition WHEN 'red' THEN 21 WHEN 'yellow' THEN 27
                           ELSE 33 + get_byte(b.byte, 4) %% 4 END
           WHEN 'mm' THEN CASE c.condition WHEN 'red' THEN 2 WHEN 'yellow' THEN 4
                          ELSE 6 + get_byte(b.byte, 4) %% 6 END END,
       CASE WHEN c.condition IN ('red', 'yellow') AND p.unit_code IS NULL
            THEN p.name || CASE c.condition WHEN 'red' THEN ': replace now'
                           ELSE ': worn, watch or replace soon' END END,
       i.started_at + p.item_seq * interval '40 seconds', i.started_at, i.started_at
FROM auto.inspection AS i
JOIN auto.repair_order AS o
    ON o.business_id = i.business_id AND o.repair_order_id = i.repair_order_id
JOIN auto.inspection_template_item AS p
    ON p.business_id = i.business_id AND p.inspection_template_id = i.inspection_template_id
CROSS JOIN LATERAL unnest(CASE WHEN cardinality(p.wheel_positions) = 0 THEN '{none}'
                               ELSE p.wheel_positions END) AS w (position)
CROSS JOIN LATERAL (
    SELECT uuid_send(md5(i.inspection_id || p.name || w.position || ' answer')::uuid) AS byte
) AS b
CROSS JOIN LATERAL (
    SELECT CASE WHEN get_byte(b.byte, 1) < 15 THEN 'red' WHEN get_byte(b.byte, 1) < 54 THEN 'yellow'
                WHEN get_byte(b.byte, 1) > 250 AND p.unit_code IS NULL THEN 'not_applicable'
                ELSE 'green' END AS condition
) AS c
WHERE i.business_id = %(business_id)s AND i.status NOT IN ('pending', 'void')
  AND (i.status <> 'in_progress' OR p.item_seq <= 12)
ORDER BY i.inspection_number, p.item_seq, w.position;

-- Who is not here yet was not checked in.
DELETE FROM auto.vehicle_checkin AS c
USING auto.repair_order AS o
WHERE c.business_id = %(business_id)s
  AND o.business_id = c.business_id AND o.repair_order_id = c.repair_order_id
  AND o.status IN ('scheduled', 'cancelled');

UPDATE auto.vehicle_checkin AS c
SET vehicle_id = o.vehicle_id, checked_in_at = o.opened_at, odometer = o.odometer_in_reading
FROM auto.repair_order AS o
WHERE c.business_id = %(business_id)s
  AND o.business_id = c.business_id AND o.repair_order_id = c.repair_order_id
  AND (c.vehicle_id, c.checked_in_at, c.odometer)
      IS DISTINCT FROM (o.vehicle_id, o.opened_at, o.odometer_in_reading);

-- A picture of every red point and of a third of the yellow ones.
INSERT INTO auto.inspection_media
    (business_id, inspection_media_id, inspection_id, inspection_result_id, file_object_id,
     media_kind, captured_at, caption, annotations, display_seq, is_customer_visible,
     duration_seconds, plate_blurred, upload_status, device_ref, created_at, updated_at)
SELECT r.business_id, md5(r.inspection_result_id || ' media')::uuid, r.inspection_id,
       r.inspection_result_id, f.file_object_id, k.kind, r.answered_at, r.finding_text, '{}',
       row_number() OVER (PARTITION BY r.inspection_id ORDER BY r.inspection_result_id), true,
       CASE WHEN k.kind = 'video' THEN 8 + get_byte(b.byte, 2) %% 30 END, true,
       CASE WHEN f.file_object_id IS NULL THEN 'pending' ELSE 'uploaded' END, 'tablet-2',
       r.answered_at, r.answered_at
FROM auto.inspection_result AS r
CROSS JOIN LATERAL (
    SELECT uuid_send(md5(r.inspection_result_id || ' picture')::uuid) AS byte
) AS b
CROSS JOIN LATERAL (
    SELECT CASE WHEN get_byte(b.byte, 0) < 30 THEN 'video' ELSE 'photo' END AS kind
) AS k
LEFT JOIN (
    SELECT x.file_object_id FROM system_core.file_object AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.file_object_id LIMIT 1
) AS f ON true
WHERE r.business_id = %(business_id)s
  AND (r.condition = 'red' OR (r.condition = 'yellow' AND get_byte(b.byte, 1) < 85));
