/*
 * Keys, faces and cards: WebAuthn, biometrics and client certificates.
 *
 * authenticator_model is what the FIDO metadata service says of a make, with the tenant's decision
 * to allow or deny it. webauthn_credential is the public key of a passkey or security key,
 * webauthn_challenge a ceremony in flight and its result; finish_assertion() ends one and
 * verify_webauthn_counter() tells a clone. biometric_enrollment refers to a template in the vault
 * for as long as the person consents, biometric_verification is one comparison with it.
 * client_certificate is a certificate for mTLS or on a smart card. All of them hang below an
 * enrollment of 20_method.sql and name its account and method.
 */

CREATE FUNCTION user_auth.latest_fido_status(reports jsonb, on_day date) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (
        SELECT r.status
        FROM JSON_TABLE(reports, '$[*]' COLUMNS (
            place        FOR ORDINALITY,
            status       text PATH '$.status',
            effective_on date PATH '$.effectiveDate')) AS r
        WHERE coalesce(r.effective_on, '-infinity') <= on_day
        ORDER BY coalesce(r.effective_on, '-infinity') DESC, r.place DESC
        LIMIT 1);
COMMENT ON FUNCTION user_auth.latest_fido_status(jsonb, date) IS
    'The status that holds on a day by the reports of the FIDO metadata service: the one that took
     effect last, of the same day the last in the list; NULL where there is none yet.';


CREATE FUNCTION user_auth.are_status_reports(reports jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (
        SELECT coalesce(bool_and(
            coalesce(r.status IN (
                'NOT_FIDO_CERTIFIED', 'FIDO_CERTIFIED', 'USER_VERIFICATION_BYPASS',
                'ATTESTATION_KEY_COMPROMISE', 'USER_KEY_REMOTE_COMPROMISE',
                'USER_KEY_PHYSICAL_COMPROMISE', 'UPDATE_AVAILABLE', 'REVOKED',
                'SELF_ASSERTION_SUBMITTED', 'FIDO_CERTIFIED_L1', 'FIDO_CERTIFIED_L1plus',
                'FIDO_CERTIFIED_L2', 'FIDO_CERTIFIED_L2plus', 'FIDO_CERTIFIED_L3',
                'FIDO_CERTIFIED_L3plus'), false)
            AND (r.effective_on IS NULL OR pg_input_is_valid(r.effective_on, 'date'))), true)
        FROM JSON_TABLE(reports, '$[*]' COLUMNS (
            status       text PATH '$.status',
            effective_on text PATH '$.effectiveDate')) AS r);
COMMENT ON FUNCTION user_auth.are_status_reports(jsonb) IS
    'Whether each of an array is a status report of the FIDO metadata service, of a known status.';


CREATE TABLE user_auth.authenticator_model (
    business_id            uuid                   NOT NULL,
    authenticator_model_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    aaguid                 uuid                   NOT NULL,
    description            text                   NOT NULL,
    vendor                 text                   NOT NULL,
    certification_level    text                   NOT NULL DEFAULT 'none',
    is_fips                boolean                NOT NULL DEFAULT false,
    key_protection         text                   NOT NULL DEFAULT 'hardware',
    status_reports         system_core.json_array NOT NULL DEFAULT '[]',
    metadata_version       integer                NOT NULL DEFAULT 1,
    tenant_decision        text                   NOT NULL DEFAULT 'default',
    imported_at            timestamptz            NOT NULL DEFAULT now(),
    created_at             timestamptz            NOT NULL DEFAULT now(),
    updated_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, authenticator_model_id),
    UNIQUE (business_id, aaguid),
    -- A credential names its model together with the AAGUID that it was registered with.
    UNIQUE (business_id, authenticator_model_id, aaguid),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT authenticator_model_certification_level_known
        CHECK (certification_level IN ('none', 'l1', 'l1_plus', 'l2', 'l3', 'l3_plus')),
    CONSTRAINT authenticator_model_key_protection_known
        CHECK (key_protection IN ('software', 'hardware', 'tee', 'secure_element')),
    CONSTRAINT authenticator_model_status_reports_known
        CHECK (user_auth.are_status_reports(status_reports::jsonb)),
    CONSTRAINT authenticator_model_metadata_version_positive CHECK (metadata_version >= 1),
    CONSTRAINT authenticator_model_tenant_decision_known
        CHECK (tenant_decision IN ('allow', 'deny', 'default'))
);

COMMENT ON TABLE user_auth.authenticator_model IS
    'A make of authenticator as the FIDO metadata service tells it, and what the tenant decided.';
COMMENT ON COLUMN user_auth.authenticator_model.aaguid IS
    'The identifier that all authenticators of the model share.';
COMMENT ON COLUMN user_auth.authenticator_model.status_reports IS
    'Array of {status, effectiveDate, ...} as published; latest_fido_status() reads it.';
COMMENT ON COLUMN user_auth.authenticator_model.tenant_decision IS
    'default leaves it to the level of certification that the policy of the method asks for.';

ALTER TABLE user_auth.authenticator_model ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_auth.authenticator_model
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_auth.authenticator_model TO app_user;
GRANT SELECT ON user_auth.authenticator_model TO app_readonly;

CREATE TRIGGER authenticator_model_touch
    BEFORE UPDATE ON user_auth.authenticator_model
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION user_auth.deny_revoked_model() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF user_auth.latest_fido_status(NEW.status_reports::jsonb, current_date) = 'REVOKED' THEN
        NEW.tenant_decision := 'deny';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION user_auth.deny_revoked_model() IS
    'A model that the FIDO Alliance revoked is denied, whatever the tenant decided.';

CREATE TRIGGER authenticator_model_revoked
    BEFORE INSERT OR UPDATE OF status_reports, tenant_decision ON user_auth.authenticator_model
    FOR EACH ROW WHEN (NEW.tenant_decision <> 'deny')
    EXECUTE FUNCTION user_auth.deny_revoked_model();


