/*
 * TODO: what the area is and how its tables relate.
 *
 * Graduates, employers and licensing bodies: certifications, certificates, verification, CEUs and
 * outside credentials.
 */

CREATE TABLE courses.certificate_template (
    business_id               uuid                    NOT NULL,
    certificate_template_id   uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    background_file_object_id uuid,
    signatory_user_account_id uuid,
    name                      text                    NOT NULL,
    orientation               text                    NOT NULL,
    body_template             text,
    merge_fields              system_core.json_object,
    language_code             system_core.code,
    signature_lines           text,
    open_badge_profile        system_core.json_object,
    version_no                integer,
    status                    text                    NOT NULL DEFAULT 'draft',
    activated_at              timestamptz,
    created_at                timestamptz             NOT NULL DEFAULT now(),
    updated_at                timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, certificate_template_id),
    UNIQUE (business_id, name, version_no),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, background_file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, signatory_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT certificate_template_orientation_known
        CHECK (orientation IN ('landscape', 'portrait')),
    CONSTRAINT certificate_template_status_known CHECK (status IN ('draft', 'active', 'retired'))
);

COMMENT ON TABLE courses.certificate_template IS 'Layout and wording of a certificate.';
-- RULE one active version per name (partial unique)
-- RULE merge_fields is a JSON array

-- FK: the certificate templates of a file object.
CREATE INDEX certificate_template_background_file_object_idx
    ON courses.certificate_template (business_id, background_file_object_id)
    WHERE background_file_object_id IS NOT NULL;

-- FK: the certificate templates of a user account.
CREATE INDEX certificate_template_signatory_user_account_idx
    ON courses.certificate_template (business_id, signatory_user_account_id)
    WHERE signatory_user_account_id IS NOT NULL;

ALTER TABLE courses.certificate_template ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.certificate_template
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.certificate_template TO app_user;
GRANT SELECT ON courses.certificate_template TO app_readonly;

CREATE TRIGGER certificate_template_touch
    BEFORE UPDATE ON courses.certificate_template
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.external_credential (
    business_id            uuid                 NOT NULL,
    external_credential_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    exempts_course_id      uuid,
    verified_by            uuid,
    learner_id             uuid                 NOT NULL,
    file_object_id         uuid,
    credential_kind        text                 NOT NULL,
    title                  text                 NOT NULL,
    issuer                 text,
    issued_on              date,
    expires_on             date,
    identifier             text,
    verification           text                 NOT NULL,
    verified_at            timestamptz,
    credits_granted        system_core.quantity,
    evaluation_note        text,
    created_at             timestamptz          NOT NULL DEFAULT now(),
    updated_at             timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, external_credential_id),
    FOREIGN KEY (business_id, exempts_course_id)
        REFERENCES courses.course (business_id, course_id),
    FOREIGN KEY (business_id, verified_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT external_credential_credential_kind_known
        CHECK (credential_kind IN ('license', 'degree', 'certificate', 'transcript',
               'work_experience')),
    CONSTRAINT external_credential_verification_known
        CHECK (verification IN ('unverified', 'document', 'issuer_confirmed', 'rejected')),
    CONSTRAINT external_credential_expires_on_after_issued_on CHECK (expires_on > issued_on),
    CONSTRAINT external_credential_credits_granted_not_negative CHECK (credits_granted >= 0)
);

COMMENT ON TABLE courses.external_credential IS
    'Licence, degree or prior learning brought by a learner.';
-- RULE verified_at is not null when issuer_confirmed

-- FK: the external credentials of a course.
CREATE INDEX external_credential_exempts_course_idx
    ON courses.external_credential (business_id, exempts_course_id)
    WHERE exempts_course_id IS NOT NULL;

-- FK: the external credentials of a user account.
CREATE INDEX external_credential_verified_by_idx
    ON courses.external_credential (business_id, verified_by)
    WHERE verified_by IS NOT NULL;

-- FK: the external credentials of a learner.
CREATE INDEX external_credential_learner_idx
    ON courses.external_credential (business_id, learner_id);

