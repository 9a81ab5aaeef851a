/*
 * Signing in: attempts, lockouts, what sessions do, and the tokens and keys that stand for them.
 *
 * Every try is an auth_attempt; too many that fail open an account_lockout. A try that succeeds
 * opens a user_session (10_session.sql), whose life is told by session_event and prolonged by
 * refresh_token: a family of tokens of which each generation replaces the one before. api_key lets
 * programs in without a session.
 *
 * The order of calls is begin_sign_in(), record_attempt() for each factor, open_session(), then
 * rotate_refresh_token() for as long as it lasts. What the tenant allows and what an account has
 * enrolled is in 20_method.sql.
 */

-- The method that opened a session is of the same account; auth_enrollment comes after the session.
ALTER TABLE user_auth.user_session
    ADD FOREIGN KEY (business_id, user_account_id, first_method_id)
        REFERENCES user_auth.auth_enrollment (business_id, user_account_id, auth_enrollment_id);


CREATE TABLE user_auth.session_event (
    business_id      uuid                    NOT NULL,
    session_event_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    user_session_id  uuid                    NOT NULL,
    event_kind       text                    NOT NULL,
    assurance_before text,
    assurance_after  text,
    ip_address       inet,
    country_code     system_core.country,
    request_id       text,
    details          system_core.json_object NOT NULL DEFAULT '{}',
    occurred_at      timestamptz             NOT NULL DEFAULT clock_timestamp(),
    created_at       timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, session_event_id, occurred_at),
    FOREIGN KEY (business_id, user_session_id)
        REFERENCES user_auth.user_session (business_id, user_session_id),
    CONSTRAINT session_event_kind_known
        CHECK (event_kind IN ('refresh', 'step_up', 'ip_changed', 'device_changed',
                              'privilege_raised', 'impersonation_started', 'impersonation_ended',
                              'sensitive_action', 'timeout_warning')),
    CONSTRAINT session_event_assurance_before_known
        CHECK (assurance_before IN ('aal1', 'aal2', 'aal3')),
    CONSTRAINT session_event_assurance_after_known
        CHECK (assurance_after IN ('aal1', 'aal2', 'aal3')),
    CONSTRAINT session_event_step_up_names_level
        CHECK (event_kind <> 'step_up' OR assurance_after IS NOT NULL),
    CONSTRAINT session_event_step_up_raises
        CHECK (event_kind <> 'step_up' OR assurance_after >= assurance_before),
    CONSTRAINT session_event_impersonation_is_granted
        CHECK (event_kind NOT IN ('impersonation_started', 'impersonation_ended')
               OR details ? 'emergency_access_id' OR details ? 'support_grant_ref')
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE user_auth.session_event IS
    'What happened in a session: more proof, another network, a sensitive action; append only.';
COMMENT ON COLUMN user_auth.session_event.details IS
    'Of an impersonation emergency_access_id or support_grant_ref, which allowed it.';

-- FK: what happened in a session, in order.
CREATE INDEX session_event_session_idx
    ON user_auth.session_event (business_id, user_session_id, occurred_at);

ALTER TABLE user_auth.session_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_auth.session_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON user_auth.session_event TO app_user;
GRANT SELECT ON user_auth.session_event TO app_readonly;

CREATE TABLE user_auth.session_event_default PARTITION OF user_auth.session_event DEFAULT;
ALTER TABLE user_auth.session_event_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_auth.session_event_default
    USING (business_id = tenant_mgmt.current_business_id());
SELECT system_core.create_partitions(
    'user_auth.session_event', 'month', behind => 3, ahead => 1);

CREATE TRIGGER session_event_append_only
    BEFORE UPDATE OR DELETE ON user_auth.session_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('user_auth.session_event');


CREATE TABLE user_auth.refresh_token (
    business_id         uuid               NOT NULL,
    refresh_token_id    uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    user_session_id     uuid               NOT NULL,
    token_hash          system_core.sha256 NOT NULL,
    family_key          uuid               NOT NULL,
    generation          integer            NOT NULL DEFAULT 1,
    previous_generation integer            GENERATED ALWAYS AS (nullif(generation - 1, 0)) STORED,
    replaced_by_hash    system_core.sha256,
    scopes              text[]             NOT NULL DEFAULT '{}',
    issued_at           timestamptz        NOT NULL DEFAULT now(),
    expires_at          timestamptz        NOT NULL,
    used_at             timestamptz,
    revoked_at          timestamptz,
    reuse_detected_at   timestamptz,
    created_at          timestamptz        NOT NULL DEFAULT now(),
    updated_at          timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, refresh_token_id),
    UNIQUE (business_id, token_hash),
    UNIQUE (business_id, family_key, generation),
    FOREIGN KEY (business_id, user_session_id)
        REFERENCES user_auth.user_session (business_id, user_session_id),
    -- Generations rise by one: each but the first has its predecessor.
    FOREIGN KEY (business_id, family_key, previous_generation)
        REFERENCES user_auth.refresh_token (business_id, family_key, generation),
    CONSTRAINT refresh_token_generation_positive CHECK (generation >= 1),
    CONSTRAINT refresh_token_expires_after_issue CHECK (expires_at > issued_at),
    CONSTRAINT refresh_token_used_in_time CHECK (used_at BETWEEN issued_at AND expires_at),
    CONSTRAINT refresh_token_replaced_when_used
        CHECK ((used_at IS NULL) = (replaced_by_hash IS NULL)),
    CONSTRAINT refresh_token_revoked_after_issue CHECK (revoked_at >= issued_at),
    CONSTRAINT refresh_token_only_used_is_reused
        CHECK (reuse_detected_at IS NULL OR used_at IS NOT NULL AND reuse_detected_at >= used_at)
);

COMMENT ON TABLE user_auth.refresh_token IS
    'A token that prolongs a session once; used twice, it was stolen, and its family ends.';
COMMENT ON COLUMN user_auth.refresh_token.token_hash IS
    'SHA-256 of the token; the token itself is kept nowhere.';
