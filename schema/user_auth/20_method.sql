/*
 * Ways to sign in: what the tenant allows, what an account has enrolled, and its secrets.
 *
 * methods() is the closed list of the fourteen methods with their factor, assurance and place in
 * the model. auth_method_policy says for each what the tenant makes of it; auth_enrollment is a
 * method that an account has set up, whatever its kind, and the row behind a line of the security
 * page. What proves it hangs below: password_credential, totp_credential, one_time_code and
 * push_challenge here, keys, faces and cards in 30_strong_method.sql, the word of others in
 * 40_federation.sql. Each of them names the enrollment together with its account and its method,
 * so that a password cannot hang below a passkey, nor a code go to somebody else. recovery_code is
 * the way back when all of them are lost.
 *
 * No secret is kept in clear: of passwords a slow hash, of codes and challenges a keyed hash, of
 * authenticator apps the encrypted seed with the place of its key in the vault.
 */

CREATE FUNCTION user_auth.methods() RETURNS TABLE (
    method                text,
    factor                text,
    assurance_level       text,
    usable_as             text,
    is_phishing_resistant boolean,
    code_ttl_seconds      integer,
    stored_in             text,
    amr                   text[]
)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 14
BEGIN ATOMIC
    SELECT m.*
    FROM (VALUES
        ('password', 'knowledge', 'aal1', 'primary', false, NULL::integer,
         'password_credential', '{pwd}'::text[]),
        ('email_otp', 'possession', 'aal1', 'both', false, 600, 'one_time_code', '{otp}'),
        ('sms_otp', 'possession', 'aal1', 'second_factor', false, 300, 'one_time_code', '{sms}'),
        ('voice_otp', 'possession', 'aal1', 'second_factor', false, 300, 'one_time_code', '{tel}'),
        ('magic_link', 'possession', 'aal1', 'primary', false, 900, 'one_time_code', '{otp}'),
        ('totp', 'possession', 'aal2', 'second_factor', false, NULL, 'totp_credential', '{otp}'),
        ('push_approval', 'possession', 'aal2', 'second_factor', false, 120, 'push_challenge',
         '{swk}'),
        ('passkey', 'possession and inherence', 'aal2', 'both', true, NULL,
         'webauthn_credential', '{swk,user}'),
        ('security_key', 'possession', 'aal3', 'both', true, NULL, 'webauthn_credential',
         '{hwk}'),
        ('biometric', 'inherence', 'aal2', 'second_factor', false, NULL, 'biometric_enrollment',
         '{face,fpt,vbm}'),
        ('oidc_federation', 'delegated', NULL, 'primary', false, NULL, 'federated_identity', '{}'),
        ('saml_sso', 'delegated', NULL, 'primary', false, NULL, 'federated_identity', '{}'),
        ('ldap_directory', 'delegated', 'aal1', 'primary', false, NULL, 'directory_connection',
         '{pwd}'),
        ('client_certificate', 'possession', 'aal3', 'both', true, NULL, 'client_certificate',
         '{sc}')
    ) AS m (method, factor, assurance_level, usable_as, is_phishing_resistant, code_ttl_seconds,
            stored_in, amr);
END;
COMMENT ON FUNCTION user_auth.methods() IS
    'The fourteen methods of authentication: kind of factor, the assurance (NIST SP 800-63B) that
     they reach at most, NULL where another asserts it; what they are usually good for, whether they
     withstand phishing, how long a code lives, the table of what proves them, and their names in a
     session''s amr (RFC 8176), of which a biometric has one and federation the provider''s.';


CREATE FUNCTION user_auth.method_assurance(method text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (SELECT m.assurance_level FROM user_auth.methods() AS m
            WHERE m.method = method_assurance.method);
COMMENT ON FUNCTION user_auth.method_assurance(text) IS
    'The assurance that a method reaches at most; NULL where a provider asserts it.';


CREATE TABLE user_auth.auth_method_policy (
    business_id              uuid                    NOT NULL,
    auth_method_policy_id    uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    method                   text                    NOT NULL,
    is_enabled               boolean                 NOT NULL DEFAULT true,
    usable_as                text                    NOT NULL,
    assurance_level          text                    NOT NULL,
    applies_to               text                    NOT NULL DEFAULT 'everyone',
    is_phishing_resistant    boolean                 NOT NULL DEFAULT false,
    max_enrollments_per_user integer                 NOT NULL DEFAULT 1,
    code_ttl_seconds         integer,
    cooldown_seconds         integer                 NOT NULL DEFAULT 0,
    settings                 system_core.json_object NOT NULL DEFAULT '{}',
    enforced_from            date,
    created_at               timestamptz             NOT NULL DEFAULT now(),
    updated_at               timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, auth_method_policy_id),
    UNIQUE (business_id, method),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT auth_method_policy_method_known
        CHECK (method IN ('password', 'email_otp', 'sms_otp', 'voice_otp', 'magic_link', 'totp',
                          'push_approval', 'passkey', 'security_key', 'biometric',
                          'oidc_federation', 'saml_sso', 'ldap_directory',
                          'client_certificate')),
    CONSTRAINT auth_method_policy_usable_as_known
        CHECK (usable_as IN ('primary', 'second_factor', 'both')),
    CONSTRAINT auth_method_policy_assurance_level_known
        CHECK (assurance_level IN ('aal1', 'aal2', 'aal3')),
    CONSTRAINT auth_method_policy_level_within_method
        CHECK (assurance_level <= user_auth.method_assurance(method)),
    CONSTRAINT auth_method_policy_applies_to_known
        CHECK (applies_to IN ('everyone', 'staff', 'administrators', 'customers')),
    CONSTRAINT auth_method_policy_few_withstand_phishing
        CHECK (NOT is_phishing_resistant
               OR method IN ('passkey', 'security_key', 'client_certificate')),
    CONSTRAINT auth_method_policy_enrollments_positive CHECK (max_enrollments_per_user >= 1),
    CONSTRAINT auth_method_policy_ttl_of_what_is_sent
        CHECK ((method IN ('email_otp', 'sms_otp', 'voice_otp', 'magic_link', 'push_approval'))
               = (code_ttl_seconds IS NOT NULL)),
    CONSTRAINT auth_method_policy_ttl_bounded CHECK (code_ttl_seconds BETWEEN 30 AND 1800),
    CONSTRAINT auth_method_policy_cooldown_bounded CHECK (cooldown_seconds BETWEEN 0 AND 3600),
    CONSTRAINT auth_method_policy_only_enabled_is_enforced
        CHECK (is_enabled OR enforced_from IS NULL)
);

COMMENT ON TABLE user_auth.auth_method_policy IS
    'What the tenant makes of one of the methods: allowed, for whom, worth what.';
COMMENT ON COLUMN user_auth.auth_method_policy.assurance_level IS
    'What the tenant takes it for, at most what the method can reach; of federation, how far the
     word of providers is trusted.';
COMMENT ON COLUMN user_auth.auth_method_policy.applies_to IS
    'Who may enroll it; administrators hold a role of the critical tier.';
COMMENT ON COLUMN user_auth.auth_method_policy.cooldown_seconds IS
    'How long to wait for the next code to the same account.';
COMMENT ON COLUMN user_auth.auth_method_policy.settings IS
    'Object of what only this method has: {"max_age_days": 365} of password,
     {"minimum_certification": "l1"} of passkey and security_key.';
COMMENT ON COLUMN user_auth.auth_method_policy.enforced_from IS
    'From this day those it applies to are expected to have it (v_security_posture names who has
     not); NULL where it is offered only.';

