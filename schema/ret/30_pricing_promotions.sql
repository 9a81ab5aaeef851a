/*
 * Prices and promotions: what a variant costs whom, and what is taken off a basket.
 *
 * A price_book is a list of prices in one currency, with a book to fall back to; its entries hold
 * a price per variant, quantity break and period, and an assignment says on which channel, in
 * which store and for which group a book counts. ret.resolve_price() finds the one that holds. A
 * price_change is a move that somebody asks for and somebody else approves before it is applied.
 *
 * A promotion takes something off: its rules say when (qualifier) and on what (target, less
 * exclusion), its rewards say how much, a coupon is the code that opens it. ret.promote_basket()
 * tells what the promotions give on a basket, to the cent per line; ret.redeem_promotion() counts
 * it under a lock, so that no limit, budget or code is used beyond its end.
 */

CREATE TABLE ret.price_book (
    business_id      uuid                 NOT NULL,
    price_book_id    uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    fallback_book_id uuid,
    book_code        system_core.code     NOT NULL,
    display_name     text                 NOT NULL,
    book_kind        text                 NOT NULL DEFAULT 'channel',
    currency         system_core.currency NOT NULL,
    is_tax_inclusive boolean              NOT NULL DEFAULT false,
    rounding_rule    text                 NOT NULL DEFAULT 'none',
    priority_no      integer              NOT NULL DEFAULT 100,
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
    CONSTRAINT price_book_state_known CHECK (state IN ('draft', 'active', 'archived')),
    CONSTRAINT price_book_ends_after_start CHECK (effective_to >= effective_from),
    CONSTRAINT price_book_base_falls_back_to_nothing
        CHECK (book_kind <> 'base' OR fallback_book_id IS NULL)
);

COMMENT ON TABLE ret.price_book IS
    'A list of prices: the base, that of a channel, of wholesale, of the staff, of clearance.';
COMMENT ON COLUMN ret.price_book.fallback_book_id IS
    'Where a variant is looked up that this book does not list.';
COMMENT ON COLUMN ret.price_book.book_kind IS
    'base: the one book per currency that everybody sees where nothing else has a price.';
COMMENT ON COLUMN ret.price_book.rounding_rule IS
    'How a price that is figured from a percentage ends; see ret.round_price().';
COMMENT ON COLUMN ret.price_book.priority_no IS
    'Decides between books that are assigned with the same priority and ask the same price.';

-- One base book per currency.
CREATE UNIQUE INDEX price_book_currency_idx
    ON ret.price_book (business_id, currency)
    WHERE book_kind = 'base';

-- FK: the books that fall back to a book.
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

CREATE TRIGGER price_book_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.price_book
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["draft", "active"],
        "transitions": {
            "draft":    ["active", "archived"],
            "active":   ["archived"],
            "archived": ["active"]
        }}');

CREATE FUNCTION ret.keep_books_a_chain() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    broken text;
BEGIN
    -- One at a time: two books that fall back to each other at once would close a circle that
    -- neither of them sees.
    PERFORM pg_advisory_xact_lock(hashtextextended(t.business_id::text || ' price book', 0))
    FROM (SELECT DISTINCT c.business_id FROM changed AS c
          WHERE c.fallback_book_id IS NOT NULL ORDER BY c.business_id) AS t;

    WITH RECURSIVE below AS (
        SELECT c.business_id, c.price_book_id AS origin, c.book_code, c.fallback_book_id AS reached
        FROM changed AS c
        WHERE c.fallback_book_id IS NOT NULL
        UNION   -- not ALL: a circle below the origin ends here, too
        SELECT u.business_id, u.origin, u.book_code, b.fallback_book_id
        FROM below AS u
        JOIN ret.price_book AS b
            ON b.business_id = u.business_id AND b.price_book_id = u.reached
        WHERE b.fallback_book_id IS NOT NULL AND u.reached <> u.origin
    )
    SELECT u.book_code INTO broken FROM below AS u WHERE u.reached = u.origin LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'price book % would fall back to itself', broken
            USING ERRCODE = 'check_violation',
                  HINT = 'Let it fall back to a book that does not fall back to it.';
    END IF;

    SELECT c.book_code INTO broken
    FROM changed AS c
    JOIN ret.price_book AS b
        ON b.business_id = c.business_id
       AND (b.price_book_id = c.fallback_book_id OR b.fallback_book_id = c.price_book_id)
    WHERE b.currency <> c.currency
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'price book % and the one it falls back to differ in currency', broken
            USING ERRCODE = 'check_violation', HINT = 'A price is never read in another currency.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.keep_books_a_chain() IS
    'No price book falls back to itself, or to one in another currency.';

CREATE TRIGGER price_book_chain_on_insert
    AFTER INSERT ON ret.price_book
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.keep_books_a_chain();

CREATE TRIGGER price_book_chain_on_update
    AFTER UPDATE ON ret.price_book
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.keep_books_a_chain();


CREATE TABLE ret.price_book_entry (
    business_id         uuid                   NOT NULL,
    price_book_entry_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    price_book_id       uuid                   NOT NULL,
    product_variant_id  uuid                   NOT NULL,
    min_qty             system_core.quantity   NOT NULL DEFAULT 1,
    price               system_core.money      NOT NULL,
    compare_at_price    system_core.money,
    floor_price         system_core.money,
    effective_from      date                   NOT NULL,
    effective_to        date,
    source              text                   NOT NULL DEFAULT 'manual',
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
    CONSTRAINT price_book_entry_price_not_negative CHECK (price >= 0 AND floor_price >= 0),
    CONSTRAINT price_book_entry_under_floor_is_approved
        CHECK (price >= floor_price OR approved_at IS NOT NULL),
    CONSTRAINT price_book_entry_compares_with_more CHECK (compare_at_price > price),
    CONSTRAINT price_book_entry_break_from_one CHECK (min_qty >= 1),
    CONSTRAINT price_book_entry_no_overlap EXCLUDE USING gist (
        business_id WITH =, price_book_id WITH =, product_variant_id WITH =,
        min_qty WITH =,
        daterange(effective_from, effective_to, '[]') WITH &&)
);

COMMENT ON TABLE ret.price_book_entry IS
    'The price of a variant in a book, from a quantity on, for some days.';
COMMENT ON COLUMN ret.price_book_entry.min_qty IS
    'From how many pieces on; 1 is the price of a single one.';
COMMENT ON COLUMN ret.price_book_entry.compare_at_price IS
    'The price that is crossed out beside it; NULL where nothing is.';
COMMENT ON COLUMN ret.price_book_entry.floor_price IS
    'Under it somebody has to approve the price.';
COMMENT ON COLUMN ret.price_book_entry.effective_to IS
    'The last day; NULL while nothing follows. A new entry ends the one before it.';
COMMENT ON COLUMN ret.price_book_entry.margin_pct IS
    'Of the price, over the cost of that day; NULL in a book whose prices include tax.';

-- FK, and scan_price_lookup: the entry of a variant in a book.
CREATE INDEX price_book_entry_price_idx
    ON ret.price_book_entry (business_id, price_book_id, product_variant_id, min_qty);

-- FK: the prices of a variant in all books.
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

CREATE FUNCTION ret.place_price_entry() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    book     record;
    cost     numeric;
    previous ret.price_book_entry;
BEGIN
    -- Prices of a book are placed one after the other: who comes second ends the first one's.
    SELECT b.state, b.book_code, b.is_tax_inclusive INTO book
    FROM ret.price_book AS b
    WHERE b.business_id = NEW.business_id AND b.price_book_id = NEW.price_book_id
    FOR NO KEY UPDATE;
    IF book.state = 'archived' THEN
        RAISE EXCEPTION 'price book % is archived, its prices are history', book.book_code
            USING ERRCODE = 'check_violation', HINT = 'Make the book active again first.';
    END IF;

    IF TG_OP = 'UPDATE' THEN
        -- An approval is of one price: a lower one wants another.
        IF NEW.price < OLD.price AND NEW.approved_at IS NOT DISTINCT FROM OLD.approved_at THEN
            NEW.approved_at := NULL;
        END IF;
        IF NEW.price <> OLD.price AND NEW.margin_pct IS NOT DISTINCT FROM OLD.margin_pct THEN
            NEW.margin_pct := NULL;
        END IF;
    END IF;
    IF NEW.margin_pct IS NULL AND NEW.price > 0 AND NOT book.is_tax_inclusive THEN
        SELECT coalesce(v.average_cost, v.standard_cost) INTO cost
        FROM ret.product_variant AS v
        WHERE v.business_id = NEW.business_id AND v.product_variant_id = NEW.product_variant_id;
        NEW.margin_pct := greatest(-99999, round(100 * (NEW.price - cost) / NEW.price, 4));
    END IF;

    SELECT e.* INTO previous
    FROM ret.price_book_entry AS e
    WHERE e.business_id = NEW.business_id AND e.price_book_id = NEW.price_book_id
      AND e.product_variant_id = NEW.product_variant_id AND e.min_qty = NEW.min_qty
      AND e.price_book_entry_id <> NEW.price_book_entry_id
      AND e.effective_from < NEW.effective_from
      AND (e.effective_to IS NULL OR e.effective_to >= NEW.effective_from);
    IF FOUND THEN
        UPDATE ret.price_book_entry AS e
        SET effective_to = NEW.effective_from - 1
        WHERE e.business_id = previous.business_id
          AND e.price_book_entry_id = previous.price_book_entry_id;
        -- After a price for some days the one before it comes back.
        IF NEW.effective_to IS NOT NULL
           AND (previous.effective_to IS NULL OR previous.effective_to > NEW.effective_to)
        THEN
            INSERT INTO ret.price_book_entry
                (business_id, price_book_id, product_variant_id, min_qty, price,
                 compare_at_price, floor_price, effective_from, effective_to, source,
                 margin_pct, approved_at)
            VALUES (previous.business_id, previous.price_book_id, previous.product_variant_id,
                    previous.min_qty, previous.price, previous.compare_at_price,
                    previous.floor_price, NEW.effective_to + 1, previous.effective_to,
                    previous.source, previous.margin_pct, previous.approved_at);
        END IF;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.place_price_entry() IS
    'A new price ends the one before it; where it is for some days only, that one comes back
     afterwards. A price that begins later is not overrun: it is refused as an overlap.';

CREATE TRIGGER price_book_entry_place
    BEFORE INSERT OR UPDATE OF price_book_id, product_variant_id, min_qty, price, floor_price,
                               effective_from, effective_to
    ON ret.price_book_entry
    FOR EACH ROW WHEN (row_security_active('ret.price_book_entry'))
    EXECUTE FUNCTION ret.place_price_entry();


CREATE TABLE ret.price_book_assignment (
    business_id              uuid        NOT NULL,
    price_book_assignment_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    price_book_id            uuid        NOT NULL,
    sales_channel_id         uuid,
    location_id              uuid,
    customer_group_id        uuid,
    priority_no              integer     NOT NULL DEFAULT 100,
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
        REFERENCES ret.customer_group (business_id, customer_group_id),
    CONSTRAINT price_book_assignment_has_target
        CHECK (num_nonnulls(sales_channel_id, location_id, customer_group_id) >= 1),
    CONSTRAINT price_book_assignment_ends_after_start CHECK (effective_to >= effective_from),
    CONSTRAINT price_book_assignment_weekdays_bounded CHECK (weekday_mask BETWEEN 1 AND 127)
);

