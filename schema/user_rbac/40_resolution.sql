/*
 * Resolution: what an account may do, all things considered.
 *
 * v_grant puts together who holds which role (v_role_held), what the role reaches (v_role_reach),
 * what that grants (role_permission) and what overrides it. effective_permissions() is the list
 * for one account, has_permission() the answer to one question, both as of now and exact.
 * mv_effective_permission is the same list for everybody, flattened for checks by index; it is as
 * old as its last refresh, so a check looks at permission_override beside it.
 */

-- No filter on the tenant: see v_role_held.
CREATE VIEW user_rbac.v_grant
    WITH (security_invoker = true) AS
SELECT h.business_id, h.holder_id, p.code AS permission_code, p.action, g.effect, g.row_scope,
       h.scope_kind, h.scope_entity_id, g.amount_limit::numeric AS amount_limit, g.field_mask,
       g.access_condition_id, p.requires_step_up OR r.requires_mfa AS requires_step_up,
       h.origin, h.role_id, h.valid_from, h.valid_until
FROM user_rbac.v_role_held AS h
JOIN user_rbac.role AS r ON r.business_id = h.business_id AND r.role_id = h.role_id
JOIN user_rbac.v_role_reach AS x
    ON x.business_id = h.business_id AND x.held_role_id = h.role_id
JOIN user_rbac.role_permission AS g
    ON g.business_id = x.business_id AND g.role_id = x.reached_role_id
JOIN user_rbac.permission AS p
    ON p.business_id = g.business_id AND p.permission_id = g.permission_id
-- A cluster joins an outer row to that of a table, not of a union.
LEFT JOIN user_rbac.role_delegation AS d
    ON d.business_id = r.business_id AND d.role_delegation_id = h.role_delegation_id
WHERE r.status <> 'draft'
    AND (x.is_itself OR g.effect = 'allow')
    AND (x.is_in_full OR p.action = 'read')
    AND (d.permission_subset IS NULL OR d.permission_subset = '{}'
         OR g.effect = 'deny' OR p.code = ANY (d.permission_subset))
UNION ALL
SELECT o.business_id, o.user_account_id, p.code, p.action, o.effect, 'business',
       o.scope_kind, o.scope_entity_id, o.amount_limit, '{}',
       NULL, p.requires_step_up, 'override', NULL, o.valid_from,
       least(o.valid_until, o.revoked_at)
FROM user_rbac.permission_override AS o
JOIN user_rbac.permission AS p
    ON p.business_id = o.business_id AND p.permission_id = o.permission_id;
COMMENT ON VIEW user_rbac.v_grant IS
    'Every allowance and denial that an account has, had or will have, from its roles and theirs,
     and from overrides. Denials are not inherited; what a role inherits "read_only" is the
     permissions to read.';
GRANT SELECT ON user_rbac.v_grant TO app_user, app_readonly;


CREATE FUNCTION user_rbac.effective_permissions(
    account uuid,
    at      timestamptz DEFAULT now()
) RETURNS TABLE (permission_code text, effect text, row_scope text, scope_kind text,
                 scope_entity_id uuid, amount_limit numeric, field_mask text[],
                 access_condition_id uuid, requires_step_up boolean, origin text, role_id uuid,
                 valid_until timestamptz)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH live AS (
        SELECT g.*
        FROM user_rbac.v_grant AS g
        WHERE g.business_id = tenant_mgmt.current_business_id() AND g.holder_id = account
            AND g.valid_from <= at AND (g.valid_until > at OR g.valid_until IS NULL)
            AND NOT EXISTS (
                SELECT FROM user_mgmt.user_account AS u
                WHERE u.business_id = tenant_mgmt.current_business_id()
                    AND u.user_account_id = account AND u.status <> 'active')
    ), denied AS MATERIALIZED (
        SELECT d.permission_code, d.row_scope, d.scope_kind, d.scope_entity_id
        FROM live AS d
        WHERE d.effect = 'deny' AND d.access_condition_id IS NULL AND d.amount_limit IS NULL
    )
    SELECT g.permission_code, g.effect, g.row_scope, g.scope_kind, g.scope_entity_id,
           g.amount_limit, g.field_mask, g.access_condition_id, g.requires_step_up, g.origin,
           g.role_id, g.valid_until
    FROM live AS g
    WHERE g.effect = 'deny' OR NOT EXISTS (
        SELECT FROM denied AS d
        WHERE d.permission_code = g.permission_code
            AND d.row_scope IN ('business', g.row_scope)
            AND (d.scope_kind = 'business' OR d.scope_entity_id = g.scope_entity_id));
