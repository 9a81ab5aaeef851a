/*
 * Compliance: frameworks, controls, and the proof that they work.
 *
 * A compliance_framework is what the tenant is held to, in a version; its framework_requirements
 * are a tree of articles, sections or outcomes that adopt_framework() copies from
 * framework_catalog(), a document of the release. A security_control is what the tenant does
 * about them; control_mapping says which requirement it meets and how far. A control_test tells
 * whether a control works and moves its standing, control_evidence is what the test looked at. A
 * compliance_assessment is the opinion on one framework over a period, measured from the same
 * coverage that v_requirement_coverage shows.
 *
 * What the catalog says about a law or a standard are identifiers and a hint in a few words.
 * It is a start: from its adoption on it is the tenant's data, to be checked and completed by
 * the tenant's counsel and auditor against the text that binds the tenant.
 */

CREATE TABLE security_mgmt.compliance_framework (
    business_id             uuid        NOT NULL,
    compliance_framework_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    code                    text        NOT NULL,
    name                    text        NOT NULL,
    version                 text        NOT NULL,
    publisher               text        NOT NULL,
    scope_statement         text,
    is_applicable           boolean     NOT NULL DEFAULT true,
    adopted_on              date        NOT NULL DEFAULT current_date,
    certification_due_on    date,
    requirement_count       integer     NOT NULL DEFAULT 0,
    source_reference        text,
    created_at              timestamptz NOT NULL DEFAULT now(),
    updated_at              timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, compliance_framework_id),
    UNIQUE (business_id, code, version),
    UNIQUE (business_id, compliance_framework_id, code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT compliance_framework_code_known
        CHECK (code IN ('gdpr', 'hipaa', 'sox', 'pci_dss', 'nist_csf_2', 'iso_27001', 'soc_2')),
    CONSTRAINT compliance_framework_certified_after_adoption
        CHECK (certification_due_on >= adopted_on),
    CONSTRAINT compliance_framework_count_not_negative CHECK (requirement_count >= 0)
);

COMMENT ON TABLE security_mgmt.compliance_framework IS
    'A framework that the tenant is held to, in a version.';
COMMENT ON COLUMN security_mgmt.compliance_framework.scope_statement IS
    'Which part of the business is held to it.';
COMMENT ON COLUMN security_mgmt.compliance_framework.is_applicable IS
    'Whether the tenant is held to this version now; of a code at most one version is.';
COMMENT ON COLUMN security_mgmt.compliance_framework.requirement_count IS
    'Its rows of framework_requirement, kept by triggers.';
COMMENT ON COLUMN security_mgmt.compliance_framework.source_reference IS
    'Where the binding text is found.';

-- The one version of a framework that applies; finds a framework by its code.
CREATE UNIQUE INDEX compliance_framework_applicable_idx
    ON security_mgmt.compliance_framework (business_id, code)
    WHERE is_applicable;

ALTER TABLE security_mgmt.compliance_framework ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.compliance_framework
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.compliance_framework TO app_user;
GRANT SELECT ON security_mgmt.compliance_framework TO app_readonly;

CREATE TRIGGER compliance_framework_touch
    BEFORE UPDATE ON security_mgmt.compliance_framework
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION security_mgmt.require_csf() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := coalesce(NEW.business_id, OLD.business_id);
BEGIN
    -- Under another tenant the rows to be looked at would not be seen.
    IF row_security_active(TG_RELID)
       AND tenant IS DISTINCT FROM tenant_mgmt.current_business_id() THEN
        RAISE EXCEPTION 'the tenant changed before its frameworks were looked at'
            USING ERRCODE = 'check_violation',
                  HINT = 'Work for one tenant in a transaction.';
    END IF;
    IF (SELECT NOT bool_or(f.code = 'nist_csf_2' AND f.is_applicable)
        FROM security_mgmt.compliance_framework AS f
        WHERE f.business_id = tenant) THEN
        RAISE EXCEPTION 'the business has frameworks, but not nist_csf_2'
            USING ERRCODE = 'check_violation',
                  HINT = 'adopt_framework() adopts it together with the first other one.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION security_mgmt.require_csf() IS
    'NIST CSF 2.0 is what every profile is rated by: a tenant that has frameworks has that one,
     looked at when the transaction commits.';

CREATE CONSTRAINT TRIGGER compliance_framework_csf
    AFTER INSERT OR UPDATE OR DELETE ON security_mgmt.compliance_framework
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION security_mgmt.require_csf();


CREATE TABLE security_mgmt.framework_requirement (
    business_id              uuid              NOT NULL,
    framework_requirement_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    compliance_framework_id  uuid              NOT NULL,
    framework_code           text              NOT NULL,
    parent_requirement_id    uuid,
    reference_code           text              NOT NULL,
    title                    text              NOT NULL,
    level                    text              NOT NULL,
    csf_function             text
        GENERATED ALWAYS AS (CASE WHEN framework_code = 'nist_csf_2'
                                  THEN left(reference_code, 2) END) STORED,
    csf_category             text
        GENERATED ALWAYS AS (CASE WHEN framework_code = 'nist_csf_2'
                                  THEN substring(reference_code FROM '^[A-Z]{2}\.[A-Z]{2}')
                             END) STORED,
    is_assessable            boolean           NOT NULL DEFAULT true,
    weight                   system_core.score NOT NULL DEFAULT 1,
    guidance                 text,
    sort_path                text              NOT NULL
        GENERATED ALWAYS AS (regexp_replace(
            regexp_replace(reference_code, '([0-9]+)', '0000\1', 'g'),
            '0*([0-9]{5})', '\1', 'g')) STORED,
    created_at               timestamptz       NOT NULL DEFAULT now(),
    updated_at               timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, framework_requirement_id),
    UNIQUE (business_id, compliance_framework_id, reference_code),
    UNIQUE (business_id, compliance_framework_id, framework_requirement_id),
    UNIQUE (business_id, framework_requirement_id, csf_function),
    FOREIGN KEY (business_id, compliance_framework_id, framework_code)
        REFERENCES security_mgmt.compliance_framework
            (business_id, compliance_framework_id, code) ON DELETE CASCADE,
    FOREIGN KEY (business_id, compliance_framework_id, parent_requirement_id)
        REFERENCES security_mgmt.framework_requirement
            (business_id, compliance_framework_id, framework_requirement_id),
    CONSTRAINT framework_requirement_level_known
        CHECK (level IN ('function', 'category', 'subcategory', 'article', 'section',
                         'requirement')),
    CONSTRAINT framework_requirement_code_not_blank CHECK (reference_code ~ '\S'),
    CONSTRAINT framework_requirement_csf_function_known
        CHECK (csf_function IN ('GV', 'ID', 'PR', 'DE', 'RS', 'RC')),
    CONSTRAINT framework_requirement_csf_level_fits_code
        CHECK (framework_code <> 'nist_csf_2'
               OR level = CASE WHEN reference_code ~ '^[A-Z]{2}$' THEN 'function'
                               WHEN reference_code ~ '^[A-Z]{2}\.[A-Z]{2}$' THEN 'category'
                               WHEN reference_code ~ '^[A-Z]{2}\.[A-Z]{2}-[0-9]{2}$'
                               THEN 'subcategory'
                               ELSE 'no outcome of CSF' END),
    CONSTRAINT framework_requirement_weight_positive CHECK (weight > 0),
    CONSTRAINT framework_requirement_is_not_its_own_parent
        CHECK (parent_requirement_id <> framework_requirement_id)
);

COMMENT ON TABLE security_mgmt.framework_requirement IS
    'An article, section or requirement of a framework, or an outcome of NIST CSF 2.0, in a tree;
     the tenant''s own words, not those of the law or standard.';
COMMENT ON COLUMN security_mgmt.framework_requirement.framework_code IS
    'The code of its framework, by foreign key; decides which columns of CSF are set.';
COMMENT ON COLUMN security_mgmt.framework_requirement.parent_requirement_id IS
    'What it is a part of: a requirement of the same framework, by foreign key, with whose
     reference_code its own begins.';
COMMENT ON COLUMN security_mgmt.framework_requirement.reference_code IS
    'As the framework numbers it: GV.OC-01, Art. 30, 164.312(a)(1), 3.5.';
COMMENT ON COLUMN security_mgmt.framework_requirement.is_assessable IS
    'False for a heading that only holds others.';
COMMENT ON COLUMN security_mgmt.framework_requirement.weight IS
    'How much it counts in the score of its framework.';
COMMENT ON COLUMN security_mgmt.framework_requirement.sort_path IS
    'reference_code with its numbers padded, so that 12.2 comes before 12.10.';

-- FK: the parts of a requirement.
CREATE INDEX framework_requirement_parent_idx
    ON security_mgmt.framework_requirement
        (business_id, compliance_framework_id, parent_requirement_id);

-- The requirements of a framework in order; also FK compliance_framework with its code.
CREATE INDEX framework_requirement_order_idx
    ON security_mgmt.framework_requirement
        (business_id, compliance_framework_id, framework_code, sort_path);

