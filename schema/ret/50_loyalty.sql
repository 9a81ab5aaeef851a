/*
 * Loyalty: programmes, tiers, rewards and the ledger of points.
 *
 * A loyalty_program has tiers, rules by which sales earn and rewards that points buy; a customer
 * takes part with a loyalty_account, and a reward_issue is a reward that was handed out. What a
 * company owes in points is money of its customers, so an account is worth what its ledger says:
 * loyalty_entry is only ever added to, and its trigger locks the account, refuses what the balance
 * does not cover, numbers the entry, notes the balance it left and carries it over. Nobody writes a
 * balance. ret.loyalty_differences() adds the ledger up again: no row proves every account.
 *
 *   pending ------> earn ------> redeem, expire     reverse takes back either, what waits first;
 *   (waits for the return        bonus comes         adjust mends
 *    window to end)              ready to be spent
 *
 * Who posts several entries does so in the order of loyalty_account_id; who needs stock, gift cards
 * or store credits (51) too takes those before, in this order. How points are earned, confirmed,
 * spent and lapse is in 52; payments (60) and refunds (70) write what they take and give back.
 * History is imported by its entries, in their order: a role that bypasses row security is asked
 * for what is true, not for what may be done now.
 */

CREATE FUNCTION ret.business_day(moment timestamptz DEFAULT now()) RETURNS date
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT (moment AT TIME ZONE b.time_zone)::date
    FROM tenant_mgmt.business AS b
    WHERE b.business_id = tenant_mgmt.current_business_id();
END;
COMMENT ON FUNCTION ret.business_day(timestamptz) IS
    'The day of a moment where the calling tenant is: points and cards are good through a day.';

CREATE FUNCTION ret.refuse_balance_by_hand() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() < 2 AND row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'a balance follows its ledger, nobody writes it'
            USING ERRCODE = 'restrict_violation', HINT = format('Insert into %s.', TG_ARGV[0]);
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
COMMENT ON FUNCTION ret.refuse_balance_by_hand() IS
    'Balances of accounts, cards and credits are written by the triggers of their ledgers alone;
     the argument is the ledger.';


CREATE TABLE ret.loyalty_program (
    business_id        uuid                 NOT NULL,
    loyalty_program_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    program_code       system_core.code     NOT NULL,
    display_name       text                 NOT NULL,
    point_name         text                 NOT NULL DEFAULT 'points',
    point_value        system_core.quantity,
    tier_window_days   integer              NOT NULL DEFAULT 365,
    point_expiry_days  integer,
    earn_on            text                 NOT NULL,
    earn_delay_days    integer              NOT NULL DEFAULT 0,
    allows_negative    boolean              NOT NULL DEFAULT false,
    min_redeem_points  integer              NOT NULL DEFAULT 0,
    effective_from     date                 NOT NULL,
    state              text                 NOT NULL DEFAULT 'draft',
    created_at         timestamptz          NOT NULL DEFAULT now(),
    updated_at         timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, loyalty_program_id),
    UNIQUE (business_id, program_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT loyalty_program_earn_on_known
        CHECK (earn_on IN ('net_sales', 'gross_sales', 'profit')),
    CONSTRAINT loyalty_program_state_known
        CHECK (state IN ('draft', 'active', 'paused', 'ended')),
    CONSTRAINT loyalty_program_point_value_positive CHECK (point_value > 0),
    CONSTRAINT loyalty_program_windows_positive
        CHECK (tier_window_days > 0 AND point_expiry_days > 0),
    CONSTRAINT loyalty_program_limits_not_negative
        CHECK (earn_delay_days >= 0 AND min_redeem_points >= 0)
);

COMMENT ON TABLE ret.loyalty_program IS 'Points, tiers and expiry of the programme.';
COMMENT ON COLUMN ret.loyalty_program.point_value IS
    'What a point pays at the till; NULL where points buy rewards only.';
COMMENT ON COLUMN ret.loyalty_program.point_expiry_days IS 'NULL: points do not lapse.';
COMMENT ON COLUMN ret.loyalty_program.earn_delay_days IS
    'How long points wait: as long as the goods may come back.';
COMMENT ON COLUMN ret.loyalty_program.allows_negative IS
    'A return takes back points that were spent already; without it only what is left of them.';
COMMENT ON COLUMN ret.loyalty_program.state IS
    'paused: nothing is earned or spent, but what waits is confirmed and lapses; ended for good.';

ALTER TABLE ret.loyalty_program ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.loyalty_program
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.loyalty_program TO app_user;
GRANT SELECT ON ret.loyalty_program TO app_readonly;

CREATE TRIGGER loyalty_program_touch
    BEFORE UPDATE ON ret.loyalty_program
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER loyalty_program_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.loyalty_program
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["draft", "active"],
        "transitions": {
            "draft":  ["active"],
            "active": ["paused", "ended"],
            "paused": ["active", "ended"],
            "ended":  []
        }}');


CREATE TABLE ret.loyalty_tier (
    business_id        uuid                   NOT NULL,
    loyalty_tier_id    uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    loyalty_program_id uuid                   NOT NULL,
    tier_code          system_core.code       NOT NULL,
    display_name       text                   NOT NULL,
    rank_no            integer                NOT NULL,
    qualify_spend      system_core.money      NOT NULL DEFAULT 0,
    qualify_orders     integer                NOT NULL DEFAULT 0,
    earn_multiplier    numeric(9, 4)          NOT NULL DEFAULT 1,
    free_shipping_from system_core.money,
    birthday_points    integer                NOT NULL DEFAULT 0,
    benefits_doc       system_core.json_array NOT NULL DEFAULT '[]',
    retain_days        integer,
    created_at         timestamptz            NOT NULL DEFAULT now(),
    updated_at         timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, loyalty_tier_id),
    UNIQUE (business_id, loyalty_program_id, rank_no),
    UNIQUE (business_id, loyalty_program_id, tier_code),
    FOREIGN KEY (business_id, loyalty_program_id)
        REFERENCES ret.loyalty_program (business_id, loyalty_program_id),
    CONSTRAINT loyalty_tier_earn_multiplier_follows CHECK (earn_multiplier >= 1),
    CONSTRAINT loyalty_tier_rank_positive CHECK (rank_no > 0),
    CONSTRAINT loyalty_tier_thresholds_not_negative
        CHECK (qualify_spend >= 0 AND qualify_orders >= 0 AND free_shipping_from >= 0
               AND birthday_points >= 0),
    CONSTRAINT loyalty_tier_retain_days_positive CHECK (retain_days > 0)
);

