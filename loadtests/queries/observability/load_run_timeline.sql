-- The time line of a load run for its chart, at most 600 points.
-- budget: p95 80ms
-- weight: 2
-- mode: read
-- rows: >=1
-- params: load_run_id, started_at, finished_at from observability.load_run where finished_at IS NOT NULL
SELECT s.business_id, s.sampled_at, s.users, s.rps, s.failures_per_second, s.p50_ms, s.p95_ms,
       s.db_active_sessions, s.db_cpu_pct, s.pool_waiting, s.cache_hit_pct
FROM observability.load_sample AS s
WHERE s.business_id = %(business_id)s
  AND s.load_run_id = %(load_run_id)s
  AND s.sampled_at BETWEEN %(started_at)s AND %(finished_at)s
ORDER BY s.sampled_at
LIMIT 600