-- FK: the external credentials of a file object.
CREATE INDEX external_credential_file_object_idx
    ON courses.external_credential (business_id, file_object_id)
    WHERE file_object_id IS NOT NULL;

ALTER TABLE courses.external_credential ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.external_credential
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.external_credential TO app_user;
GRANT SELECT ON courses.external_credential TO app_readonly;

CREATE TRIGGER external_credential_touch
    BEFORE UPDATE ON courses.external_credential
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.certification (
    business_id             uuid                 NOT NULL,
    certification_id        uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    owner_user_account_id   uuid                 NOT NULL,
    certificate_template_id uuid                 NOT NULL,
    certification_code      system_core.code,
    title                   text                 NOT NULL,
    authority               text,
    level                   text                 NOT NULL,
    validity_months         integer,
    renewal_window_days     integer,
    grace_days              integer,
    renewal_by              text                 NOT NULL,
    credits_required        system_core.quantity,
    external_standard       text,
    status                  text                 NOT NULL DEFAULT 'draft',
    public_url_slug         text,
    created_at              timestamptz          NOT NULL DEFAULT now(),
    updated_at              timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, certification_id),
    UNIQUE (business_id, certification_code),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, certificate_template_id)
        REFERENCES courses.certificate_template (business_id, certificate_template_id),
    CONSTRAINT certification_level_known
        CHECK (level IN ('foundation', 'associate', 'professional', 'expert')),
    CONSTRAINT certification_renewal_by_known
        CHECK (renewal_by IN ('exam', 'credits', 'course', 'fee')),
    CONSTRAINT certification_status_known
        CHECK (status IN ('draft', 'active', 'suspended', 'retired'))
);

COMMENT ON TABLE courses.certification IS 'Credential with requirements, validity and renewal.';
-- RULE validity_months is null or between 1 and 120
-- RULE credits_required > 0 when renewal_by = 'credits'

-- FK: the certifications of a user account.
CREATE INDEX certification_owner_user_account_idx
    ON courses.certification (business_id, owner_user_account_id);

-- FK: the certifications of a certificate template.
CREATE INDEX certification_certificate_template_idx
    ON courses.certification (business_id, certificate_template_id);

ALTER TABLE courses.certification ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.certification
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.certification TO app_user;
GRANT SELECT ON courses.certification TO app_readonly;

CREATE TRIGGER certification_touch
    BEFORE UPDATE ON courses.certification
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.certification_requirement (
    business_id                  uuid                   NOT NULL,
    certification_requirement_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    certification_id             uuid                   NOT NULL,
    course_id                    uuid,
    assessment_id                uuid,
    program_id                   uuid,
    learning_outcome_id          uuid,
    applies_to                   text                   NOT NULL,
    requirement_kind             text                   NOT NULL,
    minimum_score_pct            system_core.percentage,
    hours_required               system_core.quantity,
    group_no                     integer,
    within_months                integer,
    sort_order                   integer,
    description                  text,
    created_at                   timestamptz            NOT NULL DEFAULT now(),
    updated_at                   timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, certification_requirement_id),
    FOREIGN KEY (business_id, certification_id)
        REFERENCES courses.certification (business_id, certification_id),
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    FOREIGN KEY (business_id, assessment_id)
        REFERENCES courses.assessment (business_id, assessment_id),
    FOREIGN KEY (business_id, program_id) REFERENCES courses.program (business_id, program_id),
    FOREIGN KEY (business_id, learning_outcome_id)
        REFERENCES courses.learning_outcome (business_id, learning_outcome_id),
    CONSTRAINT certification_requirement_applies_to_known
        CHECK (applies_to IN ('initial', 'renewal', 'both')),
    CONSTRAINT certification_requirement_requirement_kind_known
        CHECK (requirement_kind IN ('course', 'assessment', 'program', 'outcome',
               'experience_hours', 'manual_review', 'fee')),
    CONSTRAINT certification_requirement_minimum_score_pct_bounded
        CHECK (minimum_score_pct BETWEEN 0 AND 100)
);

COMMENT ON TABLE courses.certification_requirement IS 'What must be met to earn or renew.';
-- RULE the referenced row fits requirement_kind (check)
-- RULE hours_required > 0 for experience_hours

