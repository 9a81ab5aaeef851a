INSERT INTO log.business VALUES ('00000000-0000-4000-8000-00000000000a', 'A'), ('00000000-0000-4000-8000-00000000000b', 'B');
INSERT INTO log.event (business_id, at) SELECT business_id, timestamptz '2026-11-01 00:00+00' + n * interval '1 month' FROM log.business, generate_series(1, 3) AS n;
