/*
 * TODO: what the area is and how its tables relate.
 */

CREATE TABLE ret.price_book (
    business_id      uuid                 NOT NULL,
    price_book_id    uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    fallback_book_id uuid,
    book_code        system_core.code     NOT NULL,
    display_name     text                 NOT NULL,
    book_kind        text                 NOT NULL,
    currency         system_core.currency,
    is_tax_inclusive boolean              NOT NULL DEFAULT false,
    rounding_rule    text                 NOT NULL,
    priority_no      integer              NOT NULL,
    effective_from   date                 NOT NULL,
    effective_to     date,
    state            text                 NOT NULL DEFAULT 'draft',
    created_at       timestamptz          NOT NULL DEFAULT now(),
    updated_at       timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, price_book_id),
    UNIQUE (business_id, book_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, fallback_book_id)
        REFERENCES ret.price_book (business_id, price_book_id),
    CONSTRAINT price_book_kind_known
        CHECK (book_kind IN ('base', 'channel', 'customer', 'clearance', 'staff')),
    CONSTRAINT price_book_rounding_rule_known
        CHECK (rounding_rule IN ('none', 'end_99', 'end_95', 'whole')),
    CONSTRAINT price_book_state_known CHECK (state IN ('draft', 'active', 'archived'))
);

COMMENT ON TABLE ret.price_book IS
    'A list of prices: base, outlet, wholesale, marketplace, clearance.';
-- RULE no cycle through fallback_book_id

-- One base book per currency.
CREATE UNIQUE INDEX price_book_currency_idx
    ON ret.price_book (business_id, currency)
    WHERE book_kind = 'base';

-- FK: the price books by their fallback book.
CREATE INDEX price_book_fallback_book_idx
    ON ret.price_book (business_id, fallback_book_id)
    WHERE fallback_book_id IS NOT NULL;

ALTER TABLE ret.price_book ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.price_book
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.price_book TO app_user;
GRANT SELECT ON ret.price_book TO app_readonly;

CREATE TRIGGER price_book_touch
    BEFORE UPDATE ON ret.price_book
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.price_book_entry (
    business_id         uuid                   NOT NULL,
    price_book_entry_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    price_book_id       uuid                   NOT NULL,
    product_variant_id  uuid                   NOT NULL,
    min_qty             system_core.quantity   NOT NULL,
    price               system_core.money,
    compare_at_price    system_core.money,
    floor_price         system_core.money,
    effective_from      date                   NOT NULL,
    effective_to        date,
    source              text                   NOT NULL,
    margin_pct          system_core.percentage,
    approved_at         timestamptz,
    created_at          timestamptz            NOT NULL DEFAULT now(),
    updated_at          timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, price_book_entry_id),
    FOREIGN KEY (business_id, price_book_id)
        REFERENCES ret.price_book (business_id, price_book_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    CONSTRAINT price_book_entry_source_known
        CHECK (source IN ('manual', 'import', 'rule', 'markdown')),
    CONSTRAINT price_book_entry_ends_after_start CHECK (effective_to >= effective_from),
    CONSTRAINT price_book_entry_price_follows_floor_price CHECK (price >= floor_price),
    CONSTRAINT price_book_entry_compare_at_price_follows_price CHECK (compare_at_price > price),
    CONSTRAINT price_book_entry_min_qty_follows CHECK (min_qty >= 1),
    CONSTRAINT price_book_entry_no_overlap EXCLUDE USING gist (
        business_id WITH =, price_book_id WITH =, product_variant_id WITH =,
        min_qty WITH =,
        daterange(effective_from, effective_to, '[]') WITH &&)
);

COMMENT ON TABLE ret.price_book_entry IS
    'Price of a variant in a book by quantity break and period.';

-- FK: the price book entries of a price book.
CREATE INDEX price_book_entry_price_book_idx ON ret.price_book_entry (business_id, price_book_id);

-- FK: the price book entries of a product variant.
CREATE INDEX price_book_entry_product_variant_idx
    ON ret.price_book_entry (business_id, product_variant_id);

