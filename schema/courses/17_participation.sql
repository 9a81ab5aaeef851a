/*
 * Participation: live classes, who was there, what learners say of a course, how far a program is.
 *
 * A class_meeting is a live session of a section, online or in a room; an instructor is in one at a
 * time. A meeting_attendance says who came and for how long. A course_review is the rating of
 * somebody who took part; published ones make the rating of the course and of who leads it.
 * courses.program_audit() walks the requirements of a program for a learner.
 */

CREATE TABLE courses.class_meeting (
    business_id         uuid                  NOT NULL,
    class_meeting_id    uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    course_section_id   uuid                  NOT NULL,
    instructor_id       uuid,
    lesson_id           uuid,
    title               text                  NOT NULL,
    starts_at           timestamptz           NOT NULL,
    ends_at             timestamptz           NOT NULL,
    mode                text                  NOT NULL,
    room                text,
    provider            text                  NOT NULL DEFAULT 'none',
    join_url_ref        system_core.vault_ref,
    capacity            integer,
    status              text                  NOT NULL DEFAULT 'scheduled',
    recording_state     text                  NOT NULL DEFAULT 'none',
    attendance_required boolean               NOT NULL DEFAULT false,
    cancelled_reason    text,
    created_at          timestamptz           NOT NULL DEFAULT now(),
    updated_at          timestamptz           NOT NULL DEFAULT now(),
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
    CONSTRAINT class_meeting_ends_after_start CHECK (ends_at > starts_at),
    CONSTRAINT class_meeting_ends_within_a_day CHECK (ends_at <= starts_at + interval '24 hours'),
    CONSTRAINT class_meeting_online_can_be_joined
        CHECK (mode = 'classroom' OR status = 'cancelled' OR join_url_ref IS NOT NULL),
    CONSTRAINT class_meeting_cancelled_for_a_reason
        CHECK (status <> 'cancelled' OR coalesce(cancelled_reason, '') ~ '\S'),
    CONSTRAINT class_meeting_recorded_after_it_began
        CHECK (recording_state = 'none' OR status IN ('live', 'ended')),
    CONSTRAINT class_meeting_capacity_positive CHECK (capacity > 0),
    -- Nobody teaches in two places at once.
    EXCLUDE USING gist (business_id WITH =, instructor_id WITH =,
                        tstzrange(starts_at, ends_at) WITH &&)
        WHERE (status NOT IN ('cancelled', 'rescheduled'))
);

COMMENT ON TABLE courses.class_meeting IS 'Live session of a section, online or in a room.';
COMMENT ON COLUMN courses.class_meeting.join_url_ref IS
    'Where the address lies that lets one in; whoever has it is in the class.';
COMMENT ON COLUMN courses.class_meeting.status IS 'rescheduled: another meeting took its place.';

-- The timetable of a section; also its foreign key.
CREATE INDEX class_meeting_course_section_idx
    ON courses.class_meeting (business_id, course_section_id, starts_at);

-- FK: the timetable of an instructor.
CREATE INDEX class_meeting_instructor_idx
    ON courses.class_meeting (business_id, instructor_id, starts_at)
    WHERE instructor_id IS NOT NULL;

-- FK: the classes that teach a lesson.
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


CREATE TABLE courses.meeting_attendance (
    business_id           uuid                   NOT NULL,
    meeting_attendance_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    class_meeting_id      uuid                   NOT NULL,
    enrollment_id         uuid                   NOT NULL,
    status                text                   NOT NULL DEFAULT 'present',
    joined_at             timestamptz,
    left_at               timestamptz,
    minutes_present       integer                NOT NULL DEFAULT 0,
    join_count            integer                NOT NULL DEFAULT 0,
    chat_messages         integer                NOT NULL DEFAULT 0,
    hand_raises           integer                NOT NULL DEFAULT 0,
    poll_answers          integer                NOT NULL DEFAULT 0,
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
    CONSTRAINT meeting_attendance_left_after_joining CHECK (left_at >= joined_at),
    CONSTRAINT meeting_attendance_minutes_within_stay
        CHECK (minutes_present <= ceil(extract(epoch FROM left_at - joined_at) / 60)),
    CONSTRAINT meeting_attendance_absent_was_not_there
        CHECK (status NOT IN ('absent', 'excused')
               OR (joined_at IS NULL AND minutes_present = 0)),
    CONSTRAINT meeting_attendance_excused_for_a_reason
        CHECK (status <> 'excused' OR coalesce(excuse_note, '') ~ '\S'),
    CONSTRAINT meeting_attendance_counts_not_negative
        CHECK (minutes_present >= 0 AND join_count >= 0 AND chat_messages >= 0
               AND hand_raises >= 0 AND poll_answers >= 0),
    CONSTRAINT meeting_attendance_camera_is_a_share CHECK (camera_on_pct BETWEEN 0 AND 100)
);

