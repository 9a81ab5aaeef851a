SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- Whoever fills later inserts into ret.stock_movement and nothing else: the ledger carries it into
-- levels and lots, in the order of the INSERT. A sale takes from 'available' to 'none' or, by way
-- of 'committed', when it is shipped. 84_stock_on_hand.sql adds to the opening stock what all that
-- needs, so that no level is ever below zero in the order of time.

CREATE TEMPORARY TABLE stocked ON COMMIT DROP AS
SELECT v.business_id, v.product_variant_id, v.sku, v.abc_class, p.tracking,
       round(greatest(coalesce(s.last_cost, nullif(v.standard_cost, 0), 5), 0.5), 2) AS cost,
       s.supplier_id, row_number() OVER (ORDER BY v.sku)::integer AS place,
       count(*) OVER ()::integer AS variants
FROM ret.product_variant AS v
JOIN ret.product AS p
    ON p.business_id = v.business_id AND p.product_id = v.product_id
   AND p.product_kind IN ('simple', 'configurable')
LEFT JOIN ret.supplier_product AS s
    ON s.business_id = v.business_id AND s.product_variant_id = v.product_variant_id
   AND s.is_preferred
WHERE v.business_id = %(business_id)s;

CREATE TEMPORARY TABLE house ON COMMIT DROP AS
SELECT l.location_id, l.location_code, l.location_kind,
       l.location_id = first_value(l.location_id) OVER (
           ORDER BY (l.location_kind = 'warehouse') DESC, l.location_code) AS is_source,
       row_number() OVER (ORDER BY l.location_code)::integer AS place,
       row_number() OVER (ORDER BY (l.location_kind = 'warehouse') DESC, l.location_code)::integer
           - 1 AS store_no,
       count(*) OVER ()::integer - 1 AS stores
FROM ret.location AS l
WHERE l.business_id = %(business_id)s AND l.location_kind <> 'virtual'
  AND l.status IN ('open', 'suspended');

CREATE TEMPORARY TABLE colleague ON COMMIT DROP AS
SELECT u.user_account_id, row_number() OVER (ORDER BY u.user_account_id)::integer - 1 AS place,
       count(*) OVER ()::integer AS users
FROM user_mgmt.user_account AS u
WHERE u.business_id = %(business_id)s;

ANALYZE stocked;
ANALYZE house;
ANALYZE colleague;

-- Two lots of what is tracked by lot: the older goes first.
INSERT INTO ret.stock_lot
    (business_id, stock_lot_id, product_variant_id, location_id, supplier_id, lot_number,
     manufactured_on, expires_on, best_before_on, received_on, unit_cost)
SELECT v.business_id, md5('lot ' || n || v.product_variant_id || h.location_id)::uuid,
       v.product_variant_id, h.location_id, v.supplier_id,
       'L' || to_char(%(as_of)s::date - 280 + n * 60, 'YYMMDD') || '-' || v.place,
       %(as_of)s::date - 280 + n * 60, %(as_of)s::date + n * 120 + v.place %% 40,
       %(as_of)s::date + n * 120 + v.place %% 40 - 14, %(as_of)s::date - 130, v.cost
FROM stocked AS v
CROSS JOIN house AS h
CROSS JOIN generate_series(1, 2) AS n
WHERE v.tracking = 'lot';

-- The books open: best sellers lie deep, the warehouse holds for all stores.
CREATE TEMPORARY TABLE opening ON COMMIT DROP AS
SELECT md5('opens ' || v.product_variant_id || h.location_id || o.lot)::uuid AS stock_movement_id,
       h.location_id, v.product_variant_id, t.stock_lot_id, o.quantity, v.cost,
       row_number() OVER (ORDER BY h.location_id, v.product_variant_id, o.lot) AS place
FROM stocked AS v
CROSS JOIN house AS h
CROSS JOIN LATERAL (
    SELECT ('x' || substr(md5(v.sku || h.location_code), 1, 7))::bit(28)::integer AS draw
) AS d
CROSS JOIN LATERAL (
    SELECT n AS lot, CASE WHEN v.tracking = 'serial' THEN 3 + d.draw %% 4
                   ELSE (CASE v.abc_class WHEN 'a' THEN 24 + d.draw %% 30
                                          WHEN 'b' THEN 12 + d.draw %% 12
                                          ELSE 8 + d.draw %% 8 END)
                        * CASE WHEN h.is_source THEN 4 ELSE 1 END
                        / CASE WHEN v.tracking = 'lot' THEN 2 ELSE 1 END END AS quantity
    FROM generate_series(1, CASE WHEN v.tracking = 'lot' THEN 2 ELSE 1 END) AS n
) AS o
LEFT JOIN ret.stock_lot AS t
    ON t.business_id = v.business_id AND v.tracking = 'lot'
   AND t.stock_lot_id = md5('lot ' || o.lot || v.product_variant_id || h.location_id)::uuid;

