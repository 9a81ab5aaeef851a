/*
 * Governance: profile, policies, risks and suppliers (NIST CSF 2.0).
 *
 * A csf_profile says where the organization stands (current) or wants to be (target); it rates
 * every subcategory of the adopted framework in a csf_outcome, and csf_gap_report() sets the two
 * approved profiles against each other. A security_policy lives in numbered versions of which one
 * is approved; policy_attestation is a person's word to have read it. security_risk is the risk
 * register. A third_party supplies or processes for the tenant, third_party_assessment is what
 * was found out about it; a questionnaire is scored from its answers.
 */

CREATE TABLE security_mgmt.csf_profile (
    business_id        uuid        NOT NULL,
    csf_profile_id     uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    approved_by        uuid,
    name               text        NOT NULL,
    profile_kind       text        NOT NULL,
    scope_note         text,
    tier_govern        integer     NOT NULL DEFAULT 1,
    tier_overall       integer     NOT NULL DEFAULT 1,
    priority_functions text[]      NOT NULL DEFAULT '{}',
    status             text        NOT NULL DEFAULT 'draft',
    valid_from         date        NOT NULL DEFAULT current_date,
    reviewed_on        date,
    next_review_on     date,
    approved_at        timestamptz,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, csf_profile_id),
    UNIQUE (business_id, name, valid_from),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, approved_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT csf_profile_kind_known
        CHECK (profile_kind IN ('current', 'target', 'community')),
    CONSTRAINT csf_profile_status_known CHECK (status IN ('draft', 'approved', 'superseded')),
    CONSTRAINT csf_profile_tiers_bounded
        CHECK (tier_govern BETWEEN 1 AND 4 AND tier_overall BETWEEN 1 AND 4),
    CONSTRAINT csf_profile_priority_functions_known
        CHECK (priority_functions <@ ARRAY['GV', 'ID', 'PR', 'DE', 'RS', 'RC']),
    CONSTRAINT csf_profile_approved_has_time
        CHECK (status = 'draft' OR approved_at IS NOT NULL),
    CONSTRAINT csf_profile_next_review_later CHECK (next_review_on > reviewed_on)
);

COMMENT ON TABLE security_mgmt.csf_profile IS
    'A current, target or community profile of NIST CSF 2.0.';
COMMENT ON COLUMN security_mgmt.csf_profile.tier_govern IS
    'Tier of governing cyber risk: 1 partial, 2 risk informed, 3 repeatable, 4 adaptive.';
COMMENT ON COLUMN security_mgmt.csf_profile.tier_overall IS
    'Tier of the practices as a whole, 1 to 4.';
COMMENT ON COLUMN security_mgmt.csf_profile.priority_functions IS
    'The functions that the tenant works on first.';

-- The one approved profile of a kind; csf_gap_report().
CREATE UNIQUE INDEX csf_profile_approved_idx
    ON security_mgmt.csf_profile (business_id, profile_kind)
    WHERE status = 'approved';

-- FK: who approved it.
CREATE INDEX csf_profile_approved_by_idx
    ON security_mgmt.csf_profile (business_id, approved_by)
    WHERE approved_by IS NOT NULL;

ALTER TABLE security_mgmt.csf_profile ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.csf_profile
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.csf_profile TO app_user;
GRANT SELECT ON security_mgmt.csf_profile TO app_readonly;

CREATE TRIGGER csf_profile_touch
    BEFORE UPDATE ON security_mgmt.csf_profile
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER csf_profile_status_machine
    BEFORE INSERT OR UPDATE OF status ON security_mgmt.csf_profile
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":      ["approved"],
            "approved":   ["superseded"],
            "superseded": []
        }}');


