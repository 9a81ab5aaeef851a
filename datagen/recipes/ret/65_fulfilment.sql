SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

UPDATE ret.sourcing_rule
SET excluded_regions_doc = '["AK", "HI"]'
WHERE business_id = %(business_id)s AND strategy IN ('nearest', 'single_package');

UPDATE ret.shipping_zone
SET postal_patterns_doc = '[{"prefix": "606"}, {"from": "60001", "to": "60499"}]'
WHERE business_id = %(business_id)s AND zone_code = 'LOCAL';

-- Light parcels cost less; orders from 50 on ship free by the slower services.
INSERT INTO ret.shipping_rate
    (business_id, shipping_rate_id, shipping_zone_id, carrier_service_id, rate_name, rate_basis,
     min_value, max_value, price, free_from_amount, handling_fee, effective_from, created_at,
     updated_at)
SELECT z.business_id, md5('rate ' || z.zone_code || c.carrier_service_id || b.least)::uuid,
       z.shipping_zone_id, c.carrier_service_id,
       c.display_name || ' ' || z.display_name || ' from ' || b.least / 1000 || ' kg', 'weight',
       b.least, b.most,
       round((CASE c.service_level WHEN 'economy' THEN 4.95 WHEN 'standard' THEN 6.95
                                   WHEN 'same_day' THEN 9.95 WHEN 'express' THEN 14.95
                                   ELSE 79 END
              * CASE z.zone_code WHEN 'LOCAL' THEN 1 WHEN 'US48' THEN 1.2 ELSE 2.1 END
              * b.factor)::numeric, 2),
       CASE WHEN c.service_level IN ('economy', 'standard') AND z.is_domestic THEN 50 END,
       CASE WHEN z.is_remote THEN 3 ELSE 0 END, %(as_of)s::date - 250,
       %(as_of)s - interval '250 days', %(as_of)s - interval '250 days'
FROM ret.shipping_zone AS z
JOIN ret.carrier_service AS c
    ON c.business_id = z.business_id
   AND (c.service_level <> 'same_day' OR z.zone_code = 'LOCAL')
   AND (c.service_level = 'express' OR z.is_domestic)
CROSS JOIN (VALUES (0, 2000, 1.0), (2000, 10000, 1.6), (10000, NULL, 3.1))
    AS b (least, most, factor)
WHERE z.business_id = %(business_id)s;

-- The parts of the orders: what is fetched comes from its store, of the rest 55 in a hundred from
-- a store; one in ten is split over two locations.
CREATE TEMPORARY TABLE part ON COMMIT DROP AS
SELECT md5('part ' || n.place || n.sales_order_id)::uuid AS fulfilment_order_id, n.*,
       l.location_id, l.timezone, e.picking_at,
       CASE WHEN n.order_state IN ('fulfilled', 'completed', 'returned') THEN 'completed'
            WHEN n.order_state = 'partly_fulfilled' AND n.place = 1 THEN 'completed'
            WHEN n.order_state = 'partly_fulfilled' THEN
                CASE WHEN n.draw %% 2 = 0 THEN 'picking' ELSE 'open' END
            WHEN n.order_state = 'processing' AND n.method = 'pickup' THEN
                CASE WHEN n.draw %% 5 < 3 THEN 'ready' ELSE 'picking' END
            -- One in nine of these waits for stock.
            WHEN n.order_state = 'processing' THEN
                CASE n.draw %% 9 WHEN 0 THEN 'picking' WHEN 3 THEN 'picking' WHEN 6 THEN 'picking'
                                 WHEN 1 THEN 'packed' WHEN 4 THEN 'packed' WHEN 7 THEN 'scheduled'
                                 ELSE 'open' END
            WHEN n.order_state = 'confirmed' THEN 'open'
            ELSE n.order_state END AS state,
       n.order_state NOT IN ('cancelled', 'on_hold') AND n.draw / 7 %% 100 < 6
           AND n.method <> 'pickup' AS was_rerouted,
       least(e.out_at, %(as_of)s) AS out_at
