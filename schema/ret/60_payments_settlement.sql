/*
 * Payments and settlement: what is taken off an order, how it is paid, and how the money arrives.
 *
 * An order_adjustment is a discount, fee or rounding with the offer behind it. A payment is one
 * tender for an order; payment_attempt is every call to the processor for it, and a payment_token
 * is an instrument that a customer saved there. A payment_dispute is a chargeback. The processor
 * sends a processor_payout to the bank, and its processor_payout_entry rows say for what; they are
 * matched to payments. A tax_filing hands on what was collected. complete_pos_sale() is a sale at
 * the till in one call.
 */

CREATE TABLE ret.order_adjustment (
    business_id         uuid                   NOT NULL,
    order_adjustment_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    approved_by_user_id uuid,
    sales_order_id      uuid                   NOT NULL,
    sales_order_line_id uuid,
    promotion_id        uuid,
    coupon_id           uuid,
    reward_issue_id     uuid,
    adjustment_kind     text                   NOT NULL,
    label               text                   NOT NULL,
    amount              system_core.money      NOT NULL,
    rate_pct            system_core.percentage,
    units_affected      system_core.quantity,
    funded_by           text                   NOT NULL DEFAULT 'retailer',
    sequence_no         integer                NOT NULL DEFAULT 1,
    applied_at          timestamptz            NOT NULL DEFAULT now(),
    state               text                   NOT NULL DEFAULT 'applied',
    created_at          timestamptz            NOT NULL DEFAULT now(),
    updated_at          timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, order_adjustment_id),
    FOREIGN KEY (business_id, approved_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, sales_order_id)
        REFERENCES ret.sales_order (business_id, sales_order_id),
    FOREIGN KEY (business_id, sales_order_line_id)
        REFERENCES ret.sales_order_line (business_id, sales_order_line_id),
    FOREIGN KEY (business_id, promotion_id) REFERENCES ret.promotion (business_id, promotion_id),
    FOREIGN KEY (business_id, coupon_id) REFERENCES ret.coupon (business_id, coupon_id),
    FOREIGN KEY (business_id, reward_issue_id)
        REFERENCES ret.reward_issue (business_id, reward_issue_id),
    CONSTRAINT order_adjustment_kind_known
        CHECK (adjustment_kind IN ('promotion', 'coupon', 'reward', 'manual', 'price_match',
                                   'shipping_discount', 'fee', 'rounding')),
    CONSTRAINT order_adjustment_funded_by_known
        CHECK (funded_by IN ('retailer', 'supplier', 'marketplace')),
    CONSTRAINT order_adjustment_state_known CHECK (state IN ('applied', 'released')),
    CONSTRAINT order_adjustment_sign_by_kind
        CHECK (CASE adjustment_kind WHEN 'fee' THEN amount > 0
                                    WHEN 'rounding' THEN amount BETWEEN -1 AND 1
                                    ELSE amount < 0 END),
    CONSTRAINT order_adjustment_coupon_of_promotion
        CHECK (coupon_id IS NULL OR promotion_id IS NOT NULL),
    CONSTRAINT order_adjustment_source_by_kind
        CHECK (CASE adjustment_kind WHEN 'promotion' THEN promotion_id IS NOT NULL
                                    WHEN 'coupon' THEN coupon_id IS NOT NULL
                                    WHEN 'reward' THEN reward_issue_id IS NOT NULL
                                    ELSE true END),
    CONSTRAINT order_adjustment_manual_is_approved
        CHECK (adjustment_kind NOT IN ('manual', 'price_match')
               OR approved_by_user_id IS NOT NULL),
    CONSTRAINT order_adjustment_rate_bounded CHECK (rate_pct BETWEEN 0 AND 100),
    CONSTRAINT order_adjustment_units_positive CHECK (units_affected > 0)
);

COMMENT ON TABLE ret.order_adjustment IS
    'Discount, fee or surcharge on an order or line, with the offer behind it.';
COMMENT ON COLUMN ret.order_adjustment.amount IS
    'Below zero: taken off. What is taken off a line is its discount_amount.';
COMMENT ON COLUMN ret.order_adjustment.funded_by IS
    'Who bears it; a supplier is billed for what it funds.';
COMMENT ON COLUMN ret.order_adjustment.state IS
    'released: taken back, as when an order is cancelled; it counts no more.';

-- FK: what a manager approved.
CREATE INDEX order_adjustment_approved_by_user_idx
    ON ret.order_adjustment (business_id, approved_by_user_id)
    WHERE approved_by_user_id IS NOT NULL;

-- FK: what was put on an order and taken off.
CREATE INDEX order_adjustment_sales_order_idx
    ON ret.order_adjustment (business_id, sales_order_id);

-- FK: the discounts of a line.
CREATE INDEX order_adjustment_sales_order_line_idx
    ON ret.order_adjustment (business_id, sales_order_line_id)
    WHERE sales_order_line_id IS NOT NULL;

-- FK: the use of a promotion.
CREATE INDEX order_adjustment_promotion_idx
    ON ret.order_adjustment (business_id, promotion_id)
    WHERE promotion_id IS NOT NULL;

-- FK: the use of a coupon.
CREATE INDEX order_adjustment_coupon_idx
    ON ret.order_adjustment (business_id, coupon_id)
    WHERE coupon_id IS NOT NULL;

-- FK: where a reward went.
CREATE INDEX order_adjustment_reward_issue_idx
    ON ret.order_adjustment (business_id, reward_issue_id)
    WHERE reward_issue_id IS NOT NULL;

ALTER TABLE ret.order_adjustment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.order_adjustment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.order_adjustment TO app_user;
GRANT SELECT ON ret.order_adjustment TO app_readonly;

CREATE TRIGGER order_adjustment_touch
    BEFORE UPDATE ON ret.order_adjustment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER order_adjustment_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.order_adjustment
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["applied"],
        "transitions": {
            "applied":  ["released"],
            "released": []
        }}');

CREATE FUNCTION ret.adjust_own_line() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM ret.sales_order_line AS l
                   WHERE l.business_id = NEW.business_id
                     AND l.sales_order_line_id = NEW.sales_order_line_id
                     AND l.sales_order_id = NEW.sales_order_id)
    THEN
        RAISE EXCEPTION 'the line is of another order'
            USING ERRCODE = 'check_violation', HINT = 'Adjust a line of the same order.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.adjust_own_line() IS 'An adjustment is of a line of its own order.';

CREATE TRIGGER order_adjustment_of_own_line
    BEFORE INSERT OR UPDATE OF sales_order_line_id, sales_order_id ON ret.order_adjustment
    FOR EACH ROW WHEN (NEW.sales_order_line_id IS NOT NULL)
    EXECUTE FUNCTION ret.adjust_own_line();

CREATE FUNCTION ret.use_reward() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    ticket record;
    reason text;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    SELECT i.issue_code, i.state, i.expires_at, i.value_at_issue, r.reward_kind, a.customer_id,
           o.customer_id AS buyer
    INTO ticket
    FROM ret.reward_issue AS i
    JOIN ret.loyalty_reward AS r
        ON r.business_id = i.business_id AND r.loyalty_reward_id = i.loyalty_reward_id
    JOIN ret.loyalty_account AS a
        ON a.business_id = i.business_id AND a.loyalty_account_id = i.loyalty_account_id
    JOIN ret.sales_order AS o
        ON o.business_id = i.business_id AND o.sales_order_id = NEW.sales_order_id
    WHERE i.business_id = NEW.business_id AND i.reward_issue_id = NEW.reward_issue_id
    FOR NO KEY UPDATE OF i;
    IF NEW.state = 'released' THEN
        UPDATE ret.reward_issue AS i
        SET state = 'issued', used_at = NULL
        WHERE i.business_id = NEW.business_id AND i.reward_issue_id = NEW.reward_issue_id
          AND i.state = 'used'
          AND NOT EXISTS (SELECT FROM ret.order_adjustment AS x
                          WHERE x.business_id = i.business_id
                            AND x.reward_issue_id = i.reward_issue_id AND x.state = 'applied');
        RETURN NULL;
    END IF;
    reason := CASE
        WHEN ticket.customer_id IS DISTINCT FROM ticket.buyer THEN 'of another customer'
        WHEN ticket.reward_kind = 'amount_off'
             AND ticket.value_at_issue < (
                 SELECT -sum(x.amount) FROM ret.order_adjustment AS x
                 WHERE x.business_id = NEW.business_id
                   AND x.reward_issue_id = NEW.reward_issue_id AND x.state = 'applied')
            THEN format('worth %s', ticket.value_at_issue)
        WHEN ticket.state = 'issued' AND ticket.expires_at < now() THEN 'over'
        WHEN ticket.state = 'issued' THEN NULL
        -- It may take something off each of several lines of one order.
        WHEN ticket.state = 'used'
             AND EXISTS (SELECT FROM ret.order_adjustment AS x
                         WHERE x.business_id = NEW.business_id
                           AND x.reward_issue_id = NEW.reward_issue_id AND x.state = 'applied'
                           AND x.order_adjustment_id <> NEW.order_adjustment_id
                           AND x.sales_order_id = NEW.sales_order_id) THEN NULL
        ELSE ticket.state END;
    IF reason IS NOT NULL THEN
        RAISE EXCEPTION 'reward % is %', ticket.issue_code, reason
            USING ERRCODE = 'check_violation', HINT = 'A reward is used once, by its member.';
    END IF;
    UPDATE ret.reward_issue AS i
    SET state = 'used', used_at = greatest(now(), i.issued_at)
    WHERE i.business_id = NEW.business_id AND i.reward_issue_id = NEW.reward_issue_id
      AND i.state = 'issued';
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.use_reward() IS
    'What a reward takes off an order uses it, once, by its member and for no more than it is worth;
     taken back, it can be used again.';

CREATE TRIGGER order_adjustment_uses_reward
    AFTER INSERT OR UPDATE OF state ON ret.order_adjustment
    FOR EACH ROW WHEN (NEW.reward_issue_id IS NOT NULL)
    EXECUTE FUNCTION ret.use_reward();

