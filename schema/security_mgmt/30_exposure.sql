/*
 * Exposure: assets, their software, its vulnerabilities and what is done about them.
 *
 * security_asset is what can be attacked, software_component a package on it. vulnerability is a
 * known weakness with its scores; vulnerability_finding says that it is on an asset, from first
 * seen to verified closed, and by when it has to be gone. scan_run is what found it: ingest_scan()
 * takes its report. remediation_task is the work on findings, risk_acceptance the decision to live
 * with one for a time. penetration_test is a test by people, with scope and result.
 *
 * risk_acceptance.security_risk_id and penetration_test.third_party_id refer to tables of
 * 50_governance.sql, which adds the foreign keys.
 */

CREATE TABLE security_mgmt.security_asset (
    business_id                     uuid             NOT NULL,
    security_asset_id               uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    owner_user_account_id           uuid,
    business_location_id            uuid,
    asset_tag                       system_core.code NOT NULL,
    name                            text             NOT NULL,
    asset_kind                      text             NOT NULL,
    environment                     text             NOT NULL DEFAULT 'production',
    criticality                     text             NOT NULL DEFAULT 'medium',
    data_classes                    text[]           NOT NULL DEFAULT '{}',
    internet_facing                 boolean          NOT NULL DEFAULT false,
    in_pci_scope                    boolean          NOT NULL DEFAULT false,
    holds_phi                       boolean          NOT NULL DEFAULT false,
    lifecycle                       text             NOT NULL DEFAULT 'active',
    recovery_time_objective_minutes integer,
    last_seen_at                    timestamptz,
    created_at                      timestamptz      NOT NULL DEFAULT now(),
    updated_at                      timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, security_asset_id),
    UNIQUE (business_id, asset_tag),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, business_location_id)
        REFERENCES tenant_mgmt.business_location (business_id, business_location_id),
    CONSTRAINT security_asset_kind_known
        CHECK (asset_kind IN ('server', 'endpoint', 'mobile', 'pos_terminal', 'network',
                              'application', 'database', 'cloud_account', 'saas', 'iot',
                              'site')),
    CONSTRAINT security_asset_environment_known
        CHECK (environment IN ('production', 'staging', 'development', 'store')),
    CONSTRAINT security_asset_criticality_known
        CHECK (criticality IN ('low', 'medium', 'high', 'mission')),
    CONSTRAINT security_asset_lifecycle_known
        CHECK (lifecycle IN ('planned', 'active', 'end_of_support', 'retired')),
    CONSTRAINT security_asset_data_classes_known
        CHECK (data_classes <@ ARRAY['public', 'internal', 'confidential', 'personal', 'health',
                                     'cardholder', 'secret']),
    CONSTRAINT security_asset_recovery_time_positive
        CHECK (recovery_time_objective_minutes > 0)
);

COMMENT ON TABLE security_mgmt.security_asset IS
    'A system, device, application, data store or site with value and owner.';
COMMENT ON COLUMN security_mgmt.security_asset.criticality IS
    'What its loss would mean; without mission assets the business stops.';
COMMENT ON COLUMN security_mgmt.security_asset.in_pci_scope IS
    'Part of, or connected to, the cardholder data environment.';
COMMENT ON COLUMN security_mgmt.security_asset.holds_phi IS
    'Protected health information lies on it.';

-- FK: assets of an owner.
CREATE INDEX security_asset_owner_idx
    ON security_mgmt.security_asset (business_id, owner_user_account_id)
    WHERE owner_user_account_id IS NOT NULL;

-- FK: assets at a location.
CREATE INDEX security_asset_location_idx
    ON security_mgmt.security_asset (business_id, business_location_id)
    WHERE business_location_id IS NOT NULL;

ALTER TABLE security_mgmt.security_asset ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.security_asset
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.security_asset TO app_user;
GRANT SELECT ON security_mgmt.security_asset TO app_readonly;

CREATE TRIGGER security_asset_touch
    BEFORE UPDATE ON security_mgmt.security_asset
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

ALTER TABLE security_mgmt.security_alert
    ADD FOREIGN KEY (business_id, security_asset_id)
        REFERENCES security_mgmt.security_asset (business_id, security_asset_id);


CREATE TABLE security_mgmt.software_component (
    business_id           uuid        NOT NULL,
    software_component_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    security_asset_id     uuid        NOT NULL,
    package_name          text        NOT NULL,
    ecosystem             text        NOT NULL,
    version               text        NOT NULL,
    purl                  text        NOT NULL,
    license               text,
    supplier              text,
    is_direct             boolean     NOT NULL DEFAULT true,
    end_of_support_on     date,
    first_seen_at         timestamptz NOT NULL DEFAULT now(),
    last_seen_at          timestamptz NOT NULL DEFAULT now(),
    removed_at            timestamptz,
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, software_component_id),
    -- Also the components of an asset.
    UNIQUE (business_id, security_asset_id, purl),
    FOREIGN KEY (business_id, security_asset_id)
        REFERENCES security_mgmt.security_asset (business_id, security_asset_id),
    CONSTRAINT software_component_ecosystem_known
        CHECK (ecosystem IN ('deb', 'rpm', 'npm', 'pypi', 'maven', 'go', 'firmware',
                             'windows')),
    CONSTRAINT software_component_purl_shape CHECK (purl ~ '^pkg:[a-z0-9.+-]+/[^\s]+$'),
    CONSTRAINT software_component_seen_in_order CHECK (last_seen_at >= first_seen_at),
    CONSTRAINT software_component_removed_after_last_seen CHECK (removed_at >= last_seen_at)
);

COMMENT ON TABLE security_mgmt.software_component IS
    'A package or library on an asset: one line of its bill of materials (SBOM).';
COMMENT ON COLUMN security_mgmt.software_component.purl IS
    'Package URL, such as pkg:deb/debian/openssl@3.0.11.';
COMMENT ON COLUMN security_mgmt.software_component.is_direct IS
    'Installed for its own sake, not because another component needs it.';

-- Where is this package? Asked when a new weakness of it becomes known.
CREATE INDEX software_component_package_idx
    ON security_mgmt.software_component (business_id, package_name, version)
    WHERE removed_at IS NULL;

ALTER TABLE security_mgmt.software_component ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.software_component
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.software_component TO app_user;
GRANT SELECT ON security_mgmt.software_component TO app_readonly;

CREATE TRIGGER software_component_touch
    BEFORE UPDATE ON security_mgmt.software_component
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE security_mgmt.scan_run (
    business_id      uuid               NOT NULL,
    scan_run_id      uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    started_by       uuid,
    scanner          text               NOT NULL,
    scan_kind        text               NOT NULL,
    status           text               NOT NULL DEFAULT 'running',
    targets_planned  integer            NOT NULL DEFAULT 0,
    targets_scanned  integer            NOT NULL DEFAULT 0,
    findings_new     integer            NOT NULL DEFAULT 0,
    findings_closed  integer            NOT NULL DEFAULT 0,
    is_authenticated boolean            NOT NULL DEFAULT false,
    report_sha256    system_core.sha256,
    started_at       timestamptz        NOT NULL DEFAULT now(),
    finished_at      timestamptz,
    created_at       timestamptz        NOT NULL DEFAULT now(),
    updated_at       timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, scan_run_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, started_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT scan_run_kind_known
        CHECK (scan_kind IN ('infrastructure', 'dependency', 'container', 'web', 'configuration',
                             'pci_asv', 'secrets')),
    CONSTRAINT scan_run_status_known
        CHECK (status IN ('running', 'finished', 'failed', 'aborted')),
    CONSTRAINT scan_run_counts_not_negative
        CHECK (targets_scanned >= 0 AND findings_new >= 0 AND findings_closed >= 0),
    CONSTRAINT scan_run_scanned_were_planned CHECK (targets_scanned <= targets_planned),
    CONSTRAINT scan_run_finished_after_start CHECK (finished_at >= started_at),
    CONSTRAINT scan_run_ended_has_time CHECK ((status = 'running') = (finished_at IS NULL)),
    CONSTRAINT scan_run_closes_only_when_finished
        CHECK (status = 'finished' OR findings_closed = 0)
);