FROM (
    SELECT o.sales_order_id, o.sales_channel_id, o.placed_at, o.state AS order_state,
           o.sold_location_id, o.order_number, k.place, k.method,
           ('x' || substr(md5('part ' || k.place || o.sales_order_id), 1, 7))::bit(28)::integer
               AS draw
    FROM ret.sales_order AS o
    JOIN (
        SELECT DISTINCT i.sales_order_id, p.place, i.fulfilment_choice AS method
        FROM ret.sales_order_line AS i
        JOIN ret.sales_order AS x
            ON x.business_id = i.business_id AND x.sales_order_id = i.sales_order_id
        CROSS JOIN LATERAL (
            SELECT CASE WHEN x.state = 'partly_fulfilled' AND i.line_number > 1 THEN 2
                        WHEN x.state <> 'partly_fulfilled' AND i.fulfilment_choice = 'ship'
                             AND i.line_number %% 2 = 0
                             AND ('x' || substr(md5('split ' || x.sales_order_id), 1, 7))::bit(28)
                                 ::integer %% 100 < 16 THEN 2
                        ELSE 1 END AS place
        ) AS p
        WHERE i.business_id = %(business_id)s AND i.fulfilment_choice <> 'carry_out'
          AND i.line_number <> 20
    ) AS k ON k.sales_order_id = o.sales_order_id
    WHERE o.business_id = %(business_id)s AND o.state <> 'pending'
) AS n
JOIN (
    -- Open stores and warehouses; any place where there are none.
    SELECT w.location_id, w.timezone, w.kind,
           row_number() OVER (PARTITION BY w.kind ORDER BY w.location_code) - 1 AS place,
           count(*) OVER (PARTITION BY w.kind) AS places
    FROM (
        SELECT i.location_id, i.timezone, i.location_code, k.kind,
               rank() OVER (PARTITION BY k.kind
                            ORDER BY i.status <> 'open', i.location_kind <> k.kind) AS choice
        FROM ret.location AS i
        CROSS JOIN (VALUES ('store'), ('warehouse')) AS k (kind)
        WHERE i.business_id = %(business_id)s
    ) AS w
    WHERE w.choice = 1
) AS l ON CASE WHEN n.method = 'pickup'
                    THEN l.kind = 'store' AND l.location_id = n.sold_location_id
               ELSE l.kind = CASE WHEN (n.draw / 11 + n.place * 50) %% 100 < 55 THEN 'store'
                                  ELSE 'warehouse' END
                    AND l.place = n.draw / 3 %% l.places END
LEFT JOIN (
    SELECT x.sales_order_id,
           max(x.occurred_at) FILTER (WHERE x.to_state = 'processing') AS picking_at,
           max(x.occurred_at) FILTER (WHERE x.to_state IN ('fulfilled', 'partly_fulfilled'))
               AS out_at
    FROM ret.order_status_event AS x
    WHERE x.business_id = %(business_id)s AND x.aspect = 'order'
    GROUP BY x.sales_order_id
) AS e ON e.sales_order_id = n.sales_order_id;

INSERT INTO ret.fulfilment_order
    (business_id, fulfilment_order_id, sales_order_id, location_id, sourcing_rule_id,
     fulfilment_number, method, state, request_state, routed_at, accepted_at, promise_at, ready_at,
     completed_at, reroute_count, priority_no, created_at, updated_at)
SELECT %(business_id)s, p.fulfilment_order_id, p.sales_order_id, p.location_id,
       CASE WHEN p.method <> 'pickup' THEN r.sourcing_rule_id END,
       'F-' || p.order_number || '-' || p.place, p.method, p.state,
       CASE WHEN p.state IN ('open', 'on_hold', 'scheduled') THEN 'submitted'
            WHEN p.state = 'cancelled' THEN 'unsubmitted' ELSE 'accepted' END,
       p.placed_at + t.routing,
       CASE WHEN p.state NOT IN ('open', 'on_hold', 'scheduled', 'cancelled')
            THEN greatest(p.picking_at, p.placed_at + t.routing) END,
       p.placed_at + CASE p.method WHEN 'pickup' THEN interval '2 hours'
                                   WHEN 'local_delivery' THEN interval '5 hours'
                                   ELSE interval '24 hours' END,
       CASE WHEN p.state = 'completed' THEN
                greatest(p.picking_at + (p.out_at - p.picking_at) * 0.4, p.placed_at + t.routing)
            WHEN p.state IN ('ready', 'packed') THEN
                greatest(p.picking_at + (%(as_of)s - p.picking_at) * 0.3,
                         p.placed_at + t.routing) END,
       CASE WHEN p.state = 'completed' THEN greatest(p.out_at, p.placed_at + t.routing) END,
       p.was_rerouted::integer,
       CASE p.method WHEN 'pickup' THEN 20 WHEN 'local_delivery' THEN 30 ELSE 100 END,
       p.placed_at + t.routing, p.placed_at + t.routing
FROM part AS p
CROSS JOIN LATERAL (
    SELECT least(CASE WHEN p.was_rerouted THEN interval '22 minutes'
                      ELSE interval '30 seconds' END, %(as_of)s - p.placed_at) AS routing
) AS t
LEFT JOIN ret.sourcing_rule AS r
    ON r.business_id = %(business_id)s AND r.strategy = 'nearest';

INSERT INTO ret.fulfilment_order_line
    (business_id, fulfilment_order_line_id, fulfilment_order_id, sales_order_line_id, quantity,
     picked_qty, packed_qty, shipped_qty, short_qty, short_reason, state, created_at, updated_at)
SELECT l.business_id, md5('to fulfil ' || l.sales_order_line_id)::uuid, p.fulfilment_order_id,
       l.sales_order_line_id, l.quantity,
       CASE WHEN s.is_short THEN 0 WHEN p.state IN ('completed', 'packed', 'ready')
            THEN l.quantity ELSE 0 END,
       CASE WHEN s.is_short THEN 0 WHEN p.state IN ('completed', 'packed', 'ready')
            THEN l.quantity ELSE 0 END,
       CASE WHEN s.is_short THEN 0 WHEN p.state = 'completed' THEN l.quantity ELSE 0 END,
       CASE WHEN s.is_short THEN l.quantity ELSE 0 END,
       CASE WHEN s.is_short THEN 'not_found' END,
       CASE WHEN s.is_short THEN 'short'
            ELSE CASE p.state WHEN 'completed' THEN 'shipped' WHEN 'packed' THEN 'packed'
                              WHEN 'ready' THEN 'packed' WHEN 'cancelled' THEN 'cancelled'
                              ELSE 'open' END END,
       p.placed_at, p.placed_at
