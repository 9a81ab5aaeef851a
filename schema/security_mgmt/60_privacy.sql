/*
 * Privacy: what is processed, whose data it is, and what they ask for.
 *
 * processing_activity is the record of processing (GDPR Art. 30). data_classification_rule says
 * which columns hold data of which class and how they are handled: what is masked in exports and
 * in the audit trail (columns_to_mask), what is erased, and where a person's data lies
 * (subject_data_map). data_subject_request is what a person asks for, with its clock, which
 * privacy_deadline holds per regime: the law is data of the tenant, not of this file.
 * phi_disclosure accounts for disclosures of health information (HIPAA 164.528), cardholder_system
 * is a system in the scope of PCI-DSS.
 */

CREATE TABLE security_mgmt.processing_activity (
    business_id              uuid                   NOT NULL,
    processing_activity_id   uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    processor_third_party_id uuid,
    owner_user_account_id    uuid,
    name                     text                   NOT NULL,
    purpose_statement        text                   NOT NULL,
    legal_basis              text                   NOT NULL,
    subject_categories       text[]                 NOT NULL,
    data_categories          text[]                 NOT NULL,
    special_categories       text[]                 NOT NULL DEFAULT '{}',
    retention_rule           text                   NOT NULL,
    transfers                system_core.json_array NOT NULL DEFAULT '[]',
    security_measures        text                   NOT NULL,
    status                   text                   NOT NULL DEFAULT 'planned',
    dpia_required            boolean                NOT NULL DEFAULT false,
    dpia_completed_on        date,
    created_at               timestamptz            NOT NULL DEFAULT now(),
    updated_at               timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, processing_activity_id),
    UNIQUE (business_id, name),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, processor_third_party_id)
        REFERENCES security_mgmt.third_party (business_id, third_party_id),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT processing_activity_basis_known
        CHECK (legal_basis IN ('consent', 'contract', 'legal_obligation', 'vital_interest',
                               'public_task', 'legitimate_interest')),
    CONSTRAINT processing_activity_status_known
        CHECK (status IN ('active', 'planned', 'stopped')),
    CONSTRAINT processing_activity_subjects_named
        CHECK (cardinality(subject_categories) > 0 AND cardinality(data_categories) > 0),
    CONSTRAINT processing_activity_special_categories_known
        CHECK (special_categories <@ ARRAY['racial_or_ethnic_origin', 'political_opinions',
                                           'religious_beliefs', 'union_membership', 'genetic',
                                           'biometric', 'health', 'sex_life', 'criminal']),
    CONSTRAINT processing_activity_special_names_condition
        CHECK (special_categories = '{}' OR purpose_statement ~ 'Art\. ?9\(2\)\([a-j]\)'
               OR (special_categories = '{criminal}' AND purpose_statement ~ 'Art\. ?10')),
    CONSTRAINT processing_activity_assessed_before_active
        CHECK (NOT dpia_required OR status <> 'active' OR dpia_completed_on IS NOT NULL)
);

COMMENT ON TABLE security_mgmt.processing_activity IS
    'Record of processing (GDPR Art. 30): what for, on which basis, whose and which data, to whom.';
COMMENT ON COLUMN security_mgmt.processing_activity.special_categories IS
    'Data of Art. 9 and 10; purpose_statement then names the condition, such as Art. 9(2)(b).';
COMMENT ON COLUMN security_mgmt.processing_activity.transfers IS
    'Array of {country, recipient, safeguard}: where data goes outside the union.';
COMMENT ON COLUMN security_mgmt.processing_activity.dpia_required IS
    'Needs a data protection impact assessment (Art. 35) before it begins.';

-- FK: what a supplier processes for the tenant.
CREATE INDEX processing_activity_processor_idx
    ON security_mgmt.processing_activity (business_id, processor_third_party_id)
    WHERE processor_third_party_id IS NOT NULL;

-- FK: the activities of an owner.
CREATE INDEX processing_activity_owner_idx
    ON security_mgmt.processing_activity (business_id, owner_user_account_id)
    WHERE owner_user_account_id IS NOT NULL;

ALTER TABLE security_mgmt.processing_activity ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.processing_activity
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.processing_activity TO app_user;
GRANT SELECT ON security_mgmt.processing_activity TO app_readonly;