CREATE FUNCTION user_auth.is_model_accepted(model_aaguid uuid, method text) RETURNS boolean
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE
        WHEN m.tenant_decision = 'deny' THEN false
        WHEN m.tenant_decision = 'allow' THEN true
        ELSE array_position(l.levels, coalesce(m.certification_level, 'none'))
             >= array_position(l.levels, coalesce(l.minimum, 'none'))
    END
    FROM (SELECT '{none,l1,l1_plus,l2,l3,l3_plus}'::text[] AS levels,
                 (SELECT JSON_VALUE(p.settings::jsonb, '$.minimum_certification')
                  FROM user_auth.auth_method_policy AS p
                  WHERE p.business_id = tenant_mgmt.current_business_id()
                      AND p.method = is_model_accepted.method) AS minimum) AS l
    LEFT JOIN user_auth.authenticator_model AS m
        ON m.business_id = tenant_mgmt.current_business_id() AND m.aaguid = model_aaguid;
END;
COMMENT ON FUNCTION user_auth.is_model_accepted(uuid, text) IS
    'Whether the calling tenant lets a model be registered for passkey or security_key: denied wins
     over any certification, allowed needs none; else it has at least the minimum_certification of
     the policy, which a model that nobody certified or knows has only where that is none.';


CREATE TABLE user_auth.webauthn_credential (
    business_id            uuid        NOT NULL,
    webauthn_credential_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id        uuid        NOT NULL,
    auth_enrollment_id     uuid        NOT NULL,
    method                 text        NOT NULL DEFAULT 'passkey',
    authenticator_model_id uuid,
    credential_id          bytea       NOT NULL,
    public_key_cose        bytea       NOT NULL,
    cose_algorithm         integer     NOT NULL DEFAULT -7,
    aaguid                 uuid        NOT NULL,
    sign_count             bigint      NOT NULL DEFAULT 0,
    transports             text[]      NOT NULL DEFAULT '{}',
    attestation_format     text        NOT NULL DEFAULT 'none',
    attachment             text        NOT NULL,
    user_verification      text        NOT NULL DEFAULT 'preferred',
    is_discoverable        boolean     NOT NULL DEFAULT false,
    is_backup_eligible     boolean     NOT NULL DEFAULT false,
    is_backed_up           boolean     NOT NULL DEFAULT false,
    registered_at          timestamptz NOT NULL DEFAULT now(),
    last_used_at           timestamptz,
    clone_detected_at      timestamptz,
    created_at             timestamptz NOT NULL DEFAULT now(),
    updated_at             timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, webauthn_credential_id),
    UNIQUE (business_id, credential_id),
    UNIQUE (business_id, user_account_id, auth_enrollment_id, method),
    -- A challenge names the credential that met it together with its account.
    UNIQUE (business_id, user_account_id, webauthn_credential_id),
    FOREIGN KEY (business_id, auth_enrollment_id, user_account_id, method)
        REFERENCES user_auth.auth_enrollment
            (business_id, auth_enrollment_id, user_account_id, method),
    FOREIGN KEY (business_id, authenticator_model_id, aaguid)
        REFERENCES user_auth.authenticator_model (business_id, authenticator_model_id, aaguid),
    CONSTRAINT webauthn_credential_proves_webauthn CHECK (method IN ('passkey', 'security_key')),
    CONSTRAINT webauthn_credential_id_length
        CHECK (length(credential_id) BETWEEN 16 AND 1023),
    CONSTRAINT webauthn_credential_algorithm_known
        CHECK (cose_algorithm IN (-7, -8, -35, -36, -257)),
    CONSTRAINT webauthn_credential_sign_count_32_bits CHECK (sign_count BETWEEN 0 AND 4294967295),
    CONSTRAINT webauthn_credential_transports_known
        CHECK (transports <@ ARRAY['usb', 'nfc', 'ble', 'smart-card', 'hybrid', 'internal']),
    CONSTRAINT webauthn_credential_attestation_format_known
        CHECK (attestation_format IN ('none', 'packed', 'tpm', 'android_key', 'apple',
                                      'fido_u2f')),
    CONSTRAINT webauthn_credential_attachment_known
        CHECK (attachment IN ('platform', 'cross_platform')),
    CONSTRAINT webauthn_credential_user_verification_known
        CHECK (user_verification IN ('required', 'preferred', 'discouraged')),
    CONSTRAINT webauthn_credential_only_eligible_is_backed_up
        CHECK (NOT is_backed_up OR is_backup_eligible),
    CONSTRAINT webauthn_credential_passkey_is_discoverable
        CHECK (method <> 'passkey' OR is_discoverable),
    CONSTRAINT webauthn_credential_security_key_stays_on_its_key
        CHECK (method <> 'security_key'
               OR NOT is_backup_eligible AND attachment = 'cross_platform'),
    CONSTRAINT webauthn_credential_used_after_registration CHECK (last_used_at >= registered_at)
);

COMMENT ON TABLE user_auth.webauthn_credential IS
    'The public key of a passkey or security key (FIDO2, WebAuthn).';
COMMENT ON COLUMN user_auth.webauthn_credential.credential_id IS
    'As the authenticator named it.';
COMMENT ON COLUMN user_auth.webauthn_credential.cose_algorithm IS
    'ES256 -7, EdDSA -8, ES384 -35, ES512 -36, RS256 -257.';
COMMENT ON COLUMN user_auth.webauthn_credential.authenticator_model_id IS
    'NULL where the metadata service does not know the AAGUID, or none was told.';
COMMENT ON COLUMN user_auth.webauthn_credential.sign_count IS
    'Signatures made, as last told; some authenticators, synced passkeys above all, always say 0.';
COMMENT ON COLUMN user_auth.webauthn_credential.is_backup_eligible IS
    'Whether the key may leave the device (a synced passkey); fixed for its life.';
COMMENT ON COLUMN user_auth.webauthn_credential.clone_detected_at IS
    'When its counter did not rise: from then on it is not accepted any more.';

-- FK: the credentials of a model, when it is denied.
CREATE INDEX webauthn_credential_model_idx
    ON user_auth.webauthn_credential (business_id, authenticator_model_id, aaguid)
    WHERE authenticator_model_id IS NOT NULL;

ALTER TABLE user_auth.webauthn_credential ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_auth.webauthn_credential
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_auth.webauthn_credential TO app_user;
GRANT SELECT ON user_auth.webauthn_credential TO app_readonly;

