-- An administrator grants a role for another record than before: duty check, no overlap, history.
-- budget: p95 120ms
-- weight: 2
-- mode: write
-- rows: >=1
-- params: user_account_id from user_mgmt.user_account where status = 'active'
-- params: role_id from user_rbac.role where code IN ('staff', 'team_lead', 'trainer') AND status = 'active' AND is_assignable
-- values: record_id = uuid()
WITH ended AS (
    -- Whoever works on a record no longer works on the last one: what somebody may do at once does
    -- not grow with what they did.
    UPDATE user_rbac.role_assignment AS a
    SET state = 'revoked', revoked_at = now()
    WHERE a.business_id = %(business_id)s AND a.holder_id = %(user_account_id)s
      AND a.role_id = %(role_id)s AND a.scope_kind = 'record' AND a.origin = 'direct'
      AND a.state IN ('active', 'scheduled')
), granted AS (
    INSERT INTO user_rbac.role_assignment
        (business_id, user_account_id, role_id, granted_by_user_account_id, scope_kind,
         scope_entity_id, justification, valid_until)
    VALUES (%(business_id)s, %(user_account_id)s, %(role_id)s, %(user_account_id)s, 'record',
            %(record_id)s, 'Works on this record', now() + interval '30 days')
    RETURNING business_id, role_assignment_id, user_account_id, role_id, state
), noted AS (
    INSERT INTO user_mgmt.user_lifecycle_event
        (business_id, user_account_id, actor_user_account_id, occurred_at, event_kind, source,
         details)
    SELECT g.business_id, g.user_account_id, g.user_account_id, clock_timestamp(),
           'role_changed', 'admin', jsonb_build_object('role_assignment_id', g.role_assignment_id)
    FROM granted AS g
    RETURNING user_lifecycle_event_id
)
SELECT g.business_id, g.role_assignment_id, g.state
FROM granted AS g;
