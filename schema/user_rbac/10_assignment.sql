/*
 * Assignments: who holds a role, where, and for how long.
 *
 * role_assignment is a role held by a user or service account in a scope and for a time, whether
 * given directly, on request, by a directory, lent by another holder or taken in an emergency;
 * org_unit_role is a role that the members of a unit have as long as they are members. Both are
 * v_role_held. permission_override allows or denies one permission to one user beside all roles.
 */

CREATE TABLE user_rbac.role_assignment (
    business_id                uuid        NOT NULL,
    role_assignment_id         uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id            uuid,
    service_account_id         uuid,
    holder_id                  uuid        NOT NULL GENERATED ALWAYS AS
                                           (coalesce(user_account_id, service_account_id)) STORED,
    role_id                    uuid        NOT NULL,
    granted_by_user_account_id uuid,
    role_delegation_id         uuid,
    emergency_access_id        uuid,
    access_request_id          uuid,
    scope_kind                 text        NOT NULL DEFAULT 'business',
    scope_entity_id            uuid,
    scope_key                  uuid        NOT NULL GENERATED ALWAYS AS
                                           (coalesce(scope_entity_id, business_id)) STORED,
    state                      text        NOT NULL DEFAULT 'active',
    origin                     text        NOT NULL DEFAULT 'direct',
    justification              text,
    mitigation_reference       text,
    valid_from                 timestamptz NOT NULL DEFAULT now(),
    valid_until                timestamptz,
    revoked_at                 timestamptz,
    last_used_at               timestamptz,
    certified_at               timestamptz,
    created_at                 timestamptz NOT NULL DEFAULT now(),
    updated_at                 timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, role_assignment_id),
    UNIQUE (business_id, role_assignment_id, holder_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, service_account_id)
        REFERENCES user_mgmt.service_account (business_id, service_account_id),
    FOREIGN KEY (business_id, role_id) REFERENCES user_rbac.role (business_id, role_id),
    FOREIGN KEY (business_id, granted_by_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    EXCLUDE USING gist (
        business_id WITH =,
        holder_id WITH =,
        role_id WITH =,
        scope_key WITH =,
        tstzrange(valid_from, valid_until) WITH &&)
        WHERE (state IN ('active', 'scheduled')),
    CONSTRAINT role_assignment_has_one_holder
        CHECK (num_nonnulls(user_account_id, service_account_id) = 1),
    CONSTRAINT role_assignment_scope_kind_known
        CHECK (scope_kind IN ('business', 'location', 'org_unit', 'record')),
    CONSTRAINT role_assignment_scope_names_its_place
        CHECK ((scope_kind = 'business') = (scope_entity_id IS NULL)),
    CONSTRAINT role_assignment_state_known
        CHECK (state IN ('active', 'scheduled', 'expired', 'revoked')),
    CONSTRAINT role_assignment_origin_known
        CHECK (origin IN ('direct', 'request', 'scim', 'delegation', 'emergency')),
    CONSTRAINT role_assignment_delegated_names_its_delegation
        CHECK ((origin = 'delegation') = (role_delegation_id IS NOT NULL)),
    CONSTRAINT role_assignment_emergency_names_its_access
        CHECK ((origin = 'emergency') = (emergency_access_id IS NOT NULL)),
    CONSTRAINT role_assignment_only_a_requested_one_names_a_request
        CHECK (origin = 'request' OR access_request_id IS NULL),
    CONSTRAINT role_assignment_ends_after_start CHECK (valid_until > valid_from),
    CONSTRAINT role_assignment_expired_has_end
        CHECK (state <> 'expired' OR valid_until IS NOT NULL),
    CONSTRAINT role_assignment_revoked_has_time
        CHECK ((state = 'revoked') = (revoked_at IS NOT NULL)),
    CONSTRAINT role_assignment_used_after_start CHECK (last_used_at >= valid_from)
);

COMMENT ON TABLE user_rbac.role_assignment IS
    'A role held by a user or service account, in a scope and for a time; the same role is not held
     twice in the same scope at the same time.';