CREATE FUNCTION ret.take_off_order_lines() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE ret.sales_order_line AS l
    SET discount_amount = n.amount
    FROM (
        SELECT c.business_id, c.sales_order_line_id,
               coalesce(-sum(a.amount) FILTER (WHERE a.state = 'applied'), 0) AS amount
        FROM (SELECT DISTINCT x.business_id, x.sales_order_line_id FROM changed AS x) AS c
        JOIN ret.order_adjustment AS a
            ON a.business_id = c.business_id AND a.sales_order_line_id = c.sales_order_line_id
           AND a.adjustment_kind NOT IN ('fee', 'rounding', 'shipping_discount')
        GROUP BY c.business_id, c.sales_order_line_id
    ) AS n
    WHERE l.business_id = n.business_id AND l.sales_order_line_id = n.sales_order_line_id
      AND l.discount_amount <> n.amount;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.take_off_order_lines() IS
    'The discount of an order line is the sum of its adjustments.';

CREATE TRIGGER order_adjustment_lines_on_insert
    AFTER INSERT ON ret.order_adjustment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.take_off_order_lines();

CREATE TRIGGER order_adjustment_lines_on_update
    AFTER UPDATE ON ret.order_adjustment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.take_off_order_lines();


CREATE TABLE ret.payment_token (
    business_id         uuid                    NOT NULL,
    payment_token_id    uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    customer_id         uuid                    NOT NULL,
    provider            text                    NOT NULL,
    token_ref           text                    NOT NULL,
    method              text                    NOT NULL,
    card_brand          text,
    card_last4          text,
    expiry_month        smallint,
    expiry_year         smallint,
    billing_postal_code system_core.postal_code,
    is_default          boolean                 NOT NULL DEFAULT false,
    network_token       boolean                 NOT NULL DEFAULT false,
    created_via         text                    NOT NULL,
    state               text                    NOT NULL DEFAULT 'active',
    created_at          timestamptz             NOT NULL DEFAULT now(),
    updated_at          timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, payment_token_id),
    UNIQUE (business_id, provider, token_ref),
    FOREIGN KEY (business_id, customer_id) REFERENCES ret.customer (business_id, customer_id),
    CONSTRAINT payment_token_method_known CHECK (method IN ('card', 'bank', 'wallet', 'bnpl')),
    CONSTRAINT payment_token_created_via_known CHECK (created_via IN ('pos', 'web', 'app')),
    CONSTRAINT payment_token_state_known CHECK (state IN ('active', 'expired', 'removed')),
    CONSTRAINT payment_token_expiry_month_bounded CHECK (expiry_month BETWEEN 1 AND 12),
    CONSTRAINT payment_token_expiry_year_bounded CHECK (expiry_year BETWEEN 2000 AND 2100),
    CONSTRAINT payment_token_card_expires
        CHECK (method <> 'card'
               OR num_nulls(card_brand, card_last4, expiry_month, expiry_year) = 0),
    CONSTRAINT payment_token_last4_is_four_digits CHECK (card_last4 ~ '^[0-9]{4}$'),
    CONSTRAINT payment_token_is_no_card_number CHECK (token_ref !~ '^[0-9 -]{12,23}$'),
    CONSTRAINT payment_token_default_is_active CHECK (NOT is_default OR state = 'active')
);

COMMENT ON TABLE ret.payment_token IS
    'A customer''s saved instrument at the processor (never card data).';
COMMENT ON COLUMN ret.payment_token.token_ref IS 'What the processor calls it.';
COMMENT ON COLUMN ret.payment_token.network_token IS
    'The card network renews it when the card is replaced.';

-- One default per customer.
CREATE UNIQUE INDEX payment_token_default_idx
    ON ret.payment_token (business_id, customer_id)
    WHERE is_default;

-- FK: what a customer has saved.
CREATE INDEX payment_token_customer_idx ON ret.payment_token (business_id, customer_id);

ALTER TABLE ret.payment_token ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.payment_token
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.payment_token TO app_user;
GRANT SELECT ON ret.payment_token TO app_readonly;

CREATE TRIGGER payment_token_touch
    BEFORE UPDATE ON ret.payment_token
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER payment_token_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.payment_token
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["active"],
        "transitions": {
            "active":  ["expired", "removed"],
            "expired": ["active", "removed"],
            "removed": []
        }}');


CREATE TABLE ret.payment (
    business_id         uuid                 NOT NULL,
    payment_id          uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    sales_order_id      uuid                 NOT NULL,
    register_session_id uuid,
    payment_token_id    uuid,
    gift_card_id        uuid,
    store_credit_id     uuid,
    layaway_id          uuid,
    payment_number      text                 NOT NULL,
    tender              text                 NOT NULL,
    amount              system_core.money    NOT NULL,
    captured_amount     system_core.money    NOT NULL DEFAULT 0,
    refunded_amount     system_core.money    NOT NULL DEFAULT 0,
    amount_tendered     system_core.money,
    change_given        system_core.money    GENERATED ALWAYS AS (amount_tendered - amount) STORED,
    currency            system_core.currency NOT NULL,
    card_brand          text,
    card_last4          text,
    entry_mode          text,
    state               text                 NOT NULL DEFAULT 'pending',
    authorised_at       timestamptz,
    captured_at         timestamptz,
    processor_reference text,
    processing_fee      system_core.money    NOT NULL DEFAULT 0,
    created_at          timestamptz          NOT NULL DEFAULT now(),
    updated_at          timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, payment_id),
    UNIQUE (business_id, payment_number),
    FOREIGN KEY (business_id, sales_order_id)
        REFERENCES ret.sales_order (business_id, sales_order_id),
    FOREIGN KEY (business_id, register_session_id)
        REFERENCES ret.register_session (business_id, register_session_id),
    FOREIGN KEY (business_id, payment_token_id)
        REFERENCES ret.payment_token (business_id, payment_token_id),
    FOREIGN KEY (business_id, gift_card_id) REFERENCES ret.gift_card (business_id, gift_card_id),
    FOREIGN KEY (business_id, store_credit_id)
        REFERENCES ret.store_credit (business_id, store_credit_id),
    FOREIGN KEY (business_id, layaway_id) REFERENCES ret.layaway (business_id, layaway_id),
    CONSTRAINT payment_tender_known
        CHECK (tender IN ('cash', 'card', 'gift_card', 'store_credit', 'bnpl', 'wallet',
                          'bank_transfer', 'cheque', 'marketplace', 'loyalty')),
    CONSTRAINT payment_entry_mode_known
        CHECK (entry_mode IN ('chip', 'contactless', 'swiped', 'keyed', 'online', 'stored')),
    CONSTRAINT payment_state_known
        CHECK (state IN ('pending', 'authorised', 'captured', 'partly_refunded', 'refunded',
                         'voided', 'failed')),
    CONSTRAINT payment_amount_positive CHECK (amount > 0),
    CONSTRAINT payment_captures_at_most_amount CHECK (captured_amount BETWEEN 0 AND amount),
    CONSTRAINT payment_refunds_at_most_captured
        CHECK (refunded_amount BETWEEN 0 AND captured_amount),
    CONSTRAINT payment_cash_goes_in_a_drawer
        CHECK (tender <> 'cash' OR register_session_id IS NOT NULL),
    CONSTRAINT payment_cash_is_enough CHECK (amount_tendered >= amount),
    CONSTRAINT payment_gift_card_is_named
        CHECK ((gift_card_id IS NOT NULL) = (tender = 'gift_card')),
    CONSTRAINT payment_store_credit_is_named
        CHECK ((store_credit_id IS NOT NULL) = (tender = 'store_credit')),
    CONSTRAINT payment_card_has_entry_mode CHECK (tender <> 'card' OR entry_mode IS NOT NULL),
    CONSTRAINT payment_last4_is_four_digits CHECK (card_last4 ~ '^[0-9]{4}$'),
    CONSTRAINT payment_captured_by_state
        CHECK ((captured_amount > 0) = (state IN ('captured', 'partly_refunded', 'refunded'))),
    CONSTRAINT payment_captured_has_time CHECK ((captured_at IS NOT NULL) = (captured_amount > 0)),
    CONSTRAINT payment_captured_after_approval CHECK (captured_at >= authorised_at),
    CONSTRAINT payment_refunded_by_state
        CHECK (CASE state WHEN 'refunded' THEN refunded_amount = captured_amount
                          WHEN 'partly_refunded' THEN refunded_amount > 0
                                                      AND refunded_amount < captured_amount
                          ELSE refunded_amount = 0 END),
    CONSTRAINT payment_fee_not_negative CHECK (processing_fee >= 0)
);

COMMENT ON TABLE ret.payment IS 'A tender for an order: authorised, captured, refunded.';
COMMENT ON COLUMN ret.payment.refunded_amount IS
    'Given back the way it came; what went back another way is in the refunds of the order.';
COMMENT ON COLUMN ret.payment.change_given IS 'NULL where nothing was handed over.';
COMMENT ON COLUMN ret.payment.register_session_id IS 'Where it was taken, if at a till.';

-- A payout names the payment as the processor does.
CREATE INDEX payment_processor_reference_idx
    ON ret.payment (business_id, processor_reference)
    WHERE processor_reference IS NOT NULL;

-- FK: the payments of an order.
CREATE INDEX payment_sales_order_idx ON ret.payment (business_id, sales_order_id);

-- FK: what was taken in a session.
CREATE INDEX payment_register_session_idx
    ON ret.payment (business_id, register_session_id)
    WHERE register_session_id IS NOT NULL;

-- FK: the use of a saved instrument.
CREATE INDEX payment_payment_token_idx
    ON ret.payment (business_id, payment_token_id)
    WHERE payment_token_id IS NOT NULL;

-- FK: what a gift card paid for.
CREATE INDEX payment_gift_card_idx
    ON ret.payment (business_id, gift_card_id)
    WHERE gift_card_id IS NOT NULL;

