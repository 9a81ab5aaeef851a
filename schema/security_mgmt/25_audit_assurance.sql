/*
 * Assurance of the audit trail: what its verification found, what may not be purged, and what was
 * handed to auditors.
 *
 * An audit_tamper_finding is a broken link; each opens an incident. An evidence_hold stops the
 * purging of records for a matter of law; purge_audit_records() asks it. An audit_export is an
 * extract for an auditor, with the proof that its records belong to the chain.
 */

CREATE TABLE security_mgmt.audit_tamper_finding (
    business_id               uuid        NOT NULL,
    audit_tamper_finding_id   uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    audit_verification_run_id uuid        NOT NULL,
    incident_id               uuid,
    investigated_by           uuid,
    kind                      text        NOT NULL,
    bad_seq                   bigint      NOT NULL,
    expected_hash             bytea,
    actual_hash               bytea,
    severity                  text        NOT NULL DEFAULT 'critical',
    status                    text        NOT NULL DEFAULT 'open',
    explanation               text,
    detected_at               timestamptz NOT NULL DEFAULT now(),
    closed_at                 timestamptz,
    created_at                timestamptz NOT NULL DEFAULT now(),
    updated_at                timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, audit_tamper_finding_id),
    FOREIGN KEY (business_id, audit_verification_run_id)
        REFERENCES security_mgmt.audit_verification_run (business_id, audit_verification_run_id),
    FOREIGN KEY (business_id, incident_id)
        REFERENCES security_mgmt.incident (business_id, incident_id),
    FOREIGN KEY (business_id, investigated_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT audit_tamper_finding_kind_known
        CHECK (kind IN ('hash_mismatch', 'missing_record', 'duplicate_seq', 'time_reversal',
                        'checkpoint_mismatch', 'head_mismatch')),
    CONSTRAINT audit_tamper_finding_severity_known CHECK (severity IN ('high', 'critical')),
    CONSTRAINT audit_tamper_finding_status_known
        CHECK (status IN ('open', 'explained', 'confirmed', 'closed')),
    CONSTRAINT audit_tamper_finding_seq_positive CHECK (bad_seq > 0),
    CONSTRAINT audit_tamper_finding_closed_has_time
        CHECK ((status = 'closed') = (closed_at IS NOT NULL)),
    CONSTRAINT audit_tamper_finding_closed_after_detection CHECK (closed_at >= detected_at),
    CONSTRAINT audit_tamper_finding_closed_is_explained
        CHECK (status NOT IN ('explained', 'closed') OR coalesce(explanation, '') ~ '\S')
);

COMMENT ON TABLE security_mgmt.audit_tamper_finding IS
    'A broken link of the audit chain, and what came of it.';
COMMENT ON COLUMN security_mgmt.audit_tamper_finding.bad_seq IS
    'The record that is not what it was, or is not there.';

-- One finding of a kind and record under investigation; also finds it.
CREATE UNIQUE INDEX audit_tamper_finding_open_idx
    ON security_mgmt.audit_tamper_finding (business_id, bad_seq, kind)
    WHERE status <> 'closed';

-- FK: what a verification found.
CREATE INDEX audit_tamper_finding_run_idx
    ON security_mgmt.audit_tamper_finding (business_id, audit_verification_run_id);

-- FK: the findings behind an incident.
CREATE INDEX audit_tamper_finding_incident_idx
    ON security_mgmt.audit_tamper_finding (business_id, incident_id)
    WHERE incident_id IS NOT NULL;

-- FK: what an account investigates.
CREATE INDEX audit_tamper_finding_investigator_idx
    ON security_mgmt.audit_tamper_finding (business_id, investigated_by)
    WHERE investigated_by IS NOT NULL;

ALTER TABLE security_mgmt.audit_tamper_finding ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.audit_tamper_finding
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.audit_tamper_finding TO app_user;
GRANT SELECT ON security_mgmt.audit_tamper_finding TO app_readonly;

CREATE TRIGGER audit_tamper_finding_touch
    BEFORE UPDATE ON security_mgmt.audit_tamper_finding
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER audit_tamper_finding_status_machine
    BEFORE INSERT OR UPDATE OF status ON security_mgmt.audit_tamper_finding
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["open"],
        "transitions": {
            "open":      ["explained", "confirmed"],
            "explained": ["confirmed", "closed"],
            "confirmed": ["closed"],
            "closed":    []
        }}');

