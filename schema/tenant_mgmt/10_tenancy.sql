/*
 * A tenant's identity and place: what it has switched on, where it works, how it is reached,
 * how strictly it is separated and where its shards lie.
 *
 * Everything hangs on business (00_tenancy.sql). business_module says which industry schemas
 * it uses; business_location, business_domain and business_contact are its sites, hosts and
 * people; isolation_policy is the one statement of its separation. shard_placement is what
 * Citus was last seen to do with it, tenant_move a change of that, and business_status_event
 * the history of business.status, written by the trigger below and by nobody else.
 */


-- Rules of business that need the tables of this file. The functions run when they are
-- called, so they may stand above those tables.

-- A short name is claimed by the key of its tenant: two tenants of the same slug would have the
-- same primary key. This holds on Citus, where a unique index on slug alone is impossible, and
-- needs no role that sees other tenants.
CREATE FUNCTION tenant_mgmt.business_key(slug text) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN encode(substring(sha256(('business:' || slug)::bytea) FOR 16), 'hex')::uuid;
COMMENT ON FUNCTION tenant_mgmt.business_key(text) IS
    'The business_id that provision_business() gives to a slug; also resolves the platform
     sub-domain of a request to its tenant without a look-up.';


CREATE FUNCTION tenant_mgmt.explain_change(cause text, reason text DEFAULT '') RETURNS void
    LANGUAGE plpgsql
    SET citus.propagate_set_commands = 'local' AS $$
BEGIN
    EXECUTE format('SET LOCAL app.change_cause = %L', cause);
    EXECUTE format('SET LOCAL app.status_reason = %L', reason);
END
$$;
COMMENT ON FUNCTION tenant_mgmt.explain_change(text, text) IS
    'Says why the changes that follow in this transaction happen: cause goes to
     subscription_event, reason to business_status_event. Empty text takes it back.';


CREATE FUNCTION tenant_mgmt.stamp_business_status() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status = 'active' THEN
        NEW.activated_at := coalesce(NEW.activated_at, now());
    ELSIF NEW.status = 'closed' THEN
        NEW.closed_at := coalesce(NEW.closed_at, now());
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.stamp_business_status() IS
    'Dates the first activation and the closing of a tenant.';

CREATE TRIGGER business_stamp_status
    BEFORE UPDATE OF status ON tenant_mgmt.business
    FOR EACH ROW WHEN (NEW.status <> OLD.status)
    EXECUTE FUNCTION tenant_mgmt.stamp_business_status();


CREATE FUNCTION tenant_mgmt.log_business_status() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    actor CONSTANT uuid := nullif(current_setting('app.user_account_id', true), '')::uuid;
BEGIN
    INSERT INTO tenant_mgmt.business_status_event (
        business_id, actor_user_account_id, from_status, to_status, reason_code,
        occurred_at, effective_at, is_automatic)
    VALUES (
        NEW.business_id, actor, OLD.status, NEW.status,
        coalesce(
            nullif(current_setting('app.status_reason', true), ''),
            CASE
                WHEN NEW.status = 'past_due' THEN 'payment_failed'
                WHEN OLD.status = 'past_due' AND NEW.status = 'active' THEN 'payment_recovered'
                WHEN OLD.status = 'past_due' AND NEW.status = 'suspended' THEN 'payment_failed'
                WHEN NEW.status IN ('closing', 'closed') THEN 'owner_request'
                WHEN OLD.status IN ('provisioning', 'trialing') AND NEW.status <> 'suspended'
                    THEN 'signup'
                ELSE 'platform_review'
            END),
        now(), now(), actor IS NULL);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.log_business_status() IS
    'Writes business_status_event. The reason is what explain_change() said, else what the
     transition itself tells; the actor is the setting app.user_account_id.';

CREATE TRIGGER business_log_status
    AFTER UPDATE OF status ON tenant_mgmt.business
    FOR EACH ROW WHEN (NEW.status <> OLD.status)
    EXECUTE FUNCTION tenant_mgmt.log_business_status();


CREATE FUNCTION tenant_mgmt.guard_business() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    END IF;
    RAISE EXCEPTION '%', TG_ARGV[0]
        USING ERRCODE = 'restrict_violation', HINT = TG_ARGV[1];