-- FK: what a store credit paid for.
CREATE INDEX payment_store_credit_idx
    ON ret.payment (business_id, store_credit_id)
    WHERE store_credit_id IS NOT NULL;

-- FK: the deposit and instalments of a layaway.
CREATE INDEX payment_layaway_idx
    ON ret.payment (business_id, layaway_id)
    WHERE layaway_id IS NOT NULL;

ALTER TABLE ret.payment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.payment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.payment TO app_user;
GRANT SELECT ON ret.payment TO app_readonly;

CREATE TRIGGER payment_touch
    BEFORE UPDATE ON ret.payment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER payment_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.payment
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["pending", "authorised", "captured", "failed"],
        "transitions": {
            "pending":         ["authorised", "captured", "voided", "failed"],
            "authorised":      ["captured", "voided", "failed"],
            "captured":        ["partly_refunded", "refunded"],
            "partly_refunded": ["refunded"],
            "refunded":        [],
            "voided":          [],
            "failed":          []
        }}');

CREATE FUNCTION ret.pay_in_currency() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    sold text;
BEGIN
    SELECT o.currency INTO sold
    FROM ret.sales_order AS o
    WHERE o.business_id = NEW.business_id AND o.sales_order_id = NEW.sales_order_id;
    IF sold <> NEW.currency THEN
        RAISE EXCEPTION 'the order is in %, not in %', sold, NEW.currency
            USING ERRCODE = 'check_violation', HINT = 'Change the money first.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.pay_in_currency() IS 'A payment is in the currency of its order.';

CREATE TRIGGER payment_in_currency
    BEFORE INSERT OR UPDATE OF currency, sales_order_id ON ret.payment
    FOR EACH ROW EXECUTE FUNCTION ret.pay_in_currency();

CREATE FUNCTION ret.payment_state_for(
    owed numeric, paid numeric, refunded numeric, is_authorised boolean
) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN paid = 0 THEN CASE WHEN is_authorised THEN 'authorised' ELSE 'unpaid' END
                WHEN refunded >= paid THEN 'refunded'
                WHEN refunded > 0 THEN 'partly_refunded'
                WHEN paid >= owed THEN 'paid'
                ELSE 'partly_paid' END;
END;
COMMENT ON FUNCTION ret.payment_state_for(numeric, numeric, numeric, boolean) IS
    'How an order stands that owes this, was paid this and got this back.';


CREATE FUNCTION ret.roll_up_payments(orders uuid[]) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    over record;
BEGIN
    UPDATE ret.sales_order AS o
    SET paid_total = n.paid,
        payment_state = ret.payment_state_for(o.grand_total, n.paid, o.refunded_total,
                                              n.is_authorised)
    FROM (
        SELECT p.business_id, p.sales_order_id, sum(p.captured_amount) AS paid,
               bool_or(p.state = 'authorised') AS is_authorised
        FROM ret.payment AS p
        WHERE p.business_id = tenant_mgmt.current_business_id() AND p.sales_order_id = ANY (orders)
        GROUP BY p.business_id, p.sales_order_id
    ) AS n
    WHERE o.business_id = n.business_id AND o.sales_order_id = n.sales_order_id
      AND (o.paid_total, o.payment_state)
          IS DISTINCT FROM (n.paid, ret.payment_state_for(o.grand_total, n.paid, o.refunded_total,
                                                          n.is_authorised));
    SELECT o.order_number, o.grand_total, o.paid_total INTO over
    FROM ret.sales_order AS o
    WHERE o.business_id = tenant_mgmt.current_business_id() AND o.sales_order_id = ANY (orders)
      -- The fee of a layaway is paid on top.
      AND o.paid_total > o.grand_total + coalesce((
          SELECT sum(l.fee_amount + coalesce(i.late_fees, 0))
          FROM ret.layaway AS l
          LEFT JOIN LATERAL (
              SELECT sum(x.late_fee) AS late_fees
              FROM ret.layaway_instalment AS x
              WHERE x.business_id = l.business_id AND x.layaway_id = l.layaway_id
          ) AS i ON true
          WHERE l.business_id = o.business_id AND l.sales_order_id = o.sales_order_id), 0)
    ORDER BY o.order_number
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'order % comes to %, % would be paid', over.order_number,
                        over.grand_total, over.paid_total
            USING ERRCODE = 'check_violation', HINT = 'What is given beyond it is change.';
    END IF;
END
$$;
COMMENT ON FUNCTION ret.roll_up_payments(uuid[]) IS
    'An order was paid what its payments captured, and never more than it comes to.';


CREATE FUNCTION ret.post_payments() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    tenant uuid;
    orders uuid[];
    closed text;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    tenant := tenant_mgmt.current_business_id();
    SELECT array_agg(DISTINCT c.sales_order_id) INTO orders FROM changed AS c;
    -- Always the order first, then the drawer: two tills never wait for each other crosswise.
    PERFORM FROM ret.sales_order AS o
    WHERE o.business_id = tenant AND o.sales_order_id = ANY (orders)
    ORDER BY o.sales_order_id
    FOR NO KEY UPDATE;
    PERFORM ret.roll_up_payments(orders);

    PERFORM FROM ret.register_session AS s
    WHERE s.business_id = tenant
      AND s.register_session_id IN (SELECT c.register_session_id FROM changed AS c
                                    WHERE c.tender = 'cash' AND c.captured_amount > 0)
    ORDER BY s.register_session_id
    FOR NO KEY UPDATE;
    UPDATE ret.register_session AS s
    SET cash_sales = n.cash
    FROM (
        SELECT p.business_id, p.register_session_id, sum(p.captured_amount) AS cash
        FROM ret.payment AS p
        WHERE p.business_id = tenant AND p.tender = 'cash'
          AND p.register_session_id IN (SELECT c.register_session_id FROM changed AS c
                                        WHERE c.tender = 'cash')
        GROUP BY p.business_id, p.register_session_id
    ) AS n
    WHERE s.business_id = n.business_id AND s.register_session_id = n.register_session_id
      AND s.cash_sales <> n.cash AND s.state = 'open';
    SELECT s.state INTO closed
    FROM ret.register_session AS s
    WHERE s.business_id = tenant AND s.state <> 'open'
      AND s.cash_sales <> (SELECT coalesce(sum(p.captured_amount), 0)
                           FROM ret.payment AS p
                           WHERE p.business_id = s.business_id AND p.tender = 'cash'
                             AND p.register_session_id = s.register_session_id)
      AND s.register_session_id IN (SELECT c.register_session_id FROM changed AS c
                                    WHERE c.tender = 'cash')
    ORDER BY s.state
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the register session is %, it takes no cash', closed
            USING ERRCODE = 'check_violation', HINT = 'Open a session on the register.';
    END IF;

    INSERT INTO ret.gift_card_entry
        (business_id, gift_card_id, sales_order_id, entry_kind, amount, occurred_at,
         idempotency_key)
    SELECT tenant, c.gift_card_id, c.sales_order_id, 'redeem', -c.captured_amount, c.captured_at,
           'payment ' || c.payment_id
    FROM changed AS c
    WHERE c.gift_card_id IS NOT NULL AND c.captured_amount > 0
      AND NOT EXISTS (SELECT FROM ret.gift_card_entry AS e
                      WHERE e.business_id = tenant
                        AND e.idempotency_key = 'payment ' || c.payment_id)
    ORDER BY c.gift_card_id, c.payment_id;
    -- What is authorised is held; before it is captured, or when it is not, the hold is let go.
    INSERT INTO ret.store_credit_entry
        (business_id, store_credit_id, sales_order_id, entry_kind, amount, occurred_at,
         originator_kind, idempotency_key)
    SELECT tenant, c.store_credit_id, c.sales_order_id, k.kind, k.amount,
           coalesce(c.captured_at, now()), 'order', k.key
    FROM changed AS c
    LEFT JOIN ret.store_credit_entry AS h
        ON h.business_id = tenant AND h.idempotency_key = 'hold ' || c.payment_id
    CROSS JOIN LATERAL (VALUES
        (1, 'authorise', -c.amount, 'hold ' || c.payment_id, c.state = 'authorised'),
        (2, 'release', -h.amount, 'free ' || c.payment_id,
         h.amount IS NOT NULL AND c.state NOT IN ('pending', 'authorised')),
        (3, 'capture', -c.captured_amount, 'payment ' || c.payment_id, c.captured_amount > 0))
        AS k (step, kind, amount, key, happens)
    WHERE c.store_credit_id IS NOT NULL AND k.happens
      AND NOT EXISTS (SELECT FROM ret.store_credit_entry AS e
                      WHERE e.business_id = tenant AND e.idempotency_key = k.key)
    ORDER BY c.store_credit_id, c.payment_id, k.step;
    INSERT INTO ret.loyalty_entry
        (business_id, loyalty_account_id, sales_order_id, entry_kind, points, occurred_at,
         idempotency_key, note)
    SELECT tenant, n.loyalty_account_id, n.sales_order_id, 'redeem',
           -ceil(n.captured_amount / n.point_value), n.captured_at, 'payment ' || n.payment_id,
           'Payment ' || n.payment_number
    FROM (
        SELECT DISTINCT ON (c.payment_id) c.*, a.loyalty_account_id, p.point_value
        FROM changed AS c
        JOIN ret.sales_order AS o
            ON o.business_id = c.business_id AND o.sales_order_id = c.sales_order_id
        JOIN ret.loyalty_account AS a
            ON a.business_id = o.business_id AND a.customer_id = o.customer_id
           AND a.state = 'active'
        JOIN ret.loyalty_program AS p
            ON p.business_id = a.business_id AND p.loyalty_program_id = a.loyalty_program_id
           AND p.point_value IS NOT NULL
        WHERE c.tender = 'loyalty' AND c.captured_amount > 0
        ORDER BY c.payment_id, a.loyalty_account_id
    ) AS n
    WHERE NOT EXISTS (SELECT FROM ret.loyalty_entry AS e
                      WHERE e.business_id = tenant
                        AND e.idempotency_key = 'payment ' || n.payment_id)
    ORDER BY n.loyalty_account_id, n.payment_id;
    IF EXISTS (SELECT FROM changed AS c
               WHERE c.tender = 'loyalty' AND c.captured_amount > 0
                 AND NOT EXISTS (SELECT FROM ret.loyalty_entry AS e
                                 WHERE e.business_id = tenant
                                   AND e.idempotency_key = 'payment ' || c.payment_id))
    THEN
        RAISE EXCEPTION 'the customer of the order has no points to pay with'
            USING ERRCODE = 'check_violation', HINT = 'Take another tender.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.post_payments() IS
    'What payments capture is paid on the order, lies in the drawer if it is cash, and leaves the
     gift card, the credit or the points that paid; a credit holds what is authorised. Imported
     history brings its totals and entries.';

