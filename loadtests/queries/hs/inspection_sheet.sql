-- A reviewer opens a filled checklist: questions in order with their answers and findings.
-- budget: p95 80ms
-- weight: 3
-- mode: read
-- rows: >=1
-- params: inspection_id from hs.inspection where status NOT IN ('scheduled', 'void')
SELECT i.business_id, i.inspection_number, i.status, i.score_pct, i.result, m.section_name,
       m.item_seq, m.prompt, r.verdict, r.severity, r.answer_text, r.answer_value,
       r.comment_text, r.photo_file_object_id, d.deficiency_number, d.status AS finding_status
FROM hs.inspection AS i
JOIN hs.inspection_template_item AS m
    ON m.business_id = %(business_id)s
   AND m.inspection_template_id = i.inspection_template_id
LEFT JOIN hs.inspection_response AS r
    ON r.business_id = %(business_id)s AND r.inspection_id = i.inspection_id
   AND r.inspection_template_item_id = m.inspection_template_item_id
LEFT JOIN hs.deficiency AS d
    ON d.business_id = %(business_id)s AND d.inspection_response_id = r.inspection_response_id
WHERE i.business_id = %(business_id)s AND i.inspection_id = %(inspection_id)s
ORDER BY m.item_seq
