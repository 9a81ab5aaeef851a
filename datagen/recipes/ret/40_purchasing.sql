SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- Two orders for every supplier, more for one that brings much. Of twelve one is at the dock now,
-- two are on their way; of 24 one is a draft, one waits for approval, one was cancelled, of one
-- part is to come. The rest arrived: 88 in a hundred in time, but for one supplier who seldom is.
CREATE TEMPORARY TABLE ordering ON COMMIT DROP AS
SELECT p.*, p.ordered_at::date + p.lead - 3 AS window_start,
       p.ordered_at::date + p.lead AS window_end,
       CASE WHEN p.fate = 'dock' THEN %(as_of)s - interval '3 hours'
            WHEN p.fate IN ('done', 'partly')
            THEN date_trunc('day', p.ordered_at, 'UTC')
                 + (p.lead + CASE WHEN p.draw %% 100 < p.late_pct THEN 1 + p.draw %% 5
                                  ELSE -(p.draw %% 4) END) * interval '1 day'
                 + (6 + p.draw %% 5) * interval '1 hour' END AS arrived_at,
       p.fate IN ('done', 'partly', 'dock', 'way') AND p.place * 7 %% 10 < 8 AS is_announced
FROM (
    SELECT n.*, CASE WHEN n.fate = 'dock'
                     THEN %(as_of)s - (n.lead - n.draw %% 2) * interval '1 day' - interval '5 hours'
                     WHEN n.fate = 'way'
                     THEN %(as_of)s - (n.lead / 2 + 1) * interval '1 day' - interval '5 hours'
                     WHEN n.fate IN ('draft', 'pending')
                     THEN %(as_of)s - (1 + n.draw %% 3) * interval '1 day' - interval '2 hours'
                     ELSE %(as_of)s - (n.lead + 8 + n.draw %% 48) * interval '1 day'
                          - interval '4 hours' END AS ordered_at
    FROM (
        SELECT s.business_id, md5('order ' || k.number || s.supplier_id)::uuid AS purchase_order_id,
               s.supplier_id, s.supplier_kind, s.currency, s.edi_enabled, s.is_slow,
               s.default_lead_days + 2 AS lead,
               CASE WHEN s.is_slow THEN 60 ELSE 11 END AS late_pct,
               row_number() OVER w::integer AS place, d.draw,
               CASE row_number() OVER w %% 12
                   WHEN 5 THEN 'dock' WHEN 6 THEN 'way' WHEN 7 THEN 'way'
                   ELSE CASE row_number() OVER w %% 24
                        WHEN 8 THEN 'draft' WHEN 9 THEN 'pending' WHEN 10 THEN 'cancelled'
                        WHEN 11 THEN 'partly' ELSE 'done' END END AS fate
        FROM (
            SELECT x.business_id, x.supplier_id, x.supplier_code, x.supplier_kind, x.currency,
                   x.edi_enabled, x.default_lead_days, count(*) AS offers,
                   x.supplier_code = min(x.supplier_code) FILTER (
                       WHERE x.supplier_kind = 'distributor') OVER () AS is_slow
            FROM ret.supplier AS x
            JOIN ret.supplier_product AS o
                ON o.business_id = x.business_id AND o.supplier_id = x.supplier_id
            WHERE x.business_id = %(business_id)s AND x.status = 'active'
            GROUP BY x.business_id, x.supplier_id, x.supplier_code, x.supplier_kind, x.currency,
                     x.edi_enabled, x.default_lead_days
        ) AS s
        CROSS JOIN LATERAL generate_series(1, least(10, 2 + s.offers / 25)) AS k (number)
        CROSS JOIN LATERAL (
            SELECT ('x' || substr(md5(s.supplier_id || '/' || k.number), 1, 7))::bit(28)::integer
                AS draw
        ) AS d
        WINDOW w AS (ORDER BY k.number, s.supplier_code)
    ) AS n
) AS p;

ANALYZE ordering;

