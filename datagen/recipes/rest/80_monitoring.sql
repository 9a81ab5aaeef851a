SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- Equipment stands in the kitchen of its site; coolers and freezers keep a storage area of it.
UPDATE rest.equipment AS q
SET kitchen_id = k.kitchen_id, storage_area_id = a.storage_area_id
FROM (
    SELECT x.location_id, (array_agg(x.kitchen_id ORDER BY x.kitchen_code))[1] AS kitchen_id
    FROM rest.kitchen AS x
    WHERE x.business_id = %(business_id)s
    GROUP BY x.location_id
) AS k
LEFT JOIN (
    SELECT x.location_id,
           CASE WHEN x.storage_kind = 'walk_in' THEN 'walk_in_cooler'
                WHEN x.storage_kind = 'freezer' THEN 'freezer'
                WHEN x.storage_kind = 'reach_in' THEN 'reach_in' END AS equipment_kind,
           (array_agg(x.storage_area_id ORDER BY x.area_code))[1] AS storage_area_id
    FROM rest.storage_area AS x
    WHERE x.business_id = %(business_id)s
      AND x.storage_kind IN ('walk_in', 'freezer', 'reach_in')
    GROUP BY 1, 2
) AS a ON a.location_id = k.location_id
WHERE q.business_id = %(business_id)s AND q.location_id = k.location_id
  AND (a.equipment_kind = q.equipment_kind OR a.equipment_kind IS NULL);

-- A sensor in all that keeps food cold or hot.
INSERT INTO rest.temperature_sensor
    (business_id, temperature_sensor_id, equipment_id, sensor_serial, probe_kind, sample_seconds,
     alarm_low_c, alarm_high_c, alarm_delay_minutes, calibration_offset_c, battery_pct, status,
     created_at)
SELECT q.business_id, md5('sensor ' || q.equipment_id)::uuid, q.equipment_id,
       'TS-' || q.asset_tag,
       CASE q.equipment_kind WHEN 'walk_in_cooler' THEN 'glycol' WHEN 'hot_hold' THEN 'surface'
                             ELSE 'air' END,
       300, q.temp_min_c, q.temp_max_c, 30, 0, 100 - n.place %% 40, 'active',
       q.installed_on::timestamp AT TIME ZONE 'UTC'
FROM rest.equipment AS q
CROSS JOIN LATERAL (
    SELECT ('x' || substr(md5(q.equipment_id::text), 1, 7))::bit(28)::integer AS place
) AS n
WHERE q.business_id = %(business_id)s
  AND q.equipment_kind IN ('walk_in_cooler', 'reach_in', 'freezer', 'hot_hold', 'blast_chiller');

-- Every five minutes up to now, as many days as orders were filled for: noise around a set point,
-- doors that open, defrosts, and now and then 45 minutes out of limits.
INSERT INTO rest.temperature_reading
    (business_id, temperature_reading_id, temperature_sensor_id, read_at, temperature_c,
     humidity_pct, is_door_open, battery_pct, signal_dbm, is_out_of_range, quality)
SELECT %(business_id)s, md5('reading ' || r.temperature_sensor_id || r.nr)::uuid,
       r.temperature_sensor_id, r.read_at, r.temperature_c, 55 + r.h %% 30, r.is_door_open,
       r.battery_pct, -48 - r.h %% 40,
       r.temperature_c < r.alarm_low_c OR r.temperature_c > r.alarm_high_c,
       CASE WHEN r.h %% 700 = 0 THEN 'interpolated' ELSE 'good' END
