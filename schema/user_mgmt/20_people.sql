/*
 * People: what is known about a person, how they are reached, where they belong, what they agreed
 * to, and the machines they answer for.
 *
 * user_profile holds the personal details of an account, user_contact_point the addresses and
 * numbers with the proof that they are the person's own; both are erased when the account is
 * anonymized, while the account stays as a name for what happened. user_preference is how somebody
 * likes the interface. org_unit is the tree of departments and teams, org_unit_member who belongs
 * where from when to when; roles given to a unit (user_rbac.org_unit_role) follow it.
 * user_consent is what a person accepted, refused or withdrew. service_account is an account of a
 * program, with a person who answers for it.
 */

CREATE TABLE user_mgmt.user_profile (
    business_id             uuid        NOT NULL,
    user_profile_id         uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id         uuid        NOT NULL,
    manager_user_account_id uuid,
    photo_file_object_id    uuid,
    given_name              system_core.person_name,
    family_name             system_core.person_name,
    preferred_name          system_core.person_name,
    pronouns                text,
    birth_date              date,
    job_title               text,
    employee_reference      system_core.code,
    language_codes          text[]      NOT NULL DEFAULT '{}',
    bio                     text,
    emergency_contact       system_core.json_object,
    hired_on                date,
    created_at              timestamptz NOT NULL DEFAULT now(),
    updated_at              timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, user_profile_id),
    UNIQUE (business_id, user_account_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, manager_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, photo_file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT user_profile_not_its_own_manager
        CHECK (manager_user_account_id <> user_account_id),
    CONSTRAINT user_profile_born_after_1900 CHECK (birth_date > DATE '1900-01-01'),
    CONSTRAINT user_profile_hired_after_birth CHECK (hired_on > birth_date),
    CONSTRAINT user_profile_languages_are_iso_639
        CHECK (array_to_string(language_codes, ',', '?') ~ '^([a-z]{2,3}(,[a-z]{2,3})*)?$'),
    CONSTRAINT user_profile_emergency_contact_can_be_called
        CHECK (emergency_contact::jsonb ?& '{name,phone}')
);

COMMENT ON TABLE user_mgmt.user_profile IS
    'Personal details of an account, kept apart from the login so that they can be erased.';
COMMENT ON COLUMN user_mgmt.user_profile.employee_reference IS
    'Number of the employee in the HR system; by it a directory finds the account again when name
     and address change.';
COMMENT ON COLUMN user_mgmt.user_profile.language_codes IS
    'ISO 639 codes, the preferred one first.';
COMMENT ON COLUMN user_mgmt.user_profile.emergency_contact IS
    'Object of name, phone and, if known, relation.';

-- An employee number belongs to one person; apply_directory_delta() finds accounts by it.
CREATE UNIQUE INDEX user_profile_employee_reference_idx
    ON user_mgmt.user_profile (business_id, employee_reference)
    WHERE employee_reference IS NOT NULL;

-- FK: who reports to a manager.
CREATE INDEX user_profile_manager_idx
    ON user_mgmt.user_profile (business_id, manager_user_account_id)
    WHERE manager_user_account_id IS NOT NULL;

-- FK: whether a file is somebody's photo.
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

CREATE FUNCTION user_mgmt.refuse_profile_of_erased() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT
               FROM changed AS c
               JOIN user_mgmt.user_account AS a
                   ON a.business_id = c.business_id AND a.user_account_id = c.user_account_id
               WHERE a.status = 'anonymized'
                   AND num_nonnulls(c.given_name, c.family_name, c.preferred_name, c.pronouns,
                                    c.birth_date, c.bio, c.employee_reference,
                                    c.emergency_contact, c.photo_file_object_id) > 0) THEN
        RAISE EXCEPTION 'an anonymized account has no personal details'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_mgmt.refuse_profile_of_erased() IS
    'What was erased does not come back.';