CREATE TRIGGER processing_activity_touch
    BEFORE UPDATE ON security_mgmt.processing_activity
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE security_mgmt.data_classification_rule (
    business_id                 uuid        NOT NULL,
    data_classification_rule_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    schema_name                 text        NOT NULL,
    table_name                  text        NOT NULL,
    column_name                 text        NOT NULL,
    data_class                  text        NOT NULL,
    handling                    text        NOT NULL DEFAULT 'plain',
    erasure_action              text        NOT NULL DEFAULT 'keep_legal',
    detected_by                 text        NOT NULL DEFAULT 'manual',
    export_allowed              boolean     NOT NULL DEFAULT false,
    retention_months            integer,
    confirmed_on                date,
    created_at                  timestamptz NOT NULL DEFAULT now(),
    updated_at                  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, data_classification_rule_id),
    -- Also columns_to_mask(): the rules of a table.
    UNIQUE (business_id, schema_name, table_name, column_name),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT data_classification_rule_class_known
        CHECK (data_class IN ('public', 'internal', 'personal', 'special', 'phi', 'cardholder',
                              'financial', 'credential')),
    CONSTRAINT data_classification_rule_handling_known
        CHECK (handling IN ('plain', 'masked', 'tokenized', 'encrypted', 'hashed')),
    CONSTRAINT data_classification_rule_erasure_known
        CHECK (erasure_action IN ('delete', 'null', 'pseudonymize', 'keep_legal')),
    CONSTRAINT data_classification_rule_detected_by_known
        CHECK (detected_by IN ('manual', 'scanner')),
    CONSTRAINT data_classification_rule_cardholder_is_tokenized
        CHECK (data_class <> 'cardholder' OR handling = 'tokenized'),
    CONSTRAINT data_classification_rule_no_security_code
        CHECK (lower(column_name) !~ '(^|_)(cvv2?|cvc2?|cav2|card_security_code)(_|$)'),
    CONSTRAINT data_classification_rule_credential_is_unreadable
        CHECK (data_class <> 'credential' OR handling IN ('hashed', 'encrypted')),
    CONSTRAINT data_classification_rule_credential_stays_inside
        CHECK (data_class <> 'credential' OR NOT export_allowed),
    CONSTRAINT data_classification_rule_retention_positive CHECK (retention_months > 0)
);

COMMENT ON TABLE security_mgmt.data_classification_rule IS
    'A column with the class of its data, how it is handled, exported and erased.';
COMMENT ON COLUMN security_mgmt.data_classification_rule.column_name IS
    'Never one for the security code of a card, which is not stored at all (PCI-DSS 3.3).';
COMMENT ON COLUMN security_mgmt.data_classification_rule.confirmed_on IS
    'When somebody looked at what a scanner had found.';

-- subject_request_lookup, subject_data_map(): the tables with data of a person.
CREATE INDEX data_classification_rule_class_idx
    ON security_mgmt.data_classification_rule (business_id, data_class);

ALTER TABLE security_mgmt.data_classification_rule
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.data_classification_rule
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.data_classification_rule TO app_user;
GRANT SELECT ON security_mgmt.data_classification_rule TO app_readonly;

CREATE TRIGGER data_classification_rule_touch
    BEFORE UPDATE ON security_mgmt.data_classification_rule
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

-- It decides what the trail hides, so the trail says who changed it.
CREATE TRIGGER data_classification_rule_audited
    AFTER INSERT OR UPDATE OR DELETE ON security_mgmt.data_classification_rule
    FOR EACH ROW EXECUTE FUNCTION
        security_mgmt.audit_change('security_mgmt', 'data_classification_rule');


CREATE FUNCTION security_mgmt.columns_to_mask(
    schema_name text, table_name text, data_class text DEFAULT NULL
) RETURNS text[]
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT coalesce(array_agg(r.column_name ORDER BY r.column_name), '{}')
        FROM security_mgmt.data_classification_rule AS r
        WHERE r.business_id = tenant_mgmt.current_business_id()
          AND r.schema_name = columns_to_mask.schema_name
          AND r.table_name = columns_to_mask.table_name
          AND (r.data_class = columns_to_mask.data_class OR columns_to_mask.data_class IS NULL)
          AND r.handling <> 'plain'
    );
