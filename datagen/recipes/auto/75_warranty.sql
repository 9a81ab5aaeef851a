-- Accounts of dealers and other businesses pay the claims; a parts maker covers its own parts.
UPDATE auto.warranty_program AS p
SET payer_customer_id = CASE WHEN p.program_kind NOT IN ('shop_labor', 'goodwill')
                             THEN c.customer_id END,
    supplier_id = CASE WHEN p.program_kind = 'parts_maker' THEN s.supplier_id END
FROM (SELECT x.warranty_program_id,
             row_number() OVER (ORDER BY x.program_code, x.warranty_program_id) AS place
      FROM auto.warranty_program AS x WHERE x.business_id = %(business_id)s) AS n
CROSS JOIN (SELECT array_agg(y.customer_id) AS ids
            FROM (SELECT x.customer_id FROM auto.customer AS x
                  WHERE x.business_id = %(business_id)s
                  ORDER BY x.customer_kind NOT IN ('dealer', 'insurer_pay'), x.customer_number
                  LIMIT 4) AS y) AS pool
CROSS JOIN LATERAL (SELECT pool.ids[1 + n.place %% cardinality(pool.ids)] AS customer_id) AS c
CROSS JOIN (SELECT (array_agg(x.supplier_id ORDER BY x.supplier_code, x.supplier_id))[1]
                   AS supplier_id
            FROM auto.supplier AS x WHERE x.business_id = %(business_id)s) AS s
WHERE p.business_id = %(business_id)s AND p.warranty_program_id = n.warranty_program_id;

-- Each vehicle that was repaired under warranty is covered, and one in three of the others.
INSERT INTO auto.vehicle_coverage
    (business_id, vehicle_coverage_id, vehicle_id, warranty_program_id, customer_id,
     contract_number, starts_on, ends_on, starts_odometer, ends_odometer, covered_groups,
     deductible_amount, transferable, verified_at, verification_ref, status,
     remaining_liability_amount, created_at)
SELECT v.business_id, md5(v.vehicle_id || ' coverage')::uuid, v.vehicle_id, p.warranty_program_id,
       w.customer_id, 'VC-' || lpad(v.place::text, 6, '0'), t.starts_on, t.ends_on,
       0, p.term_distance, ARRAY['engine', 'drivetrain', 'electrical'], p.deductible_amount,
       v.place %% 4 <> 0,
       CASE WHEN v.repaired_on IS NOT NULL THEN v.repaired_on + interval '9 hours' END,
       CASE WHEN v.repaired_on IS NOT NULL THEN 'VER-' || lpad(v.place::text, 6, '0') END,
       CASE WHEN t.ends_on <= %(as_of)s::date THEN 'expired'
            WHEN v.repaired_on IS NULL AND v.place %% 40 = 9 THEN 'cancelled'
            WHEN v.repaired_on IS NULL AND v.place %% 40 = 21 THEN 'exhausted'
            WHEN v.repaired_on IS NULL AND v.place %% 40 = 33 THEN 'pending'
            ELSE 'active' END,
       CASE WHEN v.repaired_on IS NULL AND v.place %% 40 = 21 AND t.ends_on > %(as_of)s::date
            THEN 0
            WHEN p.program_kind = 'extended_contract' THEN 3000 + v.place %% 50 * 100 END,
       t.starts_on + interval '12 hours'
FROM (
    SELECT x.business_id, x.vehicle_id, r.repaired_on,
           row_number() OVER (ORDER BY x.vin, x.vehicle_id) AS place
    FROM auto.vehicle AS x
    LEFT JOIN (
        SELECT o.vehicle_id, min(o.opened_at::date) AS repaired_on
        FROM auto.repair_order AS o
        JOIN auto.repair_job AS j
            ON j.business_id = o.business_id AND j.repair_order_id = o.repair_order_id
        WHERE o.business_id = %(business_id)s AND j.payer_kind = 'warranty'
        GROUP BY o.vehicle_id
    ) AS r ON r.vehicle_id = x.vehicle_id
    WHERE x.business_id = %(business_id)s
) AS v
CROSS JOIN (
    SELECT array_agg(x.warranty_program_id ORDER BY x.program_code, x.warranty_program_id) AS ids
    FROM auto.warranty_program AS x
    WHERE x.business_id = %(business_id)s AND x.program_kind NOT IN ('shop_labor', 'goodwill')
) AS pool
JOIN auto.warranty_program AS p
    ON p.business_id = v.business_id
    AND p.warranty_program_id = pool.ids[1 + v.place %% cardinality(pool.ids)]
