/*
 * Credentials: what a learner may call themselves, for how long, and who can check it.
 *
 * A certification is earned and renewed by its certification_requirements; a
 * certification_attainment is a learner's standing in one cycle of it, from the first course to its
 * end. courses.evaluate_certification() moves it as courses are completed, credits are earned and
 * time goes by. An issued_certificate says what was reached, worded by a certificate_template: its
 * signature is the hash of all that it says, its verification code begins that hash and ends in a
 * check digit, so that courses.verify_certificate() tells a mistyped code, a withdrawn certificate
 * and an altered one apart. Each such question is a certificate_verification.
 *
 * A continuing_education_credit counts toward a renewal; an external_credential was earned
 * elsewhere and may spare a course.
 */

CREATE TABLE courses.certificate_template (
    business_id             uuid                    NOT NULL,
    certificate_template_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    background_file_object_id uuid,
    signatory_user_account_id uuid,
    name                    text                    NOT NULL,
    orientation             text                    NOT NULL DEFAULT 'landscape',
    body_template           text                    NOT NULL,
    merge_fields            system_core.json_array  NOT NULL DEFAULT '[]',
    language_code           system_core.locale      NOT NULL DEFAULT 'en',
    signature_lines text,
    open_badge_profile      system_core.json_object NOT NULL DEFAULT '{}',
    version_no              integer                 NOT NULL DEFAULT 1,
    status                  text                    NOT NULL DEFAULT 'draft',
    activated_at timestamptz,
    created_at              timestamptz             NOT NULL DEFAULT now(),
    updated_at              timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, certificate_template_id),
    UNIQUE (business_id, name, version_no),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, background_file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, signatory_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT certificate_template_orientation_known
        CHECK (orientation IN ('landscape', 'portrait')),
    CONSTRAINT certificate_template_status_known CHECK (status IN ('draft', 'active', 'retired')),
    CONSTRAINT certificate_template_version_counts_from_1 CHECK (version_no >= 1),
    CONSTRAINT certificate_template_active_has_time
        CHECK (status <> 'active' OR activated_at IS NOT NULL),
    CONSTRAINT certificate_template_merge_fields_are_names
        CHECK (NOT jsonb_path_exists(merge_fields, '$[*] ? (@.type() != "string")'))
);

COMMENT ON TABLE courses.certificate_template IS 'Layout and wording of a certificate.';
COMMENT ON COLUMN courses.certificate_template.merge_fields IS
    'The names in {braces} that body_template fills in, such as "learner" and "title".';
COMMENT ON COLUMN courses.certificate_template.open_badge_profile IS
    'Issuer of the Open Badges document: {"id", "name", "url"}.';

-- One version of a template is in use.
CREATE UNIQUE INDEX certificate_template_active_idx
    ON courses.certificate_template (business_id, name)
    WHERE status = 'active';

-- FK: the templates that a picture lies behind.
CREATE INDEX certificate_template_background_file_idx
    ON courses.certificate_template (business_id, background_file_object_id)
    WHERE background_file_object_id IS NOT NULL;

-- FK: what somebody signs.
CREATE INDEX certificate_template_signatory_idx
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


CREATE TABLE courses.certification (
    business_id             uuid             NOT NULL,
    certification_id        uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    certificate_template_id uuid             NOT NULL,
    owner_user_account_id   uuid             NOT NULL,
    certification_code      system_core.code NOT NULL,
    title                   text             NOT NULL,
    authority               text             NOT NULL,
    level                   text             NOT NULL DEFAULT 'foundation',
    validity_months integer,
    renewal_window_days     integer          NOT NULL DEFAULT 90,
    grace_days              integer          NOT NULL DEFAULT 0,
    renewal_by              text             NOT NULL DEFAULT 'exam',
    credits_required system_core.quantity,
    external_standard text,
    status                  text             NOT NULL DEFAULT 'draft',
    public_url_slug system_core.slug,
    created_at              timestamptz      NOT NULL DEFAULT now(),
    updated_at              timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, certification_id),
    UNIQUE (business_id, certification_code),
    UNIQUE (business_id, public_url_slug),
    FOREIGN KEY (business_id, certificate_template_id)
        REFERENCES courses.certificate_template (business_id, certificate_template_id),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT certification_level_known
        CHECK (level IN ('foundation', 'associate', 'professional', 'expert')),
    CONSTRAINT certification_renewal_known
        CHECK (renewal_by IN ('exam', 'credits', 'course', 'fee')),
    CONSTRAINT certification_status_known
        CHECK (status IN ('draft', 'active', 'suspended', 'retired')),
    CONSTRAINT certification_valid_up_to_ten_years CHECK (validity_months BETWEEN 1 AND 120),
    CONSTRAINT certification_days_not_negative
        CHECK (renewal_window_days >= 0 AND grace_days >= 0),
    CONSTRAINT certification_renewed_by_so_many_credits
        CHECK (credits_required > 0 AND (renewal_by = 'credits') = (credits_required IS NOT NULL)
               OR renewal_by <> 'credits' AND credits_required IS NULL)
);

