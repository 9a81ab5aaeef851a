-- Two bins lie in a cabinet, the first.
UPDATE auto.stock_location AS l
SET parent_location_id = p.stock_location_id
FROM auto.stock_location AS p
WHERE l.business_id = %(business_id)s AND l.location_code IN ('BIN-02', 'BIN-03')
  AND p.business_id = l.business_id AND p.shop_id = l.shop_id AND p.location_code = 'BIN-01';

-- Cores of what was built in: 86 in 100 are in hand within four weeks, some come later, the rest
-- is forfeited when the supplier's window of 75 days ends.
INSERT INTO auto.core_deposit
    (business_id, core_deposit_id, part_id, part_line_id, supplier_id, core_number,
     charged_to_customer_amount, charged_by_supplier_amount, customer_state, supplier_state,
     received_on, condition, due_back_on, credited_amount, rejected_reason, tag_code)
SELECT d.business_id, md5(d.part_line_id || ' core')::uuid, d.part_id, d.part_line_id,
       d.supplier_id,
       'CORE-' || lpad((row_number() OVER (ORDER BY d.issued_on, d.part_line_id))::text, 6, '0'),
       d.charge, d.charge,
       CASE WHEN d.received_on IS NOT NULL THEN 'credited'
            WHEN d.issued_on + 75 <= d.today THEN 'forfeited' ELSE 'charged' END,
       s.state, d.received_on,
       CASE WHEN d.received_on IS NOT NULL AND s.state = 'rejected' THEN 'cracked'
            WHEN d.received_on IS NOT NULL THEN 'good'
            WHEN d.issued_on + 75 <= d.today THEN 'missing' END,
       d.issued_on + 75, CASE s.state WHEN 'credited' THEN d.charge ELSE 0 END,
       CASE s.state WHEN 'rejected' THEN 'Housing cracked' END,
       CASE WHEN d.received_on IS NOT NULL THEN 'T' || d.dice %% 100000 END
FROM (
    -- They are handed in at eleven.
    SELECT c.*, CASE WHEN c.comes_on + interval '11 hours' <= %(as_of)s::timestamptz
                     THEN c.comes_on END AS received_on
    FROM (
        SELECT l.business_id, l.part_line_id, l.part_id, l.qty, x.dice, i.issued_on,
               coalesce(bought.supplier_id, s.supplier_id) AS supplier_id,
               %(as_of)s::date AS today,
               l.qty * CASE WHEN p.core_charge_amount > 0 THEN p.core_charge_amount ELSE 45 END
                   AS charge,
               CASE WHEN x.dice %% 100 < 86 THEN i.issued_on + x.dice / 100 %% 28
                    WHEN x.dice %% 100 < 93 THEN i.issued_on + 31 + x.dice / 100 %% 30 END
                   AS comes_on,
               p.core_charge_amount > 0 AND t.is_core_bearing AS is_core,
               row_number() OVER (ORDER BY o.opened_at, l.part_line_id) AS place
        FROM auto.part_line AS l
        JOIN auto.repair_job AS j
            ON j.business_id = l.business_id AND j.repair_job_id = l.repair_job_id
        JOIN auto.repair_order AS o
            ON o.business_id = j.business_id AND o.repair_order_id = j.repair_order_id
        JOIN auto.part AS p ON p.business_id = l.business_id AND p.part_id = l.part_id
        JOIN auto.part_type AS t
            ON t.business_id = p.business_id AND t.part_type_id = p.part_type_id
        JOIN (
            SELECT y.supplier_id, row_number() OVER (ORDER BY y.supplier_code) - 1 AS place,
                   count(*) OVER () AS places
            FROM auto.supplier AS y
            WHERE y.business_id = %(business_id)s
              AND y.supplier_kind NOT IN ('sublet', 'tool_truck', 'waste_hauler')
        ) AS s ON s.place = abs(hashtext(l.part_id::text)) %% s.places
        LEFT JOIN (
            SELECT y.part_line_id, q.supplier_id
            FROM auto.purchase_order_line AS y
            JOIN auto.purchase_order AS q
                ON q.business_id = y.business_id AND q.purchase_order_id = y.purchase_order_id
            WHERE y.business_id = %(business_id)s AND y.part_line_id IS NOT NULL
        ) AS bought ON bought.part_line_id = l.part_line_id
        CROSS JOIN LATERAL (SELECT abs(hashtext('core' || l.part_line_id)) AS dice) AS x
        CROSS JOIN LATERAL (
            SELECT (least(o.opened_at + interval '5 hours',
                          %(as_of)s::timestamptz - interval '30 minutes')
                    AT TIME ZONE 'UTC')::date AS issued_on
        ) AS i
        WHERE l.business_id = %(business_id)s AND l.stock_location_id IS NOT NULL
          AND l.status IN ('issued', 'installed') AND l.qty > 0
          AND l.part_condition <> 'customer_supplied'
    ) AS c
    WHERE c.is_core OR c.place = 1
) AS d
CROSS JOIN LATERAL (
    SELECT CASE WHEN d.received_on IS NULL OR d.received_on + 6 > d.today THEN 'owed'
                WHEN d.received_on + 24 > d.today THEN 'shipped'
                WHEN d.dice / 7 %% 30 = 0 THEN 'rejected' ELSE 'credited' END AS state
) AS s;