COMMENT ON COLUMN user_rbac.role_assignment.holder_id IS 'The user or service account.';
COMMENT ON COLUMN user_rbac.role_assignment.scope_entity_id IS
    'The location, unit or record that it is held for; NULL for all of the business.';
COMMENT ON COLUMN user_rbac.role_assignment.scope_key IS
    'scope_entity_id, or the business itself: compares scopes without regard to NULL.';
COMMENT ON COLUMN user_rbac.role_assignment.state IS
    'Follows valid_from and valid_until when the row is written, later by expire_grants(); who
     holds what is told by the times alone.';
COMMENT ON COLUMN user_rbac.role_assignment.mitigation_reference IS
    'The control that makes up for a conflict of duties, where the rule lets it.';
COMMENT ON COLUMN user_rbac.role_assignment.certified_at IS
    'When a review last confirmed it.';

-- FK: the roles that a user ever had.
CREATE INDEX role_assignment_user_idx
    ON user_rbac.role_assignment (business_id, user_account_id, role_id)
    WHERE user_account_id IS NOT NULL;

-- FK: the roles of a service account.
CREATE INDEX role_assignment_service_idx
    ON user_rbac.role_assignment (business_id, service_account_id)
    WHERE service_account_id IS NOT NULL;

-- The live roles of a holder, for the duty check of every new one; user_directory_page.
CREATE INDEX role_assignment_holder_idx
    ON user_rbac.role_assignment (business_id, holder_id)
    WHERE state IN ('active', 'scheduled');

-- effective_permissions_load, permission_check: what a holder has at a moment, past ones too, but
-- without a look at all that had ended by then.
CREATE INDEX role_assignment_held_idx
    ON user_rbac.role_assignment (business_id, holder_id, least(valid_until, revoked_at));

-- FK: the holders of a role; counts them against max_holders.
CREATE INDEX role_assignment_role_idx
    ON user_rbac.role_assignment (business_id, role_id, state);

-- FK: what an account granted.
CREATE INDEX role_assignment_granter_idx
    ON user_rbac.role_assignment (business_id, granted_by_user_account_id)
    WHERE granted_by_user_account_id IS NOT NULL;

-- FK: a delegation lends one role, once.
CREATE UNIQUE INDEX role_assignment_delegation_idx
    ON user_rbac.role_assignment (business_id, role_delegation_id)
    WHERE role_delegation_id IS NOT NULL;

-- FK: an emergency gives one role, once.
CREATE UNIQUE INDEX role_assignment_emergency_idx
    ON user_rbac.role_assignment (business_id, emergency_access_id)
    WHERE emergency_access_id IS NOT NULL;

-- FK: a request is provisioned once.
CREATE UNIQUE INDEX role_assignment_request_idx
    ON user_rbac.role_assignment (business_id, access_request_id)
    WHERE access_request_id IS NOT NULL;

-- Serves expire_grants(): what is live and has an end.
CREATE INDEX role_assignment_ending_idx
    ON user_rbac.role_assignment (business_id, valid_until)
    WHERE state IN ('active', 'scheduled') AND valid_until IS NOT NULL;

ALTER TABLE user_rbac.role_assignment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_rbac.role_assignment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_rbac.role_assignment TO app_user;
GRANT SELECT ON user_rbac.role_assignment TO app_readonly;

CREATE FUNCTION user_rbac.place_grant_in_time() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' AND NEW.valid_until IS NULL AND row_security_active(TG_RELID) THEN
        NEW.valid_until := NEW.valid_from + (
            SELECT make_interval(days => r.default_duration_days)
            FROM user_rbac.role AS r
            WHERE r.business_id = NEW.business_id AND r.role_id = NEW.role_id);
    END IF;
    NEW.state := CASE WHEN NEW.valid_until <= now() THEN 'expired'
                      WHEN NEW.valid_from > now() THEN 'scheduled' ELSE 'active' END;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION user_rbac.place_grant_in_time() IS
    'What is not revoked is scheduled, active or expired as the clock says. A role with a default
     duration gives an end to what the application grants without one.';

