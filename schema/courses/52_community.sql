/*
 * Forums: what is asked and said around a course.
 *
 * A discussion_forum belongs to a course, a section or a study group. A discussion_topic is a
 * thread or a question in it; discussion_posts are its replies, a tree of at most eight levels.
 * People react to posts (post_reaction) and report them. Counters and the last activity of topics
 * and forums follow their posts, statement by statement (courses.forum_differences proves them);
 * what counts is locked before it is counted, always posts before their topic and topics before
 * their forum, so that no reply or vote is lost and nobody waits in a circle. A locked forum or
 * topic takes no posts; in a moderated forum they wait for a moderator.
 */

CREATE TABLE courses.discussion_forum (
    business_id         uuid        NOT NULL,
    discussion_forum_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    course_section_id   uuid,
    course_id           uuid,
    study_group_id      uuid,
    title               text        NOT NULL,
    forum_kind          text        NOT NULL DEFAULT 'general',
    visibility          text        NOT NULL DEFAULT 'course',
    posting             text        NOT NULL DEFAULT 'everyone',
    topic_count         integer     NOT NULL DEFAULT 0,
    post_count          integer     NOT NULL DEFAULT 0,
    is_graded           boolean     NOT NULL DEFAULT false,
    is_locked           boolean     NOT NULL DEFAULT false,
    last_post_at        timestamptz,
    sort_order          integer     NOT NULL DEFAULT 0,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, discussion_forum_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, course_section_id)
        REFERENCES courses.course_section (business_id, course_section_id),
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    FOREIGN KEY (business_id, study_group_id)
        REFERENCES courses.study_group (business_id, study_group_id),
    CONSTRAINT discussion_forum_kind_known
        CHECK (forum_kind IN ('general', 'questions', 'assignment', 'introductions', 'social',
                              'announcements')),
    CONSTRAINT discussion_forum_visibility_known
        CHECK (visibility IN ('course', 'section', 'group', 'business')),
    CONSTRAINT discussion_forum_posting_known
        CHECK (posting IN ('everyone', 'instructors', 'moderated')),
    CONSTRAINT discussion_forum_of_one_thing
        CHECK (num_nonnulls(course_section_id, course_id, study_group_id) = 1),
    CONSTRAINT discussion_forum_seen_by_whose_it_is
        CHECK (CASE visibility WHEN 'section' THEN course_section_id IS NOT NULL
                               WHEN 'group' THEN study_group_id IS NOT NULL ELSE true END),
    CONSTRAINT discussion_forum_counts_not_negative CHECK (topic_count >= 0 AND post_count >= 0)
);

COMMENT ON TABLE courses.discussion_forum IS 'Forum of a course, section or group.';
COMMENT ON COLUMN courses.discussion_forum.post_count IS
    'Replies that are to be seen, of topics that are not hidden; kept by them.';

-- FK: the forums of a section in their order.
CREATE INDEX discussion_forum_course_section_idx
    ON courses.discussion_forum (business_id, course_section_id, sort_order)
    WHERE course_section_id IS NOT NULL;

-- FK: the forums of a course in their order.
CREATE INDEX discussion_forum_course_idx
    ON courses.discussion_forum (business_id, course_id, sort_order)
    WHERE course_id IS NOT NULL;

-- FK: the forums of a study group.
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


