/*
 * Roles: what may be done, bundled, and bundles within bundles.
 *
 * permission is an action on a resource; role_permission says which role allows or denies it, on
 * which rows, up to which amount and under which access_condition. A senior role has what its
 * junior roles have: role_hierarchy holds the edges that were drawn (is_direct) and, kept by a
 * trigger, every pair that follows from them, so that no check ever walks the tree.
 */

CREATE SCHEMA user_rbac;
GRANT USAGE ON SCHEMA user_rbac TO app_user, app_readonly;
COMMENT ON SCHEMA user_rbac IS
    'Who may do what: roles, duties, delegation, requests and reviews.';


CREATE FUNCTION user_rbac.raise_version() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.version_no := OLD.version_no + 1;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION user_rbac.raise_version() IS
    'Numbers the states of a row: caches and audits name the version that they saw.';


CREATE TABLE user_rbac.role (
    business_id           uuid             NOT NULL,
    role_id               uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    owner_user_account_id uuid,
    code                  system_core.code NOT NULL,
    name                  text             NOT NULL,
    description           text,
    kind                  text             NOT NULL DEFAULT 'custom',
    module_code           text             NOT NULL DEFAULT 'core',
    risk_tier             text             NOT NULL DEFAULT 'low',
    status                text             NOT NULL DEFAULT 'active',
    max_holders           integer,
    default_duration_days integer,
    is_assignable         boolean          NOT NULL DEFAULT true,
    requires_mfa          boolean          NOT NULL DEFAULT false,
    version_no            integer          NOT NULL DEFAULT 1,
    created_at            timestamptz      NOT NULL DEFAULT now(),
    updated_at            timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, role_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT role_kind_known CHECK (kind IN ('system', 'custom', 'template')),
    CONSTRAINT role_module_code_known
        CHECK (module_code IN ('core', 'hs', 'auto', 'rest', 'ret', 'courses', 'payroll')),
    CONSTRAINT role_risk_tier_known CHECK (risk_tier IN ('low', 'medium', 'high', 'critical')),
    CONSTRAINT role_status_known CHECK (status IN ('draft', 'active', 'deprecated')),
    CONSTRAINT role_has_room_for_a_holder CHECK (max_holders > 0),
    CONSTRAINT role_duration_positive CHECK (default_duration_days > 0),
    CONSTRAINT role_critical_requires_mfa CHECK (risk_tier <> 'critical' OR requires_mfa),
    CONSTRAINT role_template_is_not_held CHECK (kind <> 'template' OR NOT is_assignable),
    CONSTRAINT role_version_positive CHECK (version_no > 0)
);

COMMENT ON TABLE user_rbac.role IS
    'A named set of permissions, the platform''s (system) or the tenant''s own.';
COMMENT ON COLUMN user_rbac.role.kind IS
    'system: kept by the platform, not edited by tenants; template: copied, never held.';
COMMENT ON COLUMN user_rbac.role.status IS
    'A draft gives nothing; a deprecated role is kept by its holders and given to nobody else.';
COMMENT ON COLUMN user_rbac.role.max_holders IS
    'How many accounts may hold it at a time; NULL for any number.';
COMMENT ON COLUMN user_rbac.role.default_duration_days IS
    'After how many days an assignment ends that was made without an end; NULL for never.';
COMMENT ON COLUMN user_rbac.role.owner_user_account_id IS
    'Who answers for the role: approves requests for it and reviews its holders.';

-- FK: the roles that an account answers for.
CREATE INDEX role_owner_idx
    ON user_rbac.role (business_id, owner_user_account_id)
    WHERE owner_user_account_id IS NOT NULL;

ALTER TABLE user_rbac.role ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_rbac.role
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_rbac.role TO app_user;
GRANT SELECT ON user_rbac.role TO app_readonly;

CREATE TRIGGER role_touch
    BEFORE UPDATE ON user_rbac.role
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER role_version
    BEFORE UPDATE ON user_rbac.role
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION user_rbac.raise_version();

CREATE FUNCTION user_rbac.refuse_edit_of_system_role() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'role % is kept by the platform: % refused',
            coalesce(NEW.code, OLD.code), lower(TG_OP)
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Make a role of the tenant''s own that inherits from it.';
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
COMMENT ON FUNCTION user_rbac.refuse_edit_of_system_role() IS
    'System roles come from the platform, whose role bypasses row security.';

