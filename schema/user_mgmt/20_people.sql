/*
 * People: what is known about a person, how they are reached, where they belong.
 *
 * user_profile holds personal details apart from the login, so that they can be erased;
 * user_contact_point an address or number with the proof that its user controls it;
 * user_preference what the interface remembers; user_consent what somebody agreed to and when that
 * ended. org_unit is the tree of departments and teams, org_unit_member who is in it for a time;
 * roles can be given to units. A service_account is not a person but has one who answers for it.
 */

CREATE TABLE user_mgmt.user_profile (
    business_id             uuid        NOT NULL,
    user_profile_id         uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id         uuid        NOT NULL,
    manager_user_account_id uuid,
    photo_file_object_id    uuid,
    given_name              system_core.person_name,
    family_name             system_core.person_name,
    preferred_name          text,
    pronouns                text,
    birth_date              date,
    job_title               text,
    employee_reference      text,
    language_codes          text[]      NOT NULL DEFAULT '{}',
    bio                     text,
    emergency_contact       system_core.json_object,
    hired_on                date,
    created_at              timestamptz NOT NULL DEFAULT now(),
    updated_at              timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, user_profile_id),
    UNIQUE (business_id, user_account_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, manager_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, photo_file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT user_profile_managed_by_another CHECK (manager_user_account_id <> user_account_id),
    CONSTRAINT user_profile_birth_date_plausible CHECK (birth_date > DATE '1900-01-01'),
    CONSTRAINT user_profile_languages_are_codes
        CHECK (array_to_string(language_codes, ' ') ~ '^([a-z]{2,3}( |$))*$')
);

COMMENT ON TABLE user_mgmt.user_profile IS
    'Personal details of an account, apart from the login so that they can be erased.';
COMMENT ON COLUMN user_mgmt.user_profile.employee_reference IS
    'Number of the person in the tenant''s personnel system.';
COMMENT ON COLUMN user_mgmt.user_profile.language_codes IS 'ISO 639, the preferred one first.';

-- FK: whom an account manages.
CREATE INDEX user_profile_manager_idx
    ON user_mgmt.user_profile (business_id, manager_user_account_id)
    WHERE manager_user_account_id IS NOT NULL;

-- FK: whose photo a file is.
CREATE INDEX user_profile_photo_idx
    ON user_mgmt.user_profile (business_id, photo_file_object_id)
    WHERE photo_file_object_id IS NOT NULL;

ALTER TABLE user_mgmt.user_profile ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_mgmt.user_profile
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_mgmt.user_profile TO app_user;
GRANT SELECT ON user_mgmt.user_profile TO app_readonly;

CREATE TRIGGER user_profile_touch
    BEFORE UPDATE ON user_mgmt.user_profile
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE user_mgmt.user_contact_point (
    business_id           uuid        NOT NULL,
    user_contact_point_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id       uuid        NOT NULL,
    kind                  text        NOT NULL,
    value_normalized      text        NOT NULL,
    label                 text        NOT NULL DEFAULT 'work',
    verification_method   text,
    is_primary            boolean     NOT NULL DEFAULT false,
    is_recovery           boolean     NOT NULL DEFAULT false,
    bounce_count          integer     NOT NULL DEFAULT 0,
    carrier_line_type     text,
    verified_at           timestamptz,
    last_used_at          timestamptz,
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, user_contact_point_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT user_contact_point_kind_known CHECK (kind IN ('email', 'mobile', 'landline')),
    CONSTRAINT user_contact_point_label_known CHECK (label IN ('work', 'home', 'other')),
    CONSTRAINT user_contact_point_method_known
        CHECK (verification_method IN ('link', 'code', 'admin', 'import')),
    CONSTRAINT user_contact_point_line_type_known
        CHECK (carrier_line_type IN ('mobile', 'voip', 'landline', 'unknown')),
    CONSTRAINT user_contact_point_value_of_kind CHECK (CASE kind
        WHEN 'email' THEN value_normalized ~ '^[^@\sA-Z]+@[^@\sA-Z]+\.[^@\sA-Z]+$'
        ELSE value_normalized ~ '^\+[1-9][0-9]{6,14}$' END),
    CONSTRAINT user_contact_point_line_of_phone
        CHECK (kind <> 'email' OR carrier_line_type IS NULL),
    CONSTRAINT user_contact_point_verified_somehow
        CHECK ((verified_at IS NULL) = (verification_method IS NULL)),
    CONSTRAINT user_contact_point_recovery_is_verified
        CHECK (NOT is_recovery OR verified_at IS NOT NULL),
    CONSTRAINT user_contact_point_recovery_is_no_voip
        CHECK (NOT is_recovery OR carrier_line_type IS DISTINCT FROM 'voip'),
    CONSTRAINT user_contact_point_bounces_not_negative CHECK (bounce_count >= 0)
);

