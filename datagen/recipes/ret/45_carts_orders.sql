SELECT tenant_mgmt.set_tenant(%(business_id)s);
-- The tables that this fills have no statistics yet: loops over them would never end.
SET LOCAL enable_nestloop = off;

-- Six in ten at a till, the others on the web, to be fetched, or on a marketplace; half of them in
-- the last week. Sales of a Monday or Tuesday move to the Saturday before now and then.
UPDATE ret.sales_order AS o
SET sales_channel_id = c.sales_channel_id, sold_location_id = n.sold_location_id,
    order_kind = n.order_kind, placed_at = n.placed_at,
    sold_by_user_id = n.sold_by_user_id, customer_id = n.customer_id,
    order_number = c.order_prefix || '-' || n.number,
    external_order_id = CASE WHEN n.way = 'marketplace'
                             THEN upper(substr(md5('external ' || n.sales_order_id), 1, 12)) END,
    created_at = n.placed_at, updated_at = n.placed_at
FROM (
    SELECT g.*, row_number() OVER (ORDER BY g.placed_at, g.sales_order_id) + 10000 AS number,
           CASE WHEN g.way IN ('till', 'aisle') OR g.place %% 5 < 4 THEN 0 ELSE 1 END AS turn,
           CASE WHEN g.way IN ('till', 'aisle') AND g.place %% 20 < 7 THEN NULL
                WHEN u.created_at <= g.placed_at THEN u.customer_id
                ELSE r.customer_id END AS customer_id,
           a.user_account_id AS sold_by_user_id
    FROM (
        SELECT t.*,
               CASE WHEN t.planned <= %(as_of)s - interval '3 minutes' THEN t.planned
                    ELSE t.planned - interval '1 day' END AS placed_at
        FROM (
            SELECT y.sales_order_id, y.way, y.place, y.sold_location_id, y.order_kind,
                   y.location_rank, y.pick,
                   ((%(as_of)s AT TIME ZONE y.timezone)::date - y.days
                    - CASE WHEN y.way = 'till' AND y.place / 100 %% 10 < 3
                                AND extract(isodow FROM (%(as_of)s AT TIME ZONE y.timezone)::date
                                                        - y.days) IN (1, 2)
                           THEN extract(isodow FROM (%(as_of)s AT TIME ZONE y.timezone)::date
                                                    - y.days)::integer + 1 ELSE 0 END
                    + CASE WHEN y.way IN ('till', 'aisle') THEN interval '9 hours'
                           ELSE interval '6 hours' END
                    + (y.early + y.late) / 2
                      * CASE WHEN y.way IN ('till', 'aisle') THEN interval '11 hours'
                             ELSE interval '17 hours 55 minutes' END) AT TIME ZONE y.timezone
                       AS planned
            FROM (
                SELECT x.sales_order_id, x.place, x.way, x.early, x.late, x.pick,
                       l.timezone, l.place AS location_rank,
                       CASE WHEN x.way IN ('till', 'aisle', 'pickup') THEN l.location_id END
                           AS sold_location_id,
                       CASE x.way WHEN 'till' THEN CASE WHEN x.place / 100 %% 50 = 7
                                                        THEN 'exchange' ELSE 'sale' END
                                  WHEN 'aisle' THEN 'endless_aisle'
                                  WHEN 'web' THEN 'ship_to_home'
                                  WHEN 'pickup' THEN 'pickup'
                                  ELSE 'web' END AS order_kind,
                       floor(CASE WHEN x.age < 0.45 THEN 7 * x.age / 0.45
                                  WHEN x.age < 0.8 THEN 7 + 23 * (x.age - 0.45) / 0.35
                                  ELSE 30 + 90 * (x.age - 0.8) / 0.2 END)::integer AS days
                FROM (
                    SELECT s.sales_order_id, h.place, h.age, h.early, h.late, h.pick,
                           CASE WHEN h.place %% 100 < 58 THEN 'till'
                                WHEN h.place %% 100 < 60 THEN 'aisle'
                                WHEN h.place %% 100 < 82 THEN 'web'
                                WHEN h.place %% 100 < 94 THEN 'pickup'
                                ELSE 'marketplace' END AS way
                    FROM ret.sales_order AS s
                    CROSS JOIN LATERAL (
                        SELECT ('x' || substr(m.sum, 1, 7))::bit(28)::integer AS place,
                               ('x' || substr(m.sum, 8, 6))::bit(24)::integer / 16777216.0
                                   AS age,
                               ('x' || substr(m.sum, 14, 6))::bit(24)::integer / 16777216.0
                                   AS early,
                               ('x' || substr(m.sum, 20, 6))::bit(24)::integer / 16777216.0
                                   AS late,
                               ('x' || substr(m.sum, 26, 6))::bit(24)::integer / 16777216.0
                                   AS pick
                        FROM (SELECT md5('sale ' || s.sales_order_id) AS sum) AS m
                    ) AS h
                    WHERE s.business_id = %(business_id)s
                ) AS x
                JOIN (
                    -- The stores that are open; any place where there is none.
                    SELECT w.location_id, w.timezone,
                           row_number() OVER (ORDER BY w.location_code) - 1 AS place,
                           count(*) OVER () AS places
                    FROM (
                        SELECT i.*, rank() OVER (ORDER BY
                                   NOT (i.location_kind = 'store' AND i.status = 'open'
                                        AND EXISTS (SELECT FROM ret.register AS r
                                                    WHERE r.business_id = i.business_id
                                                      AND r.location_id = i.location_id)))
                                   AS choice
                        FROM ret.location AS i
                        WHERE i.business_id = %(business_id)s
                    ) AS w
                    WHERE w.choice = 1
                ) AS l ON l.place = x.place / 100 %% l.places
            ) AS y
        ) AS t
    ) AS g
    LEFT JOIN (
        -- Some customers buy again and again.
        SELECT x.customer_id, x.created_at,
               row_number() OVER (ORDER BY md5('buys ' || x.customer_number)) - 1 AS place
        FROM ret.customer AS x
        WHERE x.business_id = %(business_id)s AND x.status = 'active'
    ) AS u ON u.place = floor((SELECT count(*) FROM ret.customer AS x
                               WHERE x.business_id = %(business_id)s AND x.status = 'active')
                              * g.pick * g.pick)
    LEFT JOIN (
        SELECT x.customer_id,
               row_number() OVER (ORDER BY x.created_at, x.customer_number) - 1 AS place
        FROM ret.customer AS x
        WHERE x.business_id = %(business_id)s AND x.status = 'active'
    ) AS r ON r.place = floor((SELECT greatest(count(*), 1) FROM ret.customer AS x
                               WHERE x.business_id = %(business_id)s AND x.status = 'active'
                                 AND x.created_at < %(as_of)s - interval '130 days')
                              * g.pick)
    LEFT JOIN (
        -- Six sales associates a store.
        SELECT x.user_account_id, row_number() OVER (ORDER BY x.username) - 1 AS place,
               count(*) OVER () AS users
        FROM user_mgmt.user_account AS x
        WHERE x.business_id = %(business_id)s AND x.status = 'active'
    ) AS a ON a.place = (g.location_rank * 6 + g.place / 7 %% 6) %% a.users
          AND g.way IN ('till', 'aisle')
) AS n
JOIN (
    SELECT d.way, x.sales_channel_id, x.order_prefix,
           row_number() OVER (PARTITION BY d.way ORDER BY x.channel_code) - 1 AS place,
           count(*) OVER (PARTITION BY d.way) AS channels
    FROM (VALUES ('till'), ('aisle'), ('web'), ('pickup'), ('marketplace')) AS d (way)
    CROSS JOIN LATERAL (
        SELECT i.*, rank() OVER (ORDER BY
                   NOT (i.is_active
                        AND i.channel_kind = ANY (CASE d.way
                            WHEN 'till' THEN '{store}'::text[] WHEN 'aisle' THEN '{store}'
                            WHEN 'marketplace' THEN '{marketplace}'
                            ELSE '{web,mobile_app}' END))) AS choice
        FROM ret.sales_channel AS i
        WHERE i.business_id = %(business_id)s
    ) AS x
    WHERE x.choice = 1
) AS c ON c.way = n.way AND c.place = n.place / 7 %% c.channels
WHERE o.business_id = %(business_id)s AND o.sales_order_id = n.sales_order_id;

