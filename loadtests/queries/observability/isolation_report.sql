-- The last run of the probes: by outcome and attempt how many, and which objects leaked.
-- budget: p95 120ms
-- weight: 2
-- mode: read
-- rows: >=1
SELECT r.business_id, r.check_run_id, r.verdict, r.finished_at, p.outcome, p.attempt,
       p.probe_count, p.slowest_us, p.objects
FROM (
    SELECT c.business_id, c.check_run_id, c.verdict, c.finished_at
    FROM observability.check_run AS c
    WHERE c.business_id = %(business_id)s
      AND c.family = 'isolation' AND c.finished_at IS NOT NULL
    ORDER BY c.started_at DESC
    LIMIT 1
) AS r
CROSS JOIN LATERAL (
    SELECT x.outcome, x.attempt, count(*) AS probe_count, max(x.duration_us) AS slowest_us,
           array_agg(DISTINCT x.schema_name || '.' || x.object_name)
               FILTER (WHERE x.outcome <> 'isolated') AS objects
    FROM observability.isolation_probe AS x
    WHERE x.business_id = %(business_id)s AND x.check_run_id = r.check_run_id
    GROUP BY x.outcome, x.attempt
) AS p
ORDER BY p.outcome = 'leak' DESC, p.outcome, p.attempt