CREATE TRIGGER user_profile_erased_insert
    AFTER INSERT ON user_mgmt.user_profile
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_mgmt.refuse_profile_of_erased();

CREATE TRIGGER user_profile_erased_update
    AFTER UPDATE ON user_mgmt.user_profile
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_mgmt.refuse_profile_of_erased();


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
        REFERENCES user_mgmt.user_account (business_id, user_account_id) ON DELETE CASCADE,
    CONSTRAINT user_contact_point_kind_known CHECK (kind IN ('email', 'mobile', 'landline')),
    CONSTRAINT user_contact_point_label_known CHECK (label IN ('work', 'home', 'other')),
    CONSTRAINT user_contact_point_verification_method_known
        CHECK (verification_method IN ('link', 'code', 'admin', 'import')),
    CONSTRAINT user_contact_point_line_type_known
        CHECK (carrier_line_type IN ('mobile', 'voip', 'landline', 'unknown')),
    CONSTRAINT user_contact_point_email_is_lowercase_address
        CHECK (kind <> 'email' OR (value_normalized ~ '^[^@\s]+@[^@\s]+\.[^@\s]+$'
                                   AND value_normalized = lower(value_normalized))),
    CONSTRAINT user_contact_point_number_is_e164
        CHECK (kind = 'email' OR value_normalized ~ '^\+[1-9][0-9]{6,14}$'),
    CONSTRAINT user_contact_point_line_only_of_numbers
        CHECK ((kind = 'email') = (carrier_line_type IS NULL)),
    CONSTRAINT user_contact_point_verified_somehow
        CHECK ((verified_at IS NULL) = (verification_method IS NULL)),
    CONSTRAINT user_contact_point_recovery_is_verified
        CHECK (NOT is_recovery OR verified_at IS NOT NULL),
    CONSTRAINT user_contact_point_recovery_not_by_voip
        CHECK (NOT is_recovery OR carrier_line_type <> 'voip'),
    CONSTRAINT user_contact_point_bounces_not_negative CHECK (bounce_count >= 0)
);

COMMENT ON TABLE user_mgmt.user_contact_point IS
    'An e-mail address or phone number of a user, with the proof that it is theirs.';
COMMENT ON COLUMN user_mgmt.user_contact_point.value_normalized IS
    'A lowercase address or a number in E.164 form.';
COMMENT ON COLUMN user_mgmt.user_contact_point.carrier_line_type IS
    'What the carrier says of a number; a VoIP number is too easily taken over to recover by it.';

-- A proven address or number belongs to one user; unproven ones claim nothing.
CREATE UNIQUE INDEX user_contact_point_verified_idx
    ON user_mgmt.user_contact_point (business_id, kind, value_normalized)
    WHERE verified_at IS NOT NULL;

-- One primary contact of a kind.
CREATE UNIQUE INDEX user_contact_point_primary_idx
    ON user_mgmt.user_contact_point (business_id, user_account_id, kind)
    WHERE is_primary;

-- FK: the contacts of a user.
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

CREATE FUNCTION user_mgmt.refuse_contact_of_erased() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT
               FROM changed AS c
               JOIN user_mgmt.user_account AS a
                   ON a.business_id = c.business_id AND a.user_account_id = c.user_account_id
               WHERE a.status = 'anonymized') THEN
        RAISE EXCEPTION 'an anonymized account cannot be reached'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_mgmt.refuse_contact_of_erased() IS
    'Addresses and numbers that were erased do not come back.';

CREATE TRIGGER user_contact_point_erased_insert
    AFTER INSERT ON user_mgmt.user_contact_point
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_mgmt.refuse_contact_of_erased();

CREATE TRIGGER user_contact_point_erased_update
    AFTER UPDATE ON user_mgmt.user_contact_point
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_mgmt.refuse_contact_of_erased();


