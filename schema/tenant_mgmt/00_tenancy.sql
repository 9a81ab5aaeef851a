/*
 * The tenant itself: who it is, and how the database knows which one is asking.
 *
 * business is the root of every row of every schema. The application names the tenant once
 * per transaction with set_tenant(); every row policy compares business_id with
 * current_business_id(). With no tenant set, every read and write fails loudly.
 */

CREATE SCHEMA tenant_mgmt;
GRANT USAGE ON SCHEMA tenant_mgmt TO app_user, app_readonly;
COMMENT ON SCHEMA tenant_mgmt IS
    'The tenants: identity, isolation, subscription, usage, billing, health.';


-- Plain and STABLE, so that the planner inlines it, sees the tenant's own statistics and uses
-- the index that leads with business_id; no subquery, which Citus refuses in a policy.
CREATE FUNCTION tenant_mgmt.current_business_id() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN current_setting('app.business_id')::uuid;
COMMENT ON FUNCTION tenant_mgmt.current_business_id() IS
    'The tenant of this transaction; raises an error where none was set (fails closed).';

-- The SET clause makes Citus carry the setting to its workers. It works prepared, in a
-- pipeline and with savepoints, where SET LOCAL cannot take a parameter.
CREATE FUNCTION tenant_mgmt.set_tenant(tenant uuid) RETURNS void
    LANGUAGE plpgsql
    SET citus.propagate_set_commands = 'local' AS $$
BEGIN
    EXECUTE format('SET LOCAL app.business_id = %L', tenant);
END
$$;
COMMENT ON FUNCTION tenant_mgmt.set_tenant(uuid) IS
    'Names the tenant for the rest of this transaction; the only way an application may.';


CREATE TABLE tenant_mgmt.business (
    business_id          uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    parent_business_key  uuid,
    legal_name           text                  NOT NULL,
    display_name         text                  NOT NULL,
    slug                 system_core.slug      NOT NULL,
    industry             text                  NOT NULL,
    country_code         system_core.country   NOT NULL,
    currency_code        system_core.currency  NOT NULL,
    time_zone            system_core.time_zone NOT NULL,
    locale               system_core.locale    NOT NULL,
    employee_band        text                  NOT NULL,
    status               text                  NOT NULL DEFAULT 'provisioning',
    is_platform_operator boolean               NOT NULL DEFAULT false,
    activated_at         timestamptz,
    closed_at            timestamptz,
    created_at           timestamptz           NOT NULL DEFAULT now(),
    updated_at           timestamptz           NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id),
    CONSTRAINT business_industry_known
        CHECK (industry IN ('home_services', 'automotive', 'restaurant', 'retail', 'education',
                            'staffing', 'multi')),
    CONSTRAINT business_employee_band_known
        CHECK (employee_band IN ('1_9', '10_49', '50_249', '250_999', '1000_plus')),
    CONSTRAINT business_status_known
        CHECK (status IN ('provisioning', 'trialing', 'active', 'past_due', 'suspended',
                          'closing', 'closed')),
    CONSTRAINT business_closed_has_time CHECK (status <> 'closed' OR closed_at IS NOT NULL),
    CONSTRAINT business_closed_after_activation CHECK (closed_at >= activated_at)
);

COMMENT ON TABLE tenant_mgmt.business IS
    'The tenant: root of every row in every schema. Its key is business_id alone.';
COMMENT ON COLUMN tenant_mgmt.business.parent_business_key IS
    'The franchise or group it belongs to; no foreign key, for that is another tenant''s row.';
COMMENT ON COLUMN tenant_mgmt.business.slug IS
    'Short name in URLs; unique over the platform, which provision_business() ensures.';

ALTER TABLE tenant_mgmt.business ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.business
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.business TO app_user;
GRANT SELECT ON tenant_mgmt.business TO app_readonly;

CREATE TRIGGER business_touch
    BEFORE UPDATE ON tenant_mgmt.business
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER business_status_machine
    BEFORE INSERT OR UPDATE OF status ON tenant_mgmt.business
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["provisioning"],
        "transitions": {
            "provisioning": ["trialing", "active", "closed"],
            "trialing":     ["active", "suspended", "closing"],
            "active":       ["past_due", "suspended", "closing"],
            "past_due":     ["active", "suspended", "closing"],
            "suspended":    ["active", "closing"],
            "closing":      ["active", "closed"],
            "closed":       []
        }}');

CREATE FUNCTION tenant_mgmt.today() RETURNS date
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT (now() AT TIME ZONE b.time_zone)::date
    FROM tenant_mgmt.business AS b
    WHERE b.business_id = tenant_mgmt.current_business_id();
END;
COMMENT ON FUNCTION tenant_mgmt.today() IS
    'The day that it is at the current tenant: quotes lapse and invoices fall due by it.';