ALTER TABLE security_mgmt.framework_requirement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.framework_requirement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.framework_requirement TO app_user;
GRANT SELECT ON security_mgmt.framework_requirement TO app_readonly;

CREATE TRIGGER framework_requirement_touch
    BEFORE UPDATE ON security_mgmt.framework_requirement
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION security_mgmt.count_requirements() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- Locked in order and counted by the next statement, which sees what was committed
    -- meanwhile.
    PERFORM FROM security_mgmt.compliance_framework AS f
    WHERE (f.business_id, f.compliance_framework_id)
          IN (SELECT c.business_id, c.compliance_framework_id FROM changed AS c)
    ORDER BY f.business_id, f.compliance_framework_id
    FOR NO KEY UPDATE;
    UPDATE security_mgmt.compliance_framework AS f
    SET requirement_count = (
        SELECT count(*) FROM security_mgmt.framework_requirement AS r
        WHERE r.business_id = f.business_id
          AND r.compliance_framework_id = f.compliance_framework_id)
    WHERE (f.business_id, f.compliance_framework_id)
          IN (SELECT c.business_id, c.compliance_framework_id FROM changed AS c);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION security_mgmt.count_requirements() IS
    'The count of a framework is that of its requirements.';

CREATE TRIGGER framework_requirement_count_insert
    AFTER INSERT ON security_mgmt.framework_requirement
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION security_mgmt.count_requirements();

CREATE TRIGGER framework_requirement_count_delete
    AFTER DELETE ON security_mgmt.framework_requirement
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION security_mgmt.count_requirements();

CREATE FUNCTION security_mgmt.refuse_requirement_move() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'requirement % stays in its framework', OLD.reference_code
        USING ERRCODE = 'restrict_violation',
              HINT = 'Map a control to the requirement of the other framework instead.';
END
$$;
COMMENT ON FUNCTION security_mgmt.refuse_requirement_move() IS
    'What is mapped to and tested against a requirement was meant for its framework.';

CREATE TRIGGER framework_requirement_stays
    BEFORE UPDATE OF compliance_framework_id ON security_mgmt.framework_requirement
    FOR EACH ROW WHEN (NEW.compliance_framework_id <> OLD.compliance_framework_id)
    EXECUTE FUNCTION security_mgmt.refuse_requirement_move();

CREATE FUNCTION security_mgmt.is_part_of(reference_code text, whole text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN length(reference_code) > length(whole)
        AND left(reference_code, length(whole)) = whole
        AND substr(reference_code, length(whole) + 1, 1) !~ '[A-Za-z0-9]';
COMMENT ON FUNCTION security_mgmt.is_part_of(text, text) IS
    'Whether a reference code lies below another: GV.OC-01 below GV.OC, 10.2 below 10, not 1.';

CREATE FUNCTION security_mgmt.require_parent_of_code() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    SELECT c.reference_code, p.reference_code AS parent_code INTO wrong
    FROM changed AS c
    JOIN security_mgmt.framework_requirement AS p
        ON p.business_id = c.business_id
       AND p.framework_requirement_id = c.parent_requirement_id
    WHERE NOT security_mgmt.is_part_of(c.reference_code, p.reference_code)
    UNION ALL
    SELECT part.reference_code, c.reference_code
    FROM changed AS c
    JOIN security_mgmt.framework_requirement AS part
        ON part.business_id = c.business_id
       AND part.compliance_framework_id = c.compliance_framework_id
       AND part.parent_requirement_id = c.framework_requirement_id
    WHERE NOT security_mgmt.is_part_of(part.reference_code, c.reference_code)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'requirement % is no part of %', wrong.reference_code, wrong.parent_code
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION security_mgmt.require_parent_of_code() IS
    'The code of a requirement begins with that of its parent, so that the tree has no cycle.';

CREATE TRIGGER framework_requirement_parent_insert
    AFTER INSERT ON security_mgmt.framework_requirement
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION security_mgmt.require_parent_of_code();

CREATE TRIGGER framework_requirement_parent_update
    AFTER UPDATE ON security_mgmt.framework_requirement
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION security_mgmt.require_parent_of_code();


CREATE TABLE security_mgmt.security_control (
    business_id           uuid             NOT NULL,
    security_control_id   uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    owner_user_account_id uuid,
    control_code          system_core.code NOT NULL,
    name                  text             NOT NULL,
    control_type          text             NOT NULL,
    nature                text             NOT NULL,
    frequency             text             NOT NULL,
    csf_function          text             NOT NULL,
    is_sox_key_control    boolean          NOT NULL DEFAULT false,
    implementation        text             NOT NULL DEFAULT 'planned',
    design_effective      boolean,
    operating_effective   boolean,
    last_tested_on        date,
    next_test_on          date,
    created_at            timestamptz      NOT NULL DEFAULT now(),
    updated_at            timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, security_control_id),
    UNIQUE (business_id, control_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT security_control_type_known
        CHECK (control_type IN ('preventive', 'detective', 'corrective', 'deterrent')),
    CONSTRAINT security_control_nature_known CHECK (nature IN ('manual', 'automated', 'hybrid')),
    CONSTRAINT security_control_frequency_known
        CHECK (frequency IN ('continuous', 'daily', 'weekly', 'monthly', 'quarterly', 'annual',
                             'per_event')),
    CONSTRAINT security_control_csf_function_known
        CHECK (csf_function IN ('GV', 'ID', 'PR', 'DE', 'RS', 'RC')),
    CONSTRAINT security_control_implementation_known
        CHECK (implementation IN ('planned', 'partial', 'implemented', 'not_applicable')),
    CONSTRAINT security_control_next_test_after_last CHECK (next_test_on > last_tested_on)
);

COMMENT ON TABLE security_mgmt.security_control IS
    'A control that the tenant runs, with owner and frequency, and whether it was found to work.';
COMMENT ON COLUMN security_mgmt.security_control.csf_function IS
    'The function of NIST CSF 2.0 that it mainly serves.';
COMMENT ON COLUMN security_mgmt.security_control.is_sox_key_control IS
    'A key control over financial reporting; to be tested at least once a year.';
COMMENT ON COLUMN security_mgmt.security_control.design_effective IS
    'Whether it would work if done as designed: the last test of its design, by trigger.';
COMMENT ON COLUMN security_mgmt.security_control.operating_effective IS
    'Whether it worked: the last test of its operation, by trigger; NULL while there is none.';
COMMENT ON COLUMN security_mgmt.security_control.last_tested_on IS
    'Day of the last control_test that came to a result, by trigger.';

-- FK: the controls of an owner.
CREATE INDEX security_control_owner_idx
    ON security_mgmt.security_control (business_id, owner_user_account_id)
    WHERE owner_user_account_id IS NOT NULL;

-- v_overdue_control, and the tester's calendar.
CREATE INDEX security_control_due_idx
    ON security_mgmt.security_control (business_id, next_test_on)
    WHERE implementation <> 'not_applicable';

ALTER TABLE security_mgmt.security_control ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.security_control
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.security_control TO app_user;
GRANT SELECT ON security_mgmt.security_control TO app_readonly;

CREATE TRIGGER security_control_touch
    BEFORE UPDATE ON security_mgmt.security_control
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE security_mgmt.control_mapping (
    business_id              uuid        NOT NULL,
    control_mapping_id       uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    security_control_id      uuid        NOT NULL,
    framework_requirement_id uuid        NOT NULL,
    coverage                 text        NOT NULL,
    strength                 integer     NOT NULL DEFAULT 100,
    rationale                text,
    is_inherited             boolean     NOT NULL DEFAULT false,
    inherited_from           text,
    mapped_on                date        NOT NULL DEFAULT current_date,
    reviewed_on              date,
    created_at               timestamptz NOT NULL DEFAULT now(),
    updated_at               timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, control_mapping_id),
    UNIQUE (business_id, security_control_id, framework_requirement_id),
    FOREIGN KEY (business_id, security_control_id)
        REFERENCES security_mgmt.security_control (business_id, security_control_id),
    FOREIGN KEY (business_id, framework_requirement_id)
        REFERENCES security_mgmt.framework_requirement (business_id, framework_requirement_id),
    CONSTRAINT control_mapping_coverage_known
        CHECK (coverage IN ('full', 'partial', 'supporting')),
    CONSTRAINT control_mapping_strength_bounded CHECK (strength BETWEEN 0 AND 100),
    CONSTRAINT control_mapping_inherited_has_source
        CHECK (NOT is_inherited OR inherited_from IS NOT NULL),
    CONSTRAINT control_mapping_reviewed_after_mapping CHECK (reviewed_on >= mapped_on)
);

COMMENT ON TABLE security_mgmt.control_mapping IS
    'A control that meets a requirement, wholly or in part.';
COMMENT ON COLUMN security_mgmt.control_mapping.strength IS
    'How much of its coverage the control brings in this place, 0 to 100.';
COMMENT ON COLUMN security_mgmt.control_mapping.inherited_from IS
    'The provider who runs the control for the tenant, such as the hosting company.';

-- FK: what meets a requirement; compliance_scorecard.
CREATE INDEX control_mapping_requirement_idx
    ON security_mgmt.control_mapping (business_id, framework_requirement_id);

