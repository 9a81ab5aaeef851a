-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- Every order that was looked at has an estimate; one in four was revised.
INSERT INTO auto.estimate
    (business_id, estimate_id, repair_order_id, version_no, estimate_kind, prepared_at, sent_at,
     sent_via, viewed_at, expires_at, labor_amount, parts_amount, fees_amount, tax_amount,
     lines_document, status)
SELECT o.business_id, md5('estimate ' || v.version || o.repair_order_id)::uuid, o.repair_order_id,
       v.version, CASE v.version WHEN 1 THEN 'initial' ELSE 'revised' END,
       o.opened_at + v.version * interval '30 minutes',
       o.opened_at + v.version * interval '34 minutes',
       CASE WHEN d.dice %% 5 = 0 THEN 'email' WHEN d.dice %% 7 = 0 THEN 'print' ELSE 'sms' END,
       CASE WHEN d.dice %% 5 > 0 THEN o.opened_at + v.version * interval '41 minutes' END,
       o.opened_at + interval '30 days',
       round(n.labor * CASE WHEN v.version < d.versions THEN 0.8 ELSE 1 END, 2),
       round(n.parts * CASE WHEN v.version < d.versions THEN 0.8 ELSE 1 END, 2), 0,
       round(n.parts * CASE WHEN v.version < d.versions THEN 0.08 ELSE 0.1 END, 2), n.document,
       CASE WHEN v.version < d.versions THEN 'superseded'
            WHEN o.status IN ('checked_in', 'diagnosis', 'awaiting_authorization')
            THEN CASE WHEN d.dice %% 5 > 0 THEN 'viewed' ELSE 'sent' END
            WHEN o.status = 'cancelled' THEN 'declined'
            WHEN n.declined > 0 THEN 'partly_approved' ELSE 'approved' END
FROM auto.repair_order AS o
JOIN (
    SELECT j.repair_order_id, sum(j.labor_total) AS labor, sum(j.parts_total) AS parts,
           count(*) FILTER (WHERE j.status IN ('declined', 'proposed')) AS declined,
           jsonb_build_object('jobs', jsonb_agg(jsonb_build_object(
               'seq', j.job_seq, 'name', j.name, 'labor', j.labor_total, 'parts', j.parts_total)
               ORDER BY j.job_seq)) AS document
    FROM auto.repair_job AS j
    WHERE j.business_id = %(business_id)s
    GROUP BY j.repair_order_id
) AS n ON n.repair_order_id = o.repair_order_id
CROSS JOIN LATERAL (
    SELECT x.dice, CASE WHEN x.dice %% 4 = 1 THEN 2 ELSE 1 END AS versions
    FROM (SELECT ('x' || substr(md5(o.repair_order_id || 'estimate'), 1, 7))::bit(28)::integer
                 AS dice) AS x
) AS d
CROSS JOIN generate_series(1, 2) AS v (version)
WHERE o.business_id = %(business_id)s AND o.status <> 'scheduled' AND v.version <= d.versions;

-- Who agreed, who declined: for the order as a whole, and for each job that was declined.
INSERT INTO auto.customer_authorization
    (business_id, customer_authorization_id, repair_order_id, estimate_id, decision, method,
     decided_at, authorized_total, called_number, person_name, document_hash)
SELECT o.business_id, md5('agreed ' || o.repair_order_id)::uuid, o.repair_order_id, e.estimate_id,
       'approved', m.method, o.opened_at + interval '75 minutes', o.authorized_amount,
       CASE m.method WHEN 'phone' THEN '+13125550142' END,
       CASE m.method WHEN 'phone' THEN 'The owner' END,
       sha256(convert_to(e.lines_document::text, 'UTF8'))
FROM auto.repair_order AS o
JOIN auto.estimate AS e
    ON e.business_id = o.business_id AND e.repair_order_id = o.repair_order_id
   AND e.status IN ('approved', 'partly_approved')
CROSS JOIN LATERAL (
    SELECT CASE x.dice WHEN 0 THEN 'phone' WHEN 1 THEN 'signature' WHEN 2 THEN 'email'
                       ELSE 'sms_link' END AS method
    FROM (SELECT ('x' || substr(md5(o.repair_order_id || 'how'), 1, 7))::bit(28)::integer %% 6
                 AS dice) AS x
) AS m
WHERE o.business_id = %(business_id)s;

INSERT INTO auto.customer_authorization
    (business_id, customer_authorization_id, repair_order_id, estimate_id, repair_job_id, decision,
     method, decided_at, reason_text)
SELECT j.business_id, md5('declined ' || j.repair_job_id)::uuid, j.repair_order_id, e.estimate_id,
       j.repair_job_id, 'declined', 'sms_link', j.decided_at,
       CASE WHEN j.is_safety_critical THEN 'Told that it is not safe to drive'
            ELSE 'Next time' END
FROM auto.repair_job AS j
JOIN auto.estimate AS e
    ON e.business_id = j.business_id AND e.repair_order_id = j.repair_order_id
   AND e.status <> 'superseded'
WHERE j.business_id = %(business_id)s AND j.status = 'declined';
