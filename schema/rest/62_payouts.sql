/*
 * Payouts: what the marketplaces pay for what they sold, and whether it is right.
 *
 * A channel_payout is a statement of a channel for a period, channel_payout_line one order,
 * refund, tip or fee on it. rest.reconcile_payout() matches the lines with our channel_orders and
 * says what each should have paid; rest.payout_differences() proves the statement: its totals
 * are those of its lines, and net = sales + tips - commission - marketing - delivery fees
 * - adjustments. What does not match stands in v_payout_exceptions; a refund charged to us
 * without cause is contested in a channel_order_dispute.
 */

CREATE TABLE rest.channel_payout (
    business_id           uuid                 NOT NULL,
    channel_payout_id     uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    sales_channel_id      uuid                 NOT NULL,
    channel_store_link_id uuid,
    payout_reference      text                 NOT NULL,
    period_start          date                 NOT NULL,
    period_end            date                 NOT NULL,
    gross_sales           system_core.money    NOT NULL DEFAULT 0,
    commission_total      system_core.money    NOT NULL DEFAULT 0,
    marketing_total       system_core.money    NOT NULL DEFAULT 0,
    delivery_fee_total    system_core.money    NOT NULL DEFAULT 0,
    adjustment_total      system_core.money    NOT NULL DEFAULT 0,
    tax_remitted_total    system_core.money    NOT NULL DEFAULT 0,
    tips_total            system_core.money    NOT NULL DEFAULT 0,
    net_payout            system_core.money    NOT NULL DEFAULT 0,
    tolerance_amount      system_core.money    NOT NULL DEFAULT 0.05,
    currency              system_core.currency NOT NULL,
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
    CONSTRAINT channel_payout_ends_after_start CHECK (period_end >= period_start),
    CONSTRAINT channel_payout_deposited_after_period CHECK (deposited_on >= period_end),
    CONSTRAINT channel_payout_tolerance_not_negative CHECK (tolerance_amount >= 0)
);

COMMENT ON TABLE rest.channel_payout IS 'A settlement statement of a channel for a period.';
COMMENT ON COLUMN rest.channel_payout.tolerance_amount IS
    'A line that is off by no more than this counts as matched.';
COMMENT ON COLUMN rest.channel_payout.tax_remitted_total IS
    'Collected and remitted by the channel: shown, not paid out.';
COMMENT ON COLUMN rest.channel_payout.channel_store_link_id IS
    'NULL where the statement covers every listing of the channel.';

-- FK: the statements of a listing.
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

CREATE TRIGGER channel_payout_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.channel_payout
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["imported"],
        "transitions": {
            "imported":   ["matching"],
            "matching":   ["reconciled", "disputed"],
            "reconciled": ["matching", "disputed", "closed"],
            "disputed":   ["matching", "closed"],
            "closed":     []
        }}');


CREATE TABLE rest.channel_payout_line (
    business_id            uuid              NOT NULL,
    channel_payout_line_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    channel_payout_id      uuid              NOT NULL,
    channel_order_id       uuid,
    guest_check_id         uuid,
    line_number            integer           NOT NULL,
    external_order_id      text,
    line_kind              text              NOT NULL,
    food_sales             system_core.money NOT NULL DEFAULT 0,
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
    CONSTRAINT channel_payout_line_matched_has_time
        CHECK ((matched_at IS NOT NULL) = (match_state <> 'unmatched')),
    CONSTRAINT channel_payout_line_net_is_its_parts
        CHECK (line_kind = 'tip'
               OR net_amount = food_sales - commission_amount - marketing_fee
                               - adjustment_amount),
    CONSTRAINT channel_payout_line_tip_is_only_tip
        CHECK (line_kind <> 'tip'
               OR (food_sales = 0 AND commission_amount = 0 AND marketing_fee = 0
                   AND adjustment_amount = 0 AND net_amount >= 0)),
    CONSTRAINT channel_payout_line_matched_is_ours
        CHECK (match_state NOT IN ('matched', 'amount_variance', 'missing_in_payout')
               OR channel_order_id IS NOT NULL)
);

COMMENT ON TABLE rest.channel_payout_line IS
    'One order, refund, promotion or fee of a statement matched to our check.';

COMMENT ON COLUMN rest.channel_payout_line.tax_amount IS
    'Remitted by the channel: shown, not part of the net.';
COMMENT ON COLUMN rest.channel_payout_line.adjustment_amount IS
    'What was held back besides; the fee itself on a line of kind fee.';
COMMENT ON COLUMN rest.channel_payout_line.match_state IS
    'missing_in_pos: paid for an order that we do not know; missing_in_payout: an order of the
     period that no statement pays for.';