FROM (
    SELECT m.*,
           round((m.set_point + m.noise
                  + CASE WHEN m.is_excursion THEN m.drift
                         WHEN m.is_door_open THEN sign(m.drift) * 1.4
                         WHEN m.is_defrost THEN 3 ELSE 0 END)::numeric, 2) AS temperature_c
    FROM (
        SELECT s.temperature_sensor_id, s.alarm_low_c, s.alarm_high_c, s.battery_pct, n.nr, n.h,
               date_bin('5 minutes', %(as_of)s, timestamptz '2000-01-01 00:00+00')
                   - n.nr * interval '5 minutes' AS read_at,
               CASE s.equipment_kind WHEN 'freezer' THEN -20 WHEN 'hot_hold' THEN 66
                                     WHEN 'blast_chiller' THEN 2.4 ELSE 2.8 END AS set_point,
               CASE s.equipment_kind WHEN 'freezer' THEN 9 WHEN 'hot_hold' THEN -12
                                     ELSE 6 END AS drift,
               -- Three uniform draws make a bell of 0.4 degrees.
               0.8 * (n.h %% 1000 + n.h / 1000 %% 1000 + n.h / 1000000 %% 200 * 5 - 1500) / 1000.0
                   AS noise,
               n.door %% 40 = 0 AS is_door_open,
               s.equipment_kind = 'freezer' AND n.nr %% 72 < 3 AS is_defrost,
               n.block %% 100 < 6 AND n.nr %% 200 BETWEEN 100 AND 109
                   OR s.place = 1 AND n.nr BETWEEN 20 AND 29 AS is_excursion
        FROM (
            SELECT x.temperature_sensor_id, x.alarm_low_c, x.alarm_high_c, x.battery_pct,
                   q.equipment_kind, row_number() OVER (ORDER BY x.sensor_serial) AS place
            FROM rest.temperature_sensor AS x
            JOIN rest.equipment AS q
                ON q.business_id = x.business_id AND q.equipment_id = x.equipment_id
            WHERE x.business_id = %(business_id)s
        ) AS s
        CROSS JOIN LATERAL (
            SELECT g.nr,
                   ('x' || substr(md5(s.temperature_sensor_id::text || g.nr), 1, 7))::bit(28)
                       ::integer AS h,
                   ('x' || substr(md5(s.temperature_sensor_id::text || 'door' || g.nr / 2), 1, 7))
                       ::bit(28)::integer AS door,
                   ('x' || substr(md5(s.temperature_sensor_id::text || 'block' || g.nr / 200),
                                  1, 7))::bit(28)::integer AS block
            FROM generate_series(0, (
                SELECT least(8640, greatest(48, count(*) * 8640 / 9000))
                FROM rest.guest_order AS o
                WHERE o.business_id = %(business_id)s) - 1) AS g (nr)
        ) AS n
    ) AS m
) AS r;

UPDATE rest.temperature_sensor AS s
SET last_reading_c = r.temperature_c, last_reading_at = r.read_at
FROM (
    SELECT DISTINCT ON (x.temperature_sensor_id)
           x.temperature_sensor_id, x.temperature_c, x.read_at
    FROM rest.temperature_reading AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.temperature_sensor_id, x.read_at DESC
) AS r
WHERE s.business_id = %(business_id)s AND s.temperature_sensor_id = r.temperature_sensor_id;

-- Plans were approved by whoever manages their site.
UPDATE rest.haccp_plan AS p
SET approved_by_user_id = l.manager_user_id
FROM rest.location AS l
WHERE p.business_id = %(business_id)s
  AND l.business_id = p.business_id AND l.location_id = p.location_id;

-- What must not fail is watched.
INSERT INTO rest.critical_control_point
    (business_id, critical_control_point_id, hazard_analysis_id, ccp_code, limit_kind, limit_low,
     limit_high, limit_unit, hold_seconds, max_minutes, monitor_method, monitor_every_minutes,
     corrective_instruction, verification_method, retention_months, is_active)
