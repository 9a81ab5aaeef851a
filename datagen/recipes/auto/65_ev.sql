SET LOCAL enable_nestloop = off;

-- Only electric and hybrid cars have a pack; what was measured on another is of one of those.
CREATE TEMPORARY TABLE pack ON COMMIT DROP AS
SELECT p.hv_battery_pack_id, v.vehicle_id, v.vin, v.in_service_on, c.fuel_kind, c.make_name,
       c.fuel_kind IN ('battery_electric', 'plug_in_hybrid', 'hybrid') AS is_electric,
       row_number() OVER (
           PARTITION BY c.fuel_kind IN ('battery_electric', 'plug_in_hybrid', 'hybrid')
           ORDER BY v.vin, p.hv_battery_pack_id) - 1 AS no
FROM auto.hv_battery_pack AS p
JOIN auto.vehicle AS v ON v.business_id = p.business_id AND v.vehicle_id = p.vehicle_id
JOIN auto.vehicle_configuration AS c
    ON c.business_id = v.business_id
   AND c.vehicle_configuration_id = v.vehicle_configuration_id
WHERE p.business_id = %(business_id)s;

UPDATE auto.hv_battery_pack AS p
SET pack_serial = 'PK' || right(k.vin, 6), installed_on = k.in_service_on,
    chemistry = CASE WHEN k.fuel_kind = 'hybrid' THEN 'nimh' WHEN k.make_name = 'Tesla' THEN 'nca'
                     ELSE 'nmc' END,
    gross_kwh = CASE WHEN k.fuel_kind = 'hybrid' THEN 1.6 ELSE 66 + k.no %% 4 * 6 END,
    usable_kwh = CASE WHEN k.fuel_kind = 'hybrid' THEN 1.1 ELSE 62 + k.no %% 4 * 6 END,
    nominal_v = CASE WHEN k.fuel_kind = 'hybrid' THEN 245 ELSE 360 END,
    module_count = CASE WHEN k.fuel_kind = 'hybrid' THEN 34 ELSE 10 END,
    cell_count = CASE WHEN k.fuel_kind = 'hybrid' THEN 204 ELSE 288 END,
    thermal_kind = CASE WHEN k.fuel_kind = 'hybrid' THEN 'air' ELSE 'liquid' END
FROM pack AS k
WHERE p.business_id = %(business_id)s AND p.hv_battery_pack_id = k.hv_battery_pack_id
  AND k.is_electric;

WITH test AS (
    SELECT t.hv_battery_test_id, row_number() OVER (ORDER BY t.hv_battery_test_id) - 1 AS no
    FROM auto.hv_battery_test AS t
    WHERE t.business_id = %(business_id)s
), placed AS (
    SELECT t.*, k.hv_battery_pack_id, k.fuel_kind, t.no / k.size AS round_no
    FROM test AS t
    JOIN (SELECT x.*, count(*) OVER () AS size FROM pack AS x WHERE x.is_electric) AS k
        ON k.no = t.no %% k.size
)
UPDATE auto.hv_battery_test AS t
SET hv_battery_pack_id = p.hv_battery_pack_id, diagnostic_session_id = NULL, repair_job_id = NULL,
    test_kind = (ARRAY['soh_report', 'isolation', 'cell_balance', 'soh_report'])[1 + p.no %% 4],
    soh_pct = greatest(97 - p.no %% 11 * 2, 68), soc_pct = 45 + p.no %% 5 * 8,
    isolation_kohm = CASE WHEN p.no %% 25 = 13 THEN 90 ELSE 2400 + p.no %% 9 * 350 END,
    min_cell_v = CASE WHEN p.fuel_kind = 'hybrid' THEN 1.21 ELSE 3.71 END,
    max_cell_v = CASE WHEN p.fuel_kind = 'hybrid' THEN 1.22 ELSE 3.72 END + p.no %% 5 * 0.002,
    max_module_c = 24 + p.no %% 10, internal_resistance_mohm = 1.2 + p.no %% 6 * 0.1,
    fast_charge_count = CASE WHEN p.fuel_kind = 'hybrid' THEN 0 ELSE p.no * 13 %% 240 END,
    result = CASE WHEN p.no %% 25 = 13 THEN 'fail' WHEN p.no %% 11 > 8 THEN 'monitor'
                  ELSE 'pass' END
FROM placed AS p
WHERE t.business_id = %(business_id)s AND t.hv_battery_test_id = p.hv_battery_test_id;