END
$$;
COMMENT ON FUNCTION tenant_mgmt.guard_business() IS
    'Refuses to applications what only the platform may do to a tenant; the arguments are the
     message and the way to go instead. The platform''s roles bypass row security.';

CREATE TRIGGER business_refuse_deletion
    BEFORE DELETE ON tenant_mgmt.business
    FOR EACH ROW EXECUTE FUNCTION tenant_mgmt.guard_business(
        'a tenant is not deleted', 'Call close_business(); the platform purges it later.');

CREATE TRIGGER business_refuse_new_slug
    BEFORE UPDATE OF slug ON tenant_mgmt.business
    FOR EACH ROW WHEN (NEW.slug <> OLD.slug)
    EXECUTE FUNCTION tenant_mgmt.guard_business(
        'slug is the key of the tenant and stays', 'Change display_name, or add a custom domain.');

CREATE TRIGGER business_refuse_promotion
    BEFORE INSERT OR UPDATE OF is_platform_operator ON tenant_mgmt.business
    FOR EACH ROW WHEN (NEW.is_platform_operator)
    EXECUTE FUNCTION tenant_mgmt.guard_business(
        'no tenant makes itself the platform operator', 'The platform names its one operator.');


CREATE TABLE tenant_mgmt.business_module (
    business_id        uuid                    NOT NULL,
    business_module_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    enabled_by         uuid,
    module_code        text                    NOT NULL,
    state              text                    NOT NULL DEFAULT 'trial',
    schema_version     text                    NOT NULL,
    seat_limit         integer,
    settings           system_core.json_object NOT NULL DEFAULT '{}',
    enabled_at         timestamptz             NOT NULL DEFAULT now(),
    disabled_at        timestamptz,
    data_purge_after   date,
    created_at         timestamptz             NOT NULL DEFAULT now(),
    updated_at         timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, business_module_id),
    UNIQUE (business_id, module_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, enabled_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT business_module_code_known
        CHECK (module_code IN ('hs', 'auto', 'rest', 'ret', 'courses', 'payroll')),
    CONSTRAINT business_module_state_known
        CHECK (state IN ('enabled', 'trial', 'read_only', 'disabled')),
    CONSTRAINT business_module_seat_limit_positive CHECK (seat_limit > 0),
    CONSTRAINT business_module_disabled_has_time
        CHECK ((state = 'disabled') = (disabled_at IS NOT NULL)),
    CONSTRAINT business_module_disabled_after_enabled CHECK (disabled_at > enabled_at),
    CONSTRAINT business_module_purge_only_disabled
        CHECK (data_purge_after IS NULL OR state = 'disabled')
);

COMMENT ON TABLE tenant_mgmt.business_module IS
    'An industry schema that the tenant uses, with its limits and settings.';
COMMENT ON COLUMN tenant_mgmt.business_module.schema_version IS
    'Release of the module that the tenant''s settings were last migrated to.';
COMMENT ON COLUMN tenant_mgmt.business_module.data_purge_after IS
    'The module''s rows of this tenant are purged after this day.';

-- Foreign key enabled_by.
CREATE INDEX business_module_enabled_by_idx
    ON tenant_mgmt.business_module (business_id, enabled_by)
    WHERE enabled_by IS NOT NULL;

-- The purge job: what is due.
CREATE INDEX business_module_purge_idx
    ON tenant_mgmt.business_module (business_id, data_purge_after)
    WHERE data_purge_after IS NOT NULL;

ALTER TABLE tenant_mgmt.business_module ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.business_module
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.business_module TO app_user;
GRANT SELECT ON tenant_mgmt.business_module TO app_readonly;

