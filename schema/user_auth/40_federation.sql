/*
 * Federation: signing in by somebody else's word.
 *
 * identity_provider is an outside provider that the tenant trusts, by OpenID Connect or SAML, with
 * the domains whose people it vouches for. federated_identity binds a subject of the provider to
 * an account, below an enrollment of 20_method.sql. link_identity() takes what a provider asserted
 * and returns the account: the one that the subject is bound to, the one with the same address
 * where the provider verified that, or a new one where the provider may make accounts.
 */

CREATE TABLE user_auth.identity_provider (
    business_id            uuid                    NOT NULL,
    identity_provider_id   uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    default_role_id        uuid,
    kind                   text                    NOT NULL,
    name                   text                    NOT NULL,
    issuer                 text                    NOT NULL,
    client_identifier      text                    NOT NULL,
    secret_ref             system_core.vault_ref,
    metadata               system_core.json_object NOT NULL DEFAULT '{}',
    domain_hints           text[]                  NOT NULL DEFAULT '{}',
    jit_provisioning       boolean                 NOT NULL DEFAULT false,
    attribute_mapping      system_core.json_object NOT NULL DEFAULT
        '{"email": "email", "email_verified": "email_verified", "display_name": "name"}',
    required_acr           text,
    status                 text                    NOT NULL DEFAULT 'testing',
    certificate_expires_at timestamptz,
    created_at             timestamptz             NOT NULL DEFAULT now(),
    updated_at             timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, identity_provider_id),
    UNIQUE (business_id, issuer),
    -- An identity names its provider together with its kind, which its method has to fit.
    UNIQUE (business_id, identity_provider_id, kind),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, default_role_id)
        REFERENCES user_rbac.role (business_id, role_id),
    CONSTRAINT identity_provider_kind_known CHECK (kind IN ('oidc', 'saml')),
    CONSTRAINT identity_provider_status_known
        CHECK (status IN ('active', 'testing', 'disabled')),
    CONSTRAINT identity_provider_oidc_issuer_is_https
        CHECK (kind <> 'oidc' OR issuer ~ '^https://[^\s?#]+$'),
    CONSTRAINT identity_provider_saml_certificate_expires
        CHECK (kind <> 'saml' OR certificate_expires_at IS NOT NULL),
    CONSTRAINT identity_provider_hints_are_lower_case
        CHECK (lower(domain_hints::text) = domain_hints::text),
    CONSTRAINT identity_provider_hints_are_not_null
        CHECK (array_position(domain_hints, NULL) IS NULL),
    CONSTRAINT identity_provider_maps_email CHECK (attribute_mapping ? 'email'),
    CONSTRAINT identity_provider_makes_accounts_with_role
        CHECK (NOT jit_provisioning OR default_role_id IS NOT NULL)
);

COMMENT ON TABLE user_auth.identity_provider IS
    'An outside identity provider that the tenant trusts.';
COMMENT ON COLUMN user_auth.identity_provider.issuer IS
    'The issuer of OpenID Connect, the entityID of SAML.';
COMMENT ON COLUMN user_auth.identity_provider.client_identifier IS
    'What the provider knows us as: client_id, or our entityID.';
COMMENT ON COLUMN user_auth.identity_provider.secret_ref IS
    'Where the client secret lies; NULL for a public client, or SAML without encryption.';
COMMENT ON COLUMN user_auth.identity_provider.metadata IS
    'As discovered: end points, key sets, certificates.';
COMMENT ON COLUMN user_auth.identity_provider.domain_hints IS
    'Domains of addresses whose sign-in goes to it; each belongs to one provider.';
COMMENT ON COLUMN user_auth.identity_provider.attribute_mapping IS
    'Object of email, email_verified and display_name to the claim that has it.';
COMMENT ON COLUMN user_auth.identity_provider.required_acr IS
    'The authentication context that has to be asserted; NULL for any.';
COMMENT ON COLUMN user_auth.identity_provider.jit_provisioning IS
    'Whether somebody unknown whom it vouches for gets an account, with the default role.';

-- FK: the providers that give a role.
CREATE INDEX identity_provider_role_idx
    ON user_auth.identity_provider (business_id, default_role_id)
    WHERE default_role_id IS NOT NULL;

