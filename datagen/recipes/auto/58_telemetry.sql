-- Nine monitors a session; two of them have not run again where codes were cleared, or little was
-- driven since.
INSERT INTO auto.readiness_monitor
    (business_id, readiness_monitor_id, diagnostic_session_id, monitor_code, scope, ignition_kind,
     is_supported, is_complete, module_address, created_at, updated_at)
SELECT s.business_id, md5(s.diagnostic_session_id || m.code)::uuid, s.diagnostic_session_id,
       m.code, 'since_clear', 'spark', true,
       NOT (m.code IN ('catalyst', 'evap')
            AND (s.codes_cleared_at IS NOT NULL OR s.distance_since_clear_km < 300)),
       '7E8', s.started_at, s.started_at
FROM auto.diagnostic_session AS s
CROSS JOIN (VALUES ('misfire'), ('fuel_system'), ('components'), ('catalyst'), ('evap'),
                   ('oxygen_sensor'), ('oxygen_heater'), ('egr_vvt'), ('secondary_air'))
    AS m (code)
WHERE s.business_id = %(business_id)s AND s.session_kind <> 'calibration';

-- What the monitors measured; one in fifty fails.
INSERT INTO auto.monitor_test_result
    (business_id, monitor_test_result_id, diagnostic_session_id, vehicle_id, measured_at,
     monitor_id_code, test_id_code, component_name, unit_scaling_code, test_value, min_limit,
     max_limit, module_address, created_at)
SELECT s.business_id, md5(s.diagnostic_session_id || t.mid)::uuid, s.diagnostic_session_id,
       s.vehicle_id, s.started_at + interval '2 minutes', t.mid, t.tid, t.name, t.unit,
       CASE WHEN b.n %% 50 = 0 THEN t.high * 1.1 ELSE t.high * (10 + b.n %% 80) / 100 END,
       0, t.high, '7E8', s.started_at
FROM auto.diagnostic_session AS s
CROSS JOIN (VALUES ('01', '83', 'O2 sensor monitor bank 1 sensor 1', '0A', 0.9),
                   ('21', '84', 'Catalyst monitor bank 1', '85', 1.4),
                   ('3B', 'C1', 'EVAP monitor 0.040 in', 'FD', 2.5),
                   ('A2', '0C', 'Misfire cylinder 1', '24', 40),
                   ('A3', '0C', 'Misfire cylinder 2', '24', 40))
    AS t (mid, tid, name, unit, high)
CROSS JOIN LATERAL (
    SELECT get_byte(uuid_send(md5(s.diagnostic_session_id || 'test' || t.mid)::uuid), 2) * 256
           + get_byte(uuid_send(md5(s.diagnostic_session_id || 'test' || t.mid)::uuid), 3) AS n
) AS b
WHERE s.business_id = %(business_id)s AND s.session_kind IN ('diagnosis', 'emissions');

-- Half of the diagnoses record five parameters, ten samples each.
INSERT INTO auto.live_data_sample
    (business_id, live_data_sample_id, diagnostic_session_id, vehicle_id, sampled_at,
     recording_no, pid_code, pid_name, module_address, numeric_value, unit_code, is_out_of_range,
     created_at)
SELECT s.business_id, md5(s.diagnostic_session_id || p.pid || k.n)::uuid,
       s.diagnostic_session_id, s.vehicle_id,
       s.started_at + interval '3 minutes' + k.n * interval '500 milliseconds', 1, p.pid, p.name,
       '7E8', v.value, p.unit, v.value > p.high, s.started_at
FROM auto.diagnostic_session AS s
CROSS JOIN (VALUES ('0C', 'Engine speed', 'rpm', 700, 2600, 6000),
                   ('05', 'Coolant temperature', 'c', 80, 28, 105),
                   ('0D', 'Vehicle speed', 'kmh', 0, 110, 200),
                   ('06', 'Short fuel trim bank 1', 'percent', -8, 24, 12),
                   ('11', 'Throttle position', 'percent', 8, 70, 100))
    AS p (pid, name, unit, low, span, high)
CROSS JOIN generate_series(0, 9) AS k (n)
CROSS JOIN LATERAL (
    SELECT round(p.low + p.span * (get_byte(uuid_send(
               md5(s.diagnostic_session_id || p.pid || k.n)::uuid), 4) / 255.0), 1) AS value
) AS v
WHERE s.business_id = %(business_id)s
  AND (s.ended_at IS NULL
       OR (s.session_kind = 'diagnosis'
           AND get_byte(uuid_send(md5(s.diagnostic_session_id::text)::uuid), 9) < 92));

-- A module is programmed while its vehicle is here.
UPDATE auto.module_programming AS p
SET started_at = n.started_at, ended_at = n.started_at + interval '25 minutes',
    session_module_id = NULL, diagnostic_session_id = NULL
FROM (
    SELECT x.module_programming_id,
           least(o.opened_at + interval '3 hours',
                 %(as_of)s::timestamptz - interval '1 hour') AS started_at
    FROM auto.module_programming AS x
    JOIN auto.repair_job AS j
        ON j.business_id = x.business_id AND j.repair_job_id = x.repair_job_id
    JOIN auto.repair_order AS o
        ON o.business_id = j.business_id AND o.repair_order_id = j.repair_order_id
    WHERE x.business_id = %(business_id)s
) AS n
WHERE p.business_id = %(business_id)s AND p.module_programming_id = n.module_programming_id;