CREATE TRIGGER business_module_touch
    BEFORE UPDATE ON tenant_mgmt.business_module
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE tenant_mgmt.business_location (
    business_id             uuid                   NOT NULL,
    business_location_id    uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    postal_address_id       uuid,
    manager_user_account_id uuid,
    code                    system_core.code       NOT NULL,
    name                    text                   NOT NULL,
    kind                    text                   NOT NULL,
    phone                   system_core.phone,
    email                   system_core.email,
    time_zone               system_core.time_zone  NOT NULL,
    opening_hours           system_core.json_array NOT NULL DEFAULT '[]',
    tax_region_code         system_core.code,
    is_active               boolean                NOT NULL DEFAULT true,
    opened_on               date,
    closed_on               date,
    created_at              timestamptz            NOT NULL DEFAULT now(),
    updated_at              timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, business_location_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, postal_address_id)
        REFERENCES system_core.postal_address (business_id, postal_address_id),
    FOREIGN KEY (business_id, manager_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT business_location_kind_known
        CHECK (kind IN ('headquarters', 'branch', 'shop', 'restaurant', 'cloud_kitchen',
                        'warehouse', 'depot', 'campus')),
    CONSTRAINT business_location_hours_are_spans
        CHECK (NOT jsonb_path_exists(opening_hours,
            '$[*] ? (!(@.weekday >= 1 && @.weekday <= 7
                       && @.opens like_regex "^[0-2][0-9]:[0-5][0-9]$"
                       && @.closes like_regex "^[0-2][0-9]:[0-5][0-9]$"))')),
    CONSTRAINT business_location_closed_after_opened CHECK (closed_on > opened_on)
);

COMMENT ON TABLE tenant_mgmt.business_location IS
    'A site of the tenant: branch, shop, restaurant, depot or campus.';
COMMENT ON COLUMN tenant_mgmt.business_location.opening_hours IS
    'Array of {"weekday": 1 (Monday) to 7, "opens": "08:00", "closes": "17:30"} in the time zone
     of the site; a span that closes before it opens runs past midnight.';
COMMENT ON COLUMN tenant_mgmt.business_location.tax_region_code IS
    'Tax jurisdiction of sales made here, such as US-TX.';

-- A tenant has one headquarters.
CREATE UNIQUE INDEX business_location_headquarters_idx
    ON tenant_mgmt.business_location (business_id)
    WHERE kind = 'headquarters';

-- Foreign key postal_address_id.
CREATE INDEX business_location_postal_address_idx
    ON tenant_mgmt.business_location (business_id, postal_address_id)
    WHERE postal_address_id IS NOT NULL;

-- Foreign key manager_user_account_id.
CREATE INDEX business_location_manager_idx
    ON tenant_mgmt.business_location (business_id, manager_user_account_id)
    WHERE manager_user_account_id IS NOT NULL;

ALTER TABLE tenant_mgmt.business_location ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.business_location
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.business_location TO app_user;
GRANT SELECT ON tenant_mgmt.business_location TO app_readonly;

CREATE TRIGGER business_location_touch
    BEFORE UPDATE ON tenant_mgmt.business_location
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE FUNCTION tenant_mgmt.open_locations(moment timestamptz DEFAULT now())
    RETURNS TABLE (business_location_id uuid, code text, name text, closes time)
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT l.business_location_id, l.code, l.name, max(span.closes)
    FROM tenant_mgmt.business_location AS l
    CROSS JOIN LATERAL (
        SELECT moment AT TIME ZONE l.time_zone AS clock
    ) AS here
    CROSS JOIN JSON_TABLE(l.opening_hours, '$[*]' COLUMNS (
        weekday integer PATH '$.weekday',
        opens   time    PATH '$.opens',
        closes  time    PATH '$.closes'
    )) AS span
    WHERE l.business_id = tenant_mgmt.current_business_id()
      AND l.is_active
      AND (
          span.weekday = extract(isodow FROM here.clock)
              AND here.clock::time >= span.opens
              AND (here.clock::time < span.closes OR span.closes <= span.opens)
          OR span.weekday = extract(isodow FROM here.clock - interval '1 day')
              AND span.closes <= span.opens
              AND here.clock::time < span.closes)
    GROUP BY l.business_location_id, l.code, l.name
    ORDER BY l.code;
END;
COMMENT ON FUNCTION tenant_mgmt.open_locations(timestamptz) IS
    'Sites of the current tenant that are open at the moment, each by its own clock.';