ALTER TABLE user_auth.auth_method_policy ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_auth.auth_method_policy
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_auth.auth_method_policy TO app_user;
GRANT SELECT ON user_auth.auth_method_policy TO app_readonly;

CREATE TRIGGER auth_method_policy_touch
    BEFORE UPDATE ON user_auth.auth_method_policy
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION user_auth.keep_primary_policy() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    -- Two who disable a method each wait for one another.
    PERFORM FROM tenant_mgmt.business AS b
    WHERE b.business_id IN (SELECT c.business_id FROM before AS c)
    ORDER BY b.business_id
    FOR NO KEY UPDATE;
    IF EXISTS (
        SELECT FROM before AS c
        WHERE c.is_enabled AND c.usable_as IN ('primary', 'both')
            AND NOT EXISTS (SELECT FROM user_auth.auth_method_policy AS p
                            WHERE p.business_id = c.business_id AND p.is_enabled
                                AND p.usable_as IN ('primary', 'both'))) THEN
        RAISE EXCEPTION 'nobody could sign in any more: no primary method would be left'
            USING ERRCODE = 'check_violation', HINT = 'Enable another method first.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_auth.keep_primary_policy() IS
    'At least one primary method of a tenant stays enabled.';

CREATE TRIGGER auth_method_policy_keep_primary_updated
    AFTER UPDATE ON user_auth.auth_method_policy
    REFERENCING OLD TABLE AS before
    FOR EACH STATEMENT EXECUTE FUNCTION user_auth.keep_primary_policy();

CREATE TRIGGER auth_method_policy_keep_primary_deleted
    AFTER DELETE ON user_auth.auth_method_policy
    REFERENCING OLD TABLE AS before
    FOR EACH STATEMENT EXECUTE FUNCTION user_auth.keep_primary_policy();


CREATE FUNCTION user_auth.allow_default_methods() RETURNS integer
    LANGUAGE sql VOLATILE
BEGIN ATOMIC
    WITH added AS (
        INSERT INTO user_auth.auth_method_policy
            (business_id, method, is_enabled, usable_as, assurance_level, applies_to,
             is_phishing_resistant, max_enrollments_per_user, code_ttl_seconds, cooldown_seconds)
        SELECT tenant_mgmt.current_business_id(), m.method,
               m.method IN ('password', 'email_otp', 'magic_link', 'totp', 'passkey',
                            'security_key'),
               m.usable_as, coalesce(m.assurance_level, 'aal2'),
               CASE WHEN m.method IN ('ldap_directory', 'client_certificate') THEN 'staff'
                    ELSE 'everyone' END,
               m.is_phishing_resistant,
               CASE WHEN m.stored_in IN ('webauthn_credential', 'federated_identity') THEN 10
                    WHEN m.method = 'password' THEN 1 ELSE 3 END,
               m.code_ttl_seconds, CASE WHEN m.stored_in = 'one_time_code' THEN 30 ELSE 0 END
        FROM user_auth.methods() AS m
        ON CONFLICT (business_id, method) DO NOTHING
        RETURNING 1
    )
    SELECT count(*)::integer FROM added;
END;
COMMENT ON FUNCTION user_auth.allow_default_methods() IS
    'Gives the calling tenant a policy for every method that it has none for: what asks for nothing
     but the account''s own means is enabled, what costs or needs a directory, a provider or a
     consent is not. Returns how many were added.';


CREATE TABLE user_auth.auth_enrollment (
    business_id             uuid        NOT NULL,
    auth_enrollment_id      uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id         uuid        NOT NULL,
    method                  text        NOT NULL,
    directory_connection_id uuid,
    friendly_name           text,
    status                  text        NOT NULL DEFAULT 'pending',
    use_count               integer     NOT NULL DEFAULT 0,
    failure_count           integer     NOT NULL DEFAULT 0,
    is_preferred            boolean     NOT NULL DEFAULT false,
    revoke_reason           text,
    enrolled_at             timestamptz NOT NULL DEFAULT now(),
    confirmed_at            timestamptz,
    last_used_at            timestamptz,
    revoked_at              timestamptz,
    created_at              timestamptz NOT NULL DEFAULT now(),
    updated_at              timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, auth_enrollment_id),
    -- A session names the enrollment that opened it with the account that it is of.
    UNIQUE (business_id, user_account_id, auth_enrollment_id),
    -- What proves an enrollment names its account and its method, too.
    UNIQUE (business_id, user_account_id, auth_enrollment_id, method),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, method)
        REFERENCES user_auth.auth_method_policy (business_id, method),
    CONSTRAINT auth_enrollment_status_known
        CHECK (status IN ('pending', 'active', 'suspended', 'revoked', 'expired')),
    CONSTRAINT auth_enrollment_active_is_confirmed
        CHECK (status <> 'active' OR confirmed_at IS NOT NULL),
    CONSTRAINT auth_enrollment_pending_is_not_confirmed
        CHECK (status <> 'pending' OR confirmed_at IS NULL),
    CONSTRAINT auth_enrollment_confirmed_after_enrolling CHECK (confirmed_at >= enrolled_at),
    CONSTRAINT auth_enrollment_used_when_confirmed
        CHECK (last_used_at IS NULL OR confirmed_at IS NOT NULL AND last_used_at >= confirmed_at),
    CONSTRAINT auth_enrollment_used_has_time CHECK ((use_count = 0) = (last_used_at IS NULL)),
    CONSTRAINT auth_enrollment_counts_not_negative CHECK (use_count >= 0 AND failure_count >= 0),
    CONSTRAINT auth_enrollment_only_active_is_preferred
        CHECK (NOT is_preferred OR status = 'active'),
    CONSTRAINT auth_enrollment_revoked_has_time
        CHECK ((status = 'revoked') = (revoked_at IS NOT NULL)),
    CONSTRAINT auth_enrollment_revoked_has_reason
        CHECK ((status = 'revoked') = (revoke_reason IS NOT NULL)),
    CONSTRAINT auth_enrollment_revoked_after_enrolling CHECK (revoked_at >= enrolled_at),
    CONSTRAINT auth_enrollment_directory_of_ldap
        CHECK ((method = 'ldap_directory') = (directory_connection_id IS NOT NULL))
);

COMMENT ON TABLE user_auth.auth_enrollment IS
    'A method that an account has set up, whatever its kind: a line of its security page.';
COMMENT ON COLUMN user_auth.auth_enrollment.status IS
    'pending until it is proven once; suspended on suspicion; revoked by somebody; expired by time
     or because what it rests on is gone.';
COMMENT ON COLUMN user_auth.auth_enrollment.directory_connection_id IS
    'The directory that verifies the password, of ldap_directory alone.';
COMMENT ON COLUMN user_auth.auth_enrollment.is_preferred IS
    'Offered first; one per account.';

-- One preferred method per account.
CREATE UNIQUE INDEX auth_enrollment_preferred_idx
    ON user_auth.auth_enrollment (business_id, user_account_id)
    WHERE is_preferred;

-- FK: the enrollments of a method; counts who a change of policy concerns.
CREATE INDEX auth_enrollment_method_idx
    ON user_auth.auth_enrollment (business_id, method, status);

-- FK: who is verified by a directory.
CREATE INDEX auth_enrollment_directory_idx
    ON user_auth.auth_enrollment (business_id, directory_connection_id)
    WHERE directory_connection_id IS NOT NULL;

ALTER TABLE user_auth.auth_enrollment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_auth.auth_enrollment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_auth.auth_enrollment TO app_user;
GRANT SELECT ON user_auth.auth_enrollment TO app_readonly;