CREATE TABLE security_mgmt.csf_outcome (
    business_id              uuid              NOT NULL,
    csf_outcome_id           uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    csf_profile_id           uuid              NOT NULL,
    framework_requirement_id uuid              NOT NULL,
    main_control_id          uuid,
    csf_function             text              NOT NULL,
    achieved_level           integer           NOT NULL DEFAULT 0,
    target_level             integer           NOT NULL DEFAULT 3,
    priority                 text              NOT NULL DEFAULT 'medium',
    gap_note                 text,
    action_plan              text,
    confidence               system_core.score NOT NULL DEFAULT 50,
    evidence_count           integer           NOT NULL DEFAULT 0,
    assessed_on              date              NOT NULL DEFAULT current_date,
    action_due_on            date,
    created_at               timestamptz       NOT NULL DEFAULT now(),
    updated_at               timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, csf_outcome_id),
    UNIQUE (business_id, csf_profile_id, framework_requirement_id),
    FOREIGN KEY (business_id, csf_profile_id)
        REFERENCES security_mgmt.csf_profile (business_id, csf_profile_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, framework_requirement_id, csf_function)
        REFERENCES security_mgmt.framework_requirement
            (business_id, framework_requirement_id, csf_function),
    FOREIGN KEY (business_id, main_control_id)
        REFERENCES security_mgmt.security_control (business_id, security_control_id),
    CONSTRAINT csf_outcome_csf_function_known
        CHECK (csf_function IN ('GV', 'ID', 'PR', 'DE', 'RS', 'RC')),
    CONSTRAINT csf_outcome_levels_bounded
        CHECK (achieved_level BETWEEN 0 AND 4 AND target_level BETWEEN 0 AND 4),
    CONSTRAINT csf_outcome_priority_known CHECK (priority IN ('low', 'medium', 'high')),
    CONSTRAINT csf_outcome_confidence_bounded CHECK (confidence BETWEEN 0 AND 100),
    CONSTRAINT csf_outcome_evidence_not_negative CHECK (evidence_count >= 0),
    CONSTRAINT csf_outcome_urgent_gap_has_date
        CHECK (target_level <= achieved_level OR priority <> 'high' OR action_due_on IS NOT NULL)
);

COMMENT ON TABLE security_mgmt.csf_outcome IS
    'The rating of one subcategory of CSF in a profile, with the gap and what is done about it.';
COMMENT ON COLUMN security_mgmt.csf_outcome.csf_function IS
    'That of its subcategory, by foreign key; a requirement of another framework has none.';
COMMENT ON COLUMN security_mgmt.csf_outcome.achieved_level IS
    '0 nothing, 1 partial, 2 risk informed, 3 repeatable, 4 adaptive.';
COMMENT ON COLUMN security_mgmt.csf_outcome.confidence IS
    'How sure the assessor is, 0 to 100.';
COMMENT ON COLUMN security_mgmt.csf_outcome.evidence_count IS
    'How much evidence the assessor looked at.';

-- FK: the ratings of a subcategory over time; csf_gap_report().
CREATE INDEX csf_outcome_requirement_idx
    ON security_mgmt.csf_outcome (business_id, framework_requirement_id, csf_function);

-- FK: the outcomes that lean on a control.
CREATE INDEX csf_outcome_control_idx
    ON security_mgmt.csf_outcome (business_id, main_control_id)
    WHERE main_control_id IS NOT NULL;

ALTER TABLE security_mgmt.csf_outcome ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.csf_outcome
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.csf_outcome TO app_user;
GRANT SELECT ON security_mgmt.csf_outcome TO app_readonly;

CREATE TRIGGER csf_outcome_touch
    BEFORE UPDATE ON security_mgmt.csf_outcome
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION security_mgmt.require_subcategory() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    wrong text;
BEGIN
    SELECT r.reference_code INTO wrong
    FROM changed AS o
    JOIN security_mgmt.framework_requirement AS r
        ON r.business_id = o.business_id
       AND r.framework_requirement_id = o.framework_requirement_id
    WHERE r.level <> 'subcategory'
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'a profile rates subcategories: % is none', wrong
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION security_mgmt.require_subcategory() IS
    'Functions and categories are rated by what lies below them.';

CREATE TRIGGER csf_outcome_subcategory_insert
    AFTER INSERT ON security_mgmt.csf_outcome
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION security_mgmt.require_subcategory();

CREATE TRIGGER csf_outcome_subcategory_update
    AFTER UPDATE ON security_mgmt.csf_outcome
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION security_mgmt.require_subcategory();


