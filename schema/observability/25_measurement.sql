/*
 * Measurements: runs held against budgets, plans and baselines.
 *
 * budget_measurement is what a load run measured of a critical query, budget_breach a budget that
 * was exceeded, from the run that saw it first until it holds again; evaluate_budgets() makes
 * both. plan_capture is the plan of a query with its shape. A baseline holds reference values,
 * one baseline_metric each, that later runs are compared with.
 */

CREATE TABLE observability.budget_measurement (
    business_id           uuid                     NOT NULL,
    budget_measurement_id uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    critical_query_id     uuid                     NOT NULL,
    query_budget_id       uuid,
    load_run_id           uuid,
    sample_count          integer                  NOT NULL,
    error_count           integer                  NOT NULL DEFAULT 0,
    p50_ms                system_core.milliseconds,
    p95_ms                system_core.milliseconds,
    p99_ms                system_core.milliseconds,
    max_ms                system_core.milliseconds,
    mean_ms               system_core.milliseconds,
    rows_median           numeric(18, 6),
    buffers_hit_median    bigint,
    buffers_read_median   bigint,
    plan_hash             text,
    verdict               text                     NOT NULL,
    client_overhead_ms    system_core.milliseconds,
    measured_at           timestamptz              NOT NULL DEFAULT now(),
    created_at            timestamptz              NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, budget_measurement_id, measured_at),
    FOREIGN KEY (business_id, critical_query_id)
        REFERENCES observability.critical_query (business_id, critical_query_id),
    FOREIGN KEY (business_id, query_budget_id)
        REFERENCES observability.query_budget (business_id, query_budget_id),
    FOREIGN KEY (business_id, load_run_id)
        REFERENCES observability.load_run (business_id, load_run_id),
    CONSTRAINT budget_measurement_verdict_known
        CHECK (verdict IN ('pass', 'warn', 'fail', 'too_few_samples', 'not_comparable')),
    CONSTRAINT budget_measurement_errors_among_samples
        CHECK (error_count BETWEEN 0 AND sample_count),
    CONSTRAINT budget_measurement_quantiles_in_order
        CHECK (p50_ms <= p95_ms AND p95_ms <= p99_ms AND p99_ms <= max_ms),
    CONSTRAINT budget_measurement_mean_below_max CHECK (mean_ms <= max_ms),
    CONSTRAINT budget_measurement_judged_has_latency
        CHECK (verdict NOT IN ('pass', 'warn') OR p95_ms IS NOT NULL)
) PARTITION BY RANGE (measured_at);

COMMENT ON TABLE observability.budget_measurement IS
    'What one run measured of a critical query, and the verdict against its budget; append only.';
COMMENT ON COLUMN observability.budget_measurement.p95_ms IS
    'From the histogram of all samples; quantiles are never averaged.';
COMMENT ON COLUMN observability.budget_measurement.client_overhead_ms IS
    'Median that the driver itself adds, measured with SELECT 1.';

-- FK and board: the latest measurements of a query.
CREATE INDEX budget_measurement_query_idx
    ON observability.budget_measurement (business_id, critical_query_id, measured_at DESC);

-- FK: the measurements of a run.
CREATE INDEX budget_measurement_run_idx
    ON observability.budget_measurement (business_id, load_run_id)
    WHERE load_run_id IS NOT NULL;

-- FK: the measurements against a budget.
CREATE INDEX budget_measurement_budget_idx
    ON observability.budget_measurement (business_id, query_budget_id)
    WHERE query_budget_id IS NOT NULL;

ALTER TABLE observability.budget_measurement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.budget_measurement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON observability.budget_measurement TO app_user;
GRANT SELECT ON observability.budget_measurement TO app_readonly;

CREATE TRIGGER budget_measurement_append_only
    BEFORE UPDATE OR DELETE ON observability.budget_measurement
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('observability.budget_measurement');

CREATE TABLE observability.budget_measurement_default
    PARTITION OF observability.budget_measurement DEFAULT;
ALTER TABLE observability.budget_measurement_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.budget_measurement_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions(
    'observability.budget_measurement', 'month', behind => 3, ahead => 1);


