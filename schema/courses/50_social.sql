/*
 * Learners together: study groups, mentors, notes and announcements.
 *
 * A study_group is organized by a learner or assigned by a teacher, and study_group_members join,
 * leave and are never more than it takes. A mentor_pairing brings a learner and a mentor together
 * for a time. A lesson_note is what a learner writes beside a lesson, for themselves or for others.
 * A course_announcement is what an instructor tells a section. Forums are in 52_community.sql.
 */

CREATE TABLE courses.study_group (
    business_id          uuid                  NOT NULL,
    study_group_id       uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    organizer_learner_id uuid,
    course_section_id    uuid,
    name                 text                  NOT NULL,
    group_kind           text                  NOT NULL DEFAULT 'study',
    max_members          integer               NOT NULL DEFAULT 8,
    member_count         integer               NOT NULL DEFAULT 0,
    join_policy          text                  NOT NULL DEFAULT 'open',
    meeting_schedule     text,
    time_zone            system_core.time_zone NOT NULL DEFAULT 'UTC',
    goal                 text,
    status               text                  NOT NULL DEFAULT 'forming',
    last_active_at       timestamptz,
    created_at           timestamptz           NOT NULL DEFAULT now(),
    updated_at           timestamptz           NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, study_group_id),
    UNIQUE NULLS NOT DISTINCT (business_id, course_section_id, name),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, organizer_learner_id)
        REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, course_section_id)
        REFERENCES courses.course_section (business_id, course_section_id),
    CONSTRAINT study_group_kind_known
        CHECK (group_kind IN ('study', 'project', 'interest', 'assigned')),
    CONSTRAINT study_group_join_policy_known
        CHECK (join_policy IN ('open', 'request', 'invite', 'assigned')),
    CONSTRAINT study_group_status_known
        CHECK (status IN ('forming', 'active', 'dormant', 'closed')),
    CONSTRAINT study_group_size_bounded CHECK (max_members BETWEEN 2 AND 50),
    CONSTRAINT study_group_not_overfull CHECK (member_count BETWEEN 0 AND max_members),
    CONSTRAINT study_group_assigned_by_a_teacher
        CHECK ((group_kind = 'assigned') = (join_policy = 'assigned')
               AND (group_kind <> 'assigned' OR course_section_id IS NOT NULL))
);

COMMENT ON TABLE courses.study_group IS 'Self-organized or assigned group of learners.';
COMMENT ON COLUMN courses.study_group.member_count IS 'Active members; kept by them.';

-- FK: the groups that a learner organizes.
CREATE INDEX study_group_organizer_learner_idx
    ON courses.study_group (business_id, organizer_learner_id)
    WHERE organizer_learner_id IS NOT NULL;

ALTER TABLE courses.study_group ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.study_group
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.study_group TO app_user;
GRANT SELECT ON courses.study_group TO app_readonly;

CREATE TRIGGER study_group_touch
    BEFORE UPDATE ON courses.study_group
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER study_group_state_machine
    BEFORE INSERT OR UPDATE OF status ON courses.study_group
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["forming"],
        "transitions": {
            "forming": ["active", "closed"],
            "active":  ["dormant", "closed"],
            "dormant": ["active", "closed"],
            "closed":  []
        }}');


CREATE TABLE courses.study_group_member (
    business_id           uuid              NOT NULL,
    study_group_member_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    study_group_id        uuid              NOT NULL,
    learner_id            uuid              NOT NULL,
    role                  text              NOT NULL DEFAULT 'member',
    joined_at             timestamptz,
    left_at               timestamptz,
    contribution_score    system_core.score NOT NULL DEFAULT 0,
    invited_by_key        uuid,
    status                text              NOT NULL DEFAULT 'invited',
    peer_rating           integer,
    is_muted              boolean           NOT NULL DEFAULT false,
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, study_group_member_id),
    FOREIGN KEY (business_id, study_group_id)
        REFERENCES courses.study_group (business_id, study_group_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    CONSTRAINT study_group_member_role_known CHECK (role IN ('member', 'organizer', 'note_taker')),
    CONSTRAINT study_group_member_status_known
        CHECK (status IN ('invited', 'requested', 'active', 'left', 'removed')),
    CONSTRAINT study_group_member_left_after_joining CHECK (left_at > joined_at),
    CONSTRAINT study_group_member_active_has_joined
        CHECK (status <> 'active' OR joined_at IS NOT NULL),
    CONSTRAINT study_group_member_gone_has_left
        CHECK ((status IN ('left', 'removed')) = (left_at IS NOT NULL)),
    CONSTRAINT study_group_member_has_five_stars CHECK (peer_rating BETWEEN 1 AND 5),
    CONSTRAINT study_group_member_score_not_negative CHECK (contribution_score >= 0)
);

