-- An inspection is where its job is.
UPDATE hs.inspection AS i
SET service_location_id = l.service_location_id
FROM hs.work_order AS w
JOIN hs.service_location AS l
    ON l.business_id = w.business_id AND l.service_location_id = w.service_location_id
WHERE i.business_id = %(business_id)s
  AND w.business_id = i.business_id AND w.work_order_id = i.work_order_id
  AND i.service_location_id <> l.service_location_id;
UPDATE hs.inspection AS i
SET work_order_id = NULL, service_location_id = NULL
WHERE i.business_id = %(business_id)s AND i.inspection_kind = 'truck';

-- Every question of an inspection that was begun is answered; one answer in twenty is a failure,
-- of critical questions one in eighty.
INSERT INTO hs.inspection_response
    (business_id, inspection_response_id, inspection_id, inspection_template_item_id,
     photo_file_object_id, verdict, severity, answer_text, answer_value, comment_text, is_flagged,
     answered_at)
SELECT i.business_id, md5(i.inspection_id || m.inspection_template_item_id::text)::uuid,
       i.inspection_id, m.inspection_template_item_id,
       CASE WHEN v.verdict = 'fail' AND m.requires_photo_on_fail THEN f.file_object_id END,
       v.verdict,
       CASE WHEN v.verdict <> 'fail' THEN 'none' WHEN m.is_critical THEN 'critical'
            WHEN d.hash % 3 = 0 THEN 'major' ELSE 'minor' END,
       CASE m.answer_kind WHEN 'choice' THEN m.choices ->> d.hash % 3 END,
       CASE m.answer_kind WHEN 'number' THEN CASE v.verdict WHEN 'fail' THEN m.max_value + 7
                                                  ELSE d.hash % (m.max_value + 1) END
                          WHEN 'rating' THEN CASE v.verdict WHEN 'fail' THEN 2
                                                  ELSE 4 + d.hash % 2 END END,
       CASE v.verdict WHEN 'fail' THEN 'Told the customer on site.' END,
       v.verdict = 'fail' AND d.hash % 2 = 0,
       i.started_at + m.item_seq * interval '2 minutes'
FROM hs.inspection AS i
JOIN hs.inspection_template_item AS m
    ON m.business_id = i.business_id AND m.inspection_template_id = i.inspection_template_id
CROSS JOIN LATERAL (
    SELECT ('x' || right(md5(i.inspection_id || m.inspection_template_item_id::text), 6)
           )::bit(24)::integer AS hash
) AS d
LEFT JOIN (
    SELECT x.file_object_id, row_number() OVER (ORDER BY x.file_object_id) - 1 AS place
    FROM system_core.file_object AS x
    WHERE x.business_id = %(business_id)s
) AS f ON f.place = d.hash % (SELECT nullif(count(*), 0) FROM system_core.file_object AS x
                              WHERE x.business_id = %(business_id)s)
CROSS JOIN LATERAL (
    SELECT CASE WHEN m.answer_kind IN ('text', 'signature', 'photo') THEN 'info'
                WHEN m.answer_kind = 'choice' THEN 'info'
                WHEN d.hash % 80 = 0 THEN 'fail'
                WHEN NOT m.is_critical AND d.hash % 20 = 1 THEN 'fail'
                WHEN d.hash % 25 = 2 AND m.answer_kind = 'pass_fail' THEN 'not_applicable'
                ELSE 'pass' END AS wanted
) AS w
CROSS JOIN LATERAL (
    SELECT CASE WHEN w.wanted = 'fail' AND m.requires_photo_on_fail AND f.file_object_id IS NULL
                THEN 'pass' ELSE w.wanted END AS verdict
) AS v
WHERE i.business_id = %(business_id)s
  AND i.status NOT IN ('scheduled', 'void')
  AND (i.status <> 'in_progress' OR m.item_seq <= 5);

-- A failure at a customer's place is a finding, with what became of it.
INSERT INTO hs.deficiency
    (business_id, deficiency_id, inspection_id, inspection_response_id, service_location_id,
     estimate_id, found_on_work_order_id, deficiency_number, category, severity, status,
     description, is_red_tagged, declined_by_name, found_on, target_on, resolved_on)
