/*
 * Platform: what runs behind the APIs.
 *
 * job_definition is a background task, job_run one execution of it. webhook_endpoint is a URL
 * of the tenant that wants events, webhook_delivery one call to it. integration_connection is
 * a connected outside system, external_id_map says which of its records is which of ours.
 * import_batch is an uploaded file, import_row one staged row of it. idempotency_key lets a
 * client repeat a write without doing it twice.
 */

CREATE TABLE system_core.job_definition (
    business_id           uuid                    NOT NULL,
    job_definition_id     uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    owner_user_account_id uuid,
    job_key               system_core.code        NOT NULL,
    description           text,
    queue_name            system_core.code        NOT NULL DEFAULT 'default',
    schedule_cron         system_core.cron,
    time_zone             system_core.time_zone   NOT NULL DEFAULT 'UTC',
    concurrency_limit     integer                 NOT NULL DEFAULT 1,
    timeout_seconds       integer                 NOT NULL DEFAULT 300,
    max_retries           integer                 NOT NULL DEFAULT 3,
    parameters            system_core.json_object NOT NULL DEFAULT '{}',
    is_enabled            boolean                 NOT NULL DEFAULT true,
    next_run_at           timestamptz,
    created_at            timestamptz             NOT NULL DEFAULT now(),
    updated_at            timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, job_definition_id),
    UNIQUE (business_id, job_key),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT job_definition_concurrency_bounded CHECK (concurrency_limit BETWEEN 1 AND 50),
    CONSTRAINT job_definition_timeout_within_a_day CHECK (timeout_seconds BETWEEN 1 AND 86400),
    CONSTRAINT job_definition_retries_bounded CHECK (max_retries BETWEEN 0 AND 20),
    CONSTRAINT job_definition_disabled_is_not_due CHECK (is_enabled OR next_run_at IS NULL)
);

COMMENT ON TABLE system_core.job_definition IS
    'A background task of the tenant, on a schedule or on demand.';
COMMENT ON COLUMN system_core.job_definition.schedule_cron IS
    'In the job''s time zone; NULL: on demand only.';

-- The scheduler: what is due.
CREATE INDEX job_definition_due_idx
    ON system_core.job_definition (business_id, next_run_at)
    WHERE next_run_at IS NOT NULL;

-- FK: whose jobs, asked when an account leaves.
CREATE INDEX job_definition_owner_idx
    ON system_core.job_definition (business_id, owner_user_account_id)
    WHERE owner_user_account_id IS NOT NULL;

ALTER TABLE system_core.job_definition ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.job_definition
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.job_definition TO app_user;
GRANT SELECT ON system_core.job_definition TO app_readonly;

CREATE TRIGGER job_definition_touch
    BEFORE UPDATE ON system_core.job_definition
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE system_core.job_run (
    business_id       uuid        NOT NULL,
    job_run_id        uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    job_definition_id uuid        NOT NULL,
    trigger_kind      text        NOT NULL,
    state             text        NOT NULL DEFAULT 'running',
    attempt_no        integer     NOT NULL DEFAULT 1,
    worker_host       text,
    rows_processed    bigint,
    result            jsonb,
    error_class       text,
    error_detail      text,
    started_at        timestamptz NOT NULL DEFAULT now(),
    finished_at       timestamptz,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, job_run_id, started_at),
    FOREIGN KEY (business_id, job_definition_id)
        REFERENCES system_core.job_definition (business_id, job_definition_id),
    CONSTRAINT job_run_trigger_kind_known
        CHECK (trigger_kind IN ('schedule', 'manual', 'event', 'retry')),
    CONSTRAINT job_run_state_known
        CHECK (state IN ('running', 'succeeded', 'failed', 'timed_out', 'cancelled', 'skipped')),
    CONSTRAINT job_run_attempts_count_from_1 CHECK (attempt_no >= 1),
    CONSTRAINT job_run_retry_is_a_later_attempt CHECK (trigger_kind <> 'retry' OR attempt_no > 1),
    CONSTRAINT job_run_unfinished_while_running
        CHECK ((state = 'running') = (finished_at IS NULL)),
    CONSTRAINT job_run_finished_after_start CHECK (finished_at >= started_at),
    CONSTRAINT job_run_failed_names_its_error CHECK (state <> 'failed' OR error_class IS NOT NULL),
    CONSTRAINT job_run_rows_not_negative CHECK (rows_processed >= 0)
) PARTITION BY RANGE (started_at);

COMMENT ON TABLE system_core.job_run IS 'One execution of a job: when, how it ended, what it did.';
COMMENT ON COLUMN system_core.job_run.result IS 'What the job reports about itself.';

-- v_job_last_run, and the history of a job; FK.
CREATE INDEX job_run_history_idx
    ON system_core.job_run (business_id, job_definition_id, started_at DESC);

-- The supervisor: runs that do not end.
CREATE INDEX job_run_running_idx
    ON system_core.job_run (business_id, started_at)
    WHERE state = 'running';

ALTER TABLE system_core.job_run ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.job_run
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.job_run TO app_user;
GRANT SELECT ON system_core.job_run TO app_readonly;

CREATE TABLE system_core.job_run_default PARTITION OF system_core.job_run DEFAULT;
ALTER TABLE system_core.job_run_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.job_run_default
    USING (business_id = tenant_mgmt.current_business_id());
SELECT system_core.create_partitions('system_core.job_run', 'month', behind => 13, ahead => 3);

CREATE TRIGGER job_run_touch
    BEFORE UPDATE ON system_core.job_run
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER job_run_state_machine
    BEFORE INSERT OR UPDATE OF state ON system_core.job_run
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["running", "skipped"],
        "transitions": {
            "running":   ["succeeded", "failed", "timed_out", "cancelled"],
            "succeeded": [],
            "failed":    [],
            "timed_out": [],
            "cancelled": [],
            "skipped":   []
        }}');

CREATE FUNCTION system_core.job_run_attempts_allowed() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    excess record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;  -- history was written under the limits of its time
    END IF;
    SELECT d.job_key, d.max_retries, r.attempt_no INTO excess
    FROM started AS r
    JOIN system_core.job_definition AS d USING (business_id, job_definition_id)
    WHERE r.attempt_no > d.max_retries + 1
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'job % has % retries: there is no attempt %',
                        excess.job_key, excess.max_retries, excess.attempt_no
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION system_core.job_run_attempts_allowed() IS
    'Refuses an attempt beyond the first and the job''s retries.';

