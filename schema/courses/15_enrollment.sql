/*
 * TODO: what the area is and how its tables relate.
 *
 * Learners and administrators: learners, cohorts, enrollments, waitlists, live classes,
 * attendance, accommodations.
 */

CREATE TABLE courses.learner (
    business_id         uuid                  NOT NULL,
    learner_id          uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id     uuid                  NOT NULL,
    org_unit_id         uuid,
    learner_number      text                  NOT NULL,
    segment             text                  NOT NULL,
    education_level     text                  NOT NULL,
    employer_name       text,
    time_zone           system_core.time_zone,
    preferred_language  text,
    learning_goal       text,
    weekly_minutes_goal integer,
    is_minor            boolean               NOT NULL DEFAULT false,
    guardian_consent_on date,
    first_enrolled_at   timestamptz,
    status              text                  NOT NULL DEFAULT 'active',
    created_at          timestamptz           NOT NULL DEFAULT now(),
    updated_at          timestamptz           NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, learner_id),
    UNIQUE (business_id, user_account_id),
    UNIQUE (business_id, learner_number),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, org_unit_id)
        REFERENCES user_mgmt.org_unit (business_id, org_unit_id),
    CONSTRAINT learner_segment_known
        CHECK (segment IN ('individual', 'corporate', 'student', 'staff', 'partner')),
    CONSTRAINT learner_education_level_known
        CHECK (education_level IN ('none', 'secondary', 'vocational', 'bachelor', 'master',
               'doctorate')),
    CONSTRAINT learner_status_known
        CHECK (status IN ('active', 'dormant', 'graduated', 'withdrawn'))
);

COMMENT ON TABLE courses.learner IS 'Person who learns, with background and goals.';
-- RULE guardian_consent_on is not null when is_minor

-- FK: the learners of a org unit.
CREATE INDEX learner_org_unit_idx
    ON courses.learner (business_id, org_unit_id)
    WHERE org_unit_id IS NOT NULL;

ALTER TABLE courses.learner ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.learner
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.learner TO app_user;
GRANT SELECT ON courses.learner TO app_readonly;

CREATE TRIGGER learner_touch
    BEFORE UPDATE ON courses.learner
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.cohort (
    business_id        uuid             NOT NULL,
    cohort_id          uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    lead_instructor_id uuid,
    course_section_id  uuid,
    program_id         uuid,
    code               system_core.code NOT NULL,
    name               text             NOT NULL,
    cohort_kind        text             NOT NULL,
    starts_on          date             NOT NULL,
    ends_on            date             NOT NULL,
    capacity           integer,
    member_count       integer,
    meeting_pattern    text,
    status             text             NOT NULL DEFAULT 'forming',
    created_at         timestamptz      NOT NULL DEFAULT now(),
    updated_at         timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, cohort_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, lead_instructor_id)
        REFERENCES courses.instructor (business_id, instructor_id),
    FOREIGN KEY (business_id, course_section_id)
        REFERENCES courses.course_section (business_id, course_section_id),
    FOREIGN KEY (business_id, program_id) REFERENCES courses.program (business_id, program_id),
    CONSTRAINT cohort_cohort_kind_known
        CHECK (cohort_kind IN ('class', 'company', 'scholarship', 'advising')),
    CONSTRAINT cohort_status_known
        CHECK (status IN ('forming', 'running', 'finished', 'cancelled')),
    CONSTRAINT cohort_member_count_capacity CHECK (member_count <= capacity),
    CONSTRAINT cohort_ends_on_after_starts_on CHECK (ends_on > starts_on)
);

COMMENT ON TABLE courses.cohort IS 'Group that goes through a section or program together.';

-- FK: the cohorts of a instructor.
CREATE INDEX cohort_lead_instructor_idx
    ON courses.cohort (business_id, lead_instructor_id)
    WHERE lead_instructor_id IS NOT NULL;

-- FK: the cohorts of a course section.
CREATE INDEX cohort_course_section_idx
    ON courses.cohort (business_id, course_section_id)
    WHERE course_section_id IS NOT NULL;

-- FK: the cohorts of a program.
CREATE INDEX cohort_program_idx
    ON courses.cohort (business_id, program_id)
    WHERE program_id IS NOT NULL;

ALTER TABLE courses.cohort ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.cohort
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.cohort TO app_user;
GRANT SELECT ON courses.cohort TO app_readonly;

