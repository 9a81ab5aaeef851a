/*
 * Stored value: gift cards and store credit, each with a ledger.
 *
 * A gift_card is sold or given, a store_credit is owed to a customer for a return or as goodwill.
 * Either is worth the sum of its entries, which are only ever added: the trigger of the ledger
 * locks the card or credit, refuses what it does not cover or what its state does not take, numbers
 * the entry, notes the balance it left and carries it over, with the state. Nobody writes a
 * balance. gift_card_differences() and store_credit_differences() add the ledgers up again.
 *
 *   card     inactive -> active <-> depleted; blocked and cleared again; promotional ones expire
 *   credit   active <-> used; expired, void. authorise holds for an order, release gives back
 *
 * Who posts several entries does so in the order of the key of the card or credit, cards before
 * credits, both after stock and before points: two of them never wait for each other crosswise.
 * sell_gift_card() activates what an order paid for; payments (60) and refunds (70) write the
 * entries of what they take and give back. History is imported by its entries: a card starts
 * inactive, and they make it what it is.
 */

CREATE TABLE ret.gift_card (
    business_id        uuid                 NOT NULL,
    gift_card_id       uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    issued_by_order_id uuid,
    holder_customer_id uuid,
    card_number_hash   text                 NOT NULL,
    card_last4         text                 NOT NULL,
    pin_hash           text,
    card_kind          text                 NOT NULL,
    currency           system_core.currency NOT NULL,
    initial_amount     system_core.money    NOT NULL DEFAULT 0,
    loaded_amount      system_core.money    NOT NULL DEFAULT 0,
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
        CHECK (state IN ('inactive', 'active', 'blocked', 'depleted', 'expired')),
    CONSTRAINT gift_card_balance_within_loaded
        CHECK (balance_amount >= 0 AND balance_amount <= loaded_amount),
    CONSTRAINT gift_card_initial_within_loaded
        CHECK (initial_amount >= 0 AND initial_amount <= loaded_amount),
    CONSTRAINT gift_card_worth_by_state
        CHECK (CASE state WHEN 'active' THEN balance_amount > 0 WHEN 'blocked' THEN true
                          ELSE balance_amount = 0 END),
    CONSTRAINT gift_card_only_gifts_expire
        CHECK (expires_on IS NULL OR card_kind = 'promotional'),
    CONSTRAINT gift_card_expired_had_a_day CHECK (state <> 'expired' OR expires_on IS NOT NULL),
    CONSTRAINT gift_card_active_has_time
        CHECK (state IN ('inactive', 'blocked') OR activated_at IS NOT NULL),
    CONSTRAINT gift_card_last4_is_four_digits CHECK (card_last4 ~ '^[0-9]{4}$'),
    CONSTRAINT gift_card_keeps_no_number CHECK (card_number_hash !~ '^[0-9 -]{12,23}$'),
    CONSTRAINT gift_card_delivered_by_mail
        CHECK (deliver_at IS NULL OR recipient_email IS NOT NULL)
);

COMMENT ON TABLE ret.gift_card IS 'Stored value sold, physical or digital.';
COMMENT ON COLUMN ret.gift_card.card_number_hash IS
    'The number itself is nowhere: whoever reads the table cannot spend the cards.';
COMMENT ON COLUMN ret.gift_card.initial_amount IS 'What it was activated with, by its ledger.';
COMMENT ON COLUMN ret.gift_card.loaded_amount IS
    'All that was ever put on it; what comes back of a payment is not put on it anew.';
COMMENT ON COLUMN ret.gift_card.expires_on IS
    'What was paid for does not lapse; only promotional cards do, after that day.';
COMMENT ON COLUMN ret.gift_card.state IS
    'Follows the ledger; blocked by an entry, and active or depleted again by whoever clears it.';

-- FK: the gift cards by their issued by order.
CREATE INDEX gift_card_issued_by_order_idx
    ON ret.gift_card (business_id, issued_by_order_id)
    WHERE issued_by_order_id IS NOT NULL;

-- FK and customer_360: the gift cards of a customer.
CREATE INDEX gift_card_holder_customer_idx
    ON ret.gift_card (business_id, holder_customer_id)
    WHERE holder_customer_id IS NOT NULL;

-- expire_stored_value: which cards lapse.
CREATE INDEX gift_card_expiry_idx
    ON ret.gift_card (business_id, expires_on)
    WHERE expires_on IS NOT NULL AND balance_amount > 0;

