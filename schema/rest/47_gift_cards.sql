/*
 * Gift cards: money that guests paid ahead, as a ledger.
 *
 * A gift_card is worth the sum of its gift_card_entries, which are only ever added: loaded,
 * redeemed by a payment, refunded, moved to another card. An entry notes the balance after it and
 * is refused when that would be below zero. The number itself is kept as a hash.
 */

CREATE TABLE rest.gift_card (
    business_id        uuid                 NOT NULL,
    gift_card_id       uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    purchaser_guest_id uuid,
    sold_location_id   uuid,
    card_number_hash   text                 NOT NULL,
    card_last4         text                 NOT NULL,
    card_kind          text                 NOT NULL DEFAULT 'physical',
    currency           system_core.currency NOT NULL,
    initial_amount     system_core.money    NOT NULL DEFAULT 0,
    balance_amount     system_core.money    NOT NULL DEFAULT 0,
    activated_at       timestamptz,
    expires_on         date,
    recipient_name     text,
    recipient_email    system_core.email,
    status             text                 NOT NULL DEFAULT 'inactive',
    created_at         timestamptz          NOT NULL DEFAULT now(),
    updated_at         timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, gift_card_id),
    UNIQUE (business_id, card_number_hash),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, purchaser_guest_id)
        REFERENCES rest.guest_profile (business_id, guest_profile_id),
    FOREIGN KEY (business_id, sold_location_id)
        REFERENCES rest.location (business_id, location_id),
    CONSTRAINT gift_card_kind_known CHECK (card_kind IN ('physical', 'digital', 'promotional')),
    CONSTRAINT gift_card_status_known
        CHECK (status IN ('inactive', 'active', 'blocked', 'depleted', 'expired')),
    CONSTRAINT gift_card_never_below_zero CHECK (balance_amount >= 0 AND initial_amount >= 0),
    CONSTRAINT gift_card_last4_is_four_digits CHECK (card_last4 ~ '^[0-9]{4}$'),
    CONSTRAINT gift_card_only_gifts_expire
        CHECK (expires_on IS NULL OR card_kind = 'promotional'),
    CONSTRAINT gift_card_active_has_time
        CHECK (status = 'inactive' OR activated_at IS NOT NULL)
);

COMMENT ON TABLE rest.gift_card IS 'Stored-value card sold or given.';
COMMENT ON COLUMN rest.gift_card.expires_on IS
    'What was paid for does not lapse; only promotional cards do.';

-- FK: the cards a guest bought.
CREATE INDEX gift_card_purchaser_guest_idx
    ON rest.gift_card (business_id, purchaser_guest_id)
    WHERE purchaser_guest_id IS NOT NULL;

-- FK: the cards a site sold.
CREATE INDEX gift_card_sold_location_idx
    ON rest.gift_card (business_id, sold_location_id)
    WHERE sold_location_id IS NOT NULL;

ALTER TABLE rest.gift_card ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.gift_card
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.gift_card TO app_user;
GRANT SELECT ON rest.gift_card TO app_readonly;

CREATE TRIGGER gift_card_touch
    BEFORE UPDATE ON rest.gift_card
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.gift_card_entry (
    business_id        uuid              NOT NULL,
    gift_card_entry_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    gift_card_id       uuid              NOT NULL,
    guest_check_id     uuid,
    location_id        uuid,
    entry_kind         text              NOT NULL,
    amount             system_core.money NOT NULL,
    balance_after      system_core.money NOT NULL,
    occurred_at        timestamptz       NOT NULL DEFAULT now(),
    authorisation_code system_core.code,
    device_label       text,
    idempotency_key    text              NOT NULL,
    note               text,
    created_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, gift_card_entry_id),
    UNIQUE (business_id, idempotency_key),
    FOREIGN KEY (business_id, gift_card_id) REFERENCES rest.gift_card (business_id, gift_card_id),
    FOREIGN KEY (business_id, guest_check_id)
        REFERENCES rest.guest_check (business_id, guest_check_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    CONSTRAINT gift_card_entry_kind_known
        CHECK (entry_kind IN ('activate', 'load', 'redeem', 'refund', 'adjust', 'expire',
                              'transfer_in', 'transfer_out')),
    CONSTRAINT gift_card_entry_never_below_zero CHECK (balance_after >= 0),
    CONSTRAINT gift_card_entry_sign_by_kind
        CHECK (CASE WHEN entry_kind IN ('redeem', 'expire', 'transfer_out') THEN amount < 0
                    WHEN entry_kind = 'adjust' THEN amount <> 0
                    ELSE amount > 0 END)
);

