/*
 * Devices and networks: what people sign in from.
 *
 * user_device is a device of one account, recognized by its fingerprint, with its posture and how
 * far it is trusted; what signs in from it refers to it together with its account, so that nobody
 * signs in from somebody else's. trusted_network relaxes the rules for some addresses and closes
 * the door to others.
 */

CREATE SCHEMA user_auth;
GRANT USAGE ON SCHEMA user_auth TO app_user, app_readonly;
COMMENT ON SCHEMA user_auth IS 'How accounts sign in, and the sessions that follow.';


CREATE TABLE user_auth.user_device (
    business_id      uuid               NOT NULL,
    user_device_id   uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id  uuid               NOT NULL,
    fingerprint_hash system_core.sha256 NOT NULL,
    friendly_name    text,
    device_kind      text               NOT NULL,
    os_name          text,
    os_version       text,
    browser          text,
    is_managed       boolean            NOT NULL DEFAULT false,
    disk_encrypted   boolean,
    jailbroken       boolean,
    trust            text               NOT NULL DEFAULT 'unknown',
    push_token_ref   system_core.vault_ref,
    first_seen_at    timestamptz        NOT NULL DEFAULT now(),
    last_seen_at     timestamptz        NOT NULL DEFAULT now(),
    created_at       timestamptz        NOT NULL DEFAULT now(),
    updated_at       timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, user_device_id),
    UNIQUE (business_id, user_account_id, fingerprint_hash),
    -- What refers to a device names its account too.
    UNIQUE (business_id, user_account_id, user_device_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT user_device_kind_known
        CHECK (device_kind IN ('desktop', 'laptop', 'phone', 'tablet', 'kiosk', 'pos_terminal',
                               'shared')),
    CONSTRAINT user_device_trust_known
        CHECK (trust IN ('unknown', 'trusted', 'suspect', 'blocked')),
    CONSTRAINT user_device_jailbroken_never_trusted
        CHECK (trust <> 'trusted' OR jailbroken IS NOT TRUE),
    CONSTRAINT user_device_seen_again_later CHECK (last_seen_at >= first_seen_at)
);

COMMENT ON TABLE user_auth.user_device IS
    'A device that an account was seen on, its posture, and how far it is trusted.';
COMMENT ON COLUMN user_auth.user_device.fingerprint_hash IS
    'SHA-256 of what the client tells about itself; two accounts on one device have a row each.';
COMMENT ON COLUMN user_auth.user_device.disk_encrypted IS
    'As device management or the application reports it, like jailbroken; NULL where neither does.';

ALTER TABLE user_auth.user_device ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_auth.user_device
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_auth.user_device TO app_user;
GRANT SELECT ON user_auth.user_device TO app_readonly;

CREATE TRIGGER user_device_touch
    BEFORE UPDATE ON user_auth.user_device
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE user_auth.trusted_network (
    business_id        uuid        NOT NULL,
    trusted_network_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    approved_by        uuid,
    name               text        NOT NULL,
    cidr               cidr        NOT NULL,
    kind               text        NOT NULL,
    effect             text        NOT NULL,
    location_code      system_core.code,
    hit_count          integer     NOT NULL DEFAULT 0,
    valid_from         timestamptz NOT NULL DEFAULT now(),
    valid_until        timestamptz,
    last_hit_at        timestamptz,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, trusted_network_id),
    UNIQUE (business_id, cidr, effect),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, approved_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT trusted_network_kind_known
        CHECK (kind IN ('office', 'vpn', 'store', 'blocked', 'tor_exit', 'hosting')),
    CONSTRAINT trusted_network_effect_known
        CHECK (effect IN ('skip_second_factor', 'allow_only', 'block', 'raise_risk')),
    CONSTRAINT trusted_network_only_own_are_relaxed
        CHECK (effect NOT IN ('skip_second_factor', 'allow_only')
               OR kind IN ('office', 'vpn', 'store')),
    CONSTRAINT trusted_network_skips_for_few
        CHECK (effect <> 'skip_second_factor' OR family(cidr) <> 4 OR masklen(cidr) >= 16),
    CONSTRAINT trusted_network_hit_count_not_negative CHECK (hit_count >= 0),
    CONSTRAINT trusted_network_hit_has_time CHECK ((hit_count = 0) = (last_hit_at IS NULL)),
    CONSTRAINT trusted_network_valid_until_after_start CHECK (valid_until > valid_from)
);

COMMENT ON TABLE user_auth.trusted_network IS
    'Addresses for which the rules of signing in are relaxed, or to which it is closed.';
COMMENT ON COLUMN user_auth.trusted_network.effect IS
    'With one allow_only in force, nobody signs in from outside the networks that have it.';
COMMENT ON COLUMN user_auth.trusted_network.hit_count IS
    'Sign-ins it had a say in, counted by the gateway.';

-- FK: the networks that somebody approved.
CREATE INDEX trusted_network_approver_idx
    ON user_auth.trusted_network (business_id, approved_by)
    WHERE approved_by IS NOT NULL;

ALTER TABLE user_auth.trusted_network ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_auth.trusted_network
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_auth.trusted_network TO app_user;
GRANT SELECT ON user_auth.trusted_network TO app_readonly;

CREATE TRIGGER trusted_network_touch
    BEFORE UPDATE ON user_auth.trusted_network
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE FUNCTION user_auth.network_effects(ip inet) RETURNS text[]
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(array_agg(DISTINCT e.effect ORDER BY e.effect), '{}')
    FROM (
        SELECT CASE WHEN ip <<= n.cidr THEN n.effect
                    WHEN n.effect = 'allow_only' THEN 'outside' END AS effect
        FROM user_auth.trusted_network AS n
        WHERE n.business_id = tenant_mgmt.current_business_id()
            AND n.valid_from <= now() AND (n.valid_until > now()) IS NOT FALSE
    ) AS e
    WHERE e.effect IS NOT NULL
        -- One network of them all that is meant is enough.
        AND (e.effect <> 'outside' OR NOT EXISTS (
            SELECT FROM user_auth.trusted_network AS n
            WHERE n.business_id = tenant_mgmt.current_business_id()
                AND n.effect = 'allow_only' AND ip <<= n.cidr
                AND n.valid_from <= now() AND (n.valid_until > now()) IS NOT FALSE));
END;
COMMENT ON FUNCTION user_auth.network_effects(inet) IS
    'What the calling tenant''s networks say of an address: their effects, and "outside" where
     only some networks are let in and this address, known or not, is in none of them.';
