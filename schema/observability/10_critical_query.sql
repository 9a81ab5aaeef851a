/*
 * Critical queries: what somebody waits for, and how long at most.
 *
 * critical_query is such a query, in versions; query_budget bounds its latency, rows and plan
 * under a named condition, for a time. register_critical_queries() takes both over from the
 * files that the load is driven with.
 */

CREATE TABLE observability.critical_query (
    business_id           uuid                    NOT NULL,
    critical_query_id     uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    owner_user_account_id uuid,
    query_code            system_core.code        NOT NULL,
    schema_name           text                    NOT NULL,
    title                 text                    NOT NULL,
    access                text                    NOT NULL,
    sql_template          text                    NOT NULL,
    parameters_spec       system_core.json_object NOT NULL DEFAULT '{}',
    tables_expected       text[]                  NOT NULL DEFAULT '{}',
    expected_plan         text,
    weight                integer                 NOT NULL DEFAULT 1,
    user_path             text,
    version_no            integer                 NOT NULL DEFAULT 1,
    status                text                    NOT NULL DEFAULT 'active',
    source_file           text,
    created_at            timestamptz             NOT NULL DEFAULT now(),
    updated_at            timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, critical_query_id),
    UNIQUE (business_id, query_code, version_no),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT critical_query_access_known CHECK (access IN ('read', 'write')),
    CONSTRAINT critical_query_status_known CHECK (status IN ('draft', 'active', 'retired')),
    CONSTRAINT critical_query_weight_positive CHECK (weight > 0),
    CONSTRAINT critical_query_version_positive CHECK (version_no > 0),
    CONSTRAINT critical_query_has_text CHECK (sql_template ~ '\S')
);

COMMENT ON TABLE observability.critical_query IS
    'A query that somebody waits for, as its file states it; a changed text is a new version.';
COMMENT ON COLUMN observability.critical_query.query_code IS
    'Its name everywhere: in Locust, Prometheus, reports and baselines.';
COMMENT ON COLUMN observability.critical_query.parameters_spec IS
    'Names of the parameters and how their values are drawn.';
COMMENT ON COLUMN observability.critical_query.weight IS
    'Its share of the load, relative to the other queries.';
COMMENT ON COLUMN observability.critical_query.user_path IS
    'What a user does when this query runs.';

-- One version of a query is in force; also finds it by its code.
CREATE UNIQUE INDEX critical_query_active_idx
    ON observability.critical_query (business_id, query_code)
    WHERE status = 'active';

-- FK: the queries somebody answers for.
CREATE INDEX critical_query_owner_idx
    ON observability.critical_query (business_id, owner_user_account_id)
    WHERE owner_user_account_id IS NOT NULL;

ALTER TABLE observability.critical_query ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.critical_query
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON observability.critical_query TO app_user;
GRANT SELECT ON observability.critical_query TO app_readonly;

CREATE TRIGGER critical_query_touch
    BEFORE UPDATE ON observability.critical_query
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE observability.query_budget (
    business_id       uuid                     NOT NULL,
    query_budget_id   uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    critical_query_id uuid                     NOT NULL,
    condition         text                     NOT NULL DEFAULT 'nominal_load',
    p50_ms            system_core.milliseconds,
    p95_ms            system_core.milliseconds NOT NULL,
    p99_ms            system_core.milliseconds,
    max_error_pct     system_core.percentage   NOT NULL DEFAULT 0,
    max_rows_scanned  bigint,
    max_shared_reads  bigint,
    forbidden_nodes   text[]                   NOT NULL DEFAULT '{}',
    minimum_samples   integer                  NOT NULL DEFAULT 100,
    gate              text                     NOT NULL DEFAULT 'block',
    effective_from    date                     NOT NULL DEFAULT current_date,
    effective_until   date,
    created_at        timestamptz              NOT NULL DEFAULT now(),
    updated_at        timestamptz              NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, query_budget_id),
    FOREIGN KEY (business_id, critical_query_id)
        REFERENCES observability.critical_query (business_id, critical_query_id),
    CONSTRAINT query_budget_condition_known
        CHECK (condition IN ('idle', 'nominal_load', 'peak_load', 'cold_cache', 'citus')),
    CONSTRAINT query_budget_gate_known CHECK (gate IN ('block', 'warn', 'record')),
    CONSTRAINT query_budget_quantiles_in_order CHECK (p50_ms <= p95_ms AND p95_ms <= p99_ms),
    CONSTRAINT query_budget_median_below_p99 CHECK (p50_ms <= p99_ms),
    CONSTRAINT query_budget_nobody_waits_longer CHECK (p95_ms > 0 AND p95_ms <= 300),
    CONSTRAINT query_budget_errors_bounded CHECK (max_error_pct BETWEEN 0 AND 100),
    CONSTRAINT query_budget_limits_not_negative
        CHECK (max_rows_scanned >= 0 AND max_shared_reads >= 0),
    CONSTRAINT query_budget_samples_positive CHECK (minimum_samples > 0),
    CONSTRAINT query_budget_block_needs_samples CHECK (gate <> 'block' OR minimum_samples >= 100),
    CONSTRAINT query_budget_ends_after_begin CHECK (effective_until > effective_from),
    CONSTRAINT query_budget_one_at_a_time EXCLUDE USING gist (
        business_id WITH =, critical_query_id WITH =, condition WITH =,
        daterange(effective_from, effective_until) WITH &&)
);

