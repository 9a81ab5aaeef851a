CREATE SCHEMA report;
GRANT USAGE ON SCHEMA report TO bench_app, bench_keeper;
CREATE FUNCTION report.current_business_id() RETURNS uuid LANGUAGE sql STABLE
    RETURN nullif(current_setting('app.business_id', true), '')::uuid;
CREATE TABLE report.business (business_id uuid PRIMARY KEY, name text NOT NULL);
ALTER TABLE report.business ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON report.business USING (business_id = report.current_business_id());
GRANT SELECT ON report.business TO bench_app;
CREATE TABLE report.sale (
    business_id uuid    NOT NULL REFERENCES report.business (business_id),
    sale_id     uuid    NOT NULL DEFAULT gen_random_uuid(),
    amount      numeric NOT NULL,
    note        text,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, sale_id)
);
ALTER TABLE report.sale ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON report.sale USING (business_id = report.current_business_id());
GRANT SELECT, INSERT, UPDATE (amount, note), DELETE ON report.sale TO bench_app;
GRANT SELECT ON report.sale TO bench_keeper;
CREATE FUNCTION report.touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END $$;
CREATE TRIGGER sale_touched BEFORE UPDATE ON report.sale
    FOR EACH ROW EXECUTE FUNCTION report.touch();
CREATE VIEW report.big_sale WITH (security_invoker = on) AS
    SELECT s.business_id, s.sale_id, s.amount FROM report.sale AS s WHERE s.amount > 5;
CREATE MATERIALIZED VIEW report.sale_total AS
    SELECT s.business_id, sum(s.amount) AS amount FROM report.sale AS s GROUP BY s.business_id
WITH NO DATA;
CREATE UNIQUE INDEX sale_total_key ON report.sale_total (business_id);
CREATE VIEW report.my_sale_total WITH (security_barrier = true) AS
    SELECT t.business_id, t.amount FROM report.sale_total AS t
    WHERE t.business_id = report.current_business_id();
GRANT SELECT ON report.big_sale, report.my_sale_total TO bench_app;
CREATE FUNCTION report.my_sale_count() RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    RETURN (SELECT count(*) FROM report.sale AS s
            WHERE s.business_id = report.current_business_id());
COMMENT ON FUNCTION report.my_sale_count() IS 'Counts what the caller may see; a definer for speed.';
REVOKE EXECUTE ON FUNCTION report.my_sale_count() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION report.my_sale_count() TO bench_app;
