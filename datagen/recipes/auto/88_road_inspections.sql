SET LOCAL enable_nestloop = off;

-- Masters and foremen learned to inspect brakes of commercial vehicles.
INSERT INTO auto.technician_certification
    (business_id, technician_certification_id, technician_id, program, test_code,
     certificate_number, issuing_body, tested_on, issued_on, expires_on, issuing_region, score_pct,
     status, verified_at, created_at, updated_at)
SELECT t.business_id, md5(t.technician_id || 'dot')::uuid, t.technician_id,
       'dot_brake_inspector', 'DOT396', 'DOT-' || t.employee_number, 'Carrier',
       d.issued_on - 14, d.issued_on, d.issued_on + 1825, 'IL', 92, 'valid',
       d.issued_on + interval '2 days', d.issued_on, d.issued_on
FROM auto.technician AS t
CROSS JOIN LATERAL (
    SELECT greatest(t.hired_on + 20, (%(as_of)s::timestamptz)::date - 900) AS issued_on
) AS d
WHERE t.business_id = %(business_id)s AND t.role IN ('master', 'foreman')
  AND NOT EXISTS (
      SELECT FROM auto.technician_certification AS c
      WHERE c.business_id = t.business_id AND c.technician_id = t.technician_id
        AND c.program = 'dot_brake_inspector');

-- Vehicles of fleets, trucks first, were inspected within the year; one in nine failed, one in six
-- passed after repair.
INSERT INTO auto.dot_inspection
    (business_id, dot_inspection_id, inspector_technician_id, vehicle_id, fleet_account_id,
     repair_order_id, inspection_number, inspection_kind, inspected_on, odometer,
     carrier_usdot_number, inspector_qualification, item_results, defect_count,
     out_of_service_count, result, decal_number, valid_until_on, retain_until_on,
     carrier_certified_on, created_at, updated_at)
SELECT v.business_id, md5(v.vehicle_id || 'dot')::uuid, t.technician_id, v.vehicle_id,
       f.fleet_account_id, o.repair_order_id, 'DOT-' || lpad(v.place::text, 5, '0'), k.kind,
       d.inspected_on, o.odometer_in_reading, f.usdot_number, 'training',
       jsonb_build_object(
           'brakes', CASE WHEN k.result = 'pass' THEN 'ok'
                          WHEN k.result = 'fail' THEN 'out_of_service' ELSE 'repaired' END,
           'steering', 'ok', 'lighting', CASE WHEN k.defects > 1 THEN 'defect' ELSE 'ok' END,
           'tires', 'ok', 'coupling', 'not_applicable'),
       k.defects, CASE k.result WHEN 'fail' THEN 1 ELSE 0 END, k.result,
       CASE WHEN k.kind = 'annual_396_17' AND k.result <> 'fail'
            THEN 'D' || lpad((40000 + v.place)::text, 6, '0') END,
       CASE WHEN k.result <> 'fail' AND k.kind = 'annual_396_17'
            THEN (date_trunc('month', d.inspected_on::timestamp)
                  + interval '13 months - 1 day')::date END,
       (d.inspected_on + interval '14 months')::date,
       CASE WHEN k.result = 'pass_after_repair' THEN d.inspected_on END,
       d.inspected_on, d.inspected_on
FROM (
    SELECT x.business_id, x.vehicle_id, b.roll,
           u.fleet_account_id,
           row_number() OVER (ORDER BY x.vehicle_kind IN ('medium_truck', 'heavy_truck') DESC,
                                       u.fleet_account_id IS NOT NULL DESC,
                                       x.usage_kind = 'fleet' DESC, x.vehicle_id) AS place,
           u.fleet_account_id IS NOT NULL OR x.usage_kind = 'fleet'
               OR x.vehicle_kind IN ('medium_truck', 'heavy_truck') AS is_commercial
    FROM auto.vehicle AS x
    LEFT JOIN (
        SELECT DISTINCT ON (y.vehicle_id) y.vehicle_id, y.fleet_account_id
        FROM auto.vehicle_ownership AS y
        WHERE y.business_id = %(business_id)s AND y.fleet_account_id IS NOT NULL
        ORDER BY y.vehicle_id, y.fleet_account_id
    ) AS u ON u.vehicle_id = x.vehicle_id
    CROSS JOIN LATERAL (
        SELECT ('x' || left(md5(x.vehicle_id || 'dot'), 6))::bit(24)::integer AS roll
    ) AS b
    WHERE x.business_id = %(business_id)s
) AS v
CROSS JOIN LATERAL (
    SELECT CASE WHEN v.roll %% 9 = 2 THEN 'fail' WHEN v.roll %% 6 = 3 THEN 'pass_after_repair'
                ELSE 'pass' END AS result,
           CASE WHEN v.roll %% 5 = 4 THEN 'bit_90_day' ELSE 'annual_396_17' END AS kind,
           CASE WHEN v.roll %% 9 = 2 OR v.roll %% 6 = 3 THEN 1 + v.roll %% 3
                WHEN v.roll %% 4 = 1 THEN 1 ELSE 0 END AS defects
) AS k
LEFT JOIN (
    SELECT DISTINCT ON (x.vehicle_id) x.vehicle_id, x.repair_order_id, x.fleet_account_id,
           x.odometer_in_reading, x.opened_at
    FROM auto.repair_order AS x
    WHERE x.business_id = %(business_id)s AND x.status NOT IN ('scheduled', 'cancelled')
    ORDER BY x.vehicle_id, x.opened_at DESC, x.repair_order_id
) AS o ON o.vehicle_id = v.vehicle_id
LEFT JOIN auto.fleet_account AS f
    ON f.business_id = %(business_id)s
   AND f.fleet_account_id = coalesce(o.fleet_account_id, v.fleet_account_id)
