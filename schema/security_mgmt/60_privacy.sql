/*
 * Privacy: what is processed, where personal data lies, and what people ask for.
 *
 * processing_activity is the record of processing (GDPR, article 30); data_classification_rule says
 * which columns hold what kind of data and how they are handled, which exports, the audit and
 * erasure follow. data_subject_request is what a person asks for, with its clock; the terms of a
 * regime are the tenant's own, in privacy_term, to be checked by its counsel. phi_disclosure
 * accounts for disclosures of health information, cardholder_system scopes PCI DSS.
 */

CREATE TABLE security_mgmt.processing_activity (
    business_id              uuid                   NOT NULL,
    processing_activity_id   uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    processor_third_party_id uuid,
    owner_user_account_id    uuid,
    name                     text                   NOT NULL,
    purpose_statement        text                   NOT NULL,
    legal_basis              text                   NOT NULL,
    subject_categories       text[]                 NOT NULL DEFAULT '{}',
    data_categories          text[]                 NOT NULL DEFAULT '{}',
    special_categories       text[]                 NOT NULL DEFAULT '{}',
    retention_rule           text                   NOT NULL,
    transfers                system_core.json_array NOT NULL DEFAULT '[]',
    security_measures        text,
    dpia_required            boolean                NOT NULL DEFAULT false,
    dpia_completed_on        date,
    status                   text                   NOT NULL DEFAULT 'planned',
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
    CONSTRAINT processing_activity_special_has_condition
        CHECK (special_categories = '{}' OR purpose_statement ~* 'art(icle|\.) ?9'),
    CONSTRAINT processing_activity_assessed_before_it_starts
        CHECK (NOT (dpia_required AND status = 'active') OR dpia_completed_on IS NOT NULL)
);

COMMENT ON TABLE security_mgmt.processing_activity IS
    'A record of processing: for which purpose, on which basis, whose data, for how long.';
COMMENT ON COLUMN security_mgmt.processing_activity.special_categories IS
    'Health, belief and the like; the purpose then names the condition of article 9.';
COMMENT ON COLUMN security_mgmt.processing_activity.transfers IS
    'Array of {country, safeguard, recipient}: what leaves the union.';
COMMENT ON COLUMN security_mgmt.processing_activity.dpia_required IS
    'Whether its impact has to be assessed before it starts (article 35).';

-- FK: what a processor does for the tenant.
CREATE INDEX processing_activity_processor_idx
    ON security_mgmt.processing_activity (business_id, processor_third_party_id)
    WHERE processor_third_party_id IS NOT NULL;

-- FK: what an account answers for.
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

CREATE TRIGGER processing_activity_status_machine
    BEFORE INSERT OR UPDATE OF status ON security_mgmt.processing_activity
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["planned"],
        "transitions": {
            "planned": ["active", "stopped"],
            "active":  ["stopped"],
            "stopped": ["planned"]
        }}');


CREATE TABLE security_mgmt.data_classification_rule (
    business_id                 uuid        NOT NULL,
    data_classification_rule_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    schema_name                 text        NOT NULL,
    table_name                  text        NOT NULL,
    column_name                 text        NOT NULL,
    data_class                  text        NOT NULL,
    handling                    text        NOT NULL DEFAULT 'plain',
    export_allowed              boolean     NOT NULL DEFAULT true,
    erasure_action              text        NOT NULL DEFAULT 'keep_legal',
    retention_months            integer,
    detected_by                 text        NOT NULL DEFAULT 'manual',
    confirmed_on                date,
    created_at                  timestamptz NOT NULL DEFAULT now(),
    updated_at                  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, data_classification_rule_id),
    UNIQUE (business_id, schema_name, table_name, column_name),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT data_classification_rule_class_known
        CHECK (data_class IN ('public', 'internal', 'personal', 'special', 'phi', 'cardholder',
                              'financial', 'credential')),
    CONSTRAINT data_classification_rule_handling_known
        CHECK (handling IN ('plain', 'masked', 'tokenized', 'encrypted', 'hashed')),
    CONSTRAINT data_classification_rule_erasure_known
        CHECK (erasure_action IN ('delete', 'null', 'pseudonymize', 'keep_legal')),
    CONSTRAINT data_classification_rule_detection_known
        CHECK (detected_by IN ('manual', 'scanner')),
    CONSTRAINT data_classification_rule_cards_are_tokens
        CHECK (data_class <> 'cardholder' OR handling = 'tokenized'),
    CONSTRAINT data_classification_rule_no_security_code
        CHECK (column_name !~ '(^|_)(cvv|cvc|cvv2|security_code)($|_)'),
    CONSTRAINT data_classification_rule_credentials_are_unreadable
        CHECK (data_class <> 'credential' OR handling IN ('hashed', 'encrypted')),
    CONSTRAINT data_classification_rule_credentials_stay
        CHECK (data_class <> 'credential' OR NOT export_allowed),
    CONSTRAINT data_classification_rule_retention_positive CHECK (retention_months > 0)
);

