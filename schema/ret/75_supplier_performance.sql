/*
 * How suppliers keep their word, and what it costs or earns them.
 *
 * scorecard_criterion says what is measured, what it weighs and what a failure costs;
 * ret.score_suppliers() writes supplier_scorecard, a month of a supplier, from orders, notices,
 * receipts and invoices. A delivery that is posted with discrepancies raises supplier_chargeback
 * rows. supplier_rebate is the money that agreements earn, consignment_settlement with its lines
 * what is owed for goods that were the supplier's until they were sold.
 */

CREATE TABLE ret.scorecard_criterion (
    business_id            uuid                   NOT NULL,
    scorecard_criterion_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    criterion_code         system_core.code       NOT NULL,
    display_name           text                   NOT NULL,
    measure                text                   NOT NULL,
    weight_pct             system_core.percentage NOT NULL,
    target_value           system_core.quantity   NOT NULL,
    floor_value            system_core.quantity   NOT NULL,
    higher_is_better       boolean                NOT NULL DEFAULT true,
    chargeback_rate        numeric(9, 4),
    is_active              boolean                NOT NULL DEFAULT true,
    created_at             timestamptz            NOT NULL DEFAULT now(),
    updated_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, scorecard_criterion_id),
    UNIQUE (business_id, criterion_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT scorecard_criterion_measure_known
        CHECK (measure IN ('fill_rate', 'on_time', 'otif', 'asn_accuracy', 'asn_timeliness',
                           'invoice_accuracy', 'defect_rate', 'label_compliance',
                           'lead_time_variance')),
    CONSTRAINT scorecard_criterion_weight_bounded CHECK (weight_pct BETWEEN 0 AND 100),
    CONSTRAINT scorecard_criterion_target_beyond_floor
        CHECK (CASE WHEN higher_is_better THEN target_value > floor_value
                    ELSE target_value < floor_value END),
    CONSTRAINT scorecard_criterion_chargeback_rate_bounded
        CHECK (chargeback_rate BETWEEN 0 AND 100)
);

COMMENT ON TABLE ret.scorecard_criterion IS
    'What suppliers are measured by: weight, target, and what a failure costs them.';
COMMENT ON COLUMN ret.scorecard_criterion.target_value IS
    'From here on a supplier has all points: percent, or days for the variance of lead time.';
COMMENT ON COLUMN ret.scorecard_criterion.floor_value IS 'Up to here it has none.';
COMMENT ON COLUMN ret.scorecard_criterion.chargeback_rate IS
    'Percent of the cost of the affected units that is charged back; NULL: nothing is.';

-- One active criterion per measure: what a failure costs is not ambiguous.
CREATE UNIQUE INDEX scorecard_criterion_active_idx
    ON ret.scorecard_criterion (business_id, measure)
    WHERE is_active;

ALTER TABLE ret.scorecard_criterion ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.scorecard_criterion
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.scorecard_criterion TO app_user;
GRANT SELECT ON ret.scorecard_criterion TO app_readonly;

CREATE TRIGGER scorecard_criterion_touch
    BEFORE UPDATE ON ret.scorecard_criterion
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION ret.check_criterion_weights() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    total numeric;
BEGIN
    SELECT sum(c.weight_pct) INTO total
    FROM ret.scorecard_criterion AS c
    WHERE c.business_id = coalesce(NEW.business_id, OLD.business_id) AND c.is_active;
    IF total <> 100 THEN
        RAISE EXCEPTION 'the weights of active criteria add up to %, not 100', total
            USING ERRCODE = 'check_violation',
                  HINT = 'Change all of them in one transaction.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.check_criterion_weights() IS
    'Active criteria weigh 100 together, or there are none; asked at the end of a transaction.';

CREATE CONSTRAINT TRIGGER scorecard_criterion_weights
    AFTER INSERT OR UPDATE OR DELETE ON ret.scorecard_criterion
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION ret.check_criterion_weights();


CREATE TABLE ret.supplier_scorecard (
    business_id           uuid                   NOT NULL,
    supplier_scorecard_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    supplier_id           uuid                   NOT NULL,
    period_start          date                   NOT NULL,
    period_end            date                   NOT NULL,
    po_count              integer                NOT NULL DEFAULT 0,
    ordered_units         system_core.quantity   NOT NULL DEFAULT 0,
    received_units        system_core.quantity   NOT NULL DEFAULT 0,
    fill_rate_pct         system_core.percentage,
    on_time_pct           system_core.percentage,
    otif_pct              system_core.percentage,
    asn_accuracy_pct      system_core.percentage,
    invoice_accuracy_pct  system_core.percentage,
    defect_rate_pct       system_core.percentage,
    lead_days_mean        numeric(9, 4),
    lead_days_sd          numeric(9, 4),
    composite_score       numeric(9, 4),
    standing              text                   NOT NULL,
    measures_doc          jsonb                  NOT NULL DEFAULT '{}',
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, supplier_scorecard_id),
    UNIQUE (business_id, supplier_id, period_start),
    FOREIGN KEY (business_id, supplier_id) REFERENCES ret.supplier (business_id, supplier_id),
    CONSTRAINT supplier_scorecard_standing_known
        CHECK (standing IN ('preferred', 'approved', 'watch', 'probation')),
    CONSTRAINT supplier_scorecard_period_in_order CHECK (period_end >= period_start),
    CONSTRAINT supplier_scorecard_percentages_bounded
        CHECK (fill_rate_pct BETWEEN 0 AND 100 AND on_time_pct BETWEEN 0 AND 100
               AND otif_pct BETWEEN 0 AND 100 AND asn_accuracy_pct BETWEEN 0 AND 100
               AND invoice_accuracy_pct BETWEEN 0 AND 100 AND defect_rate_pct BETWEEN 0 AND 100
               AND composite_score BETWEEN 0 AND 100),
    CONSTRAINT supplier_scorecard_otif_is_both
        CHECK (otif_pct <= least(on_time_pct, fill_rate_pct)),
    CONSTRAINT supplier_scorecard_counts_not_negative
        CHECK (po_count >= 0 AND ordered_units >= 0 AND received_units >= 0),
    CONSTRAINT supplier_scorecard_measures_are_an_object
        CHECK (jsonb_typeof(measures_doc) = 'object')
);

