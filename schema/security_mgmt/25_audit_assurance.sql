/*
 * Assurance of the audit trail: what verification found, what must not be purged, what auditors
 * were given.
 *
 * record_verification() verifies the chain, keeps the run and writes an audit_tamper_finding for
 * everything that is wrong, which opens an incident. evidence_hold stops purging of records of a
 * matter: drop_expired_audit_partitions() asks it. audit_export is an extract of the trail for an
 * auditor: approved by somebody else than who asked, built with the proof of each record, itself
 * recorded in the trail.
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
    -- Also the foreign key: the findings of a run.
    UNIQUE (business_id, audit_verification_run_id, bad_seq, kind),
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
    CONSTRAINT audit_tamper_finding_place_positive CHECK (bad_seq > 0),
    CONSTRAINT audit_tamper_finding_hashes_differ CHECK (expected_hash <> actual_hash),
    CONSTRAINT audit_tamper_finding_explained
        CHECK (status NOT IN ('explained', 'closed') OR coalesce(explanation, '') ~ '\S'),
    CONSTRAINT audit_tamper_finding_closed_has_time
        CHECK ((status = 'closed') = (closed_at IS NOT NULL)),
    CONSTRAINT audit_tamper_finding_closed_after_detection CHECK (closed_at >= detected_at)
);

COMMENT ON TABLE security_mgmt.audit_tamper_finding IS
    'A broken link, gap, reordering or wrong checkpoint that a verification found.';
COMMENT ON COLUMN security_mgmt.audit_tamper_finding.bad_seq IS
    'The first place at which the chain is not what it should be.';
COMMENT ON COLUMN security_mgmt.audit_tamper_finding.expected_hash IS
    'What the record, or the head, should say; NULL where that cannot be told.';

-- v_audit_chain_status: what is not closed.
CREATE INDEX audit_tamper_finding_open_idx
    ON security_mgmt.audit_tamper_finding (business_id, detected_at)
    WHERE status <> 'closed';

-- FK: the findings behind an incident.
CREATE INDEX audit_tamper_finding_incident_idx
    ON security_mgmt.audit_tamper_finding (business_id, incident_id)
    WHERE incident_id IS NOT NULL;

-- FK: what somebody investigates.
CREATE INDEX audit_tamper_finding_investigated_by_idx
    ON security_mgmt.audit_tamper_finding (business_id, investigated_by)
    WHERE investigated_by IS NOT NULL;

ALTER TABLE security_mgmt.audit_tamper_finding ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.audit_tamper_finding
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE ON security_mgmt.audit_tamper_finding TO app_user;
GRANT SELECT ON security_mgmt.audit_tamper_finding TO app_readonly;

CREATE TRIGGER audit_tamper_finding_touch
    BEFORE UPDATE ON security_mgmt.audit_tamper_finding
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER audit_tamper_finding_stays
    BEFORE DELETE ON security_mgmt.audit_tamper_finding
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('security_mgmt.audit_tamper_finding');

CREATE TRIGGER audit_tamper_finding_status_machine
    BEFORE INSERT OR UPDATE OF status ON security_mgmt.audit_tamper_finding
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["open"],
        "transitions": {
            "open":      ["explained", "confirmed"],
            "explained": ["confirmed", "closed"],
            "confirmed": ["explained", "closed"],
            "closed":    []
        }}');

CREATE FUNCTION security_mgmt.keep_finding() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    later CONSTANT text[] := ARRAY['incident_id', 'investigated_by', 'status', 'explanation',
                                   'closed_at', 'updated_at'];
BEGIN
    IF to_jsonb(NEW) - later <> to_jsonb(OLD) - later THEN
        RAISE EXCEPTION 'what was found at record % stays as it was found', OLD.bad_seq
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.status = 'closed' AND OLD.status <> 'closed' THEN
        NEW.closed_at := coalesce(NEW.closed_at, now());
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION security_mgmt.keep_finding() IS
    'A finding is investigated, not changed; it is stamped when it is closed.';

CREATE TRIGGER audit_tamper_finding_keep
    BEFORE UPDATE ON security_mgmt.audit_tamper_finding
    FOR EACH ROW EXECUTE FUNCTION security_mgmt.keep_finding();

CREATE FUNCTION security_mgmt.open_tamper_incident() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- The findings of a run are one incident.
    SELECT f.incident_id INTO NEW.incident_id
    FROM security_mgmt.audit_tamper_finding AS f
    WHERE f.business_id = NEW.business_id
      AND f.audit_verification_run_id = NEW.audit_verification_run_id
      AND f.incident_id IS NOT NULL
    LIMIT 1;
    IF NOT FOUND THEN
        INSERT INTO security_mgmt.incident
            (business_id, incident_number, title, category, severity, detected_at, declared_at,
             phase_changed_at)
        VALUES (NEW.business_id, 'TAMPER-' || NEW.audit_verification_run_id,
                format('The audit trail is broken at record %s (%s)', NEW.bad_seq, NEW.kind),
                'tamper', 'sev1', NEW.detected_at, greatest(NEW.detected_at, now()),
                greatest(NEW.detected_at, now()))
        RETURNING incident_id INTO NEW.incident_id;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION security_mgmt.open_tamper_incident() IS
    'A finding that belongs to no incident opens one: of category tamper, severity sev1, one for all
     findings of a verification.';

CREATE TRIGGER audit_tamper_finding_incident
    BEFORE INSERT ON security_mgmt.audit_tamper_finding
    FOR EACH ROW WHEN (NEW.incident_id IS NULL)
    EXECUTE FUNCTION security_mgmt.open_tamper_incident();


CREATE FUNCTION security_mgmt.record_verification(
    mode     text   DEFAULT 'on_demand',
    from_seq bigint DEFAULT NULL,
    to_seq   bigint DEFAULT NULL
) RETURNS uuid
    LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    tenant  CONSTANT uuid        := tenant_mgmt.current_business_id();
    started CONSTANT timestamptz := clock_timestamp();
    head    security_mgmt.audit_chain_head;
    first   bigint;
    final   bigint;
    checked bigint;
    found   jsonb;
    run     uuid;
BEGIN
    SELECT * INTO head FROM security_mgmt.audit_chain_head AS h WHERE h.business_id = tenant;
    first := greatest(1, coalesce(head.purged_through_seq, 0) + 1,
        CASE WHEN record_verification.mode = 'incremental' AND record_verification.from_seq IS NULL
             THEN (SELECT r.to_seq + 1 FROM security_mgmt.audit_verification_run AS r
                   WHERE r.business_id = tenant AND r.result = 'intact'
                   ORDER BY r.to_seq DESC LIMIT 1)
             ELSE record_verification.from_seq END);
    -- One snapshot for what is wrong and for how far it went.
    SELECT jsonb_agg(jsonb_build_object('seq', v.bad_seq, 'kind', v.kind)
                     ORDER BY v.bad_seq, v.kind) FILTER (WHERE v.bad_seq IS NOT NULL),
           max(newest.seq)
    INTO found, final
    FROM (
        SELECT coalesce(record_verification.to_seq, greatest(
                   (SELECT max(h.last_seq) FROM security_mgmt.audit_chain_head AS h
                    WHERE h.business_id = tenant),
                   (SELECT max(r.chain_seq) FROM security_mgmt.audit_record AS r
                    WHERE r.business_id = tenant),
                   (SELECT max(c.to_seq) FROM security_mgmt.audit_checkpoint AS c
                    WHERE c.business_id = tenant),
                   first - 1)) AS seq
    ) AS newest
    LEFT JOIN LATERAL security_mgmt.verify_audit_chain(first, record_verification.to_seq) AS v
        ON true;
    SELECT count(*) INTO checked FROM security_mgmt.audit_record AS r
    WHERE r.business_id = tenant AND r.chain_seq BETWEEN first AND final;

    INSERT INTO security_mgmt.audit_verification_run
        (business_id, audit_checkpoint_id, started_by, mode, from_seq, to_seq, records_checked,
         mismatches_found, first_bad_seq, result, duration_ms, started_at, finished_at)
    VALUES (tenant,
            (SELECT c.audit_checkpoint_id FROM security_mgmt.audit_checkpoint AS c
             WHERE c.business_id = tenant AND c.to_seq BETWEEN first AND final
             ORDER BY c.to_seq DESC LIMIT 1),
            nullif(current_setting('app.user_account_id', true), '')::uuid,
            record_verification.mode, first, greatest(final, first - 1), checked,
            coalesce(jsonb_array_length(found), 0), (found -> 0 ->> 'seq')::bigint,
            CASE WHEN found IS NULL THEN 'intact' ELSE 'broken' END,
            extract(epoch FROM clock_timestamp() - started) * 1000, started, clock_timestamp())
    RETURNING audit_verification_run_id INTO run;

    INSERT INTO security_mgmt.audit_tamper_finding
        (business_id, audit_verification_run_id, kind, bad_seq, expected_hash, actual_hash,
         severity, detected_at)
    SELECT tenant, run, f.kind, f.seq,
           CASE WHEN r.record_hash <> computed.hash THEN computed.hash END, r.record_hash,
           CASE f.kind WHEN 'time_reversal' THEN 'high' ELSE 'critical' END, started
    FROM JSON_TABLE(found, '$[*]' COLUMNS (
        seq bigint PATH '$.seq', kind text PATH '$.kind')) AS f
    LEFT JOIN LATERAL (
        SELECT n.* FROM security_mgmt.audit_record AS n
        WHERE n.business_id = tenant AND n.chain_seq = f.seq AND f.kind = 'hash_mismatch'
        ORDER BY n.recorded_at LIMIT 1
    ) AS r ON true
    LEFT JOIN LATERAL (
        SELECT security_mgmt.audit_hash(
                   head.hash_algorithm,
                   n.previous_hash || security_mgmt.canonical_audit_bytes(
                       ROW(n.*)::security_mgmt.audit_record)) AS hash
        FROM security_mgmt.audit_record AS n
        WHERE n.business_id = tenant AND n.audit_record_id = r.audit_record_id
          AND n.recorded_at = r.recorded_at
    ) AS computed ON true
    ORDER BY f.seq, f.kind;
    RETURN run;
END
$$;
COMMENT ON FUNCTION security_mgmt.record_verification(text, bigint, bigint) IS
    'Verifies the calling tenant''s chain, or a part of it, and keeps the run with a finding for
     everything that is wrong. Mode incremental begins behind the last run that found it intact.';


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
        CHECK (released_at IS NULL OR coalesce(release_reason, '') ~ '\S'),
    CONSTRAINT evidence_hold_scope_known
        CHECK (scope_filter - ARRAY['schema_name', 'table_name', 'entity_ids',
                                    'actor_user_account_ids', 'from', 'until'] = '{}'),
    CONSTRAINT evidence_hold_records_not_negative CHECK (records_held >= 0)
);

COMMENT ON TABLE security_mgmt.evidence_hold IS
    'A legal or investigation hold: records in its scope are not purged until it is released.';
COMMENT ON COLUMN security_mgmt.evidence_hold.scope_filter IS
    'Object with any of schema_name, table_name, entity_ids, actor_user_account_ids (arrays), from,
     until (times with a zone): see audit_record_in_scope(). An empty one holds everything.';
COMMENT ON COLUMN security_mgmt.evidence_hold.custodians IS
    'Array of {name, notified_at}: who was told to keep what it has.';
COMMENT ON COLUMN security_mgmt.evidence_hold.records_held IS
    'As of last_enforced_at: enforce_evidence_holds().';

-- drop_expired_audit_partitions(): the holds in force.
CREATE INDEX evidence_hold_open_idx
    ON security_mgmt.evidence_hold (business_id, starts_at)
    WHERE released_at IS NULL;

-- FK: the holds of an incident.
CREATE INDEX evidence_hold_incident_idx
    ON security_mgmt.evidence_hold (business_id, incident_id)
    WHERE incident_id IS NOT NULL;

-- FK: the holds that somebody ordered.
CREATE INDEX evidence_hold_ordered_by_idx
    ON security_mgmt.evidence_hold (business_id, ordered_by_user_account_id);

ALTER TABLE security_mgmt.evidence_hold ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.evidence_hold
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE ON security_mgmt.evidence_hold TO app_user;
GRANT SELECT ON security_mgmt.evidence_hold TO app_readonly;

CREATE TRIGGER evidence_hold_touch
    BEFORE UPDATE ON security_mgmt.evidence_hold
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER evidence_hold_stays
    BEFORE DELETE ON security_mgmt.evidence_hold
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('security_mgmt.evidence_hold');

CREATE TRIGGER evidence_hold_audited
    AFTER INSERT OR UPDATE OF scope_filter, starts_at, released_at ON security_mgmt.evidence_hold
    FOR EACH ROW EXECUTE FUNCTION security_mgmt.audit_change('security_mgmt', 'evidence_hold');

CREATE FUNCTION security_mgmt.check_hold() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.released_at IS NOT NULL AND row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'hold % was released: order a new one', OLD.hold_number
            USING ERRCODE = 'restrict_violation';
    END IF;
    -- A scope that cannot be read would hold nothing.
    PERFORM (NEW.scope_filter ->> 'from')::timestamptz, (NEW.scope_filter ->> 'until')::timestamptz,
            i.id::uuid
    FROM JSON_TABLE(NEW.scope_filter::jsonb, '$' COLUMNS (
        NESTED PATH '$.entity_ids[*]' COLUMNS (entity text PATH '$'),
        NESTED PATH '$.actor_user_account_ids[*]' COLUMNS (actor text PATH '$'))) AS s
    CROSS JOIN LATERAL (VALUES (s.entity), (s.actor)) AS i (id);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION security_mgmt.check_hold() IS
    'The scope of a hold is readable; a released hold stays released.';

CREATE TRIGGER evidence_hold_check
    BEFORE INSERT OR UPDATE ON security_mgmt.evidence_hold
    FOR EACH ROW EXECUTE FUNCTION security_mgmt.check_hold();


CREATE FUNCTION security_mgmt.audit_record_in_scope(
    entry security_mgmt.audit_record, scope jsonb
) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN (NOT scope ? 'schema_name' OR entry.schema_name = scope ->> 'schema_name')
       AND (NOT scope ? 'table_name' OR entry.table_name = scope ->> 'table_name')
       AND (NOT scope ? 'from' OR entry.recorded_at >= (scope ->> 'from')::timestamptz)
       AND (NOT scope ? 'until' OR entry.recorded_at < (scope ->> 'until')::timestamptz)
       AND (NOT scope ? 'action' OR entry.action = scope ->> 'action')
       AND (NOT scope ? 'entity_ids'
            OR coalesce(scope -> 'entity_ids' ? entry.entity_id::text, false))
       AND (NOT scope ? 'actor_user_account_ids'
            OR coalesce(scope -> 'actor_user_account_ids' ? entry.actor_user_account_id::text,
                        false));
COMMENT ON FUNCTION security_mgmt.audit_record_in_scope(security_mgmt.audit_record, jsonb) IS
    'Is a record in the scope of a hold or an export? Each key that the scope has must fit.';

CREATE FUNCTION security_mgmt.enforce_evidence_holds() RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    enforced integer;
BEGIN
    UPDATE security_mgmt.evidence_hold AS h
    SET records_held = (SELECT count(*) FROM security_mgmt.audit_record AS r
                        WHERE r.business_id = h.business_id
                          AND security_mgmt.audit_record_in_scope(
                              ROW(r.*)::security_mgmt.audit_record, h.scope_filter)),
        last_enforced_at = now()
    WHERE h.business_id = tenant_mgmt.current_business_id() AND h.released_at IS NULL;
    GET DIAGNOSTICS enforced = ROW_COUNT;
    RETURN enforced;
END
$$;
COMMENT ON FUNCTION security_mgmt.enforce_evidence_holds() IS
    'Counts what the calling tenant''s holds in force hold; returns how many holds.';


CREATE FUNCTION security_mgmt.drop_expired_audit_partitions() RETURNS text[]
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    child    record;
    is_bound boolean;
    dropped  text[] := '{}';
    gone     uuid[];
    through  bigint[];
BEGIN
    IF row_security_active('security_mgmt.audit_record') THEN
        RAISE EXCEPTION 'only who sees the records of all tenants may drop their partitions'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    FOR child IN
        SELECT c.oid::regclass AS name
        FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'security_mgmt.audit_record'::regclass
          AND pg_get_expr(c.relpartbound, c.oid) <> 'DEFAULT'
        ORDER BY c.relname
    LOOP
        -- A partition goes whole or stays: one record of one tenant keeps it.
        EXECUTE format($query$
            SELECT NOT EXISTS (SELECT FROM %1$s) OR EXISTS (
                SELECT FROM %1$s AS r
                LEFT JOIN LATERAL (
                    SELECT max(p.retention_years) AS years FROM security_mgmt.audit_policy AS p
                    WHERE p.business_id = r.business_id
                      AND (p.audit_policy_id = r.audit_policy_id OR r.audit_policy_id IS NULL)
                ) AS kept ON true
                WHERE kept.years IS NULL
                   OR r.recorded_at + make_interval(years => kept.years) > now()
                   OR NOT EXISTS (
                       SELECT FROM security_mgmt.audit_checkpoint AS c
                       WHERE c.business_id = r.business_id AND c.to_seq >= r.chain_seq
                         AND c.anchored_at IS NOT NULL)
                   OR EXISTS (
                       SELECT FROM security_mgmt.audit_record AS older
                       WHERE older.business_id = r.business_id
                         AND older.chain_seq < r.chain_seq
                         AND older.tableoid <> '%1$s'::regclass)
                   OR EXISTS (
                       SELECT FROM security_mgmt.evidence_hold AS h
                       JOIN security_mgmt.audit_record AS held
                           ON held.business_id = h.business_id
                          AND held.audit_record_id = r.audit_record_id
                          AND held.recorded_at = r.recorded_at
                       WHERE h.business_id = r.business_id AND h.released_at IS NULL
                         AND security_mgmt.audit_record_in_scope(
                             ROW(held.*)::security_mgmt.audit_record, h.scope_filter)))
        $query$, child.name) INTO is_bound;
        CONTINUE WHEN is_bound;

        EXECUTE format('SELECT array_agg(s.business_id), array_agg(s.last_seq)'
                       ' FROM (SELECT r.business_id, max(r.chain_seq) AS last_seq'
                       ' FROM %s AS r GROUP BY r.business_id) AS s', child.name)
            INTO gone, through;
        dropped := dropped || child.name::text;
        EXECUTE format('DROP TABLE %s', child.name);
        UPDATE security_mgmt.audit_chain_head AS h
        SET purged_through_seq = greatest(h.purged_through_seq, s.last_seq)
        FROM unnest(gone, through) AS s (business_id, last_seq)
        WHERE h.business_id = s.business_id;
    END LOOP;
    RETURN dropped;
END
$$;
COMMENT ON FUNCTION security_mgmt.drop_expired_audit_partitions() IS
    'Maintenance: drops the oldest partitions of the trail and moves purged_through_seq of the
     chains that they held, from where verification begins; returns their names. It stays while a
     record in it is younger than the retention of its policy (without one: than the longest of its
     tenant, for ever where that has none), is in the scope of a hold, is not under an anchored
     checkpoint, or has an older one before it elsewhere. For a role that bypasses row security.';
REVOKE EXECUTE ON FUNCTION security_mgmt.drop_expired_audit_partitions() FROM PUBLIC;


CREATE TABLE security_mgmt.audit_export (
    business_id                  uuid                    NOT NULL,
    audit_export_id              uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    file_object_id               uuid,
    requested_by_user_account_id uuid                    NOT NULL,
    approved_by                  uuid,
    purpose                      text                    NOT NULL,
    filter                       system_core.json_object NOT NULL DEFAULT '{}',
    format                       text                    NOT NULL DEFAULT 'json_lines',
    state                        text                    NOT NULL DEFAULT 'requested',
    record_count                 integer,
    content_sha256               system_core.sha256,
    inclusion_proof              system_core.json_array  NOT NULL DEFAULT '[]',
    from_at                      timestamptz             NOT NULL,
    until_at                     timestamptz             NOT NULL,
    delivered_at                 timestamptz,
    expires_at                   timestamptz,
    created_at                   timestamptz             NOT NULL DEFAULT now(),
    updated_at                   timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, audit_export_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, requested_by_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, approved_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT audit_export_purpose_known
        CHECK (purpose IN ('external_audit', 'regulator', 'internal_review', 'subject_access')),
    CONSTRAINT audit_export_format_known CHECK (format IN ('json_lines', 'csv', 'pdf')),
    CONSTRAINT audit_export_state_known
        CHECK (state IN ('requested', 'approved', 'built', 'delivered', 'expired', 'refused')),
    CONSTRAINT audit_export_span_not_empty CHECK (until_at > from_at),
    CONSTRAINT audit_export_approved_by_another CHECK (approved_by <> requested_by_user_account_id),
    CONSTRAINT audit_export_approved_by_somebody
        CHECK (state NOT IN ('approved', 'built', 'delivered') OR approved_by IS NOT NULL),
    CONSTRAINT audit_export_built_has_content
        CHECK (state NOT IN ('built', 'delivered')
               OR (content_sha256 IS NOT NULL AND record_count IS NOT NULL)),
    CONSTRAINT audit_export_delivered_has_time
        CHECK (state <> 'delivered' OR delivered_at IS NOT NULL),
    CONSTRAINT audit_export_expires_after_delivery CHECK (expires_at > delivered_at),
    CONSTRAINT audit_export_filter_known
        CHECK (filter - ARRAY['schema_name', 'table_name', 'action', 'entity_ids',
                              'actor_user_account_ids'] = '{}'),
    CONSTRAINT audit_export_count_not_negative CHECK (record_count >= 0)
);

COMMENT ON TABLE security_mgmt.audit_export IS
    'An extract of the trail for an auditor, with the proof that nothing in it was altered.';
COMMENT ON COLUMN security_mgmt.audit_export.filter IS
    'What of the span it holds: see audit_record_in_scope(); an empty one is everything.';
COMMENT ON COLUMN security_mgmt.audit_export.content_sha256 IS
    'Of the lines of audit_export_lines(), each ended by a newline.';
COMMENT ON COLUMN security_mgmt.audit_export.inclusion_proof IS
    'Array of audit_inclusion_proof() per record that a checkpoint holds.';

-- FK: the export that a file is.
CREATE INDEX audit_export_file_idx
    ON security_mgmt.audit_export (business_id, file_object_id)
    WHERE file_object_id IS NOT NULL;

-- FK: what somebody asked for.
CREATE INDEX audit_export_requested_by_idx
    ON security_mgmt.audit_export (business_id, requested_by_user_account_id);

-- FK: what somebody approved.
CREATE INDEX audit_export_approved_by_idx
    ON security_mgmt.audit_export (business_id, approved_by)
    WHERE approved_by IS NOT NULL;

ALTER TABLE security_mgmt.audit_export ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.audit_export
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE ON security_mgmt.audit_export TO app_user;
GRANT SELECT ON security_mgmt.audit_export TO app_readonly;

CREATE TRIGGER audit_export_touch
    BEFORE UPDATE ON security_mgmt.audit_export
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER audit_export_stays
    BEFORE DELETE ON security_mgmt.audit_export
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('security_mgmt.audit_export');

CREATE TRIGGER audit_export_state_machine
    BEFORE INSERT OR UPDATE OF state ON security_mgmt.audit_export
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["requested"],
        "transitions": {
            "requested": ["approved", "refused"],
            "approved":  ["built", "refused", "expired"],
            "built":     ["delivered", "expired"],
            "delivered": ["expired"],
            "expired":   [],
            "refused":   []
        }}');

CREATE FUNCTION security_mgmt.keep_export() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    asked CONSTANT text[] := ARRAY['requested_by_user_account_id', 'purpose', 'filter', 'format',
                                   'from_at', 'until_at'];
    made  CONSTANT text[] := ARRAY['record_count', 'content_sha256', 'inclusion_proof',
                                   'approved_by'];
BEGIN
    IF OLD.state <> 'requested' AND EXISTS (
        SELECT FROM unnest(asked) AS a (name)
        WHERE to_jsonb(NEW) -> a.name IS DISTINCT FROM to_jsonb(OLD) -> a.name)
       OR OLD.state NOT IN ('requested', 'approved') AND EXISTS (
        SELECT FROM unnest(made) AS a (name)
        WHERE to_jsonb(NEW) -> a.name IS DISTINCT FROM to_jsonb(OLD) -> a.name) THEN
        RAISE EXCEPTION 'what was % is not changed any more', OLD.state
            USING ERRCODE = 'restrict_violation', HINT = 'Ask for another export.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION security_mgmt.keep_export() IS
    'What is exported stays as it was approved, what was built as it was built.';

CREATE TRIGGER audit_export_keep
    BEFORE UPDATE ON security_mgmt.audit_export
    FOR EACH ROW EXECUTE FUNCTION security_mgmt.keep_export();

CREATE FUNCTION security_mgmt.record_export() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- Who imports history imports its audit records too.
    IF row_security_active(TG_RELID) THEN
        PERFORM security_mgmt.append_audit(
            'export', 'security_mgmt', 'audit_export', NEW.audit_export_id,
            new_row => jsonb_build_object(
                'state', NEW.state, 'purpose', NEW.purpose, 'filter', NEW.filter,
                'from_at', NEW.from_at, 'until_at', NEW.until_at,
                'requested_by_user_account_id', NEW.requested_by_user_account_id,
                'approved_by', NEW.approved_by, 'record_count', NEW.record_count,
                'content_sha256', encode(NEW.content_sha256, 'hex')),
            reason => NEW.purpose);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION security_mgmt.record_export() IS
    'Each step of an export is in the trail itself: what was asked for, by whom it was approved,
     what was in it.';

CREATE TRIGGER audit_export_recorded_insert
    AFTER INSERT ON security_mgmt.audit_export
    FOR EACH ROW EXECUTE FUNCTION security_mgmt.record_export();

CREATE TRIGGER audit_export_recorded_update
    AFTER UPDATE OF state ON security_mgmt.audit_export
    FOR EACH ROW WHEN (NEW.state <> OLD.state)
    EXECUTE FUNCTION security_mgmt.record_export();


CREATE FUNCTION security_mgmt.audit_export_lines(export_id uuid)
    RETURNS TABLE (chain_seq bigint, line text)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT r.chain_seq,
           (to_jsonb(r) - ARRAY['recorded_at', 'previous_hash', 'record_hash']
            || jsonb_build_object(
               'recorded_at_us', (extract(epoch FROM r.recorded_at) * 1000000)::bigint,
               'previous_hash', encode(r.previous_hash, 'hex'),
               'record_hash', encode(r.record_hash, 'hex')))::text
    FROM security_mgmt.audit_export AS e
    JOIN security_mgmt.audit_record AS r
        ON r.business_id = e.business_id
       AND r.recorded_at >= e.from_at AND r.recorded_at < e.until_at
    WHERE e.business_id = tenant_mgmt.current_business_id()
      AND e.audit_export_id = export_id
      AND security_mgmt.audit_record_in_scope(ROW(r.*)::security_mgmt.audit_record, e.filter)
    ORDER BY r.chain_seq;
END;
COMMENT ON FUNCTION security_mgmt.audit_export_lines(uuid) IS
    'The records of an export of the calling tenant, a JSON object a line, with all that an auditor
     needs to compute the hashes anew; the same in every session.';

CREATE FUNCTION security_mgmt.build_audit_export(export_id uuid) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    built  integer;
BEGIN
    UPDATE security_mgmt.audit_export AS e
    SET state = 'built', record_count = made.record_count, content_sha256 = made.content_sha256,
        inclusion_proof = made.proofs
    FROM (
        SELECT count(*) AS record_count,
               sha256(convert_to(coalesce(
                   string_agg(l.line || E'\n', '' ORDER BY l.chain_seq), ''), 'UTF8'))
                   AS content_sha256,
               coalesce(jsonb_agg(p.proof ORDER BY l.chain_seq)
                            FILTER (WHERE p.proof IS NOT NULL), '[]') AS proofs
        FROM security_mgmt.audit_export_lines(export_id) AS l
        CROSS JOIN LATERAL (SELECT security_mgmt.audit_inclusion_proof(l.chain_seq) AS proof) AS p
    ) AS made
    WHERE e.business_id = tenant AND e.audit_export_id = export_id AND e.state = 'approved'
    RETURNING e.record_count INTO built;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no approved export %', export_id
            USING ERRCODE = 'no_data_found';
    END IF;
    RETURN built;
END
$$;
COMMENT ON FUNCTION security_mgmt.build_audit_export(uuid) IS
    'Counts and hashes the lines of an approved export of the calling tenant, keeps the proof of
     each record, and returns how many there are. The lines are audit_export_lines() until more is
     recorded in the span: choose one that has ended.';


CREATE VIEW security_mgmt.v_audit_chain_status
    WITH (security_invoker = true) AS
SELECT h.business_id, h.last_seq, h.last_appended_at, h.is_sealed,
       c.to_seq AS checkpoint_seq, c.created_on AS checkpoint_on,
       c.anchored_at IS NOT NULL AS checkpoint_is_anchored,
       h.last_seq - coalesce(c.to_seq, 0) AS records_since_checkpoint,
       r.started_at AS verified_at, r.mode AS verification_mode, r.result AS verification_result,
       greatest(now() - r.started_at, interval '0') AS verification_age, r.first_bad_seq,
       f.open_findings
FROM security_mgmt.audit_chain_head AS h
LEFT JOIN LATERAL (
    SELECT c.to_seq, c.created_on, c.anchored_at
    FROM security_mgmt.audit_checkpoint AS c
    WHERE c.business_id = h.business_id
    ORDER BY c.from_seq DESC LIMIT 1
) AS c ON true
LEFT JOIN LATERAL (
    SELECT r.started_at, r.mode, r.result, r.first_bad_seq
    FROM security_mgmt.audit_verification_run AS r
    WHERE r.business_id = h.business_id
    ORDER BY r.started_at DESC LIMIT 1
) AS r ON true
CROSS JOIN LATERAL (
    SELECT count(*) AS open_findings
    FROM security_mgmt.audit_tamper_finding AS f
    WHERE f.business_id = h.business_id AND f.status <> 'closed'
) AS f
WHERE h.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW security_mgmt.v_audit_chain_status IS
    'How far the chain is, the last checkpoint, the last verification with its result and age, and
     what was found and is not closed.';
GRANT SELECT ON security_mgmt.v_audit_chain_status TO app_user, app_readonly;