COMMENT ON TABLE security_mgmt.scan_run IS
    'A scan for weaknesses or misconfiguration, with how much of the plan it covered.';
COMMENT ON COLUMN security_mgmt.scan_run.is_authenticated IS
    'It signed in to the targets and saw what is inside.';
COMMENT ON COLUMN security_mgmt.scan_run.report_sha256 IS 'Of the report that ingest_scan() took.';

-- The newest runs of a scanner.
CREATE INDEX scan_run_scanner_idx
    ON security_mgmt.scan_run (business_id, scanner, scan_kind, started_at);

-- FK: who started it.
CREATE INDEX scan_run_started_by_idx
    ON security_mgmt.scan_run (business_id, started_by)
    WHERE started_by IS NOT NULL;

ALTER TABLE security_mgmt.scan_run ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.scan_run
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.scan_run TO app_user;
GRANT SELECT ON security_mgmt.scan_run TO app_readonly;

CREATE TRIGGER scan_run_touch
    BEFORE UPDATE ON security_mgmt.scan_run
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER scan_run_status_machine
    BEFORE INSERT OR UPDATE OF status ON security_mgmt.scan_run
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["running"],
        "transitions": {
            "running":  ["finished", "failed", "aborted"],
            "finished": [],
            "failed":   [],
            "aborted":  []
        }}');


CREATE TABLE security_mgmt.vulnerability (
    business_id        uuid                    NOT NULL,
    vulnerability_id   uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    identifier         system_core.code        NOT NULL,
    title              text                    NOT NULL,
    cwe                text,
    cvss_version       text,
    cvss_score         system_core.score,
    cvss_vector        text,
    epss_probability   system_core.probability,
    is_known_exploited boolean                 NOT NULL DEFAULT false,
    fix_available      boolean                 NOT NULL DEFAULT false,
    references_list    system_core.json_array  NOT NULL DEFAULT '[]',
    kev_due_on         date,
    published_on       date,
    created_at         timestamptz             NOT NULL DEFAULT now(),
    updated_at         timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, vulnerability_id),
    UNIQUE (business_id, identifier),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT vulnerability_cwe_shape CHECK (cwe ~ '^CWE-[0-9]{1,5}$'),
    CONSTRAINT vulnerability_cvss_version_known CHECK (cvss_version IN ('v3_1', 'v4_0')),
    CONSTRAINT vulnerability_cvss_score_bounded CHECK (cvss_score BETWEEN 0 AND 10),
    CONSTRAINT vulnerability_score_has_version
        CHECK (cvss_score IS NULL OR cvss_version IS NOT NULL),
    CONSTRAINT vulnerability_vector_of_version
        CHECK (starts_with(cvss_vector, CASE cvss_version WHEN 'v4_0' THEN 'CVSS:4.0/'
                                                          ELSE 'CVSS:3.1/' END)),
    CONSTRAINT vulnerability_exploited_has_due_date
        CHECK (NOT is_known_exploited OR kev_due_on IS NOT NULL)
);

COMMENT ON TABLE security_mgmt.vulnerability IS
    'A known weakness by its CVE or the scanner''s own identifier, with its scores.';
COMMENT ON COLUMN security_mgmt.vulnerability.epss_probability IS
    'That it is exploited within 30 days (EPSS).';
COMMENT ON COLUMN security_mgmt.vulnerability.is_known_exploited IS
    'In the catalog of known exploited vulnerabilities (CISA KEV), which says by when to act.';
COMMENT ON COLUMN security_mgmt.vulnerability.references_list IS
    'Advisories, as [{"source", "url"}].';

ALTER TABLE security_mgmt.vulnerability ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.vulnerability
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.vulnerability TO app_user;
GRANT SELECT ON security_mgmt.vulnerability TO app_readonly;

CREATE TRIGGER vulnerability_touch
    BEFORE UPDATE ON security_mgmt.vulnerability
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE security_mgmt.remediation_task (
    business_id              uuid             NOT NULL,
    remediation_task_id      uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    assignee_user_account_id uuid,
    security_asset_id        uuid,
    task_number              system_core.code NOT NULL,
    method                   text             NOT NULL,
    title                    text             NOT NULL,
    state                    text             NOT NULL DEFAULT 'open',
    verification             text             NOT NULL DEFAULT 'none',
    finding_count            integer          NOT NULL DEFAULT 0,
    change_reference         text,
    due_on                   date,
    started_at               timestamptz,
    done_at                  timestamptz,
    created_at               timestamptz      NOT NULL DEFAULT now(),
    updated_at               timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, remediation_task_id),
    UNIQUE (business_id, task_number),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, assignee_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, security_asset_id)
        REFERENCES security_mgmt.security_asset (business_id, security_asset_id),
    CONSTRAINT remediation_task_method_known
        CHECK (method IN ('patch', 'upgrade', 'configuration', 'compensating_control',
                          'decommission')),
    CONSTRAINT remediation_task_state_known
        CHECK (state IN ('open', 'planned', 'in_progress', 'awaiting_verification', 'done',
                         'cancelled')),
    CONSTRAINT remediation_task_verification_known
        CHECK (verification IN ('scan', 'manual', 'none')),
    CONSTRAINT remediation_task_findings_not_negative CHECK (finding_count >= 0),
    CONSTRAINT remediation_task_done_was_verified
        CHECK (state <> 'done' OR verification <> 'none'),
    CONSTRAINT remediation_task_done_after_start CHECK (done_at >= started_at),
    CONSTRAINT remediation_task_done_has_time CHECK ((state = 'done') = (done_at IS NOT NULL))
);

COMMENT ON TABLE security_mgmt.remediation_task IS
    'Work to close findings, by patch, configuration or replacement.';
COMMENT ON COLUMN security_mgmt.remediation_task.finding_count IS
    'Findings that name it; kept by triggers.';
COMMENT ON COLUMN security_mgmt.remediation_task.change_reference IS
    'The change request it is done under.';

-- FK: the tasks of an assignee.
CREATE INDEX remediation_task_assignee_idx
    ON security_mgmt.remediation_task (business_id, assignee_user_account_id, due_on)
    WHERE assignee_user_account_id IS NOT NULL;

-- FK: tasks on an asset.
CREATE INDEX remediation_task_asset_idx
    ON security_mgmt.remediation_task (business_id, security_asset_id)
    WHERE security_asset_id IS NOT NULL;