COMMENT ON TABLE ret.supplier_scorecard IS
    'A supplier''s month: raw measures of what was due in it, and the composite score.';
COMMENT ON COLUMN ret.supplier_scorecard.on_time_pct IS
    'Units that came by the day they were due, of those ordered: what never came was not on time.';
COMMENT ON COLUMN ret.supplier_scorecard.otif_pct IS
    'On time, in full: units of the lines that were whole by the day they were due.';
COMMENT ON COLUMN ret.supplier_scorecard.measures_doc IS
    '{measure: {numerator, denominator, value, weight, score}}: why the score is what it is.';

ALTER TABLE ret.supplier_scorecard ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.supplier_scorecard
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.supplier_scorecard TO app_user;
GRANT SELECT ON ret.supplier_scorecard TO app_readonly;

CREATE TRIGGER supplier_scorecard_touch
    BEFORE UPDATE ON ret.supplier_scorecard
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.supplier_chargeback (
    business_id            uuid                 NOT NULL,
    supplier_chargeback_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    supplier_id            uuid                 NOT NULL,
    scorecard_criterion_id uuid,
    goods_receipt_id       uuid,
    advance_ship_notice_id uuid,
    supplier_invoice_id    uuid,
    chargeback_number      text                 NOT NULL,
    failure_kind           text                 NOT NULL,
    units_affected         system_core.quantity NOT NULL DEFAULT 0,
    amount                 system_core.money    NOT NULL,
    raised_at              timestamptz          NOT NULL DEFAULT now(),
    disputed_at            timestamptz,
    dispute_note           text,
    settled_amount         system_core.money    NOT NULL DEFAULT 0,
    settled_at             timestamptz,
    state                  text                 NOT NULL DEFAULT 'raised',
    created_at             timestamptz          NOT NULL DEFAULT now(),
    updated_at             timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, supplier_chargeback_id),
    UNIQUE (business_id, chargeback_number),
    FOREIGN KEY (business_id, supplier_id) REFERENCES ret.supplier (business_id, supplier_id),
    FOREIGN KEY (business_id, scorecard_criterion_id)
        REFERENCES ret.scorecard_criterion (business_id, scorecard_criterion_id),
    FOREIGN KEY (business_id, goods_receipt_id)
        REFERENCES ret.goods_receipt (business_id, goods_receipt_id),
    FOREIGN KEY (business_id, advance_ship_notice_id)
        REFERENCES ret.advance_ship_notice (business_id, advance_ship_notice_id),
    FOREIGN KEY (business_id, supplier_invoice_id)
        REFERENCES ret.supplier_invoice (business_id, supplier_invoice_id),
    CONSTRAINT supplier_chargeback_failure_kind_known
        CHECK (failure_kind IN ('late', 'early', 'short', 'over', 'asn_missing', 'asn_wrong',
                                'label', 'packing', 'damaged', 'invoice')),
    CONSTRAINT supplier_chargeback_state_known
        CHECK (state IN ('raised', 'disputed', 'upheld', 'reduced', 'waived', 'settled')),
    CONSTRAINT supplier_chargeback_amount_positive CHECK (amount > 0),
    CONSTRAINT supplier_chargeback_units_not_negative CHECK (units_affected >= 0),
    CONSTRAINT supplier_chargeback_settles_at_most_amount
        CHECK (settled_amount BETWEEN 0 AND amount),
    CONSTRAINT supplier_chargeback_settled_has_time
        CHECK ((settled_at IS NOT NULL) = (state = 'settled')),
    CONSTRAINT supplier_chargeback_disputed_has_time
        CHECK (state NOT IN ('disputed', 'upheld', 'reduced') OR disputed_at IS NOT NULL),
    CONSTRAINT supplier_chargeback_times_in_order
        CHECK (disputed_at >= raised_at AND settled_at >= coalesce(disputed_at, raised_at))
);

COMMENT ON TABLE ret.supplier_chargeback IS
    'Deduction for a compliance failure, which the supplier accepts or disputes.';
COMMENT ON COLUMN ret.supplier_chargeback.settled_amount IS
    'What was deducted in the end; less than the amount where a dispute reduced it.';

-- FK: the chargebacks of a supplier, newest first.
CREATE INDEX supplier_chargeback_supplier_idx
    ON ret.supplier_chargeback (business_id, supplier_id, raised_at DESC);

-- FK: the chargebacks of a criterion.
CREATE INDEX supplier_chargeback_scorecard_criterion_idx
    ON ret.supplier_chargeback (business_id, scorecard_criterion_id)
    WHERE scorecard_criterion_id IS NOT NULL;

-- FK: the chargebacks of a receipt. A failure of a delivery is charged once.
CREATE UNIQUE INDEX supplier_chargeback_goods_receipt_idx
    ON ret.supplier_chargeback (business_id, goods_receipt_id, failure_kind)
    WHERE goods_receipt_id IS NOT NULL;

-- FK: the chargebacks of a notice.
CREATE INDEX supplier_chargeback_advance_ship_notice_idx
    ON ret.supplier_chargeback (business_id, advance_ship_notice_id)
    WHERE advance_ship_notice_id IS NOT NULL;

-- FK: the chargebacks of an invoice.
CREATE INDEX supplier_chargeback_supplier_invoice_idx
    ON ret.supplier_chargeback (business_id, supplier_invoice_id)
    WHERE supplier_invoice_id IS NOT NULL;