CREATE TABLE observability.budget_breach (
    business_id         uuid           NOT NULL,
    budget_breach_id    uuid           NOT NULL DEFAULT system_core.uuid_v7(),
    critical_query_id   uuid           NOT NULL,
    query_budget_id     uuid           NOT NULL,
    load_run_id         uuid,
    finding_id          uuid,
    subject_business_id uuid,
    metric              text           NOT NULL,
    limit_value         numeric(18, 6) NOT NULL,
    observed_value      numeric(18, 6) NOT NULL,
    ratio               numeric(18, 6)
        GENERATED ALWAYS AS (observed_value / nullif(limit_value, 0)) STORED,
    consecutive_runs    integer        NOT NULL DEFAULT 1,
    status              text           NOT NULL DEFAULT 'open',
    cause_guess         text           NOT NULL DEFAULT 'unknown',
    fixed_in_commit     text,
    opened_at           timestamptz    NOT NULL DEFAULT now(),
    resolved_at         timestamptz,
    created_at          timestamptz    NOT NULL DEFAULT now(),
    updated_at          timestamptz    NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, budget_breach_id),
    FOREIGN KEY (business_id, critical_query_id)
        REFERENCES observability.critical_query (business_id, critical_query_id),
    FOREIGN KEY (business_id, query_budget_id)
        REFERENCES observability.query_budget (business_id, query_budget_id),
    FOREIGN KEY (business_id, load_run_id)
        REFERENCES observability.load_run (business_id, load_run_id),
    FOREIGN KEY (business_id, finding_id)
        REFERENCES observability.finding (business_id, finding_id),
    CONSTRAINT budget_breach_metric_known
        CHECK (metric IN ('p50', 'p95', 'p99', 'errors', 'rows_scanned', 'shared_reads',
                          'plan_node')),
    CONSTRAINT budget_breach_status_known
        CHECK (status IN ('open', 'confirmed', 'flaky', 'fixed', 'waived')),
    CONSTRAINT budget_breach_cause_known
        CHECK (cause_guess IN ('plan_change', 'data_growth', 'lock_wait', 'cold_cache',
                               'noisy_neighbor', 'configuration', 'unknown')),
    CONSTRAINT budget_breach_limit_not_negative CHECK (limit_value >= 0),
    CONSTRAINT budget_breach_exceeds_limit CHECK (observed_value > limit_value),
    CONSTRAINT budget_breach_seen_at_least_once CHECK (consecutive_runs >= 1),
    CONSTRAINT budget_breach_resolved_after_opening CHECK (resolved_at > opened_at),
    CONSTRAINT budget_breach_fixed_has_time CHECK ((status = 'fixed') = (resolved_at IS NOT NULL))
);

COMMENT ON TABLE observability.budget_breach IS
    'A budget that was exceeded, from the run that saw it first until it holds again.';
COMMENT ON COLUMN observability.budget_breach.subject_business_id IS
    'The tenant it concerns, where it concerns one; no foreign key.';
COMMENT ON COLUMN observability.budget_breach.consecutive_runs IS
    'Runs in a row that exceeded it; the second confirms it.';
COMMENT ON COLUMN observability.budget_breach.observed_value IS
    'The worst value seen, in the unit of the metric: milliseconds, percent, rows or nodes.';

-- One open breach of a budget and metric; also finds it.
CREATE UNIQUE INDEX budget_breach_open_idx
    ON observability.budget_breach (business_id, query_budget_id, metric)
    WHERE status IN ('open', 'confirmed', 'flaky');

-- FK and board: the breaches of a query, the newest first.
CREATE INDEX budget_breach_query_idx
    ON observability.budget_breach (business_id, critical_query_id, opened_at DESC);

-- FK: the breaches of a budget, whatever their status.
CREATE INDEX budget_breach_budget_idx
    ON observability.budget_breach (business_id, query_budget_id);

-- FK: the breaches that a run opened.
CREATE INDEX budget_breach_run_idx
    ON observability.budget_breach (business_id, load_run_id)
    WHERE load_run_id IS NOT NULL;

-- FK: the breach behind a finding.
CREATE INDEX budget_breach_finding_idx
    ON observability.budget_breach (business_id, finding_id)
    WHERE finding_id IS NOT NULL;

ALTER TABLE observability.budget_breach ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.budget_breach
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON observability.budget_breach TO app_user;
GRANT SELECT ON observability.budget_breach TO app_readonly;

CREATE TRIGGER budget_breach_touch
    BEFORE UPDATE ON observability.budget_breach
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER budget_breach_status_machine
    BEFORE INSERT OR UPDATE OF status ON observability.budget_breach
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["open"],
        "transitions": {
            "open":      ["confirmed", "flaky", "fixed", "waived"],
            "confirmed": ["fixed", "waived"],
            "flaky":     ["confirmed", "fixed"],
            "waived":    ["open"],
            "fixed":     ["open"]
        }}');


CREATE TABLE observability.plan_capture (
    business_id        uuid                     NOT NULL,
    plan_capture_id    uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    critical_query_id  uuid                     NOT NULL,
    load_run_id        uuid,
    plan               jsonb                    NOT NULL,
    plan_hash          text                     NOT NULL DEFAULT '',
    previous_plan_hash text,
    is_plan_change     boolean                  NOT NULL DEFAULT false,
    planning_ms        system_core.milliseconds,
    execution_ms       system_core.milliseconds,
    root_node          text,
    estimated_rows     bigint                   NOT NULL DEFAULT 0,
    actual_rows        bigint,
    misestimate_ratio  numeric(18, 6)
        GENERATED ALWAYS AS (greatest(estimated_rows, actual_rows, 1)::numeric
                             / greatest(least(estimated_rows, actual_rows), 1)) STORED,
    seq_scan_tables    text[]                   NOT NULL DEFAULT '{}',
    uses_generic_plan  boolean                  NOT NULL DEFAULT false,
    parameters         jsonb,
    settings_hash      text,
    captured_at        timestamptz              NOT NULL DEFAULT now(),
    created_at         timestamptz              NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, plan_capture_id, captured_at),
    FOREIGN KEY (business_id, critical_query_id)
        REFERENCES observability.critical_query (business_id, critical_query_id),
    FOREIGN KEY (business_id, load_run_id)
        REFERENCES observability.load_run (business_id, load_run_id),
    CONSTRAINT plan_capture_plan_is_explain_json
        CHECK (jsonb_path_exists(plan, '$[0]."Plan"."Node Type"')),
    CONSTRAINT plan_capture_rows_not_negative CHECK (estimated_rows >= 0 AND actual_rows >= 0)
) PARTITION BY RANGE (captured_at);

