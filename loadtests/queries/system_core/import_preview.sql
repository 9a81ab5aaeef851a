-- The preview after an upload: the first 200 rows with what is wrong in them.
-- budget: p95 200ms
-- weight: 1
-- mode: read
-- rows: >=1
-- params: import_batch_id from system_core.import_row
SELECT b.business_id, b.state AS batch_state, b.row_count, b.valid_count, b.error_count,
       r.row_no, r.state, r.raw, r.normalized, fault.column_name, fault.code, fault.message
FROM system_core.import_batch AS b
JOIN LATERAL (
    SELECT i.row_no, i.state, i.raw, i.normalized, i.errors
    FROM system_core.import_row AS i
    WHERE i.business_id = %(business_id)s AND i.import_batch_id = b.import_batch_id
    ORDER BY i.row_no
    LIMIT 200
) AS r ON true
LEFT JOIN JSON_TABLE(
    r.errors, '$[*]'
    COLUMNS (column_name text PATH '$.column',
             code text PATH '$.code',
             message text PATH '$.message')) AS fault ON true
WHERE b.business_id = %(business_id)s AND b.import_batch_id = %(import_batch_id)s
ORDER BY r.row_no, fault.column_name
