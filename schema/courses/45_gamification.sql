/*
 * TODO: what the area is and how its tables relate.
 *
 * Learners who play along: badges, points, levels, streaks, leaderboards, challenges and rewards.
 */

CREATE TABLE courses.badge (
    business_id            uuid                    NOT NULL,
    badge_id               uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    image_file_object_id   uuid,
    learning_outcome_id    uuid,
    code                   system_core.code        NOT NULL,
    name                   text                    NOT NULL,
    description            text,
    criteria_kind          text                    NOT NULL,
    criteria               system_core.json_object,
    tier                   text                    NOT NULL,
    points                 system_core.quantity,
    is_repeatable          boolean                 NOT NULL DEFAULT false,
    is_hidden_until_earned boolean                 NOT NULL DEFAULT false,
    open_badge_achievement system_core.json_object,
    status                 text                    NOT NULL DEFAULT 'draft',
    awarded_count          integer,
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
        CHECK (criteria_kind IN ('course_completed', 'score', 'streak', 'contribution', 'speed',
               'challenge', 'manual', 'event')),
    CONSTRAINT badge_tier_known CHECK (tier IN ('bronze', 'silver', 'gold', 'platinum')),
    CONSTRAINT badge_status_known CHECK (status IN ('draft', 'active', 'retired')),
    CONSTRAINT badge_points_not_negative CHECK (points >= 0)
);

COMMENT ON TABLE courses.badge IS 'Badge with criteria, rarity and points.';
-- RULE criteria is a valid rule (function)
-- RULE awarded_count kept by trigger

-- FK: the badges of a file object.
CREATE INDEX badge_image_file_object_idx
    ON courses.badge (business_id, image_file_object_id)
    WHERE image_file_object_id IS NOT NULL;

-- FK: the badges of a learning outcome.
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


CREATE TABLE courses.point_rule (
    business_id                  uuid                 NOT NULL,
    point_rule_id                uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    course_id                    uuid,
    code                         system_core.code     NOT NULL,
    action                       text                 NOT NULL,
    points                       system_core.quantity,
    daily_cap                    integer,
    lifetime_cap                 integer,
    multiplier_after_streak_days integer,
    multiplier                   system_core.quantity,
    cooldown_minutes             integer,
    valid_from                   date,
    valid_until                  date,
    is_active                    boolean              NOT NULL DEFAULT false,
    created_at                   timestamptz          NOT NULL DEFAULT now(),
    updated_at                   timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, point_rule_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    CONSTRAINT point_rule_action_known
        CHECK (action IN ('lesson_completed', 'quiz_passed', 'perfect_score', 'daily_login',
               'post_upvoted', 'answer_accepted', 'peer_review_done', 'streak_day', 'challenge_won',
               'profile_completed')),
    CONSTRAINT point_rule_points_bounded CHECK (points BETWEEN -1000 AND 1000),
    CONSTRAINT point_rule_multiplier_bounded CHECK (multiplier BETWEEN 1 AND 5),
    CONSTRAINT point_rule_daily_cap_at_least_points CHECK (daily_cap >= points)
);

COMMENT ON TABLE courses.point_rule IS 'How many points an action earns, with caps.';

-- FK: the point rules of a course.
CREATE INDEX point_rule_course_idx
    ON courses.point_rule (business_id, course_id)
    WHERE course_id IS NOT NULL;

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
    level_no             integer,
    title                text                    NOT NULL,
    points_required      system_core.quantity,
    perks                system_core.json_object,
    icon                 text,
    color_hex            text,
    unlocks_forum_rights text[]                  NOT NULL DEFAULT '{}',
    celebration_text     text,
    created_at           timestamptz             NOT NULL DEFAULT now(),
    updated_at           timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, level_definition_id),
    UNIQUE (business_id, level_no),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id)
);

COMMENT ON TABLE courses.level_definition IS 'Level with its points threshold and perks.';
-- RULE points_required rises with level_no (trigger)
-- RULE level 1 needs 0 points

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
    started_on        date,
    last_active_on    date,
    length_count      integer,
    freeze_balance    integer,
    freezes_used      integer,
    broken_on         date,
    longest_length    integer,
    reminder_sent_on  date,
    is_current        boolean     NOT NULL DEFAULT false,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, learner_streak_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    CONSTRAINT learner_streak_streak_kind_known CHECK (streak_kind IN ('daily', 'weekly')),
    CONSTRAINT learner_streak_broken_on_after_last_active_on CHECK (broken_on > last_active_on),
    CONSTRAINT learner_streak_freeze_balance_bounded CHECK (freeze_balance BETWEEN 0 AND 5)
);