CREATE TABLE security_mgmt.security_policy (
    business_id           uuid             NOT NULL,
    security_policy_id    uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    file_object_id        uuid             NOT NULL,
    owner_user_account_id uuid             NOT NULL,
    approved_by           uuid,
    policy_code           system_core.code NOT NULL,
    title                 text             NOT NULL,
    version_no            integer          NOT NULL DEFAULT 1,
    status                text             NOT NULL DEFAULT 'draft',
    audience              text             NOT NULL DEFAULT 'everyone',
    requires_attestation  boolean          NOT NULL DEFAULT true,
    summary               text,
    csf_function          text             NOT NULL DEFAULT 'GV',
    approved_on           date,
    effective_from        date,
    review_due_on         date,
    created_at            timestamptz      NOT NULL DEFAULT now(),
    updated_at            timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, security_policy_id),
    UNIQUE (business_id, policy_code, version_no),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, approved_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT security_policy_status_known
        CHECK (status IN ('draft', 'in_review', 'approved', 'retired')),
    CONSTRAINT security_policy_audience_known
        CHECK (audience IN ('everyone', 'staff', 'administrators', 'contractors')),
    CONSTRAINT security_policy_csf_function_known
        CHECK (csf_function IN ('GV', 'ID', 'PR', 'DE', 'RS', 'RC')),
    CONSTRAINT security_policy_version_positive CHECK (version_no >= 1),
    CONSTRAINT security_policy_approved_by_another CHECK (approved_by <> owner_user_account_id),
    CONSTRAINT security_policy_approved_has_facts
        CHECK (status <> 'approved'
               OR num_nonnulls(approved_by, approved_on, effective_from, review_due_on) = 4),
    CONSTRAINT security_policy_effective_after_approval CHECK (effective_from >= approved_on),
    CONSTRAINT security_policy_reviewed_within_a_year
        CHECK (review_due_on > effective_from
               AND review_due_on <= effective_from + interval '1 year')
);

COMMENT ON TABLE security_mgmt.security_policy IS
    'A version of a policy document with its owner, approval and review.';
COMMENT ON COLUMN security_mgmt.security_policy.approved_by IS 'Never its owner.';
COMMENT ON COLUMN security_mgmt.security_policy.csf_function IS
    'The function of NIST CSF 2.0 that it mainly serves.';

-- The version of a policy that is in force.
CREATE UNIQUE INDEX security_policy_approved_idx
    ON security_mgmt.security_policy (business_id, policy_code)
    WHERE status = 'approved';

-- FK: whether a file is a policy.
CREATE INDEX security_policy_file_idx
    ON security_mgmt.security_policy (business_id, file_object_id);

-- FK: the policies of an owner by review.
CREATE INDEX security_policy_owner_idx
    ON security_mgmt.security_policy (business_id, owner_user_account_id, review_due_on);

-- FK: who approved it.
CREATE INDEX security_policy_approved_by_idx
    ON security_mgmt.security_policy (business_id, approved_by)
    WHERE approved_by IS NOT NULL;

ALTER TABLE security_mgmt.security_policy ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.security_policy
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.security_policy TO app_user;
GRANT SELECT ON security_mgmt.security_policy TO app_readonly;

CREATE TRIGGER security_policy_touch
    BEFORE UPDATE ON security_mgmt.security_policy
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER security_policy_status_machine
    BEFORE INSERT OR UPDATE OF status ON security_mgmt.security_policy
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":     ["in_review", "retired"],
            "in_review": ["approved", "draft"],
            "approved":  ["retired"],
            "retired":   []
        }}');