FROM ret.sales_order_line AS l
JOIN part AS p
    ON p.sales_order_id = l.sales_order_id AND p.method = l.fulfilment_choice
   AND p.place = CASE WHEN p.order_state = 'partly_fulfilled' AND l.line_number > 1 THEN 2
                      WHEN p.order_state <> 'partly_fulfilled' AND l.fulfilment_choice = 'ship'
                           AND l.line_number %% 2 = 0
                           AND ('x' || substr(md5('split ' || p.sales_order_id), 1, 7))::bit(28)
                               ::integer %% 100 < 16 THEN 2
                      ELSE 1 END
CROSS JOIN LATERAL (
    SELECT p.state = 'completed' AND l.cancelled_qty = l.quantity AS is_short
) AS s
WHERE l.business_id = %(business_id)s AND l.line_number <> 20;

-- Six in a hundred were turned down by the first location that was asked.
INSERT INTO ret.fulfilment_order
    (business_id, fulfilment_order_id, sales_order_id, location_id, fulfilment_number, method,
     state, request_state, routed_at, promise_at, reject_reason, priority_no, created_at,
     updated_at)
SELECT %(business_id)s, md5('rejected ' || p.fulfilment_order_id)::uuid, p.sales_order_id,
       l.location_id, 'F-' || p.order_number || '-' || p.place || 'R', p.method, 'rejected',
       'rejected', p.placed_at + least(interval '30 seconds', %(as_of)s - p.placed_at),
       p.placed_at + interval '24 hours',
       (ARRAY['no_stock', 'too_busy', 'no_stock', 'damaged', 'closed'])[1 + p.draw %% 5], 100,
       p.placed_at, p.placed_at
FROM part AS p
JOIN (
    -- Each location asks the others in turn.
    SELECT x.location_id AS asker_id, y.location_id,
           row_number() OVER (PARTITION BY x.location_id ORDER BY y.location_code) - 1 AS place,
           count(*) OVER (PARTITION BY x.location_id) AS places
    FROM ret.location AS x
    JOIN ret.location AS y
        ON y.business_id = x.business_id AND y.location_id <> x.location_id
       AND y.status = 'open'
    WHERE x.business_id = %(business_id)s
) AS l ON l.asker_id = p.location_id AND l.place = p.draw / 5 %% l.places
WHERE p.was_rerouted;

INSERT INTO ret.fulfilment_order_line
    (business_id, fulfilment_order_line_id, fulfilment_order_id, sales_order_line_id, quantity,
     state, created_at, updated_at)
SELECT l.business_id, md5('rejected ' || l.fulfilment_order_line_id)::uuid,
       f.fulfilment_order_id, l.sales_order_line_id, l.quantity, 'cancelled', l.created_at,
       l.created_at
FROM ret.fulfilment_order_line AS l
JOIN ret.fulfilment_order AS f
    ON f.business_id = l.business_id
   AND f.fulfilment_order_id = md5('rejected ' || l.fulfilment_order_id)::uuid
WHERE l.business_id = %(business_id)s;

-- Risky orders wait; now and then somebody stopped one that left later.
INSERT INTO ret.fulfilment_hold
    (business_id, fulfilment_hold_id, fulfilment_order_id, released_by_user_id, hold_reason, note,
     held_at, release_due_at, released_at, is_automatic, notified_at, created_at, updated_at)
SELECT f.business_id, md5('hold ' || f.fulfilment_order_id)::uuid, f.fulfilment_order_id,
       CASE WHEN f.state <> 'on_hold' THEN a.user_account_id END,
       CASE WHEN f.state = 'on_hold' THEN 'high_risk'
            ELSE (ARRAY['incorrect_address', 'awaiting_payment', 'customer_request'])[
                1 + p.draw %% 3] END,
       CASE WHEN f.state <> 'on_hold' AND p.draw %% 3 = 2 THEN 'Leaves after the holidays' END,
       f.routed_at, f.routed_at + interval '2 days',
       CASE WHEN f.state <> 'on_hold' THEN f.accepted_at END, f.state = 'on_hold', f.routed_at,
       f.routed_at, f.routed_at
FROM ret.fulfilment_order AS f
JOIN part AS p ON p.fulfilment_order_id = f.fulfilment_order_id
LEFT JOIN (
    SELECT x.user_account_id, row_number() OVER (ORDER BY x.username) AS place
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
) AS a ON a.place = 2
WHERE f.business_id = %(business_id)s
  AND (f.state = 'on_hold'
       OR f.state = 'completed'
          AND (p.draw / 13 %% 20 = 0
               OR p.fulfilment_order_id IN (SELECT x.fulfilment_order_id FROM part AS x
                                            WHERE x.state = 'completed'
                                            ORDER BY x.fulfilment_order_id LIMIT 1)));

