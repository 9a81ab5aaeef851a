-- Payments are numbered by a sequence of their own.
INSERT INTO system_core.number_sequence
    (business_id, number_sequence_id, sequence_code, prefix, next_value)
SELECT %(business_id)s, md5(%(business_id)s || ' auto payment')::uuid, 'payment', 'PAY-', 100001
ON CONFLICT DO NOTHING;

-- State and county tax what is sold; the state takes a fee of each tire, battery and quart of oil.
INSERT INTO auto.tax_rate
    (business_id, tax_rate_id, shop_id, jurisdiction_code, name, tax_kind, applies_to, rate_pct,
     flat_amount, effective_on, ends_on, filing_code, created_at)
SELECT s.business_id, md5(s.shop_id || r.code || r.applies_to || r.tax_kind || r.since)::uuid,
       s.shop_id, r.code, r.name, r.tax_kind, r.applies_to, r.pct, r.flat,
       %(as_of)s::date - r.since,
       CASE WHEN r.since = 1500 THEN %(as_of)s::date - 500 END, r.filing,
       %(as_of)s - r.since * interval '1 day'
FROM auto.shop AS s
CROSS JOIN (VALUES
    ('STATE',  'State sales tax',    'sales',         'parts',  6.25, NULL, 500,  'ST-1'),
    ('STATE',  'State sales tax',    'sales',         'parts',  6.00, NULL, 1500, 'ST-1'),
    ('STATE',  'State sales tax',    'sales',         'tires',  6.25, NULL, 500,  'ST-1'),
    ('STATE',  'State sales tax',    'sales',         'fees',   6.25, NULL, 500,  'ST-1'),
    ('STATE',  'State tax on labor', 'sales',         'labor',  6.25, NULL, 500,  'ST-2'),
    ('COUNTY', 'County sales tax',   'sales',         'parts',  1.50, NULL, 1400, 'CO-1'),
    ('COUNTY', 'County sales tax',   'sales',         'tires',  1.50, NULL, 1400, 'CO-1'),
    ('STATE',  'Tire fee',           'tire_fee',      'tires',  NULL, 2.50, 1400, 'TF-1'),
    ('STATE',  'Battery fee',        'battery_fee',   'fees',   NULL, 5.00, 1400, 'BF-1'),
    ('STATE',  'Waste oil fee',      'waste_oil_fee', 'fees',   NULL, 0.10, 1400, 'WO-1'))
    AS r (code, name, tax_kind, applies_to, pct, flat, since, filing)
WHERE s.business_id = %(business_id)s
  AND (r.applies_to <> 'labor' OR s.labor_tax_mode <> 'untaxed');

UPDATE auto.customer AS c
SET open_balance = 0, lifetime_revenue_amount = 0
WHERE c.business_id = %(business_id)s
  AND (c.open_balance <> 0 OR c.lifetime_revenue_amount <> 0);

-- An invoice for each payer of an order; where there is a deductible, the customer has one too.
INSERT INTO auto.invoice
    (business_id, invoice_id, bill_to_customer_id, repair_order_id, fleet_account_id,
     insurance_claim_id, warranty_claim_id, invoice_number, payer_kind, status, issued_at, due_on,
     disclosure_text, created_at)
SELECT x.business_id,
       md5(x.repair_order_id || ' bill ' || x.payer_kind || coalesce(x.warranty_claim_id::text, ''))
           ::uuid,
       x.bill_to, x.repair_order_id, CASE x.payer_kind WHEN 'fleet' THEN x.fleet_account_id END,
       CASE x.payer_kind WHEN 'insurance' THEN x.insurance_claim_id END, x.warranty_claim_id,
       'AI' || lpad(row_number() OVER (ORDER BY x.issued_at, x.repair_order_id, x.payer_kind,
                                                x.warranty_claim_id)::text, 6, '0'),
       x.payer_kind, 'issued', x.issued_at,
       x.issued_at::date + CASE x.payer_kind WHEN 'insurance' THEN x.insurer_terms
                                             WHEN 'warranty' THEN 30
                                             ELSE coalesce(c.payment_terms_days, 0) END,
       'Replaced parts are returned on request. Storage is charged from the third day.',
       x.issued_at
