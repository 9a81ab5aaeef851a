-- Opening an invoice: its lines, the tries to collect it and its corrections.
-- budget: p95 60ms
-- weight: 4
-- mode: read
-- rows: >=1
-- params: invoice_id from tenant_mgmt.invoice
SELECT i.business_id, i.invoice_number, i.status, i.total_amount, i.paid_amount,
       line.lines, attempt.attempts, note.notes
FROM tenant_mgmt.invoice AS i
CROSS JOIN (
    SELECT jsonb_agg(jsonb_build_object('no', l.line_no, 'text', l.description,
                                        'amount', l.line_amount) ORDER BY l.line_no) AS lines
    FROM tenant_mgmt.invoice_line AS l
    WHERE l.business_id = %(business_id)s AND l.invoice_id = %(invoice_id)s
) AS line
CROSS JOIN (
    SELECT jsonb_agg(jsonb_build_object('no', p.attempt_no, 'status', p.status,
                                        'amount', p.amount) ORDER BY p.attempt_no) AS attempts
    FROM tenant_mgmt.payment_attempt AS p
    WHERE p.business_id = %(business_id)s AND p.invoice_id = %(invoice_id)s
) AS attempt
CROSS JOIN (
    SELECT jsonb_agg(jsonb_build_object('number', c.credit_note_number,
                                        'offset', c.offset_amount)) AS notes
    FROM tenant_mgmt.credit_note AS c
    WHERE c.business_id = %(business_id)s AND c.invoice_id = %(invoice_id)s
) AS note
WHERE i.business_id = %(business_id)s AND i.invoice_id = %(invoice_id)s