ALTER TABLE ret.price_book_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.price_book_entry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.price_book_entry TO app_user;
GRANT SELECT ON ret.price_book_entry TO app_readonly;

CREATE TRIGGER price_book_entry_touch
    BEFORE UPDATE ON ret.price_book_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.price_book_assignment (
    business_id              uuid        NOT NULL,
    price_book_assignment_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    price_book_id            uuid        NOT NULL,
    sales_channel_id         uuid,
    location_id              uuid,
    customer_group_id        uuid,
    priority_no              integer     NOT NULL,
    effective_from           date        NOT NULL,
    effective_to             date,
    is_exclusive             boolean     NOT NULL DEFAULT false,
    weekday_mask             smallint,
    note                     text,
    created_at               timestamptz NOT NULL DEFAULT now(),
    updated_at               timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, price_book_assignment_id),
    UNIQUE NULLS NOT DISTINCT (business_id, price_book_id, sales_channel_id, location_id,
            customer_group_id, effective_from),
    FOREIGN KEY (business_id, price_book_id)
        REFERENCES ret.price_book (business_id, price_book_id),
    FOREIGN KEY (business_id, sales_channel_id)
        REFERENCES ret.sales_channel (business_id, sales_channel_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, customer_group_id)
        REFERENCES ret.customer_group (business_id, customer_group_id)
);

COMMENT ON TABLE ret.price_book_assignment IS
    'Who sees a book: channel, location or customer group.';
-- RULE at least one of the three targets is set

-- FK: the price book assignments of a sales channel.
CREATE INDEX price_book_assignment_sales_channel_idx
    ON ret.price_book_assignment (business_id, sales_channel_id)
    WHERE sales_channel_id IS NOT NULL;

-- FK: the price book assignments of a location.
CREATE INDEX price_book_assignment_location_idx
    ON ret.price_book_assignment (business_id, location_id)
    WHERE location_id IS NOT NULL;

-- FK: the price book assignments of a customer group.
CREATE INDEX price_book_assignment_customer_group_idx
    ON ret.price_book_assignment (business_id, customer_group_id)
    WHERE customer_group_id IS NOT NULL;

ALTER TABLE ret.price_book_assignment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.price_book_assignment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.price_book_assignment TO app_user;
GRANT SELECT ON ret.price_book_assignment TO app_readonly;

CREATE TRIGGER price_book_assignment_touch
    BEFORE UPDATE ON ret.price_book_assignment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.price_change (
    business_id          uuid                 NOT NULL,
    price_change_id      uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    requested_by_user_id uuid                 NOT NULL,
    approved_by_user_id  uuid,
    product_variant_id   uuid                 NOT NULL,
    price_book_id        uuid                 NOT NULL,
    location_id          uuid,
    change_number        text                 NOT NULL,
    change_kind          text                 NOT NULL,
    old_price            system_core.money,
    new_price            system_core.money,
    reason_text          text,
    units_on_hand        system_core.quantity,
    margin_impact        system_core.money,
    requested_at         timestamptz          NOT NULL,
    effective_at         timestamptz          NOT NULL,
    label_printed_at     timestamptz,
    state                text                 NOT NULL DEFAULT 'draft',
    created_at           timestamptz          NOT NULL DEFAULT now(),
    updated_at           timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, price_change_id),
    UNIQUE (business_id, change_number),
    FOREIGN KEY (business_id, requested_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, approved_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, price_book_id)
        REFERENCES ret.price_book (business_id, price_book_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    CONSTRAINT price_change_kind_known
        CHECK (change_kind IN ('increase', 'markdown', 'clearance', 'correction',
                               'competitor_match')),
    CONSTRAINT price_change_state_known
        CHECK (state IN ('draft', 'approved', 'applied', 'rejected', 'reverted')),
    CONSTRAINT price_change_new_price_not_negative CHECK (new_price >= 0),
    CONSTRAINT price_change_new_price_follows_old_price CHECK (new_price <> old_price)
);

COMMENT ON TABLE ret.price_change IS
    'A planned price move or markdown, approved, applied, with its stock impact.';
-- RULE approver differs from requester