FROM (
    SELECT o.*, p.payer_kind, p.warranty_claim_id, n.payment_terms_days AS insurer_terms,
           CASE p.payer_kind WHEN 'fleet' THEN coalesce(f.customer_id, o.customer_id)
                             WHEN 'warranty' THEN coalesce(g.payer_customer_id, o.customer_id)
                             WHEN 'insurance' THEN i.customer_id
                             ELSE o.customer_id END AS bill_to,
           least(coalesce(e.invoiced_at, o.completed_at + interval '90 minutes', o.closed_at,
                          o.opened_at + interval '1 day'),
                 coalesce(o.closed_at, %(as_of)s), %(as_of)s) AS issued_at
    FROM auto.repair_order AS o
    JOIN (
        SELECT DISTINCT l.repair_order_id, l.payer_kind,
               CASE l.payer_kind WHEN 'warranty' THEN w.warranty_claim_id END AS warranty_claim_id
        FROM auto.v_billable_line AS l
        LEFT JOIN auto.warranty_claim AS w
            ON w.business_id = l.business_id AND w.repair_job_id = l.repair_job_id
        WHERE l.business_id = %(business_id)s
        UNION
        SELECT l.repair_order_id, 'customer', NULL
        FROM auto.v_billable_line AS l
        JOIN auto.repair_order AS y
            ON y.business_id = l.business_id AND y.repair_order_id = l.repair_order_id
        JOIN auto.insurance_claim AS d
            ON d.business_id = y.business_id AND d.insurance_claim_id = y.insurance_claim_id
        WHERE l.business_id = %(business_id)s
          AND l.payer_kind = 'insurance'
          AND d.deductible_amount > 0
    ) AS p ON p.repair_order_id = o.repair_order_id
    LEFT JOIN (
        SELECT v.repair_order_id, max(v.changed_at) AS invoiced_at
        FROM auto.repair_order_status_event AS v
        WHERE v.business_id = %(business_id)s AND v.to_status = 'invoiced'
        GROUP BY v.repair_order_id
    ) AS e ON e.repair_order_id = o.repair_order_id
    LEFT JOIN auto.fleet_account AS f
        ON f.business_id = o.business_id AND f.fleet_account_id = o.fleet_account_id
    LEFT JOIN auto.insurance_claim AS i
        ON i.business_id = o.business_id AND i.insurance_claim_id = o.insurance_claim_id
    LEFT JOIN auto.insurer AS n
        ON n.business_id = i.business_id AND n.insurer_id = i.insurer_id
    LEFT JOIN auto.warranty_claim AS w
        ON w.business_id = o.business_id AND w.warranty_claim_id = p.warranty_claim_id
    LEFT JOIN auto.warranty_program AS g
        ON g.business_id = w.business_id AND g.warranty_program_id = w.warranty_program_id
    WHERE o.business_id = %(business_id)s
      AND o.status IN ('invoiced', 'closed')
      AND (p.payer_kind <> 'insurance' OR o.insurance_claim_id IS NOT NULL)
) AS x
JOIN auto.customer AS c ON c.business_id = x.business_id AND c.customer_id = x.bill_to;

