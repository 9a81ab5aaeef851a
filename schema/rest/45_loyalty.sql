/*
 * Loyalty: points as a ledger, what they buy, and what guests say.
 *
 * A loyalty_program says how spending becomes points and when they lapse; loyalty_tiers lift the
 * rate. A loyalty_account is a guest's membership; its balance is the sum of its loyalty_entries,
 * which are only ever added: earned on a check, spent on a reward_issue, expired, reversed. A
 * loyalty_reward is something points can buy. guest_feedback is a survey answer or a public review,
 * with what was done about it.
 */

CREATE TABLE rest.loyalty_program (
    business_id          uuid                 NOT NULL,
    loyalty_program_id   uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    program_code         system_core.code     NOT NULL,
    display_name         text                 NOT NULL,
    point_name           text                 NOT NULL DEFAULT 'points',
    earn_points_per_unit system_core.quantity NOT NULL DEFAULT 1,
    earn_basis           text                 NOT NULL DEFAULT 'pre_tax',
    point_expiry_days    integer              NOT NULL DEFAULT 365,
    tier_window_days     integer              NOT NULL DEFAULT 365,
    enrol_bonus_points   integer              NOT NULL DEFAULT 0,
    min_redeem_points    integer              NOT NULL DEFAULT 0,
    max_points_per_check integer,
    effective_from       date                 NOT NULL,
    status               text                 NOT NULL DEFAULT 'draft',
    created_at           timestamptz          NOT NULL DEFAULT now(),
    updated_at           timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, loyalty_program_id),
    UNIQUE (business_id, program_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT loyalty_program_earn_basis_known CHECK (earn_basis IN ('pre_tax', 'post_tax')),
    CONSTRAINT loyalty_program_status_known
        CHECK (status IN ('draft', 'active', 'paused', 'ended')),
    CONSTRAINT loyalty_program_earns CHECK (earn_points_per_unit > 0),
    CONSTRAINT loyalty_program_limits_not_negative
        CHECK (enrol_bonus_points >= 0 AND min_redeem_points >= 0 AND max_points_per_check > 0),
    CONSTRAINT loyalty_program_windows_positive
        CHECK (point_expiry_days > 0 AND tier_window_days > 0)
);

COMMENT ON TABLE rest.loyalty_program IS 'The earning and expiry rules of the programme.';

ALTER TABLE rest.loyalty_program ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.loyalty_program
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.loyalty_program TO app_user;
GRANT SELECT ON rest.loyalty_program TO app_readonly;

CREATE TRIGGER loyalty_program_touch
    BEFORE UPDATE ON rest.loyalty_program
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.loyalty_tier (
    business_id        uuid              NOT NULL,
    loyalty_tier_id    uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    loyalty_program_id uuid              NOT NULL,
    tier_code          system_core.code  NOT NULL,
    display_name       text              NOT NULL,
    rank_no            integer           NOT NULL,
    qualify_spend      system_core.money NOT NULL DEFAULT 0,
    qualify_visits     integer           NOT NULL DEFAULT 0,
    earn_multiplier    numeric(6,        3) NOT NULL DEFAULT 1,
    retain_days        integer,
    perks_doc          jsonb             NOT NULL DEFAULT '[]',
    created_at         timestamptz       NOT NULL DEFAULT now(),
    updated_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, loyalty_tier_id),
    UNIQUE (business_id, loyalty_program_id, rank_no),
    FOREIGN KEY (business_id, loyalty_program_id)
        REFERENCES rest.loyalty_program (business_id, loyalty_program_id),
    CONSTRAINT loyalty_tier_lifts_the_rate CHECK (earn_multiplier >= 1)
);

COMMENT ON TABLE rest.loyalty_tier IS 'A status level with its threshold and multiplier.';
COMMENT ON COLUMN rest.loyalty_tier.rank_no IS '1 is the lowest; a higher one asks for more.';

