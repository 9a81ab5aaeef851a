-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- Checked by an advisor's colleague who led no job of it; one in fourteen fails the first time.
INSERT INTO auto.quality_check
    (business_id, quality_check_id, repair_order_id, checked_by_technician_id, check_kind,
     checked_at, attempt_no, result, wheel_torque_ftlb, retorque_due_distance,
     road_test_distance_mi, checklist, failure_text, reset_reminders_done)
SELECT o.business_id, md5('check ' || a.attempt || o.repair_order_id)::uuid, o.repair_order_id,
       t.technician_id, k.kind, o.completed_at - (4 - a.attempt) * interval '6 minutes', a.attempt,
       CASE WHEN a.attempt < d.attempts THEN 'fail' ELSE 'pass' END,
       CASE k.kind WHEN 'wheel_torque' THEN 100 END,
       CASE k.kind WHEN 'wheel_torque' THEN 50 END,
       CASE k.kind WHEN 'road_test' THEN 3.5 END,
       '{"fluids": "ok", "lights": "ok", "no_leaks": "ok"}'::jsonb,
       CASE WHEN a.attempt < d.attempts THEN 'Noise is still there' END, true
FROM auto.repair_order AS o
CROSS JOIN LATERAL (
    SELECT x.dice, CASE WHEN x.dice %% 14 = 3 THEN 2 ELSE 1 END AS attempts
    FROM (SELECT ('x' || substr(md5(o.repair_order_id || 'check'), 1, 7))::bit(28)::integer
                 AS dice) AS x
) AS d
CROSS JOIN LATERAL (
    SELECT CASE d.dice %% 3 WHEN 0 THEN 'road_test' WHEN 1 THEN 'wheel_torque'
                            ELSE 'visual' END AS kind
) AS k
CROSS JOIN generate_series(1, 2) AS a (attempt)
JOIN LATERAL (
    SELECT x.technician_id
    FROM auto.technician AS x
    WHERE x.business_id = o.business_id
      AND x.technician_id NOT IN (SELECT j.lead_technician_id
                                  FROM auto.repair_job AS j
                                  WHERE j.business_id = o.business_id
                                    AND j.repair_order_id = o.repair_order_id
                                    AND j.lead_technician_id IS NOT NULL)
    ORDER BY x.employee_number
    LIMIT 1
) AS t ON true
WHERE o.business_id = %(business_id)s AND o.completed_at IS NOT NULL
  AND o.status IN ('ready_for_pickup', 'invoiced', 'closed') AND a.attempt <= d.attempts;
