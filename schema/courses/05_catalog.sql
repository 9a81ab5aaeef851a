/*
 * TODO: what the area is and how its tables relate.
 *
 * Visitors and curriculum staff: subjects, courses, outcomes, programs, instructors, scheduled
 * sections and reviews.
 */

CREATE SCHEMA courses;
GRANT USAGE ON SCHEMA courses TO app_user, app_readonly;
COMMENT ON SCHEMA courses IS
    'A school online: catalog, content, enrollment, assessment, grades, certificates, retention.';


CREATE TABLE courses.subject_area (
    business_id            uuid             NOT NULL,
    subject_area_id        uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    parent_subject_area_id uuid,
    code                   system_core.code NOT NULL,
    name                   text             NOT NULL,
    slug                   system_core.slug,
    path                   text,
    description            text,
    icon                   text,
    sort_order             integer,
    is_active              boolean          NOT NULL DEFAULT false,
    created_at             timestamptz      NOT NULL DEFAULT now(),
    updated_at             timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, subject_area_id),
    UNIQUE (business_id, slug),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, parent_subject_area_id)
        REFERENCES courses.subject_area (business_id, subject_area_id)
);

COMMENT ON TABLE courses.subject_area IS 'Topic tree of the catalog.';
-- RULE no cycles (trigger on path)
-- RULE depth at most 4

-- FK: the subject areas of a subject area.
CREATE INDEX subject_area_parent_subject_area_idx
    ON courses.subject_area (business_id, parent_subject_area_id)
    WHERE parent_subject_area_id IS NOT NULL;

ALTER TABLE courses.subject_area ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.subject_area
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.subject_area TO app_user;
GRANT SELECT ON courses.subject_area TO app_readonly;

CREATE TRIGGER subject_area_touch
    BEFORE UPDATE ON courses.subject_area
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.instructor (
    business_id           uuid                   NOT NULL,
    instructor_id         uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    photo_file_object_id  uuid,
    user_account_id       uuid                   NOT NULL,
    display_name          text,
    headline              text,
    biography             text,
    expertise_tags        text[]                 NOT NULL DEFAULT '{}',
    engagement            text                   NOT NULL,
    revenue_share_pct     system_core.percentage,
    hourly_rate_amount    system_core.money,
    average_rating        system_core.quantity,
    response_hours_median system_core.quantity,
    weekly_capacity_hours numeric(9, 2),
    status                text                   NOT NULL DEFAULT 'active',
    verified_at           timestamptz,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, instructor_id),
    UNIQUE (business_id, user_account_id),
    FOREIGN KEY (business_id, photo_file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT instructor_engagement_known
        CHECK (engagement IN ('employee', 'contractor', 'volunteer', 'guest')),
    CONSTRAINT instructor_status_known CHECK (status IN ('active', 'on_leave', 'ended')),
    CONSTRAINT instructor_revenue_share_pct_bounded CHECK (revenue_share_pct BETWEEN 0 AND 100),
    CONSTRAINT instructor_average_rating_bounded CHECK (average_rating BETWEEN 1 AND 5)
);

COMMENT ON TABLE courses.instructor IS 'Person who teaches, with profile, pay terms and rating.';

-- FK: the instructors of a file object.
CREATE INDEX instructor_photo_file_object_idx
    ON courses.instructor (business_id, photo_file_object_id)
    WHERE photo_file_object_id IS NOT NULL;

ALTER TABLE courses.instructor ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.instructor
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.instructor TO app_user;
GRANT SELECT ON courses.instructor TO app_readonly;

