CREATE SCHEMA team;
GRANT USAGE ON SCHEMA team TO bench_app;
CREATE FUNCTION team.user_id() RETURNS uuid LANGUAGE sql STABLE
    RETURN nullif(current_setting('app.user_id', true), '')::uuid;
CREATE TABLE team.org (org_id uuid PRIMARY KEY, name text NOT NULL);
CREATE TABLE team.member (
    org_id  uuid NOT NULL REFERENCES team.org (org_id),
    user_id uuid NOT NULL,
    status  text NOT NULL DEFAULT 'active',
    PRIMARY KEY (org_id, user_id)
);
CREATE TABLE team.document (
    org_id      uuid NOT NULL REFERENCES team.org (org_id),
    document_id uuid NOT NULL DEFAULT gen_random_uuid(),
    title       text NOT NULL,
    PRIMARY KEY (org_id, document_id)
);
ALTER TABLE team.org ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE team.member ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE team.document ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON team.member USING (user_id = (SELECT team.user_id()));
CREATE POLICY of_members ON team.org USING (
    org_id IN (SELECT m.org_id FROM team.member AS m
               WHERE m.user_id = (SELECT team.user_id()) AND m.status = 'active'));
CREATE POLICY of_members ON team.document USING (
    org_id IN (SELECT m.org_id FROM team.member AS m
               WHERE m.user_id = (SELECT team.user_id()) AND m.status = 'active'));
GRANT SELECT ON team.org, team.member TO bench_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON team.document TO bench_app;