COMMENT ON TABLE courses.learner_streak IS 'Run of days or weeks of activity, with freezes.';
-- RULE one current streak per learner and kind (partial unique)

-- FK: the learner streaks of a learner.
CREATE INDEX learner_streak_learner_idx
    ON courses.learner_streak (business_id, learner_id);

ALTER TABLE courses.learner_streak ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.learner_streak
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.learner_streak TO app_user;
GRANT SELECT ON courses.learner_streak TO app_readonly;

CREATE TRIGGER learner_streak_touch
    BEFORE UPDATE ON courses.learner_streak
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.leaderboard (
    business_id           uuid        NOT NULL,
    leaderboard_id        uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    course_section_id     uuid,
    cohort_id             uuid,
    name                  text        NOT NULL,
    metric                text        NOT NULL,
    period                text        NOT NULL,
    scope                 text        NOT NULL,
    size_limit            integer,
    is_opt_in             boolean     NOT NULL DEFAULT false,
    anonymizes_below_rank integer,
    resets_at             timestamptz,
    status                text        NOT NULL DEFAULT 'active',
    tie_break             text        NOT NULL,
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
    CONSTRAINT leaderboard_size_limit_bounded CHECK (size_limit BETWEEN 3 AND 500)
);

COMMENT ON TABLE courses.leaderboard IS 'Ranking definition: who, what, over which time.';
-- RULE scope section needs course_section_id and cohort needs cohort_id

-- FK: the leaderboards of a course section.
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


CREATE TABLE courses.reward_item (
    business_id          uuid                 NOT NULL,
    reward_item_id       uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    image_file_object_id uuid,
    code                 system_core.code     NOT NULL,
    name                 text                 NOT NULL,
    reward_kind          text                 NOT NULL,
    cost_points          system_core.quantity,
    stock_count          integer,
    per_learner_limit    integer,
    value_amount         system_core.money,
    available_from       timestamptz(6),
    available_until      timestamptz(6),
    is_active            boolean              NOT NULL DEFAULT false,
    created_at           timestamptz          NOT NULL DEFAULT now(),
    updated_at           timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, reward_item_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, image_file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT reward_item_reward_kind_known
        CHECK (reward_kind IN ('discount_coupon', 'physical', 'course_access', 'donation',
               'profile_cosmetic', 'mentor_session')),
    CONSTRAINT reward_item_cost_points_positive CHECK (cost_points > 0)
);

COMMENT ON TABLE courses.reward_item IS 'Thing or right that points can buy.';
-- RULE stock_count >= 0 or null for unlimited

-- FK: the reward items of a file object.
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


CREATE TABLE courses.badge_award (
    business_id    uuid                    NOT NULL,
    badge_award_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    awarded_by     uuid,
    badge_id       uuid                    NOT NULL,
    learner_id     uuid                    NOT NULL,
    enrollment_id  uuid,
    awarded_at     timestamptz,
    award_no       integer,
    evidence       system_core.json_object,
    reason         text,
    is_pinned      boolean                 NOT NULL DEFAULT false,
    shared_at      timestamptz,
    share_network  text                    NOT NULL,
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
        CHECK (share_network IN ('none', 'linkedin', 'x', 'facebook', 'email'))
);

COMMENT ON TABLE courses.badge_award IS 'Badge given to a learner with its evidence.';
-- RULE award_no = 1 unless the badge is repeatable
-- RULE revoke_reason is not null when revoked_at is set

-- FK: the badge awards of a user account.
CREATE INDEX badge_award_awarded_by_idx
    ON courses.badge_award (business_id, awarded_by)
    WHERE awarded_by IS NOT NULL;

-- FK: the badge awards of a learner.
CREATE INDEX badge_award_learner_idx
    ON courses.badge_award (business_id, learner_id);

-- FK: the badge awards of a enrollment.
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


