INSERT INTO hr.business VALUES ('00000000-0000-4000-8000-00000000000a', 'A'), ('00000000-0000-4000-8000-00000000000b', 'B');
INSERT INTO hr.team (business_id, name) SELECT business_id, 'team ' || n FROM hr.business, generate_series(1, 2) AS n;
INSERT INTO hr.employee (business_id, team_id) SELECT business_id, team_id FROM hr.team;