CREATE TRIGGER role_system_insert
    BEFORE INSERT ON user_rbac.role
    FOR EACH ROW WHEN (NEW.kind = 'system')
    EXECUTE FUNCTION user_rbac.refuse_edit_of_system_role();

CREATE TRIGGER role_system_update
    BEFORE UPDATE ON user_rbac.role
    FOR EACH ROW WHEN ('system' IN (OLD.kind, NEW.kind))
    EXECUTE FUNCTION user_rbac.refuse_edit_of_system_role();

CREATE TRIGGER role_system_delete
    BEFORE DELETE ON user_rbac.role
    FOR EACH ROW WHEN (OLD.kind = 'system')
    EXECUTE FUNCTION user_rbac.refuse_edit_of_system_role();


CREATE TABLE user_rbac.role_hierarchy (
    business_id        uuid        NOT NULL,
    role_hierarchy_id  uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    senior_role_id     uuid        NOT NULL,
    junior_role_id     uuid        NOT NULL,
    is_direct          boolean     NOT NULL DEFAULT true,
    inherits           text        NOT NULL DEFAULT 'all',
    effective_inherits text        NOT NULL DEFAULT 'all',
    depth              integer     NOT NULL DEFAULT 1,
    path_count         integer     NOT NULL DEFAULT 1,
    source             text        NOT NULL DEFAULT 'admin',
    note               text,
    added_at           timestamptz NOT NULL DEFAULT now(),
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, role_hierarchy_id),
    UNIQUE (business_id, senior_role_id, junior_role_id),
    FOREIGN KEY (business_id, senior_role_id) REFERENCES user_rbac.role (business_id, role_id),
    FOREIGN KEY (business_id, junior_role_id) REFERENCES user_rbac.role (business_id, role_id),
    CONSTRAINT role_hierarchy_not_of_itself CHECK (senior_role_id <> junior_role_id),
    CONSTRAINT role_hierarchy_inherits_known CHECK (inherits IN ('all', 'read_only')),
    CONSTRAINT role_hierarchy_effective_inherits_known
        CHECK (effective_inherits IN ('all', 'read_only')),
    CONSTRAINT role_hierarchy_depth_bounded CHECK (depth BETWEEN 1 AND 8),
    CONSTRAINT role_hierarchy_direct_is_one_step CHECK (is_direct = (depth = 1)),
    CONSTRAINT role_hierarchy_has_a_path CHECK (path_count > 0),
    CONSTRAINT role_hierarchy_source_known CHECK (source IN ('admin', 'template'))
);

COMMENT ON TABLE user_rbac.role_hierarchy IS
    'A senior role and a role it inherits from, in one step (is_direct, written by people) or in
     several (kept by the trigger role_hierarchy_closure_*): the whole closure.';
COMMENT ON COLUMN user_rbac.role_hierarchy.inherits IS
    'What the edge itself passes on: all permissions, or those to read.';
COMMENT ON COLUMN user_rbac.role_hierarchy.effective_inherits IS
    'The most that any path between the two passes on; a path passes on what all its edges do.';
COMMENT ON COLUMN user_rbac.role_hierarchy.depth IS 'Steps of the shortest path.';
COMMENT ON COLUMN user_rbac.role_hierarchy.path_count IS
    'On how many ways the senior role comes to the junior one: more than 1 is redundant.';

-- FK: who inherits from a role. The unique key answers the other direction in one step.
CREATE INDEX role_hierarchy_junior_idx
    ON user_rbac.role_hierarchy (business_id, junior_role_id, senior_role_id);

ALTER TABLE user_rbac.role_hierarchy ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_rbac.role_hierarchy
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_rbac.role_hierarchy TO app_user;
GRANT SELECT ON user_rbac.role_hierarchy TO app_readonly;

CREATE TRIGGER role_hierarchy_touch
    BEFORE UPDATE ON user_rbac.role_hierarchy
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION user_rbac.make_way_for_role_edge() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM user_rbac.role_hierarchy AS h
    WHERE h.business_id = NEW.business_id
        AND h.senior_role_id = NEW.senior_role_id AND h.junior_role_id = NEW.junior_role_id
        AND NOT h.is_direct;
    NEW.depth := 1;
    NEW.path_count := 1;
    NEW.effective_inherits := NEW.inherits;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION user_rbac.make_way_for_role_edge() IS
    'A drawn edge takes the place of the pair that followed from others.';

