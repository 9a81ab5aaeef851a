/*
 * Enrollment: who learns, in which section or program, from the request to the end.
 *
 * A learner is a person who learns; a learner_accommodation is what was granted for a handicap. A
 * cohort is a group that goes through together, with its cohort_members. An enrollment puts a
 * learner into a section or a program. Its status says whether it holds a seat; the counters of
 * section, course and program follow in the same statement and never pass the limit. Each move is
 * noted as an enrollment_status_event.
 *
 * courses.enroll_learner() (22_tuition) is how one gets in.
 */

CREATE TABLE courses.learner (
    business_id         uuid                  NOT NULL,
    learner_id          uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id     uuid,
    org_unit_id         uuid,
    learner_number      text                  NOT NULL,
    segment             text                  NOT NULL,
    education_level     text                  NOT NULL DEFAULT 'none',
    employer_name       text,
    time_zone           system_core.time_zone NOT NULL DEFAULT 'UTC',
    preferred_language  system_core.locale    NOT NULL DEFAULT 'en',
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
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
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
        CHECK (status IN ('active', 'dormant', 'graduated', 'withdrawn')),
    CONSTRAINT learner_minor_has_consent CHECK (NOT is_minor OR guardian_consent_on IS NOT NULL),
    CONSTRAINT learner_weekly_goal_fits_a_week CHECK (weekly_minutes_goal BETWEEN 1 AND 10080)
);

COMMENT ON TABLE courses.learner IS 'Person who learns, with background and goals.';
COMMENT ON COLUMN courses.learner.user_account_id IS
    'NULL until the invitation is accepted: a company puts its people on the roster beforehand.';
COMMENT ON COLUMN courses.learner.first_enrolled_at IS
    'When the first enrollment began; kept by the enrollments.';

-- FK: the learners of a department.
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


CREATE TABLE courses.learner_accommodation (
    business_id              uuid          NOT NULL,
    learner_accommodation_id uuid          NOT NULL DEFAULT system_core.uuid_v7(),
    learner_id               uuid          NOT NULL,
    approved_by              uuid          NOT NULL,
    accommodation            text          NOT NULL,
    time_multiplier          numeric(4, 2),
    extra_attempts           integer,
    deadline_extension_days  integer,
    valid_from               date          NOT NULL,
    valid_until              date,
    documentation_on_file    boolean       NOT NULL DEFAULT false,
    is_confidential          boolean       NOT NULL DEFAULT true,
    status                   text          NOT NULL DEFAULT 'requested',
    review_on                date,
    created_at               timestamptz   NOT NULL DEFAULT now(),
    updated_at               timestamptz   NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, learner_accommodation_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, approved_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT learner_accommodation_kind_known
        CHECK (accommodation IN ('extra_time', 'extra_attempts', 'reader', 'scribe', 'captions',
                                 'breaks', 'large_print', 'alternative_format',
                                 'flexible_deadline')),
    CONSTRAINT learner_accommodation_status_known
        CHECK (status IN ('requested', 'approved', 'denied', 'expired')),
    CONSTRAINT learner_accommodation_time_is_stretched
        CHECK ((accommodation <> 'extra_time' OR time_multiplier IS NOT NULL)
               AND time_multiplier BETWEEN 1 AND 3),
    CONSTRAINT learner_accommodation_attempts_are_added
        CHECK ((accommodation <> 'extra_attempts' OR extra_attempts IS NOT NULL)
               AND extra_attempts BETWEEN 1 AND 20),
    CONSTRAINT learner_accommodation_days_are_added
        CHECK ((accommodation <> 'flexible_deadline' OR deadline_extension_days IS NOT NULL)
               AND deadline_extension_days >= 1),
    CONSTRAINT learner_accommodation_ends_after_start CHECK (valid_until > valid_from),
    -- One adjustment of a kind at a time.
    EXCLUDE USING gist (business_id WITH =, learner_id WITH =, accommodation WITH =,
                        daterange(valid_from, valid_until) WITH &&)
        WHERE (status = 'approved')
);

