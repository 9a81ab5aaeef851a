-- An inspector taps an answer, again and again; the score follows.
-- budget: p95 80ms
-- weight: 4
-- mode: write
-- rows: >=0
-- params: inspection_id from hs.inspection where status = 'in_progress'
-- values: item_seq = choice(1, 3, 5, 6)
INSERT INTO hs.inspection_response AS r
    (business_id, inspection_id, inspection_template_item_id, verdict, answered_at)
SELECT i.business_id, i.inspection_id, m.inspection_template_item_id, 'pass', now()
FROM hs.inspection AS i
JOIN hs.inspection_template_item AS m
    ON m.business_id = %(business_id)s
   AND m.inspection_template_id = i.inspection_template_id
WHERE i.business_id = %(business_id)s AND i.inspection_id = %(inspection_id)s
  AND m.item_seq = %(item_seq)s::integer
ON CONFLICT (business_id, inspection_id, inspection_template_item_id, installed_equipment_id)
    DO UPDATE SET verdict = 'pass', severity = 'none', answered_at = excluded.answered_at
RETURNING r.business_id, r.inspection_response_id, r.verdict
