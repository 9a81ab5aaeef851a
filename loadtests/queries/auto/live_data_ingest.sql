-- A tool streams a batch of 50 samples, five parameters ten times, into its open session; those
-- that are there already, as when a batch is sent again, stay.
-- budget: p95 60ms
-- weight: 6
-- mode: write
-- rows: >=45
-- params: diagnostic_session_id from auto.diagnostic_session where ended_at IS NULL
INSERT INTO auto.live_data_sample
    (business_id, diagnostic_session_id, vehicle_id, sampled_at, recording_no, pid_code, pid_name,
     module_address, numeric_value, unit_code)
SELECT s.business_id, s.diagnostic_session_id, s.vehicle_id,
       clock_timestamp() - k.n * interval '50 milliseconds' - random() * interval '40 milliseconds',
       2, p.pid, p.name, '7E8', p.value + k.n, p.unit
FROM auto.diagnostic_session AS s
CROSS JOIN (VALUES ('0C', 'Engine speed', 1800, 'rpm'), ('05', 'Coolant temperature', 88, 'c'),
                   ('0D', 'Vehicle speed', 60, 'kmh'), ('11', 'Throttle position', 22, 'percent'),
                   ('06', 'Short fuel trim bank 1', 1, 'percent')) AS p (pid, name, value, unit)
CROSS JOIN generate_series(0, 9) AS k (n)
WHERE s.business_id = %(business_id)s
  AND s.diagnostic_session_id = %(diagnostic_session_id)s
ON CONFLICT DO NOTHING
RETURNING business_id, live_data_sample_id
