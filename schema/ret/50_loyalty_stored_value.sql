/*
 * Loyalty and stored value: points, gift cards and store credit.
 *
 * A loyalty_program has tiers, rules by which sales earn and rewards that points buy; a customer
 * takes part with a loyalty_account, and a reward_issue is a reward that was handed out.
 * loyalty_entry, gift_card_entry and store_credit_entry are the ledgers of points, of a gift_card
 * and of a store_credit: ret.post_payments() and ret.post_refunds() (60, 70) write them.
 *
 * Nothing carries the entries into the balances yet, fills balance_after, refuses an entry that a
 * balance does not cover or keeps an entry from being changed, and the states of cards, credits and
 * accounts are not guarded: until that is here, whoever takes a gift card or a credit has to check
 * what is left of it.
 */

CREATE TABLE ret.loyalty_program (
    business_id        uuid                 NOT NULL,
    loyalty_program_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    program_code       system_core.code     NOT NULL,
    display_name       text                 NOT NULL,
    point_name         text,
    point_value        system_core.quantity,
    tier_window_days   integer,
    point_expiry_days  integer,
    earn_on            text                 NOT NULL,
    earn_delay_days    integer,
    allows_negative    boolean              NOT NULL DEFAULT false,
    min_redeem_points  integer,
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
    CONSTRAINT loyalty_program_point_value_positive CHECK (point_value > 0)
);

COMMENT ON TABLE ret.loyalty_program IS 'Points, tiers and expiry of the programme.';

ALTER TABLE ret.loyalty_program ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.loyalty_program
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.loyalty_program TO app_user;
GRANT SELECT ON ret.loyalty_program TO app_readonly;

CREATE TRIGGER loyalty_program_touch
    BEFORE UPDATE ON ret.loyalty_program
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.loyalty_tier (
    business_id        uuid              NOT NULL,
    loyalty_tier_id    uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    loyalty_program_id uuid              NOT NULL,
    tier_code          system_core.code  NOT NULL,
    display_name       text              NOT NULL,
    rank_no            integer           NOT NULL,
    qualify_spend      system_core.money,
    qualify_orders     integer,
    earn_multiplier    numeric(9, 4),
    free_shipping_from system_core.money,
    birthday_points    integer,
    benefits_doc       jsonb,
    retain_days        integer,
    created_at         timestamptz       NOT NULL DEFAULT now(),
    updated_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, loyalty_tier_id),
    UNIQUE (business_id, loyalty_program_id, rank_no),
    FOREIGN KEY (business_id, loyalty_program_id)
        REFERENCES ret.loyalty_program (business_id, loyalty_program_id),
    CONSTRAINT loyalty_tier_earn_multiplier_follows CHECK (earn_multiplier >= 1)
);

COMMENT ON TABLE ret.loyalty_tier IS 'Tier with threshold, multiplier and benefits.';

ALTER TABLE ret.loyalty_tier ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.loyalty_tier
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.loyalty_tier TO app_user;
GRANT SELECT ON ret.loyalty_tier TO app_readonly;

CREATE TRIGGER loyalty_tier_touch
    BEFORE UPDATE ON ret.loyalty_tier
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


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
    CONSTRAINT loyalty_earn_rule_ends_at_follows_starts_at CHECK (ends_at > starts_at)
);

COMMENT ON TABLE ret.loyalty_earn_rule IS
    'How points are earned: spend, item, visit, review, referral, bonus window.';

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
    enrolled_at        timestamptz,
    enrol_channel      text              NOT NULL,
    point_balance      integer           NOT NULL DEFAULT 0,
    pending_points     integer,
    lifetime_points    integer,
    tier_spend         system_core.money,
    tier_expires_on    date,
    points_expiring    integer,
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
    CONSTRAINT loyalty_account_pending_points_not_negative CHECK (pending_points >= 0)
);

COMMENT ON TABLE ret.loyalty_account IS 'Membership and balances of a customer.';

-- FK: the loyalty accounts of a customer.
CREATE INDEX loyalty_account_customer_idx ON ret.loyalty_account (business_id, customer_id);

-- FK: the loyalty accounts of a loyalty tier.
CREATE INDEX loyalty_account_loyalty_tier_idx
    ON ret.loyalty_account (business_id, loyalty_tier_id)
    WHERE loyalty_tier_id IS NOT NULL;