-- The work and the fees on it; what customers, fleets and insurers buy is taxed.
WITH line AS (
    SELECT i.invoice_id, i.payer_kind, i.issued_at, o.shop_id, c.is_tax_exempt, l.repair_job_id,
           l.labor_line_id, l.part_line_id, l.sublet_line_id, l.job_seq, l.place, l.line_no,
           l.line_kind, l.description, l.qty, l.unit_price, l.discount_amount, l.cost_amount,
           l.part_condition_code, l.sold_as, l.flat_fee_kind,
           round(l.qty * l.unit_price, 2) - l.discount_amount AS amount, NULL::uuid AS fee_rate,
           l.is_taxable AND (l.sold_as <> 'labor' OR s.labor_tax_mode <> 'untaxed') AS is_taxable,
           s.shop_supplies_pct, s.shop_supplies_cap_amount, s.hazardous_waste_fee
    FROM auto.invoice AS i
    JOIN auto.repair_order AS o
        ON o.business_id = i.business_id AND o.repair_order_id = i.repair_order_id
    JOIN auto.shop AS s ON s.business_id = o.business_id AND s.shop_id = o.shop_id
    JOIN auto.customer AS c
        ON c.business_id = i.business_id AND c.customer_id = i.bill_to_customer_id
    JOIN auto.v_billable_line AS l
        ON l.business_id = i.business_id
        AND l.repair_order_id = i.repair_order_id
        AND l.payer_kind = i.payer_kind
    LEFT JOIN auto.warranty_claim AS w
        ON w.business_id = l.business_id AND w.repair_job_id = l.repair_job_id
    WHERE i.business_id = %(business_id)s
      AND (i.payer_kind <> 'warranty'
           OR i.warranty_claim_id IS NOT DISTINCT FROM w.warranty_claim_id)
), fee AS (
    SELECT l.invoice_id, l.issued_at, l.shop_id, l.is_tax_exempt, 7 AS place, 'fee' AS line_kind,
           'Shop supplies' AS description, 1::numeric AS qty,
           least(l.shop_supplies_cap_amount,
                 round(sum(l.amount) * l.shop_supplies_pct / 100, 2)) AS unit_price,
           NULL::uuid AS fee_rate, true AS is_taxable
    FROM line AS l
    WHERE l.line_kind = 'labor' AND l.payer_kind IN ('customer', 'fleet')
    GROUP BY l.invoice_id, l.issued_at, l.shop_id, l.is_tax_exempt, l.shop_supplies_cap_amount,
             l.shop_supplies_pct
    UNION ALL
    SELECT DISTINCT l.invoice_id, l.issued_at, l.shop_id, l.is_tax_exempt, 8, 'fee',
           'Hazardous waste', 1::numeric, l.hazardous_waste_fee, NULL::uuid, true
    FROM line AS l
    WHERE l.flat_fee_kind IN ('waste_oil_fee', 'battery_fee')
      AND l.payer_kind IN ('customer', 'fleet')
    UNION ALL
    SELECT l.invoice_id, l.issued_at, l.shop_id, l.is_tax_exempt, 9,
           CASE r.tax_kind WHEN 'tire_fee' THEN 'tire_fee' ELSE 'fee' END, r.name, sum(l.qty),
           r.flat_amount, r.tax_rate_id, false
    FROM line AS l
    JOIN auto.tax_rate AS r
        ON r.business_id = %(business_id)s
        AND r.shop_id = l.shop_id
        AND r.tax_kind = l.flat_fee_kind
    WHERE l.payer_kind IN ('customer', 'fleet')
    GROUP BY l.invoice_id, l.issued_at, l.shop_id, l.is_tax_exempt, r.tax_kind, r.name,
             r.flat_amount, r.tax_rate_id
), whole AS (
    SELECT l.invoice_id, l.payer_kind, l.issued_at, l.shop_id, l.is_tax_exempt, l.repair_job_id,
           l.labor_line_id, l.part_line_id, l.sublet_line_id, l.job_seq, l.place, l.line_no,
           l.line_kind, l.description, l.qty, l.unit_price, l.discount_amount, l.cost_amount,
           l.part_condition_code, l.sold_as, l.amount, l.fee_rate, l.is_taxable
    FROM line AS l
    UNION ALL
    SELECT f.invoice_id, 'customer', f.issued_at, f.shop_id, f.is_tax_exempt, NULL, NULL, NULL,
           NULL, NULL, f.place, 1, f.line_kind, f.description, f.qty, f.unit_price, 0, 0, NULL,
           'fees', round(f.qty * f.unit_price, 2), f.fee_rate, f.is_taxable
    FROM fee AS f
    WHERE f.unit_price > 0
), placed AS (
    SELECT w.*, row_number() OVER (
               PARTITION BY w.invoice_id
               ORDER BY w.job_seq, w.place, w.line_no, w.description, w.repair_job_id,
                        w.part_line_id, w.labor_line_id, w.sublet_line_id) AS n
    FROM whole AS w
)
INSERT INTO auto.invoice_line
    (business_id, invoice_line_id, invoice_id, repair_job_id, labor_line_id, part_line_id,
     sublet_line_id, tax_rate_id, line_no, line_kind, description, qty, unit_price,
     discount_amount, taxable_amount, tax_amount, cost_amount, revenue_account_code,
     part_condition_code, created_at)
SELECT %(business_id)s, md5(w.invoice_id || ' line ' || w.n)::uuid, w.invoice_id, w.repair_job_id,
       w.labor_line_id, w.part_line_id, w.sublet_line_id, coalesce(w.fee_rate, x.tax_rate_id),
       w.n, w.line_kind, w.description, w.qty, w.unit_price, w.discount_amount,
       coalesce(x.taxable_amount, 0), coalesce(x.tax_amount, 0), w.cost_amount,
       CASE w.line_kind WHEN 'labor' THEN '4100' WHEN 'part' THEN '4200' WHEN 'sublet' THEN '4300'
                        WHEN 'fee' THEN '4400' WHEN 'tire_fee' THEN '2410' ELSE '4900' END,
       w.part_condition_code, w.issued_at
