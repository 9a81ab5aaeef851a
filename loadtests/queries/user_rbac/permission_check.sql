-- May the user do this? Before every guarded action: roles flattened, overrides as they are now.
-- budget: p95 15ms
-- weight: 25
-- mode: read
-- rows: >=1
-- params: user_account_id from user_rbac.role_assignment where state = 'active' AND user_account_id IN (SELECT u.user_account_id FROM user_mgmt.user_account AS u WHERE u.business_id = role_assignment.business_id AND u.status = 'active')
-- params: permission_code=code from user_rbac.permission
-- Each part is a query of its own: on a cluster one asks the materialized view, which is on the
-- coordinator, and one the tenant's node.
WITH flattened AS MATERIALIZED (
    SELECT e.effect, e.row_scope, e.scope_kind, e.scope_entity_id, e.amount_limit,
           e.access_condition_id, e.requires_step_up
    FROM user_rbac.v_effective_permission AS e
    WHERE e.business_id = %(business_id)s
      AND e.user_account_id = %(user_account_id)s
      AND e.permission_code = %(permission_code)s
      AND e.valid_from <= now()
      AND (e.valid_until > now() OR e.valid_until IS NULL)
), overriding AS MATERIALIZED (
    SELECT o.effect, 'business' AS row_scope, o.scope_kind, o.scope_entity_id, o.amount_limit,
           NULL::uuid AS access_condition_id, p.requires_step_up
    FROM user_rbac.permission AS p
    JOIN user_rbac.permission_override AS o
        ON o.business_id = %(business_id)s
       AND o.permission_id = p.permission_id
       AND o.user_account_id = %(user_account_id)s
    WHERE p.business_id = %(business_id)s
      AND p.code = %(permission_code)s
      AND o.revoked_at IS NULL
      AND o.valid_from <= now()
      AND (o.valid_until > now() OR o.valid_until IS NULL)
)
SELECT %(business_id)s::uuid AS business_id,
       coalesce(bool_or(g.effect = 'allow'), false)
           AND NOT coalesce(bool_or(g.effect = 'deny' AND g.scope_kind = 'business'
                                    AND g.amount_limit IS NULL
                                    AND g.access_condition_id IS NULL), false) AS is_allowed,
       coalesce(bool_or(g.requires_step_up), false) AS requires_step_up,
       jsonb_agg(jsonb_build_object('effect', g.effect, 'rows', g.row_scope,
                                    'place', g.scope_entity_id, 'limit', g.amount_limit,
                                    'condition', g.access_condition_id))
           FILTER (WHERE g.effect IS NOT NULL) AS grants
FROM (SELECT * FROM flattened UNION ALL SELECT * FROM overriding) AS g;