CREATE TRIGGER webauthn_credential_touch
    BEFORE UPDATE ON user_auth.webauthn_credential
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION user_auth.refuse_falling_count() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the counter of a credential fell from % to %', OLD.sign_count, NEW.sign_count
        USING ERRCODE = 'check_violation',
              HINT = 'It may be a clone; see user_auth.verify_webauthn_counter().';
END
$$;
COMMENT ON FUNCTION user_auth.refuse_falling_count() IS
    'A counter never falls, for everybody: what signs with a lower one is another authenticator.';

CREATE TRIGGER webauthn_credential_count_rises
    BEFORE UPDATE OF sign_count ON user_auth.webauthn_credential
    FOR EACH ROW WHEN (NEW.sign_count < OLD.sign_count)
    EXECUTE FUNCTION user_auth.refuse_falling_count();

CREATE FUNCTION user_auth.refuse_other_key() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.is_backup_eligible <> OLD.is_backup_eligible THEN
        RAISE EXCEPTION 'whether a credential may be backed up does not change'
            USING ERRCODE = 'check_violation',
                  HINT = 'An assertion that says otherwise is of another credential.';
    END IF;
    RAISE EXCEPTION 'a credential keeps its key, its model and its account'
        USING ERRCODE = 'restrict_violation', HINT = 'Revoke it and register another.';
END
$$;
COMMENT ON FUNCTION user_auth.refuse_other_key() IS
    'What was registered stays as it was; of the backup flags only is_backed_up may change.';

CREATE TRIGGER webauthn_credential_key
    BEFORE UPDATE OF user_account_id, auth_enrollment_id, method, credential_id, public_key_cose,
                     cose_algorithm, aaguid, is_backup_eligible
    ON user_auth.webauthn_credential
    FOR EACH ROW
    WHEN ((OLD.user_account_id, OLD.auth_enrollment_id, OLD.method, OLD.credential_id,
           OLD.public_key_cose, OLD.cose_algorithm, OLD.aaguid, OLD.is_backup_eligible)
          IS DISTINCT FROM
          (NEW.user_account_id, NEW.auth_enrollment_id, NEW.method, NEW.credential_id,
           NEW.public_key_cose, NEW.cose_algorithm, NEW.aaguid, NEW.is_backup_eligible))
    EXECUTE FUNCTION user_auth.refuse_other_key();

CREATE FUNCTION user_auth.require_accepted_model() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    refused record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    SELECT r.aaguid, r.method INTO refused
    FROM registered AS r
    WHERE r.business_id = tenant_mgmt.current_business_id()
        AND NOT user_auth.is_model_accepted(r.aaguid, r.method)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'authenticator model % is not accepted as %', refused.aaguid,
            refused.method
            USING ERRCODE = 'check_violation',
                  HINT = 'See authenticator_model and minimum_certification of the policy.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_auth.require_accepted_model() IS
    'What is registered now is of a model that the tenant accepts.';

CREATE TRIGGER webauthn_credential_model
    AFTER INSERT ON user_auth.webauthn_credential
    REFERENCING NEW TABLE AS registered
    FOR EACH STATEMENT EXECUTE FUNCTION user_auth.require_accepted_model();


CREATE FUNCTION user_auth.suspend_denied_model() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE user_auth.auth_enrollment AS e
    SET status = 'suspended'
    FROM changed AS m
    JOIN before AS b
        ON b.business_id = m.business_id AND b.authenticator_model_id = m.authenticator_model_id
    JOIN user_auth.webauthn_credential AS c
        ON c.business_id = m.business_id AND c.authenticator_model_id = m.authenticator_model_id
    WHERE m.tenant_decision = 'deny' AND b.tenant_decision <> 'deny'
        AND e.business_id = c.business_id AND e.auth_enrollment_id = c.auth_enrollment_id
        AND e.status = 'active';
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_auth.suspend_denied_model() IS
    'When a model is denied the methods that rest on it are suspended, until somebody decides.';

CREATE TRIGGER authenticator_model_suspend
    AFTER UPDATE ON user_auth.authenticator_model
    REFERENCING OLD TABLE AS before NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_auth.suspend_denied_model();


CREATE FUNCTION user_auth.verify_webauthn_counter(credential_id bytea, new_sign_count bigint)
    RETURNS boolean
    LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    held   user_auth.webauthn_credential;
BEGIN
    -- Locked, so that of two answers with the same count one is told to be a copy.
    SELECT * INTO held
    FROM user_auth.webauthn_credential AS c
    WHERE c.business_id = tenant AND c.credential_id = credential_id
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such credential' USING ERRCODE = 'no_data_found';
    END IF;
    IF held.clone_detected_at IS NOT NULL THEN
        RETURN false;
    END IF;
    IF new_sign_count > held.sign_count OR new_sign_count = 0 AND held.sign_count = 0 THEN
        UPDATE user_auth.webauthn_credential AS c
        SET sign_count = new_sign_count, last_used_at = greatest(now(), c.registered_at)
        WHERE c.business_id = tenant AND c.webauthn_credential_id = held.webauthn_credential_id;
        RETURN true;
    END IF;

    UPDATE user_auth.webauthn_credential AS c
    SET clone_detected_at = now()
    WHERE c.business_id = tenant AND c.webauthn_credential_id = held.webauthn_credential_id;
    UPDATE user_auth.auth_enrollment AS e
    SET status = 'suspended'
    WHERE e.business_id = tenant AND e.auth_enrollment_id = held.auth_enrollment_id
        AND e.status = 'active';
    INSERT INTO user_analytics.behavior_anomaly
        (business_id, user_account_id, kind, severity, observed_value, expected_value, evidence)
    VALUES (tenant, held.user_account_id, 'cloned_authenticator', 'critical', new_sign_count,
            held.sign_count + 1,
            jsonb_build_array(jsonb_build_object('table', 'user_auth.webauthn_credential',
                                                 'id', held.webauthn_credential_id)));
    RETURN false;
END
$$;
COMMENT ON FUNCTION user_auth.verify_webauthn_counter(bytea, bigint) IS
    'Takes the counter of an assertion whose signature was right, by a credential of the calling
     tenant (WebAuthn Level 3, 7.2): true where it rose, or always was 0. Where it did not, there
     are two authenticators with one key: false, the credential is flagged and never accepted
     again, its enrollment suspended, an anomaly opened.';