FROM placed AS w
LEFT JOIN LATERAL auto.tax_on(
        %(business_id)s, w.shop_id, w.sold_as, w.amount, w.issued_at::date) AS x
    ON w.is_taxable AND NOT w.is_tax_exempt AND w.payer_kind IN ('customer', 'fleet', 'insurance');

-- The deductible moves from the insurer to the customer.
INSERT INTO auto.invoice_line
    (business_id, invoice_line_id, invoice_id, line_no, line_kind, description, unit_price,
     revenue_account_code, created_at)
SELECT i.business_id, md5(t.invoice_id || ' deductible')::uuid, t.invoice_id, 900, 'deductible',
       'Deductible', t.sign * least(c.deductible_amount, i.total_amount), '4900', i.issued_at
FROM auto.invoice AS i
JOIN auto.insurance_claim AS c
    ON c.business_id = i.business_id AND c.insurance_claim_id = i.insurance_claim_id
CROSS JOIN LATERAL (
    VALUES (i.invoice_id, -1), (md5(i.repair_order_id || ' bill customer')::uuid, 1)
) AS t (invoice_id, sign)
WHERE i.business_id = %(business_id)s
  AND i.payer_kind = 'insurance'
  AND c.deductible_amount > 0
  AND i.total_amount > 0;
DELETE FROM auto.invoice AS i
WHERE i.business_id = %(business_id)s
  AND NOT EXISTS (SELECT FROM auto.invoice_line AS l
                  WHERE l.business_id = i.business_id AND l.invoice_id = i.invoice_id);

-- One order in ninety was billed to the wrong address first: that bill was voided.
INSERT INTO auto.invoice
    (business_id, invoice_id, bill_to_customer_id, repair_order_id, invoice_number, payer_kind,
     status, issued_at, due_on, void_reason, created_at)
SELECT i.business_id, md5(i.invoice_id || ' void')::uuid, i.bill_to_customer_id,
       i.repair_order_id, 'AV' || substr(i.invoice_number, 3), i.payer_kind, 'void',
       i.issued_at - interval '20 minutes', i.due_on, 'wrong address',
       i.issued_at - interval '20 minutes'
FROM auto.invoice AS i
WHERE i.business_id = %(business_id)s
  AND i.payer_kind = 'customer'
  AND substr(i.invoice_number, 3)::integer %% 90 = 5;
INSERT INTO auto.invoice_line
    (business_id, invoice_line_id, invoice_id, repair_job_id, labor_line_id, part_line_id,
     sublet_line_id, tax_rate_id, line_no, line_kind, description, qty, unit_price,
     discount_amount, taxable_amount, tax_amount, cost_amount, revenue_account_code,
     part_condition_code, created_at)
SELECT l.business_id, md5(l.invoice_line_id || ' void')::uuid, v.invoice_id, l.repair_job_id,
       l.labor_line_id, l.part_line_id, l.sublet_line_id, l.tax_rate_id, l.line_no, l.line_kind,
       l.description, l.qty, l.unit_price, l.discount_amount, l.taxable_amount, l.tax_amount,
       l.cost_amount, l.revenue_account_code, l.part_condition_code, v.created_at
FROM auto.invoice AS v
JOIN auto.invoice_line AS l
    ON l.business_id = v.business_id
JOIN auto.invoice AS i
    ON i.business_id = l.business_id AND i.invoice_id = l.invoice_id
WHERE v.business_id = %(business_id)s
  AND v.status = 'void'
  AND v.invoice_number = 'AV' || substr(i.invoice_number, 3)
  AND i.status <> 'void';
UPDATE auto.invoice AS i
SET corrects_invoice_id = v.invoice_id
FROM auto.invoice AS v
WHERE i.business_id = %(business_id)s
  AND v.business_id = i.business_id
  AND v.invoice_id = md5(i.invoice_id || ' void')::uuid;

-- A few parts are sold over the counter.
INSERT INTO auto.invoice
    (business_id, invoice_id, bill_to_customer_id, invoice_number, payer_kind, status, issued_at,
     due_on, created_at)