COMMENT ON TABLE observability.plan_capture IS
    'The plan of a critical query (EXPLAIN, FORMAT JSON) with its shape; append only.';
COMMENT ON COLUMN observability.plan_capture.plan_hash IS
    'Of node types, relations and indexes alone: costs and rows may move, the shape may not.';
COMMENT ON COLUMN observability.plan_capture.misestimate_ratio IS
    'How far the planner was off at the root, either way; 1 is exact.';

-- FK and history: the plans of a query, the newest first.
CREATE INDEX plan_capture_query_idx
    ON observability.plan_capture (business_id, critical_query_id, captured_at DESC);

-- FK: the plans of a run.
CREATE INDEX plan_capture_run_idx
    ON observability.plan_capture (business_id, load_run_id)
    WHERE load_run_id IS NOT NULL;

ALTER TABLE observability.plan_capture ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.plan_capture
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON observability.plan_capture TO app_user;
GRANT SELECT ON observability.plan_capture TO app_readonly;

CREATE TRIGGER plan_capture_append_only
    BEFORE UPDATE OR DELETE ON observability.plan_capture
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('observability.plan_capture');

CREATE FUNCTION observability.plan_nodes(plan jsonb) RETURNS TABLE (
    place integer[], node_type text, relation text, index_name text, plan_rows bigint,
    actual_rows bigint, node_filter text
)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH RECURSIVE node (place, body) AS (
        SELECT ARRAY[1], plan #> '{0,Plan}'
        UNION ALL
        SELECT n.place || c.ordinal::integer, c.body
        FROM node AS n
        CROSS JOIN LATERAL jsonb_array_elements(n.body -> 'Plans') WITH ORDINALITY
            AS c (body, ordinal)
    )
    SELECT n.place, n.body ->> 'Node Type',
           coalesce((n.body ->> 'Schema') || '.', '') || (n.body ->> 'Relation Name'),
           n.body ->> 'Index Name', (n.body ->> 'Plan Rows')::numeric::bigint,
           ((n.body ->> 'Actual Rows')::numeric
            * coalesce((n.body ->> 'Actual Loops')::numeric, 1))::bigint,
           n.body ->> 'Filter'
    FROM node AS n;
END;
COMMENT ON FUNCTION observability.plan_nodes(jsonb) IS
    'The nodes of an EXPLAIN document, each with its place in the tree ({1}, {1,2}, …).';

