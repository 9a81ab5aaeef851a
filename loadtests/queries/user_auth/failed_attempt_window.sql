-- Brute force? Failures of an identifier and of an address within 15 minutes, before each try.
-- budget: p95 30ms
-- weight: 5
-- mode: read
-- rows: >=1
-- params: identifier_hash, ip_address from user_auth.auth_attempt where result IN ('wrong_secret', 'unknown_user')
SELECT %(business_id)s::uuid AS business_id,
       by_identifier.failure_count,
       by_identifier.last_failed_at,
       by_address.failure_count    AS address_failure_count,
       by_address.identifier_count AS address_identifier_count
FROM (SELECT count(*) AS failure_count, max(a.attempted_at) AS last_failed_at
      FROM user_auth.auth_attempt AS a
      WHERE a.business_id = %(business_id)s
        AND a.identifier_hash = %(identifier_hash)s
        AND a.attempted_at > now() - interval '15 minutes'
        AND a.result IN ('wrong_secret', 'mfa_failed')) AS by_identifier
CROSS JOIN (SELECT count(*) AS failure_count,
                   count(DISTINCT a.identifier_hash) AS identifier_count
            FROM user_auth.auth_attempt AS a
            WHERE a.business_id = %(business_id)s
              AND a.ip_address = %(ip_address)s
              AND a.attempted_at > now() - interval '15 minutes'
              AND a.result IN ('wrong_secret', 'unknown_user', 'mfa_failed')) AS by_address;