CREATE TRIGGER payment_post_on_insert
    AFTER INSERT ON ret.payment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.post_payments();

CREATE TRIGGER payment_post_on_update
    AFTER UPDATE ON ret.payment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.post_payments();


CREATE TABLE ret.payment_attempt (
    business_id        uuid                    NOT NULL,
    payment_attempt_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    payment_id         uuid                    NOT NULL,
    attempted_at       timestamptz             NOT NULL DEFAULT now(),
    operation          text                    NOT NULL,
    amount             system_core.money       NOT NULL,
    outcome            text                    NOT NULL,
    response_code      system_core.code,
    decline_reason     text,
    three_ds_result    text,
    latency_ms         integer                 NOT NULL DEFAULT 0,
    gateway_reference  text,
    payload            system_core.json_object,
    created_at         timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, payment_attempt_id, attempted_at),
    FOREIGN KEY (business_id, payment_id) REFERENCES ret.payment (business_id, payment_id),
    CONSTRAINT payment_attempt_operation_known
        CHECK (operation IN ('authorise', 'capture', 'void', 'refund', 'verify', 'increment',
                             'webhook')),
    CONSTRAINT payment_attempt_outcome_known
        CHECK (outcome IN ('approved', 'declined', 'error', 'timeout', 'challenge', 'pending')),
    CONSTRAINT payment_attempt_latency_ms_not_negative CHECK (latency_ms >= 0),
    CONSTRAINT payment_attempt_amount_not_negative CHECK (amount >= 0),
    CONSTRAINT payment_attempt_decline_has_reason
        CHECK (outcome <> 'declined' OR decline_reason IS NOT NULL),
    CONSTRAINT payment_attempt_keeps_no_card_data
        CHECK (NOT payload::jsonb ?| ARRAY['pan', 'card_number', 'cvv', 'cvc', 'track_data',
                                           'pin'])
) PARTITION BY RANGE (attempted_at);

COMMENT ON TABLE ret.payment_attempt IS
    'Every processor call with its answer and latency; append only.';
COMMENT ON COLUMN ret.payment_attempt.payload IS 'The processor''s answer, without card data.';

-- FK: how a payment went.
CREATE INDEX payment_attempt_payment_idx
    ON ret.payment_attempt (business_id, payment_id, attempted_at);

ALTER TABLE ret.payment_attempt ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.payment_attempt
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON ret.payment_attempt TO app_user;
GRANT SELECT ON ret.payment_attempt TO app_readonly;

CREATE TRIGGER payment_attempt_append_only
    BEFORE UPDATE OR DELETE ON ret.payment_attempt
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('ret.payment_attempt');

CREATE TABLE ret.payment_attempt_default PARTITION OF ret.payment_attempt DEFAULT;
ALTER TABLE ret.payment_attempt_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.payment_attempt_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('ret.payment_attempt', 'month', behind => 3, ahead => 1);


CREATE TABLE ret.payment_dispute (
    business_id        uuid              NOT NULL,
    payment_dispute_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    evidence_file_id   uuid,
    payment_id         uuid              NOT NULL,
    dispute_reference  text              NOT NULL,
    reason             text              NOT NULL,
    disputed_amount    system_core.money NOT NULL,
    opened_at          timestamptz       NOT NULL DEFAULT now(),
    evidence_due_at    timestamptz,
    submitted_at       timestamptz,
    state              text              NOT NULL DEFAULT 'inquiry',
    fee_amount         system_core.money NOT NULL DEFAULT 0,
    closed_at          timestamptz,
    created_at         timestamptz       NOT NULL DEFAULT now(),
    updated_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, payment_dispute_id),
    UNIQUE (business_id, dispute_reference),
    FOREIGN KEY (business_id, evidence_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, payment_id) REFERENCES ret.payment (business_id, payment_id),
    CONSTRAINT payment_dispute_reason_known
        CHECK (reason IN ('fraud', 'not_received', 'not_as_described', 'duplicate',
                          'amount_differs', 'cancelled', 'credit_not_processed', 'other')),
    CONSTRAINT payment_dispute_state_known
        CHECK (state IN ('inquiry', 'evidence_required', 'processing', 'won', 'lost', 'accepted')),
    CONSTRAINT payment_dispute_amount_positive CHECK (disputed_amount > 0 AND fee_amount >= 0),
    CONSTRAINT payment_dispute_submitted_in_time CHECK (submitted_at <= evidence_due_at),
    CONSTRAINT payment_dispute_submitted_after_opening CHECK (submitted_at >= opened_at),
    CONSTRAINT payment_dispute_processing_is_submitted
        CHECK (state <> 'processing' OR submitted_at IS NOT NULL),
    CONSTRAINT payment_dispute_evidence_has_date
        CHECK (state <> 'evidence_required' OR evidence_due_at IS NOT NULL),
    CONSTRAINT payment_dispute_closed_has_time
        CHECK ((closed_at IS NOT NULL) = (state IN ('won', 'lost', 'accepted'))),
    CONSTRAINT payment_dispute_closed_after_opening CHECK (closed_at >= opened_at)
);

COMMENT ON TABLE ret.payment_dispute IS 'Chargeback or inquiry with evidence and result.';

-- FK: the disputes that a file is evidence of.
CREATE INDEX payment_dispute_evidence_file_idx
    ON ret.payment_dispute (business_id, evidence_file_id)
    WHERE evidence_file_id IS NOT NULL;

-- The evidence that is due next.
CREATE INDEX payment_dispute_evidence_due_idx
    ON ret.payment_dispute (business_id, evidence_due_at)
    WHERE state = 'evidence_required';

-- FK: the disputes of a payment.
CREATE INDEX payment_dispute_payment_idx ON ret.payment_dispute (business_id, payment_id);

ALTER TABLE ret.payment_dispute ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.payment_dispute
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.payment_dispute TO app_user;
GRANT SELECT ON ret.payment_dispute TO app_readonly;

CREATE TRIGGER payment_dispute_touch
    BEFORE UPDATE ON ret.payment_dispute
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER payment_dispute_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.payment_dispute
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["inquiry", "evidence_required"],
        "transitions": {
            "inquiry":           ["evidence_required", "won", "accepted"],
            "evidence_required": ["processing", "lost", "accepted"],
            "processing":        ["won", "lost"],
            "won":               [],
            "lost":              [],
            "accepted":          []
        }}');

CREATE FUNCTION ret.limit_disputes() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    disputed record;
BEGIN
    SELECT p.payment_number, p.captured_amount INTO disputed
    FROM ret.payment AS p
    WHERE p.business_id = NEW.business_id AND p.payment_id = NEW.payment_id
    FOR NO KEY UPDATE;
    IF NEW.disputed_amount > disputed.captured_amount - coalesce((
           SELECT sum(d.disputed_amount)
           FROM ret.payment_dispute AS d
           WHERE d.business_id = NEW.business_id AND d.payment_id = NEW.payment_id
             AND d.payment_dispute_id <> NEW.payment_dispute_id AND d.state <> 'won'), 0)
    THEN
        RAISE EXCEPTION 'payment % captured %, no more is disputed', disputed.payment_number,
                        disputed.captured_amount
            USING ERRCODE = 'check_violation', HINT = 'Look for the other payment of the order.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.limit_disputes() IS 'Nobody disputes more than a payment captured.';

CREATE TRIGGER payment_dispute_limit
    BEFORE INSERT OR UPDATE OF disputed_amount, payment_id ON ret.payment_dispute
    FOR EACH ROW EXECUTE FUNCTION ret.limit_disputes();


CREATE TABLE ret.processor_payout (
    business_id         uuid                 NOT NULL,
    processor_payout_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    sales_channel_id    uuid,
    payout_reference    text                 NOT NULL,
    provider            text                 NOT NULL,
    period_start        date                 NOT NULL,
    period_end          date                 NOT NULL,
    gross_amount        system_core.money    NOT NULL DEFAULT 0,
    fee_amount          system_core.money    NOT NULL DEFAULT 0,
    refund_amount       system_core.money    NOT NULL DEFAULT 0,
    dispute_amount      system_core.money    NOT NULL DEFAULT 0,
    reserve_amount      system_core.money    NOT NULL DEFAULT 0,
    net_amount          system_core.money    GENERATED ALWAYS AS (
                                                 gross_amount - fee_amount - refund_amount -
                                                 dispute_amount - reserve_amount) STORED,
    currency            system_core.currency NOT NULL,
    arrived_on          date,
    bank_reference      text,
    state               text                 NOT NULL DEFAULT 'expected',
    created_at          timestamptz          NOT NULL DEFAULT now(),
    updated_at          timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, processor_payout_id),
    UNIQUE (business_id, provider, payout_reference),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, sales_channel_id)
        REFERENCES ret.sales_channel (business_id, sales_channel_id),
    CONSTRAINT processor_payout_state_known
        CHECK (state IN ('expected', 'sent', 'paid', 'failed', 'reconciled')),
    CONSTRAINT processor_payout_period_in_order CHECK (period_start <= period_end),
    CONSTRAINT processor_payout_arrives_after_period CHECK (arrived_on >= period_start),
    CONSTRAINT processor_payout_arrived_has_date
        CHECK ((arrived_on IS NOT NULL) = (state IN ('paid', 'reconciled')))
);

