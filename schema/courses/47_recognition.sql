/*
 * Recognition: leaderboards, challenges and rewards.
 *
 * A leaderboard says who is ranked by what over which time; courses.refresh_leaderboard writes its
 * leaderboard_ranks, without those who do not want to be seen. A challenge is a task with a date,
 * taken up by challenge_entries and worth points and a badge. A reward_item is what points buy; a
 * reward_redemption takes stock and points at once, so that neither is spent twice, and gives both
 * back when it is called off.
 */

CREATE TABLE courses.leaderboard (
    business_id           uuid        NOT NULL,
    leaderboard_id        uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    course_section_id     uuid,
    cohort_id             uuid,
    name                  text        NOT NULL,
    metric                text        NOT NULL DEFAULT 'points',
    period                text        NOT NULL DEFAULT 'weekly',
    scope                 text        NOT NULL DEFAULT 'business',
    size_limit            integer     NOT NULL DEFAULT 100,
    is_opt_in             boolean     NOT NULL DEFAULT false,
    anonymizes_below_rank integer,
    resets_at             timestamptz,
    status                text        NOT NULL DEFAULT 'active',
    tie_break             text        NOT NULL DEFAULT 'shared',
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, leaderboard_id),
    UNIQUE (business_id, name),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, course_section_id)
        REFERENCES courses.course_section (business_id, course_section_id),
    FOREIGN KEY (business_id, cohort_id) REFERENCES courses.cohort (business_id, cohort_id),
    CONSTRAINT leaderboard_metric_known
        CHECK (metric IN ('points', 'minutes', 'score', 'contributions', 'streak')),
    CONSTRAINT leaderboard_period_known
        CHECK (period IN ('daily', 'weekly', 'monthly', 'all_time', 'section')),
    CONSTRAINT leaderboard_scope_known CHECK (scope IN ('business', 'section', 'cohort')),
    CONSTRAINT leaderboard_status_known CHECK (status IN ('active', 'paused', 'ended')),
    CONSTRAINT leaderboard_tie_break_known CHECK (tie_break IN ('earliest', 'shared')),
    CONSTRAINT leaderboard_size_limit_bounded CHECK (size_limit BETWEEN 3 AND 500),
    CONSTRAINT leaderboard_section_when_of_one
        CHECK ((scope = 'section') = (course_section_id IS NOT NULL)),
    CONSTRAINT leaderboard_cohort_when_of_one CHECK ((scope = 'cohort') = (cohort_id IS NOT NULL)),
    CONSTRAINT leaderboard_period_section_is_of_one
        CHECK (period <> 'section' OR scope = 'section'),
    CONSTRAINT leaderboard_anonymizes_from_a_rank CHECK (anonymizes_below_rank >= 1)
);

COMMENT ON TABLE courses.leaderboard IS 'Ranking definition: who, what, over which time.';
COMMENT ON COLUMN courses.leaderboard.is_opt_in IS
    'Only those are ranked who set the preference "leaderboard" of the module to true; elsewhere
     all who did not set it to false.';
COMMENT ON COLUMN courses.leaderboard.tie_break IS
    'shared: the same rank; earliest: who had it first is before the others.';
COMMENT ON COLUMN courses.leaderboard.resets_at IS 'When the period now shown ends.';

-- FK: the leaderboards of a section.
CREATE INDEX leaderboard_course_section_idx
    ON courses.leaderboard (business_id, course_section_id)
    WHERE course_section_id IS NOT NULL;

-- FK: the leaderboards of a cohort.
CREATE INDEX leaderboard_cohort_idx
    ON courses.leaderboard (business_id, cohort_id)
    WHERE cohort_id IS NOT NULL;

ALTER TABLE courses.leaderboard ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.leaderboard
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.leaderboard TO app_user;
GRANT SELECT ON courses.leaderboard TO app_readonly;

CREATE TRIGGER leaderboard_touch
    BEFORE UPDATE ON courses.leaderboard
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER leaderboard_state_machine
    BEFORE INSERT OR UPDATE OF status ON courses.leaderboard
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["active", "paused"],
        "transitions": {
            "active": ["paused", "ended"],
            "paused": ["active", "ended"],
            "ended":  []
        }}');


CREATE TABLE courses.leaderboard_rank (
    business_id         uuid                 NOT NULL,
    leaderboard_rank_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    leaderboard_id      uuid                 NOT NULL,
    learner_id          uuid                 NOT NULL,
    period_start        date                 NOT NULL,
    rank_no             integer              NOT NULL,
    previous_rank       integer,
    metric_value        system_core.quantity NOT NULL,
    is_tied             boolean              NOT NULL DEFAULT false,
    display_name        text                 NOT NULL,
    points_to_next      system_core.quantity NOT NULL DEFAULT 0,
    computed_at         timestamptz          NOT NULL DEFAULT now(),
    created_at          timestamptz          NOT NULL DEFAULT now(),
    updated_at          timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, leaderboard_rank_id),
    UNIQUE (business_id, leaderboard_id, period_start, learner_id),
    FOREIGN KEY (business_id, leaderboard_id)
        REFERENCES courses.leaderboard (business_id, leaderboard_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    CONSTRAINT leaderboard_rank_from_one CHECK (rank_no >= 1 AND previous_rank >= 1),
    CONSTRAINT leaderboard_rank_value_positive CHECK (metric_value > 0),
    CONSTRAINT leaderboard_rank_to_next_not_negative CHECK (points_to_next >= 0)
);