CREATE TABLE security_mgmt.policy_attestation (
    business_id           uuid                   NOT NULL,
    policy_attestation_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    security_policy_id    uuid                   NOT NULL,
    user_account_id       uuid                   NOT NULL,
    method                text                   NOT NULL DEFAULT 'click',
    quiz_score_pct        system_core.percentage,
    reminder_count        integer                NOT NULL DEFAULT 0,
    ip_address            inet,
    exemption_reason      text,
    assigned_at           timestamptz            NOT NULL DEFAULT now(),
    due_on                date                   NOT NULL,
    attested_at           timestamptz,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, policy_attestation_id),
    UNIQUE (business_id, security_policy_id, user_account_id),
    FOREIGN KEY (business_id, security_policy_id)
        REFERENCES security_mgmt.security_policy (business_id, security_policy_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT policy_attestation_method_known CHECK (method IN ('click', 'signature', 'quiz')),
    CONSTRAINT policy_attestation_attested_after_assignment CHECK (attested_at >= assigned_at),
    CONSTRAINT policy_attestation_quiz_was_passed
        CHECK (method <> 'quiz' OR attested_at IS NULL
               OR quiz_score_pct IS NOT NULL AND quiz_score_pct >= 80),
    CONSTRAINT policy_attestation_quiz_score_bounded CHECK (quiz_score_pct BETWEEN 0 AND 100),
    CONSTRAINT policy_attestation_exempt_or_attested
        CHECK (num_nonnulls(exemption_reason, attested_at) <= 1),
    CONSTRAINT policy_attestation_reminders_not_negative CHECK (reminder_count >= 0)
);

COMMENT ON TABLE security_mgmt.policy_attestation IS
    'That a person was asked to acknowledge a version of a policy, and did.';
COMMENT ON COLUMN security_mgmt.policy_attestation.ip_address IS 'From where it was attested.';

-- FK: what a person was asked to attest; what is still open comes first.
CREATE INDEX policy_attestation_user_idx
    ON security_mgmt.policy_attestation (business_id, user_account_id, attested_at);

-- The reminders of the day.
CREATE INDEX policy_attestation_open_idx
    ON security_mgmt.policy_attestation (business_id, due_on)
    WHERE attested_at IS NULL AND exemption_reason IS NULL;

ALTER TABLE security_mgmt.policy_attestation ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.policy_attestation
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.policy_attestation TO app_user;
GRANT SELECT ON security_mgmt.policy_attestation TO app_readonly;

CREATE TRIGGER policy_attestation_touch
    BEFORE UPDATE ON security_mgmt.policy_attestation
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE security_mgmt.security_risk (
    business_id           uuid              NOT NULL,
    security_risk_id      uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    owner_user_account_id uuid,
    security_asset_id     uuid,
    risk_number           system_core.code  NOT NULL,
    title                 text              NOT NULL,
    threat_scenario       text              NOT NULL,
    likelihood            integer           NOT NULL,
    impact                integer           NOT NULL,
    inherent_score        integer           NOT NULL
        GENERATED ALWAYS AS (likelihood * impact) STORED,
    residual_likelihood   integer,
    residual_impact       integer,
    residual_score        integer
        GENERATED ALWAYS AS (residual_likelihood * residual_impact) STORED,
    treatment             text              NOT NULL DEFAULT 'mitigate',
    annual_loss_amount    system_core.money,
    status                text              NOT NULL DEFAULT 'identified',
    next_review_on        date,
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, security_risk_id),
    UNIQUE (business_id, risk_number),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, security_asset_id)
        REFERENCES security_mgmt.security_asset (business_id, security_asset_id),
    CONSTRAINT security_risk_treatment_known
        CHECK (treatment IN ('mitigate', 'accept', 'transfer', 'avoid')),
    CONSTRAINT security_risk_status_known
        CHECK (status IN ('identified', 'assessed', 'treated', 'monitored', 'closed')),
    CONSTRAINT security_risk_rating_bounded
        CHECK (likelihood BETWEEN 1 AND 5 AND impact BETWEEN 1 AND 5),
    CONSTRAINT security_risk_residual_rating_bounded
        CHECK (residual_likelihood BETWEEN 1 AND 5 AND residual_impact BETWEEN 1 AND 5),
    CONSTRAINT security_risk_residual_rated_whole
        CHECK (num_nonnulls(residual_likelihood, residual_impact) IN (0, 2)),
    CONSTRAINT security_risk_residual_not_above_inherent
        CHECK (residual_likelihood * residual_impact <= likelihood * impact),
    CONSTRAINT security_risk_treated_has_residual
        CHECK (status NOT IN ('treated', 'monitored') OR residual_likelihood IS NOT NULL),
    CONSTRAINT security_risk_loss_not_negative CHECK (annual_loss_amount >= 0)
);

COMMENT ON TABLE security_mgmt.security_risk IS
    'A line of the risk register: scenario, rating before and after treatment, and the treatment.';
