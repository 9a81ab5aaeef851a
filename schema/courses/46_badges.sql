/*
 * Badges: what is given for what a badge's criteria ask.
 *
 * A badge has criteria that the database can judge (courses, grades, streaks, speed) or is given by
 * hand, for an event, a challenge or a contribution; a badge_award is one of them in the hands of a
 * learner, with its evidence, and is revoked rather than deleted. Badges bring points. Completed
 * lessons, tests and courses are where most of it starts, so that the triggers on progress,
 * attempts and enrollment stand here as well, and the proof of the profile cards, which count all
 * of it.
 */

CREATE FUNCTION courses.is_badge_criteria(kind text, criteria jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    RETURN CASE kind
        WHEN 'course_completed' THEN coalesce(criteria -> 'courses', '1') @@ '$ >= 1'
        WHEN 'score'            THEN criteria -> 'minimum_pct' @@ '$ > 0 && $ <= 100'
        WHEN 'streak'           THEN criteria -> 'days' @@ '$ >= 2'
        WHEN 'contribution'     THEN criteria -> 'accepted_answers' @@ '$ >= 1'
        WHEN 'speed'            THEN criteria -> 'within_days' @@ '$ >= 1'
        WHEN 'challenge'        THEN coalesce(criteria -> 'challenges', '1') @@ '$ >= 1'
        WHEN 'event'            THEN criteria ->> 'event' ~ '\S'
        ELSE criteria = '{}' END;
COMMENT ON FUNCTION courses.is_badge_criteria(text, jsonb) IS
    'Whether a rule says what its kind needs: {"courses": 3}, {"minimum_pct": 95}, {"days": 30},
     {"accepted_answers": 10}, {"within_days": 14}, {"challenges": 1}, {"event": "hackathon"}; a
     badge given by hand has none.';


CREATE TABLE courses.badge (
    business_id            uuid                    NOT NULL,
    badge_id               uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    image_file_object_id   uuid,
    learning_outcome_id    uuid,
    code                   system_core.code        NOT NULL,
    name                   text                    NOT NULL,
    description            text,
    criteria_kind          text                    NOT NULL,
    criteria               system_core.json_object NOT NULL DEFAULT '{}',
    tier                   text                    NOT NULL DEFAULT 'bronze',
    points                 integer                 NOT NULL DEFAULT 0,
    is_repeatable          boolean                 NOT NULL DEFAULT false,
    is_hidden_until_earned boolean                 NOT NULL DEFAULT false,
    open_badge_achievement system_core.json_object,
    status                 text                    NOT NULL DEFAULT 'draft',
    awarded_count          integer                 NOT NULL DEFAULT 0,
    created_at             timestamptz             NOT NULL DEFAULT now(),
    updated_at             timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, badge_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, image_file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, learning_outcome_id)
        REFERENCES courses.learning_outcome (business_id, learning_outcome_id),
    CONSTRAINT badge_criteria_kind_known
        CHECK (criteria_kind IN ('manual', 'course_completed', 'score', 'streak', 'contribution',
                                 'speed', 'challenge', 'event')),
    CONSTRAINT badge_tier_known CHECK (tier IN ('bronze', 'silver', 'gold', 'platinum')),
    CONSTRAINT badge_status_known CHECK (status IN ('draft', 'active', 'retired')),
    CONSTRAINT badge_criteria_fit_their_kind
        CHECK (coalesce(courses.is_badge_criteria(criteria_kind, criteria), false)),
    CONSTRAINT badge_points_not_negative CHECK (points >= 0),
    CONSTRAINT badge_awarded_count_not_negative CHECK (awarded_count >= 0)
);

COMMENT ON TABLE courses.badge IS 'Badge with criteria, rarity and points.';
COMMENT ON COLUMN courses.badge.criteria IS 'See courses.is_badge_criteria.';
COMMENT ON COLUMN courses.badge.open_badge_achievement IS
    'The Open Badges 3.0 achievement that a wallet shows.';
