/*
 * Gamification: points, levels and streaks.
 *
 * A point_rule says what an action earns and how often; courses.award_points applies it. Points are
 * a ledger: point_ledger_entry is only ever added to, and learner_standing, the profile card of a
 * learner, follows it entry by entry (courses.standing_differences proves it). total_points is what
 * was ever merited and decides the level (level_definition); spendable_points is what is left of it
 * to spend. A learner_streak is a run of days or weeks in which somebody studied; missed days are
 * bridged by freezes, of which every seventh day earns one. A tenant without levels does not play:
 * nothing is kept for it. Badges are in 46_badges.sql; leaderboards, challenges and rewards in
 * 47_recognition.sql.
 */

CREATE TABLE courses.point_rule (
    business_id                  uuid             NOT NULL,
    point_rule_id                uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    course_id                    uuid,
    code                         system_core.code NOT NULL,
    action                       text             NOT NULL,
    points                       integer          NOT NULL,
    daily_cap                    integer,
    lifetime_cap                 integer,
    multiplier_after_streak_days integer,
    multiplier                   numeric(4,2)     NOT NULL DEFAULT 1,
    cooldown_minutes             integer          NOT NULL DEFAULT 0,
    valid_from                   date             NOT NULL DEFAULT '-infinity',
    valid_until                  date,
    is_active                    boolean          NOT NULL DEFAULT true,
    created_at                   timestamptz      NOT NULL DEFAULT now(),
    updated_at                   timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, point_rule_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    CONSTRAINT point_rule_action_known
        CHECK (action IN ('lesson_completed', 'quiz_passed', 'perfect_score', 'daily_login',
                          'post_upvoted', 'answer_accepted', 'peer_review_done', 'streak_day',
                          'challenge_won', 'profile_completed')),
    CONSTRAINT point_rule_points_bounded CHECK (points BETWEEN -1000 AND 1000 AND points <> 0),
    CONSTRAINT point_rule_multiplier_bounded CHECK (multiplier BETWEEN 1 AND 5),
    CONSTRAINT point_rule_daily_cap_lets_one_through CHECK (daily_cap >= points),
    CONSTRAINT point_rule_lifetime_cap_lets_one_through CHECK (lifetime_cap >= points),
    CONSTRAINT point_rule_streak_days_positive CHECK (multiplier_after_streak_days > 0),
    CONSTRAINT point_rule_cooldown_not_negative CHECK (cooldown_minutes >= 0),
    CONSTRAINT point_rule_ends_after_start CHECK (valid_until > valid_from)
);

COMMENT ON TABLE courses.point_rule IS 'How many points an action earns, with caps.';
COMMENT ON COLUMN courses.point_rule.course_id IS
    'Holds for this course alone and there before the general rule.';
COMMENT ON COLUMN courses.point_rule.points IS
    'Below zero it costs: a vote that turned out to be bought.';
COMMENT ON COLUMN courses.point_rule.valid_until IS 'The first day on which it no longer holds.';

-- FK: the rules of a course.
CREATE INDEX point_rule_course_idx
    ON courses.point_rule (business_id, course_id)
    WHERE course_id IS NOT NULL;

-- The rule for an action, which award_points looks up with every event.
CREATE INDEX point_rule_action_idx
    ON courses.point_rule (business_id, action)
    WHERE is_active;

ALTER TABLE courses.point_rule ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.point_rule
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.point_rule TO app_user;
GRANT SELECT ON courses.point_rule TO app_readonly;

CREATE TRIGGER point_rule_touch
    BEFORE UPDATE ON courses.point_rule
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.level_definition (
    business_id          uuid                    NOT NULL,
    level_definition_id  uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    level_no             integer                 NOT NULL,
    title                text                    NOT NULL,
    points_required      integer                 NOT NULL,
    perks                system_core.json_object NOT NULL DEFAULT '{}',
    icon                 text,
    color_hex            system_core.color_hex,
    unlocks_forum_rights text[]                  NOT NULL DEFAULT '{}',
    celebration_text     text,
    created_at           timestamptz             NOT NULL DEFAULT now(),
    updated_at           timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, level_definition_id),
    UNIQUE (business_id, level_no),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT level_definition_begins_at_one CHECK (level_no >= 1),
    CONSTRAINT level_definition_first_needs_nothing
        CHECK ((level_no = 1) = (points_required = 0)),
    CONSTRAINT level_definition_points_not_negative CHECK (points_required >= 0)
);