-- What is sold, the best first; any variant where none is on sale. A table of its own, so that the
-- place of a line finds its variant at once.
CREATE TEMPORARY TABLE chosen ON COMMIT DROP AS
SELECT x.product_variant_id, x.title, x.sku, x.list_price, x.unit_cost,
       row_number() OVER (ORDER BY md5('sells ' || x.sku)) - 1 AS place
FROM (
    SELECT i.product_variant_id, coalesce(p.title || ' ' || i.title, i.sku) AS title, i.sku,
           coalesce(nullif(i.list_price, 0), 19.99) AS list_price,
           coalesce(i.average_cost, i.standard_cost, i.list_price * 0.5, 9.99) AS unit_cost,
           rank() OVER (ORDER BY NOT (
               i.status = 'active' AND p.status IN ('active', 'phase_out')
               AND p.product_kind IN ('simple', 'configurable') AND NOT i.is_weighed
               AND p.tracking <> 'serial'
               AND NOT EXISTS (SELECT FROM ret.bundle_component AS b
                               WHERE b.business_id = i.business_id
                                 AND b.bundle_variant_id = i.product_variant_id))) AS choice
    FROM ret.product_variant AS i
    JOIN ret.product AS p ON p.business_id = i.business_id AND p.product_id = i.product_id
    WHERE i.business_id = %(business_id)s
) AS x
WHERE x.choice = 1;

-- One to six lines, 2.6 on average: a few variants sell most. Some are marked down or on offer.
INSERT INTO ret.sales_order_line
    (business_id, sales_order_line_id, sales_order_id, product_variant_id, line_number,
     product_title, sku_sold, quantity, unit_price, list_price, price_source, discount_amount,
     unit_cost, fulfilment_choice, override_reason, created_at, updated_at)
SELECT o.business_id, md5('line ' || n.line || o.sales_order_id)::uuid, o.sales_order_id,
       v.product_variant_id, n.line, v.title, v.sku, n.quantity, p.unit_price, v.list_price,
       n.price_source,
       CASE WHEN n.price_source = 'promotion'
            THEN round(round(n.quantity * p.unit_price, 2)
                       * CASE WHEN n.place %% 2 = 0 THEN 0.10 ELSE 0.20 END, 2)
            ELSE 0 END,
       v.unit_cost,
       CASE WHEN o.order_kind IN ('sale', 'exchange') THEN 'carry_out'
            WHEN o.order_kind = 'pickup' THEN 'pickup'
            WHEN o.order_kind = 'ship_to_home'
                 AND ('x' || substr(md5('van ' || o.sales_order_id), 1, 7))::bit(28)::integer
                     %% 20 = 0 THEN 'local_delivery'
            ELSE 'ship' END,
       CASE WHEN n.price_source = 'override'
            THEN CASE n.place %% 3 WHEN 0 THEN 'Price match' WHEN 1 THEN 'Box is damaged'
                                   ELSE 'Last piece' END END,
       o.placed_at, o.placed_at