COMMENT ON TABLE courses.leaderboard_rank IS 'Computed position of a learner in a period.';
COMMENT ON COLUMN courses.leaderboard_rank.previous_rank IS
    'In the period before; where there is but one, when it was computed before.';
COMMENT ON COLUMN courses.leaderboard_rank.points_to_next IS
    'What is missing to the value of the next better one.';

-- The board as it is shown.
CREATE INDEX leaderboard_rank_board_idx
    ON courses.leaderboard_rank (business_id, leaderboard_id, period_start, rank_no);

-- FK: where a learner stands.
CREATE INDEX leaderboard_rank_learner_idx
    ON courses.leaderboard_rank (business_id, learner_id, period_start DESC);

ALTER TABLE courses.leaderboard_rank ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.leaderboard_rank
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.leaderboard_rank TO app_user;
GRANT SELECT ON courses.leaderboard_rank TO app_readonly;

CREATE TRIGGER leaderboard_rank_touch
    BEFORE UPDATE ON courses.leaderboard_rank
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION courses.ranked_values(board uuid, from_at timestamptz, to_at timestamptz)
    RETURNS TABLE (learner_id uuid, value numeric, reached_at timestamptz)
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
BEGIN
    RETURN QUERY
    WITH may AS (
        SELECT l.learner_id, l.user_account_id, b.metric, b.course_section_id
        FROM courses.leaderboard AS b
        JOIN courses.learner AS l ON l.business_id = b.business_id AND l.status <> 'withdrawn'
        LEFT JOIN user_mgmt.user_preference AS p
            ON p.business_id = l.business_id AND p.user_account_id = l.user_account_id
           AND p.preference_key = 'leaderboard' AND p.module_code = 'courses'
        WHERE b.business_id = tenant AND b.leaderboard_id = board
          AND coalesce(p.value = 'true', NOT b.is_opt_in)
          AND CASE b.scope
                  WHEN 'section' THEN EXISTS (
                      SELECT
                      FROM courses.enrollment AS e
                      WHERE e.business_id = tenant AND e.learner_id = l.learner_id
                        AND e.course_section_id = b.course_section_id
                        AND e.status IN ('active', 'completed', 'paused', 'failed'))
                  WHEN 'cohort' THEN EXISTS (
                      SELECT
                      FROM courses.cohort_member AS m
                      WHERE m.business_id = tenant AND m.learner_id = l.learner_id
                        AND m.cohort_id = b.cohort_id AND m.is_active)
                  ELSE true END
    ), merits AS (
        SELECT m.learner_id, sum(e.points)::numeric AS value, max(e.earned_at) AS reached_at
        FROM may AS m
        JOIN courses.point_ledger_entry AS e
            ON e.business_id = tenant AND e.learner_id = m.learner_id
           AND e.earned_at >= from_at AND e.earned_at < to_at AND e.entry_kind = 'earn'
        WHERE m.metric = 'points'
        GROUP BY m.learner_id
        UNION ALL
        SELECT m.learner_id, round(sum(s.active_seconds) / 60.0, 4), max(s.ended_at)
        FROM may AS m
        JOIN courses.learning_session AS s
            ON s.business_id = tenant AND s.learner_id = m.learner_id
           AND s.started_at >= from_at AND s.started_at < to_at
        WHERE m.metric = 'minutes'
        GROUP BY m.learner_id
        UNION ALL
        SELECT m.learner_id, round(avg(a.score_pct), 4), max(a.graded_at)
        FROM may AS m
        JOIN courses.enrollment AS e
            ON e.business_id = tenant AND e.learner_id = m.learner_id
           AND coalesce(e.course_section_id = m.course_section_id, true)
        JOIN courses.assessment_attempt AS a
            ON a.business_id = tenant AND a.enrollment_id = e.enrollment_id
           AND a.state = 'graded' AND a.graded_at >= from_at AND a.graded_at < to_at
        WHERE m.metric = 'score'
        GROUP BY m.learner_id
        UNION ALL
        SELECT m.learner_id, count(*)::numeric, max(p.posted_at)
        FROM may AS m
        JOIN courses.discussion_post AS p
            ON p.business_id = tenant AND p.author_user_account_id = m.user_account_id
           AND p.posted_at >= from_at AND p.posted_at < to_at
           AND p.moderation IN ('visible', 'flagged')
        WHERE m.metric = 'contributions'
        GROUP BY m.learner_id
        UNION ALL
        SELECT m.learner_id, s.current_streak_days::numeric, s.recomputed_at
        FROM may AS m
        JOIN courses.learner_standing AS s
            ON s.business_id = tenant AND s.learner_id = m.learner_id
        WHERE m.metric = 'streak'
    )
    SELECT v.learner_id, v.value, v.reached_at
    FROM merits AS v
    WHERE v.value > 0;