CREATE TRIGGER instructor_touch
    BEFORE UPDATE ON courses.instructor
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.course (
    business_id           uuid                 NOT NULL,
    course_id             uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    owner_user_account_id uuid                 NOT NULL,
    cover_file_object_id  uuid,
    subject_area_id       uuid                 NOT NULL,
    course_code           system_core.code,
    title                 text                 NOT NULL,
    slug                  system_core.slug,
    summary               text,
    description_html      text,
    delivery              text                 NOT NULL,
    level                 text                 NOT NULL,
    language_code         system_core.code,
    duration_minutes      integer,
    credit_hours          numeric(9, 2),
    version_no            integer,
    status                text                 NOT NULL DEFAULT 'draft',
    published_at          timestamptz,
    enrollment_count      integer,
    average_rating        system_core.quantity,
    is_free               boolean              NOT NULL DEFAULT false,
    created_at            timestamptz          NOT NULL DEFAULT now(),
    updated_at            timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, course_id),
    UNIQUE (business_id, course_code, version_no),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, cover_file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, subject_area_id)
        REFERENCES courses.subject_area (business_id, subject_area_id),
    CONSTRAINT course_delivery_known
        CHECK (delivery IN ('self_paced', 'instructor_led', 'blended', 'cohort')),
    CONSTRAINT course_level_known
        CHECK (level IN ('beginner', 'intermediate', 'advanced', 'expert')),
    CONSTRAINT course_status_known
        CHECK (status IN ('draft', 'in_review', 'published', 'archived')),
    CONSTRAINT course_average_rating_bounded CHECK (average_rating BETWEEN 1 AND 5)
);

COMMENT ON TABLE courses.course IS 'Course as designed, apart from when it runs.';
-- RULE unique (business_id, slug) where status = 'published'
-- RULE published needs a module and an outcome (trigger)

-- FK: the courses of a user account.
CREATE INDEX course_owner_user_account_idx
    ON courses.course (business_id, owner_user_account_id);

-- FK: the courses of a file object.
CREATE INDEX course_cover_file_object_idx
    ON courses.course (business_id, cover_file_object_id)
    WHERE cover_file_object_id IS NOT NULL;

-- FK: the courses of a subject area.
CREATE INDEX course_subject_area_idx
    ON courses.course (business_id, subject_area_id);

ALTER TABLE courses.course ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.course
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.course TO app_user;
GRANT SELECT ON courses.course TO app_readonly;

CREATE TRIGGER course_touch
    BEFORE UPDATE ON courses.course
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.learning_outcome (
    business_id           uuid                   NOT NULL,
    learning_outcome_id   uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    parent_outcome_id     uuid,
    subject_area_id       uuid,
    code                  system_core.code       NOT NULL,
    statement             text,
    bloom_level           text                   NOT NULL,
    framework_code        system_core.code,
    external_uri          text,
    mastery_threshold_pct system_core.percentage,
    calculation           text                   NOT NULL,
    decay_pct             system_core.percentage,
    n_required            integer,
    is_skill              boolean                NOT NULL DEFAULT false,
    is_active             boolean                NOT NULL DEFAULT false,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, learning_outcome_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, parent_outcome_id)
        REFERENCES courses.learning_outcome (business_id, learning_outcome_id),
    FOREIGN KEY (business_id, subject_area_id)
        REFERENCES courses.subject_area (business_id, subject_area_id),
    CONSTRAINT learning_outcome_bloom_level_known
        CHECK (bloom_level IN ('remember', 'understand', 'apply', 'analyze', 'evaluate',
               'create')),
    CONSTRAINT learning_outcome_calculation_known
        CHECK (calculation IN ('highest', 'latest', 'average', 'decaying_average', 'n_times')),
    CONSTRAINT learning_outcome_mastery_threshold_pct_bounded
        CHECK (mastery_threshold_pct BETWEEN 1 AND 100),
    CONSTRAINT learning_outcome_n_required_bounded CHECK (n_required BETWEEN 1 AND 10)
);

COMMENT ON TABLE courses.learning_outcome IS
    'Statement of what a learner can do, in a hierarchy, with mastery rule.';
-- RULE decay_pct is not null for decaying_average

