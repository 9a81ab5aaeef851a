SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- The three last whole months, each as it looked when it was over.
SELECT ret.score_suppliers((m.month)::date, (m.month + interval '1 month')::date - 1)
FROM (
    SELECT date_trunc('month', %(as_of)s - interval '1 day', 'UTC') AT TIME ZONE 'UTC'
           - g * interval '1 month' AS month
    FROM generate_series(0, 2) AS g
) AS m
WHERE (m.month + interval '1 month')::date <= %(as_of)s::date
ORDER BY m.month;

-- Their keys are those that another fill gives them.
UPDATE ret.supplier_scorecard AS s
SET supplier_scorecard_id = md5('score ' || s.supplier_id || s.period_start)::uuid
WHERE s.business_id = %(business_id)s;

-- What went wrong with deliveries is charged the day after, and disputed in one case of four.
INSERT INTO ret.supplier_chargeback
    (business_id, supplier_chargeback_id, supplier_id, scorecard_criterion_id, goods_receipt_id,
     advance_ship_notice_id, chargeback_number, failure_kind, units_affected, amount, raised_at,
     disputed_at, dispute_note, settled_amount, settled_at, state)
SELECT n.business_id, n.supplier_chargeback_id, n.supplier_id, n.scorecard_criterion_id,
       n.goods_receipt_id, n.advance_ship_notice_id, n.chargeback_number, n.failure_kind,
       n.units, n.amount, n.raised_at,
       CASE WHEN n.is_disputed THEN n.raised_at + interval '3 days' END,
       CASE WHEN n.is_disputed
            THEN split_part('Carrier''s fault.|Dock had no slot.|Count is wrong.', '|',
                            1 + n.draw %% 3) END,
       CASE WHEN n.state <> 'settled' THEN 0
            WHEN n.is_disputed AND n.draw %% 2 = 0 THEN round(n.amount / 2, 2)
            ELSE n.amount END,
       CASE WHEN n.state = 'settled' THEN n.raised_at + interval '14 days' END, n.state
FROM (
    SELECT c.*,
           CASE WHEN c.is_disputed
                THEN CASE WHEN c.age > 14 THEN CASE WHEN c.draw %% 5 = 0 THEN 'waived'
                                                    ELSE 'settled' END
                          WHEN c.age > 10 THEN CASE WHEN c.draw %% 2 = 0 THEN 'reduced'
                                                    ELSE 'upheld' END
                          ELSE 'disputed' END
                WHEN c.age > 14 THEN 'settled' ELSE 'raised' END AS state
    FROM (
        SELECT r.business_id, md5(f.failure_kind || ' of ' || r.goods_receipt_id)::uuid
                   AS supplier_chargeback_id, r.supplier_id, k.scorecard_criterion_id,
               r.goods_receipt_id, r.advance_ship_notice_id,
               'CB-' || r.receipt_number || '-' || f.failure_kind AS chargeback_number,
               f.failure_kind, f.units, round(f.cost * k.chargeback_rate / 100, 2) AS amount,
               r.completed_at + interval '1 day' AS raised_at, d.draw,
               extract(day FROM %(as_of)s - r.completed_at) - 1 AS age,
               d.draw %% 4 = 0 AND r.completed_at < %(as_of)s - interval '5 days' AS is_disputed
        FROM ret.receipt_failures(ARRAY(SELECT x.goods_receipt_id
                                        FROM ret.goods_receipt AS x
                                        WHERE x.business_id = %(business_id)s
                                          AND x.state = 'completed'
                                          AND x.completed_at < %(as_of)s - interval '25 hours'))
                 AS f
        JOIN ret.goods_receipt AS r
            ON r.business_id = %(business_id)s AND r.goods_receipt_id = f.goods_receipt_id
        JOIN ret.scorecard_criterion AS k
            ON k.business_id = r.business_id AND k.measure = f.measure AND k.is_active
        CROSS JOIN LATERAL (
            SELECT ('x' || substr(md5(f.failure_kind || r.goods_receipt_id), 1, 7)
                       )::bit(28)::integer AS draw
        ) AS d
        WHERE round(f.cost * k.chargeback_rate / 100, 2) > 0
    ) AS c
) AS n;

