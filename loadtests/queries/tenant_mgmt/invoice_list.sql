-- Invoices newest first, 25 per page.
-- budget: p95 50ms
-- weight: 5
-- mode: read
-- rows: >=1
SELECT i.business_id, i.invoice_id, i.invoice_number, i.status, i.issued_on, i.due_on,
       i.total_amount, i.paid_amount, i.currency_code
FROM tenant_mgmt.invoice AS i
WHERE i.business_id = %(business_id)s
    AND i.issued_on IS NOT NULL
ORDER BY i.issued_on DESC, i.invoice_id DESC
LIMIT 25