CREATE TABLE tenant_mgmt.business_domain (
    business_id            uuid                  NOT NULL,
    business_domain_id     uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    host_name              system_core.host_name NOT NULL,
    kind                   text                  NOT NULL,
    verification_method    text,
    verification_token     text,
    verified_at            timestamptz,
    certificate_state      text                  NOT NULL DEFAULT 'none',
    certificate_expires_at timestamptz,
    is_primary             boolean               NOT NULL DEFAULT false,
    redirect_to_host       system_core.host_name,
    created_at             timestamptz           NOT NULL DEFAULT now(),
    updated_at             timestamptz           NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, business_domain_id),
    UNIQUE (business_id, host_name),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT business_domain_kind_known
        CHECK (kind IN ('platform_subdomain', 'custom', 'email_sending')),
    CONSTRAINT business_domain_verification_method_known
        CHECK (verification_method IN ('dns_txt', 'cname', 'http_file')),
    CONSTRAINT business_domain_foreign_host_is_proved
        CHECK ((kind = 'platform_subdomain') = (verification_method IS NULL)),
    CONSTRAINT business_domain_proof_has_token
        CHECK ((verification_method IS NULL) = (verification_token IS NULL)),
    CONSTRAINT business_domain_certificate_state_known
        CHECK (certificate_state IN ('none', 'pending', 'issued', 'expiring', 'failed')),
    CONSTRAINT business_domain_certificate_has_expiry
        CHECK (certificate_state NOT IN ('issued', 'expiring')
               OR certificate_expires_at IS NOT NULL),
    CONSTRAINT business_domain_primary_is_verified
        CHECK (NOT is_primary OR verified_at IS NOT NULL),
    CONSTRAINT business_domain_primary_does_not_redirect
        CHECK (NOT is_primary OR redirect_to_host IS NULL),
    CONSTRAINT business_domain_redirects_elsewhere CHECK (redirect_to_host <> host_name)
);

COMMENT ON TABLE tenant_mgmt.business_domain IS
    'A host name under which the tenant is reached, with proof of ownership and certificate.';
COMMENT ON COLUMN tenant_mgmt.business_domain.host_name IS
    'One owner in the world: a platform sub-domain by the slug''s key, any other by its proof.';
COMMENT ON COLUMN tenant_mgmt.business_domain.verification_token IS
    'What the tenant publishes in its DNS or on its site; not a secret.';

-- A tenant has one primary host.
CREATE UNIQUE INDEX business_domain_primary_idx
    ON tenant_mgmt.business_domain (business_id)
    WHERE is_primary;

-- The certificate job: what runs out next.
CREATE INDEX business_domain_certificate_idx
    ON tenant_mgmt.business_domain (business_id, certificate_expires_at)
    WHERE certificate_state IN ('issued', 'expiring');

ALTER TABLE tenant_mgmt.business_domain ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.business_domain
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.business_domain TO app_user;
GRANT SELECT ON tenant_mgmt.business_domain TO app_readonly;

CREATE TRIGGER business_domain_touch
    BEFORE UPDATE ON tenant_mgmt.business_domain
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE tenant_mgmt.business_contact (
    business_id               uuid                    NOT NULL,
    business_contact_id       uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id           uuid,
    role                      text                    NOT NULL,
    full_name                 system_core.person_name NOT NULL,
    email                     system_core.email       NOT NULL,
    phone                     system_core.phone,
    is_primary                boolean                 NOT NULL DEFAULT false,
    receives_invoices         boolean                 NOT NULL DEFAULT false,
    receives_incident_notices boolean                 NOT NULL DEFAULT false,
    verified_at               timestamptz,
    removed_at                timestamptz,
    created_at                timestamptz             NOT NULL DEFAULT now(),
    updated_at                timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, business_contact_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT business_contact_role_known
        CHECK (role IN ('owner', 'billing', 'technical', 'security', 'privacy_officer',
                        'legal')),
    CONSTRAINT business_contact_removed_is_not_primary
        CHECK (removed_at IS NULL OR NOT is_primary)
);

COMMENT ON TABLE tenant_mgmt.business_contact IS
    'A person at the tenant to reach for billing, technical, security or legal matters.';

-- Each role has one primary contact.
CREATE UNIQUE INDEX business_contact_primary_idx
    ON tenant_mgmt.business_contact (business_id, role)
    WHERE is_primary;

-- Whom to tell: the contacts of a role that were not removed; v_contact_gap.
CREATE INDEX business_contact_role_idx
    ON tenant_mgmt.business_contact (business_id, role)
    WHERE removed_at IS NULL;