END
$$;
COMMENT ON FUNCTION security_mgmt.columns_to_mask(text, text, text) IS
    'Columns of a table that are not shown as they are, by the calling tenant''s rules; of one class
     or of all. Exports and append_audit() hide them.';


CREATE FUNCTION security_mgmt.subject_data_map(user_account_id uuid)
    RETURNS TABLE (schema_name text, table_name text, row_count bigint)
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    place  record;
    found_rows bigint;
BEGIN
    FOR place IN
        SELECT classified.schema_name, classified.table_name,
               string_agg(format('t.%I = $2', a.attname), ' OR ' ORDER BY a.attname) AS belongs
        FROM (
            SELECT DISTINCT r.schema_name, r.table_name,
                   to_regclass(format('%I.%I', r.schema_name, r.table_name)) AS relation
            FROM security_mgmt.data_classification_rule AS r
            WHERE r.business_id = tenant AND r.data_class NOT IN ('public', 'internal')
        ) AS classified
        -- The columns that refer to the account, or are its key.
        JOIN LATERAL (
            SELECT DISTINCT k.conrelid, own.attnum
            FROM pg_catalog.pg_constraint AS k
            CROSS JOIN LATERAL unnest(k.conkey) WITH ORDINALITY AS own (attnum, place)
            LEFT JOIN LATERAL unnest(k.confkey) WITH ORDINALITY AS far (attnum, place)
                ON far.place = own.place
            LEFT JOIN pg_catalog.pg_attribute AS target
                ON target.attrelid = k.confrelid AND target.attnum = far.attnum
            WHERE k.conrelid = classified.relation
              AND (k.contype = 'f' AND target.attname = 'user_account_id'
                       AND k.confrelid = 'user_mgmt.user_account'::regclass
                   OR k.contype = 'p' AND k.conrelid = 'user_mgmt.user_account'::regclass)
        ) AS reference ON true
        JOIN pg_catalog.pg_attribute AS a
            ON a.attrelid = reference.conrelid AND a.attnum = reference.attnum
           AND a.attname <> 'business_id'
        WHERE pg_catalog.has_table_privilege(classified.relation, 'SELECT')
        GROUP BY classified.schema_name, classified.table_name
        ORDER BY classified.schema_name, classified.table_name
    LOOP
        EXECUTE format('SELECT count(*) FROM %I.%I AS t WHERE t.business_id = $1 AND (%s)',
                       place.schema_name, place.table_name, place.belongs)
            INTO found_rows USING tenant, subject_data_map.user_account_id;
        IF found_rows > 0 THEN
            schema_name := place.schema_name;
            table_name := place.table_name;
            row_count := found_rows;
            RETURN NEXT;
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION security_mgmt.subject_data_map(uuid) IS
    'Where a person''s data lies: the tables of the calling tenant that data_classification_rule
     names as holding data of persons and whose rows refer to the account by a foreign key, with
     how many do. Tables that the caller may not read are left out.';


CREATE TABLE security_mgmt.privacy_deadline (
    business_id         uuid        NOT NULL,
    privacy_deadline_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    regime              text        NOT NULL,
    legal_reference     text        NOT NULL,
    response_months     integer     NOT NULL DEFAULT 0,
    response_days       integer     NOT NULL DEFAULT 0,
    extension_months    integer     NOT NULL DEFAULT 0,
    extension_days      integer     NOT NULL DEFAULT 0,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, privacy_deadline_id),
    UNIQUE (business_id, regime),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT privacy_deadline_regime_known CHECK (regime IN ('gdpr', 'ccpa', 'hipaa', 'other')),
    CONSTRAINT privacy_deadline_response_positive
        CHECK (response_months >= 0 AND response_days >= 0
               AND response_months + response_days > 0),
    CONSTRAINT privacy_deadline_extension_not_negative
        CHECK (extension_months >= 0 AND extension_days >= 0)
);

COMMENT ON TABLE security_mgmt.privacy_deadline IS
    'How long a regime gives to answer a data subject, and by how much that may be extended.';

ALTER TABLE security_mgmt.privacy_deadline ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.privacy_deadline
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.privacy_deadline TO app_user;
GRANT SELECT ON security_mgmt.privacy_deadline TO app_readonly;