CREATE TABLE user_mgmt.user_preference (
    business_id        uuid             NOT NULL,
    user_preference_id uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id    uuid             NOT NULL,
    preference_key     system_core.code NOT NULL,
    scope              text             NOT NULL DEFAULT 'global',
    module_code        text,
    value              jsonb            NOT NULL,
    updated_from       text             NOT NULL DEFAULT 'web',
    is_locked_by_admin boolean          NOT NULL DEFAULT false,
    expires_at         timestamptz,
    created_at         timestamptz      NOT NULL DEFAULT now(),
    updated_at         timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, user_preference_id),
    UNIQUE NULLS NOT DISTINCT
        (business_id, user_account_id, preference_key, scope, module_code),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id) ON DELETE CASCADE,
    CONSTRAINT user_preference_scope_known CHECK (scope IN ('global', 'module', 'device')),
    CONSTRAINT user_preference_module_known
        CHECK (module_code IN ('core', 'hs', 'auto', 'rest', 'ret', 'courses', 'payroll')),
    CONSTRAINT user_preference_module_only_of_module_scope
        CHECK ((scope = 'module') = (module_code IS NOT NULL)),
    CONSTRAINT user_preference_updated_from_known
        CHECK (updated_from IN ('web', 'mobile', 'admin', 'import')),
    CONSTRAINT user_preference_locked_by_admin
        CHECK (NOT is_locked_by_admin OR updated_from IN ('admin', 'import'))
);

COMMENT ON TABLE user_mgmt.user_preference IS
    'A setting of the interface as one user likes it.';
COMMENT ON COLUMN user_mgmt.user_preference.updated_from IS
    'Where it was last changed; the administration writes "admin".';
COMMENT ON COLUMN user_mgmt.user_preference.is_locked_by_admin IS
    'Only the administration changes it, or unlocks it.';

ALTER TABLE user_mgmt.user_preference ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_mgmt.user_preference
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_mgmt.user_preference TO app_user;
GRANT SELECT ON user_mgmt.user_preference TO app_readonly;

CREATE TRIGGER user_preference_touch
    BEFORE UPDATE ON user_mgmt.user_preference
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION user_mgmt.refuse_change_of_locked_preference() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    actor CONSTANT text := nullif(current_setting('app.user_account_id', true), '');
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.updated_from = 'admin' AND actor IS DISTINCT FROM OLD.user_account_id::text
            OR NOT row_security_active(TG_RELID) THEN
            RETURN NEW;
        END IF;
    ELSIF NOT row_security_active(TG_RELID)
        -- Nobody is left whom it binds.
        OR EXISTS (SELECT FROM user_mgmt.user_account AS a
                   WHERE a.business_id = OLD.business_id
                       AND a.user_account_id = OLD.user_account_id
                       AND a.status = 'anonymized') THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'preference % is locked by an administrator', OLD.preference_key
        USING ERRCODE = 'insufficient_privilege',
              HINT = 'Another user changes it, with updated_from = ''admin''.';
END
$$;
COMMENT ON FUNCTION user_mgmt.refuse_change_of_locked_preference() IS
    'A locked preference is changed by the administration, never by the user whom it binds
     (setting app.user_account_id), and is unlocked before it goes.';

CREATE TRIGGER user_preference_locked_update
    BEFORE UPDATE ON user_mgmt.user_preference
    FOR EACH ROW WHEN (OLD.is_locked_by_admin)
    EXECUTE FUNCTION user_mgmt.refuse_change_of_locked_preference();

CREATE TRIGGER user_preference_locked_delete
    BEFORE DELETE ON user_mgmt.user_preference
    FOR EACH ROW WHEN (OLD.is_locked_by_admin)
    EXECUTE FUNCTION user_mgmt.refuse_change_of_locked_preference();