-- Foreign key user_account_id.
CREATE INDEX business_contact_user_account_idx
    ON tenant_mgmt.business_contact (business_id, user_account_id)
    WHERE user_account_id IS NOT NULL;

ALTER TABLE tenant_mgmt.business_contact ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.business_contact
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.business_contact TO app_user;
GRANT SELECT ON tenant_mgmt.business_contact TO app_readonly;

CREATE TRIGGER business_contact_touch
    BEFORE UPDATE ON tenant_mgmt.business_contact
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE FUNCTION tenant_mgmt.retire_contact() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.is_primary := false;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.retire_contact() IS
    'A contact that was removed is no longer the primary one of its role.';

CREATE TRIGGER business_contact_retire
    BEFORE INSERT OR UPDATE ON tenant_mgmt.business_contact
    FOR EACH ROW WHEN (NEW.removed_at IS NOT NULL AND NEW.is_primary)
    EXECUTE FUNCTION tenant_mgmt.retire_contact();


CREATE VIEW tenant_mgmt.v_contact_gap WITH (security_invoker = true) AS
    SELECT b.business_id, needed.role
    FROM tenant_mgmt.business AS b
    CROSS JOIN (VALUES ('security')) AS needed (role)
    WHERE b.status = 'active'
      AND NOT EXISTS (
          SELECT FROM tenant_mgmt.business_contact AS c
          WHERE c.business_id = b.business_id
            AND c.role = needed.role
            AND c.removed_at IS NULL);
COMMENT ON VIEW tenant_mgmt.v_contact_gap IS
    'Roles that an active tenant must have a contact for and has not; the nightly check.';
GRANT SELECT ON tenant_mgmt.v_contact_gap TO app_user, app_readonly;


CREATE TABLE tenant_mgmt.isolation_policy (
    business_id                    uuid                     NOT NULL,
    isolation_policy_id            uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    isolation_tier                 text                     NOT NULL DEFAULT 'pooled',
    data_region                    text                     NOT NULL,
    rls_mode                       text                     NOT NULL DEFAULT 'forced',
    statement_timeout_ms           system_core.milliseconds NOT NULL DEFAULT 15000,
    max_connections                integer                  NOT NULL DEFAULT 20,
    encryption_key_ref             system_core.vault_ref    NOT NULL,
    is_cross_region_backup_allowed boolean                  NOT NULL DEFAULT false,
    support_access                 text                     NOT NULL DEFAULT 'on_request',
    last_leak_check_at             timestamptz,
    last_leak_check_result         text                     NOT NULL DEFAULT 'not_run',
    created_at                     timestamptz              NOT NULL DEFAULT now(),
    updated_at                     timestamptz              NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, isolation_policy_id),
    UNIQUE (business_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT isolation_policy_tier_known
        CHECK (isolation_tier IN ('pooled', 'dedicated_shard', 'dedicated_node',
                                  'dedicated_database')),
    CONSTRAINT isolation_policy_data_region_known
        CHECK (data_region IN ('us_east', 'us_west', 'eu_central', 'eu_west', 'ap_southeast')),
    CONSTRAINT isolation_policy_rls_is_always_forced
        CHECK (rls_mode IN ('forced', 'forced_with_audit')),
    CONSTRAINT isolation_policy_statement_timeout_sane
        CHECK (statement_timeout_ms BETWEEN 100 AND 60000),
    CONSTRAINT isolation_policy_max_connections_positive CHECK (max_connections > 0),
    CONSTRAINT isolation_policy_support_access_known
        CHECK (support_access IN ('denied', 'on_request', 'always')),
    CONSTRAINT isolation_policy_open_support_only_pooled
        CHECK (support_access <> 'always' OR isolation_tier = 'pooled'),
    CONSTRAINT isolation_policy_leak_check_result_known
        CHECK (last_leak_check_result IN ('pass', 'fail', 'not_run')),
    CONSTRAINT isolation_policy_leak_check_has_time
        CHECK ((last_leak_check_result = 'not_run') = (last_leak_check_at IS NULL))
);

COMMENT ON TABLE tenant_mgmt.isolation_policy IS
    'How strictly the tenant''s rows are separated and in which region they may lie.';
COMMENT ON COLUMN tenant_mgmt.isolation_policy.rls_mode IS
    'Row security cannot be switched off: there is no value for it.';

