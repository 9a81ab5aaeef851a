INSERT INTO tax.country VALUES ('US', 'United States'), ('DE', 'Germany');
INSERT INTO tax.business VALUES ('00000000-0000-4000-8000-00000000000a', 'US'), ('00000000-0000-4000-8000-00000000000b', 'DE');
INSERT INTO tax.declaration SELECT business_id, 2020 + n, country_code FROM tax.business, generate_series(1, 3) AS n;
