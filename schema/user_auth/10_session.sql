/*
 * Sessions: who is signed in, where and how surely.
 *
 * A session begins when an account signs in, on one of its devices, and ends by itself, by its
 * user or by an administrator. Closing a business revokes them all, blocking a device those on
 * it, and an account that opens one too many loses its oldest. What happens in between is in
 * 50_sign_in.sql, as is the foreign key to the method that opened it.
 */

CREATE TABLE user_auth.user_session (
    business_id          uuid               NOT NULL,
    user_session_id      uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id      uuid               NOT NULL,
    user_device_id       uuid,
    first_method_id      uuid,
    session_token_hash   system_core.sha256 NOT NULL,
    client_kind          text               NOT NULL,
    assurance_level      text               NOT NULL DEFAULT 'aal1',
    amr                  text[]             NOT NULL DEFAULT '{pwd}',
    ip_address           inet,
    country_code         system_core.country,
    city                 text,
    idle_timeout_minutes integer            NOT NULL DEFAULT 30,
    state                text               NOT NULL DEFAULT 'active',
    end_reason           text,
    started_at           timestamptz        NOT NULL DEFAULT now(),
    last_activity_at     timestamptz        NOT NULL DEFAULT now(),
    absolute_expires_at  timestamptz        NOT NULL,
    ended_at             timestamptz,
    created_at           timestamptz        NOT NULL DEFAULT now(),
    updated_at           timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, user_session_id),
    UNIQUE (business_id, session_token_hash),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, user_account_id, user_device_id)
        REFERENCES user_auth.user_device (business_id, user_account_id, user_device_id),
    CONSTRAINT user_session_client_kind_known
        CHECK (client_kind IN ('web', 'mobile', 'api', 'kiosk')),
    CONSTRAINT user_session_assurance_level_known
        CHECK (assurance_level IN ('aal1', 'aal2', 'aal3')),
    CONSTRAINT user_session_amr_registered
        CHECK (amr <@ ARRAY['face', 'fpt', 'geo', 'hwk', 'iris', 'kba', 'mca', 'mfa', 'otp', 'pin',
                            'pop', 'pwd', 'rba', 'retina', 'sc', 'sms', 'swk', 'tel', 'user',
                            'vbm', 'wia']),
    CONSTRAINT user_session_amr_not_empty CHECK (cardinality(amr) > 0),
    CONSTRAINT user_session_state_known
        CHECK (state IN ('active', 'expired', 'signed_out', 'revoked', 'stepped_down')),
    CONSTRAINT user_session_end_reason_known
        CHECK (end_reason IN ('user', 'idle', 'absolute', 'admin', 'risk', 'password_change',
                              'concurrent_limit')),
    CONSTRAINT user_session_idle_timeout_bounded CHECK (idle_timeout_minutes BETWEEN 1 AND 1440),
    CONSTRAINT user_session_expires_after_start CHECK (absolute_expires_at > started_at),
    CONSTRAINT user_session_active_after_start CHECK (last_activity_at >= started_at),
    CONSTRAINT user_session_ended_after_activity CHECK (ended_at >= last_activity_at),
    CONSTRAINT user_session_ended_has_time
        CHECK ((state IN ('active', 'stepped_down')) = (ended_at IS NULL)),
    CONSTRAINT user_session_ended_has_reason CHECK ((ended_at IS NULL) = (end_reason IS NULL))
);

COMMENT ON TABLE user_auth.user_session IS
    'A signed-in session: its assurance, methods and place, and how it ended.';
COMMENT ON COLUMN user_auth.user_session.amr IS
    'Authentication methods (RFC 8176): pwd, otp, hwk and so on.';
COMMENT ON COLUMN user_auth.user_session.first_method_id IS
    'The enrolled method that opened it (auth_enrollment); NULL for one that is not enrolled.';
COMMENT ON COLUMN user_auth.user_session.user_device_id IS
    'A device of the same account; NULL for programs, which have none.';
COMMENT ON COLUMN user_auth.user_session.session_token_hash IS
    'SHA-256 of the token; the token itself is kept nowhere.';
COMMENT ON COLUMN user_auth.user_session.assurance_level IS
    'NIST SP 800-63B; a stepped-down session has to prove itself again for more.';

-- FK: the sessions of an account, the newest first.
CREATE INDEX user_session_account_idx
    ON user_auth.user_session (business_id, user_account_id, started_at DESC);