-- A walk of a location takes what is picked there within two hours.
CREATE TEMPORARY TABLE walk ON COMMIT DROP AS
SELECT f.fulfilment_order_id, f.location_id, f.state, f.accepted_at, f.ready_at, f.promise_at,
       md5('walk ' || f.location_id || (f.state = 'picking')
           || floor(extract(epoch FROM f.accepted_at) / 7200))::uuid AS pick_list_id
FROM ret.fulfilment_order AS f
WHERE f.business_id = %(business_id)s
  AND f.state IN ('picking', 'packed', 'ready', 'completed');

INSERT INTO ret.pick_list
    (business_id, pick_list_id, picker_user_id, location_id, pick_number, pick_kind,
     created_for_cut_off_at, assigned_at, started_at, completed_at, line_count, unit_count,
     short_count, pick_seconds, state, created_at, updated_at)
SELECT %(business_id)s, w.pick_list_id, a.user_account_id, w.location_id,
       'P-' || lpad((row_number() OVER (ORDER BY w.started_at, w.pick_list_id))::text, 6, '0'),
       CASE WHEN w.orders = 1 THEN 'single' WHEN l.location_kind = 'store' THEN 'store_pick'
            WHEN w.orders > 4 THEN 'wave' ELSE 'batch' END,
       w.promise_at, w.started_at, w.started_at,
       CASE WHEN NOT w.goes_on THEN w.picked_at END, w.stops, w.units, w.shorts,
       CASE WHEN NOT w.goes_on THEN extract(epoch FROM w.picked_at - w.started_at) END,
       CASE WHEN w.goes_on THEN 'picking' ELSE 'picked' END, w.started_at, w.started_at
FROM (
    SELECT k.pick_list_id, k.location_id, min(k.accepted_at) AS started_at,
           max(coalesce(k.ready_at, k.accepted_at)) AS picked_at, min(k.promise_at) AS promise_at,
           count(DISTINCT k.fulfilment_order_id) AS orders,
           bool_or(k.state = 'picking') AS goes_on, count(*) AS stops,
           ceil(sum(l.quantity - l.short_qty)) AS units,
           count(*) FILTER (WHERE l.short_qty > 0) AS shorts
    FROM walk AS k
    JOIN ret.fulfilment_order_line AS l
        ON l.business_id = %(business_id)s AND l.fulfilment_order_id = k.fulfilment_order_id
    GROUP BY k.pick_list_id, k.location_id
) AS w
JOIN ret.location AS l ON l.business_id = %(business_id)s AND l.location_id = w.location_id
JOIN (
    SELECT x.user_account_id, row_number() OVER (ORDER BY x.username) - 1 AS place,
           count(*) OVER () AS users
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
) AS a ON a.place = ('x' || substr(md5(w.pick_list_id::text), 1, 7))::bit(28)::integer %% a.users;

INSERT INTO ret.pick_list_line
    (business_id, pick_list_line_id, pick_list_id, fulfilment_order_line_id, product_variant_id,
     bin_location_id, walk_sequence, required_qty, picked_qty, short_qty, picked_at,
     exception_kind, tote_code, created_at, updated_at)
SELECT l.business_id, md5('stop ' || l.fulfilment_order_line_id)::uuid, w.pick_list_id,
       l.fulfilment_order_line_id, i.product_variant_id, b.bin_location_id,
       row_number() OVER (PARTITION BY w.pick_list_id
                          ORDER BY b.walk_sequence, b.bin_code, l.fulfilment_order_line_id),
       l.quantity, CASE WHEN w.state <> 'picking' THEN l.quantity - l.short_qty ELSE 0 END,
       CASE WHEN w.state <> 'picking' THEN l.short_qty ELSE 0 END,
       CASE WHEN w.state <> 'picking' THEN w.ready_at END,
       CASE WHEN w.state <> 'picking' AND l.short_qty > 0 THEN 'not_found' ELSE 'none' END,
       'T' || upper(substr(md5(w.fulfilment_order_id::text), 1, 5)), w.accepted_at, w.accepted_at
FROM walk AS w
JOIN ret.fulfilment_order_line AS l
    ON l.business_id = %(business_id)s AND l.fulfilment_order_id = w.fulfilment_order_id
JOIN ret.sales_order_line AS i
    ON i.business_id = l.business_id AND i.sales_order_line_id = l.sales_order_line_id
LEFT JOIN (
    SELECT x.*, row_number() OVER (PARTITION BY x.location_id ORDER BY x.bin_code) - 1 AS place,
           count(*) OVER (PARTITION BY x.location_id) AS bins
    FROM ret.bin_location AS x
    WHERE x.business_id = %(business_id)s AND x.is_pickable AND x.status = 'active'
) AS b
    ON b.location_id = w.location_id
   AND b.place = ('x' || substr(md5(i.product_variant_id::text), 1, 7))::bit(28)::integer
                 %% b.bins;

-- What is fetched: ready within two hours, one in five was waited for at the curb.
INSERT INTO ret.pickup_order
    (business_id, pickup_order_id, fulfilment_order_id, shelf_bin_id, handed_over_by_user_id,
     pickup_code, ready_at, notified_at, hold_until, customer_arrived_at, is_curbside,
     vehicle_note, handed_over_at, id_check, collector_name, wait_seconds, reminder_count, state,
     created_at, updated_at)
