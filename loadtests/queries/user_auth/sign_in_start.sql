-- Somebody entered an address: how may they sign in, and how risky is it?
-- budget: p95 50ms
-- weight: 4
-- mode: read
-- rows: >=1
-- params: email_normalized, user_account_id from user_mgmt.user_account where status = 'active'
SELECT here.business_id,
       s.flow_key,
       s.allowed_methods,
       s.risk_band
FROM tenant_mgmt.business AS here
CROSS JOIN LATERAL user_auth.begin_sign_in(
    identifier  => %(email_normalized)s,
    ip          => '203.0.113.40',
    device_hash => (SELECT d.fingerprint_hash
                    FROM user_auth.user_device AS d
                    WHERE d.business_id = %(business_id)s
                      AND d.user_account_id = %(user_account_id)s
                    ORDER BY d.last_seen_at DESC
                    LIMIT 1)) AS s
WHERE here.business_id = %(business_id)s