INSERT INTO ret.purchase_order
    (business_id, purchase_order_id, buyer_user_id, approved_by_user_id, supplier_id, location_id,
     po_number, po_kind, state, ordered_at, acknowledged_at, ship_window_start, ship_window_end,
     cancel_after_on, currency, freight_total)
SELECT o.business_id, o.purchase_order_id, b.user_account_id,
       CASE WHEN o.fate NOT IN ('draft', 'pending') THEN a.user_account_id END, o.supplier_id,
       l.location_id, 'PO-' || lpad(o.place::text, 6, '0'),
       CASE WHEN o.supplier_kind = 'importer' THEN 'import'
            WHEN o.place %% 15 = 3 THEN 'special_order' ELSE 'stock' END,
       CASE o.fate WHEN 'draft' THEN 'draft' WHEN 'pending' THEN 'pending_approval'
                   WHEN 'cancelled' THEN 'cancelled' WHEN 'partly' THEN 'partly_received'
                   WHEN 'dock' THEN 'acknowledged'
                   WHEN 'way' THEN CASE WHEN o.draw %% 3 = 0 THEN 'sent' ELSE 'acknowledged' END
                   ELSE CASE WHEN o.arrived_at < %(as_of)s - interval '14 days' THEN 'closed'
                             ELSE 'received' END END,
       CASE WHEN o.fate NOT IN ('draft', 'pending') THEN o.ordered_at END,
       CASE WHEN o.fate IN ('dock', 'partly', 'done') OR (o.fate = 'way' AND o.draw %% 3 <> 0)
            THEN o.ordered_at + (2 + o.draw %% 20) * interval '1 hour' END,
       o.window_start, o.window_end, o.window_end + 21, o.currency,
       CASE WHEN o.draw %% 4 = 0 THEN 45 ELSE 0 END
FROM ordering AS o
JOIN (
    SELECT x.location_id, row_number() OVER (ORDER BY x.location_code) - 1 AS place,
           count(*) OVER () AS places
    FROM ret.location AS x
    WHERE x.business_id = %(business_id)s AND x.location_kind <> 'virtual' AND x.status = 'open'
) AS l ON l.place = CASE WHEN o.draw %% 10 < 6 THEN l.places - 1 ELSE o.draw / 10 %% l.places END
JOIN (
    SELECT x.user_account_id, row_number() OVER (ORDER BY x.user_account_id) - 1 AS place,
           count(*) OVER () AS users
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = %(business_id)s
) AS b ON b.place = o.draw %% least(b.users, 3)
JOIN (
    SELECT x.user_account_id, row_number() OVER (ORDER BY x.user_account_id) - 1 AS place,
           count(*) OVER () AS users
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = %(business_id)s
) AS a ON a.place = (b.place + 1) %% a.users AND a.users > 1;

-- Up to a dozen products an order, in cartons of six. In one line of eleven something is wrong:
-- too little, damaged, without labels, or a little too much.
CREATE TEMPORARY TABLE ordered_line ON COMMIT DROP AS
SELECT n.business_id, n.purchase_order_id,
       md5('line ' || n.purchase_order_id || n.supplier_product_id)::uuid AS purchase_order_line_id,
       n.supplier_product_id, n.product_variant_id, n.line_number::integer, n.tracking, n.draw,
       n.ordered_qty, n.unit_cost, n.fate, n.is_announced, n.arrived_at, n.location_id,
       CASE WHEN n.fate <> 'done' AND n.fate <> 'partly' THEN NULL
            WHEN n.fate = 'partly' AND n.line_number %% 2 = 0 THEN 'to_come'
            WHEN n.tracking = 'serial' THEN 'none'
            WHEN n.wrong <= greatest(3, n.arrived / 50) THEN 'damaged'
            WHEN n.wrong <= greatest(5, n.arrived / 50 + n.arrived / 30)
                 OR (n.is_slow AND n.draw %% 4 = 0) THEN 'short'
            WHEN n.wrong <= greatest(6, n.arrived / 50 + n.arrived / 30 + n.arrived / 80)
            THEN 'unlabelled'
            WHEN n.ordered_qty >= 50 AND n.draw %% 9 = 0 THEN 'over'
            ELSE 'none' END AS outcome