-- What the agreements on purchases earned in this quarter and the one before.
INSERT INTO ret.supplier_rebate
    (business_id, supplier_rebate_id, supplier_agreement_id, supplier_id, period_start, period_end,
     basis_amount, tier_reached, rebate_pct, claimed_amount, received_amount, claimed_at,
     received_on, state)
SELECT a.business_id, md5('rebate ' || q.period_start || a.supplier_agreement_id)::uuid,
       a.supplier_agreement_id, a.supplier_id, q.period_start, q.period_end, b.basis,
       t.from_amount::text, coalesce(t.rebate_pct, 0),
       CASE WHEN s.state = 'accruing' THEN 0 ELSE n.earned END,
       CASE WHEN s.state = 'received' THEN n.earned ELSE 0 END,
       CASE WHEN s.state NOT IN ('accruing', 'written_off')
            THEN q.period_end + interval '5 days 10 hours' END,
       CASE WHEN s.state = 'received' THEN q.period_end + 30 END, s.state
FROM (
    SELECT x.*, row_number() OVER (ORDER BY x.agreement_number) AS place
    FROM ret.supplier_agreement AS x
    WHERE x.business_id = %(business_id)s AND x.agreement_kind = 'rebate'
      AND x.basis = 'purchases' AND x.state = 'active'
) AS a
CROSS JOIN (
    SELECT m.starts::date AS period_start, (m.starts + interval '3 months')::date - 1 AS period_end
    FROM (
        SELECT date_trunc('quarter', %(as_of)s, 'UTC') AT TIME ZONE 'UTC'
               - g * interval '3 months' AS starts
        FROM generate_series(0, 1) AS g
    ) AS m
) AS q
CROSS JOIN LATERAL (
    SELECT coalesce(sum(CASE i.invoice_kind WHEN 'credit_note' THEN -i.subtotal
                        ELSE i.subtotal END), 0) AS basis
    FROM ret.supplier_invoice AS i
    WHERE i.business_id = a.business_id AND i.supplier_id = a.supplier_id
      AND i.match_state IN ('matched', 'approved', 'price_variance', 'qty_variance')
      AND i.invoice_date BETWEEN q.period_start AND q.period_end
) AS p
CROSS JOIN LATERAL (SELECT greatest(p.basis, 0) AS basis) AS b
LEFT JOIN LATERAL ret.rebate_tier(a.tiers_doc, b.basis) AS t ON true
CROSS JOIN LATERAL (
    SELECT round(b.basis * coalesce(t.rebate_pct, 0) / 100, 2) AS earned
) AS n
CROSS JOIN LATERAL (
    SELECT CASE WHEN q.period_end + 6 > %(as_of)s::date THEN 'accruing'
                WHEN n.earned = 0 THEN 'written_off'
                WHEN a.place %% 5 = 4 THEN 'disputed'
                WHEN q.period_end + 30 < %(as_of)s::date THEN 'received'
                ELSE 'claimed' END AS state
) AS s;

-- Consignment of the last two whole months as the ledger has it.
CREATE TEMPORARY TABLE consigned ON COMMIT DROP AS
SELECT a.business_id, a.consignment_agreement_id, a.supplier_id, a.agreement_number,
       a.commission_pct, p.period_start, p.period_end, m.product_variant_id, v.list_price,
       sum(c.change) FILTER (WHERE m.occurred_at < p.period_start) AS opening,
       sum(c.change) FILTER (WHERE n.is_in AND m.movement_kind = 'consignment_in') AS received,
       -sum(c.change) FILTER (WHERE n.is_in AND m.movement_kind IN ('sale', 'return')) AS sold,
       -sum(c.change) FILTER (WHERE n.is_in AND m.movement_kind = 'rtv') AS returned,
       -sum(c.change) FILTER (WHERE n.is_in AND m.movement_kind NOT IN (
           'consignment_in', 'sale', 'return', 'rtv')) AS shrunk
FROM ret.consignment_agreement AS a
JOIN ret.stock_movement AS m
    ON m.business_id = a.business_id
   AND m.consignment_agreement_id = a.consignment_agreement_id