ALTER TABLE ret.supplier_chargeback ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.supplier_chargeback
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.supplier_chargeback TO app_user;
GRANT SELECT ON ret.supplier_chargeback TO app_readonly;

CREATE TRIGGER supplier_chargeback_touch
    BEFORE UPDATE ON ret.supplier_chargeback
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER supplier_chargeback_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.supplier_chargeback
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["raised"],
        "transitions": {
            "raised":   ["disputed", "waived", "settled"],
            "disputed": ["upheld", "reduced", "waived"],
            "upheld":   ["settled"],
            "reduced":  ["settled"],
            "waived":   [],
            "settled":  []
        }}');


CREATE FUNCTION ret.receipt_failures(goods_receipts uuid[])
    RETURNS TABLE (
        goods_receipt_id uuid,
        failure_kind     text,
        measure          text,
        units            numeric,
        cost             numeric
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH line AS (
        SELECT r.goods_receipt_id, l.expected_qty, l.received_qty, l.damaged_qty, l.rejected_qty,
               l.unit_cost, l.discrepancy,
               (r.arrived_at AT TIME ZONE 'UTC')::date
                   > coalesce(o.promised_on, p.ship_window_end) AS is_late,
               (r.arrived_at AT TIME ZONE 'UTC')::date < p.ship_window_start AS is_early,
               s.edi_enabled AND p.purchase_order_id IS NOT NULL
                   AND r.advance_ship_notice_id IS NULL AS is_unannounced
        FROM ret.goods_receipt AS r
        JOIN ret.supplier AS s ON s.business_id = r.business_id AND s.supplier_id = r.supplier_id
        JOIN ret.goods_receipt_line AS l
            ON l.business_id = r.business_id AND l.goods_receipt_id = r.goods_receipt_id
        LEFT JOIN ret.purchase_order AS p
            ON p.business_id = r.business_id AND p.purchase_order_id = r.purchase_order_id
        LEFT JOIN ret.purchase_order_line AS o
            ON o.business_id = l.business_id
           AND o.purchase_order_line_id = l.purchase_order_line_id
        WHERE r.business_id = tenant_mgmt.current_business_id()
          AND r.goods_receipt_id = ANY (goods_receipts)
    )
    SELECT l.goods_receipt_id, f.failure_kind, f.measure, sum(f.units),
           round(sum(f.units * l.unit_cost), 2)
    FROM line AS l
    CROSS JOIN LATERAL (VALUES
        ('short', 'fill_rate', greatest(l.expected_qty - l.received_qty, 0)),
        ('over', 'fill_rate', CASE l.discrepancy WHEN 'over' THEN
                                  l.received_qty - l.expected_qty ELSE 0 END),
        ('damaged', 'defect_rate', l.damaged_qty + l.rejected_qty),
        ('label', 'label_compliance', CASE l.discrepancy WHEN 'unlabelled' THEN l.received_qty
                                      ELSE 0 END),
        ('packing', 'label_compliance', CASE l.discrepancy WHEN 'wrong_item' THEN l.received_qty
                                        ELSE 0 END),
        ('late', 'on_time', CASE WHEN l.is_late THEN l.received_qty ELSE 0 END),
        ('early', 'on_time', CASE WHEN l.is_early THEN l.received_qty ELSE 0 END),
        ('asn_missing', 'asn_timeliness', CASE WHEN l.is_unannounced THEN l.received_qty
                                          ELSE 0 END))
        AS f (failure_kind, measure, units)
    WHERE f.units > 0
    GROUP BY l.goods_receipt_id, f.failure_kind, f.measure;
END;
COMMENT ON FUNCTION ret.receipt_failures(uuid[]) IS
    'What went wrong with deliveries: units, and what they cost, by kind of failure and the measure
     that it counts against.';


CREATE FUNCTION ret.raise_chargebacks(goods_receipt uuid) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    raised integer;
BEGIN
    WITH made AS (
        INSERT INTO ret.supplier_chargeback
            (business_id, supplier_id, scorecard_criterion_id, goods_receipt_id,
             advance_ship_notice_id, chargeback_number, failure_kind, units_affected, amount)
        SELECT tenant, r.supplier_id, c.scorecard_criterion_id, goods_receipt,
               r.advance_ship_notice_id, 'CB-' || r.receipt_number || '-' || f.failure_kind,
               f.failure_kind, f.units, round(f.cost * c.chargeback_rate / 100, 2)
        FROM ret.receipt_failures(ARRAY[goods_receipt]) AS f
        JOIN ret.goods_receipt AS r
            ON r.business_id = tenant AND r.goods_receipt_id = f.goods_receipt_id
        JOIN ret.scorecard_criterion AS c
            ON c.business_id = tenant AND c.measure = f.measure AND c.is_active
        WHERE round(f.cost * c.chargeback_rate / 100, 2) > 0
        ORDER BY f.failure_kind
        ON CONFLICT (business_id, goods_receipt_id, failure_kind)
            WHERE goods_receipt_id IS NOT NULL DO NOTHING
        RETURNING 1
    )
    SELECT count(*) INTO raised FROM made;
    RETURN raised;
END
$$;
COMMENT ON FUNCTION ret.raise_chargebacks(uuid) IS
    'Charges a delivery''s failures back where an active criterion has a rate, each once; returns
     how many it raised.';

CREATE FUNCTION ret.charge_posted_receipt() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        PERFORM ret.raise_chargebacks(NEW.goods_receipt_id);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.charge_posted_receipt() IS
    'A delivery that ret.post_receipt() completes is charged back what went wrong with it.';

CREATE TRIGGER goods_receipt_charge
    AFTER UPDATE OF state ON ret.goods_receipt
    FOR EACH ROW WHEN (NEW.state = 'completed' AND OLD.state <> 'completed')
    EXECUTE FUNCTION ret.charge_posted_receipt();


CREATE FUNCTION ret.supplier_measures(period_start date, period_end date)
    RETURNS TABLE (
        supplier_id   uuid,
        measure       text,
        numerator     numeric,
        denominator   numeric,
        value         numeric
    )
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH line AS (
        -- What was due in the period, and what of it was there by then.
        SELECT o.supplier_id, o.purchase_order_id, o.ordered_at,
               l.ordered_qty - l.cancelled_qty AS wanted,
               least(coalesce(g.came, 0), l.ordered_qty - l.cancelled_qty) AS came,
               least(coalesce(g.in_time, 0), l.ordered_qty - l.cancelled_qty) AS in_time
        FROM ret.purchase_order AS o
        JOIN ret.purchase_order_line AS l
            ON l.business_id = o.business_id AND l.purchase_order_id = o.purchase_order_id
        CROSS JOIN LATERAL (
            SELECT coalesce(l.promised_on, o.ship_window_end) AS due_on
        ) AS d
        LEFT JOIN LATERAL (
            SELECT sum(x.accepted_qty) AS came,
                   sum(x.accepted_qty) FILTER (
                       WHERE (r.arrived_at AT TIME ZONE 'UTC')::date <= d.due_on) AS in_time
            FROM ret.goods_receipt_line AS x
            JOIN ret.goods_receipt AS r
                ON r.business_id = x.business_id AND r.goods_receipt_id = x.goods_receipt_id
               AND r.state = 'completed'
            WHERE x.business_id = l.business_id
              AND x.purchase_order_line_id = l.purchase_order_line_id
        ) AS g ON true
        WHERE o.business_id = tenant_mgmt.current_business_id()
          AND o.state NOT IN ('draft', 'pending_approval', 'cancelled')
          AND d.due_on BETWEEN period_start AND period_end AND l.state <> 'cancelled'
    ), receipt AS (
        SELECT r.supplier_id, r.goods_receipt_id,
               extract(epoch FROM r.arrived_at - o.ordered_at) / 86400 AS lead_days
        FROM ret.goods_receipt AS r
        LEFT JOIN ret.purchase_order AS o
            ON o.business_id = r.business_id AND o.purchase_order_id = r.purchase_order_id
        WHERE r.business_id = tenant_mgmt.current_business_id() AND r.state = 'completed'
          AND (r.arrived_at AT TIME ZONE 'UTC')::date BETWEEN period_start AND period_end
    ), measured AS (
        SELECT l.supplier_id, m.measure, m.numerator, m.denominator
        FROM (
            SELECT x.supplier_id, sum(x.wanted) AS wanted, sum(x.came) AS came,
                   sum(x.in_time) AS in_time,
                   coalesce(sum(x.wanted) FILTER (WHERE x.in_time >= x.wanted), 0) AS whole
            FROM line AS x
            GROUP BY x.supplier_id
        ) AS l
        CROSS JOIN LATERAL (VALUES ('fill_rate', l.came, l.wanted),
                                   ('on_time', l.in_time, l.wanted),
                                   ('otif', l.whole, l.wanted))
            AS m (measure, numerator, denominator)
        UNION ALL
        SELECT a.supplier_id, m.measure, m.numerator, m.denominator
        FROM (
            SELECT x.supplier_id, count(*) AS notices,
                   count(*) FILTER (WHERE x.error_count = 0) AS right_ones,
                   count(*) FILTER (WHERE x.is_on_time) AS timely
            FROM ret.advance_ship_notice AS x
            WHERE x.business_id = tenant_mgmt.current_business_id()
              AND (x.received_at AT TIME ZONE 'UTC')::date BETWEEN period_start AND period_end
            GROUP BY x.supplier_id
        ) AS a
        CROSS JOIN LATERAL (VALUES ('asn_accuracy', a.right_ones, a.notices),
                                   ('asn_timeliness', a.timely, a.notices))
            AS m (measure, numerator, denominator)
        UNION ALL
        SELECT i.supplier_id, 'invoice_accuracy',
               count(*) FILTER (WHERE i.match_state = 'matched'), count(*)
        FROM ret.supplier_invoice AS i
        WHERE i.business_id = tenant_mgmt.current_business_id() AND i.invoice_kind = 'invoice'
          AND i.match_state <> 'unmatched'
          AND i.invoice_date BETWEEN period_start AND period_end
        GROUP BY i.supplier_id
        UNION ALL
        SELECT r.supplier_id, m.measure, m.numerator, m.denominator
        FROM (
            SELECT x.supplier_id, sum(l.received_qty) AS units, count(*) AS lines,
                   sum(l.damaged_qty + l.rejected_qty) AS bad,
                   count(*) FILTER (WHERE l.discrepancy <> 'unlabelled') AS labelled
            FROM receipt AS x
            JOIN ret.goods_receipt_line AS l
                ON l.business_id = tenant_mgmt.current_business_id()
               AND l.goods_receipt_id = x.goods_receipt_id
            GROUP BY x.supplier_id
        ) AS r
        CROSS JOIN LATERAL (VALUES ('defect_rate', r.bad, r.units),
                                   ('label_compliance', r.labelled::numeric, r.lines::numeric))
            AS m (measure, numerator, denominator)
    )
    SELECT m.supplier_id, m.measure, m.numerator, m.denominator,
           round(100.0 * m.numerator / nullif(m.denominator, 0), 4)
    FROM measured AS m
    UNION ALL
    SELECT r.supplier_id, v.measure, round(v.value, 4), count(r.lead_days), round(v.value, 4)
    FROM (
        SELECT x.supplier_id, avg(x.lead_days) AS mean,
               coalesce(stddev_samp(x.lead_days), 0) AS sd
        FROM receipt AS x
        WHERE x.lead_days IS NOT NULL
        GROUP BY x.supplier_id
    ) AS n
    JOIN receipt AS r ON r.supplier_id = n.supplier_id
    CROSS JOIN LATERAL (VALUES ('lead_days_mean', n.mean), ('lead_time_variance', n.sd))
        AS v (measure, value)
    GROUP BY r.supplier_id, v.measure, v.value
    UNION ALL
    SELECT l.supplier_id, 'po_count', count(DISTINCT l.purchase_order_id),
           count(DISTINCT l.purchase_order_id), count(DISTINCT l.purchase_order_id)
    FROM line AS l
    GROUP BY l.supplier_id;
END;
COMMENT ON FUNCTION ret.supplier_measures(date, date) IS
    'What suppliers did in a period, as fractions: percent for rates, days for lead times.';


CREATE FUNCTION ret.score_suppliers(
    period_start date,
    period_end   date,
    thresholds   numeric[] DEFAULT ARRAY[90, 75, 60]
) RETURNS integer
    LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    scored integer;
BEGIN
    IF period_end < period_start THEN
        RAISE EXCEPTION 'a period ends after it starts'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO ret.supplier_scorecard AS s
        (business_id, supplier_id, period_start, period_end, po_count, ordered_units,
         received_units, fill_rate_pct, on_time_pct, otif_pct, asn_accuracy_pct,
         invoice_accuracy_pct, defect_rate_pct, lead_days_mean, lead_days_sd, composite_score,
         standing, measures_doc)
    SELECT tenant, n.supplier_id, score_suppliers.period_start, score_suppliers.period_end,
           coalesce(n.po_count, 0), coalesce(n.ordered, 0), coalesce(n.received, 0), n.fill_rate,
           n.on_time, n.otif, n.asn_accuracy, n.invoice_accuracy, n.defect_rate,
           n.lead_days_mean, n.lead_days_sd, n.composite,
           CASE WHEN n.composite >= thresholds[1] THEN 'preferred'
                WHEN n.composite >= thresholds[2] THEN 'approved'
                WHEN n.composite >= thresholds[3] THEN 'watch'
                WHEN n.composite IS NULL THEN 'approved' ELSE 'probation' END, n.doc
    FROM (
        SELECT m.supplier_id,
               max(m.numerator) FILTER (WHERE m.measure = 'po_count') AS po_count,
               max(m.denominator) FILTER (WHERE m.measure = 'fill_rate') AS ordered,
               max(m.numerator) FILTER (WHERE m.measure = 'fill_rate') AS received,
               max(m.value) FILTER (WHERE m.measure = 'fill_rate') AS fill_rate,
               max(m.value) FILTER (WHERE m.measure = 'on_time') AS on_time,
               max(m.value) FILTER (WHERE m.measure = 'otif') AS otif,
               max(m.value) FILTER (WHERE m.measure = 'asn_accuracy') AS asn_accuracy,
               max(m.value) FILTER (WHERE m.measure = 'invoice_accuracy') AS invoice_accuracy,
               max(m.value) FILTER (WHERE m.measure = 'defect_rate') AS defect_rate,
               max(m.value) FILTER (WHERE m.measure = 'lead_days_mean') AS lead_days_mean,
               max(m.value) FILTER (WHERE m.measure = 'lead_time_variance') AS lead_days_sd,
               round(sum(c.weight_pct * p.points) / nullif(sum(c.weight_pct), 0), 4)
                   AS composite,
               jsonb_object_agg(m.measure, jsonb_strip_nulls(jsonb_build_object(
                   'numerator', m.numerator, 'denominator', m.denominator, 'value', m.value,
                   'weight', c.weight_pct, 'score', p.points))) AS doc
        FROM ret.supplier_measures(score_suppliers.period_start,
                                   score_suppliers.period_end) AS m
        LEFT JOIN ret.scorecard_criterion AS c
            ON c.business_id = tenant AND c.measure = m.measure AND c.is_active
           AND m.value IS NOT NULL
        -- From floor to target points rise evenly, whichever of them is higher.
        CROSS JOIN LATERAL (
            SELECT CASE WHEN c.measure IS NOT NULL
                        THEN round(100 * least(greatest(
                                 (m.value - c.floor_value) / (c.target_value - c.floor_value),
                                 0), 1), 4) END AS points
        ) AS p
        GROUP BY m.supplier_id
    ) AS n
    ORDER BY n.supplier_id
    ON CONFLICT (business_id, supplier_id, period_start) DO UPDATE
    SET period_end = excluded.period_end, po_count = excluded.po_count,
        ordered_units = excluded.ordered_units, received_units = excluded.received_units,
        fill_rate_pct = excluded.fill_rate_pct, on_time_pct = excluded.on_time_pct,
        otif_pct = excluded.otif_pct, asn_accuracy_pct = excluded.asn_accuracy_pct,
        invoice_accuracy_pct = excluded.invoice_accuracy_pct,
        defect_rate_pct = excluded.defect_rate_pct, lead_days_mean = excluded.lead_days_mean,
        lead_days_sd = excluded.lead_days_sd, composite_score = excluded.composite_score,
        standing = excluded.standing, measures_doc = excluded.measures_doc;
    GET DIAGNOSTICS scored = ROW_COUNT;
    RETURN scored;
END
$$;
COMMENT ON FUNCTION ret.score_suppliers(date, date, numeric[]) IS
    'Writes the scorecards of a period from orders, notices, receipts and invoices; done again it
     writes them anew. The thresholds are the least scores of preferred, approved and watch; who
     has less is on probation. A measure without a case does not count.';


CREATE TABLE ret.supplier_rebate (
    business_id           uuid                   NOT NULL,
    supplier_rebate_id    uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    supplier_agreement_id uuid                   NOT NULL,
    supplier_id           uuid                   NOT NULL,
    period_start          date                   NOT NULL,
    period_end            date                   NOT NULL,
    basis_amount          system_core.money      NOT NULL DEFAULT 0,
    tier_reached          text,
    rebate_pct            system_core.percentage NOT NULL DEFAULT 0,
    accrued_amount        system_core.money      GENERATED ALWAYS AS (
        round(basis_amount * rebate_pct / 100, 2)) STORED,
    claimed_amount        system_core.money      NOT NULL DEFAULT 0,
    received_amount       system_core.money      NOT NULL DEFAULT 0,
    claimed_at            timestamptz,
    received_on           date,
    state                 text                   NOT NULL DEFAULT 'accruing',
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, supplier_rebate_id),
    UNIQUE (business_id, supplier_agreement_id, period_start),
    FOREIGN KEY (business_id, supplier_agreement_id)
        REFERENCES ret.supplier_agreement (business_id, supplier_agreement_id),
    FOREIGN KEY (business_id, supplier_id) REFERENCES ret.supplier (business_id, supplier_id),
    CONSTRAINT supplier_rebate_state_known
        CHECK (state IN ('accruing', 'claimed', 'received', 'disputed', 'written_off')),
    CONSTRAINT supplier_rebate_period_in_order CHECK (period_end >= period_start),
    CONSTRAINT supplier_rebate_pct_bounded CHECK (rebate_pct BETWEEN 0 AND 100),
    CONSTRAINT supplier_rebate_basis_not_negative CHECK (basis_amount >= 0),
    CONSTRAINT supplier_rebate_claims_at_most_accrued
        CHECK (claimed_amount BETWEEN 0 AND round(basis_amount * rebate_pct / 100, 2)),
    CONSTRAINT supplier_rebate_receives_at_most_claimed
        CHECK (received_amount BETWEEN 0 AND claimed_amount),
    CONSTRAINT supplier_rebate_claimed_has_time
        CHECK (CASE state WHEN 'accruing' THEN claimed_at IS NULL AND claimed_amount = 0
                          WHEN 'written_off' THEN true ELSE claimed_at IS NOT NULL END),
    CONSTRAINT supplier_rebate_received_has_day
        CHECK ((state = 'received') = (received_on IS NOT NULL))
);