CREATE TRIGGER privacy_deadline_touch
    BEFORE UPDATE ON security_mgmt.privacy_deadline
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE security_mgmt.data_subject_request (
    business_id             uuid                   NOT NULL,
    data_subject_request_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    privacy_deadline_id     uuid                   NOT NULL,
    subject_user_account_id uuid,
    handler_user_account_id uuid,
    response_file_object_id uuid,
    request_number          system_core.code       NOT NULL,
    request_kind            text                   NOT NULL,
    status                  text                   NOT NULL DEFAULT 'received',
    refusal_reason          text,
    systems_searched        system_core.json_array NOT NULL DEFAULT '[]',
    received_at             timestamptz            NOT NULL DEFAULT now(),
    identity_verified_at    timestamptz,
    due_at                  timestamptz            NOT NULL,
    extended_until          timestamptz,
    fulfilled_at            timestamptz,
    created_at              timestamptz            NOT NULL DEFAULT now(),
    updated_at              timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, data_subject_request_id),
    UNIQUE (business_id, request_number),
    FOREIGN KEY (business_id, privacy_deadline_id)
        REFERENCES security_mgmt.privacy_deadline (business_id, privacy_deadline_id),
    FOREIGN KEY (business_id, subject_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, handler_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, response_file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT data_subject_request_kind_known
        CHECK (request_kind IN ('access', 'erasure', 'rectification', 'restriction', 'portability',
                                'objection', 'opt_out_sale')),
    CONSTRAINT data_subject_request_status_known
        CHECK (status IN ('received', 'verifying', 'in_progress', 'fulfilled', 'partly_refused',
                          'refused', 'withdrawn')),
    CONSTRAINT data_subject_request_due_later CHECK (due_at > received_at),
    CONSTRAINT data_subject_request_extended_later CHECK (extended_until > due_at),
    CONSTRAINT data_subject_request_verified_after_receipt
        CHECK (identity_verified_at >= received_at),
    CONSTRAINT data_subject_request_fulfilled_after_receipt CHECK (fulfilled_at >= received_at),
    CONSTRAINT data_subject_request_answered_to_whom_it_is
        CHECK (status NOT IN ('fulfilled', 'partly_refused') OR identity_verified_at IS NOT NULL),
    CONSTRAINT data_subject_request_fulfilled_has_time
        CHECK ((status IN ('fulfilled', 'partly_refused')) = (fulfilled_at IS NOT NULL)),
    CONSTRAINT data_subject_request_refused_has_reason
        CHECK (status NOT IN ('refused', 'partly_refused')
               OR coalesce(refusal_reason, '') ~ '\S')
);

COMMENT ON TABLE security_mgmt.data_subject_request IS
    'What a person asks for about its data, with the clock of the regime.';
COMMENT ON COLUMN security_mgmt.data_subject_request.due_at IS
    'received_at and the response time of its regime, in UTC; set by trigger.';
COMMENT ON COLUMN security_mgmt.data_subject_request.extended_until IS
    'At most the regime''s extension after due_at.';
COMMENT ON COLUMN security_mgmt.data_subject_request.systems_searched IS
    'Array of {system, rows}: see subject_data_map().';

-- subject_request_lookup: open requests, the next due first.
CREATE INDEX data_subject_request_open_idx
    ON security_mgmt.data_subject_request (business_id, due_at)
    WHERE status IN ('received', 'verifying', 'in_progress');

-- FK: the requests under a regime.
CREATE INDEX data_subject_request_deadline_idx
    ON security_mgmt.data_subject_request (business_id, privacy_deadline_id);

-- FK: the requests of a person.
CREATE INDEX data_subject_request_subject_idx
    ON security_mgmt.data_subject_request (business_id, subject_user_account_id)
    WHERE subject_user_account_id IS NOT NULL;

-- FK: the requests that somebody handles.
CREATE INDEX data_subject_request_handler_idx
    ON security_mgmt.data_subject_request (business_id, handler_user_account_id)
    WHERE handler_user_account_id IS NOT NULL;

-- FK: the request that a file answers.
CREATE INDEX data_subject_request_response_idx
    ON security_mgmt.data_subject_request (business_id, response_file_object_id)
    WHERE response_file_object_id IS NOT NULL;

