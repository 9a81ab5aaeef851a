/*
 * Load: scenarios, their runs, and what came out.
 *
 * load_scenario describes a workload in versions; load_run is one execution of it against an
 * instance, load_endpoint_result the latencies of one query in it as a histogram, load_sample its
 * time line by the second.
 */

CREATE TABLE observability.load_scenario (
    business_id           uuid                     NOT NULL,
    load_scenario_id      uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    owner_user_account_id uuid,
    code                  system_core.code         NOT NULL,
    title                 text                     NOT NULL,
    user_mix              system_core.json_object  NOT NULL,
    arrival               text                     NOT NULL DEFAULT 'closed',
    target_users          integer,
    target_rps            numeric(18, 6),
    ramp_seconds          integer                  NOT NULL DEFAULT 0,
    duration_seconds      integer                  NOT NULL,
    tenant_selection      text                     NOT NULL DEFAULT 'uniform',
    think_time_ms         system_core.milliseconds NOT NULL DEFAULT 0,
    data_scale            numeric(18, 6)           NOT NULL DEFAULT 1,
    version_no            integer                  NOT NULL DEFAULT 1,
    is_ci_gate            boolean                  NOT NULL DEFAULT false,
    created_at            timestamptz              NOT NULL DEFAULT now(),
    updated_at            timestamptz              NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, load_scenario_id),
    UNIQUE (business_id, code, version_no),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT load_scenario_arrival_known
        CHECK (arrival IN ('closed', 'open', 'step', 'spike', 'soak')),
    CONSTRAINT load_scenario_tenant_selection_known
        CHECK (tenant_selection IN ('uniform', 'zipf', 'single_hot', 'fixed_set')),
    CONSTRAINT load_scenario_one_target
        CHECK (arrival NOT IN ('closed', 'open') OR num_nonnulls(target_users, target_rps) = 1),
    CONSTRAINT load_scenario_has_target CHECK (num_nonnulls(target_users, target_rps) >= 1),
    CONSTRAINT load_scenario_targets_positive CHECK (target_users > 0 AND target_rps > 0),
    CONSTRAINT load_scenario_lasts_beyond_ramp
        CHECK (ramp_seconds >= 0 AND duration_seconds > ramp_seconds),
    CONSTRAINT load_scenario_scale_positive CHECK (data_scale > 0),
    CONSTRAINT load_scenario_version_positive CHECK (version_no > 0)
);

COMMENT ON TABLE observability.load_scenario IS
    'A workload: who does what how often, how requests arrive, how tenants are chosen.';
COMMENT ON COLUMN observability.load_scenario.user_mix IS
    'Class of users to its share; the shares sum to 1.';
COMMENT ON COLUMN observability.load_scenario.arrival IS
    'closed: so many users, each waits for its answer; open: so many requests a second, answered
     or not; step, spike and soak vary these over time.';
COMMENT ON COLUMN observability.load_scenario.data_scale IS
    'Size of the tenants that it is meant for; 1 is about 100,000 rows for a small one.';

-- FK: the scenarios somebody answers for.
CREATE INDEX load_scenario_owner_idx
    ON observability.load_scenario (business_id, owner_user_account_id)
    WHERE owner_user_account_id IS NOT NULL;

ALTER TABLE observability.load_scenario ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.load_scenario
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON observability.load_scenario TO app_user;
GRANT SELECT ON observability.load_scenario TO app_readonly;

CREATE TRIGGER load_scenario_touch
    BEFORE UPDATE ON observability.load_scenario
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION observability.require_whole_mix() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF abs(1 - (SELECT sum(s.value::numeric) FROM jsonb_each_text(NEW.user_mix) AS s)) <= 0.001
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the shares of user_mix do not sum to 1: %', NEW.user_mix
        USING ERRCODE = 'check_violation',
              HINT = 'Give every class of users its part of 1.';
END
$$;
COMMENT ON FUNCTION observability.require_whole_mix() IS
    'The shares of a scenario''s classes of users sum to 1, to the nearest thousandth.';

CREATE TRIGGER load_scenario_mix_is_whole
    BEFORE INSERT OR UPDATE OF user_mix ON observability.load_scenario
    FOR EACH ROW EXECUTE FUNCTION observability.require_whole_mix();