CREATE TRIGGER job_run_attempts_allowed
    AFTER INSERT ON system_core.job_run
    REFERENCING NEW TABLE AS started
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.job_run_attempts_allowed();

CREATE VIEW system_core.v_job_last_run WITH (security_invoker = true) AS
SELECT d.business_id, d.job_definition_id, d.job_key, d.queue_name, d.is_enabled,
       last.job_run_id, last.state AS last_state, last.attempt_no, last.started_at,
       last.finished_at, last.finished_at - last.started_at AS duration,
       last.rows_processed, last.error_class,
       d.next_run_at,
       d.is_enabled AND coalesce(d.next_run_at < now(), false) AS is_overdue,
       coalesce(last.state = 'running'
                AND last.started_at + make_interval(secs => d.timeout_seconds) < now(),
                false) AS is_stuck
FROM system_core.job_definition AS d
LEFT JOIN LATERAL (
    SELECT r.*
    FROM system_core.job_run AS r
    WHERE r.business_id = d.business_id AND r.job_definition_id = d.job_definition_id
    ORDER BY r.started_at DESC
    LIMIT 1
) AS last ON true;
COMMENT ON VIEW system_core.v_job_last_run IS
    'The last result and the next run of each job; overdue: its time passed and nothing took it;
     stuck: it runs longer than it may.';
GRANT SELECT ON system_core.v_job_last_run TO app_user, app_readonly;


CREATE TABLE system_core.webhook_endpoint (
    business_id               uuid                    NOT NULL,
    webhook_endpoint_id       uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    url                       system_core.url         NOT NULL,
    description               text,
    event_types               text[]                  NOT NULL,
    api_version               text                    NOT NULL,
    signing_algorithm         text                    NOT NULL DEFAULT 'hmac_sha256',
    secret_ref                system_core.vault_ref   NOT NULL,
    custom_headers            system_core.json_object NOT NULL DEFAULT '{}',
    status                    text                    NOT NULL DEFAULT 'active',
    consecutive_failure_count integer                 NOT NULL DEFAULT 0,
    last_success_at           timestamptz,
    disabled_at               timestamptz,
    created_at                timestamptz             NOT NULL DEFAULT now(),
    updated_at                timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, webhook_endpoint_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT webhook_endpoint_url_encrypted CHECK (url ~ '^https://'),
    CONSTRAINT webhook_endpoint_wants_events CHECK (cardinality(event_types) > 0),
    CONSTRAINT webhook_endpoint_api_version_is_a_day
        CHECK (api_version ~ '^20[0-9]{2}-[01][0-9]-[0-3][0-9]$'),
    CONSTRAINT webhook_endpoint_signing_algorithm_known
        CHECK (signing_algorithm IN ('hmac_sha256', 'jwt_es256')),
    CONSTRAINT webhook_endpoint_status_known
        CHECK (status IN ('active', 'paused', 'disabled_failing')),
    CONSTRAINT webhook_endpoint_disabled_has_time
        CHECK ((status = 'disabled_failing') = (disabled_at IS NOT NULL)),
    CONSTRAINT webhook_endpoint_failures_not_negative CHECK (consecutive_failure_count >= 0)
);

COMMENT ON TABLE system_core.webhook_endpoint IS
    'A URL of the tenant that wants events, how they are signed, and whether it answers.';
COMMENT ON COLUMN system_core.webhook_endpoint.event_types IS 'Like {invoice.paid,job.*}.';
COMMENT ON COLUMN system_core.webhook_endpoint.consecutive_failure_count IS
    'Calls that failed since the last success; kept by webhook_delivery, as is last_success_at.';

ALTER TABLE system_core.webhook_endpoint ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.webhook_endpoint
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.webhook_endpoint TO app_user;
GRANT SELECT ON system_core.webhook_endpoint TO app_readonly;

CREATE TRIGGER webhook_endpoint_touch
    BEFORE UPDATE ON system_core.webhook_endpoint
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE system_core.webhook_delivery (
    business_id         uuid                     NOT NULL,
    webhook_delivery_id uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    webhook_endpoint_id uuid                     NOT NULL,
    event_key           uuid                     NOT NULL,
    event_type          system_core.code         NOT NULL,
    attempt_no          integer                  NOT NULL DEFAULT 1,
    state               text                     NOT NULL DEFAULT 'pending',
    request_body        system_core.json_object  NOT NULL,
    signature           text                     NOT NULL,
    response_status     integer,
    response_excerpt    text,
    duration_ms         system_core.milliseconds,
    attempted_at        timestamptz              NOT NULL DEFAULT now(),
    next_retry_at       timestamptz,
    created_at          timestamptz              NOT NULL DEFAULT now(),
    updated_at          timestamptz              NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, webhook_delivery_id, attempted_at),
    FOREIGN KEY (business_id, webhook_endpoint_id)
        REFERENCES system_core.webhook_endpoint (business_id, webhook_endpoint_id),
    CONSTRAINT webhook_delivery_state_known
        CHECK (state IN ('pending', 'succeeded', 'failed', 'exhausted')),
    CONSTRAINT webhook_delivery_at_most_12_attempts CHECK (attempt_no BETWEEN 1 AND 12),
    CONSTRAINT webhook_delivery_last_failure_exhausts CHECK (state <> 'failed' OR attempt_no < 12),
    CONSTRAINT webhook_delivery_exhausted_by_12_attempts
        CHECK (state <> 'exhausted' OR attempt_no = 12),
    CONSTRAINT webhook_delivery_only_failed_is_retried
        CHECK (state = 'failed' OR next_retry_at IS NULL),
    CONSTRAINT webhook_delivery_retry_later CHECK (next_retry_at > attempted_at),
    CONSTRAINT webhook_delivery_response_status_http CHECK (response_status BETWEEN 100 AND 599),
    CONSTRAINT webhook_delivery_succeeded_was_answered
        CHECK (state <> 'succeeded' OR response_status IS NOT NULL),
    CONSTRAINT webhook_delivery_success_is_2xx
        CHECK (state <> 'succeeded' OR response_status BETWEEN 200 AND 299),
    CONSTRAINT webhook_delivery_pending_has_no_answer
        CHECK (state <> 'pending' OR response_status IS NULL),
    CONSTRAINT webhook_delivery_excerpt_short CHECK (length(response_excerpt) <= 2000)
) PARTITION BY RANGE (attempted_at);