COMMENT ON TABLE courses.certification IS 'Credential with requirements, validity and renewal.';
COMMENT ON COLUMN courses.certification.validity_months IS 'NULL: for life.';
COMMENT ON COLUMN courses.certification.renewal_window_days IS
    'How long before its end it can be renewed; from then on it is expiring.';
COMMENT ON COLUMN courses.certification.grace_days IS 'How long after its end it still can.';

-- FK: what a template is used for.
CREATE INDEX certification_template_idx
    ON courses.certification (business_id, certificate_template_id);

-- FK: what somebody answers for.
CREATE INDEX certification_owner_idx
    ON courses.certification (business_id, owner_user_account_id);

ALTER TABLE courses.certification ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.certification
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.certification TO app_user;
GRANT SELECT ON courses.certification TO app_readonly;

CREATE TRIGGER certification_touch
    BEFORE UPDATE ON courses.certification
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

ALTER TABLE courses.course_prerequisite
    ADD FOREIGN KEY (business_id, certification_id)
        REFERENCES courses.certification (business_id, certification_id);

ALTER TABLE courses.program_requirement
    ADD FOREIGN KEY (business_id, certification_id)
        REFERENCES courses.certification (business_id, certification_id);


CREATE TABLE courses.certification_requirement (
    business_id                  uuid        NOT NULL,
    certification_requirement_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    certification_id             uuid        NOT NULL,
    course_id uuid,
    assessment_id uuid,
    program_id uuid,
    learning_outcome_id uuid,
    applies_to                   text        NOT NULL DEFAULT 'initial',
    requirement_kind             text        NOT NULL,
    minimum_score_pct system_core.percentage,
    hours_required system_core.quantity,
    group_no integer,
    within_months integer,
    sort_order                   integer     NOT NULL DEFAULT 1,
    description text,
    created_at                   timestamptz NOT NULL DEFAULT now(),
    updated_at                   timestamptz NOT NULL DEFAULT now(),
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
    CONSTRAINT certification_requirement_kind_known
        CHECK (requirement_kind IN ('course', 'assessment', 'program', 'outcome',
                                    'experience_hours', 'manual_review', 'fee')),
    CONSTRAINT certification_requirement_names_what_it_asks
        CHECK ((requirement_kind = 'course') = (course_id IS NOT NULL)
               AND (requirement_kind = 'assessment') = (assessment_id IS NOT NULL)
               AND (requirement_kind = 'program') = (program_id IS NOT NULL)
               AND (requirement_kind = 'outcome') = (learning_outcome_id IS NOT NULL)),
    CONSTRAINT certification_requirement_score_is_a_share
        CHECK (minimum_score_pct BETWEEN 0 AND 100),
    CONSTRAINT certification_requirement_hours_of_experience
        CHECK (hours_required > 0
               AND (requirement_kind = 'experience_hours') = (hours_required IS NOT NULL)
               OR requirement_kind <> 'experience_hours' AND hours_required IS NULL),
    CONSTRAINT certification_requirement_months_positive CHECK (within_months > 0)
);

COMMENT ON TABLE courses.certification_requirement IS 'What must be met to earn or renew.';
COMMENT ON COLUMN courses.certification_requirement.group_no IS
    'Requirements of one number are alternatives; without a number each must be met.';
COMMENT ON COLUMN courses.certification_requirement.within_months IS
    'It counts only when it was done this recently.';

-- FK: what a certification asks, in order.
CREATE INDEX certification_requirement_certification_idx
    ON courses.certification_requirement (business_id, certification_id, sort_order);

-- FK: what a completed course counts toward.
CREATE INDEX certification_requirement_course_idx
    ON courses.certification_requirement (business_id, course_id)
    WHERE course_id IS NOT NULL;

-- FK: what a passed exam counts toward.
CREATE INDEX certification_requirement_assessment_idx
    ON courses.certification_requirement (business_id, assessment_id)
    WHERE assessment_id IS NOT NULL;

-- FK: what a program counts toward.
CREATE INDEX certification_requirement_program_idx
    ON courses.certification_requirement (business_id, program_id)
    WHERE program_id IS NOT NULL;