CREATE TABLE courses.challenge (
    business_id       uuid                 NOT NULL,
    challenge_id      uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    reward_badge_id   uuid,
    course_id         uuid,
    title             text                 NOT NULL,
    challenge_kind    text                 NOT NULL,
    goal_metric       text                 NOT NULL,
    goal_value        system_core.quantity,
    starts_at         timestamptz          NOT NULL,
    ends_at           timestamptz,
    reward_points     system_core.quantity,
    max_participants  integer,
    participant_count integer,
    rules             text,
    status            text                 NOT NULL DEFAULT 'draft',
    created_at        timestamptz          NOT NULL DEFAULT now(),
    updated_at        timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, challenge_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, reward_badge_id) REFERENCES courses.badge (business_id, badge_id),
    FOREIGN KEY (business_id, course_id) REFERENCES courses.course (business_id, course_id),
    CONSTRAINT challenge_challenge_kind_known
        CHECK (challenge_kind IN ('individual', 'team', 'community')),
    CONSTRAINT challenge_goal_metric_known
        CHECK (goal_metric IN ('lessons', 'minutes', 'score', 'posts', 'submissions')),
    CONSTRAINT challenge_status_known
        CHECK (status IN ('draft', 'announced', 'running', 'finished', 'cancelled')),
    CONSTRAINT challenge_ends_at_after_starts_at CHECK (ends_at > starts_at),
    CONSTRAINT challenge_goal_value_positive CHECK (goal_value > 0),
    CONSTRAINT challenge_participant_count_max_participants
        CHECK (participant_count <= max_participants)
);

COMMENT ON TABLE courses.challenge IS 'Time-boxed task for individuals or teams.';

-- FK: the challenges of a badge.
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


CREATE TABLE courses.point_ledger_entry (
    business_id           uuid                 NOT NULL,
    point_ledger_entry_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    learner_id            uuid                 NOT NULL,
    point_rule_id         uuid,
    earned_at             timestamptz          NOT NULL,
    entry_kind            text                 NOT NULL,
    points                system_core.quantity,
    balance_after         system_core.quantity,
    source_kind           text                 NOT NULL,
    source_id             uuid,
    dedupe_key            text,
    expires_at            timestamptz,
    note                  text,
    created_at            timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, point_ledger_entry_id, earned_at),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, point_rule_id)
        REFERENCES courses.point_rule (business_id, point_rule_id),
    CONSTRAINT point_ledger_entry_entry_kind_known
        CHECK (entry_kind IN ('earn', 'spend', 'expire', 'adjust', 'transfer')),
    CONSTRAINT point_ledger_entry_source_kind_known
        CHECK (source_kind IN ('lesson', 'assessment', 'post', 'badge', 'challenge', 'reward',
               'manual')),
    CONSTRAINT point_ledger_entry_balance_after_not_negative CHECK (balance_after >= 0)
) PARTITION BY RANGE (earned_at);

COMMENT ON TABLE courses.point_ledger_entry IS
    'Points earned, spent, expired or corrected; append only.';
-- RULE points <> 0, sign fits entry_kind
-- RULE dedupe_key unique per business and month
-- RULE append only

-- FK: the point ledger entrys of a learner.
CREATE INDEX point_ledger_entry_learner_idx
    ON courses.point_ledger_entry (business_id, learner_id);

-- FK: the point ledger entrys of a point rule.
CREATE INDEX point_ledger_entry_point_rule_idx
    ON courses.point_ledger_entry (business_id, point_rule_id)
    WHERE point_rule_id IS NOT NULL;

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

SELECT system_core.create_partitions('courses.point_ledger_entry', 'month', behind => 13, ahead => 3);


CREATE TABLE courses.learner_standing (
    business_id         uuid                 NOT NULL,
    learner_standing_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    learner_id          uuid                 NOT NULL,
    level_definition_id uuid                 NOT NULL,
    total_points        system_core.quantity,
    spendable_points    system_core.quantity,
    points_this_week    system_core.quantity,
    badges_count        integer,
    courses_completed   integer,
    current_streak_days integer,
    longest_streak_days integer,
    percentile          system_core.quantity,
    recomputed_at       timestamptz,
    created_at          timestamptz          NOT NULL DEFAULT now(),
    updated_at          timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, learner_standing_id),
    UNIQUE (business_id, learner_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    FOREIGN KEY (business_id, level_definition_id)
        REFERENCES courses.level_definition (business_id, level_definition_id),
    CONSTRAINT learner_standing_spendable_points_total_points
        CHECK (spendable_points <= total_points),
    CONSTRAINT learner_standing_percentile_bounded CHECK (percentile BETWEEN 0 AND 100)
);

COMMENT ON TABLE courses.learner_standing IS
    'Current points, level and counts of a learner for the profile card.';
-- RULE level fits total_points (trigger)

-- FK: the learner standings of a level definition.
CREATE INDEX learner_standing_level_definition_idx
    ON courses.learner_standing (business_id, level_definition_id);