COMMENT ON TABLE ret.supplier_rebate IS
    'Rebate or co-op money that an agreement earns in a period, and what is collected of it.';
COMMENT ON COLUMN ret.supplier_rebate.tier_reached IS
    'From which amount the tier runs that the basis reached.';

-- FK: the rebates of a supplier.
CREATE INDEX supplier_rebate_supplier_idx ON ret.supplier_rebate (business_id, supplier_id);

ALTER TABLE ret.supplier_rebate ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.supplier_rebate
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.supplier_rebate TO app_user;
GRANT SELECT ON ret.supplier_rebate TO app_readonly;

CREATE TRIGGER supplier_rebate_touch
    BEFORE UPDATE ON ret.supplier_rebate
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER supplier_rebate_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.supplier_rebate
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["accruing"],
        "transitions": {
            "accruing":    ["claimed", "written_off"],
            "claimed":     ["received", "disputed", "written_off"],
            "disputed":    ["claimed", "received", "written_off"],
            "received":    [],
            "written_off": []
        }}');


CREATE FUNCTION ret.rebate_tier(tiers jsonb, basis_amount numeric)
    RETURNS TABLE (from_amount numeric, rebate_pct numeric)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT t.from_amount, t.rebate_pct
    FROM JSON_TABLE(tiers, '$[*]' COLUMNS (from_amount numeric PATH '$.from_amount',
                                           rebate_pct numeric PATH '$.rebate_pct')) AS t
    WHERE t.from_amount <= basis_amount
    ORDER BY t.from_amount DESC
    LIMIT 1;
