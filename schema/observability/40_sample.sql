/*
 * Samples: increments of the server's statistics between two passes.
 *
 * snapshot_run is one pass over the statistics views of an instance; what it saw hangs from it:
 * query_stat_sample (of a query_fingerprint), table_stat_sample, index_stat_sample, io_sample,
 * setting_change and tenant_size_sample. wait_sample is what sessions waited for at a moment, of
 * the instance. The server counts from its start on; counter_state holds what it had counted at the
 * last pass, so that the next one stores the difference.
 *
 * Who does what:
 *   take_snapshot()        a member of pg_monitor (harness_monitor), which is granted what that
 *                          needs below, with the operator's business as tenant; a role without
 *                          pg_monitor sees neither the statements nor the sessions of others
 *   sample_tenant_sizes()  a role that bypasses row security (the loader), for pg_stats hides
 *                          tables under row security from everybody else
 *   purge_samples()        such a role that is a member of the owner too (the loader): it drops
 *                          partitions, and must see the baselines of all tenants to spare them
 *
 * An idle table or index has no row in a scheduled pass: rows come where something changed, and
 * all of them in an origin and in every pass that is not scheduled.
 */

GRANT USAGE ON SCHEMA system_core, tenant_mgmt, observability TO pg_monitor;
GRANT SELECT, UPDATE ON observability.monitored_instance TO pg_monitor;
GRANT SELECT ON observability.load_run TO pg_monitor;
-- An invalid index opens a finding.
GRANT SELECT, INSERT ON observability.check_definition TO pg_monitor;
GRANT SELECT, INSERT, UPDATE ON observability.finding TO pg_monitor;


CREATE TABLE observability.snapshot_run (
    business_id           uuid                     NOT NULL,
    snapshot_run_id       uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    monitored_instance_id uuid                     NOT NULL,
    load_run_id           uuid,
    kind                  text                     NOT NULL DEFAULT 'scheduled',
    status                text                     NOT NULL DEFAULT 'running',
    is_origin             boolean                  NOT NULL DEFAULT false,
    statements_seen       integer,
    tables_seen           integer,
    indexes_seen          integer,
    track_io_timing       boolean                  NOT NULL DEFAULT false,
    database_oid          bigint,
    stats_reset_at        timestamptz,
    postmaster_started_at timestamptz,
    error_detail          text,
    started_at            timestamptz              NOT NULL DEFAULT now(),
    finished_at           timestamptz,
    collection_ms         system_core.milliseconds GENERATED ALWAYS AS (
                              1000 * extract(epoch FROM finished_at - started_at)) STORED,
    created_at            timestamptz              NOT NULL DEFAULT now(),
    updated_at            timestamptz              NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, snapshot_run_id),
    UNIQUE (business_id, monitored_instance_id, started_at),
    FOREIGN KEY (business_id, monitored_instance_id)
        REFERENCES observability.monitored_instance (business_id, monitored_instance_id),
    FOREIGN KEY (business_id, load_run_id)
        REFERENCES observability.load_run (business_id, load_run_id),
    CONSTRAINT snapshot_run_kind_known
        CHECK (kind IN ('scheduled', 'before_load', 'after_load', 'manual', 'baseline')),
    CONSTRAINT snapshot_run_status_known
        CHECK (status IN ('running', 'complete', 'partial', 'failed')),
    CONSTRAINT snapshot_run_finished_after_start CHECK (finished_at >= started_at),
    CONSTRAINT snapshot_run_ended_has_time
        CHECK ((status = 'running') = (finished_at IS NULL)),
    CONSTRAINT snapshot_run_trouble_is_told
        CHECK (status NOT IN ('partial', 'failed') OR error_detail IS NOT NULL),
    CONSTRAINT snapshot_run_counts_not_negative
        CHECK (statements_seen >= 0 AND tables_seen >= 0 AND indexes_seen >= 0)
);

COMMENT ON TABLE observability.snapshot_run IS
    'One pass over the statistics views of an instance; what it saw hangs from it.';
COMMENT ON COLUMN observability.snapshot_run.is_origin IS
    'The first pass, or the first after the statistics were reset: increments start at 0.';
COMMENT ON COLUMN observability.snapshot_run.statements_seen IS
    'NULL where pg_stat_statements is not installed.';
COMMENT ON COLUMN observability.snapshot_run.track_io_timing IS
    'Whether the server timed reads and writes then; without it their times are 0.';
COMMENT ON COLUMN observability.snapshot_run.database_oid IS
    'Another one than before is another database under the same name: the run is an origin.';
COMMENT ON COLUMN observability.snapshot_run.stats_reset_at IS
    'pg_stat_database.stats_reset; another value than before makes the run an origin.';
COMMENT ON COLUMN observability.snapshot_run.error_detail IS
    'What could not be read, for a partial or failed pass.';

-- The passes of a load run. FK.
CREATE INDEX snapshot_run_load_run_idx
    ON observability.snapshot_run (business_id, load_run_id)
    WHERE load_run_id IS NOT NULL;

ALTER TABLE observability.snapshot_run ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.snapshot_run
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON observability.snapshot_run TO app_user;
GRANT SELECT ON observability.snapshot_run TO app_readonly;
GRANT SELECT ON observability.snapshot_run TO matview_owner;
GRANT SELECT, INSERT, UPDATE ON observability.snapshot_run TO pg_monitor;

CREATE TRIGGER snapshot_run_touch
    BEFORE UPDATE ON observability.snapshot_run
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER snapshot_run_status_machine
    BEFORE INSERT OR UPDATE OF status ON observability.snapshot_run
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["running", "complete", "partial", "failed"],
        "transitions": {
            "running":  ["complete", "partial", "failed"],
            "complete": [],
            "partial":  [],
            "failed":   []
        }}');


CREATE TABLE observability.counter_state (
    business_id           uuid                   NOT NULL,
    counter_state_id      uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    monitored_instance_id uuid                   NOT NULL,
    snapshot_run_id       uuid                   NOT NULL,
    source                text                   NOT NULL,
    counters              system_core.json_array NOT NULL,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, counter_state_id),
    UNIQUE (business_id, monitored_instance_id, source),
    FOREIGN KEY (business_id, monitored_instance_id)
        REFERENCES observability.monitored_instance (business_id, monitored_instance_id),
    FOREIGN KEY (business_id, snapshot_run_id)
        REFERENCES observability.snapshot_run (business_id, snapshot_run_id),
    CONSTRAINT counter_state_source_known
        CHECK (source IN ('statements', 'tables', 'indexes', 'io', 'settings'))
);

COMMENT ON TABLE observability.counter_state IS
    'What a statistics view had counted at the last pass: one document per instance and view.';
COMMENT ON COLUMN observability.counter_state.snapshot_run_id IS 'The pass that read it.';
COMMENT ON COLUMN observability.counter_state.counters IS
    'The rows of the view as objects, read with JSON_TABLE by the next pass.';

-- FK: what a pass left.
CREATE INDEX counter_state_run_idx
    ON observability.counter_state (business_id, snapshot_run_id);

ALTER TABLE observability.counter_state ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.counter_state
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON observability.counter_state TO app_user;
GRANT SELECT ON observability.counter_state TO app_readonly;
GRANT SELECT, INSERT, UPDATE ON observability.counter_state TO pg_monitor;

CREATE TRIGGER counter_state_touch
    BEFORE UPDATE ON observability.counter_state
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE observability.setting_change (
    business_id           uuid        NOT NULL,
    setting_change_id     uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    monitored_instance_id uuid        NOT NULL,
    snapshot_run_id       uuid        NOT NULL,
    setting_name          text        NOT NULL,
    old_value             text,
    new_value             text,
    unit                  text,
    source                text        NOT NULL,
    context               text        NOT NULL,
    is_pending_restart    boolean     NOT NULL DEFAULT false,
    affects_comparability boolean     NOT NULL GENERATED ALWAYS AS (
                              context = 'postmaster'
                              OR setting_name ~ '^(enable_|jit|cpu_|parallel_|track_|autovacuum)'
                              OR setting_name ~ '(_cost|_mem|_workers|_workers_per_gather)$'
                              OR setting_name ~ '^(checkpoint_|wal_|commit_|io_|maintenance_)'
                              OR setting_name IN (
                                  'fsync', 'full_page_writes', 'synchronous_commit',
                                  'effective_cache_size', 'effective_io_concurrency',
                                  'default_statistics_target', 'max_wal_size', 'min_wal_size',
                                  'plan_cache_mode', 'constraint_exclusion', 'row_security',
                                  'session_replication_role', 'temp_file_limit')) STORED,
    seen_at               timestamptz NOT NULL DEFAULT now(),
    created_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, setting_change_id),
    UNIQUE (business_id, monitored_instance_id, setting_name, seen_at),
    FOREIGN KEY (business_id, monitored_instance_id)
        REFERENCES observability.monitored_instance (business_id, monitored_instance_id),
    FOREIGN KEY (business_id, snapshot_run_id)
        REFERENCES observability.snapshot_run (business_id, snapshot_run_id),
    CONSTRAINT setting_change_source_known
        CHECK (source IN ('default', 'configuration_file', 'command_line', 'alter_system', 'role',
                          'database', 'session')),
    CONSTRAINT setting_change_context_known
        CHECK (context IN ('internal', 'postmaster', 'sighup', 'superuser-backend', 'backend',
                           'superuser', 'user')),
    CONSTRAINT setting_change_changes_something CHECK (old_value IS DISTINCT FROM new_value)
);

COMMENT ON TABLE observability.setting_change IS
    'A server setting that was another at the pass before; append only.';
COMMENT ON COLUMN observability.setting_change.old_value IS
    'NULL: there was no such setting (an extension brought it).';
COMMENT ON COLUMN observability.setting_change.source IS 'Where the new value comes from.';
COMMENT ON COLUMN observability.setting_change.affects_comparability IS
    'Figures from before and after cannot be compared; see comparability_gaps().';

-- comparability_gaps(). FK: what a pass saw changed.
CREATE INDEX setting_change_run_idx
    ON observability.setting_change (business_id, snapshot_run_id);

ALTER TABLE observability.setting_change ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.setting_change
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON observability.setting_change TO app_user;
GRANT SELECT ON observability.setting_change TO app_readonly;
GRANT SELECT, INSERT ON observability.setting_change TO pg_monitor;

CREATE TRIGGER setting_change_append_only
    BEFORE UPDATE OR DELETE ON observability.setting_change
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('observability.setting_change');


CREATE TABLE observability.query_fingerprint (
    business_id          uuid               NOT NULL,
    query_fingerprint_id uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    critical_query_id    uuid,
    query_id             bigint             NOT NULL,
    database_name        text               NOT NULL,
    normalized_text      text               NOT NULL,
    text_sha256          system_core.sha256 NOT NULL,
    statement_kind       text               NOT NULL,
    tables_touched       text[]             NOT NULL DEFAULT '{}',
    schemas_touched      text[]             NOT NULL DEFAULT '{}',
    has_business_filter  boolean,
    parsed_by            text               NOT NULL DEFAULT 'none',
    first_seen_at        timestamptz        NOT NULL DEFAULT now(),
    last_seen_at         timestamptz        NOT NULL DEFAULT now(),
    created_at           timestamptz        NOT NULL DEFAULT now(),
    updated_at           timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, query_fingerprint_id),
    UNIQUE (business_id, database_name, query_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, critical_query_id)
        REFERENCES observability.critical_query (business_id, critical_query_id),
    CONSTRAINT query_fingerprint_statement_kind_known
        CHECK (statement_kind IN ('select', 'insert', 'update', 'delete', 'merge', 'copy', 'ddl',
                                  'utility')),
    CONSTRAINT query_fingerprint_parsed_by_known
        CHECK (parsed_by IN ('pglast', 'fallback', 'none')),
    CONSTRAINT query_fingerprint_unparsed_is_unknown
        CHECK (parsed_by <> 'none' OR has_business_filter IS NULL),
    CONSTRAINT query_fingerprint_seen_in_order CHECK (last_seen_at >= first_seen_at)
);