COMMENT ON TABLE ret.processor_payout IS 'A bank deposit of a processor or marketplace.';
COMMENT ON COLUMN ret.processor_payout.gross_amount IS
    'Charges and adjustments; like the other amounts the sum of the entries of its kind.';
COMMENT ON COLUMN ret.processor_payout.dispute_amount IS
    'Taken back by banks, less what was won.';
COMMENT ON COLUMN ret.processor_payout.reserve_amount IS
    'Held back as a security, less what was let go.';
COMMENT ON COLUMN ret.processor_payout.net_amount IS 'What arrives in the bank.';

-- The deposits of a period, and those that did not arrive yet.
CREATE INDEX processor_payout_period_idx
    ON ret.processor_payout (business_id, period_end, state);

-- FK: the deposits of a marketplace.
CREATE INDEX processor_payout_sales_channel_idx
    ON ret.processor_payout (business_id, sales_channel_id)
    WHERE sales_channel_id IS NOT NULL;

ALTER TABLE ret.processor_payout ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.processor_payout
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.processor_payout TO app_user;
GRANT SELECT ON ret.processor_payout TO app_readonly;

CREATE TRIGGER processor_payout_touch
    BEFORE UPDATE ON ret.processor_payout
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER processor_payout_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.processor_payout
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["expected", "sent"],
        "transitions": {
            "expected":   ["sent", "failed"],
            "sent":       ["paid", "failed"],
            "failed":     ["sent"],
            "paid":       ["reconciled", "failed"],
            "reconciled": []
        }}');

CREATE FUNCTION ret.require_matched_payout() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    exceptions bigint;
BEGIN
    SELECT count(*) FILTER (WHERE e.match_state <> 'matched') INTO exceptions
    FROM ret.processor_payout_entry AS e
    WHERE e.business_id = NEW.business_id AND e.processor_payout_id = NEW.processor_payout_id;
    IF exceptions > 0 THEN
        RAISE EXCEPTION 'payout % has % entries that are not matched', NEW.payout_reference,
                        exceptions
            USING ERRCODE = 'check_violation', HINT = 'See ret.v_payout_exceptions.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.require_matched_payout() IS
    'A payout is reconciled when all of its entries are matched.';

CREATE TRIGGER processor_payout_reconciled_is_matched
    BEFORE UPDATE OF state ON ret.processor_payout
    FOR EACH ROW WHEN (NEW.state = 'reconciled' AND OLD.state <> 'reconciled')
    EXECUTE FUNCTION ret.require_matched_payout();


CREATE TABLE ret.processor_payout_entry (
    business_id               uuid              NOT NULL,
    processor_payout_entry_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    processor_payout_id       uuid              NOT NULL,
    payment_id                uuid,
    payment_dispute_id        uuid,
    entry_number              text              NOT NULL,
    entry_kind                text              NOT NULL,
    gross_amount              system_core.money NOT NULL DEFAULT 0,
    fee_amount                system_core.money NOT NULL DEFAULT 0,
    net_amount                system_core.money GENERATED ALWAYS AS (
                                                    gross_amount - fee_amount) STORED,
    occurred_on               date              NOT NULL,
    processor_reference       text,
    expected_amount           system_core.money NOT NULL DEFAULT 0,
    variance_amount           system_core.money GENERATED ALWAYS AS (
                                                    gross_amount - fee_amount - expected_amount)
                                                    STORED,
    match_state               text              NOT NULL DEFAULT 'unmatched',
    created_at                timestamptz       NOT NULL DEFAULT now(),
    updated_at                timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, processor_payout_entry_id),
    UNIQUE (business_id, processor_payout_id, entry_number),
    FOREIGN KEY (business_id, processor_payout_id)
        REFERENCES ret.processor_payout (business_id, processor_payout_id),
    FOREIGN KEY (business_id, payment_id) REFERENCES ret.payment (business_id, payment_id),
    FOREIGN KEY (business_id, payment_dispute_id)
        REFERENCES ret.payment_dispute (business_id, payment_dispute_id),
    CONSTRAINT processor_payout_entry_kind_known
        CHECK (entry_kind IN ('charge', 'refund', 'fee', 'dispute', 'dispute_reversal',
                              'adjustment', 'reserve_hold', 'reserve_release', 'tax_on_fee')),
    CONSTRAINT processor_payout_entry_match_state_known
        CHECK (match_state IN ('unmatched', 'matched', 'variance', 'unknown')),
    CONSTRAINT processor_payout_entry_sign_by_kind
        CHECK (CASE WHEN entry_kind IN ('charge', 'dispute_reversal', 'reserve_release')
                    THEN gross_amount >= 0
                    WHEN entry_kind = 'adjustment' THEN true
                    ELSE gross_amount <= 0 END),
    CONSTRAINT processor_payout_entry_dispute_is_named
        CHECK (payment_dispute_id IS NULL OR entry_kind IN ('dispute', 'dispute_reversal')),
    CONSTRAINT processor_payout_entry_matched_agrees
        CHECK (CASE match_state WHEN 'matched' THEN gross_amount - fee_amount = expected_amount
                                WHEN 'variance' THEN gross_amount - fee_amount <> expected_amount
                                ELSE true END)
);

COMMENT ON TABLE ret.processor_payout_entry IS
    'One charge, refund, fee or dispute in a payout, matched to our payment.';
COMMENT ON COLUMN ret.processor_payout_entry.gross_amount IS
    'What it adds to the payout; refunds, fees, disputes and holds are below zero.';
COMMENT ON COLUMN ret.processor_payout_entry.expected_amount IS
    'What our books say its net should be.';
COMMENT ON COLUMN ret.processor_payout_entry.match_state IS
    'unknown: the processor names something that we do not have.';

-- What has to be looked into.
CREATE INDEX processor_payout_entry_exception_idx
    ON ret.processor_payout_entry (business_id, processor_payout_id)
    WHERE match_state <> 'matched';

-- FK: where the money of a payment arrived.
CREATE INDEX processor_payout_entry_payment_idx
    ON ret.processor_payout_entry (business_id, payment_id)
    WHERE payment_id IS NOT NULL;

-- FK: what a dispute cost.
CREATE INDEX processor_payout_entry_payment_dispute_idx
    ON ret.processor_payout_entry (business_id, payment_dispute_id)
    WHERE payment_dispute_id IS NOT NULL;

ALTER TABLE ret.processor_payout_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.processor_payout_entry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.processor_payout_entry TO app_user;
GRANT SELECT ON ret.processor_payout_entry TO app_readonly;

CREATE TRIGGER processor_payout_entry_touch
    BEFORE UPDATE ON ret.processor_payout_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION ret.add_up_payouts() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    done text;
BEGIN
    PERFORM FROM ret.processor_payout AS p
    WHERE (p.business_id, p.processor_payout_id) IN (SELECT c.business_id, c.processor_payout_id
                                                     FROM changed AS c)
    ORDER BY p.processor_payout_id
    FOR NO KEY UPDATE;
    SELECT p.payout_reference INTO done
    FROM ret.processor_payout AS p
    WHERE (p.business_id, p.processor_payout_id) IN (SELECT c.business_id, c.processor_payout_id
                                                     FROM changed AS c)
      AND p.state = 'reconciled'
    ORDER BY p.payout_reference
    LIMIT 1;
    IF FOUND AND row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'payout % is reconciled, its entries stand', done
            USING ERRCODE = 'check_violation', HINT = 'Book the difference in the next payout.';
    END IF;
    UPDATE ret.processor_payout AS p
    SET gross_amount = n.gross, fee_amount = n.fees, refund_amount = n.refunds,
        dispute_amount = n.disputes, reserve_amount = n.reserves
    FROM (
        SELECT e.business_id, e.processor_payout_id,
               coalesce(sum(e.gross_amount)
                        FILTER (WHERE e.entry_kind IN ('charge', 'adjustment')), 0) AS gross,
               sum(e.fee_amount)
                   - coalesce(sum(e.gross_amount)
                              FILTER (WHERE e.entry_kind IN ('fee', 'tax_on_fee')), 0) AS fees,
               -coalesce(sum(e.gross_amount) FILTER (WHERE e.entry_kind = 'refund'), 0) AS refunds,
               -coalesce(sum(e.gross_amount) FILTER (WHERE e.entry_kind LIKE 'dispute%'), 0)
                   AS disputes,
               -coalesce(sum(e.gross_amount) FILTER (WHERE e.entry_kind LIKE 'reserve%'), 0)
                   AS reserves
        FROM ret.processor_payout_entry AS e
        WHERE (e.business_id, e.processor_payout_id)
              IN (SELECT c.business_id, c.processor_payout_id FROM changed AS c)
        GROUP BY e.business_id, e.processor_payout_id
    ) AS n
    WHERE p.business_id = n.business_id AND p.processor_payout_id = n.processor_payout_id
      AND (p.gross_amount, p.fee_amount, p.refund_amount, p.dispute_amount, p.reserve_amount)
          IS DISTINCT FROM (n.gross, n.fees, n.refunds, n.disputes, n.reserves);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.add_up_payouts() IS
    'A payout is the sum of its entries, kind by kind, and stands once it is reconciled.';

CREATE TRIGGER processor_payout_entry_add_up_on_insert
    AFTER INSERT ON ret.processor_payout_entry
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.add_up_payouts();

CREATE TRIGGER processor_payout_entry_add_up_on_update
    AFTER UPDATE ON ret.processor_payout_entry
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.add_up_payouts();

CREATE TRIGGER processor_payout_entry_add_up_on_delete
    AFTER DELETE ON ret.processor_payout_entry
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.add_up_payouts();


CREATE VIEW ret.v_payout_exceptions WITH (security_invoker = true) AS
SELECT p.business_id, p.provider, p.processor_payout_id, p.payout_reference, p.period_end,
       p.state AS payout_state, e.processor_payout_entry_id, e.entry_number, e.entry_kind,
       e.occurred_on, e.processor_reference, e.net_amount, e.expected_amount, e.variance_amount,
       e.match_state, y.payment_number, o.order_number
