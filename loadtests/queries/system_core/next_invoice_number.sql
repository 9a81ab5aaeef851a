-- Taking a document number at save: the row stays locked until the document is committed.
-- budget: p95 15ms
-- weight: 5
-- mode: write
-- rows: >=1
-- params: sequence_code, location_code from system_core.number_sequence
SELECT here.business_id,
       system_core.next_document_number(%(sequence_code)s, %(location_code)s) AS document_number
FROM tenant_mgmt.business AS here
WHERE here.business_id = %(business_id)s
