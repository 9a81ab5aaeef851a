SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- What came back and was inspected is stock again, or held until it is decided on, where no other
-- recipe has posted it.
INSERT INTO ret.stock_movement
    (business_id, stock_movement_id, location_id, product_variant_id, occurred_at, movement_kind,
     from_state, to_state, quantity, unit_cost, source_kind, source_id)
SELECT r.business_id, md5('returned ' || i.return_inspection_id)::uuid, i.location_id,
       l.product_variant_id, i.inspected_at, 'return', 'none',
       CASE i.disposition WHEN 'restock' THEN 'available' ELSE 'quality_hold' END, r.quantity,
       coalesce(l.unit_cost, 0), 'return', r.return_authorisation_id
FROM ret.return_line AS r
JOIN ret.return_inspection AS i
    ON i.business_id = r.business_id AND i.return_line_id = r.return_line_id
JOIN ret.sales_order_line AS l
    ON l.business_id = r.business_id AND l.sales_order_line_id = r.sales_order_line_id
JOIN ret.product_variant AS v
    ON v.business_id = l.business_id AND v.product_variant_id = l.product_variant_id
JOIN ret.product AS p
    ON p.business_id = v.business_id AND p.product_id = v.product_id
   AND p.product_kind IN ('simple', 'configurable')
WHERE r.business_id = %(business_id)s AND r.acceptance = 'accepted'
  AND r.reception = 'received' AND i.disposition IN ('restock', 'refurbish', 'outlet', 'rtv')
  AND NOT EXISTS (SELECT FROM ret.stock_movement AS m
                  WHERE m.business_id = r.business_id
                    AND m.source_id = r.return_authorisation_id)
ORDER BY i.inspected_at, i.return_inspection_id;

-- The books open with what was sold later: no level is ever below three, in the order of time, so
-- that a count may find a piece less.
INSERT INTO ret.stock_movement
    (business_id, stock_movement_id, location_id, product_variant_id, consignment_agreement_id,
     occurred_at, movement_kind, from_state, to_state, quantity, unit_cost, source_kind)
SELECT %(business_id)s,
       md5('more ' || concat_ws(' ', n.location_id, n.product_variant_id,
                                n.consignment_agreement_id))::uuid,
       n.location_id, n.product_variant_id, n.consignment_agreement_id,
       least(%(as_of)s - interval '130 days', n.first_at - interval '1 hour'), 'adjustment',
       'none', 'available',
       ceil((3 - n.lowest) / 6) * 6, n.average_cost, 'adjustment'
FROM (
    SELECT l.location_id, l.product_variant_id, l.consignment_agreement_id, l.average_cost,
           least(min(m.running), l.available_qty) AS lowest, min(m.occurred_at) AS first_at
    FROM (
        SELECT x.location_id, x.product_variant_id, x.consignment_agreement_id, x.occurred_at,
               sum(x.quantity * ((x.to_state = 'available')::integer
                                 - (x.from_state = 'available')::integer)) OVER (
                   PARTITION BY x.location_id, x.product_variant_id, x.consignment_agreement_id
                   ORDER BY x.occurred_at, x.ledger_no) AS running
        FROM ret.stock_movement AS x
        WHERE x.business_id = %(business_id)s
    ) AS m
    JOIN ret.stock_level AS l
        ON l.business_id = %(business_id)s AND l.location_id = m.location_id
       AND l.product_variant_id = m.product_variant_id
       AND l.consignment_agreement_id IS NOT DISTINCT FROM m.consignment_agreement_id
    GROUP BY l.location_id, l.product_variant_id, l.consignment_agreement_id, l.average_cost,
             l.available_qty
) AS n
WHERE n.lowest < 3
ORDER BY n.location_id, n.product_variant_id, n.consignment_agreement_id;