LEFT JOIN (
    SELECT DISTINCT ON (x.vehicle_id) x.vehicle_id, x.customer_id
    FROM auto.vehicle_ownership AS x
    WHERE x.business_id = %(business_id)s
    ORDER BY x.vehicle_id, x.starts_on DESC, x.vehicle_ownership_id
) AS w ON w.vehicle_id = v.vehicle_id
CROSS JOIN LATERAL (
    SELECT s.starts_on, (s.starts_on + make_interval(months => p.term_months))::date AS ends_on
    FROM (SELECT CASE WHEN v.repaired_on IS NOT NULL
                      THEN v.repaired_on - 30 - (v.place * 31 %% 300)::integer
                      ELSE %(as_of)s::date - (v.place * 37 %% 2000)::integer END AS starts_on) AS s
) AS t
WHERE v.repaired_on IS NOT NULL OR v.place %% 3 = 1;

-- The shop stands for one job in eight that was paid for.
INSERT INTO auto.vehicle_coverage
    (business_id, vehicle_coverage_id, granted_by_repair_job_id, vehicle_id, warranty_program_id,
     customer_id, contract_number, starts_on, ends_on, status, created_at)
SELECT j.business_id, md5(j.repair_job_id || ' coverage')::uuid, j.repair_job_id, j.vehicle_id,
       p.warranty_program_id, j.customer_id, 'SL-' || lpad(j.place::text, 6, '0'), j.done_on,
       (j.done_on + make_interval(months => p.term_months))::date,
       CASE WHEN j.done_on + make_interval(months => p.term_months) <= %(as_of)s
            THEN 'expired' ELSE 'active' END, j.done_on + interval '17 hours'
FROM (
    SELECT x.business_id, x.repair_job_id, o.vehicle_id, o.customer_id, o.closed_at::date AS done_on,
           row_number() OVER (ORDER BY o.closed_at, x.repair_job_id) AS place
    FROM auto.repair_order AS o
    JOIN auto.repair_job AS x
        ON x.business_id = o.business_id AND x.repair_order_id = o.repair_order_id
    WHERE o.business_id = %(business_id)s
      AND o.status = 'closed'
      AND o.closed_at IS NOT NULL
      AND x.status = 'done'
      AND x.payer_kind IN ('customer', 'fleet')
) AS j
CROSS JOIN (
    SELECT (array_agg(x.warranty_program_id ORDER BY x.program_code))[1] AS id
    FROM auto.warranty_program AS x
    WHERE x.business_id = %(business_id)s AND x.program_kind = 'shop_labor'
) AS own
JOIN auto.warranty_program AS p
    ON p.business_id = j.business_id AND p.warranty_program_id = own.id
WHERE j.place %% 8 = 1;

-- A claim for each finished warranty job: submitted in two days, decided in nine, paid in
-- eighteen; of a hundred 84 are approved, 9 reduced and 7 denied. An order that is closed was
-- paid; of the others the claims are under way.
INSERT INTO auto.warranty_claim
    (business_id, warranty_claim_id, vehicle_coverage_id, warranty_program_id, repair_job_id,
     claim_number, claim_kind, failure_on, failure_odometer, authorization_number,
     authorized_amount, submitted_at, status, complaint_code, cause_code, claimed_amount,
     approved_amount, denial_code, decided_on, paid_on, created_at)
