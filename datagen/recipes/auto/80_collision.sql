-- Each loss has its versions: the last totals what was billed, and a supplement adds about 24 %%
-- to the version before it.
INSERT INTO auto.damage_estimate
    (business_id, damage_estimate_id, previous_estimate_id, insurance_claim_id, repair_order_id,
     estimator_technician_id, estimate_kind, supplement_no, written_at, submitted_at, decided_at,
     status, paint_material_amount, lines_amount, tax_amount, created_at)
SELECT x.business_id, md5(x.insurance_claim_id || ' estimate ' || x.no)::uuid,
       CASE WHEN x.no > 0 THEN md5(x.insurance_claim_id || ' estimate ' || x.no - 1)::uuid END,
       x.insurance_claim_id, x.repair_order_id,
       crew.ids[1 + (x.place + x.no) %% cardinality(crew.ids)],
       CASE x.no WHEN 0 THEN 'original' ELSE 'supplement' END, x.no, x.written_at,
       CASE WHEN x.status <> 'draft' THEN least(x.written_at + interval '3 hours', %(as_of)s) END,
       CASE WHEN x.status IN ('approved', 'partly_approved', 'rejected')
            THEN least(x.written_at + (20 + x.place %% 30) * interval '1 hour', %(as_of)s) END,
       x.status, round(x.total * 0.08, 2),
       x.total - round(x.total * 0.08, 2) - round(x.total * 0.05, 2), round(x.total * 0.05, 2),
       x.written_at
FROM (
    SELECT c.*, n.no,
           round(c.last_total / power(1 + c.more, c.last_no - n.no), 2) AS total,
           least(c.assigned_at + (n.no * 4 + 1) * interval '1 day',
                 coalesce(c.closed_at, %(as_of)s) - interval '4 hours') AS written_at,
           CASE WHEN n.no < c.last_no THEN 'approved'
                WHEN c.claim_status = 'denied' THEN 'rejected'
                WHEN c.claim_status IN ('estimating', 'withdrawn') THEN 'draft'
                WHEN c.claim_status IN ('estimate_submitted', 'supplement_submitted', 'total_loss')
                THEN 'submitted'
                WHEN c.repair_order_id IS NULL THEN 'submitted'
                ELSE 'approved' END AS status
    FROM (
        SELECT y.business_id, y.insurance_claim_id, y.status AS claim_status, y.assigned_at, y.closed_at,
               b.repair_order_id, y.place,
               (ARRAY[0.10, 0.15, 0.19, 0.22, 0.25, 0.29, 0.34, 0.40])[1 + y.place %% 8] AS more,
               CASE WHEN y.status = 'supplement_submitted' THEN 1 + y.place %% 2
                    WHEN y.status = 'settled' AND b.repair_order_id IS NULL
                    THEN CASE WHEN y.place %% 11 < 2 THEN 1 ELSE 0 END
                    WHEN y.status NOT IN ('approved', 'settled') THEN 0
                    WHEN y.place * 37 %% 80 < 42 THEN 1 WHEN y.place * 37 %% 80 < 69 THEN 0
                    ELSE 2 END AS last_no,
               coalesce(b.billed, 2500 + y.place * 7919 %% 6500) AS last_total
        FROM (SELECT z.*, substr(z.claim_number, 5)::integer AS place
              FROM auto.insurance_claim AS z
              WHERE z.business_id = %(business_id)s AND z.status <> 'assigned') AS y
        LEFT JOIN (
            SELECT o.insurance_claim_id,
                   (array_agg(o.repair_order_id ORDER BY o.repair_order_id))[1]
                       AS repair_order_id,
                   sum(i.total_amount + i.deductible_amount) AS billed
            FROM auto.repair_order AS o
            LEFT JOIN auto.invoice AS i
                ON i.business_id = o.business_id
                AND i.repair_order_id = o.repair_order_id
                AND i.payer_kind = 'insurance'
                AND i.total_amount + i.deductible_amount > 0
            WHERE o.business_id = %(business_id)s AND o.insurance_claim_id IS NOT NULL
            GROUP BY o.insurance_claim_id
        ) AS b ON b.insurance_claim_id = y.insurance_claim_id
    ) AS c
    CROSS JOIN LATERAL generate_series(0, c.last_no) AS n (no)
) AS x
CROSS JOIN (SELECT array_agg(t.technician_id ORDER BY t.technician_id) AS ids
            FROM auto.technician AS t WHERE t.business_id = %(business_id)s) AS crew;