CREATE TRIGGER role_hierarchy_edge
    BEFORE INSERT ON user_rbac.role_hierarchy
    FOR EACH ROW WHEN (NEW.is_direct)
    EXECUTE FUNCTION user_rbac.make_way_for_role_edge();

CREATE FUNCTION user_rbac.refuse_moved_role_edge() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'an edge between roles is not moved'
        USING ERRCODE = 'restrict_violation', HINT = 'Delete it and draw another one.';
END
$$;
COMMENT ON FUNCTION user_rbac.refuse_moved_role_edge() IS
    'An edge stands between the same two roles for all its life.';

CREATE TRIGGER role_hierarchy_fixed
    BEFORE UPDATE ON user_rbac.role_hierarchy
    FOR EACH ROW WHEN (
        (OLD.business_id, OLD.senior_role_id, OLD.junior_role_id, OLD.is_direct)
        IS DISTINCT FROM
        (NEW.business_id, NEW.senior_role_id, NEW.junior_role_id, NEW.is_direct))
    EXECUTE FUNCTION user_rbac.refuse_moved_role_edge();

CREATE FUNCTION user_rbac.role_paths(tenant uuid)
    RETURNS TABLE (business_id uuid, senior_role_id uuid, junior_role_id uuid, depth integer,
                   is_in_full boolean)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH RECURSIVE path AS (
        SELECT h.business_id, h.senior_role_id, h.junior_role_id, 1 AS depth,
               h.inherits = 'all' AS is_in_full
        FROM user_rbac.role_hierarchy AS h
        WHERE h.business_id = tenant AND h.is_direct
        UNION ALL
        SELECT p.business_id, p.senior_role_id, h.junior_role_id, p.depth + 1,
               p.is_in_full AND h.inherits = 'all'
        FROM path AS p
        JOIN user_rbac.role_hierarchy AS h
            ON h.business_id = p.business_id AND h.senior_role_id = p.junior_role_id
        WHERE h.business_id = tenant AND h.is_direct
          AND p.depth < 9 AND p.senior_role_id <> p.junior_role_id
    )
    SELECT p.business_id, p.senior_role_id, p.junior_role_id, p.depth, p.is_in_full
    FROM path AS p;
END;
COMMENT ON FUNCTION user_rbac.role_paths(uuid) IS
    'Every path along drawn edges of a business, up to the ninth step or the first return to its
     start: both are refused by close_roles().';

CREATE FUNCTION user_rbac.close_roles(tenant uuid) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    wrong   record;
    closure record;
BEGIN
    -- One at a time: two edges drawn at once may close a circle that neither of them sees.
    PERFORM pg_advisory_xact_lock(hashtextextended(tenant::text, 1));

    SELECT s.code AS senior, j.code AS junior, p.depth INTO wrong
    FROM user_rbac.role_paths(tenant) AS p
    JOIN user_rbac.role AS s ON s.business_id = tenant AND s.role_id = p.senior_role_id
    JOIN user_rbac.role AS j ON j.business_id = tenant AND j.role_id = p.junior_role_id
    WHERE p.senior_role_id = p.junior_role_id OR p.depth > 8
    ORDER BY p.depth, s.code
    LIMIT 1;
    IF wrong.senior = wrong.junior THEN
        RAISE EXCEPTION 'role % would inherit from itself', wrong.senior
            USING ERRCODE = 'check_violation';
    ELSIF wrong.depth > 8 THEN
        RAISE EXCEPTION 'role % is more than 8 steps below %', wrong.junior, wrong.senior
            USING ERRCODE = 'check_violation';
    END IF;

    SELECT coalesce(array_agg(n.senior_role_id), '{}') AS seniors,
           coalesce(array_agg(n.junior_role_id), '{}') AS juniors,
           coalesce(array_agg(n.depth), '{}') AS depths,
           coalesce(array_agg(n.path_count), '{}') AS path_counts,
           coalesce(array_agg(n.inherits), '{}') AS inherits
    INTO closure
    FROM (
        SELECT p.senior_role_id, p.junior_role_id, min(p.depth) AS depth,
               count(*)::integer AS path_count,
               CASE WHEN bool_or(p.is_in_full) THEN 'all' ELSE 'read_only' END AS inherits
        FROM user_rbac.role_paths(tenant) AS p
        GROUP BY p.senior_role_id, p.junior_role_id
    ) AS n;
    DELETE FROM user_rbac.role_hierarchy AS h
    WHERE h.business_id = tenant AND NOT h.is_direct
        AND NOT EXISTS (SELECT
                        FROM unnest(closure.seniors, closure.juniors) AS c (senior, junior)
                        WHERE c.senior = h.senior_role_id AND c.junior = h.junior_role_id);
    INSERT INTO user_rbac.role_hierarchy
        (business_id, senior_role_id, junior_role_id, is_direct, inherits, effective_inherits,
         depth, path_count)
    SELECT tenant, c.senior, c.junior, false, c.inherits, c.inherits, c.depth, c.path_count
    FROM unnest(closure.seniors, closure.juniors, closure.depths, closure.path_counts,
                closure.inherits) AS c (senior, junior, depth, path_count, inherits)
    WHERE NOT EXISTS (SELECT FROM user_rbac.role_hierarchy AS h
                      WHERE h.business_id = tenant
                          AND h.senior_role_id = c.senior AND h.junior_role_id = c.junior);
    UPDATE user_rbac.role_hierarchy AS h
    SET depth = c.depth, path_count = c.path_count, effective_inherits = c.inherits,
        inherits = CASE WHEN h.is_direct THEN h.inherits ELSE c.inherits END
    FROM unnest(closure.seniors, closure.juniors, closure.depths, closure.path_counts,
                closure.inherits) AS c (senior, junior, depth, path_count, inherits)
    WHERE h.business_id = tenant
        AND h.senior_role_id = c.senior AND h.junior_role_id = c.junior
        AND (h.depth, h.path_count, h.effective_inherits,
             CASE WHEN h.is_direct THEN c.inherits ELSE h.inherits END)
            IS DISTINCT FROM (c.depth, c.path_count, c.inherits, c.inherits);
