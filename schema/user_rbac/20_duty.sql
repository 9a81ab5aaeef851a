/*
 * Duties: roles that one person must not hold together, roles lent and roles taken in need.
 *
 * sod_constraint is a rule over the roles in sod_constraint_role: how many of them one account may
 * hold (static), hold over the same object (object_based) or use in one session (dynamic).
 * role_delegation lends an assignment to another user, emergency_access breaks the glass; either
 * makes a role_assignment that lives no longer than it does.
 */

CREATE TABLE user_rbac.sod_constraint (
    business_id           uuid             NOT NULL,
    sod_constraint_id     uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    owner_user_account_id uuid,
    code                  system_core.code NOT NULL,
    name                  text             NOT NULL,
    kind                  text             NOT NULL DEFAULT 'static',
    max_roles             integer          NOT NULL DEFAULT 1,
    business_process      text,
    regulation            text             NOT NULL DEFAULT 'internal',
    severity              text             NOT NULL DEFAULT 'block',
    is_active             boolean          NOT NULL DEFAULT true,
    mitigation_allowed    boolean          NOT NULL DEFAULT false,
    effective_from        date             NOT NULL DEFAULT current_date,
    created_at            timestamptz      NOT NULL DEFAULT now(),
    updated_at            timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, sod_constraint_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT sod_constraint_kind_known CHECK (kind IN ('static', 'dynamic', 'object_based')),
    CONSTRAINT sod_constraint_max_roles_positive CHECK (max_roles >= 1),
    CONSTRAINT sod_constraint_regulation_known
        CHECK (regulation IN ('sox', 'pci_dss', 'hipaa', 'internal')),
    CONSTRAINT sod_constraint_severity_known CHECK (severity IN ('warn', 'block')),
    CONSTRAINT sod_constraint_sox_blocks CHECK (regulation <> 'sox' OR severity = 'block')
);

COMMENT ON TABLE user_rbac.sod_constraint IS
    'A separation of duty: of its roles, one account has no more than max_roles.';
COMMENT ON COLUMN user_rbac.sod_constraint.kind IS
    'static: held at all; object_based: held over the same location, unit or record, or over all;
     dynamic: used in one session.';
COMMENT ON COLUMN user_rbac.sod_constraint.max_roles IS
    'How many may be held together; roles of one side (a or b) count as one.';
COMMENT ON COLUMN user_rbac.sod_constraint.mitigation_allowed IS
    'Whether an assignment that names a mitigation may break it.';

-- FK: the rules that an account answers for.
CREATE INDEX sod_constraint_owner_idx
    ON user_rbac.sod_constraint (business_id, owner_user_account_id)
    WHERE owner_user_account_id IS NOT NULL;

ALTER TABLE user_rbac.sod_constraint ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_rbac.sod_constraint
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_rbac.sod_constraint TO app_user;
GRANT SELECT ON user_rbac.sod_constraint TO app_readonly;

CREATE TRIGGER sod_constraint_touch
    BEFORE UPDATE ON user_rbac.sod_constraint
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE user_rbac.sod_constraint_role (
    business_id            uuid        NOT NULL,
    sod_constraint_role_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    sod_constraint_id      uuid        NOT NULL,
    role_id                uuid        NOT NULL,
    conflict_side          text        NOT NULL DEFAULT 'any',
    permission_codes       text[]      NOT NULL DEFAULT '{}',
    is_exempt              boolean     NOT NULL DEFAULT false,
    exemption_until        date,
    exemption_ref          text,
    added_reason           text,
    added_at               timestamptz NOT NULL DEFAULT now(),
    created_at             timestamptz NOT NULL DEFAULT now(),
    updated_at             timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, sod_constraint_role_id),
    UNIQUE (business_id, sod_constraint_id, role_id),
    FOREIGN KEY (business_id, sod_constraint_id)
        REFERENCES user_rbac.sod_constraint (business_id, sod_constraint_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, role_id) REFERENCES user_rbac.role (business_id, role_id),
    CONSTRAINT sod_constraint_role_side_known CHECK (conflict_side IN ('a', 'b', 'any')),
    CONSTRAINT sod_constraint_role_exemption_ends
        CHECK (NOT is_exempt OR exemption_until IS NOT NULL)
);