ALTER TABLE tenant_mgmt.isolation_policy ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.isolation_policy
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.isolation_policy TO app_user;
GRANT SELECT ON tenant_mgmt.isolation_policy TO app_readonly;

CREATE TRIGGER isolation_policy_touch
    BEFORE UPDATE ON tenant_mgmt.isolation_policy
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE FUNCTION tenant_mgmt.keep_contracted_isolation() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    tiers CONSTANT text[] :=
        ARRAY['pooled', 'dedicated_shard', 'dedicated_node', 'dedicated_database'];
    promise jsonb;
BEGIN
    SELECT e.config_value INTO promise
    FROM tenant_mgmt.subscription AS s
    JOIN tenant_mgmt.plan_entitlement AS e
        ON e.business_id = s.business_id AND e.plan_id = s.plan_id
    WHERE s.business_id = NEW.business_id
      AND s.status IN ('trialing', 'active', 'past_due', 'paused', 'non_renewing')
      AND e.feature_code = 'data_residency'
      AND e.is_granted
      AND (e.config_value ->> 'data_region' <> NEW.data_region
           OR array_position(tiers, NEW.isolation_tier)
              < array_position(tiers, e.config_value ->> 'minimum_tier'))
    LIMIT 1;

    IF FOUND THEN
        RAISE EXCEPTION 'the contract forbids tier % in region %', NEW.isolation_tier,
            NEW.data_region
            USING ERRCODE = 'check_violation', HINT = format('It promises %s.', promise);
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION tenant_mgmt.keep_contracted_isolation() IS
    'Refuses a region or a weaker tier than the entitlement data_residency of a live
     subscription promises: {"data_region": region, "minimum_tier": tier}, each optional.';

CREATE TRIGGER isolation_policy_keep_contract
    BEFORE UPDATE OF isolation_tier, data_region ON tenant_mgmt.isolation_policy
    FOR EACH ROW WHEN (NEW.isolation_tier <> OLD.isolation_tier
                       OR NEW.data_region <> OLD.data_region)
    EXECUTE FUNCTION tenant_mgmt.keep_contracted_isolation();


CREATE TABLE tenant_mgmt.shard_placement (
    business_id        uuid        NOT NULL,
    shard_placement_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    colocation_group   integer     NOT NULL,
    shard_id           bigint      NOT NULL,
    shard_key_hash     integer     NOT NULL,
    node_name          text        NOT NULL,
    node_port          integer     NOT NULL DEFAULT 5432,
    is_isolated        boolean     NOT NULL DEFAULT false,
    table_count        integer     NOT NULL,
    row_estimate       bigint      NOT NULL DEFAULT 0,
    size_bytes         bigint      NOT NULL DEFAULT 0,
    observed_at        timestamptz NOT NULL DEFAULT now(),
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, shard_placement_id),
    UNIQUE (business_id, colocation_group, shard_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT shard_placement_node_port_valid CHECK (node_port BETWEEN 1 AND 65535),
    CONSTRAINT shard_placement_has_tables CHECK (table_count > 0),
    CONSTRAINT shard_placement_row_estimate_not_negative CHECK (row_estimate >= 0),
    CONSTRAINT shard_placement_size_not_negative CHECK (size_bytes >= 0)
);

COMMENT ON TABLE tenant_mgmt.shard_placement IS
    'Where a colocated group of the tenant''s shards sits, as last read from citus_shards.';
COMMENT ON COLUMN tenant_mgmt.shard_placement.shard_key_hash IS
    'worker_hash(business_id): the place of the tenant in the hash range of the shards.';
COMMENT ON COLUMN tenant_mgmt.shard_placement.is_isolated IS
    'The shard holds this tenant alone (isolate_tenant_to_new_shard).';

ALTER TABLE tenant_mgmt.shard_placement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.shard_placement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.shard_placement TO app_user;
GRANT SELECT ON tenant_mgmt.shard_placement TO app_readonly;