COMMENT ON TABLE courses.learner_accommodation IS
    'Adjustment for a learner: extra time, captions, a reader, breaks.';
COMMENT ON COLUMN courses.learner_accommodation.approved_by IS
    'Who answers for it; while it is requested, who is asked.';
COMMENT ON COLUMN courses.learner_accommodation.is_confidential IS
    'True: teachers see what to do, not why.';
COMMENT ON COLUMN courses.learner_accommodation.valid_until IS 'NULL: until further notice.';

-- FK: what was asked for and granted to a learner.
CREATE INDEX learner_accommodation_learner_idx
    ON courses.learner_accommodation (business_id, learner_id, valid_from);

-- FK: what somebody decided on, or is asked to.
CREATE INDEX learner_accommodation_approved_by_idx
    ON courses.learner_accommodation (business_id, approved_by);

ALTER TABLE courses.learner_accommodation ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.learner_accommodation
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.learner_accommodation TO app_user;
GRANT SELECT ON courses.learner_accommodation TO app_readonly;

CREATE TRIGGER learner_accommodation_touch
    BEFORE UPDATE ON courses.learner_accommodation
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.cohort (
    business_id        uuid             NOT NULL,
    cohort_id          uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    course_section_id  uuid,
    program_id         uuid,
    lead_instructor_id uuid,
    code               system_core.code NOT NULL,
    name               text             NOT NULL,
    cohort_kind        text             NOT NULL,
    starts_on          date             NOT NULL,
    ends_on            date,
    capacity           integer,
    member_count       integer          NOT NULL DEFAULT 0,
    meeting_pattern    text,
    status             text             NOT NULL DEFAULT 'forming',
    created_at         timestamptz      NOT NULL DEFAULT now(),
    updated_at         timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, cohort_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, course_section_id)
        REFERENCES courses.course_section (business_id, course_section_id),
    FOREIGN KEY (business_id, program_id) REFERENCES courses.program (business_id, program_id),
    FOREIGN KEY (business_id, lead_instructor_id)
        REFERENCES courses.instructor (business_id, instructor_id),
    CONSTRAINT cohort_kind_known
        CHECK (cohort_kind IN ('class', 'company', 'scholarship', 'advising')),
    CONSTRAINT cohort_status_known
        CHECK (status IN ('forming', 'running', 'finished', 'cancelled')),
    CONSTRAINT cohort_members_fit CHECK (member_count BETWEEN 0 AND capacity),
    CONSTRAINT cohort_capacity_positive CHECK (capacity > 0),
    CONSTRAINT cohort_ends_after_start CHECK (ends_on > starts_on)
);

COMMENT ON TABLE courses.cohort IS 'Group that goes through a section or program together.';
COMMENT ON COLUMN courses.cohort.capacity IS 'NULL: as many as join.';
COMMENT ON COLUMN courses.cohort.member_count IS 'Its live memberships, kept by them.';

-- FK: the groups of a section.
CREATE INDEX cohort_course_section_idx
    ON courses.cohort (business_id, course_section_id)
    WHERE course_section_id IS NOT NULL;

-- FK: the groups of a program.
CREATE INDEX cohort_program_idx
    ON courses.cohort (business_id, program_id)
    WHERE program_id IS NOT NULL;

-- FK: the groups that an instructor leads.
CREATE INDEX cohort_lead_instructor_idx
    ON courses.cohort (business_id, lead_instructor_id)
    WHERE lead_instructor_id IS NOT NULL;

ALTER TABLE courses.cohort ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.cohort
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.cohort TO app_user;
GRANT SELECT ON courses.cohort TO app_readonly;

CREATE TRIGGER cohort_touch
    BEFORE UPDATE ON courses.cohort
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.cohort_member (
    business_id      uuid        NOT NULL,
    cohort_member_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    cohort_id        uuid        NOT NULL,
    learner_id       uuid        NOT NULL,
    role             text        NOT NULL DEFAULT 'member',
    joined_at        timestamptz NOT NULL DEFAULT now(),
    left_at          timestamptz,
    leave_reason     text,
    seat_no          integer,
    source           text        NOT NULL DEFAULT 'manual',
    is_active        boolean     NOT NULL GENERATED ALWAYS AS (left_at IS NULL) STORED,
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
    CONSTRAINT cohort_member_leaves_after_joining CHECK (left_at > joined_at),
    CONSTRAINT cohort_member_reason_of_leaving
        CHECK (leave_reason IS NULL OR left_at IS NOT NULL),
    CONSTRAINT cohort_member_seat_positive CHECK (seat_no >= 1)
);

