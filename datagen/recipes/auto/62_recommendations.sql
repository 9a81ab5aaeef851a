-- Every finding is recommended once an inspection and job; what the same vehicle was told before
-- is not open any more.
INSERT INTO auto.service_recommendation
    (business_id, service_recommendation_id, converted_repair_job_id,
     recommended_by_technician_id, vehicle_id, inspection_result_id, detected_dtc_id, canned_job_id,
     title, urgency, recommended_on, quoted_amount, status, declined_reason, decline_count,
     follow_up_on, valid_until_on, source_kind, created_at, updated_at)
SELECT a.business_id, md5(coalesce(a.inspection_result_id, a.detected_dtc_id) || ' advice')::uuid,
       CASE WHEN s.status IN ('approved', 'done') THEN a.repair_job_id END,
       a.technician_id, a.vehicle_id, a.inspection_result_id, a.detected_dtc_id, a.canned_job_id,
       a.title, a.urgency, a.recommended_on,
       CASE WHEN s.status = 'open' THEN 0 ELSE 45 + get_byte(a.byte, 3) * 3.5 END, s.status,
       CASE WHEN s.status = 'declined'
            THEN (ARRAY['price', 'price', 'time', 'second_opinion', 'did_elsewhere',
                        'selling_vehicle', 'other'])[1 + get_byte(a.byte, 4) %% 7] END,
       CASE WHEN s.status = 'declined' THEN 1 + get_byte(a.byte, 5) %% 2
            WHEN s.status = 'done' AND get_byte(a.byte, 5) < 40 THEN 1 ELSE 0 END,
       CASE WHEN s.status IN ('declined', 'deferred')
            THEN a.recommended_on + 30 + get_byte(a.byte, 6) %% 60 END,
       a.recommended_on + 90, a.source_kind, a.recommended_at, a.recommended_at
FROM (
    SELECT f.*, uuid_send(md5(coalesce(f.inspection_result_id, f.detected_dtc_id) || ' said')::uuid)
               AS byte,
           row_number() OVER (PARTITION BY f.vehicle_id, coalesce(f.canned_job_id::text, f.title)
                              ORDER BY f.recommended_at DESC, f.inspection_result_id,
                                       f.detected_dtc_id) AS age
    FROM (
        (SELECT DISTINCT ON (r.inspection_id, coalesce(p.canned_job_id::text, p.name))
                r.business_id, n.vehicle_id, n.technician_id, r.inspection_result_id,
                NULL::uuid AS detected_dtc_id, p.canned_job_id, p.name AS title,
                CASE WHEN r.condition = 'red' AND p.is_safety_item THEN 'safety_now'
                     WHEN r.condition = 'red' OR p.is_safety_item THEN 'soon'
                     ELSE 'monitor' END AS urgency,
                n.started_at AS recommended_at,
                (n.started_at AT TIME ZONE 'UTC')::date AS recommended_on,
                'inspection' AS source_kind, j.repair_job_id
         FROM auto.inspection_result AS r
         JOIN auto.inspection AS n
             ON n.business_id = r.business_id AND n.inspection_id = r.inspection_id
         JOIN auto.inspection_template_item AS p
             ON p.business_id = r.business_id
            AND p.inspection_template_item_id = r.inspection_template_item_id
         LEFT JOIN LATERAL (
             SELECT x.repair_job_id FROM auto.repair_job AS x
             WHERE x.business_id = n.business_id AND x.repair_order_id = n.repair_order_id
             ORDER BY x.job_seq DESC, x.repair_job_id LIMIT 1
         ) AS j ON true
         WHERE r.business_id = %(business_id)s AND r.condition IN ('red', 'yellow')
         ORDER BY r.inspection_id, coalesce(p.canned_job_id::text, p.name), r.condition,
                  r.inspection_result_id)
        UNION ALL
        SELECT d.business_id, d.vehicle_id, n.technician_id, NULL, d.detected_dtc_id, NULL,
               'Diagnose ' || d.dtc_code || coalesce(': ' || e.description, ''), 'soon',
               d.detected_at, (d.detected_at AT TIME ZONE 'UTC')::date, 'dtc', d.repair_job_id
        FROM auto.detected_dtc AS d
        JOIN auto.diagnostic_session AS n
            ON n.business_id = d.business_id
           AND n.diagnostic_session_id = d.diagnostic_session_id
        LEFT JOIN auto.dtc_definition AS e
            ON e.business_id = d.business_id AND e.dtc_definition_id = d.dtc_definition_id
        WHERE d.business_id = %(business_id)s AND d.is_current
    ) AS f
) AS a
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN get_byte(a.byte, 1) < 88 AND a.repair_job_id IS NOT NULL THEN 'done'
        WHEN get_byte(a.byte, 1) < 96 AND a.repair_job_id IS NOT NULL THEN 'approved'
        WHEN get_byte(a.byte, 1) < 160 THEN 'declined'
        WHEN get_byte(a.byte, 1) < 185 THEN 'deferred'
        WHEN a.age > 1 OR a.recommended_on < %(as_of)s::date - 90 THEN 'expired'
        WHEN get_byte(a.byte, 1) < 220 THEN 'quoted'
        ELSE 'open' END AS status
) AS s;