CREATE TABLE user_mgmt.org_unit (
    business_id          uuid             NOT NULL,
    org_unit_id          uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    parent_org_unit_id   uuid,
    lead_user_account_id uuid,
    code                 system_core.code NOT NULL,
    name                 text             NOT NULL,
    kind                 text             NOT NULL DEFAULT 'team',
    path                 text             NOT NULL DEFAULT '/',
    depth                integer          NOT NULL DEFAULT 0,
    cost_center_code     system_core.code,
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
    CONSTRAINT org_unit_not_its_own_parent CHECK (parent_org_unit_id <> org_unit_id),
    CONSTRAINT org_unit_depth_in_range CHECK (depth BETWEEN 0 AND 10),
    CONSTRAINT org_unit_ends_after_start CHECK (effective_until > effective_from)
);

COMMENT ON TABLE user_mgmt.org_unit IS
    'A department, team or region that groups people and scopes roles.';
COMMENT ON COLUMN user_mgmt.org_unit.path IS
    '/ACME/WEST/SALES: the codes from the root down; with depth filled by trigger.';
COMMENT ON COLUMN user_mgmt.org_unit.effective_until IS
    'The first day on which it no longer is; NULL while it goes on.';

-- FK: the units below a unit.
CREATE INDEX org_unit_parent_idx
    ON user_mgmt.org_unit (business_id, parent_org_unit_id)
    WHERE parent_org_unit_id IS NOT NULL;

-- FK: the units that somebody leads.
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

-- The parent stays locked until commit, so that a concurrent move of it carries the new child
-- along, and of two moves that would tie a knot one meets a deadlock and fails.
CREATE FUNCTION user_mgmt.place_org_unit() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    parent user_mgmt.org_unit;
BEGIN
    IF NEW.parent_org_unit_id IS NULL THEN
        NEW.path := '/' || NEW.code;
        NEW.depth := 0;
        RETURN NEW;
    END IF;

    SELECT u.* INTO parent
    FROM user_mgmt.org_unit AS u
    WHERE u.business_id = NEW.business_id AND u.org_unit_id = NEW.parent_org_unit_id
    FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'unit %: its parent % does not exist', NEW.code, NEW.parent_org_unit_id
            USING ERRCODE = 'foreign_key_violation', HINT = 'Insert a unit after its parent.';
    END IF;
    IF TG_OP = 'UPDATE' AND starts_with(parent.path || '/', OLD.path || '/') THEN
        RAISE EXCEPTION 'unit % cannot move into %, which lies inside it', OLD.path, parent.path
            USING ERRCODE = 'check_violation';
    END IF;
    NEW.path := parent.path || '/' || NEW.code;
    NEW.depth := parent.depth + 1;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION user_mgmt.place_org_unit() IS
    'Derives path and depth of a unit from its parent; a unit never comes to lie below itself.';

CREATE TRIGGER org_unit_place
    BEFORE INSERT OR UPDATE OF parent_org_unit_id, code, path, depth ON user_mgmt.org_unit
    FOR EACH ROW EXECUTE FUNCTION user_mgmt.place_org_unit();

CREATE FUNCTION user_mgmt.move_org_subunits() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE user_mgmt.org_unit AS u
    SET path = NEW.path || '/' || u.code
    WHERE u.business_id = NEW.business_id AND u.parent_org_unit_id = NEW.org_unit_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_mgmt.move_org_subunits() IS
    'Carries the units below a moved or renamed one along, level by level.';

CREATE TRIGGER org_unit_move_subunits
    AFTER UPDATE ON user_mgmt.org_unit
    FOR EACH ROW WHEN (OLD.path <> NEW.path)
    EXECUTE FUNCTION user_mgmt.move_org_subunits();


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
    EXCLUDE USING gist (
        business_id WITH =,
        org_unit_id WITH =,
        user_account_id WITH =,
        daterange(valid_from, valid_until) WITH &&)
        WHERE (is_active),
    -- One primary unit at a time.
    EXCLUDE USING gist (
        business_id WITH =,
        user_account_id WITH =,
        daterange(valid_from, valid_until) WITH &&)
        WHERE (is_active AND membership_kind = 'primary'),
    CONSTRAINT org_unit_member_kind_known
        CHECK (membership_kind IN ('primary', 'secondary', 'temporary', 'lead')),
    CONSTRAINT org_unit_member_source_known CHECK (source IN ('manual', 'scim', 'hr_feed')),
    CONSTRAINT org_unit_member_allocation_bounded CHECK (allocation_pct BETWEEN 1 AND 100),
    CONSTRAINT org_unit_member_ends_after_start CHECK (valid_until > valid_from)
);