-- FK: the certification requirements of a certification.
CREATE INDEX certification_requirement_certification_idx
    ON courses.certification_requirement (business_id, certification_id);

-- FK: the certification requirements of a course.
CREATE INDEX certification_requirement_course_idx
    ON courses.certification_requirement (business_id, course_id)
    WHERE course_id IS NOT NULL;

-- FK: the certification requirements of a assessment.
CREATE INDEX certification_requirement_assessment_idx
    ON courses.certification_requirement (business_id, assessment_id)
    WHERE assessment_id IS NOT NULL;

-- FK: the certification requirements of a program.
CREATE INDEX certification_requirement_program_idx
    ON courses.certification_requirement (business_id, program_id)
    WHERE program_id IS NOT NULL;

-- FK: the certification requirements of a learning outcome.
CREATE INDEX certification_requirement_learning_outcome_idx
    ON courses.certification_requirement (business_id, learning_outcome_id)
    WHERE learning_outcome_id IS NOT NULL;

ALTER TABLE courses.certification_requirement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.certification_requirement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.certification_requirement TO app_user;
GRANT SELECT ON courses.certification_requirement TO app_readonly;

CREATE TRIGGER certification_requirement_touch
    BEFORE UPDATE ON courses.certification_requirement
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.certification_attainment (
    business_id                 uuid                   NOT NULL,
    certification_attainment_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    decided_by                  uuid,
    certification_id            uuid                   NOT NULL,
    learner_id                  uuid                   NOT NULL,
    cycle_no                    integer,
    state                       text                   NOT NULL DEFAULT 'in_progress',
    started_on                  date,
    awarded_on                  date,
    expires_on                  date,
    renewed_on                  date,
    progress_pct                system_core.percentage,
    requirement_state           text,
    revocation_reason           text,
    reminders_sent              integer,
    created_at                  timestamptz            NOT NULL DEFAULT now(),
    updated_at                  timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, certification_attainment_id),
    UNIQUE (business_id, certification_id, learner_id, cycle_no),
    FOREIGN KEY (business_id, decided_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, certification_id)
        REFERENCES courses.certification (business_id, certification_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    CONSTRAINT certification_attainment_state_known
        CHECK (state IN ('in_progress', 'eligible', 'awarded', 'expiring', 'in_grace', 'expired',
               'revoked', 'renewed'))
);

COMMENT ON TABLE courses.certification_attainment IS
    'A learner''s standing in a certification over its life.';
-- RULE expires_on is awarded_on plus the certification's validity_months (trigger)
-- RULE revocation_reason is not null when revoked
-- RULE one live cycle per learner (partial unique)

-- FK: the certification attainments of a user account.
CREATE INDEX certification_attainment_decided_by_idx
    ON courses.certification_attainment (business_id, decided_by)
    WHERE decided_by IS NOT NULL;

-- FK: the certification attainments of a learner.
CREATE INDEX certification_attainment_learner_idx
    ON courses.certification_attainment (business_id, learner_id);

ALTER TABLE courses.certification_attainment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.certification_attainment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.certification_attainment TO app_user;
GRANT SELECT ON courses.certification_attainment TO app_readonly;

CREATE TRIGGER certification_attainment_touch
    BEFORE UPDATE ON courses.certification_attainment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER certification_attainment_state_machine
    BEFORE INSERT OR UPDATE OF state ON courses.certification_attainment
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["in_progress"],
        "transitions": {
            "in_progress": ["eligible"],
            "eligible":    ["awarded"],
            "awarded":     ["expiring", "revoked"],
            "expiring":    ["renewed", "in_grace", "revoked"],
            "in_grace":    ["renewed", "expired"],
            "expired":     [],
            "revoked":     [],
            "renewed":     []
        }}');