CREATE FUNCTION observability.plan_shape_hash(plan jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (
        SELECT encode(sha256(string_agg(
                   concat_ws('|', n.place, n.node_type, n.relation, n.index_name),
                   E'\n' ORDER BY n.place)::bytea), 'hex')
        FROM observability.plan_nodes(plan) AS n);
COMMENT ON FUNCTION observability.plan_shape_hash(jsonb) IS
    'SHA-256 of the tree of node types, relations and indexes: two plans with the same hash do
     the same, whatever they cost.';

CREATE FUNCTION observability.plan_seq_scans(plan jsonb, min_rows integer) RETURNS TABLE (
    relation text, scanned_rows bigint, filter text
)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT t.relation, t.kept + t.removed, t.filter
    FROM JSON_TABLE(plan, 'strict $.** ? (@."Node Type" == "Seq Scan")' COLUMNS (
        relation text   PATH 'lax $."Relation Name"',
        kept     bigint PATH 'lax $."Actual Rows"'            DEFAULT 0 ON EMPTY,
        removed  bigint PATH 'lax $."Rows Removed by Filter"' DEFAULT 0 ON EMPTY,
        filter   text   PATH 'lax $."Filter"'
    )) AS t
    WHERE t.kept + t.removed >= min_rows;
END;
COMMENT ON FUNCTION observability.plan_seq_scans(jsonb, integer) IS
    'Sequential scans of an EXPLAIN ANALYZE document that read at least so many rows a loop.';

CREATE FUNCTION observability.describe_plan() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    root jsonb := NEW.plan #> '{0,Plan}';
BEGIN
    NEW.plan_hash := observability.plan_shape_hash(NEW.plan);
    NEW.root_node := root ->> 'Node Type';
    NEW.estimated_rows := coalesce((root ->> 'Plan Rows')::numeric, 0);
    NEW.actual_rows := (root ->> 'Actual Rows')::numeric;
    NEW.planning_ms := coalesce(NEW.plan #>> '{0,Planning Time}', NEW.planning_ms::text)::numeric;
    NEW.execution_ms :=
        coalesce(NEW.plan #>> '{0,Execution Time}', NEW.execution_ms::text)::numeric;
    NEW.seq_scan_tables := ARRAY(
        SELECT DISTINCT n.relation
        FROM observability.plan_nodes(NEW.plan) AS n
        WHERE n.node_type = 'Seq Scan' AND n.relation IS NOT NULL
        ORDER BY n.relation);
    NEW.previous_plan_hash := (
        SELECT p.plan_hash
        FROM observability.plan_capture AS p
        WHERE p.business_id = NEW.business_id AND p.critical_query_id = NEW.critical_query_id
          AND p.captured_at < NEW.captured_at
        ORDER BY p.captured_at DESC
        LIMIT 1);
    NEW.is_plan_change := coalesce(NEW.plan_hash <> NEW.previous_plan_hash, false);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION observability.describe_plan() IS
    'Reads shape, root, rows and times off a plan and compares it with the plan before it.';

CREATE TRIGGER plan_capture_describe
    BEFORE INSERT ON observability.plan_capture
    FOR EACH ROW EXECUTE FUNCTION observability.describe_plan();

CREATE TABLE observability.plan_capture_default PARTITION OF observability.plan_capture DEFAULT;
ALTER TABLE observability.plan_capture_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.plan_capture_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions(
    'observability.plan_capture', 'month', behind => 3, ahead => 1);


CREATE TABLE observability.baseline (
    business_id    uuid           NOT NULL,
    baseline_id    uuid           NOT NULL DEFAULT system_core.uuid_v7(),
    load_run_id    uuid,
    accepted_by    uuid,
    name           text           NOT NULL,
    kind           text           NOT NULL DEFAULT 'latency',
    git_commit     text,
    hardware_label text           NOT NULL,
    data_scale     numeric(18, 6) NOT NULL DEFAULT 1,
    status         text           NOT NULL DEFAULT 'candidate',
    note           text,
    taken_at       timestamptz    NOT NULL DEFAULT now(),
    accepted_at    timestamptz,
    keep_until     date,
    created_at     timestamptz    NOT NULL DEFAULT now(),
    updated_at     timestamptz    NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, baseline_id),
    UNIQUE (business_id, name),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, load_run_id)
        REFERENCES observability.load_run (business_id, load_run_id),
    FOREIGN KEY (business_id, accepted_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT baseline_kind_known CHECK (kind IN ('latency', 'size', 'plan', 'check_result')),
    CONSTRAINT baseline_status_known CHECK (status IN ('candidate', 'accepted', 'retired')),
    CONSTRAINT baseline_scale_positive CHECK (data_scale > 0),
    CONSTRAINT baseline_accepted_after_taking CHECK (accepted_at >= taken_at),
    CONSTRAINT baseline_accepted_has_time CHECK (status <> 'accepted' OR accepted_at IS NOT NULL),
    CONSTRAINT baseline_candidate_not_yet CHECK (status <> 'candidate' OR accepted_at IS NULL)
);

COMMENT ON TABLE observability.baseline IS
    'Reference values that later runs are compared with, once somebody accepted them.';
COMMENT ON COLUMN observability.baseline.hardware_label IS
    'The kind of machine: figures of different machines are not compared.';
COMMENT ON COLUMN observability.baseline.keep_until IS
    'Samples that it stands on are not purged before this day.';

-- One accepted baseline of a kind on a kind of machine; also finds it.
CREATE UNIQUE INDEX baseline_accepted_idx
    ON observability.baseline (business_id, kind, hardware_label)
    WHERE status = 'accepted';

-- FK: the baselines taken from a run.
CREATE INDEX baseline_load_run_idx
    ON observability.baseline (business_id, load_run_id)
    WHERE load_run_id IS NOT NULL;

-- FK: what an account accepted.
CREATE INDEX baseline_accepted_by_idx
    ON observability.baseline (business_id, accepted_by)
    WHERE accepted_by IS NOT NULL;

ALTER TABLE observability.baseline ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.baseline
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON observability.baseline TO app_user;
GRANT SELECT ON observability.baseline TO app_readonly;

CREATE TRIGGER baseline_touch
    BEFORE UPDATE ON observability.baseline
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER baseline_status_machine
    BEFORE INSERT OR UPDATE OF status ON observability.baseline
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["candidate"],
        "transitions": {
            "candidate": ["accepted", "retired"],
            "accepted":  ["retired"],
            "retired":   []
        }}');


CREATE TABLE observability.baseline_metric (
    business_id        uuid                   NOT NULL,
    baseline_metric_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    baseline_id        uuid                   NOT NULL,
    critical_query_id  uuid,
    metric_key         system_core.code       NOT NULL,
    unit               text                   NOT NULL,
    value              numeric(18, 6)         NOT NULL,
    spread             numeric(18, 6)         NOT NULL DEFAULT 0,
    sample_count       integer                NOT NULL DEFAULT 1,
    lower_is_better    boolean                NOT NULL DEFAULT true,
    tolerance_pct      system_core.percentage NOT NULL DEFAULT 10,
    minimum_effect     numeric(18, 6)         NOT NULL DEFAULT 0,
    dimension          text,
    created_at         timestamptz            NOT NULL DEFAULT now(),
    updated_at         timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, baseline_metric_id),
    UNIQUE NULLS NOT DISTINCT (business_id, baseline_id, metric_key, critical_query_id, dimension),
    FOREIGN KEY (business_id, baseline_id)
        REFERENCES observability.baseline (business_id, baseline_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, critical_query_id)
        REFERENCES observability.critical_query (business_id, critical_query_id),
    CONSTRAINT baseline_metric_spread_not_negative CHECK (spread >= 0),
    CONSTRAINT baseline_metric_tolerance_bounded CHECK (tolerance_pct BETWEEN 0 AND 500),
    CONSTRAINT baseline_metric_effect_not_negative CHECK (minimum_effect >= 0),
    CONSTRAINT baseline_metric_has_samples CHECK (sample_count > 0)
);