SELECT h.business_id, md5('ccp ' || h.hazard_analysis_id)::uuid, h.hazard_analysis_id,
       'CCP-' || l.location_code || '-' || p.version_no || '-' || h.step_number,
       CASE WHEN h.process_step IN ('receive', 'cold_hold') THEN 'max_temp' ELSE 'min_temp' END,
       CASE h.process_step WHEN 'cook' THEN 74 WHEN 'reheat' THEN 74 WHEN 'hot_hold' THEN 57 END,
       CASE WHEN h.process_step IN ('receive', 'cold_hold') THEN 5 END, 'C',
       CASE WHEN h.process_step IN ('cook', 'reheat') THEN 15 END,
       CASE WHEN h.process_step IN ('hot_hold', 'cold_hold') THEN 240 END,
       'Clean probe in the thickest part',
       CASE WHEN h.process_step IN ('receive', 'reheat') THEN 480 ELSE 120 END,
       CASE h.process_step WHEN 'receive' THEN 'Reject the delivery'
                           WHEN 'cook' THEN 'Cook on and measure again'
                           WHEN 'reheat' THEN 'Heat on, discard after two hours'
                           ELSE 'Discard what stood for more than four hours' END,
       'The manager reviews the log of the day', 24, p.state = 'approved'
FROM rest.hazard_analysis AS h
JOIN rest.haccp_plan AS p
    ON p.business_id = h.business_id AND p.haccp_plan_id = h.haccp_plan_id
JOIN rest.location AS l
    ON l.business_id = p.business_id AND l.location_id = p.location_id
WHERE h.business_id = %(business_id)s AND h.is_ccp;

-- People check every two hours of trade, 96 of 100 in time and 97 within the limits.
INSERT INTO rest.temperature_log
    (business_id, temperature_log_id, recorded_by_staff_id, verified_by_staff_id, location_id,
     critical_control_point_id, equipment_id, inventory_item_id, menu_item_id, log_kind, due_at,
     recorded_at, temperature_c, limit_low_c, limit_high_c, thermometer_serial, reading_source,
     verified_at)
SELECT %(business_id)s, md5('check ' || m.critical_control_point_id || extract(epoch FROM m.due_at))::uuid,
       s.staff_member_id, CASE WHEN m.is_verified THEN v.staff_member_id END, m.location_id,
       m.critical_control_point_id, q.equipment_id,
       CASE WHEN m.log_kind = 'receiving' THEN i.inventory_item_id END,
       CASE WHEN m.log_kind IN ('cook', 'reheat') THEN d.menu_item_id END, m.log_kind, m.due_at,
       m.recorded_at,
       round(CASE WHEN m.limit_low IS NOT NULL
                  THEN m.limit_low + CASE WHEN m.h / 100 %% 100 < 3 THEN -1 - m.h %% 40 / 10.0
                                          ELSE 1 + m.h / 7 %% 90 / 10.0 END
                  ELSE m.limit_high + CASE WHEN m.h / 100 %% 100 < 3 THEN 1 + m.h %% 40 / 10.0
                                           ELSE -0.4 - m.h / 7 %% 35 / 10.0 END END, 1),
       m.limit_low, m.limit_high, 'SN-P' || 1 + m.h %% 3, 'probe',
       CASE WHEN m.is_verified THEN m.recorded_at + interval '3 hours' END