COMMENT ON TABLE courses.meeting_attendance IS
    'Whether a learner came to a meeting, for how many minutes, and how much part they took.';

-- FK: the attendance of a learner.
CREATE INDEX meeting_attendance_enrollment_idx
    ON courses.meeting_attendance (business_id, enrollment_id);

ALTER TABLE courses.meeting_attendance ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.meeting_attendance
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.meeting_attendance TO app_user;
GRANT SELECT ON courses.meeting_attendance TO app_readonly;

CREATE FUNCTION courses.attend_own_class() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    SELECT m.title, c.minutes_present,
           m.course_section_id IS DISTINCT FROM e.course_section_id AS is_elsewhere
    INTO wrong
    FROM changed AS c
    JOIN courses.class_meeting AS m
        ON m.business_id = c.business_id AND m.class_meeting_id = c.class_meeting_id
    JOIN courses.enrollment AS e
        ON e.business_id = c.business_id AND e.enrollment_id = c.enrollment_id
    WHERE m.course_section_id IS DISTINCT FROM e.course_section_id
       OR (c.minutes_present > ceil(extract(epoch FROM m.ends_at - m.starts_at) / 60)
           AND c.status <> 'watched_recording')
    ORDER BY c.meeting_attendance_id
    LIMIT 1;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF wrong.is_elsewhere THEN
        RAISE EXCEPTION 'class "%" is of another section than the enrollment', wrong.title
            USING ERRCODE = 'check_violation';
    END IF;
    RAISE EXCEPTION 'class "%" did not last % minutes', wrong.title, wrong.minutes_present
        USING ERRCODE = 'check_violation', HINT = 'Nobody is present for longer than the class.';
END
$$;
COMMENT ON FUNCTION courses.attend_own_class() IS
    'One attends classes of one''s own section, and for no longer than they last.';

CREATE TRIGGER meeting_attendance_touch
    BEFORE UPDATE ON courses.meeting_attendance
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER meeting_attendance_of_own_class_on_insert
    AFTER INSERT ON courses.meeting_attendance
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.attend_own_class();

CREATE TRIGGER meeting_attendance_of_own_class_on_update
    AFTER UPDATE ON courses.meeting_attendance
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.attend_own_class();


CREATE TABLE courses.course_review (
    business_id       uuid        NOT NULL,
    course_review_id  uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    course_id         uuid        NOT NULL,
    enrollment_id     uuid        NOT NULL,
    moderated_by      uuid,
    rating            smallint    NOT NULL,
    title             text,
    body              text,
    content_rating    smallint,
    instructor_rating smallint,
    difficulty_rating smallint,
    submitted_at      timestamptz NOT NULL DEFAULT now(),
    status            text        NOT NULL DEFAULT 'pending',
    helpful_count     integer     NOT NULL DEFAULT 0,
    reply_text        text,
    replied_at        timestamptz,
    moderated_at      timestamptz,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, course_review_id),
    UNIQUE (business_id, enrollment_id),
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    FOREIGN KEY (business_id, moderated_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT course_review_status_known
        CHECK (status IN ('pending', 'published', 'hidden', 'flagged')),
    CONSTRAINT course_review_has_five_stars
        CHECK (rating BETWEEN 1 AND 5 AND content_rating BETWEEN 1 AND 5
               AND instructor_rating BETWEEN 1 AND 5 AND difficulty_rating BETWEEN 1 AND 5),
    CONSTRAINT course_review_reply_is_whole
        CHECK ((replied_at IS NULL) = (reply_text IS NULL)),
    CONSTRAINT course_review_replied_after_it CHECK (replied_at >= submitted_at),
    CONSTRAINT course_review_moderated_after_it CHECK (moderated_at >= submitted_at),
    CONSTRAINT course_review_moderation_is_whole
        CHECK ((moderated_by IS NULL) = (moderated_at IS NULL)),
    CONSTRAINT course_review_helpful_not_negative CHECK (helpful_count >= 0)
);