ALTER TABLE security_mgmt.remediation_task ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.remediation_task
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.remediation_task TO app_user;
GRANT SELECT ON security_mgmt.remediation_task TO app_readonly;

CREATE TRIGGER remediation_task_touch
    BEFORE UPDATE ON security_mgmt.remediation_task
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER remediation_task_state_machine
    BEFORE INSERT OR UPDATE OF state ON security_mgmt.remediation_task
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["open"],
        "transitions": {
            "open":                  ["planned", "in_progress", "cancelled"],
            "planned":               ["in_progress", "open", "cancelled"],
            "in_progress":           ["awaiting_verification", "planned", "cancelled"],
            "awaiting_verification": ["done", "in_progress", "cancelled"],
            "done":                  [],
            "cancelled":             []
        }}');

CREATE FUNCTION security_mgmt.prepare_remediation() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.task_number IS NULL THEN
        NEW.task_number := system_core.number_document(
            NEW.business_id, 'remediation_task', 'REM-', NEW.remediation_task_id);
    END IF;
    IF NEW.state IN ('in_progress', 'awaiting_verification', 'done') THEN
        NEW.started_at := coalesce(NEW.started_at, now());
    END IF;
    IF NEW.state = 'done' THEN
        NEW.done_at := coalesce(NEW.done_at, greatest(now(), NEW.started_at));
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION security_mgmt.prepare_remediation() IS
    'Numbers a task that comes without a number; its times follow its state.';

CREATE TRIGGER remediation_task_prepare
    BEFORE INSERT OR UPDATE OF state ON security_mgmt.remediation_task
    FOR EACH ROW
    WHEN (NEW.task_number IS NULL
          OR NEW.state IN ('in_progress', 'awaiting_verification', 'done'))
    EXECUTE FUNCTION security_mgmt.prepare_remediation();


CREATE FUNCTION security_mgmt.sla_days(severity text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE severity WHEN 'critical' THEN 15 WHEN 'high' THEN 30
                         WHEN 'medium' THEN 90 WHEN 'low' THEN 180 END;
COMMENT ON FUNCTION security_mgmt.sla_days(text) IS
    'Days in which a finding of a severity has to be closed.';


CREATE TABLE security_mgmt.vulnerability_finding (
    business_id              uuid                    NOT NULL,
    vulnerability_finding_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    vulnerability_id         uuid                    NOT NULL,
    security_asset_id        uuid                    NOT NULL,
    software_component_id    uuid,
    first_scan_run_id        uuid                    NOT NULL,
    last_scan_run_id         uuid,
    remediation_task_id      uuid,
    location                 text,
    severity                 text                    NOT NULL,
    priority_score           system_core.score       NOT NULL DEFAULT 0,
    status                   text                    NOT NULL DEFAULT 'open',
    sla_due_on               date                    NOT NULL GENERATED ALWAYS AS (
                                 (opened_at AT TIME ZONE 'UTC')::date
                                 + security_mgmt.sla_days(severity)) STORED,
    is_sla_breached          boolean                 NOT NULL DEFAULT false,
    reopened_count           integer                 NOT NULL DEFAULT 0,
    evidence                 system_core.json_object,
    first_seen_at            timestamptz             NOT NULL DEFAULT now(),
    last_seen_at             timestamptz             NOT NULL DEFAULT now(),
    opened_at                timestamptz             NOT NULL DEFAULT now(),
    closed_at                timestamptz,
    created_at               timestamptz             NOT NULL DEFAULT now(),
    updated_at               timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, vulnerability_finding_id),
    UNIQUE NULLS NOT DISTINCT (business_id, vulnerability_id, security_asset_id, location),
    FOREIGN KEY (business_id, vulnerability_id)
        REFERENCES security_mgmt.vulnerability (business_id, vulnerability_id),
    FOREIGN KEY (business_id, security_asset_id)
        REFERENCES security_mgmt.security_asset (business_id, security_asset_id),
    FOREIGN KEY (business_id, software_component_id)
        REFERENCES security_mgmt.software_component (business_id, software_component_id),
    FOREIGN KEY (business_id, first_scan_run_id)
        REFERENCES security_mgmt.scan_run (business_id, scan_run_id),
    FOREIGN KEY (business_id, last_scan_run_id)
        REFERENCES security_mgmt.scan_run (business_id, scan_run_id),
    FOREIGN KEY (business_id, remediation_task_id)
        REFERENCES security_mgmt.remediation_task (business_id, remediation_task_id),
    CONSTRAINT vulnerability_finding_severity_known
        CHECK (severity IN ('low', 'medium', 'high', 'critical')),
    CONSTRAINT vulnerability_finding_status_known
        CHECK (status IN ('open', 'in_remediation', 'fixed_unverified', 'closed',
                          'risk_accepted', 'false_positive', 'reopened')),
    CONSTRAINT vulnerability_finding_priority_bounded CHECK (priority_score BETWEEN 0 AND 100),
    CONSTRAINT vulnerability_finding_reopened_not_negative CHECK (reopened_count >= 0),
    CONSTRAINT vulnerability_finding_reopened_was_closed
        CHECK (status <> 'reopened' OR reopened_count > 0),
    CONSTRAINT vulnerability_finding_seen_in_order CHECK (last_seen_at >= first_seen_at),
    CONSTRAINT vulnerability_finding_opened_when_seen CHECK (opened_at >= first_seen_at),
    CONSTRAINT vulnerability_finding_closed_has_time
        CHECK ((status = 'closed') = (closed_at IS NOT NULL)),
    CONSTRAINT vulnerability_finding_closed_after_opening CHECK (closed_at >= opened_at)
);

COMMENT ON TABLE security_mgmt.vulnerability_finding IS
    'A weakness on an asset, from first seen to verified closed.';
COMMENT ON COLUMN security_mgmt.vulnerability_finding.location IS
    'Where on the asset: a port, a path, a setting; NULL is the asset as such.';
COMMENT ON COLUMN security_mgmt.vulnerability_finding.opened_at IS
    'When its time to be closed began: first seen, or reopened.';
COMMENT ON COLUMN security_mgmt.vulnerability_finding.sla_due_on IS
    'The last day (UTC) on which it may be open, by severity.';
COMMENT ON COLUMN security_mgmt.vulnerability_finding.is_sla_breached IS
    'Closed, or still open, after sla_due_on; kept by triggers and prioritize_findings().';
COMMENT ON COLUMN security_mgmt.vulnerability_finding.priority_score IS
    'What to do first, 100 before 0; see prioritize_findings().';

-- finding_worklist: open findings, what to do first.
CREATE INDEX vulnerability_finding_worklist_idx
    ON security_mgmt.vulnerability_finding (business_id, priority_score DESC)
    WHERE status IN ('open', 'in_remediation', 'fixed_unverified', 'reopened');

-- v_finding_sla: open findings by due date.
CREATE INDEX vulnerability_finding_due_idx
    ON security_mgmt.vulnerability_finding (business_id, sla_due_on)
    WHERE status IN ('open', 'in_remediation', 'fixed_unverified', 'reopened');

-- FK: findings on an asset.
CREATE INDEX vulnerability_finding_asset_idx
    ON security_mgmt.vulnerability_finding (business_id, security_asset_id, status);

-- FK: findings in a component.
CREATE INDEX vulnerability_finding_component_idx
    ON security_mgmt.vulnerability_finding (business_id, software_component_id)
    WHERE software_component_id IS NOT NULL;