SELECT r.business_id, md5(r.inspection_response_id || ' finding')::uuid, r.inspection_id,
       r.inspection_response_id, i.service_location_id,
       CASE s.status WHEN 'quoted' THEN e.estimate_id END, i.work_order_id,
       'DEF-' || lpad(row_number() OVER (ORDER BY r.answered_at, r.inspection_response_id)::text,
                      6, '0'),
       k.category, CASE r.severity WHEN 'none' THEN 'minor' ELSE r.severity END, s.status,
       m.prompt, k.category = 'safety' AND r.severity = 'critical',
       CASE s.status WHEN 'declined' THEN 'The owner' END, d.found_on,
       d.found_on + 30, CASE s.status WHEN 'resolved' THEN d.found_on + d.hash % 28 END
FROM hs.inspection_response AS r
JOIN hs.inspection AS i
    ON i.business_id = r.business_id AND i.inspection_id = r.inspection_id
JOIN hs.inspection_template_item AS m
    ON m.business_id = r.business_id
   AND m.inspection_template_item_id = r.inspection_template_item_id
CROSS JOIN LATERAL (
    SELECT (r.answered_at AT TIME ZONE 'UTC')::date AS found_on,
           ('x' || right(md5(r.inspection_response_id::text), 6))::bit(24)::integer AS hash
) AS d
CROSS JOIN LATERAL (
    SELECT CASE i.inspection_kind WHEN 'safety' THEN 'safety'
                                  WHEN 'install_qc' THEN 'workmanship'
                                  WHEN 'ride_along' THEN 'workmanship'
                                  ELSE 'performance' END AS category
) AS k
LEFT JOIN LATERAL (
    SELECT x.estimate_id FROM hs.estimate AS x
    WHERE x.business_id = r.business_id AND x.service_location_id = i.service_location_id
    ORDER BY x.estimate_id LIMIT 1
) AS e ON true
CROSS JOIN LATERAL (
    SELECT CASE WHEN d.hash % 20 < 10 THEN 'resolved' WHEN d.hash % 20 < 13 THEN 'declined'
                WHEN d.hash % 20 < 15 THEN 'deferred' WHEN d.hash % 20 < 16 THEN 'approved'
                WHEN d.hash % 20 < 18 AND e.estimate_id IS NOT NULL THEN 'quoted'
                ELSE 'open' END AS status
) AS s
WHERE r.business_id = %(business_id)s
  AND r.verdict = 'fail' AND i.service_location_id IS NOT NULL;

-- One finding in four got somebody to do something about it.
INSERT INTO hs.corrective_action
    (business_id, corrective_action_id, deficiency_id, action_number, action_kind, status,
     description, assigned_on, due_on, completed_on, cost_amount)
SELECT d.business_id, md5(d.deficiency_id || ' action')::uuid, d.deficiency_id,
       'CA-D' || right(d.deficiency_number, 6), 'rework',
       CASE d.status WHEN 'resolved' THEN 'done' ELSE 'open' END, 'Mend: ' || d.description,
       d.found_on, d.target_on, d.resolved_on, CASE d.status WHEN 'resolved' THEN 140 ELSE 0 END
FROM hs.deficiency AS d
WHERE d.business_id = %(business_id)s AND d.status <> 'declined'
  AND right(d.deficiency_number, 6)::integer % 4 = 0;

-- Who was asked is somebody of the customer; nobody is asked before the job is done.
DELETE FROM hs.customer_survey AS s
USING hs.work_order AS w
WHERE s.business_id = %(business_id)s
  AND w.business_id = s.business_id AND w.work_order_id = s.work_order_id
  AND w.completed_at IS NULL;
UPDATE hs.customer_survey AS s
SET customer_contact_id = c.customer_contact_id
FROM hs.work_order AS w, hs.customer_contact AS c
WHERE s.business_id = %(business_id)s
  AND w.business_id = s.business_id AND w.work_order_id = s.work_order_id
  AND c.business_id = w.business_id AND c.customer_id = w.customer_id AND c.is_primary;
UPDATE hs.customer_complaint AS k
SET customer_id = c.customer_id
FROM hs.work_order AS w
JOIN hs.customer AS c ON c.business_id = w.business_id AND c.customer_id = w.customer_id
WHERE k.business_id = %(business_id)s
  AND w.business_id = k.business_id AND w.work_order_id = k.work_order_id
  AND k.customer_id <> c.customer_id;