COMMENT ON TABLE ret.price_book_assignment IS
    'Who sees a book: whoever fits all that is set of channel, store and customer group.';
COMMENT ON COLUMN ret.price_book_assignment.priority_no IS
    '1 is asked first; of books with the same number the lower price counts.';
COMMENT ON COLUMN ret.price_book_assignment.is_exclusive IS
    'Whoever sees this book sees none that comes after it, nor the base book.';
COMMENT ON COLUMN ret.price_book_assignment.weekday_mask IS
    'On which days: 1 Monday, 2 Tuesday, 4 Wednesday, 64 Sunday, added up; NULL on all.';

-- FK, and the books of a channel.
CREATE INDEX price_book_assignment_sales_channel_idx
    ON ret.price_book_assignment (business_id, sales_channel_id)
    WHERE sales_channel_id IS NOT NULL;

-- FK, and the books of a store.
CREATE INDEX price_book_assignment_location_idx
    ON ret.price_book_assignment (business_id, location_id)
    WHERE location_id IS NOT NULL;

-- FK, and the books of a group.
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
    old_price            system_core.money    NOT NULL,
    new_price            system_core.money    NOT NULL,
    reason_text          text,
    units_on_hand        system_core.quantity NOT NULL DEFAULT 0,
    margin_impact        system_core.money    GENERATED ALWAYS AS (
                                                  round((new_price - old_price)
                                                        * units_on_hand, 2)) STORED,
    requested_at         timestamptz          NOT NULL DEFAULT now(),
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
    CONSTRAINT price_change_prices_not_negative CHECK (new_price >= 0 AND old_price >= 0),
    CONSTRAINT price_change_changes_something CHECK (new_price <> old_price),
    CONSTRAINT price_change_goes_the_way_it_says
        CHECK (CASE WHEN change_kind = 'increase' THEN new_price > old_price
                    WHEN change_kind IN ('markdown', 'clearance') THEN new_price < old_price
                    ELSE true END),
    CONSTRAINT price_change_approved_by_another
        CHECK (approved_by_user_id <> requested_by_user_id),
    CONSTRAINT price_change_approved_by_somebody
        CHECK (state IN ('draft', 'rejected') OR approved_by_user_id IS NOT NULL),
    CONSTRAINT price_change_effective_after_request CHECK (effective_at >= requested_at),
    CONSTRAINT price_change_units_not_negative CHECK (units_on_hand >= 0)
);

COMMENT ON TABLE ret.price_change IS
    'A price move that is asked for, approved by somebody else and applied when its time comes,
     with what it does to the stock on hand.';
COMMENT ON COLUMN ret.price_change.location_id IS
    'The one store that it is for, which the book is assigned to; NULL for all of the book.';
COMMENT ON COLUMN ret.price_change.units_on_hand IS 'In stock when the move was asked for.';
COMMENT ON COLUMN ret.price_change.margin_impact IS
    'What selling that stock brings more or less; below zero for a markdown.';
COMMENT ON COLUMN ret.price_change.label_printed_at IS 'When the shelf got its new label.';

-- The job that applies what is due.
CREATE INDEX price_change_due_idx
    ON ret.price_change (business_id, effective_at)
    WHERE state = 'approved';

-- FK: what somebody asked for.
CREATE INDEX price_change_requested_by_user_idx
    ON ret.price_change (business_id, requested_by_user_id);

-- FK: what somebody approved.
CREATE INDEX price_change_approved_by_user_idx
    ON ret.price_change (business_id, approved_by_user_id)
    WHERE approved_by_user_id IS NOT NULL;

-- FK: how the price of a variant moved.
CREATE INDEX price_change_product_variant_idx
    ON ret.price_change (business_id, product_variant_id);

-- FK: the moves of a book.
CREATE INDEX price_change_price_book_idx ON ret.price_change (business_id, price_book_id);

-- FK: the moves of a store.
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

CREATE TRIGGER price_change_number
    BEFORE INSERT ON ret.price_change
    FOR EACH ROW WHEN (NEW.change_number IS NULL)
    EXECUTE FUNCTION system_core.assign_document_number(
        'change_number', 'ret.price_change', 'PC-', 'price_change_id');

CREATE TRIGGER price_change_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.price_change
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["draft"],
        "transitions": {
            "draft":    ["approved", "rejected"],
            "approved": ["applied", "rejected"],
            "applied":  ["reverted"],
            "rejected": ["draft"],
            "reverted": []
        }}');

CREATE FUNCTION ret.check_price_change() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM ret.price_book_assignment AS a
                   WHERE a.business_id = NEW.business_id AND a.price_book_id = NEW.price_book_id
                     AND a.location_id = NEW.location_id)
    THEN
        RAISE EXCEPTION 'price change % is for a store that its book is not assigned to',
                        NEW.change_number
            USING ERRCODE = 'check_violation',
                  HINT = 'Change a book of the store, or leave the store out.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.check_price_change() IS
    'A move for one store changes a book that is assigned to the store.';

CREATE TRIGGER price_change_book_of_store
    BEFORE INSERT OR UPDATE OF location_id, price_book_id ON ret.price_change
    FOR EACH ROW
    WHEN (NEW.location_id IS NOT NULL AND row_security_active('ret.price_change'))
    EXECUTE FUNCTION ret.check_price_change();

CREATE FUNCTION ret.freeze_price_change() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'price change % is %, what was approved is not edited', OLD.change_number,
                    OLD.state
        USING ERRCODE = 'check_violation', HINT = 'Reject it and ask for another.';
END
$$;
COMMENT ON FUNCTION ret.freeze_price_change() IS
    'Nobody changes the price or the day of a move after it was approved.';

CREATE TRIGGER price_change_frozen
    BEFORE UPDATE ON ret.price_change
    FOR EACH ROW
    WHEN (OLD.state IN ('approved', 'applied', 'reverted')
          AND (NEW.new_price, NEW.old_price, NEW.price_book_id, NEW.product_variant_id,
               NEW.effective_at)
              IS DISTINCT FROM (OLD.new_price, OLD.old_price, OLD.price_book_id,
                                OLD.product_variant_id, OLD.effective_at))
    EXECUTE FUNCTION ret.freeze_price_change();


CREATE TABLE ret.promotion (
    business_id      uuid              NOT NULL,
    promotion_id     uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    sales_channel_id uuid,
    promotion_code   system_core.code  NOT NULL,
    title            text              NOT NULL,
    promotion_kind   text              NOT NULL,
    trigger_kind     text              NOT NULL DEFAULT 'automatic',
    starts_at        timestamptz       NOT NULL,
    ends_at          timestamptz,
    priority_no      integer           NOT NULL DEFAULT 100,
    stacking         text              NOT NULL DEFAULT 'stackable',
    stacking_group   text,
    max_redemptions  integer,
    redeemed_count   integer           NOT NULL DEFAULT 0,
    budget_amount    system_core.money,
    budget_used      system_core.money NOT NULL DEFAULT 0,
    funded_by        text              NOT NULL DEFAULT 'retailer',
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
    CONSTRAINT promotion_ends_after_start CHECK (ends_at > starts_at),
    CONSTRAINT promotion_limits_positive CHECK (max_redemptions > 0 AND budget_amount > 0),
    CONSTRAINT promotion_redeemed_at_most_allowed
        CHECK (redeemed_count >= 0 AND redeemed_count <= coalesce(max_redemptions,
                                                                  redeemed_count)),
    CONSTRAINT promotion_spends_at_most_its_budget
        CHECK (budget_used >= 0 AND budget_used <= coalesce(budget_amount, budget_used)),
    CONSTRAINT promotion_best_of_some_group
        CHECK (stacking <> 'best_of_group' OR stacking_group IS NOT NULL),
    CONSTRAINT promotion_exclusive_has_no_group
        CHECK (stacking <> 'exclusive' OR stacking_group IS NULL)
);

COMMENT ON TABLE ret.promotion IS
    'An offer with its schedule, its place among other offers, its limits and who pays for it.';
COMMENT ON COLUMN ret.promotion.sales_channel_id IS 'NULL: on all channels.';
COMMENT ON COLUMN ret.promotion.trigger_kind IS
    'coupon: only for whoever enters one of its codes.';
COMMENT ON COLUMN ret.promotion.ends_at IS 'The first moment without it; NULL until it is ended.';
COMMENT ON COLUMN ret.promotion.priority_no IS
    '1 is applied first; what comes later takes its share of what is left.';
COMMENT ON COLUMN ret.promotion.stacking IS
    'exclusive: alone or not at all; best_of_group: of its group only the one that gives most;
     stackable: with stackable ones of the same group.';
COMMENT ON COLUMN ret.promotion.stacking_group IS
    'Stackable promotions without a group are a group, too.';
COMMENT ON COLUMN ret.promotion.max_redemptions IS 'NULL: no limit.';
COMMENT ON COLUMN ret.promotion.budget_amount IS
    'What it may take off in all; the last order gets what is left of it. NULL: no limit.';

-- FK: the promotions of a channel.
CREATE INDEX promotion_sales_channel_idx
    ON ret.promotion (business_id, sales_channel_id)
    WHERE sales_channel_id IS NOT NULL;

-- add_to_cart_with_hold and place_order: what may apply to a basket now.
CREATE INDEX promotion_live_idx
    ON ret.promotion (business_id, priority_no)
    WHERE state IN ('scheduled', 'active');

ALTER TABLE ret.promotion ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.promotion
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.promotion TO app_user;
GRANT SELECT ON ret.promotion TO app_readonly;

CREATE TRIGGER promotion_touch
    BEFORE UPDATE ON ret.promotion
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER promotion_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.promotion
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["draft", "scheduled", "active"],
        "transitions": {
            "draft":     ["scheduled", "active", "ended"],
            "scheduled": ["draft", "active", "ended"],
            "active":    ["paused", "ended"],
            "paused":    ["active", "ended"],
            "ended":     []
        }}');


CREATE FUNCTION ret.is_predicate(doc jsonb) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    part jsonb;
    word text;
