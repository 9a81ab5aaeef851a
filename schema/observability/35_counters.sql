/*
 * Counters: what the server has counted, read once and given away as a document.
 *
 * read_counters() reads the statistics views of the database that it runs in and writes nothing.
 * What becomes of it is take_snapshot()'s affair (40_sample.sql), in the same database or in
 * another one that keeps the history: so a database that is made anew for every run leaves its
 * figures behind. Run by a member of pg_monitor; any other role sees neither the statements nor
 * the sessions of others.
 */

CREATE FUNCTION observability.read_statements(known bigint[] DEFAULT '{}') RETURNS jsonb
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    place text;
    seen  jsonb;
BEGIN
    SELECT n.nspname INTO place
    FROM pg_catalog.pg_extension AS e
    JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
    WHERE e.extname = 'pg_stat_statements';
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    EXECUTE format($query$
        SELECT coalesce(jsonb_agg(jsonb_strip_nulls(to_jsonb(x))), '[]')
        FROM (
            SELECT s.queryid AS query_id, pg_get_userbyid(s.userid) AS role_name, s.toplevel,
                   s.calls, s.rows AS rows_returned, s.total_exec_time, s.max_exec_time,
                   s.stddev_exec_time, s.total_plan_time, s.shared_blks_hit, s.shared_blks_read,
                   s.temp_blks_written, s.wal_bytes,
                   s.shared_blk_read_time + s.local_blk_read_time AS blk_read_time,
                   s.jit_generation_time + s.jit_inlining_time + s.jit_optimization_time
                       + s.jit_emission_time + s.jit_deform_time AS jit_time,
                   s.stats_since,
                   CASE WHEN s.queryid <> ALL ($1) THEN left(s.query, 20000) END AS text
            FROM %I.pg_stat_statements AS s
            WHERE s.dbid = (SELECT d.oid FROM pg_catalog.pg_database AS d
                            WHERE d.datname = current_database())
                AND s.queryid IS NOT NULL
        ) AS x
        $query$, place)
    INTO seen USING known;
    RETURN seen;
END
$$;
COMMENT ON FUNCTION observability.read_statements(bigint[]) IS
    'What each statement of this database did so far, from pg_stat_statements in whatever schema
     it lies, with the text of those that are not known; NULL where it is not installed.';


CREATE FUNCTION observability.read_tables(is_exact boolean) RETURNS jsonb
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(jsonb_agg(jsonb_strip_nulls(to_jsonb(x))), '[]')
    FROM (
        SELECT s.relid::bigint AS relid, s.schemaname AS schema_name, s.relname AS table_name,
               s.seq_scan, coalesce(s.idx_scan, 0) AS idx_scan, s.n_tup_ins AS inserted,
               s.n_tup_upd AS updated, s.n_tup_hot_upd AS hot_updated, s.n_tup_del AS deleted,
               s.n_live_tup AS live_rows, s.n_dead_tup AS dead_rows,
               s.last_autovacuum AS last_autovacuum_at,
               b.heap_blks_hit AS heap_hit, b.heap_blks_read AS heap_read,
               CASE WHEN is_exact THEN pg_relation_size(s.relid)
                    ELSE c.relpages * k.page END AS table_bytes,
               CASE WHEN is_exact THEN pg_indexes_size(s.relid)
                    ELSE coalesce(i.pages, 0) * k.page END AS index_bytes,
               CASE WHEN c.reltoastrelid = 0 THEN 0
                    WHEN is_exact THEN pg_total_relation_size(c.reltoastrelid)
                    ELSE t.relpages * k.page END AS toast_bytes
        FROM pg_catalog.pg_stat_user_tables AS s
        CROSS JOIN (SELECT current_setting('block_size')::bigint) AS k (page)
        JOIN pg_catalog.pg_statio_user_tables AS b ON b.relid = s.relid
        JOIN pg_catalog.pg_class AS c ON c.oid = s.relid
        LEFT JOIN pg_catalog.pg_class AS t ON t.oid = c.reltoastrelid
        LEFT JOIN (
            SELECT x.indrelid, sum(k.relpages)::bigint AS pages
            FROM pg_catalog.pg_index AS x
            JOIN pg_catalog.pg_class AS k ON k.oid = x.indexrelid
            GROUP BY x.indrelid
        ) AS i ON i.indrelid = s.relid
    ) AS x;
END;
COMMENT ON FUNCTION observability.read_tables(boolean) IS
    'What happened to each table of this database so far, and its size: exact, or as the planner
     knows it.';