COMMENT ON TABLE observability.baseline_metric IS
    'One reference value of a baseline, with its spread and how far one may be from it.';
COMMENT ON COLUMN observability.baseline_metric.spread IS
    'Standard deviation over the runs that it was taken from.';
COMMENT ON COLUMN observability.baseline_metric.minimum_effect IS
    'A smaller change, in the metric''s unit, is nobody''s concern.';
COMMENT ON COLUMN observability.baseline_metric.dimension IS
    'What the value is of, besides the query: a class of tenants, a table.';

-- FK and comparison: the reference values of a query.
CREATE INDEX baseline_metric_query_idx
    ON observability.baseline_metric (business_id, critical_query_id)
    WHERE critical_query_id IS NOT NULL;

ALTER TABLE observability.baseline_metric ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.baseline_metric
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON observability.baseline_metric TO app_user;
GRANT SELECT ON observability.baseline_metric TO app_readonly;

CREATE TRIGGER baseline_metric_touch
    BEFORE UPDATE ON observability.baseline_metric
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE FUNCTION observability.measure_run(of_run uuid, under_condition text) RETURNS TABLE (
    critical_query_id uuid, query_code text, query_budget_id uuid, sample_count integer,
    error_count integer, p50_ms numeric, p95_ms numeric, p99_ms numeric, max_ms numeric,
    verdict text, exceeded text
)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT m.critical_query_id, m.query_code, m.query_budget_id, m.request_count,
           m.failure_count, m.p50_ms, m.p95_ms, m.p99_ms, m.max_ms,
           CASE WHEN m.run_verdict = 'inconclusive' THEN 'not_comparable'
                WHEN m.request_count < m.minimum_samples THEN 'too_few_samples'
                WHEN m.exceeded IS NULL OR m.gate = 'record' THEN 'pass'
                WHEN m.gate = 'warn' THEN 'warn'
                ELSE 'fail' END,
           m.exceeded
    FROM (
        SELECT e.critical_query_id, c.query_code, b.query_budget_id, b.minimum_samples, b.gate,
               r.verdict AS run_verdict, e.request_count, e.failure_count,
               p.p50_ms, p.p95_ms, p.p99_ms, e.max_ms,
               CASE WHEN e.failure_count * 100 > b.max_error_pct * e.request_count THEN 'errors'
                    WHEN p.p95_ms IS NULL OR p.p95_ms > b.p95_ms THEN 'p95'
                    WHEN p.p50_ms > b.p50_ms THEN 'p50'
                    WHEN p.p99_ms > b.p99_ms THEN 'p99' END AS exceeded
        FROM observability.load_run AS r
        JOIN observability.load_endpoint_result AS e
            ON e.business_id = r.business_id AND e.load_run_id = r.load_run_id
           AND e.tenant_class = 'all'
        JOIN observability.critical_query AS c
            ON c.business_id = e.business_id AND c.critical_query_id = e.critical_query_id
        JOIN observability.query_budget AS b
            ON b.business_id = c.business_id AND b.critical_query_id = c.critical_query_id
           AND b.condition = under_condition
           AND b.effective_from <= r.started_at::date
           AND (b.effective_until IS NULL OR b.effective_until > r.started_at::date)
        CROSS JOIN LATERAL (
            SELECT coalesce(observability.histogram_percentile(e.histogram, 0.50), e.p50_ms),
                   coalesce(observability.histogram_percentile(e.histogram, 0.95), e.p95_ms),
                   coalesce(observability.histogram_percentile(e.histogram, 0.99), e.p99_ms)
            OFFSET 0  -- each quantile once, however often it is compared
        ) AS p (p50_ms, p95_ms, p99_ms)
        WHERE r.business_id = tenant_mgmt.current_business_id() AND r.load_run_id = of_run
    ) AS m;