BEGIN
    IF jsonb_typeof(doc) <> 'object' THEN
        RETURN false;
    END IF;
    FOREACH word IN ARRAY ARRAY['and', 'or'] LOOP
        IF doc ? word THEN
            IF jsonb_typeof(doc -> word) <> 'array' OR jsonb_array_length(doc -> word) = 0
               OR (SELECT count(*) FROM jsonb_object_keys(doc)) > 1
            THEN
                RETURN false;
            END IF;
            FOR part IN SELECT p.value FROM jsonb_array_elements(doc -> word) AS p LOOP
                IF NOT ret.is_predicate(part) THEN
                    RETURN false;
                END IF;
            END LOOP;
            RETURN true;
        END IF;
    END LOOP;
    IF doc ? 'not' THEN
        RETURN (SELECT count(*) = 1 FROM jsonb_object_keys(doc))
               AND ret.is_predicate(doc -> 'not');
    END IF;
    RETURN coalesce(doc ->> 'attribute', '') ~ '\S'
           AND CASE doc ->> 'compare'
               WHEN 'eq' THEN doc ? 'value'
               WHEN 'in' THEN coalesce(jsonb_typeof(doc -> 'values') = 'array', false)
               WHEN 'gte' THEN coalesce(jsonb_typeof(doc -> 'value') = 'number', false)
               WHEN 'lte' THEN coalesce(jsonb_typeof(doc -> 'value') = 'number', false)
               WHEN 'between' THEN coalesce(jsonb_typeof(doc -> 'value') = 'number'
                                            AND jsonb_typeof(doc -> 'upper') = 'number', false)
               ELSE false END;
END
$$;
COMMENT ON FUNCTION ret.is_predicate(jsonb) IS
    'Whether a document is a tree that ret.condition_holds() understands.';

CREATE FUNCTION ret.condition_holds(doc jsonb, facts jsonb) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    fact CONSTANT jsonb := facts -> (doc ->> 'attribute');
    part jsonb;
BEGIN
    IF doc ? 'and' THEN
        FOR part IN SELECT p.value FROM jsonb_array_elements(doc -> 'and') AS p LOOP
            IF NOT ret.condition_holds(part, facts) THEN
                RETURN false;
            END IF;
        END LOOP;
        RETURN true;
    ELSIF doc ? 'or' THEN
        FOR part IN SELECT p.value FROM jsonb_array_elements(doc -> 'or') AS p LOOP
            IF ret.condition_holds(part, facts) THEN
                RETURN true;
            END IF;
        END LOOP;
        RETURN false;
    ELSIF doc ? 'not' THEN
        RETURN NOT ret.condition_holds(doc -> 'not', facts);
    END IF;
    -- A fact may have several values, as the categories of a product: one of them is enough.
    RETURN coalesce(CASE doc ->> 'compare'
        WHEN 'eq' THEN fact = doc -> 'value'
                       OR (jsonb_typeof(fact) = 'array' AND fact @> (doc -> 'value'))
        WHEN 'in' THEN EXISTS (
            SELECT FROM jsonb_array_elements(doc -> 'values') AS v
            WHERE v.value = fact OR (jsonb_typeof(fact) = 'array' AND fact @> v.value))
        WHEN 'gte' THEN jsonb_typeof(fact) = 'number'
                        AND (fact #>> '{}')::numeric >= (doc ->> 'value')::numeric
        WHEN 'lte' THEN jsonb_typeof(fact) = 'number'
                        AND (fact #>> '{}')::numeric <= (doc ->> 'value')::numeric
        WHEN 'between' THEN jsonb_typeof(fact) = 'number'
                            AND (fact #>> '{}')::numeric BETWEEN (doc ->> 'value')::numeric
                                                             AND (doc ->> 'upper')::numeric
        END, false);
END
$$;
COMMENT ON FUNCTION ret.condition_holds(jsonb, jsonb) IS
    'Whether a tree holds of facts: {"and": […]}, {"or": […]}, {"not": …} over leaves
     {"attribute", "compare": eq|in|gte|lte|between, "value"|"values", "upper"}. A fact that is not
     known makes its leaf false.';


CREATE TABLE ret.promotion_rule (
    business_id        uuid                    NOT NULL,
    promotion_rule_id  uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    promotion_id       uuid                    NOT NULL,
    product_variant_id uuid,
    product_id         uuid,
    category_id        uuid,
    brand_id           uuid,
    collection_id      uuid,
    customer_group_id  uuid,
    rule_role          text                    NOT NULL DEFAULT 'qualifier',
    rule_kind          text                    NOT NULL,
    compare            text                    NOT NULL DEFAULT 'gte',
    min_qty            system_core.quantity,
    min_amount         system_core.money,
    condition_doc      system_core.json_object,
    group_no           integer                 NOT NULL DEFAULT 1,
    is_negated         boolean                 NOT NULL DEFAULT false,
    created_at         timestamptz             NOT NULL DEFAULT now(),
    updated_at         timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, promotion_rule_id),
    FOREIGN KEY (business_id, promotion_id) REFERENCES ret.promotion (business_id, promotion_id)
        ON DELETE CASCADE,
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
        CHECK (compare IN ('eq', 'in', 'gte', 'lte', 'between')),
    CONSTRAINT promotion_rule_targets_are_goods
        CHECK (rule_role = 'qualifier'
               OR rule_kind IN ('item', 'category', 'brand', 'collection')),
    CONSTRAINT promotion_rule_names_what_its_kind_says
        CHECK (CASE rule_kind
               WHEN 'item' THEN num_nonnulls(product_variant_id, product_id)
                                = CASE WHEN compare = 'in' THEN 0 ELSE 1 END
               ELSE num_nonnulls(product_variant_id, product_id) = 0 END
               AND (category_id IS NOT NULL) = (rule_kind = 'category')
               AND (brand_id IS NOT NULL) = (rule_kind = 'brand')
               AND (collection_id IS NOT NULL) = (rule_kind = 'collection')
               AND (customer_group_id IS NOT NULL) = (rule_kind = 'customer')),
    CONSTRAINT promotion_rule_has_a_measure
        CHECK (CASE rule_kind WHEN 'basket_total' THEN min_amount IS NOT NULL
                              WHEN 'basket_qty' THEN min_qty IS NOT NULL ELSE true END),
    CONSTRAINT promotion_rule_measures_not_negative CHECK (min_qty >= 0 AND min_amount >= 0),
    CONSTRAINT promotion_rule_between_has_upper
        CHECK (compare <> 'between'
               OR coalesce(jsonb_typeof(condition_doc -> 'upper') = 'number', false)),
    CONSTRAINT promotion_rule_lists_are_conditions
        CHECK (compare <> 'in' OR condition_doc IS NOT NULL),
    CONSTRAINT promotion_rule_condition_is_a_tree
        CHECK (rule_kind NOT IN ('item', 'category', 'brand', 'collection')
               OR compare = 'between' OR ret.is_predicate(condition_doc)),
    CONSTRAINT promotion_rule_window_has_days_or_hours
        CHECK (rule_kind <> 'time_window'
               OR coalesce(condition_doc ?| ARRAY['weekdays', 'from', 'to'], false))
);

COMMENT ON TABLE ret.promotion_rule IS
    'When a promotion applies (qualifier), on what it takes something off (target), on what it
     never does (exclusion).';
COMMENT ON COLUMN ret.promotion_rule.compare IS
    'How the basket is measured by min_qty and min_amount; in: the goods are those for which
     condition_doc holds.';
COMMENT ON COLUMN ret.promotion_rule.min_qty IS
    'So many of the goods named, or of the whole basket; NULL: any.';
COMMENT ON COLUMN ret.promotion_rule.condition_doc IS
    'A tree over attributes of the goods (sku, product, brand, category, season, kind, price,
     quantity); the {"upper"} end of between; {"weekdays", "from", "to"} of a time window.';
COMMENT ON COLUMN ret.promotion_rule.group_no IS
    'All qualifiers of a group must hold, of one group at least.';
COMMENT ON COLUMN ret.promotion_rule.is_negated IS
    'A qualifier that must not hold; a target or exclusion of all other goods.';

-- FK: the rules of a promotion.
CREATE INDEX promotion_rule_promotion_idx ON ret.promotion_rule (business_id, promotion_id);

-- FK: the rules that name a variant.
CREATE INDEX promotion_rule_product_variant_idx
    ON ret.promotion_rule (business_id, product_variant_id)
    WHERE product_variant_id IS NOT NULL;

-- FK: the rules that name a product.
CREATE INDEX promotion_rule_product_idx
    ON ret.promotion_rule (business_id, product_id)
    WHERE product_id IS NOT NULL;

-- FK: the rules that name a category.
CREATE INDEX promotion_rule_category_idx
    ON ret.promotion_rule (business_id, category_id)
    WHERE category_id IS NOT NULL;

-- FK: the rules that name a brand.
CREATE INDEX promotion_rule_brand_idx
    ON ret.promotion_rule (business_id, brand_id)
    WHERE brand_id IS NOT NULL;

-- FK: the rules that name a collection.
CREATE INDEX promotion_rule_collection_idx
    ON ret.promotion_rule (business_id, collection_id)
    WHERE collection_id IS NOT NULL;

-- FK: the rules that name a group.
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
    max_amount          system_core.money,
    qualifying_qty      system_core.quantity,
    reward_qty          system_core.quantity,
    allocation          text                 NOT NULL DEFAULT 'target_only',
    tier_threshold      system_core.money,
    created_at          timestamptz          NOT NULL DEFAULT now(),
    updated_at          timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, promotion_reward_id),
    FOREIGN KEY (business_id, gift_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, promotion_id) REFERENCES ret.promotion (business_id, promotion_id)
        ON DELETE CASCADE,
    CONSTRAINT promotion_reward_kind_known
        CHECK (reward_kind IN ('percent', 'amount', 'fixed_price', 'free_item', 'shipping',
                               'points')),
    CONSTRAINT promotion_reward_applies_to_known
        CHECK (applies_to IN ('each_target', 'cheapest', 'most_expensive', 'order', 'shipping')),
    CONSTRAINT promotion_reward_allocation_known
        CHECK (allocation IN ('pro_rata', 'target_only')),
    CONSTRAINT promotion_reward_has_value
        CHECK (reward_value IS NOT NULL OR reward_kind IN ('free_item', 'shipping')),
    CONSTRAINT promotion_reward_value_bounded
        CHECK (reward_value >= 0 AND (reward_kind <> 'percent' OR reward_value <= 100)),
    CONSTRAINT promotion_reward_gives_what_is_free
        CHECK ((gift_variant_id IS NOT NULL) = (reward_kind = 'free_item')),
    CONSTRAINT promotion_reward_shipping_off_shipping
        CHECK ((reward_kind = 'shipping') = (applies_to = 'shipping')),
    CONSTRAINT promotion_reward_order_has_no_one_price
        CHECK (reward_kind <> 'fixed_price' OR applies_to <> 'order'),
    CONSTRAINT promotion_reward_limits_positive
        CHECK (max_units > 0 AND max_amount > 0 AND qualifying_qty > 0 AND reward_qty > 0),
    CONSTRAINT promotion_reward_gives_for_something
        CHECK (reward_qty IS NULL OR qualifying_qty IS NOT NULL OR reward_kind = 'free_item'),
    CONSTRAINT promotion_reward_tier_not_negative CHECK (tier_threshold >= 0)
);

COMMENT ON TABLE ret.promotion_reward IS
    'What a promotion gives, on which pieces, up to what, and how it is spread over the basket.';
COMMENT ON COLUMN ret.promotion_reward.reward_value IS
    'Percent, amount or price by kind, or points; NULL for shipping: all of it.';
COMMENT ON COLUMN ret.promotion_reward.max_units IS
    'On at most so many pieces of a basket; NULL: on as many as there are.';