COMMENT ON TABLE courses.level_definition IS 'Level with its points threshold and perks.';

ALTER TABLE courses.level_definition ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.level_definition
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.level_definition TO app_user;
GRANT SELECT ON courses.level_definition TO app_readonly;

CREATE TRIGGER level_definition_touch
    BEFORE UPDATE ON courses.level_definition
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.learner_streak (
    business_id       uuid        NOT NULL,
    learner_streak_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    learner_id        uuid        NOT NULL,
    streak_kind       text        NOT NULL,
    started_on        date        NOT NULL,
    last_active_on    date        NOT NULL,
    length_count      integer     NOT NULL DEFAULT 1,
    freeze_balance    integer     NOT NULL DEFAULT 0,
    freezes_used      integer     NOT NULL DEFAULT 0,
    broken_on         date,
    longest_length    integer     NOT NULL DEFAULT 1,
    reminder_sent_on  date,
    is_current        boolean     NOT NULL DEFAULT true,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, learner_streak_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    CONSTRAINT learner_streak_kind_known CHECK (streak_kind IN ('daily', 'weekly')),
    CONSTRAINT learner_streak_broken_after_last_activity CHECK (broken_on > last_active_on),
    CONSTRAINT learner_streak_broken_or_current CHECK (is_current = (broken_on IS NULL)),
    CONSTRAINT learner_streak_freezes_bounded
        CHECK (freeze_balance BETWEEN 0 AND 5 AND freezes_used >= 0),
    CONSTRAINT learner_streak_active_from_start CHECK (last_active_on >= started_on),
    CONSTRAINT learner_streak_longest_holds_this CHECK (longest_length >= length_count),
    CONSTRAINT learner_streak_is_as_long_as_its_days
        CHECK (CASE streak_kind
                   WHEN 'daily' THEN length_count + freezes_used = last_active_on - started_on + 1
                   ELSE (length_count + freezes_used - 1) * 7 = last_active_on - started_on END)
);

COMMENT ON TABLE courses.learner_streak IS 'Run of days or weeks of activity, with freezes.';
COMMENT ON COLUMN courses.learner_streak.last_active_on IS
    'In the learner''s own time zone; of a weekly run the Monday of the week.';
COMMENT ON COLUMN courses.learner_streak.length_count IS
    'Days or weeks with activity: what a freeze bridged does not count.';
COMMENT ON COLUMN courses.learner_streak.longest_length IS
    'The longest run of this kind that the learner had by then, this one included.';

-- One run goes on at a time.
CREATE UNIQUE INDEX learner_streak_current_idx
    ON courses.learner_streak (business_id, learner_id, streak_kind)
    WHERE is_current;

-- FK: the runs of a learner, the last one first.
CREATE INDEX learner_streak_learner_idx
    ON courses.learner_streak (business_id, learner_id, started_on DESC);

ALTER TABLE courses.learner_streak ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.learner_streak
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.learner_streak TO app_user;
GRANT SELECT ON courses.learner_streak TO app_readonly;