COMMENT ON TABLE courses.study_group_member IS 'Learner in a group.';
COMMENT ON COLUMN courses.study_group_member.invited_by_key IS
    'The learner who asked them in; no foreign key, they may be gone by then.';

-- One live membership of a learner in a group; FK: its members.
CREATE UNIQUE INDEX study_group_member_live_idx
    ON courses.study_group_member (business_id, study_group_id, learner_id)
    WHERE status IN ('invited', 'requested', 'active');

-- FK: all who were ever in a group.
CREATE INDEX study_group_member_study_group_idx
    ON courses.study_group_member (business_id, study_group_id);

-- FK: the groups of a learner.
CREATE INDEX study_group_member_learner_idx
    ON courses.study_group_member (business_id, learner_id);

ALTER TABLE courses.study_group_member ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.study_group_member
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.study_group_member TO app_user;
GRANT SELECT ON courses.study_group_member TO app_readonly;

CREATE TRIGGER study_group_member_touch
    BEFORE UPDATE ON courses.study_group_member
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER study_group_member_state_machine
    BEFORE INSERT OR UPDATE OF status ON courses.study_group_member
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["invited", "requested", "active"],
        "transitions": {
            "invited":   ["active", "left", "removed"],
            "requested": ["active", "left", "removed"],
            "active":    ["left", "removed"],
            "left":      [],
            "removed":   []
        }}');

CREATE FUNCTION courses.join_study_group() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    joined record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    SELECT g.name, g.status, g.join_policy INTO joined
    FROM courses.study_group AS g
    WHERE g.business_id = NEW.business_id AND g.study_group_id = NEW.study_group_id
    FOR NO KEY UPDATE;
    IF joined.status = 'closed' THEN
        RAISE EXCEPTION 'study group "%" is closed', joined.name USING ERRCODE = 'check_violation';
    END IF;
    IF TG_OP = 'INSERT' AND NEW.role <> 'organizer'
       AND NOT (joined.join_policy IN ('open', 'assigned')
                OR NEW.status = 'invited'
                OR (joined.join_policy = 'request' AND NEW.status = 'requested')) THEN
        RAISE EXCEPTION 'study group "%" is joined by %', joined.name, joined.join_policy
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.status = 'active' THEN
        NEW.joined_at := coalesce(NEW.joined_at, now());
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.join_study_group() IS
    'An open group is joined; into another one somebody is asked or asks. None joins a closed one.';

CREATE TRIGGER study_group_member_joins
    BEFORE INSERT OR UPDATE OF status ON courses.study_group_member
    FOR EACH ROW WHEN (NEW.status IN ('invited', 'requested', 'active'))
    EXECUTE FUNCTION courses.join_study_group();

CREATE FUNCTION courses.recount_groups(groups uuid[]) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    moved  integer;
BEGIN
    -- Who holds the group counts what all who held it before have committed.
    PERFORM
    FROM courses.study_group AS g
    WHERE g.business_id = tenant AND g.study_group_id = ANY (groups)
    ORDER BY g.study_group_id
    FOR NO KEY UPDATE;
    UPDATE courses.study_group AS g
    SET member_count = n.found
    FROM (
        SELECT t.study_group_id, count(m.study_group_member_id) AS found
        FROM (SELECT DISTINCT u.id AS study_group_id FROM unnest(groups) AS u (id)) AS t
        LEFT JOIN courses.study_group_member AS m
            ON m.business_id = tenant AND m.study_group_id = t.study_group_id
           AND m.status = 'active'
        GROUP BY t.study_group_id
    ) AS n
    WHERE g.business_id = tenant AND g.study_group_id = n.study_group_id
      AND g.member_count <> n.found;
    GET DIAGNOSTICS moved = ROW_COUNT;
    RETURN moved;
