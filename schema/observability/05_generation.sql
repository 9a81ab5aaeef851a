/*
 * Generation: fillings of the database with synthetic data.
 *
 * generation_run is one of them, what it was made from and how many rows it made. The same input
 * gives the same rows; where it did not, a finding (22_verification.sql) tells so.
 */

CREATE TABLE observability.generation_run (
    business_id           uuid                    NOT NULL,
    generation_run_id     uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    monitored_instance_id uuid                    NOT NULL,
    harness_run_id        uuid,
    seed                  bigint                  NOT NULL,
    scale_factor          system_core.rate        NOT NULL,
    tenant_count          integer                 NOT NULL,
    schemas_filled        text[]                  NOT NULL DEFAULT '{}',
    input_sha256          system_core.sha256,
    faker_version         text,
    status                text                    NOT NULL DEFAULT 'running',
    row_counts            system_core.json_object NOT NULL DEFAULT '{}',
    rows_total            bigint                  NOT NULL DEFAULT 0,
    bytes_total           bigint                  NOT NULL DEFAULT 0,
    tables_empty          integer                 NOT NULL DEFAULT 0,
    constraint_failures   integer                 NOT NULL DEFAULT 0,
    started_at            timestamptz             NOT NULL DEFAULT now(),
    finished_at           timestamptz,
    rows_per_second       system_core.quantity    GENERATED ALWAYS AS (
                              rows_total / nullif(
                                  extract(epoch FROM finished_at - started_at), 0)) STORED,
    created_at            timestamptz             NOT NULL DEFAULT now(),
    updated_at            timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, generation_run_id),
    FOREIGN KEY (business_id, monitored_instance_id)
        REFERENCES observability.monitored_instance (business_id, monitored_instance_id),
    FOREIGN KEY (business_id, harness_run_id)
        REFERENCES observability.harness_run (business_id, harness_run_id),
    CONSTRAINT generation_run_status_known
        CHECK (status IN ('running', 'done', 'failed', 'cleaned')),
    CONSTRAINT generation_run_scale_positive CHECK (scale_factor > 0),
    CONSTRAINT generation_run_tenants_positive CHECK (tenant_count > 0),
    CONSTRAINT generation_run_figures_not_negative
        CHECK (rows_total >= 0 AND bytes_total >= 0 AND tables_empty >= 0
               AND constraint_failures >= 0),
    CONSTRAINT generation_run_ended_has_time
        CHECK ((status = 'running') = (finished_at IS NULL)),
    CONSTRAINT generation_run_finished_after_start CHECK (finished_at >= started_at),
    CONSTRAINT generation_run_done_left_nothing_empty CHECK (status <> 'done' OR tables_empty = 0)
);

COMMENT ON TABLE observability.generation_run IS
    'One filling of the database with synthetic data: from what, how much, how fast.';
COMMENT ON COLUMN observability.generation_run.input_sha256 IS
    'Of the schema files and recipes. The same input, seed, scale and tenants give the same rows.';
COMMENT ON COLUMN observability.generation_run.row_counts IS
    'Object of table to rows, such as {"auto.bay": 120}; rows_total and tables_empty follow
     from it.';

-- FK: fillings of an instance; the earlier one that must have given the same rows.
CREATE INDEX generation_run_instance_idx
    ON observability.generation_run (business_id, monitored_instance_id, started_at DESC);

-- FK: the filling of a run of the harness.
CREATE INDEX generation_run_harness_run_idx
    ON observability.generation_run (business_id, harness_run_id)
    WHERE harness_run_id IS NOT NULL;

-- generation_differences(): the earlier filling with the same seed.
CREATE INDEX generation_run_seed_idx
    ON observability.generation_run (business_id, seed, started_at DESC)
    WHERE status IN ('done', 'cleaned');

ALTER TABLE observability.generation_run ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.generation_run
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON observability.generation_run TO app_user;
GRANT SELECT ON observability.generation_run TO app_readonly;

CREATE TRIGGER generation_run_touch
    BEFORE UPDATE ON observability.generation_run
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER generation_run_status_machine
    BEFORE INSERT OR UPDATE OF status ON observability.generation_run
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["running", "done", "failed"],
        "transitions": {
            "running": ["done", "failed"],
            "done":    ["cleaned"],
            "failed":  ["cleaned"],
            "cleaned": []
        }}');

