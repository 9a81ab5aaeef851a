-- The safety manager's list: what is to be done, the most urgent first, and what it answers.
-- budget: p95 80ms
-- weight: 2
-- mode: read
-- rows: >=0
SELECT a.business_id, a.action_number, a.action_kind, a.description, a.due_on, a.status,
       i.incident_number, d.deficiency_number, c.complaint_number
FROM hs.corrective_action AS a
LEFT JOIN hs.safety_incident AS i
    ON i.business_id = %(business_id)s AND i.safety_incident_id = a.safety_incident_id
LEFT JOIN hs.deficiency AS d
    ON d.business_id = %(business_id)s AND d.deficiency_id = a.deficiency_id
LEFT JOIN hs.customer_complaint AS c
    ON c.business_id = %(business_id)s AND c.customer_complaint_id = a.customer_complaint_id
WHERE a.business_id = %(business_id)s AND a.status IN ('open', 'in_progress', 'overdue')
ORDER BY a.due_on, a.action_number
LIMIT 50