COMMENT ON TABLE security_mgmt.data_classification_rule IS
    'What a column holds, and how it is handled in exports, in the audit and on erasure.';
COMMENT ON COLUMN security_mgmt.data_classification_rule.data_class IS
    'phi is health information (HIPAA), cardholder a card number (PCI DSS).';
COMMENT ON COLUMN security_mgmt.data_classification_rule.confirmed_on IS
    'When a person looked at what the scanner found.';

ALTER TABLE security_mgmt.data_classification_rule
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.data_classification_rule
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.data_classification_rule TO app_user;
GRANT SELECT ON security_mgmt.data_classification_rule TO app_readonly;

CREATE TRIGGER data_classification_rule_touch
    BEFORE UPDATE ON security_mgmt.data_classification_rule
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE security_mgmt.privacy_term (
    business_id       uuid        NOT NULL,
    privacy_term_id   uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    regime            text        NOT NULL,
    answer_within     interval    NOT NULL,
    extension_at_most interval    NOT NULL DEFAULT '0',
    source_reference  text        NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, privacy_term_id),
    UNIQUE (business_id, regime),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT privacy_term_regime_known CHECK (regime IN ('gdpr', 'ccpa', 'hipaa', 'other')),
    CONSTRAINT privacy_term_positive
        CHECK (answer_within > interval '0' AND extension_at_most >= interval '0')
);

COMMENT ON TABLE security_mgmt.privacy_term IS
    'How long a regime gives to answer a request, as the tenant''s counsel stated it.';
COMMENT ON COLUMN security_mgmt.privacy_term.source_reference IS
    'Where it says so: the article or section.';

ALTER TABLE security_mgmt.privacy_term ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.privacy_term
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.privacy_term TO app_user;
GRANT SELECT ON security_mgmt.privacy_term TO app_readonly;

CREATE TRIGGER privacy_term_touch
    BEFORE UPDATE ON security_mgmt.privacy_term
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE security_mgmt.data_subject_request (
    business_id              uuid                   NOT NULL,
    data_subject_request_id  uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    subject_user_account_id  uuid,
    handler_user_account_id  uuid,
    response_file_object_id  uuid,
    request_number           system_core.code       NOT NULL,
    request_kind             text                   NOT NULL,
    regime                   text                   NOT NULL DEFAULT 'gdpr',
    status                   text                   NOT NULL DEFAULT 'received',
    refusal_reason           text,
    systems_searched         system_core.json_array NOT NULL DEFAULT '[]',
    received_at              timestamptz            NOT NULL DEFAULT now(),
    identity_verified_at     timestamptz,
    due_at                   timestamptz            NOT NULL,
    extended_until           timestamptz,
    fulfilled_at             timestamptz,
    created_at               timestamptz            NOT NULL DEFAULT now(),
    updated_at               timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, data_subject_request_id),
    UNIQUE (business_id, request_number),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, subject_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, handler_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, response_file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT data_subject_request_kind_known
        CHECK (request_kind IN ('access', 'erasure', 'rectification', 'restriction',
                                'portability', 'objection', 'opt_out_sale')),
    CONSTRAINT data_subject_request_regime_known
        CHECK (regime IN ('gdpr', 'ccpa', 'hipaa', 'other')),
    CONSTRAINT data_subject_request_status_known
        CHECK (status IN ('received', 'verifying', 'in_progress', 'fulfilled', 'partly_refused',
                          'refused', 'withdrawn')),
    CONSTRAINT data_subject_request_due_after_receipt CHECK (due_at > received_at),
    CONSTRAINT data_subject_request_extended_beyond_due CHECK (extended_until > due_at),
    CONSTRAINT data_subject_request_verified_after_receipt
        CHECK (identity_verified_at >= received_at),
    CONSTRAINT data_subject_request_fulfilled_after_receipt CHECK (fulfilled_at >= received_at),
    CONSTRAINT data_subject_request_answered_has_time
        CHECK (status NOT IN ('fulfilled', 'partly_refused') OR fulfilled_at IS NOT NULL),
    CONSTRAINT data_subject_request_answered_is_verified
        CHECK (status NOT IN ('in_progress', 'fulfilled', 'partly_refused')
               OR identity_verified_at IS NOT NULL),
    CONSTRAINT data_subject_request_refused_for_a_reason
        CHECK (status NOT IN ('refused', 'partly_refused') OR coalesce(refusal_reason, '') ~ '\S')
);