-- They go back with the supplier's driver.
INSERT INTO auto.supplier_return
    (business_id, supplier_return_id, supplier_id, part_id, return_number, return_kind, qty,
     reason_text, rga_number, requested_on, picked_up_on, expected_credit_amount,
     credited_amount, credited_on, credit_memo_ref, status)
SELECT d.business_id, md5(d.core_deposit_id || ' back')::uuid, d.supplier_id, d.part_id,
       'SC-' || right(d.core_number, 6), 'core', l.qty, 'Core', 'RGA' || right(d.core_number, 6),
       d.received_on + 2, d.received_on + 5, d.charged_by_supplier_amount, d.credited_amount,
       CASE d.supplier_state WHEN 'credited' THEN d.received_on + 20 END,
       CASE d.supplier_state WHEN 'credited' THEN 'CM-' || right(d.core_number, 6) END,
       CASE d.supplier_state WHEN 'credited' THEN 'credited' WHEN 'rejected' THEN 'denied'
                             ELSE 'picked_up' END
FROM auto.core_deposit AS d
JOIN auto.part_line AS l
    ON l.business_id = d.business_id AND l.part_line_id = d.part_line_id
WHERE d.business_id = %(business_id)s AND d.supplier_state IN ('shipped', 'credited', 'rejected');
UPDATE auto.core_deposit AS d
SET supplier_return_id = md5(d.core_deposit_id || ' back')::uuid
WHERE d.business_id = %(business_id)s AND d.supplier_state IN ('shipped', 'credited', 'rejected');
UPDATE auto.core_deposit AS d
SET goods_receipt_id = r.goods_receipt_id
FROM auto.purchase_order_line AS l
JOIN auto.goods_receipt AS r
    ON r.business_id = l.business_id AND r.purchase_order_line_id = l.purchase_order_line_id
   AND r.received_qty > 0
WHERE d.business_id = %(business_id)s
  AND l.business_id = d.business_id AND l.part_line_id = d.part_line_id;

-- The ledger in the order of time: what was there at first covers all that was taken from it.
INSERT INTO auto.stock_movement
    (business_id, stock_movement_id, part_id, stock_location_id, part_line_id, goods_receipt_id,
     supplier_return_id, moved_at, movement_kind, qty_delta, unit_cost, balance_after_qty,
     count_batch_ref, reason_code, idempotency_ref)