COMMENT ON TABLE courses.course_review IS 'Rating and text of a learner who took part.';
COMMENT ON COLUMN courses.course_review.difficulty_rating IS '1 is easy, 5 is hard; no judgment.';

-- FK: what learners say of a course, the newest first.
CREATE INDEX course_review_course_idx
    ON courses.course_review (business_id, course_id, submitted_at DESC);

-- What waits for moderation, the oldest first.
CREATE INDEX course_review_waiting_idx
    ON courses.course_review (business_id, submitted_at) WHERE status IN ('pending', 'flagged');

-- FK: what somebody moderated.
CREATE INDEX course_review_moderated_by_idx
    ON courses.course_review (business_id, moderated_by)
    WHERE moderated_by IS NOT NULL;

ALTER TABLE courses.course_review ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.course_review
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.course_review TO app_user;
GRANT SELECT ON courses.course_review TO app_readonly;

CREATE FUNCTION courses.review_own_course() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    taken record;
BEGIN
    SELECT s.course_id, e.progress_pct INTO taken
    FROM courses.enrollment AS e
    LEFT JOIN courses.course_section AS s
        ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
    WHERE e.business_id = NEW.business_id AND e.enrollment_id = NEW.enrollment_id;
    IF taken.course_id IS DISTINCT FROM NEW.course_id THEN
        RAISE EXCEPTION 'the enrollment is not in the course that it reviews'
            USING ERRCODE = 'check_violation';
    END IF;
    IF coalesce(taken.progress_pct, 0) < 25 AND row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'a course is reviewed from 25 %% on, this learner is at % %%',
                        trim_scale(coalesce(taken.progress_pct, 0))
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.review_own_course() IS
    'One reviews the course that one took, after a quarter of it.';