-- Fires before the state machine, as triggers do in the order of their names.
CREATE TRIGGER role_assignment_in_time
    BEFORE INSERT OR UPDATE OF state, valid_from, valid_until ON user_rbac.role_assignment
    FOR EACH ROW WHEN (NEW.state <> 'revoked')
    EXECUTE FUNCTION user_rbac.place_grant_in_time();

CREATE TRIGGER role_assignment_state_machine
    BEFORE INSERT OR UPDATE OF state, valid_from, valid_until ON user_rbac.role_assignment
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["active", "scheduled"],
        "transitions": {
            "scheduled": ["active", "expired", "revoked"],
            "active":    ["expired", "revoked"],
            "expired":   [],
            "revoked":   []
        }}');

CREATE TRIGGER role_assignment_touch
    BEFORE UPDATE ON user_rbac.role_assignment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION user_rbac.refuse_other_assignment() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'an assignment keeps its role, holder and scope'
            USING ERRCODE = 'restrict_violation', HINT = 'Revoke it and make another one.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION user_rbac.refuse_other_assignment() IS
    'Reviews and audits look at an assignment as it was given.';

CREATE TRIGGER role_assignment_fixed
    BEFORE UPDATE ON user_rbac.role_assignment
    FOR EACH ROW WHEN (
        (OLD.role_id, OLD.user_account_id, OLD.service_account_id, OLD.scope_kind,
         OLD.scope_entity_id, OLD.origin)
        IS DISTINCT FROM
        (NEW.role_id, NEW.user_account_id, NEW.service_account_id, NEW.scope_kind,
         NEW.scope_entity_id, NEW.origin))
    EXECUTE FUNCTION user_rbac.refuse_other_assignment();