END
$$;
COMMENT ON FUNCTION courses.recount_groups(uuid[]) IS
    'Counts the active members of groups anew; returns how many groups said something else.';

CREATE FUNCTION courses.count_group_members() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    touched uuid[];
BEGIN
    IF TG_OP = 'UPDATE' THEN
        SELECT array_agg(g.id) INTO touched
        FROM changed AS c
        JOIN former AS f
            ON f.business_id = c.business_id
           AND f.study_group_member_id = c.study_group_member_id
        CROSS JOIN LATERAL (VALUES (c.study_group_id), (f.study_group_id)) AS g (id)
        WHERE (c.study_group_id, c.status) IS DISTINCT FROM (f.study_group_id, f.status);
    ELSE
        SELECT array_agg(c.study_group_id) INTO touched FROM changed AS c;
    END IF;
    IF touched IS NOT NULL THEN
        PERFORM courses.recount_groups(touched);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.count_group_members() IS
    'A group knows its active members and has no more than it takes, also when some join and leave
     at once: each holds the group before it counts.';

CREATE TRIGGER study_group_member_counted
    AFTER INSERT ON courses.study_group_member
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.count_group_members();

CREATE TRIGGER study_group_member_counted_anew
    AFTER UPDATE ON courses.study_group_member
    REFERENCING NEW TABLE AS changed OLD TABLE AS former
    FOR EACH STATEMENT EXECUTE FUNCTION courses.count_group_members();

CREATE TRIGGER study_group_member_counted_less
    AFTER DELETE ON courses.study_group_member
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.count_group_members();


CREATE TABLE courses.mentor_pairing (
    business_id            uuid              NOT NULL,
    mentor_pairing_id      uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    mentee_learner_id      uuid              NOT NULL,
    mentor_user_account_id uuid              NOT NULL,
    program_id             uuid,
    started_on             date,
    ended_on               date,
    status                 text              NOT NULL DEFAULT 'proposed',
    match_score            system_core.score,
    focus                  text,
    meetings_planned       integer           NOT NULL DEFAULT 6,
    meetings_held          integer           NOT NULL DEFAULT 0,
    mentee_rating          integer,
    mentor_rating          integer,
    end_reason             text,
    created_at             timestamptz       NOT NULL DEFAULT now(),
    updated_at             timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, mentor_pairing_id),
    FOREIGN KEY (business_id, mentee_learner_id)
        REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, mentor_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, program_id) REFERENCES courses.program (business_id, program_id),
    CONSTRAINT mentor_pairing_status_known
        CHECK (status IN ('proposed', 'active', 'paused', 'completed', 'ended_early')),
    CONSTRAINT mentor_pairing_match_is_a_share CHECK (match_score BETWEEN 0 AND 100),
    CONSTRAINT mentor_pairing_meetings_not_negative
        CHECK (meetings_planned >= 1 AND meetings_held >= 0),
    CONSTRAINT mentor_pairing_mentee_has_five_stars CHECK (mentee_rating BETWEEN 1 AND 5),
    CONSTRAINT mentor_pairing_mentor_has_five_stars CHECK (mentor_rating BETWEEN 1 AND 5),
    CONSTRAINT mentor_pairing_begun_has_start
        CHECK (status IN ('proposed', 'ended_early') OR started_on IS NOT NULL),
    CONSTRAINT mentor_pairing_over_has_end
        CHECK ((status IN ('completed', 'ended_early')) = (ended_on IS NOT NULL)),
    CONSTRAINT mentor_pairing_ends_after_start CHECK (ended_on >= started_on),
    CONSTRAINT mentor_pairing_ended_early_for_a_reason
        CHECK (status <> 'ended_early' OR coalesce(end_reason, '') ~ '\S')
);

