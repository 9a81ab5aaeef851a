SELECT tenant_mgmt.set_tenant(%(business_id)s);

INSERT INTO user_rbac.sod_constraint_role
    (business_id, sod_constraint_role_id, sod_constraint_id, role_id, conflict_side,
     permission_codes, added_reason, added_at, created_at)
SELECT c.business_id, md5(c.sod_constraint_id || ' ' || r.role_id)::uuid, c.sod_constraint_id,
       r.role_id, member.side, member.codes, 'Agreed with the auditors', c.created_at, c.created_at
FROM (VALUES ('payroll', 'payroll_clerk', 'a', '{}'::text[]),
             ('payroll', 'payroll_approver', 'b', '{}'),
             ('purchase_to_pay', 'purchaser', 'a', '{}'),
             ('purchase_to_pay', 'bookkeeper', 'b', ARRAY['invoice:create', 'invoice:update']),
             ('counter_refund', 'cashier', 'any', '{}'),
             ('counter_refund', 'refund_approver', 'any', ARRAY['payment:refund']),
             ('audit_independence', 'auditor', 'a', '{}'),
             ('audit_independence', 'bookkeeper', 'b', '{}'),
             ('audit_independence', 'payroll_approver', 'b', '{}'),
             ('one_hat', 'administrator', 'any', '{}'),
             ('one_hat', 'manager', 'any', '{}'),
             ('one_hat', 'accountant', 'any', '{}')) AS member (rule, role, side, codes)
JOIN user_rbac.sod_constraint AS c ON c.business_id = %(business_id)s AND c.code = member.rule
JOIN user_rbac.role AS r ON r.business_id = %(business_id)s AND r.code = member.role;

-- One user in fifty keeps a conflicting pair, with the control that makes up for it.
UPDATE user_rbac.role_assignment AS a
SET mitigation_reference = 'CTL-' || upper(substr(a.role_assignment_id::text, 20, 4))
FROM user_rbac.sod_breaches(%(as_of)s) AS b
WHERE a.business_id = %(business_id)s AND a.holder_id = b.holder_id AND a.state = 'active'
  AND b.constraint_code <> 'audit_independence'
  AND b.holder_id IN (
      SELECT x.holder_id FROM user_rbac.sod_breaches(%(as_of)s) AS x
      WHERE x.business_id = %(business_id)s AND x.constraint_code <> 'audit_independence'
        AND NOT EXISTS (SELECT FROM user_rbac.sod_breaches(%(as_of)s) AS y
                        WHERE y.holder_id = x.holder_id
                          AND y.constraint_code = 'audit_independence')
      GROUP BY x.holder_id
      ORDER BY x.holder_id
      LIMIT (SELECT ceil(count(*) / 50.0) FROM user_mgmt.user_account AS u
             WHERE u.business_id = %(business_id)s));

-- The others were found and lost all but the oldest of the conflicting roles.
UPDATE user_rbac.role_assignment AS a
SET state = 'revoked', revoked_at = a.valid_from + interval '5 days'
FROM (
    SELECT h.role_assignment_id,
           row_number() OVER (PARTITION BY h.holder_id, b.constraint_code
                              ORDER BY h.valid_from, h.role_assignment_id) AS place
    FROM user_rbac.sod_breaches(%(as_of)s) AS b
    JOIN user_rbac.v_role_held AS h
        ON h.business_id = b.business_id AND h.holder_id = b.holder_id
    JOIN user_rbac.v_sod_member AS m
        ON m.held_role_id = h.role_id AND m.sod_constraint_id = b.sod_constraint_id
    WHERE b.business_id = %(business_id)s AND NOT b.is_mitigated
      AND h.role_assignment_id IS NOT NULL
      AND (h.valid_until > %(as_of)s OR h.valid_until IS NULL)
) AS n
WHERE a.business_id = %(business_id)s AND a.role_assignment_id = n.role_assignment_id
  AND n.place > 1 AND a.state IN ('active', 'scheduled');