COMMENT ON TABLE user_rbac.sod_constraint_role IS 'A role that a separation of duty is about.';
COMMENT ON COLUMN user_rbac.sod_constraint_role.conflict_side IS
    'Roles of side a conflict with those of side b, not with each other; "any" with all.';
COMMENT ON COLUMN user_rbac.sod_constraint_role.permission_codes IS
    'The role counts only while it grants one of these; empty: it counts whatever it grants.';
COMMENT ON COLUMN user_rbac.sod_constraint_role.exemption_until IS
    'Up to and with this day the role does not count; exemption_ref names who agreed to it.';

-- FK: the rules about a role.
CREATE INDEX sod_constraint_role_role_idx
    ON user_rbac.sod_constraint_role (business_id, role_id);

ALTER TABLE user_rbac.sod_constraint_role ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_rbac.sod_constraint_role
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_rbac.sod_constraint_role TO app_user;
GRANT SELECT ON user_rbac.sod_constraint_role TO app_readonly;

CREATE TRIGGER sod_constraint_role_touch
    BEFORE UPDATE ON user_rbac.sod_constraint_role
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION user_rbac.require_roles_of_constraint() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := coalesce(NEW.business_id, OLD.business_id);
    rule   CONSTANT uuid := coalesce(NEW.sod_constraint_id, OLD.sod_constraint_id);
    wrong  record;
BEGIN
    -- The roles of an imported rule come after it, in a transaction of their own.
    IF TG_ARGV[0] = 'rule' AND NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    -- Under another tenant the roles to be counted would not be seen.
    IF row_security_active(TG_RELID) AND tenant <> tenant_mgmt.current_business_id() THEN
        RAISE EXCEPTION 'the tenant changed before the roles of a rule were looked at'
            USING ERRCODE = 'check_violation',
                  HINT = 'Work for one tenant in a transaction.';
    END IF;
    SELECT c.code, c.max_roles,
           (SELECT count(*) FROM user_rbac.sod_constraint_role AS m
            WHERE m.business_id = tenant AND m.sod_constraint_id = rule) AS role_count
    INTO wrong
    FROM user_rbac.sod_constraint AS c
    WHERE c.business_id = tenant AND c.sod_constraint_id = rule;
    IF wrong.role_count < 2 THEN
        RAISE EXCEPTION 'rule % separates fewer than two roles', wrong.code
            USING ERRCODE = 'check_violation', HINT = 'Add its roles in the same transaction.';
    ELSIF wrong.max_roles >= wrong.role_count THEN
        RAISE EXCEPTION 'rule % lets all of its % roles be held', wrong.code, wrong.role_count
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_rbac.require_roles_of_constraint() IS
    'A rule has at least two roles and forbids some combination of them. Looked at when the
     transaction commits, so that a rule can be made, and its roles exchanged.';

CREATE CONSTRAINT TRIGGER sod_constraint_whole
    AFTER INSERT OR UPDATE ON user_rbac.sod_constraint
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION user_rbac.require_roles_of_constraint('rule');

CREATE CONSTRAINT TRIGGER sod_constraint_role_whole
    AFTER INSERT OR UPDATE OR DELETE ON user_rbac.sod_constraint_role
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION user_rbac.require_roles_of_constraint('role');


CREATE VIEW user_rbac.v_sod_member
    WITH (security_invoker = true) AS
SELECT c.business_id, x.held_role_id, c.sod_constraint_id, c.code AS constraint_code, c.kind,
       c.severity, c.regulation, c.max_roles, c.mitigation_allowed, r.code AS member_code,
       CASE m.conflict_side WHEN 'any' THEN r.code ELSE m.conflict_side END AS party
FROM user_rbac.sod_constraint AS c
JOIN user_rbac.sod_constraint_role AS m
    ON m.business_id = c.business_id AND m.sod_constraint_id = c.sod_constraint_id
JOIN user_rbac.role AS r
    ON r.business_id = m.business_id AND r.role_id = m.role_id
JOIN user_rbac.v_role_reach AS x
    ON x.business_id = m.business_id AND x.reached_role_id = m.role_id AND x.is_in_full