END
$$;
COMMENT ON FUNCTION courses.ranked_values(uuid, timestamptz, timestamptz) IS
    'What those whom a leaderboard ranks have in its metric over a time, and since when; who has
     nothing is not ranked, nor who does not want to be.';

CREATE FUNCTION courses.refresh_leaderboard(board uuid, moment timestamptz DEFAULT now())
    RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    kind   record;
    since  timestamptz;
    until  timestamptz;
    written integer;
BEGIN
    SELECT b.*, s.starts_on, s.ends_on INTO kind
    FROM courses.leaderboard AS b
    LEFT JOIN courses.course_section AS s
        ON s.business_id = b.business_id AND s.course_section_id = b.course_section_id
    WHERE b.business_id = tenant AND b.leaderboard_id = board
    FOR NO KEY UPDATE OF b;
    IF kind.status IS DISTINCT FROM 'active' THEN
        RETURN 0;
    END IF;
    since := CASE kind.period
        WHEN 'daily'   THEN date_trunc('day', moment, 'UTC')
        WHEN 'weekly'  THEN date_trunc('week', moment, 'UTC')
        WHEN 'monthly' THEN date_trunc('month', moment, 'UTC')
        WHEN 'section' THEN kind.starts_on::timestamp AT TIME ZONE 'UTC'
        ELSE '2000-01-01 00:00+00' END;
    until := CASE kind.period
        WHEN 'daily'   THEN since + interval '1 day'
        WHEN 'weekly'  THEN since + interval '7 days'
        WHEN 'monthly' THEN date_trunc('month', since + interval '32 days', 'UTC')
        WHEN 'section' THEN (kind.ends_on + 1)::timestamp AT TIME ZONE 'UTC' END;
    WITH former AS (
        DELETE FROM courses.leaderboard_rank AS r
        WHERE r.business_id = tenant AND r.leaderboard_id = board
          AND r.period_start = (since AT TIME ZONE 'UTC')::date
        RETURNING r.learner_id, r.rank_no
    ), ranked AS (
        SELECT v.learner_id, v.value,
               CASE kind.tie_break
                   WHEN 'earliest' THEN row_number() OVER (
                       ORDER BY v.value DESC, v.reached_at, v.learner_id)
                   ELSE rank() OVER (ORDER BY v.value DESC) END AS rank_no,
               kind.tie_break = 'shared'
                   AND count(*) OVER (PARTITION BY v.value) > 1 AS is_tied,
               min(v.value) OVER (ORDER BY v.value DESC
                                  GROUPS BETWEEN 1 PRECEDING AND 1 PRECEDING) AS next_value,
               row_number() OVER (ORDER BY v.value DESC, v.reached_at, v.learner_id) AS place
        FROM courses.ranked_values(board, since, least(until, moment + interval '1 second')) AS v
    )
    INSERT INTO courses.leaderboard_rank
        (business_id, leaderboard_rank_id, leaderboard_id, learner_id, period_start, rank_no,
         previous_rank, metric_value, is_tied, display_name, points_to_next, computed_at)
    SELECT tenant, md5(concat_ws(' ', board, since AT TIME ZONE 'UTC', r.learner_id))::uuid, board,
           r.learner_id, (since AT TIME ZONE 'UTC')::date, r.rank_no,
           coalesce((SELECT x.rank_no
                     FROM courses.leaderboard_rank AS x
                     WHERE x.business_id = tenant AND x.leaderboard_id = board
                       AND x.learner_id = r.learner_id
                       AND x.period_start < (since AT TIME ZONE 'UTC')::date
                     ORDER BY x.period_start DESC
                     LIMIT 1),
                    CASE WHEN kind.period IN ('all_time', 'section') THEN f.rank_no END),
           r.value, r.is_tied,
           CASE WHEN r.rank_no > kind.anonymizes_below_rank OR u.display_name IS NULL
                THEN 'Learner ' || upper(left(md5(board::text || r.learner_id), 4))
                ELSE u.display_name END,
           coalesce(r.next_value - r.value, 0), moment
    FROM ranked AS r
    JOIN courses.learner AS l ON l.business_id = tenant AND l.learner_id = r.learner_id
    LEFT JOIN user_mgmt.user_account AS u
        ON u.business_id = tenant AND u.user_account_id = l.user_account_id
    LEFT JOIN former AS f ON f.learner_id = r.learner_id
    WHERE r.place <= kind.size_limit;
    GET DIAGNOSTICS written = ROW_COUNT;
    UPDATE courses.leaderboard AS b
    SET resets_at = until
    WHERE b.business_id = tenant AND b.leaderboard_id = board
      AND b.resets_at IS DISTINCT FROM until;
    RETURN written;