-- FK: what an outcome counts toward.
CREATE INDEX certification_requirement_outcome_idx
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
    certification_id            uuid                   NOT NULL,
    learner_id                  uuid                   NOT NULL,
    decided_by uuid,
    cycle_no                    integer                NOT NULL DEFAULT 1,
    state                       text                   NOT NULL DEFAULT 'in_progress',
    started_on                  date                   NOT NULL DEFAULT current_date,
    awarded_on date,
    expires_on date,
    renewed_on date,
    progress_pct                system_core.percentage NOT NULL DEFAULT 0,
    requirement_state           system_core.json_array NOT NULL DEFAULT '[]',
    revocation_reason text,
    reminders_sent              integer                NOT NULL DEFAULT 0,
    created_at                  timestamptz            NOT NULL DEFAULT now(),
    updated_at                  timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, certification_attainment_id),
    UNIQUE (business_id, certification_id, learner_id, cycle_no),
    FOREIGN KEY (business_id, certification_id)
        REFERENCES courses.certification (business_id, certification_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, decided_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT certification_attainment_state_known
        CHECK (state IN ('in_progress', 'eligible', 'awarded', 'expiring', 'in_grace', 'expired',
                         'revoked', 'renewed')),
    CONSTRAINT certification_attainment_cycle_counts_from_1 CHECK (cycle_no >= 1),
    CONSTRAINT certification_attainment_awarded_has_day
        CHECK ((state IN ('in_progress', 'eligible')) = (awarded_on IS NULL)),
    CONSTRAINT certification_attainment_ends_have_a_day
        CHECK (state NOT IN ('expiring', 'in_grace', 'expired') OR expires_on IS NOT NULL),
    CONSTRAINT certification_attainment_renewed_has_day
        CHECK ((state = 'renewed') = (renewed_on IS NOT NULL)),
    CONSTRAINT certification_attainment_days_in_order
        CHECK (awarded_on >= started_on AND expires_on > awarded_on AND renewed_on >= awarded_on),
    CONSTRAINT certification_attainment_revoked_for_a_reason
        CHECK ((state = 'revoked') = (coalesce(revocation_reason, '') ~ '\S')),
    CONSTRAINT certification_attainment_progress_is_a_share CHECK (progress_pct BETWEEN 0 AND 100),
    CONSTRAINT certification_attainment_requirements_judged
        CHECK (NOT jsonb_path_exists(requirement_state,
            '$[*] ? (!(exists (@.requirement) && exists (@.met)))')),
    CONSTRAINT certification_attainment_reminders_not_negative CHECK (reminders_sent >= 0)
);

COMMENT ON TABLE courses.certification_attainment IS
    'A learner''s standing in a certification over its life.';
COMMENT ON COLUMN courses.certification_attainment.decided_by IS
    'Who reviewed it, or confirmed the fee, where a requirement asks for a person.';
COMMENT ON COLUMN courses.certification_attainment.requirement_state IS
    'As last judged: [{"requirement", "met", "evidence"}].';

-- One live cycle of a learner; a renewal ends it and begins the next.
CREATE UNIQUE INDEX certification_attainment_live_idx
    ON courses.certification_attainment (business_id, certification_id, learner_id)
    WHERE state NOT IN ('expired', 'revoked', 'renewed');

-- What runs out when: courses.v_certification_expiring.
CREATE INDEX certification_attainment_expires_idx
    ON courses.certification_attainment (business_id, expires_on)
    WHERE state IN ('awarded', 'expiring', 'in_grace');

-- FK: what a learner holds.
CREATE INDEX certification_attainment_learner_idx
    ON courses.certification_attainment (business_id, learner_id);

-- FK: what somebody decided.
CREATE INDEX certification_attainment_decided_by_idx
    ON courses.certification_attainment (business_id, decided_by)
    WHERE decided_by IS NOT NULL;

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

CREATE FUNCTION courses.date_attainment() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.expires_on := (
        SELECT (NEW.awarded_on + make_interval(months => c.validity_months))::date
        FROM courses.certification AS c
        WHERE c.business_id = NEW.business_id AND c.certification_id = NEW.certification_id);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.date_attainment() IS
    'What is awarded holds as long as the certification says when it is awarded, for everybody.';

CREATE TRIGGER certification_attainment_dated
    BEFORE INSERT OR UPDATE OF awarded_on, expires_on ON courses.certification_attainment
    FOR EACH ROW EXECUTE FUNCTION courses.date_attainment();


CREATE TABLE courses.issued_certificate (
    business_id             uuid                    NOT NULL,
    issued_certificate_id   uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    learner_id              uuid                    NOT NULL,
    enrollment_id uuid,
    certification_attainment_id uuid,
    certificate_template_id uuid                    NOT NULL,
    file_object_id uuid,
    certificate_number      text                    NOT NULL,
    verification_code       text                    NOT NULL,
    title                   text                    NOT NULL,
    issued_on               date                    NOT NULL,
    expires_on date,
    grade_text text,
    hours numeric(9, 2),
    status                  text                    NOT NULL DEFAULT 'valid',
    credential_json         system_core.json_object NOT NULL,
    signature               system_core.sha256      NOT NULL,
    share_count             integer                 NOT NULL DEFAULT 0,
    revoked_on date,
    created_at              timestamptz             NOT NULL DEFAULT now(),
    updated_at              timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, issued_certificate_id),
    UNIQUE (business_id, certificate_number),
    UNIQUE (business_id, verification_code),
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
        CHECK (status IN ('valid', 'expired', 'revoked', 'superseded')),
    CONSTRAINT issued_certificate_for_one_thing
        CHECK (num_nonnulls(enrollment_id, certification_attainment_id) = 1),
    CONSTRAINT issued_certificate_code_shape
        CHECK (verification_code ~ '^[0-9A-F]{4}(-[0-9A-F]{4}){3}$'),
    CONSTRAINT issued_certificate_expires_after_issue CHECK (expires_on > issued_on),
    CONSTRAINT issued_certificate_expired_had_a_day
        CHECK (status <> 'expired' OR expires_on IS NOT NULL),
    CONSTRAINT issued_certificate_revoked_has_day
        CHECK ((status = 'revoked') = (revoked_on IS NOT NULL)),
    CONSTRAINT issued_certificate_revoked_after_issue CHECK (revoked_on >= issued_on),
    CONSTRAINT issued_certificate_hours_positive CHECK (hours > 0),
    CONSTRAINT issued_certificate_shares_not_negative CHECK (share_count >= 0)
);