CREATE FUNCTION user_rbac.guard_role_assignment() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    checked uuid[];
    wrong   record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(c.role_assignment_id) INTO checked
        FROM changed AS c WHERE c.state IN ('active', 'scheduled');
    ELSE
        SELECT array_agg(c.role_assignment_id) INTO checked
        FROM changed AS c
        JOIN before AS b
            ON b.business_id = c.business_id AND b.role_assignment_id = c.role_assignment_id
        WHERE c.state IN ('active', 'scheduled')
            AND NOT tstzrange(c.valid_from, c.valid_until)
                    <@ tstzrange(b.valid_from, b.valid_until);
    END IF;
    IF checked IS NULL THEN
        RETURN NULL;
    END IF;

    -- Holders, then roles, always in the order of their keys: two grants that conflict wait for
    -- each other instead of passing unseen.
    PERFORM FROM user_mgmt.user_account AS u
    WHERE u.business_id = tenant_mgmt.current_business_id()
        AND u.user_account_id IN (SELECT c.user_account_id FROM changed AS c
                                  WHERE c.role_assignment_id = ANY (checked))
    ORDER BY u.user_account_id
    FOR NO KEY UPDATE;
    PERFORM FROM user_mgmt.service_account AS s
    WHERE s.business_id = tenant_mgmt.current_business_id()
        AND s.service_account_id IN (SELECT c.service_account_id FROM changed AS c
                                     WHERE c.role_assignment_id = ANY (checked))
    ORDER BY s.service_account_id
    FOR NO KEY UPDATE;
    PERFORM FROM user_rbac.role AS r
    WHERE r.business_id = tenant_mgmt.current_business_id() AND r.max_holders IS NOT NULL
        AND r.role_id IN (SELECT c.role_id FROM changed AS c
                          WHERE c.role_assignment_id = ANY (checked))
    ORDER BY r.role_id
    FOR NO KEY UPDATE;

    SELECT r.code, r.max_holders, r.is_assignable AND r.status = 'active' AS is_given,
           u.status AS account_status,
           (SELECT count(DISTINCT a.holder_id) FROM user_rbac.role_assignment AS a
            WHERE a.business_id = r.business_id AND a.role_id = r.role_id
                AND a.state IN ('active', 'scheduled')) AS holder_count
    INTO wrong
    FROM changed AS c
    JOIN user_rbac.role AS r ON r.business_id = c.business_id AND r.role_id = c.role_id
    LEFT JOIN user_mgmt.user_account AS u
        ON u.business_id = c.business_id AND u.user_account_id = c.user_account_id
    WHERE c.role_assignment_id = ANY (checked) AND c.origin <> 'emergency'
        AND (NOT (r.is_assignable AND r.status = 'active')
             OR u.status IN ('deactivated', 'anonymized')
             OR r.max_holders < (SELECT count(DISTINCT a.holder_id)
                                 FROM user_rbac.role_assignment AS a
                                 WHERE a.business_id = r.business_id AND a.role_id = r.role_id
                                     AND a.state IN ('active', 'scheduled')))
    LIMIT 1;
    IF NOT wrong.is_given THEN
        RAISE EXCEPTION 'role % is not given to anybody', wrong.code
            USING ERRCODE = 'check_violation',
                  HINT = 'Only active and assignable roles are assigned.';
    ELSIF wrong.account_status IN ('deactivated', 'anonymized') THEN
        RAISE EXCEPTION 'an account that is % is given no role', wrong.account_status
            USING ERRCODE = 'check_violation';
    ELSIF wrong.holder_count > wrong.max_holders THEN
        RAISE EXCEPTION 'role % has % holders already', wrong.code, wrong.max_holders
            USING ERRCODE = 'check_violation';
    END IF;

    SELECT s.constraint_code, s.conflicting_roles, s.mitigation_allowed INTO wrong
    FROM changed AS c
    CROSS JOIN LATERAL user_rbac.sod_violations(
        c.holder_id, c.role_id, c.scope_entity_id, c.valid_from, c.valid_until) AS s
    WHERE c.role_assignment_id = ANY (checked) AND c.origin <> 'emergency'
        AND s.severity = 'block'
        AND NOT (s.mitigation_allowed AND c.mitigation_reference IS NOT NULL)
    ORDER BY s.constraint_code
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'rule % does not let one account hold %', wrong.constraint_code,
            array_to_string(wrong.conflicting_roles, ', ')
            USING ERRCODE = 'check_violation',
                  HINT = CASE WHEN wrong.mitigation_allowed
                              THEN 'Name the control that makes up for it.'
                              ELSE 'Revoke one of the roles first.' END;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_rbac.guard_role_assignment() IS
    'What is granted now: an active, assignable role to a living account, to no more than
     max_holders, and nothing that breaks a separation of duty unless the rule lets the named
     mitigation make up for it. Emergencies pass; they are watched and reviewed instead. History
     that is imported, by a role that bypasses row security, is what it was: v_sod_breach tells.';

CREATE TRIGGER role_assignment_guard_insert
    AFTER INSERT ON user_rbac.role_assignment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.guard_role_assignment();

CREATE TRIGGER role_assignment_guard_update
    AFTER UPDATE ON user_rbac.role_assignment
    REFERENCING OLD TABLE AS before NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.guard_role_assignment();