COMMENT ON COLUMN user_auth.refresh_token.family_key IS
    'The tokens that came one from the other; they belong to one session.';

-- FK: the tokens of a session, to be revoked with it.
CREATE INDEX refresh_token_session_idx
    ON user_auth.refresh_token (business_id, user_session_id);

-- FK: the generation after.
CREATE INDEX refresh_token_previous_idx
    ON user_auth.refresh_token (business_id, family_key, previous_generation)
    WHERE previous_generation IS NOT NULL;

ALTER TABLE user_auth.refresh_token ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_auth.refresh_token
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_auth.refresh_token TO app_user;
GRANT SELECT ON user_auth.refresh_token TO app_readonly;

CREATE TRIGGER refresh_token_touch
    BEFORE UPDATE ON user_auth.refresh_token
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION user_auth.require_one_session_of_family() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM issued AS i
               JOIN user_auth.refresh_token AS t
                   ON t.business_id = i.business_id AND t.family_key = i.family_key
               WHERE t.user_session_id <> i.user_session_id) THEN
        RAISE EXCEPTION 'a family of refresh tokens belongs to one session'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_auth.require_one_session_of_family() IS
    'A token of another session cannot join a family, nor prolong it.';

CREATE TRIGGER refresh_token_family
    AFTER INSERT ON user_auth.refresh_token
    REFERENCING NEW TABLE AS issued
    FOR EACH STATEMENT EXECUTE FUNCTION user_auth.require_one_session_of_family();

CREATE FUNCTION user_auth.revoke_reused_family() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- The update below fires this again, for tokens that were not used twice.
    IF NOT EXISTS (SELECT FROM changed AS c WHERE c.reuse_detected_at IS NOT NULL) THEN
        RETURN NULL;
    END IF;
    UPDATE user_auth.user_session AS s
    SET state = 'revoked', end_reason = 'risk', ended_at = greatest(now(), s.last_activity_at)
    FROM changed AS c
    WHERE c.reuse_detected_at IS NOT NULL
        AND s.business_id = c.business_id AND s.user_session_id = c.user_session_id
        AND s.state IN ('active', 'stepped_down');
    UPDATE user_auth.refresh_token AS t
    SET revoked_at = r.reuse_detected_at
    FROM (SELECT c.business_id, c.family_key, max(c.reuse_detected_at) AS reuse_detected_at
          FROM changed AS c WHERE c.reuse_detected_at IS NOT NULL
          GROUP BY c.business_id, c.family_key) AS r
    WHERE t.business_id = r.business_id AND t.family_key = r.family_key
        AND t.revoked_at IS NULL;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_auth.revoke_reused_family() IS
    'A token that was used twice is in two hands: its whole family and its session end.';

CREATE TRIGGER refresh_token_reuse_inserted
    AFTER INSERT ON user_auth.refresh_token
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_auth.revoke_reused_family();

CREATE TRIGGER refresh_token_reuse_updated
    AFTER UPDATE ON user_auth.refresh_token
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_auth.revoke_reused_family();


CREATE FUNCTION user_auth.revoke_tokens_of_ended() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE user_auth.refresh_token AS t
    SET revoked_at = greatest(s.ended_at, t.issued_at)
    FROM changed AS s
    WHERE s.ended_at IS NOT NULL
        AND t.business_id = s.business_id AND t.user_session_id = s.user_session_id
        AND t.revoked_at IS NULL AND t.used_at IS NULL;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_auth.revoke_tokens_of_ended() IS
    'With a session ends the token that would have prolonged it.';

CREATE TRIGGER user_session_revoke_tokens
    AFTER UPDATE ON user_auth.user_session
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_auth.revoke_tokens_of_ended();


CREATE TABLE user_auth.auth_attempt (
    business_id      uuid                     NOT NULL,
    auth_attempt_id  uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id  uuid,
    user_device_id   uuid,
    flow_key         uuid                     NOT NULL,
    identifier_hash  system_core.sha256       NOT NULL,
    method           text                     NOT NULL,
    result           text                     NOT NULL,
    is_second_factor boolean                  NOT NULL DEFAULT false,
    ip_address       inet,
    asn              bigint,
    country_code     system_core.country,
    user_agent       text,
    risk_points      system_core.score        NOT NULL DEFAULT 0,
    latency_ms       system_core.milliseconds NOT NULL DEFAULT 0,
    attempted_at     timestamptz              NOT NULL DEFAULT clock_timestamp(),
    created_at       timestamptz              NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, auth_attempt_id, attempted_at),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, user_account_id, user_device_id)
        REFERENCES user_auth.user_device (business_id, user_account_id, user_device_id),
    CONSTRAINT auth_attempt_method_known
        CHECK (method IN ('password', 'email_otp', 'sms_otp', 'voice_otp', 'magic_link', 'totp',
                          'push_approval', 'passkey', 'security_key', 'biometric',
                          'oidc_federation', 'saml_sso', 'ldap_directory', 'client_certificate',
                          'recovery_code')),
    CONSTRAINT auth_attempt_result_known
        CHECK (result IN ('success', 'wrong_secret', 'unknown_user', 'locked', 'expired',
                          'mfa_required', 'mfa_failed', 'blocked_by_risk', 'blocked_by_policy')),
    CONSTRAINT auth_attempt_only_unknown_has_no_account
        CHECK ((result = 'unknown_user') = (user_account_id IS NULL)),
    CONSTRAINT auth_attempt_device_of_account
        CHECK (user_account_id IS NOT NULL OR user_device_id IS NULL),
    CONSTRAINT auth_attempt_mfa_failed_is_second
        CHECK (result <> 'mfa_failed' OR is_second_factor),
    CONSTRAINT auth_attempt_mfa_required_is_first
        CHECK (result <> 'mfa_required' OR NOT is_second_factor),
    CONSTRAINT auth_attempt_risk_points_bounded CHECK (risk_points BETWEEN 0 AND 100),
    CONSTRAINT auth_attempt_asn_32_bits CHECK (asn BETWEEN 0 AND 4294967295)
) PARTITION BY RANGE (attempted_at);

