-- The technician opens a job: its lines, steps, units, holds and media in one answer.
-- budget: p95 100ms
-- weight: 8
-- mode: read
-- rows: >=1
-- params: work_order_id from hs.work_order
SELECT w.business_id, w.work_order_number, w.summary, w.status, w.priority, w.requested_at,
       w.promised_by_at, w.actual_cost_amount, line.lines, step.steps, unit.units, stop.holds,
       picture.media
FROM hs.work_order AS w
CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object('no', l.line_no, 'kind', l.line_kind,
                                        'text', l.description, 'qty', l.line_qty,
                                        'total', l.line_total) ORDER BY l.line_no) AS lines
    FROM hs.work_order_line AS l
    WHERE l.business_id = %(business_id)s AND l.work_order_id = w.work_order_id
      AND l.voided_at IS NULL
) AS line
CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object('seq', t.task_seq, 'text', t.instruction,
                                        'status', t.status, 'mandatory', t.is_mandatory)
                     ORDER BY t.task_seq) AS steps
    FROM hs.work_order_task AS t
    WHERE t.business_id = %(business_id)s AND t.work_order_id = w.work_order_id
) AS step
CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object('tag', i.asset_tag, 'serial', i.serial_number,
                                        'action', e.service_action, 'primary', e.is_primary)
                     ORDER BY e.is_primary DESC, i.asset_tag) AS units
    FROM hs.work_order_equipment AS e
    JOIN hs.installed_equipment AS i
        ON i.business_id = %(business_id)s
       AND i.installed_equipment_id = e.installed_equipment_id
    WHERE e.business_id = %(business_id)s AND e.work_order_id = w.work_order_id
) AS unit
CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object('kind', h.hold_kind, 'held_at', h.held_at,
                                        'released_at', h.released_at)
                     ORDER BY h.held_at DESC) AS holds
    FROM hs.work_order_hold AS h
    WHERE h.business_id = %(business_id)s AND h.work_order_id = w.work_order_id
) AS stop
CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_object('file', m.file_object_id, 'kind', m.media_kind,
                                        'stage', m.stage) ORDER BY m.taken_at) AS media
    FROM hs.work_order_media AS m
    WHERE m.business_id = %(business_id)s AND m.work_order_id = w.work_order_id
) AS picture
WHERE w.business_id = %(business_id)s AND w.work_order_id = %(work_order_id)s;