FROM (
    SELECT x.sales_order_id, g.line, h.place, h.pick,
           CASE WHEN h.place %% 25 < 3 THEN 2 WHEN h.place %% 50 = 7 THEN 3 ELSE 1 END AS quantity,
           CASE WHEN h.place / 50 %% 100 < 12 THEN 'markdown'
                WHEN h.place / 50 %% 100 < 24 THEN 'promotion'
                WHEN h.place / 50 %% 100 < 25 AND x.sold_by_user_id IS NOT NULL THEN 'override'
                ELSE 'base' END AS price_source
    FROM ret.sales_order AS x
    CROSS JOIN generate_series(1, 6) AS g (line)
    CROSS JOIN LATERAL (
        SELECT ('x' || substr(m.sum, 1, 7))::bit(28)::integer AS place,
               ('x' || substr(m.sum, 8, 6))::bit(24)::integer / 16777216.0 AS pick
        FROM (SELECT md5('line ' || x.sales_order_id || g.line) AS sum) AS m
    ) AS h
    WHERE x.business_id = %(business_id)s
      AND g.line <= (ARRAY[1, 2, 3, 2, 1, 4, 2, 3, 2, 5, 1, 3, 4, 6, 2, 1, 3, 2, 4, 3])[
          1 + ('x' || substr(md5('lines ' || x.sales_order_id), 1, 7))::bit(28)::integer %% 20]
) AS n
JOIN ret.sales_order AS o
    ON o.business_id = %(business_id)s AND o.sales_order_id = n.sales_order_id
JOIN chosen AS v ON v.place = floor((SELECT count(*) FROM chosen) * n.pick ^ 2.4)
CROSS JOIN LATERAL (
    SELECT round(v.list_price * CASE n.price_source
                     WHEN 'markdown' THEN (ARRAY[0.8, 0.65, 0.5])[1 + n.place %% 3]
                     WHEN 'override' THEN 0.9 ELSE 1 END, 2) AS unit_price
) AS p;

-- Every thirtieth order has a bundle: a line at price 0 and its components a tenth cheaper.
INSERT INTO ret.sales_order_line
    (business_id, sales_order_line_id, sales_order_id, product_variant_id, line_number,
     product_title, sku_sold, quantity, unit_price, list_price, price_source, fulfilment_choice,
     created_at, updated_at)
SELECT o.business_id, md5('bundle ' || o.sales_order_id)::uuid, o.sales_order_id,
       b.product_variant_id, 20, b.title, b.sku, 1, 0, b.list_price, 'base', l.fulfilment_choice,
       o.placed_at, o.placed_at
FROM (
    SELECT x.*, ('x' || substr(md5('bundle ' || x.sales_order_id), 1, 7))::bit(28)::integer
               AS place
    FROM ret.sales_order AS x
    WHERE x.business_id = %(business_id)s
) AS o
JOIN ret.sales_order_line AS l
    ON l.business_id = o.business_id AND l.sales_order_id = o.sales_order_id AND l.line_number = 1
JOIN (
    SELECT v.product_variant_id, coalesce(p.title, v.sku) AS title, v.sku, v.list_price,
           row_number() OVER (ORDER BY v.sku) - 1 AS place, count(*) OVER () AS bundles
    FROM ret.product_variant AS v
    JOIN ret.product AS p
        ON p.business_id = v.business_id AND p.product_id = v.product_id
       AND p.product_kind = 'bundle'
    WHERE v.business_id = %(business_id)s
      AND EXISTS (SELECT FROM ret.bundle_component AS c
                  WHERE c.business_id = v.business_id
                    AND c.bundle_variant_id = v.product_variant_id AND NOT c.is_optional
                    AND c.component_variant_id <> v.product_variant_id)
) AS b ON b.place = o.place / 30 %% b.bundles
WHERE o.place %% 30 = 4;

INSERT INTO ret.sales_order_line
    (business_id, sales_order_line_id, bundle_parent_line_id, sales_order_id, product_variant_id,
     line_number, product_title, sku_sold, quantity, unit_price, list_price, price_source,
     unit_cost, fulfilment_choice, created_at, updated_at)
SELECT l.business_id, md5('part ' || c.bundle_component_id || l.sales_order_line_id)::uuid,
       l.sales_order_line_id, l.sales_order_id, v.product_variant_id,
       20 + row_number() OVER (PARTITION BY l.sales_order_line_id
                               ORDER BY c.sort_order, c.bundle_component_id),
       coalesce(p.title || ' ' || v.title, v.sku), v.sku, c.quantity,
       round(coalesce(v.list_price, 9.99) * 0.9, 2), v.list_price, 'base',
       coalesce(v.average_cost, v.standard_cost, v.list_price * 0.5, 4.99), l.fulfilment_choice,
       l.created_at, l.created_at
FROM ret.sales_order_line AS l
JOIN ret.bundle_component AS c
    ON c.business_id = l.business_id AND c.bundle_variant_id = l.product_variant_id
   AND NOT c.is_optional AND c.component_variant_id <> l.product_variant_id
JOIN ret.product_variant AS v
    ON v.business_id = c.business_id AND v.product_variant_id = c.component_variant_id
JOIN ret.product AS p ON p.business_id = v.business_id AND p.product_id = v.product_id
WHERE l.business_id = %(business_id)s AND l.line_number = 20;

