-- A job that mends another is a callback, on whoever led the first.
INSERT INTO hs.callback
    (business_id, callback_id, original_work_order_id, callback_work_order_id, cause,
     responsible_technician_id, days_since_original, labor_cost, material_cost, reported_on,
     reviewed_on, resolution_note)
SELECT w.business_id, md5(w.work_order_id || ' callback')::uuid, o.work_order_id,
       w.work_order_id,
       (ARRAY['workmanship', 'workmanship', 'part_failure', 'misdiagnosis',
              'customer_education', 'manufacturer_defect', 'not_related'])[1 + d.hash % 7],
       t.technician_id, d.reported_on - (o.completed_at AT TIME ZONE b.time_zone)::date,
       60 + d.hash % 9 * 20, d.hash % 5 * 15, d.reported_on,
       CASE WHEN w.completed_at IS NOT NULL THEN d.reported_on + 3 + d.hash % 9 END,
       CASE WHEN w.completed_at IS NOT NULL THEN 'Mended at no charge.' END
FROM hs.work_order AS w
JOIN hs.work_order AS o
    ON o.business_id = w.business_id AND o.work_order_id = w.original_work_order_id
JOIN tenant_mgmt.business AS b ON b.business_id = w.business_id
CROSS JOIN LATERAL (
    SELECT ('x' || right(md5(w.work_order_id::text), 6))::bit(24)::integer AS hash,
           (w.requested_at AT TIME ZONE b.time_zone)::date AS reported_on
) AS d
LEFT JOIN LATERAL (
    SELECT a.technician_id
    FROM hs.appointment AS p
    JOIN hs.appointment_assignment AS a
        ON a.business_id = p.business_id AND a.appointment_id = p.appointment_id
    WHERE p.business_id = o.business_id AND p.work_order_id = o.work_order_id
    ORDER BY a.assignment_role <> 'lead', a.planned_start_at DESC
    LIMIT 1
) AS t ON true
WHERE w.business_id = %(business_id)s AND w.requested_at >= o.completed_at;

-- Surveys and complaints are about who led the last visit.
CREATE TEMPORARY TABLE last_lead ON COMMIT DROP AS
SELECT DISTINCT ON (p.work_order_id) p.work_order_id, a.technician_id
FROM hs.appointment AS p
JOIN hs.appointment_assignment AS a
    ON a.business_id = p.business_id AND a.appointment_id = p.appointment_id
   AND a.assignment_role = 'lead'
WHERE p.business_id = %(business_id)s AND p.work_order_id IS NOT NULL
ORDER BY p.work_order_id, a.planned_start_at DESC, a.technician_id;
UPDATE hs.customer_survey AS s
SET technician_id = l.technician_id
FROM last_lead AS l
WHERE s.business_id = %(business_id)s AND l.work_order_id = s.work_order_id;
UPDATE hs.customer_complaint AS k
SET technician_id = l.technician_id
FROM last_lead AS l
WHERE k.business_id = %(business_id)s AND k.technician_id IS NOT NULL
  AND l.work_order_id = k.work_order_id;