SELECT f.business_id, md5('pickup ' || f.fulfilment_order_id)::uuid, f.fulfilment_order_id,
       CASE WHEN f.ready_at IS NOT NULL THEN b.bin_location_id END,
       CASE WHEN f.state = 'completed' THEN a.user_account_id END,
       upper(substr(md5('code ' || f.fulfilment_order_id), 1, 8)), f.ready_at,
       f.ready_at + interval '20 seconds', f.ready_at + interval '3 days', k.arrived_at,
       p.draw %% 5 = 0,
       CASE WHEN p.draw %% 5 = 0 THEN (ARRAY['Blue sedan', 'White van', 'Red hatchback'])[
           1 + p.draw / 5 %% 3] END,
       CASE WHEN f.state = 'completed' THEN f.completed_at END, 'code',
       CASE WHEN f.state = 'completed' THEN c.recipient_name END,
       CASE WHEN f.state = 'completed'
            THEN extract(epoch FROM f.completed_at - k.arrived_at)::integer END,
       CASE WHEN p.draw %% 6 = 0 AND f.ready_at IS NOT NULL THEN 1 ELSE 0 END,
       CASE f.state WHEN 'completed' THEN 'collected' WHEN 'ready' THEN
                        CASE WHEN p.draw %% 4 = 0 THEN 'arrived' ELSE 'ready' END
                    WHEN 'cancelled' THEN 'returned_to_stock' ELSE 'preparing' END,
       f.routed_at, f.routed_at
FROM ret.fulfilment_order AS f
JOIN part AS p ON p.fulfilment_order_id = f.fulfilment_order_id
CROSS JOIN LATERAL (
    SELECT CASE WHEN f.state = 'completed' THEN
                    greatest(f.completed_at - (1 + p.draw %% 9) * interval '1 minute', f.ready_at)
                WHEN f.state = 'ready' AND p.draw %% 4 = 0 THEN
                    greatest(%(as_of)s - (1 + p.draw %% 12) * interval '1 minute', f.ready_at)
                END AS arrived_at
) AS k
LEFT JOIN (
    SELECT x.bin_location_id, x.location_id,
           row_number() OVER (PARTITION BY x.location_id
                              ORDER BY x.zone <> 'pickup_shelf', x.bin_code) AS place
    FROM ret.bin_location AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
) AS b ON b.location_id = f.location_id AND b.place = 1
LEFT JOIN (
    SELECT x.user_account_id, row_number() OVER (ORDER BY x.username) - 1 AS place,
           count(*) OVER () AS users
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
) AS a ON a.place = p.draw / 17 %% a.users
LEFT JOIN ret.order_address AS c
    ON c.business_id = f.business_id AND c.sales_order_id = f.sales_order_id
   AND c.address_role = 'pickup_contact'
WHERE f.business_id = %(business_id)s AND f.method = 'pickup' AND f.state <> 'rejected';

-- Parcels, delivered after the days of their service; two in a hundred have an exception.
INSERT INTO ret.shipment
    (business_id, shipment_id, fulfilment_order_id, carrier_service_id, shipment_number,
     tracking_number, package_kind, weight_g, declared_value, label_cost, charged_amount,
     packed_at, shipped_at, estimated_at, delivered_at, delivery_attempts, state, signed_by,
     created_at, updated_at)
SELECT f.business_id, md5('parcel ' || f.fulfilment_order_id)::uuid, f.fulfilment_order_id,
       c.carrier_service_id, 'SH' || substr(f.fulfilment_number, 2),
       CASE c.carrier_code WHEN 'UPS' THEN '1Z' ELSE c.carrier_code END
           || upper(substr(md5('track ' || f.fulfilment_order_id), 1, 14)),
       CASE WHEN v.units = 1 AND v.weight < 700 THEN 'mailer' ELSE 'box' END,
       v.weight, v.worth, round((4.2 + v.weight / 900.0)::numeric, 2),
       CASE WHEN p.place = 1 THEN o.shipping_total ELSE 0 END, f.ready_at,
       CASE WHEN f.state = 'completed' THEN f.completed_at END,
       coalesce(f.completed_at, f.ready_at) + c.max_days * interval '1 day',
       CASE WHEN d.state = 'delivered' THEN d.delivered_at END,
       CASE d.state WHEN 'delivered' THEN 1 + (p.draw / 19 %% 40 = 0)::integer
                    WHEN 'exception' THEN 1 ELSE 0 END,
       d.state, CASE WHEN d.state = 'delivered' AND v.worth > 250 THEN a.recipient_name END,
       f.ready_at, f.ready_at
FROM ret.fulfilment_order AS f
JOIN part AS p ON p.fulfilment_order_id = f.fulfilment_order_id
JOIN ret.sales_order AS o
    ON o.business_id = f.business_id AND o.sales_order_id = f.sales_order_id