COMMENT ON TABLE user_auth.auth_attempt IS
    'One try of one factor, whatever came of it; append only.';
COMMENT ON COLUMN user_auth.auth_attempt.flow_key IS
    'The sign-in that it is a step of, as begin_sign_in() named it.';
COMMENT ON COLUMN user_auth.auth_attempt.identifier_hash IS
    'What was typed as name or address, hashed by identifier_hash(): people type passwords there.';
COMMENT ON COLUMN user_auth.auth_attempt.asn IS
    'The network (autonomous system) of the address: stuffing comes from few of them.';
COMMENT ON COLUMN user_auth.auth_attempt.result IS
    'mfa_required is a first factor that was right and is not enough.';

-- failed_attempt_window, record_attempt(): the last tries with an identifier.
CREATE INDEX auth_attempt_identifier_idx
    ON user_auth.auth_attempt (business_id, identifier_hash, attempted_at);

-- failed_attempt_window, begin_sign_in(): the last failures from an address. Who shares an address
-- signs in from it all day, so what succeeded is not in it.
CREATE INDEX auth_attempt_address_idx
    ON user_auth.auth_attempt (business_id, ip_address, attempted_at)
    WHERE result IN ('wrong_secret', 'unknown_user', 'mfa_failed');

-- FK: the tries of an account; score_user() counts the last.
CREATE INDEX auth_attempt_account_idx
    ON user_auth.auth_attempt (business_id, user_account_id, attempted_at)
    WHERE user_account_id IS NOT NULL;

-- FK: the tries from a device.
CREATE INDEX auth_attempt_device_idx
    ON user_auth.auth_attempt (business_id, user_account_id, user_device_id)
    WHERE user_device_id IS NOT NULL;

ALTER TABLE user_auth.auth_attempt ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_auth.auth_attempt
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON user_auth.auth_attempt TO app_user;
GRANT SELECT ON user_auth.auth_attempt TO app_readonly;

CREATE TABLE user_auth.auth_attempt_default PARTITION OF user_auth.auth_attempt DEFAULT;
ALTER TABLE user_auth.auth_attempt_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_auth.auth_attempt_default
    USING (business_id = tenant_mgmt.current_business_id());
SELECT system_core.create_partitions(
    'user_auth.auth_attempt', 'month', behind => 3, ahead => 1);

CREATE TRIGGER auth_attempt_append_only
    BEFORE UPDATE OR DELETE ON user_auth.auth_attempt
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('user_auth.auth_attempt');


CREATE TABLE user_auth.account_lockout (
    business_id               uuid        NOT NULL,
    account_lockout_id        uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id           uuid        NOT NULL,
    lifted_by_user_account_id uuid,
    reason                    text        NOT NULL,
    failure_count             integer     NOT NULL DEFAULT 0,
    source_ip                 inet,
    lift_method               text,
    locked_at                 timestamptz NOT NULL DEFAULT now(),
    locked_until              timestamptz,
    lifted_at                 timestamptz,
    notified_at               timestamptz,
    created_at                timestamptz NOT NULL DEFAULT now(),
    updated_at                timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, account_lockout_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, lifted_by_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT account_lockout_reason_known
        CHECK (reason IN ('too_many_failures', 'credential_stuffing', 'impossible_travel', 'admin',
                          'compromised_password', 'token_reuse', 'risk')),
    CONSTRAINT account_lockout_lift_method_known
        CHECK (lift_method IN ('expiry', 'admin', 'recovery', 'support')),
    CONSTRAINT account_lockout_failures_not_negative CHECK (failure_count >= 0),
    CONSTRAINT account_lockout_until_after_start CHECK (locked_until > locked_at),
    CONSTRAINT account_lockout_only_manual_has_no_end
        CHECK (reason = 'admin' OR locked_until IS NOT NULL),
    CONSTRAINT account_lockout_lifted_has_method
        CHECK ((lifted_at IS NULL) = (lift_method IS NULL)),
    CONSTRAINT account_lockout_lifted_after_start CHECK (lifted_at >= locked_at),
    CONSTRAINT account_lockout_expires_at_its_end
        CHECK (lift_method <> 'expiry' OR locked_until IS NOT NULL AND lifted_at >= locked_until),
    CONSTRAINT account_lockout_lifter_is_named
        CHECK (lift_method NOT IN ('admin', 'support') OR lifted_by_user_account_id IS NOT NULL),
    CONSTRAINT account_lockout_nobody_lifts_own
        CHECK (lift_method NOT IN ('admin', 'support')
               OR lifted_by_user_account_id <> user_account_id)
);

COMMENT ON TABLE user_auth.account_lockout IS
    'A time in which an account cannot sign in, and how it ended.';
COMMENT ON COLUMN user_auth.account_lockout.locked_until IS
    'After this it no longer holds, lifted or not; NULL is until somebody lifts it.';
COMMENT ON COLUMN user_auth.account_lockout.reason IS
    'risk is a critical score whose strongest factor is none of the others.';

-- One open lockout per account; sign_in_start looks it up.
CREATE UNIQUE INDEX account_lockout_open_idx
    ON user_auth.account_lockout (business_id, user_account_id)
    WHERE lifted_at IS NULL;

-- FK: the lockouts of an account, newest first; open_lockout() counts the last day's.
CREATE INDEX account_lockout_account_idx
    ON user_auth.account_lockout (business_id, user_account_id, locked_at DESC);

-- FK: whom somebody let in again.
CREATE INDEX account_lockout_lifter_idx
    ON user_auth.account_lockout (business_id, lifted_by_user_account_id)
    WHERE lifted_by_user_account_id IS NOT NULL;

ALTER TABLE user_auth.account_lockout ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_auth.account_lockout
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_auth.account_lockout TO app_user;
GRANT SELECT ON user_auth.account_lockout TO app_readonly;