COMMENT ON TABLE ret.loyalty_tier IS 'Tier with threshold, multiplier and benefits.';
COMMENT ON COLUMN ret.loyalty_tier.rank_no IS '1 is the lowest; a higher one asks for more.';
COMMENT ON COLUMN ret.loyalty_tier.qualify_spend IS
    'Within the window of the programme, after returns; with qualify_orders both are asked for.';
COMMENT ON COLUMN ret.loyalty_tier.retain_days IS
    'How long it is kept after it was reached or confirmed, whatever is spent; NULL: not at all.';

ALTER TABLE ret.loyalty_tier ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.loyalty_tier
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.loyalty_tier TO app_user;
GRANT SELECT ON ret.loyalty_tier TO app_readonly;

CREATE TRIGGER loyalty_tier_touch
    BEFORE UPDATE ON ret.loyalty_tier
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION ret.order_tiers() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    SELECT l.display_name AS low, h.display_name AS high INTO wrong
    FROM changed AS c
    JOIN ret.loyalty_tier AS l
        ON l.business_id = c.business_id AND l.loyalty_program_id = c.loyalty_program_id
    JOIN ret.loyalty_tier AS h
        ON h.business_id = l.business_id AND h.loyalty_program_id = l.loyalty_program_id
       AND h.rank_no > l.rank_no
       AND (h.qualify_spend < l.qualify_spend OR h.qualify_orders < l.qualify_orders
            OR (h.qualify_spend, h.qualify_orders) = (l.qualify_spend, l.qualify_orders))
    ORDER BY l.rank_no, h.rank_no
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'tier % asks for no more than tier % below it', wrong.high, wrong.low
            USING ERRCODE = 'check_violation', HINT = 'Let the thresholds rise with rank_no.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.order_tiers() IS 'A higher tier asks for more than a lower one.';

CREATE TRIGGER loyalty_tier_in_order_on_insert
    AFTER INSERT ON ret.loyalty_tier
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.order_tiers();

CREATE TRIGGER loyalty_tier_in_order_on_update
    AFTER UPDATE ON ret.loyalty_tier
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.order_tiers();


CREATE TABLE ret.loyalty_earn_rule (
    business_id          uuid                 NOT NULL,
    loyalty_earn_rule_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    loyalty_program_id   uuid                 NOT NULL,
    category_id          uuid,
    product_variant_id   uuid,
    sales_channel_id     uuid,
    rule_code            system_core.code     NOT NULL,
    earn_kind            text                 NOT NULL,
    points_per_unit      system_core.quantity,
    unit_amount          system_core.money    NOT NULL DEFAULT 0,
    multiplier           numeric(9, 4),
    min_spend            system_core.money,
    max_points_per_day   integer,
    starts_at            timestamptz          NOT NULL,
    ends_at              timestamptz,
    is_active            boolean              NOT NULL DEFAULT true,
    created_at           timestamptz          NOT NULL DEFAULT now(),
    updated_at           timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, loyalty_earn_rule_id),
    UNIQUE (business_id, rule_code),
    FOREIGN KEY (business_id, loyalty_program_id)
        REFERENCES ret.loyalty_program (business_id, loyalty_program_id),
    FOREIGN KEY (business_id, category_id) REFERENCES ret.category (business_id, category_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, sales_channel_id)
        REFERENCES ret.sales_channel (business_id, sales_channel_id),
    CONSTRAINT loyalty_earn_rule_earn_kind_known
        CHECK (earn_kind IN ('spend', 'item', 'visit', 'review', 'referral', 'birthday',
                             'sign_up', 'bonus_multiplier')),
    CONSTRAINT loyalty_earn_rule_points_per_unit_not_negative CHECK (points_per_unit >= 0),
    CONSTRAINT loyalty_earn_rule_ends_at_follows_starts_at CHECK (ends_at > starts_at),
    CONSTRAINT loyalty_earn_rule_says_how_many
        CHECK (CASE earn_kind WHEN 'bonus_multiplier' THEN coalesce(multiplier, 0) > 1
                              ELSE coalesce(points_per_unit, 0) > 0 END),
    CONSTRAINT loyalty_earn_rule_spend_has_unit
        CHECK (CASE earn_kind WHEN 'spend' THEN unit_amount > 0 ELSE unit_amount >= 0 END),
    CONSTRAINT loyalty_earn_rule_item_names_goods
        CHECK (num_nonnulls(category_id, product_variant_id)
               = CASE earn_kind WHEN 'item' THEN 1 ELSE 0 END),
    CONSTRAINT loyalty_earn_rule_limits_positive
        CHECK (min_spend >= 0 AND max_points_per_day > 0 AND multiplier > 0)
);

COMMENT ON TABLE ret.loyalty_earn_rule IS
    'How points are earned: spend, item, visit, review, referral, bonus window.';
COMMENT ON COLUMN ret.loyalty_earn_rule.points_per_unit IS
    'For each unit_amount spent, each piece of an item, or each visit, review and so on.';