-- The lines of a version: those that it adds, and those of the versions before, unchanged. Each
-- takes its share of what its version added, to the cent.
WITH version AS (
    SELECT e.*, substr(c.claim_number, 5)::integer AS place,
           e.lines_amount - coalesce(lag(e.lines_amount) OVER (
               PARTITION BY e.insurance_claim_id ORDER BY e.supplement_no), 0) AS added,
           CASE e.supplement_no WHEN 0 THEN 14 + substr(c.claim_number, 5)::integer %% 20
                                ELSE 4 + substr(c.claim_number, 5)::integer %% 5 END AS many
    FROM auto.damage_estimate AS e
    JOIN auto.insurance_claim AS c
        ON c.business_id = e.business_id AND c.insurance_claim_id = e.insurance_claim_id
    WHERE e.business_id = %(business_id)s
), line AS (
    SELECT v.insurance_claim_id, v.supplement_no AS born, v.place, v.supplement_no * 100 + g.i AS n,
           round(v.added * sum(w.weight) OVER upto / sum(w.weight) OVER whole, 2)
               - round(v.added * (sum(w.weight) OVER upto - w.weight)
                       / sum(w.weight) OVER whole, 2) AS amount
    FROM version AS v
    CROSS JOIN LATERAL generate_series(1, v.many) AS g (i)
    CROSS JOIN LATERAL (SELECT (1 + (g.i * 37 + v.place * 11) %% 9)::numeric AS weight) AS w
    WINDOW whole AS (PARTITION BY v.damage_estimate_id),
           upto AS (PARTITION BY v.damage_estimate_id ORDER BY g.i)
)
INSERT INTO auto.damage_estimate_line
    (business_id, damage_estimate_line_id, damage_estimate_id, line_no, operation, panel_name,
     part_source, qty, part_price, labor_kind, labor_hours, refinish_hours, is_judgment,
     change_kind, previous_line_total, line_total, decision, created_at)
SELECT v.business_id, md5(v.damage_estimate_id || ' line ' || l.n)::uuid, v.damage_estimate_id,
       l.n, k.operation,
       (ARRAY['Front bumper cover', 'Left fender', 'Hood', 'Right headlamp', 'Grille',
              'Left front door', 'Radiator support', 'Quarter panel', 'Rear bumper cover',
              'Deck lid', 'Windshield', 'Front camera', 'Right fender', 'Rocker panel'])
           [1 + (l.n * 5 + l.place) %% 14],
       CASE WHEN k.operation = 'replace'
            THEN (ARRAY['oem', 'aftermarket_certified', 'aftermarket', 'recycled'])
                 [1 + (l.n + l.place) %% 4] ELSE 'none' END,
       1, CASE WHEN k.operation = 'replace' THEN round(l.amount * 0.65, 2) ELSE 0 END, k.labor_kind,
       CASE WHEN k.operation IN ('refinish', 'blend') THEN 0
            ELSE round(l.amount * CASE k.operation WHEN 'replace' THEN 0.35 ELSE 1 END / 62, 1) END,
       CASE WHEN k.operation IN ('refinish', 'blend') THEN round(l.amount / 62, 1) ELSE 0 END,
       k.operation = 'repair',
       CASE WHEN v.supplement_no = 0 THEN 'original' WHEN l.born = v.supplement_no THEN 'added'
            ELSE 'unchanged' END,
       CASE WHEN l.born < v.supplement_no THEN l.amount END, l.amount,
       CASE WHEN v.status = 'approved' OR l.born < v.supplement_no THEN 'approved'
            ELSE 'pending' END, v.written_at
FROM version AS v
JOIN line AS l
    ON l.insurance_claim_id = v.insurance_claim_id AND l.born <= v.supplement_no