CREATE TABLE courses.discussion_topic (
    business_id            uuid        NOT NULL,
    discussion_topic_id    uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    author_user_account_id uuid        NOT NULL,
    discussion_forum_id    uuid        NOT NULL,
    lesson_id              uuid,
    title                  text        NOT NULL,
    body                   text        NOT NULL,
    topic_kind             text        NOT NULL DEFAULT 'discussion',
    status                 text        NOT NULL DEFAULT 'open',
    is_pinned              boolean     NOT NULL DEFAULT false,
    created_on             date        NOT NULL DEFAULT CURRENT_DATE,
    reply_count            integer     NOT NULL DEFAULT 0,
    view_count             integer     NOT NULL DEFAULT 0,
    vote_score             integer     NOT NULL DEFAULT 0,
    accepted_post_key      uuid,
    last_activity_at       timestamptz NOT NULL DEFAULT now(),
    hidden_reason          text,
    created_at             timestamptz NOT NULL DEFAULT now(),
    updated_at             timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, discussion_topic_id),
    FOREIGN KEY (business_id, author_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, discussion_forum_id)
        REFERENCES courses.discussion_forum (business_id, discussion_forum_id),
    FOREIGN KEY (business_id, lesson_id) REFERENCES courses.lesson (business_id, lesson_id),
    CONSTRAINT discussion_topic_kind_known
        CHECK (topic_kind IN ('discussion', 'question', 'poll', 'announcement')),
    CONSTRAINT discussion_topic_status_known
        CHECK (status IN ('open', 'answered', 'locked', 'hidden')),
    CONSTRAINT discussion_topic_answer_is_accepted
        CHECK (accepted_post_key IS NULL
               OR (topic_kind = 'question' AND status IN ('answered', 'locked', 'hidden'))),
    CONSTRAINT discussion_topic_answered_has_answer
        CHECK (status <> 'answered' OR accepted_post_key IS NOT NULL),
    CONSTRAINT discussion_topic_hidden_for_a_reason
        CHECK (status <> 'hidden' OR coalesce(hidden_reason, '') ~ '\S'),
    CONSTRAINT discussion_topic_says_something CHECK (title ~ '\S' AND body ~ '\S'),
    CONSTRAINT discussion_topic_counts_not_negative CHECK (reply_count >= 0 AND view_count >= 0)
);

COMMENT ON TABLE courses.discussion_topic IS 'Thread or question.';
COMMENT ON COLUMN courses.discussion_topic.accepted_post_key IS
    'The post that answers the question; follows the post''s is_accepted_answer.';
COMMENT ON COLUMN courses.discussion_topic.vote_score IS 'The sum of its posts'' scores.';

-- FK: what somebody began.
CREATE INDEX discussion_topic_author_user_account_idx
    ON courses.discussion_topic (business_id, author_user_account_id);

-- FK: the topics of a forum, pinned ones and the latest activity first.
CREATE INDEX discussion_topic_discussion_forum_idx
    ON courses.discussion_topic (business_id, discussion_forum_id, is_pinned DESC,
                                 last_activity_at DESC);

-- FK: what is asked about a lesson.
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

CREATE TRIGGER discussion_topic_state_machine
    BEFORE INSERT OR UPDATE OF status ON courses.discussion_topic
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["open"],
        "transitions": {
            "open":     ["answered", "locked", "hidden"],
            "answered": ["open", "locked", "hidden"],
            "locked":   ["open", "answered", "hidden"],
            "hidden":   ["open", "answered"]
        }}');

CREATE FUNCTION courses.open_topic() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    place record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    SELECT f.is_locked, f.posting, f.title INTO place
    FROM courses.discussion_forum AS f
    WHERE f.business_id = NEW.business_id AND f.discussion_forum_id = NEW.discussion_forum_id
    FOR NO KEY UPDATE;
    IF place.is_locked THEN
        RAISE EXCEPTION 'forum "%" is locked', place.title USING ERRCODE = 'check_violation';
    END IF;
    IF place.posting = 'instructors' AND NOT EXISTS (
           SELECT
           FROM courses.instructor AS i
           WHERE i.business_id = NEW.business_id
             AND i.user_account_id = NEW.author_user_account_id AND i.status = 'active') THEN
        RAISE EXCEPTION 'only instructors write in forum "%"', place.title
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.open_topic() IS
    'A topic is begun where the forum is open, by whom it lets write.';

CREATE TRIGGER discussion_topic_opened
    BEFORE INSERT ON courses.discussion_topic
    FOR EACH ROW EXECUTE FUNCTION courses.open_topic();