ALTER TABLE user_auth.identity_provider ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_auth.identity_provider
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_auth.identity_provider TO app_user;
GRANT SELECT ON user_auth.identity_provider TO app_readonly;

CREATE TRIGGER identity_provider_touch
    BEFORE UPDATE ON user_auth.identity_provider
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION user_auth.require_own_domains() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    shared record;
BEGIN
    -- Two who claim a domain wait for each other.
    PERFORM FROM tenant_mgmt.business AS b
    WHERE b.business_id IN (SELECT c.business_id FROM changed AS c)
    ORDER BY b.business_id
    FOR NO KEY UPDATE;
    SELECT p.name, h.domain INTO shared
    FROM changed AS c
    CROSS JOIN LATERAL unnest(c.domain_hints) AS h (domain)
    JOIN user_auth.identity_provider AS p
        ON p.business_id = c.business_id AND p.identity_provider_id <> c.identity_provider_id
            AND h.domain = ANY (p.domain_hints)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the domain % belongs to provider %', shared.domain, shared.name
            USING ERRCODE = 'exclusion_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_auth.require_own_domains() IS
    'A domain hint belongs to one provider, or it would not tell where to go.';

CREATE TRIGGER identity_provider_domains_inserted
    AFTER INSERT ON user_auth.identity_provider
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_auth.require_own_domains();

CREATE TRIGGER identity_provider_domains_updated
    AFTER UPDATE ON user_auth.identity_provider
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_auth.require_own_domains();


CREATE TABLE user_auth.federated_identity (
    business_id                   uuid                    NOT NULL,
    federated_identity_id         uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id               uuid                    NOT NULL,
    auth_enrollment_id            uuid                    NOT NULL,
    method                        text                    NOT NULL,
    identity_provider_id          uuid                    NOT NULL,
    provider_kind                 text                    NOT NULL,
    subject                       text                    NOT NULL,
    provider_email                system_core.email,
    name_id_format                text,
    last_amr                      text[]                  NOT NULL DEFAULT '{}',
    last_acr                      text,
    claims                        system_core.json_object NOT NULL DEFAULT '{}',
    is_email_verified_by_provider boolean                 NOT NULL DEFAULT false,
    linked_at                     timestamptz             NOT NULL DEFAULT now(),
    last_asserted_at              timestamptz,
    unlinked_at                   timestamptz,
    created_at                    timestamptz             NOT NULL DEFAULT now(),
    updated_at                    timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, federated_identity_id),
    UNIQUE (business_id, identity_provider_id, subject),
    FOREIGN KEY (business_id, auth_enrollment_id, user_account_id, method)
        REFERENCES user_auth.auth_enrollment
            (business_id, auth_enrollment_id, user_account_id, method),
    FOREIGN KEY (business_id, identity_provider_id, provider_kind)
        REFERENCES user_auth.identity_provider (business_id, identity_provider_id, kind),
    CONSTRAINT federated_identity_proves_federation
        CHECK (method IN ('oidc_federation', 'saml_sso')),
    CONSTRAINT federated_identity_method_of_provider
        CHECK (provider_kind = CASE method WHEN 'saml_sso' THEN 'saml' ELSE 'oidc' END),
    CONSTRAINT federated_identity_only_saml_has_format
        CHECK (provider_kind = 'saml' OR name_id_format IS NULL),
    CONSTRAINT federated_identity_verified_has_email
        CHECK (NOT is_email_verified_by_provider OR provider_email IS NOT NULL),
    CONSTRAINT federated_identity_asserted_after_linking CHECK (last_asserted_at >= linked_at),
    CONSTRAINT federated_identity_unlinked_after_linking CHECK (unlinked_at >= linked_at)
);

COMMENT ON TABLE user_auth.federated_identity IS
    'A subject of an outside provider, bound to an account.';
COMMENT ON COLUMN user_auth.federated_identity.subject IS
    'The sub of OpenID Connect, the NameID of SAML: never reassigned, unlike an address.';
COMMENT ON COLUMN user_auth.federated_identity.last_amr IS
    'How the provider says that it authenticated, like last_acr.';