CREATE TABLE observability.load_run (
    business_id           uuid                    NOT NULL,
    load_run_id           uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    load_scenario_id      uuid                    NOT NULL,
    monitored_instance_id uuid                    NOT NULL,
    generation_run_id     uuid,
    harness_run_id        uuid,
    run_label             text                    NOT NULL,
    git_commit            text,
    status                text                    NOT NULL DEFAULT 'starting',
    users_peak            integer                 NOT NULL DEFAULT 0,
    requests_total        bigint                  NOT NULL DEFAULT 0,
    failures_total        bigint                  NOT NULL DEFAULT 0,
    rps_mean              numeric(18, 6),
    worker_count          integer                 NOT NULL DEFAULT 1,
    client_cpu_pct_max    system_core.percentage,
    environment           system_core.json_object NOT NULL DEFAULT '{}',
    verdict               text,
    abort_reason          text,
    started_at            timestamptz             NOT NULL DEFAULT now(),
    warmed_up_at          timestamptz,
    finished_at           timestamptz,
    created_at            timestamptz             NOT NULL DEFAULT now(),
    updated_at            timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, load_run_id),
    UNIQUE (business_id, run_label),
    FOREIGN KEY (business_id, load_scenario_id)
        REFERENCES observability.load_scenario (business_id, load_scenario_id),
    FOREIGN KEY (business_id, monitored_instance_id)
        REFERENCES observability.monitored_instance (business_id, monitored_instance_id),
    FOREIGN KEY (business_id, generation_run_id)
        REFERENCES observability.generation_run (business_id, generation_run_id),
    FOREIGN KEY (business_id, harness_run_id)
        REFERENCES observability.harness_run (business_id, harness_run_id),
    CONSTRAINT load_run_status_known
        CHECK (status IN ('starting', 'running', 'finished', 'aborted', 'failed')),
    CONSTRAINT load_run_verdict_known CHECK (verdict IN ('pass', 'fail', 'inconclusive')),
    CONSTRAINT load_run_times_in_order
        CHECK (started_at <= warmed_up_at AND warmed_up_at <= finished_at),
    CONSTRAINT load_run_ends_after_start CHECK (finished_at >= started_at),
    CONSTRAINT load_run_ended_has_time
        CHECK ((status IN ('finished', 'aborted', 'failed')) = (finished_at IS NOT NULL)),
    CONSTRAINT load_run_finished_has_verdict CHECK (status <> 'finished' OR verdict IS NOT NULL),
    CONSTRAINT load_run_judged_when_finished CHECK (verdict IS NULL OR status = 'finished'),
    CONSTRAINT load_run_aborted_has_reason
        CHECK (status NOT IN ('aborted', 'failed') OR abort_reason IS NOT NULL),
    CONSTRAINT load_run_failures_among_requests
        CHECK (failures_total BETWEEN 0 AND requests_total),
    CONSTRAINT load_run_counts_not_negative CHECK (users_peak >= 0 AND worker_count > 0),
    CONSTRAINT load_run_rate_not_negative CHECK (rps_mean >= 0),
    CONSTRAINT load_run_cpu_not_negative CHECK (client_cpu_pct_max >= 0)
);

COMMENT ON TABLE observability.load_run IS
    'One execution of a scenario: when, on what, how much, and the verdict.';
COMMENT ON COLUMN observability.load_run.client_cpu_pct_max IS
    'Highest use of one core by a load generator; above 85 it was the bottleneck itself.';
COMMENT ON COLUMN observability.load_run.environment IS
    'Host, cores, versions and settings that the figures depend on.';

-- FK: the runs of a scenario, the newest first.
CREATE INDEX load_run_scenario_idx
    ON observability.load_run (business_id, load_scenario_id, started_at DESC);

-- FK and history: the runs against an instance, the newest first.
CREATE INDEX load_run_instance_idx
    ON observability.load_run (business_id, monitored_instance_id, started_at DESC);

-- FK: the load of a run of the harness.
CREATE INDEX load_run_harness_run_idx
    ON observability.load_run (business_id, harness_run_id)
    WHERE harness_run_id IS NOT NULL;

-- FK: the runs on one filling of the database.
CREATE INDEX load_run_generation_run_idx
    ON observability.load_run (business_id, generation_run_id)
    WHERE generation_run_id IS NOT NULL;

ALTER TABLE observability.load_run ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.load_run
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON observability.load_run TO app_user;
GRANT SELECT ON observability.load_run TO app_readonly;

CREATE TRIGGER load_run_touch
    BEFORE UPDATE ON observability.load_run
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER load_run_status_machine
    BEFORE INSERT OR UPDATE OF status ON observability.load_run
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["starting"],
        "transitions": {
            "starting": ["running", "failed"],
            "running":  ["finished", "aborted", "failed"],
            "finished": [],
            "aborted":  [],
            "failed":   []
        }}');