CREATE TABLE courses.discussion_post (
    business_id            uuid              NOT NULL,
    discussion_post_id     uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    parent_post_id         uuid,
    author_user_account_id uuid              NOT NULL,
    discussion_topic_id    uuid              NOT NULL,
    body                   text              NOT NULL,
    depth                  integer           NOT NULL DEFAULT 0,
    posted_at              timestamptz       NOT NULL DEFAULT now(),
    edited_at              timestamptz,
    vote_score             integer           NOT NULL DEFAULT 0,
    is_accepted_answer     boolean           NOT NULL DEFAULT false,
    is_instructor_reply    boolean           NOT NULL DEFAULT false,
    moderation             text              NOT NULL DEFAULT 'visible',
    word_count             integer           GENERATED ALWAYS AS (
        CASE WHEN body ~ '\S' THEN regexp_count(body, '\S+') ELSE 0 END) STORED,
    toxicity_score         system_core.score,
    deleted_at             timestamptz,
    created_at             timestamptz       NOT NULL DEFAULT now(),
    updated_at             timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, discussion_post_id),
    UNIQUE (business_id, discussion_topic_id, discussion_post_id),
    FOREIGN KEY (business_id, discussion_topic_id)
        REFERENCES courses.discussion_topic (business_id, discussion_topic_id),
    -- A reply is to a post of the same topic.
    FOREIGN KEY (business_id, discussion_topic_id, parent_post_id)
        REFERENCES courses.discussion_post (business_id, discussion_topic_id, discussion_post_id),
    FOREIGN KEY (business_id, author_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT discussion_post_moderation_known
        CHECK (moderation IN ('visible', 'flagged', 'hidden', 'removed')),
    CONSTRAINT discussion_post_depth_bounded CHECK (depth BETWEEN 0 AND 8),
    CONSTRAINT discussion_post_depth_of_a_reply CHECK ((parent_post_id IS NULL) = (depth = 0)),
    CONSTRAINT discussion_post_not_of_itself CHECK (parent_post_id <> discussion_post_id),
    CONSTRAINT discussion_post_toxicity_is_a_share CHECK (toxicity_score BETWEEN 0 AND 1),
    CONSTRAINT discussion_post_changed_after_posting
        CHECK (edited_at >= posted_at AND deleted_at >= posted_at),
    CONSTRAINT discussion_post_deleted_is_removed
        CHECK (deleted_at IS NULL OR moderation = 'removed'),
    CONSTRAINT discussion_post_accepted_is_visible
        CHECK (NOT is_accepted_answer OR moderation IN ('visible', 'flagged')),
    CONSTRAINT discussion_post_says_something CHECK (body ~ '\S' OR moderation = 'removed')
);

COMMENT ON TABLE courses.discussion_post IS 'Reply in a thread.';
COMMENT ON COLUMN courses.discussion_post.moderation IS
    'flagged is still to be seen while somebody looks at it; removed leaves the tree as it is.';
COMMENT ON COLUMN courses.discussion_post.vote_score IS 'Votes up less votes down; kept by them.';

-- FK: a thread as it is read.
CREATE INDEX discussion_post_discussion_topic_idx
    ON courses.discussion_post (business_id, discussion_topic_id, posted_at);

-- One answer is accepted.
CREATE UNIQUE INDEX discussion_post_accepted_idx
    ON courses.discussion_post (business_id, discussion_topic_id)
    WHERE is_accepted_answer;

-- FK: the replies to a post.
CREATE INDEX discussion_post_parent_post_idx
    ON courses.discussion_post (business_id, discussion_topic_id, parent_post_id)
    WHERE parent_post_id IS NOT NULL;

-- FK: what somebody wrote, the newest first.
CREATE INDEX discussion_post_author_user_account_idx
    ON courses.discussion_post (business_id, author_user_account_id, posted_at DESC);

-- What moderators look at, the oldest first.
CREATE INDEX discussion_post_flagged_idx
    ON courses.discussion_post (business_id, posted_at)
    WHERE moderation = 'flagged';

ALTER TABLE courses.discussion_post ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.discussion_post
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.discussion_post TO app_user;
GRANT SELECT ON courses.discussion_post TO app_readonly;

CREATE TRIGGER discussion_post_touch
    BEFORE UPDATE ON courses.discussion_post
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION courses.write_post() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    thread record;
    place  record;