END;
COMMENT ON FUNCTION ret.rebate_tier(jsonb, numeric) IS
    'The highest tier of an agreement that an amount reaches; no row where it reaches none.';


CREATE FUNCTION ret.accrue_rebate(supplier_agreement uuid, period_start date, period_end date)
    RETURNS numeric
    LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    tenant  CONSTANT uuid := tenant_mgmt.current_business_id();
    terms   ret.supplier_agreement;
    reached numeric;
    tier    record;
    earned  numeric;
BEGIN
    SELECT a.* INTO terms
    FROM ret.supplier_agreement AS a
    WHERE a.business_id = tenant AND a.supplier_agreement_id = supplier_agreement;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such agreement' USING ERRCODE = 'no_data_found';
    ELSIF terms.basis NOT IN ('purchases', 'receipts') OR terms.state <> 'active' THEN
        RAISE EXCEPTION 'agreement % is % and pays on %, it accrues nothing',
                        terms.agreement_number, terms.state, terms.basis
            USING ERRCODE = 'check_violation';
    END IF;
    IF terms.basis = 'purchases' THEN
        SELECT coalesce(sum(CASE i.invoice_kind WHEN 'credit_note' THEN -i.subtotal
                            ELSE i.subtotal END), 0) INTO reached
        FROM ret.supplier_invoice AS i
        WHERE i.business_id = tenant AND i.supplier_id = terms.supplier_id
          AND i.match_state IN ('matched', 'approved', 'price_variance', 'qty_variance')
          AND i.invoice_date BETWEEN accrue_rebate.period_start AND accrue_rebate.period_end;
    ELSE
        SELECT coalesce(sum(r.total_cost), 0) INTO reached
        FROM ret.goods_receipt AS r
        WHERE r.business_id = tenant AND r.supplier_id = terms.supplier_id
          AND r.state = 'completed'
          AND (r.arrived_at AT TIME ZONE 'UTC')::date
              BETWEEN accrue_rebate.period_start AND accrue_rebate.period_end;
    END IF;
    reached := greatest(reached, 0);
    SELECT t.from_amount, t.rebate_pct INTO tier
    FROM ret.rebate_tier(terms.tiers_doc, reached) AS t;
    INSERT INTO ret.supplier_rebate AS r
        (business_id, supplier_agreement_id, supplier_id, period_start, period_end, basis_amount,
         tier_reached, rebate_pct)
    VALUES (tenant, supplier_agreement, terms.supplier_id, accrue_rebate.period_start,
            accrue_rebate.period_end, reached, tier.from_amount::text,
            coalesce(tier.rebate_pct, CASE WHEN terms.tiers_doc IS NULL
                                           THEN terms.accrual_pct END, 0))
    ON CONFLICT (business_id, supplier_agreement_id, period_start) DO UPDATE
    SET period_end = excluded.period_end, basis_amount = excluded.basis_amount,
        tier_reached = excluded.tier_reached, rebate_pct = excluded.rebate_pct
    WHERE r.state = 'accruing'
    RETURNING r.accrued_amount INTO earned;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the rebate of agreement % was claimed already', terms.agreement_number
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN earned;
END
$$;
COMMENT ON FUNCTION ret.accrue_rebate(uuid, date, date) IS
    'What an agreement earned in a period on invoices or receipts, at the tier they reach; figured
     anew until it is claimed.';