-- FK: what a run found first.
CREATE INDEX vulnerability_finding_first_run_idx
    ON security_mgmt.vulnerability_finding (business_id, first_scan_run_id);

-- FK: what a run saw last.
CREATE INDEX vulnerability_finding_last_run_idx
    ON security_mgmt.vulnerability_finding (business_id, last_scan_run_id)
    WHERE last_scan_run_id IS NOT NULL;

-- FK: the findings of a task.
CREATE INDEX vulnerability_finding_task_idx
    ON security_mgmt.vulnerability_finding (business_id, remediation_task_id)
    WHERE remediation_task_id IS NOT NULL;

ALTER TABLE security_mgmt.vulnerability_finding
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.vulnerability_finding
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.vulnerability_finding TO app_user;
GRANT SELECT ON security_mgmt.vulnerability_finding TO app_readonly;
GRANT SELECT ON security_mgmt.vulnerability_finding TO matview_owner;

CREATE TRIGGER vulnerability_finding_touch
    BEFORE UPDATE ON security_mgmt.vulnerability_finding
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER vulnerability_finding_status_machine
    BEFORE INSERT OR UPDATE OF status ON security_mgmt.vulnerability_finding
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["open"],
        "transitions": {
            "open":             ["in_remediation", "risk_accepted", "false_positive", "closed"],
            "in_remediation":   ["fixed_unverified", "open"],
            "fixed_unverified": ["closed", "reopened"],
            "closed":           ["reopened"],
            "risk_accepted":    ["open"],
            "false_positive":   ["reopened"],
            "reopened":         ["in_remediation", "risk_accepted", "false_positive"]
        }}');

CREATE FUNCTION security_mgmt.follow_finding() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.status <> OLD.status THEN
        IF NEW.status = 'risk_accepted' AND row_security_active(TG_RELID) AND NOT EXISTS (
            SELECT FROM security_mgmt.risk_acceptance AS a
            WHERE a.business_id = NEW.business_id
              AND a.vulnerability_finding_id = NEW.vulnerability_finding_id
              AND a.state = 'accepted') THEN
            RAISE EXCEPTION 'nobody has accepted the risk of this finding'
                USING ERRCODE = 'check_violation', HINT = 'Accept a risk_acceptance for it.';
        END IF;
        IF NEW.status = 'reopened' THEN
            NEW.reopened_count := OLD.reopened_count + 1;
            NEW.opened_at := greatest(now(), NEW.first_seen_at);
        END IF;
        NEW.closed_at := CASE WHEN NEW.status = 'closed'
                              THEN coalesce(NEW.closed_at, greatest(now(), NEW.opened_at)) END;
    END IF;
    IF NEW.status NOT IN ('risk_accepted', 'false_positive') THEN
        NEW.is_sla_breached :=
            (coalesce(NEW.closed_at, now()) AT TIME ZONE 'UTC')::date
            > (NEW.opened_at AT TIME ZONE 'UTC')::date + security_mgmt.sla_days(NEW.severity);
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION security_mgmt.follow_finding() IS
    'Counts reopenings, which begin the time to close anew, keeps closed_at with the status and
     marks what was or is open too long. Only an accepted risk_acceptance makes risk_accepted.';

-- After the state machine by name.
CREATE TRIGGER vulnerability_finding_status_time
    BEFORE INSERT OR UPDATE ON security_mgmt.vulnerability_finding
    FOR EACH ROW EXECUTE FUNCTION security_mgmt.follow_finding();

CREATE FUNCTION security_mgmt.count_task_findings() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        UPDATE security_mgmt.remediation_task AS t
        SET finding_count = t.finding_count + n.change
        FROM (SELECT a.business_id, a.remediation_task_id, count(*) AS change
              FROM added AS a GROUP BY a.business_id, a.remediation_task_id) AS n
        WHERE t.business_id = n.business_id AND t.remediation_task_id = n.remediation_task_id;
    ELSIF TG_OP = 'DELETE' THEN
        UPDATE security_mgmt.remediation_task AS t
        SET finding_count = t.finding_count - n.change
        FROM (SELECT r.business_id, r.remediation_task_id, count(*) AS change
              FROM removed AS r GROUP BY r.business_id, r.remediation_task_id) AS n
        WHERE t.business_id = n.business_id AND t.remediation_task_id = n.remediation_task_id;
    ELSE
        UPDATE security_mgmt.remediation_task AS t
        SET finding_count = t.finding_count + n.change
        FROM (
            SELECT c.business_id, c.remediation_task_id, sum(c.change) AS change
            FROM (SELECT a.business_id, a.remediation_task_id, 1 AS change FROM added AS a
                  UNION ALL
                  SELECT r.business_id, r.remediation_task_id, -1 FROM removed AS r) AS c
            GROUP BY c.business_id, c.remediation_task_id
            HAVING sum(c.change) <> 0
        ) AS n
        WHERE t.business_id = n.business_id AND t.remediation_task_id = n.remediation_task_id;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION security_mgmt.count_task_findings() IS
    'A task counts the findings that name it.';

CREATE TRIGGER vulnerability_finding_count_insert
    AFTER INSERT ON security_mgmt.vulnerability_finding REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION security_mgmt.count_task_findings();

CREATE TRIGGER vulnerability_finding_count_update
    AFTER UPDATE ON security_mgmt.vulnerability_finding
    REFERENCING OLD TABLE AS removed NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION security_mgmt.count_task_findings();

CREATE TRIGGER vulnerability_finding_count_delete
    AFTER DELETE ON security_mgmt.vulnerability_finding REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION security_mgmt.count_task_findings();

CREATE FUNCTION security_mgmt.warn_of_open_findings() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    open_count integer;
BEGIN
    SELECT count(*) INTO open_count
    FROM security_mgmt.vulnerability_finding AS f
    WHERE f.business_id = NEW.business_id AND f.security_asset_id = NEW.security_asset_id
      AND f.status IN ('open', 'in_remediation', 'fixed_unverified', 'reopened');
    IF open_count > 0 THEN
        RAISE WARNING 'asset % is retired with % open findings', NEW.asset_tag, open_count
            USING HINT = 'Close them, or say what becomes of the asset.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION security_mgmt.warn_of_open_findings() IS
    'A retired asset should have no open findings; who retires it is told, not stopped.';

CREATE TRIGGER security_asset_retired
    AFTER UPDATE OF lifecycle ON security_mgmt.security_asset
    FOR EACH ROW WHEN (NEW.lifecycle = 'retired' AND OLD.lifecycle <> 'retired')
    EXECUTE FUNCTION security_mgmt.warn_of_open_findings();


