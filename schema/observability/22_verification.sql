/*
 * Verification: rules, runs of them, what they looked at and what they found.
 *
 * check_definition is a rule; check_run one run of a family of rules over one version of the
 * schema; schema_object what the catalog held at that run; isolation_probe one attempt of a run to
 * reach rows of another tenant. finding is a defect, the same over all runs that see it
 * (its fingerprint); finding_waiver accepts one for a time.
 *
 * A run is written in four steps, each one call:
 *   INSERT INTO check_run (…)            it starts; verdict and finished_at are NULL
 *   take_inventory(run)                  optional: the catalog as it is
 *   record_findings(run, document)       any number of times; isolation_probe by INSERT
 *   finish_check_run(run, objects, checks)   what was not seen again is fixed; the verdict
 */

CREATE TABLE observability.check_definition (
    business_id         uuid             NOT NULL,
    check_definition_id uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    check_code          system_core.code NOT NULL,
    title               text             NOT NULL,
    family              text             NOT NULL,
    severity            text             NOT NULL,
    engine              text             NOT NULL,
    rationale           text             NOT NULL,
    query_text          text,
    remediation         text,
    is_enabled          boolean          NOT NULL DEFAULT true,
    blocks_ci           boolean          NOT NULL DEFAULT true,
    introduced_in       text,
    created_at          timestamptz      NOT NULL DEFAULT now(),
    updated_at          timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, check_definition_id),
    UNIQUE (business_id, check_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT check_definition_family_known
        CHECK (family IN ('static_sql', 'row_security', 'isolation', 'index', 'partition', 'plan',
                          'citus', 'data_quality', 'naming')),
    CONSTRAINT check_definition_severity_known
        CHECK (severity IN ('info', 'warning', 'error', 'critical')),
    CONSTRAINT check_definition_engine_known
        CHECK (engine IN ('pglast', 'catalog_sql', 'live_probe', 'load')),
    CONSTRAINT check_definition_critical_blocks_ci CHECK (severity <> 'critical' OR blocks_ci),
    CONSTRAINT check_definition_catalog_rule_has_query
        CHECK (engine <> 'catalog_sql' OR query_text IS NOT NULL)
);

COMMENT ON TABLE observability.check_definition IS
    'A rule that the harness checks, over the SQL files, the catalog or a live database.';
COMMENT ON COLUMN observability.check_definition.rationale IS
    'Why it matters: what goes wrong where the rule does not hold.';
COMMENT ON COLUMN observability.check_definition.query_text IS
    'The query over the catalog whose rows are the findings.';
COMMENT ON COLUMN observability.check_definition.blocks_ci IS 'A finding fails the run.';
COMMENT ON COLUMN observability.check_definition.introduced_in IS
    'The version of the harness that has it first.';

ALTER TABLE observability.check_definition ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.check_definition
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON observability.check_definition TO app_user;
GRANT SELECT ON observability.check_definition TO app_readonly;

CREATE TRIGGER check_definition_touch
    BEFORE UPDATE ON observability.check_definition
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE observability.check_run (
    business_id           uuid                     NOT NULL,
    check_run_id          uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    monitored_instance_id uuid,
    load_run_id           uuid,
    harness_run_id        uuid,
    family                text                     NOT NULL,
    git_commit            text,
    schema_sha256         system_core.sha256,
    objects_checked       integer                  NOT NULL DEFAULT 0,
    checks_run            integer                  NOT NULL DEFAULT 0,
    findings_new          integer                  NOT NULL DEFAULT 0,
    findings_fixed        integer                  NOT NULL DEFAULT 0,
    findings_open         integer                  NOT NULL DEFAULT 0,
    verdict               text,
    tool_versions         system_core.json_object  NOT NULL DEFAULT '{}',
    started_at            timestamptz              NOT NULL DEFAULT now(),
    finished_at           timestamptz,
    duration_ms           system_core.milliseconds GENERATED ALWAYS AS (
                              1000 * extract(epoch FROM finished_at - started_at)) STORED,
    created_at            timestamptz              NOT NULL DEFAULT now(),
    updated_at            timestamptz              NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, check_run_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, monitored_instance_id)
        REFERENCES observability.monitored_instance (business_id, monitored_instance_id),
    FOREIGN KEY (business_id, load_run_id)
        REFERENCES observability.load_run (business_id, load_run_id),
    FOREIGN KEY (business_id, harness_run_id)
        REFERENCES observability.harness_run (business_id, harness_run_id),
    CONSTRAINT check_run_family_known
        CHECK (family IN ('static_sql', 'row_security', 'isolation', 'index', 'partition', 'plan',
                          'citus', 'data_quality', 'naming')),
    CONSTRAINT check_run_verdict_known CHECK (verdict IN ('pass', 'fail', 'error')),
    CONSTRAINT check_run_finished_has_verdict
        CHECK ((verdict IS NULL) = (finished_at IS NULL)),
    CONSTRAINT check_run_finished_after_start CHECK (finished_at >= started_at),
    CONSTRAINT check_run_verdict_of_something
        CHECK (verdict = 'error' OR verdict IS NULL OR objects_checked > 0),
    CONSTRAINT check_run_commit_is_a_hash CHECK (git_commit ~ '^[0-9a-f]{7,64}$'),
    CONSTRAINT check_run_counts_not_negative
        CHECK (objects_checked >= 0 AND checks_run >= 0 AND findings_new >= 0
               AND findings_fixed >= 0 AND findings_open >= 0)
);

COMMENT ON TABLE observability.check_run IS
    'One run of a family of checks over one version of the schema.';
COMMENT ON COLUMN observability.check_run.monitored_instance_id IS
    'The database it looked at; NULL where it read files only.';
COMMENT ON COLUMN observability.check_run.verdict IS
    'fail: an error or critical finding was seen that is not waived. error: the run could not be
     completed and says nothing. NULL while it runs.';
COMMENT ON COLUMN observability.check_run.schema_sha256 IS 'Of the SQL files, in load order.';
COMMENT ON COLUMN observability.check_run.findings_open IS
    'Open findings of the family after the run, waived ones left out.';
COMMENT ON COLUMN observability.check_run.tool_versions IS
    'Object of tool to version, such as {"harness": "1.2.0", "pglast": "8.8"}.';