CREATE TRIGGER learner_streak_touch
    BEFORE UPDATE ON courses.learner_streak
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.learner_standing (
    business_id         uuid                   NOT NULL,
    learner_standing_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    learner_id          uuid                   NOT NULL,
    level_definition_id uuid                   NOT NULL,
    total_points        integer                NOT NULL DEFAULT 0,
    spendable_points    integer                NOT NULL DEFAULT 0,
    points_this_week    integer                NOT NULL DEFAULT 0,
    badges_count        integer                NOT NULL DEFAULT 0,
    courses_completed   integer                NOT NULL DEFAULT 0,
    current_streak_days integer                NOT NULL DEFAULT 0,
    longest_streak_days integer                NOT NULL DEFAULT 0,
    percentile          system_core.percentage,
    recomputed_at       timestamptz            NOT NULL DEFAULT now(),
    created_at          timestamptz            NOT NULL DEFAULT now(),
    updated_at          timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, learner_standing_id),
    UNIQUE (business_id, learner_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, level_definition_id)
        REFERENCES courses.level_definition (business_id, level_definition_id),
    CONSTRAINT learner_standing_spends_what_was_merited
        CHECK (spendable_points BETWEEN 0 AND total_points),
    CONSTRAINT learner_standing_week_is_part_of_it
        CHECK (points_this_week >= 0),
    CONSTRAINT learner_standing_counts_not_negative
        CHECK (badges_count >= 0 AND courses_completed >= 0 AND current_streak_days >= 0),
    CONSTRAINT learner_standing_longest_streak_holds_current
        CHECK (longest_streak_days >= current_streak_days),
    CONSTRAINT learner_standing_percentile_bounded CHECK (percentile BETWEEN 0 AND 100)
);

COMMENT ON TABLE courses.learner_standing IS
    'Current points, level and counts of a learner for the profile card.';
COMMENT ON COLUMN courses.learner_standing.points_this_week IS
    'Earned in the ISO week of recomputed_at, UTC.';
COMMENT ON COLUMN courses.learner_standing.percentile IS
    'The share of learners with fewer points, when it was last ranked.';

-- FK: who reached a level; the most points first.
CREATE INDEX learner_standing_level_definition_idx
    ON courses.learner_standing (business_id, level_definition_id, total_points DESC);

ALTER TABLE courses.learner_standing ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.learner_standing
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.learner_standing TO app_user;
GRANT SELECT ON courses.learner_standing TO app_readonly;

CREATE TRIGGER learner_standing_touch
    BEFORE UPDATE ON courses.learner_standing
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION courses.level_for(points integer) RETURNS uuid
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT d.level_definition_id
    FROM courses.level_definition AS d
    WHERE d.business_id = tenant_mgmt.current_business_id() AND d.points_required <= points
    ORDER BY d.level_no DESC
    LIMIT 1;
END;
COMMENT ON FUNCTION courses.level_for(integer) IS 'The highest level of the tenant for points.';

CREATE FUNCTION courses.fit_level() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    SELECT d.level_definition_id INTO NEW.level_definition_id
    FROM courses.level_definition AS d
    WHERE d.business_id = NEW.business_id AND d.points_required <= NEW.total_points
    ORDER BY d.level_no DESC
    LIMIT 1;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.fit_level() IS 'The level of a learner is the one of their points.';

CREATE TRIGGER learner_standing_level
    BEFORE INSERT OR UPDATE OF total_points, level_definition_id ON courses.learner_standing
    FOR EACH ROW EXECUTE FUNCTION courses.fit_level();

CREATE FUNCTION courses.order_levels() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    SELECT l.title AS low, h.title AS high INTO wrong
    FROM courses.level_definition AS l
    JOIN courses.level_definition AS h
        ON h.business_id = l.business_id AND h.level_no > l.level_no
       AND h.points_required <= l.points_required
    WHERE l.business_id IN (SELECT c.business_id FROM changed AS c)
    ORDER BY l.level_no, h.level_no
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'level % needs no more points than level % below it', wrong.high, wrong.low
            USING ERRCODE = 'check_violation', HINT = 'Let points_required rise with level_no.';
    END IF;
    -- Who stood at a threshold that moved stands at another level.
    UPDATE courses.learner_standing AS s
    SET level_definition_id = s.level_definition_id
    WHERE s.business_id IN (SELECT c.business_id FROM changed AS c)
      AND s.level_definition_id IS DISTINCT FROM (
          SELECT d.level_definition_id
          FROM courses.level_definition AS d
          WHERE d.business_id = s.business_id AND d.points_required <= s.total_points
          ORDER BY d.level_no DESC
          LIMIT 1);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.order_levels() IS
    'A higher level needs more points, and every learner stands at the level of their points.';