COMMENT ON TABLE courses.mentor_pairing IS 'Mentor and mentee with goals and meetings.';
COMMENT ON COLUMN courses.mentor_pairing.mentee_rating IS 'What the mentee gives the mentor.';

-- One mentor at a time in a program, and one outside of any.
CREATE UNIQUE INDEX mentor_pairing_active_idx
    ON courses.mentor_pairing (business_id, mentee_learner_id, program_id)
    NULLS NOT DISTINCT WHERE status IN ('active', 'paused');

-- FK: who looked after a learner.
CREATE INDEX mentor_pairing_mentee_learner_idx
    ON courses.mentor_pairing (business_id, mentee_learner_id);

-- FK: whom a mentor looks after.
CREATE INDEX mentor_pairing_mentor_user_account_idx
    ON courses.mentor_pairing (business_id, mentor_user_account_id);

-- FK: the pairings of a program.
CREATE INDEX mentor_pairing_program_idx
    ON courses.mentor_pairing (business_id, program_id)
    WHERE program_id IS NOT NULL;

ALTER TABLE courses.mentor_pairing ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.mentor_pairing
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.mentor_pairing TO app_user;
GRANT SELECT ON courses.mentor_pairing TO app_readonly;

CREATE TRIGGER mentor_pairing_touch
    BEFORE UPDATE ON courses.mentor_pairing
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER mentor_pairing_state_machine
    BEFORE INSERT OR UPDATE OF status ON courses.mentor_pairing
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["proposed"],
        "transitions": {
            "proposed":    ["active", "ended_early"],
            "active":      ["paused", "completed", "ended_early"],
            "paused":      ["active", "ended_early"],
            "completed":   [],
            "ended_early": []
        }}');

CREATE FUNCTION courses.refuse_own_mentor() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT
               FROM courses.learner AS l
               WHERE l.business_id = NEW.business_id AND l.learner_id = NEW.mentee_learner_id
                 AND l.user_account_id = NEW.mentor_user_account_id) THEN
        RAISE EXCEPTION 'nobody mentors themselves' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.refuse_own_mentor() IS 'Mentor and mentee are two people.';

CREATE TRIGGER mentor_pairing_of_two
    BEFORE INSERT OR UPDATE OF mentee_learner_id, mentor_user_account_id
    ON courses.mentor_pairing
    FOR EACH ROW EXECUTE FUNCTION courses.refuse_own_mentor();


CREATE TABLE courses.lesson_note (
    business_id     uuid        NOT NULL,
    lesson_note_id  uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    learner_id      uuid        NOT NULL,
    lesson_id       uuid        NOT NULL,
    content_item_id uuid,
    body            text        NOT NULL,
    anchor_seconds  integer,
    anchor_text     text,
    color           text        NOT NULL DEFAULT 'yellow',
    visibility      text        NOT NULL DEFAULT 'private',
    noted_at        timestamptz NOT NULL DEFAULT now(),
    updated_on      date,
    like_count      integer     NOT NULL DEFAULT 0,
    is_flashcard    boolean     NOT NULL DEFAULT false,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, lesson_note_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, lesson_id) REFERENCES courses.lesson (business_id, lesson_id),
    FOREIGN KEY (business_id, content_item_id)
        REFERENCES courses.content_item (business_id, content_item_id),
    CONSTRAINT lesson_note_color_known CHECK (color IN ('yellow', 'green', 'blue', 'pink')),
    CONSTRAINT lesson_note_visibility_known CHECK (visibility IN ('private', 'group', 'public')),
    CONSTRAINT lesson_note_says_something CHECK (body ~ '\S' AND length(body) <= 10000),
    CONSTRAINT lesson_note_anchor_not_negative CHECK (anchor_seconds >= 0),
    CONSTRAINT lesson_note_likes_are_of_others
        CHECK (like_count >= 0 AND (visibility <> 'private' OR like_count = 0)),
    CONSTRAINT lesson_note_updated_after_writing
        CHECK (updated_on >= (noted_at AT TIME ZONE 'UTC')::date - 1)
);