FROM (
    SELECT l.*, q.ordered_qty,
           row_number() OVER (PARTITION BY l.fate IN ('done', 'partly') AND l.tracking <> 'serial'
                              ORDER BY md5(l.purchase_order_id || ' ' || l.line_number)) AS wrong,
           count(*) OVER (PARTITION BY l.fate IN ('done', 'partly')
                                       AND l.tracking <> 'serial') AS arrived
    FROM (
        SELECT o.business_id, o.purchase_order_id, h.location_id, o.fate, o.is_announced,
               o.is_slow, o.arrived_at, p.supplier_product_id, p.product_variant_id,
               p.minimum_order_qty, p.last_cost AS unit_cost, r.tracking, v.abc_class,
               ('x' || substr(md5(o.purchase_order_id || '/' || p.supplier_sku), 1, 7)
                   )::bit(28)::integer AS draw,
               row_number() OVER (PARTITION BY o.purchase_order_id
                                  ORDER BY md5(o.purchase_order_id || p.supplier_sku)) AS line_number
        FROM ordering AS o
        JOIN ret.purchase_order AS h
            ON h.business_id = o.business_id AND h.purchase_order_id = o.purchase_order_id
        JOIN ret.supplier_product AS p
            ON p.business_id = o.business_id AND p.supplier_id = o.supplier_id
        JOIN ret.product_variant AS v
            ON v.business_id = p.business_id AND v.product_variant_id = p.product_variant_id
        JOIN ret.product AS r ON r.business_id = v.business_id AND r.product_id = v.product_id
    ) AS l
    CROSS JOIN LATERAL (
        SELECT CASE WHEN l.tracking = 'serial' THEN l.minimum_order_qty
                    ELSE l.minimum_order_qty + 6 * (l.draw %% 5)
                         + CASE l.abc_class WHEN 'a' THEN 30 ELSE 0 END END AS ordered_qty
    ) AS q
    WHERE l.line_number <= 12
) AS n;

ANALYZE ordered_line;

CREATE TEMPORARY TABLE came ON COMMIT DROP AS
SELECT l.*,
       CASE WHEN l.outcome = 'short' THEN l.ordered_qty - 6 * (1 + (l.ordered_qty > 12)::integer)
            WHEN l.outcome = 'over' THEN l.ordered_qty + 1
            WHEN l.outcome = 'to_come' OR l.outcome IS NULL THEN 0 ELSE l.ordered_qty END
           AS received_qty,
       CASE WHEN l.outcome = 'damaged' THEN 2 ELSE 0 END AS damaged_qty
FROM ordered_line AS l;

ANALYZE came;

INSERT INTO ret.purchase_order_line
    (business_id, purchase_order_line_id, purchase_order_id, supplier_product_id, line_number,
     ordered_qty, acknowledged_qty, shipped_qty, received_qty, cancelled_qty, unit_cost,
     discount_pct, promised_on, state)
SELECT c.business_id, c.purchase_order_line_id, c.purchase_order_id, c.supplier_product_id,
       c.line_number, c.ordered_qty, CASE WHEN o.acknowledged_at IS NOT NULL THEN c.ordered_qty END,
       CASE WHEN NOT c.is_announced THEN 0 WHEN c.fate IN ('way', 'dock') THEN c.ordered_qty
            ELSE c.received_qty END,
       n.accepted, n.cancelled, c.unit_cost, CASE WHEN c.draw %% 10 = 0 THEN 5 ELSE 0 END,
       CASE WHEN o.acknowledged_at IS NOT NULL THEN o.ship_window_end END,
       CASE WHEN n.accepted > 0 THEN CASE WHEN n.accepted + n.cancelled >= c.ordered_qty
                                          THEN 'received' ELSE 'partly_received' END
            WHEN n.cancelled = c.ordered_qty THEN 'cancelled'
            WHEN o.acknowledged_at IS NOT NULL THEN 'confirmed' ELSE 'open' END
