-- Opening an attachment: its metadata, scan status and what the signed address is made of.
-- budget: p95 40ms
-- weight: 6
-- mode: read
-- rows: >=1
-- params: file_attachment_id from system_core.file_attachment
SELECT a.business_id, a.file_attachment_id, a.role, a.caption, a.is_customer_visible,
       f.file_object_id, f.file_name, f.media_type, f.size_bytes, f.classification,
       f.scan_status, f.deleted_at, v.version_no, v.storage_key, v.uploaded_at,
       l.provider, l.bucket, l.region_code, l.encryption_key_ref
FROM system_core.file_attachment AS a
JOIN system_core.file_object AS f
    ON f.business_id = a.business_id AND f.file_object_id = a.file_object_id
JOIN system_core.storage_location AS l
    ON l.business_id = f.business_id AND l.storage_location_id = f.storage_location_id
LEFT JOIN system_core.file_version AS v
    ON v.business_id = f.business_id AND v.file_object_id = f.file_object_id AND v.is_current
WHERE a.business_id = %(business_id)s AND a.file_attachment_id = %(file_attachment_id)s
    AND f.business_id = %(business_id)s AND l.business_id = %(business_id)s