JOIN ret.product_variant AS v
    ON v.business_id = m.business_id AND v.product_variant_id = m.product_variant_id
CROSS JOIN (
    SELECT x.month::date AS period_start, (x.month + interval '1 month')::date - 1 AS period_end
    FROM (
        SELECT date_trunc('month', %(as_of)s - interval '1 day', 'UTC') AT TIME ZONE 'UTC'
               - g * interval '1 month' AS month
        FROM generate_series(0, 2) AS g
    ) AS x
    WHERE (x.month + interval '1 month')::date <= %(as_of)s::date
) AS p
CROSS JOIN LATERAL (
    SELECT (m.occurred_at AT TIME ZONE 'UTC')::date BETWEEN p.period_start AND p.period_end
               AS is_in
) AS n
CROSS JOIN LATERAL (
    SELECT ret.on_hand_change(m.from_state, m.to_state, m.quantity) AS change
) AS c
WHERE a.business_id = %(business_id)s
GROUP BY a.business_id, a.consignment_agreement_id, a.supplier_id, a.agreement_number,
         a.commission_pct, p.period_start, p.period_end, m.product_variant_id, v.list_price;

INSERT INTO ret.consignment_settlement
    (business_id, consignment_settlement_id, consignment_agreement_id, supplier_id,
     settlement_number, period_start, period_end, opening_units, received_units, paid_on, state)
SELECT c.business_id, md5('settles ' || c.consignment_agreement_id || c.period_start)::uuid,
       c.consignment_agreement_id, c.supplier_id,
       'CS-' || c.agreement_number || '-' || to_char(c.period_start, 'YYYYMM'), c.period_start,
       c.period_end, greatest(coalesce(sum(c.opening), 0), 0), coalesce(sum(c.received), 0),
       CASE WHEN c.period_end + 14 < %(as_of)s::date THEN c.period_end + 14 END,
       CASE WHEN c.period_end + 14 < %(as_of)s::date THEN 'paid'
            WHEN c.period_end + 5 < %(as_of)s::date THEN 'approved' ELSE 'draft' END
FROM consigned AS c
GROUP BY c.business_id, c.consignment_agreement_id, c.supplier_id, c.agreement_number,
         c.period_start, c.period_end;

INSERT INTO ret.consignment_settlement_line
    (business_id, consignment_settlement_line_id, consignment_settlement_id, product_variant_id,
     line_number, sold_units, returned_units, shrink_units, sales_amount, commission_amount,
     unit_payout)
SELECT c.business_id,
       md5('settles ' || c.product_variant_id || c.consignment_agreement_id || c.period_start)
           ::uuid,
       md5('settles ' || c.consignment_agreement_id || c.period_start)::uuid,
       c.product_variant_id,
       row_number() OVER (PARTITION BY c.consignment_agreement_id, c.period_start
                          ORDER BY c.product_variant_id),
       n.sold, greatest(coalesce(c.returned, 0), 0), greatest(coalesce(c.shrunk, 0), 0),
       round(n.sold * c.list_price, 2),
       round(round(n.sold * c.list_price, 2) * c.commission_pct / 100, 2),
       round(c.list_price * (1 - c.commission_pct / 100), 2)
FROM consigned AS c
CROSS JOIN LATERAL (SELECT greatest(coalesce(c.sold, 0), 0) AS sold) AS n;

UPDATE ret.consignment_settlement AS s
SET sold_units = n.sold, returned_units = n.returned, shrink_units = n.shrunk,
    gross_sales = n.sales, commission_amount = n.commission
FROM (
    SELECT l.consignment_settlement_id, sum(l.sold_units) AS sold,
           sum(l.returned_units) AS returned, sum(l.shrink_units) AS shrunk,
           sum(l.sales_amount) AS sales, sum(l.commission_amount) AS commission
    FROM ret.consignment_settlement_line AS l
    WHERE l.business_id = %(business_id)s
    GROUP BY l.consignment_settlement_id
) AS n
WHERE s.business_id = %(business_id)s
  AND s.consignment_settlement_id = n.consignment_settlement_id;