COMMENT ON TABLE system_core.webhook_delivery IS
    'One call to an endpoint; a retry is a row of its own with the next attempt_no.';
COMMENT ON COLUMN system_core.webhook_delivery.event_key IS
    'The event that is told; no foreign key, for events leave their partition earlier.';
COMMENT ON COLUMN system_core.webhook_delivery.request_body IS 'The signed body, as sent.';

-- v_webhook_endpoint_health, the health trigger, and the log of an endpoint; FK.
CREATE INDEX webhook_delivery_log_idx
    ON system_core.webhook_delivery (business_id, webhook_endpoint_id, attempted_at DESC);

-- The health trigger: the last success of an endpoint.
CREATE INDEX webhook_delivery_success_idx
    ON system_core.webhook_delivery (business_id, webhook_endpoint_id, attempted_at DESC)
    WHERE state = 'succeeded';

-- The retry worker.
CREATE INDEX webhook_delivery_retry_idx
    ON system_core.webhook_delivery (business_id, next_retry_at)
    WHERE next_retry_at IS NOT NULL;

-- "Was this event delivered?"
CREATE INDEX webhook_delivery_event_idx
    ON system_core.webhook_delivery (business_id, event_key, attempt_no);

ALTER TABLE system_core.webhook_delivery ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.webhook_delivery
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.webhook_delivery TO app_user;
GRANT SELECT ON system_core.webhook_delivery TO app_readonly;

CREATE TABLE system_core.webhook_delivery_default
    PARTITION OF system_core.webhook_delivery DEFAULT;
ALTER TABLE system_core.webhook_delivery_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.webhook_delivery_default
    USING (business_id = tenant_mgmt.current_business_id());
SELECT system_core.create_partitions(
    'system_core.webhook_delivery', 'month', behind => 13, ahead => 3);

CREATE TRIGGER webhook_delivery_touch
    BEFORE UPDATE ON system_core.webhook_delivery
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER webhook_delivery_state_machine
    BEFORE UPDATE OF state ON system_core.webhook_delivery
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "transitions": {
            "pending":   ["succeeded", "failed", "exhausted"],
            "succeeded": [],
            "failed":    [],
            "exhausted": []
        }}');

CREATE FUNCTION system_core.webhook_delivery_tells_health() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    WITH health AS (
        SELECT e.business_id, e.webhook_endpoint_id, success.at AS succeeded_at, failure.number
        FROM (SELECT DISTINCT c.business_id, c.webhook_endpoint_id
              FROM called AS c
              WHERE c.state <> 'pending') AS e
        LEFT JOIN LATERAL (
            SELECT d.attempted_at AS at
            FROM system_core.webhook_delivery AS d
            WHERE (d.business_id, d.webhook_endpoint_id) = (e.business_id, e.webhook_endpoint_id)
              AND d.state = 'succeeded'
            ORDER BY d.attempted_at DESC
            LIMIT 1
        ) AS success ON true
        CROSS JOIN LATERAL (
            SELECT count(*) AS number
            FROM system_core.webhook_delivery AS d
            WHERE (d.business_id, d.webhook_endpoint_id) = (e.business_id, e.webhook_endpoint_id)
              AND d.attempted_at > coalesce(success.at, '-infinity')
              AND d.state IN ('failed', 'exhausted')
        ) AS failure
    )
    UPDATE system_core.webhook_endpoint AS e
    SET consecutive_failure_count = h.number,
        last_success_at = coalesce(h.succeeded_at, e.last_success_at)
    FROM health AS h
    WHERE (e.business_id, e.webhook_endpoint_id) = (h.business_id, h.webhook_endpoint_id)
      AND (e.consecutive_failure_count, e.last_success_at)
          IS DISTINCT FROM (h.number, coalesce(h.succeeded_at, e.last_success_at));

    IF row_security_active(TG_RELID) THEN
        UPDATE system_core.webhook_endpoint AS e
        SET status = 'disabled_failing', disabled_at = now()
        FROM (SELECT DISTINCT c.business_id, c.webhook_endpoint_id FROM called AS c) AS c
        WHERE (e.business_id, e.webhook_endpoint_id) = (c.business_id, c.webhook_endpoint_id)
          AND e.status = 'active' AND e.consecutive_failure_count >= 20;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION system_core.webhook_delivery_tells_health() IS
    'Keeps the failures since the last success of the endpoints called and, but for imported
     history, disables one that failed 20 times on end.';

CREATE TRIGGER webhook_delivery_made
    AFTER INSERT ON system_core.webhook_delivery
    REFERENCING NEW TABLE AS called
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.webhook_delivery_tells_health();

CREATE TRIGGER webhook_delivery_answered
    AFTER UPDATE ON system_core.webhook_delivery
    REFERENCING NEW TABLE AS called
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.webhook_delivery_tells_health();

CREATE VIEW system_core.v_webhook_endpoint_health WITH (security_invoker = true) AS
SELECT e.business_id, e.webhook_endpoint_id, e.url, e.status, e.consecutive_failure_count,
       e.last_success_at, day.call_count, day.succeeded_count,
       round(100.0 * day.succeeded_count / nullif(day.settled_count, 0), 2) AS success_pct,
       day.p95_ms, day.last_failure_at, day.last_failure_status
FROM system_core.webhook_endpoint AS e
CROSS JOIN LATERAL (
    SELECT count(*) AS call_count,
           count(*) FILTER (WHERE d.state <> 'pending') AS settled_count,
           count(*) FILTER (WHERE d.state = 'succeeded') AS succeeded_count,
           percentile_cont(0.95) WITHIN GROUP (ORDER BY d.duration_ms::double precision) AS p95_ms,
           max(d.attempted_at) FILTER (WHERE d.state IN ('failed', 'exhausted'))
               AS last_failure_at,
           (array_agg(d.response_status ORDER BY d.attempted_at DESC)
                FILTER (WHERE d.state IN ('failed', 'exhausted')))[1] AS last_failure_status
    FROM system_core.webhook_delivery AS d
    WHERE d.business_id = e.business_id AND d.webhook_endpoint_id = e.webhook_endpoint_id
      AND d.attempted_at > now() - interval '24 hours'
) AS day;
COMMENT ON VIEW system_core.v_webhook_endpoint_health IS
    'Calls of the last 24 hours per endpoint: success rate, 95th percentile of the duration in
     milliseconds, last failure.';
