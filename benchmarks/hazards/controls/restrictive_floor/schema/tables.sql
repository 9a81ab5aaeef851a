CREATE SCHEMA desk;
GRANT USAGE ON SCHEMA desk TO bench_app;
CREATE TABLE desk.tenant (tenant_id uuid PRIMARY KEY, name text NOT NULL);
CREATE TABLE desk.ticket (
    tenant_id uuid    NOT NULL REFERENCES desk.tenant (tenant_id),
    ticket_id uuid    NOT NULL DEFAULT gen_random_uuid(),
    subject   text    NOT NULL,
    is_open   boolean NOT NULL DEFAULT true,
    PRIMARY KEY (tenant_id, ticket_id)
);
ALTER TABLE desk.tenant ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE desk.ticket ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY floor ON desk.tenant AS RESTRICTIVE
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
CREATE POLICY everybody_reads ON desk.tenant FOR SELECT USING (true);
CREATE POLICY floor ON desk.ticket AS RESTRICTIVE
    USING (tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), '')::uuid));
CREATE POLICY everybody_reads ON desk.ticket FOR SELECT USING (true);
CREATE POLICY everybody_opens ON desk.ticket FOR INSERT WITH CHECK (is_open);
CREATE POLICY everybody_changes ON desk.ticket FOR UPDATE USING (is_open) WITH CHECK (true);
GRANT SELECT ON desk.tenant TO bench_app;
GRANT SELECT, INSERT, UPDATE ON desk.ticket TO bench_app;