ALTER TABLE security_mgmt.control_mapping ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.control_mapping
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.control_mapping TO app_user;
GRANT SELECT ON security_mgmt.control_mapping TO app_readonly;

CREATE TRIGGER control_mapping_touch
    BEFORE UPDATE ON security_mgmt.control_mapping
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE security_mgmt.compliance_assessment (
    business_id              uuid                   NOT NULL,
    compliance_assessment_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    compliance_framework_id  uuid                   NOT NULL,
    lead_user_account_id     uuid,
    title                    text                   NOT NULL,
    assessment_kind          text                   NOT NULL,
    assessor_name            text,
    state                    text                   NOT NULL DEFAULT 'planned',
    requirements_total       integer                NOT NULL DEFAULT 0,
    requirements_met         integer                NOT NULL DEFAULT 0,
    score_pct                system_core.percentage,
    opinion                  text                   NOT NULL DEFAULT 'not_issued',
    period_start             date                   NOT NULL,
    period_end               date                   NOT NULL,
    issued_on                date,
    created_at               timestamptz            NOT NULL DEFAULT now(),
    updated_at               timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, compliance_assessment_id),
    FOREIGN KEY (business_id, compliance_framework_id)
        REFERENCES security_mgmt.compliance_framework (business_id, compliance_framework_id),
    FOREIGN KEY (business_id, lead_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT compliance_assessment_kind_known
        CHECK (assessment_kind IN ('self', 'internal_audit', 'external_audit', 'certification',
                                   'pci_saq', 'pci_roc', 'sox_404')),
    CONSTRAINT compliance_assessment_state_known
        CHECK (state IN ('planned', 'fieldwork', 'review', 'issued', 'closed')),
    CONSTRAINT compliance_assessment_opinion_known
        CHECK (opinion IN ('unqualified', 'qualified', 'adverse', 'not_issued')),
    CONSTRAINT compliance_assessment_met_of_total
        CHECK (requirements_met BETWEEN 0 AND requirements_total),
    CONSTRAINT compliance_assessment_score_bounded CHECK (score_pct BETWEEN 0 AND 100),
    CONSTRAINT compliance_assessment_period_ordered CHECK (period_end > period_start),
    CONSTRAINT compliance_assessment_issued_has_opinion
        CHECK ((state IN ('issued', 'closed')) = (opinion <> 'not_issued')),
    CONSTRAINT compliance_assessment_issued_has_day
        CHECK ((state IN ('issued', 'closed')) = (issued_on IS NOT NULL)),
    CONSTRAINT compliance_assessment_issued_after_start CHECK (issued_on >= period_start)
);

COMMENT ON TABLE security_mgmt.compliance_assessment IS
    'An assessment of one framework over a period, with score and opinion.';
COMMENT ON COLUMN security_mgmt.compliance_assessment.score_pct IS
    'Weighted coverage of the assessable requirements when it was last measured.';

-- FK: the assessments of a framework, newest first.
CREATE INDEX compliance_assessment_framework_idx
    ON security_mgmt.compliance_assessment
        (business_id, compliance_framework_id, period_end DESC);

-- FK: what somebody leads.
CREATE INDEX compliance_assessment_lead_idx
    ON security_mgmt.compliance_assessment (business_id, lead_user_account_id)
    WHERE lead_user_account_id IS NOT NULL;

ALTER TABLE security_mgmt.compliance_assessment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.compliance_assessment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.compliance_assessment TO app_user;
GRANT SELECT ON security_mgmt.compliance_assessment TO app_readonly;

CREATE TRIGGER compliance_assessment_touch
    BEFORE UPDATE ON security_mgmt.compliance_assessment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER compliance_assessment_state_machine
    BEFORE INSERT OR UPDATE OF state ON security_mgmt.compliance_assessment
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["planned"],
        "transitions": {
            "planned":   ["fieldwork"],
            "fieldwork": ["review"],
            "review":    ["issued", "fieldwork"],
            "issued":    ["closed"],
            "closed":    []
        }}');

CREATE FUNCTION security_mgmt.keep_issued_assessment() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'assessment "%" was issued on %', OLD.title, OLD.issued_on
        USING ERRCODE = 'restrict_violation',
              HINT = 'What has changed since belongs in the next assessment.';
END
$$;
COMMENT ON FUNCTION security_mgmt.keep_issued_assessment() IS
    'What was issued is what the reader has in hand: only its state goes on.';

CREATE TRIGGER compliance_assessment_issued_stays
    BEFORE UPDATE ON security_mgmt.compliance_assessment
    FOR EACH ROW
    WHEN (OLD.state IN ('issued', 'closed')
          AND (OLD.compliance_framework_id, OLD.title, OLD.assessment_kind, OLD.assessor_name,
               OLD.requirements_total, OLD.requirements_met, OLD.score_pct, OLD.opinion,
               OLD.period_start, OLD.period_end, OLD.issued_on)
              IS DISTINCT FROM
              (NEW.compliance_framework_id, NEW.title, NEW.assessment_kind, NEW.assessor_name,
               NEW.requirements_total, NEW.requirements_met, NEW.score_pct, NEW.opinion,
               NEW.period_start, NEW.period_end, NEW.issued_on))
    EXECUTE FUNCTION security_mgmt.keep_issued_assessment();


CREATE TABLE security_mgmt.control_test (
    business_id              uuid             NOT NULL,
    control_test_id          uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    security_control_id      uuid             NOT NULL,
    tester_user_account_id   uuid,
    compliance_assessment_id uuid,
    test_number              system_core.code NOT NULL,
    test_kind                text             NOT NULL,
    population_size          integer          NOT NULL DEFAULT 0,
    sample_size              integer          NOT NULL DEFAULT 0,
    exceptions_found         integer          NOT NULL DEFAULT 0,
    result                   text             NOT NULL DEFAULT 'not_tested',
    conclusion               text,
    period_start             date             NOT NULL,
    period_end               date             NOT NULL,
    performed_on             date             NOT NULL DEFAULT current_date,
    retest_due_on            date,
    created_at               timestamptz      NOT NULL DEFAULT now(),
    updated_at               timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, control_test_id),
    UNIQUE (business_id, test_number),
    UNIQUE (business_id, security_control_id, control_test_id),
    FOREIGN KEY (business_id, security_control_id)
        REFERENCES security_mgmt.security_control (business_id, security_control_id),
    FOREIGN KEY (business_id, tester_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, compliance_assessment_id)
        REFERENCES security_mgmt.compliance_assessment (business_id, compliance_assessment_id),
    CONSTRAINT control_test_kind_known
        CHECK (test_kind IN ('design', 'operating', 'automated_check', 'walkthrough')),
    CONSTRAINT control_test_result_known
        CHECK (result IN ('effective', 'deficient', 'significant_deficiency',
                          'material_weakness', 'not_tested')),
    CONSTRAINT control_test_sample_of_population CHECK (sample_size <= population_size),
    CONSTRAINT control_test_exceptions_in_sample
        CHECK (exceptions_found BETWEEN 0 AND sample_size),
    CONSTRAINT control_test_period_ordered CHECK (period_end >= period_start),
    CONSTRAINT control_test_performed_in_or_after_period CHECK (performed_on >= period_start),
    CONSTRAINT control_test_retest_later CHECK (retest_due_on > performed_on),
    CONSTRAINT control_test_deficiency_is_retested
        CHECK (result IN ('effective', 'not_tested') OR retest_due_on IS NOT NULL)
);

COMMENT ON TABLE security_mgmt.control_test IS
    'A test of the design or operation of a control on a sample.';
COMMENT ON COLUMN security_mgmt.control_test.population_size IS
    'How often the control ran in the period; the sample is drawn from these.';

-- FK: the tests of a control, newest first; compliance_scorecard.
CREATE INDEX control_test_control_idx
    ON security_mgmt.control_test (business_id, security_control_id, performed_on DESC);

-- FK: who tested.
CREATE INDEX control_test_tester_idx
    ON security_mgmt.control_test (business_id, tester_user_account_id)
    WHERE tester_user_account_id IS NOT NULL;

-- FK: the tests of an assessment.
CREATE INDEX control_test_assessment_idx
    ON security_mgmt.control_test (business_id, compliance_assessment_id)
    WHERE compliance_assessment_id IS NOT NULL;

ALTER TABLE security_mgmt.control_test ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.control_test
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.control_test TO app_user;
GRANT SELECT ON security_mgmt.control_test TO app_readonly;

CREATE TRIGGER control_test_touch
    BEFORE UPDATE ON security_mgmt.control_test
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION security_mgmt.require_independent_tester() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    wrong text;
BEGIN
    -- A tester of the past may own the control today: history is taken as it was.
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    SELECT c.control_code INTO wrong
    FROM changed AS t
    JOIN security_mgmt.security_control AS c
        ON c.business_id = t.business_id
       AND c.security_control_id = t.security_control_id
       AND c.owner_user_account_id = t.tester_user_account_id
    WHERE t.business_id = tenant_mgmt.current_business_id()
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the owner of control % does not test it', wrong
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION security_mgmt.require_independent_tester() IS
    'Nobody tests a control of their own.';