-- The lines of a marketplace order as the statement names it, to match.
CREATE INDEX channel_payout_line_external_order_idx
    ON rest.channel_payout_line (business_id, external_order_id)
    WHERE external_order_id IS NOT NULL;

-- FK: what was paid for an order.
CREATE INDEX channel_payout_line_channel_order_idx
    ON rest.channel_payout_line (business_id, channel_order_id)
    WHERE channel_order_id IS NOT NULL;

-- FK: what was paid for a check.
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
    charged_amount           system_core.money NOT NULL,
    claimed_at               timestamptz       NOT NULL DEFAULT now(),
    evidence_due_at          timestamptz       NOT NULL DEFAULT now() + interval '7 days',
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
    CONSTRAINT channel_order_dispute_recovers_at_most_all
        CHECK (recovered_amount BETWEEN 0 AND charged_amount),
    CONSTRAINT channel_order_dispute_recovers_when_won
        CHECK ((recovered_amount > 0) = (state = 'won')),
    CONSTRAINT channel_order_dispute_submitted_with_evidence
        CHECK (state NOT IN ('submitted', 'won', 'lost') OR coalesce(evidence_note, '') ~ '\S'),
    CONSTRAINT channel_order_dispute_due_after_claim CHECK (evidence_due_at > claimed_at),
    CONSTRAINT channel_order_dispute_resolved_after_claim CHECK (resolved_at >= claimed_at),
    CONSTRAINT channel_order_dispute_resolved_has_time
        CHECK ((resolved_at IS NOT NULL) = (state IN ('won', 'lost', 'expired')))
);

COMMENT ON TABLE rest.channel_order_dispute IS
    'A marketplace refund charged to the restaurant and contested.';

-- One open dispute of a kind per order.
CREATE UNIQUE INDEX channel_order_dispute_open_idx
    ON rest.channel_order_dispute (business_id, channel_order_id, dispute_kind)
    WHERE state IN ('open', 'submitted');

-- FK: what somebody contested.
CREATE INDEX channel_order_dispute_opened_by_staff_idx
    ON rest.channel_order_dispute (business_id, opened_by_staff_id)
    WHERE opened_by_staff_id IS NOT NULL;

-- FK: the disputes about an order.
CREATE INDEX channel_order_dispute_channel_order_idx
    ON rest.channel_order_dispute (business_id, channel_order_id);

-- FK: the disputes about a line.
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

CREATE TRIGGER channel_order_dispute_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.channel_order_dispute
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["open"],
        "transitions": {
            "open":      ["submitted", "expired"],
            "submitted": ["won", "lost", "expired"],
            "won":       [],
            "lost":      [],
            "expired":   []
        }}');

CREATE FUNCTION rest.keep_dispute_with_order() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM rest.channel_payout_line AS l
                   WHERE l.business_id = NEW.business_id
                     AND l.channel_payout_line_id = NEW.channel_payout_line_id
                     AND l.channel_order_id = NEW.channel_order_id) THEN
        RAISE EXCEPTION 'the line is not about the order that is disputed'
            USING ERRCODE = 'check_violation', HINT = 'Reconcile the statement first.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.keep_dispute_with_order() IS
    'A dispute is about a line of the statement that was matched with its order.';

CREATE TRIGGER channel_order_dispute_of_its_line
    BEFORE INSERT OR UPDATE OF channel_order_id, channel_payout_line_id
    ON rest.channel_order_dispute
    FOR EACH ROW WHEN (NEW.channel_payout_line_id IS NOT NULL)
    EXECUTE FUNCTION rest.keep_dispute_with_order();


