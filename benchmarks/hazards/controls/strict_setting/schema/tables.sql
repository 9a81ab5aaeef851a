CREATE SCHEMA billing;
GRANT USAGE ON SCHEMA billing TO bench_app;
CREATE TABLE billing.account (account_id bigint PRIMARY KEY, name text NOT NULL);
ALTER TABLE billing.account ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_account ON billing.account
    USING (account_id = current_setting('app.account_id')::bigint);
GRANT SELECT ON billing.account TO bench_app;
CREATE TABLE billing.invoice (
    account_id bigint  NOT NULL REFERENCES billing.account (account_id),
    number     integer NOT NULL,
    amount     numeric NOT NULL,
    PRIMARY KEY (account_id, number)
);
ALTER TABLE billing.invoice ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_account ON billing.invoice
    USING (account_id = current_setting('app.account_id')::bigint);
GRANT SELECT, INSERT, UPDATE, DELETE ON billing.invoice TO bench_app;
