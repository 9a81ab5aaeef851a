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
    'Who sees a book: whoever fits every target that is set, on a channel, in a store, of a group.';
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
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
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
        RETURN (SELECT count(*) = 1 FROM jsonb_object_keys(doc)) AND ret.is_predicate(doc -> 'not');
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