JOIN (
    SELECT l.fulfilment_order_id, sum(l.packed_qty) AS units,
           sum(round(l.packed_qty * i.unit_price, 2)) AS worth,
           ceil(sum(l.packed_qty * coalesce(v.weight_g, 400)) + 120)::integer AS weight
    FROM ret.fulfilment_order_line AS l
    JOIN ret.sales_order_line AS i
        ON i.business_id = l.business_id AND i.sales_order_line_id = l.sales_order_line_id
    JOIN ret.product_variant AS v
        ON v.business_id = i.business_id AND v.product_variant_id = i.product_variant_id
    WHERE l.business_id = %(business_id)s AND l.packed_qty > 0
    GROUP BY l.fulfilment_order_id
) AS v ON v.fulfilment_order_id = f.fulfilment_order_id
JOIN (
    SELECT x.*, row_number() OVER (ORDER BY x.carrier_code, x.service_code) - 1 AS place
    FROM ret.carrier_service AS x
    WHERE x.business_id = %(business_id)s AND x.carrier_code IN ('UPS', 'FEDEX', 'USPS', 'VAN')
) AS c ON CASE WHEN f.method = 'local_delivery' THEN c.carrier_code = 'VAN'
               ELSE c.place = (ARRAY[0, 2, 2, 3, 0, 2, 1])[1 + p.draw / 23 %% 7] END
CROSS JOIN LATERAL (
    SELECT CASE WHEN c.service_level = 'same_day' THEN
                    f.completed_at + (90 + p.draw / 29 %% 180) * interval '1 minute'
                ELSE f.completed_at
                     + (c.min_days * 24 + 5
                        + p.draw / 29 %% greatest((c.max_days - c.min_days) * 24, 1))
                       * interval '1 hour' END AS delivered_at
) AS q
CROSS JOIN LATERAL (
    SELECT q.delivered_at,
           CASE WHEN f.state <> 'completed' THEN 'label_created'
                WHEN q.delivered_at <= %(as_of)s AND p.draw / 31 %% 200 <> 0 THEN 'delivered'
                WHEN q.delivered_at <= %(as_of)s THEN 'lost'
                WHEN p.draw / 31 %% 30 = 0 THEN 'exception'
                WHEN q.delivered_at - interval '6 hours' <= %(as_of)s THEN 'out_for_delivery'
                WHEN f.completed_at + interval '2 hours' <= %(as_of)s THEN 'in_transit'
                ELSE 'manifested' END AS state
) AS d
LEFT JOIN ret.order_address AS a
    ON a.business_id = f.business_id AND a.sales_order_id = f.sales_order_id
   AND a.address_role = 'shipping'
WHERE f.business_id = %(business_id)s AND f.method IN ('ship', 'local_delivery')
  AND f.state IN ('packed', 'completed');

INSERT INTO ret.shipment_line
    (business_id, shipment_line_id, shipment_id, fulfilment_order_line_id, line_number, quantity,
     unit_value, customs_description, hs_code, origin_country, weight_g, created_at, updated_at)
SELECT l.business_id, md5('in parcel ' || l.fulfilment_order_line_id)::uuid, s.shipment_id,
       l.fulfilment_order_line_id,
       row_number() OVER (PARTITION BY s.shipment_id ORDER BY i.line_number), l.packed_qty,
       i.unit_price, i.product_title, p.hs_code, p.country_of_origin,
       ceil(l.packed_qty * coalesce(v.weight_g, 400))::integer, s.created_at, s.created_at
FROM ret.shipment AS s
JOIN ret.fulfilment_order_line AS l
    ON l.business_id = s.business_id AND l.fulfilment_order_id = s.fulfilment_order_id
   AND l.packed_qty > 0
JOIN ret.sales_order_line AS i
    ON i.business_id = l.business_id AND i.sales_order_line_id = l.sales_order_line_id
JOIN ret.product_variant AS v
    ON v.business_id = i.business_id AND v.product_variant_id = i.product_variant_id
JOIN ret.product AS p ON p.business_id = v.business_id AND p.product_id = v.product_id
WHERE s.business_id = %(business_id)s;

-- What the carriers scanned; they tell it a few minutes later.
INSERT INTO ret.shipment_tracking_event
    (business_id, shipment_tracking_event_id, shipment_id, occurred_at, carrier_status_code,
     status, city, country_code, description, received_at, payload, created_at)
SELECT s.business_id, md5('scan ' || e.place || s.shipment_id)::uuid, s.shipment_id,
       e.occurred_at, e.code, e.status,
       CASE WHEN e.place < 3 THEN w.city ELSE a.city END,
       coalesce(CASE WHEN e.place < 3 THEN w.country_code ELSE a.country_code END, 'US'),
       e.description, least(e.occurred_at + interval '4 minutes', %(as_of)s),
       jsonb_build_object('carrier', c.carrier_code, 'number', s.tracking_number),
       least(e.occurred_at + interval '4 minutes', %(as_of)s)
FROM ret.shipment AS s
JOIN ret.carrier_service AS c
    ON c.business_id = s.business_id AND c.carrier_service_id = s.carrier_service_id
JOIN ret.fulfilment_order AS f
    ON f.business_id = s.business_id AND f.fulfilment_order_id = s.fulfilment_order_id
JOIN ret.location AS w ON w.business_id = f.business_id AND w.location_id = f.location_id
LEFT JOIN ret.order_address AS a
    ON a.business_id = f.business_id AND a.sales_order_id = f.sales_order_id
   AND a.address_role = 'shipping'