FROM ret.processor_payout_entry AS e
JOIN ret.processor_payout AS p
    ON p.business_id = e.business_id AND p.processor_payout_id = e.processor_payout_id
LEFT JOIN ret.payment AS y ON y.business_id = e.business_id AND y.payment_id = e.payment_id
LEFT JOIN ret.sales_order AS o
    ON o.business_id = e.business_id AND o.sales_order_id = y.sales_order_id
WHERE e.match_state <> 'matched';
COMMENT ON VIEW ret.v_payout_exceptions IS
    'What processors paid out that does not agree with our payments, by provider and payout.';
GRANT SELECT ON ret.v_payout_exceptions TO app_user, app_readonly;


CREATE TABLE ret.tax_filing (
    business_id           uuid              NOT NULL,
    tax_filing_id         uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    filed_by_user_id      uuid,
    tax_jurisdiction_id   uuid              NOT NULL,
    period_start          date              NOT NULL,
    period_end            date              NOT NULL,
    filing_frequency      text              NOT NULL,
    gross_sales           system_core.money NOT NULL DEFAULT 0,
    exempt_sales          system_core.money NOT NULL DEFAULT 0,
    taxable_sales         system_core.money GENERATED ALWAYS AS (
                                                gross_sales - exempt_sales) STORED,
    tax_collected         system_core.money NOT NULL DEFAULT 0,
    tax_due               system_core.money GENERATED ALWAYS AS (
                                                tax_collected - vendor_discount) STORED,
    marketplace_collected system_core.money NOT NULL DEFAULT 0,
    vendor_discount       system_core.money NOT NULL DEFAULT 0,
    due_on                date              NOT NULL,
    filed_at              timestamptz,
    paid_at               timestamptz,
    confirmation_number   text,
    state                 text              NOT NULL DEFAULT 'open',
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tax_filing_id),
    UNIQUE (business_id, tax_jurisdiction_id, period_start, period_end),
    FOREIGN KEY (business_id, filed_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, tax_jurisdiction_id)
        REFERENCES ret.tax_jurisdiction (business_id, tax_jurisdiction_id),
    CONSTRAINT tax_filing_frequency_known
        CHECK (filing_frequency IN ('monthly', 'quarterly', 'annual')),
    CONSTRAINT tax_filing_state_known
        CHECK (state IN ('open', 'calculated', 'filed', 'paid', 'amended')),
    CONSTRAINT tax_filing_period_in_order CHECK (period_start <= period_end),
    CONSTRAINT tax_filing_due_after_period CHECK (due_on > period_end),
    CONSTRAINT tax_filing_sales_bounded
        CHECK (gross_sales >= 0 AND exempt_sales BETWEEN 0 AND gross_sales),
    CONSTRAINT tax_filing_discount_bounded CHECK (vendor_discount BETWEEN 0 AND tax_collected),
    CONSTRAINT tax_filing_filed_has_time
        CHECK ((filed_at IS NOT NULL) = (state IN ('filed', 'paid', 'amended'))),
    CONSTRAINT tax_filing_filed_by_somebody
        CHECK (filed_at IS NULL OR filed_by_user_id IS NOT NULL),
    CONSTRAINT tax_filing_paid_has_time CHECK (state <> 'paid' OR paid_at IS NOT NULL),
    CONSTRAINT tax_filing_paid_after_filed CHECK (paid_at >= filed_at)
);

COMMENT ON TABLE ret.tax_filing IS 'A sales-tax return of a jurisdiction for a period.';
COMMENT ON COLUMN ret.tax_filing.tax_collected IS
    'By us; what a marketplace collected it hands on itself.';
COMMENT ON COLUMN ret.tax_filing.vendor_discount IS
    'What the jurisdiction lets the retailer keep for collecting.';

-- What has to be filed next.
CREATE INDEX tax_filing_due_idx
    ON ret.tax_filing (business_id, due_on)
    WHERE state IN ('open', 'calculated');

-- FK: what somebody filed.
CREATE INDEX tax_filing_filed_by_user_idx
    ON ret.tax_filing (business_id, filed_by_user_id)
    WHERE filed_by_user_id IS NOT NULL;

ALTER TABLE ret.tax_filing ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.tax_filing
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.tax_filing TO app_user;
GRANT SELECT ON ret.tax_filing TO app_readonly;

CREATE TRIGGER tax_filing_touch
    BEFORE UPDATE ON ret.tax_filing
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER tax_filing_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.tax_filing
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["open"],
        "transitions": {
            "open":       ["calculated"],
            "calculated": ["open", "filed"],
            "filed":      ["paid", "amended"],
            "paid":       ["amended"],
            "amended":    ["paid"]
        }}');

CREATE FUNCTION ret.keep_filed_figures() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the return of % to % is filed, its figures stand', OLD.period_start,
                    OLD.period_end
        USING ERRCODE = 'check_violation', HINT = 'Amend it.';
END
$$;
COMMENT ON FUNCTION ret.keep_filed_figures() IS 'What was filed stands until it is amended.';

CREATE TRIGGER tax_filing_filed_stands
    BEFORE UPDATE ON ret.tax_filing
    FOR EACH ROW WHEN (OLD.state IN ('filed', 'paid') AND NEW.state <> 'amended'
                       AND (OLD.gross_sales, OLD.exempt_sales, OLD.tax_collected,
                            OLD.marketplace_collected, OLD.vendor_discount)
                           IS DISTINCT FROM
                           (NEW.gross_sales, NEW.exempt_sales, NEW.tax_collected,
                            NEW.marketplace_collected, NEW.vendor_discount))
    EXECUTE FUNCTION ret.keep_filed_figures();


CREATE FUNCTION ret.calculate_tax_filing(filing uuid) RETURNS numeric
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    found  ret.tax_filing;
    zone   text;
    due    numeric;
BEGIN
    SELECT f.* INTO found
    FROM ret.tax_filing AS f
    WHERE f.business_id = tenant AND f.tax_filing_id = filing
    FOR UPDATE;
    IF found.state NOT IN ('open', 'calculated', 'amended') THEN
        RAISE EXCEPTION 'the return is %, it is not calculated', found.state
            USING ERRCODE = 'check_violation', HINT = 'Amend it first.';
    END IF;
    SELECT b.time_zone INTO zone
    FROM tenant_mgmt.business AS b
    WHERE b.business_id = tenant;
    UPDATE ret.tax_filing AS f
    SET gross_sales = n.gross, exempt_sales = n.exempt, tax_collected = n.own,
        marketplace_collected = n.others,
        vendor_discount = least(f.vendor_discount, n.own),
        state = CASE f.state WHEN 'open' THEN 'calculated' ELSE f.state END
    FROM (
        SELECT coalesce(sum(t.taxable_amount), 0) AS gross,
               coalesce(sum(t.taxable_amount) FILTER (WHERE t.is_exempt), 0) AS exempt,
               coalesce(sum(t.tax_amount) FILTER (WHERE t.collected_by = 'retailer'), 0) AS own,
               coalesce(sum(t.tax_amount) FILTER (WHERE t.collected_by = 'marketplace'), 0)
                   AS others
        FROM ret.order_tax_line AS t
        JOIN ret.sales_order AS o
            ON o.business_id = t.business_id AND o.sales_order_id = t.sales_order_id
        WHERE t.business_id = tenant AND t.tax_jurisdiction_id = found.tax_jurisdiction_id
          AND o.state NOT IN ('pending', 'cancelled')
          AND o.placed_at >= found.period_start::timestamp AT TIME ZONE zone
          AND o.placed_at < (found.period_end + 1)::timestamp AT TIME ZONE zone
    ) AS n
    WHERE f.business_id = tenant AND f.tax_filing_id = filing
    RETURNING f.tax_due INTO due;
    RETURN due;
END
$$;
COMMENT ON FUNCTION ret.calculate_tax_filing(uuid) IS
    'Figures a return from the tax lines of the orders placed in its period; returns what is due.';


CREATE FUNCTION ret.take_tenders(
    sales_order uuid, session uuid, tenders jsonb, layaway uuid DEFAULT NULL
) RETURNS numeric
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    owed   record;
    total  numeric;
BEGIN
    SELECT o.grand_total - o.paid_total AS due, o.currency, o.order_number INTO owed
    FROM ret.sales_order AS o
    WHERE o.business_id = tenant AND o.sales_order_id = sales_order
    FOR NO KEY UPDATE;
    WITH given AS (
        SELECT t.*, system_core.uuid_v7() AS payment_id,
               -- The one tender without an amount pays what the others leave.
               coalesce(t.pays, owed.due - coalesce(sum(t.pays) OVER (), 0)) AS amount
        FROM JSON_TABLE(tenders, '$[*]' COLUMNS (
            place        FOR ORDINALITY,
            tender       text    PATH '$.tender',
            pays         numeric PATH '$.amount',
            tendered     numeric PATH '$.tendered',
            gift_card    uuid    PATH '$.gift_card',
            store_credit uuid    PATH '$.store_credit',
            token        uuid    PATH '$.token',
            brand        text    PATH '$.brand',
            last4        text    PATH '$.last4',
            entry_mode   text    PATH '$.entry_mode',
            reference    text    PATH '$.reference')) AS t
    ), made AS (
        INSERT INTO ret.payment
            (business_id, payment_id, sales_order_id, register_session_id, payment_token_id,
             gift_card_id, store_credit_id, layaway_id, payment_number, tender, amount,
             captured_amount, amount_tendered, currency, card_brand, card_last4, entry_mode, state,
             authorised_at, captured_at, processor_reference)
        SELECT tenant, g.payment_id, sales_order, session, g.token, g.gift_card, g.store_credit,
               layaway, system_core.number_document(tenant, 'ret.payment', 'P-', g.payment_id),
               g.tender, g.amount, g.amount,
               CASE WHEN g.tender = 'cash' THEN coalesce(g.tendered, g.amount) END, owed.currency,
               g.brand, g.last4,
               CASE WHEN g.tender = 'card' THEN coalesce(g.entry_mode, 'contactless')
                    ELSE g.entry_mode END, 'captured', now(), now(), g.reference
        FROM given AS g
        ORDER BY g.place
        RETURNING payment_id, tender, amount, processor_reference
    ), tried AS (
        INSERT INTO ret.payment_attempt
            (business_id, payment_id, attempted_at, operation, amount, outcome, response_code,
             gateway_reference)
        SELECT tenant, m.payment_id, now(), 'capture', m.amount, 'approved', '00',
               m.processor_reference
        FROM made AS m
        WHERE m.tender IN ('card', 'wallet', 'bnpl')
    )
    SELECT sum(m.amount) INTO total FROM made AS m;
    RETURN coalesce(total, 0);