COMMENT ON TABLE user_mgmt.user_contact_point IS
    'An e-mail address or phone number of a user, with the proof that the user controls it.';
COMMENT ON COLUMN user_mgmt.user_contact_point.value_normalized IS
    'An address in lower case, a number in E.164.';
COMMENT ON COLUMN user_mgmt.user_contact_point.is_recovery IS
    'May be used to get back in: verified, and not a number that anybody can rent.';

-- A proven address or number belongs to one user; also finds them by it.
CREATE UNIQUE INDEX user_contact_point_verified_idx
    ON user_mgmt.user_contact_point (business_id, kind, value_normalized)
    WHERE verified_at IS NOT NULL;

-- One primary of a kind.
CREATE UNIQUE INDEX user_contact_point_primary_idx
    ON user_mgmt.user_contact_point (business_id, user_account_id, kind)
    WHERE is_primary;

-- FK: the contact points of an account.
CREATE INDEX user_contact_point_account_idx
    ON user_mgmt.user_contact_point (business_id, user_account_id);

ALTER TABLE user_mgmt.user_contact_point ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_mgmt.user_contact_point
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_mgmt.user_contact_point TO app_user;
GRANT SELECT ON user_mgmt.user_contact_point TO app_readonly;

CREATE TRIGGER user_contact_point_touch
    BEFORE UPDATE ON user_mgmt.user_contact_point
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE user_mgmt.user_preference (
    business_id        uuid             NOT NULL,
    user_preference_id uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id    uuid             NOT NULL,
    preference_key     system_core.code NOT NULL,
    scope              text             NOT NULL DEFAULT 'global',
    module_code        system_core.code,
    value              jsonb            NOT NULL,
    updated_from       text             NOT NULL DEFAULT 'web',
    is_locked_by_admin boolean          NOT NULL DEFAULT false,
    expires_at         timestamptz,
    created_at         timestamptz      NOT NULL DEFAULT now(),
    updated_at         timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, user_preference_id),
    UNIQUE NULLS NOT DISTINCT (business_id, user_account_id, preference_key, scope, module_code),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT user_preference_scope_known CHECK (scope IN ('global', 'module', 'device')),
    CONSTRAINT user_preference_source_known
        CHECK (updated_from IN ('web', 'mobile', 'admin', 'import')),
    CONSTRAINT user_preference_module_of_module
        CHECK ((scope = 'module') = (module_code IS NOT NULL)),
    CONSTRAINT user_preference_locked_by_admin
        CHECK (NOT is_locked_by_admin OR updated_from IN ('admin', 'import'))
);

COMMENT ON TABLE user_mgmt.user_preference IS
    'What the interface remembers for a user, everywhere, in a module or on a device.';
COMMENT ON COLUMN user_mgmt.user_preference.is_locked_by_admin IS
    'Set for the user: changes only as an administrator''s.';

ALTER TABLE user_mgmt.user_preference ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_mgmt.user_preference
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_mgmt.user_preference TO app_user;
GRANT SELECT ON user_mgmt.user_preference TO app_readonly;