GRANT SELECT ON system_core.v_webhook_endpoint_health TO app_user, app_readonly;


CREATE TABLE system_core.integration_connection (
    business_id               uuid                    NOT NULL,
    integration_connection_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    connected_by              uuid                    NOT NULL,
    provider                  system_core.code        NOT NULL,
    category                  text                    NOT NULL,
    external_account_ref      text                    NOT NULL,
    scopes                    text[]                  NOT NULL DEFAULT '{}',
    token_ref                 system_core.vault_ref   NOT NULL,
    status                    text                    NOT NULL DEFAULT 'connected',
    sync_cursor               text,
    sync_frequency_minutes    integer                 NOT NULL DEFAULT 60,
    config                    system_core.json_object NOT NULL DEFAULT '{}',
    error_detail              text,
    last_synced_at            timestamptz,
    created_at                timestamptz             NOT NULL DEFAULT now(),
    updated_at                timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, integration_connection_id),
    UNIQUE (business_id, provider, external_account_ref),
    FOREIGN KEY (business_id, connected_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT integration_connection_category_known
        CHECK (category IN ('accounting', 'payments', 'calendar', 'crm', 'marketplace', 'hris',
                            'lms', 'telematics', 'tax', 'messaging')),
    CONSTRAINT integration_connection_status_known
        CHECK (status IN ('connected', 'expired', 'revoked', 'error')),
    CONSTRAINT integration_connection_syncs_within_a_week
        CHECK (sync_frequency_minutes BETWEEN 1 AND 10080),
    CONSTRAINT integration_connection_error_is_told
        CHECK (status <> 'error' OR error_detail IS NOT NULL)
);

COMMENT ON TABLE system_core.integration_connection IS
    'A connected outside system: accounting, calendar, payments, marketplace, LMS, HRIS.';
COMMENT ON COLUMN system_core.integration_connection.sync_cursor IS
    'Where the last sync stopped, in the provider''s own words.';

-- The sync worker: connections that are due.
CREATE INDEX integration_connection_due_idx
    ON system_core.integration_connection (business_id, last_synced_at NULLS FIRST)
    WHERE status = 'connected';

-- FK: who connected it.
CREATE INDEX integration_connection_connected_by_idx
    ON system_core.integration_connection (business_id, connected_by);

ALTER TABLE system_core.integration_connection
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.integration_connection
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.integration_connection TO app_user;
GRANT SELECT ON system_core.integration_connection TO app_readonly;

CREATE TRIGGER integration_connection_touch
    BEFORE UPDATE ON system_core.integration_connection
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE system_core.external_id_map (
    business_id               uuid               NOT NULL,
    external_id_map_id        uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    integration_connection_id uuid               NOT NULL,
    entity_type_id            uuid               NOT NULL,
    entity_id                 uuid               NOT NULL,
    external_type             text               NOT NULL,
    external_id               text               NOT NULL,
    external_version          text,
    sync_direction            text               NOT NULL DEFAULT 'both',
    sync_state                text               NOT NULL DEFAULT 'in_sync',
    content_hash              system_core.sha256,
    last_synced_at            timestamptz,
    created_at                timestamptz        NOT NULL DEFAULT now(),
    updated_at                timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, external_id_map_id),
    UNIQUE (business_id, integration_connection_id, external_type, external_id),
    UNIQUE (business_id, integration_connection_id, entity_type_id, entity_id),
    FOREIGN KEY (business_id, integration_connection_id)
        REFERENCES system_core.integration_connection (business_id, integration_connection_id)
        ON DELETE CASCADE,
    FOREIGN KEY (business_id, entity_type_id)
        REFERENCES system_core.entity_type (business_id, entity_type_id),
    CONSTRAINT external_id_map_sync_direction_known
        CHECK (sync_direction IN ('inbound', 'outbound', 'both')),
    CONSTRAINT external_id_map_sync_state_known
        CHECK (sync_state IN ('in_sync', 'pending_push', 'pending_pull', 'conflict', 'orphaned')),
    CONSTRAINT external_id_map_inbound_is_not_pushed
        CHECK (sync_direction <> 'inbound' OR sync_state <> 'pending_push'),
    CONSTRAINT external_id_map_outbound_is_not_pulled
        CHECK (sync_direction <> 'outbound' OR sync_state <> 'pending_pull'),
    CONSTRAINT external_id_map_in_sync_was_synced
        CHECK (sync_state <> 'in_sync' OR last_synced_at IS NOT NULL)
);

COMMENT ON TABLE system_core.external_id_map IS
    'Which record of a connected system is which of ours, and whether the two agree.';
COMMENT ON COLUMN system_core.external_id_map.entity_id IS
    'Our record; entity_type names its table.';
COMMENT ON COLUMN system_core.external_id_map.content_hash IS
    'Of the content both sides last agreed on; tells which side changed since.';

-- A record's page: where else it exists; FK.
CREATE INDEX external_id_map_entity_idx
    ON system_core.external_id_map (business_id, entity_type_id, entity_id);

-- The sync worker's and the conflict resolver's lists.
CREATE INDEX external_id_map_open_idx
    ON system_core.external_id_map (business_id, integration_connection_id, sync_state)
    WHERE sync_state <> 'in_sync';

ALTER TABLE system_core.external_id_map ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.external_id_map
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.external_id_map TO app_user;
GRANT SELECT ON system_core.external_id_map TO app_readonly;

CREATE TRIGGER external_id_map_touch
    BEFORE UPDATE ON system_core.external_id_map
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION system_core.external_id_map_keep_conflict() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RAISE EXCEPTION '% % is in conflict: a sync must not overwrite it',
                        OLD.external_type, OLD.external_id
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Decide first which side is right: set sync_state alone, to'
                         ' pending_push, pending_pull or orphaned.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION system_core.external_id_map_keep_conflict() IS
    'A conflict is left by a decision that changes nothing else; the next sync carries it out.';