-- How a movement finds its level is planned once: not while there is hardly any.
INSERT INTO ret.stock_movement
    (business_id, stock_movement_id, location_id, product_variant_id, stock_lot_id, occurred_at,
     movement_kind, from_state, to_state, quantity, unit_cost, source_kind)
SELECT %(business_id)s, o.stock_movement_id, o.location_id, o.product_variant_id, o.stock_lot_id,
       %(as_of)s - interval '130 days', 'adjustment', 'none', 'available', o.quantity, o.cost,
       'adjustment'
FROM opening AS o
WHERE o.place <= 300
ORDER BY o.place;
INSERT INTO ret.stock_movement
    (business_id, stock_movement_id, location_id, product_variant_id, stock_lot_id, occurred_at,
     movement_kind, from_state, to_state, quantity, unit_cost, source_kind)
SELECT %(business_id)s, o.stock_movement_id, o.location_id, o.product_variant_id, o.stock_lot_id,
       %(as_of)s - interval '130 days', 'adjustment', 'none', 'available', o.quantity, o.cost,
       'adjustment'
FROM opening AS o
WHERE o.place > 300
ORDER BY o.place;

-- Consignors leave a few pieces in every store.
INSERT INTO ret.stock_movement
    (business_id, stock_movement_id, location_id, product_variant_id, consignment_agreement_id,
     occurred_at, movement_kind, from_state, to_state, quantity, unit_cost, source_kind)
SELECT a.business_id,
       md5('consigned ' || a.consignment_agreement_id || v.product_variant_id
           || h.location_id)::uuid, h.location_id, v.product_variant_id,
       a.consignment_agreement_id, %(as_of)s - interval '80 days', 'consignment_in', 'none',
       'available', 6, v.cost, 'receipt'
FROM (
    SELECT x.business_id, x.consignment_agreement_id,
           row_number() OVER (ORDER BY x.agreement_number)::integer AS place
    FROM ret.consignment_agreement AS x
    WHERE x.business_id = %(business_id)s AND x.state = 'active'
) AS a
JOIN stocked AS v ON v.tracking = 'none' AND (v.place + a.place * 3) %% 40 < 4
JOIN house AS h ON NOT h.is_source
ORDER BY h.location_id, v.product_variant_id, a.consignment_agreement_id;

-- Every piece with a number of its own.
INSERT INTO ret.serial_unit
    (business_id, serial_unit_id, product_variant_id, location_id, serial_number, imei, state,
     received_at, warranty_months, unit_cost, activation_code_hash)
SELECT v.business_id, md5('unit ' || n || v.product_variant_id || l.location_id)::uuid,
       v.product_variant_id, l.location_id,
       'SN' || lpad(v.place::text, 5, '0') || '-' || h.location_code || '-'
           || lpad(n::text, 3, '0'), NULL, 'in_stock', %(as_of)s - interval '130 days', 24, v.cost,
       NULL
FROM stocked AS v
JOIN ret.stock_level AS l
    ON l.business_id = v.business_id AND l.product_variant_id = v.product_variant_id
   AND l.consignment_agreement_id IS NULL
JOIN house AS h ON h.location_id = l.location_id
CROSS JOIN LATERAL generate_series(1, l.on_hand_qty::integer) AS n
WHERE v.tracking = 'serial';

-- Stores are refilled from the warehouse; the last days' transfers are still on their way.
INSERT INTO ret.stock_transfer
    (business_id, stock_transfer_id, from_location_id, to_location_id, requested_by_user_id,
     transfer_number, transfer_kind, state, requested_at, shipped_at, expected_at, received_at,
     carrier_name, tracking_number, carton_count)
SELECT %(business_id)s, md5('transfer ' || n.place || %(business_id)s)::uuid, w.location_id,
       h.location_id, u.user_account_id, 'TR-' || lpad(n.place::text, 5, '0'),
       CASE n.place %% 12 WHEN 5 THEN 'rebalancing' WHEN 11 THEN 'customer_order'
            ELSE 'replenishment' END,
       n.state, n.moment,
       CASE WHEN n.state IN ('in_transit', 'received') THEN n.moment + interval '20 hours' END,
       n.moment + interval '44 hours',
       CASE WHEN n.state = 'received'
            THEN n.moment + (40 + n.place %% 6) * interval '1 hour' END,
       'Own van', 'VAN-' || n.place, 2 + n.place %% 4