ALTER TABLE rest.loyalty_tier ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.loyalty_tier
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.loyalty_tier TO app_user;
GRANT SELECT ON rest.loyalty_tier TO app_readonly;

CREATE TRIGGER loyalty_tier_touch
    BEFORE UPDATE ON rest.loyalty_tier
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION rest.order_tiers() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    SELECT l.display_name AS low, h.display_name AS high INTO wrong
    FROM changed AS c
    JOIN rest.loyalty_tier AS l
        ON l.business_id = c.business_id AND l.loyalty_program_id = c.loyalty_program_id
    JOIN rest.loyalty_tier AS h
        ON h.business_id = l.business_id AND h.loyalty_program_id = l.loyalty_program_id
       AND h.rank_no > l.rank_no AND h.qualify_spend <= l.qualify_spend
    ORDER BY l.rank_no, h.rank_no
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'tier % asks for no more than tier % below it', wrong.high, wrong.low
            USING ERRCODE = 'check_violation', HINT = 'Let qualify_spend rise with rank_no.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.order_tiers() IS 'A higher tier asks for more than a lower one.';

CREATE TRIGGER loyalty_tier_in_order_on_insert
    AFTER INSERT ON rest.loyalty_tier
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.order_tiers();

CREATE TRIGGER loyalty_tier_in_order_on_update
    AFTER UPDATE ON rest.loyalty_tier
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.order_tiers();


CREATE TABLE rest.loyalty_account (
    business_id        uuid              NOT NULL,
    loyalty_account_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    loyalty_program_id uuid              NOT NULL,
    guest_profile_id   uuid              NOT NULL,
    loyalty_tier_id    uuid,
    account_number     text              NOT NULL,
    enrolled_at        timestamptz       NOT NULL DEFAULT now(),
    enrol_channel      text              NOT NULL DEFAULT 'pos',
    point_balance      integer           NOT NULL DEFAULT 0,
    lifetime_points    integer           NOT NULL DEFAULT 0,
    tier_spend         system_core.money NOT NULL DEFAULT 0,
    tier_evaluated_at  timestamptz,
    points_expiring    integer           NOT NULL DEFAULT 0,
    next_expiry_on     date,
    status             text              NOT NULL DEFAULT 'active',
    created_at         timestamptz       NOT NULL DEFAULT now(),
    updated_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, loyalty_account_id),
    UNIQUE (business_id, account_number),
    UNIQUE (business_id, loyalty_program_id, guest_profile_id),
    FOREIGN KEY (business_id, loyalty_program_id)
        REFERENCES rest.loyalty_program (business_id, loyalty_program_id),
    FOREIGN KEY (business_id, guest_profile_id)
        REFERENCES rest.guest_profile (business_id, guest_profile_id),
    FOREIGN KEY (business_id, loyalty_tier_id)
        REFERENCES rest.loyalty_tier (business_id, loyalty_tier_id),
    CONSTRAINT loyalty_account_enrol_channel_known
        CHECK (enrol_channel IN ('pos', 'web', 'app', 'import')),
    CONSTRAINT loyalty_account_status_known CHECK (status IN ('active', 'frozen', 'closed')),
    CONSTRAINT loyalty_account_never_below_zero CHECK (point_balance >= 0)
);

COMMENT ON TABLE rest.loyalty_account IS 'A guest''s membership and running balance.';
COMMENT ON COLUMN rest.loyalty_account.point_balance IS
    'The sum of its entries; the ledger moves it.';

-- FK: the memberships of a guest.
CREATE INDEX loyalty_account_guest_profile_idx
    ON rest.loyalty_account (business_id, guest_profile_id);

-- FK: the members of a tier.
CREATE INDEX loyalty_account_loyalty_tier_idx
    ON rest.loyalty_account (business_id, loyalty_tier_id)
    WHERE loyalty_tier_id IS NOT NULL;