COMMENT ON COLUMN courses.badge.awarded_count IS 'Awards that were not revoked; they keep it.';

-- FK: the badges that show a picture.
CREATE INDEX badge_image_file_object_idx
    ON courses.badge (business_id, image_file_object_id)
    WHERE image_file_object_id IS NOT NULL;

-- FK: the badges that stand for an outcome.
CREATE INDEX badge_learning_outcome_idx
    ON courses.badge (business_id, learning_outcome_id)
    WHERE learning_outcome_id IS NOT NULL;

ALTER TABLE courses.badge ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.badge
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.badge TO app_user;
GRANT SELECT ON courses.badge TO app_readonly;

CREATE TRIGGER badge_touch
    BEFORE UPDATE ON courses.badge
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER badge_state_machine
    BEFORE INSERT OR UPDATE OF status ON courses.badge
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft", "active"],
        "transitions": {
            "draft":   ["active", "retired"],
            "active":  ["retired"],
            "retired": ["active"]
        }}');


CREATE TABLE courses.badge_award (
    business_id    uuid                    NOT NULL,
    badge_award_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    awarded_by     uuid,
    badge_id       uuid                    NOT NULL,
    learner_id     uuid                    NOT NULL,
    enrollment_id  uuid,
    awarded_at     timestamptz             NOT NULL DEFAULT now(),
    award_no       integer                 NOT NULL DEFAULT 1,
    evidence       system_core.json_object NOT NULL DEFAULT '{}',
    reason         text,
    is_pinned      boolean                 NOT NULL DEFAULT false,
    shared_at      timestamptz,
    share_network  text                    NOT NULL DEFAULT 'none',
    revoked_at     timestamptz,
    revoke_reason  text,
    created_at     timestamptz             NOT NULL DEFAULT now(),
    updated_at     timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, badge_award_id),
    UNIQUE (business_id, badge_id, learner_id, award_no),
    FOREIGN KEY (business_id, awarded_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, badge_id) REFERENCES courses.badge (business_id, badge_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, enrollment_id)
        REFERENCES courses.enrollment (business_id, enrollment_id),
    CONSTRAINT badge_award_share_network_known
        CHECK (share_network IN ('none', 'linkedin', 'x', 'facebook', 'email')),
    CONSTRAINT badge_award_numbered_from_one CHECK (award_no >= 1),
    CONSTRAINT badge_award_shared_somewhere
        CHECK ((shared_at IS NULL) = (share_network = 'none')),
    CONSTRAINT badge_award_shared_after_award CHECK (shared_at >= awarded_at),
    CONSTRAINT badge_award_revoked_after_award CHECK (revoked_at >= awarded_at),
    CONSTRAINT badge_award_revoked_for_a_reason
        CHECK ((revoked_at IS NOT NULL) = (coalesce(revoke_reason, '') ~ '\S')),
    CONSTRAINT badge_award_revoked_is_not_pinned CHECK (NOT is_pinned OR revoked_at IS NULL)
);

COMMENT ON TABLE courses.badge_award IS 'Badge given to a learner with its evidence.';
COMMENT ON COLUMN courses.badge_award.awarded_by IS 'NULL: the criteria were met.';

-- FK: what somebody awarded.
CREATE INDEX badge_award_awarded_by_idx
    ON courses.badge_award (business_id, awarded_by)
    WHERE awarded_by IS NOT NULL;

-- FK: the badges on a profile, the newest first.
CREATE INDEX badge_award_learner_idx
    ON courses.badge_award (business_id, learner_id, awarded_at DESC);

-- FK: the badges of an enrollment.
CREATE INDEX badge_award_enrollment_idx
    ON courses.badge_award (business_id, enrollment_id)
    WHERE enrollment_id IS NOT NULL;

ALTER TABLE courses.badge_award ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.badge_award
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.badge_award TO app_user;
GRANT SELECT ON courses.badge_award TO app_readonly;

