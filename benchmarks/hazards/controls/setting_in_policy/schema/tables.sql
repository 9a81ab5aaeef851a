CREATE SCHEMA crm;
GRANT USAGE ON SCHEMA crm TO bench_app;
CREATE TABLE crm.org (org_id uuid PRIMARY KEY, name text NOT NULL);
ALTER TABLE crm.org ENABLE ROW LEVEL SECURITY;
ALTER TABLE crm.org FORCE ROW LEVEL SECURITY;
CREATE POLICY org_is_own ON crm.org
    USING (org_id = (SELECT NULLIF(current_setting('app.org_id', TRUE), '')::uuid));
GRANT SELECT ON crm.org TO bench_app;
CREATE TABLE crm.contact (
    org_id uuid NOT NULL REFERENCES crm.org,
    id     uuid NOT NULL DEFAULT gen_random_uuid(),
    email  text NOT NULL,
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, email)
);
ALTER TABLE crm.contact ENABLE ROW LEVEL SECURITY;
ALTER TABLE crm.contact FORCE ROW LEVEL SECURITY;
CREATE POLICY contact_is_own ON crm.contact
    USING (org_id = (SELECT NULLIF(current_setting('app.org_id', TRUE), '')::uuid))
    WITH CHECK (org_id = (SELECT NULLIF(current_setting('app.org_id', TRUE), '')::uuid));
GRANT SELECT, INSERT, UPDATE, DELETE ON crm.contact TO bench_app;