CREATE FUNCTION observability.doubt_saturated_run() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.verdict := 'inconclusive';
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION observability.doubt_saturated_run() IS
    'A run whose load generator was the bottleneck says nothing about the database.';

CREATE TRIGGER load_run_doubt_saturated
    BEFORE INSERT OR UPDATE OF verdict, client_cpu_pct_max ON observability.load_run
    FOR EACH ROW WHEN (NEW.client_cpu_pct_max > 85 AND NEW.verdict IS NOT NULL)
    EXECUTE FUNCTION observability.doubt_saturated_run();

CREATE TABLE observability.load_endpoint_result (
    business_id             uuid                     NOT NULL,
    load_endpoint_result_id uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    load_run_id             uuid                     NOT NULL,
    critical_query_id       uuid,
    subject_business_id     uuid,
    endpoint_name           text                     NOT NULL,
    request_kind            text                     NOT NULL DEFAULT 'read',
    tenant_class            text                     NOT NULL DEFAULT 'all',
    request_count           integer                  NOT NULL,
    failure_count           integer                  NOT NULL DEFAULT 0,
    p50_ms                  system_core.milliseconds,
    p95_ms                  system_core.milliseconds,
    p99_ms                  system_core.milliseconds,
    max_ms                  system_core.milliseconds,
    rps                     numeric(18, 6)           NOT NULL DEFAULT 0,
    bytes_mean              bigint,
    histogram               system_core.json_array   NOT NULL DEFAULT '[]',
    warmup_excluded         boolean                  NOT NULL DEFAULT true,
    created_at              timestamptz              NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, load_endpoint_result_id),
    UNIQUE NULLS NOT DISTINCT
        (business_id, load_run_id, endpoint_name, tenant_class, subject_business_id),
    FOREIGN KEY (business_id, load_run_id)
        REFERENCES observability.load_run (business_id, load_run_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, critical_query_id)
        REFERENCES observability.critical_query (business_id, critical_query_id),
    CONSTRAINT load_endpoint_result_request_kind_known CHECK (request_kind IN ('read', 'write')),
    CONSTRAINT load_endpoint_result_tenant_class_known
        CHECK (tenant_class IN ('all', 'small', 'medium', 'large', 'hot')),
    CONSTRAINT load_endpoint_result_failures_among_requests
        CHECK (failure_count BETWEEN 0 AND request_count),
    CONSTRAINT load_endpoint_result_quantiles_in_order
        CHECK (p50_ms <= p95_ms AND p95_ms <= p99_ms AND p99_ms <= max_ms),
    CONSTRAINT load_endpoint_result_rate_not_negative CHECK (rps >= 0)
);

COMMENT ON TABLE observability.load_endpoint_result IS
    'Latencies of one kind of request in a run, of all tenants or of one class or tenant.';
COMMENT ON COLUMN observability.load_endpoint_result.histogram IS
    'Array of {le_ms, count}: so many requests took up to le_ms and longer than the one before.';
COMMENT ON COLUMN observability.load_endpoint_result.subject_business_id IS
    'The tenant it was measured for, where it was one; no foreign key.';

-- FK and history: the results of a query over runs.
CREATE INDEX load_endpoint_result_query_idx
    ON observability.load_endpoint_result (business_id, critical_query_id)
    WHERE critical_query_id IS NOT NULL;

ALTER TABLE observability.load_endpoint_result ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.load_endpoint_result
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON observability.load_endpoint_result TO app_user;
GRANT SELECT ON observability.load_endpoint_result TO app_readonly;

CREATE FUNCTION observability.require_whole_histogram() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    counted CONSTANT bigint := (
        SELECT coalesce(sum(b.count), 0)
        FROM JSON_TABLE(NEW.histogram, '$[*]' COLUMNS (count bigint PATH '$.count')) AS b);
BEGIN
    IF counted <> NEW.request_count - NEW.failure_count AND counted <> NEW.request_count THEN
        RAISE EXCEPTION 'the histogram of % holds % of % requests', NEW.endpoint_name, counted,
                        NEW.request_count
            USING ERRCODE = 'check_violation',
                  HINT = 'Count every request once, with or without the failed ones.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION observability.require_whole_histogram() IS
    'The counts of a histogram sum to the requests, or to those that did not fail.';

CREATE TRIGGER load_endpoint_result_histogram_is_whole
    BEFORE INSERT OR UPDATE OF histogram, request_count ON observability.load_endpoint_result
    FOR EACH ROW WHEN (NEW.histogram <> '[]')
    EXECUTE FUNCTION observability.require_whole_histogram();


