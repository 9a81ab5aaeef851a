INSERT INTO billing.account VALUES (1, 'A'), (2, 'B');
INSERT INTO billing.invoice SELECT account_id, n, 10 FROM billing.account, generate_series(1, 3) AS n;