COMMENT ON COLUMN security_mgmt.security_risk.inherent_score IS
    'Likelihood times impact without controls, 1 to 25.';
COMMENT ON COLUMN security_mgmt.security_risk.residual_score IS
    'The same with controls; NULL until it was rated.';
COMMENT ON COLUMN security_mgmt.security_risk.annual_loss_amount IS
    'Expected loss in a year, in the currency of the business.';

-- The register, greatest risk first.
CREATE INDEX security_risk_register_idx
    ON security_mgmt.security_risk (business_id, inherent_score DESC)
    WHERE status <> 'closed';

-- FK: the risks of an owner.
CREATE INDEX security_risk_owner_idx
    ON security_mgmt.security_risk (business_id, owner_user_account_id)
    WHERE owner_user_account_id IS NOT NULL;

-- FK: the risks of an asset.
CREATE INDEX security_risk_asset_idx
    ON security_mgmt.security_risk (business_id, security_asset_id)
    WHERE security_asset_id IS NOT NULL;

ALTER TABLE security_mgmt.security_risk ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.security_risk
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.security_risk TO app_user;
GRANT SELECT ON security_mgmt.security_risk TO app_readonly;

CREATE TRIGGER security_risk_touch
    BEFORE UPDATE ON security_mgmt.security_risk
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

-- An acceptance of 30_exposure.sql is of a finding or of a risk.
ALTER TABLE security_mgmt.risk_acceptance
    ADD FOREIGN KEY (business_id, security_risk_id)
        REFERENCES security_mgmt.security_risk (business_id, security_risk_id);


CREATE TABLE security_mgmt.third_party (
    business_id             uuid                NOT NULL,
    third_party_id          uuid                NOT NULL DEFAULT system_core.uuid_v7(),
    owner_user_account_id   uuid,
    name                    text                NOT NULL,
    service                 text                NOT NULL,
    tier                    text                NOT NULL DEFAULT 'standard',
    data_classes            text[]              NOT NULL DEFAULT '{}',
    is_processor            boolean             NOT NULL DEFAULT false,
    processes_phi           boolean             NOT NULL DEFAULT false,
    touches_cardholder_data boolean             NOT NULL DEFAULT false,
    country_code            system_core.country NOT NULL,
    status                  text                NOT NULL DEFAULT 'prospect',
    contract_ends_on        date,
    dpa_signed_on           date,
    baa_signed_on           date,
    created_at              timestamptz         NOT NULL DEFAULT now(),
    updated_at              timestamptz         NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, third_party_id),
    UNIQUE (business_id, name),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT third_party_tier_known CHECK (tier IN ('critical', 'important', 'standard')),
    CONSTRAINT third_party_data_classes_known
        CHECK (data_classes <@ ARRAY['public', 'internal', 'personal', 'special', 'phi',
                                     'cardholder', 'financial', 'credential']),
    CONSTRAINT third_party_status_known
        CHECK (status IN ('prospect', 'active', 'offboarding', 'ended')),
    CONSTRAINT third_party_phi_has_baa
        CHECK (NOT processes_phi OR status <> 'active' OR baa_signed_on IS NOT NULL),
    CONSTRAINT third_party_processor_has_dpa
        CHECK (NOT is_processor OR status <> 'active' OR dpa_signed_on IS NOT NULL)
);

COMMENT ON TABLE security_mgmt.third_party IS
    'A supplier or processor, with what it has access to and what was signed.';
COMMENT ON COLUMN security_mgmt.third_party.data_classes IS
    'Classes of data that it gets to see, as data_classification_rule names them.';
COMMENT ON COLUMN security_mgmt.third_party.dpa_signed_on IS
    'Data processing agreement (GDPR Art. 28).';
COMMENT ON COLUMN security_mgmt.third_party.baa_signed_on IS
    'Business associate agreement (HIPAA 164.308(b)).';

-- FK: the suppliers of an owner.
CREATE INDEX third_party_owner_idx
    ON security_mgmt.third_party (business_id, owner_user_account_id)
    WHERE owner_user_account_id IS NOT NULL;

