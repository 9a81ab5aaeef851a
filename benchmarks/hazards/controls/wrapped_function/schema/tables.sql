CREATE SCHEMA lms;
GRANT USAGE ON SCHEMA lms TO bench_app;
CREATE FUNCTION lms.tenant() RETURNS uuid LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN nullif(current_setting('app.tenant', true), '')::uuid;
END $$;
CREATE FUNCTION lms.enter(tenant uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('app.tenant', tenant::text, true);
END $$;
CREATE TABLE lms.tenant (tenant_id uuid PRIMARY KEY, name text NOT NULL);
ALTER TABLE lms.tenant ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON lms.tenant USING (tenant_id = (SELECT lms.tenant()));
GRANT SELECT ON lms.tenant TO bench_app;
CREATE TABLE lms.course (
    tenant_id uuid NOT NULL REFERENCES lms.tenant (tenant_id),
    course_id uuid NOT NULL DEFAULT gen_random_uuid(),
    title     text NOT NULL,
    PRIMARY KEY (tenant_id, course_id)
);
ALTER TABLE lms.course ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON lms.course USING (tenant_id = (SELECT lms.tenant()));
GRANT SELECT, INSERT, UPDATE, DELETE ON lms.course TO bench_app;