COMMENT ON TABLE security_mgmt.data_subject_request IS
    'What a person asks for about their data, and until when it is answered.';
COMMENT ON COLUMN security_mgmt.data_subject_request.due_at IS
    'Set from the tenant''s term for the regime.';
COMMENT ON COLUMN security_mgmt.data_subject_request.systems_searched IS
    'Array of {schema_name, table_name, row_count}, as subject_data_map() tells.';

-- Privacy desk: open requests, the nearest deadline first.
CREATE INDEX data_subject_request_open_idx
    ON security_mgmt.data_subject_request (business_id, due_at)
    WHERE status IN ('received', 'verifying', 'in_progress');

-- FK: what a person asked for.
CREATE INDEX data_subject_request_subject_idx
    ON security_mgmt.data_subject_request (business_id, subject_user_account_id)
    WHERE subject_user_account_id IS NOT NULL;

-- FK: what an account handles.
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
            "received":       ["verifying", "refused", "withdrawn"],
            "verifying":      ["in_progress", "refused", "withdrawn"],
            "in_progress":    ["fulfilled", "partly_refused", "refused", "withdrawn"],
            "fulfilled":      [],
            "partly_refused": [],
            "refused":        ["in_progress"],
            "withdrawn":      []
        }}');

CREATE FUNCTION security_mgmt.set_request_term() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    term security_mgmt.privacy_term;
BEGIN
    SELECT * INTO term
    FROM security_mgmt.privacy_term AS t
    WHERE t.business_id = NEW.business_id AND t.regime = NEW.regime;
    IF NOT FOUND THEN
        IF NEW.due_at IS NULL THEN
            RAISE EXCEPTION 'there is no term for %', NEW.regime
                USING ERRCODE = 'check_violation',
                      HINT = 'State it in security_mgmt.privacy_term, or the day of this request.';
        END IF;
        RETURN NEW;
    END IF;
    NEW.due_at := NEW.received_at + term.answer_within;
    IF NEW.extended_until > NEW.due_at + term.extension_at_most THEN
        RAISE EXCEPTION '% extends a request by % at most', NEW.regime, term.extension_at_most
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION security_mgmt.set_request_term() IS
    'A request is due when the tenant''s term for its regime is over, and extended within it.';

CREATE TRIGGER data_subject_request_term
    BEFORE INSERT OR UPDATE OF regime, received_at, due_at, extended_until
    ON security_mgmt.data_subject_request
    FOR EACH ROW EXECUTE FUNCTION security_mgmt.set_request_term();


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
    record_count                 integer     NOT NULL DEFAULT 1,
    method                       text        NOT NULL DEFAULT 'secure_portal',
    is_suspended_from_accounting boolean     NOT NULL DEFAULT false,
    disclosed_at                 timestamptz NOT NULL DEFAULT now(),
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
    CONSTRAINT phi_disclosure_of_something CHECK (record_count > 0)
) PARTITION BY RANGE (disclosed_at);

COMMENT ON TABLE security_mgmt.phi_disclosure IS
    'A disclosure of health information that a person may ask to be accounted for (HIPAA, 45 CFR
     164.528); append only.';
COMMENT ON COLUMN security_mgmt.phi_disclosure.is_suspended_from_accounting IS
    'An authority asked not to tell the person for now.';

-- The accounting that a person asks for.
CREATE INDEX phi_disclosure_subject_idx
    ON security_mgmt.phi_disclosure (business_id, subject_reference, disclosed_at DESC);

-- FK: what an account disclosed.
CREATE INDEX phi_disclosure_discloser_idx
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

CREATE TABLE security_mgmt.phi_disclosure_default
    PARTITION OF security_mgmt.phi_disclosure DEFAULT;
ALTER TABLE security_mgmt.phi_disclosure_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.phi_disclosure_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions(
    'security_mgmt.phi_disclosure', 'month', behind => 3, ahead => 1);