COMMENT ON TABLE user_mgmt.org_unit_member IS
    'Membership of a user in a unit for a time; one primary unit at a time.';
COMMENT ON COLUMN user_mgmt.org_unit_member.allocation_pct IS
    'Share of the working time given to the unit.';
COMMENT ON COLUMN user_mgmt.org_unit_member.is_active IS
    'False for one that was entered by mistake or called off: it stands for nothing.';
COMMENT ON COLUMN user_mgmt.org_unit_member.valid_until IS
    'The first day after it; NULL while it goes on.';

-- FK: the members of a unit.
CREATE INDEX org_unit_member_unit_idx
    ON user_mgmt.org_unit_member (business_id, org_unit_id, valid_from);

-- FK: the units of a user; user_directory_page looks up the primary one here.
CREATE INDEX org_unit_member_account_idx
    ON user_mgmt.org_unit_member (business_id, user_account_id, valid_from);

ALTER TABLE user_mgmt.org_unit_member ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_mgmt.org_unit_member
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_mgmt.org_unit_member TO app_user;
GRANT SELECT ON user_mgmt.org_unit_member TO app_readonly;

CREATE TRIGGER org_unit_member_touch
    BEFORE UPDATE ON user_mgmt.org_unit_member
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE user_mgmt.user_consent (
    business_id             uuid               NOT NULL,
    user_consent_id         uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id         uuid               NOT NULL,
    document_file_object_id uuid,
    consent_kind            text               NOT NULL,
    document_version        system_core.code   NOT NULL,
    is_granted              boolean            NOT NULL,
    channel                 text               NOT NULL DEFAULT 'web',
    ip_address              inet,
    locale                  system_core.locale NOT NULL,
    evidence                system_core.json_object,
    given_at                timestamptz        NOT NULL DEFAULT now(),
    withdrawn_at            timestamptz,
    created_at              timestamptz        NOT NULL DEFAULT now(),
    updated_at              timestamptz        NOT NULL DEFAULT now(),
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
    CONSTRAINT user_consent_refused_is_not_withdrawn CHECK (is_granted OR withdrawn_at IS NULL)
);

COMMENT ON TABLE user_mgmt.user_consent IS
    'What a user accepted or refused: terms, a notice, an optional processing; live while it is
     granted and not withdrawn.';
COMMENT ON COLUMN user_mgmt.user_consent.is_granted IS
    'False for a refusal, which is kept so that nobody asks again.';
COMMENT ON COLUMN user_mgmt.user_consent.evidence IS
    'Object of what proves it: text_sha256 of what was shown, form, recording and so on.';

-- Whether a processing is allowed now: the live consents of a user.
CREATE INDEX user_consent_live_idx
    ON user_mgmt.user_consent (business_id, user_account_id, consent_kind)
    WHERE is_granted AND withdrawn_at IS NULL;

-- FK: the consents given to a document.
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
    CONSTRAINT service_account_requests_positive CHECK (max_requests_per_minute > 0),
    CONSTRAINT service_account_rotates_within_a_year CHECK (rotation_days BETWEEN 1 AND 365)
);

COMMENT ON TABLE user_mgmt.service_account IS
    'A non-human account of an integration or job, with a person who answers for it.';
COMMENT ON COLUMN user_mgmt.service_account.allowed_ip_ranges IS
    'Networks from where it may call; empty for anywhere.';