-- FK: the learning outcomes of a learning outcome.
CREATE INDEX learning_outcome_parent_outcome_idx
    ON courses.learning_outcome (business_id, parent_outcome_id)
    WHERE parent_outcome_id IS NOT NULL;

-- FK: the learning outcomes of a subject area.
CREATE INDEX learning_outcome_subject_area_idx
    ON courses.learning_outcome (business_id, subject_area_id)
    WHERE subject_area_id IS NOT NULL;

ALTER TABLE courses.learning_outcome ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.learning_outcome
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.learning_outcome TO app_user;
GRANT SELECT ON courses.learning_outcome TO app_readonly;

CREATE TRIGGER learning_outcome_touch
    BEFORE UPDATE ON courses.learning_outcome
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.program (
    business_id              uuid                 NOT NULL,
    program_id               uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    director_user_account_id uuid,
    subject_area_id          uuid,
    program_code             system_core.code,
    title                    text                 NOT NULL,
    program_kind             text                 NOT NULL,
    description              text,
    minimum_credits          numeric(9, 2),
    minimum_gpa              system_core.quantity,
    enforce_order            boolean              NOT NULL DEFAULT false,
    max_duration_months      integer,
    status                   text                 NOT NULL DEFAULT 'draft',
    catalog_year             integer,
    enrollment_count         integer,
    created_at               timestamptz          NOT NULL DEFAULT now(),
    updated_at               timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, program_id),
    UNIQUE (business_id, program_code, catalog_year),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, director_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, subject_area_id)
        REFERENCES courses.subject_area (business_id, subject_area_id),
    CONSTRAINT program_program_kind_known
        CHECK (program_kind IN ('certificate', 'diploma', 'degree', 'learning_path', 'onboarding',
               'compliance')),
    CONSTRAINT program_status_known
        CHECK (status IN ('draft', 'published', 'suspended', 'archived')),
    CONSTRAINT program_minimum_credits_not_negative CHECK (minimum_credits >= 0),
    CONSTRAINT program_minimum_gpa_bounded CHECK (minimum_gpa BETWEEN 0 AND 4)
);

COMMENT ON TABLE courses.program IS 'Degree, track or learning path made of courses.';

-- FK: the programs of a user account.
CREATE INDEX program_director_user_account_idx
    ON courses.program (business_id, director_user_account_id)
    WHERE director_user_account_id IS NOT NULL;

-- FK: the programs of a subject area.
CREATE INDEX program_subject_area_idx
    ON courses.program (business_id, subject_area_id)
    WHERE subject_area_id IS NOT NULL;

ALTER TABLE courses.program ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.program
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.program TO app_user;
GRANT SELECT ON courses.program TO app_readonly;

CREATE TRIGGER program_touch
    BEFORE UPDATE ON courses.program
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.course_prerequisite (
    business_id            uuid                   NOT NULL,
    course_prerequisite_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    required_course_id     uuid,
    course_id              uuid                   NOT NULL,
    certification_id       uuid,
    requirement_kind       text                   NOT NULL,
    minimum_grade_pct      system_core.percentage,
    group_no               integer,
    is_corequisite         boolean                NOT NULL DEFAULT false,
    waivable               boolean                NOT NULL DEFAULT false,
    validity_months        integer,
    note                   text,
    created_at             timestamptz            NOT NULL DEFAULT now(),
    updated_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, course_prerequisite_id),
    FOREIGN KEY (business_id, required_course_id)
        REFERENCES courses.course (business_id, course_id),
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    CONSTRAINT course_prerequisite_requirement_kind_known
        CHECK (requirement_kind IN ('course_completed', 'certification_held', 'minimum_grade',
               'placement_test', 'instructor_consent'))
);

COMMENT ON TABLE courses.course_prerequisite IS
    'What must be done before a course: course, certificate, or test.';
-- RULE a course is not its own prerequisite
-- RULE no cycles (trigger)
-- RULE group members are alternatives
-- RULE minimum_grade_pct is not null for minimum_grade