CREATE TRIGGER external_id_map_keep_conflict
    BEFORE UPDATE ON system_core.external_id_map
    FOR EACH ROW
    WHEN (OLD.sync_state = 'conflict'
          AND (NEW.sync_state = 'in_sync'
               OR (NEW.entity_id, NEW.external_id, NEW.external_version, NEW.content_hash,
                   NEW.last_synced_at)
                  IS DISTINCT FROM
                  (OLD.entity_id, OLD.external_id, OLD.external_version, OLD.content_hash,
                   OLD.last_synced_at)))
    EXECUTE FUNCTION system_core.external_id_map_keep_conflict();


CREATE TABLE system_core.import_batch (
    business_id        uuid                    NOT NULL,
    import_batch_id    uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    entity_type_id     uuid                    NOT NULL,
    file_object_id     uuid,
    imported_by        uuid                    NOT NULL,
    source_format      text                    NOT NULL,
    column_mapping     system_core.json_object NOT NULL DEFAULT '{}',
    duplicate_strategy text                    NOT NULL DEFAULT 'skip',
    state              text                    NOT NULL DEFAULT 'uploaded',
    row_count          integer                 NOT NULL DEFAULT 0,
    valid_count        integer                 NOT NULL DEFAULT 0,
    error_count        integer                 NOT NULL DEFAULT 0,
    loaded_count       integer                 NOT NULL DEFAULT 0,
    started_at         timestamptz,
    finished_at        timestamptz,
    created_at         timestamptz             NOT NULL DEFAULT now(),
    updated_at         timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, import_batch_id),
    FOREIGN KEY (business_id, entity_type_id)
        REFERENCES system_core.entity_type (business_id, entity_type_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, imported_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT import_batch_source_format_known
        CHECK (source_format IN ('csv', 'xlsx', 'json', 'api')),
    CONSTRAINT import_batch_duplicate_strategy_known
        CHECK (duplicate_strategy IN ('skip', 'update', 'create_new')),
    CONSTRAINT import_batch_state_known
        CHECK (state IN ('uploaded', 'mapped', 'validating', 'ready', 'loading', 'loaded',
                         'partially_loaded', 'rolled_back', 'failed')),
    CONSTRAINT import_batch_mapped_has_mapping
        CHECK (state IN ('uploaded', 'failed') OR column_mapping <> '{}'),
    CONSTRAINT import_batch_counts_not_negative
        CHECK (error_count >= 0 AND loaded_count >= 0),
    CONSTRAINT import_batch_judged_rows_are_its_rows
        CHECK (valid_count + error_count <= row_count),
    CONSTRAINT import_batch_loads_valid_rows CHECK (loaded_count <= valid_count),
    CONSTRAINT import_batch_started_when_validated
        CHECK (state IN ('uploaded', 'mapped', 'failed') OR started_at IS NOT NULL),
    CONSTRAINT import_batch_finished_has_time
        CHECK ((state IN ('loaded', 'partially_loaded', 'rolled_back', 'failed'))
               = (finished_at IS NOT NULL)),
    CONSTRAINT import_batch_finished_after_start CHECK (finished_at >= started_at)
);

COMMENT ON TABLE system_core.import_batch IS
    'An uploaded file on its way into a table: mapped, validated, loaded, perhaps taken back.';
COMMENT ON COLUMN system_core.import_batch.column_mapping IS
    '{source column: {"column": target, "type": text | integer | number | boolean | date |
     timestamp, "required": boolean}}; stage_import() applies it.';
COMMENT ON COLUMN system_core.import_batch.valid_count IS
    'Rows without errors, whatever became of them; the four counts are kept by import_row.';

-- The imports page.
CREATE INDEX import_batch_recent_idx
    ON system_core.import_batch (business_id, created_at DESC);

-- FK: imports into a table.
CREATE INDEX import_batch_entity_type_idx
    ON system_core.import_batch (business_id, entity_type_id);

-- FK: the uploaded file.
CREATE INDEX import_batch_file_object_idx
    ON system_core.import_batch (business_id, file_object_id)
    WHERE file_object_id IS NOT NULL;

-- FK: who imported.
CREATE INDEX import_batch_imported_by_idx
    ON system_core.import_batch (business_id, imported_by);

ALTER TABLE system_core.import_batch ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.import_batch
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.import_batch TO app_user;
GRANT SELECT ON system_core.import_batch TO app_readonly;

CREATE TRIGGER import_batch_touch
    BEFORE UPDATE ON system_core.import_batch
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER import_batch_state_machine
    BEFORE INSERT OR UPDATE OF state ON system_core.import_batch
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["uploaded"],
        "transitions": {
            "uploaded":         ["mapped", "failed"],
            "mapped":           ["validating"],
            "validating":       ["ready", "failed"],
            "ready":            ["loading", "mapped"],
            "loading":          ["loaded", "partially_loaded", "failed"],
            "loaded":           ["rolled_back"],
            "partially_loaded": ["loading", "rolled_back"],
            "rolled_back":      [],
            "failed":           []
        }}');

CREATE FUNCTION system_core.import_batch_set_times() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state IN ('loaded', 'partially_loaded', 'rolled_back', 'failed') THEN
        NEW.finished_at := coalesce(NEW.finished_at, clock_timestamp());
    ELSE
        NEW.finished_at := NULL;
    END IF;
    IF NEW.state = 'validating' THEN
        NEW.started_at := coalesce(NEW.started_at, clock_timestamp());
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION system_core.import_batch_set_times() IS
    'Notes when validation began and when the batch came to rest.';

CREATE TRIGGER import_batch_set_times
    BEFORE UPDATE OF state ON system_core.import_batch
    FOR EACH ROW WHEN (NEW.state <> OLD.state)
    EXECUTE FUNCTION system_core.import_batch_set_times();