CREATE FUNCTION rest.payout_differences()
    RETURNS TABLE (channel_payout_id uuid, figure text, said numeric, found numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT p.channel_payout_id, v.figure, v.said, v.found
    FROM rest.channel_payout AS p
    LEFT JOIN LATERAL (
        SELECT coalesce(sum(x.food_sales), 0)        AS sales,
               coalesce(sum(x.commission_amount), 0) AS commission,
               coalesce(sum(x.marketing_fee), 0)     AS marketing,
               coalesce(sum(x.adjustment_amount) FILTER (WHERE x.line_kind = 'fee'), 0) AS fees,
               coalesce(sum(x.adjustment_amount) FILTER (WHERE x.line_kind <> 'fee'), 0) AS other,
               coalesce(sum(x.net_amount) FILTER (WHERE x.line_kind = 'tip'), 0) AS tips,
               coalesce(sum(x.tax_amount), 0)        AS tax,
               coalesce(sum(x.net_amount), 0)        AS net
        FROM rest.channel_payout_line AS x
        WHERE x.business_id = p.business_id AND x.channel_payout_id = p.channel_payout_id
    ) AS n ON true
    CROSS JOIN LATERAL (VALUES
        ('gross_sales', p.gross_sales::numeric, n.sales),
        ('commission_total', p.commission_total, n.commission),
        ('marketing_total', p.marketing_total, n.marketing),
        ('delivery_fee_total', p.delivery_fee_total, n.fees),
        ('adjustment_total', p.adjustment_total, n.other),
        ('tips_total', p.tips_total, n.tips),
        ('tax_remitted_total', p.tax_remitted_total, n.tax),
        ('net_payout', p.net_payout, n.net),
        ('net of totals', p.net_payout,
         p.gross_sales + p.tips_total - p.commission_total - p.marketing_total
         - p.delivery_fee_total - p.adjustment_total)) AS v (figure, said, found)
    WHERE p.business_id = tenant_mgmt.current_business_id() AND v.said <> v.found;
END;
COMMENT ON FUNCTION rest.payout_differences() IS
    'Proves the statements: every total that is not the sum of its lines, and every net that is not
     sales + tips - commission - marketing - delivery fees - adjustments; nothing when all agree.';

CREATE FUNCTION rest.prove_payout() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    SELECT d.figure, d.said, d.found INTO wrong
    FROM rest.payout_differences() AS d
    WHERE d.channel_payout_id = NEW.channel_payout_id
    ORDER BY d.figure
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'statement %: % is %, its lines say %', NEW.payout_reference,
                        wrong.figure, wrong.said, wrong.found
            USING ERRCODE = 'check_violation', HINT = 'Import the statement whole.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.prove_payout() IS
    'A statement is reconciled or closed only when its totals are those of its lines.';

CREATE TRIGGER channel_payout_proven
    AFTER UPDATE OF state ON rest.channel_payout
    FOR EACH ROW WHEN (NEW.state IN ('reconciled', 'closed'))
    EXECUTE FUNCTION rest.prove_payout();


CREATE FUNCTION rest.reconcile_payout(payout uuid, OUT matched bigint, OUT exceptions bigint)
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    told   rest.channel_payout;
BEGIN
    SELECT p.* INTO told
    FROM rest.channel_payout AS p
    WHERE p.business_id = tenant AND p.channel_payout_id = payout
    FOR UPDATE;
    IF NOT FOUND OR told.state = 'closed' THEN
        RAISE EXCEPTION 'there is no open statement to reconcile'
            USING ERRCODE = 'check_violation';
    END IF;
    UPDATE rest.channel_payout_line AS l
    SET channel_order_id = n.channel_order_id, guest_check_id = n.guest_check_id,
        expected_net = n.expected, matched_at = now(),
        match_state = CASE WHEN n.expected IS NULL THEN 'ignored'
                           WHEN n.channel_order_id IS NULL THEN 'missing_in_pos'
                           WHEN abs(l.net_amount - n.expected) > told.tolerance_amount
                           THEN 'amount_variance' ELSE 'matched' END
    FROM rest.expected_payout_lines(payout) AS n
    WHERE l.business_id = tenant AND l.channel_payout_line_id = n.channel_payout_line_id
      AND l.match_state <> 'missing_in_payout';
    -- An order of the period that no statement mentions is written down with nothing paid.
    INSERT INTO rest.channel_payout_line
        (business_id, channel_payout_id, channel_order_id, line_number, external_order_id,
         line_kind, expected_net, match_state, matched_at)
    SELECT tenant, payout, o.channel_order_id,
           coalesce((SELECT max(x.line_number)
                     FROM rest.channel_payout_line AS x
                     WHERE x.business_id = tenant AND x.channel_payout_id = payout), 0)
               + row_number() OVER (ORDER BY o.placed_at, o.channel_order_id),
           o.external_order_id, 'order',
           o.items_subtotal - o.commission_estimate
               - round(o.items_subtotal * s.marketing_fee_pct / 100, 2),
           'missing_in_payout', now()
    FROM rest.channel_store_link AS s
    JOIN rest.location AS p ON p.business_id = s.business_id AND p.location_id = s.location_id
    JOIN rest.channel_order AS o
        ON o.business_id = s.business_id AND o.channel_store_link_id = s.channel_store_link_id
       AND o.state IN ('picked_up', 'delivered')
       AND (o.placed_at AT TIME ZONE p.timezone)::date
           BETWEEN told.period_start AND told.period_end
    WHERE s.business_id = tenant AND s.sales_channel_id = told.sales_channel_id
      AND (told.channel_store_link_id IS NULL
           OR s.channel_store_link_id = told.channel_store_link_id)
      AND NOT EXISTS (SELECT FROM rest.channel_payout_line AS x
                      WHERE x.business_id = tenant
                        AND x.external_order_id = o.external_order_id
                        AND x.line_kind = 'order');
    SELECT count(*) FILTER (WHERE l.match_state = 'matched'),
           count(*) FILTER (WHERE l.match_state IN ('amount_variance', 'missing_in_pos',
                                                    'missing_in_payout'))
    INTO reconcile_payout.matched, reconcile_payout.exceptions
    FROM rest.channel_payout_line AS l
    WHERE l.business_id = tenant AND l.channel_payout_id = payout;
    UPDATE rest.channel_payout AS p SET state = 'matching'
    WHERE p.business_id = tenant AND p.channel_payout_id = payout AND p.state <> 'matching';
    UPDATE rest.channel_payout AS p SET state = 'reconciled'
    WHERE p.business_id = tenant AND p.channel_payout_id = payout
      AND reconcile_payout.exceptions = 0
      AND NOT EXISTS (SELECT FROM rest.payout_differences() AS d
                      WHERE d.channel_payout_id = payout);
END
$$;
COMMENT ON FUNCTION rest.reconcile_payout(uuid) IS
    'Matches the lines of a statement with our orders, says what each should have paid, adds the
     orders it forgot; the statement is reconciled when nothing is left and it is proven.';

CREATE FUNCTION rest.expected_payout_lines(payout uuid)
    RETURNS TABLE (
        channel_payout_line_id uuid,
        channel_order_id       uuid,
        guest_check_id         uuid,
        expected               numeric
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT l.channel_payout_line_id, o.channel_order_id, c.guest_check_id,
           CASE WHEN l.line_kind IN ('adjustment', 'promotion', 'fee', 'misc') THEN NULL
                WHEN o.channel_order_id IS NULL OR l.line_kind = 'refund'
                     OR o.state IN ('denied', 'cancelled', 'failed') THEN 0
                WHEN l.line_kind = 'tip' THEN o.guest_tip
                ELSE o.items_subtotal - o.commission_estimate
                     - round(o.items_subtotal * o.marketing_fee_pct / 100, 2) END
    FROM rest.channel_payout AS p
    JOIN rest.channel_payout_line AS l
        ON l.business_id = p.business_id AND l.channel_payout_id = p.channel_payout_id
    LEFT JOIN LATERAL (
        SELECT x.*, s.marketing_fee_pct
        FROM rest.channel_store_link AS s
        JOIN rest.channel_order AS x
            ON x.business_id = s.business_id
           AND x.channel_store_link_id = s.channel_store_link_id
           AND x.external_order_id = l.external_order_id
        WHERE s.business_id = p.business_id AND s.sales_channel_id = p.sales_channel_id
        ORDER BY x.placed_at, x.channel_order_id
        LIMIT 1
    ) AS o ON true
    LEFT JOIN LATERAL (
        SELECT x.guest_check_id
        FROM rest.guest_check AS x
        WHERE x.business_id = p.business_id AND x.guest_order_id = o.guest_order_id
        ORDER BY x.check_number
        LIMIT 1
    ) AS c ON true
    WHERE p.business_id = tenant_mgmt.current_business_id() AND p.channel_payout_id = payout;
END;
COMMENT ON FUNCTION rest.expected_payout_lines(uuid) IS
    'Our order and check of every line of a statement and what it should have paid: NULL where
     there is nothing to compare, 0 for a refund and for an order that never was.';


CREATE VIEW rest.v_payout_exceptions WITH (security_invoker = true) AS
SELECT p.business_id, h.channel_code, p.period_start, p.period_end, p.channel_payout_id,
       p.payout_reference, p.state AS payout_state, l.channel_payout_line_id, l.line_number,
       l.line_kind, l.external_order_id, l.channel_order_id, l.match_state, l.net_amount,
       l.expected_net, l.variance_amount
FROM rest.channel_payout AS p
JOIN rest.sales_channel AS h
    ON h.business_id = p.business_id AND h.sales_channel_id = p.sales_channel_id
JOIN rest.channel_payout_line AS l
    ON l.business_id = p.business_id AND l.channel_payout_id = p.channel_payout_id
WHERE l.match_state IN ('unmatched', 'missing_in_pos', 'missing_in_payout')
   OR (l.match_state <> 'ignored' AND abs(l.variance_amount) > p.tolerance_amount);
COMMENT ON VIEW rest.v_payout_exceptions IS
    'Payout lines that match no order, orders that no line pays for, and amounts that are off by
     more than the tolerance, by channel and period.';
GRANT SELECT ON rest.v_payout_exceptions TO app_user, app_readonly;