-- Where it goes, who pays, who fetches it.
INSERT INTO ret.order_address
    (business_id, order_address_id, sales_order_id, address_role, recipient_name, company_name,
     line_1, line_2, city, region_code, postal_code, country_code, phone, email, delivery_note,
     created_at, updated_at)
SELECT o.business_id, md5('address ' || r.role || o.sales_order_id)::uuid, o.sales_order_id,
       r.role, coalesce(a.recipient_name, c.display_name, 'Guest'), a.company_name,
       coalesce(a.line_1, w.address_line, '1 Main Street'), a.line_2,
       coalesce(a.city, w.city, 'Chicago'), coalesce(a.region_code, w.region_code),
       coalesce(a.postal_code, w.postal_code), coalesce(a.country_code, w.country_code, 'US'),
       c.phone, c.email,
       CASE WHEN r.role = 'shipping'
                 AND ('x' || substr(md5('note ' || o.sales_order_id), 1, 7))::bit(28)::integer
                     %% 9 = 0
            THEN CASE WHEN a.line_2 IS NULL THEN 'Leave at the back door'
                      ELSE 'Ring twice' END END,
       o.placed_at, o.placed_at
FROM ret.sales_order AS o
JOIN (VALUES ('ship_to_home', 'shipping'), ('ship_to_home', 'billing'), ('web', 'shipping'),
             ('endless_aisle', 'shipping'), ('pickup', 'billing'), ('pickup', 'pickup_contact'))
    AS r (order_kind, role) ON r.order_kind = o.order_kind
LEFT JOIN ret.customer AS c ON c.business_id = o.business_id AND c.customer_id = o.customer_id
LEFT JOIN (
    SELECT x.*, row_number() OVER (PARTITION BY x.customer_id
                                   ORDER BY x.validation_state = 'undeliverable',
                                            x.is_default_shipping DESC, x.customer_address_id)
               AS choice
    FROM ret.customer_address AS x
    WHERE x.business_id = %(business_id)s
) AS a ON a.customer_id = o.customer_id AND a.choice = 1
LEFT JOIN (
    SELECT x.*, row_number() OVER (ORDER BY x.location_code) AS choice
    FROM ret.location AS x
    WHERE x.business_id = %(business_id)s
) AS w ON w.choice = 1
WHERE o.business_id = %(business_id)s;

-- Deliveries under 50 pay for shipping.
UPDATE ret.sales_order AS o
SET subtotal = n.subtotal, discount_total = n.discounts, cost_total = n.costs,
    shipping_total = CASE WHEN n.travels AND n.subtotal - n.discounts < 50 THEN 6.95 ELSE 0 END
FROM (
    SELECT l.sales_order_id, sum(round(l.quantity * l.unit_price, 2)) AS subtotal,
           sum(l.discount_amount) AS discounts, sum(round(l.quantity * l.unit_cost, 2)) AS costs,
           bool_or(l.fulfilment_choice IN ('ship', 'local_delivery')) AS travels
    FROM ret.sales_order_line AS l
    WHERE l.business_id = %(business_id)s
    GROUP BY l.sales_order_id
) AS n
WHERE o.business_id = %(business_id)s AND o.sales_order_id = n.sales_order_id;

INSERT INTO ret.order_tax_line
    (business_id, order_tax_line_id, sales_order_id, sales_order_line_id, tax_rate_id,
     tax_jurisdiction_id, tax_target, taxable_amount, rate_pct, tax_amount, is_inclusive,
     is_exempt, collected_by, calculated_at, created_at, updated_at)
SELECT o.business_id,
       md5('tax ' || t.tax_rate_id || t.sales_order_id || coalesce(t.sales_order_line_id::text, '')
           )::uuid,
       t.sales_order_id, t.sales_order_line_id, t.tax_rate_id, t.tax_jurisdiction_id,
       t.tax_target, t.taxable_amount, t.rate_pct, t.tax_amount, t.is_inclusive, t.is_exempt,
       t.collected_by, o.placed_at, o.placed_at, o.placed_at
FROM ret.taxes_of_orders(ARRAY(SELECT x.sales_order_id FROM ret.sales_order AS x
                               WHERE x.business_id = %(business_id)s)) AS t
JOIN ret.sales_order AS o
    ON o.business_id = %(business_id)s AND o.sales_order_id = t.sales_order_id;

UPDATE ret.sales_order_line AS l
SET tax_amount = n.tax_amount
FROM (
    SELECT t.sales_order_line_id, sum(t.tax_amount) AS tax_amount
    FROM ret.order_tax_line AS t
    WHERE t.business_id = %(business_id)s AND NOT t.is_inclusive
      AND t.sales_order_line_id IS NOT NULL
    GROUP BY t.sales_order_line_id
) AS n
WHERE l.business_id = %(business_id)s AND l.sales_order_line_id = n.sales_order_line_id;

UPDATE ret.sales_order AS o
SET tax_total = n.tax_total
FROM (
    SELECT t.sales_order_id, sum(t.tax_amount) AS tax_total
    FROM ret.order_tax_line AS t
    WHERE t.business_id = %(business_id)s AND NOT t.is_inclusive
    GROUP BY t.sales_order_id
) AS n
WHERE o.business_id = %(business_id)s AND o.sales_order_id = n.sales_order_id;

-- How orders went. Till sales are done. Of the others those of the last hours wait, are held or
-- are being packed; four in a hundred are called off, the older ones are closed.
INSERT INTO ret.order_status_event
    (business_id, order_status_event_id, actor_user_id, sales_order_id, occurred_at, aspect,
     from_state, to_state, actor_kind, source_device, created_at)
