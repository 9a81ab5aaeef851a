SELECT tenant_mgmt.set_tenant(%(business_id)s);

-- Most ask for themselves.
UPDATE user_rbac.access_request AS r
SET requested_by_user_account_id = r.requested_for_user_account_id
FROM (SELECT x.access_request_id, row_number() OVER (ORDER BY x.access_request_id) AS number
      FROM user_rbac.access_request AS x WHERE x.business_id = %(business_id)s) AS n
WHERE r.business_id = %(business_id)s AND r.access_request_id = n.access_request_id
  AND n.number %% 10 < 7;

-- What was provisioned is held: an assignment that came of a request names it.
UPDATE user_rbac.access_request AS r
SET requested_for_user_account_id = a.user_account_id,
    requested_by_user_account_id = CASE
        WHEN r.requested_by_user_account_id = r.requested_for_user_account_id
        THEN a.user_account_id ELSE r.requested_by_user_account_id END,
    role_id = a.role_id, permission_id = NULL,
    scope_kind = a.scope_kind, scope_entity_id = a.scope_entity_id,
    provisioned_at = a.valid_from,
    decided_at = a.valid_from - (r.provisioned_at - r.decided_at),
    submitted_at = a.valid_from - (r.provisioned_at - r.submitted_at),
    created_at = a.valid_from - (r.provisioned_at - r.created_at)
FROM (SELECT x.access_request_id, row_number() OVER (ORDER BY x.access_request_id) AS number
      FROM user_rbac.access_request AS x
      WHERE x.business_id = %(business_id)s AND x.state = 'provisioned') AS n
JOIN (SELECT x.*, row_number() OVER (ORDER BY x.role_assignment_id) AS number
      FROM user_rbac.role_assignment AS x
      WHERE x.business_id = %(business_id)s AND x.origin = 'request'
        AND x.user_account_id IS NOT NULL) AS a ON a.number = n.number
WHERE r.business_id = %(business_id)s AND r.access_request_id = n.access_request_id;
UPDATE user_rbac.role_assignment AS a
SET access_request_id = r.access_request_id
FROM user_rbac.access_request AS r
WHERE a.business_id = %(business_id)s AND a.origin = 'request'
  AND r.business_id = a.business_id AND r.state = 'provisioned'
  AND r.requested_for_user_account_id = a.user_account_id AND r.role_id = a.role_id
  AND r.scope_entity_id IS NOT DISTINCT FROM a.scope_entity_id
  AND r.provisioned_at = a.valid_from;
UPDATE user_rbac.access_request AS r
SET state = 'expired'
WHERE r.business_id = %(business_id)s AND r.state = 'provisioned'
  AND NOT EXISTS (SELECT FROM user_rbac.role_assignment AS a
                  WHERE a.business_id = r.business_id
                    AND a.access_request_id = r.access_request_id);
UPDATE user_rbac.access_approval AS a
SET decided_at = r.decided_at, due_at = r.submitted_at + interval '3 days',
    created_at = r.submitted_at
FROM user_rbac.access_request AS r
WHERE a.business_id = %(business_id)s AND a.decision <> 'pending'
  AND r.business_id = a.business_id AND r.access_request_id = a.access_request_id;

-- Nobody is asked about a draft.
DELETE FROM user_rbac.access_approval AS a
USING user_rbac.access_request AS r
WHERE a.business_id = %(business_id)s
  AND r.business_id = a.business_id AND r.access_request_id = a.access_request_id
  AND r.state IN ('draft', 'withdrawn');

-- Approvers have no part in the request.
UPDATE user_rbac.access_approval AS a
SET approver_user_account_id = other.user_account_id
FROM user_rbac.access_request AS r
CROSS JOIN LATERAL (
    SELECT u.user_account_id FROM user_mgmt.user_account AS u
    WHERE u.business_id = r.business_id AND u.status = 'active'
      AND u.user_account_id NOT IN (r.requested_for_user_account_id,
                                    r.requested_by_user_account_id)
    ORDER BY md5(r.access_request_id::text || u.user_account_id::text)
    LIMIT 1) AS other
WHERE a.business_id = %(business_id)s
  AND r.business_id = a.business_id AND r.access_request_id = a.access_request_id
  AND a.approver_user_account_id IN (r.requested_for_user_account_id,
                                     r.requested_by_user_account_id);