END
$$;
COMMENT ON FUNCTION ret.take_tenders(uuid, uuid, jsonb, uuid) IS
    'Takes tenders for an order that is locked meanwhile: [{"tender": "cash", "amount": 10,
     "tendered": 20}, {"tender": "card", "reference": "ch_1"}]; one may leave out its amount and
     pays the rest. Returns what was taken.';


CREATE FUNCTION ret.sell_lines(sales_order uuid, store uuid, lines jsonb) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    sold   record;
    wanted bigint;
    made   bigint;
BEGIN
    SELECT o.sales_channel_id, o.customer_id, o.placed_at INTO sold
    FROM ret.sales_order AS o
    WHERE o.business_id = tenant AND o.sales_order_id = sales_order;
    SELECT count(*) INTO wanted FROM jsonb_array_elements(lines);
    INSERT INTO ret.sales_order_line
        (business_id, sales_order_id, product_variant_id, serial_unit_id, line_number,
         product_title, sku_sold, quantity, unit_price, list_price, price_source, discount_amount,
         unit_cost, fulfilled_qty, fulfilment_choice, override_reason)
    SELECT tenant, sales_order, v.product_variant_id, b.serial, b.place,
           concat_ws(', ', p.title, v.title), v.sku, b.quantity, coalesce(b.price, n.price),
           greatest(r.compare_at, n.price),
           CASE WHEN b.price <> n.price THEN 'override'
                WHEN k.book_kind = 'clearance' THEN 'markdown'
                WHEN k.book_kind <> 'base' THEN 'price_book'
                ELSE 'base' END,
           coalesce(b.discount, 0), coalesce(v.average_cost, v.standard_cost, 0), b.quantity,
           'carry_out', CASE WHEN b.price <> n.price
                             THEN coalesce(b.reason, 'keyed at the till') END
    FROM JSON_TABLE(lines, '$[*]' COLUMNS (
        place    FOR ORDINALITY,
        variant  uuid    PATH '$.variant',
        barcode  text    PATH '$.barcode',
        quantity numeric PATH '$.quantity' DEFAULT 1 ON EMPTY,
        price    numeric PATH '$.price',
        reason   text    PATH '$.reason',
        discount numeric PATH '$.discount',
        serial   uuid    PATH '$.serial')) AS b
    LEFT JOIN ret.variant_barcode AS c
        ON b.variant IS NULL AND c.business_id = tenant AND c.barcode = b.barcode
       AND c.retired_on IS NULL
    JOIN ret.product_variant AS v
        ON v.business_id = tenant
       AND v.product_variant_id = coalesce(b.variant, c.product_variant_id)
    JOIN ret.product AS p ON p.business_id = v.business_id AND p.product_id = v.product_id
    LEFT JOIN LATERAL ret.resolve_price(v.product_variant_id, sold.sales_channel_id, store,
                                        sold.customer_id, b.quantity, sold.placed_at) AS r ON true
    LEFT JOIN ret.price_book AS k
        ON k.business_id = tenant AND k.price_book_id = r.price_book_id
    CROSS JOIN LATERAL (SELECT coalesce(r.price, v.list_price) AS price) AS n;
    GET DIAGNOSTICS made = ROW_COUNT;
    IF made <> wanted OR made = 0 THEN
        RAISE EXCEPTION 'of % lines % are known goods', wanted, made
            USING ERRCODE = 'check_violation', HINT = 'Name a variant or a barcode in use.';
    END IF;
    INSERT INTO ret.order_adjustment
        (business_id, sales_order_id, sales_order_line_id, approved_by_user_id, adjustment_kind,
         label, amount)
    SELECT tenant, sales_order, l.sales_order_line_id, b.approver, 'manual',
           coalesce(b.reason, 'Discount at the till'), -l.discount_amount
    FROM JSON_TABLE(lines, '$[*]' COLUMNS (
        place    FOR ORDINALITY,
        reason   text PATH '$.reason',
        approver uuid PATH '$.approved_by')) AS b
    JOIN ret.sales_order_line AS l
        ON l.business_id = tenant AND l.sales_order_id = sales_order
       AND l.line_number = b.place AND l.discount_amount > 0;
END
$$;
COMMENT ON FUNCTION ret.sell_lines(uuid, uuid, jsonb) IS
    'Puts scanned goods on an order: [{"barcode": "…", "quantity": 2, "price": 9, "reason": "…",
     "discount": 1, "approved_by": "…"}]. Goods cost what the price books say in that store, or
     their list price; another price is an override.';


CREATE FUNCTION ret.hand_over_stock(sales_order uuid, store uuid) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    line   record;
    rest   numeric;
BEGIN
    -- In the order of the variants: two tills that sell the same goods never block each other.
    PERFORM FROM ret.stock_level AS k
    WHERE k.business_id = tenant AND k.location_id = store
      AND k.product_variant_id IN (
          SELECT coalesce(c.component_variant_id, l.product_variant_id)
          FROM ret.sales_order_line AS l
          LEFT JOIN ret.bundle_component AS c
              ON c.business_id = l.business_id AND c.bundle_variant_id = l.product_variant_id
             AND NOT c.is_optional
          WHERE l.business_id = tenant AND l.sales_order_id = sales_order)
    ORDER BY k.product_variant_id, k.stock_level_id
    FOR NO KEY UPDATE;
    FOR line IN
        SELECT l.product_variant_id, l.quantity, l.unit_cost, u.serial_number, p.tracking
        FROM ret.sales_order_line AS l
        JOIN ret.product_variant AS v
            ON v.business_id = l.business_id AND v.product_variant_id = l.product_variant_id
        JOIN ret.product AS p
            ON p.business_id = v.business_id AND p.product_id = v.product_id
           AND p.product_kind IN ('simple', 'configurable')
        LEFT JOIN ret.serial_unit AS u
            ON u.business_id = l.business_id AND u.serial_unit_id = l.serial_unit_id
        WHERE l.business_id = tenant AND l.sales_order_id = sales_order
        ORDER BY l.product_variant_id, l.line_number
    LOOP
        -- First expired, first out; what no lot covers leaves without one.
        WITH moved AS (
            INSERT INTO ret.stock_movement
                (business_id, product_variant_id, location_id, movement_kind, from_state, to_state,
                 quantity, unit_cost, source_kind, source_id, stock_lot_id)
            SELECT tenant, line.product_variant_id, store, 'sale', 'available', 'none',
                   x.quantity, line.unit_cost, 'sale', sales_order, x.stock_lot_id
            FROM ret.pick_lots(store, line.product_variant_id, line.quantity, current_date) AS x
            WHERE line.tracking = 'lot'
            RETURNING quantity
        )
        SELECT line.quantity - coalesce(sum(m.quantity), 0) INTO rest FROM moved AS m;
        INSERT INTO ret.stock_movement
            (business_id, product_variant_id, location_id, movement_kind, from_state, to_state,
             quantity, unit_cost, source_kind, source_id, serial_number)
        SELECT tenant, line.product_variant_id, store, 'sale', 'available', 'none', rest,
               line.unit_cost, 'sale', sales_order, line.serial_number
        WHERE rest > 0;
    END LOOP;
    -- A bundle has no stock of its own: its parts leave.
    INSERT INTO ret.stock_movement
        (business_id, product_variant_id, location_id, occurred_at, movement_kind, from_state,
         to_state, quantity, unit_cost, source_kind, source_id)
    SELECT tenant, c.component_variant_id, store, now(), 'sale', 'available', 'none',
           sum(l.quantity * c.quantity), max(v.average_cost), 'sale', sales_order
    FROM ret.sales_order_line AS l
    JOIN ret.bundle_component AS c
        ON c.business_id = l.business_id AND c.bundle_variant_id = l.product_variant_id
       AND NOT c.is_optional
    JOIN ret.product_variant AS v
        ON v.business_id = c.business_id AND v.product_variant_id = c.component_variant_id
    WHERE l.business_id = tenant AND l.sales_order_id = sales_order
    GROUP BY c.component_variant_id
    ORDER BY c.component_variant_id;
END
$$;
COMMENT ON FUNCTION ret.hand_over_stock(uuid, uuid) IS
    'What is carried out of a store leaves its stock: lots that expire first, the named units, the
     parts of a bundle.';


CREATE FUNCTION ret.complete_pos_sale(session uuid, basket jsonb, tenders jsonb) RETURNS uuid
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    tenant  CONSTANT uuid := tenant_mgmt.current_business_id();
    key     CONSTANT text := coalesce(basket ->> 'key', system_core.uuid_v7()::text);
    till    record;
    sale    record;
    made    uuid := system_core.uuid_v7();
    receipt uuid;
    taken   numeric;