COMMENT ON COLUMN ret.promotion_reward.max_amount IS 'At most so much on a basket.';
COMMENT ON COLUMN ret.promotion_reward.qualifying_qty IS
    'Buy so many; without reward_qty a fixed price is the price of so many together.';
COMMENT ON COLUMN ret.promotion_reward.reward_qty IS 'Get so many more for the reward.';
COMMENT ON COLUMN ret.promotion_reward.allocation IS
    'pro_rata: the discount of one piece is spread over all that were bought for it, so that a
     return of either gives back its share.';
COMMENT ON COLUMN ret.promotion_reward.tier_threshold IS
    'From this amount of goods on; of several tiers only the highest that is reached counts.';

-- FK: where a variant is given away.
CREATE INDEX promotion_reward_gift_variant_idx
    ON ret.promotion_reward (business_id, gift_variant_id)
    WHERE gift_variant_id IS NOT NULL;

-- FK: the rewards of a promotion.
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
    issued_at             timestamptz      NOT NULL DEFAULT now(),
    starts_at             timestamptz      NOT NULL DEFAULT now(),
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
    CONSTRAINT coupon_used_at_most_allowed
        CHECK (used_count >= 0 AND used_count <= coalesce(max_uses, used_count)),
    CONSTRAINT coupon_limits_positive CHECK (max_uses > 0 AND max_uses_per_customer > 0),
    CONSTRAINT coupon_unique_is_used_once
        CHECK (coupon_kind <> 'unique' OR coalesce(max_uses, 0) = 1),
    CONSTRAINT coupon_personal_has_owner
        CHECK ((customer_id IS NOT NULL) = (coupon_kind = 'personal')),
    CONSTRAINT coupon_expires_after_start CHECK (expires_at > starts_at),
    CONSTRAINT coupon_exhausted_when_used_up
        CHECK (state <> 'exhausted' OR used_count >= coalesce(max_uses, 0))
);

COMMENT ON TABLE ret.coupon IS
    'A code that opens a promotion: one for all, one for whoever holds it, or one of a customer.';
COMMENT ON COLUMN ret.coupon.coupon_code IS
    'Kept in capitals; it is found however it is typed.';
COMMENT ON COLUMN ret.coupon.used_count IS
    'Only rises: an order that is cancelled does not give a code back, service issues another.';
COMMENT ON COLUMN ret.coupon.max_uses_per_customer IS
    'Counted over the orders of a customer; see ret.redeem_promotion().';
COMMENT ON COLUMN ret.coupon.state IS
    'issued until it is used for the first time; exhausted follows from the count.';

-- FK: the codes of a promotion.
CREATE INDEX coupon_promotion_idx ON ret.coupon (business_id, promotion_id);

-- FK: the personal codes of a customer.
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

CREATE FUNCTION ret.count_coupon_use() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.coupon_code := upper(NEW.coupon_code);
    IF TG_OP = 'UPDATE' THEN
        IF NEW.used_count < OLD.used_count THEN
            RAISE EXCEPTION 'coupon % was used % times, that is not taken back', NEW.coupon_code,
                            OLD.used_count
                USING ERRCODE = 'check_violation', HINT = 'Issue another code.';
        ELSIF NEW.used_count > OLD.used_count AND OLD.state NOT IN ('issued', 'active') THEN
            RAISE EXCEPTION 'coupon % is %, it is not used any more', NEW.coupon_code, OLD.state
                USING ERRCODE = 'check_violation', HINT = 'Issue another code.';
        END IF;
        IF NEW.state IN ('issued', 'active', 'exhausted') AND NEW.used_count > 0 THEN
            NEW.state := CASE WHEN NEW.used_count >= NEW.max_uses THEN 'exhausted'
                              ELSE 'active' END;
        END IF;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.count_coupon_use() IS
    'The count of uses only rises, and the state of a code follows it: active with the first,
     exhausted with the last, active again where more are allowed.';

CREATE TRIGGER coupon_count
    BEFORE INSERT OR UPDATE ON ret.coupon
    FOR EACH ROW EXECUTE FUNCTION ret.count_coupon_use();

-- After coupon_count, by name: it sees the state that follows from the count.
CREATE TRIGGER coupon_state_machine
    BEFORE INSERT OR UPDATE ON ret.coupon
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["issued", "active"],
        "transitions": {
            "issued":    ["active", "exhausted", "expired", "revoked"],
            "active":    ["exhausted", "expired", "revoked"],
            "exhausted": ["active"],
            "expired":   [],
            "revoked":   []
        }}');

CREATE FUNCTION ret.check_promotion_is_whole() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    wrong text;
BEGIN
    SELECT CASE
        WHEN NOT EXISTS (SELECT FROM ret.promotion_reward AS r
                         WHERE r.business_id = NEW.business_id
                           AND r.promotion_id = NEW.promotion_id)
        THEN 'gives nothing'
        WHEN NEW.promotion_kind = 'buy_x_get_y' AND NOT EXISTS (
            SELECT FROM ret.promotion_reward AS r
            WHERE r.business_id = NEW.business_id AND r.promotion_id = NEW.promotion_id
              AND r.qualifying_qty IS NOT NULL AND r.reward_qty IS NOT NULL)
        THEN 'does not say how many to buy and to get'
        -- On equal goods: no other goods qualify.
        WHEN NEW.promotion_kind = 'buy_x_get_y' AND EXISTS (
            SELECT FROM ret.promotion_reward AS r
            WHERE r.business_id = NEW.business_id AND r.promotion_id = NEW.promotion_id
              AND r.reward_kind <> 'free_item' AND r.reward_qty > r.qualifying_qty)
             AND NOT EXISTS (
            SELECT FROM ret.promotion_rule AS r
            WHERE r.business_id = NEW.business_id AND r.promotion_id = NEW.promotion_id
              AND r.rule_role = 'qualifier'
              AND r.rule_kind IN ('item', 'category', 'brand', 'collection'))
        THEN 'gives more of the same than is bought'
        WHEN NEW.promotion_kind = 'tiered' AND EXISTS (
            SELECT FROM ret.promotion_reward AS r
            WHERE r.business_id = NEW.business_id AND r.promotion_id = NEW.promotion_id
              AND r.tier_threshold IS NULL)
        THEN 'has a tier that begins nowhere'
        WHEN NEW.promotion_kind = 'free_shipping' AND NOT EXISTS (
            SELECT FROM ret.promotion_reward AS r
            WHERE r.business_id = NEW.business_id AND r.promotion_id = NEW.promotion_id
              AND r.reward_kind = 'shipping')
        THEN 'does not take off shipping'
        END
    INTO wrong;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'promotion % % and cannot go live', NEW.promotion_code, wrong
            USING ERRCODE = 'check_violation', HINT = 'Complete its rewards and rules first.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.check_promotion_is_whole() IS
    'A promotion goes live only when its rewards are those that its kind promises.';

CREATE TRIGGER promotion_whole
    BEFORE UPDATE OF state ON ret.promotion
    FOR EACH ROW
    WHEN (NEW.state IN ('scheduled', 'active') AND OLD.state = 'draft')
    EXECUTE FUNCTION ret.check_promotion_is_whole();


CREATE FUNCTION ret.round_price(price numeric, rule text) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN price <= 0 THEN 0
                WHEN rule = 'end_99' THEN greatest(round(price + 0.01) - 0.01, 0.99)
                WHEN rule = 'end_95' THEN greatest(round(price + 0.05) - 0.05, 0.95)
                WHEN rule = 'whole' THEN greatest(round(price), 1)
                ELSE round(price, 2) END;
COMMENT ON FUNCTION ret.round_price(numeric, text) IS
    'The nearest price that ends as a book wants it: .99, .95, whole, or to the cent.';


CREATE FUNCTION ret.resolve_price(
    variant  uuid,
    channel  uuid,
    location uuid DEFAULT NULL,
    customer uuid DEFAULT NULL,
    qty      numeric DEFAULT 1,
    moment   timestamptz DEFAULT now()
) RETURNS TABLE (price numeric, compare_at numeric, price_book_id uuid)
    LANGUAGE sql STABLE ROWS 1
BEGIN ATOMIC
    WITH RECURSIVE asked AS (
        SELECT b.business_id, coalesce(h.currency, l.currency, b.currency_code) AS currency,
               d.day, 1 << (extract(isodow FROM d.day)::integer - 1) AS weekday,
               g.customer_group_id, coalesce(g.default_discount_pct, 0) AS group_discount
        FROM tenant_mgmt.business AS b
        LEFT JOIN ret.sales_channel AS h
            ON h.business_id = b.business_id AND h.sales_channel_id = resolve_price.channel
        LEFT JOIN ret.location AS l
            ON l.business_id = b.business_id AND l.location_id = resolve_price.location
        LEFT JOIN ret.customer AS c
            ON c.business_id = b.business_id AND c.customer_id = resolve_price.customer
           AND c.status = 'active'
        LEFT JOIN ret.customer_group AS g
            ON g.business_id = b.business_id AND g.customer_group_id = c.customer_group_id
        CROSS JOIN LATERAL (
            SELECT (moment AT TIME ZONE coalesce(l.timezone, b.time_zone))::date AS day
        ) AS d
        WHERE b.business_id = tenant_mgmt.current_business_id()
    ), assigned AS (
        SELECT a.price_book_id, a.priority_no, a.is_exclusive,
               a.customer_group_id IS NOT NULL AS is_of_group
        FROM asked AS q
        JOIN ret.price_book_assignment AS a
            ON a.business_id = q.business_id
           AND (a.sales_channel_id IS NULL OR a.sales_channel_id = resolve_price.channel)
           AND (a.location_id IS NULL OR a.location_id = resolve_price.location)
           AND (a.customer_group_id IS NULL OR a.customer_group_id = q.customer_group_id)
           AND a.effective_from <= q.day AND (a.effective_to IS NULL OR a.effective_to >= q.day)
           AND (a.weekday_mask IS NULL OR a.weekday_mask & q.weekday <> 0)
        -- A book that is not in force hides no other.
        JOIN ret.price_book AS b
            ON b.business_id = a.business_id AND b.price_book_id = a.price_book_id
           AND b.state = 'active' AND b.currency = q.currency
           AND b.effective_from <= q.day AND (b.effective_to IS NULL OR b.effective_to >= q.day)
    ), chain AS (
        SELECT a.price_book_id, a.priority_no, a.is_of_group, 0 AS depth
        FROM assigned AS a
        WHERE a.priority_no <= ALL (SELECT x.priority_no FROM assigned AS x WHERE x.is_exclusive)
        UNION ALL
        SELECT b.fallback_book_id, k.priority_no, k.is_of_group, k.depth + 1
        FROM chain AS k
        JOIN ret.price_book AS b
            ON b.business_id = tenant_mgmt.current_business_id()
           AND b.price_book_id = k.price_book_id
        WHERE b.fallback_book_id IS NOT NULL AND k.depth < 20
    ), candidate AS (
        SELECT k.price_book_id, k.priority_no::bigint AS priority_no, k.is_of_group, k.depth
        FROM chain AS k
        UNION ALL
        SELECT b.price_book_id, 9999999999, false, 0
        FROM asked AS q
        JOIN ret.price_book AS b
            ON b.business_id = q.business_id AND b.book_kind = 'base' AND b.currency = q.currency
        WHERE NOT EXISTS (SELECT FROM assigned AS x WHERE x.is_exclusive)
    )
    SELECT p.price, CASE WHEN p.price < e.price THEN e.price ELSE e.compare_at_price END,
           k.price_book_id
    FROM asked AS q
    CROSS JOIN candidate AS k
    JOIN ret.price_book AS b
        ON b.business_id = q.business_id AND b.price_book_id = k.price_book_id
       AND b.state = 'active'
       AND b.effective_from <= q.day AND (b.effective_to IS NULL OR b.effective_to >= q.day)
    CROSS JOIN LATERAL (
        SELECT x.price, x.compare_at_price, x.floor_price
        FROM ret.price_book_entry AS x
        WHERE x.business_id = q.business_id AND x.price_book_id = k.price_book_id
          AND x.product_variant_id = resolve_price.variant
          AND x.min_qty <= greatest(resolve_price.qty, 1)
          AND x.effective_from <= q.day AND (x.effective_to IS NULL OR x.effective_to >= q.day)
        ORDER BY x.min_qty DESC
        LIMIT 1
    ) AS e
    -- A group gets its discount where the price is not one of its own.
    CROSS JOIN LATERAL (
        SELECT CASE WHEN q.group_discount = 0 OR b.book_kind IN ('clearance', 'staff')
                         OR (k.is_of_group AND k.depth = 0) THEN e.price
                    ELSE least(e.price,
                               greatest(ret.round_price(e.price * (1 - q.group_discount / 100),
                                                        b.rounding_rule), e.floor_price))
                    END AS price
    ) AS p
    ORDER BY k.priority_no, k.depth, p.price, b.priority_no, b.book_code
    LIMIT 1;