COMMENT ON TABLE courses.cohort_member IS 'Learner in a cohort, from joining to leaving.';

-- A learner is in a group once at a time.
CREATE UNIQUE INDEX cohort_member_live_idx
    ON courses.cohort_member (business_id, cohort_id, learner_id) WHERE left_at IS NULL;

-- FK: the groups of a learner.
CREATE INDEX cohort_member_learner_idx
    ON courses.cohort_member (business_id, learner_id);

ALTER TABLE courses.cohort_member ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.cohort_member
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.cohort_member TO app_user;
GRANT SELECT ON courses.cohort_member TO app_readonly;

CREATE FUNCTION courses.count_cohort_members() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    touched uuid[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        touched := ARRAY(SELECT DISTINCT c.cohort_id FROM changed AS c);
    ELSIF TG_OP = 'DELETE' THEN
        touched := ARRAY(SELECT DISTINCT f.cohort_id FROM former AS f);
    ELSE
        touched := ARRAY(SELECT c.cohort_id FROM changed AS c
                         UNION SELECT f.cohort_id FROM former AS f);
    END IF;
    IF cardinality(touched) = 0 THEN
        RETURN NULL;
    END IF;
    -- Counted under the lock: two who join at once are counted one after the other.
    PERFORM FROM courses.cohort AS k
    WHERE k.business_id = tenant_mgmt.current_business_id() AND k.cohort_id = ANY (touched)
    ORDER BY k.cohort_id
    FOR NO KEY UPDATE;
    UPDATE courses.cohort AS k
    SET member_count = n.members
    FROM (
        SELECT x.business_id, x.cohort_id, count(m.cohort_member_id) AS members
        FROM courses.cohort AS x
        LEFT JOIN courses.cohort_member AS m
            ON m.business_id = x.business_id AND m.cohort_id = x.cohort_id AND m.left_at IS NULL
        WHERE x.business_id = tenant_mgmt.current_business_id() AND x.cohort_id = ANY (touched)
        GROUP BY x.business_id, x.cohort_id
    ) AS n
    WHERE k.business_id = tenant_mgmt.current_business_id()
      AND k.business_id = n.business_id AND k.cohort_id = n.cohort_id
      AND k.member_count <> n.members;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.count_cohort_members() IS
    'A cohort counts its live memberships; its capacity holds, also for two who join at once.';

CREATE TRIGGER cohort_member_touch
    BEFORE UPDATE ON courses.cohort_member
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER cohort_member_count_on_insert
    AFTER INSERT ON courses.cohort_member
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.count_cohort_members();

CREATE TRIGGER cohort_member_count_on_update
    AFTER UPDATE ON courses.cohort_member
    REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.count_cohort_members();

CREATE TRIGGER cohort_member_count_on_delete
    AFTER DELETE ON courses.cohort_member
    REFERENCING OLD TABLE AS former
    FOR EACH STATEMENT EXECUTE FUNCTION courses.count_cohort_members();


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
    access_until         timestamptz,
    completed_at         timestamptz,
    withdrawn_at         timestamptz,
    withdrawal_reason    text,
    progress_pct         system_core.percentage DEFAULT 0,
    final_grade_pct      system_core.percentage,
    final_grade_letter   text,
    source               text                   NOT NULL,
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, enrollment_id),
    UNIQUE (business_id, enrollment_number),
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
    CONSTRAINT enrollment_in_section_or_program
        CHECK (num_nonnulls(course_section_id, program_id) = 1),
    CONSTRAINT enrollment_progress_is_a_share CHECK (progress_pct BETWEEN 0 AND 100),
    CONSTRAINT enrollment_grade_is_a_share CHECK (final_grade_pct BETWEEN 0 AND 100),
    CONSTRAINT enrollment_times_in_order
        CHECK (completed_at >= started_at AND started_at >= enrolled_at),
    CONSTRAINT enrollment_admitted_has_time
        CHECK (status IN ('requested', 'withdrawn') OR enrolled_at IS NOT NULL),
    CONSTRAINT enrollment_completed_has_time
        CHECK (status <> 'completed' OR completed_at IS NOT NULL),
    CONSTRAINT enrollment_withdrawn_for_a_reason
        CHECK (num_nonnulls(withdrawn_at, withdrawal_reason)
               = CASE WHEN status = 'withdrawn' THEN 2 ELSE 0 END)
);