FROM came AS c
JOIN ret.purchase_order AS o
    ON o.business_id = c.business_id AND o.purchase_order_id = c.purchase_order_id
CROSS JOIN LATERAL (
    -- What a whole delivery leaves open will not come any more.
    SELECT c.received_qty - c.damaged_qty AS accepted,
           CASE WHEN c.fate = 'cancelled' THEN c.ordered_qty
                WHEN c.fate = 'done'
                THEN greatest(c.ordered_qty - c.received_qty + c.damaged_qty, 0) ELSE 0 END
               AS cancelled
) AS n;

UPDATE ret.purchase_order AS o
SET subtotal = n.subtotal
FROM (
    SELECT l.purchase_order_id, sum(l.line_amount) AS subtotal
    FROM ret.purchase_order_line AS l
    WHERE l.business_id = %(business_id)s
    GROUP BY l.purchase_order_id
) AS n
WHERE o.business_id = %(business_id)s AND o.purchase_order_id = n.purchase_order_id;

-- Four deliveries in five are announced; of twenty notices one has faults, of ten one is late.
INSERT INTO ret.advance_ship_notice
    (business_id, advance_ship_notice_id, supplier_id, location_id, purchase_order_id, asn_number,
     transport, received_at, shipped_at, expected_at, carrier_name, bill_of_lading,
     tracking_number, carton_count, pallet_count, is_on_time, error_count, state)
SELECT o.business_id, md5('notice ' || o.purchase_order_id)::uuid, o.supplier_id, h.location_id,
       o.purchase_order_id, 'DA' || lpad(o.place::text, 7, '0'),
       CASE WHEN o.edi_enabled THEN 'edi' WHEN o.draw %% 3 = 0 THEN 'portal'
            WHEN o.draw %% 3 = 1 THEN 'api' ELSE 'email' END,
       t.shipped_at + CASE WHEN o.draw / 7 %% 10 = 0 THEN interval '16 hours'
                           ELSE interval '2 hours' END,
       t.shipped_at, t.expected_at,
       split_part('Blue Line Freight,Harbor Express,Prairie Carriers', ',', 1 + o.draw %% 3),
       'BL' || lpad((o.draw %% 1000000)::text, 8, '0'),
       'TR' || upper(substr(md5(o.purchase_order_id::text), 1, 10)),
       n.cartons, (n.cartons > 1)::integer, o.draw / 7 %% 10 <> 0,
       CASE WHEN o.draw / 11 %% 20 = 0 THEN 1 + o.draw %% 2 ELSE 0 END,
       CASE o.fate WHEN 'way' THEN 'validated' WHEN 'dock' THEN 'arrived'
            ELSE CASE WHEN o.arrived_at < %(as_of)s - interval '7 days' THEN 'closed'
                      ELSE 'arrived' END END
FROM ordering AS o
JOIN ret.purchase_order AS h
    ON h.business_id = o.business_id AND h.purchase_order_id = o.purchase_order_id
JOIN (
    SELECT c.purchase_order_id, count(DISTINCT (c.line_number + 2) / 3) AS cartons
    FROM came AS c
    WHERE c.received_qty > 0 OR c.fate IN ('way', 'dock')
    GROUP BY c.purchase_order_id
) AS n ON n.purchase_order_id = o.purchase_order_id
CROSS JOIN LATERAL (
    SELECT coalesce(o.arrived_at, %(as_of)s + interval '20 hours') - interval '28 hours'
               AS shipped_at,
           coalesce(o.arrived_at, %(as_of)s + interval '20 hours') AS expected_at
) AS t
WHERE o.is_announced;