ALTER TABLE security_mgmt.data_subject_request ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.data_subject_request
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.data_subject_request TO app_user;
GRANT SELECT ON security_mgmt.data_subject_request TO app_readonly;

CREATE TRIGGER data_subject_request_touch
    BEFORE UPDATE ON security_mgmt.data_subject_request
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER data_subject_request_status_machine
    BEFORE INSERT OR UPDATE OF status ON security_mgmt.data_subject_request
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["received"],
        "transitions": {
            "received":       ["verifying", "in_progress", "refused", "withdrawn"],
            "verifying":      ["in_progress", "refused", "withdrawn"],
            "in_progress":    ["fulfilled", "partly_refused", "refused", "withdrawn"],
            "fulfilled":      [],
            "partly_refused": [],
            "refused":        [],
            "withdrawn":      []
        }}');

CREATE FUNCTION security_mgmt.set_request_clock() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    clock security_mgmt.privacy_deadline;
    limit_at timestamptz;
BEGIN
    SELECT * INTO clock FROM security_mgmt.privacy_deadline AS d
    WHERE d.business_id = NEW.business_id AND d.privacy_deadline_id = NEW.privacy_deadline_id;
    IF NOT FOUND THEN
        RETURN NEW;    -- The foreign key refuses it.
    END IF;
    IF TG_OP = 'INSERT' OR (NEW.received_at, NEW.privacy_deadline_id, NEW.due_at)
            IS DISTINCT FROM (OLD.received_at, OLD.privacy_deadline_id, OLD.due_at) THEN
        NEW.due_at := (NEW.received_at AT TIME ZONE 'UTC' + make_interval(
            months => clock.response_months, days => clock.response_days)) AT TIME ZONE 'UTC';
    END IF;
    limit_at := (NEW.due_at AT TIME ZONE 'UTC' + make_interval(
        months => clock.extension_months, days => clock.extension_days)) AT TIME ZONE 'UTC';
    IF NEW.extended_until > limit_at THEN
        RAISE EXCEPTION 'request % cannot be extended beyond %', NEW.request_number, limit_at
            USING ERRCODE = 'check_violation', HINT = clock.legal_reference;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION security_mgmt.set_request_clock() IS
    'When a request is due follows from when it came and the regime, and so does how far it can be
     extended. A deadline that is changed later is for later requests.';

CREATE TRIGGER data_subject_request_clock
    BEFORE INSERT OR UPDATE OF received_at, privacy_deadline_id, due_at, extended_until
    ON security_mgmt.data_subject_request
    FOR EACH ROW EXECUTE FUNCTION security_mgmt.set_request_clock();


CREATE TABLE security_mgmt.phi_disclosure (
    business_id                  uuid        NOT NULL,
    phi_disclosure_id            uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    disclosed_by_user_account_id uuid,
    subject_reference            text        NOT NULL,
    recipient_name               text        NOT NULL,
    recipient_address            text,
    purpose                      text        NOT NULL,
    information_description      text        NOT NULL,
    authorization_reference      text,
    method                       text        NOT NULL,
    record_count                 integer     NOT NULL DEFAULT 1,
    retention_years              integer     NOT NULL DEFAULT 6,
    is_suspended_from_accounting boolean     NOT NULL DEFAULT false,
    disclosed_at                 timestamptz NOT NULL,
    created_at                   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, phi_disclosure_id, disclosed_at),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, disclosed_by_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT phi_disclosure_purpose_known
        CHECK (purpose IN ('public_health', 'law_enforcement', 'research', 'oversight',
                           'legal_process', 'subject_request', 'other')),
    CONSTRAINT phi_disclosure_method_known
        CHECK (method IN ('mail', 'secure_portal', 'fax', 'api')),
    CONSTRAINT phi_disclosure_other_is_authorized
        CHECK (purpose <> 'other' OR coalesce(authorization_reference, '') ~ '\S'),
    CONSTRAINT phi_disclosure_counts_positive CHECK (record_count > 0 AND retention_years > 0)
) PARTITION BY RANGE (disclosed_at);

COMMENT ON TABLE security_mgmt.phi_disclosure IS
    'Accounting of disclosures of health information (HIPAA 164.528); append only.';
COMMENT ON COLUMN security_mgmt.phi_disclosure.subject_reference IS
    'The patient as the tenant''s own records name it; no name.';