ALTER TABLE rest.loyalty_account ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.loyalty_account
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.loyalty_account TO app_user;
GRANT SELECT ON rest.loyalty_account TO app_readonly;

CREATE TRIGGER loyalty_account_touch
    BEFORE UPDATE ON rest.loyalty_account
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.loyalty_reward (
    business_id        uuid              NOT NULL,
    loyalty_reward_id  uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    loyalty_program_id uuid              NOT NULL,
    menu_item_id       uuid,
    reward_code        system_core.code  NOT NULL,
    display_name       text              NOT NULL,
    reward_kind        text              NOT NULL,
    points_cost        integer           NOT NULL,
    reward_value       system_core.money,
    min_tier_rank      integer,
    max_per_guest      integer,
    valid_from         timestamptz,
    valid_to           timestamptz,
    is_active          boolean           NOT NULL DEFAULT true,
    created_at         timestamptz       NOT NULL DEFAULT now(),
    updated_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, loyalty_reward_id),
    UNIQUE (business_id, reward_code),
    FOREIGN KEY (business_id, loyalty_program_id)
        REFERENCES rest.loyalty_program (business_id, loyalty_program_id),
    FOREIGN KEY (business_id, menu_item_id) REFERENCES rest.menu_item (business_id, menu_item_id),
    CONSTRAINT loyalty_reward_kind_known
        CHECK (reward_kind IN ('discount_amount', 'discount_percent', 'free_item',
                               'points_multiplier', 'experience')),
    CONSTRAINT loyalty_reward_costs_points CHECK (points_cost > 0),
    CONSTRAINT loyalty_reward_ends_after_start CHECK (valid_to > valid_from),
    CONSTRAINT loyalty_reward_item_when_free
        CHECK ((menu_item_id IS NOT NULL) = (reward_kind = 'free_item'))
);

COMMENT ON TABLE rest.loyalty_reward IS 'Something points can buy.';

-- FK: what a program offers.
CREATE INDEX loyalty_reward_loyalty_program_idx
    ON rest.loyalty_reward (business_id, loyalty_program_id);

-- FK: the rewards that are an item.
CREATE INDEX loyalty_reward_menu_item_idx
    ON rest.loyalty_reward (business_id, menu_item_id)
    WHERE menu_item_id IS NOT NULL;

ALTER TABLE rest.loyalty_reward ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.loyalty_reward
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.loyalty_reward TO app_user;
GRANT SELECT ON rest.loyalty_reward TO app_readonly;

CREATE TRIGGER loyalty_reward_touch
    BEFORE UPDATE ON rest.loyalty_reward
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.reward_issue (
    business_id        uuid              NOT NULL,
    reward_issue_id    uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    loyalty_account_id uuid              NOT NULL,
    loyalty_reward_id  uuid              NOT NULL,
    issue_code         system_core.code  NOT NULL,
    issue_reason       text              NOT NULL DEFAULT 'points',
    issued_at          timestamptz       NOT NULL DEFAULT now(),
    points_spent       integer           NOT NULL DEFAULT 0,
    value_at_issue     system_core.money NOT NULL DEFAULT 0,
    expires_at         timestamptz,
    redeemed_at        timestamptz,
    state              text              NOT NULL DEFAULT 'issued',
    created_at         timestamptz       NOT NULL DEFAULT now(),
    updated_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, reward_issue_id),
    UNIQUE (business_id, issue_code),
    FOREIGN KEY (business_id, loyalty_account_id)
        REFERENCES rest.loyalty_account (business_id, loyalty_account_id),
    FOREIGN KEY (business_id, loyalty_reward_id)
        REFERENCES rest.loyalty_reward (business_id, loyalty_reward_id),
    CONSTRAINT reward_issue_reason_known
        CHECK (issue_reason IN ('points', 'birthday', 'win_back', 'referral', 'service_recovery')),
    CONSTRAINT reward_issue_state_known
        CHECK (state IN ('issued', 'redeemed', 'expired', 'cancelled')),
    CONSTRAINT reward_issue_redeemed_in_time CHECK (redeemed_at <= expires_at),
    CONSTRAINT reward_issue_redeemed_has_time
        CHECK ((redeemed_at IS NOT NULL) = (state = 'redeemed'))
);

