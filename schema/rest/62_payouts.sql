/*
 * TODO: what the area is and how its tables relate.
 */

CREATE TABLE rest.channel_payout (
    business_id           uuid                 NOT NULL,
    channel_payout_id     uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    sales_channel_id      uuid                 NOT NULL,
    channel_store_link_id uuid,
    payout_reference      text                 NOT NULL,
    period_start          date,
    period_end            date,
    gross_sales           system_core.money,
    commission_total      system_core.money    NOT NULL DEFAULT 0,
    marketing_total       system_core.money    NOT NULL DEFAULT 0,
    delivery_fee_total    system_core.money    NOT NULL DEFAULT 0,
    adjustment_total      system_core.money    NOT NULL DEFAULT 0,
    tax_remitted_total    system_core.money    NOT NULL DEFAULT 0,
    tips_total            system_core.money    NOT NULL DEFAULT 0,
    net_payout            system_core.money,
    currency              system_core.currency,
    deposited_on          date,
    state                 text                 NOT NULL DEFAULT 'imported',
    created_at            timestamptz          NOT NULL DEFAULT now(),
    updated_at            timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, channel_payout_id),
    UNIQUE (business_id, sales_channel_id, payout_reference),
    FOREIGN KEY (business_id, sales_channel_id)
        REFERENCES rest.sales_channel (business_id, sales_channel_id),
    FOREIGN KEY (business_id, channel_store_link_id)
        REFERENCES rest.channel_store_link (business_id, channel_store_link_id),
    CONSTRAINT channel_payout_state_known
        CHECK (state IN ('imported', 'matching', 'reconciled', 'disputed', 'closed')),
    CONSTRAINT channel_payout_period_end_follows_period_start CHECK (period_end >= period_start)
);

COMMENT ON TABLE rest.channel_payout IS 'A settlement statement of a channel for a period.';
-- RULE net_payout equals the sum of its lines

-- FK: the channel payouts of a channel store link.
CREATE INDEX channel_payout_channel_store_link_idx
    ON rest.channel_payout (business_id, channel_store_link_id)
    WHERE channel_store_link_id IS NOT NULL;

ALTER TABLE rest.channel_payout ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.channel_payout
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.channel_payout TO app_user;
GRANT SELECT ON rest.channel_payout TO app_readonly;

CREATE TRIGGER channel_payout_touch
    BEFORE UPDATE ON rest.channel_payout
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.channel_payout_line (
    business_id            uuid              NOT NULL,
    channel_payout_line_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    channel_payout_id      uuid              NOT NULL,
    channel_order_id       uuid,
    guest_check_id         uuid,
    line_number            integer           NOT NULL,
    external_order_id      text,
    line_kind              text              NOT NULL,
    food_sales             system_core.money,
    tax_amount             system_core.money NOT NULL DEFAULT 0,
    commission_amount      system_core.money NOT NULL DEFAULT 0,
    marketing_fee          system_core.money NOT NULL DEFAULT 0,
    adjustment_amount      system_core.money NOT NULL DEFAULT 0,
    net_amount             system_core.money NOT NULL DEFAULT 0,
    expected_net           system_core.money,
    variance_amount        system_core.money GENERATED ALWAYS AS (
                                                 net_amount - expected_net) STORED,
    match_state            text              NOT NULL DEFAULT 'unmatched',
    matched_at             timestamptz,
    created_at             timestamptz       NOT NULL DEFAULT now(),
    updated_at             timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, channel_payout_line_id),
    UNIQUE (business_id, channel_payout_id, line_number),
    FOREIGN KEY (business_id, channel_payout_id)
        REFERENCES rest.channel_payout (business_id, channel_payout_id),
    FOREIGN KEY (business_id, channel_order_id)
        REFERENCES rest.channel_order (business_id, channel_order_id),
    FOREIGN KEY (business_id, guest_check_id)
        REFERENCES rest.guest_check (business_id, guest_check_id),
    CONSTRAINT channel_payout_line_kind_known
        CHECK (line_kind IN ('order', 'refund', 'adjustment', 'promotion', 'fee', 'tip', 'misc')),
    CONSTRAINT channel_payout_line_match_state_known
        CHECK (match_state IN ('unmatched', 'matched', 'amount_variance', 'missing_in_pos',
                               'missing_in_payout', 'ignored')),
    CONSTRAINT channel_payout_line_matched_at_when
        CHECK (matched_at IS NOT NULL OR match_state = 'unmatched')
);

