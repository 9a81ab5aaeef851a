-- Three checkpoints over the chain, the last one not yet anchored.
SELECT tenant_mgmt.set_tenant(%(business_id)s);
SELECT security_mgmt.build_audit_checkpoint(h.last_seq / 3)
FROM security_mgmt.audit_chain_head AS h
WHERE h.business_id = %(business_id)s AND h.last_seq >= 3;
SELECT security_mgmt.build_audit_checkpoint(h.last_seq * 2 / 3)
FROM security_mgmt.audit_chain_head AS h
WHERE h.business_id = %(business_id)s AND h.last_seq >= 3;
SELECT security_mgmt.build_audit_checkpoint();
