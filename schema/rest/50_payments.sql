/*
 * Payments: what is taken off a check, and what is paid.
 *
 * A check_adjustment is a discount, comp or reward (below zero), or a charge, gratuity or rounding,
 * put on a check or one of its lines. A check_payment is one tender with its tip; payment_attempt
 * is every call to the processor for it, approved or not; payment_refund gives money back, never
 * more than was taken. Payments, refunds and adjustments figure their check anew; cash also goes
 * through the drawer, gift cards through their ledger.
 */

CREATE TABLE rest.check_adjustment (
    business_id          uuid                   NOT NULL,
    check_adjustment_id  uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    approved_by_staff_id uuid,
    guest_check_id       uuid                   NOT NULL,
    check_item_id        uuid,
    discount_id          uuid,
    service_charge_id    uuid,
    reward_issue_id      uuid,
    reason_code_id       uuid,
    adjustment_kind      text                   NOT NULL,
    label                text                   NOT NULL,
    basis_amount         system_core.money      NOT NULL DEFAULT 0,
    rate_pct             system_core.percentage,
    amount               system_core.money      NOT NULL,
    is_taxable           boolean                NOT NULL DEFAULT false,
    sequence_no          integer                NOT NULL,
    applied_at           timestamptz            NOT NULL DEFAULT now(),
    state                text                   NOT NULL DEFAULT 'applied',
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, check_adjustment_id),
    FOREIGN KEY (business_id, approved_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, guest_check_id)
        REFERENCES rest.guest_check (business_id, guest_check_id),
    FOREIGN KEY (business_id, check_item_id)
        REFERENCES rest.check_item (business_id, check_item_id),
    FOREIGN KEY (business_id, discount_id) REFERENCES rest.discount (business_id, discount_id),
    FOREIGN KEY (business_id, service_charge_id)
        REFERENCES rest.service_charge (business_id, service_charge_id),
    FOREIGN KEY (business_id, reward_issue_id)
        REFERENCES rest.reward_issue (business_id, reward_issue_id),
    FOREIGN KEY (business_id, reason_code_id)
        REFERENCES rest.reason_code (business_id, reason_code_id),
    CONSTRAINT check_adjustment_kind_known
        CHECK (adjustment_kind IN ('discount', 'comp', 'reward', 'service_charge',
                                   'auto_gratuity', 'surcharge', 'rounding')),
    CONSTRAINT check_adjustment_state_known CHECK (state IN ('pending', 'applied', 'voided')),
    CONSTRAINT check_adjustment_comp_is_approved
        CHECK (adjustment_kind <> 'comp'
               OR (approved_by_staff_id IS NOT NULL AND reason_code_id IS NOT NULL)),
    CONSTRAINT check_adjustment_sign_by_kind
        CHECK (CASE WHEN adjustment_kind IN ('discount', 'comp', 'reward') THEN amount <= 0
                    WHEN adjustment_kind = 'rounding' THEN amount BETWEEN -1 AND 1
                    ELSE amount >= 0 END),
    CONSTRAINT check_adjustment_has_one_source
        CHECK (num_nonnulls(discount_id, service_charge_id, reward_issue_id)
               = CASE WHEN adjustment_kind = 'rounding' THEN 0 ELSE 1 END),
    CONSTRAINT check_adjustment_line_takes_off
        CHECK (check_item_id IS NULL OR adjustment_kind IN ('discount', 'comp', 'reward'))
);

COMMENT ON TABLE rest.check_adjustment IS
    'Discount, comp, reward, service charge or surcharge applied to a check or line.';

-- FK: what a manager approved.
CREATE INDEX check_adjustment_approved_by_staff_idx
    ON rest.check_adjustment (business_id, approved_by_staff_id)
    WHERE approved_by_staff_id IS NOT NULL;

-- FK: what was put on a check and taken off.
CREATE INDEX check_adjustment_guest_check_idx
    ON rest.check_adjustment (business_id, guest_check_id);

-- FK: the discounts of a line.
CREATE INDEX check_adjustment_check_item_idx
    ON rest.check_adjustment (business_id, check_item_id)
    WHERE check_item_id IS NOT NULL;

-- FK: the use of a discount.
CREATE INDEX check_adjustment_discount_idx
    ON rest.check_adjustment (business_id, discount_id)
    WHERE discount_id IS NOT NULL;

-- FK: the use of a charge.
CREATE INDEX check_adjustment_service_charge_idx
    ON rest.check_adjustment (business_id, service_charge_id)
    WHERE service_charge_id IS NOT NULL;

-- FK: where a reward went.
CREATE INDEX check_adjustment_reward_issue_idx
    ON rest.check_adjustment (business_id, reward_issue_id)
    WHERE reward_issue_id IS NOT NULL;

-- FK: the comps for a reason.
CREATE INDEX check_adjustment_reason_code_idx
    ON rest.check_adjustment (business_id, reason_code_id)
    WHERE reason_code_id IS NOT NULL;

ALTER TABLE rest.check_adjustment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.check_adjustment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.check_adjustment TO app_user;
GRANT SELECT ON rest.check_adjustment TO app_readonly;