COMMENT ON COLUMN user_mgmt.service_account.rotation_days IS
    'After so many days its keys are to be changed.';

-- FK: the service accounts somebody answers for, to be handed over when they leave.
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

CREATE FUNCTION user_mgmt.require_active_owner() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM user_mgmt.user_account AS a
                   WHERE a.business_id = NEW.business_id
                       AND a.user_account_id = NEW.owner_user_account_id
                       AND a.status = 'active' AND a.account_kind = 'staff') THEN
        RAISE EXCEPTION 'the owner of service account % is no active staff account', NEW.name
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION user_mgmt.require_active_owner() IS
    'An active member of staff answers for an active service account. When the owner leaves, it
     works on until it is handed over: the offboarding task transfer_records waits for that.';

CREATE TRIGGER service_account_owner_insert
    BEFORE INSERT ON user_mgmt.service_account
    FOR EACH ROW WHEN (NEW.status = 'active')
    EXECUTE FUNCTION user_mgmt.require_active_owner();

-- What only happens to it, such as being used, does not ask for its owner again.
CREATE TRIGGER service_account_owner_update
    BEFORE UPDATE OF owner_user_account_id, status ON user_mgmt.service_account
    FOR EACH ROW WHEN (NEW.status = 'active'
                       AND (OLD.status <> 'active'
                            OR OLD.owner_user_account_id <> NEW.owner_user_account_id))
    EXECUTE FUNCTION user_mgmt.require_active_owner();


-- Erasing a person.

CREATE FUNCTION user_mgmt.mask_account() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.username := 'anonymized-' || NEW.user_account_id;
    NEW.email := NEW.user_account_id || '@anonymized.invalid';
    NEW.display_name := 'Former user';
    NEW.person_key := NULL;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION user_mgmt.mask_account() IS
    'An anonymized account names nobody, neither by its own data nor across tenants.';

CREATE TRIGGER user_account_mask
    BEFORE INSERT OR UPDATE ON user_mgmt.user_account
    FOR EACH ROW WHEN (NEW.status = 'anonymized')
    EXECUTE FUNCTION user_mgmt.mask_account();

CREATE FUNCTION user_mgmt.erase_person() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE user_mgmt.user_profile AS p
    SET given_name = NULL, family_name = NULL, preferred_name = NULL, pronouns = NULL,
        birth_date = NULL, bio = NULL, employee_reference = NULL, emergency_contact = NULL,
        photo_file_object_id = NULL, language_codes = '{}'
    WHERE p.business_id = NEW.business_id AND p.user_account_id = NEW.user_account_id;

    DELETE FROM user_mgmt.user_contact_point AS c
    WHERE c.business_id = NEW.business_id AND c.user_account_id = NEW.user_account_id;

    DELETE FROM user_mgmt.user_preference AS p
    WHERE p.business_id = NEW.business_id AND p.user_account_id = NEW.user_account_id;

    -- That and what they agreed to has to be proven; from where has not.
    UPDATE user_mgmt.user_consent AS c
    SET ip_address = NULL
    WHERE c.business_id = NEW.business_id AND c.user_account_id = NEW.user_account_id
        AND c.ip_address IS NOT NULL;

    UPDATE user_mgmt.user_invitation AS i
    SET email_normalized = NEW.email_normalized, message = NULL
    WHERE i.business_id = NEW.business_id
        AND (i.accepted_user_account_id = NEW.user_account_id
             OR i.email_normalized = OLD.email_normalized AND i.state <> 'pending');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_mgmt.erase_person() IS
    'When an account is anonymized, by whatever way, profile, contacts, preferences and the
     address of its invitations go; job title, manager and consents stay for history.';

CREATE TRIGGER user_account_erase
    AFTER UPDATE OF status ON user_mgmt.user_account
    FOR EACH ROW WHEN (NEW.status = 'anonymized' AND OLD.status <> 'anonymized')
    EXECUTE FUNCTION user_mgmt.erase_person();