CREATE TRIGGER cohort_touch
    BEFORE UPDATE ON courses.cohort
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.class_meeting (
    business_id         uuid        NOT NULL,
    class_meeting_id    uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    course_section_id   uuid        NOT NULL,
    instructor_id       uuid,
    lesson_id           uuid,
    title               text        NOT NULL,
    starts_at           timestamptz NOT NULL,
    ends_at             timestamptz,
    mode                text        NOT NULL,
    room                text,
    provider            text        NOT NULL,
    join_url_ref        text,
    capacity            integer,
    status              text        NOT NULL DEFAULT 'scheduled',
    recording_state     text        NOT NULL,
    attendance_required boolean     NOT NULL DEFAULT false,
    cancelled_reason    text,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, class_meeting_id),
    FOREIGN KEY (business_id, course_section_id)
        REFERENCES courses.course_section (business_id, course_section_id),
    FOREIGN KEY (business_id, instructor_id)
        REFERENCES courses.instructor (business_id, instructor_id),
    FOREIGN KEY (business_id, lesson_id) REFERENCES courses.lesson (business_id, lesson_id),
    CONSTRAINT class_meeting_mode_known CHECK (mode IN ('online', 'classroom', 'hybrid')),
    CONSTRAINT class_meeting_provider_known
        CHECK (provider IN ('zoom', 'teams', 'meet', 'bigbluebutton', 'none')),
    CONSTRAINT class_meeting_status_known
        CHECK (status IN ('scheduled', 'live', 'ended', 'cancelled', 'rescheduled')),
    CONSTRAINT class_meeting_recording_state_known
        CHECK (recording_state IN ('none', 'processing', 'available', 'expired')),
    CONSTRAINT class_meeting_ends_at_after_starts_at CHECK (ends_at > starts_at)
);

COMMENT ON TABLE courses.class_meeting IS 'Live session of a section, online or in a room.';
-- RULE an instructor's meetings do not overlap (exclusion constraint)
-- RULE join_url_ref is not null when online and not cancelled

-- FK: the class meetings of a course section.
CREATE INDEX class_meeting_course_section_idx
    ON courses.class_meeting (business_id, course_section_id);

-- FK: the class meetings of a instructor.
CREATE INDEX class_meeting_instructor_idx
    ON courses.class_meeting (business_id, instructor_id)
    WHERE instructor_id IS NOT NULL;

-- FK: the class meetings of a lesson.
CREATE INDEX class_meeting_lesson_idx
    ON courses.class_meeting (business_id, lesson_id)
    WHERE lesson_id IS NOT NULL;

ALTER TABLE courses.class_meeting ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.class_meeting
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.class_meeting TO app_user;
GRANT SELECT ON courses.class_meeting TO app_readonly;

CREATE TRIGGER class_meeting_touch
    BEFORE UPDATE ON courses.class_meeting
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.waitlist_entry (
    business_id        uuid        NOT NULL,
    waitlist_entry_id  uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    course_section_id  uuid        NOT NULL,
    learner_id         uuid        NOT NULL,
    position           integer,
    requested_at       timestamptz,
    offered_at         timestamptz,
    offer_expires_at   timestamptz,
    status             text        NOT NULL DEFAULT 'waiting',
    priority_reason    text        NOT NULL,
    notification_count integer,
    accepted_at        timestamptz,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, waitlist_entry_id),
    UNIQUE (business_id, course_section_id, learner_id),
    FOREIGN KEY (business_id, course_section_id)
        REFERENCES courses.course_section (business_id, course_section_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    CONSTRAINT waitlist_entry_status_known
        CHECK (status IN ('waiting', 'offered', 'accepted', 'expired', 'declined', 'removed')),
    CONSTRAINT waitlist_entry_priority_reason_known
        CHECK (priority_reason IN ('none', 'program_required', 'returning', 'accommodation')),
    CONSTRAINT waitlist_entry_offer_expires_at_after_offered_at
        CHECK (offer_expires_at > offered_at),
    CONSTRAINT waitlist_entry_accepted_at_offer_expires_at CHECK (accepted_at <= offer_expires_at)
);

COMMENT ON TABLE courses.waitlist_entry IS 'Place in the queue for a full section, with offers.';
-- RULE position unique among waiting rows of a section (deferrable)

-- FK: the waitlist entrys of a learner.
CREATE INDEX waitlist_entry_learner_idx
    ON courses.waitlist_entry (business_id, learner_id);