END
$$;
COMMENT ON FUNCTION user_rbac.close_roles(uuid) IS
    'Derives all pairs of a business from its drawn edges, and refuses circles and trees deeper
     than 8. Pairs that somebody wrote by hand are put right.';

CREATE FUNCTION user_rbac.keep_role_closure() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    tenants uuid[];
    tenant  uuid;
BEGIN
    -- What close_roles() writes itself is no edge, and changes nothing.
    IF pg_trigger_depth() > 1 AND NOT EXISTS (SELECT FROM changed AS c WHERE c.is_direct) THEN
        RETURN NULL;
    END IF;
    tenants := ARRAY(SELECT DISTINCT c.business_id FROM changed AS c ORDER BY c.business_id);
    FOREACH tenant IN ARRAY tenants LOOP
        PERFORM user_rbac.close_roles(tenant);
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_rbac.keep_role_closure() IS
    'Derives the pairs of each business whose drawn edges changed.';

CREATE TRIGGER role_hierarchy_closure_insert
    AFTER INSERT ON user_rbac.role_hierarchy
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.keep_role_closure();

CREATE TRIGGER role_hierarchy_closure_update
    AFTER UPDATE ON user_rbac.role_hierarchy
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.keep_role_closure();

CREATE TRIGGER role_hierarchy_closure_delete
    AFTER DELETE ON user_rbac.role_hierarchy
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.keep_role_closure();

CREATE FUNCTION user_rbac.refuse_change_of_system_grants() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    role_code text;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    SELECT r.code INTO role_code
    FROM changed AS c
    JOIN user_rbac.role AS r
        ON r.business_id = c.business_id AND r.role_id = (to_jsonb(c) ->> TG_ARGV[0])::uuid
    WHERE r.kind = 'system' AND to_jsonb(c) ->> 'is_direct' IS DISTINCT FROM 'false'
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'what role % may do is kept by the platform', role_code
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Make a role of the tenant''s own that inherits from it.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_rbac.refuse_change_of_system_grants() IS
    'A tenant changes neither what a system role grants nor what it inherits; the argument is the
     column that names the role.';

CREATE TRIGGER role_hierarchy_system_insert
    AFTER INSERT ON user_rbac.role_hierarchy
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION
        user_rbac.refuse_change_of_system_grants('senior_role_id');

CREATE TRIGGER role_hierarchy_system_update
    AFTER UPDATE ON user_rbac.role_hierarchy
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION
        user_rbac.refuse_change_of_system_grants('senior_role_id');

CREATE TRIGGER role_hierarchy_system_delete
    AFTER DELETE ON user_rbac.role_hierarchy
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION
        user_rbac.refuse_change_of_system_grants('senior_role_id');