COMMENT ON TABLE courses.lesson_note IS
    'Private or shared note of a learner at a place in a lesson.';
COMMENT ON COLUMN courses.lesson_note.anchor_seconds IS
    'Where in a film, as anchor_text in a page.';

-- FK: the notes of a learner, as the player lists them beside a lesson.
CREATE INDEX lesson_note_learner_idx
    ON courses.lesson_note (business_id, learner_id, lesson_id);

-- FK: the notes on a lesson that others may read.
CREATE INDEX lesson_note_lesson_idx
    ON courses.lesson_note (business_id, lesson_id, visibility);

-- FK: the notes on a film or page.
CREATE INDEX lesson_note_content_item_idx
    ON courses.lesson_note (business_id, content_item_id)
    WHERE content_item_id IS NOT NULL;

ALTER TABLE courses.lesson_note ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.lesson_note
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.lesson_note TO app_user;
GRANT SELECT ON courses.lesson_note TO app_readonly;

CREATE TRIGGER lesson_note_touch
    BEFORE UPDATE ON courses.lesson_note
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION courses.moderate_text(said text) RETURNS text
    LANGUAGE sql IMMUTABLE
    RETURN CASE
        WHEN said ~* '\m(idiot|moron|shut up|kill yourself)\M' THEN 'abuse'
        WHEN said ~* '\m(casino|crypto giveaway|essay writing service|cheap followers)\M'
             OR regexp_count(said, 'https?://') > 3 THEN 'spam'
        WHEN said ~* '\m(answer key|leaked exam|exam dump)s?\M' THEN 'cheating' END;
COMMENT ON FUNCTION courses.moderate_text(text) IS
    'The first glance at what learners publish: abuse, spam, cheating, or NULL for nothing found.';

CREATE FUNCTION courses.moderate_note() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) AND courses.moderate_text(NEW.body) IS NOT NULL THEN
        RAISE EXCEPTION 'this note is not published: %', courses.moderate_text(NEW.body)
            USING ERRCODE = 'check_violation', HINT = 'It may be kept as a private note.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.moderate_note() IS 'What others may read passes moderation.';

CREATE TRIGGER lesson_note_moderated
    BEFORE INSERT OR UPDATE OF body, visibility ON courses.lesson_note
    FOR EACH ROW WHEN (NEW.visibility <> 'private')
    EXECUTE FUNCTION courses.moderate_note();


CREATE TABLE courses.course_announcement (
    business_id              uuid        NOT NULL,
    course_announcement_id   uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    course_section_id        uuid        NOT NULL,
    instructor_id            uuid        NOT NULL,
    cohort_id                uuid,
    title                    text        NOT NULL,
    body                     text        NOT NULL,
    publish_at               timestamptz,
    expires_at               timestamptz,
    channel                  text        NOT NULL DEFAULT 'in_app',
    is_pinned                boolean     NOT NULL DEFAULT false,
    recipient_count          integer     NOT NULL DEFAULT 0,
    read_count               integer     NOT NULL DEFAULT 0,
    requires_acknowledgement boolean     NOT NULL DEFAULT false,
    acknowledged_count       integer     NOT NULL DEFAULT 0,
    status                   text        NOT NULL DEFAULT 'draft',
    created_at               timestamptz NOT NULL DEFAULT now(),
    updated_at               timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, course_announcement_id),
    FOREIGN KEY (business_id, course_section_id)
        REFERENCES courses.course_section (business_id, course_section_id),
    FOREIGN KEY (business_id, instructor_id)
        REFERENCES courses.instructor (business_id, instructor_id),
    FOREIGN KEY (business_id, cohort_id) REFERENCES courses.cohort (business_id, cohort_id),
    CONSTRAINT course_announcement_channel_known
        CHECK (channel IN ('in_app', 'email', 'push', 'all')),
    CONSTRAINT course_announcement_status_known
        CHECK (status IN ('draft', 'scheduled', 'sent', 'withdrawn')),
    CONSTRAINT course_announcement_expires_after_publication CHECK (expires_at > publish_at),
    CONSTRAINT course_announcement_scheduled_has_time
        CHECK (status NOT IN ('scheduled', 'sent') OR publish_at IS NOT NULL),
    CONSTRAINT course_announcement_read_by_recipients
        CHECK (read_count BETWEEN 0 AND recipient_count),
    CONSTRAINT course_announcement_acknowledged_by_readers
        CHECK (acknowledged_count BETWEEN 0 AND read_count),
    CONSTRAINT course_announcement_acknowledged_where_asked
        CHECK (requires_acknowledgement OR acknowledged_count = 0),
    CONSTRAINT course_announcement_reaches_nobody_before
        CHECK (status IN ('sent', 'withdrawn') OR recipient_count = 0)
);