CREATE TRIGGER user_preference_touch
    BEFORE UPDATE ON user_mgmt.user_preference
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION user_mgmt.keep_locked_preference() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'preference % is locked by an administrator', OLD.preference_key
        USING ERRCODE = 'check_violation',
              HINT = 'An administrator changes it, with updated_from = admin.';
END
$$;
COMMENT ON FUNCTION user_mgmt.keep_locked_preference() IS
    'A locked preference changes only by an administrator.';

CREATE TRIGGER user_preference_locked
    BEFORE UPDATE ON user_mgmt.user_preference
    FOR EACH ROW WHEN (OLD.is_locked_by_admin AND NEW.updated_from <> 'admin')
    EXECUTE FUNCTION user_mgmt.keep_locked_preference();


CREATE TABLE user_mgmt.user_consent (
    business_id             uuid        NOT NULL,
    user_consent_id         uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id         uuid        NOT NULL,
    document_file_object_id uuid,
    consent_kind            text        NOT NULL,
    document_version        text        NOT NULL,
    is_granted              boolean     NOT NULL,
    channel                 text        NOT NULL DEFAULT 'web',
    ip_address              inet,
    locale                  system_core.locale,
    evidence                system_core.json_object NOT NULL DEFAULT '{}',
    given_at                timestamptz NOT NULL DEFAULT now(),
    withdrawn_at            timestamptz,
    created_at              timestamptz NOT NULL DEFAULT now(),
    updated_at              timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, user_consent_id),
    UNIQUE (business_id, user_account_id, consent_kind, document_version),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, document_file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT user_consent_kind_known
        CHECK (consent_kind IN ('terms_of_service', 'privacy_notice', 'marketing',
                                'biometric_processing', 'analytics', 'data_sharing',
                                'recording')),
    CONSTRAINT user_consent_channel_known CHECK (channel IN ('web', 'mobile', 'paper', 'phone')),
    CONSTRAINT user_consent_withdrawn_after_giving CHECK (withdrawn_at > given_at),
    CONSTRAINT user_consent_withdrawn_was_granted CHECK (withdrawn_at IS NULL OR is_granted)
);

COMMENT ON TABLE user_mgmt.user_consent IS
    'What a user agreed to or refused, in which version of a document, and when that ended.';
COMMENT ON COLUMN user_mgmt.user_consent.evidence IS
    'What proves it: the form that was shown, the box that was ticked.';

-- Live consent of a kind: asked before biometrics are taken and mail is sent.
CREATE INDEX user_consent_live_idx
    ON user_mgmt.user_consent (business_id, user_account_id, consent_kind)
    WHERE is_granted AND withdrawn_at IS NULL;

-- FK: who agreed to a document.
CREATE INDEX user_consent_document_idx
    ON user_mgmt.user_consent (business_id, document_file_object_id)
    WHERE document_file_object_id IS NOT NULL;

ALTER TABLE user_mgmt.user_consent ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_mgmt.user_consent
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_mgmt.user_consent TO app_user;
GRANT SELECT ON user_mgmt.user_consent TO app_readonly;

CREATE TRIGGER user_consent_touch
    BEFORE UPDATE ON user_mgmt.user_consent
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION user_mgmt.keep_consent() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a consent is what it was: only its withdrawal is added'
        USING ERRCODE = 'restrict_violation',
              HINT = 'Record a new consent to another version of the document.';
END
$$;
COMMENT ON FUNCTION user_mgmt.keep_consent() IS
    'A consent is proof: once given it is only withdrawn, and a withdrawal stays.';

CREATE TRIGGER user_consent_is_proof
    BEFORE UPDATE ON user_mgmt.user_consent
    FOR EACH ROW WHEN (
        (OLD.user_account_id, OLD.consent_kind, OLD.document_version, OLD.is_granted,
         OLD.given_at, OLD.evidence)
        IS DISTINCT FROM
        (NEW.user_account_id, NEW.consent_kind, NEW.document_version, NEW.is_granted,
         NEW.given_at, NEW.evidence)
        OR OLD.withdrawn_at IS NOT NULL AND OLD.withdrawn_at IS DISTINCT FROM NEW.withdrawn_at)
    EXECUTE FUNCTION user_mgmt.keep_consent();