CREATE TABLE user_auth.webauthn_challenge (
    business_id            uuid                    NOT NULL,
    webauthn_challenge_id  uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id        uuid,
    webauthn_credential_id uuid,
    ceremony               text                    NOT NULL,
    challenge_hash         system_core.sha256      NOT NULL,
    relying_party_id       system_core.host_name   NOT NULL,
    origin                 system_core.url         NOT NULL,
    options                system_core.json_object NOT NULL DEFAULT '{}',
    result                 text                    NOT NULL DEFAULT 'pending',
    user_verified          boolean,
    issued_at              timestamptz             NOT NULL DEFAULT clock_timestamp(),
    expires_at             timestamptz             NOT NULL,
    completed_at           timestamptz,
    created_at             timestamptz             NOT NULL DEFAULT now(),
    updated_at             timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, webauthn_challenge_id, issued_at),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, webauthn_credential_id, user_account_id)
        REFERENCES user_auth.webauthn_credential
            (business_id, webauthn_credential_id, user_account_id),
    CONSTRAINT webauthn_challenge_credential_of_account
        CHECK (webauthn_credential_id IS NULL OR user_account_id IS NOT NULL),
    CONSTRAINT webauthn_challenge_ceremony_known
        CHECK (ceremony IN ('registration', 'authentication', 'conditional_ui')),
    CONSTRAINT webauthn_challenge_registration_of_account
        CHECK (ceremony <> 'registration' OR user_account_id IS NOT NULL),
    CONSTRAINT webauthn_challenge_options_do_not_tell_it CHECK (NOT options ? 'challenge'),
    CONSTRAINT webauthn_challenge_origin_below_relying_party
        CHECK ((right('.' || substring(origin FROM '^https://([a-z0-9.-]+)(?::[0-9]+)?$'),
                      length(relying_party_id) + 1) = '.' || relying_party_id) IS TRUE),
    CONSTRAINT webauthn_challenge_expires_after_issue CHECK (expires_at > issued_at),
    CONSTRAINT webauthn_challenge_lives_ten_minutes
        CHECK (expires_at <= issued_at + interval '10 minutes'),
    CONSTRAINT webauthn_challenge_result_known
        CHECK (result IN ('pending', 'verified', 'expired', 'origin_mismatch',
                          'signature_invalid', 'counter_regression', 'user_cancelled')),
    CONSTRAINT webauthn_challenge_completed_has_time
        CHECK ((result IN ('pending', 'expired')) = (completed_at IS NULL)),
    CONSTRAINT webauthn_challenge_completed_in_time
        CHECK (completed_at BETWEEN issued_at AND expires_at),
    CONSTRAINT webauthn_challenge_verified_by_credential
        CHECK (result <> 'verified'
               OR webauthn_credential_id IS NOT NULL AND user_verified IS NOT NULL)
) PARTITION BY RANGE (issued_at);

COMMENT ON TABLE user_auth.webauthn_challenge IS
    'A registration or assertion of a WebAuthn credential in flight, and what came of it.';
COMMENT ON COLUMN user_auth.webauthn_challenge.user_account_id IS
    'NULL while a conditional_ui ceremony does not know who will answer.';
COMMENT ON COLUMN user_auth.webauthn_challenge.challenge_hash IS
    'SHA-256 of the 32 random bytes that were signed; unique by their length.';
COMMENT ON COLUMN user_auth.webauthn_challenge.options IS
    'The public-key options of the ceremony as the browser got them, without the challenge:
     {"userVerification", "timeout", "allowCredentials", "pubKeyCredParams", ...}.';
COMMENT ON COLUMN user_auth.webauthn_challenge.user_verified IS
    'Whether the authenticator verified its user, by PIN or biometric.';

-- webauthn_assertion: the challenge that an answer names, in the newest partition.
CREATE INDEX webauthn_challenge_hash_idx
    ON user_auth.webauthn_challenge (business_id, challenge_hash);

-- FK: the ceremonies of an account, newest first.
CREATE INDEX webauthn_challenge_account_idx
    ON user_auth.webauthn_challenge (business_id, user_account_id, issued_at DESC)
    WHERE user_account_id IS NOT NULL;

-- FK: the ceremonies of a credential.
CREATE INDEX webauthn_challenge_credential_idx
    ON user_auth.webauthn_challenge (business_id, user_account_id, webauthn_credential_id)
    WHERE webauthn_credential_id IS NOT NULL;

ALTER TABLE user_auth.webauthn_challenge ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_auth.webauthn_challenge
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_auth.webauthn_challenge TO app_user;
GRANT SELECT ON user_auth.webauthn_challenge TO app_readonly;

CREATE TABLE user_auth.webauthn_challenge_default
    PARTITION OF user_auth.webauthn_challenge DEFAULT;
ALTER TABLE user_auth.webauthn_challenge_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_auth.webauthn_challenge_default
    USING (business_id = tenant_mgmt.current_business_id());
SELECT system_core.create_partitions(
    'user_auth.webauthn_challenge', 'month', behind => 3, ahead => 1);

CREATE TRIGGER webauthn_challenge_touch
    BEFORE UPDATE ON user_auth.webauthn_challenge
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER webauthn_challenge_result_machine
    BEFORE INSERT OR UPDATE OF result ON user_auth.webauthn_challenge
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('result', '{
        "initial": ["pending"],
        "transitions": {
            "pending":            ["verified", "expired", "origin_mismatch", "signature_invalid",
                                   "counter_regression", "user_cancelled"],
            "verified":           [],
            "expired":            [],
            "origin_mismatch":    [],
            "signature_invalid":  [],
            "counter_regression": [],
            "user_cancelled":     []
        }}');


CREATE FUNCTION user_auth.finish_assertion(
    challenge_hash bytea,
    credential_id  bytea,
    new_sign_count bigint,
    user_verified  boolean
) RETURNS TABLE (business_id uuid, user_account_id uuid, webauthn_credential_id uuid, result text)
    LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    tenant   CONSTANT uuid        := tenant_mgmt.current_business_id();
    moment   CONSTANT timestamptz := clock_timestamp();
    asked    user_auth.webauthn_challenge;
    answered record;