CREATE TRIGGER account_lockout_touch
    BEFORE UPDATE ON user_auth.account_lockout
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION user_auth.end_sessions_of_locked() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    UPDATE user_auth.user_session AS s
    SET state = 'revoked', end_reason = CASE l.reason WHEN 'admin' THEN 'admin' ELSE 'risk' END,
        ended_at = greatest(now(), s.last_activity_at)
    FROM locked AS l
    WHERE l.lifted_at IS NULL AND l.reason NOT IN ('too_many_failures', 'credential_stuffing')
        AND s.business_id = l.business_id AND s.user_account_id = l.user_account_id
        AND s.state IN ('active', 'stepped_down');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_auth.end_sessions_of_locked() IS
    'Who is locked out for what they did is signed out. Not for failures: a stranger who guesses
     at the door must not be able to throw out the owner.';

CREATE TRIGGER account_lockout_end_sessions
    AFTER INSERT ON user_auth.account_lockout
    REFERENCING NEW TABLE AS locked
    FOR EACH STATEMENT EXECUTE FUNCTION user_auth.end_sessions_of_locked();


CREATE TABLE user_auth.api_key (
    business_id           uuid               NOT NULL,
    api_key_id            uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    owner_user_account_id uuid               NOT NULL,
    service_account_id    uuid,
    key_prefix            system_core.code   NOT NULL,
    key_hash              system_core.sha256 NOT NULL,
    name                  text               NOT NULL,
    scopes                text[]             NOT NULL,
    allowed_ip_ranges     cidr[]             NOT NULL DEFAULT '{}',
    rate_limit_per_minute integer            NOT NULL DEFAULT 600,
    status                text               NOT NULL DEFAULT 'active',
    rotated_from_prefix   system_core.code,
    revoked_reason        text,
    issued_at             timestamptz        NOT NULL DEFAULT now(),
    expires_at            timestamptz        NOT NULL,
    last_used_at          timestamptz,
    created_at            timestamptz        NOT NULL DEFAULT now(),
    updated_at            timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, api_key_id),
    UNIQUE (business_id, key_prefix),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, service_account_id)
        REFERENCES user_mgmt.service_account (business_id, service_account_id),
    CONSTRAINT api_key_status_known
        CHECK (status IN ('active', 'rotating', 'revoked', 'expired')),
    CONSTRAINT api_key_has_scopes CHECK (cardinality(scopes) > 0),
    CONSTRAINT api_key_rate_limit_positive CHECK (rate_limit_per_minute > 0),
    CONSTRAINT api_key_expires_after_issue CHECK (expires_at > issued_at),
    CONSTRAINT api_key_lives_a_year_at_most
        CHECK (expires_at <= issued_at + interval '8784 hours'),
    CONSTRAINT api_key_used_after_issue CHECK (last_used_at >= issued_at),
    CONSTRAINT api_key_replaces_another CHECK (rotated_from_prefix <> key_prefix),
    CONSTRAINT api_key_revoked_has_reason
        CHECK ((status = 'revoked') = (revoked_reason IS NOT NULL))
);

COMMENT ON TABLE user_auth.api_key IS
    'A key by which a program of a service account, or of a user, calls the API.';
COMMENT ON COLUMN user_auth.api_key.key_prefix IS
    'The first characters of the key, shown in lists and looked up; the rest is only hashed.';
COMMENT ON COLUMN user_auth.api_key.scopes IS
    'Codes of permissions, each of which the owner, or the service account, has too.';
COMMENT ON COLUMN user_auth.api_key.status IS
    'A rotating key still works while its successor is brought out.';
COMMENT ON COLUMN user_auth.api_key.expires_at IS
    'At most a year, 366 days of 24 hours, after it was issued.';
COMMENT ON COLUMN user_auth.api_key.allowed_ip_ranges IS 'Empty for any address.';

-- FK: the keys of a person, to be revoked when they leave.
CREATE INDEX api_key_owner_idx
    ON user_auth.api_key (business_id, owner_user_account_id);

-- FK: the keys of a service account.
CREATE INDEX api_key_service_account_idx
    ON user_auth.api_key (business_id, service_account_id)
    WHERE service_account_id IS NOT NULL;

ALTER TABLE user_auth.api_key ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_auth.api_key
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_auth.api_key TO app_user;
GRANT SELECT ON user_auth.api_key TO app_readonly;

CREATE TRIGGER api_key_touch
    BEFORE UPDATE ON user_auth.api_key
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER api_key_status_machine
    BEFORE INSERT OR UPDATE OF status ON user_auth.api_key
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["active"],
        "transitions": {
            "active":   ["rotating", "revoked", "expired"],
            "rotating": ["active", "revoked", "expired"],
            "revoked":  [],
            "expired":  []
        }}');

CREATE FUNCTION user_auth.require_scopes_of_owner() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    beyond text;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    SELECT string_agg(s.scope, ', ' ORDER BY s.scope) INTO beyond
    FROM unnest(NEW.scopes) AS s (scope)
    WHERE NOT EXISTS (
        SELECT FROM user_rbac.effective_permissions(
            coalesce(NEW.service_account_id, NEW.owner_user_account_id)) AS p
        WHERE p.permission_code = s.scope AND p.effect <> 'deny');
    IF beyond IS NOT NULL THEN
        RAISE EXCEPTION 'key % would do what its owner may not: %', NEW.key_prefix, beyond
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'A key has at most the permissions of its account.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION user_auth.require_scopes_of_owner() IS
    'A key is never stronger than the account it acts for, the service account''s if it has one.
     What the account loses later is refused when the key is used.';

CREATE TRIGGER api_key_scopes
    BEFORE INSERT OR UPDATE OF scopes, owner_user_account_id, service_account_id
    ON user_auth.api_key
    FOR EACH ROW EXECUTE FUNCTION user_auth.require_scopes_of_owner();


CREATE FUNCTION user_auth.identifier_hash(identifier text) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN sha256(convert_to(
        tenant_mgmt.current_business_id()::text || ':' || lower(btrim(identifier)), 'UTF8'));