-- FK: the price changes by their requested by user.
CREATE INDEX price_change_requested_by_user_idx
    ON ret.price_change (business_id, requested_by_user_id);

-- FK: the price changes by their approved by user.
CREATE INDEX price_change_approved_by_user_idx
    ON ret.price_change (business_id, approved_by_user_id)
    WHERE approved_by_user_id IS NOT NULL;

-- FK: the price changes of a product variant.
CREATE INDEX price_change_product_variant_idx
    ON ret.price_change (business_id, product_variant_id);

-- FK: the price changes of a price book.
CREATE INDEX price_change_price_book_idx ON ret.price_change (business_id, price_book_id);

-- FK: the price changes of a location.
CREATE INDEX price_change_location_idx
    ON ret.price_change (business_id, location_id)
    WHERE location_id IS NOT NULL;

ALTER TABLE ret.price_change ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.price_change
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.price_change TO app_user;
GRANT SELECT ON ret.price_change TO app_readonly;

CREATE TRIGGER price_change_touch
    BEFORE UPDATE ON ret.price_change
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.promotion (
    business_id      uuid              NOT NULL,
    promotion_id     uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    sales_channel_id uuid,
    promotion_code   system_core.code  NOT NULL,
    title            text              NOT NULL,
    promotion_kind   text              NOT NULL,
    trigger_kind     text              NOT NULL,
    starts_at        timestamptz       NOT NULL,
    ends_at          timestamptz,
    priority_no      integer           NOT NULL,
    stacking         text              NOT NULL,
    stacking_group   text,
    max_redemptions  integer,
    redeemed_count   integer           NOT NULL DEFAULT 0,
    budget_amount    system_core.money NOT NULL DEFAULT 0,
    budget_used      system_core.money,
    funded_by        text              NOT NULL,
    state            text              NOT NULL DEFAULT 'draft',
    created_at       timestamptz       NOT NULL DEFAULT now(),
    updated_at       timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, promotion_id),
    UNIQUE (business_id, promotion_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, sales_channel_id)
        REFERENCES ret.sales_channel (business_id, sales_channel_id),
    CONSTRAINT promotion_kind_known
        CHECK (promotion_kind IN ('percent_off', 'amount_off', 'fixed_price', 'buy_x_get_y',
                                  'bundle_price', 'free_gift', 'free_shipping',
                                  'spend_threshold', 'tiered')),
    CONSTRAINT promotion_trigger_kind_known CHECK (trigger_kind IN ('automatic', 'coupon')),
    CONSTRAINT promotion_stacking_known
        CHECK (stacking IN ('exclusive', 'stackable', 'best_of_group')),
    CONSTRAINT promotion_funded_by_known CHECK (funded_by IN ('retailer', 'supplier', 'shared')),
    CONSTRAINT promotion_state_known
        CHECK (state IN ('draft', 'scheduled', 'active', 'paused', 'ended')),
    CONSTRAINT promotion_ends_at_follows_starts_at CHECK (ends_at > starts_at),
    CONSTRAINT promotion_redeemed_count_precedes_max_redemptions
        CHECK (redeemed_count <= max_redemptions),
    CONSTRAINT promotion_budget_used_precedes_budget_amount CHECK (budget_used <= budget_amount)
);

COMMENT ON TABLE ret.promotion IS 'An offer with schedule, stacking, budget and priority.';

-- FK: the promotions of a sales channel.
CREATE INDEX promotion_sales_channel_idx
    ON ret.promotion (business_id, sales_channel_id)
    WHERE sales_channel_id IS NOT NULL;

ALTER TABLE ret.promotion ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.promotion
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.promotion TO app_user;
GRANT SELECT ON ret.promotion TO app_readonly;