CREATE TRIGGER control_test_independent_insert
    AFTER INSERT ON security_mgmt.control_test
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION security_mgmt.require_independent_tester();

CREATE TRIGGER control_test_independent_update
    AFTER UPDATE ON security_mgmt.control_test
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION security_mgmt.require_independent_tester();

CREATE FUNCTION security_mgmt.rate_controls() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM security_mgmt.security_control AS c
    WHERE (c.business_id, c.security_control_id)
          IN (SELECT t.business_id, t.security_control_id FROM changed AS t)
    ORDER BY c.business_id, c.security_control_id
    FOR NO KEY UPDATE;

    UPDATE security_mgmt.security_control AS c
    SET design_effective = s.design_result = 'effective',
        operating_effective = s.operating_result = 'effective',
        last_tested_on = s.last_tested_on,
        next_test_on = CASE WHEN c.next_test_on > s.last_tested_on
                                 AND c.last_tested_on >= s.last_tested_on THEN c.next_test_on
                            ELSE coalesce(s.retest_due_on, s.last_tested_on + 365,
                                          c.next_test_on) END
    FROM (
        SELECT x.business_id, x.security_control_id,
               max(t.performed_on) AS last_tested_on,
               (array_agg(t.result ORDER BY t.performed_on DESC, t.control_test_id DESC)
                    FILTER (WHERE t.test_kind IN ('design', 'walkthrough')))[1]
                   AS design_result,
               (array_agg(t.result ORDER BY t.performed_on DESC, t.control_test_id DESC)
                    FILTER (WHERE t.test_kind IN ('operating', 'automated_check')))[1]
                   AS operating_result,
               (array_agg(t.retest_due_on ORDER BY t.performed_on DESC, t.control_test_id DESC))[1]
                   AS retest_due_on
        FROM (SELECT DISTINCT c.business_id, c.security_control_id FROM changed AS c) AS x
        LEFT JOIN security_mgmt.control_test AS t
            ON t.business_id = x.business_id
           AND t.security_control_id = x.security_control_id
           AND t.result <> 'not_tested'
        GROUP BY x.business_id, x.security_control_id
    ) AS s
    WHERE c.business_id = s.business_id AND c.security_control_id = s.security_control_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION security_mgmt.rate_controls() IS
    'A control stands as its last tests left it: the last of its design and of its operation. It
     is tested again when the last test says so, else after a year; an earlier date that was
     planned for after the last test stays.';

CREATE TRIGGER control_test_rate_insert
    AFTER INSERT ON security_mgmt.control_test
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION security_mgmt.rate_controls();

CREATE TRIGGER control_test_rate_update
    AFTER UPDATE ON security_mgmt.control_test
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION security_mgmt.rate_controls();

CREATE TRIGGER control_test_rate_delete
    AFTER DELETE ON security_mgmt.control_test
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION security_mgmt.rate_controls();

CREATE FUNCTION security_mgmt.refuse_test_move() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'test % stays with its control', OLD.test_number
        USING ERRCODE = 'restrict_violation', HINT = 'Record a test of the other control.';
END
$$;
COMMENT ON FUNCTION security_mgmt.refuse_test_move() IS
    'A test of one control says nothing about another.';

CREATE TRIGGER control_test_stays
    BEFORE UPDATE OF security_control_id ON security_mgmt.control_test
    FOR EACH ROW WHEN (NEW.security_control_id <> OLD.security_control_id)
    EXECUTE FUNCTION security_mgmt.refuse_test_move();


CREATE TABLE security_mgmt.control_evidence (
    business_id         uuid               NOT NULL,
    control_evidence_id uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    security_control_id uuid               NOT NULL,
    control_test_id     uuid,
    file_object_id      uuid,
    evidence_kind       text               NOT NULL,
    title               text               NOT NULL,
    query_text          text,
    query_result        jsonb,
    content_sha256      system_core.sha256 NOT NULL,
    collected_by_job    text,
    review_state        text               NOT NULL DEFAULT 'new',
    period_start        date               NOT NULL,
    period_end          date               NOT NULL,
    collected_at        timestamptz        NOT NULL DEFAULT now(),
    valid_until         date,
    created_at          timestamptz        NOT NULL DEFAULT now(),
    updated_at          timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, control_evidence_id),
    FOREIGN KEY (business_id, security_control_id)
        REFERENCES security_mgmt.security_control (business_id, security_control_id),
    FOREIGN KEY (business_id, security_control_id, control_test_id)
        REFERENCES security_mgmt.control_test
            (business_id, security_control_id, control_test_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT control_evidence_kind_known
        CHECK (evidence_kind IN ('screenshot', 'report', 'query_result', 'ticket',
                                 'signed_statement', 'log_extract')),
    CONSTRAINT control_evidence_review_state_known
        CHECK (review_state IN ('new', 'accepted', 'rejected', 'stale')),
    CONSTRAINT control_evidence_is_file_or_result
        CHECK (num_nonnulls(file_object_id, query_result) = 1),
    CONSTRAINT control_evidence_result_has_query
        CHECK (query_result IS NULL OR query_text IS NOT NULL),
    CONSTRAINT control_evidence_period_ordered CHECK (period_end >= period_start),
    CONSTRAINT control_evidence_valid_after_collection
        CHECK (valid_until > (collected_at AT TIME ZONE 'UTC')::date)
);

COMMENT ON TABLE security_mgmt.control_evidence IS
    'A file or the result of a query that proves that a control worked in a period.';
COMMENT ON COLUMN security_mgmt.control_evidence.control_test_id IS
    'The test that it was collected for: one of the same control, by foreign key.';
COMMENT ON COLUMN security_mgmt.control_evidence.query_result IS
    'The rows that query_text gave, kept as proof in place of a file.';
COMMENT ON COLUMN security_mgmt.control_evidence.content_sha256 IS
    'Hash of the file, or of query_result as PostgreSQL writes it; of a result by trigger. It
     never changes.';
COMMENT ON COLUMN security_mgmt.control_evidence.review_state IS
    'stale is accepted evidence whose time has run out.';

-- FK: the evidence of a control by period.
CREATE INDEX control_evidence_control_idx
    ON security_mgmt.control_evidence (business_id, security_control_id, period_end DESC);

-- FK: what a test of the control looked at.
CREATE INDEX control_evidence_test_idx
    ON security_mgmt.control_evidence (business_id, security_control_id, control_test_id)
    WHERE control_test_id IS NOT NULL;

-- FK: whether a file is evidence.
CREATE INDEX control_evidence_file_idx
    ON security_mgmt.control_evidence (business_id, file_object_id)
    WHERE file_object_id IS NOT NULL;

-- v_expiring_assurance: accepted evidence that runs out.
CREATE INDEX control_evidence_expiry_idx
    ON security_mgmt.control_evidence (business_id, valid_until)
    WHERE review_state = 'accepted';

ALTER TABLE security_mgmt.control_evidence ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.control_evidence
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.control_evidence TO app_user;
GRANT SELECT ON security_mgmt.control_evidence TO app_readonly;

CREATE TRIGGER control_evidence_touch
    BEFORE UPDATE ON security_mgmt.control_evidence
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION security_mgmt.hash_evidence() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.content_sha256 := sha256(convert_to(NEW.query_result::text, 'UTF8'));
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION security_mgmt.hash_evidence() IS
    'The hash of a query result is taken by the database, not by whom it serves.';

CREATE TRIGGER control_evidence_hash
    BEFORE INSERT ON security_mgmt.control_evidence
    FOR EACH ROW WHEN (NEW.query_result IS NOT NULL)
    EXECUTE FUNCTION security_mgmt.hash_evidence();

CREATE FUNCTION security_mgmt.keep_evidence() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'evidence "%" cannot be changed: it is % and hashed', OLD.title,
                    OLD.review_state
        USING ERRCODE = 'restrict_violation', HINT = 'Collect new evidence instead.';
END
$$;
COMMENT ON FUNCTION security_mgmt.keep_evidence() IS
    'The content of evidence never changes, and once accepted neither does what it proves.';

CREATE TRIGGER control_evidence_content_stays
    BEFORE UPDATE ON security_mgmt.control_evidence
    FOR EACH ROW
    WHEN ((OLD.content_sha256, OLD.file_object_id, OLD.query_result)
          IS DISTINCT FROM (NEW.content_sha256, NEW.file_object_id, NEW.query_result))
    EXECUTE FUNCTION security_mgmt.keep_evidence();

CREATE TRIGGER control_evidence_accepted_stays
    BEFORE UPDATE ON security_mgmt.control_evidence
    FOR EACH ROW
    WHEN (OLD.review_state IN ('accepted', 'stale')
          AND (OLD.security_control_id, OLD.period_start, OLD.period_end, OLD.query_text,
               OLD.collected_at)
              IS DISTINCT FROM
              (NEW.security_control_id, NEW.period_start, NEW.period_end, NEW.query_text,
               NEW.collected_at))
    EXECUTE FUNCTION security_mgmt.keep_evidence();

