/*
 * TODO: what the area is and how its tables relate.
 *
 * Learners together: forums, groups, mentors, notes and announcements.
 */

CREATE TABLE courses.study_group (
    business_id          uuid                  NOT NULL,
    study_group_id       uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    organizer_learner_id uuid,
    course_section_id    uuid,
    name                 text                  NOT NULL,
    group_kind           text                  NOT NULL,
    max_members          integer,
    member_count         integer,
    join_policy          text                  NOT NULL,
    meeting_schedule     text,
    time_zone            system_core.time_zone,
    goal                 text,
    status               text                  NOT NULL DEFAULT 'forming',
    last_active_at       timestamptz,
    created_at           timestamptz           NOT NULL DEFAULT now(),
    updated_at           timestamptz           NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, study_group_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, organizer_learner_id)
        REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, course_section_id)
        REFERENCES courses.course_section (business_id, course_section_id),
    CONSTRAINT study_group_group_kind_known
        CHECK (group_kind IN ('study', 'project', 'interest', 'assigned')),
    CONSTRAINT study_group_join_policy_known
        CHECK (join_policy IN ('open', 'request', 'invite', 'assigned')),
    CONSTRAINT study_group_status_known
        CHECK (status IN ('forming', 'active', 'dormant', 'closed')),
    CONSTRAINT study_group_member_count_max_members CHECK (member_count <= max_members),
    CONSTRAINT study_group_max_members_bounded CHECK (max_members BETWEEN 2 AND 50)
);

COMMENT ON TABLE courses.study_group IS 'Self-organized or assigned group of learners.';
-- RULE unique (business_id, course_section_id, name) nulls not distinct

-- FK: the study groups of a learner.
CREATE INDEX study_group_organizer_learner_idx
    ON courses.study_group (business_id, organizer_learner_id)
    WHERE organizer_learner_id IS NOT NULL;

-- FK: the study groups of a course section.
CREATE INDEX study_group_course_section_idx
    ON courses.study_group (business_id, course_section_id)
    WHERE course_section_id IS NOT NULL;

ALTER TABLE courses.study_group ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.study_group
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.study_group TO app_user;
GRANT SELECT ON courses.study_group TO app_readonly;

CREATE TRIGGER study_group_touch
    BEFORE UPDATE ON courses.study_group
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


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
    meetings_planned       integer,
    meetings_held          integer,
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
    CONSTRAINT mentor_pairing_meetings_held_not_negative CHECK (meetings_held >= 0),
    CONSTRAINT mentor_pairing_mentee_rating_bounded
        CHECK (mentee_rating BETWEEN 1 AND 5 AND mentor_rating BETWEEN 1 AND 5)
);

COMMENT ON TABLE courses.mentor_pairing IS 'Mentor and mentee with goals and meetings.';
-- RULE mentor and mentee are different people (trigger)
-- RULE one active pairing per mentee and program (partial unique)

-- FK: the mentor pairings of a learner.
CREATE INDEX mentor_pairing_mentee_learner_idx
    ON courses.mentor_pairing (business_id, mentee_learner_id);

-- FK: the mentor pairings of a user account.
CREATE INDEX mentor_pairing_mentor_user_account_idx
    ON courses.mentor_pairing (business_id, mentor_user_account_id);

-- FK: the mentor pairings of a program.
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


CREATE TABLE courses.lesson_note (
    business_id     uuid        NOT NULL,
    lesson_note_id  uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    learner_id      uuid        NOT NULL,
    lesson_id       uuid        NOT NULL,
    content_item_id uuid,
    body            text,
    anchor_seconds  integer,
    anchor_text     text,
    color           text        NOT NULL,
    visibility      text        NOT NULL,
    noted_at        timestamptz,
    updated_on      date,
    like_count      integer,
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
    CONSTRAINT lesson_note_anchor_seconds_not_negative CHECK (anchor_seconds >= 0)
);

COMMENT ON TABLE courses.lesson_note IS
    'Private or shared note of a learner at a place in a lesson.';
-- RULE length(body) between 1 and 10000
-- RULE public notes pass moderation