COMMENT ON COLUMN ret.loyalty_earn_rule.multiplier IS
    'Of a bonus window: 2 doubles what the order earns by its spend.';
COMMENT ON COLUMN ret.loyalty_earn_rule.max_points_per_day IS
    'What an account gets by the rule in a day at most.';
COMMENT ON COLUMN ret.loyalty_earn_rule.category_id IS 'With all that lies below it.';

-- FK: the loyalty earn rules of a loyalty program.
CREATE INDEX loyalty_earn_rule_loyalty_program_idx
    ON ret.loyalty_earn_rule (business_id, loyalty_program_id);

-- FK: the loyalty earn rules of a category.
CREATE INDEX loyalty_earn_rule_category_idx
    ON ret.loyalty_earn_rule (business_id, category_id)
    WHERE category_id IS NOT NULL;

-- FK: the loyalty earn rules of a product variant.
CREATE INDEX loyalty_earn_rule_product_variant_idx
    ON ret.loyalty_earn_rule (business_id, product_variant_id)
    WHERE product_variant_id IS NOT NULL;

-- FK: the loyalty earn rules of a sales channel.
CREATE INDEX loyalty_earn_rule_sales_channel_idx
    ON ret.loyalty_earn_rule (business_id, sales_channel_id)
    WHERE sales_channel_id IS NOT NULL;

ALTER TABLE ret.loyalty_earn_rule ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.loyalty_earn_rule
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.loyalty_earn_rule TO app_user;
GRANT SELECT ON ret.loyalty_earn_rule TO app_readonly;

CREATE TRIGGER loyalty_earn_rule_touch
    BEFORE UPDATE ON ret.loyalty_earn_rule
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.loyalty_account (
    business_id        uuid              NOT NULL,
    loyalty_account_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    loyalty_program_id uuid              NOT NULL,
    customer_id        uuid              NOT NULL,
    loyalty_tier_id    uuid,
    card_number        text              NOT NULL,
    enrolled_at        timestamptz       NOT NULL DEFAULT now(),
    enrol_channel      text              NOT NULL,
    point_balance      integer           NOT NULL DEFAULT 0,
    pending_points     integer           NOT NULL DEFAULT 0,
    lifetime_points    integer           NOT NULL DEFAULT 0,
    tier_spend         system_core.money NOT NULL DEFAULT 0,
    tier_expires_on    date,
    points_expiring    integer           NOT NULL DEFAULT 0,
    next_expiry_on     date,
    last_activity_at   timestamptz,
    state              text              NOT NULL DEFAULT 'active',
    created_at         timestamptz       NOT NULL DEFAULT now(),
    updated_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, loyalty_account_id),
    UNIQUE (business_id, card_number),
    UNIQUE (business_id, loyalty_program_id, customer_id),
    FOREIGN KEY (business_id, loyalty_program_id)
        REFERENCES ret.loyalty_program (business_id, loyalty_program_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES ret.customer (business_id, customer_id),
    FOREIGN KEY (business_id, loyalty_tier_id)
        REFERENCES ret.loyalty_tier (business_id, loyalty_tier_id),
    CONSTRAINT loyalty_account_enrol_channel_known
        CHECK (enrol_channel IN ('pos', 'web', 'app', 'import')),
    CONSTRAINT loyalty_account_state_known CHECK (state IN ('active', 'frozen', 'closed')),
    CONSTRAINT loyalty_account_pending_points_not_negative CHECK (pending_points >= 0),
    CONSTRAINT loyalty_account_lifetime_points_not_negative CHECK (lifetime_points >= 0),
    CONSTRAINT loyalty_account_expiring_has_day
        CHECK (points_expiring >= 0 AND (points_expiring > 0) = (next_expiry_on IS NOT NULL)),
    CONSTRAINT loyalty_account_closed_is_empty
        CHECK (state <> 'closed' OR (point_balance <= 0 AND pending_points = 0))
);

COMMENT ON TABLE ret.loyalty_account IS 'Membership and balances of a customer.';
COMMENT ON COLUMN ret.loyalty_account.point_balance IS
    'What can be spent: the ledger moves it. Below zero only where the programme allows it.';
COMMENT ON COLUMN ret.loyalty_account.pending_points IS
    'Earned, but the goods may still come back.';
COMMENT ON COLUMN ret.loyalty_account.lifetime_points IS
    'All that was earned for good, less what returns took back of it.';
COMMENT ON COLUMN ret.loyalty_account.tier_spend IS
    'What counts for the tier, as of the last ret.qualify_tiers().';
COMMENT ON COLUMN ret.loyalty_account.tier_expires_on IS
    'Until then the tier is kept, whatever is spent.';
COMMENT ON COLUMN ret.loyalty_account.points_expiring IS
    'What lapses after next_expiry_on if it is not spent before; the ledger keeps both.';
COMMENT ON COLUMN ret.loyalty_account.state IS 'frozen: it goes on earning, but spends nothing.';

-- FK: the loyalty accounts of a customer.
CREATE INDEX loyalty_account_customer_idx ON ret.loyalty_account (business_id, customer_id);

-- FK: the loyalty accounts of a loyalty tier.
CREATE INDEX loyalty_account_loyalty_tier_idx
    ON ret.loyalty_account (business_id, loyalty_tier_id)
    WHERE loyalty_tier_id IS NOT NULL;

-- expire_points: whose points lapse next.
CREATE INDEX loyalty_account_expiry_idx
    ON ret.loyalty_account (business_id, next_expiry_on)
    WHERE next_expiry_on IS NOT NULL;

-- confirm_points: whose points wait.
CREATE INDEX loyalty_account_pending_idx
    ON ret.loyalty_account (business_id, loyalty_account_id)
    WHERE pending_points > 0;

ALTER TABLE ret.loyalty_account ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.loyalty_account
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.loyalty_account TO app_user;
GRANT SELECT ON ret.loyalty_account TO app_readonly;