COMMENT ON TABLE courses.issued_certificate IS 'Certificate or open badge document handed out.';
COMMENT ON COLUMN courses.issued_certificate.verification_code IS
    'The first 15 digits of the signature and a check digit: courses.certificate_code().';
COMMENT ON COLUMN courses.issued_certificate.signature IS
    'SHA-256 of all that it says: courses.certificate_hash(). It holds no secret: it proves that
     the words are those that were signed, not who wrote both.';
COMMENT ON COLUMN courses.issued_certificate.credential_json IS
    'Open Badges 3.0 document: who achieved what, issued by whom.';

-- FK: the certificates of a learner, the newest first.
CREATE INDEX issued_certificate_learner_idx
    ON courses.issued_certificate (business_id, learner_id, issued_on DESC);

-- FK: one valid certificate of a completed course.
CREATE UNIQUE INDEX issued_certificate_enrollment_idx
    ON courses.issued_certificate (business_id, enrollment_id)
    WHERE enrollment_id IS NOT NULL AND status = 'valid';

-- FK: one valid certificate of an attainment.
CREATE UNIQUE INDEX issued_certificate_attainment_idx
    ON courses.issued_certificate (business_id, certification_attainment_id)
    WHERE certification_attainment_id IS NOT NULL AND status = 'valid';

-- FK: what was issued by a template.
CREATE INDEX issued_certificate_template_idx
    ON courses.issued_certificate (business_id, certificate_template_id);

-- FK: the certificate that a file shows.
CREATE INDEX issued_certificate_file_idx
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

CREATE FUNCTION courses.check_digit(digits text) RETURNS text
    LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
    SELECT upper(to_hex((16 - sum(d.doubled / 16 + d.doubled % 16)::integer % 16) % 16))
    FROM (
        SELECT (strpos('0123456789ABCDEF', c.digit) - 1)
               * (1 + (c.place + length(digits) + 1) % 2) AS doubled
        FROM string_to_table(digits, NULL) WITH ORDINALITY AS c (digit, place)
    ) AS d;
END;
COMMENT ON FUNCTION courses.check_digit(text) IS
    'Luhn''s check digit in base 16: one wrong digit, and nearly every swapped pair, is noticed.';

CREATE FUNCTION courses.certificate_hash(certificate courses.issued_certificate) RETURNS bytea
    LANGUAGE sql STABLE
    RETURN sha256(convert_to(jsonb_build_array(
        certificate.business_id, certificate.issued_certificate_id, certificate.learner_id,
        certificate.enrollment_id, certificate.certification_attainment_id,
        certificate.certificate_number, certificate.title, certificate.issued_on,
        certificate.expires_on, certificate.grade_text, trim_scale(certificate.hours),
        certificate.credential_json)::text, 'UTF8'));
COMMENT ON FUNCTION courses.certificate_hash(courses.issued_certificate) IS
    'The hash of all that a certificate says, in a fixed order; its standing is not part of it.';

CREATE FUNCTION courses.certificate_code(signature bytea) RETURNS text
    LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
    SELECT regexp_replace(h.digits || courses.check_digit(h.digits), '(.{4})(?=.)', '\1-', 'g')
    FROM (SELECT upper(left(encode(signature, 'hex'), 15)) AS digits) AS h;
END;
COMMENT ON FUNCTION courses.certificate_code(bytea) IS
    'What is printed on a certificate to check it by: XXXX-XXXX-XXXX-XXXC.';

CREATE FUNCTION courses.sign_certificate() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.signature := courses.certificate_hash(ROW(NEW.*)::courses.issued_certificate);
        NEW.verification_code := courses.certificate_code(NEW.signature);
        IF EXISTS (SELECT FROM courses.issued_certificate AS c
                   WHERE c.business_id = NEW.business_id
                     AND c.verification_code = NEW.verification_code) THEN
            RAISE EXCEPTION 'code % was given before', NEW.verification_code
                USING ERRCODE = 'unique_violation', HINT = 'Issue it again: its key will differ.';
        END IF;
    ELSIF row_security_active(TG_RELID) THEN
        IF courses.certificate_hash(ROW(NEW.*)::courses.issued_certificate)
           <> courses.certificate_hash(ROW(OLD.*)::courses.issued_certificate)
           OR (NEW.signature, NEW.verification_code)
              IS DISTINCT FROM (OLD.signature, OLD.verification_code) THEN
            RAISE EXCEPTION 'certificate % says what it says', OLD.certificate_number
                USING ERRCODE = 'check_violation', HINT = 'Revoke it and issue another.';
        ELSIF OLD.status <> 'valid' AND NEW.status <> OLD.status THEN
            RAISE EXCEPTION 'certificate % is % and stays so', OLD.certificate_number, OLD.status
                USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.sign_certificate() IS
    'A certificate is signed as it is issued, and then only its standing changes, once.';