ALTER TABLE security_mgmt.third_party ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.third_party
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.third_party TO app_user;
GRANT SELECT ON security_mgmt.third_party TO app_readonly;

CREATE TRIGGER third_party_touch
    BEFORE UPDATE ON security_mgmt.third_party
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

-- A test of 30_exposure.sql may be done by a supplier.
ALTER TABLE security_mgmt.penetration_test
    ADD FOREIGN KEY (business_id, third_party_id)
        REFERENCES security_mgmt.third_party (business_id, third_party_id);


CREATE TABLE security_mgmt.third_party_assessment (
    business_id               uuid                    NOT NULL,
    third_party_assessment_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    third_party_id            uuid                    NOT NULL,
    assessor_user_account_id  uuid,
    file_object_id            uuid,
    assessment_kind           text                    NOT NULL,
    answers                   system_core.json_array,
    score                     system_core.score       NOT NULL,
    rating                    text                    NOT NULL,
    findings                  system_core.json_array  NOT NULL DEFAULT '[]',
    decision                  text                    NOT NULL DEFAULT 'accept',
    assessed_on               date                    NOT NULL DEFAULT current_date,
    follow_up_due_on          date,
    valid_until               date                    NOT NULL,
    created_at                timestamptz             NOT NULL DEFAULT now(),
    updated_at                timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, third_party_assessment_id),
    FOREIGN KEY (business_id, third_party_id)
        REFERENCES security_mgmt.third_party (business_id, third_party_id),
    FOREIGN KEY (business_id, assessor_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT third_party_assessment_kind_known
        CHECK (assessment_kind IN ('questionnaire', 'soc_report', 'iso_certificate',
                                   'penetration_summary', 'rating_service', 'onsite')),
    CONSTRAINT third_party_assessment_rating_known
        CHECK (rating IN ('low', 'medium', 'high', 'critical')),
    CONSTRAINT third_party_assessment_decision_known
        CHECK (decision IN ('accept', 'conditional', 'reject')),
    CONSTRAINT third_party_assessment_questionnaire_has_answers
        CHECK ((assessment_kind = 'questionnaire') = (answers IS NOT NULL)),
    CONSTRAINT third_party_assessment_score_bounded CHECK (score BETWEEN 0 AND 100),
    CONSTRAINT third_party_assessment_valid_after_day CHECK (valid_until > assessed_on),
    CONSTRAINT third_party_assessment_conditional_has_follow_up
        CHECK (decision <> 'conditional' OR follow_up_due_on IS NOT NULL)
);

COMMENT ON TABLE security_mgmt.third_party_assessment IS
    'What was found out about a supplier, before the contract and while it runs.';
COMMENT ON COLUMN security_mgmt.third_party_assessment.answers IS
    'Of a questionnaire: [{"question", "answer": yes|partly|no|not_applicable, "weight"}].';
COMMENT ON COLUMN security_mgmt.third_party_assessment.score IS
    '0 to 100, more is better; of a questionnaire by trigger from its answers.';
COMMENT ON COLUMN security_mgmt.third_party_assessment.rating IS
    'The risk that the supplier is; of a questionnaire by trigger from its score.';
COMMENT ON COLUMN security_mgmt.third_party_assessment.findings IS
    'What is to be mended: [{"finding", "severity"}].';

-- FK: the assessments of a supplier, newest first.
CREATE INDEX third_party_assessment_party_idx
    ON security_mgmt.third_party_assessment (business_id, third_party_id, assessed_on DESC);

-- FK: who assessed.
CREATE INDEX third_party_assessment_assessor_idx
    ON security_mgmt.third_party_assessment (business_id, assessor_user_account_id)
    WHERE assessor_user_account_id IS NOT NULL;

-- FK: whether a file is a supplier's report.
CREATE INDEX third_party_assessment_file_idx
    ON security_mgmt.third_party_assessment (business_id, file_object_id)
    WHERE file_object_id IS NOT NULL;

-- v_expiring_assurance: reports that run out.
CREATE INDEX third_party_assessment_expiry_idx
    ON security_mgmt.third_party_assessment (business_id, valid_until);

ALTER TABLE security_mgmt.third_party_assessment
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.third_party_assessment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.third_party_assessment TO app_user;
GRANT SELECT ON security_mgmt.third_party_assessment TO app_readonly;