END
$$;
COMMENT ON FUNCTION courses.refresh_leaderboard(uuid, timestamptz) IS
    'Computes the ranks of the running period anew: ties shared or by who was first, those who opted
     out absent, names below a rank replaced by a number. Returns how many are ranked.';


CREATE TABLE courses.challenge (
    business_id       uuid                 NOT NULL,
    challenge_id      uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    reward_badge_id   uuid,
    course_id         uuid,
    title             text                 NOT NULL,
    challenge_kind    text                 NOT NULL DEFAULT 'individual',
    goal_metric       text                 NOT NULL,
    goal_value        system_core.quantity NOT NULL,
    starts_at         timestamptz          NOT NULL,
    ends_at           timestamptz          NOT NULL,
    reward_points     integer              NOT NULL DEFAULT 0,
    max_participants  integer,
    participant_count integer              NOT NULL DEFAULT 0,
    rules             text,
    status            text                 NOT NULL DEFAULT 'draft',
    created_at        timestamptz          NOT NULL DEFAULT now(),
    updated_at        timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, challenge_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, reward_badge_id) REFERENCES courses.badge (business_id, badge_id),
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    CONSTRAINT challenge_kind_known CHECK (challenge_kind IN ('individual', 'team', 'community')),
    CONSTRAINT challenge_goal_metric_known
        CHECK (goal_metric IN ('lessons', 'minutes', 'score', 'posts', 'submissions')),
    CONSTRAINT challenge_status_known
        CHECK (status IN ('draft', 'announced', 'running', 'finished', 'cancelled')),
    CONSTRAINT challenge_ends_after_start CHECK (ends_at > starts_at),
    CONSTRAINT challenge_goal_positive CHECK (goal_value > 0),
    CONSTRAINT challenge_score_goal_is_a_share CHECK (goal_metric <> 'score' OR goal_value <= 100),
    CONSTRAINT challenge_places_not_oversold
        CHECK (participant_count >= 0 AND participant_count <= max_participants),
    CONSTRAINT challenge_reward_not_negative CHECK (reward_points >= 0)
);

COMMENT ON TABLE courses.challenge IS 'Time-boxed task for individuals or teams.';
COMMENT ON COLUMN courses.challenge.participant_count IS
    'Entries that were not withdrawn; kept by the entries.';

-- FK: the challenges that a badge is won in.
CREATE INDEX challenge_reward_badge_idx
    ON courses.challenge (business_id, reward_badge_id)
    WHERE reward_badge_id IS NOT NULL;

-- FK: the challenges of a course.
CREATE INDEX challenge_course_idx
    ON courses.challenge (business_id, course_id)
    WHERE course_id IS NOT NULL;

ALTER TABLE courses.challenge ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.challenge
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.challenge TO app_user;
GRANT SELECT ON courses.challenge TO app_readonly;

CREATE TRIGGER challenge_touch
    BEFORE UPDATE ON courses.challenge
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER challenge_state_machine
    BEFORE INSERT OR UPDATE OF status ON courses.challenge
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":     ["announced", "cancelled"],
            "announced": ["running", "cancelled"],
            "running":   ["finished", "cancelled"],
            "finished":  [],
            "cancelled": []
        }}');


CREATE TABLE courses.challenge_entry (
    business_id        uuid                   NOT NULL,
    challenge_entry_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    challenge_id       uuid                   NOT NULL,
    learner_id         uuid                   NOT NULL,
    study_group_id     uuid,
    joined_at          timestamptz            NOT NULL DEFAULT now(),
    progress_value     system_core.quantity   NOT NULL DEFAULT 0,
    progress_pct       system_core.percentage NOT NULL DEFAULT 0,
    completed_at       timestamptz,
    final_rank         integer,
    state              text                   NOT NULL DEFAULT 'joined',
    reward_granted_at  timestamptz,
    disqualify_reason  text,
    created_at         timestamptz            NOT NULL DEFAULT now(),
    updated_at         timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, challenge_entry_id),
    UNIQUE (business_id, challenge_id, learner_id),
    FOREIGN KEY (business_id, challenge_id)
        REFERENCES courses.challenge (business_id, challenge_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    CONSTRAINT challenge_entry_state_known
        CHECK (state IN ('joined', 'active', 'completed', 'withdrawn', 'disqualified')),
    CONSTRAINT challenge_entry_completed_has_time
        CHECK (state = 'disqualified' OR (state = 'completed') = (completed_at IS NOT NULL)),
    CONSTRAINT challenge_entry_reward_for_completion
        CHECK (reward_granted_at IS NULL OR completed_at IS NOT NULL),
    CONSTRAINT challenge_entry_disqualified_for_a_reason
        CHECK (state <> 'disqualified' OR coalesce(disqualify_reason, '') ~ '\S'),
    CONSTRAINT challenge_entry_progress_is_a_share
        CHECK (progress_value >= 0 AND progress_pct BETWEEN 0 AND 100),
    CONSTRAINT challenge_entry_rank_from_one CHECK (final_rank >= 1)
);