CROSS JOIN LATERAL (
    SELECT coalesce(o.opened_at::date, (%(as_of)s::timestamptz)::date - 5 - v.roll %% 340)
               AS inspected_on
) AS d
JOIN (
    SELECT c.technician_id, row_number() OVER (ORDER BY c.technician_id) - 1 AS place,
           count(*) OVER () AS inspectors
    FROM auto.technician_certification AS c
    WHERE c.business_id = %(business_id)s AND c.program = 'dot_brake_inspector'
      AND c.status = 'valid' AND c.issued_on <= (%(as_of)s::timestamptz)::date - 400
) AS t ON t.place = v.roll %% t.inspectors
WHERE v.place <= 2 OR v.is_commercial AND v.roll %% 10 < 8;

-- Tests of the state: jobs sold for it, and of one other visit in twenty. Of emissions tests a
-- tenth fails for the lamp, a twentieth is rejected for unset monitors.
INSERT INTO auto.state_inspection
    (business_id, state_inspection_id, inspector_technician_id, analyzer_equipment_id, vehicle_id,
     repair_order_id, program, region_code, tested_at, odometer, mil_commanded_on, bulb_check_ok,
     unset_monitor_count, readiness_ok, permanent_dtc_count, result, certificate_number,
     sticker_number, fee_amount, state_fee_amount, valid_until_on, transmission_document,
     created_at, updated_at)
SELECT o.business_id, md5(o.repair_order_id || 'state')::uuid, t.technician_id,
       CASE o.program WHEN 'obd_emissions' THEN e.shop_equipment_id END, o.vehicle_id,
       o.repair_order_id, o.program, s.region_code, o.tested_at, o.odometer_in_reading,
       r.result = 'fail' AND o.program = 'obd_emissions', true, u.unset,
       u.unset <= auto.unset_monitors_allowed(o.model_year),
       CASE WHEN r.result = 'fail' AND o.program = 'obd_emissions' THEN 1 ELSE 0 END, r.result,
       CASE r.result WHEN 'pass' THEN 'IL' || lpad((7000000 + o.place)::text, 9, '0') END,
       CASE WHEN r.result = 'pass' AND o.program = 'safety'
            THEN 'S' || lpad((310000 + o.place)::text, 8, '0') END,
       CASE o.program WHEN 'safety' THEN 32 ELSE 25 END, 8,
       CASE r.result WHEN 'pass' THEN (o.tested_at::date + interval '1 year')::date END,
       jsonb_build_object('station', s.state_registration_number, 'accepted', true),
       o.tested_at, o.tested_at