COMMENT ON FUNCTION user_auth.identifier_hash(text) IS
    'The hash under which tries with an identifier are kept: the same for spellings of it, and
     another in every business.';


CREATE FUNCTION user_auth.find_account(identifier text) RETURNS user_mgmt.user_account
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT a.*
    FROM user_mgmt.user_account AS a
    WHERE a.business_id = tenant_mgmt.current_business_id() AND a.status <> 'anonymized'
        AND (a.email_normalized = lower(btrim(identifier)) OR a.username = btrim(identifier))
    -- A name may be somebody else's address: the address counts.
    ORDER BY (a.email_normalized = lower(btrim(identifier))) DESC
    LIMIT 1;
END;
COMMENT ON FUNCTION user_auth.find_account(text) IS
    'The calling tenant''s account with an address or a user name; NULL where there is none.';


CREATE FUNCTION user_auth.is_locked_out(account uuid) RETURNS boolean
    LANGUAGE sql STABLE
    RETURN EXISTS (
        SELECT FROM user_auth.account_lockout AS l
        WHERE l.business_id = tenant_mgmt.current_business_id() AND l.user_account_id = account
            AND l.lifted_at IS NULL AND (l.locked_until > now()) IS NOT FALSE);
COMMENT ON FUNCTION user_auth.is_locked_out(uuid) IS
    'Whether a lockout of the calling tenant''s account holds now.';


CREATE FUNCTION user_auth.open_lockout(
    account uuid, reason text, failures integer DEFAULT 0, ip inet DEFAULT NULL
) RETURNS boolean
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    before integer;
    opened boolean;
BEGIN
    UPDATE user_auth.account_lockout AS l
    SET lifted_at = now(), lift_method = 'expiry'
    WHERE l.business_id = tenant AND l.user_account_id = account
        AND l.lifted_at IS NULL AND l.locked_until <= now();
    SELECT count(*) INTO before
    FROM user_auth.account_lockout AS l
    WHERE l.business_id = tenant AND l.user_account_id = account
        AND l.locked_at > now() - interval '1 day';
    INSERT INTO user_auth.account_lockout
        (business_id, user_account_id, reason, failure_count, source_ip, locked_until)
    VALUES (tenant, account, reason, failures, ip,
            now() + least(user_auth.sign_in_setting(tenant, 'lockout_minutes', 15)
                              * 2 ^ least(before, 10), 1440) * interval '1 minute')
    ON CONFLICT DO NOTHING
    RETURNING true INTO opened;
    RETURN coalesce(opened, false);
END
$$;
COMMENT ON FUNCTION user_auth.open_lockout(uuid, text, integer, inet) IS
    'Locks the calling tenant''s account for the business''s lockout_minutes, twice as long for
     each lockout of the last day, a day at most. False where a lockout holds already.';


CREATE FUNCTION user_auth.allowed_methods(account user_mgmt.user_account, identifier text)
    RETURNS text[]
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    hinted text;
    found  text[];
BEGIN
    -- Where the domain of an address has a provider, its word is asked for first.
    SELECT CASE p.kind WHEN 'oidc' THEN 'oidc_federation' ELSE 'saml_sso' END INTO hinted
    FROM user_auth.identity_provider AS p
    WHERE p.business_id = tenant AND p.status = 'active'
        AND p.domain_hints @> ARRAY[split_part(lower(btrim(identifier)), '@', 2)]
    LIMIT 1;

    SELECT array_agg(m.method ORDER BY m.method = hinted DESC, e.is_preferred DESC NULLS LAST,
                     m.is_phishing_resistant DESC, m.assurance_level DESC, m.method)
    INTO found
    FROM user_auth.auth_method_policy AS m
    LEFT JOIN user_auth.auth_enrollment AS e
        ON e.business_id = tenant AND e.user_account_id = account.user_account_id
            AND e.method = m.method AND e.status = 'active'
    WHERE m.business_id = tenant AND m.is_enabled AND m.usable_as IN ('primary', 'both')
        AND (account.user_account_id IS NULL OR user_auth.method_is_for(m.applies_to, account))
        -- Somebody unknown is asked like anybody else: for what most have.
        AND (m.method = hinted OR e.auth_enrollment_id IS NOT NULL
             OR account.user_account_id IS NULL AND m.method IN ('password', 'passkey'));
    RETURN coalesce(found, '{}');
END
$$;
COMMENT ON FUNCTION user_auth.allowed_methods(user_mgmt.user_account, text) IS
    'The primary methods that an account of the calling tenant may begin with, the best first; for
     nobody''s account such as anybody might have, so that an answer does not tell who exists.';


CREATE FUNCTION user_auth.begin_sign_in(
    identifier text, ip inet DEFAULT NULL, device_hash bytea DEFAULT NULL
) RETURNS TABLE (flow_key uuid, allowed_methods text[], risk_band text)
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    tenant  CONSTANT uuid   := tenant_mgmt.current_business_id();
    account CONSTANT user_mgmt.user_account := user_auth.find_account(identifier);
    effects CONSTANT text[] := user_auth.network_effects(ip);
    bands   CONSTANT text[] := '{low,elevated,high,critical}';
    device  text;
    scored  text;
    recent  integer;
    place   integer;