CREATE TABLE ret.consignment_settlement (
    business_id               uuid                 NOT NULL,
    consignment_settlement_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    consignment_agreement_id  uuid                 NOT NULL,
    supplier_id               uuid                 NOT NULL,
    supplier_invoice_id       uuid,
    settlement_number         text                 NOT NULL,
    period_start              date                 NOT NULL,
    period_end                date                 NOT NULL,
    opening_units             system_core.quantity NOT NULL DEFAULT 0,
    received_units            system_core.quantity NOT NULL DEFAULT 0,
    sold_units                system_core.quantity NOT NULL DEFAULT 0,
    returned_units            system_core.quantity NOT NULL DEFAULT 0,
    shrink_units              system_core.quantity NOT NULL DEFAULT 0,
    closing_units             system_core.quantity GENERATED ALWAYS AS (
        opening_units + received_units - sold_units - returned_units - shrink_units) STORED,
    gross_sales               system_core.money    NOT NULL DEFAULT 0,
    commission_amount         system_core.money    NOT NULL DEFAULT 0,
    amount_due                system_core.money    GENERATED ALWAYS AS (
        gross_sales - commission_amount) STORED,
    paid_on                   date,
    state                     text                 NOT NULL DEFAULT 'draft',
    created_at                timestamptz          NOT NULL DEFAULT now(),
    updated_at                timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, consignment_settlement_id),
    UNIQUE (business_id, settlement_number),
    FOREIGN KEY (business_id, consignment_agreement_id)
        REFERENCES ret.consignment_agreement (business_id, consignment_agreement_id),
    FOREIGN KEY (business_id, supplier_id) REFERENCES ret.supplier (business_id, supplier_id),
    FOREIGN KEY (business_id, supplier_invoice_id)
        REFERENCES ret.supplier_invoice (business_id, supplier_invoice_id),
    CONSTRAINT consignment_settlement_state_known
        CHECK (state IN ('draft', 'approved', 'paid', 'disputed')),
    CONSTRAINT consignment_settlement_period_in_order CHECK (period_end >= period_start),
    CONSTRAINT consignment_settlement_units_not_negative
        CHECK (opening_units >= 0 AND received_units >= 0 AND sold_units >= 0
               AND returned_units >= 0 AND shrink_units >= 0),
    CONSTRAINT consignment_settlement_closes_not_below_zero
        CHECK (state = 'draft'
               OR opening_units + received_units >= sold_units + returned_units + shrink_units),
    CONSTRAINT consignment_settlement_commission_within_sales
        CHECK (commission_amount BETWEEN 0 AND gross_sales),
    CONSTRAINT consignment_settlement_paid_has_day
        CHECK ((state = 'paid') = (paid_on IS NOT NULL)),
    CONSTRAINT consignment_settlement_paid_after_period CHECK (paid_on >= period_end),
    CONSTRAINT consignment_settlement_periods_do_not_overlap EXCLUDE USING gist (
        business_id WITH =, consignment_agreement_id WITH =,
        daterange(period_start, period_end, '[]') WITH &&)
);