BEGIN
    SELECT p.depth + 1 INTO NEW.depth
    FROM courses.discussion_post AS p
    WHERE p.business_id = NEW.business_id AND p.discussion_post_id = NEW.parent_post_id;
    NEW.depth := coalesce(NEW.depth, 0);
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    SELECT t.status, t.discussion_forum_id INTO thread
    FROM courses.discussion_topic AS t
    WHERE t.business_id = NEW.business_id AND t.discussion_topic_id = NEW.discussion_topic_id
    FOR NO KEY UPDATE;
    SELECT f.is_locked, f.posting, f.title,
           EXISTS (SELECT
                   FROM courses.instructor AS i
                   WHERE i.business_id = NEW.business_id
                     AND i.user_account_id = NEW.author_user_account_id
                     AND i.status = 'active') AS by_instructor
    INTO place
    FROM courses.discussion_forum AS f
    WHERE f.business_id = NEW.business_id AND f.discussion_forum_id = thread.discussion_forum_id
    FOR NO KEY UPDATE;
    IF place.is_locked OR thread.status IN ('locked', 'hidden') THEN
        RAISE EXCEPTION 'this topic of forum "%" takes no posts', place.title
            USING ERRCODE = 'check_violation';
    END IF;
    IF place.posting = 'instructors' AND NOT place.by_instructor THEN
        RAISE EXCEPTION 'only instructors write in forum "%"', place.title
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    NEW.is_instructor_reply := place.by_instructor;
    NEW.moderation := CASE
        WHEN place.posting = 'moderated' AND NOT place.by_instructor THEN 'hidden'
        WHEN courses.moderate_text(NEW.body) IS NOT NULL THEN 'flagged'
        ELSE 'visible' END;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.write_post() IS
    'A post is one level below what it replies to. Locked places take none; in a moderated forum it
     waits for a moderator, elsewhere it is flagged where moderation finds something.';

CREATE TRIGGER discussion_post_written
    BEFORE INSERT ON courses.discussion_post
    FOR EACH ROW EXECUTE FUNCTION courses.write_post();

CREATE FUNCTION courses.keep_post_in_place() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a post stays where it was written, by whom and when'
        USING ERRCODE = 'restrict_violation';
END
$$;
COMMENT ON FUNCTION courses.keep_post_in_place() IS 'A tree of posts is not rearranged.';

CREATE TRIGGER discussion_post_in_place
    BEFORE UPDATE ON courses.discussion_post
    FOR EACH ROW WHEN ((NEW.parent_post_id, NEW.discussion_topic_id, NEW.author_user_account_id,
                        NEW.depth, NEW.posted_at)
                       IS DISTINCT FROM (OLD.parent_post_id, OLD.discussion_topic_id,
                                         OLD.author_user_account_id, OLD.depth, OLD.posted_at))
    EXECUTE FUNCTION courses.keep_post_in_place();

CREATE FUNCTION courses.tally_topics(topics uuid[])
    RETURNS TABLE (discussion_topic_id uuid, replies integer, votes integer, accepted uuid,
                   last_at timestamptz)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT t.discussion_topic_id, count(p.discussion_post_id)::integer,
           coalesce(sum(p.vote_score), 0)::integer,
           (array_agg(p.discussion_post_id) FILTER (WHERE p.is_accepted_answer))[1],
           max(p.posted_at)
    FROM courses.discussion_topic AS t
    LEFT JOIN courses.discussion_post AS p
        ON p.business_id = t.business_id AND p.discussion_topic_id = t.discussion_topic_id
       AND p.moderation IN ('visible', 'flagged')
    WHERE t.business_id = tenant_mgmt.current_business_id()
      AND t.discussion_topic_id = ANY (topics)
    GROUP BY t.business_id, t.discussion_topic_id;
END;
COMMENT ON FUNCTION courses.tally_topics(uuid[]) IS
    'What topics say of their posts that are to be seen, counted anew.';

CREATE FUNCTION courses.recount_topics(topics uuid[]) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    moved  integer;
BEGIN
    PERFORM
    FROM courses.discussion_topic AS t
    WHERE t.business_id = tenant AND t.discussion_topic_id = ANY (topics)
    ORDER BY t.discussion_topic_id
    FOR NO KEY UPDATE;
    UPDATE courses.discussion_topic AS t
    SET reply_count = n.replies, vote_score = n.votes, accepted_post_key = n.accepted,
        status = CASE WHEN t.status = 'open' AND n.accepted IS NOT NULL THEN 'answered'
                      WHEN t.status = 'answered' AND n.accepted IS NULL THEN 'open'
                      ELSE t.status END,
        last_activity_at = greatest(t.last_activity_at, n.last_at)
    FROM courses.tally_topics(topics) AS n
    WHERE t.business_id = tenant AND t.discussion_topic_id = n.discussion_topic_id
      AND (t.reply_count, t.vote_score, t.accepted_post_key, t.last_activity_at)
          IS DISTINCT FROM (n.replies, n.votes, n.accepted,
                            greatest(t.last_activity_at, n.last_at));
    GET DIAGNOSTICS moved = ROW_COUNT;
    RETURN moved;