CREATE TRIGGER badge_award_touch
    BEFORE UPDATE ON courses.badge_award
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION courses.check_badge_award() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    given record;
BEGIN
    IF row_security_active(TG_RELID) THEN
        -- The profile card is locked before the badge, by everybody.
        PERFORM courses.hold_standing(NEW.learner_id, NEW.awarded_at);
    END IF;
    SELECT b.code, b.is_repeatable, b.status INTO given
    FROM courses.badge AS b
    WHERE b.business_id = NEW.business_id AND b.badge_id = NEW.badge_id
    FOR NO KEY UPDATE;
    IF NEW.award_no > 1 AND NOT given.is_repeatable THEN
        RAISE EXCEPTION 'badge % is given once', given.code USING ERRCODE = 'check_violation';
    END IF;
    IF given.status <> 'active' AND row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'badge % is % and not given', given.code, given.status
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION courses.check_badge_award() IS
    'A badge is given while it is active, and twice only where it is repeatable.';

CREATE TRIGGER badge_award_allowed
    BEFORE INSERT ON courses.badge_award
    FOR EACH ROW EXECUTE FUNCTION courses.check_badge_award();

CREATE FUNCTION courses.count_badge_awards() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE courses.badge AS b
    SET awarded_count = b.awarded_count + n.step
    FROM (
        SELECT c.business_id, c.badge_id, count(*)::integer AS step
        FROM changed AS c
        WHERE c.revoked_at IS NULL
        GROUP BY c.business_id, c.badge_id
    ) AS n
    WHERE b.business_id = n.business_id AND b.badge_id = n.badge_id;
    UPDATE courses.learner_standing AS s
    SET badges_count = s.badges_count + n.step
    FROM (
        SELECT c.business_id, c.learner_id, count(*)::integer AS step
        FROM changed AS c
        WHERE c.revoked_at IS NULL
        GROUP BY c.business_id, c.learner_id
    ) AS n
    WHERE s.business_id = n.business_id AND s.learner_id = n.learner_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.count_badge_awards() IS
    'Awards are counted with their badge and on the profile card.';

CREATE FUNCTION courses.recount_badge_awards() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- The profile card is locked before the badge, by everybody.
    UPDATE courses.learner_standing AS s
    SET badges_count = s.badges_count + n.step
    FROM (
        SELECT m.business_id, m.learner_id, sum(m.step)::integer AS step
        FROM (SELECT c.business_id, c.learner_id, 1 AS step FROM changed AS c
              WHERE c.revoked_at IS NULL
              UNION ALL
              SELECT f.business_id, f.learner_id, -1 FROM former AS f
              WHERE f.revoked_at IS NULL) AS m
        GROUP BY m.business_id, m.learner_id
        HAVING sum(m.step) <> 0
    ) AS n
    WHERE s.business_id = n.business_id AND s.learner_id = n.learner_id;
    UPDATE courses.badge AS b
    SET awarded_count = b.awarded_count + n.step
    FROM (
        SELECT m.business_id, m.badge_id, sum(m.step)::integer AS step
        FROM (SELECT c.business_id, c.badge_id, 1 AS step FROM changed AS c
              WHERE c.revoked_at IS NULL
              UNION ALL
              SELECT f.business_id, f.badge_id, -1 FROM former AS f
              WHERE f.revoked_at IS NULL) AS m
        GROUP BY m.business_id, m.badge_id
        HAVING sum(m.step) <> 0
    ) AS n
    WHERE b.business_id = n.business_id AND b.badge_id = n.badge_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.recount_badge_awards() IS
    'A revoked award no longer counts; one that is reinstated does.';

CREATE TRIGGER badge_award_counted
    AFTER INSERT ON courses.badge_award
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION courses.count_badge_awards();

CREATE TRIGGER badge_award_counted_anew
    AFTER UPDATE ON courses.badge_award
    REFERENCING NEW TABLE AS changed OLD TABLE AS former
    FOR EACH STATEMENT EXECUTE FUNCTION courses.recount_badge_awards();