-- Pieces that are no longer on hand were sold, whoever wrote the sale.
UPDATE ret.serial_unit AS u
SET state = 'sold', location_id = NULL, sold_at = greatest(n.last_sold_at, n.received_at)
FROM (
    SELECT x.serial_unit_id, x.received_at, l.last_sold_at, l.on_hand_qty,
           row_number() OVER (PARTITION BY x.location_id, x.product_variant_id
                              ORDER BY x.serial_number DESC) AS place
    FROM ret.serial_unit AS x
    JOIN ret.stock_level AS l
        ON l.business_id = x.business_id AND l.location_id = x.location_id
       AND l.product_variant_id = x.product_variant_id AND l.consignment_agreement_id IS NULL
    WHERE x.business_id = %(business_id)s AND x.state = 'in_stock'
      AND l.last_sold_at IS NOT NULL
) AS n
WHERE u.business_id = %(business_id)s AND u.serial_unit_id = n.serial_unit_id
  AND n.place > n.on_hand_qty;

-- Counts through the quarter, class by class; the last are not done yet.
CREATE TEMPORARY TABLE counting ON COMMIT DROP AS
SELECT md5('count ' || x || %(business_id)s)::uuid AS cycle_count_id, x AS place, m.most,
       h.location_id, u.user_account_id AS counter, b.user_account_id AS recounter,
       u.user_account_id <> b.user_account_id AS is_recounted,
       CASE WHEN x = m.most THEN 'requested' WHEN x = m.most - 1 THEN 'counting'
            WHEN x = m.most - 2 THEN 'ready_to_review' WHEN x = m.most - 3 THEN 'cancelled'
            ELSE 'completed' END AS state,
       %(as_of)s - interval '80 days' + (79 * 24 * x / m.most) * interval '1 hour' AS moment
FROM (
    SELECT greatest(10, count(DISTINCT l.product_variant_id)::integer / 33) AS most
    FROM ret.stock_level AS l
    WHERE l.business_id = %(business_id)s
) AS m
CROSS JOIN LATERAL generate_series(1, m.most) AS x
JOIN (
    SELECT l.location_id, row_number() OVER (ORDER BY l.location_code)::integer - 1 AS place,
           count(*) OVER ()::integer AS places
    FROM ret.location AS l
    WHERE l.business_id = %(business_id)s
      AND EXISTS (SELECT FROM ret.stock_level AS s
                  WHERE s.business_id = l.business_id AND s.location_id = l.location_id)
) AS h ON h.place = x %% h.places
JOIN (
    SELECT a.user_account_id, row_number() OVER (ORDER BY a.user_account_id)::integer - 1 AS place,
           count(*) OVER ()::integer AS users
    FROM user_mgmt.user_account AS a
    WHERE a.business_id = %(business_id)s
) AS u ON u.place = x %% u.users
JOIN (
    SELECT a.user_account_id, row_number() OVER (ORDER BY a.user_account_id)::integer - 1 AS place,
           count(*) OVER ()::integer AS users
    FROM user_mgmt.user_account AS a
    WHERE a.business_id = %(business_id)s
) AS b ON b.place = (x + 1) %% b.users;

CREATE TEMPORARY TABLE looked ON COMMIT DROP AS
SELECT c.cycle_count_id, c.state, c.place AS count_no, l.product_variant_id,
       l.average_cost, l.tracking, l.place AS line_number, c.location_id,
       c.moment + (10 + l.place * 2) * interval '1 minute' AS counted_at,
       ('x' || substr(md5(c.cycle_count_id || l.sku), 1, 7))::bit(28)::integer AS draw,
       coalesce((SELECT sum(ret.on_hand_change(m.from_state, m.to_state, m.quantity))
                 FROM ret.stock_movement AS m
                 WHERE m.business_id = %(business_id)s AND m.location_id = c.location_id
                   AND m.product_variant_id = l.product_variant_id
                   AND m.consignment_agreement_id IS NULL
                   AND m.occurred_at <= c.moment + (10 + l.place * 2) * interval '1 minute'), 0)
           AS booked