BEGIN
    flow_key := system_core.uuid_v7();

    SELECT d.trust INTO device
    FROM user_auth.user_device AS d
    WHERE d.business_id = tenant AND d.user_account_id = account.user_account_id
        AND d.fingerprint_hash = device_hash;
    SELECT r.band INTO scored
    FROM user_analytics.risk_score AS r
    WHERE r.business_id = tenant AND r.user_account_id = account.user_account_id
        AND r.expires_at > now()
    ORDER BY r.scored_at DESC
    LIMIT 1;
    SELECT count(DISTINCT a.identifier_hash) INTO recent
    FROM user_auth.auth_attempt AS a
    WHERE a.business_id = tenant AND a.ip_address = ip
        AND a.attempted_at > now() - interval '15 minutes'
        AND a.result IN ('wrong_secret', 'unknown_user', 'mfa_failed');

    place := greatest(
        coalesce(array_position(bands, scored), 1),
        CASE WHEN effects && '{block,outside}' OR device = 'blocked' THEN 4
             WHEN recent >= 20 THEN 3
             WHEN effects && '{raise_risk}' OR device = 'suspect' OR device IS NULL THEN 2
             ELSE 1 END);
    risk_band := bands[place];
    allowed_methods := CASE
        WHEN place = 4 OR user_auth.is_locked_out(account.user_account_id)
            OR account.status NOT IN ('active', 'pending_verification') THEN '{}'
        ELSE user_auth.allowed_methods(account, identifier) END;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION user_auth.begin_sign_in(text, inet, bytea) IS
    'Where a sign-in to the calling tenant begins: a key for its steps, the methods that may come
     first (none where the account is locked, the device blocked or the network kept out), and the
     band of its risk: that of the account''s last score, of the device, of the network and of what
     else was just tried from the address, whichever is worst.';


CREATE FUNCTION user_auth.record_attempt(
    flow_key uuid, method text, result text, context jsonb
) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    tenant    CONSTANT uuid        := tenant_mgmt.current_business_id();
    moment    CONSTANT timestamptz := now();
    given     record;
    account   user_mgmt.user_account;
    known     uuid;
    allowed   user_auth.auth_method_policy;
    outcome   text;
    failures  integer;
    attackers integer;
BEGIN
    SELECT c.identifier, user_auth.identifier_hash(c.identifier) AS identifier_hash,
           c.ip::inet AS ip, decode(c.device_hash, 'hex') AS device_hash, c.asn, c.country_code,
           c.user_agent, coalesce(c.is_second_factor, false) AS is_second_factor,
           coalesce(c.risk_points, 0) AS risk_points, coalesce(c.latency_ms, 0) AS latency_ms
    INTO given
    FROM JSON_TABLE(context, '$' COLUMNS (
        identifier       text    PATH '$.identifier',
        ip               text    PATH '$.ip',
        device_hash      text    PATH '$.device_hash',
        asn              bigint  PATH '$.asn',
        country_code     text    PATH '$.country_code',
        user_agent       text    PATH '$.user_agent',
        is_second_factor boolean PATH '$.is_second_factor',
        risk_points      numeric PATH '$.risk_points',
        latency_ms       numeric PATH '$.latency_ms')) AS c;
    IF given.identifier IS NULL THEN
        RAISE EXCEPTION 'the context of an attempt names no identifier'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Pass {"identifier": "...", "ip": "...", "device_hash": "<hex>"}.';
    END IF;

    account := user_auth.find_account(given.identifier);
    -- One try after the other, or a hundred at once would be counted as the first.
    PERFORM FROM user_mgmt.user_account AS a
    WHERE a.business_id = tenant AND a.user_account_id = account.user_account_id
    FOR NO KEY UPDATE;
    SELECT d.user_device_id INTO known
    FROM user_auth.user_device AS d
    WHERE d.business_id = tenant AND d.user_account_id = account.user_account_id
        AND d.fingerprint_hash = given.device_hash;

    SELECT * INTO allowed
    FROM user_auth.auth_method_policy AS m
    WHERE m.business_id = tenant AND m.method = record_attempt.method AND m.is_enabled;

    -- What was right may not be enough, or not have been asked for.
    outcome := CASE
        WHEN account.user_account_id IS NULL THEN 'unknown_user'
        WHEN result = 'unknown_user' THEN 'wrong_secret'
        WHEN result NOT IN ('success', 'mfa_required') THEN result
        WHEN user_auth.is_locked_out(account.user_account_id) THEN 'locked'
        WHEN account.status NOT IN ('active', 'pending_verification')
            OR user_auth.network_effects(given.ip) && '{block,outside}' THEN 'blocked_by_policy'
        WHEN given.is_second_factor THEN CASE
            WHEN (allowed.usable_as IN ('second_factor', 'both')
                  OR record_attempt.method = 'recovery_code')
                AND EXISTS (
                    SELECT FROM user_auth.auth_attempt AS f
                    WHERE f.business_id = tenant AND f.identifier_hash = given.identifier_hash
                        AND f.attempted_at > now() - interval '15 minutes'
                        AND f.flow_key = record_attempt.flow_key AND NOT f.is_second_factor
                        AND f.result IN ('success', 'mfa_required')
                        AND f.method <> record_attempt.method) THEN 'success'
            ELSE 'blocked_by_policy' END
        WHEN allowed.usable_as IN ('primary', 'both') IS NOT TRUE THEN 'blocked_by_policy'
        WHEN result = 'mfa_required' THEN 'mfa_required'
        WHEN account.mfa_required AND allowed.assurance_level = 'aal1'
            AND NOT user_auth.network_effects(given.ip) && '{skip_second_factor}'
            THEN 'mfa_required'
        ELSE 'success' END;

    INSERT INTO user_auth.auth_attempt
        (business_id, user_account_id, user_device_id, flow_key, identifier_hash, method, result,
         is_second_factor, ip_address, asn, country_code, user_agent, risk_points, latency_ms)
    VALUES (tenant, account.user_account_id, known, record_attempt.flow_key, given.identifier_hash,
            record_attempt.method, outcome, given.is_second_factor, given.ip, given.asn,
            given.country_code, given.user_agent, given.risk_points, given.latency_ms);

    IF outcome IN ('wrong_secret', 'mfa_failed') THEN
        SELECT count(*) INTO failures
        FROM user_auth.auth_attempt AS a
        WHERE a.business_id = tenant AND a.identifier_hash = given.identifier_hash
            AND a.attempted_at > now() - interval '15 minutes'
            AND a.result IN ('wrong_secret', 'mfa_failed')
            AND a.attempted_at > coalesce((
                SELECT max(s.attempted_at) FROM user_auth.auth_attempt AS s
                WHERE s.business_id = tenant AND s.identifier_hash = given.identifier_hash
                    AND s.attempted_at > now() - interval '15 minutes'
                    AND s.result = 'success'), '-infinity');
        IF failures >= user_auth.sign_in_setting(tenant, 'max_failures', 5) THEN
            SELECT count(DISTINCT a.identifier_hash) INTO attackers
            FROM user_auth.auth_attempt AS a
            WHERE a.business_id = tenant AND a.ip_address = given.ip
                AND a.attempted_at > now() - interval '15 minutes'
                AND a.result IN ('wrong_secret', 'unknown_user', 'mfa_failed');
            PERFORM user_auth.open_lockout(
                account.user_account_id,
                CASE WHEN attackers >= 20 THEN 'credential_stuffing' ELSE 'too_many_failures' END,
                failures, given.ip);
        END IF;
    END IF;

    UPDATE user_auth.auth_enrollment AS e
    SET last_used_at = CASE WHEN outcome IN ('success', 'mfa_required') THEN moment
                            ELSE e.last_used_at END,
        use_count = e.use_count + (outcome IN ('success', 'mfa_required'))::integer,
        failure_count = e.failure_count + (outcome IN ('wrong_secret', 'mfa_failed'))::integer
    WHERE e.business_id = tenant AND e.user_account_id = account.user_account_id
        AND e.method = record_attempt.method AND e.status = 'active'
        AND outcome IN ('success', 'mfa_required', 'wrong_secret', 'mfa_failed');

    RETURN CASE
        WHEN outcome = 'success' THEN 'open_session'
        WHEN outcome = 'mfa_required' THEN 'second_factor'
        WHEN outcome = 'locked' OR user_auth.is_locked_out(account.user_account_id) THEN 'locked'
        WHEN outcome IN ('blocked_by_risk', 'blocked_by_policy') THEN 'denied'
        ELSE 'retry' END;