COMMENT ON COLUMN security_mgmt.phi_disclosure.retention_years IS
    'Kept so long at least: drop_expired_disclosures().';
COMMENT ON COLUMN security_mgmt.phi_disclosure.is_suspended_from_accounting IS
    'An authority asked not to tell the patient for now (164.528(a)(2)).';

-- v_phi_accounting: what of a patient was disclosed.
CREATE INDEX phi_disclosure_subject_idx
    ON security_mgmt.phi_disclosure (business_id, subject_reference, disclosed_at DESC);

-- FK: what somebody disclosed.
CREATE INDEX phi_disclosure_disclosed_by_idx
    ON security_mgmt.phi_disclosure (business_id, disclosed_by_user_account_id)
    WHERE disclosed_by_user_account_id IS NOT NULL;

ALTER TABLE security_mgmt.phi_disclosure ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.phi_disclosure
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON security_mgmt.phi_disclosure TO app_user;
GRANT SELECT ON security_mgmt.phi_disclosure TO app_readonly;

CREATE TRIGGER phi_disclosure_append_only
    BEFORE UPDATE OR DELETE ON security_mgmt.phi_disclosure
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('security_mgmt.phi_disclosure');

CREATE TRIGGER phi_disclosure_not_truncated
    BEFORE TRUNCATE ON security_mgmt.phi_disclosure
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.refuse_change('security_mgmt.phi_disclosure');

CREATE TABLE security_mgmt.phi_disclosure_default
    PARTITION OF security_mgmt.phi_disclosure DEFAULT;
ALTER TABLE security_mgmt.phi_disclosure_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.phi_disclosure_default
    USING (business_id = tenant_mgmt.current_business_id());

CREATE TRIGGER phi_disclosure_not_truncated
    BEFORE TRUNCATE ON security_mgmt.phi_disclosure_default
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.refuse_change('security_mgmt.phi_disclosure');

SELECT system_core.create_partitions(
    'security_mgmt.phi_disclosure', 'quarter', behind => 1, ahead => 1);


CREATE FUNCTION security_mgmt.drop_expired_disclosures() RETURNS text[]
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    child   regclass;
    is_kept boolean;
    dropped text[] := '{}';
BEGIN
    IF row_security_active('security_mgmt.phi_disclosure') THEN
        RAISE EXCEPTION 'only who sees the rows of all tenants may drop their partitions'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    FOR child IN
        SELECT i.inhrelid FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'security_mgmt.phi_disclosure'::regclass
          AND pg_get_expr(c.relpartbound, c.oid) <> 'DEFAULT'
        ORDER BY c.relname
    LOOP
        -- Of all tenants: a partition goes whole or stays.
        EXECUTE format('SELECT NOT EXISTS (SELECT FROM %s) OR EXISTS (SELECT FROM %s AS d'
                       ' WHERE d.disclosed_at + make_interval(years => d.retention_years) > now())',
                       child, child) INTO is_kept;
        IF NOT is_kept THEN
            dropped := dropped || child::text;
            EXECUTE format('DROP TABLE %s', child);
        END IF;
    END LOOP;
    RETURN dropped;
END
$$;
COMMENT ON FUNCTION security_mgmt.drop_expired_disclosures() IS
    'Maintenance: drops partitions whose every disclosure was kept for its retention_years; returns
     their names. For a role that bypasses row security.';
REVOKE EXECUTE ON FUNCTION security_mgmt.drop_expired_disclosures() FROM PUBLIC;


CREATE VIEW security_mgmt.v_phi_accounting
    WITH (security_invoker = true) AS
SELECT d.business_id, d.subject_reference, d.disclosed_at, d.recipient_name, d.recipient_address,
       d.information_description, d.purpose, d.authorization_reference, d.record_count
FROM security_mgmt.phi_disclosure AS d
WHERE d.business_id = tenant_mgmt.current_business_id()
  AND NOT d.is_suspended_from_accounting
  AND d.disclosed_at + make_interval(years => d.retention_years) > now();
COMMENT ON VIEW security_mgmt.v_phi_accounting IS
    'What a patient is told when it asks to whom its health information went.';
GRANT SELECT ON security_mgmt.v_phi_accounting TO app_user, app_readonly;


