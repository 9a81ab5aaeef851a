INSERT INTO report.business VALUES ('00000000-0000-4000-8000-00000000000a', 'A'), ('00000000-0000-4000-8000-00000000000b', 'B');
INSERT INTO report.sale (business_id, amount) SELECT business_id, 10 FROM report.business, generate_series(1, 3);
REFRESH MATERIALIZED VIEW report.sale_total;
