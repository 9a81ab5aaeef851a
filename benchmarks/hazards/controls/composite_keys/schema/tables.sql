CREATE SCHEMA hr;
GRANT USAGE ON SCHEMA hr TO bench_app;
CREATE FUNCTION hr.current_business_id() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT nullif(current_setting('app.business_id', true), '')::uuid $$;
CREATE TABLE hr.business (business_id uuid PRIMARY KEY, name text NOT NULL);
ALTER TABLE hr.business ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON hr.business FOR SELECT TO bench_app
    USING (business_id = hr.current_business_id());
GRANT SELECT ON hr.business TO bench_app;
CREATE TABLE hr.team (
    business_id uuid NOT NULL REFERENCES hr.business (business_id),
    team_id     uuid NOT NULL DEFAULT gen_random_uuid(),
    name        text NOT NULL,
    PRIMARY KEY (business_id, team_id)
);
CREATE TABLE hr.employee (
    business_id uuid NOT NULL,
    employee_id uuid NOT NULL DEFAULT gen_random_uuid(),
    team_id     uuid NOT NULL,
    manager_id  uuid,
    PRIMARY KEY (business_id, employee_id),
    FOREIGN KEY (business_id, team_id) REFERENCES hr.team (business_id, team_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, manager_id) REFERENCES hr.employee (business_id, employee_id)
);
CREATE INDEX employee_team_idx ON hr.employee (business_id, team_id);
CREATE INDEX employee_manager_idx ON hr.employee (business_id, manager_id);
ALTER TABLE hr.team ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE hr.employee ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY read_own ON hr.team FOR SELECT TO bench_app
    USING (business_id = hr.current_business_id());
CREATE POLICY add_own ON hr.team FOR INSERT TO bench_app
    WITH CHECK (business_id = hr.current_business_id());
CREATE POLICY change_own ON hr.team FOR UPDATE TO bench_app
    USING (business_id = hr.current_business_id())
    WITH CHECK (business_id = hr.current_business_id());
CREATE POLICY drop_own ON hr.team FOR DELETE TO bench_app
    USING (business_id = hr.current_business_id());
CREATE POLICY read_own ON hr.employee FOR SELECT TO bench_app
    USING (business_id = hr.current_business_id());
CREATE POLICY add_own ON hr.employee FOR INSERT TO bench_app
    WITH CHECK (business_id = hr.current_business_id());
CREATE POLICY change_own ON hr.employee FOR UPDATE TO bench_app
    USING (business_id = hr.current_business_id())
    WITH CHECK (business_id = hr.current_business_id());
CREATE POLICY drop_own ON hr.employee FOR DELETE TO bench_app
    USING (business_id = hr.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hr.team, hr.employee TO bench_app;