CREATE TRIGGER auth_enrollment_touch
    BEFORE UPDATE ON user_auth.auth_enrollment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER auth_enrollment_status_machine
    BEFORE INSERT OR UPDATE OF status ON user_auth.auth_enrollment
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["pending", "active"],
        "transitions": {
            "pending":   ["active", "revoked", "expired"],
            "active":    ["suspended", "revoked", "expired"],
            "suspended": ["active", "revoked", "expired"],
            "revoked":   [],
            "expired":   []
        }}');

CREATE FUNCTION user_auth.refuse_moved_enrollment() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'an enrollment stays with its account and its method'
        USING ERRCODE = 'restrict_violation', HINT = 'Revoke it and enroll another.';
END
$$;
COMMENT ON FUNCTION user_auth.refuse_moved_enrollment() IS
    'A method that changed hands would let somebody in as somebody else.';

CREATE TRIGGER auth_enrollment_origin
    BEFORE UPDATE OF user_account_id, method ON user_auth.auth_enrollment
    FOR EACH ROW
    WHEN ((OLD.user_account_id, OLD.method) IS DISTINCT FROM (NEW.user_account_id, NEW.method))
    EXECUTE FUNCTION user_auth.refuse_moved_enrollment();

CREATE FUNCTION user_auth.prefer_no_longer() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.is_preferred := false;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION user_auth.prefer_no_longer() IS
    'What cannot be used is not offered first.';

CREATE TRIGGER auth_enrollment_unprefer
    BEFORE UPDATE OF status ON user_auth.auth_enrollment
    FOR EACH ROW WHEN (NEW.is_preferred AND NEW.status <> 'active')
    EXECUTE FUNCTION user_auth.prefer_no_longer();

CREATE FUNCTION user_auth.method_is_for(applies_to text, account user_mgmt.user_account)
    RETURNS boolean
    LANGUAGE sql STABLE
    RETURN CASE applies_to
        WHEN 'everyone' THEN true
        WHEN 'customers' THEN account.account_kind = 'customer'
        WHEN 'staff' THEN account.account_kind <> 'customer'
        ELSE EXISTS (
            SELECT FROM user_rbac.role_assignment AS a
            JOIN user_rbac.role AS r ON r.business_id = a.business_id AND r.role_id = a.role_id
            WHERE a.business_id = account.business_id
                AND a.user_account_id = account.user_account_id
                AND a.state = 'active' AND a.valid_from <= now()
                AND (a.valid_until > now()) IS NOT FALSE AND r.risk_tier = 'critical')
    END;
COMMENT ON FUNCTION user_auth.method_is_for(text, user_mgmt.user_account) IS
    'Whether an account is among those that a policy applies to; administrators hold a role of the
     critical tier now.';

CREATE FUNCTION user_auth.honor_method_policy() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    entered uuid[];
    wrong   record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(c.auth_enrollment_id) INTO entered
        FROM changed AS c WHERE c.status IN ('pending', 'active', 'suspended');
    ELSE
        SELECT array_agg(c.auth_enrollment_id) INTO entered
        FROM changed AS c
        JOIN before AS b
            ON b.business_id = c.business_id AND b.auth_enrollment_id = c.auth_enrollment_id
        WHERE c.status = 'active' AND b.status <> 'active';
    END IF;
    IF entered IS NULL THEN
        RETURN NULL;
    END IF;

    -- Accounts in the order of their keys: two enrollments beyond the limit wait for each other.
    PERFORM FROM user_mgmt.user_account AS a
    WHERE a.business_id = tenant_mgmt.current_business_id()
        AND a.user_account_id IN (SELECT c.user_account_id FROM changed AS c
                                  WHERE c.auth_enrollment_id = ANY (entered))
    ORDER BY a.user_account_id
    FOR NO KEY UPDATE;

    SELECT judged.* INTO wrong
    FROM (
        SELECT c.method, p.applies_to, p.max_enrollments_per_user, p.is_enabled,
               user_auth.method_is_for(p.applies_to, ROW(a.*)::user_mgmt.user_account) AS is_for,
               a.status IN ('deactivated', 'anonymized') AS has_left,
               (SELECT count(*) FROM user_auth.auth_enrollment AS e
                WHERE e.business_id = c.business_id AND e.user_account_id = c.user_account_id
                    AND e.method = c.method
                    AND e.status IN ('pending', 'active', 'suspended')) AS enrolled_count
        FROM changed AS c
        JOIN user_auth.auth_method_policy AS p
            ON p.business_id = c.business_id AND p.method = c.method
        JOIN user_mgmt.user_account AS a
            ON a.business_id = c.business_id AND a.user_account_id = c.user_account_id
        WHERE c.auth_enrollment_id = ANY (entered)
    ) AS judged
    WHERE judged.has_left OR NOT judged.is_enabled OR NOT judged.is_for
        OR judged.enrolled_count > judged.max_enrollments_per_user
    LIMIT 1;
    IF wrong.has_left THEN
        RAISE EXCEPTION 'an account that has left enrolls no method'
            USING ERRCODE = 'check_violation';
    ELSIF NOT wrong.is_enabled THEN
        RAISE EXCEPTION 'method % is not enabled', wrong.method
            USING ERRCODE = 'check_violation', HINT = 'See auth_method_policy.';
    ELSIF NOT wrong.is_for THEN
        RAISE EXCEPTION 'method % is for % only', wrong.method, wrong.applies_to
            USING ERRCODE = 'check_violation', HINT = 'See auth_method_policy.';
    ELSIF wrong.enrolled_count > wrong.max_enrollments_per_user THEN
        RAISE EXCEPTION 'method % is enrolled % times, the limit', wrong.method,
            wrong.max_enrollments_per_user
            USING ERRCODE = 'check_violation', HINT = 'Revoke one of them first.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_auth.honor_method_policy() IS
    'What is enrolled or taken up again now is enabled, meant for the account and not enrolled more
     often than the tenant''s policy lets it. What was enrolled before a policy changed stays.';

CREATE TRIGGER auth_enrollment_policy_inserted
    AFTER INSERT ON user_auth.auth_enrollment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_auth.honor_method_policy();

CREATE TRIGGER auth_enrollment_policy_updated
    AFTER UPDATE ON user_auth.auth_enrollment
    REFERENCING OLD TABLE AS before NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_auth.honor_method_policy();

CREATE FUNCTION user_auth.keep_primary_method() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    losers uuid[];
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'DELETE' THEN
        SELECT array_agg(DISTINCT b.user_account_id) INTO losers
        FROM before AS b
        JOIN user_auth.auth_method_policy AS p
            ON p.business_id = b.business_id AND p.method = b.method
                AND p.usable_as IN ('primary', 'both')
        WHERE b.status IN ('active', 'suspended');
    ELSE
        SELECT array_agg(DISTINCT b.user_account_id) INTO losers
        FROM before AS b
        JOIN changed AS c
            ON c.business_id = b.business_id AND c.auth_enrollment_id = b.auth_enrollment_id
        JOIN user_auth.auth_method_policy AS p
            ON p.business_id = b.business_id AND p.method = b.method
                AND p.usable_as IN ('primary', 'both')
        WHERE b.status IN ('active', 'suspended') AND c.status = 'revoked';
    END IF;
    IF losers IS NULL THEN
        RETURN NULL;
    END IF;

    -- In the order of their keys: two who revoke one method each wait for one another.
    PERFORM FROM user_mgmt.user_account AS a
    WHERE a.business_id = tenant_mgmt.current_business_id() AND a.user_account_id = ANY (losers)
    ORDER BY a.user_account_id
    FOR NO KEY UPDATE;
    IF EXISTS (
        SELECT FROM user_mgmt.user_account AS a
        WHERE a.business_id = tenant_mgmt.current_business_id()
            AND a.user_account_id = ANY (losers) AND a.status = 'active'
            AND NOT EXISTS (
                SELECT FROM user_auth.auth_enrollment AS e
                JOIN user_auth.auth_method_policy AS p
                    ON p.business_id = e.business_id AND p.method = e.method
                WHERE e.business_id = a.business_id AND e.user_account_id = a.user_account_id
                    AND e.status = 'active' AND p.is_enabled
                    AND p.usable_as IN ('primary', 'both'))) THEN
        RAISE EXCEPTION 'the last primary method of an active account is not revoked'
            USING ERRCODE = 'check_violation',
                  HINT = 'Enroll another first, suspend the method, or suspend the account.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_auth.keep_primary_method() IS
    'An active account keeps at least one active method of an enabled primary kind. Suspending is
     not refused, for suspicion does not wait; nor is expiry, which is a fact.';

