-- Counters of the whole server since its start, and how its connections are used.
SELECT extract(epoch FROM clock_timestamp())::float8 AS at,
       sum(d.xact_commit)::bigint AS commits, sum(d.xact_rollback)::bigint AS rollbacks,
       sum(d.tup_returned)::bigint AS rows_read,
       sum(d.tup_inserted + d.tup_updated + d.tup_deleted)::bigint AS rows_written,
       sum(d.blks_hit)::bigint AS hits, sum(d.blks_read)::bigint AS reads,
       sum(d.temp_bytes)::bigint AS temp_bytes, sum(d.deadlocks)::bigint AS deadlocks,
       (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END
        - '0/0'::pg_lsn)::bigint AS wal_bytes
FROM pg_stat_database AS d