-- A carton holds three lines; more than one stand on a pallet. The last digit of a code checks it.
INSERT INTO ret.asn_package
    (business_id, asn_package_id, parent_package_id, advance_ship_notice_id, sscc, package_kind,
     gross_weight_kg, length_cm, width_cm, height_cm, label_scanned_at, condition, sequence_no)
SELECT k.business_id, md5('package ' || k.number || k.purchase_order_id)::uuid,
       CASE WHEN k.number > 0 AND k.cartons > 1
            THEN md5('package 0' || k.purchase_order_id)::uuid END,
       md5('notice ' || k.purchase_order_id)::uuid,
       k.digits || (10 - (SELECT sum(substr(k.digits, g, 1)::integer
                                     * CASE g %% 2 WHEN 1 THEN 3 ELSE 1 END)
                          FROM generate_series(1, 17) AS g) %% 10) %% 10,
       CASE WHEN k.number = 0 THEN 'pallet' ELSE 'carton' END,
       CASE WHEN k.number = 0 THEN k.cartons * 14 + 22 ELSE 8 + k.draw %% 9 END,
       CASE WHEN k.number = 0 THEN 120 ELSE 60 END, CASE WHEN k.number = 0 THEN 80 ELSE 40 END,
       CASE WHEN k.number = 0 THEN 110 ELSE 35 END,
       CASE WHEN k.fate IN ('done', 'partly') THEN k.arrived_at + interval '70 minutes' END,
       CASE WHEN k.fate IN ('done', 'partly') THEN 'ok' ELSE 'unseen' END, k.number + 1
FROM (
    SELECT o.business_id, o.purchase_order_id, o.fate, o.arrived_at, o.draw, a.carton_count
               AS cartons, n.number,
           '3' || lpad((4012345 + o.place %% 7)::text, 7, '0')
           || lpad((o.place * 20 + n.number)::text, 9, '0') AS digits
    FROM ordering AS o
    JOIN ret.advance_ship_notice AS a
        ON a.business_id = o.business_id
       AND a.advance_ship_notice_id = md5('notice ' || o.purchase_order_id)::uuid
    JOIN (
        SELECT DISTINCT c.purchase_order_id, (c.line_number + 2) / 3 AS number
        FROM came AS c
        WHERE c.received_qty > 0 OR c.fate IN ('way', 'dock')
        UNION
        SELECT c.purchase_order_id, 0 FROM came AS c
    ) AS n ON n.purchase_order_id = o.purchase_order_id
          AND (n.number > 0 OR a.carton_count > 1)
) AS k
ORDER BY k.purchase_order_id, k.number;

INSERT INTO ret.asn_line
    (business_id, asn_line_id, asn_package_id, purchase_order_line_id, product_variant_id,
     line_number, shipped_qty, lot_number, expires_on, serials_doc, backorder_qty)
SELECT c.business_id, md5('announced ' || c.purchase_order_line_id)::uuid,
       md5('package ' || (c.line_number + 2) / 3 || c.purchase_order_id)::uuid,
       c.purchase_order_line_id, c.product_variant_id, c.line_number, n.shipped,
       CASE WHEN c.tracking = 'lot' THEN 'B' || lpad((c.draw %% 1000000)::text, 6, '0') END,
       CASE WHEN c.tracking = 'lot' THEN %(as_of)s::date + 150 + c.draw %% 120 END,
       CASE WHEN c.tracking = 'serial'
            THEN (SELECT jsonb_agg('R' || lpad(c.draw::text, 9, '0') || '-' || g ORDER BY g)
                  FROM generate_series(1, n.shipped::integer) AS g) END,
       CASE WHEN c.outcome = 'short' THEN c.ordered_qty - n.shipped ELSE 0 END
FROM came AS c
CROSS JOIN LATERAL (
    SELECT CASE WHEN c.fate IN ('way', 'dock') THEN c.ordered_qty ELSE c.received_qty END AS shipped
) AS n
WHERE c.is_announced AND n.shipped > 0;