WITH told AS (
    SELECT l.part_id, r.stock_location_id, NULL::uuid AS part_line_id, r.goods_receipt_id,
           NULL::uuid AS supplier_return_id, r.received_at AS moved_at, 'receipt' AS kind,
           r.received_qty AS delta, r.unit_cost AS cost, 'goods_receipt:' || r.goods_receipt_id AS ref
    FROM auto.goods_receipt AS r
    JOIN auto.purchase_order_line AS l
        ON l.business_id = r.business_id AND l.purchase_order_line_id = r.purchase_order_line_id
    WHERE r.business_id = %(business_id)s AND r.received_qty > 0
    UNION ALL
    SELECT l.part_id, l.stock_location_id, l.part_line_id, NULL, NULL, t.at + k.later, k.kind,
           k.sign * l.qty, coalesce(l.unit_cost, 20), 'part_line:' || l.part_line_id
    FROM auto.part_line AS l
    JOIN auto.repair_job AS j
        ON j.business_id = l.business_id AND j.repair_job_id = l.repair_job_id
    JOIN auto.repair_order AS o
        ON o.business_id = j.business_id AND o.repair_order_id = j.repair_order_id
    CROSS JOIN LATERAL (
        SELECT least(o.opened_at + interval '5 hours 50 minutes',
                     %(as_of)s::timestamptz - interval '30 minutes') AS at
    ) AS t
    JOIN (VALUES ('issue_to_job', -1, interval '0'),
                 ('return_from_job', 1, interval '20 minutes')) AS k (kind, sign, later)
        ON l.status IN ('issued', 'installed', 'returned')
       AND (k.kind = 'issue_to_job' OR l.status = 'returned')
    WHERE l.business_id = %(business_id)s AND l.part_id IS NOT NULL AND l.qty > 0
      AND l.stock_location_id IS NOT NULL
    UNION ALL
    SELECT b.part_id, r.stock_location_id, NULL, NULL, b.supplier_return_id,
           b.picked_up_on + interval '15 hours', 'supplier_return', -b.qty, r.unit_cost,
           'supplier_return:' || b.supplier_return_id
    FROM auto.supplier_return AS b
    JOIN auto.goods_receipt AS r
        ON r.business_id = b.business_id AND r.goods_receipt_id = b.goods_receipt_id
    WHERE b.business_id = %(business_id)s AND b.picked_up_on IS NOT NULL
), cores AS (
    SELECT d.part_id, c.stock_location_id, k.part_line_id, NULL::uuid AS goods_receipt_id,
           k.supplier_return_id, k.at AS moved_at, k.kind, k.delta, d.charged_by_supplier_amount / l.qty
               AS cost, k.ref
    FROM auto.core_deposit AS d
    JOIN auto.part_line AS l
        ON l.business_id = d.business_id AND l.part_line_id = d.part_line_id
    JOIN auto.stock_location AS p
        ON p.business_id = l.business_id AND p.stock_location_id = l.stock_location_id
    JOIN auto.stock_location AS c
        ON c.business_id = p.business_id AND c.shop_id = p.shop_id
       AND c.location_kind = 'core_shelf'
    CROSS JOIN LATERAL (
        VALUES ('core_in', d.received_on + interval '11 hours', l.qty, d.part_line_id, NULL::uuid,
                'part_line:' || d.part_line_id),
               ('core_out', d.received_on + interval '5 days 15 hours', -l.qty, NULL::uuid,
                d.supplier_return_id, 'supplier_return:' || d.supplier_return_id)
    ) AS k (kind, at, delta, part_line_id, supplier_return_id, ref)
    WHERE d.business_id = %(business_id)s AND d.received_on IS NOT NULL
      AND (k.kind = 'core_in' OR d.supplier_return_id IS NOT NULL)
), begun AS (
    SELECT a.part_id, a.stock_location_id, NULL::uuid, NULL::uuid, NULL::uuid,
           %(as_of)s::timestamptz - interval '400 days', 'receipt', a.qty, a.cost,
           'opening:' || a.part_id || a.stock_location_id
    FROM (
        SELECT n.part_id, n.stock_location_id, coalesce(max(n.cost), 20) AS cost,
               sum(n.qty) + 1 + abs(hashtext(n.part_id::text)) %% 7 AS qty
        FROM (
            SELECT t.part_id, t.stock_location_id, -t.delta AS qty, t.cost
            FROM told AS t WHERE t.delta < 0
            UNION ALL
            SELECT l.part_id, l.stock_location_id, l.qty, l.unit_cost
            FROM auto.part_line AS l
            WHERE l.business_id = %(business_id)s AND l.status IN ('reserved', 'received')
              AND l.part_id IS NOT NULL AND l.stock_location_id IS NOT NULL AND l.qty > 0
            UNION ALL
            SELECT p.part_id, b.stock_location_id, 1, NULL
            FROM (SELECT x.part_id, row_number() OVER (ORDER BY x.part_id) AS place
                  FROM auto.part AS x WHERE x.business_id = %(business_id)s) AS p
            JOIN (
                SELECT x.stock_location_id,
                       row_number() OVER (PARTITION BY x.shop_id ORDER BY x.location_code) - 1
                           AS place,
                       count(*) OVER (PARTITION BY x.shop_id) AS places
                FROM auto.stock_location AS x
                WHERE x.business_id = %(business_id)s AND x.location_kind = 'bin'
            ) AS b ON b.place = abs(hashtext(p.part_id::text)) %% b.places
            WHERE p.place %% 3 = 1 AND p.place <= 5400
        ) AS n
        GROUP BY n.part_id, n.stock_location_id
    ) AS a
), counted AS (
    SELECT b.part_id, b.stock_location_id, NULL::uuid, NULL::uuid, NULL::uuid,
           %(as_of)s::timestamptz - (10 + d.dice %% 80) * interval '1 day',
           CASE d.dice %% 3 WHEN 0 THEN 'internal_use' WHEN 1 THEN 'scrap'
                            ELSE 'count_adjustment' END,
           -1, b.cost, 'count:' || b.part_id || b.stock_location_id
    FROM begun AS b (part_id, stock_location_id, l, r, s, at, kind, qty, cost, ref)
    CROSS JOIN LATERAL (SELECT abs(hashtext('n' || b.part_id)) AS dice) AS d
    WHERE d.dice %% 9 = 0
)
SELECT %(business_id)s, md5(m.kind || m.ref)::uuid, m.part_id, m.stock_location_id,
       m.part_line_id, m.goods_receipt_id, m.supplier_return_id, m.moved_at, m.kind, m.delta,
       m.cost,
       sum(m.delta) OVER (
           PARTITION BY m.part_id, m.stock_location_id, m.kind IN ('core_in', 'core_out')
           ORDER BY m.moved_at, m.delta DESC, m.ref),
       CASE m.kind WHEN 'count_adjustment' THEN 'CC-' || to_char(m.moved_at, 'YYYYMMDD') END,
       CASE m.kind WHEN 'count_adjustment' THEN 'miscount' WHEN 'scrap' THEN 'damage'
                   ELSE 'none' END,
       m.kind || ':' || m.ref