ALTER TABLE ret.loyalty_account ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.loyalty_account
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.loyalty_account TO app_user;
GRANT SELECT ON ret.loyalty_account TO app_readonly;

CREATE TRIGGER loyalty_account_touch
    BEFORE UPDATE ON ret.loyalty_account
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


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
        CHECK ((gift_variant_id IS NOT NULL) = (reward_kind = 'free_item'))
);

COMMENT ON TABLE ret.loyalty_reward IS 'What points buy.';

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
    issued_at          timestamptz,
    issue_reason       text,
    points_spent       integer,
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
    CONSTRAINT reward_issue_state_iff CHECK ((used_at IS NOT NULL) = (state = 'used'))
);

COMMENT ON TABLE ret.reward_issue IS 'A reward held by a member until used or expired.';

-- FK: the reward issues of a loyalty account.
CREATE INDEX reward_issue_loyalty_account_idx
    ON ret.reward_issue (business_id, loyalty_account_id);

-- FK: the reward issues of a loyalty reward.
CREATE INDEX reward_issue_loyalty_reward_idx ON ret.reward_issue (business_id, loyalty_reward_id);

-- FK: the reward issues of a coupon.
CREATE INDEX reward_issue_coupon_idx
    ON ret.reward_issue (business_id, coupon_id)
    WHERE coupon_id IS NOT NULL;

ALTER TABLE ret.reward_issue ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.reward_issue
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.reward_issue TO app_user;
GRANT SELECT ON ret.reward_issue TO app_readonly;

CREATE TRIGGER reward_issue_touch
    BEFORE UPDATE ON ret.reward_issue
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.loyalty_entry (
    business_id          uuid              NOT NULL,
    loyalty_entry_id     uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    loyalty_account_id   uuid              NOT NULL,
    sales_order_id       uuid,
    loyalty_earn_rule_id uuid,
    reward_issue_id      uuid,
    entry_kind           text              NOT NULL,
    points               integer,
    balance_after        integer,
    basis_amount         system_core.money NOT NULL DEFAULT 0,
    available_at         timestamptz,
    expires_on           date,
    occurred_at          timestamptz       NOT NULL,
    idempotency_key      text              NOT NULL,
    note                 text,
    created_at           timestamptz       NOT NULL DEFAULT now(),
    updated_at           timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, loyalty_entry_id),
    UNIQUE (business_id, idempotency_key),
    FOREIGN KEY (business_id, loyalty_account_id)
        REFERENCES ret.loyalty_account (business_id, loyalty_account_id),
    FOREIGN KEY (business_id, sales_order_id)
        REFERENCES ret.sales_order (business_id, sales_order_id),
    FOREIGN KEY (business_id, loyalty_earn_rule_id)
        REFERENCES ret.loyalty_earn_rule (business_id, loyalty_earn_rule_id),
    FOREIGN KEY (business_id, reward_issue_id)
        REFERENCES ret.reward_issue (business_id, reward_issue_id),
    CONSTRAINT loyalty_entry_kind_known
        CHECK (entry_kind IN ('pending', 'earn', 'bonus', 'redeem', 'expire', 'adjust', 'reverse'))
);

COMMENT ON TABLE ret.loyalty_entry IS
    'Points ledger with pending, earned, redeemed, expired and reversed points.';
-- Not yet enforced: redeem and expire are negative
-- Not yet enforced: a return reverses the points its order earned

-- FK: the loyalty entries of a loyalty account.
CREATE INDEX loyalty_entry_loyalty_account_idx
    ON ret.loyalty_entry (business_id, loyalty_account_id);

-- FK: the loyalty entries of a sales order.
CREATE INDEX loyalty_entry_sales_order_idx
    ON ret.loyalty_entry (business_id, sales_order_id)
    WHERE sales_order_id IS NOT NULL;

-- FK: the loyalty entries of a loyalty earn rule.
CREATE INDEX loyalty_entry_loyalty_earn_rule_idx
    ON ret.loyalty_entry (business_id, loyalty_earn_rule_id)
    WHERE loyalty_earn_rule_id IS NOT NULL;

-- FK: the loyalty entries of a reward issue.
CREATE INDEX loyalty_entry_reward_issue_idx
    ON ret.loyalty_entry (business_id, reward_issue_id)
    WHERE reward_issue_id IS NOT NULL;