CREATE TRIGGER promotion_touch
    BEFORE UPDATE ON ret.promotion
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.promotion_rule (
    business_id        uuid                 NOT NULL,
    promotion_rule_id  uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    promotion_id       uuid                 NOT NULL,
    product_variant_id uuid,
    product_id         uuid,
    category_id        uuid,
    brand_id           uuid,
    collection_id      uuid,
    customer_group_id  uuid,
    rule_role          text                 NOT NULL,
    rule_kind          text                 NOT NULL,
    compare            text                 NOT NULL,
    min_qty            system_core.quantity,
    min_amount         system_core.money    NOT NULL DEFAULT 0,
    condition_doc      jsonb,
    group_no           integer              NOT NULL,
    is_negated         boolean              NOT NULL DEFAULT false,
    created_at         timestamptz          NOT NULL DEFAULT now(),
    updated_at         timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, promotion_rule_id),
    FOREIGN KEY (business_id, promotion_id) REFERENCES ret.promotion (business_id, promotion_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, product_id) REFERENCES ret.product (business_id, product_id),
    FOREIGN KEY (business_id, category_id) REFERENCES ret.category (business_id, category_id),
    FOREIGN KEY (business_id, brand_id) REFERENCES ret.brand (business_id, brand_id),
    FOREIGN KEY (business_id, collection_id)
        REFERENCES ret.collection (business_id, collection_id),
    FOREIGN KEY (business_id, customer_group_id)
        REFERENCES ret.customer_group (business_id, customer_group_id),
    CONSTRAINT promotion_rule_role_known
        CHECK (rule_role IN ('qualifier', 'target', 'exclusion')),
    CONSTRAINT promotion_rule_kind_known
        CHECK (rule_kind IN ('item', 'category', 'brand', 'collection', 'basket_total',
                             'basket_qty', 'customer', 'first_order', 'time_window')),
    CONSTRAINT promotion_rule_compare_known
        CHECK (compare IN ('eq', 'in', 'gte', 'lte', 'between'))
);

COMMENT ON TABLE ret.promotion_rule IS
    'A condition: products, categories, basket size, customer, time.';
-- RULE the reference named by rule_kind is set
-- RULE qualifier rules of one group_no are joined by and, groups by or

-- FK: the promotion rules of a promotion.
CREATE INDEX promotion_rule_promotion_idx ON ret.promotion_rule (business_id, promotion_id);

-- FK: the promotion rules of a product variant.
CREATE INDEX promotion_rule_product_variant_idx
    ON ret.promotion_rule (business_id, product_variant_id)
    WHERE product_variant_id IS NOT NULL;

-- FK: the promotion rules of a product.
CREATE INDEX promotion_rule_product_idx
    ON ret.promotion_rule (business_id, product_id)
    WHERE product_id IS NOT NULL;

-- FK: the promotion rules of a category.
CREATE INDEX promotion_rule_category_idx
    ON ret.promotion_rule (business_id, category_id)
    WHERE category_id IS NOT NULL;

-- FK: the promotion rules of a brand.
CREATE INDEX promotion_rule_brand_idx
    ON ret.promotion_rule (business_id, brand_id)
    WHERE brand_id IS NOT NULL;

-- FK: the promotion rules of a collection.
CREATE INDEX promotion_rule_collection_idx
    ON ret.promotion_rule (business_id, collection_id)
    WHERE collection_id IS NOT NULL;

-- FK: the promotion rules of a customer group.
CREATE INDEX promotion_rule_customer_group_idx
    ON ret.promotion_rule (business_id, customer_group_id)
    WHERE customer_group_id IS NOT NULL;

ALTER TABLE ret.promotion_rule ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.promotion_rule
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.promotion_rule TO app_user;
GRANT SELECT ON ret.promotion_rule TO app_readonly;