COMMENT ON TABLE courses.challenge_entry IS 'Participation of a learner or group with progress.';
COMMENT ON COLUMN courses.challenge_entry.progress_pct IS
    'Of the challenge''s goal, 100 at most; follows progress_value.';

-- FK: the challenges of a learner.
CREATE INDEX challenge_entry_learner_idx
    ON courses.challenge_entry (business_id, learner_id);

-- FK: the challenges of a study group.
CREATE INDEX challenge_entry_study_group_idx
    ON courses.challenge_entry (business_id, study_group_id)
    WHERE study_group_id IS NOT NULL;

ALTER TABLE courses.challenge_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.challenge_entry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.challenge_entry TO app_user;
GRANT SELECT ON courses.challenge_entry TO app_readonly;

CREATE TRIGGER challenge_entry_touch
    BEFORE UPDATE ON courses.challenge_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER challenge_entry_state_machine
    BEFORE INSERT OR UPDATE OF state ON courses.challenge_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["joined"],
        "transitions": {
            "joined":       ["active", "completed", "withdrawn", "disqualified"],
            "active":       ["completed", "withdrawn", "disqualified"],
            "completed":    ["disqualified"],
            "withdrawn":    ["joined"],
            "disqualified": []
        }}');

CREATE FUNCTION courses.check_challenge_entry() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    task record;
BEGIN
    SELECT c.* INTO task
    FROM courses.challenge AS c
    WHERE c.business_id = NEW.business_id AND c.challenge_id = NEW.challenge_id
    FOR NO KEY UPDATE;
    NEW.progress_pct := least(100, round(100 * NEW.progress_value / task.goal_value, 4));
    IF NEW.completed_at IS NOT NULL
       AND NOT NEW.completed_at BETWEEN task.starts_at AND task.ends_at THEN
        RAISE EXCEPTION 'challenge "%" is completed from % to %', task.title, task.starts_at,
                        task.ends_at
            USING ERRCODE = 'check_violation';
    END IF;
    IF task.challenge_kind = 'team' AND NEW.study_group_id IS NULL THEN
        RAISE EXCEPTION 'challenge "%" is for study groups', task.title
            USING ERRCODE = 'check_violation', HINT = 'Say for which group.';
    END IF;
    IF NEW.state = 'joined' AND (TG_OP = 'INSERT' OR OLD.state = 'withdrawn')
       AND task.status NOT IN ('announced', 'running') AND row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'challenge "%" is % and not to be joined', task.title, task.status
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.check_challenge_entry() IS
    'A challenge is joined once announced, by a group where it is for groups, and completed between
     its dates; how far somebody is follows the goal.';

CREATE TRIGGER challenge_entry_fits
    BEFORE INSERT OR UPDATE OF challenge_id, progress_value, progress_pct, completed_at, state,
                               study_group_id
    ON courses.challenge_entry
    FOR EACH ROW EXECUTE FUNCTION courses.check_challenge_entry();

CREATE FUNCTION courses.recount_challenges(challenges uuid[]) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    moved  integer;
BEGIN
    -- Who holds the challenge counts what all who held it before have committed.
    PERFORM
    FROM courses.challenge AS c
    WHERE c.business_id = tenant AND c.challenge_id = ANY (challenges)
    ORDER BY c.challenge_id
    FOR NO KEY UPDATE;
    UPDATE courses.challenge AS c
    SET participant_count = n.found
    FROM (
        SELECT t.challenge_id, count(e.challenge_entry_id) AS found
        FROM (SELECT DISTINCT u.id AS challenge_id FROM unnest(challenges) AS u (id)) AS t
        LEFT JOIN courses.challenge_entry AS e
            ON e.business_id = tenant AND e.challenge_id = t.challenge_id
           AND e.state <> 'withdrawn'
        GROUP BY t.challenge_id
    ) AS n
    WHERE c.business_id = tenant AND c.challenge_id = n.challenge_id
      AND c.participant_count <> n.found;
    GET DIAGNOSTICS moved = ROW_COUNT;
    RETURN moved;
END
$$;
COMMENT ON FUNCTION courses.recount_challenges(uuid[]) IS
    'Counts who takes part in challenges anew; returns how many challenges said something else.';

CREATE FUNCTION courses.count_participants() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    touched uuid[];
BEGIN
    IF TG_OP = 'UPDATE' THEN
        SELECT array_agg(g.id) INTO touched
        FROM changed AS c
        JOIN former AS f
            ON f.business_id = c.business_id AND f.challenge_entry_id = c.challenge_entry_id
        CROSS JOIN LATERAL (VALUES (c.challenge_id), (f.challenge_id)) AS g (id)
        WHERE (c.challenge_id, c.state) IS DISTINCT FROM (f.challenge_id, f.state);
    ELSE
        SELECT array_agg(c.challenge_id) INTO touched FROM changed AS c;
    END IF;
    IF touched IS NOT NULL THEN
        PERFORM courses.recount_challenges(touched);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.count_participants() IS
    'A challenge knows how many take part, and takes no more than its limit.';