CREATE TRIGGER level_definition_in_order_on_insert
    AFTER INSERT ON courses.level_definition
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.order_levels();

CREATE TRIGGER level_definition_in_order_on_update
    AFTER UPDATE ON courses.level_definition
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.order_levels();

CREATE FUNCTION courses.hold_standing(learner uuid, moment timestamptz DEFAULT now())
    RETURNS boolean
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
BEGIN
    PERFORM
    FROM courses.learner_standing AS s
    WHERE s.business_id = tenant AND s.learner_id = learner
    FOR NO KEY UPDATE;
    IF FOUND THEN
        RETURN true;
    END IF;
    INSERT INTO courses.learner_standing
        (business_id, learner_id, level_definition_id, courses_completed, badges_count,
         current_streak_days, longest_streak_days, recomputed_at)
    SELECT tenant, learner, courses.level_for(0), (
               SELECT count(*)
               FROM courses.enrollment AS e
               WHERE e.business_id = tenant AND e.learner_id = learner
                 AND e.status = 'completed'), (
               SELECT count(*)
               FROM courses.badge_award AS a
               WHERE a.business_id = tenant AND a.learner_id = learner
                 AND a.revoked_at IS NULL),
           coalesce(sum(s.length_count) FILTER (WHERE s.is_current), 0),
           coalesce(max(s.longest_length), 0), moment
    FROM courses.learner_streak AS s
    WHERE s.business_id = tenant AND s.learner_id = learner AND s.streak_kind = 'daily'
    HAVING courses.level_for(0) IS NOT NULL
    ON CONFLICT (business_id, learner_id) DO NOTHING;
    -- Somebody else may have made it in the meantime.
    PERFORM
    FROM courses.learner_standing AS s
    WHERE s.business_id = tenant AND s.learner_id = learner
    FOR NO KEY UPDATE;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION courses.hold_standing(uuid, timestamptz) IS
    'Locks the profile card of a learner, made where there is none; false where the tenant has no
     levels and so does not play. Who moves points holds it: entries of a learner come one by one.';


CREATE TABLE courses.point_ledger_entry (
    business_id           uuid        NOT NULL,
    point_ledger_entry_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    learner_id            uuid        NOT NULL,
    point_rule_id         uuid,
    earned_at             timestamptz NOT NULL DEFAULT now(),
    entry_kind            text        NOT NULL,
    points                integer     NOT NULL,
    balance_after         integer     NOT NULL,
    source_kind           text        NOT NULL,
    source_id             uuid,
    dedupe_key            text,
    expires_at            timestamptz,
    note                  text,
    created_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, point_ledger_entry_id, earned_at),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, point_rule_id)
        REFERENCES courses.point_rule (business_id, point_rule_id),
    CONSTRAINT point_ledger_entry_kind_known
        CHECK (entry_kind IN ('earn', 'spend', 'expire', 'adjust', 'transfer')),
    CONSTRAINT point_ledger_entry_source_kind_known
        CHECK (source_kind IN ('manual', 'lesson', 'assessment', 'post', 'badge', 'challenge',
                               'reward')),
    CONSTRAINT point_ledger_entry_balance_not_negative CHECK (balance_after >= 0),
    CONSTRAINT point_ledger_entry_sign_by_kind
        CHECK (CASE WHEN entry_kind = 'earn' THEN points > 0
                    WHEN entry_kind IN ('spend', 'expire') THEN points < 0
                    ELSE points <> 0 END),
    CONSTRAINT point_ledger_entry_expires_after_earning CHECK (expires_at > earned_at),
    CONSTRAINT point_ledger_entry_only_credits_expire CHECK (points > 0 OR expires_at IS NULL),
    CONSTRAINT point_ledger_entry_spent_on_a_reward
        CHECK (entry_kind <> 'spend' OR source_kind = 'reward'),
    CONSTRAINT point_ledger_entry_adjusted_for_a_reason
        CHECK (entry_kind <> 'adjust' OR coalesce(note, '') ~ '\S')
) PARTITION BY RANGE (earned_at);