SELECT c.business_id, md5(c.customer_id || ' counter')::uuid, c.customer_id,
       'AC' || lpad(c.place::text, 6, '0'), 'customer', 'issued', d.sold_at, d.sold_at::date,
       d.sold_at
FROM (SELECT x.business_id, x.customer_id,
             row_number() OVER (ORDER BY x.customer_number, x.customer_id) AS place
      FROM auto.customer AS x WHERE x.business_id = %(business_id)s) AS c
CROSS JOIN LATERAL (
    SELECT date_trunc('day', %(as_of)s::timestamptz) - (c.place * 7 %% 200 + 2) * interval '1 day'
           + (15 + c.place %% 7) * interval '1 hour' AS sold_at) AS d
WHERE c.place %% 20 = 1;
INSERT INTO auto.invoice_line
    (business_id, invoice_line_id, invoice_id, part_id, line_no, line_kind, description, qty,
     unit_price, cost_amount, revenue_account_code, part_condition_code, created_at)
SELECT i.business_id, md5(i.invoice_id || ' line 1')::uuid, i.invoice_id, p.part_id, 1, 'part',
       coalesce(p.description, 'Part'), 1 + n.place %% 3, 9.5 + n.place * 13 %% 70,
       round((1 + n.place %% 3) * (9.5 + n.place * 13 %% 70) * 0.55, 2), '4200', p.condition,
       i.issued_at
FROM auto.invoice AS i
CROSS JOIN LATERAL (SELECT substr(i.invoice_number, 3)::integer AS place) AS n
CROSS JOIN (SELECT array_agg(x.part_id ORDER BY x.brand_code, x.compressed_number) AS ids
            FROM auto.part AS x WHERE x.business_id = %(business_id)s) AS pool
JOIN auto.part AS p
    ON p.business_id = i.business_id
    AND p.part_id = pool.ids[1 + n.place %% cardinality(pool.ids)]
WHERE i.business_id = %(business_id)s AND i.invoice_number LIKE 'AC%%';

