SET LOCAL enable_nestloop = off;

-- An alignment is of the car of its job, after its order was opened; four in ten found the toe off
-- and set it, one in twenty needs a part first.
WITH jobs AS (
    SELECT j.repair_job_id, o.vehicle_id, o.opened_at,
           row_number() OVER (ORDER BY j.repair_job_id) - 1 AS no, count(*) OVER () AS size
    FROM auto.repair_job AS j
    JOIN auto.repair_order AS o
        ON o.business_id = j.business_id AND o.repair_order_id = j.repair_order_id
    WHERE j.business_id = %(business_id)s
), aligned AS (
    SELECT x.wheel_alignment_id, row_number() OVER (ORDER BY x.wheel_alignment_id) - 1 AS no
    FROM auto.wheel_alignment AS x
    WHERE x.business_id = %(business_id)s
), told AS (
    SELECT a.wheel_alignment_id, a.no, j.repair_job_id, j.vehicle_id, j.opened_at,
           CASE WHEN a.no %% 20 = 7 THEN 'parts_needed' WHEN a.no %% 5 IN (1, 3) THEN 'adjusted'
                ELSE 'in_spec' END AS result,
           round((a.no %% 11 - 5) * 0.01, 2) AS toe
    FROM aligned AS a
    JOIN jobs AS j ON j.no = a.no * 7 %% j.size
)
UPDATE auto.wheel_alignment AS w
SET repair_job_id = t.repair_job_id, vehicle_id = t.vehicle_id,
    measured_at = t.opened_at + interval '95 minutes',
    alignment_kind = CASE WHEN t.no %% 9 = 4 THEN 'thrust' ELSE 'four_wheel' END,
    ride_height_ok = true, steering_angle_reset = t.result = 'adjusted',
    specification = '{"toe_fl": [0.0, 0.2], "toe_fr": [0.0, 0.2], "camber_fl": [-1.2, 0.3],
                      "camber_fr": [-1.2, 0.3], "toe_rl": [0.0, 0.25], "toe_rr": [0.0, 0.25]}',
    before_readings = jsonb_build_object(
        'toe_fl', CASE WHEN t.result = 'in_spec' THEN 0.10 + t.toe ELSE 0.41 + t.toe END,
        'toe_fr', 0.11 + t.toe, 'camber_fl', -0.42 + t.toe, 'camber_fr', -0.38 - t.toe,
        'toe_rl', 0.12 + t.toe, 'toe_rr', 0.12 - t.toe),
    after_readings = CASE t.result WHEN 'parts_needed' THEN '{}'::jsonb ELSE jsonb_build_object(
        'toe_fl', 0.10 + t.toe, 'toe_fr', 0.10 + t.toe, 'camber_fl', -0.42 + t.toe,
        'camber_fr', -0.38 - t.toe, 'toe_rl', 0.12 + t.toe, 'toe_rr', 0.12 - t.toe) END,
    thrust_angle_deg = t.toe, total_toe_front_deg = 0.20 + 2 * t.toe,
    total_toe_rear_deg = 0.24, cross_camber_deg = abs(-0.04 + 2 * t.toe),
    result = t.result, requires_adas_calibration = t.result = 'adjusted',
    comment_text = CASE t.result WHEN 'parts_needed'
                        THEN 'Inner tie rod has play, replace before alignment.' END
FROM told AS t
WHERE w.business_id = %(business_id)s AND w.wheel_alignment_id = t.wheel_alignment_id;

-- Sensors are in cars of model year 2016 or later; nobody asked for their calibration but for cars
-- with an open order.
CREATE TEMPORARY TABLE sensor_car ON COMMIT DROP AS
SELECT x.adas_sensor_id, v.vehicle_id, v.vin, c.model_year >= 2016 AS is_fitted,
       row_number() OVER (PARTITION BY c.model_year >= 2016 ORDER BY v.vin, x.sensor_kind,
                          x.position, x.adas_sensor_id) - 1 AS no,
       EXISTS (SELECT FROM auto.repair_order AS o
               WHERE o.business_id = v.business_id AND o.vehicle_id = v.vehicle_id
                 AND o.status NOT IN ('closed', 'cancelled')) AS has_open_order
FROM auto.adas_sensor AS x
JOIN auto.vehicle AS v ON v.business_id = x.business_id AND v.vehicle_id = x.vehicle_id
JOIN auto.vehicle_configuration AS c
    ON c.business_id = v.business_id
   AND c.vehicle_configuration_id = v.vehicle_configuration_id
WHERE x.business_id = %(business_id)s;

-- A calibration is of a sensor of the car of its job.
CREATE TEMPORARY TABLE car_of_job ON COMMIT DROP AS
SELECT s.adas_sensor_id, j.repair_job_id, o.opened_at,
       row_number() OVER (ORDER BY j.repair_job_id, s.adas_sensor_id) - 1 AS no,
       count(*) OVER () AS size
FROM auto.repair_job AS j
JOIN auto.repair_order AS o
    ON o.business_id = j.business_id AND o.repair_order_id = j.repair_order_id
JOIN sensor_car AS s ON s.vehicle_id = o.vehicle_id AND s.is_fitted
WHERE j.business_id = %(business_id)s;

-- None stands where another one comes to.
UPDATE auto.adas_calibration AS c
SET attempt_no = 100 + n.no
FROM (
    SELECT x.adas_calibration_id, row_number() OVER (ORDER BY x.adas_calibration_id) AS no
    FROM auto.adas_calibration AS x
    WHERE x.business_id = %(business_id)s AND EXISTS (SELECT FROM car_of_job)
) AS n
WHERE c.business_id = %(business_id)s AND c.adas_calibration_id = n.adas_calibration_id;

