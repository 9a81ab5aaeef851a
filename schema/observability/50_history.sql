/*
 * History: what a run of the harness leaves behind.
 *
 * store_run() takes a run document (run.json) apart: the instance it ran against, the filling,
 * the checks with their findings and probes, the load with its results, measured against the
 * budgets. The document itself stays in harness_run, so that a later release can derive anew.
 */

CREATE FUNCTION observability.instance_of(document jsonb) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  CONSTANT uuid := tenant_mgmt.current_business_id();
    place   CONSTANT text := document #>> '{environment,database}';
    base    CONSTANT text := split_part(place, ' on ', 1);
    cluster CONSTANT text := coalesce(
        nullif(document #>> '{environment,system_identifier}', ''), 'unknown at ' || place);
    version CONSTANT text[] := regexp_split_to_array(document #>> '{environment,server}', '\D+');
    known   uuid;
BEGIN
    SELECT i.monitored_instance_id INTO known
    FROM observability.monitored_instance AS i
    WHERE i.business_id = tenant AND i.system_identifier = cluster AND i.database_name = base;
    IF known IS NULL THEN
        INSERT INTO observability.monitored_instance (
            business_id, name, host, database_name, server_version_num, system_identifier,
            track_io_timing)
        VALUES (tenant, base || ' @ ' || cluster,
                regexp_replace(substr(place, length(base) + 5), ':\d+$', ''), base,
                version[1]::integer * 10000 + version[2]::integer, cluster,
                coalesce(document #>> '{environment,settings,track_io_timing}' = 'on', false))
        RETURNING monitored_instance_id INTO known;
    END IF;
    RETURN known;
END
$$;
COMMENT ON FUNCTION observability.instance_of(jsonb) IS
    'The tenant''s instance that a run document was made on, remembered where it is new.';


CREATE FUNCTION observability.store_fill(document jsonb, instance uuid) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid  := tenant_mgmt.current_business_id();
    filled CONSTANT jsonb := document -> 'fill';
    stored uuid;
BEGIN
    IF jsonb_typeof(filled) IS DISTINCT FROM 'object' THEN
        RETURN NULL;
    END IF;
    INSERT INTO observability.generation_run (
        business_id, monitored_instance_id, seed, scale_factor, tenant_count, schemas_filled,
        status, row_counts, started_at, finished_at)
    SELECT tenant, instance, (filled ->> 'seed')::bigint, (filled ->> 'scale')::numeric,
           (filled ->> 'tenants')::integer,
           array_agg(DISTINCT split_part(t.name, '.', 1)),
           CASE WHEN bool_and(t.row_count > 0) THEN 'done' ELSE 'failed' END,
           jsonb_object_agg(t.name, t.row_count),
           (document ->> 'started_at')::timestamptz,
           (document ->> 'started_at')::timestamptz
               + (filled ->> 'seconds')::numeric * interval '1 second'
    FROM JSON_TABLE(filled, '$.tables[*]' COLUMNS (
        name      text   PATH '$.table',
        row_count bigint PATH '$.rows'
    )) AS t
    HAVING count(*) > 0
    RETURNING generation_run_id INTO stored;
    RETURN stored;
END
$$;
COMMENT ON FUNCTION observability.store_fill(jsonb, uuid) IS
    'Stores the filling of a run document; NULL where it has none.';


CREATE FUNCTION observability.stated_findings(document jsonb) RETURNS TABLE (
    fingerprint text, rule text, severity text, object text, message text, why text,
    evidence jsonb
)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT left(encode(sha256(
               convert_to(t.rule, 'UTF8') || '\x00'::bytea || convert_to(t.object, 'UTF8')
               || '\x00'::bytea || convert_to(t.message, 'UTF8')), 'hex'), 32),
           t.rule, t.severity, t.object, t.message, t.why,
           jsonb_build_object('file', t.file, 'line', t.line, 'fix', t.fix)
    FROM JSON_TABLE(document, '$.findings[*]' COLUMNS (
        rule     text    PATH '$.rule',
        severity text    PATH '$.severity',
        object   text    PATH '$.object',
        message  text    PATH '$.message',
        why      text    PATH '$.why',
        fix      text    PATH '$.fix',
        file     text    PATH '$.location.file',
        line     integer PATH '$.location.line'
    )) AS t;
END;
COMMENT ON FUNCTION observability.stated_findings(jsonb) IS
    'The findings of a run document, a row each, with the fingerprint that they are known by.';


CREATE FUNCTION observability.store_findings(
    document jsonb, instance uuid, run_of_load uuid, rules jsonb
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant   CONSTANT uuid        := tenant_mgmt.current_business_id();
    begun    CONSTANT timestamptz := (document ->> 'started_at')::timestamptz;
    stage    CONSTANT jsonb       := jsonb_path_query_first(
        document, '$.stages[*] ? (@.name == "check static")');
    seconds  CONSTANT numeric     := coalesce((stage ->> 'seconds')::numeric, 0);
    stored   uuid;
BEGIN
    IF stage IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO observability.check_definition (
        business_id, check_code, title, family, severity, engine, rationale, blocks_ci)
    SELECT tenant, r.code, r.title, 'static_sql', r.severity, 'pglast', r.why,
           r.severity IN ('error', 'critical')
    FROM JSON_TABLE(rules, '$[*]' COLUMNS (
        code     text PATH '$.code',
        title    text PATH '$.title',
        severity text PATH '$.severity',
        why      text PATH '$.why'
    )) AS r
    ON CONFLICT (business_id, check_code) DO NOTHING;

    INSERT INTO observability.check_run (
        business_id, monitored_instance_id, load_run_id, family, git_commit, objects_checked,
        checks_run, findings_open, verdict, started_at, finished_at)
    SELECT tenant, instance, run_of_load, 'static_sql',
           nullif(document #>> '{environment,commit}', ''),
           greatest(1, (SELECT coalesce(sum((o.value ->> 'tables')::integer), 0)
                        FROM jsonb_each(document #> '{deploy,objects}') AS o)),
           greatest(1, jsonb_array_length(rules)), jsonb_array_length(document -> 'findings'),
           CASE stage ->> 'status' WHEN 'held' THEN 'pass' WHEN 'error' THEN 'error'
                                   ELSE 'fail' END,
           begun, begun + seconds * interval '1 second'
    RETURNING check_run_id INTO stored;

    PERFORM observability.upsert_findings(coalesce(jsonb_agg(jsonb_build_object(
        'business_id', tenant, 'check_run_id', stored, 'check_code', s.rule,
        'fingerprint', s.fingerprint, 'schema_name', split_part(s.object, '.', 1),
        'object_name', s.object, 'title', s.message, 'detail', s.why,
        'severity', s.severity, 'evidence', s.evidence, 'seen_at', begun)), '[]'))
    FROM observability.stated_findings(document) AS s;
    PERFORM observability.close_missing_findings(stored);
    RETURN stored;
END
$$;
COMMENT ON FUNCTION observability.store_findings(jsonb, uuid, uuid, jsonb) IS
    'Stores the static check of a run document as a check run: findings that are new are opened,
     those seen again counted, those gone closed. `rules` is [{code, title, severity, why}].';


CREATE FUNCTION observability.store_probes(
    document jsonb, instance uuid, run_of_load uuid
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  CONSTANT uuid        := tenant_mgmt.current_business_id();
    begun   CONSTANT timestamptz := (document ->> 'started_at')::timestamptz;
    stage   CONSTANT jsonb       := jsonb_path_query_first(
        document, '$.stages[*] ? (@.name == "check isolation")');
    seconds CONSTANT numeric     := coalesce((stage ->> 'seconds')::numeric, 0);
    leaks   CONSTANT integer     := jsonb_array_length(jsonb_path_query_array(
        document, '$.probes[*] ? (@.verdict == "leak")'));
    stored  uuid;
BEGIN
    IF stage IS NULL OR jsonb_array_length(document -> 'probes') = 0 THEN
        RETURN NULL;
    END IF;
    INSERT INTO observability.check_run (
        business_id, monitored_instance_id, load_run_id, family, git_commit, objects_checked,
        checks_run, findings_open, verdict, started_at, finished_at)
    SELECT tenant, instance, run_of_load, 'isolation',
           nullif(document #>> '{environment,commit}', ''), count(DISTINCT p.object), count(*),
           leaks, CASE stage ->> 'status' WHEN 'held' THEN 'pass' WHEN 'error' THEN 'error'
                                          ELSE 'fail' END,
           begun, begun + seconds * interval '1 second'
    FROM JSON_TABLE(document, '$.probes[*]' COLUMNS (object text PATH '$.object')) AS p
    RETURNING check_run_id INTO stored;

    INSERT INTO observability.isolation_probe (
        business_id, check_run_id, subject_business_id, attacker_business_id, schema_name,
        object_name, object_kind, attempt, expected, observed_rows, outcome, probed_at)
    SELECT tenant, stored, (document #>> '{attacked,victim}')::uuid,
           (document #>> '{attacked,attacker}')::uuid,
           split_part(p.object, '.', 1), p.object, 'table',
           CASE p.probe WHEN 'no_tenant' THEN 'unset_setting' WHEN 'left_over' THEN 'unset_setting'
                        WHEN 'move' THEN 'update' WHEN 'insert' THEN 'insert'
                        WHEN 'update' THEN 'update' WHEN 'delete' THEN 'delete'
                        ELSE 'select' END,
           CASE p.probe WHEN 'no_tenant' THEN 'error' WHEN 'insert' THEN 'denied'
                        WHEN 'move' THEN 'denied' ELSE 'zero_rows' END,
           (p.verdict = 'leak')::integer,
           CASE p.verdict WHEN 'held' THEN 'isolated' WHEN 'leak' THEN 'leak'
                          WHEN 'error' THEN 'wrong_error' ELSE 'not_applicable' END,
           begun
    FROM JSON_TABLE(document, '$.probes[*]' COLUMNS (
        object  text PATH '$.object',
        probe   text PATH '$.probe',
        verdict text PATH '$.verdict'
    )) AS p
    WHERE jsonb_typeof(document -> 'attacked') = 'object';
    RETURN stored;
END
$$;
COMMENT ON FUNCTION observability.store_probes(jsonb, uuid, uuid) IS
    'Stores the isolation check of a run document as a check run with its probes; NULL where it
     has none.';


CREATE FUNCTION observability.loaded_queries(document jsonb) RETURNS TABLE (
    name text, title text, mode text, statement text, budget_ms numeric, quantile numeric,
    samples integer, errors integer, verdict text, p50 numeric, p95 numeric, p99 numeric,
    max numeric
)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT t.name, t.title, t.mode, t.statement, t.budget_ms, t.quantile, t.samples, t.errors,
           t.verdict, t.p50, t.p95, t.p99, t.max
    FROM JSON_TABLE(document, '$.load.queries[*]' COLUMNS (
        name      text    PATH '$.name',
        title     text    PATH '$.title',
        mode      text    PATH '$.mode',
        statement text    PATH '$.statement',
        budget_ms numeric PATH '$.budget_ms',
        quantile  numeric PATH '$.quantile',
        samples   integer PATH '$.samples',
        errors    integer PATH '$.errors',
        verdict   text    PATH '$.verdict',
        p50       numeric PATH '$.latency.p50',
        p95       numeric PATH '$.latency.p95',
        p99       numeric PATH '$.latency.p99',
        max       numeric PATH '$.latency.max'
    )) AS t;
END;
COMMENT ON FUNCTION observability.loaded_queries(jsonb) IS
    'The critical queries of the load of a run document, a row each; latencies in ms.';


CREATE FUNCTION observability.has_held(document jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN NOT (
        jsonb_path_exists(document, '$.stages[*] ? (@.status != "held" && @.status != "skipped")')
        OR jsonb_path_exists(document,
                             '$.probes[*] ? (@.verdict != "held" && @.verdict != "noted")')
        OR jsonb_path_exists(document, '$.load.queries[*] ? (@.verdict != "pass")')
        OR jsonb_path_exists(document, CASE coalesce(document ->> 'fail_on', 'warning')
            WHEN 'error'   THEN jsonpath '$.findings[*] ? (@.severity == "error")'
            WHEN 'warning' THEN jsonpath '$.findings[*] ? (@.severity != "info")'
            WHEN 'info'    THEN jsonpath '$.findings[*]'
            ELSE                jsonpath '$.none' END));
COMMENT ON FUNCTION observability.has_held(jsonb) IS
    'Whether everything held that a run document tells of: no stage failed, no probe leaked or
     proved nothing, no budget was missed, no finding reached the severity that fails a run.';


CREATE FUNCTION observability.scenario_of(document jsonb) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  CONSTANT uuid    := tenant_mgmt.current_business_id();
    users   CONSTANT integer := (document #>> '{load,users}')::integer;
    warmup  CONSTANT integer := ceil((document #>> '{load,warmup_seconds}')::numeric);
    seconds CONSTANT integer := ceil((document #>> '{load,seconds}')::numeric) + warmup;
    scale   CONSTANT numeric := coalesce((document #>> '{fill,scale}')::numeric, 1);
    known   uuid;
BEGIN
    SELECT s.load_scenario_id INTO known
    FROM observability.load_scenario AS s
    WHERE s.business_id = tenant AND s.code = 'critical_queries' AND s.target_users = users
      AND s.duration_seconds = seconds AND s.ramp_seconds = warmup AND s.data_scale = scale;
    IF known IS NULL THEN
        INSERT INTO observability.load_scenario (
            business_id, code, title, user_mix, target_users, ramp_seconds, duration_seconds,
            data_scale, version_no)
        SELECT tenant, 'critical_queries',
               format('All critical queries, %s users, %s seconds', users, seconds),
               '{"critical_queries": 1}', users, warmup, seconds, scale,
               1 + coalesce(max(s.version_no), 0)
        FROM observability.load_scenario AS s
        WHERE s.business_id = tenant AND s.code = 'critical_queries'
        RETURNING load_scenario_id INTO known;
    END IF;
    RETURN known;
END
$$;
COMMENT ON FUNCTION observability.scenario_of(jsonb) IS
    'The tenant''s scenario that the load of a run document followed: another number of users,
     duration or scale is another version of it.';


CREATE FUNCTION observability.store_load(
    document jsonb, run uuid, instance uuid, filling uuid, histograms jsonb
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant   CONSTANT uuid        := tenant_mgmt.current_business_id();
    measured CONSTANT jsonb       := document -> 'load';
    ended    CONSTANT timestamptz := (document ->> 'finished_at')::timestamptz;
    seconds  CONSTANT numeric     := (measured ->> 'seconds')::numeric;
    warmup   CONSTANT numeric     := (measured ->> 'warmup_seconds')::numeric;
    stored   uuid;
BEGIN
    IF jsonb_typeof(measured) IS DISTINCT FROM 'object' THEN
        RETURN NULL;
    END IF;
    PERFORM observability.register_critical_queries(jsonb_agg(jsonb_build_object(
        'query_code', q.name, 'title', q.title, 'access', q.mode,
        'sql_template', coalesce(nullif(q.statement, ''), q.title), 'p95_ms', q.budget_ms)))
    FROM observability.loaded_queries(document) AS q
    WHERE q.quantile = 0.95;

    INSERT INTO observability.load_run (
        business_id, load_scenario_id, monitored_instance_id, generation_run_id, harness_run_id,
        run_label, git_commit, status, users_peak, requests_total, failures_total, rps_mean,
        environment, started_at, warmed_up_at)
    SELECT tenant, observability.scenario_of(document), instance, filling, run,
           document ->> 'id', nullif(document #>> '{environment,commit}', ''), 'starting',
           (measured ->> 'users')::integer, coalesce(sum(q.samples + q.errors), 0),
           coalesce(sum(q.errors), 0), (measured ->> 'requests_per_second')::numeric,
           document -> 'environment', ended - (seconds + warmup) * interval '1 second',
           ended - seconds * interval '1 second'
    FROM observability.loaded_queries(document) AS q
    RETURNING load_run_id INTO stored;

    INSERT INTO observability.load_endpoint_result (
        business_id, load_run_id, critical_query_id, endpoint_name, request_kind, request_count,
        failure_count, p50_ms, p95_ms, p99_ms, max_ms, rps, histogram)
    SELECT tenant, stored, c.critical_query_id, q.name, q.mode, q.samples + q.errors, q.errors,
           q.p50, q.p95, q.p99, q.max, round(q.samples / greatest(seconds, 0.001), 6),
           coalesce(histograms -> q.name, '[]')
    FROM observability.loaded_queries(document) AS q
    LEFT JOIN observability.critical_query AS c
        ON c.business_id = tenant AND c.query_code = q.name AND c.status = 'active';

    UPDATE observability.load_run AS r
    SET status = 'running'
    WHERE r.business_id = tenant AND r.load_run_id = stored;
    UPDATE observability.load_run AS r
    SET status = 'finished', finished_at = ended,
        verdict = CASE WHEN EXISTS (SELECT FROM observability.loaded_queries(document) AS q
                                    WHERE q.verdict = 'miss') THEN 'fail'
                       WHEN EXISTS (SELECT FROM observability.loaded_queries(document) AS q
                                    WHERE q.verdict = 'inconclusive') THEN 'inconclusive'
                       ELSE 'pass' END
    WHERE r.business_id = tenant AND r.load_run_id = stored;
    PERFORM observability.evaluate_budgets(stored);
    RETURN stored;
END
$$;
COMMENT ON FUNCTION observability.store_load(jsonb, uuid, uuid, uuid, jsonb) IS
    'Stores the load of a run document, registers its critical queries with their budgets, and
     holds it against them. `histograms` is {query: [{le_ms, count}]}.';


CREATE FUNCTION observability.store_run(
    document   jsonb,
    histograms jsonb DEFAULT '{}',
    rules      jsonb DEFAULT '[]'
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant   CONSTANT uuid := tenant_mgmt.current_business_id();
    run      CONSTANT uuid := (document ->> 'id')::uuid;
    instance uuid;
    of_load  uuid;
BEGIN
    IF EXISTS (SELECT FROM observability.harness_run AS r
               WHERE r.business_id = tenant AND r.harness_run_id = run) THEN
        RETURN run;
    END IF;
    instance := observability.instance_of(document);
    INSERT INTO observability.harness_run (
        business_id, harness_run_id, monitored_instance_id, command, harness_version,
        git_commit, has_held, document, started_at, finished_at)
    VALUES (tenant, run, instance, document ->> 'command',
            document #>> '{environment,harness_version}',
            nullif(document #>> '{environment,commit}', ''), observability.has_held(document),
            document, (document ->> 'started_at')::timestamptz,
            (document ->> 'finished_at')::timestamptz);
    of_load := observability.store_load(
        document, run, instance, observability.store_fill(document, instance), histograms);
    PERFORM observability.store_findings(document, instance, of_load, rules);
    PERFORM observability.store_probes(document, instance, of_load);
    RETURN run;
END
$$;
COMMENT ON FUNCTION observability.store_run(jsonb, jsonb, jsonb) IS
    'Stores a run document for the tenant with all that can be derived from it; does nothing
     for one that is there.';


CREATE VIEW observability.v_harness_run WITH (security_invoker = true) AS
SELECT r.business_id, r.harness_run_id, r.started_at, r.finished_at, r.command, r.git_commit,
       r.has_held, i.name AS instance_name, i.database_name, i.server_version_num,
       d.rows_filled, d.findings, d.probes, d.leaks, d.queries, d.missed
FROM observability.harness_run AS r
JOIN observability.monitored_instance AS i
    ON i.business_id = r.business_id AND i.monitored_instance_id = r.monitored_instance_id
CROSS JOIN LATERAL (
    SELECT (SELECT sum(t.row_count)
            FROM JSON_TABLE(r.document, '$.fill.tables[*]'
                            COLUMNS (row_count bigint PATH '$.rows')) AS t)    AS rows_filled,
           coalesce(jsonb_array_length(r.document -> 'findings'), 0)           AS findings,
           coalesce(jsonb_array_length(r.document -> 'probes'), 0)             AS probes,
           jsonb_array_length(jsonb_path_query_array(
               r.document, '$.probes[*] ? (@.verdict == "leak")'))             AS leaks,
           coalesce(jsonb_array_length(r.document #> '{load,queries}'), 0)     AS queries,
           jsonb_array_length(jsonb_path_query_array(
               r.document, '$.load.queries[*] ? (@.verdict != "pass")'))       AS missed
) AS d;
COMMENT ON VIEW observability.v_harness_run IS
    'A run of the harness in one line: where, when, how much of what, and whether all held.';
GRANT SELECT ON observability.v_harness_run TO app_user, app_readonly;