CREATE TRIGGER challenge_entry_counted
    AFTER INSERT ON courses.challenge_entry
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.count_participants();

CREATE TRIGGER challenge_entry_counted_anew
    AFTER UPDATE ON courses.challenge_entry
    REFERENCING NEW TABLE AS changed OLD TABLE AS former
    FOR EACH STATEMENT EXECUTE FUNCTION courses.count_participants();

CREATE TRIGGER challenge_entry_counted_less
    AFTER DELETE ON courses.challenge_entry
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.count_participants();

CREATE FUNCTION courses.report_challenge_progress(
    entry  uuid,
    value  numeric,
    moment timestamptz DEFAULT now()
) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    task   record;
    winner uuid;
BEGIN
    -- An entry is locked before its challenge, by everybody.
    SELECT e.challenge_id INTO task
    FROM courses.challenge_entry AS e
    WHERE e.business_id = tenant AND e.challenge_entry_id = entry
    FOR NO KEY UPDATE;
    SELECT c.* INTO task
    FROM courses.challenge AS c
    WHERE c.business_id = tenant AND c.challenge_id = task.challenge_id
    FOR NO KEY UPDATE;
    IF task.status IS DISTINCT FROM 'running' THEN
        RAISE EXCEPTION 'only a running challenge makes progress'
            USING ERRCODE = 'check_violation';
    END IF;
    UPDATE courses.challenge_entry AS e
    SET progress_value = greatest(e.progress_value, value),
        state = CASE WHEN value >= task.goal_value THEN 'completed' ELSE 'active' END,
        completed_at = CASE WHEN value >= task.goal_value THEN moment END,
        reward_granted_at = CASE WHEN value >= task.goal_value THEN moment END,
        final_rank = CASE WHEN value >= task.goal_value
                          THEN 1 + (SELECT count(*)
                                    FROM courses.challenge_entry AS x
                                    WHERE x.business_id = tenant
                                      AND x.challenge_id = task.challenge_id
                                      AND x.state = 'completed') END
    WHERE e.business_id = tenant AND e.challenge_entry_id = entry
      AND e.state IN ('joined', 'active')
    RETURNING CASE WHEN e.state = 'completed' THEN e.learner_id END INTO winner;
    IF winner IS NOT NULL THEN
        IF task.reward_points > 0 AND courses.hold_standing(winner, moment) THEN
            INSERT INTO courses.point_ledger_entry
                (business_id, learner_id, earned_at, entry_kind, points, balance_after,
                 source_kind, source_id, dedupe_key, expires_at)
            VALUES (tenant, winner, moment, 'earn', task.reward_points, 0, 'challenge',
                    task.challenge_id, 'challenge ' || entry, moment + interval '2 years');
        END IF;
        IF task.reward_badge_id IS NOT NULL THEN
            PERFORM courses.give_badge(task.reward_badge_id, winner,
                                       jsonb_build_object('challenge', task.title),
                                       moment => moment);
        END IF;
    END IF;
    RETURN (SELECT e.state
            FROM courses.challenge_entry AS e
            WHERE e.business_id = tenant AND e.challenge_entry_id = entry);
END
$$;
COMMENT ON FUNCTION courses.report_challenge_progress(uuid, numeric, timestamptz) IS
    'Notes how far an entry is; at the goal it is completed, ranked by who was first, and gets the
     points and the badge, once. Returns its state.';


CREATE TABLE courses.reward_item (
    business_id          uuid              NOT NULL,
    reward_item_id       uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    image_file_object_id uuid,
    code                 system_core.code  NOT NULL,
    name                 text              NOT NULL,
    reward_kind          text              NOT NULL,
    cost_points          integer           NOT NULL,
    stock_count          integer,
    per_learner_limit    integer,
    value_amount         system_core.money,
    available_from       timestamptz       NOT NULL DEFAULT '-infinity',
    available_until      timestamptz,
    is_active            boolean           NOT NULL DEFAULT true,
    created_at           timestamptz       NOT NULL DEFAULT now(),
    updated_at           timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, reward_item_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, image_file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT reward_item_reward_kind_known
        CHECK (reward_kind IN ('discount_coupon', 'physical', 'course_access', 'donation',
                               'profile_cosmetic', 'mentor_session')),
    CONSTRAINT reward_item_costs_points CHECK (cost_points > 0),
    CONSTRAINT reward_item_stock_not_oversold CHECK (stock_count >= 0),
    CONSTRAINT reward_item_per_learner_limit_positive CHECK (per_learner_limit > 0),
    CONSTRAINT reward_item_value_not_negative CHECK (value_amount >= 0),
    CONSTRAINT reward_item_ends_after_start CHECK (available_until > available_from)
);