-- The last run of a family: isolation_report, v_rls_gap.
CREATE INDEX check_run_family_idx
    ON observability.check_run (business_id, family, started_at DESC);

-- FK: runs against an instance.
CREATE INDEX check_run_instance_idx
    ON observability.check_run (business_id, monitored_instance_id)
    WHERE monitored_instance_id IS NOT NULL;

-- FK: checks made on what a load run left behind.
CREATE INDEX check_run_load_run_idx
    ON observability.check_run (business_id, load_run_id)
    WHERE load_run_id IS NOT NULL;

-- FK: the checks of a run of the harness.
CREATE INDEX check_run_harness_run_idx
    ON observability.check_run (business_id, harness_run_id)
    WHERE harness_run_id IS NOT NULL;

ALTER TABLE observability.check_run ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.check_run
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON observability.check_run TO app_user;
GRANT SELECT ON observability.check_run TO app_readonly;

CREATE TRIGGER check_run_touch
    BEFORE UPDATE ON observability.check_run
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION observability.require_true_verdict() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) AND EXISTS (
        SELECT FROM observability.finding AS f
        WHERE f.business_id = NEW.business_id AND f.last_check_run_id = NEW.check_run_id
            AND f.severity IN ('error', 'critical')
            AND f.status IN ('open', 'acknowledged', 'reopened'))
    THEN
        RAISE EXCEPTION 'the run saw an open error: it did not pass'
            USING ERRCODE = 'check_violation',
                  HINT = 'Let finish_check_run() set the verdict.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION observability.require_true_verdict() IS
    'A run that saw an error or critical finding, open and without a waiver, cannot pass.';

CREATE TRIGGER check_run_true_verdict
    BEFORE UPDATE OF verdict ON observability.check_run
    FOR EACH ROW WHEN (NEW.verdict = 'pass')
    EXECUTE FUNCTION observability.require_true_verdict();


CREATE TABLE observability.schema_object (
    business_id         uuid                    NOT NULL,
    schema_object_id    uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    check_run_id        uuid                    NOT NULL,
    schema_name         text                    NOT NULL,
    object_name         text                    NOT NULL,
    object_kind         text                    NOT NULL,
    has_business_id     boolean                 NOT NULL DEFAULT false,
    rls_enabled         boolean                 NOT NULL DEFAULT false,
    rls_forced          boolean                 NOT NULL DEFAULT false,
    policy_count        integer                 NOT NULL DEFAULT 0,
    primary_key_columns text[]                  NOT NULL DEFAULT '{}',
    is_partitioned      boolean                 NOT NULL DEFAULT false,
    owner_name          text                    NOT NULL,
    definition_sha256   system_core.sha256      NOT NULL,
    properties          system_core.json_object NOT NULL DEFAULT '{}',
    created_at          timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, schema_object_id),
    UNIQUE (business_id, check_run_id, schema_name, object_name, object_kind),
    FOREIGN KEY (business_id, check_run_id)
        REFERENCES observability.check_run (business_id, check_run_id) ON DELETE CASCADE,
    CONSTRAINT schema_object_kind_known
        CHECK (object_kind IN ('table', 'partition', 'view', 'materialized_view', 'function',
                               'trigger', 'index', 'policy', 'type')),
    CONSTRAINT schema_object_forced_is_enabled CHECK (rls_enabled OR NOT rls_forced),
    CONSTRAINT schema_object_policies_not_negative CHECK (policy_count >= 0),
    CONSTRAINT schema_object_only_tables_secured
        CHECK (object_kind IN ('table', 'partition') OR (NOT rls_enabled AND policy_count = 0)),
    CONSTRAINT schema_object_only_tables_partitioned
        CHECK (object_kind IN ('table', 'partition', 'index') OR NOT is_partitioned)
);

COMMENT ON TABLE observability.schema_object IS
    'What the catalog held at a run: one row per object with what matters for isolation.';
COMMENT ON COLUMN observability.schema_object.object_name IS
    'With argument types for a function, table.name for a trigger or policy.';
COMMENT ON COLUMN observability.schema_object.definition_sha256 IS
    'Of its definition as the server prints it: unchanged objects have the same.';
COMMENT ON COLUMN observability.schema_object.properties IS
    'The definition in parts: {"columns": [{"name", "type", "not_null"}]} for a table,
     {"definition": …} for an index, {"using": …, "check": …} for a policy, and so on.';

ALTER TABLE observability.schema_object ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.schema_object
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON observability.schema_object TO app_user;
GRANT SELECT ON observability.schema_object TO app_readonly;


CREATE TABLE observability.finding (
    business_id         uuid                    NOT NULL,
    finding_id          uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    check_definition_id uuid                    NOT NULL,
    first_check_run_id  uuid,
    last_check_run_id   uuid,
    assigned_to         uuid,
    fingerprint         text                    NOT NULL,
    schema_name         text,
    object_name         text,
    title               text                    NOT NULL,
    detail              text,
    severity            text                    NOT NULL,
    status              text                    NOT NULL DEFAULT 'open',
    occurrences         integer                 NOT NULL DEFAULT 1,
    evidence            system_core.json_object NOT NULL DEFAULT '{}',
    fixed_in_commit     text,
    first_seen_at       timestamptz             NOT NULL DEFAULT now(),
    last_seen_at        timestamptz             NOT NULL DEFAULT now(),
    fixed_at            timestamptz,
    created_at          timestamptz             NOT NULL DEFAULT now(),
    updated_at          timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, finding_id),
    UNIQUE (business_id, fingerprint),
    FOREIGN KEY (business_id, check_definition_id)
        REFERENCES observability.check_definition (business_id, check_definition_id),
    FOREIGN KEY (business_id, first_check_run_id)
        REFERENCES observability.check_run (business_id, check_run_id),
    FOREIGN KEY (business_id, last_check_run_id)
        REFERENCES observability.check_run (business_id, check_run_id),
    FOREIGN KEY (business_id, assigned_to)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT finding_severity_known
        CHECK (severity IN ('info', 'warning', 'error', 'critical')),
    CONSTRAINT finding_status_known
        CHECK (status IN ('open', 'acknowledged', 'fixed', 'waived', 'false_positive',
                          'reopened')),
    CONSTRAINT finding_fingerprint_is_a_hash CHECK (fingerprint ~ '^[0-9a-f]{32,64}$'),
    CONSTRAINT finding_seen CHECK (occurrences >= 1),
    CONSTRAINT finding_seen_in_order CHECK (last_seen_at >= first_seen_at),
    CONSTRAINT finding_fixed_has_time CHECK ((status = 'fixed') = (fixed_at IS NOT NULL)),
    CONSTRAINT finding_fixed_after_seen CHECK (fixed_at >= first_seen_at),
    CONSTRAINT finding_commit_of_a_fix CHECK (fixed_in_commit IS NULL OR status = 'fixed'),
    CONSTRAINT finding_commit_is_a_hash CHECK (fixed_in_commit ~ '^[0-9a-f]{7,64}$')
);