ALTER TABLE ret.gift_card ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.gift_card
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.gift_card TO app_user;
GRANT SELECT ON ret.gift_card TO app_readonly;

CREATE TRIGGER gift_card_touch
    BEFORE UPDATE ON ret.gift_card
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER gift_card_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.gift_card
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["inactive"],
        "transitions": {
            "inactive": ["active", "blocked"],
            "active":   ["depleted", "blocked", "expired"],
            "depleted": ["active", "blocked"],
            "blocked":  ["active", "depleted", "expired"],
            "expired":  []
        }}');

CREATE TRIGGER gift_card_starts_empty
    BEFORE INSERT ON ret.gift_card
    FOR EACH ROW WHEN ((NEW.initial_amount, NEW.loaded_amount, NEW.balance_amount)
                       IS DISTINCT FROM (0, 0, 0))
    EXECUTE FUNCTION ret.refuse_balance_by_hand('ret.gift_card_entry');

CREATE TRIGGER gift_card_follows
    BEFORE UPDATE ON ret.gift_card
    FOR EACH ROW WHEN ((NEW.initial_amount, NEW.loaded_amount, NEW.balance_amount, NEW.currency)
                       IS DISTINCT FROM
                       (OLD.initial_amount, OLD.loaded_amount, OLD.balance_amount, OLD.currency))
    EXECUTE FUNCTION ret.refuse_balance_by_hand('ret.gift_card_entry');


CREATE TABLE ret.gift_card_entry (
    business_id        uuid              NOT NULL,
    gift_card_entry_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    gift_card_id       uuid              NOT NULL,
    sales_order_id     uuid,
    location_id        uuid,
    entry_no           integer           NOT NULL,
    entry_kind         text              NOT NULL,
    amount             system_core.money NOT NULL,
    balance_after      system_core.money NOT NULL,
    occurred_at        timestamptz       NOT NULL DEFAULT now(),
    register_label     text,
    authorisation_code system_core.code,
    idempotency_key    text              NOT NULL,
    note               text,
    created_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, gift_card_entry_id),
    UNIQUE (business_id, idempotency_key),
    UNIQUE (business_id, gift_card_id, entry_no),
    FOREIGN KEY (business_id, gift_card_id) REFERENCES ret.gift_card (business_id, gift_card_id),
    FOREIGN KEY (business_id, sales_order_id)
        REFERENCES ret.sales_order (business_id, sales_order_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    CONSTRAINT gift_card_entry_kind_known
        CHECK (entry_kind IN ('activate', 'load', 'redeem', 'refund', 'adjust', 'block',
                              'expire', 'transfer_in', 'transfer_out')),
    CONSTRAINT gift_card_entry_balance_after_not_negative CHECK (balance_after >= 0),
    CONSTRAINT gift_card_entry_sign_by_kind
        CHECK (CASE WHEN entry_kind IN ('redeem', 'expire', 'transfer_out') THEN amount < 0
                    WHEN entry_kind = 'block' THEN amount = 0
                    WHEN entry_kind = 'adjust' THEN amount <> 0
                    ELSE amount > 0 END),
    CONSTRAINT gift_card_entry_expires_to_nothing
        CHECK (entry_kind <> 'expire' OR balance_after = 0),
    CONSTRAINT gift_card_entry_no_positive CHECK (entry_no > 0),
    CONSTRAINT gift_card_entry_says_why
        CHECK (entry_kind NOT IN ('adjust', 'block') OR coalesce(note, '') ~ '\S')
);

COMMENT ON TABLE ret.gift_card_entry IS 'Ledger of a gift card; append only.';
COMMENT ON COLUMN ret.gift_card_entry.entry_no IS
    'Its number among the entries of the card, without gaps; the ledger gives it.';
COMMENT ON COLUMN ret.gift_card_entry.balance_after IS 'What the card was worth then.';

-- A card is activated once.
CREATE UNIQUE INDEX gift_card_entry_activated_once_idx
    ON ret.gift_card_entry (business_id, gift_card_id)
    WHERE entry_kind = 'activate';

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
GRANT SELECT, INSERT ON ret.gift_card_entry TO app_user;
GRANT SELECT ON ret.gift_card_entry TO app_readonly;

CREATE TRIGGER gift_card_entry_append_only
    BEFORE UPDATE OR DELETE ON ret.gift_card_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('ret.gift_card_entry');