-- FK: the sessions on a device, to be ended when it is blocked.
CREATE INDEX user_session_device_idx
    ON user_auth.user_session (business_id, user_account_id, user_device_id)
    WHERE user_device_id IS NOT NULL;

-- FK: the sessions that a method opened.
CREATE INDEX user_session_first_method_idx
    ON user_auth.user_session (business_id, user_account_id, first_method_id)
    WHERE first_method_id IS NOT NULL;

-- active_sessions_of_user; limit_sessions() finds the oldest.
CREATE INDEX user_session_live_idx
    ON user_auth.user_session (business_id, user_account_id, started_at)
    WHERE state IN ('active', 'stepped_down');

-- Closing a business and the expiry job find what still runs.
CREATE INDEX user_session_running_idx
    ON user_auth.user_session (business_id, last_activity_at)
    WHERE state IN ('active', 'stepped_down');

ALTER TABLE user_auth.user_session ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_auth.user_session
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_auth.user_session TO app_user;
GRANT SELECT ON user_auth.user_session TO app_readonly;

CREATE TRIGGER user_session_touch
    BEFORE UPDATE ON user_auth.user_session
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER user_session_state_machine
    BEFORE INSERT OR UPDATE OF state ON user_auth.user_session
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["active"],
        "transitions": {
            "active":       ["stepped_down", "expired", "signed_out", "revoked"],
            "stepped_down": ["active", "expired", "signed_out", "revoked"],
            "expired":      [],
            "signed_out":   [],
            "revoked":      []
        }}');


CREATE FUNCTION user_auth.keep_session_origin() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a session stays with its account, its device and its beginning'
        USING ERRCODE = 'restrict_violation', HINT = 'End it and open another.';
END
$$;
COMMENT ON FUNCTION user_auth.keep_session_origin() IS
    'A session that changed hands would carry the assurance of somebody else.';

CREATE TRIGGER user_session_origin
    BEFORE UPDATE OF user_account_id, user_device_id, started_at ON user_auth.user_session
    FOR EACH ROW
    WHEN ((OLD.user_account_id, OLD.user_device_id, OLD.started_at)
          IS DISTINCT FROM (NEW.user_account_id, NEW.user_device_id, NEW.started_at))
    EXECUTE FUNCTION user_auth.keep_session_origin();