CREATE TABLE security_mgmt.cardholder_system (
    business_id            uuid        NOT NULL,
    cardholder_system_id   uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    security_asset_id      uuid        NOT NULL,
    scope_class            text        NOT NULL,
    stores_pan             boolean     NOT NULL DEFAULT false,
    pan_protection         text        NOT NULL DEFAULT 'none',
    network_segment        text        NOT NULL,
    saq_type               text,
    justification          text,
    asv_interval_days      integer     NOT NULL DEFAULT 92,
    last_asv_scan_on       date,
    asv_result             text        NOT NULL DEFAULT 'not_run',
    segmentation_tested_on date,
    created_at             timestamptz NOT NULL DEFAULT now(),
    updated_at             timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, cardholder_system_id),
    -- Also the foreign key.
    UNIQUE (business_id, security_asset_id),
    FOREIGN KEY (business_id, security_asset_id)
        REFERENCES security_mgmt.security_asset (business_id, security_asset_id),
    CONSTRAINT cardholder_system_scope_known
        CHECK (scope_class IN ('cde', 'connected', 'security_impacting', 'out_of_scope')),
    CONSTRAINT cardholder_system_protection_known
        CHECK (pan_protection IN ('none', 'truncated', 'tokenized', 'encrypted', 'p2pe')),
    CONSTRAINT cardholder_system_saq_known
        CHECK (saq_type IN ('a', 'a_ep', 'b_ip', 'c', 'c_vt', 'p2pe', 'd')),
    CONSTRAINT cardholder_system_asv_result_known
        CHECK (asv_result IN ('pass', 'fail', 'not_run')),
    CONSTRAINT cardholder_system_stored_pan_is_protected
        CHECK (NOT stores_pan OR pan_protection IN ('tokenized', 'encrypted')),
    CONSTRAINT cardholder_system_stored_pan_is_in_scope
        CHECK (NOT stores_pan OR scope_class = 'cde'),
    CONSTRAINT cardholder_system_out_of_scope_is_justified
        CHECK (scope_class <> 'out_of_scope' OR coalesce(justification, '') ~ '\S'),
    CONSTRAINT cardholder_system_scan_has_result
        CHECK ((asv_result = 'not_run') = (last_asv_scan_on IS NULL)),
    CONSTRAINT cardholder_system_scan_interval_positive CHECK (asv_interval_days > 0)
);

COMMENT ON TABLE security_mgmt.cardholder_system IS
    'A system in PCI-DSS scope, or why it is not, with its segment, data elements and scans.';
COMMENT ON COLUMN security_mgmt.cardholder_system.scope_class IS
    'cde holds, processes or transmits card data; connected can reach it.';
COMMENT ON COLUMN security_mgmt.cardholder_system.saq_type IS
    'The self-assessment questionnaire that it falls under; NULL where an assessor comes.';
COMMENT ON COLUMN security_mgmt.cardholder_system.asv_interval_days IS
    'How old the last external scan by an approved vendor may be.';

ALTER TABLE security_mgmt.cardholder_system ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.cardholder_system
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.cardholder_system TO app_user;
GRANT SELECT ON security_mgmt.cardholder_system TO app_readonly;

CREATE TRIGGER cardholder_system_touch
    BEFORE UPDATE ON security_mgmt.cardholder_system
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE VIEW security_mgmt.v_cardholder_scan_due
    WITH (security_invoker = true) AS
SELECT s.business_id, s.cardholder_system_id, a.asset_tag, a.name, s.network_segment,
       s.last_asv_scan_on, s.asv_result, s.last_asv_scan_on + s.asv_interval_days AS due_on
FROM security_mgmt.cardholder_system AS s
JOIN security_mgmt.security_asset AS a
    ON a.business_id = s.business_id AND a.security_asset_id = s.security_asset_id
WHERE s.business_id = tenant_mgmt.current_business_id()
  AND s.scope_class = 'cde'
  AND (s.asv_result <> 'pass' OR s.last_asv_scan_on + s.asv_interval_days < current_date);
COMMENT ON VIEW security_mgmt.v_cardholder_scan_due IS
    'Systems of the cardholder data environment without a passed external scan that is recent.';
GRANT SELECT ON security_mgmt.v_cardholder_scan_due TO app_user, app_readonly;
