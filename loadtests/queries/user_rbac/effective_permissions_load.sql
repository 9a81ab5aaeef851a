-- After sign-in or a change of roles: all that the user may do, for the session's cache.
-- budget: p95 80ms
-- weight: 5
-- mode: read
-- rows: >=1
-- params: user_account_id from user_rbac.role_assignment where state = 'active' AND user_account_id IN (SELECT u.user_account_id FROM user_mgmt.user_account AS u WHERE u.business_id = role_assignment.business_id AND u.status = 'active')
SELECT here.business_id,
       e.permission_code,
       e.effect,
       e.row_scope,
       e.scope_kind,
       e.scope_entity_id,
       e.amount_limit,
       e.field_mask,
       e.access_condition_id,
       e.requires_step_up,
       e.valid_until
FROM tenant_mgmt.business AS here
CROSS JOIN LATERAL user_rbac.effective_permissions(%(user_account_id)s::uuid) AS e
WHERE here.business_id = %(business_id)s
ORDER BY e.permission_code;