CREATE TABLE user_rbac.org_unit_role (
    business_id          uuid        NOT NULL,
    org_unit_role_id     uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    org_unit_id          uuid        NOT NULL,
    role_id              uuid        NOT NULL,
    business_location_id uuid,
    applies_to           text        NOT NULL DEFAULT 'members',
    scope_kind           text        NOT NULL DEFAULT 'org_unit',
    granted_reason       text,
    is_active            boolean     NOT NULL DEFAULT true,
    member_count_cached  integer     NOT NULL DEFAULT 0,
    valid_from           date        NOT NULL DEFAULT current_date,
    valid_until          date,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, org_unit_role_id),
    UNIQUE (business_id, org_unit_id, role_id, applies_to),
    FOREIGN KEY (business_id, org_unit_id)
        REFERENCES user_mgmt.org_unit (business_id, org_unit_id),
    FOREIGN KEY (business_id, role_id) REFERENCES user_rbac.role (business_id, role_id),
    FOREIGN KEY (business_id, business_location_id)
        REFERENCES tenant_mgmt.business_location (business_id, business_location_id),
    CONSTRAINT org_unit_role_applies_to_known
        CHECK (applies_to IN ('members', 'leads', 'descendants')),
    CONSTRAINT org_unit_role_scope_kind_known
        CHECK (scope_kind IN ('business', 'location', 'org_unit')),
    CONSTRAINT org_unit_role_location_is_named
        CHECK ((scope_kind = 'location') = (business_location_id IS NOT NULL)),
    CONSTRAINT org_unit_role_ends_after_start CHECK (valid_until > valid_from),
    CONSTRAINT org_unit_role_members_not_negative CHECK (member_count_cached >= 0)
);

COMMENT ON TABLE user_rbac.org_unit_role IS
    'A role that the members of a unit have as long as they are members.';
COMMENT ON COLUMN user_rbac.org_unit_role.applies_to IS
    'All members of the unit, its leads, or all members of it and of the units below.';
COMMENT ON COLUMN user_rbac.org_unit_role.scope_kind IS
    'Held for the business, for the named location, or for the unit itself.';
COMMENT ON COLUMN user_rbac.org_unit_role.valid_until IS 'The first day without it.';
COMMENT ON COLUMN user_rbac.org_unit_role.member_count_cached IS
    'Accounts with an active membership that the role reaches; kept by triggers.';

-- FK: the units that give a role.
CREATE INDEX org_unit_role_role_idx
    ON user_rbac.org_unit_role (business_id, role_id);

-- FK: the roles given for a location.
CREATE INDEX org_unit_role_location_idx
    ON user_rbac.org_unit_role (business_id, business_location_id)
    WHERE business_location_id IS NOT NULL;

ALTER TABLE user_rbac.org_unit_role ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_rbac.org_unit_role
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_rbac.org_unit_role TO app_user;
GRANT SELECT ON user_rbac.org_unit_role TO app_readonly;

CREATE TRIGGER org_unit_role_touch
    BEFORE UPDATE ON user_rbac.org_unit_role
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION user_rbac.refuse_critical_role_by_unit() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    role_code text;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    SELECT r.code INTO role_code
    FROM changed AS c
    JOIN user_rbac.role AS r ON r.business_id = c.business_id AND r.role_id = c.role_id
    JOIN user_rbac.org_unit_role AS u
        ON u.business_id = r.business_id AND u.role_id = r.role_id AND u.is_active
    WHERE r.risk_tier = 'critical'
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'role % is critical and cannot be given by a unit', role_code
            USING ERRCODE = 'check_violation', HINT = 'Assign it to each holder.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_rbac.refuse_critical_role_by_unit() IS
    'Nobody comes by a critical role by being moved to a unit, nor by a role becoming critical.';

CREATE TRIGGER org_unit_role_not_critical_insert
    AFTER INSERT ON user_rbac.org_unit_role
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.refuse_critical_role_by_unit();

CREATE TRIGGER org_unit_role_not_critical_update
    AFTER UPDATE ON user_rbac.org_unit_role
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.refuse_critical_role_by_unit();

CREATE TRIGGER role_not_critical_update
    AFTER UPDATE ON user_rbac.role
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.refuse_critical_role_by_unit();

-- A membership reached by a role of its unit or, with "descendants", of a unit above.
CREATE VIEW user_rbac.v_unit_role_member
    WITH (security_invoker = true) AS
SELECT u.business_id, u.org_unit_role_id, u.role_id, m.user_account_id, m.org_unit_member_id,
       u.scope_kind,
       CASE u.scope_kind WHEN 'org_unit' THEN u.org_unit_id
                         WHEN 'location' THEN u.business_location_id END AS scope_entity_id,
       greatest(u.valid_from, m.valid_from) AS valid_from,
       least(u.valid_until, m.valid_until) AS valid_until
