-- A vehicle is scanned while it is here: three quarters of an hour after its order was opened.
UPDATE auto.diagnostic_session AS s
SET repair_order_id = o.repair_order_id,
    vehicle_id = o.vehicle_id,
    odometer = o.odometer_in_reading,
    started_at = p.started_at,
    ended_at = CASE WHEN n.place > 3
                    THEN p.started_at + (9 + get_byte(n.byte, 1) %% 20) * interval '1 minute' END
FROM (
    SELECT x.diagnostic_session_id, uuid_send(md5(x.diagnostic_session_id::text)::uuid) AS byte,
           row_number() OVER (ORDER BY x.diagnostic_session_id) AS place
    FROM auto.diagnostic_session AS x
    WHERE x.business_id = %(business_id)s
) AS n
JOIN (
    SELECT r.repair_order_id, r.vehicle_id, r.opened_at, r.odometer_in_reading,
           row_number() OVER (ORDER BY r.status IN ('scheduled', 'cancelled'), r.opened_at DESC,
                                       r.repair_order_id) AS place,
           count(*) OVER () AS orders
    FROM auto.repair_order AS r
    WHERE r.business_id = %(business_id)s
) AS o ON o.place = (n.place - 1) %% o.orders + 1
CROSS JOIN LATERAL (
    SELECT CASE WHEN n.place <= 3 THEN %(as_of)s::timestamptz - n.place * interval '8 minutes'
                ELSE least(o.opened_at + interval '45 minutes' + (n.place - 1) / o.orders
                               * interval '2 hours',
                           %(as_of)s::timestamptz - interval '50 minutes') END AS started_at
) AS p
WHERE s.business_id = %(business_id)s AND s.diagnostic_session_id = n.diagnostic_session_id;

-- Eight modules answer, the engine's first; now and then one stays silent.
INSERT INTO auto.session_module
    (business_id, session_module_id, diagnostic_session_id, module_address, module_code,
     module_name, hardware_number, software_number, calibration_id, cvn_code, responded,
     response_ms, is_update_available, created_at, updated_at)
SELECT s.business_id, md5(s.diagnostic_session_id || m.code)::uuid, s.diagnostic_session_id,
       m.address, m.code, m.name, 'HW-' || upper(substr(md5(s.vehicle_id || m.code), 1, 8)),
       'SW-' || upper(substr(md5(s.vehicle_id || m.name), 1, 6)),
       CASE WHEN m.code IN ('ecm', 'tcm')
            THEN upper(substr(md5(m.code || s.vehicle_id), 1, 10)) END,
       CASE WHEN m.code IN ('ecm', 'tcm')
            THEN upper(substr(md5(s.vehicle_id || 'cvn' || m.code), 1, 8)) END,
       m.code = 'ecm' OR b.n %% 37 <> 0,
       CASE WHEN m.code = 'ecm' OR b.n %% 37 <> 0 THEN 8 + b.n %% 60 END,
       b.n %% 23 = 0, s.started_at, s.started_at
FROM auto.diagnostic_session AS s
CROSS JOIN (VALUES ('7E8', 'ecm', 'Engine control module'),
                   ('7E9', 'tcm', 'Transmission control module'),
                   ('768', 'abs', 'Brake control module'),
                   ('75F', 'srs', 'Restraints control module'),
                   ('72E', 'bcm', 'Body control module'),
                   ('738', 'eps', 'Power steering control module'),
                   ('728', 'ipc', 'Instrument cluster'),
                   ('716', 'gateway', 'Gateway')) AS m (address, code, name)
CROSS JOIN LATERAL (
    SELECT get_byte(uuid_send(md5(s.diagnostic_session_id || m.code)::uuid), 2) * 256
           + get_byte(uuid_send(md5(s.diagnostic_session_id || m.code)::uuid), 3) AS n
) AS b
WHERE s.business_id = %(business_id)s;