COMMENT ON TABLE courses.reward_item IS 'Thing or right that points can buy.';
COMMENT ON COLUMN courses.reward_item.stock_count IS 'What is left; NULL without limit.';

-- FK: the rewards that show a picture.
CREATE INDEX reward_item_image_file_object_idx
    ON courses.reward_item (business_id, image_file_object_id)
    WHERE image_file_object_id IS NOT NULL;

ALTER TABLE courses.reward_item ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.reward_item
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.reward_item TO app_user;
GRANT SELECT ON courses.reward_item TO app_readonly;

CREATE TRIGGER reward_item_touch
    BEFORE UPDATE ON courses.reward_item
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.reward_redemption (
    business_id          uuid        NOT NULL,
    reward_redemption_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    reward_item_id       uuid        NOT NULL,
    learner_id           uuid        NOT NULL,
    coupon_id            uuid,
    postal_address_id    uuid,
    redeemed_at          timestamptz NOT NULL DEFAULT now(),
    points_spent         integer     NOT NULL,
    state                text        NOT NULL DEFAULT 'requested',
    fulfilled_at         timestamptz,
    tracking_reference   text,
    cancelled_reason     text,
    quantity             integer     NOT NULL DEFAULT 1,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, reward_redemption_id),
    FOREIGN KEY (business_id, reward_item_id)
        REFERENCES courses.reward_item (business_id, reward_item_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, coupon_id) REFERENCES courses.coupon (business_id, coupon_id),
    FOREIGN KEY (business_id, postal_address_id)
        REFERENCES system_core.postal_address (business_id, postal_address_id),
    CONSTRAINT reward_redemption_state_known
        CHECK (state IN ('requested', 'approved', 'fulfilled', 'shipped', 'cancelled',
                         'refunded')),
    CONSTRAINT reward_redemption_fulfilled_after_redemption CHECK (fulfilled_at >= redeemed_at),
    CONSTRAINT reward_redemption_fulfilled_has_time
        CHECK (state <> 'fulfilled' OR fulfilled_at IS NOT NULL),
    CONSTRAINT reward_redemption_cancelled_for_a_reason
        CHECK (state NOT IN ('cancelled', 'refunded') OR coalesce(cancelled_reason, '') ~ '\S'),
    CONSTRAINT reward_redemption_spends CHECK (points_spent > 0 AND quantity > 0),
    CONSTRAINT reward_redemption_shipped_is_tracked
        CHECK (state <> 'shipped' OR tracking_reference IS NOT NULL)
);

COMMENT ON TABLE courses.reward_redemption IS 'Points spent on a reward and its fulfilment.';
COMMENT ON COLUMN courses.reward_redemption.points_spent IS
    'quantity times what the reward then cost.';

-- FK: who took a reward.
CREATE INDEX reward_redemption_reward_item_idx
    ON courses.reward_redemption (business_id, reward_item_id, learner_id);

-- FK: what a learner redeemed, the last one first.
CREATE INDEX reward_redemption_learner_idx
    ON courses.reward_redemption (business_id, learner_id, redeemed_at DESC);

-- FK: the redemption that a coupon came from.
CREATE INDEX reward_redemption_coupon_idx
    ON courses.reward_redemption (business_id, coupon_id)
    WHERE coupon_id IS NOT NULL;

-- FK: what was sent to an address.
CREATE INDEX reward_redemption_postal_address_idx
    ON courses.reward_redemption (business_id, postal_address_id)
    WHERE postal_address_id IS NOT NULL;

ALTER TABLE courses.reward_redemption ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.reward_redemption
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.reward_redemption TO app_user;
GRANT SELECT ON courses.reward_redemption TO app_readonly;

CREATE TRIGGER reward_redemption_touch
    BEFORE UPDATE ON courses.reward_redemption
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER reward_redemption_state_machine
    BEFORE INSERT OR UPDATE OF state ON courses.reward_redemption
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["requested"],
        "transitions": {
            "requested": ["approved", "cancelled"],
            "approved":  ["fulfilled", "shipped", "cancelled"],
            "shipped":   ["fulfilled", "refunded"],
            "fulfilled": ["refunded"],
            "cancelled": [],
            "refunded":  []
        }}');