FROM (
    SELECT w.*, w.recorded_at + interval '3 hours' <= %(as_of)s
                AND w.h / 11 %% 10 < 8 AND w.staff > 1 AS is_verified
    FROM (
        SELECT c.critical_control_point_id, p.location_id, c.limit_low, c.limit_high,
               CASE h.process_step WHEN 'receive' THEN 'receiving' ELSE h.process_step END
                   AS log_kind,
               g.due_at, n.h, f.staff,
               g.due_at + CASE WHEN n.h %% 100 < 4 THEN 10 + n.h / 100 %% 50
                               ELSE -(n.h / 100 %% 12) END * interval '1 minute' AS recorded_at,
               row_number() OVER (ORDER BY n.h, c.critical_control_point_id, g.due_at) AS place,
               f.kept
        FROM rest.critical_control_point AS c
        JOIN rest.hazard_analysis AS h
            ON h.business_id = c.business_id AND h.hazard_analysis_id = c.hazard_analysis_id
        JOIN rest.haccp_plan AS p
            ON p.business_id = h.business_id AND p.haccp_plan_id = h.haccp_plan_id
        JOIN rest.business_day AS b
            ON b.business_id = p.business_id AND b.location_id = p.location_id
        CROSS JOIN LATERAL (
            SELECT b.opened_at + x * c.monitor_every_minutes * interval '1 minute' AS due_at
            FROM generate_series(1, 960 / c.monitor_every_minutes) AS x
        ) AS g
        CROSS JOIN LATERAL (
            SELECT ('x' || substr(md5(c.critical_control_point_id::text
                                      || extract(epoch FROM g.due_at)), 1, 7))::bit(28)
                       ::integer AS h
        ) AS n
        CROSS JOIN (
            SELECT (SELECT greatest(40, count(*) * 3600 / 9000)
                    FROM rest.guest_order AS o
                    WHERE o.business_id = %(business_id)s) AS kept,
                   (SELECT count(*)
                    FROM rest.staff_member AS x
                    WHERE x.business_id = %(business_id)s AND x.status = 'active') AS staff
        ) AS f
        WHERE c.business_id = %(business_id)s AND c.is_active
          AND g.due_at < coalesce(b.closed_at, %(as_of)s)
          AND g.due_at + interval '1 hour' <= %(as_of)s
    ) AS w
    WHERE w.place <= w.kept
) AS m
JOIN (
    SELECT x.staff_member_id, row_number() OVER (ORDER BY x.employee_number) - 1 AS place
    FROM rest.staff_member AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
) AS s ON s.place = m.h %% m.staff
JOIN (
    SELECT x.staff_member_id, row_number() OVER (ORDER BY x.employee_number) - 1 AS place
    FROM rest.staff_member AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
) AS v ON v.place = (m.h + 1) %% m.staff
LEFT JOIN (
    SELECT x.location_id, x.equipment_kind,
           (array_agg(x.equipment_id ORDER BY x.asset_tag))[1] AS equipment_id
    FROM rest.equipment AS x
    WHERE x.business_id = %(business_id)s
    GROUP BY x.location_id, x.equipment_kind
) AS q ON q.location_id = m.location_id
      AND q.equipment_kind = CASE m.log_kind WHEN 'hot_hold' THEN 'hot_hold'
                                             WHEN 'cold_hold' THEN 'reach_in' END
LEFT JOIN (
    SELECT x.inventory_item_id, row_number() OVER (ORDER BY x.item_code) - 1 AS place,
           count(*) OVER () AS many
    FROM rest.inventory_item AS x
    WHERE x.business_id = %(business_id)s AND x.storage_temp_class = 'chilled'
) AS i ON i.place = m.h / 5 %% i.many
LEFT JOIN (
    SELECT x.menu_item_id, row_number() OVER (ORDER BY x.item_code, x.menu_item_id) - 1 AS place,
           count(*) OVER () AS many
    FROM rest.menu_item AS x
    WHERE x.business_id = %(business_id)s AND x.default_course = 'main'
      AND x.item_kind = 'food'
) AS d ON d.place = m.h / 5 %% d.many;

-- Batches and stocks are cooled down: 94 of 100 in time; what started just now goes on.
INSERT INTO rest.cooling_log
    (business_id, cooling_log_id, started_by_staff_id, location_id, inventory_item_id,
     production_batch_id, container_note, method, started_at, start_temp_c, stage1_due_at,
     stage1_at, stage1_temp_c, stage2_due_at, stage2_at, stage2_temp_c, outcome)