CREATE TRIGGER auth_enrollment_keep_primary_updated
    AFTER UPDATE ON user_auth.auth_enrollment
    REFERENCING OLD TABLE AS before NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_auth.keep_primary_method();

CREATE TRIGGER auth_enrollment_keep_primary_deleted
    AFTER DELETE ON user_auth.auth_enrollment
    REFERENCING OLD TABLE AS before
    FOR EACH STATEMENT EXECUTE FUNCTION user_auth.keep_primary_method();

CREATE FUNCTION user_auth.revoke_methods_of_erased() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE user_auth.auth_enrollment AS e
    SET status = 'revoked', revoked_at = now(), revoke_reason = 'account anonymized',
        friendly_name = NULL
    WHERE e.business_id = NEW.business_id AND e.user_account_id = NEW.user_account_id
        AND e.status IN ('pending', 'active', 'suspended');
    DELETE FROM user_auth.password_credential AS p
    WHERE p.business_id = NEW.business_id AND p.user_account_id = NEW.user_account_id;
    DELETE FROM user_auth.totp_credential AS t
    WHERE t.business_id = NEW.business_id AND t.user_account_id = NEW.user_account_id;
    DELETE FROM user_auth.recovery_code AS r
    WHERE r.business_id = NEW.business_id AND r.user_account_id = NEW.user_account_id;
    UPDATE user_auth.federated_identity AS f
    SET subject = 'anonymized-' || f.federated_identity_id, provider_email = NULL, claims = '{}',
        unlinked_at = coalesce(f.unlinked_at, now())
    WHERE f.business_id = NEW.business_id AND f.user_account_id = NEW.user_account_id;
    UPDATE user_auth.biometric_enrollment AS b
    SET destroyed_at = now()
    WHERE b.business_id = NEW.business_id AND b.user_account_id = NEW.user_account_id
        AND b.destroyed_at IS NULL;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_auth.revoke_methods_of_erased() IS
    'When an account is anonymized its methods end, and what proved them goes.';

CREATE TRIGGER user_account_revoke_methods
    AFTER UPDATE OF status ON user_mgmt.user_account
    FOR EACH ROW WHEN (NEW.status = 'anonymized' AND OLD.status <> 'anonymized')
    EXECUTE FUNCTION user_auth.revoke_methods_of_erased();

-- The enrollment that opened a session is one of the account's own.
ALTER TABLE user_auth.user_session
    ADD FOREIGN KEY (business_id, first_method_id, user_account_id)
        REFERENCES user_auth.auth_enrollment (business_id, auth_enrollment_id, user_account_id);


CREATE TABLE user_auth.password_credential (
    business_id            uuid                    NOT NULL,
    password_credential_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id        uuid                    NOT NULL,
    auth_enrollment_id     uuid                    NOT NULL,
    method                 text                    NOT NULL DEFAULT 'password',
    hash                   text                    NOT NULL,
    algorithm              text                    NOT NULL DEFAULT 'argon2id',
    parameters             system_core.json_object NOT NULL,
    strength_score         integer                 NOT NULL,
    is_current             boolean                 NOT NULL DEFAULT true,
    must_change            boolean                 NOT NULL DEFAULT false,
    is_breached            boolean                 NOT NULL DEFAULT false,
    set_at                 timestamptz             NOT NULL DEFAULT now(),
    expires_at             timestamptz,
    breach_checked_at      timestamptz,
    superseded_at          timestamptz,
    created_at             timestamptz             NOT NULL DEFAULT now(),
    updated_at             timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, password_credential_id),
    FOREIGN KEY (business_id, auth_enrollment_id, user_account_id, method)
        REFERENCES user_auth.auth_enrollment
            (business_id, auth_enrollment_id, user_account_id, method),
    CONSTRAINT password_credential_proves_password CHECK (method = 'password'),
    CONSTRAINT password_credential_algorithm_known
        CHECK (algorithm IN ('argon2id', 'scrypt', 'bcrypt', 'pbkdf2_sha256')),
    CONSTRAINT password_credential_hash_is_of_algorithm
        CHECK (hash ~ CASE algorithm
                   WHEN 'argon2id' THEN '^\$argon2id\$v=19\$m=\d+,t=\d+,p=\d+\$[^$]+\$[^$]+$'
                   WHEN 'scrypt' THEN '^\$scrypt\$ln=\d+,r=\d+,p=\d+\$[^$]+\$[^$]+$'
                   WHEN 'bcrypt' THEN '^\$2[aby]\$\d{2}\$[./A-Za-z0-9]{53}$'
                   ELSE '^\$pbkdf2-sha256\$(i=)?\d+\$[^$]+\$[^$]+$' END),
    CONSTRAINT password_credential_is_costly_to_try
        CHECK (CASE algorithm
                   WHEN 'argon2id' THEN (parameters ->> 'memory_kib')::integer >= 19456
                   WHEN 'scrypt' THEN (parameters ->> 'ln')::integer >= 15
                   WHEN 'bcrypt' THEN (parameters ->> 'cost')::integer >= 10
                   ELSE (parameters ->> 'iterations')::integer >= 600000 END IS TRUE),
    CONSTRAINT password_credential_strength_bounded CHECK (strength_score BETWEEN 0 AND 4),
    CONSTRAINT password_credential_expires_after_setting CHECK (expires_at > set_at),
    CONSTRAINT password_credential_breach_was_looked_for
        CHECK (NOT is_breached OR breach_checked_at IS NOT NULL),
    CONSTRAINT password_credential_current_or_superseded
        CHECK (is_current = (superseded_at IS NULL)),
    CONSTRAINT password_credential_superseded_after_setting CHECK (superseded_at >= set_at)
);

COMMENT ON TABLE user_auth.password_credential IS
    'A password of an account, hashed: the current one, and old ones so that they are not reused.';
COMMENT ON COLUMN user_auth.password_credential.hash IS
    'In the PHC string format with its salt; a CHECK refuses anything that is not such a hash.';
COMMENT ON COLUMN user_auth.password_credential.parameters IS
    'Object of the costs, to find hashes that became too cheap: memory_kib, iterations and
     parallelism of argon2id, ln of scrypt, cost of bcrypt, iterations of PBKDF2.';
COMMENT ON COLUMN user_auth.password_credential.strength_score IS
    'As estimated when it was set (zxcvbn): 0 is guessed at once, 4 is strong.';
COMMENT ON COLUMN user_auth.password_credential.is_breached IS
    'Found in a collection of stolen passwords when it was last looked for.';

-- One current password per enrollment; signing in finds it by its account.
CREATE UNIQUE INDEX password_credential_current_idx
    ON user_auth.password_credential (business_id, user_account_id, auth_enrollment_id)
    WHERE is_current;