-- FK: the lesson notes of a learner.
CREATE INDEX lesson_note_learner_idx
    ON courses.lesson_note (business_id, learner_id);

-- FK: the lesson notes of a lesson.
CREATE INDEX lesson_note_lesson_idx
    ON courses.lesson_note (business_id, lesson_id);

-- FK: the lesson notes of a content item.
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


CREATE TABLE courses.course_announcement (
    business_id              uuid        NOT NULL,
    course_announcement_id   uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    course_section_id        uuid        NOT NULL,
    instructor_id            uuid        NOT NULL,
    cohort_id                uuid,
    title                    text        NOT NULL,
    body                     text,
    publish_at               timestamptz,
    expires_at               timestamptz,
    channel                  text        NOT NULL,
    is_pinned                boolean     NOT NULL DEFAULT false,
    recipient_count          integer,
    read_count               integer,
    requires_acknowledgement boolean     NOT NULL DEFAULT false,
    acknowledged_count       integer,
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
    CONSTRAINT course_announcement_expires_at_after_publish_at CHECK (expires_at > publish_at),
    CONSTRAINT course_announcement_read_count_recipient_count
        CHECK (read_count <= recipient_count),
    CONSTRAINT course_announcement_acknowledged_count_read_count
        CHECK (acknowledged_count <= read_count)
);

COMMENT ON TABLE courses.course_announcement IS 'Message of an instructor to a section with reach.';

-- FK: the course announcements of a course section.
CREATE INDEX course_announcement_course_section_idx
    ON courses.course_announcement (business_id, course_section_id);

-- FK: the course announcements of a instructor.
CREATE INDEX course_announcement_instructor_idx
    ON courses.course_announcement (business_id, instructor_id);

-- FK: the course announcements of a cohort.
CREATE INDEX course_announcement_cohort_idx
    ON courses.course_announcement (business_id, cohort_id)
    WHERE cohort_id IS NOT NULL;

ALTER TABLE courses.course_announcement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.course_announcement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.course_announcement TO app_user;
GRANT SELECT ON courses.course_announcement TO app_readonly;

CREATE TRIGGER course_announcement_touch
    BEFORE UPDATE ON courses.course_announcement
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.discussion_forum (
    business_id         uuid        NOT NULL,
    discussion_forum_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    course_section_id   uuid,
    course_id           uuid,
    study_group_id      uuid,
    title               text        NOT NULL,
    forum_kind          text        NOT NULL,
    visibility          text        NOT NULL,
    posting             text        NOT NULL,
    topic_count         integer,
    post_count          integer,
    is_graded           boolean     NOT NULL DEFAULT false,
    is_locked           boolean     NOT NULL DEFAULT false,
    last_post_at        timestamptz,
    sort_order          integer,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, discussion_forum_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, course_section_id)
        REFERENCES courses.course_section (business_id, course_section_id),
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    FOREIGN KEY (business_id, study_group_id)
        REFERENCES courses.study_group (business_id, study_group_id),
    CONSTRAINT discussion_forum_forum_kind_known
        CHECK (forum_kind IN ('general', 'questions', 'assignment', 'introductions', 'social',
               'announcements')),
    CONSTRAINT discussion_forum_visibility_known
        CHECK (visibility IN ('section', 'course', 'group', 'business')),
    CONSTRAINT discussion_forum_posting_known
        CHECK (posting IN ('everyone', 'instructors', 'moderated'))
);

COMMENT ON TABLE courses.discussion_forum IS 'Forum of a course, section or group.';
-- RULE exactly one of course_section_id, course_id and study_group_id
-- RULE counts kept by trigger
-- RULE locked forums refuse posts (trigger)

-- FK: the discussion forums of a course section.
CREATE INDEX discussion_forum_course_section_idx
    ON courses.discussion_forum (business_id, course_section_id)
    WHERE course_section_id IS NOT NULL;

-- FK: the discussion forums of a course.
CREATE INDEX discussion_forum_course_idx
    ON courses.discussion_forum (business_id, course_id)
    WHERE course_id IS NOT NULL;

-- FK: the discussion forums of a study group.
CREATE INDEX discussion_forum_study_group_idx
    ON courses.discussion_forum (business_id, study_group_id)
    WHERE study_group_id IS NOT NULL;