CREATE FUNCTION ret.gift_card_takes(card_state text, kind text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT kind = ANY (CASE card_state
        WHEN 'inactive' THEN ARRAY['activate', 'transfer_in', 'block']
        WHEN 'active' THEN ARRAY['load', 'redeem', 'refund', 'adjust', 'block', 'expire',
                                 'transfer_in', 'transfer_out']
        WHEN 'depleted' THEN ARRAY['load', 'refund', 'adjust', 'block', 'transfer_in']
        -- A lost card spends nothing; its worth moves to the one that replaces it.
        WHEN 'blocked' THEN ARRAY['refund', 'adjust', 'expire', 'transfer_out']
        ELSE ARRAY[]::text[] END);
END;
COMMENT ON FUNCTION ret.gift_card_takes(text, text) IS
    'Whether a card in a state takes an entry of a kind.';

CREATE FUNCTION ret.post_gift_card() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    card   record;
    reason text;
BEGIN
    -- The card is locked before anything is decided: two tills that redeem it take turns.
    SELECT g.card_last4, g.state, g.balance_amount, g.expires_on, g.currency INTO card
    FROM ret.gift_card AS g
    WHERE g.business_id = NEW.business_id AND g.gift_card_id = NEW.gift_card_id
    FOR NO KEY UPDATE;
    SELECT coalesce(max(e.entry_no), 0) + 1 INTO NEW.entry_no
    FROM ret.gift_card_entry AS e
    WHERE e.business_id = NEW.business_id AND e.gift_card_id = NEW.gift_card_id;
    NEW.balance_after := coalesce(card.balance_amount, 0) + NEW.amount;
    reason := CASE
        WHEN NEW.balance_after < 0 THEN format('it is worth %s', card.balance_amount)
        WHEN NEW.sales_order_id IS NOT NULL
             AND EXISTS (SELECT FROM ret.sales_order AS o
                         WHERE o.business_id = NEW.business_id
                           AND o.sales_order_id = NEW.sales_order_id
                           AND o.currency <> card.currency)
            THEN 'its money is ' || card.currency
        WHEN NOT row_security_active(TG_RELID) THEN NULL
        WHEN NOT ret.gift_card_takes(card.state, NEW.entry_kind) THEN 'it is ' || card.state
        WHEN NEW.entry_kind = 'redeem' AND card.expires_on < ret.business_day()
            THEN format('it was good until %s', card.expires_on)
        WHEN NEW.entry_kind = 'expire'
             AND coalesce(card.expires_on >= ret.business_day(NEW.occurred_at), true)
            THEN 'it is still good' END;
    IF reason IS NOT NULL THEN
        RAISE EXCEPTION 'gift card …%: % of % is refused, %', card.card_last4, NEW.entry_kind,
                        NEW.amount, reason
            USING ERRCODE = 'check_violation', HINT = 'Take the rest with another tender.';
    END IF;
    UPDATE ret.gift_card AS g
    SET balance_amount = NEW.balance_after,
        initial_amount = CASE WHEN NEW.entry_kind = 'activate' THEN NEW.amount
                              ELSE g.initial_amount END,
        loaded_amount = g.loaded_amount
            + CASE WHEN NEW.entry_kind = 'refund' THEN 0 ELSE greatest(NEW.amount, 0) END,
        activated_at = CASE WHEN NEW.amount > 0 THEN coalesce(g.activated_at, NEW.occurred_at)
                            ELSE g.activated_at END,
        state = CASE WHEN NEW.entry_kind = 'block' THEN 'blocked'
                     WHEN NEW.entry_kind = 'expire' THEN 'expired'
                     WHEN g.state IN ('blocked', 'expired') THEN g.state
                     WHEN NEW.balance_after = 0 THEN 'depleted'
                     ELSE 'active' END
    WHERE g.business_id = NEW.business_id AND g.gift_card_id = NEW.gift_card_id;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.post_gift_card() IS
    'Carries an entry into its card, numbers it and notes what the card was then worth: never below
     zero, also when two tills redeem it at once, and in the money of the card. Imported history is
     not asked for the state of the card.';

CREATE TRIGGER gift_card_entry_post
    BEFORE INSERT ON ret.gift_card_entry
    FOR EACH ROW EXECUTE FUNCTION ret.post_gift_card();


CREATE FUNCTION ret.sell_gift_card(
    sales_order uuid,
    number_hash text,
    last4       text,
    worth       numeric,
    holder      uuid DEFAULT NULL
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    sale   record;
    sold   numeric;
    card   uuid;
BEGIN
    -- The order is locked: two tills do not activate what it paid for twice.
    SELECT o.order_number, o.payment_state, o.currency, o.sold_location_id INTO sale
    FROM ret.sales_order AS o
    WHERE o.business_id = tenant AND o.sales_order_id = sell_gift_card.sales_order
    FOR NO KEY UPDATE;
    SELECT coalesce(sum(l.line_total), 0) INTO sold
    FROM ret.sales_order_line AS l
    JOIN ret.product_variant AS v
        ON v.business_id = l.business_id AND v.product_variant_id = l.product_variant_id
    JOIN ret.product AS p
        ON p.business_id = v.business_id AND p.product_id = v.product_id
       AND p.product_kind = 'gift_card'
    WHERE l.business_id = tenant AND l.sales_order_id = sell_gift_card.sales_order;
    SELECT sold - coalesce(sum(e.amount), 0) INTO sold
    FROM ret.gift_card_entry AS e
    WHERE e.business_id = tenant AND e.sales_order_id = sell_gift_card.sales_order
      AND e.entry_kind = 'activate';
    IF sale.payment_state IS DISTINCT FROM 'paid' OR worth > sold THEN
        RAISE EXCEPTION 'order % is % and has % of gift cards to activate, not %',
                        sale.order_number, coalesce(sale.payment_state, 'not there'), sold, worth
            USING ERRCODE = 'check_violation', HINT = 'Sell the card first.';
    END IF;
    SELECT g.gift_card_id INTO card
    FROM ret.gift_card AS g
    WHERE g.business_id = tenant AND g.card_number_hash = number_hash;
    IF NOT FOUND THEN
        INSERT INTO ret.gift_card
            (business_id, card_number_hash, card_last4, card_kind, currency)
        VALUES (tenant, number_hash, last4, 'digital', sale.currency)
        RETURNING gift_card_id INTO card;
    END IF;
    UPDATE ret.gift_card AS g
    SET issued_by_order_id = sell_gift_card.sales_order, holder_customer_id = holder
    WHERE g.business_id = tenant AND g.gift_card_id = card;
    INSERT INTO ret.gift_card_entry
        (business_id, gift_card_id, sales_order_id, location_id, entry_kind, amount,
         idempotency_key)
    VALUES (tenant, card, sell_gift_card.sales_order, sale.sold_location_id, 'activate', worth,
            'activate ' || card);
    RETURN card;
END
$$;
COMMENT ON FUNCTION ret.sell_gift_card(uuid, text, text, numeric, uuid) IS
    'Activates a card that an order paid for: the blank one that hung at the till, or a new digital
     one; never for more than the order sold of gift cards. Returns the card.';


CREATE FUNCTION ret.transfer_gift_card(
    from_card uuid, to_card uuid, worth numeric, transfer_key text, reason text DEFAULT NULL
) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
BEGIN
    -- In the order of the cards: two that move between the same cards never wait crosswise.
    PERFORM FROM ret.gift_card AS g
    WHERE g.business_id = tenant AND g.gift_card_id IN (from_card, to_card)
    ORDER BY g.gift_card_id
    FOR NO KEY UPDATE;
    IF from_card = to_card
       OR EXISTS (SELECT FROM ret.gift_card AS a
                  JOIN ret.gift_card AS b
                      ON b.business_id = a.business_id AND b.gift_card_id = to_card
                  WHERE a.business_id = tenant AND a.gift_card_id = from_card
                    AND (a.currency <> b.currency
                         OR (a.card_kind = 'promotional') <> (b.card_kind = 'promotional')))
    THEN
        RAISE EXCEPTION 'the cards are one, or hold different money'
            USING ERRCODE = 'check_violation',
                  HINT = 'What was given does not become what was paid for.';
    ELSIF EXISTS (SELECT FROM ret.gift_card_entry AS e
                  WHERE e.business_id = tenant AND e.idempotency_key = 'out ' || transfer_key)
    THEN
        RETURN;
    END IF;
    INSERT INTO ret.gift_card_entry
        (business_id, gift_card_id, entry_kind, amount, idempotency_key, note)
    VALUES (tenant, from_card, 'transfer_out', -worth, 'out ' || transfer_key, reason),
           (tenant, to_card, 'transfer_in', worth, 'in ' || transfer_key, reason);
END
$$;
COMMENT ON FUNCTION ret.transfer_gift_card(uuid, uuid, numeric, text, text) IS
    'Moves worth between two cards, once for a key: also from a blocked card to the new one that
     replaces it.';


CREATE FUNCTION ret.gift_card_differences()
    RETURNS TABLE (gift_card_id uuid, figure text, said numeric, found numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH posted AS (
        SELECT e.gift_card_id, e.entry_no, e.entry_kind, e.amount, e.balance_after,
               row_number() OVER w AS place_no, sum(e.amount) OVER w AS balance
        FROM ret.gift_card_entry AS e
        WHERE e.business_id = tenant_mgmt.current_business_id()
        WINDOW w AS (PARTITION BY e.gift_card_id ORDER BY e.entry_no ROWS UNBOUNDED PRECEDING)
    ), ledger AS (
        SELECT p.gift_card_id, sum(p.amount) AS balance,
               sum(p.amount) FILTER (WHERE p.entry_kind = 'activate') AS initial,
               sum(p.amount) FILTER (WHERE p.amount > 0 AND p.entry_kind <> 'refund') AS loaded
        FROM posted AS p
        GROUP BY p.gift_card_id
    )
    SELECT g.gift_card_id, f.figure, f.said, f.found
    FROM ret.gift_card AS g
    LEFT JOIN ledger AS l ON l.gift_card_id = g.gift_card_id
    CROSS JOIN LATERAL (VALUES
        ('balance_amount', g.balance_amount::numeric, coalesce(l.balance, 0)),
        ('initial_amount', g.initial_amount, coalesce(l.initial, 0)),
        ('loaded_amount', g.loaded_amount, coalesce(l.loaded, 0))
    ) AS f (figure, said, found)
    WHERE g.business_id = tenant_mgmt.current_business_id() AND f.said <> f.found
    UNION ALL
    SELECT p.gift_card_id, 'entry_no', p.entry_no, p.place_no
    FROM posted AS p
    WHERE p.entry_no <> p.place_no
    UNION ALL
    SELECT p.gift_card_id, 'balance_after of ' || p.entry_no, p.balance_after, p.balance
    FROM posted AS p
    WHERE p.balance_after <> p.balance
    UNION ALL
    -- What leaves one card by a transfer comes to another.
    SELECT min(t.gift_card_id::text)::uuid, 'transfer ' || t.key, 0, sum(t.amount)
    FROM (
        SELECT e.gift_card_id, e.amount,
               regexp_replace(e.idempotency_key, '^(in|out) ', '') AS key
        FROM ret.gift_card_entry AS e
        WHERE e.business_id = tenant_mgmt.current_business_id()
          AND e.entry_kind IN ('transfer_in', 'transfer_out')
    ) AS t
    GROUP BY t.key
    HAVING sum(t.amount) <> 0;
END;
COMMENT ON FUNCTION ret.gift_card_differences() IS
    'Adds the ledgers of the gift cards up again and says where a card, a running balance or a
     transfer is not what the entries make it. No row proves them all.';


CREATE TABLE ret.store_credit (
    business_id     uuid                 NOT NULL,
    store_credit_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    customer_id     uuid                 NOT NULL,
    credit_number   text                 NOT NULL,
    credit_kind     text                 NOT NULL,
    currency        system_core.currency NOT NULL,
    initial_amount  system_core.money    NOT NULL DEFAULT 0,
    balance_amount  system_core.money    NOT NULL DEFAULT 0,
    held_amount     system_core.money    NOT NULL DEFAULT 0,
    issued_at       timestamptz          NOT NULL DEFAULT now(),
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
    CONSTRAINT store_credit_balance_amount_in_order_2
        CHECK (balance_amount + held_amount <= initial_amount),
    CONSTRAINT store_credit_held_not_negative CHECK (held_amount >= 0),
    CONSTRAINT store_credit_ended_is_empty
        CHECK (state = 'active' OR (balance_amount = 0 AND held_amount = 0)),
    CONSTRAINT store_credit_expires_after_issue
        CHECK (expires_on >= (issued_at AT TIME ZONE 'UTC')::date),
    CONSTRAINT store_credit_expired_had_a_day CHECK (state <> 'expired' OR expires_on IS NOT NULL),
    CONSTRAINT store_credit_goodwill_says_why
        CHECK (credit_kind <> 'goodwill' OR coalesce(reason_text, '') ~ '\S')
);

COMMENT ON TABLE ret.store_credit IS 'Credit note of a customer from a return or goodwill.';
COMMENT ON COLUMN ret.store_credit.initial_amount IS 'All that was issued on it, by its ledger.';
COMMENT ON COLUMN ret.store_credit.balance_amount IS 'What can be spent: without what is held.';
COMMENT ON COLUMN ret.store_credit.held_amount IS
    'Authorised for orders that have not been captured yet.';

-- FK and customer_360: the store credits of a customer.
CREATE INDEX store_credit_customer_idx ON ret.store_credit (business_id, customer_id);

-- expire_stored_value: which credits lapse.
CREATE INDEX store_credit_expiry_idx
    ON ret.store_credit (business_id, expires_on)
    WHERE expires_on IS NOT NULL AND balance_amount > 0;

ALTER TABLE ret.store_credit ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.store_credit
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.store_credit TO app_user;
GRANT SELECT ON ret.store_credit TO app_readonly;

CREATE TRIGGER store_credit_touch
    BEFORE UPDATE ON ret.store_credit
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

-- A refund of what it paid makes a used credit active again.
CREATE TRIGGER store_credit_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.store_credit
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["active"],
        "transitions": {
            "active":  ["used", "expired", "void"],
            "used":    ["active"],
            "expired": [],
            "void":    []
        }}');

CREATE TRIGGER store_credit_starts_empty
    BEFORE INSERT ON ret.store_credit
    FOR EACH ROW WHEN ((NEW.initial_amount, NEW.balance_amount, NEW.held_amount)
                       IS DISTINCT FROM (0, 0, 0))
    EXECUTE FUNCTION ret.refuse_balance_by_hand('ret.store_credit_entry');

CREATE TRIGGER store_credit_follows
    BEFORE UPDATE ON ret.store_credit
    FOR EACH ROW WHEN ((NEW.initial_amount, NEW.balance_amount, NEW.held_amount, NEW.currency,
                        NEW.customer_id)
                       IS DISTINCT FROM
                       (OLD.initial_amount, OLD.balance_amount, OLD.held_amount, OLD.currency,
                        OLD.customer_id))
    EXECUTE FUNCTION ret.refuse_balance_by_hand('ret.store_credit_entry');


CREATE TABLE ret.store_credit_entry (
    business_id           uuid              NOT NULL,
    store_credit_entry_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    actor_user_id         uuid,
    store_credit_id       uuid              NOT NULL,
    sales_order_id        uuid,
    entry_no              integer           NOT NULL,
    entry_kind            text              NOT NULL,
    amount                system_core.money NOT NULL,
    balance_after         system_core.money NOT NULL,
    occurred_at           timestamptz       NOT NULL DEFAULT now(),
    originator_kind       text              NOT NULL,
    idempotency_key       text              NOT NULL,
    note                  text,
    created_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, store_credit_entry_id),
    UNIQUE (business_id, idempotency_key),
    UNIQUE (business_id, store_credit_id, entry_no),
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
    CONSTRAINT store_credit_entry_balance_after_not_negative CHECK (balance_after >= 0),
    CONSTRAINT store_credit_entry_sign_by_kind
        CHECK (CASE WHEN entry_kind IN ('authorise', 'capture', 'void', 'expire') THEN amount < 0
                    WHEN entry_kind = 'adjust' THEN amount <> 0
                    ELSE amount > 0 END),
    CONSTRAINT store_credit_entry_ends_with_nothing
        CHECK (entry_kind NOT IN ('void', 'expire') OR balance_after = 0),
    CONSTRAINT store_credit_entry_order_is_named
        CHECK (entry_kind NOT IN ('authorise', 'capture', 'release')
               OR sales_order_id IS NOT NULL),
    CONSTRAINT store_credit_entry_no_positive CHECK (entry_no > 0)
);

COMMENT ON TABLE ret.store_credit_entry IS 'Ledger of a store credit; append only.';
COMMENT ON COLUMN ret.store_credit_entry.entry_no IS
    'Its number among the entries of the credit, without gaps; the ledger gives it.';
COMMENT ON COLUMN ret.store_credit_entry.entry_kind IS
    'authorise takes what an order holds, release gives it back; capture takes it for good.';

-- FK: the store credit entries by their actor user.
CREATE INDEX store_credit_entry_actor_user_idx
    ON ret.store_credit_entry (business_id, actor_user_id)
    WHERE actor_user_id IS NOT NULL;

-- FK: the store credit entries of a sales order.
CREATE INDEX store_credit_entry_sales_order_idx
    ON ret.store_credit_entry (business_id, sales_order_id)
    WHERE sales_order_id IS NOT NULL;

ALTER TABLE ret.store_credit_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.store_credit_entry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON ret.store_credit_entry TO app_user;
GRANT SELECT ON ret.store_credit_entry TO app_readonly;

CREATE TRIGGER store_credit_entry_append_only
    BEFORE UPDATE OR DELETE ON ret.store_credit_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('ret.store_credit_entry');

CREATE FUNCTION ret.store_credit_takes(credit_state text, kind text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT kind = ANY (CASE credit_state
        WHEN 'active' THEN ARRAY['issue', 'authorise', 'capture', 'release', 'void', 'expire',
                                 'adjust']
        WHEN 'used' THEN ARRAY['issue', 'adjust']
        ELSE ARRAY[]::text[] END);
END;
COMMENT ON FUNCTION ret.store_credit_takes(text, text) IS
    'Whether a credit in a state takes an entry of a kind.';

CREATE FUNCTION ret.post_store_credit() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    credit record;
    sold   record;
    reason text;
    holds  CONSTANT numeric := CASE WHEN NEW.entry_kind IN ('authorise', 'release')
                                    THEN -NEW.amount ELSE 0 END;
BEGIN
    -- The credit is locked before anything is decided: two orders that spend it take turns.
    SELECT c.credit_number, c.state, c.balance_amount, c.held_amount, c.expires_on, c.currency,
           c.customer_id
    INTO credit
    FROM ret.store_credit AS c
    WHERE c.business_id = NEW.business_id AND c.store_credit_id = NEW.store_credit_id
    FOR NO KEY UPDATE;
    SELECT coalesce(max(e.entry_no), 0) + 1 INTO NEW.entry_no
    FROM ret.store_credit_entry AS e
    WHERE e.business_id = NEW.business_id AND e.store_credit_id = NEW.store_credit_id;
    SELECT o.currency, o.customer_id INTO sold
    FROM ret.sales_order AS o
    WHERE o.business_id = NEW.business_id AND o.sales_order_id = NEW.sales_order_id;
    NEW.balance_after := coalesce(credit.balance_amount, 0) + NEW.amount;
    reason := CASE
        WHEN NEW.balance_after < 0 THEN format('%s is left', credit.balance_amount)
        WHEN credit.held_amount + holds < 0 THEN format('%s is held', credit.held_amount)
        WHEN NEW.entry_kind IN ('void', 'expire') AND credit.held_amount > 0
            THEN 'orders hold it'
        WHEN sold.currency <> credit.currency THEN 'its money is ' || credit.currency
        WHEN NOT row_security_active(TG_RELID) THEN NULL
        WHEN NOT ret.store_credit_takes(credit.state, NEW.entry_kind)
            THEN 'it is ' || credit.state
        WHEN NEW.entry_kind IN ('authorise', 'capture')
             AND sold.customer_id <> credit.customer_id
            THEN 'it is of another customer'
        WHEN NEW.entry_kind IN ('authorise', 'capture')
             AND credit.expires_on < ret.business_day()
            THEN format('it was good until %s', credit.expires_on)
        WHEN NEW.entry_kind = 'expire'
             AND coalesce(credit.expires_on >= ret.business_day(NEW.occurred_at), true)
            THEN 'it is still good' END;
    IF reason IS NOT NULL THEN
        RAISE EXCEPTION 'store credit %: % of % is refused, %', credit.credit_number,
                        NEW.entry_kind, NEW.amount, reason
            USING ERRCODE = 'check_violation', HINT = 'Take the rest with another tender.';
    END IF;
    UPDATE ret.store_credit AS c
    SET balance_amount = NEW.balance_after,
        held_amount = c.held_amount + holds,
        initial_amount = c.initial_amount
            + CASE WHEN NEW.entry_kind = 'issue' THEN NEW.amount ELSE 0 END,
        state = CASE WHEN NEW.entry_kind = 'void' THEN 'void'
                     WHEN NEW.entry_kind = 'expire' THEN 'expired'
                     WHEN c.state IN ('void', 'expired') THEN c.state
                     WHEN NEW.balance_after = 0 AND c.held_amount + holds = 0 THEN 'used'
                     ELSE 'active' END
    WHERE c.business_id = NEW.business_id AND c.store_credit_id = NEW.store_credit_id;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.post_store_credit() IS
    'Carries an entry into its credit, numbers it and notes what was then left: never below zero,
     also when two orders spend it at once, in the money of the credit and for its customer.
     Imported history is not asked for the state of the credit.';

CREATE TRIGGER store_credit_entry_post
    BEFORE INSERT ON ret.store_credit_entry
    FOR EACH ROW EXECUTE FUNCTION ret.post_store_credit();


CREATE FUNCTION ret.store_credit_differences()
    RETURNS TABLE (store_credit_id uuid, figure text, said numeric, found numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH posted AS (
        SELECT e.store_credit_id, e.entry_no, e.entry_kind, e.amount, e.balance_after,
               row_number() OVER w AS place_no, sum(e.amount) OVER w AS balance
        FROM ret.store_credit_entry AS e
        WHERE e.business_id = tenant_mgmt.current_business_id()
        WINDOW w AS (PARTITION BY e.store_credit_id ORDER BY e.entry_no ROWS UNBOUNDED PRECEDING)
    ), ledger AS (
        SELECT p.store_credit_id, sum(p.amount) AS balance,
               sum(p.amount) FILTER (WHERE p.entry_kind = 'issue') AS issued,
               -sum(p.amount) FILTER (WHERE p.entry_kind IN ('authorise', 'release')) AS held
        FROM posted AS p
        GROUP BY p.store_credit_id
    )
    SELECT c.store_credit_id, f.figure, f.said, f.found
    FROM ret.store_credit AS c
    LEFT JOIN ledger AS l ON l.store_credit_id = c.store_credit_id
    CROSS JOIN LATERAL (VALUES
        ('balance_amount', c.balance_amount::numeric, coalesce(l.balance, 0)),
        ('initial_amount', c.initial_amount, coalesce(l.issued, 0)),
        ('held_amount', c.held_amount, coalesce(l.held, 0))
    ) AS f (figure, said, found)
    WHERE c.business_id = tenant_mgmt.current_business_id() AND f.said <> f.found
    UNION ALL
    SELECT p.store_credit_id, 'entry_no', p.entry_no, p.place_no
    FROM posted AS p
    WHERE p.entry_no <> p.place_no
    UNION ALL
    SELECT p.store_credit_id, 'balance_after of ' || p.entry_no, p.balance_after, p.balance
    FROM posted AS p
    WHERE p.balance_after <> p.balance;
END;
COMMENT ON FUNCTION ret.store_credit_differences() IS
    'Adds the ledgers of the store credits up again and says where a credit or a running balance is
     not what the entries make it. No row proves them all.';


CREATE FUNCTION ret.expire_stored_value(moment timestamptz DEFAULT now()) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    today  CONSTANT date := ret.business_day(moment);
    lapsed record;
    ended  integer := 0;
BEGIN
    FOR lapsed IN
        SELECT g.gift_card_id, g.balance_amount, g.expires_on
        FROM ret.gift_card AS g
        WHERE g.business_id = tenant AND g.expires_on < today AND g.balance_amount > 0
        ORDER BY g.gift_card_id
        FOR NO KEY UPDATE
    LOOP
        INSERT INTO ret.gift_card_entry
            (business_id, gift_card_id, entry_kind, amount, occurred_at, idempotency_key)
        VALUES (tenant, lapsed.gift_card_id, 'expire', -lapsed.balance_amount, moment,
                'expire ' || lapsed.gift_card_id);
        ended := ended + 1;
    END LOOP;
    -- What an order holds is still captured or given back; it lapses after that.
    FOR lapsed IN
        SELECT c.store_credit_id, c.balance_amount, c.expires_on
        FROM ret.store_credit AS c
        WHERE c.business_id = tenant AND c.expires_on < today AND c.balance_amount > 0
          AND c.held_amount = 0
        ORDER BY c.store_credit_id
        FOR NO KEY UPDATE
    LOOP
        INSERT INTO ret.store_credit_entry
            (business_id, store_credit_id, entry_kind, amount, occurred_at, originator_kind,
             idempotency_key)
        VALUES (tenant, lapsed.store_credit_id, 'expire', -lapsed.balance_amount, moment,
                'manual', 'expire ' || lapsed.store_credit_id);
        ended := ended + 1;
    END LOOP;
    RETURN ended;
END
$$;
COMMENT ON FUNCTION ret.expire_stored_value(timestamptz) IS
    'Takes what is left of promotional cards and of credits whose last day is over; returns how
     many lapsed.';