BEGIN
    SELECT s.state, s.opened_by_user_id, s.business_date, r.register_id, r.location_id,
           r.register_code, r.cash_enabled, coalesce(l.currency, c.currency) AS currency,
           coalesce((basket ->> 'channel')::uuid, c.sales_channel_id) AS channel
    INTO till
    FROM ret.register_session AS s
    JOIN ret.register AS r ON r.business_id = s.business_id AND r.register_id = s.register_id
    JOIN ret.location AS l ON l.business_id = r.business_id AND l.location_id = r.location_id
    LEFT JOIN LATERAL (
        SELECT x.sales_channel_id, x.currency
        FROM ret.sales_channel AS x
        WHERE x.business_id = s.business_id AND x.channel_kind = 'store' AND x.is_active
        ORDER BY x.channel_code
        LIMIT 1
    ) AS c ON true
    WHERE s.business_id = tenant AND s.register_session_id = session
    FOR NO KEY UPDATE OF s;
    IF till.state IS DISTINCT FROM 'open' THEN
        RAISE EXCEPTION 'the register session is %', coalesce(till.state, 'not there')
            USING ERRCODE = 'check_violation', HINT = 'Open a session on the register.';
    ELSIF NOT till.cash_enabled AND tenders @> '[{"tender": "cash"}]' THEN
        RAISE EXCEPTION 'register % takes no cash', till.register_code
            USING ERRCODE = 'check_violation', HINT = 'Pay another way or at another register.';
    END IF;
    -- A till that sends a sale again, after a broken line, gets the same order.
    SELECT o.sales_order_id INTO sale
    FROM ret.sales_order AS o
    WHERE o.business_id = tenant AND o.idempotency_key = key;
    IF FOUND THEN
        RETURN sale.sales_order_id;
    END IF;

    INSERT INTO ret.sales_order
        (business_id, sales_order_id, sold_location_id, sold_by_user_id, sales_channel_id,
         customer_id, order_number, order_kind, state, currency, idempotency_key)
    VALUES (tenant, made, till.location_id,
            coalesce((basket ->> 'cashier')::uuid, till.opened_by_user_id), till.channel,
            (basket ->> 'customer')::uuid,
            system_core.number_document(tenant, 'ret.order', 'O-', made), 'sale', 'confirmed',
            till.currency, key);
    PERFORM ret.sell_lines(made, till.location_id, basket -> 'lines');
    PERFORM ret.calculate_tax(made);
    -- Stock before money, as a return takes them: neither waits for the other crosswise.
    PERFORM ret.hand_over_stock(made, till.location_id);
    taken := ret.take_tenders(made, session, tenders);
    SELECT o.grand_total, o.subtotal, o.discount_total, o.tax_total, o.placed_at, o.customer_id,
           o.sold_by_user_id INTO sale
    FROM ret.sales_order AS o
    WHERE o.business_id = tenant AND o.sales_order_id = made;
    IF taken <> sale.grand_total THEN
        RAISE EXCEPTION 'the sale comes to %, its tenders to %', sale.grand_total, taken
            USING ERRCODE = 'check_violation', HINT = 'Take the rest before the receipt.';
    END IF;
    receipt := ret.print_receipt(session, made, 'sale', basket ->> 'receipt');
    INSERT INTO ret.pos_journal_event
        (business_id, register_session_id, actor_user_id, event_kind, receipt_number, quantity,
         amount, approver_name, payload)
    SELECT tenant, session, t.cashier_user_id, 'price_override', t.receipt_number, l.quantity,
           round(l.quantity * (l.list_price - l.unit_price), 2), u.display_name,
           jsonb_build_object('line', l.line_number, 'reason', l.override_reason)
    FROM ret.pos_transaction AS t
    JOIN ret.sales_order_line AS l
        ON l.business_id = t.business_id AND l.sales_order_id = t.sales_order_id
       AND l.price_source = 'override' AND l.unit_price < l.list_price
    JOIN JSON_TABLE(basket, '$.lines[*]' COLUMNS (
        place    FOR ORDINALITY,
        approver uuid PATH '$.approved_by')) AS b ON b.place = l.line_number
    LEFT JOIN user_mgmt.user_account AS u
        ON u.business_id = t.business_id AND u.user_account_id = b.approver
    WHERE t.business_id = tenant AND t.pos_transaction_id = receipt;
    -- A sale that is complete earns its points.
    UPDATE ret.sales_order AS o
    SET state = 'completed'
    WHERE o.business_id = tenant AND o.sales_order_id = made;
    RETURN made;
END
$$;
COMMENT ON FUNCTION ret.complete_pos_sale(uuid, jsonb, jsonb) IS
    'A sale at a till in one call: {"key": "…", "customer": "…", "lines": […]} and its tenders, as
     sell_lines() and take_tenders() read them; order, taxes, payments, stock, receipt and points.
     The same key returns the same order.';


CREATE FUNCTION ret.print_receipt(
    session     uuid,
    sales_order uuid,
    kind        text,
    delivery    text DEFAULT NULL,
    part        numeric DEFAULT NULL
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    number text;
    made   uuid;
BEGIN
    UPDATE ret.register AS r
    SET receipt_sequence = r.receipt_sequence + 1, last_seen_at = now()
    FROM ret.register_session AS s
    WHERE s.business_id = tenant AND s.register_session_id = session
      AND r.business_id = s.business_id AND r.register_id = s.register_id
    RETURNING r.register_code || '-' || lpad(r.receipt_sequence::text, 8, '0') INTO number;
    INSERT INTO ret.pos_transaction
        (business_id, register_session_id, cashier_user_id, sales_order_id, customer_id,
         receipt_number, transaction_kind, business_date, started_at, completed_at, item_count,
         gross_total, discount_total, tax_total, net_total, receipt_delivery)
    SELECT tenant, session, coalesce(o.sold_by_user_id, s.opened_by_user_id), o.sales_order_id,
           o.customer_id, number, kind, s.business_date,
           CASE WHEN part IS NULL THEN o.placed_at ELSE now() END, greatest(now(), o.placed_at),
           (SELECT ceil(coalesce(sum(l.quantity), 0)) FROM ret.sales_order_line AS l
            WHERE l.business_id = tenant AND l.sales_order_id = sales_order),
           n.gross, n.discounts, n.taxes, n.gross - n.discounts + n.taxes,
           coalesce(delivery, 'print')
    FROM ret.sales_order AS o
    CROSS JOIN LATERAL (
        SELECT coalesce(part, o.subtotal) AS gross,
               CASE WHEN part IS NULL THEN o.discount_total ELSE 0 END AS discounts,
               CASE WHEN part IS NULL THEN o.tax_total ELSE 0 END AS taxes
    ) AS n
    JOIN ret.register_session AS s
        ON s.business_id = o.business_id AND s.register_session_id = session
    WHERE o.business_id = tenant AND o.sales_order_id = sales_order
    RETURNING pos_transaction_id INTO made;
    INSERT INTO ret.pos_journal_event
        (business_id, register_session_id, actor_user_id, event_kind, receipt_number, amount,
         payload)
    SELECT tenant, session, t.cashier_user_id, 'tender', number, p.captured_amount,
           jsonb_build_object('tender', p.tender, 'payment', p.payment_number)
    FROM ret.pos_transaction AS t
    JOIN ret.payment AS p
        ON p.business_id = t.business_id AND p.sales_order_id = t.sales_order_id
       AND p.register_session_id = session AND p.captured_at >= t.started_at
    WHERE t.business_id = tenant AND t.pos_transaction_id = made;
    RETURN made;
END
$$;
COMMENT ON FUNCTION ret.print_receipt(uuid, uuid, text, text, numeric) IS
    'The next receipt of a register: for what an order comes to, or for the part that is paid.';


CREATE FUNCTION ret.pay_layaway(layaway uuid, amount numeric, session uuid, tenders jsonb)
    RETURNS numeric
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    aside  record;
    part   record;
    rest   numeric := amount;
    slip   uuid;
    owed   numeric;
BEGIN
    SELECT l.sales_order_id, l.layaway_number, l.state, l.balance_amount INTO aside
    FROM ret.layaway AS l
    WHERE l.business_id = tenant AND l.layaway_id = layaway
    FOR NO KEY UPDATE;
    IF aside.state IS DISTINCT FROM 'open' THEN
        RAISE EXCEPTION 'layaway % is %', aside.layaway_number, coalesce(aside.state, 'not there')
            USING ERRCODE = 'check_violation', HINT = 'Only an open one takes instalments.';
    ELSIF amount > aside.balance_amount OR amount <= 0 THEN
        RAISE EXCEPTION 'layaway % owes %, not %', aside.layaway_number, aside.balance_amount,
                        amount
            USING ERRCODE = 'check_violation', HINT = 'Take what it owes, or a part of it.';
    ELSIF ret.take_tenders(aside.sales_order_id, session, tenders, layaway) <> amount THEN
        RAISE EXCEPTION 'the tenders do not come to %', amount
            USING ERRCODE = 'check_violation', HINT = 'Say what each tender pays.';
    END IF;
    IF session IS NOT NULL THEN
        slip := ret.print_receipt(session, aside.sales_order_id, 'layaway', NULL, amount);
    END IF;
    FOR part IN
        SELECT i.layaway_instalment_id, i.due_amount + i.late_fee - i.paid_amount AS due
        FROM ret.layaway_instalment AS i
        WHERE i.business_id = tenant AND i.layaway_id = layaway AND i.state IN ('due', 'late')
        ORDER BY i.instalment_no
    LOOP
        EXIT WHEN rest = 0;
        UPDATE ret.layaway_instalment AS i
        SET paid_amount = i.paid_amount + least(part.due, rest), paid_at = now(),
            pos_transaction_id = slip,
            state = CASE WHEN rest >= part.due THEN 'paid' ELSE i.state END
        WHERE i.business_id = tenant AND i.layaway_instalment_id = part.layaway_instalment_id;
        rest := rest - least(part.due, rest);
    END LOOP;
    SELECT l.balance_amount INTO owed
    FROM ret.layaway AS l
    WHERE l.business_id = tenant AND l.layaway_id = layaway;
    RETURN owed;
END
$$;
COMMENT ON FUNCTION ret.pay_layaway(uuid, numeric, uuid, jsonb) IS
    'Takes money for a layaway, the oldest instalment first, and prints a receipt at a till; returns
     what is still owed.';
