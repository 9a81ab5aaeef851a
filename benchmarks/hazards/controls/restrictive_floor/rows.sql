INSERT INTO desk.tenant VALUES ('00000000-0000-4000-8000-00000000000a', 'A'), ('00000000-0000-4000-8000-00000000000b', 'B');
INSERT INTO desk.ticket (tenant_id, subject) SELECT tenant_id, 'ticket ' || n FROM desk.tenant, generate_series(1, 3) AS n;