ALTER TABLE ret.loyalty_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.loyalty_entry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.loyalty_entry TO app_user;
GRANT SELECT ON ret.loyalty_entry TO app_readonly;

CREATE TRIGGER loyalty_entry_touch
    BEFORE UPDATE ON ret.loyalty_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.gift_card (
    business_id        uuid                 NOT NULL,
    gift_card_id       uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    issued_by_order_id uuid,
    holder_customer_id uuid,
    card_number_hash   text                 NOT NULL,
    card_last4         text,
    pin_hash           text,
    card_kind          text                 NOT NULL,
    currency           system_core.currency,
    initial_amount     system_core.money    NOT NULL DEFAULT 0,
    balance_amount     system_core.money    NOT NULL DEFAULT 0,
    activated_at       timestamptz,
    expires_on         date,
    recipient_email    system_core.email,
    deliver_at         timestamptz,
    state              text                 NOT NULL DEFAULT 'inactive',
    created_at         timestamptz          NOT NULL DEFAULT now(),
    updated_at         timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, gift_card_id),
    UNIQUE (business_id, card_number_hash),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, issued_by_order_id)
        REFERENCES ret.sales_order (business_id, sales_order_id),
    FOREIGN KEY (business_id, holder_customer_id)
        REFERENCES ret.customer (business_id, customer_id),
    CONSTRAINT gift_card_kind_known CHECK (card_kind IN ('physical', 'digital', 'promotional')),
    CONSTRAINT gift_card_state_known
        CHECK (state IN ('inactive', 'active', 'blocked', 'depleted', 'expired'))
);

COMMENT ON TABLE ret.gift_card IS 'Stored value sold, physical or digital.';
-- Not yet enforced: balance_amount between 0 and the loaded total
-- Not yet enforced: expires_on only for promotional cards

-- FK: the gift cards by their issued by order.
CREATE INDEX gift_card_issued_by_order_idx
    ON ret.gift_card (business_id, issued_by_order_id)
    WHERE issued_by_order_id IS NOT NULL;

-- FK: the gift cards by their holder customer.
CREATE INDEX gift_card_holder_customer_idx
    ON ret.gift_card (business_id, holder_customer_id)
    WHERE holder_customer_id IS NOT NULL;

ALTER TABLE ret.gift_card ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.gift_card
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.gift_card TO app_user;
GRANT SELECT ON ret.gift_card TO app_readonly;

CREATE TRIGGER gift_card_touch
    BEFORE UPDATE ON ret.gift_card
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.gift_card_entry (
    business_id        uuid              NOT NULL,
    gift_card_entry_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    gift_card_id       uuid              NOT NULL,
    sales_order_id     uuid,
    location_id        uuid,
    entry_kind         text              NOT NULL,
    amount             system_core.money,
    balance_after      system_core.money,
    occurred_at        timestamptz       NOT NULL,
    register_label     text,
    authorisation_code system_core.code,
    idempotency_key    text              NOT NULL,
    note               text,
    created_at         timestamptz       NOT NULL DEFAULT now(),
    updated_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, gift_card_entry_id),
    UNIQUE (business_id, idempotency_key),
    FOREIGN KEY (business_id, gift_card_id) REFERENCES ret.gift_card (business_id, gift_card_id),
    FOREIGN KEY (business_id, sales_order_id)
        REFERENCES ret.sales_order (business_id, sales_order_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    CONSTRAINT gift_card_entry_kind_known
        CHECK (entry_kind IN ('activate', 'load', 'redeem', 'refund', 'adjust', 'block',
                              'expire', 'transfer_in', 'transfer_out')),
    CONSTRAINT gift_card_entry_balance_after_not_negative CHECK (balance_after >= 0)
);

COMMENT ON TABLE ret.gift_card_entry IS 'Ledger of a gift card.';

-- FK: the gift card entries of a gift card.
CREATE INDEX gift_card_entry_gift_card_idx ON ret.gift_card_entry (business_id, gift_card_id);

-- FK: the gift card entries of a sales order.
CREATE INDEX gift_card_entry_sales_order_idx
    ON ret.gift_card_entry (business_id, sales_order_id)
    WHERE sales_order_id IS NOT NULL;

-- FK: the gift card entries of a location.
CREATE INDEX gift_card_entry_location_idx
    ON ret.gift_card_entry (business_id, location_id)
    WHERE location_id IS NOT NULL;