END
$$;
COMMENT ON FUNCTION user_auth.record_attempt(uuid, text, text, jsonb) IS
    'Keeps one try of a sign-in to the calling tenant and says what comes next: open_session,
     second_factor, retry, locked or denied. The caller checked the secret and says so in result;
     whether that is enough is decided here: a first factor is a primary method of the policy, a
     second one another method, in the flow in which the first one was right. As many failures
     within 15 minutes as the business''s max_failures lock the account. The context is
     {"identifier", "ip", "device_hash" (hex), "is_second_factor", "asn", "country_code",
     "user_agent", "risk_points", "latency_ms"}.';


CREATE FUNCTION user_auth.open_session(
    account     uuid,
    amr         text[],
    device_hash bytea,
    token_hash  bytea,
    client_kind text DEFAULT 'web',
    ip          inet DEFAULT NULL,
    country     text DEFAULT NULL,
    city        text DEFAULT NULL,
    enrollment  uuid DEFAULT NULL
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    level  CONSTANT text := user_auth.assurance_of(amr);
    holder user_mgmt.user_account;
    device uuid;
    opened uuid;
BEGIN
    SELECT * INTO holder
    FROM user_mgmt.user_account AS a
    WHERE a.business_id = tenant AND a.user_account_id = account
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no account %', account USING ERRCODE = 'no_data_found';
    END IF;
    IF holder.status <> 'active' OR user_auth.is_locked_out(account) THEN
        RAISE EXCEPTION 'account % does not sign in: it is %', account,
            CASE holder.status WHEN 'active' THEN 'locked out' ELSE holder.status END
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF holder.mfa_required AND level = 'aal1'
        AND NOT user_auth.network_effects(ip) && '{skip_second_factor}' THEN
        RAISE EXCEPTION 'account % needs a second factor', account
            USING ERRCODE = 'insufficient_privilege',
                  HINT = format('%s is %s.', amr, level);
    END IF;

    IF device_hash IS NOT NULL THEN
        INSERT INTO user_auth.user_device AS d
            (business_id, user_account_id, fingerprint_hash, device_kind, last_seen_at)
        VALUES (tenant, account, device_hash,
                CASE client_kind WHEN 'mobile' THEN 'phone' WHEN 'kiosk' THEN 'kiosk'
                                 ELSE 'desktop' END,
                now())
        ON CONFLICT (business_id, user_account_id, fingerprint_hash)
            DO UPDATE SET last_seen_at = greatest(excluded.last_seen_at, d.last_seen_at)
        RETURNING d.user_device_id INTO device;
    END IF;

    INSERT INTO user_auth.user_session
        (business_id, user_account_id, user_device_id, first_method_id, session_token_hash,
         client_kind, assurance_level, amr, ip_address, country_code, city, idle_timeout_minutes,
         absolute_expires_at)
    VALUES (tenant, account, device, enrollment, token_hash, open_session.client_kind, level,
            open_session.amr, ip, country, open_session.city,
            CASE open_session.client_kind WHEN 'kiosk' THEN 720 WHEN 'mobile' THEN 1440
                ELSE user_auth.sign_in_setting(tenant, 'idle_timeout_minutes', 30) END,
            now() + CASE open_session.client_kind WHEN 'mobile' THEN interval '720 hours'
                        WHEN 'api' THEN interval '1 hour' ELSE interval '12 hours' END)
    RETURNING user_session_id INTO opened;
    UPDATE user_mgmt.user_account AS a
    SET last_login_at = now()
    WHERE a.business_id = tenant AND a.user_account_id = account;
    RETURN opened;
END
$$;
COMMENT ON FUNCTION user_auth.open_session(
    uuid, text[], bytea, bytea, text, inet, text, text, uuid) IS
    'Signs an account of the calling tenant in once its factors are proven, and returns the
     session: on the device with the fingerprint, which is registered when it is new, with the
     assurance of the methods, of which enrollment is the first. The caller makes the token and
     passes its SHA-256. Refused for an account that is not active, locked out or short of a
     factor, and for a blocked device; beyond the limit of sessions the oldest end.';


CREATE FUNCTION user_auth.rotate_refresh_token(token_hash bytea) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  CONSTANT uuid := tenant_mgmt.current_business_id();
    old     user_auth.refresh_token;
    session user_auth.user_session;
    fresh   text;
BEGIN
    SELECT * INTO old
    FROM user_auth.refresh_token AS t
    WHERE t.business_id = tenant AND t.token_hash = rotate_refresh_token.token_hash
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF old.used_at IS NOT NULL THEN
        -- In two hands. No error, which would take the revocation back.
        UPDATE user_auth.refresh_token AS t
        SET reuse_detected_at = greatest(now(), old.used_at)
        WHERE t.business_id = tenant AND t.refresh_token_id = old.refresh_token_id
            AND t.reuse_detected_at IS NULL;
        RETURN NULL;
    END IF;

    SELECT * INTO session
    FROM user_auth.user_session AS s
    WHERE s.business_id = tenant AND s.user_session_id = old.user_session_id
    FOR NO KEY UPDATE;
    IF old.revoked_at IS NOT NULL OR old.expires_at <= now()
        OR session.state NOT IN ('active', 'stepped_down')
        OR session.absolute_expires_at <= now() THEN
        RETURN NULL;
    END IF;

    -- 244 random bits.
    fresh := encode(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()), 'hex');
    UPDATE user_auth.refresh_token AS t
    SET used_at = greatest(now(), old.issued_at), replaced_by_hash = sha256(fresh::bytea)
    WHERE t.business_id = tenant AND t.refresh_token_id = old.refresh_token_id;
    INSERT INTO user_auth.refresh_token
        (business_id, user_session_id, token_hash, family_key, generation, scopes, expires_at)
    VALUES (tenant, old.user_session_id, sha256(fresh::bytea), old.family_key, old.generation + 1,
            old.scopes,
            least(now() + (old.expires_at - old.issued_at), session.absolute_expires_at));
    UPDATE user_auth.user_session AS s
    SET last_activity_at = greatest(now(), s.last_activity_at)
    WHERE s.business_id = tenant AND s.user_session_id = old.user_session_id;
    INSERT INTO user_auth.session_event
        (business_id, user_session_id, event_kind, ip_address, request_id)
    VALUES (tenant, old.user_session_id, 'refresh',
            nullif(current_setting('app.client_ip', true), '')::inet,
            nullif(current_setting('app.request_id', true), ''));
    RETURN fresh;
