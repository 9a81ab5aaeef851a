CREATE SCHEMA tax;
GRANT USAGE ON SCHEMA tax TO bench_app;
CREATE FUNCTION tax.current_business_id() RETURNS uuid LANGUAGE sql STABLE
    RETURN nullif(current_setting('app.business_id', true), '')::uuid;
CREATE TABLE tax.country (code text PRIMARY KEY, name text NOT NULL UNIQUE);
GRANT SELECT ON tax.country TO bench_app;
CREATE TABLE tax.business (
    business_id  uuid PRIMARY KEY,
    country_code text NOT NULL REFERENCES tax.country (code)
);
ALTER TABLE tax.business ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON tax.business USING (business_id = tax.current_business_id());
GRANT SELECT ON tax.business TO bench_app;
CREATE TABLE tax.declaration (
    business_id  uuid NOT NULL REFERENCES tax.business (business_id),
    year         integer NOT NULL,
    country_code text NOT NULL REFERENCES tax.country (code),
    PRIMARY KEY (business_id, country_code, year)
);
ALTER TABLE tax.declaration ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON tax.declaration USING (business_id = tax.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON tax.declaration TO bench_app;