CREATE TRIGGER check_adjustment_touch
    BEFORE UPDATE ON rest.check_adjustment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION rest.take_off_lines() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM changed AS x WHERE x.check_item_id IS NOT NULL) THEN
        RETURN NULL;
    END IF;
    UPDATE rest.check_item AS i
    SET discount_amount = n.amount
    FROM (
        SELECT c.business_id, c.check_item_id,
               coalesce(-sum(a.amount) FILTER (WHERE a.state = 'applied'), 0) AS amount
        FROM (SELECT DISTINCT x.business_id, x.check_item_id FROM changed AS x) AS c
        LEFT JOIN rest.check_adjustment AS a
            ON a.business_id = c.business_id AND a.check_item_id = c.check_item_id
        WHERE c.check_item_id IS NOT NULL
        GROUP BY c.business_id, c.check_item_id
    ) AS n
    WHERE i.business_id = n.business_id AND i.check_item_id = n.check_item_id
      AND i.discount_amount <> n.amount;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.take_off_lines() IS
    'The discount of a line is the sum of its adjustments.';

CREATE TRIGGER check_adjustment_lines_on_insert
    AFTER INSERT ON rest.check_adjustment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.take_off_lines();

CREATE TRIGGER check_adjustment_lines_on_update
    AFTER UPDATE ON rest.check_adjustment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.take_off_lines();

CREATE TRIGGER check_adjustment_refigure_on_insert
    AFTER INSERT ON rest.check_adjustment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.refigure_checks();

CREATE TRIGGER check_adjustment_refigure_on_update
    AFTER UPDATE ON rest.check_adjustment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.refigure_checks();


CREATE TABLE rest.check_payment (
    business_id            uuid                 NOT NULL,
    check_payment_id       uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    taken_by_staff_id      uuid,
    guest_check_id         uuid                 NOT NULL,
    business_day_id        uuid                 NOT NULL,
    pos_device_id          uuid,
    cash_drawer_session_id uuid,
    gift_card_id           uuid,
    payment_number         text                 NOT NULL,
    tender                 text                 NOT NULL,
    amount                 system_core.money    NOT NULL,
    tip_amount             system_core.money    NOT NULL DEFAULT 0,
    amount_tendered        system_core.money,
    change_given           system_core.money    GENERATED ALWAYS AS (
                                            amount_tendered - amount - tip_amount) STORED,
    currency               system_core.currency NOT NULL,
    card_brand             text,
    card_last4             text,
    entry_mode             text,
    state                  text                 NOT NULL DEFAULT 'initiated',
    authorised_at          timestamptz,
    captured_at            timestamptz,
    processor_reference    text,
    settlement_batch       text,
    processing_fee         system_core.money    NOT NULL DEFAULT 0,
    created_at             timestamptz          NOT NULL DEFAULT now(),
    updated_at             timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, check_payment_id),
    UNIQUE (business_id, business_day_id, payment_number),
    FOREIGN KEY (business_id, taken_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, guest_check_id)
        REFERENCES rest.guest_check (business_id, guest_check_id),
    FOREIGN KEY (business_id, business_day_id)
        REFERENCES rest.business_day (business_id, business_day_id),
    FOREIGN KEY (business_id, pos_device_id)
        REFERENCES rest.pos_device (business_id, pos_device_id),
    FOREIGN KEY (business_id, gift_card_id) REFERENCES rest.gift_card (business_id, gift_card_id),
    CONSTRAINT check_payment_tender_known
        CHECK (tender IN ('cash', 'card', 'gift_card', 'house_account', 'voucher', 'marketplace',
                          'mobile_wallet', 'other')),
    CONSTRAINT check_payment_entry_mode_known
        CHECK (entry_mode IN ('chip', 'contactless', 'swiped', 'keyed', 'online', 'saved_card')),
    CONSTRAINT check_payment_state_known
        CHECK (state IN ('initiated', 'authorised', 'captured', 'declined', 'voided', 'refunded')),
    CONSTRAINT check_payment_amount_positive CHECK (amount > 0),
    CONSTRAINT check_payment_tip_not_negative CHECK (tip_amount >= 0),
    CONSTRAINT check_payment_cash_goes_in_a_drawer
        CHECK ((cash_drawer_session_id IS NOT NULL) = (tender = 'cash')),
    CONSTRAINT check_payment_gift_card_is_named
        CHECK ((gift_card_id IS NOT NULL) = (tender = 'gift_card')),
    CONSTRAINT check_payment_cash_is_enough
        CHECK (amount_tendered >= amount + tip_amount),
    CONSTRAINT check_payment_cash_has_tendered
        CHECK (tender <> 'cash' OR amount_tendered IS NOT NULL),
    CONSTRAINT check_payment_captured_has_time
        CHECK (state NOT IN ('captured', 'refunded') OR captured_at IS NOT NULL),
    CONSTRAINT check_payment_captured_after_approval CHECK (captured_at >= authorised_at),
    CONSTRAINT check_payment_last4_is_four_digits CHECK (card_last4 ~ '^[0-9]{4}$')
);

COMMENT ON TABLE rest.check_payment IS 'A tender taken against a check, with its tip.';
COMMENT ON COLUMN rest.check_payment.change_given IS 'NULL where nothing was handed over.';