END
$$;
COMMENT ON FUNCTION courses.recount_topics(uuid[]) IS
    'Brings topics up to their posts: replies, votes, the accepted answer, the last activity.';

CREATE FUNCTION courses.follow_posts() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    touched uuid[];
BEGIN
    SELECT array_agg(DISTINCT c.discussion_topic_id) INTO touched FROM changed AS c;
    IF touched IS NOT NULL AND tenant_mgmt.current_business_id() IS NOT NULL THEN
        PERFORM courses.recount_topics(touched);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.follow_posts() IS 'Topics follow their posts, once per statement.';

CREATE TRIGGER discussion_post_counted
    AFTER INSERT ON courses.discussion_post
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.follow_posts();

CREATE TRIGGER discussion_post_counted_anew
    AFTER UPDATE ON courses.discussion_post
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.follow_posts();

CREATE TRIGGER discussion_post_counted_less
    AFTER DELETE ON courses.discussion_post
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.follow_posts();

CREATE FUNCTION courses.recount_forums(forums uuid[]) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    moved  integer;
BEGIN
    PERFORM
    FROM courses.discussion_forum AS f
    WHERE f.business_id = tenant AND f.discussion_forum_id = ANY (forums)
    ORDER BY f.discussion_forum_id
    FOR NO KEY UPDATE;
    UPDATE courses.discussion_forum AS f
    SET topic_count = n.topics, post_count = n.posts,
        last_post_at = greatest(f.last_post_at, n.last_at)
    FROM (
        SELECT x.discussion_forum_id, count(t.discussion_topic_id) AS topics,
               coalesce(sum(t.reply_count), 0) AS posts, max(t.last_activity_at) AS last_at
        FROM (SELECT DISTINCT u.id AS discussion_forum_id FROM unnest(forums) AS u (id)) AS x
        LEFT JOIN courses.discussion_topic AS t
            ON t.business_id = tenant AND t.discussion_forum_id = x.discussion_forum_id
           AND t.status <> 'hidden'
        GROUP BY x.discussion_forum_id
    ) AS n
    WHERE f.business_id = tenant AND f.discussion_forum_id = n.discussion_forum_id
      AND (f.topic_count, f.post_count, f.last_post_at)
          IS DISTINCT FROM (n.topics::integer, n.posts::integer,
                            greatest(f.last_post_at, n.last_at));
    GET DIAGNOSTICS moved = ROW_COUNT;
    RETURN moved;
END
$$;
COMMENT ON FUNCTION courses.recount_forums(uuid[]) IS
    'Brings forums up to their topics that are not hidden, and to the replies of these.';

CREATE FUNCTION courses.follow_topics() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    touched uuid[];
BEGIN
    IF TG_OP = 'UPDATE' THEN
        -- A topic that is only looked at does not hold up its forum.
        SELECT array_agg(g.id) INTO touched
        FROM changed AS c
        JOIN former AS f
            ON f.business_id = c.business_id AND f.discussion_topic_id = c.discussion_topic_id
        CROSS JOIN LATERAL (VALUES (c.discussion_forum_id), (f.discussion_forum_id)) AS g (id)
        WHERE (c.discussion_forum_id, c.status = 'hidden', c.reply_count, c.last_activity_at)
              IS DISTINCT FROM (f.discussion_forum_id, f.status = 'hidden', f.reply_count,
                                f.last_activity_at);
    ELSE
        SELECT array_agg(c.discussion_forum_id) INTO touched FROM changed AS c;
    END IF;
    IF touched IS NOT NULL THEN
        PERFORM courses.recount_forums(touched);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.follow_topics() IS 'Forums follow their topics, once per statement.';

CREATE TRIGGER discussion_topic_counted
    AFTER INSERT ON courses.discussion_topic
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.follow_topics();