CREATE FUNCTION user_auth.sign_in_setting(tenant uuid, named text, fallback integer)
    RETURNS integer
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN coalesce((
        SELECT (coalesce(s.value, s.default_value) #>> '{}')::integer
        FROM system_core.setting AS s
        WHERE s.business_id = tenant AND s.namespace = 'sign_in' AND s.setting_key = named
            AND s.scope = 'business'), fallback);
END
$$;
COMMENT ON FUNCTION user_auth.sign_in_setting(uuid, text, integer) IS
    'A number of the namespace sign_in as the business sets it: max_concurrent_sessions (10),
     idle_timeout_minutes (30), max_failures (5), lockout_minutes (15).';


CREATE FUNCTION user_auth.refuse_blocked_device() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    blocked record;
BEGIN
    -- Shared locks, so that a device cannot be blocked between this look and the commit.
    FOR blocked IN
        SELECT d.user_device_id, d.trust
        FROM user_auth.user_device AS d
        WHERE (d.business_id, d.user_account_id, d.user_device_id) IN (
            SELECT s.business_id, s.user_account_id, s.user_device_id
            FROM started AS s WHERE s.state IN ('active', 'stepped_down'))
        ORDER BY d.business_id, d.user_device_id
        FOR SHARE
    LOOP
        IF blocked.trust = 'blocked' THEN
            RAISE EXCEPTION 'device % is blocked: it has no live session', blocked.user_device_id
                USING ERRCODE = 'check_violation';
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_auth.refuse_blocked_device() IS
    'No session begins on a blocked device.';

CREATE TRIGGER user_session_device_allowed
    AFTER INSERT ON user_auth.user_session
    REFERENCING NEW TABLE AS started
    FOR EACH STATEMENT EXECUTE FUNCTION user_auth.refuse_blocked_device();


CREATE FUNCTION user_auth.end_blocked_sessions() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE user_auth.user_session AS s
    SET state = 'revoked', end_reason = 'risk', ended_at = greatest(now(), s.last_activity_at)
    FROM changed AS d
    WHERE d.trust = 'blocked'
        AND s.business_id = d.business_id AND s.user_account_id = d.user_account_id
        AND s.user_device_id = d.user_device_id AND s.state IN ('active', 'stepped_down');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_auth.end_blocked_sessions() IS
    'Whoever is signed in on a device when it is blocked is signed out.';

CREATE TRIGGER user_device_end_sessions
    AFTER UPDATE ON user_auth.user_device
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_auth.end_blocked_sessions();


CREATE FUNCTION user_auth.limit_sessions() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- One after the other per account, or two sessions begun at once would both fit.
    PERFORM FROM user_mgmt.user_account AS a
    WHERE (a.business_id, a.user_account_id) IN (
        SELECT s.business_id, s.user_account_id
        FROM started AS s WHERE s.state IN ('active', 'stepped_down'))
    ORDER BY a.business_id, a.user_account_id
    FOR NO KEY UPDATE;

    UPDATE user_auth.user_session AS s
    SET state = 'revoked', end_reason = 'concurrent_limit',
        ended_at = greatest(now(), s.last_activity_at)
    FROM (
        SELECT l.business_id, l.user_session_id,
               row_number() OVER (PARTITION BY l.business_id, l.user_account_id
                                  ORDER BY l.started_at DESC, l.user_session_id DESC) AS place
        FROM user_auth.user_session AS l
        WHERE l.state IN ('active', 'stepped_down')
            AND (l.business_id, l.user_account_id) IN (
                SELECT n.business_id, n.user_account_id
                FROM started AS n WHERE n.state IN ('active', 'stepped_down'))
    ) AS ranked
    JOIN (
        SELECT t.business_id,
               user_auth.sign_in_setting(t.business_id, 'max_concurrent_sessions', 10) AS most
        FROM (SELECT DISTINCT n.business_id FROM started AS n) AS t
    ) AS allowed ON allowed.business_id = ranked.business_id
    WHERE ranked.place > allowed.most
        AND s.business_id = ranked.business_id AND s.user_session_id = ranked.user_session_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_auth.limit_sessions() IS
    'An account has at most as many live sessions as the business allows; the oldest give way.';

CREATE TRIGGER user_session_count_limited
    AFTER INSERT ON user_auth.user_session
    REFERENCING NEW TABLE AS started
    FOR EACH STATEMENT EXECUTE FUNCTION user_auth.limit_sessions();


CREATE FUNCTION user_auth.expire_sessions() RETURNS integer
    LANGUAGE sql
BEGIN ATOMIC
    WITH ended AS (
        UPDATE user_auth.user_session AS s
        SET state = 'expired',
            end_reason = CASE WHEN s.absolute_expires_at <= now() THEN 'absolute'
                              ELSE 'idle' END,
            ended_at = greatest(now(), s.last_activity_at)
        WHERE s.business_id = tenant_mgmt.current_business_id()
            AND s.state IN ('active', 'stepped_down')
            AND (s.absolute_expires_at <= now()
                 OR s.last_activity_at + make_interval(mins => s.idle_timeout_minutes) <= now())
        RETURNING s.user_session_id
    )
    SELECT count(*)::integer FROM ended;
END;
COMMENT ON FUNCTION user_auth.expire_sessions() IS
    'Ends the calling tenant''s sessions that outlived their idle or absolute time; a job calls it
     every few minutes. Returns how many.';


CREATE FUNCTION user_auth.assurance_of(amr text[]) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN amr && '{sc}' OR amr && '{hwk}' AND amr && '{pwd,pin}' THEN 'aal3'
        WHEN amr && '{mfa,mca}'
            OR (amr && '{pwd,pin,kba}')::integer
             + (amr && '{otp,sms,tel,swk,hwk,pop,wia}')::integer
             + (amr && '{face,fpt,iris,retina,vbm,user}')::integer > 1 THEN 'aal2'
        ELSE 'aal1'
    END;
COMMENT ON FUNCTION user_auth.assurance_of(text[]) IS
    'The level (NIST SP 800-63B) that authentication methods (RFC 8176) reach together: a smart
     card, or a hardware key and a secret, aal3; two kinds of factor, or another''s word for
     them, aal2. "user" is the verification that a passkey asks for on the device.';