CREATE TRIGGER loyalty_account_touch
    BEFORE UPDATE ON ret.loyalty_account
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER loyalty_account_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.loyalty_account
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["active"],
        "transitions": {
            "active": ["frozen", "closed"],
            "frozen": ["active", "closed"],
            "closed": []
        }}');

CREATE TRIGGER loyalty_account_starts_empty
    BEFORE INSERT ON ret.loyalty_account
    FOR EACH ROW WHEN ((NEW.point_balance, NEW.pending_points, NEW.lifetime_points,
                        NEW.points_expiring) IS DISTINCT FROM (0, 0, 0, 0))
    EXECUTE FUNCTION ret.refuse_balance_by_hand('ret.loyalty_entry');

CREATE TRIGGER loyalty_account_follows
    BEFORE UPDATE ON ret.loyalty_account
    FOR EACH ROW WHEN ((NEW.point_balance, NEW.pending_points, NEW.lifetime_points,
                        NEW.points_expiring, NEW.next_expiry_on, NEW.loyalty_program_id)
                       IS DISTINCT FROM
                       (OLD.point_balance, OLD.pending_points, OLD.lifetime_points,
                        OLD.points_expiring, OLD.next_expiry_on, OLD.loyalty_program_id))
    EXECUTE FUNCTION ret.refuse_balance_by_hand('ret.loyalty_entry');

CREATE FUNCTION ret.check_own_tier() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM ret.loyalty_tier AS t
                   WHERE t.business_id = NEW.business_id
                     AND t.loyalty_tier_id = NEW.loyalty_tier_id
                     AND t.loyalty_program_id = NEW.loyalty_program_id)
    THEN
        RAISE EXCEPTION 'the tier is of another programme'
            USING ERRCODE = 'check_violation', HINT = 'Name a tier of the account''s programme.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.check_own_tier() IS 'An account is in a tier of its own programme.';

CREATE TRIGGER loyalty_account_own_tier
    BEFORE INSERT OR UPDATE OF loyalty_tier_id, loyalty_program_id ON ret.loyalty_account
    FOR EACH ROW WHEN (NEW.loyalty_tier_id IS NOT NULL)
    EXECUTE FUNCTION ret.check_own_tier();


CREATE TABLE ret.loyalty_reward (
    business_id        uuid              NOT NULL,
    loyalty_reward_id  uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    gift_variant_id    uuid,
    loyalty_program_id uuid              NOT NULL,
    promotion_id       uuid,
    reward_code        system_core.code  NOT NULL,
    display_name       text              NOT NULL,
    reward_kind        text              NOT NULL,
    points_cost        integer,
    reward_value       system_core.money,
    min_tier_rank      integer,
    stock_limit        integer,
    valid_days         integer,
    starts_at          timestamptz       NOT NULL,
    ends_at            timestamptz,
    is_active          boolean           NOT NULL DEFAULT true,
    created_at         timestamptz       NOT NULL DEFAULT now(),
    updated_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, loyalty_reward_id),
    UNIQUE (business_id, reward_code),
    FOREIGN KEY (business_id, gift_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, loyalty_program_id)
        REFERENCES ret.loyalty_program (business_id, loyalty_program_id),
    FOREIGN KEY (business_id, promotion_id) REFERENCES ret.promotion (business_id, promotion_id),
    CONSTRAINT loyalty_reward_kind_known
        CHECK (reward_kind IN ('amount_off', 'percent_off', 'free_item', 'free_shipping',
                               'gift_card', 'experience')),
    CONSTRAINT loyalty_reward_points_cost_positive CHECK (points_cost > 0),
    CONSTRAINT loyalty_reward_reward_kind_iff
        CHECK ((gift_variant_id IS NOT NULL) = (reward_kind = 'free_item')),
    CONSTRAINT loyalty_reward_value_by_kind
        CHECK (CASE WHEN reward_kind IN ('amount_off', 'gift_card')
                    THEN coalesce(reward_value, 0) > 0
                    WHEN reward_kind = 'percent_off'
                    THEN coalesce(reward_value, 0) > 0 AND reward_value <= 100
                    ELSE coalesce(reward_value, 0) >= 0 END),
    CONSTRAINT loyalty_reward_limits_positive
        CHECK (min_tier_rank > 0 AND stock_limit > 0 AND valid_days > 0),
    CONSTRAINT loyalty_reward_ends_after_start CHECK (ends_at > starts_at)
);

COMMENT ON TABLE ret.loyalty_reward IS 'What points buy.';
COMMENT ON COLUMN ret.loyalty_reward.points_cost IS 'NULL: it is given, not bought.';
COMMENT ON COLUMN ret.loyalty_reward.reward_value IS 'Percent where that is what it takes off.';
COMMENT ON COLUMN ret.loyalty_reward.promotion_id IS
    'The offer that a code of the member opens at checkout.';
COMMENT ON COLUMN ret.loyalty_reward.stock_limit IS
    'How many are handed out in all; cancelled ones are there again.';

-- FK: the loyalty rewards by their gift variant.
CREATE INDEX loyalty_reward_gift_variant_idx
    ON ret.loyalty_reward (business_id, gift_variant_id)
    WHERE gift_variant_id IS NOT NULL;

-- FK: the loyalty rewards of a loyalty program.
CREATE INDEX loyalty_reward_loyalty_program_idx
    ON ret.loyalty_reward (business_id, loyalty_program_id);

-- FK: the loyalty rewards of a promotion.
CREATE INDEX loyalty_reward_promotion_idx
    ON ret.loyalty_reward (business_id, promotion_id)
    WHERE promotion_id IS NOT NULL;

ALTER TABLE ret.loyalty_reward ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.loyalty_reward
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.loyalty_reward TO app_user;
GRANT SELECT ON ret.loyalty_reward TO app_readonly;