SELECT %(business_id)s, md5('cooling ' || n.nr || %(business_id)s)::uuid, s.staff_member_id,
       l.location_id, i.inventory_item_id, b.production_batch_id,
       (ARRAY['Hotel pan', 'Stock pot', 'Shallow pan', 'Half pan'])[1 + n.h %% 4] || ' ' || n.nr,
       (ARRAY['ice_bath', 'blast_chiller', 'shallow_pan', 'ice_paddle'])[1 + n.h / 4 %% 4],
       n.started_at, 57 + n.h %% 9, n.started_at + interval '2 hours',
       CASE WHEN n.started_at + interval '2 hours' <= %(as_of)s
            THEN n.started_at + interval '2 hours'
                 - CASE WHEN n.slip = 1 THEN 0 ELSE 5 + n.h %% 50 END * interval '1 minute' END,
       CASE WHEN n.started_at + interval '2 hours' <= %(as_of)s
            THEN CASE WHEN n.slip = 1 THEN 22.5 + n.h %% 30 / 10.0 ELSE 14 + n.h %% 66 / 10.0 END
            END,
       n.started_at + interval '6 hours',
       CASE WHEN n.started_at + interval '6 hours' <= %(as_of)s AND n.slip <> 1
            THEN n.started_at + interval '6 hours'
                 - CASE WHEN n.slip = 2 THEN 0 ELSE 10 + n.h %% 100 END * interval '1 minute' END,
       CASE WHEN n.started_at + interval '6 hours' <= %(as_of)s AND n.slip <> 1
            THEN CASE WHEN n.slip = 2 THEN 6 + n.h %% 30 / 10.0 ELSE 2 + n.h %% 29 / 10.0 END END,
       'in_progress'
FROM (
    SELECT g.nr, w.h,
           CASE g.nr %% 33 WHEN 7 THEN 1 WHEN 20 THEN 2 ELSE 0 END AS slip,
           %(as_of)s - interval '50 minutes' - g.nr * interval '30 days' / f.many AS started_at
    FROM (
        SELECT greatest(9, least(300, count(*) / 30)) AS many
        FROM rest.guest_order AS o
        WHERE o.business_id = %(business_id)s
    ) AS f
    CROSS JOIN LATERAL generate_series(0, f.many - 1) AS g (nr)
    CROSS JOIN LATERAL (
        SELECT ('x' || substr(md5('cooling ' || g.nr || %(business_id)s), 1, 7))::bit(28)::integer
            AS h
    ) AS w
) AS n
JOIN (
    SELECT x.location_id, row_number() OVER (ORDER BY x.location_code) - 1 AS place,
           count(*) OVER () AS many
    FROM rest.location AS x
    WHERE x.business_id = %(business_id)s
) AS l ON l.place = n.nr %% l.many
JOIN (
    SELECT x.staff_member_id, row_number() OVER (ORDER BY x.employee_number) - 1 AS place,
           count(*) OVER () AS many
    FROM rest.staff_member AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
) AS s ON s.place = n.h %% s.many
JOIN (
    SELECT x.inventory_item_id,
           row_number() OVER (ORDER BY x.item_kind <> 'prep', x.item_code) - 1 AS place,
           least(count(*) OVER (), greatest(
               count(*) FILTER (WHERE x.item_kind = 'prep') OVER (), 3)) AS many
    FROM rest.inventory_item AS x
    WHERE x.business_id = %(business_id)s
) AS i ON i.place = n.h / 3 %% i.many
LEFT JOIN (
    SELECT r.produces_item_id, k.location_id, date(x.completed_at AT TIME ZONE 'UTC') AS made_on,
           (array_agg(x.production_batch_id ORDER BY x.completed_at, x.batch_number,
                                                     x.production_batch_id))[1]
               AS production_batch_id
    FROM rest.production_batch AS x
    JOIN rest.recipe AS r ON r.business_id = x.business_id AND r.recipe_id = x.recipe_id
    JOIN rest.kitchen AS k ON k.business_id = x.business_id AND k.kitchen_id = x.kitchen_id
    WHERE x.business_id = %(business_id)s AND x.completed_at IS NOT NULL
    GROUP BY 1, 2, 3
) AS b ON b.produces_item_id = i.inventory_item_id AND b.location_id = l.location_id
      AND b.made_on = date(n.started_at AT TIME ZONE 'UTC');

-- What failed was heated again or thrown away.
UPDATE rest.cooling_log AS g
SET outcome = CASE WHEN g.outcome = 'failed_stage1' AND g.method IN ('ice_bath', 'blast_chiller')
                   THEN 'reheated' ELSE 'discarded' END
WHERE g.business_id = %(business_id)s AND g.outcome IN ('failed_stage1', 'failed_stage2')
  AND g.method <> 'ice_paddle';