CREATE TABLE observability.load_sample (
    business_id         uuid                     NOT NULL,
    load_sample_id      uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    load_run_id         uuid                     NOT NULL,
    users               integer                  NOT NULL,
    rps                 numeric(18, 6)           NOT NULL,
    failures_per_second numeric(18, 6)           NOT NULL DEFAULT 0,
    p50_ms              system_core.milliseconds,
    p95_ms              system_core.milliseconds,
    db_active_sessions  integer,
    db_cpu_pct          system_core.percentage,
    pool_waiting        integer,
    cache_hit_pct       system_core.percentage,
    sampled_at          timestamptz              NOT NULL DEFAULT now(),
    created_at          timestamptz              NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, load_sample_id, sampled_at),
    UNIQUE (business_id, load_run_id, sampled_at),
    FOREIGN KEY (business_id, load_run_id)
        REFERENCES observability.load_run (business_id, load_run_id) ON DELETE CASCADE,
    CONSTRAINT load_sample_counts_not_negative
        CHECK (users >= 0 AND db_active_sessions >= 0 AND pool_waiting >= 0),
    CONSTRAINT load_sample_rates_not_negative CHECK (rps >= 0 AND failures_per_second >= 0),
    CONSTRAINT load_sample_quantiles_in_order CHECK (p50_ms <= p95_ms),
    CONSTRAINT load_sample_hits_bounded CHECK (cache_hit_pct BETWEEN 0 AND 100)
) PARTITION BY RANGE (sampled_at);

COMMENT ON TABLE observability.load_sample IS
    'One second of a run: how many users, how fast, how many failures; append only.';

ALTER TABLE observability.load_sample ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.load_sample
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON observability.load_sample TO app_user;
GRANT SELECT ON observability.load_sample TO app_readonly;

CREATE TRIGGER load_sample_append_only
    BEFORE UPDATE OR DELETE ON observability.load_sample
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('observability.load_sample');

CREATE TABLE observability.load_sample_default PARTITION OF observability.load_sample DEFAULT;
ALTER TABLE observability.load_sample_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.load_sample_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('observability.load_sample', 'month', behind => 3, ahead => 1);


CREATE FUNCTION observability.histogram_percentile(histogram jsonb, q numeric) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (
        SELECT min(c.le_ms)
        FROM (
            SELECT b.le_ms,
                   sum(sum(b.count)) OVER (ORDER BY b.le_ms) AS up_to,
                   sum(sum(b.count)) OVER ()                 AS total
            FROM JSON_TABLE(histogram, '$[*]' COLUMNS (
                le_ms numeric PATH '$.le_ms',
                count bigint  PATH '$.count'
            )) AS b
            GROUP BY b.le_ms
        ) AS c
        WHERE c.total > 0 AND c.up_to >= greatest(1, ceil(c.total * q)));
COMMENT ON FUNCTION observability.histogram_percentile(jsonb, numeric) IS
    'The smallest bucket bound that at least the share q of all counts does not exceed (nearest
     rank). Histograms are merged by concatenating them, as jsonb || jsonb; NULL where empty.';


CREATE VIEW observability.v_load_run_summary WITH (security_invoker = true) AS
SELECT r.business_id, r.load_run_id, r.run_label, s.code AS scenario_code, i.name AS instance_name,
       r.git_commit, r.started_at, r.finished_at, r.status, r.verdict, r.requests_total,
       r.failures_total, r.rps_mean, worst.endpoint_name AS worst_endpoint,
       worst.p95_ms AS worst_p95_ms
FROM observability.load_run AS r
JOIN observability.load_scenario AS s
    ON s.business_id = r.business_id AND s.load_scenario_id = r.load_scenario_id
JOIN observability.monitored_instance AS i
    ON i.business_id = r.business_id AND i.monitored_instance_id = r.monitored_instance_id
LEFT JOIN LATERAL (
    SELECT e.endpoint_name, e.p95_ms
    FROM observability.load_endpoint_result AS e
    WHERE e.business_id = r.business_id AND e.load_run_id = r.load_run_id
      AND e.tenant_class = 'all' AND e.p95_ms IS NOT NULL
    ORDER BY e.p95_ms DESC
    LIMIT 1
) AS worst ON true;
COMMENT ON VIEW observability.v_load_run_summary IS
    'A load run in one line: on what, how much, with which verdict, and its slowest query.';
GRANT SELECT ON observability.v_load_run_summary TO app_user, app_readonly;
