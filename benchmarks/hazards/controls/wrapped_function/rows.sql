INSERT INTO lms.tenant VALUES ('00000000-0000-4000-8000-00000000000a', 'A'), ('00000000-0000-4000-8000-00000000000b', 'B');
INSERT INTO lms.course (tenant_id, title) SELECT tenant_id, 'course ' || n FROM lms.tenant, generate_series(1, 3) AS n;