-- No filter on the tenant: see v_role_held.
CREATE VIEW user_rbac.v_role_reach
    WITH (security_invoker = true) AS
SELECT r.business_id, r.role_id AS held_role_id, r.role_id AS reached_role_id,
       true AS is_itself, true AS is_in_full
FROM user_rbac.role AS r
UNION ALL
SELECT h.business_id, h.senior_role_id, h.junior_role_id, false, h.effective_inherits = 'all'
FROM user_rbac.role_hierarchy AS h;
COMMENT ON VIEW user_rbac.v_role_reach IS
    'A role and, in one step, every role that its holder has with it, in full or to read only.';
GRANT SELECT ON user_rbac.v_role_reach TO app_user, app_readonly;


CREATE TABLE user_rbac.permission (
    business_id      uuid        NOT NULL,
    permission_id    uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    resource         text        NOT NULL,
    action           text        NOT NULL,
    code             text        NOT NULL GENERATED ALWAYS AS (resource || ':' || action) STORED,
    module_code      text        NOT NULL DEFAULT 'core',
    description      text,
    sensitivity      text        NOT NULL DEFAULT 'normal',
    is_scopable      boolean     NOT NULL DEFAULT true,
    requires_step_up boolean     NOT NULL DEFAULT false,
    is_deprecated    boolean     NOT NULL DEFAULT false,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, permission_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT permission_resource_shape CHECK (resource ~ '^[a-z][a-z0-9_.]{0,49}$'),
    CONSTRAINT permission_action_known
        CHECK (action IN ('read', 'create', 'update', 'delete', 'approve', 'export', 'assign',
                          'configure', 'impersonate', 'refund', 'void', 'print')),
    CONSTRAINT permission_module_code_known
        CHECK (module_code IN ('core', 'hs', 'auto', 'rest', 'ret', 'courses', 'payroll')),
    CONSTRAINT permission_sensitivity_known
        CHECK (sensitivity IN ('normal', 'personal', 'financial', 'health', 'security')),
    CONSTRAINT permission_sensitive_is_stepped_up_for
        CHECK ((sensitivity <> 'security' AND action <> 'impersonate') OR requires_step_up)
);

COMMENT ON TABLE user_rbac.permission IS 'An action on a resource that roles grant.';
COMMENT ON COLUMN user_rbac.permission.is_scopable IS
    'Whether it can be granted for some of the rows (row_scope) instead of for all.';
COMMENT ON COLUMN user_rbac.permission.requires_step_up IS
    'The session authenticates anew, or stronger, before it is used.';

ALTER TABLE user_rbac.permission ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_rbac.permission
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_rbac.permission TO app_user;
GRANT SELECT ON user_rbac.permission TO app_readonly;

CREATE TRIGGER permission_touch
    BEFORE UPDATE ON user_rbac.permission
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION user_rbac.refuse_renamed_permission() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'permission % cannot become %:%', OLD.code, NEW.resource, NEW.action
        USING ERRCODE = 'restrict_violation',
              HINT = 'Deprecate it and add another one; programs ask for it by its code.';
END
$$;
COMMENT ON FUNCTION user_rbac.refuse_renamed_permission() IS
    'A grant never comes to mean something else.';

CREATE TRIGGER permission_fixed
    BEFORE UPDATE OF resource, action ON user_rbac.permission
    FOR EACH ROW WHEN ((OLD.resource, OLD.action) IS DISTINCT FROM (NEW.resource, NEW.action))
    EXECUTE FUNCTION user_rbac.refuse_renamed_permission();


CREATE FUNCTION user_rbac.is_condition_tree(expression jsonb) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    operator CONSTANT text  := expression ->> 'operator';
    operand  CONSTANT jsonb := expression -> 'value';
    branch   CONSTANT jsonb := coalesce(expression -> 'all', expression -> 'any');