COMMENT ON TABLE ret.consignment_settlement IS
    'What is owed to a consignor for a period: units from opening to closing, sales less
     commission.';
COMMENT ON COLUMN ret.consignment_settlement.sold_units IS
    'Sold, returned, shrunk and the money are the sums of the lines; kept by their trigger.';

-- FK: the settlements of a supplier.
CREATE INDEX consignment_settlement_supplier_idx
    ON ret.consignment_settlement (business_id, supplier_id);

-- FK: the settlements of an agreement.
CREATE INDEX consignment_settlement_consignment_agreement_idx
    ON ret.consignment_settlement (business_id, consignment_agreement_id);

-- FK: the settlements of an invoice.
CREATE INDEX consignment_settlement_supplier_invoice_idx
    ON ret.consignment_settlement (business_id, supplier_invoice_id)
    WHERE supplier_invoice_id IS NOT NULL;

ALTER TABLE ret.consignment_settlement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.consignment_settlement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.consignment_settlement TO app_user;
GRANT SELECT ON ret.consignment_settlement TO app_readonly;

CREATE TRIGGER consignment_settlement_touch
    BEFORE UPDATE ON ret.consignment_settlement
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER consignment_settlement_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.consignment_settlement
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["draft"],
        "transitions": {
            "draft":    ["approved", "disputed"],
            "disputed": ["draft", "approved"],
            "approved": ["paid", "disputed"],
            "paid":     []
        }}');