CREATE TRIGGER third_party_assessment_touch
    BEFORE UPDATE ON security_mgmt.third_party_assessment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION security_mgmt.score_answers(answers jsonb) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (
        SELECT round(100 * sum(a.weight * CASE a.answer WHEN 'yes' THEN 1 WHEN 'partly' THEN 0.5
                                                        ELSE 0 END) / nullif(sum(a.weight), 0), 2)
        FROM JSON_TABLE(answers, '$[*]' COLUMNS (
            answer text    PATH '$.answer',
            weight numeric PATH '$.weight' DEFAULT 1 ON EMPTY
        )) AS a
        WHERE a.answer IS DISTINCT FROM 'not_applicable');
COMMENT ON FUNCTION security_mgmt.score_answers(jsonb) IS
    'The weighted share of yes in the answers to a questionnaire, 0 to 100; partly counts half, a
     question without an answer is a no, one that does not apply is left out. NULL where nothing
     is left.';

CREATE FUNCTION security_mgmt.score_questionnaire() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.score := coalesce(security_mgmt.score_answers(NEW.answers), 0);
    NEW.rating := CASE WHEN NEW.score >= 85 THEN 'low' WHEN NEW.score >= 65 THEN 'medium'
                       WHEN NEW.score >= 40 THEN 'high' ELSE 'critical' END;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION security_mgmt.score_questionnaire() IS
    'A questionnaire is rated by its answers, not by whom it is about.';

CREATE TRIGGER third_party_assessment_score
    BEFORE INSERT OR UPDATE ON security_mgmt.third_party_assessment
    FOR EACH ROW WHEN (NEW.assessment_kind = 'questionnaire' AND NEW.answers IS NOT NULL)
    EXECUTE FUNCTION security_mgmt.score_questionnaire();


CREATE FUNCTION security_mgmt.draft_csf_profile(name text, profile_kind text) RETURNS uuid
    LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    draft  uuid;
BEGIN
    INSERT INTO security_mgmt.csf_profile AS p (business_id, name, profile_kind)
    VALUES (tenant, draft_csf_profile.name, draft_csf_profile.profile_kind)
    RETURNING p.csf_profile_id INTO draft;

    INSERT INTO security_mgmt.csf_outcome
        (business_id, csf_profile_id, framework_requirement_id, main_control_id, csf_function,
         achieved_level, target_level, priority, action_due_on, confidence)
    SELECT tenant, draft, r.framework_requirement_id, o.main_control_id, r.csf_function,
           coalesce(o.achieved_level, 0), coalesce(o.target_level, 3),
           coalesce(o.priority, 'medium'), o.action_due_on, coalesce(o.confidence, 0)
    FROM security_mgmt.framework_requirement AS r
    JOIN security_mgmt.compliance_framework AS f
        ON f.business_id = r.business_id
       AND f.compliance_framework_id = r.compliance_framework_id
       AND f.code = 'nist_csf_2' AND f.is_applicable
    LEFT JOIN security_mgmt.csf_profile AS p
        ON p.business_id = r.business_id
       AND p.profile_kind = draft_csf_profile.profile_kind AND p.status = 'approved'
    LEFT JOIN security_mgmt.csf_outcome AS o
        ON o.business_id = r.business_id AND o.csf_profile_id = p.csf_profile_id
       AND o.framework_requirement_id = r.framework_requirement_id
    WHERE r.business_id = tenant AND r.level = 'subcategory';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the business has not adopted nist_csf_2'
            USING ERRCODE = 'no_data_found', HINT = 'Call adopt_framework(''nist_csf_2'').';
    END IF;
    RETURN draft;
END
$$;
COMMENT ON FUNCTION security_mgmt.draft_csf_profile(text, text) IS
    'A draft of a profile of the current tenant with every subcategory, rated as in the approved
     profile of that kind, else 0 with target 3.';