CREATE TRIGGER control_evidence_accepted_is_kept
    BEFORE DELETE ON security_mgmt.control_evidence
    FOR EACH ROW WHEN (OLD.review_state IN ('accepted', 'stale'))
    EXECUTE FUNCTION security_mgmt.keep_evidence();

CREATE TRIGGER control_evidence_review_machine
    BEFORE INSERT OR UPDATE OF review_state ON security_mgmt.control_evidence
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('review_state', '{
        "initial": ["new"],
        "transitions": {
            "new":      ["accepted", "rejected"],
            "accepted": ["stale"],
            "rejected": [],
            "stale":    []
        }}');


CREATE FUNCTION security_mgmt.framework_catalog() RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN '{
    "frameworks": [
        {"code": "nist_csf_2", "name": "NIST Cybersecurity Framework",
         "version": "2.0", "publisher": "NIST", "source": "NIST CSWP 29",
         "requirements": [
            {"code": "GV", "title": "Govern"}, {"code": "GV.OC", "title": "Organizational context"},
            {"code": "GV.OC-01", "title": "Mission guides how cyber risk is handled"},
            {"code": "GV.OC-02", "title": "Stakeholders and what they expect are known"},
            {"code": "GV.OC-03", "title": "Legal, regulatory and contract duties are known"},
            {"code": "GV.OC-04", "title": "Services that others depend on are named"},
            {"code": "GV.OC-05", "title": "Services we depend on are named"},
            {"code": "GV.RM", "title": "Risk management strategy"},
            {"code": "GV.RM-01", "title": "Risk objectives agreed with stakeholders"},
            {"code": "GV.RM-02", "title": "Risk appetite and tolerance are stated"},
            {"code": "GV.RM-03", "title": "Cyber risk is part of enterprise risk"},
            {"code": "GV.RM-04", "title": "Options for responding to risk are set"},
            {"code": "GV.RM-05", "title": "Lines to report risk across the organization"},
            {"code": "GV.RM-06", "title": "One method to rate and rank risk"},
            {"code": "GV.RM-07", "title": "Opportunities are weighed as well"},
            {"code": "GV.RR", "title": "Roles, responsibilities, authorities"},
            {"code": "GV.RR-01", "title": "Leaders answer for cyber risk"},
            {"code": "GV.RR-02", "title": "Roles and authorities are assigned"},
            {"code": "GV.RR-03", "title": "Enough means are given"},
            {"code": "GV.RR-04", "title": "Security is part of hiring and leaving"},
            {"code": "GV.PO", "title": "Policy"},
            {"code": "GV.PO-01", "title": "Policy exists and is enforced"},
            {"code": "GV.PO-02", "title": "Policy is reviewed as things change"},
            {"code": "GV.OV", "title": "Oversight"},
            {"code": "GV.OV-01", "title": "Results adjust the strategy"},
            {"code": "GV.OV-02", "title": "Strategy is checked against duties and risk"},
            {"code": "GV.OV-03", "title": "Performance is measured and acted on"},
            {"code": "GV.SC", "title": "Supply chain risk"},
            {"code": "GV.SC-01", "title": "Supplier risk program is agreed"},
            {"code": "GV.SC-02", "title": "Security roles of suppliers are agreed"},
            {"code": "GV.SC-03", "title": "Supplier risk is part of cyber risk"},
            {"code": "GV.SC-04", "title": "Suppliers are known and ranked"},
            {"code": "GV.SC-05", "title": "Security terms stand in contracts"},
            {"code": "GV.SC-06", "title": "Diligence before signing"},
            {"code": "GV.SC-07", "title": "Supplier risk is watched all along"},
            {"code": "GV.SC-08", "title": "Suppliers take part in incident plans"},
            {"code": "GV.SC-09", "title": "Supply chain practice over the life cycle"},
            {"code": "GV.SC-10", "title": "Plans for the end of a relationship"},
            {"code": "ID", "title": "Identify"}, {"code": "ID.AM", "title": "Asset management"},
            {"code": "ID.AM-01", "title": "Inventory of hardware"},
            {"code": "ID.AM-02", "title": "Inventory of software and services"},
            {"code": "ID.AM-03", "title": "Map of data flows"},
            {"code": "ID.AM-04", "title": "Inventory of supplier services"},
            {"code": "ID.AM-05", "title": "Assets ranked by worth"},
            {"code": "ID.AM-07", "title": "Inventory of data"},
            {"code": "ID.AM-08", "title": "Assets managed over their life"},
            {"code": "ID.RA", "title": "Risk assessment"},
            {"code": "ID.RA-01", "title": "Weaknesses are found and recorded"},
            {"code": "ID.RA-02", "title": "Threat intelligence is received"},
            {"code": "ID.RA-03", "title": "Threats inside and outside are recorded"},
            {"code": "ID.RA-04", "title": "Impact and likelihood are estimated"},
            {"code": "ID.RA-05", "title": "Risk is derived and ranked"},
            {"code": "ID.RA-06", "title": "Responses are chosen and tracked"},
            {"code": "ID.RA-07", "title": "Changes and exceptions are managed"},
            {"code": "ID.RA-08", "title": "Reports of weaknesses are handled"},
            {"code": "ID.RA-09", "title": "Genuine hardware and software"},
            {"code": "ID.RA-10", "title": "Critical suppliers assessed first"},
            {"code": "ID.IM", "title": "Improvement"},
            {"code": "ID.IM-01", "title": "Lessons from evaluations"},
            {"code": "ID.IM-02", "title": "Lessons from tests and exercises"},
            {"code": "ID.IM-03", "title": "Lessons from daily work"},
            {"code": "ID.IM-04", "title": "Response plans are kept current"},
            {"code": "PR", "title": "Protect"},
            {"code": "PR.AA", "title": "Identity, authentication, access"},
            {"code": "PR.AA-01", "title": "Identities and credentials are managed"},
            {"code": "PR.AA-02", "title": "Identities are proven before they are bound"},
            {"code": "PR.AA-03", "title": "People and machines authenticate"},
            {"code": "PR.AA-04", "title": "Assertions of identity are protected"},
            {"code": "PR.AA-05", "title": "Least privilege, duties separated"},
            {"code": "PR.AA-06", "title": "Physical access is controlled"},
            {"code": "PR.AT", "title": "Awareness and training"},
            {"code": "PR.AT-01", "title": "Everybody is trained"},
            {"code": "PR.AT-02", "title": "Special roles are trained for them"},
            {"code": "PR.DS", "title": "Data security"},
            {"code": "PR.DS-01", "title": "Data at rest is protected"},
            {"code": "PR.DS-02", "title": "Data in transit is protected"},
            {"code": "PR.DS-10", "title": "Data in use is protected"},
            {"code": "PR.DS-11", "title": "Backups are made and tested"},
            {"code": "PR.PS", "title": "Platform security"},
            {"code": "PR.PS-01", "title": "Configuration is managed"},
            {"code": "PR.PS-02", "title": "Software is kept up or removed"},
            {"code": "PR.PS-03", "title": "Hardware is kept up or removed"},
            {"code": "PR.PS-04", "title": "Logs are made and available"},
            {"code": "PR.PS-05", "title": "Unapproved software does not run"},
            {"code": "PR.PS-06", "title": "Software is developed securely"},
            {"code": "PR.IR", "title": "Infrastructure resilience"},
            {"code": "PR.IR-01", "title": "Networks are guarded"},
            {"code": "PR.IR-02", "title": "Assets are guarded from the surroundings"},
            {"code": "PR.IR-03", "title": "Resilience in bad times is built in"},
            {"code": "PR.IR-04", "title": "Capacity is kept in reserve"},
            {"code": "DE", "title": "Detect"}, {"code": "DE.CM", "title": "Continuous monitoring"},
            {"code": "DE.CM-01", "title": "Networks are watched"},
            {"code": "DE.CM-02", "title": "Premises are watched"},
            {"code": "DE.CM-03", "title": "Staff activity is watched"},
            {"code": "DE.CM-06", "title": "Providers are watched"},
            {"code": "DE.CM-09", "title": "Hosts, software and data are watched"},
            {"code": "DE.AE", "title": "Adverse event analysis"},
            {"code": "DE.AE-02", "title": "Suspicious events are analyzed"},
            {"code": "DE.AE-03", "title": "Sources are correlated"},
            {"code": "DE.AE-04", "title": "Extent of events is estimated"},
            {"code": "DE.AE-06", "title": "Those who need it are told"},
            {"code": "DE.AE-07", "title": "Threat intelligence enters the analysis"},
            {"code": "DE.AE-08", "title": "Criteria tell when it is an incident"},
            {"code": "RS", "title": "Respond"}, {"code": "RS.MA", "title": "Incident management"},
            {"code": "RS.MA-01", "title": "The plan is carried out"},
            {"code": "RS.MA-02", "title": "Reports are triaged"},
            {"code": "RS.MA-03", "title": "Incidents are ranked"},
            {"code": "RS.MA-04", "title": "Incidents are escalated"},
            {"code": "RS.MA-05", "title": "Criteria to start recovery"},
            {"code": "RS.AN", "title": "Incident analysis"},
            {"code": "RS.AN-03", "title": "Cause is established"},
            {"code": "RS.AN-06", "title": "Actions are recorded unaltered"},
            {"code": "RS.AN-07", "title": "Incident data is collected unaltered"},
            {"code": "RS.AN-08", "title": "Magnitude is estimated"},
            {"code": "RS.CO", "title": "Response reporting"},
            {"code": "RS.CO-02", "title": "Those concerned are notified"},
            {"code": "RS.CO-03", "title": "Information goes to those agreed"},
            {"code": "RS.MI", "title": "Mitigation"},
            {"code": "RS.MI-01", "title": "Incidents are contained"},
            {"code": "RS.MI-02", "title": "Incidents are eradicated"},
            {"code": "RC", "title": "Recover"}, {"code": "RC.RP", "title": "Recovery execution"},
            {"code": "RC.RP-01", "title": "Recovery starts from the response"},
            {"code": "RC.RP-02", "title": "Actions are chosen and ranked"},
            {"code": "RC.RP-03", "title": "Backups are checked before use"},
            {"code": "RC.RP-04", "title": "Critical functions set the order"},
            {"code": "RC.RP-05", "title": "Restored assets are verified"},
            {"code": "RC.RP-06", "title": "End of recovery is declared"},
            {"code": "RC.CO", "title": "Recovery communication"},
            {"code": "RC.CO-03", "title": "Progress is told to those agreed"},
            {"code": "RC.CO-04", "title": "Public news through approved ways"}]},
        {"code": "gdpr", "name": "General Data Protection Regulation",
         "version": "2016/679", "publisher": "European Union", "source": "Regulation (EU) 2016/679",
         "level": "article",
         "requirements": [
            {"code": "Art. 5", "title": "Principles"},
            {"code": "Art. 5(1)(a)", "title": "Lawful, fair, transparent"},
            {"code": "Art. 5(1)(b)", "title": "Bound to a purpose"},
            {"code": "Art. 5(1)(c)", "title": "No more data than needed"},
            {"code": "Art. 5(1)(d)", "title": "Accurate"},
            {"code": "Art. 5(1)(e)", "title": "Kept no longer than needed"},
            {"code": "Art. 5(1)(f)", "title": "Secure"},
            {"code": "Art. 5(2)", "title": "Able to prove it"},
            {"code": "Art. 6", "title": "Legal basis of processing"},
            {"code": "Art. 7", "title": "Conditions of consent"},
            {"code": "Art. 8", "title": "Consent of children"},
            {"code": "Art. 9", "title": "Special categories"},
            {"code": "Art. 12", "title": "Clear information, answers within a month"},
            {"code": "Art. 13", "title": "Notice when collected from the person"},
            {"code": "Art. 14", "title": "Notice when obtained elsewhere"},
            {"code": "Art. 15", "title": "Access"}, {"code": "Art. 16", "title": "Correction"},
            {"code": "Art. 17", "title": "Erasure"}, {"code": "Art. 18", "title": "Restriction"},
            {"code": "Art. 19", "title": "Recipients are told of changes"},
            {"code": "Art. 20", "title": "Portability"}, {"code": "Art. 21", "title": "Objection"},
            {"code": "Art. 22", "title": "Automated decisions"},
            {"code": "Art. 24", "title": "Responsibility of the controller"},
            {"code": "Art. 25", "title": "Protection by design and default"},
            {"code": "Art. 26", "title": "Joint controllers"},
            {"code": "Art. 27", "title": "Representative in the Union"},
            {"code": "Art. 28", "title": "Processors under contract"},
            {"code": "Art. 30", "title": "Records of processing"},
            {"code": "Art. 32", "title": "Security of processing"},
            {"code": "Art. 33", "title": "Breach told to the authority"},
            {"code": "Art. 34", "title": "Breach told to the persons"},
            {"code": "Art. 35", "title": "Impact assessment"},
            {"code": "Art. 36", "title": "Prior consultation"},
            {"code": "Art. 37", "title": "Data protection officer"},
            {"code": "Art. 44", "title": "Transfers to third countries"},
            {"code": "Art. 46", "title": "Safeguards of transfers"}]},
        {"code": "hipaa", "name": "HIPAA Security, Breach Notification and Privacy Rules",
         "version": "2013", "publisher": "US HHS", "source": "45 CFR 164",
         "level": "section",
         "requirements": [
            {"code": "164.308", "title": "Administrative safeguards"},
            {"code": "164.308(a)(1)", "title": "Security management"},
            {"code": "164.308(a)(1)(ii)(A)", "title": "Risk analysis"},
            {"code": "164.308(a)(1)(ii)(B)", "title": "Risk management"},
            {"code": "164.308(a)(1)(ii)(C)", "title": "Sanctions"},
            {"code": "164.308(a)(1)(ii)(D)", "title": "Review of system activity"},
            {"code": "164.308(a)(2)", "title": "Responsible official"},
            {"code": "164.308(a)(3)", "title": "Workforce access"},
            {"code": "164.308(a)(4)", "title": "Access to information"},
            {"code": "164.308(a)(5)", "title": "Awareness and training"},
            {"code": "164.308(a)(6)", "title": "Incident procedures"},
            {"code": "164.308(a)(7)", "title": "Contingency plan"},
            {"code": "164.308(a)(8)", "title": "Evaluation"},
            {"code": "164.308(b)(1)", "title": "Business associates"},
            {"code": "164.310", "title": "Physical safeguards"},
            {"code": "164.310(a)(1)", "title": "Access to facilities"},
            {"code": "164.310(b)", "title": "Use of workstations"},
            {"code": "164.310(c)", "title": "Security of workstations"},
            {"code": "164.310(d)(1)", "title": "Devices and media"},
            {"code": "164.312", "title": "Technical safeguards"},
            {"code": "164.312(a)(1)", "title": "Access control"},
            {"code": "164.312(b)", "title": "Audit controls"},
            {"code": "164.312(c)(1)", "title": "Integrity"},
            {"code": "164.312(d)", "title": "Authentication"},
            {"code": "164.312(e)(1)", "title": "Transmission"},
            {"code": "164.314(a)(1)", "title": "Contracts with associates"},
            {"code": "164.316(a)", "title": "Policies and procedures"},
            {"code": "164.316(b)(1)", "title": "Documentation, six years"},
            {"code": "164.404", "title": "Breach told to individuals"},
            {"code": "164.406", "title": "Breach told to the media"},
            {"code": "164.408", "title": "Breach told to the secretary"},
            {"code": "164.410", "title": "Breach told by an associate"},
            {"code": "164.502(b)", "title": "Minimum necessary"},
            {"code": "164.508", "title": "Authorizations"},
            {"code": "164.520", "title": "Notice of privacy practices"},
            {"code": "164.524", "title": "Access of individuals"},
            {"code": "164.526", "title": "Amendment"},
            {"code": "164.528", "title": "Accounting of disclosures"},
            {"code": "164.530", "title": "Administration of privacy"}]},
        {"code": "sox", "name": "Sarbanes-Oxley Act",
         "version": "2002", "publisher": "US Congress", "source": "Public Law 107-204",
         "level": "section",
         "requirements": [
            {"code": "302", "title": "Certification by officers", "weight": 2},
            {"code": "302(a)(4)(A)", "title": "Responsible for internal controls"},
            {"code": "302(a)(4)(B)", "title": "Controls make facts known to officers"},
            {"code": "302(a)(4)(C)", "title": "Effectiveness evaluated"},
            {"code": "302(a)(5)", "title": "Deficiencies and fraud disclosed"},
            {"code": "302(a)(6)", "title": "Changes of controls stated"},
            {"code": "404", "title": "Internal control over financial reporting"},
            {"code": "404(a)", "title": "Assessment by management", "weight": 3},
            {"code": "404(b)", "title": "Attestation by the auditor", "weight": 3},
            {"code": "409", "title": "Material changes disclosed quickly"},
            {"code": "802", "title": "Records kept unaltered"},
            {"code": "806", "title": "Whistleblowers protected"},
            {"code": "906", "title": "Certification under penalty"}]},
        {"code": "pci_dss", "name": "Payment Card Industry Data Security Standard",
         "version": "4.0.1", "publisher": "PCI SSC", "source": "PCI DSS v4.0.1",
         "level": "requirement",
         "requirements": [
            {"code": "1", "title": "Network controls"},
            {"code": "1.1", "title": "Processes are defined"},
            {"code": "1.2", "title": "Controls are configured"},
            {"code": "1.3", "title": "Access to card data is restricted"},
            {"code": "1.4", "title": "Trusted and untrusted networks apart"},
            {"code": "1.5", "title": "Devices that use both are guarded"},
            {"code": "2", "title": "Secure configuration"},
            {"code": "2.1", "title": "Processes are defined"},
            {"code": "2.2", "title": "Components are hardened"},
            {"code": "2.3", "title": "Wireless is configured securely"},
            {"code": "3", "title": "Stored account data"},
            {"code": "3.1", "title": "Processes are defined"},
            {"code": "3.2", "title": "Storage is kept small"},
            {"code": "3.3", "title": "Authentication data is not kept", "weight": 3},
            {"code": "3.4", "title": "Display of card numbers is limited"},
            {"code": "3.5", "title": "Stored card numbers are unreadable", "weight": 3},
            {"code": "3.6", "title": "Keys are secured"},
            {"code": "3.7", "title": "Keys are managed over their life"},
            {"code": "4", "title": "Transmission"},
            {"code": "4.1", "title": "Processes are defined"},
            {"code": "4.2", "title": "Strong cryptography on open networks"},
            {"code": "5", "title": "Malicious software"},
            {"code": "5.1", "title": "Processes are defined"},
            {"code": "5.2", "title": "It is prevented or detected"},
            {"code": "5.3", "title": "Defenses are active and watched"},
            {"code": "5.4", "title": "Phishing is countered"},
            {"code": "6", "title": "Secure systems and software"},
            {"code": "6.1", "title": "Processes are defined"},
            {"code": "6.2", "title": "Custom software is developed securely"},
            {"code": "6.3", "title": "Weaknesses are found and fixed"},
            {"code": "6.4", "title": "Public web applications are guarded"},
            {"code": "6.5", "title": "Changes are managed"}, {"code": "7", "title": "Need to know"},
            {"code": "7.1", "title": "Processes are defined"},
            {"code": "7.2", "title": "Access is assigned by role"},
            {"code": "7.3", "title": "A system enforces it"},
            {"code": "8", "title": "Identification and authentication"},
            {"code": "8.1", "title": "Processes are defined"},
            {"code": "8.2", "title": "Identities over their life"},
            {"code": "8.3", "title": "Strong authentication"},
            {"code": "8.4", "title": "More than one factor", "weight": 2},
            {"code": "8.5", "title": "Factors are configured against misuse"},
            {"code": "8.6", "title": "System accounts are controlled"},
            {"code": "9", "title": "Physical access"},
            {"code": "9.1", "title": "Processes are defined"},
            {"code": "9.2", "title": "Entry is controlled"},
            {"code": "9.3", "title": "Staff and visitors"},
            {"code": "9.4", "title": "Media with card data"},
            {"code": "9.5", "title": "Payment terminals"},
            {"code": "10", "title": "Logging and monitoring"},
            {"code": "10.1", "title": "Processes are defined"},
            {"code": "10.2", "title": "Audit logs are made"},
            {"code": "10.3", "title": "Audit logs are protected"},
            {"code": "10.4", "title": "Audit logs are reviewed"},
            {"code": "10.5", "title": "Audit logs are kept"},
            {"code": "10.6", "title": "Clocks agree"},
            {"code": "10.7", "title": "Failures are noticed"},
            {"code": "11", "title": "Regular tests"},
            {"code": "11.1", "title": "Processes are defined"},
            {"code": "11.2", "title": "Wireless access points"},
            {"code": "11.3", "title": "Scans for weaknesses"},
            {"code": "11.4", "title": "Penetration tests"},
            {"code": "11.5", "title": "Intrusions and changed files"},
            {"code": "11.6", "title": "Changed payment pages"},
            {"code": "12", "title": "Policies and programs"},
            {"code": "12.1", "title": "Security policy"},
            {"code": "12.2", "title": "Acceptable use"},
            {"code": "12.3", "title": "Risk is analyzed"},
            {"code": "12.4", "title": "Compliance is managed"},
            {"code": "12.5", "title": "Scope is documented"},
            {"code": "12.6", "title": "Awareness"}, {"code": "12.7", "title": "Screening of staff"},
            {"code": "12.8", "title": "Service providers are managed"},
            {"code": "12.9", "title": "Service providers support customers"},
            {"code": "12.10", "title": "Incidents are answered"}]}
    ]}'::jsonb;