CREATE TRIGGER issued_certificate_signed
    BEFORE INSERT OR UPDATE ON courses.issued_certificate
    FOR EACH ROW EXECUTE FUNCTION courses.sign_certificate();

CREATE FUNCTION courses.check_certificate() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM courses.enrollment AS e
               WHERE e.business_id = NEW.business_id AND e.enrollment_id = NEW.enrollment_id
                 AND (e.learner_id <> NEW.learner_id OR e.status <> 'completed'))
       OR EXISTS (SELECT FROM courses.certification_attainment AS a
                  WHERE a.business_id = NEW.business_id
                    AND a.certification_attainment_id = NEW.certification_attainment_id
                    AND (a.learner_id <> NEW.learner_id OR a.awarded_on IS NULL)) THEN
        RAISE EXCEPTION 'certificate % is for what this learner did not reach',
                        NEW.certificate_number
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.check_certificate() IS
    'A certificate is for a course that its learner completed, or what was awarded to them.';

CREATE TRIGGER issued_certificate_deserved
    BEFORE INSERT ON courses.issued_certificate
    FOR EACH ROW EXECUTE FUNCTION courses.check_certificate();

CREATE FUNCTION courses.write_certificate(
    learner    uuid,
    enrollment uuid,
    attainment uuid,
    template   uuid,
    title      text,
    issued_on  date,
    expires_on date,
    grade_text text,
    hours      numeric
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    made   CONSTANT uuid := system_core.uuid_v7();
BEGIN
    INSERT INTO courses.issued_certificate
        (business_id, issued_certificate_id, learner_id, enrollment_id,
         certification_attainment_id, certificate_template_id, certificate_number, title,
         issued_on, expires_on, grade_text, hours, credential_json)
    SELECT tenant, made, l.learner_id, write_certificate.enrollment, attainment, template,
           to_char(write_certificate.issued_on, 'YYYY') || '-'
           || upper(right(replace(made::text, '-', ''), 10)),
           write_certificate.title, write_certificate.issued_on, write_certificate.expires_on,
           write_certificate.grade_text, nullif(write_certificate.hours, 0),
           jsonb_strip_nulls(jsonb_build_object(
               '@context', jsonb_build_array(
                   'https://www.w3.org/ns/credentials/v2',
                   'https://purl.imsglobal.org/spec/ob/v3p0/context-3.0.3.json'),
               'id', 'urn:uuid:' || made,
               'type', jsonb_build_array('VerifiableCredential', 'OpenBadgeCredential'),
               'issuer', t.open_badge_profile,
               'validFrom', write_certificate.issued_on,
               'validUntil', write_certificate.expires_on,
               'credentialSubject', jsonb_build_object(
                   'type', 'AchievementSubject',
                   'name', coalesce(u.display_name, l.learner_number),
                   'achievement', jsonb_build_object(
                       'type', 'Achievement', 'name', write_certificate.title))))
    FROM courses.learner AS l
    JOIN courses.certificate_template AS t
        ON t.business_id = tenant AND t.certificate_template_id = template
       AND t.status = 'active'
    LEFT JOIN user_mgmt.user_account AS u
        ON u.business_id = tenant AND u.user_account_id = l.user_account_id
    WHERE l.business_id = tenant AND l.learner_id = learner;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'template % is not active', template USING ERRCODE = 'check_violation';
    END IF;
    RETURN made;
END
$$;
COMMENT ON FUNCTION courses.write_certificate(uuid, uuid, uuid, uuid, text, date, date, text,
                                              numeric) IS
    'Words a certificate by an active template, with its number and Open Badges document.';

CREATE FUNCTION courses.issue_certificate(
    enrollment uuid,
    template   uuid,
    moment     timestamptz DEFAULT now()
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    reached record;
    made    uuid;
BEGIN
    SELECT e.learner_id, e.status, e.completed_at, e.final_grade_letter,
           coalesce(c.title, p.title) AS title, c.duration_minutes
    INTO reached
    FROM courses.enrollment AS e
    LEFT JOIN courses.course_section AS s
        ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
    LEFT JOIN courses.course AS c
        ON c.business_id = e.business_id AND c.course_id = s.course_id
    LEFT JOIN courses.program AS p
        ON p.business_id = e.business_id AND p.program_id = e.program_id
    WHERE e.business_id = tenant AND e.enrollment_id = issue_certificate.enrollment
    FOR NO KEY UPDATE OF e;
    IF reached.status IS DISTINCT FROM 'completed' THEN
        RAISE EXCEPTION 'enrollment % is %, not completed', enrollment,
                        coalesce(reached.status, 'unknown')
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT c.issued_certificate_id INTO made
    FROM courses.issued_certificate AS c
    WHERE c.business_id = tenant AND c.enrollment_id = issue_certificate.enrollment
      AND c.status = 'valid';
    IF FOUND THEN
        RETURN made;
    END IF;
    RETURN courses.write_certificate(
        reached.learner_id, enrollment, NULL, template, reached.title,
        greatest(moment, reached.completed_at)::date, NULL, reached.final_grade_letter,
        round(reached.duration_minutes / 60.0, 2));
END
$$;
COMMENT ON FUNCTION courses.issue_certificate(uuid, uuid, timestamptz) IS
    'The certificate of a completed course or program: the one there is, or a new one.';

CREATE FUNCTION courses.follow_attainment() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    UPDATE courses.issued_certificate AS c
    SET status = CASE NEW.state WHEN 'renewed' THEN 'superseded' ELSE NEW.state END,
        revoked_on = CASE WHEN NEW.state = 'revoked'
                          THEN greatest(current_date, c.issued_on) END
    WHERE c.business_id = NEW.business_id AND c.status = 'valid'
      AND c.certification_attainment_id = NEW.certification_attainment_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.follow_attainment() IS
    'When a standing ends, so does its certificate: expired, revoked, or superseded by the next.';

CREATE TRIGGER certification_attainment_ended
    AFTER UPDATE OF state ON courses.certification_attainment
    FOR EACH ROW WHEN (NEW.state IN ('expired', 'revoked', 'renewed') AND OLD.state <> NEW.state)
    EXECUTE FUNCTION courses.follow_attainment();


CREATE TABLE courses.certificate_verification (
    business_id                 uuid               NOT NULL,
    certificate_verification_id uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    issued_certificate_id uuid,
    verified_at                 timestamptz        NOT NULL DEFAULT now(),
    code_entered_hash           system_core.sha256 NOT NULL,
    result                      text               NOT NULL,
    channel                     text               NOT NULL DEFAULT 'web_page',
    verifier_country system_core.country,
    ip_address inet,
    user_agent text,
    latency_ms system_core.milliseconds,
    created_at                  timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, certificate_verification_id, verified_at),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, issued_certificate_id)
        REFERENCES courses.issued_certificate (business_id, issued_certificate_id),
    CONSTRAINT certificate_verification_result_known
        CHECK (result IN ('valid', 'expired', 'revoked', 'not_found', 'tampered')),
    CONSTRAINT certificate_verification_channel_known
        CHECK (channel IN ('web_page', 'qr_code', 'api', 'linkedin')),
    CONSTRAINT certificate_verification_found_or_not
        CHECK ((result = 'not_found') = (issued_certificate_id IS NULL))
) PARTITION BY RANGE (verified_at);