CREATE TRIGGER discussion_topic_counted_anew
    AFTER UPDATE ON courses.discussion_topic
    REFERENCING NEW TABLE AS changed OLD TABLE AS former
    FOR EACH STATEMENT EXECUTE FUNCTION courses.follow_topics();

CREATE TRIGGER discussion_topic_counted_less
    AFTER DELETE ON courses.discussion_topic
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.follow_topics();

CREATE FUNCTION courses.accept_answer(post uuid) RETURNS boolean
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    asked  record;
BEGIN
    -- Two who accept at once wait here for each other.
    PERFORM
    FROM courses.discussion_post AS p
    WHERE p.business_id = tenant AND p.discussion_topic_id = (
        SELECT x.discussion_topic_id
        FROM courses.discussion_post AS x
        WHERE x.business_id = tenant AND x.discussion_post_id = post)
    ORDER BY p.discussion_post_id
    FOR NO KEY UPDATE;
    SELECT t.discussion_topic_id, t.topic_kind, t.status, t.author_user_account_id AS asker,
           p.author_user_account_id AS answerer, f.course_id
    INTO asked
    FROM courses.discussion_post AS p
    JOIN courses.discussion_topic AS t
        ON t.business_id = p.business_id AND t.discussion_topic_id = p.discussion_topic_id
    JOIN courses.discussion_forum AS f
        ON f.business_id = t.business_id AND f.discussion_forum_id = t.discussion_forum_id
    WHERE p.business_id = tenant AND p.discussion_post_id = post;
    IF asked.topic_kind IS DISTINCT FROM 'question'
       OR asked.status NOT IN ('open', 'answered') THEN
        RAISE EXCEPTION 'only the answer to an open question is accepted'
            USING ERRCODE = 'check_violation';
    END IF;
    UPDATE courses.discussion_post AS p
    SET is_accepted_answer = false
    WHERE p.business_id = tenant AND p.discussion_topic_id = asked.discussion_topic_id
      AND p.is_accepted_answer AND p.discussion_post_id <> post;
    UPDATE courses.discussion_post AS p
    SET is_accepted_answer = true
    WHERE p.business_id = tenant AND p.discussion_post_id = post AND NOT p.is_accepted_answer;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM courses.award_points(l.learner_id, 'answer_accepted', asked.discussion_topic_id,
                                 asked.course_id)
    FROM courses.learner AS l
    WHERE l.business_id = tenant AND l.user_account_id = asked.answerer
      AND asked.answerer <> asked.asker;
    RETURN true;
END
$$;
COMMENT ON FUNCTION courses.accept_answer(uuid) IS
    'Accepts a post as the answer to its question, in place of another one; whoever gave it earns
     points, once per question and not for their own. False where it was accepted before.';


CREATE TABLE courses.post_reaction (
    business_id        uuid        NOT NULL,
    post_reaction_id   uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    discussion_post_id uuid        NOT NULL,
    user_account_id    uuid        NOT NULL,
    reaction           text        NOT NULL,
    reacted_at         timestamptz NOT NULL DEFAULT now(),
    report_reason      text        NOT NULL DEFAULT 'none',
    withdrawn_at       timestamptz,
    weight             integer     NOT NULL DEFAULT 1,
    source             text        NOT NULL DEFAULT 'web',
    is_counted         boolean     NOT NULL DEFAULT true,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, post_reaction_id),
    UNIQUE (business_id, discussion_post_id, user_account_id, reaction),
    FOREIGN KEY (business_id, discussion_post_id)
        REFERENCES courses.discussion_post (business_id, discussion_post_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT post_reaction_known
        CHECK (reaction IN ('upvote', 'downvote', 'like', 'insightful', 'thanks', 'report')),
    CONSTRAINT post_reaction_report_reason_known
        CHECK (report_reason IN ('none', 'spam', 'abuse', 'cheating', 'off_topic')),
    CONSTRAINT post_reaction_source_known CHECK (source IN ('web', 'mobile', 'email')),
    CONSTRAINT post_reaction_report_has_reason
        CHECK ((reaction = 'report') = (report_reason <> 'none')),
    CONSTRAINT post_reaction_withdrawn_after CHECK (withdrawn_at >= reacted_at),
    CONSTRAINT post_reaction_withdrawn_is_not_counted
        CHECK (withdrawn_at IS NULL OR NOT is_counted),
    CONSTRAINT post_reaction_weight_bounded CHECK (weight BETWEEN 1 AND 5)
);