CREATE TRIGGER shard_placement_touch
    BEFORE UPDATE ON tenant_mgmt.shard_placement
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE VIEW tenant_mgmt.v_colocation_breach WITH (security_invoker = true) AS
    WITH node AS (
        SELECT business_id, node_name, node_port, sum(size_bytes) AS size_bytes
        FROM tenant_mgmt.shard_placement
        GROUP BY business_id, node_name, node_port
    ), home AS (
        SELECT DISTINCT ON (business_id) business_id, node_name, node_port
        FROM node
        ORDER BY business_id, size_bytes DESC, node_name, node_port
    )
    SELECT p.business_id,
           p.colocation_group,
           p.node_name,
           p.node_port,
           home.node_name    AS home_node_name,
           home.node_port    AS home_node_port,
           count(*)          AS shard_count,
           sum(p.size_bytes) AS size_bytes,
           max(p.observed_at) AS observed_at
    FROM tenant_mgmt.shard_placement AS p
    JOIN home ON home.business_id = p.business_id
    WHERE (p.node_name, p.node_port) <> (home.node_name, home.node_port)
    GROUP BY p.business_id, p.colocation_group, p.node_name, p.node_port,
             home.node_name, home.node_port;
COMMENT ON VIEW tenant_mgmt.v_colocation_breach IS
    'Shard groups of a tenant away from the node that holds most of it: their joins cross nodes.';
GRANT SELECT ON tenant_mgmt.v_colocation_breach TO app_user, app_readonly;


CREATE FUNCTION tenant_mgmt.tenant_placement()
    RETURNS TABLE (node_name text, node_port integer, group_count bigint, shard_count bigint,
                   size_bytes numeric, size_pct numeric, verdict text)
    LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT p.node_name,
           p.node_port,
           count(DISTINCT p.colocation_group),
           count(*),
           sum(p.size_bytes),
           round(100 * sum(p.size_bytes) / nullif(sum(sum(p.size_bytes)) OVER (), 0), 2),
           CASE
               WHEN count(*) OVER () = 1 AND bool_and(p.is_isolated) THEN 'isolated'
               WHEN count(*) OVER () = 1 THEN 'colocated'
               ELSE 'split'
           END
    FROM tenant_mgmt.shard_placement AS p
    WHERE p.business_id = tenant_mgmt.current_business_id()
    GROUP BY p.node_name, p.node_port
    ORDER BY sum(p.size_bytes) DESC, p.node_name, p.node_port;
END;
COMMENT ON FUNCTION tenant_mgmt.tenant_placement() IS
    'Nodes, shards and bytes of the current tenant; split where its groups lie on more than one
     node. Empty where nothing was read from the cluster.';


CREATE TABLE tenant_mgmt.tenant_move (
    business_id    uuid        NOT NULL,
    tenant_move_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    requested_by   uuid,
    reason         text        NOT NULL,
    method         text        NOT NULL,
    source_node    text        NOT NULL,
    target_node    text        NOT NULL,
    state          text        NOT NULL DEFAULT 'planned',
    write_pause_ms system_core.milliseconds,
    rows_moved     bigint      NOT NULL DEFAULT 0,
    checksum_match boolean,
    started_at     timestamptz,
    cut_over_at    timestamptz,
    finished_at    timestamptz,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tenant_move_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, requested_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT tenant_move_reason_known
        CHECK (reason IN ('noisy_neighbor', 'growth', 'region_change', 'node_drain',
                          'tier_upgrade')),
    CONSTRAINT tenant_move_method_known
        CHECK (method IN ('isolate_tenant', 'move_shard', 'logical_replication',
                          'dump_restore')),
    CONSTRAINT tenant_move_state_known
        CHECK (state IN ('planned', 'copying', 'catching_up', 'cut_over', 'verified', 'failed',
                         'rolled_back')),
    CONSTRAINT tenant_move_goes_elsewhere
        CHECK (source_node <> target_node OR method = 'isolate_tenant'),
    CONSTRAINT tenant_move_begun_has_time
        CHECK (state IN ('planned', 'failed') OR started_at IS NOT NULL),
    CONSTRAINT tenant_move_cut_over_has_time
        CHECK (state NOT IN ('cut_over', 'verified', 'rolled_back') OR cut_over_at IS NOT NULL),
    CONSTRAINT tenant_move_ended_has_time
        CHECK ((state IN ('verified', 'failed', 'rolled_back')) = (finished_at IS NOT NULL)),
    CONSTRAINT tenant_move_cut_over_after_start CHECK (started_at <= cut_over_at),
    CONSTRAINT tenant_move_finished_after_start CHECK (started_at <= finished_at),
    CONSTRAINT tenant_move_finished_after_cut_over CHECK (cut_over_at <= finished_at),
    CONSTRAINT tenant_move_rows_not_negative CHECK (rows_moved >= 0),
    CONSTRAINT tenant_move_verified_matches
        CHECK (state <> 'verified' OR checksum_match IS TRUE)
);