SELECT j.business_id, md5(j.repair_job_id || ' claim')::uuid, c.vehicle_coverage_id,
       c.warranty_program_id, j.repair_job_id, 'WC' || lpad(j.place::text, 6, '0'),
       CASE j.place %% 10 WHEN 3 THEN 'part_defect' WHEN 6 THEN 'emissions' ELSE 'failure' END,
       j.opened_at::date - 3, j.odometer_in_reading, 'AU' || lpad(j.place::text, 6, '0'),
       s.claimed, CASE WHEN z.status IN ('draft', 'preauthorized') THEN NULL ELSE j.filed_at END,
       z.status, (ARRAY['NOISE', 'LEAK', 'WARNING-LAMP', 'NO-START'])[1 + j.place %% 4],
       (ARRAY['WEAR', 'DEFECT', 'SHORT', 'SEAL'])[1 + j.place * 3 %% 4], s.claimed,
       CASE WHEN z.verdict IS NULL OR z.verdict = 'denied' THEN 0
            WHEN z.verdict = 'partly_approved' THEN s.reduced ELSE s.claimed END,
       CASE WHEN z.verdict = 'denied'
            THEN (ARRAY['NOT-COVERED', 'NO-CAUSE', 'LATE-REPORT'])[1 + j.place %% 3] END,
       CASE WHEN z.verdict IS NOT NULL THEN j.decided_on END,
       CASE WHEN z.status = 'paid' THEN j.paid_on END, j.done_at
FROM (
    SELECT y.*, least(y.filed_at::date + 5 + y.place %% 9, %(as_of)s::date)::date AS decided_on,
           least(y.filed_at::date + 14 + y.place %% 9, %(as_of)s::date)::date AS paid_on
    FROM (
        SELECT x.business_id, x.repair_job_id, o.status AS order_status, o.vehicle_id, o.opened_at,
               o.odometer_in_reading, d.done_at,
               least(d.done_at + interval '2 days', %(as_of)s) AS filed_at,
               row_number() OVER (ORDER BY o.opened_at, x.repair_job_id)::integer AS place
        FROM auto.repair_order AS o
        JOIN auto.repair_job AS x
            ON x.business_id = o.business_id AND x.repair_order_id = o.repair_order_id
        CROSS JOIN LATERAL (
            SELECT coalesce(o.completed_at, o.closed_at, o.opened_at) AS done_at) AS d
        WHERE o.business_id = %(business_id)s
          AND o.status IN ('ready_for_pickup', 'invoiced', 'closed')
          AND x.status = 'done'
          AND x.payer_kind = 'warranty'
    ) AS y
) AS j
JOIN auto.vehicle_coverage AS c
    ON c.business_id = j.business_id
    AND c.vehicle_coverage_id = md5(j.vehicle_id || ' coverage')::uuid
CROSS JOIN LATERAL (
    SELECT sum(b.amount) AS claimed,
           sum(round(b.amount * CASE b.line_kind WHEN 'labor' THEN 0.7 ELSE 0.95 END, 2))
               AS reduced
    FROM (SELECT l.line_kind, round(l.qty * l.unit_price, 2) - l.discount_amount AS amount
          FROM auto.v_billable_line AS l
          WHERE l.business_id = j.business_id
            AND l.repair_job_id = j.repair_job_id
            AND l.line_kind IN ('labor', 'part', 'sublet')) AS b
) AS s
CROSS JOIN LATERAL (
    SELECT f.verdict,
           CASE WHEN j.order_status = 'closed'
                THEN CASE f.verdict WHEN 'denied' THEN 'denied' ELSE 'paid' END
                WHEN f.verdict IS NOT NULL THEN f.verdict
                ELSE (ARRAY['submitted', 'submitted', 'queried', 'draft', 'submitted',
                            'preauthorized'])[1 + j.place %% 6] END AS status
    FROM (SELECT CASE WHEN j.order_status <> 'closed' AND j.place %% 3 <> 0 THEN NULL
                      WHEN j.place * 37 %% 100 < 84 THEN 'approved'
                      WHEN j.place * 37 %% 100 < 93 THEN 'partly_approved'
                      ELSE 'denied' END AS verdict) AS f
) AS z
WHERE s.claimed >= 1 AND s.claimed <= 25000;

-- Goodwill is asked of the maker for a few repairs that the customer paid.
INSERT INTO auto.warranty_claim
    (business_id, warranty_claim_id, warranty_program_id, repair_job_id, claim_number, claim_kind,
     failure_on, failure_odometer, status, claimed_amount, created_at)
SELECT j.business_id, md5(j.repair_job_id || ' goodwill')::uuid, goodwill.id, j.repair_job_id,
       'GW' || lpad(j.place::text, 6, '0'), 'goodwill', j.opened_at::date, j.odometer_in_reading,
       'draft', j.amount, least(j.opened_at + interval '3 days', %(as_of)s)