-- FK: the passwords of an enrollment, for the check of reuse.
CREATE INDEX password_credential_enrollment_idx
    ON user_auth.password_credential (business_id, user_account_id, auth_enrollment_id, method);

ALTER TABLE user_auth.password_credential ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_auth.password_credential
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_auth.password_credential TO app_user;
GRANT SELECT ON user_auth.password_credential TO app_readonly;

CREATE TRIGGER password_credential_touch
    BEFORE UPDATE ON user_auth.password_credential
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION user_auth.forget_oldest_passwords() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM user_auth.password_credential AS p
    USING (
        SELECT o.business_id, o.password_credential_id,
               row_number() OVER (PARTITION BY o.business_id, o.auth_enrollment_id
                                  ORDER BY o.superseded_at DESC, o.set_at DESC,
                                           o.password_credential_id DESC) AS place
        FROM user_auth.password_credential AS o
        WHERE (o.business_id, o.user_account_id, o.auth_enrollment_id)
              IN (SELECT c.business_id, c.user_account_id, c.auth_enrollment_id FROM changed AS c)
            AND NOT o.is_current
    ) AS ranked
    WHERE p.business_id = ranked.business_id
        AND p.password_credential_id = ranked.password_credential_id AND ranked.place > 12;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_auth.forget_oldest_passwords() IS
    'At most 12 superseded passwords of an enrollment are kept.';

CREATE TRIGGER password_credential_forget_inserted
    AFTER INSERT ON user_auth.password_credential
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_auth.forget_oldest_passwords();

CREATE TRIGGER password_credential_forget_updated
    AFTER UPDATE ON user_auth.password_credential
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_auth.forget_oldest_passwords();


CREATE FUNCTION user_auth.set_password(
    account     uuid,
    hash        text,
    algorithm   text,
    parameters  jsonb,
    strength    integer,
    must_change boolean DEFAULT false
) RETURNS uuid
    LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    held   uuid;
    days   integer;
    made   uuid;
BEGIN
    PERFORM FROM user_mgmt.user_account AS a
    WHERE a.business_id = tenant AND a.user_account_id = account
    FOR NO KEY UPDATE;
    UPDATE user_auth.auth_enrollment AS e
    SET status = 'active', confirmed_at = coalesce(e.confirmed_at, now())
    WHERE e.business_id = tenant AND e.user_account_id = account AND e.method = 'password'
        AND e.status IN ('pending', 'active', 'suspended')
    RETURNING e.auth_enrollment_id INTO held;
    IF NOT FOUND THEN
        INSERT INTO user_auth.auth_enrollment AS e
            (business_id, user_account_id, method, status, confirmed_at)
        VALUES (tenant, account, 'password', 'active', now())
        RETURNING e.auth_enrollment_id INTO held;
    END IF;
    SELECT JSON_VALUE(p.settings::jsonb, '$.max_age_days' RETURNING integer) INTO days
    FROM user_auth.auth_method_policy AS p
    WHERE p.business_id = tenant AND p.method = 'password';

    UPDATE user_auth.password_credential AS p
    SET is_current = false, superseded_at = greatest(now(), p.set_at)
    WHERE p.business_id = tenant AND p.user_account_id = account AND p.is_current;
    INSERT INTO user_auth.password_credential AS p
        (business_id, user_account_id, auth_enrollment_id, hash, algorithm, parameters,
         strength_score, must_change, expires_at)
    VALUES (tenant, account, held, hash, algorithm, parameters, strength, must_change,
            now() + days * interval '1 day')
    RETURNING p.password_credential_id INTO made;
    RETURN made;
END
$$;
COMMENT ON FUNCTION user_auth.set_password(uuid, text, text, jsonb, integer, boolean) IS
    'Gives an account of the calling tenant another password, which the caller hashed and compared
     with the old ones; enrolls the method where it was not, and takes it up again where it was
     suspended. It expires after max_age_days of the policy, if that says so.';


CREATE TABLE user_auth.totp_credential (
    business_id        uuid                  NOT NULL,
    totp_credential_id uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id    uuid                  NOT NULL,
    auth_enrollment_id uuid                  NOT NULL,
    method             text                  NOT NULL DEFAULT 'totp',
    secret_ciphertext  bytea                 NOT NULL,
    key_ref            system_core.vault_ref NOT NULL,
    algorithm          text                  NOT NULL DEFAULT 'sha1',
    digits             integer               NOT NULL DEFAULT 6,
    period_seconds     integer               NOT NULL DEFAULT 30,
    issuer_label       text                  NOT NULL,
    last_accepted_step bigint,
    drift_steps        integer               NOT NULL DEFAULT 0,
    confirmed_at       timestamptz,
    created_at         timestamptz           NOT NULL DEFAULT now(),
    updated_at         timestamptz           NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, totp_credential_id),
    UNIQUE (business_id, user_account_id, auth_enrollment_id, method),
    FOREIGN KEY (business_id, auth_enrollment_id, user_account_id, method)
        REFERENCES user_auth.auth_enrollment
            (business_id, auth_enrollment_id, user_account_id, method),
    CONSTRAINT totp_credential_proves_totp CHECK (method = 'totp'),
    CONSTRAINT totp_credential_secret_is_encrypted CHECK (length(secret_ciphertext) >= 44),
    CONSTRAINT totp_credential_algorithm_known CHECK (algorithm IN ('sha1', 'sha256', 'sha512')),
    CONSTRAINT totp_credential_digits_usual CHECK (digits IN (6, 8)),
    CONSTRAINT totp_credential_period_usual CHECK (period_seconds IN (30, 60)),
    CONSTRAINT totp_credential_step_not_negative CHECK (last_accepted_step >= 0),
    CONSTRAINT totp_credential_drift_bounded CHECK (drift_steps BETWEEN -2 AND 2),
    CONSTRAINT totp_credential_accepted_is_confirmed
        CHECK (last_accepted_step IS NULL OR confirmed_at IS NOT NULL)
);

COMMENT ON TABLE user_auth.totp_credential IS
    'The seed of an authenticator app (RFC 6238), encrypted, and how its clock differs.';
COMMENT ON COLUMN user_auth.totp_credential.secret_ciphertext IS
    'AES-GCM: 12 bytes of nonce, the seed of 16 bytes at least, 16 bytes of tag.';
COMMENT ON COLUMN user_auth.totp_credential.key_ref IS 'Where the key that encrypted it lies.';
COMMENT ON COLUMN user_auth.totp_credential.last_accepted_step IS
    'The period, counted from 1970, of the last code that was accepted; an older one is not.';
COMMENT ON COLUMN user_auth.totp_credential.drift_steps IS
    'How many periods the clock of the app was ahead when it last worked.';

ALTER TABLE user_auth.totp_credential ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_auth.totp_credential
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_auth.totp_credential TO app_user;
GRANT SELECT ON user_auth.totp_credential TO app_readonly;

CREATE TRIGGER totp_credential_touch
    BEFORE UPDATE ON user_auth.totp_credential
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION user_auth.refuse_earlier_step() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a code of an earlier step would work again'
        USING ERRCODE = 'check_violation', HINT = 'See user_auth.accept_totp_step().';
END
$$;
COMMENT ON FUNCTION user_auth.refuse_earlier_step() IS
    'The last accepted step only rises, so that a code works once.';

CREATE TRIGGER totp_credential_only_forward
    BEFORE UPDATE OF last_accepted_step ON user_auth.totp_credential
    FOR EACH ROW
    WHEN (OLD.last_accepted_step IS NOT NULL
          AND (NEW.last_accepted_step >= OLD.last_accepted_step) IS NOT TRUE)
    EXECUTE FUNCTION user_auth.refuse_earlier_step();