CREATE FUNCTION user_mgmt.has_consent(of_account uuid, kind text) RETURNS boolean
    LANGUAGE sql STABLE
    RETURN EXISTS (
        SELECT FROM user_mgmt.user_consent AS c
        WHERE c.business_id = tenant_mgmt.current_business_id()
          AND c.user_account_id = of_account AND c.consent_kind = kind
          AND c.is_granted AND c.withdrawn_at IS NULL);
COMMENT ON FUNCTION user_mgmt.has_consent(uuid, text) IS
    'Whether a user of the tenant agreed to something and has not withdrawn it.';


CREATE TABLE user_mgmt.org_unit (
    business_id          uuid             NOT NULL,
    org_unit_id          uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    parent_org_unit_id   uuid,
    lead_user_account_id uuid,
    code                 system_core.code NOT NULL,
    name                 text             NOT NULL,
    kind                 text             NOT NULL DEFAULT 'department',
    path                 text             NOT NULL DEFAULT '',
    depth                integer          NOT NULL DEFAULT 1,
    cost_center_code     text,
    is_active            boolean          NOT NULL DEFAULT true,
    effective_from       date             NOT NULL DEFAULT current_date,
    effective_until      date,
    created_at           timestamptz      NOT NULL DEFAULT now(),
    updated_at           timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, org_unit_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, parent_org_unit_id)
        REFERENCES user_mgmt.org_unit (business_id, org_unit_id),
    FOREIGN KEY (business_id, lead_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT org_unit_kind_known
        CHECK (kind IN ('company', 'region', 'department', 'team', 'crew', 'class')),
    CONSTRAINT org_unit_code_has_no_slash CHECK (code !~ '/'),
    CONSTRAINT org_unit_depth_bounded CHECK (depth BETWEEN 1 AND 10),
    CONSTRAINT org_unit_ends_after_begin CHECK (effective_until > effective_from)
);

COMMENT ON TABLE user_mgmt.org_unit IS
    'A department, team or region: groups people and scopes roles.';
COMMENT ON COLUMN user_mgmt.org_unit.path IS
    'Codes from the root down, /company/region/team: kept by a trigger, and the units below are
     those whose path begins with it and a slash.';

-- Units below a unit.
CREATE INDEX org_unit_path_idx ON user_mgmt.org_unit (business_id, path text_pattern_ops);

-- FK: the children of a unit.
CREATE INDEX org_unit_parent_idx
    ON user_mgmt.org_unit (business_id, parent_org_unit_id)
    WHERE parent_org_unit_id IS NOT NULL;

-- FK: the units that an account leads.
CREATE INDEX org_unit_lead_idx
    ON user_mgmt.org_unit (business_id, lead_user_account_id)
    WHERE lead_user_account_id IS NOT NULL;

ALTER TABLE user_mgmt.org_unit ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_mgmt.org_unit
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_mgmt.org_unit TO app_user;
GRANT SELECT ON user_mgmt.org_unit TO app_readonly;

CREATE TRIGGER org_unit_touch
    BEFORE UPDATE ON user_mgmt.org_unit
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION user_mgmt.place_org_unit() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    above user_mgmt.org_unit;
BEGIN
    IF NEW.parent_org_unit_id IS NULL THEN
        NEW.path := '/' || NEW.code;
        NEW.depth := 1;
        RETURN NEW;
    END IF;
    -- The parent is kept from moving while its child finds its place.
    SELECT * INTO above
    FROM user_mgmt.org_unit AS u
    WHERE u.business_id = NEW.business_id AND u.org_unit_id = NEW.parent_org_unit_id
    FOR SHARE;
    IF NOT FOUND THEN
        RETURN NEW;  -- the foreign key says so
    END IF;
    IF NEW.parent_org_unit_id = NEW.org_unit_id
       OR TG_OP = 'UPDATE' AND starts_with(above.path || '/', OLD.path || '/') THEN
        RAISE EXCEPTION 'unit % cannot be below itself', NEW.code
            USING ERRCODE = 'check_violation', HINT = 'Move the unit between them first.';
    END IF;
    NEW.path := above.path || '/' || NEW.code;
    NEW.depth := above.depth + 1;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION user_mgmt.place_org_unit() IS
    'Path and depth of a unit follow from its parent''s; a unit is never below itself.';