COMMENT ON TABLE courses.enrollment IS
    'Learner in a course section or program, from request to completion.';
COMMENT ON COLUMN courses.enrollment.course_order_line_id IS
    'What paid for it; NULL where nothing was due, or somebody else answers for it.';
COMMENT ON COLUMN courses.enrollment.status IS
    'pending_payment holds the seat for some days; audit takes part without a grade.';
COMMENT ON COLUMN courses.enrollment.progress_pct IS
    'NULL: the course has nothing yet to be measured by.';
COMMENT ON COLUMN courses.enrollment.enrolled_at IS 'When the seat was taken.';
COMMENT ON COLUMN courses.enrollment.started_at IS 'The first time that something was learned.';

-- One live enrollment of a learner in a section; a new one after the end of the last.
CREATE UNIQUE INDEX enrollment_live_in_section_idx
    ON courses.enrollment (business_id, learner_id, course_section_id)
    WHERE course_section_id IS NOT NULL
      AND status NOT IN ('completed', 'withdrawn', 'expired');

-- And in a program.
CREATE UNIQUE INDEX enrollment_live_in_program_idx
    ON courses.enrollment (business_id, learner_id, program_id)
    WHERE program_id IS NOT NULL AND status NOT IN ('completed', 'withdrawn', 'expired');

-- The home page of a learner: what is under way; also its foreign key.
CREATE INDEX enrollment_learner_idx
    ON courses.enrollment (business_id, learner_id, status);

-- FK: who is in a section, by status.
CREATE INDEX enrollment_course_section_idx
    ON courses.enrollment (business_id, course_section_id, status)
    WHERE course_section_id IS NOT NULL;

-- FK: who is in a program.
CREATE INDEX enrollment_program_idx
    ON courses.enrollment (business_id, program_id)
    WHERE program_id IS NOT NULL;

-- FK: the seats that an order line gave away.
CREATE INDEX enrollment_course_order_line_idx
    ON courses.enrollment (business_id, course_order_line_id)
    WHERE course_order_line_id IS NOT NULL;

-- FK: who came with a cohort.
CREATE INDEX enrollment_cohort_idx
    ON courses.enrollment (business_id, cohort_id)
    WHERE cohort_id IS NOT NULL;

-- Whose access ends, for the nightly run.
CREATE INDEX enrollment_access_until_idx
    ON courses.enrollment (business_id, access_until)
    WHERE status IN ('active', 'paused', 'failed', 'audit');

ALTER TABLE courses.enrollment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.enrollment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.enrollment TO app_user;
GRANT SELECT ON courses.enrollment TO app_readonly;