COMMENT ON TABLE observability.query_fingerprint IS
    'A statement without its constants, by the server''s query id.';
COMMENT ON COLUMN observability.query_fingerprint.has_business_filter IS
    'Whether every table of a tenant is asked by business_id; NULL until it was parsed.';
COMMENT ON COLUMN observability.query_fingerprint.parsed_by IS
    'take_snapshot() stores new texts as none; the harness parses them outside the database.';
COMMENT ON COLUMN observability.query_fingerprint.last_seen_at IS 'To the hour.';

-- FK: which statement is a critical query.
CREATE INDEX query_fingerprint_critical_query_idx
    ON observability.query_fingerprint (business_id, critical_query_id)
    WHERE critical_query_id IS NOT NULL;

ALTER TABLE observability.query_fingerprint ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.query_fingerprint
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON observability.query_fingerprint TO app_user;
GRANT SELECT ON observability.query_fingerprint TO app_readonly;
GRANT SELECT, INSERT, UPDATE ON observability.query_fingerprint TO pg_monitor;

CREATE TRIGGER query_fingerprint_touch
    BEFORE UPDATE ON observability.query_fingerprint
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE FUNCTION observability.hash_text() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.text_sha256 := sha256(convert_to(NEW.normalized_text, 'UTF8'));
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION observability.hash_text() IS
    'The hash is that of the text; a generated column cannot, for it depends on the encoding.';

CREATE TRIGGER query_fingerprint_hash_text
    BEFORE INSERT OR UPDATE OF normalized_text, text_sha256 ON observability.query_fingerprint
    FOR EACH ROW EXECUTE FUNCTION observability.hash_text();


CREATE TABLE observability.query_stat_sample (
    business_id          uuid                     NOT NULL,
    query_stat_sample_id uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    snapshot_run_id      uuid                     NOT NULL,
    query_fingerprint_id uuid                     NOT NULL,
    role_name            text                     NOT NULL,
    toplevel             boolean                  NOT NULL DEFAULT true,
    calls                bigint                   NOT NULL,
    rows_returned        bigint                   NOT NULL DEFAULT 0,
    total_exec_ms        numeric(18, 3)           NOT NULL,
    mean_exec_ms         numeric(18, 3)           NOT NULL GENERATED ALWAYS AS (
                             total_exec_ms / calls) STORED,
    max_exec_ms          system_core.milliseconds NOT NULL,
    stddev_exec_ms       system_core.milliseconds NOT NULL DEFAULT 0,
    total_plan_ms        numeric(18, 3)           NOT NULL DEFAULT 0,
    shared_blks_hit      bigint                   NOT NULL DEFAULT 0,
    shared_blks_read     bigint                   NOT NULL DEFAULT 0,
    temp_blks_written    bigint                   NOT NULL DEFAULT 0,
    wal_bytes            bigint                   NOT NULL DEFAULT 0,
    jit_ms               system_core.milliseconds NOT NULL DEFAULT 0,
    blk_read_ms          system_core.milliseconds NOT NULL DEFAULT 0,
    sampled_at           timestamptz              NOT NULL DEFAULT now(),
    created_at           timestamptz              NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, query_stat_sample_id, sampled_at),
    UNIQUE (business_id, snapshot_run_id, query_fingerprint_id, role_name, toplevel, sampled_at),
    FOREIGN KEY (business_id, snapshot_run_id)
        REFERENCES observability.snapshot_run (business_id, snapshot_run_id),
    FOREIGN KEY (business_id, query_fingerprint_id)
        REFERENCES observability.query_fingerprint (business_id, query_fingerprint_id),
    CONSTRAINT query_stat_sample_called CHECK (calls > 0),
    CONSTRAINT query_stat_sample_increments_not_negative
        CHECK (rows_returned >= 0 AND total_exec_ms >= 0 AND total_plan_ms >= 0
               AND shared_blks_hit >= 0 AND shared_blks_read >= 0 AND temp_blks_written >= 0
               AND wal_bytes >= 0)
) PARTITION BY RANGE (sampled_at);

COMMENT ON TABLE observability.query_stat_sample IS
    'What a statement did between two passes, per role; append only.';
COMMENT ON COLUMN observability.query_stat_sample.max_exec_ms IS
    'Since the server forgot it last, not of the interval; so is stddev_exec_ms.';
COMMENT ON COLUMN observability.query_stat_sample.toplevel IS
    'Sent by a client; false: run inside a function.';

-- The history of a statement. Serves the foreign key query_fingerprint_id.
CREATE INDEX query_stat_sample_fingerprint_idx
    ON observability.query_stat_sample (business_id, query_fingerprint_id, sampled_at);

-- v_top_query: all statements of the last hour.
CREATE INDEX query_stat_sample_time_idx
    ON observability.query_stat_sample (business_id, sampled_at);

ALTER TABLE observability.query_stat_sample ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.query_stat_sample
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON observability.query_stat_sample TO app_user;
GRANT SELECT ON observability.query_stat_sample TO app_readonly;
GRANT SELECT ON observability.query_stat_sample TO matview_owner;
GRANT SELECT, INSERT ON observability.query_stat_sample TO pg_monitor;

CREATE TABLE observability.query_stat_sample_default
    PARTITION OF observability.query_stat_sample DEFAULT;
ALTER TABLE observability.query_stat_sample_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.query_stat_sample_default
    USING (business_id = tenant_mgmt.current_business_id());
SELECT system_core.create_partitions(
    'observability.query_stat_sample', 'month', behind => 3, ahead => 1);

CREATE TRIGGER query_stat_sample_append_only
    BEFORE UPDATE OR DELETE ON observability.query_stat_sample
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('observability.query_stat_sample');


CREATE TABLE observability.table_stat_sample (
    business_id          uuid                   NOT NULL,
    table_stat_sample_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    snapshot_run_id      uuid                   NOT NULL,
    schema_name          text                   NOT NULL,
    table_name           text                   NOT NULL,
    seq_scan             bigint                 NOT NULL DEFAULT 0,
    idx_scan             bigint                 NOT NULL DEFAULT 0,
    rows_inserted        bigint                 NOT NULL DEFAULT 0,
    rows_updated         bigint                 NOT NULL DEFAULT 0,
    rows_hot_updated     bigint                 NOT NULL DEFAULT 0,
    rows_deleted         bigint                 NOT NULL DEFAULT 0,
    live_rows            bigint                 NOT NULL DEFAULT 0,
    dead_rows            bigint                 NOT NULL DEFAULT 0,
    table_bytes          bigint                 NOT NULL DEFAULT 0,
    index_bytes          bigint                 NOT NULL DEFAULT 0,
    toast_bytes          bigint                 NOT NULL DEFAULT 0,
    heap_hit_pct         system_core.percentage,
    last_autovacuum_at   timestamptz,
    sampled_at           timestamptz            NOT NULL DEFAULT now(),
    created_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, table_stat_sample_id, sampled_at),
    UNIQUE (business_id, snapshot_run_id, schema_name, table_name, sampled_at),
    FOREIGN KEY (business_id, snapshot_run_id)
        REFERENCES observability.snapshot_run (business_id, snapshot_run_id),
    CONSTRAINT table_stat_sample_increments_not_negative
        CHECK (seq_scan >= 0 AND idx_scan >= 0 AND rows_inserted >= 0 AND rows_updated >= 0
               AND rows_hot_updated >= 0 AND rows_deleted >= 0),
    CONSTRAINT table_stat_sample_rows_not_negative CHECK (live_rows >= 0 AND dead_rows >= 0),
    CONSTRAINT table_stat_sample_hot_among_updates CHECK (rows_hot_updated <= rows_updated),
    CONSTRAINT table_stat_sample_hits_bounded CHECK (heap_hit_pct BETWEEN 0 AND 100),
    CONSTRAINT table_stat_sample_sizes_not_negative
        CHECK (table_bytes >= 0 AND index_bytes >= 0 AND toast_bytes >= 0)
) PARTITION BY RANGE (sampled_at);

COMMENT ON TABLE observability.table_stat_sample IS
    'What happened to a table or partition between two passes, and its size; append only.';
COMMENT ON COLUMN observability.table_stat_sample.table_bytes IS
    'Without indexes and TOAST. A scheduled pass takes the pages that vacuum or analyze last
     counted, for asking the file system of 700 tables costs a hundred times as much.';
COMMENT ON COLUMN observability.table_stat_sample.heap_hit_pct IS
    'Reads of the heap that the buffers answered in the interval; NULL where it was not read.';

-- mv_table_growth, and the history of a table.
CREATE INDEX table_stat_sample_table_idx
    ON observability.table_stat_sample (business_id, schema_name, table_name, sampled_at DESC);

ALTER TABLE observability.table_stat_sample ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.table_stat_sample
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON observability.table_stat_sample TO app_user;
GRANT SELECT ON observability.table_stat_sample TO app_readonly;
GRANT SELECT ON observability.table_stat_sample TO matview_owner;
GRANT SELECT, INSERT ON observability.table_stat_sample TO pg_monitor;

CREATE TABLE observability.table_stat_sample_default
    PARTITION OF observability.table_stat_sample DEFAULT;
ALTER TABLE observability.table_stat_sample_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.table_stat_sample_default
    USING (business_id = tenant_mgmt.current_business_id());
SELECT system_core.create_partitions(
    'observability.table_stat_sample', 'month', behind => 3, ahead => 1);

CREATE TRIGGER table_stat_sample_append_only
    BEFORE UPDATE OR DELETE ON observability.table_stat_sample
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('observability.table_stat_sample');


CREATE TABLE observability.index_stat_sample (
    business_id            uuid        NOT NULL,
    index_stat_sample_id   uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    snapshot_run_id        uuid        NOT NULL,
    schema_name            text        NOT NULL,
    table_name             text        NOT NULL,
    index_name             text        NOT NULL,
    idx_scan               bigint      NOT NULL DEFAULT 0,
    idx_tup_read           bigint      NOT NULL DEFAULT 0,
    idx_tup_fetch          bigint      NOT NULL DEFAULT 0,
    index_bytes            bigint      NOT NULL DEFAULT 0,
    is_unique              boolean     NOT NULL DEFAULT false,
    is_valid               boolean     NOT NULL DEFAULT true,
    is_constraint          boolean     NOT NULL DEFAULT false,
    leads_with_business_id boolean     NOT NULL DEFAULT true,
    last_used_at           timestamptz,
    sampled_at             timestamptz NOT NULL DEFAULT now(),
    created_at             timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, index_stat_sample_id, sampled_at),
    UNIQUE (business_id, snapshot_run_id, schema_name, index_name, sampled_at),
    FOREIGN KEY (business_id, snapshot_run_id)
        REFERENCES observability.snapshot_run (business_id, snapshot_run_id),
    CONSTRAINT index_stat_sample_increments_not_negative
        CHECK (idx_scan >= 0 AND idx_tup_read >= 0 AND idx_tup_fetch >= 0),
    CONSTRAINT index_stat_sample_fetched_was_read CHECK (idx_tup_fetch <= idx_tup_read),
    CONSTRAINT index_stat_sample_size_not_negative CHECK (index_bytes >= 0)
) PARTITION BY RANGE (sampled_at);

COMMENT ON TABLE observability.index_stat_sample IS
    'Use of an index between two passes, its size and what it is for; append only.';