CREATE FUNCTION security_mgmt.open_tamper_incident() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- One incident for what one verification found.
    INSERT INTO security_mgmt.incident (
        business_id, incident_number, title, category, severity, detected_at)
    SELECT f.business_id, 'TAMPER-' || to_char(min(f.detected_at), 'YYYYMMDDHH24MISSUS'),
           format('The audit trail is broken at record %s', min(f.bad_seq)), 'tamper', 'sev1',
           min(f.detected_at)
    FROM found AS f
    WHERE f.incident_id IS NULL
    GROUP BY f.business_id, f.audit_verification_run_id
    ON CONFLICT (business_id, incident_number) DO NOTHING;
    UPDATE security_mgmt.audit_tamper_finding AS f
    SET incident_id = i.incident_id
    FROM (
        SELECT x.business_id, x.audit_verification_run_id,
               'TAMPER-' || to_char(min(x.detected_at), 'YYYYMMDDHH24MISSUS') AS incident_number
        FROM found AS x
        WHERE x.incident_id IS NULL
        GROUP BY x.business_id, x.audit_verification_run_id
    ) AS r
    JOIN security_mgmt.incident AS i
        ON i.business_id = r.business_id AND i.incident_number = r.incident_number
    WHERE f.business_id = r.business_id
      AND f.audit_verification_run_id = r.audit_verification_run_id AND f.incident_id IS NULL;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION security_mgmt.open_tamper_incident() IS
    'A broken audit trail is an incident of the worst severity, one per verification that found
     it.';

CREATE TRIGGER audit_tamper_finding_incident
    AFTER INSERT ON security_mgmt.audit_tamper_finding
    REFERENCING NEW TABLE AS found
    FOR EACH STATEMENT EXECUTE FUNCTION security_mgmt.open_tamper_incident();


CREATE TABLE security_mgmt.evidence_hold (
    business_id                uuid                    NOT NULL,
    evidence_hold_id           uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    incident_id                uuid,
    ordered_by_user_account_id uuid                    NOT NULL,
    hold_number                system_core.code        NOT NULL,
    matter                     text                    NOT NULL,
    basis                      text                    NOT NULL,
    scope_filter               system_core.json_object NOT NULL DEFAULT '{}',
    custodians                 system_core.json_array  NOT NULL DEFAULT '[]',
    records_held               bigint                  NOT NULL DEFAULT 0,
    release_reason             text,
    starts_at                  timestamptz             NOT NULL DEFAULT now(),
    released_at                timestamptz,
    last_enforced_at           timestamptz,
    created_at                 timestamptz             NOT NULL DEFAULT now(),
    updated_at                 timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, evidence_hold_id),
    UNIQUE (business_id, hold_number),
    FOREIGN KEY (business_id, incident_id)
        REFERENCES security_mgmt.incident (business_id, incident_id),
    FOREIGN KEY (business_id, ordered_by_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT evidence_hold_basis_known
        CHECK (basis IN ('litigation', 'regulator', 'investigation', 'tax_audit')),
    CONSTRAINT evidence_hold_released_after_start CHECK (released_at > starts_at),
    CONSTRAINT evidence_hold_released_for_a_reason
        CHECK ((released_at IS NULL) = (release_reason IS NULL)),
    CONSTRAINT evidence_hold_records_not_negative CHECK (records_held >= 0)
);

COMMENT ON TABLE security_mgmt.evidence_hold IS
    'A legal or investigation hold: what it names is not purged until it is released.';
COMMENT ON COLUMN security_mgmt.evidence_hold.scope_filter IS
    '{"schema_name", "table_name", "from", "until"}; what is left out is not narrowed.';
COMMENT ON COLUMN security_mgmt.evidence_hold.custodians IS 'Who was told to keep what they have.';

-- Holds in force, asked before anything is purged.
CREATE INDEX evidence_hold_live_idx
    ON security_mgmt.evidence_hold (business_id, starts_at)
    WHERE released_at IS NULL;

-- FK: the holds of an incident.
CREATE INDEX evidence_hold_incident_idx
    ON security_mgmt.evidence_hold (business_id, incident_id)
    WHERE incident_id IS NOT NULL;

-- FK: what an account ordered.
CREATE INDEX evidence_hold_orderer_idx
    ON security_mgmt.evidence_hold (business_id, ordered_by_user_account_id);

ALTER TABLE security_mgmt.evidence_hold ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.evidence_hold
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.evidence_hold TO app_user;
GRANT SELECT ON security_mgmt.evidence_hold TO app_readonly;

CREATE TRIGGER evidence_hold_touch
    BEFORE UPDATE ON security_mgmt.evidence_hold
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION security_mgmt.is_held(of_business uuid, from_moment timestamptz,
                                      until_moment timestamptz) RETURNS boolean
    LANGUAGE sql STABLE
    RETURN EXISTS (
        SELECT FROM security_mgmt.evidence_hold AS h
        WHERE h.business_id = of_business AND h.released_at IS NULL
          AND coalesce((h.scope_filter ->> 'from')::timestamptz, '-infinity') < until_moment
          AND coalesce((h.scope_filter ->> 'until')::timestamptz, 'infinity') > from_moment);