COMMENT ON FUNCTION security_mgmt.framework_catalog() IS
    'Frameworks as this release knows them: identifiers of articles, sections and outcomes, each
     with a few words of our own. NIST CSF 2.0 is whole (6 functions, 22 categories, 106
     subcategories); the others hold what software can help with and are no legal advice. What a
     tenant adopts is a copy, to be checked and completed by the tenant''s counsel.';


CREATE FUNCTION security_mgmt.adopt_framework(framework_code text) RETURNS uuid
    LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    entry  CONSTANT jsonb := jsonb_path_query_first(
        security_mgmt.framework_catalog(), '$.frameworks[*] ? (@.code == $code)',
        jsonb_build_object('code', adopt_framework.framework_code));
    framework uuid;
BEGIN
    IF entry IS NULL THEN
        RAISE EXCEPTION 'the catalog has no framework %', adopt_framework.framework_code
            USING ERRCODE = 'no_data_found',
                  HINT = 'Insert it with its requirements as your counsel reads them.';
    END IF;
    IF adopt_framework.framework_code <> 'nist_csf_2'
       AND NOT EXISTS (SELECT FROM security_mgmt.compliance_framework AS f
                       WHERE f.business_id = tenant AND f.code = 'nist_csf_2'
                         AND f.is_applicable) THEN
        PERFORM security_mgmt.adopt_framework('nist_csf_2');
    END IF;

    UPDATE security_mgmt.compliance_framework AS f
    SET is_applicable = false
    WHERE f.business_id = tenant AND f.code = entry ->> 'code' AND f.is_applicable
      AND f.version <> entry ->> 'version';
    INSERT INTO security_mgmt.compliance_framework AS f
        (business_id, code, name, version, publisher, source_reference)
    VALUES (tenant, entry ->> 'code', entry ->> 'name', entry ->> 'version',
            entry ->> 'publisher', entry ->> 'source')
    ON CONFLICT (business_id, code, version) DO UPDATE SET is_applicable = true
    RETURNING f.compliance_framework_id INTO framework;

    -- What the tenant has made of an earlier copy stays; only what it lacks is added.
    INSERT INTO security_mgmt.framework_requirement
        (business_id, compliance_framework_id, framework_code, reference_code, title, level,
         weight)
    SELECT tenant, framework, entry ->> 'code', r.code, r.title,
           coalesce(entry ->> 'level',
                    CASE WHEN r.code ~ '-' THEN 'subcategory'
                         WHEN r.code ~ '\.' THEN 'category' ELSE 'function' END),
           r.weight
    FROM JSON_TABLE(entry, '$.requirements[*]' COLUMNS (
        code   text    PATH '$.code',
        title  text    PATH '$.title',
        weight numeric PATH '$.weight' DEFAULT 1 ON EMPTY
    )) AS r
    ON CONFLICT (business_id, compliance_framework_id, reference_code) DO NOTHING;
    PERFORM security_mgmt.plant_requirements(framework);
    RETURN framework;