BEGIN
    SELECT * INTO asked
    FROM user_auth.webauthn_challenge AS c
    WHERE c.business_id = tenant AND c.challenge_hash = challenge_hash
        AND c.issued_at > moment - interval '20 minutes'
        AND c.ceremony IN ('authentication', 'conditional_ui') AND c.result = 'pending'
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such challenge, or it was answered before'
            USING ERRCODE = 'no_data_found';
    END IF;
    SELECT k.user_account_id, k.webauthn_credential_id, k.user_verification INTO answered
    FROM user_auth.webauthn_credential AS k
    JOIN user_auth.auth_enrollment AS e
        ON e.business_id = k.business_id AND e.auth_enrollment_id = k.auth_enrollment_id
            AND e.status = 'active'
    WHERE k.business_id = tenant AND k.credential_id = credential_id;

    business_id := tenant;
    user_account_id := answered.user_account_id;
    webauthn_credential_id := answered.webauthn_credential_id;
    result := CASE
        WHEN asked.expires_at <= moment THEN 'expired'
        WHEN answered.user_account_id IS NULL
            OR answered.user_account_id <> asked.user_account_id
            OR answered.user_verification = 'required' AND NOT user_verified
            THEN 'signature_invalid'
        WHEN user_auth.verify_webauthn_counter(credential_id, new_sign_count) THEN 'verified'
        ELSE 'counter_regression' END;
    IF result = 'signature_invalid' THEN
        user_account_id := asked.user_account_id;
        webauthn_credential_id := NULL;
    END IF;

    UPDATE user_auth.webauthn_challenge AS c
    SET result = result,
        completed_at = CASE WHEN result <> 'expired' THEN greatest(moment, c.issued_at) END,
        user_account_id = coalesce(c.user_account_id, user_account_id),
        webauthn_credential_id = CASE WHEN result <> 'expired' THEN webauthn_credential_id END,
        user_verified = CASE WHEN result <> 'expired' THEN user_verified END
    WHERE c.business_id = tenant AND c.webauthn_challenge_id = asked.webauthn_challenge_id
        AND c.issued_at = asked.issued_at;
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION user_auth.finish_assertion(bytea, bytea, bigint, boolean) IS
    'Ends a ceremony of the calling tenant with an answer whose origin and signature the caller
     checked: verified, counter_regression for a clone, signature_invalid for a credential that is
     not active or another account''s, expired when it came late. A challenge is answered once.';


CREATE TABLE user_auth.biometric_enrollment (
    business_id             uuid              NOT NULL,
    biometric_enrollment_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id         uuid              NOT NULL,
    auth_enrollment_id      uuid              NOT NULL,
    method                  text              NOT NULL DEFAULT 'biometric',
    user_consent_id         uuid              NOT NULL,
    user_device_id          uuid,
    modality                text              NOT NULL,
    template_ref            system_core.vault_ref,
    template_version        integer           NOT NULL DEFAULT 1,
    protection_scheme       text              NOT NULL DEFAULT 'cancelable',
    quality_score           system_core.score NOT NULL,
    liveness_level          text              NOT NULL DEFAULT 'active',
    sample_count            integer           NOT NULL DEFAULT 3,
    vendor                  text              NOT NULL,
    enrolled_at             timestamptz       NOT NULL DEFAULT now(),
    retention_until         date              NOT NULL,
    destroyed_at            timestamptz,
    created_at              timestamptz       NOT NULL DEFAULT now(),
    updated_at              timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, biometric_enrollment_id),
    UNIQUE (business_id, user_account_id, auth_enrollment_id, method),
    FOREIGN KEY (business_id, auth_enrollment_id, user_account_id, method)
        REFERENCES user_auth.auth_enrollment
            (business_id, auth_enrollment_id, user_account_id, method),
    FOREIGN KEY (business_id, user_consent_id)
        REFERENCES user_mgmt.user_consent (business_id, user_consent_id),
    FOREIGN KEY (business_id, user_account_id, user_device_id)
        REFERENCES user_auth.user_device (business_id, user_account_id, user_device_id),
    CONSTRAINT biometric_enrollment_proves_biometric CHECK (method = 'biometric'),
    CONSTRAINT biometric_enrollment_modality_known
        CHECK (modality IN ('face', 'fingerprint', 'voice', 'iris', 'palm')),
    CONSTRAINT biometric_enrollment_protection_scheme_known
        CHECK (protection_scheme IN ('cancelable', 'fuzzy_vault', 'secure_enclave_ref')),
    CONSTRAINT biometric_enrollment_liveness_level_known
        CHECK (liveness_level IN ('none', 'passive', 'active')),
    CONSTRAINT biometric_enrollment_quality_bounded CHECK (quality_score BETWEEN 0 AND 100),
    CONSTRAINT biometric_enrollment_has_samples CHECK (sample_count >= 1),
    CONSTRAINT biometric_enrollment_version_positive CHECK (template_version >= 1),
    CONSTRAINT biometric_enrollment_kept_three_years
        CHECK (retention_until BETWEEN (enrolled_at AT TIME ZONE 'UTC')::date
               AND ((enrolled_at AT TIME ZONE 'UTC') + interval '3 years')::date),
    CONSTRAINT biometric_enrollment_destroyed_has_no_template
        CHECK ((destroyed_at IS NULL) = (template_ref IS NOT NULL)),
    CONSTRAINT biometric_enrollment_destroyed_after_enrolling CHECK (destroyed_at >= enrolled_at)
);

COMMENT ON TABLE user_auth.biometric_enrollment IS
    'A template that a server compares with a face, finger or voice, by its place in the vault, with
     the consent that allows it; no sample and no template is kept here.';
COMMENT ON COLUMN user_auth.biometric_enrollment.template_ref IS
    'NULL once destroyed; the vault is told by an event of the outbox (topic vault).';
COMMENT ON COLUMN user_auth.biometric_enrollment.protection_scheme IS
    'Why a stolen template is no face: transformed, bound to a key, or never out of the enclave.';
COMMENT ON COLUMN user_auth.biometric_enrollment.retention_until IS
    'At most three years (Illinois BIPA); destroy_due_templates() runs daily.';