END;
COMMENT ON FUNCTION ret.resolve_price(uuid, uuid, uuid, uuid, numeric, timestamptz) IS
    'What a variant costs on a channel, in a store, for a customer, from a quantity on, on the day
     that it is there: the entry of the book that is assigned first, or of the books it falls back
     to, or of the base book. Where the price is not one of the customer''s group itself, the
     discount of the group is taken off, never below the floor. No row where nothing has a price.';


CREATE FUNCTION ret.set_price(
    book       uuid,
    variant    uuid,
    to_price   numeric,
    on_day     date,
    told_by    text DEFAULT 'manual',
    compare_at numeric DEFAULT NULL,
    approved   timestamptz DEFAULT NULL
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    made   uuid;
BEGIN
    PERFORM FROM ret.price_book AS b
    WHERE b.business_id = tenant AND b.price_book_id = book
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such price book' USING ERRCODE = 'no_data_found';
    END IF;
    UPDATE ret.price_book_entry AS e
    SET price = to_price, compare_at_price = compare_at, source = told_by, approved_at = approved
    WHERE e.business_id = tenant AND e.price_book_id = book AND e.product_variant_id = variant
      AND e.min_qty = 1 AND e.effective_from = on_day
    RETURNING e.price_book_entry_id INTO made;
    IF made IS NULL THEN
        INSERT INTO ret.price_book_entry
            (business_id, price_book_id, product_variant_id, price, compare_at_price, floor_price,
             effective_from, effective_to, source, approved_at)
        SELECT tenant, book, variant, to_price, compare_at,
               (SELECT e.floor_price
                FROM ret.price_book_entry AS e
                WHERE e.business_id = tenant AND e.price_book_id = book
                  AND e.product_variant_id = variant AND e.min_qty = 1
                  AND e.effective_from < on_day
                ORDER BY e.effective_from DESC
                LIMIT 1),
               on_day,
               (SELECT min(e.effective_from) - 1
                FROM ret.price_book_entry AS e
                WHERE e.business_id = tenant AND e.price_book_id = book
                  AND e.product_variant_id = variant AND e.min_qty = 1
                  AND e.effective_from > on_day),
               told_by, approved
        RETURNING price_book_entry_id INTO made;
    END IF;
    RETURN made;
END
$$;
COMMENT ON FUNCTION ret.set_price(uuid, uuid, numeric, date, text, numeric, timestamptz) IS
    'Gives a variant a price in a book from a day on, until the next one that is planned; the floor
     stays. Returns the entry.';


CREATE FUNCTION ret.apply_price_changes(
    most integer DEFAULT 500, moment timestamptz DEFAULT now()
) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    today  CONSTANT date := (SELECT (moment AT TIME ZONE b.time_zone)::date
                             FROM tenant_mgmt.business AS b
                             WHERE b.business_id = tenant);
    due    record;
    done   integer := 0;
BEGIN
    FOR due IN
        SELECT c.*
        FROM ret.price_change AS c
        WHERE c.business_id = tenant AND c.state = 'approved' AND c.effective_at <= moment
        ORDER BY c.effective_at, c.change_number
        LIMIT most
        FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        PERFORM ret.set_price(
            due.price_book_id, due.product_variant_id, due.new_price, today,
            CASE WHEN due.change_kind IN ('markdown', 'clearance') THEN 'markdown'
                 ELSE 'manual' END,
            CASE WHEN due.change_kind IN ('markdown', 'clearance') THEN due.old_price END,
            moment);
        UPDATE ret.price_change AS c
        SET state = 'applied'
        WHERE c.business_id = tenant AND c.price_change_id = due.price_change_id;
        done := done + 1;
    END LOOP;
    RETURN done;
END
$$;
COMMENT ON FUNCTION ret.apply_price_changes(integer, timestamptz) IS
    'Applies approved moves whose time has come, from the day of the call on; what another call
     holds is left to it. Whoever approved a move approved a price under the floor, too.';


CREATE FUNCTION ret.revert_price_change(change uuid, moment timestamptz DEFAULT now())
    RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    undone ret.price_change;
BEGIN
    SELECT c.* INTO undone
    FROM ret.price_change AS c
    WHERE c.business_id = tenant AND c.price_change_id = change
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such price change' USING ERRCODE = 'no_data_found';
    END IF;
    UPDATE ret.price_change AS c
    SET state = 'reverted'
    WHERE c.business_id = tenant AND c.price_change_id = change;
    RETURN ret.set_price(
        undone.price_book_id, undone.product_variant_id, undone.old_price,
        (SELECT (moment AT TIME ZONE b.time_zone)::date
         FROM tenant_mgmt.business AS b
         WHERE b.business_id = tenant), 'manual', NULL, moment);
END
$$;
COMMENT ON FUNCTION ret.revert_price_change(uuid, timestamptz) IS
    'Takes an applied move back: the old price holds again from the day of the call on.';


CREATE FUNCTION ret.spread(total numeric, shares numeric[], caps numeric[]) RETURNS numeric[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH part AS (
        SELECT u.place, u.cap,
               coalesce(100 * spread.total * u.share / nullif(sum(u.share) OVER (), 0), 0)
                   AS exact
        FROM unnest(shares, caps) WITH ORDINALITY AS u (share, cap, place)
    ), whole AS (
        SELECT p.place, p.cap, p.exact,
               least(floor(p.exact), 100 * p.cap) AS cents
        FROM part AS p
    ), dealt AS (
        SELECT w.place, w.cents, 100 * w.cap > w.cents AND w.exact > 0 AS has_room,
               row_number() OVER (
                   ORDER BY (100 * w.cap > w.cents AND w.exact > 0) DESC,
                            w.exact - w.cents DESC, w.place) AS turn,
               round(100 * spread.total) - sum(w.cents) OVER () AS left_over
        FROM whole AS w
    )
    SELECT coalesce(array_agg((d.cents + (d.has_room AND d.turn <= d.left_over)::integer) / 100
                              ORDER BY d.place), '{}')
    FROM dealt AS d;
END;
COMMENT ON FUNCTION ret.spread(numeric, numeric[], numeric[]) IS
    'Spreads an amount over lines in proportion to their shares, in whole cents: the parts sum to
     it, and none is more than its cap. The cents left over go where most was cut off.';


CREATE FUNCTION ret.basket_lines(basket jsonb)
    RETURNS TABLE (
        line_no            integer,
        line               text,
        product_variant_id uuid,
        product_id         uuid,
        brand_id           uuid,
        categories         uuid[],
        quantity           numeric,
        amount             numeric,
        is_promotable      boolean,
        facts              jsonb
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH RECURSIVE asked AS (
        SELECT j.line_no, j.line, j.variant, j.quantity,
               round(j.quantity * j.unit_price, 2) AS amount, j.unit_price, v.sku, p.product_id,
               p.product_code, p.product_kind, p.season_code, p.brand_id, p.main_category_id
        FROM JSON_TABLE(basket, '$[*]' COLUMNS (
                 line_no    FOR ORDINALITY,
                 line       text    PATH '$.line',
                 variant    uuid    PATH '$.variant',
                 quantity   numeric PATH '$.quantity',
                 unit_price numeric PATH '$.unit_price')) AS j
        LEFT JOIN ret.product_variant AS v
            ON v.business_id = tenant_mgmt.current_business_id()
           AND v.product_variant_id = j.variant
        LEFT JOIN ret.product AS p
            ON p.business_id = v.business_id AND p.product_id = v.product_id
    ), above AS (
        SELECT a.product_id, a.main_category_id AS category_id
        FROM asked AS a
        WHERE a.product_id IS NOT NULL
        UNION
        SELECT c.product_id, c.category_id
        FROM asked AS a
        JOIN ret.product_category AS c
            ON c.business_id = tenant_mgmt.current_business_id() AND c.product_id = a.product_id
        UNION
        SELECT u.product_id, c.parent_category_id
        FROM above AS u
        JOIN ret.category AS c
            ON c.business_id = tenant_mgmt.current_business_id() AND c.category_id = u.category_id
        WHERE c.parent_category_id IS NOT NULL
    )
    SELECT a.line_no, a.line, a.variant, a.product_id, a.brand_id, coalesce(k.ids, '{}'),
           a.quantity, a.amount,
           coalesce(a.product_kind <> 'gift_card', false) AND a.quantity > 0 AND a.amount > 0,
           jsonb_build_object('sku', a.sku, 'product', a.product_code, 'kind', a.product_kind,
                              'season', a.season_code, 'brand', b.brand_code,
                              'category', coalesce(k.codes, '[]'), 'price', a.unit_price,
                              'quantity', a.quantity)
    FROM asked AS a
    LEFT JOIN ret.brand AS b
        ON b.business_id = tenant_mgmt.current_business_id() AND b.brand_id = a.brand_id
    LEFT JOIN LATERAL (
        SELECT array_agg(c.category_id) AS ids, jsonb_agg(c.category_code) AS codes
        FROM above AS u
        JOIN ret.category AS c
            ON c.business_id = tenant_mgmt.current_business_id() AND c.category_id = u.category_id
        WHERE u.product_id = a.product_id
    ) AS k ON true;
END;
COMMENT ON FUNCTION ret.basket_lines(jsonb) IS
    'The lines of a basket, [{"line", "variant", "quantity", "unit_price"}], with what rules ask
     about their goods. Nothing is taken off gift cards, nor off what is not in the catalogue.';


CREATE FUNCTION ret.measures(found numeric, compare text, bound numeric, upper numeric)
    RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE compare WHEN 'eq' THEN found = bound
                        WHEN 'lte' THEN found <= bound
                        WHEN 'between' THEN found BETWEEN bound AND upper
                        ELSE found >= bound END;
COMMENT ON FUNCTION ret.measures(numeric, text, numeric, numeric) IS
    'Whether a figure of a basket is as a rule wants it.';


CREATE FUNCTION ret.in_time_window(clock timestamp, doc jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (NOT doc ? 'weekdays'
            OR doc -> 'weekdays' @> to_jsonb(extract(isodow FROM clock)::integer))
           AND CASE WHEN coalesce(doc ->> 'from', '00:00')::time
                         <= coalesce(doc ->> 'to', '24:00')::time
                    THEN clock::time >= coalesce(doc ->> 'from', '00:00')::time
                         AND clock::time < coalesce(doc ->> 'to', '24:00')::time
                    ELSE clock::time >= (doc ->> 'from')::time
                         OR clock::time < (doc ->> 'to')::time END;
COMMENT ON FUNCTION ret.in_time_window(timestamp, jsonb) IS
    'Whether a clock on the wall is in {"weekdays": [1 Monday … 7 Sunday], "from", "to"}; a
     window that ends before it begins goes past midnight.';


CREATE FUNCTION ret.coupon_refusal(
    code        text,
    customer    uuid DEFAULT NULL,
    used_before integer DEFAULT 0,
    moment      timestamptz DEFAULT now()
) RETURNS text
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT coalesce((
            SELECT CASE
                WHEN c.state = 'revoked' THEN 'revoked'
                WHEN c.state = 'exhausted' OR c.used_count >= c.max_uses THEN 'used up'
                WHEN c.state = 'expired' OR c.expires_at <= moment THEN 'expired'
                WHEN c.starts_at > moment THEN 'not yet valid'
                WHEN c.customer_id <> customer OR (c.customer_id IS NOT NULL AND customer IS NULL)
                THEN 'of another customer'
                WHEN used_before >= c.max_uses_per_customer THEN 'used by this customer'
                WHEN p.state NOT IN ('scheduled', 'active') OR p.starts_at > moment
                     OR p.ends_at <= moment
                THEN 'no promotion now'
                WHEN p.redeemed_count >= p.max_redemptions OR p.budget_used >= p.budget_amount
                THEN 'promotion used up'
                ELSE '' END
            FROM ret.coupon AS c
            JOIN ret.promotion AS p
                ON p.business_id = c.business_id AND p.promotion_id = c.promotion_id
            WHERE c.business_id = tenant_mgmt.current_business_id()
              AND c.coupon_code = upper(trim(code))), 'unknown')
    );
END
$$;
COMMENT ON FUNCTION ret.coupon_refusal(text, uuid, integer, timestamptz) IS
    'Why a code opens nothing for a customer who used it so often before; empty where it does. A
     code that does may still find nothing in the basket that its promotion is for.';


CREATE FUNCTION ret.qualifying_promotions(
    basket   jsonb,
    channel  uuid,
    location uuid DEFAULT NULL,
    customer uuid DEFAULT NULL,
    codes    text[] DEFAULT '{}',
    moment   timestamptz DEFAULT now()
) RETURNS TABLE (
        promotion_id   uuid,
        promotion_code text,
        priority_no    integer,
        stacking       text,
        stacking_group text,
        coupon_id      uuid,
        budget_left    numeric,
        targets        boolean[],
        pool           boolean[],
        whole          boolean[]
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH line AS MATERIALIZED (
        SELECT l.* FROM ret.basket_lines(basket) AS l
    ), asked AS MATERIALIZED (
        SELECT moment AT TIME ZONE coalesce(l.timezone, b.time_zone) AS clock,
               c.customer_group_id, c.order_count
        FROM tenant_mgmt.business AS b
        LEFT JOIN ret.location AS l
            ON l.business_id = b.business_id AND l.location_id = qualifying_promotions.location
        LEFT JOIN ret.customer AS c
            ON c.business_id = b.business_id AND c.customer_id = qualifying_promotions.customer
           AND c.status = 'active'
        WHERE b.business_id = tenant_mgmt.current_business_id()
    ), live AS MATERIALIZED (
        SELECT p.promotion_id, p.promotion_code, p.priority_no, p.stacking, p.stacking_group,
               k.coupon_id, p.budget_amount - p.budget_used AS budget_left
        FROM ret.promotion AS p
        LEFT JOIN LATERAL (
            SELECT c.coupon_id
            FROM ret.coupon AS c
            WHERE c.business_id = p.business_id AND c.promotion_id = p.promotion_id
              AND c.coupon_code IN (SELECT upper(trim(t.code)) FROM unnest(codes) AS t (code))
              AND ret.coupon_refusal(c.coupon_code, customer, 0, moment) = ''
            -- A personal code before one that anybody may use.
            ORDER BY c.customer_id IS NULL, c.expires_at, c.coupon_code
            LIMIT 1
        ) AS k ON p.trigger_kind = 'coupon'
        WHERE p.business_id = tenant_mgmt.current_business_id()
          AND p.state IN ('scheduled', 'active') AND p.starts_at <= moment
          AND (p.ends_at IS NULL OR p.ends_at > moment)
          AND (p.sales_channel_id IS NULL OR p.sales_channel_id = channel)
          AND (p.max_redemptions IS NULL OR p.redeemed_count < p.max_redemptions)
          AND (p.budget_amount IS NULL OR p.budget_used < p.budget_amount)
          AND (p.trigger_kind = 'automatic' OR k.coupon_id IS NOT NULL)
    ), rule AS MATERIALIZED (
        SELECT r.*, r.rule_kind IN ('item', 'category', 'brand', 'collection') AS is_of_goods,
               r.rule_role <> 'qualifier' AND r.is_negated AS is_of_others
        FROM live AS p
        JOIN ret.promotion_rule AS r
            ON r.business_id = tenant_mgmt.current_business_id()
           AND r.promotion_id = p.promotion_id
    ), hit AS MATERIALIZED (
        SELECT r.promotion_id, r.promotion_rule_id, r.rule_role, l.line_no
        FROM rule AS r
        CROSS JOIN line AS l
        WHERE r.is_of_goods AND l.is_promotable
          AND r.is_of_others <> (
              CASE r.rule_kind
              WHEN 'item' THEN (r.product_variant_id IS NULL
                                OR r.product_variant_id = l.product_variant_id)
                               AND (r.product_id IS NULL OR r.product_id = l.product_id)
              WHEN 'category' THEN r.category_id = ANY (l.categories)
              WHEN 'brand' THEN coalesce(r.brand_id = l.brand_id, false)
              ELSE EXISTS (SELECT FROM ret.collection_product AS c
                           WHERE c.business_id = r.business_id
                             AND c.collection_id = r.collection_id
                             AND c.product_id = l.product_id
                             AND (c.removed_at IS NULL OR c.removed_at > moment)) END
              AND (r.condition_doc IS NULL OR r.compare = 'between'
                   OR ret.condition_holds(r.condition_doc, l.facts)))
    ), usable AS MATERIALIZED (
        SELECT p.promotion_id, l.line_no, l.quantity, l.amount
        FROM live AS p
        CROSS JOIN line AS l
        WHERE l.is_promotable
          AND NOT EXISTS (SELECT FROM hit AS h
                          WHERE h.promotion_id = p.promotion_id AND h.rule_role = 'exclusion'
                            AND h.line_no = l.line_no)
    ), truth AS (
        SELECT r.promotion_id, r.group_no,
               r.is_negated <> coalesce(CASE
                   WHEN r.is_of_goods THEN g.quantity > 0
                        AND CASE WHEN r.compare IN ('lte', 'between')
                            THEN ret.measures(g.quantity, r.compare, r.min_qty,
                                              (r.condition_doc ->> 'upper')::numeric)
                            ELSE g.quantity >= coalesce(r.min_qty, 0) END
                        AND g.amount >= coalesce(r.min_amount, 0)
                   WHEN r.rule_kind = 'basket_total'
                   THEN ret.measures(w.amount, r.compare, r.min_amount,
                                     (r.condition_doc ->> 'upper')::numeric)
                   WHEN r.rule_kind = 'basket_qty'
                   THEN ret.measures(w.quantity, r.compare, r.min_qty,
                                     (r.condition_doc ->> 'upper')::numeric)
                   WHEN r.rule_kind = 'customer' THEN r.customer_group_id = q.customer_group_id
                   WHEN r.rule_kind = 'first_order' THEN q.order_count = 0
                   ELSE ret.in_time_window(q.clock, r.condition_doc) END, false) AS holds
        FROM rule AS r
        CROSS JOIN asked AS q
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(u.quantity), 0) AS quantity, coalesce(sum(u.amount), 0) AS amount
            FROM usable AS u
            WHERE u.promotion_id = r.promotion_id
        ) AS w
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(u.quantity), 0) AS quantity, coalesce(sum(u.amount), 0) AS amount
            FROM hit AS h
            JOIN usable AS u ON u.promotion_id = h.promotion_id AND u.line_no = h.line_no
            WHERE h.promotion_rule_id = r.promotion_rule_id
        ) AS g
        WHERE r.rule_role = 'qualifier'
    ), qualified AS (
        SELECT p.promotion_id
        FROM live AS p
        WHERE NOT EXISTS (SELECT FROM truth AS t WHERE t.promotion_id = p.promotion_id)
        UNION
        SELECT t.promotion_id
        FROM truth AS t
        GROUP BY t.promotion_id, t.group_no
        HAVING bool_and(t.holds)
    ), mark AS (
        SELECT p.promotion_id, l.line_no, u.line_no IS NOT NULL AS is_usable,
               coalesce(h.is_target, false) AS is_target, coalesce(h.is_pool, false) AS is_pool,
               EXISTS (SELECT FROM rule AS r
                       WHERE r.promotion_id = p.promotion_id AND r.rule_role = 'target')
                   AS has_targets
        FROM qualified AS p
        CROSS JOIN line AS l
        LEFT JOIN usable AS u ON u.promotion_id = p.promotion_id AND u.line_no = l.line_no
        LEFT JOIN LATERAL (
            SELECT bool_or(x.rule_role = 'target') AS is_target,
                   bool_or(x.rule_role = 'qualifier' AND NOT r.is_negated) AS is_pool
            FROM hit AS x
            JOIN rule AS r ON r.promotion_rule_id = x.promotion_rule_id
            WHERE x.promotion_id = p.promotion_id AND x.line_no = l.line_no
        ) AS h ON true
    )
    SELECT p.promotion_id, p.promotion_code, p.priority_no, p.stacking, p.stacking_group,
           p.coupon_id, p.budget_left,
           array_agg(m.is_usable AND CASE WHEN m.has_targets THEN m.is_target
                                          WHEN m.any_pool THEN m.is_pool
                                          ELSE true END ORDER BY m.line_no),
           array_agg(m.is_usable AND m.is_pool ORDER BY m.line_no),
           array_agg(m.is_usable AND (NOT m.has_targets OR m.is_target) ORDER BY m.line_no)
    FROM (SELECT x.*, bool_or(x.is_pool) OVER (PARTITION BY x.promotion_id) AS any_pool
          FROM mark AS x) AS m
    JOIN live AS p ON p.promotion_id = m.promotion_id
    GROUP BY p.promotion_id, p.promotion_code, p.priority_no, p.stacking, p.stacking_group,
             p.coupon_id, p.budget_left;
