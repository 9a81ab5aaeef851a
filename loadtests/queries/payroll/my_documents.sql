-- An employee opens the documents of the portal: stubs, forms, letters, what waits to be signed.
-- budget: p95 60ms
-- weight: 8
-- mode: read
-- rows: >=1
-- params: employee_id from payroll.employee where status = 'active'
SELECT d.employee_document_id, d.document_kind, d.title, d.published_at, d.tax_year,
       d.first_viewed_at IS NULL AS is_new,
       d.requires_signature AND d.signed_at IS NULL AS waits_for_signature,
       f.file_name, f.size_bytes, p.net_amount
FROM payroll.employee_document AS d
JOIN system_core.file_object AS f
    ON f.business_id = %(business_id)s AND f.file_object_id = d.file_object_id
LEFT JOIN payroll.paycheck AS p
    ON p.business_id = %(business_id)s AND p.paycheck_id = d.paycheck_id
WHERE d.business_id = %(business_id)s AND d.employee_id = %(employee_id)s
ORDER BY d.published_at DESC, d.employee_document_id
LIMIT 50
