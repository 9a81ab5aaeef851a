SELECT tenant_mgmt.set_tenant(%(business_id)s);

-- Connected systems have a role of their own.
INSERT INTO user_rbac.role_assignment
    (business_id, role_assignment_id, service_account_id, role_id, granted_by_user_account_id,
     origin, justification, valid_from, created_at)
SELECT s.business_id, md5(s.service_account_id || ' role')::uuid, s.service_account_id,
       r.role_id, s.owner_user_account_id, 'direct', 'Connected by its owner', s.created_at,
       s.created_at
FROM user_mgmt.service_account AS s
JOIN user_rbac.role AS r ON r.business_id = s.business_id AND r.code = 'integration'
WHERE s.business_id = %(business_id)s;

-- People do not hold it.
UPDATE user_rbac.role_assignment AS a
SET state = 'revoked', revoked_at = a.valid_from + interval '1 day'
FROM user_rbac.role AS r
WHERE a.business_id = %(business_id)s AND a.state = 'active' AND a.user_account_id IS NOT NULL
  AND r.business_id = a.business_id AND r.role_id = a.role_id AND r.code = 'integration';

-- Who left holds nothing.
UPDATE user_rbac.role_assignment AS a
SET state = 'revoked', revoked_at = greatest(u.deactivated_at, a.valid_from)
FROM user_mgmt.user_account AS u
WHERE a.business_id = %(business_id)s AND a.state IN ('active', 'scheduled')
  AND u.business_id = a.business_id AND u.user_account_id = a.user_account_id
  AND u.status IN ('deactivated', 'anonymized');

-- The business has an owner, and every location a manager: the first that are active.
UPDATE user_rbac.role_assignment AS a
SET role_id = r.role_id, state = 'active', valid_until = NULL, revoked_at = NULL
FROM (
    SELECT min(x.role_assignment_id::text)::uuid AS role_assignment_id,
           row_number() OVER (ORDER BY x.holder_id) AS place
    FROM user_rbac.role_assignment AS x
    JOIN user_mgmt.user_account AS u
        ON u.business_id = x.business_id AND u.user_account_id = x.user_account_id
    JOIN user_rbac.role AS held ON held.business_id = x.business_id AND held.role_id = x.role_id
    WHERE x.business_id = %(business_id)s AND x.state = 'active' AND u.status = 'active'
      AND held.code IN ('staff', 'team_lead')
    GROUP BY x.holder_id
) AS n
JOIN user_rbac.role AS r
    ON r.business_id = %(business_id)s
    AND r.code = CASE WHEN n.place = 1 THEN 'owner' WHEN n.place <= 4 THEN 'manager' END
WHERE a.business_id = %(business_id)s AND a.role_assignment_id = n.role_assignment_id
  AND NOT EXISTS (SELECT FROM user_rbac.role_assignment AS other
                  WHERE other.business_id = a.business_id AND other.holder_id = a.holder_id
                    AND other.role_id = r.role_id);

-- No more holders than a role has room for.
UPDATE user_rbac.role_assignment AS a
SET state = 'revoked', revoked_at = a.valid_from + interval '2 days'
FROM (
    SELECT x.role_assignment_id, r.max_holders,
           dense_rank() OVER (PARTITION BY x.role_id ORDER BY x.holder_id) AS place
    FROM user_rbac.role_assignment AS x
    JOIN user_rbac.role AS r ON r.business_id = x.business_id AND r.role_id = x.role_id
    WHERE x.business_id = %(business_id)s AND x.state IN ('active', 'scheduled')
) AS n
WHERE a.business_id = %(business_id)s AND a.role_assignment_id = n.role_assignment_id
  AND n.place > n.max_holders;

-- Some roles are held for one location or one unit.
UPDATE user_rbac.role_assignment AS a
SET scope_kind = place.kind, scope_entity_id = place.id
FROM (
    SELECT x.role_assignment_id,
           row_number() OVER (ORDER BY x.role_assignment_id) AS number
    FROM user_rbac.role_assignment AS x
    JOIN user_rbac.role AS r ON r.business_id = x.business_id AND r.role_id = x.role_id
    WHERE x.business_id = %(business_id)s
      AND r.code IN ('staff', 'team_lead', 'cashier', 'manager', 'purchaser')
) AS n
JOIN (
    SELECT p.kind, p.id, row_number() OVER (ORDER BY md5(p.id::text)) AS number,
           count(*) OVER () AS total
    FROM (SELECT 'location' AS kind, l.business_location_id AS id
          FROM tenant_mgmt.business_location AS l WHERE l.business_id = %(business_id)s
          UNION ALL
          SELECT 'org_unit', o.org_unit_id
          FROM user_mgmt.org_unit AS o WHERE o.business_id = %(business_id)s) AS p
) AS place ON n.number %% 4 = 0 AND place.number = 1 + n.number / 4 %% place.total
WHERE a.business_id = %(business_id)s AND a.role_assignment_id = n.role_assignment_id;

-- Units give no critical role.
DELETE FROM user_rbac.org_unit_role AS u
USING user_rbac.role AS r
WHERE u.business_id = %(business_id)s
  AND r.business_id = u.business_id AND r.role_id = u.role_id
  AND (r.risk_tier = 'critical' OR r.code = 'integration');

-- Holders of roles that demand a second factor have one of the second level.
INSERT INTO user_auth.auth_enrollment
    (business_id, auth_enrollment_id, user_account_id, method, friendly_name, status, use_count,
     enrolled_at, confirmed_at, last_used_at)
SELECT a.business_id, md5(a.user_account_id || ' totp')::uuid, a.user_account_id, 'totp',
       'Authenticator app', 'active', 40, a.activated_at, a.activated_at + interval '2 minutes',
       greatest(a.last_login_at, a.activated_at + interval '2 minutes')
FROM user_mgmt.user_account AS a
WHERE a.business_id = %(business_id)s AND a.status = 'active'
    AND EXISTS (SELECT FROM user_rbac.role_assignment AS g
                JOIN user_rbac.role AS r
                    ON r.business_id = g.business_id AND r.role_id = g.role_id
                WHERE g.business_id = a.business_id AND g.user_account_id = a.user_account_id
                    AND g.state = 'active' AND r.requires_mfa)
    AND NOT EXISTS (SELECT FROM user_auth.auth_enrollment AS e
                    JOIN user_auth.auth_method_policy AS p
                        ON p.business_id = e.business_id AND p.method = e.method
                    WHERE e.business_id = a.business_id
                        AND e.user_account_id = a.user_account_id
                        AND e.status = 'active' AND p.assurance_level >= 'aal2'
                        AND p.usable_as <> 'primary');
INSERT INTO user_auth.totp_credential
    (business_id, totp_credential_id, user_account_id, auth_enrollment_id, secret_ciphertext,
     key_ref, issuer_label, last_accepted_step, confirmed_at)
SELECT e.business_id, md5(e.auth_enrollment_id || ' seed')::uuid, e.user_account_id,
       e.auth_enrollment_id, sha512(convert_to('seed ' || e.auth_enrollment_id, 'UTF8')),
       'vault:totp/' || e.auth_enrollment_id, 'Second factor',
       floor(extract(epoch FROM e.last_used_at) / 30)::bigint, e.confirmed_at
FROM user_auth.auth_enrollment AS e
WHERE e.business_id = %(business_id)s AND e.method = 'totp' AND e.status = 'active'
    AND NOT EXISTS (SELECT FROM user_auth.totp_credential AS t
                    WHERE t.business_id = e.business_id
                        AND t.user_account_id = e.user_account_id
                        AND t.auth_enrollment_id = e.auth_enrollment_id);