BEGIN
    IF jsonb_typeof(expression) IS DISTINCT FROM 'object' THEN
        RETURN false;
    ELSIF expression ?| ARRAY['all', 'any'] THEN
        RETURN (SELECT count(*) FROM jsonb_object_keys(expression)) = 1
            AND jsonb_typeof(branch) = 'array' AND jsonb_array_length(branch) > 0
            AND (SELECT bool_and(user_rbac.is_condition_tree(t.node))
                 FROM JSON_TABLE(branch, '$[*]' COLUMNS (node jsonb PATH '$')) AS t);
    ELSIF expression ? 'not' THEN
        RETURN (SELECT count(*) FROM jsonb_object_keys(expression)) = 1
            AND user_rbac.is_condition_tree(expression -> 'not');
    END IF;
    RETURN coalesce(expression ->> 'attribute' ~ '^[a-z][a-z_]*(\.[a-z][a-z_]*)*$', false)
        AND coalesce(CASE
            WHEN operator IN ('eq', 'ne') THEN operand IS NOT NULL
            WHEN operator IN ('lt', 'le', 'gt', 'ge') THEN jsonb_typeof(operand) = 'number'
            WHEN operator = 'between'
                THEN jsonb_path_exists(operand, 'strict $ ? (@.type() == "array" && @.size() == 2
                     && @[0].type() == "number" && @[1].type() == "number"
                     && @[0] <= @[1])')
            WHEN operator = 'in' THEN jsonb_typeof(operand) = 'array'
            WHEN operator = 'in_network'
                THEN jsonb_typeof(operand) = 'array'
                     AND (SELECT bool_and(pg_input_is_valid(n.network, 'cidr'))
                          FROM JSON_TABLE(operand, '$[*]' COLUMNS (network text PATH '$')) AS n)
            WHEN operator = 'exists' THEN jsonb_typeof(operand) = 'boolean'
            ELSE false END, false)
        AND NOT EXISTS (SELECT FROM jsonb_object_keys(expression) AS k
                        WHERE k NOT IN ('attribute', 'operator', 'value'));
END
$$;
COMMENT ON FUNCTION user_rbac.is_condition_tree(jsonb) IS
    'Whether a document is a condition: {"all": [...]}, {"any": [...]}, {"not": {...}} or a leaf
     {"attribute": "network.ip", "operator": "in_network", "value": ["10.0.0.0/8"]}; operators
     eq, ne, lt, le, gt, ge, between, in, in_network and exists.';


CREATE FUNCTION user_rbac.condition_holds(expression jsonb, context jsonb) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    operator CONSTANT text  := expression ->> 'operator';
    wanted   CONSTANT jsonb := expression -> 'value';
    found    CONSTANT jsonb := context #> string_to_array(expression ->> 'attribute', '.');