END;
COMMENT ON FUNCTION user_rbac.effective_permissions(uuid, timestamptz) IS
    'What an account of the calling tenant (user or service) may do at a moment: allowances by
     assignment, unit, delegation, emergency and override with their scopes, limits and
     conditions. An allowance that a denial covers wholly is left out; denials are listed, for
     some only narrow: a place, an amount, a condition. An account that is not active has nothing.';


CREATE FUNCTION user_rbac.access_context(added jsonb, amount numeric, moment timestamptz)
    RETURNS jsonb
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT jsonb_strip_nulls(jsonb_build_object(
               'amount', amount,
               'time', jsonb_build_object(
                   'hour', extract(hour FROM moment AT TIME ZONE b.time_zone::text),
                   'weekday', extract(isodow FROM moment AT TIME ZONE b.time_zone::text)))) || added
    FROM tenant_mgmt.business AS b
    WHERE b.business_id = tenant_mgmt.current_business_id();
END;
COMMENT ON FUNCTION user_rbac.access_context(jsonb, numeric, timestamptz) IS
    'What conditions are evaluated against: amount, and hour and ISO weekday in the time zone of
     the calling tenant, and what the application adds: network.ip, device.trust, session.aal.';


CREATE FUNCTION user_rbac.has_permission(
    account         uuid,
    permission_code text,
    scope           uuid    DEFAULT NULL,
    amount          numeric DEFAULT NULL,
    context         jsonb   DEFAULT '{}'
) RETURNS boolean
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH place AS (
        -- The asked place, and the units above it.
        SELECT has_permission.scope AS place_id
        UNION
        SELECT above.org_unit_id
        FROM user_mgmt.org_unit AS o
        JOIN user_mgmt.org_unit AS above
            ON above.business_id = o.business_id AND starts_with(o.path, above.path || '/')
        WHERE o.business_id = tenant_mgmt.current_business_id()
            AND o.org_unit_id = has_permission.scope
    ), judged AS (
        SELECT g.effect,
               g.scope_kind = 'business'
                   OR g.scope_entity_id IN (SELECT p.place_id FROM place AS p) AS is_here,
               g.amount_limit,
               CASE WHEN c.access_condition_id IS NULL OR NOT c.is_active THEN true
                    WHEN c.evaluation = 'on_write' AND g.action IN ('read', 'export', 'print')
                        THEN true
                    WHEN c.evaluation = 'on_export' AND g.action NOT IN ('export', 'print')
                        THEN true
                    ELSE user_rbac.condition_holds(c.expression, f.facts) END AS holds,
               coalesce(c.failure_action, 'deny') AS failure_action,
               f.facts
        FROM user_rbac.v_grant AS g
        LEFT JOIN user_rbac.access_condition AS c
            ON c.business_id = g.business_id AND c.access_condition_id = g.access_condition_id
        CROSS JOIN LATERAL (
            SELECT user_rbac.access_context(has_permission.context, has_permission.amount, now())
                AS facts) AS f
        WHERE g.business_id = tenant_mgmt.current_business_id() AND g.holder_id = account
            AND g.permission_code = has_permission.permission_code
            AND g.valid_from <= now() AND (g.valid_until > now() OR g.valid_until IS NULL)
            AND (g.row_scope IN ('business', has_permission.context ->> 'row_scope')
                 OR g.effect = 'allow' AND NOT has_permission.context ? 'row_scope')
    )
    SELECT EXISTS (
            SELECT FROM judged AS j
            WHERE j.effect = 'allow' AND j.is_here
                AND (j.amount_limit IS NULL OR has_permission.amount IS NULL
                     OR has_permission.amount <= j.amount_limit)
                AND (j.holds
                     OR j.failure_action = 'log_only'
                     OR j.failure_action = 'step_up'
                        AND j.facts -> 'session' ->> 'stepped_up' = 'true'))
        AND NOT EXISTS (
            SELECT FROM judged AS j
            WHERE j.effect = 'deny' AND (j.is_here OR has_permission.scope IS NULL)
                AND (j.amount_limit IS NULL OR has_permission.amount > j.amount_limit)
                AND j.holds IS NOT FALSE)
        AND NOT EXISTS (
            SELECT FROM user_mgmt.user_account AS u
            WHERE u.business_id = tenant_mgmt.current_business_id()
                AND u.user_account_id = account AND u.status <> 'active');
END;
COMMENT ON FUNCTION user_rbac.has_permission(uuid, text, uuid, numeric, jsonb) IS
    'Whether an account of the calling tenant may do something now: at a place (location, unit,
     record; units above count), or with NULL in the whole business; up to an amount. Denials win.
     Conditions are evaluated against access_context(); what it does not tell does not hold. Which
     rows (own, team, ...) is for the filter of rows, or asked with {"row_scope": "own"}.';