CREATE TRIGGER promotion_rule_touch
    BEFORE UPDATE ON ret.promotion_rule
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.promotion_reward (
    business_id         uuid                 NOT NULL,
    promotion_reward_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    gift_variant_id     uuid,
    promotion_id        uuid                 NOT NULL,
    reward_kind         text                 NOT NULL,
    reward_value        system_core.money,
    applies_to          text                 NOT NULL,
    max_units           system_core.quantity,
    max_amount          system_core.money    NOT NULL DEFAULT 0,
    qualifying_qty      system_core.quantity,
    reward_qty          system_core.quantity,
    allocation          text                 NOT NULL,
    tier_threshold      system_core.money,
    created_at          timestamptz          NOT NULL DEFAULT now(),
    updated_at          timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, promotion_reward_id),
    FOREIGN KEY (business_id, gift_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, promotion_id) REFERENCES ret.promotion (business_id, promotion_id),
    CONSTRAINT promotion_reward_kind_known
        CHECK (reward_kind IN ('percent', 'amount', 'fixed_price', 'free_item', 'shipping',
                               'points')),
    CONSTRAINT promotion_reward_applies_to_known
        CHECK (applies_to IN ('each_target', 'cheapest', 'most_expensive', 'order', 'shipping')),
    CONSTRAINT promotion_reward_allocation_known
        CHECK (allocation IN ('pro_rata', 'target_only')),
    CONSTRAINT promotion_reward_reward_kind_iff
        CHECK ((gift_variant_id IS NOT NULL) = (reward_kind = 'free_item'))
);

COMMENT ON TABLE ret.promotion_reward IS
    'What the offer gives and how it is spread over the basket.';
-- RULE reward_value >= 0 and <= 100 for percent
-- RULE reward_qty <= qualifying_qty for buy_x_get_y on equal items

-- FK: the promotion rewards by their gift variant.
CREATE INDEX promotion_reward_gift_variant_idx
    ON ret.promotion_reward (business_id, gift_variant_id)
    WHERE gift_variant_id IS NOT NULL;

-- FK: the promotion rewards of a promotion.
CREATE INDEX promotion_reward_promotion_idx ON ret.promotion_reward (business_id, promotion_id);

ALTER TABLE ret.promotion_reward ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.promotion_reward
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.promotion_reward TO app_user;
GRANT SELECT ON ret.promotion_reward TO app_readonly;

CREATE TRIGGER promotion_reward_touch
    BEFORE UPDATE ON ret.promotion_reward
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.coupon (
    business_id           uuid             NOT NULL,
    coupon_id             uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    promotion_id          uuid             NOT NULL,
    customer_id           uuid,
    coupon_code           system_core.code NOT NULL,
    coupon_kind           text             NOT NULL,
    max_uses              integer,
    used_count            integer          NOT NULL DEFAULT 0,
    max_uses_per_customer integer,
    issued_at             timestamptz,
    starts_at             timestamptz      NOT NULL,
    expires_at            timestamptz,
    issue_source          text             NOT NULL,
    state                 text             NOT NULL DEFAULT 'issued',
    created_at            timestamptz      NOT NULL DEFAULT now(),
    updated_at            timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, coupon_id),
    UNIQUE (business_id, coupon_code),
    FOREIGN KEY (business_id, promotion_id) REFERENCES ret.promotion (business_id, promotion_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES ret.customer (business_id, customer_id),
    CONSTRAINT coupon_kind_known CHECK (coupon_kind IN ('public', 'unique', 'personal')),
    CONSTRAINT coupon_issue_source_known
        CHECK (issue_source IN ('campaign', 'service', 'referral', 'loyalty', 'print')),
    CONSTRAINT coupon_state_known
        CHECK (state IN ('issued', 'active', 'exhausted', 'expired', 'revoked')),
    CONSTRAINT coupon_used_count_precedes_max_uses CHECK (used_count <= max_uses),
    CONSTRAINT coupon_coupon_kind_iff
        CHECK ((customer_id IS NOT NULL) = (coupon_kind = 'personal'))
);

COMMENT ON TABLE ret.coupon IS 'Single- or multi-use code of a promotion, bearer or personal.';

-- FK: the coupons of a promotion.
CREATE INDEX coupon_promotion_idx ON ret.coupon (business_id, promotion_id);

-- FK: the coupons of a customer.
CREATE INDEX coupon_customer_idx
    ON ret.coupon (business_id, customer_id)
    WHERE customer_id IS NOT NULL;

ALTER TABLE ret.coupon ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.coupon
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.coupon TO app_user;
GRANT SELECT ON ret.coupon TO app_readonly;

CREATE TRIGGER coupon_touch
    BEFORE UPDATE ON ret.coupon
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