FROM (
    SELECT x AS place,
           CASE WHEN x > m.most - 2 THEN 'requested' WHEN x = m.most - 2 THEN 'approved'
                WHEN x = m.most - 3 THEN 'picking' WHEN x > m.most - 6 THEN 'in_transit'
                WHEN x %% 50 = 7 THEN 'cancelled' ELSE 'received' END AS state,
           CASE WHEN x > m.most - 4 THEN %(as_of)s - (m.most - x + 2) * interval '5 hours'
                WHEN x > m.most - 6 THEN %(as_of)s - (m.most - x + 22) * interval '1 hour'
                ELSE %(as_of)s - interval '85 days'
                     + (82 * 24 * (x - 1) / (m.most - 6)) * interval '1 hour' END AS moment
    FROM (SELECT greatest(14, max(s.variants) / 16) AS most FROM stocked AS s) AS m
    CROSS JOIN LATERAL generate_series(1, m.most) AS x
) AS n
JOIN house AS w ON w.is_source
JOIN house AS h ON NOT h.is_source AND h.store_no = 1 + n.place %% h.stores
JOIN colleague AS u ON u.place = n.place %% u.users;

-- Nine lines each; four in a hundred do not come in full.
INSERT INTO ret.stock_transfer_line
    (business_id, stock_transfer_line_id, stock_transfer_id, product_variant_id, line_number,
     requested_qty, shipped_qty, received_qty, damaged_qty, cancelled_qty, unit_cost,
     variance_reason)
SELECT k.business_id, md5('line ' || k.line_number || k.stock_transfer_id)::uuid,
       k.stock_transfer_id, k.product_variant_id, k.line_number, k.asked,
       CASE WHEN k.state IN ('in_transit', 'received') THEN k.asked ELSE 0 END,
       CASE WHEN k.state = 'received' THEN k.asked - (k.draw %% 25 = 0)::integer ELSE 0 END,
       CASE WHEN k.state = 'received' AND k.draw %% 50 = 0 THEN 1 ELSE 0 END,
       CASE WHEN k.state = 'cancelled' THEN k.asked ELSE 0 END, k.cost,
       CASE WHEN k.state <> 'received' OR k.draw %% 25 <> 0 THEN 'none'
            WHEN k.draw %% 50 = 0 THEN 'damaged' ELSE 'short' END
FROM (
    SELECT t.business_id, t.stock_transfer_id, t.state, v.product_variant_id, v.cost,
           row_number() OVER (PARTITION BY t.stock_transfer_id ORDER BY v.place) AS line_number,
           3 + (v.place + length(t.state)) %% 4 AS asked,
           ('x' || substr(md5(t.transfer_number || v.sku), 1, 7))::bit(28)::integer AS draw
    FROM (
        SELECT x.*, substr(x.transfer_number, 4)::integer AS place
        FROM ret.stock_transfer AS x
        WHERE x.business_id = %(business_id)s
    ) AS t
    JOIN (
        SELECT x.*, row_number() OVER (ORDER BY x.sku)::integer - 1 AS plain,
               count(*) OVER ()::integer AS plains
        FROM stocked AS x
        WHERE x.tracking = 'none'
    ) AS v ON (v.plain - t.place * 9 %% v.plains + v.plains) %% v.plains < 9
) AS k;

UPDATE ret.stock_transfer AS t
SET total_cost = n.cost
FROM (
    SELECT l.stock_transfer_id, sum(l.shipped_qty * l.unit_cost) AS cost
    FROM ret.stock_transfer_line AS l
    WHERE l.business_id = %(business_id)s
    GROUP BY l.stock_transfer_id
) AS n
WHERE t.business_id = %(business_id)s AND t.stock_transfer_id = n.stock_transfer_id;

-- Damage, theft, samples and what turned up again, entered by one and approved by another.
INSERT INTO ret.stock_adjustment
    (business_id, stock_adjustment_id, entered_by_user_id, approved_by_user_id, location_id,
     adjustment_number, reason, entered_at, approved_at, police_report_ref, state)
SELECT %(business_id)s, md5('adjustment ' || n.place || %(business_id)s)::uuid, u.user_account_id,
       CASE WHEN n.state IN ('posted', 'rejected') THEN b.user_account_id END, h.location_id,
       'ADJ-' || lpad(n.place::text, 5, '0'), n.reason, n.moment,
       CASE WHEN n.state = 'posted' THEN n.moment + interval '90 minutes' END,
       CASE WHEN n.reason = 'theft_known' THEN 'PR-' || (70000 + n.place * 13) END, n.state