ALTER TABLE ret.gift_card_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.gift_card_entry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.gift_card_entry TO app_user;
GRANT SELECT ON ret.gift_card_entry TO app_readonly;

CREATE TRIGGER gift_card_entry_touch
    BEFORE UPDATE ON ret.gift_card_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.store_credit (
    business_id     uuid                 NOT NULL,
    store_credit_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    customer_id     uuid                 NOT NULL,
    credit_number   text                 NOT NULL,
    credit_kind     text                 NOT NULL,
    currency        system_core.currency,
    initial_amount  system_core.money    NOT NULL DEFAULT 0,
    balance_amount  system_core.money    NOT NULL DEFAULT 0,
    issued_at       timestamptz,
    expires_on      date,
    reason_text     text,
    state           text                 NOT NULL DEFAULT 'active',
    created_at      timestamptz          NOT NULL DEFAULT now(),
    updated_at      timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, store_credit_id),
    UNIQUE (business_id, credit_number),
    FOREIGN KEY (business_id, customer_id) REFERENCES ret.customer (business_id, customer_id),
    CONSTRAINT store_credit_kind_known
        CHECK (credit_kind IN ('return', 'goodwill', 'price_adjustment', 'trade_in')),
    CONSTRAINT store_credit_state_known CHECK (state IN ('active', 'used', 'expired', 'void')),
    CONSTRAINT store_credit_balance_amount_in_order CHECK (0 <= balance_amount),
    CONSTRAINT store_credit_balance_amount_in_order_2 CHECK (balance_amount <= initial_amount)
);

COMMENT ON TABLE ret.store_credit IS 'Credit note of a customer from a return or goodwill.';

-- FK: the store credits of a customer.
CREATE INDEX store_credit_customer_idx ON ret.store_credit (business_id, customer_id);

ALTER TABLE ret.store_credit ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.store_credit
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.store_credit TO app_user;
GRANT SELECT ON ret.store_credit TO app_readonly;

CREATE TRIGGER store_credit_touch
    BEFORE UPDATE ON ret.store_credit
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.store_credit_entry (
    business_id           uuid              NOT NULL,
    store_credit_entry_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    actor_user_id         uuid,
    store_credit_id       uuid              NOT NULL,
    sales_order_id        uuid,
    entry_kind            text              NOT NULL,
    amount                system_core.money,
    balance_after         system_core.money,
    occurred_at           timestamptz       NOT NULL,
    originator_kind       text              NOT NULL,
    idempotency_key       text              NOT NULL,
    note                  text,
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, store_credit_entry_id),
    UNIQUE (business_id, idempotency_key),
    FOREIGN KEY (business_id, actor_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, store_credit_id)
        REFERENCES ret.store_credit (business_id, store_credit_id),
    FOREIGN KEY (business_id, sales_order_id)
        REFERENCES ret.sales_order (business_id, sales_order_id),
    CONSTRAINT store_credit_entry_kind_known
        CHECK (entry_kind IN ('issue', 'authorise', 'capture', 'release', 'void', 'expire',
                              'adjust')),
    CONSTRAINT store_credit_entry_originator_kind_known
        CHECK (originator_kind IN ('return', 'order', 'manual')),
    CONSTRAINT store_credit_entry_balance_after_not_negative CHECK (balance_after >= 0)
);

COMMENT ON TABLE ret.store_credit_entry IS 'Ledger of a store credit.';

-- FK: the store credit entries by their actor user.
CREATE INDEX store_credit_entry_actor_user_idx
    ON ret.store_credit_entry (business_id, actor_user_id)
    WHERE actor_user_id IS NOT NULL;

-- FK: the store credit entries of a store credit.
CREATE INDEX store_credit_entry_store_credit_idx
    ON ret.store_credit_entry (business_id, store_credit_id);

-- FK: the store credit entries of a sales order.
CREATE INDEX store_credit_entry_sales_order_idx
    ON ret.store_credit_entry (business_id, sales_order_id)
    WHERE sales_order_id IS NOT NULL;

ALTER TABLE ret.store_credit_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.store_credit_entry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.store_credit_entry TO app_user;
GRANT SELECT ON ret.store_credit_entry TO app_readonly;

CREATE TRIGGER store_credit_entry_touch
    BEFORE UPDATE ON ret.store_credit_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