CREATE FUNCTION observability.total_rows() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    SELECT sum(c.rows), count(*) FILTER (WHERE c.rows = 0)
    INTO NEW.rows_total, NEW.tables_empty
    FROM JSON_TABLE(NEW.row_counts::jsonb, '$.keyvalue()' COLUMNS (
        rows bigint PATH '$.value' ERROR ON ERROR)) AS c;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION observability.total_rows() IS
    'Totals are those of the counts per table.';

CREATE TRIGGER generation_run_total_rows
    BEFORE INSERT OR UPDATE OF row_counts ON observability.generation_run
    FOR EACH ROW WHEN (NEW.row_counts <> '{}'::jsonb)
    EXECUTE FUNCTION observability.total_rows();

CREATE FUNCTION observability.generation_differences(run uuid)
    RETURNS TABLE (table_name text, row_count bigint, earlier_row_count bigint)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT d.table_name, d.row_count, d.earlier_row_count
    FROM (
        SELECT g.row_counts, o.row_counts AS earlier_row_counts
        FROM observability.generation_run AS g
        JOIN observability.generation_run AS o
            ON o.business_id = g.business_id AND o.seed = g.seed
           AND o.scale_factor = g.scale_factor AND o.tenant_count = g.tenant_count
           AND o.input_sha256 = g.input_sha256
           AND o.status IN ('done', 'cleaned') AND o.started_at < g.started_at
        WHERE g.business_id = tenant_mgmt.current_business_id() AND g.generation_run_id = run
        ORDER BY o.started_at DESC
        LIMIT 1
    ) AS pair
    CROSS JOIN LATERAL (
        SELECT table_name, n.rows AS row_count, e.rows AS earlier_row_count
        FROM JSON_TABLE(pair.row_counts::jsonb, '$.keyvalue()' COLUMNS (
            table_name text   PATH '$.key',
            rows       bigint PATH '$.value')) AS n
        FULL JOIN JSON_TABLE(pair.earlier_row_counts::jsonb, '$.keyvalue()' COLUMNS (
            table_name text   PATH '$.key',
            rows       bigint PATH '$.value')) AS e USING (table_name)
        WHERE n.rows IS DISTINCT FROM e.rows
    ) AS d
    ORDER BY d.table_name;
END;
COMMENT ON FUNCTION observability.generation_differences(uuid) IS
    'The tables of a filling of the current tenant whose rows differ from those of the last
     earlier one from the same input, seed, scale and tenants. No rows: it is repeatable, or
     nothing is there to compare with.';

CREATE FUNCTION observability.report_unrepeatable() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    differing jsonb;
BEGIN
    IF NOT row_security_active(TG_RELID)
        AND current_setting('app.business_id', true) IS DISTINCT FROM NEW.business_id::text
    THEN
        RETURN NULL;  -- an import of many tenants; ask generation_differences() afterwards
    END IF;
    SELECT jsonb_agg(to_jsonb(d)) INTO differing
    FROM observability.generation_differences(NEW.generation_run_id) AS d;
    IF differing IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO observability.check_definition
        (business_id, check_code, title, family, severity, engine, rationale)
    VALUES (NEW.business_id, 'generation_not_repeatable',
            'The same seed gave other rows', 'data_quality', 'error', 'live_probe',
            'A run that cannot be repeated cannot be compared with another.')
    ON CONFLICT (business_id, check_code) DO NOTHING;
    PERFORM observability.upsert_findings(jsonb_build_array(jsonb_build_object(
        'business_id', NEW.business_id, 'check_code', 'generation_not_repeatable',
        'fingerprint', md5(concat_ws(' ', 'generation', NEW.seed, NEW.scale_factor,
                                     NEW.tenant_count, encode(NEW.input_sha256, 'hex'))),
        'title', format('Seed %s at scale %s gave other rows than before', NEW.seed,
                        trim_scale(NEW.scale_factor)),
        'evidence', jsonb_build_object('differing', differing), 'seen_at', NEW.finished_at)));
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION observability.report_unrepeatable() IS
    'Opens a finding where the same input, seed, scale and tenants gave other rows than before.';

CREATE TRIGGER generation_run_report_unrepeatable
    AFTER INSERT OR UPDATE OF status ON observability.generation_run
    FOR EACH ROW WHEN (NEW.status = 'done' AND NEW.input_sha256 IS NOT NULL)
    EXECUTE FUNCTION observability.report_unrepeatable();