COMMENT ON TABLE observability.finding IS
    'A defect found by a check: one row however many runs see it.';
COMMENT ON COLUMN observability.finding.fingerprint IS
    'Hash of rule, object and message: stays the same when lines move.';
COMMENT ON COLUMN observability.finding.first_check_run_id IS
    'NULL where no run saw it: a sample showed an invalid index, two fills differed.';
COMMENT ON COLUMN observability.finding.occurrences IS 'How many runs or samples saw it.';
COMMENT ON COLUMN observability.finding.evidence IS
    'What was seen last: rows, SQL, plan node, path in the parse tree.';

-- findings_list, v_open_finding, prometheus_scrape.
CREATE INDEX finding_open_idx
    ON observability.finding (business_id, severity, first_seen_at)
    WHERE status IN ('open', 'acknowledged', 'reopened');

-- FK: findings of a rule; close_missing_findings().
CREATE INDEX finding_definition_idx
    ON observability.finding (business_id, check_definition_id, status);

-- FK: what a run found first.
CREATE INDEX finding_first_run_idx
    ON observability.finding (business_id, first_check_run_id)
    WHERE first_check_run_id IS NOT NULL;

-- FK: what a run saw; finish_check_run().
CREATE INDEX finding_last_run_idx
    ON observability.finding (business_id, last_check_run_id)
    WHERE last_check_run_id IS NOT NULL;

-- FK: the findings that somebody works on.
CREATE INDEX finding_assignee_idx
    ON observability.finding (business_id, assigned_to)
    WHERE assigned_to IS NOT NULL;

ALTER TABLE observability.finding ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.finding
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON observability.finding TO app_user;
GRANT SELECT ON observability.finding TO app_readonly;

CREATE TRIGGER finding_touch
    BEFORE UPDATE ON observability.finding
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER finding_status_machine
    BEFORE INSERT OR UPDATE OF status ON observability.finding
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["open"],
        "transitions": {
            "open":           ["acknowledged", "fixed", "waived", "false_positive"],
            "acknowledged":   ["fixed", "waived", "false_positive"],
            "fixed":          ["reopened"],
            "waived":         ["open"],
            "false_positive": ["reopened"],
            "reopened":       ["acknowledged", "fixed", "waived", "false_positive"]
        }}');

CREATE FUNCTION observability.date_fix() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status = 'fixed' THEN
        NEW.fixed_at := coalesce(NEW.fixed_at, now());
    ELSE
        NEW.fixed_at := NULL;
        NEW.fixed_in_commit := NULL;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION observability.date_fix() IS
    'A fix has a time; a finding that is back has none.';

CREATE TRIGGER finding_date_fix
    BEFORE UPDATE OF status ON observability.finding
    FOR EACH ROW WHEN (NEW.status <> OLD.status)
    EXECUTE FUNCTION observability.date_fix();

CREATE FUNCTION observability.require_waiver() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) AND (NEW.status = 'waived') <> EXISTS (
        SELECT FROM observability.finding_waiver AS w
        WHERE w.business_id = NEW.business_id AND w.finding_id = NEW.finding_id
            AND w.state = 'active')
    THEN
        RAISE EXCEPTION 'a finding is waived by its waiver, not by its status'
            USING ERRCODE = 'check_violation',
                  HINT = 'Insert a finding_waiver, or revoke the one it has.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION observability.require_waiver() IS
    'A finding becomes waived, and open again, only with a waiver.';

CREATE TRIGGER finding_require_waiver
    BEFORE UPDATE OF status ON observability.finding
    FOR EACH ROW WHEN ((NEW.status = 'waived') <> (OLD.status = 'waived'))
    EXECUTE FUNCTION observability.require_waiver();


CREATE TABLE observability.finding_waiver (
    business_id          uuid        NOT NULL,
    finding_waiver_id    uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    finding_id           uuid        NOT NULL,
    approved_by          uuid        NOT NULL,
    reason               text        NOT NULL,
    scope_pattern        text,
    compensating_control text,
    ticket_reference     text,
    state                text        NOT NULL DEFAULT 'active',
    granted_at           timestamptz NOT NULL DEFAULT now(),
    expires_at           timestamptz NOT NULL,
    revoked_at           timestamptz,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, finding_waiver_id),
    FOREIGN KEY (business_id, finding_id)
        REFERENCES observability.finding (business_id, finding_id),
    FOREIGN KEY (business_id, approved_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT finding_waiver_state_known CHECK (state IN ('active', 'expired', 'revoked')),
    CONSTRAINT finding_waiver_has_reason CHECK (reason ~ '\S'),
    CONSTRAINT finding_waiver_ends
        CHECK (expires_at > granted_at AND expires_at <= granted_at + interval '4320 hours'),
    CONSTRAINT finding_waiver_revoked_has_time
        CHECK ((state = 'revoked') = (revoked_at IS NOT NULL)),
    CONSTRAINT finding_waiver_revoked_after_grant CHECK (revoked_at >= granted_at)
);

COMMENT ON TABLE observability.finding_waiver IS
    'A finding accepted for at most 180 days: by whom, why, and what protects meanwhile.';
COMMENT ON COLUMN observability.finding_waiver.scope_pattern IS
    'Which objects it speaks of, as a regular expression over schema.object; NULL: the one of
     the finding.';
COMMENT ON COLUMN observability.finding_waiver.compensating_control IS
    'What limits the harm while it stands.';

-- One active waiver per finding.
CREATE UNIQUE INDEX finding_waiver_active_idx
    ON observability.finding_waiver (business_id, finding_id)
    WHERE state = 'active';