CREATE TRIGGER loyalty_reward_touch
    BEFORE UPDATE ON ret.loyalty_reward
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.reward_issue (
    business_id        uuid              NOT NULL,
    reward_issue_id    uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    loyalty_account_id uuid              NOT NULL,
    loyalty_reward_id  uuid              NOT NULL,
    coupon_id          uuid,
    issue_code         system_core.code  NOT NULL,
    issued_at          timestamptz       NOT NULL DEFAULT now(),
    issue_reason       text              NOT NULL,
    points_spent       integer           NOT NULL DEFAULT 0,
    value_at_issue     system_core.money,
    expires_at         timestamptz,
    used_at            timestamptz,
    state              text              NOT NULL DEFAULT 'issued',
    created_at         timestamptz       NOT NULL DEFAULT now(),
    updated_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, reward_issue_id),
    UNIQUE (business_id, issue_code),
    FOREIGN KEY (business_id, loyalty_account_id)
        REFERENCES ret.loyalty_account (business_id, loyalty_account_id),
    FOREIGN KEY (business_id, loyalty_reward_id)
        REFERENCES ret.loyalty_reward (business_id, loyalty_reward_id),
    FOREIGN KEY (business_id, coupon_id) REFERENCES ret.coupon (business_id, coupon_id),
    CONSTRAINT reward_issue_reason_known
        CHECK (issue_reason IN ('points', 'birthday', 'tier', 'win_back', 'service')),
    CONSTRAINT reward_issue_state_known
        CHECK (state IN ('issued', 'used', 'expired', 'cancelled')),
    CONSTRAINT reward_issue_used_at_precedes_expires_at CHECK (used_at <= expires_at),
    CONSTRAINT reward_issue_state_iff CHECK ((used_at IS NOT NULL) = (state = 'used')),
    CONSTRAINT reward_issue_used_after_issue CHECK (used_at >= issued_at),
    CONSTRAINT reward_issue_expires_after_issue CHECK (expires_at > issued_at),
    CONSTRAINT reward_issue_points_buy_it
        CHECK (points_spent >= 0 AND (points_spent > 0) = (issue_reason = 'points')),
    CONSTRAINT reward_issue_expired_had_an_end CHECK (state <> 'expired' OR expires_at IS NOT NULL)
);

COMMENT ON TABLE ret.reward_issue IS 'A reward held by a member until used or expired.';
COMMENT ON COLUMN ret.reward_issue.issue_code IS 'What the member shows; found at the till.';
COMMENT ON COLUMN ret.reward_issue.points_spent IS
    'Given back when it is cancelled, not when it expires.';

-- FK: the wallet of a member, the newest first.
CREATE INDEX reward_issue_loyalty_account_idx
    ON ret.reward_issue (business_id, loyalty_account_id, issued_at DESC);

-- FK: the reward issues of a loyalty reward.
CREATE INDEX reward_issue_loyalty_reward_idx ON ret.reward_issue (business_id, loyalty_reward_id);

-- FK: the reward issues of a coupon.
CREATE INDEX reward_issue_coupon_idx
    ON ret.reward_issue (business_id, coupon_id)
    WHERE coupon_id IS NOT NULL;

-- expire_rewards: which run out next.
CREATE INDEX reward_issue_expiry_idx
    ON ret.reward_issue (business_id, expires_at)
    WHERE state = 'issued';

ALTER TABLE ret.reward_issue ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.reward_issue
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.reward_issue TO app_user;
GRANT SELECT ON ret.reward_issue TO app_readonly;

CREATE TRIGGER reward_issue_touch
    BEFORE UPDATE ON ret.reward_issue
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

-- Used goes back to issued when the order that it was used on is not kept.
CREATE TRIGGER reward_issue_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.reward_issue
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["issued"],
        "transitions": {
            "issued":    ["used", "expired", "cancelled"],
            "used":      ["issued"],
            "expired":   [],
            "cancelled": []
        }}');

CREATE FUNCTION ret.check_own_reward() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM ret.loyalty_account AS a
                   JOIN ret.loyalty_reward AS r
                       ON r.business_id = a.business_id
                      AND r.loyalty_program_id = a.loyalty_program_id
                   WHERE a.business_id = NEW.business_id
                     AND a.loyalty_account_id = NEW.loyalty_account_id
                     AND r.loyalty_reward_id = NEW.loyalty_reward_id)
    THEN
        RAISE EXCEPTION 'the reward is of another programme'
            USING ERRCODE = 'check_violation', HINT = 'Name a reward of the account''s programme.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.check_own_reward() IS 'A member gets rewards of their own programme.';

CREATE TRIGGER reward_issue_own_program
    BEFORE INSERT OR UPDATE OF loyalty_account_id, loyalty_reward_id ON ret.reward_issue
    FOR EACH ROW EXECUTE FUNCTION ret.check_own_reward();