-- 45 %% of the sessions find codes, half of those one, a quarter two, …; the usual codes lead.
INSERT INTO auto.detected_dtc
    (business_id, detected_dtc_id, diagnostic_session_id, session_module_id, vehicle_id,
     dtc_definition_id, dtc_code, obd_service, status_byte, is_current, is_mil_request,
     occurrence_count, first_seen_odometer, warmup_cycles_count, severity, resolution, detected_at,
     resolved_at, created_at, updated_at)
SELECT DISTINCT ON (c.diagnostic_session_id, d.dtc_code)
       c.business_id, md5(c.diagnostic_session_id || d.dtc_code)::uuid, c.diagnostic_session_id,
       m.session_module_id, c.vehicle_id, d.dtc_definition_id, d.dtc_code, c.obd_service,
       CASE WHEN get_byte(c.byte, 5) < 200 THEN 9 ELSE 8 END
           + CASE WHEN d.mil_behavior = 'none' THEN 0 ELSE 128 END,
       get_byte(c.byte, 5) < 200, d.mil_behavior <> 'none', 1 + get_byte(c.byte, 6) %% 12,
       greatest(c.odometer - get_byte(c.byte, 7) * 3, 0), get_byte(c.byte, 8) %% 40, d.severity,
       CASE WHEN c.is_old THEN c.resolution ELSE 'open' END, c.started_at,
       CASE WHEN c.is_old AND c.resolution <> 'open' THEN c.started_at + interval '1 day' END,
       c.started_at, c.started_at
FROM (
    SELECT s.*, k.n,
           uuid_send(md5(s.diagnostic_session_id || ' code ' || k.n)::uuid) AS byte,
           s.started_at < %(as_of)s::timestamptz - interval '2 days' AS is_old,
           CASE WHEN get_byte(h.byte, 3) < 20 THEN 'permanent_0a'
                WHEN get_byte(h.byte, 3) < 60 THEN 'pending_07' ELSE 'stored_03' END
               AS obd_service,
           CASE WHEN get_byte(h.byte, 4) < 150 THEN 'repaired'
                WHEN get_byte(h.byte, 4) < 180 AND get_byte(h.byte, 3) >= 20
                    THEN 'cleared_only'
                WHEN get_byte(h.byte, 4) < 195 THEN 'no_fault_found'
                WHEN get_byte(h.byte, 4) < 205 THEN 'returned' ELSE 'open' END AS resolution
    FROM auto.diagnostic_session AS s
    CROSS JOIN LATERAL (
        SELECT uuid_send(md5(s.diagnostic_session_id || ' codes')::uuid) AS byte
    ) AS h
    CROSS JOIN LATERAL generate_series(1, CASE
        WHEN get_byte(h.byte, 1) >= 115 THEN 0
        ELSE 1 + (get_byte(h.byte, 2) >= 128)::integer + (get_byte(h.byte, 2) >= 192)::integer
               + (get_byte(h.byte, 2) >= 224)::integer + (get_byte(h.byte, 2) >= 240)::integer
        END) AS k (n)
    WHERE s.business_id = %(business_id)s
) AS c
JOIN (
    SELECT x.dtc_definition_id, x.dtc_code, x.mil_behavior, x.default_severity AS severity,
           row_number() OVER (ORDER BY x.dtc_code) AS place, count(*) OVER () AS codes,
           array_position(ARRAY['P0420', 'P0171', 'P0300', 'P0442', 'P0455', 'P0128', 'P0301',
                                'P0302', 'U0100', 'P0303', 'P0304', 'P0456'], x.dtc_code::text)
               AS usual
    FROM auto.dtc_definition AS x
    WHERE x.business_id = %(business_id)s
) AS d ON CASE WHEN get_byte(c.byte, 1) < 166 THEN d.usual = 1 + least(
                        get_byte(c.byte, 2) %% 12, get_byte(c.byte, 3) %% 12)
               ELSE d.place = 1 + (get_byte(c.byte, 2) * 256 + get_byte(c.byte, 3)) %% d.codes END
JOIN auto.session_module AS m
    ON m.business_id = c.business_id AND m.diagnostic_session_id = c.diagnostic_session_id
   AND m.module_code = CASE WHEN d.dtc_code LIKE 'P07%%' THEN 'tcm'
                            WHEN d.dtc_code LIKE 'P%%' THEN 'ecm'
                            WHEN d.dtc_code LIKE 'C%%' THEN 'abs'
                            WHEN d.dtc_code LIKE 'B%%' THEN 'srs' ELSE 'gateway' END
   AND m.responded