-- What is paid of each invoice, when and how. What a closed order owed is settled: by customers at
-- pick-up (78 of 100) or until it closed, by insurers and warranties when they had decided, less
-- what they cut; what they denied, and what the shop bears, is written off. Of the others some
-- have paid a part. A deposit came with one job in nine.
WITH due AS (
    SELECT i.business_id, i.invoice_id, i.invoice_number, i.bill_to_customer_id, i.payer_kind,
           i.total_amount, i.issued_at, i.deductible_amount, o.closed_at, o.opened_at,
           o.status AS order_status, c.insurer_id, w.status AS claim_status, w.paid_on,
           w.approved_amount, coalesce(o.shop_id, any_shop.shop_id) AS shop_id,
           row_number() OVER (ORDER BY i.issued_at, i.invoice_number)::integer AS place
    FROM auto.invoice AS i
    LEFT JOIN auto.repair_order AS o
        ON o.business_id = i.business_id AND o.repair_order_id = i.repair_order_id
    LEFT JOIN auto.insurance_claim AS c
        ON c.business_id = i.business_id AND c.insurance_claim_id = i.insurance_claim_id
    LEFT JOIN auto.warranty_claim AS w
        ON w.business_id = i.business_id AND w.warranty_claim_id = i.warranty_claim_id
    CROSS JOIN (SELECT (array_agg(x.shop_id ORDER BY x.shop_code))[1] AS shop_id
                FROM auto.shop AS x WHERE x.business_id = %(business_id)s) AS any_shop
    WHERE i.business_id = %(business_id)s
      AND i.status = 'issued'
      AND i.total_amount > 0
      AND i.payer_kind <> 'internal'
      AND coalesce(w.status, '') <> 'denied'
), owed AS (
    SELECT d.*,
           CASE WHEN d.order_status = 'invoiced'
                THEN CASE WHEN d.payer_kind IN ('customer', 'fleet') AND d.place %% 3 = 1
                          THEN round(d.total_amount * (20 + d.place %% 50) / 100, 2)
                          WHEN d.payer_kind = 'insurance' AND d.place %% 2 = 0
                          THEN round(d.total_amount * 0.9, 2) ELSE 0 END
                WHEN d.payer_kind = 'insurance' AND d.place %% 6 = 1
                THEN d.total_amount - round(d.total_amount * 0.03, 2)
                WHEN d.payer_kind = 'warranty' AND d.approved_amount > 0
                THEN least(d.approved_amount, d.total_amount)
                ELSE d.total_amount END AS to_pay,
           CASE WHEN d.order_status IS DISTINCT FROM 'closed'
                THEN least(d.issued_at + interval '6 minutes', %(as_of)s)
                WHEN d.payer_kind = 'insurance'
                THEN least(d.issued_at + (10 + d.place %% 20) * interval '1 day', %(as_of)s)
                WHEN d.payer_kind = 'warranty'
                THEN greatest(least(coalesce(d.paid_on + interval '15 hours',
                                             d.issued_at + interval '18 days'), %(as_of)s),
                              d.issued_at)
                WHEN d.place %% 50 < 39 THEN least(d.issued_at + interval '6 minutes',
                                                   greatest(d.closed_at, d.issued_at))
                ELSE greatest(d.issued_at, d.closed_at - interval '2 minutes') END AS paid_at
    FROM due AS d
), part AS (
    SELECT o.*, p.kind, p.amount,
           CASE p.kind WHEN 'deposit' THEN greatest(o.opened_at, o.issued_at - interval '30 days')
                       ELSE o.paid_at END AS taken_at,
           CASE WHEN o.payer_kind = 'insurance'
                THEN CASE WHEN o.place %% 3 = 0 THEN 'ach' ELSE 'insurer_check' END
                WHEN o.payer_kind = 'warranty' THEN 'ach'
                WHEN o.payer_kind = 'fleet'
                THEN (ARRAY['fleet_card', 'ach', 'check'])[1 + o.place %% 3]
                WHEN o.total_amount > 1500 AND o.place %% 4 = 0 AND p.kind <> 'deposit'
                THEN 'financing'
                WHEN o.place %% 50 < 32 THEN 'card' WHEN o.place %% 50 < 38 THEN 'text_to_pay'
                WHEN o.place %% 50 < 43 THEN 'cash' WHEN o.place %% 50 < 48 THEN 'check'
                ELSE 'ach' END AS method
    FROM owed AS o
    CROSS JOIN LATERAL (
        SELECT CASE WHEN o.payer_kind = 'customer' AND o.order_status = 'closed'
                         AND o.place %% 9 = 4 AND o.to_pay > 50
                    THEN round(o.to_pay * 0.3, 0) ELSE 0 END AS deposit) AS d
    CROSS JOIN LATERAL (
        VALUES ('deposit', d.deposit),
               (CASE WHEN o.payer_kind = 'customer' AND o.deductible_amount > 0
                     THEN 'deductible' ELSE 'balance' END, o.to_pay - d.deposit)
    ) AS p (kind, amount)
    WHERE p.amount > 0
)
INSERT INTO auto.payment
    (business_id, payment_id, customer_id, shop_id, insurer_id, payment_number, method, amount,
     currency_code, status, paid_at, settled_on, processor_ref, card_brand, card_last4,
     processing_fee_amount, idempotency_ref, deposit_for, created_at)
SELECT p.business_id, md5(p.invoice_id || ' payment ' || p.kind)::uuid, p.bill_to_customer_id,
       p.shop_id, p.insurer_id,
       'P' || lpad(row_number() OVER (ORDER BY p.taken_at, p.invoice_number, p.kind)::text, 6, '0'),
       p.method, p.amount + x.more, b.currency_code,
       CASE WHEN p.taken_at < %(as_of)s::timestamptz - interval '3 days' OR p.method = 'cash'
            THEN 'settled' ELSE 'captured' END,
       p.taken_at,
       CASE WHEN p.taken_at < %(as_of)s::timestamptz - interval '3 days' OR p.method = 'cash'
            THEN p.taken_at::date + CASE p.method WHEN 'cash' THEN 0 ELSE 2 END END,
       CASE WHEN p.method NOT IN ('cash', 'check', 'insurer_check')
            THEN 'ch_' || md5(p.invoice_number || p.kind) END,
       CASE WHEN p.method IN ('card', 'text_to_pay', 'fleet_card')
            THEN (ARRAY['visa', 'mastercard', 'amex', 'visa'])[1 + p.place %% 4] END,
       CASE WHEN p.method IN ('card', 'text_to_pay', 'fleet_card')
            THEN lpad((p.place * 7919 %% 10000)::text, 4, '0') END,
       CASE WHEN p.method IN ('card', 'text_to_pay', 'fleet_card')
            THEN least(round(p.amount * 0.029 + 0.30, 2), p.amount) ELSE 0 END,
       'fill-' || p.kind || '-' || p.invoice_id,
       CASE p.kind WHEN 'deposit' THEN 'parts on order' END, p.taken_at