COMMENT ON COLUMN observability.index_stat_sample.is_constraint IS
    'A primary key, unique or exclusion constraint stands on it.';
COMMENT ON COLUMN observability.index_stat_sample.is_valid IS
    'false: queries do not use it, writes pay for it; one that is being built counts as valid.';

-- v_unused_index, and the history of an index.
CREATE INDEX index_stat_sample_index_idx
    ON observability.index_stat_sample (business_id, schema_name, index_name, sampled_at DESC);

ALTER TABLE observability.index_stat_sample ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.index_stat_sample
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON observability.index_stat_sample TO app_user;
GRANT SELECT ON observability.index_stat_sample TO app_readonly;
GRANT SELECT, INSERT ON observability.index_stat_sample TO pg_monitor;

CREATE TABLE observability.index_stat_sample_default
    PARTITION OF observability.index_stat_sample DEFAULT;
ALTER TABLE observability.index_stat_sample_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.index_stat_sample_default
    USING (business_id = tenant_mgmt.current_business_id());
SELECT system_core.create_partitions(
    'observability.index_stat_sample', 'month', behind => 3, ahead => 1);

CREATE TRIGGER index_stat_sample_append_only
    BEFORE UPDATE OR DELETE ON observability.index_stat_sample
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('observability.index_stat_sample');

CREATE FUNCTION observability.report_invalid_indexes() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM sampled AS s WHERE NOT s.is_valid) THEN
        RETURN NULL;
    END IF;
    INSERT INTO observability.check_definition
        (business_id, check_code, title, family, severity, engine, rationale, query_text,
         remediation)
    SELECT DISTINCT s.business_id, 'index_invalid', 'An index is not valid', 'index', 'error',
           'catalog_sql', 'Queries do not use it, writes pay for it, and it enforces nothing.',
           'SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid',
           'REINDEX INDEX CONCURRENTLY, or drop it.'
    FROM sampled AS s
    WHERE NOT s.is_valid
    ON CONFLICT (business_id, check_code) DO NOTHING;

    PERFORM observability.upsert_findings(jsonb_agg(jsonb_build_object(
        'business_id', s.business_id, 'check_code', 'index_invalid',
        'fingerprint', md5(concat_ws(' ', 'index_invalid', s.schema_name, s.index_name)),
        'schema_name', s.schema_name, 'object_name', s.index_name,
        'title', format('Index %s.%s is not valid', s.schema_name, s.index_name),
        'evidence', jsonb_build_object('table', s.table_name, 'bytes', s.index_bytes,
                                       'unique', s.is_unique, 'constraint', s.is_constraint),
        'seen_at', s.sampled_at)))
    FROM sampled AS s
    WHERE NOT s.is_valid;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION observability.report_invalid_indexes() IS
    'A sample of an index that is not valid opens a finding, or sees it once more.';

CREATE TRIGGER index_stat_sample_report_invalid
    AFTER INSERT ON observability.index_stat_sample
    REFERENCING NEW TABLE AS sampled
    FOR EACH STATEMENT EXECUTE FUNCTION observability.report_invalid_indexes();


CREATE TABLE observability.wait_sample (
    business_id           uuid                     NOT NULL,
    wait_sample_id        uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    monitored_instance_id uuid                     NOT NULL,
    load_run_id           uuid,
    state                 text                     NOT NULL,
    wait_event_type       text,
    wait_event            text,
    session_count         integer                  NOT NULL,
    longest_ms            system_core.milliseconds NOT NULL DEFAULT 0,
    oldest_xact_ms        system_core.milliseconds,
    query_id              bigint,
    blocked_by_query_id   bigint,
    application_name      text                     NOT NULL DEFAULT '',
    lock_mode             text,
    sampled_at            timestamptz              NOT NULL DEFAULT now(),
    created_at            timestamptz              NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, wait_sample_id, sampled_at),
    FOREIGN KEY (business_id, monitored_instance_id)
        REFERENCES observability.monitored_instance (business_id, monitored_instance_id),
    FOREIGN KEY (business_id, load_run_id)
        REFERENCES observability.load_run (business_id, load_run_id),
    CONSTRAINT wait_sample_state_known
        CHECK (state IN ('active', 'idle_in_transaction', 'blocked')),
    CONSTRAINT wait_sample_has_sessions CHECK (session_count > 0),
    CONSTRAINT wait_sample_blocked_by_a_lock CHECK (state <> 'blocked' OR lock_mode IS NOT NULL),
    CONSTRAINT wait_sample_only_blocked_has_blocker
        CHECK (blocked_by_query_id IS NULL OR state = 'blocked'),
    CONSTRAINT wait_sample_event_has_type
        CHECK ((wait_event_type IS NULL) = (wait_event IS NULL))
) PARTITION BY RANGE (sampled_at);

COMMENT ON TABLE observability.wait_sample IS
    'How many sessions did or waited for the same at one moment; append only.';
COMMENT ON COLUMN observability.wait_sample.wait_event IS
    'NULL: on the processor. pg_wait_events describes it.';
COMMENT ON COLUMN observability.wait_sample.application_name IS
    'bh:<business_id> where the application says for whom it works.';
COMMENT ON COLUMN observability.wait_sample.lock_mode IS
    'The lock that a blocked session asks for.';

-- What an instance waited for between two times. Serves the foreign key monitored_instance_id.
CREATE INDEX wait_sample_instance_idx
    ON observability.wait_sample (business_id, monitored_instance_id, sampled_at);

-- FK: what a load run waited for.
CREATE INDEX wait_sample_load_run_idx
    ON observability.wait_sample (business_id, load_run_id)
    WHERE load_run_id IS NOT NULL;

ALTER TABLE observability.wait_sample ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.wait_sample
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON observability.wait_sample TO app_user;
GRANT SELECT ON observability.wait_sample TO app_readonly;
GRANT SELECT, INSERT ON observability.wait_sample TO pg_monitor;

CREATE TABLE observability.wait_sample_default PARTITION OF observability.wait_sample DEFAULT;
ALTER TABLE observability.wait_sample_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.wait_sample_default
    USING (business_id = tenant_mgmt.current_business_id());
SELECT system_core.create_partitions(
    'observability.wait_sample', 'month', behind => 3, ahead => 1);

CREATE TRIGGER wait_sample_append_only
    BEFORE UPDATE OR DELETE ON observability.wait_sample
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('observability.wait_sample');


CREATE TABLE observability.io_sample (
    business_id           uuid           NOT NULL,
    io_sample_id          uuid           NOT NULL DEFAULT system_core.uuid_v7(),
    snapshot_run_id       uuid           NOT NULL,
    backend_type          text           NOT NULL,
    io_object             text           NOT NULL,
    io_context            text           NOT NULL,
    reads                 bigint         NOT NULL DEFAULT 0,
    read_ms               numeric(18, 3) NOT NULL DEFAULT 0,
    writes                bigint         NOT NULL DEFAULT 0,
    write_ms              numeric(18, 3) NOT NULL DEFAULT 0,
    extends               bigint         NOT NULL DEFAULT 0,
    hits                  bigint         NOT NULL DEFAULT 0,
    evictions             bigint         NOT NULL DEFAULT 0,
    fsyncs                bigint         NOT NULL DEFAULT 0,
    wal_bytes             bigint         NOT NULL DEFAULT 0,
    checkpoints_timed     bigint         NOT NULL DEFAULT 0,
    checkpoints_requested bigint         NOT NULL DEFAULT 0,
    sampled_at            timestamptz    NOT NULL DEFAULT now(),
    created_at            timestamptz    NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, io_sample_id, sampled_at),
    UNIQUE (business_id, snapshot_run_id, backend_type, io_object, io_context, sampled_at),
    FOREIGN KEY (business_id, snapshot_run_id)
        REFERENCES observability.snapshot_run (business_id, snapshot_run_id),
    CONSTRAINT io_sample_object_known
        CHECK (io_object IN ('relation', 'temp_relation', 'wal')),
    CONSTRAINT io_sample_context_known
        CHECK (io_context IN ('normal', 'vacuum', 'bulkread', 'bulkwrite')),
    CONSTRAINT io_sample_increments_not_negative
        CHECK (reads >= 0 AND read_ms >= 0 AND writes >= 0 AND write_ms >= 0 AND extends >= 0
               AND hits >= 0 AND evictions >= 0 AND fsyncs >= 0 AND wal_bytes >= 0
               AND checkpoints_timed >= 0 AND checkpoints_requested >= 0),
    CONSTRAINT io_sample_wal_of_the_instance
        CHECK (io_object = 'wal'
               OR (wal_bytes = 0 AND checkpoints_timed = 0 AND checkpoints_requested = 0))
) PARTITION BY RANGE (sampled_at);

COMMENT ON TABLE observability.io_sample IS
    'What a kind of process read and wrote between two passes, from pg_stat_io; append only. The
     row of backend_type instance and io_object wal is pg_stat_wal and pg_stat_checkpointer.';

ALTER TABLE observability.io_sample ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.io_sample
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON observability.io_sample TO app_user;
GRANT SELECT ON observability.io_sample TO app_readonly;
GRANT SELECT, INSERT ON observability.io_sample TO pg_monitor;

CREATE TABLE observability.io_sample_default PARTITION OF observability.io_sample DEFAULT;
ALTER TABLE observability.io_sample_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.io_sample_default
    USING (business_id = tenant_mgmt.current_business_id());
SELECT system_core.create_partitions(
    'observability.io_sample', 'month', behind => 3, ahead => 1);

CREATE TRIGGER io_sample_append_only
    BEFORE UPDATE OR DELETE ON observability.io_sample
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('observability.io_sample');

CREATE FUNCTION observability.require_timed_io() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM sampled AS s
        JOIN observability.snapshot_run AS r
            ON r.business_id = s.business_id AND r.snapshot_run_id = s.snapshot_run_id
        WHERE NOT r.track_io_timing AND s.io_object <> 'wal' AND s.read_ms + s.write_ms > 0)
    THEN
        RAISE EXCEPTION 'the server did not time reads and writes: their times are 0'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION observability.require_timed_io() IS
    'Times need track_io_timing, as the pass saw it; WAL is timed by a setting of its own.';

CREATE TRIGGER io_sample_timed
    AFTER INSERT ON observability.io_sample
    REFERENCING NEW TABLE AS sampled
    FOR EACH STATEMENT EXECUTE FUNCTION observability.require_timed_io();


CREATE TABLE observability.tenant_size_sample (
    business_id           uuid                   NOT NULL,
    tenant_size_sample_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    snapshot_run_id       uuid                   NOT NULL,
    subject_business_id   uuid                   NOT NULL,
    schema_name           text                   NOT NULL,
    row_count             bigint                 NOT NULL,
    estimated_bytes       bigint                 NOT NULL DEFAULT 0,
    share_of_rows_pct     system_core.percentage NOT NULL,
    largest_table         text,
    largest_table_rows    bigint,
    shard_node            text,
    calls_share_pct       system_core.percentage,
    growth_7d_pct         system_core.percentage,
    sampled_at            timestamptz            NOT NULL DEFAULT now(),
    created_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tenant_size_sample_id, sampled_at),
    UNIQUE (business_id, snapshot_run_id, subject_business_id, schema_name, sampled_at),
    FOREIGN KEY (business_id, snapshot_run_id)
        REFERENCES observability.snapshot_run (business_id, snapshot_run_id),
    CONSTRAINT tenant_size_sample_figures_not_negative
        CHECK (row_count >= 0 AND estimated_bytes >= 0),
    CONSTRAINT tenant_size_sample_largest_within CHECK (largest_table_rows BETWEEN 0 AND row_count),
    CONSTRAINT tenant_size_sample_row_share_bounded CHECK (share_of_rows_pct BETWEEN 0 AND 100),
    CONSTRAINT tenant_size_sample_call_share_bounded CHECK (calls_share_pct BETWEEN 0 AND 100)
) PARTITION BY RANGE (sampled_at);

