-- One verification ran against a copy that was a day old: found, looked at, explained, closed.
INSERT INTO security_mgmt.incident
    (business_id, incident_id, incident_number, title, category, severity, phase, root_cause,
     detected_at, declared_at, phase_changed_at, contained_at, recovered_at, closed_at)
SELECT r.business_id, md5(r.business_id || ' tamper')::uuid, 'TAMPER-' || r.audit_verification_run_id,
       'The audit trail is broken at record ' || r.to_seq || ' (head_mismatch)', 'tamper', 'sev1',
       'closed', 'The verification ran against a restored copy',
       r.started_at + interval '1 day', r.started_at + interval '1 day',
       r.started_at + interval '30 hours', r.started_at + interval '26 hours',
       r.started_at + interval '28 hours', r.started_at + interval '30 hours'
FROM security_mgmt.audit_verification_run AS r
WHERE r.business_id = %(business_id)s AND r.mode = 'incremental'
ORDER BY r.to_seq OFFSET 4 LIMIT 1;
INSERT INTO security_mgmt.audit_verification_run
    (business_id, audit_verification_run_id, mode, from_seq, to_seq, records_checked,
     mismatches_found, first_bad_seq, result, duration_ms, started_at, finished_at, created_at)
SELECT i.business_id, md5(i.business_id || ' broken run')::uuid, 'on_demand', r.from_seq, r.to_seq,
       r.records_checked, 1, r.to_seq, 'broken', r.duration_ms, i.detected_at, i.detected_at,
       i.detected_at
FROM security_mgmt.incident AS i
JOIN security_mgmt.audit_verification_run AS r
    ON r.business_id = i.business_id
   AND 'TAMPER-' || r.audit_verification_run_id = i.incident_number
WHERE i.business_id = %(business_id)s;
INSERT INTO security_mgmt.audit_tamper_finding
    (business_id, audit_tamper_finding_id, audit_verification_run_id, incident_id, kind, bad_seq,
     status, explanation, detected_at, closed_at)
SELECT r.business_id, md5(r.business_id || ' finding')::uuid, r.audit_verification_run_id,
       md5(r.business_id || ' tamper')::uuid, 'head_mismatch', r.first_bad_seq, 'closed',
       'The verification ran against a copy restored from the day before', r.started_at,
       r.started_at + interval '6 hours'
FROM security_mgmt.audit_verification_run AS r
WHERE r.business_id = %(business_id)s AND r.result = 'broken';

-- The holds count what they hold, and the extracts are built, and all but one delivered.
SELECT tenant_mgmt.set_tenant(%(business_id)s);
SELECT security_mgmt.enforce_evidence_holds();
SELECT security_mgmt.build_audit_export(e.audit_export_id)
FROM security_mgmt.audit_export AS e
WHERE e.business_id = %(business_id)s AND e.state = 'approved';
UPDATE security_mgmt.audit_export AS e
SET state = 'delivered', delivered_at = e.until_at + interval '3 days',
    expires_at = e.until_at + interval '93 days'
WHERE e.business_id = %(business_id)s AND e.state = 'built' AND e.purpose <> 'regulator';