ALTER TABLE courses.discussion_forum ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.discussion_forum
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.discussion_forum TO app_user;
GRANT SELECT ON courses.discussion_forum TO app_readonly;

CREATE TRIGGER discussion_forum_touch
    BEFORE UPDATE ON courses.discussion_forum
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.study_group_member (
    business_id           uuid              NOT NULL,
    study_group_member_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    study_group_id        uuid              NOT NULL,
    learner_id            uuid              NOT NULL,
    role                  text              NOT NULL,
    joined_at             timestamptz,
    left_at               timestamptz,
    contribution_score    system_core.score,
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
    CONSTRAINT study_group_member_left_at_after_joined_at CHECK (left_at > joined_at),
    CONSTRAINT study_group_member_peer_rating_bounded CHECK (peer_rating BETWEEN 1 AND 5)
);

COMMENT ON TABLE courses.study_group_member IS 'Learner in a group.';
-- RULE one live membership per learner and group (partial unique)

-- FK: the study group members of a study group.
CREATE INDEX study_group_member_study_group_idx
    ON courses.study_group_member (business_id, study_group_id);

-- FK: the study group members of a learner.
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


CREATE TABLE courses.discussion_topic (
    business_id            uuid              NOT NULL,
    discussion_topic_id    uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    author_user_account_id uuid              NOT NULL,
    discussion_forum_id    uuid              NOT NULL,
    lesson_id              uuid,
    title                  text              NOT NULL,
    body                   text,
    topic_kind             text              NOT NULL,
    status                 text              NOT NULL DEFAULT 'open',
    is_pinned              boolean           NOT NULL DEFAULT false,
    created_on             date,
    reply_count            integer,
    view_count             integer,
    vote_score             system_core.score,
    accepted_post_key      uuid,
    last_activity_at       timestamptz,
    hidden_reason          text,
    created_at             timestamptz       NOT NULL DEFAULT now(),
    updated_at             timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, discussion_topic_id),
    FOREIGN KEY (business_id, author_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, discussion_forum_id)
        REFERENCES courses.discussion_forum (business_id, discussion_forum_id),
    FOREIGN KEY (business_id, lesson_id) REFERENCES courses.lesson (business_id, lesson_id),
    CONSTRAINT discussion_topic_topic_kind_known
        CHECK (topic_kind IN ('discussion', 'question', 'poll', 'announcement')),
    CONSTRAINT discussion_topic_status_known
        CHECK (status IN ('open', 'answered', 'locked', 'hidden'))
);

COMMENT ON TABLE courses.discussion_topic IS 'Thread or question.';
-- RULE accepted_post_key is set only for questions with status answered
-- RULE hidden_reason is not null when hidden
-- RULE last_activity_at kept by trigger

-- FK: the discussion topics of a user account.
CREATE INDEX discussion_topic_author_user_account_idx
    ON courses.discussion_topic (business_id, author_user_account_id);

-- FK: the discussion topics of a discussion forum.
CREATE INDEX discussion_topic_discussion_forum_idx
    ON courses.discussion_topic (business_id, discussion_forum_id);

-- FK: the discussion topics of a lesson.
CREATE INDEX discussion_topic_lesson_idx
    ON courses.discussion_topic (business_id, lesson_id)
    WHERE lesson_id IS NOT NULL;

ALTER TABLE courses.discussion_topic ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.discussion_topic
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.discussion_topic TO app_user;
GRANT SELECT ON courses.discussion_topic TO app_readonly;

