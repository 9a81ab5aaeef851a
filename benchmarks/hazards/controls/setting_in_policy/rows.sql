INSERT INTO crm.org VALUES ('00000000-0000-4000-8000-00000000000a', 'A'), ('00000000-0000-4000-8000-00000000000b', 'B');
INSERT INTO crm.contact (org_id, email) SELECT org_id, n || '@' || name FROM crm.org, generate_series(1, 3) AS n;