WHERE c.business_id = tenant_mgmt.current_business_id()
    AND c.is_active AND c.effective_from <= current_date
    AND NOT (m.is_exempt AND m.exemption_until >= current_date)
    AND (m.permission_codes = '{}' OR EXISTS (
        SELECT FROM user_rbac.v_role_reach AS y
        JOIN user_rbac.role_permission AS g
            ON g.business_id = y.business_id AND g.role_id = y.reached_role_id
        JOIN user_rbac.permission AS p
            ON p.business_id = g.business_id AND p.permission_id = g.permission_id
        WHERE y.business_id = m.business_id AND y.held_role_id = m.role_id AND y.is_in_full
            AND g.effect = 'allow' AND p.code = ANY (m.permission_codes)));
COMMENT ON VIEW user_rbac.v_sod_member IS
    'For each role, which roles of which active rules its holder has, inherited ones included: who
     holds a senior role has the duties of the junior ones.';
GRANT SELECT ON user_rbac.v_sod_member TO app_user, app_readonly;


CREATE FUNCTION user_rbac.sod_violations(
    account     uuid,
    added_role  uuid,
    added_scope uuid        DEFAULT NULL,
    starts_at   timestamptz DEFAULT now(),
    ends_at     timestamptz DEFAULT NULL
) RETURNS TABLE (sod_constraint_id uuid, constraint_code text, kind text, severity text,
                 mitigation_allowed boolean, object_key uuid, conflicting_roles text[])
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH held AS (
        SELECT h.role_id, coalesce(h.scope_entity_id, h.business_id) AS scope_key,
               false AS is_added
        FROM user_rbac.v_role_held AS h
        WHERE h.business_id = tenant_mgmt.current_business_id() AND h.holder_id = account
            AND h.valid_from < coalesce(h.valid_until, 'infinity')
            AND h.valid_from < coalesce(ends_at, 'infinity')
            AND coalesce(h.valid_until, 'infinity') > starts_at
        UNION ALL
        SELECT added_role, coalesce(added_scope, tenant_mgmt.current_business_id()), true
    ), member AS (
        SELECT m.*, h.scope_key, h.is_added
        FROM held AS h
        JOIN user_rbac.v_sod_member AS m ON m.held_role_id = h.role_id
        WHERE m.business_id = tenant_mgmt.current_business_id() AND m.kind <> 'dynamic'
    ), object AS (
        SELECT DISTINCT m.sod_constraint_id,
               CASE m.kind WHEN 'object_based' THEN m.scope_key ELSE m.business_id END AS object_key
        FROM member AS m
    )
    SELECT m.sod_constraint_id, m.constraint_code, m.kind, m.severity, m.mitigation_allowed,
           o.object_key, array_agg(DISTINCT m.member_code::text ORDER BY m.member_code::text)
    FROM object AS o
    JOIN member AS m
        ON m.sod_constraint_id = o.sod_constraint_id
        AND (m.kind = 'static' OR m.scope_key IN (o.object_key, m.business_id))
    GROUP BY m.sod_constraint_id, m.constraint_code, m.kind, m.severity, m.mitigation_allowed,
             m.max_roles, o.object_key
    HAVING count(DISTINCT m.party) > m.max_roles AND bool_or(m.is_added);
END;
COMMENT ON FUNCTION user_rbac.sod_violations(uuid, uuid, uuid, timestamptz, timestamptz) IS
    'The static and object-based rules of the tenant that an account (user or service) would break
     with one more role, in a scope and for a time; all that it holds in that time counts, also by
     its unit, lent, or inherited.';


CREATE FUNCTION user_rbac.session_conflicts(activated_roles uuid[])
    RETURNS TABLE (sod_constraint_id uuid, constraint_code text, severity text,
                   conflicting_roles text[])
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT m.sod_constraint_id, m.constraint_code, m.severity,
           array_agg(DISTINCT m.member_code::text ORDER BY m.member_code::text)
    FROM user_rbac.v_sod_member AS m
    WHERE m.business_id = tenant_mgmt.current_business_id()
        AND m.kind = 'dynamic' AND m.held_role_id = ANY (activated_roles)
    GROUP BY m.sod_constraint_id, m.constraint_code, m.severity, m.max_roles
    HAVING count(DISTINCT m.party) > m.max_roles;
END;
COMMENT ON FUNCTION user_rbac.session_conflicts(uuid[]) IS
    'The dynamic rules of the tenant that a session would break that uses these roles together.';