CREATE VIEW user_rbac.v_role_tree
    WITH (security_invoker = true) AS
SELECT r.business_id, r.role_id, r.code, r.name, r.kind, r.module_code, r.risk_tier, r.status,
       tree.junior_codes, tree.level_count, own.permission_count AS own_permission_count,
       own.total_count - own.permission_count AS inherited_permission_count,
       holder.direct_count AS holder_count, holder.total_count AS holder_and_senior_count,
       r.max_holders
FROM user_rbac.role AS r
CROSS JOIN LATERAL (
    SELECT 1 + coalesce(max(h.depth), 0) AS level_count,
           coalesce(array_agg(j.code::text ORDER BY j.code) FILTER (WHERE h.is_direct), '{}')
               AS junior_codes
    FROM user_rbac.role_hierarchy AS h
    JOIN user_rbac.role AS j ON j.business_id = h.business_id AND j.role_id = h.junior_role_id
    WHERE h.business_id = r.business_id AND h.senior_role_id = r.role_id
) AS tree
CROSS JOIN LATERAL (
    SELECT count(DISTINCT g.permission_id) AS total_count,
           count(DISTINCT g.permission_id) FILTER (WHERE x.is_itself) AS permission_count
    FROM user_rbac.v_role_reach AS x
    JOIN user_rbac.role_permission AS g
        ON g.business_id = x.business_id AND g.role_id = x.reached_role_id
    JOIN user_rbac.permission AS p
        ON p.business_id = g.business_id AND p.permission_id = g.permission_id
    WHERE x.business_id = r.business_id AND x.held_role_id = r.role_id
        AND g.effect = 'allow' AND (x.is_in_full OR p.action = 'read')
) AS own
CROSS JOIN LATERAL (
    SELECT count(DISTINCT h.holder_id) FILTER (WHERE x.is_itself) AS direct_count,
           count(DISTINCT h.holder_id) AS total_count
    FROM user_rbac.v_role_reach AS x
    JOIN user_rbac.v_role_held AS h
        ON h.business_id = x.business_id AND h.role_id = x.held_role_id
    WHERE x.business_id = r.business_id AND x.reached_role_id = r.role_id
        AND h.valid_from <= now() AND (h.valid_until > now() OR h.valid_until IS NULL)
) AS holder
WHERE r.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW user_rbac.v_role_tree IS
    'Roles with the roles right below them, the levels from them downward, permissions of their
     own and inherited ones, and holders, with and without those of senior roles.';
GRANT SELECT ON user_rbac.v_role_tree TO app_user, app_readonly;


CREATE FUNCTION user_rbac.sod_breaches(moment timestamptz)
    RETURNS TABLE (business_id uuid, holder_id uuid, user_account_id uuid, sod_constraint_id uuid,
                   constraint_code system_core.code, kind text, regulation text,
                   severity text, object_key uuid, conflicting_roles text[],
                   is_mitigated boolean, mitigation_reference text, since timestamptz)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH member AS (
        SELECT h.holder_id, h.user_account_id, h.mitigation_reference, h.valid_from,
               coalesce(h.scope_entity_id, h.business_id) AS scope_key, m.*
        FROM user_rbac.v_role_held AS h
        JOIN user_rbac.v_sod_member AS m
            ON m.business_id = h.business_id AND m.held_role_id = h.role_id
        WHERE h.business_id = tenant_mgmt.current_business_id()
            AND m.kind <> 'dynamic' AND h.origin <> 'emergency'
            AND h.valid_from <= moment AND (h.valid_until > moment OR h.valid_until IS NULL)
    ), object AS (
        SELECT DISTINCT m.holder_id, m.sod_constraint_id,
               CASE m.kind WHEN 'object_based' THEN m.scope_key ELSE m.business_id END AS object_key
        FROM member AS m
    )
    SELECT m.business_id, m.holder_id, m.user_account_id, m.sod_constraint_id, m.constraint_code,
           m.kind, m.regulation, m.severity, o.object_key,
           array_agg(DISTINCT m.member_code::text ORDER BY m.member_code::text)
               AS conflicting_roles,
           m.mitigation_allowed AND count(m.mitigation_reference) > 0 AS is_mitigated,
           max(m.mitigation_reference) AS mitigation_reference, max(m.valid_from) AS since
    FROM object AS o
    JOIN member AS m
        ON m.holder_id = o.holder_id AND m.sod_constraint_id = o.sod_constraint_id
        AND (m.kind = 'static' OR m.scope_key IN (o.object_key, m.business_id))
    GROUP BY m.business_id, m.holder_id, m.user_account_id, m.sod_constraint_id, m.constraint_code,
             m.kind, m.regulation, m.severity, m.max_roles, m.mitigation_allowed, o.object_key
    HAVING count(DISTINCT m.party) > m.max_roles;