END;
COMMENT ON FUNCTION ret.qualifying_promotions(jsonb, uuid, uuid, uuid, text[], timestamptz) IS
    'The promotions that are on, not used up, opened by a code where they need one, and of which
     one group of qualifiers holds for the basket; with the lines that they take something off
     (targets), that qualify (pool), and that count for the order as a whole.';


CREATE FUNCTION ret.reward_parts(
    reward     ret.promotion_reward,
    quantities numeric[],
    amounts    numeric[],
    aim        boolean[],
    pool       boolean[],
    room       numeric
) RETURNS numeric[]
    LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    units  numeric;
    bought numeric;
    sets   numeric;
    wanted numeric;
    cheap  CONSTANT boolean := reward.applies_to = 'cheapest'
                               OR (reward.reward_qty IS NOT NULL
                                   AND reward.applies_to <> 'most_expensive');
    total  numeric;
    value  numeric;
    cuts   numeric[];
BEGIN
    SELECT coalesce(sum(l.quantity) FILTER (WHERE l.is_aim), 0),
           coalesce(sum(l.quantity) FILTER (WHERE l.is_pool AND NOT l.is_aim), 0)
    INTO units, bought
    FROM unnest(quantities, aim, pool) AS l (quantity, is_aim, is_pool);

    -- How often the offer is earned: by other goods, or by pieces of the same.
    sets := CASE WHEN reward.qualifying_qty IS NULL THEN NULL
                 WHEN bought > 0 THEN floor(bought / reward.qualifying_qty)
                 WHEN reward.reward_qty IS NULL THEN floor(units / reward.qualifying_qty)
                 ELSE floor(units / (reward.qualifying_qty + reward.reward_qty)) END;
    wanted := CASE WHEN sets = 0 THEN 0
                   WHEN sets > 0 AND reward.reward_qty IS NOT NULL THEN sets * reward.reward_qty
                   WHEN sets > 0 AND reward.reward_kind = 'fixed_price'
                   THEN sets * reward.qualifying_qty
                   WHEN reward.reward_kind = 'free_item' THEN coalesce(reward.reward_qty, 1)
                   WHEN reward.applies_to IN ('cheapest', 'most_expensive')
                   THEN coalesce(reward.max_units, 1)
                   ELSE units END;
    wanted := least(wanted, units, reward.max_units);
    IF wanted <= 0 OR room <= 0 THEN
        RETURN array_fill(0::numeric, ARRAY[cardinality(quantities)]);
    END IF;

    SELECT sum(p.value), array_agg(CASE
               WHEN reward.reward_kind = 'percent' THEN p.value * reward.reward_value / 100
               WHEN reward.reward_kind = 'free_item' THEN p.value
               WHEN reward.applies_to = 'order' THEN p.value
               WHEN reward.reward_kind = 'amount'
               THEN least(p.value, reward.reward_value * p.taken)
               -- So many for one price: what they cost less that, by what each costs.
               WHEN reward.qualifying_qty IS NOT NULL AND reward.reward_qty IS NULL THEN p.value
               ELSE greatest(0, p.value - reward.reward_value * p.taken) END ORDER BY p.place)
    INTO value, cuts
    FROM (
        SELECT n.place, n.taken, n.amount * n.taken / nullif(n.quantity, 0) AS value
        FROM (
            SELECT l.place, l.quantity, l.amount,
                   CASE WHEN l.is_aim
                        THEN least(l.quantity, greatest(0, wanted - coalesce(sum(l.quantity)
                             FILTER (WHERE l.is_aim) OVER (
                                 ORDER BY CASE WHEN l.is_aim THEN 0 ELSE 1 END,
                                          CASE WHEN cheap THEN 1 ELSE -1 END
                                          * l.amount / nullif(l.quantity, 0), l.place
                                 ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)))
                        ELSE 0 END AS taken
            FROM unnest(quantities, amounts, aim) WITH ORDINALITY
                AS l (quantity, amount, is_aim, place)
        ) AS n
    ) AS p;
    cuts := ARRAY(SELECT coalesce(c.cut, 0)
                  FROM unnest(cuts) WITH ORDINALITY AS c (cut, place) ORDER BY c.place);
    total := CASE
        WHEN reward.reward_kind = 'amount' AND reward.applies_to = 'order'
        THEN least(reward.reward_value, value)
        WHEN reward.reward_kind = 'fixed_price' AND reward.qualifying_qty IS NOT NULL
             AND reward.reward_qty IS NULL
        THEN greatest(0, value - floor(wanted / reward.qualifying_qty) * reward.reward_value)
        ELSE (SELECT sum(c.cut) FROM unnest(cuts) AS c (cut)) END;
    total := least(round(total, 2), room, reward.max_amount);
    IF reward.allocation = 'pro_rata' AND reward.applies_to IN ('cheapest', 'most_expensive')
    THEN
        cuts := ARRAY(SELECT CASE WHEN l.is_aim OR l.is_pool THEN l.amount ELSE 0 END
                      FROM unnest(amounts, aim, pool) WITH ORDINALITY
                          AS l (amount, is_aim, is_pool, place)
                      ORDER BY l.place);
    END IF;
    RETURN ret.spread(total, cuts, amounts);
END
$$;
COMMENT ON FUNCTION ret.reward_parts(
    ret.promotion_reward, numeric[], numeric[], boolean[], boolean[], numeric) IS
    'What one reward takes off each line of a basket whose lines still cost so much, and at most so
     much in all (room). The lines it aims at give the pieces, the pool may earn them.';


CREATE FUNCTION ret.promotion_parts(
    promotion  uuid,
    variants   uuid[],
    quantities numeric[],
    amounts    numeric[],
    shipping   numeric,
    targets    boolean[],
    pool       boolean[],
    whole      boolean[],
    budget     numeric DEFAULT NULL
) RETURNS numeric[]
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    lines  CONSTANT integer := cardinality(quantities);
    costs  numeric[] := amounts;
    given  numeric[] := array_fill(0::numeric, ARRAY[lines + 1]);
    goods  CONSTANT numeric := (SELECT coalesce(sum(l.amount), 0)
                                FROM unnest(amounts, whole) AS l (amount, counts)
                                WHERE l.counts);
    room   numeric;
    part   numeric[];
    reward ret.promotion_reward;
BEGIN
    FOR reward IN
        SELECT r.*
        FROM ret.promotion_reward AS r
        WHERE r.business_id = tenant_mgmt.current_business_id()
          AND r.promotion_id = promotion_parts.promotion AND r.reward_kind <> 'points'
          AND (r.tier_threshold IS NULL
               OR r.tier_threshold = (SELECT max(x.tier_threshold)
                                      FROM ret.promotion_reward AS x
                                      WHERE x.business_id = r.business_id
                                        AND x.promotion_id = r.promotion_id
                                        AND x.tier_threshold <= goods))
        ORDER BY r.tier_threshold NULLS FIRST, r.reward_kind, r.promotion_reward_id
    LOOP
        room := coalesce(budget, 999999999999) - (SELECT sum(g.amount)
                                                  FROM unnest(given) AS g (amount));
        IF reward.reward_kind = 'shipping' THEN
            given[lines + 1] := given[lines + 1]
                + greatest(0, least(shipping - given[lines + 1],
                                    reward.reward_value, reward.max_amount, room));
        ELSE
            part := ret.reward_parts(
                reward, quantities, costs,
                CASE WHEN reward.reward_kind = 'free_item'
                     THEN ARRAY(SELECT l.variant = reward.gift_variant_id
                                FROM unnest(variants) WITH ORDINALITY AS l (variant, place)
                                ORDER BY l.place)
                     WHEN reward.applies_to = 'order' THEN whole ELSE targets END,
                pool, room);
            FOR i IN 1 .. lines LOOP
                given[i] := given[i] + part[i];
                costs[i] := costs[i] - part[i];
            END LOOP;
        END IF;
    END LOOP;
    RETURN given;
END
$$;
COMMENT ON FUNCTION ret.promotion_parts(
    uuid, uuid[], numeric[], numeric[], numeric, boolean[], boolean[], boolean[], numeric) IS
    'What all rewards of a promotion take off the lines of a basket and, as the last element, off
     its shipping, each from what those before it left; never more than its budget.';


CREATE FUNCTION ret.promote_basket(
    basket   jsonb,
    channel  uuid,
    location uuid DEFAULT NULL,
    customer uuid DEFAULT NULL,
    codes    text[] DEFAULT '{}',
    shipping numeric DEFAULT 0,
    moment   timestamptz DEFAULT now()
) RETURNS TABLE (
        promotion_id uuid,
        line         text,
        amount       numeric,
        coupon_id    uuid,
        points       numeric
    )
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    keys       text[];
    variants   uuid[];
    quantities numeric[];
    amounts    numeric[];
    freight    numeric := shipping;
    offer      record;
    part       numeric[];
    bonus      numeric;
    taken      text[] := '{}';
    lines      integer;
BEGIN
    SELECT array_agg(l.line ORDER BY l.line_no),
           array_agg(l.product_variant_id ORDER BY l.line_no),
           array_agg(l.quantity ORDER BY l.line_no), array_agg(l.amount ORDER BY l.line_no),
           count(*)
    INTO keys, variants, quantities, amounts, lines
    FROM ret.basket_lines(basket) AS l;
    IF lines = 0 THEN
        RETURN;
    END IF;

    FOR offer IN
        SELECT w.*
        FROM (
            SELECT q.*, v.alone,
                   row_number() OVER (
                       PARTITION BY CASE WHEN q.stacking = 'best_of_group' THEN q.stacking_group
                                         ELSE q.promotion_id::text END
                       ORDER BY v.alone DESC, q.priority_no, q.promotion_code) AS rank_in_group
            FROM ret.qualifying_promotions(basket, channel, location, customer, codes, moment) AS q
            CROSS JOIN LATERAL (
                SELECT sum(g.amount) AS alone
                FROM unnest(ret.promotion_parts(
                    q.promotion_id, variants, quantities, amounts, shipping, q.targets, q.pool,
                    q.whole, q.budget_left)) AS g (amount)
            ) AS v
        ) AS w
        WHERE w.rank_in_group = 1
        ORDER BY w.priority_no, w.alone DESC, w.promotion_code
    LOOP
        CONTINUE WHEN taken <> '{}' AND offer.stacking = 'exclusive';
        -- Stackable ones go together within their group only.
        CONTINUE WHEN offer.stacking = 'stackable'
                      AND EXISTS (SELECT FROM unnest(taken) AS t (what)
                                  WHERE t.what <> 'best'
                                    AND t.what <> 'group ' || coalesce(offer.stacking_group, ''));
        part := ret.promotion_parts(
            offer.promotion_id, variants, quantities, amounts, freight, offer.targets, offer.pool,
            offer.whole, offer.budget_left);
        SELECT sum(r.reward_value) INTO bonus
        FROM ret.promotion_reward AS r
        WHERE r.business_id = tenant_mgmt.current_business_id()
          AND r.promotion_id = offer.promotion_id AND r.reward_kind = 'points'
          AND (r.tier_threshold IS NULL
               OR r.tier_threshold <= (SELECT coalesce(sum(l.amount), 0)
                                       FROM unnest(amounts, offer.whole) AS l (amount, counts)
                                       WHERE l.counts));
        CONTINUE WHEN 0 = ALL (part) AND bonus IS NULL;

        FOR i IN 1 .. lines LOOP
            IF part[i] > 0 THEN
                amounts[i] := amounts[i] - part[i];
                promotion_id := offer.promotion_id;
                line := keys[i];
                amount := part[i];
                coupon_id := offer.coupon_id;
                points := NULL;
                RETURN NEXT;
            END IF;
        END LOOP;
        IF part[lines + 1] > 0 OR bonus IS NOT NULL THEN
            freight := freight - part[lines + 1];
            promotion_id := offer.promotion_id;
            line := NULL;
            amount := part[lines + 1];
            coupon_id := offer.coupon_id;
            points := bonus;
            RETURN NEXT;
        END IF;
        EXIT WHEN offer.stacking = 'exclusive';
        taken := taken || CASE WHEN offer.stacking = 'best_of_group' THEN 'best'
                               ELSE 'group ' || coalesce(offer.stacking_group, '') END;
    END LOOP;
END
$$;
COMMENT ON FUNCTION ret.promote_basket(
    jsonb, uuid, uuid, uuid, text[], numeric, timestamptz) IS
    'What the promotions of the moment take off a basket, [{"line", "variant", "quantity",
     "unit_price"}]: a row per promotion and line, and one without a line for what it takes off
     shipping and the points it brings. By priority, each from what those before it left; an
     exclusive one alone; of a best_of_group the one that gives most; stackable ones with those of
     their group. Changes nothing: ret.redeem_promotion() counts what an order used.';