COMMENT ON TABLE observability.tenant_size_sample IS
    'How much of a schema is a tenant''s, from the planner''s statistics; append only.';
COMMENT ON COLUMN observability.tenant_size_sample.subject_business_id IS
    'The measured tenant; no foreign key, for that is another tenant''s row.';
COMMENT ON COLUMN observability.tenant_size_sample.calls_share_pct IS
    'Its part of the active sessions of the last hour, of those that say for whom they work.';
COMMENT ON COLUMN observability.tenant_size_sample.shard_node IS
    'On Citus the node of its shards; NULL elsewhere.';

-- Growth of a tenant: the sample of a week ago.
CREATE INDEX tenant_size_sample_subject_idx
    ON observability.tenant_size_sample
        (business_id, subject_business_id, schema_name, sampled_at DESC);

ALTER TABLE observability.tenant_size_sample ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.tenant_size_sample
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON observability.tenant_size_sample TO app_user;
GRANT SELECT ON observability.tenant_size_sample TO app_readonly;

CREATE TABLE observability.tenant_size_sample_default
    PARTITION OF observability.tenant_size_sample DEFAULT;
ALTER TABLE observability.tenant_size_sample_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.tenant_size_sample_default
    USING (business_id = tenant_mgmt.current_business_id());
SELECT system_core.create_partitions(
    'observability.tenant_size_sample', 'month', behind => 3, ahead => 1);

CREATE TRIGGER tenant_size_sample_append_only
    BEFORE UPDATE OR DELETE ON observability.tenant_size_sample
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('observability.tenant_size_sample');


CREATE FUNCTION observability.last_counters(instance uuid, of_source text) RETURNS jsonb
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT c.counters::jsonb
    FROM observability.counter_state AS c
    WHERE c.business_id = tenant_mgmt.current_business_id()
        AND c.monitored_instance_id = instance AND c.source = of_source;
END;
COMMENT ON FUNCTION observability.last_counters(uuid, text) IS
    'What a view of an instance of the current tenant had counted at the last pass; NULL before
     the first.';


CREATE FUNCTION observability.keep_counters(run observability.snapshot_run, of_source text,
                                            seen jsonb) RETURNS integer
    LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO observability.counter_state AS c
        (business_id, monitored_instance_id, snapshot_run_id, source, counters)
    VALUES (run.business_id, run.monitored_instance_id, run.snapshot_run_id, of_source, seen)
    ON CONFLICT (business_id, monitored_instance_id, source) DO UPDATE
    SET snapshot_run_id = excluded.snapshot_run_id, counters = excluded.counters;
    RETURN jsonb_array_length(seen);
END
$$;
COMMENT ON FUNCTION observability.keep_counters(observability.snapshot_run, text, jsonb) IS
    'Keeps what a pass of the current tenant read for the next one; returns how many rows.';