COMMENT ON FUNCTION security_mgmt.is_held(uuid, timestamptz, timestamptz) IS
    'Whether a hold of a business that is in force names records of a span of time.';

CREATE FUNCTION security_mgmt.purgeable_audit_partitions(on_day date DEFAULT current_date)
    RETURNS TABLE (partition_name text, until_moment timestamptz, is_purgeable boolean, why text)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT p.name, p.until_moment, k.reason IS NULL, coalesce(k.reason, 'nobody keeps it')
    FROM (
        SELECT t.relid::regclass::text AS name,
               (regexp_match(pg_get_expr(c.relpartbound, c.oid),
                             'FROM \(''([^'']+)''\)'))[1]::timestamptz AS from_moment,
               (regexp_match(pg_get_expr(c.relpartbound, c.oid),
                             'TO \(''([^'']+)''\)'))[1]::timestamptz AS until_moment
        FROM pg_partition_tree('security_mgmt.audit_record') AS t
        JOIN pg_class AS c ON c.oid = t.relid
        WHERE t.isleaf
    ) AS p
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN EXISTS (SELECT FROM security_mgmt.evidence_hold AS h
                         WHERE security_mgmt.is_held(h.business_id, p.from_moment, p.until_moment))
            THEN 'it is under a hold'
            WHEN p.until_moment > on_day - (
                     SELECT coalesce(max(a.retention_years), 7)
                     FROM security_mgmt.audit_policy AS a) * interval '1 year'
            THEN 'it is not old enough' END
    ) AS k (reason)
    WHERE p.until_moment IS NOT NULL
    ORDER BY p.until_moment;
END;
COMMENT ON FUNCTION security_mgmt.purgeable_audit_partitions(date) IS
    'Which partitions of the audit trail retention lets go, and why the others stay: for a role
     that sees all tenants, for a partition holds the records of them all.';
REVOKE EXECUTE ON FUNCTION security_mgmt.purgeable_audit_partitions(date) FROM PUBLIC;

CREATE FUNCTION security_mgmt.purge_audit_records(on_day date DEFAULT current_date)
    RETURNS integer
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    leaf    text;
    dropped integer := 0;
BEGIN
    IF row_security_active('security_mgmt.evidence_hold') THEN
        RAISE EXCEPTION 'who does not see the holds of all tenants drops nothing'
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Run it as a role that bypasses row security.';
    END IF;
    FOR leaf IN
        SELECT p.partition_name
        FROM security_mgmt.purgeable_audit_partitions(on_day) AS p
        WHERE p.is_purgeable
    LOOP
        EXECUTE format('DROP TABLE %s', leaf);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END
$$;
COMMENT ON FUNCTION security_mgmt.purge_audit_records(date) IS
    'Drops the partitions that retention lets go and nobody holds; the chain is verified from the
     first record that is left. For the owner of the table while it sees all tenants.';
REVOKE EXECUTE ON FUNCTION security_mgmt.purge_audit_records(date) FROM PUBLIC;


CREATE TABLE security_mgmt.audit_export (
    business_id                  uuid                    NOT NULL,
    audit_export_id              uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    requested_by_user_account_id uuid                    NOT NULL,
    approved_by                  uuid,
    file_object_id               uuid,
    purpose                      text                    NOT NULL,
    filter                       system_core.json_object NOT NULL DEFAULT '{}',
    format                       text                    NOT NULL DEFAULT 'json_lines',
    state                        text                    NOT NULL DEFAULT 'requested',
    record_count                 bigint,
    content_sha256               system_core.sha256,
    inclusion_proof              jsonb,
    from_at                      timestamptz             NOT NULL,
    until_at                     timestamptz             NOT NULL,
    delivered_at                 timestamptz,
    expires_at                   timestamptz,
    created_at                   timestamptz             NOT NULL DEFAULT now(),
    updated_at                   timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, audit_export_id),
    FOREIGN KEY (business_id, requested_by_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, approved_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT audit_export_purpose_known
        CHECK (purpose IN ('external_audit', 'regulator', 'internal_review', 'subject_access')),
    CONSTRAINT audit_export_format_known CHECK (format IN ('json_lines', 'csv', 'pdf')),
    CONSTRAINT audit_export_state_known
        CHECK (state IN ('requested', 'approved', 'built', 'delivered', 'expired', 'refused')),
    CONSTRAINT audit_export_approved_by_another CHECK (approved_by <> requested_by_user_account_id),
    CONSTRAINT audit_export_approved_by_somebody
        CHECK (state IN ('requested', 'refused') OR approved_by IS NOT NULL),
    CONSTRAINT audit_export_spans_something CHECK (until_at > from_at),
    CONSTRAINT audit_export_built_has_hash
        CHECK (state NOT IN ('built', 'delivered')
               OR num_nonnulls(content_sha256, record_count) = 2),
    CONSTRAINT audit_export_delivered_has_time
        CHECK (state <> 'delivered' OR delivered_at IS NOT NULL),
    CONSTRAINT audit_export_expires_after_delivery CHECK (expires_at > delivered_at),
    CONSTRAINT audit_export_count_not_negative CHECK (record_count >= 0)
);