END
$$;
COMMENT ON FUNCTION security_mgmt.adopt_framework(text) IS
    'Gives the current tenant its own copy of a framework of the catalog and returns its key; of
     nist_csf_2 too where it has none. An older version no longer applies from then on. The copy
     is the tenant''s data: its counsel checks scope, wording and weights.';


CREATE FUNCTION security_mgmt.plant_requirements(framework uuid) RETURNS void
    LANGUAGE sql
BEGIN ATOMIC
    -- Once for the framework, whatever the planner thinks of a tenant that it has not met.
    WITH tree AS MATERIALIZED (
        SELECT x.framework_requirement_id,
               (array_agg(o.framework_requirement_id ORDER BY length(o.reference_code) DESC)
                    FILTER (WHERE security_mgmt.is_part_of(x.reference_code, o.reference_code)))[1]
                   AS parent,
               NOT coalesce(bool_or(security_mgmt.is_part_of(o.reference_code, x.reference_code)),
                            false) AS is_leaf
        FROM security_mgmt.framework_requirement AS x
        JOIN security_mgmt.framework_requirement AS o
            ON o.business_id = x.business_id
           AND o.compliance_framework_id = x.compliance_framework_id
        WHERE x.business_id = tenant_mgmt.current_business_id()
          AND x.compliance_framework_id = plant_requirements.framework
        GROUP BY x.framework_requirement_id
    )
    UPDATE security_mgmt.framework_requirement AS r
    SET parent_requirement_id = tree.parent, is_assessable = tree.is_leaf
    FROM tree
    WHERE r.business_id = tenant_mgmt.current_business_id()
      AND r.framework_requirement_id = tree.framework_requirement_id
      AND (r.parent_requirement_id, r.is_assessable) IS DISTINCT FROM (tree.parent, tree.is_leaf);
END;
COMMENT ON FUNCTION security_mgmt.plant_requirements(uuid) IS
    'Makes a tree of the requirements of a framework of the current tenant: the parent is the one
     with the longest code that theirs begins with, and only the leaves are assessed.';


CREATE VIEW security_mgmt.v_requirement_coverage
    WITH (security_invoker = true) AS
SELECT r.business_id, r.compliance_framework_id, r.framework_code, r.framework_requirement_id,
       r.reference_code, r.title, r.sort_path, r.weight, k.control_count, k.effective_count,
       k.coverage_pct,
       CASE WHEN k.coverage_pct >= 80 THEN 'met'
            WHEN k.coverage_pct > 0 THEN 'partial'
            ELSE 'missing' END AS status