FROM part AS p
CROSS JOIN LATERAL (
    SELECT CASE WHEN p.payer_kind = 'customer' AND p.amount = p.total_amount
                     AND p.place %% 30 = 7
                THEN 20 ELSE 0 END AS more) AS x
JOIN tenant_mgmt.business AS b ON b.business_id = p.business_id;

-- The money pays its invoice; what insurers and warranties cut of a closed order is given up.
INSERT INTO auto.payment_allocation
    (business_id, payment_allocation_id, payment_id, invoice_id, allocated_amount, allocated_at,
     allocation_kind, is_auto, exchange_note, created_at)
SELECT p.business_id, md5(p.payment_id || ' ' || a.kind)::uuid, p.payment_id, i.invoice_id,
       a.amount, greatest(p.paid_at, i.issued_at), a.kind, false,
       CASE a.kind WHEN 'write_off' THEN 'short pay' END, greatest(p.paid_at, i.issued_at)
FROM auto.payment AS p
JOIN auto.invoice AS i
    ON i.business_id = p.business_id AND i.invoice_id = right(p.idempotency_ref, 36)::uuid
LEFT JOIN auto.repair_order AS o
    ON o.business_id = i.business_id AND o.repair_order_id = i.repair_order_id
CROSS JOIN LATERAL (
    VALUES (split_part(p.idempotency_ref, '-', 2), least(p.amount, i.total_amount)),
           ('write_off', CASE WHEN i.payer_kind IN ('insurance', 'warranty')
                                   AND o.status = 'closed'
                              THEN greatest(i.total_amount - p.amount, 0) ELSE 0 END)
) AS a (kind, amount)
WHERE p.business_id = %(business_id)s
  AND p.idempotency_ref LIKE 'fill-%%'
  AND a.amount > 0;

-- What the shop bears, and what a payer denied of a closed order.
UPDATE auto.invoice AS i
SET status = 'written_off'
WHERE i.business_id = %(business_id)s
  AND i.status = 'issued'
  AND (i.payer_kind = 'internal' OR EXISTS (
      SELECT FROM auto.repair_order AS o
      WHERE o.business_id = i.business_id
        AND o.repair_order_id = i.repair_order_id
        AND o.status = 'closed'));

-- A card that was declined before another went through, and what was rounded up goes back.
INSERT INTO auto.payment
    (business_id, payment_id, customer_id, shop_id, payment_number, method, amount, currency_code,
     status, paid_at, processor_ref, card_brand, card_last4, idempotency_ref, created_at)
SELECT p.business_id, md5(p.payment_id || ' declined')::uuid, p.customer_id, p.shop_id,
       'PF' || substr(p.payment_number, 2), p.method, p.amount, p.currency_code, 'failed',
       p.paid_at - interval '1 minute', p.processor_ref || '_1', p.card_brand, p.card_last4,
       'declined-' || p.payment_id, p.paid_at - interval '1 minute'
FROM auto.payment AS p
WHERE p.business_id = %(business_id)s
  AND p.method = 'card'
  AND substr(p.payment_number, 2)::integer %% 40 = 3;
INSERT INTO auto.payment
    (business_id, payment_id, refund_of_payment_id, customer_id, shop_id, payment_number,
     direction, method, amount, currency_code, status, paid_at, settled_on, idempotency_ref,
     created_at)
SELECT p.business_id, md5(p.payment_id || ' refund')::uuid, p.payment_id, p.customer_id,
       p.shop_id, 'PR' || substr(p.payment_number, 2), 'refund', 'cash', p.unapplied_amount,
       p.currency_code, 'settled', least(p.paid_at + interval '2 hours', %(as_of)s),
       least(p.paid_at + interval '2 hours', %(as_of)s)::date, 'refund-' || p.payment_id,
       least(p.paid_at + interval '2 hours', %(as_of)s)
FROM auto.payment AS p
WHERE p.business_id = %(business_id)s
  AND p.direction = 'received'
  AND p.unapplied_amount > 0
  AND substr(p.payment_number, 2)::integer %% 2 = 0;