-- FK: what rests on a consent, to be destroyed when it is withdrawn.
CREATE INDEX biometric_enrollment_consent_idx
    ON user_auth.biometric_enrollment (business_id, user_consent_id);

-- FK: the biometrics of a device.
CREATE INDEX biometric_enrollment_device_idx
    ON user_auth.biometric_enrollment (business_id, user_account_id, user_device_id)
    WHERE user_device_id IS NOT NULL;

-- destroy_due_templates(): what is to be destroyed.
CREATE INDEX biometric_enrollment_retention_idx
    ON user_auth.biometric_enrollment (business_id, retention_until)
    WHERE destroyed_at IS NULL;

ALTER TABLE user_auth.biometric_enrollment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_auth.biometric_enrollment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_auth.biometric_enrollment TO app_user;
GRANT SELECT ON user_auth.biometric_enrollment TO app_readonly;

CREATE TRIGGER biometric_enrollment_touch
    BEFORE UPDATE ON user_auth.biometric_enrollment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION user_auth.forget_template() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.destroyed_at IS NOT NULL AND NEW.destroyed_at IS DISTINCT FROM OLD.destroyed_at THEN
        RAISE EXCEPTION 'what was destroyed does not come back'
            USING ERRCODE = 'restrict_violation', HINT = 'Enroll anew, with a consent.';
    END IF;
    IF OLD.destroyed_at IS NULL AND NEW.destroyed_at IS NOT NULL THEN
        INSERT INTO system_core.outbox_event
            (business_id, topic, event_type, aggregate_schema, aggregate_table, aggregate_id,
             payload)
        VALUES (NEW.business_id, 'vault', 'template_destroyed', 'user_auth',
                'biometric_enrollment', NEW.biometric_enrollment_id,
                jsonb_build_object('ref', OLD.template_ref));
        NEW.template_ref := NULL;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION user_auth.forget_template() IS
    'Destroying a template removes the reference and has the vault remove what it refers to; it is
     final.';

CREATE TRIGGER biometric_enrollment_forget
    BEFORE UPDATE OF destroyed_at ON user_auth.biometric_enrollment
    FOR EACH ROW WHEN (OLD.destroyed_at IS DISTINCT FROM NEW.destroyed_at)
    EXECUTE FUNCTION user_auth.forget_template();

CREATE FUNCTION user_auth.require_live_consent() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM changed AS b
        JOIN user_mgmt.user_consent AS c
            ON c.business_id = b.business_id AND c.user_consent_id = b.user_consent_id
        WHERE c.user_account_id <> b.user_account_id OR c.consent_kind <> 'biometric_processing'
            OR c.given_at > b.enrolled_at
            OR b.destroyed_at IS NULL AND (NOT c.is_granted OR c.withdrawn_at IS NOT NULL)) THEN
        RAISE EXCEPTION 'a biometric needs its own person''s live consent to biometric processing'
            USING ERRCODE = 'check_violation',
                  HINT = 'Record the consent in user_mgmt.user_consent first.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_auth.require_live_consent() IS
    'Nobody''s template is kept, whoever writes it, without that person''s consent: to this, given
     before, and not withdrawn.';

CREATE TRIGGER biometric_enrollment_consent_inserted
    AFTER INSERT ON user_auth.biometric_enrollment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_auth.require_live_consent();

CREATE TRIGGER biometric_enrollment_consent_updated
    AFTER UPDATE ON user_auth.biometric_enrollment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_auth.require_live_consent();

CREATE FUNCTION user_auth.expire_destroyed() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE user_auth.auth_enrollment AS e
    SET status = 'expired'
    FROM changed AS b
    WHERE b.destroyed_at IS NOT NULL
        AND e.business_id = b.business_id AND e.auth_enrollment_id = b.auth_enrollment_id
        AND e.status IN ('pending', 'active', 'suspended');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_auth.expire_destroyed() IS
    'Without its template a method cannot be used; a consent may be withdrawn even where that is
     the last one.';

CREATE TRIGGER biometric_enrollment_expire
    AFTER UPDATE ON user_auth.biometric_enrollment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_auth.expire_destroyed();

CREATE FUNCTION user_auth.destroy_without_consent() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE user_auth.biometric_enrollment AS b
    SET destroyed_at = greatest(now(), b.enrolled_at)
    WHERE b.business_id = NEW.business_id AND b.user_consent_id = NEW.user_consent_id
        AND b.destroyed_at IS NULL;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_auth.destroy_without_consent() IS
    'With the consent goes the template, at once.';

CREATE TRIGGER user_consent_destroy_templates
    AFTER UPDATE OF withdrawn_at, is_granted ON user_mgmt.user_consent
    FOR EACH ROW
    WHEN (NEW.consent_kind = 'biometric_processing'
          AND (NEW.withdrawn_at IS NOT NULL OR NOT NEW.is_granted))
    EXECUTE FUNCTION user_auth.destroy_without_consent();


CREATE FUNCTION user_auth.destroy_due_templates() RETURNS integer
    LANGUAGE sql VOLATILE
BEGIN ATOMIC
    WITH destroyed AS (
        UPDATE user_auth.biometric_enrollment AS b
        SET destroyed_at = greatest(now(), b.enrolled_at)
        FROM user_mgmt.user_account AS a
        WHERE b.business_id = tenant_mgmt.current_business_id() AND b.destroyed_at IS NULL
            AND a.business_id = b.business_id AND a.user_account_id = b.user_account_id
            AND (b.retention_until < current_date OR a.status IN ('deactivated', 'anonymized'))
        RETURNING 1
    )
    SELECT count(*)::integer FROM destroyed;
END;
COMMENT ON FUNCTION user_auth.destroy_due_templates() IS
    'Destroys the calling tenant''s templates that were kept long enough, or whose person left; a
     job calls it daily. Returns how many.';


