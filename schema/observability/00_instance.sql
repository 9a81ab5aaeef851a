/*
 * Instances: the servers that the harness watches.
 *
 * Everything in this schema belongs to the operator's own business: statistics views do not know
 * tenants. Where a measurement concerns one tenant, subject_business_id names it as a plain uuid,
 * because a foreign key would have to carry the row's own business_id.
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