CREATE FUNCTION user_auth.accept_totp_step(enrollment uuid, step bigint, drift integer DEFAULT 0)
    RETURNS boolean
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE user_auth.totp_credential AS t
    SET last_accepted_step = step, drift_steps = drift,
        confirmed_at = coalesce(t.confirmed_at, now())
    FROM user_auth.auth_enrollment AS e
    WHERE t.business_id = tenant_mgmt.current_business_id() AND t.auth_enrollment_id = enrollment
        AND (t.last_accepted_step < step) IS NOT FALSE
        AND e.business_id = t.business_id AND e.auth_enrollment_id = t.auth_enrollment_id
        AND e.status IN ('pending', 'active');
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION user_auth.accept_totp_step(uuid, bigint, integer) IS
    'Takes the step of a code that was right, of a live enrollment of the calling tenant. False
     where that step or a later one was taken before: the code was seen, and is used again.';


CREATE TABLE user_auth.one_time_code (
    business_id        uuid               NOT NULL,
    one_time_code_id   uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id    uuid               NOT NULL,
    auth_enrollment_id uuid,
    method             text               NOT NULL,
    purpose            text               NOT NULL,
    code_hash          system_core.sha256 NOT NULL,
    sent_to_masked     text               NOT NULL,
    attempt_count      integer            NOT NULL DEFAULT 0,
    max_attempts       integer            NOT NULL DEFAULT 5,
    request_ip         inet,
    invalidated_reason text               NOT NULL DEFAULT 'none',
    issued_at          timestamptz        NOT NULL DEFAULT clock_timestamp(),
    expires_at         timestamptz        NOT NULL,
    consumed_at        timestamptz,
    created_at         timestamptz        NOT NULL DEFAULT now(),
    updated_at         timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, one_time_code_id, issued_at),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, auth_enrollment_id, user_account_id, method)
        REFERENCES user_auth.auth_enrollment
            (business_id, auth_enrollment_id, user_account_id, method),
    CONSTRAINT one_time_code_method_known
        CHECK (method IN ('email_otp', 'sms_otp', 'voice_otp', 'magic_link')),
    CONSTRAINT one_time_code_purpose_known
        CHECK (purpose IN ('sign_in', 'second_factor', 'verify_contact', 'recover', 'step_up',
                           'change_contact')),
    CONSTRAINT one_time_code_receiver_is_masked CHECK (strpos(sent_to_masked, '*') > 0),
    CONSTRAINT one_time_code_expires_after_issue CHECK (expires_at > issued_at),
    CONSTRAINT one_time_code_lives_half_an_hour
        CHECK (expires_at <= issued_at + interval '30 minutes'),
    CONSTRAINT one_time_code_attempts_bounded CHECK (attempt_count BETWEEN 0 AND max_attempts),
    CONSTRAINT one_time_code_max_attempts_few CHECK (max_attempts BETWEEN 1 AND 10),
    CONSTRAINT one_time_code_consumed_in_time CHECK (consumed_at BETWEEN issued_at AND expires_at),
    CONSTRAINT one_time_code_reason_known
        CHECK (invalidated_reason IN ('used', 'expired', 'superseded', 'too_many_attempts',
                                      'none')),
    CONSTRAINT one_time_code_used_has_time
        CHECK ((invalidated_reason = 'used') = (consumed_at IS NOT NULL)),
    CONSTRAINT one_time_code_attempts_ended_it
        CHECK (invalidated_reason <> 'too_many_attempts' OR attempt_count = max_attempts)
) PARTITION BY RANGE (issued_at);

COMMENT ON TABLE user_auth.one_time_code IS
    'A code or link that was sent to an account by mail, text message or call.';
COMMENT ON COLUMN user_auth.one_time_code.code_hash IS
    'HMAC-SHA-256 under a key of the vault: a plain hash of six digits is found by trying.';
COMMENT ON COLUMN user_auth.one_time_code.sent_to_masked IS
    'Enough to recognize where it went, such as a***@example.com.';
COMMENT ON COLUMN user_auth.one_time_code.auth_enrollment_id IS
    'NULL for one that proves a contact or recovers an account.';
COMMENT ON COLUMN user_auth.one_time_code.invalidated_reason IS
    'none while it works, or until the expiry job sees that its time is over.';

-- issue_one_time_code(), redeem_one_time_code(), and FK: the newest code of an account.
CREATE INDEX one_time_code_account_idx
    ON user_auth.one_time_code (business_id, user_account_id, method, purpose, issued_at DESC);

-- FK: the codes of an enrollment.
CREATE INDEX one_time_code_enrollment_idx
    ON user_auth.one_time_code (business_id, user_account_id, auth_enrollment_id, method)
    WHERE auth_enrollment_id IS NOT NULL;

ALTER TABLE user_auth.one_time_code ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_auth.one_time_code
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_auth.one_time_code TO app_user;
GRANT SELECT ON user_auth.one_time_code TO app_readonly;

CREATE TABLE user_auth.one_time_code_default PARTITION OF user_auth.one_time_code DEFAULT;
ALTER TABLE user_auth.one_time_code_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_auth.one_time_code_default
    USING (business_id = tenant_mgmt.current_business_id());
SELECT system_core.create_partitions('user_auth.one_time_code', 'month', behind => 3, ahead => 1);

CREATE TRIGGER one_time_code_touch
    BEFORE UPDATE ON user_auth.one_time_code
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER one_time_code_reason_machine
    BEFORE INSERT OR UPDATE OF invalidated_reason ON user_auth.one_time_code
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('invalidated_reason', '{
        "initial": ["none"],
        "transitions": {
            "none":              ["used", "expired", "superseded", "too_many_attempts"],
            "used":              [],
            "expired":           [],
            "superseded":        [],
            "too_many_attempts": []
        }}');


CREATE FUNCTION user_auth.issue_one_time_code(
    account        uuid,
    method         text,
    purpose        text,
    code_hash      bytea,
    sent_to_masked text,
    ip             inet DEFAULT NULL
) RETURNS uuid
    LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    tenant CONSTANT uuid        := tenant_mgmt.current_business_id();
    moment CONSTANT timestamptz := clock_timestamp();
    signs  CONSTANT boolean     := purpose IN ('sign_in', 'second_factor', 'step_up');
    policy user_auth.auth_method_policy;
    held   uuid;
    last   timestamptz;
    made   uuid;