CREATE FUNCTION observability.sample_statements(
    run observability.snapshot_run, moment timestamptz, database text, seen jsonb
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    before CONSTANT jsonb := observability.last_counters(run.monitored_instance_id, 'statements');
    last_pass timestamptz;
BEGIN
    IF jsonb_typeof(seen) IS DISTINCT FROM 'array' THEN
        RETURN NULL;
    END IF;
    -- Only statements that ran since the last pass are remembered: a server knows thousands.
    INSERT INTO observability.query_fingerprint
        (business_id, query_id, database_name, normalized_text, statement_kind, first_seen_at,
         last_seen_at)
    SELECT DISTINCT ON (s.query_id)
           run.business_id, s.query_id, sample_statements.database,
           -- Utility statements are not normalized and may hold a password.
           CASE WHEN s.text ~* '\mpassword\M'
                THEN regexp_replace(s.text, '''[^'']*''', '''***''', 'g') ELSE s.text END,
           CASE WHEN lower(w.word) IN ('select', 'insert', 'update', 'delete', 'merge', 'copy')
                THEN lower(w.word)
                WHEN lower(w.word) IN ('with', 'values', 'table') THEN 'select'
                WHEN lower(w.word) IN ('create', 'alter', 'drop', 'grant', 'revoke', 'comment',
                                       'truncate', 'reindex') THEN 'ddl'
                ELSE 'utility' END,
           moment, moment
    FROM JSON_TABLE(seen, '$[*]' COLUMNS (
        query_id bigint, role_name text, toplevel boolean, calls bigint, text text,
        stats_since timestamptz)) AS s
    LEFT JOIN JSON_TABLE(before, '$[*]' COLUMNS (
        query_id bigint, role_name text, toplevel boolean, calls bigint,
        stats_since timestamptz)) AS o
        ON o.query_id = s.query_id AND o.role_name = s.role_name AND o.toplevel = s.toplevel
       AND o.stats_since = s.stats_since
    CROSS JOIN LATERAL (
        SELECT substring(s.text FROM '^(?:\s|\(|--[^\n]*\n|/\*.*?\*/)*(\w+)') AS word) AS w
    WHERE s.text IS NOT NULL AND before IS NOT NULL AND s.calls > coalesce(o.calls, 0)
    ON CONFLICT (business_id, database_name, query_id) DO NOTHING;

    IF before IS NOT NULL THEN
        SELECT r.started_at INTO last_pass
        FROM observability.counter_state AS c
        JOIN observability.snapshot_run AS r
            ON r.business_id = c.business_id AND r.snapshot_run_id = c.snapshot_run_id
        WHERE c.business_id = run.business_id
            AND c.monitored_instance_id = run.monitored_instance_id AND c.source = 'statements';

        -- A statement that began to be counted after the last pass counts whole; one that the
        -- server counts from the same moment as then counts its increment; one that is older
        -- than the last pass and was not there then says nothing.
        INSERT INTO observability.query_stat_sample
            (business_id, snapshot_run_id, query_fingerprint_id, role_name, toplevel, calls,
             rows_returned, total_exec_ms, max_exec_ms, stddev_exec_ms, total_plan_ms,
             shared_blks_hit, shared_blks_read, temp_blks_written, wal_bytes, jit_ms, blk_read_ms,
             sampled_at)
        SELECT run.business_id, run.snapshot_run_id, f.query_fingerprint_id, n.role_name,
               n.toplevel, n.calls - coalesce(o.calls, 0),
               n.rows_returned - coalesce(o.rows_returned, 0),
               n.total_exec_time - coalesce(o.total_exec_time, 0),
               least(n.max_exec_time, 999999999), least(n.stddev_exec_time, 999999999),
               greatest(n.total_plan_time - coalesce(o.total_plan_time, 0), 0),
               n.shared_blks_hit - coalesce(o.shared_blks_hit, 0),
               n.shared_blks_read - coalesce(o.shared_blks_read, 0),
               n.temp_blks_written - coalesce(o.temp_blks_written, 0),
               n.wal_bytes - coalesce(o.wal_bytes, 0),
               least(greatest(n.jit_time - coalesce(o.jit_time, 0), 0), 999999999),
               least(greatest(n.blk_read_time - coalesce(o.blk_read_time, 0), 0), 999999999),
               moment
        FROM JSON_TABLE(seen, '$[*]' COLUMNS (
            query_id bigint, role_name text, toplevel boolean, calls bigint,
            rows_returned bigint, total_exec_time numeric, max_exec_time numeric,
            stddev_exec_time numeric, total_plan_time numeric, shared_blks_hit bigint,
            shared_blks_read bigint, temp_blks_written bigint, wal_bytes bigint,
            blk_read_time numeric, jit_time numeric, stats_since timestamptz)) AS n
        JOIN observability.query_fingerprint AS f
            ON f.business_id = run.business_id AND f.database_name = sample_statements.database
           AND f.query_id = n.query_id
        LEFT JOIN JSON_TABLE(before, '$[*]' COLUMNS (
            query_id bigint, role_name text, toplevel boolean, calls bigint,
            rows_returned bigint, total_exec_time numeric, total_plan_time numeric,
            shared_blks_hit bigint, shared_blks_read bigint, temp_blks_written bigint,
            wal_bytes bigint, blk_read_time numeric, jit_time numeric,
            stats_since timestamptz)) AS o
            ON o.query_id = n.query_id AND o.role_name = n.role_name
           AND o.toplevel = n.toplevel AND o.stats_since = n.stats_since
        WHERE n.calls > coalesce(o.calls, 0)
            AND (o.calls IS NOT NULL OR n.stats_since >= last_pass)
            AND n.total_exec_time >= coalesce(o.total_exec_time, 0)
            AND n.rows_returned >= coalesce(o.rows_returned, 0)
            AND n.shared_blks_hit >= coalesce(o.shared_blks_hit, 0)
            AND n.shared_blks_read >= coalesce(o.shared_blks_read, 0)
            AND n.temp_blks_written >= coalesce(o.temp_blks_written, 0)
            AND n.wal_bytes >= coalesce(o.wal_bytes, 0);

        UPDATE observability.query_fingerprint AS f
        SET last_seen_at = moment
        FROM observability.query_stat_sample AS s
        WHERE f.business_id = run.business_id
            AND s.business_id = run.business_id AND s.snapshot_run_id = run.snapshot_run_id
            AND s.sampled_at = moment
            AND s.query_fingerprint_id = f.query_fingerprint_id
            AND f.last_seen_at < moment - interval '1 hour';
    END IF;
    RETURN observability.keep_counters(run, 'statements', (
        SELECT coalesce(jsonb_agg(e.statement - 'text'), '[]')
        FROM jsonb_array_elements(seen) AS e (statement)));
END
$$;
COMMENT ON FUNCTION observability.sample_statements(
    observability.snapshot_run, timestamptz, text, jsonb) IS
    'Stores what each statement of a database did since the last pass of the current tenant; NULL
     where nothing counts them. What the server evicted or reset in between is found by
     stats_since.';


CREATE FUNCTION observability.sample_tables(
    run observability.snapshot_run, moment timestamptz, seen jsonb
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    before CONSTANT jsonb := CASE WHEN NOT run.is_origin THEN
        observability.last_counters(run.monitored_instance_id, 'tables') END;
BEGIN
    INSERT INTO observability.table_stat_sample
        (business_id, snapshot_run_id, schema_name, table_name, seq_scan, idx_scan,
         rows_inserted, rows_updated, rows_hot_updated, rows_deleted, live_rows, dead_rows,
         table_bytes, index_bytes, toast_bytes, heap_hit_pct, last_autovacuum_at, sampled_at)
    SELECT run.business_id, run.snapshot_run_id, n.schema_name, n.table_name, d.seq_scan,
           d.idx_scan, d.inserted, d.updated, least(d.hot_updated, d.updated), d.deleted,
           n.live_rows, n.dead_rows, n.table_bytes, n.index_bytes, n.toast_bytes,
           round(100.0 * d.heap_hit / nullif(d.heap_hit + d.heap_read, 0), 4),
           n.last_autovacuum_at, moment
    FROM JSON_TABLE(seen, '$[*]' COLUMNS (
        relid bigint, schema_name text, table_name text, seq_scan bigint, idx_scan bigint,
        inserted bigint, updated bigint, hot_updated bigint, deleted bigint, live_rows bigint,
        dead_rows bigint, heap_hit bigint, heap_read bigint, table_bytes bigint,
        index_bytes bigint, toast_bytes bigint, last_autovacuum_at timestamptz)) AS n
    LEFT JOIN JSON_TABLE(before, '$[*]' COLUMNS (
        relid bigint, seq_scan bigint, idx_scan bigint, inserted bigint, updated bigint,
        hot_updated bigint, deleted bigint, live_rows bigint, dead_rows bigint, heap_hit bigint,
        heap_read bigint, table_bytes bigint, index_bytes bigint, toast_bytes bigint)) AS o
        ON o.relid = n.relid
    CROSS JOIN LATERAL (
        SELECT before IS NULL OR n.seq_scan < o.seq_scan OR n.idx_scan < o.idx_scan
               OR n.inserted < o.inserted OR n.updated < o.updated
               OR n.hot_updated < o.hot_updated OR n.deleted < o.deleted
               OR n.heap_hit < o.heap_hit OR n.heap_read < o.heap_read AS was_reset
    ) AS q
    -- A table that was not there at the last pass began at 0 since; one that was reset starts anew.
    CROSS JOIN LATERAL (
        SELECT CASE WHEN q.was_reset THEN 0 ELSE n.seq_scan - coalesce(o.seq_scan, 0) END
                   AS seq_scan,
               CASE WHEN q.was_reset THEN 0 ELSE n.idx_scan - coalesce(o.idx_scan, 0) END
                   AS idx_scan,
               CASE WHEN q.was_reset THEN 0 ELSE n.inserted - coalesce(o.inserted, 0) END
                   AS inserted,
               CASE WHEN q.was_reset THEN 0 ELSE n.updated - coalesce(o.updated, 0) END
                   AS updated,
               CASE WHEN q.was_reset THEN 0 ELSE n.hot_updated - coalesce(o.hot_updated, 0) END
                   AS hot_updated,
               CASE WHEN q.was_reset THEN 0 ELSE n.deleted - coalesce(o.deleted, 0) END
                   AS deleted,
               CASE WHEN q.was_reset THEN 0 ELSE n.heap_hit - coalesce(o.heap_hit, 0) END
                   AS heap_hit,
               CASE WHEN q.was_reset THEN 0 ELSE n.heap_read - coalesce(o.heap_read, 0) END
                   AS heap_read
    ) AS d
    WHERE run.kind <> 'scheduled' OR before IS NULL OR o.relid IS NULL
        OR d.seq_scan + d.idx_scan + d.inserted + d.updated + d.deleted > 0
        OR (n.live_rows, n.dead_rows, n.table_bytes, n.index_bytes, n.toast_bytes)
            IS DISTINCT FROM
           (o.live_rows, o.dead_rows, o.table_bytes, o.index_bytes, o.toast_bytes);
    RETURN observability.keep_counters(run, 'tables', seen);
END
$$;
COMMENT ON FUNCTION observability.sample_tables(
    observability.snapshot_run, timestamptz, jsonb) IS
    'Stores what happened to each table of this database since the last pass of the current
     tenant, and its size: exact but in a scheduled pass.';


CREATE FUNCTION observability.sample_indexes(
    run observability.snapshot_run, moment timestamptz, seen jsonb
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    before CONSTANT jsonb := CASE WHEN NOT run.is_origin THEN
        observability.last_counters(run.monitored_instance_id, 'indexes') END;
BEGIN
    INSERT INTO observability.index_stat_sample
        (business_id, snapshot_run_id, schema_name, table_name, index_name, idx_scan,
         idx_tup_read, idx_tup_fetch, index_bytes, is_unique, is_valid, is_constraint,
         leads_with_business_id, last_used_at, sampled_at)
    SELECT run.business_id, run.snapshot_run_id, n.schema_name, n.table_name, n.index_name,
           d.idx_scan, d.tuples_read, least(d.tuples_fetched, d.tuples_read), n.index_bytes,
           n.is_unique, n.is_valid, n.is_constraint, n.leads_with_business_id, n.last_used_at,
           moment
    FROM JSON_TABLE(seen, '$[*]' COLUMNS (
        indexrelid bigint, schema_name text, table_name text, index_name text, idx_scan bigint,
        tuples_read bigint, tuples_fetched bigint, last_used_at timestamptz, is_unique boolean,
        is_valid boolean, is_constraint boolean, leads_with_business_id boolean,
        index_bytes bigint)) AS n
    LEFT JOIN JSON_TABLE(before, '$[*]' COLUMNS (
        indexrelid bigint, idx_scan bigint, tuples_read bigint, tuples_fetched bigint,
        is_valid boolean, index_bytes bigint)) AS o
        ON o.indexrelid = n.indexrelid
    CROSS JOIN LATERAL (
        SELECT before IS NULL OR n.idx_scan < o.idx_scan OR n.tuples_read < o.tuples_read
               OR n.tuples_fetched < o.tuples_fetched AS was_reset
    ) AS q
    CROSS JOIN LATERAL (
        SELECT CASE WHEN q.was_reset THEN 0 ELSE n.idx_scan - coalesce(o.idx_scan, 0) END
                   AS idx_scan,
               CASE WHEN q.was_reset THEN 0 ELSE n.tuples_read - coalesce(o.tuples_read, 0) END
                   AS tuples_read,
               CASE WHEN q.was_reset THEN 0
                    ELSE n.tuples_fetched - coalesce(o.tuples_fetched, 0) END AS tuples_fetched
    ) AS d
    WHERE run.kind <> 'scheduled' OR before IS NULL OR o.indexrelid IS NULL
        OR NOT n.is_valid OR d.idx_scan > 0
        OR (n.is_valid, n.index_bytes) IS DISTINCT FROM (o.is_valid, o.index_bytes);

    -- An index that is valid again, or gone, is mended.
    UPDATE observability.finding AS f
    SET status = 'fixed', fixed_at = greatest(moment, f.first_seen_at)
    FROM observability.check_definition AS c
    WHERE f.business_id = run.business_id
        AND c.business_id = run.business_id AND c.check_definition_id = f.check_definition_id
        AND c.check_code = 'index_invalid' AND f.status IN ('open', 'acknowledged', 'reopened')
        AND NOT EXISTS (
            SELECT FROM JSON_TABLE(seen, '$[*] ? (@.is_valid == false)' COLUMNS (
                schema_name text, index_name text)) AS s
            WHERE s.schema_name = f.schema_name AND s.index_name = f.object_name);
    RETURN observability.keep_counters(run, 'indexes', seen);
END
$$;
COMMENT ON FUNCTION observability.sample_indexes(
    observability.snapshot_run, timestamptz, jsonb) IS
    'Stores how each index of this database was used since the last pass of the current tenant;
     an invalid one opens a finding, one that is no more closes it.';


CREATE FUNCTION observability.sample_io(
    run observability.snapshot_run, moment timestamptz, seen jsonb
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    before CONSTANT jsonb := observability.last_counters(run.monitored_instance_id, 'io');
BEGIN
    -- A row that was not there or was reset since has no increment to tell, nor has an idle one.
    INSERT INTO observability.io_sample
        (business_id, snapshot_run_id, backend_type, io_object, io_context, reads, read_ms,
         writes, write_ms, extends, hits, evictions, fsyncs, wal_bytes, checkpoints_timed,
         checkpoints_requested, sampled_at)
    SELECT run.business_id, run.snapshot_run_id, n.backend_type, n.io_object, n.io_context,
           n.reads - o.reads,
           CASE WHEN run.track_io_timing THEN n.read_time - o.read_time ELSE 0 END,
           n.writes - o.writes,
           CASE WHEN run.track_io_timing OR n.io_object = 'wal'
                THEN n.write_time - o.write_time ELSE 0 END,
           n.extends - o.extends, n.hits - o.hits, n.evictions - o.evictions,
           n.fsyncs - o.fsyncs, n.wal_bytes - o.wal_bytes, n.timed - o.timed,
           n.requested - o.requested, moment
    FROM JSON_TABLE(seen, '$[*]' COLUMNS (
        backend_type text, io_object text, io_context text,
        reads      bigint  PATH '$.reads'      DEFAULT 0 ON EMPTY,
        read_time  numeric PATH '$.read_time'  DEFAULT 0 ON EMPTY,
        writes     bigint  PATH '$.writes'     DEFAULT 0 ON EMPTY,
        write_time numeric PATH '$.write_time' DEFAULT 0 ON EMPTY,
        extends    bigint  PATH '$.extends'    DEFAULT 0 ON EMPTY,
        hits       bigint  PATH '$.hits'       DEFAULT 0 ON EMPTY,
        evictions  bigint  PATH '$.evictions'  DEFAULT 0 ON EMPTY,
        fsyncs     bigint  PATH '$.fsyncs'     DEFAULT 0 ON EMPTY,
        wal_bytes bigint, timed bigint, requested bigint, stats_reset timestamptz)) AS n
    JOIN JSON_TABLE(before, '$[*]' COLUMNS (
        backend_type text, io_object text, io_context text,
        reads      bigint  PATH '$.reads'      DEFAULT 0 ON EMPTY,
        read_time  numeric PATH '$.read_time'  DEFAULT 0 ON EMPTY,
        writes     bigint  PATH '$.writes'     DEFAULT 0 ON EMPTY,
        write_time numeric PATH '$.write_time' DEFAULT 0 ON EMPTY,
        extends    bigint  PATH '$.extends'    DEFAULT 0 ON EMPTY,
        hits       bigint  PATH '$.hits'       DEFAULT 0 ON EMPTY,
        evictions  bigint  PATH '$.evictions'  DEFAULT 0 ON EMPTY,
        fsyncs     bigint  PATH '$.fsyncs'     DEFAULT 0 ON EMPTY,
        wal_bytes bigint, timed bigint, requested bigint, stats_reset timestamptz)) AS o
        ON o.backend_type = n.backend_type AND o.io_object = n.io_object
       AND o.io_context = n.io_context AND o.stats_reset = n.stats_reset
    WHERE least(n.reads - o.reads, n.read_time - o.read_time, n.writes - o.writes,
                n.write_time - o.write_time, n.extends - o.extends, n.hits - o.hits,
                n.evictions - o.evictions, n.fsyncs - o.fsyncs, n.wal_bytes - o.wal_bytes,
                n.timed - o.timed, n.requested - o.requested) >= 0
        AND greatest(n.reads - o.reads, n.writes - o.writes, n.extends - o.extends,
                     n.hits - o.hits, n.evictions - o.evictions, n.fsyncs - o.fsyncs,
                     n.wal_bytes - o.wal_bytes, n.timed - o.timed,
                     n.requested - o.requested) > 0;
    RETURN observability.keep_counters(run, 'io', seen);
END
$$;
COMMENT ON FUNCTION observability.sample_io(
    observability.snapshot_run, timestamptz, jsonb) IS
    'Stores what each kind of process read and wrote since the last pass of the current tenant,
     from pg_stat_io, pg_stat_wal and pg_stat_checkpointer; each says itself when it was reset.';


CREATE FUNCTION observability.sample_waits(
    run observability.snapshot_run, moment timestamptz, seen jsonb
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    written integer;
BEGIN
    INSERT INTO observability.wait_sample
        (business_id, monitored_instance_id, load_run_id, state, wait_event_type, wait_event,
         session_count, longest_ms, oldest_xact_ms, query_id, blocked_by_query_id,
         application_name, lock_mode, sampled_at)
    SELECT run.business_id, run.monitored_instance_id, run.load_run_id, w.state,
           w.wait_event_type, w.wait_event, w.session_count, w.longest_ms, w.oldest_xact_ms,
           w.query_id, w.blocked_by_query_id, w.application_name, w.lock_mode, moment
    FROM JSON_TABLE(seen, '$[*]' COLUMNS (
        state text, wait_event_type text, wait_event text, session_count integer,
        longest_ms numeric, oldest_xact_ms numeric, query_id bigint, blocked_by_query_id bigint,
        application_name text, lock_mode text)) AS w;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END
$$;
COMMENT ON FUNCTION observability.sample_waits(
    observability.snapshot_run, timestamptz, jsonb) IS
    'Stores what the sessions of a database did or waited for, for an instance of the current
     tenant.';


CREATE FUNCTION observability.sample_settings(
    run observability.snapshot_run, moment timestamptz, seen jsonb
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    before CONSTANT jsonb := observability.last_counters(run.monitored_instance_id, 'settings');
BEGIN
    INSERT INTO observability.setting_change
        (business_id, monitored_instance_id, snapshot_run_id, setting_name, old_value, new_value,
         unit, source, context, is_pending_restart, seen_at)
    SELECT run.business_id, run.monitored_instance_id, run.snapshot_run_id,
           coalesce(n.name, o.name), o.value, n.value, coalesce(n.unit, o.unit),
           coalesce(n.source, 'default'), coalesce(n.context, o.context),
           coalesce(n.pending_restart, false), moment
    FROM JSON_TABLE(seen, '$[*]' COLUMNS (
        name text, value text, unit text, context text, pending_restart boolean,
        source text)) AS n
    FULL JOIN JSON_TABLE(before, '$[*]' COLUMNS (
        name text, value text, unit text, context text)) AS o ON o.name = n.name
    WHERE before IS NOT NULL AND n.value IS DISTINCT FROM o.value;
    RETURN observability.keep_counters(run, 'settings', seen);
END
$$;
COMMENT ON FUNCTION observability.sample_settings(
    observability.snapshot_run, timestamptz, jsonb) IS
    'Stores which settings of the server are others than at the last pass of the current tenant.';


CREATE FUNCTION observability.store_snapshot(
    instance     uuid,
    counters     jsonb,
    kind_of_pass text DEFAULT 'scheduled',
    of_load_run  uuid DEFAULT NULL
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  CONSTANT uuid        := tenant_mgmt.current_business_id();
    begun   CONSTANT timestamptz := (counters ->> 'read_at')::timestamptz;
    trouble CONSTANT text        := (
        SELECT string_agg(t.line, '; ') FROM jsonb_array_elements_text(counters -> 'trouble')
            AS t (line));
    target  observability.monitored_instance;
    earlier observability.snapshot_run;
    run     observability.snapshot_run;
    seen    integer;
BEGIN
    -- The lock keeps a second pass from telling the same increments.
    SELECT * INTO target FROM observability.monitored_instance AS m
    WHERE m.business_id = tenant AND m.monitored_instance_id = instance
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no instance %', instance USING ERRCODE = 'no_data_found';
    END IF;
    IF target.database_name <> counters ->> 'database_name' THEN
        RAISE EXCEPTION 'instance % is database %, not %', target.name, target.database_name,
            counters ->> 'database_name'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'A pass reads the database that it runs in.';
    END IF;

    SELECT * INTO earlier FROM observability.snapshot_run AS r
    WHERE r.business_id = tenant AND r.monitored_instance_id = instance
        AND r.status IN ('complete', 'partial')
    ORDER BY r.started_at DESC
    LIMIT 1;

    INSERT INTO observability.snapshot_run
        (business_id, monitored_instance_id, load_run_id, kind, is_origin, track_io_timing,
         database_oid, stats_reset_at, postmaster_started_at, started_at)
    VALUES (tenant, instance, of_load_run, kind_of_pass,
            earlier.snapshot_run_id IS NULL
                OR coalesce(earlier.database_oid <> (counters ->> 'database_oid')::bigint, false)
                OR earlier.stats_reset_at IS DISTINCT FROM
                   (counters ->> 'stats_reset')::timestamptz,
            (counters ->> 'track_io_timing')::boolean, (counters ->> 'database_oid')::bigint,
            (counters ->> 'stats_reset')::timestamptz,
            (counters ->> 'postmaster_started_at')::timestamptz, begun)
    RETURNING * INTO run;

    UPDATE observability.monitored_instance AS m
    SET server_version_num = (counters ->> 'server_version_num')::integer,
        track_io_timing = run.track_io_timing,
        statements_max = coalesce((counters ->> 'statements_max')::integer, m.statements_max)
    WHERE m.business_id = tenant AND m.monitored_instance_id = instance
        AND (m.server_version_num, m.track_io_timing, m.statements_max) IS DISTINCT FROM
            ((counters ->> 'server_version_num')::integer, run.track_io_timing,
             coalesce((counters ->> 'statements_max')::integer, m.statements_max));

    run.statements_seen := observability.sample_statements(
        run, begun, target.database_name, counters -> 'statements');
    IF counters ? 'indexes' THEN
        run.tables_seen := observability.sample_tables(run, begun, counters -> 'tables');
        run.indexes_seen := observability.sample_indexes(run, begun, counters -> 'indexes');
    END IF;
    IF counters ? 'io' THEN
        seen := observability.sample_io(run, begun, counters -> 'io');
    END IF;
    IF counters ? 'settings' THEN
        seen := observability.sample_waits(run, begun, counters -> 'waits');
        seen := observability.sample_settings(run, begun, counters -> 'settings');
    END IF;

    UPDATE observability.snapshot_run AS r
    SET status = CASE WHEN trouble IS NULL THEN 'complete' ELSE 'partial' END,
        error_detail = trouble, statements_seen = run.statements_seen,
        tables_seen = run.tables_seen, indexes_seen = run.indexes_seen,
        finished_at = greatest(clock_timestamp(), begun)
    WHERE r.business_id = tenant AND r.snapshot_run_id = run.snapshot_run_id;
    RETURN run.snapshot_run_id;
END
$$;
COMMENT ON FUNCTION observability.store_snapshot(uuid, jsonb, text, uuid) IS
    'Stores what read_counters() gave, here or in another database, as a pass over an instance of
     the current tenant: the increments since the last pass. A database that was made anew or whose
     statistics were reset is a new origin; what a view refused makes the pass partial.';


CREATE FUNCTION observability.take_snapshot(
    instance     uuid,
    kind_of_pass text DEFAULT 'scheduled',
    of_load_run  uuid DEFAULT NULL
) RETURNS uuid
    LANGUAGE sql
BEGIN ATOMIC
    SELECT observability.store_snapshot(
        instance,
        observability.read_counters(kind_of_pass <> 'scheduled', ARRAY(
            SELECT f.query_id
            FROM observability.query_fingerprint AS f
            WHERE f.business_id = tenant_mgmt.current_business_id()
                AND f.database_name = current_database())),
        kind_of_pass, of_load_run);
END;
COMMENT ON FUNCTION observability.take_snapshot(uuid, text, uuid) IS
    'One pass over the statistics of the database that it runs in, for an instance of the current
     tenant: reads each view once and stores the increments since the last pass. Run by a member
     of pg_monitor. Without pg_stat_statements there are no statements. A failed pass leaves
     nothing: the caller records it as failed.';


CREATE FUNCTION observability.query_stats_between(
    from_run  uuid,
    to_run    uuid,
    top_by    text    DEFAULT 'time',
    top_count integer DEFAULT 20
) RETURNS TABLE (query_fingerprint_id uuid, normalized_text text, calls bigint,
                 total_exec_ms numeric, mean_exec_ms numeric, max_exec_ms numeric,
                 rows_returned bigint, shared_blks_hit bigint, shared_blks_read bigint,
                 temp_blks_written bigint, wal_bytes bigint, time_share_pct numeric)
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    early  observability.snapshot_run;
    late   observability.snapshot_run;
BEGIN
    IF top_by NOT IN ('time', 'calls', 'reads', 'wal') THEN
        RAISE EXCEPTION 'statements are not ordered by %', top_by
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'One of time, calls, reads, wal.';
    END IF;
    SELECT * INTO early FROM observability.snapshot_run AS r
    WHERE r.business_id = tenant AND r.snapshot_run_id = from_run;
    SELECT * INTO late FROM observability.snapshot_run AS r
    WHERE r.business_id = tenant AND r.snapshot_run_id = to_run
        AND r.monitored_instance_id = early.monitored_instance_id
        AND r.started_at >= early.started_at;
    IF late.snapshot_run_id IS NULL THEN
        RAISE EXCEPTION 'there is no pass of one instance from % to %', from_run, to_run
            USING ERRCODE = 'no_data_found';
    END IF;
    RETURN QUERY
    SELECT s.query_fingerprint_id, f.normalized_text, s.calls, s.exec_ms,
           round(s.exec_ms / s.calls, 3), s.max_ms, s.rows_returned, s.hit, s.read, s.temp, s.wal,
           round(100 * s.exec_ms / nullif(sum(s.exec_ms) OVER (), 0), 2)
    FROM (
        SELECT q.query_fingerprint_id, sum(q.calls)::bigint AS calls,
               sum(q.total_exec_ms) AS exec_ms, max(q.max_exec_ms)::numeric AS max_ms,
               sum(q.rows_returned)::bigint AS rows_returned,
               sum(q.shared_blks_hit)::bigint AS hit, sum(q.shared_blks_read)::bigint AS read,
               sum(q.temp_blks_written)::bigint AS temp, sum(q.wal_bytes)::bigint AS wal
        FROM observability.query_stat_sample AS q
        JOIN observability.snapshot_run AS r
            ON r.business_id = q.business_id AND r.snapshot_run_id = q.snapshot_run_id
        WHERE q.business_id = tenant
            AND q.sampled_at >= early.started_at
            AND q.sampled_at <= coalesce(late.finished_at, 'infinity')
            AND r.monitored_instance_id = early.monitored_instance_id
            AND r.started_at > early.started_at AND r.started_at <= late.started_at
        GROUP BY q.query_fingerprint_id
    ) AS s
    JOIN observability.query_fingerprint AS f
        ON f.business_id = tenant AND f.query_fingerprint_id = s.query_fingerprint_id
    ORDER BY CASE top_by WHEN 'time' THEN s.exec_ms WHEN 'calls' THEN s.calls
                         WHEN 'reads' THEN s.read ELSE s.wal END DESC,
             s.query_fingerprint_id
    LIMIT top_count;
END
$$;
COMMENT ON FUNCTION observability.query_stats_between(uuid, uuid, text, integer) IS
    'What the statements did after one pass up to another of the same instance of the current
     tenant: the first by time, calls, reads (of blocks not in memory) or wal. Shares are of all
     statements, not only of those returned.';


CREATE FUNCTION observability.comparability_gaps(from_run uuid, to_run uuid)
    RETURNS TABLE (reason text, detail text)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH pair AS (
        SELECT a.monitored_instance_id AS instance, b.monitored_instance_id AS other_instance,
               a.started_at, b.started_at AS until,
               a.postmaster_started_at, b.postmaster_started_at AS restarted_at
        FROM observability.snapshot_run AS a
        JOIN observability.snapshot_run AS b ON b.business_id = a.business_id
        WHERE a.business_id = tenant_mgmt.current_business_id()
            AND a.snapshot_run_id = from_run AND b.snapshot_run_id = to_run
    )
    SELECT 'another instance', NULL::text FROM pair AS p WHERE p.instance <> p.other_instance
    UNION ALL
    SELECT 'the server was restarted', to_char(p.restarted_at AT TIME ZONE 'UTC',
                                               'YYYY-MM-DD HH24:MI:SS "UTC"')
    FROM pair AS p
    WHERE p.instance = p.other_instance AND p.restarted_at <> p.postmaster_started_at
    UNION ALL
    SELECT 'the statistics were reset', to_char(r.started_at AT TIME ZONE 'UTC',
                                                'YYYY-MM-DD HH24:MI:SS "UTC"')
    FROM pair AS p
    JOIN observability.snapshot_run AS r
        ON r.business_id = tenant_mgmt.current_business_id()
       AND r.monitored_instance_id = p.instance AND r.is_origin
       AND r.started_at > p.started_at AND r.started_at <= p.until
    UNION ALL
    SELECT 'a setting was changed', format('%s: %s, was %s', c.setting_name,
                                           coalesce(c.new_value, 'none'),
                                           coalesce(c.old_value, 'none'))
    FROM pair AS p
    JOIN observability.setting_change AS c
        ON c.business_id = tenant_mgmt.current_business_id()
       AND c.monitored_instance_id = p.instance AND c.affects_comparability
       AND c.seen_at > p.started_at AND c.seen_at <= p.until;
END;
COMMENT ON FUNCTION observability.comparability_gaps(uuid, uuid) IS
    'Why figures of two passes of the current tenant (the earlier first) cannot be compared:
     other instance, restart, reset, settings that matter. No rows: they can.';


CREATE FUNCTION observability.sample_tenant_sizes(run uuid) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid        := tenant_mgmt.current_business_id();
    moment CONSTANT timestamptz := clock_timestamp();
    written integer;
BEGIN
    IF row_security_active('observability.tenant_size_sample') THEN
        RAISE EXCEPTION '% cannot see the sizes of tenants', current_user
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Call it as a role that bypasses row security, such as the loader.';
    END IF;
    PERFORM FROM observability.snapshot_run AS r
    WHERE r.business_id = tenant AND r.snapshot_run_id = run;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no pass %', run USING ERRCODE = 'no_data_found';
    END IF;

    INSERT INTO observability.tenant_size_sample
        (business_id, snapshot_run_id, subject_business_id, schema_name, row_count,
         estimated_bytes, share_of_rows_pct, largest_table, largest_table_rows, calls_share_pct,
         growth_7d_pct, sampled_at)
    WITH part AS MATERIALIZED (
        -- Of each table or partition the share of each tenant that analyze found.
        SELECT n.nspname::text AS schema_name, coalesce(parent.relname, c.relname)::text AS name,
               v.subject, c.reltuples * v.share AS rows,
               c.relpages::bigint * current_setting('block_size')::integer * v.share AS bytes
        FROM pg_catalog.pg_stats AS s
        JOIN pg_catalog.pg_namespace AS n ON n.nspname = s.schemaname
        JOIN pg_catalog.pg_class AS c
            ON c.relnamespace = n.oid AND c.relname = s.tablename AND c.relkind = 'r'
        LEFT JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = c.oid
        LEFT JOIN pg_catalog.pg_class AS parent ON parent.oid = i.inhparent
        CROSS JOIN LATERAL unnest(s.most_common_vals::text::uuid[], s.most_common_freqs)
            AS v (subject, share)
        WHERE s.attname = 'business_id' AND NOT s.inherited AND c.reltuples > 0
            AND n.nspname <> 'observability'
    ), by_table AS (
        SELECT p.schema_name, p.name, p.subject, round(sum(p.rows)::numeric)::bigint AS rows,
               round(sum(p.bytes)::numeric)::bigint AS bytes
        FROM part AS p
        GROUP BY p.schema_name, p.name, p.subject
    ), by_schema AS (
        SELECT t.schema_name, t.subject, sum(t.rows)::bigint AS rows,
               sum(t.bytes)::bigint AS bytes,
               (array_agg(t.name ORDER BY t.rows DESC, t.name))[1] AS largest, max(t.rows) AS most
        FROM by_table AS t
        GROUP BY t.schema_name, t.subject
    ), activity AS (
        SELECT w.subject, 100.0 * sum(w.sessions) / sum(sum(w.sessions)) OVER () AS share
        FROM (
            SELECT substring(w.application_name FROM '^bh:([0-9a-f-]{36})$')::uuid AS subject,
                   w.session_count AS sessions
            FROM observability.wait_sample AS w
            JOIN observability.snapshot_run AS r
                ON r.business_id = w.business_id
               AND r.monitored_instance_id = w.monitored_instance_id
            WHERE w.business_id = tenant AND r.snapshot_run_id = run
                AND w.sampled_at > moment - interval '1 hour'
        ) AS w
        WHERE w.subject IS NOT NULL
        GROUP BY w.subject
    )
    SELECT tenant, run, b.subject, b.schema_name, b.rows, b.bytes,
           coalesce(round(100.0 * b.rows
                          / nullif(sum(b.rows) OVER (PARTITION BY b.schema_name), 0), 4), 0),
           b.largest, b.most, round(a.share, 4),
           least(round(100.0 * (b.rows - week.row_count) / nullif(week.row_count, 0), 4), 99999),
           moment
    FROM by_schema AS b
    LEFT JOIN activity AS a ON a.subject = b.subject
    LEFT JOIN LATERAL (
        SELECT s.row_count
        FROM observability.tenant_size_sample AS s
        WHERE s.business_id = tenant AND s.subject_business_id = b.subject
            AND s.schema_name = b.schema_name AND s.sampled_at <= moment - interval '7 days'
        ORDER BY s.sampled_at DESC
        LIMIT 1
    ) AS week ON true;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END
$$;
COMMENT ON FUNCTION observability.sample_tenant_sizes(uuid) IS
    'Estimates, for a pass of the current tenant, how much of each schema is whose, from what
     analyze found about business_id, without reading a table: exact to about 1 % for the hundred
     largest tenants. Call it as a role that bypasses row security, for pg_stats hides tables
     under row security from all others.';
REVOKE EXECUTE ON FUNCTION observability.sample_tenant_sizes(uuid) FROM PUBLIC;


CREATE FUNCTION observability.tenant_skew(run uuid)
    RETURNS TABLE (subject_business_id uuid, row_count bigint, estimated_bytes bigint,
                   rows_share_pct numeric, calls_share_pct numeric, gini numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH size AS (
        SELECT s.subject_business_id, sum(s.row_count)::bigint AS rows,
               sum(s.estimated_bytes)::bigint AS bytes, max(s.calls_share_pct) AS calls
        FROM observability.tenant_size_sample AS s
        WHERE s.business_id = tenant_mgmt.current_business_id() AND s.snapshot_run_id = run
        GROUP BY s.subject_business_id
    ), ranked AS (
        SELECT z.*, row_number() OVER (ORDER BY z.rows, z.subject_business_id) AS place,
               count(*) OVER () AS tenants, sum(z.rows) OVER () AS total
        FROM size AS z
    )
    SELECT r.subject_business_id, r.rows, r.bytes,
           round(100.0 * r.rows / nullif(r.total, 0), 4), r.calls,
           round(2 * sum(r.place * r.rows) OVER () / nullif(r.tenants * r.total, 0)
                 - (r.tenants + 1.0) / r.tenants, 6)
    FROM ranked AS r
    ORDER BY r.rows DESC, r.subject_business_id;
END;
COMMENT ON FUNCTION observability.tenant_skew(uuid) IS
    'How the rows and calls of a pass of the current tenant are spread over tenants. gini is that
     of all of them by rows: 0 where all are alike, towards 1 where one has everything.';


CREATE FUNCTION observability.purge_samples(keep interval) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    child   record;
    dropped integer := 0;
BEGIN
    IF keep < interval '1 day' THEN
        RAISE EXCEPTION 'samples of the last day stay' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF row_security_active('observability.baseline') THEN
        RAISE EXCEPTION '% cannot see the baselines of all tenants', current_user
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Call it as a role that bypasses row security, such as the loader.';
    END IF;
    FOR child IN
        SELECT n.nspname, c.relname, bound.lower_bound, bound.upper_bound,
               bound.upper_bound IS NULL AS is_default
        FROM pg_catalog.pg_inherits AS i
        JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
        JOIN pg_catalog.pg_class AS p ON p.oid = i.inhparent
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        CROSS JOIN LATERAL (
            SELECT substring(b.text FROM 'FROM \(''([^'']+)''\)')::timestamptz AS lower_bound,
                   substring(b.text FROM 'TO \(''([^'']+)''\)')::timestamptz   AS upper_bound
            FROM (SELECT pg_get_expr(c.relpartbound, c.oid) AS text) AS b
        ) AS bound
        WHERE i.inhparent IN ('observability.query_stat_sample'::regclass,
                              'observability.table_stat_sample'::regclass,
                              'observability.index_stat_sample'::regclass,
                              'observability.wait_sample'::regclass,
                              'observability.io_sample'::regclass,
                              'observability.tenant_size_sample'::regclass)
        ORDER BY p.relname, bound.lower_bound
    LOOP
        IF child.is_default THEN
            -- The default partition: whatever is older than all others.
            EXECUTE format('SELECT min(sampled_at), max(sampled_at) FROM %I.%I',
                           child.nspname, child.relname)
            INTO child.lower_bound, child.upper_bound;
        END IF;
        CONTINUE WHEN child.upper_bound IS NULL OR child.upper_bound > now() - keep;
        CONTINUE WHEN EXISTS (
            SELECT FROM observability.baseline AS b
            LEFT JOIN observability.load_run AS r
                ON r.business_id = b.business_id AND r.load_run_id = b.load_run_id
            WHERE (b.status <> 'retired' OR b.keep_until >= current_date)
                AND coalesce(r.started_at, b.taken_at) <= child.upper_bound
                AND coalesce(r.finished_at, b.taken_at) >= child.lower_bound);
        CONTINUE WHEN EXISTS (
            SELECT FROM observability.snapshot_run AS s
            WHERE s.kind = 'baseline' AND s.started_at <= child.upper_bound
                AND s.finished_at >= child.lower_bound);
        EXECUTE format(CASE WHEN child.is_default THEN 'TRUNCATE %I.%I' ELSE 'DROP TABLE %I.%I' END,
                       child.nspname, child.relname);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;
COMMENT ON FUNCTION observability.purge_samples(interval) IS
    'Drops the partitions of samples, of all tenants, that are older than the limit as a whole,
     and empties the default partitions likewise; spares those from which a baseline or its load
     run comes, or a pass of kind baseline. Returns how many. Call it as a member of the owner
     that bypasses row security.';
REVOKE EXECUTE ON FUNCTION observability.purge_samples(interval) FROM PUBLIC;


CREATE FUNCTION observability.export_metrics()
    RETURNS TABLE (metric text, labels jsonb, value double precision)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    -- The last pass of each instance, by the index on (instance, started_at).
    WITH pass AS (
        SELECT m.name AS instance, r.*
        FROM observability.monitored_instance AS m
        CROSS JOIN LATERAL (
            SELECT s.status, s.started_at, s.finished_at, s.collection_ms, s.statements_seen,
                   s.tables_seen
            FROM observability.snapshot_run AS s
            WHERE s.business_id = m.business_id
                AND s.monitored_instance_id = m.monitored_instance_id AND s.status <> 'running'
            ORDER BY s.started_at DESC
            LIMIT 1
        ) AS r
        WHERE m.business_id = tenant_mgmt.current_business_id() AND m.is_enabled
    ), checked AS (
        SELECT k.family, r.*
        FROM (VALUES ('static_sql'), ('row_security'), ('isolation'), ('index'), ('partition'),
                     ('plan'), ('citus'), ('data_quality'), ('naming')) AS k (family)
        CROSS JOIN LATERAL (
            SELECT c.verdict, c.finished_at, c.objects_checked, c.duration_ms
            FROM observability.check_run AS c
            WHERE c.business_id = tenant_mgmt.current_business_id() AND c.family = k.family
                AND c.verdict IS NOT NULL
            ORDER BY c.started_at DESC
            LIMIT 1
        ) AS r
    ), loaded AS (
        SELECT s.code AS scenario, r.*
        FROM observability.load_scenario AS s
        CROSS JOIN LATERAL (
            SELECT l.verdict, l.finished_at, l.rps_mean, l.requests_total, l.failures_total
            FROM observability.load_run AS l
            WHERE l.business_id = s.business_id AND l.load_scenario_id = s.load_scenario_id
                AND l.status = 'finished'
            ORDER BY l.started_at DESC
            LIMIT 1
        ) AS r
        WHERE s.business_id = tenant_mgmt.current_business_id()
    )
    SELECT 'harness_snapshot_last_success_timestamp_seconds'::text,
           jsonb_build_object('instance', p.instance),
           extract(epoch FROM p.finished_at)::double precision
    FROM pass AS p WHERE p.status IN ('complete', 'partial')
    UNION ALL
    SELECT 'harness_snapshot_duration_seconds', jsonb_build_object('instance', p.instance),
           p.collection_ms / 1000.0
    FROM pass AS p
    UNION ALL
    SELECT 'harness_snapshot_statements', jsonb_build_object('instance', p.instance),
           p.statements_seen
    FROM pass AS p WHERE p.statements_seen IS NOT NULL
    UNION ALL
    SELECT 'harness_schema_tables', jsonb_build_object('instance', p.instance), p.tables_seen
    FROM pass AS p WHERE p.tables_seen IS NOT NULL
    UNION ALL
    SELECT 'harness_findings', jsonb_build_object('severity', v.severity), count(f.finding_id)
    FROM (VALUES ('critical'), ('error'), ('warning'), ('info')) AS v (severity)
    LEFT JOIN observability.finding AS f
        ON f.business_id = tenant_mgmt.current_business_id() AND f.severity = v.severity
       AND f.status IN ('open', 'acknowledged', 'reopened')
    GROUP BY v.severity
    UNION ALL
    SELECT 'harness_isolation_leaks', '{}', count(*)
    FROM observability.finding AS f
    JOIN observability.check_definition AS d
        ON d.business_id = f.business_id AND d.check_definition_id = f.check_definition_id
    WHERE f.business_id = tenant_mgmt.current_business_id()
        AND f.status IN ('open', 'acknowledged', 'reopened') AND d.family = 'isolation'
    UNION ALL
    SELECT 'harness_check_last_run_timestamp_seconds', jsonb_build_object('family', c.family),
           extract(epoch FROM c.finished_at)
    FROM checked AS c
    UNION ALL
    SELECT 'harness_check_passed', jsonb_build_object('family', c.family),
           (c.verdict = 'pass')::integer
    FROM checked AS c
    UNION ALL
    SELECT 'harness_check_objects', jsonb_build_object('family', c.family), c.objects_checked
    FROM checked AS c
    UNION ALL
    SELECT 'harness_budget_breaches', jsonb_build_object('status', v.status),
           count(b.budget_breach_id)
    FROM (VALUES ('open'), ('confirmed'), ('flaky'), ('waived')) AS v (status)
    LEFT JOIN observability.budget_breach AS b
        ON b.business_id = tenant_mgmt.current_business_id() AND b.status = v.status
    GROUP BY v.status
    UNION ALL
    SELECT 'harness_load_last_run_timestamp_seconds',
           jsonb_build_object('scenario', l.scenario), extract(epoch FROM l.finished_at)
    FROM loaded AS l
    UNION ALL
    SELECT 'harness_load_passed', jsonb_build_object('scenario', l.scenario),
           (l.verdict = 'pass')::integer
    FROM loaded AS l
    UNION ALL
    SELECT 'harness_load_requests_per_second', jsonb_build_object('scenario', l.scenario),
           l.rps_mean
    FROM loaded AS l WHERE l.rps_mean IS NOT NULL
    UNION ALL
    SELECT 'harness_load_failure_ratio', jsonb_build_object('scenario', l.scenario),
           l.failures_total::double precision / nullif(l.requests_total, 0)
    FROM loaded AS l WHERE l.requests_total > 0;
END;
COMMENT ON FUNCTION observability.export_metrics() IS
    'One scrape of the current tenant: gauges in base units with few labels. Identities of
     tenants, tables and statements are not among them, so that the series stay few.';


CREATE VIEW observability.v_top_query WITH (security_invoker = true) AS
    SELECT r.business_id, r.query_fingerprint_id, f.normalized_text, f.critical_query_id, r.calls,
           r.total_exec_ms, round(r.total_exec_ms / r.calls, 3) AS mean_exec_ms, r.max_exec_ms,
           r.shared_blks_read, r.temp_blks_written, r.time_rank, r.read_rank, r.temp_rank
    FROM (
        SELECT s.business_id, s.query_fingerprint_id, sum(s.calls) AS calls,
               sum(s.total_exec_ms) AS total_exec_ms, max(s.max_exec_ms) AS max_exec_ms,
               sum(s.shared_blks_read) AS shared_blks_read,
               sum(s.temp_blks_written) AS temp_blks_written,
               rank() OVER (ORDER BY sum(s.total_exec_ms) DESC)     AS time_rank,
               rank() OVER (ORDER BY sum(s.shared_blks_read) DESC)  AS read_rank,
               rank() OVER (ORDER BY sum(s.temp_blks_written) DESC) AS temp_rank
        FROM observability.query_stat_sample AS s
        WHERE s.business_id = tenant_mgmt.current_business_id()
            AND s.sampled_at > now() - interval '1 hour'
        GROUP BY s.business_id, s.query_fingerprint_id
    ) AS r
    JOIN observability.query_fingerprint AS f
        ON f.business_id = r.business_id AND f.query_fingerprint_id = r.query_fingerprint_id
    WHERE r.time_rank <= 20
        OR (r.read_rank <= 20 AND r.shared_blks_read > 0)
        OR (r.temp_rank <= 20 AND r.temp_blks_written > 0);
COMMENT ON VIEW observability.v_top_query IS
    'The statements of the last hour that are among the first 20 by time, reads or temporary
     files, with their ranks.';
GRANT SELECT ON observability.v_top_query TO app_user, app_readonly;


CREATE VIEW observability.v_unused_index WITH (security_invoker = true) AS
    SELECT s.business_id, o.monitored_instance_id, s.schema_name, s.table_name, s.index_name,
           s.index_bytes, s.sampled_at, o.started_at AS observed_since,
           CASE WHEN s.is_constraint THEN 'a constraint stands on it'
                WHEN s.is_unique THEN 'it keeps rows unique'
                WHEN o.started_at > now() - interval '30 days'
                    THEN 'watched for less than 30 days' END AS reason_to_keep
    FROM (
        SELECT DISTINCT ON (r.business_id, r.monitored_instance_id)
               r.business_id, r.monitored_instance_id, r.started_at
        FROM observability.snapshot_run AS r
        WHERE r.business_id = tenant_mgmt.current_business_id() AND r.is_origin
            AND r.status IN ('complete', 'partial')
        ORDER BY r.business_id, r.monitored_instance_id, r.started_at DESC
    ) AS o
    CROSS JOIN LATERAL (
        SELECT i.business_id, i.schema_name, i.index_name,
               (array_agg(i.table_name ORDER BY i.sampled_at DESC))[1] AS table_name,
               (array_agg(i.index_bytes ORDER BY i.sampled_at DESC))[1] AS index_bytes,
               bool_or(i.is_constraint) AS is_constraint, bool_or(i.is_unique) AS is_unique,
               max(i.sampled_at) AS sampled_at
        FROM observability.index_stat_sample AS i
        JOIN observability.snapshot_run AS r
            ON r.business_id = i.business_id AND r.snapshot_run_id = i.snapshot_run_id
        WHERE i.business_id = o.business_id AND i.sampled_at >= o.started_at
            AND r.monitored_instance_id = o.monitored_instance_id
        GROUP BY i.business_id, i.schema_name, i.index_name
        HAVING sum(i.idx_scan) = 0 AND max(i.last_used_at) IS NULL
    ) AS s;
COMMENT ON VIEW observability.v_unused_index IS
    'Indexes that no scan used since the statistics began, with their size and, where there is
     one, the reason to keep them all the same.';
GRANT SELECT ON observability.v_unused_index TO app_user, app_readonly;


CREATE MATERIALIZED VIEW observability.mv_query_hourly AS
    SELECT s.business_id, s.query_fingerprint_id,
           date_trunc('hour', s.sampled_at, 'UTC') AS hour_start,
           sum(s.calls)::bigint AS calls, sum(s.total_exec_ms) AS total_exec_ms,
           max(s.max_exec_ms)::numeric AS max_exec_ms,
           sum(s.rows_returned)::bigint AS rows_returned,
           sum(s.shared_blks_hit)::bigint AS shared_blks_hit,
           sum(s.shared_blks_read)::bigint AS shared_blks_read
    FROM observability.query_stat_sample AS s
    GROUP BY s.business_id, s.query_fingerprint_id, hour_start
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW observability.mv_query_hourly IS
    'Calls, time and reads per statement and hour; read through v_query_hourly.';

-- Refreshing concurrently; the curve of a statement.
CREATE UNIQUE INDEX mv_query_hourly_key_idx
    ON observability.mv_query_hourly (business_id, query_fingerprint_id, hour_start);

GRANT USAGE ON SCHEMA observability TO matview_owner;


CREATE VIEW observability.v_query_hourly WITH (security_barrier = true) AS
    SELECT m.business_id, m.query_fingerprint_id, m.hour_start, m.calls, m.total_exec_ms,
           round(m.total_exec_ms / m.calls, 3) AS mean_exec_ms, m.max_exec_ms, m.rows_returned,
           m.shared_blks_hit, m.shared_blks_read
    FROM observability.mv_query_hourly AS m
    WHERE m.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW observability.v_query_hourly IS 'The current tenant''s part of mv_query_hourly.';
GRANT SELECT ON observability.v_query_hourly TO app_user, app_readonly;


CREATE MATERIALIZED VIEW observability.mv_table_growth AS
    SELECT DISTINCT ON (s.business_id, r.monitored_instance_id, s.schema_name, s.table_name,
                        day_on)
           s.business_id, r.monitored_instance_id, s.schema_name, s.table_name,
           (s.sampled_at AT TIME ZONE 'UTC')::date AS day_on,
           s.live_rows, s.dead_rows, s.table_bytes, s.index_bytes, s.toast_bytes
    FROM observability.table_stat_sample AS s
    JOIN observability.snapshot_run AS r
        ON r.business_id = s.business_id AND r.snapshot_run_id = s.snapshot_run_id
    ORDER BY s.business_id, r.monitored_instance_id, s.schema_name, s.table_name, day_on,
             s.sampled_at DESC
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW observability.mv_table_growth IS
    'Rows and bytes of a table as it was last seen on a day; a day on which nothing changed may
     have none. Read through v_table_growth.';

-- Refreshing concurrently; the curve of a table.
CREATE UNIQUE INDEX mv_table_growth_key_idx
    ON observability.mv_table_growth
        (business_id, monitored_instance_id, schema_name, table_name, day_on);


CREATE VIEW observability.v_table_growth WITH (security_barrier = true) AS
    SELECT m.business_id, m.monitored_instance_id, m.schema_name, m.table_name, m.day_on,
           m.live_rows, m.dead_rows, m.table_bytes, m.index_bytes, m.toast_bytes,
           m.live_rows - lag(m.live_rows) OVER day_before AS rows_grown,
           m.table_bytes + m.index_bytes + m.toast_bytes
               - lag(m.table_bytes + m.index_bytes + m.toast_bytes) OVER day_before AS bytes_grown
    FROM observability.mv_table_growth AS m
    WHERE m.business_id = tenant_mgmt.current_business_id()
    WINDOW day_before AS (
        PARTITION BY m.business_id, m.monitored_instance_id, m.schema_name, m.table_name
        ORDER BY m.day_on);
COMMENT ON VIEW observability.v_table_growth IS
    'The current tenant''s part of mv_table_growth, with the growth since the day before it.';
GRANT SELECT ON observability.v_table_growth TO app_user, app_readonly;