COMMENT ON TABLE courses.certificate_verification IS
    'Public check of a certificate by an employer or machine; append only.';
COMMENT ON COLUMN courses.certificate_verification.code_entered_hash IS
    'SHA-256 of what was typed: to see who tries many, without keeping codes that are none.';

-- FK: who asked about a certificate, and when.
CREATE INDEX certificate_verification_certificate_idx
    ON courses.certificate_verification (business_id, issued_certificate_id, verified_at)
    WHERE issued_certificate_id IS NOT NULL;

ALTER TABLE courses.certificate_verification ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.certificate_verification
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON courses.certificate_verification TO app_user;
GRANT SELECT ON courses.certificate_verification TO app_readonly;

CREATE TRIGGER certificate_verification_append_only
    BEFORE UPDATE OR DELETE ON courses.certificate_verification
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('courses.certificate_verification');

CREATE TABLE courses.certificate_verification_default
    PARTITION OF courses.certificate_verification DEFAULT;
ALTER TABLE courses.certificate_verification_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.certificate_verification_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('courses.certificate_verification', 'month',
                                     behind => 13, ahead => 3);

CREATE FUNCTION courses.certificate_standing(
    certificate courses.issued_certificate,
    on_date     date DEFAULT current_date
) RETURNS text
    LANGUAGE sql STABLE
    RETURN CASE
        WHEN certificate.signature <> courses.certificate_hash(certificate)
             OR certificate.verification_code
                <> courses.certificate_code(certificate.signature) THEN 'tampered'
        WHEN certificate.status = 'revoked' THEN 'revoked'
        WHEN certificate.status <> 'valid' OR certificate.expires_on < on_date THEN 'expired'
        ELSE 'valid' END;
COMMENT ON FUNCTION courses.certificate_standing(courses.issued_certificate, date) IS
    'What an employer is told of a certificate: its hash is computed anew from what it says. One
     that a renewal superseded has expired.';

CREATE FUNCTION courses.verify_certificate(
    code    text,
    channel text DEFAULT 'web_page',
    country text DEFAULT NULL,
    address inet DEFAULT NULL,
    agent   text DEFAULT NULL,
    moment  timestamptz DEFAULT now()
) RETURNS TABLE (result text, certificate_number text, title text, issued_on date, expires_on date)
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    typed  CONSTANT text := regexp_replace(upper(code), '[^0-9A-F]', '', 'g');
    began  CONSTANT timestamptz := clock_timestamp();
    found_one courses.issued_certificate;
    told   text := 'not_found';