COMMENT ON TABLE courses.point_ledger_entry IS
    'Points earned, spent, expired or corrected; append only.';
COMMENT ON COLUMN courses.point_ledger_entry.dedupe_key IS
    'What it is for, as in "lesson_completed <id>": posted once.';
COMMENT ON COLUMN courses.point_ledger_entry.balance_after IS 'What the learner could then spend.';

-- FK: the ledger of a learner in order.
CREATE INDEX point_ledger_entry_learner_idx
    ON courses.point_ledger_entry (business_id, learner_id, earned_at);

-- FK: what a rule gave a learner, for its caps.
CREATE INDEX point_ledger_entry_point_rule_idx
    ON courses.point_ledger_entry (business_id, point_rule_id, learner_id, earned_at)
    WHERE point_rule_id IS NOT NULL;

-- Whether something was posted before.
CREATE INDEX point_ledger_entry_dedupe_idx
    ON courses.point_ledger_entry (business_id, dedupe_key)
    WHERE dedupe_key IS NOT NULL;

ALTER TABLE courses.point_ledger_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.point_ledger_entry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON courses.point_ledger_entry TO app_user;
GRANT SELECT ON courses.point_ledger_entry TO app_readonly;

CREATE TRIGGER point_ledger_entry_append_only
    BEFORE UPDATE OR DELETE ON courses.point_ledger_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('courses.point_ledger_entry');

CREATE TABLE courses.point_ledger_entry_default PARTITION OF courses.point_ledger_entry DEFAULT;
ALTER TABLE courses.point_ledger_entry_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.point_ledger_entry_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions(
    'courses.point_ledger_entry', 'month', behind => 13, ahead => 3);

CREATE FUNCTION courses.is_merit(entry_kind text, source_kind text) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    RETURN entry_kind IN ('earn', 'transfer')
           OR (entry_kind = 'adjust' AND source_kind <> 'reward');
COMMENT ON FUNCTION courses.is_merit(text, text) IS
    'Whether an entry counts towards the level: what is spent, lapses, or comes back from a reward
     that was called off was merited before.';

CREATE FUNCTION courses.points_left(
    rule    uuid,
    learner uuid,
    moment  timestamptz DEFAULT now()
) RETURNS integer
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT CASE WHEN bool_or(g.earned_at > moment - make_interval(mins => r.cooldown_minutes))
                    THEN 0
                    ELSE least(r.daily_cap - coalesce(sum(g.points) FILTER (
                                   WHERE (g.earned_at AT TIME ZONE l.time_zone)::date
                                         = (moment AT TIME ZONE l.time_zone)::date), 0),
                               r.lifetime_cap - coalesce(sum(g.points), 0), 2147483647) END::integer
        FROM courses.point_rule AS r
        JOIN courses.learner AS l ON l.business_id = r.business_id AND l.learner_id = learner
        LEFT JOIN courses.point_ledger_entry AS g
            ON g.business_id = r.business_id AND g.point_rule_id = r.point_rule_id
           AND g.learner_id = l.learner_id AND g.earned_at <= moment
        WHERE r.business_id = tenant_mgmt.current_business_id() AND r.point_rule_id = rule
        -- By all that is shown: a cluster reads a query of the table, which has no key.
        GROUP BY r.point_rule_id, r.daily_cap, r.lifetime_cap, l.learner_id, l.time_zone
    );
END
$$;
COMMENT ON FUNCTION courses.points_left(uuid, uuid, timestamptz) IS
    'How many points a rule may still give a learner at a moment: what its caps leave of the
     learner''s own day and of their lifetime; none while the cooldown runs.';