-- What came is counted within hours; what arrived this morning is being checked.
INSERT INTO ret.goods_receipt
    (business_id, goods_receipt_id, received_by_user_id, location_id, supplier_id,
     purchase_order_id, advance_ship_notice_id, receipt_number, dock_door, arrived_at, started_at,
     completed_at, carrier_name, delivery_note_number, carton_count, state)
SELECT o.business_id, md5('receipt ' || o.purchase_order_id)::uuid, h.buyer_user_id,
       h.location_id, o.supplier_id, o.purchase_order_id, a.advance_ship_notice_id,
       'GR-' || lpad(o.place::text, 6, '0'), 'D' || 1 + o.draw %% 4, o.arrived_at,
       o.arrived_at + interval '1 hour',
       CASE WHEN o.fate <> 'dock'
            THEN o.arrived_at + (3 + o.draw %% 4) * interval '1 hour' END,
       coalesce(a.carrier_name, 'Supplier''s truck'), 'DN' || lpad(o.place::text, 6, '0'),
       coalesce(a.carton_count, 1 + o.draw %% 3),
       CASE o.fate WHEN 'dock' THEN 'checking' ELSE 'completed' END
FROM ordering AS o
JOIN ret.purchase_order AS h
    ON h.business_id = o.business_id AND h.purchase_order_id = o.purchase_order_id
LEFT JOIN ret.advance_ship_notice AS a
    ON a.business_id = o.business_id
   AND a.advance_ship_notice_id = md5('notice ' || o.purchase_order_id)::uuid
WHERE o.arrived_at IS NOT NULL;

-- What is tracked by lot came in a lot of its own.
INSERT INTO ret.stock_lot
    (business_id, stock_lot_id, product_variant_id, location_id, supplier_id, lot_number,
     expires_on, received_on, unit_cost)
SELECT c.business_id, md5('lot of ' || c.purchase_order_line_id)::uuid, c.product_variant_id,
       c.location_id, o.supplier_id, 'B' || lpad((c.draw %% 1000000)::text, 6, '0'),
       %(as_of)s::date + 150 + c.draw %% 120, c.arrived_at::date, c.unit_cost
FROM came AS c
JOIN ordering AS o ON o.purchase_order_id = c.purchase_order_id
WHERE c.tracking = 'lot' AND c.received_qty > 0;

INSERT INTO ret.goods_receipt_line
    (business_id, goods_receipt_line_id, goods_receipt_id, product_variant_id,
     purchase_order_line_id, asn_line_id, stock_lot_id, bin_location_id, line_number,
     expected_qty, received_qty, accepted_qty, damaged_qty, unit_cost, discrepancy, put_away_at)
SELECT c.business_id, md5('received ' || c.purchase_order_line_id)::uuid,
       md5('receipt ' || c.purchase_order_id)::uuid, c.product_variant_id,
       c.purchase_order_line_id,
       CASE WHEN c.is_announced THEN md5('announced ' || c.purchase_order_line_id)::uuid END,
       CASE WHEN c.tracking = 'lot' THEN md5('lot of ' || c.purchase_order_line_id)::uuid END,
       b.bin_location_id, c.line_number, c.ordered_qty, c.received_qty,
       c.received_qty - c.damaged_qty, c.damaged_qty,
       round(c.unit_cost * CASE WHEN c.draw %% 10 = 0 THEN 0.95 ELSE 1 END, 6), c.outcome,
       r.completed_at
FROM came AS c
JOIN ret.goods_receipt AS r
    ON r.business_id = c.business_id
   AND r.goods_receipt_id = md5('receipt ' || c.purchase_order_id)::uuid
LEFT JOIN (
    SELECT x.location_id, x.bin_location_id,
           row_number() OVER (PARTITION BY x.location_id ORDER BY x.bin_code) - 1 AS place,
           count(*) OVER (PARTITION BY x.location_id) AS bins
    FROM ret.bin_location AS x
    WHERE x.business_id = %(business_id)s AND x.zone IN ('backroom', 'overstock')
      AND x.status = 'active'
) AS b ON b.location_id = c.location_id AND b.place = c.draw %% b.bins
WHERE c.received_qty > 0;

