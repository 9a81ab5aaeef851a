INSERT INTO team.org VALUES ('00000000-0000-4000-8000-00000000000a', 'A'), ('00000000-0000-4000-8000-00000000000b', 'B');
INSERT INTO team.member (org_id, user_id) SELECT org_id, org_id FROM team.org;
INSERT INTO team.document (org_id, title) SELECT org_id, 'document ' || n FROM team.org, generate_series(1, 3) AS n;