-- FK: the waivers a finding had.
CREATE INDEX finding_waiver_finding_idx
    ON observability.finding_waiver (business_id, finding_id);

-- FK: what somebody approved.
CREATE INDEX finding_waiver_approver_idx
    ON observability.finding_waiver (business_id, approved_by);

-- expire_waivers().
CREATE INDEX finding_waiver_expiry_idx
    ON observability.finding_waiver (business_id, expires_at)
    WHERE state = 'active';

ALTER TABLE observability.finding_waiver ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.finding_waiver
    USING (business_id = tenant_mgmt.current_business_id());
-- A waiver is revoked, not deleted.
GRANT SELECT, INSERT, UPDATE ON observability.finding_waiver TO app_user;
GRANT SELECT ON observability.finding_waiver TO app_readonly;

CREATE TRIGGER finding_waiver_touch
    BEFORE UPDATE ON observability.finding_waiver
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER finding_waiver_state_machine
    BEFORE INSERT OR UPDATE OF state ON observability.finding_waiver
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["active"],
        "transitions": {
            "active":  ["expired", "revoked"],
            "expired": [],
            "revoked": []
        }}');

CREATE FUNCTION observability.apply_waivers() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    refused record;
BEGIN
    SELECT f.title, f.status, d.family = 'isolation' AS is_isolation INTO refused
    FROM changed AS w
    JOIN observability.finding AS f
        ON f.business_id = w.business_id AND f.finding_id = w.finding_id
    JOIN observability.check_definition AS d
        ON d.business_id = f.business_id AND d.check_definition_id = f.check_definition_id
    WHERE d.family = 'isolation'
        OR (row_security_active(TG_RELID) AND w.state = 'active'
            AND f.status IN ('fixed', 'false_positive'))
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'finding "%" cannot be waived: %', refused.title,
            CASE WHEN refused.is_isolation THEN 'tenants are isolated or they are not'
                 ELSE 'it is ' || refused.status END
            USING ERRCODE = 'check_violation';
    END IF;

    UPDATE observability.finding AS f
    SET status = 'waived'
    FROM changed AS w
    WHERE f.business_id = w.business_id AND f.finding_id = w.finding_id
        AND w.state = 'active' AND f.status IN ('open', 'acknowledged', 'reopened');

    UPDATE observability.finding AS f
    SET status = 'open'
    FROM changed AS w
    WHERE f.business_id = w.business_id AND f.finding_id = w.finding_id
        AND w.state <> 'active' AND f.status = 'waived'
        AND NOT EXISTS (SELECT FROM observability.finding_waiver AS other
                        WHERE other.business_id = f.business_id
                            AND other.finding_id = f.finding_id AND other.state = 'active');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION observability.apply_waivers() IS
    'Refuses waivers for findings of the isolation family, for everybody. A waiver makes its
     finding waived; when it ends, the finding is open again.';

CREATE TRIGGER finding_waiver_apply_insert
    AFTER INSERT ON observability.finding_waiver
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION observability.apply_waivers();

CREATE TRIGGER finding_waiver_apply_update
    AFTER UPDATE ON observability.finding_waiver
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION observability.apply_waivers();


CREATE FUNCTION observability.expire_waivers() RETURNS integer
    LANGUAGE sql
BEGIN ATOMIC
    WITH ended AS (
        UPDATE observability.finding_waiver AS w
        SET state = 'expired'
        WHERE w.business_id = tenant_mgmt.current_business_id()
            AND w.state = 'active' AND w.expires_at <= now()
        RETURNING w.finding_waiver_id
    )
    SELECT count(*)::integer FROM ended;
END;
COMMENT ON FUNCTION observability.expire_waivers() IS
    'Ends the waivers of the current tenant whose time is over; their findings are open again.
     Returns how many.';


CREATE FUNCTION observability.upsert_findings(seen jsonb) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  uuid;
    unknown text;
    more    integer;
    written integer := 0;
BEGIN
    -- Tenant by tenant, as rows lie on a cluster.
    FOR tenant IN
        SELECT DISTINCT s.business_id
        FROM JSON_TABLE(seen, '$[*]' COLUMNS (business_id uuid PATH '$.business_id')) AS s
        ORDER BY s.business_id
    LOOP
        SELECT s.check_code INTO unknown
        FROM JSON_TABLE(seen, '$[*]' COLUMNS (
            business_id uuid PATH '$.business_id',
            check_code  text PATH '$.check_code')) AS s
        WHERE s.business_id = tenant
          AND NOT EXISTS (SELECT FROM observability.check_definition AS d
                          WHERE d.business_id = tenant AND d.check_code = s.check_code)
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'there is no check %', unknown
                USING ERRCODE = 'no_data_found', HINT = 'Insert its check_definition first.';
        END IF;

        INSERT INTO observability.finding AS f
            (business_id, check_definition_id, first_check_run_id, last_check_run_id, fingerprint,
             schema_name, object_name, title, detail, severity, evidence, first_seen_at,
             last_seen_at)
        SELECT DISTINCT ON (s.fingerprint)
               tenant, d.check_definition_id, s.check_run_id, s.check_run_id, s.fingerprint,
               s.schema_name, s.object_name, coalesce(s.title, d.title), s.detail,
               coalesce(s.severity, d.severity), coalesce(s.evidence, '{}'),
               coalesce(s.seen_at, now()), coalesce(s.seen_at, now())
        FROM JSON_TABLE(seen, '$[*]' COLUMNS (
            business_id  uuid        PATH '$.business_id',
            check_run_id uuid        PATH '$.check_run_id',
            check_code   text        PATH '$.check_code',
            fingerprint  text        PATH '$.fingerprint',
            schema_name  text        PATH '$.schema_name',
            object_name  text        PATH '$.object_name',
            title        text        PATH '$.title',
            detail       text        PATH '$.detail',
            severity     text        PATH '$.severity',
            evidence     jsonb       PATH '$.evidence',
            seen_at      timestamptz PATH '$.seen_at')) AS s
        JOIN observability.check_definition AS d
            ON d.business_id = tenant AND d.check_code = s.check_code
        WHERE s.business_id = tenant
        ORDER BY s.fingerprint, s.seen_at DESC
        ON CONFLICT (business_id, fingerprint) DO UPDATE
        SET status = CASE WHEN f.status = 'fixed' THEN 'reopened' ELSE f.status END,
            last_check_run_id = coalesce(excluded.last_check_run_id, f.last_check_run_id),
            title = excluded.title, detail = excluded.detail, severity = excluded.severity,
            evidence = excluded.evidence, occurrences = f.occurrences + 1,
            last_seen_at = greatest(f.last_seen_at, excluded.last_seen_at),
            first_seen_at = least(f.first_seen_at, excluded.first_seen_at);
        GET DIAGNOSTICS more = ROW_COUNT;
        written := written + more;
    END LOOP;
    RETURN written;