FROM security_mgmt.framework_requirement AS r
CROSS JOIN LATERAL (
    SELECT count(*) AS control_count,
           count(*) FILTER (WHERE c.operating_effective) AS effective_count,
           round(least(100, coalesce(sum(
               m.strength
               * CASE m.coverage WHEN 'full' THEN 1 WHEN 'partial' THEN 0.5 ELSE 0.2 END
               * CASE c.implementation WHEN 'implemented' THEN 1 ELSE 0.5 END)
               FILTER (WHERE c.operating_effective
                             AND c.implementation IN ('implemented', 'partial')), 0)), 2)
               AS coverage_pct
    FROM security_mgmt.control_mapping AS m
    JOIN security_mgmt.security_control AS c
        ON c.business_id = m.business_id AND c.security_control_id = m.security_control_id
    WHERE m.business_id = r.business_id
      AND m.framework_requirement_id = r.framework_requirement_id
) AS k
WHERE r.business_id = tenant_mgmt.current_business_id() AND r.is_assessable;
COMMENT ON VIEW security_mgmt.v_requirement_coverage IS
    'How far each assessable requirement is covered. A mapped control counts if its last test of
     operation found it effective: with its strength, half where it meets the requirement in
     part, a fifth where it supports, and half of that where it is implemented in part. From 80
     a requirement is met, above 0 partial, else missing.';
GRANT SELECT ON security_mgmt.v_requirement_coverage TO app_user, app_readonly;


CREATE FUNCTION security_mgmt.framework_score(framework_code text)
    RETURNS TABLE (requirement text, coverage numeric, status text)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT v.reference_code, v.coverage_pct, v.status
    FROM security_mgmt.v_requirement_coverage AS v
    JOIN security_mgmt.compliance_framework AS f
        ON f.business_id = v.business_id
       AND f.compliance_framework_id = v.compliance_framework_id
    WHERE v.business_id = tenant_mgmt.current_business_id()
      AND f.code = framework_score.framework_code AND f.is_applicable
    ORDER BY v.sort_path;
END;
COMMENT ON FUNCTION security_mgmt.framework_score(text) IS
    'Coverage, 0 to 100, and status (met, partial, missing) of each assessable requirement of the
     framework that applies to the current tenant; see v_requirement_coverage. No rows for a
     framework that was not adopted.';


CREATE FUNCTION security_mgmt.measure_assessment(assessment uuid) RETURNS numeric
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    score  numeric;
BEGIN
    UPDATE security_mgmt.compliance_assessment AS a
    SET requirements_total = k.total, requirements_met = k.met, score_pct = k.score
    FROM (
        SELECT count(v.framework_requirement_id) AS total,
               count(v.framework_requirement_id) FILTER (WHERE v.status = 'met') AS met,
               round(sum(v.weight * v.coverage_pct) / sum(v.weight), 2) AS score
        FROM security_mgmt.compliance_assessment AS x
        JOIN security_mgmt.v_requirement_coverage AS v
            ON v.business_id = x.business_id
           AND v.compliance_framework_id = x.compliance_framework_id
        WHERE x.business_id = tenant AND x.compliance_assessment_id = assessment
    ) AS k
    WHERE a.business_id = tenant AND a.compliance_assessment_id = assessment
    RETURNING a.score_pct INTO score;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no assessment %', assessment USING ERRCODE = 'no_data_found';
    END IF;
    RETURN score;
END
$$;
COMMENT ON FUNCTION security_mgmt.measure_assessment(uuid) IS
    'Writes what the controls cover now into an assessment of the current tenant that was not yet
     issued, and returns its score.';


CREATE VIEW security_mgmt.v_compliance_scorecard
    WITH (security_invoker = true) AS
SELECT f.business_id, f.compliance_framework_id, f.code, f.version, k.requirement_count,
       k.met_count, k.partial_count, k.missing_count, k.score_pct, f.certification_due_on,
       last.period_end AS last_assessed_until, last.opinion AS last_opinion
FROM security_mgmt.compliance_framework AS f
CROSS JOIN LATERAL (
    SELECT count(*) AS requirement_count,
           count(*) FILTER (WHERE v.status = 'met') AS met_count,
           count(*) FILTER (WHERE v.status = 'partial') AS partial_count,
           count(*) FILTER (WHERE v.status = 'missing') AS missing_count,
           round(sum(v.weight * v.coverage_pct) / sum(v.weight), 2) AS score_pct
    FROM security_mgmt.v_requirement_coverage AS v
    WHERE v.business_id = f.business_id
      AND v.compliance_framework_id = f.compliance_framework_id
) AS k
LEFT JOIN LATERAL (
    SELECT a.period_end, a.opinion
    FROM security_mgmt.compliance_assessment AS a
    WHERE a.business_id = f.business_id
      AND a.compliance_framework_id = f.compliance_framework_id
      AND a.state IN ('issued', 'closed')
    ORDER BY a.period_end DESC
    LIMIT 1
) AS last ON true
WHERE f.business_id = tenant_mgmt.current_business_id() AND f.is_applicable;
COMMENT ON VIEW security_mgmt.v_compliance_scorecard IS
    'Met, partial and missing requirements of each framework that applies, its weighted score,
     and what the last assessment said.';
GRANT SELECT ON security_mgmt.v_compliance_scorecard TO app_user, app_readonly;


CREATE VIEW security_mgmt.v_overdue_control
    WITH (security_invoker = true) AS
SELECT c.business_id, c.security_control_id, c.control_code, c.name, c.owner_user_account_id,
       c.is_sox_key_control, c.last_tested_on, c.next_test_on,
       CASE WHEN c.is_sox_key_control AND c.last_tested_on IS NULL THEN 'key_control_untested'
            WHEN c.is_sox_key_control AND c.last_tested_on < current_date - 365
            THEN 'key_control_untested_for_a_year'
            ELSE 'past_due' END AS reason
FROM security_mgmt.security_control AS c
WHERE c.business_id = tenant_mgmt.current_business_id()
  AND c.implementation IN ('implemented', 'partial')
  AND (c.next_test_on < current_date
       OR c.is_sox_key_control
          AND (c.last_tested_on IS NULL OR c.last_tested_on < current_date - 365));
COMMENT ON VIEW security_mgmt.v_overdue_control IS
    'Controls that should have been tested: past their date, and key controls over financial
     reporting that were not tested within a year.';
GRANT SELECT ON security_mgmt.v_overdue_control TO app_user, app_readonly;


CREATE MATERIALIZED VIEW security_mgmt.mv_control_effectiveness AS
SELECT c.business_id, c.security_control_id, r.compliance_framework_id, r.framework_code,
       c.control_code, c.name, c.implementation,
       count(*) AS requirement_count,
       count(*) FILTER (WHERE m.coverage = 'full') AS full_count,
       round(avg(m.strength), 2) AS average_strength,
       t.result AS last_result, t.performed_on AS last_tested_on,
       round(t.exceptions_found * 100.0 / nullif(t.sample_size, 0), 2) AS exception_pct
FROM security_mgmt.security_control AS c
JOIN security_mgmt.control_mapping AS m
    ON m.business_id = c.business_id AND m.security_control_id = c.security_control_id
JOIN security_mgmt.framework_requirement AS r
    ON r.business_id = m.business_id AND r.framework_requirement_id = m.framework_requirement_id
LEFT JOIN (
    SELECT DISTINCT ON (x.business_id, x.security_control_id)
           x.business_id, x.security_control_id, x.result, x.performed_on, x.exceptions_found,
           x.sample_size
    FROM security_mgmt.control_test AS x
    WHERE x.result <> 'not_tested'
    ORDER BY x.business_id, x.security_control_id, x.performed_on DESC, x.control_test_id DESC
) AS t
    ON t.business_id = c.business_id AND t.security_control_id = c.security_control_id
GROUP BY c.business_id, c.security_control_id, r.compliance_framework_id, r.framework_code,
         c.control_code, c.name, c.implementation, t.result, t.performed_on, t.exceptions_found,
         t.sample_size
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW security_mgmt.mv_control_effectiveness IS
    'Last test and coverage per control and framework; read through v_control_effectiveness.';

-- Lets it be refreshed concurrently.
CREATE UNIQUE INDEX mv_control_effectiveness_idx
    ON security_mgmt.mv_control_effectiveness
        (business_id, security_control_id, compliance_framework_id);

GRANT USAGE ON SCHEMA security_mgmt TO matview_owner;
GRANT SELECT ON security_mgmt.security_control, security_mgmt.control_mapping,
                security_mgmt.framework_requirement, security_mgmt.control_test
    TO matview_owner;

CREATE VIEW security_mgmt.v_control_effectiveness
    WITH (security_barrier = true) AS
SELECT m.business_id, m.security_control_id, m.compliance_framework_id, m.framework_code,
       m.control_code, m.name, m.implementation, m.requirement_count, m.full_count,
       m.average_strength, m.last_result, m.last_tested_on, m.exception_pct
FROM security_mgmt.mv_control_effectiveness AS m
WHERE m.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW security_mgmt.v_control_effectiveness IS
    'The tenant''s own part of mv_control_effectiveness.';
GRANT SELECT ON security_mgmt.v_control_effectiveness TO app_user, app_readonly;