CREATE FUNCTION courses.holds_seat(status text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN status IN ('pending_payment', 'active', 'paused', 'completed', 'failed', 'audit');
COMMENT ON FUNCTION courses.holds_seat(text) IS
    'Whether an enrollment of that status takes a seat: whoever ended a course keeps it, whoever
     withdrew or let it expire frees it.';

CREATE FUNCTION courses.stamp_enrollment() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status IN ('pending_payment', 'active', 'audit') THEN
        NEW.enrolled_at := coalesce(NEW.enrolled_at, now());
    ELSIF NEW.status = 'completed' THEN
        NEW.completed_at := coalesce(NEW.completed_at, now());
    ELSIF NEW.status = 'withdrawn' THEN
        NEW.withdrawn_at := coalesce(NEW.withdrawn_at, now());
        NEW.withdrawal_reason := coalesce(NEW.withdrawal_reason, 'other');
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.stamp_enrollment() IS
    'Notes when a status was reached, unless the statement says it.';

CREATE FUNCTION courses.count_seats() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    moved   jsonb;    -- rows of courses.moved_seats(): seats taken or freed, in sum
    tenant  uuid;
    section uuid;
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT jsonb_agg(to_jsonb(d)) INTO moved
        FROM (
            SELECT c.business_id, c.course_section_id, c.program_id, c.course_order_line_id,
                   count(*) AS seats
            FROM changed AS c
            WHERE courses.holds_seat(c.status)
            GROUP BY c.business_id, c.course_section_id, c.program_id, c.course_order_line_id
        ) AS d;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT jsonb_agg(to_jsonb(d)) INTO moved
        FROM (
            SELECT f.business_id, f.course_section_id, f.program_id, f.course_order_line_id,
                   -count(*) AS seats
            FROM former AS f
            WHERE courses.holds_seat(f.status)
            GROUP BY f.business_id, f.course_section_id, f.program_id, f.course_order_line_id
        ) AS d;
    ELSE
        SELECT jsonb_agg(to_jsonb(d)) INTO moved
        FROM (
            SELECT x.business_id, x.course_section_id, x.program_id, x.course_order_line_id,
                   sum(x.seats) AS seats
            FROM (
                SELECT c.business_id, c.course_section_id, c.program_id, c.course_order_line_id,
                       1 AS seats
                FROM changed AS c
                WHERE courses.holds_seat(c.status)
                UNION ALL
                SELECT f.business_id, f.course_section_id, f.program_id, f.course_order_line_id,
                       -1
                FROM former AS f
                WHERE courses.holds_seat(f.status)
            ) AS x
            GROUP BY x.business_id, x.course_section_id, x.program_id, x.course_order_line_id
            HAVING sum(x.seats) <> 0
        ) AS d;
    END IF;
    IF moved IS NULL THEN
        RETURN NULL;
    END IF;

    FOR tenant IN
        SELECT DISTINCT m.business_id FROM courses.moved_seats(moved) AS m ORDER BY m.business_id
    LOOP
        -- Always in this order, by key: sections, courses, programs, order lines.
        PERFORM FROM courses.course_section AS s
        WHERE s.business_id = tenant AND (s.business_id, s.course_section_id) IN (
            SELECT m.business_id, m.course_section_id FROM courses.moved_seats(moved) AS m)
        ORDER BY s.course_section_id
        FOR NO KEY UPDATE;
        UPDATE courses.course_section AS s
        SET enrolled_count = s.enrolled_count + n.seats,
            status = CASE WHEN s.status = 'open' AND s.enrolled_count + n.seats = s.seat_limit
                          THEN 'full'
                          WHEN s.status = 'full' AND s.enrolled_count + n.seats < s.seat_limit
                          THEN 'open'
                          ELSE s.status END
        FROM (
            SELECT m.business_id, m.course_section_id, sum(m.seats) AS seats
            FROM courses.moved_seats(moved) AS m
            GROUP BY m.business_id, m.course_section_id
        ) AS n
        WHERE s.business_id = tenant AND s.business_id = n.business_id
          AND s.course_section_id = n.course_section_id AND n.seats <> 0;

        PERFORM FROM courses.course AS k
        WHERE k.business_id = tenant AND (k.business_id, k.course_id) IN (
            SELECT s.business_id, s.course_id
            FROM courses.moved_seats(moved) AS m
            JOIN courses.course_section AS s
                ON s.business_id = m.business_id AND s.course_section_id = m.course_section_id
            WHERE s.business_id = tenant)
        ORDER BY k.course_id
        FOR NO KEY UPDATE;
        UPDATE courses.course AS k
        SET enrollment_count = k.enrollment_count + n.seats
        FROM (
            SELECT s.business_id, s.course_id, sum(m.seats) AS seats
            FROM courses.moved_seats(moved) AS m
            JOIN courses.course_section AS s
                ON s.business_id = m.business_id AND s.course_section_id = m.course_section_id
            WHERE s.business_id = tenant
            GROUP BY s.business_id, s.course_id
        ) AS n
        WHERE k.business_id = tenant AND k.business_id = n.business_id
          AND k.course_id = n.course_id AND n.seats <> 0;

        PERFORM FROM courses.program AS p
        WHERE p.business_id = tenant AND (p.business_id, p.program_id) IN (
            SELECT m.business_id, m.program_id FROM courses.moved_seats(moved) AS m)
        ORDER BY p.program_id
        FOR NO KEY UPDATE;
        UPDATE courses.program AS p
        SET enrollment_count = p.enrollment_count + n.seats
        FROM (
            SELECT m.business_id, m.program_id, sum(m.seats) AS seats
            FROM courses.moved_seats(moved) AS m
            GROUP BY m.business_id, m.program_id
        ) AS n
        WHERE p.business_id = tenant AND p.business_id = n.business_id
          AND p.program_id = n.program_id AND n.seats <> 0;

        PERFORM FROM courses.course_order_line AS l
        WHERE l.business_id = tenant AND (l.business_id, l.course_order_line_id) IN (
            SELECT m.business_id, m.course_order_line_id FROM courses.moved_seats(moved) AS m)
        ORDER BY l.course_order_line_id
        FOR NO KEY UPDATE;
        UPDATE courses.course_order_line AS l
        SET seats_assigned = l.seats_assigned + n.seats
        FROM (
            SELECT m.business_id, m.course_order_line_id, sum(m.seats) AS seats
            FROM courses.moved_seats(moved) AS m
            GROUP BY m.business_id, m.course_order_line_id
        ) AS n
        WHERE l.business_id = tenant AND l.business_id = n.business_id
          AND l.course_order_line_id = n.course_order_line_id AND n.seats <> 0;
    END LOOP;

    -- A freed seat is offered to whoever waits for it; history brings its own offers.
    IF row_security_active(TG_RELID) THEN
        FOR section IN
            SELECT m.course_section_id
            FROM courses.moved_seats(moved) AS m
            WHERE m.course_section_id IS NOT NULL
            GROUP BY m.course_section_id
            HAVING sum(m.seats) < 0
            ORDER BY m.course_section_id
        LOOP
            PERFORM courses.promote_waitlist(section);
        END LOOP;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.count_seats() IS
    'Sections, courses, programs and order lines count the enrollments that hold a seat. A section
     that is full refuses, one that was full opens and its queue moves up.';

CREATE FUNCTION courses.moved_seats(moved jsonb)
    RETURNS TABLE (business_id uuid, course_section_id uuid, program_id uuid,
                   course_order_line_id uuid, seats integer)
    LANGUAGE sql IMMUTABLE
BEGIN ATOMIC
    SELECT m.business_id, m.course_section_id, m.program_id, m.course_order_line_id, m.seats
    FROM JSON_TABLE(moved, '$[*]' COLUMNS (
        business_id          uuid    PATH '$.business_id',
        course_section_id    uuid    PATH '$.course_section_id',
        program_id           uuid    PATH '$.program_id',
        course_order_line_id uuid    PATH '$.course_order_line_id',
        seats                integer PATH '$.seats')) AS m;
END;
COMMENT ON FUNCTION courses.moved_seats(jsonb) IS
    'What courses.count_seats() found, as rows.';

CREATE FUNCTION courses.note_enrollment_moves() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        UPDATE courses.learner AS l
        SET first_enrolled_at = n.enrolled_at
        FROM (
            SELECT c.business_id, c.learner_id, min(c.enrolled_at) AS enrolled_at
            FROM changed AS c
            GROUP BY c.business_id, c.learner_id
        ) AS n
        WHERE l.business_id = n.business_id AND l.learner_id = n.learner_id
          AND n.enrolled_at < coalesce(l.first_enrolled_at, 'infinity');
    ELSE
        UPDATE courses.learner AS l
        SET first_enrolled_at = n.enrolled_at
        FROM (
            SELECT c.business_id, c.learner_id, min(c.enrolled_at) AS enrolled_at
            FROM changed AS c
            JOIN former AS f ON f.business_id = c.business_id AND f.enrollment_id = c.enrollment_id
            WHERE c.enrolled_at IS DISTINCT FROM f.enrolled_at
            GROUP BY c.business_id, c.learner_id
        ) AS n
        WHERE l.business_id = n.business_id AND l.learner_id = n.learner_id
          AND n.enrolled_at < coalesce(l.first_enrolled_at, 'infinity');
    END IF;
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        INSERT INTO courses.enrollment_status_event
            (business_id, enrollment_id, occurred_at, to_status, cause, progress_pct_then)
        SELECT c.business_id, c.enrollment_id, clock_timestamp(), c.status,
               CASE WHEN c.source = 'self' THEN 'learner' ELSE 'admin' END,
               coalesce(c.progress_pct, 0)
        FROM changed AS c;
    ELSE
        INSERT INTO courses.enrollment_status_event
            (business_id, enrollment_id, occurred_at, from_status, to_status, cause, reason,
             progress_pct_then, refund_due)
        SELECT c.business_id, c.enrollment_id, clock_timestamp(), f.status, c.status,
               CASE WHEN f.status = 'pending_payment' AND c.status = 'active' THEN 'payment'
                    WHEN c.status IN ('completed', 'failed') THEN 'completion_rule'
                    WHEN c.status = 'expired' THEN 'expiry'
                    WHEN c.status IN ('withdrawn', 'paused') OR f.status = 'paused' THEN 'learner'
                    WHEN c.source = 'self' AND f.status = 'requested' THEN 'learner'
                    ELSE 'admin' END,
               c.withdrawal_reason, coalesce(c.progress_pct, 0),
               c.status = 'withdrawn' AND c.course_order_line_id IS NOT NULL
                   AND f.status <> 'pending_payment'
                   AND c.withdrawn_at < c.enrolled_at + make_interval(
                       days => courses.refund_window_days())
        FROM changed AS c
        JOIN former AS f ON f.business_id = c.business_id AND f.enrollment_id = c.enrollment_id
        WHERE c.status <> f.status;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.note_enrollment_moves() IS
    'Writes down each move of an enrollment, with what brought it about, and the first enrollment
     of a learner. Imported history brings its events.';

CREATE FUNCTION courses.refund_window_days() RETURNS integer
    LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN coalesce((
        SELECT (coalesce(s.value, s.default_value) #>> '{}')::integer
        FROM system_core.setting AS s
        WHERE s.business_id = tenant_mgmt.current_business_id() AND s.namespace = 'courses'
          AND s.setting_key = 'refund_window_days' AND s.scope = 'business'), 14);
END
$$;
COMMENT ON FUNCTION courses.refund_window_days() IS
    'How long after enrolling one gets the money back: the setting courses/refund_window_days of
     the business, or 14 days.';

CREATE TRIGGER enrollment_stamp_new
    BEFORE INSERT ON courses.enrollment
    FOR EACH ROW EXECUTE FUNCTION courses.stamp_enrollment();

CREATE TRIGGER enrollment_stamp
    BEFORE UPDATE OF status ON courses.enrollment
    FOR EACH ROW WHEN (NEW.status <> OLD.status)
    EXECUTE FUNCTION courses.stamp_enrollment();

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

-- By its name before enrollment_moves: the section is locked first, as everywhere.
CREATE TRIGGER enrollment_count_seats_on_insert
    AFTER INSERT ON courses.enrollment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.count_seats();

CREATE TRIGGER enrollment_count_seats_on_update
    AFTER UPDATE ON courses.enrollment
    REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.count_seats();

CREATE TRIGGER enrollment_count_seats_on_delete
    AFTER DELETE ON courses.enrollment
    REFERENCING OLD TABLE AS former
    FOR EACH STATEMENT EXECUTE FUNCTION courses.count_seats();

CREATE TRIGGER enrollment_moves_on_insert
    AFTER INSERT ON courses.enrollment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.note_enrollment_moves();

CREATE TRIGGER enrollment_moves_on_update
    AFTER UPDATE ON courses.enrollment
    REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.note_enrollment_moves();


CREATE TABLE courses.enrollment_status_event (
    business_id                uuid                   NOT NULL,
    enrollment_status_event_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    enrollment_id              uuid                   NOT NULL,
    actor_user_account_id      uuid,
    occurred_at                timestamptz            NOT NULL,
    from_status                text,
    to_status                  text                   NOT NULL,
    cause                      text                   NOT NULL,
    reason                     text,
    progress_pct_then          system_core.percentage NOT NULL DEFAULT 0,
    refund_due                 boolean                NOT NULL DEFAULT false,
    note                       text,
    created_at                 timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, enrollment_status_event_id, occurred_at),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    FOREIGN KEY (business_id, actor_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT enrollment_status_event_cause_known
        CHECK (cause IN ('learner', 'admin', 'payment', 'completion_rule', 'expiry', 'import')),
    CONSTRAINT enrollment_status_event_follows_an_edge
        CHECK (CASE
                   WHEN from_status IS NULL
                       THEN to_status = 'requested' OR cause = 'import'
                   WHEN from_status = 'requested'
                       THEN to_status IN ('pending_payment', 'active', 'audit', 'withdrawn')
                   WHEN from_status = 'pending_payment'
                       THEN to_status IN ('active', 'withdrawn', 'expired')
                   WHEN from_status = 'active'
                       THEN to_status IN ('paused', 'completed', 'failed', 'withdrawn',
                                          'expired', 'audit')
                   WHEN from_status IN ('paused', 'audit')
                       THEN to_status IN ('active', 'withdrawn', 'expired')
                   WHEN from_status = 'failed' THEN to_status IN ('active', 'expired')
                   ELSE false END),
    CONSTRAINT enrollment_status_event_progress_is_a_share
        CHECK (progress_pct_then BETWEEN 0 AND 100),
    CONSTRAINT enrollment_status_event_refund_of_a_withdrawal
        CHECK (NOT refund_due OR to_status = 'withdrawn')
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE courses.enrollment_status_event IS
    'Move of an enrollment from a status to the next; append only.';
COMMENT ON COLUMN courses.enrollment_status_event.from_status IS 'NULL: it was made.';
COMMENT ON COLUMN courses.enrollment_status_event.refund_due IS
    'Withdrawn in time and paid for: there is money to be given back.';

-- FK: the history of an enrollment.
CREATE INDEX enrollment_status_event_enrollment_idx
    ON courses.enrollment_status_event (business_id, enrollment_id, occurred_at);

-- FK: what somebody did.
CREATE INDEX enrollment_status_event_actor_user_account_idx
    ON courses.enrollment_status_event (business_id, actor_user_account_id)
    WHERE actor_user_account_id IS NOT NULL;

ALTER TABLE courses.enrollment_status_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.enrollment_status_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON courses.enrollment_status_event TO app_user;
GRANT SELECT ON courses.enrollment_status_event TO app_readonly;

CREATE TRIGGER enrollment_status_event_append_only
    BEFORE UPDATE OR DELETE ON courses.enrollment_status_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('courses.enrollment_status_event');

CREATE TABLE courses.enrollment_status_event_default
    PARTITION OF courses.enrollment_status_event DEFAULT;
ALTER TABLE courses.enrollment_status_event_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.enrollment_status_event_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions(
    'courses.enrollment_status_event', 'month', behind => 13, ahead => 3);


-- References of earlier files that had to wait for these tables.
ALTER TABLE courses.lti_launch
    ADD FOREIGN KEY (business_id, enrollment_id)
    REFERENCES courses.enrollment (business_id, enrollment_id);
ALTER TABLE courses.release_rule
    ADD FOREIGN KEY (business_id, cohort_id) REFERENCES courses.cohort (business_id, cohort_id);
ALTER TABLE courses.scorm_attempt
    ADD FOREIGN KEY (business_id, enrollment_id)
    REFERENCES courses.enrollment (business_id, enrollment_id);