ALTER TABLE courses.waitlist_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.waitlist_entry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.waitlist_entry TO app_user;
GRANT SELECT ON courses.waitlist_entry TO app_readonly;

CREATE TRIGGER waitlist_entry_touch
    BEFORE UPDATE ON courses.waitlist_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.learner_accommodation (
    business_id              uuid                 NOT NULL,
    learner_accommodation_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    approved_by              uuid                 NOT NULL,
    learner_id               uuid                 NOT NULL,
    accommodation            text                 NOT NULL,
    time_multiplier          system_core.quantity,
    extra_attempts           integer,
    deadline_extension_days  integer,
    valid_from               date,
    valid_until              date,
    documentation_on_file    boolean              NOT NULL DEFAULT false,
    is_confidential          boolean              NOT NULL DEFAULT false,
    status                   text                 NOT NULL DEFAULT 'requested',
    review_on                date,
    created_at               timestamptz          NOT NULL DEFAULT now(),
    updated_at               timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, learner_accommodation_id),
    FOREIGN KEY (business_id, approved_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    CONSTRAINT learner_accommodation_accommodation_known
        CHECK (accommodation IN ('extra_time', 'extra_attempts', 'reader', 'scribe', 'captions',
               'breaks', 'large_print', 'alternative_format', 'flexible_deadline')),
    CONSTRAINT learner_accommodation_status_known
        CHECK (status IN ('requested', 'approved', 'denied', 'expired')),
    CONSTRAINT learner_accommodation_valid_until_after_valid_from CHECK (valid_until > valid_from)
);

COMMENT ON TABLE courses.learner_accommodation IS
    'Approved adjustment: extra time, captions, reader, breaks.';
-- RULE time_multiplier between 1 and 3 for extra_time
-- RULE no overlap of one kind per learner (exclusion constraint)
-- RULE applied to assessment_override by function

-- FK: the learner accommodations of a user account.
CREATE INDEX learner_accommodation_approved_by_idx
    ON courses.learner_accommodation (business_id, approved_by);

-- FK: the learner accommodations of a learner.
CREATE INDEX learner_accommodation_learner_idx
    ON courses.learner_accommodation (business_id, learner_id);

ALTER TABLE courses.learner_accommodation ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.learner_accommodation
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.learner_accommodation TO app_user;
GRANT SELECT ON courses.learner_accommodation TO app_readonly;

CREATE TRIGGER learner_accommodation_touch
    BEFORE UPDATE ON courses.learner_accommodation
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.cohort_member (
    business_id      uuid        NOT NULL,
    cohort_member_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    cohort_id        uuid        NOT NULL,
    learner_id       uuid        NOT NULL,
    role             text        NOT NULL,
    joined_at        timestamptz,
    left_at          timestamptz,
    leave_reason     text        NOT NULL,
    seat_no          integer,
    source           text        NOT NULL,
    is_active        boolean     NOT NULL DEFAULT false,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, cohort_member_id),
    UNIQUE (business_id, cohort_id, learner_id, joined_at),
    FOREIGN KEY (business_id, cohort_id) REFERENCES courses.cohort (business_id, cohort_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    CONSTRAINT cohort_member_role_known CHECK (role IN ('member', 'leader', 'observer')),
    CONSTRAINT cohort_member_leave_reason_known
        CHECK (leave_reason IN ('moved', 'dropped', 'completed', 'removed')),
    CONSTRAINT cohort_member_source_known CHECK (source IN ('enrollment', 'manual', 'import')),
    CONSTRAINT cohort_member_left_at_after_joined_at CHECK (left_at > joined_at)
);

COMMENT ON TABLE courses.cohort_member IS 'Learner in a cohort.';
-- RULE one live membership per cohort (partial unique)

-- FK: the cohort members of a learner.
CREATE INDEX cohort_member_learner_idx
    ON courses.cohort_member (business_id, learner_id);

ALTER TABLE courses.cohort_member ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.cohort_member
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.cohort_member TO app_user;
GRANT SELECT ON courses.cohort_member TO app_readonly;