COMMENT ON TABLE rest.channel_payout_line IS
    'One order, refund, promotion or fee of a statement matched to our check.';

-- FK: the channel payout lines of a channel order.
CREATE INDEX channel_payout_line_channel_order_idx
    ON rest.channel_payout_line (business_id, channel_order_id)
    WHERE channel_order_id IS NOT NULL;

-- FK: the channel payout lines of a guest check.
CREATE INDEX channel_payout_line_guest_check_idx
    ON rest.channel_payout_line (business_id, guest_check_id)
    WHERE guest_check_id IS NOT NULL;

ALTER TABLE rest.channel_payout_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.channel_payout_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.channel_payout_line TO app_user;
GRANT SELECT ON rest.channel_payout_line TO app_readonly;

CREATE TRIGGER channel_payout_line_touch
    BEFORE UPDATE ON rest.channel_payout_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE rest.channel_order_dispute (
    business_id              uuid              NOT NULL,
    channel_order_dispute_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    opened_by_staff_id       uuid,
    channel_order_id         uuid              NOT NULL,
    channel_payout_line_id   uuid,
    dispute_kind             text              NOT NULL,
    charged_amount           system_core.money NOT NULL DEFAULT 0,
    claimed_at               timestamptz,
    evidence_due_at          timestamptz,
    evidence_note            text,
    state                    text              NOT NULL DEFAULT 'open',
    recovered_amount         system_core.money NOT NULL DEFAULT 0,
    resolved_at              timestamptz,
    created_at               timestamptz       NOT NULL DEFAULT now(),
    updated_at               timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, channel_order_dispute_id),
    FOREIGN KEY (business_id, opened_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, channel_order_id)
        REFERENCES rest.channel_order (business_id, channel_order_id),
    FOREIGN KEY (business_id, channel_payout_line_id)
        REFERENCES rest.channel_payout_line (business_id, channel_payout_line_id),
    CONSTRAINT channel_order_dispute_kind_known
        CHECK (dispute_kind IN ('missing_item', 'wrong_item', 'late', 'quality', 'never_arrived',
                                'fraud')),
    CONSTRAINT channel_order_dispute_state_known
        CHECK (state IN ('open', 'submitted', 'won', 'lost', 'expired')),
    CONSTRAINT channel_order_dispute_recovered_amount_precedes_charged_amount
        CHECK (recovered_amount <= charged_amount),
    CONSTRAINT channel_order_dispute_state_iff
        CHECK ((resolved_at IS NOT NULL) = (state IN ('won', 'lost', 'expired')))
);

COMMENT ON TABLE rest.channel_order_dispute IS
    'A marketplace refund charged to the restaurant and contested.';

-- FK: the channel order disputes by their opened by staff.
CREATE INDEX channel_order_dispute_opened_by_staff_idx
    ON rest.channel_order_dispute (business_id, opened_by_staff_id)
    WHERE opened_by_staff_id IS NOT NULL;

-- FK: the channel order disputes of a channel order.
CREATE INDEX channel_order_dispute_channel_order_idx
    ON rest.channel_order_dispute (business_id, channel_order_id);

-- FK: the channel order disputes of a channel payout line.
CREATE INDEX channel_order_dispute_channel_payout_line_idx
    ON rest.channel_order_dispute (business_id, channel_payout_line_id)
    WHERE channel_payout_line_id IS NOT NULL;

ALTER TABLE rest.channel_order_dispute ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.channel_order_dispute
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.channel_order_dispute TO app_user;
GRANT SELECT ON rest.channel_order_dispute TO app_readonly;

CREATE TRIGGER channel_order_dispute_touch
    BEFORE UPDATE ON rest.channel_order_dispute
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