CREATE TABLE user_rbac.role_delegation (
    business_id                 uuid        NOT NULL,
    role_delegation_id          uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    role_assignment_id          uuid        NOT NULL,
    holder_id                   uuid        NOT NULL,
    delegate_user_account_id    uuid        NOT NULL,
    approved_by_user_account_id uuid,
    reason                      text        NOT NULL DEFAULT 'workload',
    state                       text        NOT NULL DEFAULT 'proposed',
    permission_subset           text[]      NOT NULL DEFAULT '{}',
    can_redelegate              boolean     NOT NULL DEFAULT false,
    delegation_depth            integer     NOT NULL DEFAULT 1,
    use_count                   integer     NOT NULL DEFAULT 0,
    starts_at                   timestamptz NOT NULL,
    ends_at                     timestamptz NOT NULL,
    accepted_at                 timestamptz,
    revoked_at                  timestamptz,
    created_at                  timestamptz NOT NULL DEFAULT now(),
    updated_at                  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, role_delegation_id),
    FOREIGN KEY (business_id, role_assignment_id, holder_id)
        REFERENCES user_rbac.role_assignment (business_id, role_assignment_id, holder_id),
    FOREIGN KEY (business_id, delegate_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, approved_by_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT role_delegation_reason_known
        CHECK (reason IN ('leave', 'workload', 'training', 'handover')),
    CONSTRAINT role_delegation_state_known
        CHECK (state IN ('proposed', 'active', 'ended', 'revoked', 'rejected')),
    CONSTRAINT role_delegation_ends_after_start CHECK (ends_at > starts_at),
    CONSTRAINT role_delegation_at_most_90_days
        CHECK (ends_at <= starts_at + 90 * interval '24 hours'),
    CONSTRAINT role_delegation_to_another CHECK (delegate_user_account_id <> holder_id),
    CONSTRAINT role_delegation_not_approved_by_delegate
        CHECK (approved_by_user_account_id <> delegate_user_account_id),
    CONSTRAINT role_delegation_depth_bounded CHECK (delegation_depth BETWEEN 1 AND 2),
    CONSTRAINT role_delegation_deepest_is_last CHECK (delegation_depth < 2 OR NOT can_redelegate),
    CONSTRAINT role_delegation_uses_not_negative CHECK (use_count >= 0),
    CONSTRAINT role_delegation_accepted_has_time
        CHECK (state NOT IN ('active', 'ended') OR accepted_at IS NOT NULL),
    CONSTRAINT role_delegation_revoked_has_time
        CHECK ((state = 'revoked') = (revoked_at IS NOT NULL))
);

COMMENT ON TABLE user_rbac.role_delegation IS
    'An assignment lent to another user for a time; while it is active the delegate has an
     assignment of origin "delegation".';
COMMENT ON COLUMN user_rbac.role_delegation.holder_id IS
    'Who lends: the holder of the assignment, which the foreign key ensures.';
COMMENT ON COLUMN user_rbac.role_delegation.permission_subset IS
    'Codes of the permissions that are lent; empty for all of the role.';
COMMENT ON COLUMN user_rbac.role_delegation.delegation_depth IS
    '1 when lent by the holder, 2 when lent on by a delegate.';
COMMENT ON COLUMN user_rbac.role_delegation.use_count IS
    'How often the delegate used it; the application counts.';

-- FK: what was lent of an assignment.
CREATE INDEX role_delegation_assignment_idx
    ON user_rbac.role_delegation (business_id, role_assignment_id, holder_id);

-- FK: what a user was lent.
CREATE INDEX role_delegation_delegate_idx
    ON user_rbac.role_delegation (business_id, delegate_user_account_id);

-- FK: what an account approved.
CREATE INDEX role_delegation_approver_idx
    ON user_rbac.role_delegation (business_id, approved_by_user_account_id)
    WHERE approved_by_user_account_id IS NOT NULL;

ALTER TABLE user_rbac.role_delegation ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_rbac.role_delegation
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_rbac.role_delegation TO app_user;
GRANT SELECT ON user_rbac.role_delegation TO app_readonly;

-- The assignment that a delegation made.
ALTER TABLE user_rbac.role_assignment
    ADD FOREIGN KEY (business_id, role_delegation_id)
        REFERENCES user_rbac.role_delegation (business_id, role_delegation_id);