CREATE FUNCTION courses.post_merit() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    had record;
BEGIN
    IF NOT row_security_active('courses.point_ledger_entry') THEN
        RETURN NEW;
    END IF;
    IF NOT courses.hold_standing(NEW.learner_id, NEW.earned_at) THEN
        RAISE EXCEPTION 'points need levels, and there are none'
            USING ERRCODE = 'check_violation', HINT = 'Define level 1 first.';
    END IF;
    IF NEW.dedupe_key IS NOT NULL THEN
        -- The profile card is locked before the key, as award_points does.
        PERFORM pg_advisory_xact_lock(
            hashtextextended(NEW.business_id::text || NEW.dedupe_key, 5));
        IF EXISTS (SELECT
                   FROM courses.point_ledger_entry AS e
                   WHERE e.business_id = NEW.business_id AND e.dedupe_key = NEW.dedupe_key) THEN
            RAISE EXCEPTION 'points for % were posted before', NEW.dedupe_key
                USING ERRCODE = 'unique_violation';
        END IF;
    END IF;
    IF NEW.entry_kind = 'earn' AND NEW.point_rule_id IS NOT NULL
       AND NEW.points > courses.points_left(NEW.point_rule_id, NEW.learner_id, NEW.earned_at) THEN
        RAISE EXCEPTION '% points are more than the rule has left for this learner', NEW.points
            USING ERRCODE = 'check_violation', HINT = 'courses.points_left() says how many.';
    END IF;
    SELECT s.spendable_points, s.total_points, s.recomputed_at INTO had
    FROM courses.learner_standing AS s
    WHERE s.business_id = NEW.business_id AND s.learner_id = NEW.learner_id;
    IF had.spendable_points + NEW.points < 0 THEN
        RAISE EXCEPTION 'the learner has % points, % cannot be posted', had.spendable_points,
                        NEW.points
            USING ERRCODE = 'check_violation', HINT = 'Spend no more than spendable_points.';
    END IF;
    NEW.balance_after := had.spendable_points + NEW.points;
    UPDATE courses.learner_standing AS s
    SET spendable_points = NEW.balance_after,
        total_points = s.total_points
            + CASE WHEN courses.is_merit(NEW.entry_kind, NEW.source_kind) THEN NEW.points
                   ELSE 0 END,
        points_this_week =
            CASE WHEN date_trunc('week', NEW.earned_at, 'UTC')
                      > date_trunc('week', s.recomputed_at, 'UTC') THEN 0
                 ELSE s.points_this_week END
            + CASE WHEN NEW.entry_kind = 'earn'
                        AND date_trunc('week', NEW.earned_at, 'UTC')
                            >= date_trunc('week', s.recomputed_at, 'UTC') THEN NEW.points
                   ELSE 0 END,
        recomputed_at = greatest(s.recomputed_at, NEW.earned_at)
    WHERE s.business_id = NEW.business_id AND s.learner_id = NEW.learner_id;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.post_merit() IS
    'An entry is posted once, within the caps of its rule and never below zero, moves the profile
     card of its learner and notes the balance; also when two are posted at once. Imported history
     brings its balances.';

CREATE TRIGGER point_ledger_entry_post
    BEFORE INSERT ON courses.point_ledger_entry
    FOR EACH ROW EXECUTE FUNCTION courses.post_merit();