END
$$;
COMMENT ON FUNCTION observability.upsert_findings(jsonb) IS
    'The one place where findings are seen: new ones open, known ones are seen once more, and
     one that was fixed is reopened. Each element names its business_id and check_code.';


CREATE FUNCTION observability.record_findings(run uuid, seen jsonb) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
BEGIN
    PERFORM FROM observability.check_run AS r
    WHERE r.business_id = tenant AND r.check_run_id = run AND r.finished_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no running check run %', run USING ERRCODE = 'no_data_found';
    END IF;
    RETURN observability.upsert_findings((
        SELECT coalesce(jsonb_agg(s.document || jsonb_build_object(
            'business_id', tenant, 'check_run_id', run)), '[]')
        FROM JSON_TABLE(seen, '$[*]' COLUMNS (document jsonb PATH '$')) AS s));
END
$$;
COMMENT ON FUNCTION observability.record_findings(uuid, jsonb) IS
    'Stores what a running check run of the current tenant saw: an array of {check_code,
     fingerprint, schema_name, object_name, title, detail, severity, evidence, seen_at}, of
     which check_code and fingerprint are required. Returns the number of distinct findings.';


CREATE FUNCTION observability.close_missing_findings(run uuid) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    done   observability.check_run;
    closed integer;
BEGIN
    SELECT * INTO done FROM observability.check_run AS r
    WHERE r.business_id = tenant AND r.check_run_id = run AND r.verdict IN ('pass', 'fail');
    IF NOT FOUND THEN
        RAISE EXCEPTION 'check run % is not complete: what it did not see may be there', run
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    UPDATE observability.finding AS f
    SET status = 'fixed', fixed_in_commit = done.git_commit,
        fixed_at = greatest(done.finished_at, f.first_seen_at)
    FROM observability.check_definition AS d
    WHERE f.business_id = tenant
        AND d.business_id = tenant AND d.check_definition_id = f.check_definition_id
        AND d.family = done.family AND d.is_enabled
        AND f.status IN ('open', 'acknowledged', 'reopened')
        AND f.last_check_run_id IS DISTINCT FROM run
        AND f.last_seen_at <= done.started_at;
    GET DIAGNOSTICS closed = ROW_COUNT;
    RETURN closed;
END
$$;
COMMENT ON FUNCTION observability.close_missing_findings(uuid) IS
    'Marks the open findings of the current tenant that a complete run of their family did not
     see as fixed; returns how many. Waived ones wait for the end of their waiver, those of a
     disabled rule stay, and so does what was seen after the run began.';


CREATE FUNCTION observability.finish_check_run(run uuid, objects integer, checks integer)
    RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    outcome text;
    closed  integer;
BEGIN
    PERFORM observability.expire_waivers();
    UPDATE observability.check_run AS r
    SET finished_at = greatest(clock_timestamp(), r.started_at),
        objects_checked = objects, checks_run = checks,
        findings_new = (SELECT count(*) FROM observability.finding AS f
                        WHERE f.business_id = tenant AND f.first_check_run_id = run),
        verdict = CASE
            WHEN objects = 0 THEN 'error'
            WHEN EXISTS (SELECT FROM observability.finding AS f
                         WHERE f.business_id = tenant AND f.last_check_run_id = run
                             AND f.severity IN ('error', 'critical')
                             AND f.status IN ('open', 'acknowledged', 'reopened')) THEN 'fail'
            ELSE 'pass' END
    WHERE r.business_id = tenant AND r.check_run_id = run AND r.finished_at IS NULL
    RETURNING r.verdict INTO outcome;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no running check run %', run USING ERRCODE = 'no_data_found';
    END IF;
    closed := CASE WHEN outcome = 'error' THEN 0
                   ELSE observability.close_missing_findings(run) END;
    UPDATE observability.check_run AS r
    SET findings_fixed = closed,
        findings_open = (
            SELECT count(*) FROM observability.finding AS f
            JOIN observability.check_definition AS d
                ON d.business_id = f.business_id AND d.check_definition_id = f.check_definition_id
            WHERE f.business_id = tenant AND d.family = r.family
                AND f.status IN ('open', 'acknowledged', 'reopened'))
    WHERE r.business_id = tenant AND r.check_run_id = run;
    RETURN outcome;
END
$$;
COMMENT ON FUNCTION observability.finish_check_run(uuid, integer, integer) IS
    'Ends a running check run of the current tenant: expires waivers, sets the verdict (error
     where nothing was looked at), closes what was not seen again, counts; returns the verdict.';


CREATE TABLE observability.isolation_probe (
    business_id          uuid        NOT NULL,
    isolation_probe_id   uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    check_run_id         uuid        NOT NULL,
    subject_business_id  uuid        NOT NULL,
    attacker_business_id uuid        NOT NULL,
    schema_name          text        NOT NULL,
    object_name          text        NOT NULL,
    object_kind          text        NOT NULL,
    attempt              text        NOT NULL,
    expected             text        NOT NULL DEFAULT 'zero_rows',
    observed_rows        bigint,
    observed_sqlstate    text,
    outcome              text        NOT NULL,
    duration_us          bigint      NOT NULL DEFAULT 0,
    probed_at            timestamptz NOT NULL DEFAULT now(),
    created_at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, isolation_probe_id, probed_at),
    FOREIGN KEY (business_id, check_run_id)
        REFERENCES observability.check_run (business_id, check_run_id),
    CONSTRAINT isolation_probe_object_kind_known
        CHECK (object_kind IN ('table', 'view', 'materialized_view', 'function', 'sequence')),
    CONSTRAINT isolation_probe_attempt_known
        CHECK (attempt IN ('select', 'insert', 'update', 'delete', 'fk_probe', 'unique_probe',
                           'truncate', 'copy', 'function_call', 'explain_leak',
                           'setting_override', 'unset_setting', 'set_role')),
    CONSTRAINT isolation_probe_expected_known
        CHECK (expected IN ('zero_rows', 'denied', 'error')),
    CONSTRAINT isolation_probe_outcome_known
        CHECK (outcome IN ('isolated', 'leak', 'wrong_error', 'not_applicable')),
    CONSTRAINT isolation_probe_crosses_a_boundary
        CHECK (attacker_business_id <> subject_business_id OR attempt = 'unset_setting'),
    CONSTRAINT isolation_probe_rows_not_negative CHECK (observed_rows >= 0),
    CONSTRAINT isolation_probe_sqlstate_shape CHECK (observed_sqlstate ~ '^[0-9A-Z]{5}$'),
    CONSTRAINT isolation_probe_isolated_saw_nothing
        CHECK (outcome <> 'isolated' OR observed_rows IS NULL OR observed_rows = 0),
    CONSTRAINT isolation_probe_duration_not_negative CHECK (duration_us >= 0)
) PARTITION BY RANGE (probed_at);