BEGIN
    IF expression ? 'all' THEN
        RETURN (SELECT CASE WHEN bool_or(NOT b.holds) THEN false
                            WHEN bool_and(b.holds IS NOT NULL) THEN true END
                FROM JSON_TABLE(expression, '$.all[*]' COLUMNS (node jsonb PATH '$')) AS t
                CROSS JOIN LATERAL (
                    SELECT user_rbac.condition_holds(t.node, context) AS holds) AS b);
    ELSIF expression ? 'any' THEN
        RETURN (SELECT CASE WHEN bool_or(b.holds) THEN true
                            WHEN bool_and(b.holds IS NOT NULL) THEN false END
                FROM JSON_TABLE(expression, '$.any[*]' COLUMNS (node jsonb PATH '$')) AS t
                CROSS JOIN LATERAL (
                    SELECT user_rbac.condition_holds(t.node, context) AS holds) AS b);
    ELSIF expression ? 'not' THEN
        RETURN NOT user_rbac.condition_holds(expression -> 'not', context);
    ELSIF operator = 'exists' THEN
        RETURN (found IS NOT NULL) = wanted::boolean;
    ELSIF found IS NULL OR jsonb_typeof(found) = 'null'
            OR operator = 'in_network' AND NOT pg_input_is_valid(found #>> '{}', 'inet') THEN
        RETURN NULL;
    END IF;
    RETURN CASE operator
        WHEN 'eq' THEN found = wanted
        WHEN 'ne' THEN found <> wanted
        WHEN 'in' THEN wanted @> found
        WHEN 'in_network' THEN (
            SELECT bool_or((found #>> '{}')::inet <<= n.network::inet)
            FROM JSON_TABLE(wanted, '$[*]' COLUMNS (network text PATH '$')) AS n)
        ELSE CASE WHEN jsonb_typeof(found) = 'number' THEN CASE operator
            WHEN 'lt' THEN found < wanted
            WHEN 'le' THEN found <= wanted
            WHEN 'gt' THEN found > wanted
            WHEN 'ge' THEN found >= wanted
            WHEN 'between' THEN found BETWEEN wanted -> 0 AND wanted -> 1 END END
        END;
END
$$;
COMMENT ON FUNCTION user_rbac.condition_holds(jsonb, jsonb) IS
    'Whether a condition holds in a context such as {"network": {"ip": "10.1.2.3"}, "time":
     {"hour": 9}}. NULL where the context does not tell: then a grant does not count, and a
     denial does.';


CREATE TABLE user_rbac.access_condition (
    business_id         uuid                    NOT NULL,
    access_condition_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    code                system_core.code        NOT NULL,
    name                text                    NOT NULL,
    condition_kind      text                    NOT NULL,
    expression          system_core.json_object NOT NULL,
    evaluation          text                    NOT NULL DEFAULT 'always',
    failure_action      text                    NOT NULL DEFAULT 'deny',
    is_active           boolean                 NOT NULL DEFAULT true,
    version_no          integer                 NOT NULL DEFAULT 1,
    last_validated_at   timestamptz,
    created_at          timestamptz             NOT NULL DEFAULT now(),
    updated_at          timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, access_condition_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT access_condition_kind_known
        CHECK (condition_kind IN ('time_window', 'network', 'device_trust', 'assurance', 'amount',
                                  'location', 'attribute')),
    CONSTRAINT access_condition_evaluation_known
        CHECK (evaluation IN ('always', 'on_write', 'on_export')),
    CONSTRAINT access_condition_failure_action_known
        CHECK (failure_action IN ('deny', 'step_up', 'log_only')),
    CONSTRAINT access_condition_is_a_tree CHECK (user_rbac.is_condition_tree(expression)),
    CONSTRAINT access_condition_version_positive CHECK (version_no > 0)
);

COMMENT ON TABLE user_rbac.access_condition IS
    'What must hold besides the role: time, network, device, amount, assurance.';
COMMENT ON COLUMN user_rbac.access_condition.expression IS
    'Condition tree, see is_condition_tree(); condition_holds() evaluates it.';
COMMENT ON COLUMN user_rbac.access_condition.evaluation IS
    'For which actions it is looked at: all, those that write, or export and print.';
COMMENT ON COLUMN user_rbac.access_condition.failure_action IS
    'When it does not hold: the grant does not count (deny), counts after the session stepped up
     (context {"session": {"stepped_up": true}}), or counts and is logged.';

ALTER TABLE user_rbac.access_condition ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_rbac.access_condition
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_rbac.access_condition TO app_user;
GRANT SELECT ON user_rbac.access_condition TO app_readonly;

CREATE TRIGGER access_condition_touch
    BEFORE UPDATE ON user_rbac.access_condition
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER access_condition_version
    BEFORE UPDATE ON user_rbac.access_condition
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION user_rbac.raise_version();


CREATE TABLE user_rbac.role_permission (
    business_id         uuid        NOT NULL,
    role_permission_id  uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    role_id             uuid        NOT NULL,
    permission_id       uuid        NOT NULL,
    access_condition_id uuid,
    effect              text        NOT NULL DEFAULT 'allow',
    row_scope           text        NOT NULL DEFAULT 'business',
    field_mask          text[]      NOT NULL DEFAULT '{}',
    amount_limit        system_core.money,
    source              text        NOT NULL DEFAULT 'admin',
    note                text,
    granted_at          timestamptz NOT NULL DEFAULT now(),
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, role_permission_id),
    UNIQUE (business_id, role_id, permission_id, row_scope),
    FOREIGN KEY (business_id, role_id) REFERENCES user_rbac.role (business_id, role_id),
    FOREIGN KEY (business_id, permission_id)
        REFERENCES user_rbac.permission (business_id, permission_id),
    FOREIGN KEY (business_id, access_condition_id)
        REFERENCES user_rbac.access_condition (business_id, access_condition_id),
    CONSTRAINT role_permission_effect_known CHECK (effect IN ('allow', 'deny')),
    CONSTRAINT role_permission_row_scope_known
        CHECK (row_scope IN ('own', 'team', 'location', 'business', 'assigned')),
    CONSTRAINT role_permission_source_known CHECK (source IN ('template', 'admin', 'import')),
    CONSTRAINT role_permission_limit_positive CHECK (amount_limit > 0),
    CONSTRAINT role_permission_only_an_allowance_masks
        CHECK (effect = 'allow' OR cardinality(field_mask) = 0)
);

COMMENT ON TABLE user_rbac.role_permission IS
    'What a role allows or denies, on which rows and up to which amount. A denial wins over every
     allowance; it binds who holds the role, not the roles that inherit from it.';
COMMENT ON COLUMN user_rbac.role_permission.row_scope IS
    'The rows, seen from the holder: own, of the team, at the location, assigned, or all.';
COMMENT ON COLUMN user_rbac.role_permission.field_mask IS
    'Fields of the resource that the grant leaves out.';
COMMENT ON COLUMN user_rbac.role_permission.amount_limit IS
    'An allowance ends, a denial begins above it; NULL: whatever the amount.';

-- FK: the roles that grant a permission.
CREATE INDEX role_permission_permission_idx
    ON user_rbac.role_permission (business_id, permission_id);

-- FK: the grants under a condition.
CREATE INDEX role_permission_condition_idx
    ON user_rbac.role_permission (business_id, access_condition_id)
    WHERE access_condition_id IS NOT NULL;

ALTER TABLE user_rbac.role_permission ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_rbac.role_permission
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_rbac.role_permission TO app_user;
GRANT SELECT ON user_rbac.role_permission TO app_readonly;

CREATE TRIGGER role_permission_touch
    BEFORE UPDATE ON user_rbac.role_permission
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER role_permission_system_insert
    AFTER INSERT ON user_rbac.role_permission
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.refuse_change_of_system_grants('role_id');

CREATE TRIGGER role_permission_system_update
    AFTER UPDATE ON user_rbac.role_permission
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.refuse_change_of_system_grants('role_id');

CREATE TRIGGER role_permission_system_move
    AFTER UPDATE ON user_rbac.role_permission
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.refuse_change_of_system_grants('role_id');

CREATE TRIGGER role_permission_system_delete
    AFTER DELETE ON user_rbac.role_permission
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.refuse_change_of_system_grants('role_id');

CREATE FUNCTION user_rbac.require_fitting_grant() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    SELECT p.code, g.amount_limit, g.row_scope INTO wrong
    FROM changed AS c
    JOIN user_rbac.permission AS p
        ON p.business_id = c.business_id AND p.permission_id = c.permission_id
    JOIN user_rbac.role_permission AS g
        ON g.business_id = p.business_id AND g.permission_id = p.permission_id
    WHERE (TG_ARGV[0] = 'permission_id'
           OR g.role_permission_id = (to_jsonb(c) ->> TG_ARGV[0])::uuid)
        AND (g.amount_limit IS NOT NULL AND p.action NOT IN ('refund', 'void', 'approve')
             OR g.row_scope <> 'business' AND NOT p.is_scopable)
    LIMIT 1;
    IF wrong.amount_limit IS NOT NULL AND wrong.code !~ ':(refund|void|approve)$' THEN
        RAISE EXCEPTION 'permission % is about no amount', wrong.code
            USING ERRCODE = 'check_violation',
                  HINT = 'Limit amounts of refund, void and approve.';
    ELSIF wrong.code IS NOT NULL THEN
        RAISE EXCEPTION 'permission % is granted for all rows or none, not %', wrong.code,
            wrong.row_scope USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_rbac.require_fitting_grant() IS
    'Amounts are limited where there are some, rows where the permission is scopable; the argument
     is the key of the changed table.';

CREATE TRIGGER role_permission_fits_insert
    AFTER INSERT ON user_rbac.role_permission
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.require_fitting_grant('role_permission_id');

CREATE TRIGGER role_permission_fits_update
    AFTER UPDATE ON user_rbac.role_permission
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.require_fitting_grant('role_permission_id');

CREATE TRIGGER permission_fits_update
    AFTER UPDATE ON user_rbac.permission
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.require_fitting_grant('permission_id');


-- An invitation names the role that whoever accepts it receives.
ALTER TABLE user_mgmt.user_invitation ADD COLUMN role_id uuid;
ALTER TABLE user_mgmt.user_invitation
    ADD FOREIGN KEY (business_id, role_id) REFERENCES user_rbac.role (business_id, role_id);
COMMENT ON COLUMN user_mgmt.user_invitation.role_id IS
    'The role that is given on acceptance; NULL where it is given later.';

-- FK: open and past invitations to a role.
CREATE INDEX user_invitation_role_idx
    ON user_mgmt.user_invitation (business_id, role_id)
    WHERE role_id IS NOT NULL;