CREATE FUNCTION security_mgmt.approve_csf_profile(profile uuid, approver uuid) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
BEGIN
    UPDATE security_mgmt.csf_profile AS p
    SET status = 'superseded'
    FROM security_mgmt.csf_profile AS draft
    WHERE draft.business_id = tenant AND draft.csf_profile_id = profile
      AND draft.status = 'draft'
      AND p.business_id = tenant AND p.profile_kind = draft.profile_kind
      AND p.status = 'approved';
    UPDATE security_mgmt.csf_profile AS p
    SET status = 'approved', approved_by = approver, approved_at = now(),
        reviewed_on = current_date, next_review_on = current_date + 365
    WHERE p.business_id = tenant AND p.csf_profile_id = profile AND p.status = 'draft';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no draft of a profile %', profile
            USING ERRCODE = 'no_data_found';
    END IF;
END
$$;
COMMENT ON FUNCTION security_mgmt.approve_csf_profile(uuid, uuid) IS
    'Approves a draft of the current tenant, to be reviewed in a year; the profile that was
     approved before is superseded.';


CREATE FUNCTION security_mgmt.csf_gap_report()
    RETURNS TABLE (csf_function text, category text, current_level numeric, target_level numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT r.csf_function, r.csf_category,
           round(avg(o.achieved_level) FILTER (WHERE p.profile_kind = 'current'), 2),
           round(avg(o.target_level) FILTER (WHERE p.profile_kind = 'target'), 2)
    FROM security_mgmt.framework_requirement AS r
    JOIN security_mgmt.compliance_framework AS f
        ON f.business_id = r.business_id
       AND f.compliance_framework_id = r.compliance_framework_id
       AND f.code = 'nist_csf_2' AND f.is_applicable
    LEFT JOIN (
        security_mgmt.csf_outcome AS o
        JOIN security_mgmt.csf_profile AS p
            ON p.business_id = o.business_id AND p.csf_profile_id = o.csf_profile_id
           AND p.status = 'approved'
    ) ON o.business_id = r.business_id
     AND o.framework_requirement_id = r.framework_requirement_id
    WHERE r.business_id = tenant_mgmt.current_business_id() AND r.level = 'subcategory'
    GROUP BY r.csf_function, r.csf_category
    ORDER BY array_position(ARRAY['GV', 'ID', 'PR', 'DE', 'RS', 'RC'], r.csf_function),
             min(r.sort_path);
END;
COMMENT ON FUNCTION security_mgmt.csf_gap_report() IS
    'Per category of CSF, in the order of the functions: the average level of the approved
     current profile of the tenant against that of the approved target profile. NULL where there
     is no such profile.';


CREATE VIEW security_mgmt.v_csf_function_summary
    WITH (security_invoker = true) AS
SELECT p.business_id, p.csf_profile_id, p.profile_kind, o.csf_function,
       count(*) AS outcome_count,
       round(avg(o.achieved_level), 2) AS average_achieved,
       round(avg(o.target_level), 2) AS average_target,
       count(*) FILTER (WHERE o.target_level > o.achieved_level) AS gap_count,
       count(*) FILTER (WHERE o.target_level > o.achieved_level AND o.priority = 'high')
           AS urgent_gap_count,
       min(o.action_due_on) FILTER (WHERE o.target_level > o.achieved_level) AS next_action_on
FROM security_mgmt.csf_profile AS p
JOIN security_mgmt.csf_outcome AS o
    ON o.business_id = p.business_id AND o.csf_profile_id = p.csf_profile_id
WHERE p.business_id = tenant_mgmt.current_business_id() AND p.status = 'approved'
GROUP BY p.business_id, p.csf_profile_id, p.profile_kind, o.csf_function;
COMMENT ON VIEW security_mgmt.v_csf_function_summary IS
    'Average achieved and target level of the six functions in each approved profile, with the
     gaps and the next date that was promised.';
GRANT SELECT ON security_mgmt.v_csf_function_summary TO app_user, app_readonly;


-- Keys of earlier areas to tables of this one.
ALTER TABLE security_mgmt.risk_acceptance
    ADD FOREIGN KEY (business_id, security_risk_id)
    REFERENCES security_mgmt.security_risk (business_id, security_risk_id);
ALTER TABLE security_mgmt.penetration_test
    ADD FOREIGN KEY (business_id, third_party_id)
    REFERENCES security_mgmt.third_party (business_id, third_party_id);