CREATE FUNCTION ret.redeem_promotion(
    promotion   uuid,
    gives       numeric,
    coupon      uuid DEFAULT NULL,
    customer    uuid DEFAULT NULL,
    used_before integer DEFAULT 0,
    moment      timestamptz DEFAULT now()
) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    offer  ret.promotion;
    code   ret.coupon;
    why    text;
BEGIN
    -- The code first, then the promotion: everybody locks in this order.
    IF coupon IS NOT NULL THEN
        SELECT c.* INTO code
        FROM ret.coupon AS c
        WHERE c.business_id = tenant AND c.coupon_id = coupon
          AND c.promotion_id = redeem_promotion.promotion
        FOR NO KEY UPDATE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the promotion has no such coupon' USING ERRCODE = 'no_data_found';
        END IF;
    END IF;
    SELECT p.* INTO offer
    FROM ret.promotion AS p
    WHERE p.business_id = tenant AND p.promotion_id = redeem_promotion.promotion
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such promotion' USING ERRCODE = 'no_data_found';
    END IF;
    IF gives < 0 THEN
        RAISE EXCEPTION 'a promotion gives something, not %', gives
            USING ERRCODE = 'check_violation';
    END IF;
    why := CASE
        WHEN coupon IS NOT NULL
             AND ret.coupon_refusal(code.coupon_code, customer, used_before, moment) <> ''
        THEN format('coupon %s: %s', code.coupon_code,
                    ret.coupon_refusal(code.coupon_code, customer, used_before, moment))
        WHEN coupon IS NULL AND offer.trigger_kind = 'coupon' THEN 'it needs a coupon'
        WHEN offer.state NOT IN ('scheduled', 'active') THEN 'it is ' || offer.state
        WHEN offer.starts_at > moment OR offer.ends_at <= moment THEN 'it is not on now'
        WHEN offer.redeemed_count >= offer.max_redemptions THEN 'it is used up'
        WHEN offer.budget_used + gives > offer.budget_amount
        THEN format('only %s of its budget is left', offer.budget_amount - offer.budget_used)
        END;
    IF why IS NOT NULL THEN
        RAISE EXCEPTION 'promotion % cannot be redeemed: %', offer.promotion_code, why
            USING ERRCODE = 'check_violation', HINT = 'Price the basket again without it.';
    END IF;
    UPDATE ret.coupon AS c
    SET used_count = c.used_count + 1
    WHERE c.business_id = tenant AND c.coupon_id = coupon;
    UPDATE ret.promotion AS p
    SET redeemed_count = p.redeemed_count + 1, budget_used = p.budget_used + gives
    WHERE p.business_id = tenant AND p.promotion_id = redeem_promotion.promotion;