FROM user_mgmt.org_unit_member AS m
JOIN user_mgmt.org_unit AS place
    ON place.business_id = m.business_id AND place.org_unit_id = m.org_unit_id
JOIN user_mgmt.org_unit AS unit
    ON unit.business_id = place.business_id
    AND (unit.org_unit_id = place.org_unit_id OR starts_with(place.path, unit.path || '/'))
JOIN user_rbac.org_unit_role AS u
    ON u.business_id = unit.business_id AND u.org_unit_id = unit.org_unit_id
WHERE u.is_active AND m.is_active AND unit.is_active
    AND CASE u.applies_to
        WHEN 'descendants' THEN true
        WHEN 'members' THEN unit.org_unit_id = place.org_unit_id
        ELSE unit.org_unit_id = place.org_unit_id
             AND (m.membership_kind = 'lead' OR unit.lead_user_account_id = m.user_account_id)
        END;
COMMENT ON VIEW user_rbac.v_unit_role_member IS
    'Active members of units with the roles that their units give them, and from when to when.';
GRANT SELECT ON user_rbac.v_unit_role_member TO app_user, app_readonly;

CREATE FUNCTION user_rbac.count_unit_role_members() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- A statement that changed no row fires the trigger, too.
    IF NOT EXISTS (SELECT FROM changed) THEN
        RETURN NULL;
    END IF;
    UPDATE user_rbac.org_unit_role AS u
    SET member_count_cached = n.members
    FROM (
        SELECT o.business_id, o.org_unit_role_id,
               (SELECT count(DISTINCT v.user_account_id)
                FROM user_rbac.v_unit_role_member AS v
                WHERE v.business_id = o.business_id
                    AND v.org_unit_role_id = o.org_unit_role_id) AS members
        FROM user_rbac.org_unit_role AS o
        WHERE o.business_id IN (SELECT c.business_id FROM changed AS c)
    ) AS n
    WHERE u.business_id = n.business_id AND u.org_unit_role_id = n.org_unit_role_id
        AND u.member_count_cached <> n.members;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_rbac.count_unit_role_members() IS
    'Keeps member_count_cached: whenever memberships or the roles of units change, the few roles
     of units of the business are counted again.';

CREATE TRIGGER org_unit_role_count_insert
    AFTER INSERT ON user_rbac.org_unit_role
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.count_unit_role_members();

CREATE TRIGGER org_unit_role_count_update
    AFTER UPDATE ON user_rbac.org_unit_role
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.count_unit_role_members();

CREATE TRIGGER org_unit_member_count_role_insert
    AFTER INSERT ON user_mgmt.org_unit_member
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.count_unit_role_members();

CREATE TRIGGER org_unit_member_count_role_update
    AFTER UPDATE ON user_mgmt.org_unit_member
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.count_unit_role_members();

CREATE TRIGGER org_unit_member_count_role_delete
    AFTER DELETE ON user_mgmt.org_unit_member
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.count_unit_role_members();

CREATE TRIGGER org_unit_count_role_update
    AFTER UPDATE ON user_mgmt.org_unit
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.count_unit_role_members();


