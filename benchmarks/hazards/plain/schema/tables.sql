-- A shop that many businesses share. shop.purchase is the table that faults are planted in; around
-- it stand its parent, its child, its partitioned log, who is a member, a view, a materialized view
-- behind a publishing view, functions and a sequence.
CREATE SCHEMA shop;
GRANT USAGE ON SCHEMA shop TO bench_app, bench_loader, bench_keeper;

CREATE FUNCTION shop.current_business_id() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN nullif(current_setting('app.business_id', true), '')::uuid;

CREATE FUNCTION shop.set_tenant(tenant uuid) RETURNS void
    LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL app.business_id = %L', tenant);
END
$$;

CREATE TABLE shop.business (
    business_id uuid NOT NULL,
    name        text NOT NULL,
    PRIMARY KEY (business_id)
);
COMMENT ON TABLE shop.business IS 'A tenant.';
ALTER TABLE shop.business ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON shop.business
    USING (business_id = shop.current_business_id());
GRANT SELECT ON shop.business TO bench_app;

CREATE TABLE shop.member (
    business_id uuid NOT NULL,
    member_id   uuid NOT NULL,
    role        text NOT NULL,
    PRIMARY KEY (business_id, member_id),
    FOREIGN KEY (business_id) REFERENCES shop.business (business_id)
);
COMMENT ON TABLE shop.member IS 'Somebody who works for a business.';
ALTER TABLE shop.member ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON shop.member
    USING (business_id = shop.current_business_id());
GRANT SELECT ON shop.member TO bench_app;

CREATE TABLE shop.customer (
    business_id uuid NOT NULL,
    customer_id uuid NOT NULL DEFAULT gen_random_uuid(),
    name        text NOT NULL,
    PRIMARY KEY (business_id, customer_id),
    FOREIGN KEY (business_id) REFERENCES shop.business (business_id)
);
COMMENT ON TABLE shop.customer IS 'Somebody who buys from a business.';
ALTER TABLE shop.customer ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON shop.customer
    USING (business_id = shop.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON shop.customer TO bench_app;

CREATE TABLE shop.purchase (
    business_id  uuid    NOT NULL,
    purchase_id  uuid    NOT NULL DEFAULT gen_random_uuid(),
    customer_id  uuid    NOT NULL,
    label        text    NOT NULL,
    amount       numeric NOT NULL DEFAULT 0,
    PRIMARY KEY (business_id, purchase_id),
    UNIQUE (business_id, label),
    FOREIGN KEY (business_id, customer_id) REFERENCES shop.customer (business_id, customer_id)
);
COMMENT ON TABLE shop.purchase IS 'What a customer bought.';
CREATE INDEX purchase_customer_idx ON shop.purchase (business_id, customer_id);
ALTER TABLE shop.purchase ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON shop.purchase
    USING (business_id = shop.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON shop.purchase TO bench_app;

CREATE TABLE shop.purchase_line (
    business_id uuid    NOT NULL,
    purchase_id uuid    NOT NULL,
    line_number integer NOT NULL,
    article     text    NOT NULL,
    PRIMARY KEY (business_id, purchase_id, line_number),
    FOREIGN KEY (business_id, purchase_id)
        REFERENCES shop.purchase (business_id, purchase_id) ON DELETE CASCADE
);
COMMENT ON TABLE shop.purchase_line IS 'An article of a purchase.';
ALTER TABLE shop.purchase_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON shop.purchase_line
    USING (business_id = shop.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON shop.purchase_line TO bench_app;

CREATE TABLE shop.visit (
    business_id uuid        NOT NULL,
    visit_id    uuid        NOT NULL DEFAULT gen_random_uuid(),
    page        text        NOT NULL,
    at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, visit_id, at),
    FOREIGN KEY (business_id) REFERENCES shop.business (business_id)
) PARTITION BY RANGE (at);
COMMENT ON TABLE shop.visit IS 'A page that somebody looked at.';
ALTER TABLE shop.visit ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON shop.visit
    USING (business_id = shop.current_business_id());
GRANT SELECT, INSERT ON shop.visit TO bench_app;

CREATE TABLE shop.visit_default PARTITION OF shop.visit DEFAULT;
ALTER TABLE shop.visit_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON shop.visit_default
    USING (business_id = shop.current_business_id());

CREATE VIEW shop.recent_purchase WITH (security_invoker = true) AS
    SELECT p.business_id, p.purchase_id, p.label FROM shop.purchase AS p WHERE p.amount > 0;
GRANT SELECT ON shop.recent_purchase TO bench_app;

CREATE MATERIALIZED VIEW shop.purchase_total AS
    SELECT p.business_id, sum(p.amount) AS amount FROM shop.purchase AS p GROUP BY p.business_id
WITH NO DATA;
CREATE UNIQUE INDEX purchase_total_key ON shop.purchase_total (business_id);
GRANT SELECT ON shop.purchase TO bench_keeper;
CREATE VIEW shop.my_purchase_total WITH (security_barrier = true) AS
    SELECT t.business_id, t.amount FROM shop.purchase_total AS t
    WHERE t.business_id = shop.current_business_id();
GRANT SELECT ON shop.my_purchase_total TO bench_app;

CREATE FUNCTION shop.purchase_count() RETURNS bigint
    LANGUAGE sql STABLE
    BEGIN ATOMIC
        SELECT count(*) FROM shop.purchase;
    END;

CREATE SEQUENCE shop.import_number;
GRANT USAGE ON SEQUENCE shop.import_number TO bench_loader;