COMMENT ON TABLE rest.reward_issue IS 'A reward in a guest''s wallet until redeemed or expired.';

-- FK: the wallet of a guest.
CREATE INDEX reward_issue_loyalty_account_idx
    ON rest.reward_issue (business_id, loyalty_account_id);

-- FK: how often a reward was bought.
CREATE INDEX reward_issue_loyalty_reward_idx
    ON rest.reward_issue (business_id, loyalty_reward_id);

ALTER TABLE rest.reward_issue ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.reward_issue
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.reward_issue TO app_user;
GRANT SELECT ON rest.reward_issue TO app_readonly;

CREATE TRIGGER reward_issue_touch
    BEFORE UPDATE ON rest.reward_issue
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER reward_issue_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.reward_issue
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["issued"],
        "transitions": {
            "issued":    ["redeemed", "expired", "cancelled"],
            "redeemed":  ["issued"],
            "expired":   [],
            "cancelled": []
        }}');


CREATE TABLE rest.loyalty_entry (
    business_id        uuid              NOT NULL,
    loyalty_entry_id   uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    loyalty_account_id uuid              NOT NULL,
    guest_check_id     uuid,
    reward_issue_id    uuid,
    entry_kind         text              NOT NULL,
    points             integer           NOT NULL,
    balance_after      integer           NOT NULL,
    earn_base_amount   system_core.money NOT NULL DEFAULT 0,
    multiplier         numeric(6,        3) NOT NULL DEFAULT 1,
    expires_on         date,
    occurred_at        timestamptz       NOT NULL DEFAULT now(),
    idempotency_key    text              NOT NULL,
    note               text,
    created_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, loyalty_entry_id),
    UNIQUE (business_id, idempotency_key),
    FOREIGN KEY (business_id, loyalty_account_id)
        REFERENCES rest.loyalty_account (business_id, loyalty_account_id),
    FOREIGN KEY (business_id, guest_check_id)
        REFERENCES rest.guest_check (business_id, guest_check_id),
    FOREIGN KEY (business_id, reward_issue_id)
        REFERENCES rest.reward_issue (business_id, reward_issue_id),
    CONSTRAINT loyalty_entry_kind_known
        CHECK (entry_kind IN ('earn', 'bonus', 'redeem', 'expire', 'adjust', 'reverse')),
    CONSTRAINT loyalty_entry_never_below_zero CHECK (balance_after >= 0),
    CONSTRAINT loyalty_entry_sign_by_kind
        CHECK (CASE WHEN entry_kind IN ('earn', 'bonus') THEN points > 0
                    WHEN entry_kind IN ('redeem', 'expire') THEN points < 0
                    ELSE points <> 0 END)
);

COMMENT ON TABLE rest.loyalty_entry IS 'Points ledger: earn, redeem, expire, adjust; append only.';

-- FK: the ledger of an account in order.
CREATE INDEX loyalty_entry_loyalty_account_idx
    ON rest.loyalty_entry (business_id, loyalty_account_id, occurred_at);

-- FK: what a check earned.
CREATE INDEX loyalty_entry_guest_check_idx
    ON rest.loyalty_entry (business_id, guest_check_id)
    WHERE guest_check_id IS NOT NULL;

-- FK: what a reward cost.
CREATE INDEX loyalty_entry_reward_issue_idx
    ON rest.loyalty_entry (business_id, reward_issue_id)
    WHERE reward_issue_id IS NOT NULL;

ALTER TABLE rest.loyalty_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.loyalty_entry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON rest.loyalty_entry TO app_user;
GRANT SELECT ON rest.loyalty_entry TO app_readonly;