CREATE TRIGGER cohort_member_touch
    BEFORE UPDATE ON courses.cohort_member
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.enrollment (
    business_id          uuid                   NOT NULL,
    enrollment_id        uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    learner_id           uuid                   NOT NULL,
    course_section_id    uuid,
    program_id           uuid,
    course_order_line_id uuid,
    cohort_id            uuid,
    enrollment_number    text                   NOT NULL,
    status               text                   NOT NULL DEFAULT 'requested',
    enrolled_at          timestamptz,
    started_at           timestamptz,
    due_on               date,
    access_until         timestamptz(6),
    completed_at         timestamptz,
    withdrawn_at         timestamptz,
    withdrawal_reason    text                   NOT NULL,
    progress_pct         system_core.percentage,
    final_grade_pct      system_core.percentage,
    final_grade_letter   text,
    source               text                   NOT NULL,
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, enrollment_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, course_section_id)
        REFERENCES courses.course_section (business_id, course_section_id),
    FOREIGN KEY (business_id, program_id) REFERENCES courses.program (business_id, program_id),
    FOREIGN KEY (business_id, cohort_id) REFERENCES courses.cohort (business_id, cohort_id),
    CONSTRAINT enrollment_status_known
        CHECK (status IN ('requested', 'pending_payment', 'active', 'paused', 'completed',
               'failed', 'withdrawn', 'expired', 'audit')),
    CONSTRAINT enrollment_withdrawal_reason_known
        CHECK (withdrawal_reason IN ('time', 'cost', 'difficulty', 'content', 'personal',
               'job_change', 'other')),
    CONSTRAINT enrollment_source_known
        CHECK (source IN ('self', 'admin', 'bulk', 'api', 'subscription', 'scholarship')),
    CONSTRAINT enrollment_progress_pct_bounded CHECK (progress_pct BETWEEN 0 AND 100),
    CONSTRAINT enrollment_completed_at_started_at_and_started_at_e
        CHECK (completed_at >= started_at AND started_at >= enrolled_at)
);

COMMENT ON TABLE courses.enrollment IS
    'Learner in a course section or program, from request to completion.';
-- RULE exactly one of course_section_id and program_id
-- RULE one live enrollment per learner and section (partial unique)

-- FK: the enrollments of a learner.
CREATE INDEX enrollment_learner_idx
    ON courses.enrollment (business_id, learner_id);

-- FK: the enrollments of a course section.
CREATE INDEX enrollment_course_section_idx
    ON courses.enrollment (business_id, course_section_id)
    WHERE course_section_id IS NOT NULL;

-- FK: the enrollments of a program.
CREATE INDEX enrollment_program_idx
    ON courses.enrollment (business_id, program_id)
    WHERE program_id IS NOT NULL;

-- FK: the enrollments of a course order line.
CREATE INDEX enrollment_course_order_line_idx
    ON courses.enrollment (business_id, course_order_line_id)
    WHERE course_order_line_id IS NOT NULL;

-- FK: the enrollments of a cohort.
CREATE INDEX enrollment_cohort_idx
    ON courses.enrollment (business_id, cohort_id)
    WHERE cohort_id IS NOT NULL;

ALTER TABLE courses.enrollment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.enrollment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.enrollment TO app_user;
GRANT SELECT ON courses.enrollment TO app_readonly;

CREATE TRIGGER enrollment_touch
    BEFORE UPDATE ON courses.enrollment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER enrollment_state_machine
    BEFORE INSERT OR UPDATE OF status ON courses.enrollment
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["requested"],
        "transitions": {
            "requested":       ["pending_payment", "active", "audit", "withdrawn"],
            "pending_payment": ["active", "withdrawn", "expired"],
            "active":          ["paused", "completed", "failed", "withdrawn", "expired", "audit"],
            "paused":          ["active", "withdrawn", "expired"],
            "failed":          ["active", "expired"],
            "audit":           ["active", "withdrawn", "expired"],
            "completed":       [],
            "withdrawn":       [],
            "expired":         []
        }}');