SELECT o.business_id, md5('event ' || e.aspect || e.to_state || o.sales_order_id)::uuid,
       CASE WHEN e.actor_kind = 'staff' THEN o.sold_by_user_id END, o.sales_order_id,
       e.occurred_at, e.aspect, e.from_state, e.to_state,
       CASE WHEN e.actor_kind = 'staff' AND o.sold_by_user_id IS NULL THEN 'system'
            ELSE e.actor_kind END,
       CASE WHEN o.sold_by_user_id IS NOT NULL AND e.actor_kind = 'staff' THEN 'till'
            WHEN e.actor_kind = 'customer' THEN 'browser' END,
       e.occurred_at
FROM (
    SELECT x.*, h.place %% 60 AS pace,
           CASE WHEN x.order_kind IN ('sale', 'exchange') THEN 'till'
                WHEN h.place %% 25 = 3 THEN 'cancelled'
                WHEN h.place %% 25 = 4 AND h.age < interval '5 days' THEN 'on_hold'
                WHEN h.age < interval '20 minutes' THEN 'pending'
                WHEN h.age < interval '90 minutes' THEN 'confirmed'
                WHEN h.age < interval '30 hours' AND h.place %% 5 < 2 THEN 'processing'
                WHEN h.age < interval '30 hours' AND h.place %% 5 = 2 AND l.lines > 1
                THEN 'partly_fulfilled'
                WHEN h.age < interval '9 hours' THEN 'processing'
                WHEN h.age < interval '15 days' THEN 'fulfilled'
                ELSE 'completed' END AS path,
           CASE WHEN x.sold_by_user_id IS NOT NULL THEN 'staff'
                WHEN x.external_order_id IS NOT NULL THEN 'channel' ELSE 'customer' END AS buyer,
           x.placed_at + (40 + h.place %% 60) * interval '1 minute' AS picked_at,
           x.placed_at + (150 + h.place %% 60 * 5) * interval '1 minute' AS out_at
    FROM ret.sales_order AS x
    CROSS JOIN LATERAL (
        SELECT ('x' || substr(md5('path ' || x.sales_order_id), 1, 7))::bit(28)::integer AS place,
               %(as_of)s - x.placed_at AS age
    ) AS h
    JOIN (
        SELECT i.sales_order_id, count(*) FILTER (WHERE i.line_number < 20) AS lines
        FROM ret.sales_order_line AS i
        WHERE i.business_id = %(business_id)s
        GROUP BY i.sales_order_id
    ) AS l ON l.sales_order_id = x.sales_order_id
    WHERE x.business_id = %(business_id)s
) AS o
CROSS JOIN LATERAL (VALUES
    ('{till,cancelled,on_hold,pending,confirmed,processing,partly_fulfilled,fulfilled,completed}',
     'order', NULL, 'pending', o.placed_at, o.buyer),
    ('{till}', 'order', 'pending', 'completed', o.placed_at + interval '40 seconds', 'staff'),
    ('{till}', 'payment', 'unpaid', 'paid', o.placed_at + interval '35 seconds', 'staff'),
    ('{confirmed,processing,partly_fulfilled,fulfilled,completed}', 'order', 'pending',
     'confirmed', o.placed_at + interval '10 seconds', 'system'),
    ('{on_hold}', 'order', 'pending', 'on_hold', o.placed_at + interval '6 seconds', 'system'),
    ('{cancelled}', 'order', 'pending', 'cancelled',
     least(o.placed_at + (15 + o.pace * 2) * interval '1 minute', %(as_of)s),
     CASE WHEN o.pace %% 3 = 0 THEN 'customer' ELSE 'system' END),
    ('{on_hold,confirmed,processing,partly_fulfilled,fulfilled,completed}', 'payment', 'unpaid',
     'authorised', o.placed_at + interval '5 seconds', 'system'),
    ('{processing,partly_fulfilled,fulfilled,completed}', 'order', 'confirmed', 'processing',
     least(o.picked_at, %(as_of)s), 'system'),
    ('{partly_fulfilled}', 'order', 'processing', 'partly_fulfilled', least(o.out_at, %(as_of)s),
     'system'),
    ('{fulfilled,completed}', 'order', 'processing', 'fulfilled', least(o.out_at, %(as_of)s),
     'system'),
    ('{partly_fulfilled,fulfilled,completed}', 'payment', 'authorised', 'paid',
     least(o.out_at, %(as_of)s), 'system'),
    ('{completed}', 'order', 'fulfilled', 'completed', o.out_at + interval '14 days', 'system'))
    AS e (paths, aspect, from_state, to_state, occurred_at, actor_kind)
WHERE o.path = ANY (e.paths::text[]);

-- Their states follow, a step at a time.
UPDATE ret.sales_order AS o
SET state = e.to_state, updated_at = e.occurred_at
FROM ret.order_status_event AS e
WHERE o.business_id = %(business_id)s AND e.business_id = o.business_id
  AND e.sales_order_id = o.sales_order_id AND e.aspect = 'order' AND e.from_state = o.state;

UPDATE ret.sales_order AS o
SET state = e.to_state, updated_at = e.occurred_at
FROM ret.order_status_event AS e
WHERE o.business_id = %(business_id)s AND e.business_id = o.business_id
  AND e.sales_order_id = o.sales_order_id AND e.aspect = 'order' AND e.from_state = o.state;

UPDATE ret.sales_order AS o
SET state = e.to_state, updated_at = e.occurred_at
FROM ret.order_status_event AS e
WHERE o.business_id = %(business_id)s AND e.business_id = o.business_id
  AND e.sales_order_id = o.sales_order_id AND e.aspect = 'order' AND e.from_state = o.state;