CREATE TRIGGER loyalty_entry_append_only
    BEFORE UPDATE OR DELETE ON rest.loyalty_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('rest.loyalty_entry');

CREATE FUNCTION rest.post_points() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    account record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    UPDATE rest.loyalty_account AS a
    SET point_balance = a.point_balance + NEW.points,
        lifetime_points = a.lifetime_points + greatest(NEW.points, 0)
    WHERE a.business_id = NEW.business_id AND a.loyalty_account_id = NEW.loyalty_account_id
      AND a.point_balance + NEW.points >= 0 AND a.status = 'active'
    RETURNING a.point_balance INTO NEW.balance_after;
    IF NOT FOUND THEN
        SELECT a.account_number, a.point_balance, a.status INTO account
        FROM rest.loyalty_account AS a
        WHERE a.business_id = NEW.business_id AND a.loyalty_account_id = NEW.loyalty_account_id;
        RAISE EXCEPTION 'account % is % and has % points, % cannot be posted',
                        account.account_number, account.status, account.point_balance, NEW.points
            USING ERRCODE = 'check_violation', HINT = 'Redeem no more than the balance.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.post_points() IS
    'An entry moves the balance of its account and notes what it then was; never below zero, also
     when two are posted at once. Imported history brings its balances.';

CREATE TRIGGER loyalty_entry_post
    BEFORE INSERT ON rest.loyalty_entry
    FOR EACH ROW EXECUTE FUNCTION rest.post_points();


CREATE FUNCTION rest.earn_points(guest_check uuid) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    earns  record;
BEGIN
    SELECT a.loyalty_account_id, coalesce(t.earn_multiplier, 1) AS multiplier, b.base,
           p.point_expiry_days,
           least(floor(b.base * p.earn_points_per_unit * coalesce(t.earn_multiplier, 1)),
                 p.max_points_per_check)::integer AS points
    INTO earns
    FROM rest.guest_check AS c
    JOIN rest.loyalty_account AS a
        ON a.business_id = c.business_id AND a.guest_profile_id = c.guest_profile_id
       AND a.status = 'active'
    JOIN rest.loyalty_program AS p
        ON p.business_id = a.business_id AND p.loyalty_program_id = a.loyalty_program_id
       AND p.status = 'active'
    LEFT JOIN rest.loyalty_tier AS t
        ON t.business_id = a.business_id AND t.loyalty_tier_id = a.loyalty_tier_id
    CROSS JOIN LATERAL (
        SELECT c.subtotal - c.discount_total
               + CASE WHEN p.earn_basis = 'post_tax' THEN c.tax_total ELSE 0 END AS base
    ) AS b
    WHERE c.business_id = tenant AND c.guest_check_id = guest_check
      AND c.state IN ('paid', 'closed')
    ORDER BY a.enrolled_at
    LIMIT 1;
    IF coalesce(earns.points, 0) <= 0
       OR EXISTS (SELECT FROM rest.loyalty_entry AS e
                  WHERE e.business_id = tenant AND e.idempotency_key = 'earn ' || guest_check)
    THEN
        RETURN 0;
    END IF;
    INSERT INTO rest.loyalty_entry
        (business_id, loyalty_account_id, guest_check_id, entry_kind, points, balance_after,
         earn_base_amount, multiplier, expires_on, idempotency_key)
    VALUES (tenant, earns.loyalty_account_id, guest_check, 'earn', earns.points, 0, earns.base,
            earns.multiplier, current_date + earns.point_expiry_days, 'earn ' || guest_check);
    RETURN earns.points;
END
$$;
COMMENT ON FUNCTION rest.earn_points(uuid) IS
    'Credits the guest of a paid check with its points, once; returns how many.';