-- FK: what somebody took, for tips and losses.
CREATE INDEX check_payment_taken_by_staff_idx
    ON rest.check_payment (business_id, taken_by_staff_id)
    WHERE taken_by_staff_id IS NOT NULL;

-- FK: the payments of a check.
CREATE INDEX check_payment_guest_check_idx ON rest.check_payment (business_id, guest_check_id);

-- FK: what was paid at a device.
CREATE INDEX check_payment_pos_device_idx
    ON rest.check_payment (business_id, pos_device_id)
    WHERE pos_device_id IS NOT NULL;

-- FK: the cash of a drawer.
CREATE INDEX check_payment_cash_drawer_session_idx
    ON rest.check_payment (business_id, cash_drawer_session_id)
    WHERE cash_drawer_session_id IS NOT NULL;

-- FK: what a gift card paid for.
CREATE INDEX check_payment_gift_card_idx
    ON rest.check_payment (business_id, gift_card_id)
    WHERE gift_card_id IS NOT NULL;

ALTER TABLE rest.check_payment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.check_payment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.check_payment TO app_user;
GRANT SELECT ON rest.check_payment TO app_readonly;

CREATE TRIGGER check_payment_touch
    BEFORE UPDATE ON rest.check_payment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER check_payment_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.check_payment
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["initiated", "authorised", "captured", "declined"],
        "transitions": {
            "initiated":  ["authorised", "captured", "declined", "voided"],
            "authorised": ["captured", "voided"],
            "captured":   ["refunded", "voided"],
            "declined":   [],
            "voided":     [],
            "refunded":   []
        }}');

CREATE TRIGGER check_payment_in_open_day
    BEFORE INSERT ON rest.check_payment
    FOR EACH ROW EXECUTE FUNCTION rest.require_open_day();

CREATE TRIGGER check_payment_refigure_on_insert
    AFTER INSERT ON rest.check_payment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.refigure_checks();

CREATE TRIGGER check_payment_refigure_on_update
    AFTER UPDATE ON rest.check_payment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.refigure_checks();

CREATE FUNCTION rest.charge_gift_card() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO rest.gift_card_entry
        (business_id, gift_card_id, guest_check_id, entry_kind, amount, occurred_at,
         idempotency_key)
    SELECT p.business_id, p.gift_card_id, p.guest_check_id, 'redeem', -(p.amount + p.tip_amount),
           p.captured_at, 'payment ' || p.check_payment_id
    FROM changed AS p
    WHERE p.gift_card_id IS NOT NULL AND p.state = 'captured'
      AND row_security_active('rest.check_payment');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.charge_gift_card() IS 'What a gift card pays leaves its ledger.';

CREATE TRIGGER check_payment_charges_gift_card
    AFTER INSERT ON rest.check_payment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.charge_gift_card();


CREATE TABLE rest.payment_attempt (
    business_id        uuid                     NOT NULL,
    payment_attempt_id uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    check_payment_id   uuid                     NOT NULL,
    pos_device_id      uuid,
    attempted_at       timestamptz              NOT NULL DEFAULT now(),
    operation          text                     NOT NULL,
    amount             system_core.money        NOT NULL,
    outcome            text                     NOT NULL,
    response_code      system_core.code,
    decline_reason     text,
    latency_ms         system_core.milliseconds NOT NULL DEFAULT 0,
    network_reference  text,
    is_offline_replay  boolean                  NOT NULL DEFAULT false,
    payload            system_core.json_object,
    created_at         timestamptz              NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, payment_attempt_id, attempted_at),
    FOREIGN KEY (business_id, check_payment_id)
        REFERENCES rest.check_payment (business_id, check_payment_id),
    FOREIGN KEY (business_id, pos_device_id)
        REFERENCES rest.pos_device (business_id, pos_device_id),
    CONSTRAINT payment_attempt_operation_known
        CHECK (operation IN ('authorise', 'incremental_auth', 'capture', 'tip_adjust', 'void',
                             'refund', 'reversal')),
    CONSTRAINT payment_attempt_outcome_known
        CHECK (outcome IN ('approved', 'declined', 'error', 'timeout', 'offline_queued')),
    CONSTRAINT payment_attempt_latency_ms_not_negative CHECK (latency_ms >= 0)
) PARTITION BY RANGE (attempted_at);

COMMENT ON TABLE rest.payment_attempt IS
    'Every call to the processor, approved or not, including tip adjusts and offline replays;
     append only.';

-- FK: how a payment went.
CREATE INDEX payment_attempt_check_payment_idx
    ON rest.payment_attempt (business_id, check_payment_id);

-- FK: the calls of a reader.
CREATE INDEX payment_attempt_pos_device_idx
    ON rest.payment_attempt (business_id, pos_device_id)
    WHERE pos_device_id IS NOT NULL;

ALTER TABLE rest.payment_attempt ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.payment_attempt
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON rest.payment_attempt TO app_user;
GRANT SELECT ON rest.payment_attempt TO app_readonly;

CREATE TRIGGER payment_attempt_append_only
    BEFORE UPDATE OR DELETE ON rest.payment_attempt
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('rest.payment_attempt');