COMMENT ON COLUMN user_auth.federated_identity.claims IS
    'Object of the claims that were asserted last; tokens are not kept.';

-- FK: the identity behind an enrollment; one is linked at a time.
CREATE UNIQUE INDEX federated_identity_linked_idx
    ON user_auth.federated_identity (business_id, user_account_id, auth_enrollment_id, method)
    WHERE unlinked_at IS NULL;

-- FK: the identities behind an enrollment, unlinked ones too.
CREATE INDEX federated_identity_enrollment_idx
    ON user_auth.federated_identity (business_id, user_account_id, auth_enrollment_id, method);

-- FK: the identities of a provider.
CREATE INDEX federated_identity_provider_idx
    ON user_auth.federated_identity (business_id, identity_provider_id, provider_kind);

ALTER TABLE user_auth.federated_identity ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_auth.federated_identity
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_auth.federated_identity TO app_user;
GRANT SELECT ON user_auth.federated_identity TO app_readonly;

CREATE TRIGGER federated_identity_touch
    BEFORE UPDATE ON user_auth.federated_identity
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE FUNCTION user_auth.provision_from_provider(
    provider user_auth.identity_provider, email text, display_name text
) RETURNS uuid
    LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    made   uuid;
BEGIN
    INSERT INTO user_mgmt.user_account AS a
        (business_id, username, email, display_name, account_kind, locale, time_zone)
    SELECT tenant, lower(email), email,
           coalesce(nullif(btrim(display_name), ''), split_part(email, '@', 1)),
           'staff', b.locale, b.time_zone
    FROM tenant_mgmt.business AS b
    WHERE b.business_id = tenant
    RETURNING a.user_account_id INTO made;
    UPDATE user_mgmt.user_account AS a
    SET status = 'active', activated_at = now()
    WHERE a.business_id = tenant AND a.user_account_id = made;
    INSERT INTO user_rbac.role_assignment
        (business_id, user_account_id, role_id, origin, justification)
    VALUES (tenant, made, provider.default_role_id, 'direct',
            'Vouched for by ' || provider.name);
    RETURN made;
END
$$;
COMMENT ON FUNCTION user_auth.provision_from_provider(
    user_auth.identity_provider, text, text) IS
    'Makes an account of the calling tenant, with the provider''s default role, for somebody whom
     the provider vouches for.';


CREATE FUNCTION user_auth.link_identity(
    provider uuid, subject text, claims jsonb, name_id_format text DEFAULT NULL
) RETURNS uuid
    LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    tenant   CONSTANT uuid := tenant_mgmt.current_business_id();
    trusted  user_auth.identity_provider;
    asserted record;
    bound    user_auth.federated_identity;
    account  user_mgmt.user_account;
    way      text;
    enrolled uuid;