CREATE TRIGGER role_delegation_state_machine
    BEFORE INSERT OR UPDATE OF state ON user_rbac.role_delegation
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["proposed", "active"],
        "transitions": {
            "proposed": ["active", "rejected", "revoked"],
            "active":   ["ended", "revoked"],
            "ended":    [],
            "revoked":  [],
            "rejected": []
        }}');

CREATE TRIGGER role_delegation_touch
    BEFORE UPDATE ON user_rbac.role_delegation
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION user_rbac.guard_role_delegation() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    reason text;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    SELECT CASE
        WHEN a.user_account_id IS NULL THEN 'a service account lends no role'
        WHEN a.state NOT IN ('active', 'scheduled') THEN 'the role is no longer held'
        WHEN c.starts_at < a.valid_from OR c.ends_at > a.valid_until
            THEN 'a role is lent within the time that it is held'
        WHEN a.origin = 'emergency' THEN 'a role taken in an emergency is not lent'
        WHEN c.delegation_depth <> 1 + coalesce(lent.delegation_depth, 0)
            THEN 'the depth of the delegation is not that of the one it comes from plus one'
        WHEN NOT lent.can_redelegate THEN 'a role that was lent is not lent on'
        WHEN d.status <> 'active' THEN 'the account of the delegate is not active'
        WHEN c.state = 'active' AND r.risk_tier IN ('high', 'critical')
                AND c.approved_by_user_account_id IS NULL
            THEN 'lending a role of high risk needs an approval'
        WHEN NOT c.permission_subset <@ ARRAY (
                SELECT p.code
                FROM user_rbac.v_role_reach AS x
                JOIN user_rbac.role_permission AS g
                    ON g.business_id = x.business_id AND g.role_id = x.reached_role_id
                JOIN user_rbac.permission AS p
                    ON p.business_id = g.business_id AND p.permission_id = g.permission_id
                WHERE x.business_id = c.business_id AND x.held_role_id = a.role_id)
            THEN 'the role does not grant all of the permissions that are lent'
        END
    INTO reason
    FROM changed AS c
    JOIN user_rbac.role_assignment AS a
        ON a.business_id = c.business_id AND a.role_assignment_id = c.role_assignment_id
    JOIN user_rbac.role AS r ON r.business_id = a.business_id AND r.role_id = a.role_id
    JOIN user_mgmt.user_account AS d
        ON d.business_id = c.business_id AND d.user_account_id = c.delegate_user_account_id
    LEFT JOIN user_rbac.role_delegation AS lent
        ON lent.business_id = a.business_id AND lent.role_delegation_id = a.role_delegation_id
    WHERE c.state IN ('proposed', 'active')
    ORDER BY 1 NULLS LAST
    LIMIT 1;
    IF reason IS NOT NULL THEN
        RAISE EXCEPTION '%', reason USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_rbac.guard_role_delegation() IS
    'What is lent now: by a user who holds it for at least that time, at the depth where it stands,
     to an active account, with an approval where the role is of high risk.';

-- Fire before role_delegation_lend_*, as triggers do in the order of their names.
CREATE TRIGGER role_delegation_guard_insert
    AFTER INSERT ON user_rbac.role_delegation
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.guard_role_delegation();

CREATE TRIGGER role_delegation_guard_update
    AFTER UPDATE ON user_rbac.role_delegation
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.guard_role_delegation();

CREATE FUNCTION user_rbac.lend_role() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- A statement that changed no row fires the trigger, too.
    IF NOT EXISTS (SELECT FROM changed AS c WHERE c.state IN ('active', 'ended', 'revoked')) THEN
        RETURN NULL;
    END IF;
    INSERT INTO user_rbac.role_assignment
        (business_id, user_account_id, role_id, granted_by_user_account_id, role_delegation_id,
         scope_kind, scope_entity_id, origin, justification, valid_from, valid_until)
    SELECT c.business_id, c.delegate_user_account_id, a.role_id, a.user_account_id,
           c.role_delegation_id, a.scope_kind, a.scope_entity_id, 'delegation', c.reason,
           c.starts_at, c.ends_at
    FROM changed AS c
    JOIN user_rbac.role_assignment AS a
        ON a.business_id = c.business_id AND a.role_assignment_id = c.role_assignment_id
    WHERE c.state = 'active'
        AND NOT EXISTS (SELECT FROM user_rbac.role_assignment AS made
                        WHERE made.business_id = c.business_id
                            AND made.role_delegation_id = c.role_delegation_id)
    ON CONFLICT DO NOTHING;

    UPDATE user_rbac.role_assignment AS a
    SET state = CASE WHEN a.valid_until <= now() THEN 'expired' ELSE 'revoked' END,
        revoked_at = CASE WHEN a.valid_until <= now() THEN NULL
                          ELSE coalesce(c.revoked_at, now()) END
    FROM changed AS c
    WHERE a.business_id = c.business_id AND a.role_delegation_id = c.role_delegation_id
        AND a.state IN ('active', 'scheduled') AND c.state IN ('ended', 'revoked');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_rbac.lend_role() IS
    'An active delegation is an assignment of the delegate, in the scope of the one it comes from;
     none is made where the delegate holds the role already. It ends with the delegation.';