COMMENT ON TABLE courses.post_reaction IS 'Vote or reaction to a post.';
COMMENT ON COLUMN courses.post_reaction.weight IS
    'How much a vote counts: more, where a level gives the right to.';
COMMENT ON COLUMN courses.post_reaction.is_counted IS
    'False also for votes of a ring that vote for each other.';

-- A vote is up or down, not both.
CREATE UNIQUE INDEX post_reaction_one_vote_idx
    ON courses.post_reaction (business_id, discussion_post_id, user_account_id)
    WHERE reaction IN ('upvote', 'downvote') AND withdrawn_at IS NULL;

-- FK: how somebody reacted.
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

CREATE FUNCTION courses.refuse_own_vote() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT
               FROM courses.discussion_post AS p
               WHERE p.business_id = NEW.business_id
                 AND p.discussion_post_id = NEW.discussion_post_id
                 AND p.author_user_account_id = NEW.user_account_id) THEN
        RAISE EXCEPTION 'nobody reacts to their own post' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.refuse_own_vote() IS 'A vote is of somebody else.';

CREATE TRIGGER post_reaction_of_another
    BEFORE INSERT OR UPDATE OF discussion_post_id, user_account_id ON courses.post_reaction
    FOR EACH ROW EXECUTE FUNCTION courses.refuse_own_vote();

CREATE FUNCTION courses.recount_votes(posts uuid[]) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  CONSTANT uuid := tenant_mgmt.current_business_id();
    is_live CONSTANT boolean := row_security_active('courses.discussion_post');
    moved   integer;
BEGIN
    PERFORM
    FROM courses.discussion_post AS p
    WHERE p.business_id = tenant AND p.discussion_post_id = ANY (posts)
    ORDER BY p.discussion_post_id
    FOR NO KEY UPDATE;
    UPDATE courses.discussion_post AS p
    SET vote_score = n.votes,
        moderation = CASE WHEN p.moderation = 'visible' AND n.reports >= 3 AND is_live
                          THEN 'flagged'
                          ELSE p.moderation END
    FROM (
        SELECT x.discussion_post_id,
               coalesce(sum(CASE r.reaction WHEN 'upvote' THEN r.weight
                                            WHEN 'downvote' THEN -r.weight ELSE 0 END), 0)::integer
                   AS votes,
               count(*) FILTER (WHERE r.reaction = 'report') AS reports
        FROM (SELECT DISTINCT u.id AS discussion_post_id FROM unnest(posts) AS u (id)) AS x
        LEFT JOIN courses.post_reaction AS r
            ON r.business_id = tenant AND r.discussion_post_id = x.discussion_post_id
           AND r.is_counted
        GROUP BY x.discussion_post_id
    ) AS n
    WHERE p.business_id = tenant AND p.discussion_post_id = n.discussion_post_id
      AND (p.vote_score <> n.votes OR (p.moderation = 'visible' AND n.reports >= 3));
    GET DIAGNOSTICS moved = ROW_COUNT;
    RETURN moved;
END
$$;
COMMENT ON FUNCTION courses.recount_votes(uuid[]) IS
    'Counts the votes of posts anew; three reports flag a post for a moderator.';