CREATE TABLE system_core.import_row (
    business_id       uuid                    NOT NULL,
    import_row_id     uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    import_batch_id   uuid                    NOT NULL,
    row_no            integer                 NOT NULL,
    state             text                    NOT NULL DEFAULT 'pending',
    raw               jsonb                   NOT NULL,
    normalized        system_core.json_object,
    errors            system_core.json_array  NOT NULL DEFAULT '[]',
    content_hash      system_core.sha256,
    matched_entity_id uuid,
    created_entity_id uuid,
    created_at        timestamptz             NOT NULL DEFAULT now(),
    updated_at        timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, import_row_id),
    UNIQUE (business_id, import_batch_id, row_no),
    FOREIGN KEY (business_id, import_batch_id)
        REFERENCES system_core.import_batch (business_id, import_batch_id) ON DELETE CASCADE,
    CONSTRAINT import_row_numbered_from_1 CHECK (row_no >= 1),
    CONSTRAINT import_row_state_known
        CHECK (state IN ('pending', 'valid', 'invalid', 'loaded', 'skipped_duplicate',
                         'rolled_back')),
    CONSTRAINT import_row_invalid_says_why
        CHECK ((state = 'invalid') = (jsonb_array_length(errors) > 0)),
    CONSTRAINT import_row_judged_is_normalized
        CHECK (state IN ('pending', 'invalid') OR normalized IS NOT NULL),
    CONSTRAINT import_row_loaded_became_a_record
        CHECK (state <> 'loaded' OR created_entity_id IS NOT NULL)
);

COMMENT ON TABLE system_core.import_row IS
    'One staged row: as uploaded, as understood, with its errors or the record it became.';
COMMENT ON COLUMN system_core.import_row.raw IS
    'As uploaded; whatever stood in the array, an object where the file is in order.';
COMMENT ON COLUMN system_core.import_row.errors IS
    '[{"column": source column or null, "code": required | type | shape, "message": text}].';
COMMENT ON COLUMN system_core.import_row.matched_entity_id IS
    'The record that an earlier row with the same content became.';
COMMENT ON COLUMN system_core.import_row.created_entity_id IS
    'The record it became or updated; kept when it is rolled back.';

-- The loader: valid rows of a batch; v_import_error_summary: invalid ones.
CREATE INDEX import_row_state_idx
    ON system_core.import_row (business_id, import_batch_id, state);

-- stage_import(): was this content loaded before?
CREATE INDEX import_row_loaded_content_idx
    ON system_core.import_row (business_id, content_hash)
    WHERE state = 'loaded';

ALTER TABLE system_core.import_row ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.import_row
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.import_row TO app_user;
GRANT SELECT ON system_core.import_row TO app_readonly;

CREATE TRIGGER import_row_touch
    BEFORE UPDATE ON system_core.import_row
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION system_core.import_row_count_up() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    changes CONSTANT text := CASE TG_OP
        WHEN 'INSERT' THEN 'SELECT *, 1 AS sign FROM after_rows'
        WHEN 'DELETE' THEN 'SELECT *, -1 AS sign FROM before_rows'
        ELSE 'SELECT *, 1 AS sign FROM after_rows UNION ALL SELECT *, -1 FROM before_rows'
    END;
    touched uuid[];
BEGIN
    EXECUTE format($sql$
        WITH tally AS (
            SELECT c.business_id, c.import_batch_id,
                   sum(c.sign) AS rows,
                   sum(c.sign * (c.state NOT IN ('pending', 'invalid'))::integer) AS valid,
                   sum(c.sign * (c.state = 'invalid')::integer) AS invalid,
                   sum(c.sign * (c.state = 'loaded')::integer) AS loaded,
                   sum(c.sign * (c.state = 'valid')::integer) AS waiting
            FROM (%s) AS c
            GROUP BY c.business_id, c.import_batch_id
        ), counted AS (
            UPDATE system_core.import_batch AS b
            SET row_count = b.row_count + t.rows,
                valid_count = b.valid_count + t.valid,
                error_count = b.error_count + t.invalid,
                loaded_count = b.loaded_count + t.loaded
            FROM tally AS t
            WHERE (b.business_id, b.import_batch_id) = (t.business_id, t.import_batch_id)
              AND (t.rows, t.valid, t.invalid, t.loaded, t.waiting) <> (0, 0, 0, 0, 0)
            RETURNING b.import_batch_id
        )
        SELECT array_agg(c.import_batch_id) FROM counted AS c
        $sql$, changes) INTO touched;

    IF touched IS NULL OR NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    UPDATE system_core.import_batch AS b
    SET state = next.state
    FROM (
        SELECT i.business_id, i.import_batch_id,
               CASE
                   WHEN i.state = 'validating' AND i.valid_count + i.error_count = i.row_count
                   THEN CASE WHEN i.valid_count > 0 THEN 'ready' ELSE 'failed' END
                   WHEN i.state = 'loading' AND NOT EXISTS (
                       SELECT
                       FROM system_core.import_row AS r
                       WHERE r.business_id = i.business_id
                         AND r.import_batch_id = i.import_batch_id AND r.state = 'valid')
                   THEN CASE WHEN i.error_count = 0 THEN 'loaded' ELSE 'partially_loaded' END
                   WHEN i.state IN ('loaded', 'partially_loaded') AND i.loaded_count = 0
                        AND EXISTS (
                       SELECT
                       FROM system_core.import_row AS r
                       WHERE r.business_id = i.business_id
                         AND r.import_batch_id = i.import_batch_id AND r.state = 'rolled_back')
                   THEN 'rolled_back'
               END AS state
        FROM system_core.import_batch AS i
        WHERE i.import_batch_id = ANY (touched)
    ) AS next
    WHERE (b.business_id, b.import_batch_id) = (next.business_id, next.import_batch_id)
      AND next.state IS NOT NULL;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION system_core.import_row_count_up() IS
    'Keeps the counts of the batch and, but for imported history, moves its state on: ready when
     all rows are judged, loaded when no valid one is left, rolled back when no loaded one is.';

CREATE TRIGGER import_row_inserted
    AFTER INSERT ON system_core.import_row
    REFERENCING NEW TABLE AS after_rows
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.import_row_count_up();

CREATE TRIGGER import_row_updated
    AFTER UPDATE ON system_core.import_row
    REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.import_row_count_up();

CREATE TRIGGER import_row_deleted
    AFTER DELETE ON system_core.import_row
    REFERENCING OLD TABLE AS before_rows
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.import_row_count_up();