FROM (
    SELECT x AS place,
           split_part('damage,theft_unknown,damage,theft_known,found,own_use,damage,data_error,'
                      || 'donation,theft_unknown', ',', 1 + x %% 10) AS reason,
           CASE WHEN x = m.most THEN 'draft' WHEN x %% 20 = 19 OR x = m.most - 1
                THEN 'pending_approval' WHEN x %% 20 = 9 THEN 'rejected'
                ELSE 'posted' END AS state,
           %(as_of)s - interval '84 days' + (83 * 24 * x / (m.most + 1)) * interval '1 hour'
               AS moment
    FROM (SELECT greatest(10, max(s.variants) / 20) AS most FROM stocked AS s) AS m
    CROSS JOIN LATERAL generate_series(1, m.most) AS x
) AS n
JOIN house AS h ON h.place = 1 + n.place %% (h.stores + 1)
JOIN colleague AS u ON u.place = n.place %% u.users
JOIN colleague AS b ON b.place = (n.place + 1) %% b.users;

INSERT INTO ret.stock_adjustment_line
    (business_id, stock_adjustment_line_id, stock_adjustment_id, product_variant_id, line_number,
     quantity_delta, unit_cost, note)
SELECT a.business_id, md5('line ' || n || a.stock_adjustment_id)::uuid, a.stock_adjustment_id,
       v.product_variant_id, n,
       CASE WHEN a.reason = 'found' THEN 1 WHEN a.reason = 'data_error' AND n %% 2 = 0 THEN 1
            ELSE -1 - (a.place + n) %% 2 END, v.cost,
       CASE a.reason WHEN 'damage' THEN 'Packaging torn' WHEN 'own_use' THEN 'For the window' END
FROM (
    SELECT x.*, substr(x.adjustment_number, 5)::integer AS place
    FROM ret.stock_adjustment AS x
    WHERE x.business_id = %(business_id)s
) AS a
CROSS JOIN LATERAL generate_series(1, 2 + a.place %% 4) AS n
JOIN (
    SELECT x.*, row_number() OVER (ORDER BY x.sku)::integer - 1 AS plain,
           count(*) OVER ()::integer AS plains
    FROM stocked AS x
    WHERE x.tracking = 'none'
) AS v ON v.plain = (a.place * 17 + n * 5) %% v.plains;

-- What transfers and adjustments moved, in the order of time.
INSERT INTO ret.stock_movement
    (business_id, stock_movement_id, location_id, product_variant_id, occurred_at, movement_kind,
     from_state, to_state, quantity, unit_cost, source_kind, source_id)
SELECT %(business_id)s, md5('moves ' || m.step || m.line)::uuid, m.location_id,
       m.product_variant_id, m.moment, m.kind, m.from_state, m.to_state, m.quantity, m.unit_cost,
       m.source_kind, m.source_id
FROM (
    SELECT l.stock_transfer_line_id AS line, s.step, s.location_id, l.product_variant_id, s.moment,
           s.kind, s.from_state, s.to_state, s.quantity, l.unit_cost, 'transfer' AS source_kind,
           t.stock_transfer_id AS source_id
    FROM ret.stock_transfer AS t
    JOIN ret.stock_transfer_line AS l
        ON l.business_id = t.business_id AND l.stock_transfer_id = t.stock_transfer_id
    CROSS JOIN LATERAL (VALUES
        (1, t.from_location_id, t.shipped_at, 'transfer_out', 'available', 'none', l.shipped_qty),
        (2, t.to_location_id, t.shipped_at, 'transfer_in', 'none', 'incoming', l.shipped_qty),
        (3, t.to_location_id, t.received_at, 'transfer_in', 'incoming', 'available',
         l.received_qty),
        (4, t.to_location_id, t.received_at, 'transfer_in', 'incoming', 'damaged', l.damaged_qty),
        (5, t.to_location_id, t.received_at, 'write_off', 'incoming', 'none',
         l.shipped_qty - l.received_qty - l.damaged_qty)
    ) AS s (step, location_id, moment, kind, from_state, to_state, quantity)
    WHERE t.business_id = %(business_id)s AND s.moment IS NOT NULL AND s.quantity > 0
    UNION ALL
    SELECT l.stock_adjustment_line_id, 6, a.location_id, l.product_variant_id, a.approved_at,
           CASE WHEN l.quantity_delta > 0 OR a.reason = 'data_error' THEN 'adjustment'
                WHEN a.reason = 'damage' THEN 'damage' ELSE 'write_off' END,
           CASE WHEN l.quantity_delta < 0 THEN 'available' ELSE 'none' END,
           CASE WHEN l.quantity_delta > 0 THEN 'available'
                WHEN a.reason = 'damage' THEN 'damaged' ELSE 'none' END,
           abs(l.quantity_delta), l.unit_cost, 'adjustment', a.stock_adjustment_id
    FROM ret.stock_adjustment AS a
    JOIN ret.stock_adjustment_line AS l
        ON l.business_id = a.business_id AND l.stock_adjustment_id = a.stock_adjustment_id
    WHERE a.business_id = %(business_id)s AND a.state = 'posted'
) AS m
ORDER BY m.moment, m.step, m.line;