CREATE TABLE security_mgmt.risk_acceptance (
    business_id                 uuid        NOT NULL,
    risk_acceptance_id          uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    vulnerability_finding_id    uuid,
    security_risk_id            uuid,
    accepted_by_user_account_id uuid,
    file_object_id              uuid,
    reason                      text        NOT NULL,
    compensating_controls       text,
    conditions                  text,
    residual_rating             text        NOT NULL,
    review_interval_days        integer     NOT NULL DEFAULT 90,
    state                       text        NOT NULL DEFAULT 'requested',
    expires_on                  date        NOT NULL,
    accepted_at                 timestamptz,
    revoked_at                  timestamptz,
    created_at                  timestamptz NOT NULL DEFAULT now(),
    updated_at                  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, risk_acceptance_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, vulnerability_finding_id)
        REFERENCES security_mgmt.vulnerability_finding (business_id, vulnerability_finding_id),
    FOREIGN KEY (business_id, accepted_by_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT risk_acceptance_residual_known
        CHECK (residual_rating IN ('low', 'medium', 'high')),
    CONSTRAINT risk_acceptance_state_known
        CHECK (state IN ('requested', 'accepted', 'expired', 'revoked', 'rejected')),
    CONSTRAINT risk_acceptance_of_one_thing
        CHECK (num_nonnulls(vulnerability_finding_id, security_risk_id) = 1),
    CONSTRAINT risk_acceptance_review_positive CHECK (review_interval_days > 0),
    CONSTRAINT risk_acceptance_accepted_by_somebody
        CHECK (state NOT IN ('accepted', 'expired', 'revoked')
               OR (accepted_at IS NOT NULL AND accepted_by_user_account_id IS NOT NULL)),
    CONSTRAINT risk_acceptance_for_a_year_at_most
        CHECK (expires_on <= ((accepted_at AT TIME ZONE 'UTC') + interval '1 year')::date),
    CONSTRAINT risk_acceptance_revoked_has_time
        CHECK ((state = 'revoked') = (revoked_at IS NOT NULL)),
    CONSTRAINT risk_acceptance_revoked_after_acceptance CHECK (revoked_at >= accepted_at)
);

COMMENT ON TABLE security_mgmt.risk_acceptance IS
    'The decision of somebody entitled to live with a finding or a risk for a time.';
COMMENT ON COLUMN security_mgmt.risk_acceptance.residual_rating IS
    'What is left with the compensating controls; high needs an owner.';
COMMENT ON COLUMN security_mgmt.risk_acceptance.security_risk_id IS
    'The risk of the register that is accepted, where it is not a finding.';

-- A finding is accepted once at a time. Serves the foreign key vulnerability_finding_id.
CREATE UNIQUE INDEX risk_acceptance_accepted_idx
    ON security_mgmt.risk_acceptance (business_id, vulnerability_finding_id)
    WHERE state = 'accepted';

-- FK: every acceptance of a finding.
CREATE INDEX risk_acceptance_finding_idx
    ON security_mgmt.risk_acceptance (business_id, vulnerability_finding_id)
    WHERE vulnerability_finding_id IS NOT NULL;

-- FK: every acceptance of a risk.
CREATE INDEX risk_acceptance_risk_idx
    ON security_mgmt.risk_acceptance (business_id, security_risk_id)
    WHERE security_risk_id IS NOT NULL;

-- expire_acceptances(), v_expiring_assurance.
CREATE INDEX risk_acceptance_expiry_idx
    ON security_mgmt.risk_acceptance (business_id, expires_on)
    WHERE state = 'accepted';

-- FK: who accepted.
CREATE INDEX risk_acceptance_accepted_by_idx
    ON security_mgmt.risk_acceptance (business_id, accepted_by_user_account_id)
    WHERE accepted_by_user_account_id IS NOT NULL;

-- FK: the signed paper.
CREATE INDEX risk_acceptance_file_idx
    ON security_mgmt.risk_acceptance (business_id, file_object_id)
    WHERE file_object_id IS NOT NULL;

ALTER TABLE security_mgmt.risk_acceptance ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.risk_acceptance
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.risk_acceptance TO app_user;
GRANT SELECT ON security_mgmt.risk_acceptance TO app_readonly;

CREATE TRIGGER risk_acceptance_touch
    BEFORE UPDATE ON security_mgmt.risk_acceptance
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER risk_acceptance_state_machine
    BEFORE INSERT OR UPDATE OF state ON security_mgmt.risk_acceptance
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["requested"],
        "transitions": {
            "requested": ["accepted", "rejected"],
            "accepted":  ["expired", "revoked"],
            "expired":   [],
            "revoked":   [],
            "rejected":  []
        }}');

CREATE FUNCTION security_mgmt.may_accept_high_risk(account uuid) RETURNS boolean
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF EXISTS (
        SELECT FROM tenant_mgmt.business_contact AS c
        WHERE c.business_id = tenant_mgmt.current_business_id()
          AND c.user_account_id = account
          AND c.role = 'owner' AND c.removed_at IS NULL) THEN
        RETURN true;
    END IF;
    RETURN EXISTS (
        SELECT FROM user_rbac.role_assignment AS a
        JOIN user_rbac.role AS r ON r.business_id = a.business_id AND r.role_id = a.role_id
        WHERE a.business_id = tenant_mgmt.current_business_id()
          AND a.user_account_id = account
          AND a.state = 'active' AND a.scope_kind = 'business'
          AND a.valid_from <= now() AND (a.valid_until > now() OR a.valid_until IS NULL)
          AND r.code = 'owner' AND r.status <> 'draft');
END
$$;
COMMENT ON FUNCTION security_mgmt.may_accept_high_risk(uuid) IS
    'Whether an account of the calling tenant is its owner: the contact of that kind, or one who
     holds the role owner for the whole business.';

CREATE FUNCTION security_mgmt.guard_acceptance() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    IF NEW.state = 'revoked' THEN
        NEW.revoked_at := coalesce(NEW.revoked_at, now());
        RETURN NEW;
    END IF;
    NEW.accepted_at := coalesce(NEW.accepted_at, now());
    IF NOT EXISTS (
        SELECT FROM user_mgmt.user_account AS u
        WHERE u.business_id = NEW.business_id
          AND u.user_account_id = NEW.accepted_by_user_account_id
          AND u.status = 'active' AND u.account_kind = 'staff') THEN
        RAISE EXCEPTION 'a risk is accepted by a member of staff who is active'
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.expires_on <= (now() AT TIME ZONE 'UTC')::date THEN
        RAISE EXCEPTION 'the acceptance would have expired on %', NEW.expires_on
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.residual_rating = 'high'
        AND NOT security_mgmt.may_accept_high_risk(NEW.accepted_by_user_account_id) THEN
        RAISE EXCEPTION 'a high residual risk is accepted by an owner of the business'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION security_mgmt.guard_acceptance() IS
    'Accepted by somebody entitled to, for a time that is not over.';

-- After the state machine by name.
CREATE TRIGGER risk_acceptance_step
    BEFORE UPDATE OF state ON security_mgmt.risk_acceptance
    FOR EACH ROW WHEN (NEW.state <> OLD.state AND NEW.state IN ('accepted', 'revoked'))
    EXECUTE FUNCTION security_mgmt.guard_acceptance();

CREATE FUNCTION security_mgmt.apply_acceptance() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    UPDATE security_mgmt.vulnerability_finding AS f
    SET status = CASE n.state WHEN 'accepted' THEN 'risk_accepted' ELSE 'open' END
    FROM acceptances AS n
    JOIN old_acceptances AS o
        ON o.business_id = n.business_id AND o.risk_acceptance_id = n.risk_acceptance_id
    WHERE f.business_id = n.business_id
      AND f.vulnerability_finding_id = n.vulnerability_finding_id
      AND n.state <> o.state
      AND (n.state = 'accepted'
           OR n.state IN ('expired', 'revoked') AND f.status = 'risk_accepted');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION security_mgmt.apply_acceptance() IS
    'The finding is accepted with its acceptance, and open again when that ends.';