CREATE FUNCTION system_core.import_cell(value jsonb, type text) RETURNS jsonb
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE type
               WHEN 'text' THEN CASE WHEN jsonb_typeof(value) NOT IN ('object', 'array')
                                     THEN to_jsonb(value #>> '{}') END
               WHEN 'integer' THEN to_jsonb(c.as_integer)
               WHEN 'number' THEN to_jsonb(c.as_number)
               WHEN 'boolean' THEN to_jsonb(c.as_boolean)
               WHEN 'date' THEN to_jsonb(c.as_date)
               WHEN 'timestamp' THEN to_jsonb(c.as_timestamp)
           END
    FROM JSON_TABLE(value, '$'
        COLUMNS (as_integer bigint PATH '$' NULL ON ERROR,
                 as_number numeric PATH '$' NULL ON ERROR,
                 as_boolean boolean PATH '$' NULL ON ERROR,
                 as_date date PATH '$' NULL ON ERROR,
                 as_timestamp timestamptz PATH '$' NULL ON ERROR)) AS c;
END;
COMMENT ON FUNCTION system_core.import_cell(jsonb, text) IS
    'An uploaded value as its type, or NULL where it is not of that type.';

CREATE FUNCTION system_core.read_import(mapping jsonb, document jsonb)
    RETURNS TABLE (row_no integer, raw jsonb, normalized jsonb, errors jsonb)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT r.row_no, r.raw,
           CASE WHEN r.is_object THEN
               jsonb_object_agg(m.target, cell.value) FILTER (WHERE m.target IS NOT NULL) END,
           coalesce(
               jsonb_agg(jsonb_build_object('column', m.source, 'code', fault.code,
                                            'message', fault.message) ORDER BY m.ordinal)
                   FILTER (WHERE fault.code IS NOT NULL),
               '[]')
    FROM (
        SELECT d.row_no, d.raw, jsonb_typeof(d.raw) = 'object' AS is_object
        FROM JSON_TABLE(document, '$[*]'
                 COLUMNS (row_no FOR ORDINALITY, raw jsonb PATH '$')) AS d
    ) AS r
    LEFT JOIN JSON_TABLE(mapping, '$.keyvalue()'
                  COLUMNS (ordinal FOR ORDINALITY,
                           source text PATH '$.key',
                           target text PATH '$.value.column',
                           type text PATH '$.value.type' DEFAULT 'text' ON EMPTY,
                           is_required boolean PATH '$.value.required'
                               DEFAULT false ON EMPTY)) AS m ON r.is_object
    CROSS JOIN LATERAL (
        SELECT CASE WHEN trim(r.raw ->> m.source) <> '' THEN r.raw -> m.source END AS given
    ) AS upload
    CROSS JOIN LATERAL (SELECT system_core.import_cell(upload.given, m.type) AS value) AS cell
    CROSS JOIN LATERAL (
        SELECT CASE
                   WHEN NOT r.is_object THEN 'shape'
                   WHEN m.is_required AND upload.given IS NULL THEN 'required'
                   WHEN upload.given IS NOT NULL AND cell.value IS NULL THEN 'type'
               END AS code,
               CASE
                   WHEN NOT r.is_object THEN 'the row is not an object'
                   WHEN m.is_required AND upload.given IS NULL THEN 'a value is required'
                   WHEN upload.given IS NOT NULL AND cell.value IS NULL
                   THEN format('%s is not a %s', left(r.raw ->> m.source, 60), m.type)
               END AS message
    ) AS fault
    GROUP BY r.row_no, r.raw, r.is_object;
END;
COMMENT ON FUNCTION system_core.read_import(jsonb, jsonb) IS
    'The rows of an uploaded array through a column mapping: typed, with what is wrong in each.';

CREATE FUNCTION system_core.stage_import(import_batch_id uuid, document jsonb) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    batch  system_core.import_batch;
    staged integer;
BEGIN
    IF jsonb_typeof(document) IS DISTINCT FROM 'array' OR document = '[]' THEN
        RAISE EXCEPTION 'an import is a JSON array with at least one row'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT b.* INTO batch
    FROM system_core.import_batch AS b
    WHERE b.business_id = tenant_mgmt.current_business_id()
      AND b.import_batch_id = stage_import.import_batch_id
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no import batch %', import_batch_id
            USING ERRCODE = 'no_data_found';
    END IF;
    IF batch.state <> 'mapped' THEN
        RAISE EXCEPTION 'a batch is staged when it is mapped; this one is %', batch.state
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;

    DELETE FROM system_core.import_row AS r
    WHERE r.business_id = batch.business_id AND r.import_batch_id = batch.import_batch_id;
    UPDATE system_core.import_batch AS b
    SET state = 'validating'
    WHERE b.business_id = batch.business_id AND b.import_batch_id = batch.import_batch_id;

    WITH judged AS (
        SELECT i.row_no, i.raw, i.normalized, i.errors, i.errors <> '[]' AS is_invalid,
               sha256(convert_to(coalesce(i.normalized, i.raw)::text, 'UTF8')) AS content_hash
        FROM system_core.read_import(batch.column_mapping, document) AS i
    ), matched AS (
        SELECT j.*, earlier.created_entity_id AS matched_entity_id,
               row_number() OVER (PARTITION BY j.content_hash, j.is_invalid ORDER BY j.row_no)
                   AS occurrence
        FROM judged AS j
        LEFT JOIN LATERAL (
            SELECT r.created_entity_id
            FROM system_core.import_row AS r
            JOIN system_core.import_batch AS b
              ON b.business_id = r.business_id AND b.import_batch_id = r.import_batch_id
            WHERE r.business_id = batch.business_id
              AND r.content_hash = j.content_hash AND r.state = 'loaded'
              AND b.entity_type_id = batch.entity_type_id
            LIMIT 1
        ) AS earlier ON NOT j.is_invalid
    )
    INSERT INTO system_core.import_row
        (business_id, import_batch_id, row_no, state, raw, normalized, errors, content_hash,
         matched_entity_id)
    SELECT batch.business_id, batch.import_batch_id, m.row_no,
           CASE
               WHEN m.is_invalid THEN 'invalid'
               WHEN batch.duplicate_strategy = 'skip'
                    AND (m.matched_entity_id IS NOT NULL OR m.occurrence > 1)
               THEN 'skipped_duplicate'
               ELSE 'valid'
           END,
           m.raw, m.normalized, m.errors, m.content_hash, m.matched_entity_id
    FROM matched AS m;
    GET DIAGNOSTICS staged = ROW_COUNT;
    RETURN staged;
END
$$;
COMMENT ON FUNCTION system_core.stage_import(uuid, jsonb) IS
    'Explodes an uploaded array into the rows of a mapped batch of the calling tenant: typed by
     its column mapping, with errors, duplicates of loaded rows and of each other recognized.
     The batch is then ready, or failed where no row is valid. Staging again replaces the rows.';

CREATE VIEW system_core.v_import_error_summary WITH (security_invoker = true) AS
SELECT r.business_id, r.import_batch_id, e.column_name, e.code,
       count(*) AS error_count,
       count(DISTINCT r.row_no) AS row_count,
       min(r.row_no) AS first_row_no,
       min(e.message) AS example
FROM system_core.import_row AS r
CROSS JOIN JSON_TABLE(
    r.errors, '$[*]'
    COLUMNS (column_name text PATH '$.column',
             code text PATH '$.code',
             message text PATH '$.message')) AS e
WHERE r.state = 'invalid'
GROUP BY r.business_id, r.import_batch_id, e.column_name, e.code;
COMMENT ON VIEW system_core.v_import_error_summary IS
    'What is wrong in a batch: errors per source column and kind, the first row and an example.';
GRANT SELECT ON system_core.v_import_error_summary TO app_user, app_readonly;


CREATE TABLE system_core.idempotency_key (
    business_id        uuid               NOT NULL,
    idempotency_key_id uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    key_hash           system_core.sha256 NOT NULL,
    http_method        text               NOT NULL DEFAULT 'POST',
    route              text               NOT NULL,
    request_hash       system_core.sha256 NOT NULL,
    state              text               NOT NULL DEFAULT 'in_progress',
    response_status    integer,
    response_body      jsonb,
    locked_at          timestamptz        NOT NULL DEFAULT now(),
    completed_at       timestamptz,
    expires_at         timestamptz        NOT NULL DEFAULT now() + interval '24 hours',
    created_at         timestamptz        NOT NULL DEFAULT now(),
    updated_at         timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, idempotency_key_id),
    UNIQUE (business_id, key_hash, route),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT idempotency_key_http_method_writes
        CHECK (http_method IN ('POST', 'PUT', 'PATCH', 'DELETE')),
    CONSTRAINT idempotency_key_route_is_a_path CHECK (route ~ '^/'),
    CONSTRAINT idempotency_key_state_known
        CHECK (state IN ('in_progress', 'completed', 'failed')),
    CONSTRAINT idempotency_key_response_status_http CHECK (response_status BETWEEN 100 AND 599),
    CONSTRAINT idempotency_key_completed_has_time
        CHECK ((state = 'completed') = (completed_at IS NOT NULL)),
    CONSTRAINT idempotency_key_completed_has_answer
        CHECK (state <> 'completed' OR response_status IS NOT NULL),
    CONSTRAINT idempotency_key_completed_after_lock CHECK (completed_at >= locked_at),
    CONSTRAINT idempotency_key_expires_after_lock CHECK (expires_at > locked_at)
);

