/*
 * The catalog of a school: what is taught, to what end, and what comes before what.
 *
 * A subject_area is a topic in a tree of at most four levels; a course lies in one. A course is a
 * design in a version, apart from when it runs: learning_outcomes say what a learner can do
 * afterwards, a course_outcome how far the course takes one. A course_prerequisite asks for
 * something first: rows of one group_no are alternatives, groups add up, and no chain of them
 * leads back to its start. A program bundles courses into a tree of program_requirements. An
 * instructor is a person who teaches, with what the school agreed to pay.
 *
 * Sections (07_sections) are when and by whom a course is taught; enrollments (15_enrollment) who
 * takes part.
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
    slug                   system_core.slug NOT NULL,
    path                   text             NOT NULL,
    description            text,
    icon                   text,
    sort_order             integer          NOT NULL DEFAULT 0,
    is_active              boolean          NOT NULL DEFAULT true,
    created_at             timestamptz      NOT NULL DEFAULT now(),
    updated_at             timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, subject_area_id),
    UNIQUE (business_id, slug),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, parent_subject_area_id)
        REFERENCES courses.subject_area (business_id, subject_area_id),
    CONSTRAINT subject_area_at_most_four_levels
        CHECK (cardinality(string_to_array(path, '/')) <= 4),
    CONSTRAINT subject_area_not_its_own_parent CHECK (parent_subject_area_id <> subject_area_id)
);

COMMENT ON TABLE courses.subject_area IS 'Topic of the catalog, in a tree.';
COMMENT ON COLUMN courses.subject_area.path IS
    'The slugs from the top to here, such as technology/data/databases; derived.';

-- FK: the topics within a topic, in the order that the catalog shows.
CREATE INDEX subject_area_children_idx
    ON courses.subject_area (business_id, parent_subject_area_id, sort_order);

-- Everything below a topic: a prefix of its path.
CREATE INDEX subject_area_path_idx
    ON courses.subject_area (business_id, path text_pattern_ops);

ALTER TABLE courses.subject_area ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.subject_area
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.subject_area TO app_user;
GRANT SELECT ON courses.subject_area TO app_readonly;

CREATE FUNCTION courses.place_subject_area() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    above text;
BEGIN
    IF NEW.parent_subject_area_id IS NULL THEN
        NEW.path := NEW.slug;
        RETURN NEW;
    END IF;
    -- Shared: the parent stays where it is until this is committed.
    SELECT s.path INTO above
    FROM courses.subject_area AS s
    WHERE s.business_id = NEW.business_id AND s.subject_area_id = NEW.parent_subject_area_id
    FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'topic %: its parent does not exist', NEW.slug
            USING ERRCODE = 'foreign_key_violation', HINT = 'Insert a topic after its parent.';
    END IF;
    IF TG_OP = 'UPDATE' AND starts_with(above || '/', OLD.path || '/') THEN
        RAISE EXCEPTION 'topic % cannot move into %, which lies within it', OLD.path, above
            USING ERRCODE = 'check_violation';
    END IF;
    NEW.path := above || '/' || NEW.slug;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.place_subject_area() IS
    'Derives the path of a topic from its parent; a topic never lies within itself.';

CREATE FUNCTION courses.move_subject_areas_below() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE courses.subject_area AS s
    SET path = NEW.path || substr(s.path, length(OLD.path) + 1)
    WHERE s.business_id = NEW.business_id AND starts_with(s.path, OLD.path || '/');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.move_subject_areas_below() IS
    'Carries along everything below a topic that was renamed or moved.';

CREATE TRIGGER subject_area_touch
    BEFORE UPDATE ON courses.subject_area
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER subject_area_place
    BEFORE INSERT OR UPDATE OF parent_subject_area_id, slug ON courses.subject_area
    FOR EACH ROW EXECUTE FUNCTION courses.place_subject_area();

CREATE TRIGGER subject_area_move_below
    AFTER UPDATE OF parent_subject_area_id, slug ON courses.subject_area
    FOR EACH ROW WHEN (OLD.path <> NEW.path)
    EXECUTE FUNCTION courses.move_subject_areas_below();


CREATE TABLE courses.instructor (
    business_id           uuid                    NOT NULL,
    instructor_id         uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id       uuid                    NOT NULL,
    photo_file_object_id  uuid,
    display_name          system_core.person_name NOT NULL,
    headline              text,
    biography             text,
    expertise_tags        text[]                  NOT NULL DEFAULT '{}',
    engagement            text                    NOT NULL,
    revenue_share_pct     system_core.percentage  NOT NULL DEFAULT 0,
    hourly_rate_amount    system_core.money,
    average_rating        numeric(4, 2),
    response_hours_median numeric(9, 2),
    weekly_capacity_hours numeric(9, 2),
    status                text                    NOT NULL DEFAULT 'active',
    verified_at           timestamptz,
    created_at            timestamptz             NOT NULL DEFAULT now(),
    updated_at            timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, instructor_id),
    UNIQUE (business_id, user_account_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, photo_file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT instructor_engagement_known
        CHECK (engagement IN ('employee', 'contractor', 'volunteer', 'guest')),
    CONSTRAINT instructor_status_known CHECK (status IN ('active', 'on_leave', 'ended')),
    CONSTRAINT instructor_share_is_a_part CHECK (revenue_share_pct BETWEEN 0 AND 100),
    CONSTRAINT instructor_volunteers_unpaid
        CHECK (engagement <> 'volunteer'
               OR (revenue_share_pct = 0 AND coalesce(hourly_rate_amount, 0) = 0)),
    CONSTRAINT instructor_rating_has_five_stars CHECK (average_rating BETWEEN 1 AND 5),
    CONSTRAINT instructor_terms_not_negative
        CHECK (hourly_rate_amount >= 0 AND response_hours_median >= 0),
    CONSTRAINT instructor_week_has_168_hours CHECK (weekly_capacity_hours BETWEEN 0 AND 168)
);

COMMENT ON TABLE courses.instructor IS 'Person who teaches, with profile, pay terms and rating.';
COMMENT ON COLUMN courses.instructor.average_rating IS
    'Of the published reviews of the sections that the person leads; NULL before the first.';
COMMENT ON COLUMN courses.instructor.verified_at IS
    'When the school saw diplomas and references; NULL is not shown as verified.';

-- FK: whose photo a file is.
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
    business_id           uuid               NOT NULL,
    course_id             uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    subject_area_id       uuid               NOT NULL,
    owner_user_account_id uuid               NOT NULL,
    cover_file_object_id  uuid,
    course_code           system_core.code   NOT NULL,
    title                 text               NOT NULL,
    slug                  system_core.slug   NOT NULL,
    summary               text,
    description_html      text,
    delivery              text               NOT NULL,
    level                 text               NOT NULL,
    language_code         system_core.locale NOT NULL DEFAULT 'en',
    duration_minutes      integer,
    credit_hours          numeric(9, 2)      NOT NULL DEFAULT 0,
    version_no            integer            NOT NULL DEFAULT 1,
    status                text               NOT NULL DEFAULT 'draft',
    published_at          timestamptz,
    enrollment_count      integer            NOT NULL DEFAULT 0,
    average_rating        numeric(4, 2),
    is_free               boolean            NOT NULL DEFAULT false,
    created_at            timestamptz        NOT NULL DEFAULT now(),
    updated_at            timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, course_id),
    UNIQUE (business_id, course_code, version_no),
    FOREIGN KEY (business_id, subject_area_id)
        REFERENCES courses.subject_area (business_id, subject_area_id),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, cover_file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT course_delivery_known
        CHECK (delivery IN ('self_paced', 'instructor_led', 'blended', 'cohort')),
    CONSTRAINT course_level_known
        CHECK (level IN ('beginner', 'intermediate', 'advanced', 'expert')),
    CONSTRAINT course_status_known
        CHECK (status IN ('draft', 'in_review', 'published', 'archived')),
    CONSTRAINT course_published_has_time
        CHECK (status <> 'published' OR published_at IS NOT NULL),
    CONSTRAINT course_rating_has_five_stars CHECK (average_rating BETWEEN 1 AND 5),
    CONSTRAINT course_takes_time CHECK (duration_minutes > 0),
    CONSTRAINT course_credits_not_negative CHECK (credit_hours >= 0),
    CONSTRAINT course_version_positive CHECK (version_no >= 1),
    CONSTRAINT course_enrollments_not_negative CHECK (enrollment_count >= 0)
);

COMMENT ON TABLE courses.course IS
    'Course as designed, in a version, apart from when it runs.';
COMMENT ON COLUMN courses.course.version_no IS
    'A revised course is a new row of the same course_code; who began the old one ends it.';
COMMENT ON COLUMN courses.course.enrollment_count IS
    'Who holds or held a seat in any of its sections; kept by the enrollments.';
COMMENT ON COLUMN courses.course.average_rating IS
    'Of its published reviews, kept by them; NULL before the first.';

-- One address, one course: an older version is archived before the next is published.
CREATE UNIQUE INDEX course_published_slug_idx
    ON courses.course (business_id, slug) WHERE status = 'published';

-- FK: the courses of a topic that are on offer, the best rated first.
CREATE INDEX course_subject_area_idx
    ON courses.course (business_id, subject_area_id, status, average_rating DESC NULLS LAST);

-- FK: what a person of the curriculum staff looks after.
CREATE INDEX course_owner_user_account_idx
    ON courses.course (business_id, owner_user_account_id);

-- FK: the courses that show a picture.
CREATE INDEX course_cover_file_object_idx
    ON courses.course (business_id, cover_file_object_id)
    WHERE cover_file_object_id IS NOT NULL;

ALTER TABLE courses.course ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.course
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.course TO app_user;
GRANT SELECT ON courses.course TO app_readonly;

CREATE FUNCTION courses.publish_course() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.published_at := coalesce(NEW.published_at, now());
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    IF NOT EXISTS (SELECT FROM courses.course_module AS m
                   WHERE m.business_id = NEW.business_id AND m.course_id = NEW.course_id) THEN
        RAISE EXCEPTION 'course % has no module to be taught', NEW.course_code
            USING ERRCODE = 'check_violation', HINT = 'Add a module, then publish it.';
    END IF;
    IF NOT EXISTS (SELECT FROM courses.course_outcome AS o
                   WHERE o.business_id = NEW.business_id AND o.course_id = NEW.course_id) THEN
        RAISE EXCEPTION 'course % does not say what one learns in it', NEW.course_code
            USING ERRCODE = 'check_violation', HINT = 'Add an outcome, then publish it.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.publish_course() IS
    'A course is published with a module and an outcome; history brings them after the course.';

CREATE TRIGGER course_touch
    BEFORE UPDATE ON courses.course
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER course_words
    AFTER INSERT OR UPDATE OF title, summary OR DELETE ON courses.course
    FOR EACH ROW EXECUTE FUNCTION system_core.keep_search_words(
        'courses.course', 'course_id', 'title', 'summary');

CREATE TRIGGER course_publish_new
    BEFORE INSERT ON courses.course
    FOR EACH ROW WHEN (NEW.status = 'published')
    EXECUTE FUNCTION courses.publish_course();

CREATE TRIGGER course_publish
    BEFORE UPDATE OF status ON courses.course
    FOR EACH ROW WHEN (NEW.status = 'published' AND OLD.status <> 'published')
    EXECUTE FUNCTION courses.publish_course();


CREATE TABLE courses.learning_outcome (
    business_id           uuid                   NOT NULL,
    learning_outcome_id   uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    parent_outcome_id     uuid,
    subject_area_id       uuid,
    code                  system_core.code       NOT NULL,
    statement             text                   NOT NULL,
    bloom_level           text                   NOT NULL,
    framework_code        system_core.code,
    external_uri          system_core.url,
    mastery_threshold_pct system_core.percentage NOT NULL DEFAULT 80,
    calculation           text                   NOT NULL DEFAULT 'highest',
    decay_pct             system_core.percentage,
    n_required            integer,
    is_skill              boolean                NOT NULL DEFAULT false,
    is_active             boolean                NOT NULL DEFAULT true,
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
    CONSTRAINT learning_outcome_threshold_is_a_share
        CHECK (mastery_threshold_pct BETWEEN 1 AND 100),
    CONSTRAINT learning_outcome_decays_by_a_share
        CHECK ((calculation = 'decaying_average') = (decay_pct IS NOT NULL)
               AND decay_pct BETWEEN 1 AND 99),
    CONSTRAINT learning_outcome_counts_its_times
        CHECK ((calculation = 'n_times') = (n_required IS NOT NULL)
               AND n_required BETWEEN 1 AND 10),
    CONSTRAINT learning_outcome_not_its_own_parent
        CHECK (parent_outcome_id <> learning_outcome_id)
);

COMMENT ON TABLE courses.learning_outcome IS
    'Statement of what a learner can do, in a hierarchy, with the rule by which it is mastered.';
COMMENT ON COLUMN courses.learning_outcome.decay_pct IS
    'Weight of the latest evidence in a decaying average: 65 leaves 35 for all before.';
COMMENT ON COLUMN courses.learning_outcome.n_required IS
    'How many times the threshold is reached before it counts as mastered.';
COMMENT ON COLUMN courses.learning_outcome.framework_code IS
    'Where it comes from, such as ESCO, SFIA or the school''s own.';

-- FK: the outcomes that make up an outcome.
CREATE INDEX learning_outcome_parent_outcome_idx
    ON courses.learning_outcome (business_id, parent_outcome_id)
    WHERE parent_outcome_id IS NOT NULL;

-- FK: what can be learned of a topic.
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


CREATE TABLE courses.course_outcome (
    business_id                uuid                   NOT NULL,
    course_outcome_id          uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    course_id                  uuid                   NOT NULL,
    learning_outcome_id        uuid                   NOT NULL,
    coverage                   text                   NOT NULL,
    weight_pct                 system_core.percentage NOT NULL DEFAULT 0,
    sort_order                 integer                NOT NULL DEFAULT 0,
    evidence_minimum           integer                NOT NULL DEFAULT 0,
    is_required_for_completion boolean                NOT NULL DEFAULT false,
    added_in_version           integer                NOT NULL DEFAULT 1,
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
    CONSTRAINT course_outcome_weight_is_a_share CHECK (weight_pct BETWEEN 0 AND 100),
    CONSTRAINT course_outcome_assessed_by_evidence
        CHECK (evidence_minimum >= CASE WHEN coverage = 'assessed' THEN 1 ELSE 0 END),
    CONSTRAINT course_outcome_version_positive CHECK (added_in_version >= 1)
);

COMMENT ON TABLE courses.course_outcome IS 'Outcome that a course teaches or assesses.';
COMMENT ON COLUMN courses.course_outcome.evidence_minimum IS
    'Graded works that have to speak for it before the course says it is mastered.';

-- FK: the courses that teach an outcome.
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


CREATE TABLE courses.course_prerequisite (
    business_id            uuid                   NOT NULL,
    course_prerequisite_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    course_id              uuid                   NOT NULL,
    required_course_id     uuid,
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
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    FOREIGN KEY (business_id, required_course_id)
        REFERENCES courses.course (business_id, course_id),
    CONSTRAINT course_prerequisite_requirement_kind_known
        CHECK (requirement_kind IN ('course_completed', 'certification_held', 'minimum_grade',
                                    'placement_test', 'instructor_consent')),
    CONSTRAINT course_prerequisite_names_what_it_asks_for
        CHECK (CASE requirement_kind
                   WHEN 'course_completed' THEN required_course_id IS NOT NULL
                   WHEN 'minimum_grade' THEN required_course_id IS NOT NULL
                   WHEN 'certification_held' THEN certification_id IS NOT NULL
                   ELSE true END),
    CONSTRAINT course_prerequisite_asks_for_one_thing
        CHECK (CASE requirement_kind
                   WHEN 'certification_held' THEN required_course_id IS NULL
                   WHEN 'instructor_consent'
                       THEN required_course_id IS NULL AND certification_id IS NULL
                   ELSE certification_id IS NULL END),
    CONSTRAINT course_prerequisite_grade_is_told
        CHECK (requirement_kind <> 'minimum_grade' OR minimum_grade_pct IS NOT NULL),
    CONSTRAINT course_prerequisite_grade_is_a_share CHECK (minimum_grade_pct BETWEEN 0 AND 100),
    CONSTRAINT course_prerequisite_course_is_another CHECK (required_course_id <> course_id),
    CONSTRAINT course_prerequisite_beside_it_is_a_course
        CHECK (NOT is_corequisite OR requirement_kind = 'course_completed'),
    CONSTRAINT course_prerequisite_validity_positive CHECK (validity_months > 0),
    CONSTRAINT course_prerequisite_group_positive CHECK (group_no >= 1)
);

COMMENT ON TABLE courses.course_prerequisite IS
    'What must be done before a course: another course, a certificate, a test, a conversation.';
COMMENT ON COLUMN courses.course_prerequisite.group_no IS
    'Rows of a course with the same number are alternatives: one of them will do. NULL stands
     alone.';
COMMENT ON COLUMN courses.course_prerequisite.is_corequisite IS
    'True: may be taken at the same time.';
COMMENT ON COLUMN courses.course_prerequisite.validity_months IS
    'How long a completed course speaks for what was learned in it; NULL for ever.';
COMMENT ON COLUMN courses.course_prerequisite.required_course_id IS
    'With placement_test: the course whose placement test counts; NULL is that of the course.';

-- FK: what a course asks for, by group.
CREATE INDEX course_prerequisite_course_idx
    ON courses.course_prerequisite (business_id, course_id, group_no);

-- FK: the courses that a course opens.
CREATE INDEX course_prerequisite_required_course_idx
    ON courses.course_prerequisite (business_id, required_course_id)
    WHERE required_course_id IS NOT NULL;

-- FK: the courses that a certificate opens.
CREATE INDEX course_prerequisite_certification_idx
    ON courses.course_prerequisite (business_id, certification_id)
    WHERE certification_id IS NOT NULL;

-- A course is asked for once, whichever way.
CREATE UNIQUE INDEX course_prerequisite_asked_once_idx
    ON courses.course_prerequisite (business_id, course_id, required_course_id, requirement_kind)
    WHERE required_course_id IS NOT NULL;

ALTER TABLE courses.course_prerequisite ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.course_prerequisite
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.course_prerequisite TO app_user;
GRANT SELECT ON courses.course_prerequisite TO app_readonly;

CREATE FUNCTION courses.refuse_circular_prerequisite() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    IF NOT EXISTS (SELECT FROM changed) THEN
        RETURN NULL;
    END IF;
    -- One at a time: two that are fine apart may close a circle together.
    PERFORM pg_advisory_xact_lock(hashtextextended(c.business_id || ' prerequisites', 0))
    FROM (SELECT DISTINCT x.business_id FROM changed AS x ORDER BY x.business_id) AS c;
    WITH RECURSIVE behind AS (
        SELECT c.business_id, c.course_id, c.required_course_id AS reached
        FROM changed AS c
        WHERE c.required_course_id IS NOT NULL
        UNION
        SELECT b.business_id, b.course_id, p.required_course_id
        FROM behind AS b
        JOIN courses.course_prerequisite AS p
            ON p.business_id = b.business_id AND p.course_id = b.reached
        WHERE p.required_course_id IS NOT NULL
    )
    SELECT k.course_code INTO wrong
    FROM behind AS b
    JOIN courses.course AS k ON k.business_id = b.business_id AND k.course_id = b.course_id
    WHERE b.reached = b.course_id
    ORDER BY k.course_code
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'course % would be needed before itself', wrong.course_code
            USING ERRCODE = 'check_violation',
                  HINT = 'Nobody could ever begin a course in such a circle.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.refuse_circular_prerequisite() IS
    'No chain of prerequisites leads back to its course, also when two are added at once.';

CREATE TRIGGER course_prerequisite_touch
    BEFORE UPDATE ON courses.course_prerequisite
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER course_prerequisite_not_circular_on_insert
    AFTER INSERT ON courses.course_prerequisite
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.refuse_circular_prerequisite();

CREATE TRIGGER course_prerequisite_not_circular_on_update
    AFTER UPDATE ON courses.course_prerequisite
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.refuse_circular_prerequisite();


CREATE TABLE courses.program (
    business_id              uuid             NOT NULL,
    program_id               uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    subject_area_id          uuid,
    director_user_account_id uuid,
    program_code             system_core.code NOT NULL,
    title                    text             NOT NULL,
    program_kind             text             NOT NULL,
    description              text,
    minimum_credits          numeric(9, 2)    NOT NULL DEFAULT 0,
    minimum_gpa              numeric(4, 2),
    enforce_order            boolean          NOT NULL DEFAULT false,
    max_duration_months      integer,
    status                   text             NOT NULL DEFAULT 'draft',
    catalog_year             integer          NOT NULL DEFAULT extract(year FROM now()),
    enrollment_count         integer          NOT NULL DEFAULT 0,
    created_at               timestamptz      NOT NULL DEFAULT now(),
    updated_at               timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, program_id),
    UNIQUE (business_id, program_code, catalog_year),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, subject_area_id)
        REFERENCES courses.subject_area (business_id, subject_area_id),
    FOREIGN KEY (business_id, director_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT program_kind_known
        CHECK (program_kind IN ('certificate', 'diploma', 'degree', 'learning_path',
                                'onboarding', 'compliance')),
    CONSTRAINT program_status_known
        CHECK (status IN ('draft', 'published', 'suspended', 'archived')),
    CONSTRAINT program_minimum_credits_not_negative CHECK (minimum_credits >= 0),
    CONSTRAINT program_minimum_gpa_on_its_scale CHECK (minimum_gpa BETWEEN 0 AND 4),
    CONSTRAINT program_duration_positive CHECK (max_duration_months > 0),
    CONSTRAINT program_catalog_year_plausible CHECK (catalog_year BETWEEN 1990 AND 2100),
    CONSTRAINT program_enrollments_not_negative CHECK (enrollment_count >= 0)
);

COMMENT ON TABLE courses.program IS 'Degree, track or learning path made of courses.';
COMMENT ON COLUMN courses.program.catalog_year IS
    'Whoever begins in a year ends by the rules of that year.';
COMMENT ON COLUMN courses.program.enforce_order IS
    'True: what comes later in the tree opens when what comes before it is met.';

-- FK: the programs of a topic.
CREATE INDEX program_subject_area_idx
    ON courses.program (business_id, subject_area_id)
    WHERE subject_area_id IS NOT NULL;

-- FK: what somebody directs.
CREATE INDEX program_director_user_account_idx
    ON courses.program (business_id, director_user_account_id)
    WHERE director_user_account_id IS NOT NULL;

ALTER TABLE courses.program ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.program
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.program TO app_user;
GRANT SELECT ON courses.program TO app_readonly;

CREATE TRIGGER program_touch
    BEFORE UPDATE ON courses.program
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.program_requirement (
    business_id            uuid                   NOT NULL,
    program_requirement_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    program_id             uuid                   NOT NULL,
    parent_requirement_id  uuid,
    course_id              uuid,
    certification_id       uuid,
    requirement_kind       text                   NOT NULL,
    title                  text                   NOT NULL,
    sort_order             integer                NOT NULL DEFAULT 0,
    choose_count           integer,
    minimum_credits        numeric(9, 2),
    minimum_grade_pct      system_core.percentage,
    recommended_term       text,
    is_optional            boolean                NOT NULL DEFAULT false,
    created_at             timestamptz            NOT NULL DEFAULT now(),
    updated_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, program_requirement_id),
    FOREIGN KEY (business_id, program_id) REFERENCES courses.program (business_id, program_id),
    FOREIGN KEY (business_id, parent_requirement_id)
        REFERENCES courses.program_requirement (business_id, program_requirement_id),
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    CONSTRAINT program_requirement_kind_known
        CHECK (requirement_kind IN ('group', 'course', 'choose_n', 'credits', 'capstone',
                                    'certification')),
    CONSTRAINT program_requirement_course_when_one_is_taken
        CHECK ((requirement_kind IN ('course', 'capstone')) = (course_id IS NOT NULL)),
    CONSTRAINT program_requirement_certificate_when_one_is_held
        CHECK ((requirement_kind = 'certification') = (certification_id IS NOT NULL)),
    CONSTRAINT program_requirement_says_how_many
        CHECK ((requirement_kind = 'choose_n') = (choose_count IS NOT NULL)
               AND choose_count >= 1),
    CONSTRAINT program_requirement_says_how_many_credits
        CHECK ((requirement_kind = 'credits') = (minimum_credits IS NOT NULL)
               AND minimum_credits > 0),
    CONSTRAINT program_requirement_grade_of_a_course
        CHECK (minimum_grade_pct IS NULL OR (course_id IS NOT NULL
                                             AND minimum_grade_pct BETWEEN 0 AND 100)),
    CONSTRAINT program_requirement_not_its_own_parent
        CHECK (parent_requirement_id <> program_requirement_id)
);

COMMENT ON TABLE courses.program_requirement IS
    'Element of a program: a course to take, a group, so many of a group, credits, a certificate.';
COMMENT ON COLUMN courses.program_requirement.choose_count IS
    'How many of the elements below it have to be met.';
COMMENT ON COLUMN courses.program_requirement.minimum_credits IS
    'How many credit hours the courses below it have to bring.';

-- The tree of a program in order; also its foreign key.
CREATE INDEX program_requirement_program_idx
    ON courses.program_requirement (business_id, program_id, parent_requirement_id, sort_order);

-- FK: the elements of an element.
CREATE INDEX program_requirement_parent_requirement_idx
    ON courses.program_requirement (business_id, parent_requirement_id)
    WHERE parent_requirement_id IS NOT NULL;

-- FK: the programs that a course counts for; within one it is asked for once.
CREATE UNIQUE INDEX program_requirement_course_idx
    ON courses.program_requirement (business_id, course_id, program_id)
    WHERE course_id IS NOT NULL;

-- FK: the programs that ask for a certificate.
CREATE INDEX program_requirement_certification_idx
    ON courses.program_requirement (business_id, certification_id)
    WHERE certification_id IS NOT NULL;

ALTER TABLE courses.program_requirement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.program_requirement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.program_requirement TO app_user;
GRANT SELECT ON courses.program_requirement TO app_readonly;

CREATE FUNCTION courses.keep_requirement_tree() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    above record;
BEGIN
    -- The program is the lock: two moves cannot put two elements into each other.
    PERFORM FROM courses.program AS p
    WHERE p.business_id = NEW.business_id AND p.program_id = NEW.program_id
    FOR NO KEY UPDATE;
    SELECT r.program_id, r.title, r.requirement_kind INTO above
    FROM courses.program_requirement AS r
    WHERE r.business_id = NEW.business_id
      AND r.program_requirement_id = NEW.parent_requirement_id;
    IF above.program_id <> NEW.program_id THEN
        RAISE EXCEPTION 'element "%" of another program cannot hold "%"', above.title, NEW.title
            USING ERRCODE = 'check_violation';
    END IF;
    IF above.requirement_kind NOT IN ('group', 'choose_n', 'credits') THEN
        RAISE EXCEPTION 'element "%" is a %, which holds nothing', above.title,
                        above.requirement_kind
            USING ERRCODE = 'check_violation',
                  HINT = 'Put it into a group, a choice or a number of credits.';
    END IF;
    IF EXISTS (
        WITH RECURSIVE up AS (
            SELECT NEW.parent_requirement_id AS reached
            UNION
            SELECT r.parent_requirement_id
            FROM up AS u
            JOIN courses.program_requirement AS r
                ON r.business_id = NEW.business_id AND r.program_requirement_id = u.reached
            WHERE r.parent_requirement_id IS NOT NULL
        )
        SELECT FROM up AS u WHERE u.reached = NEW.program_requirement_id)
    THEN
        RAISE EXCEPTION 'element "%" would lie within itself', NEW.title
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.keep_requirement_tree() IS
    'An element lies within a group of its own program, and never within itself.';

CREATE TRIGGER program_requirement_touch
    BEFORE UPDATE ON courses.program_requirement
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER program_requirement_tree
    AFTER INSERT OR UPDATE OF parent_requirement_id, program_id ON courses.program_requirement
    FOR EACH ROW WHEN (NEW.parent_requirement_id IS NOT NULL)
    EXECUTE FUNCTION courses.keep_requirement_tree();