FROM (
    SELECT x.business_id, x.repair_job_id, o.opened_at, o.odometer_in_reading, b.amount,
           row_number() OVER (ORDER BY o.opened_at, x.repair_job_id) AS place
    FROM auto.repair_order AS o
    JOIN auto.repair_job AS x
        ON x.business_id = o.business_id AND x.repair_order_id = o.repair_order_id
    CROSS JOIN LATERAL (
        SELECT sum(round(l.qty * l.unit_price, 2) - l.discount_amount) AS amount
        FROM auto.v_billable_line AS l
        WHERE l.business_id = x.business_id
          AND l.repair_job_id = x.repair_job_id
          AND l.line_kind IN ('labor', 'part', 'sublet')) AS b
    WHERE o.business_id = %(business_id)s
      AND x.status = 'done'
      AND x.payer_kind = 'customer'
      AND b.amount > 0
) AS j
CROSS JOIN (
    SELECT (array_agg(p.warranty_program_id ORDER BY p.program_code))[1] AS id
    FROM auto.warranty_program AS p
    WHERE p.business_id = %(business_id)s AND p.program_kind = 'goodwill'
) AS goodwill
WHERE j.place %% 200 = 1;

-- The lines of the job are the lines of its claim; the failed part is kept.
INSERT INTO auto.warranty_claim_line
    (business_id, warranty_claim_line_id, warranty_claim_id, labor_line_id, part_line_id,
     sublet_line_id, line_no, line_kind, is_causal_part, operation_code, claimed_qty,
     claimed_amount, approved_qty, approved_amount, adjustment_code, part_retain_until_on,
     part_tag, part_disposition, created_at)
SELECT c.business_id, md5(c.warranty_claim_id || ' line ' || b.n)::uuid, c.warranty_claim_id,
       b.labor_line_id, b.part_line_id, b.sublet_line_id, b.n, b.line_kind,
       b.line_kind = 'part' AND b.of_kind = 1,
       CASE b.line_kind WHEN 'labor' THEN 'OP' || lpad(b.n::text, 3, '0') END,
       nullif(b.qty, 0), b.amount,
       CASE WHEN c.approved_amount > 0 THEN nullif(b.qty, 0) END,
       CASE WHEN c.approved_amount = 0 THEN 0
            WHEN c.approved_amount = c.claimed_amount THEN b.amount
            ELSE round(b.amount * CASE b.line_kind WHEN 'labor' THEN 0.7 ELSE 0.95 END, 2) END,
       CASE WHEN c.approved_amount > 0 AND c.approved_amount < c.claimed_amount
            THEN CASE b.line_kind WHEN 'labor' THEN 'TIME' ELSE 'PRICE' END END,
       CASE WHEN b.line_kind = 'part' AND b.of_kind = 1
            THEN (c.created_at + p.part_retention_days * interval '1 day')::date END,
       CASE WHEN b.line_kind = 'part' AND b.of_kind = 1 THEN 'TAG-' || c.claim_number END,
       CASE WHEN b.line_kind <> 'part' OR b.of_kind > 1 THEN NULL
            WHEN c.created_at + p.part_retention_days * interval '1 day' > %(as_of)s THEN 'hold'
            WHEN c.status = 'paid' AND b.n %% 2 = 0 THEN 'shipped'
            ELSE 'scrapped' END, c.created_at
FROM auto.warranty_claim AS c
JOIN auto.warranty_program AS p
    ON p.business_id = c.business_id AND p.warranty_program_id = c.warranty_program_id
CROSS JOIN LATERAL (
    SELECT l.*, round(l.qty * l.unit_price, 2) - l.discount_amount AS amount,
           row_number() OVER (ORDER BY l.place, l.line_no)::integer AS n,
           row_number() OVER (PARTITION BY l.line_kind ORDER BY l.line_no) AS of_kind
    FROM auto.v_billable_line AS l
    WHERE l.business_id = c.business_id
      AND l.repair_job_id = c.repair_job_id
      AND l.line_kind IN ('labor', 'part', 'sublet')
) AS b
WHERE c.business_id = %(business_id)s;
