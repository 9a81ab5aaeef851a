-- Fifteen checkpoints along the chain, signed and anchored the day after; what is newer has none.
INSERT INTO security_mgmt.audit_checkpoint
    (business_id, audit_checkpoint_id, from_seq, to_seq, signature, signing_key_ref, anchored_to,
     anchor_reference, anchored_at, created_on, created_at, updated_at)
SELECT h.business_id, md5(h.business_id || ' checkpoint ' || s.to_seq)::uuid,
       s.to_seq - s.size + 1, s.to_seq, sha512(convert_to(h.business_id || ' ' || s.to_seq, 'UTF8')),
       'vault:audit/checkpoint-key', 'object_lock_bucket',
       's3://audit-anchor/' || h.business_id || '/' || s.to_seq,
       r.recorded_at + interval '1 hour', (r.recorded_at AT TIME ZONE 'UTC')::date,
       r.recorded_at, r.recorded_at
FROM security_mgmt.audit_chain_head AS h
CROSS JOIN LATERAL (
    SELECT p.place * greatest(h.last_seq / 16, 1) AS to_seq, greatest(h.last_seq / 16, 1) AS size
    FROM generate_series(1, 15) AS p (place)
) AS s
JOIN security_mgmt.audit_record AS r
    ON r.business_id = h.business_id AND r.chain_seq = s.to_seq
WHERE h.business_id = %(business_id)s
ORDER BY s.to_seq;

-- Each checkpoint was verified on its day, the whole chain last night.
INSERT INTO security_mgmt.audit_verification_run
    (business_id, audit_verification_run_id, audit_checkpoint_id, mode, from_seq, to_seq,
     records_checked, result, duration_ms, started_at, finished_at, created_at)
SELECT c.business_id, md5(c.audit_checkpoint_id || ' run')::uuid, c.audit_checkpoint_id,
       'incremental', c.from_seq, c.to_seq, c.record_count, 'intact', 2 + c.record_count * 0.007,
       c.anchored_at + interval '6 hours', c.anchored_at + interval '6 hours 1 second',
       c.anchored_at + interval '6 hours'
FROM security_mgmt.audit_checkpoint AS c
WHERE c.business_id = %(business_id)s;
INSERT INTO security_mgmt.audit_verification_run
    (business_id, audit_verification_run_id, audit_checkpoint_id, mode, from_seq, to_seq,
     records_checked, result, duration_ms, started_at, finished_at, created_at)
SELECT h.business_id, md5(h.business_id || ' full run')::uuid,
       (SELECT c.audit_checkpoint_id FROM security_mgmt.audit_checkpoint AS c
        WHERE c.business_id = h.business_id ORDER BY c.to_seq DESC LIMIT 1),
       'full', 1, h.last_seq, h.last_seq, 'intact', 5 + h.last_seq * 0.007,
       h.last_appended_at, h.last_appended_at + interval '1 second', h.last_appended_at
FROM security_mgmt.audit_chain_head AS h
WHERE h.business_id = %(business_id)s;