CREATE FUNCTION ret.require_supplier_of_agreement() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    document CONSTANT jsonb := to_jsonb(NEW);
BEGIN
    IF row_security_active(TG_RELID) AND (
        EXISTS (SELECT FROM ret.supplier_agreement AS a
                WHERE a.business_id = NEW.business_id
                  AND a.supplier_agreement_id = (document ->> 'supplier_agreement_id')::uuid
                  AND a.supplier_id <> NEW.supplier_id)
        OR EXISTS (SELECT FROM ret.consignment_agreement AS a
                   WHERE a.business_id = NEW.business_id
                     AND a.consignment_agreement_id
                         = (document ->> 'consignment_agreement_id')::uuid
                     AND a.supplier_id <> NEW.supplier_id)) THEN
        RAISE EXCEPTION 'the agreement is another supplier''s' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.require_supplier_of_agreement() IS
    'A rebate or settlement is of the supplier of its agreement.';

CREATE TRIGGER consignment_settlement_agreement
    BEFORE INSERT OR UPDATE OF supplier_id, consignment_agreement_id ON ret.consignment_settlement
    FOR EACH ROW EXECUTE FUNCTION ret.require_supplier_of_agreement();

CREATE TRIGGER supplier_rebate_agreement
    BEFORE INSERT OR UPDATE OF supplier_id, supplier_agreement_id ON ret.supplier_rebate
    FOR EACH ROW EXECUTE FUNCTION ret.require_supplier_of_agreement();


CREATE TABLE ret.consignment_settlement_line (
    business_id                    uuid                 NOT NULL,
    consignment_settlement_line_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    consignment_settlement_id      uuid                 NOT NULL,
    product_variant_id             uuid                 NOT NULL,
    line_number                    integer              NOT NULL,
    sold_units                     system_core.quantity NOT NULL DEFAULT 0,
    returned_units                 system_core.quantity NOT NULL DEFAULT 0,
    shrink_units                   system_core.quantity NOT NULL DEFAULT 0,
    sales_amount                   system_core.money    NOT NULL DEFAULT 0,
    commission_amount              system_core.money    NOT NULL DEFAULT 0,
    unit_payout                    system_core.money,
    amount_due                     system_core.money    GENERATED ALWAYS AS (
        sales_amount - commission_amount) STORED,
    created_at                     timestamptz          NOT NULL DEFAULT now(),
    updated_at                     timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, consignment_settlement_line_id),
    UNIQUE (business_id, consignment_settlement_id, line_number),
    FOREIGN KEY (business_id, consignment_settlement_id)
        REFERENCES ret.consignment_settlement (business_id, consignment_settlement_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    CONSTRAINT consignment_settlement_line_units_not_negative
        CHECK (sold_units >= 0 AND returned_units >= 0 AND shrink_units >= 0),
    CONSTRAINT consignment_settlement_line_commission_within_sales
        CHECK (commission_amount BETWEEN 0 AND sales_amount),
    CONSTRAINT consignment_settlement_line_payout_not_negative CHECK (unit_payout >= 0)
);

COMMENT ON TABLE ret.consignment_settlement_line IS
    'A variant sold on consignment in the period, with units and money.';
COMMENT ON COLUMN ret.consignment_settlement_line.unit_payout IS
    'What the consignor has of a unit sold.';

-- FK: the settlements of a variant.
CREATE INDEX consignment_settlement_line_product_variant_idx
    ON ret.consignment_settlement_line (business_id, product_variant_id);

ALTER TABLE ret.consignment_settlement_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.consignment_settlement_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.consignment_settlement_line TO app_user;
GRANT SELECT ON ret.consignment_settlement_line TO app_readonly;

CREATE TRIGGER consignment_settlement_line_touch
    BEFORE UPDATE ON ret.consignment_settlement_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION ret.total_settlements() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    settled record;
BEGIN
    IF NOT row_security_active('ret.consignment_settlement_line') THEN
        RETURN NULL;
    END IF;
    SELECT s.settlement_number, s.state INTO settled
    FROM ret.consignment_settlement AS s
    WHERE (s.business_id, s.consignment_settlement_id) IN (
              SELECT c.business_id, c.consignment_settlement_id FROM changed AS c)
      AND s.state IN ('approved', 'paid')
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'settlement % is %, its lines stand', settled.settlement_number,
                        settled.state
            USING ERRCODE = 'restrict_violation', HINT = 'Dispute it first.';
    END IF;
    UPDATE ret.consignment_settlement AS s
    SET sold_units = n.sold, returned_units = n.returned, shrink_units = n.shrunk,
        gross_sales = n.sales, commission_amount = n.commission
    FROM (
        SELECT c.business_id, c.consignment_settlement_id, coalesce(sum(l.sold_units), 0) AS sold,
               coalesce(sum(l.returned_units), 0) AS returned,
               coalesce(sum(l.shrink_units), 0) AS shrunk,
               coalesce(sum(l.sales_amount), 0) AS sales,
               coalesce(sum(l.commission_amount), 0) AS commission
        FROM (SELECT DISTINCT x.business_id, x.consignment_settlement_id
              FROM changed AS x) AS c
        LEFT JOIN ret.consignment_settlement_line AS l
            ON l.business_id = c.business_id
           AND l.consignment_settlement_id = c.consignment_settlement_id
        GROUP BY c.business_id, c.consignment_settlement_id
    ) AS n
    WHERE s.business_id = n.business_id
      AND s.consignment_settlement_id = n.consignment_settlement_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.total_settlements() IS
    'Keeps settlements in step with their lines, until they are approved.';

CREATE TRIGGER consignment_settlement_line_total_on_insert
    AFTER INSERT ON ret.consignment_settlement_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.total_settlements();

CREATE TRIGGER consignment_settlement_line_total_on_update
    AFTER UPDATE ON ret.consignment_settlement_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.total_settlements();

CREATE TRIGGER consignment_settlement_line_total_on_delete
    AFTER DELETE ON ret.consignment_settlement_line
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION ret.total_settlements();