CREATE TRIGGER org_unit_place
    BEFORE INSERT OR UPDATE OF parent_org_unit_id, code, path, depth ON user_mgmt.org_unit
    FOR EACH ROW EXECUTE FUNCTION user_mgmt.place_org_unit();

CREATE FUNCTION user_mgmt.move_units_below() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- One level a time: each update comes here again for the units below, until there are none.
    IF NOT EXISTS (SELECT FROM moved) THEN
        RETURN NULL;
    END IF;
    UPDATE user_mgmt.org_unit AS u
    SET path = m.path || '/' || u.code
    FROM moved AS m
    JOIN was AS w ON w.business_id = m.business_id AND w.org_unit_id = m.org_unit_id
    WHERE u.business_id = m.business_id AND u.parent_org_unit_id = m.org_unit_id
      AND (m.path, m.depth) <> (w.path, w.depth);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_mgmt.move_units_below() IS 'What is below a unit moves with it.';

CREATE TRIGGER org_unit_move_below
    AFTER UPDATE ON user_mgmt.org_unit
    REFERENCING OLD TABLE AS was NEW TABLE AS moved
    FOR EACH STATEMENT EXECUTE FUNCTION user_mgmt.move_units_below();


CREATE TABLE user_mgmt.org_unit_member (
    business_id        uuid                   NOT NULL,
    org_unit_member_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    org_unit_id        uuid                   NOT NULL,
    user_account_id    uuid                   NOT NULL,
    membership_kind    text                   NOT NULL DEFAULT 'primary',
    allocation_pct     system_core.percentage NOT NULL DEFAULT 100,
    source             text                   NOT NULL DEFAULT 'manual',
    added_reason       text,
    is_active          boolean                NOT NULL DEFAULT true,
    valid_from         date                   NOT NULL DEFAULT current_date,
    valid_until        date,
    created_at         timestamptz            NOT NULL DEFAULT now(),
    updated_at         timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, org_unit_member_id),
    FOREIGN KEY (business_id, org_unit_id)
        REFERENCES user_mgmt.org_unit (business_id, org_unit_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT org_unit_member_kind_known
        CHECK (membership_kind IN ('primary', 'secondary', 'temporary', 'lead')),
    CONSTRAINT org_unit_member_source_known CHECK (source IN ('manual', 'scim', 'hr_feed')),
    CONSTRAINT org_unit_member_allocation_bounded CHECK (allocation_pct BETWEEN 1 AND 100),
    CONSTRAINT org_unit_member_ends_after_begin CHECK (valid_until > valid_from),
    CONSTRAINT org_unit_member_temporary_ends
        CHECK (membership_kind <> 'temporary' OR valid_until IS NOT NULL),
    CONSTRAINT org_unit_member_once_at_a_time EXCLUDE USING gist (
        business_id WITH =, org_unit_id WITH =, user_account_id WITH =,
        daterange(valid_from, valid_until) WITH &&),
    CONSTRAINT org_unit_member_one_primary EXCLUDE USING gist (
        business_id WITH =, user_account_id WITH =, daterange(valid_from, valid_until) WITH &&)
        WHERE (membership_kind = 'primary')
);

COMMENT ON TABLE user_mgmt.org_unit_member IS 'A user in a unit for a time.';
COMMENT ON COLUMN user_mgmt.org_unit_member.allocation_pct IS
    'Share of the user''s time that the unit has.';