BEGIN
    SELECT * INTO trusted
    FROM user_auth.identity_provider AS p
    WHERE p.business_id = tenant AND p.identity_provider_id = provider
        AND p.status IN ('active', 'testing');
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such provider, or it is disabled'
            USING ERRCODE = 'no_data_found';
    END IF;

    -- The claims with fixed names; which claims hold the others is the provider's mapping.
    SELECT claims ->> coalesce(m.email, 'email') AS email,
           coalesce((claims ->> coalesce(m.email_verified, 'email_verified')) IN ('true', '1'),
                    false) AS is_verified,
           claims ->> coalesce(m.display_name, 'name') AS display_name,
           c.acr, coalesce((SELECT array_agg(x.amr ORDER BY x.place)
                            FROM JSON_TABLE(claims, 'lax $.amr[*]' COLUMNS (
                                place FOR ORDINALITY, amr text PATH '$')) AS x),
                           '{}') AS amr
    INTO asserted
    FROM JSON_TABLE(trusted.attribute_mapping::jsonb, '$' COLUMNS (
            email          text PATH '$.email',
            email_verified text PATH '$.email_verified',
            display_name   text PATH '$.display_name')) AS m,
         JSON_TABLE(claims, '$' COLUMNS (acr text PATH '$.acr')) AS c;
    IF trusted.required_acr IS NOT NULL AND asserted.acr IS DISTINCT FROM trusted.required_acr THEN
        RAISE EXCEPTION 'provider % asserted %, but % is required', trusted.name,
            coalesce(asserted.acr, 'no authentication context'), trusted.required_acr
            USING ERRCODE = 'insufficient_privilege';
    END IF;

    UPDATE user_auth.federated_identity AS f
    SET provider_email = asserted.email,
        is_email_verified_by_provider = asserted.is_verified AND asserted.email IS NOT NULL,
        last_amr = asserted.amr, last_acr = asserted.acr, claims = link_identity.claims,
        last_asserted_at = now()
    WHERE f.business_id = tenant AND f.identity_provider_id = provider AND f.subject = subject
        AND f.unlinked_at IS NULL
    RETURNING f.* INTO bound;
    IF FOUND THEN
        RETURN bound.user_account_id;
    END IF;

    IF asserted.email IS NULL OR NOT asserted.is_verified THEN
        RAISE EXCEPTION 'provider % did not verify the address of %', trusted.name, subject
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'The account links it while it is signed in by another method.';
    END IF;
    SELECT * INTO account
    FROM user_mgmt.user_account AS a
    WHERE a.business_id = tenant AND a.email_normalized = lower(asserted.email)
        AND a.status <> 'anonymized'
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        IF NOT trusted.jit_provisioning OR trusted.status <> 'active' THEN
            RAISE EXCEPTION 'nobody here has the address that provider % vouches for',
                trusted.name
                USING ERRCODE = 'no_data_found', HINT = 'Invite them first.';
        END IF;
        account.user_account_id := user_auth.provision_from_provider(
            trusted, asserted.email, asserted.display_name);
    END IF;

    way := CASE trusted.kind WHEN 'saml' THEN 'saml_sso' ELSE 'oidc_federation' END;
    INSERT INTO user_auth.auth_enrollment AS e
        (business_id, user_account_id, method, friendly_name, status, confirmed_at)
    VALUES (tenant, account.user_account_id, way, trusted.name, 'active', now())
    RETURNING e.auth_enrollment_id INTO enrolled;
    -- One that was unlinked is taken up again.
    DELETE FROM user_auth.federated_identity AS f
    WHERE f.business_id = tenant AND f.identity_provider_id = provider AND f.subject = subject
        AND f.unlinked_at IS NOT NULL;
    INSERT INTO user_auth.federated_identity
        (business_id, user_account_id, auth_enrollment_id, method, identity_provider_id,
         provider_kind, subject, provider_email, name_id_format, last_amr, last_acr, claims,
         is_email_verified_by_provider, last_asserted_at)
    VALUES (tenant, account.user_account_id, enrolled, way, provider, trusted.kind, subject,
            asserted.email, name_id_format, asserted.amr, asserted.acr, link_identity.claims,
            true, now());
    RETURN account.user_account_id;
END
$$;
COMMENT ON FUNCTION user_auth.link_identity(uuid, text, jsonb, text) IS
    'The account of the calling tenant that a provider asserted, and the caller validated, by
     subject and claims. A subject that is bound is that account''s, whatever its address says now;
     another is bound by its address, only where the provider verified it, to the account that has
     it, or to a new one where the provider makes accounts.';


CREATE FUNCTION user_auth.unlink_identity(identity uuid) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    behind uuid;
BEGIN
    UPDATE user_auth.federated_identity AS f
    SET unlinked_at = greatest(now(), f.linked_at)
    WHERE f.business_id = tenant AND f.federated_identity_id = identity AND f.unlinked_at IS NULL
    RETURNING f.auth_enrollment_id INTO behind;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such identity, or it is not linked'
            USING ERRCODE = 'no_data_found';
    END IF;
    UPDATE user_auth.auth_enrollment AS e
    SET status = 'revoked', revoked_at = now(), revoke_reason = 'identity unlinked'
    WHERE e.business_id = tenant AND e.auth_enrollment_id = behind
        AND e.status IN ('pending', 'active', 'suspended');
END
$$;
COMMENT ON FUNCTION user_auth.unlink_identity(uuid) IS
    'Unbinds a subject from the calling tenant''s account and revokes the enrollment; refused where
     the account could not sign in any more.';
