-- A passkey ceremony from its challenge to the answer that was taken: counter, result, account.
-- budget: p95 40ms
-- weight: 4
-- mode: write
-- rows: >=1
-- params: user_account_id, credential_id from user_auth.webauthn_credential where sign_count = 0 AND clone_detected_at IS NULL AND EXISTS (SELECT FROM user_auth.auth_enrollment AS e WHERE e.business_id = webauthn_credential.business_id AND e.auth_enrollment_id = webauthn_credential.auth_enrollment_id AND e.status = 'active')
-- values: challenge = text('challenge-')
WITH issued AS (
    INSERT INTO user_auth.webauthn_challenge
        (business_id, user_account_id, ceremony, challenge_hash, relying_party_id, origin,
         options, expires_at)
    VALUES (%(business_id)s, %(user_account_id)s, 'authentication',
            sha256(convert_to(%(challenge)s, 'UTF8')), 'app.example', 'https://acme.app.example',
            '{"userVerification": "required", "timeout": 300000}',
            clock_timestamp() + interval '5 minutes')
    RETURNING business_id, challenge_hash
)
SELECT f.business_id, f.user_account_id, f.webauthn_credential_id, f.result
FROM issued AS i
-- On a cluster, the node that has the account answers.
JOIN user_mgmt.user_account AS a
    ON a.business_id = %(business_id)s AND a.user_account_id = %(user_account_id)s
CROSS JOIN LATERAL user_auth.finish_assertion(
    i.challenge_hash, %(credential_id)s::bytea, 0, true) AS f
WHERE i.business_id = %(business_id)s