CREATE FUNCTION courses.keep_badge_award() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'an awarded badge is revoked, not changed'
        USING ERRCODE = 'restrict_violation', HINT = 'Set revoked_at and revoke_reason.';
END
$$;
COMMENT ON FUNCTION courses.keep_badge_award() IS
    'What was awarded to whom stays on record; pinning, sharing and revoking are all that follows.';

CREATE TRIGGER badge_award_kept
    BEFORE UPDATE ON courses.badge_award
    FOR EACH ROW WHEN ((NEW.badge_id, NEW.learner_id, NEW.award_no, NEW.awarded_at, NEW.evidence)
                       IS DISTINCT FROM (OLD.badge_id, OLD.learner_id, OLD.award_no,
                                         OLD.awarded_at, OLD.evidence))
    EXECUTE FUNCTION courses.keep_badge_award();

CREATE TRIGGER badge_award_not_deleted
    BEFORE DELETE ON courses.badge_award
    FOR EACH ROW EXECUTE FUNCTION courses.keep_badge_award();

CREATE FUNCTION courses.give_badge(
    badge      uuid,
    learner    uuid,
    proof      jsonb DEFAULT '{}',
    enrollment uuid DEFAULT NULL,
    given_by   uuid DEFAULT NULL,
    moment     timestamptz DEFAULT now()
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    kind   record;
    number integer;
    made   uuid;
BEGIN
    PERFORM courses.hold_standing(learner, moment);
    SELECT b.points, b.is_repeatable, b.code INTO kind
    FROM courses.badge AS b
    WHERE b.business_id = tenant AND b.badge_id = give_badge.badge
    FOR NO KEY UPDATE;
    SELECT coalesce(max(a.award_no), 0) + 1 INTO number
    FROM courses.badge_award AS a
    WHERE a.business_id = tenant AND a.badge_id = give_badge.badge
      AND a.learner_id = give_badge.learner;
    IF number > 1 AND NOT kind.is_repeatable THEN
        RETURN NULL;
    END IF;
    INSERT INTO courses.badge_award
        (business_id, awarded_by, badge_id, learner_id, enrollment_id, awarded_at, award_no,
         evidence)
    VALUES (tenant, given_by, badge, learner, enrollment, moment, number, proof)
    RETURNING badge_award_id INTO made;
    IF kind.points > 0 AND courses.hold_standing(learner, moment) THEN
        INSERT INTO courses.point_ledger_entry
            (business_id, learner_id, earned_at, entry_kind, points, balance_after, source_kind,
             source_id, dedupe_key, expires_at)
        VALUES (tenant, learner, moment, 'earn', kind.points, 0, 'badge', made, 'badge ' || made,
                moment + interval '2 years');
    END IF;
    RETURN made;
END
$$;
COMMENT ON FUNCTION courses.give_badge(uuid, uuid, jsonb, uuid, uuid, timestamptz) IS
    'Awards a badge with its points; NULL where the learner has it and it is given once.';

CREATE FUNCTION courses.award_badges(learner uuid, moment timestamptz DEFAULT now())
    RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    met    record;
    given  integer := 0;
BEGIN
    FOR met IN
        WITH done AS (
            SELECT count(*) AS courses, max(e.final_grade_pct) AS best_pct,
                   min((e.completed_at AT TIME ZONE 'UTC')::date
                       - (e.started_at AT TIME ZONE 'UTC')::date) AS fastest_days
            FROM courses.enrollment AS e
            WHERE e.business_id = tenant AND e.learner_id = award_badges.learner
              AND e.status = 'completed'
        )
        SELECT b.badge_id, b.criteria_kind, v.value
        FROM courses.badge AS b
        CROSS JOIN done AS d
        LEFT JOIN courses.learner_standing AS s
            ON s.business_id = b.business_id AND s.learner_id = award_badges.learner
        CROSS JOIN LATERAL (
            SELECT CASE b.criteria_kind WHEN 'course_completed' THEN d.courses
                                        WHEN 'score' THEN d.best_pct
                                        WHEN 'streak' THEN s.longest_streak_days
                                        WHEN 'speed' THEN d.fastest_days END AS value
        ) AS v
        WHERE b.business_id = tenant AND b.status = 'active'
          AND CASE b.criteria_kind
                  WHEN 'course_completed'
                      THEN v.value >= coalesce((b.criteria ->> 'courses')::numeric, 1)
                  WHEN 'score' THEN v.value >= (b.criteria ->> 'minimum_pct')::numeric
                  WHEN 'streak' THEN v.value >= (b.criteria ->> 'days')::numeric
                  WHEN 'speed' THEN v.value <= (b.criteria ->> 'within_days')::numeric
                  ELSE false END
          AND NOT EXISTS (
              SELECT
              FROM courses.badge_award AS a
              WHERE a.business_id = b.business_id AND a.badge_id = b.badge_id
                AND a.learner_id = award_badges.learner)
        ORDER BY b.badge_id
    LOOP
        IF courses.give_badge(met.badge_id, learner,
                              jsonb_build_object(met.criteria_kind, met.value),
                              moment => moment) IS NOT NULL THEN
            given := given + 1;
        END IF;
    END LOOP;
    RETURN given;
END
$$;
COMMENT ON FUNCTION courses.award_badges(uuid, timestamptz) IS
    'Gives a learner every badge whose criteria they meet and that they do not have: courses, the
     best grade, the longest streak, the fastest course. Returns how many.';


CREATE FUNCTION courses.reward_lesson() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active('courses.lesson_progress')
       OR courses.level_for(0) IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM courses.extend_streak(e.learner_id, 'daily', NEW.completed_at),
            courses.award_points(e.learner_id, 'lesson_completed', NEW.lesson_id, s.course_id,
                                 NEW.completed_at)
    FROM courses.enrollment AS e
    LEFT JOIN courses.course_section AS s
        ON s.business_id = e.business_id AND s.course_section_id = e.course_section_id
    WHERE e.business_id = NEW.business_id AND e.enrollment_id = NEW.enrollment_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.reward_lesson() IS
    'A completed lesson is a day of activity and earns its points, once also where the course is
     taken again.';

CREATE TRIGGER lesson_progress_rewarded
    AFTER INSERT ON courses.lesson_progress
    FOR EACH ROW WHEN (NEW.state = 'completed')
    EXECUTE FUNCTION courses.reward_lesson();

CREATE TRIGGER lesson_progress_rewarded_later
    AFTER UPDATE ON courses.lesson_progress
    FOR EACH ROW WHEN (NEW.state = 'completed' AND OLD.state <> 'completed')
    EXECUTE FUNCTION courses.reward_lesson();

CREATE FUNCTION courses.reward_attempt() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active('courses.assessment_attempt')
       OR courses.level_for(0) IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM courses.award_points(e.learner_id, v.action, NEW.assessment_id, a.course_id,
                                 NEW.graded_at)
    FROM courses.enrollment AS e
    JOIN courses.assessment AS a
        ON a.business_id = e.business_id AND a.assessment_id = NEW.assessment_id
    CROSS JOIN (VALUES ('quiz_passed', NEW.passed), ('perfect_score', NEW.score_pct = 100))
        AS v (action, is_due)
    WHERE e.business_id = NEW.business_id AND e.enrollment_id = NEW.enrollment_id AND v.is_due;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.reward_attempt() IS
    'A test that is passed earns its points, and one without a fault more: once, however often it
     is taken.';

CREATE TRIGGER assessment_attempt_rewarded
    AFTER UPDATE ON courses.assessment_attempt
    FOR EACH ROW WHEN (NEW.state = 'graded' AND OLD.state <> 'graded')
    EXECUTE FUNCTION courses.reward_attempt();

CREATE FUNCTION courses.reward_completion() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID)
       AND courses.hold_standing(NEW.learner_id, NEW.completed_at) THEN
        UPDATE courses.learner_standing AS s
        SET courses_completed = (
            SELECT count(*)
            FROM courses.enrollment AS e
            WHERE e.business_id = NEW.business_id AND e.learner_id = NEW.learner_id
              AND e.status = 'completed')
        WHERE s.business_id = NEW.business_id AND s.learner_id = NEW.learner_id;
        PERFORM courses.award_badges(NEW.learner_id, NEW.completed_at);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION courses.reward_completion() IS
    'A completed course is on the profile card and may be worth a badge.';