CROSS JOIN LATERAL (
    SELECT o.operation,
           CASE o.operation WHEN 'align' THEN 'mechanical' WHEN 'scan' THEN 'mechanical'
                            WHEN 'calibrate' THEN 'mechanical' WHEN 'refinish' THEN 'refinish'
                            WHEN 'blend' THEN 'refinish'
                            ELSE (ARRAY['body', 'body', 'body', 'structural', 'body', 'frame'])
                                 [1 + (l.n + l.place) %% 6] END AS labor_kind
    FROM (SELECT (ARRAY['replace', 'repair', 'refinish', 'remove_install', 'replace', 'refinish',
                        'blend', 'scan', 'repair', 'align', 'replace', 'calibrate',
                        'remove_install'])[1 + (l.n * 3 + l.place) %% 13] AS operation) AS o
) AS k;
UPDATE auto.damage_estimate AS e
SET bms_document = jsonb_build_object('lines', l.lines)
FROM (
    SELECT x.damage_estimate_id,
           jsonb_agg(jsonb_build_object('line_no', x.line_no, 'operation', x.operation,
                                        'total', x.line_total) ORDER BY x.line_no) AS lines
    FROM auto.damage_estimate_line AS x
    WHERE x.business_id = %(business_id)s
    GROUP BY x.damage_estimate_id
) AS l
WHERE e.business_id = %(business_id)s
  AND e.damage_estimate_id = l.damage_estimate_id
  AND e.status <> 'draft';

-- Total losses, and every ninth repair that was tested and found worth it.
INSERT INTO auto.total_loss_evaluation
    (business_id, total_loss_evaluation_id, insurance_claim_id, damage_estimate_id, evaluated_at,
     actual_cash_value, repair_total, salvage_value, threshold_method, threshold_pct, comparables,
     is_total, owner_retained, settlement_amount, title_brand, released_on, storage_fee_amount,
     created_at)
SELECT c.business_id, md5(c.insurance_claim_id || ' evaluation')::uuid, c.insurance_claim_id,
       e.damage_estimate_id, least(e.written_at + interval '1 day', %(as_of)s), v.worth,
       e.total_amount, round(v.worth * 0.2, 2), 'state_pct', v.share,
       jsonb_build_object('comparables', jsonb_build_array(
           jsonb_build_object('price', v.worth + 450, 'distance', 14, 'odometer', 61000,
                              'adjustment', 0),
           jsonb_build_object('price', v.worth - 100, 'distance', 31, 'odometer', 70500,
                              'adjustment', 100),
           jsonb_build_object('price', v.worth - 300, 'distance', 55, 'odometer', 88000,
                              'adjustment', 0))),
       v.is_total, v.is_kept,
       CASE WHEN v.is_total
            THEN greatest(v.worth - c.deductible_amount
                          - CASE WHEN v.is_kept THEN round(v.worth * 0.2, 2) ELSE 0 END, 0)
            ELSE 0 END,
       CASE WHEN v.is_total THEN 'salvage' ELSE 'none' END,
       CASE WHEN v.is_total THEN c.closed_at::date END,
       CASE WHEN v.is_total THEN 35 * (2 + v.place %% 6) ELSE 0 END,
       least(e.written_at + interval '1 day', %(as_of)s)
FROM auto.insurance_claim AS c
JOIN LATERAL (
    SELECT x.* FROM auto.damage_estimate AS x
    WHERE x.business_id = c.business_id AND x.insurance_claim_id = c.insurance_claim_id
    ORDER BY x.supplement_no DESC
    LIMIT 1
) AS e ON true
CROSS JOIN LATERAL (
    SELECT n.place, n.share, n.is_total, n.is_total AND n.place %% 5 = 0 AS is_kept,
           round(100 * e.total_amount
                 / CASE WHEN n.is_total THEN n.share + 1 + n.place %% 20
                        ELSE n.share - 4 - n.place %% 25 END) AS worth
    FROM (SELECT substr(c.claim_number, 5)::integer AS place,
                 coalesce(y.total_loss_threshold_pct, 75) AS share,
                 c.status = 'total_loss' OR (c.status = 'settled' AND e.repair_order_id IS NULL)
                     AS is_total
          FROM auto.insurer AS y
          WHERE y.business_id = c.business_id AND y.insurer_id = c.insurer_id) AS n
) AS v
WHERE c.business_id = %(business_id)s
  AND e.total_amount > 100
  AND (v.is_total OR (v.place %% 9 = 4 AND c.status IN ('approved', 'settled')));

-- What insurers remitted: for repairs the payment of their invoice, for total losses the owner's.
INSERT INTO auto.claim_payment
    (business_id, claim_payment_id, insurance_claim_id, payment_id, damage_estimate_id,
     remittance_ref, payer_name, remitted_on, gross_amount, deductible_deducted_amount,
     rate_cut_amount, payee_kind, method, short_pay_reason, short_pay_status, matched_at,
     created_at)
