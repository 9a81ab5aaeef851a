CREATE SCHEMA log;
GRANT USAGE ON SCHEMA log TO bench_app;
CREATE FUNCTION log.current_business_id() RETURNS uuid LANGUAGE sql STABLE
    RETURN nullif(current_setting('app.business_id', true), '')::uuid;
CREATE TABLE log.business (business_id uuid PRIMARY KEY, name text NOT NULL);
ALTER TABLE log.business ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON log.business USING (business_id = log.current_business_id());
GRANT SELECT ON log.business TO bench_app;
CREATE TABLE log.event (
    business_id uuid        NOT NULL REFERENCES log.business (business_id),
    event_id    uuid        NOT NULL DEFAULT gen_random_uuid(),
    at          timestamptz NOT NULL,
    PRIMARY KEY (business_id, event_id, at)
) PARTITION BY RANGE (at);
CREATE TABLE log.event_2026 PARTITION OF log.event
    FOR VALUES FROM ('2026-01-01 00:00+00') TO ('2027-01-01 00:00+00');
CREATE TABLE log.event_default PARTITION OF log.event DEFAULT;
ALTER TABLE log.event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE log.event_2026 ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE log.event_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON log.event USING (business_id = log.current_business_id());
CREATE POLICY own ON log.event_2026 USING (business_id = log.current_business_id());
CREATE POLICY own ON log.event_default USING (business_id = log.current_business_id());
GRANT SELECT, INSERT ON log.event TO bench_app;