COMMENT ON TABLE observability.isolation_probe IS
    'One attempt to reach rows of another tenant, and what came of it; append only.';
COMMENT ON COLUMN observability.isolation_probe.subject_business_id IS
    'Whose rows were tried to be reached; no foreign key, for that is another tenant''s row.';
COMMENT ON COLUMN observability.isolation_probe.attacker_business_id IS
    'As which tenant; the subject itself where the attempt was made with no tenant set.';
COMMENT ON COLUMN observability.isolation_probe.outcome IS
    'not_applicable: it could not have failed, so it proves nothing.';

-- isolation_report, isolation_coverage(). Serves the foreign key check_run_id.
CREATE INDEX isolation_probe_run_idx
    ON observability.isolation_probe (business_id, check_run_id, outcome);

ALTER TABLE observability.isolation_probe ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.isolation_probe
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON observability.isolation_probe TO app_user;
GRANT SELECT ON observability.isolation_probe TO app_readonly;

CREATE TABLE observability.isolation_probe_default
    PARTITION OF observability.isolation_probe DEFAULT;
ALTER TABLE observability.isolation_probe_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON observability.isolation_probe_default
    USING (business_id = tenant_mgmt.current_business_id());
SELECT system_core.create_partitions(
    'observability.isolation_probe', 'month', behind => 3, ahead => 1);

CREATE TRIGGER isolation_probe_append_only
    BEFORE UPDATE OR DELETE ON observability.isolation_probe
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('observability.isolation_probe');

CREATE FUNCTION observability.report_leaks() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM probed AS p WHERE p.outcome = 'leak') THEN
        RETURN NULL;
    END IF;
    INSERT INTO observability.check_definition
        (business_id, check_code, title, family, severity, engine, rationale, remediation)
    SELECT DISTINCT p.business_id, 'isolation_leak', 'A tenant reached another tenant''s rows',
           'isolation', 'critical', 'live_probe',
           'What one tenant can read or change of another is a breach.',
           'Force row security with the tenant policy, and publish views by tenant.'
    FROM probed AS p
    WHERE p.outcome = 'leak'
    ON CONFLICT (business_id, check_code) DO NOTHING;

    PERFORM observability.upsert_findings(jsonb_agg(jsonb_build_object(
        'business_id', l.business_id, 'check_run_id', l.check_run_id,
        'check_code', 'isolation_leak', 'severity', 'critical',
        'fingerprint', md5(concat_ws(' ', 'isolation_leak', l.schema_name, l.object_name,
                                     l.attempt)),
        'schema_name', l.schema_name, 'object_name', l.object_name,
        'title', format('%s.%s leaks on %s', l.schema_name, l.object_name, l.attempt),
        'evidence', l.evidence, 'seen_at', l.seen_at)))
    FROM (
        SELECT p.business_id, p.check_run_id, p.schema_name, p.object_name, p.attempt,
               max(p.probed_at) AS seen_at,
               jsonb_build_object('probes', count(*), 'rows', sum(p.observed_rows),
                                  'subjects', jsonb_agg(DISTINCT p.subject_business_id),
                                  'attackers', jsonb_agg(DISTINCT p.attacker_business_id))
                   AS evidence
        FROM probed AS p
        WHERE p.outcome = 'leak'
        GROUP BY p.business_id, p.check_run_id, p.schema_name, p.object_name, p.attempt
    ) AS l;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION observability.report_leaks() IS
    'A probe that leaked opens a critical finding: one per object and attempt, which no waiver
     can accept.';

CREATE TRIGGER isolation_probe_report_leaks
    AFTER INSERT ON observability.isolation_probe
    REFERENCING NEW TABLE AS probed
    FOR EACH STATEMENT EXECUTE FUNCTION observability.report_leaks();