END;
COMMENT ON FUNCTION observability.measure_run(uuid, text) IS
    'Each critical query of a load run of the tenant against its budget under a condition:
     quantiles from the histogram, the verdict, and the first limit that was exceeded.';


CREATE FUNCTION observability.evaluate_budgets(
    of_run          uuid,
    under_condition text DEFAULT 'nominal_load'
) RETURNS TABLE (query_code text, verdict text)
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
BEGIN
    IF EXISTS (SELECT FROM observability.budget_measurement AS m
               WHERE m.business_id = tenant AND m.load_run_id = of_run) THEN
        RETURN QUERY
            SELECT m.query_code, m.verdict
            FROM observability.measure_run(of_run, under_condition) AS m
            ORDER BY m.query_code;
        RETURN;
    END IF;

    INSERT INTO observability.budget_measurement (
        business_id, critical_query_id, query_budget_id, load_run_id, sample_count, error_count,
        p50_ms, p95_ms, p99_ms, max_ms, verdict, measured_at)
    SELECT tenant, m.critical_query_id, m.query_budget_id, of_run, m.sample_count,
           m.error_count, m.p50_ms, m.p95_ms, m.p99_ms, greatest(m.max_ms, m.p99_ms), m.verdict,
           r.finished_at
    FROM observability.measure_run(of_run, under_condition) AS m
    JOIN observability.load_run AS r ON r.business_id = tenant AND r.load_run_id = of_run;

    -- A budget that holds again closes its breach.
    UPDATE observability.budget_breach AS b
    SET status = 'fixed', resolved_at = greatest(now(), b.opened_at + interval '1 microsecond'),
        fixed_in_commit = r.git_commit
    FROM observability.budget_measurement AS m
    JOIN observability.load_run AS r
        ON r.business_id = m.business_id AND r.load_run_id = m.load_run_id
    WHERE m.business_id = tenant AND m.load_run_id = of_run
      AND b.business_id = tenant AND b.query_budget_id = m.query_budget_id
      AND b.status IN ('open', 'confirmed', 'flaky') AND m.verdict = 'pass';

    -- One that is exceeded again is confirmed, one that is exceeded anew is opened.
    WITH exceeded AS (
        SELECT m.*, v.metric, v.limit_value, v.observed_value
        FROM observability.budget_measurement AS m
        JOIN observability.query_budget AS q
            ON q.business_id = m.business_id AND q.query_budget_id = m.query_budget_id
        CROSS JOIN LATERAL (VALUES
            ('errors', q.max_error_pct, 100.0 * m.error_count / nullif(m.sample_count, 0)),
            ('p50', q.p50_ms, m.p50_ms), ('p95', q.p95_ms, m.p95_ms), ('p99', q.p99_ms, m.p99_ms)
        ) AS v (metric, limit_value, observed_value)
        WHERE m.business_id = tenant AND m.load_run_id = of_run
          AND m.verdict IN ('warn', 'fail') AND v.observed_value > v.limit_value
    ), again AS (
        UPDATE observability.budget_breach AS b
        SET consecutive_runs = b.consecutive_runs + 1,
            observed_value = greatest(b.observed_value, e.observed_value),
            status = 'confirmed'
        FROM exceeded AS e
        WHERE b.business_id = tenant AND b.query_budget_id = e.query_budget_id
          AND b.metric = e.metric AND b.status IN ('open', 'confirmed', 'flaky')
        RETURNING b.query_budget_id, b.metric
    )
    INSERT INTO observability.budget_breach (
        business_id, critical_query_id, query_budget_id, load_run_id, metric, limit_value,
        observed_value)
    SELECT tenant, e.critical_query_id, e.query_budget_id, of_run, e.metric, e.limit_value,
           e.observed_value
    FROM exceeded AS e
    WHERE NOT EXISTS (SELECT FROM again AS a
                      WHERE a.query_budget_id = e.query_budget_id AND a.metric = e.metric);

    RETURN QUERY
        SELECT c.query_code::text, m.verdict
        FROM observability.budget_measurement AS m
        JOIN observability.critical_query AS c
            ON c.business_id = m.business_id AND c.critical_query_id = m.critical_query_id
        WHERE m.business_id = tenant AND m.load_run_id = of_run
        ORDER BY c.query_code;
END
$$;
COMMENT ON FUNCTION observability.evaluate_budgets(uuid, text) IS
    'Measures a finished load run of the tenant against the budgets of its day, opens, confirms
     and closes breaches, and returns the verdicts. Asked again about a run it only tells.';