FROM (
    SELECT x.business_id, x.repair_order_id, x.shop_id, x.vehicle_id, x.odometer_in_reading,
           c.model_year, b.roll, j.repair_order_id IS NOT NULL AS is_sold,
           least(x.opened_at + interval '90 minutes',
                 %(as_of)s::timestamptz - interval '2 hours') AS tested_at,
           CASE WHEN b.roll %% 3 = 0 OR coalesce(c.fuel_kind IN ('battery_electric', 'fuel_cell'),
                                                 false)
                THEN 'safety' ELSE 'obd_emissions' END AS program,
           row_number() OVER (ORDER BY j.repair_order_id IS NOT NULL DESC, x.opened_at,
                                       x.repair_order_id) AS place
    FROM auto.repair_order AS x
    JOIN auto.vehicle AS v ON v.business_id = x.business_id AND v.vehicle_id = x.vehicle_id
    LEFT JOIN auto.vehicle_configuration AS c
        ON c.business_id = v.business_id
       AND c.vehicle_configuration_id = v.vehicle_configuration_id
    LEFT JOIN (
        SELECT DISTINCT y.repair_order_id
        FROM auto.repair_job AS y
        WHERE y.business_id = %(business_id)s AND y.name ~* 'state inspection|emission'
          AND y.status = 'done'
    ) AS j ON j.repair_order_id = x.repair_order_id
    CROSS JOIN LATERAL (
        SELECT ('x' || left(md5(x.repair_order_id || 'state'), 6))::bit(24)::integer AS roll
    ) AS b
    WHERE x.business_id = %(business_id)s AND x.status NOT IN ('scheduled', 'cancelled')
) AS o
JOIN auto.shop AS s ON s.business_id = o.business_id AND s.shop_id = o.shop_id
CROSS JOIN LATERAL (
    SELECT CASE WHEN o.program <> 'obd_emissions' THEN 0 WHEN o.roll %% 20 = 9 THEN 3
                WHEN o.roll %% 6 = 1 THEN 1 ELSE 0 END AS unset
) AS u
CROSS JOIN LATERAL (
    SELECT CASE WHEN u.unset > auto.unset_monitors_allowed(o.model_year) THEN 'reject'
                WHEN o.roll %% 10 = 4 THEN 'fail' ELSE 'pass' END AS result
) AS r
LEFT JOIN auto.shop_equipment AS e
    ON e.business_id = o.business_id AND e.shop_id = o.shop_id
   AND e.equipment_kind = 'gas_analyzer'
JOIN (
    SELECT c.technician_id, row_number() OVER (ORDER BY c.technician_id) - 1 AS place,
           count(*) OVER () AS inspectors
    FROM auto.technician_certification AS c
    JOIN auto.technician AS p
        ON p.business_id = c.business_id AND p.technician_id = c.technician_id
    WHERE c.business_id = %(business_id)s AND c.program = 'state_inspector'
      AND c.status IN ('valid', 'expiring') AND p.role IN ('master', 'technician', 'foreman')
) AS t ON t.place = o.roll %% t.inspectors
WHERE o.is_sold OR o.place <= 4 OR o.roll %% 20 = 11;

-- Most that did not pass come back repaired within weeks and are tested again, free of charge.
INSERT INTO auto.state_inspection
    (business_id, state_inspection_id, inspector_technician_id, analyzer_equipment_id,
     retest_of_inspection_id, vehicle_id, program, region_code, tested_at, odometer,
     mil_commanded_on, bulb_check_ok, unset_monitor_count, readiness_ok, permanent_dtc_count,
     result, certificate_number, sticker_number, fee_amount, state_fee_amount, valid_until_on,
     transmission_document, created_at, updated_at)
SELECT f.business_id, md5(f.state_inspection_id || 'retest')::uuid, f.inspector_technician_id,
       f.analyzer_equipment_id, f.state_inspection_id, f.vehicle_id, f.program, f.region_code,
       n.tested_at, f.odometer + 60 + n.roll %% 300, false, true, 0, true, 0, 'pass',
       'IL' || lpad((8000000 + row_number() OVER (ORDER BY f.state_inspection_id))::text, 9, '0'),
       CASE f.program WHEN 'safety' THEN 'R' || left(upper(md5(f.state_inspection_id::text)), 8)
       END, 0, 8, (n.tested_at::date + interval '1 year')::date, f.transmission_document,
       n.tested_at, n.tested_at
FROM auto.state_inspection AS f
CROSS JOIN LATERAL (
    SELECT r.roll, f.tested_at + (3 + r.roll %% 30) * interval '24 hours' AS tested_at
    FROM (SELECT ('x' || left(md5(f.state_inspection_id || 'retest'), 6))::bit(24)::integer
                     AS roll) AS r
) AS n
WHERE f.business_id = %(business_id)s AND f.result IN ('fail', 'reject') AND n.roll %% 8 <> 0
  AND n.tested_at < %(as_of)s::timestamptz
  AND NOT EXISTS (
      SELECT FROM auto.state_inspection AS x
      WHERE x.business_id = f.business_id AND x.vehicle_id = f.vehicle_id
        AND x.program = f.program AND x.tested_at > f.tested_at
        AND x.tested_at <= f.tested_at + interval '60 days');
