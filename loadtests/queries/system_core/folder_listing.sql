-- The documents screen: the first 100 files of a folder by name, with their scan status.
-- budget: p95 80ms
-- weight: 4
-- mode: read
-- rows: >=1
-- params: file_folder_id from system_core.file_object where file_folder_id IS NOT NULL AND deleted_at IS NULL
SELECT f.business_id, d.path, d.item_count, f.file_object_id, f.file_name, f.extension,
       f.media_type, f.size_bytes, f.scan_status, f.current_version_no, f.uploaded_by,
       f.uploaded_at
FROM system_core.file_folder AS d
JOIN system_core.file_object AS f
    ON f.business_id = d.business_id AND f.file_folder_id = d.file_folder_id
WHERE d.business_id = %(business_id)s AND d.file_folder_id = %(file_folder_id)s
    AND f.business_id = %(business_id)s AND f.file_folder_id = %(file_folder_id)s
    AND f.deleted_at IS NULL
ORDER BY f.file_name
LIMIT 100
