/*
 * Instances and runs: the servers that the harness watches, and every run of it.
 *
 * Everything in this schema belongs to the operator's own business: statistics views do not know
 * tenants. Where a measurement concerns one tenant, subject_business_id names it as a plain uuid,
 * because a foreign key would have to carry the row's own business_id.
 *
 * harness_run keeps the document of a run. What the other areas hold of it (load runs,
 * measurements, check runs, findings, fills) is derived from the document when it is stored.
 */

CREATE SCHEMA observability;
GRANT USAGE ON SCHEMA observability TO app_user, app_readonly;
COMMENT ON SCHEMA observability IS
    'What the harness measured: statistics, budgets, runs, checks and findings.';


CREATE TABLE observability.monitored_instance (
    business_id            uuid        NOT NULL,
    monitored_instance_id  uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    name                   text        NOT NULL,
    role                   text        NOT NULL DEFAULT 'primary',
    host                   text        NOT NULL,
    port                   integer     NOT NULL DEFAULT 5432,
    database_name          text        NOT NULL,
    server_version_num     integer     NOT NULL,
    citus_version          text,
    system_identifier      text        NOT NULL,
    deployment_label       text,
    collects_every_seconds integer     NOT NULL DEFAULT 60,
    statements_max         integer,
    track_io_timing        boolean     NOT NULL DEFAULT false,
    is_enabled             boolean     NOT NULL DEFAULT true,
    first_seen_at          timestamptz NOT NULL DEFAULT now(),
    created_at             timestamptz NOT NULL DEFAULT now(),
    updated_at             timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, monitored_instance_id),
    UNIQUE (business_id, name),
    UNIQUE (business_id, system_identifier, database_name),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT monitored_instance_role_known
        CHECK (role IN ('primary', 'replica', 'citus_coordinator', 'citus_worker')),
    CONSTRAINT monitored_instance_port_is_a_port CHECK (port BETWEEN 1 AND 65535),
    CONSTRAINT monitored_instance_version_supported CHECK (server_version_num >= 170000),
    CONSTRAINT monitored_instance_citus_has_version
        CHECK (role NOT LIKE 'citus%' OR citus_version IS NOT NULL),
    CONSTRAINT monitored_instance_pace_bounded CHECK (collects_every_seconds BETWEEN 5 AND 3600)
);

COMMENT ON TABLE observability.monitored_instance IS
    'A database of a PostgreSQL or Citus node that the harness watches.';
COMMENT ON COLUMN observability.monitored_instance.host IS
    'Name, address or socket directory; credentials are never stored.';
COMMENT ON COLUMN observability.monitored_instance.system_identifier IS
    'Of pg_control_system(): the same cluster under another address is the same instance.';
COMMENT ON COLUMN observability.monitored_instance.statements_max IS
    'pg_stat_statements.max: beyond it the server forgets statements.';
COMMENT ON COLUMN observability.monitored_instance.track_io_timing IS
    'Whether the server times reads and writes; without it their times are 0.';

ALTER TABLE observability.monitored_instance ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.monitored_instance
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON observability.monitored_instance TO app_user;
GRANT SELECT ON observability.monitored_instance TO app_readonly;

CREATE TRIGGER monitored_instance_touch
    BEFORE UPDATE ON observability.monitored_instance
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE observability.harness_run (
    business_id           uuid                    NOT NULL,
    harness_run_id        uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    monitored_instance_id uuid                    NOT NULL,
    command               text                    NOT NULL,
    harness_version       text                    NOT NULL,
    git_commit            text,
    has_held              boolean                 NOT NULL,
    document              system_core.json_object NOT NULL,
    started_at            timestamptz             NOT NULL,
    finished_at           timestamptz             NOT NULL,
    created_at            timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, harness_run_id),
    FOREIGN KEY (business_id, monitored_instance_id)
        REFERENCES observability.monitored_instance (business_id, monitored_instance_id),
    CONSTRAINT harness_run_ends_after_start CHECK (finished_at >= started_at),
    CONSTRAINT harness_run_document_has_format
        CHECK (jsonb_typeof(document -> 'format') = 'number')
);

COMMENT ON TABLE observability.harness_run IS
    'One execution of the harness with all that it did and found; append only.';
COMMENT ON COLUMN observability.harness_run.has_held IS
    'Whether everything that was looked at held: the exit code was 0.';
COMMENT ON COLUMN observability.harness_run.document IS
    'The run document whole (run.json), so that what is derived from it can be derived anew.';

-- The history: newest runs first.
CREATE INDEX harness_run_started_idx
    ON observability.harness_run (business_id, started_at DESC);

-- FK: the runs against an instance.
CREATE INDEX harness_run_instance_idx
    ON observability.harness_run (business_id, monitored_instance_id, started_at DESC);

ALTER TABLE observability.harness_run ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.harness_run
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON observability.harness_run TO app_user;
GRANT SELECT ON observability.harness_run TO app_readonly;

CREATE TRIGGER harness_run_append_only
    BEFORE UPDATE OR DELETE ON observability.harness_run
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('observability.harness_run');