CREATE TRIGGER role_delegation_lend_insert
    AFTER INSERT ON user_rbac.role_delegation
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.lend_role();

CREATE TRIGGER role_delegation_lend_update
    AFTER UPDATE ON user_rbac.role_delegation
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.lend_role();

CREATE FUNCTION user_rbac.take_back_lent_roles() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM changed AS c WHERE c.state IN ('expired', 'revoked')) THEN
        RETURN NULL;
    END IF;
    UPDATE user_rbac.role_delegation AS d
    SET state = 'revoked', revoked_at = now()
    FROM changed AS c
    WHERE d.business_id = c.business_id AND d.role_assignment_id = c.role_assignment_id
        AND d.state IN ('proposed', 'active') AND c.state IN ('expired', 'revoked');
    UPDATE user_rbac.role_delegation AS d
    SET state = CASE c.state WHEN 'expired' THEN 'ended' ELSE 'revoked' END,
        revoked_at = c.revoked_at
    FROM changed AS c
    WHERE d.business_id = c.business_id AND d.role_delegation_id = c.role_delegation_id
        AND d.state = 'active' AND c.state IN ('expired', 'revoked');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_rbac.take_back_lent_roles() IS
    'Nobody has a role from somebody who no longer holds it, at any depth; and a delegation is over
     when the role that was lent is taken back.';

CREATE TRIGGER role_assignment_take_back_update
    AFTER UPDATE ON user_rbac.role_assignment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.take_back_lent_roles();