CREATE TABLE ret.loyalty_entry (
    business_id          uuid              NOT NULL,
    loyalty_entry_id     uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    loyalty_account_id   uuid              NOT NULL,
    sales_order_id       uuid,
    loyalty_earn_rule_id uuid,
    reward_issue_id      uuid,
    entry_no             integer           NOT NULL,
    entry_kind           text              NOT NULL,
    points               integer           NOT NULL,
    pending_change       integer           NOT NULL DEFAULT 0,
    balance_change       integer           GENERATED ALWAYS AS (
                                               CASE entry_kind WHEN 'earn' THEN points
                                               ELSE points - pending_change END) STORED,
    balance_after        integer           NOT NULL,
    basis_amount         system_core.money NOT NULL DEFAULT 0,
    available_at         timestamptz,
    expires_on           date,
    occurred_at          timestamptz       NOT NULL DEFAULT now(),
    idempotency_key      text              NOT NULL,
    note                 text,
    created_at           timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, loyalty_entry_id),
    UNIQUE (business_id, idempotency_key),
    UNIQUE (business_id, loyalty_account_id, entry_no),
    FOREIGN KEY (business_id, loyalty_account_id)
        REFERENCES ret.loyalty_account (business_id, loyalty_account_id),
    FOREIGN KEY (business_id, sales_order_id)
        REFERENCES ret.sales_order (business_id, sales_order_id),
    FOREIGN KEY (business_id, loyalty_earn_rule_id)
        REFERENCES ret.loyalty_earn_rule (business_id, loyalty_earn_rule_id),
    FOREIGN KEY (business_id, reward_issue_id)
        REFERENCES ret.reward_issue (business_id, reward_issue_id),
    CONSTRAINT loyalty_entry_kind_known
        CHECK (entry_kind IN ('pending', 'earn', 'bonus', 'redeem', 'expire', 'adjust',
                              'reverse')),
    CONSTRAINT loyalty_entry_sign_by_kind
        CHECK (CASE WHEN entry_kind IN ('pending', 'earn', 'bonus') THEN points > 0
                    WHEN entry_kind IN ('redeem', 'expire') THEN points < 0
                    WHEN entry_kind = 'reverse'
                    THEN points < 0 OR (points = 0 AND basis_amount < 0)
                    ELSE points <> 0 END),
    CONSTRAINT loyalty_entry_pending_by_kind
        CHECK (CASE entry_kind WHEN 'pending' THEN pending_change = points
                               WHEN 'earn' THEN pending_change = -points
                               WHEN 'reverse' THEN pending_change BETWEEN points AND 0
                               ELSE pending_change = 0 END),
    CONSTRAINT loyalty_entry_order_is_named
        CHECK (entry_kind NOT IN ('pending', 'earn', 'reverse') OR sales_order_id IS NOT NULL),
    CONSTRAINT loyalty_entry_redeems_for_something
        CHECK (entry_kind <> 'redeem' OR num_nonnulls(reward_issue_id, sales_order_id) > 0),
    CONSTRAINT loyalty_entry_pending_has_time
        CHECK (entry_kind <> 'pending' OR available_at >= occurred_at),
    CONSTRAINT loyalty_entry_adjust_says_why
        CHECK (entry_kind <> 'adjust' OR coalesce(note, '') ~ '\S'),
    CONSTRAINT loyalty_entry_no_positive CHECK (entry_no > 0)
);

COMMENT ON TABLE ret.loyalty_entry IS
    'Points ledger with pending, earned, redeemed, expired and reversed points; append only.';
COMMENT ON COLUMN ret.loyalty_entry.entry_no IS
    'Its number among the entries of the account, without gaps, in the order of posting; the
     ledger gives it.';
COMMENT ON COLUMN ret.loyalty_entry.pending_change IS
    'What it adds to the points that wait: all of pending, none of earn, of reverse what its order
     has still waiting. The ledger writes it.';
COMMENT ON COLUMN ret.loyalty_entry.balance_change IS 'What it adds to what can be spent.';
COMMENT ON COLUMN ret.loyalty_entry.basis_amount IS
    'The spend that counts for it and for the tier; below zero when goods came back.';
COMMENT ON COLUMN ret.loyalty_entry.available_at IS 'When pending points are confirmed.';
COMMENT ON COLUMN ret.loyalty_entry.expires_on IS 'The last day of the points; NULL: none.';

-- FK: what an order earned, and what was taken back of it.
CREATE INDEX loyalty_entry_sales_order_idx
    ON ret.loyalty_entry (business_id, sales_order_id)
    WHERE sales_order_id IS NOT NULL;

-- FK and the daily limit: what an account got by a rule lately.
CREATE INDEX loyalty_entry_loyalty_earn_rule_idx
    ON ret.loyalty_entry (business_id, loyalty_earn_rule_id, loyalty_account_id, occurred_at)
    WHERE loyalty_earn_rule_id IS NOT NULL;

-- FK: the loyalty entries of a reward issue.
CREATE INDEX loyalty_entry_reward_issue_idx
    ON ret.loyalty_entry (business_id, reward_issue_id)
    WHERE reward_issue_id IS NOT NULL;

ALTER TABLE ret.loyalty_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.loyalty_entry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON ret.loyalty_entry TO app_user;
GRANT SELECT ON ret.loyalty_entry TO app_readonly;

CREATE TRIGGER loyalty_entry_append_only
    BEFORE UPDATE OR DELETE ON ret.loyalty_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('ret.loyalty_entry');

CREATE FUNCTION ret.points_left_of_order(
    tenant uuid, account uuid, sales_order uuid, OUT waiting integer, OUT remaining integer
)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(sum(e.pending_change), 0)::integer,
           coalesce(sum(e.points) FILTER (WHERE e.entry_kind IN ('pending', 'bonus', 'reverse')),
                    0)::integer
    FROM ret.loyalty_entry AS e
    WHERE e.business_id = tenant AND e.sales_order_id = sales_order
      AND e.loyalty_account_id = account;
END;
COMMENT ON FUNCTION ret.points_left_of_order(uuid, uuid, uuid) IS
    'What an order earned an account and was not taken back: all of it, and what of it still waits.
     Confirming (earn) moves points, it earns none.';

CREATE FUNCTION ret.points_refusal(
    kind text, account_state text, program_state text, balance integer, least_redeemed integer
) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE
        WHEN account_state = 'closed' THEN 'the account is closed'
        WHEN kind = 'redeem' AND account_state <> 'active' THEN 'the account is ' || account_state
        WHEN kind IN ('pending', 'bonus', 'redeem') AND program_state <> 'active'
            THEN 'the programme is ' || program_state
        WHEN kind = 'redeem' AND balance < least_redeemed
            THEN format('points are spent from %s on', least_redeemed) END;