CREATE TABLE user_auth.biometric_verification (
    business_id               uuid                     NOT NULL,
    biometric_verification_id uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    biometric_enrollment_id   uuid                     NOT NULL,
    user_session_id           uuid,
    match_score               system_core.probability  NOT NULL,
    threshold                 system_core.probability  NOT NULL,
    decision                  text                     NOT NULL,
    liveness_score            system_core.probability,
    capture_device            text,
    capture_quality           system_core.score,
    fallback_used             text                     NOT NULL DEFAULT 'none',
    latency_ms                system_core.milliseconds NOT NULL DEFAULT 0,
    verified_at               timestamptz              NOT NULL DEFAULT clock_timestamp(),
    created_at                timestamptz              NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, biometric_verification_id, verified_at),
    FOREIGN KEY (business_id, biometric_enrollment_id)
        REFERENCES user_auth.biometric_enrollment (business_id, biometric_enrollment_id),
    FOREIGN KEY (business_id, user_session_id)
        REFERENCES user_auth.user_session (business_id, user_session_id),
    CONSTRAINT biometric_verification_threshold_positive CHECK (threshold > 0),
    CONSTRAINT biometric_verification_decision_known
        CHECK (decision IN ('match', 'no_match', 'inconclusive', 'spoof_suspected')),
    CONSTRAINT biometric_verification_match_reaches_threshold
        CHECK (decision <> 'match' OR match_score >= threshold),
    CONSTRAINT biometric_verification_no_match_stays_below
        CHECK (decision <> 'no_match' OR match_score < threshold),
    CONSTRAINT biometric_verification_spoof_by_liveness
        CHECK (decision <> 'spoof_suspected' OR liveness_score IS NOT NULL),
    CONSTRAINT biometric_verification_quality_bounded CHECK (capture_quality BETWEEN 0 AND 100),
    CONSTRAINT biometric_verification_fallback_known
        CHECK (fallback_used IN ('none', 'pin', 'password', 'otp')),
    CONSTRAINT biometric_verification_match_needs_no_fallback
        CHECK (decision <> 'match' OR fallback_used = 'none')
) PARTITION BY RANGE (verified_at);

COMMENT ON TABLE user_auth.biometric_verification IS
    'One comparison of a live sample with a template: scores and decision, never the sample; append
     only.';
COMMENT ON COLUMN user_auth.biometric_verification.threshold IS
    'The score that a match needed then.';
COMMENT ON COLUMN user_auth.biometric_verification.fallback_used IS
    'What let the person in where the comparison did not.';

-- FK: the comparisons with a template, newest first.
CREATE INDEX biometric_verification_enrollment_idx
    ON user_auth.biometric_verification (business_id, biometric_enrollment_id, verified_at DESC);

-- FK: the comparisons of a session.
CREATE INDEX biometric_verification_session_idx
    ON user_auth.biometric_verification (business_id, user_session_id)
    WHERE user_session_id IS NOT NULL;

ALTER TABLE user_auth.biometric_verification ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_auth.biometric_verification
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON user_auth.biometric_verification TO app_user;
GRANT SELECT ON user_auth.biometric_verification TO app_readonly;

CREATE TABLE user_auth.biometric_verification_default
    PARTITION OF user_auth.biometric_verification DEFAULT;
ALTER TABLE user_auth.biometric_verification_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_auth.biometric_verification_default
    USING (business_id = tenant_mgmt.current_business_id());
SELECT system_core.create_partitions(
    'user_auth.biometric_verification', 'month', behind => 3, ahead => 1);

CREATE TRIGGER biometric_verification_append_only
    BEFORE UPDATE OR DELETE ON user_auth.biometric_verification
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('user_auth.biometric_verification');

CREATE FUNCTION user_auth.require_template() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM compared AS v
        JOIN user_auth.biometric_enrollment AS b
            ON b.business_id = v.business_id
                AND b.biometric_enrollment_id = v.biometric_enrollment_id
        LEFT JOIN user_auth.user_session AS s
            ON s.business_id = v.business_id AND s.user_session_id = v.user_session_id
        WHERE v.verified_at < b.enrolled_at OR v.verified_at > b.destroyed_at
            OR s.user_account_id <> b.user_account_id) THEN
        RAISE EXCEPTION 'compared with a template that was not there, or in another''s session'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_auth.require_template() IS
    'A template is compared between its enrollment and its destruction, with the person it is of.';

CREATE TRIGGER biometric_verification_template
    AFTER INSERT ON user_auth.biometric_verification
    REFERENCING NEW TABLE AS compared
    FOR EACH STATEMENT EXECUTE FUNCTION user_auth.require_template();


CREATE TABLE user_auth.client_certificate (
    business_id           uuid               NOT NULL,
    client_certificate_id uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id       uuid               NOT NULL,
    auth_enrollment_id    uuid               NOT NULL,
    method                text               NOT NULL DEFAULT 'client_certificate',
    serial_number         text               NOT NULL,
    issuer_dn             text               NOT NULL,
    subject_dn            text               NOT NULL,
    thumbprint_sha256     system_core.sha256 NOT NULL,
    key_algorithm         text               NOT NULL,
    status                text               NOT NULL DEFAULT 'active',
    is_smart_card         boolean            NOT NULL DEFAULT false,
    revocation_reason     text,
    not_before            timestamptz        NOT NULL,
    not_after             timestamptz        NOT NULL,
    revocation_checked_at timestamptz,
    created_at            timestamptz        NOT NULL DEFAULT now(),
    updated_at            timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, client_certificate_id),
    UNIQUE (business_id, thumbprint_sha256),
    UNIQUE (business_id, issuer_dn, serial_number),
    FOREIGN KEY (business_id, auth_enrollment_id, user_account_id, method)
        REFERENCES user_auth.auth_enrollment
            (business_id, auth_enrollment_id, user_account_id, method),
    CONSTRAINT client_certificate_proves_client_certificate
        CHECK (method = 'client_certificate'),
    CONSTRAINT client_certificate_serial_number_hex
        CHECK (serial_number ~ '^[0-9a-f]{1,40}$'),
    CONSTRAINT client_certificate_key_algorithm_known
        CHECK (key_algorithm IN ('rsa2048', 'rsa3072', 'rsa4096', 'p256', 'p384', 'ed25519')),
    CONSTRAINT client_certificate_status_known
        CHECK (status IN ('active', 'revoked', 'expired', 'superseded')),
    CONSTRAINT client_certificate_revoked_has_reason
        CHECK ((status = 'revoked') = (revocation_reason IS NOT NULL)),
    CONSTRAINT client_certificate_revocation_reason_known
        CHECK (revocation_reason IN ('unspecified', 'key_compromise', 'ca_compromise',
                                     'affiliation_changed', 'superseded',
                                     'cessation_of_operation', 'certificate_hold',
                                     'privilege_withdrawn')),
    CONSTRAINT client_certificate_valid_for_a_time CHECK (not_after > not_before),
    CONSTRAINT client_certificate_checked_after_issue CHECK (revocation_checked_at >= not_before)
);