COMMENT ON TABLE courses.course_announcement IS
    'Message of an instructor to a section with reach.';
COMMENT ON COLUMN courses.course_announcement.cohort_id IS 'To this cohort of the section alone.';

-- FK: what a section was told, the newest first.
CREATE INDEX course_announcement_course_section_idx
    ON courses.course_announcement (business_id, course_section_id, publish_at DESC);

-- FK: what an instructor announced.
CREATE INDEX course_announcement_instructor_idx
    ON courses.course_announcement (business_id, instructor_id);

-- FK: what a cohort was told.
CREATE INDEX course_announcement_cohort_idx
    ON courses.course_announcement (business_id, cohort_id)
    WHERE cohort_id IS NOT NULL;

-- What is to be sent.
CREATE INDEX course_announcement_due_idx
    ON courses.course_announcement (business_id, publish_at)
    WHERE status = 'scheduled';

ALTER TABLE courses.course_announcement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.course_announcement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.course_announcement TO app_user;
GRANT SELECT ON courses.course_announcement TO app_readonly;

CREATE TRIGGER course_announcement_touch
    BEFORE UPDATE ON courses.course_announcement
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER course_announcement_state_machine
    BEFORE INSERT OR UPDATE OF status ON courses.course_announcement
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":     ["scheduled", "sent", "withdrawn"],
            "scheduled": ["draft", "sent", "withdrawn"],
            "sent":      ["withdrawn"],
            "withdrawn": []
        }}');

CREATE FUNCTION courses.send_announcement() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        SELECT count(*) INTO NEW.recipient_count
        FROM courses.enrollment AS e
        WHERE e.business_id = NEW.business_id AND e.course_section_id = NEW.course_section_id
          AND e.status IN ('active', 'paused', 'audit')
          AND coalesce(e.cohort_id = NEW.cohort_id, NEW.cohort_id IS NULL);
        NEW.publish_at := least(NEW.publish_at, now());
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.send_announcement() IS
    'What is sent goes to everybody in the section, or its cohort, at that moment.';

CREATE TRIGGER course_announcement_sent
    BEFORE UPDATE OF status ON courses.course_announcement
    FOR EACH ROW WHEN (NEW.status = 'sent' AND OLD.status <> 'sent')
    EXECUTE FUNCTION courses.send_announcement();

CREATE FUNCTION courses.send_due_announcements(moment timestamptz DEFAULT now()) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    sent integer;
BEGIN
    UPDATE courses.course_announcement AS a
    SET status = 'sent'
    WHERE a.business_id = tenant_mgmt.current_business_id() AND a.status = 'scheduled'
      AND a.publish_at <= moment;
    GET DIAGNOSTICS sent = ROW_COUNT;
    RETURN sent;
END
$$;
COMMENT ON FUNCTION courses.send_due_announcements(timestamptz) IS
    'Sends what is due; returns how many.';

-- A submission and a challenge entry may be of a group.
ALTER TABLE courses.assignment_submission
    ADD FOREIGN KEY (business_id, study_group_id)
        REFERENCES courses.study_group (business_id, study_group_id);

ALTER TABLE courses.challenge_entry
    ADD FOREIGN KEY (business_id, study_group_id)
        REFERENCES courses.study_group (business_id, study_group_id);
