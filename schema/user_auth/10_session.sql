/*
 * Sessions: who is signed in, where and how surely.
 *
 * A session begins when an account signs in and ends by itself, by its user or by an
 * administrator; closing a business revokes them all.
 */

CREATE TABLE user_auth.user_session (
    business_id          uuid               NOT NULL,
    user_session_id      uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id      uuid               NOT NULL,
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
    CONSTRAINT user_session_client_kind_known
        CHECK (client_kind IN ('web', 'mobile', 'api', 'kiosk')),
    CONSTRAINT user_session_assurance_level_known
        CHECK (assurance_level IN ('aal1', 'aal2', 'aal3')),
    CONSTRAINT user_session_state_known
        CHECK (state IN ('active', 'expired', 'signed_out', 'revoked', 'stepped_down')),
    CONSTRAINT user_session_end_reason_known
        CHECK (end_reason IN ('user', 'idle', 'absolute', 'admin', 'risk', 'password_change',
                              'concurrent_limit')),
    CONSTRAINT user_session_idle_timeout_bounded CHECK (idle_timeout_minutes BETWEEN 1 AND 1440),
    CONSTRAINT user_session_expires_after_start CHECK (absolute_expires_at > started_at),
    CONSTRAINT user_session_active_after_start CHECK (last_activity_at >= started_at),
    CONSTRAINT user_session_ended_has_time
        CHECK ((state IN ('active', 'stepped_down')) = (ended_at IS NULL)),
    CONSTRAINT user_session_ended_has_reason CHECK ((ended_at IS NULL) = (end_reason IS NULL))
);

COMMENT ON TABLE user_auth.user_session IS
    'A signed-in session: its assurance, methods and place, and how it ended.';
COMMENT ON COLUMN user_auth.user_session.amr IS
    'Authentication methods (RFC 8176): pwd, otp, hwk and so on.';
COMMENT ON COLUMN user_auth.user_session.assurance_level IS
    'NIST SP 800-63B; a stepped-down session has to prove itself again for more.';

-- FK: the sessions of an account, the running ones first to be ended.
CREATE INDEX user_session_account_idx
    ON user_auth.user_session (business_id, user_account_id, started_at DESC);

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