-- FK: the course prerequisites of a course.
CREATE INDEX course_prerequisite_required_course_idx
    ON courses.course_prerequisite (business_id, required_course_id)
    WHERE required_course_id IS NOT NULL;

-- FK: the course prerequisites of a course.
CREATE INDEX course_prerequisite_course_idx
    ON courses.course_prerequisite (business_id, course_id);

-- FK: the course prerequisites of a certification.
CREATE INDEX course_prerequisite_certification_idx
    ON courses.course_prerequisite (business_id, certification_id)
    WHERE certification_id IS NOT NULL;

ALTER TABLE courses.course_prerequisite ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.course_prerequisite
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.course_prerequisite TO app_user;
GRANT SELECT ON courses.course_prerequisite TO app_readonly;

CREATE TRIGGER course_prerequisite_touch
    BEFORE UPDATE ON courses.course_prerequisite
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.course_section (
    business_id          uuid                  NOT NULL,
    course_section_id    uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    course_id            uuid                  NOT NULL,
    business_location_id uuid,
    grading_scheme_id    uuid,
    section_code         system_core.code,
    title                text                  NOT NULL,
    delivery             text                  NOT NULL,
    starts_on            date                  NOT NULL,
    ends_on              date                  NOT NULL,
    enrollment_opens_on  date,
    enrollment_closes_on date,
    add_drop_until       date,
    seat_limit           integer,
    enrolled_count       integer,
    waitlist_limit       integer,
    time_zone            system_core.time_zone,
    status               text                  NOT NULL DEFAULT 'planned',
    cancellation_minimum integer,
    created_at           timestamptz           NOT NULL DEFAULT now(),
    updated_at           timestamptz           NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, course_section_id),
    UNIQUE (business_id, section_code),
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    FOREIGN KEY (business_id, business_location_id)
        REFERENCES tenant_mgmt.business_location (business_id, business_location_id),
    CONSTRAINT course_section_delivery_known
        CHECK (delivery IN ('self_paced', 'live_online', 'classroom', 'blended')),
    CONSTRAINT course_section_status_known
        CHECK (status IN ('planned', 'open', 'full', 'running', 'completed', 'cancelled')),
    CONSTRAINT course_section_enrollment_opens_on_enrollment_closes_on
        CHECK (enrollment_opens_on <= enrollment_closes_on AND enrollment_closes_on <= ends_on),
    CONSTRAINT course_section_enrolled_count_bounded
        CHECK (enrolled_count BETWEEN 0 AND seat_limit)
);

COMMENT ON TABLE courses.course_section IS 'Scheduled run of a course: dates, seats, room, pacing.';
-- RULE ends_on > starts_on except self_paced

-- FK: the course sections of a course.
CREATE INDEX course_section_course_idx
    ON courses.course_section (business_id, course_id);

-- FK: the course sections of a business location.
CREATE INDEX course_section_business_location_idx
    ON courses.course_section (business_id, business_location_id)
    WHERE business_location_id IS NOT NULL;

-- FK: the course sections of a grading scheme.
CREATE INDEX course_section_grading_scheme_idx
    ON courses.course_section (business_id, grading_scheme_id)
    WHERE grading_scheme_id IS NOT NULL;

ALTER TABLE courses.course_section ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.course_section
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.course_section TO app_user;
GRANT SELECT ON courses.course_section TO app_readonly;

CREATE TRIGGER course_section_touch
    BEFORE UPDATE ON courses.course_section
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER course_section_state_machine
    BEFORE INSERT OR UPDATE OF status ON courses.course_section
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["planned"],
        "transitions": {
            "planned":   ["open", "cancelled"],
            "open":      ["full", "running", "cancelled"],
            "full":      ["open", "running", "cancelled"],
            "running":   ["completed", "cancelled"],
            "completed": [],
            "cancelled": []
        }}');