FROM counting AS c
JOIN LATERAL (
    SELECT n.*, row_number() OVER (ORDER BY n.sku)::integer AS place
    FROM (
        SELECT s.product_variant_id, s.average_cost, v.sku, p.tracking,
               row_number() OVER (ORDER BY v.sku) - 1 AS spot, count(*) OVER () AS spots
        FROM ret.stock_level AS s
        JOIN ret.product_variant AS v
            ON v.business_id = s.business_id AND v.product_variant_id = s.product_variant_id
        JOIN ret.product AS p
            ON p.business_id = v.business_id AND p.product_id = v.product_id
        WHERE s.business_id = %(business_id)s AND s.location_id = c.location_id
          AND s.consignment_agreement_id IS NULL
    ) AS n
    WHERE (n.spot - c.place * 38 %% n.spots + n.spots) %% n.spots < 38
) AS l ON true;

-- What a count has put right, the next one expects.
CREATE TEMPORARY TABLE counted ON COMMIT DROP AS
SELECT k.*, k.booked + coalesce(
           sum(k.variance) FILTER (WHERE k.state = 'completed') OVER (
               PARTITION BY k.location_id, k.product_variant_id ORDER BY k.count_no
               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS expected
FROM (
    SELECT l.*, CASE WHEN l.tracking = 'serial' THEN 0 WHEN l.draw %% 100 < 5 THEN -1
                     WHEN l.draw %% 100 < 7 THEN 1 ELSE 0 END AS variance
    FROM looked AS l
) AS k;

INSERT INTO ret.cycle_count
    (business_id, cycle_count_id, assigned_user_id, recount_user_id, location_id, count_number,
     count_kind, trigger_kind, state, requested_at, started_at, completed_at, freeze_at,
     lines_total, lines_accurate, variance_units, variance_value)
SELECT %(business_id)s, c.cycle_count_id, c.counter,
       CASE WHEN c.is_recounted AND c.state = 'completed' THEN c.recounter END, c.location_id,
       'CC-' || lpad(c.place::text, 5, '0'),
       split_part('cycle,cycle,spot,cycle,blind,rfid,cycle,full', ',', 1 + c.place %% 8),
       split_part('schedule,abc,high_value,schedule,manual,abc,schedule,zero_stock', ',',
                  1 + c.place %% 8),
       c.state, c.moment - interval '1 day',
       CASE WHEN c.state NOT IN ('requested', 'cancelled') THEN c.moment END,
       CASE WHEN c.state = 'completed' THEN c.moment + interval '4 hours' END,
       CASE WHEN c.state NOT IN ('requested', 'cancelled') THEN c.moment END,
       n.lines, CASE WHEN c.state = 'completed' THEN n.accurate END,
       CASE WHEN c.state = 'completed' THEN n.units END,
       CASE WHEN c.state = 'completed' THEN n.value END
FROM counting AS c
JOIN (
    SELECT x.cycle_count_id, count(*) AS lines,
           count(*) FILTER (WHERE x.variance = 0) AS accurate, sum(x.variance) AS units,
           sum(x.variance * round(x.average_cost, 2)) AS value
    FROM counted AS x
    GROUP BY x.cycle_count_id
) AS n ON n.cycle_count_id = c.cycle_count_id;

-- 93 lines in a hundred are right; the others were counted again.
INSERT INTO ret.cycle_count_line
    (business_id, cycle_count_line_id, cycle_count_id, product_variant_id, line_number,
     expected_qty, counted_qty, recount_qty, final_qty, variance_value, root_cause, counted_at,
     state)
SELECT %(business_id)s, md5('line ' || x.product_variant_id || x.cycle_count_id)::uuid,
       x.cycle_count_id, x.product_variant_id, x.line_number,
       CASE WHEN x.state <> 'cancelled' AND x.state <> 'requested' THEN x.expected END,
       CASE WHEN k.is_done THEN x.expected + k.variance END,
       CASE WHEN k.variance <> 0 AND x.state = 'completed' THEN x.expected + k.variance END,
       CASE WHEN x.state = 'completed' THEN x.expected + k.variance END,
       CASE WHEN x.state = 'completed' THEN k.variance * round(x.average_cost, 2) END,
       CASE WHEN k.variance = 0 OR x.state <> 'completed' THEN 'none'
            WHEN k.variance > 0 THEN 'found'
            ELSE split_part('theft,missing_transaction,misplaced,damage', ',',
                            1 + x.draw %% 4) END,
       CASE WHEN k.is_done THEN x.counted_at END,
       CASE WHEN x.state = 'completed' AND k.variance <> 0 THEN 'adjusted'
            WHEN x.state = 'completed' THEN 'accepted' WHEN k.is_done THEN 'counted'
            ELSE 'open' END
FROM counted AS x
CROSS JOIN LATERAL (
    SELECT x.state IN ('completed', 'ready_to_review')
               OR (x.state = 'counting' AND x.line_number %% 2 = 0) AS is_done, x.variance
) AS k;

INSERT INTO ret.stock_movement
    (business_id, stock_movement_id, location_id, product_variant_id, occurred_at, movement_kind,
     from_state, to_state, quantity, unit_cost, source_kind, source_id)
SELECT l.business_id, md5('counted ' || l.cycle_count_line_id)::uuid, c.location_id,
       l.product_variant_id, c.completed_at, 'count',
       CASE WHEN l.variance_qty < 0 THEN 'available' ELSE 'none' END,
       CASE WHEN l.variance_qty < 0 THEN 'none' ELSE 'available' END, abs(l.variance_qty),
       round(l.variance_value / l.variance_qty, 2), 'count', c.cycle_count_id
FROM ret.cycle_count AS c
JOIN ret.cycle_count_line AS l
    ON l.business_id = c.business_id AND l.cycle_count_id = c.cycle_count_id
WHERE c.business_id = %(business_id)s AND c.state = 'completed' AND l.variance_qty <> 0
ORDER BY c.completed_at, c.location_id, l.product_variant_id, l.line_number;

UPDATE ret.stock_level AS s
SET last_counted_at = n.counted_at
FROM (
    SELECT c.location_id, l.product_variant_id, max(l.counted_at) AS counted_at
    FROM ret.cycle_count AS c
    JOIN ret.cycle_count_line AS l
        ON l.business_id = c.business_id AND l.cycle_count_id = c.cycle_count_id
    WHERE c.business_id = %(business_id)s AND c.state = 'completed'
    GROUP BY c.location_id, l.product_variant_id
) AS n
WHERE s.business_id = %(business_id)s AND s.location_id = n.location_id
  AND s.product_variant_id = n.product_variant_id AND s.consignment_agreement_id IS NULL;

-- Yesterday's proposals were decided, what was left of them expires with today's.
SELECT ret.suggest_replenishment(l.location_id, %(as_of)s - interval '30 hours')
FROM ret.location AS l
WHERE l.business_id = %(business_id)s
ORDER BY l.location_id;

UPDATE ret.replenishment_suggestion AS s
SET state = n.state, decided_at = %(as_of)s - interval '27 hours',
    accepted_qty = CASE n.state WHEN 'accepted' THEN s.suggested_qty
                                WHEN 'changed' THEN s.suggested_qty * 2 END
FROM (
    SELECT x.replenishment_suggestion_id,
           CASE ('x' || substr(md5(x.replenishment_rule_id::text), 1, 7))::bit(28)::integer %% 20
               WHEN 0 THEN 'rejected' WHEN 1 THEN 'rejected' WHEN 2 THEN 'changed'
               WHEN 3 THEN 'changed' WHEN 4 THEN 'proposed' WHEN 5 THEN 'proposed'
               ELSE 'accepted' END AS state
    FROM ret.replenishment_suggestion AS x
    WHERE x.business_id = %(business_id)s
) AS n
WHERE s.business_id = %(business_id)s
  AND s.replenishment_suggestion_id = n.replenishment_suggestion_id AND n.state <> 'proposed';

SELECT ret.suggest_replenishment(l.location_id, %(as_of)s - interval '6 hours')
FROM ret.location AS l
WHERE l.business_id = %(business_id)s
ORDER BY l.location_id;

-- Their keys are those that another fill gives them.
UPDATE ret.replenishment_suggestion AS s
SET replenishment_suggestion_id = md5('suggested ' || s.replenishment_rule_id || s.run_at)::uuid
WHERE s.business_id = %(business_id)s;