UPDATE ret.sales_order AS o
SET state = e.to_state, updated_at = e.occurred_at
FROM ret.order_status_event AS e
WHERE o.business_id = %(business_id)s AND e.business_id = o.business_id
  AND e.sales_order_id = o.sales_order_id AND e.aspect = 'order' AND e.from_state = o.state;

UPDATE ret.sales_order AS o
SET payment_state = e.to_state,
    paid_total = CASE WHEN e.to_state = 'paid' THEN o.grand_total ELSE 0 END
FROM ret.order_status_event AS e
WHERE o.business_id = %(business_id)s AND e.business_id = o.business_id
  AND e.sales_order_id = o.sales_order_id AND e.aspect = 'payment'
  AND e.from_state = o.payment_state;

UPDATE ret.sales_order AS o
SET payment_state = e.to_state,
    paid_total = CASE WHEN e.to_state = 'paid' THEN o.grand_total ELSE 0 END
FROM ret.order_status_event AS e
WHERE o.business_id = %(business_id)s AND e.business_id = o.business_id
  AND e.sales_order_id = o.sales_order_id AND e.aspect = 'payment'
  AND e.from_state = o.payment_state;

-- Three in a hundred lines of a delivery are not found on the shelf and called off.
UPDATE ret.sales_order_line AS l
SET cancelled_qty = n.cancelled, fulfilled_qty = n.fulfilled
FROM (
    SELECT i.sales_order_line_id,
           CASE WHEN o.state = 'cancelled' THEN i.quantity WHEN s.is_short THEN i.quantity
                ELSE 0 END AS cancelled,
           CASE WHEN o.state NOT IN ('partly_fulfilled', 'fulfilled', 'completed') OR s.is_short
                     OR o.state = 'partly_fulfilled' AND i.line_number > 1 THEN 0
                ELSE i.quantity END AS fulfilled
    FROM ret.sales_order_line AS i
    JOIN ret.sales_order AS o
        ON o.business_id = i.business_id AND o.sales_order_id = i.sales_order_id
    CROSS JOIN LATERAL (
        SELECT o.state IN ('fulfilled', 'completed') AND i.line_number BETWEEN 2 AND 19
               AND i.fulfilment_choice <> 'carry_out'
               AND ('x' || substr(md5('short ' || i.sales_order_line_id), 1, 7))::bit(28)::integer
                   %% 33 = 0 AS is_short
    ) AS s
    WHERE i.business_id = %(business_id)s
) AS n
WHERE l.business_id = %(business_id)s AND l.sales_order_line_id = n.sales_order_line_id
  AND n.cancelled + n.fulfilled > 0;

-- Web orders came from carts; for each of them two or three others did not become orders.
INSERT INTO ret.cart
    (business_id, cart_id, pickup_location_id, sales_channel_id, customer_id, cart_token, email,
     currency, subtotal, discount_total, shipping_total, tax_total, item_count, coupon_codes_doc,
     last_activity_at, checkout_step, state, created_at, updated_at)
SELECT o.business_id, md5('cart ' || o.sales_order_id)::uuid,
       CASE WHEN o.order_kind = 'pickup' THEN o.sold_location_id END, o.sales_channel_id,
       o.customer_id, md5('token ' || o.sales_order_id), c.email, o.currency, o.subtotal,
       o.discount_total, o.shipping_total, o.tax_total, n.items,
       CASE WHEN h.place %% 12 = 0
            THEN jsonb_build_array(jsonb_build_object('code', 'SUMMER', 'accepted', false,
                                                      'reason', 'expired')) END,
       o.placed_at, 'done', 'converted',
       o.placed_at - (4 + h.place %% 90) * interval '1 minute', o.placed_at
FROM ret.sales_order AS o
CROSS JOIN LATERAL (
    SELECT ('x' || substr(md5('cart ' || o.sales_order_id), 1, 7))::bit(28)::integer AS place
) AS h
JOIN (
    SELECT l.sales_order_id, sum(l.quantity) AS items
    FROM ret.sales_order_line AS l
    WHERE l.business_id = %(business_id)s AND l.unit_price > 0
    GROUP BY l.sales_order_id
) AS n ON n.sales_order_id = o.sales_order_id
LEFT JOIN ret.customer AS c ON c.business_id = o.business_id AND c.customer_id = o.customer_id
WHERE o.business_id = %(business_id)s AND o.order_kind IN ('ship_to_home', 'pickup');

INSERT INTO ret.cart_line
    (business_id, cart_line_id, cart_id, product_variant_id, line_number, quantity, unit_price,
     compare_at_price, discount_amount, fulfilment_choice, is_gift, gift_message, added_at,
     price_seen_at, created_at, updated_at)
SELECT l.business_id, md5('in cart ' || l.sales_order_line_id)::uuid, c.cart_id,
       l.product_variant_id, l.line_number, l.quantity, l.unit_price,
       CASE WHEN l.list_price > l.unit_price THEN l.list_price END, l.discount_amount,
       l.fulfilment_choice, g.is_gift, CASE WHEN g.is_gift THEN 'Happy birthday!' END,
       c.created_at + l.line_number * interval '5 seconds', o.placed_at,
       c.created_at + l.line_number * interval '5 seconds', o.placed_at
FROM ret.sales_order_line AS l
JOIN ret.sales_order AS o
    ON o.business_id = l.business_id AND o.sales_order_id = l.sales_order_id