CREATE FUNCTION courses.pay_for_reward() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    item record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    -- The reward is locked before the learner, by everybody.
    SELECT i.* INTO item
    FROM courses.reward_item AS i
    WHERE i.business_id = NEW.business_id AND i.reward_item_id = NEW.reward_item_id
    FOR NO KEY UPDATE;
    IF NOT item.is_active OR NEW.redeemed_at < item.available_from
       OR NEW.redeemed_at >= item.available_until THEN
        RAISE EXCEPTION 'reward % is not to be had', item.code USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.quantity + (SELECT coalesce(sum(r.quantity), 0)
                       FROM courses.reward_redemption AS r
                       WHERE r.business_id = NEW.business_id
                         AND r.reward_item_id = NEW.reward_item_id
                         AND r.learner_id = NEW.learner_id AND r.state <> 'cancelled')
       > item.per_learner_limit THEN
        RAISE EXCEPTION 'reward % is given % times to each', item.code, item.per_learner_limit
            USING ERRCODE = 'check_violation';
    END IF;
    IF item.reward_kind = 'physical' AND NEW.postal_address_id IS NULL THEN
        RAISE EXCEPTION 'reward % is sent somewhere', item.code
            USING ERRCODE = 'check_violation', HINT = 'Give a postal address.';
    END IF;
    NEW.points_spent := NEW.quantity * item.cost_points;
    UPDATE courses.reward_item AS i
    SET stock_count = i.stock_count - NEW.quantity
    WHERE i.business_id = NEW.business_id AND i.reward_item_id = NEW.reward_item_id
      AND i.stock_count IS NOT NULL;
    INSERT INTO courses.point_ledger_entry
        (business_id, learner_id, earned_at, entry_kind, points, balance_after, source_kind,
         source_id, dedupe_key)
    VALUES (NEW.business_id, NEW.learner_id, NEW.redeemed_at, 'spend', -NEW.points_spent, 0,
            'reward', NEW.reward_redemption_id, 'spend ' || NEW.reward_redemption_id);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.pay_for_reward() IS
    'A redemption takes its pieces from the stock and its points from the learner at once, within
     what is left of both and of what each may have, also when two redeem at once. Imported history
     brings its ledger.';

CREATE TRIGGER reward_redemption_paid
    BEFORE INSERT ON courses.reward_redemption
    FOR EACH ROW EXECUTE FUNCTION courses.pay_for_reward();

CREATE FUNCTION courses.return_points() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    IF NEW.state = 'cancelled' THEN
        UPDATE courses.reward_item AS i
        SET stock_count = i.stock_count + NEW.quantity
        WHERE i.business_id = NEW.business_id AND i.reward_item_id = NEW.reward_item_id
          AND i.stock_count IS NOT NULL;
    END IF;
    INSERT INTO courses.point_ledger_entry
        (business_id, learner_id, earned_at, entry_kind, points, balance_after, source_kind,
         source_id, dedupe_key, note)
    VALUES (NEW.business_id, NEW.learner_id, greatest(now(), NEW.redeemed_at), 'adjust',
            NEW.points_spent, 0, 'reward', NEW.reward_redemption_id,
            'return ' || NEW.reward_redemption_id, NEW.state || ': ' || NEW.cancelled_reason);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.return_points() IS
    'A reward that is called off gives the points back, and its pieces where it never left.';

CREATE TRIGGER reward_redemption_returned
    AFTER UPDATE ON courses.reward_redemption
    FOR EACH ROW WHEN (NEW.state IN ('cancelled', 'refunded') AND OLD.state <> NEW.state)
    EXECUTE FUNCTION courses.return_points();

CREATE FUNCTION courses.keep_redemption() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what was redeemed is cancelled or refunded, not changed'
        USING ERRCODE = 'restrict_violation';
END
$$;
COMMENT ON FUNCTION courses.keep_redemption() IS 'Points were spent on it as it is.';

CREATE TRIGGER reward_redemption_kept
    BEFORE UPDATE ON courses.reward_redemption
    FOR EACH ROW WHEN ((NEW.reward_item_id, NEW.learner_id, NEW.quantity, NEW.points_spent)
                       IS DISTINCT FROM (OLD.reward_item_id, OLD.learner_id, OLD.quantity,
                                         OLD.points_spent))
    EXECUTE FUNCTION courses.keep_redemption();

CREATE TRIGGER reward_redemption_not_deleted
    BEFORE DELETE ON courses.reward_redemption
    FOR EACH ROW EXECUTE FUNCTION courses.keep_redemption();

CREATE FUNCTION courses.redeem_reward(
    learner uuid,
    item    uuid,
    pieces  integer DEFAULT 1,
    address uuid DEFAULT NULL,
    moment  timestamptz DEFAULT now()
) RETURNS uuid
    LANGUAGE sql VOLATILE
BEGIN ATOMIC
    INSERT INTO courses.reward_redemption
        (business_id, reward_item_id, learner_id, postal_address_id, redeemed_at, points_spent,
         quantity)
    SELECT i.business_id, i.reward_item_id, learner, address, moment, pieces * i.cost_points,
           pieces
    FROM courses.reward_item AS i
    WHERE i.business_id = tenant_mgmt.current_business_id() AND i.reward_item_id = item
    RETURNING reward_redemption_id;
END;
COMMENT ON FUNCTION courses.redeem_reward(uuid, uuid, integer, uuid, timestamptz) IS
    'Buys a reward with points; refused where points, stock or the limit of a learner do not allow
     it.';