SELECT i.business_id, md5(p.payment_id || ' remittance')::uuid, i.insurance_claim_id, p.payment_id,
       e.damage_estimate_id, 'REM-' || p.payment_number, n.name, p.paid_at::date,
       i.total_amount + i.deductible_amount, i.deductible_amount, i.total_amount - p.amount,
       CASE WHEN substr(p.payment_number, 2)::integer %% 7 = 0
            THEN 'joint_lienholder' ELSE 'shop' END,
       CASE p.method WHEN 'ach' THEN 'eft' ELSE 'check' END,
       CASE WHEN p.amount < i.total_amount THEN 'labor rate above the local average' END,
       CASE WHEN p.amount = i.total_amount THEN 'none'
            WHEN i.written_off_amount > 0 THEN 'written_off' ELSE 'open' END,
       p.paid_at, p.paid_at
FROM auto.invoice AS i
JOIN auto.payment AS p
    ON p.business_id = i.business_id
    AND p.payment_id = md5(i.invoice_id || ' payment balance')::uuid
JOIN auto.insurance_claim AS c
    ON c.business_id = i.business_id AND c.insurance_claim_id = i.insurance_claim_id
JOIN auto.insurer AS n ON n.business_id = c.business_id AND n.insurer_id = c.insurer_id
LEFT JOIN LATERAL (
    SELECT x.damage_estimate_id FROM auto.damage_estimate AS x
    WHERE x.business_id = c.business_id AND x.insurance_claim_id = c.insurance_claim_id
    ORDER BY x.supplement_no DESC
    LIMIT 1
) AS e ON true
WHERE i.business_id = %(business_id)s AND i.payer_kind = 'insurance';
INSERT INTO auto.claim_payment
    (business_id, claim_payment_id, insurance_claim_id, damage_estimate_id, remittance_ref,
     payer_name, remitted_on, gross_amount, deductible_deducted_amount, rate_cut_amount,
     payee_kind, method, created_at)
SELECT t.business_id, md5(t.total_loss_evaluation_id || ' remittance')::uuid, c.insurance_claim_id,
       t.damage_estimate_id, 'TL-' || substr(c.claim_number, 5), n.name, c.closed_at::date,
       t.settlement_amount + least(c.deductible_amount, t.actual_cash_value),
       least(c.deductible_amount, t.actual_cash_value), 0, 'customer', 'check', c.closed_at
FROM auto.total_loss_evaluation AS t
JOIN auto.insurance_claim AS c
    ON c.business_id = t.business_id AND c.insurance_claim_id = t.insurance_claim_id
JOIN auto.insurer AS n ON n.business_id = c.business_id AND n.insurer_id = c.insurer_id
WHERE t.business_id = %(business_id)s AND t.is_total AND c.status = 'settled';

-- What warranty payers credited.
INSERT INTO auto.claim_payment
    (business_id, claim_payment_id, warranty_claim_id, payment_id, remittance_ref, payer_name,
     remitted_on, gross_amount, rate_cut_amount, payee_kind, method, short_pay_reason,
     short_pay_status, matched_at, created_at)
SELECT w.business_id, md5(p.payment_id || ' remittance')::uuid, w.warranty_claim_id, p.payment_id,
       'CR-' || p.payment_number, g.name, w.paid_on, w.claimed_amount,
       w.claimed_amount - p.amount, 'shop', 'eft',
       CASE WHEN p.amount < w.claimed_amount THEN 'hours above the guide' END,
       CASE WHEN p.amount < w.claimed_amount THEN 'written_off' ELSE 'none' END, p.paid_at,
       p.paid_at
FROM auto.warranty_claim AS w
JOIN auto.warranty_program AS g
    ON g.business_id = w.business_id AND g.warranty_program_id = w.warranty_program_id
JOIN auto.invoice AS i
    ON i.business_id = w.business_id AND i.warranty_claim_id = w.warranty_claim_id
JOIN auto.payment AS p
    ON p.business_id = i.business_id
    AND p.payment_id = md5(i.invoice_id || ' payment balance')::uuid
WHERE w.business_id = %(business_id)s
  AND w.status = 'paid'
  AND p.amount <= w.claimed_amount;
