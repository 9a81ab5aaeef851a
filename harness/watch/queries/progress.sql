-- What PostgreSQL itself says it is at: done and of how much, in units of its own.
SELECT 'CREATE INDEX', p.pid, coalesce(p.relid::regclass::text, ''), p.phase,
       greatest(p.blocks_done, p.tuples_done), greatest(p.blocks_total, p.tuples_total)
FROM pg_stat_progress_create_index AS p WHERE p.datname = current_database()
UNION ALL
SELECT 'COPY', p.pid, p.relid::regclass::text, p.type, p.bytes_processed, p.bytes_total
FROM pg_stat_progress_copy AS p WHERE p.datname = current_database()
UNION ALL
SELECT 'VACUUM', p.pid, p.relid::regclass::text, p.phase, p.heap_blks_scanned, p.heap_blks_total
FROM pg_stat_progress_vacuum AS p WHERE p.datname = current_database()
UNION ALL
SELECT 'ANALYZE', p.pid, p.relid::regclass::text, p.phase, p.sample_blks_scanned,
       p.sample_blks_total
FROM pg_stat_progress_analyze AS p WHERE p.datname = current_database()
UNION ALL
SELECT 'base backup', p.pid, '', p.phase, p.backup_streamed, coalesce(p.backup_total, 0)
FROM pg_stat_progress_basebackup AS p
ORDER BY 1, 2
LIMIT 10