CREATE TABLE courses.course_review (
    business_id       uuid        NOT NULL,
    course_review_id  uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    moderated_by      uuid,
    course_id         uuid        NOT NULL,
    enrollment_id     uuid        NOT NULL,
    rating            integer,
    title             text        NOT NULL,
    body              text,
    content_rating    integer,
    instructor_rating integer,
    difficulty_rating integer,
    submitted_at      timestamptz,
    status            text        NOT NULL DEFAULT 'pending',
    helpful_count     integer,
    reply_text        text,
    replied_at        timestamptz,
    moderated_at      timestamptz,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, course_review_id),
    UNIQUE (business_id, enrollment_id),
    FOREIGN KEY (business_id, moderated_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    CONSTRAINT course_review_status_known
        CHECK (status IN ('pending', 'published', 'hidden', 'flagged')),
    CONSTRAINT course_review_rating_bounded
        CHECK (rating BETWEEN 1 AND 5 AND content_rating BETWEEN 1 AND 5 AND instructor_rating
               BETWEEN 1 AND 5 AND difficulty_rating BETWEEN 1 AND 5),
    CONSTRAINT course_review_replied_at_not_before_submitted_at CHECK (replied_at >= submitted_at)
);

COMMENT ON TABLE courses.course_review IS 'Rating and text of a learner who took part.';
-- RULE only after 25 percent progress (trigger)

-- FK: the course reviews of a user account.
CREATE INDEX course_review_moderated_by_idx
    ON courses.course_review (business_id, moderated_by)
    WHERE moderated_by IS NOT NULL;

-- FK: the course reviews of a course.
CREATE INDEX course_review_course_idx
    ON courses.course_review (business_id, course_id);

ALTER TABLE courses.course_review ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.course_review
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.course_review TO app_user;
GRANT SELECT ON courses.course_review TO app_readonly;

CREATE TRIGGER course_review_touch
    BEFORE UPDATE ON courses.course_review
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.course_outcome (
    business_id                uuid                   NOT NULL,
    course_outcome_id          uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    course_id                  uuid                   NOT NULL,
    learning_outcome_id        uuid                   NOT NULL,
    coverage                   text                   NOT NULL,
    weight_pct                 system_core.percentage,
    sort_order                 integer,
    evidence_minimum           integer,
    is_required_for_completion boolean                NOT NULL DEFAULT false,
    added_in_version           integer,
    note                       text,
    created_at                 timestamptz            NOT NULL DEFAULT now(),
    updated_at                 timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, course_outcome_id),
    UNIQUE (business_id, course_id, learning_outcome_id),
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    FOREIGN KEY (business_id, learning_outcome_id)
        REFERENCES courses.learning_outcome (business_id, learning_outcome_id),
    CONSTRAINT course_outcome_coverage_known
        CHECK (coverage IN ('introduced', 'reinforced', 'mastered', 'assessed')),
    CONSTRAINT course_outcome_weight_pct_bounded CHECK (weight_pct BETWEEN 0 AND 100)
);

COMMENT ON TABLE courses.course_outcome IS 'Outcome taught or assessed by a course.';
-- RULE evidence_minimum >= 1 when assessed

-- FK: the course outcomes of a learning outcome.
CREATE INDEX course_outcome_learning_outcome_idx
    ON courses.course_outcome (business_id, learning_outcome_id);

ALTER TABLE courses.course_outcome ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.course_outcome
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.course_outcome TO app_user;
GRANT SELECT ON courses.course_outcome TO app_readonly;