COMMENT ON COLUMN user_mgmt.org_unit_member.valid_until IS 'First day out of the unit.';

-- FK: the members of a unit.
CREATE INDEX org_unit_member_unit_idx
    ON user_mgmt.org_unit_member (business_id, org_unit_id, valid_until);

-- FK: the units of an account.
CREATE INDEX org_unit_member_account_idx
    ON user_mgmt.org_unit_member (business_id, user_account_id, valid_until);

ALTER TABLE user_mgmt.org_unit_member ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_mgmt.org_unit_member
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_mgmt.org_unit_member TO app_user;
GRANT SELECT ON user_mgmt.org_unit_member TO app_readonly;

CREATE TRIGGER org_unit_member_touch
    BEFORE UPDATE ON user_mgmt.org_unit_member
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE user_mgmt.service_account (
    business_id                  uuid        NOT NULL,
    service_account_id           uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    owner_user_account_id        uuid        NOT NULL,
    name                         text        NOT NULL,
    purpose                      text        NOT NULL,
    status                       text        NOT NULL DEFAULT 'active',
    allowed_ip_ranges            cidr[]      NOT NULL DEFAULT '{}',
    max_requests_per_minute      integer     NOT NULL DEFAULT 600,
    rotation_days                integer     NOT NULL DEFAULT 90,
    is_interactive_login_blocked boolean     NOT NULL DEFAULT true,
    expires_at                   timestamptz NOT NULL,
    last_used_at                 timestamptz,
    created_at                   timestamptz NOT NULL DEFAULT now(),
    updated_at                   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, service_account_id),
    UNIQUE (business_id, name),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT service_account_status_known CHECK (status IN ('active', 'disabled', 'expired')),
    CONSTRAINT service_account_rate_positive CHECK (max_requests_per_minute > 0),
    CONSTRAINT service_account_rotation_bounded CHECK (rotation_days BETWEEN 1 AND 365)
);

COMMENT ON TABLE user_mgmt.service_account IS
    'An account of an integration or a job, with a person who answers for it.';
COMMENT ON COLUMN user_mgmt.service_account.allowed_ip_ranges IS
    'Where it may come from; empty is anywhere.';
COMMENT ON COLUMN user_mgmt.service_account.rotation_days IS 'Its keys are renewed this often.';

-- FK: what an account answers for.
CREATE INDEX service_account_owner_idx
    ON user_mgmt.service_account (business_id, owner_user_account_id);

ALTER TABLE user_mgmt.service_account ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_mgmt.service_account
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_mgmt.service_account TO app_user;
GRANT SELECT ON user_mgmt.service_account TO app_readonly;

CREATE TRIGGER service_account_touch
    BEFORE UPDATE ON user_mgmt.service_account
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER service_account_status_machine
    BEFORE INSERT OR UPDATE OF status ON user_mgmt.service_account
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["active"],
        "transitions": {
            "active":   ["disabled", "expired"],
            "disabled": ["active", "expired"],
            "expired":  ["active"]
        }}');

CREATE FUNCTION user_mgmt.require_active_owner() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) AND NOT EXISTS (
        SELECT FROM user_mgmt.user_account AS a
        WHERE a.business_id = NEW.business_id AND a.user_account_id = NEW.owner_user_account_id
          AND a.account_kind = 'staff' AND a.status = 'active') THEN
        RAISE EXCEPTION 'service account % needs an active member of staff as its owner', NEW.name
            USING ERRCODE = 'check_violation',
                  HINT = 'Name somebody who is there to answer for it.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION user_mgmt.require_active_owner() IS
    'Who answers for a service account is active staff when it is made, handed over or
     reactivated.';

CREATE TRIGGER service_account_active_owner
    BEFORE INSERT OR UPDATE OF owner_user_account_id, status ON user_mgmt.service_account
    FOR EACH ROW WHEN (NEW.status = 'active')
    EXECUTE FUNCTION user_mgmt.require_active_owner();