ALTER TABLE courses.learner_standing ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.learner_standing
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.learner_standing TO app_user;
GRANT SELECT ON courses.learner_standing TO app_readonly;

CREATE TRIGGER learner_standing_touch
    BEFORE UPDATE ON courses.learner_standing
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.leaderboard_rank (
    business_id         uuid                 NOT NULL,
    leaderboard_rank_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    leaderboard_id      uuid                 NOT NULL,
    learner_id          uuid                 NOT NULL,
    period_start        date,
    rank_no             integer,
    previous_rank       integer,
    metric_value        system_core.quantity,
    is_tied             boolean              NOT NULL DEFAULT false,
    display_name        text,
    points_to_next      system_core.quantity,
    computed_at         timestamptz,
    created_at          timestamptz          NOT NULL DEFAULT now(),
    updated_at          timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, leaderboard_rank_id),
    UNIQUE (business_id, leaderboard_id, period_start, learner_id),
    FOREIGN KEY (business_id, leaderboard_id)
        REFERENCES courses.leaderboard (business_id, leaderboard_id),
    FOREIGN KEY (business_id, learner_id) REFERENCES courses.learner (business_id, learner_id),
    CONSTRAINT leaderboard_rank_rank_no CHECK (rank_no >= 1)
);

COMMENT ON TABLE courses.leaderboard_rank IS 'Computed position of a learner in a period.';
-- RULE learners who opted out are absent (function)

-- FK: the leaderboard ranks of a learner.
CREATE INDEX leaderboard_rank_learner_idx
    ON courses.leaderboard_rank (business_id, learner_id);

ALTER TABLE courses.leaderboard_rank ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON courses.leaderboard_rank
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON courses.leaderboard_rank TO app_user;
GRANT SELECT ON courses.leaderboard_rank TO app_readonly;

CREATE TRIGGER leaderboard_rank_touch
    BEFORE UPDATE ON courses.leaderboard_rank
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE courses.reward_redemption (
    business_id          uuid                 NOT NULL,
    reward_redemption_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    reward_item_id       uuid                 NOT NULL,
    learner_id           uuid                 NOT NULL,
    coupon_id            uuid,
    postal_address_id    uuid,
    redeemed_at          timestamptz,
    points_spent         system_core.quantity,
    state                text                 NOT NULL DEFAULT 'requested',
    fulfilled_at         timestamptz,
    tracking_reference   text,
    cancelled_reason     text,
    quantity             system_core.quantity,
    created_at           timestamptz          NOT NULL DEFAULT now(),
    updated_at           timestamptz          NOT NULL DEFAULT now(),
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
    CONSTRAINT reward_redemption_fulfilled_at_not_before_redeemed_at
        CHECK (fulfilled_at >= redeemed_at)
);

COMMENT ON TABLE courses.reward_redemption IS 'Points spent on a reward and its fulfilment.';
-- RULE points_spent = quantity * cost at the time
-- RULE a refund writes a ledger entry (trigger)

-- FK: the reward redemptions of a reward item.
CREATE INDEX reward_redemption_reward_item_idx
    ON courses.reward_redemption (business_id, reward_item_id);

-- FK: the reward redemptions of a learner.
CREATE INDEX reward_redemption_learner_idx
    ON courses.reward_redemption (business_id, learner_id);

-- FK: the reward redemptions of a coupon.
CREATE INDEX reward_redemption_coupon_idx
    ON courses.reward_redemption (business_id, coupon_id)
    WHERE coupon_id IS NOT NULL;

-- FK: the reward redemptions of a postal address.
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


CREATE TABLE courses.challenge_entry (
    business_id        uuid                   NOT NULL,
    challenge_entry_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    challenge_id       uuid                   NOT NULL,
    learner_id         uuid                   NOT NULL,
    study_group_id     uuid,
    joined_at          timestamptz,
    progress_value     system_core.quantity,
    progress_pct       system_core.percentage,
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
        CHECK (state IN ('joined', 'active', 'completed', 'withdrawn', 'disqualified'))
);

COMMENT ON TABLE courses.challenge_entry IS 'Participation of a learner or group with progress.';
-- RULE completed_at between the challenge's dates
-- RULE reward_granted_at requires completed

-- FK: the challenge entrys of a learner.
CREATE INDEX challenge_entry_learner_idx
    ON courses.challenge_entry (business_id, learner_id);

-- FK: the challenge entrys of a study group.
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