FROM (
    SELECT * FROM told
    UNION ALL SELECT * FROM cores
    UNION ALL SELECT * FROM begun
    UNION ALL SELECT * FROM counted
) AS m
ORDER BY m.moved_at, m.delta DESC, m.ref;

-- Balances have stable keys, what is kept for jobs, and their policy.
UPDATE auto.stock_balance AS b
SET stock_balance_id = md5(b.part_id || ' at ' || b.stock_location_id)::uuid,
    committed_qty = coalesce(c.qty, 0),
    stock_class = CASE WHEN x.dice %% 20 = 0 THEN 'seasonal' WHEN x.dice %% 20 = 1 THEN 'phase_out'
                       WHEN x.dice %% 5 = 2 THEN 'special_order' ELSE 'stocked' END,
    reorder_point_qty = CASE WHEN x.dice %% 20 = 0 OR (x.dice %% 20 <> 1 AND x.dice %% 5 <> 2)
                             THEN 1 + x.dice %% 4 END,
    order_up_to_qty = CASE WHEN x.dice %% 20 = 0 OR (x.dice %% 20 <> 1 AND x.dice %% 5 <> 2)
                           THEN 4 + x.dice %% 9 END
FROM auto.stock_balance AS a
CROSS JOIN LATERAL (SELECT abs(hashtext('b' || a.part_id)) AS dice) AS x
LEFT JOIN (
    SELECT l.part_id, l.stock_location_id, sum(l.qty) AS qty
    FROM auto.part_line AS l
    WHERE l.business_id = %(business_id)s AND l.status IN ('reserved', 'received')
      AND l.part_id IS NOT NULL AND l.stock_location_id IS NOT NULL
    GROUP BY l.part_id, l.stock_location_id
) AS c ON c.part_id = a.part_id AND c.stock_location_id = a.stock_location_id
WHERE b.business_id = %(business_id)s
  AND a.business_id = b.business_id AND a.stock_balance_id = b.stock_balance_id;
