-- The 20 statements that took most time in the last eight passes of an instance up to a moment.
-- budget: p95 150ms
-- weight: 3
-- mode: read
-- rows: >=1
-- params: monitored_instance_id, started_at from observability.snapshot_run where status = 'complete'
SELECT f.business_id, f.query_fingerprint_id, f.normalized_text, f.statement_kind, s.calls,
       s.total_exec_ms, round(s.total_exec_ms / s.calls, 3) AS mean_exec_ms, s.max_exec_ms,
       s.shared_blks_read, s.wal_bytes,
       round(100 * s.total_exec_ms / nullif(s.all_exec_ms, 0), 2) AS time_share_pct
FROM (
    SELECT q.query_fingerprint_id, sum(q.calls) AS calls, sum(q.total_exec_ms) AS total_exec_ms,
           max(q.max_exec_ms) AS max_exec_ms, sum(q.shared_blks_read) AS shared_blks_read,
           sum(q.wal_bytes) AS wal_bytes, sum(sum(q.total_exec_ms)) OVER () AS all_exec_ms
    -- However often it is asked to look: a pass more pushes the oldest one out.
    FROM (
        SELECT r.snapshot_run_id, r.started_at
        FROM observability.snapshot_run AS r
        WHERE r.business_id = %(business_id)s
          AND r.monitored_instance_id = %(monitored_instance_id)s
          AND r.started_at <= %(started_at)s::timestamptz
        ORDER BY r.started_at DESC
        LIMIT 8
    ) AS pass
    JOIN observability.query_stat_sample AS q
        ON q.business_id = %(business_id)s AND q.snapshot_run_id = pass.snapshot_run_id
       AND q.sampled_at = pass.started_at
    GROUP BY q.query_fingerprint_id
    ORDER BY sum(q.total_exec_ms) DESC
    LIMIT 20
) AS s
JOIN observability.query_fingerprint AS f
    ON f.business_id = %(business_id)s AND f.query_fingerprint_id = s.query_fingerprint_id
ORDER BY s.total_exec_ms DESC