END;
COMMENT ON FUNCTION user_rbac.sod_breaches(timestamptz) IS
    'What v_sod_breach tells of the calling tenant, at a moment.';

CREATE VIEW user_rbac.v_sod_breach
    WITH (security_invoker = true) AS
SELECT b.*
FROM user_rbac.sod_breaches(now()) AS b
WHERE b.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW user_rbac.v_sod_breach IS
    'Accounts that hold, now, more of the roles of an active rule than it lets them, inherited
     roles and roles of units included; and whether an assignment names what makes up for it.';
GRANT SELECT ON user_rbac.v_sod_breach TO app_user, app_readonly;


CREATE VIEW user_rbac.v_unused_grant
    WITH (security_invoker = true) AS
SELECT a.business_id, a.role_assignment_id, a.user_account_id, a.service_account_id, a.role_id,
       r.code AS role_code, r.risk_tier, a.origin, a.valid_from, a.last_used_at,
       extract(day FROM now() - coalesce(a.last_used_at, a.valid_from))::integer AS unused_days
FROM user_rbac.role_assignment AS a
JOIN user_rbac.role AS r ON r.business_id = a.business_id AND r.role_id = a.role_id
WHERE a.business_id = tenant_mgmt.current_business_id()
    AND a.state = 'active' AND (a.valid_until > now() OR a.valid_until IS NULL)
    AND coalesce(a.last_used_at, a.valid_from) < now() - interval '90 days';
COMMENT ON VIEW user_rbac.v_unused_grant IS
    'Assignments that nobody used for 90 days, or never since they were made that long ago.';
GRANT SELECT ON user_rbac.v_unused_grant TO app_user, app_readonly;


CREATE MATERIALIZED VIEW user_rbac.mv_effective_permission AS
SELECT DISTINCT g.business_id, g.holder_id AS user_account_id, g.permission_code, g.effect,
       g.row_scope, g.scope_kind, g.scope_entity_id, g.amount_limit, g.access_condition_id,
       g.requires_step_up, g.valid_from, g.valid_until
FROM user_rbac.v_grant AS g
JOIN user_mgmt.user_account AS u
    ON u.business_id = g.business_id AND u.user_account_id = g.holder_id
WHERE u.status = 'active' AND g.origin <> 'override'
    AND (g.valid_until > now() OR g.valid_until IS NULL)
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW user_rbac.mv_effective_permission IS
    'What the roles of every active user allow and deny, from when to when, flattened for checks;
     read through v_effective_permission. Overrides are read live beside it. Refreshed
     concurrently when roles, grants or memberships changed.';

-- Serves user_rbac.permission_check without a look at the table, and lets it be refreshed
-- concurrently.
CREATE UNIQUE INDEX mv_effective_permission_idx
    ON user_rbac.mv_effective_permission
        (business_id, user_account_id, permission_code, effect, row_scope, scope_kind,
         scope_entity_id, amount_limit, access_condition_id, requires_step_up, valid_from,
         valid_until) NULLS NOT DISTINCT;

GRANT USAGE ON SCHEMA user_rbac TO matview_owner;
GRANT USAGE ON SCHEMA user_mgmt TO matview_owner;
GRANT SELECT ON user_rbac.v_grant, user_rbac.v_role_held, user_rbac.v_unit_role_member,
    user_rbac.v_role_reach TO matview_owner;
GRANT SELECT ON user_rbac.role, user_rbac.role_hierarchy, user_rbac.role_permission,
    user_rbac.permission, user_rbac.role_assignment, user_rbac.role_delegation,
    user_rbac.org_unit_role, user_rbac.permission_override TO matview_owner;
GRANT SELECT ON user_mgmt.user_account, user_mgmt.org_unit, user_mgmt.org_unit_member
    TO matview_owner;

CREATE VIEW user_rbac.v_effective_permission
    WITH (security_barrier = true) AS
SELECT m.business_id, m.user_account_id, m.permission_code, m.effect, m.row_scope, m.scope_kind,
       m.scope_entity_id, m.amount_limit, m.access_condition_id, m.requires_step_up,
       m.valid_from, m.valid_until
FROM user_rbac.mv_effective_permission AS m
WHERE m.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW user_rbac.v_effective_permission IS
    'The tenant''s own part of mv_effective_permission.';
GRANT SELECT ON user_rbac.v_effective_permission TO app_user, app_readonly;