CREATE TRIGGER enrollment_completion_rewarded
    AFTER UPDATE ON courses.enrollment
    FOR EACH ROW WHEN (NEW.status = 'completed' AND OLD.status <> 'completed')
    EXECUTE FUNCTION courses.reward_completion();


CREATE FUNCTION courses.standing_differences()
    RETURNS TABLE (learner_id uuid, figure text, said bigint, found bigint)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH ledger AS (
        SELECT e.learner_id, sum(e.points) AS spendable,
               coalesce(sum(e.points) FILTER (
                   WHERE courses.is_merit(e.entry_kind, e.source_kind)), 0) AS total,
               coalesce(sum(e.points) FILTER (
                   WHERE e.entry_kind = 'earn'
                     AND date_trunc('week', e.earned_at, 'UTC')
                         = date_trunc('week', s.recomputed_at, 'UTC')), 0) AS week
        FROM courses.point_ledger_entry AS e
        LEFT JOIN courses.learner_standing AS s
            ON s.business_id = e.business_id AND s.learner_id = e.learner_id
        WHERE e.business_id = tenant_mgmt.current_business_id()
        GROUP BY e.learner_id
    ), badges AS (
        SELECT a.learner_id, count(*) AS awards
        FROM courses.badge_award AS a
        WHERE a.business_id = tenant_mgmt.current_business_id() AND a.revoked_at IS NULL
        GROUP BY a.learner_id
    ), finished AS (
        SELECT e.learner_id, count(*) AS courses
        FROM courses.enrollment AS e
        WHERE e.business_id = tenant_mgmt.current_business_id() AND e.status = 'completed'
        GROUP BY e.learner_id
    ), runs AS (
        SELECT r.learner_id, coalesce(sum(r.length_count) FILTER (WHERE r.is_current), 0)
                   AS current_days, max(r.longest_length) AS longest
        FROM courses.learner_streak AS r
        WHERE r.business_id = tenant_mgmt.current_business_id() AND r.streak_kind = 'daily'
        GROUP BY r.learner_id
    )
    SELECT coalesce(s.learner_id, l.learner_id), f.figure, f.said, f.found
    FROM (
        SELECT *
        FROM courses.learner_standing AS x
        WHERE x.business_id = tenant_mgmt.current_business_id()
    ) AS s
    FULL JOIN ledger AS l ON l.learner_id = s.learner_id
    LEFT JOIN badges AS b ON b.learner_id = s.learner_id
    LEFT JOIN finished AS c ON c.learner_id = s.learner_id
    LEFT JOIN runs AS r ON r.learner_id = s.learner_id
    CROSS JOIN LATERAL (VALUES
        ('total_points', s.total_points, coalesce(l.total, 0)),
        ('spendable_points', s.spendable_points, coalesce(l.spendable, 0)),
        ('points_this_week', s.points_this_week, coalesce(l.week, 0)),
        ('badges_count', s.badges_count, coalesce(b.awards, 0)),
        ('courses_completed', s.courses_completed, coalesce(c.courses, 0)),
        ('current_streak_days', s.current_streak_days, coalesce(r.current_days, 0)),
        ('longest_streak_days', s.longest_streak_days, coalesce(r.longest, 0))
    ) AS f (figure, said, found)
    WHERE f.said IS DISTINCT FROM f.found;
END;
COMMENT ON FUNCTION courses.standing_differences() IS
    'Proves the profile cards: figures that are not what ledger, awards, enrollments and streaks
     say, and ledgers of learners without a card.';
