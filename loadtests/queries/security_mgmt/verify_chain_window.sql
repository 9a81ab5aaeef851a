-- Are the last 10,000 records of the trail as they were written, and as the checkpoints say?
-- budget: p95 250ms
-- weight: 1
-- mode: read
-- rows: >=1
SELECT h.business_id, h.last_seq, count(v.bad_seq) AS mismatches, min(v.bad_seq) AS first_bad_seq
FROM security_mgmt.audit_chain_head AS h
LEFT JOIN LATERAL security_mgmt.verify_audit_chain(h.last_seq - 9999, h.last_seq) AS v ON true
WHERE h.business_id = %(business_id)s
GROUP BY h.business_id, h.last_seq;