WITH runs AS (
    SELECT x.adas_calibration_id,
           row_number() OVER (ORDER BY x.adas_calibration_id) - 1 AS no
    FROM auto.adas_calibration AS x
    WHERE x.business_id = %(business_id)s
)
UPDATE auto.adas_calibration AS c
SET adas_sensor_id = p.adas_sensor_id, repair_job_id = p.repair_job_id,
    attempt_no = 1 + r.no / p.size, calibration_requirement_id = NULL, wheel_alignment_id = NULL,
    pre_scan_session_id = NULL, post_scan_session_id = NULL,
    started_at = p.opened_at + make_interval(mins => (120 + 90 * (r.no / p.size))::integer),
    completed_at = p.opened_at + make_interval(mins => (165 + 90 * (r.no / p.size))::integer),
    method = CASE WHEN r.no %% 3 = 0 THEN 'static' ELSE 'dynamic' END,
    result = CASE WHEN r.no %% 14 = 6 THEN 'aborted' ELSE 'pass' END,
    failure_reason = CASE WHEN r.no %% 14 = 6 THEN 'Rain, the camera lost the lane marks.' END,
    target_distance_mm = CASE WHEN r.no %% 3 = 0 THEN 1500 + r.no %% 4 * 250 END,
    target_height_mm = CASE WHEN r.no %% 3 = 0 THEN 1200 END,
    floor_slope_deg = CASE WHEN r.no %% 3 = 0 THEN 0.1 * (r.no %% 4) END,
    light_level_lux = 450 + r.no %% 7 * 60, fuel_level_pct = 55 + r.no %% 5 * 10,
    road_distance_mi = CASE WHEN r.no %% 3 <> 0 THEN 6 + r.no %% 9 END,
    yaw_before_deg = 0.3 + r.no %% 5 * 0.1, yaw_after_deg = 0.02 * (r.no %% 4),
    tire_pressure_ok = true
FROM runs AS r
JOIN car_of_job AS p ON p.no = r.no %% p.size
WHERE c.business_id = %(business_id)s AND c.adas_calibration_id = r.adas_calibration_id;

-- What was not placed on a fitted sensor goes with the sensor.
DELETE FROM auto.adas_calibration AS c
USING sensor_car AS s
WHERE c.business_id = %(business_id)s AND c.adas_sensor_id = s.adas_sensor_id AND NOT s.is_fitted;

DELETE FROM auto.adas_sensor AS x
USING sensor_car AS s
WHERE x.business_id = %(business_id)s AND x.adas_sensor_id = s.adas_sensor_id AND NOT s.is_fitted;

UPDATE auto.adas_sensor AS x
SET calibration_state = CASE WHEN s.has_open_order AND s.no %% 9 = 4 THEN 'required'
                             WHEN s.no %% 40 = 11 THEN 'unknown' ELSE 'calibrated' END,
    requirement_reason = CASE WHEN s.has_open_order AND s.no %% 9 = 4 THEN 'alignment' END,
    serves_functions = CASE x.sensor_kind
        WHEN 'front_camera' THEN '{lane_keeping,automatic_braking,sign_recognition}'::text[]
        WHEN 'front_radar' THEN '{adaptive_cruise,automatic_braking}'::text[]
        ELSE '{stability_control,lane_keeping}'::text[] END,
    module_address = CASE x.sensor_kind WHEN 'front_camera' THEN '706' WHEN 'front_radar' THEN '764'
                                        ELSE '730' END,
    sensor_serial = upper(left(md5('sensor' || s.vin || x.sensor_kind), 10)),
    last_calibrated_on = coalesce((
        SELECT max((c.completed_at AT TIME ZONE 'UTC')::date)
        FROM auto.adas_calibration AS c
        WHERE c.business_id = x.business_id AND c.adas_sensor_id = x.adas_sensor_id
          AND c.result = 'pass'), x.last_calibrated_on)
FROM sensor_car AS s
WHERE x.business_id = %(business_id)s AND x.adas_sensor_id = s.adas_sensor_id AND s.is_fitted;

-- Rules as makers write them: a static run needs a target, a drive a speed.
WITH numbered AS (
    SELECT r.calibration_requirement_id,
           row_number() OVER (ORDER BY r.calibration_requirement_id) - 1 AS no
    FROM auto.calibration_requirement AS r
    WHERE r.business_id = %(business_id)s
), rule (place, sensor_kind, trigger_event, method, target, speed) AS (
    VALUES (0, 'front_camera', 'windshield_replace', 'static_then_dynamic', 'TGT-CAM-01', 35),
           (1, 'front_camera', 'alignment', 'dynamic', NULL, 37),
           (2, 'front_radar', 'bumper_remove', 'static', 'TGT-RAD-02', NULL),
           (3, 'steering_angle', 'alignment', 'self_learn', NULL, NULL),
           (4, 'front_radar', 'collision', 'static_then_dynamic', 'TGT-RAD-02', 40),
           (5, 'steering_angle', 'battery_disconnect', 'self_learn', NULL, NULL)
)
UPDATE auto.calibration_requirement AS r
SET sensor_kind = u.sensor_kind, trigger_event = u.trigger_event, method = u.method,
    target_part_number = u.target, min_speed_mph = u.speed,
    min_space_ft = CASE WHEN u.target IS NOT NULL THEN 30 END,
    oem_document_ref = 'SI-' || 20000 + n.no,
    prerequisites = '{"tire_pressure": "door_label", "fuel": "half_or_more", "load": "empty"}'
FROM numbered AS n
JOIN rule AS u ON u.place = n.no %% 6
WHERE r.business_id = %(business_id)s
  AND r.calibration_requirement_id = n.calibration_requirement_id;

DROP TABLE car_of_job, sensor_car;