COMMENT ON TABLE user_auth.client_certificate IS
    'An X.509 certificate that signs an account in by mTLS, or from a PIV or CAC card.';
COMMENT ON COLUMN user_auth.client_certificate.serial_number IS
    'In lower-case hexadecimal; at most 20 bytes (RFC 5280).';
COMMENT ON COLUMN user_auth.client_certificate.revocation_reason IS 'As in RFC 5280, 5.3.1.';
COMMENT ON COLUMN user_auth.client_certificate.revocation_checked_at IS
    'When OCSP or the list of the issuer was last asked.';

-- One certificate of an enrollment is active; a new one supersedes it.
CREATE UNIQUE INDEX client_certificate_active_idx
    ON user_auth.client_certificate (business_id, user_account_id, auth_enrollment_id)
    WHERE status = 'active';

-- FK: the certificates of an enrollment.
CREATE INDEX client_certificate_enrollment_idx
    ON user_auth.client_certificate (business_id, user_account_id, auth_enrollment_id, method);

ALTER TABLE user_auth.client_certificate ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_auth.client_certificate
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_auth.client_certificate TO app_user;
GRANT SELECT ON user_auth.client_certificate TO app_readonly;

CREATE TRIGGER client_certificate_touch
    BEFORE UPDATE ON user_auth.client_certificate
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER client_certificate_status_machine
    BEFORE INSERT OR UPDATE OF status ON user_auth.client_certificate
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["active"],
        "transitions": {
            "active":     ["revoked", "expired", "superseded"],
            "superseded": ["revoked", "expired"],
            "expired":    [],
            "revoked":    []
        }}');


CREATE FUNCTION user_auth.account_of_certificate(thumbprint bytea) RETURNS uuid
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT c.user_account_id
    FROM user_auth.client_certificate AS c
    JOIN user_auth.auth_enrollment AS e
        ON e.business_id = c.business_id AND e.auth_enrollment_id = c.auth_enrollment_id
    WHERE c.business_id = tenant_mgmt.current_business_id() AND c.thumbprint_sha256 = thumbprint
        AND c.status = 'active' AND now() BETWEEN c.not_before AND c.not_after
        AND c.revocation_checked_at > now() - interval '1 day'
        AND e.status = 'active';
END;
COMMENT ON FUNCTION user_auth.account_of_certificate(bytea) IS
    'Whom a certificate that was presented signs in to the calling tenant: NULL where it is not
     enrolled, not valid now, or was not looked up for revocation within a day.';


CREATE VIEW user_auth.v_security_posture WITH (security_invoker = true) AS
SELECT a.business_id, a.user_account_id, a.display_name, a.account_kind, a.mfa_required,
       coalesce(m.methods, '{}') AS methods,
       m.strongest_assurance,
       coalesce(m.is_phishing_resistant, false) AS is_phishing_resistant,
       coalesce(m.has_second_factor, false) AS has_second_factor,
       p.set_at AS password_set_at,
       coalesce(p.must_change OR p.is_breached OR p.expires_at <= now()
                OR p.set_at < now() - interval '365 days', false) AS has_stale_password,
       coalesce(p.is_breached, false) AS has_breached_password,
       (SELECT count(*)::integer FROM user_auth.recovery_code AS r
        WHERE r.business_id = a.business_id AND r.user_account_id = a.user_account_id
            AND r.used_at IS NULL AND r.invalidated_at IS NULL) AS recovery_codes_left,
       (SELECT coalesce(array_agg(q.method ORDER BY q.method), '{}')
        FROM user_auth.auth_method_policy AS q
        WHERE q.business_id = a.business_id AND q.is_enabled AND q.enforced_from <= current_date
            AND q.method <> ALL (coalesce(m.methods, '{}'))
            AND user_auth.method_is_for(q.applies_to, ROW(a.*)::user_mgmt.user_account))
           AS missing_methods,
       m.last_used_at
FROM user_mgmt.user_account AS a
LEFT JOIN LATERAL (
    SELECT array_agg(DISTINCT e.method ORDER BY e.method) AS methods,
           max(q.assurance_level) AS strongest_assurance,
           bool_or(q.is_phishing_resistant) AS is_phishing_resistant,
           bool_or(q.usable_as IN ('second_factor', 'both')) AS has_second_factor,
           max(e.last_used_at) AS last_used_at
    FROM user_auth.auth_enrollment AS e
    JOIN user_auth.auth_method_policy AS q
        ON q.business_id = e.business_id AND q.method = e.method AND q.is_enabled
    WHERE e.business_id = a.business_id AND e.user_account_id = a.user_account_id
        AND e.status = 'active'
) AS m ON true
LEFT JOIN LATERAL (
    SELECT c.set_at, c.must_change, c.is_breached, c.expires_at
    FROM user_auth.password_credential AS c
    JOIN user_auth.auth_enrollment AS e
        ON e.business_id = c.business_id AND e.auth_enrollment_id = c.auth_enrollment_id
            AND e.status = 'active'
    WHERE c.business_id = a.business_id AND c.user_account_id = a.user_account_id
        AND c.is_current
    ORDER BY c.set_at
    LIMIT 1
) AS p ON true
WHERE a.business_id = tenant_mgmt.current_business_id() AND a.status = 'active';
COMMENT ON VIEW user_auth.v_security_posture IS
    'Per active account of the tenant: what it has enrolled, the strongest assurance of that,
     whether it withstands phishing, whether the password is stale (a year old, expired, breached or
     to be changed), codes left for recovery, and methods that are demanded of it and missing.';
GRANT SELECT ON user_auth.v_security_posture TO app_user, app_readonly;