CROSS JOIN LATERAL (VALUES
    (1, 'MP', 'pre_transit', 'Label created', s.packed_at),
    (2, 'AR', 'in_transit', 'Arrived at the sorting center',
     CASE WHEN s.state NOT IN ('manifested', 'label_created')
          THEN s.shipped_at + interval '90 minutes' END),
    (3, 'DP', 'in_transit', 'Left the sorting center',
     CASE WHEN s.state NOT IN ('manifested', 'label_created') AND c.service_level <> 'same_day'
          THEN s.shipped_at + interval '5 hours' END),
    (4, 'OD', 'out_for_delivery', 'On the vehicle for delivery',
     CASE WHEN s.state = 'delivered'
          THEN greatest(s.delivered_at - interval '5 hours', s.shipped_at + interval '5 minutes')
          WHEN s.state = 'out_for_delivery'
          THEN greatest(%(as_of)s - interval '50 minutes', s.shipped_at + interval '5 minutes')
          END),
    (5, 'EX', 'exception', 'The address could not be found',
     CASE WHEN s.state = 'exception' THEN greatest(%(as_of)s - interval '3 hours', s.shipped_at)
          END),
    (6, 'FA', 'failed_attempt', 'Nobody was there',
     CASE WHEN s.delivery_attempts > 1 THEN s.delivered_at - interval '2 hours' END),
    (7, 'DL', 'delivered', 'Delivered', s.delivered_at))
    AS e (place, code, status, description, occurred_at)
WHERE s.business_id = %(business_id)s AND e.occurred_at <= %(as_of)s;

-- Stock was held for the orders until it left, and for carts a quarter of an hour.
INSERT INTO ret.stock_reservation
    (business_id, stock_reservation_id, location_id, product_variant_id, sales_order_line_id,
     quantity, reservation_kind, created_for, reserved_at, released_at, fulfilled_at, state,
     release_reason, created_at, updated_at)
SELECT f.business_id, md5('held ' || l.fulfilment_order_line_id)::uuid, f.location_id,
       i.product_variant_id, l.sales_order_line_id, l.quantity,
       CASE f.state WHEN 'scheduled' THEN 'backorder' ELSE 'hard' END,
       CASE f.method WHEN 'pickup' THEN 'pickup' ELSE 'order' END, f.routed_at,
       CASE WHEN n.state = 'released' THEN coalesce(f.completed_at, f.routed_at) END,
       CASE WHEN n.state = 'fulfilled' THEN f.completed_at END, n.state,
       CASE WHEN n.state = 'released' THEN CASE WHEN l.short_qty > 0 THEN 'not_found'
            ELSE 'order cancelled' END END, f.routed_at, f.routed_at
FROM ret.fulfilment_order AS f
JOIN ret.fulfilment_order_line AS l
    ON l.business_id = f.business_id AND l.fulfilment_order_id = f.fulfilment_order_id
JOIN ret.sales_order_line AS i
    ON i.business_id = l.business_id AND i.sales_order_line_id = l.sales_order_line_id
CROSS JOIN LATERAL (
    SELECT CASE WHEN f.state IN ('cancelled', 'rejected') OR l.short_qty > 0 THEN 'released'
                WHEN f.state = 'completed' THEN 'fulfilled' ELSE 'active' END AS state
) AS n
WHERE f.business_id = %(business_id)s AND f.state <> 'rejected';

INSERT INTO ret.stock_reservation
    (business_id, stock_reservation_id, location_id, product_variant_id, cart_line_id, quantity,
     reservation_kind, created_for, reserved_at, expires_at, released_at, state, release_reason,
     created_at, updated_at)
SELECT c.business_id, md5('held ' || l.cart_line_id)::uuid,
       coalesce(c.pickup_location_id, w.location_id), l.product_variant_id, l.cart_line_id,
       l.quantity, 'soft', 'cart', h.since, h.since + interval '15 minutes',
       CASE WHEN h.since + interval '15 minutes' <= %(as_of)s THEN h.since + interval '15 minutes'
            END,
       CASE WHEN h.since + interval '15 minutes' <= %(as_of)s THEN 'expired' ELSE 'active' END,
       CASE WHEN h.since + interval '15 minutes' <= %(as_of)s THEN 'not bought in time' END,
       h.since, h.since
FROM ret.cart AS c
JOIN ret.cart_line AS l ON l.business_id = c.business_id AND l.cart_id = c.cart_id
CROSS JOIN LATERAL (
    SELECT greatest(l.added_at, c.last_activity_at - interval '1 minute') AS since
) AS h
JOIN (
    SELECT x.location_id, row_number() OVER (ORDER BY x.status <> 'open',
                                                      x.location_kind <> 'warehouse',
                                                      x.location_code) AS place
    FROM ret.location AS x
    WHERE x.business_id = %(business_id)s
) AS w ON w.place = 1
WHERE c.business_id = %(business_id)s AND c.cart_kind = 'online'
  AND c.state IN ('active', 'abandoned') AND c.last_activity_at > %(as_of)s - interval '20 days';

-- The ledger: till sales at once, orders when they were reserved and when they left, and what is
-- held for orders and carts now.
INSERT INTO ret.stock_movement
    (business_id, stock_movement_id, location_id, product_variant_id, occurred_at, movement_kind,
     from_state, to_state, quantity, unit_cost, source_kind, source_id, created_at)