CREATE FUNCTION observability.read_indexes(is_exact boolean) RETURNS jsonb
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(jsonb_agg(jsonb_strip_nulls(to_jsonb(x))), '[]')
    FROM (
        SELECT s.indexrelid::bigint AS indexrelid, s.schemaname AS schema_name,
               s.relname AS table_name, s.indexrelname AS index_name, s.idx_scan,
               s.idx_tup_read AS tuples_read, s.idx_tup_fetch AS tuples_fetched,
               s.last_idx_scan AS last_used_at, i.indisunique AS is_unique,
               i.indisvalid OR EXISTS (
                   SELECT FROM pg_catalog.pg_stat_progress_create_index AS p
                   WHERE p.index_relid = s.indexrelid) AS is_valid,
               EXISTS (SELECT FROM pg_catalog.pg_constraint AS k
                       WHERE k.conindid = s.indexrelid AND k.contype IN ('p', 'u', 'x'))
                   AS is_constraint,
               coalesce(a.attname = 'business_id', false) AS leads_with_business_id,
               CASE WHEN is_exact THEN pg_relation_size(s.indexrelid)
                    ELSE c.relpages * k.page END AS index_bytes
        FROM pg_catalog.pg_stat_user_indexes AS s
        CROSS JOIN (SELECT current_setting('block_size')::bigint) AS k (page)
        JOIN pg_catalog.pg_index AS i ON i.indexrelid = s.indexrelid
        JOIN pg_catalog.pg_class AS c ON c.oid = s.indexrelid
        LEFT JOIN pg_catalog.pg_attribute AS a
            ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
    ) AS x;
END;
COMMENT ON FUNCTION observability.read_indexes(boolean) IS
    'How each index of this database was used so far; one that is being built counts as valid.';


CREATE FUNCTION observability.read_io() RETURNS jsonb
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(jsonb_agg(jsonb_strip_nulls(to_jsonb(x))), '[]')
    FROM (
        SELECT s.backend_type, replace(s.object, ' ', '_') AS io_object, s.context AS io_context,
               s.reads, s.read_time, s.writes, s.write_time, s.extends, s.hits, s.evictions,
               s.fsyncs, 0::bigint AS wal_bytes, 0::bigint AS timed, 0::bigint AS requested,
               s.stats_reset
        FROM pg_catalog.pg_stat_io AS s
        UNION ALL
        SELECT 'instance', 'wal', 'normal', NULL, NULL, w.wal_write, w.wal_write_time, NULL, NULL,
               NULL, w.wal_sync, w.wal_bytes::bigint, c.num_timed, c.num_requested,
               greatest(w.stats_reset, c.stats_reset)
        FROM pg_catalog.pg_stat_wal AS w CROSS JOIN pg_catalog.pg_stat_checkpointer AS c
    ) AS x;
END;
COMMENT ON FUNCTION observability.read_io() IS
    'What each kind of process read and wrote so far, from pg_stat_io, pg_stat_wal and
     pg_stat_checkpointer; each says itself when it was reset.';


CREATE FUNCTION observability.read_waits() RETURNS jsonb
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH now_at AS (
        SELECT clock_timestamp() AS moment
    ), session AS MATERIALIZED (
        SELECT a.pid, a.datname, a.backend_type, a.state, a.wait_event_type, a.wait_event,
               a.query_id, a.application_name, a.query_start, a.state_change, a.xact_start
        FROM pg_catalog.pg_stat_activity AS a
    ), seen AS (
        SELECT CASE WHEN b.pids IS NOT NULL AND l.mode IS NOT NULL THEN 'blocked'
                    WHEN a.state = 'active' THEN 'active' ELSE 'idle_in_transaction' END AS state,
               a.wait_event_type, a.wait_event, a.query_id, a.application_name,
               extract(epoch FROM now_at.moment - CASE WHEN a.state = 'active' THEN a.query_start
                                                ELSE a.state_change END) * 1000 AS age_ms,
               extract(epoch FROM now_at.moment - a.xact_start) * 1000 AS xact_ms,
               CASE WHEN l.mode IS NOT NULL THEN blocker.query_id END AS blocked_by_query_id,
               CASE WHEN b.pids IS NOT NULL THEN l.mode END AS lock_mode
        FROM session AS a
        CROSS JOIN now_at
        -- Asked of waiting sessions only, for it stops the lock manager.
        LEFT JOIN LATERAL (
            SELECT nullif(pg_blocking_pids(a.pid), '{}') AS pids
            WHERE a.wait_event_type = 'Lock'
        ) AS b ON true
        LEFT JOIN LATERAL (
            SELECT k.mode FROM pg_catalog.pg_locks AS k
            WHERE k.pid = a.pid AND NOT k.granted AND b.pids IS NOT NULL
            LIMIT 1
        ) AS l ON true
        LEFT JOIN session AS blocker ON blocker.pid = b.pids[1]
        WHERE a.backend_type = 'client backend' AND a.datname = current_database()
            AND a.pid <> pg_backend_pid()
            AND a.state IN ('active', 'idle in transaction', 'idle in transaction (aborted)')
    )
    SELECT coalesce(jsonb_agg(jsonb_strip_nulls(to_jsonb(w))), '[]')
    FROM (
        SELECT s.state, s.wait_event_type, s.wait_event, count(*) AS session_count,
               greatest(max(s.age_ms), 0) AS longest_ms,
               greatest(max(s.xact_ms), 0) AS oldest_xact_ms, s.query_id,
               s.blocked_by_query_id, coalesce(s.application_name, '') AS application_name,
               s.lock_mode
        FROM seen AS s
        GROUP BY s.state, s.wait_event_type, s.wait_event, s.query_id, s.blocked_by_query_id,
                 coalesce(s.application_name, ''), s.lock_mode
    ) AS w;