ORDER BY c.diagnostic_session_id, d.dtc_code, c.n;

-- A job of the same order cured it.
UPDATE auto.detected_dtc AS d
SET repair_job_id = j.repair_job_id
FROM auto.diagnostic_session AS s
JOIN (
    SELECT DISTINCT ON (x.repair_order_id) x.repair_order_id, x.repair_job_id
    FROM auto.repair_job AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'done'
    ORDER BY x.repair_order_id, x.job_seq, x.repair_job_id
) AS j ON j.repair_order_id = s.repair_order_id
WHERE d.business_id = %(business_id)s AND d.resolution = 'repaired'
  AND s.business_id = d.business_id AND s.diagnostic_session_id = d.diagnostic_session_id;

-- The lamp is on where an emission code asks for it; a third of the repaired were then cleared.
UPDATE auto.diagnostic_session AS s
SET is_mil_on = c.is_mil_on,
    codes_cleared_at = CASE WHEN c.is_cleared THEN s.ended_at END,
    distance_since_clear_km = CASE WHEN c.is_cleared THEN 0 ELSE s.distance_since_clear_km END
FROM (
    SELECT d.diagnostic_session_id, bool_or(d.is_mil_request AND d.is_current) AS is_mil_on,
           bool_and(d.resolution IN ('repaired', 'cleared_only')
                    AND d.obd_service = 'stored_03') AS is_cleared
    FROM auto.detected_dtc AS d
    WHERE d.business_id = %(business_id)s
    GROUP BY d.diagnostic_session_id
) AS c
WHERE s.business_id = %(business_id)s AND s.diagnostic_session_id = c.diagnostic_session_id;

-- The engine module froze the conditions of its stored codes.
INSERT INTO auto.freeze_frame
    (business_id, freeze_frame_id, detected_dtc_id, frame_no, captured_at, engine_rpm,
     calc_load_pct, coolant_temp_c, intake_temp_c, short_fuel_trim_pct, long_fuel_trim_pct,
     map_kpa, vehicle_speed_kmh, spark_advance_deg, fuel_system_status, runtime_seconds,
     parameters, created_at, updated_at)
SELECT d.business_id, md5(d.detected_dtc_id || ' frame')::uuid, d.detected_dtc_id, 0,
       d.detected_at - (1 + get_byte(b.b, 0)) * interval '3 hours',
       700 + get_byte(b.b, 1) * 11, 15 + get_byte(b.b, 2) %% 70,
       CASE WHEN d.dtc_code = 'P0128' THEN 55 + get_byte(b.b, 3) %% 15
            ELSE 82 + get_byte(b.b, 3) %% 20 END,
       10 + get_byte(b.b, 4) %% 35, -6 + get_byte(b.b, 5) %% 13,
       CASE WHEN d.dtc_code IN ('P0171', 'P0174') THEN 14 + get_byte(b.b, 6) %% 14
            ELSE -5 + get_byte(b.b, 6) %% 11 END,
       28 + get_byte(b.b, 7) %% 65, get_byte(b.b, 8) %% 125, 4 + get_byte(b.b, 9) %% 30,
       CASE WHEN d.dtc_code = 'P0128' THEN 'open_cold' ELSE 'closed' END,
       60 + get_byte(b.b, 10) * 9,
       jsonb_build_object('2F', jsonb_build_object('value', get_byte(b.b, 11) %% 100,
                                                   'unit', 'percent')),
       d.created_at, d.created_at
FROM auto.detected_dtc AS d
JOIN auto.session_module AS m
    ON m.business_id = d.business_id AND m.session_module_id = d.session_module_id
CROSS JOIN LATERAL (
    SELECT uuid_send(md5(d.detected_dtc_id || ' frozen')::uuid) AS b
) AS b
WHERE d.business_id = %(business_id)s AND m.module_code = 'ecm' AND d.obd_service = 'stored_03';