CREATE FUNCTION courses.award_points(
    learner uuid,
    action  text,
    source  uuid,
    course  uuid DEFAULT NULL,
    moment  timestamptz DEFAULT now()
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    -- Two learners may earn from the same source: both authors of a joint answer.
    key    CONSTANT text := concat_ws(' ', action, source, learner);
    rule   record;
    given  integer;
BEGIN
    SELECT r.point_rule_id, r.points, r.multiplier, r.multiplier_after_streak_days INTO rule
    FROM courses.point_rule AS r
    WHERE r.business_id = tenant AND r.action = award_points.action AND r.is_active
      AND coalesce(r.course_id = award_points.course, r.course_id IS NULL)
      AND (moment AT TIME ZONE 'UTC')::date >= r.valid_from
      AND ((moment AT TIME ZONE 'UTC')::date < r.valid_until OR r.valid_until IS NULL)
    ORDER BY r.course_id IS NULL, r.valid_from DESC, r.point_rule_id
    LIMIT 1;
    IF rule.point_rule_id IS NULL OR NOT courses.hold_standing(learner, moment) THEN
        RETURN 0;
    END IF;
    IF EXISTS (SELECT
               FROM courses.point_ledger_entry AS e
               WHERE e.business_id = tenant AND e.dedupe_key = key) THEN
        RETURN 0;
    END IF;
    SELECT CASE WHEN s.current_streak_days >= rule.multiplier_after_streak_days
                THEN floor(rule.points * rule.multiplier) ELSE rule.points END
    INTO given
    FROM courses.learner_standing AS s
    WHERE s.business_id = tenant AND s.learner_id = award_points.learner;
    IF rule.points > 0 THEN
        given := least(given, courses.points_left(rule.point_rule_id, learner, moment));
    ELSE
        -- What it costs is no more than there is.
        SELECT greatest(given, -s.spendable_points) INTO given
        FROM courses.learner_standing AS s
        WHERE s.business_id = tenant AND s.learner_id = award_points.learner;
    END IF;
    IF given = 0 OR (rule.points > 0 AND given < 0) THEN
        RETURN 0;
    END IF;
    INSERT INTO courses.point_ledger_entry
        (business_id, learner_id, point_rule_id, earned_at, entry_kind, points, balance_after,
         source_kind, source_id, dedupe_key, expires_at, note)
    VALUES (tenant, learner, rule.point_rule_id, moment,
            CASE WHEN given > 0 THEN 'earn' ELSE 'adjust' END, given, 0,
            CASE WHEN action = 'lesson_completed' THEN 'lesson'
                 WHEN action IN ('quiz_passed', 'perfect_score', 'peer_review_done')
                     THEN 'assessment'
                 WHEN action IN ('post_upvoted', 'answer_accepted') THEN 'post'
                 WHEN action = 'challenge_won' THEN 'challenge' ELSE 'manual' END,
            source, key, CASE WHEN given > 0 THEN moment + interval '2 years' END,
            CASE WHEN given < 0 THEN 'taken off by rule: ' || action END);
    RETURN given;
END
$$;
COMMENT ON FUNCTION courses.award_points(uuid, text, uuid, uuid, timestamptz) IS
    'Gives a learner what the rule for an action says, the course''s own before the general one:
     once per source, times the multiplier of a long streak, and no more than caps and cooldown
     leave. Returns how many points; they lapse after two years.';

CREATE FUNCTION courses.expire_points(moment timestamptz DEFAULT now()) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    due    record;
    lapsed integer;
    done   integer := 0;
BEGIN
    FOR due IN
        SELECT DISTINCT e.learner_id
        FROM courses.point_ledger_entry AS e
        WHERE e.business_id = tenant AND e.expires_at <= moment
        ORDER BY e.learner_id
    LOOP
        PERFORM courses.hold_standing(due.learner_id, moment);
        -- What was spent is taken from the points that lapse first.
        SELECT least(coalesce(sum(e.points) FILTER (WHERE e.points > 0 AND e.expires_at <= moment),
                              0)
                     + coalesce(sum(e.points) FILTER (WHERE e.points < 0), 0), sum(e.points))
        INTO lapsed
        FROM courses.point_ledger_entry AS e
        WHERE e.business_id = tenant AND e.learner_id = due.learner_id;
        IF lapsed > 0 THEN
            INSERT INTO courses.point_ledger_entry
                (business_id, learner_id, earned_at, entry_kind, points, balance_after,
                 source_kind, note)
            VALUES (tenant, due.learner_id, moment, 'expire', -lapsed, 0, 'manual',
                    'lapsed two years after they were earned');
            done := done + 1;
        END IF;
    END LOOP;
    RETURN done;
END
$$;
COMMENT ON FUNCTION courses.expire_points(timestamptz) IS
    'Takes off what lapsed and was not spent; returns of how many learners.';


CREATE FUNCTION courses.follow_streak() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) AND courses.hold_standing(NEW.learner_id) THEN
        UPDATE courses.learner_standing AS s
        SET current_streak_days = CASE WHEN NEW.is_current THEN NEW.length_count ELSE 0 END,
            longest_streak_days = NEW.longest_length
        WHERE s.business_id = NEW.business_id AND s.learner_id = NEW.learner_id;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.follow_streak() IS 'The profile card shows the daily run.';