END
$$;
COMMENT ON FUNCTION ret.redeem_promotion(uuid, numeric, uuid, uuid, integer, timestamptz) IS
    'Counts that an order uses a promotion and its code, under their locks: of two orders that want
     the last one, the second is refused. How often the customer used the code before is counted by
     the caller, who for that locks the coupon first. An order with several promotions redeems them
     in the order of their ids.';


CREATE FUNCTION ret.release_promotion(promotion uuid, gave numeric) RETURNS void
    LANGUAGE sql
BEGIN ATOMIC
    UPDATE ret.promotion AS p
    SET redeemed_count = greatest(p.redeemed_count - 1, 0),
        budget_used = greatest(p.budget_used - gave, 0)
    WHERE p.business_id = tenant_mgmt.current_business_id()
      AND p.promotion_id = release_promotion.promotion;
END;
COMMENT ON FUNCTION ret.release_promotion(uuid, numeric) IS
    'An order that used a promotion is cancelled: limit and budget are free for another. A coupon
     stays used.';


CREATE FUNCTION ret.advance_promotions(moment timestamptz DEFAULT now()) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    moved  integer;
    done   integer;
BEGIN
    UPDATE ret.promotion AS p
    SET state = CASE WHEN p.ends_at <= moment THEN 'ended' ELSE 'active' END
    WHERE p.business_id = tenant
      AND (p.state = 'scheduled' AND p.starts_at <= moment
           OR p.state IN ('active', 'paused') AND p.ends_at <= moment);
    GET DIAGNOSTICS moved = ROW_COUNT;
    UPDATE ret.coupon AS c
    SET state = 'expired'
    WHERE c.business_id = tenant AND c.state IN ('issued', 'active') AND c.expires_at <= moment;
    GET DIAGNOSTICS done = ROW_COUNT;
    RETURN moved + done;
END
$$;
COMMENT ON FUNCTION ret.advance_promotions(timestamptz) IS
    'Starts and ends promotions whose time has come and lets codes expire; returns how many. Prices
     do not wait for it: they go by the times themselves.';


CREATE FUNCTION ret.variants_named(promotion uuid)
    RETURNS TABLE (promotion_rule_id uuid, rule_role text, product_variant_id uuid, sku text)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT DISTINCT r.promotion_rule_id, r.rule_role, v.product_variant_id, v.sku
    FROM ret.promotion_rule AS r
    CROSS JOIN LATERAL JSON_TABLE(
        r.condition_doc, 'strict $.** ? (@.attribute == "sku")' COLUMNS (
            single text PATH '$.value',
            NESTED PATH '$.values[*]' COLUMNS (listed text PATH '$'))) AS t
    JOIN ret.product_variant AS v
        ON v.business_id = r.business_id AND v.sku IN (t.single, t.listed)
    WHERE r.business_id = tenant_mgmt.current_business_id()
      AND r.promotion_id = variants_named.promotion AND r.condition_doc IS NOT NULL;
END;
COMMENT ON FUNCTION ret.variants_named(uuid) IS
    'The variants that the conditions of a promotion name by their number, wherever in the tree.';


CREATE VIEW ret.v_variant_full WITH (security_invoker = true) AS
SELECT v.business_id, v.product_variant_id, v.sku, v.title, v.status, v.list_price,
       p.product_id, p.product_code, p.title AS product_title, p.product_kind,
       b.display_name AS brand_name, c.path_text AS category_path, o.options, k.barcode,
       e.price AS base_price, e.compare_at_price, e.currency AS base_currency,
       m.file_object_id AS main_image_file_id
FROM ret.product_variant AS v
JOIN ret.product AS p ON p.business_id = v.business_id AND p.product_id = v.product_id
JOIN ret.category AS c ON c.business_id = p.business_id AND c.category_id = p.main_category_id
LEFT JOIN ret.brand AS b ON b.business_id = p.business_id AND b.brand_id = p.brand_id
LEFT JOIN LATERAL (
    SELECT jsonb_object_agg(x.option_code, y.display_name) AS options
    FROM ret.variant_option_value AS z
    JOIN ret.product_option AS x
        ON x.business_id = z.business_id AND x.product_option_id = z.product_option_id
    JOIN ret.product_option_value AS y
        ON y.business_id = z.business_id
       AND y.product_option_value_id = z.product_option_value_id
    WHERE z.business_id = v.business_id AND z.product_variant_id = v.product_variant_id
) AS o ON true
LEFT JOIN LATERAL (
    SELECT x.barcode
    FROM ret.variant_barcode AS x
    WHERE x.business_id = v.business_id AND x.product_variant_id = v.product_variant_id
      AND x.is_primary AND x.pack_level = 'each'
    ORDER BY x.barcode
    LIMIT 1
) AS k ON true
LEFT JOIN LATERAL (
    SELECT x.price, x.compare_at_price, d.currency
    FROM ret.price_book AS d
    JOIN ret.price_book_entry AS x
        ON x.business_id = d.business_id AND x.price_book_id = d.price_book_id
       AND x.product_variant_id = v.product_variant_id AND x.min_qty = 1
       AND x.effective_from <= tenant_mgmt.today()
       AND (x.effective_to IS NULL OR x.effective_to >= tenant_mgmt.today())
    WHERE d.business_id = v.business_id AND d.book_kind = 'base' AND d.state = 'active'
    -- In the currency of the variant, where there are several bases.
    ORDER BY d.currency IS DISTINCT FROM v.currency, d.currency
    LIMIT 1
) AS e ON true
LEFT JOIN LATERAL (
    SELECT x.file_object_id
    FROM ret.product_media AS x
    WHERE x.business_id = v.business_id AND x.product_id = v.product_id
      AND x.role = 'main' AND x.media_kind = 'image'
    ORDER BY x.position_no
    LIMIT 1
) AS m ON true;
COMMENT ON VIEW ret.v_variant_full IS
    'A variant with what the catalogue, the shelf and the shop say of it: product, brand, path of
     categories, options, barcode, price of the base book today, main picture.';
GRANT SELECT ON ret.v_variant_full TO app_user, app_readonly;