CREATE TABLE courses.issued_certificate (
    business_id                 uuid             NOT NULL,
    issued_certificate_id       uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    learner_id                  uuid             NOT NULL,
    enrollment_id               uuid,
    certification_attainment_id uuid,
    certificate_template_id     uuid             NOT NULL,
    file_object_id              uuid,
    certificate_number          text             NOT NULL,
    verification_code           system_core.code,
    title                       text             NOT NULL,
    issued_on                   date,
    expires_on                  date,
    grade_text                  text,
    hours                       numeric(9, 2),
    status                      text             NOT NULL DEFAULT 'valid',
    credential_json             text,
    signature                   text,
    share_count                 integer,
    revoked_on                  date,
    created_at                  timestamptz      NOT NULL DEFAULT now(),
    updated_at                  timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, issued_certificate_id),
    UNIQUE (business_id, certificate_number),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    FOREIGN KEY (business_id, certification_attainment_id)
        REFERENCES courses.certification_attainment (business_id, certification_attainment_id),
    FOREIGN KEY (business_id, certificate_template_id)
        REFERENCES courses.certificate_template (business_id, certificate_template_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT issued_certificate_status_known
        CHECK (status IN ('valid', 'expired', 'revoked', 'superseded'))
);

COMMENT ON TABLE courses.issued_certificate IS 'Certificate or open badge document handed out.';
-- RULE unique (verification_code) on plain PostgreSQL, kept by the issuing function on Citus
-- RULE exactly one of enrollment_id and certification_attainment_id
-- RULE revoked_on is not null when revoked

-- FK: the issued certificates of a learner.
CREATE INDEX issued_certificate_learner_idx
    ON courses.issued_certificate (business_id, learner_id);

-- FK: the issued certificates of a enrollment.
CREATE INDEX issued_certificate_enrollment_idx
    ON courses.issued_certificate (business_id, enrollment_id)
    WHERE enrollment_id IS NOT NULL;

-- FK: the issued certificates of a certification attainment.
CREATE INDEX issued_certificate_certification_attainment_idx
    ON courses.issued_certificate (business_id, certification_attainment_id)
    WHERE certification_attainment_id IS NOT NULL;

-- FK: the issued certificates of a certificate template.
CREATE INDEX issued_certificate_certificate_template_idx
    ON courses.issued_certificate (business_id, certificate_template_id);

-- FK: the issued certificates of a file object.
CREATE INDEX issued_certificate_file_object_idx
    ON courses.issued_certificate (business_id, file_object_id)
    WHERE file_object_id IS NOT NULL;

ALTER TABLE courses.issued_certificate ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.issued_certificate
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.issued_certificate TO app_user;
GRANT SELECT ON courses.issued_certificate TO app_readonly;

CREATE TRIGGER issued_certificate_touch
    BEFORE UPDATE ON courses.issued_certificate
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.continuing_education_credit (
    business_id                    uuid          NOT NULL,
    continuing_education_credit_id uuid          NOT NULL DEFAULT system_core.uuid_v7(),
    proof_file_object_id           uuid,
    reviewed_by                    uuid,
    learner_id                     uuid          NOT NULL,
    enrollment_id                  uuid,
    certification_attainment_id    uuid,
    credit_kind                    text          NOT NULL,
    hours                          numeric(9, 2),
    credits                        numeric(9, 2),
    earned_on                      date,
    provider_name                  text,
    activity_title                 text,
    category                       text,
    status                         text          NOT NULL DEFAULT 'auto_granted',
    valid_until                    date,
    rejection_reason               text,
    created_at                     timestamptz   NOT NULL DEFAULT now(),
    updated_at                     timestamptz   NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, continuing_education_credit_id),
    FOREIGN KEY (business_id, proof_file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, reviewed_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    FOREIGN KEY (business_id, certification_attainment_id)
        REFERENCES courses.certification_attainment (business_id, certification_attainment_id),
    CONSTRAINT continuing_education_credit_credit_kind_known
        CHECK (credit_kind IN ('ceu', 'cpe', 'cme', 'pdu', 'clock_hour')),
    CONSTRAINT continuing_education_credit_status_known
        CHECK (status IN ('auto_granted', 'claimed', 'approved', 'rejected', 'expired')),
    CONSTRAINT continuing_education_credit_credits_positive CHECK (credits > 0)
);

