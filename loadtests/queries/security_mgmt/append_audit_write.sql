-- Every audited change: one record more in the tenant's chain, behind the lock of its head.
-- budget: p95 20ms
-- weight: 10
-- mode: write
-- rows: >=1
-- params: entity_id from security_mgmt.audit_record
SELECT here.business_id,
       security_mgmt.append_audit(
           'update', 'tenant_mgmt', 'invoice', %(entity_id)s::uuid,
           '{"status": "open", "paid_amount": 0}', '{"status": "paid", "paid_amount": 119.00}',
           'Payment received') AS chain_seq
FROM tenant_mgmt.business AS here
WHERE here.business_id = %(business_id)s