CREATE TRIGGER discussion_topic_touch
    BEFORE UPDATE ON courses.discussion_topic
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.discussion_post (
    business_id            uuid              NOT NULL,
    discussion_post_id     uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    parent_post_id         uuid,
    author_user_account_id uuid              NOT NULL,
    discussion_topic_id    uuid              NOT NULL,
    body                   text,
    depth                  integer,
    posted_at              timestamptz,
    edited_at              timestamptz,
    vote_score             system_core.score,
    is_accepted_answer     boolean           NOT NULL DEFAULT false,
    is_instructor_reply    boolean           NOT NULL DEFAULT false,
    moderation             text              NOT NULL,
    word_count             integer,
    toxicity_score         system_core.score,
    deleted_at             timestamptz,
    created_at             timestamptz       NOT NULL DEFAULT now(),
    updated_at             timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, discussion_post_id),
    FOREIGN KEY (business_id, parent_post_id)
        REFERENCES courses.discussion_post (business_id, discussion_post_id),
    FOREIGN KEY (business_id, author_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, discussion_topic_id)
        REFERENCES courses.discussion_topic (business_id, discussion_topic_id),
    CONSTRAINT discussion_post_moderation_known
        CHECK (moderation IN ('visible', 'flagged', 'hidden', 'removed')),
    CONSTRAINT discussion_post_depth_bounded CHECK (depth BETWEEN 0 AND 8),
    CONSTRAINT discussion_post_toxicity_score_bounded CHECK (toxicity_score BETWEEN 0 AND 1)
);

COMMENT ON TABLE courses.discussion_post IS 'Reply in a thread.';
-- RULE parent is in the same topic (trigger)
-- RULE one accepted answer per topic (partial unique)

-- FK: the discussion posts of a discussion post.
CREATE INDEX discussion_post_parent_post_idx
    ON courses.discussion_post (business_id, parent_post_id)
    WHERE parent_post_id IS NOT NULL;

-- FK: the discussion posts of a user account.
CREATE INDEX discussion_post_author_user_account_idx
    ON courses.discussion_post (business_id, author_user_account_id);

-- FK: the discussion posts of a discussion topic.
CREATE INDEX discussion_post_discussion_topic_idx
    ON courses.discussion_post (business_id, discussion_topic_id);

ALTER TABLE courses.discussion_post ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.discussion_post
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.discussion_post TO app_user;
GRANT SELECT ON courses.discussion_post TO app_readonly;

CREATE TRIGGER discussion_post_touch
    BEFORE UPDATE ON courses.discussion_post
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.post_reaction (
    business_id        uuid                 NOT NULL,
    post_reaction_id   uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    discussion_post_id uuid                 NOT NULL,
    user_account_id    uuid                 NOT NULL,
    reaction           text                 NOT NULL,
    reacted_at         timestamptz,
    report_reason      text                 NOT NULL,
    withdrawn_at       timestamptz,
    weight             system_core.quantity,
    source             text                 NOT NULL,
    is_counted         boolean              NOT NULL DEFAULT false,
    created_at         timestamptz          NOT NULL DEFAULT now(),
    updated_at         timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, post_reaction_id),
    UNIQUE (business_id, discussion_post_id, user_account_id, reaction),
    FOREIGN KEY (business_id, discussion_post_id)
        REFERENCES courses.discussion_post (business_id, discussion_post_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT post_reaction_reaction_known
        CHECK (reaction IN ('upvote', 'downvote', 'like', 'insightful', 'thanks', 'report')),
    CONSTRAINT post_reaction_report_reason_known
        CHECK (report_reason IN ('none', 'spam', 'abuse', 'cheating', 'off_topic')),
    CONSTRAINT post_reaction_source_known CHECK (source IN ('web', 'mobile', 'email'))
);

COMMENT ON TABLE courses.post_reaction IS 'Vote or reaction to a post.';
-- RULE nobody votes on their own post (trigger)
-- RULE report_reason <> 'none' for report

-- FK: the post reactions of a user account.
CREATE INDEX post_reaction_user_account_idx
    ON courses.post_reaction (business_id, user_account_id);

ALTER TABLE courses.post_reaction ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.post_reaction
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.post_reaction TO app_user;
GRANT SELECT ON courses.post_reaction TO app_readonly;

CREATE TRIGGER post_reaction_touch
    BEFORE UPDATE ON courses.post_reaction
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


-- Closes the circle with an earlier file.
ALTER TABLE courses.assignment_submission
    ADD FOREIGN KEY (business_id, study_group_id) REFERENCES courses.study_group (business_id, study_group_id);

-- Closes the circle with an earlier file.
ALTER TABLE courses.challenge_entry
    ADD FOREIGN KEY (business_id, study_group_id) REFERENCES courses.study_group (business_id, study_group_id);
