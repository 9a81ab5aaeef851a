-- A small schema with nothing wrong in it, for tests that break it.
CREATE SCHEMA tenant_mgmt;
GRANT USAGE ON SCHEMA tenant_mgmt TO app_user;
CREATE EXTENSION IF NOT EXISTS btree_gist WITH SCHEMA public;
CREATE DOMAIN tenant_mgmt.email AS text CONSTRAINT email_shape CHECK (value ~ '^[^@]+@[^@]+$');

CREATE FUNCTION tenant_mgmt.current_business_id() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN current_setting('app.business_id')::uuid;
CREATE FUNCTION tenant_mgmt.set_tenant(tenant uuid) RETURNS void
    LANGUAGE plpgsql SET citus.propagate_set_commands = 'local'
    AS $$ BEGIN EXECUTE format('SET LOCAL app.business_id = %L', tenant); END $$;
CREATE FUNCTION tenant_mgmt.touch() RETURNS trigger
    LANGUAGE plpgsql AS $$ BEGIN NEW.updated_at := now(); RETURN NEW; END $$;
CREATE FUNCTION tenant_mgmt.count_all() RETURNS bigint
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    RETURN 1;
COMMENT ON FUNCTION tenant_mgmt.count_all() IS 'Counts every tenant for the status page.';
REVOKE EXECUTE ON FUNCTION tenant_mgmt.count_all() FROM PUBLIC;

CREATE TABLE tenant_mgmt.business (
    business_id uuid NOT NULL,
    email       tenant_mgmt.email,
    PRIMARY KEY (business_id)
);
COMMENT ON TABLE tenant_mgmt.business IS 'A tenant.';
ALTER TABLE tenant_mgmt.business ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.business
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON tenant_mgmt.business TO app_user;

CREATE TABLE tenant_mgmt.visit (
    business_id uuid        NOT NULL,
    visit_id    uuid        NOT NULL DEFAULT gen_random_uuid(),
    status      text        NOT NULL DEFAULT 'a, (b',
    at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, visit_id, at),
    UNIQUE (business_id, status, at),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id) ON DELETE CASCADE,
    CONSTRAINT visit_status_known CHECK (status IN ('a, (b', 'c'))
) PARTITION BY RANGE (at);
COMMENT ON TABLE tenant_mgmt.visit IS 'A visit — to a business.';
CREATE INDEX visit_status_idx ON tenant_mgmt.visit (business_id, status) WHERE status <> 'c';
ALTER TABLE tenant_mgmt.visit ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.visit
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_mgmt.visit TO app_user;
CREATE TRIGGER visit_touch BEFORE UPDATE ON tenant_mgmt.visit
    FOR EACH ROW EXECUTE FUNCTION tenant_mgmt.touch();

CREATE TABLE tenant_mgmt.visit_default PARTITION OF tenant_mgmt.visit DEFAULT;
ALTER TABLE tenant_mgmt.visit_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON tenant_mgmt.visit_default
    USING (business_id = tenant_mgmt.current_business_id());
SELECT system_core.create_partitions('tenant_mgmt.visit', 'month', behind => 1, ahead => 1);

CREATE MATERIALIZED VIEW tenant_mgmt.visit_count AS
    SELECT v.business_id, count(*) AS visits
    FROM tenant_mgmt.visit AS v GROUP BY v.business_id
WITH NO DATA;
CREATE UNIQUE INDEX visit_count_key ON tenant_mgmt.visit_count (business_id);
GRANT SELECT ON tenant_mgmt.visit TO matview_owner;
CREATE VIEW tenant_mgmt.my_visit_count WITH (security_barrier = true) AS
    SELECT c.visits FROM tenant_mgmt.visit_count AS c
    WHERE c.business_id = tenant_mgmt.current_business_id();
CREATE VIEW tenant_mgmt.recent_visit WITH (security_invoker = true) AS
    SELECT v.visit_id FROM tenant_mgmt.visit AS v WHERE v.at > now() - interval '1 day';
GRANT SELECT ON tenant_mgmt.my_visit_count, tenant_mgmt.recent_visit TO app_user;