CREATE TRIGGER risk_acceptance_apply
    AFTER UPDATE ON security_mgmt.risk_acceptance
    REFERENCING OLD TABLE AS old_acceptances NEW TABLE AS acceptances
    FOR EACH STATEMENT EXECUTE FUNCTION security_mgmt.apply_acceptance();


CREATE TABLE security_mgmt.penetration_test (
    business_id           uuid                    NOT NULL,
    penetration_test_id   uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    third_party_id        uuid,
    report_file_object_id uuid,
    title                 text                    NOT NULL,
    test_kind             text                    NOT NULL,
    regulation            text                    NOT NULL DEFAULT 'internal',
    state                 text                    NOT NULL DEFAULT 'planned',
    scope_note            text                    NOT NULL,
    rules_of_engagement   text,
    tester_name           system_core.person_name,
    critical_count        integer                 NOT NULL DEFAULT 0,
    high_count            integer                 NOT NULL DEFAULT 0,
    starts_on             date                    NOT NULL,
    ends_on               date                    NOT NULL,
    retest_on             date,
    created_at            timestamptz             NOT NULL DEFAULT now(),
    updated_at            timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, penetration_test_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, report_file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT penetration_test_kind_known
        CHECK (test_kind IN ('external', 'internal', 'web', 'mobile', 'red_team',
                             'segmentation', 'social')),
    CONSTRAINT penetration_test_regulation_known
        CHECK (regulation IN ('pci_dss', 'hipaa', 'internal')),
    CONSTRAINT penetration_test_state_known
        CHECK (state IN ('planned', 'running', 'reported', 'retested', 'closed')),
    CONSTRAINT penetration_test_counts_not_negative
        CHECK (critical_count >= 0 AND high_count >= 0),
    CONSTRAINT penetration_test_ends_after_start CHECK (ends_on >= starts_on),
    CONSTRAINT penetration_test_retested_afterwards CHECK (retest_on >= ends_on),
    CONSTRAINT penetration_test_critical_was_retested
        CHECK (state <> 'closed' OR critical_count = 0 OR retest_on IS NOT NULL)
);

COMMENT ON TABLE security_mgmt.penetration_test IS
    'A commissioned test by people, with scope, dates and result.';
COMMENT ON COLUMN security_mgmt.penetration_test.third_party_id IS
    'The supplier who tested; NULL is the tenant''s own team.';
COMMENT ON COLUMN security_mgmt.penetration_test.rules_of_engagement IS
    'What the testers may do, and whom they call when something breaks.';

-- FK: tests by a supplier.
CREATE INDEX penetration_test_third_party_idx
    ON security_mgmt.penetration_test (business_id, third_party_id)
    WHERE third_party_id IS NOT NULL;

-- FK: the report.
CREATE INDEX penetration_test_report_idx
    ON security_mgmt.penetration_test (business_id, report_file_object_id)
    WHERE report_file_object_id IS NOT NULL;

ALTER TABLE security_mgmt.penetration_test ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.penetration_test
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.penetration_test TO app_user;
GRANT SELECT ON security_mgmt.penetration_test TO app_readonly;

CREATE TRIGGER penetration_test_touch
    BEFORE UPDATE ON security_mgmt.penetration_test
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER penetration_test_state_machine
    BEFORE INSERT OR UPDATE OF state ON security_mgmt.penetration_test
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["planned"],
        "transitions": {
            "planned":  ["running"],
            "running":  ["reported"],
            "reported": ["retested", "closed"],
            "retested": ["closed"],
            "closed":   []
        }}');


CREATE FUNCTION security_mgmt.expire_acceptances() RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    expired integer;
BEGIN
    UPDATE security_mgmt.risk_acceptance AS a
    SET state = 'expired'
    WHERE a.business_id = tenant_mgmt.current_business_id()
      AND a.state = 'accepted'
      AND a.expires_on < (now() AT TIME ZONE 'UTC')::date;
    GET DIAGNOSTICS expired = ROW_COUNT;
    RETURN expired;
END
$$;
COMMENT ON FUNCTION security_mgmt.expire_acceptances() IS
    'Ends the calling tenant''s acceptances whose last day is over, which opens their findings;
     returns how many.';


CREATE FUNCTION security_mgmt.finding_priority(
    cvss_score numeric, epss_probability numeric, is_known_exploited boolean,
    severity text, criticality text, internet_facing boolean
) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN round(
        -- How bad (50), how likely (20, or 15 on top when it happens already), where (15).
        5 * coalesce(cvss_score, CASE severity WHEN 'critical' THEN 9.5 WHEN 'high' THEN 8
                                               WHEN 'medium' THEN 5.5 ELSE 2 END)
        + 20 * coalesce(epss_probability, 0)
        + CASE WHEN is_known_exploited THEN 15 ELSE 0 END
        + CASE criticality WHEN 'mission' THEN 10 WHEN 'high' THEN 7 WHEN 'medium' THEN 3
                           ELSE 0 END
        + CASE WHEN internet_facing THEN 5 ELSE 0 END, 4);
COMMENT ON FUNCTION security_mgmt.finding_priority(
    numeric, numeric, boolean, text, text, boolean) IS
    'Points from 0 to 100: CVSS up to 50 (by severity where it is not scored), EPSS 20, known
     exploitation 15, criticality of the asset 10, on the internet 5.';


CREATE FUNCTION security_mgmt.prioritize_findings() RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    changed integer;
BEGIN
    UPDATE security_mgmt.vulnerability_finding AS f
    SET priority_score = n.points
    FROM (
        SELECT o.vulnerability_finding_id,
               security_mgmt.finding_priority(
                   v.cvss_score, v.epss_probability, v.is_known_exploited, o.severity,
                   a.criticality, a.internet_facing) AS points
        FROM security_mgmt.vulnerability_finding AS o
        JOIN security_mgmt.vulnerability AS v
            ON v.business_id = o.business_id AND v.vulnerability_id = o.vulnerability_id
        JOIN security_mgmt.security_asset AS a
            ON a.business_id = o.business_id AND a.security_asset_id = o.security_asset_id
        WHERE o.business_id = tenant_mgmt.current_business_id()
          AND o.status IN ('open', 'in_remediation', 'fixed_unverified', 'reopened')
    ) AS n
    WHERE f.business_id = tenant_mgmt.current_business_id()
      AND f.vulnerability_finding_id = n.vulnerability_finding_id
      AND (f.priority_score <> n.points
           OR f.is_sla_breached <> (f.sla_due_on < (now() AT TIME ZONE 'UTC')::date));
    GET DIAGNOSTICS changed = ROW_COUNT;
    RETURN changed;
END
$$;
COMMENT ON FUNCTION security_mgmt.prioritize_findings() IS
    'Scores the calling tenant''s open findings by what is known today and marks those that are
     past due; returns how many changed. Run daily, and after a scan.';