BEGIN
    -- A mistyped code is none; it is not looked for.
    IF length(typed) = 16 AND right(typed, 1) = courses.check_digit(left(typed, 15)) THEN
        SELECT c.* INTO found_one
        FROM courses.issued_certificate AS c
        WHERE c.business_id = tenant
          AND c.verification_code = regexp_replace(typed, '(.{4})(?=.)', '\1-', 'g');
        IF FOUND THEN
            told := courses.certificate_standing(found_one, moment::date);
        END IF;
    END IF;
    INSERT INTO courses.certificate_verification
        (business_id, issued_certificate_id, verified_at, code_entered_hash, result, channel,
         verifier_country, ip_address, user_agent, latency_ms)
    VALUES (tenant, found_one.issued_certificate_id, moment,
            sha256(convert_to(coalesce(typed, ''), 'UTF8')), told, verify_certificate.channel,
            country, address, agent,
            round((extract(epoch FROM clock_timestamp() - began) * 1000)::numeric, 3));
    RETURN QUERY SELECT told, found_one.certificate_number, found_one.title, found_one.issued_on,
                        found_one.expires_on;
END
$$;
COMMENT ON FUNCTION courses.verify_certificate(text, text, text, inet, text, timestamptz) IS
    'What a code is worth: valid, expired, revoked, tampered, or not_found. Case and hyphens do not
     matter. Whoever asked is noted.';


CREATE TABLE courses.continuing_education_credit (
    business_id                    uuid          NOT NULL,
    continuing_education_credit_id uuid          NOT NULL DEFAULT system_core.uuid_v7(),
    learner_id                     uuid          NOT NULL,
    enrollment_id uuid,
    certification_attainment_id uuid,
    proof_file_object_id uuid,
    reviewed_by uuid,
    credit_kind                    text          NOT NULL,
    hours                          numeric(9, 2) NOT NULL,
    credits                        numeric(9, 2) NOT NULL,
    earned_on                      date          NOT NULL,
    provider_name                  text          NOT NULL,
    activity_title                 text          NOT NULL,
    category text,
    status                         text          NOT NULL DEFAULT 'claimed',
    valid_until date,
    rejection_reason text,
    created_at                     timestamptz   NOT NULL DEFAULT now(),
    updated_at                     timestamptz   NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, continuing_education_credit_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    FOREIGN KEY (business_id, certification_attainment_id)
        REFERENCES courses.certification_attainment (business_id, certification_attainment_id),
    FOREIGN KEY (business_id, proof_file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, reviewed_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT continuing_education_credit_kind_known
        CHECK (credit_kind IN ('ceu', 'cpe', 'cme', 'pdu', 'clock_hour')),
    CONSTRAINT continuing_education_credit_status_known
        CHECK (status IN ('auto_granted', 'claimed', 'approved', 'rejected', 'expired')),
    CONSTRAINT continuing_education_credit_positive CHECK (credits > 0 AND hours > 0),
    CONSTRAINT continuing_education_credit_ceu_is_ten_hours
        CHECK (CASE credit_kind WHEN 'ceu' THEN hours = credits * 10
                                WHEN 'clock_hour' THEN hours = credits END),
    CONSTRAINT continuing_education_credit_claim_has_proof
        CHECK (status NOT IN ('claimed', 'approved') OR proof_file_object_id IS NOT NULL),
    CONSTRAINT continuing_education_credit_granted_for_a_course
        CHECK (status <> 'auto_granted' OR enrollment_id IS NOT NULL),
    CONSTRAINT continuing_education_credit_approved_by_a_person
        CHECK (status NOT IN ('approved', 'rejected') OR reviewed_by IS NOT NULL),
    CONSTRAINT continuing_education_credit_rejected_for_a_reason
        CHECK ((status = 'rejected') = (coalesce(rejection_reason, '') ~ '\S')),
    CONSTRAINT continuing_education_credit_valid_after_earned CHECK (valid_until >= earned_on)
);

COMMENT ON TABLE courses.continuing_education_credit IS 'CEU, CPE or CME credit earned or claimed.';
COMMENT ON COLUMN courses.continuing_education_credit.credits IS
    'One CEU is ten contact hours; what an hour of the others is worth, their bodies say.';
COMMENT ON COLUMN courses.continuing_education_credit.certification_attainment_id IS
    'The cycle that it counts toward; NULL: not used yet.';

-- What a learner did counts once toward an attainment; also its foreign key.
CREATE UNIQUE INDEX continuing_education_credit_once_idx
    ON courses.continuing_education_credit
       (business_id, certification_attainment_id, activity_title, earned_on)
    WHERE certification_attainment_id IS NOT NULL AND status <> 'rejected';

-- And so does a course.
CREATE UNIQUE INDEX continuing_education_credit_course_once_idx
    ON courses.continuing_education_credit
       (business_id, certification_attainment_id, enrollment_id)
    WHERE certification_attainment_id IS NOT NULL AND enrollment_id IS NOT NULL
      AND status <> 'rejected';

-- FK: the credits of a learner, the latest first.
CREATE INDEX continuing_education_credit_learner_idx
    ON courses.continuing_education_credit (business_id, learner_id, earned_on DESC);

-- FK: the credits toward an attainment, whatever became of them.
CREATE INDEX continuing_education_credit_attainment_idx
    ON courses.continuing_education_credit (business_id, certification_attainment_id)
    WHERE certification_attainment_id IS NOT NULL;

-- FK: the credits of a course that was taken.
CREATE INDEX continuing_education_credit_enrollment_idx
    ON courses.continuing_education_credit (business_id, enrollment_id)
    WHERE enrollment_id IS NOT NULL;

-- FK: what a file proves.
CREATE INDEX continuing_education_credit_proof_idx
    ON courses.continuing_education_credit (business_id, proof_file_object_id)
    WHERE proof_file_object_id IS NOT NULL;

-- FK: what somebody reviewed.
CREATE INDEX continuing_education_credit_reviewed_by_idx
    ON courses.continuing_education_credit (business_id, reviewed_by)
    WHERE reviewed_by IS NOT NULL;

ALTER TABLE courses.continuing_education_credit ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.continuing_education_credit
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.continuing_education_credit TO app_user;
GRANT SELECT ON courses.continuing_education_credit TO app_readonly;

CREATE TRIGGER continuing_education_credit_touch
    BEFORE UPDATE ON courses.continuing_education_credit
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION courses.check_credit() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM courses.enrollment AS e
               WHERE e.business_id = NEW.business_id AND e.enrollment_id = NEW.enrollment_id
                 AND (e.learner_id <> NEW.learner_id
                      OR (NEW.status = 'auto_granted' AND e.status <> 'completed')))
       OR EXISTS (SELECT FROM courses.certification_attainment AS a
                  WHERE a.business_id = NEW.business_id
                    AND a.certification_attainment_id = NEW.certification_attainment_id
                    AND a.learner_id <> NEW.learner_id) THEN
        RAISE EXCEPTION 'credit for % is of somebody else, or of a course that is not completed',
                        NEW.activity_title
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.check_credit() IS
    'A credit, its course and what it counts toward are one learner''s.';