CREATE FUNCTION courses.follow_reactions() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    touched uuid[];
BEGIN
    IF TG_OP = 'UPDATE' THEN
        SELECT array_agg(g.id) INTO touched
        FROM (SELECT c.discussion_post_id AS id FROM changed AS c
              UNION
              SELECT f.discussion_post_id FROM former AS f) AS g;
    ELSE
        SELECT array_agg(c.discussion_post_id) INTO touched FROM changed AS c;
    END IF;
    IF touched IS NOT NULL THEN
        PERFORM courses.recount_votes(touched);
    END IF;
    IF TG_OP = 'INSERT' AND row_security_active('courses.post_reaction')
       AND courses.level_for(0) IS NOT NULL THEN
        -- Profile cards are locked after posts, topics and forums, by everybody.
        PERFORM courses.award_points(u.learner_id, 'post_upvoted', u.post_reaction_id, u.course_id,
                                     u.reacted_at)
        FROM (
            SELECT l.learner_id, c.post_reaction_id, f.course_id, c.reacted_at
            FROM changed AS c
            JOIN courses.discussion_post AS p
                ON p.business_id = c.business_id AND p.discussion_post_id = c.discussion_post_id
            JOIN courses.discussion_topic AS t
                ON t.business_id = p.business_id
               AND t.discussion_topic_id = p.discussion_topic_id
            JOIN courses.discussion_forum AS f
                ON f.business_id = t.business_id
               AND f.discussion_forum_id = t.discussion_forum_id
            JOIN courses.learner AS l
                ON l.business_id = p.business_id
               AND l.user_account_id = p.author_user_account_id
            WHERE c.reaction = 'upvote' AND c.is_counted
            ORDER BY l.learner_id, c.reacted_at, c.post_reaction_id
        ) AS u;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.follow_reactions() IS
    'Posts follow their reactions, once per statement and also when two vote at once; a vote up
     earns its points for who wrote the post.';

CREATE TRIGGER post_reaction_counted
    AFTER INSERT ON courses.post_reaction
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.follow_reactions();

CREATE TRIGGER post_reaction_counted_anew
    AFTER UPDATE ON courses.post_reaction
    REFERENCING NEW TABLE AS changed OLD TABLE AS former
    FOR EACH STATEMENT EXECUTE FUNCTION courses.follow_reactions();

CREATE TRIGGER post_reaction_counted_less
    AFTER DELETE ON courses.post_reaction
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.follow_reactions();


CREATE FUNCTION courses.forum_differences()
    RETURNS TABLE (subject text, subject_id uuid, figure text, said bigint, found bigint)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT 'topic', t.discussion_topic_id, f.figure, f.said, f.found
    FROM courses.discussion_topic AS t
    LEFT JOIN LATERAL (
        SELECT count(*) AS replies, sum(p.vote_score) AS votes
        FROM courses.discussion_post AS p
        WHERE p.business_id = t.business_id AND p.discussion_topic_id = t.discussion_topic_id
          AND p.moderation IN ('visible', 'flagged')
    ) AS n ON true
    CROSS JOIN LATERAL (VALUES
        ('reply_count', t.reply_count::bigint, n.replies),
        ('vote_score', t.vote_score::bigint, coalesce(n.votes, 0))) AS f (figure, said, found)
    WHERE t.business_id = tenant_mgmt.current_business_id() AND f.said <> f.found
    UNION ALL
    SELECT 'forum', g.discussion_forum_id, f.figure, f.said, f.found
    FROM courses.discussion_forum AS g
    LEFT JOIN LATERAL (
        SELECT count(DISTINCT t.discussion_topic_id) AS topics,
               count(p.discussion_post_id) AS posts
        FROM courses.discussion_topic AS t
        LEFT JOIN courses.discussion_post AS p
            ON p.business_id = t.business_id AND p.discussion_topic_id = t.discussion_topic_id
           AND p.moderation IN ('visible', 'flagged')
        WHERE t.business_id = g.business_id AND t.discussion_forum_id = g.discussion_forum_id
          AND t.status <> 'hidden'
    ) AS n ON true
    CROSS JOIN LATERAL (VALUES
        ('topic_count', g.topic_count::bigint, n.topics),
        ('post_count', g.post_count::bigint, n.posts)) AS f (figure, said, found)
    WHERE g.business_id = tenant_mgmt.current_business_id() AND f.said <> f.found
    UNION ALL
    SELECT 'post', p.discussion_post_id, 'vote_score', p.vote_score, n.votes
    FROM courses.discussion_post AS p
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(CASE r.reaction WHEN 'upvote' THEN r.weight
                                            WHEN 'downvote' THEN -r.weight ELSE 0 END), 0) AS votes
        FROM courses.post_reaction AS r
        WHERE r.business_id = p.business_id AND r.discussion_post_id = p.discussion_post_id
          AND r.is_counted
    ) AS n
    WHERE p.business_id = tenant_mgmt.current_business_id() AND p.vote_score <> n.votes;
END;
COMMENT ON FUNCTION courses.forum_differences() IS
    'Proves the forums: topics, forums and posts whose counters are not what lies below them.';