COMMENT ON TABLE security_mgmt.audit_export IS
    'An extract of the audit trail for an auditor, approved by another than who asked for it.';
COMMENT ON COLUMN security_mgmt.audit_export.inclusion_proof IS
    'Per record the path to the root of its checkpoint, see audit_inclusion_proof().';

-- FK: what an account asked for.
CREATE INDEX audit_export_requester_idx
    ON security_mgmt.audit_export (business_id, requested_by_user_account_id);

-- FK: what an account approved.
CREATE INDEX audit_export_approver_idx
    ON security_mgmt.audit_export (business_id, approved_by)
    WHERE approved_by IS NOT NULL;

-- FK: the export in a file.
CREATE INDEX audit_export_file_idx
    ON security_mgmt.audit_export (business_id, file_object_id)
    WHERE file_object_id IS NOT NULL;

ALTER TABLE security_mgmt.audit_export ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.audit_export
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.audit_export TO app_user;
GRANT SELECT ON security_mgmt.audit_export TO app_readonly;

CREATE TRIGGER audit_export_touch
    BEFORE UPDATE ON security_mgmt.audit_export
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER audit_export_state_machine
    BEFORE INSERT OR UPDATE OF state ON security_mgmt.audit_export
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["requested"],
        "transitions": {
            "requested": ["approved", "refused"],
            "approved":  ["built", "refused"],
            "built":     ["delivered", "expired"],
            "delivered": ["expired"],
            "expired":   [],
            "refused":   []
        }}');

CREATE FUNCTION security_mgmt.audit_the_export() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM security_mgmt.append_audit(
        'export', 'security_mgmt', 'audit_export', NEW.audit_export_id, NULL,
        jsonb_build_object('purpose', NEW.purpose, 'from', NEW.from_at, 'until', NEW.until_at,
                           'records', NEW.record_count,
                           'sha256', encode(NEW.content_sha256, 'hex')));
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION security_mgmt.audit_the_export() IS
    'Who reads the audit trail is in the audit trail.';

CREATE TRIGGER audit_export_audited
    AFTER UPDATE OF state ON security_mgmt.audit_export
    FOR EACH ROW WHEN (NEW.state = 'built' AND OLD.state <> 'built')
    EXECUTE FUNCTION security_mgmt.audit_the_export();


CREATE VIEW security_mgmt.v_audit_chain_status WITH (security_invoker = true) AS
SELECT h.business_id, h.last_seq, h.last_appended_at, h.is_sealed,
       c.to_seq AS checkpoint_seq, h.last_seq - coalesce(c.to_seq, 0) AS records_unanchored,
       c.created_on AS checkpoint_on, c.anchored_to,
       v.started_at AS verified_at, now() - v.started_at AS verification_age, v.mode, v.result,
       v.first_bad_seq,
       (SELECT count(*) FROM security_mgmt.audit_tamper_finding AS f
        WHERE f.business_id = h.business_id AND f.status <> 'closed') AS open_findings
FROM security_mgmt.audit_chain_head AS h
LEFT JOIN LATERAL (
    SELECT x.to_seq, x.created_on, x.anchored_to
    FROM security_mgmt.audit_checkpoint AS x
    WHERE x.business_id = h.business_id
    ORDER BY x.from_seq DESC
    LIMIT 1
) AS c ON true
LEFT JOIN LATERAL (
    SELECT x.started_at, x.mode, x.result, x.first_bad_seq
    FROM security_mgmt.audit_verification_run AS x
    WHERE x.business_id = h.business_id
    ORDER BY x.started_at DESC
    LIMIT 1
) AS v ON true;
COMMENT ON VIEW security_mgmt.v_audit_chain_status IS
    'The tenant''s chain in one line: how long it is, what is anchored, when it was verified last.';
GRANT SELECT ON security_mgmt.v_audit_chain_status TO app_user, app_readonly;