COMMENT ON TABLE rest.gift_card_entry IS 'Ledger of a gift card; append only.';

-- FK: the ledger of a card in order.
CREATE INDEX gift_card_entry_gift_card_idx
    ON rest.gift_card_entry (business_id, gift_card_id, occurred_at);

-- FK: the cards that paid a check.
CREATE INDEX gift_card_entry_guest_check_idx
    ON rest.gift_card_entry (business_id, guest_check_id)
    WHERE guest_check_id IS NOT NULL;

-- FK: what moved at a site.
CREATE INDEX gift_card_entry_location_idx
    ON rest.gift_card_entry (business_id, location_id)
    WHERE location_id IS NOT NULL;

ALTER TABLE rest.gift_card_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.gift_card_entry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON rest.gift_card_entry TO app_user;
GRANT SELECT ON rest.gift_card_entry TO app_readonly;

CREATE TRIGGER gift_card_entry_append_only
    BEFORE UPDATE OR DELETE ON rest.gift_card_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('rest.gift_card_entry');

CREATE FUNCTION rest.post_gift_card() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    card record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    UPDATE rest.gift_card AS g
    SET balance_amount = g.balance_amount + NEW.amount,
        activated_at = coalesce(g.activated_at, now()),
        initial_amount = CASE WHEN NEW.entry_kind = 'activate' THEN NEW.amount
                              ELSE g.initial_amount END,
        status = CASE WHEN g.balance_amount + NEW.amount = 0 THEN 'depleted' ELSE 'active' END
    WHERE g.business_id = NEW.business_id AND g.gift_card_id = NEW.gift_card_id
      AND g.balance_amount + NEW.amount >= 0 AND g.status NOT IN ('blocked', 'expired')
    RETURNING g.balance_amount INTO NEW.balance_after;
    IF NOT FOUND THEN
        SELECT g.card_last4, g.balance_amount, g.status INTO card
        FROM rest.gift_card AS g
        WHERE g.business_id = NEW.business_id AND g.gift_card_id = NEW.gift_card_id;
        RAISE EXCEPTION 'gift card …% is % and worth %, % cannot be posted', card.card_last4,
                        card.status, card.balance_amount, NEW.amount
            USING ERRCODE = 'check_violation', HINT = 'Take the rest with another tender.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.post_gift_card() IS
    'An entry moves what its card is worth and notes what it then was; never below zero, also when
     two tills redeem it at once. Imported history brings its balances.';

CREATE TRIGGER gift_card_entry_post
    BEFORE INSERT ON rest.gift_card_entry
    FOR EACH ROW EXECUTE FUNCTION rest.post_gift_card();


CREATE FUNCTION rest.gift_card_differences()
    RETURNS TABLE (gift_card_id uuid, said numeric, found numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT g.gift_card_id, g.balance_amount, coalesce(sum(e.amount), 0)
    FROM rest.gift_card AS g
    LEFT JOIN rest.gift_card_entry AS e
        ON e.business_id = g.business_id AND e.gift_card_id = g.gift_card_id
    WHERE g.business_id = tenant_mgmt.current_business_id()
    GROUP BY g.gift_card_id, g.balance_amount
    HAVING g.balance_amount <> coalesce(sum(e.amount), 0);
END;
COMMENT ON FUNCTION rest.gift_card_differences() IS
    'Proves the cards: those that are not worth the sum of their entries.';