JOIN ret.cart AS c
    ON c.business_id = o.business_id AND c.cart_id = md5('cart ' || o.sales_order_id)::uuid
CROSS JOIN LATERAL (
    SELECT ('x' || substr(md5('gift ' || l.sales_order_line_id), 1, 7))::bit(28)::integer
           %% 40 = 0 AS is_gift
) AS g
WHERE l.business_id = %(business_id)s AND l.unit_price > 0;

UPDATE ret.sales_order AS o
SET cart_id = c.cart_id
FROM ret.cart AS c
WHERE o.business_id = %(business_id)s AND c.business_id = o.business_id
  AND c.cart_id = md5('cart ' || o.sales_order_id)::uuid;

-- Seven in ten of the others were left at the first steps, a few are being filled right now.
INSERT INTO ret.cart
    (business_id, cart_id, pickup_location_id, sales_channel_id, customer_id, register_id,
     cart_token, cart_kind, email, currency, last_activity_at, checkout_step, state, abandoned_at,
     created_at, updated_at)
SELECT o.business_id, md5('left ' || n.place || o.sales_order_id)::uuid,
       CASE WHEN n.place %% 5 = 0 THEN o.sold_location_id END, o.sales_channel_id,
       CASE WHEN h.place %% 10 < 6 THEN o.customer_id END, NULL,
       md5('left token ' || n.place || o.sales_order_id),
       CASE WHEN h.place %% 60 = 1 THEN 'save_for_later' WHEN h.place %% 90 = 2 THEN 'quote'
            ELSE 'online' END,
       CASE WHEN h.place %% 10 < 6 THEN c.email END, o.currency, s.last_activity_at,
       CASE WHEN s.state = 'active' THEN CASE WHEN h.place %% 3 = 0 THEN 'review' ELSE 'cart' END
            WHEN h.place / 7 %% 10 < 5 THEN 'cart' WHEN h.place / 7 %% 10 < 7 THEN 'address'
            WHEN h.place / 7 %% 10 < 9 THEN 'shipping' ELSE 'payment' END,
       s.state,
       CASE WHEN s.state = 'abandoned' THEN s.last_activity_at + interval '60 minutes' END,
       s.last_activity_at - (2 + h.place %% 70) * interval '1 minute',
       s.last_activity_at
FROM ret.sales_order AS o
CROSS JOIN generate_series(1, 3) AS n (place)
CROSS JOIN LATERAL (
    SELECT ('x' || substr(md5('left ' || o.sales_order_id || n.place), 1, 7))::bit(28)::integer
               AS place
) AS h
CROSS JOIN LATERAL (
    SELECT CASE WHEN n.place = 1 AND h.place %% 6 = 0
                THEN %(as_of)s - (1 + h.place %% 55) * interval '1 minute'
                ELSE o.placed_at - (2 + h.place %% 400) * interval '1 hour' END
               AS last_activity_at,
           CASE WHEN n.place = 1 AND h.place %% 6 = 0 THEN 'active'
                WHEN h.place / 11 %% 20 < 2 THEN 'expired'
                WHEN h.place / 11 %% 20 = 2 THEN 'merged'
                ELSE 'abandoned' END AS state
) AS s
LEFT JOIN ret.customer AS c ON c.business_id = o.business_id AND c.customer_id = o.customer_id
WHERE o.business_id = %(business_id)s AND o.order_kind IN ('ship_to_home', 'pickup')
  AND (n.place < 3 OR h.place %% 5 < 2);

-- Now and then a sale is parked at the till while the shopper fetches something.
INSERT INTO ret.cart
    (business_id, cart_id, sales_channel_id, customer_id, register_id, cart_token, cart_kind,
     currency, last_activity_at, checkout_step, state, created_at, updated_at)
SELECT o.business_id, md5('parked ' || o.sales_order_id)::uuid, o.sales_channel_id,
       o.customer_id, r.register_id, md5('parked token ' || o.sales_order_id), 'parked_sale',
       o.currency, o.placed_at, 'cart', 'expired', o.placed_at - interval '6 minutes',
       o.placed_at
FROM ret.sales_order AS o
JOIN (
    SELECT x.*, row_number() OVER (PARTITION BY x.location_id ORDER BY x.register_code) AS place
    FROM ret.register AS x
    WHERE x.business_id = %(business_id)s
) AS r ON r.location_id = o.sold_location_id AND r.place = 1
WHERE o.business_id = %(business_id)s AND o.order_kind = 'sale'
  AND ('x' || substr(md5('parked ' || o.sales_order_id), 1, 7))::bit(28)::integer %% 40 = 0;

INSERT INTO ret.cart_line
    (business_id, cart_line_id, cart_id, product_variant_id, line_number, quantity, unit_price,
     fulfilment_choice, added_at, price_seen_at, created_at, updated_at)
SELECT c.business_id, md5('in cart ' || g.line || c.cart_id)::uuid, c.cart_id,
       v.product_variant_id, g.line, CASE WHEN h.place %% 9 = 0 THEN 2 ELSE 1 END, v.list_price,
       CASE WHEN c.cart_kind = 'parked_sale' THEN 'carry_out'
            WHEN c.pickup_location_id IS NOT NULL THEN 'pickup' ELSE 'ship' END,
       t.at, t.at,
       t.at, t.at