CREATE TABLE courses.enrollment_status_event (
    business_id                uuid                 NOT NULL,
    enrollment_status_event_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    actor_user_account_id      uuid,
    enrollment_id              uuid                 NOT NULL,
    occurred_at                timestamptz          NOT NULL,
    from_status                text,
    to_status                  text,
    cause                      text                 NOT NULL,
    reason                     text,
    progress_pct_then          system_core.quantity,
    refund_due                 boolean              NOT NULL DEFAULT false,
    note                       text,
    created_at                 timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, enrollment_status_event_id, occurred_at),
    FOREIGN KEY (business_id, actor_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    CONSTRAINT enrollment_status_event_cause_known
        CHECK (cause IN ('learner', 'admin', 'payment', 'completion_rule', 'expiry', 'import')),
    CONSTRAINT enrollment_status_event_from_status_to_status CHECK (from_status <> to_status)
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE courses.enrollment_status_event IS 'Status move of an enrollment; append only.';
-- RULE allowed transitions only (trigger)
-- RULE append only

-- FK: the enrollment status events of a user account.
CREATE INDEX enrollment_status_event_actor_user_account_idx
    ON courses.enrollment_status_event (business_id, actor_user_account_id)
    WHERE actor_user_account_id IS NOT NULL;

-- FK: the enrollment status events of a enrollment.
CREATE INDEX enrollment_status_event_enrollment_idx
    ON courses.enrollment_status_event (business_id, enrollment_id);

ALTER TABLE courses.enrollment_status_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.enrollment_status_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON courses.enrollment_status_event TO app_user;
GRANT SELECT ON courses.enrollment_status_event TO app_readonly;

CREATE TRIGGER enrollment_status_event_append_only
    BEFORE UPDATE OR DELETE ON courses.enrollment_status_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('courses.enrollment_status_event');

CREATE TABLE courses.enrollment_status_event_default PARTITION OF courses.enrollment_status_event DEFAULT;
ALTER TABLE courses.enrollment_status_event_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.enrollment_status_event_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('courses.enrollment_status_event', 'month', behind => 13, ahead => 3);


CREATE TABLE courses.meeting_attendance (
    business_id           uuid                   NOT NULL,
    meeting_attendance_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    class_meeting_id      uuid                   NOT NULL,
    enrollment_id         uuid                   NOT NULL,
    status                text                   NOT NULL DEFAULT 'present',
    joined_at             timestamptz,
    left_at               timestamptz,
    minutes_present       integer,
    join_count            integer,
    chat_messages         integer,
    hand_raises           integer,
    poll_answers          integer,
    camera_on_pct         system_core.percentage,
    marked_by             text                   NOT NULL,
    excuse_note           text,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, meeting_attendance_id),
    UNIQUE (business_id, class_meeting_id, enrollment_id),
    FOREIGN KEY (business_id, class_meeting_id)
        REFERENCES courses.class_meeting (business_id, class_meeting_id),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    CONSTRAINT meeting_attendance_status_known
        CHECK (status IN ('present', 'late', 'left_early', 'absent', 'excused',
               'watched_recording')),
    CONSTRAINT meeting_attendance_marked_by_known
        CHECK (marked_by IN ('provider', 'instructor', 'qr_code', 'learner')),
    CONSTRAINT meeting_attendance_left_at_not_before_joined_at CHECK (left_at >= joined_at),
    CONSTRAINT meeting_attendance_camera_on_pct_bounded CHECK (camera_on_pct BETWEEN 0 AND 100)
);

COMMENT ON TABLE courses.meeting_attendance IS
    'Presence of a learner in a meeting with minutes and role.';
-- RULE minutes_present <= meeting length

-- FK: the meeting attendances of a enrollment.
CREATE INDEX meeting_attendance_enrollment_idx
    ON courses.meeting_attendance (business_id, enrollment_id);

ALTER TABLE courses.meeting_attendance ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.meeting_attendance
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.meeting_attendance TO app_user;
GRANT SELECT ON courses.meeting_attendance TO app_readonly;

CREATE TRIGGER meeting_attendance_touch
    BEFORE UPDATE ON courses.meeting_attendance
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


-- Closes the circle with an earlier file.
ALTER TABLE courses.course_review
    ADD FOREIGN KEY (business_id, enrollment_id) REFERENCES courses.enrollment (business_id, enrollment_id);

-- Closes the circle with an earlier file.
ALTER TABLE courses.lti_launch
    ADD FOREIGN KEY (business_id, enrollment_id) REFERENCES courses.enrollment (business_id, enrollment_id);

-- Closes the circle with an earlier file.
ALTER TABLE courses.release_rule
    ADD FOREIGN KEY (business_id, cohort_id) REFERENCES courses.cohort (business_id, cohort_id);

-- Closes the circle with an earlier file.
ALTER TABLE courses.scorm_attempt
    ADD FOREIGN KEY (business_id, enrollment_id) REFERENCES courses.enrollment (business_id, enrollment_id);