-- A balance test reads 24 groups of cells; in one test in three a group is weak.
WITH reading AS (
    SELECT t.hv_battery_test_id, c.cell, 22 + c.cell %% 4 AS celsius,
           CASE WHEN t.min_cell_v < 2 THEN 1.21 ELSE 3.71 END + c.cell * 7 %% 5 * 0.002
           - CASE WHEN c.cell = 17 AND right(md5(t.hv_battery_test_id::text), 1) < '5'
                  THEN 0.09 ELSE 0 END AS volts
    FROM auto.hv_battery_test AS t
    CROSS JOIN generate_series(1, 24) AS c (cell)
    WHERE t.business_id = %(business_id)s AND t.test_kind = 'cell_balance'
), told AS (
    SELECT r.hv_battery_test_id, min(r.volts) AS lowest, max(r.volts) AS highest,
           jsonb_agg(jsonb_build_object('cell', r.cell, 'volts', r.volts, 'celsius', r.celsius)
                     ORDER BY r.cell) AS cells
    FROM reading AS r
    GROUP BY r.hv_battery_test_id
)
UPDATE auto.hv_battery_test AS t
SET cell_voltages = w.cells, min_cell_v = w.lowest, max_cell_v = w.highest,
    result = CASE WHEN t.result = 'pass' AND w.highest - w.lowest > 0.05 THEN 'monitor'
                  ELSE t.result END
FROM told AS w
WHERE t.business_id = %(business_id)s AND t.hv_battery_test_id = w.hv_battery_test_id;

DELETE FROM auto.hv_battery_pack AS p
USING pack AS k
WHERE p.business_id = %(business_id)s AND p.hv_battery_pack_id = k.hv_battery_pack_id
  AND NOT k.is_electric;

-- A lock-out is of a job on an electric or hybrid car; without one, of any such car. A second
-- person measures. Six in eight were switched on again, one was aborted, one is planned.
CREATE TEMPORARY TABLE lock_out ON COMMIT DROP AS
WITH jobs AS (
    SELECT j.repair_job_id, k.vehicle_id, o.opened_at,
           row_number() OVER (ORDER BY k.vin, o.opened_at, j.repair_job_id) - 1 AS no,
           count(*) OVER () AS size
    FROM auto.repair_job AS j
    JOIN auto.repair_order AS o
        ON o.business_id = j.business_id AND o.repair_order_id = j.repair_order_id
    JOIN pack AS k ON k.vehicle_id = o.vehicle_id AND k.is_electric
    WHERE j.business_id = %(business_id)s
), staff AS (
    SELECT t.technician_id, row_number() OVER (ORDER BY t.technician_id) - 1 AS no,
           count(*) OVER () AS size
    FROM auto.technician AS t
    WHERE t.business_id = %(business_id)s
)
SELECT x.hv_power_down_id, x.no, j.repair_job_id, j.vehicle_id, a.technician_id AS isolated_by,
       b.technician_id AS verified_by,
       j.opened_at + make_interval(mins => (40 + 120 * (x.no / j.size))::integer) AS started_at
FROM (SELECT p.hv_power_down_id, row_number() OVER (ORDER BY p.hv_power_down_id) - 1 AS no
      FROM auto.hv_power_down AS p
      WHERE p.business_id = %(business_id)s) AS x
JOIN jobs AS j ON j.no = x.no %% j.size
JOIN staff AS a ON a.no = x.no %% a.size
JOIN staff AS b ON b.no = (x.no + 1) %% b.size AND b.technician_id <> a.technician_id
WHERE x.no / j.size < 5;

DELETE FROM auto.hv_power_down AS p
WHERE p.business_id = %(business_id)s AND EXISTS (SELECT FROM lock_out)
  AND NOT EXISTS (SELECT FROM lock_out AS l WHERE l.hv_power_down_id = p.hv_power_down_id);

UPDATE auto.hv_power_down AS p
SET repair_job_id = l.repair_job_id, vehicle_id = l.vehicle_id, started_at = l.started_at,
    isolated_by_technician_id = l.isolated_by, verified_by_technician_id = NULL,
    glove_class = 'class_0',
    glove_test_expires_on = (l.started_at AT TIME ZONE 'UTC')::date + 30 + (l.no %% 5)::integer * 20,
    ppe_check = '{"gloves": true, "face_shield": true, "insulated_tools": true, "rescue_hook": true}',
    status = CASE WHEN l.no %% 8 = 5 THEN 'aborted' WHEN l.no %% 8 = 7 THEN 'planned'
                  ELSE 'isolated' END,
    service_plug_removed_at = CASE WHEN l.no %% 8 NOT IN (5, 7)
                                   THEN l.started_at + interval '6 minutes' END
FROM lock_out AS l
WHERE p.business_id = %(business_id)s AND p.hv_power_down_id = l.hv_power_down_id;

UPDATE auto.hv_power_down AS p
SET status = 'verified', verified_by_technician_id = l.verified_by,
    verified_zero_at = p.service_plug_removed_at + make_interval(mins => p.wait_minutes + 2),
    measured_v = 0.4 + l.no %% 6 * 0.3
FROM lock_out AS l
WHERE p.business_id = %(business_id)s AND p.hv_power_down_id = l.hv_power_down_id
  AND p.status = 'isolated';

UPDATE auto.hv_power_down AS p
SET status = 're_energized',
    re_energized_at = p.verified_zero_at + make_interval(mins => (50 + l.no %% 7 * 5)::integer)
FROM lock_out AS l
WHERE p.business_id = %(business_id)s AND p.hv_power_down_id = l.hv_power_down_id
  AND p.status = 'verified';

DROP TABLE lock_out, pack;
