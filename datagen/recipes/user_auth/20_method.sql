-- Who was invited has enrolled nothing yet; a smart card may be there before its holder.
DELETE FROM user_auth.one_time_code AS c
USING user_auth.auth_enrollment AS e
WHERE c.business_id = %(business_id)s
    AND e.business_id = c.business_id AND e.auth_enrollment_id = c.auth_enrollment_id
    AND e.status = 'pending';
DELETE FROM user_auth.auth_enrollment AS e
WHERE e.business_id = %(business_id)s AND e.status = 'pending'
    AND e.method NOT IN ('client_certificate', 'passkey', 'security_key', 'oidc_federation',
                         'saml_sso');

-- A push goes to a telephone of the account, some 150 to each enrollment.
INSERT INTO user_auth.push_challenge
    (business_id, push_challenge_id, user_account_id, auth_enrollment_id, user_device_id,
     challenge_hash, match_number, purpose, state, app_attestation, request_ip,
     request_location, requested_at, expires_at, answered_at)
SELECT p.business_id, md5(p.auth_enrollment_id || ' push ' || p.n)::uuid, p.user_account_id,
       p.auth_enrollment_id, p.user_device_id,
       sha256(convert_to(p.auth_enrollment_id || '/' || p.n, 'UTF8')), 10 + p.n * 37 %% 90,
       CASE p.n %% 9 WHEN 0 THEN 'transaction' WHEN 1 THEN 'step_up' ELSE 'sign_in' END, p.state,
       CASE WHEN p.state = 'expired' THEN 'unavailable' ELSE 'passed' END,
       ('203.0.113.' || (1 + p.n * 13 %% 250))::inet, 'Columbus, US', p.requested_at,
       p.requested_at + interval '2 minutes',
       CASE WHEN p.state <> 'expired' THEN p.requested_at + (4 + p.n %% 40) * interval '1 second'
       END
FROM (
    SELECT e.business_id, e.user_account_id, e.auth_enrollment_id, d.user_device_id, s.n,
           CASE WHEN s.n %% 150 = 77 THEN 'reported_fraud' WHEN s.n %% 25 = 9 THEN 'denied'
                WHEN s.n %% 16 = 5 THEN 'expired' ELSE 'approved' END AS state,
           e.confirmed_at + (coalesce(e.last_used_at, e.confirmed_at) - e.confirmed_at)
                            * (s.n / 151.0) AS requested_at
    FROM user_auth.auth_enrollment AS e
    CROSS JOIN LATERAL (
        SELECT x.user_device_id
        FROM user_auth.user_device AS x
        WHERE x.business_id = e.business_id AND x.user_account_id = e.user_account_id
            AND x.trust <> 'blocked'
        ORDER BY x.device_kind = 'phone' DESC, x.user_device_id
        LIMIT 1
    ) AS d
    CROSS JOIN generate_series(1, 150) AS s (n)
    WHERE e.business_id = %(business_id)s AND e.method = 'push_approval'
        AND e.confirmed_at IS NOT NULL
) AS p;

-- Ten codes on paper for half of those who have something to lose.
INSERT INTO user_auth.recovery_code
    (business_id, recovery_code_id, user_account_id, batch_no, position, code_hash, generated_at,
     used_at, used_ip)
SELECT c.business_id, md5(c.user_account_id || ' code ' || c.n)::uuid, c.user_account_id, 1, c.n,
       sha256(convert_to(c.user_account_id || '#' || c.n, 'UTF8')), c.generated_at,
       c.used_at, CASE WHEN c.used_at IS NOT NULL THEN '203.0.113.9'::inet END
FROM (
    SELECT e.business_id, e.user_account_id, s.n, e.generated_at,
           CASE WHEN s.n = 1 AND e.place %% 5 = 0 THEN e.generated_at + interval '9 days'
           END AS used_at
    FROM (
        SELECT x.business_id, x.user_account_id, min(x.confirmed_at) AS generated_at,
               row_number() OVER (ORDER BY x.user_account_id) AS place
        FROM user_auth.auth_enrollment AS x
        WHERE x.business_id = %(business_id)s AND x.status = 'active'
            AND x.method IN ('totp', 'passkey', 'security_key', 'push_approval')
        GROUP BY x.business_id, x.user_account_id
    ) AS e
    CROSS JOIN generate_series(1, 10) AS s (n)
    WHERE e.place %% 2 = 0 OR e.place = 1
) AS c;

-- The enrollment that opened a session, as the names of its methods tell.
UPDATE user_auth.user_session AS s
SET first_method_id = (
    SELECT e.auth_enrollment_id
    FROM user_auth.auth_enrollment AS e
    WHERE e.business_id = s.business_id AND e.user_account_id = s.user_account_id
        AND e.confirmed_at <= s.started_at AND e.status = 'active'
        AND e.method = ANY (CASE s.amr[1]
            WHEN 'pwd' THEN '{password,ldap_directory}'::text[]
            WHEN 'hwk' THEN '{passkey,security_key}'
            WHEN 'sc' THEN '{client_certificate}' ELSE '{}' END)
    ORDER BY e.enrolled_at, e.auth_enrollment_id
    LIMIT 1)
WHERE s.business_id = %(business_id)s AND s.first_method_id IS NULL;
