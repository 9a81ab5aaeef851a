-- A manager looks at the cold chain: every sensor, its last reading, its last day, its open alarm.
-- budget: p95 150ms
-- weight: 4
-- mode: read
-- rows: >=1
SELECT s.business_id, q.display_name, q.equipment_kind, s.sensor_serial, s.status,
       s.last_reading_c, s.last_reading_at, s.alarm_low_c, s.alarm_high_c, s.battery_pct,
       c.curve, c.share_out, a.action_number, a.opened_at
FROM rest.temperature_sensor AS s
JOIN rest.equipment AS q
    ON q.business_id = %(business_id)s AND q.equipment_id = s.equipment_id
LEFT JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_array(b.at, b.degrees) ORDER BY b.at) AS curve,
           round(sum(b.beyond) / sum(b.readings), 4) AS share_out
    FROM (
        SELECT date_bin('5 minutes', r.read_at, timestamptz '2000-01-01 00:00+00') AS at,
               round(avg(r.temperature_c), 2) AS degrees, count(*) AS readings,
               count(*) FILTER (WHERE r.is_out_of_range) AS beyond
        FROM rest.temperature_reading AS r
        WHERE r.business_id = %(business_id)s
          AND r.temperature_sensor_id = s.temperature_sensor_id
          AND r.read_at > s.last_reading_at - interval '24 hours'
          AND r.read_at <= s.last_reading_at
        GROUP BY 1
    ) AS b
) AS c ON true
LEFT JOIN LATERAL (
    SELECT x.action_number, x.opened_at
    FROM rest.corrective_action AS x
    WHERE x.business_id = %(business_id)s AND x.equipment_id = s.equipment_id
      AND x.trigger_kind = 'sensor_alarm' AND x.state IN ('open', 'in_progress', 'overdue')
    ORDER BY x.opened_at DESC
    LIMIT 1
) AS a ON true
WHERE s.business_id = %(business_id)s AND s.status <> 'retired'
ORDER BY q.display_name, s.sensor_serial