-- What could be sold before and after each line that was posted.
UPDATE ret.stock_adjustment_line AS l
SET before_qty = n.before, after_qty = n.before + l.quantity_delta
FROM (
    SELECT l.stock_adjustment_line_id,
           (SELECT sum(m.quantity * ((m.to_state = 'available')::integer
                                     - (m.from_state = 'available')::integer))
            FROM ret.stock_movement AS m
            WHERE m.business_id = p.business_id AND m.location_id = p.location_id
              AND m.product_variant_id = p.product_variant_id
              AND m.consignment_agreement_id IS NULL AND m.ledger_no < p.ledger_no) AS before
    FROM ret.stock_adjustment_line AS l
    JOIN ret.stock_movement AS p
        ON p.business_id = l.business_id
       AND p.stock_movement_id = md5('moves 6' || l.stock_adjustment_line_id)::uuid
    WHERE l.business_id = %(business_id)s
) AS n
WHERE l.business_id = %(business_id)s
  AND l.stock_adjustment_line_id = n.stock_adjustment_line_id;

-- Stores are refilled from the warehouse, the warehouse by the preferred supplier. One rule in
-- nine asks for more than there is, for the season.
INSERT INTO ret.replenishment_rule
    (business_id, replenishment_rule_id, source_location_id, location_id, product_variant_id,
     supplier_id, method, min_qty, max_qty, reorder_point, safety_stock_qty, days_of_cover,
     review_every_days, order_multiple, service_level_pct, is_active)
SELECT v.business_id, md5('rule ' || v.product_variant_id || h.location_id)::uuid,
       CASE WHEN NOT h.is_source THEN w.location_id END, h.location_id, v.product_variant_id,
       CASE WHEN h.is_source THEN v.supplier_id END, k.method,
       CASE WHEN k.method IN ('min_max', 'presentation') THEN k.least END,
       CASE WHEN k.method IN ('min_max', 'presentation', 'reorder_point') THEN k.least * 3 END,
       CASE WHEN k.method = 'reorder_point' THEN k.least END,
       CASE WHEN v.abc_class = 'a' THEN 2 END,
       CASE WHEN k.method = 'days_of_cover' THEN 14 END,
       CASE WHEN h.is_source THEN 7 ELSE 3 END, CASE WHEN h.is_source THEN 6 ELSE 1 END,
       CASE v.abc_class WHEN 'a' THEN 98 WHEN 'b' THEN 95 ELSE 90 END, true
FROM stocked AS v
CROSS JOIN house AS h
JOIN house AS w ON w.is_source
CROSS JOIN LATERAL (
    SELECT ('x' || substr(md5(v.sku || h.location_code || 'rule'), 1, 7))::bit(28)::integer AS draw
) AS d
CROSS JOIN LATERAL (
    SELECT split_part('min_max,reorder_point,days_of_cover,demand_driven,presentation', ',',
                      1 + d.draw %% 5) AS method,
           (CASE v.abc_class WHEN 'a' THEN 14 WHEN 'b' THEN 8 ELSE 4 END + d.draw %% 6
            + CASE WHEN d.draw %% 9 = 0 THEN 30 ELSE 0 END)
           * CASE WHEN h.is_source THEN 3 ELSE 1 END AS least
) AS k
WHERE CASE WHEN h.is_source THEN v.supplier_id IS NOT NULL
           ELSE v.abc_class <> 'c' OR d.draw %% 7 = 0 END;

-- Online promises keep a piece or two of what sells best in a store.
UPDATE ret.stock_level AS l
SET safety_stock_qty = CASE v.abc_class WHEN 'a' THEN 2 ELSE 1 END
FROM stocked AS v
JOIN house AS h ON NOT h.is_source
WHERE l.business_id = %(business_id)s AND l.product_variant_id = v.product_variant_id
  AND l.location_id = h.location_id AND v.abc_class <> 'c'
  AND l.consignment_agreement_id IS NULL;