BEGIN
    SELECT * INTO policy
    FROM user_auth.auth_method_policy AS p
    WHERE p.business_id = tenant AND p.method = method;
    IF NOT FOUND OR signs AND NOT policy.is_enabled THEN
        RAISE EXCEPTION 'method % is not enabled', method
            USING ERRCODE = 'insufficient_privilege', HINT = 'See auth_method_policy.';
    END IF;
    -- One after the other: the account has one live code for a purpose.
    PERFORM FROM user_mgmt.user_account AS a
    WHERE a.business_id = tenant AND a.user_account_id = account
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no account %', account USING ERRCODE = 'no_data_found';
    END IF;
    IF signs THEN
        SELECT e.auth_enrollment_id INTO held
        FROM user_auth.auth_enrollment AS e
        WHERE e.business_id = tenant AND e.user_account_id = account AND e.method = method
            AND e.status = 'active'
        ORDER BY e.is_preferred DESC, e.confirmed_at, e.auth_enrollment_id
        LIMIT 1;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'account % has no active enrollment of %', account, method
                USING ERRCODE = 'insufficient_privilege';
        END IF;
    END IF;

    SELECT max(c.issued_at) INTO last
    FROM user_auth.one_time_code AS c
    WHERE c.business_id = tenant AND c.user_account_id = account AND c.method = method
        AND c.issued_at > moment - policy.cooldown_seconds * interval '1 second';
    IF last IS NOT NULL THEN
        RAISE EXCEPTION 'the last code was sent %, another goes out in %',
            to_char(last AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'),
            last + policy.cooldown_seconds * interval '1 second' - moment
            USING ERRCODE = 'program_limit_exceeded';
    END IF;

    UPDATE user_auth.one_time_code AS c
    SET invalidated_reason = CASE WHEN c.expires_at > moment THEN 'superseded'
                                  ELSE 'expired' END
    WHERE c.business_id = tenant AND c.user_account_id = account AND c.method = method
        AND c.purpose = purpose AND c.invalidated_reason = 'none'
        AND c.issued_at > moment - interval '1 day';
    INSERT INTO user_auth.one_time_code AS c
        (business_id, user_account_id, auth_enrollment_id, method, purpose, code_hash,
         sent_to_masked, request_ip, issued_at, expires_at)
    VALUES (tenant, account, held, method, purpose, code_hash, sent_to_masked, ip, moment,
            moment + policy.code_ttl_seconds * interval '1 second')
    RETURNING c.one_time_code_id INTO made;
    RETURN made;
END
$$;
COMMENT ON FUNCTION user_auth.issue_one_time_code(uuid, text, text, bytea, text, inet) IS
    'Keeps the hash of a code that is about to be sent to an account of the calling tenant, for as
     long as the method''s policy lets it live. Signing in needs the method enrolled; proving a
     contact or recovering an account does not. The code before it for the same purpose no longer
     works; within cooldown_seconds of the last one there is none.';


CREATE FUNCTION user_auth.redeem_one_time_code(
    account uuid, method text, purpose text, code_hash bytea
) RETURNS boolean
    LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    tenant  CONSTANT uuid        := tenant_mgmt.current_business_id();
    moment  CONSTANT timestamptz := clock_timestamp();
    matched boolean;
BEGIN
    UPDATE user_auth.one_time_code AS c
    SET attempt_count = c.attempt_count + 1,
        consumed_at = CASE WHEN c.code_hash = code_hash THEN moment END,
        invalidated_reason = CASE
            WHEN c.code_hash = code_hash THEN 'used'
            WHEN c.attempt_count + 1 = c.max_attempts THEN 'too_many_attempts'
            ELSE 'none' END
    WHERE c.business_id = tenant AND c.user_account_id = account AND c.method = method
        AND c.purpose = purpose AND c.invalidated_reason = 'none'
        AND c.issued_at > moment - interval '30 minutes'
        AND c.expires_at > moment
    RETURNING c.consumed_at IS NOT NULL INTO matched;
    RETURN coalesce(matched, false);
END
$$;
COMMENT ON FUNCTION user_auth.redeem_one_time_code(uuid, text, text, bytea) IS
    'Whether a code is the live one of the calling tenant''s account for a purpose; it works once,
     and after max_attempts that were wrong no longer.';


CREATE TABLE user_auth.push_challenge (
    business_id        uuid               NOT NULL,
    push_challenge_id  uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id    uuid               NOT NULL,
    auth_enrollment_id uuid               NOT NULL,
    user_device_id     uuid               NOT NULL,
    method             text               NOT NULL DEFAULT 'push_approval',
    challenge_hash     system_core.sha256 NOT NULL,
    match_number       integer            NOT NULL,
    purpose            text               NOT NULL DEFAULT 'sign_in',
    state              text               NOT NULL DEFAULT 'sent',
    app_attestation    text               NOT NULL DEFAULT 'unavailable',
    request_ip         inet,
    request_location   text,
    requested_at       timestamptz        NOT NULL DEFAULT clock_timestamp(),
    expires_at         timestamptz        NOT NULL,
    answered_at        timestamptz,
    created_at         timestamptz        NOT NULL DEFAULT now(),
    updated_at         timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, push_challenge_id, requested_at),
    FOREIGN KEY (business_id, auth_enrollment_id, user_account_id, method)
        REFERENCES user_auth.auth_enrollment
            (business_id, auth_enrollment_id, user_account_id, method),
    FOREIGN KEY (business_id, user_account_id, user_device_id)
        REFERENCES user_auth.user_device (business_id, user_account_id, user_device_id),
    CONSTRAINT push_challenge_proves_push_approval CHECK (method = 'push_approval'),
    CONSTRAINT push_challenge_two_digits CHECK (match_number BETWEEN 10 AND 99),
    CONSTRAINT push_challenge_purpose_known
        CHECK (purpose IN ('sign_in', 'step_up', 'transaction')),
    CONSTRAINT push_challenge_state_known
        CHECK (state IN ('sent', 'approved', 'denied', 'expired', 'reported_fraud')),
    CONSTRAINT push_challenge_app_attestation_known
        CHECK (app_attestation IN ('passed', 'failed', 'unavailable')),
    CONSTRAINT push_challenge_expires_after_request CHECK (expires_at > requested_at),
    CONSTRAINT push_challenge_answered_has_time
        CHECK ((state IN ('approved', 'denied', 'reported_fraud')) = (answered_at IS NOT NULL)),
    CONSTRAINT push_challenge_answered_after_request CHECK (answered_at >= requested_at),
    CONSTRAINT push_challenge_approved_in_time
        CHECK (state <> 'approved' OR answered_at <= expires_at),
    CONSTRAINT push_challenge_approved_by_true_app
        CHECK (state <> 'approved' OR app_attestation <> 'failed')
) PARTITION BY RANGE (requested_at);

COMMENT ON TABLE user_auth.push_challenge IS
    'A request that an enrolled phone is asked to approve, by the number shown where it came from.';
COMMENT ON COLUMN user_auth.push_challenge.match_number IS
    'Shown on the screen that asks, entered on the phone: who did not ask cannot approve.';
COMMENT ON COLUMN user_auth.push_challenge.app_attestation IS
    'Whether the answering app proved to be genuine (Play Integrity, App Attest).';

-- Challenges of an account in the last minutes, against fatigue; FK with the enrollment below.
CREATE INDEX push_challenge_recent_idx
    ON user_auth.push_challenge (business_id, user_account_id, requested_at DESC);

-- FK: the challenges of an enrollment.
CREATE INDEX push_challenge_enrollment_idx
    ON user_auth.push_challenge (business_id, user_account_id, auth_enrollment_id, method);

-- FK: the challenges sent to a device.
CREATE INDEX push_challenge_device_idx
    ON user_auth.push_challenge (business_id, user_account_id, user_device_id);

ALTER TABLE user_auth.push_challenge ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_auth.push_challenge
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_auth.push_challenge TO app_user;
GRANT SELECT ON user_auth.push_challenge TO app_readonly;

CREATE TABLE user_auth.push_challenge_default PARTITION OF user_auth.push_challenge DEFAULT;
ALTER TABLE user_auth.push_challenge_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_auth.push_challenge_default
    USING (business_id = tenant_mgmt.current_business_id());
SELECT system_core.create_partitions('user_auth.push_challenge', 'month', behind => 3, ahead => 1);

CREATE TRIGGER push_challenge_touch
    BEFORE UPDATE ON user_auth.push_challenge
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER push_challenge_state_machine
    BEFORE INSERT OR UPDATE OF state ON user_auth.push_challenge
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["sent"],
        "transitions": {
            "sent":           ["approved", "denied", "expired", "reported_fraud"],
            "denied":         ["reported_fraud"],
            "expired":        ["reported_fraud"],
            "approved":       [],
            "reported_fraud": []
        }}');