CREATE TABLE rest.payment_attempt_default PARTITION OF rest.payment_attempt DEFAULT;
ALTER TABLE rest.payment_attempt_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.payment_attempt_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('rest.payment_attempt', 'month', behind => 3, ahead => 1);


CREATE TABLE rest.payment_refund (
    business_id           uuid              NOT NULL,
    payment_refund_id     uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    requested_by_staff_id uuid,
    approved_by_staff_id  uuid,
    check_payment_id      uuid              NOT NULL,
    reason_code_id        uuid,
    refund_number         text              NOT NULL,
    amount                system_core.money NOT NULL,
    tip_refund_amount     system_core.money NOT NULL DEFAULT 0,
    method                text              NOT NULL DEFAULT 'original_tender',
    state                 text              NOT NULL DEFAULT 'pending',
    requested_at          timestamptz       NOT NULL DEFAULT now(),
    completed_at          timestamptz,
    processor_reference   text,
    note                  text,
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, payment_refund_id),
    UNIQUE (business_id, refund_number),
    FOREIGN KEY (business_id, requested_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, approved_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, check_payment_id)
        REFERENCES rest.check_payment (business_id, check_payment_id),
    FOREIGN KEY (business_id, reason_code_id)
        REFERENCES rest.reason_code (business_id, reason_code_id),
    CONSTRAINT payment_refund_method_known
        CHECK (method IN ('original_tender', 'cash', 'gift_card')),
    CONSTRAINT payment_refund_state_known
        CHECK (state IN ('pending', 'approved', 'completed', 'failed')),
    CONSTRAINT payment_refund_amount_positive CHECK (amount > 0 AND tip_refund_amount >= 0),
    CONSTRAINT payment_refund_approved_by_another
        CHECK (approved_by_staff_id <> requested_by_staff_id),
    CONSTRAINT payment_refund_completed_has_time
        CHECK ((state = 'completed') = (completed_at IS NOT NULL)),
    CONSTRAINT payment_refund_completed_after_request CHECK (completed_at >= requested_at)
);

COMMENT ON TABLE rest.payment_refund IS 'Money given back, by whom and why.';

-- FK: who asks for refunds.
CREATE INDEX payment_refund_requested_by_staff_idx
    ON rest.payment_refund (business_id, requested_by_staff_id)
    WHERE requested_by_staff_id IS NOT NULL;

-- FK: who approves them.
CREATE INDEX payment_refund_approved_by_staff_idx
    ON rest.payment_refund (business_id, approved_by_staff_id)
    WHERE approved_by_staff_id IS NOT NULL;

-- FK: the refunds of a payment.
CREATE INDEX payment_refund_check_payment_idx
    ON rest.payment_refund (business_id, check_payment_id);

-- FK: the refunds for a reason.
CREATE INDEX payment_refund_reason_code_idx
    ON rest.payment_refund (business_id, reason_code_id)
    WHERE reason_code_id IS NOT NULL;

ALTER TABLE rest.payment_refund ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.payment_refund
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.payment_refund TO app_user;
GRANT SELECT ON rest.payment_refund TO app_readonly;

CREATE TRIGGER payment_refund_touch
    BEFORE UPDATE ON rest.payment_refund
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER payment_refund_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.payment_refund
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["pending", "approved", "completed"],
        "transitions": {
            "pending":   ["approved", "failed"],
            "approved":  ["completed", "failed"],
            "completed": [],
            "failed":    []
        }}');

CREATE FUNCTION rest.limit_refunds() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    over record;
    checks uuid[];
BEGIN
    -- Two refunds at once wait for each other at the payment.
    PERFORM FROM rest.check_payment AS p
    WHERE (p.business_id, p.check_payment_id) IN (SELECT c.business_id, c.check_payment_id
                                                  FROM changed AS c)
    ORDER BY p.check_payment_id
    FOR NO KEY UPDATE;
    SELECT p.payment_number, p.amount + p.tip_amount AS taken,
           sum(f.amount + f.tip_refund_amount) AS given
    INTO over
    FROM rest.check_payment AS p
    JOIN rest.payment_refund AS f
        ON f.business_id = p.business_id AND f.check_payment_id = p.check_payment_id
       AND f.state <> 'failed'
    WHERE (p.business_id, p.check_payment_id) IN (SELECT c.business_id, c.check_payment_id
                                                  FROM changed AS c)
    GROUP BY p.business_id, p.check_payment_id, p.payment_number, p.amount, p.tip_amount
    HAVING sum(f.amount + f.tip_refund_amount) > p.amount + p.tip_amount
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'payment % took %, refunds would give back %', over.payment_number,
                        over.taken, over.given
            USING ERRCODE = 'check_violation', HINT = 'Refund what is left of the payment.';
    END IF;
    SELECT array_agg(DISTINCT p.guest_check_id) INTO checks
    FROM changed AS c
    JOIN rest.check_payment AS p
        ON p.business_id = c.business_id AND p.check_payment_id = c.check_payment_id
    WHERE c.state = 'completed' AND row_security_active('rest.payment_refund');
    IF checks IS NOT NULL THEN
        UPDATE rest.guest_check AS g
        SET state = 'reopened'
        WHERE g.business_id = tenant_mgmt.current_business_id()
          AND g.guest_check_id = ANY (checks) AND g.state = 'closed';
        PERFORM rest.recalculate_checks(checks);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.limit_refunds() IS
    'Refunds give back at most what their payment took, also when two are asked for at once; a
     refund reopens the check and figures it anew.';