COMMENT ON TABLE observability.query_budget IS
    'What a critical query may cost under a condition, and what happens when it costs more.';
COMMENT ON COLUMN observability.query_budget.forbidden_nodes IS
    'Plan nodes that must not appear, such as Seq Scan.';
COMMENT ON COLUMN observability.query_budget.gate IS
    'block fails the run, warn tells, record only keeps the figure.';
COMMENT ON COLUMN observability.query_budget.effective_until IS
    'First day on which it no longer holds; open while it is in force.';

-- FK: the budgets of a query, the newest first.
CREATE INDEX query_budget_query_idx
    ON observability.query_budget (business_id, critical_query_id, condition, effective_from DESC);

ALTER TABLE observability.query_budget ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.query_budget
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON observability.query_budget TO app_user;
GRANT SELECT ON observability.query_budget TO app_readonly;

CREATE TRIGGER query_budget_touch
    BEFORE UPDATE ON observability.query_budget
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE FUNCTION observability.stated_queries(document jsonb) RETURNS TABLE (
    query_code text, title text, access text, sql_template text, parameters_spec jsonb,
    tables_expected text[], expected_plan text, weight integer, source_file text,
    condition text, p95_ms numeric, minimum_samples integer
)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT t.query_code, t.title, t.access, t.sql_template, t.parameters_spec,
           ARRAY(SELECT jsonb_array_elements_text(t.tables_expected)), t.expected_plan, t.weight,
           t.source_file, t.condition, t.p95_ms, t.minimum_samples
    FROM JSON_TABLE(document, '$[*]' COLUMNS (
        query_code      text    PATH '$.query_code',
        title           text    PATH '$.title',
        access          text    PATH '$.access'          DEFAULT 'read' ON EMPTY,
        sql_template    text    PATH '$.sql_template',
        parameters_spec jsonb   PATH '$.parameters_spec' DEFAULT '{}' ON EMPTY,
        tables_expected jsonb   PATH '$.tables_expected' DEFAULT '[]' ON EMPTY,
        expected_plan   text    PATH '$.expected_plan',
        weight          integer PATH '$.weight'          DEFAULT 1 ON EMPTY,
        source_file     text    PATH '$.source_file',
        condition       text    PATH '$.condition'       DEFAULT 'nominal_load' ON EMPTY,
        p95_ms          numeric PATH '$.p95_ms',
        minimum_samples integer PATH '$.minimum_samples' DEFAULT 100 ON EMPTY
    )) AS t;
END;
COMMENT ON FUNCTION observability.stated_queries(jsonb) IS
    'The critical queries that a document states, a row each.';


CREATE FUNCTION observability.register_critical_queries(document jsonb) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant     CONSTANT uuid := tenant_mgmt.current_business_id();
    registered integer;