SELECT %(business_id)s, m.stock_movement_id, m.location_id, m.product_variant_id, m.occurred_at,
       'sale', m.from_state, m.to_state, m.quantity, m.unit_cost, m.source_kind, m.source_id,
       m.occurred_at
FROM (
    SELECT md5('sold ' || l.sales_order_line_id)::uuid AS stock_movement_id,
           o.sold_location_id AS location_id, l.product_variant_id, o.placed_at AS occurred_at,
           'available' AS from_state, 'none' AS to_state, l.fulfilled_qty AS quantity,
           l.unit_cost, 'sale' AS source_kind, o.sales_order_id AS source_id
    FROM ret.sales_order_line AS l
    JOIN ret.sales_order AS o
        ON o.business_id = l.business_id AND o.sales_order_id = l.sales_order_id
    WHERE l.business_id = %(business_id)s AND l.fulfilment_choice = 'carry_out'
      AND l.line_number <> 20 AND l.fulfilled_qty > 0
    UNION ALL
    SELECT md5('moved ' || e.to_state || r.stock_reservation_id)::uuid, r.location_id,
           r.product_variant_id, e.occurred_at, e.from_state, e.to_state, r.quantity, l.unit_cost,
           e.source_kind, r.stock_reservation_id
    FROM ret.stock_reservation AS r
    JOIN ret.sales_order_line AS l
        ON l.business_id = r.business_id AND l.sales_order_line_id = r.sales_order_line_id
    CROSS JOIN LATERAL (VALUES
        ('available', 'committed', r.reserved_at, 'sale'),
        ('committed', 'none', r.fulfilled_at, 'shipment'),
        ('committed', 'available', r.released_at, 'sale'))
        AS e (from_state, to_state, occurred_at, source_kind)
    WHERE r.business_id = %(business_id)s AND e.occurred_at IS NOT NULL
      AND r.reservation_kind = 'hard'
    UNION ALL
    SELECT md5('moved ' || r.stock_reservation_id)::uuid, r.location_id, r.product_variant_id,
           r.reserved_at, 'available', 'reserved', r.quantity,
           coalesce(v.average_cost, v.standard_cost, 0), 'sale', r.stock_reservation_id
    FROM ret.stock_reservation AS r
    JOIN ret.product_variant AS v
        ON v.business_id = r.business_id AND v.product_variant_id = r.product_variant_id
    WHERE r.business_id = %(business_id)s AND r.state = 'active' AND r.reservation_kind = 'soft'
) AS m
ORDER BY m.occurred_at, m.from_state <> 'available', m.stock_movement_id;

-- How the parts went belongs to the trail of the order.
INSERT INTO ret.order_status_event
    (business_id, order_status_event_id, sales_order_id, occurred_at, aspect, from_state,
     to_state, actor_kind, payload, created_at)
SELECT f.business_id, md5('event ' || e.to_state || f.fulfilment_order_id)::uuid,
       f.sales_order_id, e.occurred_at, 'fulfilment', e.from_state, e.to_state, 'system',
       jsonb_build_object('fulfilment', f.fulfilment_number), e.occurred_at
FROM ret.fulfilment_order AS f
CROSS JOIN LATERAL (VALUES
    (NULL, CASE f.state WHEN 'scheduled' THEN 'scheduled' ELSE 'open' END, f.routed_at),
    ('open', 'rejected', CASE WHEN f.state = 'rejected'
                              THEN least(f.routed_at + interval '15 minutes', %(as_of)s) END),
    ('open', 'picking', f.accepted_at),
    ('picking', CASE f.method WHEN 'pickup' THEN 'ready' ELSE 'packed' END, f.ready_at),
    (CASE f.method WHEN 'pickup' THEN 'ready' ELSE 'packed' END, 'completed', f.completed_at))
    AS e (from_state, to_state, occurred_at)
WHERE f.business_id = %(business_id)s AND e.occurred_at IS NOT NULL;

-- What the locations were asked to do today.
UPDATE ret.fulfilment_capability AS c
SET booked_today = least(n.parts, c.daily_capacity)
FROM (
    SELECT x.fulfilment_capability_id, count(f.fulfilment_order_id) AS parts
    FROM ret.fulfilment_capability AS x
    JOIN ret.location AS l ON l.business_id = x.business_id AND l.location_id = x.location_id
    LEFT JOIN (
        SELECT p.fulfilment_order_id, p.location_id, p.sales_channel_id, p.placed_at, p.state,
               CASE p.method WHEN 'ship' THEN 'ship_from' ELSE p.method END AS capability
        FROM part AS p
    ) AS f
        ON f.location_id = x.location_id AND f.sales_channel_id = x.sales_channel_id
       AND f.capability = x.capability AND f.state <> 'cancelled'
       AND (f.placed_at AT TIME ZONE l.timezone)::date
           = (%(as_of)s AT TIME ZONE l.timezone)::date
    WHERE x.business_id = %(business_id)s
    GROUP BY x.fulfilment_capability_id
) AS n
WHERE c.business_id = %(business_id)s
  AND c.fulfilment_capability_id = n.fulfilment_capability_id AND c.booked_today <> n.parts;