CREATE FUNCTION observability.take_baseline(
    named text, of_run uuid, hardware text, runs integer DEFAULT 5
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    model  observability.load_run;
    taken  uuid;
BEGIN
    SELECT * INTO model
    FROM observability.load_run AS r
    WHERE r.business_id = tenant AND r.load_run_id = of_run AND r.status = 'finished'
      AND r.verdict <> 'inconclusive';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'load run % cannot be compared with', of_run
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Take a baseline of a finished run whose driver kept up.';
    END IF;
    INSERT INTO observability.baseline (
        business_id, load_run_id, name, git_commit, hardware_label, data_scale, taken_at)
    SELECT tenant, of_run, named, model.git_commit, hardware, s.data_scale, model.finished_at
    FROM observability.load_scenario AS s
    WHERE s.business_id = tenant AND s.load_scenario_id = model.load_scenario_id
    RETURNING baseline_id INTO taken;

    -- The run and those before it under the same scenario on the same instance.
    INSERT INTO observability.baseline_metric (
        business_id, baseline_id, critical_query_id, metric_key, unit, value, spread,
        sample_count)
    SELECT tenant, taken, e.critical_query_id, m.key, 'ms',
           percentile_cont(0.5) WITHIN GROUP (ORDER BY m.value),
           coalesce(stddev_samp(m.value), 0), count(*)
    FROM (
        SELECT r.load_run_id
        FROM observability.load_run AS r
        WHERE r.business_id = tenant AND r.load_scenario_id = model.load_scenario_id
          AND r.monitored_instance_id = model.monitored_instance_id
          AND r.started_at <= model.started_at
          AND r.status = 'finished' AND r.verdict <> 'inconclusive'
        ORDER BY r.started_at DESC
        LIMIT runs
    ) AS past
    JOIN observability.load_endpoint_result AS e
        ON e.business_id = tenant AND e.load_run_id = past.load_run_id
       AND e.tenant_class = 'all' AND e.critical_query_id IS NOT NULL
    CROSS JOIN LATERAL (VALUES ('p50_ms', e.p50_ms), ('p95_ms', e.p95_ms), ('p99_ms', e.p99_ms))
        AS m (key, value)
    WHERE m.value IS NOT NULL
    GROUP BY e.critical_query_id, m.key;
    RETURN taken;
END
$$;
COMMENT ON FUNCTION observability.take_baseline(text, uuid, text, integer) IS
    'A candidate baseline of the tenant: for every critical query of a load run the medians of its
     quantiles over that run and those before it under the same scenario, with their spread.';


CREATE FUNCTION observability.accept_baseline(of_baseline uuid) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
BEGIN
    UPDATE observability.baseline AS b
    SET status = 'retired'
    FROM observability.baseline AS chosen
    WHERE b.business_id = tenant AND chosen.business_id = tenant
      AND chosen.baseline_id = of_baseline AND b.baseline_id <> of_baseline
      AND b.kind = chosen.kind AND b.hardware_label = chosen.hardware_label
      AND b.status = 'accepted';
    UPDATE observability.baseline AS b
    SET status = 'accepted', accepted_at = greatest(now(), b.taken_at),
        accepted_by = nullif(current_setting('app.user_account_id', true), '')::uuid
    WHERE b.business_id = tenant AND b.baseline_id = of_baseline AND b.status = 'candidate';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no candidate %', of_baseline USING ERRCODE = 'no_data_found';
    END IF;
END
$$;
COMMENT ON FUNCTION observability.accept_baseline(uuid) IS
    'A candidate of the tenant becomes what later runs are compared with; the one before it on the
     same kind of machine is retired.';


CREATE FUNCTION observability.compare_with_baseline(with_baseline uuid, of_run uuid) RETURNS TABLE (
    metric_key text, query_code text, base_value numeric, value numeric, change_pct numeric,
    significant boolean
)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT b.metric_key, c.query_code, b.value, v.value,
           round(100 * (v.value - b.value) / nullif(b.value, 0), 3),
           CASE WHEN b.lower_is_better THEN v.value - b.value ELSE b.value - v.value END
               > greatest(b.minimum_effect, 2 * b.spread, abs(b.value) * b.tolerance_pct / 100)
    FROM observability.baseline_metric AS b
    JOIN observability.critical_query AS c
        ON c.business_id = b.business_id AND c.critical_query_id = b.critical_query_id
    JOIN observability.critical_query AS any_version
        ON any_version.business_id = c.business_id AND any_version.query_code = c.query_code
    JOIN observability.load_endpoint_result AS e
        ON e.business_id = b.business_id AND e.load_run_id = of_run
       AND e.critical_query_id = any_version.critical_query_id
       AND e.tenant_class = coalesce(b.dimension, 'all')
    CROSS JOIN LATERAL (
        SELECT CASE b.metric_key WHEN 'p50_ms' THEN e.p50_ms WHEN 'p95_ms' THEN e.p95_ms
                                 WHEN 'p99_ms' THEN e.p99_ms WHEN 'max_ms' THEN e.max_ms
                                 WHEN 'rps'    THEN e.rps END
    ) AS v (value)
    WHERE b.business_id = tenant_mgmt.current_business_id() AND b.baseline_id = with_baseline
      AND v.value IS NOT NULL;
END;
COMMENT ON FUNCTION observability.compare_with_baseline(uuid, uuid) IS
    'Each value of a load run of the tenant beside the baseline''s. A change is significant when
     it is for the worse by more than the tolerance, twice the spread, and the least effect that
     matters. Metrics: p50_ms, p95_ms, p99_ms, max_ms, rps, of all versions of a query.';


CREATE VIEW observability.v_budget_status WITH (security_invoker = true) AS
SELECT q.business_id, q.critical_query_id, q.query_code, q.title, b.query_budget_id, b.condition,
       b.p95_ms AS limit_p95_ms, b.gate, m.measured_at, m.sample_count, m.p95_ms, m.verdict,
       round(m.p95_ms / b.p95_ms, 4) AS ratio,
       (SELECT count(*) FROM observability.budget_breach AS x
        WHERE x.business_id = q.business_id AND x.query_budget_id = b.query_budget_id
          AND x.status IN ('open', 'confirmed', 'flaky')) AS open_breaches
FROM observability.critical_query AS q
JOIN observability.query_budget AS b
    ON b.business_id = q.business_id AND b.critical_query_id = q.critical_query_id
   AND b.effective_from <= current_date
   AND (b.effective_until IS NULL OR b.effective_until > current_date)
LEFT JOIN LATERAL (
    SELECT x.measured_at, x.sample_count, x.p95_ms, x.verdict
    FROM observability.budget_measurement AS x
    WHERE x.business_id = q.business_id AND x.critical_query_id = q.critical_query_id
      AND x.query_budget_id = b.query_budget_id
    ORDER BY x.measured_at DESC
    LIMIT 1
) AS m ON true
WHERE q.status = 'active';
COMMENT ON VIEW observability.v_budget_status IS
    'The latest verdict of every critical query under every budget in force, with the part of
     the budget that it used.';
GRANT SELECT ON observability.v_budget_status TO app_user, app_readonly;


CREATE VIEW observability.v_plan_change WITH (security_invoker = true) AS
SELECT p.business_id, p.plan_capture_id, q.query_code, p.captured_at, p.plan_hash,
       p.previous_plan_hash, p.root_node, p.seq_scan_tables, p.execution_ms,
       before.captured_at AS before_at, before.execution_ms AS before_execution_ms,
       round(p.execution_ms / nullif(before.execution_ms, 0), 3) AS execution_ratio
FROM observability.plan_capture AS p
JOIN observability.critical_query AS q
    ON q.business_id = p.business_id AND q.critical_query_id = p.critical_query_id
LEFT JOIN LATERAL (
    SELECT x.captured_at, x.execution_ms
    FROM observability.plan_capture AS x
    WHERE x.business_id = p.business_id AND x.critical_query_id = p.critical_query_id
      AND x.captured_at < p.captured_at
    ORDER BY x.captured_at DESC
    LIMIT 1
) AS before ON true
WHERE p.is_plan_change;
COMMENT ON VIEW observability.v_plan_change IS
    'Plans whose shape differs from the one before, with the time of execution of both.';
GRANT SELECT ON observability.v_plan_change TO app_user, app_readonly;


CREATE MATERIALIZED VIEW observability.mv_budget_history AS
SELECT m.business_id, q.query_code, coalesce(r.git_commit, '') AS git_commit,
       min(m.measured_at) AS first_measured_at, max(m.measured_at) AS last_measured_at,
       count(*) AS runs, sum(m.sample_count) AS samples,
       percentile_disc(0.5) WITHIN GROUP (ORDER BY m.p95_ms) AS median_p95_ms,
       max(m.p95_ms) AS worst_p95_ms,
       count(*) FILTER (WHERE m.verdict = 'fail') AS failed_runs
FROM observability.budget_measurement AS m
JOIN observability.critical_query AS q
    ON q.business_id = m.business_id AND q.critical_query_id = m.critical_query_id
LEFT JOIN observability.load_run AS r
    ON r.business_id = m.business_id AND r.load_run_id = m.load_run_id
GROUP BY m.business_id, q.query_code, coalesce(r.git_commit, '')
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW observability.mv_budget_history IS
    'The 95th percentile of every critical query by commit: median and worst of its runs.';

-- Unique, so that it is refreshed concurrently; also serves v_budget_history.
CREATE UNIQUE INDEX mv_budget_history_idx
    ON observability.mv_budget_history (business_id, query_code, git_commit);

GRANT USAGE ON SCHEMA observability, tenant_mgmt TO matview_owner;
GRANT SELECT ON observability.budget_measurement, observability.critical_query,
    observability.load_run TO matview_owner;

CREATE VIEW observability.v_budget_history WITH (security_barrier = true) AS
SELECT *
FROM observability.mv_budget_history AS h
WHERE h.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW observability.v_budget_history IS
    'The tenant''s part of mv_budget_history.';
GRANT SELECT ON observability.v_budget_history TO app_user, app_readonly;