BEGIN
    UPDATE observability.critical_query AS q
    SET status = 'retired'
    FROM observability.stated_queries(document) AS s
    WHERE q.business_id = tenant AND q.query_code = s.query_code AND q.status = 'active'
      AND q.sql_template <> s.sql_template;

    UPDATE observability.critical_query AS q
    SET title = s.title, access = s.access, weight = s.weight, source_file = s.source_file,
        parameters_spec = s.parameters_spec, tables_expected = s.tables_expected,
        expected_plan = s.expected_plan
    FROM observability.stated_queries(document) AS s
    WHERE q.business_id = tenant AND q.query_code = s.query_code AND q.status = 'active'
      AND (q.title, q.access, q.weight, q.source_file, q.parameters_spec::jsonb,
           q.tables_expected, q.expected_plan)
          IS DISTINCT FROM (s.title, s.access, s.weight, s.source_file, s.parameters_spec,
                            s.tables_expected, s.expected_plan);

    INSERT INTO observability.critical_query (
        business_id, query_code, schema_name, title, access, sql_template, parameters_spec,
        tables_expected, expected_plan, weight, version_no, source_file)
    SELECT tenant, s.query_code, split_part(s.query_code, '.', 1), s.title, s.access,
           s.sql_template, s.parameters_spec, s.tables_expected, s.expected_plan, s.weight,
           1 + coalesce((SELECT max(q.version_no) FROM observability.critical_query AS q
                         WHERE q.business_id = tenant AND q.query_code = s.query_code), 0),
           s.source_file
    FROM observability.stated_queries(document) AS s
    WHERE NOT EXISTS (SELECT FROM observability.critical_query AS q
                      WHERE q.business_id = tenant AND q.query_code = s.query_code
                        AND q.status = 'active');
    GET DIAGNOSTICS registered = ROW_COUNT;

    PERFORM observability.agree_budget(q.critical_query_id, s.condition, s.p95_ms,
                                       s.minimum_samples)
    FROM observability.stated_queries(document) AS s
    JOIN observability.critical_query AS q
        ON q.business_id = tenant AND q.query_code = s.query_code AND q.status = 'active'
    WHERE s.p95_ms IS NOT NULL;
    RETURN registered;
END
$$;
COMMENT ON FUNCTION observability.register_critical_queries(jsonb) IS
    'Takes over the critical queries of the tenant from an array of {query_code, title, access,
     sql_template, weight, p95_ms, …} and returns how many versions are new. A changed text
     retires the version before it; a changed budget ends the budget before it today.';


CREATE FUNCTION observability.agree_budget(
    of_query        uuid,
    for_condition   text,
    promised_p95_ms numeric,
    samples         integer DEFAULT 100
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    held   observability.query_budget;
    agreed uuid;
BEGIN
    SELECT * INTO held
    FROM observability.query_budget AS b
    WHERE b.business_id = tenant AND b.critical_query_id = of_query
      AND b.condition = for_condition
      AND b.effective_from <= current_date
      AND (b.effective_until IS NULL OR b.effective_until > current_date)
    FOR UPDATE;
    IF (held.p95_ms, held.minimum_samples) = (promised_p95_ms, samples) THEN
        RETURN held.query_budget_id;
    END IF;

    -- A budget of today was never in force for a whole day: it is mended, not ended.
    IF held.effective_from = current_date THEN
        UPDATE observability.query_budget AS b
        SET p95_ms = promised_p95_ms, minimum_samples = samples,
            gate = CASE WHEN samples < 100 THEN 'warn' ELSE b.gate END
        WHERE b.business_id = tenant AND b.query_budget_id = held.query_budget_id;
        RETURN held.query_budget_id;
    END IF;
    UPDATE observability.query_budget AS b
    SET effective_until = current_date
    WHERE b.business_id = tenant AND b.query_budget_id = held.query_budget_id;
    INSERT INTO observability.query_budget (
        business_id, critical_query_id, condition, p95_ms, minimum_samples, gate)
    VALUES (tenant, of_query, for_condition, promised_p95_ms, samples,
            CASE WHEN samples < 100 THEN 'warn' ELSE 'block' END)
    RETURNING query_budget_id INTO agreed;
    RETURN agreed;
END
$$;
COMMENT ON FUNCTION observability.agree_budget(uuid, text, numeric, integer) IS
    'The budget of a query that holds from today under a condition; ends the one before it where
     the promise differs. Fewer than 100 samples can warn but not block.';