CREATE FUNCTION observability.take_inventory(run uuid) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    written integer;
BEGIN
    INSERT INTO observability.schema_object
        (business_id, check_run_id, schema_name, object_name, object_kind, has_business_id,
         rls_enabled, rls_forced, policy_count, primary_key_columns, is_partitioned, owner_name,
         definition_sha256, properties)
    WITH own AS MATERIALIZED (
        SELECT n.oid, n.nspname FROM pg_catalog.pg_namespace AS n
        WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'harness')
    ), foreign_object AS MATERIALIZED (
        SELECT d.classid, d.objid FROM pg_catalog.pg_depend AS d WHERE d.deptype = 'e'
    ), relation AS MATERIALIZED (
        SELECT own.nspname, c.oid, c.relname, c.relkind, c.relispartition, c.relrowsecurity,
               c.relforcerowsecurity, c.relowner, c.reloptions
        FROM pg_catalog.pg_class AS c
        JOIN own ON own.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'm') AND NOT EXISTS (
            SELECT FROM foreign_object AS x
            WHERE x.classid = 'pg_catalog.pg_class'::regclass AND x.objid = c.oid)
    ), attribute AS (
        SELECT a.attrelid, bool_or(a.attname = 'business_id') AS has_business_id,
               jsonb_agg(jsonb_build_object(
                   'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
                   'not_null', a.attnotnull) ORDER BY a.attnum) AS columns
        FROM pg_catalog.pg_attribute AS a
        JOIN relation AS c ON c.oid = a.attrelid
        WHERE a.attnum > 0 AND NOT a.attisdropped
        GROUP BY a.attrelid
    ), restriction AS (
        SELECT k.conrelid,
               jsonb_agg(pg_get_constraintdef(k.oid) ORDER BY k.conname) AS definitions,
               (array_agg(k.conkey) FILTER (WHERE k.contype = 'p')) AS primary_key
        FROM pg_catalog.pg_constraint AS k
        JOIN relation AS c ON c.oid = k.conrelid
        WHERE k.contype IN ('p', 'u', 'f', 'c', 'x')
        GROUP BY k.conrelid
    ), object AS (
        SELECT c.nspname, c.relname::text AS object_name,
               CASE WHEN c.relkind = 'v' THEN 'view'
                    WHEN c.relkind = 'm' THEN 'materialized_view'
                    WHEN c.relispartition THEN 'partition' ELSE 'table' END AS object_kind,
               coalesce(a.has_business_id, false) AS has_business_id,
               c.relrowsecurity AS rls_enabled, c.relforcerowsecurity AS rls_forced,
               (SELECT count(*) FROM pg_catalog.pg_policy AS p
                WHERE p.polrelid = c.oid)::integer AS policy_count,
               (SELECT array_agg(b.attname::text ORDER BY key.position)
                FROM unnest(k.primary_key) WITH ORDINALITY AS key (attnum, position)
                JOIN pg_catalog.pg_attribute AS b
                    ON b.attrelid = c.oid AND b.attnum = key.attnum) AS primary_key_columns,
               c.relkind = 'p' AS is_partitioned, c.relowner AS owner,
               CASE WHEN c.relkind IN ('v', 'm')
                    THEN jsonb_build_object('definition', pg_get_viewdef(c.oid),
                                            'options', to_jsonb(c.reloptions))
                    ELSE jsonb_build_object('columns', a.columns,
                                            'constraints', k.definitions) END AS properties
        FROM relation AS c
        LEFT JOIN attribute AS a ON a.attrelid = c.oid
        LEFT JOIN restriction AS k ON k.conrelid = c.oid
        UNION ALL
        SELECT c.nspname, i.relname, 'index', false, false, false, 0, NULL, i.relkind = 'I',
               i.relowner,
               jsonb_build_object('table', c.relname, 'definition', pg_get_indexdef(i.oid),
                                  'is_valid', x.indisvalid)
        FROM pg_catalog.pg_index AS x
        JOIN relation AS c ON c.oid = x.indrelid
        JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
        UNION ALL
        SELECT c.nspname, c.relname || '.' || p.polname, 'policy', false, false, false, 0, NULL,
               false, c.relowner,
               jsonb_build_object('table', c.relname, 'command', p.polcmd,
                                  'permissive', p.polpermissive,
                                  'using', pg_get_expr(p.polqual, p.polrelid),
                                  'check', pg_get_expr(p.polwithcheck, p.polrelid))
        FROM pg_catalog.pg_policy AS p JOIN relation AS c ON c.oid = p.polrelid
        UNION ALL
        SELECT c.nspname, c.relname || '.' || t.tgname, 'trigger', false, false, false, 0, NULL,
               false, c.relowner,
               jsonb_build_object('table', c.relname, 'enabled', t.tgenabled,
                                  'definition', pg_get_triggerdef(t.oid))
        FROM pg_catalog.pg_trigger AS t JOIN relation AS c ON c.oid = t.tgrelid
        WHERE NOT t.tgisinternal
        UNION ALL
        SELECT own.nspname, format('%s(%s)', p.proname, pg_get_function_identity_arguments(p.oid)),
               'function', false, false, false, 0, NULL, false, p.proowner,
               jsonb_build_object('security_definer', p.prosecdef, 'volatility', p.provolatile,
                                  'settings', to_jsonb(p.proconfig),
                                  'definition', pg_get_functiondef(p.oid))
        FROM pg_catalog.pg_proc AS p JOIN own ON own.oid = p.pronamespace
        WHERE p.prokind <> 'a' AND NOT EXISTS (
            SELECT FROM foreign_object AS x
            WHERE x.classid = 'pg_catalog.pg_proc'::regclass AND x.objid = p.oid)
        UNION ALL
        SELECT own.nspname, t.typname, 'type', false, false, false, 0, NULL, false, t.typowner,
               jsonb_build_object('base', format_type(t.typbasetype, t.typtypmod), 'constraints', (
                   SELECT jsonb_agg(pg_get_constraintdef(k.oid) ORDER BY k.conname)
                   FROM pg_catalog.pg_constraint AS k WHERE k.contypid = t.oid))
        FROM pg_catalog.pg_type AS t JOIN own ON own.oid = t.typnamespace
        WHERE t.typtype IN ('d', 'e') AND NOT EXISTS (
            SELECT FROM foreign_object AS x
            WHERE x.classid = 'pg_catalog.pg_type'::regclass AND x.objid = t.oid)
    )
    SELECT tenant, run, o.nspname, o.object_name, o.object_kind, o.has_business_id, o.rls_enabled,
           o.rls_forced, o.policy_count, coalesce(o.primary_key_columns, '{}'),
           o.is_partitioned, pg_get_userbyid(o.owner),
           sha256(convert_to(o.properties::text, 'UTF8')), jsonb_strip_nulls(o.properties)
    FROM object AS o;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END
$$;
COMMENT ON FUNCTION observability.take_inventory(uuid) IS
    'Writes what the catalog holds as schema_object rows of a check run of the current tenant,
     without the server''s and extensions'' own; returns how many. Reads the catalog only, so any
     role may.';