-- What underway would mix duties shows it.
UPDATE user_rbac.access_request AS r
SET sod_findings = f.findings, risk_score = least(100, r.risk_score + 25)
FROM (
    SELECT x.access_request_id,
           jsonb_agg(jsonb_build_object(
               'rule', s.constraint_code, 'severity', s.severity,
               'mitigation_allowed', s.mitigation_allowed, 'roles', s.conflicting_roles)
               ORDER BY s.constraint_code) AS findings
    FROM user_rbac.access_request AS x
    CROSS JOIN LATERAL user_rbac.sod_violations(x.requested_for_user_account_id, x.role_id) AS s
    WHERE x.business_id = %(business_id)s AND x.role_id IS NOT NULL
      AND x.state IN ('in_approval', 'submitted', 'rejected')
    GROUP BY x.access_request_id
) AS f
WHERE r.business_id = %(business_id)s AND r.access_request_id = f.access_request_id;

-- What the closed review revoked is revoked, what it kept is certified.
UPDATE user_rbac.role_assignment AS a
SET state = 'revoked', revoked_at = i.applied_at
FROM user_rbac.access_review_item AS i
WHERE i.business_id = %(business_id)s AND i.decision = 'revoke' AND i.applied_at IS NOT NULL
  AND a.business_id = i.business_id AND a.role_assignment_id = i.role_assignment_id
  AND a.state IN ('active', 'scheduled') AND a.valid_from < i.applied_at;
UPDATE user_rbac.role_assignment AS a
SET certified_at = i.applied_at
FROM user_rbac.access_review_item AS i
WHERE i.business_id = %(business_id)s AND i.decision = 'keep' AND i.applied_at IS NOT NULL
  AND a.business_id = i.business_id AND a.role_assignment_id = i.role_assignment_id
  AND a.valid_from < i.applied_at;

-- Who lost a role had lent it before, and what was lent ended then.
CREATE TEMPORARY TABLE cut_short ON COMMIT DROP AS
SELECT d.role_delegation_id, least(a.valid_until, a.revoked_at) AS ends_at
FROM user_rbac.role_delegation AS d
JOIN user_rbac.role_assignment AS a
    ON a.business_id = d.business_id AND a.role_assignment_id = d.role_assignment_id
WHERE d.business_id = %(business_id)s AND d.ends_at > least(a.valid_until, a.revoked_at);
UPDATE user_rbac.role_assignment AS a
SET valid_from = c.ends_at - interval '3 days', valid_until = c.ends_at,
    revoked_at = CASE WHEN a.revoked_at IS NOT NULL THEN c.ends_at END
FROM cut_short AS c
WHERE a.business_id = %(business_id)s AND a.role_delegation_id = c.role_delegation_id;
UPDATE user_rbac.role_delegation AS d
SET starts_at = c.ends_at - interval '3 days', ends_at = c.ends_at,
    accepted_at = CASE WHEN d.accepted_at IS NOT NULL THEN c.ends_at - interval '4 days' END,
    revoked_at = CASE WHEN d.revoked_at IS NOT NULL THEN c.ends_at END,
    state = CASE d.state WHEN 'active' THEN 'ended' ELSE d.state END
FROM cut_short AS c
WHERE d.business_id = %(business_id)s AND d.role_delegation_id = c.role_delegation_id
  AND EXISTS (SELECT FROM user_rbac.role_assignment AS lent
              WHERE lent.business_id = d.business_id
                AND lent.role_delegation_id = d.role_delegation_id);

-- A role was lent while it was held, by somebody who is not a machine.
DELETE FROM user_rbac.role_delegation AS d
USING user_rbac.role_assignment AS a
WHERE d.business_id = %(business_id)s
  AND a.business_id = d.business_id AND a.role_assignment_id = d.role_assignment_id
  AND (a.user_account_id IS NULL OR d.ends_at > coalesce(a.valid_until, 'infinity')
       OR d.ends_at > coalesce(a.revoked_at, 'infinity'))
  AND NOT EXISTS (SELECT FROM user_rbac.role_assignment AS lent
                  WHERE lent.business_id = d.business_id
                    AND lent.role_delegation_id = d.role_delegation_id);