COMMENT ON TABLE system_core.idempotency_key IS
    'A write request that was made, so that its repetition gets the first answer.';
COMMENT ON COLUMN system_core.idempotency_key.key_hash IS
    'Of the key the client chose; the key itself may be guessable.';
COMMENT ON COLUMN system_core.idempotency_key.request_hash IS
    'Of the body: the same key with another body is a mistake of the client.';

-- The sweep of expired keys.
CREATE INDEX idempotency_key_expiry_idx
    ON system_core.idempotency_key (business_id, expires_at);

ALTER TABLE system_core.idempotency_key ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.idempotency_key
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.idempotency_key TO app_user;
GRANT SELECT ON system_core.idempotency_key TO app_readonly;

CREATE TRIGGER idempotency_key_touch
    BEFORE UPDATE ON system_core.idempotency_key
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION system_core.claim_idempotency_key(
    key_hash     system_core.sha256,
    route        text,
    request_hash system_core.sha256,
    http_method  text DEFAULT 'POST'
) RETURNS jsonb
    LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    known system_core.idempotency_key;
BEGIN
    INSERT INTO system_core.idempotency_key AS k
        (business_id, key_hash, route, request_hash, http_method)
    VALUES (tenant_mgmt.current_business_id(), claim_idempotency_key.key_hash,
            claim_idempotency_key.route, claim_idempotency_key.request_hash,
            claim_idempotency_key.http_method)
    ON CONFLICT (business_id, key_hash, route) DO UPDATE
    SET request_hash = EXCLUDED.request_hash, http_method = EXCLUDED.http_method,
        state = 'in_progress', response_status = NULL, response_body = NULL,
        completed_at = NULL, locked_at = EXCLUDED.locked_at, expires_at = EXCLUDED.expires_at
    WHERE k.expires_at <= now()
       OR k.request_hash = EXCLUDED.request_hash
          AND (k.state = 'failed'
               OR k.state = 'in_progress' AND k.locked_at < now() - interval '5 minutes')
    RETURNING k.* INTO known;
    IF FOUND THEN
        RETURN jsonb_build_object('outcome', 'claimed',
                                  'idempotency_key_id', known.idempotency_key_id);
    END IF;

    SELECT k.* INTO STRICT known
    FROM system_core.idempotency_key AS k
    WHERE k.business_id = tenant_mgmt.current_business_id()
      AND k.key_hash = claim_idempotency_key.key_hash
      AND k.route = claim_idempotency_key.route;
    IF known.request_hash <> claim_idempotency_key.request_hash THEN
        RAISE EXCEPTION 'this idempotency key was used for another request'
            USING ERRCODE = 'PT422',
                  HINT = 'Repeat the request unchanged, or choose a new key.';
    END IF;
    RETURN CASE known.state
        WHEN 'completed' THEN jsonb_build_object('outcome', 'replayed',
                                                 'response_status', known.response_status,
                                                 'response_body', known.response_body)
        ELSE jsonb_build_object('outcome', 'in_progress', 'locked_at', known.locked_at)
    END;
END
$$;
COMMENT ON FUNCTION system_core.claim_idempotency_key(
    system_core.sha256, text, system_core.sha256, text) IS
    'The first step of a write of the calling tenant: "claimed" goes ahead; "replayed" carries the
     stored answer; "in_progress" means that the first request still works, whose claim is taken
     over after 5 minutes. The same key with another body raises PT422.';