CREATE TRIGGER continuing_education_credit_own
    BEFORE INSERT OR UPDATE OF learner_id, enrollment_id, certification_attainment_id, status
    ON courses.continuing_education_credit
    FOR EACH ROW EXECUTE FUNCTION courses.check_credit();


CREATE TABLE courses.external_credential (
    business_id            uuid                 NOT NULL,
    external_credential_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    learner_id             uuid                 NOT NULL,
    exempts_course_id uuid,
    file_object_id uuid,
    verified_by uuid,
    credential_kind        text                 NOT NULL,
    title                  text                 NOT NULL,
    issuer                 text                 NOT NULL,
    issued_on              date                 NOT NULL,
    expires_on date,
    identifier text,
    verification           text                 NOT NULL DEFAULT 'unverified',
    verified_at timestamptz,
    credits_granted        system_core.quantity NOT NULL DEFAULT 0,
    evaluation_note text,
    created_at             timestamptz          NOT NULL DEFAULT now(),
    updated_at             timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, external_credential_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, exempts_course_id)
        REFERENCES courses.course (business_id, course_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, verified_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT external_credential_kind_known
        CHECK (credential_kind IN ('license', 'degree', 'certificate', 'transcript',
                                   'work_experience')),
    CONSTRAINT external_credential_verification_known
        CHECK (verification IN ('unverified', 'document', 'issuer_confirmed', 'rejected')),
    CONSTRAINT external_credential_expires_after_issue CHECK (expires_on > issued_on),
    CONSTRAINT external_credential_confirmed_has_time
        CHECK (verification <> 'issuer_confirmed' OR verified_at IS NOT NULL),
    CONSTRAINT external_credential_credits_not_negative CHECK (credits_granted >= 0),
    CONSTRAINT external_credential_counts_once_verified
        CHECK (verification IN ('document', 'issuer_confirmed')
               OR (credits_granted = 0 AND exempts_course_id IS NULL))
);

COMMENT ON TABLE courses.external_credential IS
    'License, degree or prior learning brought by a learner.';
COMMENT ON COLUMN courses.external_credential.credits_granted IS
    'Credit hours; of work_experience, the hours that count as experience.';

-- FK: what a learner brings.
CREATE INDEX external_credential_learner_idx
    ON courses.external_credential (business_id, learner_id);

-- FK: who is spared a course.
CREATE INDEX external_credential_exempts_course_idx
    ON courses.external_credential (business_id, exempts_course_id)
    WHERE exempts_course_id IS NOT NULL;

-- FK: what a file proves.
CREATE INDEX external_credential_file_idx
    ON courses.external_credential (business_id, file_object_id)
    WHERE file_object_id IS NOT NULL;

-- FK: what somebody verified.
CREATE INDEX external_credential_verified_by_idx
    ON courses.external_credential (business_id, verified_by)
    WHERE verified_by IS NOT NULL;

ALTER TABLE courses.external_credential ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.external_credential
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.external_credential TO app_user;
GRANT SELECT ON courses.external_credential TO app_readonly;

CREATE TRIGGER external_credential_touch
    BEFORE UPDATE ON courses.external_credential
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