CREATE FUNCTION rest.loyalty_differences()
    RETURNS TABLE (loyalty_account_id uuid, said integer, found bigint)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT a.loyalty_account_id, a.point_balance, coalesce(sum(e.points), 0)
    FROM rest.loyalty_account AS a
    LEFT JOIN rest.loyalty_entry AS e
        ON e.business_id = a.business_id AND e.loyalty_account_id = a.loyalty_account_id
    WHERE a.business_id = tenant_mgmt.current_business_id()
    GROUP BY a.loyalty_account_id, a.point_balance
    HAVING a.point_balance <> coalesce(sum(e.points), 0);
END;
COMMENT ON FUNCTION rest.loyalty_differences() IS
    'Proves the points: accounts whose balance is not the sum of their entries.';


CREATE TABLE rest.guest_feedback (
    business_id         uuid              NOT NULL,
    guest_feedback_id   uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    handled_by_staff_id uuid,
    location_id         uuid              NOT NULL,
    guest_profile_id    uuid,
    guest_order_id      uuid,
    source              text              NOT NULL,
    received_at         timestamptz       NOT NULL DEFAULT now(),
    overall_rating      smallint,
    food_rating         smallint,
    service_rating      smallint,
    speed_rating        smallint,
    comment_text        text,
    sentiment_score     numeric(9, 4),
    topics_doc          jsonb             NOT NULL DEFAULT '[]',
    state               text              NOT NULL DEFAULT 'new',
    responded_at        timestamptz,
    recovery_amount     system_core.money NOT NULL DEFAULT 0,
    created_at          timestamptz       NOT NULL DEFAULT now(),
    updated_at          timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, guest_feedback_id),
    FOREIGN KEY (business_id, handled_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, guest_profile_id)
        REFERENCES rest.guest_profile (business_id, guest_profile_id),
    FOREIGN KEY (business_id, guest_order_id)
        REFERENCES rest.guest_order (business_id, guest_order_id),
    CONSTRAINT guest_feedback_source_known
        CHECK (source IN ('survey', 'receipt_qr', 'google', 'yelp', 'marketplace',
                          'manager_visit')),
    CONSTRAINT guest_feedback_state_known
        CHECK (state IN ('new', 'acknowledged', 'resolved', 'escalated')),
    CONSTRAINT guest_feedback_sentiment_bounded CHECK (sentiment_score BETWEEN -1 AND 1),
    CONSTRAINT guest_feedback_responded_after_receipt CHECK (responded_at >= received_at),
    CONSTRAINT guest_feedback_ratings_bounded
        CHECK (overall_rating BETWEEN 1 AND 5 AND food_rating BETWEEN 1 AND 5
               AND service_rating BETWEEN 1 AND 5 AND speed_rating BETWEEN 1 AND 5)
);

COMMENT ON TABLE rest.guest_feedback IS
    'Survey answer or public review, with the recovery given.';

-- FK: what a manager handled.
CREATE INDEX guest_feedback_handled_by_staff_idx
    ON rest.guest_feedback (business_id, handled_by_staff_id)
    WHERE handled_by_staff_id IS NOT NULL;

-- FK: what guests say of a site, the newest first.
CREATE INDEX guest_feedback_location_idx
    ON rest.guest_feedback (business_id, location_id, received_at DESC);

-- complaints_by_topic: what guests say of late, of whatever site.
CREATE INDEX guest_feedback_received_idx
    ON rest.guest_feedback (business_id, received_at);

-- FK: what a guest said.
CREATE INDEX guest_feedback_guest_profile_idx
    ON rest.guest_feedback (business_id, guest_profile_id)
    WHERE guest_profile_id IS NOT NULL;

-- FK: what was said of an order.
CREATE INDEX guest_feedback_guest_order_idx
    ON rest.guest_feedback (business_id, guest_order_id)
    WHERE guest_order_id IS NOT NULL;

ALTER TABLE rest.guest_feedback ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.guest_feedback
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.guest_feedback TO app_user;
GRANT SELECT ON rest.guest_feedback TO app_readonly;

CREATE TRIGGER guest_feedback_touch
    BEFORE UPDATE ON rest.guest_feedback
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