CREATE TRIGGER course_outcome_touch
    BEFORE UPDATE ON courses.course_outcome
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.program_requirement (
    business_id            uuid                   NOT NULL,
    program_requirement_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    parent_requirement_id  uuid,
    program_id             uuid                   NOT NULL,
    course_id              uuid,
    certification_id       uuid,
    requirement_kind       text                   NOT NULL,
    title                  text                   NOT NULL,
    sort_order             integer,
    choose_count           integer,
    minimum_credits        numeric(9, 2),
    minimum_grade_pct      system_core.percentage,
    recommended_term       text,
    is_optional            boolean                NOT NULL DEFAULT false,
    created_at             timestamptz            NOT NULL DEFAULT now(),
    updated_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, program_requirement_id),
    FOREIGN KEY (business_id, parent_requirement_id)
        REFERENCES courses.program_requirement (business_id, program_requirement_id),
    FOREIGN KEY (business_id, program_id) REFERENCES courses.program (business_id, program_id),
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    CONSTRAINT program_requirement_requirement_kind_known
        CHECK (requirement_kind IN ('group', 'course', 'choose_n', 'credits', 'capstone',
               'certification'))
);

COMMENT ON TABLE courses.program_requirement IS
    'Required, elective or milestone element of a program.';
-- RULE course kinds have a course_id
-- RULE choose_count is not null for choose_n
-- RULE parent belongs to the same program (trigger)

-- FK: the program requirements of a program requirement.
CREATE INDEX program_requirement_parent_requirement_idx
    ON courses.program_requirement (business_id, parent_requirement_id)
    WHERE parent_requirement_id IS NOT NULL;

-- FK: the program requirements of a program.
CREATE INDEX program_requirement_program_idx
    ON courses.program_requirement (business_id, program_id);

-- FK: the program requirements of a course.
CREATE INDEX program_requirement_course_idx
    ON courses.program_requirement (business_id, course_id)
    WHERE course_id IS NOT NULL;

-- FK: the program requirements of a certification.
CREATE INDEX program_requirement_certification_idx
    ON courses.program_requirement (business_id, certification_id)
    WHERE certification_id IS NOT NULL;

ALTER TABLE courses.program_requirement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.program_requirement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.program_requirement TO app_user;
GRANT SELECT ON courses.program_requirement TO app_readonly;

CREATE TRIGGER program_requirement_touch
    BEFORE UPDATE ON courses.program_requirement
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.section_instructor (
    business_id           uuid                   NOT NULL,
    section_instructor_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    course_section_id     uuid                   NOT NULL,
    instructor_id         uuid                   NOT NULL,
    role                  text                   NOT NULL,
    load_pct              system_core.percentage,
    pay_basis             text                   NOT NULL,
    pay_amount            system_core.money,
    can_grade             boolean                NOT NULL DEFAULT false,
    can_edit_content      boolean                NOT NULL DEFAULT false,
    assigned_from         date,
    assigned_until        date,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, section_instructor_id),
    UNIQUE (business_id, course_section_id, instructor_id, role),
    FOREIGN KEY (business_id, course_section_id)
        REFERENCES courses.course_section (business_id, course_section_id),
    FOREIGN KEY (business_id, instructor_id)
        REFERENCES courses.instructor (business_id, instructor_id),
    CONSTRAINT section_instructor_role_known
        CHECK (role IN ('lead', 'co_teacher', 'teaching_assistant', 'grader', 'guest')),
    CONSTRAINT section_instructor_pay_basis_known
        CHECK (pay_basis IN ('none', 'flat', 'hourly', 'revenue_share')),
    CONSTRAINT section_instructor_load_pct_bounded CHECK (load_pct BETWEEN 1 AND 100)
);

COMMENT ON TABLE courses.section_instructor IS
    'Instructor or assistant on a section with load and rights.';
-- RULE one lead per section (partial unique)

-- FK: the section instructors of a instructor.
CREATE INDEX section_instructor_instructor_idx
    ON courses.section_instructor (business_id, instructor_id);

ALTER TABLE courses.section_instructor ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.section_instructor
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.section_instructor TO app_user;
GRANT SELECT ON courses.section_instructor TO app_readonly;

CREATE TRIGGER section_instructor_touch
    BEFORE UPDATE ON courses.section_instructor
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