-- Imports pay freight and duty, every fifth other delivery a forwarder.
INSERT INTO ret.landed_cost
    (business_id, landed_cost_id, goods_receipt_id, cost_kind, amount, currency, allocation_basis,
     reference_number, posted_at)
SELECT r.business_id, md5(k.kind || ' of ' || r.goods_receipt_id)::uuid, r.goods_receipt_id,
       k.kind, greatest(round(n.cost * k.part, 2), 5), o.currency, k.basis,
       'FW-' || lpad((o.place * 10 + k.number)::text, 7, '0'), r.started_at
FROM ret.goods_receipt AS r
JOIN ordering AS o ON o.purchase_order_id = r.purchase_order_id
JOIN (
    SELECT l.goods_receipt_id, sum(l.accepted_qty * l.unit_cost) AS cost
    FROM ret.goods_receipt_line AS l
    WHERE l.business_id = %(business_id)s
    GROUP BY l.goods_receipt_id
) AS n ON n.goods_receipt_id = r.goods_receipt_id
JOIN (VALUES (1, 'freight', 0.04, 'weight'), (2, 'duty', 0.065, 'value'),
             (3, 'insurance', 0.005, 'value')) AS k (number, kind, part, basis)
    ON o.supplier_kind = 'importer' OR (k.number = 1 AND o.place %% 5 = 1)
WHERE r.business_id = %(business_id)s AND r.state = 'completed';

UPDATE ret.goods_receipt_line AS l
SET landed_unit_cost = l.unit_cost + coalesce(n.share / nullif(l.accepted_qty, 0), 0)
FROM ret.goods_receipt_line AS x
JOIN ret.goods_receipt AS r
    ON r.business_id = x.business_id AND r.goods_receipt_id = x.goods_receipt_id
LEFT JOIN (
    SELECT s.goods_receipt_line_id, sum(s.share) AS share
    FROM ret.landed_cost_shares(ARRAY(SELECT y.goods_receipt_id
                                      FROM ret.goods_receipt AS y
                                      WHERE y.business_id = %(business_id)s)) AS s
    GROUP BY s.goods_receipt_line_id
) AS n ON n.goods_receipt_line_id = x.goods_receipt_line_id
WHERE l.business_id = %(business_id)s
  AND x.business_id = l.business_id AND x.goods_receipt_line_id = l.goods_receipt_line_id
  AND r.state = 'completed';

UPDATE ret.landed_cost AS c
SET allocated_amount = round(c.amount * c.exchange_rate, 2)
WHERE c.business_id = %(business_id)s;

UPDATE ret.goods_receipt AS r
SET total_units = n.units, total_cost = n.cost, has_discrepancy = n.differs
FROM (
    SELECT l.goods_receipt_id, sum(l.accepted_qty) AS units,
           round(sum(l.accepted_qty * l.landed_unit_cost), 2) AS cost,
           bool_or(l.discrepancy <> 'none') AS differs
    FROM ret.goods_receipt_line AS l
    WHERE l.business_id = %(business_id)s
    GROUP BY l.goods_receipt_id
) AS n
WHERE r.business_id = %(business_id)s AND r.goods_receipt_id = n.goods_receipt_id
  AND r.state = 'completed';

-- Units with numbers of their own, announced or read from the box.
INSERT INTO ret.serial_unit
    (business_id, serial_unit_id, product_variant_id, location_id, serial_number, state,
     received_at, warranty_months, unit_cost)
SELECT c.business_id, md5('unit ' || g || c.purchase_order_line_id)::uuid, c.product_variant_id,
       c.location_id, 'R' || lpad(c.draw::text, 9, '0') || '-' || g, 'in_stock', r.completed_at,
       24, l.landed_unit_cost
FROM came AS c
JOIN ret.goods_receipt AS r
    ON r.business_id = c.business_id
   AND r.goods_receipt_id = md5('receipt ' || c.purchase_order_id)::uuid