END
$$;
COMMENT ON FUNCTION user_auth.rotate_refresh_token(bytea) IS
    'Takes the hash of a token of the calling tenant and returns the next one of its family, kept
     as a hash only; no later than the session does it expire. NULL, with nothing issued, for a
     token that is unknown, expired or revoked, whose session ended, or that was used before: that
     revokes family and session, and the caller commits.';


CREATE VIEW user_auth.v_active_session
    WITH (security_invoker = true) AS
SELECT s.business_id, s.user_session_id, s.user_account_id, a.display_name, s.client_kind,
       s.assurance_level, s.amr, s.state, d.user_device_id, d.friendly_name AS device_name,
       d.device_kind, d.trust AS device_trust, s.ip_address, s.country_code, s.city,
       s.started_at, s.last_activity_at, now() - s.last_activity_at AS idle_time,
       least(s.absolute_expires_at,
             s.last_activity_at + make_interval(mins => s.idle_timeout_minutes)) AS ends_at
FROM user_auth.user_session AS s
JOIN user_mgmt.user_account AS a
    ON a.business_id = s.business_id AND a.user_account_id = s.user_account_id
LEFT JOIN user_auth.user_device AS d
    ON d.business_id = s.business_id AND d.user_device_id = s.user_device_id
WHERE s.business_id = tenant_mgmt.current_business_id()
    AND s.state IN ('active', 'stepped_down')
    AND s.absolute_expires_at > now()
    AND s.last_activity_at + make_interval(mins => s.idle_timeout_minutes) > now();
COMMENT ON VIEW user_auth.v_active_session IS
    'Who is signed in now, on what, where and how surely, and for how long if nothing happens.
     A session whose time is over is not, though the job that ends it is yet to come.';
GRANT SELECT ON user_auth.v_active_session TO app_user, app_readonly;


CREATE MATERIALIZED VIEW user_auth.mv_auth_daily AS
SELECT a.business_id, (a.attempted_at AT TIME ZONE 'UTC')::date AS attempt_date, a.method, a.result,
       count(*) AS attempt_count,
       round(sum(count(*) FILTER (WHERE a.result IN ('success', 'mfa_required'))) OVER day_method
             / sum(count(*)) OVER day_method, 6) AS success_rate,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY a.latency_ms)::numeric(12, 3)
           AS median_latency_ms
FROM user_auth.auth_attempt AS a
GROUP BY a.business_id, attempt_date, a.method, a.result
WINDOW day_method AS (PARTITION BY a.business_id, (a.attempted_at AT TIME ZONE 'UTC')::date,
                      a.method)
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW user_auth.mv_auth_daily IS
    'Tries per day (UTC), method and result, with the share of the method''s that were right that
     day; read through v_auth_daily.';

-- Lets it be refreshed concurrently.
CREATE UNIQUE INDEX mv_auth_daily_idx
    ON user_auth.mv_auth_daily (business_id, attempt_date, method, result);

GRANT USAGE ON SCHEMA user_auth TO matview_owner;
GRANT SELECT ON user_auth.auth_attempt TO matview_owner;

CREATE VIEW user_auth.v_auth_daily
    WITH (security_barrier = true) AS
SELECT m.business_id, m.attempt_date, m.method, m.result, m.attempt_count, m.success_rate,
       m.median_latency_ms
FROM user_auth.mv_auth_daily AS m
WHERE m.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW user_auth.v_auth_daily IS 'The tenant''s own part of mv_auth_daily.';
GRANT SELECT ON user_auth.v_auth_daily TO app_user, app_readonly;