CREATE TABLE user_rbac.permission_override (
    business_id                 uuid        NOT NULL,
    permission_override_id      uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id             uuid        NOT NULL,
    permission_id               uuid        NOT NULL,
    approved_by_user_account_id uuid,
    access_request_id           uuid,
    effect                      text        NOT NULL,
    scope_kind                  text        NOT NULL DEFAULT 'business',
    scope_entity_id             uuid,
    scope_key                   uuid        NOT NULL GENERATED ALWAYS AS
                                            (coalesce(scope_entity_id, business_id)) STORED,
    amount_limit                system_core.money,
    reason                      text        NOT NULL,
    valid_from                  timestamptz NOT NULL DEFAULT now(),
    valid_until                 timestamptz,
    revoked_at                  timestamptz,
    created_at                  timestamptz NOT NULL DEFAULT now(),
    updated_at                  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, permission_override_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, permission_id)
        REFERENCES user_rbac.permission (business_id, permission_id),
    FOREIGN KEY (business_id, approved_by_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    EXCLUDE USING gist (
        business_id WITH =,
        user_account_id WITH =,
        permission_id WITH =,
        scope_key WITH =,
        tstzrange(valid_from, valid_until) WITH &&)
        WHERE (revoked_at IS NULL),
    CONSTRAINT permission_override_effect_known CHECK (effect IN ('allow', 'deny')),
    CONSTRAINT permission_override_scope_kind_known
        CHECK (scope_kind IN ('business', 'location', 'org_unit', 'record')),
    CONSTRAINT permission_override_scope_names_its_place
        CHECK ((scope_kind = 'business') = (scope_entity_id IS NULL)),
    CONSTRAINT permission_override_allowance_ends
        CHECK (effect <> 'allow' OR valid_until IS NOT NULL),
    CONSTRAINT permission_override_ends_after_start CHECK (valid_until > valid_from),
    CONSTRAINT permission_override_not_by_oneself
        CHECK (approved_by_user_account_id <> user_account_id),
    CONSTRAINT permission_override_limit_positive CHECK (amount_limit > 0),
    CONSTRAINT permission_override_revoked_after_start CHECK (revoked_at >= created_at)
);

COMMENT ON TABLE user_rbac.permission_override IS
    'A permission allowed or denied to one user beside their roles; one at a time per scope.';
COMMENT ON COLUMN user_rbac.permission_override.amount_limit IS
    'An allowance ends, a denial begins above it; NULL: whatever the amount.';

-- FK, and user_rbac.permission_check: what overrides the roles of a user now.
CREATE INDEX permission_override_user_idx
    ON user_rbac.permission_override (business_id, user_account_id, permission_id);

-- FK: the exceptions from a permission.
CREATE INDEX permission_override_permission_idx
    ON user_rbac.permission_override (business_id, permission_id);

-- FK: what an account approved.
CREATE INDEX permission_override_approver_idx
    ON user_rbac.permission_override (business_id, approved_by_user_account_id)
    WHERE approved_by_user_account_id IS NOT NULL;

-- FK: a request is provisioned once.
CREATE UNIQUE INDEX permission_override_request_idx
    ON user_rbac.permission_override (business_id, access_request_id)
    WHERE access_request_id IS NOT NULL;

ALTER TABLE user_rbac.permission_override ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_rbac.permission_override
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_rbac.permission_override TO app_user;
GRANT SELECT ON user_rbac.permission_override TO app_readonly;

CREATE TRIGGER permission_override_touch
    BEFORE UPDATE ON user_rbac.permission_override
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


-- No filter on the tenant: the row policies are that of whoever asks, and the keeper of
-- mv_effective_permission reads all.
CREATE VIEW user_rbac.v_role_held
    WITH (security_invoker = true) AS
SELECT a.business_id, a.holder_id, a.user_account_id, a.role_id, a.origin, a.role_assignment_id,
       a.role_delegation_id, a.scope_kind, a.scope_entity_id, a.mitigation_reference,
       a.valid_from, least(a.valid_until, a.revoked_at) AS valid_until
FROM user_rbac.role_assignment AS a
UNION ALL
SELECT v.business_id, v.user_account_id, v.user_account_id, v.role_id, 'unit', NULL,
       NULL, v.scope_kind, v.scope_entity_id, NULL,
       v.valid_from::timestamp AT TIME ZONE 'UTC', v.valid_until::timestamp AT TIME ZONE 'UTC'
FROM user_rbac.v_unit_role_member AS v;
COMMENT ON VIEW user_rbac.v_role_held IS
    'Every role that an account holds, held or will hold, assigned or by its unit, from valid_from
     to before valid_until.';
GRANT SELECT ON user_rbac.v_role_held TO app_user, app_readonly;