CREATE FUNCTION user_auth.limit_push_challenges() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    since CONSTANT timestamptz := clock_timestamp() - interval '10 minutes';
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    IF EXISTS (
        SELECT FROM sent AS s
        JOIN user_auth.user_device AS d
            ON d.business_id = s.business_id AND d.user_account_id = s.user_account_id
                AND d.user_device_id = s.user_device_id
        WHERE d.trust = 'blocked') THEN
        RAISE EXCEPTION 'a blocked device approves nothing'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM FROM user_mgmt.user_account AS a
    WHERE a.business_id = tenant_mgmt.current_business_id()
        AND a.user_account_id IN (SELECT s.user_account_id FROM sent AS s)
    ORDER BY a.user_account_id
    FOR NO KEY UPDATE;
    IF EXISTS (
        SELECT FROM user_auth.push_challenge AS c
        WHERE c.business_id = tenant_mgmt.current_business_id()
            AND c.user_account_id IN (SELECT s.user_account_id FROM sent AS s)
            AND c.requested_at > since
            AND c.state IN ('sent', 'expired')
        GROUP BY c.user_account_id
        HAVING count(*) > 3) THEN
        RAISE EXCEPTION 'three challenges of the last 10 minutes were not answered'
            USING ERRCODE = 'program_limit_exceeded', HINT = 'Offer another method.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_auth.limit_push_challenges() IS
    'At most three challenges within 10 minutes that nobody answered, lest somebody approves the
     next to have peace; and none to a blocked device.';

CREATE TRIGGER push_challenge_limit
    AFTER INSERT ON user_auth.push_challenge
    REFERENCING NEW TABLE AS sent
    FOR EACH STATEMENT EXECUTE FUNCTION user_auth.limit_push_challenges();

CREATE FUNCTION user_auth.report_push_fraud() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    INSERT INTO user_analytics.behavior_anomaly
        (business_id, user_account_id, kind, severity, evidence)
    SELECT c.business_id, c.user_account_id, 'push_fatigue', 'high',
           jsonb_agg(jsonb_build_object('table', 'user_auth.push_challenge',
                                        'id', c.push_challenge_id))
    FROM changed AS c
    JOIN before AS b
        ON b.business_id = c.business_id AND b.push_challenge_id = c.push_challenge_id
    WHERE c.state = 'reported_fraud' AND b.state <> 'reported_fraud'
    GROUP BY c.business_id, c.user_account_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_auth.report_push_fraud() IS
    'A challenge that its receiver did not ask for is an anomaly: somebody knows the password.';

CREATE TRIGGER push_challenge_fraud
    AFTER UPDATE ON user_auth.push_challenge
    REFERENCING OLD TABLE AS before NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_auth.report_push_fraud();


CREATE TABLE user_auth.recovery_code (
    business_id      uuid               NOT NULL,
    recovery_code_id uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id  uuid               NOT NULL,
    batch_no         integer            NOT NULL,
    position         integer            NOT NULL,
    code_hash        system_core.sha256 NOT NULL,
    used_ip          inet,
    generated_at     timestamptz        NOT NULL DEFAULT now(),
    used_at          timestamptz,
    invalidated_at   timestamptz,
    created_at       timestamptz        NOT NULL DEFAULT now(),
    updated_at       timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, recovery_code_id),
    UNIQUE (business_id, user_account_id, batch_no, position),
    UNIQUE (business_id, user_account_id, code_hash),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT recovery_code_batch_positive CHECK (batch_no >= 1),
    CONSTRAINT recovery_code_position_bounded CHECK (position BETWEEN 1 AND 10),
    CONSTRAINT recovery_code_used_or_invalidated
        CHECK (used_at IS NULL OR invalidated_at IS NULL),
    CONSTRAINT recovery_code_used_after_generation CHECK (used_at >= generated_at),
    CONSTRAINT recovery_code_invalidated_after_generation CHECK (invalidated_at >= generated_at),
    CONSTRAINT recovery_code_address_of_use CHECK (used_ip IS NULL OR used_at IS NOT NULL)
);

COMMENT ON TABLE user_auth.recovery_code IS
    'A code on paper that lets an account in once when its methods are lost.';
COMMENT ON COLUMN user_auth.recovery_code.code_hash IS
    'HMAC-SHA-256 under a key of the vault; the code itself was shown once.';
COMMENT ON COLUMN user_auth.recovery_code.batch_no IS
    'The codes that were made together; the next batch invalidates them.';

ALTER TABLE user_auth.recovery_code ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_auth.recovery_code
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_auth.recovery_code TO app_user;
GRANT SELECT ON user_auth.recovery_code TO app_readonly;

CREATE TRIGGER recovery_code_touch
    BEFORE UPDATE ON user_auth.recovery_code
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION user_auth.invalidate_older_codes() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE user_auth.recovery_code AS r
    SET invalidated_at = greatest(r.generated_at, newest.generated_at)
    FROM (SELECT DISTINCT ON (g.business_id, g.user_account_id)
                 g.business_id, g.user_account_id, g.batch_no, g.generated_at
          FROM generated AS g
          ORDER BY g.business_id, g.user_account_id, g.batch_no DESC, g.generated_at) AS newest
    WHERE r.business_id = newest.business_id AND r.user_account_id = newest.user_account_id
        AND r.batch_no < newest.batch_no AND r.used_at IS NULL AND r.invalidated_at IS NULL;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_auth.invalidate_older_codes() IS
    'Of an account only the codes of the newest batch work.';

CREATE TRIGGER recovery_code_new_batch
    AFTER INSERT ON user_auth.recovery_code
    REFERENCING NEW TABLE AS generated
    FOR EACH STATEMENT EXECUTE FUNCTION user_auth.invalidate_older_codes();


CREATE FUNCTION user_auth.replace_recovery_codes(account uuid, code_hashes bytea[])
    RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    batch  integer;
BEGIN
    PERFORM FROM user_mgmt.user_account AS a
    WHERE a.business_id = tenant AND a.user_account_id = account
    FOR NO KEY UPDATE;
    SELECT coalesce(max(r.batch_no), 0) + 1 INTO batch
    FROM user_auth.recovery_code AS r
    WHERE r.business_id = tenant AND r.user_account_id = account;
    INSERT INTO user_auth.recovery_code
        (business_id, user_account_id, batch_no, position, code_hash)
    SELECT tenant, account, batch, c.place, c.hash
    FROM unnest(code_hashes) WITH ORDINALITY AS c (hash, place);
    RETURN batch;
END
$$;
COMMENT ON FUNCTION user_auth.replace_recovery_codes(uuid, bytea[]) IS
    'Keeps the hashes of up to ten new codes of the calling tenant''s account, and returns the
     number of their batch; older codes no longer work.';


CREATE FUNCTION user_auth.redeem_recovery_code(account uuid, code_hash bytea, ip inet DEFAULT NULL)
    RETURNS boolean
    LANGUAGE plpgsql AS $$
#variable_conflict use_variable
BEGIN
    UPDATE user_auth.recovery_code AS r
    SET used_at = now(), used_ip = ip
    WHERE r.business_id = tenant_mgmt.current_business_id() AND r.user_account_id = account
        AND r.code_hash = code_hash AND r.used_at IS NULL AND r.invalidated_at IS NULL;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION user_auth.redeem_recovery_code(uuid, bytea, inet) IS
    'Whether a code of the calling tenant''s account works; it does so once.';