CREATE TABLE security_mgmt.cardholder_system (
    business_id            uuid        NOT NULL,
    cardholder_system_id   uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    security_asset_id      uuid        NOT NULL,
    scope_class            text        NOT NULL,
    stores_pan             boolean     NOT NULL DEFAULT false,
    pan_protection         text        NOT NULL DEFAULT 'none',
    network_segment        text,
    saq_type               text,
    last_asv_scan_on       date,
    asv_result             text        NOT NULL DEFAULT 'not_run',
    segmentation_tested_on date,
    justification          text,
    created_at             timestamptz NOT NULL DEFAULT now(),
    updated_at             timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, cardholder_system_id),
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
    CONSTRAINT cardholder_system_scanned_has_day
        CHECK ((asv_result = 'not_run') = (last_asv_scan_on IS NULL)),
    CONSTRAINT cardholder_system_stored_is_protected
        CHECK (NOT stores_pan OR pan_protection IN ('tokenized', 'encrypted')),
    CONSTRAINT cardholder_system_storing_is_in_scope CHECK (NOT stores_pan OR scope_class = 'cde'),
    CONSTRAINT cardholder_system_out_of_scope_is_justified
        CHECK (scope_class <> 'out_of_scope' OR coalesce(justification, '') ~ '\S')
);

COMMENT ON TABLE security_mgmt.cardholder_system IS
    'A system in the scope of PCI DSS: what it does with card numbers, and its scans.';
COMMENT ON COLUMN security_mgmt.cardholder_system.scope_class IS
    'cde: the cardholder data environment itself; connected: can reach it.';
COMMENT ON COLUMN security_mgmt.cardholder_system.saq_type IS
    'The self-assessment questionnaire that fits it.';

ALTER TABLE security_mgmt.cardholder_system ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.cardholder_system
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.cardholder_system TO app_user;
GRANT SELECT ON security_mgmt.cardholder_system TO app_readonly;

CREATE TRIGGER cardholder_system_touch
    BEFORE UPDATE ON security_mgmt.cardholder_system
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE FUNCTION security_mgmt.columns_to_mask(of_schema text, of_table text, of_class text)
    RETURNS text[]
    LANGUAGE sql STABLE
    RETURN ARRAY(
        SELECT r.column_name
        FROM security_mgmt.data_classification_rule AS r
        WHERE r.business_id = tenant_mgmt.current_business_id()
          AND r.schema_name = of_schema AND r.table_name = of_table
          AND (r.data_class = of_class OR of_class IS NULL)
          AND (r.handling <> 'plain' OR NOT r.export_allowed)
        ORDER BY r.column_name);
COMMENT ON FUNCTION security_mgmt.columns_to_mask(text, text, text) IS
    'Columns of a table that an export or the audit of the tenant does not show as they are, of
     one class of data or, with NULL, of all.';


CREATE FUNCTION security_mgmt.subject_data_map(of_account uuid)
    RETURNS TABLE (schema_name text, table_name text, row_count bigint)
    LANGUAGE plpgsql STABLE
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    place  record;
BEGIN
    FOR place IN
        SELECT DISTINCT r.schema_name, r.table_name
        FROM security_mgmt.data_classification_rule AS r
        JOIN pg_attribute AS a
            ON a.attrelid = to_regclass(format('%I.%I', r.schema_name, r.table_name))
           AND a.attname = 'user_account_id' AND NOT a.attisdropped
        WHERE r.business_id = tenant AND r.data_class IN ('personal', 'special', 'phi',
                                                          'cardholder', 'financial')
        ORDER BY r.schema_name, r.table_name
    LOOP
        schema_name := place.schema_name;
        table_name := place.table_name;
        -- With the caller's rights: what the caller may not see is not counted.
        EXECUTE format('SELECT count(*) FROM %I.%I AS t'
                       ' WHERE t.business_id = $1 AND t.user_account_id = $2',
                       place.schema_name, place.table_name)
            INTO row_count USING tenant, of_account;
        RETURN NEXT;
    END LOOP;
END
$$;
COMMENT ON FUNCTION security_mgmt.subject_data_map(uuid) IS
    'Where the data of a user of the tenant lies, and how much: every table that has a rule for
     personal data and names its user, for answering a request.';


CREATE VIEW security_mgmt.v_cardholder_scan_due WITH (security_invoker = true) AS
SELECT c.business_id, c.cardholder_system_id, a.security_asset_id, a.name, c.scope_class,
       c.asv_result, c.last_asv_scan_on, current_date - c.last_asv_scan_on AS days_since_scan
FROM security_mgmt.cardholder_system AS c
JOIN security_mgmt.security_asset AS a
    ON a.business_id = c.business_id AND a.security_asset_id = c.security_asset_id
WHERE c.scope_class = 'cde'
  AND (c.last_asv_scan_on IS NULL OR c.last_asv_scan_on < current_date - 92
       OR c.asv_result = 'fail');
COMMENT ON VIEW security_mgmt.v_cardholder_scan_due IS
    'Systems of the cardholder data environment without a passed scan in the last 92 days.';
GRANT SELECT ON security_mgmt.v_cardholder_scan_due TO app_user, app_readonly;