CREATE FUNCTION observability.schema_drift(from_run uuid, to_run uuid)
    RETURNS TABLE (schema_name text, object_name text, object_kind text, change text,
                   columns_changed text[])
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(n.schema_name, o.schema_name), coalesce(n.object_name, o.object_name),
           coalesce(n.object_kind, o.object_kind),
           CASE WHEN o.schema_object_id IS NULL THEN 'added'
                WHEN n.schema_object_id IS NULL THEN 'removed' ELSE 'changed' END,
           (SELECT array_agg(coalesce(a.name, b.name) ORDER BY coalesce(a.name, b.name))
            FROM JSON_TABLE(n.properties::jsonb, '$.columns[*]' COLUMNS (
                name text PATH '$.name', type text PATH '$.type',
                not_null boolean PATH '$.not_null')) AS a
            FULL JOIN JSON_TABLE(o.properties::jsonb, '$.columns[*]' COLUMNS (
                name text PATH '$.name', type text PATH '$.type',
                not_null boolean PATH '$.not_null')) AS b ON b.name = a.name
            WHERE (a.type, a.not_null) IS DISTINCT FROM (b.type, b.not_null)
                AND o.schema_object_id IS NOT NULL AND n.schema_object_id IS NOT NULL)
    FROM (SELECT s.* FROM observability.schema_object AS s
          WHERE s.business_id = tenant_mgmt.current_business_id()
              AND s.check_run_id = from_run) AS o
    FULL JOIN (SELECT s.* FROM observability.schema_object AS s
               WHERE s.business_id = tenant_mgmt.current_business_id()
                   AND s.check_run_id = to_run) AS n
        ON n.schema_name = o.schema_name AND n.object_name = o.object_name
       AND n.object_kind = o.object_kind
    WHERE n.definition_sha256 IS DISTINCT FROM o.definition_sha256
        OR (n.rls_enabled, n.rls_forced, n.policy_count)
            IS DISTINCT FROM (o.rls_enabled, o.rls_forced, o.policy_count)
    ORDER BY 1, 2, 3;
END;
COMMENT ON FUNCTION observability.schema_drift(uuid, uuid) IS
    'What the inventories of two runs of the current tenant do not have in common: objects added,
     removed or changed, policies included, and of changed tables the columns that differ.';


CREATE FUNCTION observability.isolation_coverage(run uuid)
    RETURNS TABLE (schema_name text, object_name text, attempt text)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH probe AS (
        SELECT p.schema_name, p.object_name, p.attempt, p.outcome
        FROM observability.isolation_probe AS p
        WHERE p.business_id = tenant_mgmt.current_business_id() AND p.check_run_id = run
    ), inventory AS (
        -- That of the run, or the last one before it.
        SELECT r.check_run_id
        FROM observability.check_run AS r
        WHERE r.business_id = tenant_mgmt.current_business_id()
            AND r.started_at <= (SELECT x.started_at FROM observability.check_run AS x
                                 WHERE x.business_id = tenant_mgmt.current_business_id()
                                     AND x.check_run_id = run)
            AND EXISTS (SELECT FROM observability.schema_object AS s
                        WHERE s.business_id = r.business_id AND s.check_run_id = r.check_run_id)
        ORDER BY r.check_run_id = run DESC, r.started_at DESC
        LIMIT 1
    ), attempted AS (
        SELECT a.attempt
        FROM unnest(ARRAY['select', 'insert', 'update', 'delete', 'unset_setting']) AS a (attempt)
        UNION
        SELECT p.attempt FROM probe AS p
    )
    SELECT s.schema_name, s.object_name, a.attempt
    FROM inventory AS i
    JOIN observability.schema_object AS s
        ON s.business_id = tenant_mgmt.current_business_id()
       AND s.check_run_id = i.check_run_id AND s.object_kind = 'table'
    CROSS JOIN attempted AS a
    WHERE NOT EXISTS (
        SELECT FROM probe AS p
        WHERE p.schema_name = s.schema_name AND p.object_name = s.object_name
            AND p.attempt = a.attempt AND p.outcome <> 'not_applicable')
    ORDER BY s.schema_name, s.object_name, a.attempt;
END;
COMMENT ON FUNCTION observability.isolation_coverage(uuid) IS
    'The gaps of a run of the current tenant: each table of its inventory (or the last before
     it) with each attempt that was not made on it, or made without proving anything. Attempts
     are reading, writing and no tenant set, and whatever else the run tried.';


CREATE VIEW observability.v_open_finding WITH (security_invoker = true) AS
    SELECT f.business_id, f.finding_id, d.check_code, d.family, f.severity, f.status,
           f.schema_name, f.object_name, f.title, f.detail, d.remediation, d.blocks_ci,
           f.occurrences, f.assigned_to, f.first_seen_at, f.last_seen_at,
           now() - f.first_seen_at AS age,
           array_position(ARRAY['critical', 'error', 'warning', 'info'], f.severity)
               AS severity_rank
    FROM observability.finding AS f
    JOIN observability.check_definition AS d
        ON d.business_id = f.business_id AND d.check_definition_id = f.check_definition_id
    WHERE f.business_id = tenant_mgmt.current_business_id()
        AND f.status IN ('open', 'acknowledged', 'reopened');
COMMENT ON VIEW observability.v_open_finding IS
    'Open findings with their rule; order by severity_rank (1 is critical), age and object.';
GRANT SELECT ON observability.v_open_finding TO app_user, app_readonly;


CREATE VIEW observability.v_rls_gap WITH (security_invoker = true) AS
    SELECT s.business_id, s.check_run_id, s.schema_name, s.object_name, s.object_kind, g.gap
    FROM (
        SELECT r.business_id, r.check_run_id
        FROM observability.check_run AS r
        WHERE r.business_id = tenant_mgmt.current_business_id()
            AND EXISTS (SELECT FROM observability.schema_object AS x
                        WHERE x.business_id = r.business_id AND x.check_run_id = r.check_run_id)
        ORDER BY r.started_at DESC
        LIMIT 1
    ) AS r
    JOIN observability.schema_object AS s
        ON s.business_id = r.business_id AND s.check_run_id = r.check_run_id
       AND s.object_kind IN ('table', 'partition')
    CROSS JOIN LATERAL (VALUES
        ('no business_id', NOT s.has_business_id),
        ('row security not enabled', NOT s.rls_enabled),
        ('row security not forced', s.rls_enabled AND NOT s.rls_forced),
        ('no policy', s.rls_enabled AND s.policy_count = 0),
        ('primary key without business_id',
         s.has_business_id AND NOT 'business_id' = ANY (s.primary_key_columns))
    ) AS g (gap, is_there)
    WHERE g.is_there;
COMMENT ON VIEW observability.v_rls_gap IS
    'What tables and partitions of the last inventory lack to keep tenants apart.';
GRANT SELECT ON observability.v_rls_gap TO app_user, app_readonly;