END;
COMMENT ON FUNCTION ret.points_refusal(text, text, text, integer, integer) IS
    'Why an entry of a kind may not be posted now; NULL where it may.';

CREATE FUNCTION ret.post_points() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    member record;
    earned record;
    reason text;
BEGIN
    -- The account is locked before anything is decided: two who spend the last points take turns.
    SELECT a.card_number, a.state, a.point_balance, a.loyalty_program_id, p.state AS program_state,
           p.allows_negative, p.min_redeem_points
    INTO member
    FROM ret.loyalty_account AS a
    JOIN ret.loyalty_program AS p
        ON p.business_id = a.business_id AND p.loyalty_program_id = a.loyalty_program_id
    WHERE a.business_id = NEW.business_id AND a.loyalty_account_id = NEW.loyalty_account_id
    FOR NO KEY UPDATE OF a;
    SELECT coalesce(max(e.entry_no), 0) + 1 INTO NEW.entry_no
    FROM ret.loyalty_entry AS e
    WHERE e.business_id = NEW.business_id AND e.loyalty_account_id = NEW.loyalty_account_id;
    SELECT o.waiting, o.remaining INTO earned
    FROM ret.points_left_of_order(NEW.business_id, NEW.loyalty_account_id,
                                  NEW.sales_order_id) AS o;
    NEW.pending_change := CASE NEW.entry_kind
        WHEN 'pending' THEN NEW.points
        WHEN 'earn' THEN -NEW.points
        -- What waits goes first: it was never there to be spent.
        WHEN 'reverse' THEN greatest(NEW.points, -earned.waiting)
        ELSE 0 END;
    NEW.balance_after := coalesce(member.point_balance, 0)
        + CASE NEW.entry_kind WHEN 'earn' THEN NEW.points
                              ELSE NEW.points - NEW.pending_change END;
    IF NEW.entry_kind = 'pending' THEN
        NEW.available_at := coalesce(NEW.available_at, NEW.occurred_at);
    END IF;

    IF row_security_active(TG_RELID) THEN
        reason := ret.points_refusal(NEW.entry_kind, member.state, member.program_state,
                                     member.point_balance, member.min_redeem_points);
    END IF;
    reason := coalesce(reason, CASE
        WHEN NEW.entry_kind = 'earn' AND NEW.points > earned.waiting
            THEN format('of the order %s points wait', earned.waiting)
        WHEN NEW.entry_kind = 'reverse' AND -NEW.points > earned.remaining
            THEN format('the order has %s points left', earned.remaining)
        WHEN NEW.balance_after < least(member.point_balance, 0)
             AND NOT (member.allows_negative AND NEW.entry_kind IN ('reverse', 'adjust'))
            THEN format('it has %s points', member.point_balance)
        WHEN NEW.reward_issue_id IS NOT NULL
             AND NOT EXISTS (SELECT FROM ret.reward_issue AS i
                             WHERE i.business_id = NEW.business_id
                               AND i.reward_issue_id = NEW.reward_issue_id
                               AND i.loyalty_account_id = NEW.loyalty_account_id)
            THEN 'the reward is of another account'
        WHEN NEW.loyalty_earn_rule_id IS NOT NULL
             AND NOT EXISTS (SELECT FROM ret.loyalty_earn_rule AS r
                             WHERE r.business_id = NEW.business_id
                               AND r.loyalty_earn_rule_id = NEW.loyalty_earn_rule_id
                               AND r.loyalty_program_id = member.loyalty_program_id)
            THEN 'the rule is of another programme' END);
    IF reason IS NOT NULL THEN
        RAISE EXCEPTION 'account %: % of % points is refused, %', member.card_number,
                        NEW.entry_kind, NEW.points, reason
            USING ERRCODE = 'check_violation', HINT = 'Look at the ledger of the account.';
    END IF;
    UPDATE ret.loyalty_account AS a
    SET point_balance = NEW.balance_after,
        pending_points = a.pending_points + NEW.pending_change,
        lifetime_points = a.lifetime_points
            + CASE NEW.entry_kind WHEN 'earn' THEN NEW.points WHEN 'bonus' THEN NEW.points
                                  WHEN 'reverse' THEN NEW.points - NEW.pending_change
                                  ELSE 0 END,
        last_activity_at = CASE WHEN NEW.entry_kind IN ('pending', 'bonus', 'redeem')
                                THEN greatest(a.last_activity_at, NEW.occurred_at)
                                ELSE a.last_activity_at END
    WHERE a.business_id = NEW.business_id AND a.loyalty_account_id = NEW.loyalty_account_id;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.post_points() IS
    'Carries an entry into its account, numbers it and notes the balance. The balance covers it,
     also when two are posted at once; only what a return takes back goes below zero, where the
     programme allows it. Imported history is not asked for the states of account and programme.';

CREATE TRIGGER loyalty_entry_post
    BEFORE INSERT ON ret.loyalty_entry
    FOR EACH ROW EXECUTE FUNCTION ret.post_points();


CREATE VIEW ret.v_points_expiring WITH (security_invoker = true) AS
SELECT n.business_id, n.loyalty_account_id, n.expires_on,
       least(n.points, n.running - n.gone)::integer AS points