COMMENT ON TABLE tenant_mgmt.tenant_move IS
    'A move of the tenant between shards, nodes or regions, with its steps and cut-over.';
COMMENT ON COLUMN tenant_mgmt.tenant_move.write_pause_ms IS
    'How long the tenant could not write during the cut-over.';

-- A tenant moves once at a time.
CREATE UNIQUE INDEX tenant_move_open_idx
    ON tenant_mgmt.tenant_move (business_id)
    WHERE state IN ('planned', 'copying', 'catching_up', 'cut_over');

-- Foreign key requested_by.
CREATE INDEX tenant_move_requested_by_idx
    ON tenant_mgmt.tenant_move (business_id, requested_by)
    WHERE requested_by IS NOT NULL;

ALTER TABLE tenant_mgmt.tenant_move ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.tenant_move
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.tenant_move TO app_user;
GRANT SELECT ON tenant_mgmt.tenant_move TO app_readonly;

CREATE TRIGGER tenant_move_touch
    BEFORE UPDATE ON tenant_mgmt.tenant_move
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER tenant_move_state_machine
    BEFORE INSERT OR UPDATE OF state ON tenant_mgmt.tenant_move
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["planned"],
        "transitions": {
            "planned":     ["copying", "failed"],
            "copying":     ["catching_up", "failed"],
            "catching_up": ["cut_over", "failed"],
            "cut_over":    ["verified", "rolled_back"],
            "verified":    [],
            "failed":      [],
            "rolled_back": []
        }}');


CREATE TABLE tenant_mgmt.business_status_event (
    business_id              uuid        NOT NULL,
    business_status_event_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    actor_user_account_id    uuid,
    from_status              text        NOT NULL,
    to_status                text        NOT NULL,
    reason_code              text        NOT NULL,
    note                     text,
    is_automatic             boolean     NOT NULL DEFAULT false,
    occurred_at              timestamptz NOT NULL DEFAULT now(),
    effective_at             timestamptz NOT NULL DEFAULT now(),
    created_at               timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, business_status_event_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, actor_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT business_status_event_transition_allowed
        CHECK (from_status = 'provisioning' AND to_status IN ('trialing', 'active', 'closed')
               OR from_status = 'trialing' AND to_status IN ('active', 'suspended', 'closing')
               OR from_status = 'active' AND to_status IN ('past_due', 'suspended', 'closing')
               OR from_status = 'past_due' AND to_status IN ('active', 'suspended', 'closing')
               OR from_status = 'suspended' AND to_status IN ('active', 'closing')
               OR from_status = 'closing' AND to_status IN ('active', 'closed')),
    CONSTRAINT business_status_event_reason_known
        CHECK (reason_code IN ('signup', 'payment_failed', 'payment_recovered', 'abuse',
                               'owner_request', 'contract_end', 'platform_review')),
    CONSTRAINT business_status_event_effective_not_before CHECK (effective_at >= occurred_at)
);

COMMENT ON TABLE tenant_mgmt.business_status_event IS
    'Each change of business.status with reason and actor; append only.';

-- The account page: history of the tenant, newest first.
CREATE INDEX business_status_event_history_idx
    ON tenant_mgmt.business_status_event (business_id, occurred_at DESC);

-- Foreign key actor_user_account_id.
CREATE INDEX business_status_event_actor_idx
    ON tenant_mgmt.business_status_event (business_id, actor_user_account_id)
    WHERE actor_user_account_id IS NOT NULL;

ALTER TABLE tenant_mgmt.business_status_event
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.business_status_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON tenant_mgmt.business_status_event TO app_user;
GRANT SELECT ON tenant_mgmt.business_status_event TO app_readonly;

CREATE TRIGGER business_status_event_append_only
    BEFORE UPDATE OR DELETE ON tenant_mgmt.business_status_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('tenant_mgmt.business_status_event');
