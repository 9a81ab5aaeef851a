/*
 * Sections: when a course runs, how many seats it has, and who teaches it.
 *
 * A course_section is a run of a course with dates, a window for enrollment, seats and a queue. Its
 * enrolled_count follows the enrollments and never passes seat_limit, however many ask at once;
 * by it the section is open or full. A section_instructor is who teaches it, by which pay.
 */

CREATE TABLE courses.course_section (
    business_id          uuid                  NOT NULL,
    course_section_id    uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    course_id            uuid                  NOT NULL,
    business_location_id uuid,
    grading_scheme_id    uuid,
    section_code         system_core.code      NOT NULL,
    title                text                  NOT NULL,
    delivery             text                  NOT NULL,
    starts_on            date                  NOT NULL,
    ends_on              date                  NOT NULL,
    enrollment_opens_on  date,
    enrollment_closes_on date,
    add_drop_until       date,
    seat_limit           integer,
    enrolled_count       integer               NOT NULL DEFAULT 0,
    waitlist_limit       integer               NOT NULL DEFAULT 0,
    time_zone            system_core.time_zone NOT NULL DEFAULT 'UTC',
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
    CONSTRAINT course_section_ends_after_start
        CHECK (ends_on > starts_on OR (delivery = 'self_paced' AND ends_on = starts_on)),
    CONSTRAINT course_section_enrollment_closes_before_end
        CHECK (enrollment_opens_on <= enrollment_closes_on AND enrollment_closes_on <= ends_on),
    CONSTRAINT course_section_add_drop_before_end CHECK (add_drop_until <= ends_on),
    CONSTRAINT course_section_seats_not_oversold
        CHECK (enrolled_count BETWEEN 0 AND seat_limit),
    CONSTRAINT course_section_seats_positive CHECK (seat_limit > 0),
    CONSTRAINT course_section_full_has_a_limit
        CHECK (status <> 'full' OR seat_limit IS NOT NULL),
    CONSTRAINT course_section_waitlist_not_negative CHECK (waitlist_limit >= 0),
    CONSTRAINT course_section_minimum_fits CHECK (cancellation_minimum BETWEEN 1 AND seat_limit)
);

COMMENT ON TABLE courses.course_section IS 'Scheduled run of a course: dates, seats, room, pacing.';
COMMENT ON COLUMN courses.course_section.ends_on IS
    'Of a self-paced section the last day on which its material is open.';
COMMENT ON COLUMN courses.course_section.seat_limit IS 'NULL: as many as come.';
COMMENT ON COLUMN courses.course_section.enrolled_count IS
    'Enrollments that hold a seat: all but those requested, withdrawn or expired; kept by them.';
COMMENT ON COLUMN courses.course_section.waitlist_limit IS 'How many may wait; 0 is no queue.';
COMMENT ON COLUMN courses.course_section.cancellation_minimum IS
    'With fewer learners at its start it is called off.';

-- FK: the runs of a course, the next first.
CREATE INDEX course_section_course_idx
    ON courses.course_section (business_id, course_id, starts_on);

-- What begins when, of the sections that one can enroll in.
CREATE INDEX course_section_upcoming_idx
    ON courses.course_section (business_id, starts_on)
    WHERE status IN ('open', 'full', 'running');

-- FK: what is taught at a site.
CREATE INDEX course_section_business_location_idx
    ON courses.course_section (business_id, business_location_id)
    WHERE business_location_id IS NOT NULL;

-- FK: the sections that grade by a scheme.
CREATE INDEX course_section_grading_scheme_idx
    ON courses.course_section (business_id, grading_scheme_id)
    WHERE grading_scheme_id IS NOT NULL;

ALTER TABLE courses.course_section ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.course_section
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.course_section TO app_user;
GRANT SELECT ON courses.course_section TO app_readonly;

CREATE FUNCTION courses.fit_section() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status = 'full' AND (NEW.seat_limit IS NULL OR NEW.enrolled_count < NEW.seat_limit) THEN
        NEW.status := 'open';
    ELSIF NEW.status = 'open' AND NEW.enrolled_count = NEW.seat_limit THEN
        NEW.status := 'full';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.fit_section() IS
    'A section to which seats are added is open again; one cut down to its learners is full.';

CREATE TRIGGER course_section_fit
    BEFORE UPDATE OF seat_limit ON courses.course_section
    FOR EACH ROW WHEN (NEW.seat_limit IS DISTINCT FROM OLD.seat_limit)
    EXECUTE FUNCTION courses.fit_section();

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


CREATE TABLE courses.section_instructor (
    business_id           uuid                   NOT NULL,
    section_instructor_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    course_section_id     uuid                   NOT NULL,
    instructor_id         uuid                   NOT NULL,
    role                  text                   NOT NULL,
    load_pct              system_core.percentage NOT NULL DEFAULT 100,
    pay_basis             text                   NOT NULL DEFAULT 'none',
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
    CONSTRAINT section_instructor_load_is_a_share CHECK (load_pct BETWEEN 1 AND 100),
    CONSTRAINT section_instructor_rate_when_paid_by_rate
        CHECK ((pay_basis IN ('flat', 'hourly')) = (pay_amount IS NOT NULL) AND pay_amount > 0),
    CONSTRAINT section_instructor_leaves_after_start CHECK (assigned_until >= assigned_from)
);

COMMENT ON TABLE courses.section_instructor IS
    'Who teaches a section or helps in it, with load, rights and pay.';
COMMENT ON COLUMN courses.section_instructor.pay_amount IS
    'For the whole section (flat) or for an hour of class (hourly); a share is the instructor''s.';

-- One person answers for a section.
CREATE UNIQUE INDEX section_instructor_one_lead_idx
    ON courses.section_instructor (business_id, course_section_id) WHERE role = 'lead';

-- FK: what an instructor teaches.
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