CREATE FUNCTION user_rbac.delegate_role(
    assignment       uuid,
    delegate         uuid,
    starts_at        timestamptz,
    ends_at          timestamptz,
    reason           text    DEFAULT 'workload',
    permissions      text[]  DEFAULT '{}',
    may_lend_on      boolean DEFAULT false,
    approver         uuid    DEFAULT NULL
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    source record;
    broken text;
    made   uuid;
BEGIN
    SELECT a.holder_id, a.role_id, a.scope_entity_id, r.risk_tier,
           1 + coalesce(lent.delegation_depth, 0) AS depth
    INTO source
    FROM user_rbac.role_assignment AS a
    JOIN user_rbac.role AS r ON r.business_id = a.business_id AND r.role_id = a.role_id
    LEFT JOIN user_rbac.role_delegation AS lent
        ON lent.business_id = a.business_id AND lent.role_delegation_id = a.role_delegation_id
    WHERE a.business_id = tenant AND a.role_assignment_id = assignment
    FOR NO KEY UPDATE OF a;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no assignment %', assignment USING ERRCODE = 'no_data_found';
    END IF;
    IF EXISTS (SELECT FROM user_rbac.v_role_held AS h
               WHERE h.business_id = tenant AND h.holder_id = delegate
                   AND h.role_id = source.role_id
                   AND (h.scope_entity_id IS NULL
                        OR h.scope_entity_id = source.scope_entity_id)
                   AND h.valid_from < delegate_role.ends_at
                   AND coalesce(h.valid_until, 'infinity') > delegate_role.starts_at) THEN
        RAISE EXCEPTION 'the delegate holds the role already'
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT string_agg(s.constraint_code, ', ' ORDER BY s.constraint_code) INTO broken
    FROM user_rbac.sod_violations(delegate, source.role_id, source.scope_entity_id,
                                  delegate_role.starts_at, delegate_role.ends_at) AS s
    WHERE s.severity = 'block';
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION 'the delegate would break %', broken
            USING ERRCODE = 'check_violation', HINT = 'Lend it to somebody else.';
    END IF;

    INSERT INTO user_rbac.role_delegation
        (business_id, role_assignment_id, holder_id, delegate_user_account_id,
         approved_by_user_account_id, reason, state, permission_subset, can_redelegate,
         delegation_depth, starts_at, ends_at, accepted_at)
    SELECT tenant, assignment, source.holder_id, delegate, approver, delegate_role.reason,
           CASE WHEN t.is_settled THEN 'active' ELSE 'proposed' END, permissions, may_lend_on,
           source.depth, delegate_role.starts_at, delegate_role.ends_at,
           CASE WHEN t.is_settled THEN now() END
    FROM (SELECT source.risk_tier IN ('low', 'medium') OR approver IS NOT NULL) AS t (is_settled)
    RETURNING role_delegation_id INTO made;
    RETURN made;
END
$$;
COMMENT ON FUNCTION user_rbac.delegate_role(
    uuid, uuid, timestamptz, timestamptz, text, text[], boolean, uuid) IS
    'Lends an assignment of the calling tenant to a user: for at most 90 days, within the time it
     is held, twice in a row at most, and never so that the delegate would break a separation of
     duty. A role of high risk is proposed until somebody approves; returns the delegation.';


CREATE TABLE user_rbac.emergency_access (
    business_id                 uuid        NOT NULL,
    emergency_access_id         uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id             uuid        NOT NULL,
    role_id                     uuid        NOT NULL,
    reviewed_by_user_account_id uuid,
    reason                      text        NOT NULL,
    ticket_reference            text,
    approval_mode               text        NOT NULL DEFAULT 'self',
    actions_count               integer     NOT NULL DEFAULT 0,
    session_recorded            boolean     NOT NULL DEFAULT true,
    review_result               text        NOT NULL DEFAULT 'pending',
    granted_at                  timestamptz NOT NULL DEFAULT now(),
    expires_at                  timestamptz NOT NULL,
    ended_at                    timestamptz,
    notified_security_at        timestamptz NOT NULL,
    reviewed_at                 timestamptz,
    created_at                  timestamptz NOT NULL DEFAULT now(),
    updated_at                  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, emergency_access_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, role_id) REFERENCES user_rbac.role (business_id, role_id),
    FOREIGN KEY (business_id, reviewed_by_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT emergency_access_reason_given CHECK (reason ~ '\S'),
    CONSTRAINT emergency_access_approval_mode_known
        CHECK (approval_mode IN ('self', 'dual_control')),
    CONSTRAINT emergency_access_expires_after_grant CHECK (expires_at > granted_at),
    CONSTRAINT emergency_access_at_most_8_hours
        CHECK (expires_at <= granted_at + interval '8 hours'),
    CONSTRAINT emergency_access_ended_in_time CHECK (ended_at BETWEEN granted_at AND expires_at),
    CONSTRAINT emergency_access_actions_not_negative CHECK (actions_count >= 0),
    CONSTRAINT emergency_access_review_result_known
        CHECK (review_result IN ('justified', 'misuse', 'needs_follow_up', 'pending')),
    CONSTRAINT emergency_access_reviewed_has_time
        CHECK ((review_result = 'pending') = (reviewed_at IS NULL)),
    CONSTRAINT emergency_access_reviewed_by_somebody
        CHECK (reviewed_at IS NULL OR reviewed_by_user_account_id IS NOT NULL),
    CONSTRAINT emergency_access_reviewed_by_another
        CHECK (reviewed_by_user_account_id <> user_account_id),
    CONSTRAINT emergency_access_reviewed_after_grant CHECK (reviewed_at >= granted_at)
);

COMMENT ON TABLE user_rbac.emergency_access IS
    'A role taken in an emergency: for hours, watched, told to security at once and reviewed by
     another within three days. Gives an assignment of origin "emergency".';

-- FK: the emergencies of a user.
CREATE INDEX emergency_access_user_idx
    ON user_rbac.emergency_access (business_id, user_account_id, granted_at);

-- FK: the emergencies that a role served.
CREATE INDEX emergency_access_role_idx
    ON user_rbac.emergency_access (business_id, role_id);

-- FK: what an account reviewed.
CREATE INDEX emergency_access_reviewer_idx
    ON user_rbac.emergency_access (business_id, reviewed_by_user_account_id)
    WHERE reviewed_by_user_account_id IS NOT NULL;

-- Serves v_emergency_review: what waits for a review.
CREATE INDEX emergency_access_unreviewed_idx
    ON user_rbac.emergency_access (business_id, granted_at)
    WHERE reviewed_at IS NULL;

ALTER TABLE user_rbac.emergency_access ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_rbac.emergency_access
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_rbac.emergency_access TO app_user;
GRANT SELECT ON user_rbac.emergency_access TO app_readonly;

-- The assignment that an emergency made.
ALTER TABLE user_rbac.role_assignment
    ADD FOREIGN KEY (business_id, emergency_access_id)
        REFERENCES user_rbac.emergency_access (business_id, emergency_access_id);

CREATE TRIGGER emergency_access_touch
    BEFORE UPDATE ON user_rbac.emergency_access
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION user_rbac.give_emergency_role() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO user_rbac.role_assignment
        (business_id, user_account_id, role_id, emergency_access_id, origin, justification,
         valid_from, valid_until)
    SELECT c.business_id, c.user_account_id, c.role_id, c.emergency_access_id, 'emergency',
           c.reason, c.granted_at, c.expires_at
    FROM changed AS c
    WHERE coalesce(c.ended_at, c.expires_at) > now()
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_rbac.give_emergency_role() IS
    'Whoever breaks the glass holds the role at once and until it expires.';

CREATE TRIGGER emergency_access_give_insert
    AFTER INSERT ON user_rbac.emergency_access
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.give_emergency_role();

CREATE FUNCTION user_rbac.end_emergency_role() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE user_rbac.role_assignment AS a
    SET state = 'revoked', revoked_at = c.ended_at
    FROM changed AS c
    WHERE a.business_id = c.business_id AND a.emergency_access_id = c.emergency_access_id
        AND a.state IN ('active', 'scheduled') AND c.ended_at IS NOT NULL;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_rbac.end_emergency_role() IS
    'The role goes when the emergency is declared over.';

CREATE TRIGGER emergency_access_end_update
    AFTER UPDATE ON user_rbac.emergency_access
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.end_emergency_role();


CREATE VIEW user_rbac.v_emergency_review
    WITH (security_invoker = true) AS
SELECT e.business_id, e.emergency_access_id, e.user_account_id, e.role_id, e.reason,
       e.granted_at, coalesce(e.ended_at, e.expires_at) AS ended_at, e.actions_count,
       coalesce(e.ended_at, e.expires_at) + interval '3 days' AS review_due_at,
       coalesce(e.ended_at, e.expires_at) + interval '3 days' < now() AS is_overdue
FROM user_rbac.emergency_access AS e
WHERE e.business_id = tenant_mgmt.current_business_id() AND e.reviewed_at IS NULL;
COMMENT ON VIEW user_rbac.v_emergency_review IS
    'Emergencies that nobody has reviewed, and which of them for more than three days.';
GRANT SELECT ON user_rbac.v_emergency_review TO app_user, app_readonly;


CREATE FUNCTION user_rbac.expire_grants() RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  CONSTANT uuid := tenant_mgmt.current_business_id();
    lent    integer;
    moved   integer;
BEGIN
    UPDATE user_rbac.role_delegation AS d
    SET state = CASE d.state WHEN 'active' THEN 'ended' ELSE 'rejected' END
    WHERE d.business_id = tenant AND d.state IN ('proposed', 'active') AND d.ends_at <= now();
    GET DIAGNOSTICS lent = ROW_COUNT;
    UPDATE user_rbac.role_assignment AS a
    SET state = CASE WHEN a.valid_until <= now() THEN 'expired' ELSE 'active' END
    WHERE a.business_id = tenant
        AND (a.state IN ('active', 'scheduled') AND a.valid_until <= now()
             OR a.state = 'scheduled' AND a.valid_from <= now());
    GET DIAGNOSTICS moved = ROW_COUNT;
    RETURN lent + moved;
END
$$;
COMMENT ON FUNCTION user_rbac.expire_grants() IS
    'Lets the states of the tenant''s delegations and assignments follow the clock, for lists and
     counts; what is granted is told by the times and does not wait for it. Returns how many
     moved; a job calls it.';
