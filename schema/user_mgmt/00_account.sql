/*
 * Accounts: who signs in.
 *
 * A person who works for two businesses has one account in each; person_key says that they
 * are the same person, to the platform only. Everything that an account has or does refers to
 * user_account with its tenant.
 */

CREATE SCHEMA user_mgmt;
GRANT USAGE ON SCHEMA user_mgmt TO app_user, app_readonly;
COMMENT ON SCHEMA user_mgmt IS 'People and machines that sign in, and their life as users.';


CREATE TABLE user_mgmt.user_account (
    business_id      uuid                    NOT NULL,
    user_account_id  uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    person_key       uuid,
    username         text                    NOT NULL,
    email            system_core.email       NOT NULL,
    email_normalized system_core.email       NOT NULL GENERATED ALWAYS AS (lower(email)) STORED,
    display_name     system_core.person_name NOT NULL,
    account_kind     text                    NOT NULL,
    status           text                    NOT NULL DEFAULT 'invited',
    locale           system_core.locale      NOT NULL,
    time_zone        system_core.time_zone   NOT NULL,
    mfa_required     boolean                 NOT NULL DEFAULT false,
    last_login_at    timestamptz,
    activated_at     timestamptz,
    deactivated_at   timestamptz,
    created_at       timestamptz             NOT NULL DEFAULT now(),
    updated_at       timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, user_account_id),
    UNIQUE (business_id, username),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT user_account_kind_known
        CHECK (account_kind IN ('staff', 'customer', 'contractor', 'learner', 'support')),
    CONSTRAINT user_account_status_known
        CHECK (status IN ('invited', 'pending_verification', 'active', 'suspended', 'locked',
                          'deactivated', 'anonymized')),
    CONSTRAINT user_account_deactivated_has_time
        CHECK (status NOT IN ('deactivated', 'anonymized') OR deactivated_at IS NOT NULL),
    CONSTRAINT user_account_deactivated_after_activation
        CHECK (deactivated_at >= activated_at),
    CONSTRAINT user_account_login_after_activation CHECK (last_login_at >= activated_at)
);

COMMENT ON TABLE user_mgmt.user_account IS
    'A login of the tenant: employee, customer, contractor, learner or support.';
COMMENT ON COLUMN user_mgmt.user_account.person_key IS
    'Links the same person across tenants, for the platform role only; no foreign key.';

-- An address signs in to one account; an anonymized account gives its address back.
CREATE UNIQUE INDEX user_account_email_idx
    ON user_mgmt.user_account (business_id, email_normalized)
    WHERE status <> 'anonymized';

-- user_directory_page: the people by name, a page at a time.
CREATE INDEX user_account_name_idx
    ON user_mgmt.user_account (business_id, display_name, user_account_id);

ALTER TABLE user_mgmt.user_account ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_mgmt.user_account
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_mgmt.user_account TO app_user;
GRANT SELECT ON user_mgmt.user_account TO app_readonly;

CREATE TRIGGER user_account_touch
    BEFORE UPDATE ON user_mgmt.user_account
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER user_account_status_machine
    BEFORE INSERT OR UPDATE OF status ON user_mgmt.user_account
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["invited"],
        "transitions": {
            "invited":              ["pending_verification", "active", "deactivated"],
            "pending_verification": ["active", "deactivated"],
            "active":               ["suspended", "locked", "deactivated"],
            "locked":               ["active", "suspended", "deactivated"],
            "suspended":            ["active", "deactivated"],
            "deactivated":          ["active", "anonymized"],
            "anonymized":           []
        }}');


CREATE TABLE user_mgmt.user_invitation (
    business_id                uuid               NOT NULL,
    user_invitation_id         uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    invited_by_user_account_id uuid               NOT NULL,
    accepted_user_account_id   uuid,
    email_normalized           system_core.email  NOT NULL,
    token_hash                 system_core.sha256 NOT NULL,
    state                      text               NOT NULL DEFAULT 'pending',
    message                    text,
    resend_count               integer            NOT NULL DEFAULT 0,
    sent_at                    timestamptz        NOT NULL DEFAULT now(),
    last_sent_at               timestamptz,
    expires_at                 timestamptz        NOT NULL,
    accepted_at                timestamptz,
    created_at                 timestamptz        NOT NULL DEFAULT now(),
    updated_at                 timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, user_invitation_id),
    UNIQUE (business_id, token_hash),
    FOREIGN KEY (business_id, invited_by_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, accepted_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT user_invitation_state_known
        CHECK (state IN ('pending', 'accepted', 'expired', 'revoked', 'bounced')),
    CONSTRAINT user_invitation_expires_after_sending CHECK (expires_at > sent_at),
    CONSTRAINT user_invitation_resent_seldom CHECK (resend_count BETWEEN 0 AND 5),
    CONSTRAINT user_invitation_accepted_has_time
        CHECK ((state = 'accepted') = (accepted_at IS NOT NULL))
);

COMMENT ON TABLE user_mgmt.user_invitation IS
    'An invitation to join the business, by mail, until it is accepted or expires.';
COMMENT ON COLUMN user_mgmt.user_invitation.token_hash IS
    'SHA-256 of the token in the mail; the token itself is kept nowhere.';

-- One open invitation per address.
CREATE UNIQUE INDEX user_invitation_pending_idx
    ON user_mgmt.user_invitation (business_id, email_normalized)
    WHERE state = 'pending';

-- FK: whom an account invited.
CREATE INDEX user_invitation_inviter_idx
    ON user_mgmt.user_invitation (business_id, invited_by_user_account_id);

-- FK: the invitation that an account came from.
CREATE INDEX user_invitation_accepted_idx
    ON user_mgmt.user_invitation (business_id, accepted_user_account_id)
    WHERE accepted_user_account_id IS NOT NULL;

ALTER TABLE user_mgmt.user_invitation ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_mgmt.user_invitation
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_mgmt.user_invitation TO app_user;
GRANT SELECT ON user_mgmt.user_invitation TO app_readonly;

CREATE TRIGGER user_invitation_touch
    BEFORE UPDATE ON user_mgmt.user_invitation
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER user_invitation_state_machine
    BEFORE INSERT OR UPDATE OF state ON user_mgmt.user_invitation
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["pending"],
        "transitions": {
            "pending":  ["accepted", "expired", "revoked", "bounced"],
            "bounced":  ["pending", "revoked"],
            "expired":  ["pending"],
            "accepted": [],
            "revoked":  []
        }}');
