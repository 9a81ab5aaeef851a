-- What the examples of the rules take for granted.
CREATE SCHEMA system_core;
CREATE DOMAIN system_core.email AS text CHECK (value ~ '@');
CREATE FUNCTION system_core.uuid_v7() RETURNS uuid LANGUAGE sql RETURN gen_random_uuid();
CREATE FUNCTION system_core.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE SCHEMA tenant_mgmt;
CREATE FUNCTION tenant_mgmt.current_business_id() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN current_setting('app.business_id')::uuid;
CREATE FUNCTION tenant_mgmt.set_tenant(tenant uuid) RETURNS void LANGUAGE plpgsql
    SET citus.propagate_set_commands = 'local'
    AS $$ BEGIN EXECUTE format('SET LOCAL app.business_id = %L', tenant); END $$;
CREATE TABLE tenant_mgmt.business (business_id uuid PRIMARY KEY);
COMMENT ON TABLE tenant_mgmt.business IS 'The tenant.';
ALTER TABLE tenant_mgmt.business ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.business
    USING (business_id = tenant_mgmt.current_business_id());
CREATE SCHEMA auto;