JOIN ret.goods_receipt_line AS l
    ON l.business_id = c.business_id
   AND l.goods_receipt_line_id = md5('received ' || c.purchase_order_line_id)::uuid
CROSS JOIN LATERAL generate_series(1, c.received_qty::integer) AS g
WHERE c.tracking = 'serial';

-- The ledger: on order when it is sent, on hand when it is counted, no longer expected when the
-- rest is cancelled.
INSERT INTO ret.stock_movement
    (business_id, stock_movement_id, location_id, product_variant_id, stock_lot_id,
     bin_location_id, occurred_at, movement_kind, from_state, to_state, quantity, unit_cost,
     source_kind, source_id, serial_number)
SELECT c.business_id, md5(k.what || k.number || ' ' || c.purchase_order_line_id)::uuid,
       c.location_id, c.product_variant_id, k.stock_lot_id, k.bin_location_id, k.occurred_at,
       'receipt', k.from_state, k.to_state, k.quantity, k.unit_cost, 'receipt', k.source_id,
       k.serial_number
FROM came AS c
JOIN ordering AS o ON o.purchase_order_id = c.purchase_order_id
LEFT JOIN ret.goods_receipt AS r
    ON r.business_id = c.business_id
   AND r.goods_receipt_id = md5('receipt ' || c.purchase_order_id)::uuid
LEFT JOIN ret.goods_receipt_line AS l
    ON l.business_id = c.business_id
   AND l.goods_receipt_line_id = md5('received ' || c.purchase_order_line_id)::uuid
CROSS JOIN LATERAL (
    SELECT 1 AS step, 'sent' AS what, 0 AS number, NULL::uuid AS stock_lot_id,
           NULL::uuid AS bin_location_id, o.ordered_at AS occurred_at, 'none' AS from_state,
           'incoming' AS to_state, c.ordered_qty AS quantity, c.unit_cost::numeric AS unit_cost,
           c.purchase_order_line_id AS source_id, NULL AS serial_number
    UNION ALL
    SELECT 2, 'in', g, l.stock_lot_id, l.bin_location_id, r.completed_at, 'incoming',
           'available', CASE WHEN c.tracking = 'serial' THEN 1
                             ELSE least(l.accepted_qty, c.ordered_qty) END, l.landed_unit_cost,
           r.goods_receipt_id,
           CASE WHEN c.tracking = 'serial'
                THEN 'R' || lpad(c.draw::text, 9, '0') || '-' || g END
    FROM generate_series(1, CASE WHEN c.tracking = 'serial' THEN l.accepted_qty::integer
                                 WHEN l.accepted_qty > 0 THEN 1 ELSE 0 END) AS g
    UNION ALL
    SELECT 3, 'more', 0, l.stock_lot_id, l.bin_location_id, r.completed_at, 'none', 'available',
           l.accepted_qty - c.ordered_qty, l.landed_unit_cost, r.goods_receipt_id, NULL
    WHERE l.accepted_qty > c.ordered_qty
    UNION ALL
    SELECT 4, 'damaged', 0, l.stock_lot_id, l.bin_location_id, r.completed_at, 'none', 'damaged',
           l.damaged_qty, l.landed_unit_cost, r.goods_receipt_id, NULL
    WHERE l.damaged_qty > 0
    UNION ALL
    SELECT 5, 'rest', 0, NULL, NULL, coalesce(r.completed_at, o.ordered_at + interval '2 days'),
           'incoming', 'none', p.cancelled_qty, c.unit_cost, c.purchase_order_line_id, NULL
    FROM ret.purchase_order_line AS p
    WHERE p.business_id = c.business_id
      AND p.purchase_order_line_id = c.purchase_order_line_id AND p.cancelled_qty > 0
) AS k
WHERE o.fate NOT IN ('draft', 'pending')
ORDER BY k.occurred_at, c.location_id, c.product_variant_id, c.purchase_order_line_id, k.step,
         k.number;