UPDATE auto.stock_balance AS b
SET on_order_qty = o.qty
FROM (
    SELECT l.part_id, p.shop_id, sum(l.ordered_qty - l.received_qty - l.cancelled_qty) AS qty
    FROM auto.purchase_order AS p
    JOIN auto.purchase_order_line AS l
        ON l.business_id = p.business_id AND l.purchase_order_id = p.purchase_order_id
    WHERE p.business_id = %(business_id)s AND p.status IN ('sent', 'confirmed', 'partial')
    GROUP BY l.part_id, p.shop_id
) AS o
JOIN auto.stock_location AS l ON l.business_id = %(business_id)s AND l.shop_id = o.shop_id
WHERE b.business_id = %(business_id)s AND l.location_kind = 'bin'
  AND b.part_id = o.part_id AND b.stock_location_id = l.stock_location_id;

-- The demand of the parts that move most, by week: twenty weeks past and four to come.
INSERT INTO auto.parts_demand_forecast
    (business_id, parts_demand_forecast_id, part_id, shop_id, forecast_week_on, horizon_weeks,
     model_name, expected_qty, lower_qty, upper_qty, vehicles_in_operation_count, lost_sale_qty,
     suggested_reorder_qty, actual_qty, generated_at)
SELECT %(business_id)s, md5(p.part_id || ' ' || s.shop_id || ' ' || w.week_on)::uuid, p.part_id,
       s.shop_id, w.week_on, 1, 'croston_sba', e.qty, round(e.qty * 0.5, 1), round(e.qty * 1.7, 1),
       40 + p.dice %% 900, CASE p.dice %% 11 WHEN 0 THEN 1 ELSE 0 END,
       CASE WHEN w.week_on >= %(as_of)s::date THEN ceil(e.qty * 1.7) END,
       CASE WHEN w.week_on + 7 <= %(as_of)s::date
            THEN round(e.qty) + abs(hashtext(p.part_id || w.week_on::text)) %% 2 END,
       least(w.week_on::timestamptz - interval '2 days',
             %(as_of)s::timestamptz - interval '6 hours')
FROM (
    SELECT m.part_id, abs(hashtext('f' || m.part_id)) AS dice,
           row_number() OVER (ORDER BY sum(m.qty_delta), m.part_id) AS place,
           count(*) OVER () AS places
    FROM auto.stock_movement AS m
    WHERE m.business_id = %(business_id)s
    GROUP BY m.part_id
) AS p
JOIN auto.shop AS s ON s.business_id = %(business_id)s
CROSS JOIN (
    SELECT date_trunc('week', %(as_of)s::timestamptz AT TIME ZONE 'UTC')::date + 7 * n AS week_on
    FROM generate_series(-20, 3) AS n
) AS w
CROSS JOIN LATERAL (SELECT 0.4 + p.dice %% 30 / 10.0 AS qty) AS e
WHERE p.place <= 1 + least(p.places / 20, 99);
