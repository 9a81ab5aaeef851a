/*
 * TODO: what the area is and how its tables relate.
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
    label               text,
    amount              system_core.money,
    rate_pct            system_core.percentage,
    units_affected      system_core.quantity,
    funded_by           text                   NOT NULL,
    sequence_no         integer                NOT NULL,
    applied_at          timestamptz,
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
    CONSTRAINT order_adjustment_coupon_id_only_when
        CHECK (coupon_id IS NULL OR promotion_id IS NOT NULL)
);

COMMENT ON TABLE ret.order_adjustment IS
    'Discount, fee or surcharge on an order or line, with the offer behind it.';
-- RULE amount < 0 except fee and rounding
-- RULE manual and price_match need approved_by_user_id

-- FK: the order adjustments by their approved by user.
CREATE INDEX order_adjustment_approved_by_user_idx
    ON ret.order_adjustment (business_id, approved_by_user_id)
    WHERE approved_by_user_id IS NOT NULL;

-- FK: the order adjustments of a sales order.
CREATE INDEX order_adjustment_sales_order_idx
    ON ret.order_adjustment (business_id, sales_order_id);

-- FK: the order adjustments of a sales order line.
CREATE INDEX order_adjustment_sales_order_line_idx
    ON ret.order_adjustment (business_id, sales_order_line_id)
    WHERE sales_order_line_id IS NOT NULL;

-- FK: the order adjustments of a promotion.
CREATE INDEX order_adjustment_promotion_idx
    ON ret.order_adjustment (business_id, promotion_id)
    WHERE promotion_id IS NOT NULL;

-- FK: the order adjustments of a coupon.
CREATE INDEX order_adjustment_coupon_idx
    ON ret.order_adjustment (business_id, coupon_id)
    WHERE coupon_id IS NOT NULL;

-- FK: the order adjustments of a reward issue.
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


CREATE TABLE ret.payment_token (
    business_id         uuid                    NOT NULL,
    payment_token_id    uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    customer_id         uuid                    NOT NULL,
    provider            text                    NOT NULL,
    token_ref           text                    NOT NULL,
    method              text,
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
    CONSTRAINT payment_token_expiry_month_bounded CHECK (expiry_month BETWEEN 1 AND 12)
);

COMMENT ON TABLE ret.payment_token IS
    'A customer''s saved instrument at the processor (never card data).';

-- One default per customer.
CREATE UNIQUE INDEX payment_token_customer_id_idx
    ON ret.payment_token (business_id, customer_id)
    WHERE is_default;

-- FK: the payment tokens of a customer.
CREATE INDEX payment_token_customer_idx ON ret.payment_token (business_id, customer_id);

ALTER TABLE ret.payment_token ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.payment_token
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.payment_token TO app_user;
GRANT SELECT ON ret.payment_token TO app_readonly;

CREATE TRIGGER payment_token_touch
    BEFORE UPDATE ON ret.payment_token
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


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
    amount              system_core.money,
    captured_amount     system_core.money    NOT NULL DEFAULT 0,
    refunded_amount     system_core.money    NOT NULL DEFAULT 0,
    amount_tendered     system_core.money,
    change_given        system_core.money,
    currency            system_core.currency,
    card_brand          text,
    card_last4          text,
    entry_mode          text                 NOT NULL,
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
    CONSTRAINT payment_captured_amount_precedes_amount CHECK (captured_amount <= amount),
    CONSTRAINT payment_refunded_amount_precedes_captured_amount
        CHECK (refunded_amount <= captured_amount),
    CONSTRAINT payment_register_session_id_given
        CHECK (NOT (tender = 'cash') OR register_session_id IS NOT NULL),
    CONSTRAINT payment_tender_iff CHECK ((gift_card_id IS NOT NULL) = (tender = 'gift_card'))
);

COMMENT ON TABLE ret.payment IS 'A tender for an order: authorised, captured, refunded.';

-- FK: the payments of a sales order.
CREATE INDEX payment_sales_order_idx ON ret.payment (business_id, sales_order_id);

-- FK: the payments of a register session.
CREATE INDEX payment_register_session_idx
    ON ret.payment (business_id, register_session_id)
    WHERE register_session_id IS NOT NULL;

-- FK: the payments of a payment token.
CREATE INDEX payment_payment_token_idx
    ON ret.payment (business_id, payment_token_id)
    WHERE payment_token_id IS NOT NULL;

-- FK: the payments of a gift card.
CREATE INDEX payment_gift_card_idx
    ON ret.payment (business_id, gift_card_id)
    WHERE gift_card_id IS NOT NULL;

-- FK: the payments of a store credit.
CREATE INDEX payment_store_credit_idx
    ON ret.payment (business_id, store_credit_id)
    WHERE store_credit_id IS NOT NULL;

-- FK: the payments of a layaway.
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


CREATE TABLE ret.payment_attempt (
    business_id        uuid              NOT NULL,
    payment_attempt_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    payment_id         uuid              NOT NULL,
    attempted_at       timestamptz       NOT NULL DEFAULT now(),
    operation          text              NOT NULL,
    amount             system_core.money,
    outcome            text              NOT NULL,
    response_code      system_core.code,
    decline_reason     text,
    three_ds_result    text,
    latency_ms         integer,
    gateway_reference  text,
    payload            jsonb,
    created_at         timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, payment_attempt_id, attempted_at),
    FOREIGN KEY (business_id, payment_id) REFERENCES ret.payment (business_id, payment_id),
    CONSTRAINT payment_attempt_operation_known
        CHECK (operation IN ('authorise', 'capture', 'void', 'refund', 'verify', 'increment',
                             'webhook')),
    CONSTRAINT payment_attempt_outcome_known
        CHECK (outcome IN ('approved', 'declined', 'error', 'timeout', 'challenge', 'pending')),
    CONSTRAINT payment_attempt_latency_ms_not_negative CHECK (latency_ms >= 0)
) PARTITION BY RANGE (attempted_at);

COMMENT ON TABLE ret.payment_attempt IS
    'Every processor call with its answer and latency; append only.';

-- FK: the payment attempts of a payment.
CREATE INDEX payment_attempt_payment_idx ON ret.payment_attempt (business_id, payment_id);

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
    reason             text,
    disputed_amount    system_core.money NOT NULL DEFAULT 0,
    opened_at          timestamptz       NOT NULL,
    evidence_due_at    timestamptz,
    submitted_at       timestamptz       NOT NULL,
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
    CONSTRAINT payment_dispute_submitted_at_precedes_evidence_due_at
        CHECK (submitted_at <= evidence_due_at),
    CONSTRAINT payment_dispute_state_iff
        CHECK ((closed_at IS NOT NULL) = (state IN ('won', 'lost', 'accepted')))
);

COMMENT ON TABLE ret.payment_dispute IS 'Chargeback or inquiry with evidence and result.';

-- FK: the payment disputes by their evidence file.
CREATE INDEX payment_dispute_evidence_file_idx
    ON ret.payment_dispute (business_id, evidence_file_id)
    WHERE evidence_file_id IS NOT NULL;

-- FK: the payment disputes of a payment.
CREATE INDEX payment_dispute_payment_idx ON ret.payment_dispute (business_id, payment_id);

ALTER TABLE ret.payment_dispute ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.payment_dispute
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.payment_dispute TO app_user;
GRANT SELECT ON ret.payment_dispute TO app_readonly;

CREATE TRIGGER payment_dispute_touch
    BEFORE UPDATE ON ret.payment_dispute
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.processor_payout (
    business_id         uuid                 NOT NULL,
    processor_payout_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    sales_channel_id    uuid,
    payout_reference    text                 NOT NULL,
    provider            text                 NOT NULL,
    period_start        date,
    period_end          date,
    gross_amount        system_core.money    NOT NULL DEFAULT 0,
    fee_amount          system_core.money    NOT NULL DEFAULT 0,
    refund_amount       system_core.money    NOT NULL DEFAULT 0,
    dispute_amount      system_core.money    NOT NULL DEFAULT 0,
    reserve_amount      system_core.money    NOT NULL DEFAULT 0,
    net_amount          system_core.money    GENERATED ALWAYS AS (
                                                 gross_amount - fee_amount - refund_amount -
                                                 dispute_amount - reserve_amount) STORED,
    currency            system_core.currency,
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
        CHECK (state IN ('expected', 'sent', 'paid', 'failed', 'reconciled'))
);

COMMENT ON TABLE ret.processor_payout IS 'A bank deposit of a processor or marketplace.';

-- FK: the processor payouts of a sales channel.
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
        CHECK (match_state IN ('unmatched', 'matched', 'variance', 'unknown'))
);

COMMENT ON TABLE ret.processor_payout_entry IS
    'One charge, refund, fee or dispute in a payout, matched to our payment.';

-- FK: the processor payout entries of a payment.
CREATE INDEX processor_payout_entry_payment_idx
    ON ret.processor_payout_entry (business_id, payment_id)
    WHERE payment_id IS NOT NULL;

-- FK: the processor payout entries of a payment dispute.
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


CREATE TABLE ret.tax_filing (
    business_id           uuid              NOT NULL,
    tax_filing_id         uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    filed_by_user_id      uuid,
    tax_jurisdiction_id   uuid              NOT NULL,
    period_start          date              NOT NULL,
    period_end            date              NOT NULL,
    filing_frequency      text              NOT NULL,
    gross_sales           system_core.money,
    exempt_sales          system_core.money,
    taxable_sales         system_core.money GENERATED ALWAYS AS (
                                                gross_sales - exempt_sales) STORED,
    tax_collected         system_core.money,
    tax_due               system_core.money,
    marketplace_collected system_core.money,
    vendor_discount       system_core.money,
    due_on                date,
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
        CHECK (state IN ('open', 'calculated', 'filed', 'paid', 'amended'))
);

COMMENT ON TABLE ret.tax_filing IS 'A sales-tax return of a jurisdiction for a period.';
-- RULE filed_at is set from filed on

-- FK: the tax filings by their filed by user.
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
