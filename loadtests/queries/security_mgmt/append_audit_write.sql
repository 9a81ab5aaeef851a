-- Appending to the audit trail: added to every audited change.
-- budget: p95 20ms
-- weight: 8
-- mode: write
-- rows: >=1
-- params: entity_id=user_account_id from user_mgmt.user_account
SELECT %(business_id)s::uuid AS business_id,
       security_mgmt.append_audit(
           'update', 'user_mgmt', 'user_account', %(entity_id)s,
           '{"status": "active"}', '{"status": "suspended"}', 'left the company') AS chain_seq