CREATE FUNCTION courses.rate_courses() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    touched uuid[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        touched := ARRAY(SELECT DISTINCT c.course_id FROM changed AS c
                         WHERE c.status = 'published');
    ELSIF TG_OP = 'DELETE' THEN
        touched := ARRAY(SELECT DISTINCT f.course_id FROM former AS f
                         WHERE f.status = 'published');
    ELSE
        touched := ARRAY(
            SELECT DISTINCT c.course_id
            FROM changed AS c
            JOIN former AS f
                ON f.business_id = c.business_id AND f.course_review_id = c.course_review_id
            WHERE (c.status, c.rating, c.instructor_rating)
                  IS DISTINCT FROM (f.status, f.rating, f.instructor_rating));
    END IF;
    IF cardinality(touched) = 0 THEN
        RETURN NULL;
    END IF;
    -- Averaged under the lock: two reviews at once are both in it.
    PERFORM FROM courses.course AS k
    WHERE k.business_id = tenant_mgmt.current_business_id() AND k.course_id = ANY (touched)
    ORDER BY k.course_id
    FOR NO KEY UPDATE;
    UPDATE courses.course AS k
    SET average_rating = n.rating
    FROM (
        SELECT x.business_id, x.course_id, round(avg(r.rating), 2) AS rating
        FROM courses.course AS x
        LEFT JOIN courses.course_review AS r
            ON r.business_id = x.business_id AND r.course_id = x.course_id
           AND r.status = 'published'
        WHERE x.business_id = tenant_mgmt.current_business_id() AND x.course_id = ANY (touched)
        GROUP BY x.business_id, x.course_id
    ) AS n
    WHERE k.business_id = tenant_mgmt.current_business_id()
      AND k.business_id = n.business_id AND k.course_id = n.course_id
      AND k.average_rating IS DISTINCT FROM n.rating;

    UPDATE courses.instructor AS i
    SET average_rating = n.rating
    FROM (
        SELECT w.business_id, w.instructor_id, round(avg(r.instructor_rating), 2) AS rating
        FROM (
            SELECT DISTINCT t.business_id, t.instructor_id
            FROM courses.course_section AS s
            JOIN courses.section_instructor AS t
                ON t.business_id = s.business_id AND t.course_section_id = s.course_section_id
               AND t.role = 'lead'
            WHERE s.business_id = tenant_mgmt.current_business_id()
              AND s.course_id = ANY (touched)
        ) AS w
        JOIN courses.section_instructor AS t
            ON t.business_id = w.business_id AND t.instructor_id = w.instructor_id
           AND t.role = 'lead'
        LEFT JOIN courses.enrollment AS e
            ON e.business_id = t.business_id AND e.course_section_id = t.course_section_id
        LEFT JOIN courses.course_review AS r
            ON r.business_id = t.business_id AND r.enrollment_id = e.enrollment_id
           AND r.status = 'published'
        GROUP BY w.business_id, w.instructor_id
    ) AS n
    WHERE i.business_id = tenant_mgmt.current_business_id()
      AND i.business_id = n.business_id AND i.instructor_id = n.instructor_id
      AND i.average_rating IS DISTINCT FROM n.rating;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.rate_courses() IS
    'Published reviews make the rating of their course and of the instructor who leads it.';

CREATE TRIGGER course_review_touch
    BEFORE UPDATE ON courses.course_review
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER course_review_own_course
    BEFORE INSERT OR UPDATE OF course_id, enrollment_id ON courses.course_review
    FOR EACH ROW EXECUTE FUNCTION courses.review_own_course();

CREATE TRIGGER course_review_rate_on_insert
    AFTER INSERT ON courses.course_review
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.rate_courses();

CREATE TRIGGER course_review_rate_on_update
    AFTER UPDATE ON courses.course_review
    REFERENCING OLD TABLE AS former NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.rate_courses();

CREATE TRIGGER course_review_rate_on_delete
    AFTER DELETE ON courses.course_review
    REFERENCING OLD TABLE AS former
    FOR EACH STATEMENT EXECUTE FUNCTION courses.rate_courses();


CREATE FUNCTION courses.requirement_state(
    learner         uuid,
    requirement     uuid,
    OUT state       text,
    OUT credits     numeric,
    OUT met_count   integer,
    OUT needed_count integer
)
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    asked  courses.program_requirement;
    begun  boolean;
    enough boolean;
BEGIN
    SELECT r.* INTO STRICT asked
    FROM courses.program_requirement AS r
    WHERE r.business_id = tenant AND r.program_requirement_id = requirement;

    IF asked.requirement_kind IN ('course', 'capstone') THEN
        -- Any version of the course will do.
        SELECT coalesce(bool_or(e.status = 'completed'
                                AND (asked.minimum_grade_pct IS NULL
                                     OR e.final_grade_pct >= asked.minimum_grade_pct)), false),
               coalesce(bool_or(e.status IN ('active', 'paused', 'pending_payment')), false),
               max(taken.credit_hours)
        INTO enough, begun, credits
        FROM courses.course AS wanted
        JOIN courses.course AS taken
            ON taken.business_id = wanted.business_id AND taken.course_code = wanted.course_code
        JOIN courses.course_section AS s
            ON s.business_id = taken.business_id AND s.course_id = taken.course_id
        JOIN courses.enrollment AS e
            ON e.business_id = s.business_id AND e.course_section_id = s.course_section_id
           AND e.learner_id = learner
        WHERE wanted.business_id = tenant AND wanted.course_id = asked.course_id;
        needed_count := 1;
        met_count := enough::integer;
        credits := CASE WHEN enough THEN credits ELSE 0 END;
    ELSIF asked.requirement_kind = 'certification' THEN
        SELECT coalesce(bool_or(a.state IN ('awarded', 'expiring', 'in_grace')), false),
               coalesce(bool_or(a.state IN ('in_progress', 'eligible')), false)
        INTO enough, begun
        FROM courses.certification_attainment AS a
        WHERE a.business_id = tenant AND a.learner_id = learner
          AND a.certification_id = asked.certification_id;
        needed_count := 1;
        met_count := enough::integer;
        credits := 0;
    ELSE
        SELECT coalesce(sum(c.credits), 0),
               count(*) FILTER (WHERE c.state = 'met' AND (asked.requirement_kind <> 'group'
                                                           OR NOT r.is_optional)),
               count(*) FILTER (WHERE NOT r.is_optional),
               coalesce(bool_or(c.state <> 'open'), false)
        INTO credits, met_count, needed_count, begun
        FROM courses.program_requirement AS r
        CROSS JOIN LATERAL courses.requirement_state(learner, r.program_requirement_id) AS c
        WHERE r.business_id = tenant AND r.program_id = asked.program_id
          AND r.parent_requirement_id = requirement;
        IF asked.requirement_kind = 'choose_n' THEN
            needed_count := asked.choose_count;
        END IF;
        enough := CASE asked.requirement_kind WHEN 'credits'
                       THEN credits >= asked.minimum_credits
                       ELSE met_count >= needed_count END;
    END IF;
    state := CASE WHEN enough THEN 'met' WHEN begun THEN 'in_progress' ELSE 'open' END;
END
$$;
COMMENT ON FUNCTION courses.requirement_state(uuid, uuid) IS
    'Whether a learner met an element of a program (met, in_progress, open), with the credits of
     what is completed below it and how many of how many elements are met.';

CREATE FUNCTION courses.program_audit(learner uuid, program uuid)
    RETURNS TABLE (
        place                  text,
        program_requirement_id uuid,
        parent_requirement_id  uuid,
        requirement_kind       text,
        title                  text,
        is_optional            boolean,
        state                  text,
        credits                numeric,
        met_count              integer,
        needed_count           integer
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH RECURSIVE numbered AS (
        SELECT r.program_requirement_id, r.parent_requirement_id, r.requirement_kind, r.title,
               r.is_optional,
               row_number() OVER (PARTITION BY r.parent_requirement_id
                                  ORDER BY r.sort_order, r.program_requirement_id) AS number
        FROM courses.program_requirement AS r
        WHERE r.business_id = tenant_mgmt.current_business_id()
          AND r.program_id = program_audit.program
    ), tree AS (
        SELECT n.*, ARRAY[n.number] AS path
        FROM numbered AS n
        WHERE n.parent_requirement_id IS NULL
        UNION ALL
        SELECT n.*, t.path || n.number
        FROM tree AS t
        JOIN numbered AS n ON n.parent_requirement_id = t.program_requirement_id
    )
    SELECT array_to_string(t.path, '.'), t.program_requirement_id, t.parent_requirement_id,
           t.requirement_kind, t.title, t.is_optional, s.state, s.credits, s.met_count,
           s.needed_count
    FROM tree AS t
    CROSS JOIN LATERAL courses.requirement_state(learner, t.program_requirement_id) AS s
    ORDER BY t.path;
END;
COMMENT ON FUNCTION courses.program_audit(uuid, uuid) IS
    'The requirements of a program as a tree in order (1, 1.1, 1.2, 2), each with how far the
     learner is.';

CREATE VIEW courses.v_program_audit WITH (security_invoker = true) AS
SELECT e.business_id, e.enrollment_id, e.learner_id, e.program_id, e.status, a.place,
       a.program_requirement_id, a.parent_requirement_id, a.requirement_kind, a.title,
       a.is_optional, a.state, a.credits, a.met_count, a.needed_count
FROM courses.enrollment AS e
CROSS JOIN LATERAL courses.program_audit(e.learner_id, e.program_id) AS a
WHERE e.program_id IS NOT NULL;
COMMENT ON VIEW courses.v_program_audit IS
    'Requirement tree of each learner in a program, with met and open parts.';
GRANT SELECT ON courses.v_program_audit TO app_user, app_readonly;
