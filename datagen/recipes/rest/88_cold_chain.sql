SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- Each stretch out of limits for longer than the delay of its sensor was acted on.
INSERT INTO rest.corrective_action
    (business_id, corrective_action_id, assigned_staff_id, equipment_id, action_number,
     trigger_kind, deviation_text, action_text, product_disposition, opened_at, due_at,
     completed_at, state)
SELECT %(business_id)s, w.key, s.staff_member_id, w.equipment_id,
       'CA-' || upper(right(w.key::text, 12)), 'sensor_alarm',
       w.display_name || ' was out of its limits for more than 30 minutes',
       'Moved the food to the other cooler, closed the door, had the gasket looked at', 'held',
       w.reached_at, w.reached_at + interval '1 hour',
       least(w.reached_at + interval '35 minutes', %(as_of)s), 'completed'
FROM (
    SELECT g.equipment_id, g.display_name, g.location_id,
           md5('alarm ' || g.temperature_sensor_id || extract(epoch FROM g.first_at))::uuid AS key,
           min(g.read_at) FILTER (WHERE g.read_at >= g.first_at + g.delay) AS reached_at
    FROM (
        SELECT k.*, min(k.read_at) FILTER (WHERE k.is_out_of_range) OVER (
                   PARTITION BY k.temperature_sensor_id, k.stretch) AS first_at
        FROM (
            SELECT r.temperature_sensor_id, r.read_at, r.is_out_of_range, q.equipment_id,
                   q.display_name, q.location_id,
                   x.alarm_delay_minutes * interval '1 minute' AS delay,
                   count(*) FILTER (WHERE NOT r.is_out_of_range) OVER (
                       PARTITION BY r.temperature_sensor_id ORDER BY r.read_at) AS stretch
            FROM rest.temperature_reading AS r
            JOIN rest.temperature_sensor AS x
                ON x.business_id = r.business_id
               AND x.temperature_sensor_id = r.temperature_sensor_id
            JOIN rest.equipment AS q
                ON q.business_id = x.business_id AND q.equipment_id = x.equipment_id
            WHERE r.business_id = %(business_id)s
        ) AS k
    ) AS g
    WHERE g.is_out_of_range
    GROUP BY g.equipment_id, g.display_name, g.location_id, g.temperature_sensor_id, g.first_at
) AS w
CROSS JOIN (
    SELECT x.staff_member_id
    FROM rest.staff_member AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
    ORDER BY x.hired_on, x.employee_number
    LIMIT 1
) AS s
WHERE w.reached_at IS NOT NULL
  AND NOT EXISTS (SELECT FROM rest.corrective_action AS c
                  WHERE c.business_id = %(business_id)s AND c.equipment_id = w.equipment_id
                    AND c.trigger_kind = 'sensor_alarm'
                    AND c.opened_at BETWEEN w.reached_at - interval '1 hour'
                                        AND w.reached_at + interval '1 hour');

-- So was each cooling that failed; what was neither reheated nor discarded is still open.
INSERT INTO rest.corrective_action
    (business_id, corrective_action_id, assigned_staff_id, cooling_log_id, action_number,
     trigger_kind, deviation_text, action_text, product_disposition, opened_at, due_at,
     completed_at, state)
SELECT g.business_id, n.key, g.started_by_staff_id, g.cooling_log_id,
       'CA-' || upper(right(n.key::text, 12)), 'cooling_failure',
       g.container_note || ' did not cool down in time',
       CASE n.is_done WHEN true THEN 'Batch ' || g.outcome END,
       CASE n.is_done WHEN true THEN g.outcome END,
       coalesce(g.stage2_at, g.stage1_at), coalesce(g.stage2_at, g.stage1_at) + interval '1 hour',
       CASE n.is_done WHEN true
            THEN least(coalesce(g.stage2_at, g.stage1_at) + interval '20 minutes', %(as_of)s) END,
       CASE n.is_done WHEN true THEN 'completed' ELSE 'open' END
FROM rest.cooling_log AS g
CROSS JOIN LATERAL (
    SELECT md5('cooling action ' || g.cooling_log_id)::uuid AS key,
           g.outcome IN ('reheated', 'discarded') AS is_done
) AS n
WHERE g.business_id = %(business_id)s
  AND g.outcome IN ('failed_stage1', 'failed_stage2', 'reheated', 'discarded')
  AND g.stage1_at IS NOT NULL
  AND NOT EXISTS (SELECT FROM rest.corrective_action AS c
                  WHERE c.business_id = g.business_id AND c.cooling_log_id = g.cooling_log_id);