FROM ret.cart AS c
CROSS JOIN generate_series(1, 4) AS g (line)
CROSS JOIN LATERAL (SELECT c.created_at + g.line * interval '20 seconds' AS at) AS t
CROSS JOIN LATERAL (
    SELECT ('x' || substr(m.sum, 1, 7))::bit(28)::integer AS place,
           ('x' || substr(m.sum, 8, 6))::bit(24)::integer / 16777216.0 AS pick
    FROM (SELECT md5('wants ' || c.cart_id || g.line) AS sum) AS m
) AS h
JOIN chosen AS v ON v.place = floor((SELECT count(*) FROM chosen) * h.pick ^ 1.6)
WHERE c.business_id = %(business_id)s AND c.state <> 'converted'
  AND g.line <= 1 + ('x' || substr(md5('wants ' || c.cart_id), 1, 7))::bit(28)::integer %% 4;

UPDATE ret.cart AS c
SET subtotal = n.subtotal, item_count = n.items
FROM (
    SELECT l.cart_id, sum(round(l.quantity * l.unit_price, 2)) AS subtotal,
           sum(l.quantity) AS items
    FROM ret.cart_line AS l
    WHERE l.business_id = %(business_id)s
    GROUP BY l.cart_id
) AS n
WHERE c.business_id = %(business_id)s AND c.cart_id = n.cart_id AND c.state <> 'converted';

-- A score for one web order in eight; the risky ones waited for somebody's eyes.
INSERT INTO ret.fraud_review
    (business_id, fraud_review_id, reviewer_user_id, sales_order_id, provider, risk_score,
     risk_level, signals_doc, avs_result, cvv_result, ip_country, velocity_count, scored_at,
     decision, decided_at, was_chargeback, created_at, updated_at)
SELECT o.business_id, md5('review ' || o.sales_order_id)::uuid,
       CASE WHEN d.decision IN ('accept', 'reject') AND d.risk_score >= 35
            THEN a.user_account_id END,
       o.sales_order_id, 'riskwise', d.risk_score,
       CASE WHEN d.risk_score >= 70 THEN 'high' WHEN d.risk_score >= 35 THEN 'medium'
            ELSE 'low' END,
       CASE WHEN d.risk_score >= 70
            THEN jsonb_build_array(
                jsonb_build_object('signal', 'address does not match the card', 'weight', 31),
                jsonb_build_object('signal', 'many orders within a day', 'weight', 24))
            WHEN d.risk_score >= 35
            THEN jsonb_build_array(jsonb_build_object('signal', 'first order', 'weight', 18))
            ELSE '[]'::jsonb END,
       CASE WHEN d.risk_score >= 70 THEN 'N' WHEN d.risk_score >= 35 THEN 'Z' ELSE 'Y' END,
       CASE WHEN d.risk_score >= 85 THEN 'N' ELSE 'M' END, 'US',
       CASE WHEN d.risk_score >= 70 THEN 4 ELSE 1 END, o.placed_at + interval '4 seconds',
       d.decision,
       CASE WHEN d.decision = 'pending' THEN NULL
            WHEN d.risk_score < 35 THEN o.placed_at + interval '4 seconds'
            ELSE least(o.placed_at + (9 + d.place %% 80) * interval '1 minute', %(as_of)s) END,
       d.decision = 'accept' AND d.place / 13 %% 80 = 0 AND o.state = 'completed',
       o.placed_at + interval '4 seconds', o.placed_at + interval '4 seconds'
FROM ret.sales_order AS o
CROSS JOIN LATERAL (
    SELECT h.place, h.risk_score,
           CASE o.state WHEN 'on_hold' THEN 'pending'
                        WHEN 'cancelled' THEN CASE WHEN h.place %% 2 = 0 THEN 'reject'
                                                   ELSE 'cancelled' END
                        ELSE 'accept' END AS decision
    FROM (
        SELECT x.place,
               CASE WHEN o.state IN ('on_hold', 'cancelled') THEN 62 + x.place / 50 %% 37
                    WHEN x.place / 9 %% 5 = 0 THEN 35 + x.place / 50 %% 35
                    ELSE 2 + x.place / 50 %% 30 END + (x.place %% 100) / 100.0 AS risk_score
        FROM (SELECT ('x' || substr(md5('risk ' || o.sales_order_id), 1, 7))::bit(28)::integer
                  AS place) AS x
    ) AS h
) AS d
LEFT JOIN (
    SELECT x.user_account_id, row_number() OVER (ORDER BY x.username) AS place
    FROM user_mgmt.user_account AS x
    WHERE x.business_id = %(business_id)s AND x.status = 'active'
) AS a ON a.place = 2
WHERE o.business_id = %(business_id)s AND o.order_kind IN ('ship_to_home', 'pickup')
  AND (d.place %% 8 = 0 OR o.state IN ('on_hold', 'cancelled')
       OR o.sales_order_id IN (SELECT x.sales_order_id
                               FROM ret.sales_order AS x
                               WHERE x.business_id = %(business_id)s
                                 AND x.order_kind IN ('ship_to_home', 'pickup')
                               ORDER BY x.sales_order_id
                               LIMIT 1));

-- What customers bought since these months began.
UPDATE ret.customer AS c
SET order_count = n.orders, first_order_at = n.first_order_at, last_order_at = n.last_order_at,
    lifetime_value = n.worth
FROM (
    SELECT o.customer_id, count(*) AS orders, min(o.placed_at) AS first_order_at,
           max(o.placed_at) AS last_order_at,
           sum(o.subtotal - o.discount_total) AS worth
    FROM ret.sales_order AS o
    WHERE o.business_id = %(business_id)s AND o.customer_id IS NOT NULL
      AND o.state <> 'cancelled'
    GROUP BY o.customer_id
) AS n
WHERE c.business_id = %(business_id)s AND c.customer_id = n.customer_id;