END;
COMMENT ON FUNCTION observability.read_waits() IS
    'What the sessions of this database do or wait for now, without its own.';


CREATE FUNCTION observability.read_settings() RETURNS jsonb
    LANGUAGE sql STABLE
BEGIN ATOMIC
    -- reset_val, not setting: what this session set for itself is nobody's business.
    SELECT coalesce(jsonb_agg(jsonb_strip_nulls(to_jsonb(x))), '[]')
    FROM (
        SELECT s.name, s.reset_val AS value, s.unit, s.context, s.pending_restart,
               CASE WHEN s.sourcefile LIKE '%postgresql.auto.conf' THEN 'alter_system'
                    WHEN s.source = 'configuration file' THEN 'configuration_file'
                    WHEN s.source = 'command line' THEN 'command_line'
                    WHEN s.source IN ('user', 'database user') THEN 'role'
                    WHEN s.source = 'database' THEN 'database'
                    WHEN s.source IN ('session', 'client', 'interactive') THEN 'session'
                    ELSE 'default' END AS source
        FROM pg_catalog.pg_settings AS s
        WHERE s.source <> 'client' AND s.category <> 'Preset Options'
            AND s.name NOT LIKE 'app.%'
            AND s.name NOT IN ('application_name', 'client_encoding', 'transaction_isolation',
                               'transaction_read_only', 'transaction_deferrable', 'role',
                               'session_authorization', 'seed', 'is_superuser')
    ) AS x;
END;
COMMENT ON FUNCTION observability.read_settings() IS
    'The settings of the server as a new session finds them.';


CREATE FUNCTION observability.read_counters(
    is_exact boolean  DEFAULT true,
    known    bigint[] DEFAULT '{}'
) RETURNS jsonb
    LANGUAGE plpgsql AS $$
DECLARE
    seen    jsonb;
    trouble text[] := '{}';
BEGIN
    SELECT jsonb_build_object(
        'read_at', clock_timestamp(), 'database_name', d.datname, 'database_oid', d.datid::bigint,
        'stats_reset', d.stats_reset, 'postmaster_started_at', pg_postmaster_start_time(),
        'server_version_num', current_setting('server_version_num')::integer,
        'track_io_timing', current_setting('track_io_timing')::boolean,
        'statements_max', current_setting('pg_stat_statements.max', true)::integer)
    INTO seen
    FROM pg_catalog.pg_stat_database AS d
    WHERE d.datname = current_database();

    -- What one view refuses does not cost the pass the others.
    BEGIN
        seen := seen || jsonb_build_object('statements', observability.read_statements(known));
    EXCEPTION WHEN insufficient_privilege OR object_not_in_prerequisite_state
                   OR undefined_column THEN
        trouble := trouble || ('statements: ' || SQLERRM);
    END;
    BEGIN
        seen := seen || jsonb_build_object('tables', observability.read_tables(is_exact),
                                           'indexes', observability.read_indexes(is_exact));
    EXCEPTION WHEN insufficient_privilege OR undefined_table OR undefined_column THEN
        trouble := trouble || ('tables and indexes: ' || SQLERRM);
    END;
    BEGIN
        seen := seen || jsonb_build_object('io', observability.read_io());
    EXCEPTION WHEN insufficient_privilege OR undefined_table OR undefined_column THEN
        trouble := trouble || ('io: ' || SQLERRM);
    END;
    BEGIN
        seen := seen || jsonb_build_object('waits', observability.read_waits(),
                                           'settings', observability.read_settings());
    EXCEPTION WHEN insufficient_privilege OR undefined_table OR undefined_column THEN
        trouble := trouble || ('waits and settings: ' || SQLERRM);
    END;
    RETURN seen || jsonb_build_object('trouble', to_jsonb(trouble));
END
$$;
COMMENT ON FUNCTION observability.read_counters(boolean, bigint[]) IS
    'All that the server has counted for this database, as one document; changes nothing.';
