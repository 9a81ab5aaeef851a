-- A current version holds the content of its file.
UPDATE system_core.file_version AS v
SET sha256 = f.sha256, size_bytes = f.size_bytes, storage_key = f.storage_key
FROM system_core.file_object AS f
WHERE v.business_id = %(business_id)s AND f.business_id = %(business_id)s
    AND f.file_object_id = v.file_object_id AND v.is_current;

-- A quarantine is about the file of its scan, once; all rows go before any returns, for two of
-- them may swap files.
WITH gone AS (
    DELETE FROM system_core.file_quarantine AS q
    WHERE q.business_id = %(business_id)s
    RETURNING q.*
)
INSERT INTO system_core.file_quarantine
    (business_id, file_quarantine_id, file_object_id, file_scan_id, decided_by, reason, decision,
     decision_note, quarantined_at, decided_at, notified_owner_at, retention_until)
SELECT DISTINCT ON (v.file_object_id)
       g.business_id, g.file_quarantine_id, v.file_object_id, g.file_scan_id, g.decided_by,
       'malware', g.decision, g.decision_note, s.scanned_at,
       CASE WHEN g.decided_at IS NOT NULL THEN s.scanned_at + interval '1 day' END,
       CASE WHEN g.notified_owner_at IS NOT NULL THEN s.scanned_at + interval '1 minute' END,
       s.scanned_at::date + 90
FROM gone AS g
JOIN system_core.file_scan AS s
    ON s.business_id = g.business_id AND s.file_scan_id = g.file_scan_id
JOIN system_core.file_version AS v
    ON v.business_id = s.business_id AND v.file_version_id = s.file_version_id
ORDER BY v.file_object_id, g.file_quarantine_id;

UPDATE system_core.file_scan AS s
SET verdict = 'infected', severity = 'high', threat_name = 'Eicar-Test-Signature'
FROM system_core.file_quarantine AS q
WHERE s.business_id = %(business_id)s AND q.business_id = %(business_id)s
    AND q.file_scan_id = s.file_scan_id;

-- A bad verdict without a quarantine becomes a clean one: nobody withheld the file.
UPDATE system_core.file_scan AS s
SET verdict = 'clean', severity = 'none', threat_name = NULL
WHERE s.business_id = %(business_id)s AND s.verdict IN ('infected', 'suspicious', 'encrypted')
    AND NOT EXISTS (SELECT FROM system_core.file_quarantine AS q
                    WHERE q.business_id = s.business_id AND q.file_scan_id = s.file_scan_id);

-- The files follow, by the road that their state machine allows.
UPDATE system_core.file_object AS f
SET scan_status = 'pending'
WHERE f.business_id = %(business_id)s AND f.scan_status = 'skipped'
    AND f.file_object_id IN (SELECT q.file_object_id FROM system_core.file_quarantine AS q
                             WHERE q.business_id = %(business_id)s);
UPDATE system_core.file_object AS f
SET scan_status = 'infected'
WHERE f.business_id = %(business_id)s AND f.scan_status IN ('pending', 'error', 'clean')
    AND f.file_object_id IN (SELECT q.file_object_id FROM system_core.file_quarantine AS q
                             WHERE q.business_id = %(business_id)s AND q.decision <> 'released');
UPDATE system_core.file_object AS f
SET scan_status = 'quarantined'
WHERE f.business_id = %(business_id)s AND f.scan_status = 'infected';