CREATE TRIGGER learner_streak_shown
    AFTER INSERT OR UPDATE OF length_count, is_current, longest_length ON courses.learner_streak
    FOR EACH ROW WHEN (NEW.streak_kind = 'daily')
    EXECUTE FUNCTION courses.follow_streak();

CREATE FUNCTION courses.extend_streak(
    learner uuid,
    kind    text DEFAULT 'daily',
    moment  timestamptz DEFAULT now()
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    step   CONSTANT integer := CASE kind WHEN 'weekly' THEN 7 ELSE 1 END;
    today  date;
    run    record;
    missed integer;
BEGIN
    SELECT (moment AT TIME ZONE l.time_zone)::date INTO today
    FROM courses.learner AS l
    WHERE l.business_id = tenant AND l.learner_id = extend_streak.learner
    FOR NO KEY UPDATE;
    IF today IS NULL THEN
        RAISE EXCEPTION 'there is no learner %', learner USING ERRCODE = 'no_data_found';
    END IF;
    IF kind = 'weekly' THEN
        today := date_trunc('week', today)::date;
    END IF;
    SELECT s.* INTO run
    FROM courses.learner_streak AS s
    WHERE s.business_id = tenant AND s.learner_id = extend_streak.learner
      AND s.streak_kind = kind AND s.is_current
    FOR NO KEY UPDATE;
    IF run.last_active_on >= today THEN
        RETURN run.length_count;
    END IF;
    missed := (today - run.last_active_on) / step - 1;
    IF missed <= run.freeze_balance THEN
        UPDATE courses.learner_streak AS s
        SET last_active_on = today, length_count = s.length_count + 1,
            freezes_used = s.freezes_used + missed,
            freeze_balance = least(5, s.freeze_balance - missed
                                      + ((s.length_count + 1) % 7 = 0)::integer),
            longest_length = greatest(s.longest_length, s.length_count + 1)
        WHERE s.business_id = tenant AND s.learner_streak_id = run.learner_streak_id;
        RETURN run.length_count + 1;
    END IF;
    UPDATE courses.learner_streak AS s
    SET is_current = false, broken_on = s.last_active_on + step
    WHERE s.business_id = tenant AND s.learner_streak_id = run.learner_streak_id;
    INSERT INTO courses.learner_streak
        (business_id, learner_id, streak_kind, started_on, last_active_on, longest_length)
    SELECT tenant, learner, kind, today, today, coalesce(max(s.longest_length), 1)
    FROM courses.learner_streak AS s
    WHERE s.business_id = tenant AND s.learner_id = extend_streak.learner
      AND s.streak_kind = kind;
    RETURN 1;
END
$$;
COMMENT ON FUNCTION courses.extend_streak(uuid, text, timestamptz) IS
    'Counts a day or week of activity: the run goes on, over missed ones with freezes, or is broken
     and begins anew. Each seventh earns a freeze, five are kept. Returns how long the run is.';

CREATE FUNCTION courses.break_streaks(moment timestamptz DEFAULT now()) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    broken integer;
BEGIN
    UPDATE courses.learner_streak AS s
    SET is_current = false, broken_on = s.last_active_on + w.step
    FROM courses.learner AS l
    CROSS JOIN LATERAL (
        SELECT (moment AT TIME ZONE l.time_zone)::date AS today
    ) AS d
    CROSS JOIN (VALUES ('daily', 1), ('weekly', 7)) AS w (kind, step)
    WHERE s.business_id = tenant_mgmt.current_business_id()
      AND l.business_id = s.business_id AND l.learner_id = s.learner_id
      AND s.is_current AND s.streak_kind = w.kind
      AND (d.today - s.last_active_on) / w.step - 1 > s.freeze_balance;
    GET DIAGNOSTICS broken = ROW_COUNT;
    RETURN broken;
END
$$;
COMMENT ON FUNCTION courses.break_streaks(timestamptz) IS
    'Ends, every night, the runs that not even their freezes can save; returns how many.';