FROM (
    SELECT e.business_id, e.loyalty_account_id, e.expires_on,
           sum(e.balance_change) FILTER (WHERE e.balance_change > 0) AS points,
           sum(sum(e.balance_change) FILTER (WHERE e.balance_change > 0))
               OVER (PARTITION BY e.business_id, e.loyalty_account_id ORDER BY e.expires_on)
               AS running,
           coalesce(-sum(sum(e.balance_change) FILTER (WHERE e.balance_change < 0))
                         OVER (PARTITION BY e.business_id, e.loyalty_account_id), 0) AS gone
    FROM (
        SELECT x.business_id, x.loyalty_account_id, x.balance_change,
               CASE WHEN x.balance_change > 0 THEN x.expires_on END AS expires_on
        FROM ret.loyalty_entry AS x
        WHERE x.balance_change <> 0
    ) AS e
    GROUP BY e.business_id, e.loyalty_account_id, e.expires_on
) AS n
WHERE n.points > 0 AND n.running > n.gone;
COMMENT ON VIEW ret.v_points_expiring IS
    'What is left of the points of an account by their last day: whatever left the account took
     those that lapse first. Without a day: points that do not lapse.';
GRANT SELECT ON ret.v_points_expiring TO app_user, app_readonly;

CREATE FUNCTION ret.note_point_expiry() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE ret.loyalty_account AS a
    SET next_expiry_on = n.expires_on, points_expiring = n.points
    FROM (
        SELECT c.business_id, c.loyalty_account_id, x.expires_on, coalesce(x.points, 0) AS points
        FROM (SELECT DISTINCT e.business_id, e.loyalty_account_id
              FROM changed AS e
              WHERE e.balance_change <> 0) AS c
        LEFT JOIN LATERAL (
            SELECT v.expires_on, v.points
            FROM ret.v_points_expiring AS v
            WHERE v.business_id = c.business_id
              AND v.loyalty_account_id = c.loyalty_account_id AND v.expires_on IS NOT NULL
            ORDER BY v.expires_on
            LIMIT 1
        ) AS x ON true
    ) AS n
    WHERE a.business_id = n.business_id AND a.loyalty_account_id = n.loyalty_account_id
      AND (a.next_expiry_on, a.points_expiring) IS DISTINCT FROM (n.expires_on, n.points);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.note_point_expiry() IS
    'An account says what lapses next. Its row is locked already: each entry took it.';

CREATE TRIGGER loyalty_entry_expiry
    AFTER INSERT ON ret.loyalty_entry
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.note_point_expiry();


CREATE FUNCTION ret.loyalty_differences()
    RETURNS TABLE (loyalty_account_id uuid, figure text, said numeric, found numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH posted AS (
        SELECT e.loyalty_account_id, e.entry_no, e.entry_kind, e.points, e.pending_change,
               e.balance_change, e.balance_after, row_number() OVER w AS place_no,
               sum(e.balance_change) OVER w AS balance
        FROM ret.loyalty_entry AS e
        WHERE e.business_id = tenant_mgmt.current_business_id()
        WINDOW w AS (PARTITION BY e.loyalty_account_id ORDER BY e.entry_no
                     ROWS UNBOUNDED PRECEDING)
    ), ledger AS (
        SELECT p.loyalty_account_id, sum(p.balance_change) AS balance,
               sum(p.pending_change) AS waiting,
               sum(p.balance_change) FILTER (WHERE p.entry_kind IN ('earn', 'bonus', 'reverse'))
                   AS lifetime
        FROM posted AS p
        GROUP BY p.loyalty_account_id
    ), lapsing AS (
        SELECT v.loyalty_account_id, v.expires_on, v.points,
               row_number() OVER (PARTITION BY v.loyalty_account_id ORDER BY v.expires_on) AS turn
        FROM ret.v_points_expiring AS v
        WHERE v.business_id = tenant_mgmt.current_business_id() AND v.expires_on IS NOT NULL
    )
    SELECT a.loyalty_account_id, f.figure, f.said, f.found
    FROM ret.loyalty_account AS a
    LEFT JOIN ledger AS l ON l.loyalty_account_id = a.loyalty_account_id
    LEFT JOIN lapsing AS x ON x.loyalty_account_id = a.loyalty_account_id AND x.turn = 1
    CROSS JOIN LATERAL (VALUES
        ('point_balance', a.point_balance::numeric, coalesce(l.balance, 0)),
        ('pending_points', a.pending_points, coalesce(l.waiting, 0)),
        ('lifetime_points', a.lifetime_points, coalesce(l.lifetime, 0)),
        ('points_expiring', a.points_expiring, coalesce(x.points, 0)),
        ('next_expiry_on', coalesce(to_char(a.next_expiry_on, 'YYYYMMDD')::numeric, 0),
         coalesce(to_char(x.expires_on, 'YYYYMMDD')::numeric, 0))
    ) AS f (figure, said, found)
    WHERE a.business_id = tenant_mgmt.current_business_id() AND f.said <> f.found
    UNION ALL
    SELECT p.loyalty_account_id, 'entry_no', p.entry_no, p.place_no
    FROM posted AS p
    WHERE p.entry_no <> p.place_no
    UNION ALL
    SELECT p.loyalty_account_id, 'balance_after of ' || p.entry_no, p.balance_after, p.balance
    FROM posted AS p
    WHERE p.balance_after <> p.balance
    UNION ALL
    -- A reward cost what the ledger says; one that was cancelled cost nothing in the end.
    SELECT i.loyalty_account_id, 'points of reward ' || i.issue_code,
           CASE i.state WHEN 'cancelled' THEN 0 ELSE i.points_spent END, coalesce(n.points, 0)
    FROM ret.reward_issue AS i
    LEFT JOIN LATERAL (
        SELECT -sum(e.points) AS points
        FROM ret.loyalty_entry AS e
        WHERE e.business_id = i.business_id AND e.reward_issue_id = i.reward_issue_id
    ) AS n ON true
    WHERE i.business_id = tenant_mgmt.current_business_id()
      AND CASE i.state WHEN 'cancelled' THEN 0 ELSE i.points_spent END <> coalesce(n.points, 0);
END;
COMMENT ON FUNCTION ret.loyalty_differences() IS
    'Adds the ledger of points up again and says where an account, a running balance or the price
     of a reward is not what the entries make it. No row proves them all.';