COMMENT ON TABLE courses.continuing_education_credit IS 'CEU, CPE or CME credit earned or claimed.';
-- RULE 1 CEU = 10 contact hours
-- RULE claims need proof
-- RULE counted once per attainment (unique)

-- FK: the continuing education credits of a file object.
CREATE INDEX continuing_education_credit_proof_file_object_idx
    ON courses.continuing_education_credit (business_id, proof_file_object_id)
    WHERE proof_file_object_id IS NOT NULL;

-- FK: the continuing education credits of a user account.
CREATE INDEX continuing_education_credit_reviewed_by_idx
    ON courses.continuing_education_credit (business_id, reviewed_by)
    WHERE reviewed_by IS NOT NULL;

-- FK: the continuing education credits of a learner.
CREATE INDEX continuing_education_credit_learner_idx
    ON courses.continuing_education_credit (business_id, learner_id);

-- FK: the continuing education credits of a enrollment.
CREATE INDEX continuing_education_credit_enrollment_idx
    ON courses.continuing_education_credit (business_id, enrollment_id)
    WHERE enrollment_id IS NOT NULL;

-- FK: the continuing education credits of a certification attainment.
CREATE INDEX continuing_education_credit_certification_attainment_idx
    ON courses.continuing_education_credit (business_id, certification_attainment_id)
    WHERE certification_attainment_id IS NOT NULL;

ALTER TABLE courses.continuing_education_credit ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.continuing_education_credit
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.continuing_education_credit TO app_user;
GRANT SELECT ON courses.continuing_education_credit TO app_readonly;

CREATE TRIGGER continuing_education_credit_touch
    BEFORE UPDATE ON courses.continuing_education_credit
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.certificate_verification (
    business_id                 uuid                     NOT NULL,
    certificate_verification_id uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    issued_certificate_id       uuid,
    verified_at                 timestamptz              NOT NULL,
    code_entered_hash           bytea,
    result                      text                     NOT NULL,
    channel                     text                     NOT NULL,
    verifier_country            text,
    ip_address                  inet,
    user_agent                  text,
    latency_ms                  system_core.milliseconds,
    created_at                  timestamptz              NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, certificate_verification_id, verified_at),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, issued_certificate_id)
        REFERENCES courses.issued_certificate (business_id, issued_certificate_id),
    CONSTRAINT certificate_verification_result_known
        CHECK (result IN ('valid', 'expired', 'revoked', 'not_found', 'tampered')),
    CONSTRAINT certificate_verification_channel_known
        CHECK (channel IN ('web_page', 'qr_code', 'api', 'linkedin')),
    CONSTRAINT certificate_verification_latency_ms_not_negative CHECK (latency_ms >= 0)
) PARTITION BY RANGE (verified_at);

COMMENT ON TABLE courses.certificate_verification IS
    'Public check of a certificate by an employer or machine; append only.';
-- RULE issued_certificate_id is null exactly for not_found
-- RULE append only

-- FK: the certificate verifications of a issued certificate.
CREATE INDEX certificate_verification_issued_certificate_idx
    ON courses.certificate_verification (business_id, issued_certificate_id)
    WHERE issued_certificate_id IS NOT NULL;

ALTER TABLE courses.certificate_verification ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.certificate_verification
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON courses.certificate_verification TO app_user;
GRANT SELECT ON courses.certificate_verification TO app_readonly;

CREATE TRIGGER certificate_verification_append_only
    BEFORE UPDATE OR DELETE ON courses.certificate_verification
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('courses.certificate_verification');

CREATE TABLE courses.certificate_verification_default PARTITION OF courses.certificate_verification DEFAULT;
ALTER TABLE courses.certificate_verification_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.certificate_verification_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('courses.certificate_verification', 'month', behind => 13, ahead => 3);


-- Closes the circle with an earlier file.
ALTER TABLE courses.course_prerequisite
    ADD FOREIGN KEY (business_id, certification_id) REFERENCES courses.certification (business_id, certification_id);

-- Closes the circle with an earlier file.
ALTER TABLE courses.program_requirement
    ADD FOREIGN KEY (business_id, certification_id) REFERENCES courses.certification (business_id, certification_id);