CREATE TRIGGER payment_refund_limit_on_insert
    AFTER INSERT ON rest.payment_refund
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.limit_refunds();

CREATE TRIGGER payment_refund_limit_on_update
    AFTER UPDATE ON rest.payment_refund
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rest.limit_refunds();


CREATE FUNCTION rest.taxes_of_checks(checks uuid[])
    RETURNS TABLE (
        guest_check_id      uuid,
        tax_rate_id         uuid,
        taxable_amount      numeric,
        rate_pct            numeric,
        tax_amount          numeric,
        is_inclusive        boolean,
        is_exempt           boolean,
        exemption_reference text,
        remitted_by         text
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH line AS (
        SELECT i.guest_check_id, m.tax_class, sum(i.net_amount) AS net
        FROM rest.check_item AS i
        JOIN rest.menu_item AS m
            ON m.business_id = i.business_id AND m.menu_item_id = i.menu_item_id
        WHERE i.business_id = tenant_mgmt.current_business_id()
          AND i.guest_check_id = ANY (checks) AND i.state <> 'voided'
        GROUP BY i.guest_check_id, m.tax_class
    ), off AS (
        -- What is taken off the whole check lowers every class in proportion.
        SELECT t.guest_check_id,
               CASE WHEN t.net = 0 THEN 0
                    ELSE greatest(0, 1 + coalesce(a.amount, 0) / t.net) END AS part
        FROM (SELECT l.guest_check_id, sum(l.net) AS net
              FROM line AS l
              GROUP BY l.guest_check_id) AS t
        LEFT JOIN (
            SELECT x.guest_check_id, sum(x.amount) AS amount
            FROM rest.check_adjustment AS x
            WHERE x.business_id = tenant_mgmt.current_business_id()
              AND x.guest_check_id = ANY (checks) AND x.check_item_id IS NULL
              AND x.state = 'applied' AND x.adjustment_kind IN ('discount', 'comp', 'reward')
            GROUP BY x.guest_check_id
        ) AS a ON a.guest_check_id = t.guest_check_id
    )
    SELECT l.guest_check_id, r.tax_rate_id, b.taxable, r.rate_pct,
           CASE WHEN c.is_tax_exempt THEN 0
                WHEN r.is_inclusive THEN round(b.taxable - b.taxable / (1 + r.rate_pct / 100), 2)
                ELSE round(b.taxable * r.rate_pct / 100, 2) END,
           r.is_inclusive, c.is_tax_exempt,
           CASE WHEN c.is_tax_exempt THEN 'certificate on file' END,
           CASE WHEN h.marketplace_remits_tax THEN 'marketplace' ELSE 'restaurant' END
    FROM line AS l
    JOIN off AS f ON f.guest_check_id = l.guest_check_id
    CROSS JOIN LATERAL (SELECT round(l.net * f.part, 2) AS taxable) AS b
    JOIN rest.guest_check AS c
        ON c.business_id = tenant_mgmt.current_business_id()
       AND c.guest_check_id = l.guest_check_id
    JOIN rest.guest_order AS o
        ON o.business_id = c.business_id AND o.guest_order_id = c.guest_order_id
    JOIN rest.business_day AS d
        ON d.business_id = o.business_id AND d.business_day_id = o.business_day_id
    JOIN rest.sales_channel AS h
        ON h.business_id = o.business_id AND h.sales_channel_id = o.sales_channel_id
    JOIN rest.tax_rate AS r
        ON r.business_id = o.business_id AND r.location_id = o.location_id
       AND r.tax_class = l.tax_class
       AND r.service_mode IN ('all', CASE WHEN o.service_mode IN ('dine_in', 'delivery')
                                          THEN o.service_mode ELSE 'takeout' END)
       AND d.business_date >= r.effective_from
       AND (r.effective_to IS NULL OR d.business_date <= r.effective_to)
    WHERE l.net > 0;
END;
COMMENT ON FUNCTION rest.taxes_of_checks(uuid[]) IS
    'The taxes of checks per rate: what is left of each class after discounts, times the rate of the
     location, mode and day; an inclusive tax is taken out of the price.';


CREATE FUNCTION rest.check_figures(checks uuid[])
    RETURNS TABLE (
        guest_check_id uuid,
        subtotal       numeric,
        discounts      numeric,
        charges        numeric,
        taxes          numeric,
        paid           numeric,
        tips           numeric
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT c.guest_check_id, coalesce(i.gross, 0), coalesce(a.discounts, 0),
           coalesce(a.charges, 0), coalesce(t.taxes, 0), coalesce(p.paid, 0),
           coalesce(p.tips, 0)
    FROM rest.guest_check AS c
    LEFT JOIN LATERAL (
        SELECT sum(x.gross_amount) AS gross
        FROM rest.check_item AS x
        WHERE x.business_id = c.business_id AND x.guest_check_id = c.guest_check_id
          AND x.state <> 'voided'
    ) AS i ON true
    LEFT JOIN LATERAL (
        SELECT -sum(x.amount) FILTER (WHERE x.adjustment_kind IN ('discount', 'comp', 'reward'))
                   AS discounts,
               sum(x.amount) FILTER (WHERE x.adjustment_kind NOT IN ('discount', 'comp', 'reward'))
                   AS charges
        FROM rest.check_adjustment AS x
        WHERE x.business_id = c.business_id AND x.guest_check_id = c.guest_check_id
          AND x.state = 'applied'
    ) AS a ON true
    LEFT JOIN LATERAL (
        SELECT sum(x.tax_amount) FILTER (WHERE NOT x.is_inclusive) AS taxes
        FROM rest.check_tax AS x
        WHERE x.business_id = c.business_id AND x.guest_check_id = c.guest_check_id
    ) AS t ON true
    LEFT JOIN LATERAL (
        SELECT sum(x.amount - coalesce(f.amount, 0)) AS paid,
               sum(x.tip_amount - coalesce(f.tips, 0)) AS tips
        FROM rest.check_payment AS x
        LEFT JOIN LATERAL (
            SELECT sum(y.amount) AS amount, sum(y.tip_refund_amount) AS tips
            FROM rest.payment_refund AS y
            WHERE y.business_id = x.business_id AND y.check_payment_id = x.check_payment_id
              AND y.state = 'completed'
        ) AS f ON true
        WHERE x.business_id = c.business_id AND x.guest_check_id = c.guest_check_id
          AND x.state IN ('captured', 'refunded')
    ) AS p ON true
    WHERE c.business_id = tenant_mgmt.current_business_id() AND c.guest_check_id = ANY (checks);
END;
COMMENT ON FUNCTION rest.check_figures(uuid[]) IS
    'What the rows of checks add up to; rest.check_differences() compares it with what they say.';


CREATE FUNCTION rest.check_differences()
    RETURNS TABLE (guest_check_id uuid, figure text, said numeric, found numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT c.guest_check_id, v.figure, v.said, v.found
    FROM rest.guest_check AS c
    JOIN rest.check_figures(ARRAY(SELECT x.guest_check_id
                                  FROM rest.guest_check AS x
                                  WHERE x.business_id = tenant_mgmt.current_business_id())) AS n
        ON n.guest_check_id = c.guest_check_id
    CROSS JOIN LATERAL (VALUES ('subtotal', c.subtotal::numeric, n.subtotal),
                               ('discount_total', c.discount_total, n.discounts),
                               ('service_charge_total', c.service_charge_total, n.charges),
                               ('tax_total', c.tax_total, n.taxes),
                               ('paid_total', c.paid_total, n.paid),
                               ('tip_total', c.tip_total, n.tips)) AS v (figure, said, found)
    WHERE c.business_id = tenant_mgmt.current_business_id() AND c.state <> 'voided'
      AND v.said <> v.found;
END;
COMMENT ON FUNCTION rest.check_differences() IS
    'Proves the checks: every figure that is not the sum of its rows; nothing when all agree.';


CREATE FUNCTION rest.take_payment(
    guest_check uuid,
    pays        numeric,
    tender      text DEFAULT 'card',
    tip         numeric DEFAULT 0,
    tendered    numeric DEFAULT NULL,
    drawer      uuid DEFAULT NULL,
    gift_card   uuid DEFAULT NULL,
    reference   text DEFAULT NULL
) RETURNS rest.check_payment
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    owed   record;
    made   rest.check_payment;
BEGIN
    SELECT c.balance_due, c.currency, c.state, c.check_number, o.business_day_id
    INTO owed
    FROM rest.guest_check AS c
    JOIN rest.guest_order AS o
        ON o.business_id = c.business_id AND o.guest_order_id = c.guest_order_id
    WHERE c.business_id = tenant AND c.guest_check_id = guest_check
    FOR NO KEY UPDATE OF c;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such check' USING ERRCODE = 'no_data_found';
    ELSIF pays > owed.balance_due THEN
        RAISE EXCEPTION 'check % owes %, not %', owed.check_number, owed.balance_due, pays
            USING ERRCODE = 'check_violation', HINT = 'What is given beyond it is a tip or change.';
    END IF;
    INSERT INTO rest.check_payment
        (business_id, guest_check_id, business_day_id, cash_drawer_session_id, gift_card_id,
         payment_number, tender, amount, tip_amount, amount_tendered, currency, entry_mode, state,
         authorised_at, captured_at, processor_reference)
    VALUES (tenant, guest_check, owed.business_day_id, drawer, gift_card,
            system_core.number_document(tenant, 'rest.payment', 'P-', guest_check), tender, pays,
            tip, tendered, owed.currency, CASE WHEN tender = 'card' THEN 'contactless' END,
            'captured', now(), now(), reference)
    RETURNING * INTO made;
    IF tender IN ('card', 'mobile_wallet') THEN
        INSERT INTO rest.payment_attempt
            (business_id, check_payment_id, attempted_at, operation, amount, outcome,
             response_code, network_reference)
        VALUES (tenant, made.check_payment_id, now(), 'capture', pays + tip, 'approved', '00',
                reference);
    END IF;
    RETURN made;
END
$$;
COMMENT ON FUNCTION rest.take_payment(uuid, numeric, text, numeric, numeric, uuid, uuid, text) IS
    'Takes a tender against a check that is locked meanwhile, at most what it owes; the check is
     paid when nothing is owed any more.';


CREATE FUNCTION rest.split_check(guest_check uuid, mode text, parts jsonb) RETURNS SETOF uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    whole  rest.guest_check;
    ways   integer;
    part   uuid;
    made   uuid[] := '{}';
BEGIN
    SELECT c.* INTO whole
    FROM rest.guest_check AS c
    WHERE c.business_id = tenant AND c.guest_check_id = guest_check
    FOR UPDATE;
    IF whole.paid_total > 0 OR whole.state NOT IN ('open', 'printed') THEN
        RAISE EXCEPTION 'check % is %, it is not split', whole.check_number, whole.state
            USING ERRCODE = 'check_violation', HINT = 'Split before anything is paid.';
    END IF;
    ways := CASE mode WHEN 'evenly' THEN (parts ->> 'ways')::integer
                      WHEN 'by_seat' THEN jsonb_array_length(parts -> 'seats') + 1
                      WHEN 'by_item' THEN jsonb_array_length(parts -> 'items') + 1 END;
    IF ways IS NULL OR ways NOT BETWEEN 2 AND 20 THEN
        RAISE EXCEPTION 'a check is split in 2 to 20 parts, evenly, by_seat or by_item'
            USING ERRCODE = 'check_violation',
                  HINT = '{"ways": 3}, {"seats": [[1], [2, 3]]} or {"items": [["…"]]}';
    END IF;
    FOR number IN 2 .. ways LOOP
        INSERT INTO rest.guest_check
            (business_id, guest_order_id, check_number, owner_staff_id, currency, is_tax_exempt)
        VALUES (tenant, whole.guest_order_id, whole.check_number || '/' || number,
                whole.owner_staff_id, whole.currency, whole.is_tax_exempt)
        RETURNING guest_check_id INTO part;
        made := made || part;
        IF mode = 'evenly' THEN
            PERFORM rest.move_share(whole.guest_check_id, part, ways);
        ELSE
            PERFORM rest.move_lines(whole.guest_check_id, part, ways, ARRAY(
                SELECT i.check_item_id
                FROM rest.check_item AS i
                LEFT JOIN rest.check_seat AS s
                    ON s.business_id = i.business_id AND s.check_seat_id = i.check_seat_id
                WHERE i.business_id = tenant AND i.guest_check_id = guest_check
                  AND CASE mode
                      WHEN 'by_seat' THEN parts -> 'seats' -> (number - 2)
                                          @> to_jsonb(s.seat_number)
                      ELSE parts -> 'items' -> (number - 2) @> to_jsonb(i.check_item_id) END));
        END IF;
    END LOOP;
    IF mode = 'evenly' THEN
        PERFORM rest.shrink_lines(guest_check, ways);
    END IF;
    PERFORM rest.recalculate_checks(made || guest_check);
    PERFORM rest.round_split(guest_check, made, whole.grand_total);
    RETURN QUERY SELECT unnest(made);
END
$$;
COMMENT ON FUNCTION rest.split_check(uuid, text, jsonb) IS
    'Splits a check in parts, evenly, by seats or by lines, before anything is paid; the parts add
     up to what the whole was, to the cent. Returns the new checks.';


CREATE FUNCTION rest.move_lines(origin uuid, target uuid, ways integer, lines uuid[]) RETURNS void
    LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO rest.check_transfer
        (business_id, from_check_id, to_check_id, check_item_id, transfer_kind, quantity_share,
         amount_moved, split_ways)
    SELECT i.business_id, origin, target, i.check_item_id, 'split_item', 1, i.net_amount, ways
    FROM rest.check_item AS i
    WHERE i.business_id = tenant_mgmt.current_business_id() AND i.check_item_id = ANY (lines);
    UPDATE rest.check_item AS i
    SET guest_check_id = target, check_seat_id = NULL
    WHERE i.business_id = tenant_mgmt.current_business_id() AND i.check_item_id = ANY (lines);
    UPDATE rest.check_adjustment AS a
    SET guest_check_id = target
    WHERE a.business_id = tenant_mgmt.current_business_id() AND a.check_item_id = ANY (lines);
END;
COMMENT ON FUNCTION rest.move_lines(uuid, uuid, integer, uuid[]) IS
    'Moves lines to another check with what was taken off them, and writes down that it did.';


CREATE FUNCTION rest.move_share(origin uuid, target uuid, ways integer) RETURNS void
    LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO rest.check_transfer
        (business_id, from_check_id, to_check_id, check_item_id, transfer_kind, quantity_share,
         amount_moved, split_ways)
    SELECT i.business_id, origin, target, i.check_item_id, 'split_evenly',
           round(1.0 / ways, 6), round(i.net_amount / ways, 2), ways
    FROM rest.check_item AS i
    WHERE i.business_id = tenant_mgmt.current_business_id() AND i.guest_check_id = origin
      AND i.state <> 'voided';
    INSERT INTO rest.check_item
        (business_id, guest_check_id, menu_item_id, menu_item_size_id, order_course_id,
         line_number, display_name, quantity, unit_price, modifier_total, price_source, state,
         sent_at, served_at)
    SELECT i.business_id, target, i.menu_item_id, i.menu_item_size_id, i.order_course_id,
           i.line_number, i.display_name, round(i.quantity / ways, 4), i.unit_price,
           i.modifier_total, i.price_source,
           CASE WHEN i.sent_at IS NULL THEN i.state ELSE 'sent' END, i.sent_at, i.served_at
    FROM rest.check_item AS i
    WHERE i.business_id = tenant_mgmt.current_business_id() AND i.guest_check_id = origin
      AND i.state <> 'voided';
END;
COMMENT ON FUNCTION rest.move_share(uuid, uuid, integer) IS
    'Puts the same share of every line on another check; rest.shrink_lines() takes it off the
     first.';


CREATE FUNCTION rest.shrink_lines(origin uuid, ways integer) RETURNS void
    LANGUAGE sql
BEGIN ATOMIC
    UPDATE rest.check_item AS i
    SET quantity = i.quantity - round(i.quantity / ways, 4) * (ways - 1)
    WHERE i.business_id = tenant_mgmt.current_business_id() AND i.guest_check_id = origin
      AND i.state <> 'voided';
END;
COMMENT ON FUNCTION rest.shrink_lines(uuid, integer) IS
    'Leaves on a check that was split evenly what the other parts did not take.';


CREATE FUNCTION rest.round_split(origin uuid, made uuid[], whole numeric) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    short  numeric;
BEGIN
    SELECT whole - sum(c.grand_total) INTO short
    FROM rest.guest_check AS c
    WHERE c.business_id = tenant AND c.guest_check_id = ANY (made || origin);
    IF short <> 0 THEN
        INSERT INTO rest.check_adjustment
            (business_id, guest_check_id, adjustment_kind, label, amount, sequence_no)
        VALUES (tenant, origin, 'rounding', 'Rounding of the split', short, 99);
    END IF;
END
$$;
COMMENT ON FUNCTION rest.round_split(uuid, uuid[], numeric) IS
    'The cents that splitting lost or gained stay on the first check.';


CREATE VIEW rest.v_open_checks WITH (security_invoker = true) AS
SELECT c.business_id, o.location_id, c.guest_check_id, c.check_number, o.order_number,
       c.owner_staff_id, s.display_name AS server_name, c.state, c.grand_total, c.balance_due,
       floor(extract(epoch FROM now() - c.opened_at) / 60)::integer AS minutes_open,
       n.unsent
FROM rest.guest_check AS c
JOIN rest.guest_order AS o
    ON o.business_id = c.business_id AND o.guest_order_id = c.guest_order_id
LEFT JOIN rest.staff_member AS s
    ON s.business_id = c.business_id AND s.staff_member_id = c.owner_staff_id
LEFT JOIN LATERAL (
    SELECT count(*) AS unsent
    FROM rest.check_item AS i
    WHERE i.business_id = c.business_id AND i.guest_check_id = c.guest_check_id
      AND i.state IN ('new', 'held')
) AS n ON true
WHERE c.state NOT IN ('closed', 'voided');
COMMENT ON VIEW rest.v_open_checks IS
    'Checks that are not settled, by server, with what they owe and what was not sent yet.';
GRANT SELECT ON rest.v_open_checks TO app_user, app_readonly;


CREATE VIEW rest.v_floor_live WITH (security_invoker = true) AS
SELECT t.business_id, f.location_id, a.display_name AS area_name, t.dining_table_id,
       t.table_number, t.state, t.max_covers, t.pos_x, t.pos_y, s.table_session_id, s.party_size,
       floor(extract(epoch FROM now() - s.seated_at) / 60)::integer AS minutes_seated,
       k.balance_due, h.held_from AS next_reservation_at
FROM rest.floor_plan AS f
JOIN rest.dining_area AS a
    ON a.business_id = f.business_id AND a.floor_plan_id = f.floor_plan_id
JOIN rest.dining_table AS t
    ON t.business_id = a.business_id AND t.dining_area_id = a.dining_area_id
LEFT JOIN rest.table_session AS s
    ON s.business_id = t.business_id AND s.dining_table_id = t.dining_table_id
   AND s.bussed_at IS NULL
LEFT JOIN LATERAL (
    SELECT sum(c.balance_due) AS balance_due
    FROM rest.guest_order AS o
    JOIN rest.guest_check AS c
        ON c.business_id = o.business_id AND c.guest_order_id = o.guest_order_id
    WHERE o.business_id = s.business_id AND o.table_session_id = s.table_session_id
      AND c.state <> 'voided'
) AS k ON true
LEFT JOIN LATERAL (
    SELECT x.held_from
    FROM rest.reservation_table AS x
    WHERE x.business_id = t.business_id AND x.dining_table_id = t.dining_table_id
      AND x.held_from >= now() AND x.released_at IS NULL
    ORDER BY x.held_from
    LIMIT 1
) AS h ON true
WHERE f.is_default;
COMMENT ON VIEW rest.v_floor_live IS
    'The floor map of the host stand: every table, who sits there, what they owe, who comes next.';
GRANT SELECT ON rest.v_floor_live TO app_user, app_readonly;