CREATE FUNCTION security_mgmt.scan_report_lines(document jsonb)
    RETURNS TABLE (
        asset_tag   text,
        identifier  text,
        title       text,
        severity    text,
        cvss_score  numeric,
        cvss_vector text,
        location    text,
        purl        text,
        evidence    jsonb
    )
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT DISTINCT ON (l.asset_tag, l.identifier, l.location)
           l.asset_tag, l.identifier, coalesce(l.title, l.identifier), l.severity, l.cvss_score,
           l.cvss_vector, l.location, l.purl, l.evidence
    FROM JSON_TABLE(document, '$.findings[*]' COLUMNS (
        asset_tag   text    PATH '$.asset',
        identifier  text    PATH '$.identifier',
        title       text    PATH '$.title',
        severity    text    PATH '$.severity',
        cvss_score  numeric PATH '$.cvss.score',
        cvss_vector text    PATH '$.cvss.vector',
        location    text    PATH '$.location',
        purl        text    PATH '$.package',
        evidence    jsonb   PATH '$.evidence')) AS l
    ORDER BY l.asset_tag, l.identifier, l.location,
             array_position('{critical,high,medium,low}'::text[], l.severity);
END;
COMMENT ON FUNCTION security_mgmt.scan_report_lines(jsonb) IS
    'The findings of a scanner report, {"status", "targets": [tag], "findings": [{"asset",
     "identifier", "title", "severity", "cvss": {"score", "vector"}, "location", "package",
     "evidence"}]}; the same finding twice counts once, by its worst severity.';


CREATE FUNCTION security_mgmt.ingest_scan(run_id uuid, document jsonb)
    RETURNS TABLE (new_count integer, seen_count integer, closed_count integer)
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    run     security_mgmt.scan_run;
    outcome text;
    targets text[];
    unknown text;
BEGIN
    SELECT * INTO run FROM security_mgmt.scan_run AS r
    WHERE r.business_id = tenant AND r.scan_run_id = run_id
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no scan run %', run_id USING ERRCODE = 'no_data_found';
    END IF;
    IF run.status = 'finished' THEN
        RAISE EXCEPTION 'the report of scan run % was taken before', run_id
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    outcome := CASE run.status WHEN 'running' THEN coalesce(document ->> 'status', 'finished')
                               ELSE run.status END;
    targets := array(SELECT DISTINCT t.tag FROM JSON_TABLE(document, '$.targets[*]' COLUMNS (
                         tag text PATH '$')) AS t);

    SELECT string_agg(DISTINCT coalesce(l.identifier, 'nothing') || ' ' || coalesce(l.severity, ''),
                      ', ')
    INTO unknown
    FROM security_mgmt.scan_report_lines(document) AS l
    WHERE l.identifier IS NULL OR l.asset_tag IS NULL OR l.severity IS NULL
       OR l.severity NOT IN ('critical', 'high', 'medium', 'low');
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION 'findings without asset, identifier or severity: %', unknown
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT string_agg(DISTINCT l.asset_tag, ', ') INTO unknown
    FROM security_mgmt.scan_report_lines(document) AS l
    WHERE NOT EXISTS (SELECT FROM security_mgmt.security_asset AS a
                      WHERE a.business_id = tenant AND a.asset_tag = l.asset_tag);
    IF unknown IS NOT NULL THEN
        RAISE WARNING 'findings on assets that are not registered are left out: %', unknown;
    END IF;

    -- Two reports about an asset are taken one after the other.
    PERFORM FROM security_mgmt.security_asset AS a
    WHERE a.business_id = tenant
      AND a.asset_tag IN (SELECT l.asset_tag FROM security_mgmt.scan_report_lines(document) AS l
                          UNION ALL SELECT unnest(targets))
    ORDER BY a.security_asset_id
    FOR NO KEY UPDATE;

    INSERT INTO security_mgmt.vulnerability
        (business_id, identifier, title, cvss_version, cvss_score, cvss_vector)
    SELECT DISTINCT ON (l.identifier) tenant, l.identifier, l.title,
           CASE WHEN starts_with(l.cvss_vector, 'CVSS:4.0/') THEN 'v4_0'
                WHEN l.cvss_score IS NOT NULL THEN 'v3_1' END,
           l.cvss_score,
           CASE WHEN l.cvss_vector ~ '^CVSS:(3\.1|4\.0)/' THEN l.cvss_vector END
    FROM security_mgmt.scan_report_lines(document) AS l
    ORDER BY l.identifier
    ON CONFLICT DO NOTHING;

    UPDATE security_mgmt.vulnerability_finding AS f
    SET last_seen_at = greatest(f.last_seen_at, now()),
        last_scan_run_id = run_id,
        severity = l.severity,
        evidence = coalesce(l.evidence, f.evidence::jsonb),
        status = CASE WHEN f.status IN ('closed', 'fixed_unverified') THEN 'reopened'
                      ELSE f.status END
    FROM security_mgmt.scan_report_lines(document) AS l
    JOIN security_mgmt.security_asset AS a
        ON a.business_id = tenant AND a.asset_tag = l.asset_tag
    JOIN security_mgmt.vulnerability AS v
        ON v.business_id = tenant AND v.identifier = l.identifier
    WHERE f.business_id = tenant
      AND f.security_asset_id = a.security_asset_id
      AND f.vulnerability_id = v.vulnerability_id
      AND f.location IS NOT DISTINCT FROM l.location;
    GET DIAGNOSTICS seen_count = ROW_COUNT;

    INSERT INTO security_mgmt.vulnerability_finding
        (business_id, vulnerability_id, security_asset_id, software_component_id,
         first_scan_run_id, last_scan_run_id, location, severity, evidence)
    SELECT tenant, v.vulnerability_id, a.security_asset_id, c.software_component_id, run_id,
           run_id, l.location, l.severity, l.evidence
    FROM security_mgmt.scan_report_lines(document) AS l
    JOIN security_mgmt.security_asset AS a
        ON a.business_id = tenant AND a.asset_tag = l.asset_tag
    JOIN security_mgmt.vulnerability AS v
        ON v.business_id = tenant AND v.identifier = l.identifier
    LEFT JOIN security_mgmt.software_component AS c
        ON c.business_id = tenant AND c.security_asset_id = a.security_asset_id
        AND c.purl = l.purl
    WHERE NOT EXISTS (
        SELECT FROM security_mgmt.vulnerability_finding AS f
        WHERE f.business_id = tenant AND f.security_asset_id = a.security_asset_id
          AND f.vulnerability_id = v.vulnerability_id
          AND f.location IS NOT DISTINCT FROM l.location);
    GET DIAGNOSTICS new_count = ROW_COUNT;

    -- What the same scanner saw before on these targets and does not see now is gone.
    closed_count := 0;
    IF outcome = 'finished' THEN
        WITH gone AS (
            UPDATE security_mgmt.vulnerability_finding AS f
            SET status = CASE f.status WHEN 'in_remediation' THEN 'fixed_unverified'
                                       ELSE 'closed' END
            FROM security_mgmt.scan_run AS r
            WHERE f.business_id = tenant
              AND f.status IN ('open', 'in_remediation', 'fixed_unverified')
              AND f.security_asset_id IN (
                  SELECT a.security_asset_id FROM security_mgmt.security_asset AS a
                  WHERE a.business_id = tenant AND a.asset_tag = ANY (targets))
              AND r.business_id = tenant
              AND r.scan_run_id = coalesce(f.last_scan_run_id, f.first_scan_run_id)
              AND r.scan_run_id <> run_id
              AND r.scanner = run.scanner AND r.scan_kind = run.scan_kind
            RETURNING f.status
        )
        SELECT count(*) FILTER (WHERE g.status = 'closed') INTO closed_count FROM gone AS g;
    END IF;

    UPDATE security_mgmt.scan_run AS r
    SET status = outcome,
        finished_at = coalesce(r.finished_at, greatest(now(), r.started_at)),
        targets_planned = greatest(r.targets_planned, cardinality(targets)),
        targets_scanned = cardinality(targets),
        findings_new = new_count,
        findings_closed = closed_count,
        report_sha256 = sha256(convert_to(document::text, 'UTF8'))
    WHERE r.business_id = tenant AND r.scan_run_id = run_id;
    UPDATE security_mgmt.security_asset AS a
    SET last_seen_at = greatest(a.last_seen_at, now())
    WHERE a.business_id = tenant AND a.asset_tag = ANY (targets);
    PERFORM security_mgmt.prioritize_findings();
    RETURN NEXT;
