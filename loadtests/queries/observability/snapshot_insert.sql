-- The collector stores one pass: 400 statements, 600 tables and 1,000 indexes at once.
-- budget: p95 250ms
-- weight: 1
-- mode: write
-- rows: >=0
-- params: monitored_instance_id from observability.monitored_instance
WITH run AS (
    INSERT INTO observability.snapshot_run
        (business_id, monitored_instance_id, kind, status, statements_seen, tables_seen,
         indexes_seen, started_at, finished_at)
    VALUES (%(business_id)s, %(monitored_instance_id)s, 'scheduled', 'complete', 400, 600, 1000,
            now(), now() + interval '120 milliseconds')
    -- Two collectors in the same microsecond: the first one's pass counts.
    ON CONFLICT (business_id, monitored_instance_id, started_at) DO NOTHING
    RETURNING business_id, snapshot_run_id, started_at
), statement AS (
    INSERT INTO observability.query_stat_sample
        (business_id, snapshot_run_id, query_fingerprint_id, role_name, toplevel, calls,
         rows_returned, total_exec_ms, max_exec_ms, shared_blks_hit, shared_blks_read, sampled_at)
    SELECT r.business_id, r.snapshot_run_id, f.query_fingerprint_id, 'app_' || n.n, true,
           1000 / n.n, 6000 / n.n, 2500.5 / n.n, 40, 14000, 20, r.started_at
    FROM run AS r
    CROSS JOIN (
        SELECT q.query_fingerprint_id FROM observability.query_fingerprint AS q
        WHERE q.business_id = %(business_id)s
        LIMIT 100
    ) AS f
    CROSS JOIN generate_series(1, 4) AS n (n)
    RETURNING query_stat_sample_id
), relation AS (
    INSERT INTO observability.table_stat_sample
        (business_id, snapshot_run_id, schema_name, table_name, seq_scan, idx_scan,
         rows_inserted, rows_updated, rows_hot_updated, live_rows, dead_rows, table_bytes,
         index_bytes, heap_hit_pct, sampled_at)
    SELECT r.business_id, r.snapshot_run_id, 'billing', 'screen_' || n.n, 0, 900, 120, 60, 48,
           40000 + n.n, 300, 6400000, 2800000, 99.5, r.started_at
    FROM run AS r CROSS JOIN generate_series(1, 600) AS n (n)
    RETURNING table_stat_sample_id
), index AS (
    INSERT INTO observability.index_stat_sample
        (business_id, snapshot_run_id, schema_name, table_name, index_name, idx_scan,
         idx_tup_read, idx_tup_fetch, index_bytes, last_used_at, sampled_at)
    SELECT r.business_id, r.snapshot_run_id, 'billing', 'screen_' || n.n % 600,
           'screen_' || n.n || '_idx', 900, 4500, 3600, 1400000, r.started_at, r.started_at
    FROM run AS r CROSS JOIN generate_series(1, 1000) AS n (n)
    RETURNING index_stat_sample_id
)
SELECT r.business_id, r.snapshot_run_id,
       (SELECT count(*) FROM statement) + (SELECT count(*) FROM relation)
           + (SELECT count(*) FROM index) AS row_count
FROM run AS r
