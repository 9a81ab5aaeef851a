-- The customer opens the link of an inspection on a phone: every point with its pictures.
-- budget: p95 120ms
-- weight: 8
-- mode: read
-- rows: >=1
-- params: share_token from auto.inspection where status IN ('sent', 'viewed')
SELECT i.business_id, i.inspection_id, i.inspection_number, i.completed_at, i.overall_score,
       i.red_count, i.yellow_count, i.green_count, v.vin, v.license_plate, p.item_seq,
       p.section_name, p.name, r.wheel_position, r.condition, r.measured_value, r.unit_code,
       r.finding_text, m.media
FROM auto.inspection AS i
JOIN auto.vehicle AS v
    ON v.business_id = %(business_id)s AND v.vehicle_id = i.vehicle_id
JOIN auto.inspection_result AS r
    ON r.business_id = %(business_id)s AND r.inspection_id = i.inspection_id
JOIN auto.inspection_template_item AS p
    ON p.business_id = %(business_id)s
   AND p.inspection_template_item_id = r.inspection_template_item_id
LEFT JOIN (
    SELECT x.inspection_id, x.inspection_result_id,
           jsonb_agg(jsonb_build_object('file', x.file_object_id, 'kind', x.media_kind,
                                        'caption', x.caption) ORDER BY x.display_seq) AS media
    FROM auto.inspection_media AS x
    WHERE x.business_id = %(business_id)s AND x.is_customer_visible
      AND x.upload_status = 'uploaded'
      AND x.inspection_id = (SELECT y.inspection_id FROM auto.inspection AS y
                             WHERE y.business_id = %(business_id)s
                               AND y.share_token = %(share_token)s)
    GROUP BY x.inspection_id, x.inspection_result_id
) AS m ON m.inspection_id = i.inspection_id AND m.inspection_result_id = r.inspection_result_id
WHERE i.business_id = %(business_id)s AND i.share_token = %(share_token)s
ORDER BY p.item_seq, r.wheel_position