END
$$;
COMMENT ON FUNCTION security_mgmt.ingest_scan(uuid, jsonb) IS
    'Takes the report of a run of the calling tenant: writes what is new, notes what is there
     still, reopens what was said to be gone, and closes what the same scanner no longer sees on
     its targets (in remediation: fixed, until the next scan says so too). A run that failed or was
     aborted closes nothing. Findings on assets that are not registered are left out with a
     warning.';


CREATE VIEW security_mgmt.v_finding_sla
    WITH (security_invoker = true) AS
SELECT f.business_id, f.vulnerability_finding_id, v.identifier, v.title, a.asset_tag,
       a.name AS asset_name, a.owner_user_account_id, u.display_name AS owner_name, f.severity,
       f.status, f.priority_score, f.sla_due_on,
       f.sla_due_on - (now() AT TIME ZONE 'UTC')::date AS days_left,
       f.sla_due_on < (now() AT TIME ZONE 'UTC')::date AS is_past_due
FROM security_mgmt.vulnerability_finding AS f
JOIN security_mgmt.vulnerability AS v
    ON v.business_id = f.business_id AND v.vulnerability_id = f.vulnerability_id
JOIN security_mgmt.security_asset AS a
    ON a.business_id = f.business_id AND a.security_asset_id = f.security_asset_id
LEFT JOIN user_mgmt.user_account AS u
    ON u.business_id = a.business_id AND u.user_account_id = a.owner_user_account_id
WHERE f.business_id = tenant_mgmt.current_business_id()
  AND f.status IN ('open', 'in_remediation', 'fixed_unverified', 'reopened')
  AND f.sla_due_on <= (now() AT TIME ZONE 'UTC')::date + 14;
COMMENT ON VIEW security_mgmt.v_finding_sla IS
    'Open findings that are past due or will be in two weeks, with the owner of the asset.';
GRANT SELECT ON security_mgmt.v_finding_sla TO app_user, app_readonly;


CREATE VIEW security_mgmt.v_segmentation_test
    WITH (security_invoker = true) AS
SELECT b.business_id, t.last_tested_on,
       (t.last_tested_on + interval '6 months')::date AS due_on,
       coalesce((t.last_tested_on + interval '6 months')::date
                < (now() AT TIME ZONE 'UTC')::date, true) AS is_overdue,
       scope.asset_count
FROM tenant_mgmt.business AS b
CROSS JOIN LATERAL (
    SELECT count(*) AS asset_count FROM security_mgmt.security_asset AS a
    WHERE a.business_id = b.business_id AND a.in_pci_scope AND a.lifecycle <> 'retired'
) AS scope
CROSS JOIN LATERAL (
    SELECT max(p.ends_on) AS last_tested_on FROM security_mgmt.penetration_test AS p
    WHERE p.business_id = b.business_id
      AND p.test_kind = 'segmentation' AND p.regulation = 'pci_dss'
      AND p.state IN ('reported', 'retested', 'closed')
) AS t
WHERE b.business_id = tenant_mgmt.current_business_id()
  AND scope.asset_count > 0;
COMMENT ON VIEW security_mgmt.v_segmentation_test IS
    'When the separation of the cardholder data environment was tested last, and whether that is
     more than six months ago; a tenant without assets in scope has no row.';
GRANT SELECT ON security_mgmt.v_segmentation_test TO app_user, app_readonly;


CREATE MATERIALIZED VIEW security_mgmt.mv_vulnerability_trend AS
WITH change AS (
    SELECT f.business_id, f.severity,
           date_trunc('week', f.first_seen_at AT TIME ZONE 'UTC')::date AS week_start,
           1 AS new_count, 0 AS closed_count, NULL::numeric AS days_to_fix
    FROM security_mgmt.vulnerability_finding AS f
    UNION ALL
    SELECT f.business_id, f.severity,
           date_trunc('week', f.closed_at AT TIME ZONE 'UTC')::date, 0, 1,
           extract(epoch FROM f.closed_at - f.opened_at) / 86400
    FROM security_mgmt.vulnerability_finding AS f
    WHERE f.closed_at IS NOT NULL
), weekly AS (
    SELECT c.business_id, c.severity, c.week_start, sum(c.new_count) AS new_count,
           sum(c.closed_count) AS closed_count, avg(c.days_to_fix) AS mean_days_to_fix
    FROM change AS c
    GROUP BY c.business_id, c.severity, c.week_start
), week AS (
    SELECT w.business_id, w.severity, s.week_start::date AS week_start
    FROM (SELECT x.business_id, x.severity, min(x.week_start) AS first_week
          FROM weekly AS x GROUP BY x.business_id, x.severity) AS w
    CROSS JOIN LATERAL generate_series(
        w.first_week::timestamp, date_trunc('week', now() AT TIME ZONE 'UTC'),
        interval '1 week') AS s (week_start)
)
SELECT k.business_id, k.severity, k.week_start,
       coalesce(w.new_count, 0) AS new_count, coalesce(w.closed_count, 0) AS closed_count,
       sum(coalesce(w.new_count - w.closed_count, 0))
           OVER (PARTITION BY k.business_id, k.severity ORDER BY k.week_start) AS not_closed_count,
       round(w.mean_days_to_fix, 1) AS mean_days_to_fix
FROM week AS k
LEFT JOIN weekly AS w
    ON w.business_id = k.business_id AND w.severity = k.severity AND w.week_start = k.week_start
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW security_mgmt.mv_vulnerability_trend IS
    'Findings per severity and week (from Monday, UTC): new, closed, what is not closed at its end
     and the mean days to close; read through v_vulnerability_trend.';

-- Lets it be refreshed concurrently.
CREATE UNIQUE INDEX mv_vulnerability_trend_idx
    ON security_mgmt.mv_vulnerability_trend (business_id, severity, week_start);

CREATE VIEW security_mgmt.v_vulnerability_trend
    WITH (security_barrier = true) AS
SELECT m.business_id, m.severity, m.week_start, m.new_count, m.closed_count, m.not_closed_count,
       m.mean_days_to_fix
FROM security_mgmt.mv_vulnerability_trend AS m
WHERE m.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW security_mgmt.v_vulnerability_trend IS
    'The tenant''s own part of mv_vulnerability_trend.';
GRANT SELECT ON security_mgmt.v_vulnerability_trend TO app_user, app_readonly;
